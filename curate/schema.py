"""Every table that curate writes: columns, types, meaning, and which end of a score is bad.

All scores are in [0, 1] and lower is worse, as in cleanlab and CleanVision; a column
`is_<issue>_issue` is the default cut of `<issue>_score`. Probabilities are P(the flag is right).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from curate.errors import SchemaError

SPLITS = ("train", "val", "test")
ACTIONS = ("keep", "relabel", "drop", "unsure")
STATUSES = (
    "ok",
    "missing",  # named by the manifest, not on disk
    "unreadable",  # the operating system would not let us read it
    "empty",  # zero bytes
    "not_an_image",  # no decoder knows these bytes
    "truncated",  # begins as an image, ends too early
    "corrupt",  # an image format whose content does not decode
    "too_large",  # more pixels than allowed: a decompression bomb
)

KINDS = {
    "string": pd.api.types.is_string_dtype,
    "integer": pd.api.types.is_integer_dtype,
    "number": pd.api.types.is_numeric_dtype,
    "bool": pd.api.types.is_bool_dtype,
}


@dataclass(frozen=True)
class Column:
    """One column: its kind (a key of `KINDS`), its meaning, and what it may hold."""

    name: str
    kind: str
    meaning: str
    nullable: bool = False
    optional: bool = False
    values: tuple[str, ...] = ()
    unit_range: bool = False  # numbers in [0, 1]


@dataclass(frozen=True)
class Table:
    """One table: its file in the workspace, its columns, and the columns that identify a row."""

    name: str
    file: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ("sample_id",)


def _text(name: str, meaning: str, **rules: object) -> Column:
    return Column(name, "string", meaning, **rules)  # type: ignore[arg-type]


def _number(name: str, meaning: str, **rules: object) -> Column:
    return Column(name, "number", meaning, **rules)  # type: ignore[arg-type]


_ID = _text("sample_id", "path relative to the source root, with forward slashes; unique")
_LABEL = _text("label", "class name", nullable=True)
_SPLIT = _text("split", "train, val or test; null where none is set", nullable=True, values=SPLITS)
_GROUP = _text("group", "the user's key that may not straddle splits (patient, video)", nullable=True)

MEASUREMENTS = (
    Column("width", "number", "pixels, after EXIF orientation", nullable=True),
    Column("height", "number", "pixels, after EXIF orientation", nullable=True),
    _text("mode", "the file's own colour mode: RGB, L, P, CMYK, RGBA, I;16 …", nullable=True),
    _number("bytes", "size of the file", nullable=True),
    _number("mtime_ns", "modification time of the file, nanoseconds since 1970", nullable=True),
    _text("sha256", "of the file's bytes, hex; null where it could not be read", nullable=True),
    _text("phash", "64-bit perceptual hash (DCT), 16 hex digits", nullable=True),
    _text("status", "ok, or why there are no pixels", values=STATUSES),
    _text("error", "the reason in words; null when status is ok", nullable=True),
    _number("brightness_p5", "5th percentile of perceived brightness", nullable=True, unit_range=True),
    _number("brightness_p99", "99th percentile of perceived brightness", nullable=True, unit_range=True),
    _number("brightness_mean", "perceived brightness of the mean colour", nullable=True, unit_range=True),
    _number("entropy", "bits: 0 to 8 for single-channel files, 0 to 9.58 for colour", nullable=True),
    _number("colourfulness", "largest mean difference between two channels, grey levels; 0 = grey", nullable=True),
    _number("contrast", "standard deviation of grey levels", nullable=True),
    _number("edges", "standard deviation of edge strength at 64 pixels, grey levels", nullable=True),
    _number("histogram_spread", "deviation of the grey histogram's counts at 64 pixels; high = plain", nullable=True),
    _number("sharpness", "mean spatial frequency at 256 pixels, radians per pixel; low = blurred", nullable=True),
)

SOURCES = Table(
    "sources",
    "tables/sources.parquet",
    "What the user gave: one row per image, before anything is opened.",
    (
        _ID,
        _text("path", "absolute path of the file; never written to"),
        _LABEL,
        _SPLIT,
        _GROUP,
    ),
)
ROW_PROBLEMS = Table(
    "row_problems",
    "tables/row_problems.parquet",
    "Rows of a manifest or annotations file that could not be used, with the reason.",
    (
        _text("file", "name of the file the row stands in"),
        Column("row", "integer", "1 for the first row after the header"),
        _text("image", "what the image cell said, shortened", nullable=True),
        _text("reason", "why the row could not be used"),
    ),
    key=("file", "row"),
)
ANNOTATIONS = Table(
    "annotations",
    "tables/annotations.parquet",
    "Who called which sample what, in long form.",
    (_ID, _text("annotator", "name of the person"), _text("label", "class name")),
    key=("sample_id", "annotator"),
)
CONSENSUS = Table(
    "consensus",
    "tables/consensus.parquet",
    "One label per annotated sample, and how sure it is.",
    (
        _ID,
        _text("label", "the consensus"),
        _number("n_annotations", "how many people labelled it"),
        _number("agreement", "share of them that chose the consensus", unit_range=True),
        _number("consensus_score", "quality of the consensus; lower is worse", unit_range=True),
        Column("is_conflict", "bool", "two people or more, and not all of one mind"),
        _text("method", "how it was reached", values=("majority", "crowdlab")),
    ),
)
SCAN = Table(
    "scan",
    "tables/scan.parquet",
    "What one look at every file found: its hash, its measurements, or why it can't be read.",
    (_ID, *MEASUREMENTS),
)
SAMPLES = Table(
    "samples",
    "tables/samples.parquet",
    "One row per image: source, consensus label, split and measurements together.",
    (
        _ID,
        _text("path", "absolute path of the file; never written to"),
        _LABEL,
        _SPLIT,
        _GROUP,
        *MEASUREMENTS,
    ),
)
PAIRS = Table(
    "near_duplicate_pairs",
    "issues/near_duplicate_pairs.parquet",
    "Pairs of samples that look like the same picture, most certain first.",
    (
        _text("sample_id_a", "the one that comes first in alphabetical order"),
        _text("sample_id_b", "the other"),
        _number("similarity", "ranks the pairs: the agreement, less where either has closer twins", unit_range=True),
        _number("agreement", "1 = the same picture, 0 = as unrelated ones; flagged from 0.7 on", unit_range=True),
        _text("kind", "exact: same bytes; near: same shot", values=("exact", "near")),
        _text("between", "the splits of the two, sorted: train-train, test-train …", nullable=True),
        _number("cosine", "cosine similarity of the embeddings", nullable=True),
    ),
    key=("sample_id_a", "sample_id_b"),
)
DECISIONS = Table(
    "decisions",
    "ledger.sqlite",
    "The verdict in force for each sample, content and issue, as read from the ledger.",
    (
        Column("decision_id", "integer", "grows with time"),
        _ID,
        _text("sha256", "content of the file when decided: follows a moved file", nullable=True),
        _text("issue", "the finder whose flag was judged"),
        _text("action", "the verdict", values=ACTIONS),
        _text("label", "the new label of a relabel", nullable=True),
        _text("reviewer", "who decided"),
        _text("time", "when, UTC, ISO 8601"),
        _text("reason", "in the reviewer's words", nullable=True),
        _text("evidence", "JSON: the scores at the time, and bulk rule if any", nullable=True),
    ),
    key=("sample_id", "sha256", "issue"),
)
QUEUE = Table(
    "queue",
    "",
    "What to look at, most valuable first; the members of a group share one rank.",
    (
        Column("rank", "integer", "1 = first"),
        _ID,
        _text("sha256", "content of the file: a verdict is about this picture", nullable=True),
        _text("issue", "the finder that flagged it"),
        _number("score", "the finder's score; lower is worse", unit_range=True),
        _number("probability", "P(the flag is right)", unit_range=True),
        _number("priority", "probability times impact: the order of the queue"),
        _text("group_id", "samples judged together share it", nullable=True),
        _text("label", "the label in force", nullable=True),
        _text("suggested_label", "what it may be instead", nullable=True),
        _text("nearest_id", "its twin or nearest neighbour", nullable=True),
        _text("split", "where it is", nullable=True, values=SPLITS),
        _text("proposed_action", "what accepting the flag would do", values=ACTIONS),
        _text("reason", "the evidence in one line"),
    ),
    key=("sample_id", "issue"),
)
ACTIONS_TABLE = Table(
    "actions",
    "",
    "What apply will do, one row per sample that changes or was protected.",
    (
        _ID,
        _text("issue", "the issue that led to it"),
        _text("action", "relabel or drop, or keep where a guard held it back", values=ACTIONS),
        _text("label", "the new label of a relabel", nullable=True),
        _text("decided_by", "reviewer's name, or 'threshold'"),
        _text("reason", "in one line"),
    ),
)
MANIFEST = Table(
    "manifest",
    "versions/<n>/manifest.parquet",
    "A version of the data set: what to train and test on.",
    (
        _ID,
        _text("path", "absolute path of the file"),
        _LABEL,
        _SPLIT,
        _GROUP,
        _text("sha256", "of the file's bytes when the version was made, hex"),
    ),
)
REJECTED = Table(
    "rejected",
    "versions/<n>/rejected.parquet",
    "Samples left out of a version, with the reason.",
    (
        _ID,
        _LABEL,
        _SPLIT,
        _text("issue", "the issue that led to it"),
        _text("decided_by", "reviewer's name, or 'threshold', or 'unreadable'"),
        _text("reason", "in one line"),
    ),
)


def _issues(finder: str, meaning: str, issues: Mapping[str, str], *evidence: Column) -> Table:
    """A finder's table: for each issue (what its score is) flag and score, then evidence; a row for every sample."""
    columns = [_ID]
    for issue, score in issues.items():
        columns.append(Column(f"is_{issue}_issue", "bool", "flagged"))
        meaning_of = f"{score}; null where it can't be told"
        columns.append(_number(f"{issue}_score", meaning_of, nullable=True, unit_range=True))
    return Table(finder, f"issues/{finder}.parquet", meaning, (*columns, *evidence))


