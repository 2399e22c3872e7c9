"""Series made for the purpose: voxels, places, phases, order, and what is left out beside them."""

from __future__ import annotations

import os
import re
import shutil
import warnings

import numpy as np
import pytest

from conftest import oblique_grid
from dicom_factory import BROKEN_DICOM, HOSTILE, pattern, set_raw, uid, write_enhanced, write_object, write_series
from livervol.errors import ScanError
from livervol.grid import Grid
from livervol.io.dicom import read_dicom
from livervol.scan import Phase


def read_one(path):
    scans = read_dicom(path)
    assert len(scans) == 1
    return scans[0]


def assert_scan(scan, stored, grid):
    """Voxels as expected in stored order, and each at its own place in the patient."""
    assert scan.source.stored.shape_zyx == grid.shape_zyx
    assert np.abs(scan.source.stored.corners_lps_mm() - grid.corners_lps_mm()).max() < 1e-4
    order = scan.source.stored.canonical_order()
    assert np.array_equal(order.undo(scan.voxels), stored)
    # every voxel's place, found without the order: stored index to LPS to canonical index
    index = np.stack(np.indices(grid.shape_zyx), axis=-1).reshape(-1, 3)
    canonical = scan.grid.lps_to_index(grid.index_to_lps(index))
    assert np.abs(canonical - np.rint(canonical)).max() < 1e-3
    picked = scan.voxels[tuple(np.rint(canonical).astype(int).T)]
    assert np.array_equal(picked, stored.reshape(-1))


def test_oblique_ct_in_hu(tmp_path):
    write_series(tmp_path / "s")
    scan = read_one(tmp_path / "s")
    assert_scan(scan, pattern() - 1024, oblique_grid())
    assert scan.voxels.dtype == np.int16
    assert (scan.modality, scan.sequence, scan.phase, scan.date) == ("CT", "CT", Phase.UNKNOWN, "2024-02-29")
    assert scan.source.kind == "dicom"
    assert scan.source.uids == (uid("study"), uid("a"))
    assert scan.grid.frame == uid("frame")
    assert scan.source.warnings == ()
    # the header says 99 mm; the positions say 2.5
    assert scan.source.hints["slice_thickness_mm"] == "99.0"
    assert scan.grid.spacing_mm == pytest.approx((2.5, 0.8, 0.7), abs=1e-4)


@pytest.mark.parametrize(
    "columns",
    [
        [(0, 0, 1), (0, 1, 0), (1, 0, 0)],
        [(0, 0, -1), (0, -1, 0), (1, 0, 0)],
        [(1, 0, 0), (0, 0, -1), (0, 1, 0)],
        [(0, -1, 0), (0, 0, -1), (1, 0, 0)],
    ],
    ids=["axial", "prone axial", "sagittal", "coronal"],
)
def test_planes_are_put_in_canonical_order(tmp_path, columns):
    directions = np.array(columns, float).T
    # slices must run along row x column, as sorted; otherwise the last slice comes first
    normal = np.cross(directions[:, 2], directions[:, 1])
    voxels = pattern()
    grid = Grid.from_parts(voxels.shape, (2.5, 0.8, 0.7), (10, -20, 30), directions)
    write_series(tmp_path / "s", voxels=voxels, grid=grid)
    scan = read_one(tmp_path / "s")
    expected = voxels - 1024
    if normal @ directions[:, 0] < 0:
        order = Grid.from_parts(voxels.shape, (1, 1, 1)).canonical_order()
        flipped = type(order)((0, 1, 2), (True, False, False))
        expected, grid = flipped.apply(expected), grid.reordered(flipped)
    assert_scan(scan, expected, grid)
    unit = scan.grid.directions
    assert all(unit[lps, axis] == pytest.approx(1) for axis, lps in enumerate((2, 1, 0)))


def test_file_order_and_depth_do_not_matter(tmp_path):
    paths = write_series(tmp_path / "s")
    plain = read_one(tmp_path / "s")
    for number, path in enumerate(paths):
        target = tmp_path / "t" / f"d{number % 3}" / f"z{9 - number}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    moved = read_one(tmp_path / "t")
    assert moved.grid == plain.grid
    assert moved.source.sha256 == plain.source.sha256
    assert np.array_equal(moved.voxels, plain.voxels)


