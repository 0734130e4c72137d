"""A version as a folder tree of links or copies, or as a CSV. Originals are read, never changed."""

from __future__ import annotations

import errno
import fcntl
import filecmp
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pandas as pd

from curate.apply.contents import require_contents, sha256_of
from curate.errors import ExportError, StaleVersion
from curate.files import write_atomically
from curate.formats.names import EXPORT_MARKER, distinct, safe_name
from curate.progress import Advance
from curate.text import csv_text

HOW = ("hardlink", "symlink", "copy")
CSV = "manifest.csv"
SPARE = ".curate-copying"  # what is being written; takes its name when complete
NO_SPLIT, NO_LABEL = "no_split", "unlabelled"  # folders


def export(manifest: pd.DataFrame, out: Path | str, *, how: str, advance: Advance = lambda n: None) -> pd.DataFrame:
    """Write a version as `split/class/name`, with a `manifest.csv` that `curate ingest` reads back.

    Where no sample has a split the tree is `class/name`. Names are made safe for every file system and kept
    apart where they come out alike (`curate.formats.names`); `manifest.csv` has the true ones.

    The tree is built in a hidden folder beside `out` and takes its place at the end: `out` is never half done.
    After a kill the same call goes on where it stopped. Files that were there are never replaced: an `out` that
    holds anything but this very export is refused.

    Parameters
    ----------
    manifest : schema MANIFEST
    out : a folder that is new or empty
    how : "hardlink" takes no space, but what writes into the export writes into the original; "symlink" takes
        none either, and breaks when originals move; "copy" stands alone

    Returns
    -------
    What `manifest.csv` says: `image` (path in the folder), `label, split, group, sample_id`.

    Raises
    ------
    ExportError : `out` is in use, an original is gone, hard links can't cross file systems, the disk is full …
    StaleVersion : an original is another picture than was judged
    """
    out = Path(out).absolute()
    if how not in HOW:
        raise ExportError(f"can't export by {how!r}", f"one of {', '.join(HOW)}")
    files = layout(manifest)
    marker = json.dumps({"how": how, "files": _digest(files, manifest)}).encode()
    if _content(out / EXPORT_MARKER) == marker and (out / CSV).is_file():
        if how != "copy":  # which stands alone
            with _explained(out):
                require_contents(manifest)
        return files
    with _explained(out), _building(out, marker, manifest) as folder:
        for image, original, sha256 in zip(files["image"], manifest["path"], manifest["sha256"], strict=True):
            _place(Path(original), folder, folder / image, how)
            if how == "copy":
                _refuse_another(folder / image, original, sha256)
            advance(1)
        (folder / SPARE).write_bytes(csv_text(files).encode())
        os.replace(folder / SPARE, folder / CSV)
        os.sync()  # the tree has to be on disk before it is called complete
    return files


def export_csv(manifest: pd.DataFrame, file: Path | str) -> None:
    """Write a version as a CSV (`image, label, split, group, sample_id`) that `curate ingest` reads back.

    Raises
    ------
    ExportError : the file exists with another content, or can't be written; an original is gone
    StaleVersion : an original is another picture than was judged
    """
    file = Path(file)
    columns = manifest.rename(columns={"path": "image"})[["image", "label", "split", "group", "sample_id"]]
    content = csv_text(columns).encode()
    with _explained(file):
        if file.exists() and _content(file) != content:
            raise ExportError(f"{file} exists", "a new file: nothing is written over", "choose another name")
        require_contents(manifest)
        write_atomically(file, content)


