"""`curate review` as a process of its own, as users start it, for the tests of the App."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import pytest

from curate.errors import ReviewError
from curate.review.app.mongo import find_mongod

STARTED = 300.0  # seconds that a start may take on a busy machine


def why_not() -> str | None:
    """What the App lacks on this machine."""
    if importlib.util.find_spec("fiftyone") is None:
        return "FiftyOne is not installed (the extra `review`)"
    try:
        find_mongod()
    except ReviewError as error:
        return error.found
    return None


needs_app = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def ask(*arguments: object) -> Any:
    """What a command prints as JSON."""
    done = subprocess.run([sys.executable, "-m", "curate", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class App:
    """A review that is open; ends with Ctrl-C where the test did not end it."""

    def __init__(self, workspace: Path, *options: str, reviewer: str = "anna") -> None:
        self.workspace, self.url = workspace, ""
        self.command = [sys.executable, "-m", "curate", "review", "--print-url", "-w", str(workspace)]
        self.command += ["--reviewer", reviewer, *options]
        self.lines: list[str] = []

    def __enter__(self) -> App:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        timer = threading.Timer(STARTED, self.process.kill)
        timer.start()
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(r"Review: (http\S+)", line):
                self.url = found[1]
                break
        timer.cancel()
        assert self.url, self.process.communicate()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        self.lines += out.splitlines()
        if kind is None and not getattr(self, "killed", False):
            assert self.process.returncode == 0, err

    @property
    def base(self) -> str:
        return re.match(r"http://[^/]+", self.url)[0]  # type: ignore[index]

    @property
    def dataset(self) -> str:
        return re.search(r"/datasets/([^?]+)", self.url)[1]  # type: ignore[index]

    def order(self, view: str) -> list[str]:
        """The samples of a saved view, in its order."""
        rows = [row for row in self.fields(["sample_id", f"{view}_place"]) if row.get(f"{view}_place")]
        return [row["sample_id"] for row in sorted(rows, key=lambda row: row[f"{view}_place"])]

    def fields(self, names: list[str], where: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """What MongoDB holds of the samples."""
        with self._samples() as samples:
            return list(samples.find(where or {}, {"_id": 0, **dict.fromkeys(names, 1)}))

    def write(self, where: dict[str, Any], change: dict[str, Any]) -> None:
        """Change one sample in MongoDB, past us."""
        with self._samples() as samples:
            assert samples.update_one(where, change).modified_count == 1

    @contextmanager
    def _samples(self) -> Iterator[Any]:
        from pymongo import MongoClient

        with MongoClient(self.db_uri) as client:
            database = client["fiftyone"]
            yield database[database["datasets"].find_one({"name": self.dataset})["sample_collection_name"]]

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not come to pass"
            time.sleep(0.05)

    @property
    def port(self) -> int:
        return int(self.base.rsplit(":", 1)[1])

    @property
    def db_socket(self) -> Path:
        return Path(re.search(r"--bind_ip (\S+)", command_of(self.mongod()))[1])  # type: ignore[index]

    @property
    def db_uri(self) -> str:
        return f"mongodb://{quote(str(self.db_socket), safe='')}"

    def ids(self) -> list[str]:
        """FiftyOne's ids of the samples, by name."""
        with self._samples() as samples:
            return [str(row["_id"]) for row in samples.find({}, {"_id": 1}).sort("sample_id", 1)]

    def mongod(self) -> int:
        """The process id of our mongod."""
        return int((self.workspace / "mongo" / "mongod.lock").read_text())

    def browserlike(self) -> urllib.request.OpenerDirector:
        """Something that keeps cookies and has opened the address."""
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        opener.open(self.url).read()
        return opener


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
