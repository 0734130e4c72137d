from __future__ import annotations

import pandas as pd
import pytest

from curate.errors import AnnotationError
from curate.ingest.annotations import join_annotations, read_annotations
from curate.ingest.annotators import arbitration_queue, majority
from curate.schema import validate

LONG = "image,annotator,label\n1.jpg,ann,cat\n1.jpg,bob,dog\n2.jpg,ann,cat\n"
WIDE = "image,ann,bob\n1.jpg,cat,dog\n2.jpg,cat,\n"


def votes(table):
    return [" ".join(row) for row in table.itertuples(index=False)]


def reasons(problems):
    return dict(zip(problems["row"], problems["reason"], strict=True))


def test_long_and_wide_say_the_same_in_every_format(write, sources, tmp_path):
    write("long.csv", LONG)
    write("wide.csv", WIDE)
    for form in ("long", "wide"):
        table = pd.read_csv(tmp_path / "data" / f"{form}.csv")
        table.to_parquet(tmp_path / "data" / f"{form}.parquet")
        table.to_json(tmp_path / "data" / f"{form}.jsonl", orient="records", lines=True)
        for suffix in ("csv", "parquet", "jsonl"):
            found, problems = read_annotations(tmp_path / "data" / f"{form}.{suffix}", sources("1.jpg", "2.jpg"))
            assert votes(found) == ["1.jpg ann cat", "1.jpg bob dog", "2.jpg ann cat"]
            assert problems.empty
            validate("annotations", found)
            validate("row_problems", problems)


def test_images_are_matched_by_id_by_path_or_relative_to_the_file(write, sources, tmp_path):
    table = sources("a/1.jpg", "a/2.jpg", "a/3.jpg")
    table["path"] = str(tmp_path) + "/data/" + table["sample_id"]
    file = write("a/v.csv", f"image,annotator,label\n./a/1.jpg,ann,x\n{tmp_path}/data/a/2.jpg,ann,y\n3.jpg,ann,z\n")
    found, _ = read_annotations(file, table)
    assert votes(found) == ["a/1.jpg ann x", "a/2.jpg ann y", "a/3.jpg ann z"]


def test_rows_that_cannot_be_used_have_a_reason(write, sources):
    text = "image,annotator,label\n1.jpg,ann,cat\nnone.jpg,ann,cat\n,ann,cat\n1.jpg,,cat\n1.jpg,bob,\n"
    found, problems = read_annotations(write("v.csv", text + f"1.jpg,eve,{'x' * 1_000_000}\n"), sources("1.jpg"))
    assert votes(found) == ["1.jpg ann cat"]
    assert reasons(problems) == {
        2: "is no image of this data set",
        3: "names no image",
        4: "has no annotator",
        5: "has no label",
        6: "has a label of more than 255 characters: is a quote not closed?",
    }


def test_of_equal_votes_one_is_used_and_of_contradicting_ones_none(write, sources):
    lines = ["1.jpg,ann,cat", "1.jpg,ann,cat", "2.jpg,ann,cat", "2.jpg,ann,dog", "2.jpg,bob,dog"]
    for some in (lines, lines[::-1]):
        file = write("v.csv", "image,annotator,label\n" + "\n".join(some))
        found, problems = read_annotations(file, sources("1.jpg", "2.jpg"))
        assert votes(found) == ["1.jpg ann cat", "2.jpg bob dog"]
        assert problems["reason"].str.startswith("repeats row").sum() == 1
        assert problems["reason"].str.contains("contradicts the other rows of this image and annotator").sum() == 2


def test_one_wide_row_with_two_faults_is_one_problem(write, sources):
    file = write("v.csv", "image,ann,bob\n1.jpg,cat,dog\n1.jpg,ant,dog\n")
    found, problems = read_annotations(file, sources("1.jpg"))
    assert votes(found) == ["1.jpg bob dog"]
    assert reasons(problems)[2].count(";") == 2  # "…; none is used; repeats row 1"


@pytest.mark.parametrize(
    "header", ["image,label", "image", "image,annotator", "image,label,ann", "image,split,group", "picture,ann,bob"]
)
def test_columns_of_neither_form_are_an_error(write, sources, header):
    with pytest.raises(AnnotationError):
        read_annotations(write("v.csv", f"{header}\n" + "1.jpg," * header.count(",") + "x\n"), sources("1.jpg"))


def test_annotations_of_another_data_set_are_an_error_that_shows_both(write, sources):
    with pytest.raises(AnnotationError, match=r"is no image of this data set \(1.jpg\)(?s:.*)such as other.jpg"):
        read_annotations(write("v.csv", LONG), sources("other.jpg"))


def test_a_file_without_any_vote_is_an_error(write, sources):
    with pytest.raises(AnnotationError, match="holds no usable label"):
        read_annotations(write("v.csv", "image,ann\n1.jpg,\n"), sources("1.jpg"))


def test_a_wide_column_that_shares_no_label_with_any_other_is_refused(write, sources):
    lines = [f"{i}.jpg,{'cat' if i % 2 else 'dog'},{'cat' if i % 3 else 'dog'},note {i}" for i in range(30)]
    file = write("v.csv", "\n".join(["image,ann,bob,notes", *lines]))
    with pytest.raises(AnnotationError, match="column 'notes' of v.csv shares no label"):
        read_annotations(file, sources(*(f"{i}.jpg" for i in range(30))))


