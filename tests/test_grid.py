from __future__ import annotations

import dataclasses
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import oblique_grid, rotation
from livervol.errors import GridError
from livervol.grid import Grid

ANGLES = st.floats(-40, 40)
SPACINGS = st.floats(0.3, 10)
SIZES = st.integers(1, 12)


@st.composite
def grids(draw):
    """Oblique, unequal, sometimes left-handed grids in any axis order."""
    columns = rotation((draw(ANGLES), draw(ANGLES), draw(ANGLES)))[:, draw(st.permutations(range(3)))]
    columns = columns * [draw(st.sampled_from([-1, 1])) for _ in range(3)]
    origin = [draw(st.floats(-900, 900)) for _ in range(3)]
    return Grid.from_parts([draw(SIZES) for _ in range(3)], [draw(SPACINGS) for _ in range(3)], origin, columns)


@given(grids(), st.tuples(*[st.floats(-20, 20)] * 3))
def test_index_and_lps_are_inverse(grid, index):
    point = grid.index_to_lps(index)
    expected = sum(i * s * grid.directions[:, k] for k, (i, s) in enumerate(zip(index, grid.spacing_mm, strict=True)))
    assert np.allclose(point, np.asarray(grid.origin_lps_mm) + expected, atol=1e-9)
    assert np.allclose(grid.lps_to_index(point), index, atol=1e-8)


@given(grids())
def test_voxel_volume_is_the_product_of_the_spacing(grid):
    assert grid.voxel_ml == pytest.approx(np.prod(grid.spacing_mm) / 1000, rel=1e-9)


