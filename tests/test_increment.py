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
from command import class_folders, done, picture, refused

from curate.apply import policy
from curate.review import bulk
from curate.review.ledger import Ledger
from curate.verbs.decide import decide_by_threshold
from curate.workspace import Workspace


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A folder with `images` (ten of each of two classes) and their workspace `ws`."""
    root = tmp_path_factory.mktemp("first")
    class_folders(root / "images", {"cat": 10, "dog": 10})
    done("ingest", root / "images", "-w", root / "ws")
    return root


@pytest.fixture
def images(first, tmp_path) -> Path:
    """The images where they were when they were ingested; put back as they were at the end."""
    shutil.copytree(first / "images", tmp_path / "kept")
    yield first / "images"
    shutil.rmtree(first / "images")
    shutil.copytree(tmp_path / "kept", first / "images")


@pytest.fixture
def workspace(first, tmp_path) -> Path:
    return Path(shutil.copytree(first / "ws", tmp_path / "ws"))


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
    monkeypatch.setattr("curate.embed.embedder.Embedder.embed", lambda *_: pytest.fail("embedded anew"))
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
    was, sidecar = (workspace / "issues/label.parquet").read_bytes(), workspace / "pred_probs/in_force.npz.json"
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
