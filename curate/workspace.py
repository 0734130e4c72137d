"""The folder that holds every table: paths, atomic writes, provenance, and what is stale.

A derived file is written beside its place and renamed. Its sidecar `<file>.json` comes last and means
done: it holds the parameters, the digests of the inputs, the digest of the file, counts and seconds.
A file whose parameters or inputs differ from its sidecar's is stale.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import resource
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from curate.errors import DamagedFile, StageMissing, WorkspaceBusy, WorkspaceError
from curate.files import (
    FORMATS,
    Shape,
    code_version,
    digest_of,
    numbered_folders,
    read_sealed,
    refuse_no_utf8,
    replacing,
    require_digest,
    sealed,
    write_atomically,
)
from curate.schema import TABLES, validate
from curate.version import __version__

FORMAT = 1  # of the folder's layout; a workspace of another number is refused
PROVENANCE: Shape = {  # of a sidecar
    "parameters": {...: object},
    "inputs": {...: str},
    "code": str,
    "digest": str,
    "counts": {"rows": int, ...: (int, float, str, None)},
    "seconds": (float, None),
    "peak_memory_mb": int,
    "made": str,
    "python?": str,
}
MAKERS = {"versions/": "curate apply", "reports/": "curate report", "pred_probs/trainer": "curate retrain"}


class Workspace:
    """One workspace folder. `Workspace(root)` opens, `Workspace.create(root)` also makes it."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._held = False
        refuse_no_utf8(self.root.absolute(), WorkspaceError)
        if not (self.root / "workspace.json").is_file():
            raise WorkspaceError(
                f"no workspace at {self.root}",
                "a folder made by `curate ingest`",
                f"curate ingest YOUR_IMAGES -w {self.root}",
            )
        advice = f'write {{"format": {FORMAT}}} into the file; the tables and decisions beside it are not concerned'
        found = read_sealed(self.root / "workspace.json", {"format": int}, do=advice)["format"]
        if found != FORMAT:
            raise WorkspaceError(
                f"{self.root} is a workspace of format {found}",
                f"format {FORMAT}, which curate {__version__} reads and writes",
                "use the curate that made it, or another workspace with -w",
            )

    @classmethod
    def create(cls, root: Path | str) -> Workspace:
        """Open the workspace at `root`, making it where there is none."""
        root = Path(root)
        refuse_no_utf8(root.absolute(), WorkspaceError)
        if not (root / "workspace.json").is_file():
            cls.refuse_to_mix(root)
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

    @staticmethod
    def refuse_to_mix(root: Path) -> None:
        """A new workspace goes into a new or empty folder, so that it never mixes with the user's files."""
        if root.is_dir() and any(root.iterdir()):
            raise WorkspaceError(
                f"{root} holds files and is not a workspace", "a new or empty folder", "choose another with -w"
            )

    # ---- paths -------------------------------------------------------------------------------

    def path(self, *parts: str) -> Path:
        """A path inside the workspace; nothing is created."""
        return self.root.joinpath(*parts)

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.sqlite"

    def numbered(self, kind: str) -> list[int]:
        """The finished numbers under `versions/` or `runs/`, ascending."""
        return numbered_folders(self.path(kind))

    # ---- one writer at a time ----------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the workspace's lock; a second process gets WorkspaceBusy. The kernel frees it on any exit."""
        if self._held:  # a verb that calls another verb
            yield
            return
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
                holder = os.pread(handle, 64, 0).decode(errors="replace") or "unknown"
                raise WorkspaceBusy(
                    f"another curate process (pid {holder}) is writing to {self.root}",
                    "one writer at a time",
                    "wait for it to end, or use another workspace with -w",
                ) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
            self._held = True
            self._sweep()
            yield
        finally:
            self._held = False
            os.close(handle)

    def _sweep(self) -> None:
        """Remove what killed writers left half-written; only the holder of the lock may.

        Folders are written under the lock alone. A file may be a page that another process writes just now.
        """
        for leftover in self.root.rglob(".*.tmp"):
            if leftover.is_dir():
                shutil.rmtree(leftover)
            elif not _is_running(leftover.name.split(".")[-2]):
                leftover.unlink(missing_ok=True)

    # ---- files with provenance ---------------------------------------------------------------

    def file_of(self, name: str) -> Path:
        """Where `name` lies: a table of the schema, a finder's issues, or a path inside the workspace."""
        if name in TABLES:
            return self.root / TABLES[name].file
        return self.root / (name if "/" in name else f"issues/{name}.parquet")

    def has(self, name: str) -> bool:
        """Whether `name` was ever finished. Raises DamagedFile where its sidecar can't tell."""
        return self.sidecar(name) is not None

    def sidecar(self, name: str) -> dict[str, Any] | None:
        """The provenance of `name`, or None where it was never finished.

        Raises
        ------
        DamagedFile : the sidecar is not what was written
        """
        file = self.file_of(name)
        sidecar = _sidecar_path(file)
        try:
            return read_sealed(sidecar, PROVENANCE, do=self._remedy(file)) if file.exists() else None
        except DamagedFile:
            if sidecar.exists():
                raise
            return None  # never finished

    def intact_sidecar(self, name: str) -> dict[str, Any] | None:
        """The same for those who make `name` anew: a damaged one is none."""
        with suppress(DamagedFile):
            return self.sidecar(name)
        return None

    def digest(self, name: str) -> str:
        """The digest of the finished file `name`; empty where there is none. Raises as `sidecar` does."""
        made = self.sidecar(name)
        return made["digest"] if made else ""

    def read(self, name: str) -> Any:
        """Read a finished file: a DataFrame (.parquet), a dict of arrays (.npz) or a JSON value.

        Raises
        ------
        StageMissing : it was never finished
        DamagedFile : it is not what was written
        """
        file, digest = self.file_of(name), self.digest(name)
        if not digest:
            raise StageMissing(f"{file} has not been made yet", do="curate ingest SOURCE")
        require_digest(file, digest, do=self._remedy(file))
        return FORMATS[file.suffix].read(file)

    def _remedy(self, file: Path) -> str:
        """What makes a damaged file anew."""
        name = file.relative_to(self.root).as_posix()
        maker = next((maker for start, maker in MAKERS.items() if name.startswith(start)), "curate ingest SOURCE")
        return f"{maker} makes it anew; decisions are not concerned"

    def write(
        self,
        name: str,
        content: Any,
        *,
        parameters: Mapping[str, Any] | None = None,
        inputs: Iterable[str] = (),
        counts: Mapping[str, Any] | None = None,
        started: float | None = None,
    ) -> None:
        """Write `content` (checked where the schema knows `name`), then its sidecar."""
        if name in TABLES:
            validate(name, content)
        file = self.file_of(name)
        with replacing(file) as temporary:
            FORMATS[file.suffix].write(content, temporary)
            _sidecar_path(file).unlink(missing_ok=True)  # a kill between the two renames must not look done
        provenance = {
            **self._wish(parameters or {}, inputs),
            "digest": digest_of(file),
            "counts": {"rows": len(content), **(counts or {})},
            "seconds": round(time.perf_counter() - started, 3) if started else None,
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,  # of the process so far
            "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "python": platform.python_version(),
        }
        write_atomically(_sidecar_path(file), json.dumps(sealed(provenance), indent=1).encode())

    def derive(
        self, name: str, make: Callable[[], Any], *, inputs: Iterable[str], parameters: Mapping[str, Any] | None = None
    ) -> Any:
        """Return `name`, made by `make()` only where it is missing, stale or damaged."""
        inputs = list(inputs)
        if self.is_fresh(name, parameters or {}, inputs):
            with suppress(DamagedFile):
                return self.read(name)
        started = time.perf_counter()
        content = make()
        self.write(name, content, parameters=parameters, inputs=inputs, started=started)
        return content

    def forget(self, name: str) -> None:
        """Remove a derived file that no longer applies, and its sidecar."""
        _sidecar_path(self.file_of(name)).unlink(missing_ok=True)
        self.file_of(name).unlink(missing_ok=True)

    def is_fresh(self, name: str, parameters: Mapping[str, Any], inputs: Iterable[str]) -> bool:
        """True where `name` was finished with these parameters, these inputs as they are now, and this code."""
        made = self.intact_sidecar(name)
        return made is not None and all(made[key] == value for key, value in self._wish(parameters, inputs).items())

    def stale_inputs(self, name: str) -> list[str]:
        """The inputs of `name` that have changed since it was made, or that are stale themselves."""
        made = self.sidecar(name)
        inputs = made["inputs"].items() if made else ()
        return [i for i, digest in inputs if self.digest(i) != digest or self.stale_inputs(i)]

    def _wish(self, parameters: Mapping[str, Any], inputs: Iterable[str]) -> dict[str, Any]:
        wish = {"parameters": dict(parameters), "inputs": {name: self.digest(name) for name in inputs}}
        return {**json.loads(json.dumps(wish, default=str)), "code": code_version()}


def _is_running(pid: str) -> bool:
    """True where the process of this number runs on this machine."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        pass  # another user's
    return True


def _sidecar_path(file: Path) -> Path:
    return file.with_name(file.name + ".json")
