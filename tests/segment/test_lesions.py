import math

import numpy as np
import pytest
from scipy import ndimage

from liver_phantom import GRID, SHAPE, SPACING, Abdomen
from livervol.errors import GridError, ScanError
from livervol.grid import Grid
from livervol.io.nifti import read_nifti, read_nifti_labels
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.lesion_blobs import find_blobs
from livervol.segment.lesion_tissue import liver_tissue, work_grid
from livervol.segment.lesions import MIN_DIAMETER_MM, segment_lesions

A = Abdomen()
VESSELS = A.tube(-10, -20, 12)
SPOTS = {30: (10.0, -25.0, 32.0), 20: (-28.0, 15.0, 10.0), 14: (20.0, 22.0, -40.0)}
BALLS = {d: A.ball(c, d) for d, c in SPOTS.items()}


def found(result, truth):
    """Numbers of the lesions that share a voxel with a mask."""
    return {int(v) for v in np.unique(result.segmentation.labels[truth])} - {0}


def test_dark_lesions_of_three_sizes_are_found_and_vessels_are_not():
    scan = A.scan(110, [(VESSELS, 170), *((b, 60) for b in BALLS.values())])
    result = segment_lesions({Phase.PORTAL_VENOUS: scan}, A.mask)
    labels = result.segmentation.labels
    assert [found(result, BALLS[d]) for d in (30, 20, 14)] == [{1}, {2}, {3}]
    assert labels.max() == 3
    assert dict(result.segmentation.names) == {1: "lesion 1", 2: "lesion 2", 3: "lesion 3"}
    for number, d in enumerate((30, 20, 14), 1):
        # the outline at half contrast keeps a ball's radius but for its curvature under 2 mm of blur and the working
        # voxel of 2 mm: half a voxel, 1 mm, either way
        radius = (3 * (labels == number).sum() * GRID.voxel_ml * 1000 / (4 * math.pi)) ** (1 / 3)
        assert radius == pytest.approx(d / 2, abs=1.0)
        assert 0.5 < result.confidence[number] <= 1
        assert result.phases[number] == (Phase.PORTAL_VENOUS,)
    assert result.warnings == ()
    assert not labels[~A.liver].any()


def test_numbers_follow_volume_whatever_the_place():
    scan = A.scan(110, [(A.ball((10, -25, 32), 14), 60), (A.ball((20, 22, -40), 28), 60)])
    result = segment_lesions({Phase.PORTAL_VENOUS: scan}, A.mask)
    volumes = np.bincount(result.segmentation.labels.ravel())[1:]
    assert len(volumes) == 2
    assert volumes[0] > volumes[1]
    assert found(result, A.ball((20, 22, -40), 20)) == {1}


def test_a_healthy_liver_has_none():
    for vessel_hu in (110, 170):
        result = segment_lesions({Phase.PORTAL_VENOUS: A.scan(110, [(VESSELS, vessel_hu)], seed=4)}, A.mask)
        assert not result.segmentation.labels.any()
        assert dict(result.confidence) == {}


def test_below_the_least_size_nothing_is_reported():
    small = A.ball((10, -25, 32), 0.6 * MIN_DIAMETER_MM)
    result = segment_lesions({Phase.PORTAL_VENOUS: A.scan(110, [(small, 40)])}, A.mask)
    assert not result.segmentation.labels.any()


def test_faint_differences_are_not_lesions():
    # 3 HU is within the noise after any smoothing that still resolves the ball
    result = segment_lesions({Phase.PORTAL_VENOUS: A.scan(110, [(BALLS[20], 107)])}, A.mask)
    assert not result.segmentation.labels.any()


def test_bright_lesions_count_in_the_arterial_phase():
    bright = [(BALLS[20], 125), (BALLS[30], 125)]
    result = segment_lesions({Phase.LATE_ARTERIAL: A.scan(70, bright, Phase.LATE_ARTERIAL)}, A.mask)
    assert found(result, BALLS[30]) == {1}
    assert found(result, BALLS[20]) == {2}
    assert result.segmentation.labels.max() == 2


