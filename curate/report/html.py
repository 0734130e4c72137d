"""The page: facts → views → one HTML file that asks nothing of any other machine."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from curate.report import words
from curate.report.facts import ReportFacts
from curate.report.findings import decisions, issues, the_map
from curate.report.labels import agreement, classes, incoming, splits
from curate.report.outcome import outcome, versions
from curate.report.pictures import Pictures

TEMPLATES = Path(__file__).parent / "templates"
FILTERS = (
    "count",
    "percent",
    "chance",
    "figure",
    "tick",
    "plain",
    "points",
    "p_value",
    "seconds",
    "when",
    "words",
    "plural",
    "cell",
)
STAGE_COLUMNS = ("stage", "made", "images", "seconds", "images_per_second", "peak_memory_mb")


@dataclass(frozen=True)
class Section:
    """One section of the page; `do` says how its facts are made."""

    id: str
    title: str
    view: Any
    do: str


def render(facts: ReportFacts) -> str:
    """Return the report as one self-contained HTML page.

    A policy in its head keeps any browser from asking another machine for anything, whatever file names,
    labels and reasons hold; all of these are escaped.

    Parameters
    ----------
    facts : what is known; sections without facts say which command makes them
    """
    picture = Pictures(facts.thumb)
    sections = [
        Section("incoming", "What came in", incoming(facts), "curate ingest SOURCE"),
        Section("agreement", "Agreement", agreement(facts), "curate ingest SOURCE --annotations FILE"),
        Section("splits", "Splits", splits(facts), "curate ingest SOURCE"),
        Section("classes", "Classes", classes(facts), "curate find"),
        Section("issues", "Issues", issues(facts, picture), "curate find"),
        Section("map", "Map", the_map(facts), "curate find"),
        Section("decisions", "Decisions", decisions(facts), "curate review"),
        Section("versions", "Versions", versions(facts), "curate apply"),
        Section("outcome", "Before and after", outcome(facts, picture), "curate retrain"),
        Section("provenance", "How it was made", stages(facts), "curate ingest SOURCE"),
    ]
    script = _template_text("report.js")
    return (
        _environment()
        .get_template("report.html")
        .render(
            facts=facts,
            sections=sections,
            views={section.id: section.view for section in sections},
            planted=facts.planted,
            style=Markup(_template_text("style.css")),  # our own files: not to be escaped
            script=Markup(script),
            script_hash=b64encode(sha256(script.encode()).digest()).decode(),
        )
    )


def stages(facts: ReportFacts) -> list[dict[str, Any]] | None:
    """Provenance, one row per stage, with a null for what a stage does not tell."""
    return [{key: stage.get(key) for key in STAGE_COLUMNS} for stage in facts.stages] or None


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: words.NOTHING if value is None else value,
    )
    formats: dict[str, Callable[..., str]] = {name: getattr(words, name) for name in FILTERS}
    environment.filters.update(formats)
    environment.filters["as"] = lambda value, name: formats[name](value)
    return environment


def _template_text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
