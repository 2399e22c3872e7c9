"""Brush and eraser against the slow definition, limits and edges."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.edit.brush import Brush, Canvas, alike_limits, erase, paint, stroke_region
from livervol.errors import LivervolError

SHAPE, SPACING = (9, 21, 24), (2.5, 0.8, 0.7)


def slow_region(points, radius, axis):
    """Every voxel, every segment, in mm."""
    grid = oblique_grid(SHAPE, SPACING)
    points = np.array(points, float)
    if axis is not None:
        points[:, axis] = np.rint(points[:, axis].mean())
    lps = grid.index_to_lps(points)
    found = np.zeros(SHAPE, bool)
    for at in np.ndindex(SHAPE):
        if axis is not None and at[axis] != points[0, axis]:
            continue
        here = grid.index_to_lps(at)
        for a, b in zip(lps, lps[1:] if len(lps) > 1 else lps, strict=False):
            along = b - a
            share = np.clip((here - a) @ along / max(along @ along, 1e-12), 0, 1)
            if np.linalg.norm(here - a - share * along) <= radius + 1e-7:
                found[at] = True
    return found


@pytest.mark.parametrize(
    ("points", "radius", "axis"),
    [
        ([(4, 10, 12)], 3.0, None),
        ([(4, 10, 12)], 0.2, None),
        ([(4, 10, 12)], 4.1, 0),
        ([(3, 10, 2), (3, 12.5, 9), (3, 3, 20)], 2.0, 0),
        ([(1, 9, 4), (8, 9, 20)], 2.6, 1),
        ([(1, 3, 11.4), (8, 18, 11.4)], 2.6, 2),
        ([(0, 0, 0), (8, 20, 23)], 5.0, None),
        ([(-3, -3, -3), (2, 3, 4)], 3.0, None),
    ],
)
def test_strokes_cover_what_lies_within_the_radius(points, radius, axis):
    box, region = stroke_region(SHAPE, SPACING, points, Brush(radius, axis))
    whole = np.zeros(SHAPE, bool)
    whole[box] = region
    assert np.array_equal(whole, slow_region(points, radius, axis))


def test_a_stroke_outside_the_mask_covers_nothing():
    _, region = stroke_region(SHAPE, SPACING, [(50, 50, 50)], Brush(3.0, None))
    assert region.size == 0
    canvas = Canvas("liver", np.zeros(SHAPE, np.uint16), SPACING)
    assert paint(canvas, [(50, 50, 50)], Brush(3.0, None), 1).voxels == 0


def test_paint_goes_over_background_only_unless_told():
    labels = np.zeros(SHAPE, np.uint16)
    labels[:, :, :12] = 2
    whole = Brush(100.0, None)
    change = paint(Canvas("lesions", labels, SPACING), [(4, 10, 12)], whole, 1)
    assert change.voxels == np.count_nonzero(labels == 0)
    change = paint(Canvas("segments", labels, SPACING, over=(2,)), [(4, 10, 12)], whole, 1)
    assert change.voxels == labels.size
    within = np.zeros(SHAPE, bool)
    within[3] = True
    change = paint(Canvas("viable", labels, SPACING, within=within), [(4, 10, 12)], whole, 1)
    assert change.voxels == np.count_nonzero(labels[3] == 0)


def test_erase_takes_what_it_is_told():
    labels = np.ones(SHAPE, np.uint16)
    labels[:, 10:] = 2
    canvas = Canvas("lesions", labels, SPACING)
    assert erase(canvas, [(4, 10, 12)], Brush(100.0, None), [2]).voxels == np.count_nonzero(labels == 2)
    assert erase(canvas, [(4, 10, 12)], Brush(100.0, None)).voxels == labels.size


def test_limits_paint_only_what_looks_alike():
    rng = np.random.default_rng(0)
    voxels = rng.normal(100, 6, SHAPE)
    voxels[:, :, 14:] = rng.normal(20, 6, voxels[:, :, 14:].shape)
    canvas = Canvas("liver", np.zeros(SHAPE, np.uint16), SPACING, voxels)
    limits = alike_limits(canvas, (4, 10, 6), 3.0)
    assert 80 < limits[0] < 92
    assert 108 < limits[1] < 120
    labels = canvas.labels.copy()
    paint(canvas, [(4, 10, 6), (4, 10, 20)], Brush(4.0, 0, limits), 1).apply(labels)
    assert not labels[:, :, 14:].any()
    assert labels[4, 8:13, 2:14].mean() > 0.9


@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_the_smart_brush_stops_at_an_edge_and_fills_noise(axis):
    shape, spacing = (16, 30, 31), (2.0, 0.8, 0.7)
    rng = np.random.default_rng(1)
    z, y, x = np.indices(shape)
    inside = (z - 8) * 2.0 + (y - 15) * 0.8 + (x - 15) * 0.7 < 3.0
    voxels = np.where(inside, 110.0, 60.0) + rng.normal(0, 8, shape)
    canvas = Canvas("liver", np.zeros(shape, np.uint16), spacing, voxels)
    points = [(8, 13, 13)]
    plain = paint(canvas, points, Brush(7.0, axis), 1)
    snapped = paint(canvas, points, Brush(7.0, axis, snap=True), 1)
    labels = [canvas.labels.copy(), canvas.labels.copy()]
    plain.apply(labels[0])
    snapped.apply(labels[1])
    assert not np.any((labels[1] != 0) & (labels[0] == 0))
    leaked = np.count_nonzero((labels[1] != 0) & ~inside) / max(1, np.count_nonzero((labels[0] != 0) & ~inside))
    kept = np.count_nonzero((labels[1] != 0) & inside) / np.count_nonzero((labels[0] != 0) & inside)
    # the brush works on a scan smoothed by half a voxel: one layer of voxels along the edge may go either way
    assert leaked < 0.35
    assert kept > 0.85


def test_in_even_tissue_the_smart_brush_is_a_brush():
    voxels = np.random.default_rng(2).normal(100, 5, SHAPE)
    canvas = Canvas("liver", np.zeros(SHAPE, np.uint16), SPACING, voxels)
    plain = paint(canvas, [(4, 10, 12)], Brush(5.0, 0), 1).voxels
    assert paint(canvas, [(4, 10, 12)], Brush(5.0, 0, snap=True), 1).voxels > 0.9 * plain


def test_refusals():
    canvas = Canvas("liver", np.zeros(SHAPE, np.uint16), SPACING)
    with pytest.raises(LivervolError, match="brush radius"):
        Brush(0.0)
    with pytest.raises(LivervolError, match="plane of the brush"):
        Brush(1.0, 3)
    with pytest.raises(LivervolError, match="limits"):
        Brush(1.0, 0, (3.0, 1.0))
    with pytest.raises(LivervolError, match="value to paint"):
        paint(canvas, [(1, 1, 1)], Brush(1.0), 0)
    with pytest.raises(LivervolError, match="needs a scan"):
        paint(canvas, [(1, 1, 1)], Brush(1.0, limits=(0.0, 1.0)), 1)
    with pytest.raises(LivervolError, match="points of a stroke"):
        paint(canvas, [(1, np.nan, 1)], Brush(1.0), 1)
    with pytest.raises(LivervolError, match="does not fit the mask"):
        Canvas("liver", np.zeros(SHAPE, np.uint16), SPACING, np.zeros((2, 2, 2)))