def layout(manifest: pd.DataFrame) -> pd.DataFrame:
    """Where each sample goes: `image` (relative path), `label, split, group, sample_id`, in manifest order."""
    labels = manifest["label"].astype("object").where(manifest["label"].notna(), "")
    folders = distinct(labels, [safe_name(label) if label else NO_LABEL for label in labels])
    if manifest["split"].notna().any():
        folders = [f"{split}/{name}" for split, name in zip(manifest["split"].fillna(NO_SPLIT), folders, strict=True)]
    names = [safe_name(PurePosixPath(sample_id).name) for sample_id in manifest["sample_id"]]
    places = [f"{folder}/{name}" for folder, name in zip(folders, names, strict=True)]
    table = manifest.assign(image=distinct(manifest["sample_id"], places))
    return table[["image", "label", "split", "group", "sample_id"]]


@contextmanager
def _building(out: Path, marker: bytes, manifest: pd.DataFrame) -> Iterator[Path]:
    """A hidden folder beside `out`, perhaps begun before, that becomes `out`; one process at a time."""
    _refuse_in_use(out)
    require_contents(manifest)
    folder = out.with_name(f".{out.name}.curate-partial")
    folder.mkdir(parents=True, exist_ok=True)
    begun = _content(folder / EXPORT_MARKER)
    if begun not in (None, marker) or (begun is None and any(p.name != SPARE for p in folder.iterdir())):
        raise ExportError(
            f"{folder} holds an unfinished export of something else", do="delete that folder, or export elsewhere"
        )
    if begun is None:
        (folder / SPARE).write_bytes(marker)
        os.replace(folder / SPARE, folder / EXPORT_MARKER)
    with open(folder / EXPORT_MARKER, "rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExportError(f"another process is exporting to {out}") from None
        yield folder
        os.rename(folder, out)  # fails where `out` has been filled meanwhile


def _refuse_in_use(out: Path) -> None:
    if os.path.lexists(out) and not (out.is_dir() and not out.is_symlink() and not any(out.iterdir())):
        what = "another export" if (out / EXPORT_MARKER).is_file() else "files"
        raise ExportError(f"{out} exists and holds {what}", "a new or empty folder", "choose another folder")


def _place(original: Path, folder: Path, place: Path, how: str) -> None:
    """Put one original in its place; what is there already from a killed run must be the same."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(place):
        if not _is_same(original, place, how):
            raise ExportError(f"{place} exists and is not {original}", do="delete that folder, and export again")
    elif how == "hardlink":
        os.link(os.path.realpath(original), place)  # a link to a symbolic link would be one too
    elif how == "symlink":
        os.stat(original)
        os.symlink(os.path.abspath(original), place)
    else:
        shutil.copyfile(original, folder / SPARE)
        os.replace(folder / SPARE, place)


def _refuse_another(copy: Path, original: str, sha256: str) -> None:
    """Raise, and remove the copy, where the original has changed while it was copied."""
    if sha256_of(copy) != sha256:
        copy.unlink()
        raise StaleVersion(
            f"{original} has changed since it was ingested", "the picture that was judged", "curate ingest again"
        )


def _is_same(original: Path, place: Path, how: str) -> bool:
    if how == "hardlink":
        return os.path.samefile(original, place) and not place.is_symlink()
    if how == "symlink":
        return place.is_symlink() and os.readlink(place) == os.path.abspath(original)
    return not place.is_symlink() and filecmp.cmp(original, place, shallow=False)


def _digest(files: pd.DataFrame, manifest: pd.DataFrame) -> str:
    table = files.assign(path=manifest["path"]).to_csv(index=False)
    return hashlib.sha256(table.encode()).hexdigest()


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


@contextmanager
def _explained(out: Path) -> Iterator[None]:
    """Turn what the file system refuses into an ExportError that says what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise ExportError(f"{error.filename} is gone", do="put the file back, or run `curate ingest` again") from error
    except OSError as error:
        advice = {
            errno.EXDEV: "use copy or symlink: hard links can't cross file systems",
            errno.EPERM: "use copy or symlink: this system refuses such links",
            errno.ENOSPC: "free some space and run the same command again: it goes on where it stopped",
        }
        raise ExportError(
            f"export to {out} stopped: {error.strerror}: {error.filename or out}", do=advice.get(error.errno or 0, "")
        ) from error
