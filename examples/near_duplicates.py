"""Duplicates of a folder of images, from pixels to groups. Usage: python examples/near_duplicates.py FOLDER"""

import sys
import tempfile
from pathlib import Path

from curate.config import EmbedOptions
from curate.embed.embedder import load_embedder
from curate.embed.scan import scan
from curate.embed.store import load
from curate.find.duplicates.near import duplicate_pairs
from curate.find.neighbors import nearest
from curate.ingest.sources import read_source

sources = read_source(Path(sys.argv[1])).sources
options = EmbedOptions()
embedder = load_embedder(options, sources["path"].to_list())
with tempfile.TemporaryDirectory() as store:
    looked = scan(sources, embedder, Path(store), options=options)  # each file is opened once
    embedded = load(Path(store), looked)
samples = sources.merge(looked, on="sample_id").set_index("sample_id").loc[embedded.sample_ids].reset_index()
neighbors = nearest(embedded.embeddings, k=20)
pairs = duplicate_pairs(samples, embedded.embeddings, neighbors, embedded.thumbs)
print(pairs.head(10)[["sample_id_a", "sample_id_b", "kind", "similarity"]].to_string(index=False))
