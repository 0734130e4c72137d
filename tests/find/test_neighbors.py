"""Neighbours against FAISS's own exact search, against themselves, and where everything is the same."""

from __future__ import annotations

import time

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.find import neighbors
from curate.find.neighbors import nearest


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clouds(n: int, d: int = 64, seed: int = 0) -> np.ndarray:
    """(n, d) unit rows around 40 centres, in 16 directions that matter and many that hardly do: as embeddings are."""
    random = np.random.default_rng(seed)
    spread = np.r_[np.ones(16), np.full(d - 16, 0.1)]
    centres = random.normal(size=(40, d)) * spread
    return unit(centres[random.integers(0, 40, n)] + random.normal(size=(n, d)) * spread * 0.7)


def oracle(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    D, I = index.search(vectors, k + 1)  # noqa: E741
    return D[:, 1:], I[:, 1:]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_exact_search_finds_what_faiss_finds(dtype):
    vectors = clouds(700).astype(dtype)
    found = nearest(vectors, 20)
    D, I = oracle(vectors.astype(np.float32), 20)  # noqa: E741
    np.testing.assert_allclose(found.D, D, atol=1e-5)
    assert (found.I == I).mean() > 0.999  # rounding may swap two that are equally near
    assert found.D.dtype == np.float32 and found.I.dtype == np.int32
    assert found.method.startswith("exact") and found.recall == 1


def test_blocks_do_not_change_the_answer(monkeypatch):
    vectors = clouds(700)
    whole = nearest(vectors, 20)
    monkeypatch.setattr(neighbors, "EXACT_UP_TO", 128)
    monkeypatch.setattr(neighbors, "BLOCK", 128 * 50)
    in_blocks = nearest(vectors, 20, method="exact")
    np.testing.assert_array_equal(whole.I, in_blocks.I)
    np.testing.assert_allclose(whole.D, in_blocks.D, atol=1e-6)


@pytest.mark.parametrize("method", ["exact", "indexed"])
def test_a_row_is_never_its_own_neighbour_even_among_copies(method):
    vectors = np.concatenate([clouds(2000), np.repeat(clouds(1, seed=1), 30, axis=0)])
    found = nearest(vectors, 10, method=method)
    assert (found.I != np.arange(len(vectors))[:, None]).all()
    np.testing.assert_allclose(found.D[2000:], 1, atol=1e-5)
    assert (np.diff(found.D, axis=1) <= 0).all()
    assert all(len(set(row)) == 10 for row in found.I)


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_rows_have_as_many_neighbours_as_there_are(n):
    found = nearest(clouds(n) if n else np.empty((0, 64), np.float32), 10)
    assert found.D.shape == found.I.shape == (n, max(0, n - 1))


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="expected auto, exact or indexed"):
        nearest(clouds(5), 2, method="magic")


def test_indexed_search_finds_98_percent_and_says_so():
    vectors = clouds(12_000)
    found, exact = nearest(vectors, 20, method="indexed"), nearest(vectors, 20, method="exact")
    recall = np.mean([np.isin(truth, some).mean() for some, truth in zip(found.I, exact.I, strict=True)])
    assert recall >= 0.98
    assert abs(found.recall - recall) < 0.02
    assert f"recall {found.recall:.3f}" in found.method
    rows = np.arange(len(vectors))[:, None]
    np.testing.assert_allclose(found.D, (vectors[rows] * vectors[found.I]).sum(2), atol=1e-5)


def test_large_data_are_indexed_unless_exact_is_asked_for(monkeypatch):
    monkeypatch.setattr(neighbors, "EXACT_UP_TO", 1000)
    vectors = clouds(1500)
    assert nearest(vectors, 5).method.startswith("indexed")
    assert nearest(vectors, 5, method="exact").method.startswith("exact")


def test_a_read_only_map_of_half_precision_is_enough(tmp_path):
    np.save(tmp_path / "vectors.npy", clouds(300).astype(np.float16))
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    np.testing.assert_array_equal(nearest(mapped, 5).I, nearest(np.array(mapped), 5).I)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(1, 12), st.integers(0, 1000))
def test_the_order_of_the_rows_changes_no_similarity(n, k, seed):
    vectors = clouds(n, seed=seed)
    order = np.random.default_rng(seed).permutation(n)
    np.testing.assert_allclose(nearest(vectors[order], k).D, nearest(vectors, k).D[order], atol=1e-6)


def test_ten_thousand_equal_rows_take_no_longer_than_different_ones():
    equal, different = np.repeat(clouds(1), 10_000, axis=0), clouds(10_000)
    seconds = {}
    for name, vectors in (("different", different), ("equal", equal)):
        started = time.process_time()
        found = nearest(vectors, 10, method="indexed")
        seconds[name] = time.process_time() - started
    np.testing.assert_allclose(found.D, 1, atol=1e-5)
    assert seconds["equal"] < 5 * seconds["different"] + 2


@pytest.mark.slow
def test_time_grows_hardly_faster_than_the_data():
    seconds = []
    sizes = (25_000, 100_000)
    for n in sizes:
        vectors = clouds(n).astype(np.float16)
        started = time.process_time()
        nearest(vectors, 20, method="indexed")
        seconds.append(time.process_time() - started)
    slope = np.log(seconds[1] / seconds[0]) / np.log(sizes[1] / sizes[0])
    assert slope < 1.5, seconds  # lists grow with sqrt(N); only quadratic cost would break this
