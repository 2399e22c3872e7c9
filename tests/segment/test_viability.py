import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from liver_phantom import GRID, SHAPE, SPACING, Abdomen
from livervol.errors import GridError, ScanError
from livervol.grid import Grid
from livervol.kernels.morphology import close_mm
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.viability import segment_viability
from livervol.segment.viability_reference import reference_of
from livervol.segment.viability_rules import Evidence, box_of, masked_by_dense
from livervol.segment.viability_shape import (
    ENHANCING,
    NECROSIS,
    UNCERTAIN,
    VIABLE,
    drop_specks,
    is_thin_rim,
    join_viable,
    settle_thin_layers,
)

A = Abdomen()
CENTRE = (10.0, -20.0, 15.0)
LESION = A.ball(CENTRE, 44)
CORE = A.ball(CENTRE, 24)
LESIONS = Segmentation(LESION.astype(np.uint8), GRID, {1: "lesion 1"})
VOXEL_ML = GRID.voxel_ml

EARLY, LATE, PORTAL, NATIVE = Phase.EARLY_ARTERIAL, Phase.LATE_ARTERIAL, Phase.PORTAL_VENOUS, Phase.NATIVE


def scan(phase, liver, lesion, core=None, seed=1):
    parts = [(LESION, lesion)] + ([] if core is None else [(CORE, core)])
    return A.scan(liver, parts, phase, seed=seed)


def judge(*scans, lesions=LESIONS, **options):
    return segment_viability({s.phase: s for s in scans}, A.mask, lesions, **options)


def share(part, truth=LESION):
    return (part.mask() & truth).sum() / truth.sum()


def assert_partition(result, lesions=LESIONS):
    parts = [p.labels.astype(int) for p in (result.viable, result.necrosis, result.uncertain)]
    np.testing.assert_array_equal(sum(parts), lesions.labels)
    assert max(np.count_nonzero([p[LESION] for p in parts], axis=0)) == 1


# ---- phantoms with a known answer -------------------------------------------------------------------------------


def test_living_rim_and_dead_core_by_subtraction():
    result = judge(scan(NATIVE, 55, 45, 30, seed=2), scan(LATE, 75, 140, 30))
    assert_partition(result)
    assert result.mrecist_evaluable
    assert "late arterial minus native" in result.method
    rim = LESION & ~CORE
    # half a voxel diagonal, 2.2 mm, may be lost all around the core of 12 mm radius: (9.8 / 12)^3 = 0.54 of it is left
    assert share(result.viable, rim) > 0.85
    assert share(result.necrosis, CORE) > 0.54
    assert result.viable.mask()[CORE].mean() < 0.46
    assert result.viable.mask().sum() * VOXEL_ML == pytest.approx(rim.sum() * VOXEL_ML, rel=0.12)


def test_living_rim_and_dead_core_without_native():
    result = judge(scan(LATE, 75, 140, 30), scan(PORTAL, 110, 90, 30, seed=3))
    assert_partition(result)
    assert "late arterial against parenchyma" in result.method
    assert share(result.viable, LESION & ~CORE) > 0.85
    assert share(result.necrosis, CORE) > 0.75
    assert any("no native scan" in w for w in result.warnings)


def test_a_dead_lesion_has_no_viable_voxel():
    for others in ([scan(NATIVE, 55, 38, seed=2)], []):
        result = judge(*others, scan(LATE, 80, 40))
        assert_partition(result)
        assert not result.viable.labels.any()
        assert share(result.necrosis) > 0.9


def test_two_lesions_keep_their_numbers():
    other = A.ball((-30, 20, -10), 26)
    labels = np.where(LESION, 7, np.where(other, 3, 0)).astype(np.uint8)
    lesions = Segmentation(labels, GRID, {3: "lesion 3", 7: "lesion 7"})
    phase = A.scan(80, [(LESION, 140), (other, 35)], LATE)
    result = judge(phase, lesions=lesions)
    assert_partition(result, lesions)
    assert set(np.unique(result.viable.labels)) == {0, 7}
    assert result.viable.names[7] == "viable part of lesion 7"
    assert (result.necrosis.labels == 3).sum() > 0.85 * other.sum()


