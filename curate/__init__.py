"""curate makes a labelled image dataset trustworthy, and proves it.

    ingest ──► embed ──► find ──► review ──► apply ──► train ──► report
    tables     pixels →  numbers → people →   a new     models    what changed,
    of labels  numbers   issues    decisions  version   + proof   with pictures
                 ▲                                        │
                 └──────── out-of-sample predictions ─────┘   (the loop)

Each stage is a folder of plain functions that turn tables into tables. `curate.workspace` keeps the
tables on disk, `curate.verbs` joins the two (one verb per command), and `curate.cli` names the verbs.
"""

from curate.offline import silence_libraries

__version__ = "0.1.0"

silence_libraries()
