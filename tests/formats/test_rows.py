from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import AnnotationError, SourceError
from curate.formats.rows import read_cells

CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LITERAL = ["007", "NA", "null", "nan", "1e5", "True", " x "]


def cells(table):
    return [tuple(cell if isinstance(cell, str) else None for cell in row) for row in table.itertuples(index=False)]


def read(file):
    return read_cells(file, error=SourceError)


def test_cells_stay_as_written_in_every_format(write, tmp_path):
    table = pd.DataFrame({"image": [f"{i}.jpg" for i in range(len(LITERAL))], "label": LITERAL})
    write("m.csv", table.to_csv(index=False))
    write("m.tsv", table.to_csv(index=False, sep="\t"))
    write("m.jsonl", table.to_json(orient="records", lines=True))
    table.to_parquet(tmp_path / "data" / "m.parquet")
    for name in ("m.csv", "m.tsv", "m.jsonl", "m.parquet"):
        found = read(tmp_path / "data" / name)
        assert cells(found.table) == cells(table), name
        assert found.table.index.tolist() == list(range(1, len(LITERAL) + 1))


def test_an_empty_cell_is_null_in_every_format(write, tmp_path):
    write("m.csv", "image,label\n1.jpg,\n")
    write("m.jsonl", '{"image": "1.jpg", "label": ""}\n')
    write("n.jsonl", '{"image": "1.jpg", "label": null}\n')
    pd.DataFrame({"image": ["1.jpg"], "label": [""]}).to_parquet(tmp_path / "data" / "m.parquet")
    for name in ("m.csv", "m.jsonl", "n.jsonl", "m.parquet"):
        assert cells(read(tmp_path / "data" / name).table) == [("1.jpg", None)]


@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), ending=st.sampled_from(["\n", "\r\n"]))
def test_whatever_python_writes_as_csv_reads_back(tmp_path_factory, rows, ending):
    file = tmp_path_factory.mktemp("csv") / "m.csv"
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=ending).writerows([("image", "label"), *rows])
    file.write_bytes(text.getvalue().encode())
    assert cells(read(file).table) == [tuple(cell or None for cell in row) for row in rows]


@given(rows=st.lists(st.dictionaries(st.sampled_from(["image", "label"]), CELL, min_size=1), min_size=1, max_size=8))
def test_whatever_python_writes_as_jsonl_reads_back(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("jsonl") / "m.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read(file).table
    assert cells(found) == [tuple(row.get(name) or None for name in found.columns) for row in rows]


@given(data=st.binary(max_size=200), kind=st.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_any_bytes_are_read_or_refused_with_an_error_of_ours(tmp_path_factory, data, kind):
    file = tmp_path_factory.mktemp("bytes") / f"m{kind}"
    file.write_bytes(data)
    try:
        read(file)
    except SourceError as error:
        assert file.name in str(error)


def test_a_byte_order_mark_is_no_part_of_the_first_column(write):
    assert list(read(write("m.csv", b"\xef\xbb\xbfimage\n1.jpg\n")).table.columns) == ["image"]


def test_text_that_is_not_utf8_is_an_error_that_says_where(write):
    with pytest.raises(SourceError, match="not UTF-8: byte 0xe9 in line 3(?s:.*)iconv"):
        read(write("m.csv", b"image\n1.jpg\ncaf\xe9.jpg\n"))
    with pytest.raises(SourceError, match="not UTF-8"):
        read(write("m.csv", "image\n1.jpg\n".encode("utf-16")))


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_separator_is_told_from_the_header(write, mark):
    assert cells(read(write("m.csv", f"image{mark}label\n1.jpg{mark}cat\n")).table) == [("1.jpg", "cat")]


def test_a_tsv_has_tabs_whatever_its_header_says(write):
    file = write("m.tsv", "image\tnote (a, b, c, d)\n1.jpg\tcat\n")
    assert read(file).table.to_dict("list") == {"image": ["1.jpg"], "note (a, b, c, d)": ["cat"]}


def test_rows_with_too_many_or_too_few_cells_are_problems(write):
    found = read(write("m.csv", "image,label\n1.jpg,cat\n2.jpg\n\n3.jpg,dog,x\n4.jpg,ant\n"))
    assert found.table.index.tolist() == [1, 5]
    assert found.problems[["row", "image", "reason"]].to_numpy().tolist() == [
        [2, "2.jpg", "has 1 cells where the header has 2"],
        [4, "3.jpg", "has 3 cells where the header has 2"],
    ]


def test_a_cell_may_hold_separators_quotes_and_line_breaks(write):
    assert cells(read(write("m.csv", 'image,label\n"a,""b"".jpg","two\nlines"\n')).table) == [
        ('a,"b".jpg', "two\nlines")
    ]


def test_the_csv_module_keeps_its_own_limit(write):
    before = csv.field_size_limit()
    read(write("m.csv", "image\n" + "x" * 200_000 + "\n"))
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "", "is empty"),
        ("m.csv", "\n\n", "is empty"),
        ("m.csv", "image,label\n", "no row"),
        ("m.csv", "image,label\n1.jpg\n", "no row that can be read; the first: has 1 cells"),
        ("m.csv", "image,image\n1.jpg,2.jpg\n", "more than one column 'image'"),
        ("m.jsonl", "", "is empty"),
        ("m.jsonl", "[1, 2]\n", "the first: is not a JSON object"),
        ("m.jsonl", "{oops\n", "the first: is not JSON"),
        ("m.parquet", "PAR1 or not", "can't be read as Parquet"),
        ("m.parquet", "", "can't be read as Parquet"),
        ("m.xlsx", "PK", "of no known kind"),
    ],
)
def test_a_file_that_is_no_use_is_an_error(write, name, content, message):
    with pytest.raises(AnnotationError, match=message):
        read_cells(write(name, content), error=AnnotationError)


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="can't read .*: No such file"):
        read(tmp_path / "gone.csv")


