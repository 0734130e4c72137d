"""Processes that look at files: what they see, and what becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from embed_samples import FakeEmbedder, look_or_die

from curate.config import EmbedOptions
from curate.embed import workers
from curate.embed.look import File, Look
from curate.embed.scan import scan
from curate.embed.store import load
from curate.embed.workers import Worker, WorkerPool, list_files, open_pool
from curate.errors import ModelError
from curate.verbs.embed import embed
from curate.workspace import Workspace

Sources = Callable[[Path], pd.DataFrame]


@pytest.fixture
def files(folder: Path, sources_of: Sources) -> list[File]:
    (folder / "04b.jpg").write_bytes(b"<html>")
    return list_files(sources_of(folder))[0]


def of(processes: int, size: int = 64) -> WorkerPool:
    return WorkerPool(size, 10**6, 2, processes=processes)


def assert_same(found: list[Look], expected: list[Look]) -> None:
    assert [look.row for look in found] == [look.row for look in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_equal((one.thumb, one.pixels), (other.thumb, other.pixels))


@pytest.mark.parametrize("size", [32, 64])
def test_processes_see_what_threads_see(files: list[File], size: int) -> None:
    with of(0, size) as threads, of(2, size) as processes:
        expected = threads.look(files)
        assert {look.row["status"] for look in expected} == {"ok", "not_an_image"}
        assert_same(processes.look(files), expected)
        assert_same(processes.look(files[::-1]), expected[::-1])
        assert processes.look([]) == []


def test_small_pictures_get_processes_and_photographs_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, options = sorted(map(str, folder.iterdir())), EmbedOptions(workers=3)  # 44 pixels on the short side
    assert open_pool(paths, 96, options).processes == 0  # so few are soon looked at
    monkeypatch.setattr(workers, "EACH", 2)
    assert open_pool(paths, 96, options).processes == 3
    assert open_pool(paths, 32, options).processes == 0
    assert open_pool(paths[:4], 96, options).processes == 2
    assert open_pool([], 96, options).processes == 0


def test_what_was_begun_is_not_looked_at_again(files: list[File]) -> None:
    with of(0) as threads:
        expected = threads.look(files)
    with of(1) as processes:
        processes.begin(files[:7])
        for future in set(processes._begun.values()):
            future.result()
        for file in files[:7]:
            Path(file.path).unlink()
        assert_same(processes.look(files[3:]), expected[3:])
        assert_same(processes.look(files[:3]), expected[:3])


def test_what_changed_since_it_was_begun_is_looked_at_again(files: list[File]) -> None:
    with of(1) as processes:
        processes.begin(files)
        for future in set(processes._begun.values()):
            future.result()
        Path(files[0].path).write_bytes(b"<html>")
        changed = File(files[0].sample_id, files[0].path, 6, 1)
        assert processes.look([changed])[0].row["status"] == "not_an_image"


def test_no_more_is_begun_than_memory_allows() -> None:
    assert of(1, size=96).reach * 96**2 * 3 <= workers.BEGUN < (of(1, size=96).reach + 1) * 96**2 * 3
    assert of(0).reach == 0


def test_known_contents_are_not_decoded(files: list[File]) -> None:
    with of(1) as processes:
        first = processes.look(files[:1])[0]
    with of(1) as processes:
        processes.know({first.row["sha256"]})
        again, other = processes.look(files[:2])
    assert again.is_known and again.row.keys() == {"sample_id", "bytes", "mtime_ns", "sha256"}
    assert other.row["status"] == "ok"


# ---- what goes wrong ---------------------------------------------------------------------------------------


def test_a_file_that_a_decoder_dies_of_is_a_row(files: list[File]) -> None:
    bomb = File("bomb.jpg", files[0].path, 1, 1)
    worker = Worker()
    found = worker.look([files[0], bomb, files[1]], look_or_die)
    assert [look.row["status"] for look in found] == ["ok", "unreadable", "ok"]
    assert found[1].row["error"] == "its decoder died: SIGSEGV" and not found[1].is_lasting
    assert worker.look(files[:1], look_or_die)[0].row["status"] == "ok"
    worker.close()


def test_a_fault_of_ours_is_no_row(files: list[File]) -> None:
    worker = Worker()
    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        worker.look([File("bug.jpg", files[0].path, 1, 1)], look_or_die)
    assert worker.look(files[:1], look_or_die)[0].row["status"] == "ok"
    worker.close()


def test_processes_do_not_warn_of_oddities_that_are_no_fault(
    folder: Path, sources_of: Sources, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = (folder / "01.jpg").read_bytes()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01"  # ends within the first tag
    (folder / "odd.jpg").write_bytes(whole[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + whole[2:])
    files = [file for file in list_files(sources_of(folder))[0] if file.sample_id == "odd.jpg"]
    with of(1) as processes:
        assert processes.look(files)[0].row["status"] == "ok"
    assert not capfd.readouterr().err


def test_a_process_that_does_not_start_is_no_row(files: list[File], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_CHILD", "import os; os._exit(3) or {path!r}")
    with of(1) as processes, pytest.raises(ChildProcessError, match="did not start: exit code 3"):
        processes.look(files)


def test_nothing_is_left_where_the_model_cannot_be_loaded(
    folder: Path, sources_of: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    popen = subprocess.Popen

    def noted(*given: object, **options: object) -> subprocess.Popen[bytes]:
        process = popen(*given, **options)  # type: ignore[call-overload]
        started.append(process.pid)
        return process  # type: ignore[no-any-return]

    monkeypatch.setattr(workers, "EACH", 2)
    monkeypatch.setattr(workers.subprocess, "Popen", noted)
    workspace = Workspace.create(tmp_path / "workspace")
    workspace.write("sources", sources_of(folder))
    with pytest.raises(ModelError, match="no device 'warp'"):
        embed(workspace, options=EmbedOptions(device="warp"))
    assert started and not any(is_running(pid) for pid in started)


def test_the_processes_end_when_this_one_is_killed(files: list[File]) -> None:
    script = f"""
