"""Vessel trees of a phantom with known trees, of real vessel shapes painted into a scan, and of a real scan."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from livervol.errors import GridError, ScanError
from livervol.grid import Grid
from livervol.io.images import read_image, read_labels
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.vessel_names import downstream
from livervol.segment.vessel_tissue import vessel_field
from livervol.segment.vessels import VesselsResult, segment_vessels, vessels_of_mask
from vessel_phantom import CENTRE, TREES, VesselPhantom, line


@lru_cache(maxsize=1)
def phantom() -> VesselPhantom:
    return VesselPhantom()


@lru_cache(maxsize=1)
def found() -> VesselsResult:
    return segment_vessels(phantom().scan, phantom().liver, reading=phantom().reading)


def nearest_kinds(result: VesselsResult, name: str) -> tuple[float, float]:
    """Share of a vessel's centreline with a branch within 4 mm, and the share of those of the right kind."""
    points = line(name) + CENTRE
    nodes = np.vstack([b.points_lps_mm for b in result.branches])
    kinds = np.concatenate([np.full(len(b.points_lps_mm), b.kind) for b in result.branches])
    apart, which = cKDTree(nodes).query(points)
    near = apart <= 4.0
    return float(near.mean()), float((kinds[which[near]] == TREES[name][0]).mean())


def test_the_phantoms_trees_are_found_and_told_apart() -> None:
    shares = {name: nearest_kinds(found(), name) for name in TREES}
    # ends wear off by a radius, joints belong to either vessel
    assert min(near for near, _ in shares.values()) >= 0.75, shares
    assert min(right for _, right in shares.values()) >= 0.85, shares
    assert found().confidence["portal"] >= 0.5
    assert found().confidence["hepatic"] >= 0.5


def test_radii_are_the_phantoms() -> None:
    for name in ("right", "middle vein", "8"):
        points = line(name)[8:-8] + CENTRE
        nodes = np.vstack([b.points_lps_mm for b in found().branches])
        radius = np.concatenate([b.radius_mm for b in found().branches])
        apart, which = cKDTree(nodes).query(points)
        # working voxels of 1.5 mm: surface and centre each within half a voxel
        assert float(np.median(radius[which[apart < 4]])) == pytest.approx(TREES[name][2], abs=1.2)


