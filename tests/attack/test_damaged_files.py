"""A run, a version or a shard that is not what curate wrote ends in DamagedFile: what was found, and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import class_folders, done, refused
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import DamagedFile
from curate.files import misfit, numbered_folders, parse_json, read_arrays, read_sealed, read_table, sealed
from curate.train.checkpoint import load_model
from curate.verbs.retrain import retrain
from curate.workspace import Workspace

QUICK = ("--preset", "quick", "--epochs", "1", "--image-size", "32", "--folds", "2")
SHAPE = {"rows": int, "made": str, "counts?": {...: float}}
DEEP = "[" * 100_000
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A folder with `images` of two classes and a workspace `ws` with a version, a run and a report."""
    root = tmp_path_factory.mktemp("first")
    done("ingest", class_folders(root / "images", {"cat": 15, "dog": 15}), "-w", root / "ws")
    done("apply", "-w", root / "ws")
    done("retrain", *QUICK, "-w", root / "ws")
    done("report", "-w", root / "ws")
    return root


# ---- the reader ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"5", b"\xff\xfe{", b"{}", b'{"rows": 1}', b'{"rows": [1], "made": "now"}', DEEP.encode()]
    + [b'{"rows": %s, "made": "now"}' % number for number in (b"1.5", b"true", b"1" + b"0" * 30, b"1" * 9999, b"null")]
    + [b'{"rows": 1, "made": "\\ud800"}', b'{"rows": 1, "made": "now", "more": 1}', b'{"rows": 1, "made": {}}'],
)
def test_what_is_no_json_of_ours_is_told_with_what_to_do(tmp_path, content):
    (tmp_path / "facts.json").write_bytes(content)
    with pytest.raises(DamagedFile, match=r"facts.json is damaged: .+") as error:
        read_sealed(tmp_path / "facts.json", SHAPE, do="curate again")
    assert error.value.expected and error.value.do == "curate again"


@settings(deadline=None)
@given(value=ANY_JSON)
def test_whatever_json_there_is_fits_or_is_told(value):
    for shape in (SHAPE, {...: SHAPE}, [SHAPE], (SHAPE, None), {"rows": [int, float]}):
        assert isinstance(misfit(value, shape), str)


@settings(deadline=None)
@given(values=st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.floats(allow_nan=False), max_size=4))
def test_a_sealed_value_is_read_back_and_no_bit_of_it_can_flip(tmp_path_factory, values):
    file = tmp_path_factory.mktemp("sealed") / "facts.json"
    shape = {"values": {...: float}}
    content = json.dumps(sealed({"values": values})).encode()
    file.write_bytes(content)
    assert read_sealed(file, shape, do="") == {"values": values}
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            assert read_sealed(file, shape, do="") == {"values": values}  # 1e+5 is 1e5, a space is a tab
        except DamagedFile:
            pass


def test_nothing_that_parses_without_end_is_a_recursion_error():
    for text in (DEEP, '{"a":' * 100_000):
        with pytest.raises(ValueError, match="deep"):
            parse_json(text)


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_a_cut_off_table_or_array_is_told(tmp_path, suffix):
    file = tmp_path / f"made{suffix}"
    if suffix == ".npz":
        np.savez(file, a=np.arange(1000))
    else:
        pd.DataFrame({"a": range(1000)}).to_parquet(file)
    content, read = file.read_bytes(), {".npz": read_arrays, ".parquet": read_table}[suffix]
    for length in (0, 3, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(DamagedFile, match="is damaged"):
            read(file, digest=None, do="")


def test_a_flipped_bit_of_an_array_without_a_digest_is_told_or_of_no_effect(tmp_path):
    file = tmp_path / "made.npz"
    np.savez(file, a=np.arange(20))
    content = file.read_bytes()
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            found = read_arrays(file, do="")
        except DamagedFile:
            continue
        assert list(found) != ["a"] or found["a"].tolist() == list(range(20))


def test_only_folders_with_our_numbers_for_names_count(tmp_path):
    for name in ("1", "12", "²", "٣", "007", "0", "-1", "1e3", "9" * 30, "1 "):
        (tmp_path / name).mkdir()
    (tmp_path / "5").write_text("a file")
    assert numbered_folders(tmp_path) == [1, 12]


# ---- runs ------------------------------------------------------------------------------------


def change(file: Path, **changes: object) -> None:
    """Change a sealed file as somebody would by hand who takes the seal out."""
    facts = json.loads(file.read_text())
    del facts["seal"]
    file.write_text(json.dumps({**facts, **changes}))


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"metrics": 5}', '{"metrics": {"arms": {}}}', '{"metrics": null}', '{"metrics": []}', DEEP],
)
def test_a_damaged_run_is_told_and_its_verdict_does_not_vanish(workspace, content):
    (workspace / "runs/1/run.json").write_text(content)
    said = refused("report", "-w", workspace)
    assert "runs/1/run.json is damaged" in said and "to do: curate retrain" in said
    rows = {row["stage"]: row for row in json.loads(done("status", "--json", "-w", workspace))}
    assert rows["retrain"]["state"] == "stale" and "runs/1/run.json is damaged" in rows["retrain"]["detail"]


@pytest.mark.parametrize("changes", [{"n_test": 0}, {"n_test": 10**30}, {"classes": ["cat"]}, {"notes": [5]}])
def test_metrics_that_make_no_sense_are_told(workspace, changes):
    file = workspace / "runs/1/run.json"
    change(file, metrics={**json.loads(file.read_text())["metrics"], **changes})
    assert "runs/1/run.json is damaged" in refused("report", "-w", workspace)


