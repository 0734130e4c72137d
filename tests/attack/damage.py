"""Every file of a workspace cut off and bits of it flipped: what six commands then say, and what ingest mends.

python tests/attack/damage.py [TRIES]      # of each kind of file; prints a table, exits with 1 where there is a fault

Of each try: never a traceback; each command fails with an error that names the file, or says what it says of the
undamaged workspace; and the next ingest makes its tables as they were.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1]))
from command import class_folders  # noqa: E402

from curate.cli import main  # noqa: E402

QUICK = ("--preset", "quick", "--epochs", "1", "--image-size", "32", "--folds", "2")
COMMANDS = {
    "status": ["--json"],
    "issues": ["--json"],
    "check": ["--json"],
    "report": ["--out", "PAGE"],
    "diff": ["--json"],
    "apply": ["--json"],
}
KINDS = {  # a kind of file and what its path begins or ends with; the first that fits
    "ledger": r"ledger\.sqlite",
    "mark of the workspace": r"workspace\.json",
    "provenance": r"(tables|issues|neighbors|pred_probs|embeddings|reports|versions)/[^/]+\.\w+\.json",
    "tables": r"(tables|issues|pred_probs|neighbors)/[^/]+\.parquet",
    "arrays": r".*\.npz",
    "JSON tables": r"(tables|embeddings|versions)/[^/]+\.json",
    "shard: rows": r"embeddings/.*/rows\.parquet",
    "shard: embeddings, thumbnails": r"embeddings/.*\.npy",
    "shard: digests": r"embeddings/.*\.json",
    "version: tables": r"versions/\d+/.*\.parquet",
    "version: facts": r"versions/\d+/.*\.json",
    "run: facts": r"runs/\d+/[^/]+\.json",
    "run: tables": r"runs/\d+/[^/]+\.(parquet|csv)",
    "run: arms and folds": r"runs/\d+/(arms|folds)/.*",
    "pages and lists": r".*\.(html|csv)",
}
MADE_BY_OTHERS = ("ledger", "workspace.json", "versions/", "runs/", "reports/", "pred_probs/trainer")  # than ingest


@dataclass(frozen=True)
class Whole:
    """A workspace with everything in it, and what it says."""

    root: Path
    images: Path
    votes: Path
    said: dict[str, tuple[int, str]]
    contents: dict[str, object]

    def ingest(self) -> list[str]:
        return ["ingest", str(self.images), "--annotations", str(self.votes)]


@dataclass(frozen=True)
class Try:
    """What became of one damage: `outcome` is told, made anew or unchanged; `faults` say which command did what."""

    kind: str
    file: str
    how: str
    outcome: str
    faults: list[str]


def make_whole(folder: Path) -> Whole:
    """40 images of two classes, three annotators, decisions, a version, a run and a report."""
    images, votes = class_folders(folder / "images", {"cat": 20, "dog": 20}), folder / "votes.csv"
    names = sorted(str(path.relative_to(images)) for path in images.rglob("*.png"))
    rows = [
        (n, who, "dog" if (i + j) % 9 == 0 else n.split("/")[0])
        for i, n in enumerate(names)
        for j, who in enumerate("abc")
    ]
    pd.DataFrame(rows, columns=["image", "annotator", "label"]).to_csv(votes, index=False)
    root = folder / "whole"
    whole = Whole(root, images, votes, {}, {})
    _done(whole.ingest(), root)
    samples = pd.read_parquet(root / "tables/samples.parquet").query("split == 'train'")["sample_id"].head(9)
    actions = pd.DataFrame({"sample_id": samples, "issue": "label", "action": ["keep", "drop", "unsure"] * 3})
    actions.to_csv(folder / "verdicts.csv", index=False)
    for command in (
        ["decide", str(folder / "verdicts.csv"), "--reviewer", "ann"], ["apply"], ["retrain", *QUICK], ["report"]
    ):  # fmt: skip
        _done(command, root)
    said = {command: answer(command, root) for command in COMMANDS}
    return Whole(root, images, votes, said, contents(root))


def _done(command: list[str], root: Path) -> None:
    result = CliRunner().invoke(main, [*command, "-w", str(root)])
    assert result.exit_code == 0, result.output


def answer(command: str, root: Path) -> tuple[int, str]:
    """Exit code and what a command says, without times, places and the number of a version that says the same."""
    page = root.parent / "page.html"
    page.unlink(missing_ok=True)
    arguments = [str(page) if argument == "PAGE" else argument for argument in COMMANDS[command]]
    result = CliRunner().invoke(main, [command, *arguments, "-w", str(root)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return -1, "".join(traceback.format_exception(*result.exc_info))
    said = page.read_text() if page.exists() else result.output
    said = re.sub(r"\d\d \w+ 20\d\d, \d\d:\d\d|20\d\d-\d\d-\d\dT[\d:+.]+", "", said.replace(str(root), "WORKSPACE"))
    return result.exit_code, re.sub(r'"version": \d+', "", said)


def contents(root: Path) -> dict[str, object]:
    """What ingest makes, by name: the cells of its tables and the numbers of its arrays."""
    found: dict[str, object] = {}
    for file in sorted(root.rglob("*")):
        name = file.relative_to(root).as_posix()
        if name.startswith(MADE_BY_OTHERS):
            continue
        if file.suffix == ".parquet" and not name.startswith("embeddings/"):
            found[name] = pd.read_parquet(file).to_json()
        elif file.suffix == ".npz":
            with np.load(file) as arrays:
                found[name] = {key: arrays[key].tobytes() for key in arrays.files}
        elif re.fullmatch(KINDS["JSON tables"], name) and not file.with_suffix("").exists():
            found[name] = json.loads(file.read_text())
    shards = sorted(path.parent for path in root.glob("embeddings/*/*/rows.parquet"))
    rows = pd.concat([pd.read_parquet(shard / "rows.parquet") for shard in shards]).drop(columns=["place"])
    arrays = {
        name: np.concatenate([np.load(shard / f"{name}.npy") for shard in shards]) for name in ("embeddings", "thumbs")
    }
    pictures = zip(rows["sample_id"], *arrays.values(), strict=True)
    found["pictures"] = sorted((name, one.tobytes(), other.tobytes()) for name, one, other in pictures)
    return found


def kind_of(name: str) -> str:
    return next((kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, name)), "others")


def by_kind(root: Path) -> dict[str, list[str]]:
    """The files of a workspace, by kind."""
    found: dict[str, list[str]] = {}
    for file in sorted(path for path in root.rglob("*") if path.is_file() and path.name != ".lock"):
        found.setdefault(kind_of(name := file.relative_to(root).as_posix()), []).append(name)
    return found


def damage(file: Path, rng: random.Random) -> str:
    """Cut the file off, or flip one bit of it; says which."""
    content = bytearray(file.read_bytes())
    if rng.random() < 0.5 or not content:
        length = rng.choice([0, rng.randrange(max(1, len(content)))])
        file.write_bytes(content[:length])
        return f"cut to {length} of {len(content)} bytes"
    place, bit = rng.randrange(len(content)), rng.randrange(8)
    content[place] ^= 1 << bit
    file.write_bytes(content)
    return f"bit {bit} of byte {place} flipped"


def attempt(whole: Whole, name: str, folder: Path, rng: random.Random) -> Try:
    """Damage one file of a copy of the workspace, ask six commands, ingest, and compare."""
    root = Path(shutil.copytree(whole.root, folder / "ws"))
    try:
        how = damage(root / name, rng)
        answers = {command: answer(command, root) for command in COMMANDS}
        faults = [fault for command in COMMANDS for fault in _faults(command, answers[command], whole, name)]
        faults += _faults_of_ingest(whole, root, name)
        told = any(answers[command] != whole.said[command] for command in COMMANDS)
        healed = (root / name).exists() and (root / name).read_bytes() == (whole.root / name).read_bytes()
        return Try(kind_of(name), name, how, "told" if told else "made anew" if healed else "unchanged", faults)
    finally:
        shutil.rmtree(root)


def _faults(command: str, answer: tuple[int, str], whole: Whole, name: str) -> Iterator[str]:
    code, said = answer
    if code == -1:
        yield f"{command}: traceback: {said.strip().splitlines()[-1]}"
    elif answer != whole.said[command] and not _names(said, name):
        yield f"{command}: {'error without the name' if code else 'another result without a word'}"


def _names(said: str, name: str) -> bool:
    """Whether the file is named; of a sidecar, the file that it belongs to is as good."""
    plain = said.replace("\\/", "/")
    return name in plain or name.removesuffix(".json") in plain or (name.startswith("ledger") and "ledger" in plain)


def _faults_of_ingest(whole: Whole, root: Path, name: str) -> Iterator[str]:
    result = CliRunner().invoke(main, [*whole.ingest(), "-w", str(root)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        yield f"ingest: traceback: {result.exception!r}"
    elif result.exit_code:
        if not name == "workspace.json":  # which only a person can mend
            yield f"ingest: {result.output.splitlines()[-1]}"
    elif contents(root) != whole.contents:
        now = contents(root)
        yield f"ingest: not as before: {[key for key in whole.contents if now.get(key) != whole.contents[key]]}"


def tries(whole: Whole, folder: Path, count: int, *, seed: int = 0, kinds: list[str] | None = None) -> Iterator[Try]:
    """`count` of each kind, over its files in turn."""
    for kind, names in by_kind(whole.root).items():
        if kinds is None or kind in kinds:
            rng = random.Random(f"{seed} {kind}")
            rng.shuffle(names)
            for number in range(count):
                yield attempt(whole, names[number % len(names)], folder, rng)


def summary(found: list[Try]) -> pd.DataFrame:
    """A row for each kind: tries, told, made anew, unchanged, with faults."""
    rows = []
    for kind in dict.fromkeys(one.kind for one in found):
        of_kind = [one for one in found if one.kind == kind]
        outcomes = Counter(one.outcome for one in of_kind)
        counts = {name: outcomes[name] for name in ("told", "made anew", "unchanged")}
        rows.append({"file": kind, "tries": len(of_kind), **counts, "faults": sum(bool(one.faults) for one in of_kind)})
    return pd.DataFrame(rows)


def run(count: int) -> int:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        whole, found = make_whole(folder), list[Try]()
        for one in tries(whole, folder, count):
            found.append(one)
            if one.faults:
                print(one.file, one.how, *one.faults, sep="\n    ", flush=True)
    print(summary(found).to_string(index=False))
    return int(any(one.faults for one in found))


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]) if len(sys.argv) > 1 else 13))
