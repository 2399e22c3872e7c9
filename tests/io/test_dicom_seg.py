from __future__ import annotations

import json
import zlib
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_factory import HOSTILE, damaged_copies
from interop_factory import GRIDS, made, masks_on
from livervol.errors import GridError, LivervolError, ScanError
from livervol.grid import Grid
from livervol.io.dicom import read_dicom
from livervol.io.dicom_seg import read_dicom_seg, read_dicom_seg_layers, write_dicom_seg
from livervol.io.dicom_seg_read import read_dicom_seg_parts
from livervol.io.dicom_source import find_source
from livervol.io.images import read_labels
from livervol.io.nifti import read_nifti_grid, write_nifti_labels
from livervol.scan import Segmentation
from tools import run_tool


@pytest.fixture(scope="module", params=GRIDS)
def visit(request, tmp_path_factory):
    return made(tmp_path_factory.mktemp(request.param) / "scan", GRIDS[request.param]())


@pytest.fixture(scope="module")
def oblique(tmp_path_factory):
    return made(tmp_path_factory.mktemp("oblique") / "scan")


@pytest.fixture(scope="module")
def binary(oblique, tmp_path_factory):
    """Every mask of the oblique visit in one file."""
    path = tmp_path_factory.mktemp("seg") / "binary.dcm"
    return write_dicom_seg(path, oblique.masks, oblique.source, subject="subject 1")


def same(found: Segmentation, expected: Segmentation) -> bool:
    return found.grid == expected.grid and np.array_equal(found.labels, expected.labels)


def test_nested_masks_come_back_voxel_by_voxel(visit, tmp_path):
    path = write_dicom_seg(tmp_path / "seg.dcm", visit.masks, visit.source)
    layers = read_dicom_seg_layers(path, [visit.scan.grid])
    assert len(layers) == 5
    for layer, mask in zip(layers, visit.masks.values(), strict=True):
        assert same(layer, mask)
        assert layer.labels.any()
    assert layers[1].names == {
        1: "segment I",
        4: "segment IV",
        8: "segment VIII",
        41: "segment IVa",
        42: "segment IVb",
    }
    assert layers[3].names == {2: "viable 2", 5: "viable 5"}
    assert layers[4].names == {1: "portal vein", 2: "hepatic vein"}
    assert layers[0].made_by.startswith("livervol")


@pytest.mark.parametrize("name", ["liver", "segments", "lesions"])
def test_labelmap_keeps_label_values(visit, tmp_path, name):
    path = write_dicom_seg(tmp_path / "seg.dcm", {name: visit.masks[name]}, visit.source, kind="LABELMAP")
    assert same(read_dicom_seg(path, grids=[visit.scan.grid]), visit.masks[name])
    assert dcmread(path).SegmentationType == "LABELMAP"


def test_labelmap_of_sixteen_bits(oblique, tmp_path):
    labels = oblique.masks["lesions"].labels.astype(np.uint16)
    labels[labels == 5] = 300
    mask = Segmentation(labels, oblique.scan.grid, {2: "a", 300: "b"})
    path = write_dicom_seg(tmp_path / "seg.dcm", {"lesions": mask}, oblique.source, kind="LABELMAP")
    found = read_dicom_seg(path, "lesions", [oblique.scan.grid])
    assert same(found, mask)
    assert found.names == {2: "lesion 2", 300: "lesion 300"}


def test_one_structure_is_taken_from_overlapping_segments(oblique, binary):
    grids = [oblique.scan.grid]
    for name, mask in oblique.masks.items():
        assert same(read_dicom_seg(binary, name, grids), mask)
        assert same(read_labels(binary, structure=name, grids=grids), mask)
    with pytest.raises(ScanError, match=r"segments overlap: .* voxels in two or more of liver"):
        read_dicom_seg(binary)
    with pytest.raises(
        ScanError, match=r"structure is not in the file: expected a segment of necrosis, got hepatic vein"
    ):
        read_dicom_seg(binary, "necrosis")


def test_empty_slices_are_left_out_and_come_back_on_the_scan(oblique, tmp_path):
    path = write_dicom_seg(tmp_path / "seg.dcm", {"liver": oblique.masks["liver"]}, oblique.source)
    assert dcmread(path).NumberOfFrames == 4  # 7 slices, of which 0, 3 and 6 are empty
    alone = read_dicom_seg(path)
    assert alone.grid.shape_zyx == (5, 8, 9)
    assert np.array_equal(alone.labels, oblique.masks["liver"].labels[1:6])
    matrix = oblique.scan.grid.matrix
    matrix[1, 3] += 0.2
    elsewhere = Grid.from_matrix((7, 8, 9), matrix, oblique.scan.grid.frame)
    assert same(read_dicom_seg(path, grids=[elsewhere, oblique.scan.grid]), oblique.masks["liver"])


