"""Vessels under a resection, counted by hand on a block of segments with straight vessels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import oblique_grid
from livervol.errors import GridError
from livervol.measure.vascular import judge_resection, vascular_measurements
from livervol.measure.vascular_facts import vascular_facts
from livervol.scan import Scan, Segmentation

SHAPE, SPACING = (12, 20, 40), (2.5, 2.0, 1.5)
GRID = oblique_grid(SHAPE, SPACING)


@dataclass(frozen=True)
class Twig:
    number: int
    kind: int
    name: str
    parent: int
    points_lps_mm: NDArray[np.float64]
    radius_mm: NDArray[np.float64]


@dataclass(frozen=True)
class Tree:
    branches: tuple[Twig, ...]
    branch_labels: Segmentation
    confidence: dict[str, float] = field(default_factory=lambda: {"portal": 1.0, "hepatic": 1.0})


def along(z: int, y: int, start: int, stop: int) -> NDArray[np.float64]:
    step = 1 if stop > start else -1
    return GRID.index_to_lps([(z, y, x) for x in range(start, stop, step)])


def tree(confidence: float = 1.0) -> Tree:
    """Portal trunk at x 19-21, branches to x 35 and x 4 along y 6; left and right hepatic veins along y 14."""
    labels = np.zeros(SHAPE, np.uint8)
    lines = [
        (1, "portal vein", 0, along(6, 6, 21, 18)),
        (1, "left portal vein", 1, along(6, 6, 21, 36)),
        (1, "right portal vein", 1, along(6, 6, 18, 3)),
        (2, "left hepatic vein", 0, along(6, 14, 24, 36)),
        (2, "right hepatic vein", 0, along(6, 14, 15, 3)),
        (2, "middle hepatic vein", 0, along(8, 10, 21, 16)),
    ]
    twigs = []
    for number, (kind, name, parent, points) in enumerate(lines, 1):
        index = np.rint(GRID.lps_to_index(points)).astype(int)
        labels[tuple(index.T)] = number
        twigs.append(Twig(number, kind, name, parent, points, np.full(len(points), 2.5)))
    names = {t.number: t.name for t in twigs}
    return Tree(tuple(twigs), Segmentation(labels, GRID, names), {"portal": confidence, "hepatic": confidence})


def segments() -> tuple[Segmentation, Segmentation]:
    """A block liver: right half segments 5-8 (x < 20), left half 2 (x >= 20)."""
    liver = np.zeros(SHAPE, np.uint8)
    liver[1:-1, 1:-1, 1:-1] = 1
    parts = np.where(liver == 1, 2, 0).astype(np.uint8)
    parts[1:6, 1:-1, 1:20] = 5
    parts[6:-1, 1:-1, 1:20] = 8
    names = {n: f"segment {n}" for n in (2, 5, 8)}
    return Segmentation(liver, GRID, {1: "liver"}), Segmentation(parts, GRID, names)


def lesion(*places: tuple[slice, slice, slice]) -> Segmentation:
    labels = np.zeros(SHAPE, np.uint8)
    for number, place in enumerate(places, 1):
        labels[place] = number
    return Segmentation(labels, GRID, {n: f"lesion {n}" for n in range(1, len(places) + 1)})


def slow_face_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Way between two sets of voxel boxes, pair by pair."""
    best = np.inf
    for p, q in product(np.argwhere(a), np.argwhere(b)):
        gaps = np.maximum(np.abs(p - q) - 1, 0) * SPACING
        best = min(best, float(np.sqrt((gaps**2).sum())))
    return best


def test_fates_count_the_voxels_on_either_side() -> None:
    liver, parts = segments()
    reading = judge_resection(vascular_facts(liver, parts, None, tree()), "right_hepatectomy")
    fates = {f.name: (f.fate, f.kept_voxels, f.removed_voxels, f.serves) for f in reading.fates}
    # the trunk has x 21, 20 (left) and 19 (right), of which 21 belongs to the left branch drawn after it
    assert fates["portal vein"] == ("cut", 1, 1, True)
    assert fates["left portal vein"] == ("kept", 15, 0, True)
    assert fates["right portal vein"] == ("removed", 0, 15, False)
    assert fates["left hepatic vein"] == ("kept", 12, 0, True)
    assert fates["right hepatic vein"] == ("removed", 0, 12, False)
    assert fates["middle hepatic vein"] == ("cut", 2, 3, True)
    assert {f.name for f in reading.cut} == {"portal vein", "middle hepatic vein"}
    assert reading.proposals["portal_inflow"] is True
    assert reading.proposals["hepatic_outflow"] is True
    assert reading.intact is True
    assert reading.proposals["arterial_inflow"] is None
    assert reading.proposals["biliary_drainage"] is None


def test_tumour_distance_is_exact_between_voxel_faces() -> None:
    liver, parts = segments()
    marked = lesion((slice(2, 4), slice(9, 12), slice(28, 31)), (slice(9, 11), slice(2, 4), slice(5, 8)))
    reading = judge_resection(vascular_facts(liver, parts, marked, tree()), "right_hepatectomy")
    labels = tree().branch_labels.labels
    for fate in reading.fates:
        ways = {n: slow_face_distance(marked.labels == n, labels == fate.number) for n in (1, 2)}
        assert fate.tumor_mm == pytest.approx(min(ways.values()), rel=1e-6)
        assert fate.lesion == min(ways, key=lambda n: ways[n])
    rows = {m.name.removeprefix("remnant.right_hepatectomy.vessels."): m for m in vascular_measurements([reading])}
    assert rows["intact"].value == 1.0
    assert rows["branches_cut"].value == 2.0
    assert rows["middle_hepatic_vein.kept_percent"].value == pytest.approx(40.0)
    # lesion 1: z 2..3 to z 6 leaves 2 planes of 2.5 mm; y 9..11 to y 6 leaves 2 rows of 2 mm; same columns
    assert rows["left_portal_vein.tumor_distance_mm"].value == pytest.approx(np.hypot(2 * 2.5, 2 * 2.0), rel=1e-6)


