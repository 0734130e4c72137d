from __future__ import annotations

import os

import pytest

from curate.errors import SourceError
from curate.formats.folders import read_folder
from curate.ingest.sources import read_source
from curate.schema import validate
from curate.workspace import Workspace


def rows(source):
    """(sample_id, label, split) of each source, None for null."""
    table = source.sources[["sample_id", "label", "split"]]
    return [tuple(cell if isinstance(cell, str) else None for cell in row) for row in table.itertuples(index=False)]


def reasons(source):
    return dict(zip(source.problems["image"], source.problems["reason"], strict=True))


def test_class_folders_give_labels_and_deeper_folders_belong_to_the_class(plant):
    source = read_source(plant("cat/1.jpg", "cat/2020/may/2.PNG", "dog/1.jpg"))
    assert source.layout == "class folders"
    assert rows(source) == [("cat/1.jpg", "cat", None), ("cat/2020/may/2.PNG", "cat", None), ("dog/1.jpg", "dog", None)]
    validate("sources", source.sources)
    validate("row_problems", source.problems)


def test_split_folders_give_splits_by_their_usual_names(plant):
    source = read_source(plant("Training/cat/1.jpg", "valid/cat/2.jpg", "testing/dog/deep/3.jpg", "train/dog/4.jpg"))
    assert source.layout == "split and class folders"
    assert rows(source) == [
        ("Training/cat/1.jpg", "cat", "train"),
        ("testing/dog/deep/3.jpg", "dog", "test"),
        ("train/dog/4.jpg", "dog", "train"),
        ("valid/cat/2.jpg", "cat", "val"),
    ]


def test_images_without_class_folders_have_no_label(plant):
    source = read_source(plant("1.jpg", "2.tiff"))
    assert source.layout == "flat folder"
    assert rows(source) == [("1.jpg", None, None), ("2.tiff", None, None)]


def test_images_beside_class_folders_are_kept_without_a_label(plant):
    assert rows(read_source(plant("1.jpg", "cat/2.jpg", "dog/3.jpg")))[0] == ("1.jpg", None, None)


def test_a_split_folder_without_classes_has_splits_and_no_labels(plant):
    assert rows(read_source(plant("train/cat/1.jpg", "test/2.jpg"))) == [
        ("test/2.jpg", None, "test"),
        ("train/cat/1.jpg", "cat", "train"),
    ]


def test_a_class_of_trains_among_class_folders_is_no_split(plant):
    source = read_source(plant("train/1.jpg", "bus/2.jpg", "car/3.jpg"))
    assert source.layout == "class folders"
    assert rows(source)[2] == ("train/1.jpg", "train", None)


@pytest.mark.parametrize(
    "names", [("train/cat/1.jpg", "test/cat/2.jpg", "extra/3.jpg"), ("train/cat/1.jpg", "extra/3.jpg")]
)
def test_split_folders_mixed_with_others_are_refused(plant, names):
    with pytest.raises(SourceError, match="holds both split folders .* and others .extra"):
        read_source(plant(*names))


def test_a_folder_around_the_class_folders_is_named_in_the_error(plant):
    root = plant("flowers/rose/1.jpg", "flowers/tulip/2.jpg")
    with pytest.raises(SourceError, match=f"curate ingest '{root}/flowers'"):
        read_source(root)


def test_one_class_is_a_source_like_any_other(plant):
    assert rows(read_source(plant("cat/1.jpg", "cat/old/2.jpg"))) == [
        ("cat/1.jpg", "cat", None),
        ("cat/old/2.jpg", "cat", None),
    ]


def test_other_files_are_listed_with_a_reason_and_hidden_ones_are_not(plant):
    source = read_source(plant("cat/1.jpg", "cat/a.txt", "README", "m.csv", ".DS_Store", ".git/x.jpg", "cat/Thumbs.db"))
    assert len(source.sources) == 1
    assert reasons(source) == {
        "README": "has no suffix",
        "cat/a.txt": "is no image by its suffix '.txt'",
        "m.csv": "is a table, not an image; to use it, name it: curate ingest PATH",
    }
    assert source.problems["row"].tolist() == [1, 2, 3]


def test_a_workspace_inside_the_folder_is_left_alone_and_listed_unless_it_is_ones_own(plant):
    root = plant("cat/1.jpg", "dog/1.jpg", "ws/thumbs/2.jpg")
    Workspace.create(root / "other").path("3.jpg").touch()
    (root / "ws" / "workspace.json").write_bytes((root / "other" / "workspace.json").read_bytes())
    source = read_source(root, own=root / "ws")
    assert source.sources["sample_id"].tolist() == ["cat/1.jpg", "dog/1.jpg"]
    assert reasons(source) == {"other": "is a workspace of curate"}
    assert set(reasons(read_source(root))) == {"other", "ws"}


