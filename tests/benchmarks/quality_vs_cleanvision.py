"""Our quality scores beside CleanVision's, picture by picture, and the time of both.

Run: python tests/benchmarks/quality_vs_cleanvision.py FOLDER --peer PYTHON

FOLDER holds images; PYTHON is the interpreter of an environment with `pip install cleanvision==0.3.7`. Prints for each
issue the rank correlation of the scores and how many pictures either flags; then both times, one thread each.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from curate.find.quality import ISSUES, find_quality
from curate.images.decode import decode
from curate.images.measure import WORK_SIDE, measure

IMAGES = {".jpg", ".jpeg", ".png"}
THEIR_NAME = {"bright": "light"}
PEER = """
import sys, time
from cleanvision import Imagelab
names = "dark light odd_aspect_ratio low_information blurry grayscale odd_size".split()
started = time.perf_counter()
lab = Imagelab(filepaths=sys.argv[1:])
lab.find_issues({name: {} for name in names}, n_jobs=1, verbose=False)
print("seconds", time.perf_counter() - started, file=sys.stderr)
sys.stdout.write("\\n###\\n" + lab.issues.to_csv(index=True))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer", required=True, help="a Python that has CleanVision 0.3.7")
    parser.add_argument("--limit", type=int, default=10_000, help="images to compare")
    given = parser.parse_args()
    table, theirs, ours = compared(given.folder, given.peer, given.limit)
    print(table.to_string(index=False))
    print(f"\nseconds: CleanVision {theirs:.1f}, decode and measure {ours:.1f}")


def compared(folder: Path, peer: str, limit: int = 10_000) -> tuple[pd.DataFrame, float, float]:
    """One row for each issue; CleanVision's seconds, and ours."""
    paths = sorted(str(path.resolve()) for path in folder.rglob("*") if path.suffix.lower() in IMAGES)[:limit]
    theirs, their_seconds = run_peer(peer, paths)
    ours, our_seconds = run_ours(paths)
    return compare(ours, theirs.loc[paths]), their_seconds, our_seconds


def run_ours(paths: list[str]) -> tuple[pd.DataFrame, float]:
    cv2.setNumThreads(1)
    started = time.perf_counter()
    images = (decode(Path(path).read_bytes(), target=WORK_SIDE) for path in paths)
    scan = pd.DataFrame([measure(image) for image in images])
    table = find_quality(scan.assign(sample_id=paths, status="ok"))
    return table, time.perf_counter() - started


def run_peer(python: str, paths: list[str]) -> tuple[pd.DataFrame, float]:
    done = subprocess.run([python, "-c", PEER, *paths], capture_output=True, text=True, check=True)
    seconds = next(line for line in done.stderr.splitlines() if line.startswith("seconds"))
    table = pd.read_csv(io.StringIO(done.stdout.partition("\n###\n")[2]), index_col=0)
    return table, float(seconds.split()[1])


def compare(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for issue in ISSUES[:-1]:
        their_name = THEIR_NAME.get(issue, issue)
        a, b = ours[f"{issue}_score"].to_numpy(), theirs[f"{their_name}_score"].to_numpy()
        flagged_a, flagged_b = ours[f"is_{issue}_issue"].to_numpy(), theirs[f"is_{their_name}_issue"].to_numpy()
        varied = np.ptp(a) > 0 and np.ptp(b) > 0
        rows.append(
            {
                "issue": issue,
                "rank correlation": round(float(spearmanr(a, b).statistic), 4) if varied else "constant",
                "largest difference": round(float(np.abs(a - b).max()), 4),
                "both flag": int((flagged_a & flagged_b).sum()),
                "only ours": int((flagged_a & ~flagged_b).sum()),
                "only theirs": int((flagged_b & ~flagged_a).sum()),
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
