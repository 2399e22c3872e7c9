"""Interpolating, splitting, merging, tidying and nesting."""

from __future__ import annotations

import numpy as np
import pytest

from livervol.edit.brush import Canvas
from livervol.edit.change import Change, Step
from livervol.edit.interpolate import between_shapes, interpolate_slices
from livervol.edit.nesting import completed
from livervol.edit.split import merge, split_along_line, split_at_points, split_pieces
from livervol.edit.tidy import fill, largest_piece, smooth, subtract_outside
from livervol.errors import LivervolError

SHAPE, SPACING = (20, 40, 44), (2.5, 0.9, 0.8)


def ball(centre, radius_mm):
    index = np.indices(SHAPE, sparse=True)
    return sum(((index[k] - centre[k]) * SPACING[k]) ** 2 for k in range(3)) <= radius_mm**2


def canvas_of(labels, **kw):
    return Canvas("lesions", labels, SPACING, **kw)


def after(canvas, change):
    labels = canvas.labels.copy()
    change.apply(labels)
    return labels


def test_a_cone_is_interpolated_from_its_ends():
    y, x = np.indices(SHAPE[1:])
    labels = np.zeros(SHAPE, np.uint16)

    def disc(k):
        # middle and radius both move on evenly
        return np.hypot((y - 16 - 0.5 * k) * 0.9, (x - 18 - 0.4 * k) * 0.8) < 5 + 0.5 * k

    labels[4], labels[14] = disc(0) * 2, disc(10) * 2
    labels[9, 20:24, :] = 5
    labels[7, 2:6, 2:6] = 2  # an old stroke that the new shape does not hold
    found = after(canvas_of(labels), interpolate_slices(canvas_of(labels), 2, [4, 14]))
    assert np.array_equal(found == 5, labels == 5)
    assert not (found[7, 2:6, 2:6] == 2).any()
    for k in range(11):
        truth = disc(k) & (labels[4 + k] != 5)
        got = found[4 + k] == 2
        # the outline is off by less than a pixel's diagonal, 1.2 mm
        assert np.count_nonzero(got != truth) <= 1.2 * 2 * np.pi * 10 / 0.72
    assert not (found[:4] == 2).any()
    assert not (found[15:] == 2).any()
    assert np.array_equal(found[[4, 14]], labels[[4, 14]])


def test_corrected_slices_between_are_kept_and_every_axis_works():
    labels = np.zeros(SHAPE, np.uint16)
    labels[ball((10, 20, 22), 14.0)] = 1
    for axis, picks in ((0, [6, 10, 13]), (1, [10, 20, 28]), (2, [12, 22, 30])):
        start = labels.copy()
        index = np.indices(SHAPE)[axis]
        start[~np.isin(index, picks)] = 0
        found = after(canvas_of(start), interpolate_slices(canvas_of(start), 1, picks, axis))
        assert np.array_equal(found[np.isin(index, picks)], labels[np.isin(index, picks)])
        inside = (index > picks[0]) & (index < picks[-1])
        shared = np.count_nonzero((found > 0) & (labels > 0) & inside)
        both = np.count_nonzero((found > 0) & inside) + np.count_nonzero((labels > 0) & inside)
        assert 2 * shared / both > 0.93


def test_half_way_between_equal_shapes_is_the_shape():
    shape = ball((10, 20, 22), 9.0)[10]
    assert np.array_equal(between_shapes(shape, shape, 0.5, SPACING[1:]), shape)


def test_two_touching_balls_are_split_at_the_neck_and_merged_again():
    a, b = ball((10, 20, 14), 7.0), ball((10, 20, 28), 6.0)
    labels = ((a | b) * 3).astype(np.uint16)
    canvas = canvas_of(labels)
    found = after(canvas, split_at_points(canvas, 3, [(10, 20, 14), (10, 20, 28)], [8]))
    truth = np.where(np.indices(SHAPE)[2] > 22, 8, 3) * (labels > 0)
    assert np.count_nonzero(found != truth) < 0.03 * np.count_nonzero(labels)
    again = canvas_of(found)
    assert np.array_equal(after(again, merge(again, [3, 8], 3)), labels)
    cut = after(canvas, split_along_line(canvas, 3, [(10, 2, 21), (10, 38, 21)], 8))
    assert set(np.unique(cut)) == {0, 3, 8}
    assert (cut[:, :, :20] != 8).all()
    assert (cut[:, :, 23:] != 3).all()
    for wrong, rule in (
        (lambda: split_at_points(canvas, 3, [(10, 20, 14)], []), "points to split at"),
        (lambda: split_at_points(canvas, 3, [(10, 20, 14), (0, 0, 0)], [8]), "point to split at"),
        (lambda: split_at_points(canvas, 3, [(10, 20, 14), (10, 20, 28)], [3]), "unused numbers"),
        (lambda: split_along_line(canvas, 3, [(10, 2, 43), (10, 38, 43)], 8), "line misses"),
        (lambda: merge(canvas, [4], 3), "lesion is not there"),
    ):
        with pytest.raises(LivervolError, match=rule):
            wrong()


