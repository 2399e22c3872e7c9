from __future__ import annotations

import math

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import CriteriaError, GridError
from livervol.grid import Grid
from livervol.measure.growth import GROWTH_CRITERIA, growth
from livervol.measure.planes import wedge_parts
from livervol.measure.remnant import SegmentSpread, find_remnants
from livervol.measure.remnant_rows import RemnantSettings, measure_remnants
from livervol.measure.resection import OPERATIONS, Operation, RemnantProtocol, operation
from livervol.measure.standard_volume import PatientSize
from livervol.response.scores import body_surface_area_m2
from livervol.scan import Segmentation

#: Columns of voxels each segment fills along axis 2, from the patient's right: VI/VII, V/VIII, IV, II/III, I last.
COLUMNS = {7: (2, 6), 8: (6, 11), 4: (11, 14), 2: (14, 17), 1: (17, 18)}
BELOW = {7: 6, 8: 5, 2: 3}
GRID = oblique_grid((10, 7, 20), (2.5, 0.8, 1.5))
VOXEL_ML = GRID.voxel_ml


def seg(labels, grid=GRID, name="segment"):
    return Segmentation(labels.astype(np.uint8), grid, {int(v): f"{name} {v}" for v in np.unique(labels) if v})


def phantom():
    """A box of liver, 10 x 5 x 16 voxels, cut by known planes into segments; level with plane 5 they change."""
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    for value, (start, stop) in COLUMNS.items():
        labels[5:, 1:6, start:stop] = value
        labels[:5, 1:6, start:stop] = BELOW.get(value, value)
    return labels


def lesion(*places):
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    for number, place in enumerate(places, 1):
        labels[place] = number
    return seg(labels, name="lesion")


SEGMENTS = seg(phantom())
LIVER = seg(phantom() > 0, name="liver")


def measured(slug, lesions=None, patient=None, settings=None):
    rows = measure_remnants(LIVER, SEGMENTS, lesions, [slug], patient, settings)
    stem = f"remnant.{operation(slug).slug}."
    assert all(row.name.startswith(stem) for row in rows)
    return {row.name.removeprefix(stem): row for row in rows}


def columns(*values):
    return sum(COLUMNS[v][1] - COLUMNS[v][0] for v in values)


# (operation, columns that stay out of 16, share of planes): counted by hand from COLUMNS
@pytest.mark.parametrize(
    ("slug", "voxels"),
    [
        ("right_hepatectomy", 50 * 7),
        ("extended_right_hepatectomy", 50 * 4),
        ("left_hepatectomy", 50 * 10),
        ("extended_left_hepatectomy", 50 * 5),
        ("left_lateral_sectionectomy", 50 * 13),
        ("left_medial_sectionectomy", 50 * 13),
        ("right_anterior_sectionectomy", 50 * 11),
        ("right_posterior_sectionectomy", 50 * 12),
        ("central_hepatectomy", 50 * 8),
        ("caudate_lobectomy", 50 * 15),
        ("segments:5,6", 25 * 9 + 50 * 7),
        ("right_hepatectomy+caudate", 50 * 6),
    ],
)
def test_volumes_of_known_planes(slug, voxels):
    found = measured(slug)
    assert found["volume_ml"].value == pytest.approx(voxels * VOXEL_ML, rel=1e-12)
    assert found["flr_of_total_percent"].value == pytest.approx(100 * voxels / 800, rel=1e-12)
    assert found["flr_of_functional_percent"].value == pytest.approx(100 * voxels / 800, rel=1e-12)
    assert found["resection_percent"].value == pytest.approx(100 - 100 * voxels / 800, rel=1e-12)


def test_three_denominators_and_tumour_in_the_remnant():
    # 30 voxels of tumour in VIII, 12 in II, of 800
    lesions = lesion(np.s_[6:8, 1:6, 7:10], np.s_[6:8, 1:4, 15:17])
    surface = body_surface_area_m2(170, 70)
    patient = PatientSize(170, 70, "male", {"mosteller": surface})
    found = measured("right_hepatectomy", lesions, patient)
    volume = (350 - 12) * VOXEL_ML
    assert found["volume_ml"].value == pytest.approx(volume)
    assert found["flr_of_functional_percent"].value == pytest.approx(100 * 338 / (800 - 42))
    assert found["flr_of_total_percent"].value == pytest.approx(100 * 338 / 800)
    standard = -794.41 + 1267.28 * surface
    assert found["sflr_percent"].value == pytest.approx(100 * volume / standard)
    assert found["sflr_by.urata_1995.mosteller"].value == pytest.approx(100 * volume / (706.2 * surface + 2.4))
    assert "1267.28 BSA" in found["sflr_percent"].method
    assert "BSA mosteller" in found["sflr_percent"].method
    assert found["weight_ratio_percent"].value == pytest.approx(100 * volume / 70_000)
    assert found["lesions_remaining"].value == 1.0
    assert found["lesions_remaining"].method == "lesions 2"