def test_multi_frame_source(tmp_path):
    visit = made(tmp_path / "scan", enhanced=True)
    path = write_dicom_seg(tmp_path / "seg.dcm", visit.masks, visit.source)
    for layer, mask in zip(read_dicom_seg_layers(path, [visit.scan.grid]), visit.masks.values(), strict=True):
        assert same(layer, mask)


def test_codes_tracking_and_references(oblique, binary):
    header = dcmread(binary)
    by_label = {item.SegmentLabel: item for item in header.SegmentSequence}
    expected = {
        "liver": ("91723000", "10200004", "SCT"),
        "segment I": ("91723000", "71133005", "SCT"),
        "segment IVa": ("91723000", "277958008", "SCT"),
        "lesion 2": ("49755003", "108369006", "SCT"),
        "viable 5": ("49755003", "C113842", "NCIt"),
        "portal vein": ("91723000", "32764006", "SCT"),
        "hepatic vein": ("91723000", "8993003", "SCT"),
    }
    for label, (category, value, scheme) in expected.items():
        item = by_label[label]
        assert item.SegmentedPropertyCategoryCodeSequence[0].CodeValue == category
        code = item.SegmentedPropertyTypeCodeSequence[0]
        assert (code.CodeValue, code.CodingSchemeDesignator) == (value, scheme)
    assert by_label["lesion 2"].TrackingID == "lesion 2"
    assert "TrackingUID" not in by_label["liver"]
    images = [header.SOPInstanceUID for header in oblique.source.headers]
    series = header.ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == oblique.source.series_uid
    assert sorted(item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence) == sorted(images)
    assert header.FrameOfReferenceUID == oblique.scan.grid.frame


def test_tracking_is_the_same_at_every_visit_and_differs_between_subjects(oblique, binary, tmp_path):
    def uids(path):
        return {part.label: part.tracking_uid for part in read_dicom_seg_parts(path) if part.tracking_uid}

    masks = {"lesions": oblique.masks["lesions"]}
    again = uids(write_dicom_seg(tmp_path / "again.dcm", masks, oblique.source, subject="subject 1"))
    other = uids(write_dicom_seg(tmp_path / "other.dcm", masks, oblique.source, subject="subject 2"))
    assert set(again) == {"lesion 2", "lesion 5"}
    assert again.items() <= uids(binary).items()
    assert not set(again.values()) & set(other.values())
    assert uids(write_dicom_seg(tmp_path / "none.dcm", masks, oblique.source)) == {}


def test_patient_and_study_are_the_sources(oblique, binary):
    header, source = dcmread(binary), oblique.source.headers[0]
    for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate"):
        assert header[name].value == source[name].value
    assert header.SeriesInstanceUID != source.SeriesInstanceUID
    assert not any(word in repr(oblique.source) for word in HOSTILE)


def test_thickness_is_the_distance_of_slices(binary):
    # the source says SliceThickness 99
    measures = dcmread(binary).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (measures.SliceThickness, measures.SpacingBetweenSlices) == (2.5, 2.5)
    assert list(measures.PixelSpacing) == [0.8, 0.7]


# --- other programs --------------------------------------------------------------------------------------------------


def test_dciodvfy_finds_no_error(visit, tmp_path):
    path = write_dicom_seg(tmp_path / "seg.dcm", visit.masks, visit.source, subject="subject 1")
    said = run_tool("dciodvfy", path)
    assert "Segmentation" in said.stderr
    assert "Error" not in said.stderr + said.stdout
    header = dcmread(path)
    del header.SegmentSequence[0].SegmentLabel
    header.save_as(tmp_path / "broken.dcm")
    assert "Error" in run_tool("dciodvfy", tmp_path / "broken.dcm").stderr


