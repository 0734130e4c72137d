"""Duplicates: exact counts of planted copies, no chaining, leaks through copies, order of rows."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from curate.find.duplicates.exact import find_exact_duplicate
from curate.find.duplicates.leak import find_leak
from curate.find.duplicates.near import (
    duplicate_groups,
    duplicate_pairs,
    find_near_duplicate,
    flagged,
    linked_groups,
    rank_pairs,
)
from curate.find.neighbors import nearest
from curate.schema import validate, validate_issues


def pictures(n: int, seed: int = 0) -> np.ndarray:
    """(n, 32, 32, 3) random smooth colour pictures, no two alike."""
    noise = np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    return np.stack([cv2.resize(small, (32, 32), interpolation=cv2.INTER_CUBIC) for small in noise])


def described(thumbs: np.ndarray, contents: list[str], splits: list[str] | None = None):
    """Samples, embeddings (pixels that don't tell left from right) and neighbours of pictures."""
    samples = pd.DataFrame(
        {
            "sample_id": [f"{number:04d}.png" for number in range(len(thumbs))],
            "sha256": contents,
            "split": splits or [None] * len(thumbs),
        }
    )
    vectors = (thumbs.astype(np.float32) + thumbs[:, :, ::-1]).reshape(len(thumbs), -1)
    vectors -= vectors.mean(axis=1, keepdims=True)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return samples, vectors, nearest(vectors, 10), thumbs


def names(n: int) -> list[str]:
    return [f"{number * 7919:064x}" for number in range(1, n + 1)]


@pytest.fixture(scope="module")
def planted():
    """100 pictures; 100-104 are the bytes of 0-4 again, 105-109 are 5-9 compressed anew, 110-114 mirrored 10-14."""
    base = pictures(100)
    jpeg = [cv2.imdecode(cv2.imencode(".jpg", base[i], [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1) for i in range(5, 10)]
    thumbs = np.concatenate([base, base[:5], np.stack(jpeg), base[10:15, :, ::-1]])
    contents = names(115)
    contents[100:105] = contents[:5]
    splits = ["train"] * 100 + ["test"] * 15
    return described(thumbs, contents, splits)


def test_planted_copies_are_found_and_nothing_else(planted):
    samples, *rest = planted
    pairs = validate("near_duplicate_pairs", duplicate_pairs(samples, *rest))
    exact, near = (pairs[pairs["kind"].eq(kind)] for kind in ("exact", "near"))
    assert sorted(zip(exact["sample_id_a"], exact["sample_id_b"], strict=True)) == [
        (f"{i:04d}.png", f"{i + 100:04d}.png") for i in range(5)
    ]
    near = flagged(near)
    assert sorted(zip(near["sample_id_a"], near["sample_id_b"], strict=True)) == [
        (f"{i:04d}.png", f"{i + 100:04d}.png") for i in range(5, 15)
    ]
    assert set(flagged(pairs)["between"]) == {"test-train"}


def test_each_finder_scores_every_sample_and_flags_both_twins(planted):
    samples, *rest = planted
    pairs = duplicate_pairs(samples, *rest)
    for find, issue, count in (
        (find_exact_duplicate, "exact_duplicate", 10),
        (find_near_duplicate, "near_duplicate", 20),
        (find_leak, "leak", 30),
    ):
        table = validate_issues([issue], find(samples, pairs))
        assert table["sample_id"].tolist() == samples["sample_id"].tolist()
        assert table[f"is_{issue}_issue"].sum() == count
        assert table.loc[table[f"is_{issue}_issue"], "group_id"].nunique() == count / 2


def test_without_splits_nothing_leaks(planted):
    samples, *rest = planted
    pairs = duplicate_pairs(samples.assign(split=None), *rest)
    assert not find_leak(samples.assign(split=None), pairs)["is_leak_issue"].any()


def test_the_order_of_the_samples_does_not_matter(planted):
    samples, vectors, _, thumbs = planted
    order = np.random.default_rng(1).permutation(len(samples))
    moved = samples.iloc[order].reset_index(drop=True)
    a = duplicate_pairs(samples, vectors, nearest(vectors, 10), thumbs)
    b = duplicate_pairs(moved, vectors[order], nearest(vectors[order], 10), thumbs[order])
    keys = ["sample_id_a", "sample_id_b"]
    a, b = (table.sort_values(keys, ignore_index=True) for table in (a, b))
    pd.testing.assert_frame_equal(a, b, atol=1e-5)
    groups_a = pd.Series(duplicate_groups(samples, a), index=samples["sample_id"])
    groups_b = pd.Series(duplicate_groups(moved, a), index=moved["sample_id"])
    same_a = {frozenset(group.index) for _, group in groups_a.groupby(groups_a)}
    same_b = {frozenset(group.index) for _, group in groups_b.groupby(groups_b)}
    assert same_a == same_b


def test_groups_do_not_chain():
    samples = pd.DataFrame({"sample_id": list("abcdef")})
    chain = pd.DataFrame(
        {
            "sample_id_a": list("abcde"),
            "sample_id_b": list("bcdef"),
            "agreement": 0.9,
            "kind": "near",
        }
    )
    groups = pd.Series(duplicate_groups(samples, chain), index=samples["sample_id"])
    for _, members in groups.groupby(groups):
        assert len(members) <= 3, "a member must resemble the centre of its group, not only another member"


def links(pairs: list[tuple[int, int]], kind: str = "near", agreement: float = 0.9) -> pd.DataFrame:
    a, b = zip(*((f"{one:04d}", f"{other:04d}") for one, other in pairs), strict=True)
    return pd.DataFrame({"sample_id_a": a, "sample_id_b": b, "agreement": agreement, "kind": kind})


def test_what_flagged_pairs_join_stays_together_however_long_the_chain():
    samples = pd.DataFrame({"sample_id": [f"{n:04d}" for n in range(60)]})
    chain = links([(n, n + 1) for n in range(24)])
    below = links([(24, 25)], agreement=0.6)
    groups = linked_groups(samples, pd.concat([chain, below]))
    assert len(set(groups[:25])) == 1 and len(set(groups)) == 36


def test_where_all_are_alike_the_most_similar_stay_together_and_all_exact_copies():
    samples = pd.DataFrame({"sample_id": [f"{n:04d}" for n in range(500)]})
    chain = links([(n, n + 1) for n in range(299)]).assign(agreement=np.linspace(0.99, 0.71, 299))
    copies = links([(400, n) for n in range(401, 500)] + [(400, 0)], kind="exact", agreement=1.0)
    pairs = pd.concat([chain, copies])
    groups = linked_groups(samples, pairs)
    assert len(set([*groups[400:], groups[0]])) == 1
    sizes = np.bincount(groups[:300])
    assert sizes.max() == 50 and len(set(groups[:50])) == 1
    order = np.random.default_rng(0).permutation(len(samples))
    moved = linked_groups(samples.iloc[order], pairs.sample(frac=1, random_state=0))
    assert len(set(zip(groups[order], moved, strict=True))) == len(set(groups)) == len(set(moved))


def test_copies_in_train_of_a_tested_picture_all_leak_however_they_are_named():
    thumbs = pictures(40)
    thumbs = np.concatenate([thumbs, thumbs[[0, 0, 0]]])
    contents = names(43)
    contents[40:] = [contents[0]] * 3
    samples, *rest = described(thumbs, contents, ["train"] * 41 + ["test", "train"])
    leaks = find_leak(samples, duplicate_pairs(samples, *rest))
    assert leaks.loc[leaks["is_leak_issue"], "sample_id"].tolist() == ["0000.png", "0040.png", "0041.png", "0042.png"]


def test_two_thousand_identical_files_make_about_as_many_pairs():
    thumbs = np.repeat(pictures(1), 2000, axis=0)
    samples, *rest = described(thumbs, names(1) * 2000)
    pairs = duplicate_pairs(samples, *rest)
    assert len(pairs) == 1999
    assert find_exact_duplicate(samples, pairs)["is_exact_duplicate_issue"].all()
    assert len(set(duplicate_groups(samples, pairs))) == 1


def test_the_near_twin_of_a_picture_with_many_exact_copies_is_found():
    base = pictures(60)
    twin = cv2.imdecode(cv2.imencode(".jpg", base[0], [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1)
    thumbs = np.concatenate([base, np.repeat(base[:1], 30, axis=0), twin[None]])
    samples, *rest = described(thumbs, names(60) + names(1) * 30 + ["f" * 64])
    near = flagged(duplicate_pairs(samples, *rest)).query("kind == 'near'")
    assert set(near["sample_id_b"]) == {"0090.png"}
    assert find_near_duplicate(samples, duplicate_pairs(samples, *rest))["is_near_duplicate_issue"].sum() == 32


def test_the_first_pairs_tell_of_as_many_pictures_as_can_be():
    """a, b and c are alike, and so, a little less, are x and y: x-y comes before the third pair of a, b and c."""
    samples = pd.DataFrame({"sample_id": list("abcxy"), "split": None})
    near = [("a", "b", 0.95), ("a", "c", 0.94), ("b", "c", 0.93), ("x", "y", 0.90)]
    pairs = pd.DataFrame(near, columns=["sample_id_a", "sample_id_b", "agreement"]).assign(kind="near", cosine=0.9)
    ranked = validate("near_duplicate_pairs", rank_pairs(pairs, samples))
    assert (ranked["sample_id_a"] + ranked["sample_id_b"]).tolist() == ["ab", "xy", "ac", "bc"]
    assert ranked["similarity"].tolist() == pytest.approx([0.95, 0.90, 0.94 * 0.9, 0.93 * 0.81])
    assert ranked["agreement"].tolist() == [0.95, 0.90, 0.94, 0.93]


def scribbles(n: int) -> np.ndarray:
    """(n, 32, 32, 3) handwritten digits, each of which has others that look much like it."""
    small = load_digits().images[:n]
    large = np.stack([cv2.resize(digit, (32, 32), interpolation=cv2.INTER_CUBIC) for digit in small])
    return np.repeat((240 - 13 * large.clip(0, 16)).astype(np.uint8)[..., None], 3, axis=3)


def test_look_alikes_are_not_flagged_and_copies_among_them_are():
    digits = scribbles(600)
    copies = [cv2.imdecode(cv2.imencode(".jpg", d, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], 1) for d in digits[:20]]
    samples, *rest = described(np.concatenate([digits, np.stack(copies)]), names(620))
    found = flagged(duplicate_pairs(samples, *rest))
    pairs = set(zip(found["sample_id_a"], found["sample_id_b"], strict=True))
    planted = {(f"{i:04d}.png", f"{i + 600:04d}.png") for i in range(20)}
    assert len(planted & pairs) >= 18
    assert len(pairs - planted) <= 12


def test_where_every_picture_has_a_copy_all_are_flagged():
    base = pictures(60)
    copies = [cv2.imdecode(cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1) for one in base]
    samples, *rest = described(np.concatenate([base, np.stack(copies)]), names(120))
    found = find_near_duplicate(samples, duplicate_pairs(samples, *rest))
    assert found["is_near_duplicate_issue"].all()
    assert found["group_id"].nunique() == 60


def test_a_cut_whose_pixels_fit_nowhere_is_told_by_its_embedding():
    """300 pictures in 30 clusters; the last is a cut of the first: another thumbnail, nearly the same embedding."""
    thumbs = pictures(301)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 64))[rng.integers(0, 30, 301)] + 0.5 * rng.normal(size=(301, 64))
    vectors[300] = vectors[0] + 0.02 * rng.normal(size=64)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    samples, *_ = described(thumbs, names(301))
    pairs = flagged(duplicate_pairs(samples, vectors, nearest(vectors, 10), thumbs))
    assert list(zip(pairs["sample_id_a"], pairs["sample_id_b"], strict=True)) == [("0000.png", "0300.png")]
