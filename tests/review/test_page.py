"""The HTML page: self-contained, safe against hostile names, and its buttons make a file that is read back."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from small_tables import flag_table, make_decisions, make_pairs, make_samples

from curate.decisions.csv import read_decisions
from curate.decisions.ledger import Ledger
from curate.review.forecast import forecast
from curate.review.page import queue_html, thumbnails
from curate.review.queue import build_queue
from curate.schema import empty

NONE = empty("decisions")
NO_PAIRS = make_pairs()
HOSTILE = [
    "<script>window.hacked=1</script>.jpg",
    '"><img src=x onerror="window.hacked=1">.jpg',
    "'+alert(1)+'.jpg",
    "{{ 7 * 7 }}{% raw %}.jpg",
    "</script></style><svg onload=window.hacked=1>.jpg",
    "=HYPERLINK(1)&amp;.jpg",
    "\u202egpj.exe\u2028 ü.jpg",
]


def picture(colour: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), colour).save(buffer, format="JPEG")
    return buffer.getvalue()


def thumb(sample_id: str) -> bytes:
    return picture()


class Tags(HTMLParser):
    """All start tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def review() -> tuple[pd.DataFrame, pd.DataFrame, dict[str, pd.DataFrame]]:
    """A leak, a wrong label with neighbours, and an outlier: samples, queue, issues."""
    samples = make_samples(
        {"a.jpg": {}, "t.jpg": {"split": "test"}, "l.jpg": {"label": "dog"}, "o.jpg": {"label": "cow"}, "n.jpg": {}}
    )
    issues = {
        "leak": flag_table("leak", {"a.jpg": {"nearest_id": "t.jpg"}, "t.jpg": {"nearest_id": "a.jpg"}}),
        "label": flag_table("label", {"l.jpg": {"p": 0.93, "suggested_label": "cat"}}),
        "outlier": flag_table("outlier", {"o.jpg": {"p": 0.7}}),
    }
    return samples, build_queue(samples, issues, NO_PAIRS, NONE), issues


# ---- without a browser -----------------------------------------------------------------------


def test_the_page_shows_each_entry_with_its_evidence(review) -> None:
    samples, queue, issues = review
    page = Tags(
        queue_html(
            queue,
            samples,
            thumb=thumb,
            neighbours={"l.jpg": ["n.jpg", "a.jpg", "not a sample"]},
            forecast=forecast(samples, issues, NONE, queue),
            title="Cats & dogs",
        )
    )
    cards = [attributes for tag, attributes in page.tags if tag == "article"]
    assert [card["data-issue"] for card in cards] == ["leak", "label", "outlier"]
    tiles = [attributes for tag, attributes in page.tags if "data-sample" in attributes]
    assert [(t["data-sample"], t["data-proposed"]) for t in tiles] == [
        ("t.jpg", "keep"),
        ("a.jpg", "drop"),
        ("l.jpg", "relabel"),
        ("o.jpg", "drop"),
    ]
    contents = samples.set_index("sample_id")["sha256"]
    assert all(tile["data-sha256"] == contents[tile["data-sample"]] for tile in tiles)
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 6
    for words in (
        "Cats & dogs",
        "labelled dog, looks like cat (0.93)",
        "keep this copy: it is in test",
        "Go on: of the",
    ):
        assert words in page.text


def test_nothing_on_the_page_comes_from_elsewhere(review) -> None:
    samples, queue, _ = review
    html = queue_html(queue, samples, thumb=thumb)
    for tag, attributes in Tags(html).tags:
        assert tag not in {"link", "iframe", "object", "base", "form"}
        assert all(
            (attributes.get(name) or "data:").startswith("data:") for name in ("src", "href", "srcset", "action")
        )
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert not re.search(r"url\(|@import|https?://", html)


def test_verdicts_kept_by_the_browser_are_not_taken_for_those_on_other_pictures(review) -> None:
    samples, queue, _ = review

    def page_id(queue: pd.DataFrame) -> str | None:
        page = Tags(queue_html(queue, samples, thumb=thumb))
        return next(attributes["data-page"] for tag, attributes in page.tags if tag == "body")

    assert page_id(queue) == page_id(queue.copy())
    assert page_id(queue) != page_id(queue.assign(sha256="another picture"))


