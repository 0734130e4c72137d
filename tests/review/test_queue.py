"""The queue: order, groups, what leaves it, what it proposes."""

from __future__ import annotations

import pandas as pd
import pytest
from small_tables import flag_table, make_decisions, make_pairs, make_samples, sha

from curate.decisions.moves import reconcile
from curate.issues.kinds import kind_of
from curate.review.queue import build_queue
from curate.schema import empty, validate

NONE = empty("decisions")
NO_PAIRS = make_pairs()


def entries(queue: pd.DataFrame) -> list[tuple[str, set[str]]]:
    return [(rows["issue"].iloc[0], set(rows["sample_id"])) for _, rows in queue.groupby("rank")]


def proposed(queue: pd.DataFrame) -> dict[str, str]:
    return queue.set_index("sample_id")["proposed_action"].to_dict()


@pytest.fixture
def pair() -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """A near duplicate of two samples in train."""
    samples = make_samples({"a": {}, "b": {"width": 64.0}, "c": {}})
    near = {"a": {"nearest_id": "b", "group_id": 7}, "b": {"nearest_id": "a", "group_id": 7}, "c": {"p": 0.0}}
    return samples, {"near_duplicate": flag_table("near_duplicate", near)}


# ---- order -----------------------------------------------------------------------------------


def test_without_issues_or_flags_the_queue_is_an_empty_table() -> None:
    samples = make_samples(["a"])
    for issues in ({}, {"label": flag_table("label", {"a": {"p": 0.1}})}):
        assert validate("queue", build_queue(samples, issues, NO_PAIRS, NONE)).empty


def test_entries_are_ordered_by_probability_times_impact() -> None:
    samples = make_samples(["a", "b", "c", "d"])
    issues = {
        "label": flag_table("label", {"a": {"p": 0.6}, "b": {"p": 0.9}}),
        "outlier": flag_table("outlier", {"c": {"p": 0.99}}),
        "quality": flag_table("dark", {"d": {"p": 0.99}}),
    }
    queue = validate("queue", build_queue(samples, issues, NO_PAIRS, NONE))
    assert queue["sample_id"].tolist() == ["b", "c", "a", "d"]
    assert queue["rank"].tolist() == [1, 2, 3, 4]
    impact = queue["issue"].map(lambda issue: kind_of(issue).impact)
    assert queue["priority"].to_numpy() == pytest.approx(queue["probability"] * impact)


def test_a_leak_into_test_comes_before_a_leak_into_val_and_before_a_label_error() -> None:
    samples = make_samples({"a": {}, "t": {"split": "test"}, "b": {}, "v": {"split": "val"}, "c": {}})
    leaks = {"a": {"nearest_id": "t"}, "t": {"nearest_id": "a"}, "b": {"nearest_id": "v"}, "v": {"nearest_id": "b"}}
    issues = {"leak": flag_table("leak", leaks), "label": flag_table("label", {"c": {"p": 0.9}})}
    queue = build_queue(samples, issues, NO_PAIRS, NONE)
    assert entries(queue) == [("leak", {"a", "t"}), ("label", {"c"}), ("leak", {"b", "v"})]


def test_without_a_probability_one_less_the_score_stands_for_it() -> None:
    samples = make_samples(["a", "b"])
    table = pd.DataFrame({"sample_id": ["a", "b"], "is_outlier_issue": True, "outlier_score": [0.3, 0.1]})
    queue = build_queue(samples, {"outlier": table}, NO_PAIRS, NONE)
    assert queue.set_index("sample_id")["probability"].to_dict() == pytest.approx({"b": 0.9, "a": 0.7})


def test_an_unknown_finder_of_a_third_party_is_queued_too_and_class_issues_are_not() -> None:
    samples = make_samples(["a"])
    issues = {
        "theirs": flag_table("mirrored", {"a": {}}),
        "classes": flag_table("class_imbalance", {"a": {}}),
        "quality": flag_table("unreadable", {"a": {}}),
    }
    assert build_queue(samples, issues, NO_PAIRS, NONE)["issue"].tolist() == ["mirrored"]


