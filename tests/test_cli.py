"""The command line as a user meets it: its speed, its errors, its exit codes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from curate.cli import main

CURATE = [sys.executable, "-m", "curate"]


def run(*arguments: str):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_help_imports_nothing_heavy():
    code = "import sys, curate.cli; print([m for m in ('torch', 'pandas', 'fiftyone', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_process_ends_at_once_with_its_code_its_words_and_what_others_left_to_do():
    code = """
import atexit, sys
import curate.__main__ as command
class Module:
    def __del__(self): print("taken apart")
def main():
    atexit.register(print, "done by others")
    check()
kept, check, command.main = Module(), command.main, main
sys.argv = ["curate", "check", "-w", "nowhere"]
command.run()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (1, "done by others\n")
    assert ended.stderr.startswith("Error: ")


@pytest.mark.parametrize("command", [c for c in main.commands if c not in ("ingest", "demo")])
def test_without_a_workspace_each_command_says_how_to_make_one(command, tmp_path):
    extra = {"decide": ["x.csv"], "undo": ["--last", "1"]}.get(command, [])
    result = run(command, *extra, "-w", tmp_path / "none")
    assert result.exit_code == 1
    assert "no workspace at" in result.stderr and "curate ingest" in result.stderr
    assert "Traceback" not in result.output


def test_ingest_of_nothing_says_what_was_expected(tmp_path):
    result = run("ingest", tmp_path / "absent", "-w", tmp_path / "ws")
    assert result.exit_code == 1 and "absent" in result.stderr and "Traceback" not in result.output


def test_decide_wants_a_file_or_a_rule(tmp_path):
    result = run("decide", "--issue", "label", "-w", tmp_path)
    assert result.exit_code == 2 and "--above" in result.stderr


def test_two_judges_of_the_labels_are_wrong_usage(tmp_path):
    result = run("find", "-w", tmp_path, "--finetune", "--predictions", "trainer")
    assert result.exit_code == 2 and "give one of them" in result.stderr


def test_a_workspace_that_cannot_be_written_is_an_error_not_a_traceback(tmp_path):
    if os.geteuid() == 0:
        target = "/proc/curate-workspace"  # root may write anywhere but here
    else:
        tmp_path.chmod(0o555)
        target = str(tmp_path / "ws")
    (tmp_path / "img").mkdir(exist_ok=True)
    result = run("ingest", tmp_path / "img", "-w", target)
    assert result.exit_code == 1 and "can't write" in result.stderr
