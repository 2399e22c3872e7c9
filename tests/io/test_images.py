from __future__ import annotations

import re
import sys
import types

import numpy as np
import pytest
import SimpleITK as sitk

from image_factory import (
    AXIS_ORDERS,
    BROKEN_IMAGES,
    BROKEN_MASKS,
    MARK_ZYX,
    mark_lps_mm,
    some_voxels,
    stored_grid_of,
    write_mha,
    write_nifti,
    write_nrrd,
)
from livervol.errors import LivervolError, ScanError
from livervol.grid import Grid
from livervol.io.images import read_image, read_image_grid, read_labels
from livervol.scan import Phase, Scan, Source


def as_sitk(voxels: np.ndarray, grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing([float(s) for s in grid.spacing_mm[::-1]])
    image.SetOrigin([float(v) for v in grid.origin_lps_mm])
    image.SetDirection(grid.directions[:, ::-1].ravel().tolist())
    return image


def marked_place(scan: Scan) -> np.ndarray:
    return scan.grid.index_to_lps(np.argwhere(scan.voxels == scan.voxels.max())[0])


def same_as_sitk(path, scan: Scan) -> None:
    """Same voxels and the same world position of the corners as SimpleITK's reading."""
    image = sitk.ReadImage(str(path))
    stored = scan.source.stored
    assert np.array_equal(stored.canonical_order().undo(scan.voxels), sitk.GetArrayFromImage(image))
    for zyx in [(0, 0, 0), tuple(n - 1 for n in stored.shape_zyx), (0, 1, stored.shape_zyx[2] - 1)]:
        place = image.TransformIndexToPhysicalPoint([int(n) for n in zyx[::-1]])
        assert np.allclose(place, stored.index_to_lps(zyx), atol=1e-6)


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr"])
@pytest.mark.parametrize(("order", "flips"), AXIS_ORDERS[::5])
def test_itk_formats_in_many_axis_orders(tmp_path, order, flips, ending):
    grid = stored_grid_of(order, flips)
    path = tmp_path / f"scan{ending}"
    sitk.WriteImage(as_sitk(some_voxels(), grid), str(path), useCompression=flips[0] > 0)
    scan = read_image(path, modality="CT", phase=Phase.NATIVE)
    assert np.allclose(marked_place(scan), mark_lps_mm(grid), atol=1e-6)
    assert (scan.modality, scan.sequence, scan.phase) == ("CT", "CT", Phase.NATIVE)
    assert scan.source.kind == ("mha" if ending.startswith(".m") else "nrrd")
    assert scan.source.stored.matches(grid, 1e-6)
    assert read_image_grid(path) == scan.source.stored
    assert (np.diag(scan.grid.directions[::-1]) > 0.8).all()
    same_as_sitk(path, scan)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64]
)
@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_every_number_type(tmp_path, dtype, ending):
    voxels = np.abs(some_voxels()).clip(0, 90).astype(dtype)
    voxels[MARK_ZYX] = 100
    grid = stored_grid_of((1, 0, 2), (1, -1, 1))
    sitk.WriteImage(as_sitk(voxels, grid), str(tmp_path / f"scan{ending}"))
    scan = read_image(tmp_path / f"scan{ending}", modality="MR")
    assert scan.voxels.dtype == np.int16
    assert np.array_equal(grid.canonical_order().undo(scan.voxels), voxels)


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (1, 1, 1)),
        ("LPS", (1, 1, 1)),
        ("right-anterior-superior", (-1, -1, 1)),
        ("RAS", (-1, -1, 1)),
        ("left-anterior-superior", (1, -1, 1)),
        ("LAS", (1, -1, 1)),
    ],
)
def test_nrrd_space_is_honoured(tmp_path, space, signs):
    path = write_nrrd(tmp_path / "scan.nrrd", space=space)
    scan = read_image(path)
    # x=5 y=2 z=1 at 0.7, 0.8, 2.5 mm from -31.5, 47.25, -812, in the file's space
    there = np.array([-31.5 + 5 * 0.7, 47.25 + 2 * 0.8, -812 + 2.5]) * signs
    assert np.allclose(marked_place(scan), there, atol=1e-9)
    same_as_sitk(path, scan)


@pytest.mark.parametrize(
    "change",
    [
        {"space": None, "space_dimension": "3"},
        {"space": None, "space_directions": None, "space_origin": None, "spacings": "0.7 0.8 2.5"},
        {"space_origin": None},
    ],
    ids=["no_space", "spacings_only", "no_origin"],
)
def test_nrrd_that_leaves_things_out_is_read_with_a_warning(tmp_path, change):
    scan = read_image(write_nrrd(tmp_path / "scan.nrrd", **change), modality="CT")
    assert scan.grid.spacing_mm == pytest.approx((2.5, 0.8, 0.7))
    assert len(scan.source.warnings) == 1
    assert "assumed" in scan.source.warnings[0]
    assert not read_image(write_nrrd(tmp_path / "whole.nrrd"), modality="CT").source.warnings


def test_nrrd_with_its_data_beside_it(tmp_path):
    (tmp_path / "scan.raw").write_bytes(b"four" + some_voxels().tobytes())
    path = write_nrrd(tmp_path / "scan.nhdr", b"", data_file="scan.raw", byte_skip="4")
    assert np.array_equal(read_image(path).voxels, some_voxels())


