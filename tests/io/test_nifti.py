from __future__ import annotations

import gzip
import hashlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from conftest import oblique_grid
from image_factory import (
    AXIS_ORDERS,
    MARK_ZYX,
    SHAPE_ZYX,
    mark_lps_mm,
    ras_affine,
    some_voxels,
    stored_grid_of,
    write_nifti,
)
from livervol.errors import GridError, LivervolError, ScanError
from livervol.grid import Grid
from livervol.io import gzipped
from livervol.io.nifti import read_nifti, read_nifti_grid, read_nifti_labels, write_nifti_labels, write_nifti_scan
from livervol.scan import Phase, Scan, Segmentation

# NIfTI keeps affines in single precision: 24 bits on coordinates up to 1000 mm leave 6e-5 mm a term
SINGLE_MM = 5e-4


def mark_by_nibabel(path) -> tuple[list[int], np.ndarray]:
    """Stored (z, y, x) index and LPS place of the largest voxel, by nibabel alone."""
    image = nib.load(path)
    ijk = np.argwhere(np.asarray(image.dataobj) == np.asarray(image.dataobj).max())[0]
    ras = nib.affines.apply_affine(image.affine, ijk)
    return ijk[::-1].tolist(), ras * (-1, -1, 1)


def mark_by_simpleitk(path) -> tuple[list[int], np.ndarray]:
    image = sitk.ReadImage(str(path))
    voxels = sitk.GetArrayFromImage(image)
    zyx = np.argwhere(voxels == voxels.max())[0]
    return zyx.tolist(), np.array(image.TransformIndexToPhysicalPoint([int(n) for n in zyx[::-1]]))


def mark_by_ours(path) -> tuple[list[int], np.ndarray]:
    scan = read_nifti(path)
    stored = scan.source.stored
    place = scan.grid.index_to_lps(np.argwhere(scan.voxels == scan.voxels.max())[0])
    return np.rint(stored.lps_to_index(place)).astype(int).tolist(), place


READERS = [mark_by_nibabel, mark_by_simpleitk, mark_by_ours]


@pytest.mark.parametrize(("order", "flips"), AXIS_ORDERS)
def test_reading_all_48_axis_orders(tmp_path, order, flips):
    grid = stored_grid_of(order, flips)
    path = write_nifti(tmp_path / "scan.nii.gz", some_voxels(), ras_affine(grid))
    scan = read_nifti(path)
    assert scan.source.stored.matches(grid, SINGLE_MM)
    assert np.array_equal(grid.canonical_order().undo(scan.voxels), some_voxels())
    assert (np.diag(scan.grid.directions[::-1]) > 0.8).all()  # head, back and left grow along axes 0, 1, 2
    for read in READERS:
        index, place = read(path)
        assert index == list(MARK_ZYX)
        assert np.allclose(place, mark_lps_mm(grid), atol=SINGLE_MM)


@pytest.mark.parametrize(("order", "flips"), AXIS_ORDERS)
def test_writing_all_48_axis_orders(tmp_path, order, flips):
    # a mask made in canonical axes lies on the input voxel for voxel, in the input's own order
    source = write_nifti(tmp_path / "scan.nii.gz", some_voxels(), ras_affine(stored_grid_of(order, flips)))
    scan = read_nifti(source)
    mask = Segmentation(scan.voxels == scan.voxels.max(), scan.grid, {1: "liver"})
    path = write_nifti_labels(tmp_path / "mask.nii.gz", mask, scan.source.stored)
    given, written = nib.load(source), nib.load(path)
    assert written.shape == given.shape
    assert np.array_equal(written.affine, given.affine)
    assert written.get_data_dtype() == np.uint8
    for read in READERS:
        index, place = read(path)
        assert index == list(MARK_ZYX)
        assert np.allclose(place, mark_lps_mm(scan.source.stored), atol=SINGLE_MM)
    back = read_nifti_labels(path, {1: "liver"})
    assert back.grid == scan.grid
    assert np.array_equal(back.labels, mask.labels)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.uint16, np.int32, np.float32])
def test_scans_written_in_canonical_order(tmp_path, name, dtype):
    grid = oblique_grid(SHAPE_ZYX)
    voxels = np.abs(some_voxels()).clip(0, 200).astype(dtype)
    voxels[MARK_ZYX] = 201
    path = write_nifti_scan(tmp_path / name, Scan(voxels, grid, "MR", "T1"))
    assert nib.load(path).get_data_dtype() == dtype
    assert np.array_equal(np.asarray(nib.load(path).dataobj).T, voxels)
    for read in READERS:
        index, place = read(path)
        assert index == list(MARK_ZYX)
        assert np.allclose(place, mark_lps_mm(grid), atol=SINGLE_MM)
    assert read_nifti_grid(path).matches(grid, SINGLE_MM)


