"""A CSV, Parquet or JSONL file as columns of text: every cell as it was written, or a reason why not.

No value is guessed: `007` stays `007`, `NA` and `null` stay class names, and only an empty cell is null.
"""

from __future__ import annotations

import codecs
import csv
import functools
import io
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from curate.errors import CurateError
from curate.formats.cells import Cells, plays, some, text_column
from curate.formats.problems import first_of, problem_table
from curate.text import csv_separator, from_csv

if TYPE_CHECKING:
    import pyarrow


Wanted = Callable[[str], bool]  # whether a column of this name is kept


def read_cells(file: Path, *, error: type[CurateError], roles: Collection[str] = ()) -> Cells:
    """Read a CSV (or TSV), Parquet or JSONL file.

    Parameters
    ----------
    roles : keep only the columns that can play one of these, for a file may have as many columns as rows; all if empty

    Raises
    ------
    `error` : not readable, not UTF-8, of another kind, without rows, or with two columns of one name
    """
    read = READERS.get(file.suffix.lower())
    if read is None:
        raise error(f"{file.name} is of no known kind", f"a file that ends in {', '.join(SUFFIXES)}")
    try:
        cells = read(file, error, functools.partial(_plays, roles) if roles else bool)
    except OSError as fault:
        raise error(f"can't read {file}: {fault.strerror or fault}") from fault
    if not len(cells.table) and not cells.not_text:
        raise error(f"{file.name} has no row that can be read{first_of(cells.problems)}", "a header, a row per image")
    return cells


def _plays(roles: Collection[str], name: str) -> bool:
    return any(plays(name, role) for role in roles)


# ---- CSV -------------------------------------------------------------------------------------


def _read_csv(file: Path, error: type[CurateError], wanted: Wanted) -> Cells:
    header, rows = _records(file, error)
    _refuse_repeats(header, file, error)
    whole = {number: row for number, row in rows.items() if len(row) == len(header)}
    torn = {number: row for number, row in rows.items() if len(row) != len(header)}
    columns = zip(*whole.values(), strict=True) if whole else [()] * len(header)
    # a column without a name is an index that some program wrote along
    named = {name: text_column(column) for name, column in zip(header, columns, strict=True) if name and wanted(name)}
    problems = problem_table(
        file.name,
        list(torn),
        [row[0] for row in torn.values()],
        [f"has {len(row)} cells where the header has {len(header)}" for row in torn.values()],
    )
    return Cells(file.name, _numbered(named, whole), problems, error, is_csv=True, names=tuple(filter(None, header)))


def _records(file: Path, error: type[CurateError]) -> tuple[list[str], dict[int, list[str]]]:
    """The header, and the rows that are not blank by number."""
    text = _decode(file, error)
    try:
        with _cells_of_any_length():
            records = list(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(file, text)))
    except csv.Error as fault:
        raise error(f"{file.name} is not a CSV file: {fault}") from fault
    start = next((i for i, record in enumerate(records) if record), None)
    if start is None:
        raise error(f"{file.name} is empty", "a header and one row per image")
    header = [from_csv(name, strip=True) for name in records[start]]
    return header, {number: record for number, record in enumerate(records[start + 1 :], 1) if record}