_NEAREST = _text("nearest_id", "the sample that it is most like", nullable=True)
_TOGETHER = _text("group_id", "shared by flagged samples that are judged together", nullable=True)
_DIFFERENCE = "1 less the agreement with `nearest_id`"

ISSUES = (
    _issues(
        "exact_duplicate",
        "Files of the same bytes.",
        {"exact_duplicate": "0 = another file has the same bytes, else 1"},
        _NEAREST,
        _TOGETHER,
    ),
    _issues("near_duplicate", "The same shot in other bytes.", {"near_duplicate": _DIFFERENCE}, _NEAREST, _TOGETHER),
    _issues("leak", "A duplicate, exact or near, in another split.", {"leak": _DIFFERENCE}, _NEAREST, _TOGETHER),
    _issues(
        "outlier",
        "What does not belong.",
        {"outlier": "by both distances below together; flagged below 0.5"},
        _number("typicality_score", "by the distance from what is usual as a whole", nullable=True, unit_range=True),
        _number("neighbor_score", "by the distance to the nearest usual samples", nullable=True, unit_range=True),
        _number("isolation_forest_score", "Isolation Forest's, alone a weak one", nullable=True, unit_range=True),
        _NEAREST,
        _TOGETHER,
    ),
    _issues(
        "label",
        "Labels that are likely wrong.",
        {"label": "P(the label is right)"},
        _number("label_probability", "P(the label is wrong)", nullable=True, unit_range=True),
        _text("given_label", "the label in force", nullable=True),
        _text("suggested_label", "the likeliest other class", nullable=True),
        _number("suggested_probability", "of that class", nullable=True, unit_range=True),
    ),
    _issues(
        "quality",
        "What is wrong with a picture as such.",
        {
            "dark": "brightness of its bright end",
            "bright": "darkness of its dark end",
            "blurry": "by spatial frequency",
            "low_information": "entropy, in tenths of ten bits",
            "odd_size": "by how far its size is from the others'",
            "odd_aspect_ratio": "the short side over the long one",
            "grayscale": "0 = grey where the others have colour",
            "unreadable": "0 = there are no pixels",
        },
    ),
    _issues(
        "classes",
        "What is wrong with the class or a group that a sample is in.",
        {
            "class_imbalance": "the class's count over that of the largest",
            "class_overlap": "1 less its largest overlap with another class",
            "underperforming_group": "accuracy of the worst group that it is in, over that of all",
            "spurious_correlation": "1 less how well one measurement tells the class",
        },
        _text("overlapping_class", "that other class", nullable=True),
        _text("underperforming_group", "that group", nullable=True),
        _text("spurious_measurement", "that measurement", nullable=True),
    ),
)

