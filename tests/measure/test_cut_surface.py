from __future__ import annotations

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import GridError
from livervol.measure.cut_surface import CutSurface, surface_parts
from livervol.measure.planes import REMOVED, Plane, plane_parts
from livervol.scan import Segmentation

GRID = oblique_grid((45, 70, 80), (2.5, 1.6, 1.5))
CENTRE = GRID.index_to_lps((22, 35, 40))
INDEX = np.stack(np.meshgrid(*map(np.arange, GRID.shape_zyx), indexing="ij"), axis=-1).reshape(-1, 3)
AWAY = GRID.index_to_lps(INDEX) - CENTRE
RADIUS = 45.0
BALL = Segmentation(
    (np.linalg.norm(AWAY, axis=1) <= RADIUS).reshape(GRID.shape_zyx).astype(np.uint8), GRID, {1: "liver"}
)


def placed(height, reach=50.0, count=7):
    """Points on x = height(y, z), a raster of count x count, LPS mm."""
    y, z = (g.ravel() for g in np.meshgrid(*[np.linspace(-reach, reach, count)] * 2))
    return np.stack([height(y, z), y, z], axis=1) + CENTRE


def removed_share(parts):
    return (parts.labels == REMOVED).sum() / (parts.labels > 0).sum()


def test_flat_points_cut_as_the_plane_does():
    points = placed(lambda y, z: 8.0 + 0.2 * y - 0.1 * z, count=3)
    positive = CENTRE + np.array([60.0, 0.0, 0.0])
    flat = plane_parts(BALL, Plane.through(points, positive))
    curved = surface_parts(BALL, CutSurface.through(points, positive))
    assert (flat.labels != curved.labels).mean() < 1e-4


def test_a_dome_leaves_the_volume_that_the_integral_says():
    def dome(y, z):
        return 10.0 - (y**2 + z**2) / 120.0

    parts = surface_parts(BALL, CutSurface.through(placed(dome), CENTRE + np.array([60.0, 0.0, 0.0])))
    # the truth by the same rule on exact heights: every voxel centre beyond the dome
    beyond = AWAY[:, 0] >= dome(AWAY[:, 1], AWAY[:, 2])
    inside = BALL.labels.ravel() != 0
    truth = (beyond & inside).sum() / inside.sum()
    assert removed_share(parts) == pytest.approx(truth, abs=0.01)


def test_the_surface_passes_through_its_points():
    surface = CutSurface.through(placed(lambda y, z: 5 * np.sin(y / 15) + z / 10), CENTRE + np.array([80.0, 0.0, 0.0]))
    points = placed(lambda y, z: 5 * np.sin(y / 15) + z / 10)
    assert abs(surface.signed_mm(points)).max() < 1e-6
    assert (surface.signed_mm(points + np.array([2.0, 0.0, 0.0])) > 0.5).all()


def test_the_positive_side_is_removed():
    points = placed(lambda y, z: 0.001 * (y**2) + 20)
    right = surface_parts(BALL, CutSurface.through(points, CENTRE + np.array([60.0, 0.0, 0.0])))
    left = surface_parts(BALL, CutSurface.through(points, CENTRE - np.array([60.0, 0.0, 0.0])))
    assert removed_share(right) < 0.35 < 0.65 < removed_share(left)
    assert removed_share(right) + removed_share(left) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([[0, 0, 0], [10, 0, 0], [0, 10, 0]], "at least 4"),
        ([[0, 0, 0], [10, 0, 0], [20, 0, 0], [30, 0, 0]], "not on one line"),
        ([[0, 0, 0], [40, 0, 0], [0, 40, 0], [40, 40, 0], [20, 20, 5], [20, 20, -5]], "one above the other"),
    ],
)
def test_points_that_make_no_surface_are_refused(points, words):
    with pytest.raises(GridError, match=words):
        CutSurface.through(points, [0, 0, 100])


def test_an_empty_liver_stays_empty():
    empty = Segmentation(np.zeros(GRID.shape_zyx, np.uint8), GRID, {})
    assert not surface_parts(
        empty, CutSurface.through(placed(lambda y, z: 0 * y), CENTRE + np.array([9.0, 0, 0]))
    ).labels.any()