def test_scan_written_in_the_input_order(tmp_path):
    stored = stored_grid_of((2, 0, 1), (1, -1, -1))
    scan = read_nifti(write_nifti(tmp_path / "in.nii.gz", some_voxels(), ras_affine(stored)))
    write_nifti_scan(tmp_path / "out.nii.gz", scan, scan.source.stored)
    assert np.array_equal(np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj).T, some_voxels())


def test_double_precision_voxels_are_written_single(tmp_path, awkward_grid):
    scan = Scan(np.full((7, 8, 9), 0.1), awkward_grid)
    assert nib.load(write_nifti_scan(tmp_path / "a.nii", scan)).get_data_dtype() == np.float32


def test_label_intent_and_two_byte_labels(tmp_path, awkward_grid):
    labels = np.zeros((7, 8, 9), np.uint16)
    labels[1, 2, 3] = 65535
    path = write_nifti_labels(tmp_path / "a.nii.gz", Segmentation(labels, awkward_grid, {65535: "far"}))
    header = nib.load(path).header
    assert header.get_intent()[0] == "label"
    assert header.get_data_dtype() == np.uint16
    assert header.get_xyzt_units()[0] == "mm"
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    assert read_nifti_labels(path).labels.max() == 65535


def test_the_same_mask_gives_the_same_bytes(tmp_path, awkward_grid):
    mask = Segmentation(np.ones((7, 8, 9), bool), awkward_grid, {1: "liver"})
    one, two = (write_nifti_labels(tmp_path / f"{n}.nii.gz", mask).read_bytes() for n in "ab")
    assert one == two


def test_labels_are_not_written_on_another_place(tmp_path, awkward_grid):
    mask = Segmentation(np.ones((7, 8, 9), bool), awkward_grid, {1: "liver"})
    for other in (awkward_grid.crop((0, 0, 0), (7, 8, 8)), oblique_grid(spacing_mm=(2.5, 0.8, 0.71))):
        with pytest.raises(GridError, match=r"do not lie on the input's grid.*Resample"):
            write_nifti_labels(tmp_path / "a.nii.gz", mask, other)
    assert not list(tmp_path.iterdir())


