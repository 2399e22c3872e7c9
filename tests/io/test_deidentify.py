"""What leaves a file when it is de-identified, and what must stay."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEGLSLossless

from dicom_factory import HOSTILE, pattern, write_enhanced, write_object, write_series
from fuzz_objects import _objects
from livervol.errors import LivervolError, ScanError
from livervol.io import deidentify_table as table
from livervol.io.deidentify import Rules, deidentify, load_key
from livervol.io.deidentify_elements import Cleaner
from livervol.io.deidentify_table import cleaned
from livervol.io.dicom import read_dicom
from tools import run_tool

KEY = bytes(range(32))
SECRET = "Mustermann"


def dirty(ds: Dataset, number: int = 0) -> None:
    """Every place where a name has been seen."""
    ds.StudyDescription = f"CT Abdomen {SECRET}"
    ds.SeriesDescription = f"Leber arteriell 2.0 {SECRET} Thun"
    ds.InstitutionName, ds.InstitutionAddress = f"Clinic {SECRET}", "Main Street 1"
    ds.ReferringPhysicianName, ds.OperatorsName = "DOE^JOHN", "ROE^JANE"
    ds.AccessionNumber, ds.StudyID = "ACC-4711", "4711"
    ds.PatientComments, ds.ImageComments = f"told by {SECRET}", f"{SECRET}"
    ds.OtherPatientIDs, ds.PatientAddress = ["SECRET-4711", "X"], "Main Street 2"
    ds.PatientAge, ds.PatientSex, ds.PatientWeight, ds.PatientSize = "093Y", "M", 71.5, 1.78
    ds.StationName, ds.DeviceSerialNumber, ds.ProtocolName = f"{SECRET}-CT1", "12345", "Liver 3 phase"
    ds.SeriesDate, ds.AcquisitionDateTime, ds.StudyTime, ds.AcquisitionTime = (
        "20240229",
        "20240229101500.5",
        "101000",
        "101530",
    )
    ds.Manufacturer, ds.ConvolutionKernel, ds.KVP = "Vendor", "B30f", 120
    ds.BodyPartExamined = "LIVER"
    ds.add_new(0x00090010, "LO", "VENDOR HEADER")
    ds.add_new(0x00091001, "LO", SECRET)
    ds.add_new(0x60003000, "OW", b"\0" * 12)
    ds.add_new(0x60000022, "LO", SECRET)
    request, nested = Dataset(), Dataset()
    request.RequestedProcedureDescription = SECRET
    ds.RequestAttributesSequence = Sequence([request])
    nested.ReferencedSOPClassUID, nested.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4711"
    nested.add_new(0x00290010, "LO", "VENDOR")
    nested.InstitutionName = SECRET
    ds.SourceImageSequence = Sequence([nested])


@pytest.fixture
def folder(tmp_path):
    write_series(tmp_path / "in" / "HOSTILE^PATIENT^NAME", edit=dirty)
    return tmp_path / "in"


def written(out):
    return [dcmread(path) for path in sorted(p for p in out.rglob("*") if p.is_file())]


def everything(out) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file())


def test_nothing_that_names_the_patient_stays(folder, tmp_path):
    report = deidentify(folder, tmp_path / "out", "P-001", key=KEY)
    content = everything(tmp_path / "out")
    for word in (*HOSTILE, SECRET, "SECRET", "Clinic", "Main Street", "DOE", "ROE", "ACC-4711", "12345", "Thun",
                 "1.2.3.4711", "20240229", "VENDOR", "093Y"):  # fmt: skip
        assert word.encode() not in content, word
    names = [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")]
    assert sorted(names)[:2] == ["001-CT", "001-CT/00001.dcm"]
    told = report.as_json()
    assert not any(word in told for word in (*HOSTILE, SECRET, "ACC-4711", "Clinic"))
    assert json.loads(told)["removed"]["InstitutionName"] == 14  # at the top and in a sequence
    assert json.loads(told)["removed"]["private attributes"] == 21
    assert (report.files, report.series, dict(report.kinds)) == (7, 1, {"CT": 7})


def test_what_a_measurement_needs_stays(folder, tmp_path):
    deidentify(folder, tmp_path / "out", "P-001", key=KEY)
    (before,), (after,) = read_dicom(folder), read_dicom(tmp_path / "out")
    assert np.array_equal(before.voxels, after.voxels)
    assert before.grid.affine == after.grid.affine
    assert before.grid.frame != after.grid.frame
    assert after.source.hints["convolution_kernel"] == "B30f"
    assert after.source.hints["series_description"] == "Leber arteriell 2.0"
    assert after.source.hints["acquisition_time"] == "101530"
    first = written(tmp_path / "out")[0]
    assert (first.PatientID, str(first.PatientName), first.PatientIdentityRemoved) == ("P-001", "P-001", "YES")
    assert (first.PatientBirthDate, first.PatientSex, first.AccessionNumber, first.StudyID) == ("", "", "", "")
    codes = [item.CodeValue for item in first.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105", "113107"]
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert first.SourceImageSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"


def test_uids_map_the_same_way_for_the_same_key_only(folder, tmp_path):
    for name, key in (("a", KEY), ("b", KEY), ("c", KEY[::-1])):
        deidentify(folder, tmp_path / name, "P-001", key=key)
    a, b, c = ({str(ds.SOPInstanceUID) for ds in written(tmp_path / name)} for name in "abc")
    assert a == b
    assert len(a) == 7
    assert not a & c
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in a)
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


def test_dates_move_together_by_days_fixed_for_the_patient(tmp_path):
    def later(ds, number):
        dirty(ds)
        ds.StudyDate = ds.SeriesDate = "20240510"
        ds.AcquisitionDateTime = "20240510101500.5"

    write_series(tmp_path / "one", edit=dirty)
    write_series(tmp_path / "two", series="b", edit=later)
    dates = []
    for name in ("one", "two"):
        deidentify(tmp_path / name, tmp_path / f"{name}-out", "P-001", key=KEY)
        ds = written(tmp_path / f"{name}-out")[0]
        assert ds.AcquisitionDateTime == ds.StudyDate + "101500.5"
        assert ds.StudyDate == ds.SeriesDate
        assert ds.LongitudinalTemporalInformationModified == "MODIFIED"
        dates.append(np.datetime64(f"{ds.StudyDate[:4]}-{ds.StudyDate[4:6]}-{ds.StudyDate[6:]}"))
    assert (dates[1] - dates[0]).astype(int) == 71  # 2024-02-29 to 2024-05-10
    assert 366 <= (np.datetime64("2024-02-29") - dates[0]).astype(int) < 3652
    other = Cleaner(KEY, "P-002", "another patient").shift_days
    assert other != Cleaner(KEY, "P-001", "SECRET-4711").shift_days


@pytest.mark.parametrize(("rule", "study_date", "code"), [("keep", "20240229", "113106"), ("remove", "", None)])
def test_dates_kept_or_removed(folder, tmp_path, rule, study_date, code):
    deidentify(folder, tmp_path / "out", "P-001", key=KEY, rules=Rules(dates=rule))
    ds = written(tmp_path / "out")[0]
    assert ds.StudyDate == study_date
    assert ("AcquisitionDateTime" in ds) == (rule == "keep")
    assert ds.PatientBirthDate == ""
    codes = {item.CodeValue for item in ds.DeidentificationMethodCodeSequence}
    assert code is None or code in codes
    assert ds.LongitudinalTemporalInformationModified == {"keep": "UNMODIFIED", "remove": "REMOVED"}[rule]


def test_characteristics_stay_when_asked_and_great_age_is_rounded(folder, tmp_path):
    deidentify(folder, tmp_path / "out", "P-001", key=KEY, rules=Rules(keep_characteristics=True))
    ds = written(tmp_path / "out")[0]
    assert (ds.PatientAge, ds.PatientSex, ds.PatientWeight, ds.PatientSize) == ("090Y", "M", 71.5, 1.78)
    assert ds.PatientBirthDate == ""


def test_compressed_and_enhanced_pixels_are_copied_bit_for_bit(tmp_path):
    write_series(tmp_path / "in" / "a", voxels=pattern((3, 40, 44)), syntax=JPEGLSLossless)
    write_enhanced(tmp_path / "in" / "b.dcm", voxels=pattern((4, 6, 7)))
    deidentify(tmp_path / "in", tmp_path / "out", "P-001", key=KEY)
    before = sorted(bytes(ds.PixelData) for ds in written(tmp_path / "in"))
    after = sorted(bytes(ds.PixelData) for ds in written(tmp_path / "out"))
    assert before == after


def test_a_report_keeps_its_numbers_and_loses_its_names(tmp_path):
    def fill(ds):
        person, number, text, moment = Dataset(), Dataset(), Dataset(), Dataset()
        person.ValueType, person.PersonName = "PNAME", "READER^FAMOUS"
        value = Dataset()
        value.NumericValue = 41.5
        number.ValueType, number.MeasuredValueSequence = "NUM", Sequence([value])
        text.ValueType, text.TextValue = "TEXT", f"lesion 2, seen by {SECRET}"
        moment.ValueType, moment.DateTime = "DATETIME", "20240229101500"
        ds.ContentSequence = Sequence([person, number, text, moment])
        ds.ContentDate, ds.VerifyingOrganization = "20240229", f"{SECRET} Institute"

    write_object(tmp_path / "in" / "sr", "SR", edit=fill)
    deidentify(tmp_path / "in", tmp_path / "out", "P-001", key=KEY, rules=Rules(dates="remove"))
    (ds,) = written(tmp_path / "out")
    person, number, text, moment = ds.ContentSequence
    assert str(person.PersonName) == "removed"
    assert number.MeasuredValueSequence[0].NumericValue == 41.5
    assert text.TextValue == "lesion 2"
    assert (moment.DateTime, ds.ContentDate, ds.VerifyingOrganization) == ("19000101", "19000101", "removed")
    assert "113104" in {item.CodeValue for item in ds.DeidentificationMethodCodeSequence}
    assert b"FAMOUS" not in everything(tmp_path / "out")


def test_pictures_with_text_in_them_and_other_objects_are_left_out(tmp_path):
    write_series(tmp_path / "in" / "a")
    write_series(tmp_path / "in" / "b", series="b", edit=lambda ds, n: setattr(ds, "BurnedInAnnotation", "YES"))
    write_object(tmp_path / "in" / "capture", "SC")
    write_object(tmp_path / "in" / "pet", "PT")
    (tmp_path / "in" / "notes.txt").write_text(SECRET)
    report = deidentify(tmp_path / "in", tmp_path / "out", "P-001", key=KEY)
    assert report.files == 7
    assert dict(report.left_out) == {
        "pictures with burned-in annotation": 8,
        "objects of modality PT": 1,
        "files that are no DICOM": 1,
    }
    assert "8 pictures with burned-in annotation left out" in report.warnings
    kept = deidentify(tmp_path / "in", tmp_path / "all", "P-001", key=KEY, rules=Rules(keep_burned_in=True))
    assert kept.files == 15
    assert any("8 files say that text is burned into their pixels" in warning for warning in kept.warnings)


def test_overlays_in_unused_bits_are_told(tmp_path):
    write_series(tmp_path / "in", edit=lambda ds, n: ds.add_new(0x60000102, "US", 12))
    report = deidentify(tmp_path / "in", tmp_path / "out", "P-001", key=KEY)
    assert any("overlays are stored in unused bits" in warning for warning in report.warnings)


@pytest.mark.parametrize("pseudonym", ["SECRET-4711", "x-SECRET-4711", "hostile1", "P-19500102"])
def test_a_pseudonym_that_tells_is_refused(folder, tmp_path, pseudonym):
    with pytest.raises(LivervolError, match="pseudonym tells the patient") as caught:
        deidentify(folder, tmp_path / "out", pseudonym, key=KEY)
    assert not any(word in str(caught.value) for word in HOSTILE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("pseudonym", ["", "../x", "a b", "-x", "x" * 65, "a\n"])
def test_a_pseudonym_is_a_plain_word(folder, tmp_path, pseudonym):
    with pytest.raises(LivervolError, match="pseudonym is not valid"):
        deidentify(folder, tmp_path / "out", pseudonym, key=KEY)


def test_two_patients_are_refused(tmp_path):
    write_series(tmp_path / "in" / "a")
    write_series(tmp_path / "in" / "b", series="b", edit=lambda ds, n: setattr(ds, "PatientID", "OTHER-1"))
    with pytest.raises(ScanError, match="more than one patient: expected one patient, one pseudonym, got 2 patients"):
        deidentify(tmp_path / "in", tmp_path / "out", "P-001", key=KEY)


def test_a_damaged_file_leaves_nothing(tmp_path):
    files = write_series(tmp_path / "in")
    files[2].write_bytes(files[2].read_bytes()[:160] + b"\xff" * 300)
    with pytest.raises(ScanError, match="DICOM file is damaged") as caught:
        deidentify(tmp_path / "in", tmp_path / "out", "P-001", key=KEY)
    assert not any(word in str(caught.value) for word in HOSTILE)
    assert {p.name for p in tmp_path.iterdir()} == {"in"}


def test_links_are_not_followed(tmp_path):
    write_series(tmp_path / "in")
    write_series(tmp_path / "elsewhere", series="b")
    (tmp_path / "in" / "link").symlink_to(next((tmp_path / "elsewhere").iterdir()))
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "elsewhere")
    assert deidentify(tmp_path / "in", tmp_path / "out", "P-001", key=KEY).files == 7


def test_the_key_file(tmp_path):
    made = load_key(tmp_path / "key")
    assert len(made) == 32
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert load_key(tmp_path / "key") == made
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(LivervolError, match=r"key file is open to others: expected mode 0600, got mode 0640"):
        load_key(tmp_path / "key")
    (tmp_path / "short").write_bytes(b"1234")
    (tmp_path / "short").chmod(0o600)
    with pytest.raises(LivervolError, match="key is too short"):
        load_key(tmp_path / "short")


def test_unknown_date_rule():
    with pytest.raises(LivervolError, match="date rule is not known"):
        Rules(dates="blur")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("T1 VIBE fs tra post 20s Mustermann", "T1 VIBE fs tra post 20s"),
        ("Leber_art. 3.0", "Leber 3.0"),
        ("Mustermann, geb. 01.02.1950", ""),
        ("DWI b800", "DWI b800"),
        ("case 471199", ""),
        ("Müller", ""),
    ],
)
def test_words_that_may_stay(text, kept):
    assert cleaned(text) == kept


def errors_told(path):
    """What an independent program finds wrong with a file, without the values it quotes."""
    told = run_tool("dciodvfy", path)
    return {line for line in (told.stdout + told.stderr).splitlines() if line.startswith("Error")}


@pytest.mark.parametrize("rule", ["shift", "remove"])
def test_objects_stay_valid(tmp_path, rule):
    """SEG, SR and RTSTRUCT have every attribute that their modules require, before and after."""
    (tmp_path / "in").mkdir()
    for name, content in _objects().items():
        if name != "seg LABELMAP":  # newer than the program
            (tmp_path / "in" / name.replace(" ", "-")).write_bytes(content)
            assert not errors_told(tmp_path / "in" / name.replace(" ", "-"))
    report = deidentify(tmp_path / "in", tmp_path / "out", "P-001", key=KEY, rules=Rules(dates=rule))
    assert dict(report.kinds) == {"SEG": 1, "SR": 1, "RTSTRUCT": 1}
    for path in (tmp_path / "out").rglob("*.dcm"):
        assert not errors_told(path)


def test_the_table_names_real_attributes_and_none_twice():
    lists = [table.REMOVED, table.EMPTIED, table.CLEANED, table.TEXT_KEPT, table.UIDS_KEPT, table.BINARY_KEPT]
    for name in (
        *table.PLACEHOLDERS,
        *table.REPLACED,
        *table.EMPTY_TEXTS,
        *table.CHARACTERISTICS,
        *(name for one in lists for name in one),
    ):
        assert tag_for_keyword(name) is not None, name
    for number, one in enumerate(lists):
        for other in lists[number + 1 :]:
            assert not one & other
    assert all(dictionary_VR(name) == "UI" for name in table.UIDS_KEPT)