@pytest.mark.parametrize("skip", ["10", "-1"])
def test_mhd_whose_data_file_has_a_header(tmp_path, skip):
    (tmp_path / "scan.raw").write_bytes(b"0123456789" + some_voxels().astype(">i2").tobytes())
    path = write_mha(
        tmp_path / "scan.mhd", b"", HeaderSize=skip, BinaryDataByteOrderMSB="True", ElementDataFile="scan.raw"
    )
    scan = read_image(path)
    assert np.array_equal(scan.voxels, some_voxels())
    same_as_sitk(path, scan)


def test_mha_without_directions_is_read_with_a_warning(tmp_path):
    scan = read_image(write_mha(tmp_path / "scan.mha", TransformMatrix=None), modality="CT")
    assert scan.source.warnings == ("the file states no directions: left-posterior-superior is assumed",)


@pytest.mark.parametrize("write", [write_mha, write_nrrd, write_nifti])
def test_the_door_reads_labels_in_every_format(tmp_path, write):
    name = {"write_mha": "m.mha", "write_nrrd": "m.nrrd", "write_nifti": "m.nii"}[write.__name__]
    labels = np.zeros((5, 6, 7), np.int16)
    labels[MARK_ZYX], labels[0, 0, 0] = 300, 2
    data = labels if write is write_nifti else labels.tobytes()
    found = read_labels(write(tmp_path / name, data), made_by="a reader")
    assert found.labels.dtype == np.uint16
    assert dict(found.names) == {2: "label 2", 300: "label 300"}
    assert found.made_by == "a reader"
    named = read_labels(tmp_path / name, {2: "lesion 2", 300: "liver"})
    assert named.names[300] == "liver"
    with pytest.raises(ScanError, match=rf"{name}: label without a name.*300"):
        read_labels(tmp_path / name, {2: "lesion 2"})


@pytest.mark.parametrize(("build", "message"), [b[1:] for b in BROKEN_IMAGES], ids=[b[0] for b in BROKEN_IMAGES])
def test_broken_images_are_refused_in_one_sentence(tmp_path, capfd, build, message):
    refused(tmp_path, capfd, read_image, build, message)


@pytest.mark.parametrize(("build", "message"), [b[1:] for b in BROKEN_MASKS], ids=[b[0] for b in BROKEN_MASKS])
def test_broken_masks_are_refused_in_one_sentence(tmp_path, capfd, build, message):
    refused(tmp_path, capfd, read_labels, build, message)


def refused(folder, capfd, read, build, message) -> None:
    path = build(folder)
    before = sorted(folder.iterdir())
    with pytest.raises(LivervolError, match=message) as caught:
        read(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert re.search(r": expected .+, got .+", sentence)
    assert path.name in sentence
    # the remedy is a sentence of its own after the place
    assert re.search(r"\. [A-Z][^.]*.*\.$", sentence), sentence
    assert sorted(folder.iterdir()) == before
    assert capfd.readouterr() == ("", "")


def test_at_least_thirty_kinds_of_broken_input():
    names = [name for name, _, _ in BROKEN_IMAGES + BROKEN_MASKS]
    assert len(set(names)) == len(names) >= 30


def dicom_door(monkeypatch, scans: list[Scan]) -> None:
    module = types.ModuleType("livervol.io.dicom")
    module.read_dicom = lambda path: scans
    monkeypatch.setitem(sys.modules, "livervol.io.dicom", module)


@pytest.fixture
def dicom_scan(awkward_grid):
    source = Source("dicom", stored=awkward_grid)
    return Scan(np.zeros((7, 8, 9), np.int16), awkward_grid, "MR", "T1", Phase.NATIVE, source=source)


def test_dicom_folders_and_unnamed_files_go_to_the_dicom_reader(tmp_path, monkeypatch, dicom_scan):
    dicom_door(monkeypatch, [dicom_scan])
    for name in ("IM0001", "slice.dcm"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
        assert read_image(tmp_path / name).phase is Phase.NATIVE
    scan = read_image(tmp_path, modality="MR", sequence="T2", phase=Phase.DELAYED)
    assert (scan.sequence, scan.phase) == ("T2", Phase.DELAYED)
    assert read_image_grid(tmp_path) == dicom_scan.grid
    with pytest.raises(ScanError, match=r"expected CT, got MR"):
        read_image(tmp_path, modality="CT")
    with pytest.raises(ScanError, match=r"label map is a folder"):
        read_labels(tmp_path)


def test_a_folder_of_several_volumes_is_refused(tmp_path, monkeypatch, dicom_scan):
    dicom_door(monkeypatch, [dicom_scan, dicom_scan])
    with pytest.raises(ScanError, match=r"one volume, got 2 volumes"):
        read_image(tmp_path)


def test_real_nrrd_masks_agree_with_simpleitk(shared):
    folder = shared / "scans/dicom_cases/dcmqi_SEG_SR_liver/data/segmentations"
    for path in (folder / "liver_seg.nrrd", folder / "24x38x3/nrrd/label.nrrd"):
        same_as_sitk(path, read_image(path, modality="MR"))
        assert read_labels(path).labels.max() == sitk.GetArrayFromImage(sitk.ReadImage(str(path))).max()
