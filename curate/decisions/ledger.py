"""The ledger: every verdict, append-only in SQLite, on disk before `add` returns. Undo is a new row.

It is the only file of a workspace that can't be computed again. So rows are never changed or deleted
(triggers refuse), a call of `add` is one transaction, and what can't be written is a LedgerError.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd

from curate.decisions.database import (
    connect,
    copied,
    explained,
    make,
    prepare,
    require_sound,
    seal,
    transaction,
    version_of,
)
from curate.decisions.decision import Recorded, checked, records
from curate.errors import LedgerError
from curate.schema import TABLES

COLUMNS = tuple(column.name for column in TABLES["decisions"].columns)
TEXT = {column.name for column in TABLES["decisions"].columns if column.kind == "string"}
UNDONE = "EXISTS (SELECT 1 FROM decisions AS later WHERE later.undoes = decisions.decision_id)"
STANDING = f"action <> 'undo' AND NOT {UNDONE}"
# A later verdict takes the place of one on the same content. One without a recorded content is about the name alone.
SUPERSEDED = """EXISTS (SELECT 1 FROM decisions AS newer
    WHERE newer.sample_id = decisions.sample_id AND newer.issue = decisions.issue
    AND (newer.sha256 = decisions.sha256 OR newer.sha256 IS NULL OR decisions.sha256 IS NULL)
    AND newer.decision_id > decisions.decision_id AND newer.action <> 'undo'
    AND NOT EXISTS (SELECT 1 FROM decisions AS later WHERE later.undoes = newer.decision_id))"""


class Ledger:
    """The decisions of one workspace. Several processes and threads may read and write at once.

    Nothing is opened before it is needed, and only writing makes the file. In a place that can't be written
    to, the ledger can still be read. Use it in a `with` block, or call `close`. After a fork the child
    opens its own.

    Parameters
    ----------
    path : the file, made at the first `add`
    timeout : seconds to wait while another process writes
    """

    def __init__(self, path: Path | str, *, timeout: float = 30.0) -> None:
        self.path = Path(path)
        self._timeout = timeout
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._is_sound = False
        self._opened: tuple[int, ...] = ()  # process, device and inode of what is open
        self._copy: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    @property
    def writable(self) -> bool:
        """Whether the operating system lets us write here (SQLite also makes files beside the ledger)."""
        return os.access(self.path.parent, os.W_OK) and (not self.path.exists() or os.access(self.path, os.W_OK))

    def add(self, decisions: pd.DataFrame | Iterable[Mapping[str, Any]]) -> list[int]:
        """Record decisions in one transaction: all are on disk when this returns, or none and it raises.

        Parameters
        ----------
        decisions : rows with `sample_id, issue, action, reviewer`; `label` where the action is relabel;
            optional `sha256`, `reason` and `evidence` (a dict or its JSON). The time is now.

        Returns
        -------
        The ids given to them, in their order. One call is one *entry*: what `undo(last=1)` takes back.

        Raises
        ------
        LedgerError : a row is not a valid decision, or the ledger can't be written
        """
        rows = [checked(row, number) for number, row in enumerate(records(decisions), start=1)]
        if not rows:
            return []
        with self._writing(f"{len(rows)} decision(s) not recorded") as database:
            return _append(database, rows)

    def add_given(self, decide: Callable[[Recorded], pd.DataFrame]) -> list[int]:
        """Record what `decide` says of the decisions in force, which nobody else can change in between.

        Parameters
        ----------
        decide : called with what `current` returns; what it returns is as for `add`. Other writers wait meanwhile
        """
        with self._writing("nothing decided") as database:
            rows = [checked(row, number) for number, row in enumerate(records(decide(self.current())), start=1)]
            return _append(database, rows)

    def undo(
        self,
        decision_ids: Iterable[int] | None = None,
        *,
        reviewer: str,
        last: int | None = None,
        by: str | None = None,
        reason: str | None = None,
    ) -> list[int]:
        """Take decisions back, each by a new row; what was in force before them is in force again.

        Parameters
        ----------
        decision_ids : the decisions to take back; or give `last`
        reviewer : who takes them back
        last : how many entries to take back, latest first. An entry is what one `add` recorded: a click,
            a file, or a bulk rule with all its rows
        by : with `last`, only entries of this person
        reason : why, in the reviewer's words

        Returns
        -------
        The ids of the decisions taken back, ascending.

        Raises
        ------
        LedgerError : an id is unknown, an undo itself, or taken back already (then nothing is undone)
        """
        if (decision_ids is None) == (last is None):
            raise LedgerError("undo needs either decision ids or `last`")
        with self._writing("nothing undone") as database:
            wanted = _last_entries(database, last, by) if last is not None else decision_ids or ()
            ids = sorted({int(decision_id) for decision_id in wanted})
            _append(database, [_undo_row(database, decision_id, reviewer, reason) for decision_id in ids])
            return ids

    def current(self) -> Recorded:
        """The decisions in force (schema DECISIONS): per sample, content and issue the last that was not undone.

        Those on contents that a sample had before stay: their pictures may have another name now, or come back.
        `curate.decisions.moves.reconcile` tells which of them stand on today's files.
        """
        rows = f"SELECT {', '.join(COLUMNS)} FROM decisions WHERE {STANDING} AND NOT {SUPERSEDED}"
        return Recorded(self._select(COLUMNS, f"{rows} ORDER BY decision_id"))

    def history(self) -> pd.DataFrame:
        """Every row ever written, in order: DECISIONS and `entry`, `undoes` (id or null) and `undone` (bool).

        An undo is a row with the action `undo`. Double review is all here: who said what on the same flag.
        """
        table = self._select(
            (*COLUMNS, "entry", "undoes", "undone"),
            f"SELECT {', '.join(COLUMNS)}, entry, undoes, {UNDONE} FROM decisions ORDER BY decision_id",
        )
        return table.astype({"entry": "int64", "undoes": "Int64", "undone": "bool"})

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._lock:
            if self._database is not None:
                self._database.close()
            if self._copy is not None:
                self._copy.cleanup()
            self._database = self._copy = None
            self._is_sound = False

    @contextmanager
    def _writing(self, failure: str) -> Iterator[sqlite3.Connection]:
        """One transaction on the ledger, which is made where there is none."""
        with self._lock, explained(self.path, failure):
            if not self.writable:
                raise LedgerError(f"{failure}: {self.path} can't be written to", "a workspace that you may write to")
            if not self.path.exists():
                make(self.path, self._timeout)
            database = self._sound(self._open("rw"))
            prepare(database)
            with transaction(database):
                yield database

    def _select(self, columns: tuple[str, ...], query: str) -> pd.DataFrame:
        rows: list[tuple[Any, ...]] = []
        with self._lock, explained(self.path, "the ledger can't be read"):
            if self._database is not None or self.path.exists():
                database = self._sound(self._open("rw") if self.writable else self._open_to_read())
                rows = database.execute(query).fetchall()
        return _as_table(columns, rows)

    def _open(self, mode: str) -> sqlite3.Connection:
        """The open database. Refuses one that this process inherited, or that is no longer the file at `path`."""
        if self._database is None:
            self._database = connect(self.path, mode, self._timeout)
            self._opened = _identity(self.path)
        elif self._opened != _identity(self.path):
            raise LedgerError(
                f"{self.path} was replaced while it was open, or opened before a fork",
                do="close this ledger and open it anew",
            )
        return self._database

    def _sound(self, database: sqlite3.Connection) -> sqlite3.Connection:
        """The database, if it is as curate left it; looked at once after it was opened."""
        version_of(database)
        if not self._is_sound:
            require_sound(database)
            self._is_sound = True
        return database

    def _open_to_read(self) -> sqlite3.Connection:
        """Open without writing; a copy is read where SQLite can't do without its side files (after a crash)."""
        if self._database is None:
            try:
                version_of(self._open("ro"))
            except sqlite3.OperationalError:
                self.close()
                self._copy = tempfile.TemporaryDirectory(prefix="curate-ledger-")
                self._database = connect(copied(self.path, Path(self._copy.name)), "rw", self._timeout)
                self._opened = _identity(self.path)
        return self._open("ro")


