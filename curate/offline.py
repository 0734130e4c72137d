"""Nothing is reported to anybody: neither by curate nor by the libraries that it uses.

`import curate` sets what libraries read before they are imported. OpenVINO reads no setting: it reports each import and
each conversion through the package `openvino_telemetry`, unless that can't be imported.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SILENT = {
    "DO_NOT_TRACK": "1",  # https://consoledonottrack.com
    "FIFTYONE_DO_NOT_TRACK": "true",  # else the App's page reports its use
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",  # else it looks for a newer version when it is imported
    "RAY_USAGE_STATS_ENABLED": "0",
}
REPORTER = "openvino_telemetry"


def silence_libraries() -> None:
    """Set what libraries read when they are imported; what the user has set stays."""
    for name, value in SILENT.items():
        os.environ.setdefault(name, value)


def import_openvino() -> Any:
    """OpenVINO, with its own stub in place of the package that reports its use."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    with _not_to_be_imported(REPORTER):
        return importlib.import_module("openvino")


@contextmanager
def _not_to_be_imported(name: str) -> Iterator[None]:
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # what Python itself does for "not found"
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:  # the user's own code uses it
            sys.modules[name] = before