def test_an_unreadable_sample_is_not_asked_about() -> None:
    samples = make_samples({"a": {"status": "truncated", "sha256": None}})
    assert build_queue(samples, {"outlier": flag_table("outlier", {"a": {}})}, NO_PAIRS, NONE).empty


def test_the_order_of_the_rows_of_the_input_changes_nothing(pair) -> None:
    samples, issues = pair
    issues["label"] = flag_table("label", {"a": {"p": 0.8}, "b": {"p": 0.8}, "c": {"p": 0.8}})
    decisions = make_decisions(samples, ("c", "label", "keep"))
    queue = build_queue(samples, issues, NO_PAIRS, decisions)
    turned = {name: table.iloc[::-1] for name, table in reversed(issues.items())}
    pd.testing.assert_frame_equal(build_queue(samples.iloc[::-1], turned, NO_PAIRS, decisions), queue)


def test_the_budget_counts_decisions_not_rows(pair) -> None:
    samples, issues = pair
    issues["outlier"] = flag_table("outlier", {"c": {"p": 0.5}})
    queue = build_queue(samples, issues, NO_PAIRS, NONE, limit=1)
    assert entries(queue) == [("near_duplicate", {"a", "b"})]


def test_verdicts_against_a_finder_move_its_flags_down() -> None:
    names = [f"o{n}" for n in range(20)]
    samples = make_samples([*names, "l"])
    issues = {
        "outlier": flag_table("outlier", {name: {"p": 0.95} for name in names}),
        "quality": flag_table("dark", {"l": {"p": 0.6}}),
    }
    assert build_queue(samples, issues, NO_PAIRS, NONE)["issue"].iloc[0] == "outlier"
    refuted = make_decisions(samples, *((name, "outlier", "keep") for name in names[:15]))
    queue = build_queue(samples, issues, NO_PAIRS, refuted)
    assert queue["issue"].tolist() == ["dark"] + ["outlier"] * 5
    assert queue["probability"].iloc[-1] == pytest.approx(0.95)  # the finder's own


# ---- groups ----------------------------------------------------------------------------------


def test_a_group_is_one_decision_with_one_copy_to_keep(pair) -> None:
    queue = build_queue(*pair, make_pairs(("a", "b", 0.97, "near")), NONE)
    assert entries(queue) == [("near_duplicate", {"a", "b"})]
    assert proposed(queue) == {"b": "keep", "a": "drop"}
    assert queue["group_id"].unique().tolist() == ["near_duplicate:a"]
    assert queue["reason"].tolist() == [
        "keep this copy: it has more pixels",
        "same shot as b in train (similarity 0.97)",
    ]


@pytest.mark.parametrize(
    ("a", "b", "c", "kept", "why"),
    [
        ({"split": "test"}, {"width": 99.0}, {}, "a", "it is in test"),
        ({"split": "test"}, {"split": "val"}, {}, "a", "it is in test"),
        ({"split": "val"}, {}, {"bytes": 999.0}, "a", "it is in val"),
        ({"label": "dog", "width": 99.0}, {}, {"bytes": 999.0}, "c", "it is less compressed"),
        ({"label": "dog", "width": 99.0}, {"label": "cow", "height": 98.0}, {}, "a", "it has more pixels"),
        ({}, {"height": 33.0}, {}, "b", "it has more pixels"),
        ({}, {}, {}, "a", "all else is equal: the first by name"),
        ({"width": None, "bytes": None}, {}, {}, "b", "all else is equal: the first by name"),
    ],
)
def test_which_copy_is_kept_and_why(a: dict, b: dict, c: dict, kept: str, why: str) -> None:
    samples = make_samples({"a": a, "b": b, "c": c})
    issues = {"near_duplicate": flag_table("near_duplicate", {name: {"group_id": 1} for name in "abc"})}
    queue = build_queue(samples, issues, NO_PAIRS, NONE)
    assert queue["sample_id"].iloc[0] == kept
    assert proposed(queue) == {name: "keep" if name == kept else "drop" for name in "abc"}
    assert queue["reason"].iloc[0] == f"keep this copy: {why}"


