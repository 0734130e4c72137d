"""Write the handwritten digits inside scikit-learn as image files, with planted defects of known number.

    OUT/images/00000.png …   the pictures, under names that tell nothing
    OUT/samples.csv          image, split, label: labels for the test images only (clean)
    OUT/annotations.csv      image, annotator, label: what anna and ben called the others
    OUT/planted.csv          sample_id, defect, twin, detail: what was planted, for counting only
    OUT/truth.csv            sample_id, label: the true digit, empty where there is none; for counting only
    OUT/planted.json         the plan and the seed; written last

The digits are E. Alpaydin and C. Kaynak's Optical Recognition of Handwritten Digits (UCI, 1998).
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from curate.demo.draw import COPY_STYLES, OFF_TOPIC_STYLES, damage, draw_digit, encode, near_copy, off_topic
from curate.demo.people import annotate
from curate.errors import SourceError
from curate.files import FORMATS, read_json, write_csv

NOTICE = "The defects of this data set were planted by `curate demo`, so that what is found can be counted."
UNREADABLE_STYLES = ("empty file", "text under an image's name", "no such file")


@dataclass(frozen=True)
class Plan:
    """How many of each defect; copies and off-topic pictures are added, the others happen to originals."""

    test: int = 360
    val: int = 180
    exact_copy: int = 30
    near_copy: int = 30
    leak: int = 30  # copies of test images among the training images; every third is exact
    truncated: int = 12
    unreadable: int = 12
    dark: int = 15
    bright: int = 15
    blurred: int = 20
    off_topic: int = 24
    agreed_mistake: int = 100  # digits that both people call by the same wrong name
    error_rates: dict[str, float] = field(default_factory=lambda: {"anna": 0.06, "ben": 0.10})


IN_PLACE = ("truncated", "unreadable", "dark", "bright", "blurred")
COPIES = ("exact_copy", "near_copy", "leak")


@dataclass(frozen=True)
class Planted:
    """A planted data set: where it is, and what is true of it."""

    root: Path
    defects: pd.DataFrame  # sample_id, defect, twin, detail
    truth: pd.DataFrame  # sample_id, label; label is null where the picture shows no digit
    annotations: pd.DataFrame  # image, annotator, label

    @property
    def manifest(self) -> Path:
        return self.root / "samples.csv"

    @property
    def annotations_file(self) -> Path:
        return self.root / "annotations.csv"


def plant(out: Path | str, *, seed: int = 0, plan: Plan | None = None) -> Planted:
    """Write the demo's data set to the new folder `out`; about two seconds. The same seed gives the same bytes.

    A folder that this function finished before, with the same plan and seed, is used as it is.

    Raises
    ------
    SourceError : `out` holds something else
    """
    out, plan = Path(out), plan or Plan()
    wish = {"note": NOTICE, "seed": seed, "plan": asdict(plan)}
    if _was_planted(out, wish):
        return read_planted(out)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        _write(temporary, plan, np.random.default_rng(seed))
        (temporary / "planted.json").write_text(json.dumps(wish, indent=1))
        os.rename(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return read_planted(out)


def read_planted(root: Path | str) -> Planted:
    """Read what `plant` wrote to the folder `root`."""
    root = Path(root)
    files = (root / name for name in ("planted.csv", "truth.csv", "annotations.csv"))
    defects, truth, annotations = map(FORMATS[".csv"].read, files)
    return Planted(root, defects, truth, annotations)


def _was_planted(out: Path, wish: dict[str, object]) -> bool:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    made = out / "planted.json"
    if read_json(made) == json.loads(json.dumps(wish)):
        return True
    raise SourceError(f"{out} holds other files", "a new or empty folder for the demo", "name another folder")


def _write(out: Path, plan: Plan, rng: np.random.Generator) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    rows = _lay_out(digits.target, plan, rng)
    (out / "images").mkdir(parents=True)
    _write_images(out, rows, digits.images, rng)
    answers, mistakes = annotate(rows, plan.agreed_mistake, plan.error_rates, rng)
    labels = rows["truth"].where(rows["split"] == "test")
    samples = pd.DataFrame({"image": rows["sample_id"], "split": rows["split"], "label": labels})
    write_csv(out / "samples.csv", samples)
    write_csv(out / "truth.csv", pd.DataFrame({"sample_id": rows["sample_id"], "label": rows["truth"]}))
    write_csv(out / "annotations.csv", answers)
    defects = rows.loc[rows["defect"] != "", ["sample_id", "defect", "twin", "detail"]]
    write_csv(out / "planted.csv", pd.concat([defects, mistakes], ignore_index=True))


# ---- which picture is what -----------------------------------------------------------------------


def _lay_out(target: np.ndarray, plan: Plan, rng: np.random.Generator) -> pd.DataFrame:
    """One row per picture to draw: sample_id, digit (row of the digits, or -1), truth, split, defect, twin, detail."""
    rows = pd.DataFrame({"digit": np.arange(len(target)), "truth": target.astype(str)})
    rows["split"] = _splits(target, plan, rng)
    rows["defect"], rows["detail"], rows["twin_row"] = "", "", -1
    unused = rng.permutation(np.flatnonzero(rows["split"] == "train")).tolist()
    for defect in IN_PLACE:
        chosen = [unused.pop() for _ in range(getattr(plan, defect))]
        rows.loc[chosen, "defect"] = defect
        rows.loc[chosen, "detail"] = _details(defect, len(chosen))
    in_test = rng.permutation(np.flatnonzero(rows["split"] == "test")).tolist()
    for defect in COPIES:
        originals = in_test if defect == "leak" else unused
        twins = [originals.pop() for _ in range(getattr(plan, defect))]
        rows = pd.concat([rows, _copies(rows, defect, twins)], ignore_index=True)
    rows = pd.concat([rows, _intruders(plan.off_topic)], ignore_index=True)
    return _name(rows, rng)


def _splits(target: np.ndarray, plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """Stratified: within each digit a random order, then the digits dealt in turn, so that any cut is balanced."""
    order = rng.permutation(len(target))
    turn = pd.Series(target[order]).groupby(target[order]).cumcount().to_numpy()
    order = order[np.argsort(turn, kind="stable")]
    splits = np.full(len(target), "train", dtype=object)
    splits[order[: plan.test]] = "test"
    splits[order[plan.test : plan.test + plan.val]] = "val"
    return splits


def _details(defect: str, count: int) -> list[str]:
    styles = {"unreadable": UNREADABLE_STYLES, "near_copy": COPY_STYLES, "off_topic": OFF_TOPIC_STYLES}
    if defect == "leak":
        return ["byte for byte" if i % 3 == 0 else COPY_STYLES[i % len(COPY_STYLES)] for i in range(count)]
    names = styles.get(defect, (defect.replace("_", " "),))
    return [names[i % len(names)] for i in range(count)]


def _copies(rows: pd.DataFrame, defect: str, twins: list[int]) -> pd.DataFrame:
    copies = rows.loc[twins, ["digit", "truth"]].reset_index(drop=True)
    detail = ["byte for byte"] * len(twins) if defect == "exact_copy" else _details(defect, len(twins))
    return copies.assign(split="train", defect=defect, detail=detail, twin_row=twins)


def _intruders(count: int) -> pd.DataFrame:
    rows = pd.DataFrame({"detail": _details("off_topic", count)})
    return rows.assign(digit=-1, truth=None, split="train", defect="off_topic", twin_row=-1)


def _name(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Neutral file names in random order; JPEG where a copy was encoded anew. Rows come back in that order."""
    encoded_anew = (rows["twin_row"] >= 0) & (rows["detail"] != "byte for byte")
    ending = np.where(encoded_anew, "jpg", "png")
    rows["sample_id"] = [f"images/{n:05d}.{kind}" for n, kind in zip(rng.permutation(len(rows)), ending, strict=True)]
    rows["twin"] = [rows["sample_id"][twin] if twin >= 0 else None for twin in rows["twin_row"]]
    return rows.sort_values("sample_id", ignore_index=True)


# ---- the files -----------------------------------------------------------------------------------


def _write_images(out: Path, rows: pd.DataFrame, digits: np.ndarray, rng: np.random.Generator) -> None:
    from sklearn.datasets import load_sample_images

    pages = [draw_digit(digit, rng) for digit in digits]
    photos = load_sample_images().images
    for row in rows.to_dict("records"):
        name, detail = row["sample_id"], row["detail"]
        if detail == "no such file":
            continue
        picture = pages[row["digit"]] if row["digit"] >= 0 else off_topic(detail, photos, rng)
        (out / name).write_bytes(_file_bytes(picture, row["defect"], detail, name[-3:]))


def _file_bytes(picture: Image.Image, defect: str, detail: str, kind: str) -> bytes:
    if defect in ("dark", "bright", "blurred"):
        return encode(damage(picture, defect), kind)
    if detail in COPY_STYLES:
        return encode(near_copy(picture, detail), kind)
    if defect == "unreadable":
        return b"" if detail == "empty file" else b"This is no image.\n" * 20
    content = encode(picture, kind)
    return content[: len(content) // 2] if defect == "truncated" else content
