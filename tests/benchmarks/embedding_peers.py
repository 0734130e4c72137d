"""What Datalab and SelfClean make of embeddings and labels, each in the peers' environment.

Both are handed the embeddings that curate judges. SelfClean would train a network on the images first, and its ranking
of near duplicates is that of the cosine, which the tables have already. Its licence (CC BY-NC 4.0) allows no commercial
use: it is installed and run only where `--noncommercial` says so.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np

DATALAB = """
import sys, numpy as np
from cleanlab import Datalab
given = np.load(sys.argv[1])
lab = Datalab({"label": given["labels"]}, label_name="label", verbosity=0)
lab.find_issues(features=given["embeddings"], issue_types={"label": {}})
found = lab.get_issues("label")
np.savez(sys.argv[2], score=found["label_score"], flag=found["is_label_issue"])
"""
SELFCLEAN = """
import sys, numpy as np
from selfclean.cleaner.issue_manager import IssueTypes
from selfclean.cleaner.selfclean_cleaner import SelfCleanCleaner
given = np.load(sys.argv[1])
wanted = [IssueTypes[name] for name in sys.argv[3:]]
cleaner = SelfCleanCleaner(memmap=False)
cleaner.fit(given["embeddings"], labels=given["labels"])
ranked = cleaner.predict(issues_to_detect=wanted)[wanted[0].value]
score = np.empty(len(given["embeddings"]))
score[ranked["indices"]] = ranked["scores"]
np.savez(sys.argv[2], score=score)
"""


def datalab(python: str, embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) label scores, lower = worse, and flags, from features alone."""
    found = _run(python, DATALAB, embeddings, labels)
    return found["score"], found["flag"]


def selfclean(python: str, issue: str, embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) scores, lower = worse, for `issue` LABEL_ERRORS or OFF_TOPIC_SAMPLES."""
    return _run(python, SELFCLEAN, embeddings, labels, issue)["score"]


def _run(python: str, code: str, embeddings: np.ndarray, labels: np.ndarray, *more: str) -> dict[str, np.ndarray]:
    numbers = np.unique(labels, return_inverse=True)[1]
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, embeddings=embeddings.astype(np.float32), labels=numbers)
        done = subprocess.run([python, "-c", code, str(given), str(found), *more], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"a peer ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
        return dict(np.load(found))
