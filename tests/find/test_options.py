"""Options reach what they name, and make nothing else anew."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from command import class_folders, done


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("options")
    images = class_folders(root / "images", {"cat": 20, "dog": 15, "fox": 8})
    done("ingest", images, "-w", root / "ws")
    return root / "ws"


def small_classes(workspace: Path) -> set[str]:
    table = pd.read_parquet(workspace / "issues/classes.parquet")
    flagged = table.loc[table["is_class_imbalance_issue"], "sample_id"]
    return {name.split("/")[0] for name in flagged}


def test_the_share_that_a_class_may_lack_decides_which_are_flagged(ingested: Path) -> None:
    found = {}
    for share in ("0.01", "0.3", "0.99"):
        done("find", "--imbalance", share, "-w", ingested)
        found[share] = small_classes(ingested)
    assert found == {"0.01": {"dog", "fox"}, "0.3": {"fox"}, "0.99": set()}
    report = pd.read_parquet(ingested / "tables/classes.parquet")
    assert not report["is_small"].any()


def test_an_option_makes_only_what_it_names_anew(ingested: Path) -> None:
    done("find", "-w", ingested)
    was = {path: path.stat().st_mtime_ns for path in ingested.rglob("*") if path.suffix in (".npz", ".parquet")}
    done("find", "--finetune-epochs", 9, "--imbalance", "0.5", "-w", ingested)
    anew = {path.name for path, time in was.items() if path.stat().st_mtime_ns != time}
    assert "classes.parquet" in anew
    assert not anew & {"probe.npz", "active.npz", "label.parquet", "outlier.parquet", "quality.parquet", "leak.parquet"}
