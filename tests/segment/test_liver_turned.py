"""Scans whose header tells the wrong way up are known by the atlas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from livervol.errors import ScanError
from livervol.grid import Grid
from livervol.io.images import read_image
from livervol.segment.body import straight_scan
from livervol.segment.liver import segment_liver
from livervol.segment.liver_net import LATTICE_MM
from livervol.segment.liver_prior import load_prior
from livervol.segment.liver_turned import better_turned


def turned(scan, way):
    voxels = np.ascontiguousarray(way(scan.voxels))
    spacing = scan.grid.spacing_mm
    if voxels.shape != scan.voxels.shape:
        spacing = (spacing[0], spacing[2], spacing[1])
    return replace(scan, voxels=voxels, grid=Grid.from_parts(voxels.shape, spacing, scan.grid.origin_lps_mm))


@pytest.fixture(scope="module")
def scan(shared):
    return read_image(shared / "scans" / "train_ct" / "sabs_11" / "ct.nii.gz", modality="CT")


@pytest.mark.parametrize(
    ("way", "found"),
    [
        (lambda a: a, None),
        (lambda a: np.rot90(a, 1, (1, 2)), "turned a quarter round its long axis the other way"),
    ],
    ids=["as it is", "a quarter turn"],
)
def test_the_way_back_is_named(scan, way, found):
    assert better_turned(straight_scan(turned(scan, way), LATTICE_MM), load_prior()) == found


def test_a_mirrored_scan_is_refused_with_the_way_back(scan):
    with pytest.raises(ScanError, match=r"no credible liver in the scan: .*(mirrored left to right|the other side)"):
        segment_liver(turned(scan, lambda a: a[:, :, ::-1]))
