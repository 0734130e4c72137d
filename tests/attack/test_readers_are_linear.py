"""Four times the file is four times the work: operations are counted, for time differs from machine to machine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.decisions.csv import read_decisions
from curate.errors import SourceError
from curate.formats import rows
from curate.ingest.sources import read_source
from curate.text import csv_text

Work = Callable[[int], int]  # operations at a size
LINEAR = 5.0  # quadratic is 16


class Compared(str):
    """Text that counts how often it is compared."""

    times = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)


def growth(work: Work, size: int) -> float:
    """How many times the operations grow where the size grows four times."""
    return work(4 * size) / max(work(size), size)


def test_the_test_of_growth_knows_a_quadratic() -> None:
    def work(size: int) -> int:
        Compared.times = 0
        names = [Compared(number) for number in range(size)]
        assert not [name for name in names if names.count(name) > 1]
        return Compared.times

    assert growth(work, 50) > LINEAR


@pytest.mark.parametrize("is_repeated", [False, True])
def test_repeated_columns_are_found_in_one_pass(is_repeated: bool) -> None:
    def work(size: int) -> int:
        Compared.times = 0
        names = [Compared(number // 2 if is_repeated else number) for number in range(size)]
        try:
            rows._refuse_repeats(names, Path("m.csv"), SourceError)
        except SourceError:
            assert is_repeated
        return Compared.times

    assert growth(work, 50) <= LINEAR


def one_row(file: Path, size: int) -> None:
    names = ["image", "label", *(f"c{number}" for number in range(size))]
    if file.suffix == ".csv":
        file.write_text(",".join(names) + "\n" + ",".join(["1.png"] * len(names)) + "\n")
    elif file.suffix == ".jsonl":
        file.write_text(json.dumps(dict.fromkeys(names, "1.png")) + "\n")
    else:
        pq.write_table(pa.table({name: ["1.png"] for name in names}), file)


def a_key_for_each_row(file: Path, size: int) -> None:
    file.write_text("".join(json.dumps({"image": f"{row}.png", f"c{row}": "x"}) + "\n" for row in range(size)))


@pytest.mark.parametrize(
    ("name", "write"),
    [("m.csv", one_row), ("m.jsonl", one_row), ("m.parquet", one_row), ("m.jsonl", a_key_for_each_row)],
    ids=["CSV", "JSONL", "Parquet", "a key for each row"],
)
def test_a_manifest_costs_what_its_own_columns_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: Callable[[Path, int], None]
) -> None:
    cells = 0
    real = rows.text_column

    def counted(values: Iterable[object], index: pd.Index | None = None) -> pd.Series:
        nonlocal cells
        column = real(values, index)
        cells += len(column)
        return column

    monkeypatch.setattr(rows, "text_column", counted)

    def work(size: int) -> int:
        nonlocal cells
        cells = 0
        write(tmp_path / name, size)
        read_source(tmp_path / name)
        return cells

    assert growth(work, 30) <= LINEAR
    assert work(30) <= 60  # of 'image' and 'label'


def test_columns_that_nobody_needs_are_named_in_an_error_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("picture,kind\n1.png,cat\n")
    with pytest.raises(SourceError, match="its columns: 'picture', 'kind'"):
        read_source(tmp_path / "m.csv")
    names = [f"c{number}" for number in range(30)]
    (tmp_path / "n.csv").write_text(f"{','.join(names)}\n{','.join(names)}\n")
    with pytest.raises(SourceError, match="'c19' and 10 more"):
        read_source(tmp_path / "n.csv")


def test_a_deep_path_that_is_not_there_costs_what_it_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    real = os.lstat

    def counted(*arguments: Any, **options: Any) -> os.stat_result:
        nonlocal looks
        looks += 1
        return real(*arguments, **options)

    def work(size: int) -> int:
        nonlocal looks
        deep = "/nowhere" + "/a" * size + ".png"
        (tmp_path / "m.csv").write_text(f"image\n1.png\n{deep}\n")
        looks = 0
        assert len(read_source(tmp_path / "m.csv").problems) == 1
        return looks

    monkeypatch.setattr(os, "lstat", counted)
    assert growth(work, 60) <= LINEAR


def test_an_absolute_path_through_a_link_to_the_root_is_found_still(tmp_path: Path) -> None:
    (tmp_path / "real/a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    cells = [tmp_path / "link/a/b/1.png", tmp_path / "link/gone/1.png", tmp_path / "other/a/1.png"]
    (tmp_path / "real/m.csv").write_text("image\n" + "".join(f"{cell}\n" for cell in cells))
    source = read_source(tmp_path / "real/m.csv")
    assert source.sources["sample_id"].tolist() == ["a/b/1.png", "gone/1.png"]
    assert source.problems["row"].tolist() == [3]


def test_a_relabel_is_not_compared_with_every_class(tmp_path: Path) -> None:
    def work(size: int) -> int:
        ids, labels = [f"{n}.png" for n in range(size)], [f"c{n}" for n in range(size)]
        table = pd.DataFrame({"sample_id": ids, "issue": "label", "action": "relabel", "label": labels[::-1]})
        (tmp_path / "d.csv").write_bytes(csv_text(table).encode())
        known = pd.Series([Compared(label) for label in labels], dtype="object")
        samples = pd.DataFrame({"sample_id": ids, "sha256": "0"}).assign(label=known)
        Compared.times = 0
        decisions, problems = read_decisions(tmp_path / "d.csv", samples, reviewer="ann")
        assert len(decisions) == size and problems.empty
        return Compared.times

    assert growth(work, 50) <= LINEAR
