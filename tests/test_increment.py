"""Sources that grow, shrink, move and change: only what is new is looked at, and no decision is lost."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from command import class_folders, curate, done, picture, refused

from curate.apply import policy
from curate.decisions.ledger import Ledger
from curate.find import FINDERS
from curate.review import bulk
from curate.schema import TABLES, conform, validate
from curate.verbs.decide import decide_by_threshold
from curate.workspace import Workspace


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A folder with `images` (ten of each of two classes) and their workspace `ws`."""
    root = tmp_path_factory.mktemp("first")
    class_folders(root / "images", {"cat": 10, "dog": 10})
    done("ingest", root / "images", "-w", root / "ws")
    return root


def looked_at(workspace: Path) -> int:
    """How many files the last scan opened, by its provenance."""
    return int(json.loads((workspace / "tables/scan.parquet.json").read_text())["counts"]["looked_at"])


def states(workspace: Path) -> dict[str, str]:
    return {row["stage"]: row["state"] for row in json.loads(done("status", "--json", "-w", workspace))}


def decide(workspace: Path, sample_id: str, issue: str = "label", action: str = "drop") -> None:
    file = workspace / "reports" / "verdict.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"sample_id,issue,action\n{sample_id},{issue},{action}\n")
    done("decide", file, "--reviewer", "ann", "-w", workspace)


def rejected(workspace: Path) -> list[str]:
    done("apply", "--class-cap", "1", "--include-test", "-w", workspace)
    last = max((workspace / "versions").glob("[0-9]*"), key=lambda path: int(path.name))
    return pd.read_parquet(last / "rejected.parquet")["sample_id"].tolist()


def tables(workspace: Path) -> dict[str, bytes]:
    return {str(file.relative_to(workspace)): file.read_bytes() for file in workspace.rglob("*.parquet")}


def test_the_same_folder_again_opens_no_file_runs_no_finder_and_changes_no_table(images, workspace):
    was = tables(workspace)
    finders = [json.loads(file.read_text())["made"] for file in sorted((workspace / "issues").glob("*.json"))]
    begun = time.process_time()
    done("ingest", images, "-w", workspace)
    seconds = time.process_time() - begun
    assert looked_at(workspace) == 0
    assert tables(workspace) == was
    again = [json.loads(file.read_text())["made"] for file in sorted((workspace / "issues").glob("*.json"))]
    assert sum(a != b for a, b in zip(finders, again, strict=True)) <= 1  # the list of pairs is put together anew
    assert seconds < 20


def test_a_grown_folder_looks_at_the_new_images_alone(images, workspace):
    splits = pd.read_parquet(workspace / "tables/samples.parquet").set_index("sample_id")["split"]
    for number in range(3):
        picture(images / "cat" / f"new-{number}.png", 500 + number)
    assert states(workspace)["ingest"] == "stale" and states(workspace)["find: label"] == "stale"
    done("ingest", images, "-w", workspace)
    assert looked_at(workspace) == 3
    samples = pd.read_parquet(workspace / "tables/samples.parquet").set_index("sample_id")
    assert len(samples) == 23 and samples["status"].eq("ok").all()
    assert samples["split"].loc[splits.index].equals(splits)  # what was in a split stays there
    assert set(states(workspace).values()) == {"done", "never run"}


def test_a_moved_file_keeps_its_decision_and_is_not_embedded_anew(images, workspace, monkeypatch):
    decide(workspace, "cat/003.png")
    assert rejected(workspace) == ["cat/003.png"]
    (images / "cat/003.png").rename(images / "cat/renamed.png")
    monkeypatch.setattr("curate.networks.embedder.Embedder.embed", lambda *_: pytest.fail("embedded anew"))
    done("ingest", images, "-w", workspace)
    assert looked_at(workspace) == 1  # opened, to see what it is
    assert states(workspace)["apply"] == "stale"
    assert rejected(workspace) == ["cat/renamed.png"]


