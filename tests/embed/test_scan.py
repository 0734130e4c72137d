"""What is looked at, how often, and that it comes out the same whichever way it came about."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from embed_samples import FakeEmbedder, encoded, picture
from PIL import Image
from slow_scan import scan_slowly

from curate.config import EmbedOptions
from curate.embed import look, workers
from curate.embed.look import File, Look
from curate.embed.scan import OpenShardWorker, ShardWorker, scan
from curate.embed.seen import Contents, SeenIndex
from curate.embed.store import Embedded, Store, load
from curate.embed.workers import WorkerPool
from curate.errors import ModelError, StageMissing
from curate.networks.embedder import Embedder
from curate.schema import validate

Sources = Callable[[Path], pd.DataFrame]
OPTIONS = EmbedOptions(shard_size=4, workers=2)


def scanned(sources: pd.DataFrame, embedder: Any, store: Path, **options: Any) -> tuple[pd.DataFrame, Embedded]:
    table = scan(sources, embedder, store, options=EmbedOptions(**{"shard_size": 4, "workers": 2, **options}))
    validate("scan", table)
    return table, load(store, table)


def assert_same(one: tuple[pd.DataFrame, Embedded], other: tuple[pd.DataFrame, Embedded]) -> None:
    pd.testing.assert_frame_equal(one[0], other[0])
    assert one[1].sample_ids == other[1].sample_ids
    np.testing.assert_array_equal(one[1].embeddings, other[1].embeddings)
    np.testing.assert_array_equal(one[1].thumbs, other[1].thumbs)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the files that were decoded."""
    lengths: list[int] = []
    open_image = look.open_image

    def counted(data: bytes, **options: Any) -> Any:
        lengths.append(len(data))
        return open_image(data, **options)

    monkeypatch.setattr(look, "open_image", counted)
    return lengths


# ---- what comes out ----------------------------------------------------------------------------------------


