"""Versions and runs while the source grows and changes: what is compared stays what it was, or is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from command import class_folders, done, picture, refused

from curate.cli import main
from curate.cli.output import print_json

QUICK = ("--preset", "quick", "--epochs", "1", "--image-size", "32", "--folds", "2")
VERDICTS = """sample_id,issue,action,label
cat/{0},label,relabel,dog
cat/{1},label,relabel,dog
cat/{2},label,drop,
"""


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A folder with `images` (15 of each of two classes) and a workspace `ws`: 2 relabelled, 1 dropped in version 1."""
    root = tmp_path_factory.mktemp("first")
    class_folders(root / "images", {"cat": 15, "dog": 15})
    done("ingest", root / "images", "-w", root / "ws")
    samples = pd.read_parquet(root / "ws/tables/samples.parquet").query("split == 'train' and label == 'cat'")
    names = [Path(sample_id).name for sample_id in samples["sample_id"]]
    (root / "verdicts.csv").write_text(VERDICTS.format(*names))
    done("decide", root / "verdicts.csv", "--reviewer", "ann", "-w", root / "ws")
    done("apply", "-w", root / "ws")
    return root


def told(workspace: Path, *command: object) -> object:
    return json.loads(done(*command, "--json", "-w", workspace))


def changes(workspace: Path, before: int, after: int) -> dict[str, int]:
    from curate.verbs.apply import diff
    from curate.workspace import Workspace

    return diff(Workspace(workspace), before, after)["change"].value_counts().to_dict()


def grow(images: Path, workspace: Path, count: int = 10) -> None:
    for number in range(count):
        picture(images / "dog" / f"new-{number}.png", 5000 + number)
    done("ingest", images, "-w", workspace)


def test_images_ingested_since_a_version_was_made_do_not_count_as_dropped(images, workspace):
    grow(images, workspace)
    run = told(workspace, "retrain", *QUICK)
    assert run["changes"] == {"dropped": 1, "relabelled": 2, "added": 0}
    assert run["arms"]["control"]["n_train"] == run["arms"]["before"]["n_train"] - 1
    assert "10 images ingested since version 1 was made have no part: curate apply takes them in." in run["notes"]
    assert changes(workspace, 0, 1) == {"relabelled": 2, "removed": 1}
    states = {row["stage"]: row["state"] for row in told(workspace, "status")}
    assert (states["apply"], states["retrain"]) == ("stale", "stale")


def test_the_next_version_takes_them_in_on_both_sides(images, workspace):
    grow(images, workspace)
    done("apply", "-w", workspace)
    assert changes(workspace, 0, 2) == {"relabelled": 2, "removed": 1}
    assert changes(workspace, 2, 0) == {"relabelled": 2, "added": 1}
    assert changes(workspace, 1, 2) == {"added": 10}
    assert changes(workspace, 0, 1) == {"relabelled": 2, "removed": 1}


def test_a_version_whose_pictures_were_replaced_is_not_trained_on(images, workspace):
    for number, file in enumerate(sorted((images / "dog").iterdir())[:3]):
        picture(file, 7000 + number)
    done("ingest", images, "-w", workspace)
    said = refused("retrain", *QUICK, "-w", workspace)
    assert "3 image(s) have changed since the versions were made, such as dog/000.png" in said and "apply" in said
    assert not (workspace / "runs").exists()
    done("apply", "-w", workspace)
    assert told(workspace, "retrain", *QUICK)["after"] == 2


def test_a_version_of_an_earlier_curate_is_refused_and_the_next_apply_makes_another(workspace):
    facts = workspace / "versions/1/version.json"
    kept = json.loads(facts.read_text())
    del kept["digests"]["ingested"], kept["seal"]
    facts.write_text(json.dumps(kept))
    assert "of an earlier curate" in refused("diff", "0", "1", "-w", workspace)
    done("apply", "-w", workspace)
    assert changes(workspace, 0, 2) == {"relabelled": 2, "removed": 1}


