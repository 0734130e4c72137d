"""The whole loop as a script: read it top to bottom. Usage: python pipelines/quickstart.py IMAGES WORKSPACE"""

import sys

import curate

images, workspace = sys.argv[1:]
ds = curate.open(workspace, progress=True)

print(ds.ingest(images).to_text())  # one look at every file, every finder

# A person would review the queue first: `ds.review()`. Here we trust what is nearly certain.
print(ds.decide(issue="label", above=0.95, action="relabel", reviewer="quickstart").to_text())
print(ds.decide(issue="leak", above=0.95, action="drop", reviewer="quickstart").to_text())

print(ds.apply().to_text())  # a new version; the images stay as they are
print(ds.retrain().to_text())  # before, after and a random control, on one test split
print(f"Report: {ds.report()}")
