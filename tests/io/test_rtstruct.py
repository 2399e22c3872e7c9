from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.config import disable_value_validation

from dicom_factory import HOSTILE, damaged_copies
from interop_factory import GRIDS, made
from livervol.errors import GridError, LivervolError, ScanError
from livervol.grid import Grid
from livervol.io.images import read_labels
from livervol.io.rtstruct import read_rtstruct, read_rtstruct_layers, write_rtstruct
from livervol.scan import Segmentation
from tools import run_tool


@pytest.fixture(scope="module", params=GRIDS)
def visit(request, tmp_path_factory):
    return made(tmp_path_factory.mktemp(request.param) / "scan", GRIDS[request.param]())


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    return made(tmp_path_factory.mktemp("straight") / "scan", GRIDS["straight"]())


@pytest.fixture(scope="module")
def contours(straight, tmp_path_factory):
    path = tmp_path_factory.mktemp("rt") / "rt.dcm"
    return write_rtstruct(path, straight.masks, straight.source)


def test_masks_come_back_voxel_by_voxel(visit, tmp_path):
    path = write_rtstruct(tmp_path / "rt.dcm", visit.masks, visit.source)
    layers = read_rtstruct_layers(path, [visit.scan.grid])
    assert len(layers) == 5
    for layer, mask in zip(layers, visit.masks.values(), strict=True):
        assert layer.grid == visit.scan.grid
        assert np.array_equal(layer.labels, mask.labels)
    for name, mask in visit.masks.items():
        found = read_labels(path, structure=name, grids=[visit.scan.grid])
        assert np.array_equal(found.labels, mask.labels)


def test_multi_frame_source(tmp_path):
    visit = made(tmp_path / "scan", enhanced=True)
    path = write_rtstruct(tmp_path / "rt.dcm", visit.masks, visit.source)
    found = read_rtstruct(path, [visit.scan.grid], "liver")
    assert np.array_equal(found.labels, visit.masks["liver"].labels)
    contour = dcmread(path).ROIContourSequence[0].ContourSequence[0]
    assert contour.ContourImageSequence[0].ReferencedFrameNumber == 2


def test_contour_area_times_spacing_is_the_volume(straight, contours):
    header = dcmread(contours)
    by_name = {item.ROINumber: item.ROIName for item in header.StructureSetROISequence}
    for region in header.ROIContourSequence:
        if by_name[region.ReferencedROINumber] != "liver":
            continue
        area = 0.0
        for contour in region.ContourSequence:
            x, y, z = np.asarray(contour.ContourData, float).reshape(-1, 3).T
            assert np.ptp(z) == 0
            area += abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
        count = np.count_nonzero(straight.masks["liver"].labels)
        # points are written with 0.5 um; a voxel's sides are 0.7 and 0.8 mm
        assert area / (0.7 * 0.8) == pytest.approx(count, rel=0.002)


def test_regions_carry_codes_and_the_sources_patient(straight, contours):
    header, source = dcmread(contours), straight.source.headers[0]
    for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert header[name].value == source[name].value
    codes = [item.RTROIIdentificationCodeSequence[0].CodeValue for item in header.RTROIObservationsSequence]
    names = [item.ROIName for item in header.StructureSetROISequence]
    assert dict(zip(names, codes, strict=True))["segment VIII"] == "277962002"
    assert dict(zip(names, codes, strict=True))["viable 2"] == "C113842"


# --- other programs --------------------------------------------------------------------------------------------------


def test_dciodvfy_finds_no_error(visit, tmp_path):
    path = write_rtstruct(tmp_path / "rt.dcm", visit.masks, visit.source)
    said = run_tool("dciodvfy", path)
    assert "RTStructureSet" in said.stderr
    assert "Error" not in said.stderr + said.stdout


def itk_image(labels, grid: Grid):
    image = sitk.GetImageFromArray(labels)
    image.SetOrigin(grid.origin_lps_mm)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetDirection(grid.directions[:, ::-1].ravel())
    return image


def test_plastimatch_fills_the_same_voxels(straight, contours, tmp_path):
    grid = straight.scan.grid
    sitk.WriteImage(itk_image(np.zeros(grid.shape_zyx, np.int16), grid), str(tmp_path / "fixed.mha"))
    words = ("--input", contours, "--fixed", tmp_path / "fixed.mha", "--output-prefix", tmp_path / "out")
    said = run_tool("plastimatch", "convert", *words, "--prefix-format", "mha")
    assert said.returncode == 0, said.stderr
    for layer in read_rtstruct_layers(contours, [grid]):
        for value, name in layer.names.items():
            found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / f"{name}.mha"))) > 0
            mine = layer.mask(value)
            assert 2 * np.count_nonzero(found & mine) >= 0.999 * (np.count_nonzero(found) + np.count_nonzero(mine))