def test_each_picture_has_a_row_an_embedding_and_a_thumbnail(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    table, found = scanned(sources_of(folder), embedder, tmp_path / "store")
    assert table["status"].eq("ok").all() and table["error"].isna().all()
    assert found.sample_ids == table["sample_id"].tolist() == [path.name for path in sorted(folder.iterdir())]
    pixels = np.array(Image.open(folder / "03.png"))
    expected = embedder.embed(look.resized(pixels, 32)[None])[0].astype(np.float16)
    np.testing.assert_array_equal(found.embeddings[3], expected)
    np.testing.assert_array_equal(found.thumbs[3], look.resized(pixels, 32))


def test_each_way_to_be_broken_has_its_status(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    whole = (folder / "01.jpg").read_bytes()
    damaged = bytearray((folder / "00.png").read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    (folder / "a.jpg").write_bytes(b"")
    (folder / "b.jpg").write_bytes(b"<html>")
    (folder / "c.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "d.png").write_bytes(bytes(damaged))
    (folder / "e.png").write_bytes(encoded(Image.new("1", (2000, 2000)), "PNG"))
    (folder / "f.jpg").mkdir()
    (folder / "g.jpg").symlink_to(folder / "nowhere.jpg")
    table, found = scanned(sources_of(folder), embedder, tmp_path / "store", max_pixels=1_000_000)
    broken = table.set_index("sample_id").loc[["a.jpg", "b.jpg", "c.jpg", "d.png", "e.png", "f.jpg", "g.jpg"]]
    expected = ["empty", "not_an_image", "truncated", "corrupt", "too_large", "unreadable", "missing"]
    assert broken["status"].tolist() == expected
    assert broken["error"].str.len().gt(5).all()
    assert broken["phash"].isna().all()  # or all of them would look like duplicates
    assert len(found.sample_ids) == len(found.embeddings) == 10


def test_no_sources_have_no_rows(folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path) -> None:
    table, found = scanned(sources_of(folder).iloc[:0], embedder, tmp_path / "store")
    assert len(table) == len(found.sample_ids) == 0
    assert found.embeddings.shape == (0, embedder.dim)


def test_nothing_but_broken_files_is_no_crash(sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    table, found = scanned(sources_of(tmp_path / "images"), embedder, tmp_path / "store")
    assert table["status"].tolist() == ["empty"]
    assert found.embeddings.shape == (0, embedder.dim)


def test_the_images_are_only_read(folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    scanned(sources_of(folder), embedder, tmp_path / "store")
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 7}, {"shard_size": 1}, {"shard_size": 1000}])
def test_workers_and_shards_change_nothing(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path, options: dict[str, int]
) -> None:
    sources = sources_of(folder)
    assert_same(scanned(sources, embedder, tmp_path / "a", **options), scanned(sources, embedder, tmp_path / "b"))


def test_the_order_of_the_sources_is_that_of_the_rows_and_changes_nothing_else(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    sources = sources_of(folder)
    shuffled = sources.sample(frac=1, random_state=1).reset_index(drop=True)
    table, found = scanned(shuffled, embedder, tmp_path / "a")
    assert table["sample_id"].tolist() == found.sample_ids == shuffled["sample_id"].tolist()
    back = np.argsort(shuffled["sample_id"].to_numpy())
    ordered = Embedded([found.sample_ids[i] for i in back], found.embeddings[back], found.thumbs[back])
    expected = scanned(sources, embedder, tmp_path / "b")
    assert_same((table.iloc[back].reset_index(drop=True), ordered), expected)


def test_progress_adds_up_to_the_sources(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    (folder / "z.jpg").write_bytes(b"")
    for _ in range(2):
        told: list[int] = []
        scan(sources_of(folder), embedder, tmp_path / "store", options=OPTIONS, advance=told.append)  # type: ignore[arg-type]
        assert sum(told) == 11


# ---- what is not looked at again ---------------------------------------------------------------------------


def test_an_unchanged_folder_is_not_opened_again(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "z.jpg").write_bytes(b"broken, and known to be")
    sources = sources_of(folder)
    first = scanned(sources, embedder, tmp_path / "store")
    monkeypatch.setattr(look, "look_at", None)
    monkeypatch.setattr(Path, "read_bytes", None)
    assert_same(scanned(sources, embedder, tmp_path / "store"), first)
    assert len(Store(tmp_path / "store").shards()) == 3


def test_a_grown_folder_embeds_only_what_is_new(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path, decoded: list[int]
) -> None:
    scanned(sources_of(folder), embedder, tmp_path / "store")
    decoded.clear()
    picture(70).save(folder / "00a.png")  # sorts between known ones
    picture(71).save(folder / "zz.png")
    grown = scanned(sources_of(folder), embedder, tmp_path / "store")
    assert len(decoded) == 2 and embedder.embedded == 12
    assert_same(grown, scanned(sources_of(folder), embedder, tmp_path / "fresh"))


def test_a_shrunken_folder_loses_its_rows_and_gets_them_back_unopened(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path, decoded: list[int]
) -> None:
    sources = sources_of(folder)
    first = scanned(sources, embedder, tmp_path / "store")
    decoded.clear()
    table, found = scanned(sources.iloc[:3], embedder, tmp_path / "store")
    assert len(table) == len(found.sample_ids) == 3
    assert_same(scanned(sources, embedder, tmp_path / "store"), first)
    assert not decoded


def test_a_moved_file_is_not_decoded_again(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path, decoded: list[int]
) -> None:
    scanned(sources_of(folder), embedder, tmp_path / "store")
    (folder / "sub").mkdir()
    (folder / "03.png").rename(folder / "sub" / "moved.png")
    sources = sources_of(folder).query("sample_id != 'sub'").reset_index(drop=True)
    decoded.clear()
    for _ in range(2):
        moved = scanned(sources, embedder, tmp_path / "store")
    assert not decoded and embedder.embedded == 10
    assert_same(moved, scanned(sources, embedder, tmp_path / "fresh"))


@pytest.mark.parametrize("processes", [False, True])
def test_the_same_bytes_are_embedded_once_whatever_their_names(
    folder: Path,
    sources_of: Sources,
    embedder: FakeEmbedder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: bool,
) -> None:
    if processes:
        monkeypatch.setattr(workers, "EACH", 2)
        monkeypatch.setattr(workers, "typical_side", lambda paths: 1)
    (folder / "03.jpg").write_bytes(b"<html>")
    for copy in range(6):  # beside each other, and in shards of their own
        for name in ("00.png", "03.jpg", "03.png"):
            shutil.copy(folder / name, folder / f"{name[:-4]}-{copy}{name[-4:]}")
            shutil.copy(folder / name, folder / f"z{copy}{name}")
    table, found = scanned(sources_of(folder), embedder, tmp_path / "store", workers=3)
    assert embedder.embedded == 10
    for name, status in (("00.png", "ok"), ("03.jpg", "not_an_image"), ("03.png", "ok")):
        copies = table[table["sample_id"].str.match(rf"z?\d?{name[:2]}(-\d)?{name[2:]}")]
        assert len(copies) == 13 and copies["status"].eq(status).all()
        said = copies.drop(columns=["sample_id", "mtime_ns"])
        assert said.nunique(dropna=False).eq(1).all()
        places = [number for number, sample in enumerate(found.sample_ids) if sample in set(copies["sample_id"])]
        assert len(np.unique(found.embeddings[places], axis=0)) == len(np.unique(found.thumbs[places], axis=0)) <= 1
    again = scanned(sources_of(folder), embedder, tmp_path / "store")
    assert_same(again, (table, found))


def test_a_copy_in_a_later_shard_is_not_decoded(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path, decoded: list[int]
) -> None:
    for copy in range(6):
        shutil.copy(folder / "00.png", folder / f"z{copy}.png")
    scanned(sources_of(folder), embedder, tmp_path / "store")
    assert len(decoded) == embedder.embedded == 10


def test_whoever_waits_for_a_content_hears_of_the_error(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(images: np.ndarray) -> np.ndarray:
        time.sleep(0.2)  # the other batches are waiting now
        raise ModelError("no room")

    monkeypatch.setattr(embedder, "embed", breaks)
    for copy in range(12):
        shutil.copy(folder / "00.png", folder / f"00-{copy}.png")
    with pytest.raises(ModelError, match="no room"):
        scanned(sources_of(folder), embedder, tmp_path / "store", workers=5, shard_size=20)


def test_another_process_is_told_of_what_is_stored(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    table, _ = scanned(sources_of(folder), embedder, tmp_path / "store")
    contents = Contents(SeenIndex(Store(tmp_path / "store"), 10**6).contents)
    look = Look({"sha256": "under way", "status": "ok"})
    assert contents.is_new(look) and not contents.is_new(look) and "under way" in contents
    assert pickle.loads(pickle.dumps(contents)) == set(table["sha256"])


def test_a_touched_file_is_hashed_and_not_decoded(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path, decoded: list[int]
) -> None:
    scanned(sources_of(folder), embedder, tmp_path / "store")
    os.utime(folder / "03.png", ns=(0, 10**18))
    decoded.clear()
    table, _ = scanned(sources_of(folder), embedder, tmp_path / "store")
    assert not decoded
    assert table.loc[3, "mtime_ns"] == 1e18


def test_a_changed_file_is_looked_at_again_and_so_is_one_changed_back(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    sources, changed = sources_of(folder), folder / "03.png"
    before, time_before = changed.read_bytes(), changed.stat().st_mtime_ns
    first = scanned(sources, embedder, tmp_path / "store")
    picture(99).save(changed)
    assert_same(scanned(sources, embedder, tmp_path / "store"), scanned(sources, embedder, tmp_path / "fresh"))
    changed.write_bytes(before)
    os.utime(changed, ns=(time_before, time_before))
    assert_same(scanned(sources, embedder, tmp_path / "store"), first)


def test_a_repaired_file_is_looked_at_again(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    sources, file = sources_of(folder), folder / "03.png"
    file.rename(tmp_path / "away.png")
    assert scanned(sources, embedder, tmp_path / "store")[0].loc[3, "status"] == "missing"
    (tmp_path / "away.png").rename(file)
    repaired = scanned(sources, embedder, tmp_path / "store")
    assert repaired[0].loc[3, "status"] == "ok"
    assert_same(repaired, scanned(sources, embedder, tmp_path / "fresh"))


def test_the_limit_of_pixels_counts_whenever_it_changes(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    sources = sources_of(folder)
    for limit, expected in ((10**6, "ok"), (100, "too_large"), (10**6, "ok")):
        table, _ = scanned(sources, embedder, tmp_path / "store", max_pixels=limit)
        assert table["status"].unique().tolist() == [expected]


def test_another_embedder_starts_anew(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    scanned(sources_of(folder), embedder, tmp_path / "store")
    other = FakeEmbedder("fake-2")
    scanned(sources_of(folder), other, tmp_path / "store")
    assert other.embedded == 10


def test_embeddings_that_the_store_lacks_are_asked_for(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    table, _ = scanned(sources_of(folder), embedder, tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "00001")
    with pytest.raises(StageMissing, match="lacks the embeddings of 4 images"):
        load(tmp_path / "store", table)


# ---- stopped in the middle ---------------------------------------------------------------------------------


class StopsAfter:
    """An engine that breaks down after so many shards."""

    def __init__(self, shards: int) -> None:
        self.shards = shards

    def map(self, open_worker: Callable[[], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        with open_worker() as work:
            for number, task in enumerate(tasks):
                if number == self.shards:
                    raise KeyboardInterrupt
                yield work(task)


class Elsewhere:
    """An engine with two workers, which reach it as bytes alone, as do tasks and results; tasks go round."""

    def map(self, open_worker: Callable[[], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        def sent(value: Any) -> Any:
            return pickle.loads(pickle.dumps(value))

        with sent(open_worker)() as one, sent(open_worker)() as other:
            for number, task in enumerate(tasks):
                yield sent([one, other][number % 2](sent(task)))


def open_fake(stored: frozenset[str]) -> ShardWorker:
    return ShardWorker(FakeEmbedder(), WorkerPool(32, 10**9, 2, processes=0), stored)  # type: ignore[arg-type]


def test_workers_elsewhere_give_the_same_and_only_they_embed(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    for copy in range(8):  # in shards of their own, and of both workers
        shutil.copy(folder / "03.png", folder / f"z{copy}.png")
    (folder / "z9.png").write_bytes(b"<html>")
    (folder / "z99.png").write_bytes(b"<html>")
    sources, done = sources_of(folder), list[int]()
    options = EmbedOptions(shard_size=3, workers=2)
    found = [
        scan(
            some,
            embedder,
            tmp_path / "elsewhere",
            options=options,
            engine=Elsewhere(),
            open_worker=open_fake,
            advance=done.append,
        )  # fmt: skip
        for some in (sources.iloc[::3], sources)
    ]
    assert embedder.embedded == 0 and sum(done) == len(sources) + len(sources.iloc[::3])
    assert_same((found[1], load(tmp_path / "elsewhere", found[1])), scanned(sources, embedder, tmp_path / "here"))


def test_what_opens_a_real_worker_pickles(tmp_path: Path) -> None:
    opener = OpenShardWorker(EmbedOptions(model="tf_efficientnet_lite0", image_size=64, device="cpu"))
    with pickle.loads(pickle.dumps(partial(opener, frozenset())))() as work:
        picture(1).save(tmp_path / "1.png")
        (look,) = work([File("1.png", str(tmp_path / "1.png"), (tmp_path / "1.png").stat().st_size, 0)])
    assert look.embedding is not None and look.row["status"] == "ok"


@pytest.mark.parametrize("shards", [0, 1, 2])
def test_a_stopped_scan_goes_on_where_it_was(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path, shards: int
) -> None:
    sources = sources_of(folder)
    with pytest.raises(KeyboardInterrupt):
        scan(sources, embedder, tmp_path / "store", options=OPTIONS, engine=StopsAfter(shards))  # type: ignore[arg-type]
    assert embedder.embedded == 4 * shards
    resumed = scanned(sources, embedder, tmp_path / "store")
    assert embedder.embedded == 10
    assert_same(resumed, scanned(sources, embedder, tmp_path / "fresh"))


def killed_scan(sources: pd.DataFrame, store: Path, seconds: float) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["curate.embed.scan"])  # torch is imported once
    begun = context.Event()
    process = context.Process(target=scan_slowly, args=(sources, store, begun))
    process.start()
    begun.wait()
    time.sleep(seconds)
    process.kill()
    process.join()


@pytest.mark.slow
def test_sigkill_at_any_moment_changes_nothing(
    folder: Path, sources_of: Sources, embedder: FakeEmbedder, tmp_path: Path
) -> None:
    sources, moments = sources_of(folder), np.random.default_rng(0)
    expected = scanned(sources, embedder, tmp_path / "undisturbed", shard_size=2)
    finished = []
    for number in range(15):
        store = tmp_path / f"store{number}"
        for _ in range(2):
            killed_scan(sources, store, moments.uniform(0, 0.4))
            finished.append(len(Store(store).shards()))
        assert_same(scanned(sources, embedder, store, shard_size=2), expected)
    assert len(set(finished)) > 2  # some kills came early, some late


# ---- the real model ----------------------------------------------------------------------------------------


def test_the_real_embeddings_do_not_depend_on_how_they_came_about(
    folder: Path, sources_of: Sources, tmp_path: Path
) -> None:
    real = Embedder("tf_efficientnet_lite0", 64, device=torch.device("cpu"), batch_size=4)
    sources = sources_of(folder)
    undisturbed = scanned(sources, real, tmp_path / "a", shard_size=10)
    scanned(sources.iloc[[2, 3, 8]], real, tmp_path / "b", shard_size=2)
    (folder / "00.png").rename(folder / "0.png")
    scanned(sources_of(folder), real, tmp_path / "b", shard_size=3, workers=1)
    (folder / "0.png").rename(folder / "00.png")
    assert_same(scanned(sources, real, tmp_path / "b", shard_size=3), undisturbed)
