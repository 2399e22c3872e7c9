from __future__ import annotations

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import GridError, ScanError
from livervol.grid import Grid
from livervol.kernels.planes import least_squares_plane, plane_in_index, positive_side
from livervol.measure.planes import KEPT, REMOVED, Plane, plane_parts, surround, wedge_parts
from livervol.scan import Segmentation

RANDOM = np.random.default_rng(4)


def mask(labels, grid, name="liver"):
    return Segmentation(labels.astype(np.uint8), grid, {int(v): f"{name} {v}" for v in np.unique(labels) if v})


def test_plane_through_three_points_is_exact():
    points = np.array([[1.0, 2.0, 3.0], [4.0, 0.0, -1.0], [-2.0, 5.0, 2.0]])
    plane = Plane.through(points, points.mean(axis=0) + np.array([0.0, 0.0, 10.0]))
    normal = np.cross(points[1] - points[0], points[2] - points[0])
    normal *= np.sign(normal[2]) / np.linalg.norm(normal)
    assert np.allclose(plane.normal, normal, atol=1e-12)
    assert np.allclose(plane.signed_mm(points), 0.0, atol=1e-12)
    assert plane.signed_mm(points[0] + 3.0 * normal) == pytest.approx(3.0)


def test_least_squares_plane_minimises_the_distance():
    normal = np.array([0.36, -0.48, 0.8])
    points = RANDOM.uniform(-50, 50, (40, 3))
    points -= np.outer(points @ normal - 7.0 - RANDOM.normal(0, 1, 40), normal)
    plane = Plane.through(points, 100 * normal)
    best = (plane.signed_mm(points) ** 2).sum()
    for _ in range(50):
        tilted = np.array(plane.normal) + RANDOM.normal(0, 0.02, 3)
        tilted /= np.linalg.norm(tilted)
        offset = plane.offset_mm + RANDOM.normal(0, 0.5)
        assert ((points @ tilted - offset) ** 2).sum() >= best


def test_two_points_and_an_axis():
    axis = np.array([0.1, -0.2, 1.0])
    plane = Plane.through([[0, 0, 0], [30, 5, 2]], [0, 100, 0], along=axis)
    assert np.dot(plane.normal, axis) == pytest.approx(0.0, abs=1e-12)
    assert np.allclose(plane.signed_mm([[0, 0, 0], [30, 5, 2]]), 0, atol=1e-9)
    assert plane.signed_mm([0, 100, 0]) > 0


@pytest.mark.parametrize(
    "points", [[[0, 0, 0]], [[0, 0, 0], [1, 1, 1], [2, 2, 2]], [[0, 0, 0], [1, 0, 0]], [[0, 0, np.nan]] * 3]
)
def test_points_that_fix_no_plane_are_refused(points):
    with pytest.raises(GridError, match="fix no plane"):
        Plane.through(points, [5, 6, 7])


def test_points_in_line_with_the_axis_are_refused():
    with pytest.raises(GridError, match="fix no plane"):
        Plane.through([[1, 2, 0], [1, 2, 50]], [9, 9, 9], along=[0, 0, 1])


def test_the_positive_point_must_be_off_the_plane():
    with pytest.raises(GridError, match="positive side"):
        Plane.through([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [7, 8, 0])


def test_a_normal_that_is_no_unit_vector_is_refused():
    with pytest.raises(GridError, match="normal"):
        Plane((1.0, 1.0, 0.0), 0.0)


def test_kernel_planes_equal_the_twin():
    grid = oblique_grid((17, 18, 19))
    inside = (RANDOM.random(grid.shape_zyx) < 0.7).astype(np.uint8)
    middle = grid.index_to_lps(np.array(grid.shape_zyx) / 2)
    plane = np.append([0.6, 0.0, 0.8], -float(np.dot([0.6, 0.0, 0.8], middle)))
    points = grid.index_to_lps(np.moveaxis(np.indices(grid.shape_zyx), 0, -1))
    expected = (inside > 0) & (points @ plane[:3] + plane[3] >= 0)
    got = positive_side(inside, plane_in_index(plane, grid.matrix))
    assert np.array_equal(got, expected)
    assert 0 < got.sum() < inside.sum()


def test_one_point_gives_no_plane():
    assert least_squares_plane(np.zeros((1, 3)))[1] == 0.0


def test_a_plane_halves_a_box_within_one_percent():
    # a plane through the middle of a 60 x 50 x 40 mm box at 0.5-1.0 mm: the counted half is off by at most half a
    # voxel layer of the cut, 0.5 * 1.0 mm of 30 mm in the worst direction, on both sides alike: under 1 %
    grid = oblique_grid((60, 80, 80), (1.0, 0.6, 0.5))
    liver = mask(np.ones(grid.shape_zyx), grid)
    middle = grid.index_to_lps((np.array(grid.shape_zyx) - 1) / 2)
    normal = np.array([0.8, 0.36, 0.48])
    parts = plane_parts(liver, Plane(tuple(normal), float(normal @ middle)))
    share = np.count_nonzero(parts.labels == REMOVED) / parts.labels.size
    assert share == pytest.approx(0.5, abs=0.005)
    assert set(np.unique(parts.labels)) == {KEPT, REMOVED}


def test_surround_is_the_cube_of_neighbours():
    field = np.zeros((7, 8, 9), bool)
    field[3, 4, 5] = field[0, 0, 0] = True
    expected = np.zeros_like(field)
    expected[2:5, 3:6, 4:7] = expected[:2, :2, :2] = True
    assert np.array_equal(surround(field), expected)


def gap_mm(a, b, spacing):
    """Slow twin: shortest way between two voxels' boxes."""
    steps = np.abs(a[:, None, :] - b[None, :, :]) - 1
    return np.sqrt(((np.maximum(steps, 0) * spacing) ** 2).sum(axis=2)).min(axis=1)


@pytest.mark.parametrize("margin_mm", [0.0, 1.4, 2.5, 4.0])
def test_a_wedge_leaves_exactly_what_lies_at_the_margin_or_beyond(margin_mm):
    grid = oblique_grid((9, 17, 19))
    labels = np.zeros(grid.shape_zyx, np.uint8)
    labels[4:6, 7:9, 8:12], labels[1, 2, 2] = 1, 2
    liver = np.ones(grid.shape_zyx, np.uint8)
    liver[:, :3] = 0
    parts = wedge_parts(mask(liver, grid), mask(labels, grid, "lesion"), margin_mm, [1])
    voxels = np.argwhere(liver)
    gaps = gap_mm(voxels, np.argwhere(labels == 1), np.array(grid.spacing_mm))
    removed = (gaps < margin_mm * (1 - 1e-6)) | (labels[tuple(voxels.T)] == 1)
    expected = np.zeros_like(liver)
    expected[tuple(voxels.T)] = np.where(removed, REMOVED, KEPT)
    assert np.array_equal(parts.labels, expected)


def test_wedge_refusals():
    grid = oblique_grid()
    liver, lesions = mask(np.ones(grid.shape_zyx), grid), mask(np.zeros(grid.shape_zyx), grid)
    with pytest.raises(ScanError, match="margin"):
        wedge_parts(liver, lesions, -1.0)
    with pytest.raises(ScanError, match="nothing to cut out"):
        wedge_parts(liver, lesions, 5.0)
    with pytest.raises(ScanError, match=r"lesions \[3\]"):
        wedge_parts(liver, liver, 5.0, [3])
    other = Grid.from_parts(grid.shape_zyx, (1, 1, 1))
    with pytest.raises(GridError):
        wedge_parts(liver, mask(np.ones(grid.shape_zyx), other), 5.0)
