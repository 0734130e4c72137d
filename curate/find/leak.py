from curate.find.near_duplicate import score
def find_leak(samples,pairs):
    sp=samples.set_index("sample_id")["split"]
    x=pairs[pairs.sample_id_a.map(sp).ne(pairs.sample_id_b.map(sp))&pairs.similarity.gt(.97)]
    return score(samples,x,"leak")
