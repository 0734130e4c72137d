from __future__ import annotations

import time

import pandas as pd
import pytest

from curate.errors import SourceError
from curate.ingest.sources import read_source
from curate.schema import validate


def reasons(source):
    return dict(zip(source.problems["row"], source.problems["reason"], strict=True))


def column(source, name):
    return [cell if isinstance(cell, str) else None for cell in source.sources[name]]


def test_a_manifest_gives_what_its_columns_say(write):
    file = write("m.csv", "image,label,split,group\nb.jpg,dog,Validation,p1\nsub/a.jpg,cat,train,\n")
    source = read_source(file)
    assert source.layout == "manifest" and source.root == file.parent and source.problems.empty
    assert column(source, "sample_id") == ["b.jpg", "sub/a.jpg"]
    assert column(source, "path") == [str(file.parent / "b.jpg"), str(file.parent / "sub/a.jpg")]
    assert column(source, "label") == ["dog", "cat"]
    assert column(source, "split") == ["val", "train"]
    assert column(source, "group") == ["p1", None]
    validate("sources", source.sources)
    validate("row_problems", source.problems)


def test_images_that_are_not_on_disk_stay_samples(write):
    assert len(read_source(write("m.csv", "image\ngone.jpg\n")).sources) == 1


def test_columns_are_found_by_one_known_synonym_and_spaces_are_trimmed(write):
    source = read_source(write("m.csv", "File_Name, Class ,patient_id\na.jpg, cat ,7\n"))
    assert column(source, "label") == ["cat"] and column(source, "group") == ["7"]


@pytest.mark.parametrize("header", ["path,filename", "image,patient,video", "image,category,class"])
def test_two_synonyms_are_an_error_that_names_both(write, header):
    with pytest.raises(SourceError, match="could each be the"):
        read_source(write("m.csv", f"{header}\n" + "x," * header.count(",") + "x\n"))


def test_lists_and_objects_of_jsonl_matter_only_in_columns_that_are_used(write):
    lines = [
        '{"file_name": "1.jpg", "objects": {"bbox": [1, 2]}, "note": "x"}',
        '{"file_name": "2.jpg", "objects": {"bbox": []}, "note": ["y"], "label": "cat"}',
        '{"file_name": ["3.jpg"], "label": "cat"}',
        '{"file_name": "4.jpg", "label": {"id": 3}}',
        '{"file_name": "5.jpg", "label": null, "split": ["test"]}',
        '{"file_name": "6.jpg", "split": "train"}',
    ]
    source = read_source(write("m.jsonl", "\n".join(lines)))
    assert column(source, "sample_id") == ["1.jpg", "2.jpg", "6.jpg"]
    assert reasons(source) == {
        3: "holds a list in 'file_name' where text is expected",
        4: "holds a dict in 'label' where text is expected",
        5: "holds a list in 'split' where text is expected",
    }


def test_a_column_of_lists_alone_is_an_error_where_it_is_used(write):
    with pytest.raises(SourceError, match="column 'label' of m.jsonl holds lists or objects"):
        read_source(write("m.jsonl", '{"image": "1.jpg", "label": ["cat"]}\n{"image": "2.jpg"}\n'))
    with pytest.raises(SourceError, match="column 'image' of m.jsonl holds lists or objects"):
        read_source(write("m.jsonl", '{"image": ["1.jpg"]}\n'))


def test_the_exact_name_wins_over_synonyms(write):
    source = read_source(write("m.csv", "path,image,class,label\nx.jpg,a.jpg,no,yes\n"))
    assert column(source, "sample_id") == ["a.jpg"] and column(source, "label") == ["yes"]


def test_a_manifest_without_images_names_its_columns(write):
    with pytest.raises(SourceError, match="no column 'image'; its columns: 'picture', 'label'"):
        read_source(write("m.csv", "picture,label\na.jpg,cat\n"))