def test_no_lesion_is_no_problem():
    none = Segmentation(np.zeros(SHAPE, np.uint8), GRID, {})
    result = judge(scan(LATE, 80, 140), lesions=none)
    assert not result.viable.labels.any()
    assert result.warnings == ()


# ---- each threshold from both sides ------------------------------------------------------------------------------


@pytest.mark.parametrize(("above", "viable"), [(16, True), (4, False)])
def test_relative_step_over_parenchyma(above, viable):
    # sd of the denoised parenchyma is about 3 HU: the step is max(2 sd, 10) = 10 HU
    result = judge(scan(LATE, 90, 90 + above))
    assert result.threshold == pytest.approx(result.reference_mean + max(2 * result.reference_sd, 10), abs=1e-3)
    assert (share(result.viable) > 0.5) == viable


@pytest.mark.parametrize(("rise", "viable"), [(45, True), (31, False)])
def test_subtraction_asks_mean_and_two_sd(rise, viable):
    # parenchyma rises by 30 HU; 2 sd of a difference of two scans are about 9 HU
    result = judge(scan(NATIVE, 55, 45, seed=2), scan(LATE, 85, 45 + rise))
    assert result.reference_mean == pytest.approx(30, abs=2)
    assert result.threshold == pytest.approx(result.reference_mean + 2 * result.reference_sd, abs=1e-3)
    assert (share(result.viable) > 0.5) == viable


@pytest.mark.parametrize(("rise", "viable"), [(27, True), (13, False)])
def test_subtraction_asks_twenty_hu_where_parenchyma_hardly_rises(rise, viable):
    result = judge(scan(NATIVE, 55, 45, seed=2), scan(LATE, 59, 45 + rise))
    assert result.threshold == 20
    assert (share(result.viable) > 0.5) == viable


@pytest.mark.parametrize(("rise", "dead"), [(2, True), (18, False)])
def test_necrosis_is_below_ten_hu_in_every_phase(rise, dead):
    result = judge(scan(NATIVE, 55, 40, seed=2), scan(LATE, 90, 40 + rise))
    assert (share(result.necrosis) > 0.8) == dead
    # dead in the arterial phase but filling later is not necrosis
    late = judge(scan(NATIVE, 55, 40, seed=2), scan(LATE, 90, 40), scan(PORTAL, 110, 65, seed=4))
    assert share(late.necrosis) < 0.1


def test_tissue_like_liver_is_uncertain():
    result = judge(scan(LATE, 95, 95))
    assert share(result.viable) < 0.1
    assert share(result.uncertain) > 0.9


# ---- phases ------------------------------------------------------------------------------------------------------


def test_early_arterial_counts_only_when_accepted():
    early = scan(EARLY, 62, 110)
    refused, accepted = judge(early), judge(early, accept_early_arterial=True)
    assert not refused.mrecist_evaluable
    assert "early arterial" in refused.reason
    assert accepted.mrecist_evaluable
    np.testing.assert_array_equal(refused.viable.labels, accepted.viable.labels)
    assert judge(early, scan(LATE, 75, 140)).mrecist_evaluable


def test_portal_fallback_is_flagged():
    # washed out: darker than liver, and yet enhancing
    result = judge(scan(PORTAL, 115, 85, 35))
    assert not result.mrecist_evaluable
    assert result.reason == "no arterial phase"
    assert any("portal venous phase (any enhancement)" in w for w in result.warnings)
    assert share(result.viable, LESION & ~CORE) > 0.85
    assert share(result.necrosis, CORE) > 0.6
    with_native = judge(scan(NATIVE, 55, 45, 33, seed=2), scan(PORTAL, 115, 85, 35))
    assert with_native.threshold == 20
    assert share(with_native.viable, LESION & ~CORE) > 0.85


def test_without_an_enhanced_phase_all_is_uncertain():
    for only in (scan(NATIVE, 55, 45), A.scan(100, [(LESION, 160)], Phase.UNKNOWN)):
        if only.phase is Phase.UNKNOWN:
            only = Scan(only.voxels, GRID, "MR", "T2")
        result = judge(only)
        assert_partition(result)
        assert share(result.uncertain) == 1
        assert not result.mrecist_evaluable
        assert any("no enhanced phase" in w for w in result.warnings)
        assert np.isnan(result.reference_mean)