def _append(database: sqlite3.Connection, rows: list[dict[str, Any]]) -> list[int]:
    """Insert rows as one entry. Inside a transaction: ids follow the largest so far."""
    (largest,) = database.execute("SELECT COALESCE(MAX(decision_id), 0) FROM decisions").fetchone()
    ids = [largest + 1 + offset for offset in range(len(rows))]
    stamp = {"time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), "entry": largest + 1}
    database.executemany(
        "INSERT INTO decisions VALUES (:decision_id, :entry, :sample_id, :sha256, :issue, :action, :label,"
        " :reviewer, :time, :reason, :evidence, :undoes)",
        [{"undoes": None, **row, **stamp, "decision_id": i} for i, row in zip(ids, rows, strict=True)],
    )
    seal(database, first_entry=largest + 1)
    return ids


def _last_entries(database: sqlite3.Connection, last: int, by: str | None) -> list[int]:
    """The standing decisions of the last entries, of `by` alone where given."""
    if last < 1:
        raise LedgerError(f"undo of the last {last} entries", "1 or more")
    whose = f"{STANDING} AND (:by IS NULL OR reviewer = :by)"
    rows = database.execute(
        f"""SELECT decision_id FROM decisions WHERE {whose} AND entry IN
            (SELECT DISTINCT entry FROM decisions WHERE {whose} ORDER BY entry DESC LIMIT :last)""",
        {"last": last, "by": by},
    )
    return [decision_id for (decision_id,) in rows]


def _undo_row(database: sqlite3.Connection, decision_id: int, reviewer: str, reason: str | None) -> dict[str, Any]:
    found = database.execute(
        f"SELECT sample_id, sha256, issue, action, {UNDONE} FROM decisions WHERE decision_id = ?", (decision_id,)
    ).fetchone()
    if found is None:
        raise LedgerError(f"there is no decision {decision_id}")
    sample_id, sha256, issue, action, undone = found
    if action == "undo":
        raise LedgerError(f"decision {decision_id} is itself an undo", do="record the decision again")
    if undone:
        raise LedgerError(f"decision {decision_id} is undone already")
    said = {"sample_id": sample_id, "sha256": sha256, "issue": issue, "reviewer": reviewer, "reason": reason}
    row: dict[str, Any] = checked({**said, "action": "keep"}, decision_id)  # checks the reviewer and the reason
    return {**row, "action": "undo", "undoes": decision_id}


def _identity(path: Path) -> tuple[int, ...]:
    """Which file this process sees at `path`; inode 0 where there is none."""
    try:
        seen = os.stat(path)
    except FileNotFoundError:
        return os.getpid(), 0, 0
    return os.getpid(), seen.st_dev, seen.st_ino


def _as_table(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    cells = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    named = zip(columns, cells, strict=True)
    table = pd.DataFrame({name: pd.Series(list(c), dtype="str" if name in TEXT else "object") for name, c in named})
    return table.astype({"decision_id": "int64"})
