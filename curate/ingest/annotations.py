"""A file of votes as annotations: who called which image what, long or wide.

Long: `image, annotator, label`, a row per vote. Wide: `image` and a column per annotator, an empty
cell where someone gave no label. The arbitration queue that curate writes is of the wide form.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from curate.errors import AnnotationError
from curate.formats.cells import SYNONYMS, Cells, quoted, text_column
from curate.formats.manifest import check_names, pick, without_nested
from curate.formats.problems import Rows, first_of, join_problems
from curate.formats.rows import read_cells
from curate.schema import empty

ARBITER = "arbiter"  # the annotator whose word is final: the third person of an arbitration queue
ENOUGH = 20  # votes of a column before it can be told that it holds no labels
WORDS_SHOWN, LONGEST_SHOWN = 3, 40  # of such a column, in the error
SUGGESTED, PATH = "suggested", "path"  # columns of the queue that are help, not votes
RESERVED = frozenset({SUGGESTED, PATH, *SYNONYMS, *(name for names in SYNONYMS.values() for name in names)})


def read_annotations(file: Path, sources: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read annotations (CSV, TSV, Parquet, JSONL; long or wide) of the images in `sources`.

    An image cell is matched with `sample_id`, else with the file's path, absolute or relative to the
    annotations file.

    Returns
    -------
    annotations : table ANNOTATIONS, sorted
    problems : table ROW_PROBLEMS: unknown images, votes without a label or annotator, repeated votes.
        Of equal votes by one person on one image the first is used, of contradicting ones none: which
        was meant can't be told, and must not depend on the order of the rows

    Raises
    ------
    AnnotationError : columns of neither form, or not one usable row
    """
    file = Path(os.path.abspath(file))
    cells = _votes(read_cells(file, error=AnnotationError))
    rows = Rows(cells.file, cells.table)
    rows.table["sample_id"] = _match(rows.table["image"], sources, file.parent)
    rows.refuse(rows.table["image"].isna(), "names no image")
    rows.refuse(rows.table["sample_id"].isna(), "is no image of this data set")
    for column in ("annotator", "label"):
        rows.refuse(rows.table[column].isna(), f"has no {column}")
    check_names(rows, ["annotator", "label"])
    is_reserved = rows.table["annotator"].str.casefold().isin(RESERVED)
    rows.refuse(is_reserved, "has an annotator named like a column of a table; give them another name")
    rows.settle_repeats(["sample_id", "annotator"], ["label"], of="image and annotator")
    problems = join_problems(cells.problems, rows.problems())
    good = rows.good()[["sample_id", "annotator", "label"]]
    if good.empty:
        raise AnnotationError(
            f"{cells.file} holds no usable label{first_of(problems)}",
            f"images as in the data set, such as {sources['sample_id'].iloc[0]}",
        )
    return good.sort_values(["sample_id", "annotator"], ignore_index=True), problems


def join_annotations(*tables: pd.DataFrame) -> pd.DataFrame:
    """Put tables ANNOTATIONS together; where one person judged one image twice, the later table counts.

    So an arbitration queue that comes back adds the third person's answers and repeats the others'.
    """
    joined = pd.concat([empty("annotations"), *tables], ignore_index=True)
    joined = joined.drop_duplicates(["sample_id", "annotator"], keep="last")
    return joined.sort_values(["sample_id", "annotator"], ignore_index=True)


def _votes(cells: Cells) -> Cells:
    """One row per vote: image, annotator, label; the index is the row of the file."""
    has = {role: cells.column_of(role) for role in ("image", "annotator", "label")}
    if has["annotator"] and has["label"]:
        return pick(cells, ["image", "annotator", "label"])
    people = [column for column in cells.table.columns if column != has["image"] and column.casefold() not in RESERVED]
    if not people or has["annotator"] or has["label"]:
        raise AnnotationError(
            f"{cells.file} has the columns {cells.column_names()}",
            "image, annotator, label (a row per vote), or image and one column per annotator",
        )
    cells = without_nested(cells, [has["image"], *people])
    image = pick(cells, ["image"]).table["image"]
    votes = [pd.DataFrame({"image": image, "annotator": person, "label": cells.trimmed(person)}) for person in people]
    wide = pd.concat(votes)
    wide = wide[wide["label"].notna()]
    _refuse_strangers(wide, cells)
    return replace(cells, table=wide, is_csv=False)


def _refuse_strangers(wide: pd.DataFrame, cells: Cells) -> None:
    """Columns that share no word with the annotators' are no person's: notes, sizes, addresses."""
    strangers = _strangers(wide)
    if not strangers:
        return
    words = wide["label"][wide["annotator"].isin(strangers)].drop_duplicates()
    held = quoted(words.head(WORDS_SHOWN).str.slice(0, LONGEST_SHOWN)) + " …" * (len(words) > WORDS_SHOWN)
    who, share, hold = ("column", "shares", "it holds") if len(strangers) == 1 else ("columns", "share", "they hold")
    raise AnnotationError(
        f"{who} {quoted(strangers)} of {cells.file} {share} no label with the other columns: {hold} {held}",
        "one column per annotator, and no others",
        "remove the columns that hold no labels, or write a row per vote: image, annotator, label",
    )


def _strangers(wide: pd.DataFrame) -> list[str]:
    """The columns beside the largest group that shares words; all of them where each is alone with its words."""
    groups, n_votes = _by_shared_words(wide), wide["annotator"].value_counts()
    if len(groups) < 2:
        return []
    # of two as large the one with more votes, then the first of the file
    groups.sort(key=lambda group: (len(group), sum(n_votes[name] for name in group)), reverse=True)
    suspects = groups if len(groups[0]) == 1 else groups[1:]
    return [name for group in suspects for name in group if n_votes[name] >= ENOUGH]


def _by_shared_words(wide: pd.DataFrame) -> list[list[str]]:
    """The columns in groups that share words, directly or through others: two of sizes vouch only for each other."""
    column, names = pd.factorize(wide["annotator"])
    word, words = pd.factorize(wide["label"])
    n = len(names) + len(words)
    said = sparse.coo_array((np.ones(len(wide), dtype=bool), (column, len(names) + word)), (n, n))
    group = connected_components(said, directed=False)[1][: len(names)]
    return [list(names[group == number]) for number in pd.unique(group)]


def _match(images: pd.Series, sources: pd.DataFrame, folder: Path) -> pd.Series:
    """The sample_id that each image cell means, null where none."""
    codes, cells = pd.factorize(images)  # each image is matched once, however many voted on it
    by_path = dict(zip(sources["path"], sources["sample_id"], strict=True))
    known = set(sources["sample_id"])

    def match(cell: str) -> str | None:
        normal = os.path.normpath(cell)
        return normal if normal in known else by_path.get(os.path.normpath(folder / cell))

    matched = np.array([match(cell) for cell in cells] + [None], dtype=object)  # the last is for code -1
    return text_column(matched[codes], images.index)