def test_mr_subtraction_is_relative():
    def t1(phase, liver, lesion, seed):
        base = scan(phase, liver, lesion, seed=seed)
        return Scan(np.maximum(base.voxels, 0).astype(np.float32) * 3.0, GRID, "MR", "T1", phase)

    result = judge(t1(NATIVE, 200, 180, 2), t1(LATE, 260, 320, 1))
    assert "minus native" in result.method
    assert share(result.viable) > 0.9
    dead = judge(t1(NATIVE, 200, 180, 2), t1(LATE, 260, 182, 1))
    assert share(dead.necrosis) > 0.8
    alone = judge(t1(LATE, 260, 320, 1))
    # 10 % of the reference's signal, 3 x 260
    assert alone.threshold - alone.reference_mean == pytest.approx(max(78, 2 * alone.reference_sd), abs=2)
    assert share(alone.viable) > 0.9


def test_a_native_scan_that_does_not_fit_is_not_subtracted_but_still_shows_lipiodol():
    spot = A.ball(CENTRE, 16)
    native = A.scan(55, [(LESION, 45), (spot, 300)], NATIVE, seed=2)
    late = A.scan(75, [(LESION, 140), (spot, 300)], LATE)
    result = judge(native, late, subtract_native=False)
    assert "against parenchyma" in result.method
    assert result.uncertain.mask()[spot].all()
    clean = judge(A.scan(55, [(LESION, 45)], NATIVE, seed=2), late, subtract_native=False)
    assert clean.viable.mask()[spot].mean() > 0.9  # not dense before contrast: it enhances


# ---- lipiodol ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("native_hu", "dense"), [(140, True), (70, False)])
def test_native_density_excludes(native_hu, dense):
    spot = A.ball(CENTRE, 16)
    native = A.scan(55, [(LESION, 45), (spot, native_hu)], NATIVE, seed=2)
    late = A.scan(75, [(LESION, 140), (spot, native_hu + 95)], LATE)
    result = judge(native, late)
    assert_partition(result)
    assert bool(result.uncertain.mask()[spot].mean() > 0.9) == dense
    assert any("lipiodol" in w for w in result.warnings) == dense


@pytest.mark.parametrize(("late_hu", "portal_hu", "dense"), [(165, 160, True), (165, 120, False), (165, 138, False)])
def test_density_that_does_not_change_between_phases(late_hu, portal_hu, dense):
    spot = A.ball(CENTRE, 20)
    late = A.scan(75, [(LESION, 60), (spot, late_hu)], LATE)
    portal = A.scan(105, [(LESION, 80), (spot, portal_hu)], PORTAL, seed=4)
    result = judge(late, portal)
    inner = A.ball(CENTRE, 14)
    assert bool(result.uncertain.mask()[inner].mean() > 0.7) == dense
    assert bool(result.viable.mask()[inner].mean() > 0.7) == (not dense)


def test_lipiodol_masks_the_pockets_between_droplets():
    drops = [(10 + dz, -20 + dy, 15 + dx) for dz in (-4, 4) for dy in (-4, 4) for dx in (-4, 4)]
    parts = [(LESION, 60)] + [(A.ball(c, 6), 600) for c in drops]
    result = judge(A.scan(75, parts, EARLY))
    assert result.viable.mask()[A.ball(CENTRE, 12)].mean() < 0.1


# ---- shape rules -------------------------------------------------------------------------------------------------


def test_thin_uniform_rim_is_not_viable_but_a_thick_or_nodular_one_is():
    def shell(depth):
        return LESION & ~A.ball(CENTRE, 44 - 2 * depth)

    thin = judge(A.scan(75, [(LESION, 35), (shell(2.0), 150)], LATE, noise=4))
    assert any("thin uniform rim" in w for w in thin.warnings)
    assert not thin.viable.labels.any()
    assert_partition(thin)
    thick = judge(A.scan(75, [(LESION, 35), (shell(8.0), 150)], LATE, noise=4))
    assert not any("rim" in w for w in thick.warnings)
    assert share(thick.viable, shell(8.0)) > 0.7
    nodule = A.ball((10, -20, 33), 16) & LESION
    nodular = judge(A.scan(75, [(LESION, 35), (shell(2.0), 150), (nodule, 150)], LATE, noise=4))
    assert share(nodular.viable, nodule) > 0.7


