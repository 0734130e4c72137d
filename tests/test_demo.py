"""The demo's data set: every planted defect is there, as often as planned, and what is found is counted right."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, UnidentifiedImageError

from curate.demo import Plan, Planted, plant, read_planted, review, score, score_text, wrong_labels
from curate.errors import SourceError
from curate.verbs.ingest import ingest
from curate.verbs.issues import found_issues
from curate.workspace import Workspace

PLAN = Plan()
MISTAKES = ("mistake_anna", "mistake_ben", "agreed_mistake")
N_ORIGINALS = 1797
N_ADDED = PLAN.exact_copy + PLAN.near_copy + PLAN.leak + PLAN.off_topic


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant(tmp_path_factory.mktemp("demo") / "digits")


@pytest.fixture(scope="module")
def samples(planted: Planted) -> pd.DataFrame:
    """The manifest with the true labels beside it."""
    manifest = pd.read_csv(planted.manifest, dtype="str").rename(columns={"image": "sample_id", "label": "given"})
    return manifest.merge(planted.truth, on="sample_id", validate="one_to_one").set_index("sample_id")


def ids(planted: Planted, defect: str) -> list[str]:
    return planted.defects.loc[planted.defects["defect"] == defect, "sample_id"].tolist()


def twins(planted: Planted, defect: str) -> list[tuple[str, str]]:
    rows = planted.defects[planted.defects["defect"] == defect]
    return list(zip(rows["sample_id"], rows["twin"], strict=True))


def content(planted: Planted, sample_id: str) -> bytes:
    return (planted.root / sample_id).read_bytes()


def pixels(planted: Planted, sample_id: str) -> np.ndarray:
    return np.asarray(Image.open(planted.root / sample_id).convert("RGB"), np.float64)


# ---- what is planted -----------------------------------------------------------------------------


def test_each_defect_is_planted_as_often_as_planned(planted: Planted, samples: pd.DataFrame) -> None:
    counts = planted.defects["defect"].value_counts()
    for defect in (
        "exact_copy",
        "near_copy",
        "leak",
        "truncated",
        "unreadable",
        "dark",
        "bright",
        "blurred",
        "off_topic",
    ):
        assert counts[defect] == getattr(PLAN, defect), defect
    assert len(samples) == N_ORIGINALS + N_ADDED


def test_a_picture_has_one_defect_at_most_beside_mistakes_of_people(planted: Planted) -> None:
    of_pictures = planted.defects[~planted.defects["defect"].str.contains("mistake")]
    assert of_pictures["sample_id"].is_unique
    assert not set(of_pictures["twin"].dropna()) & set(of_pictures["sample_id"])


def test_only_the_training_split_is_damaged(planted: Planted, samples: pd.DataFrame) -> None:
    of_pictures = planted.defects[~planted.defects["defect"].str.contains("mistake")]
    assert set(samples.loc[of_pictures["sample_id"], "split"]) == {"train"}


def test_the_test_split_has_clean_labels_and_the_others_none(samples: pd.DataFrame) -> None:
    test = samples[samples["split"] == "test"]
    assert (test["given"] == test["label"]).all()
    assert samples.loc[samples["split"] != "test", "given"].isna().all()


def test_splits_are_stratified(samples: pd.DataFrame) -> None:
    counts = samples.groupby(["split", "label"]).size().unstack()
    assert counts.loc["test"].sum() == PLAN.test and counts.loc["val"].sum() == PLAN.val
    assert np.ptp(counts.loc[["test", "val"]].to_numpy(), axis=1).max() <= 1


def test_each_person_errs_exactly_as_often_as_planned(planted: Planted, samples: pd.DataFrame) -> None:
    answers = planted.annotations.merge(samples["label"].rename("truth"), left_on="image", right_index=True)
    broken = ids(planted, "truncated") + ids(planted, "unreadable")
    answers = answers[answers["truth"].notna() & ~answers["image"].isin(broken)]
    for person, said in answers.groupby("annotator"):
        wrong = set(said.loc[said["label"] != said["truth"], "image"])
        alone = wrong - set(ids(planted, "agreed_mistake"))
        assert len(alone) == round(PLAN.error_rates[person] * len(said))
        assert sorted(alone) == ids(planted, f"mistake_{person}")


def test_agreed_mistakes_are_the_same_wrong_answer_of_both(planted: Planted, samples: pd.DataFrame) -> None:
    agreed = ids(planted, "agreed_mistake")
    answers = planted.annotations[planted.annotations["image"].isin(agreed)].groupby("image")["label"]
    assert len(agreed) == PLAN.agreed_mistake and (answers.nunique() == 1).all()
    pairs = set(zip(samples.loc[answers.first().index, "label"], answers.first(), strict=True))
    assert pairs == {("3", "8"), ("7", "1"), ("9", "4")}


def test_both_people_label_every_image_but_the_test_split(planted: Planted, samples: pd.DataFrame) -> None:
    asked = samples.index[samples["split"] != "test"]
    assert (planted.annotations["image"].value_counts().reindex(asked) == 2).all()
    assert len(planted.annotations) == 2 * len(asked)


def test_exact_copies_are_the_same_bytes_in_the_same_split(planted: Planted, samples: pd.DataFrame) -> None:
    for copy, original in twins(planted, "exact_copy"):
        assert content(planted, copy) == content(planted, original)
        assert samples.loc[[copy, original], "split"].nunique() == 1


def test_near_copies_are_other_bytes_of_the_same_shot(planted: Planted) -> None:
    for copy, original in twins(planted, "near_copy"):
        assert content(planted, copy) != content(planted, original)
        seen, was = pixels(planted, copy)[2:-2, 2:-2], pixels(planted, original)
        shifts = [was[2 + dy : 30 + dy, 2 + dx : 30 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        assert max(np.corrcoef(seen.ravel(), shift.ravel())[0, 1] for shift in shifts) > 0.9


def test_leaks_are_training_copies_of_test_images(planted: Planted, samples: pd.DataFrame) -> None:
    pairs = twins(planted, "leak")
    assert {samples.at[original, "split"] for _, original in pairs} == {"test"}
    assert {samples.at[copy, "split"] for copy, _ in pairs} == {"train"}
    assert sum(content(planted, copy) == content(planted, original) for copy, original in pairs) == PLAN.leak // 3


def test_no_two_other_files_are_the_same(planted: Planted) -> None:
    copies = {copy for defect in ("exact_copy", "leak") for copy, _ in twins(planted, defect)}
    broken = set(ids(planted, "unreadable"))
    digests = [
        hashlib.sha256(content(planted, name)).hexdigest()
        for name in planted.truth["sample_id"]
        if name not in copies | broken
    ]
    assert len(digests) == len(set(digests))


def test_truncated_and_unreadable_files_do_not_open(planted: Planted) -> None:
    for name in ids(planted, "truncated"):
        with Image.open(planted.root / name) as image, pytest.raises((OSError, SyntaxError)):
            image.load()
    missing = [name for name in ids(planted, "unreadable") if not (planted.root / name).exists()]
    assert len(missing) == PLAN.unreadable // 3
    for name in set(ids(planted, "unreadable")) - set(missing):
        with pytest.raises(UnidentifiedImageError):
            Image.open(planted.root / name)


def test_dark_bright_and_blurred_images_are_so(planted: Planted) -> None:
    defects = set(planted.defects["sample_id"])
    plain = [pixels(planted, name) for name in planted.truth["sample_id"] if name not in defects][:50]

    def sharpness(image: np.ndarray) -> float:
        return float(np.abs(np.diff(image, axis=0)).mean())

    assert max(pixels(planted, name).max() for name in ids(planted, "dark")) < min(image.max() for image in plain) / 3
    assert min(pixels(planted, name).min() for name in ids(planted, "bright")) > 240
    blurred = [sharpness(pixels(planted, name)) for name in ids(planted, "blurred")]
    assert np.median(blurred) < np.median([sharpness(image) for image in plain]) / 2


def test_off_topic_pictures_have_no_true_label(planted: Planted) -> None:
    truth = planted.truth.set_index("sample_id")["label"]
    assert sorted(truth.index[truth.isna()]) == sorted(ids(planted, "off_topic"))


def test_names_tell_nothing(planted: Planted) -> None:
    numbers = sorted(int(Path(name).stem) for name in planted.truth["sample_id"])
    assert numbers == list(range(N_ORIGINALS + N_ADDED))


# ---- writing it ----------------------------------------------------------------------------------


def digest(folder: Path) -> str:
    hasher = hashlib.sha256()
    for file in sorted(folder.rglob("*.*")):
        hasher.update(f"{file.relative_to(folder)}\n".encode() + file.read_bytes())
    return hasher.hexdigest()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(planted: Planted, tmp_path: Path) -> None:
    assert digest(plant(tmp_path / "again").root) == digest(planted.root)
    assert digest(plant(tmp_path / "other", seed=1).root) != digest(planted.root)


def test_a_finished_folder_is_used_again_as_it_is(planted: Planted) -> None:
    before = planted.manifest.stat().st_mtime_ns
    again = plant(planted.root)
    assert again.manifest.stat().st_mtime_ns == before
    assert again.defects.equals(planted.defects) and read_planted(planted.root).truth.equals(planted.truth)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_folder_of_something_else_is_refused(planted: Planted, tmp_path: Path, seed: int) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(SourceError, match="other files"):
        plant(out, seed=seed)
    assert (out / "thesis.txt").read_text() == "mine"
    with pytest.raises(SourceError, match="other files"):
        plant(planted.root, seed=7)  # planted, but with another seed


def test_a_killed_planting_leaves_nothing_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.demo.planting.annotate", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        plant(tmp_path / "digits")
    assert list(tmp_path.iterdir()) == []


def test_it_says_that_the_defects_were_planted(planted: Planted) -> None:
    assert "planted by `curate demo`" in (planted.root / "planted.json").read_text()


# ---- counting ------------------------------------------------------------------------------------


def found_by(planted: Planted, find: dict[str, set[str]], broken: set[str]) -> pd.DataFrame:
    """The score of finders that flag just the given samples."""
    names = planted.truth["sample_id"]
    issues = {
        issue: pd.DataFrame({"sample_id": names, f"is_{issue}_issue": names.isin(flagged)})
        for issue, flagged in find.items()
    }
    scan = pd.DataFrame({"sample_id": names, "status": np.where(names.isin(broken), "truncated", "ok")})
    first = planted.annotations.drop_duplicates("image").set_index("image")["label"]
    second = planted.annotations.drop_duplicates("image", keep="last").set_index("image")["label"]
    consensus = pd.DataFrame({"sample_id": first.index, "label": first, "is_conflict": first != second})
    return score(planted, scan=scan, consensus=consensus.reset_index(drop=True), issues=issues).set_index("defect")


def test_perfect_finders_find_all_and_nothing_else(planted: Planted) -> None:
    def both(defect: str) -> set[str]:
        return {name for pair in twins(planted, defect) for name in pair}

    find = {
        "exact_duplicate": both("exact_copy"),
        "near_duplicate": both("near_copy"),
        "leak": both("leak"),
        "outlier": set(ids(planted, "off_topic")),
        "label": {name for defect in MISTAKES for name in ids(planted, defect)},
        **{issue: set(ids(planted, defect)) for issue, defect in (("dark", "dark"), ("bright", "bright"))},
        "blurry": set(ids(planted, "blurred")),
    }
    table = found_by(planted, find, set(ids(planted, "truncated")) | set(ids(planted, "unreadable")))
    assert (table["found"] == table["planted"]).all()
    without_people = table.drop(index=[*MISTAKES, "wrong_consensus"])
    assert (without_people["right"] == without_people["flagged"]).all()
    assert table.at["exact_copy", "flagged"] == 60 and table.at["near_copy", "flagged"] == 120


def test_finders_that_flag_nothing_find_nothing(planted: Planted) -> None:
    table = found_by(planted, {"label": set(), "leak": set()}, set())
    people = ["mistake_anna", "mistake_ben"]
    assert table.drop(index=people)["found"].sum() == 0
    assert (table.loc[people, "found"] > 0).all()  # by disagreeing


def test_a_copy_counts_as_found_by_its_twin(planted: Planted) -> None:
    copy, original = twins(planted, "leak")[0]
    table = found_by(planted, {"leak": {original}}, set())
    assert table.loc["leak", ["found", "flagged", "right"]].tolist() == [1, 1, 1]


def test_false_alarms_are_flagged_but_not_right(planted: Planted) -> None:
    innocent = set(planted.truth["sample_id"]) - set(planted.defects["sample_id"])
    table = found_by(planted, {"dark": innocent}, set())
    assert table.loc["dark", ["found", "flagged", "right"]].tolist() == [0, len(innocent), 0]


def test_wrong_labels_are_counted_among_digits_alone(planted: Planted) -> None:
    truth = planted.truth
    assert wrong_labels(planted, truth) == 0
    assert wrong_labels(planted, truth.assign(label="0")) == (truth["label"].notna() & (truth["label"] != "0")).sum()
    assert wrong_labels(planted, truth.assign(label=None)) == 0  # unlabelled is not wrong


def test_the_table_says_plainly_that_the_defects_were_planted(planted: Planted) -> None:
    text = score_text(found_by(planted, {}, set()).reset_index())
    assert text.startswith("The defects of this data set were planted")
    assert "exact_copy" in text


# ---- the reviewer --------------------------------------------------------------------------------


def asked(**row: object) -> dict[str, object]:
    return {
        "issue": "label",
        "label": "3",
        "probability": 0.9,
        "score": 0.1,
        "proposed_action": "drop",
        "reason": "",
    } | row


def test_the_reviewer_sees_each_picture_for_what_it_is(planted: Planted) -> None:
    truth = planted.truth.set_index("sample_id")["label"]
    copy, original = twins(planted, "exact_copy")[0]
    carriers = set(planted.defects["sample_id"]) | set(planted.defects["twin"])
    plain = next(name for name in truth.index if name not in carriers and truth[name] == "3")
    queue = pd.DataFrame(
        [
            asked(rank=1, sample_id=plain, label="8"),
            asked(rank=2, sample_id=plain, label="3"),
            asked(rank=3, sample_id=ids(planted, "off_topic")[0]),
            asked(rank=4, sample_id=copy, issue="exact_duplicate"),
            asked(rank=4, sample_id=original, issue="exact_duplicate", proposed_action="keep"),
            asked(rank=5, sample_id=plain, issue="near_duplicate"),  # with a look-alike
            asked(rank=5, sample_id=original, issue="near_duplicate"),
            asked(rank=6, sample_id=ids(planted, "dark")[0], issue="dark"),
            asked(rank=7, sample_id=plain, issue="outlier"),
        ]
    )
    answers = review(queue, planted.defects, planted.truth)
    assert answers["action"].tolist() == ["relabel", "keep", "drop", "drop", "keep", "keep", "keep", "drop", "keep"]
    assert answers["label"].tolist()[0] == "3" and answers["label"].iloc[1:].isna().all()


def test_the_reviewer_s_answers_fit_the_ledger(planted: Planted, tmp_path: Path) -> None:
    from curate.decisions.ledger import Ledger

    queue = pd.DataFrame(
        [asked(rank=rank, sample_id=name) for rank, name in enumerate(planted.truth["sample_id"].head(20))]
    )
    answers = review(queue, planted.defects, planted.truth).assign(reviewer="demo")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.add(answers)
        assert len(ledger.current()) == 20


@pytest.mark.slow
def test_an_ingest_finds_most_of_what_was_planted_and_little_else(planted: Planted, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "workspace")
    ingest(workspace, planted.manifest, annotations=[planted.annotations_file])
    table = score(
        planted, scan=workspace.read("scan"), consensus=workspace.read("consensus"), issues=found_issues(workspace)
    ).set_index("defect")
    found, right = table["found"] / table["planted"], table["right"] / table["flagged"]
    assert found.min() >= 0.7, found.to_dict()
    assert right.min() >= 0.75, right.to_dict()
