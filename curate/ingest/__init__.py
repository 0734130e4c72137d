"""Labels in, tables out: no pixels here.

Read in this order: `sources` (a folder or a manifest; `folders`, `manifest`, and `formats` for the file
kinds), `annotations` (who said what), `annotators` (the agreement report: coefficients in `agreement`,
persons in `pairs`), `consensus` and `crowdlab` (one label per sample), `splits` and their `proof`.
`problems` gathers every row that can't be used, with its reason.
"""
