"""Per-label tallies against numpy, label by label."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from livervol.kernels import slabs
from livervol.kernels.tally import (
    label_boxes,
    label_counts,
    label_histogram,
    label_moments,
    label_percentiles,
    overlap_counts,
    present_values,
)

SHAPES = [(5, 7, 9), (3, 6, 67), (1, 4, 64), (9, 1, 11), (6, 5, 1), (1, 1, 1)]


@st.composite
def label_arrays(draw: st.DrawFn, shape: tuple[int, int, int] | None = None, dtype: type = np.uint8) -> NDArray[Any]:
    shape = shape or draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.integers(0, draw(st.sampled_from([1, 2, 9])), shape).astype(dtype)
    labels[labels == 3] = 0  # an absent value between present ones
    return np.repeat(labels, 2, axis=2)


def values_like(labels: NDArray[Any], dtype: type, offset: float = 0.0) -> NDArray[Any]:
    rng = np.random.default_rng(labels.size)
    return (rng.integers(-900, 900, labels.shape) + offset).astype(dtype)


@given(st.sampled_from([np.uint8, np.uint16, np.int32]).flatmap(lambda dtype: label_arrays(dtype=dtype)))
def test_counts_boxes_and_values_equal_the_twin(labels: NDArray[Any]) -> None:
    counts, boxes = label_counts(labels), label_boxes(labels)
    assert counts.dtype == np.int64
    assert counts.size == boxes.shape[0] == labels.max() + 1
    np.testing.assert_array_equal(counts, [(labels == k).sum() for k in range(counts.size)])
    np.testing.assert_array_equal(present_values(labels), np.unique(labels))
    for label, box in enumerate(boxes):
        index = np.argwhere(labels == label)
        expected = np.stack([index.min(axis=0), index.max(axis=0) + 1], axis=1) if len(index) else np.zeros((3, 2))
        np.testing.assert_array_equal(box, expected)


@given(label_arrays(), st.sampled_from([np.int16, np.uint8, np.float32]))
def test_moments_equal_the_twin(labels: NDArray[Any], dtype: type) -> None:
    values = values_like(labels, dtype, 900.0 if dtype is np.uint8 else 0.0)
    found = label_moments(labels, values)
    for label in range(labels.max() + 1):
        chosen = values[labels == label].astype(np.float64)
        assert found.count[label] == chosen.size
        assert found.total[label] == chosen.sum()  # whole numbers: exact in every type
        if chosen.size:
            assert (found.least[label], found.greatest[label]) == (chosen.min(), chosen.max())
            assert found.mean[label] == pytest.approx(chosen.mean(), rel=1e-12, abs=1e-12)
            assert found.standard_deviation()[label] == pytest.approx(chosen.std(), rel=1e-12, abs=1e-12)
        else:
            assert np.isnan(found.mean[label])
            assert (found.least[label], found.greatest[label]) == (np.inf, -np.inf)
        if chosen.size > 1:
            assert found.standard_deviation(ddof=1)[label] == pytest.approx(chosen.std(ddof=1), rel=1e-12, abs=1e-12)
        else:
            assert np.isnan(found.standard_deviation(ddof=1)[label])


def test_a_small_spread_far_from_zero_survives() -> None:
    labels = np.ones((4, 5, 6), np.uint8)
    values = 1e9 + np.random.default_rng(1).normal(size=labels.shape)
    found = label_moments(labels, values)
    # the input itself carries 1e-7 of rounding at 1e9, the same for both sides; the sums add about 1e-16 a term
    assert found.standard_deviation()[1] == pytest.approx((values - 1e9).std(), rel=1e-9)


def test_extreme_integers_do_not_overflow() -> None:
    labels = np.ones((40, 80, 90), np.uint8)
    values = np.full(labels.shape, 32767, np.int16)
    values[:, ::2] = -32768
    found = label_moments(labels, values)
    assert found.mean[1] == -0.5
    assert found.standard_deviation()[1] == pytest.approx(32767.5, rel=1e-12)


@given(label_arrays(), st.sampled_from([(-900, 899), (-50, 60), (7, 7)]))
def test_histogram_equals_the_twin(labels: NDArray[Any], limits: tuple[int, int]) -> None:
    values = values_like(labels, np.int16)
    lo, hi = limits
    heights = label_histogram(labels, values, lo, hi)
    for label in range(labels.max() + 1):
        expected = np.bincount(np.clip(values[labels == label], lo, hi).astype(int) - lo, minlength=hi - lo + 1)
        np.testing.assert_array_equal(heights[label], expected)


@given(label_arrays())
def test_percentiles_equal_numpy(labels: NDArray[Any]) -> None:
    values = values_like(labels, np.int16)
    percents = (0.0, 2.5, 50.0, 97.5, 100.0)
    found = label_percentiles(labels, values, percents)
    for label in range(labels.max() + 1):
        chosen = values[labels == label]
        if chosen.size:
            expected = np.percentile(chosen.astype(np.float64), percents)
            np.testing.assert_allclose(found[label], expected, rtol=1e-12, atol=1e-9)
        else:
            assert np.isnan(found[label]).all()


@given(st.data())
def test_overlaps_equal_the_twin(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from(SHAPES))
    a, b = data.draw(label_arrays(shape)), data.draw(label_arrays(shape, np.uint16))
    pairs = overlap_counts(a, b)
    assert pairs.shape == (a.max() + 1, b.max() + 1)
    for i, j in np.ndindex(pairs.shape):
        assert pairs[i, j] == ((a == i) & (b == j)).sum()


def test_boolean_labels_and_views() -> None:
    stored = np.random.default_rng(4).random((6, 7, 20)) < 0.3
    view = stored[::-1, ::2, 1::3]
    np.testing.assert_array_equal(label_counts(view), [(~view).sum(), view.sum()])
    values = np.random.default_rng(5).integers(0, 99, stored.shape).astype(np.int16)[::-1, ::2, 1::3]
    assert label_moments(view, values).total[1] == values[view].sum()


@pytest.mark.parametrize("threads", [1, 2])
def test_slabs_and_concurrent_calls_agree_with_scipy(threads: int) -> None:
    rng = np.random.default_rng(9)
    labels = np.repeat(rng.integers(0, 5, (41, 61, 30)), 5, axis=2).astype(np.uint8)
    labels[:20][labels[:20] == 4] = 0  # one label in one slab only
    values = rng.integers(-1000, 1500, labels.shape).astype(np.int16)
    assert labels.size > slabs.LEAST_VOXELS
    index = np.arange(5)
    slabs.set_threads(threads)
    try:
        with ThreadPoolExecutor(2) as pool:
            for found in pool.map(lambda _: label_moments(labels, values), range(3)):
                np.testing.assert_array_equal(found.count, np.bincount(labels.ravel()))
                np.testing.assert_allclose(found.mean, ndimage.mean(values, labels, index), rtol=1e-12)
                deviation = ndimage.standard_deviation(values, labels, index)
                np.testing.assert_allclose(found.standard_deviation(), deviation, rtol=1e-12)
                np.testing.assert_array_equal(found.least, ndimage.minimum(values, labels, index))
                np.testing.assert_array_equal(found.greatest, ndimage.maximum(values, labels, index))
        boxes = ndimage.find_objects(labels)
        expected = [[[s.start, s.stop] for s in box] for box in boxes]
        np.testing.assert_array_equal(label_boxes(labels)[1:], expected)
    finally:
        slabs.set_threads(2)
