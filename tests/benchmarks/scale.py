"""Time and memory of the finders as data grow. Run: python tests/benchmarks/scale.py 10000 30000 100000 300000

Embeddings, thumbnails and labels are synthetic: a mixture of one Gaussian cluster per 100 samples in a space of
40 dimensions, laid into `--dim`; one sample in fifty is a near copy of another, one label in ten is wrong. Each
size runs in a process of its own; `rss` is that process's peak, the data included, and `cpu` the processor time of
all steps together, which other work on the machine disturbs little. The last line fits its logarithm against
log N: 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from curate.machine.allocator import give_back

STEPS = ("data", "neighbours", "pairs", "predict", "outlier", "label", "quality", "classes", "other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="+")
    parser.add_argument("--dim", type=int, default=1408)
    parser.add_argument("--one", action="store_true", help="measure here and print JSON (used by itself)")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given.sizes[0], given.dim)))
        return
    rows = []
    for n in given.sizes:
        command = [sys.executable, __file__, str(n), "--dim", str(given.dim), "--one"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{n:,}: failed ({done.returncode})\n{done.stderr[-2000:]}", file=sys.stderr)
            continue
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(pd.DataFrame(rows[-1:]).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    print("\n" + table.to_string(index=False))
    if len(table) > 1:
        print(f"slope of log cpu on log N: {slope(table['n'], table['cpu']):.2f}")


def measured(n: int, dim: int) -> dict[str, Any]:
    """Run everything that `find` runs on n synthetic samples; seconds for each step."""
    from curate.config import FindOptions
    from curate.find import FINDERS
    from curate.find.duplicates.near import duplicate_pairs, linked_groups
    from curate.find.facts import needs
    from curate.find.labels.probe import predict
    from curate.find.neighbors import nearest

    clock = _Clock()
    facts = clock("data", lambda: synthetic(n, dim))
    options, samples = FindOptions(), facts["samples"]
    before = time.process_time()
    found = clock("neighbours", lambda: nearest(facts["embeddings"], options.neighbors))
    pairs = clock("pairs", lambda: duplicate_pairs(samples, facts["embeddings"], found, facts["thumbs"]))
    groups = clock("pairs", lambda: linked_groups(samples, pairs))
    probed = clock("predict", lambda: predict(facts["embeddings"], samples["label"], groups, options=options))
    facts |= {"neighbors": found, "pairs": pairs, "groups": groups, "prediction": probed, "scan": samples}
    for name, finder in FINDERS.items():
        clock(name if name in STEPS else "other", lambda finder=finder: finder(**needs(finder, facts)))
    seconds = {name: round(clock.seconds.get(name, 0.0), 1) for name in STEPS}
    total = round(sum(seconds.values()) - seconds["data"], 1)
    cpu = round(time.process_time() - before, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"n": n, **seconds, "find": total, "cpu": cpu, "rss GiB": round(peak, 2), "recall": round(found.recall, 3)}


class _Clock:
    """Adds up the seconds of named steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
        give_back()  # as `curate find` does after each step
        return result


def synthetic(n: int, dim: int, *, classes: int = 10, seed: int = 0) -> dict[str, Any]:
    """Facts of n samples that never were images: embeddings, thumbnails and a table of samples."""
    from curate.schema import TABLES, conform

    rng = np.random.default_rng(seed)
    clusters = max(classes, n // 100)
    centres = rng.normal(size=(clusters, 40)).astype(np.float32)
    belongs = rng.integers(0, clusters, n)
    axes = rng.normal(size=(40, dim)).astype(np.float32) / dim**0.5
    looks = rng.normal(size=(40, 192)).astype(np.float32)
    embeddings, thumbs = np.empty((n, dim), np.float16), np.empty((n, 32, 32, 3), np.uint8)
    for start in range(0, n, 8192):
        rows = slice(start, min(start + 8192, n))
        inner = centres[belongs[rows]] + rng.normal(scale=0.7, size=(rows.stop - start, 40)).astype(np.float32)
        full = inner @ axes + rng.normal(scale=0.3 / dim**0.5, size=(len(inner), dim)).astype(np.float32)
        embeddings[rows] = full / np.linalg.norm(full, axis=1, keepdims=True)
        seen = 0.3 * inner + rng.normal(size=inner.shape).astype(np.float32)  # like things look little alike
        tiny = (128 + 12 * (seen @ looks)).reshape(-1, 8, 8, 3)
        big = tiny.repeat(4, axis=1).repeat(4, axis=2) + rng.normal(scale=8, size=(len(inner), 32, 32, 3))
        thumbs[rows] = big.clip(0, 255)
    copies = rng.permutation(n)[: n // 50]
    originals = rng.integers(0, n, len(copies))
    embeddings[copies] = embeddings[originals]
    thumbs[copies] = np.clip(thumbs[originals].astype(np.int16) + rng.integers(-6, 7, (len(copies), 1, 1, 3)), 0, 255)
    label = belongs % classes
    noisy = rng.random(n) < 0.1
    label[noisy] = rng.integers(0, classes, int(noisy.sum()))
    ids = [f"{i:08d}.jpg" for i in range(n)]
    table = pd.DataFrame({column.name: None for column in TABLES["samples"].columns}, index=range(n)).assign(
        sample_id=ids, path=ids, label=[f"class {c}" for c in label], split="train", width=32.0, height=32.0,
        mode="RGB", bytes=900.0, sha256=[f"{i:064x}" for i in rng.permutation(n)], phash="0" * 16, status="ok",
        mtime_ns=0.0, brightness_p5=0.1, brightness_p99=0.9, brightness_mean=rng.random(n), entropy=7.0,
        colourfulness=20.0, contrast=50.0, edges=20.0, histogram_spread=10.0, sharpness=1.0,
    )  # fmt: skip
    return {"samples": conform("samples", table), "embeddings": embeddings, "thumbs": thumbs}


def slope(n: pd.Series, seconds: pd.Series) -> float:
    return float(np.polyfit(np.log(n), np.log(seconds), 1)[0])


if __name__ == "__main__":
    main()