import time
from curate.embed.look import File
from curate.embed.workers import WorkerPool
pool = WorkerPool(64, 10**6, 1, processes=1)
pool.look([{files[0]!r}])
print(pool._all[0]._process.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while is_running(child):
        assert time.monotonic() < until
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"


# ---- in a scan ---------------------------------------------------------------------------------------------


def test_a_scan_by_processes_is_one_by_threads(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedder, "image_size", 64)
    embedder._projection = np.random.default_rng(0).normal(size=(64 * 64 * 3, embedder.dim))
    (folder / "zz.jpg").write_bytes(b"")
    sources, options = sources_of(folder), EmbedOptions(shard_size=4, workers=2)
    expected = scan(sources, embedder, tmp_path / "a", options=options)  # type: ignore[arg-type]
    monkeypatch.setattr(workers, "EACH", 2)
    found = scan(sources, embedder, tmp_path / "b", options=options)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(found, expected)
    one, other = load(tmp_path / "a", expected), load(tmp_path / "b", found)
    np.testing.assert_array_equal(one.embeddings, other.embeddings)
    np.testing.assert_array_equal(one.thumbs, other.thumbs)
    os.utime(folder / "03.png", ns=(0, 10**18))
    again = scan(sources, embedder, tmp_path / "b", options=options)  # type: ignore[arg-type]
    assert embedder.embedded == 20 and again.loc[3, "mtime_ns"] == 1e18


def test_the_first_embed_begins_before_the_network_and_sees_the_same(
    folder: Path, sources_of: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    begin = WorkerPool.begin
    monkeypatch.setattr(WorkerPool, "begin", lambda self, files: (begun.append(len(files)), begin(self, files))[1])
    tables = []
    for each in (10**6, 2):
        monkeypatch.setattr(workers, "EACH", each)
        workspace = Workspace.create(tmp_path / str(each))
        workspace.write("sources", sources_of(folder))
        tables.append(embed(workspace, options=EmbedOptions(workers=2)))
    pd.testing.assert_frame_equal(*tables)
    assert begun == [0, 10]
    embed(workspace, options=EmbedOptions(workers=2))
    assert len(begun) == 2  # nothing is new
