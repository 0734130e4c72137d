"""A ledger that something else changed is told, whatever was changed, and never written over."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from command import class_folders, done, refused, verdicts

from curate.decisions.database import SCHEMA
from curate.decisions.ledger import Ledger
from curate.errors import LedgerError

ROW = {"sample_id": "a", "issue": "label", "action": "keep", "reviewer": "ann"}
NO_TRIGGERS = ("DROP TRIGGER no_update", "DROP TRIGGER no_delete", "DROP TRIGGER no_replace")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Three decisions, one of them taken back."""
    with Ledger(tmp_path / "ledger.sqlite") as made:
        made.add([{**ROW, "evidence": {"probability": 0.9}}, {**ROW, "sample_id": "b"}])
        made.undo([2], reviewer="ann")
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def unsealed(tmp_path: Path) -> Path:
    """The same as an earlier curate made it, whose rows have no seals."""
    path = tmp_path / "earlier.sqlite"
    run(path, (*SCHEMA, "PRAGMA user_version = 1", "PRAGMA journal_mode = WAL"))
    cells = "'label', 'keep', NULL, 'ann', '2026-01-01', NULL"
    run(path, [f"INSERT INTO decisions VALUES (1, 1, 'a', NULL, {cells}, '{{}}', NULL)"])
    run(path, [f"INSERT INTO decisions VALUES (2, 2, 'b', NULL, {cells}, NULL, NULL)"])
    return path


def run(path: Path, statements: Iterable[str]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def complaint(path: Path) -> str:
    """What both readers and writers are told of this ledger, which is left as it is."""
    was, said = path.read_bytes(), set()
    for call in (Ledger.current, Ledger.history, lambda ledger: ledger.add([ROW])):
        with Ledger(path) as ledger, pytest.raises(LedgerError) as error:
            call(ledger)
        said.add(f"{error.value.found}\n{error.value.do}")
    assert path.read_bytes() == was
    return "\n".join(said)


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["DROP TRIGGER no_update"], "no trigger no_update"),
        (["DROP TRIGGER no_delete"], "no trigger no_delete"),
        (["DROP TRIGGER no_replace"], "no trigger no_replace"),
        (["DROP INDEX decisions_by_entry"], "no index decisions_by_entry"),
        (["DROP TABLE seals"], "the ledger has no t"),
        (["CREATE TABLE theirs (x)"], "the table 'theirs', which is not curate's"),
        (["CREATE INDEX theirs ON decisions (reviewer)"], "the index 'theirs', which is not curate's"),
        (["CREATE VIEW theirs AS SELECT 1"], "the view 'theirs', which is not curate's"),
        (
            ["CREATE TRIGGER theirs AFTER INSERT ON decisions BEGIN SELECT 1; END"],
            "the trigger 'theirs', which is not curate's",
        ),
        (["ALTER TABLE decisions ADD COLUMN theirs"], "table decisions is not as curate made it"),
        (
            ["DROP TRIGGER no_update", "CREATE TRIGGER no_update BEFORE UPDATE ON decisions BEGIN SELECT 1; END"],
            "trigger no_update is not as curate made it",
        ),
        (["PRAGMA user_version = 9"], "version 9"),
    ],
)
def test_another_schema_than_ours_is_told(ledger: Path, statements: list[str], told: str) -> None:
    run(ledger, statements)
    said = complaint(ledger)
    assert told in said and "put back a copy of the ledger" in said


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE decisions SET evidence = '{' WHERE decision_id = 1", "decision 1"),
        ("UPDATE decisions SET evidence = '[1]' WHERE decision_id = 1", "decision 1"),
        ("UPDATE decisions SET reviewer = x'ff00' WHERE decision_id = 2", "decision 2"),
        ("UPDATE decisions SET reviewer = CAST(x'ff' AS TEXT) WHERE decision_id = 2", "ledger"),
        ("UPDATE decisions SET entry = 1.5 WHERE decision_id = 2", "decision 2"),
        ("UPDATE decisions SET decision_id = 9223372036854775807 WHERE decision_id = 2", "9223372036854775807"),
        ("DELETE FROM decisions WHERE decision_id = 1", "numbered from 2"),
    ],
)
@pytest.mark.parametrize("kind", ["ledger", "unsealed"])
def test_a_row_edited_by_hand_is_told(request: pytest.FixtureRequest, kind: str, change: str, told: str) -> None:
    path = request.getfixturevalue(kind)
    run(path, [*NO_TRIGGERS, change, *(sql for sql in SCHEMA if "TRIGGER" in sql)])
    said = complaint(path)
    assert told in said and "put back a copy of the ledger" in said


def test_a_verdict_that_somebody_exchanged_is_told(ledger: Path) -> None:
    change = "UPDATE decisions SET action = 'drop' WHERE decision_id = 1"
    run(ledger, [*NO_TRIGGERS, change, *(sql for sql in SCHEMA if "TRIGGER" in sql)])
    assert "decision 1 of the ledger is not what was recorded" in complaint(ledger)


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + bytes(4080)])
def test_a_file_without_a_table_is_not_a_ledger_in_which_nothing_was_decided(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(content)
    assert "put back a copy of the ledger" in complaint(tmp_path / "ledger.sqlite")


def test_a_ledger_of_an_earlier_curate_is_read_and_sealed_by_the_next_verdict(unsealed: Path) -> None:
    with Ledger(unsealed) as ledger:
        assert ledger.current()["decision_id"].tolist() == [1, 2]
        assert ledger.add([{**ROW, "sample_id": "c"}]) == [3]
    with closing(sqlite3.connect(unsealed)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        assert database.execute("SELECT COUNT(*) FROM seals").fetchone() == (3,)
    with Ledger(unsealed) as ledger:
        assert ledger.current()["sample_id"].tolist() == ["a", "b", "c"]


def test_the_tables_of_analyze_are_sqlites_own(ledger: Path) -> None:
    run(ledger, ["ANALYZE"])
    assert len(Ledger(ledger).current()) == 1


def test_every_command_says_that_the_ledger_was_changed(tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    done("ingest", class_folders(tmp_path / "images", {"cat": 10, "dog": 10}), "-w", workspace)
    file = verdicts(workspace, tmp_path / "verdicts.csv")
    done("decide", file, "-w", workspace)
    run(workspace / "ledger.sqlite", ["DROP TRIGGER no_delete"])
    was = (workspace / "ledger.sqlite").read_bytes()
    for command in (["decide", file], ["undo", "--last", "1"], ["apply"], ["status"], ["report"], ["review", "--html"]):
        assert "no trigger no_delete" in refused(*command, "-w", workspace)
    assert (workspace / "ledger.sqlite").read_bytes() == was
