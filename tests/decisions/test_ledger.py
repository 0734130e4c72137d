"""The ledger keeps every verdict: validation, undo, several writers, broken places."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curate.decisions.decision import evidence, read_evidence
from curate.decisions.ledger import Ledger
from curate.errors import LedgerError
from curate.schema import validate

SHA = "ab" * 32


def verdict(sample_id: str = "cat/1.jpg", **fields: object) -> dict[str, object]:
    return {"sample_id": sample_id, "issue": "label", "action": "keep", "reviewer": "ann", **fields}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


# ---- add, current, history -------------------------------------------------------------------


def test_a_ledger_that_was_never_written_to_is_empty_and_makes_no_file(ledger: Ledger) -> None:
    assert ledger.current().empty and ledger.history().empty
    assert list(ledger.path.parent.iterdir()) == []
    validate("decisions", ledger.current())


def test_what_was_added_comes_back_in_full(ledger: Ledger) -> None:
    given = verdict(
        "hund/ü 1.jpg", action="relabel", label="dog", sha256=SHA, reason="see ears", evidence={"probability": 0.93}
    )
    assert ledger.add([given]) == [1]
    row = validate("decisions", ledger.current()).iloc[0]
    assert {k: row[k] for k in given if k != "evidence"} == {k: v for k, v in given.items() if k != "evidence"}
    assert json.loads(row["evidence"]) == {"probability": 0.93}
    assert pd.Timestamp(row["time"]).tz is not None


def test_a_table_can_be_added_whatever_its_kinds_of_missing_values(ledger: Ledger) -> None:
    table = pd.DataFrame([verdict("a"), verdict("b", action="relabel", label="dog")])
    table["reason"] = [np.nan, pd.NA]
    table["sha256"] = [None, SHA]
    ledger.add(table)
    current = ledger.current()
    assert current["label"].isna().tolist() == [True, False]
    assert current["reason"].isna().all()


def test_the_last_verdict_on_a_sample_and_issue_is_in_force(ledger: Ledger) -> None:
    ledger.add([verdict("a"), verdict("a", issue="outlier", action="drop")])
    ledger.add([verdict("a", action="drop", reviewer="bob")])
    current = ledger.current().set_index("issue")
    assert current["action"].to_dict() == {"outlier": "drop", "label": "drop"}
    assert current.loc["label", "reviewer"] == "bob"
    assert len(ledger.history()) == 3


def test_a_verdict_takes_the_place_of_those_on_the_same_content_alone(ledger: Ledger) -> None:
    ledger.add([verdict("a", sha256="X", action="drop")])
    ledger.add([verdict("a", sha256="Y")])
    assert ledger.current()["sha256"].tolist() == ["X", "Y"]
    ledger.add([verdict("a", sha256="X", action="unsure")])
    current = validate("decisions", ledger.current())
    assert list(zip(current["sha256"], current["action"], strict=True)) == [("Y", "keep"), ("X", "unsure")]
    ledger.undo(last=1, reviewer="ann")
    assert ledger.current()["action"].tolist() == ["drop", "keep"]


def test_a_verdict_without_a_content_is_about_the_name_and_goes_with_the_next(ledger: Ledger) -> None:
    ledger.add([verdict("a", sha256="X"), verdict("a", sha256="Y")])
    ledger.add([verdict("a", action="drop")])
    assert ledger.current()["action"].tolist() == ["drop"]
    ledger.add([verdict("a", sha256="X", action="unsure")])
    assert ledger.current()["action"].tolist() == ["unsure"]


def test_decisions_survive_closing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as first:
        first.add([verdict("a")])
    with Ledger(tmp_path / "l.sqlite") as second:
        assert second.current()["sample_id"].tolist() == ["a"]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"action": "delete"}, "the action 'delete'"),
        ({"action": "undo"}, "the action 'undo'"),
        ({"action": "relabel"}, "'relabel' with the label None"),
        ({"action": "relabel", "label": "  "}, "'relabel' with the label None"),
        ({"action": "drop", "label": "dog"}, "'drop' with the label 'dog'"),
        ({"reviewer": ""}, "no reviewer"),
        ({"reviewer": None}, "no reviewer"),
        ({"sample_id": np.nan}, "no sample_id"),
        ({"issue": " "}, "no issue"),
        ({"sample_id": 7}, "sample_id of decision 2 is '7' (int)"),
        ({"reviewwer": "ann"}, "a field 'reviewwer'"),
        ({"reason": "x" * 100_001}, "reason of decision 2"),
        ({"reason": "a\0b"}, "reason of decision 2"),
        ({"sample_id": "bad\udcff.jpg"}, "not valid Unicode"),
        ({"evidence": "not json"}, "evidence of decision 2"),
        ({"evidence": "[1]"}, "evidence of decision 2"),
    ],
)
def test_an_invalid_decision_is_refused_and_nothing_of_its_call_is_kept(
    ledger: Ledger, fields: dict[str, object], complaint: str
) -> None:
    with pytest.raises(LedgerError) as error:
        ledger.add([verdict("good"), verdict(**{"sample_id": "a", **fields})])
    assert complaint in str(error.value)
    assert ledger.history().empty


def test_adding_nothing_makes_no_file(ledger: Ledger) -> None:
    assert ledger.add([]) == []
    assert not ledger.path.exists()


def test_evidence_leaves_out_what_is_missing_and_is_read_back() -> None:
    cell = evidence(bulk="label: p >= 0.9", probability=np.float32(0.5), score=float("nan"), given_label=None)
    assert json.loads(cell) == {"bulk": "label: p >= 0.9", "probability": 0.5}
    table = pd.DataFrame({"evidence": [cell, None]})
    assert read_evidence(table, "probability").tolist() == [0.5, None]


# ---- undo ------------------------------------------------------------------------------------


def test_undo_brings_the_previous_verdict_back(ledger: Ledger) -> None:
    ledger.add([verdict("a", action="keep")])
    ledger.add([verdict("a", action="drop")])
    assert ledger.undo(last=1, reviewer="ann") == [2]
    assert ledger.current()["action"].tolist() == ["keep"]
    assert ledger.undo(last=1, reviewer="ann") == [1]
    assert ledger.current().empty


def test_undo_is_a_new_row_with_who_and_why(ledger: Ledger) -> None:
    ledger.add([verdict("a", sha256=SHA)])
    ledger.undo([1], reviewer="bob", reason="wrong tile")
    history = ledger.history()
    assert history["action"].tolist() == ["keep", "undo"]
    assert history["undone"].tolist() == [True, False]
    row = history.iloc[1]
    assert (row["undoes"], row["reviewer"], row["reason"], row["sample_id"]) == (1, "bob", "wrong tile", "a")


def test_the_last_entry_is_a_whole_bulk(ledger: Ledger) -> None:
    ledger.add([verdict("a")])
    ledger.add([verdict(f"{n}", action="drop", evidence=evidence(bulk="all")) for n in range(500)])
    assert len(ledger.undo(last=1, reviewer="ann")) == 500
    assert ledger.current()["sample_id"].tolist() == ["a"]


def test_the_last_entries_of_one_reviewer_leave_the_others_alone(ledger: Ledger) -> None:
    ledger.add([verdict("a", reviewer="ann")])
    ledger.add([verdict("b", reviewer="bob")])
    ledger.add([verdict("c", reviewer="ann")])
    assert ledger.undo(last=2, by="ann", reviewer="ann") == [1, 3]
    assert ledger.current()["sample_id"].tolist() == ["b"]


def test_an_entry_undone_in_part_is_then_undone_in_the_rest(ledger: Ledger) -> None:
    ledger.add([verdict("a"), verdict("b")])
    ledger.undo([1], reviewer="ann")
    assert ledger.undo(last=1, reviewer="ann") == [2]


@pytest.mark.parametrize(("ids", "complaint"), [([9], "no decision 9"), ([2], "itself an undo"), ([1], "already")])
def test_what_can_not_be_undone_undoes_nothing(ledger: Ledger, ids: list[int], complaint: str) -> None:
    ledger.add([verdict("a")])
    ledger.undo([1], reviewer="ann")
    ledger.add([verdict("b")])
    with pytest.raises(LedgerError, match=complaint):
        ledger.undo([3, *ids], reviewer="ann")
    assert ledger.current()["sample_id"].tolist() == ["b"]


def test_undo_wants_ids_or_a_number_and_a_reviewer(ledger: Ledger) -> None:
    ledger.add([verdict("a")])
    for wrong in ({}, {"decision_ids": [1], "last": 1}, {"last": 0}):
        with pytest.raises(LedgerError):
            ledger.undo(**wrong, reviewer="ann")
    with pytest.raises(LedgerError, match="no reviewer"):
        ledger.undo(last=1, reviewer="")
    assert len(ledger.current()) == 1


# ---- nothing is ever changed -----------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE decisions SET action = 'drop'",
        "DELETE FROM decisions",
        "INSERT OR REPLACE INTO decisions SELECT * FROM decisions",
        "REPLACE INTO decisions (decision_id, entry, sample_id, issue, action, reviewer, time)"
        " VALUES (1, 1, 'z', 'label', 'drop', 'eve', 'now')",
    ],
)
def test_the_database_itself_refuses_to_change_a_row(ledger: Ledger, statement: str) -> None:
    ledger.add([verdict("a")])
    ledger.close()
    database = sqlite3.connect(ledger.path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute(statement)
    database.close()
    assert ledger.current()["action"].tolist() == ["keep"]


def test_it_is_in_wal_mode_fully_synchronous_and_tells_its_version(ledger: Ledger) -> None:
    ledger.add([verdict("a")])
    assert ledger._database is not None
    pragmas = [ledger._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]
    assert ledger._database.execute("PRAGMA user_version").fetchone() == (2,)


# ---- several at once -------------------------------------------------------------------------


def _write_many(folder: Path, name: str, count: int, together: threading.Barrier) -> None:
    for number in range(count):
        together.wait()  # all make the ledger at the same moment
        with Ledger(folder / f"{number}.sqlite") as ledger:
            for row in range(3):
                ledger.add([verdict(f"{name}/{row}", reviewer=name)])


def test_processes_that_start_together_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(4, timeout=60)
    writers = [context.Process(target=_write_many, args=(tmp_path, f"p{n}", 30, together)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    for number in range(30):
        history = Ledger(tmp_path / f"{number}.sqlite").history()
        assert history["decision_id"].tolist() == list(range(1, 13))
        assert history["sample_id"].nunique() == 12


def test_threads_share_one_ledger(ledger: Ledger) -> None:
    def work(name: str) -> None:
        for number in range(20):
            ledger.add([verdict(f"{name}/{number}")])
            assert len(ledger.current()) > number

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.current()["sample_id"].nunique() == 160


def test_a_ledger_held_by_another_process_says_so(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add([verdict("a")])
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Ledger(ledger.path, timeout=0.05) as waiting:
        with pytest.raises(LedgerError, match="another process holds the ledger"):
            waiting.add([verdict("b")])
        assert len(waiting.current()) == 1  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        assert waiting.add([verdict("b")]) == [2]


FORK = """
import os, sys
from curate.errors import LedgerError
from curate.decisions.ledger import Ledger
decision = {"sample_id": "a", "issue": "label", "action": "keep", "reviewer": "ann"}
ledger = Ledger(sys.argv[1])
ledger.add([decision])
child = os.fork()
try:
    ledger.add([decision])
