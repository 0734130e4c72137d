"""A version: who stays, who is left out and why, and what changed."""

from __future__ import annotations

import pandas as pd
import pytest
from small_tables import make_decisions, make_pairs, make_samples

from curate.apply.policy import plan
from curate.apply.version import build, diff
from curate.errors import PolicyError
from curate.schema import empty, validate

CATS = [f"cat{n}" for n in range(10)]


def applied(samples: pd.DataFrame, *verdicts: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    actions = plan(samples, {}, make_decisions(samples, *verdicts), make_pairs())
    return build(samples, actions)


def test_each_sample_is_in_the_manifest_or_rejected_with_a_reason() -> None:
    broken = {"status": "truncated", "error": "the file ends after 10 bytes", "sha256": None}
    samples = make_samples({**{c: {} for c in CATS}, "broken": broken, "t": {"split": "test"}})
    manifest, rejected = applied(
        samples, ("cat0", "dark", "drop"), ("cat1", "label", "relabel", "dog"), ("t", "dark", "drop")
    )
    validate("manifest", manifest), validate("rejected", rejected)
    assert manifest["sample_id"].tolist() == [*CATS[1:], "t"]
    assert manifest.set_index("sample_id")["label"].to_dict() == {**{c: "cat" for c in [*CATS[2:], "t"]}, "cat1": "dog"}
    assert rejected.to_dict("records") == [
        {
            "sample_id": "broken",
            "label": "cat",
            "split": "train",
            "issue": "truncated",
            "decided_by": "unreadable",
            "reason": "the file ends after 10 bytes",
        },
        {
            "sample_id": "cat0",
            "label": "cat",
            "split": "train",
            "issue": "dark",
            "decided_by": "ann",
            "reason": "reviewed",
        },
    ]


def test_an_unreadable_sample_without_a_message_is_rejected_by_its_status() -> None:
    samples = make_samples({"a": {"status": "missing", "sha256": None}})
    manifest, rejected = build(samples, empty("actions"))
    assert manifest.empty and rejected["reason"].tolist() == ["missing"]
    validate("manifest", manifest)


def test_an_action_on_an_unknown_sample_is_refused() -> None:
    samples = make_samples(["a", "b", "c"])
    actions = plan(samples, {}, make_decisions(samples, ("a", "dark", "drop")), make_pairs())
    with pytest.raises(PolicyError, match="such as 'a'"):
        build(samples[samples["sample_id"].ne("a")], actions)


def test_the_order_of_samples_changes_nothing() -> None:
    samples = make_samples(CATS)
    for one, other in zip(build(samples, empty("actions")), build(samples.iloc[::-1], empty("actions")), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_the_diff_names_each_change() -> None:
    samples = make_samples({**{c: {} for c in CATS}, "u": {"label": None, "split": None}})
    before, _ = build(samples, empty("actions"))
    after, rejected = applied(samples, ("cat0", "dark", "drop"), ("cat1", "label", "relabel", "dog"))
    later = make_samples({"new": {"label": "cow"}})[list(after.columns)]
    after = pd.concat([after, later], ignore_index=True)
    after.loc[after["sample_id"].isin(["cat1", "cat2"]), "split"] = "val"
    changes = diff(before, after, rejected=rejected)
    rows = changes[["sample_id", "change", "label_before", "label_after", "split_before", "split_after", "reason"]]
    assert [[None if pd.isna(cell) else cell for cell in row] for row in rows.to_numpy().tolist()] == [
        ["new", "added", None, "cow", None, "train", None],
        ["cat1", "moved", "cat", "dog", "train", "val", None],
        ["cat2", "moved", "cat", "cat", "train", "val", None],
        ["cat1", "relabelled", "cat", "dog", "train", "val", None],
        ["cat0", "removed", "cat", None, "train", None, "reviewed"],
    ]


def test_a_version_does_not_differ_from_itself() -> None:
    manifest, _ = build(make_samples({"a": {}, "u": {"label": None, "split": None}}), empty("actions"))
    assert diff(manifest, manifest).empty
    assert diff(manifest.iloc[:0], manifest.iloc[:0]).empty


def test_reasons_are_text_where_nothing_was_removed() -> None:
    samples = make_samples(["a", "b"])
    before, _ = build(samples, empty("actions"))
    after, rejected = applied(samples, ("a", "label", "relabel", "dog"))
    reasons = diff(before, after, rejected=rejected)["reason"]
    assert reasons.isna().all() and pd.api.types.is_string_dtype(reasons)
