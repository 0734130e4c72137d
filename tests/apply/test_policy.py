"""Decisions and thresholds become actions; precedence and guards."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tables import flag_table, make_decisions, make_pairs, make_samples, sha

from curate.apply.policy import plan
from curate.apply.version import build
from curate.config import PolicyOptions
from curate.decisions.moves import reconcile
from curate.errors import PolicyError
from curate.schema import empty, validate

NONE = empty("decisions")
NO_PAIRS = make_pairs()
CATS = [f"cat{n}" for n in range(10)]


def planned(samples, issues=None, decisions=NONE, pairs=NO_PAIRS, **options: object) -> dict[str, tuple[str, ...]]:
    """sample_id → (action, label if any, who)."""
    table = plan(samples, issues or {}, decisions, pairs, options=PolicyOptions(**options))
    validate("actions", table)
    return {
        r.sample_id: tuple(x for x in (r.action, r.label, r.decided_by) if isinstance(x, str))
        for r in table.itertuples()
    }


def reasons(samples, issues=None, decisions=NONE, pairs=NO_PAIRS, **options: object) -> dict[str, str]:
    table = plan(samples, issues or {}, decisions, pairs, options=PolicyOptions(**options))
    return table.set_index("sample_id")["reason"].to_dict()


# ---- decisions -------------------------------------------------------------------------------


def test_without_decisions_and_thresholds_nothing_changes() -> None:
    samples = make_samples(["a", "b"])
    issues = {"label": flag_table("label", {"a": {"p": 0.99, "suggested_label": "dog"}})}
    assert planned(samples, issues) == {}


def test_decisions_become_actions_and_keep_and_unsure_do_not() -> None:
    samples = make_samples(CATS)
    decisions = make_decisions(
        samples,
        ("cat0", "outlier", "drop"),
        ("cat1", "label", "relabel", "dog"),
        ("cat2", "label", "keep"),
        ("cat3", "label", "unsure"),
        ("cat4", "label", "relabel", "cat"),
    )
    assert planned(samples, decisions=decisions) == {"cat0": ("drop", "ann"), "cat1": ("relabel", "dog", "ann")}


def test_a_sample_without_a_label_can_be_given_one() -> None:
    samples = make_samples({"a": {"label": None}})
    decisions = make_decisions(samples, ("a", "label", "relabel", "dog"))
    assert planned(samples, decisions=decisions) == {"a": ("relabel", "dog", "ann")}


def test_a_drop_wins_over_a_relabel_and_the_graver_issue_names_it() -> None:
    samples = make_samples({**{c: {} for c in CATS}, "t": {"split": "test"}})
    decisions = make_decisions(
        samples, ("cat0", "label", "relabel", "dog"), ("cat0", "dark", "drop"), ("cat0", "leak", "drop")
    )
    table = plan(samples, {}, decisions, make_pairs(("cat0", "t", 0.9, "near")))
    assert table[["issue", "action"]].to_numpy().tolist() == [["leak", "drop"]]


def test_of_two_relabels_the_graver_issue_wins_and_then_the_later() -> None:
    samples = make_samples(["a", "b", "c"])
    decisions = make_decisions(
        samples,
        ("a", "label", "relabel", "dog"),
        ("a", "near_duplicate", "relabel", "cow"),
        ("b", "dark", "relabel", "dog"),
        ("b", "bright", "relabel", "cow"),
    )
    assert planned(samples, decisions=decisions) == {"a": ("relabel", "dog", "ann"), "b": ("relabel", "cow", "ann")}


def test_a_moved_file_keeps_its_action_and_a_changed_one_loses_it() -> None:
    before = make_samples({"old/x": {"sha256": sha("x")}, "y": {"sha256": sha("y")}})
    decisions = make_decisions(before, ("old/x", "outlier", "drop"), ("y", "outlier", "drop"))
    after = make_samples({**{c: {} for c in CATS}, "new/x": {"sha256": sha("x")}, "y": {"sha256": sha("other")}})
    assert planned(after, decisions=reconcile(decisions, after).decisions) == {"new/x": ("drop", "ann")}


def test_an_unreadable_sample_needs_no_action() -> None:
    samples = make_samples({"a": {"status": "truncated", "sha256": None}, "b": {}})
    decisions = make_decisions(samples, ("a", "outlier", "drop"))
    assert planned(samples, decisions=decisions) == {}


def test_the_order_of_rows_changes_nothing() -> None:
    samples = make_samples(CATS)
    issues = {"label": flag_table("label", {c: {"p": 0.9, "suggested_label": "dog"} for c in CATS[3:]})}
    decisions = make_decisions(samples, ("cat0", "outlier", "drop"), ("cat1", "outlier", "drop"))
    options = PolicyOptions(relabel_above=0.8)
    table = plan(samples, issues, decisions, NO_PAIRS, options=options)
    turned = {"label": issues["label"].iloc[::-1]}
    again = plan(samples.iloc[::-1], turned, decisions.iloc[::-1], NO_PAIRS, options=options)
    pd.testing.assert_frame_equal(table, again)


# ---- thresholds ------------------------------------------------------------------------------


def test_labels_above_the_threshold_are_relabelled_where_nobody_decided() -> None:
    samples = make_samples(CATS)
    rows = {"cat0": {"p": 0.95}, "cat1": {"p": 0.9}, "cat2": {"p": 0.99}, "cat3": {"p": 0.99}, "cat5": {"p": 0.99}}
    rows = {name: {"suggested_label": "dog", **facts} for name, facts in rows.items()}
    rows["cat4"] = {"p": 0.99, "suggested_label": None}
    issues = {"label": flag_table("label", rows)}
    decisions = make_decisions(
        samples, ("cat2", "label", "keep"), ("cat3", "label", "unsure"), ("cat5", "dark", "keep")
    )
    assert planned(samples, issues, decisions, relabel_above=0.9) == {
        "cat0": ("relabel", "dog", "threshold"),
        "cat5": ("relabel", "dog", "threshold"),
    }
    assert reasons(samples, issues, decisions, relabel_above=0.9)["cat0"] == "P(wrong label) 0.950 is above 0.9"


def test_a_finder_without_probabilities_is_cut_at_one_less_its_score() -> None:
    samples = make_samples(["a", "b", "c"])
    label = pd.DataFrame({"sample_id": ["a", "b"], "is_label_issue": True, "label_score": [0.02, 0.2]})
    issues = {"label": label.assign(suggested_label="dog")}
    assert list(planned(samples, issues, relabel_above=0.9)) == ["a"]


def test_exact_copies_are_dropped_but_the_best_one() -> None:
    samples = make_samples({**{c: {} for c in CATS}, "t": {"split": "test"}})
    pairs = make_pairs(("cat0", "cat1", 1.0, "exact"), ("cat1", "t", 1.0, "exact"), ("cat2", "cat3", 1.0, "near"))
    issues: dict[str, pd.DataFrame] = {}
    assert planned(samples, issues, pairs=pairs) == {}
    assert planned(samples, issues, pairs=pairs, drop_duplicates=True) == {
        "cat0": ("drop", "threshold"),
        "cat1": ("drop", "threshold"),
    }
    said = reasons(samples, issues, pairs=pairs, drop_duplicates=True)
    assert said["cat0"] == "exact copy of t, which stays: it is in test"


def test_exact_copies_respect_what_people_decided_of_them() -> None:
    samples = make_samples(CATS)
    pairs = make_pairs(("cat0", "cat1", 1.0, "exact"), ("cat0", "cat2", 1.0, "exact"), ("cat3", "cat4", 1.0, "exact"))
    decisions = make_decisions(samples, ("cat2", "near_duplicate", "keep"), ("cat3", "outlier", "drop"))
    assert planned(samples, {}, decisions, pairs, drop_duplicates=True) == {
        "cat0": ("drop", "threshold"),
        "cat1": ("drop", "threshold"),
        "cat3": ("drop", "ann"),  # and cat4, alone now, stays
    }


def test_exact_copies_with_different_labels_wait_for_a_person() -> None:
    samples = make_samples({**{c: {} for c in CATS}, "d": {"label": "dog"}, "e": {"label": "dog"}})
    pairs = make_pairs(("cat0", "d", 1.0, "exact"))
    assert planned(samples, pairs=pairs, drop_duplicates=True) == {"d": ("keep", "threshold")}
    assert "another label" in reasons(samples, pairs=pairs, drop_duplicates=True)["d"]
    settled = make_decisions(samples, ("d", "label", "relabel", "cat"))
    assert planned(samples, {}, settled, pairs, drop_duplicates=True) == {
        "cat0": ("drop", "threshold"),
        "d": ("relabel", "cat", "ann"),
    }


# ---- guards ----------------------------------------------------------------------------------


def test_the_test_split_is_not_touched_unless_asked() -> None:
    samples = make_samples(
        {**{c: {} for c in CATS}, "t": {"split": "test"}, "u": {"split": "test"}, "v": {"split": "val"}}
    )
    decisions = make_decisions(samples, ("t", "dark", "drop"), ("v", "label", "relabel", "dog"))
    issues = {"label": flag_table("label", {"u": {"p": 0.99, "suggested_label": "dog"}})}
    assert planned(samples, issues, decisions, relabel_above=0.9) == {
        "t": ("keep", "ann"),
        "u": ("keep", "threshold"),
        "v": ("relabel", "dog", "ann"),
    }
    said = reasons(samples, issues, decisions, relabel_above=0.9)
    assert said["t"] == "held back, the test split is protected: would drop (reviewed)"
    assert said["u"].startswith("held back, the test split is protected: would relabel as dog (P(wrong")
    asked = planned(samples, issues, decisions, relabel_above=0.9, include_test=True)
    assert asked["t"] == ("drop", "ann") and asked["u"] == ("relabel", "dog", "threshold")


def test_bulk_drops_beyond_the_cap_are_held_back_the_least_certain_first() -> None:
    samples = make_samples(CATS)
    decisions = make_decisions(samples, *((c, "outlier", "drop") for c in CATS[:5]), bulk="outlier: drop")
    decisions["evidence"] = [f'{{"bulk": "outlier: drop", "probability": 0.{9 - n}}}' for n in range(5)]
    assert planned(samples, decisions=decisions) == {
        "cat0": ("drop", "ann"),
        "cat1": ("drop", "ann"),
        "cat2": ("keep", "ann"),
        "cat3": ("keep", "ann"),
        "cat4": ("keep", "ann"),
    }
    said = reasons(samples, decisions=decisions)["cat4"]
    assert said == "held back, its class would lose more than 20%: would drop (in bulk: outlier: drop)"


def test_peoples_drops_come_first_under_the_cap_and_beyond_it_are_an_error() -> None:
    samples = make_samples(CATS)
    bulk = make_decisions(samples, ("cat0", "outlier", "drop"), ("cat1", "outlier", "drop"), bulk="r")
    person = make_decisions(samples, ("cat5", "dark", "drop")).assign(decision_id=9)
    both = pd.concat([bulk, person], ignore_index=True)
    assert planned(samples, decisions=both) == {
        "cat0": ("drop", "ann"),
        "cat1": ("keep", "ann"),
        "cat5": ("drop", "ann"),
    }
    many = make_decisions(samples, *((c, "dark", "drop") for c in CATS[:3]))
    with pytest.raises(PolicyError, match=r"more than 20% of class 'cat' \(3 of 10\)"):
        planned(samples, decisions=many)
    assert len(planned(samples, decisions=many, class_cap=0.3)) == 3


def test_the_cap_is_rounded_up_so_that_a_small_class_can_lose_one() -> None:
    samples = make_samples(["a", "b", "c"])
    assert planned(samples, decisions=make_decisions(samples, ("a", "dark", "drop"))) == {"a": ("drop", "ann")}


def test_the_cap_counts_each_class_alone_and_no_protected_test_samples() -> None:
    rows: dict[str, dict[str, object]] = {f"d{n}": {"label": "dog"} for n in range(5)}
    rows |= {f"t{n}": {"label": "dog", "split": "test"} for n in range(50)}
    samples = make_samples({**{c: {} for c in CATS}, **rows})
    decisions = make_decisions(samples, ("cat0", "dark", "drop"), ("cat1", "dark", "drop"), ("d0", "dark", "drop"))
    assert len(planned(samples, decisions=decisions)) == 3
    more = make_decisions(samples, ("d0", "dark", "drop"), ("d1", "dark", "drop"))
    with pytest.raises(PolicyError, match=r"class 'dog' \(2 of 5\)"):
        planned(samples, decisions=more)


def test_dropping_copies_of_a_picture_that_stays_does_not_count_against_the_cap() -> None:
    same = {"sha256": sha("same")}
    samples = make_samples({**{c: same for c in CATS}, "other": {}})
    pairs = make_pairs(*((CATS[0], c, 1.0, "exact") for c in CATS[1:]))
    actions = planned(samples, pairs=pairs, drop_duplicates=True)
    assert sorted(actions) == CATS[1:] and set(actions.values()) == {("drop", "threshold")}


def test_unlabelled_samples_are_under_no_cap() -> None:
    samples = make_samples({name: {"label": None} for name in "abcde"})
    decisions = make_decisions(samples, *((name, "dark", "drop") for name in "abcde"))
    assert len(planned(samples, decisions=decisions)) == 5


def test_no_class_of_the_training_split_is_emptied() -> None:
    samples = make_samples(
        {"a": {"label": "dog"}, "b": {"label": "dog"}, "v": {"label": "dog", "split": "val"}, "c": {}}
    )
    rows = {"a": {"p": 0.99, "suggested_label": "cat"}, "b": {"p": 0.95, "suggested_label": "cat"}}
    issues = {"label": flag_table("label", rows)}
    assert planned(samples, issues, relabel_above=0.9) == {
        "a": ("relabel", "cat", "threshold"),
        "b": ("keep", "threshold"),
    }
    decisions = make_decisions(samples, ("a", "label", "relabel", "cat"), ("b", "label", "relabel", "cat"))
    with pytest.raises(PolicyError, match="leave no sample in the training split for: dog"):
        planned(samples, decisions=decisions)


def test_a_class_may_be_emptied_of_its_samples_where_others_come_in() -> None:
    samples = make_samples({"a": {"label": "dog"}, "b": {}, "c": {}})
    decisions = make_decisions(samples, ("a", "label", "relabel", "cat"), ("b", "label", "relabel", "dog"))
    assert len(planned(samples, decisions=decisions)) == 2


def test_holding_one_back_never_empties_another() -> None:
    samples = make_samples({"a": {"label": "A"}, "b": {"label": "B"}, "c": {"label": "C"}})
    rows = {"a": {"p": 0.9, "suggested_label": "B"}, "b": {"p": 0.95, "suggested_label": "C"}}
    actions = planned(samples, {"label": flag_table("label", rows)}, relabel_above=0.5)
    assert actions == {"a": ("keep", "threshold"), "b": ("keep", "threshold")}


ROWS = st.tuples(
    st.sampled_from(["A", "B", None]), st.sampled_from(["train", "val", "test", None]), st.sampled_from("xyzuvw")
)
VERDICTS = st.tuples(
    st.integers(0, 9), st.sampled_from(["label", "dark", "leak"]), st.sampled_from(["keep", "drop", "relabel"])
)


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(ROWS, min_size=1, max_size=10),
    verdicts=st.lists(VERDICTS, max_size=10),
    bulk=st.booleans(),
    cap=st.floats(0, 1),
)
def test_whatever_is_asked_test_stays_whole_and_no_class_is_emptied(rows, verdicts, bulk: bool, cap: float) -> None:
    samples = make_samples(
        {f"s{n}": {"label": label, "split": split, "sha256": sha(c)} for n, (label, split, c) in enumerate(rows)}
    )
    asked = {(n % len(rows), issue): action for n, issue, action in verdicts}
    pairs = make_pairs(*((f"s{n}", f"s{n + 1}", 0.9, "near") for n in range(len(rows) - 1)))
    decisions = make_decisions(
        samples,
        *((f"s{n}", issue, action, *(["B"] if action == "relabel" else [])) for (n, issue), action in asked.items()),
        bulk="rule" if bulk else None,
    )
    try:
        actions = plan(samples, {}, decisions, pairs, options=PolicyOptions(class_cap=cap))
    except PolicyError:
        assert not bulk  # rules are held back, only people are contradicted
        return
    validate("actions", actions)
    manifest, rejected = build(samples, actions)
    assert sorted([*manifest["sample_id"], *rejected["sample_id"]]) == sorted(samples["sample_id"])
    after = manifest.set_index("sample_id")["label"]
    test = samples[samples["split"].eq("test")].set_index("sample_id")["label"]
    pd.testing.assert_series_equal(after.reindex(test.index), test)
    training = samples[~samples["split"].isin(["val", "test"])]
    kept = manifest[~manifest["split"].isin(["val", "test"])]
    assert set(training["label"].dropna()) <= set(kept["label"].dropna())
