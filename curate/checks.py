"""What users hand in, checked at the door: lists, NumPy, pandas and torch become arrays of a known shape and type.

Each function returns what the stages take, or raises InputError with what was found, what was expected and what to do.
Rows count by their order; the index of a pandas object is not looked at, but where it is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate.errors import InputError
from curate.find.rows import blocks

SUM_TOLERANCE = 0.01  # of a row of probabilities: half precision and rounding to four digits stay below it
SHOWN = 3  # of many odd values, those that an error names


@dataclass(frozen=True)
class Labels:
    """Labels as class names, and what the user's own labels were.

    names : (N,) str, null where there is no label
    values : class name → the label as it was given
    """

    names: pd.Series
    values: dict[str, Any]

    @property
    def classes(self) -> list[str]:
        """The class names, ordered as the user's labels are: 2 comes before 10."""
        return sorted_classes(self.values)

    def given(self, names: Iterable[Any]) -> pd.Series:
        """These class names as the user's own labels; null stays null."""
        return _typed([self.values.get(name) for name in names])


@dataclass(frozen=True)
class Ids:
    """One id per row: as text for the stages, and as it was given."""

    names: np.ndarray  # (N,) str
    values: dict[Any, Any] = field(repr=False)  # text → as given

    def given(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with the user's ids in its columns of ids."""
        columns = [c for c in table if c in ("nearest_id", "group_id") or str(c).startswith("sample_id")]
        table = table.copy()
        for column in columns:
            table[column] = _typed([self.values.get(name) for name in table[column]]).set_axis(table.index)
        return table


def _typed(values: list[Any]) -> pd.Series:
    """Values as a column; whole numbers beside nulls stay whole numbers."""
    present = [value for value in values if value is not None]
    if len(present) < len(values) and present and all(type(v) is int and -(2**63) <= v < 2**63 for v in present):
        return pd.Series(values, dtype="Int64")
    return pd.Series(values, dtype=object).infer_objects()


# ---- numbers ---------------------------------------------------------------------------------------


def as_embeddings(values: Any) -> np.ndarray:
    """(N, d) finite numbers → (N, d) float32 rows of length 1; a row of zeros stays one."""
    array = as_numbers(values, "embeddings", "(N, d), a row for each sample")
    normal = np.empty(array.shape, np.float32)
    for part in blocks(len(array)):
        rows = array[part].astype(np.float64)
        rows /= np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(float).tiny)  # no square overflows
        normal[part] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return normal