def test_lumen_and_touch_change_the_proposal() -> None:
    liver, parts = segments()
    inside = lesion((slice(6, 7), slice(6, 7), slice(30, 32)))
    reading = judge_resection(vascular_facts(liver, parts, inside, tree()), "right_hepatectomy")
    assert reading.proposals["portal_inflow"] is False
    assert reading.intact is False
    assert "lesion 1 reaches into its lumen (2 voxels)" in reading.reasons["portal_inflow"]
    assert reading.proposals["hepatic_outflow"] is True
    renamed = tuple(replace(b, name="portal branch of segment 2") if b.number == 2 else b for b in tree().branches)
    small = judge_resection(
        vascular_facts(liver, parts, inside, Tree(renamed, tree().branch_labels)), "right_hepatectomy"
    )
    assert small.proposals["portal_inflow"] is None
    beside = lesion((slice(7, 9), slice(6, 8), slice(30, 32)))
    touching = judge_resection(vascular_facts(liver, parts, beside, tree()), "right_hepatectomy")
    assert touching.proposals["portal_inflow"] is None
    assert touching.intact is None
    assert "lesion 1 touches the left portal vein" in touching.reasons["portal_inflow"]
    # the same lesion beside a branch that goes with the right side leaves the remnant alone
    away = lesion((slice(6, 7), slice(6, 7), slice(5, 7)))
    assert judge_resection(vascular_facts(liver, parts, away, tree()), "right_hepatectomy").intact is True


def test_a_way_through_what_is_removed_is_lost_or_open_by_its_depth() -> None:
    liver, parts = segments()
    # a left hepatectomy keeps the right: its portal branch starts at the trunk, half a voxel inside the left
    facts = vascular_facts(liver, parts, None, tree())
    kept = judge_resection(facts, "left_hepatectomy")
    right = next(f for f in kept.fates if f.name == "right portal vein")
    # the trunk's first point lies at x 21; the nearest kept column is x 19
    assert right.deepest_mm == pytest.approx(2 * 1.5)
    assert kept.proposals["portal_inflow"] is None  # nothing portal reaches segment 5
    assert "no portal vein was found in segment 5" in kept.reasons["portal_inflow"]
    lines = tree()
    longer = Twig(1, 1, "portal vein", 0, along(6, 6, 28, 18), np.full(10, 2.5))
    labels = lines.branch_labels.labels.copy()
    labels[4, 6, 5:15] = 3  # the right branch reaches segment 5 as well
    deep = Tree((longer, *lines.branches[1:]), Segmentation(labels, GRID, lines.branch_labels.names))
    reading = judge_resection(vascular_facts(liver, parts, None, deep), "left_hepatectomy")
    assert reading.proposals["portal_inflow"] is None
    assert "run 14 mm inside what is removed" in reading.reasons["portal_inflow"]
    deeper = Twig(1, 1, "portal vein", 0, along(6, 6, 34, 18), np.full(16, 2.5))
    lost = Tree((deeper, *lines.branches[1:]), Segmentation(labels, GRID, lines.branch_labels.names))
    assert judge_resection(vascular_facts(liver, parts, None, lost), "left_hepatectomy").intact is False


def test_an_unclear_tree_supports_no_proposal() -> None:
    liver, parts = segments()
    reading = judge_resection(vascular_facts(liver, parts, None, tree(confidence=0.3)), "right_hepatectomy")
    assert reading.intact is None
    assert "0.30" in reading.reasons["portal_inflow"]
    row = next(m for m in vascular_measurements([reading]) if m.name.endswith(".intact"))
    assert row.value is None
    assert row.reason.startswith("unknown")


def test_a_stretch_that_does_not_enhance_is_suspected() -> None:
    liver, parts = segments()
    lines = tree()
    values = np.full(SHAPE, 100, np.int16)
    for branch in lines.branches:
        for z, y, x in np.rint(GRID.lps_to_index(branch.points_lps_mm)).astype(int):
            values[z - 1 : z + 2, y - 1 : y + 2, max(0, x - 1) : x + 2] = 180
    bright = vascular_facts(liver, parts, None, lines, Scan(values, GRID))
    assert not bright.thrombus
    values[5:8, 5:8, 26:34] = 100
    dark = vascular_facts(liver, parts, None, lines, Scan(values, GRID))
    assert set(dark.thrombus) == {2}
    # the median of 27 is dark where two of three columns are: points x 26 to 33, 7 steps
    assert dark.thrombus[2][0].length_mm == pytest.approx(7 * 1.5)
    assert judge_resection(dark, "right_hepatectomy").intact is False


def test_masks_on_another_grid_are_refused() -> None:
    liver, parts = segments()
    elsewhere = Segmentation(np.zeros((3, 4, 5), np.uint8), oblique_grid((3, 4, 5)), {})
    with pytest.raises(GridError):
        vascular_facts(liver, parts, elsewhere, tree())
