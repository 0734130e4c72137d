"""An issue is described once; another package's issue stands everywhere as ours do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from small_tables import flag_table, make_samples

from curate.errors import SchemaError
from curate.issues import kinds
from curate.issues.kinds import KINDS, Kind, all_kinds, kind_of
from curate.review.app.fields import PLACES, place_of
from curate.review.queue import build_queue
from curate.schema import TABLES, empty

NONE, NO_PAIRS = empty("decisions"), empty("near_duplicate_pairs")

CURATE = Path(kinds.__file__).parents[1]
# Where an issue's name stands for what the code itself is about, and not for what to say or do of an issue.
ABOUT_THE_ISSUE = {
    "apply/policy.py": "thresholds that relabel, and copies that are dropped",
    "decisions/moves.py": "which verdicts still apply to a picture that moved",
    "review/queue.py": "of a leak every copy in the split of the best one stays",
    "review/session.py": "an annotators' conflict is a question about the label",
    "review/app": "forms that ask for a label",
    "issues/flags.py": "a leak beside the test split counts less",
    "issues/reasons.py": "same picture, or same shot",
    "report": "sections about labels, leaks and copies",
    "demo": "planted defects, and the issues that find them",
    "dataset.py": "examples",
}
AMBIGUOUS = {"label", "unreadable", "dark", "bright"}  # also a column, a status, a defect


@pytest.fixture
def misnamed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kind]:
    """A kind that another package brings."""
    kind = Kind(
        "misnamed", "Lies in a folder of another name.", title="wrong folder?",
        sentence="{0:.0f} pixels wide, in the wrong folder {sure}", measured=("width",),
        impact=0.9, view="label", proposes="drop",
    )  # fmt: skip
    entry = SimpleNamespace(name="misnamed", value="package:KIND", load=lambda: kind)
    monkeypatch.setattr(kinds, "entry_points", lambda group: [entry] if group == "curate.kinds" else [])
    all_kinds.cache_clear()
    yield kind
    all_kinds.cache_clear()


def flags_of_the_schema() -> set[str]:
    columns = [column.name for table in TABLES.values() for column in table.columns]
    return {name.removeprefix("is_").removesuffix("_issue") for name in columns if name.endswith("_issue")}


def test_every_flag_of_the_schema_is_described() -> None:
    assert flags_of_the_schema() == set(KINDS)
    assert all(kind.note.endswith(".") and kind.heading for kind in KINDS.values())
    assert all(kind.sentence or kind.keeps_one or kind.name == "label" for kind in KINDS.values() if kind.is_asked)


def test_no_other_module_describes_an_issue() -> None:
    names = set(KINDS) - AMBIGUOUS
    found = {}
    for file in CURATE.rglob("*.py"):
        place = str(file.relative_to(CURATE))
        if place.startswith(("find/", "schema.py", "issues/kinds.py", *ABOUT_THE_ISSUE)):
            continue
        literals = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
        if held := {name for name in names if name in literals}:
            found[place] = held
    assert found == {"verbs/report.py": {"outlier", "leak"}}  # tables whose time the report tells


def test_a_kind_of_another_package_stands_in_the_queue_and_the_app_like_ours(misnamed: Kind) -> None:
    samples = make_samples("ab")
    issues = {
        "misnamed": flag_table("misnamed", {"a": {"p": 0.9}}),
        "outlier": flag_table("outlier", {"b": {"p": 1.0}}),
    }
    queue = build_queue(samples, issues, NO_PAIRS, NONE)
    assert queue["issue"].tolist() == ["misnamed", "outlier"]  # 0.9 × 0.9 before 1.0 × 0.5
    assert queue["reason"].iloc[0].endswith("pixels wide, in the wrong folder (0.90)")
    assert place_of("misnamed") == "label" and kind_of("misnamed").heading == "wrong folder?"


def test_an_issue_that_nobody_described_is_asked_about_all_the_same() -> None:
    queue = build_queue(make_samples("a"), {"odd": flag_table("odd_thing", {"a": {"p": 0.5}})}, NO_PAIRS, NONE)
    assert queue["reason"].tolist() == ["odd thing (0.50)"] and queue["proposed_action"].tolist() == ["drop"]
    assert place_of("odd_thing") not in PLACES


@pytest.mark.parametrize("loaded", ["no kind", Kind("leak", "Taken.")])
def test_a_kind_that_is_none_or_whose_name_is_taken_is_refused(monkeypatch: pytest.MonkeyPatch, loaded: object) -> None:
    entry = SimpleNamespace(name="x", value="package:X", load=lambda: loaded)
    monkeypatch.setattr(kinds, "entry_points", lambda group: [entry])
    all_kinds.cache_clear()
    with pytest.raises(SchemaError):
        all_kinds()
    all_kinds.cache_clear()


def test_the_report_names_kinds_in_their_order(misnamed: Kind) -> None:
    from curate.report.findings import _page_order

    names = ["misnamed", "zebra", "leak", "label"]
    assert sorted(names, key=_page_order) == ["label", "leak", "misnamed", "zebra"]
    assert pd.Series(names).map(lambda name: kind_of(name).note).iloc[0] == misnamed.note
