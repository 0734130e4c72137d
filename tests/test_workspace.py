"""The workspace: atomic, honest about what is stale, one writer at a time."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from curate.errors import SchemaError, StageMissing, WorkspaceBusy, WorkspaceError
from curate.files import digest_of, replacing, replacing_folder
from curate.schema import empty
from curate.workspace import Workspace

HOLD_THE_LOCK = """
import sys, time
from curate.workspace import Workspace
with Workspace(sys.argv[1]).writing():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "ws")


def make_counter():
    calls = []

    def make():
        calls.append(1)
        return pd.DataFrame({"x": [1, 2]})

    return make, calls


def test_a_missing_workspace_says_how_to_make_one(tmp_path):
    with pytest.raises(WorkspaceError, match="curate ingest"):
        Workspace(tmp_path / "nowhere")


def test_a_workspace_never_mixes_with_a_users_folder(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(WorkspaceError, match="holds files"):
        Workspace.create(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["holiday.jpg"]


def test_a_workspace_of_another_format_is_refused(workspace):
    (workspace.root / "workspace.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(WorkspaceError, match="format 99"):
        Workspace(workspace.root)


def test_derive_makes_once_and_again_only_when_parameters_or_inputs_change(workspace):
    make, calls = make_counter()
    workspace.write("tables/input.parquet", pd.DataFrame({"a": [1]}))
    for _ in range(2):
        workspace.derive("tables/out.parquet", make, inputs=["tables/input.parquet"], parameters={"k": 1})
    assert len(calls) == 1
    workspace.derive("tables/out.parquet", make, inputs=["tables/input.parquet"], parameters={"k": 2})
    assert len(calls) == 2
    workspace.write("tables/input.parquet", pd.DataFrame({"a": [2]}))
    assert workspace.stale_inputs("tables/out.parquet") == ["tables/input.parquet"]
    workspace.derive("tables/out.parquet", make, inputs=["tables/input.parquet"], parameters={"k": 2})
    assert len(calls) == 3


def test_rewriting_the_same_content_leaves_what_follows_fresh(workspace):
    make, calls = make_counter()
    for _ in range(2):
        workspace.write("tables/input.parquet", pd.DataFrame({"a": [1]}))
        workspace.derive("tables/out.parquet", make, inputs=["tables/input.parquet"])
    assert len(calls) == 1


def test_a_file_without_its_sidecar_was_never_finished(workspace):
    workspace.write("tables/out.parquet", pd.DataFrame({"a": [1]}))
    workspace.file_of("tables/out.parquet.json").unlink()
    assert not workspace.has("tables/out.parquet")
    with pytest.raises(StageMissing):
        workspace.read("tables/out.parquet")


def test_arrays_and_json_come_back_as_they_went(workspace):
    workspace.write("neighbors/m.npz", {"D": np.eye(2, dtype=np.float32), "method": np.array("exact")})
    arrays = workspace.read("neighbors/m.npz")
    assert arrays["D"].dtype == np.float32 and str(arrays["method"]) == "exact"
    workspace.write("tables/a.json", {"x": [1]})
    assert workspace.read("tables/a.json") == {"x": [1]}


def test_a_table_that_breaks_its_schema_is_not_written(workspace):
    with pytest.raises(SchemaError, match="no column"):
        workspace.write("samples", pd.DataFrame({"sample_id": ["a"]}))
    assert not workspace.has("samples")


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("old")
    with pytest.raises(RuntimeError), replacing(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with pytest.raises(RuntimeError), replacing_folder(tmp_path / "1") as temporary:
        (temporary / "manifest").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with replacing_folder(tmp_path / "1") as temporary:
        (temporary / "manifest").write_text("x")
    assert (tmp_path / "1" / "manifest").read_text() == "x"


def test_what_killed_writers_left_is_swept_by_the_next_writer(workspace):
    leftover = workspace.path("tables", ".samples.parquet.123.tmp")
    leftover.parent.mkdir()
    leftover.write_text("half")
    with workspace.writing():
        assert not leftover.exists()


def test_a_second_process_is_told_who_holds_the_workspace(workspace):
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(workspace.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WorkspaceBusy, match=str(holder.pid)), workspace.writing():
            pass
        holder.kill()
    with workspace.writing(), workspace.writing():
        pass  # the kernel freed the lock, and a verb may call a verb


def test_the_digest_of_a_folder_changes_with_any_of_its_files(tmp_path):
    (tmp_path / "a").write_text("1")
    before = digest_of(tmp_path)
    (tmp_path / "b").write_text("2")
    assert digest_of(tmp_path) != before


def test_empty_tables_are_valid_tables():
    from curate.schema import TABLES, validate

    for name in TABLES:
        validate(name, empty(name))