def test_density_enters_the_weight_ratio():
    patient = PatientSize(weight_kg=50)
    light = measured("left_hepatectomy", None, patient)["weight_ratio_percent"].value
    heavy = measured("left_hepatectomy", None, patient, RemnantSettings(density_g_ml=1.1))["weight_ratio_percent"].value
    assert heavy == pytest.approx(1.1 * light)


def slow_margin(lesion_mask, remnant_mask):
    """Twin: shortest way between the boxes of two sets of voxels."""
    a, b = np.argwhere(lesion_mask), np.argwhere(remnant_mask)
    steps = np.maximum(np.abs(a[:, None] - b[None]) - 1, 0) * np.array(GRID.spacing_mm)
    return float(np.sqrt((steps**2).sum(axis=2)).min())


@pytest.mark.parametrize("column", [3, 5, 7, 9, 10])
def test_margin_is_exact_to_the_voxel(column):
    # the cut of a right hepatectomy lies between columns 10 and 11; voxels between lesion and cut: 10 - column
    found = measured("right_hepatectomy", lesion(np.s_[7, 3, column : column + 1]))
    assert found["margin_mm"].value == pytest.approx((10 - column) * 1.5, abs=1e-5)


@pytest.mark.parametrize("slug", ["segments:5,8", "segments:8", "right_hepatectomy", "central_hepatectomy"])
def test_margin_equals_the_twin_on_steps_and_corners(slug):
    lesions = lesion(np.s_[6:9, 2:4, 7:9])
    kept = np.isin(SEGMENTS.labels, [v for v in range(1, 9) if v not in operation(slug).removed])
    expected = slow_margin(lesions.labels > 0, kept)
    assert expected > 0
    assert measured(slug, lesions)["margin_mm"].value == pytest.approx(expected, abs=1e-5)


def test_lesions_are_cleared_cut_or_left():
    lesions = lesion(np.s_[7, 3, 3], np.s_[7, 3, 10:13], np.s_[7, 3, 15])
    (found,) = find_remnants(LIVER, SEGMENTS, lesions, ["right_hepatectomy"])
    assert (found.cleared, found.cut, found.remaining) == ((1,), (2,), (3,))
    assert found.margin_mm == 0.0
    assert not found.clears(0.0)
    assert "cut through: 2" in measured("right_hepatectomy", lesions)["lesions_remaining"].method


def test_margin_wanted_is_inclusive():
    lesions = lesion(np.s_[7, 3, 6])  # four voxels of 1.5 mm to the cut
    (found,) = find_remnants(LIVER, SEGMENTS, lesions, ["right_hepatectomy"])
    assert found.clears(6.0)
    assert not found.clears(6.01)


def test_a_margin_needs_a_lesion_in_what_is_removed():
    found = measured("right_hepatectomy", lesion(np.s_[7, 3, 15]))
    assert found["margin_mm"].value is None
    assert "no lesion lies in" in found["margin_mm"].reason
    assert measured("right_hepatectomy")["margin_mm"].reason == "no lesion mask was given"


def test_a_wedge_has_the_margin_it_was_cut_with():
    lesions = lesion(np.s_[4:6, 3, 8:10])
    parts = wedge_parts(LIVER, lesions, 4.0)
    (found,) = find_remnants(LIVER, parts, lesions, [Operation("wedge", "wedge", (2,))])
    assert found.clears(4.0)
    assert found.margin_mm == pytest.approx(slow_margin(lesions.labels > 0, parts.labels == 1), abs=1e-5)
    assert found.volume_ml == pytest.approx(np.count_nonzero(parts.labels == 1) * VOXEL_ML)


def test_tumour_and_segments_outside_the_liver_do_not_count():
    inside = measured("right_hepatectomy")
    labels, segments = np.zeros(GRID.shape_zyx, np.uint8), phantom()
    labels[2, 0, 2:9], segments[:, 0] = 1, 4
    rows = measure_remnants(LIVER, seg(segments), seg(labels, name="lesion"), ["right_hepatectomy"])
    found = {row.name.split(".")[-1]: row.value for row in rows}
    assert found["flr_of_functional_percent"] == inside["flr_of_functional_percent"].value
    assert found["lesions_remaining"] == 0.0


def test_an_absent_lobe_cannot_be_removed():
    labels = np.where(np.isin(phantom(), (2, 3)), 0, phantom())
    rows = measure_remnants(seg(labels > 0), seg(labels), None, ["left_lateral_sectionectomy"])
    assert [row.value for row in rows] == [None, None, None]
    assert "hold no voxel" in rows[0].reason


def spread(**scale):
    """Half widths across two boundaries: main (IV | V to VIII) 0.15 ml, left (IV | II, III) 0.2 ml."""
    half = np.zeros((2, 8, 8))
    half[0, 3, 4] = half[0, 4, 3] = 0.05
    half[0, 3, 7] = half[0, 7, 3] = 0.10
    half[1, 1, 3] = half[1, 3, 1] = 0.20
    return SegmentSpread(tuple(range(1, 9)), half, scale.get("floor", 0.0), "made up")


