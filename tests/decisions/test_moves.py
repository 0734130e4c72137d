"""Decisions follow their pictures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tables import make_decisions, make_pairs, make_samples, sha

from curate.artifacts import ANSWERS
from curate.decisions.ledger import Ledger
from curate.decisions.moves import reconcile
from curate.schema import empty, validate
from curate.verbs.app import _write_answers
from curate.workspace import Workspace


def where(decisions: pd.DataFrame) -> dict[tuple[str, str], str]:
    return {(row.sample_id, row.issue): row.action for row in decisions.itertuples()}


def test_a_decision_stays_where_its_file_stayed() -> None:
    samples = make_samples(["a", "b"])
    reconciled = reconcile(make_decisions(samples, ("a", "label", "keep")), samples)
    assert where(reconciled.decisions) == {("a", "label"): "keep"}
    assert (reconciled.moved, len(reconciled.stale)) == (0, 0)


def test_no_decisions_and_no_samples_are_no_trouble() -> None:
    samples = make_samples(["a"])
    reconciled = reconcile(empty("decisions"), samples)
    assert reconciled.decisions.empty and reconciled.stale.empty
    validate("decisions", reconciled.decisions)
    decisions = make_decisions(samples, ("a", "label", "keep"))
    assert reconcile(decisions, samples.iloc[:0]).stale["why"].tolist() == ["the file is gone"]


def test_a_moved_file_keeps_its_decisions() -> None:
    before = make_samples({"old/x.jpg": {"sha256": sha("x")}, "b": {}})
    after = make_samples({"new/x.jpg": {"sha256": sha("x")}, "b": {}})
    decisions = make_decisions(before, ("old/x.jpg", "label", "relabel", "dog"), ("old/x.jpg", "outlier", "keep"))
    reconciled = reconcile(decisions, after)
    assert where(reconciled.decisions) == {("new/x.jpg", "label"): "relabel", ("new/x.jpg", "outlier"): "keep"}
    assert reconciled.moved == 2
    validate("decisions", reconciled.decisions)


def test_two_files_that_swapped_names_swap_their_decisions() -> None:
    before = make_samples({"a": {"sha256": sha("1")}, "b": {"sha256": sha("2")}})
    after = make_samples({"a": {"sha256": sha("2")}, "b": {"sha256": sha("1")}})
    decisions = make_decisions(before, ("a", "label", "keep"), ("b", "label", "drop"))
    assert where(reconcile(decisions, after).decisions) == {("b", "label"): "keep", ("a", "label"): "drop"}


def test_a_file_with_new_content_loses_its_decision_until_the_content_is_back() -> None:
    before = make_samples(["a"])
    decisions = make_decisions(before, ("a", "label", "drop"))
    changed = make_samples({"a": {"sha256": sha("other")}})
    reconciled = reconcile(decisions, changed)
    assert reconciled.decisions.empty
    assert reconciled.stale["why"].tolist() == ["the content of the file has changed"]
    assert len(reconcile(decisions, before).decisions) == 1


def test_a_renamed_picture_keeps_its_decision_when_its_old_name_is_decided_on_again(tmp_path: Path) -> None:
    now = make_samples({"a": {"sha256": "Y"}, "b": {"sha256": "X"}})
    verdict = {"issue": "label", "reviewer": "ann"}
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.add([{"sample_id": "a", "sha256": "X", "action": "relabel", "label": "dog", **verdict}])
        ledger.add([{"sample_id": "a", "sha256": "Y", "action": "keep", **verdict}])
        assert where(reconcile(ledger.current(), now).decisions) == {
            ("b", "label"): "relabel",
            ("a", "label"): "keep",
        }
        reconciled = reconcile(ledger.current(), now[now["sample_id"].eq("a")])  # changed in place, not renamed
        assert where(reconciled.decisions) == {("a", "label"): "keep"}
        assert reconciled.stale["why"].tolist() == ["the content of the file has changed"]


def test_an_answer_to_annotators_follows_its_picture(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "ws")
    workspace.write("samples", make_samples({"a": {"sha256": "Y"}, "b": {"sha256": "X"}}))
    answer = {"sample_id": "a", "sha256": "X", "issue": "label", "action": "relabel", "label": "dog", "reviewer": "ann"}
    with Ledger(workspace.ledger) as ledger:
        ledger.add([{**answer, "evidence": {"votes": ["cat", "dog"]}}])
        _write_answers(workspace, ledger)
    assert workspace.read(ANSWERS)[["image", "label"]].to_numpy().tolist() == [["b", "dog"]]


def test_a_file_that_can_not_be_read_now_is_told_apart_from_a_changed_one() -> None:
    before = make_samples(["a"])
    broken = make_samples({"a": {"sha256": None, "status": "truncated"}})
    stale = reconcile(make_decisions(before, ("a", "label", "drop")), broken).stale
    assert stale["why"].tolist() == ["the file can't be read now"]


def test_a_decision_without_a_hash_stands_by_its_name_alone() -> None:
    samples = make_samples({"a": {"sha256": None, "status": "truncated"}})
    decisions = make_decisions(samples, ("a", "outlier", "drop"))
    assert decisions["sha256"].isna().all()
    assert len(reconcile(decisions, make_samples(["a"])).decisions) == 1
    assert reconcile(decisions, make_samples(["b"])).stale["why"].tolist() == ["the file is gone"]


def test_identical_files_that_moved_together_are_matched_by_name_and_one_to_one() -> None:
    same = {"sha256": sha("same")}
    before = make_samples({"x/1.jpg": same, "x/2.jpg": same})
    after = make_samples({"y/2.jpg": same, "y/1.jpg": same})
    decisions = make_decisions(before, ("x/1.jpg", "exact_duplicate", "drop"), ("x/2.jpg", "exact_duplicate", "keep"))
    assert where(reconcile(decisions, after).decisions) == {
        ("y/1.jpg", "exact_duplicate"): "drop",
        ("y/2.jpg", "exact_duplicate"): "keep",
    }


def test_a_copy_that_was_judged_itself_takes_no_other_judgement_of_that() -> None:
    same = {"sha256": sha("same")}
    before = make_samples({"a": same, "b": same})
    decisions = make_decisions(before, ("a", "label", "drop"), ("b", "label", "keep"), ("a", "outlier", "drop"))
    reconciled = reconcile(decisions, make_samples({"b": same}))
    assert where(reconciled.decisions) == {("b", "label"): "keep", ("b", "outlier"): "drop"}


def test_a_renamed_file_keeps_its_decisions_when_it_is_decided_on_again() -> None:
    same = {"sha256": sha("same")}
    first = make_decisions(make_samples({"a": same}), ("a", "label", "drop"))
    renamed = make_samples({"b": same})
    then = make_decisions(renamed, ("b", "outlier", "keep")).assign(decision_id=99)
    reconciled = reconcile(pd.concat([first, then], ignore_index=True), renamed)
    assert where(reconciled.decisions) == {("b", "label"): "drop", ("b", "outlier"): "keep"}


def test_the_drop_of_a_copy_never_moves_to_the_last_copy() -> None:
    same = {"sha256": sha("same")}
    before = make_samples({"a": same, "b": same})
    decisions = make_decisions(before, ("a", "exact_duplicate", "drop"))
    after_the_user_deleted_a = reconcile(decisions, make_samples({"b": same}))
    assert after_the_user_deleted_a.decisions.empty
    assert after_the_user_deleted_a.stale["why"].tolist() == ["it would drop the last copy"]
    after_the_user_moved_a = reconcile(decisions, make_samples({"b": same, "c/a": same}))
    assert where(after_the_user_moved_a.decisions) == {("c/a", "exact_duplicate"): "drop"}


def test_the_drop_of_a_copy_is_stale_where_the_other_was_deleted() -> None:
    same = {"sha256": sha("same")}
    before = make_samples({"a": same, "b": same, "c": same})
    accepted = make_decisions(
        before, ("a", "exact_duplicate", "drop"), ("b", "exact_duplicate", "drop"), ("c", "exact_duplicate", "keep")
    )
    assert where(reconcile(accepted, before).decisions) == where(accepted)
    for left in (["a"], ["a", "b"]):
        reconciled = reconcile(accepted, make_samples({name: same for name in left}))
        assert reconciled.decisions.empty
        assert reconciled.stale["why"].tolist().count("it would drop the last copy") == len(left)
    assert len(reconcile(accepted, make_samples({"a": same, "c": same})).decisions) == 2


def test_all_copies_that_there_are_can_be_dropped_on_purpose() -> None:
    same = {"sha256": sha("same")}
    samples = make_samples({"a": same, "b": same})
    decisions = make_decisions(samples, ("a", "exact_duplicate", "drop"), ("b", "exact_duplicate", "drop"))
    assert len(reconcile(decisions, samples).decisions) == 2


def test_the_drop_of_a_near_duplicate_or_leak_is_stale_where_its_twin_is_gone() -> None:
    samples = make_samples({"a": {}, "b": {}, "t": {"split": "test"}})
    decisions = make_decisions(samples, ("a", "near_duplicate", "drop"), ("b", "leak", "drop"), ("b", "dark", "drop"))
    both = make_pairs(("a", "b", 0.9, "near"), ("b", "t", 0.9, "near"))
    assert len(reconcile(decisions, samples, both).decisions) == 3
    without_t = samples[samples["sample_id"].ne("t")]
    reconciled = reconcile(decisions, without_t, both)
    assert where(reconciled.decisions) == {("a", "near_duplicate"): "drop", ("b", "dark"): "drop"}
    assert reconciled.stale["why"].tolist() == ["its twin is gone"]
    reconciled = reconcile(decisions, without_t, make_pairs())
    assert where(reconciled.decisions) == {("b", "dark"): "drop"}
    assert len(reconcile(decisions, without_t).decisions) == 3  # nothing is known of twins


def test_the_drop_of_a_leak_never_moves_into_a_held_out_split() -> None:
    same = {"sha256": sha("same")}
    before = make_samples({"train/a": same, "test/a": {**same, "split": "test"}})
    decisions = make_decisions(before, ("train/a", "leak", "drop"))
    reconciled = reconcile(decisions, make_samples({"test/a": {**same, "split": "test"}}))
    assert reconciled.stale["why"].tolist() == ["it meant the copy in train"]


@pytest.mark.parametrize(("action", "stands"), [("keep", False), ("unsure", False), ("drop", True)])
def test_a_verdict_on_a_label_is_stale_once_the_label_changed(action: str, stands: bool) -> None:
    samples = make_samples(["a"])
    decisions = make_decisions(samples, ("a", "label", action))
    reconciled = reconcile(decisions, make_samples({"a": {"label": "dog"}}))
    assert (len(reconciled.decisions) == 1) is stands
    assert reconciled.stale["why"].tolist() == ([] if stands else ["the label has changed since"])


def test_a_relabel_stands_whatever_the_label_is_now() -> None:
    samples = make_samples(["a"])
    decisions = make_decisions(samples, ("a", "label", "relabel", "dog"))
    assert len(reconcile(decisions, make_samples({"a": {"label": "dog"}})).decisions) == 1


FILES = st.dictionaries(st.sampled_from(["a/1", "a/2", "b/1", "b/2", "c/3"]), st.sampled_from("xyz"), max_size=5)


@settings(max_examples=15, deadline=None)
@given(before=FILES, after=FILES, seed=st.randoms())
def test_whatever_moved_each_decision_is_placed_once_on_its_own_content(before, after, seed) -> None:
    old = make_samples({name: {"sha256": sha(content)} for name, content in before.items()} or ["z"])
    new = make_samples({name: {"sha256": sha(content)} for name, content in after.items()} or ["z"])
    decisions = make_decisions(old, *((name, "outlier", "drop") for name in before))
    reconciled = reconcile(decisions, new)
    assert len(reconciled.decisions) + len(reconciled.stale) == len(decisions)
    validate("decisions", reconciled.decisions)  # no sample has two verdicts on one issue
    content = new.set_index("sample_id")["sha256"]
    assert (reconciled.decisions["sample_id"].map(content) == reconciled.decisions["sha256"]).all()
    again = reconcile(reconciled.decisions, new)
    assert again.moved == 0 and again.stale.empty
    shuffled = reconcile(decisions, new.sample(frac=1, random_state=seed.randrange(99)))
    pd.testing.assert_frame_equal(shuffled.decisions, reconciled.decisions)
