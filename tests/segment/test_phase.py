import math

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import GridError, ScanError
from livervol.grid import Grid
from livervol.io.dicom import read_dicom
from livervol.io.nifti import read_nifti
from livervol.scan import Phase, Scan, Segmentation, Source
from livervol.segment.phase import recognise_phases
from livervol.segment.phase_organs import sample_organs
from livervol.segment.phase_rules import (
    OrganRatios,
    OrganSamples,
    arterial_timing,
    phase_from_delay,
    phase_from_description,
    phase_from_ratios,
    phase_from_samples,
)

NATIVE = OrganSamples(41, 42, 45, 55, 46, 35, 32, 0)
EARLY = OrganSamples(310, 60, 58, 62, 70, 95, 40, 0)
LATE = OrganSamples(260, 130, 75, 75, 110, 190, 80, 0)
PORTAL = OrganSamples(150, 170, 150, 110, 120, 170, 150, 0)
DELAYED = OrganSamples(110, 112, 108, 90, 95, 120, 115, 240)


@pytest.mark.parametrize(
    ("samples", "phase"),
    [
        (NATIVE, Phase.NATIVE),
        (EARLY, Phase.EARLY_ARTERIAL),
        (LATE, Phase.LATE_ARTERIAL),
        (PORTAL, Phase.PORTAL_VENOUS),
        (DELAYED, Phase.DELAYED),
    ],
)
def test_typical_scans(samples, phase):
    assert phase_from_samples(samples)[0] is phase


def changed(samples, **values):
    return OrganSamples(**{**samples.__dict__, **values})


@pytest.mark.parametrize(
    ("samples", "phase"),
    [
        # native ends at 80 HU in aorta or cortex
        (changed(NATIVE, aorta=79.0), Phase.NATIVE),
        (changed(NATIVE, aorta=81.0, portal=79.0), Phase.UNKNOWN),
        (changed(NATIVE, cortex=81.0), Phase.UNKNOWN),
        # early: gap of 100, portal below 100, liver within 15 of native
        (changed(EARLY, aorta=161.0, portal=60.0), Phase.EARLY_ARTERIAL),
        (changed(EARLY, aorta=159.0, portal=60.0), Phase.UNKNOWN),
        (changed(EARLY, portal=150.0, spleen=74.0), Phase.EARLY_ARTERIAL),
        (changed(EARLY, portal=150.0, spleen=76.0), Phase.LATE_ARTERIAL),
        (changed(EARLY, liver=71.0, spleen=76.0), Phase.UNKNOWN),
        # late: gap of 40, portal from 90 on, hepatic veins below liver + 15 or a far brighter cortex
        (changed(LATE, portal=219.0), Phase.LATE_ARTERIAL),
        (changed(LATE, portal=221.0, cortex=90.0, hepatic_vein=70.0), Phase.UNKNOWN),
        (changed(LATE, portal=89.0, cortex=90.0), Phase.UNKNOWN),
        (changed(LATE, hepatic_vein=89.0, cortex=90.0), Phase.LATE_ARTERIAL),
        (changed(LATE, hepatic_vein=91.0, cortex=90.0), Phase.UNKNOWN),
        (changed(LATE, hepatic_vein=91.0, cortex=141.0), Phase.LATE_ARTERIAL),
        # an aorta up to 200, or a liver already filled (25 above the assumed native), lies between the phases
        (changed(LATE, aorta=201.0), Phase.LATE_ARTERIAL),
        (changed(LATE, aorta=199.0), Phase.UNKNOWN),
        (changed(LATE, liver=79.0), Phase.LATE_ARTERIAL),
        (changed(LATE, liver=81.0), Phase.UNKNOWN),
        # delayed: aorta and portal vein within 25, urine from 150 on decides; without kidneys an aorta below 135
        (changed(DELAYED, urine=151.0), Phase.DELAYED),
        (changed(DELAYED, urine=149.0), Phase.PORTAL_VENOUS),
        (changed(DELAYED, urine=math.nan), Phase.DELAYED),
        (changed(DELAYED, aorta=136.0, portal=136.0, urine=math.nan), Phase.PORTAL_VENOUS),
        (changed(DELAYED, portal=136.0), Phase.PORTAL_VENOUS),
        # portal venous: portal vein at least aorta - 40, parenchyma filled, hepatic veins not below liver
        (changed(PORTAL, portal=111.0), Phase.PORTAL_VENOUS),
        (changed(PORTAL, portal=109.0, cortex=180.0), Phase.UNKNOWN),
        (changed(PORTAL, hepatic_vein=109.0), Phase.UNKNOWN),
        (changed(PORTAL, liver=81.0, spleen=60.0), Phase.PORTAL_VENOUS),
        (changed(PORTAL, liver=79.0, spleen=60.0), Phase.UNKNOWN),
        (changed(PORTAL, liver=50.0, spleen=76.0), Phase.PORTAL_VENOUS),  # fatty liver: the spleen vouches
        (OrganSamples(liver=100.0, spleen=100.0), Phase.UNKNOWN),
    ],
)
def test_every_threshold(samples, phase):
    assert phase_from_samples(samples)[0] is phase