def test_rim_rule_by_hand():
    spacing = (2.0, 1.0, 1.0)
    z, y, x = np.ogrid[-12:13, -24:25, -24:25]
    radius = np.sqrt((2 * z) ** 2 + y**2 + x**2)
    lesion = radius <= 20
    assert is_thin_rim(lesion & (radius > 17.5), lesion, spacing)
    assert not is_thin_rim(lesion & (radius > 15), lesion, spacing)
    assert not is_thin_rim(lesion & (radius > 17.5) & (x > 8), lesion, spacing)  # a cap on under half of the surface
    assert not is_thin_rim(np.zeros_like(lesion), lesion, spacing)


def test_specks_take_what_surrounds_them():
    spacing = (2.5, 1.0, 1.0)
    classes = np.full((12, 40, 40), NECROSIS, np.uint8)
    classes[:, :, 20:] = UNCERTAIN
    classes[4:6, 8:11, 8:11] = VIABLE  # 45 mm3: below 0.05 ml
    classes[4:6, 8:11, 30:34] = VIABLE  # 60 mm3 and 5 mm across: stays
    classes[0:12, 30:32, 5:7] = VIABLE  # 120 mm3, but 2.8 mm across in every slice
    classes[8, 2, 28] = VIABLE
    kept = drop_specks(classes, spacing)
    expected = np.full_like(classes, NECROSIS)
    expected[:, :, 20:] = UNCERTAIN
    expected[4:6, 8:11, 30:34] = VIABLE
    np.testing.assert_array_equal(kept, expected)