def _delimiter(file: Path, text: str) -> str:
    """A tab where the name says so, else the one of comma, semicolon and tab that is most frequent in the header."""
    if file.suffix.lower() == ".tsv":
        return "\t"
    return csv_separator(text)


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """Lift csv's limit of 131,072 characters per cell; what is too long gets a reason of its own later."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _decode(file: Path, error: type[CurateError]) -> str:
    data = file.read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise error(
            f"{file.name} is not UTF-8: byte 0x{data[fault.start]:02x} in line {line:,}",
            "text in UTF-8",
            f"save it as UTF-8, or: iconv -f latin1 -t utf-8 {file.name} > utf8-{file.name}",
        ) from None


# ---- JSONL -----------------------------------------------------------------------------------


def _read_jsonl(file: Path, error: type[CurateError], wanted: Wanted) -> Cells:
    records: list[dict[str, str | None]] = []
    numbers, faults = [], []
    nested: dict[str, dict[int, str]] = {}
    for number, line in enumerate(_decode(file, error).split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = _record(line)
        except ValueError as fault:
            faults.append((number, str(fault)))
            continue
        records.append({name: _as_text(value) for name, value in record.items()})
        numbers.append(number)
        for name, value in record.items():
            if isinstance(value, (list, dict)):
                nested.setdefault(name, {})[number] = type(value).__name__
    if not records and not faults:
        raise error(f"{file.name} is empty", "one JSON object per line")
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: text_column([record.get(name) for record in records]) for name in names if wanted(name)}
    odd = {name: "lists or objects" for name in nested if name in columns and columns[name].isna().all()}
    plain = {name: column for name, column in columns.items() if name not in odd}
    problems = problem_table(file.name, [n for n, _ in faults], [None] * len(faults), [why for _, why in faults])
    return Cells(file.name, _numbered(plain, numbers), problems, error, odd, nested, names=tuple(names))


def _record(line: str) -> dict[str, Any]:
    """One JSON object. Raises ValueError with the reason."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise ValueError(f"is not JSON: {fault}") from None
    if not isinstance(record, dict):
        raise ValueError("is not a JSON object")
    if "\\u" in line:
        _refuse_half_characters(record)
    return {name.strip(): value for name, value in record.items() if name.strip()}


def _refuse_half_characters(record: dict[str, Any]) -> None:
    """JSON can spell half of a UTF-16 pair, which is no text and fits in no table."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a UTF-16 character pair") from None


def _as_text(value: object) -> str | None:
    """A plain value as text; null for a list or an object, which is no fault in a column that nobody needs."""
    if isinstance(value, (bool, int, float)):
        return None if value != value else json.dumps(value)  # NaN is an empty cell
    return value if isinstance(value, str) else None


# ---- Parquet ---------------------------------------------------------------------------------


def _read_parquet(file: Path, error: type[CurateError], wanted: Wanted) -> Cells:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # by handle: Arrow takes no path that is not UTF-8. Not read_table: it takes columns out of folder names
        with open(file, "rb") as handle:
            parquet = pq.ParquetFile(handle)
            schema = parquet.schema_arrow
            _refuse_repeats(schema.names, file, error)
            odd = {f.name: f"values of type {f.type}" for f in schema if _is_no_text(f.type) and wanted(f.name)}
            plain = [name for name in schema.names if wanted(name) and name not in odd]
            read = parquet.read(columns=plain)
        read.validate(full=True)
        columns = {name: text_column(_arrow_text(read[name])) for name in plain}
    except pa.ArrowException as fault:
        raise error(f"{file.name} can't be read as Parquet: {fault}") from fault
    except UnicodeDecodeError as fault:
        raise error(f"{file.name} has a column whose name is not UTF-8", "names in UTF-8") from fault
    table = _numbered(columns, range(1, parquet.metadata.num_rows + 1))
    return Cells(file.name, table, problem_table(file.name, [], [], []), error, odd, names=tuple(schema.names))


def _is_no_text(kind: pyarrow.DataType) -> bool:
    import pyarrow as pa

    kinds = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(is_kind(kind) for is_kind in kinds)


def _arrow_text(column: pyarrow.ChunkedArray) -> list[str | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column.cast(pa.string()).to_pylist()


# ---- shared ----------------------------------------------------------------------------------


def _numbered(columns: dict[str, pd.Series], numbers: Iterable[int]) -> pd.DataFrame:
    index = pd.Index(list(numbers), dtype="int64", name="row")
    return pd.DataFrame(columns).set_axis(index) if columns else pd.DataFrame(index=index)


def _refuse_repeats(names: list[str], file: Path, error: type[CurateError]) -> None:
    repeated = sorted(name for name, times in Counter(names).items() if name and times > 1)
    if repeated:
        raise error(f"{file.name} has more than one column {some(repeated)}", "column names that differ")


READERS: dict[str, Callable[[Path, type[CurateError], Wanted], Cells]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
}
SUFFIXES = tuple(READERS)
