"""The queue as a CSV for a spreadsheet, and verdicts back from a CSV."""

from __future__ import annotations

import csv
import difflib
import io
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curate.decisions.decision import FIELDS, evidence, plain
from curate.errors import LedgerError
from curate.schema import ACTIONS, conform
from curate.text import csv_separator, csv_text, for_table, from_csv

# People fill in action, label and reason; `why` and `given_label` are the queue's reason and label.
CSV_COLUMNS = (
    *("rank", "why", "given_label", "suggested_label", "proposed_action", "action", "label", "reason"),
    *("sample_id", "issue", "probability", "score", "split", "group_id", "nearest_id", "sha256"),
)
NEEDED = ("sample_id", "issue", "action")
ACCEPT = "accept"  # in a file: do as proposed
LONGEST = 10_000  # characters in a cell


def queue_csv(queue: pd.DataFrame) -> str:
    """Write the queue as a CSV with empty columns `action`, `label` and `reason` to fill in.

    An action is keep, relabel (with a label), drop, unsure, or accept: do as proposed. Cells that a spreadsheet
    would run as a formula begin with an apostrophe, which `read_decisions` takes off again. Save the text in
    the encoding utf-8-sig, which spreadsheets understand.
    """
    table = queue.rename(columns={"reason": "why", "label": "given_label"}).assign(action="", label="", reason="")
    table = table[list(CSV_COLUMNS)].round({"probability": 4, "score": 4})
    return csv_text(table)


