"""Mesh volume, mesh area and moments: exact counts, hand-made bodies, closed surfaces."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from livervol.kernels.surface import case_areas, case_volumes, neighbourhood_counts, voxel_moments

masks = arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 19)))
UNIT = np.ones(3)


def twin_counts(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    counts = np.zeros(256, np.int64)
    for z, y, x in itertools.product(*(range(n - 1) for n in padded.shape)):
        case = sum(1 << k for k in range(8) if padded[z + (k >> 2 & 1), y + (k >> 1 & 1), x + (k & 1)])
        counts[case] += 1
    counts[0] = 0
    return counts


@given(mask=masks)
def test_counts_are_exact(mask):
    assert neighbourhood_counts(mask).tolist() == twin_counts(mask).tolist()


def test_counts_are_exact_over_whole_words():
    mask = np.ones((3, 4, 40), bool)
    mask[1, 2, 17] = False
    assert neighbourhood_counts(mask).tolist() == twin_counts(mask).tolist()


@given(mask=masks)
def test_moments_are_exact(mask):
    count, first, second = voxel_moments(mask)
    places = np.argwhere(mask)
    assert count == len(places)
    assert first.tolist() == places.sum(axis=0).tolist()
    assert second.tolist() == (places.T @ places).tolist()


def test_one_voxel_is_an_octahedron():
    # six vertices half a voxel from the centre: volume 4/3 h^3, area 4 sqrt(3) h^2 with h = 1/2
    counts = neighbourhood_counts(np.ones((1, 1, 1), bool))
    assert counts @ case_volumes() == pytest.approx(4 / 3 / 8)
    assert counts @ case_areas(UNIT) == pytest.approx(np.sqrt(3))


def test_a_plate_has_its_faces_and_cut_edges():
    # a x b voxels, one thick: both faces (a-1)(b-1), a strip of two slopes of sqrt(1/2) along the rim, and at each
    # corner a quarter of the octahedron
    a, b = 7, 11
    counts = neighbourhood_counts(np.ones((1, a, b), bool))
    rim = 2 * (a - 1 + b - 1)
    assert counts @ case_areas(UNIT) == pytest.approx(2 * (a - 1) * (b - 1) + rim * 2 * np.sqrt(0.5) + np.sqrt(3))
    assert counts @ case_volumes() == pytest.approx((a - 1) * (b - 1) + rim * 0.25 + 4 / 3 / 8)


def test_area_scales_face_by_face():
    # faces of a large box: each scales with the two spacings it spans
    spacing = np.array([2.5, 0.8, 0.7])
    n = 40
    area = neighbourhood_counts(np.ones((n, n, n), bool)) @ case_areas(spacing)
    dz, dy, dx = spacing * n
    faces = 2 * (dz * dy + dz * dx + dy * dx)
    # all cut edges and corners together: within one voxel's breadth along the twelve edges
    edges = 4 * (dz * (spacing[1] + spacing[2]) + dy * (spacing[0] + spacing[2]) + dx * (spacing[0] + spacing[1]))
    assert faces - edges < area < faces


def test_inside_and_outside_fill_the_cube_unless_a_face_is_ambiguous():
    volumes = case_volumes()
    areas = case_areas(UNIT)
    for case in range(256):
        corners = [k for k in range(8) if case >> k & 1]
        touching = any(bin(a ^ b).count("1") == 2 for a in corners for b in corners) and any(
            bin(a ^ b).count("1") == 2 for a in set(range(8)) - set(corners) for b in set(range(8)) - set(corners)
        )
        if len(corners) <= 1 or (len(corners) == 2 and not touching):
            assert volumes[case] + volumes[255 - case] == pytest.approx(1.0)
            assert areas[case] == pytest.approx(areas[255 - case])
    assert ((volumes >= 0) & (volumes <= 1)).all()


@given(mask=masks)
def test_turning_changes_neither_volume_nor_area_much(mask):
    # equal fillings of a loop are told apart by order alone, which turning changes: isotropic areas must not notice
    volume = neighbourhood_counts(mask) @ case_volumes()
    area = neighbourhood_counts(mask) @ case_areas(UNIT)
    for order in itertools.permutations(range(3)):
        moved = np.ascontiguousarray(mask.transpose(order)[::-1, :, ::-1])
        counts = neighbourhood_counts(moved)
        assert counts @ case_volumes() == pytest.approx(volume)
        assert counts @ case_areas(UNIT) == pytest.approx(area)


@given(mask=masks)
def test_a_mesh_holds_less_than_its_voxels(mask):
    assert neighbourhood_counts(mask) @ case_volumes() <= mask.sum() + 1e-9