def test_contours_of_plastimatch_are_read(tmp_path):
    # a sphere with a hollow core and a second body, on a grid of its own
    grid = Grid.from_parts((14, 30, 34), (2.5, 0.8, 0.7), (-31.5, 47.25, -812.0))
    z, y, x = np.ogrid[:14, :30, :34]
    radius = ((z - 6) * 2.5) ** 2 + ((y - 15) * 0.8) ** 2 + ((x - 14) * 0.7) ** 2
    labels = ((radius < 81) & (radius > 9)).astype(np.uint8)
    labels[4:9, 20:26, 28:32] = 1
    sitk.WriteImage(itk_image(labels, grid), str(tmp_path / "mask.mha"))
    words = ("--input-ss-img", tmp_path / "mask.mha", "--output-dicom", tmp_path / "dicom")
    assert run_tool("plastimatch", "convert", *words).returncode == 0
    (path,) = [path for path in (tmp_path / "dicom").iterdir() if dcmread(path).Modality == "RTSTRUCT"]
    found = read_rtstruct(path, [grid])
    both = np.count_nonzero((found.labels > 0) & (labels > 0))
    assert 2 * both >= 0.999 * (np.count_nonzero(found.labels) + np.count_nonzero(labels))


# --- refusals --------------------------------------------------------------------------------------------------------


def test_contours_need_the_scan_they_were_drawn_on(straight, contours):
    with pytest.raises(GridError, match=r"contours have no voxels of their own"):
        read_labels(contours)
    grid = straight.scan.grid
    matrix = grid.matrix
    matrix[2, 3] += 1.2
    between = Grid.from_matrix(grid.shape_zyx, matrix, grid.frame)
    other = Grid.from_matrix(grid.shape_zyx, grid.matrix, "1.2.3")
    with pytest.raises(GridError, match=r"contours do not lie on the scan's slices"):
        read_rtstruct(contours, [between, other])
    assert read_rtstruct(contours, [between, other, grid], "liver").grid == grid
    with pytest.raises(GridError, match=r"contour reaches outside the scan"):
        read_rtstruct(contours, [grid.crop((0, 0, 0), (3, 8, 9))], "liver")
    with pytest.raises(ScanError, match=r"structure is not in the file: expected a segment of necrosis"):
        read_rtstruct(contours, [grid], "necrosis")
    with pytest.raises(ScanError, match=r"segments overlap"):
        read_rtstruct(contours, [grid])


def test_writing_refuses_empty_and_misplaced_masks(straight, tmp_path):
    liver = straight.masks["liver"]
    with pytest.raises(ScanError, match=r"nothing to write"):
        write_rtstruct(tmp_path / "a.dcm", {"liver": replace(liver, labels=0 * liver.labels)}, straight.source)
    part = Segmentation(liver.labels[1:], liver.grid.crop((1, 0, 0), (7, 8, 9)), liver.names)
    with pytest.raises(GridError, match=r"mask is not on the source's grid"):
        write_rtstruct(tmp_path / "a.dcm", {"liver": part}, straight.source)
    assert list(tmp_path.iterdir()) == []


def contour_edit(**values):
    def change(header):
        for name, value in values.items():
            setattr(header.ROIContourSequence[0].ContourSequence[0], name, value)

    return change


BROKEN = {
    "open": (contour_edit(ContourGeometricType="OPEN_PLANAR"), r"contour cannot be filled: .*got OPEN_PLANAR"),
    "two points": (contour_edit(ContourData=[0.0] * 6), r"contour cannot be filled: .*6 numbers"),
    "not triples": (contour_edit(ContourData=[0.0] * 10), r"contour cannot be filled"),
    "not flat": (contour_edit(ContourData=[0, 0, 0, 5, 5, 5, 0, 9, 0, 1, 1, 1]), r"do not lie on the scan's slices"),
    "region twice": (
        lambda h: h.StructureSetROISequence.append(h.StructureSetROISequence[0]),
        r"region number is not valid",
    ),
    "no contour number": (lambda h: delattr(h.ROIContourSequence[0], "ReferencedROINumber"), r"file is damaged"),
    "no regions": (lambda h: delattr(h, "StructureSetROISequence"), r"structure is not in the file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_structure_sets_are_refused_in_one_sentence(straight, contours, tmp_path, name):
    change, sentence = BROKEN[name]
    header = dcmread(contours)
    with disable_value_validation():
        change(header)
        header.save_as(tmp_path / "broken.dcm")
    with pytest.raises(LivervolError, match=sentence) as refused:
        read_rtstruct(tmp_path / "broken.dcm", [straight.scan.grid], "liver" if name != "no regions" else "")
    assert not any(word in str(refused.value) for word in HOSTILE)


def test_damaged_bytes_never_raise_anything_else(straight, contours, tmp_path):
    sentences = []
    for damaged in damaged_copies(contours, tmp_path, count=60, most_bytes=5):
        try:
            read_rtstruct(damaged, [straight.scan.grid], "liver")
        except LivervolError as error:
            sentences.append(str(error))
    assert len(sentences) > 10
    assert not any(word in sentence for word in HOSTILE for sentence in sentences)
