"""Values that an option can't have: said before any work, and not with a traceback."""

from __future__ import annotations

import time

import pandas as pd
import pytest
from command import curate, done, refused

USAGE = [
    ["ingest", "IMAGES", "--split", "0.5", "0.5"],
    ["ingest", "IMAGES", "--split", "a", "b", "c"],
    ["ingest", "IMAGES", "--conflict-limit", "2"],
    ["ingest", "IMAGES", "--image-size", "7"],
    ["ingest", "IMAGES", "--image-size", "99999"],
    ["ingest", "IMAGES", "--batch-size", "0"],
    ["ingest", "IMAGES", "--workers", "-1"],
    ["ingest", "IMAGES", "--seed", "x"],
    ["ingest"],
    ["find", "--nonsense"],
    ["issues", "--limit", "0"],
    ["review", "--html", "--limit", "many"],
    ["decide"],
    ["decide", "--issue", "label", "--above", "0.5"],
    ["decide", "--issue", "label", "--above", "1.5", "--action", "keep"],
    ["decide", "--issue", "label", "--above", "0.5", "--action", "burn"],
    ["decide", "x.csv", "--issue", "label"],
    ["undo"],
    ["undo", "--last", "0"],
    ["undo", "--last", "1", "--id", "1"],
    ["apply", "--class-cap", "-1"],
    ["apply", "--how", "move"],
    ["diff", "one", "two"],
    ["retrain", "--preset", "huge"],
    ["retrain", "--epochs", "0"],
    ["retrain", "--learning-rate", "0"],
    ["retrain", "--seeds", "0"],
    ["frobnicate"],
]
REFUSED = {
    ("ingest", "IMAGES", "--split", "0.5", "0.5", "0.5"): "add up to 1",
    ("ingest", "IMAGES", "--split", "1.2", "-0.1", "-0.1"): "add up to 1",
    ("ingest", "IMAGES", "--split", "nan", "0.5", "0.5"): "add up to 1",
    ("ingest", "IMAGES", "--model", "resnet1"): "knows no model",
    ("ingest", "IMAGES", "--device", "toaster"): "no device",
    ("ingest", "IMAGES", "--device", "cuda:99"): "no device",
    ("ingest", "IMAGES", "--image-root", "IMAGES"): "is a folder, and an image root was given",
    ("ingest", "IMAGES", "--annotations", "absent.csv"): "can't read",
    ("ingest", "absent"): "there is no file or folder",
    ("issues", "--issue", "gremlins"): "there is no issue 'gremlins'",
    ("issues", "--out", "issues.docx"): "can't write '.docx'",
    ("review", "--html", "--issue", "gremlins"): "there is no issue 'gremlins'",
    ("check", "--max", "gremlins=0"): "there is no issue",
    ("decide", "--issue", "gremlins", "--above", "0.5", "--action", "keep"): "no finder has the issue",
    ("decide", "--issue", "label", "--above", "1", "--action", "keep"): "a threshold of 1",
    ("decide", "absent.csv"): "can't read absent.csv",
    ("decide", "/"): "can't read /",
    ("undo", "--id", "12345"): "there is no decision 12345",
    ("diff", "0", "99"): "there is no version 99",
    ("retrain", "--after", "99"): "there is no version 99",
    ("retrain", "--before", "99", "--after", "0"): "there is no version 99",
    ("retrain", "--after", "0", "--model", "resnet1"): "knows no model",
}


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_wrong_usage_is_told_by_exit_code_2(arguments, images):
    refused(*(images if word == "IMAGES" else word for word in arguments), code=2)


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_a_value_that_makes_no_sense_is_refused_before_any_work(arguments, images, workspace):
    begun = time.process_time()
    said = refused(*(images if word == "IMAGES" else word for word in arguments), "-w", workspace)
    assert REFUSED[arguments] in said
    assert time.process_time() - begun < 20
    done("issues", "-w", workspace)


@pytest.mark.parametrize("limit", ["leak", "leak=-1", "leak=nan", "leak=1%%", "=0"])
def test_a_limit_that_is_none_is_wrong_usage(limit, workspace):
    assert "is not a limit" in refused("check", "--max", limit, "-w", workspace, code=2)


def test_a_model_of_an_unreachable_hub_is_refused_in_seconds(workspace, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.invalid")
    begun = time.perf_counter()
    said = refused("embed", "--model", "resnet18", "-w", workspace)
    assert "can't be had" in said and "HF_HOME" in said and "--model tf_efficientnet_lite0" in said
    assert time.perf_counter() - begun < 30
    done("status", "-w", workspace)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("sample_id,issue,action\ncat/000.png,label,\n", "holds no verdict"),
        ("sample_id,issue\ncat/000.png,label\n", "has no column 'action'"),
        ("", "has no column"),
    ],
)
def test_a_file_of_verdicts_without_a_verdict_is_refused(content, said, workspace, tmp_path):
    (tmp_path / "verdicts.csv").write_text(content)
    assert said in refused("decide", tmp_path / "verdicts.csv", "-w", workspace)


def test_verdicts_that_make_no_sense_are_told_row_by_row_and_the_others_recorded(workspace, tmp_path):
    rows = [
        ("cat/000.png", "label", "keep", ""),
        ("cat/999.png", "label", "keep", ""),
        ("cat/001.png", "lable", "keep", ""),
        ("cat/001.png", "label", "burn", ""),
        ("cat/001.png", "label", "relabel", "gremlin"),
        ("cat/001.png", "label", "relabel", ""),
    ]
    pd.DataFrame(rows, columns=["sample_id", "issue", "action", "label"]).to_csv(tmp_path / "v.csv", index=False)
    said = done("decide", tmp_path / "v.csv", "-w", workspace)
    assert "1 decision(s) recorded" in said and said.count("not recorded") == 5
    only_bad = pd.DataFrame(rows[1:], columns=["sample_id", "issue", "action", "label"])
    only_bad.to_csv(tmp_path / "bad.csv", index=False)
    assert curate("decide", tmp_path / "bad.csv", "-w", workspace).exit_code == 1
