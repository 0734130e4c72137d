"""Our own files, read safely: whatever lies where curate wrote one ends in what was written, or in DamagedFile.

JSON carries a seal, a digest of the rest of it; Parquet files and arrays have their digest in the JSON beside them.
So one flipped bit is told, and never believed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
import pandas as pd

from curate.errors import CurateError, DamagedFile
from curate.text import csv_text, from_csv, is_utf8
from curate.version import __version__

SEAL = "seal"
UNTOUCHED = "a file that nothing else writes to"
LARGEST = 2**63 - 1  # what pandas and SQLite hold
# what a shape may be: None, a type (`object`: anything), a tuple of alternatives, [shape of each item] or [shape of the
# first, of the second …], or {key: shape}; there, the key "name?" may be absent, and `...` stands for all others
Shape = Any


def digest_of(file: Path) -> str:
    """BLAKE2b of a file, or of the names and contents' digests of a folder's files; 32 hex digits."""
    hasher = hashlib.blake2b(digest_size=16)
    if file.is_dir():
        for path in sorted(p for p in file.rglob("*") if p.is_file() and not p.name.startswith(".")):
            hasher.update(f"{path.relative_to(file)}={digest_of(path)}\n".encode())
        return hasher.hexdigest()
    with open(file, "rb") as handle:
        while block := handle.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def damaged(file: Path, why: str, do: str, *, expected: str = UNTOUCHED) -> DamagedFile:
    """The error for one of our files that is not what curate wrote."""
    return DamagedFile(f"{file} is damaged: {why}", expected, do)


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """`value` as JSON gives it back, with the seal by which `read_sealed` knows it."""
    plain = json.loads(json.dumps(value, default=str))
    return {**plain, SEAL: _seal(plain)}


def read_sealed(file: Path, shape: Mapping[Any, Shape], *, do: str) -> dict[str, Any]:
    """The JSON object in `file`, without its seal.

    A file without one is an earlier curate's: its shape alone is checked.

    Parameters
    ----------
    shape : what it has to look like
    do : what makes the file anew

    Raises
    ------
    DamagedFile : it is gone, cut off, changed, or of another shape
    """
    try:
        value = parse_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise damaged(file, "it is gone", do) from error
    except ValueError as error:
        raise damaged(file, f"it is no JSON ({_first_line(error)})", do) from error
    seal = value.pop(SEAL, None) if isinstance(value, dict) else None
    if why := misfit(value, shape):
        raise damaged(file, why, do)
    if seal is not None and seal != _seal(value):
        raise damaged(file, "its content is not what its seal says", do)
    return dict(value)


def read_json(file: Path) -> dict[str, Any] | None:
    """The JSON object in a file that need not be ours; None where there is none, or no whole one."""
    try:
        value = parse_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def parse_json(text: bytes | str) -> Any:
    """What the JSON says. Raises ValueError for all that is none, however deep and however long its numbers."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def misfit(value: Any, shape: Shape, where: str = "it") -> str:
    """What of `value` is not of this shape, in words; empty where all is.

    Examples
    --------
    >>> misfit({"rows": 5}, {"rows": int, "made?": str})
    ''
    >>> misfit({"rows": [5]}, {"rows": int})
    "its 'rows' is a list, not int"
    """
    if isinstance(shape, tuple):
        found = [misfit(value, one, where) for one in shape]
        return min(found, key=bool)
    if isinstance(shape, Mapping):
        return _misfit_of_object(value, shape, where)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is a {type(value).__name__}, not a list"
        if len(shape) not in (1, len(value)):
            return f"{where} has {len(value)} items, not {len(shape)}"
        shapes = shape * len(value) if len(shape) == 1 else shape
        return next(filter(None, map(misfit, value, shapes, [f"an item of {where}"] * len(value))), "")
    return "" if _is_a(value, shape) else f"{where} is a {type(value).__name__}, not {_name(shape)}"


def _misfit_of_object(value: Any, shape: Mapping[Any, Shape], where: str) -> str:
    if not isinstance(value, dict):
        return f"{where} is a {type(value).__name__}, not an object"
    known = {str(key).removesuffix("?"): of for key, of in shape.items() if key is not ...}
    missing = [key for key in shape if key is not ... and not key.endswith("?") and key not in value]
    if missing:
        return f"{where} has no {missing[0]!r}"
    unknown = [key for key in value if key not in known]
    if unknown and ... not in shape:
        return f"{where} has a {unknown[0][:40]!r}"
    return next(filter(None, (misfit(value[key], known.get(key, shape.get(...)), f"its {key!r}") for key in value)), "")


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value is of a type; a bool is no number, an int is a float, and numbers are of a usual size."""
    if kind is object:
        return True
    if kind is None or isinstance(value, bool):
        return value is None if kind is None else kind is bool
    if isinstance(value, int) and kind in (int, float):
        return abs(value) <= LARGEST
    return isinstance(value, kind) and (kind is not str or value.isascii() or _is_unicode(value))


def _is_unicode(text: str) -> bool:
    """Whether it can be written: half of a surrogate pair can't."""
    return not re.search("[\ud800-\udfff]", text)


