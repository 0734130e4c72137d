"""The ledger's SQLite file: its table, how it is opened, and what SQLite's complaints mean."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from curate.errors import LedgerError
from curate.files import Shape, misfit, parse_json
from curate.schema import ACTIONS

VERSION, UNSEALED = 2, 1  # in PRAGMA user_version; the one before had no seals

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
)
SEALS = (  # since version 2: a flipped bit in a row is told
    "CREATE TABLE seals (decision_id INTEGER PRIMARY KEY REFERENCES decisions (decision_id), digest TEXT NOT NULL)",
    "CREATE TRIGGER no_update_of_seals BEFORE UPDATE ON seals BEGIN SELECT RAISE(ABORT, 'seals are append-only'); END",
    "CREATE TRIGGER no_delete_of_seals BEFORE DELETE ON seals BEGIN SELECT RAISE(ABORT, 'seals are append-only'); END",
)
ROW: Shape = {
    **{name: int for name in ("decision_id", "entry")},
    **{name: str for name in ("sample_id", "issue", "action", "reviewer", "time")},
    **{name: (str, None) for name in ("sha256", "label", "reason", "evidence")},
    "undoes": (int, None),
}
CELLS = tuple(ROW)
NAMES = ", ".join(CELLS)
UNLIKE_ITS_SEAL = f"""SELECT decision_id, '' FROM (SELECT decision_id, seal({NAMES}) AS now FROM decisions) AS row
    WHERE NOT EXISTS (SELECT 1 FROM seals WHERE seals.decision_id = row.decision_id AND digest = now)"""
FAULTY = f"SELECT decision_id, why FROM (SELECT decision_id, fault({NAMES}) AS why FROM decisions) WHERE why <> ''"
# words of SQLite's complaints about a file that is not as it was written
DAMAGE = ("not a database", "malformed", "decode", "raised exception", "no such", "unsupported file format", "corrupt")
PUT_BACK = "put back a copy of the ledger; curate never writes over a damaged one"


def connect(path: Path, mode: str, timeout: float) -> sqlite3.Connection:
    """Open the file; `mode` is SQLite's: ro, rw or rwc."""
    database = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=timeout,
        isolation_level=None,  # we say BEGIN and COMMIT ourselves
        check_same_thread=False,  # the ledger's lock keeps threads apart
    )
    database.create_function("seal", len(CELLS), _seal, deterministic=True)
    database.create_function("fault", len(CELLS), _fault, deterministic=True)
    database.execute("PRAGMA synchronous = FULL")
    return database


def make(path: Path, timeout: float) -> None:
    """Make an empty ledger, whole or not at all. Several processes may try at once: the first one's stays.

    So a file without tables was never ours as it is, and is not taken for a ledger in which nothing was decided.
    """
    temporary = path.with_name(f".{path.name}-{threading.get_ident()}.{os.getpid()}.tmp")
    try:
        with closing(connect(temporary, "rwc", timeout)) as database:
            for statement in (*SCHEMA, *SEALS, f"PRAGMA user_version = {VERSION}"):
                database.execute(statement)
            database.execute("PRAGMA journal_mode = WAL")  # write ahead from now on
        with suppress(FileExistsError):
            _give_name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _give_name(temporary: Path, path: Path) -> None:
    """Let the file be `path`; raises FileExistsError where that is taken."""
    try:
        os.link(temporary, path)  # unlike a renamed file, it takes no other's place
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS) or path.exists():
            raise
        os.rename(temporary, path)  # this file system has no links


def prepare(database: sqlite3.Connection) -> None:
    """Give a sound ledger of an earlier curate the seals of its rows. Several processes may try at once."""
    if version_of(database) == VERSION:
        return
    with transaction(database):
        if version_of(database) < VERSION:
            for statement in SEALS:
                database.execute(statement)
            seal(database, first_entry=0)
            database.execute(f"PRAGMA user_version = {VERSION}")


def seal(database: sqlite3.Connection, *, first_entry: int) -> None:
    """Seal the rows from one entry on, inside the transaction that writes them."""
    database.execute(
        f"INSERT INTO seals SELECT decision_id, seal({NAMES}) FROM decisions WHERE entry >= ?", (first_entry,)
    )