def test_main_branches_are_named_by_what_they_feed_and_where_they_run() -> None:
    main = found().main
    for name, vessel in (
        ("right portal vein", "right"),
        ("right hepatic vein", "right vein"),
        ("middle hepatic vein", "middle vein"),
        ("left hepatic vein", "left vein"),
    ):
        nodes = np.vstack([found().branch(n).points_lps_mm for n in main[name]])
        half = line(vessel)
        middle = half[len(half) // 3 : 2 * len(half) // 3] + CENTRE
        assert float(np.median(cKDTree(nodes).query(middle)[0])) <= 3.0, name
    left = [*main.get("left portal vein", ()), *main.get("umbilical portion", ())]
    nodes = np.vstack([found().branch(n).points_lps_mm for n in left])
    assert float(np.median(cKDTree(nodes).query(line("left")[10:] + CENTRE)[0])) <= 3.0


def test_trees_hang_together_and_labels_match_branches() -> None:
    result = found()
    for branch in result.branches:
        assert result.branch(branch.number) is branch
        if branch.parent:
            parent = result.branch(branch.parent)
            assert parent.kind == branch.kind
            assert parent.number < branch.number
            gap = float(np.linalg.norm(parent.points_lps_mm - branch.points_lps_mm[0], axis=1).min())
            assert gap <= 13.0
    for kind in (1, 2):
        for root in (b for b in result.of_kind(kind) if b.parent == 0):
            assert {result.branch(n).kind for n in downstream(result.branches, root.number)} == {kind}
    labels, numbers = result.segmentation.labels, result.branch_labels.labels
    assert ((labels > 0) == (numbers > 0)).all()
    kind_of = np.array([0] + [b.kind for b in result.branches])
    assert (kind_of[numbers] == labels).all()
    assert not labels[phantom().liver.labels == 0].any()
    truth = phantom().vessels.labels
    away = ndimage.distance_transform_edt(truth == 0, sampling=phantom().grid.spacing_mm)
    assert float((away[labels > 0] <= 1.6).mean()) >= 0.95
    assert float((labels[truth > 0] > 0).mean()) >= 0.6


def test_a_given_mask_is_kept_and_gets_its_tree() -> None:
    result = vessels_of_mask(phantom().vessels, phantom().liver, reading=phantom().reading)
    np.testing.assert_array_equal(result.segmentation.labels, phantom().vessels.labels)
    assert {b.kind for b in result.branches} == {1, 2}
    assert "middle hepatic vein" in result.main
    wrong = Segmentation(phantom().vessels.labels * np.uint8(3), phantom().grid, {3: "x", 6: "y"})
    with pytest.raises(ScanError, match="1 portal vein"):
        vessels_of_mask(wrong, phantom().liver, reading=phantom().reading)


def test_what_shows_no_vessels_is_said_to_show_none() -> None:
    flat = VesselPhantom(seed=1, vessel_hu=100.0)
    result = segment_vessels(flat.scan, flat.liver, reading=flat.reading)
    assert not result.segmentation.labels.any() or result.confidence["portal"] < 0.5
    assert result.warnings
    none = segment_vessels({Phase.NATIVE: flat.scan.with_phase(Phase.NATIVE)}, flat.liver, reading=flat.reading)
    assert none.branches == ()
    assert "no portal-venous" in none.warnings[0]
    assert dict(none.confidence) == {"portal": 0.0, "hepatic": 0.0}


def test_a_large_dark_tumour_does_not_hide_the_vessels() -> None:
    plain = vessel_field(phantom().scan, phantom().liver)
    voxels = phantom().scan.voxels.copy()
    points = phantom().grid.index_to_lps(np.moveaxis(np.indices(voxels.shape), 0, -1)) - CENTRE
    tumour = (np.linalg.norm(points - (-50, 5, -5), axis=-1) < 44.0) & (phantom().liver.labels > 0)
    assert 0.15 < tumour.sum() / np.count_nonzero(phantom().liver.labels) < 0.3
    voxels[tumour] -= 45
    scan = Scan(voxels, phantom().grid, phase=Phase.PORTAL_VENOUS)
    spoilt = vessel_field(scan, phantom().liver)
    assert plain is not None
    assert spoilt is not None
    assert spoilt.sigma == pytest.approx(plain.sigma, rel=0.25)
    result = segment_vessels(scan, phantom().liver, reading=phantom().reading)
    shares = {name: nearest_kinds(result, name)[0] for name in ("left", "2", "3", "4", "middle vein", "left vein")}
    assert min(shares.values()) >= 0.75, shares


def test_mr_is_read_with_a_warning_and_other_grids_are_refused() -> None:
    scan = Scan(phantom().scan.voxels, phantom().grid, "MR", "T1", Phase.PORTAL_VENOUS)
    result = segment_vessels(scan, phantom().liver, reading=phantom().reading)
    assert any("not been validated" in w for w in result.warnings)
    other = Grid.from_parts((4, 5, 6), (1.0, 1.0, 1.0))
    with pytest.raises(GridError):
        segment_vessels(Scan(np.zeros((4, 5, 6), np.int16), other), phantom().liver)
    with pytest.raises(ScanError, match="empty"):
        segment_vessels(phantom().scan, Segmentation(np.zeros(phantom().grid.shape_zyx, np.uint8), phantom().grid, {}))


def test_real_vessel_shapes_painted_into_a_scan_are_found(shared: Path) -> None:
    truth = read_labels(shared / "labels" / "vessels" / "msd_022.nii.gz")
    step = (slice(None, None, 2),) * 3
    grid = Grid.from_matrix(truth.labels[step].shape, truth.grid.matrix @ np.diag([2.0, 2.0, 2.0, 1.0]))
    labels = np.ascontiguousarray(truth.labels[step])
    values = np.select([labels == 2, labels == 1], [165.0, 105.0], -60.0)
    values = ndimage.gaussian_filter(values, 0.5) + np.random.default_rng(2).normal(0, 10, labels.shape)
    liver = Segmentation((labels > 0).view(np.uint8), grid, {1: "liver"})
    result = segment_vessels(Scan(values.astype(np.int16), grid, phase=Phase.PORTAL_VENOUS), liver)
    mine, theirs = result.segmentation.labels > 0, labels == 2
    away = ndimage.distance_transform_edt(~theirs, sampling=grid.spacing_mm)
    assert float((away[mine] <= 2.0).mean()) >= 0.9
    # found: 0.83; pieces bridged only to each other are joined to the rest
    assert float((ndimage.distance_transform_edt(~mine, sampling=grid.spacing_mm)[theirs] <= 2.0).mean()) >= 0.75
    # these maps stop before the roots and are in pieces: kinds cannot be told, and that is said
    assert min(result.confidence.values()) < 0.5
    assert result.warnings


def test_a_real_scan_with_annotated_vessels(shared: Path) -> None:
    folder = shared / "scans" / "train_ct" / "lits_010"
    scan, segments = read_image(folder / "ct.nii.gz"), read_labels(folder / "couinaud.nii.gz")
    assert isinstance(scan, Scan)
    liver = Segmentation((segments.labels > 0).view(np.uint8), scan.grid, {1: "liver"})
    result = segment_vessels(scan, liver)
    truth = (read_labels(folder / "vessel.nii.gz").labels > 0) & (liver.labels > 0)
    mine = result.segmentation.labels > 0
    spacing = scan.grid.spacing_mm
    # found: 0.91 of the vessel voxels lie within 2 mm of annotated ones, 0.69 of the annotated within 2 mm of ours
    assert float((ndimage.distance_transform_edt(~truth, sampling=spacing)[mine] <= 2.0).mean()) >= 0.85
    assert float((ndimage.distance_transform_edt(~mine, sampling=spacing)[truth] <= 2.0).mean()) >= 0.55