def itk_voxels(folder, grid: Grid):
    """dcmqi's images on the grid, by label: world positions decide, not array order."""
    found = {}
    meta = json.loads((folder / "meta.json").read_text())
    for number, attributes in enumerate(meta["segmentAttributes"], start=1):
        image = sitk.ReadImage(str(folder / f"{number}.nrrd"))
        array = sitk.GetArrayFromImage(image)
        for item in attributes:
            labels = np.zeros(grid.shape_zyx, bool)
            index = np.argwhere(array == item["labelID"])
            points = np.array([image.TransformIndexToPhysicalPoint([int(v) for v in zyx[::-1]]) for zyx in index])
            at = grid.lps_to_index(points)
            assert np.abs(at - np.rint(at)).max() < 1e-3
            labels[tuple(np.rint(at).astype(int).T)] = True
            found[item["SegmentLabel"]] = labels
    return found


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_dcmqi_reads_the_same_voxels(visit, tmp_path, kind):
    masks = {"segments": visit.masks["segments"]} if kind == "LABELMAP" else visit.masks
    path = write_dicom_seg(tmp_path / "seg.dcm", masks, visit.source, kind=kind)
    out = tmp_path / "out"
    out.mkdir()
    words = ("--inputDICOM", path, "--outputDirectory", out, "-t", "nrrd", "--mergeSegments")
    said = run_tool("segimage2itkimage", *words)
    assert said.returncode == 0, said.stderr
    found = itk_voxels(out, visit.scan.grid)
    layers = read_dicom_seg_layers(path, [visit.scan.grid])
    assert len(found) == sum(len(layer.names) for layer in layers)
    for layer in layers:
        for value, name in layer.names.items():
            assert np.array_equal(found[name], layer.mask(value)), name


def test_real_liver_has_the_published_volume_and_attenuation(shared):
    folder = shared / "scans/dicom_cases/dcmqi_SEG_SR_liver/data/segmentations"
    scan = read_dicom(folder / "ct-3slice")[0]
    liver = read_dicom_seg(folder / "liver.dcm", "liver", [scan.grid])
    liver.require_grid(scan.grid)
    assert round(1000 * liver.grid.voxel_ml * np.count_nonzero(liver.labels), 1) == 70361.9
    inside = scan.voxels[liver.mask()].astype(np.float64)
    assert (round(inside.mean(), 4), round(inside.std(ddof=1), 4)) == (37.3289, 59.1691)


def test_real_overlapping_segments_agree_with_the_nrrd_beside_them(shared):
    folder = shared / "scans/dicom_cases/dcmqi_SEG_SR_liver/data/segmentations"
    layers = read_dicom_seg_layers(folder / "partial_overlaps.dcm")
    assert [sorted(layer.names) for layer in layers] == [[1, 4, 5], [2], [3]]
    counts = sorted(np.count_nonzero(layer.labels == n) for layer in layers for n in layer.names)
    expected = []
    for number in (1, 2, 3):
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"partial_overlaps-{number}.nrrd")))
        expected += [int(np.count_nonzero(array == v)) for v in np.unique(array) if v]
    assert counts == sorted(expected)
    with pytest.raises(ScanError, match=r"segments overlap"):
        read_dicom_seg(folder / "partial_overlaps.dcm")


@pytest.mark.parametrize("name", ["noppv", "ppv5"])
def test_real_label_maps_agree_with_the_nrrd_beside_them(shared, name):
    folder = shared / "scans/dicom_cases/dcmqi_SEG_SR_liver/data/segmentations"
    layers = read_dicom_seg_layers(folder / f"sparse-labelmap-{name}.dcm")
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"sparse_labelmap_{name}_seg.nrrd")))
    background = 5 if name == "ppv5" else 0
    for layer in layers:
        for value, label in layer.names.items():
            assert np.count_nonzero(layer.labels == value) > 0, label
    total = sum(np.count_nonzero(layer.labels) for layer in layers)
    assert total == np.count_nonzero(~np.isin(array, [0, background]))


@pytest.mark.parametrize("name", ["binary", "binary_fractional", "true_fractional"])
def test_real_fractions_count_from_one_half(shared, name):
    path = shared / f"scans/dicom_cases/highdicom_test_files/data/test_files/seg_image_ct_{name}.dcm"
    header = dcmread(path)
    pixels = header.pixel_array
    limit = 1 if name == "binary" else header.MaximumFractionalValue / 2
    assert np.count_nonzero(read_dicom_seg(path).labels) == np.count_nonzero(pixels >= limit) == 638