@pytest.mark.parametrize(
    ("slug", "half_ml"),
    [
        ("right_hepatectomy", 0.15),  # the pairs of one boundary move together: 0.05 + 0.10
        ("left_lateral_sectionectomy", 0.2),
        ("left_medial_sectionectomy", 0.25),  # two boundaries err independently
        ("right_posterior_sectionectomy", 0.0),
        ("segments:5", 0.05),
    ],
)
def test_interval_comes_from_the_boundaries_that_are_cut(slug, half_ml):
    plain = measured(slug)
    found = measured(slug, settings=RemnantSettings(spread=spread()))
    volume = found["volume_ml"]
    assert volume.value == plain["volume_ml"].value
    total = 800 * VOXEL_ML
    flr = found["flr_of_functional_percent"]
    assert flr.interval.low == pytest.approx(flr.value - 100 * half_ml / total)
    assert flr.interval.high == pytest.approx(flr.value + 100 * half_ml / total)
    assert volume.interval.high == pytest.approx(volume.value + half_ml)
    assert plain["volume_ml"].interval is None


def test_floor_adds_in_square():
    assert spread(floor=0.05).half_width_ml([5, 6, 7, 8], 4.0) == pytest.approx(0.25)


def test_probability_is_normal_and_half_at_the_threshold():
    flr = measured("left_hepatectomy")["flr_of_functional_percent"].value
    half = 100 * 0.15 / (800 * VOXEL_ML)

    def chance(threshold):
        settings = RemnantSettings(RemnantProtocol("x", threshold), spread())
        return measured("left_hepatectomy", settings=settings)["probability_at_least_threshold"]

    assert chance(flr).value == pytest.approx(0.5)
    assert "borderline" in chance(flr).method
    # a threshold one half width below: 97.5 % of a normal error lies above
    assert chance(flr - half).value == pytest.approx(0.975, abs=1e-9)
    assert chance(flr + half).value == pytest.approx(0.025, abs=1e-9)
    assert "borderline" not in chance(flr + half).method


def test_intervals_stay_between_nothing_and_everything():
    wide = SegmentSpread(tuple(range(1, 9)), 100 * spread().half_widths_ml, 0.0, "made up")
    found = measured("left_medial_sectionectomy", settings=RemnantSettings(spread=wide))
    assert found["flr_of_functional_percent"].interval.low == 0.0
    assert found["flr_of_functional_percent"].interval.high == 100.0


def test_without_spread_the_probability_is_absent():
    row = measured("right_hepatectomy")["probability_at_least_threshold"]
    assert row.value is None
    assert "spread" in row.reason


def test_a_standard_denominator_needs_body_size():
    settings = RemnantSettings(RemnantProtocol("x", 30.0, "standard"), spread())
    assert measured("right_hepatectomy", settings=settings)["probability_at_least_threshold"].reason == (
        "body size was not given"
    )


def test_refusals():
    with pytest.raises(GridError):
        other = Grid.from_parts(GRID.shape_zyx, GRID.spacing_mm)
        measure_remnants(LIVER, seg(phantom(), other), None, ["right_hepatectomy"])
    with pytest.raises(CriteriaError, match="empty"):
        measure_remnants(seg(np.zeros(GRID.shape_zyx)), SEGMENTS, None, ["right_hepatectomy"])
    with pytest.raises(CriteriaError, match="not known"):
        measure_remnants(LIVER, SEGMENTS, None, ["big_hepatectomy"])


def test_real_segments_agree_with_counting(shared):
    from livervol.io.images import read_labels

    segments = read_labels(shared / "labels" / "couinaud" / "lits_021.nii.gz")
    liver = seg(segments.labels > 0, segments.grid)
    found = find_remnants(liver, segments, None, list(OPERATIONS))
    counts = np.bincount(segments.labels.ravel(), minlength=9)
    for remnant in found:
        kept = [v for v in range(1, 9) if v not in remnant.operation.removed]
        assert remnant.flr_of_functional_percent == pytest.approx(100 * counts[kept].sum() / counts[1:].sum())


def test_growth_of_a_remnant():
    # eTLV 1500 ml: 300 ml = 20 %, 450 ml = 30 %; 10 points in 4 weeks = 2.5 points a week
    rows = {row.name: row for row in growth("right_hepatectomy", 300, 450, 28, 1500)}
    assert rows["remnant.right_hepatectomy.increase_percent"].value == pytest.approx(50.0)
    assert rows["remnant.right_hepatectomy.hypertrophy_points"].value == pytest.approx(10.0)
    rate = rows["remnant.right_hepatectomy.kinetic_growth_rate"]
    assert (rate.value, rate.unit) == (pytest.approx(2.5), "points/week")
    assert rate.value >= GROWTH_CRITERIA["shindoh_2013"].least


@pytest.mark.parametrize(
    "wrong", [(0, 450, 28, 1500), (300, -1, 28, 1500), (300, 450, 0, 1500), (300, 450, 28, math.nan)]
)
def test_growth_refuses_what_cannot_be(wrong):
    with pytest.raises(CriteriaError, match="growth"):
        growth("right_hepatectomy", *wrong)
