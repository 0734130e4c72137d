from curate.find.near_duplicate import score
def find_exact_duplicate(samples,pairs): return score(samples,pairs[pairs.kind.eq("exact")],"exact_duplicate")