def test_output_names_and_existing_files(tmp_path, awkward_grid):
    mask = Segmentation(np.ones((7, 8, 9), bool), awkward_grid, {1: "liver"})
    with pytest.raises(ScanError, match=r"ending in \.nii\.gz or \.nii, got mask\.mha"):
        write_nifti_labels(tmp_path / "mask.mha", mask)
    write_nifti_labels(tmp_path / "a.nii.gz", mask)
    with pytest.raises(LivervolError, match="already exists"):
        write_nifti_labels(tmp_path / "a.nii.gz", mask)
    write_nifti_labels(tmp_path / "a.nii.gz", mask, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


# --------------------------------------------------------------------------------------------------------- geometry


def forms(path, sform=None, sform_code=0, qform=None, qform_code=0):
    image = nib.Nifti1Image(some_voxels().T, np.eye(4))
    image.set_sform(sform, code=sform_code)
    image.set_qform(qform, code=qform_code)
    nib.save(image, path)
    return path


def test_sform_is_used_before_qform(tmp_path):
    right, wrong = ras_affine(stored_grid_of((0, 1, 2), (1, 1, 1))), ras_affine(stored_grid_of((0, 2, 1), (1, 1, -1)))
    scan = read_nifti(forms(tmp_path / "a.nii.gz", right, 2, wrong, 1), modality="CT")
    assert scan.source.stored.matches(stored_grid_of((0, 1, 2), (1, 1, 1)), SINGLE_MM)
    assert scan.source.warnings == tuple(w for w in scan.source.warnings if "sform is used" in w) != ()
    assert not read_nifti(forms(tmp_path / "b.nii.gz", right, 2, right, 1), modality="CT").source.warnings


@pytest.mark.parametrize(("order", "flips"), AXIS_ORDERS[::7])
def test_qform_alone(tmp_path, order, flips):
    grid = stored_grid_of(order, flips)
    path = forms(tmp_path / "a.nii.gz", qform=ras_affine(grid), qform_code=1)
    # a quaternion in single precision turns by up to 1e-6; the grid's far corner is 10 mm from its origin
    assert read_nifti_grid(path).matches(grid, 1e-3)
    assert np.allclose(mark_by_simpleitk(path)[1], mark_by_ours(path)[1], atol=1e-4)
    assert np.allclose(mark_by_nibabel(path)[1], mark_by_ours(path)[1], atol=1e-4)


def test_qform_without_a_handedness_is_right_handed(tmp_path):
    grid = stored_grid_of((0, 1, 2), (1, 1, 1))
    path = forms(tmp_path / "a.nii", qform=ras_affine(grid), qform_code=1)
    content = bytearray(path.read_bytes())
    assert content[76:80] == np.float32(1).tobytes()  # pixdim[0]
    content[76:80] = bytes(4)
    path.write_bytes(content)
    assert read_nifti_grid(path).matches(grid, 1e-3)


def test_no_orientation_is_said(tmp_path):
    path = write_nifti(tmp_path / "a.nii", some_voxels(), edit=lambda header: header.__setitem__("sform_code", 0))
    scan = read_nifti(path, modality="CT")
    assert scan.source.warnings == (
        "the file states no orientation: left and right, front and back, head and feet are assumed (RAS)",
    )
    assert scan.grid.spacing_mm == pytest.approx(oblique_grid().spacing_mm)
    # z=1 y=2 x=5, x to the right and y to the front
    assert mark_by_ours(path)[1] == pytest.approx((-5 * 0.7, -2 * 0.8, 2.5), rel=1e-6)
    # the format's method 1; SimpleITK takes such axes to the left and back instead, nibabel to the left and front:
    # programs disagree, hence the warning


@pytest.mark.parametrize(("unit", "mm"), [("mm", 1.0), ("unknown", 1.0), ("micron", 0.001), ("meter", 1000.0)])
def test_lengths_are_millimetres_whatever_the_unit(tmp_path, unit, mm):
    path = write_nifti(tmp_path / "a.nii", some_voxels(), edit=lambda header: header.set_xyzt_units(unit))
    grid = read_nifti_grid(path)
    assert grid.spacing_mm == pytest.approx([s * mm for s in oblique_grid().spacing_mm], rel=1e-6)
    assert grid.origin_lps_mm == pytest.approx([v * mm for v in oblique_grid().origin_lps_mm], rel=1e-6)


def test_nifti_2_and_big_endian(tmp_path):
    affine = ras_affine(oblique_grid())
    nib.save(nib.Nifti2Image(some_voxels().T, affine), tmp_path / "two.nii.gz")
    big = nib.Nifti1Header(endianness=">")
    big.set_data_dtype(">i2")
    nib.save(nib.Nifti1Image(some_voxels(">i2").T, affine, header=big), tmp_path / "big.nii")
    assert (tmp_path / "big.nii").read_bytes()[:4] == (348).to_bytes(4, "big")
    for name in ("two.nii.gz", "big.nii"):
        scan = read_nifti(tmp_path / name)
        assert scan.voxels.dtype == np.dtype("=i2")
        assert np.array_equal(scan.source.stored.canonical_order().undo(scan.voxels), some_voxels())
        assert scan.source.stored.matches(oblique_grid(SHAPE_ZYX), SINGLE_MM)


def test_one_volume_in_four_dimensions_and_extensions(tmp_path):
    image = nib.Nifti1Image(some_voxels().T[..., np.newaxis], ras_affine(oblique_grid()))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a note of some length" * 9))
    nib.save(image, tmp_path / "a.nii.gz")
    assert np.array_equal(mark_by_ours(tmp_path / "a.nii.gz")[0], MARK_ZYX)


def test_gzip_is_found_by_content(tmp_path):
    content = write_nifti(tmp_path / "a.nii", some_voxels()).read_bytes()
    (tmp_path / "plain.nii.gz").write_bytes(content)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(content))
    # block gzip: several members one after another
    (tmp_path / "members.nii.gz").write_bytes(gzip.compress(content[:400]) + gzip.compress(content[400:]))
    for name in ("plain.nii.gz", "packed.nii", "members.nii.gz"):
        assert mark_by_ours(tmp_path / name)[0] == list(MARK_ZYX)


def test_plain_zlib_writes_and_reads_what_isal_does(tmp_path, monkeypatch, awkward_grid):
    mask = Segmentation(np.ones((7, 8, 9), bool), awkward_grid, {1: "liver"})
    fast = write_nifti_labels(tmp_path / "fast.nii.gz", mask)
    monkeypatch.setitem(__import__("sys").modules, "isal", None)
    opener, compressor, errors = gzipped._choose()
    assert opener is gzip.open
    assert OSError in errors
    monkeypatch.setattr(gzipped, "_open", opener)
    monkeypatch.setattr(gzipped, "_compressor", compressor)
    slow = write_nifti_labels(tmp_path / "slow.nii.gz", mask)
    assert gzip.decompress(slow.read_bytes()) == gzip.decompress(fast.read_bytes())
    assert np.array_equal(read_nifti_labels(fast).labels, mask.labels)