def test_a_run_of_an_earlier_curate_is_still_shown(workspace):
    file = workspace / "runs/1/run.json"
    facts = json.loads(file.read_text())
    del facts["seal"], facts["digests"]
    file.write_text(json.dumps(facts))
    (workspace / "runs/1/versions.json").write_text('{"before": 0, "after": 1}')
    done("report", "-w", workspace)


def test_one_changed_figure_of_a_run_is_told(workspace):
    file = workspace / "runs/1/run.json"
    facts = json.loads(file.read_text())
    facts["metrics"]["differences"]["after - before"]["accuracy"] += 0.01
    file.write_text(json.dumps(facts))
    assert "seal" in refused("report", "-w", workspace)


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_cut_off_predictions_are_told(workspace, keep):
    file = workspace / "runs/1/predictions.parquet"
    content = file.read_bytes()
    file.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    assert "runs/1/predictions.parquet is damaged" in refused("report", "-w", workspace)


def test_a_damaged_run_gives_way_to_the_next_one(workspace):
    (workspace / "runs/1/run.json").write_text("{")
    done("retrain", *QUICK, "-w", workspace)
    assert (workspace / "runs/2/run.json").exists()
    done("report", "-w", workspace)


def test_a_damaged_version_does_not_keep_the_report_from_later_ones(workspace):
    (workspace / "versions/1/version.json").write_text("{")
    assert "versions/1/version.json is damaged" in refused("report", "-w", workspace)
    done("apply", "-w", workspace)
    done("retrain", *QUICK, "-w", workspace)
    done("report", "-w", workspace)
    assert "damaged" in (workspace / "reports/report.html").read_text()


def test_names_that_are_nearly_numbers_are_nobodys_versions(workspace):
    for kind in ("versions", "runs"):
        (workspace / kind / "²").mkdir()
        (workspace / kind / ("9" * 40)).mkdir()
    for command in ("status", "diff", "report", "apply"):
        done(command, "-w", workspace)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arm.json", "probabilities.parquet", "history.csv"])
def test_a_run_goes_on_from_damaged_arms_by_training_them_again(workspace, name):
    expected = json.loads((workspace / "runs/1/run.json").read_text())["metrics"]
    (workspace / "runs/1/run.json").unlink()
    for file in (workspace / "runs/1").rglob(name):
        file.write_bytes(file.read_bytes()[:-9] + b"012345678")
    done("retrain", *QUICK, "-w", workspace)
    found = json.loads((workspace / "runs/1/run.json").read_text())["metrics"]
    for arms in (expected["arms"], found["arms"]):
        for arm in arms.values():
            del arm["seconds"]
    assert found == expected


def test_a_damaged_model_is_not_loaded(workspace):
    (folder,) = (workspace / "runs/1/arms").glob("after-*")
    load_model(folder)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DamagedFile, match="model.safetensors is damaged"):
        load_model(folder)


# ---- what ingest makes -----------------------------------------------------------------------


def flip(file: Path, place: float) -> None:
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["embeddings.npy", "thumbs.npy", "rows.parquet", "shard.json"])
def test_one_flipped_bit_of_a_shard_is_told_and_its_images_are_looked_at_again(images, workspace, name):
    (file,) = workspace.glob(f"embeddings/*/00000/{name}")
    was = file.read_bytes()
    flip(file, 0.8)
    (workspace / "reports/map.npz").unlink()
    assert f"00000/{name} is damaged" in refused("report", "-w", workspace)
    done("ingest", images, "-w", workspace)
    assert file.read_bytes() == was


def test_a_damaged_map_is_laid_out_anew_by_the_report(workspace):
    was = (workspace / "reports/map.npz").read_bytes()
    flip(workspace / "reports/map.npz", 0.5)
    done("report", "-w", workspace)
    assert (workspace / "reports/map.npz").read_bytes() == was


@pytest.mark.parametrize("damaged", ["tables/splits.parquet", "tables/splits.parquet.json"])
def test_damaged_splits_are_mended_and_no_test_image_comes_to_be_learned_from(images, workspace, damaged):
    was = pd.read_parquet(workspace / "tables/splits.parquet")
    shutil.copytree(images / "cat", images / "cow")  # a grown folder is divided otherwise where nothing is known
    flip(workspace / damaged, 0.5)
    done("ingest", images, "-w", workspace)
    now = pd.read_parquet(workspace / "tables/splits.parquet").merge(was, on="sample_id", suffixes=("", "_was"))
    assert len(now) == len(was) and now["split"].tolist() == now["split_was"].tolist()


def test_damaged_splits_and_samples_together_are_told_with_what_to_do(images, workspace):
    for name in ("splits", "samples"):
        flip(workspace / f"tables/{name}.parquet", 0.5)
    said = refused("ingest", images, "-w", workspace)
    assert "tables/splits.parquet is damaged, and so are the samples" in said and "delete" in said
    (workspace / "tables/splits.parquet").unlink()
    done("ingest", images, "-w", workspace)


def test_a_finder_whose_record_is_damaged_is_not_left_out_in_silence(workspace):
    (workspace / "issues/leak.parquet.json").write_text("{}")
    for command in (["check"], ["issues"], ["report"], ["apply"], ["review", "--html"]):
        assert "issues/leak.parquet.json is damaged" in refused(*command, "-w", workspace)


def test_the_verb_for_python_raises_the_same(workspace):
    flip(workspace / "versions/1/manifest.parquet", 0.5)
    with pytest.raises(DamagedFile, match="versions/1/manifest.parquet is damaged"):
        retrain(Workspace(workspace))