def test_real_overlap_and_segmentations_without_a_patient_place(shared):
    folder = shared / "scans/dicom_cases/highdicom_test_files/data/test_files"
    layers = read_dicom_seg_layers(folder / "seg_image_ct_binary_overlap.dcm")
    assert [(dict(layer.names), np.count_nonzero(layer.labels)) for layer in layers] == [
        ({1: "first segment"}, 64),
        ({2: "second segment"}, 16),
    ]
    for name in ("seg_image_sm_control", "seg_image_cr_binary", "seg_image_sm_control_labelmap"):
        with pytest.raises(ScanError, match=r"segmentation has no place in the patient"):
            read_dicom_seg(folder / f"{name}.dcm")
    with pytest.raises(ScanError, match=r"file is not a DICOM segmentation: .*got modality SR"):
        read_dicom_seg(folder / "sr_document.dcm")


# --- refusals --------------------------------------------------------------------------------------------------------


def test_writing_refuses_what_cannot_be_a_segmentation(oblique, tmp_path):
    liver = oblique.masks["liver"]
    empty = replace(liver, labels=np.zeros_like(liver.labels))
    matrix = liver.grid.matrix
    matrix[0, 3] += 0.3
    moved = replace(liver, grid=Grid.from_matrix(liver.grid.shape_zyx, matrix))
    path = tmp_path / "seg.dcm"
    with pytest.raises(ScanError, match=r"nothing to write"):
        write_dicom_seg(path, {"liver": empty}, oblique.source)
    with pytest.raises(GridError, match=r"mask is not on the source's grid"):
        write_dicom_seg(path, {"liver": moved}, oblique.source)
    with pytest.raises(ScanError, match=r"masks overlap: .*LABELMAP, got \d+ voxels in lesions"):
        both = {"liver": liver, "lesions": oblique.masks["lesions"]}
        write_dicom_seg(path, both, oblique.source, kind="LABELMAP")
    with pytest.raises(ScanError, match=r"segmentation type is not known"):
        write_dicom_seg(path, {"liver": liver}, oblique.source, kind="FRACTIONAL")
    assert not path.exists()


def test_source_is_found_from_a_nifti_grid_and_refused_elsewhere(oblique, tmp_path):
    path = write_nifti_labels(tmp_path / "liver.nii.gz", oblique.masks["liver"], oblique.scan.source.stored)
    assert find_source(oblique.folder, read_nifti_grid(path)).grid == oblique.scan.source.stored
    other = oblique.scan.grid.crop((0, 0, 0), (7, 8, 8))
    with pytest.raises(GridError, match=r"no series of the source lies on the masks' grid: expected 7x8x8"):
        find_source(oblique.folder, other)


def edited(**values):
    def change(header):
        for name, value in values.items():
            if value is None:
                delattr(header, name)
            else:
                setattr(header, name, value)

    return change


def position(value):
    def change(header):
        item = header.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
        item["ImagePositionPatient"]._value = value

    return change


def of_segment(number):
    def change(header):
        # one segment: the library shares its number over the frames
        group = header.SharedFunctionalGroupsSequence[0]
        group.SegmentIdentificationSequence[0].ReferencedSegmentNumber = number

    return change


def repeated(header):
    groups = header.PerFrameFunctionalGroupsSequence
    groups[1].PlanePositionSequence = groups[0].PlanePositionSequence