def test_sha_tells_stored_values_apart(tmp_path):
    write_series(tmp_path / "a")
    other = pattern()
    other[3, 2, 1] += 1
    write_series(tmp_path / "b", voxels=other)
    assert read_one(tmp_path / "a").source.sha256 != read_one(tmp_path / "b").source.sha256


def test_padding_becomes_air(tmp_path):
    stored = pattern()
    stored[:, 0, :] = -2000
    stored[:, 1, :] = 30  # below air after the rescale would be -994: stays

    def edit(ds, number):
        set_raw(ds, "PixelPaddingValue", "US", (63536).to_bytes(2, "little"))

    write_series(tmp_path / "s", voxels=stored, edit=edit)
    hu = np.maximum(stored - 1024, -1024)
    scan = read_one(tmp_path / "s")
    assert_scan(scan, hu, oblique_grid())
    assert hu.min() == -1024


def test_bright_padding_becomes_air_and_tissue_does_not(tmp_path):
    stored = pattern()
    stored[:, 0, :] = 32000
    stored[:, 1, :] = 1024

    def padded(value):
        return lambda ds, number: setattr(ds, "PixelPaddingValue", value)

    write_series(tmp_path / "bright", voxels=stored, edit=padded(32000))
    expected = np.where(stored == 32000, -1024, stored - 1024)
    assert_scan(read_one(tmp_path / "bright"), expected, oblique_grid())
    # a padding value of 0 HU cannot be told from water
    write_series(tmp_path / "water", voxels=stored, edit=padded(1024))
    assert_scan(read_one(tmp_path / "water"), stored - 1024, oblique_grid())


def test_fractional_rescale_gives_floats(tmp_path):
    def edit(ds, number):
        ds.RescaleSlope, ds.RescaleIntercept = 0.5 + 0.125 * number, -1000.25

    write_series(tmp_path / "s", edit=edit)
    scan = read_one(tmp_path / "s")
    slopes = (0.5 + 0.125 * np.arange(7))[:, None, None]
    assert scan.voxels.dtype == np.float32
    assert_scan(scan, (pattern() * slopes - 1000.25).astype(np.float32), oblique_grid())


def test_whole_values_beyond_int16_stay_exact(tmp_path):
    stored = pattern(dtype="<u2") * 16
    write_series(tmp_path / "s", voxels=stored, kind="MR")
    scan = read_one(tmp_path / "s")
    assert scan.voxels.dtype == np.float32
    assert_scan(scan, stored.astype(np.float32), oblique_grid())


def test_bits_above_high_bit_are_no_voxels(tmp_path):
    """12 of 16 bits, an overlay in the upper four; signed values carry their sign in bit 11."""
    true = (pattern() % 4096) - 2048

    def edit(ds, number):
        ds.BitsStored, ds.HighBit = 12, 11
        ds.RescaleIntercept = 0

    stored = ((true & 0x0FFF) | 0x5000).astype("<i2")
    write_series(tmp_path / "s", voxels=stored, edit=edit)
    assert_scan(read_one(tmp_path / "s"), np.maximum(true, -1024), oblique_grid())


def two_phase_voxels():
    return np.concatenate([pattern(), pattern() + 50])


def two_phase_series(folder, key):
    positions = [oblique_grid().index_to_lps((n, 0, 0)) for n in range(7)]

    def edit(ds, number):
        ds.ImagePositionPatient = [round(float(v), 6) for v in positions[number % 7]]
        key(ds, number)

    write_series(folder, voxels=two_phase_voxels(), edit=edit)


def set_key(name, first, second):
    return lambda ds, number: setattr(ds, name, first if number < 7 else second)


@pytest.mark.parametrize(
    "key",
    [
        set_key("AcquisitionNumber", 2, 3),
        set_key("TemporalPositionIdentifier", 1, 2),
        set_key("EchoNumbers", 1, 2),
        set_key("ImageType", ["DERIVED", "PRIMARY", "A"], ["DERIVED", "PRIMARY", "B"]),
        set_key("TriggerTime", 0, 900),
        set_key("AcquisitionTime", "101500", "101540"),
    ],
    ids=["acquisition", "temporal", "echo", "image type", "trigger", "time"],
)
def test_phases_in_one_series_are_parted(tmp_path, key):
    two_phase_series(tmp_path / "s", key)
    first, second = read_dicom(tmp_path / "s")
    assert_scan(first, pattern() - 1024, oblique_grid())
    assert_scan(second, pattern() + 50 - 1024, oblique_grid())
    assert first.source.uids == second.source.uids