def test_the_report_tells_of_the_versions_that_were_judged_not_of_later_ones(workspace):
    done("retrain", *QUICK, "-w", workspace)
    assert "has not been judged" not in report(workspace)
    done("undo", "--last", "1", "--reviewer", "ann", "-w", workspace)
    done("apply", "-w", workspace)
    page = report(workspace)
    assert "Not known of version 2." in page and "Version 0 before, version 1 after." in page
    assert "From version 0 to version 1, 3 images changed: 2 relabelled, 1 removed." in page


def report(workspace: Path) -> str:
    done("report", "-w", workspace)
    return (workspace / "reports/report.html").read_text()


@pytest.mark.parametrize("out", ["clean", "cat/clean", "", "../beside/clean"])
def test_an_export_among_the_originals_is_refused_before_anything_is_made(images, workspace, out):
    beside = images.parent / "beside"
    if not beside.exists():
        beside.symlink_to(images, target_is_directory=True)
    done("undo", "--last", "1", "--reviewer", "ann", "-w", workspace)
    assert "among the originals" in refused("apply", "--export", images / out, "-w", workspace)
    assert [path.name for path in (workspace / "versions").iterdir() if path.is_dir()] == ["1"]
    assert sorted(path.name for path in images.iterdir()) == ["cat", "dog"]


def test_beside_a_manifest_an_export_is_fine_and_under_its_image_root_it_is_not(images, tmp_path):
    lines = [f"{label}/{number:03d}.png,{label}" for label in ("cat", "dog") for number in range(10)]
    (tmp_path / "list.csv").write_text("\n".join(["image,label", *lines]))
    done("ingest", tmp_path / "list.csv", "--image-root", images, "-w", tmp_path / "rooted")
    assert "among the originals" in refused("apply", "--export", images / "clean", "-w", tmp_path / "rooted")
    manifest = shutil.copy(tmp_path / "list.csv", images)
    done("ingest", manifest, "-w", tmp_path / "bare")
    done("apply", "--export", images / "clean", "-w", tmp_path / "bare")
    assert "20 samples" in done("ingest", manifest, "-w", tmp_path / "bare")


@pytest.mark.parametrize("command", ["diff", "status", "issues", "check", "retrain"])
def test_json_is_json_without_nan(workspace, command):
    """`parse_constant` is called for NaN and infinities, which JSON has no word for."""
    options = QUICK if command == "retrain" else ()
    given = CliRunner().invoke(main, [command, *options, "--json", "-w", str(workspace)])
    json.loads(given.stdout, parse_constant=lambda word: pytest.fail(word))
    assert command != "diff" or json.loads(given.stdout)[0]["reason"] is None


def test_what_json_has_no_word_for_is_null(capsys):
    print_json({"a": [float("nan"), pd.NA, pd.NaT, float("inf")], "b": (np.float64("nan"), 0.5), "c": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"a": [None] * 4, "b": [None, 0.5], "c": "x"}


# ---- runs that end early -----------------------------------------------------------------------


def test_a_run_that_is_refused_leaves_nothing(images, tmp_path):
    done("ingest", images, "--split", "1", "0", "0", "-w", tmp_path / "ws")
    done("apply", "-w", tmp_path / "ws")
    assert "no labelled test image" in refused("retrain", *QUICK, "-w", tmp_path / "ws")
    assert list((tmp_path / "ws/runs").iterdir()) == []
    (row,) = (row for row in told(tmp_path / "ws", "status") if row["stage"] == "retrain")
    assert (row["state"], row["detail"]) == ("never run", "")


def test_a_run_that_has_begun_is_gone_on_with_and_one_that_has_not_is_taken_over(workspace, monkeypatch):
    from curate.experiment import jobs as arms

    def interrupted(*given, **options):
        raise KeyboardInterrupt

    never_begun = workspace / "runs/1/versions.json"
    never_begun.parent.mkdir(parents=True)
    never_begun.write_text('{"before": 1, "after": 7}')  # killed in its first moment
    with monkeypatch.context() as patch:
        patch.setattr(arms, "fit", interrupted)
        refused("retrain", *QUICK, "-w", workspace, code=130)
    assert (workspace / "runs/1/features").is_dir()
    run = told(workspace, "retrain", *QUICK)
    assert (run["run"], run["before"], run["after"]) == (1, 0, 1)
