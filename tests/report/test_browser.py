"""The page in a real browser: no request, nothing cut off, and what moves does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.report.facts import ReportFacts
from curate.report.html import render

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(facts: ReportFacts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render(facts), encoding="utf-8")
    return file


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    """The page, opened; at its end it must have asked for nothing and complained of nothing."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000}, color_scheme="light")
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(report.as_uri())
    yield page
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(100)
    page.close()
    assert [url for url in requests if not url.startswith("data:")] == [report.as_uri()]
    assert complaints == []


@pytest.mark.parametrize("width", [1400, 800, 420])
def test_nothing_sticks_out_at_any_width(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate(
        """() => [...document.querySelectorAll('.chart .value, h1, h2, h3, .tiles div')]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.textContent)"""
    )
    assert cut == []


def test_every_picture_is_drawn(page: Any) -> None:
    broken = page.evaluate(
        """async () => { const images = [...document.images];
            images.forEach(i => i.loading = 'eager');
            await Promise.all(images.map(i => i.decode().catch(() => {})));
            return images.filter(i => !i.naturalWidth).length; }"""
    )
    assert broken == 0


def test_colours_follow_the_system_and_the_button(page: Any) -> None:
    def background() -> int:
        shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(shade.removeprefix("rgb(").split(",")[0])

    assert background() > 200
    page.emulate_media(color_scheme="dark")
    assert background() < 60
    page.click("#theme")
    assert background() > 200
    page.click("#theme")
    assert background() < 60


def test_pointing_at_a_point_of_the_map_shows_its_picture(page: Any) -> None:
    assert not page.is_visible(".peek")
    page.locator("#map").scroll_into_view_if_needed()
    point = page.locator(".map circle").first
    point.hover(force=True)
    assert page.is_visible(".peek")
    assert page.inner_text(".peek span").strip() == point.locator("title").text_content().strip()
    assert "data:image/webp" in page.evaluate("getComputedStyle(document.querySelector('.peek i')).backgroundImage")


def test_a_label_of_the_legend_shows_its_images_alone(page: Any) -> None:
    faded = "[...document.querySelectorAll('.map g')].map(g => Number(getComputedStyle(g).opacity))"
    page.click(".map .legend button >> nth=1")
    assert page.evaluate(faded) == [0.08, 1, 0.08]
    page.click(".map .legend button >> nth=1")
    assert page.evaluate(faded) == [1, 1, 1]


def test_print_opens_what_is_folded_and_leaves_out_the_navigation(page: Any) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")
    assert not page.is_visible("nav")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_links_of_the_navigation_lead_to_sections(page: Any) -> None:
    lost = page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.hash)).map(a => a.hash)"
    )
    assert lost == []