def test_the_studys_own_native_liver_counts():
    # 95 HU is 40 above the assumed 55, but only 30 above a native liver of 65
    scan = changed(PORTAL, liver=95.0)
    assert phase_from_samples(scan, 55.0)[0] is Phase.PORTAL_VENOUS
    assert phase_from_samples(scan, 65.0)[0] is Phase.UNKNOWN


def test_arterial_timing_from_organs():
    assert arterial_timing(EARLY)[0] is Phase.EARLY_ARTERIAL
    assert arterial_timing(LATE)[0] is Phase.LATE_ARTERIAL
    hardly = OrganSamples(aorta=312, portal=150, liver=66, spleen=73, cortex=66)
    assert arterial_timing(hardly)[0] is Phase.EARLY_ARTERIAL
    assert arterial_timing(changed(hardly, spleen=76.0))[0] is Phase.LATE_ARTERIAL
    assert arterial_timing(changed(hardly, liver=71.0, cortex=101.0))[0] is Phase.LATE_ARTERIAL
    assert arterial_timing(OrganSamples(aorta=200))[0] is Phase.UNKNOWN


@pytest.mark.parametrize(
    ("ratios", "phase"),
    [
        (OrganRatios(2.0, 1.5, 1.19), Phase.LATE_ARTERIAL),
        (OrganRatios(2.0, 1.49, 1.19), Phase.EARLY_ARTERIAL),
        (OrganRatios(1.99, 1.5, 1.19), Phase.UNKNOWN),
        (OrganRatios(2.0, 1.8, 1.2), Phase.PORTAL_VENOUS),
        (OrganRatios(2.6, 1.8, 1.2), Phase.UNKNOWN),
        (OrganRatios(1.1, 1.0, 1.0), Phase.NATIVE),
        (OrganRatios(2.4), Phase.UNKNOWN),
        (OrganRatios(), Phase.UNKNOWN),
    ],
)
def test_ratios_of_t1(ratios, phase):
    assert phase_from_ratios(ratios)[0] is phase


@pytest.mark.parametrize(
    ("delay", "phase"),
    [
        (9, "native"),
        (10, "early_arterial"),
        (29, "early_arterial"),
        (30, "late_arterial"),
        (50, "portal_venous"),
        (100, "delayed"),
        (700, "unknown"),
        (-5, "unknown"),
    ],
)
def test_delay_in_the_header(delay, phase):
    start = 10 * 3600 + 59 * 60 + 50
    at = start + delay
    clock = f"{at // 3600:02d}{at // 60 % 60:02d}{at % 60:02d}.25"
    hints = {"contrast_start_time": "105950.25", "acquisition_time": clock}
    assert phase_from_delay(hints)[0].value == phase


def test_delay_needs_both_times():
    assert phase_from_delay({"acquisition_time": "101010"})[0] is Phase.UNKNOWN
    assert phase_from_delay({"acquisition_time": "late", "contrast_start_time": "101010"})[0] is Phase.UNKNOWN


@pytest.mark.parametrize(
    ("words", "phase"),
    [
        ("LIVER W/O NON-CONTRAST", "native"),
        ("Late_Arterial 1.25", "late_arterial"),
        ("PORTAL VENOUS 2.5", "portal_venous"),
        ("delayed venous 5 min", "delayed"),
        ("3 PHASE LIVER (AP)", "unknown"),
        ("ARTERIAL", "unknown"),
        ("native and portal", "unknown"),
        ("", "unknown"),
    ],
)
def test_description_is_read_but_ap_is_not(words, phase):
    assert phase_from_description({"series_description": words})[0].value == phase


