"""The order of learning: full batches, each sample once per pass, any step reachable."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from curate.train.batches import endless_batches


@pytest.mark.parametrize(("n", "batch_size"), [(10, 4), (8, 8), (7, 3), (3, 10), (1, 4)])
def test_each_pass_takes_each_sample_once(n: int, batch_size: int) -> None:
    rows = np.concatenate([rows for rows, _ in islice(endless_batches(n, batch_size, seed=0), 3 * n)])
    assert len(rows) == 3 * n * batch_size
    for start in range(0, len(rows), n):
        assert sorted(rows[start : start + n]) == list(range(n))


def test_a_later_step_is_the_same_without_the_steps_before() -> None:
    whole = list(islice(endless_batches(10, 4, seed=5), 9))
    rest = list(islice(endless_batches(10, 4, seed=5, first_step=6), 3))
    for (rows, turn), (expected, expected_turn) in zip(rest, whole[6:], strict=True):
        assert rows.tolist() == expected.tolist() and turn == expected_turn


def test_seeds_and_passes_give_other_orders() -> None:
    first, second = (next(endless_batches(50, 50, seed=seed))[0].tolist() for seed in (0, 1))
    assert first != second
    passes = [rows.tolist() for rows, _ in islice(endless_batches(50, 50, seed=0), 2)]
    assert passes[0] != passes[1]
