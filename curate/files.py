"""Files that are whole or not there: atomic writes, digests, and safe reading of our own."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from curate import __version__
from curate.errors import CurateError
from curate.text import csv_text, from_csv, is_utf8


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


def read_json(file: Path) -> dict[str, Any] | None:
    """The JSON object in `file`; None where there is none, or no whole one."""
    try:
        value = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None
