"""The glossary names what the code names, and the names it replaced are gone."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|\n ").split("|")]
    for line in (ROOT / "docs" / "glossary.md").read_text().splitlines()
    if line.startswith("| ") and "`curate." in line
]


def resolved(name: str) -> Any:
    """The object of a dotted name: a module, and attributes of it."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_term_is_in_the_code(row: list[str]) -> None:
    found = resolved(re.search(r"`(curate\.[\w.]+)`", row[1])[1])  # type: ignore[index]
    assert found is not None and row[2]


def test_replaced_names_are_gone() -> None:
    replaced = {name for row in ROWS if len(row) > 3 for name in re.findall(r"`(\w+)`", row[3])}
    assert {"Desk", "Sitting", "Outlook", "Workshop", "goals"} <= replaced
    names = set()
    for file in (ROOT / "curate").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names.add(node.name)
            if isinstance(node, ast.FunctionDef):
                names |= {argument.arg for argument in node.args.args + node.args.kwonlyargs}
    assert not names & (replaced - {"told"})