def test_dark_tubes_of_the_arterial_phase_are_hepatic_veins():
    arterial = A.scan(100, [(VESSELS, 60), (BALLS[20], 55)], Phase.LATE_ARTERIAL)
    portal = A.scan(110, [(VESSELS, 170), (BALLS[20], 60)])
    result = segment_lesions({Phase.LATE_ARTERIAL: arterial, Phase.PORTAL_VENOUS: portal}, A.mask)
    assert result.segmentation.labels.max() == 1
    assert found(result, BALLS[20]) == {1}
    assert set(result.phases[1]) == {Phase.LATE_ARTERIAL, Phase.PORTAL_VENOUS}


def test_two_phases_that_agree_are_surer():
    arterial = A.scan(100, [(BALLS[20], 55)], Phase.LATE_ARTERIAL)
    portal = A.scan(110, [(BALLS[20], 60)])
    alone = segment_lesions({Phase.PORTAL_VENOUS: portal}, A.mask).confidence[1]
    assert segment_lesions({Phase.PORTAL_VENOUS: portal, Phase.LATE_ARTERIAL: arterial}, A.mask).confidence[1] > alone


def test_fissures_with_fat_are_not_lesions():
    sheet = A.liver & (np.abs(A.x - 10) < 3) & (A.y < -20) & (np.abs(A.z) < 30)
    blob = A.ball((0, 30, 0), 14)
    scan = A.scan(110, [(sheet, -80), (blob, -60)])
    assert not segment_lesions({Phase.PORTAL_VENOUS: scan}, A.mask).segmentation.labels.any()


@pytest.mark.parametrize(("hu", "is_cyst"), [(8, True), (27, False)])
def test_simple_cysts_are_left_out_and_named(hu, is_cyst):
    phases = {
        Phase.PORTAL_VENOUS: A.scan(110, [(BALLS[30], hu)]),
        Phase.NATIVE: A.scan(55, [(BALLS[30], hu)], Phase.NATIVE, seed=2),
    }
    result = segment_lesions(phases, A.mask)
    assert bool(result.segmentation.labels.max() == 0) is is_cyst
    assert any("cyst-like" in w for w in result.warnings) is is_cyst


def test_water_that_enhances_is_no_cyst():
    phases = {
        Phase.PORTAL_VENOUS: A.scan(110, [(BALLS[30], 18)]),
        Phase.NATIVE: A.scan(55, [(BALLS[30], 4)], Phase.NATIVE, seed=2),
    }
    assert segment_lesions(phases, A.mask).segmentation.labels.max() == 1


def test_a_large_mixed_lesion_is_one_lesion():
    mass = A.ball((5, 5, 20), 72) & A.liver
    rng = np.random.default_rng(8)
    texture = ndimage.gaussian_filter(rng.normal(size=SHAPE), [5 / s for s in SPACING])
    mixed = np.where(texture > 0, 145, 62)
    scan = A.scan(105, [(mass, mixed)], Phase.LATE_ARTERIAL)
    result = segment_lesions({Phase.LATE_ARTERIAL: scan}, A.mask)
    one = result.segmentation.labels == 1
    # the share of odd voxels is averaged over 5 mm: the outline is good to that
    dice = 2 * (one & mass).sum() / (one.sum() + mass.sum())
    assert dice > 0.85


def test_a_dead_core_is_outlined_with_its_living_rim():
    whole, core = A.ball((10, -25, 32), 44), A.ball((10, -25, 32), 24)
    phases = {
        Phase.LATE_ARTERIAL: A.scan(75, [(whole, 115), (core, 25)], Phase.LATE_ARTERIAL),
        Phase.PORTAL_VENOUS: A.scan(110, [(whole, 98), (core, 35)], seed=2),
    }
    labels = segment_lesions(phases, A.mask).segmentation.labels
    assert labels.max() == 1
    # rays stop on the working grid of 2 mm: a millimetre either way of a radius of 22 mm is 13 % of the volume
    assert 2 * ((labels == 1) & whole).sum() / ((labels == 1).sum() + whole.sum()) > 0.85