# ----------------------------------------------------------------------------------------------------------- values


def scaled(path, raw, slope, intercept):
    def edit(header):
        header["scl_slope"], header["scl_inter"] = slope, intercept

    return write_nifti(path, raw, edit=edit)


@pytest.mark.parametrize(
    ("dtype", "slope", "intercept", "result"),
    [
        (np.int16, 1, 0, np.int16),
        (np.uint16, 1, -1024, np.int16),
        (np.uint16, 0, 7, np.int16),  # slope 0 means: not scaled
        (np.int16, np.nan, np.nan, np.int16),
        (np.uint8, 2, -100, np.int16),
        (np.int16, 0.5, 0, np.float32),
        (np.int32, 0.1, 3, np.float32),
        (np.float32, 1, -1000, np.int16),
        (np.float64, 0.25, 0, np.float32),
    ],
)
def test_scaled_values(tmp_path, dtype, slope, intercept, result):
    raw = np.abs(some_voxels()).clip(0, 250).astype(dtype)
    path = scaled(tmp_path / "a.nii.gz", raw, slope, intercept)
    scan = read_nifti(path, modality="MR")
    got = scan.source.stored.canonical_order().undo(scan.voxels)
    expected = np.asarray(nib.load(path).dataobj).T
    # single-precision slopes: 250 * 6e-8, and values rounded to whole within 1e-3
    assert np.allclose(got, expected, atol=1e-4)
    assert scan.voxels.dtype == result
    if slope != 0:  # SimpleITK adds the intercept there, against the format
        assert np.allclose(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), got, atol=1e-4)


def test_intercept_that_is_no_number(tmp_path):
    with pytest.raises(ScanError, match="header is not valid"):
        read_nifti(scaled(tmp_path / "a.nii", some_voxels(), 1, np.nan))


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.int32, np.uint32, np.int8, np.uint16])
def test_other_integers_become_int16_where_they_fit(tmp_path, dtype):
    voxels = np.abs(some_voxels()).clip(0, 90).astype(dtype)
    scan = read_nifti(write_nifti(tmp_path / "a.nii", voxels), modality="MR")
    assert scan.voxels.dtype == np.int16
    assert np.array_equal(scan.source.stored.canonical_order().undo(scan.voxels), voxels)


@pytest.mark.parametrize(("value", "dtype"), [(32767, np.int16), (32768, np.float32), (-32769, np.float32)])
def test_integers_beyond_int16_become_float32(tmp_path, value, dtype):
    voxels = some_voxels(np.int32)
    voxels[0, 0, 0] = value
    scan = read_nifti(write_nifti(tmp_path / "a.nii", voxels))
    assert scan.voxels.dtype == dtype
    assert value in (scan.voxels.min(), scan.voxels.max())


def test_checksum_of_the_voxels_as_stored(tmp_path):
    path = write_nifti(tmp_path / "a.nii.gz", some_voxels())
    assert read_nifti(path).source.sha256 == hashlib.sha256(some_voxels().astype("<i2").tobytes()).hexdigest()
    other = some_voxels()
    other[0, 0, 0] += 1
    path = write_nifti(tmp_path / "b.nii.gz", other)
    assert read_nifti(path).source.sha256 != hashlib.sha256(some_voxels().tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("low", "modality", "words"),
    [
        (-1000, "CT", "modality assumed CT from the voxel values (50.5 % below -40)"),
        (-100, "CT", "modality assumed CT"),
        (-20, "MR", "modality assumed MR from the voxel values (smallest -20)"),
        (0, "MR", "modality assumed MR from the voxel values (smallest 0)"),
    ],
)
def test_modality_is_guessed_aloud(tmp_path, low, modality, words):
    voxels = np.abs(some_voxels())
    voxels[:, :3] = low
    voxels[0, 3, 0] = low
    scan = read_nifti(write_nifti(tmp_path / "a.nii", voxels))
    assert scan.modality == modality
    assert scan.sequence == ("CT" if modality == "CT" else "other")
    assert len(scan.source.warnings) == 1
    assert scan.source.warnings[0].startswith(words)


def test_a_few_shallow_negatives_do_not_make_a_ct(tmp_path):
    voxels = np.abs(some_voxels())
    voxels[0, 0, :2] = -60  # 2 of 210 voxels is 0.95 %
    assert read_nifti(write_nifti(tmp_path / "a.nii", voxels)).modality == "MR"
    voxels[0, 0, 2] = -60
    assert read_nifti(write_nifti(tmp_path / "a.nii", voxels)).modality == "CT"


