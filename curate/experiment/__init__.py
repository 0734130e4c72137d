"""Many models and one verdict: before, after and a control."""
