"""`curate ingest`, with everything it does, beside its peers, each as a whole process in one run.

    python tests/benchmarks/peers.py small                 10,000 bench images (32 × 32)
    python tests/benchmarks/peers.py sixfold               60,000: each six times, changed enough to be another
    python tests/benchmarks/peers.py photos                2,560 photographs: 256, ten times under other names
    python tests/benchmarks/peers.py rewritten             the same pixels in other bytes, so that each is embedded

The peers are imported by `--peers PYTHON`, an environment with fastdup 2.54, cleanvision 0.3.7 and imagededup 0.3.3;
without it only curate runs. Beside the photographs, imagededup's CNN embeds and FiftyOne's Brain (of curate's own extra
`review`) finds near duplicates among these embeddings: with CleanVision before them, what people do in sequence. The
CNN runs with untrained weights, as it would else download its own: it takes the same time, and what is found is not
looked at. Runs take turns (`--runs 3`); the table gives the median of the wall clock, the processor time and the peak
memory of each, and how many times faster curate is. The machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bench import CIFAR, PHOTOS, read_images, read_people, unpack
from PIL import Image

from curate.review.app.mongo import find_mongod

ROOT = Path(__file__).parents[2]
SEQUENCE = ("cleanvision", "imagededup CNN", "FiftyOne Brain")
NAMES = ("curate", "fastdup", *SEQUENCE)
SMALL = ("curate", "fastdup", "cleanvision")  # beside small images: the rest of the sequence is for photographs

FASTDUP = """
import sys, fastdup
fastdup.create(work_dir=sys.argv[2], input_dir=sys.argv[1]).run(overwrite=True, num_threads=2)
"""
CLEANVISION = """
import sys
from cleanvision import Imagelab
if __name__ == "__main__":
    Imagelab(data_path=sys.argv[1]).find_issues(n_jobs=2)
"""
IMAGEDEDUP = """
import sys, numpy as np
from torchvision import models
made = models.mobilenet_v3_small
models.mobilenet_v3_small = lambda weights=None: made(weights=None)
from imagededup.methods import CNN
if __name__ == "__main__":
    np.savez(sys.argv[2], **CNN().encode_images(image_dir=sys.argv[1]))
"""
BRAIN = """
import os, sys, tempfile, numpy as np
from pathlib import Path
from curate.review.app.mongo import Mongo, find_mongod
os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
with tempfile.TemporaryDirectory() as folder:
    mongo = Mongo(find_mongod(), Path(folder) / "db").start()
    os.environ["FIFTYONE_DATABASE_URI"] = mongo.uri
    import fiftyone as fo, fiftyone.brain as fob
    dataset = fo.Dataset.from_images_dir(sys.argv[1])
    of = np.load(sys.argv[2])
    rows = np.stack([of[Path(path).name].ravel() for path in dataset.values("filepath")])
    fob.compute_near_duplicates(dataset, embeddings=rows)
    mongo.stop()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=tuple(KINDS))
    parser.add_argument("--peers", help="the python that has fastdup and cleanvision")
    parser.add_argument("--only", nargs="+", choices=NAMES)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="make the images there, or use those that are there")
    parser.add_argument("--csv", type=Path, help="write the table there too")
    given = parser.parse_args()
    only = given.only or (SMALL if given.what in SMALL_KINDS else NAMES)
    if given.peers and "FiftyOne Brain" in only:
        find_mongod()  # or say now that there is none
    with tempfile.TemporaryDirectory() as scratch:
        source = given.keep or Path(scratch) / "data"
        if not (source / "samples.csv").exists():
            KINDS[given.what](source)
        table = measured(source, Path(scratch) / "out", given.peers, only=only, runs=given.runs)
        print(f"{len(list((source / 'images').iterdir())):,} images, {os.cpu_count()} cores")
        print(table.to_string(float_format="{:,.2f}".format))
        if given.csv:
            table.to_csv(given.csv)


def measured(source: Path, out: Path, peers: str | None, *, only: Iterable[str] = NAMES, runs: int = 1) -> pd.DataFrame:
    """The median seconds, processor seconds and peak memory of each, and how many times curate's time it takes."""
    rows = []
    for _ in range(runs):
        for name, command in commands(source, out, peers).items():
            if name in only:
                rows.append({"what": name, **timed(command, out)})
                print(rows[-1], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows).groupby("what", sort=False).median()
    table.insert(1, "images/s", len(list((source / "images").iterdir())) / table["seconds"])
    table["times curate's"] = table["seconds"] / table["seconds"].get("curate", np.nan)
    return table


