from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from conftest import oblique_grid
from livervol.align import Alignment, Bend, Transform, align
from livervol.align.bending import BendSettings, bend_onto, jacobian_determinants, local_correlation
from livervol.align.deform import deform
from livervol.align.rigid import region_of
from livervol.grid import Grid
from livervol.io.dicom import read_dicom
from livervol.scan import Scan, Segmentation

SHAPE, SPACING = (30, 62, 66), (4.5, 2.6, 2.5)
GRID = oblique_grid(SHAPE, SPACING)
CENTRE = GRID.index_to_lps((np.array(SHAPE) - 1) / 2)


def tissue():
    """Noise-free abdomen: an ellipsoid of blobs of about 9 mm and bright vessels in fat, values in HU."""
    blobs = ndimage.gaussian_filter(np.random.default_rng(11).normal(size=SHAPE), [9 / s for s in SPACING])
    blobs *= 35 / blobs.std()
    away = (GRID.index_to_lps(np.moveaxis(np.indices(SHAPE), 0, -1)) - CENTRE) / np.array([62.0, 60.0, 52.0])
    inside = (away**2).sum(-1) <= 1
    return np.where(inside, 90 + np.clip(blobs, -60, 90), -80.0).astype(np.float32), inside


def breath(points, by_mm, local_mm):
    """A smooth pull: ``by_mm`` along z, a third more on one side, and two local bends of ``local_mm``."""
    away = points - CENTRE
    moved = np.zeros_like(points)
    moved[..., 2] = by_mm * (1 + 0.33 * np.tanh(away[..., 0] / 50))
    for at, towards in (((25, 10, 10), (1, -0.5, 0.3)), ((-20, -15, -10), (-0.5, 0.9, -0.6))):
        moved += local_mm * np.exp(-0.5 * (((away - at) / 28.0) ** 2).sum(-1))[..., None] * np.array(towards)
    return moved


def pair(by_mm=0.0, local_mm=0.0, noise=6.0, contrast=-0.6):
    """Fixed scan, bent moving scan with its contrast turned round, both livers; at y it shows what lies at y + pull."""
    values, inside = tissue()
    at = np.moveaxis(GRID.index_to_lps(np.moveaxis(np.indices(SHAPE), 0, -1)), -1, 0)
    places = np.moveaxis(at, 0, -1)
    index = np.moveaxis(GRID.lps_to_index(places + breath(places, by_mm, local_mm)), -1, 0)
    there = ndimage.map_coordinates(values, index, order=1, mode="nearest")
    there_liver = ndimage.map_coordinates(inside.astype(float), index, order=1, mode="nearest") > 0.5
    there = np.where(there_liver, 90 + contrast * (there - 90), -80)
    random = np.random.default_rng(5)
    scans = [Scan((v + random.normal(0, noise, SHAPE)).astype(np.float32), GRID) for v in (values, there)]
    livers = [Segmentation(m.astype(np.uint8), GRID, {1: "liver"}) for m in (inside, there_liver)]
    return scans[0], scans[1], livers[0], livers[1]


def landmarks(liver, by_mm, local_mm):
    """Places at least 8 mm inside the fixed liver and where the pull took them, LPS mm."""
    inner = np.argwhere(ndimage.binary_erosion(liver.mask(), iterations=2))[::23]
    points = GRID.index_to_lps(inner)
    truth = points
    for _ in range(80):
        truth = points - breath(truth, by_mm, local_mm)
    return points, truth