def test_pieces_become_lesions_by_size():
    labels = (ball((10, 10, 10), 6.0) | ball((10, 30, 30), 4.0) | ball((10, 10, 36), 3.0)).astype(np.uint16)
    canvas = canvas_of(labels)
    found = after(canvas, split_pieces(canvas, 1, [4, 5]))
    counts = np.bincount(found.ravel())
    assert counts[1] > counts[4] > counts[5] > 0
    assert found[10, 30, 30] == 4


def test_tidying_touches_one_label():
    labels = ball((10, 20, 20), 12.0).astype(np.uint16)
    labels[10, 20, 20] = 0
    labels[10, 20, 38] = 1
    labels[2:4] = 4
    canvas = canvas_of(labels)
    assert after(canvas, fill(canvas, 1))[10, 20, 20] == 1
    assert after(canvas, fill(canvas, 1, flat=True))[10, 20, 20] == 1
    assert after(canvas, largest_piece(canvas, 1))[10, 20, 38] == 0
    smoothed = after(canvas, smooth(canvas, 1, 2.0))
    assert smoothed[10, 20, 38] == 0
    box = (slice(0, 20), slice(0, 40), slice(0, 20))
    assert after(canvas, smooth(canvas, 1, 2.0, box))[10, 20, 38] == 1
    liver = np.indices(SHAPE)[1] < 20
    cut = after(canvas, subtract_outside(canvas, 1, liver))
    assert not (cut[~liver] == 1).any()
    for found in (smoothed, cut):
        assert np.array_equal(found == 4, labels == 4)
    with pytest.raises(LivervolError, match="label is not there"):
        fill(canvas, 9)
    with pytest.raises(LivervolError, match="smoothing"):
        smooth(canvas, 1, 0.0)


def nested():
    liver = ball((10, 20, 22), 15.0).astype(np.uint16)
    lesions = np.where(ball((10, 20, 18), 6.0), 1, 0).astype(np.uint16)
    viable = np.where(ball((10, 20, 18), 3.0), 1, 0).astype(np.uint16)
    segments = np.where(liver, np.where(np.indices(SHAPE)[2] < 22, 5, 2), 0).astype(np.uint16)
    return {"liver": liver, "lesions": lesions, "viable": viable, "segments": segments}


def made(masks, step, outside=()):
    result = {n: m.copy() for n, m in masks.items()}
    for change in completed(masks, step, outside).changes:
        change.apply(result[change.mask])
    return result


def change_to(masks, name, new):
    return Step("x", (Change.between(masks[name], new.astype(np.uint16), name, "x"),))


def test_new_liver_gets_the_segment_beside_it_and_lost_liver_loses_it():
    masks = nested()
    grown = made(masks, change_to(masks, "liver", ball((10, 20, 22), 17.0)))
    assert np.array_equal(grown["segments"] != 0, grown["liver"] != 0)
    assert set(np.unique(grown["segments"][:, :, :20])) <= {0, 5}
    assert set(np.unique(grown["segments"][:, :, 24:])) <= {0, 2}
    shrunk = made(masks, change_to(masks, "liver", ball((10, 20, 22), 13.0)))
    assert np.array_equal(shrunk["segments"] != 0, shrunk["liver"] != 0)


def test_viable_tissue_follows_its_lesion():
    masks = nested()
    gone = made(masks, change_to(masks, "lesions", np.zeros(SHAPE)))
    assert not gone["viable"].any()
    renumbered = made(masks, change_to(masks, "lesions", masks["lesions"] * 6))
    assert np.array_equal(renumbered["viable"], masks["viable"] * 6)
    outside = made(masks, change_to(masks, "viable", ball((10, 20, 18), 8.0)))
    assert np.array_equal(outside["viable"], masks["lesions"])


def test_only_lesions_of_the_liver_take_it_along():
    masks = nested()
    grown = np.where(ball((10, 20, 4), 5.0), 2, masks["lesions"])
    inside = made(masks, change_to(masks, "lesions", grown))
    assert inside["liver"][grown > 0].all()
    alone = made(masks, change_to(masks, "lesions", grown), outside=(2,))
    assert np.array_equal(alone["liver"], masks["liver"])


def test_what_was_broken_before_is_not_repaired_in_passing():
    masks = nested()
    masks["lesions"][1, 1:4, 1:4] = 9
    grown = masks["lesions"].copy()
    grown[1, 5, 5] = 9
    found = made(masks, change_to(masks, "lesions", grown))
    assert not found["liver"][1, 1:4, 1:4].any()
    assert found["liver"][1, 5, 5] == 1


def test_viable_and_uncertain_do_not_overlap():
    masks = nested()
    masks["uncertain"] = np.where(masks["viable"] == 0, masks["lesions"], 0)
    found = made(masks, change_to(masks, "viable", masks["lesions"]))
    assert not found["uncertain"].any()
    found = made(masks, change_to(masks, "uncertain", masks["lesions"]))
    assert not found["viable"].any()