def test_a_copy_whose_label_is_in_doubt_is_not_the_one_to_keep(pair) -> None:
    samples, issues = pair
    issues["label"] = flag_table("label", {"b": {"p": 0.8, "suggested_label": "dog"}})
    assert proposed(build_queue(samples, issues, NO_PAIRS, NONE).query("issue == 'near_duplicate'")) == {
        "a": "keep",
        "b": "drop",
    }


def test_copies_with_different_labels_say_so() -> None:
    samples = make_samples({"a": {"label": "cat"}, "b": {"label": "dog"}})
    issues = {"exact": flag_table("exact_duplicate", {"a": {"nearest_id": "b"}, "b": {"nearest_id": "a"}})}
    queue = build_queue(samples, issues, make_pairs(("a", "b", 1.0, "exact")), NONE)
    assert (
        queue["reason"].iloc[1] == "same picture as a in train (similarity 1.00); the copies are labelled cat and dog"
    )


def test_without_group_ids_twins_are_joined_by_who_is_nearest_flagged_or_not() -> None:
    samples = make_samples({"a": {}, "t": {"split": "test"}, "u": {"split": "test"}, "z": {}})
    leaks = {"a": {"nearest_id": "t"}, "t": {"p": 0.2, "nearest_id": "u"}, "u": {"p": 0.1}, "z": {"p": 0.0}}
    queue = build_queue(samples, {"leak": flag_table("leak", leaks)}, NO_PAIRS, NONE)
    assert proposed(queue) == {"t": "keep", "a": "drop"}


def test_of_a_leak_every_copy_in_the_test_split_stays() -> None:
    samples = make_samples({"a": {}, "b": {}, "t": {"split": "test"}, "u": {"split": "test"}, "v": {"split": "val"}})
    queue = build_queue(
        samples, {"leak": flag_table("leak", {name: {"group_id": 3} for name in "abtuv"})}, NO_PAIRS, NONE
    )
    assert proposed(queue) == {"t": "keep", "u": "keep", "a": "drop", "b": "drop", "v": "drop"}


def test_a_cluster_of_outliers_is_one_decision_and_no_copy_is_spared() -> None:
    samples = make_samples(["a", "b", "c"])
    outliers = {"a": {"group_id": "x"}, "b": {"group_id": "x"}, "c": {"group_id": None}}
    queue = build_queue(samples, {"outlier": flag_table("outlier", outliers)}, NO_PAIRS, NONE)
    assert entries(queue) == [("outlier", {"a", "b"}), ("outlier", {"c"})]
    assert set(proposed(queue).values()) == {"drop"}


def test_a_picture_in_several_groups_is_asked_about_under_the_gravest_first() -> None:
    samples = make_samples({"a": {}, "b": {}, "t": {"split": "test"}})
    issues = {
        "near_duplicate": flag_table("near_duplicate", {name: {"group_id": 1} for name in "abt"}),
        "leak": flag_table("leak", {"a": {"group_id": 1}, "t": {"group_id": 1}}),
    }
    queue = build_queue(samples, issues, NO_PAIRS, NONE)
    assert entries(queue) == [("leak", {"a", "t"}), ("near_duplicate", {"b"})]
    assert proposed(queue) == {"t": "keep", "a": "drop", "b": "drop"}
    after = make_decisions(samples, ("t", "leak", "keep"), ("a", "leak", "keep"))  # not the same picture
    assert entries(build_queue(samples, issues, NO_PAIRS, after)) == [("near_duplicate", {"b"})]


# ---- what is settled -------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["keep", "drop", "relabel"])
def test_a_decided_flag_leaves_the_queue(action: str) -> None:
    samples = make_samples(["a", "b"])
    issues = {"label": flag_table("label", {"a": {}, "b": {}})}
    verdict = ("a", "label", action, "dog") if action == "relabel" else ("a", "label", action)
    assert build_queue(samples, issues, NO_PAIRS, make_decisions(samples, verdict))["sample_id"].tolist() == ["b"]


def test_a_dropped_sample_leaves_every_queue_and_a_kept_one_only_its_own() -> None:
    samples = make_samples(["a", "b"])
    issues = {
        "label": flag_table("label", {"a": {}, "b": {}}),
        "outlier": flag_table("outlier", {"a": {}, "b": {}}),
    }
    decisions = make_decisions(samples, ("a", "outlier", "drop"), ("b", "outlier", "keep"))
    assert entries(build_queue(samples, issues, NO_PAIRS, decisions)) == [("label", {"b"})]