@pytest.mark.parametrize("content", ['{"version": 2, "projects": {}}', '{"format": "png"}', "[1]", "", "[" * 100_000])
def test_a_class_with_the_workspace_of_another_program_is_a_class(plant, content):
    root = plant("cat/1.jpg", "dog/1.jpg", "dog/workspace.json")
    (root / "dog" / "workspace.json").write_text(content)
    source = read_source(root)
    assert source.sources["sample_id"].tolist() == ["cat/1.jpg", "dog/1.jpg"]
    assert reasons(source) == {"dog/workspace.json": "is no image by its suffix '.json'"}


def test_an_export_inside_the_folder_is_left_alone_with_a_reason_and_read_by_its_own_name(plant):
    root = plant("cat/1.jpg", "dog/1.jpg", "clean/train/cat/1.jpg", "clean/test/dog/1.jpg", "clean/.curate-export.json")
    source = read_source(root)
    assert source.sources["sample_id"].tolist() == ["cat/1.jpg", "dog/1.jpg"]
    (problem,) = source.problems.to_dict("records")
    assert problem["image"] == "clean" and problem["reason"].startswith("is an export of curate apply")
    assert read_source(root / "clean").layout == "split and class folders"


def test_names_that_differ_in_case_or_normalisation_are_different_samples(plant):
    names = ["cat/a.jpg", "cat/A.jpg", "cat/e\u0301.jpg", "cat/\u00e9.jpg"]
    assert sorted(read_source(plant(*names)).sources["sample_id"]) == sorted(names)


def test_a_name_that_is_not_utf8_is_a_problem_and_not_a_crash(plant):
    root = plant("cat/1.jpg")
    (root / "cat" / os.fsdecode(b"caf\xe9.jpg")).touch()
    source = read_source(root)
    assert len(source.sources) == 1
    assert reasons(source) == {"cat/caf\\udce9.jpg": "has a name that is not UTF-8; rename it"}
    validate("row_problems", source.problems)


def test_links_to_files_and_folders_are_followed_and_circles_end(plant, tmp_path):
    root = plant("cat/1.jpg", "dog/2.jpg")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "3.jpg").touch()
    (root / "dog" / "3.jpg").symlink_to(tmp_path / "elsewhere" / "3.jpg")
    (root / "ant").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "loop").symlink_to(root)
    source = read_source(root)
    assert source.sources["sample_id"].tolist() == ["ant/3.jpg", "cat/1.jpg", "dog/2.jpg", "dog/3.jpg"]
    assert reasons(source) == {"cat/loop": "is a link to a folder that was read already"}


def test_a_link_to_a_folder_does_not_take_its_images_away_from_it(plant):
    root = plant("cat/1.jpg", "dog/2.jpg")
    (root / "ant").symlink_to(root / "cat")  # comes first by name
    assert read_source(root).sources["sample_id"].tolist() == ["cat/1.jpg", "dog/2.jpg"]


def test_a_link_to_nowhere_is_a_sample_that_the_scan_will_miss(plant):
    root = plant("cat/1.jpg")
    (root / "cat" / "2.jpg").symlink_to(root / "gone.jpg")
    assert read_source(root).sources["sample_id"].tolist() == ["cat/1.jpg", "cat/2.jpg"]


def test_a_pipe_with_an_image_name_is_never_read(plant):
    root = plant("cat/1.jpg")
    os.mkfifo(root / "cat" / "2.jpg")
    assert reasons(read_source(root)) == {"cat/2.jpg": "is no regular file"}


def test_a_folder_that_cannot_be_read_is_a_problem(plant, monkeypatch):
    root, scandir = plant("cat/1.jpg", "dog/2.jpg"), os.scandir

    def refuse(folder):
        if str(folder).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    source = read_source(root)
    assert reasons(source) == {"dog": "is a folder that can't be read: Permission denied"}
    assert source.sources["sample_id"].tolist() == ["cat/1.jpg"]


@pytest.mark.parametrize("names", [(), ("cat/notes.txt",)])
def test_a_folder_without_images_is_an_error(plant, names):
    with pytest.raises(SourceError, match="holds no images"):
        read_folder(plant(*names))


def test_an_image_root_is_refused_with_a_folder(plant):
    root = plant("cat/1.jpg")
    with pytest.raises(SourceError, match="image root"):
        read_source(root, image_root=root)
