"""Double review: agreement between reviewers on the flags that both judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.decisions.ledger import Ledger
from curate.decisions.reviewers import reviewer_agreement, verdicts_by_reviewer


def verdict(sample_id: str, reviewer: str, action: str, label: str | None = None, **evidence: str) -> dict[str, object]:
    row = {"sample_id": sample_id, "issue": "label", "action": action, "reviewer": reviewer, "label": label}
    return {**row, "evidence": evidence}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def test_reviewers_agree_on_three_of_four_flags_that_both_judged(ledger: Ledger):
    ledger.add([verdict(s, "anna", "keep") for s in "abc"] + [verdict("d", "anna", "relabel", "cat")])
    ledger.add(
        [verdict(s, "bert", "keep") for s in "ab"] + [verdict("c", "bert", "drop"), verdict("e", "bert", "keep")]
    )
    ledger.add([verdict("d", "bert", "relabel", "cat")])
    (pair,) = reviewer_agreement(ledger.history())
    assert (pair["annotator_a"], pair["annotator_b"], pair["n_samples"]) == ("anna", "bert", 4)
    assert pair["agreement"] == 0.75
    assert pair["cohen_kappa"] == pytest.approx((0.75 - 7 / 16) / (1 - 7 / 16))  # chance: 3/4 * 2/4 + 1/4 * 1/4
    assert pair["agreement_low"] <= 0.75 <= pair["agreement_high"]


def test_a_relabel_to_another_class_is_another_verdict(ledger: Ledger):
    ledger.add([verdict("a", "anna", "relabel", "cat"), verdict("a", "bert", "relabel", "dog")])
    assert reviewer_agreement(ledger.history())[0]["agreement"] == 0.0


def test_the_last_word_of_each_counts_and_undone_bulk_and_unsure_do_not(ledger: Ledger):
    (first,) = ledger.add([verdict("a", "anna", "drop")])
    ledger.add([verdict("a", "anna", "keep"), verdict("a", "bert", "keep")])
    ledger.add([verdict("b", "anna", "unsure"), verdict("b", "bert", "drop", bulk="rule")])
    ids = ledger.add([verdict("c", "anna", "keep")])
    ledger.undo(ids, reviewer="anna")
    rows = verdicts_by_reviewer(ledger.history())
    assert rows.to_dict("records") == [
        {"sample_id": "a\nlabel", "annotator": "anna", "label": "keep"},
        {"sample_id": "a\nlabel", "annotator": "bert", "label": "keep"},
    ]


def test_verdicts_on_two_contents_of_one_name_are_not_about_the_same_flag(ledger: Ledger):
    ledger.add([{**verdict("a", "anna", "drop"), "sha256": "X"}, {**verdict("a", "bert", "keep"), "sha256": "Y"}])
    assert reviewer_agreement(ledger.history()) == []
    ledger.add([{**verdict("a", "bert", "drop"), "sha256": "X"}])
    assert reviewer_agreement(ledger.history())[0]["agreement"] == 1.0


def test_without_double_review_there_is_nothing_to_tell(ledger: Ledger):
    assert reviewer_agreement(ledger.history()) == []
    ledger.add([verdict("a", "anna", "keep"), verdict("b", "bert", "keep")])
    assert reviewer_agreement(ledger.history()) == []