BROKEN = {
    "no pixel data": (edited(PixelData=None), r"segmentation has no pixel data"),
    "pixel data cut": (lambda h: edited(PixelData=h.PixelData[:4])(h), r"pixel data is truncated"),
    "frames too many": (edited(NumberOfFrames=10_000_000), r"frame count is wrong"),
    "rows too many": (edited(Rows=60000), r"segmentation is too large"),
    "no frames": (edited(PerFrameFunctionalGroupsSequence=None), r"frame count is wrong"),
    "no groups at all": (edited(SharedFunctionalGroupsSequence=None), r"no place in the patient"),
    "bits": (edited(BitsAllocated=16), r"pixel format is not a segmentation's"),
    "type": (edited(SegmentationType="PAINTED"), r"segmentation type is not known"),
    "not a segmentation": (edited(SOPClassUID="1.2.840.10008.5.1.4.1.1.2"), r"file is not a DICOM segmentation"),
    "unknown segment": (of_segment(77), r"frame of a segment nobody described: .*got 77"),
    "position far away": (position([1e9, 0, 0]), r"not straight above each other|not uniform|too large"),
    "position not finite": (position([float("nan"), 0, 0]), r"geometry is not finite|damaged"),
    "position of two numbers": (position([1.0, 2.0]), r"DICOM file is damaged"),
    "frame twice": (repeated, r"frame is not unique"),
    "segment described twice": (
        lambda h: h.SegmentSequence.append(h.SegmentSequence[0]),
        r"segment number is not unique",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_segmentations_are_refused_in_one_sentence(oblique, tmp_path, name):
    change, sentence = BROKEN[name]
    path = write_dicom_seg(tmp_path / "seg.dcm", {"liver": oblique.masks["liver"]}, oblique.source)
    header = dcmread(path)
    with disable_value_validation():
        change(header)
        header.save_as(tmp_path / "broken.dcm")
    with pytest.raises(ScanError, match=sentence) as refused:
        read_dicom_seg(tmp_path / "broken.dcm", grids=[oblique.scan.grid])
    assert not any(word in str(refused.value) for word in HOSTILE)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_damaged_bytes_never_raise_anything_else(oblique, tmp_path, kind):
    path = write_dicom_seg(tmp_path / "seg.dcm", {"liver": oblique.masks["liver"]}, oblique.source, kind=kind)
    sentences = []
    for damaged in damaged_copies(path, tmp_path, count=150, most_bytes=5):
        try:
            read_dicom_seg_layers(damaged, [oblique.scan.grid])
        except LivervolError as error:
            sentences.append(str(error))
    assert len(sentences) > 20
    assert not any(word in sentence for word in HOSTILE for sentence in sentences)


def deflated(dataset_bytes):
    """A file whose data set inflates to ``dataset_bytes``."""
    stream = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    body = b"".join([*(stream.compress(chunk) for chunk in dataset_bytes), stream.flush()])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta.ImplementationClassUID = "1.2.3.4"
    head = DicomBytesIO()
    head.is_little_endian, head.is_implicit_VR = True, False
    write_file_meta_info(head, meta)
    return bytes(128) + b"DICM" + head.getvalue() + body


def test_objects_that_grow_when_opened_are_refused(oblique, tmp_path):
    path = tmp_path / "bomb.dcm"
    path.write_bytes(deflated(bytes(1 << 22) for _ in range(20)))
    assert path.stat().st_size < 1 << 18
    with pytest.raises(ScanError, match=r"unpacks to far more than it holds"):
        read_dicom_seg(path)
    item = b"\xfe\xff\x00\xe0\x00\x00\x00\x00"
    path.write_bytes(deflated(item * 1000 for _ in range(500)))
    with pytest.raises(ScanError, match=r"too large when opened"):
        read_dicom_seg(path)
    seg = write_dicom_seg(tmp_path / "seg.dcm", {"liver": oblique.masks["liver"]}, oblique.source)
    items = b"\x62\x00\x02\x00SQ\x00\x00\xff\xff\xff\xff" + item * 500_000
    path.write_bytes(seg.read_bytes() + items)
    with pytest.raises(ScanError, match=r"too large when opened"):
        read_dicom_seg(path)
    # a whole deflated segmentation is read
    header = dcmread(seg)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(tmp_path / "deflated.dcm", enforce_file_format=True)
    assert same(read_dicom_seg(tmp_path / "deflated.dcm", grids=[oblique.scan.grid]), oblique.masks["liver"])


@pytest.mark.parametrize(
    "content", [b"", b"not DICOM at all" * 20, bytes(128) + b"DICM", bytes(128) + b"DICM" + bytes(9)]
)
def test_files_that_are_no_dicom(tmp_path, content):
    path = tmp_path / "mask.dcm"
    path.write_bytes(content)
    with pytest.raises(ScanError, match=r"DICOM file is damaged|file is not a DICOM segmentation"):
        read_labels(path)


def test_folder_and_contours_need_more(oblique, tmp_path):
    with pytest.raises(ScanError, match=r"label map is a folder"):
        read_labels(oblique.folder)
    names = {1: "organ"}
    path = write_dicom_seg(tmp_path / "seg.dcm", {"liver": oblique.masks["liver"]}, oblique.source)
    found = read_labels(path, names, "me", grids=[oblique.scan.grid])
    assert (dict(found.names), found.made_by) == (names, "me")


def test_masks_of_the_factory_are_nested_and_have_gaps():
    masks = masks_on(GRIDS["straight"]())
    assert not (masks["lesions"].mask() & ~masks["liver"].mask()).any()
    assert not masks["liver"].labels[3].any()