def commands(source: Path, out: Path, peers: str | None) -> dict[str, list[str]]:
    ingest = [sys.executable, "-m", "curate", "ingest", str(source / "samples.csv"), "-w", str(out)]
    if not peers:
        return {"curate": ingest}
    return {
        "curate": ingest,
        "fastdup": [peers, "-c", FASTDUP, str(source / "images"), str(out)],
        "cleanvision": [peers, "-c", CLEANVISION, str(source / "images"), str(out)],
        "imagededup CNN": [peers, "-c", IMAGEDEDUP, str(source / "images"), str(source / "embeddings.npz")],
        "FiftyOne Brain": [sys.executable, "-c", BRAIN, str(source / "images"), str(source / "embeddings.npz")],
    }


def timed(command: list[str], out: Path) -> dict[str, Any]:
    """Seconds by the clock and of the processors, and peak memory of the largest process, children included."""
    shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    done = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    _, status, usage = os.wait4(done.pid, 0)
    done.returncode = os.waitstatus_to_exitcode(status)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {' '.join(command)}")
    return {
        "seconds": time.perf_counter() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak GiB": usage.ru_maxrss / 2**20,
    }


# ---- images ----------------------------------------------------------------------------------------


def small(out: Path) -> None:
    """The bench images with the labels of one annotator."""
    unpack(CIFAR / "images.tar", out)
    samples = pd.read_csv(CIFAR / "samples.csv").set_index("image")
    samples["label"] = samples["label"].fillna(read_people()["annotator_1"])
    samples.reset_index().to_csv(out / "samples.csv", index=False)


def sixfold(out: Path) -> None:
    """Each bench image, and five times another cut of it, mirrored or not, in other colours, over another image."""
    small(out)
    samples, rng = pd.read_csv(out / "samples.csv"), np.random.default_rng(0)
    pictures = np.stack([np.asarray(Image.open(out / image).convert("RGB")) for image in samples["image"]])
    parts = [samples]
    for copy in range(1, 6):
        others = pictures[rng.permutation(len(pictures))].astype(np.float32)
        names = samples["image"].str.replace(".jpg", f"-{copy}.jpg", regex=False)
        for name, picture, other in zip(names, pictures, others, strict=True):
            changed(picture, other, rng).save(out / name, quality=90)
        parts.append(samples.assign(image=names))
    pd.concat(parts).to_csv(out / "samples.csv", index=False)


def changed(picture: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> Image.Image:
    side = int(rng.integers(18, 25))
    x, y = rng.integers(0, 33 - side, 2)
    cut = Image.fromarray(picture[y : y + side, x : x + side]).resize((32, 32), Image.Resampling.BICUBIC)
    pixels = np.asarray(cut, np.float32)[:, :: rng.choice([1, -1])]
    mixed = (0.65 * pixels + 0.35 * other) * rng.uniform(0.7, 1.3, 3)
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def photographs(out: Path) -> None:
    """The photographs as they are."""
    unpack(PHOTOS, out)


def photos(out: Path) -> None:
    """The photographs, ten times: the same bytes under other names."""
    tenfold(out, lambda data, copy: data)


def rewritten(out: Path) -> None:
    """The photographs, ten times: the same pixels, a comment added to the bytes, so that no two are alike."""
    tenfold(out, commented)


def commented(data: bytes, copy: int) -> bytes:
    comment = f"copy {copy}".encode()
    return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


def tenfold(out: Path, written: Callable[[bytes, int], bytes]) -> None:
    (out / "images").mkdir(parents=True)
    rows = []
    for name, data in read_images(PHOTOS).items():
        for copy in range(10):
            image = f"images/{Path(name).stem}-{copy}.jpg"
            (out / image).write_bytes(written(data, copy))
            rows.append({"image": image, "label": f"class {len(rows) // 10 % 16}"})
    pd.DataFrame(rows).to_csv(out / "samples.csv", index=False)


KINDS: dict[str, Callable[[Path], None]] = {
    "small": small,
    "sixfold": sixfold,
    "photos": photos,
    "rewritten": rewritten,
}
SMALL_KINDS = ("small", "sixfold")


if __name__ == "__main__":
    main()
