"""Embeddings and class probabilities that users computed themselves: read, checked, kept, and used until forgotten."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import curate.checks as checks
from curate.artifacts import OWN, OWN_EMBEDDINGS, OWN_PRED_PROBS
from curate.config import FindOptions
from curate.errors import DamagedFile, InputError, WrongUsage
from curate.find.labels.probe import Prediction, with_pred_probs
from curate.text import from_csv
from curate.workspace import Workspace

ID_COLUMNS = ("sample_id", "image")
NAMED = 3  # of the samples that nothing was given for, those that an error names
IN_MEMORY = "an array"  # what the provenance says in place of a file's name


@dataclass(frozen=True)
class Rows:
    """Checked numbers, a row for each id.

    ids : (M,) sample_ids, or paths of the files
    values : (M, d)
    columns : the class of each column, where it was said
    given : the file that they come from
    """

    ids: list[str]
    values: np.ndarray
    columns: list[Any] | None
    given: str


@dataclass(frozen=True)
class Own:
    """What the user gave; None where nothing."""

    embeddings: Rows | None = None
    pred_probs: Rows | None = None


def as_own(embeddings: Any = None, pred_probs: Any = None, ids: Any = None, classes: Any = None) -> Own:
    """Read and check what was given, as far as that can be done without the samples.

    Parameters
    ----------
    embeddings : (M, d) array; a DataFrame whose index, or column `sample_id`, is the ids; or a .npy, .csv or .parquet
        file of these
    pred_probs : (M, C) likewise; the columns of a DataFrame, CSV or Parquet name the classes
    ids : (M,) sample_ids or paths, or a file with one on each line; for arrays and .npy files
    classes : (C,) the class of each column, or a file with one on each line; default: the labels' classes, sorted

    Raises
    ------
    InputError : unreadable files, wrong shapes, no ids, NaN, rows that don't sum to 1
    """
    if embeddings is None and pred_probs is None and (ids is not None or classes is not None):
        raise InputError("ids or classes alone", "embeddings or pred_probs that they belong to")
    ids, classes = _listed(ids, "ids"), _listed(classes, "classes")
    made: dict[str, Rows] = {}
    for name, values in (("embeddings", embeddings), ("pred_probs", pred_probs)):
        if values is not None:
            made[name] = _rows(values, name, ids, classes if name == "pred_probs" else None)
    return Own(**made)


def keep_own(workspace: Workspace, own: Own) -> None:
    """Write what was given, if it fits the samples of the last scan."""
    if own.embeddings is not None:
        rows = own.embeddings
        content = {"sample_ids": np.array(_sample_ids(workspace, rows.ids), dtype=str), "embeddings": rows.values}
        _refuse_gaps(content["sample_ids"], _readable(workspace), "embeddings")
        facts = {"rows": len(rows.ids), "numbers": rows.values.shape[1]}
        workspace.write(OWN_EMBEDDINGS, content, parameters={"given": rows.given}, counts=facts)
    if own.pred_probs is not None:
        rows = own.pred_probs
        labels = _labels(workspace)
        columns = list(checks.classes_of_columns(rows.values.shape[1], labels, rows.columns))
        _refuse_strange(columns, labels.values)
        table = pd.DataFrame(rows.values, columns=columns)
        table.insert(0, "sample_id", pd.Series(_sample_ids(workspace, rows.ids), dtype="str"))
        _refuse_gaps(table["sample_id"], _readable(workspace), "pred_probs")
        workspace.write(OWN_PRED_PROBS, table, parameters={"given": rows.given})


def forget_own(workspace: Workspace, kinds: Collection[str]) -> None:
    """Use what was given no more."""
    for kind in kinds:
        if kind not in OWN:
            raise InputError(f"forget '{kind}'", f"one of {', '.join(OWN)}")
        workspace.forget(OWN[kind])


def own_kinds(workspace: Workspace) -> list[str]:
    """What is in use: of `OWN`, those that were given and not forgotten."""
    return [kind for kind in OWN if is_given(workspace, kind)]


def is_given(workspace: Workspace, kind: str) -> bool:
    """Whether the user's own are in use; raises DamagedFile where a killed command left them half-written."""
    name = OWN[kind]
    if not workspace.has(name) and workspace.file_of(name).exists():
        raise _damaged(workspace, kind)
    return workspace.has(name)


def own_embeddings(workspace: Workspace, sample_ids: list[str]) -> np.ndarray:
    """(n, d) float16, L2-normalised, of these samples; raises InputError where they don't cover them."""
    kept = _kept(workspace, "embeddings")
    _refuse_gaps(kept["sample_ids"], sample_ids, "embeddings")
    return np.asarray(kept["embeddings"][pd.Index(kept["sample_ids"]).get_indexer(pd.Index(sample_ids))])


def own_prediction(workspace: Workspace, samples: pd.DataFrame, labels_given: pd.DataFrame) -> Prediction:
    """The user's probabilities of these samples in the place of the probe's."""
    kept = _kept(workspace, "pred_probs").set_index("sample_id")
    _refuse_gaps(kept.index, samples["sample_id"], "pred_probs")
    checks.classes_of_columns(kept.shape[1], _labels(workspace), list(kept.columns))
    probs = kept.loc[samples["sample_id"]].to_numpy(np.float32)
    return with_pred_probs(probs, list(kept.columns), samples["label"], annotations=labels_given)


def _kept(workspace: Workspace, kind: str) -> Any:
    try:
        return workspace.read(OWN[kind])
    except DamagedFile as error:
        raise _damaged(workspace, kind) from error


