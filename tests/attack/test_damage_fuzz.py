"""Files of a workspace cut off and bits of them flipped: told or of no effect, never a traceback, never another result.

`python tests/attack/damage.py 40` does the same at length.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from damage import KINDS, Whole, by_kind, make_whole, tries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Whole:
    return make_whole(tmp_path_factory.mktemp("whole"))


def test_a_whole_workspace_has_files_of_every_kind_and_no_others(whole):
    assert set(by_kind(whole.root)) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_told_or_changes_nothing_and_ingest_makes_its_tables_anew(
    whole: Whole, tmp_path: Path, kind: str
) -> None:
    found = list(tries(whole, tmp_path, 2, seed=20, kinds=[kind]))
    assert len(found) == 2
    assert [(one.file, one.how, one.faults) for one in found if one.faults] == []
