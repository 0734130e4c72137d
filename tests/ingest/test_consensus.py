from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.ingest import consensus as module
from curate.ingest.annotations import read_annotations
from curate.ingest.consensus import arbitration_queue, majority, without_overruled
from curate.schema import validate


def labels(votes):
    return majority(votes).set_index("sample_id")["label"].to_dict()


def test_most_votes_win_and_the_table_says_by_how_many(said):
    votes = said("1 ann cat", "1 bob cat", "1 eve dog", "2 ann dog", "2 bob dog", "3 eve cat")
    table = validate("consensus", majority(votes))
    assert table["sample_id"].tolist() == ["1", "2", "3"]
    assert table["label"].tolist() == ["cat", "dog", "cat"]
    assert table["n_annotations"].tolist() == [3, 2, 1]
    assert table["agreement"].tolist() == pytest.approx([2 / 3, 1, 1])
    assert table["is_conflict"].tolist() == [True, False, False]
    assert (table["method"] == "majority").all()


def test_a_tie_goes_to_the_class_that_is_confused_for_the_other(said):
    # three times two of three say cat where the third says dog; the reverse never happens: of a cat and a
    # dog, the cat is likelier. With the names swapped, the dog is
    for one, other in (("cat", "dog"), ("dog", "cat")):
        votes = [f"{i} {who} {label}" for i in range(3) for who, label in zip("abe", (one, one, other), strict=True)]
        votes += [f"{i} {who} {label}" for i in range(3, 9) for who in "abe" for label in [(one, other)[i % 2]]]
        assert labels(said(*votes, "9 a dog", "9 b cat"))["9"] == one


def test_a_tie_goes_to_the_person_whom_others_confirm(said):
    rng = np.random.default_rng(0)
    truth = rng.choice(["ant", "bee", "cat"], 60)
    guess = rng.choice(["ant", "bee", "cat"], 60)  # zed guesses
    votes = [f"{i:02d} {who} {truth[i]}" for i in range(60) for who in ("ann", "bob")]
    votes += [f"{i:02d} zed {guess[i]}" for i in range(60)]
    ties = [f"x{a}{b} {who} {label}" for a in "abc" for b in "abc" if a != b for who, label in (("ann", a), ("zed", b))]
    names = {"a": "ant", "b": "bee", "c": "cat"}
    ties = [" ".join([*tie.split()[:2], names[tie.split()[2]]]) for tie in ties]
    found = labels(said(*votes, *ties))
    assert all(found[key] == names[key[1]] for key in found if key[0] == "x")


def test_ties_that_nothing_decides_favour_no_class(said):
    votes = [f"{i} {who} {label}" for i in range(400) for who, label in (("ann", "ant"), ("bob", "zoo"))]
    share = np.mean([label == "ant" for label in labels(said(*votes)).values()])
    assert 0.4 < share < 0.6


def test_neither_order_nor_blocks_change_anything(said, monkeypatch):
    rng = np.random.default_rng(0)
    votes = said(*(f"{i} p{a} c{rng.integers(4)}" for i in range(200) for a in range(4)))
    before = majority(votes)
    pd.testing.assert_frame_equal(before, majority(votes.sample(frac=1, random_state=1)))
    monkeypatch.setattr(module, "BLOCK", 40)
    pd.testing.assert_frame_equal(before, majority(votes))


def test_the_score_is_about_the_share_of_right_labels():
    rng = np.random.default_rng(0)
    n, classes = 4000, 5
    truth = rng.integers(0, classes, n)
    said = np.where(rng.random((3, n)) < 0.25, rng.integers(0, classes, (3, n)), truth)
    votes = pd.DataFrame(
        {
            "sample_id": np.tile([f"{i:05d}" for i in range(n)], 3),
            "annotator": np.repeat(["a", "b", "c"], n),
            "label": [f"c{label}" for label in said.ravel()],
        }
    ).astype("str")
    table = majority(votes)
    right = table["label"].to_numpy() == np.array([f"c{label}" for label in truth])
    assert table["consensus_score"].mean() == pytest.approx(right.mean(), abs=0.04)
    order = table["consensus_score"].rank()
    assert order[right].mean() > order[~right].mean() + n / 4


def test_one_person_alone_is_believed(said):
    table = majority(said("1 ann cat", "2 ann dog"))
    assert table["label"].tolist() == ["cat", "dog"] and not table["is_conflict"].any()


def test_one_class_alone_is_certain(said):
    assert majority(said("1 ann cat", "1 bob cat"))["consensus_score"].tolist() == [1]


def test_the_arbiter_has_the_last_word_even_alone_or_against_all(said):
    votes = said("1 ann cat", "1 bob cat", "1 arbiter dog", "2 arbiter bee")
    table = validate("consensus", majority(votes))
    assert table["label"].tolist() == ["dog", "bee"] and table["consensus_score"].tolist() == [1, 1]
    assert table["agreement"].tolist() == pytest.approx([1 / 3, 1])


def test_what_an_arbiter_overruled_counts_no_more(said):
    left = without_overruled(said("1 ann cat", "1 bob cat", "1 arbiter dog", "2 ann bee", "2 bob cat"))
    assert left[["sample_id", "annotator"]].values.tolist() == [["1", "arbiter"], ["2", "ann"], ["2", "bob"]]


def test_the_queue_holds_conflicts_open_ones_first_and_the_least_certain_first_of_all(said, sources):
    votes = said(
        "1 ann cat", "1 bob dog", "2 ann cat", "2 bob cat", "3 ann dog", "3 bob bee", "4 ann cat", "4 bob dog",
        "4 arbiter cat", "5 ann cat", "5 bob dog", "6 ann bee", "6 bob cat",
    )  # fmt: skip
    table = majority(votes)
    queue = arbitration_queue(votes, table, sources("1", "2", "3", "4", "5"))  # 6 is not in the source
    assert sorted(queue["image"][:3]) == ["1", "3", "5"] and queue["image"].iloc[3] == "4"
    assert queue["arbiter"].isna().tolist() == [True] * 3 + [False]
    scores = table.set_index("sample_id")["consensus_score"][queue["image"]]
    assert scores[:3].is_monotonic_increasing
    row = queue.set_index("image").loc["3"]
    assert (row["ann"], row["bob"], row["path"]) == ("dog", "bee", "/data/3")
    assert row["suggested"] in ("dog", "bee")


def test_the_queue_of_no_conflicts_is_empty(said, sources):
    votes = said("1 ann cat", "1 bob cat")
    queue = arbitration_queue(votes, majority(votes), sources("1"))
    assert queue.empty and {"image", "suggested", "arbiter"} <= set(queue.columns)


def test_on_the_bench_the_majority_beats_a_coin_at_ties(bench):
    folder = bench / "cifar10n-dev"
    truth = pd.read_csv(folder / "truth_labels.csv", dtype="str").rename(columns={"image": "sample_id"})
    images = truth[["sample_id"]].assign(path=truth["sample_id"]).astype("str")
    votes, problems = read_annotations(folder / "annotations.csv", images)
    assert problems.empty
    truth = truth.set_index("sample_id")["label"]
    for people, coin in ((2, 0.822), (3, 0.911)):
        table = majority(votes[votes["annotator"] <= f"annotator_{people}"])
        right = (table["label"].to_numpy() == truth[table["sample_id"]].to_numpy()).mean()
        assert right > coin, right
