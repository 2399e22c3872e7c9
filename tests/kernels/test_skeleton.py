"""Thinning against the topology it must keep, tube by tube and on random masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import euler_number, label

from livervol.kernels.distance import distance_mm
from livervol.kernels.skeleton import thin_to_curves


def thinned(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> NDArray[np.uint8]:
    return thin_to_curves(mask, distance_mm(mask.view(np.uint8), spacing_mm, border_is_background=True), spacing_mm)


def pieces_and_euler(mask: NDArray[np.bool_]) -> tuple[int, int, int]:
    padded = np.pad(mask, 1)
    return (
        int(label(padded, connectivity=3).max()),
        int(label(~padded, connectivity=1).max()),
        int(euler_number(padded, connectivity=3)),
    )


def neighbours(curves: NDArray[np.uint8]) -> NDArray[np.int64]:
    return ndimage.convolve(curves.astype(np.int64), np.ones((3, 3, 3), np.int64), mode="constant") - curves


@given(st.integers(0, 2**32 - 1), st.sampled_from([(6, 7, 9), (1, 9, 11), (8, 1, 13), (12, 11, 10)]))
def test_pieces_cavities_and_tunnels_stay(seed: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=shape), 1.0) > rng.uniform(-0.2, 0.3)
    curves = thinned(mask, (2.5, 0.8, 0.7)) != 0
    assert not (curves & ~mask).any()
    # pieces, cavities and the Euler number together fix the count of tunnels
    assert pieces_and_euler(curves) == pieces_and_euler(mask)


def test_a_tube_becomes_its_axis_and_a_fork_three_arms() -> None:
    z, y, x = np.mgrid[:21, :41, :50]
    trunk = (z - 10) ** 2 + (y - 20) ** 2 <= 25
    curves = thinned(trunk)
    index = np.argwhere(curves)
    assert (index[:, 0] == 10).all()
    assert (index[:, 1] == 20).all()
    # it ends where a ball of the tube's radius touches the end: 5 to 6 voxels before it
    assert 38 <= len(index) <= 42
    fork = trunk | (((z - 10) ** 2 + (x - 25) ** 2 <= 9) & (y > 20))
    count = neighbours(thinned(fork))[thinned(fork) != 0]
    assert (count == 1).sum() == 3
    assert (count > 2).any()


def test_a_ring_stays_a_ring_and_a_ball_becomes_a_point() -> None:
    z, y, x = np.mgrid[:15, :41, :41]
    ring = (np.hypot(y - 20, x - 20) - 13) ** 2 + (z - 7) ** 2 <= 9
    curves = thinned(ring)
    assert (neighbours(curves)[curves != 0] >= 2).all()
    radius = np.hypot(*(np.argwhere(curves)[:, 1:] - 20).T)
    # discrete circles lie within a voxel of the axis
    assert np.abs(radius - 13).max() <= 1.0
    assert thinned((z - 7) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 <= 36).sum() == 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 5)])
def test_nothing_stays_nothing(shape: tuple[int, int, int]) -> None:
    assert not thinned(np.zeros(shape, bool)).any()
    assert thinned(np.ones(shape, bool)).sum() >= 1
