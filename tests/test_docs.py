"""The docs say what the code says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_pages_are_up_to_date(generate):
    for page, make in generate.PAGES.items():
        assert (DOCS / page).read_text() == make(), f"docs/{page} has drifted: run `make docs`"


def test_every_command_has_help_with_an_example(generate):
    from curate.cli import main

    for name, command in main.commands.items():
        assert command.help and f"curate {name}" in command.help, f"`curate {name} --help` shows no example"


def test_links_between_the_pages_lead_somewhere():
    for page in [*DOCS.glob("*.md"), ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_every_docs_page_is_reached_from_the_index():
    index = (DOCS / "README.md").read_text()
    missing = [p.name for p in DOCS.glob("*.md") if p.name != "README.md" and f"({p.name})" not in index]
    assert not missing, f"docs/README.md does not list {missing}"


def test_every_constant_says_why(generate):
    silent = [
        (file.name, name)
        for file in (ROOT / "curate").rglob("*.py")
        for name, _, why in generate.constants_of(file)
        if len(why.split()) < 2
    ]
    assert silent == []