def as_pred_probs(values: Any, labels: Labels, classes: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
    """(N, C) probabilities whose rows sum to 1, as float32; and of each column the class name and the user's label.

    Parameters
    ----------
    values : (N, C); the columns of a DataFrame name the classes
    labels : of the same samples; the classes that there are
    classes : (C,) the label that each column is of. None: of whole numbers below C those from 0 to C - 1, else the
        labels that occur, sorted
    """
    if classes is None and isinstance(values, pd.DataFrame):
        classes = list(values.columns)
    probs = as_probabilities(values)
    named = classes_of_columns(probs.shape[1], labels, classes)
    return probs, {name: labels.values.get(name, value) for name, value in named.items()}


def classes_of_columns(n: int, labels: Labels, classes: Any = None) -> dict[str, Any]:
    """Class name and label of each of n columns of probabilities; raises where a labelled class has none."""
    named = _usual_classes(n, labels) if classes is None else _named_classes(classes, n)
    if absent := [name for name in labels.classes if name not in named]:
        raise InputError(
            f"pred_probs has no column for the class(es) {_some(absent)}",
            f"a column for each of the {len(labels.values)} classes that are labelled",
            "say which class each column is of: classes=[…]",
        )
    return named


def _usual_classes(n: int, labels: Labels) -> dict[str, Any]:
    """The classes of n columns that nobody named."""
    known = labels.values.values()
    if known and all(type(value) is int and 0 <= value < n for value in known):  # a bool is an int as well
        return {str(number): number for number in range(n)}
    if len(known) != n:
        raise InputError(
            f"pred_probs has {n} column(s), the labels name {len(known)} class(es)",
            "a column for each class, in the order of the sorted labels",
            "say which class each column is of: classes=[…]",
        )
    return {name: labels.values[name] for name in labels.classes}


def _named_classes(classes: Any, n: int) -> dict[str, Any]:
    given = as_labels(classes, name="classes")
    if len(given.names) != n or len(given.values) != n:
        raise InputError(
            f"{len(given.names)} classes, {len(given.values)} of them different, for {n} columns of pred_probs",
            "one class for each column, none twice",
        )
    return {name: given.values[name] for name in given.names}


def as_probabilities(values: Any) -> np.ndarray:
    """(N, C) float32 of rows that sum to 1, exactly so where they did within `SUM_TOLERANCE`."""
    array = as_numbers(values, "pred_probs", "(N, C), a row for each sample and a column for each class")
    probs = array.astype(np.float64)
    sums = probs.sum(axis=1)
    for wrong, found, expected in (
        ((probs < 0).any(axis=1) | (probs > 1 + SUM_TOLERANCE).any(axis=1), "holds", "probabilities from 0 to 1"),
        (np.abs(sums - 1) > SUM_TOLERANCE, "sums to", "rows that sum to 1"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            value = f"{sums[row]:g}" if found == "sums to" else f"{_worst(probs[row]):g}"
            raise InputError(
                f"row {row} of pred_probs {found} {value}; so {wrong.sum():,} row(s)",
                expected,
                "of scores or logits, take the softmax first",
            )
    return np.asarray((probs / sums[:, None]).astype(np.float32))


def _worst(row: np.ndarray) -> float:
    return float(row[np.argmax(np.abs(row - 0.5))])


def as_share(value: Any, name: str) -> float:
    """A number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise InputError(f"{name} is {_short(value)}", "a number from 0 to 1")
    return float(value)


def as_count(value: Any, name: str, least: int = 0) -> int:
    """A whole number from `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} is {_short(value)}", f"a whole number from {least}")
    return int(value)


def as_numbers(values: Any, name: str, shape: str) -> np.ndarray:
    """A two-dimensional array of finite numbers, neither side of length 0; `shape` is said in errors."""
    array = as_array(values, name)
    if array.dtype == object and array.ndim == 1 and len(array) and np.ndim(array[0]) == 1:
        array = as_array(array.tolist(), name)  # a column of a table that holds an array in each cell
    if array.dtype == object:
        array = _numbers_of_objects(array, name)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} of dtype {array.dtype}", "real numbers")
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"{name} of shape {array.shape}", shape)
    wrong = np.concatenate([~np.isfinite(array[part]).all(axis=1) for part in blocks(len(array))])
    if wrong.any():
        raise InputError(
            f"{name} hold NaN or infinity in {wrong.sum():,} row(s), the first is row {int(wrong.argmax())}",
            "finite numbers",
            "leave these samples out, or compute them again",
        )
    return array


def _numbers_of_objects(array: np.ndarray, name: str) -> np.ndarray:
    """What pandas and lists hold as objects, such as numbers beside None, as floats."""
    odd = next((v for v in array.ravel() if not (_is_null(v) or isinstance(v, int | float | np.number))), None)
    if odd is not None:
        raise InputError(f"{name} hold {_short(odd)}", "real numbers, the same count in each row")
    return np.array([np.nan if _is_null(v) else v for v in array.ravel()], dtype=float).reshape(array.shape)


def as_array(values: Any, name: str, dtype: Any = None) -> np.ndarray:
    """Lists, NumPy, pandas, torch (any device and precision) as an array; raises where that can't be one.

    Of labels `dtype` is object: NumPy would else make text of a number, or of NaN, that stands beside text.
    """
    if values is None or isinstance(values, str | bytes | Mapping | set | frozenset):
        raise InputError(f"{name} is {_short(values)}", "an array, a list, a pandas object or a tensor")
    if isinstance(values, pd.DataFrame | pd.Series | pd.Index):
        return values.to_numpy()
    if isinstance(values, np.ma.MaskedArray):
        array = np.array(values.data, dtype=object)
        array[np.ma.getmaskarray(values)] = None
        return array
    if hasattr(values, "toarray"):
        raise InputError(f"{name} is sparse ({type(values).__name__})", "a dense array", f"{name}.toarray()")
    if hasattr(values, "detach"):
        return _of_tensor(values)
    if not hasattr(values, "__array__"):
        values = [_of_tensor(value) if hasattr(value, "detach") else value for value in _listed(values, name)]
    try:
        return np.asarray(values, dtype=dtype)
    except ValueError as error:  # rows of different lengths
        raise InputError(f"{name}: {str(error).splitlines()[0]}", "as many values in each row") from error


def _of_tensor(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    try:
        return np.asarray(tensor.numpy())
    except TypeError:  # NumPy has no bfloat16
        return np.asarray(tensor.float().numpy())


def _listed(values: Any, name: str) -> list[Any]:
    if not isinstance(values, Iterable):
        raise InputError(f"{name} is {_short(values)}", "an array, a list, a pandas object or a tensor")
    return list(values)


# ---- labels, ids, groups -----------------------------------------------------------------------------


def as_labels(values: Any, n: int | None = None, name: str = "labels") -> Labels:
    """(N,) strings, whole numbers or bools → class names; None, NaN and an empty string are no label."""
    array = _column(values, name)
    same_length(len(array), n, name)
    try:
        codes, unique = pd.factorize(array)
    except TypeError as error:
        raise InputError(f"{name} hold a value that can't be a class: {error}", _CLASSES) from error
    plain = [_class_of(value, name) for value in unique]
    by_name: dict[str, Any] = {}
    for value in plain:
        if value is not None and by_name.setdefault(str(value), value) != value:
            raise InputError(f"{name} hold {value!r} and {by_name[str(value)]!r}", "labels of one type")
    names = np.array([None if value is None else str(value) for value in plain] + [None], dtype=object)
    return Labels(pd.Series(names[codes], dtype=object), by_name)


_CLASSES = "class names or class numbers, one for each sample"


def sorted_classes(values: Mapping[str, Any]) -> list[str]:
    """The names of classes in the order of what they name; of mixed types in that of the names."""
    try:
        return sorted(values, key=lambda name: values[name])
    except TypeError:
        return sorted(values)


def joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The classes of two sets of labels together; raises where 1 and '1' are both there."""
    for name in one.keys() & other.keys():
        if type(one[name]) is not type(other[name]):
            raise InputError(f"the class {name} is {one[name]!r} here and {other[name]!r} there", "labels of one type")
    return {**one, **other}


def _class_of(value: Any, name: str) -> Any:
    """A label as str, int or bool; None for an empty string."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        if "\0" in value:  # NumPy drops it at a text's end, and two classes would be one
            raise InputError(f"{name} hold {_short(value)}", "text without NUL characters")
        return value or None
    if not isinstance(value, int):
        raise InputError(f"{name} hold {_short(value)}, a {type(value).__name__}", _CLASSES)
    return value


def as_ids(values: Any, n: int, name: str = "ids") -> Ids:
    """(N,) ids, none twice; None: the row numbers from 0."""
    if values is None:
        names = np.array([f"{row:012d}" for row in range(n)], dtype=object)  # as text in the order of the rows
        return Ids(names, dict(zip(names, range(n), strict=True)))
    array = _column(values, name)
    same_length(len(array), n, name)
    missing = [row for row, value in enumerate(array) if _is_null(value) or value == ""]
    if missing:
        raise InputError(f"{name}: row {missing[0]} is empty", "an id for each sample")
    plain = [value.item() if isinstance(value, np.generic) else value for value in array]
    names = np.array([str(value) for value in plain], dtype=object)
    if (again := pd.Series(names).duplicated()).any():
        raise InputError(f"{name}: '{names[again.argmax()]}' is there twice", "a different id for each sample")
    return Ids(names, dict(zip(names, plain, strict=True)))


def as_groups(values: Any, n: int, name: str = "groups") -> np.ndarray:
    """(N,) keys of what belongs together → (N,) int64; a null belongs to nobody. None: each sample for itself."""
    if values is None:
        return np.arange(n)
    array = _column(values, name)
    same_length(len(array), n, name)
    try:
        codes = pd.factorize(array)[0].astype(np.int64)
    except TypeError as error:
        raise InputError(f"{name} hold a value that can't be a key: {error}", "one key for each sample") from error
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(alone.sum())
    return codes


def length(values: Any, name: str) -> int:
    """How many values there are in one dimension."""
    return len(_column(values, name))


def _column(values: Any, name: str) -> np.ndarray:
    """(N,) values as objects."""
    array = as_array(values, name, object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        hint = f"of one-hot rows or probabilities: {name}.argmax(axis=1)" if array.ndim == 2 else ""
        raise InputError(f"{name} of shape {array.shape}", "(N,), one value for each sample", hint)
    if not len(array):
        raise InputError(f"{name} is empty", "one value for each sample")
    return array.astype(object)


def same_length(found: int, expected: int | None, name: str) -> None:
    """Raise where there are not as many as there are samples."""
    if expected is not None and found != expected:
        raise InputError(f"{found:,} {name} for {expected:,} samples", f"one of the {name} for each sample")


# ---- annotations ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Annotated:
    """Annotations as a table ANNOTATIONS of text, with the user's own labels and ids.

    n_rows : of a wide table, how many samples it has; None for a long one
    """

    table: pd.DataFrame
    labels: dict[str, Any]
    ids: Ids
    n_rows: int | None


def as_annotations(values: Any, ids: Ids | None = None) -> Annotated:
    """Who called what what: a DataFrame `sample_id, annotator, label`, or a row per sample and a column per person.

    Parameters
    ----------
    values : long, or wide, (N, A) with None or NaN where somebody gave no label
    ids : of the samples; a long table may name no other. None: what a long table says, and of a wide one the index
        or the row numbers
    """
    if isinstance(values, pd.DataFrame) and {"annotator", "label"} <= set(values.columns):
        return _long(values, ids)
    return _wide(values, ids)


def _long(values: pd.DataFrame, ids: Ids | None) -> Annotated:
    column = next((name for name in ("sample_id", "image") if name in values.columns), None)
    if column is None:
        raise InputError(f"annotations with the columns {_some(values.columns)}", "sample_id, annotator, label")
    if not len(values):
        raise InputError("annotations is empty", "a row for each label that somebody gave")
    labels = as_labels(values["label"], name="labels of annotations")
    own = ids or Ids(np.array([]), {_id_text(v): v for v in values[column] if not _is_null(v)})
    known = {_id_text(given): name for name, given in own.values.items()}
    if unknown := [v for v in values[column] if not _is_null(v) and _id_text(v) not in known]:
        raise InputError(f"annotations of no sample: {_some(unknown)}", "sample_id as in ids, or row numbers")
    sample = [None if _is_null(v) else known[_id_text(v)] for v in values[column]]
    people = [None if _is_null(v) else str(v) for v in values["annotator"]]
    votes = pd.DataFrame({"sample_id": sample, "annotator": people, "label": labels.names}, dtype=object)
    return Annotated(_votes(votes), labels.values, own, None)


def _id_text(value: Any) -> str:
    """An id as text; pandas makes 3 beside a null 3.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _wide(values: Any, ids: Ids | None) -> Annotated:
    array = as_array(values, "annotations", object)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"annotations of shape {array.shape}",
            "a table sample_id, annotator, label; or (N, A), a row for each sample and a column for each person",
        )
    n, people = array.shape
    is_frame = isinstance(values, pd.DataFrame)
    if ids is None:
        ids = as_ids(values.index if is_frame else None, n, "the index of annotations")
    same_length(n, len(ids.names), "rows of annotations")
    names = [str(c) for c in values.columns] if is_frame else [str(number) for number in range(people)]
    labels = as_labels(array.astype(object).ravel(), name="labels of annotations")
    votes = pd.DataFrame(
        {"sample_id": np.repeat(ids.names, people), "annotator": np.tile(names, n), "label": labels.names}, dtype=object
    )
    return Annotated(_votes(votes[votes["label"].notna()]), labels.values, ids, n)


def _votes(votes: pd.DataFrame) -> pd.DataFrame:
    """A table ANNOTATIONS of the votes that say something."""
    if (odd := votes["sample_id"].isna() | votes["annotator"].isna()).any():
        raise InputError(f"row {int(odd.to_numpy().argmax())} of annotations names no sample or no annotator", "both")
    votes = votes[votes["label"].notna()]
    if votes.empty:
        raise InputError("annotations hold no label", "one label or more")
    twice = votes.duplicated(["sample_id", "annotator"])
    if twice.any():
        first = votes[twice].iloc[0]
        raise InputError(
            f"{first['annotator']} labelled sample {first['sample_id']} twice", "one label by each person of a sample"
        )
    return votes.astype("str").sort_values(["sample_id", "annotator"], ignore_index=True)


# ---- paths -----------------------------------------------------------------------------------------------


def as_sources(paths: Any) -> pd.DataFrame:
    """Paths of image files, or one folder of images → table SOURCES; ids are the paths as given.

    Files need not exist: what can't be read becomes a row with its reason.
    """
    if isinstance(paths, str | Path):
        from curate.ingest.sources import read_source

        if not Path(paths).is_dir():
            raise InputError(f"paths is '{paths}'", "a list of image files, or a folder of images", f"['{paths}']")
        return read_source(Path(paths)).sources
    if isinstance(paths, pd.DataFrame):
        raise InputError(f"paths is a table with the columns {_some(paths.columns)}", "one column of it")
    listed = [] if paths is None else _listed(paths, "paths")
    if not listed:
        raise InputError("paths is empty", "a list of image files, or a folder of images")
    odd = [path for path in listed if not isinstance(path, str | os.PathLike) or not str(path)]
    if odd:
        raise InputError(f"paths hold {_short(odd[0])}", "text or pathlib's paths")
    names = pd.Series([os.fspath(path) for path in listed], dtype="str")
    places = names.map(os.path.abspath)
    if (again := places.duplicated()).any():
        raise InputError(f"paths: '{names[int(again.to_numpy().argmax())]}' is there twice", "each file once")
    none = pd.Series(None, index=names.index, dtype="str")
    return pd.DataFrame({"sample_id": names, "path": places, "label": none, "split": none, "group": none})


def as_path(given: Any, name: str) -> Path:
    """A path, from text or anything that stands for one."""
    if not isinstance(given, str | os.PathLike):
        raise InputError(f"{name} is {_short(given)}", "a path")
    if "\0" in str(given):
        raise InputError(f"{name} is {_short(given)}", "a path without NUL characters")
    return Path(given)


def options_of(kind: Any, given: Any, changes: Mapping[str, Any]) -> Any:
    """An options dataclass: the one given, or the defaults, with `changes` by name."""
    from dataclasses import fields, replace

    known = [field.name for field in fields(kind)]
    if given is not None and not isinstance(given, kind):
        raise InputError(f"options of type {type(given).__name__}", kind.__name__)
    if unknown := [name for name in changes if name not in known]:
        raise InputError(f"there is no option {_some(unknown)}", f"of {kind.__name__}: {', '.join(known)}")
    return replace(given or kind(), **changes)


def _is_null(value: Any) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value)


def _some(values: Iterable[Any]) -> str:
    listed: Sequence[Any] = list(values)
    return ", ".join(f"'{value}'" for value in listed[:SHOWN]) + (" …" if len(listed) > SHOWN else "")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
