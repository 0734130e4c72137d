"""One small workspace that the tests copy and then damage."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from command import class_folders, done, verdicts

NOBODY = 65534  # a user who may do nothing


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """Ten images of noise in each of two classes."""
    return class_folders(tmp_path_factory.mktemp("source") / "images", {"cat": 10, "dog": 10})


@pytest.fixture(scope="session")
def ingested(images, tmp_path_factory) -> Path:
    """The workspace of these images."""
    root = tmp_path_factory.mktemp("ingested") / "ws"
    done("ingest", images, "-w", root)
    return root


@pytest.fixture
def workspace(ingested, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(ingested, tmp_path / "ws"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that every user may write to: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="curate-test-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def unprivileged(workspace, tmp_path) -> Iterator[None]:
    """Permissions bite: root, whom they don't stop, is nobody for the length of the test."""
    if os.geteuid() != 0:
        yield
        return
    file = verdicts(workspace, tmp_path / "warm.csv")
    for command in (["decide", file], ["apply"], ["report"], ["review", "--html"], ["review", "--csv"]):
        done(*command, "-w", workspace)  # imports what nobody may not read
    import_module("curate.networks.create")  # nor a network that is kept in root's cache
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