def _name(kind: Any) -> str:
    return "null" if kind is None else str(kind.__name__)


def read_table(file: Path, *, digest: str | None, do: str) -> pd.DataFrame:
    """A Parquet file of ours. Nothing opens it before its digest is right: its readers are no match for any bytes.

    Parameters
    ----------
    digest : what `digest_of` said when it was written; None where an earlier curate did not keep it

    Raises
    ------
    DamagedFile : it is gone, or not what was written
    """
    require_digest(file, digest, do=do)
    try:
        return pd.read_parquet(file)
    except Exception as error:  # pyarrow's errors have no base of their own that it keeps to
        raise damaged(file, _first_line(error), do) from error


def read_arrays(file: Path, *, digest: str | None = None, do: str) -> dict[str, np.ndarray]:
    """An .npz file of ours; without a digest, its own checksums tell what is damaged.

    Raises
    ------
    DamagedFile : it is gone, or not what was written
    """
    require_digest(file, digest, do=do)
    try:
        with open(file, "rb") as handle, np.load(handle, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SyntaxError, EOFError, NotImplementedError,
            RuntimeError, RecursionError, MemoryError, OverflowError, BadZipFile, ZlibError) as error:  # fmt: skip
        raise damaged(file, _first_line(error), do) from error


def require_digest(file: Path, digest: str | None, *, do: str) -> None:
    """Raise DamagedFile where a file is gone, or has another digest than it should."""
    if not file.is_file():
        raise damaged(file, "it is gone", do)
    if digest is not None and digest_of(file) != digest:
        raise damaged(file, "it is not what curate wrote", do)


def numbered_folders(folder: Path) -> list[int]:
    """The numbers that folders in `folder` have for names, ascending; `²` and 007 are nobody's number of ours."""
    names = (path.name for path in folder.glob("*") if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch("[1-9][0-9]{0,8}", name))


def _seal(value: Any) -> str:
    """Of JSON that fits its shape, and so is not nested without end."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


@dataclass(frozen=True)
class Format:
    """How content of one file type is read and written."""

    read: Callable[[Path], Any]
    write: Callable[[Any, Path], None]


def _read_arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def _write_arrays(arrays: Mapping[str, np.ndarray], file: Path) -> None:
    with open(file, "wb") as handle:
        np.savez(handle, **arrays)  # type: ignore[arg-type]


def _write_text(text: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8")


def _write_json(value: Any, file: Path) -> None:
    file.write_text(json.dumps(value, indent=1, default=str))


def _write_parquet(table: pd.DataFrame, file: Path) -> None:
    with open(file, "wb") as handle:  # Arrow takes no path that is not UTF-8
        table.to_parquet(handle, index=False)


def _read_csv(file: Path) -> pd.DataFrame:
    """What `_write_csv` wrote, every cell as text, an empty one as null."""
    table = pd.read_csv(file, dtype="str", keep_default_na=False, na_values=[""])
    return table.rename(columns=from_csv).map(from_csv, na_action="ignore")


def _write_csv(table: pd.DataFrame, file: Path) -> None:
    file.write_bytes(csv_text(table).encode())


FORMATS = {
    ".parquet": Format(pd.read_parquet, _write_parquet),
    ".npz": Format(_read_arrays, _write_arrays),
    ".json": Format(lambda file: json.loads(file.read_text()), _write_json),
    ".html": Format(lambda file: file.read_text(encoding="utf-8"), _write_text),
    ".csv": Format(_read_csv, _write_csv),
}


def write_parquet(file: Path, table: pd.DataFrame) -> None:
    """Write `table` beside `file`, then rename."""
    with replacing(file) as temporary:
        _write_parquet(table, temporary)


def write_csv(file: Path, table: pd.DataFrame) -> None:
    """Write `table` beside `file`, then rename."""
    write_atomically(file, csv_text(table).encode())


def write_atomically(file: Path, content: bytes) -> None:
    """Write `content` beside `file`, then rename."""
    with replacing(file) as temporary:
        temporary.write_bytes(content)


def write_private(file: Path, content: bytes) -> None:
    """Write a file that only this user can read; it never was anything else."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        handle.write(content)
    os.replace(temporary, file)


def refuse_no_utf8(path: Path, error: type[CurateError]) -> None:
    """Raise `error` where a path can't stand in a table."""
    if not is_utf8(str(path)):
        hint = "" if sys.getfilesystemencoding() == "utf-8" else "set PYTHONUTF8=1; or "
        raise error(
            f"{path} is not UTF-8",
            "a path in UTF-8: tables hold it",
            f"{hint}rename the folder, or make a link to it and name that",
        )


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Yield a temporary path beside `file`; on success it is flushed to disk and takes the file's place."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield a new temporary folder beside `folder`; on success it takes that name, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # left by a killed run; the lock says nobody else is at it
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@functools.cache
def code_version() -> str:
    """The version and a digest of curate's own source: what other code made may be something else."""
    hasher = hashlib.blake2b(digest_size=6)
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        hasher.update(file.read_bytes())
    return f"{__version__}+{hasher.hexdigest()}"
