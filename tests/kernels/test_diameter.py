"""Diameter kernels against slow twins that look at every pair of points."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from livervol.kernels.diameter import (
    CENTRE,
    CORNER,
    MESH,
    slice_diameters,
    volume_diameter,
)
from livervol.kernels.width import perpendicular_width, voxel_width

CONVENTIONS = (CENTRE, MESH, CORNER)
HALF = (1.25, 0.4, 0.35)

masks = arrays(np.bool_, st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 7)))


def neighbours(voxel: tuple[int, ...]) -> list[tuple[int, ...]]:
    steps = [s for axis in range(len(voxel)) for s in (_step(len(voxel), axis, 1), _step(len(voxel), axis, -1))]
    return [tuple(v + d for v, d in zip(voxel, step, strict=True)) for step in steps]


def _step(dimensions: int, axis: int, sign: int) -> tuple[int, ...]:
    return tuple(sign if a == axis else 0 for a in range(dimensions))


def twin_points(mask: np.ndarray, convention: int) -> list[tuple[int, ...]]:
    """Every point of every voxel in half voxels, straight from the definition; any number of dimensions."""
    voxels = {tuple(int(i) for i in v) for v in np.argwhere(mask)}
    if convention == CENTRE:
        return sorted(tuple(2 * i for i in v) for v in voxels)
    if convention == CORNER:
        corners = list(itertools.product((-1, 1), repeat=mask.ndim))
        return sorted({tuple(2 * i + c for i, c in zip(v, corner, strict=True)) for v in voxels for corner in corners})
    # vertices of the mesh: halfway between a voxel inside and a face neighbour outside
    return sorted(
        {tuple(i + j for i, j in zip(v, n, strict=True)) for v in voxels for n in neighbours(v) if n not in voxels}
    )


def twin_longest(points: list[tuple[int, ...]], half: tuple[float, ...]) -> tuple[float, tuple, tuple]:
    best, start, end = -1.0, (), ()
    for p, q in itertools.combinations_with_replacement(points, 2):
        squared = 0.0
        for a, b, h in zip(p, q, half, strict=True):
            squared += ((b - a) * h) * ((b - a) * h)
        if squared > best:
            best, start, end = squared, p, q
    return (math.sqrt(best) if best >= 0 else -1.0), start, end


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(mask=masks)
def test_slices_are_exact(convention, mask):
    lengths, ends = slice_diameters(mask, HALF[1], HALF[2], convention)
    for z, plane in enumerate(mask):
        length, start, end = twin_longest(twin_points(plane, convention), HALF[1:])
        assert lengths[z] == length
        if length >= 0:
            assert tuple(ends[z]) == start + end


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(mask=masks)
def test_volume_is_exact(convention, mask):
    length, ends = volume_diameter(mask, *HALF, convention)
    wanted, start, end = twin_longest(twin_points(mask, convention), HALF)
    assert length == wanted
    if wanted >= 0:
        assert (tuple(ends[0]), tuple(ends[1])) == (start, end)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_volume_is_exact_on_many_tied_pairs(convention):
    # a ball of equal spacing has many longest pairs: the first in z, y, x order is the answer
    grid = np.mgrid[-4:5, -4:5, -4:5]
    mask = (grid**2).sum(axis=0) <= 14
    length, ends = volume_diameter(mask, 0.5, 0.5, 0.5, convention)
    wanted, start, end = twin_longest(twin_points(mask, convention), (0.5, 0.5, 0.5))
    assert length == wanted
    assert (tuple(ends[0]), tuple(ends[1])) == (start, end)


def twin_perpendicular(plane: np.ndarray, u: tuple[float, float]) -> tuple[float, tuple[int, ...]]:
    hy, hx = HALF[1:]
    tolerance = (hy * abs(u[0]) + hx * abs(u[1])) * (1 + 1e-9)
    best, pair = -1.0, (0, 0, 0, 0)
    voxels = [tuple(int(i) for i in v) for v in np.argwhere(plane)]
    for p, q in itertools.combinations_with_replacement(voxels, 2):
        dy, dx = 2 * hy * (q[0] - p[0]), 2 * hx * (q[1] - p[1])
        if abs(u[0] * dy + u[1] * dx) <= tolerance:
            across = abs(u[1] * dy - u[0] * dx)
            if across > best:
                best, pair = across, p + q
    return best, pair


angles = st.one_of(st.floats(0, math.pi), st.sampled_from([0.0, math.pi / 2]))


@given(plane=arrays(np.bool_, st.tuples(st.integers(1, 7), st.integers(1, 8))), angle=angles)
def test_perpendicular_is_exact(plane, angle):
    u = (round(math.sin(angle), 12), round(math.cos(angle), 12))
    width, pair = perpendicular_width(plane, HALF[1], HALF[2], *u)
    wanted, wanted_pair = twin_perpendicular(plane, u)
    assert width == pytest.approx(wanted, abs=1e-12)
    if width == wanted:
        assert tuple(pair) == wanted_pair


@given(angle=angles)
def test_perpendicular_is_exact_on_a_solid_body(angle):
    # the case in which voxels inside the body are left out
    y, x = np.mgrid[-9:10, -11:12]
    plane = (y / 8.5) ** 2 + ((x + 0.3 * y) / 10.5) ** 2 <= 1
    u = (round(math.sin(angle), 12), round(math.cos(angle), 12))
    width, _ = perpendicular_width(plane, HALF[1], HALF[2], *u)
    assert width == pytest.approx(twin_perpendicular(plane, u)[0], abs=1e-12)


@pytest.mark.parametrize("columns", [8, 9, 19])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_rows_of_more_than_eight_voxels_in_any_memory_order(columns, share):
    # voxels are looked at in eights: the ends of a row fall in, between and after them
    stored = np.random.default_rng(columns).random((2, columns, 5)) < share
    mask = stored.transpose(0, 2, 1)[:, ::-1]
    lengths, ends = slice_diameters(mask, HALF[1], HALF[2], CORNER)
    for z, plane in enumerate(mask):
        length, start, end = twin_longest(twin_points(plane, CORNER), HALF[1:])
        assert (lengths[z], tuple(ends[z]) if length >= 0 else ()) == (length, start + end)
        for u in ((0.0, 1.0), (1.0, 0.0), (0.6, 0.8)):
            width, pair = perpendicular_width(plane, HALF[1], HALF[2], *u)
            wanted, wanted_pair = twin_perpendicular(plane, u)
            assert (width, tuple(pair)) == (wanted, wanted_pair)


def test_without_a_direction_every_voxel_is_opposite():
    # one voxel measured between centres has no direction
    assert perpendicular_width(np.ones((1, 1), bool), 0.4, 0.3, 0.0, 0.0)[0] == 0.0
    assert perpendicular_width(np.ones((3, 12), bool), 0.4, 0.3, 0.0, 0.0)[0] == 0.0


def test_one_voxel():
    mask = np.ones((1, 1, 1), bool)
    lengths = [float(slice_diameters(mask, 0.4, 0.3, c)[0][0]) for c in CONVENTIONS]
    assert lengths == pytest.approx([0.0, 0.8, 1.0])
    volumes = [float(volume_diameter(mask, 1.2, 0.4, 0.3, c)[0]) for c in CONVENTIONS]
    assert volumes == pytest.approx([0.0, 2.4, 2 * math.sqrt(1.2**2 + 0.4**2 + 0.3**2)])


def test_nothing_is_minus_one():
    mask = np.zeros((2, 3, 4), bool)
    for convention in CONVENTIONS:
        assert slice_diameters(mask, 0.4, 0.3, convention)[0].tolist() == [-1.0, -1.0]
        assert volume_diameter(mask, 1.0, 0.4, 0.3, convention)[0] == -1.0
    assert perpendicular_width(mask[0], 0.4, 0.3, 0.0, 1.0)[0] == -1.0


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(mask=masks)
def test_turning_the_axes_changes_no_length(convention, mask):
    lengths, _ = slice_diameters(mask, HALF[1], HALF[2], convention)
    turned = np.ascontiguousarray(np.rot90(mask, axes=(1, 2)))
    assert slice_diameters(turned, HALF[2], HALF[1], convention)[0] == pytest.approx(lengths)
    whole = volume_diameter(mask, *HALF, convention)[0]
    for order in itertools.permutations(range(3)):
        moved = np.ascontiguousarray(mask.transpose(order)[::-1])
        half = [HALF[axis] for axis in order]
        assert volume_diameter(moved, *half, convention)[0] == pytest.approx(whole)


@given(mask=masks, keep=st.integers(0, 2**32 - 1))
def test_a_part_is_never_longer(mask, keep):
    part = mask & (np.random.default_rng(keep).random(mask.shape) < 0.6)
    for convention in CONVENTIONS:
        assert volume_diameter(part, *HALF, convention)[0] <= volume_diameter(mask, *HALF, convention)[0]


@given(mask=masks)
def test_conventions_are_ordered_and_slices_lie_within_the_volume(mask):
    widest = []
    for convention in CONVENTIONS:
        whole = float(volume_diameter(mask, *HALF, convention)[0])
        assert slice_diameters(mask, HALF[1], HALF[2], convention)[0].max() <= whole + 1e-12
        widest.append(whole)
    assert widest == sorted(widest)


@given(mask=arrays(np.bool_, st.tuples(st.just(1), st.integers(1, 7), st.integers(1, 8))))
def test_the_short_axis_is_never_the_longer(mask):
    for convention in CONVENTIONS:
        lengths, ends = slice_diameters(mask, HALF[1], HALF[2], convention)
        if lengths[0] <= 0:
            continue
        dy, dx = (ends[0, 2] - ends[0, 0]) * HALF[1], (ends[0, 3] - ends[0, 1]) * HALF[2]
        u = (dy / lengths[0], dx / lengths[0])
        width = perpendicular_width(mask[0], HALF[1], HALF[2], *u)[0]
        short = width + voxel_width(HALF[1], HALF[2], -u[1], u[0], convention)
        assert short <= lengths[0] + 1e-9


def test_voxel_width_is_the_extent_of_the_voxels_points():
    for angle in np.linspace(0, math.pi, 13):
        n = np.array([math.sin(angle), math.cos(angle)])
        for convention in CONVENTIONS:
            points = np.array(twin_points(np.ones((1, 1), bool), convention)) * HALF[1:]
            across = points @ n
            wanted = across.max() - across.min()
            assert voxel_width(HALF[1], HALF[2], n[0], n[1], convention) == pytest.approx(wanted)
