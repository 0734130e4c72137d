"""The folder that holds every table: paths, atomic writes, provenance, and what is stale.

A derived file is written beside its place and renamed. Its sidecar `<file>.json` comes last and means
done: it holds the parameters, the digests of the inputs, the digest of the file, counts and seconds.
A file whose parameters or inputs differ from its sidecar's is stale.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd

from curate import __version__
from curate.errors import StageMissing, WorkspaceBusy, WorkspaceError
from curate.schema import TABLES, validate

FORMAT = 1  # of the folder's layout; a workspace of another number is refused


@dataclass
class Made:
    """What a stage says of the file it just made; filled in while it works."""

    counts: dict[str, Any] = field(default_factory=dict)


class Workspace:
    """One workspace folder. `Workspace(root)` opens, `Workspace.create(root)` also makes it."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not (self.root / "workspace.json").is_file():
            raise WorkspaceError(
                f"no workspace at {self.root}",
                "a folder made by `curate ingest`",
                f"curate ingest YOUR_IMAGES -w {self.root}",
            )
        found = json.loads((self.root / "workspace.json").read_text())["format"]
        if found != FORMAT:
            raise WorkspaceError(f"{self.root} is a workspace of format {found}", f"format {FORMAT}")

    @classmethod
    def create(cls, root: Path | str) -> Workspace:
        """Open the workspace at `root`, making it where there is none."""
        root = Path(root)
        if not (root / "workspace.json").is_file():
            _refuse_to_mix(root)
            try:
                root.mkdir(parents=True, exist_ok=True)
                write_atomically(root / "workspace.json", json.dumps({"format": FORMAT}).encode())
            except OSError as error:
                raise WorkspaceError(
                    f"can't write to {root}: {error.strerror}",
                    "a folder that you may write to",
                    "choose another with -w",
                ) from error
        return cls(root)

    # ---- paths -------------------------------------------------------------------------------

    def path(self, *parts: str) -> Path:
        """A path inside the workspace; nothing is created."""
        return self.root.joinpath(*parts)

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.sqlite"

    def numbered(self, kind: str) -> list[int]:
        """The finished numbers under `versions/` or `runs/`, ascending."""
        done = self.path(kind).glob("*/done.json")
        return sorted(int(path.parent.name) for path in done if path.parent.name.isdigit())

    # ---- one writer at a time ----------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the workspace's lock; a second process gets WorkspaceBusy. The kernel frees it on any exit."""
        try:
            handle = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise WorkspaceError(
                f"can't write to {self.root}: {error.strerror}",
                "a workspace that you may write to",
                "choose another with -w",
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(handle, 64, 0).decode() or "unknown"
                raise WorkspaceBusy(
                    f"another curate process (pid {holder}) is writing to {self.root}",
                    "one writer at a time",
                    "wait for it to end, or use another workspace with -w",
                ) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(handle)

    # ---- files with provenance ---------------------------------------------------------------

    def read(self, name: str) -> pd.DataFrame:
        """Read table `name` of the schema, or an issue table by its finder's name."""
        file = self.file_of(name)
        if not self.sidecar(file):
            raise StageMissing(f"{file.relative_to(self.root)} has not been made yet", do="curate ingest SOURCE")
        return pd.read_parquet(file)

    def has(self, name: str) -> bool:
        return self.sidecar(self.file_of(name)) is not None

    def file_of(self, name: str) -> Path:
        return self.root / (TABLES[name].file if name in TABLES else f"issues/{name}.parquet")

    def sidecar(self, file: Path) -> dict[str, Any] | None:
        """The provenance of `file`, or None where it was never finished."""
        try:
            made: dict[str, Any] = json.loads(_sidecar_path(file).read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return made if file.exists() else None

    def digest(self, file: Path) -> str:
        made = self.sidecar(file)
        return made["digest"] if made else ""

    def is_fresh(self, file: Path, parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> bool:
        """True where `file` was finished with these parameters, inputs and code."""
        made = self.sidecar(file)
        wanted = _wish(parameters, inputs)
        return made is not None and all(made[key] == value for key, value in wanted.items())

    @contextmanager
    def making(self, file: Path, parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> Iterator[Made]:
        """Around the work that makes `file` (already in place when the block ends): writes its sidecar."""
        started, made = time.perf_counter(), Made()
        yield made
        provenance = {
            **_wish(parameters, inputs),
            "digest": digest_of(file),
            "counts": made.counts,
            "seconds": round(time.perf_counter() - started, 3),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "python": platform.python_version(),
        }
        write_atomically(_sidecar_path(file), json.dumps(provenance, indent=1, default=str).encode())

    def write(self, name: str, table: pd.DataFrame) -> Path:
        """Write a table atomically, checked against its schema where it has one. Returns its path."""
        if name in TABLES:
            validate(name, table)
        file = self.file_of(name)
        write_parquet(file, table)
        return file


def write_parquet(file: Path, table: pd.DataFrame) -> None:
    """Write `table` beside `file`, then rename."""
    with replacing(file) as temporary:
        table.to_parquet(temporary, index=False)


def write_atomically(file: Path, content: bytes) -> None:
    """Write `content` beside `file`, then rename."""
    with replacing(file) as temporary:
        temporary.write_bytes(content)


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


def _sidecar_path(file: Path) -> Path:
    return file.with_name(file.name + ".json")


def _wish(parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, Any]:
    plain = json.loads(json.dumps({"parameters": dict(parameters), "inputs": dict(inputs)}, default=str))
    return {**plain, "code": __version__}


def _refuse_to_mix(root: Path) -> None:
    """A new workspace goes into a new or empty folder, so that it never mixes with the user's files."""
    if root.is_dir() and any(root.iterdir()):
        raise WorkspaceError(
            f"{root} holds files and is not a workspace", "a new or empty folder", "choose another with -w"
        )
