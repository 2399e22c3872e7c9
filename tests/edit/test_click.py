"""One gesture, one outline: phantoms, layered lesions, all four gestures, outside the liver, real tumours."""

from __future__ import annotations

import numpy as np
import pytest

from livervol.edit.brush import Canvas
from livervol.edit.click import lesion_change, outline_lesion
from livervol.edit.gesture import Gesture, Patch
from livervol.edit.star import peak_of, tissue_of
from livervol.errors import LivervolError
from livervol.io.images import read_image, read_labels
from livervol.kernels.components import label_components
from livervol.kernels.distance import distance_mm
from livervol.kernels.smooth import gaussian

SHAPE, SPACING = (36, 90, 96), (2.5, 0.9, 0.8)
CENTRE = np.array([18, 44, 50])


def ellipsoid(centre, half_mm):
    index = np.indices(SHAPE, sparse=True)
    return sum(((index[k] - centre[k]) * SPACING[k] / half_mm[k]) ** 2 for k in range(3)) <= 1


def scene(contrast, half_mm=(9.0, 12.0, 10.0), noise=9.0, seed=0):
    """A liver with a vessel beside a lesion, in fat."""
    rng = np.random.default_rng(seed)
    liver = ellipsoid(CENTRE, (38.0, 34.0, 33.0))
    lesion = ellipsoid(CENTRE, half_mm)
    voxels = np.where(liver, 105.0, -90.0)
    voxels[np.broadcast_to(liver & ellipsoid(CENTRE + np.array([0, 17, 0]), (60.0, 2.5, 60.0)), SHAPE)] = 160.0
    voxels[lesion] = 105.0 + contrast
    voxels = gaussian(voxels, 0.8, SPACING) + rng.normal(0, noise, SHAPE)
    return np.rint(voxels).astype(np.int16), liver, lesion


def dice(outline, mask):
    shared = np.count_nonzero(outline.mask & mask[outline.box])
    return 2 * shared / (np.count_nonzero(outline.mask) + np.count_nonzero(mask))


@pytest.mark.parametrize("contrast", [-60.0, -30.0, 40.0])
@pytest.mark.parametrize("half", [(9.0, 12.0, 10.0), (6.0, 5.0, 7.0), (20.0, 16.0, 18.0)])
def test_a_click_outlines_a_lesion(contrast, half):
    voxels, liver, lesion = scene(contrast, half)
    outline = outline_lesion(voxels, SPACING, Gesture.of("click", CENTRE + np.array([1, 2, -2])), liver)
    # half a voxel's diagonal (1.4 mm) off all round a radius r leaves a Dice of about 1 - 1.5 * 1.4 / (2 r)
    assert dice(outline, lesion) > 1 - 1.5 * 1.4 / (2 * min(half)) - 0.05
    assert np.sign(outline.contrast) == np.sign(contrast)
    assert not outline.warnings


@pytest.mark.parametrize(
    ("kind", "points"),
    [
        ("diameter", [(18, 32, 50), (18, 56, 50)]),
        ("box", [(18, 31, 38), (18, 57, 62)]),
        ("scribble", [(18, 40, 50), (18, 44, 53), (19, 48, 50)]),
    ],
)
def test_every_gesture_outlines_it(kind, points):
    voxels, liver, lesion = scene(-45.0)
    assert dice(outline_lesion(voxels, SPACING, Gesture.of(kind, points), liver), lesion) > 0.85


def test_outside_the_liver_the_surroundings_are_learnt():
    voxels, _, lesion = scene(-45.0)
    assert dice(outline_lesion(voxels, SPACING, Gesture.of("click", CENTRE)), lesion) > 0.8
    nodule = ellipsoid(np.array([18, 12, 12]), (6.0, 6.0, 6.0))
    voxels[nodule] = 40
    liver = ellipsoid(CENTRE, (38.0, 34.0, 33.0))
    outline = outline_lesion(voxels, SPACING, Gesture.of("click", (18, 12, 12)), liver)
    assert dice(outline, nodule) > 0.8


def test_the_outline_is_one_piece_without_holes_and_spares_other_lesions():
    voxels, liver, lesion = scene(-45.0)
    labels = np.zeros(SHAPE, np.uint16)
    labels[:, 44:] = np.where(lesion[:, 44:], 7, 0)
    change, outline = lesion_change(Canvas("lesions", labels, SPACING, voxels), Gesture.of("click", CENTRE), 2, liver)
    assert len(label_components(outline.mask.view(np.uint8), 6)[1].voxels) == 1
    assert len(label_components((~np.pad(outline.mask, 1)).view(np.uint8), 6)[1].voxels) == 1
    change.apply(labels)
    assert np.array_equal(labels == 7, lesion & (np.indices(SHAPE)[1] >= 44))
    assert (labels == 2).any()


