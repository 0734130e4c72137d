"""The page as a whole: complete, self-contained, safe, deterministic, small."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from curate.report.facts import ReportFacts
from curate.report.html import render
from curate.report.maps import EmbeddingMap

SECTIONS = ("incoming", "agreement", "splits", "classes", "issues", "map", "decisions", "versions", "outcome")


class Page(HTMLParser):
    """Every element with its attributes, and the page's text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(facts: ReportFacts) -> Page:
    return Page(render(facts))


def test_a_page_with_all_facts_shows_every_section(page: Page) -> None:
    ids = [attributes.get("id") for tag, attributes in page.elements if tag == "section"]
    assert ids == ["top", *SECTIONS, "planted", "provenance", "glossary"]
    assert "Nothing to show yet" not in page.text


def test_a_page_without_facts_says_for_each_section_which_command_makes_it(bare: Callable[..., ReportFacts]) -> None:
    text = Page(render(bare())).text
    assert text.count("Nothing to show yet") == len(SECTIONS) + 1  # and provenance
    for command in ("ingest", "find", "review", "apply", "retrain"):
        assert f"curate {command}" in text


@pytest.mark.parametrize(
    "name",
    ["samples", "agreement", "annotators", "split_proof", "balance", "classes", "pairs", "embedding_map"]
    + ["decisions", "diff", "comparison", "predictions", "planted"],
)
def test_any_one_fact_may_be_missing(facts: ReportFacts, name: str) -> None:
    assert "</html>" in render(replace(facts, **{name: None}))


@pytest.mark.parametrize("name", ["samples", "row_problems", "issues", "pairs", "decisions", "diff", "predictions"])
def test_tables_without_rows_are_no_error(facts: ReportFacts, name: str) -> None:
    given = getattr(facts, name)
    nothing = {key: table.head(0) for key, table in given.items()} if name == "issues" else given.head(0)
    assert "</html>" in render(replace(facts, **{name: nothing}))


def test_names_full_of_markup_stay_text(page: Page) -> None:
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "images/<script>alert(" in page.text  # shown, not run


def test_nothing_on_the_page_lies_outside_it(facts: ReportFacts, page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "data", "action", "srcset", "poster", "background"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:", "#")), (tag, address)
    html = render(facts)
    assert set(re.findall(r"url\((.{5})", html)) <= {"data:"}
    assert "@import" not in html


def test_the_policy_forbids_requests_and_allows_the_page_s_own_script_alone(facts: ReportFacts) -> None:
    html = render(facts)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    allowed = b64encode(sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'" in html


def test_the_order_of_rows_does_not_change_the_page(facts: ReportFacts) -> None:
    def shuffled(table: pd.DataFrame) -> pd.DataFrame:
        return table.sample(frac=1, random_state=1).reset_index(drop=True)

    other = replace(
        facts,
        samples=shuffled(facts.samples),
        issues={name: shuffled(table) for name, table in reversed(facts.issues.items())},
        decisions=shuffled(facts.decisions),
        predictions=shuffled(facts.predictions),
    )
    assert render(other) == render(facts)


def test_each_thumbnail_is_asked_for_once(facts: ReportFacts) -> None:
    asked: list[str] = []

    def thumb(sample_id: str) -> None:
        asked.append(sample_id)

    html = render(replace(facts, thumb=thumb))
    assert asked and len(asked) == len(set(asked))
    assert "no picture" in html


def test_a_page_of_10_000_images_stays_below_5_mb(bare: Callable[..., ReportFacts]) -> None:
    rng = np.random.default_rng(0)
    ids = pd.Series([f"a/rather/long/folder/name/for/images/{n:06d}.jpg" for n in range(10_000)])
    issues = {
        name: pd.DataFrame({"sample_id": ids, f"is_{name}_issue": rng.random(10_000) < 0.1, f"{name}_score": 0.1})
        for name in ("label", "outlier", "dark", "bright", "blurry", "low_information", "odd_size", "grayscale")
    }
    points = pd.DataFrame({"sample_id": ids[:2000], "x": rng.random(2000), "y": rng.random(2000)})
    layout = EmbeddingMap(points, 10_000, rng.bytes(800_000))
    html = render(bare(issues=issues, embedding_map=layout, thumb=lambda sample_id: b"\xff\xd8\xff" + rng.bytes(6000)))
    assert len(html) < 5e6


def test_planted_defects_are_called_planted_at_the_top_and_in_their_section(page: Page) -> None:
    assert "The defects of this data set were planted" in page.text
    assert "its defects were planted" in page.text
    assert "exact copy exact duplicate 30 29 61 58" in page.text


def test_a_page_about_real_data_does_not_speak_of_planting(facts: ReportFacts) -> None:
    assert "planted" not in Page(render(replace(facts, planted=None))).text
