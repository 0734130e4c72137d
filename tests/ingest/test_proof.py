from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from curate.ingest.splits import class_balance, split_proof


def table(*rows):
    """`table("cat train", "dog -")`: label and split of each sample, - for null."""
    cells = [[None if cell == "-" else cell for cell in row.split()] for row in rows]
    return pd.DataFrame(
        {
            "sample_id": [str(i) for i in range(len(rows))],
            "label": pd.Series([c[0] for c in cells], dtype="str"),
            "split": pd.Series([c[1] for c in cells], dtype="str"),
        }
    )


def test_the_proof_by_hand():
    samples = table("cat train", "cat train", "dog train", "dog test", "- test", "cat -")
    proof = split_proof(samples, np.arange(6))
    assert proof.counts.to_dict(orient="index") == {
        "cat": {"train": 2, "test": 0, "unset": 1},
        "dog": {"train": 1, "test": 1, "unset": 0},
    }
    rows = proof.per_split.set_index("split")
    assert rows["n"].to_dict() == {"train": 3, "test": 2}
    assert rows["share"].to_dict() == {"train": 0.5, "test": pytest.approx(1 / 3)}
    # cats are 3 of 5 labelled samples, 2 of 3 in train, 0 of 1 in test
    assert rows["largest_deviation"].to_dict() == pytest.approx({"train": 2 / 3 - 3 / 5, "test": 3 / 5})
    assert rows["n_absent"].to_dict() == {"train": 0, "test": 1}
    assert proof.n_straddling == 0
    assert proof.to_text().splitlines() == [
        "train         3 images,  50.0%; largest class deviation 6.67 points (cat)",
        "test          2 images,  33.3%; largest class deviation 60.00 points (cat); without cat",
        "no group is in more than one split",
    ]


def test_groups_that_straddle_are_counted_and_named():
    samples = table("cat train", "cat test", "cat train", "dog val", "dog -")
    proof = split_proof(samples, np.array([7, 7, 8, 8, 9]))
    assert proof.straddling.to_numpy().tolist() == [[7, 2, "test, train"], [8, 2, "train, val"]]
    assert proof.to_text().endswith(
        "2 groups are in more than one split: group 7 (test, train, 2 images), group 8 (train, val, 2 images)\n"
        "  to see the pictures: curate issues --issue leak"
    )


def test_the_proof_is_json():
    proof = split_proof(table("cat train", "- test"), np.arange(2))
    again = json.loads(json.dumps(proof.to_dict(), allow_nan=False))
    assert again["counts"] == [{"label": "cat", "train": 1, "test": 0}]
    assert again["per_split"][1]["largest_deviation"] is None


def test_unlabelled_samples_alone_have_a_proof():
    proof = split_proof(table("- train", "- test"), np.arange(2))
    assert proof.counts.empty and "train         1 images,  50.0%" in proof.to_text()


def test_classes_far_below_the_largest_are_named_with_what_to_do():
    labels = pd.Series(["ant"] * 10 + ["bee"] * 7 + ["cat"] * 6 + [None], dtype="str")
    found = class_balance(labels, tolerance=0.3)
    assert found["label"].tolist() == ["ant", "bee", "cat"] and found["n"].tolist() == [10, 7, 6]
    assert found["ratio"].tolist() == pytest.approx([1, 0.7, 0.6])
    assert found["is_small"].tolist() == [False, False, True]  # 30% less is still within the rule
    assert found["advice"].tolist()[:2] == ["", ""]
    assert found["advice"].iloc[2].startswith("add 1 more to come within the limit; until then weight")


def test_one_class_and_no_class_are_balanced():
    assert not class_balance(pd.Series(["ant"] * 3), tolerance=0.3)["is_small"].any()
    assert class_balance(pd.Series([None], dtype="str"), tolerance=0.3).empty
