"""Distances against the search over all background voxels, and against scipy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from livervol.kernels import slabs
from livervol.kernels.distance import distance_mm, distance_squared_mm2, distance_to

SPACING_MM = (2.5, 0.8, 0.7)
SHAPES = [(5, 7, 9), (3, 6, 67), (1, 4, 64), (9, 1, 11), (6, 5, 1), (1, 1, 1), (1, 1, 70), (13, 1, 1)]


def nearest_mm(of: NDArray[np.bool_], to: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """The slow obvious twin: every voxel of one set against every voxel of the other, in double precision."""
    result = np.zeros(of.shape)
    targets = np.argwhere(to) * np.asarray(spacing_mm)
    for index in np.argwhere(of):
        gaps = targets - index * np.asarray(spacing_mm)
        result[tuple(index)] = np.sqrt((gaps**2).sum(axis=1).min()) if len(targets) else np.inf
    return result


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.bool_]:
    shape = draw(st.sampled_from(SHAPES))
    filled = draw(st.sampled_from([0.0, 0.02, 0.3, 0.7, 0.98, 1.0]))
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(shape) < filled


spacings = st.tuples(*(st.floats(0.3, 6.0) for _ in range(3)))


@given(masks(), spacings)
def test_distance_equals_the_twin(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> None:
    expected = nearest_mm(mask, ~mask, spacing_mm)
    distance = distance_mm(mask, spacing_mm)
    assert distance.dtype == np.float32
    np.testing.assert_allclose(distance, expected, rtol=1e-6)
    np.testing.assert_allclose(distance_squared_mm2(mask, spacing_mm), expected**2, rtol=1e-6)


@given(masks(), spacings)
def test_the_border_counts_when_asked(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> None:
    framed = np.pad(mask, 1)
    expected = nearest_mm(framed, ~framed, spacing_mm)[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(distance_mm(mask, spacing_mm, border_is_background=True), expected, rtol=1e-6)


@given(masks(), spacings, st.sampled_from([0.5, 2.5, 7.0, np.inf]))
def test_distance_to_the_foreground(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float], limit_mm: float
) -> None:
    expected = nearest_mm(~mask, mask, spacing_mm)
    # a voxel exactly at the limit may fall to either side by rounding: keep the limit off every distance
    limit = limit_mm * 1.000003
    expected[expected > limit] = np.inf
    np.testing.assert_allclose(distance_to(mask, spacing_mm, limit), expected, rtol=1e-6)


def test_a_full_mask_is_infinitely_far_from_background() -> None:
    assert np.isinf(distance_mm(np.ones((3, 4, 5), np.uint8), SPACING_MM)).all()
    assert np.isinf(distance_to(np.zeros((3, 4, 5), np.uint8), SPACING_MM)).all()
    assert not distance_mm(np.zeros((3, 4, 5), np.uint8), SPACING_MM).any()


def test_each_spacing_belongs_to_its_axis() -> None:
    mask = np.ones((5, 7, 9), np.uint8)
    mask[2, 3, 4] = 0
    distance = distance_mm(mask, SPACING_MM)
    for axis, spacing in enumerate(SPACING_MM):
        place = [2, 3, 4]
        place[axis] += 2
        assert distance[tuple(place)] == pytest.approx(2 * spacing, rel=1e-6)
    assert distance[0, 0, 0] == pytest.approx(np.sqrt(5.0**2 + 2.4**2 + 2.8**2), rel=1e-6)


def shapes_in_a_box(shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    ball = ((z - 20) / 18) ** 2 + ((y - 40) / 37) ** 2 + ((x - 70) / 60) ** 2 < 1
    return ball & ~(((z - 20) / 4) ** 2 + ((y - 50) / 6) ** 2 + ((x - 30) / 9) ** 2 < 1)


def test_deep_shapes_agree_with_scipy() -> None:
    # many lines, several words a row, both slabs
    mask = shapes_in_a_box((41, 83, 147))
    assert mask.size > slabs.LEAST_VOXELS
    expected = ndimage.distance_transform_edt(mask, SPACING_MM)
    np.testing.assert_allclose(distance_mm(mask, SPACING_MM), expected, rtol=1e-6)
    expected = ndimage.distance_transform_edt(~mask, SPACING_MM)
    np.testing.assert_allclose(distance_to(mask, SPACING_MM), expected, rtol=1e-6)


def test_distances_from_few_far_voxels_agree_with_scipy() -> None:
    mask = np.zeros((37, 90, 150), bool)
    mask[3, 80, 10] = mask[30, 2, 149] = mask[18, 45, 64] = True
    expected = ndimage.distance_transform_edt(~mask, SPACING_MM)
    np.testing.assert_allclose(distance_to(mask, SPACING_MM), expected, rtol=1e-6)


@pytest.mark.parametrize("spacing_mm", [(2.5, 1.6, 1.4), (1.25, 0.8, 0.7)])
def test_a_ball_is_as_deep_as_its_radius(spacing_mm: tuple[float, float, float]) -> None:
    # The deepest voxel centre lies within half a voxel diagonal of the ball's centre, and the nearest background centre
    # within one diagonal outside the sphere: the depth is the radius within one diagonal, which halves with the voxel.
    at = [(np.arange(int(50 / s)) + 0.5) * s - 25 for s in spacing_mm]
    z, y, x = np.meshgrid(*at, indexing="ij")
    depth = distance_mm(z**2 + y**2 + x**2 <= 20.0**2, spacing_mm).max()
    assert abs(depth - 20.0) <= np.linalg.norm(spacing_mm)


@pytest.mark.parametrize("threads", [1, 2])
def test_views_threads_and_concurrent_calls_agree(threads: int) -> None:
    stored = shapes_in_a_box((41, 83, 147)).astype(np.uint8)
    view = stored[::-1, :, ::-1]
    expected = ndimage.distance_transform_edt(view, SPACING_MM)
    slabs.set_threads(threads)
    try:
        with ThreadPoolExecutor(2) as pool:
            for distance in pool.map(lambda _: distance_mm(view, SPACING_MM), range(3)):
                np.testing.assert_allclose(distance, expected, rtol=1e-6)
    finally:
        slabs.set_threads(2)
