"""The ledger's SQLite file: its table, how it is opened, and what SQLite's complaints mean."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.errors import LedgerError
from curate.schema import ACTIONS

VERSION = 1  # in PRAGMA user_version

SCHEMA = (
    f"""CREATE TABLE decisions (
        decision_id INTEGER PRIMARY KEY,
        entry INTEGER NOT NULL,
        sample_id TEXT NOT NULL CHECK (sample_id <> ''),
        sha256 TEXT,
        issue TEXT NOT NULL CHECK (issue <> ''),
        action TEXT NOT NULL CHECK (action IN {(*ACTIONS, "undo")}),
        label TEXT,
        reviewer TEXT NOT NULL CHECK (reviewer <> ''),
        time TEXT NOT NULL,
        reason TEXT,
        evidence TEXT,
        undoes INTEGER UNIQUE REFERENCES decisions (decision_id),
        CHECK ((action = 'relabel') = (label IS NOT NULL)),
        CHECK ((action = 'undo') = (undoes IS NOT NULL))
    )""",
    "CREATE INDEX decisions_by_question ON decisions (sample_id, issue)",
    "CREATE INDEX decisions_by_entry ON decisions (entry)",
    "CREATE TRIGGER no_update BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    "CREATE TRIGGER no_delete BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    # INSERT OR REPLACE would delete without firing the trigger above
    """CREATE TRIGGER no_replace BEFORE INSERT ON decisions
        WHEN EXISTS (SELECT 1 FROM decisions WHERE decision_id = NEW.decision_id OR undoes = NEW.undoes)
        BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    f"PRAGMA user_version = {VERSION}",
)


def connect(path: Path, mode: str, timeout: float) -> sqlite3.Connection:
    """Open the file; `mode` is SQLite's: ro, rw or rwc."""
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=timeout,
        isolation_level=None,  # we say BEGIN and COMMIT ourselves
        check_same_thread=False,  # the ledger's lock keeps threads apart
    )
    database.execute("PRAGMA synchronous = FULL")
    return database


def prepare(database: sqlite3.Connection, timeout: float) -> None:
    """Make the tables in an empty database. Several processes may try at once."""
    if is_ledger(database):
        return
    _switch_to_wal(database, timeout)
    with transaction(database):
        if not is_ledger(database):
            for statement in SCHEMA:
                database.execute(statement)


def _switch_to_wal(database: sqlite3.Connection, timeout: float) -> None:
    """Write ahead from now on. SQLite's own timeout doesn't cover this switch: of two at once, one fails."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def is_ledger(database: sqlite3.Connection) -> bool:
    """True for a ledger of our version, False for an empty database; anything else is refused."""
    # one statement, so one snapshot: between two, another process may make the tables
    query = "SELECT (SELECT user_version FROM pragma_user_version), (SELECT COUNT(*) FROM sqlite_master)"
    version, objects = database.execute(query).fetchone()
    if version == 0 and objects == 0:
        return False
    if version != VERSION:
        raise LedgerError(f"the ledger is a database of version {version}", f"version {VERSION}")
    return True


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Commit at the end, or roll back."""
    database.execute("BEGIN IMMEDIATE")  # not DEFERRED: two writers that both began by reading would deadlock
    try:
        yield
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


@contextmanager
def explained(path: Path, failure: str) -> Iterator[None]:
    """Turn what SQLite or the file system refuses into a LedgerError that begins with `failure`."""
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(f"{failure}: {path}: {error}", do=_advice(str(error))) from error
    except OSError as error:
        raise LedgerError(f"{failure}: {path}: {error.strerror}") from error


def copied(path: Path, folder: Path) -> Path:
    """Copy the database, and what is not yet merged into it (its -wal file), to `folder`."""
    for suffix in ("", "-wal"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            shutil.copyfile(file, folder / file.name)
    return folder / path.name


def _advice(complaint: str) -> str:
    if "full" in complaint or "I/O" in complaint:
        return "free some space on the disk, then try again; what was recorded before is safe"
    if "locked" in complaint:
        return "another process holds the ledger: try again when it is done"
    if "not a database" in complaint or "malformed" in complaint:
        return "put back a copy of the ledger; curate never writes over a damaged one"
    return "check that the folder exists and that you may write to it"
