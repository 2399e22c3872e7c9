from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from conftest import oblique_grid
from livervol.align import align
from livervol.errors import GridError, ScanError
from livervol.grid import Grid
from livervol.scan import Phase, Scan, Segmentation, Source

SHAPE, SPACING = (28, 60, 64), (4.0, 2.4, 2.2)


def textured(seed=1, contrast=1.0):
    """Smooth random tissue (blobs of about 10 mm) in an ellipsoid; ``contrast`` scales it as another phase would."""
    grid = oblique_grid(SHAPE, SPACING)
    tissue = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), [10 / s for s in SPACING])
    tissue *= 60 / np.abs(tissue).max()
    z, y, x = (np.linspace(-1, 1, n) for n in SHAPE)
    inside = (z[:, None, None] / 0.9) ** 2 + (y[:, None] / 0.8) ** 2 + (x / 0.85) ** 2 <= 1
    values = np.where(inside, 60 + contrast * tissue, -90)
    noise = np.random.default_rng(seed + 7).normal(0, 3, SHAPE)
    return Scan((values + noise).astype(np.float32), grid), Segmentation(inside.astype(np.uint8), grid, {1: "liver"})


def moved(scan, shift_mm):
    matrix = scan.grid.matrix
    matrix[:3, 3] += shift_mm
    return replace(scan, grid=Grid.from_matrix(scan.grid.shape_zyx, matrix, scan.grid.frame))


@pytest.mark.parametrize("with_mask", [True, False])
def test_a_known_shift_is_found(with_mask):
    fixed, mask = textured()
    other, _ = textured(contrast=-0.7)
    shift = np.array([5.0, -4.0, 6.0])
    result = align(moved(other, shift), fixed, mask=mask if with_mask else None)
    assert result.method == "rigid"
    # corners of the region move by the shift; a tenth of a voxel of rotation error at 90 mm adds under 1 mm
    assert result.shift_mm == pytest.approx(np.linalg.norm(shift), abs=1.0)
    assert result.information_after > 1.01 * result.information_before
    inner = ndimage.binary_erosion(mask.mask(), iterations=3)
    back = result.scan.voxels[inner] - other.voxels[inner]
    # a misfit of 0.5 mm in tissue that changes by at most 3 HU per mm, plus interpolated noise of 3 HU
    assert np.abs(np.median(back)) < 0.5
    assert back.std() < 5.0
    assert result.scan.grid == fixed.grid


def test_scans_in_place_stay_voxel_for_voxel():
    fixed, mask = textured()
    other, _ = textured(contrast=0.8)
    result = align(other, fixed, mask=mask)
    assert result.method == "header geometry"
    assert result.shift_mm == 0
    assert result.information_after == result.information_before
    np.testing.assert_array_equal(result.scan.voxels, other.voxels)
    assert result.usable_for_subtraction
    assert result.warnings == ()


def test_the_same_twice():
    fixed, mask = textured()
    other = moved(textured(contrast=-0.7)[0], [3.0, 2.0, -4.0])
    first, second = align(other, fixed, mask=mask), align(other, fixed, mask=mask)
    assert first.shift_mm == second.shift_mm
    np.testing.assert_array_equal(first.scan.voxels, second.scan.voxels)


def test_a_shift_too_large_to_be_breathing_is_refused():
    fixed, _ = textured()
    result = align(moved(textured(seed=9)[0], [0.0, 0.0, 45.0]), moved(fixed, [0.0, 0.0, 0.0]))
    assert result.shift_mm < 40
    assert result.information_after >= result.information_before


def test_no_overlap_is_refused():
    fixed, mask = textured()
    with pytest.raises(GridError, match="fields of view do not overlap"):
        align(moved(fixed, [0.0, 0.0, 400.0]), fixed, mask=mask)
    with pytest.raises(GridError, match="fields of view do not overlap"):
        align(moved(fixed, [0.0, 0.0, 400.0]), fixed)


def test_different_frames_are_centred_first():
    fixed, mask = textured()
    fixed = replace(fixed, grid=replace(fixed.grid, frame="1.2"))
    mask = replace(mask, grid=fixed.grid)
    other = moved(textured(contrast=-0.7)[0], [300.0, -200.0, 500.0])
    other = replace(other, grid=replace(other.grid, frame="1.3"))
    result = align(other, fixed, mask=mask)
    assert any("centred on each other" in w for w in result.warnings)
    inner = ndimage.binary_erosion(mask.mask(), iterations=3)
    best = np.corrcoef(textured(contrast=-0.7)[0].voxels[inner], fixed.voxels[inner])[0, 1]
    assert best < -0.6
    assert np.corrcoef(result.scan.voxels[inner], fixed.voxels[inner])[0, 1] < 0.9 * best
    near = replace(textured()[0], grid=other.grid)
    near = replace(near, grid=replace(fixed.grid, frame="1.3"))
    assert any("taken as comparable" in w for w in align(near, fixed, mask=mask).warnings)


def test_thick_slices_are_not_subtracted():
    fixed, mask = textured()

    def every(step):
        grid = Grid.from_parts(
            [len(range(0, SHAPE[0], step)), *SHAPE[1:]],
            (SPACING[0] * step, *SPACING[1:]),
            fixed.grid.origin_lps_mm,
            fixed.grid.directions,
        )
        return Scan(fixed.voxels[::step], grid, phase=Phase.NATIVE)

    twice = align(every(2), fixed, mask=mask)
    assert not any("twice as coarse" in w for w in twice.warnings)
    thrice = align(every(3), fixed, mask=mask)
    assert not thrice.usable_for_subtraction
    assert any("twice as coarse" in w for w in thrice.warnings)


def test_tube_voltage_and_sequence_must_agree():
    fixed, mask = textured()

    def at(kvp):
        return replace(fixed, source=Source(hints={"kvp": kvp}))

    assert align(at("120"), at("120"), mask=mask).usable_for_subtraction
    other = align(at("100"), at("120"), mask=mask)
    assert not other.usable_for_subtraction
    assert any("tube voltages differ" in w for w in other.warnings)
    t1, t2 = (replace(fixed, modality="MR", sequence=s) for s in ("T1", "T2"))
    assert align(t1, t1, mask=mask).usable_for_subtraction
    assert any("different sequences" in w for w in align(t2, t1, mask=mask).warnings)


def test_a_region_that_leaves_the_field_is_reported():
    fixed, mask = textured()
    lower = Scan(fixed.voxels[:20], fixed.grid.crop((0, 0, 0), (20, *SHAPE[1:])))
    result = align(lower, fixed, mask=mask)
    assert result.overlap_percent == pytest.approx(100 * mask.labels[:20].sum() / mask.labels.sum(), abs=2)
    assert not result.usable_for_subtraction


def test_a_constant_scan_says_so():
    fixed, mask = textured()
    flat = replace(fixed, voxels=np.full(SHAPE, 50.0, np.float32))
    result = align(flat, fixed, mask=mask)
    assert result.method == "header geometry"


def test_modality_and_mask_grid():
    fixed, mask = textured()
    with pytest.raises(ScanError, match="modalities differ"):
        align(replace(fixed, modality="MR", sequence="T1"), fixed)
    with pytest.raises(GridError, match="not on the scan's grid"):
        align(fixed, fixed, mask=replace(mask, grid=moved(fixed, [1.0, 0, 0]).grid))