def test_a_click_on_nothing_is_doubted():
    voxels, liver, _ = scene(0.0)
    outline = outline_lesion(voxels, SPACING, Gesture.of("click", CENTRE), liver)
    assert "hardly differs" in outline.warnings[0]


HALF = np.array([14.0, 13.0, 15.0])


def layered(tissue, core, rim, seed=1):
    """A scan of a lesion with its contrasts (HU) within 0.55 of its radius, without 0.85, and between; its mask."""
    voxels, liver, _ = scene(0.0, seed=seed)
    whole = ellipsoid(CENTRE, HALF)
    step = np.where(whole, float(rim), 0.0)
    step[np.broadcast_to(ellipsoid(CENTRE, 0.85 * HALF), SHAPE)] = tissue
    step[np.broadcast_to(ellipsoid(CENTRE, 0.55 * HALF), SHAPE)] = core
    return voxels + gaussian(step, 0.8, SPACING), liver, whole


@pytest.mark.parametrize("contrasts", [(35, -55, 35), (0, 0, 35), (-40, -40, -40)])
@pytest.mark.parametrize("off", [(0, 0, 0), (1, -3, 2)])
def test_a_click_finds_the_outermost_layer(contrasts, off):
    voxels, liver, whole = layered(*contrasts)
    outline = outline_lesion(voxels, SPACING, Gesture.of("click", CENTRE + np.array(off)), liver)
    # the outline is sampled at half a working voxel (1.3 mm): 1 - 1.5 * 1.3 / 13
    assert dice(outline, whole) > 0.85
    assert not outline.warnings


def test_another_phase_shows_the_layer_that_one_does_not():
    portal, liver, whole = layered(0, -60, 0)
    arterial, _, _ = layered(35, -50, 35, seed=2)
    click = Gesture.of("click", CENTRE)
    core = ellipsoid(CENTRE, 0.55 * HALF)
    assert dice(outline_lesion(portal, SPACING, click, liver), core) > 0.7
    assert dice(outline_lesion(portal, SPACING, click, liver, others=[arterial]), whole) > 0.85


WIDE, COARSE = (56, 110, 104), (4.0, 2.2, 2.0)
MIDDLE = np.array([28, 60, 54])
GIANT = np.array([55.0, 60.0, 50.0])


def giant_ellipsoid(centre, half_mm):
    index = np.indices(WIDE, sparse=True)
    return np.broadcast_to(sum(((index[k] - centre[k]) * COARSE[k] / half_mm[k]) ** 2 for k in range(3)) <= 1, WIDE)


def giant(core, tissue, rim, seed=0):
    """A lesion 120 mm wide at one side of a liver in fat: its contrasts within 0.55 and without 0.85 of its radius."""
    rng = np.random.default_rng(seed)
    liver = giant_ellipsoid(MIDDLE + np.array([0, -8, 3]), (95.0, 100.0, 88.0))
    lesion = giant_ellipsoid(MIDDLE, GIANT)
    step = np.where(lesion, float(rim), 0.0)
    step[giant_ellipsoid(MIDDLE, 0.85 * GIANT)] = tissue
    step[giant_ellipsoid(MIDDLE, 0.55 * GIANT)] = core
    voxels = gaussian(np.where(liver, 105.0, -90.0) + step, 1.5, COARSE) + rng.normal(0, 9.0, WIDE)
    return np.rint(voxels).astype(np.int16), liver, lesion


# the middle, the dead core off the middle, the living part, the rim
@pytest.mark.parametrize("off", [(0, 0, 0), (3, -8, 6), (0, 19, 0), (0, 0, -22)])
def test_a_click_anywhere_in_a_giant_outlines_all_of_it(off):
    voxels, liver, lesion = giant(-60, -25, 40)
    outline = outline_lesion(voxels, COARSE, Gesture.of("click", MIDDLE + np.array(off)), liver)
    # half a working voxel's diagonal (3 mm at 4.0 x 2.2 x 4.0 mm) off round a radius of 55 mm: 1 - 1.5 * 3 / 55
    assert dice(outline, lesion) > 0.90
    wide = np.flatnonzero(outline.mask.any(axis=(0, 2)))
    assert (wide[-1] - wide[0] + 1) * COARSE[1] == pytest.approx(2 * GIANT[1], rel=0.1)


def test_a_drawn_diameter_outlines_a_giant():
    voxels, liver, lesion = giant(-50, -30, 35)
    half = np.array([0, GIANT[1] / COARSE[1], 0])
    outline = outline_lesion(voxels, COARSE, Gesture.of("diameter", [MIDDLE - half, MIDDLE + half]), liver)
    assert dice(outline, lesion) > 0.90


