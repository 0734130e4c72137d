from __future__ import annotations

import json
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from curate.ingest.annotators import agreement


def simulate(n, people, classes=10, wrong=0.2, seed=0):
    """Annotations of n samples by everyone; each is wrong with this probability."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    said = np.where(rng.random((people, n)) < wrong, rng.integers(0, classes, (people, n)), truth)
    return pd.DataFrame(
        {
            "sample_id": pd.Series(np.tile([f"{i}.jpg" for i in range(n)], people), dtype="str"),
            "annotator": pd.Series(np.repeat([f"p{a:03d}" for a in range(people)], n), dtype="str"),
            "label": pd.Series([f"c{label}" for label in said.ravel()], dtype="str"),
        }
    )


def test_the_report_by_hand(said):
    votes = said("1 ann cat", "1 bob cat", "2 ann cat", "2 bob dog", "3 ann dog", "4 eve cat", "4 ann cat")
    found = agreement(votes, bootstraps=50)
    assert (found.n_samples, found.n_shared) == (4, 3)
    assert found.conflict_rate == pytest.approx(1 / 3)
    pairs = found.per_pair.set_index(["annotator_a", "annotator_b"])
    assert pairs["n_samples"].to_dict() == {("ann", "bob"): 2, ("ann", "eve"): 1}
    assert pairs["agreement"].tolist() == [0.5, 1.0] and pairs["conflict_rate"].tolist() == [0.5, 0.0]
    assert pairs["cohen_kappa"].tolist() == pytest.approx([0, np.nan], nan_ok=True)
    people = found.per_annotator.set_index("annotator")
    assert people["n_annotations"].to_dict() == {"ann": 4, "bob": 2, "eve": 1}
    assert people["n_pairs"].to_dict() == {"ann": 3, "bob": 2, "eve": 1}
    assert people["agreement"].to_dict() == pytest.approx({"ann": 2 / 3, "bob": 1 / 2, "eve": 1})
    assert found.confusion.to_numpy().tolist() == [
        ["ann", "cat", "cat", 2],
        ["ann", "cat", "dog", 1],
        ["bob", "cat", "cat", 1],
        ["bob", "dog", "cat", 1],
        ["eve", "cat", "cat", 1],
    ]
    assert found.per_class["n_annotations"].tolist() == [5, 2]


def test_every_pair_has_scikit_learns_kappa():
    votes = simulate(300, 4)
    wide = votes.pivot(index="sample_id", columns="annotator", values="label")
    for row in agreement(votes, bootstraps=0).per_pair.itertuples():
        assert row.cohen_kappa == pytest.approx(cohen_kappa_score(wide[row.annotator_a], wide[row.annotator_b]))


def test_about_95_in_100_intervals_hold_the_truth():
    # two people, each wrong with 0.2 x 9/10: they agree on 0.82^2 + 0.18^2 / 9
    found = [agreement(simulate(300, 2, seed=seed), bootstraps=200, seed=seed) for seed in range(20)]
    rates = pd.concat([report.overall.set_index("statistic").loc[["agreement"]] for report in found])
    pairs = pd.concat([report.per_pair for report in found])
    assert rates["value"].mean() == pytest.approx(0.676, abs=0.02)
    assert ((rates["low"] < 0.676) & (rates["high"] > 0.676)).mean() > 0.8
    assert ((pairs["agreement_low"] < 0.676) & (pairs["agreement_high"] > 0.676)).mean() > 0.8
    assert (pairs["cohen_kappa_low"] < pairs["cohen_kappa"]).all()
    assert (pairs["conflict_rate"] < pairs["conflict_rate_high"]).all()


def test_the_order_of_rows_changes_nothing():
    votes = simulate(200, 3)
    one = agreement(votes, bootstraps=100).to_dict()
    assert one == agreement(votes.sample(frac=1, random_state=1), bootstraps=100).to_dict()
    assert one != agreement(votes, bootstraps=100, seed=1).to_dict()


def test_the_arbiter_is_left_out(said):
    votes = said("1 ann cat", "1 bob dog", "2 ann cat", "2 bob cat")
    with_arbiter = pd.concat([votes, said("1 arbiter cat")])
    assert agreement(votes, bootstraps=0).to_dict() == agreement(with_arbiter, bootstraps=0).to_dict()


@pytest.mark.parametrize("votes", [["1 ann cat", "2 bob dog"], ["1 arbiter cat"]])
def test_nothing_shared_is_a_report_that_says_so(said, votes):
    found = agreement(said(*votes), bootstraps=10)
    assert found.n_shared == 0 and np.isnan(found.conflict_rate)
    assert found.to_dict()["conflict_rate"] is None
    assert "agreement can't be told" in found.to_text()
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_report_is_json_and_text():
    found = agreement(simulate(50, 3), bootstraps=20)
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [row["statistic"] for row in again["overall"]] == [
        "agreement",
        "conflict_rate",
        "fleiss_kappa",
        "krippendorff_alpha",
    ]
    assert again["conflict_rate"] == found.conflict_rate
    assert "50 images have labels, 50 of them by two people or more" in found.to_text()
    assert "cohen_kappa of p000 and p001" in found.to_text()


def test_ten_thousand_images_by_three_people_take_seconds():
    votes = simulate(10_000, 3, classes=100)  # some 6,000 patterns
    before = time.process_time()
    agreement(votes, bootstraps=1000)
    assert time.process_time() - before < 10


def test_hundreds_of_people_are_no_trouble():
    votes = simulate(3000, 1)
    rng = np.random.default_rng(0)
    crowd = pd.concat([votes] * 3)
    crowd["annotator"] = [f"w{rng.integers(200) + 300 * turn}" for turn in range(3) for _ in range(3000)]
    found = agreement(crowd.drop_duplicates(["sample_id", "annotator"]), bootstraps=100)
    assert len(found.per_annotator) == 600
    assert found.per_pair["cohen_kappa_low"].notna().sum() <= 200
