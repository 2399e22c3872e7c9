from __future__ import annotations

import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from conftest import oblique_grid
from image_factory import AXIS_ORDERS, MARK_ZYX, NRRD_HEAD, SHAPE_ZYX, mark_lps_mm, stored_grid_of, write_nrrd
from livervol.errors import GridError, LivervolError, ScanError
from livervol.io.images import read_labels
from livervol.io.seg_nrrd import is_seg_nrrd, read_seg_nrrd, read_seg_nrrd_layers, write_seg_nrrd
from livervol.scan import Segmentation


def liver_and_lesions(grid) -> tuple[Segmentation, Segmentation]:
    liver = np.zeros(SHAPE_ZYX, np.uint8)
    liver[1:4, 1:5, 2:6] = 1
    lesions = np.zeros(SHAPE_ZYX, np.uint8)
    lesions[MARK_ZYX], lesions[2, 3, 3] = 2, 1
    names = {1: "lesion 1", 2: "lesion 2"}
    return Segmentation(liver, grid, {1: "liver"}), Segmentation(lesions, grid, names, "a reader")


@pytest.mark.parametrize(("order", "flips"), AXIS_ORDERS)
def test_places_in_all_48_axis_orders(tmp_path, order, flips):
    grid = stored_grid_of(order, flips)
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", liver_and_lesions(grid)[1])
    image = sitk.ReadImage(str(path))
    labels = sitk.GetArrayFromImage(image)
    zyx = np.argwhere(labels == 2)[0]
    assert zyx.tolist() == list(MARK_ZYX)
    place = image.TransformIndexToPhysicalPoint([int(n) for n in zyx[::-1]])
    assert np.allclose(place, mark_lps_mm(grid), atol=1e-9)
    found = read_seg_nrrd(path)
    assert np.allclose(found.grid.index_to_lps(np.argwhere(found.labels == 2)[0]), mark_lps_mm(grid), atol=1e-9)
    assert (np.diag(found.grid.directions[::-1]) > 0.8).all()


def test_other_programs_find_names_values_extents_and_colours(tmp_path):
    grid = oblique_grid(SHAPE_ZYX)
    path = write_seg_nrrd(tmp_path / "visit.seg.nrrd", liver_and_lesions(grid))
    image = sitk.ReadImage(str(path))
    assert image.GetNumberOfComponentsPerPixel() == 2
    data, fields = nrrd.read(str(path))
    assert data.shape == (2, 7, 6, 5)
    assert fields["kinds"] == ["list", "domain", "domain", "domain"]
    expected = [("liver", "1", "0", "2 5 1 4 1 3"), ("lesion 1", "1", "1", "3 3 3 3 2 2"), ("lesion 2", "2", "1", None)]
    for number, (name, value, layer, extent) in enumerate(expected):
        start = f"Segment{number}_"
        for read in (fields.__getitem__, image.GetMetaData):
            assert read(f"{start}Name") == name
            assert (read(f"{start}LabelValue"), read(f"{start}Layer")) == (value, layer)
            assert read(f"{start}ID") == f"Segment_{number + 1}"
        if extent:
            assert fields[f"{start}Extent"] == extent
    assert "10200004^Liver" in fields["Segment0_Tags"]
    assert "52988006^Lesion" in fields["Segment2_Tags"]
    assert fields["Segmentation_MasterRepresentation"] == "Binary labelmap"
    assert fields["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"
    layers = [np.moveaxis(data, 0, -1)[..., i].T for i in range(2)]
    for layer, given in zip(layers, liver_and_lesions(grid), strict=True):
        assert np.array_equal(layer, given.labels)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("liver", "10200004^Liver"),
        ("lesion 12", "52988006^Lesion"),
        ("viable 1", "52988006^Lesion"),
        ("necrosis 3", "6574001^Necrosis"),
        ("portal vein", "32764006^Portal vein"),
        ("hepatic vein", "8993003^Hepatic vein"),
        ("liverwurst", "85756007^Tissue"),
        ("segment IV", "85756007^Tissue"),
    ],
)
def test_terminology(tmp_path, awkward_grid, name, code):
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", Segmentation(np.ones((7, 8, 9), bool), awkward_grid, {1: name}))
    assert f"~SCT^{code}~" in nrrd.read_header(str(path))["Segment0_Tags"]