def test_a_changed_file_is_looked_at_again_and_its_decision_waits(images, workspace):
    decide(workspace, "cat/003.png")
    old = (images / "cat/003.png").read_bytes()
    was = pd.read_parquet(workspace / "tables/scan.parquet").set_index("sample_id")["sha256"]
    picture(images / "cat/003.png", 777)
    assert states(workspace)["embed"] == "stale"
    done("ingest", images, "-w", workspace)
    now = pd.read_parquet(workspace / "tables/scan.parquet").set_index("sample_id")["sha256"]
    assert looked_at(workspace) == 1 and now.ne(was).sum() == 1
    assert rejected(workspace) == []
    (images / "cat/003.png").write_bytes(old)
    done("ingest", images, "-w", workspace)
    assert rejected(workspace) == ["cat/003.png"]


def test_a_csv_written_before_two_files_were_swapped_decides_on_neither(images, workspace, tmp_path):
    shutil.copy(images / "cat/000.png", images / "cat/copy.png")
    done("ingest", images, "-w", workspace)
    done("review", "--csv", "--out", tmp_path / "queue.csv", "--issue", "exact_duplicate", "-w", workspace)
    filled = pd.read_csv(tmp_path / "queue.csv", dtype=str).assign(action="accept")
    filled.to_csv(tmp_path / "queue.csv", index=False)
    (images / "cat/copy.png").rename(images / "cat/held.png")
    (images / "dog/000.png").rename(images / "cat/copy.png")
    (images / "cat/held.png").rename(images / "dog/000.png")
    done("ingest", images, "-w", workspace)
    said = done("decide", tmp_path / "queue.csv", "--reviewer", "ann", "-w", workspace)
    assert "1 decision(s) recorded" in said  # that on the copy which nobody touched
    assert "(cat/copy.png): the picture has changed since" in said


def test_a_half_filled_csv_is_not_written_over_before_its_verdicts_are_recorded(images, workspace):
    shutil.copy(images / "cat/000.png", images / "cat/copy.png")
    done("ingest", images, "-w", workspace)
    file = workspace / "reports/review.csv"
    done("review", "--csv", "-w", workspace)
    done("review", "--csv", "-w", workspace)  # nobody has filled it in
    filled = pd.read_csv(file, dtype=str)
    filled.loc[0, "action"] = "accept"
    filled.to_csv(file, index=False)
    said = refused("review", "--csv", "-w", workspace)
    assert "1 verdict(s) that are not in the ledger" in said and f"curate decide {file}" in said
    assert pd.read_csv(file, dtype=str).equals(filled)
    done("review", "--csv", "--out", workspace / "other.csv", "-w", workspace)
    done("decide", file, "--reviewer", "ann", "-w", workspace)
    done("review", "--csv", "-w", workspace)
    assert pd.read_csv(file)["action"].isna().all()
    file.write_bytes(filled.to_csv(index=False).encode("utf-16"))
    assert "would be lost" in refused("review", "--csv", "-w", workspace)


def two_copies(images: Path, workspace: Path) -> None:
    for name in ("000", "001"):
        shutil.copy(images / f"cat/{name}.png", images / f"cat/copy-{name}.png")
    done("ingest", images, "-w", workspace)


def test_two_bulk_rules_at_once_decide_once(images, workspace, monkeypatch):
    two_copies(images, workspace)
    together, real = threading.Barrier(2), bulk.bulk_decisions

    def bulk_decisions(*tables, **rule):
        decisions = real(*tables, **rule)
        with suppress(threading.BrokenBarrierError):
            together.wait(timeout=2)
        return decisions

    monkeypatch.setattr(bulk, "bulk_decisions", bulk_decisions)
    rule = Workspace(workspace), "exact_duplicate", 0.5, "drop"
    clerks = [threading.Thread(target=decide_by_threshold, args=rule, kwargs={"reviewer": name}) for name in "ab"]
    for clerk in clerks:
        clerk.start()
    for clerk in clerks:
        clerk.join()
    with Ledger(workspace / "ledger.sqlite") as ledger:
        assert len(ledger.history()) == len(ledger.current()) == 2
    done("undo", "--last", "1", "--reviewer", "a", "-w", workspace)
    assert rejected(workspace) == []


