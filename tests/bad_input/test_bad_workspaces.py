"""Workspaces that can't be written, are damaged, in use, of another version, or no workspaces at all."""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from command import curate, done, refused, verdicts

from curate.decisions.ledger import Ledger
from curate.embed.store import load

HOLD_THE_LOCK = """
import sys
from curate.workspace import Workspace
with Workspace(sys.argv[1]).writing():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_workspace_that_is_a_file_is_refused_by_every_command(images, tmp_path):
    (tmp_path / "ws").write_text("my notes")
    assert "can't write to" in refused("ingest", images, "-w", tmp_path / "ws")
    assert "no workspace at" in refused("status", "-w", tmp_path / "ws")
    assert (tmp_path / "ws").read_text() == "my notes"


def test_a_folder_with_other_files_is_not_taken_for_a_workspace(images, tmp_path):
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws/holiday.txt").write_text("x")
    assert "holds files and is not a workspace" in refused("ingest", images, "-w", tmp_path / "ws")


def test_a_workspace_of_a_newer_version_is_refused_untouched(workspace):
    (workspace / "workspace.json").write_text('{"format": 2}')
    said = refused("status", "-w", workspace)
    assert "format 2" in said and "expected: format 1" in said and "to do:" in said


@pytest.mark.parametrize("content", ["", "{", "[]", '"format"', '{"version": 1}', "\0\0\0"])
def test_a_damaged_mark_of_the_workspace_says_how_to_mend_it(content, workspace):
    (workspace / "workspace.json").write_text(content)
    assert '{"format": 1}' in refused("issues", "-w", workspace)
    (workspace / "workspace.json").write_text('{"format": 1}')
    done("issues", "-w", workspace)


@pytest.mark.parametrize(
    ("name", "damage", "command"),
    [
        ("tables/samples.parquet", "cut", ["apply"]),
        ("tables/scan.parquet", "zeros", ["report"]),
        ("issues/label.parquet", "one byte", ["issues", "--issue", "label"]),
        ("issues/near_duplicate_pairs.parquet", "empty", ["review", "--html"]),
    ],
)
def test_a_damaged_table_is_told_and_made_anew_by_the_next_ingest(name, damage, command, images, workspace):
    file, was = workspace / name, (workspace / name).read_bytes()
    middle = len(was) // 2
    other = bytes([was[middle] ^ 1])
    file.write_bytes(
        {
            "cut": was[:middle],
            "zeros": bytes(len(was)),
            "one byte": was[:middle] + other + was[middle + 1 :],
            "empty": b"",
        }[damage]
    )
    said = refused(*command, "-w", workspace)
    assert "is damaged" in said and "curate ingest" in said
    done("ingest", images, "-w", workspace)
    assert file.read_bytes() == was


@pytest.mark.parametrize("content", ["", "[]", '{"digest": "0"}'])
def test_a_damaged_record_of_provenance_is_told_and_its_file_is_made_anew(content, images, workspace):
    (workspace / "issues/quality.parquet.json").write_text(content)
    rows = {row["stage"]: row for row in json.loads(done("status", "--json", "-w", workspace))}
    assert rows["find: quality"]["state"] == "stale" and rows["find: label"]["state"] == "done"
    assert "issues/quality.parquet.json is damaged" in rows["find: quality"]["detail"]
    assert "issues/quality.parquet.json is damaged" in refused("check", "-w", workspace)
    done("find", "-w", workspace)
    done("check", "-w", workspace)


@pytest.mark.parametrize(
    ("file", "keep"), [("rows.parquet", 0), ("rows.parquet", 0.5), ("embeddings.npy", 0.5), ("thumbs.npy", None)]
)
def test_a_damaged_shard_is_told_and_its_images_are_looked_at_again(file, keep, images, workspace):
    (store,) = (path for path in (workspace / "embeddings").iterdir() if path.is_dir())
    scan = pd.read_parquet(workspace / "tables/scan.parquet")
    was, damaged = load(store, scan), store / "00000" / file
    data = damaged.read_bytes()
    if keep is None:
        damaged.unlink()
    else:
        damaged.write_bytes(data[: int(keep * len(data))])
    assert f"00000/{file} is damaged" in refused("report", "-w", workspace)
    done("ingest", images, "-w", workspace)
    now = load(store, scan)
    np.testing.assert_array_equal(now.embeddings, was.embeddings)
    done("report", "-w", workspace)


@pytest.mark.parametrize("name", ["manifest.parquet", "ingested.parquet", "rejected.parquet", "version.json"])
def test_a_damaged_version_is_told_and_the_next_apply_makes_another(name, workspace):
    done("apply", "-w", workspace)
    file = workspace / "versions/1" / name
    if name == "version.json":
        file.write_text("{")
    else:
        pd.read_parquet(file).head(3).to_parquet(file)  # a table still, of fewer rows
    for command in (("diff", "0", "1"), ("diff",), ("report",), ("retrain",)):
        if name != "rejected.parquet" or command != ("retrain",):  # which needs no reasons
            assert f"versions/1/{name} is damaged" in refused(*command, "-w", workspace)
    done("apply", "-w", workspace)
    done("diff", "0", "2", "-w", workspace)


def test_a_damaged_ledger_is_never_written_over(images, workspace, tmp_path):
    file = verdicts(workspace, tmp_path / "verdicts.csv")
    (workspace / "ledger.sqlite").write_bytes(b"not a database, but perhaps something can be saved of it" * 99)
    was = (workspace / "ledger.sqlite").read_bytes()
    for command in (["decide", file], ["apply"], ["undo", "--last", "1"], ["status"]):
        assert "put back a copy of the ledger" in refused(*command, "-w", workspace)
    done("ingest", images, "-w", workspace)
    assert (workspace / "ledger.sqlite").read_bytes() == was


def test_a_second_writer_is_refused_and_decisions_are_recorded_meanwhile(images, workspace, tmp_path):
    file = verdicts(workspace, tmp_path / "verdicts.csv")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(workspace)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        for command in (["ingest", images], ["embed"], ["find"], ["apply"], ["retrain", "--after", "0"]):
            said = refused(*command, "-w", workspace)
            assert f"another curate process (pid {holder.pid})" in said and "to do: wait" in said
        assert "5 decision(s) recorded" in done("decide", file, "-w", workspace)
        for command in (["status"], ["issues"], ["review", "--html"], ["review", "--csv"]):
            done(*command, "-w", workspace)
        holder.stdin.close()
    done("apply", "-w", workspace)


def test_a_read_only_workspace_can_be_read_and_says_so_when_it_should_be_written(
    ingested, images, open_folder, unprivileged
):
    root = open_folder / "ws"
    if os.geteuid() == os.getuid():
        shutil.copytree(ingested, root)
    else:
        os.seteuid(0)
        shutil.copytree(ingested, root)
        shutil.copytree(images, open_folder / "images")
        shutil.copytree(root / "tables", open_folder / "tables")
        os.seteuid(65534)
    if os.geteuid() == os.getuid():
        for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
            folder.chmod(0o555)
    try:
        file = verdicts(root, open_folder / "verdicts.csv")
        source = open_folder / "images" if (open_folder / "images").exists() else images
        for command in (["ingest", source], ["find"], ["apply"], ["decide", file], ["report"], ["review", "--html"]):
            said = refused(*command, "-w", root)
            assert "to do:" in said or "expected:" in said
        for command in (["status"], ["issues"], ["check"], ["review", "--csv", "--out", open_folder / "queue.csv"]):
            done(*command, "-w", root)
    finally:
        if os.geteuid() == os.getuid():
            for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
                folder.chmod(0o755)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 400 KB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    gc.collect()  # the traceback of a refusal holds a statement, and that the ledger's file
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_stops_ingest_with_a_word_and_space_lets_it_go_on(images, small_disk, tmp_path, ingested):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(330_000))
    said = refused("ingest", images, "-w", small_disk / "ws")
    assert "No space left" in said and "free some space" in said
    ballast.unlink()
    shutil.copytree(small_disk / "ws", tmp_path / "ws")  # the disk is too small for all of it
    done("ingest", images, "-w", tmp_path / "ws")
    for name in ("tables/samples.parquet", "issues/label.parquet", "issues/outlier.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "ws" / name), pd.read_parquet(ingested / name))
    assert not list((tmp_path / "ws").rglob("*.tmp"))


def test_a_full_disk_refuses_a_verdict_and_keeps_the_earlier_ones(workspace, small_disk, tmp_path):
    small = small_disk / "ws"
    small.mkdir()
    for name in ("workspace.json", "tables", "issues"):
        (small / name).symlink_to(workspace / name)
    file = verdicts(workspace, tmp_path / "verdicts.csv")
    done("decide", file, "-w", small)
    ballast = small_disk / "ballast"
    with open(ballast, "wb", buffering=0) as handle, pytest.raises(OSError, match="No space left"):
        while True:
            handle.write(bytes(1024))
    many = pd.DataFrame({"sample_id": pd.read_csv(file)["sample_id"], "issue": "outlier", "action": "keep"})
    many.assign(reason="because " * 1000).to_csv(tmp_path / "more.csv", index=False)
    said = refused("decide", tmp_path / "more.csv", "-w", small)
    assert "not recorded" in said and "free some space" in said
    ballast.unlink()
    with Ledger(small / "ledger.sqlite") as ledger:
        assert len(ledger.current()) == 5
    done("decide", tmp_path / "more.csv", "-w", small)


def test_a_limit_on_the_size_of_files_is_told_like_a_full_disk(images, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        said = refused("ingest", images, "-w", tmp_path / "ws")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "free some space" in said
    done("ingest", images, "-w", tmp_path / "ws")


def test_a_reader_that_hangs_up_early_is_no_error(workspace):
    command = [sys.executable, "-m", "curate", "issues", "--issue", "label", "--all", "--json", "-w", str(workspace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


def test_a_user_without_a_name_is_asked_for_one(workspace, tmp_path, monkeypatch):
    file = verdicts(workspace, tmp_path / "verdicts.csv")
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("getpwuid(): uid not found")))
    assert "--reviewer" in refused("decide", file, "-w", workspace)
    assert "5 decision(s)" in curate("decide", file, "--reviewer", "ann", "-w", workspace).stdout
