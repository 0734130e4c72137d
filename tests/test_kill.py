"""SIGKILL at 30 random moments: the same command again gives what an undisturbed run gives, and no decision is lost."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import class_folders, curate, run_and_kill, run_apart

from curate.decisions.ledger import Ledger
from curate.embed.store import load
from curate.verbs.apply import manifest_of
from curate.verbs.prepare import store_of
from curate.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
FOLDERS = ("tables", "issues", "neighbors", "pred_probs", "versions")
TIMES = {"made", "time", "seal"}  # what differs between two runs that come to the same; the seal is of all


@dataclass(frozen=True)
class Undisturbed:
    """Workspaces as they are after each stage of a run that nobody killed, and the processor time that it took."""

    images: Path
    verdicts: Path
    after: dict[str, Path]
    seconds: dict[str, float]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Undisturbed:
    """48 images and four copies through ingest, find with another seed, decide and apply."""
    root = tmp_path_factory.mktemp("undisturbed")
    images = class_folders(root / "images", {"cat": 24, "dog": 24})
    for number in range(4):
        shutil.copy2(images / f"cat/{number:03d}.png", images / f"dog/copy-{number}.png")
    found = Undisturbed(images, root / "verdicts.csv", {}, {})
    workspace = root / "workspace"
    for stage in ("ingest", "find", "decide", "apply"):
        found.seconds[stage] = run_apart(*command(found, stage), "-w", workspace, said=root / "said.txt")
        found.after[stage] = Path(shutil.copytree(workspace, root / stage))
        if stage == "find":
            write_verdicts(workspace, found.verdicts)
    return found


def command(found: Undisturbed, stage: str) -> list[object]:
    return {
        "ingest": ["ingest", found.images],
        "find": ["find", "--seed", "1"],
        "decide": ["decide", found.verdicts, "--reviewer", "ann"],
        "apply": ["apply", "--class-cap", "1"],
    }[stage]


def write_verdicts(workspace: Path, file: Path) -> None:
    """Keep two samples, drop one, keep two …"""
    ids = pd.read_parquet(workspace / "tables/samples.parquet").query("split == 'train'")["sample_id"]
    actions = ["drop" if number % 3 == 2 else "keep" for number in range(len(ids))]
    pd.DataFrame({"sample_id": ids, "issue": "label", "action": actions}).to_csv(file, index=False)


def contents(root: Path) -> dict[str, object]:
    """Everything a workspace tells, by name, without the times of day."""
    found: dict[str, object] = {}
    for file in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*")):
        name = str(file.relative_to(root))
        if file.suffix == ".parquet":
            found[name] = pd.read_parquet(file).to_json()
        elif file.suffix == ".npz":
            with np.load(file) as arrays:
                found[name] = {key: arrays[key].tobytes() for key in arrays.files}
        elif file.suffix == ".json" and not file.with_suffix("").is_file():  # not a sidecar
            value = json.loads(file.read_text())
            found[name] = {key: value[key] for key in value.keys() - TIMES}
    workspace = Workspace(root)
    embedded = load(workspace.path(store_of(workspace)), workspace.read("scan"))
    found["embeddings"] = (embedded.sample_ids, embedded.embeddings.tobytes(), embedded.thumbs.tobytes())
    found["decisions"] = decisions(root).drop(columns=["decision_id", "time"]).to_json()
    return found


def decisions(root: Path) -> pd.DataFrame:
    with Ledger(root / "ledger.sqlite") as ledger:
        return ledger.current()


def killed(found: Undisturbed, stage: str, workspace: Path, rng: random.Random) -> str:
    """Start the stage, kill it at a random moment of its usual time; returns what it had said by then."""
    moment = rng.uniform(0, found.seconds[stage])
    return run_and_kill(moment, *command(found, stage), "-w", workspace, said=workspace.with_suffix(".said"))


def before(found: Undisturbed, stage: str, folder: Path) -> Path:
    """A workspace to which everything but this stage has been done."""
    stages = list(found.after)
    earlier = stages[: stages.index(stage)]
    return Path(shutil.copytree(found.after[earlier[-1]], folder)) if earlier else folder


@pytest.mark.parametrize(("stage", "moments"), [("ingest", 10), ("find", 8), ("apply", 6)])
def test_a_stage_killed_at_any_moment_and_run_again_gives_the_same_tables(undisturbed, tmp_path, stage, moments):
    expected, rng = contents(undisturbed.after[stage]), random.Random(stage)
    for moment in range(moments):
        workspace = before(undisturbed, stage, tmp_path / str(moment))
        killed(undisturbed, stage, workspace, rng)
        run_apart(*command(undisturbed, stage), "-w", workspace, said=tmp_path / "said.txt")
        assert contents(workspace) == expected
        assert not list(workspace.rglob("*.tmp"))
        shutil.rmtree(workspace)


def test_ten_kills_in_a_row_do_not_wear_a_workspace_down(undisturbed, tmp_path):
    rng = random.Random(4)
    for _ in range(10):
        killed(undisturbed, "ingest", tmp_path / "ws", rng)
    run_apart(*command(undisturbed, "ingest"), "-w", tmp_path / "ws", said=tmp_path / "said.txt")
    assert contents(tmp_path / "ws") == contents(undisturbed.after["ingest"])
    states = {row["state"] for row in json.loads(curate("status", "--json", "-w", tmp_path / "ws").stdout)[:10]}
    assert states == {"done"}


def test_a_killed_decide_records_all_verdicts_or_none_and_loses_none(undisturbed, tmp_path):
    rng, n_verdicts = random.Random(5), len(pd.read_csv(undisturbed.verdicts))
    expected = contents(undisturbed.after["decide"])
    outcomes = set()
    for moment in range(6):
        workspace = before(undisturbed, "decide", tmp_path / str(moment))
        said = killed(undisturbed, "decide", workspace, rng)
        recorded = len(decisions(workspace))
        assert recorded in (0, n_verdicts)
        assert recorded == n_verdicts or "recorded" not in said
        outcomes.add(recorded)
        run_apart(*command(undisturbed, "decide"), "-w", workspace, said=tmp_path / "said.txt")
        assert contents(workspace) == expected
        with Ledger(workspace / "ledger.sqlite") as ledger:
            assert len(ledger.history()) == recorded + n_verdicts  # what was there before is there still
    version = manifest_of(Workspace(undisturbed.after["apply"]), 1)
    assert len(version) == len(pd.read_parquet(workspace / "tables/samples.parquet")) - n_verdicts // 3