TABLES = {
    table.name: table
    for table in (
        SOURCES, ROW_PROBLEMS, ANNOTATIONS, CONSENSUS, SCAN, SAMPLES, PAIRS, DECISIONS, QUEUE,
        *ISSUES, ACTIONS_TABLE, MANIFEST, REJECTED,
    )
}  # fmt: skip


def validate(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return `table` unchanged if it is a valid table `name`; raise SchemaError naming the first fault."""
    spec = TABLES[name]
    for column in spec.columns:
        if column.name not in table.columns:
            if column.optional:
                continue
            raise SchemaError(f"table '{name}' has no column '{column.name}'", f"columns {_names(spec)}")
        _check_column(name, column, table[column.name])
    _check_key(name, spec.key, table)
    return table


def validate_issues(issues: Iterable[str], table: pd.DataFrame) -> pd.DataFrame:
    """Check a finder's table: `sample_id`, and for each issue its flag and its score in [0, 1]."""
    for issue in issues:
        for column in (
            _ID,
            Column(f"is_{issue}_issue", "bool", ""),
            _number(f"{issue}_score", "", nullable=True, unit_range=True),
        ):
            if column.name not in table.columns:
                raise SchemaError(f"the finder of '{issue}' returned no column '{column.name}'")
            _check_column(issue, column, table[column.name])
    _check_key(",".join(issues), ("sample_id",), table)
    return table


def empty(name: str) -> pd.DataFrame:
    """Return table `name` without rows, with the right columns and types."""
    dtypes = {"string": "str", "integer": "int64", "number": "float64", "bool": "bool"}
    return pd.DataFrame({c.name: pd.Series(dtype=dtypes[c.kind]) for c in TABLES[name].columns})


def conform(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of table `name` in the order of the schema, with its types; missing cells stay missing."""
    dtypes = {"string": "str", "integer": "int64", "number": "float64", "bool": "bool"}
    typed = {c.name: pd.Series(table[c.name].tolist(), dtype=dtypes[c.kind]) for c in TABLES[name].columns}
    return pd.DataFrame(typed)


def _names(spec: Table) -> str:
    return ", ".join(column.name for column in spec.columns)


def _check_column(name: str, column: Column, values: pd.Series) -> None:
    present = values.dropna()
    where = f"column '{column.name}' of table '{name}'"
    if not column.nullable and len(present) < len(values):
        raise SchemaError(f"{where} has {len(values) - len(present)} empty cells", "a value in each row")
    if len(present) and not KINDS[column.kind](present):
        raise SchemaError(f"{where} is {values.dtype}", column.kind)
    if column.values and not present.isin(column.values).all():
        odd = present[~present.isin(column.values)].iloc[0]
        raise SchemaError(f"{where} holds {odd!r}", f"one of {', '.join(column.values)}")
    if column.unit_range and len(present) and not present.between(0, 1).all():
        raise SchemaError(f"{where} runs from {present.min()} to {present.max()}", "numbers in [0, 1]")


def _check_key(name: str, key: tuple[str, ...], table: pd.DataFrame) -> None:
    repeated = table.duplicated(list(key))
    if repeated.any():
        first = table.loc[repeated, list(key)].iloc[0].to_dict()
        raise SchemaError(f"table '{name}' has {int(repeated.sum())} repeated rows, such as {first}", f"unique {key}")
