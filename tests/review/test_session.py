"""Verdicts at the desk, without FiftyOne: what each key means, and that the ledger has it first."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from small_tables import flag_table, make_pairs, make_samples

from curate.decisions.ledger import Ledger
from curate.errors import ReviewError
from curate.review.app.fields import sample_rows
from curate.review.session import CONFLICT, ReviewSession, Tables


@pytest.fixture
def tables() -> Tables:
    samples = make_samples(
        {
            "a.png": {"label": "cat"},
            "b.png": {"label": "dog"},
            "copy1.png": {"label": "cat", "sha256": "same", "split": "test"},
            "copy2.png": {"label": "dog", "sha256": "same"},
            "copy3.png": {"label": "cat", "sha256": "same"},
            "fine.png": {"label": "dog"},
        }
    )
    copies = {"group_id": "g", "nearest_id": "copy1.png"}
    return Tables(
        samples=samples,
        issues={
            "label": flag_table("label", {"a.png": {"p": 0.9, "suggested_label": "dog"}}),
            "exact_duplicate": flag_table("exact_duplicate", {f"copy{n}.png": {"p": 1.0, **copies} for n in (1, 2, 3)}),
            "outlier": flag_table("outlier", {"a.png": {"p": 0.6}, "b.png": {"p": 0.8}}),
        },
        pairs=make_pairs(("copy1.png", "copy2.png", 1.0, "exact"), ("copy1.png", "copy3.png", 1.0, "exact")),
        annotations=pd.DataFrame(
            [("b.png", "x", "dog"), ("b.png", "y", "cat"), ("a.png", "x", "cat"), ("a.png", "y", "cat")],
            columns=["sample_id", "annotator", "label"],
        ),
        consensus=pd.DataFrame(
            {"sample_id": ["a.png", "b.png"], "is_conflict": [False, True], "consensus_score": [0.9, 0.5]}
        ),
    )


@pytest.fixture
def session(tables: Tables, tmp_path: Path) -> ReviewSession:
    return ReviewSession(tables, Ledger(tmp_path / "ledger.sqlite"), "anna")


def said(session: ReviewSession) -> set[tuple[str, str, str, str | None]]:
    rows = session.ledger.current()[["sample_id", "issue", "action", "label"]].astype(object)
    return set(rows.where(rows.notna(), None).itertuples(index=False, name=None))


def test_accepting_a_label_issue_relabels_as_suggested(session: ReviewSession):
    assert session.accept(["a.png"], ("label",)) == ["a.png"]
    assert said(session) == {("a.png", "label", "relabel", "dog")}
    assert session.label_of("a.png") == "dog"


def test_the_view_says_which_of_several_questions_is_answered(session: ReviewSession):
    session.decide(["a.png"], "drop", issues=("outlier",))
    assert said(session) == {("a.png", "outlier", "drop", None)}


def test_accepting_one_copy_settles_its_whole_group_in_one_entry(session: ReviewSession):
    session.accept(["copy2.png"])
    assert {row[:3] for row in said(session)} == {
        ("copy1.png", "exact_duplicate", "keep"),
        ("copy2.png", "exact_duplicate", "drop"),
        ("copy3.png", "exact_duplicate", "drop"),
    }
    assert sorted(session.undo()) == ["copy1.png", "copy2.png", "copy3.png"]
    assert said(session) == set()


def test_another_copy_than_the_proposed_one_can_be_kept(session: ReviewSession):
    session.keep_one("copy3.png")
    kept = {sample for sample, _, action, _ in said(session) if action == "keep"}
    assert kept == {"copy3.png"} and len(said(session)) == 3


def test_all_copies_can_be_kept(session: ReviewSession):
    session.keep_all("copy3.png")
    assert {action for _, _, action, _ in said(session)} == {"keep"} and len(said(session)) == 3


def test_copies_with_different_labels_are_put_off_or_relabelled_alike(session: ReviewSession):
    session.labels_conflict("copy1.png")
    assert {action for _, _, action, _ in said(session)} == {"unsure"}
    assert set(session.ledger.current()["reason"]) == {CONFLICT}
    session.undo()
    session.labels_conflict("copy1.png", "cat")
    assert said(session) == {("copy2.png", "label", "relabel", "cat")}


def test_a_third_annotator_settles_a_conflict_and_the_votes_are_kept_as_evidence(session: ReviewSession):
    assert session.conflicts() == ["b.png"]
    session.settle("b.png", "cat")
    assert said(session) == {("b.png", "label", "relabel", "cat")}
    assert '"votes": ["dog", "cat"]' in session.ledger.current()["evidence"].iloc[0]
    assert session.conflicts() == []


def test_settling_on_the_label_in_force_keeps_it(session: ReviewSession):
    session.settle("b.png", "dog")
    assert said(session) == {("b.png", "label", "keep", None)}


@pytest.mark.parametrize(
    ("verdict", "complaint"),
    [
        (lambda session: session.accept(["a.png", "fine.png"]), "nothing is proposed for fine.png"),
        (lambda session: session.decide(["a.png"], "relabel", label="cow"), "there is no class 'cow'"),
        (lambda session: session.decide(["gone.png"], "keep"), "there is no sample gone.png"),
        (lambda session: session.keep_one("a.png"), "no open duplicate group"),
        (lambda session: session.settle("b.png", "cow"), "there is no class 'cow'"),
    ],
)
def test_what_makes_no_sense_is_told_and_nothing_is_recorded(session: ReviewSession, verdict, complaint: str):
    with pytest.raises(ReviewError, match=complaint):
        verdict(session)
    assert said(session) == set()


def test_undo_takes_back_the_last_entry_of_this_reviewer_alone(session: ReviewSession, tables: Tables):
    session.decide(["a.png"], "keep", issues=("label",))
    bert = ReviewSession(tables, session.ledger, "bert")
    bert.decide(["b.png"], "drop")
    assert session.undo() == ["a.png"]
    assert session.undo() == []
    assert said(session) == {("b.png", "outlier", "drop", None)}


def test_a_double_review_asks_again_about_what_others_decided(session: ReviewSession, tables: Tables):
    session.accept(["a.png"], ("label",))
    usual, double = (
        ReviewSession(tables, session.ledger, "bert"),
        ReviewSession(tables, session.ledger, "bert", double=True),
    )
    assert usual.question("a.png", ("label",))["issue"] == "outlier"
    assert double.question("a.png", ("label",))["issue"] == "label"


def test_the_next_batch_is_the_head_of_the_queue_after_what_was_decided(session: ReviewSession):
    first = session.batch(1)
    session.accept(first)
    session.refresh()
    assert not set(first) & set(session.batch(1))
    assert session.forecast().verdicts


def test_the_rows_for_the_app_tell_the_question_the_verdict_and_the_label(session: ReviewSession):
    session.decide(["a.png"], "keep", issues=("label",))
    rows = sample_rows(session).set_index("sample_id")
    assert list(rows.index) == sorted(rows.index)
    assert rows.at["copy2.png", "duplicate_group"] == rows.at["copy1.png", "duplicate_group"]
    assert rows.at["a.png", "decision"] == "keep" and rows.at["a.png", "reviewer"] == "anna"
    assert rows.at["a.png", "suggested_label"] == "dog"
    assert rows.at["b.png", "annotations"] == "x: dog · y: cat"
    assert rows.at["b.png", "conflict_place"] == 1
    assert rows["label_place"].notna().sum() == 1
    assert pd.isna(rows.at["fine.png", "place"])