def test_lines_of_jsonl_that_cannot_be_used_are_problems(write):
    lines = [
        '{"image": "1.jpg", "label": 3}',
        "[]",
        '{"image": "\\ud800"}',
        "[" * 100_000,
        '{"a": ',
    ]
    found = read(write("m.jsonl", "\n".join(lines)))
    assert cells(found.table) == [("1.jpg", "3")]
    assert found.problems["row"].tolist() == [2, 3, 4, 5]
    assert found.problems["reason"].str[:28].tolist() == [
        "is not a JSON object",
        "holds half of a UTF-16 chara",
        "is not JSON: maximum recursi",
        "is not JSON: Expecting value",
    ]


def test_parquet_numbers_and_categories_become_text_and_missing_stays_missing(tmp_path):
    table = pa.table(
        {
            "image": pa.array(["1.jpg", "2.jpg"]).dictionary_encode(),
            "label": pa.array([3, None]),
            "group": pa.array([2.0, float("nan")]),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    assert cells(read(tmp_path / "m.parquet").table) == [("1.jpg", "3", "2"), ("2.jpg", None, None)]


def test_parquet_in_a_folder_named_like_a_partition_gains_no_column(tmp_path):
    folder = tmp_path / "label=7"
    folder.mkdir()
    pq.write_table(pa.table({"image": ["1.jpg"]}), folder / "m.parquet")
    assert list(read(folder / "m.parquet").table.columns) == ["image"]


def test_images_stored_inside_parquet_are_named_as_what_they_are(tmp_path):
    pq.write_table(pa.table({"image": [{"bytes": b"x", "path": "1.jpg"}], "n": [1]}), tmp_path / "m.parquet")
    with pytest.raises(SourceError, match="'image' of m.parquet holds values of type struct"):
        read(tmp_path / "m.parquet").column_of("image")


def test_a_broken_parquet_file_is_an_error_at_every_length(tmp_path):
    file = tmp_path / "m.parquet"
    pq.write_table(pa.table({"image": [f"{i}.jpg" for i in range(100)]}), file)
    whole = file.read_bytes()
    for size in np.linspace(0, len(whole) - 1, 25).astype(int):
        file.write_bytes(whole[:size])
        with pytest.raises(SourceError):
            read(file)
