from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from curate.config import SplitOptions
from curate.errors import SplitError
from curate.ingest.splits import join_groups, make_splits, split_proof

WHOLE = SplitOptions()


def samples(labels, splits=None):
    table = pd.DataFrame({"sample_id": pd.Series([f"{i:06d}.jpg" for i in range(len(labels))], dtype="str")})
    table["label"] = pd.Series(labels, dtype="str")
    return table if splits is None else table.assign(split=pd.Series(splits, dtype="str"))


def split(table, groups=None, options=WHOLE):
    groups = np.arange(len(table)) if groups is None else np.asarray(groups)
    return make_splits(table, groups, options=options)


def worst_deviation(table, splits, groups):
    return split_proof(table.assign(split=splits), groups).per_split["largest_deviation"].max()


def imbalanced(n, n_classes, rng):
    weights = np.arange(1, n_classes + 1) ** -0.8
    return [f"c{i:03d}" for i in rng.choice(n_classes, n, p=weights / weights.sum())]


def test_each_class_is_divided_70_15_15():
    table = samples(["ant"] * 100 + ["bee"] * 40 + ["cat"] * 20)
    counts = pd.crosstab(table["label"], split(table))
    assert counts["train"].tolist() == [70, 28, 14]
    assert counts["val"].tolist() == [15, 6, 3]
    assert counts["test"].tolist() == [15, 6, 3]


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 2, "test": 1}),
        (4, {"train": 2, "test": 1, "val": 1}),
        (5, {"train": 3, "test": 1, "val": 1}),
    ],
)
def test_a_class_of_very_few_samples_goes_to_train_then_test_then_val(n, expected):
    table = samples(["big"] * 1000 + ["few"] * n)
    assert split(table)[table["label"] == "few"].value_counts().to_dict() == expected


def test_a_class_that_is_one_group_stays_together():
    table = samples(["big"] * 200 + ["one"] * 12)
    found = split(table, [*range(200), *[200] * 12])
    assert found[200:].nunique() == 1


def test_unlabelled_samples_are_divided_too():
    table = samples([None] * 100 + ["ant"] * 100)
    assert split(table)[:100].value_counts().to_dict() == {"train": 70, "val": 15, "test": 15}
    assert split(samples([None] * 10)).value_counts()["train"] == 7


@settings(max_examples=50)
@given(
    labels=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=60),
    data=st.data(),
    seed=st.integers(0, 3),
)
def test_no_group_straddles_and_the_order_of_rows_changes_nothing(labels, data, seed):
    groups = np.array(data.draw(st.lists(st.integers(0, 20), min_size=len(labels), max_size=len(labels))))
    table, options = samples(labels), SplitOptions(seed=seed)
    found = split(table, groups, options)
    assert found.isin(["train", "val", "test"]).all()
    assert split_proof(table.assign(split=found), groups).n_straddling == 0
    order = np.array(data.draw(st.permutations(range(len(labels)))))
    renamed = 100 - groups  # the same groups under other numbers
    again = split(table.iloc[order], renamed[order], options)
    assert again.reindex(found.index).equals(found)


@settings(max_examples=50)
@given(data=st.data(), n_classes=st.integers(1, 6))
def test_a_class_of_two_groups_or_more_is_in_train_and_in_test(data, n_classes):
    sizes = [data.draw(st.lists(st.integers(1, 5), min_size=2, max_size=8)) for _ in range(n_classes)]
    labels = [f"c{c}" for c, groups in enumerate(sizes) for size in groups for _ in range(size)]
    flat = [size for groups in sizes for size in groups]
    table = samples(labels)
    found = split(table, np.repeat(np.arange(len(flat)), flat))
    for label in set(labels):
        assert {"train", "test"} <= set(found[table["label"] == label])


def test_another_seed_gives_another_split_and_the_same_seed_the_same():
    table = samples(["ant"] * 100)
    one, two, other = (split(table, options=SplitOptions(seed=seed)) for seed in (0, 0, 1))
    assert one.equals(two) and not one.equals(other)