def version_of(database: sqlite3.Connection) -> int:
    """The version of a ledger that this curate can read; anything else is refused."""
    # one statement, so one snapshot: between two, another process may make the tables
    query = "SELECT (SELECT user_version FROM pragma_user_version), (SELECT COUNT(*) FROM sqlite_master)"
    version, objects = database.execute(query).fetchone()
    if version == 0 and objects == 0:
        raise LedgerError(
            "the ledger is empty: a file without a table",
            "a ledger as curate makes it",
            f"{PUT_BACK}; if nothing was ever decided, delete it",
        )
    if version not in (UNSEALED, VERSION):
        raise LedgerError(
            f"the ledger is a database of version {version}",
            f"version {VERSION}",
            "use the curate that made it, or put back a copy of the ledger",
        )
    return int(version)


def require_sound(database: sqlite3.Connection) -> None:
    """Raise LedgerError unless tables, indexes and triggers are ours, and every row is what was recorded.

    Its own transaction, so that what other processes write meanwhile has no part.
    """
    database.execute("BEGIN")
    try:
        sealed = version_of(database) == VERSION
        _require_schema(database, (*SCHEMA, *SEALS) if sealed else SCHEMA)
        _require_pages(database)
        _require_numbers(database)
        _require_rows(database, sealed)
    finally:
        database.execute("ROLLBACK")


def _require_schema(database: sqlite3.Connection, statements: tuple[str, ...]) -> None:
    """Compare what there is with what we made; SQLite's own objects have no statement, or a name of its own."""
    query = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    found = {(kind, name): _normalised(sql) for kind, name, sql in database.execute(query)}
    ours = {(words[1].lower(), words[2]): _normalised(sql) for sql in statements for words in [sql.split()]}
    for kind, name in ours.keys() - found.keys():
        raise LedgerError(f"the ledger has no {kind} {name}", "a ledger as curate makes it", PUT_BACK)
    for kind, name in found.keys() - ours.keys():
        raise LedgerError(
            f"the ledger has the {kind} {name!r}, which is not curate's",
            "a ledger as curate makes it",
            f"remove it with the program that made it (DROP {kind.upper()}), or {PUT_BACK}",
        )
    for (kind, name), sql in ours.items():
        if found[kind, name] != sql:
            raise LedgerError(f"the ledger's {kind} {name} is not as curate made it", _shown(sql), PUT_BACK)


def _normalised(sql: str) -> str:
    return " ".join(sql.split()).rstrip("; ")


def _shown(sql: str) -> str:
    return sql if len(sql) < 200 else f"{sql[:200]} …"


def _require_pages(database: sqlite3.Connection) -> None:
    (told,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if told != "ok":
        raise LedgerError(f"the ledger is damaged: {' '.join(told.split())[:200]}", do=PUT_BACK)


def _require_numbers(database: sqlite3.Connection) -> None:
    """Rows are numbered 1, 2, 3 … and none is ever deleted."""
    count, least, largest = database.execute(
        "SELECT COUNT(*), MIN(decision_id), MAX(decision_id) FROM decisions"
    ).fetchone()
    if count and (least, largest) != (1, count):
        raise LedgerError(
            f"the ledger holds {count:,} decisions, numbered from {least} to {largest}",
            f"numbers from 1 to {count}: decisions are only ever added",
            PUT_BACK,
        )


def _require_rows(database: sqlite3.Connection, sealed: bool) -> None:
    """Each row as it was recorded, by its seal; in a ledger of an earlier curate, as one could have been recorded."""
    query = UNLIKE_ITS_SEAL if sealed else FAULTY
    if row := database.execute(f"{query} LIMIT 1").fetchone():
        raise LedgerError(
            f"decision {row[0]} of the ledger is not what was recorded{row[1] and ': '}{row[1]}",
            "a ledger that nothing but curate writes to",
            PUT_BACK,
        )


def _seal(*cells: Any) -> str:
    return hashlib.blake2b(repr(cells).encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _fault(*cells: Any) -> str:
    """What of a row no curate could have recorded; empty where nothing."""
    row = dict(zip(CELLS, cells, strict=True))
    if why := misfit(row, ROW, "the row"):
        return why
    try:
        is_object = row["evidence"] is None or isinstance(parse_json(row["evidence"]), dict)
    except ValueError:
        is_object = False
    return "" if is_object else "its evidence is no JSON object"


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
    if any(word in complaint for word in DAMAGE):
        return PUT_BACK
    return "check that the folder exists and that you may write to it"