def test_colours_of_many_segments_differ(tmp_path, awkward_grid):
    names = {n: f"lesion {n}" for n in range(1, 41)}
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", Segmentation(np.zeros((7, 8, 9), np.uint8), awkward_grid, names))
    fields = nrrd.read_header(str(path))
    colours = np.array([[float(c) for c in fields[f"Segment{n}_Color"].split()] for n in range(40)])
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=-1) + 2 * np.eye(40)
    assert apart.min() > 0.02
    assert (colours >= 0).all()
    assert (colours <= 1).all()


def test_layers_come_back(tmp_path, awkward_grid):
    grid = oblique_grid(SHAPE_ZYX)
    given = liver_and_lesions(grid)
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", given)
    for found, segmentation in zip(read_seg_nrrd_layers(path), given, strict=True):
        assert found.grid == grid
        assert found.names == segmentation.names
        assert np.array_equal(found.labels, segmentation.labels)
    assert read_seg_nrrd(path, layer=1).names == given[1].names
    with pytest.raises(ScanError, match=r"layer is not in the file: expected 0 to 1, got 2"):
        read_seg_nrrd(path, layer=2)
    with pytest.raises(ScanError, match=r"segments overlap.*got 2 voxels in two, the first in 'liver' and 'lesion 2'"):
        read_seg_nrrd(path)


def test_layers_that_do_not_overlap_become_one_map(tmp_path, awkward_grid):
    labels = np.zeros((3, 7, 8, 9), np.uint8)
    labels[0, 1, 2, 3], labels[1, 4, 5, 6], labels[2, 0, 0, 1] = 1, 1, 2
    names = [{1: "liver"}, {1: "spleen"}, {2: "kidney"}]
    layers = [Segmentation(data, awkward_grid, n) for data, n in zip(labels, names, strict=True)]
    found = read_labels(write_seg_nrrd(tmp_path / "a.seg.nrrd", layers))
    assert dict(found.names) == {1: "liver", 2: "spleen", 3: "kidney"}
    assert [int(found.labels[p]) for p in ((1, 2, 3), (4, 5, 6), (0, 0, 1))] == [1, 2, 3]
    assert np.count_nonzero(found.labels) == 3
    # values that differ already are kept
    found = read_seg_nrrd(write_seg_nrrd(tmp_path / "b.seg.nrrd", [layers[0], layers[2]]))
    assert dict(found.names) == {1: "liver", 2: "kidney"}
    assert found.labels[0, 0, 1] == 2


def test_two_byte_labels_and_layers_of_unequal_types(tmp_path, awkward_grid):
    one = Segmentation(np.ones((7, 8, 9), bool), awkward_grid, {1: "liver"})
    far = np.zeros((7, 8, 9), np.uint16)
    far[1, 2, 3] = 300
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", [one, Segmentation(far, awkward_grid, {300: "far"})])
    assert nrrd.read_header(str(path))["type"] == "unsigned short"
    found = read_seg_nrrd_layers(path)
    assert [layer.labels.dtype for layer in found] == [np.uint8, np.uint16]
    assert found[1].labels[1, 2, 3] == 300


def test_absent_segments_and_odd_names(tmp_path, awkward_grid):
    names = {1: "a\\b", 2: "two\nlines", 3: "absent"}
    labels = np.zeros((7, 8, 9), np.uint8)
    labels[0, 0, 0], labels[0, 0, 1] = 1, 2
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", Segmentation(labels, awkward_grid, names))
    assert nrrd.read_header(str(path))["Segment2_Extent"] == "0 -1 0 -1 0 -1"
    assert dict(read_seg_nrrd(path).names) == names
    path = write_seg_nrrd(tmp_path / "b.seg.nrrd", Segmentation(np.zeros((7, 8, 9), bool), awkward_grid, {}))
    assert dict(read_seg_nrrd(path).names) == {}


