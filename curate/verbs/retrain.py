"""`curate retrain`: does the cleaned version make a better model?"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curate.artifacts import AS_INGESTED, TRAINER
from curate.config import TrainOptions
from curate.errors import StaleVersion
from curate.files import Shape, damaged, read_json, read_sealed, read_table, sealed, write_atomically
from curate.progress import Progress, silent
from curate.verbs.apply import latest_version, manifests_of
from curate.workspace import Workspace

VERSIONS = "versions.json"  # of a run: which two it compares
ANOTHER = "curate retrain, which makes another run; or put the file back from a copy"
PREDICTED = ("arm", "sample_id", "label", "predicted")  # and p_<class>
INTERVAL: Shape = [float, float]
FACTS: Shape = {  # of run.json
    "metrics": {
        "verdict": str,
        "preset": str,
        "classes": [str],
        "n_test": int,
        "changes": {"dropped": int, "relabelled": int, "added": int},
        "arms": {
            name: {
                "n_train": int,
                "accuracy": float,
                "macro_f1": float,
                "per_class": [
                    {"class": str, "precision": float, "recall": float, "f1": float, "support": int, "predicted": int}
                ],
                "confusion": [[int]],
                ...: object,
            }
            for name in ("before", "after", "control")
        },
        "differences": {
            "after - before": {
                "accuracy": float,
                "accuracy_interval": INTERVAL,
                "macro_f1": float,
                "macro_f1_interval": INTERVAL,
                "level": float,
                "only_first_right": int,
                "only_second_right": int,
                "p_value": float,
                "exchange_p?": (float, None),
                "test?": str,
            },
            ...: {...: object},
        },
        "notes": [str],
    },
    "digests?": {"predictions.parquet": str, ...: str},
    **{name: object for name in ("recipe", "options", "seeds", "preprocessing", "data", "packages", "hardware")},
}


@dataclass(frozen=True)
class RetrainSummary:
    """Which versions were compared, and what came out."""

    run: int
    folder: Path
    before: int
    after: int
    metrics: dict[str, Any]
    text: str

    def to_dict(self) -> dict[str, Any]:
        return {"run": self.run, "before": self.before, "after": self.after, **self.metrics}

    def to_text(self) -> str:
        return f"Run {self.run}: version {self.before} against version {self.after}\n{self.text}"


def retrain(
    workspace: Workspace,
    *,
    before: int = AS_INGESTED,
    after: int | None = None,
    options: TrainOptions | None = None,
    progress: Progress = silent,
) -> RetrainSummary:
    """Train on the version before, after and a random control; judge all on one test split.

    An interrupted run of the same versions and options is gone on with. The out-of-fold predictions become
    `pred_probs/trainer.parquet`, which `curate find --predictions trainer` judges the labels by.

    Raises
    ------
    StaleVersion : pictures of a version have been replaced since it was made
    The others are those of `curate.experiment.compare.retrain`.
    """
    from curate.experiment.compare import retrain as run

    options = options or TrainOptions()
    after = latest_version(workspace) if after is None else after
    with workspace.writing():
        manifests = manifests_of(workspace, before, after)
        _refuse_other_pictures(workspace, pd.concat(manifests))
        with _run(workspace, {"before": before, "after": after}) as (number, folder):
            comparison = run(*manifests, folder, options=options, notes=_left_out(workspace, after), progress=progress)
        if len(comparison.pred_probs):
            workspace.write(TRAINER, comparison.pred_probs, parameters={"run": number}, inputs=["samples"])
    return RetrainSummary(number, folder, before, after, comparison.to_dict(), comparison.to_text())


def _refuse_other_pictures(workspace: Workspace, versions: pd.DataFrame) -> None:
    """Raise where the last ingest saw, or a file has now, another content than a version was made of.

    The version's labels are of other pictures then. Files that are gone are told later, all together.
    """
    from curate.apply.contents import require_contents

    seen = workspace.read("samples")[["sample_id", "sha256"]].merge(versions, on="sample_id", suffixes=("", "_then"))
    changed = seen.loc[seen["sha256"].ne(seen["sha256_then"]), "sample_id"].drop_duplicates()
    if len(changed):
        raise StaleVersion(
            f"{len(changed):,} image(s) have changed since the versions were made, such as {changed.iloc[0]}",
            "the pictures that the versions were made of",
            "curate apply, which makes a version of those that are there now; then curate retrain",
        )
    pictures = versions.drop_duplicates(["path", "sha256"])
    require_contents(pictures[[Path(path).is_file() for path in pictures["path"]]])


def _left_out(workspace: Workspace, after: int) -> list[str]:
    """A sentence about the images that were ingested since the version after was made, if any."""
    then, now = (manifests_of(workspace, AS_INGESTED, other)[0]["sample_id"] for other in (after, AS_INGESTED))
    late = int((~now.isin(then)).sum())
    told = f"{late:,} images ingested since version {after} was made have no part: curate apply takes them in."
    return [told] if late else []


@contextmanager
def _run(workspace: Workspace, versions: dict[str, int]) -> Iterator[tuple[int, Path]]:
    """Number and folder of a run, which is removed where the run was refused before it began."""
    number, folder = _folder(workspace, versions)
    write_atomically(folder / VERSIONS, json.dumps(sealed(versions)).encode())
    try:
        yield number, folder
    finally:
        if not _has_begun(folder):
            shutil.rmtree(folder)


def _has_begun(folder: Path) -> bool:
    """Whether a run has left anything beside the numbers of its versions."""
    return any(path.name != VERSIONS for path in folder.iterdir())


def _folder(workspace: Workspace, versions: dict[str, int]) -> tuple[int, Path]:
    """The folder of the unfinished run of these versions, or of a new run."""
    numbers = workspace.numbered("runs")
    number = (numbers or [0])[-1] + 1
    folder = workspace.path("runs", str(number))
    if numbers:
        last = workspace.path("runs", str(numbers[-1]))
        is_same = read_json(last / VERSIONS) in (None, versions, sealed(versions))
        if not (last / "run.json").exists() and (is_same or not _has_begun(last)):
            number, folder = numbers[-1], last
    return number, folder


def finished_runs(workspace: Workspace) -> list[int]:
    """The numbers of the runs that ended, ascending."""
    return [number for number in workspace.numbered("runs") if workspace.path("runs", str(number), "run.json").exists()]


def run_facts(workspace: Workspace, run: int) -> dict[str, Any]:
    """`run.json` of a run that ended: metrics, recipe, options, digests of its tables.

    Raises
    ------
    DamagedFile : it is not what retrain wrote
    """
    file = workspace.path("runs", str(run), "run.json")
    facts = read_sealed(file, FACTS, do=ANOTHER)
    if not _is_of_one_size(facts["metrics"]):
        raise damaged(file, "its tables are not of its classes", ANOTHER)
    return facts


def _is_of_one_size(metrics: dict[str, Any]) -> bool:
    """Whether there are test images, and every table of every arm has a row for each class."""
    classes, arms = metrics["classes"], metrics["arms"].values()
    named = all([row["class"] for row in arm["per_class"]] == classes for arm in arms)
    square = all(len(row) == len(classes) == len(arm["confusion"]) for arm in arms for row in arm["confusion"] or [[]])
    return named and square and metrics["n_test"] > 0


def predictions_of(workspace: Workspace, run: int) -> pd.DataFrame:
    """The predictions of every arm of a run: arm, sample_id, label, predicted, p_<class>. Raises as `run_facts`."""
    file = workspace.path("runs", str(run), "predictions.parquet")
    digests = run_facts(workspace, run).get("digests", {})  # an earlier curate kept none
    table = read_table(file, digest=digests.get(file.name), do=ANOTHER)
    if missing := [name for name in PREDICTED if name not in table]:
        raise damaged(file, f"it has no column {missing[0]!r}", ANOTHER)
    return table


def versions_of(workspace: Workspace, run: int) -> tuple[int, int]:
    """The numbers of the versions that a run compares, before and after. Raises as `run_facts`."""
    file = workspace.path("runs", str(run), VERSIONS)
    told = read_sealed(file, {"before": int, "after": int}, do=ANOTHER)
    return told["before"], told["after"]
