"""Median against a sort of 27 values, Gaussian against scipy in double precision, masks against analytic faces."""

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
from livervol.kernels.smooth import TRUNCATE_SIGMAS, gaussian, gaussian_weights, majority_smooth, median3

SPACING_MM = (2.5, 0.8, 0.7)
SHAPES = [(5, 7, 9), (3, 6, 67), (1, 4, 64), (9, 1, 11), (6, 5, 1), (1, 1, 1), (2, 2, 2)]


def sorted_middle(values: NDArray[Any]) -> NDArray[Any]:
    """The slow obvious twin: sort the 27 neighbours of every voxel."""
    framed = np.pad(values, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(framed, (3, 3, 3)).reshape(*values.shape, 27)
    return np.asarray(np.sort(windows, axis=-1)[..., 13])


@st.composite
def volumes(draw: st.DrawFn) -> NDArray[Any]:
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([1, 2, 30, 32767]))  # 1 and 2 make ties and threshold patterns
    whole = rng.integers(-spread, spread + 1, shape)
    return whole.astype(np.int16) if draw(st.booleans()) else (whole / 7.0).astype(np.float32)


@given(volumes())
def test_median_equals_the_twin(values: NDArray[Any]) -> None:
    found = median3(values)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, sorted_middle(values))
    np.testing.assert_array_equal(found, ndimage.median_filter(values, 3, mode="nearest"))


def test_median_of_every_threshold_pattern_of_sorted_columns() -> None:
    # A network of comparisons is right for all inputs when it is right for all 0-1 inputs (Knuth vol. 3, 5.3.4, Theorem
    # Z). Three columns of nine with 0-9 ones each are all the patterns the last stage can meet; one row of blocks each.
    patterns = [(a, b, c) for a in range(10) for b in range(10) for c in range(10)]
    columns = np.array([[i >= 9 - n for i in range(9)] for p in patterns for n in p], dtype=np.int16)
    values = columns.reshape(-1, 3, 3).transpose(1, 2, 0)
    found = median3(np.ascontiguousarray(values))[1, 1, 1::3]
    np.testing.assert_array_equal(found, [sum(p) >= 14 for p in patterns])


def test_median_of_every_nine_in_a_column() -> None:
    # 512 columns of nine 0-1 values, each three times: the median of the 27 is the column's own
    columns = np.array([[k >> bit & 1 for bit in range(9)] for k in range(512)], dtype=np.int16)
    values = np.repeat(columns, 3, axis=0).reshape(-1, 3, 3).transpose(1, 2, 0)
    found = median3(np.ascontiguousarray(values))[1, 1, 1::3]
    np.testing.assert_array_equal(found, columns.sum(axis=1) >= 5)


@given(volumes(), st.sampled_from([0.0, 0.2, 0.6, 1.5, 4.0]))
def test_gaussian_equals_scipy_in_double_precision(values: NDArray[Any], sigma_mm: float) -> None:
    found = gaussian(values, sigma_mm, SPACING_MM)
    assert found.dtype == np.float32
    sigmas = [sigma_mm / s for s in SPACING_MM]
    expected = ndimage.gaussian_filter(
        values.astype(np.float64), sigmas, output=np.float64, mode="nearest", truncate=TRUNCATE_SIGMAS
    )
    # single precision: about 1e-7 for each of the sums, relative to the greatest magnitude around
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * float(np.abs(values).max()))


def test_gaussian_keeps_a_constant_and_each_spacing_its_axis() -> None:
    flat = np.full((7, 8, 70), -1000, np.int16)
    np.testing.assert_allclose(gaussian(flat, 2.0, SPACING_MM), -1000, rtol=1e-6)
    point = np.zeros((9, 31, 41), np.float32)
    point[4, 15, 20] = 1
    spread = gaussian(point, 1.4, SPACING_MM)
    variances = []
    for axis, spacing in enumerate(SPACING_MM):
        profile = spread.sum(axis=tuple(k for k in range(3) if k != axis), dtype=np.float64)
        at = (np.arange(profile.size) - profile.size // 2) * spacing
        variances.append((profile * at**2).sum())
    # sampling and cutting at 4 sigma change the variance by under 1 % where sigma is at least one voxel (y, x); along z
    # sigma is 0.56 voxel and the sampled variance is that of the weights
    assert variances[1:] == pytest.approx([1.4**2] * 2, rel=1e-2)
    weights = gaussian_weights(1.4 / 2.5).astype(np.float64)
    assert variances[0] == pytest.approx(2 * (weights[1:] * (np.arange(1, weights.size) * 2.5) ** 2).sum(), rel=1e-5)


@pytest.mark.parametrize("sigma_voxels", [0.0, 0.1, 0.6, 3.3])
def test_weights_sum_to_one(sigma_voxels: float) -> None:
    weights = gaussian_weights(sigma_voxels).astype(np.float64)
    assert weights[0] + 2 * weights[1:].sum() == pytest.approx(1.0, abs=1e-6)
    assert weights.size == int(TRUNCATE_SIGMAS * sigma_voxels + 0.5) + 1


def test_majority_keeps_a_flat_face_and_drops_a_speck() -> None:
    mask = np.zeros((9, 20, 70), np.uint8)
    mask[:, :, 30:] = 1
    mask[4, 10, 10] = 1
    smooth = majority_smooth(mask, 1.0, SPACING_MM)
    assert smooth.dtype == np.uint8
    expected = mask.copy()
    expected[4, 10, 10] = 0
    np.testing.assert_array_equal(smooth, expected)


def test_majority_is_the_gaussian_at_one_half() -> None:
    mask = np.random.default_rng(3).random((6, 20, 33)) < 0.5
    blurred = gaussian(mask.astype(np.float32), 1.0, SPACING_MM)
    np.testing.assert_array_equal(majority_smooth(mask, 1.0, SPACING_MM), blurred >= 0.5)
    # any value but zero is foreground
    np.testing.assert_array_equal(majority_smooth(mask * np.uint8(7), 1.0, SPACING_MM), blurred >= 0.5)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_views_threads_and_concurrent_calls_agree(threads: int) -> None:
    stored = np.random.default_rng(6).integers(-1000, 1000, (41, 61, 139)).astype(np.int16)
    view = stored[::-1, :, ::-1]
    middle = ndimage.median_filter(view, 3, mode="nearest")
    blurred = gaussian(np.ascontiguousarray(view), 1.5, SPACING_MM)
    slabs.set_threads(threads)
    try:
        with ThreadPoolExecutor(2) as pool:
            for found in pool.map(lambda _: median3(view), range(3)):
                np.testing.assert_array_equal(found, middle)
            for found in pool.map(lambda _: gaussian(view, 1.5, SPACING_MM), range(3)):
                np.testing.assert_array_equal(found, blurred)
    finally:
        slabs.set_threads(2)