def test_gaps_are_joined_by_what_fills_them():
    spacing = (2.0, 1.0, 1.0)
    dense = np.zeros((9, 30, 60), bool)

    def gap(width, filling):
        classes = np.full(dense.shape, VIABLE, np.uint8)
        classes[:, :, 30 - width // 2 : 30 - width // 2 + width] = filling
        return join_viable(classes, dense, spacing)[4, 15, 30]

    # a ball of half the limit spans limit / spacing + 1 voxels between centres
    assert gap(4, UNCERTAIN) == VIABLE
    assert gap(8, UNCERTAIN) == UNCERTAIN
    assert gap(18, ENHANCING) == VIABLE
    assert gap(24, ENHANCING) == ENHANCING
    assert gap(2, NECROSIS) == NECROSIS
    dense[:] = True
    assert gap(4, UNCERTAIN) == UNCERTAIN


@settings(max_examples=25)
@given(st.integers(0, 2**31))
def test_joining_and_dropping_never_lose_a_voxel(seed):
    rng = np.random.default_rng(seed)
    classes = rng.choice([0, NECROSIS, UNCERTAIN, VIABLE, ENHANCING], (5, 12, 14)).astype(np.uint8)
    spacing, nothing = (3.0, 1.1, 1.3), np.zeros(classes.shape, bool)
    result = drop_specks(settle_thin_layers(join_viable(classes, nothing, spacing), nothing, spacing), spacing)
    np.testing.assert_array_equal(result == 0, classes == 0)
    assert set(np.unique(result)) <= {0, NECROSIS, UNCERTAIN, VIABLE}
    np.testing.assert_array_equal(result[classes == NECROSIS], NECROSIS)


# ---- reference ---------------------------------------------------------------------------------------------------


def test_reference_balls_avoid_lesions_vessels_and_edges():
    vessels = A.tube(20, -30, 12)
    phase = A.scan(100, [(vessels, 200), (LESION, 160)], LATE)
    result = judge(phase)
    balls = result.reference_roi.mask()
    assert set(np.unique(result.reference_roi.labels)) == {0, 1, 2, 3}
    assert not (balls & LESION).any()
    assert (balls & vessels).sum() < 0.05 * balls.sum()
    assert (balls & ~A.liver).sum() == 0
    for n in (1, 2, 3):
        assert (result.reference_roi.labels == n).sum() * VOXEL_ML == pytest.approx(1.0, rel=0.25)
    assert result.reference_mean == pytest.approx(100, abs=8)  # the phantom slopes by 8 HU either way
    again = judge(phase)
    np.testing.assert_array_equal(result.reference_roi.labels, again.reference_roi.labels)


def test_reference_without_room_falls_back():
    values = np.random.default_rng(1).normal(100, 5, (20, 24, 24)).astype(np.float32)
    liver = np.zeros(values.shape, bool)
    liver[4:16, 3:13, 3:21] = True
    found = reference_of(values, liver, np.zeros_like(liver), (1.5, 1.5, 1.5))
    assert "eroded liver" in found.method
    assert found.mean == pytest.approx(100, abs=2)
    assert found.sd == pytest.approx(5, rel=0.3)
    assert reference_of(values, liver, liver, (1.5, 1.5, 1.5)) is None


def test_a_liver_full_of_tumour_has_no_reference():
    lesions = Segmentation(A.liver.astype(np.uint8), GRID, {1: "lesion 1"})
    result = judge(A.scan(90, [], LATE), lesions=lesions)
    assert_partition(result, lesions)
    assert result.threshold == 65
    assert any("no parenchyma" in w for w in result.warnings)


def test_refusals():
    phase = scan(LATE, 80, 140)
    with pytest.raises(ScanError, match="no scan to judge viability on"):
        segment_viability({}, A.mask, LESIONS)
    elsewhere = Grid.from_parts(SHAPE, SPACING)
    with pytest.raises(GridError, match="not on the scan's grid"):
        segment_viability({LATE: Scan(phase.voxels, elsewhere, phase=LATE)}, A.mask, LESIONS)
    with pytest.raises(GridError, match="not on the scan's grid"):
        judge(phase, lesions=Segmentation(LESIONS.labels, elsewhere, LESIONS.names))


# ---- only what lies around lesions is looked at --------------------------------------------------------------------


def test_the_box_of_a_mask_keeps_its_room_and_an_empty_mask_has_none():
    mask = np.zeros((9, 10, 11), np.int16)
    assert box_of(mask, (1, 1, 1)) is None
    mask[3, 2, 10] = -4
    mask[5, 6, 4] = 1
    box = box_of(mask, (1, 3, 2))
    assert box == (slice(2, 7), slice(0, 10), slice(2, 13))
    assert np.count_nonzero(mask[box]) == 2


def test_what_masks_a_lesion_does_not_depend_on_the_room_around_it():
    spacing = (2.5, 0.9, 0.8)
    random = np.random.default_rng(7)
    inside = np.zeros((14, 40, 44), bool)
    inside[4:10, 12:28, 14:30] = random.random((6, 16, 16)) < 0.8
    arterial = random.normal(100, 60, inside.shape).astype(np.float32)
    venous = arterial + random.normal(0, 20, inside.shape).astype(np.float32)

    evidence = Evidence(LATE, arterial, None, None, {LATE: arterial, PORTAL: venous}, True, "")
    masked = masked_by_dense(evidence, inside, spacing)
    # lipiodol is there, and not everywhere
    assert 0 < masked.dense.sum() < inside.sum()
    brute = _brute_masked(arterial, venous, inside, spacing)
    for found, truth in zip((masked.dense, masked.blurred), brute, strict=True):
        np.testing.assert_array_equal(found, truth)


def _brute_masked(arterial, venous, inside, spacing):
    # the whole array, distances by scipy
    def away(mask):
        return distance_transform_edt(~mask, sampling=spacing)

    lowest = np.minimum(arterial, venous)
    similar = inside & (lowest > 130) & (np.abs(arterial - venous) < 20)
    sure = inside & (lowest > 200)
    grown = sure | (inside & (lowest > 130) & (away(sure) <= 5))
    dense = inside & (close_mm(grown, 3.0, spacing) != 0)
    return dense | similar, inside & (away(dense) <= 2)
