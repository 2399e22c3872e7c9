"""Real scans: the same voxels at the same places as SimpleITK's reader, and a verdict on every folder of odd cases."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from livervol.errors import ScanError
from livervol.io.dicom import read_dicom

ODD = "scans/dicom_cases/dicom2nifti_tests/tests/data"
QI = "scans/dicom_cases/dcmqi_SEG_SR_liver/data"
HD = "scans/dicom_cases/highdicom_test_files/data/test_files"


def by_simpleitk(files: list[str]) -> sitk.Image:
    """SimpleITK's reading of one series, put in patient order by its own means."""
    if len(files) == 1:
        image = sitk.ReadImage(files[0])
    else:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(files)
        image = reader.Execute()
    return sitk.DICOMOrient(image, "LPS")


def series_files(folder: Path, series: str, acquisition: str | None = None) -> list[str]:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series)
    if acquisition is None:
        return list(names)
    return [n for n in names if str(pydicom.dcmread(n, stop_before_pixels=True).AcquisitionNumber) == acquisition]


def assert_same_as_simpleitk(scan, image) -> None:
    expected = sitk.GetArrayFromImage(image)
    if scan.modality == "CT":
        expected = np.maximum(expected.astype(np.int32), -1024)  # padding becomes air by our own rule
    assert scan.voxels.shape == expected.shape
    if scan.voxels.dtype == np.int16:
        assert np.array_equal(scan.voxels, expected)
    else:
        assert np.allclose(scan.voxels, expected, rtol=1e-6, atol=0)
    z, y, x = (n - 1 for n in scan.voxels.shape)
    places = [
        image.TransformIndexToPhysicalPoint((i, j, k)) for k in (0, int(z)) for j in (0, int(y)) for i in (0, int(x))
    ]
    # header positions are rounded to a hundredth in places, and each reader starts from another slice
    assert np.abs(scan.grid.corners_lps_mm() - np.array(places)).max() < 0.01


@pytest.fixture(scope="module")
def visit(shared):
    """Visits by folder, each read once."""
    return functools.cache(lambda where: read_dicom(shared / where))


VISITS = [
    ("scans/chaos_ct_03/dicom", [(78, 2.0)]),
    ("scans/crlm_1004/dicom", [(41, 5.0)]),
    ("scans/hcc_007/19971227", [(18, 10.0), (75, 2.5), (75, 2.5)]),
    ("scans/hcc_007/19980314", [(79, 2.5)]),
]


@pytest.mark.parametrize(("where", "volumes"), VISITS, ids=[v[0].split("/", 1)[1] for v in VISITS])
def test_visits_match_simpleitk(shared, visit, where, volumes):
    scans = visit(where)
    assert [(s.grid.shape_zyx[0], round(s.grid.spacing_mm[0], 4)) for s in scans] == volumes
    for scan in scans:
        assert (scan.modality, scan.voxels.dtype, scan.voxels.min() >= -1024) == ("CT", np.int16, True)
        acquisition = scan.source.hints.get("acquisition_number")
        found = [
            files
            for folder in sorted({p.parent for p in (shared / where).rglob("*.dcm")})
            if (files := series_files(folder, scan.source.uids[1], acquisition))
        ]
        assert_same_as_simpleitk(scan, by_simpleitk(found[0]))


def test_arterial_and_portal_of_one_series_are_two_scans(visit):
    plain, arterial, portal = visit("scans/hcc_007/19971227")
    assert arterial.source.uids == portal.source.uids != plain.source.uids
    assert [s.source.hints["acquisition_number"] for s in (plain, arterial, portal)] == ["1", "2", "3"]
    assert arterial.grid == portal.grid
    assert arterial.source.sha256 != portal.source.sha256
    assert [s.date for s in (plain, arterial, portal)] == ["1997-12-27"] * 3


def test_thickness_is_not_spacing(visit):
    (scan,) = visit("scans/chaos_ct_03/dicom")
    assert scan.source.hints["slice_thickness_mm"] == "3.2"
    assert scan.grid.spacing_mm[0] == pytest.approx(2.0, abs=1e-9)
    assert scan.date is None


def test_two_visits_in_one_folder(shared):
    with pytest.raises(ScanError, match="2 study dates: 1997-12-27 with 2 series, 1998-03-14 with 1 series") as refused:
        read_dicom(shared / "scans/hcc_007")
    assert "HCC" not in str(refused.value)


def test_gaps_of_tcga_are_told(shared):
    with pytest.raises(ScanError) as refused:
        read_dicom(shared / "scans/tcga_bc_a10x")
    message = str(refused.value)
    assert message.startswith("slice spacing is not uniform: expected 8.00 mm, got 6.00 mm between slices 1 and 2, ")
    assert "16.00 mm between slices 22 and 23, 16.00 mm between slices 23 and 24 (series …" in message
    assert "2 slices are probably missing; export the series again." in message
    assert "TCGA" not in message