def test_the_same_segments_give_the_same_bytes(tmp_path):
    given = liver_and_lesions(oblique_grid(SHAPE_ZYX))
    one, two = (write_seg_nrrd(tmp_path / f"{n}.seg.nrrd", given).read_bytes() for n in "ab")
    assert one == two


def test_the_door_tells_segments_from_a_plain_label_map(tmp_path):
    grid = oblique_grid(SHAPE_ZYX)
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", liver_and_lesions(grid)[1])
    plain = path.rename(tmp_path / "a.nrrd")
    assert is_seg_nrrd(plain)
    assert dict(read_labels(plain).names) == {1: "lesion 1", 2: "lesion 2"}
    assert dict(read_labels(plain, {1: "x", 2: "y"}, "me").names) == {1: "x", 2: "y"}
    other = write_nrrd(tmp_path / "b.nrrd", bytes(420))
    assert not is_seg_nrrd(other)
    with pytest.raises(ScanError, match="segmentation header is not valid.*Segment0_ID"):
        read_seg_nrrd(other)


def seg_text(folder, **fields):
    """A one-layer file with one segment, its fields as given."""
    head = NRRD_HEAD | {"type": "uchar"}
    text = "".join(f"{key}: {value}\n" for key, value in head.items() if key != "endian")
    text += "Segment0_ID:=s\n" + "".join(f"Segment0_{key}:={value}\n" for key, value in fields.items())
    path = folder / "a.seg.nrrd"
    path.write_bytes(f"NRRD0004\n{text}\n".encode() + bytes([1]) * 210)
    return path


def test_files_of_before_shared_layers(tmp_path):
    assert dict(read_seg_nrrd(seg_text(tmp_path, Name="tumour")).names) == {1: "tumour"}
    assert dict(read_seg_nrrd(seg_text(tmp_path)).names) == {1: "segment 1"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Name": "liver", "LabelValue": "one"}, r"whole LabelValue and Layer, got 'one'"),
        ({"Name": "liver", "Layer": "3"}, r"expected a layer of 0 to 0, got layer 3 of 'liver'"),
        ({"Name": "liver", "LabelValue": "2"}, r"label without a name.*unnamed \[1\]"),
    ],
)
def test_headers_that_do_not_fit_are_refused(tmp_path, fields, message):
    with pytest.raises(ScanError, match=message):
        read_seg_nrrd(seg_text(tmp_path, **fields))


def test_refused_writing(tmp_path, awkward_grid):
    one = Segmentation(np.ones((7, 8, 9), bool), awkward_grid, {1: "liver"})
    moved = Segmentation(np.ones((7, 8, 9), bool), oblique_grid(degrees_zyx=(7, -11, 14)), {1: "liver"})
    with pytest.raises(GridError, match="different grids"):
        write_seg_nrrd(tmp_path / "a.seg.nrrd", [one, moved])
    with pytest.raises(ScanError, match=r"ending in \.seg\.nrrd, got a\.nrrd"):
        write_seg_nrrd(tmp_path / "a.nrrd", one)
    with pytest.raises(ScanError, match="nothing to write"):
        write_seg_nrrd(tmp_path / "a.seg.nrrd", [])
    assert not list(tmp_path.iterdir())
    write_seg_nrrd(tmp_path / "a.seg.nrrd", one)
    with pytest.raises(LivervolError, match="already exists"):
        write_seg_nrrd(tmp_path / "a.seg.nrrd", one)
    assert [p.name for p in tmp_path.iterdir()] == ["a.seg.nrrd"]