def test_patients_of_very_unequal_size_deviate_less_than_scikit_learns_folds():
    rng = np.random.default_rng(0)
    table = samples(imbalanced(6000, 12, rng))
    groups = rng.geometric(0.01, 6000)
    ours = worst_deviation(table, split(table, groups), groups)
    folds = StratifiedGroupKFold(n_splits=7, shuffle=True, random_state=0).split(table, table["label"], groups)
    theirs = np.full(6000, "train", dtype=object)
    for name, (_, rows) in zip(("val", "test"), folds, strict=False):
        theirs[rows] = name
    assert ours <= worst_deviation(table, theirs, groups)
    assert ours < 0.01
    shares = split(table, groups).value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({"train": 0.7, "val": 0.15, "test": 0.15}, abs=0.01)


def test_groups_of_several_classes_deviate_little():
    rng = np.random.default_rng(1)
    table = samples(imbalanced(5000, 20, rng))
    groups = join_groups(rng.integers(0, 2500, 5000))
    assert worst_deviation(table, split(table, groups), groups) < 0.004


def test_a_split_that_is_given_is_kept_and_its_group_follows():
    table = samples(["ant"] * 100, ["test"] * 30 + [None] * 70)
    groups = np.array([*range(30), *range(20), *range(30, 80)])  # rows 30 to 49 belong to given ones
    found = split(table, groups)
    assert (found[:50] == "test").all()
    assert found.value_counts()["train"] > 40  # test has had its share: the rest goes to the others
    assert "test" not in set(found[50:])


def test_a_group_given_to_two_splits_is_left_as_it_is():
    table = samples(["ant"] * 3, ["test", "train", None])
    assert split(table, [0, 0, 0]).tolist() == ["test", "train", "train"]


def test_shares_may_leave_a_split_out():
    table = samples(["ant"] * 100)
    found = split(table, options=SplitOptions(train=0.8, val=0.2, test=0))
    assert found.value_counts().to_dict() == {"train": 80, "val": 20}


@pytest.mark.parametrize("shares", [(0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_shares_that_are_no_shares_are_an_error(shares):
    with pytest.raises(SplitError, match="add up to 1"):
        split(samples(["ant"]), options=SplitOptions(*shares))


def test_no_samples_and_too_few_groups_are_errors():
    with pytest.raises(SplitError, match="0 samples"):
        split(samples([]))
    with pytest.raises(SplitError, match="2 samples and 1 groups"):
        split(samples(["a", "b"]), [0])


def test_keys_join_directly_and_through_others():
    patient = pd.Series(["p", "p", None, "q", None, None], dtype="str")
    duplicate = np.array([0, 1, 1, 2, 3, 4])
    assert join_groups(patient, duplicate).tolist() == [0, 0, 0, 1, 2, 3]
    assert join_groups([None, None]).tolist() == [0, 1]
    assert join_groups([7, 7, 8]).tolist() == [0, 0, 1]


@given(st.lists(st.tuples(st.integers(0, 6), st.one_of(st.none(), st.sampled_from("abcdef"))), max_size=20, min_size=1))
def test_joined_groups_are_the_connected_components(keys):
    first, second = zip(*keys, strict=True)
    found = join_groups(np.array(first), pd.Series(second, dtype="str"))
    group = list(range(len(keys)))  # brute force: merge until nothing changes
    for _ in keys:
        for i in range(len(keys)):
            for j in range(len(keys)):
                if first[i] == first[j] or (second[i] is not None and second[i] == second[j]):
                    group[i] = group[j] = min(group[i], group[j])
    assert found.tolist() == pd.factorize(np.array(group))[0].tolist()


def test_three_hundred_thousand_samples_take_seconds():
    rng = np.random.default_rng(0)
    table = samples(imbalanced(300_000, 100, rng))
    before = time.process_time()
    groups = join_groups(np.where(rng.random(300_000) < 0.2, rng.integers(0, 300_000, 300_000), np.arange(300_000)))
    split(table, groups)
    assert time.process_time() - before < 10
