"""Segments from portal territories and vein planes on livers cut by known planes, and the methods together."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import oblique_grid
from livervol.errors import ScanError
from livervol.scan import Segmentation
from livervol.segment.couinaud_combined import (
    TRUSTED_VEINS,
    CombinedSegments,
    combine_couinaud,
    territories,
    vein_landmarks,
)
from livervol.segment.couinaud_landmarks import Landmarks
from livervol.segment.vessel_names import VesselBranch
from livervol.segment.vessels import VesselsResult, segment_vessels
from vessel_phantom import CENTRE, VesselPhantom

GRID = oblique_grid((48, 64, 88), (2.5, 2.0, 1.8), (4.0, -6.0, 9.0))
MIDDLE = GRID.index_to_lps([23.5, 31.5, 43.5])
#: An ellipsoid cut by the planes x = 12 (main), x = -24 (right), x = 40 (left), z = 0 (levels), mm from the middle.
MAIN, RIGHT, LEFT = 12.0, -24.0, 40.0
RADII = (70.0, 55.0, 50.0)
#: Portal branches along y, placed so that each plane lies halfway between its neighbours.
BRANCHES = {7: (-40, 16), 6: (-40, -16), 8: (-8, 16), 5: (-8, -16), 4: (32, 0), 2: (48, 16), 3: (48, -16)}


def points_mm() -> NDArray[np.float64]:
    points: NDArray[np.float64] = GRID.index_to_lps(np.moveaxis(np.indices(GRID.shape_zyx), 0, -1)) - MIDDLE
    return points


def block() -> tuple[Segmentation, NDArray[np.uint8]]:
    points = points_mm()
    inside = ((points / RADII) ** 2).sum(axis=-1) <= 1
    x, high = points[..., 0], points[..., 2] > 0
    labels = np.select(
        [x > LEFT, x > MAIN, x > RIGHT], [np.where(high, 2, 3), 4, np.where(high, 8, 5)], np.where(high, 7, 6)
    )
    return Segmentation(inside.view(np.uint8), GRID, {1: "liver"}), np.where(inside, labels, 0).astype(np.uint8)


def branch(number: int, x: float, z: float, shift: float = 0.0) -> VesselBranch:
    line = np.array([(x + shift, y, z) for y in range(-60, 61, 5)], dtype=np.float64) + MIDDLE
    return VesselBranch(number, 1, f"portal branch of segment {number}", 0, line, np.full(len(line), 2.0), 1.0)


def volumes(labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.bincount(labels.ravel(), minlength=9)[1:9] * GRID.voxel_ml


def plain_territories(shift: float = 0.0) -> tuple[list[VesselBranch], dict[int, int]]:
    # in the middle two columns segment IV has one branch where its neighbours have two: more of them along the level
    branches = [branch(n, x, z, shift) for n, (x, z) in BRANCHES.items() if n != 4]
    feeds = {n: n for n in BRANCHES if n != 4}
    for extra, z in ((41, 16.0), (42, -16.0)):
        branches.append(branch(extra, 32.0, z, shift))
        feeds[extra] = 4
    return branches, feeds


def test_territories_of_straight_branches_are_the_known_planes() -> None:
    liver, truth = block()
    found = territories(liver, *plain_territories())
    # lattice of 3 mm, distances interpolated: planes halfway between straight branches are met within 0.1 mm, and a
    # voxel's centre decides as in the truth
    np.testing.assert_allclose(volumes(found.labels)[1:], volumes(truth)[1:], rtol=0.01)
    assert np.count_nonzero(found.labels != truth) <= 0.01 * np.count_nonzero(truth)
    assert "portal territories" in found.made_by


def test_flat_planes_through_the_veins_correct_branches_that_lie_off() -> None:
    liver, truth = block()
    off = territories(liver, *plain_territories(shift=7.0))
    assert np.abs(volumes(off.labels)[1:] / volumes(truth)[1:] - 1).max() > 0.1

    def vein(x: float) -> list[tuple[float, float, float]]:
        at = [(x, y, z) for y, z in ((-20, -12), (-5, 5), (10, 20), (20, 25))]
        return [tuple(float(v) for v in np.array(p) + MIDDLE) for p in at]  # type: ignore[misc]

    veins = Landmarks({"mhv": vein(MAIN), "rhv": vein(RIGHT), "umbilical_portion": vein(LEFT)}, plane=True)
    found = territories(liver, *plain_territories(shift=7.0), veins=veins)
    np.testing.assert_allclose(volumes(found.labels)[1:], volumes(truth)[1:], rtol=0.01)


def test_branches_that_feed_nothing_are_refused() -> None:
    liver, _ = block()
    with pytest.raises(ScanError, match="no portal branch"):
        territories(liver, plain_territories()[0], {})
    with pytest.raises(ScanError, match="empty"):
        territories(Segmentation(np.zeros(GRID.shape_zyx, np.uint8), GRID, {}), *plain_territories())


@lru_cache(maxsize=1)
def phantom() -> VesselPhantom:
    return VesselPhantom()


@lru_cache(maxsize=1)
def vessels() -> VesselsResult:
    return segment_vessels(phantom().scan, phantom().liver, reading=phantom().reading)


@lru_cache(maxsize=1)
def combined() -> CombinedSegments:
    return combine_couinaud(phantom().liver, vessels(), reading=phantom().reading)


def agreement(labels: NDArray[np.uint8]) -> float:
    truth = phantom().segments.labels
    return float((labels == truth)[truth > 0].mean())


def test_without_vessels_the_answer_is_the_shapes() -> None:
    alone = combine_couinaud(phantom().liver, reading=phantom().reading)
    np.testing.assert_array_equal(alone.segmentation.labels, alone.shape.segmentation.labels)
    assert set(alone.alone) == {"shape"}
    assert alone.percent["any"] == 0
    assert not alone.disagreement.labels.any()


def test_right_vessels_keep_a_right_shape_and_are_named_in_made_by() -> None:
    # the shape's own boundaries on its 4 mm box are within a voxel of the truth
    assert agreement(combined().shape.segmentation.labels) >= 0.95
    assert agreement(combined().segmentation.labels) >= 0.93
    assert "portal territories" in combined().segmentation.made_by
    assert "mhv" in combined().segmentation.made_by
    # nearest branches make other borders than planes where a segment has a single branch
    assert agreement(combined().alone["vessels"].labels) >= 0.6


def test_the_disagreement_is_where_methods_differ() -> None:
    first, second = (combined().alone[name].labels for name in ("shape", "vessels"))
    np.testing.assert_array_equal(combined().disagreement.labels, first != second)
    total = np.count_nonzero(phantom().liver.labels)
    assert combined().percent["any"] == pytest.approx(100 * np.count_nonzero(first != second) / total)
    left, right = (2, 3, 4), (5, 6, 7, 8)
    crossing = (np.isin(first, left) & np.isin(second, right)) | (np.isin(first, right) & np.isin(second, left))
    assert combined().percent["main"] == pytest.approx(100 * np.count_nonzero(crossing) / total)


def test_an_unclear_tree_changes_nothing_but_is_shown() -> None:
    doubtful = VesselsResult(
        vessels().segmentation,
        vessels().branch_labels,
        vessels().branches,
        vessels().main,
        {"portal": 0.4, "hepatic": 0.4},
        ("Vessels: unclear.",),
    )
    result = combine_couinaud(phantom().liver, doubtful, reading=phantom().reading)
    np.testing.assert_array_equal(result.segmentation.labels, result.shape.segmentation.labels)
    assert "vessels" in result.alone
    assert "Vessels: unclear." in result.warnings


def test_a_readers_landmarks_rule_their_boundary() -> None:
    at = tuple(float(v) for v in np.array([30.0, -10.0, 0.0]) + CENTRE)
    marks = Landmarks({"mhv": [at, (at[0], at[1] + 20, at[2] + 15)]})
    result = combine_couinaud(phantom().liver, vessels(), marks, reading=phantom().reading)
    assert set(result.alone) == {"shape", "vessels", "landmarks"}
    index = tuple(np.rint(phantom().grid.lps_to_index(np.array(at) - [8.0, 0, 0])).astype(int))
    # the main boundary moved from x = 15 towards x = 30: 8 mm to its right lies right liver now
    assert phantom().segments.labels[index] == 4
    assert result.segmentation.labels[index] in (5, 8)


def test_vein_points_keep_apart_and_off_the_confluence() -> None:
    points = vein_landmarks(vessels()).points
    assert {"rhv", "mhv"} <= set(points)
    assert set(vein_landmarks(vessels(), TRUSTED_VEINS).points) == {"mhv"}
    root = np.array([25, 29, 32]) + CENTRE
    for name in ("rhv", "mhv"):
        placed = np.array(points[name])
        assert np.linalg.norm(placed - root, axis=1).min() > 10.0
        apart = np.linalg.norm(placed[:, None] - placed[None], axis=2)
        assert apart[~np.eye(len(placed), dtype=bool)].min() >= 12.0
