"""Names for files and folders that hold on every file system, from names that may hold anything."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

EXPORT_MARKER = ".curate-export.json"  # in an export of a version from its beginning: which one, and how

FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')  # what Windows or POSIX does not allow in a name
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)  # device names on Windows
LONGEST = 200  # bytes of UTF-8; file systems allow 255, and a suffix may follow


def safe_name(name: str) -> str:
    """One path component for `name`: no separators, no control characters, nothing reserved, never empty.

    Forbidden characters become `_`; a name that would be hidden, reserved or end in a dot or space gets a `_`
    too. Two names may come out alike: `distinct` keeps them apart.
    """
    safe = FORBIDDEN.sub("_", unicodedata.normalize("NFC", name)).rstrip(". ")
    if not safe or safe.startswith((".", " ", "-")) or RESERVED.fullmatch(safe):
        safe = f"_{safe}"
    return _shortened(safe)


def distinct(names: Iterable[str], safe: Iterable[str]) -> list[str]:
    """`safe` names, with a mark of the full name where two names came out alike (capitals aside).

    The mark depends on the name alone, so a sample keeps its file name from one version to the next.

    Parameters
    ----------
    names : what tells the things apart; repeated names share a result
    safe : the safe name or relative path of each
    """
    pairs = list(zip(names, safe, strict=True))
    owners: dict[str, set[str]] = {}
    for name, short in pairs:
        owners.setdefault(short.casefold(), set()).add(name)
    return [_marked(short, name) if len(owners[short.casefold()]) > 1 else short for name, short in pairs]


def _marked(safe: str, name: str) -> str:
    path, mark = PurePosixPath(safe), hashlib.sha256(name.encode()).hexdigest()[:12]
    return str(path.with_name(f"{path.stem}~{mark}{path.suffix}"))


def _shortened(name: str) -> str:
    """At most LONGEST bytes, the suffix kept."""
    if len(name.encode()) <= LONGEST:
        return name
    stem, dot, suffix = name.rpartition(".")
    suffix = f".{suffix}" if dot and 0 < len(suffix) <= 10 else ""
    stem = stem if suffix else name
    return stem.encode()[: LONGEST - len(suffix.encode())].decode(errors="ignore") + suffix
