"""The functions of the library: what they find, what they take, and how they say no."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import curate
from curate import api
from curate.errors import CurateError, InputError

FUNCTIONS = [name for name in api.__all__ if inspect.isfunction(getattr(api, name))]
N = 90
TRUTH = np.arange(N) % 3
EMBEDDINGS = np.eye(3)[TRUTH] + np.random.default_rng(0).normal(scale=0.2, size=(N, 3))
LABELS = np.where(np.arange(N) == 5, 0, TRUTH)  # sample 5 is a 2
WORDS = np.array(["cat", "dog", "owl"])
PROBS = np.full((N, 3), 0.05) + 0.85 * np.eye(3)[TRUTH]


def pictures(folder: Path, count: int = 5) -> list[Path]:
    """Images of noise, each unlike the others, and at the end a copy of the first."""
    noise = np.random.default_rng(0).integers(0, 255, (count, 40, 40, 3), dtype=np.uint8)
    files = [folder / f"{number}.png" for number in range(count)]
    for file, pixels in zip(files, noise, strict=True):
        Image.fromarray(pixels).save(file)
    Image.fromarray(noise[0]).save(folder / "copy.png")
    return [*files, folder / "copy.png"]


# ---- the module ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_each_function_runs(name: str, tmp_path: Path) -> None:
    found = doctest.DocTestFinder(recurse=False)
    folders = iter(range(100))

    def new_folder() -> Path:
        (folder := tmp_path / str(next(folders))).mkdir()
        return folder

    names = {"curate": curate, "np": np, "pd": pd, "tmp_path": new_folder}
    [test] = found.find(getattr(api, name), name, globs=names)
    assert test.examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert runner.run(test).failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_docstring_of_each_function_names_its_parameters_what_it_returns_and_raises(name: str) -> None:
    text = inspect.getdoc(getattr(api, name)) or ""
    assert all(part in text for part in ("Parameters\n-", "Returns\n-", "Raises\n-", "Examples\n-"))
    described = text.split("Parameters\n")[1].split("Returns\n")[0]
    assert all(parameter in described for parameter in inspect.signature(getattr(api, name)).parameters)


def test_every_public_name_is_there_and_listed() -> None:
    assert {*api.__all__, "Dataset", "InputError", "FindOptions"} <= set(curate.__all__) <= set(dir(curate))
    assert all(getattr(curate, name) is not None for name in curate.__all__)
    with pytest.raises(AttributeError, match="no attribute 'find_lable_errors'"):
        curate.find_lable_errors  # noqa: B018


def test_importing_curate_imports_nothing_heavy() -> None:
    code = "import sys, curate; print([m for m in ('numpy', 'pandas', 'torch', 'click') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.slow
def test_a_type_checker_sees_the_names(tmp_path: Path) -> None:
    script = tmp_path / "uses.py"
    names = [name for name in curate.__all__ if not name.startswith("_")]
    script.write_text("import curate\n" + "".join(f"reveal_type(curate.{name})\n" for name in names))
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--cache-dir", str(tmp_path), str(script)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=Path(curate.__file__).parents[1]).stdout
    assert "error:" not in said and said.count("Revealed type") == len(names)
    assert 'Revealed type is "Any"' not in said
    assert (Path(curate.__file__).parent / "py.typed").exists()


# ---- label errors ------------------------------------------------------------------------------------

KINDS_OF_LABELS = {
    "integers": LABELS,
    "a list": LABELS.tolist(),
    "small integers": LABELS.astype(np.uint8),
    "whole floats": LABELS.astype(float),
    "words": WORDS[LABELS],
    "a pandas series of words": pd.Series(WORDS[LABELS], index=range(100, 100 + N)),
    "categories": pd.Series(pd.Categorical(WORDS[LABELS])),
    "nullable integers": pd.Series(LABELS, dtype="Int64"),
    "a tensor": torch.tensor(LABELS),
    "one column": LABELS[:, None],
    "a frame": pd.DataFrame({"y": LABELS}),
}


@pytest.mark.parametrize("kind", KINDS_OF_LABELS)
def test_labels_of_any_type_work_and_come_back_as_they_were(kind: str) -> None:
    found = curate.find_label_errors(EMBEDDINGS, KINDS_OF_LABELS[kind])
    assert found.index[found["is_label_issue"]].tolist() == [5]
    words = {0: "cat", 2: "owl"} if found["given_label"].dtype.kind not in "iu" else {0: 0, 2: 2}
    assert (found["given_label"][5], found["suggested_label"][5]) == (words[0], words[2])
    assert found["sample_id"].tolist() == list(range(N))


@pytest.mark.parametrize(
    "embeddings",
    [
        EMBEDDINGS.tolist(),
        EMBEDDINGS.astype(np.float16),
        pd.DataFrame(EMBEDDINGS),
        torch.tensor(EMBEDDINGS),
        torch.tensor(EMBEDDINGS, requires_grad=True),
        torch.tensor(EMBEDDINGS, dtype=torch.bfloat16),
        [torch.tensor(row) for row in EMBEDDINGS],
        pd.Series(list(EMBEDDINGS)),
        EMBEDDINGS * 1e200,
        EMBEDDINGS * 1e-200,
        np.asfortranarray(EMBEDDINGS),
    ],
    ids=["list", "half", "pandas", "tensor", "graph", "bfloat16", "tensors", "column", "huge", "tiny", "fortran"],
)
def test_embeddings_of_any_type_and_scale_work(embeddings: Any) -> None:
    found = curate.find_label_errors(embeddings, LABELS)
    assert found.index[found["is_label_issue"]].tolist() == [5]


def test_two_bools_are_two_classes() -> None:
    is_cat = TRUTH[TRUTH < 2] == 0
    is_cat[4] = not is_cat[4]
    found = curate.find_label_errors(EMBEDDINGS[TRUTH < 2], is_cat)
    assert found.index[found["is_label_issue"]].tolist() == [4]
    assert bool(found["suggested_label"][4]) is not bool(is_cat[4])


def test_a_sample_without_a_label_has_no_score_and_a_suggestion() -> None:
    labels = [None if row == 7 else WORDS[label] for row, label in enumerate(LABELS)]
    found = curate.find_label_errors(EMBEDDINGS, labels)
    assert np.isnan(found["label_score"][7]) and found["given_label"].isna()[7]
    assert found["suggested_label"][7] == WORDS[TRUTH[7]]


def test_ids_name_the_rows_of_the_result() -> None:
    ids = [f"img-{row}" for row in range(N)]
    assert curate.find_label_errors(EMBEDDINGS, LABELS, ids=ids)["sample_id"].tolist() == ids


def test_ids_and_types_of_the_labels_change_no_score() -> None:
    plain = curate.find_label_errors(EMBEDDINGS, LABELS)["label_score"]
    named = curate.find_label_errors(EMBEDDINGS, WORDS[LABELS], ids=[f"img-{row}" for row in range(N)])["label_score"]
    np.testing.assert_allclose(plain, named, atol=1e-5)


def test_a_group_does_not_vouch_for_its_own_label() -> None:
    embeddings = np.vstack([EMBEDDINGS, np.tile(EMBEDDINGS[5], (6, 1))])
    labels, groups = np.append(LABELS, [0] * 6), np.append(np.arange(N), [5] * 6)
    alone = curate.find_label_errors(embeddings, labels)["label_score"][5]
    assert curate.find_label_errors(embeddings, labels, groups=groups)["label_score"][5] < alone


def test_own_pred_probs_judge_in_the_place_of_the_probe() -> None:
    for given in (PROBS, pd.DataFrame(PROBS), torch.tensor(PROBS), PROBS.astype(np.float16)):
        found = curate.find_label_errors(labels=LABELS, pred_probs=given)
        assert found.index[found["is_label_issue"]].tolist() == [5]
    misled = np.roll(EMBEDDINGS, 1, axis=0)
    both = curate.find_label_errors(misled, LABELS, pred_probs=PROBS)
    pd.testing.assert_frame_equal(both, curate.find_label_errors(labels=LABELS, pred_probs=PROBS))


def test_columns_of_pred_probs_are_the_classes_that_they_are_said_to_be() -> None:
    turned = curate.find_label_errors(labels=WORDS[LABELS], pred_probs=PROBS[:, ::-1], classes=WORDS[::-1])
    named = curate.find_label_errors(labels=WORDS[LABELS], pred_probs=pd.DataFrame(PROBS, columns=WORDS))
    pd.testing.assert_frame_equal(turned, named)
    assert turned["suggested_label"][5] == "owl"


def test_of_whole_numbers_the_columns_are_counted_from_zero_as_in_cleanlab() -> None:
    labels, probs = LABELS + 1, np.column_stack([np.full(N, 0.01), 0.99 * PROBS])  # class 0 does not occur
    found = curate.find_label_errors(labels=labels, pred_probs=probs)
    assert found.index[found["is_label_issue"]].tolist() == [5] and found["suggested_label"][5] == 3
    assert curate.find_label_errors(labels=labels * 10, pred_probs=PROBS)["suggested_label"][5] == 30


def test_a_suggestion_may_be_a_class_that_no_label_names() -> None:
    probs = np.column_stack([PROBS * 0.1, np.full(N, 0.9)])
    found = curate.find_label_errors(labels=LABELS, pred_probs=probs)
    assert found["suggested_label"].isin([0, 1, 2, 3]).all() and found["suggested_label"].dtype.kind == "i"


def test_votes_weigh_beside_the_pixels() -> None:
    votes = np.column_stack([WORDS[LABELS], WORDS[LABELS], WORDS[TRUTH]]).astype(object)
    votes[3, 1:] = None
    wide = curate.find_label_errors(EMBEDDINGS, annotations=votes)
    long = pd.DataFrame(
        [(row, f"{who}", votes[row, who]) for row in range(N) for who in range(3) if votes[row, who]],
        columns=["sample_id", "annotator", "label"],
    )
    pd.testing.assert_frame_equal(wide, curate.find_label_errors(EMBEDDINGS, annotations=long))
    assert wide["label_score"].idxmin() == 5 and wide["given_label"][5] == "cat"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"labels": LABELS[:-1]}, "89 labels for 90 samples"),
        ({"labels": LABELS.astype(float) + 0.5}, "hold 0.5, a float"),
        ({"labels": np.eye(3)[LABELS]}, "argmax"),
        ({"labels": [[1], [1, 2]] * 45}, "labels"),
        ({"labels": [{"a": 1}] * N}, "can't be a class"),
        ({"labels": [0, "0"] * 45}, "labels of one type"),
        ({"labels": "cat"}, "labels is 'cat'"),
        ({"labels": None}, "neither labels nor annotations"),
        ({"labels": [b"a", b"b"] * 45}, "a bytes"),
        ({"labels": [None] * N}, "no labels"),
        ({"labels": [1] * N}, "only the class '1'"),
        ({"embeddings": None}, "neither embeddings nor pred_probs"),
        ({"embeddings": EMBEDDINGS[:, 0]}, r"shape \(90,\)"),
        ({"embeddings": EMBEDDINGS[:0]}, r"shape \(0, 3\)"),
        ({"embeddings": np.where(np.arange(N)[:, None] == 4, np.nan, EMBEDDINGS)}, "the first is row 4"),
        ({"embeddings": np.where(np.arange(N)[:, None] == 4, np.inf, EMBEDDINGS)}, "NaN or infinity in 1 row"),
        ({"embeddings": EMBEDDINGS.astype(str)}, "dtype <U"),
        ({"embeddings": EMBEDDINGS * 1j}, "dtype complex"),
        ({"embeddings": [[1, 2], [3]]}, "as many values in each row"),
        ({"embeddings": [["a", None]] * N}, "embeddings hold 'a'"),
        ({"embeddings": [[1.0, None]] * N}, "NaN"),
        ({"embeddings": 3}, "embeddings is 3"),
        ({"groups": [1, 2]}, "2 groups for 90 samples"),
        ({"groups": [[]] * N}, "groups"),
        ({"ids": ["a"] * N}, "'a' is there twice"),
        ({"ids": [None] * N}, "row 0 is empty"),
        ({"ids": ["a"]}, "1 ids for 90 samples"),
        ({"cut": 2}, "cut is 2"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"pred_probs": PROBS[:-1]}, "89 rows of pred_probs for 90 samples"),
        ({"pred_probs": PROBS * 2}, "row 0 of pred_probs"),
        ({"pred_probs": PROBS * 0.5}, "sums to 0.5"),
        ({"pred_probs": PROBS[:, :2] / PROBS[:, :2].sum(1, keepdims=True)}, "2 column"),
        ({"pred_probs": PROBS, "classes": [0, 1, 5]}, "no column for the class"),
        ({"pred_probs": PROBS, "classes": [0, 1]}, "2 classes"),
        ({"pred_probs": PROBS - 0.1}, "probabilities from 0 to 1"),
        ({"annotations": [[1, 2]]}, "1 rows of annotations for 90 samples"),
        ({"annotations": pd.DataFrame({"annotator": ["a"], "label": [1]})}, "sample_id, annotator, label"),
        ({"annotations": pd.DataFrame({"sample_id": [400], "annotator": ["a"], "label": [1]})}, "no sample: '400'"),
        ({"annotations": pd.DataFrame({"sample_id": [4, 4], "annotator": ["a", "a"], "label": [1, 2]})}, "twice"),
    ],
)
def test_bad_input_is_a_clear_error(arguments: dict[str, Any], words: str) -> None:
    given = {"embeddings": EMBEDDINGS, "labels": LABELS, **arguments}
    with pytest.raises(CurateError, match=words):
        curate.find_label_errors(**given)


def test_an_input_error_is_a_value_error_that_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="expected: "):
        curate.find_outliers([[np.nan, 1.0]])


# ---- outliers, people, splits, models ---------------------------------------------------------------------


def test_outliers_keep_the_order_and_the_ids_of_the_rows() -> None:
    embeddings = np.random.default_rng(0).normal(size=(60, 8)) + 4
    embeddings[[3, 11]] = -4
    found = curate.find_outliers(embeddings, ids=[f"s{row}" for row in range(60)])
    assert found["sample_id"].tolist() == [f"s{row}" for row in range(60)]
    assert found.index[found["is_outlier_issue"]].tolist() == [3, 11]
    assert found["group_id"][3] == found["group_id"][11] and found["nearest_id"][3] == "s11"
    numbered = curate.find_outliers(embeddings)
    assert numbered["nearest_id"][3] == 11
    np.testing.assert_allclose(found["outlier_score"], numbered["outlier_score"], atol=1e-6)


def test_a_missing_vote_among_words_is_no_word() -> None:
    settled = curate.consensus([["cat", np.nan], ["dog", "dog"]])
    assert settled["label"].tolist() == ["cat", "dog"] and settled["n_annotations"].tolist() == [1, 2]


def test_agreement_and_consensus_take_long_and_wide_tables_of_any_labels() -> None:
    wide = np.array([[1, 1, 2], [2, 2, np.nan], [1, np.nan, np.nan]])
    long = pd.DataFrame(
        [(row, who, int(wide[row, who])) for row in range(3) for who in range(3) if not np.isnan(wide[row, who])],
        columns=["sample_id", "annotator", "label"],
    )
    assert curate.agreement(wide).conflict_rate == curate.agreement(long).conflict_rate == 0.5
    settled = curate.consensus(wide)
    assert settled["label"].tolist() == [1, 2, 1] and settled["sample_id"].tolist() == [0, 1, 2]
    pd.testing.assert_frame_equal(settled, curate.consensus(long))


def test_a_model_has_a_say_in_the_consensus() -> None:
    votes = np.column_stack([LABELS, TRUTH])
    settled = curate.consensus(votes, PROBS)
    assert settled["method"].eq("crowdlab").all() and settled["label"].tolist() == TRUTH.tolist()
    long = pd.DataFrame([(f"s{r}", w, votes[r, w]) for r in range(N) for w in range(2)])
    long = long.set_axis(["sample_id", "annotator", "label"], axis=1)
    named = curate.consensus(long, PROBS, ids=[f"s{row}" for row in range(N)])
    assert dict(zip(named["sample_id"], named["label"], strict=True)) == {f"s{r}": TRUTH[r] for r in range(N)}
    with pytest.raises(InputError, match="ids="):
        curate.consensus(long, PROBS)


@pytest.mark.parametrize(
    ("votes", "words"),
    [
        ([], "shape"),
        ([[None, None]], "hold no label"),
        (None, "annotations is None"),
        (pd.DataFrame({"annotator": ["a"], "label": ["x"]}), "sample_id, annotator, label"),
        (pd.DataFrame({"sample_id": [None], "annotator": ["a"], "label": ["x"]}), "names no sample"),
        (pd.DataFrame({"sample_id": [], "annotator": [], "label": []}), "empty"),
    ],
)
def test_bad_annotations_are_a_clear_error(votes: Any, words: str) -> None:
    for function in (curate.agreement, curate.consensus):
        with pytest.raises(InputError, match=words):
            function(votes)


def test_a_split_keeps_groups_whole_and_follows_the_ids() -> None:
    groups = np.arange(N) // 3
    made = curate.split(LABELS, groups=groups, seed=1)
    assert pd.Series(made).groupby(groups).nunique().eq(1).all() and set(made) == {"train", "val", "test"}
    ids, order = np.array([f"s{row:02d}" for row in range(N)]), np.random.default_rng(0).permutation(N)
    one = curate.split(LABELS, ids=ids)
    assert (curate.split(LABELS[order], ids=ids[order]) == one[order]).all()
    with pytest.raises(CurateError, match="add up to 1"):
        curate.split(LABELS, train=0.9)
    with pytest.raises(InputError, match="train is -1"):
        curate.split(LABELS, train=-1)


def test_models_are_compared_by_labels_or_by_probabilities() -> None:
    by_labels = curate.compare_models(LABELS, a=(TRUTH + 1) % 3, b=TRUTH)
    assert by_labels.verdict == "better" and "points of accuracy" in by_labels.to_text()
    assert by_labels == curate.compare_models(LABELS, a=np.roll(PROBS, 1, axis=1), b=PROBS)
    words = curate.compare_models(WORDS[LABELS], a=WORDS[(TRUTH + 1) % 3], b=WORDS[TRUTH].tolist())
    assert words.accuracy == by_labels.accuracy
    grouped = curate.compare_models(LABELS, (TRUTH + 1) % 3, TRUTH, groups=np.arange(N) // 3)
    assert grouped.test.name == "sign-flip test of groups"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"a": TRUTH[:3]}, "3 labels of a for 90 samples"),
        ({"b": [None] * N}, "b: row 0 has no label"),
        ({"labels": [None, *LABELS[1:]]}, "labels: row 0 has no label"),
        ({"groups": [1]}, "1 groups for 90 samples"),
        ({"b": PROBS * 3}, "pred_probs"),
        ({"bootstraps": 0}, "from 1"),
        ({"seed": 1.5}, "seed is 1.5"),
    ],
)
def test_models_that_can_not_be_compared_are_a_clear_error(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        curate.compare_models(**{"labels": LABELS, "a": TRUTH, "b": TRUTH, **arguments})


# ---- pictures ------------------------------------------------------------------------------------------


def test_images_are_embedded_once_and_lend_themselves_to_all_that_follows(tmp_path: Path) -> None:
    files = pictures(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = curate.embed_images([*files, tmp_path / "broken.png"])
    assert found.embeddings.shape == (6, 1408) and found.thumbs.shape == (6, 32, 32, 3)
    assert found.is_readable.tolist() == [True] * 6 + [False]
    twins = curate.find_duplicates(found, splits=["train"] * 5 + ["test", None])
    assert twins.groups.tolist() == [0, 1, 2, 3, 4, 0, 5]
    assert twins.flagged[["sample_id_a", "sample_id_b"]].to_numpy().tolist() == [[str(files[0]), str(files[5])]]
    assert len(twins.leaks) == 1 and curate.find_duplicates(found).leaks.empty
    assert len(curate.find_outliers(found)) == 6
    quality = curate.find_quality_issues(found)
    assert quality["is_unreadable_issue"].tolist() == [False] * 6 + [True]
    pd.testing.assert_frame_equal(quality, curate.find_quality_issues([*files, tmp_path / "broken.png"]))


def test_a_folder_brings_its_labels_and_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            (tmp_path / split / label).mkdir(parents=True)
            pictures(tmp_path / split / label, 2)
    found = curate.embed_images(tmp_path)
    assert set(found.sources["label"]) == {"cat", "dog"} and len(found.embeddings) == 12
    assert len(curate.find_duplicates(found).leaks) > 0


@pytest.mark.parametrize("function", [curate.embed_images, curate.find_duplicates, curate.find_quality_issues])
@pytest.mark.parametrize(
    ("paths", "words"),
    [
        ([], "paths is empty"),
        (None, "paths is empty"),
        (3, "paths is 3"),
        ("nowhere.png", r"\['nowhere.png'\]"),
        ([3], "paths hold 3"),
        (["a.png", "./a.png"], "is there twice"),
        (pd.DataFrame({"path": ["a.png"]}), "one column of it"),
    ],
)
def test_bad_paths_are_a_clear_error(function: Any, paths: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        function(paths)


def test_images_of_which_none_can_be_read_have_no_duplicates_to_tell(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of the images can be read"):
        curate.find_duplicates([tmp_path / "lost.png"])


def test_splits_have_to_be_as_many_as_paths(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 splits for 6 samples"):
        curate.find_duplicates(pictures(tmp_path), splits=["train"])