def test_an_empty_queue_is_a_page_that_says_so() -> None:
    page = Tags(queue_html(empty("queue"), make_samples(["a"]), thumb=thumb))
    assert "Nothing to review." in page.text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_or_label_stays_text(name: str) -> None:
    samples = make_samples({name: {"label": name}, "b": {"label": name}})
    issues = {"label": flag_table("label", {name: {"suggested_label": name + "!"}})}
    queue = build_queue(samples, issues, NO_PAIRS, NONE)
    harmless = make_samples({"x": {"label": "y"}, "b": {"label": "y"}})
    as_usual = {"label": flag_table("label", {"x": {"suggested_label": "z"}})}
    page = Tags(queue_html(queue, samples, thumb=thumb, title=name, neighbours={name: ["b"]}))
    usual = Tags(
        queue_html(
            build_queue(harmless, as_usual, NO_PAIRS, NONE), harmless, thumb=thumb, title="t", neighbours={"x": ["b"]}
        )
    )
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in usual.tags]
    assert [set(attributes) for _, attributes in page.tags] == [set(attributes) for _, attributes in usual.tags]
    assert name in [attributes.get("data-sample") for _, attributes in page.tags]


def test_only_what_is_shown_is_opened(review) -> None:
    samples, queue, _ = review
    opened: list[str] = []

    def counting(sample_id: str) -> bytes:
        opened.append(sample_id)
        return picture()

    html = queue_html(queue, samples, thumb=counting, limit=1)
    assert sorted(opened) == ["a.jpg", "t.jpg"]
    assert "2 more decisions" in html
    opened.clear()
    queue_html(queue[queue["issue"].eq("outlier")], samples, thumb=counting, limit=1)  # a part of the queue
    assert opened == ["o.jpg"]


def test_a_picture_that_is_gone_or_broken_leaves_a_place_that_says_so(review, tmp_path: Path) -> None:
    samples, queue, _ = review
    (tmp_path / "broken.jpg").write_bytes(b"not a picture")
    paths = {"l.jpg": tmp_path / "broken.jpg", "o.jpg": tmp_path / "gone.jpg"}
    samples["path"] = [str(paths.get(s, tmp_path / "fine.png")) for s in samples["sample_id"]]
    Image.new("RGB", (900, 300), "teal").save(tmp_path / "fine.png")
    html = queue_html(queue, samples, thumb=thumbnails(samples))
    assert html.count('class="gone"') == 2 and html.count("data:image/jpeg") == 2


def test_thumbnails_are_small_jpegs_in_the_pictures_own_shape(tmp_path: Path) -> None:
    Image.new("RGB", (900, 300), "teal").save(tmp_path / "wide.png")
    Image.new("RGB", (20, 30), "teal").save(tmp_path / "small.png")
    samples = make_samples(
        {"wide": {"path": str(tmp_path / "wide.png")}, "small": {"path": str(tmp_path / "small.png")}}
    )
    make = thumbnails(samples, size=120)
    sizes = {}
    for name in ("wide", "small"):
        with Image.open(io.BytesIO(make(name))) as image:
            assert image.format == "JPEG"
            sizes[name] = image.size
    assert sizes == {"wide": (120, 40), "small": (20, 30)}


# ---- in a real browser -----------------------------------------------------------------------


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Writes a page to disk and opens it; fails on any request, script error or dialog it didn't expect."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000}, accept_downloads=True)
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: request.url.startswith(("data:", "file:")) or trouble.append(request.url))

    def open_page(html: str) -> Any:
        (tmp_path / "review.html").write_text(html, encoding="utf-8")
        page.goto((tmp_path / "review.html").as_uri())
        return page

    yield open_page
    context.close()
    assert trouble == []


def download(page: Any, file: Path) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download decisions.csv").click()
    waiting.value.save_as(file)
    return file


