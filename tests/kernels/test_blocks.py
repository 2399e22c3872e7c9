from __future__ import annotations

import numpy as np
import pytest

from livervol.kernels.blocks import block_means


def slow_means(values, factors):
    """Block by block."""
    counts = [n // f for n, f in zip(values.shape, factors, strict=True)]
    means = np.empty(counts, np.float32)
    for at in np.ndindex(*counts):
        block = values[tuple(slice(i * f, (i + 1) * f) for i, f in zip(at, factors, strict=True))]
        means[at] = block.astype(np.float64).sum() / block.size
    return means


@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 3, 4), (5, 1, 2), (11, 13, 17)])
@pytest.mark.parametrize("kind", [np.int16, np.float32, np.bool_])
def test_means_are_those_of_each_block(factors, kind):
    values = (np.random.default_rng(3).normal(0, 400, (11, 13, 17))).astype(kind)
    np.testing.assert_allclose(block_means(values, factors), slow_means(values, factors), rtol=1e-6, atol=1e-4)


def test_integers_are_exact():
    values = np.random.default_rng(4).integers(-32768, 32768, (70, 81, 93)).astype(np.int16)
    np.testing.assert_array_equal(block_means(values, (3, 2, 4)), slow_means(values, (3, 2, 4)))


def test_values_are_clipped_before_they_are_averaged():
    values = np.array([[[-1000, 0, 30, 3000]]], np.int16)
    assert block_means(values, (1, 1, 2), (-100.0, 400.0)).tolist() == [[[-50.0, 215.0]]]
    assert block_means(values, (1, 1, 4)).tolist() == [[[507.5]]]


def test_a_box_is_looked_at_alone_and_nothing_is_written():
    values = np.random.default_rng(5).integers(-900, 900, (12, 14, 16)).astype(np.int16)
    before = values.copy()
    part = values[3:10, 1:14, 2:15]
    np.testing.assert_array_equal(
        block_means(values, (2, 3, 4), box=((3, 1, 2), (10, 14, 15))), slow_means(part, (2, 3, 4))
    )
    np.testing.assert_array_equal(block_means(part, (2, 3, 4)), slow_means(part, (2, 3, 4)))
    np.testing.assert_array_equal(values, before)
    assert values.flags.writeable