# ---- a torso with known organs ----------------------------------------------------------------------------------


def torso(aorta, portal, vein, liver, spleen, cortex, medulla, seed=3, hints=None):
    """A crude upper abdomen, 60 slices of 4 mm: ellipses and tubes with the given HU and noise of 6 HU."""
    grid = Grid.from_parts((60, 90, 120), (4.0, 3.0, 3.0))
    z, y, x = np.meshgrid(*(np.arange(n) * s for n, s in zip((60, 90, 120), (4, 3, 3), strict=True)), indexing="ij")
    values = np.full(z.shape, -1000.0)

    def ball(cz, cy, cx, rz, ry, rx):
        return ((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1

    def tube(cy, cx, r):
        return (y - cy) ** 2 + (x - cx) ** 2 <= r**2

    body = ((y - 135) / 105) ** 2 + ((x - 180) / 150) ** 2 <= 1
    values[body] = -95
    values[((y - 135) / 105) ** 2 + ((x - 180) / 150) ** 2 > 0.88] = np.where(body, 55, -1000)[
        ((y - 135) / 105) ** 2 + ((x - 180) / 150) ** 2 > 0.88
    ]
    lung = (z > 170) & (((y - 130) / 75) ** 2 + ((x - 180) / 120) ** 2 <= 1)
    values[lung] = -850
    kidneys = ball(70, 170, 105, 36, 26, 24) | ball(70, 170, 255, 36, 26, 24)
    place = ball(140, 125, 100, 60, 70, 62) & ~kidneys
    values[place] = liver
    values[place & ((y - 130) ** 2 + (z - 125) ** 2 <= 7**2)] = portal
    values[place & ((y - 110) ** 2 + (z - 165) ** 2 <= 6**2) & (x > 100)] = vein
    values[ball(150, 165, 268, 32, 28, 24)] = spleen
    values[kidneys] = cortex
    for side in (105, 255):
        values[ball(70, 170, side, 24, 14, 12)] = medulla
    values[tube(185, 180, 20)] = 180
    values[tube(150, 192, 10)] = aorta
    values[tube(150, 164, 10)] = 0.5 * (aorta + liver)
    noise = np.random.default_rng(seed).normal(0, 6, values.shape)
    scan = Scan((values + noise).astype(np.int16), grid, source=Source(hints=hints or {}))
    return scan, Segmentation(place.astype(np.uint8), grid, {1: "liver"})


def test_organs_of_a_torso_are_found():
    scan, liver = torso(220, 150, 80, 70, 120, 190, 90)
    for mask in (None, liver):
        found = sample_organs(scan, mask)
        # block means of 2x2 voxels mix 6 HU noise down to 3; medians over hundreds of voxels are good to 1 HU, vessels
        # keep up to a fifth of their step as partial volume in 6 mm blocks. Without a mask the rough outline may touch
        # the kidney, so the portal vein is checked with one only
        assert found.aorta == pytest.approx(220, abs=6)
        assert found.liver == pytest.approx(70, abs=3)
        assert found.spleen == pytest.approx(120, abs=4)
        assert found.cortex == pytest.approx(190, abs=12)
        assert mask is None or found.portal == pytest.approx(150, abs=20)


def test_a_study_of_torsos():
    native, _ = torso(40, 42, 45, 55, 46, 35, 32)
    late, _ = torso(260, 140, 72, 75, 120, 200, 90)
    portal, _ = torso(150, 170, 150, 112, 120, 175, 150)
    report = recognise_phases([portal, native, late])
    assert [s.phase.value for s in report.scans] == ["portal_venous", "native", "late_arterial"]
    assert len(report.reasons) == 3
    assert report.warnings == ()
    assert report.of(Phase.NATIVE) is report.scans[1]
    assert report.of(Phase.DELAYED) is None


def test_arterial_by_the_callers_word_is_timed():
    early, _ = torso(310, 62, 60, 62, 68, 70, 40)
    late, _ = torso(260, 140, 72, 75, 120, 200, 90)
    report = recognise_phases([early, late], stated={0: "arterial", 1: "arterial"})
    assert [s.phase.value for s in report.scans] == ["early_arterial", "late_arterial"]
    empty = Scan(np.full((8, 8, 8), -1000, np.int16), Grid.from_parts((8, 8, 8), (4, 3, 3)))
    report = recognise_phases([empty], stated={0: "arterial"})
    assert report.scans[0].phase is Phase.LATE_ARTERIAL
    assert "taken as late arterial" in report.warnings[0]


def test_a_given_phase_stays_and_a_doubtful_native_is_named():
    late, _ = torso(260, 140, 72, 75, 120, 200, 90)
    portal, _ = torso(150, 170, 150, 112, 120, 175, 150)
    report = recognise_phases([late.with_phase(Phase.NATIVE), portal])
    assert report.scans[0].phase is Phase.NATIVE
    assert any("given as native, but the aorta" in w for w in report.warnings)
    assert recognise_phases([late.with_phase(Phase.DELAYED)]).scans[0].phase is Phase.DELAYED


def test_order_in_the_study_settles_what_one_scan_leaves_open():
    # aorta above portal but bright hepatic veins and even kidneys: alone it fits no phase
    odd, _ = torso(230, 150, 140, 75, 120, 130, 120)
    portal, _ = torso(150, 170, 150, 112, 120, 175, 150)
    later, _ = torso(120, 100, 60, 100, 100, 100, 90)
    assert recognise_phases([odd]).scans[0].phase is Phase.UNKNOWN
    assert recognise_phases([odd]).warnings != ()
    report = recognise_phases([odd, portal, later])
    assert [s.phase.value for s in report.scans] == ["late_arterial", "portal_venous", "delayed"]


def test_a_scan_between_two_phases_is_settled_by_its_study():
    between, _ = torso(200, 135, 100, 90, 100, 180, 90)
    portal, _ = torso(150, 170, 150, 112, 120, 175, 150)
    alone = recognise_phases([between])
    assert alone.scans[0].phase is Phase.PORTAL_VENOUS
    assert alone.warnings[0].startswith("scan 1: between late arterial and portal venous, taken as early portal venous")
    assert "arterial=PATH" in alone.warnings[0]
    assert "aorta above portal vein as in late arterial" in alone.reasons[0]
    assert [s.phase.value for s in recognise_phases([between, portal]).scans] == ["late_arterial", "portal_venous"]
    named, _ = torso(200, 135, 100, 90, 100, 180, 90, hints={"series_description": "late arterial"})
    assert recognise_phases([named]).scans[0].phase is Phase.LATE_ARTERIAL
    assert recognise_phases([between], stated={0: "arterial"}).scans[0].phase is Phase.LATE_ARTERIAL


def test_header_counts_only_after_the_image():
    odd, _ = torso(230, 150, 140, 75, 120, 130, 120, hints={"series_description": "delayed"})
    report = recognise_phases([odd])
    assert report.scans[0].phase is Phase.DELAYED
    assert "series description" in report.reasons[0]
    assert report.warnings[0].startswith(
        "scan 1: taken as delayed by the header alone: named in the series description"
    )
    portal, _ = torso(150, 170, 150, 112, 120, 175, 150, hints={"series_description": "delayed"})
    assert recognise_phases([portal]).scans[0].phase is Phase.PORTAL_VENOUS


def test_a_header_that_disagrees_is_shown():
    values = (150, 170, 150, 112, 120, 175, 150)

    def warnings(given=Phase.UNKNOWN, **hints):
        scan, _ = torso(*values, hints=hints)
        return recognise_phases([scan.with_phase(given)]).warnings

    assert warnings(series_description="PORTAL VENOUS") == ()
    assert warnings(series_description="3 PHASE LIVER (AP)") == ()
    (said,) = warnings(series_description="delayed")
    assert said.startswith("scan 1: taken as portal venous (portal vein as bright as the aorta")
    assert said.endswith("but the header says delayed: named in the series description")
    times = {"contrast_start_time": "100000", "acquisition_time": "100025"}
    (said,) = warnings(**times)
    assert said.endswith("but the header says early arterial: 25 s after the start of injection by the header")
    assert len(warnings(series_description="delayed", **times)) == 2
    (said,) = warnings(Phase.PORTAL_VENOUS, series_description="late arterial")
    assert said.startswith("scan 1: taken as portal venous (given), but the header says late arterial")


def test_an_arterial_scan_taken_after_the_portal_one_is_reported():
    late, _ = torso(260, 140, 72, 75, 120, 200, 90, hints={"acquisition_number": "3"})
    portal, _ = torso(150, 170, 150, 112, 120, 175, 150, hints={"acquisition_number": "2"})
    assert any("taken after" in w for w in recognise_phases([late, portal]).warnings)
    late, _ = torso(260, 140, 72, 75, 120, 200, 90, hints={"acquisition_number": "1"})
    assert recognise_phases([late, portal]).warnings == ()


def t1(aorta, portal, vein):
    """A T1 phantom: body of 100, aorta, and a liver with a portal tube below and a hepatic vein above."""
    grid = Grid.from_parts((40, 80, 100), (4.0, 3.0, 3.0))
    z, y, x = np.meshgrid(*(np.arange(n) * s for n, s in zip((40, 80, 100), (4, 3, 3), strict=True)), indexing="ij")
    body = ((y - 120) / 100) ** 2 + ((x - 150) / 130) ** 2 <= 1
    values = np.where(body, 100.0, 2.0)
    liver = ((z - 80) / 60) ** 2 + ((y - 110) / 55) ** 2 + ((x - 85) / 50) ** 2 <= 1
    values[liver] *= 1.1
    values[liver & ((y - 110) ** 2 + (z - 60) ** 2 <= 8**2)] = 100 * portal
    values[liver & ((y - 110) ** 2 + (z - 122) ** 2 <= 8**2)] = 100 * vein
    values[(y - 124) ** 2 + (x - 162) ** 2 <= 11**2] = 100 * aorta
    noise = np.random.default_rng(5).normal(0, 1, values.shape)
    scan = Scan((values + noise).astype(np.float32), grid, "MR", "T1")
    return scan, Segmentation(liver.astype(np.uint8), grid, {1: "liver"})


def test_t1_needs_its_own_native_series():
    late, liver = t1(2.6, 1.8, 1.0)
    native, _ = t1(1.0, 1.0, 1.0)
    native = native.with_phase(Phase.NATIVE)
    alone = recognise_phases([late])
    assert alone.scans[0].phase is Phase.UNKNOWN
    assert "no native T1 series" in alone.reasons[0]
    report = recognise_phases([late, native], {0: liver})
    assert report.scans[0].phase is Phase.LATE_ARTERIAL
    t2 = Scan(late.voxels, late.grid, "MR", "T2")
    assert "T2 MR shows no contrast phase" in recognise_phases([t2, native]).reasons[0]
    elsewhere = Scan(late.voxels, Grid.from_parts((40, 80, 100), (4.0, 3.0, 3.1)), "MR", "T1")
    assert recognise_phases([elsewhere, native]).scans[0].phase is Phase.UNKNOWN


def test_refusals():
    scan, _ = torso(40, 42, 45, 55, 46, 35, 32)
    with pytest.raises(ScanError, match="stated phase is not known"):
        recognise_phases([scan], stated={0: "AP"})
    with pytest.raises(ScanError, match="stated phase is not known"):
        recognise_phases([scan], stated={1: "arterial"})
    other = oblique_grid()
    mask = Segmentation(np.ones(other.shape_zyx, np.uint8), other, {1: "liver"})
    with pytest.raises(GridError, match="not on the scan's grid"):
        recognise_phases([scan], {0: mask})


# ---- real scans -------------------------------------------------------------------------------------------------


def test_real_study_with_three_phases(shared):
    before = [s for folder in sorted((shared / "scans/hcc_007/19971227").iterdir()) for s in read_dicom(folder)]
    assert sorted(s.phase.value for s in recognise_phases(before).scans) == [
        "late_arterial",
        "native",
        "portal_venous",
    ]
    (folder,) = (shared / "scans/hcc_007/19980314").iterdir()
    after = recognise_phases(read_dicom(folder))
    assert [s.phase.value for s in after.scans] == ["early_arterial"]


# sabs_02 and sabs_22 are early portal venous, the latter with a fatty liver
@pytest.mark.parametrize(
    ("name", "phase"),
    [("sabs_14", "native"), ("sabs_24", "portal_venous"), ("sabs_02", "portal_venous"), ("sabs_22", "portal_venous")],
)
def test_real_single_scans(shared, name, phase):
    scan = read_nifti(shared / f"scans/train_ct/{name}/ct.nii.gz")
    assert recognise_phases([scan]).scans[0].phase.value == phase