def test_a_persons_keep_during_a_bulk_rule_is_not_overridden(images, workspace, monkeypatch):
    two_copies(images, workspace)
    real = bulk.bulk_decisions
    keep = {"sample_id": "cat/copy-000.png", "issue": "exact_duplicate", "action": "keep", "reviewer": "ann"}

    def record() -> None:
        with Ledger(workspace / "ledger.sqlite") as ledger:
            ledger.add([keep])

    def bulk_decisions(*tables, **rule):
        decisions = real(*tables, **rule)
        person.start()
        person.join(timeout=1)
        return decisions

    person = threading.Thread(target=record)
    monkeypatch.setattr(bulk, "bulk_decisions", bulk_decisions)
    done("decide", "--issue", "exact_duplicate", "--above", "0.5", "--action", "drop", "-w", workspace)
    person.join()
    assert rejected(workspace) == ["cat/copy-001.png"]


def test_a_verdict_made_while_apply_works_makes_its_version_stale(images, workspace, monkeypatch):
    real = policy.plan

    def plan(*tables, **options):
        decide(workspace, "cat/002.png")
        return real(*tables, **options)

    decide(workspace, "cat/001.png")
    monkeypatch.setattr(policy, "plan", plan)
    assert rejected(workspace) == ["cat/001.png"]
    assert states(workspace)["apply"] == "stale"
    monkeypatch.undo()
    assert rejected(workspace) == ["cat/001.png", "cat/002.png"]
    assert states(workspace)["apply"] == "done"


def test_a_copy_that_is_the_last_one_now_is_not_dropped_and_apply_says_so(images, workspace):
    shutil.copy(images / "cat/000.png", images / "cat/copy.png")
    done("ingest", images, "-w", workspace)
    decide(workspace, "cat/copy.png", "exact_duplicate")
    assert rejected(workspace) == ["cat/copy.png"]
    (images / "cat/000.png").unlink()
    done("ingest", images, "-w", workspace)
    assert "no longer applies: it would drop the last copy (1)" in done("apply", "--dry-run", "-w", workspace)
    assert rejected(workspace) == []


def test_a_touched_file_is_opened_and_nothing_else_happens(images, workspace):
    was = pd.read_parquet(workspace / "issues/label.parquet")
    os.utime(images / "dog/001.png", (1, 1))
    assert states(workspace)["embed"] == "stale"
    done("ingest", images, "-w", workspace)
    assert looked_at(workspace) == 1
    pd.testing.assert_frame_equal(pd.read_parquet(workspace / "issues/label.parquet"), was)
    assert states(workspace)["embed"] == "done"


def test_files_that_vanished_leave_the_tables_and_come_back_with_their_decisions(images, workspace, tmp_path):
    decide(workspace, "dog/002.png")
    for number in range(4):
        shutil.move(images / f"dog/{number:03d}.png", tmp_path / f"{number:03d}.png")
    assert states(workspace)["ingest"] == "stale"
    done("ingest", images, "-w", workspace)
    assert looked_at(workspace) == 0
    for name in ("tables/samples.parquet", "issues/label.parquet", "issues/outlier.parquet"):
        assert len(pd.read_parquet(workspace / name)) == 16
    assert rejected(workspace) == []
    for number in range(4):
        shutil.move(tmp_path / f"{number:03d}.png", images / f"dog/{number:03d}.png")
    done("ingest", images, "-w", workspace)
    assert looked_at(workspace) == 0  # their names, sizes and times are known
    assert rejected(workspace) == ["dog/002.png"]


def splits(workspace: Path) -> dict[str, str]:
    return pd.read_parquet(workspace / "tables/samples.parquet").set_index("sample_id")["split"].to_dict()


def test_splits_stay_as_they_were_made_until_others_are_asked_for(images, tmp_path):
    workspace = tmp_path / "ws"
    done("ingest", images, "--split", "0.5", "0.25", "0.25", "--split-seed", "7", "-w", workspace)
    was = splits(workspace)
    assert list(was.values()).count("test") == 5
    for command in (["find"], ["ingest", images]):
        done(*command, "-w", workspace)
        assert splits(workspace) == was
    done("find", "--split", "0.8", "0.1", "0.1", "-w", workspace)
    assert list(splits(workspace).values()).count("test") == 2