@pytest.mark.browser
def test_verdicts_by_button_end_in_the_ledger(review, opened, tmp_path: Path) -> None:
    samples, queue, _ = review
    page = opened(queue_html(queue, samples, thumb=thumb))
    card = page.locator(".card")
    assert page.get_by_role("button", name="Download decisions.csv").is_disabled()
    card.nth(0).get_by_role("button", name="Keep one, as proposed").click()
    card.nth(1).get_by_role("button", name="Drop").click()
    card.nth(1).get_by_role("button", name="Undo").click()
    card.nth(1).get_by_label("other label").fill("cow")
    card.nth(1).get_by_label("other label").press("Tab")
    card.nth(2).get_by_role("button", name="Unsure").click()
    page.get_by_label("your name").fill("ann")
    page.get_by_label("your name").press("Tab")
    assert page.locator(".progress").inner_text() == "3 of 3 decided"
    page.reload()  # a closed browser loses nothing
    assert card.locator(".verdict").all_inner_texts() == ["keep, drop", "relabel: cow", "unsure"]
    decisions, problems = read_decisions(download(page, tmp_path / "decisions.csv"), samples)
    assert problems.empty
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.add(decisions)
        current = ledger.current().set_index("sample_id")
    assert current["action"].to_dict() == {"t.jpg": "keep", "a.jpg": "drop", "l.jpg": "relabel", "o.jpg": "unsure"}
    assert current.loc["l.jpg", "label"] == "cow"
    assert set(current["reviewer"]) == {"ann"}
    changed = samples.assign(sha256="another picture")
    assert len(read_decisions(tmp_path / "decisions.csv", changed)[1]) == 4


@pytest.mark.browser
def test_a_class_that_is_not_known_is_not_taken(review, opened) -> None:
    samples, queue, _ = review
    page = opened(queue_html(queue, samples, thumb=thumb))
    other = page.locator(".card").nth(1).get_by_label("other label")
    other.fill("wolf")
    other.press("Tab")
    assert "wrong" in other.get_attribute("class")
    assert page.locator(".progress").inner_text() == "0 of 3 decided"


@pytest.mark.browser
def test_one_copy_of_a_group_can_be_chosen_by_hand_and_issues_can_be_hidden(review, opened) -> None:
    samples, queue, _ = review
    page = opened(queue_html(queue, samples, thumb=thumb))
    first, second = page.locator(".card").nth(0).locator(".tile").all()
    first.get_by_role("button", name="Drop").click()
    assert page.locator(".progress").inner_text() == "0 of 3 decided"
    second.get_by_role("button", name="Keep").click()
    assert page.locator(".progress").inner_text() == "1 of 3 decided"
    page.get_by_role("button", name="leak 1").click()
    assert [card.is_visible() for card in page.locator(".card").all()] == [False, True, True]


@pytest.mark.browser
def test_hostile_names_run_nothing_and_come_back_as_they_were(opened, tmp_path: Path) -> None:
    samples = make_samples({name: {"label": name} for name in HOSTILE})
    issues = {"label": flag_table("label", {name: {"suggested_label": HOSTILE[0]} for name in HOSTILE})}
    page = opened(queue_html(build_queue(samples, issues, NO_PAIRS, NONE), samples, thumb=thumb, title=HOSTILE[0]))
    assert page.evaluate("window.hacked") is None
    for card in page.locator(".card").all():
        card.locator("[data-do=accept]").click()
    decisions, problems = read_decisions(download(page, tmp_path / "decisions.csv"), samples, reviewer="ann")
    assert problems.empty
    assert sorted(decisions["sample_id"]) == sorted(HOSTILE)
    assert page.evaluate("window.hacked") is None


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (1400, "dark"), (390, "light")])
def test_nothing_is_cut_off_and_text_is_readable(review, opened, width: int, scheme: str) -> None:
    samples, queue, _ = review
    page = opened(queue_html(queue, samples, thumb=thumb, neighbours={"l.jpg": ["n.jpg"] * 6}))
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    ink, ground = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    lightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 765 for colour in (ink, ground)]
    assert abs(lightness[0] - lightness[1]) > 0.6
    assert (lightness[1] < 0.5) is (scheme == "dark")


def test_a_relabel_that_was_decided_before_is_not_on_the_page(review) -> None:
    samples, _, issues = review
    decisions = make_decisions(samples, ("l.jpg", "label", "relabel", "cat"))
    queue = build_queue(samples, issues, NO_PAIRS, decisions)
    assert "looks like cat" not in queue_html(queue, samples, thumb=thumb)
