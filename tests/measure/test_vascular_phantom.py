"""Thrombus in one branch at a time of a phantom with known trees, and what it does to two operations."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from scipy.spatial import cKDTree

from livervol.measure.vascular import judge_resection
from livervol.measure.vascular_facts import VascularFacts, vascular_facts
from livervol.scan import Phase, Scan
from livervol.segment.vessels import VesselsResult, vessels_of_mask
from vessel_phantom import CENTRE, TREES, VesselPhantom, line


@lru_cache(maxsize=1)
def trees() -> tuple[VesselPhantom, VesselsResult]:
    phantom = VesselPhantom()
    return phantom, vessels_of_mask(phantom.vessels, phantom.liver, reading=phantom.reading)


def facts_with(thrombus: str = "") -> tuple[VascularFacts, int]:
    """The facts when 15 mm in the middle of a vessel stay dark, and that branch's number (0 for none)."""
    phantom, found = trees()
    voxels, number = phantom.scan.voxels.copy(), 0
    if thrombus:
        course = line(thrombus)
        middle = len(course) // 2
        kind, _, radius = TREES[thrombus]
        vessel = np.argwhere(phantom.vessels.labels == kind)
        points = phantom.grid.index_to_lps(vessel) - CENTRE
        dark = cKDTree(course[max(0, middle - 7) : middle + 8]).query(points)[0] <= radius
        voxels[tuple(vessel[dark].T)] -= 60
        at = course[middle] + CENTRE
        number = min(found.branches, key=lambda b: float(np.linalg.norm(b.points_lps_mm - at, axis=1).min())).number
    scan = Scan(voxels, phantom.grid, phase=Phase.PORTAL_VENOUS)
    return vascular_facts(phantom.liver, phantom.segments, None, found, scan), number


def test_open_vessels_are_not_suspected() -> None:
    facts, _ = facts_with()
    assert dict(facts.thrombus) == {}
    assert judge_resection(facts, "left_hepatectomy").proposals["portal_inflow"] is True


@pytest.mark.parametrize("vessel", ["trunk", "right", "right posterior", "left", "right vein", "middle vein"])
def test_thrombus_is_suspected_in_its_branch_alone(vessel: str) -> None:
    facts, number = facts_with(vessel)
    assert set(facts.thrombus) == {number}
    # 15 mm are dark, and the median of 27 voxels reaches a voxel farther at either end
    assert 12.0 <= facts.thrombus[number][0].length_mm <= 22.0
    left = judge_resection(facts, "left_hepatectomy")
    if vessel in ("right", "right posterior"):
        assert left.proposals["portal_inflow"] is False
    if vessel == "trunk":
        # a trunk without a main branch's name leaves the question to the reader
        assert left.proposals["portal_inflow"] is not True
    if vessel == "right vein":
        assert judge_resection(facts, "right_hepatectomy").proposals["hepatic_outflow"] is False
