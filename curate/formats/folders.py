"""A folder of images as sources: which layout it has is found by looking at where the images lie.

Links are followed, files and folders, also to outside the root: the folder is the user's own, such
trees are how people lay out one set of files in several ways, and curate only ever reads. Each folder
is read once, so links that form a circle end.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from pathlib import Path

import pandas as pd

from curate.errors import SourceError
from curate.files import read_json
from curate.formats.manifest import SPLIT_NAMES
from curate.formats.names import EXPORT_MARKER
from curate.formats.problems import problem_table
from curate.formats.rows import SUFFIXES as TABLES
from curate.text import is_utf8

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
CLUTTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})  # what systems leave behind, like hidden files


class Findings:
    """What a walk found: images, and what else lay there with the reason why it is no image."""

    def __init__(self) -> None:
        self.images: list[str] = []  # relative to the root, with forward slashes
        self.others: list[tuple[str, str]] = []  # path, reason

    def add_file(self, path: str) -> None:
        suffix = os.path.splitext(path)[1].lower()
        if not is_utf8(path):
            self.others.append((path, "has a name that is not UTF-8; rename it"))
        elif suffix in IMAGE_SUFFIXES:
            self.images.append(path)
        elif suffix in TABLES:
            self.others.append((path, "is a table, not an image; to use it, name it: curate ingest PATH"))
        else:
            self.others.append((path, f"is no image by its suffix '{suffix}'" if suffix else "has no suffix"))


def read_folder(root: Path, *, own: Path | None = None) -> tuple[str, pd.DataFrame, pd.DataFrame]:
    """Read a folder of images.

    Parameters
    ----------
    own : the workspace that this is read for, which is passed over without a word; any other is a problem

    Returns
    -------
    layout : 'class folders', 'split and class folders' or 'flat folder'
    sources : table SOURCES; images in no class folder have no label
    problems : table ROW_PROBLEMS: each file that is not an image by its suffix, each folder that is unreadable, a
        workspace, or an export of ours, whose pictures would be copies

    Raises
    ------
    SourceError : no images, or a layout that can't be told
    """
    found = _walk(root, own)
    if not found.images:
        raise SourceError(
            f"{root} holds no images ({len(found.others):,} other files)",
            f"images ({', '.join(sorted(IMAGE_SUFFIXES))}) in class folders, or a manifest",
            "name the folder above the class folders",
        )
    images = sorted(found.images)
    layout = _layout(images, root)
    splits, labels = _split_and_label(images, has_splits=layout == "split and class folders")
    sources = pd.DataFrame(
        {
            "sample_id": pd.Series(images, dtype="str"),
            "path": pd.Series([f"{root}/{image}" for image in images], dtype="str"),
            "label": pd.Series(labels, dtype="str"),
            "split": pd.Series(splits, dtype="str"),
            "group": pd.Series(None, index=range(len(images)), dtype="str"),
        }
    )
    others = sorted(found.others)
    problems = problem_table(root.name, range(1, len(others) + 1), [p for p, _ in others], [why for _, why in others])
    return layout, sources, problems


def _split_and_label(images: list[str], *, has_splits: bool) -> tuple[list[str | None], list[str | None]]:
    """Split and class of each image by the folders it lies in; deeper folders belong to the class."""
    splits, labels = [], []
    for image in images:
        *folders, _ = image.split("/", 2 if has_splits else 1)
        splits.append(SPLIT_NAMES.get(folders.pop(0).casefold()) if has_splits and folders else None)
        labels.append(folders[0] if folders else None)
    return splits, labels


def _layout(images: list[str], root: Path) -> str:
    """Tell the layout from the top folders; raise SourceError where two readings are possible."""
    tops = {image.split("/", 1)[0] for image in images if "/" in image}
    if not tops:
        return "flat folder"
    split_tops = {top for top in tops if top.casefold() in SPLIT_NAMES}
    holds_images = {image.split("/", 1)[0] for image in images if image.count("/") == 1}
    if split_tops == tops:
        return "split and class folders"
    # one folder 'train' full of images among class folders is the class of trains
    if len(split_tops) > 1 or not split_tops <= holds_images:
        raise SourceError(
            f"{root} holds both split folders ({_some(split_tops)}) and others ({_some(tops - split_tops)})",
            "only split folders, or only class folders",
            "move the others away, or describe the images in a manifest with the columns image, split, label",
        )
    inner = {image.split("/", 2)[1] for image in images if image.count("/") > 1}
    if len(tops) == 1 and not holds_images and len(inner) > 1:
        (top,) = tops
        raise SourceError(
            f"{root} holds only the folder '{top}', and that holds the folders {_some(inner)}",
            "class folders, or split folders with class folders in them",
            f"curate ingest '{root}/{top}'",
        )
    return "class folders"


def _walk(root: Path, own: Path | None) -> Findings:
    """Find every file below `root`; real folders are read before links to folders, so theirs is the name."""
    found, folders = Findings(), [""]
    links: deque[str] = deque()
    seen: set[tuple[int, int]] = set()
    while folders or links:
        folder = folders.pop() if folders else links.popleft()
        try:
            identity = os.stat(root / folder)
            if (identity.st_dev, identity.st_ino) in seen:
                found.others.append((folder, "is a link to a folder that was read already"))
                continue
            seen.add((identity.st_dev, identity.st_ino))
            if reason := _why_passed_over(root / folder, is_root=not folder):
                if own is None or not os.path.samefile(root / folder, own):
                    found.others.append((folder, reason))
                continue
            entries = _entries(root / folder)
        except OSError as fault:
            if not folder:
                raise SourceError(f"can't read {root}: {fault.strerror}") from fault
            found.others.append((folder, f"is a folder that can't be read: {fault.strerror}"))
            continue
        for entry in entries:
            _sort_in(entry, f"{folder}/{entry.name}" if folder else entry.name, found, folders, links)
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of one folder by name, less hidden ones and clutter."""
    with os.scandir(folder) as scanned:
        entries = [e for e in scanned if not e.name.startswith(".") and e.name not in CLUTTER]
    return sorted(entries, key=lambda entry: entry.name)


def _why_passed_over(folder: Path, *, is_root: bool) -> str:
    """Why a folder that curate made is not entered; empty for any other. An export may be read by its own name."""
    if _is_workspace(folder):
        return "is a workspace of curate"
    if not is_root and os.path.lexists(folder / EXPORT_MARKER):
        return "is an export of curate apply; to use it, name it: curate ingest PATH"
    return ""


def _is_workspace(folder: Path) -> bool:
    """Whether a workspace of ours lies there, by what its workspace.json says: other programs write one too."""
    file = folder / "workspace.json"
    try:
        return file.is_file() and isinstance((read_json(file) or {}).get("format"), int)
    except OSError:
        return False


def _sort_in(entry: os.DirEntry[str], path: str, found: Findings, folders: list[str], links: deque[str]) -> None:
    is_link = entry.is_symlink()
    if is_link and _leads_to_itself(entry.path):
        found.others.append((path, "is a link that leads to itself"))
    elif entry.is_dir():
        (links if is_link else folders).append(path)
    elif entry.is_file() or (is_link and not os.path.exists(entry.path)):
        found.add_file(path)  # a link to nowhere is an image that is missing: the scan will say so
    else:
        found.others.append((path, "is no regular file"))


def _leads_to_itself(link: str) -> bool:
    try:
        os.stat(link)
    except OSError as fault:
        return fault.errno == errno.ELOOP
    return False


def _some(names: set[str], most: int = 5) -> str:
    shown = sorted(names)[:most]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