@given(grids())
def test_canonical_order_moves_voxels_and_places_together(grid):
    stored = np.arange(np.prod(grid.shape_zyx)).reshape(grid.shape_zyx)
    order = grid.canonical_order()
    canonical, there = order.apply(stored), grid.reordered(order)
    assert canonical.shape == there.shape_zyx
    assert np.array_equal(order.undo(canonical), stored)
    for index in [(0, 0, 0), tuple(n - 1 for n in there.shape_zyx), tuple(n // 2 for n in there.shape_zyx)]:
        old = np.argwhere(stored == canonical[index])[0]
        assert np.allclose(grid.index_to_lps(old), there.index_to_lps(index), atol=1e-9)
    # after reordering, the order is the identity
    again = there.canonical_order()
    assert again.permutation == (0, 1, 2)
    assert again.flipped == (False, False, False)


@pytest.mark.parametrize("flips", list(product([1, -1], repeat=3)))
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_all_48_axis_orders_come_out_canonical(order, flips):
    canonical = oblique_grid()
    columns = canonical.directions[:, order] * flips
    grid = Grid.from_parts([5, 6, 7], [2.0, 3.0, 4.0], (1, 2, 3), columns)
    directions = grid.reordered(grid.canonical_order()).directions
    assert np.allclose(directions, canonical.directions)


def test_left_handed_grid_is_named(awkward_grid):
    columns = awkward_grid.directions * [1, 1, -1]
    assert Grid.from_parts((7, 8, 9), (1, 2, 3), directions=columns).is_left_handed
    assert not awkward_grid.is_left_handed


def test_equal_and_hashable(awkward_grid):
    twin = oblique_grid()
    assert awkward_grid == twin
    assert len({awkward_grid, twin}) == 1


@pytest.mark.parametrize(
    "other",
    [
        oblique_grid(shape_zyx=(7, 8, 10)),
        oblique_grid(spacing_mm=(2.5, 0.8, 0.71)),
        oblique_grid(degrees_zyx=(7.0, -11.0, 13.5)),
        dataclasses.replace(oblique_grid(), frame="1.2.3"),
        oblique_grid().crop((0, 0, 0), (7, 8, 8)),
    ],
    ids=["shape", "spacing", "direction", "frame", "crop"],
)
def test_each_field_breaks_equality(awkward_grid, other):
    assert awkward_grid != other


def moved(grid: Grid, by_mm: float) -> Grid:
    matrix = grid.matrix
    matrix[1, 3] += by_mm
    return Grid.from_matrix(grid.shape_zyx, matrix, grid.frame)


def test_matches_within_tolerance_and_not_beyond(awkward_grid):
    assert awkward_grid.matches(moved(awkward_grid, 0.005))
    assert not awkward_grid.matches(moved(awkward_grid, 0.02))
    assert awkward_grid.matches(moved(awkward_grid, 0.02), tol_mm=0.03)
    assert not awkward_grid.matches(oblique_grid(shape_zyx=(7, 9, 8)))
    assert not awkward_grid.matches(oblique_grid(spacing_mm=(2.5, 0.8, 0.71)))
    assert not awkward_grid.matches(oblique_grid(degrees_zyx=(7.0, -11.0, 14.0)))


def test_matches_compares_frames_only_when_both_are_known(awkward_grid):
    a, b = (dataclasses.replace(awkward_grid, frame=f) for f in ("1.2.3", "1.2.4"))
    assert not a.matches(b)
    assert a.matches(dataclasses.replace(awkward_grid, frame="1.2.3"))
    assert a.matches(awkward_grid)


def test_crop_and_pad_keep_places(awkward_grid):
    cropped = awkward_grid.crop((1, 2, 3), (5, 7, 9))
    assert cropped.shape_zyx == (4, 5, 6)
    assert np.allclose(cropped.index_to_lps((0, 0, 0)), awkward_grid.index_to_lps((1, 2, 3)))
    assert cropped.pad((1, 2, 3), (2, 1, 0)).matches(awkward_grid, 1e-9)


def test_with_spacing_keeps_the_outer_faces(awkward_grid):
    finer = awkward_grid.with_spacing((1.25, 0.4, 0.35))
    assert finer.shape_zyx == (14, 16, 18)
    assert np.allclose(finer.index_to_lps((-0.5, -0.5, -0.5)), awkward_grid.index_to_lps((-0.5, -0.5, -0.5)))
    assert np.allclose(finer.index_to_lps((13.5, 15.5, 17.5)), awkward_grid.index_to_lps((6.5, 7.5, 8.5)))


def test_axial_tilt():
    assert Grid.from_parts((2, 2, 2), (1, 1, 1)).axial_tilt_degrees == pytest.approx(0)
    tilted = Grid.from_parts((2, 2, 2), (1, 1, 1), directions=rotation((0, 0, 25)) @ np.eye(3)[:, ::-1])
    assert tilted.axial_tilt_degrees == pytest.approx(25)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape_zyx": (0, 4, 5)}, "grid is empty"),
        ({"shape_zyx": (4, 5)}, "grid is empty"),
        ({"affine": ((1, 0, 0), (0, 1, 0), (0, 0, 1))}, "not 4x4"),
        ({"affine": ((0, 0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 2))}, "last row"),
        ({"affine": ((0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))}, "spacing is zero"),
        ({"affine": ((0, 0, 1, 0), (0, 1, 0.2, 0), (1, 0, 0, 0), (0, 0, 0, 1))}, r"sheared.*11\.\d+ degrees"),
        ({"affine": ((0, 0, float("nan"), 0), (0, 1, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1))}, "not finite"),
    ],
)
def test_refusals(change, message):
    fields = {"shape_zyx": (3, 4, 5), "affine": oblique_grid().affine, "frame": None} | change
    with pytest.raises(GridError, match=message):
        Grid(**fields)


def test_refused_crop_and_pad(awkward_grid):
    with pytest.raises(GridError, match=r"0\.\.8 \(axis 0\)"):
        awkward_grid.crop((0, 0, 0), (8, 8, 9))
    with pytest.raises(GridError, match="padding is negative"):
        awkward_grid.pad((0, -1, 0), (0, 0, 0))
