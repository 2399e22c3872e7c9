"""The straight coarse grid and the trunk's box, on bodies whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import ScanError
from livervol.grid import Grid
from livervol.kernels.morphology import erode_mm
from livervol.scan import Scan
from livervol.segment.body import block_means, body_box, soft_tissue, straight_scan


def trunk(depth_mm: float = 180.0, width_mm: float = 300.0, table: bool = True) -> Scan:
    """An elliptic trunk of 40 HU in air, on a table, at 5.0x2.5x3.0 mm."""
    grid = Grid.from_parts((24, 100, 120), (5.0, 2.5, 3.0), (-180.0, -125.0, 40.0))
    z, y, x = np.meshgrid(*(np.arange(n) for n in grid.shape_zyx), indexing="ij")
    points = grid.index_to_lps(np.stack([z, y, x], axis=-1))
    inside = (points[..., 0] / (width_mm / 2)) ** 2 + (points[..., 1] / (depth_mm / 2)) ** 2 <= 1
    voxels = np.where(inside, 40, -1000).astype(np.int16)
    if table:
        voxels[(points[..., 1] > 112) & (points[..., 1] < 119)] = 60
    return Scan(voxels, grid)


def test_a_linear_ramp_stays_where_it_was_on_an_oblique_grid() -> None:
    grid = oblique_grid((30, 40, 50), (2.5, 1.6, 1.4))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape_zyx), indexing="ij"), axis=-1)
    slope = np.array([0.3, -0.2, 0.5])
    scan = Scan((grid.index_to_lps(index) @ slope).astype(np.float32), grid)
    straight = straight_scan(scan, 3.0)
    # at the rim of the field the edge value is held for half a voxel
    within = erode_mm(straight.inside, 4.0, (3.0, 3.0, 3.0)).astype(bool)
    found = straight.values[within]
    expected = (straight.points_mm()[..., ::-1] @ slope)[within]
    # block means and linear interpolation keep a linear function exactly; single precision at 800 mm is 1e-4
    assert within.sum() > 1000
    assert np.abs(found - expected).max() < 1e-2
    assert straight.spacing_mm == pytest.approx(3.0)
    assert not straight.inside.all()


def test_a_field_thinner_than_two_voxels_is_refused() -> None:
    scan = Scan(np.zeros((1, 40, 50), np.int16), Grid.from_parts((1, 40, 50), (5.0, 2.0, 2.0)))
    with pytest.raises(ScanError, match="field of view is too small"):
        straight_scan(scan, 3.0)


def test_the_box_has_the_trunk_s_size_and_leaves_the_table_out() -> None:
    straight = straight_scan(trunk(), 3.0)
    tissue = soft_tissue(straight.values, straight, 3.0)
    points = straight.points_mm()
    box = body_box(tissue, points, float(points[len(points) // 2, 0, 0, 0]), 30.0)
    assert box is not None
    # each face is found to within one coarse voxel, so a size to within two
    assert abs(box.depth_mm - 180) <= 6
    assert abs(box.width_mm - 300) <= 6
    assert max(abs(c) for c in box.centre_yx_mm) <= 3


def test_a_thinner_trunk_has_a_smaller_box() -> None:
    boxes = []
    for depth_mm in (140.0, 180.0):
        straight = straight_scan(trunk(depth_mm), 3.0)
        points = straight.points_mm()
        tissue = soft_tissue(straight.values, straight, 3.0)
        boxes.append(body_box(tissue, points, float(points[10, 0, 0, 0]), 30.0))
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[1].depth_mm - boxes[0].depth_mm == pytest.approx(40, abs=6)


def test_there_is_no_box_in_air_nor_beyond_the_field() -> None:
    straight = straight_scan(trunk(), 3.0)
    points = straight.points_mm()
    air = np.zeros(straight.values.shape, np.bool_)
    assert body_box(air, points, float(points[10, 0, 0, 0]), 30.0) is None
    assert body_box(~air, points, float(points[-1, 0, 0, 0]) + 500, 30.0) is None


def test_crop_keeps_places_and_values() -> None:
    straight = straight_scan(trunk(), 3.0)
    part = straight.crop((slice(3, 20), slice(5, 41), slice(7, 60)))
    assert np.array_equal(part.values, straight.values[3:20, 5:41, 7:60])
    assert np.allclose(part.points_mm(), straight.points_mm()[3:20, 5:41, 7:60], atol=1e-3)


def test_block_means_are_the_plain_means() -> None:
    values = np.random.default_rng(3).integers(-1000, 1000, (7, 8, 9)).astype(np.int16)
    found = block_means(values, (2, 3, 4))
    slow = np.array(
        [
            [
                [values[2 * z : 2 * z + 2, 3 * y : 3 * y + 3, 4 * x : 4 * x + 4].mean() for x in range(2)]
                for y in range(2)
            ]
            for z in range(3)
        ]
    )
    assert found.shape == (3, 2, 2)
    assert np.allclose(found, slow, rtol=1e-5, atol=1e-3)