except LedgerError as error:
    os._exit(7 if child == 0 and "fork" in str(error) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(ledger.history()))
"""


def test_a_forked_child_is_told_to_open_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK, tmp_path / "ledger.sqlite"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["7", "2"]


def test_a_ledger_replaced_under_an_open_one_is_noticed(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add([verdict("a")])
    ledger.path.rename(tmp_path / "elsewhere.sqlite")
    with pytest.raises(LedgerError, match="was replaced"):
        ledger.add([verdict("b")])
    with pytest.raises(LedgerError, match="was replaced"):
        ledger.current()


# ---- broken places ---------------------------------------------------------------------------


def test_a_full_database_gives_a_clear_error_and_loses_nothing(ledger: Ledger) -> None:
    ledger.add([verdict("a")])
    assert ledger._database is not None
    pages = ledger._database.execute("PRAGMA page_count").fetchone()[0]
    ledger._database.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(LedgerError, match="free some space"):
        ledger.add([verdict(f"{n}", reason="x" * 1000) for n in range(100)])
    assert ledger.current()["sample_id"].tolist() == ["a"]
    ledger._database.execute("PRAGMA max_page_count = 1000000")
    assert ledger.add([verdict("b")]) == [2]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_gives_a_clear_error_and_loses_nothing(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("this container may not mount a file system")
    try:
        acknowledged = 0
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            with pytest.raises(LedgerError, match="free some space"):
                for number in range(1000):
                    ledger.add([verdict(f"{number}", reason="x" * 500)])
                    acknowledged += 1
            assert 0 < acknowledged == len(ledger.current())
        with Ledger(tmp_path / "ledger.sqlite") as again:
            assert len(again.current()) == acknowledged
    finally:
        subprocess.run(["umount", tmp_path], check=True)


READ = """
with Ledger(sys.argv[1]) as ledger:
    print(ledger.writable, ledger.current()["sample_id"].tolist())
    try:
        ledger.add([{"sample_id": "b", "issue": "label", "action": "keep", "reviewer": "ann"}])
    except LedgerError as error:
        print(error.found)
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_read_only_workspace_can_be_read_and_says_why_it_is_not_written(
    public_folder: Path, tmp_path: Path, as_ordinary_user: Callable[..., str], killed: bool
) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.add([verdict("a")])
        if killed:  # as a crash leaves it: what was written last is in the -wal file only
            shutil.copy(ledger.path, public_folder)
            shutil.copy(f"{ledger.path}-wal", public_folder)
    if not killed:
        shutil.copy(ledger.path, public_folder)
    for file in public_folder.iterdir():
        file.chmod(0o444)
    public_folder.chmod(0o555)
    before = sorted(public_folder.iterdir())
    said = as_ordinary_user(READ, str(public_folder / "ledger.sqlite")).splitlines()
    assert said[0] == "False ['a']"
    assert "can't be written to" in said[1]
    assert sorted(public_folder.iterdir()) == before


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="can't be written to"):
        Ledger(tmp_path / "nowhere" / "ledger.sqlite").add([verdict("a")])


def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"this is not a database, but it is long enough to be taken for one" * 20)
    before = path.read_bytes()
    for call in (lambda: Ledger(path).current(), lambda: Ledger(path).add([verdict("a")])):
        with pytest.raises(LedgerError, match="put back a copy"):
            call()
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "other.sqlite")
    database.execute("CREATE TABLE theirs (x)")
    database.commit()
    database.close()
    with pytest.raises(LedgerError, match="version 0"):
        Ledger(tmp_path / "other.sqlite").add([verdict("a")])


def test_a_ledger_of_a_later_version_is_refused(ledger: Ledger) -> None:
    ledger.add([verdict("a")])
    assert ledger._database is not None
    ledger._database.execute("PRAGMA user_version = 3")
    with pytest.raises(LedgerError, match="version 3"):
        ledger.current()


def test_a_path_with_odd_characters_works(tmp_path: Path) -> None:
    path = tmp_path / "50% #1? ü" / "ledger.sqlite"
    path.parent.mkdir()
    with Ledger(path) as ledger:
        ledger.add([verdict("a")])
    assert path.is_file()
    assert len(Ledger(path).current()) == 1
