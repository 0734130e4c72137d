from dataclasses import dataclass
import numpy as np
@dataclass(frozen=True)
class Prediction:
    classes: list
    pred_probs: np.ndarray
def predict(embeddings, labels, groups, *, options):
    lab=labels.to_numpy(object); ok=np.array([isinstance(x,str) for x in lab]); classes=sorted(set(lab[ok]))
    X=embeddings.astype(np.float32); X=X-X.mean(0); Y=np.full((len(X),len(classes)),0,np.float32)
    for i,l in enumerate(lab):
        if ok[i]: Y[i,classes.index(l)]=1
    f=np.array(groups)%5; P=np.zeros_like(Y)
    for k in range(5):
        tr=ok&(f!=k); A=X[tr].T@X[tr]+ .01*len(X)*np.trace(X.T@X)/len(X)/X.shape[1]*np.eye(X.shape[1]); W=np.linalg.solve(A,X[tr].T@(Y[tr]-.1)); P[f==k]=X[f==k]@W
    P=np.exp(8*P); P/=P.sum(1,keepdims=True)
    return Prediction(np.array(classes),P.astype(np.float32))