def test_who_was_away_or_has_another_name_has_its_split_still(images, workspace, tmp_path):
    was = splits(workspace)
    for number in range(5):
        shutil.move(images / f"dog/{number:03d}.png", tmp_path / f"{number:03d}.png")
        shutil.move(images / f"cat/{number:03d}.png", images / f"cat/renamed-{number:03d}.png")
        picture(images / f"dog/new-{number}.png", 500 + number)
    done("ingest", images, "-w", workspace)
    now = splits(workspace)
    assert [now[f"cat/renamed-{n:03d}.png"] for n in range(5)] == [was[f"cat/{n:03d}.png"] for n in range(5)]
    for number in range(5):
        shutil.move(tmp_path / f"{number:03d}.png", images / f"dog/{number:03d}.png")
    done("ingest", images, "-w", workspace)
    assert {name: split for name, split in splits(workspace).items() if name in was} == {
        name: split for name, split in was.items() if not name.startswith("cat/00") or int(name[6:7]) >= 5
    }


def test_splits_that_a_manifest_gives_later_show_their_leaks_and_the_rest_is_divided(images, tmp_path):
    for copy in ("a", "b", "c"):
        picture(images / f"{copy}.png", 900)
    names = [str(file.relative_to(images)) for file in sorted(images.rglob("*.png"))]
    manifest = images / "list.csv"
    manifest.write_text("\n".join(["image,label", *(f"{name},x{name[:1]}" for name in names)]))
    done("ingest", manifest, "-w", tmp_path / "ws")
    done("check", "--max", "leak=0", "-w", tmp_path / "ws")
    given = {"b.png": "train", "c.png": "test"}
    rows = [f"{name},x{name[:1]},{given.get(name, '')}" for name in names]
    manifest.write_text("\n".join(["image,label,split", *rows]))
    done("ingest", manifest, "-w", tmp_path / "ws")
    assert curate("check", "--max", "leak=1", "-w", tmp_path / "ws").exit_code == 2
    found = splits(tmp_path / "ws")
    assert {name: found[name] for name in given} == given and set(found.values()) == {"train", "val", "test"}


def test_another_folder_of_the_same_names_sizes_and_times_is_looked_at(tmp_path):
    for root, first in (("one", 0), ("other", 100)):
        for number in range(4):
            file = tmp_path / root / f"{'ab'[number % 2]}/{number}.bmp"
            picture(file, first + number)  # without compression: all of one size
            os.utime(file, (10**9, 10**9))
    done("ingest", tmp_path / "one", "-w", tmp_path / "ws")
    was = pd.read_parquet(tmp_path / "ws/tables/scan.parquet").set_index("sample_id")["sha256"]
    done("ingest", tmp_path / "other", "-w", tmp_path / "ws")
    now = pd.read_parquet(tmp_path / "ws/tables/scan.parquet").set_index("sample_id")["sha256"]
    assert looked_at(tmp_path / "ws") == 4 and now.ne(was).all()


def test_finders_return_the_columns_that_the_schema_tells(images, tmp_path, monkeypatch):
    returned = {}

    def kept(name: str, table: pd.DataFrame) -> pd.DataFrame:
        returned[name] = list(table.columns)
        return conform(name, table)

    monkeypatch.setattr("curate.verbs.find.conform", kept)
    done("ingest", images, "-w", tmp_path / "ws")
    for name in FINDERS:
        assert returned[name] == [column.name for column in TABLES[name].columns]
        validate(name, pd.read_parquet(tmp_path / f"ws/issues/{name}.parquet"))


def test_flags_of_what_was_there_before_are_not_decided_on(images, workspace):
    """As a killed ingest leaves it: the files were looked at, the finders have not run."""
    picture(images / "cat/003.png", 777)
    done("embed", "-w", workspace)
    bulk = ["decide", "--issue", "label", "--above", "0.1", "--action", "drop"]
    for command in (bulk, ["check"], ["issues"], ["apply"], ["report"], ["review", "--csv"]):
        assert "curate find" in refused(*command, "-w", workspace)
    done("find", "-w", workspace)
    done("check", "-w", workspace)


def test_another_input_size_makes_what_rests_on_the_embeddings_stale_and_nothing_else(images, workspace):
    done("embed", "--image-size", "128", "-w", workspace)
    found = states(workspace)
    assert {found[f"find: {name}"] for name in ("near_duplicate", "leak", "outlier", "label", "classes")} == {"stale"}
    assert found["find: quality"] == "done"
    was = (workspace / "issues/outlier.parquet").read_bytes()
    done("find", "-w", workspace)
    assert "stale" not in states(workspace).values()
    assert (workspace / "issues/outlier.parquet").read_bytes() != was


