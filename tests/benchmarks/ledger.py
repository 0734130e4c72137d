"""How long a verdict takes until it is on disk: `python tests/benchmarks/ledger.py [FOLDER]`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from curate.decisions.ledger import Ledger


def verdict(name: str) -> dict[str, object]:
    return {
        "sample_id": f"train/cat/{name}.jpg",
        "sha256": "ab" * 32,
        "issue": "label",
        "action": "keep",
        "reviewer": "ann",
        "evidence": {"probability": 0.9, "given_label": "cat"},
    }


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place, Ledger(Path(place) / "ledger.sqlite") as ledger:
        single = [1000 * seconds(partial(ledger.add, [verdict(f"{n}")])) for n in range(200)]
        middle, late = np.percentile(single, [50, 95])
        print(f"200 single verdicts: median {middle:.1f} ms, 95th percentile {late:.1f} ms")
        bulk = [verdict(f"bulk{n}") for n in range(60_000)]
        print(f"60,000 in one bulk: {seconds(lambda: ledger.add(bulk)):.1f} s")
        print(f"reading all that is in force: {seconds(ledger.current):.1f} s")
        print(f"undo of the bulk: {seconds(lambda: ledger.undo(last=1, reviewer='ann')):.1f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd())
