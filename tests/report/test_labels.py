"""What the page says of labels: agreement, splits, classes, and what came in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from curate.ingest.annotators import agreement as measure
from curate.report.facts import ReportFacts
from curate.report.labels import agreement, classes, incoming, splits


def votes(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sample_id", "annotator", "label"])


def test_conflicts_and_confused_labels_are_told(bare: Callable[..., ReportFacts]) -> None:
    said = votes(("a", "ann", "cat"), ("a", "bob", "dog"), ("b", "ann", "dog"), ("b", "bob", "dog"))
    view = agreement(bare(agreement=measure(said, bootstraps=0).to_dict()))
    assert view is not None
    assert view["conflict"]["value"] == 0.5 and view["n_shared"] == 2
    assert [(row["given"], row["other"]) for row in view["confused"]] == [("cat", "dog")]
    assert [heat["title"] for heat in view["heat_maps"]] == ["ann", "bob"]


def test_one_annotator_alone_gives_no_agreement(bare: Callable[..., ReportFacts]) -> None:
    assert agreement(bare(agreement=measure(votes(("a", "ann", "cat")), bootstraps=0).to_dict())) is None


@pytest.mark.parametrize(
    ("kappa", "word"), [(-0.1, "poor"), (0.5, "moderate"), (0.685, "substantial"), (0.9, "almost")]
)
def test_kappas_have_words(facts: ReportFacts, kappa: float, word: str) -> None:
    told = dict(facts.agreement or {})
    told["overall"] = [{**row, "value": kappa} for row in told["overall"]]
    view = agreement(replace(facts, agreement=told))
    assert view is not None and view["in_words"].startswith(word)


def test_the_weakest_annotator_stands_first(facts: ReportFacts) -> None:
    view = agreement(facts)
    assert view is not None
    assert [row["quality"] for row in view["people"]] == [0.7, 0.9]


def test_annotators_without_an_estimate_of_quality_are_listed_too(facts: ReportFacts) -> None:
    view = agreement(replace(facts, annotators=None))
    assert view is not None
    assert [row["quality"] for row in view["people"]] == [None, None]


def test_counts_by_class_and_split(facts: ReportFacts) -> None:
    view = splits(facts)
    assert view is not None
    assert view["totals"] == {"train": 90, "test": 30}
    assert {row["name"]: row["total"] for row in view["bars"]["rows"]}["cat"] == 40
    assert view["n_straddling"] == 0 and [row["split"] for row in view["proof"]] == ["train", "test"]


def test_samples_without_any_split_give_no_section(facts: ReportFacts) -> None:
    assert facts.samples is not None
    assert splits(replace(facts, samples=facts.samples.assign(split=None))) is None


def test_small_classes_are_named_with_advice(bare: Callable[..., ReportFacts]) -> None:
    balance = pd.DataFrame(
        {
            "label": ["cat", "dog"],
            "n": [100, 20],
            "ratio": [1.0, 0.2],
            "is_small": [False, True],
            "advice": ["", "add 50"],
        }
    )
    view = classes(bare(balance=balance))
    assert view is not None
    assert view["n_small"] == 1 and view["small"][0]["advice"] == "add 50"


def test_what_came_in_counts_files_that_do_not_open(facts: ReportFacts) -> None:
    view = incoming(facts)
    assert view is not None
    assert (view["n"], view["n_classes"], view["n_broken"]) == (120, 3, 1)
    assert view["statuses"] == {"truncated": 1}
    assert view["size"] == {"smallest": "32×24", "median": "32×24", "largest": "32×24"}
    assert view["problems"]["n"] == 1