def test_paths_that_leave_the_root_are_rows_with_a_reason(write, tmp_path):
    file = write(
        "m.csv", "image\nok.jpg\n../up.jpg\na/../../up.jpg\n/etc/passwd\nlinked/x.jpg\nlink.jpg\na/../in.jpg\n"
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.jpg").touch()
    (file.parent / "linked").symlink_to(tmp_path / "out")
    (file.parent / "link.jpg").symlink_to(tmp_path / "out" / "x.jpg")
    source = read_source(file)
    outside, link = f"lies outside {file.parent}", f"is reached through a link that leads outside {file.parent}"
    assert reasons(source) == {2: outside, 3: outside, 4: outside, 5: link, 6: link}
    assert column(source, "sample_id") == ["in.jpg", "ok.jpg"]


def test_links_and_absolute_paths_within_the_root_are_fine(write):
    file = write("m.csv", "image\nlink/1.jpg\n")
    (file.parent / "real").mkdir()
    (file.parent / "link").symlink_to("real")
    file.write_text(f"image\nlink/1.jpg\n{file.parent}/2.jpg\n")
    assert column(read_source(file), "sample_id") == ["2.jpg", "link/1.jpg"]


def test_a_root_that_is_itself_a_link_is_no_way_out(write, tmp_path):
    write("m.csv", "image\n1.jpg\n")
    (tmp_path / "alias").symlink_to(tmp_path / "data")
    assert column(read_source(tmp_path / "alias" / "m.csv"), "sample_id") == ["1.jpg"]


@pytest.mark.parametrize(("reached_by", "named_by"), [("alias", "data"), ("data", "alias"), ("alias", "other")])
def test_absolute_paths_may_name_the_root_otherwise_than_it_was_reached(write, tmp_path, reached_by, named_by):
    cells = ["sub/1.jpg", "link/1.jpg", "gone/2.jpg", "../data/3.jpg", "../up.jpg", "leaf.jpg", "linked/x.jpg", ""]
    write("m.csv", "image\n" + "".join(f"{tmp_path}/{named_by}/{cell}\n" for cell in cells) + f"{tmp_path}/up.jpg\n")
    for name in ("alias", "other"):
        (tmp_path / name).symlink_to("data")
    (tmp_path / "up").mkdir()
    (tmp_path / "data" / "sub").mkdir()
    (tmp_path / "data" / "link").symlink_to("sub")
    (tmp_path / "data" / "leaf.jpg").symlink_to(tmp_path / "up.jpg")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "up")
    root = tmp_path / reached_by
    source = read_source(root / "m.csv")
    assert column(source, "sample_id") == ["3.jpg", "gone/2.jpg", "link/1.jpg", "sub/1.jpg"]
    assert source.sources["path"].str.startswith(f"{root}/").all()
    outside, link = f"lies outside {root}", f"is reached through a link that leads outside {root}"
    assert reasons(source) == {5: outside, 6: link, 7: link, 8: "names a folder", 9: outside}


def test_an_absolute_path_through_a_link_into_the_root_is_fine(write, tmp_path):
    write("sub/1.jpg", "")
    (tmp_path / "elsewhere").symlink_to("data/sub")
    assert column(read_source(write("m.csv", f"image\n{tmp_path}/elsewhere/1.jpg\n")), "sample_id") == ["sub/1.jpg"]


def test_an_image_root_changes_what_paths_are_relative_to(write, plant):
    root = plant("images/1.jpg")
    file = write("m.csv", "image\n1.jpg\n")
    source = read_source(file, image_root=root / "images")
    assert column(source, "path") == [f"{root}/images/1.jpg"] and source.root == root / "images"
    with pytest.raises(SourceError, match="there is no folder"):
        read_source(file, image_root=root / "nowhere")


