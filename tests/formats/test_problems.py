from __future__ import annotations

import pandas as pd

from curate.formats.problems import Rows, join_problems, problem_table
from curate.schema import validate


def test_the_first_reason_of_a_row_stands():
    rows = Rows("m.csv", pd.DataFrame({"image": ["a", "b", "c"]}, index=[1, 2, 3]))
    rows.refuse([True, False, False], "first")
    rows.refuse([True, True, False], "second")
    assert rows.problems()["reason"].tolist() == ["first", "second"]
    assert rows.good()["image"].tolist() == ["c"]


def test_several_reasons_of_one_row_become_one_row():
    table = problem_table("m.csv", [2, 1, 2, 2], ["b", "a", "b", "b"], ["x", "y", "z", "x"])
    assert table[["row", "reason"]].to_numpy().tolist() == [[1, "y"], [2, "x; z"]]
    validate("row_problems", table)


def test_problems_of_files_of_the_same_name_can_be_joined():
    one, other = (problem_table("m.csv", [1], [image], ["r"]) for image in ("a", "b"))
    joined = join_problems(one, other, problem_table("n.csv", [], [], []))
    assert joined["reason"].tolist() == ["r"]
    validate("row_problems", joined)


def test_no_problems_are_a_table_all_the_same():
    validate("row_problems", join_problems())
    validate("row_problems", problem_table("m.csv", [], [], []))