#: folder: canonical shape, spacing (z, y, x) in mm, modality, sequence
READABLE = {
    f"{ODD}/anatomical/001": ((256, 256, 4), (1, 1, 1), "MR", "T1"),
    f"{ODD}/anatomical/001_implicit": ((256, 256, 4), (1, 1, 1), "MR", "T1"),
    f"{ODD}/ge/anatomical/001": ((256, 256, 4), (1, 1, 1), "MR", "T1"),
    f"{ODD}/ge/anatomical/001_implicit": ((256, 256, 4), (1, 1, 1), "MR", "T1"),
    f"{ODD}/generic/anatomical/001": ((256, 256, 4), (1, 1, 1), "MR", "T2"),
    f"{ODD}/generic/anatomical/001_implicit": ((256, 256, 4), (1, 1, 1), "MR", "T2"),
    f"{ODD}/generic/anatomical/002_non_isotropic": ((4, 28, 64), (0.5, 4, 6.4), "MR", "other"),
    f"{ODD}/generic/compressed/001": ((256, 256, 4), (1, 1, 1), "MR", "T2"),
    f"{ODD}/generic/compressed_j2k/001": ((256, 256, 4), (1, 1, 1), "MR", "T2"),
    f"{ODD}/generic/compressed_jpeg/001": ((256, 256, 4), (1, 1, 1), "MR", "T2"),
    f"{ODD}/generic/compressed_jpegls/001": ((256, 256, 4), (1, 1, 1), "MR", "T2"),
    f"{ODD}/generic/compressed_rle/001": ((256, 256, 4), (1, 1, 1), "MR", "T2"),
    f"{ODD}/philips/anatomical/001": ((240, 4, 240), (1.0417, 0.6004, 1.0417), "MR", "T2"),
    f"{ODD}/philips_enhanced/anatomical/001": ((256, 256, 8), (1, 1, 1.2), "MR", "T1"),
    f"{ODD}/philips_enhanced/anatomical/001_implicit": ((256, 256, 8), (0.9375, 0.9375, 1), "MR", "T1"),
    f"{ODD}/siemens/anatomical/001": ((256, 256, 4), (1, 1, 1), "MR", "T2"),
    f"{ODD}/siemens/anatomical/001_implicit": ((256, 256, 4), (1, 1, 1), "MR", "T2"),
    f"{ODD}/siemens_multiframe/anatomical/001": ((8, 256, 256), (0.9, 0.9375, 0.9375), "MR", "other"),
    f"{QI}/segmentations/23x38x3/image": ((3, 38, 23), (2.5, 0.7, 0.7), "CT", "CT"),
    f"{QI}/segmentations/23x38x3/multiframe": ((3, 38, 23), (2.5, 0.7, 0.7), "CT", "CT"),
    f"{QI}/segmentations/24x38x3/image": ((3, 38, 24), (2.5, 0.7, 0.7), "CT", "CT"),
    f"{QI}/segmentations/24x38x3/multiframe": ((3, 38, 24), (2.5, 0.7, 0.7), "CT", "CT"),
    f"{QI}/segmentations/ct-3slice": ((3, 512, 512), (1.0, 0.8105, 0.8105), "CT", "CT"),
}

REFUSED = {
    f"{ODD}/failing/gantrytilting/001": "stack is sheared (gantry tilt): expected slices straight above each other, "
    "got 14.0 degrees",
    f"{ODD}/failing/notavolume/001": "slice position is not unique: expected one slice at each position, got 4 slices "
    "at 1 position",
    f"{ODD}/failing/slicecount/001": "series is not a volume: expected at least 3 slices at different positions, got 2",
    f"{ODD}/failing/sliceincrement/001": "slice spacing is not uniform: expected 5.00 mm, got 10.00 mm between slices "
    "3 and 4",
    f"{ODD}/failing/sliceincrement/002": "stack is sheared (gantry tilt): expected slices straight above each other, "
    "got 15.5 degrees",
    f"{ODD}/failing/sliceorientation/001": "slice orientations are mixed: expected one orientation, got 2 orientations",
    f"{ODD}/generic/rgb/001": "no CT or MR volume found: expected a CT or MR series, got 4 secondary captures",
    f"{ODD}/ge/anatomical/001_single_slice": "series is not a volume: expected at least 3 slices at different "
    "positions, got 1",
    f"{QI}/segmentations": "folder holds more than one patient: expected one patient, got 2 patients",
    f"{QI}/segmentations/23x38x3/seg": "no CT or MR volume found: expected a CT or MR series, got 1 segmentation",
    f"{QI}/segmentations/23x38x3/nrrd": "no DICOM found: expected DICOM files, got 1 file without a DICOM header",
    f"{QI}/segmentations/23x38x3/screenshots": "no DICOM found: expected DICOM files, got 2 files",
    f"{QI}/segmentations/24x38x3/seg": "no CT or MR volume found: expected a CT or MR series, got 1 segmentation",
    f"{QI}/segmentations/24x38x3/nrrd": "no DICOM found: expected DICOM files, got 1 file without a DICOM header",
    f"{QI}/segmentations/24x38x3/screenshots": "no DICOM found: expected DICOM files, got 2 files",
    f"{QI}/sr-example": "no CT or MR volume found: expected a CT or MR series, got 3 segmentations, reports",
    f"{HD}": "series is not a volume: expected at least 3 slices at different positions, got 1",
}