def test_stated_modality_sequence_and_phase(tmp_path):
    path = write_nifti(tmp_path / "a.nii", np.abs(some_voxels()))
    scan = read_nifti(path, sequence="T2", phase=Phase.HEPATOBILIARY)
    assert (scan.modality, scan.sequence, scan.phase) == ("MR", "T2", Phase.HEPATOBILIARY)
    assert scan.source.warnings == ()
    scan = read_nifti(path, modality="CT")
    assert scan.source.warnings == ("CT without a negative value (smallest 0): the HU offset may be lost",)
    for modality, sequence in (("CT", "T1"), ("MR", "CT")):
        with pytest.raises(ScanError, match=f"contradicts the modality.*got {sequence} for {modality}"):
            read_nifti(path, modality=modality, sequence=sequence)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.float64, np.uint32])
def test_whole_labels_of_any_type(tmp_path, dtype):
    labels = np.zeros(SHAPE_ZYX)
    labels[MARK_ZYX], labels[0, 0, 0] = 8, 1
    found = read_nifti_labels(write_nifti(tmp_path / "a.nii.gz", labels.astype(dtype)))
    assert found.labels.dtype == np.uint8
    assert dict(found.names) == {1: "label 1", 8: "label 8"}


def test_labels_scaled_to_whole_numbers(tmp_path):
    raw = np.zeros(SHAPE_ZYX, np.uint8)
    raw[MARK_ZYX] = 255
    found = read_nifti_labels(scaled(tmp_path / "a.nii", raw, np.float32(1 / 255), 0))
    assert found.labels.max() == 1


def test_empty_label_map(tmp_path):
    found = read_nifti_labels(write_nifti(tmp_path / "a.nii", np.zeros(SHAPE_ZYX, np.uint8)))
    assert dict(found.names) == {}


@given(st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_spoilt_header_is_read_or_refused_but_never_crashes(tmp_path_factory, changes):
    folder = tmp_path_factory.getbasetemp()
    path = write_nifti(folder / "spoilt.nii", some_voxels())
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place] = value
    path.write_bytes(content)
    try:
        scan = read_nifti(path)
    except LivervolError:
        return
    assert scan.voxels.shape == scan.grid.shape_zyx
    assert np.isfinite(scan.voxels).all()


# ------------------------------------------------------------------------------------------------------- real scans


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("train_ct/sabs_00/ct.nii.gz", "CT"),
        ("train_ct/lits_127/ct.nii.gz", "CT"),
        ("chaos_mr_01/t2spir.nii.gz", "MR"),
        ("totalseg_example/example_ct.nii.gz", "CT"),
        ("totalseg_example/example_mr_sm.nii.gz", "MR"),
    ],
)
def test_real_scans_agree_with_simpleitk(shared, name, modality):
    path = shared / "scans" / name
    scan, image = read_nifti(path), sitk.ReadImage(str(path))
    stored = scan.source.stored
    assert np.array_equal(stored.canonical_order().undo(scan.voxels), sitk.GetArrayFromImage(image))
    assert scan.modality == modality
    last = [n - 1 for n in stored.shape_zyx]
    for z, y, x in np.ndindex(2, 2, 2):
        corner = (z * last[0], y * last[1], x * last[2])
        place = image.TransformIndexToPhysicalPoint([int(n) for n in corner[::-1]])
        assert np.allclose(place, stored.index_to_lps(corner), atol=1e-4)


def test_real_mask_goes_back_where_it_came_from(shared, tmp_path):
    source = shared / "scans/train_ct/sabs_00/organs.nii.gz"
    scan = read_nifti(shared / "scans/train_ct/sabs_00/ct.nii.gz")
    organs = read_nifti_labels(source)
    organs.require_grid(scan.grid)
    assert organs.names[6] == "label 6"
    given, written = nib.load(source), nib.load(write_nifti_labels(tmp_path / "a.nii.gz", organs, scan.source.stored))
    assert np.array_equal(written.affine, given.affine)
    assert np.array_equal(np.asarray(written.dataobj), np.asarray(given.dataobj))


def test_grid_needs_no_voxels(tmp_path):
    path = write_nifti(tmp_path / "a.nii", some_voxels())
    path.write_bytes(path.read_bytes()[:352])
    assert isinstance(read_nifti_grid(path), Grid)
    with pytest.raises(ScanError, match="truncated"):
        read_nifti(path)