def test_tissue_just_like_liver_in_a_bright_rim_is_a_lesion_and_a_fork_of_vessels_is_none():
    whole, inner = A.ball((10, -25, 32), 40), A.ball((10, -25, 32), 33)
    arms = A.tube(-10, -20, 8) | A.tube(-16, -20, 8) | A.tube(-10, -28, 8)
    phases = {
        Phase.LATE_ARTERIAL: A.scan(75, [(whole, 110), (inner, 75), (arms, 110)], Phase.LATE_ARTERIAL),
        Phase.PORTAL_VENOUS: A.scan(110, [(whole, 135), (inner, 108), (arms, 160)], seed=2),
    }
    labels = segment_lesions(phases, A.mask).segmentation.labels
    assert labels.max() == 1
    assert 2 * ((labels == 1) & whole).sum() / ((labels == 1).sum() + whole.sum()) > 0.8


def test_strong_noise_hides_no_large_lesion():
    rng = np.random.default_rng(3)
    mass = A.ball((5, 5, 20), 44) & A.liver
    quiet = A.scan(110, [(mass, 55), (VESSELS, 170)])
    noisy = Scan((quiet.voxels + rng.normal(0, 60, SHAPE)).astype(np.float32), GRID, phase=Phase.PORTAL_VENOUS)
    tissue = liver_tissue(noisy, work_grid(A.mask))
    # noise neither passes for fat nor makes the parenchyma's scatter as wide as the lesion's contrast
    assert tissue.smooth_mm > liver_tissue(quiet, work_grid(A.mask)).smooth_mm
    assert tissue.inside.sum() > 0.9 * work_grid(A.mask).liver.sum()
    result = segment_lesions({Phase.PORTAL_VENOUS: noisy}, A.mask)
    assert (result.segmentation.labels[mass] > 0).mean() > 0.7
    assert any("small or faint lesions may be missed" in warning for warning in result.warnings)


def test_lipiodol_is_reported():
    treated = [(BALLS[30], 60), (A.ball(SPOTS[30], 16), 400)]
    phases = {
        Phase.LATE_ARTERIAL: A.scan(90, treated, Phase.LATE_ARTERIAL),
        Phase.NATIVE: A.scan(55, [(BALLS[30], 40), (A.ball(SPOTS[30], 16), 400)], Phase.NATIVE),
    }
    result = segment_lesions(phases, A.mask)
    assert any("dense like lipiodol" in w for w in result.warnings)


def test_mr_of_any_scale_gives_the_same_lesions():
    bright = A.scan(100, [(BALLS[20], 160)], Phase.UNKNOWN)
    results = []
    for scale in (1.0, 7.5):
        t2 = Scan((np.maximum(bright.voxels, 0) * scale).astype(np.float32), GRID, "MR", "T2")
        results.append(segment_lesions({Phase.UNKNOWN: t2}, A.mask).segmentation.labels)
    assert results[0].max() == 1
    agree = 2 * ((results[0] > 0) & (results[1] > 0)).sum() / ((results[0] > 0).sum() + (results[1] > 0).sum())
    assert agree > 0.99


def test_refusals():
    scan = A.scan(110, [])
    with pytest.raises(ScanError, match="no scan to look for lesions in"):
        segment_lesions({}, A.mask)
    tiny = Segmentation(A.ball((0, 0, 0), 40).astype(np.uint8), GRID, {1: "liver"})
    with pytest.raises(ScanError, match="liver is too small to judge: expected at least 100 ml"):
        segment_lesions({Phase.PORTAL_VENOUS: scan}, tiny)
    elsewhere = Scan(scan.voxels, Grid.from_parts(SHAPE, SPACING))
    with pytest.raises(GridError, match="not on the scan's grid"):
        segment_lesions({Phase.PORTAL_VENOUS: elsewhere}, A.mask)
    fat = Scan(np.full(SHAPE, -90, np.int16), GRID)
    with pytest.raises(ScanError, match="no liver tissue to learn from"):
        segment_lesions({Phase.PORTAL_VENOUS: fat}, A.mask)


