"""Contours: they follow the mask, and give back only what was moved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livervol.edit.brush import Canvas
from livervol.edit.contour import Contours, contour_change, contours_of
from livervol.edit.curve import Curve
from livervol.errors import LivervolError
from livervol.kernels.polygon import polygon_parity

SHAPE, SPACING = (5, 60, 70), (2.5, 0.8, 0.7)


def blob(seed=0, centre=(30, 35), radius=17.0):
    """A smooth, lobed shape."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE[1:])
    angle = np.arctan2(y - centre[0], x - centre[1])
    size = radius * (1 + sum(rng.uniform(-0.12, 0.12) * np.cos(k * angle + rng.uniform(0, 6)) for k in (2, 3, 4)))
    return np.hypot(y - centre[0], x - centre[1]) < size


def canvas_of(mask, value=1):
    labels = np.zeros(SHAPE, np.uint16)
    labels[2] = np.where(mask, value, 0)
    return Canvas("liver", labels, SPACING)


@given(st.lists(st.tuples(st.floats(-3, 12), st.floats(-3, 12)), min_size=3, max_size=8))
def test_polygons_fill_as_counting_crossings_does(points):
    points = np.array(points)
    got = polygon_parity(points, (9, 10))
    for y, x in np.ndindex(9, 10):
        crossings = 0
        for (y0, x0), (y1, x1) in zip(points, np.roll(points, -1, axis=0), strict=True):
            if y0 > y1:
                y0, x0, y1, x1 = y1, x1, y0, x0
            if y0 <= y < y1 and x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x:
                crossings += 1
        assert got[y, x] == crossings % 2


@pytest.mark.parametrize("seed", range(8))
def test_few_handles_follow_the_outline(seed):
    mask = blob(seed)
    contours = contours_of(canvas_of(mask).labels, SPACING, (0, 2), 1)
    (curve,) = contours.curves
    assert len(curve.handles) <= 24
    wrong = (contours.inside() != 0) != mask
    # off by less than FIT_PIXELS from the stair outline, which itself is half a pixel from centres: only rim pixels
    inner = np.zeros_like(mask)
    inner[1:-1, 1:-1] = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    assert not np.any(wrong & inner)
    assert wrong.sum() < 0.04 * mask.sum()


def test_an_untouched_curve_changes_nothing_and_a_dragged_one_only_near_the_drag():
    mask = blob(3)
    canvas = canvas_of(mask)
    old = contours_of(canvas.labels, SPACING, (0, 2), 1)
    assert contour_change(canvas, old, old).voxels == 0
    handle = int(np.argmax(old.curves[0].handles[:, 1]))
    place = old.curves[0].handles[handle]
    new = old.handle_moved(0, handle, place + np.array([0, 6]))
    change = contour_change(canvas, old, new)
    labels = canvas.labels.copy()
    change.apply(labels)
    moved = np.argwhere(labels[2] != canvas.labels[2])
    assert len(moved) > 10
    assert not (labels[[0, 1, 3, 4]]).any()
    neighbours = np.delete(old.curves[0].handles, handle, axis=0)
    reach = np.sort(np.linalg.norm(neighbours - place, axis=1))[3]
    assert np.linalg.norm(moved - place, axis=1).max() < reach + 7
    undone = contour_change(Canvas("liver", labels, SPACING), new, old)
    undone.apply(labels)
    # voxels of the mask that the first curve had left out were passed over and are cleared on the way back
    rim = np.count_nonzero((old.inside() == 0) & mask)
    assert np.count_nonzero(labels != canvas.labels) <= rim


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_plane_has_contours(axis):
    z, y, x = np.indices((24, 26, 28))
    labels = (((z - 12) / 9) ** 2 + ((y - 13) / 8) ** 2 + ((x - 14) / 10) ** 2 < 1).astype(np.uint16) * 3
    canvas = Canvas("lesions", labels, (2.5, 0.8, 0.7))
    contours = contours_of(labels, canvas.spacing_mm, (axis, 12), 3)
    assert contours.spacing_mm == tuple(s for k, s in enumerate((2.5, 0.8, 0.7)) if k != axis)
    empty = contours.without(0)
    change = contour_change(canvas, contours, empty)
    after = labels.copy()
    change.apply(after)
    changed = np.argwhere(after != labels)
    assert set(changed[:, axis]) == {12}
    left = np.take(after, 12, axis)
    assert np.count_nonzero(left) < 0.06 * np.count_nonzero(np.take(labels, 12, axis))


def test_a_stretch_is_dragged_and_fades():
    old = contours_of(canvas_of(blob(1)).labels, SPACING, (0, 2), 1)
    points, _ = old.curves[0].sampled()
    at = points[int(np.argmin(points[:, 0]))]
    new = old.stretched(0, at, at - [5, 0], reach_mm=9.0)
    after, _ = new.curves[0].sampled()
    assert after[:, 0].min() == pytest.approx(at[0] - 5, abs=1.0)
    # the far side stays: within the fit of both curves
    low = points[int(np.argmax(points[:, 0]))]
    assert np.linalg.norm(after - low, axis=1).min() < 1.6