def test_a_breath_with_local_bends_is_undone():
    by, local = 14.0, 8.0
    fixed, moving, liver, there = pair(by, local)
    points, truth = landmarks(liver, by, local)
    rigid = align(moving, fixed, mask=liver)
    bent = align(moving, fixed, mask=liver, moving_liver=there, deformable=True)
    assert rigid.method == "rigid"
    assert bent.method == "deformable"
    before = np.linalg.norm(points - truth, axis=1)
    after_rigid = np.linalg.norm(rigid.map_points(points, to="moving") - truth, axis=1)
    after = np.linalg.norm(bent.map_points(points, to="moving") - truth, axis=1)
    assert before.mean() > 13
    assert after_rigid.mean() > 2
    # about half a voxel of the 4 mm lattice, in tissue of 9 mm blobs whose contrast is turned round
    assert after.mean() < 2.4
    assert np.percentile(after, 95) < 4.5
    assert after.mean() < 0.6 * after_rigid.mean()
    assert bent.correlation_after > bent.correlation_before + 0.02
    assert bent.liver_dice_after > bent.liver_dice_before
    assert bent.liver_dice_after > 0.95
    assert 0.25 <= bent.jacobian_range[0] < 1 < bent.jacobian_range[1] <= 4
    assert 3 < bent.bend_mm < 20
    # there and back
    np.testing.assert_allclose(
        bent.map_points(bent.map_points(points, to="moving"), to="fixed"), points, rtol=0, atol=0.02
    )
    carried = bent.warp_labels(there, GRID)
    assert carried.grid == GRID
    both = np.count_nonzero(carried.mask() & liver.mask())
    assert 2 * both / (carried.mask().sum() + liver.mask().sum()) == pytest.approx(bent.liver_dice_after, abs=1e-12)
    # the other way round: nearest voxels of 4.5 mm and a lattice of 4 mm cost a shell of a fraction of a voxel
    forth = bent.warp_labels(liver, GRID, to="moving").mask()
    assert 2 * np.count_nonzero(forth & there.mask()) / (forth.sum() + there.mask().sum()) > 0.93
    again = align(moving, fixed, mask=liver, moving_liver=there, deformable=True)
    np.testing.assert_array_equal(again.scan.voxels, bent.scan.voxels)


def test_scans_in_place_are_not_bent():
    fixed, moving, liver, _ = pair()
    result = align(moving, fixed, mask=liver, deformable=True)
    assert result.method != "deformable"
    assert result.bend_mm == 0
    assert result.jacobian_range == (1.0, 1.0)
    assert result.correlation_after == result.correlation_before
    # interpolation smooths noise, which alone may raise the information by 1 %: a rigid motion under half a voxel
    assert result.shift_mm < 0.5 * SPACING[0]
    assert result.warnings == ()
    assert np.isnan(align(moving, fixed, mask=liver).correlation_before)


def test_visits_are_laid_liver_on_liver():
    fixed, moving, liver, there = pair(5.0, 4.0)
    matrix = moving.grid.matrix
    matrix[:3, 3] += (38.0, -30.0, 45.0)
    away = Grid.from_matrix(SHAPE, matrix, "2.25.7")
    frame = replace(GRID, frame="2.25.5")
    moving, there = replace(moving, grid=away), replace(there, grid=away)
    fixed, liver = replace(fixed, grid=frame), replace(liver, grid=frame)
    result = align(moving, fixed, mask=liver, moving_liver=there, deformable=True)
    points, truth = landmarks(liver, 5.0, 4.0)
    error = np.linalg.norm(result.map_points(points, to="moving") - truth - (38.0, -30.0, 45.0), axis=1)
    assert error.mean() < 2.5
    assert result.liver_dice_after > 0.94


def test_a_bend_that_pulls_the_livers_apart_is_refused():
    fixed, moving, liver, there = pair(0.0, 9.0)
    # a false moving liver that fits only while nothing is bent
    false = replace(there, labels=liver.labels)
    region = region_of(GRID, liver)
    still = Transform(np.eye(4))
    bent, figures, notes = deform(moving, fixed, region, still, (false, liver))
    assert bent is still
    assert figures.liver_dice_after == figures.liver_dice_before == 1.0
    assert figures.bend_mm == 0
    assert "deformable refinement was refused: it took the livers' Dice from 1.000" in notes[0]
    assert deform(moving, fixed, region, still, (None, liver))[0].bend is not None


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [("JACOBIAN_LIMITS", (0.99, 1.01), "it changed volumes"), ("MAX_BEND_MM", 2.0, "it reached")],
)
def test_folds_and_far_bends_are_refused(monkeypatch, limit, value, said):
    fixed, moving, liver, _ = pair(0.0, 9.0)
    monkeypatch.setattr(f"livervol.align.deform.{limit}", value)
    still = Transform(np.eye(4))
    bent, figures, notes = deform(moving, fixed, region_of(GRID, liver), still, (None, liver))
    assert bent is still
    assert figures.bend_mm == 0
    assert said in notes[0]