def test_a_nodule_beside_a_giant_is_no_part_of_it():
    voxels, liver, lesion = giant(-60, -60, -60)
    nodule = giant_ellipsoid(MIDDLE + np.array([0, -44, 0]), (10.0, 10.0, 10.0))
    voxels[nodule] -= 60
    outline = outline_lesion(voxels, COARSE, Gesture.of("click", MIDDLE + np.array([0, -44, 0])), liver)
    # a voxel of 4 mm along z: half of it off round 10 mm
    assert dice(outline, nodule) > 0.65
    assert not (outline.mask & lesion[outline.box]).any()


# a hole in the middle, clicked; a part lost at the surface, clicked beside it
@pytest.mark.parametrize(("lost", "off"), [((0, 0, 0), (0, 0, 0)), ((0, 26, 0), (0, -6, 4))])
def test_a_lesion_goes_on_where_the_liver_mask_has_lost_a_part_of_it(lost, off):
    voxels, liver, lesion = giant(-45, -35, -40)
    hole = giant_ellipsoid(MIDDLE + np.array(lost), (26.0, 26.0, 26.0))
    click = Gesture.of("click", MIDDLE + np.array(off))
    outline = outline_lesion(voxels, COARSE, click, liver & ~hole)
    assert dice(outline, lesion) > 0.88
    assert np.count_nonzero(outline.mask & hole[outline.box]) > 0.8 * np.count_nonzero(hole & lesion)


def test_a_lesion_ends_where_fat_parts_it_from_like_tissue_outside_the_liver():
    voxels, liver, lesion = giant(-45, -35, -40)
    # the liver is cut off through the lesion, and beyond 9 mm of fat lies tissue like it
    cut = np.arange(WIDE[1])[None, :, None] < MIDDLE[1] + 12
    fat = ~cut & (np.arange(WIDE[1])[None, :, None] < MIDDLE[1] + 16)
    voxels[np.broadcast_to(fat, WIDE)] = -90
    outline = outline_lesion(voxels, COARSE, Gesture.of("click", MIDDLE + np.array([0, -8, 0])), liver & cut)
    assert dice(outline, lesion & cut) > 0.88
    assert not (outline.mask & ~cut[:, outline.box[1]]).any()


def test_parenchyma_is_learnt_where_a_lesion_fills_the_patch():
    voxels, liver, _ = scene(-60.0)
    values, part = voxels[:, 30:60, 35:65].astype(np.float32), np.ones((36, 30, 30), bool)
    tissue = tissue_of(values, part, voxels, liver)
    assert tissue is not None
    assert tissue.level == pytest.approx(105, abs=3)
    # the noise of 9 HU, and never below a twentieth of the level
    assert 5.0 < tissue.sigma < 12.0
    assert tissue_of(values, part, voxels, np.zeros(SHAPE, bool)) is None


def test_parenchyma_is_learnt_beside_a_lesion_that_is_most_of_the_liver():
    values = np.full((20, 40, 40), 100.0, np.float32)
    values[:, :, :24] = 50.0
    values += np.random.default_rng(4).normal(0, 6.0, values.shape).astype(np.float32)
    whole = np.ones(values.shape, bool)
    patch = Patch((slice(0, 20), slice(0, 40), slice(0, 40)), (1, 1, 1), (2.5, 2.5, 2.5), values, whole, whole)
    tissue = peak_of(values, patch, np.array([25.0, 50.0, 25.0]))
    assert tissue is not None
    assert tissue.level == pytest.approx(100, abs=3)
    assert 5.0 <= tissue.sigma < 9.0
    patch.liver = np.zeros(values.shape, bool)
    assert peak_of(values, patch, np.zeros(3)) is None


def test_refusals():
    with pytest.raises(LivervolError, match="gesture is not known"):
        Gesture.of("shout", (1, 2, 3))
    with pytest.raises(LivervolError, match="points of a diameter"):
        Gesture.of("diameter", (1, 2, 3))
    with pytest.raises(LivervolError, match="outside the scan"):
        outline_lesion(np.zeros(SHAPE), SPACING, Gesture.of("click", (99, 0, 0)))
    with pytest.raises(LivervolError, match="needs a scan"):
        lesion_change(Canvas("lesions", np.zeros(SHAPE, np.uint16), SPACING), Gesture.of("click", (1, 1, 1)), 1)


def test_real_tumours(shared):
    folder = shared / "scans" / "train_ct" / "lits_008"
    drawn = read_labels(folder / "liver_tumour.nii.gz")
    scan = read_image(folder / "ct.nii.gz", modality="CT")
    pieces, stats = label_components((drawn.labels == 2).view(np.uint8), 26)
    found = []
    for number in np.flatnonzero(stats.voxels * drawn.grid.voxel_ml >= 0.52) + 1:
        depth = distance_mm((pieces == number).view(np.uint8), drawn.grid.spacing_mm)
        at = np.unravel_index(int(depth.argmax()), depth.shape)
        outline = outline_lesion(scan.voxels, drawn.grid.spacing_mm, Gesture.of("click", at), drawn.labels > 0)
        found.append(dice(outline, pieces == number))
    assert np.median(found) > 0.75