def test_a_stretch_is_redrawn():
    mask = blob(2)
    canvas = canvas_of(mask)
    old = contours_of(canvas.labels, SPACING, (0, 2), 1)
    points, _ = old.curves[0].sampled()
    a, b = points[int(np.argmin(points[:, 0]))], points[int(np.argmin(points[:, 1]))]
    corner = np.array([a[0], b[1]])
    new = old.redrawn(0, [a, corner, b])
    inside = new.inside()
    assert inside[tuple(np.rint(0.7 * corner + 0.3 * mask.nonzero()[0].mean()).astype(int))] in (0, 1)
    gained = (inside != 0) & ~mask
    assert gained.sum() > 20
    lost = (inside == 0) & mask & (old.inside() != 0)
    assert lost.sum() < 0.02 * mask.sum()
    r, c = np.nonzero(gained)
    assert r.mean() < mask.nonzero()[0].mean()
    assert c.mean() < mask.nonzero()[1].mean()


def test_cut_then_drop_takes_one_side():
    mask = blob(4)
    canvas = canvas_of(mask)
    old = contours_of(canvas.labels, SPACING, (0, 2), 1)
    cut = old.cut([(5, 35), (55, 35)])
    assert len(cut.curves) == 2
    # only the pixels along the cut go
    assert np.count_nonzero(old.inside()) - np.count_nonzero(cut.inside()) <= 2 * 45
    left = min(range(2), key=lambda k: cut.curves[k].handles[:, 1].mean())
    dropped = cut.without(left)
    labels = canvas.labels.copy()
    contour_change(canvas, old, dropped).apply(labels)
    assert labels[2, :, 37:].sum() >= 0.97 * mask[:, 37:].sum()
    assert labels[2, :, :33].sum() <= 0.03 * mask[:, :33].sum()
    assert old.cut([(0, 0), (0, 5)]).curves[0] is old.curves[0]


def test_two_parts_are_joined_by_a_bridge():
    y, x = np.indices(SHAPE[1:])
    mask = (np.hypot(y - 30, x - 18) < 11) | (np.hypot(y - 30, x - 50) < 12)
    canvas = canvas_of(mask)
    old = contours_of(canvas.labels, SPACING, (0, 2), 1)
    assert len(old.curves) == 2
    new = old.joined(0, 1, width_mm=5.0)
    assert len(new.curves) == 1
    inside = new.inside()
    assert inside[30, 30:37].all()
    assert np.count_nonzero((inside != 0) & mask) > 0.97 * mask.sum()
    assert 15 < np.count_nonzero((inside != 0) & ~mask) < 110


def test_a_hole_is_added_and_closed():
    canvas = canvas_of(blob(5))
    old = contours_of(canvas.labels, SPACING, (0, 2), 1)
    new = old.with_hole((30, 35), 4.0)
    assert len(new.curves) == 2
    change = contour_change(canvas, old, new)
    # a disc of 4 mm, as an area in pixels, within its rim of one pixel
    area, rim = np.pi * 16 / 0.56, 2 * np.pi * 4 / 0.75
    assert change.voxels == pytest.approx(area, abs=rim)
    labels = canvas.labels.copy()
    change.apply(labels)
    again = contours_of(labels, SPACING, (0, 2), 1)
    assert len(again.curves) == 2
    with pytest.raises(LivervolError, match="inside the outline"):
        old.with_hole((2, 2), 3.0)


def test_handles_are_added_and_removed():
    old = contours_of(canvas_of(blob(6)).labels, SPACING, (0, 2), 1)
    points, _ = old.curves[0].sampled()
    new = old.handle_added(0, points[7] + 0.2)
    assert len(new.curves[0].handles) == len(old.curves[0].handles) + 1
    assert np.count_nonzero(new.inside() != old.inside()) < 12
    curve, handle, away = new.nearest_handle(points[7])
    assert away < 0.5
    assert len(new.handle_removed(curve, handle).curves[0].handles) == len(old.curves[0].handles)
    assert new.nearest_curve(points[20])[1] < 0.6


def test_other_labels_are_not_painted_over():
    canvas = canvas_of(blob(7))
    canvas.labels[2, :, 50:] = 9
    old = contours_of(canvas.labels, SPACING, (0, 2), 1)
    handle = int(np.argmax(old.curves[0].handles[:, 1]))
    new = old.handle_moved(0, handle, old.curves[0].handles[handle] + [0, 12])
    labels = canvas.labels.copy()
    contour_change(canvas, old, new).apply(labels)
    assert np.array_equal(labels == 9, canvas.labels == 9)


def test_refusals():
    old = contours_of(canvas_of(blob(0)).labels, SPACING, (0, 2), 1)
    with pytest.raises(LivervolError, match="3 or more"):
        Curve(np.zeros((2, 2)))
    with pytest.raises(LivervolError, match="on top of each other"):
        Curve(np.ones((5, 2)))
    with pytest.raises(LivervolError, match="plane is not there"):
        contours_of(np.zeros(SHAPE, np.uint16), SPACING, (0, 5), 1)
    with pytest.raises(LivervolError, match="curve is not there"):
        old.without(3)
    with pytest.raises(LivervolError, match="handle is not there"):
        old.handle_moved(0, 99, (1, 1))
    with pytest.raises(LivervolError, match="different curves"):
        old.joined(0, 0)
    with pytest.raises(LivervolError, match="drawn line"):
        old.redrawn(0, [(1, 1)])
    with pytest.raises(LivervolError, match="different planes"):
        contour_change(canvas_of(blob(0)), old, Contours(0, 3, 1, SHAPE[1:], (0.8, 0.7)))
    empty = contours_of(np.zeros(SHAPE, np.uint16), SPACING, (0, 2), 1)
    assert empty.curves == ()
    assert not empty.inside().any()