def test_phases_that_nothing_tells_apart_are_refused(tmp_path):
    two_phase_series(tmp_path / "s", lambda ds, number: None)
    with pytest.raises(ScanError, match="slice position is not unique: .*got 14 slices at 7 positions"):
        read_dicom(tmp_path / "s")


def test_acquisition_number_per_slab_is_one_volume(tmp_path):
    write_series(tmp_path / "s", edit=lambda ds, number: setattr(ds, "AcquisitionNumber", 1 + number // 4))
    assert_scan(read_one(tmp_path / "s"), pattern() - 1024, oblique_grid())


@pytest.mark.parametrize(("times", "expected"), [(("1030", "1015"), ["b", "a"]), (("1030", ""), ["a", "b"])])
def test_order_by_time_where_every_series_has_one(tmp_path, times, expected):
    for name, time, number in zip("ab", times, (1, 2), strict=True):
        write_series(
            tmp_path / name,
            series=name,
            edit=lambda ds, _, time=time, number=number: ds.update(
                {"AcquisitionTime": time, "AcquisitionNumber": number, "SeriesNumber": 9 - number}
            ),
        )
    assert [scan.source.uids[1] for scan in read_dicom(tmp_path)] == [uid(name) for name in expected]


def test_hints_carry_what_phase_recognition_needs(tmp_path):
    facts = {
        "AcquisitionTime": "101530",
        "AcquisitionNumber": 4,
        "ContrastBolusStartTime": "101455",
        "SeriesNumber": 12,
        "SeriesDescription": "LIVER ART",
        "KVP": 100,
    }
    write_series(tmp_path / "s", edit=lambda ds, number: ds.update(facts))
    hints = read_one(tmp_path / "s").source.hints
    assert hints["acquisition_time"] == "101530"
    assert hints["acquisition_number"] == "4"
    assert hints["contrast_start_time"] == "101455"
    assert hints["series_number"] == "12"
    assert hints["series_description"] == "LIVER ART"
    assert float(hints["kvp"]) == 100


def scout_slice(folder, name="scout", **values):
    """One slice at a right angle to the series of ``folder``, in the same series."""

    def edit(ds, number):
        ds.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        ds.update(values)

    path = write_series(folder / "tmp", voxels=pattern((1, 8, 9)), edit=edit)[0]
    path.rename(folder / name)


def test_what_stands_beside_a_good_series(tmp_path):
    write_series(tmp_path / "s")
    scout_slice(tmp_path, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    scout_slice(tmp_path, name="stray")
    for kind in ("SC", "PT", "SEG", "SR"):
        write_object(tmp_path / kind, kind)
    (tmp_path / "notes.txt").write_text("plain words")
    (tmp_path / "DICOMDIR").write_text("plain words")
    (tmp_path / ".hidden").write_text("plain words")
    write_series(tmp_path / "short", series="short", voxels=pattern((4, 8, 9)), skip=(1,))
    scan = read_one(tmp_path)
    assert_scan(scan, pattern() - 1024, oblique_grid())
    found = "; ".join(scan.source.warnings)
    assert re.search(r"1 localizer image left out \(series …", found)
    assert re.search(r"1 slice at an angle to the others left out \(series …", found)
    assert "1 secondary capture or derived picture left out" in found
    assert "1 PT object left out; only CT and MR are read" in found
    assert "1 file without a DICOM header left out (notes.txt)" in found
    assert "3 slices at 3 positions, too few for a volume, left out" in found
    assert len(scan.source.warnings) == 6  # SEG and SR belong beside a scan


def test_good_series_alone_has_no_warning(tmp_path):
    write_series(tmp_path / "s")
    write_object(tmp_path / "SEG", "SEG")
    assert read_one(tmp_path).source.warnings == ()


def test_three_plane_scout_beside_a_good_series(tmp_path):
    write_series(tmp_path / "s")
    planes = ([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1])

    def edit(ds, number):
        ds.ImageOrientationPatient = planes[number % 3]

    write_series(tmp_path / "scout", series="scout", voxels=pattern((15, 8, 9)), edit=edit)
    scan = read_one(tmp_path)
    assert [w.split(" (")[0] for w in scan.source.warnings] == ["three-plane localizer left out"]
    with pytest.raises(ScanError, match="slice orientations are mixed: .*got 3 orientations with 5, 5, 5"):
        read_dicom(tmp_path / "scout")


def test_bolus_tracking_beside_a_good_series(tmp_path):
    """Thirty times one position is no volume, and no reason to refuse the visit."""
    write_series(tmp_path / "s")
    write_series(
        tmp_path / "track",
        series="track",
        voxels=pattern((30, 8, 9)),
        edit=lambda ds, number: ds.update({"ImagePositionPatient": [0, 0, 0], "AcquisitionNumber": number + 1}),
    )
    scan = read_one(tmp_path)
    assert [w.split(", left out")[0] for w in scan.source.warnings] == ["30 slices at 1 position, too few for a volume"]


def test_headerless_slice_leaves_a_gap_or_a_warning(tmp_path):
    """A slice stripped of its preamble is not DICOM: in the middle it is missed, at the end it is told."""
    paths = write_series(tmp_path / "s")
    whole = [path.read_bytes() for path in paths]
    paths[3].write_bytes(whole[3][132:])
    with pytest.raises(ScanError, match="slice spacing is not uniform: .*got 5.00 mm between slices 3 and 4"):
        read_dicom(tmp_path)
    paths[3].write_bytes(whole[3])
    paths[6].write_bytes(whole[6][132:])
    scan = read_one(tmp_path)
    assert scan.grid.shape_zyx == (6, 8, 9)
    assert scan.source.warnings == (f"1 file without a DICOM header left out ({paths[6].name})",)


def test_links_are_followed_once(tmp_path):
    write_series(tmp_path / "elsewhere")
    visit = tmp_path / "visit"
    visit.mkdir()
    (visit / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "up").symlink_to(visit)
    os.mkfifo(visit / "pipe")
    assert_scan(read_one(visit), pattern() - 1024, oblique_grid())


def test_three_slices_are_read_when_nothing_longer_is_there(tmp_path):
    write_series(tmp_path / "s", voxels=pattern((3, 8, 9)))
    assert_scan(read_one(tmp_path), pattern((3, 8, 9)) - 1024, oblique_grid((3, 8, 9)))


def test_lossy_pixels_and_odd_dates_are_told(tmp_path):
    def edit(ds, number):
        ds.LossyImageCompression = "01"
        set_raw(ds, "StudyDate", "DA", b"20240231")

    write_series(tmp_path / "s", edit=edit)
    scan = read_one(tmp_path)
    assert scan.date is None
    assert [w.split(" (")[0] for w in scan.source.warnings] == [
        "pixels went through lossy compression",
        "study date is no day of the calendar",
    ]


def test_positions_rounded_to_a_tenth_are_even(tmp_path):
    """1.25 mm written as 1.2, 2.5, 3.8, 5.0: gaps of 1.2 and 1.3 mm."""
    grid = Grid.from_parts((9, 8, 9), (1.25, 0.8, 0.7))

    def edit(ds, number):
        ds.ImagePositionPatient = [0, 0, round(1.25 * number + 1e-9, 1)]

    write_series(tmp_path / "s", voxels=pattern((9, 8, 9)), grid=grid, edit=edit)
    assert read_one(tmp_path).grid.spacing_mm[0] == pytest.approx(1.25, abs=0.01)


def test_drift_of_rounding_is_no_tilt(tmp_path):
    def edit(ds, number):
        x, y, z = ds.ImagePositionPatient
        ds.ImagePositionPatient = [x, y + 0.02 * (number % 2), z]

    write_series(tmp_path / "s", edit=edit)
    assert read_one(tmp_path).grid.shape_zyx == (7, 8, 9)


# --- enhanced multi-frame --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ECT", "EMR"])
def test_enhanced_frames_in_any_order(tmp_path, kind):
    frames = [3, 0, 6, 1, 5, 2, 4]
    path = write_enhanced(tmp_path / "e.dcm", kind=kind, frames=frames, voxels=pattern()[frames])
    scan = read_one(path)
    assert scan.modality == kind[1:]
    assert_scan(scan, pattern() - (1024 if kind == "ECT" else 0), oblique_grid())


def test_enhanced_slope_per_frame(tmp_path):
    slopes = [1.5 + 0.25 * n for n in range(7)]
    scan = read_one(write_enhanced(tmp_path / "e.dcm", kind="EMR", slopes=slopes))
    assert_scan(scan, (pattern() * np.array(slopes)[:, None, None]).astype(np.float32), oblique_grid())


def test_enhanced_unit_other_than_hu(tmp_path):
    def unit(word):
        def edit(ds):
            for item in ds.PerFrameFunctionalGroupsSequence:
                item.PixelValueTransformationSequence[0].RescaleType = word

        return edit

    assert_scan(read_one(write_enhanced(tmp_path / "hu", edit=unit("HU"))), pattern() - 1024, oblique_grid())
    with pytest.raises(ScanError, match="no CT or MR volume found: .*got 1 CT image that is not in HU"):
        read_dicom(write_enhanced(tmp_path / "z", edit=unit("Z_EFF")))


@pytest.mark.parametrize("key", ["StackID", "TemporalPositionIndex", "FrameAcquisitionNumber"])
def test_enhanced_phases_are_parted(tmp_path, key):
    def content(index):
        value = 1 + index // 7
        return {key: str(value) if key == "StackID" else value}

    path = write_enhanced(tmp_path / "e.dcm", voxels=two_phase_voxels(), frames=[*range(7), *range(7)], content=content)
    first, second = read_dicom(path)
    assert_scan(first, pattern() - 1024, oblique_grid())
    assert_scan(second, pattern() + 50 - 1024, oblique_grid())


def test_stacks_at_different_places_are_parted(tmp_path):
    path = write_enhanced(
        tmp_path / "e.dcm",
        voxels=pattern((10, 8, 9)),
        frames=[0, 1, 2, 3, 4, 20, 21, 22, 23, 24],
        grid=oblique_grid((25, 8, 9)),
        content=lambda index: {"StackID": str(index // 5)},
    )
    assert [scan.grid.shape_zyx for scan in read_dicom(path)] == [(5, 8, 9), (5, 8, 9)]


# --- the broken ones -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("build", "expected"), [case[1:] for case in BROKEN_DICOM], ids=[c[0] for c in BROKEN_DICOM])
def test_broken_input_is_refused_in_one_sentence(tmp_path, build, expected):
    with pytest.raises(ScanError, match=expected) as refused:
        read_dicom(build(tmp_path / "visit"))
    message = str(refused.value)
    assert ": expected " in message
    assert ", got " in message
    assert message.endswith(".")
    assert "\n" not in message
    assert not any(word in message for word in HOSTILE)


def test_table_of_broken_input_is_long_and_its_twin_is_whole(tmp_path):
    """What every builder breaks reads well unbroken: plain, twelve slices, compressed, multi-frame, two series."""
    assert len(BROKEN_DICOM) >= 20
    assert len({name for name, _, _ in BROKEN_DICOM}) == len(BROKEN_DICOM)
    write_series(tmp_path / "one")
    write_series(tmp_path / "two", series="b", voxels=pattern((12, 8, 9)))
    write_enhanced(tmp_path / "three" / "enhanced.dcm")
    scans = read_dicom(tmp_path)
    assert sorted(scan.grid.shape_zyx for scan in scans) == [(7, 8, 9), (7, 8, 9), (12, 8, 9)]
    assert all(scan.source.warnings == () for scan in scans)


def test_no_parser_warning_reaches_the_user(tmp_path):
    """The parser quotes bad values in its warnings, and a name is such a value."""

    def edit(ds, number):
        set_raw(ds, "PatientBirthDate", "DA", b"HOSTILE-DATE")
        set_raw(ds, "PatientName", "PN", b"HOSTILE\xff\xfe=" * 20)

    write_series(tmp_path / "s", edit=edit)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scan = read_one(tmp_path)
    assert caught == []
    assert not any(word in f"{scan.source}" for word in HOSTILE)


def test_damaged_file_that_cuts_anywhere(tmp_path):
    """However many bytes of a slice arrived, the series is refused once the file says that it is DICOM."""
    path = write_series(tmp_path / "s")[-1]
    data = path.read_bytes()
    for keep in range(132, len(data), 7):
        path.write_bytes(data[:keep])
        with pytest.raises(ScanError):
            read_dicom(tmp_path)
    path.write_bytes(data)
    assert read_one(tmp_path).grid.shape_zyx == (7, 8, 9)


def test_unreadable_file_is_refused(tmp_path):
    path = write_series(tmp_path / "s")[2]
    path.unlink()
    path.symlink_to(tmp_path / "gone")
    with pytest.raises(ScanError, match="DICOM file is damaged: .*No such file"):
        read_dicom(tmp_path)