def read_decisions(
    file: Path | str,
    samples: pd.DataFrame,
    *,
    reviewer: str | None = None,
    issues: Collection[str] | None = None,
    allow_new_classes: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read verdicts from a CSV: that of `queue_csv`, that of the HTML page, or one made by hand.

    Needed are the columns `sample_id, issue, action`; used where present are `label, reason, reviewer,
    proposed_action, suggested_label, given_label, probability, score, sha256`. Rows without an action are undecided,
    and passed over. A row whose `sha256` is no longer that of its sample judged another picture: a problem. Columns
    may be separated by comma, semicolon or tab.

    Parameters
    ----------
    file : the CSV, in UTF-8
    samples : schema SAMPLES; its labels are the known classes
    reviewer : who decided, for rows without a reviewer of their own
    issues : the issues there are; any other is a problem. None: not checked
    allow_new_classes : accept a relabel to a class that no sample has yet

    Returns
    -------
    decisions : ready for `Ledger.add`
    problems : schema ROW_PROBLEMS, one for each verdict that can't be used. Of rows that contradict each other
        none is used; of rows that repeat each other the first is

    Raises
    ------
    LedgerError : the file can't be read at all, or lacks a needed column
    """
    file = Path(file)
    known = _Known(
        samples=samples.set_index("sample_id")[["sha256", "label"]].to_dict("index"),
        classes=dict.fromkeys(sorted(samples["label"].dropna().unique())),
        issues=issues,
        reviewer=reviewer,
        allow_new_classes=allow_new_classes,
    )
    read: dict[int, dict[str, str | None]] = {}
    problems: list[dict[str, object]] = []
    for number, row in enumerate(_rows(file), start=1):
        if _cell(row, "action"):
            try:
                read[number] = _decision(row, known)
            except _RowProblem as problem:
                problems.append(_problem(file, number, row.get("sample_id"), str(problem)))
    for number, reason in _repeats(read).items():
        problems.append(_problem(file, number, read.pop(number)["sample_id"], reason))
    problems.sort(key=lambda problem: problem["row"])  # type: ignore[arg-type, return-value]
    columns = ["file", "row", "image", "reason"]
    return (
        pd.DataFrame(list(read.values()), columns=list(FIELDS), dtype="object"),
        conform("row_problems", pd.DataFrame(problems, columns=columns)),
    )


def unrecorded(file: Path | str, history: pd.DataFrame) -> int:
    """How many verdicts of a CSV, whether they can be used or not, are not in the ledger.

    Parameters
    ----------
    history : every row of the ledger, as `Ledger.history` gives it

    Raises
    ------
    LedgerError : the file can't be read
    """
    columns = [history[name].astype("object").fillna("") for name in ("sample_id", "issue", "action", "label")]
    recorded = set(zip(*([cell.strip() for cell in column] for column in columns), strict=True))
    filled_in = (row for row in _rows(Path(file)) if _cell(row, "action"))
    return sum(tuple(cell.strip() for cell in _verdict(row)) not in recorded for row in filled_in)


@dataclass(frozen=True)
class _Known:
    """What a row is checked against."""

    samples: Mapping[str, Mapping[str, Any]]  # sample_id → sha256, label
    classes: dict[str, None]  # a set in order: one of many is found at once
    issues: Collection[str] | None
    reviewer: str | None
    allow_new_classes: bool


class _RowProblem(Exception):
    """Why a row can't be used."""


def _decision(row: Mapping[str, str], known: _Known) -> dict[str, str | None]:
    _check_cells(row)
    sample_id = _one_of(row, "sample_id", known.samples, "no such sample")
    now = known.samples[sample_id]
    if (judged := _cell(row, "sha256")) and judged != plain(now["sha256"]):
        raise _RowProblem("the picture has changed since: this row judged another one")
    issue = _cell(row, "issue")
    if not issue or (known.issues is not None and issue not in known.issues):
        raise _RowProblem(f"unknown issue {issue!r}" + _similar(issue, known.issues or ()))
    action, label = _action(row, known)
    reviewer = _cell(row, "reviewer") or known.reviewer
    if not reviewer:
        raise _RowProblem("no reviewer")
    return {
        "sample_id": sample_id,
        "sha256": now["sha256"],
        "issue": issue,
        "action": action,
        "label": label,
        "reviewer": reviewer,
        "reason": _cell(row, "reason") or None,
        "evidence": evidence(
            probability=_share(row, "probability"),
            score=_share(row, "score"),
            given_label=_cell(row, "given_label") or now["label"],
        ),
    }


def _verdict(row: Mapping[str, str]) -> tuple[str, str, str, str]:
    """Sample, issue, action and the label of a relabel, as they stand in the row."""
    action, label = _named(row)
    return _cell(row, "sample_id"), _cell(row, "issue"), action, _cell(row, label) if action == "relabel" else ""


def _named(row: Mapping[str, str]) -> tuple[str, str]:
    """The action, and the column that holds the label of a relabel."""
    action = _cell(row, "action").lower()
    return (_cell(row, "proposed_action").lower(), "suggested_label") if action == ACCEPT else (action, "label")


def _action(row: Mapping[str, str], known: _Known) -> tuple[str, str | None]:
    """The action, and the label of a relabel."""
    action, cell = _named(row)
    if action not in ACTIONS:
        raise _RowProblem(f"unknown action {action!r}" + _similar(action, [*ACTIONS, ACCEPT]))
    if action != "relabel":
        if _cell(row, "label"):
            raise _RowProblem(f"a label, but the action is {action!r}")
        return action, None
    if not _cell(row, cell):
        raise _RowProblem("relabel without a label")
    return action, _cell(row, cell) if known.allow_new_classes else _one_of(row, cell, known.classes, "no such class")


def _one_of(row: Mapping[str, str], name: str, known: Collection[str], complaint: str) -> str:
    """The cell as one of the known names; only there do spaces at its ends count."""
    for cell in (from_csv(row.get(name, "")), _cell(row, name)):
        if cell in known:
            return cell
    wanted = _cell(row, name)
    raise _RowProblem(f"{complaint}: {wanted[:80]!r}" + _similar(wanted, known))


def _cell(row: Mapping[str, str], name: str) -> str:
    return from_csv(row.get(name) or "", strip=True)


def _share(row: Mapping[str, str], name: str) -> float | None:
    """A number in [0, 1], or None for an empty cell."""
    cell = _cell(row, name).replace(",", ".")  # a spreadsheet in another language
    if not cell:
        return None
    try:
        share = float(cell)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise _RowProblem(f"{name} is {cell[:40]!r}, not a number from 0 to 1")
    return share


def _check_cells(row: Mapping[str, Any]) -> None:
    if None in row:
        raise _RowProblem("more cells than the header has columns")
    for name, cell in row.items():
        if len(cell) > LONGEST:
            raise _RowProblem(f"{name} has {len(cell):,} characters; {LONGEST:,} are allowed")
        if any("\udc80" <= character <= "\udcff" for character in cell):
            raise _RowProblem(f"{name} is not UTF-8")
        if "\0" in cell:
            raise _RowProblem(f"{name} holds a NUL character")


def _similar(wanted: str, known: Collection[str]) -> str:
    few = list(known) if len(known) <= 1000 else []  # classes and issues; among samples the search would be slow
    close = difflib.get_close_matches(wanted[:200], few, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _repeats(read: Mapping[int, Mapping[str, str | None]]) -> dict[int, str]:
    """Row number → what is wrong, for rows that decide a sample and issue again."""
    rows: dict[tuple[str | None, str | None], list[int]] = {}
    for number, decision in read.items():
        rows.setdefault((decision["sample_id"], decision["issue"]), []).append(number)
    wrong: dict[int, str] = {}
    for numbers in rows.values():
        first, *others = numbers
        agree = len({(read[n]["action"], read[n]["label"]) for n in numbers}) == 1
        wrong |= {n: f"repeats row {first}" if agree else f"contradicts row {first}" for n in others}
        if not agree:
            wrong[first] = f"contradicts row {others[0]}"
    return wrong


def _problem(file: Path, number: int, image: str | None, reason: str) -> dict[str, object]:
    shown = for_table((image or "")[:200])
    return {"file": for_table(file.name), "row": number, "image": shown or None, "reason": reason}


def _rows(file: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV as dicts; bytes that are not UTF-8 arrive as lone surrogates."""
    try:
        text = file.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise LedgerError(f"can't read {file}: {error.strerror}") from error
    with _long_cells_allowed():
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=csv_separator(text), restval="")
        reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
        missing = [name for name in NEEDED if name not in reader.fieldnames]
        if missing and "\0" in text:
            raise LedgerError(f"{file} is not a CSV in UTF-8", do="save it as 'CSV UTF-8' and try again")
        if missing:
            raise LedgerError(
                f"{file} has no column '{missing[0]}'", f"columns {', '.join(NEEDED)}, separated by commas"
            )
        yield from reader


@contextmanager
def _long_cells_allowed() -> Iterator[None]:
    """csv refuses cells beyond 131,072 characters, and with them the file; we refuse the row."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
