"""Measured diameters carry the line they were measured along; small parts, planes and rules."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import oblique_grid
from livervol.errors import CriteriaError
from livervol.grid import Grid
from livervol.measure.diameter import (
    Body,
    Convention,
    Rules,
    diameter_3d,
    in_slice_diameters,
    viable_diameters,
    without_specks,
)
from livervol.records import Measurement

NO_SPECKS = Rules(min_part_ml=0.0, min_part_mm=0.0)


def along(measurement: Measurement) -> np.ndarray:
    assert measurement.line is not None
    return np.array(measurement.line.end_lps_mm) - np.array(measurement.line.start_lps_mm)


def random_body(seed: int, filled: float = 0.7) -> Body:
    random = np.random.default_rng(seed)
    shape = tuple(int(n) for n in random.integers(1, 9, 3))
    mask = random.random(shape) < filled
    mask[tuple(int(random.integers(n)) for n in shape)] = True
    return Body(mask, oblique_grid(shape), first_plane=11)


@given(seed=st.integers(0, 2**32 - 1), convention=st.sampled_from(list(Convention)))
def test_lines_are_as_long_as_the_numbers(seed, convention):
    body = random_body(seed)
    rules = replace(NO_SPECKS, convention=convention)
    lesion = Body(np.ones_like(body.mask), body.grid, body.first_plane)
    plain = (*in_slice_diameters(body, rules), diameter_3d(body, rules))
    for measurement in (*plain, *viable_diameters(body, lesion, rules)):
        assert np.linalg.norm(along(measurement)) == pytest.approx(measurement.value, abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), convention=st.sampled_from(list(Convention)))
def test_short_axes_are_perpendicular_and_in_the_same_plane(seed, convention):
    body = random_body(seed)
    rules = replace(NO_SPECKS, convention=convention)
    lesion = Body(np.ones_like(body.mask), body.grid, body.first_plane)
    for longest, short in (in_slice_diameters(body, rules), viable_diameters(body, lesion, rules)):
        assert np.dot(along(longest), along(short)) == pytest.approx(0.0, abs=1e-9)
        assert longest.line.plane_index == short.line.plane_index
        normal = body.grid.directions[:, 0]
        for measurement in (longest, short):
            plane = body.grid.lps_to_index(measurement.line.start_lps_mm)[0]
            assert plane + body.first_plane == pytest.approx(measurement.line.plane_index)
            assert np.dot(along(measurement), normal) == pytest.approx(0.0, abs=1e-9)
        assert short.value <= longest.value + 1e-9


@given(seed=st.integers(0, 2**32 - 1))
def test_viable_is_at_most_the_whole(seed):
    lesion = random_body(seed, 0.9)
    viable = Body(lesion.mask & (np.random.default_rng(seed).random(lesion.mask.shape) < 0.5), lesion.grid, 11)
    for convention in Convention:
        rules = replace(NO_SPECKS, convention=convention)
        longest, across = viable_diameters(viable, lesion, rules)
        assert across.value <= longest.value + 1e-9
        assert longest.value <= in_slice_diameters(lesion, rules)[0].value
        assert in_slice_diameters(lesion, rules)[0].value <= diameter_3d(lesion, rules).value + 1e-12


def test_a_rectangle_has_known_numbers():
    # 6 x 3 voxels of 0.8 x 0.7 mm, outer edges 4.8 x 2.1 mm
    body = Body(np.ones((1, 6, 3), bool), Grid.from_parts((1, 6, 3), (2.5, 0.8, 0.7)))
    longest, short = in_slice_diameters(body)
    assert longest.value == pytest.approx(math.hypot(4.8, 2.1))
    assert diameter_3d(body).value == pytest.approx(math.sqrt(4.8**2 + 2.1**2 + 2.5**2))
    centre = in_slice_diameters(body, Rules(convention=Convention.CENTRE))[0]
    assert centre.value == pytest.approx(math.hypot(4.0, 1.4))
    mesh = in_slice_diameters(body, Rules(convention=Convention.MESH))[0]
    assert mesh.value == pytest.approx(math.hypot(4.8, 1.4))
    assert "outer edges (voxel corners), acquired plane" in longest.method
    assert "across longest_mm" in short.method


def test_the_longest_slice_is_the_one_reported():
    mask = np.zeros((5, 9, 9), bool)
    mask[1, 4, 2:6] = mask[3, 4, 1:8] = True
    body = Body(mask, oblique_grid(mask.shape), first_plane=20)
    assert in_slice_diameters(body)[0].line.plane_index == 23
    mask[1] = mask[3]
    assert in_slice_diameters(body)[0].line.plane_index == 21


def test_nothing_is_zero_without_a_line():
    body = Body(np.zeros((2, 3, 4), bool), oblique_grid((2, 3, 4)))
    lesion = Body(np.ones((2, 3, 4), bool), body.grid)
    for measurement in (*in_slice_diameters(body), diameter_3d(body), *viable_diameters(body, lesion)):
        assert (measurement.value, measurement.line, measurement.unit) == (0.0, None, "mm")


def test_one_voxel_by_voxel_centres_has_no_length():
    body = Body(np.ones((1, 1, 1), bool), oblique_grid((1, 1, 1)))
    rules = replace(NO_SPECKS, convention=Convention.CENTRE)
    found = [*in_slice_diameters(body, rules), diameter_3d(body, rules), *viable_diameters(body, body, rules)]
    assert [m.value for m in found] == [0.0] * 5


def test_specks_make_no_diameter():
    # voxels of 1 mm3: 49 are under 0.05 ml, 50 are not; a part must also measure 3 mm in some slice
    grid = Grid.from_parts((60, 20, 40), (1.0, 1.0, 1.0))
    lesion = Body(np.ones(grid.shape_zyx, bool), grid)
    viable = np.zeros(grid.shape_zyx, bool)
    viable[0, 0:7, 0:7] = True
    assert viable_diameters(Body(viable, grid), lesion)[0].value == 0.0
    viable[1, 0, 0] = True
    assert viable_diameters(Body(viable, grid), lesion)[0].value == pytest.approx(7 * math.sqrt(2))
    rod = np.zeros(grid.shape_zyx, bool)
    rod[:, 10, 10] = True
    assert viable_diameters(Body(rod, grid), lesion)[0].value == 0.0
    rod[5, 10, 10:13] = True
    assert viable_diameters(Body(rod, grid), lesion)[0].value == pytest.approx(math.hypot(3, 1))
    # parts that touch at a corner are one part
    both = np.zeros(grid.shape_zyx, bool)
    both[2, 0:5, 0:5] = both[3, 5:10, 5:10] = True
    assert without_specks(Body(both, grid), Rules()).max() == 1
    both[3] = False
    assert without_specks(Body(both, grid), Rules()).max() == 0


def test_each_rule_changes_the_number():
    # one row: 10 live, 3 dead, 10 live, 6 dead, 2 live voxels of 1 mm
    row = np.array([1] * 10 + [0] * 3 + [1] * 10 + [0] * 6 + [1] * 2, bool)
    viable = np.repeat(row[None, None], 60, axis=0)
    grid = Grid.from_parts(viable.shape, (1.0, 1.0, 1.0))
    lesion = Body(np.ones_like(viable), grid)

    def length(**changes: object) -> float:
        rules = replace(Rules(convention=Convention.MESH, min_part_mm=0.0), **changes)
        return viable_diameters(Body(viable, grid), lesion, rules)[0].value

    assert length() == 10.0
    assert length(gap_floor_mm=3.0) == 23.0
    assert length(gap_fraction=0.14) == 23.0
    assert length(gap_floor_mm=6.0) == 23.0
    assert length(gap_floor_mm=6.0, gap_cap_mm=6.0) == 31.0
    assert length(gap_fraction=0.14, gap_cap_mm=2.0) == 10.0
    assert length(sum_parts=True) == 22.0
    assert length(sum_parts=True, min_part_mm=3.0) == 20.0
    assert length(sum_parts=True, min_part_ml=0.2) == 20.0
    assert length(convention=Convention.CENTRE) == 9.0


@pytest.mark.parametrize(
    "name", ["gap_floor_mm", "gap_fraction", "gap_cap_mm", "min_part_mm", "min_part_ml", "max_tilt_degrees"]
)
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_rules_must_be_numbers(name, value):
    with pytest.raises(CriteriaError, match=f"{name}"):
        Rules(**{name: value})


def test_thick_in_plane_spacing_means_another_acquired_plane():
    mask = np.ones((20, 4, 20), bool)
    coronal = Body(mask, Grid.from_parts(mask.shape, (0.8, 5.0, 0.8)))
    assert "axial reformat of another acquired plane" in in_slice_diameters(coronal)[0].method
    axial = Body(mask, Grid.from_parts(mask.shape, (5.0, 0.8, 0.8)))
    assert "reformat" not in in_slice_diameters(axial)[0].method