def test_unsure_comes_back_at_the_end() -> None:
    samples = make_samples(["a", "b"])
    issues = {"label": flag_table("label", {"a": {"p": 0.99}, "b": {"p": 0.5}})}
    queue = build_queue(samples, issues, NO_PAIRS, make_decisions(samples, ("a", "label", "unsure")))
    assert queue["sample_id"].tolist() == ["b", "a"]
    assert queue["reason"].iloc[1].startswith("put off as unsure: ")


@pytest.mark.parametrize(
    ("verdicts", "left"),
    [
        ([("a", "drop")], {}),  # nothing is left to choose from
        ([("a", "keep")], {"b": "drop"}),
        ([("a", "keep"), ("b", "keep")], {}),
        ([("a", "keep"), ("b", "drop")], {}),
        ([("a", "unsure"), ("b", "unsure")], {"b": "keep", "a": "drop"}),
    ],
)
def test_what_is_left_of_a_pair_after_some_verdicts(pair, verdicts, left) -> None:
    samples, issues = pair
    decisions = make_decisions(samples, *((sample, "near_duplicate", action) for sample, action in verdicts))
    assert proposed(build_queue(samples, issues, make_pairs(("a", "b", 0.9, "near")), decisions)) == left


def test_a_group_of_three_with_one_dropped_is_a_group_of_two() -> None:
    samples = make_samples(["a", "b", "c"])
    issues = {"near_duplicate": flag_table("near_duplicate", {name: {"group_id": 1} for name in "abc"})}
    pairs = make_pairs(("a", "b", 0.9, "near"), ("b", "c", 0.9, "near"))
    queue = build_queue(samples, issues, pairs, make_decisions(samples, ("a", "near_duplicate", "drop")))
    assert proposed(queue) == {"b": "keep", "c": "drop"}


def test_a_moved_file_is_not_asked_about_again() -> None:
    before = make_samples({"old/x": {"sha256": sha("x")}})
    after = make_samples({"new/x": {"sha256": sha("x")}})
    issues = {"label": flag_table("label", {"new/x": {}})}
    decisions = make_decisions(before, ("old/x", "label", "keep"))
    assert build_queue(after, issues, NO_PAIRS, reconcile(decisions, after).decisions).empty
    changed = make_samples({"old/x": {"sha256": sha("other")}})
    stale, issues = reconcile(decisions, changed).decisions, {"label": flag_table("label", {"old/x": {}})}
    assert len(build_queue(changed, issues, NO_PAIRS, stale)) == 1


# ---- reasons ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "label", "action", "reason"),
    [
        ({"p": 0.93, "suggested_label": "dog"}, "cat", "relabel", "labelled cat, looks like dog (0.93)"),
        ({"p": 0.93, "suggested_label": "cat"}, "cat", "drop", "labelled cat, which is probably wrong (0.93)"),
        ({"p": 0.93}, "cat", "drop", "labelled cat, which is probably wrong (0.93)"),
        ({"p": 0.93, "suggested_label": "dog"}, None, "relabel", "unlabelled, looks like dog (0.93)"),
    ],
)
def test_a_label_is_told_with_its_evidence(facts: dict, label: str | None, action: str, reason: str) -> None:
    samples = make_samples({"a": {"label": label}})
    row = build_queue(samples, {"label": flag_table("label", {"a": facts})}, NO_PAIRS, NONE).iloc[0]
    assert (row["proposed_action"], row["reason"]) == (action, reason)


def test_quality_is_told_by_what_was_measured_where_it_was() -> None:
    samples = make_samples({"a": {"brightness_p99": 0.12}, "b": {}})
    queue = build_queue(samples, {"quality": flag_table("dark", {"a": {"p": 0.9}, "b": {"p": 0.8}})}, NO_PAIRS, NONE)
    assert queue["reason"].tolist() == ["very dark: its brightest parts reach 12% of white", "dark (0.80)"]
