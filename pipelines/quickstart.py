"""The whole loop as a script: read it top to bottom. Usage: python pipelines/quickstart.py IMAGES WORKSPACE"""

import sys
from pathlib import Path

from curate.progress import bar
from curate.verbs.apply import apply
from curate.verbs.decide import decide_by_threshold
from curate.verbs.ingest import ingest
from curate.verbs.report import report
from curate.verbs.retrain import retrain
from curate.workspace import Workspace

images, workspace = Path(sys.argv[1]), Workspace.create(sys.argv[2])

print(ingest(workspace, images, progress=bar).to_text())  # one look at every file, every finder

# A person would review the queue first: `curate review --html`. Here we trust what is nearly certain.
print(decide_by_threshold(workspace, "label", 0.95, "relabel", reviewer="quickstart").to_text())
print(decide_by_threshold(workspace, "leak", 0.95, "drop", reviewer="quickstart").to_text())

print(apply(workspace, dry_run=False).to_text())  # a new version; the images stay as they are
print(retrain(workspace, progress=bar).to_text())  # before, after and a random control, on one test split
print(f"Report: {report(workspace)}")