def test_blobs_are_balls_not_tubes_or_sheets():
    z, y, x = (np.arange(n) * 2.0 for n in (40, 44, 48))
    z, y, x = z[:, None, None] - 40, y[None, :, None] - 44, x[None, None, :] - 48
    depth = np.full((40, 44, 48), 20.0, np.float32)
    noise = np.random.default_rng(1).normal(0, 1.0, depth.shape)
    shapes = {
        "ball": z**2 + y**2 + x**2 <= 8**2,
        "tube": y**2 + x**2 + 0 * z <= 6**2,
        "sheet": (np.abs(x) <= 5) & (z == z) & (y == y),
    }
    for name, shape in shapes.items():
        residual = np.where(shape, -40.0, 0.0) + noise
        blobs = find_blobs(residual.astype(np.float32), depth, (2.0, 2.0, 2.0), -1)
        central = [b for b in blobs if b.response > 6 and 8 <= b.at[0] < 32]
        assert bool(central) is (name == "ball")
    best = find_blobs((np.where(shapes["ball"], -40.0, 0.0) + noise).astype(np.float32), depth, (2.0, 2.0, 2.0), -1)[0]
    assert np.linalg.norm((np.array(best.at) - (20, 22, 24)) * 2.0) <= 2.0
    # a ball of radius r answers most at r / 1.73 = 4.6 mm: the nearest searched scale
    assert best.scale_mm in (4.2, 6.0)
    assert not find_blobs((np.where(shapes["ball"], -40.0, 0.0) + noise).astype(np.float32), depth, (2.0,) * 3, 1)


def test_the_parenchyma_field_ignores_lesions():
    scan = A.scan(110, [(BALLS[30], 40), (VESSELS, 180)])
    work = work_grid(A.mask)
    tissue = liver_tissue(scan, work)
    inner = tissue.depth_mm > 8
    healthy = Segmentation((A.liver & ~BALLS[30] & ~VESSELS).astype(np.uint8), GRID, {1: "healthy"})
    healthy = healthy.resampled(work.grid).mask() & inner
    assert tissue.level == pytest.approx(110, abs=4)
    assert np.median(tissue.residual[healthy]) == pytest.approx(0, abs=1.0)
    left, right = (np.median(tissue.residual[healthy & side]) for side in _halves(healthy))
    assert abs(left - right) < 2.5  # the slope of 16 HU is in the field, not in the residual


def _halves(mask):
    x = np.arange(mask.shape[2])[None, None]
    middle = np.median(np.nonzero(mask)[2])
    return x < middle, x > middle


# ---- real livers with drawn tumours -----------------------------------------------------------------------------


def test_real_metastases(shared):
    folder = shared / "scans/train_ct/lits_008"
    scan = read_nifti(folder / "ct.nii.gz")
    drawn = read_nifti_labels(folder / "liver_tumour.nii.gz", {1: "liver", 2: "tumour"})
    liver = Segmentation((drawn.labels > 0).astype(np.uint8), drawn.grid, {1: "liver"})
    result = segment_lesions({Phase.PORTAL_VENOUS: scan}, liver)
    tumours, count = ndimage.label(drawn.labels == 2, np.ones((3, 3, 3)))
    seen = result.segmentation.mask()
    large = [k for k in range(1, count + 1) if (tumours == k).sum() * scan.grid.voxel_ml >= math.pi / 6]
    assert len(large) == 5
    assert all(seen[tumours == k].mean() >= 0.2 for k in large)
    assert all((drawn.labels[result.segmentation.labels == n] == 2).any() for n in result.segmentation.names)
    both = (seen & (drawn.labels == 2)).sum()
    assert 2 * both / (seen.sum() + (drawn.labels == 2).sum()) > 0.75


def test_real_liver_without_lesions(shared):
    folder = shared / "scans/train_ct/sabs_24"
    scan = read_nifti(folder / "ct.nii.gz")
    organs = read_nifti_labels(folder / "organs.nii.gz", {n: str(n) for n in range(1, 14)})
    liver = Segmentation((organs.labels == 6).astype(np.uint8), organs.grid, {1: "liver"})
    assert not segment_lesions({Phase.PORTAL_VENOUS: scan}, liver).segmentation.names
