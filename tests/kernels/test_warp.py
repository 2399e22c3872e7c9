from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from livervol.kernels.warp import warp_linear, warp_nearest

SHAPE, SOURCE = (9, 11, 13), (8, 10, 12)
MATRIX = np.array([[0.9, 0.05, -0.02, 0.3], [-0.04, 0.95, 0.03, -0.6], [0.02, -0.03, 1.02, -0.4]])
LATTICE = np.array([[0.4, 0.02, 0.0, -0.3], [0.01, 0.35, -0.01, 0.2], [0.0, 0.02, 0.3, 0.1]])
SHIFTS = np.random.default_rng(3).normal(0, 1.2, (3, 4, 5, 4)).astype(np.float32)


def slow_places(matrix=MATRIX, lattice=LATTICE, shifts=SHIFTS):
    """Twin: index by index through scipy."""
    index = np.indices(SHAPE).reshape(3, -1).astype(float)
    node = lattice[:, :3] @ index + lattice[:, 3:]
    moved = [ndimage.map_coordinates(part, node, order=1, mode="nearest", output=float) for part in shifts]
    return matrix[:, :3] @ index + matrix[:, 3:] + np.stack(moved)


def slow(voxels, places, order, outside):
    edge = np.array(voxels.shape)[:, None] - 0.5
    inside = ((places >= -0.5) & (places <= edge)).all(axis=0)
    clamped = np.clip(places, 0, edge - 0.5)
    read = ndimage.map_coordinates(voxels, clamped, order=order, mode="nearest", output=float)
    return np.where(inside, read, outside).reshape(SHAPE)


def test_linear_equals_the_twin():
    voxels = np.random.default_rng(1).normal(size=SOURCE).astype(np.float32)
    got = warp_linear(voxels, (MATRIX, LATTICE, SHIFTS), SHAPE, -5.0)
    # float32 shifts of a few voxels round at 2e-7 of themselves; values change by at most about 5 per voxel
    np.testing.assert_allclose(got, slow(voxels, slow_places(), 1, -5.0), atol=1e-5)
    assert (got == -5.0).any()
    assert got.dtype == np.float32


def test_integers_are_rounded_not_cut():
    voxels = np.random.default_rng(2).integers(-900, 900, SOURCE).astype(np.int16)
    got = warp_linear(voxels, (MATRIX, LATTICE, SHIFTS), SHAPE, -1000)
    exact = slow(voxels, slow_places(), 1, -1000)
    assert got.dtype == np.int16
    # away from ties, rounding errors of float32 shifts excepted, the same whole number
    assert np.abs(got - exact).max() <= 0.5 + 0.01


def test_nearest_equals_the_twin():
    labels = np.random.default_rng(4).integers(0, 9, SOURCE).astype(np.uint8)
    places = slow_places()
    got = warp_nearest(labels, (MATRIX, LATTICE, SHIFTS), SHAPE, 0)
    inside = ((places >= -0.5) & (places <= np.array(SOURCE)[:, None] - 0.5)).all(axis=0)
    at = np.clip(np.floor(places + 0.5).astype(int), 0, np.array(SOURCE)[:, None] - 1)
    expected = np.where(inside, labels[tuple(at)], 0).reshape(SHAPE)
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("warp", [warp_linear, warp_nearest])
def test_identity_and_a_whole_step(warp):
    voxels = np.random.default_rng(5).integers(0, 200, SHAPE).astype(np.uint8)
    plan = (np.eye(4)[:3], np.zeros((3, 4)), np.zeros((3, 1, 1, 1), np.float32))
    assert np.array_equal(warp(voxels, plan, SHAPE, 7), voxels)
    step = np.ones((3, 1, 1, 1), np.float32) * np.array([1, 0, -1], np.float32)[:, None, None, None]
    got = warp(voxels, (*plan[:2], step), SHAPE, 7)
    assert np.array_equal(got[:-1, :, 1:], voxels[1:, :, :-1])
    assert (got[-1] == 7).all()
    assert (got[:, :, 0] == 7).all()


def test_two_threads_agree_with_one_plane_at_a_time():
    voxels = np.random.default_rng(6).normal(size=(70, 64, 65)).astype(np.float32)
    plan = (MATRIX, 0.2 * LATTICE, SHIFTS)
    whole = warp_linear(voxels, plan, voxels.shape, 0.0)
    for plane in (0, 33, 69):
        matrix, lattice = (m.copy() for m in plan[:2])
        matrix[:, 3] += plane * matrix[:, 0]
        lattice[:, 3] += plane * lattice[:, 0]
        alone = warp_linear(voxels, (matrix, lattice, SHIFTS), (1, 64, 65), 0.0)
        np.testing.assert_allclose(alone[0], whole[plane], atol=1e-5)


@pytest.mark.parametrize("kind", [np.float32, np.int16])
@pytest.mark.parametrize("turned", [1.0, -1.0])
def test_without_shifts_the_lattice_is_left_out(kind, turned):
    """A straight map reads whole stretches of a row without looking at the border: the same voxels all the same."""
    voxels = np.random.default_rng(7).normal(0, 90, SOURCE).astype(kind)
    matrix = MATRIX * np.array([turned, 1.0, turned, 1.0])
    matrix[:, 3] = (4.0, 1.0, 9.0) if turned < 0 else (-1.0, 0.4, -2.0)
    still = (matrix, LATTICE, np.zeros_like(SHIFTS))
    # a shift too small to move a double makes the kernel look the lattice up
    moved = (matrix, LATTICE, np.full_like(SHIFTS, 1e-30))
    for warp in (warp_linear, warp_nearest):
        assert np.array_equal(warp(voxels, still, SHAPE, -7), warp(voxels, moved, SHAPE, -7))
    places = slow_places(matrix, LATTICE, np.zeros_like(SHIFTS))
    exact = slow(voxels, places, 1, -7.0)
    assert (exact == -7).any()
    assert (exact != -7).any()
    np.testing.assert_allclose(warp_linear(voxels, still, SHAPE, -7), exact, atol=0.51 if kind is np.int16 else 1e-4)