@pytest.mark.parametrize("where", READABLE, ids=lambda where: where.split("/data/")[1])
def test_readable_cases(shared, where):
    shape, spacing, modality, sequence = READABLE[where]
    (scan,) = read_dicom(shared / where)
    assert scan.grid.shape_zyx == shape
    assert scan.grid.spacing_mm == pytest.approx(spacing, abs=1e-4, rel=2e-3)
    assert (scan.modality, scan.sequence) == (modality, sequence)
    assert scan.source.warnings == ()


@pytest.mark.parametrize("where", READABLE, ids=lambda where: where.split("/data/")[1])
def test_readable_cases_match_simpleitk(shared, where):
    (scan,) = read_dicom(shared / where)
    files = sorted(str(p) for p in (shared / where).glob("*.dcm"))
    if len(files) > 1:
        files = series_files(shared / where, scan.source.uids[1])
    assert_same_as_simpleitk(scan, by_simpleitk(files))


@pytest.mark.parametrize("where", REFUSED, ids=lambda where: where.split("dicom_cases/")[1])
def test_refused_cases(shared, where):
    with pytest.raises(ScanError) as refused:
        read_dicom(shared / where)
    message = str(refused.value)
    assert message.startswith(REFUSED[where])
    assert not any(name in message for name in ("dicom2nifti (", "123456", "99000", "QIN", "1CT1"))


def test_every_folder_of_odd_cases_has_a_verdict(shared):
    """Folders that hold a DICOM file directly, beside those that only hold them further down."""
    judged = {shared / where for where in (*READABLE, *REFUSED)}
    held = {p.parent for p in (shared / "scans/dicom_cases").rglob("*") if p.is_file() and _is_dicom(p)}
    assert held <= judged


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as handle:
        handle.seek(128)
        return handle.read(4) == b"DICM"


def test_classic_and_multi_frame_of_one_scan_agree(shared):
    """The same three slices, once as files and once as frames; label and pictures beside them are skipped."""
    classic, frames = read_dicom(shared / QI / "segmentations/23x38x3")
    assert np.array_equal(classic.voxels, frames.voxels)
    assert np.abs(classic.grid.corners_lps_mm() - frames.grid.corners_lps_mm()).max() < 1e-6
    assert classic.source.warnings == (
        "3 files without a DICOM header left out (label.nrrd, brainlab.jpg, slicer.png)",
    )


def test_liver_of_three_slices_beside_its_segmentation(shared, tmp_path):
    """README of the data: spacing 1.0 mm, thickness 1.25; liver 70,361.9 mm3, mean 37.3289 HU, SD 59.1691."""
    for path in (*(shared / QI / "segmentations/ct-3slice").glob("*.dcm"), shared / QI / "segmentations/liver.dcm"):
        (tmp_path / path.name).symlink_to(path)
    (scan,) = read_dicom(tmp_path)
    assert scan.source.warnings == ()
    assert scan.source.hints["slice_thickness_mm"].startswith("1.25")
    assert scan.grid.spacing_mm[0] == pytest.approx(1.0, abs=1e-6)
    seg = pydicom.dcmread(shared / QI / "segmentations/liver.dcm")
    mask = np.zeros(scan.voxels.shape, bool)
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        corner = groups.PlanePositionSequence[0].ImagePositionPatient
        mask[round(float(scan.grid.lps_to_index([float(v) for v in corner])[0]))] |= frame.astype(bool)
    inside = scan.voxels[mask].astype(float)
    assert inside.size * scan.grid.voxel_ml * 1000 == pytest.approx(70361.9, abs=0.1)
    assert inside.mean() == pytest.approx(37.3289, abs=1e-4)
    assert inside.std(ddof=1) == pytest.approx(59.1691, abs=1e-3)
