from __future__ import annotations

import json

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import LivervolError, ScanError
from livervol.grid import Grid
from livervol.scan import Segmentation
from livervol.segment.couinaud_landmarks import (
    BOUNDARIES,
    LANDMARKS,
    LENGTH_MM,
    PRIOR_MM,
    Landmarks,
    _displacement,
    allowed_segments,
    read_landmarks,
    split_fourth_segment,
)

GRID = Grid.from_parts((30, 33, 60), (3.0, 2.4, 2.0), (-60.0, -40.0, 50.0))
#: Columns along axis 2 (2 mm each) of each section, from the patient's right to left; above the middle plane first.
COLUMNS = {(7, 6): (5, 18), (8, 5): (18, 30), (4, 4): (30, 40), (2, 3): (40, 52), (1, 1): (52, 55)}
MIDDLE = 15


def phantom(shift=0):
    """A box of liver cut by planes across axis 2; ``shift`` moves every cut by that many columns to the left."""
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    body = np.s_[3:27, 4:29]
    for (above, below), (start, stop) in COLUMNS.items():
        first, last = start + (shift if start > 5 else 0), stop + (shift if stop < 55 else 0)
        labels[body][MIDDLE - 3 :, :, first:last] = above
        labels[body][: MIDDLE - 3, :, first:last] = below
    return labels


def on_plane(column, count=4, seed=0):
    """Points in LPS mm on the face before a column."""
    random = np.random.default_rng(seed)
    index = np.column_stack([random.uniform(4, 26, count), random.uniform(5, 28, count), np.full(count, column - 0.5)])
    return GRID.index_to_lps(index).tolist()


def chosen(bits, shape_labels):
    """The answer when the shape keeps its segment wherever that is allowed, else the lowest allowed one."""
    result = shape_labels.copy()
    other = (bits >> (np.maximum(shape_labels, 1) - 1)) & 1 == 0
    lowest = np.zeros_like(bits)
    for value in range(8, 0, -1):
        lowest[(bits >> (value - 1)) & 1 == 1] = value
    result[other & (shape_labels > 0)] = lowest[other & (shape_labels > 0)]
    return result


def right_of(labels):
    return np.isin(labels, (5, 6, 7, 8))


@pytest.mark.parametrize("shift", [-3, 2, 5])
def test_a_plane_through_the_points_moves_the_main_boundary(shift):
    shape, truth = phantom(), phantom(shift)
    bits, warnings = allowed_segments(shape, GRID, Landmarks({"mhv": on_plane(30 + shift)}, plane=True))
    found = chosen(bits, shape)
    assert warnings == ()
    inside = shape != 1
    assert np.array_equal(right_of(found)[inside], right_of(truth)[inside])


def test_every_boundary_can_be_moved_by_a_plane():
    shift = 3
    shape, truth = phantom(), phantom(shift)
    points = {
        "rhv": on_plane(18 + shift),
        "gallbladder": on_plane(30 + shift),
        "umbilical_fissure": on_plane(40 + shift),
    }
    bits, _ = allowed_segments(shape, GRID, Landmarks(points, plane=True))
    # one section per voxel is left; which segment of it is the level's business
    for first, second in (BOUNDARIES["main"], BOUNDARIES["right"], BOUNDARIES["left"]):
        for side, other in ((first, second), (second, first)):
            there = np.isin(truth, side) & (shape != 1)
            assert not any(((bits[there] >> (s - 1)) & 1).any() for s in other)
            assert all(((bits[there] >> (s - 1)) & 1).any() for s in side)


def test_level_plane_at_right_angles_to_the_vena_cava():
    shape = phantom()
    level = GRID.index_to_lps([MIDDLE + 3.5, 10, 20])
    bits, _ = allowed_segments(shape, GRID, Landmarks({"right_portal_bifurcation": [level.tolist()]}, plane=True))
    allowed = {v: (bits >> (v - 1)) & 1 == 1 for v in range(1, 9)}
    above = np.zeros(GRID.shape_zyx, bool)
    above[MIDDLE + 4 :] = True
    body = shape > 1
    assert not allowed[5][body & above].any()
    assert not allowed[8][body & ~above].any()
    assert allowed[8][body & above].all()


def test_a_bent_boundary_passes_by_exact_points():
    # all points ask for the same 5 mm; ten of them outweigh the doubt in their placing (5 mm) almost wholly: the
    # displacement left is at most prior / (prior + placed / n) = 144 / (144 + 25 / 10) of 6 mm, within a 2 mm voxel
    shift = 3
    shape, truth = phantom(), phantom(shift)
    bits, warnings = allowed_segments(shape, GRID, Landmarks({"mhv": on_plane(30 + shift, 10)}))
    found = chosen(bits, shape)
    assert warnings == ()
    inside = shape != 1
    wrong = np.count_nonzero(right_of(found)[inside] != right_of(truth)[inside])
    assert wrong <= 24 * 25  # one column of faces
    before = np.count_nonzero(right_of(shape)[inside] != right_of(truth)[inside])
    assert before == shift * 24 * 25


