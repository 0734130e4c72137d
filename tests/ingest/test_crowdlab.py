from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from curate.errors import AnnotationError, NotEnoughData
from curate.ingest.annotators import crowdlab, majority
from curate.schema import validate

CLASSES = ["ant", "bee", "cat"]


@pytest.fixture(scope="module")
def crowd():
    """300 samples, two fair people and a guesser, and a model that is right on 85%: votes, pred_probs, truth."""
    rng = np.random.default_rng(0)
    n, c = 300, len(CLASSES)
    truth = rng.integers(0, c, n)
    wrong = np.array([0.2, 0.25, 0.9])[:, None]
    said = np.where(rng.random((3, n)) < wrong, rng.integers(0, c, (3, n)), truth)
    votes = pd.DataFrame(
        {
            "sample_id": np.tile([f"{i:03d}" for i in range(n)], 3),
            "annotator": np.repeat(["ann", "bob", "zed"], n),
            "label": np.array(CLASSES)[said.ravel()],
        }
    ).astype("str")
    guess = np.where(rng.random(n) < 0.15, rng.integers(0, c, n), truth)
    pred_probs = np.full((n, c), 0.1)
    pred_probs[np.arange(n), guess] = 0.8
    return votes, pred_probs, np.array(CLASSES)[truth]


def ids(n):
    return [f"{i:03d}" for i in range(n)]


def test_people_and_model_together_beat_the_majority(crowd):
    votes, pred_probs, truth = crowd
    found, quality = crowdlab(votes, pred_probs, CLASSES, ids(300))
    validate("consensus", found)
    assert (found["method"] == "crowdlab").all()
    assert (found["label"] == truth).mean() > (majority(votes)["label"] == truth).mean() + 0.02
    assert quality["annotator"].tolist()[0] == "zed"
    assert quality["n_annotations"].tolist() == [300] * 3
    assert quality[["quality", "agreement_with_consensus"]].stack().between(0, 1).all()


def test_two_people_are_enough(crowd):
    votes, pred_probs, truth = crowd
    found, quality = crowdlab(votes[votes["annotator"] != "zed"], pred_probs, CLASSES, ids(300))
    assert (found["label"] == truth).mean() > 0.85 and len(quality) == 2


def test_neither_order_nor_the_global_random_state_change_anything(crowd):
    votes, pred_probs, _ = crowd
    flat = np.full_like(pred_probs, 1 / 3)  # ties everywhere
    shuffle = np.random.default_rng(1).permutation(300)
    np.random.seed(5)  # noqa: NPY002
    one = crowdlab(votes, flat, CLASSES, ids(300))
    after = np.random.random()  # noqa: NPY002
    two = crowdlab(votes.sample(frac=1, random_state=2), flat[shuffle], CLASSES, np.array(ids(300))[shuffle])
    pd.testing.assert_frame_equal(one[0], two[0])
    pd.testing.assert_frame_equal(one[1], two[1])
    np.random.seed(5)  # noqa: NPY002
    assert np.random.random() == after  # noqa: NPY002


def test_samples_without_a_prediction_keep_their_majority(crowd):
    votes, pred_probs, _ = crowd
    found, _ = crowdlab(votes, pred_probs[:200], CLASSES, ids(200))
    assert found["method"].tolist() == ["crowdlab"] * 200 + ["majority"] * 100
    pd.testing.assert_frame_equal(found[200:], majority(votes)[200:])


def test_a_class_that_the_model_lacks_can_still_win(crowd):
    votes, pred_probs, _ = crowd
    votes = votes.assign(label=votes["label"].where(votes["sample_id"] != "000", "yak"))
    pred_probs = np.vstack([np.full((1, 3), 1 / 3), pred_probs[1:]])
    found, _ = crowdlab(votes, pred_probs, CLASSES, ids(300))
    assert found["label"].iloc[0] == "yak"


def test_the_arbiter_rules_and_is_not_judged(crowd):
    votes, pred_probs, _ = crowd
    ruling = pd.DataFrame({"sample_id": ["000"], "annotator": ["arbiter"], "label": ["yak"]}, dtype="str")
    found, quality = crowdlab(pd.concat([votes, ruling]), pred_probs, CLASSES, ids(300))
    assert found["label"].iloc[0] == "yak" and found["consensus_score"].iloc[0] == 1
    assert "arbiter" not in quality["annotator"].tolist()


def test_one_class_is_no_trouble(said):
    found, _ = crowdlab(said("1 ann cat", "1 bob cat"), np.ones((1, 1)), ["cat"], ["1"])
    assert found["label"].tolist() == ["cat"]


def test_complete_disagreement_is_logged_and_no_warning(said, caplog):
    votes = said("1 ann cat", "1 bob dog", "2 ann dog", "2 bob cat")
    found, _ = crowdlab(votes, np.array([[0.9, 0.1], [0.6, 0.4]]), ["cat", "dog"], ["1", "2"])
    assert found["label"].tolist() == ["cat", "cat"]
    assert "do not agree on any example" in caplog.text


@pytest.mark.parametrize("votes", [["1 ann cat", "2 bob dog"], ["1 ann cat", "2 ann dog"], ["3 ann cat", "3 bob cat"]])
def test_without_a_shared_and_predicted_sample_there_is_an_error(said, votes):
    with pytest.raises(NotEnoughData, match="labelled by two people"):
        crowdlab(said(*votes), np.full((2, 2), 0.5), ["cat", "dog"], ["1", "2"])


def test_shapes_that_differ_are_an_error(crowd):
    with pytest.raises(AnnotationError, match=r"shape \(300, 3\)"):
        crowdlab(crowd[0], crowd[1], CLASSES[:2], ids(300))


def test_more_people_than_memory_holds_are_an_error(crowd, monkeypatch):
    monkeypatch.setattr("curate.ingest.crowdlab.MOST_CELLS", 100)
    with pytest.raises(AnnotationError, match="300 images and 3 people"):
        crowdlab(crowd[0], crowd[1], CLASSES, ids(300))
