from __future__ import annotations

import math

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import CriteriaError
from livervol.measure.lesions import measure_lesions
from livervol.measure.uncertainty import (
    OUTLINE_SD_MM,
    Effect,
    spread_of_lesions,
    sum_interval,
    with_intervals,
)
from livervol.scan import Segmentation

GRID = oblique_grid((12, 40, 50), (3.0, 0.8, 0.8))
VOXEL = 0.8


def bars(**widths):
    """Lesions 1, 2 as bars of a width in voxels, five voxels thick and high."""
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    for name, width in widths.items():
        number = int(name[1:])
        labels[3:8, 10 * number : 10 * number + 5, 5 : 5 + width] = number
    return Segmentation(labels, GRID, {int(n[1:]): f"lesion {n[1:]}" for n in widths})


def length(width):
    # corner to corner, five voxels high
    return math.hypot(width * VOXEL, 5 * VOXEL)


def test_an_outline_counts_by_its_standard_deviation_not_by_the_voxel():
    lesions = measure_lesions(bars(n1=30))
    spread = spread_of_lesions(lesions, [("outline", bars(n1=28), None), ("outline", bars(n1=33), None)], VOXEL)
    effect = spread[1]["longest_mm"]["outline"]
    one = OUTLINE_SD_MM / VOXEL
    assert effect.down == pytest.approx(one * (length(30) - length(28)))
    assert effect.up == pytest.approx(one * (length(33) - length(30)))


def test_a_coarse_outline_is_never_better_than_a_voxel():
    lesions = measure_lesions(bars(n1=30))
    spread = spread_of_lesions(lesions, [("outline", bars(n1=28), None)], 4.0)
    assert spread[1]["longest_mm"]["outline"].down == pytest.approx(length(30) - length(28))


def test_other_causes_count_whole_and_a_lost_lesion_measures_nothing():
    lesions = measure_lesions(bars(n1=30, n2=10))
    spread = spread_of_lesions(lesions, [("threshold", bars(n1=25), None)], VOXEL)
    assert spread[1]["longest_mm"]["threshold"].down == pytest.approx(length(30) - length(25))
    assert spread[1]["longest_mm"]["threshold"].up == 0
    assert spread[2]["longest_mm"]["threshold"].down == pytest.approx(length(10))


def test_interval_adds_squares_and_keeps_down_and_up_apart():
    (lesion,) = measure_lesions(bars(n1=30))
    effects = {"outline": Effect(1.0, 0.0), "threshold": Effect(2.0, 3.0)}
    (got,) = with_intervals([lesion], {1: {"longest_mm": effects}})
    measured = got.get("longest_mm")
    assert measured.interval.low == pytest.approx(length(30) - 1.959964 * math.sqrt(5.0))
    assert measured.interval.high == pytest.approx(length(30) + 1.959964 * 3.0)
    assert measured.value == lesion.value("longest_mm")
    assert got.get("short_axis_mm").interval is None


def test_no_length_falls_below_zero():
    (lesion,) = measure_lesions(bars(n1=2))
    (got,) = with_intervals([lesion], {1: {"longest_mm": {"outline": Effect(50.0, 1.0)}}})
    assert got.get("longest_mm").interval.low == 0


def test_the_voxel_alone_makes_no_interval():
    (lesion,) = measure_lesions(bars(n1=30))
    spread = spread_of_lesions([lesion], [], VOXEL)
    assert set(spread[1]["longest_mm"]) == {"voxel"}
    assert spread[1]["longest_mm"]["voxel"].up == pytest.approx(VOXEL / math.sqrt(6))
    assert with_intervals([lesion], spread)[0].get("longest_mm").interval is None


def test_shared_causes_add_up_before_they_are_squared():
    spread = {
        1: {"viable_longest_mm": {"threshold": Effect(1.0, 2.0), "outline": Effect(3.0, 0.0)}},
        2: {"viable_longest_mm": {"threshold": Effect(2.0, 2.0), "outline": Effect(4.0, 0.0)}},
    }
    got = sum_interval({1: 30.0, 2: 20.0}, spread, "viable_longest_mm")
    assert got.low == pytest.approx(50 - 1.959964 * math.sqrt(3.0**2 + 3.0**2 + 4.0**2))
    assert got.high == pytest.approx(50 + 1.959964 * 4.0)


def test_a_sum_without_a_spread_is_refused():
    with pytest.raises(CriteriaError, match="lesion 2"):
        sum_interval({1: 3.0, 2: 3.0}, {1: {"longest_mm": {}}}, "longest_mm")
