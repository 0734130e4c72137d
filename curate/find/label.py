import numpy as np, pandas as pd
def find_label(samples, prediction):
    c=list(prediction.classes); lab=samples["label"].to_numpy(object); p=prediction.pred_probs
    g=np.array([p[i,c.index(l)] if isinstance(l,str) and l in c else 1.0 for i,l in enumerate(lab)],dtype=float).clip(0,1)
    return pd.DataFrame({"sample_id":samples.sample_id,"is_label_issue":g<.3,"label_score":g,"label_probability":1-g,"given_label":samples.label,"suggested_label":np.array(c)[p.argmax(1)],"suggested_probability":p.max(1)})
