"""Which issues, twins, points and verdicts the page shows, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd

from curate.report.facts import ReportFacts
from curate.report.findings import SHOWN, decisions, issues, the_map
from curate.report.pictures import Pictures, data_uri


def no_pictures() -> Pictures:
    return Pictures(lambda sample_id: None)


def test_the_worst_come_first_with_given_and_suggested_label_and_verdict(facts: ReportFacts) -> None:
    view = issues(facts, no_pictures())
    assert view is not None
    label = view["found"][0]
    assert label["name"] == "label" and label["n"] == 5
    assert [item["pictures"][0]["id"] for item in label["items"]] == [f"images/{n:03d}.jpg" for n in range(1, 6)]
    assert label["items"][0]["given"] == "dog" and label["items"][0]["suggested"].startswith('">')
    assert [item["decided"] for item in label["items"]] == ["relabel", "keep", "", "", ""]
    assert label["items"][1]["suggested"] == ""  # it has that label already


def test_expected_hits_are_told_only_where_the_finder_has_probabilities(facts: ReportFacts) -> None:
    view = issues(facts, no_pictures())
    assert view is not None
    expected = {issue["name"]: issue["expected"] for issue in view["found"]}
    assert expected["label"] == sum(1 - n / 100 for n in range(1, 6))
    assert expected["leak"] is None


def test_a_pair_is_shown_once_under_the_gravest_issue(facts: ReportFacts) -> None:
    view = issues(facts, no_pictures())
    assert view is not None
    shown = {
        issue["name"]: [tuple(picture["id"] for picture in item["pictures"]) for item in issue["items"]]
        for issue in view["found"]
        if issue["twins"]
    }
    assert shown == {
        "leak": [("images/011.jpg", "images/012.jpg")],
        "near_duplicate": [("images/021.jpg", "images/022.jpg")],
    }


def test_issues_that_nothing_has_are_named_as_clean(bare: Callable[..., ReportFacts]) -> None:
    table = pd.DataFrame({"sample_id": ["a"], "is_dark_issue": [False], "dark_score": [0.9]})
    view = issues(bare(issues={"quality": table}), no_pictures())
    assert view is not None
    assert view["clean"] == ["dark"] and view["found"] == [] and view["n_flagged"] == 0


def test_an_issue_of_a_finder_from_elsewhere_is_shown_too(bare: Callable[..., ReportFacts]) -> None:
    table = pd.DataFrame({"sample_id": ["a", "b"], "is_moon_issue": [True, False], "moon_score": [0.1, 0.9]})
    view = issues(bare(issues={"moon": table}), no_pictures())
    assert view is not None
    assert [(issue["name"], issue["n"]) for issue in view["found"]] == [("moon", 1)]


def test_at_most_so_many_pictures_per_issue(bare: Callable[..., ReportFacts]) -> None:
    ids = [f"{n}" for n in range(100)]
    table = pd.DataFrame({"sample_id": ids, "is_dark_issue": True, "dark_score": 0.1})
    view = issues(bare(issues={"quality": table}), no_pictures())
    assert view is not None and len(view["found"][0]["items"]) == SHOWN


def test_the_map_names_the_common_labels_and_gathers_the_rest(facts: ReportFacts) -> None:
    assert facts.samples is not None
    many = facts.samples.assign(label=[f"class {n % 40:02d}" for n in range(len(facts.samples))])
    view = the_map(replace(facts, samples=many))
    assert view is not None
    assert [group["hue"] is None for group in view["groups"]] == [False] * 12 + [True]
    assert sum(len(group["points"]) for group in view["groups"]) == view["n"] == len(many)


def test_the_map_rings_what_is_flagged_and_tells_why(facts: ReportFacts) -> None:
    view = the_map(facts)
    assert view is not None
    told = {point["id"]: point["issues"] for group in view["groups"] for point in group["points"]}
    assert told["images/011.jpg"] == "leak, near duplicate"
    assert view["n_flagged"] == sum(bool(issues) for issues in told.values()) == 10


def test_decisions_are_counted_by_issue_and_reviewer_and_bulk(facts: ReportFacts) -> None:
    view = decisions(facts)
    assert view is not None
    assert (view["n"], view["n_samples"], view["n_bulk"]) == (3, 3, 1)
    by_issue = {row["name"]: [part["count"] for part in row["parts"]] for row in view["by_issue"]["rows"]}
    assert by_issue == {"label": [1, 1, 0, 0], "leak": [0, 0, 1, 0]}  # keep, relabel, drop, unsure


def test_a_data_uri_tells_the_kind_of_picture() -> None:
    assert data_uri(b"\xff\xd8\xff\xe0").startswith("data:image/jpeg;base64,")
    assert data_uri(b"\x89PNG\r\n").startswith("data:image/png;base64,")
    assert data_uri(b"RIFF....WEBP").startswith("data:image/webp;base64,")