def wide_of_thirty(**columns):
    """A wide file of 30 images; each column's words are told by the number of the image."""
    lines = [",".join([f"{i}.jpg", *(words(i) for words in columns.values())]) for i in range(30)]
    return "\n".join([",".join(["image", *columns]), *lines])


def test_wide_columns_that_share_words_only_with_each_other_are_refused(write, sources):
    ann, bob, size = lambda i: "xy"[i % 2], lambda i: "yx"[i % 3 > 0], lambda i: "48"
    file = write("v.csv", wide_of_thirty(ann=ann, bob=bob, width=size, height=size))
    match = "columns 'width', 'height' of v.csv share no label with the other columns: they hold '48'"
    with pytest.raises(AnnotationError, match=match):
        read_annotations(file, sources(*(f"{i}.jpg" for i in range(30))))
    file = write("v.csv", wide_of_thirty(width=size, height=size, notes="note {}".format, ann=ann, eve=ann, bob=bob))
    with pytest.raises(AnnotationError, match="'width', 'height', 'notes' .* '48', 'note 0', 'note 1' …"):
        read_annotations(file, sources(*(f"{i}.jpg" for i in range(30))))


def test_wide_columns_that_share_words_through_others_are_annotators(write, sources):
    chain = {name: lambda i, two=two: two[i % 2] for name, two in {"ann": "ab", "bob": "bc", "eve": "cd"}.items()}
    found, _ = read_annotations(write("v.csv", wide_of_thirty(**chain)), sources(*(f"{i}.jpg" for i in range(30))))
    assert found["annotator"].value_counts().to_dict() == {"ann": 30, "bob": 30, "eve": 30}


def test_a_wide_file_of_jsonl_may_hold_lists_that_are_no_votes(write, sources):
    lines = [
        '{"image": "1.jpg", "ann": "cat", "bob": "cat", "objects": {"bbox": [1]}}',
        '{"image": "2.jpg", "ann": ["cat"], "bob": "dog"}',
        '{"image": ["3.jpg"], "ann": "cat", "bob": "dog"}',
    ]
    found, problems = read_annotations(write("v.jsonl", "\n".join(lines)), sources("1.jpg", "2.jpg", "3.jpg"))
    assert votes(found) == ["1.jpg ann cat", "1.jpg bob cat"]
    assert reasons(problems) == {
        2: "holds a list in 'ann' where text is expected",
        3: "holds a list in 'image' where text is expected",
    }


def test_an_annotator_named_like_a_column_is_refused(write, sources):
    text = "image,annotator,label\n1.jpg,suggested,cat\n1.jpg,ann,cat\n"
    found, problems = read_annotations(write("v.csv", text), sources("1.jpg"))
    assert votes(found) == ["1.jpg ann cat"] and "give them another name" in reasons(problems)[1]


def test_the_arbitration_queue_comes_back_with_the_third_answer(write, sources, tmp_path):
    images = sources("1.jpg", "2.jpg", "3.jpg")
    text = "image,ann,bob\n1.jpg,cat,dog\n2.jpg,cat,cat\n3.jpg,ant,dog\n"
    before, _ = read_annotations(write("v.csv", text), images)
    queue = arbitration_queue(before, majority(before), images)
    assert list(queue.columns) == ["image", "ann", "bob", "suggested", "arbiter", "path"]
    assert sorted(queue["image"]) == ["1.jpg", "3.jpg"] and queue["arbiter"].isna().all()

    queue.loc[queue["image"] == "1.jpg", "arbiter"] = "bee"
    queue.to_csv(tmp_path / "arbitration.csv", index=False)
    answers, problems = read_annotations(tmp_path / "arbitration.csv", images)
    assert problems.empty
    after = join_annotations(before, answers)
    assert votes(after) == [*votes(before)[:1], "1.jpg arbiter bee", *votes(before)[1:]]
    consensus = majority(after).set_index("sample_id")
    assert consensus.loc["1.jpg", "label"] == "bee" and consensus.loc["1.jpg", "consensus_score"] == 1
    again = arbitration_queue(after, majority(after), images)  # written over the filled-in file, it loses nothing
    assert again["image"].tolist() == ["3.jpg", "1.jpg"]
    assert again["arbiter"].isna().tolist() == [True, False] and again["arbiter"].iloc[1] == "bee"


def test_the_third_person_under_their_own_name_is_one_voice_of_three(write, sources, tmp_path):
    images = sources("1.jpg")
    before, _ = read_annotations(write("v.csv", "image,ann,bob\n1.jpg,cat,dog\n"), images)
    queue = arbitration_queue(before, majority(before), images).rename(columns={"arbiter": "eve"})
    queue["eve"] = "dog"
    queue.to_csv(tmp_path / "arbitration.csv", index=False)
    after = join_annotations(before, read_annotations(tmp_path / "arbitration.csv", images)[0])
    assert majority(after)["label"].tolist() == ["dog"]


def test_a_later_table_overrides_an_earlier_one(said):
    joined = join_annotations(said("1 ann cat", "2 ann cat"), said("1 ann dog", "1 bob cat"))
    assert votes(joined) == ["1 ann dog", "1 bob cat", "2 ann cat"]
    validate("annotations", join_annotations())
