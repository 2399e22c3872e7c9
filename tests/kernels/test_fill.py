"""Hole filling against a flood from outside, and against scipy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from livervol.kernels import slabs
from livervol.kernels.fill import fill_holes, fill_holes_slices

SHAPES = [(5, 7, 9), (3, 6, 67), (1, 4, 64), (9, 1, 11), (6, 5, 1), (1, 1, 1), (4, 9, 66)]


def filled_twin(mask: NDArray[np.bool_], max_voxels: int | None) -> NDArray[np.bool_]:
    """The slow obvious twin: label the background, drop what touches the border (any dimension)."""
    holes, count = ndimage.label(~mask)
    filled = mask.copy()
    for number in range(1, count + 1):
        part = holes == number
        index = np.argwhere(part)
        inside = (index.min(axis=0) > 0).all() and (index.max(axis=0) < np.asarray(mask.shape) - 1).all()
        if inside and (max_voxels is None or len(index) <= max_voxels):
            filled |= part
    return filled


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.bool_]:
    shape = draw(st.sampled_from(SHAPES))
    filled = draw(st.sampled_from([0.0, 0.3, 0.6, 0.8, 0.9, 0.97, 1.0]))
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(shape) < filled


@given(masks(), st.sampled_from([None, 0, 1, 3]))
def test_holes_equal_the_twin(mask: NDArray[np.bool_], max_voxels: int | None) -> None:
    filled = fill_holes(mask, max_voxels)
    assert filled.dtype == np.uint8
    np.testing.assert_array_equal(filled, filled_twin(mask, max_voxels))
    if max_voxels is None:
        np.testing.assert_array_equal(filled, ndimage.binary_fill_holes(mask))


@given(masks(), st.sampled_from([None, 0, 1, 3]))
def test_holes_of_each_slice_equal_the_twin(mask: NDArray[np.bool_], max_voxels: int | None) -> None:
    filled = fill_holes_slices(mask, max_voxels)
    np.testing.assert_array_equal(filled, np.stack([filled_twin(plane, max_voxels) for plane in mask]))


def box_with_a_cavity() -> NDArray[np.uint8]:
    mask = np.zeros((7, 8, 70), np.uint8)
    mask[1:6, 1:7, 2:68] = 1
    mask[3, 3:5, 60:66] = 0
    return mask


def test_a_cavity_is_filled_and_a_tunnel_to_the_border_is_not() -> None:
    closed = box_with_a_cavity()
    assert fill_holes(closed).sum() == closed.sum() + 12
    tunnel = closed.copy()
    tunnel[3:, 3, 62] = 0
    np.testing.assert_array_equal(fill_holes(tunnel), tunnel)
    # within its own slice the tunnel is a hole
    assert fill_holes_slices(tunnel)[1:6].sum() == 5 * 6 * 66


def test_a_diagonal_gap_leaves_the_cavity_closed() -> None:
    mask = box_with_a_cavity()
    mask[2, 2, 60] = mask[1, 2, 60] = 0  # joined to the outside, touching the cavity along an edge only
    assert fill_holes(mask)[3, 3:5, 60:66].all()
    assert not fill_holes(mask)[2, 2, 60]


def test_a_hole_at_the_array_border_is_outside() -> None:
    mask = np.ones((4, 5, 6), np.uint8)
    mask[0, 2, 3] = 0
    np.testing.assert_array_equal(fill_holes(mask), mask)
    assert fill_holes_slices(mask).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_large_views_threads_and_concurrent_calls_agree(threads: int) -> None:
    stored = np.random.default_rng(2).random((41, 61, 139)) < 0.75
    view = stored[:, ::-1, ::-1]
    expected = ndimage.binary_fill_holes(view)
    assert (expected != view).any()
    slabs.set_threads(threads)
    try:
        with ThreadPoolExecutor(2) as pool:
            for filled in pool.map(lambda _: fill_holes(view), range(3)):
                np.testing.assert_array_equal(filled, expected)
    finally:
        slabs.set_threads(2)
