"""Nobody is told anything: every command, with a home of its own and without CI's `CI=true`, which silences some."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from app_process import needs_app
from command import class_folders

from curate.cli import main

# Runs in every Python process of a command, children too: a name that is looked up, an address that is connected to.
OBSERVER = """
import os, sys
def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        note(event, arguments[0])
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        note(event, arguments[1][0])
def note(event, name):
    name = name.decode() if isinstance(name, bytes) else str(name)
    if name not in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "None"):
        with open(os.environ["NOTES"], "a") as file:
            file.write(f"{event} {name}\\n")
sys.addaudithook(watch)
"""
# What may be left in a home; docs/reliability.md names it.
LEFT = re.compile(r"\.cache/(curate|matplotlib|torch|huggingface|fontconfig)(/.*)?|\.config/matplotlib(/.*)?")
WITHOUT_WORKSPACE = {"demo"}
COMMANDS = {
    "ingest": [["ingest", "IMAGES"]],
    "embed": [["embed"]],
    "find": [["find"]],
    "status": [["status"]],
    "issues": [["issues"]],
    "check": [["check", "--max", "leak=100%"]],
    "review": [["review", "--html"], ["review", "--csv"]],
    "decide": [["decide", "--issue", "exact_duplicate", "--above", "0.1", "--action", "drop"]],
    "undo": [["undo", "--last", "1"]],
    "apply": [["decide", "--issue", "exact_duplicate", "--above", "0.1", "--action", "drop"], ["apply"]],
    "diff": [["diff"]],
    "retrain": [["retrain", "--preset", "quick", "--set", "augmentation=light"]],
    "report": [["report"]],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quiet")
    images = class_folders(root / "images", {"cat": 16, "dog": 16})
    shutil.copy(images / "cat" / "000.png", images / "cat" / "copy.png")
    (root / "observer").mkdir()
    (root / "observer" / "sitecustomize.py").write_text(OBSERVER)
    (root / "home").mkdir()
    return root


def environment(place: Path) -> dict[str, str]:
    kept = ("PATH", "LANG", "TMPDIR", "CURATE_MONGOD", "OMP_NUM_THREADS")
    paths = [str(place / "observer"), str(Path(__file__).parents[2])]
    own = {"HOME": str(place / "home"), "NOTES": str(place / "notes"), "PYTHONPATH": os.pathsep.join(paths)}
    return {name: os.environ[name] for name in kept if name in os.environ} | own


def command(place: Path, arguments: list[str]) -> list[str]:
    given = [str(place / "images") if argument == "IMAGES" else argument for argument in arguments]
    return [sys.executable, "-m", "curate", *given, "-w", str(place / "ws")]


def notes(place: Path) -> list[str]:
    return (place / "notes").read_text().splitlines() if (place / "notes").exists() else []


def left_in_home(place: Path) -> list[str]:
    files = (path for path in (place / "home").rglob("*") if not path.is_dir())
    return [str(path.relative_to(place / "home")) for path in files]


def test_each_command_is_tried() -> None:
    assert set(COMMANDS) | WITHOUT_WORKSPACE == set(main.commands)


def test_the_observer_sees_what_leaves(place: Path) -> None:
    script = "import socket\ntry: socket.create_connection(('192.0.2.1', 9), 0.1)\nexcept OSError: pass"
    subprocess.run([sys.executable, "-c", script], env={**environment(place), "NOTES": str(place / "seen")}, check=True)
    assert "192.0.2.1" in (place / "seen").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_looks_up_no_name_and_opens_no_connection(place: Path, name: str) -> None:
    for arguments in COMMANDS[name]:
        ran = subprocess.run(command(place, arguments), env=environment(place), capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
    assert notes(place) == []
    assert [file for file in left_in_home(place) if not LEFT.fullmatch(file)] == []


@needs_app
def test_a_review_in_the_app_looks_up_no_name_and_opens_no_connection(place: Path) -> None:
    arguments = command(place, ["review", "--print-url"])
    with subprocess.Popen(arguments, env=environment(place), stdout=subprocess.PIPE, text=True) as review:
        assert next(line for line in review.stdout if "Review: " in line)  # type: ignore[union-attr]
        time.sleep(1)
        review.send_signal(signal.SIGINT)
        assert review.wait(60) == 0
    assert notes(place) == []
    assert [file for file in left_in_home(place) if not LEFT.fullmatch(file)] == []


@pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace, which sees what native code sends, is not installed"
)
@pytest.mark.parametrize("arguments", [["ingest", "IMAGES"], ["retrain", "--preset", "quick"]])
def test_native_code_opens_no_connection_either(place: Path, tmp_path: Path, arguments: list[str]) -> None:
    seen = tmp_path / "calls"
    traced = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(seen)]
    ran = subprocess.run(
        [*traced, *command(place, arguments)], env={**environment(place), "HOME": str(tmp_path)}, capture_output=True
    )
    if b"ptrace" in ran.stderr or b"PTRACE" in ran.stderr:
        pytest.skip("this machine allows no tracing")
    assert ran.returncode == 0, ran.stderr
    outside = [line for line in seen.read_text().splitlines() if "AF_INET" in line]
    assert [line for line in outside if "127.0.0.1" not in line and '"::1"' not in line] == []