def test_another_seed_makes_new_predictions_and_labels_follow(images, workspace):
    was, sidecar = (workspace / "issues/label.parquet").read_bytes(), workspace / "pred_probs/active.npz.json"
    done("find", "--seed", "9", "-w", workspace)
    assert json.loads(sidecar.read_text())["parameters"]["seed"] == 9
    assert "stale" not in states(workspace).values()
    done("find", "-w", workspace)
    assert json.loads(sidecar.read_text())["parameters"]["seed"] == 0
    assert (workspace / "issues/label.parquet").read_bytes() == was


def test_changed_annotations_make_the_labels_stale(images, workspace, tmp_path):
    votes = [f"{label}/{n:03d}.png,{who},{label}" for label in ("cat", "dog") for n in range(10) for who in "ab"]
    file = tmp_path / "votes.csv"
    file.write_text("\n".join(["image,annotator,label", *votes]))
    done("ingest", images, "--annotations", file, "-w", workspace)
    assert "stale" not in states(workspace).values()
    votes = [vote.replace("b,cat", "b,dog") for vote in votes]
    file.write_text("\n".join(["image,annotator,label", *votes]))
    assert states(workspace)["ingest"] == "stale" and states(workspace)["find: label"] == "stale"
    done("ingest", images, "--annotations", file, "-w", workspace)
    assert "stale" not in states(workspace).values() and looked_at(workspace) == 0
    assert (workspace / "tables/arbitration.csv").exists()


def test_a_queue_that_somebody_wrote_into_is_never_written_over(images, workspace, tmp_path):
    votes = [f"{label}/{n:03d}.png,{label},{'dog' if n < 5 else label}" for label in ("cat", "dog") for n in range(10)]
    (tmp_path / "votes.csv").write_text("\n".join(["image,ann,bob", *votes]))
    ingest = ["ingest", images, "--annotations", tmp_path / "votes.csv", "-w", workspace]
    filled_in = [workspace / "tables" / name for name in ("arbitration.csv", "arbitration-new.csv")]
    for file in filled_in:
        assert f"a third person settles {file}\n" in done(*ingest)
        pd.read_csv(file).assign(arbiter="bird").to_csv(file, index=False)
    for _ in range(2):  # the third is left as it is, and is written anew
        assert f"a third person settles {workspace}/tables/arbitration-new-2.csv\n" in done(*ingest)
    assert all(pd.read_csv(file)["arbiter"].tolist() == ["bird"] * 5 for file in filled_in)
    assert len(list((workspace / "tables").glob("arbitration*.csv"))) == 3


def test_a_changed_manifest_makes_everything_after_it_stale(images, tmp_path):
    lines = [f"{label}/{n:03d}.png,{label}" for label in ("cat", "dog") for n in range(10)]
    manifest = images / "list.csv"
    manifest.write_text("\n".join(["image,label", *lines]))
    done("ingest", manifest, "-w", tmp_path / "other")
    assert "stale" not in states(tmp_path / "other").values()
    manifest.write_text("\n".join(["image,label", *lines[1:], "cat/000.png,dog"]))
    assert states(tmp_path / "other")["ingest"] == "stale"
    done("ingest", manifest, "-w", tmp_path / "other")
    samples = pd.read_parquet(tmp_path / "other/tables/samples.parquet").set_index("sample_id")
    assert samples.at["cat/000.png", "label"] == "dog" and looked_at(tmp_path / "other") == 0
    manifest.unlink()
    assert states(tmp_path / "other")["ingest"] == "stale"


def test_each_stage_is_never_run_then_done_then_stale(images, workspace):
    assert {states(workspace)[stage] for stage in ("review", "apply", "retrain", "report")} == {"never run"}
    decide(workspace, "cat/001.png")
    done("apply", "--class-cap", "1", "--include-test", "-w", workspace)
    done("report", "-w", workspace)
    found = states(workspace)
    assert [found[stage] for stage in ("review", "apply", "retrain", "report")] == ["done", "done", "never run", "done"]
    decide(workspace, "cat/002.png")
    found = states(workspace)
    assert [found[stage] for stage in ("review", "apply", "report")] == ["done", "stale", "stale"]
    done("undo", "--last", "1", "--reviewer", "ann", "-w", workspace)
    assert states(workspace)["apply"] == "done"  # the same decisions are in force as when it was made
