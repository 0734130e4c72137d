import numpy as np, pandas as pd
from curate.schema import conform
def duplicate_pairs(samples, embeddings, neighbors, thumbs):
    rows=[]; ids=samples["sample_id"].to_numpy(); sha=samples["sha256"].to_numpy()
    for i in range(len(ids)):
        for d,j in zip(neighbors.D[i,:3],neighbors.I[i,:3]):
            a,b=sorted((i,int(j)),key=lambda t:ids[t])
            if d>.9: rows.append((ids[a],ids[b],float(min(max(d,0),1)),"exact" if sha[a]==sha[b] else "near",None,float(d)))
    t=pd.DataFrame(rows,columns=["sample_id_a","sample_id_b","similarity","kind","between","cosine"]).drop_duplicates(["sample_id_a","sample_id_b"])
    return conform("near_duplicate_pairs",t.sort_values("similarity",ascending=False))
def duplicate_groups(samples, pairs):
    from curate.review.groups import linked
    pos={s:i for i,s in enumerate(samples["sample_id"])}
    g=np.arange(len(samples))
    for r in pairs.itertuples():
        if r.similarity>.97: g[pos[r.sample_id_b]]=g[pos[r.sample_id_a]]
    return g
def score(samples,pairs,issue):
    best={};near={}
    for r in pairs.itertuples():
        for a,b in ((r.sample_id_a,r.sample_id_b),(r.sample_id_b,r.sample_id_a)):
            if r.similarity>best.get(a,0): best[a]=r.similarity;near[a]=b
    s=samples["sample_id"].map(best).fillna(0)
    return pd.DataFrame({"sample_id":samples["sample_id"],f"is_{issue}_issue":s>.97,f"{issue}_score":1-s,"nearest_id":samples["sample_id"].map(near),"group_id":None})
def find_near_duplicate(samples,pairs): return score(samples,pairs[pairs.kind.eq("near")],"near_duplicate")