def test_rows_that_name_no_file_have_a_reason(write):
    cells = ["1.jpg", "", ".", "http://x.org/1.jpg", "a\0b.jpg"]
    source = read_source(write("m.csv", "image,label\n" + "".join(f"{cell},cat\n" for cell in cells)))
    assert reasons(source) == {
        2: "names no image",
        3: "names a folder",
        4: "is a web address; curate reads files",
        5: "holds a NUL character",
    }


def test_a_million_characters_are_a_row_with_a_reason_and_shortened(write):
    long = "x" * 1_000_000
    source = read_source(write("m.csv", f"image,label\n{long},cat\n1.jpg,{long}\n2.jpg,dog\n"))
    assert reasons(source) == {
        1: "is longer than a path can be (4,096 characters)",
        2: "has a label of more than 255 characters: is a quote not closed?",
    }
    assert source.problems["image"].str.len().max() == 80
    assert column(source, "sample_id") == ["2.jpg"]


def test_a_split_of_unknown_name_keeps_its_row_out_of_training(write):
    source = read_source(write("m.csv", "image,split\n1.jpg,train\n2.jpg,holdout\n3.jpg,\n"))
    assert reasons(source) == {2: "is of split 'holdout', which is none of train, val, test"}
    assert column(source, "split") == ["train", None]


def test_an_image_that_one_row_puts_into_an_unknown_split_is_not_used_by_the_others(write):
    lines = ["1.jpg,cat,train", "2.jpg,cat,train", "./1.jpg,cat,holdout", "1.jpg,cat,"]
    unknown = "is of split 'holdout', which is none of train, val, test"
    other = "is of an image that another row puts into a split which is none of train, val, test"
    for some in (lines, lines[::-1]):
        source = read_source(write("m.csv", "image,label,split\n" + "\n".join(some)))
        assert column(source, "sample_id") == ["2.jpg"]
        assert source.problems["reason"].tolist() == [other, unknown, other]


def test_repeated_rows_become_one_and_fill_each_others_gaps(write):
    source = read_source(
        write("m.csv", "image,label,split\n1.jpg,cat,\n2.jpg,dog,test\n./1.jpg,,train\n2.jpg,dog,test\n")
    )
    assert reasons(source) == {3: "repeats row 1", 4: "repeats row 2"}
    assert column(source, "label") == ["cat", "dog"] and column(source, "split") == ["train", "test"]


def test_contradicting_rows_are_all_refused_whatever_their_order(write):
    rows = ["1.jpg,cat,train", "1.jpg,dog,train", "2.jpg,cat,train", "2.jpg,cat,test", "3.jpg,cat,train"]
    for lines in (rows, rows[::-1]):
        source = read_source(write("m.csv", "image,label,split\n" + "\n".join(lines)))
        assert column(source, "sample_id") == ["3.jpg"]
        assert len(source.problems) == 4
        assert (
            source.problems["reason"].str.contains("contradicts the other rows of this image in (?:label|split)").all()
        )


def test_a_manifest_of_which_no_row_can_be_used_is_an_error_with_the_first_reason(write):
    with pytest.raises(SourceError, match=r"not one of the 2 rows .* lies outside .*(?s:.*)--image-root"):
        read_source(write("m.csv", "image\n/far/1.jpg\n/far/2.jpg\n"))


def test_the_order_of_rows_does_not_matter(write):
    lines = [f"{i}.jpg,{i % 3},{'train' if i % 2 else 'test'}" for i in range(50)]
    tables = [
        read_source(write("m.csv", "image,label,split\n" + "\n".join(some))).sources for some in (lines, lines[::-1])
    ]
    pd.testing.assert_frame_equal(*tables)


def test_sixty_thousand_rows_take_two_seconds_at_most(write):
    rows = "".join(f"images/{i}.jpg,{i % 10},{'train' if i % 7 else 'test'}\n" for i in range(60_000))
    file = write("m.csv", "image,label,split\n" + rows)
    before = time.process_time()
    assert len(read_source(file).sources) == 60_000
    assert time.process_time() - before < 2