def _damaged(workspace: Workspace, kind: str) -> DamagedFile:
    """curate can't make anew what it was given."""
    option = kind.replace("_", "-")
    return DamagedFile(
        f"{workspace.file_of(OWN[kind])} is damaged: it is not what was given",
        f"the {kind} of your own",
        f"give them again, curate find --{option} FILE; or use curate's: curate find --forget {option}",
    )


def refuse_other_judges(options: FindOptions) -> None:
    """Raise where another judge of the labels is asked for than the user's own probabilities, which were kept."""
    if options.predictions != FindOptions.predictions:
        raise WrongUsage(
            f"predictions by {options.predictions}, and pred_probs of your own are in use",
            "one judge of the labels",
            "curate find --forget pred-probs",
        )


# ---- reading -----------------------------------------------------------------------------------------


def _rows(values: Any, name: str, ids: list[Any] | None, classes: list[Any] | None) -> Rows:
    given = os.path.abspath(values) if isinstance(values, str | Path) else IN_MEMORY
    values = _read(Path(values), name) if isinstance(values, str | Path) else values
    if isinstance(values, pd.DataFrame):
        values, ids, classes = _of_frame(values, ids, classes, name)
    if ids is None:
        raise InputError(f"{name} without ids", "the sample_id, or the path, of each row", "ids=…, or --ids FILE")
    array = checks.as_embeddings(values).astype(np.float16) if name == "embeddings" else checks.as_probabilities(values)
    return Rows([str(one) for one in checks.as_ids(ids, len(array)).values.values()], array, classes, given)


def _of_frame(
    table: pd.DataFrame, ids: list[Any] | None, classes: list[Any] | None, name: str
) -> tuple[pd.DataFrame, list[Any], list[Any]]:
    """A table without its column of ids, its ids, and what its columns are of."""
    column = next((c for c in ID_COLUMNS if c in table.columns), None)
    if column is not None:
        table, own = table.drop(columns=column), table[column].tolist()
    elif ids is None and isinstance(table.index, pd.RangeIndex):
        raise InputError(f"{name} is a table without a column sample_id", "the sample_id of each row")
    else:
        own = table.index.tolist()
    return table, own if ids is None else ids, list(table.columns) if classes is None else classes


def _read(file: Path, name: str) -> Any:
    """The array or table in a file."""
    readers: dict[str, Callable[[Path], Any]] = {".npy": _read_array, ".csv": _read_csv, ".parquet": pd.read_parquet}
    if file.suffix.lower() not in readers:
        raise InputError(f"{name}: can't read '{file}'", ".npy with ids, or .csv or .parquet with a column sample_id")
    if not file.is_file():
        raise InputError(f"{name}: there is no file {file}")
    try:
        return readers[file.suffix.lower()](file)
    except (OSError, ValueError, EOFError) as error:  # what NumPy, pandas and pyarrow raise on other bytes
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{name}: {file} can't be read: {why}", f"a whole {file.suffix} file") from error


def _read_array(file: Path) -> np.ndarray:
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))


def _read_csv(file: Path) -> pd.DataFrame:
    """A table whose names, of samples and of classes, may be guarded as curate's own CSVs are."""
    table = pd.read_csv(file, dtype=dict.fromkeys(ID_COLUMNS, str)).rename(columns=from_csv)
    ids = [name for name in ID_COLUMNS if name in table.columns]
    return table.assign(**{name: table[name].map(from_csv, na_action="ignore") for name in ids})


def _listed(values: Any, name: str) -> list[Any] | None:
    """Values, or the lines of a file, or what a .npy file holds, as a list."""
    if values is None or not isinstance(values, str | Path):
        return None if values is None else checks.as_array(values, name).tolist()
    file = Path(values)
    if file.suffix.lower() == ".npy":
        return list(_read(file, name).tolist())
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: {file} can't be read: {error}", "a text file with one on each line") from error
    return [line.strip() for line in lines if line.strip()]


# ---- fitting to the samples ------------------------------------------------------------------------------


def _sample_ids(workspace: Workspace, ids: Iterable[str]) -> list[str]:
    """Ids, and paths of the files, as sample_ids; what is neither stays as it is."""
    sources = workspace.read("sources")
    by_path = dict(zip(sources["path"], sources["sample_id"], strict=True))
    known = set(sources["sample_id"])
    return [one if one in known else by_path.get(os.path.abspath(one), os.path.normpath(one)) for one in ids]


def _readable(workspace: Workspace) -> pd.Series:
    scan = workspace.read("scan")
    return scan.loc[scan["status"].eq("ok"), "sample_id"]


def _labels(workspace: Workspace) -> checks.Labels:
    """The classes of the data set: those of the source, and those that annotators named."""
    labels = workspace.read("sources")["label"]
    if workspace.has("annotations"):
        labels = pd.concat([labels, workspace.read("annotations")["label"]])
    return checks.as_labels(labels)


def _refuse_gaps(given: Any, wanted: Iterable[str], name: str) -> None:
    missing = pd.Index(wanted).difference(pd.Index(given))
    if len(missing):
        raise InputError(
            f"{name} of your own lack {len(missing):,} of {len(list(wanted)):,} samples: {', '.join(missing[:NAMED])}"
            + (" …" if len(missing) > NAMED else ""),
            "a row for each image that can be read, named by its sample_id or its path",
            f"give {name} for all, or use curate's again: curate find --forget {name.replace('_', '-')}",
        )


def _refuse_strange(columns: Iterable[str], classes: Collection[str]) -> None:
    strange = [name for name in columns if name not in classes]
    if strange:
        raise InputError(
            f"pred_probs has a column '{strange[0]}', which is no class of this data set",
            f"the classes {', '.join(sorted(classes)[:10])}" + (" …" if len(classes) > 10 else ""),
            "leave other columns out and let the rest sum to 1",
        )
