"""The queue as a CSV, verdicts from a CSV, verdicts in bulk."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_tables import flag_table, make_decisions, make_pairs, make_samples

from curate.decisions.csv import queue_csv, read_decisions
from curate.decisions.ledger import Ledger
from curate.errors import LedgerError
from curate.review.bulk import bulk_decisions
from curate.review.queue import build_queue
from curate.schema import empty, validate
from curate.text import for_csv, from_csv

NONE = empty("decisions")
NO_PAIRS = make_pairs()


@pytest.fixture
def samples() -> pd.DataFrame:
    return make_samples({"a.jpg": {}, "b.jpg": {"label": "dog"}, "=cmd|calc.jpg": {"label": "'t Hart"}})


def written(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    file = tmp_path / "decisions.csv"
    file.write_text(text, encoding=encoding, newline="")
    return file


def read(file: Path, samples: pd.DataFrame, **options: object) -> tuple[list[tuple], list[tuple[int, str]]]:
    """Verdicts as (sample, action, label), problems as (row, reason)."""
    decisions, problems = read_decisions(file, samples, **{"reviewer": "ann", **options})
    validate("row_problems", problems)
    said = [(r.sample_id, r.action, r.label) for r in decisions.itertuples()]
    return said, list(zip(problems["row"], problems["reason"], strict=True))


# ---- round trip ------------------------------------------------------------------------------


def test_the_csv_is_filled_in_and_read_back(samples: pd.DataFrame, tmp_path: Path) -> None:
    issues = {"label": flag_table("label", {s: {"p": 0.9, "suggested_label": "dog"} for s in samples["sample_id"]})}
    text = queue_csv(build_queue(samples, issues, NO_PAIRS, NONE))
    rows = {from_csv(row["sample_id"]): row for row in csv.DictReader(io.StringIO(text))}
    assert set(rows) == set(samples["sample_id"])
    assert {row["action"] + row["label"] + row["reason"] for row in rows.values()} == {""}
    assert rows["a.jpg"]["why"] == "labelled cat, looks like dog (0.90)"
    rows["a.jpg"] |= {"action": "Accept ", "reason": "see ears"}
    rows["=cmd|calc.jpg"] |= {"action": "relabel", "label": "cat"}
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows["a.jpg"]))
    writer.writeheader()
    writer.writerows(rows.values())
    decisions, problems = read_decisions(written(tmp_path, buffer.getvalue(), "utf-8-sig"), samples, reviewer="ann")
    assert problems.empty
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.add(decisions)
        current = ledger.current().set_index("sample_id")
    assert current["action"].to_dict() == {"a.jpg": "relabel", "=cmd|calc.jpg": "relabel"}
    assert current["label"].to_dict() == {"a.jpg": "dog", "=cmd|calc.jpg": "cat"}
    assert current.loc["a.jpg", "sha256"] == samples.set_index("sample_id").loc["a.jpg", "sha256"]
    assert json.loads(current.loc["a.jpg", "evidence"]) == {"given_label": "cat", "probability": 0.9, "score": 0.1}


def test_no_cell_begins_as_a_formula(samples: pd.DataFrame) -> None:
    hostile = {"=cmd|calc.jpg": {"suggested_label": "@SUM(A1)"}, "a.jpg": {"suggested_label": "+1"}}
    text = queue_csv(build_queue(samples, {"label": flag_table("label", hostile)}, NO_PAIRS, NONE))
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert "'=cmd|calc.jpg" in cells and "'@SUM(A1)" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_an_empty_queue_is_a_header(samples: pd.DataFrame) -> None:
    assert queue_csv(empty("queue")).startswith(
        "rank,why,given_label,suggested_label,proposed_action,action,label,reason"
    )


@given(st.text(max_size=8))
def test_a_guarded_cell_is_no_formula_and_comes_back(cell: str) -> None:
    assert from_csv(for_csv(cell)) == cell
    assert not for_csv(cell).startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_a_name_that_begins_with_an_apostrophe_may_be_typed_as_it_is(samples: pd.DataFrame, tmp_path: Path) -> None:
    file = written(
        tmp_path, "sample_id,issue,action,label\na.jpg,label,relabel,'t Hart\nb.jpg,label,relabel,''t Hart\n"
    )
    assert read(file, samples) == ([("a.jpg", "relabel", "'t Hart"), ("b.jpg", "relabel", "'t Hart")], [])


# ---- reading ---------------------------------------------------------------------------------


def test_rows_without_an_action_are_undecided(samples: pd.DataFrame, tmp_path: Path) -> None:
    file = written(tmp_path, "sample_id,issue,action\na.jpg,label,\nnot there,label, \n\nb.jpg,label,keep\n")
    assert read(file, samples) == ([("b.jpg", "keep", None)], [])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_and_capitals_of_other_spreadsheets(samples: pd.DataFrame, tmp_path: Path, separator: str) -> None:
    text = f"Sample_ID{separator} Issue {separator}ACTION{separator}probability\r\na.jpg{separator}label{separator}DROP"
    file = written(tmp_path, text + separator + '"0,93"\r\n', "utf-8-sig")
    decisions, _ = read_decisions(file, samples, reviewer="ann")
    assert decisions["action"].tolist() == ["drop"]
    assert json.loads(decisions["evidence"][0])["probability"] == 0.93


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("other/A.png,label,keep,,", "no such sample: 'other/A.png'"),
        (",label,keep,,", "no such sample: ''"),
        ("a.jpg,lable,keep,,", "unknown issue 'lable'; did you mean 'label'?"),
        ("a.jpg,,keep,,", "unknown issue ''"),
        ("a.jpg,label,kepe,,", "unknown action 'kepe'; did you mean 'keep'?"),
        ("a.jpg,label,undo,,", "unknown action 'undo'"),
        ("a.jpg,label,relabel,,", "relabel without a label"),
        ("a.jpg,label,relabel,dgo,", "no such class: 'dgo'; did you mean 'dog'?"),
        ("a.jpg,label,keep,dog,", "a label, but the action is 'keep'"),
        ("a.jpg,label,accept,,", "unknown action ''"),
        ("a.jpg,label,keep,,high", "probability is 'high', not a number from 0 to 1"),
        ("a.jpg,label,keep,,1.5", "probability is '1.5', not a number from 0 to 1"),
        ("a.jpg,label,keep,,nan", "probability is 'nan', not a number from 0 to 1"),
        ("a.jpg,label,keep,,0.5,more", "more cells than the header has columns"),
    ],
)
def test_a_row_that_can_not_be_used_is_told_and_the_others_are(
    samples: pd.DataFrame, tmp_path: Path, row: str, reason: str
) -> None:
    file = written(tmp_path, f"sample_id,issue,action,label,probability\nb.jpg,label,drop,,\n{row}\n")
    said, problems = read(file, samples, issues={"label", "outlier"})
    assert said == [("b.jpg", "drop", None)]
    assert problems == [(2, reason)]


def test_a_row_that_judged_another_picture_is_told_and_the_others_are_recorded(
    samples: pd.DataFrame, tmp_path: Path
) -> None:
    issues = {"label": flag_table("label", {"a.jpg": {"suggested_label": "dog"}, "b.jpg": {"suggested_label": "cat"}})}
    text = queue_csv(build_queue(samples, issues, NO_PAIRS, NONE))
    table = pd.read_csv(io.StringIO(text), dtype=str).assign(action="accept")
    file = written(tmp_path, table.to_csv(index=False))
    assert len(read(file, samples)[0]) == 2
    changed = samples.assign(sha256=samples["sha256"].mask(samples["sample_id"].eq("a.jpg"), "other"))
    said, [(_, reason)] = read(file, changed)
    assert said == [("b.jpg", "relabel", "cat")]
    assert reason == "the picture has changed since: this row judged another one"
    table.drop(columns="sha256").to_csv(file, index=False)
    assert len(read(file, changed)[0]) == 2  # made by hand, without the column


def test_a_new_class_needs_permission(samples: pd.DataFrame, tmp_path: Path) -> None:
    file = written(tmp_path, "sample_id,issue,action,label\na.jpg,label,relabel,wolf\n")
    assert read(file, samples)[0] == []
    assert read(file, samples, allow_new_classes=True)[0] == [("a.jpg", "relabel", "wolf")]


def test_repeated_rows_count_once_and_contradicting_rows_not_at_all(samples: pd.DataFrame, tmp_path: Path) -> None:
    rows = ["a.jpg,label,keep", "b.jpg,label,keep", "a.jpg,label,keep", "b.jpg,label,drop", "b.jpg,outlier,drop"]
    said, problems = read(written(tmp_path, "sample_id,issue,action\n" + "\n".join(rows)), samples)
    assert said == [("a.jpg", "keep", None), ("b.jpg", "drop", None)]
    assert problems == [(2, "contradicts row 4"), (3, "repeats row 1"), (4, "contradicts row 2")]


def test_the_reviewer_comes_from_the_row_or_else_from_the_caller(samples: pd.DataFrame, tmp_path: Path) -> None:
    file = written(tmp_path, "sample_id,issue,action,reviewer\na.jpg,label,keep,bob\nb.jpg,label,keep,\n")
    decisions, _ = read_decisions(file, samples, reviewer="ann")
    assert decisions["reviewer"].tolist() == ["bob", "ann"]
    assert read(file, samples, reviewer=None)[1] == [(2, "no reviewer")]


def test_bytes_that_are_not_utf8_spoil_their_row_only(samples: pd.DataFrame, tmp_path: Path) -> None:
    file = tmp_path / "d.csv"
    file.write_bytes(b"sample_id,issue,action,reason\na.jpg,label,keep,caf\xe9\nb.jpg,label,keep,ok\n")
    assert read(file, samples) == ([("b.jpg", "keep", None)], [(1, "reason is not UTF-8")])


def test_a_million_characters_in_a_cell_spoil_their_row_only(samples: pd.DataFrame, tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    file = written(tmp_path, f"sample_id,issue,action,reason\na.jpg,label,keep,{'x' * 10**6}\nb.jpg,label,keep,ok\n")
    said, problems = read(file, samples)
    assert said == [("b.jpg", "keep", None)]
    assert problems == [(1, "reason has 1,000,000 characters; 10,000 are allowed")]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no column 'sample_id'"),
        (b"sample_id,action\n", "no column 'issue'"),
        ("sample_id,issue,action\n".encode("utf-16"), "not a CSV in UTF-8"),
        (b"\x89PNG\r\n\0\0", "not a CSV in UTF-8"),
    ],
)
def test_a_file_that_is_no_such_csv_is_refused(
    samples: pd.DataFrame, tmp_path: Path, content: bytes, complaint: str
) -> None:
    (tmp_path / "d.csv").write_bytes(content)
    with pytest.raises(LedgerError, match=complaint):
        read_decisions(tmp_path / "d.csv", samples, reviewer="ann")


def test_a_missing_file_is_refused(samples: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No such file"):
        read_decisions(tmp_path / "nowhere.csv", samples, reviewer="ann")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_content_ends_in_anything_but_rows_problems_or_a_ledger_error(
    samples: pd.DataFrame, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "d.csv").write_bytes(b"sample_id,issue,action,label\na.jpg,label," + content)
    try:
        decisions, problems = read_decisions(tmp_path / "d.csv", samples, reviewer="ann")
    except LedgerError:
        return
    validate("row_problems", problems)
    assert set(decisions["action"]) <= {"keep", "drop", "unsure", "relabel"}


# ---- in bulk ---------------------------------------------------------------------------------


def bulk(samples: pd.DataFrame, issues: dict[str, pd.DataFrame], decisions: pd.DataFrame = NONE, **rule: object):
    rule = {"action": "relabel", "above": 0.8, "reviewer": "ann", **rule}
    return bulk_decisions(samples, issues, NO_PAIRS, decisions, **rule)


def test_a_bulk_rule_decides_what_is_above_its_threshold_and_says_so() -> None:
    samples = make_samples(["a", "b", "c", "d", "e", "f"])
    rows = {"a": {"p": 0.95}, "b": {"p": 0.8}, "c": {"p": 0.99}, "d": {"p": 0.9}, "e": {"p": 0.9}}
    rows = {name: {"suggested_label": "dog", **facts} for name, facts in rows.items()}
    rows["f"] = {"p": 0.97, "suggested_label": None}
    decided = make_decisions(samples, ("c", "label", "keep"), ("d", "label", "unsure"), ("e", "outlier", "keep"))
    table = bulk(samples, {"label": flag_table("label", rows)}, decided, issue="label")
    assert sorted(table["sample_id"]) == ["a", "e"]
    assert set(table["label"]) == {"dog"} and table["sha256"].notna().all()
    said = json.loads(table.set_index("sample_id").loc["a", "evidence"])
    assert said == {
        "bulk": "label: relabel where P > 0.8",
        "given_label": "cat",
        "probability": 0.95,
        "score": 0.05,
    } | {"score": pytest.approx(0.05)}


def test_a_threshold_below_the_finders_cut_reaches_what_it_did_not_flag() -> None:
    samples = make_samples(["a", "b"])
    issues = {"label": flag_table("label", {"a": {"p": 0.4}, "b": {"p": 0.2}})}
    assert bulk(samples, issues, issue="label", above=0.3, action="drop")["sample_id"].tolist() == ["a"]


def test_dropping_duplicates_in_bulk_spares_one_of_each_group() -> None:
    samples = make_samples({"a": {}, "b": {"width": 64.0}, "c": {}, "t": {"split": "test"}, "u": {}})
    near = {name: {"group_id": 1} for name in "abc"} | {name: {"group_id": 2} for name in "tu"}
    issues = {"near_duplicate": flag_table("near_duplicate", near)}
    assert sorted(bulk(samples, issues, issue="near_duplicate", action="drop")["sample_id"]) == ["a", "c", "u"]
    kept = make_decisions(samples, ("a", "leak", "keep"))
    assert sorted(bulk(samples, issues, kept, issue="near_duplicate", action="drop")["sample_id"]) == ["b", "c", "u"]


def test_bulk_of_one_quality_issue_leaves_the_others_of_its_table_alone() -> None:
    samples = make_samples(["a", "b"])
    quality = flag_table("dark", {"a": {}, "b": {"p": 0.1}}).merge(flag_table("blurry", {"a": {}, "b": {}}))
    table = bulk(samples, {"quality": quality}, issue="dark", action="drop")
    assert list(zip(table["sample_id"], table["issue"], strict=True)) == [("a", "dark")]


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"issue": "lable"}, "no finder has the issue 'lable'"),
        ({"issue": "label", "action": "delete"}, "unknown action 'delete'"),
        ({"issue": "label", "above": 1.0}, "a threshold of 1"),
        ({"issue": "label", "above": float("nan")}, "a threshold of nan"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, object], complaint: str) -> None:
    with pytest.raises(LedgerError, match=complaint):
        bulk(make_samples(["a"]), {"label": flag_table("label", {"a": {}})}, **rule)


def test_a_bulk_is_one_entry_of_the_ledger(tmp_path: Path) -> None:
    samples = make_samples([f"{n}" for n in range(30)])
    issues = {"outlier": flag_table("outlier", {f"{n}": {} for n in range(30)})}
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.add(make_decisions(samples, ("3", "label", "keep")).drop(columns=["decision_id", "time"]))
        ledger.add(bulk(samples, issues, issue="outlier", action="drop"))
        assert len(ledger.current()) == 31
        ledger.undo(last=1, reviewer="ann")
        assert len(ledger.current()) == 1
