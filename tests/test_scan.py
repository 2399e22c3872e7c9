from __future__ import annotations

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import GridError, ScanError
from livervol.grid import Grid
from livervol.scan import Phase, Scan, Segmentation


def test_scan_is_read_only_and_keeps_its_facts(awkward_grid):
    voxels = np.arange(7 * 8 * 9, dtype=np.int16).reshape(7, 8, 9)
    scan = Scan(voxels, awkward_grid, phase="late_arterial")
    assert scan.phase is Phase.LATE_ARTERIAL
    with pytest.raises(ValueError, match="read-only"):
        scan.voxels[0, 0, 0] = 1
    assert scan.with_phase(Phase.NATIVE).phase is Phase.NATIVE


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"voxels": np.zeros((7, 9, 8), np.int16)}, GridError, r"\(7, 8, 9\), got \(7, 9, 8\)"),
        ({"voxels": np.zeros((7, 8, 9), complex)}, ScanError, "complex128"),
        ({"modality": "PT"}, ScanError, "CT or MR, got PT"),
        ({"sequence": "FLAIR"}, ScanError, "got FLAIR"),
        ({"phase": "venous"}, ValueError, "venous"),
    ],
)
def test_scan_refusals(awkward_grid, change, error, message):
    fields = {"voxels": np.zeros((7, 8, 9), np.int16), "grid": awkward_grid} | change
    with pytest.raises(error, match=message):
        Scan(**fields)


def test_every_label_is_named(awkward_grid):
    labels = np.zeros((7, 8, 9), np.uint8)
    labels[1, 2, 3], labels[6, 7, 8] = 1, 4
    with pytest.raises(ScanError, match=r"unnamed \[4\]"):
        Segmentation(labels, awkward_grid, {1: "lesion 1"})
    segmentation = Segmentation(labels, awkward_grid, {1: "lesion 1", 4: "lesion 4"})
    assert segmentation.mask().sum() == 2
    assert np.argwhere(segmentation.mask(4)).tolist() == [[6, 7, 8]]


@pytest.mark.parametrize(("value", "dtype"), [(255, np.uint8), (256, np.uint16), (65535, np.uint16)])
def test_labels_get_the_smallest_type_that_holds_them(awkward_grid, value, dtype):
    labels = np.zeros((7, 8, 9), np.int64)
    labels[0, 0, 0] = value
    assert Segmentation(labels, awkward_grid, {value: "x"}).labels.dtype == dtype


@pytest.mark.parametrize("value", [-1, 65536])
def test_label_overflow_is_refused(awkward_grid, value):
    labels = np.zeros((7, 8, 9), np.int64)
    labels[0, 0, 0] = value
    with pytest.raises(ScanError, match="label overflow"):
        Segmentation(labels, awkward_grid, {value: "x"})


def test_float_labels_are_refused(awkward_grid):
    with pytest.raises(ScanError, match="whole numbers"):
        Segmentation(np.zeros((7, 8, 9)), awkward_grid, {})


def test_require_grid_names_both_sides(awkward_grid):
    segmentation = Segmentation(np.zeros((7, 8, 9), bool), awkward_grid, {})
    segmentation.require_grid(oblique_grid())
    with pytest.raises(GridError, match=r"2\.50x0\.80x0\.71 mm, got .*2\.50x0\.80x0\.70 mm.*resampled\(grid\)"):
        segmentation.require_grid(oblique_grid(spacing_mm=(2.5, 0.8, 0.71)))


def test_resampling_reproduces_a_linear_field():
    grid = oblique_grid((12, 14, 16), (2.5, 1.7, 1.3))
    slope = np.array([0.7, -0.4, 0.9])
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape_zyx), indexing="ij"), axis=-1)
    scan = Scan((grid.index_to_lps(index) @ slope).astype(np.float64), grid)
    target = Grid.from_matrix((5, 6, 7), oblique_grid((5, 6, 7), (1.9, 2.0, 1.1), (3, -5, 9)).matrix)
    matrix = target.matrix
    matrix[:3, 3] = grid.index_to_lps((3, 4, 5))
    target = Grid.from_matrix((5, 4, 3), matrix)
    got = scan.resampled(target)
    index = np.stack(np.meshgrid(*map(np.arange, target.shape_zyx), indexing="ij"), axis=-1)
    assert got.grid == target
    assert np.allclose(got.voxels, target.index_to_lps(index) @ slope, atol=1e-6)


def test_resampled_labels_follow_the_patient_through_a_flip(awkward_grid):
    labels = np.zeros((7, 8, 9), np.uint16)
    labels[1, 2, 3] = 7
    segmentation = Segmentation(labels, awkward_grid, {7: "lesion 7"})
    order = Grid.from_matrix((7, 8, 9), awkward_grid.matrix)
    flipped = order.matrix
    flipped[:3, 2] *= -1
    flipped[:3, 3] = order.index_to_lps((0, 0, 8))
    got = segmentation.resampled(Grid.from_matrix((7, 8, 9), flipped))
    assert np.argwhere(got.labels == 7).tolist() == [[1, 2, 5]]
    assert got.labels.dtype == np.uint16