def test_without_a_mask_and_for_mr():
    fixed, moving, _, _ = pair(0.0, 8.0)
    plain = align(moving, fixed, deformable=True)
    assert plain.method == "deformable"
    t1 = [replace(s, voxels=40 * (s.voxels + 100), modality="MR", sequence="T1") for s in (moving, fixed)]
    scaled = align(*t1, deformable=True)
    assert scaled.method == "deformable"
    inner = GRID.index_to_lps(np.argwhere(tissue()[1])[::40])
    apart = scaled.map_points(inner, to="moving") - plain.map_points(inner, to="moving")
    # another scale of values weighs the noise otherwise, and no more
    assert np.linalg.norm(apart, axis=1).mean() < 1.5


def test_a_constant_moving_scan_stays():
    fixed, _, liver, _ = pair()
    flat = replace(fixed, voxels=np.full(SHAPE, 50.0, np.float32))
    result = align(flat, fixed, mask=liver, deformable=True)
    assert result.method == "header geometry"
    assert isinstance(result, Alignment)


def test_jacobian_of_a_known_field():
    index = np.indices((8, 9, 10)).astype(np.float32)
    field = np.stack([0.5 * index[0], -0.25 * index[1], np.zeros_like(index[2])])
    np.testing.assert_allclose(jacobian_determinants(field), 1.5 * 0.75, rtol=1e-5)
    folded = np.stack([-1.5 * index[0], 0 * index[1], 0 * index[2]])
    assert (jacobian_determinants(folded) < 0).all()


def test_correlation_ignores_scale_and_sign_but_not_noise():
    random = np.random.default_rng(0)
    image = ndimage.gaussian_filter(random.normal(size=(20, 21, 22)), 1.5).astype(np.float32)
    image *= 100 / image.std()
    weight = np.ones_like(image)
    settings = BendSettings(noise=0.01)
    assert local_correlation(image, -2 * image + 7, weight, settings) == pytest.approx(1, abs=1e-3)
    unlike = random.normal(0, 100, image.shape).astype(np.float32)
    assert local_correlation(image, unlike, weight, settings) < 0.1
    assert local_correlation(image / 1000, unlike / 1000, weight, BendSettings()) < 0.01


def test_bend_onto_gives_voxels_of_displacement():
    values, _ = tissue()
    moved = ndimage.shift(values, (0, 2.0, -1.5), order=1, mode="nearest")
    field = bend_onto(values, moved, np.ones_like(values))
    middle = field[:, 8:-8, 16:-16, 16:-16]
    # fixed place i is found at i + (0, 2, -1.5)
    np.testing.assert_allclose(middle.mean(axis=(1, 2, 3)), (0, 2.0, -1.5), atol=0.3)


def test_bend_is_linear_between_nodes_and_carried_on_beyond():
    lattice = oblique_grid((3, 4, 5), (10.0, 9.0, 8.0))
    shifts = np.zeros((3, 3, 4, 5), np.float32)
    shifts[1] = np.arange(5)
    bend = Bend(lattice, shifts)
    at = bend.at(lattice.index_to_lps([[1, 1, 2.5], [1, 1, 9.0], [-4, 1, 0.25]]))
    np.testing.assert_allclose(at, [[0, 2.5, 0], [0, 4, 0], [0, 0.25, 0]], atol=1e-5)
    assert Transform(np.eye(4), bend).to_fixed(np.empty((0, 3))).shape == (0, 3)


def test_real_phases_and_visits(shared):
    before = read_dicom(shared / "scans/hcc_007/19971227")
    arterial, portal = (s for s in before if s.grid.shape_zyx[0] == 75)
    box = np.zeros(portal.grid.shape_zyx, np.uint8)
    box[22:52, 130:340, 70:290] = 1
    result = align(arterial, portal, mask=Segmentation(box, portal.grid, {1: "liver"}), deformable=True)
    assert result.correlation_after >= result.correlation_before
    assert result.bend_mm < 15
    assert result.scan.voxels.dtype == arterial.voxels.dtype
    assert not any("refused" in warning for warning in result.warnings)