def test_one_point_moves_a_boundary_only_in_part():
    shape = phantom()
    point = {"mhv": on_plane(35, 1)}
    bits, _ = allowed_segments(shape, GRID, Landmarks(point))
    moved = np.count_nonzero(right_of(chosen(bits, shape)) & ~right_of(shape))
    # at most the five columns the point asks for
    assert 0 < moved <= 5 * 24 * 25


def test_points_on_the_shape_s_own_boundary_change_nothing():
    shape = phantom()
    points = {"mhv": on_plane(30), "rhv": on_plane(18), "umbilical_fissure": on_plane(40)}
    for plane in (False, True):
        bits, warnings = allowed_segments(shape, GRID, Landmarks(points, plane))
        assert warnings == ()
        assert np.array_equal(chosen(bits, shape), shape)


def test_a_boundary_without_points_stays_and_so_does_the_caudate():
    shape = phantom()
    bits, _ = allowed_segments(shape, GRID, Landmarks({"mhv": on_plane(33)}))
    assert (bits[shape == 1] == 1).all()
    assert (bits[(shape > 1)] & 1 == 0).all()
    assert (bits[shape == 0] == 0).all()
    # within the right side the sections are untouched
    both = (bits[shape == 7] >> 4) & 0b1111
    assert (both == 0b1111).all()


def test_the_displacement_equals_its_direct_sum():
    grid = oblique_grid((9, 31, 40), (6.0, 2.5, 2.0))
    points = grid.index_to_lps([[2.0, 3.0, 30.0], [7.5, 22.0, 11.0], [-3.0, 10.0, 45.0]])
    weights = np.array([0.05, -0.03, 0.04])
    every = grid.index_to_lps(np.indices(grid.shape_zyx).reshape(3, -1).T)
    squared = ((every[:, None, :] - points[None, :, :]) ** 2).sum(axis=2)
    expected = PRIOR_MM**2 * np.exp(-squared / (2 * LENGTH_MM**2)) @ weights
    # linear interpolation: step squared / 8 times the curvature, at most the sum of |weights| prior / length squared
    bound = 3 * 8.0**2 / 8 * PRIOR_MM**2 / LENGTH_MM**2 * np.abs(weights).sum() + 1e-4
    assert np.abs(_displacement(grid, points, weights).ravel() - expected).max() < bound < 0.05


def test_a_point_far_away_is_doubted():
    bits, warnings = allowed_segments(phantom(), GRID, Landmarks({"umbilical_fissure": on_plane(8, 1)}))
    assert len(warnings) == 1
    assert "left boundary lies" in warnings[0]
    assert bits.any()


def test_a_boundary_whose_side_is_absent_is_ignored():
    shape = phantom()
    shape[np.isin(shape, (2, 3))] = 0
    bits, warnings = allowed_segments(shape, GRID, Landmarks({"umbilical_fissure": on_plane(38)}))
    assert "only one of its sides" in warnings[0]
    assert np.array_equal(chosen(bits, shape), shape)


def test_the_fourth_segment_splits_at_its_level():
    labels = phantom()
    whole = Segmentation(labels, GRID, {v: str(v) for v in range(1, 9)})
    level = GRID.index_to_lps([9.5, 10, 35])
    split = split_fourth_segment(whole, tuple(level))
    assert np.array_equal(split.labels == 41, (labels == 4) & (np.arange(30) >= 10)[:, None, None])
    assert np.array_equal(split.labels == 42, (labels == 4) & (np.arange(30) < 10)[:, None, None])
    assert np.array_equal(np.where(np.isin(split.labels, (41, 42)), 4, split.labels), labels)
    assert split.names[41] == "segment IVa"


def test_landmark_names_and_points_are_checked():
    with pytest.raises(ScanError, match="landmark is not known"):
        Landmarks({"portal": [(0.0, 0.0, 0.0)]})
    for wrong in ([(0.0, 0.0)], [(0.0, 0.0, np.inf)], (1.0, 2.0, 3.0)):
        with pytest.raises(ScanError, match="landmark"):
            Landmarks({"mhv": wrong})


def test_every_landmark_lies_on_a_known_boundary():
    assert {b for names in LANDMARKS.values() for b in names} <= set(BOUNDARIES)


def test_axis_follows_the_vena_cava_upwards():
    points = [(0.0, 0.0, 50.0), (5.0, 0.0, 0.0), (2.5, 0.0, 25.0)]
    axis = Landmarks({"ivc": points}).axis
    assert np.allclose(axis, np.array([-5.0, 0.0, 50.0]) / np.hypot(5, 50))
    assert np.array_equal(Landmarks({}).axis, [0.0, 0.0, 1.0])


def test_landmarks_come_from_json(tmp_path):
    path = tmp_path / "landmarks.json"
    path.write_text(json.dumps({"mhv": [[1, 2, 3], [4, 5, 6]], "plane": True}))
    found = read_landmarks(path)
    assert found.points["mhv"] == ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert found.plane


@pytest.mark.parametrize("text", ["[1, 2]", "{", '{"mhv": 3}', '{"mhv": [["a", 1, 2]]}', '{"mhv": [[1, 2]]}', "null"])
def test_broken_landmark_files_are_refused(tmp_path, text):
    path = tmp_path / "landmarks.json"
    path.write_text(text)
    with pytest.raises(LivervolError):
        read_landmarks(path)
