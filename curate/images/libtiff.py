"""libtiff writes what it thinks of a file to the standard error, whatever Python makes of warnings."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import PIL

HANDLERS = ("TIFFSetErrorHandler", "TIFFSetWarningHandler")
PLACES = ("../pillow.libs/libtiff*", ".dylibs/libtiff*")  # where Pillow's wheels bring it, beside Pillow


@contextmanager
def quiet_libtiff() -> Iterator[None]:
    """Nothing of it on the terminal; its errors still are errors. Where it can't be found, all is as it was."""
    setters = _setters()
    before = [setter(None) for setter in setters]
    try:
        yield
    finally:
        for setter, handler in zip(setters, before, strict=True):
            setter(handler)


@functools.cache
def _setters() -> list[ctypes._NamedFuncPointer]:
    library = _library()
    if library is None:
        return []
    setters = [getattr(library, name) for name in HANDLERS]
    for setter in setters:
        setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
    return setters


def _library() -> ctypes.CDLL | None:
    """The one that Pillow has loaded already."""
    home = Path(PIL.__file__).parent
    found: list[str | None] = [str(path) for pattern in PLACES for path in home.glob(pattern)]
    found = found or [ctypes.util.find_library("tiff")]
    with suppress(OSError, AttributeError):
        return ctypes.CDLL(found[0]) if found[0] else None
    return None
