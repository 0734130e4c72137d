"""A manifest (CSV, Parquet, JSONL) as sources: one row per image, or a reason why a row can't be used."""

from __future__ import annotations

import functools
import os
import posixpath
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from curate.errors import SourceError
from curate.formats.cells import LONGEST_NAME, LONGEST_PATH, Cells, text_column
from curate.formats.problems import Rows, first_of, join_problems, problem_table
from curate.formats.rows import read_cells
from curate.schema import SPLITS

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
STATED = ["label", "split", "group"]


def read_manifest(file: Path, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read a manifest whose image paths are relative to `root`.

    Returns
    -------
    sources : table SOURCES. An image that is not on disk is a row all the same: the scan will say so
    problems : table ROW_PROBLEMS: paths outside `root`, unknown splits, repeated or contradicting rows

    Raises
    ------
    SourceError : no column `image`, a column that can't be told, or not one usable row
    """
    roles = ["image", *STATED]
    cells = pick(read_cells(file, error=SourceError, roles=roles), roles)
    rows = Rows(cells.file, cells.table)
    rows.table["sample_id"] = place(rows, root)
    check_names(rows, STATED)
    rows.table["split"] = _known_splits(rows)
    rows.settle_repeats(["sample_id"], STATED, of="image")
    problems = join_problems(cells.problems, rows.problems())
    good = rows.good()
    if good.empty:
        raise SourceError(
            f"not one of the {len(problems):,} rows of {cells.file} can be used{first_of(problems)}",
            f"image paths relative to {root}",
            "give the folder that holds the images with --image-root",
        )
    path = str(root) + "/" + good["sample_id"]
    sources = good.assign(path=path)[["sample_id", "path", *STATED]]
    return sources.sort_values("sample_id", ignore_index=True), problems


def pick(cells: Cells, roles: list[str]) -> Cells:
    """One column per role, under the role's name; a role that no column plays is null throughout."""
    columns = {role: cells.column_of(role) for role in roles}
    if columns["image"] is None:
        raise cells.error(
            f"{cells.file} has no column 'image'; its columns: {cells.column_names()}",
            "a column 'image' with paths of images, and any of " + ", ".join(STATED),
            "rename the column that holds the paths to 'image'",
        )
    cells = without_nested(cells, columns.values())
    table = cells.table
    # only the path is kept to the letter: a file's name may end in a space, a label's may not
    nothing = text_column([None] * len(table), table.index)
    picked = {
        role: nothing if column is None else cells.exact(column) if role == "image" else cells.trimmed(column)
        for role, column in columns.items()
    }
    return replace(cells, table=pd.DataFrame(picked, index=table.index), is_csv=False)


def without_nested(cells: Cells, columns: Iterable[str | None]) -> Cells:
    """Less the rows that hold a list or an object in one of these columns; they become problems."""
    nested = [(column, *cell) for column in columns if column for cell in cells.nested.get(column, {}).items()]
    rows = [row for _, row, _ in nested]
    reasons = [f"holds a {kind} in '{column}' where text is expected" for column, _, kind in nested]
    problems = problem_table(cells.file, rows, [None] * len(rows), reasons)
    is_plain = ~cells.table.index.isin(rows)
    return replace(cells, table=cells.table[is_plain], problems=join_problems(cells.problems, problems))


def place(rows: Rows, root: Path) -> pd.Series:
    """The sample_id of each image cell: its path relative to `root`; null, and refused, where it has none."""
    cells = rows.table["image"]
    rows.refuse(cells.isna(), "names no image")
    rows.refuse(cells.str.len().ge(LONGEST_PATH), f"is longer than a path can be ({LONGEST_PATH:,} characters)")
    rows.refuse(cells.str.contains("\0", regex=False, na=False), "holds a NUL character")
    rows.refuse(cells.str.contains("://", regex=False, na=False), "is a web address; curate reads files")
    sound = zip(cells.to_numpy(object), rows.is_good, strict=True)
    real_root = os.path.realpath(root)

    @functools.cache  # each folder is resolved once
    def inside(path: str) -> str | None:
        place = _within(posixpath.relpath(os.path.realpath(path), real_root))
        return place or ("" if os.path.lexists(path) else None)

    placed = [relative_to(cell, root, inside) if is_good else None for cell, is_good in sound]
    ids = text_column(placed, cells.index)
    rows.refuse(ids.isna(), f"lies outside {root}")
    rows.refuse(ids.eq("."), "names a folder")
    rows.refuse(_leads_out(ids, root), f"is reached through a link that leads outside {root}")
    return ids


def relative_to(cell: str, root: Path, inside: Callable[[str], str | None]) -> str | None:
    """`cell` as a normal path relative to `root` (absolute cells too), or None where it climbs out.

    An absolute cell may know the root by another name, where one of the two was reached through a link: so the
    first of the cell's folders that lies in the root by its real path counts too; `inside` tells where it lies,
    empty where outside, None where there is no such folder: then nor are there deeper ones.
    """
    if not cell.startswith("/"):
        return _within(cell)
    if within := _within(posixpath.relpath(cell, root)):
        return within
    parts = posixpath.normpath(cell).split("/")
    for n in range(1, len(parts) + 1):
        place = inside("/".join(parts[:n]) or "/")
        if place is None:
            return None
        if place:
            return posixpath.normpath(posixpath.join(place, *parts[n:]))
    return None


def _within(path: str) -> str | None:
    """A relative path in its normal form, or None where it climbs out."""
    path = posixpath.normpath(path)
    return None if path == ".." or path.startswith("../") else path


def check_names(rows: Rows, columns: list[str]) -> None:
    """Refuse rows with names that no class or person has.

    They are too long, such as what follows a quote that is never closed, or hold a NUL: NumPy drops it at a text's
    end, and two classes would be one; the ledger ends the text there.
    """
    for column in columns:
        rows.refuse(
            rows.table[column].str.contains("\0", regex=False, na=False), f"has a {column} with a NUL character"
        )
        too_long = rows.table[column].str.len().gt(LONGEST_NAME)
        rows.refuse(too_long, f"has a {column} of more than {LONGEST_NAME} characters: is a quote not closed?")


def _leads_out(ids: pd.Series, root: Path) -> np.ndarray:
    """(rows,) bool: following links, the path ends outside `root`. Each folder is resolved once."""
    real_root = os.path.realpath(root)

    def is_outside(path: str) -> bool:
        real = os.path.realpath(path)
        return real != real_root and not real.startswith(real_root.rstrip("/") + "/")

    folders: dict[str, bool] = {}

    def leads_out(sample_id: str) -> bool:
        folder, path = sample_id.rpartition("/")[0], f"{root}/{sample_id}"
        if folder not in folders:
            folders[folder] = is_outside(f"{root}/{folder}")
        return folders[folder] or (os.path.islink(path) and is_outside(path))

    return np.array([isinstance(i, str) and leads_out(i) for i in ids.to_numpy(object)], dtype=bool)


def _known_splits(rows: Rows) -> pd.Series:
    """The split of each row as train, val or test; an image that any row puts into another split is refused.

    It is not kept without a split, nor with that of its other rows: it may be held out, and must not end up
    in training.
    """
    said, image = rows.table["split"], rows.table["sample_id"]
    known = text_column(said.str.casefold().map(SPLIT_NAMES).tolist(), said.index)
    is_unknown = said.notna() & known.isna()
    shown, none_of = said.fillna("").str.slice(0, 40), "which is none of " + ", ".join(SPLITS)
    rows.refuse(is_unknown, "is of split '" + shown + "', " + none_of)
    rows.refuse(image.isin(image[is_unknown].dropna()), f"is of an image that another row puts into a split {none_of}")
    return known
