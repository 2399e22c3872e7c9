"""The liver on generated and real scans, and what is refused."""

from __future__ import annotations

import functools
import sys

import numpy as np
import pytest

from livervol.assets import sample_scans_folder
from livervol.errors import ScanError
from livervol.grid import Grid
from livervol.io.images import read_image, read_labels
from livervol.scan import Scan
from livervol.segment.liver import CONSENT, SOFT_DICE, confidence_of, segment_liver

sys.path.insert(0, str(sample_scans_folder()))
from phantom import phantom_masks

GRID = Grid.from_parts((60, 150, 170), (4.0, 2.2, 2.1), (-170.0, -160.0, -100.0))


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def away_mm(scale=(1.0, 1.0, 1.0)):
    index = np.stack(np.meshgrid(*map(np.arange, GRID.shape_zyx), indexing="ij"), axis=-1)
    return np.linalg.norm((index - np.array(GRID.shape_zyx) / 2) * GRID.spacing_mm / scale, axis=-1)


@functools.cache
def sample(name, modality, sequence):
    scan = read_image(sample_scans_folder() / name, modality=modality, sequence=sequence)
    return scan, segment_liver(scan)


@pytest.mark.parametrize(
    ("name", "modality", "sequence", "least"),
    [
        ("oblique/portal_venous.nii.gz", "CT", "CT", 0.88),
        ("mr/t1_portal_venous.nii.gz", "MR", "T1", 0.85),
        ("mr/t2.nii.gz", "MR", "T2", 0.75),
    ],
)
def test_liver_of_the_samples(name, modality, sequence, least):
    scan, found = sample(name, modality, sequence)
    truth = phantom_masks(1, scan.grid, shift_lps_mm=(0.0, 0.0, 0.0)).liver > 0
    assert dice(found.segmentation.mask(), truth) >= least
    assert found.segmentation.grid == scan.grid
    assert dict(found.segmentation.names) == {1: "liver"}
    assert 0 <= found.confidence <= 1
    assert found.uncertain.grid == scan.grid
    assert dict(found.uncertain.names) == {1: "uncertain"}
    # doubt lives along the outline: most of the liver is beyond it, and none is far from it
    assert 0 < np.count_nonzero(found.uncertain.mask() & truth) < 0.5 * np.count_nonzero(truth)
    assert found.facts["volume_ml"] == pytest.approx(found.segmentation.mask().sum() * scan.grid.voxel_ml)


@pytest.mark.parametrize(
    ("name", "voxels"),
    [
        ("noise", np.random.default_rng(3).normal(0, 300, GRID.shape_zyx)),
        ("air", np.full(GRID.shape_zyx, -1000.0)),
        ("ball of water", np.where(away_mm() < 100, 0.0, -1000.0)),
        (
            "water in the shape of a body",
            np.where(away_mm((1e9, 1.1, 1.5)) < 100, 40.0, -1000.0)
            + np.random.default_rng(4).normal(0, 10, GRID.shape_zyx),
        ),
    ],
)
def test_no_liver_is_refused_with_a_reason(name, voxels):
    with pytest.raises(ScanError, match=r"expected .*got .*--liver"):
        segment_liver(Scan(voxels.astype(np.int16), GRID))


def test_confidence_grows_with_both_kinds_of_agreement():
    assert confidence_of(1.0, 1.0) == 1.0
    assert confidence_of(SOFT_DICE[0], 1.0) == confidence_of(1.0, CONSENT[0]) == 0.5
    assert confidence_of(SOFT_DICE[0], 0.0) == 0.0
    # half way in one of the two, full in the other
    assert confidence_of(sum(SOFT_DICE) / 2, 1.0) == pytest.approx(0.75)
    assert confidence_of(1.0, sum(CONSENT) / 2) == pytest.approx(0.75)


def test_a_volume_turned_upside_down_is_refused():
    scan = read_image(sample_scans_folder() / "mr" / "t1_portal_venous.nii.gz", modality="MR", sequence="T1")
    turned = Scan(np.ascontiguousarray(scan.voxels[::-1, :, ::-1]), scan.grid, "MR", "T1")
    with pytest.raises(ScanError, match=r"expected (the|a patient the way|network and atlas at one place).*--liver"):
        segment_liver(turned)


def test_same_scan_same_mask():
    _, one = sample("mr/t2.nii.gz", "MR", "T2")
    _, two = sample.__wrapped__("mr/t2.nii.gz", "MR", "T2")
    assert np.array_equal(one.segmentation.labels, two.segmentation.labels)
    assert one.confidence == two.confidence


@pytest.mark.parametrize(
    ("case", "modality", "file", "label", "value", "least"),
    [
        ("train_ct/sabs_01", "CT", "ct", "organs", 6, 0.90),
        ("chaos_mr_03", "MR", "t2spir", "organs", 1, 0.70),
    ],
)
def test_liver_of_real_scans(shared, case, modality, file, label, value, least):
    folder = shared / "scans" / case
    scan = read_image(folder / f"{file}.nii.gz", modality=modality, sequence="CT" if modality == "CT" else "T2")
    truth = read_labels(folder / f"{label}.nii.gz").mask(value)
    assert dice(segment_liver(scan).segmentation.mask(), truth) >= least
