"""A visit to an archive and back: against a real Orthanc, and against archives that fail on purpose."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, RLELossless, generate_uid

from archives import PASSWORD, Misbehaviour, bad_archive, bad_web, make_certificates, running_orthanc
from conftest import oblique_grid
from dicom_factory import HOSTILE, pattern, write_enhanced, write_object, write_series
from livervol.errors import LivervolError, ScanError
from livervol.io.dicom import read_dicom
from livervol.io.dicom_seg import write_dicom_seg
from livervol.io.dicom_seg_read import read_dicom_seg_layers
from livervol.io.dicom_source import find_source
from livervol.io.dicom_sr import SrContext, write_dicom_sr
from livervol.io.dicom_sr_read import read_dicom_sr
from livervol.io.pacs import VisitQuery, pull_visit, push_files
from livervol.io.pacs_settings import ArchiveSettings
from livervol.io.rtstruct import write_rtstruct
from livervol.io.rtstruct_read import read_rtstruct_layers
from livervol.scan import Segmentation

PATIENT = "SECRET-4711"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def visit(tmp_path):
    """Three series and a report of one patient and date; each test its own study."""
    study, folder = generate_uid(), tmp_path / "visit"

    def mine(ds, number=0):
        ds.StudyInstanceUID = study
        ds.SeriesInstanceUID = generate_uid(entropy_srcs=[study, ds.SeriesInstanceUID])
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(
            entropy_srcs=[study, ds.SOPInstanceUID]
        )
        ds.PatientID = f"{PATIENT}-{study[-6:]}"
        ds.AccessionNumber, ds.StudyID, ds.StudyTime, ds.PatientSex = "", "", "", ""

    write_series(folder / "a", edit=mine)
    write_series(folder / "b", edit=mine, series="b", voxels=pattern((5, 6, 7)) + 3, syntax=RLELossless)
    write_enhanced(folder / "c", edit=mine, voxels=pattern((5, 40, 44)) + 9, syntax=JPEG2000Lossless)
    write_object(folder / "report", "SR", edit=mine)
    return folder, VisitQuery(f"{PATIENT}-{study[-6:]}", "2024-02-29")


def pixels(folder):
    """Voxels and place of each volume, and every file by instance UID without its own header."""
    scans = read_dicom(folder)
    told = [(s.source.uids, s.grid.describe(), hashlib.sha256(s.voxels.tobytes()).hexdigest()) for s in scans]
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        ds = dcmread(path)
        files[str(ds.SOPInstanceUID)] = ds.pixel_array.tobytes() if "PixelData" in ds else ds.to_json()
    return sorted(told), files


def modes(orthanc):
    return {"web": orthanc.web, "get": orthanc.dimse, "move": orthanc.move}


@pytest.mark.parametrize("way_in", ["web", "get"])
@pytest.mark.parametrize("way_out", ["web", "get", "move"])
def test_a_visit_comes_back_with_the_same_voxels(orthanc, visit, tmp_path, way_in, way_out):
    folder, query = visit
    pushed = push_files(modes(orthanc)[way_in], [folder])
    assert pushed.instances == 7 + 5 + 1 + 1
    assert dict(pushed.modalities) == {"CT": 13, "SR": 1}
    report = pull_visit(modes(orthanc)[way_out], query, tmp_path / "back")
    assert (report.instances, report.date, len(report.series)) == (14, "20240229", 4)
    assert pixels(tmp_path / "back") == pixels(folder)
    assert {p.name for p in tmp_path.iterdir()} == {"visit", "back"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure_orthanc(tmp_path_factory, certificates):
    with running_orthanc(tmp_path_factory.mktemp("secure"), certificates) as running:
        yield running


@pytest.mark.parametrize("way", ["get", "move"])
def test_a_visit_comes_back_over_tls(secure_orthanc, visit, tmp_path, way):
    folder, query = visit
    archive = modes(secure_orthanc)[way]
    assert archive.tls
    push_files(archive, [folder])
    pull_visit(archive, query, tmp_path / "back")
    assert pixels(tmp_path / "back") == pixels(folder)


@pytest.mark.parametrize("wrong", ["another authority", "no certificate of ours", "no tls"])
def test_without_the_right_certificates_nothing_travels(secure_orthanc, visit, tmp_path, wrong):
    folder, query = visit
    archive = replace(secure_orthanc.dimse, retries=1)
    if wrong == "another authority":
        archive = replace(archive, ca_file=str(make_certificates(tmp_path / "others").authority))
    elif wrong == "no certificate of ours":
        archive = replace(archive, client_certificate="", client_key="")
    else:
        archive = replace(archive, tls=False)
    with pytest.raises(LivervolError, match=r"archive did not answer") as caught:
        push_files(archive, [folder])
    assert not any(word in str(caught.value) for word in (*HOSTILE, PASSWORD, str(tmp_path)))
    with pytest.raises(LivervolError, match=r"archive did not answer"):
        pull_visit(archive, query, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_web_archive_must_show_a_certificate_that_is_trusted(certificates, tmp_path):
    asked = []

    def answer(path, number):
        asked.append(path)
        return 200, b"[]", False

    with bad_web(answer, certificates) as settings:
        secure = replace(settings, url=settings.url.replace("http:", "https:"), retries=0)
        with pytest.raises(LivervolError, match=r"a certificate that ca_file or the system trusts"):
            pull_visit(secure, VisitQuery("A"), tmp_path / "back")
        assert asked == []
        with pytest.raises(LivervolError, match=r"visit not found"):
            pull_visit(replace(secure, ca_file=str(certificates.authority)), VisitQuery("A"), tmp_path / "back")
    assert len(asked) == 1
    assert not (tmp_path / "back").exists()


def test_names_in_the_folder_hold_no_identifier_and_files_are_private(orthanc, visit, tmp_path):
    folder, query = visit
    push_files(orthanc.web, [folder])
    pull_visit(orthanc.web, query, tmp_path / "back")
    names = [str(p.relative_to(tmp_path / "back")) for p in (tmp_path / "back").rglob("*")]
    assert {name[3:] for name in names if "/" not in name} == {"-CT", "-SR"}
    study = str(dcmread(next((folder / "a").iterdir())).StudyInstanceUID)
    assert not any(word in name for name in names for word in (PATIENT, study, *HOSTILE))
    files = [p for p in (tmp_path / "back").rglob("*") if p.is_file()]
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in files)


def test_a_study_uid_alone_and_one_modality(orthanc, visit, tmp_path):
    folder, _ = visit
    push_files(orthanc.dimse, [folder])
    study = str(dcmread(folder / "report").StudyInstanceUID)
    report = pull_visit(orthanc.dimse, VisitQuery(study=study, modalities=("SR",)), tmp_path / "back")
    assert (report.series, report.instances) == (("SR",), 1)


@pytest.mark.parametrize("way", ["web", "get"])
def test_what_is_not_there_is_refused_without_a_trace(orthanc, tmp_path, way):
    with pytest.raises(LivervolError, match=r"visit not found: expected a study of that patient and date, got none"):
        pull_visit(modes(orthanc)[way], VisitQuery("NOBODY-1"), tmp_path / "back")
    assert list(tmp_path.iterdir()) == []


def test_two_visits_of_one_patient_need_a_date(orthanc, visit, tmp_path):
    folder, query = visit
    other = dcmread(folder / "report")
    other.StudyInstanceUID, other.SOPInstanceUID, other.StudyDate = generate_uid(), generate_uid(), "20240515"
    other.SeriesInstanceUID, other.file_meta.MediaStorageSOPInstanceUID = generate_uid(), other.SOPInstanceUID
    other.save_as(tmp_path / "later")
    push_files(orthanc.web, [folder, tmp_path / "later"])
    with pytest.raises(LivervolError, match=r"several visits: .*2 dates: 20240229 with 1, 20240515 with 1") as caught:
        pull_visit(orthanc.web, VisitQuery(query.patient), tmp_path / "back")
    assert PATIENT not in str(caught.value)
    assert pull_visit(orthanc.web, replace(query, date="2024-05-15"), tmp_path / "back").instances == 1


def test_a_wrong_password_is_refused_at_once(orthanc, tmp_path):
    wrong = replace(orthanc.web, password="guess")
    with pytest.raises(LivervolError, match=r"archive refused the login: .*status 401") as caught:
        pull_visit(wrong, VisitQuery("ANY-1"), tmp_path / "back")
    assert "guess" not in str(caught.value)
    assert PASSWORD not in repr(orthanc.web)


def test_an_existing_folder_is_kept(orthanc, tmp_path):
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "mine").write_text("kept")
    with pytest.raises(LivervolError, match="output already exists"):
        pull_visit(orthanc.web, VisitQuery("ANY-1"), tmp_path / "back")
    assert (tmp_path / "back" / "mine").read_text() == "kept"


@pytest.mark.parametrize("patient", ["A*", "A?", "A\\B", "A\nB", "x" * 65, ""])
def test_wildcards_are_refused_because_archives_answer_them_with_silence(patient):
    with pytest.raises(LivervolError, match=r"patient cannot be searched|visit is not named"):
        VisitQuery(patient)


@pytest.mark.parametrize(("name", "value"), [("date", "20240229"), ("date", "2024-02-30"), ("study", "1.2; DROP")])
def test_dates_and_uids_are_checked(name, value):
    with pytest.raises(LivervolError, match=r"date is not a day|study UID is not valid"):
        VisitQuery("A", **{name: value})


# ------------------------------------------------------------------------------------------------ archives that fail


def a_series(folder, count=7, **options):
    return write_series(folder, voxels=pattern((count, 8, 9)), **options)


def test_a_transfer_dropped_in_the_middle_is_taken_up_where_it_stopped(tmp_path):
    files = a_series(tmp_path / "in")
    wrong = Misbehaviour(drop_after=3, drops=2)
    with bad_archive(files, wrong) as settings:
        report = pull_visit(settings, VisitQuery(PATIENT), tmp_path / "back")
    assert report.instances == 7
    assert wrong.drops == 0
    assert pixels(tmp_path / "back") == pixels(tmp_path / "in")


def test_a_transfer_that_stays_incomplete_leaves_nothing(tmp_path):
    with bad_archive(a_series(tmp_path / "in"), Misbehaviour(hide=2)) as settings:
        with pytest.raises(LivervolError, match=r"transfer is incomplete: expected 7 instances of series ….{4}, got 5"):
            pull_visit(settings, VisitQuery(PATIENT), tmp_path / "back")
    assert {p.name for p in tmp_path.iterdir()} == {"in"}


def test_a_connection_that_keeps_dropping_ends(tmp_path):
    with bad_archive(a_series(tmp_path / "in"), Misbehaviour(drop_after=0, drops=99)) as settings:
        with pytest.raises(LivervolError, match=r"transfer is incomplete: .*got 0; last: archive did not answer"):
            pull_visit(settings, VisitQuery(PATIENT), tmp_path / "back")
    assert {p.name for p in tmp_path.iterdir()} == {"in"}


def test_counts_that_disagree_are_refused(tmp_path):
    with bad_archive(a_series(tmp_path / "in"), Misbehaviour(announce=9)) as settings:
        with pytest.raises(LivervolError, match=r"archive contradicts itself: expected 9 instances .*got 7 listed"):
            pull_visit(settings, VisitQuery(PATIENT), tmp_path / "back")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"StudyInstanceUID": "1.2.3"}, "an instance of another study"),
        ({"PatientID": "SECRET-4711-B"}, "an instance of another patient"),
        ({"SOPInstanceUID": "1.2.4"}, "an instance that was not announced"),
    ],
)
def test_instances_that_were_not_asked_for_end_the_transfer(tmp_path, change, sentence):
    files = a_series(tmp_path / "in")
    foreign = dcmread(files[0])
    for name, value in change.items():
        setattr(foreign, name, value)
    foreign.file_meta.MediaStorageSOPInstanceUID = foreign.SOPInstanceUID
    with bad_archive(files, Misbehaviour(foreign=foreign)) as settings:
        with pytest.raises(LivervolError, match=f"archive sent something else: .*got {sentence}") as caught:
            pull_visit(settings, VisitQuery(PATIENT), tmp_path / "back")
    assert not any(word in str(caught.value) for word in HOSTILE)
    assert {p.name for p in tmp_path.iterdir()} == {"in"}


def test_a_refused_association_is_final(tmp_path):
    wrong = Misbehaviour(reject=True)
    with bad_archive([], wrong) as settings:
        with pytest.raises(LivervolError, match=r"archive refused the association: .*AE title"):
            pull_visit(settings, VisitQuery(PATIENT), tmp_path / "back")
    assert wrong.associations == 0


# the library forgets the socket of a refused connection
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nobody_there(tmp_path):
    nobody = ArchiveSettings(host="127.0.0.1", port=1, pause_s=0.01, retries=1, timeout_s=2.0)
    for settings in (nobody, replace(nobody, host="", port=0, url="http://127.0.0.1:1/x")):
        with pytest.raises(LivervolError, match=r"archive did not answer"):
            pull_visit(settings, VisitQuery("A"), tmp_path / "back")
    assert list(tmp_path.iterdir()) == []


def test_a_busy_archive_gets_the_instance_again(tmp_path):
    wrong = Misbehaviour(busy_stores=2)
    with bad_archive([], wrong) as settings:
        report = push_files(settings, a_series(tmp_path / "in"))
    assert report.instances == 7
    assert len({one.SOPInstanceUID for one in wrong.stored}) == 7


def test_a_refused_instance_ends_the_push(tmp_path):
    with bad_archive([], Misbehaviour(refuse_store=0xC000)) as settings:
        with pytest.raises(LivervolError, match=r"did not store an instance: expected status 0x0000, got 0xc000"):
            push_files(settings, a_series(tmp_path / "in"))


def test_a_damaged_file_stops_the_push_before_the_first_is_sent(tmp_path):
    files = a_series(tmp_path / "in")
    files[3].write_bytes(files[3].read_bytes()[:-40])
    wrong = Misbehaviour()
    with bad_archive([], wrong) as settings:
        with pytest.raises(ScanError, match=r"DICOM file is damaged: .*one that ends too early"):
            push_files(settings, [tmp_path / "in"])
    assert (wrong.associations, wrong.stored) == (0, [])


def test_what_is_pushed(tmp_path):
    files = a_series(tmp_path / "in")
    (tmp_path / "in" / "notes.txt").write_text("no DICOM")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(files[6], tmp_path / "elsewhere" / "linked")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere" / "linked")
    wrong = Misbehaviour()
    with bad_archive([], wrong) as settings:
        assert push_files(settings, [tmp_path / "in"]).instances == 6
        shutil.copy(files[0], tmp_path / "in" / "copy")
        with pytest.raises(ScanError, match="two files are the same instance"):
            push_files(settings, [tmp_path / "in"])
        with pytest.raises(ScanError, match="DICOM file is damaged"):
            push_files(settings, [tmp_path / "in" / "notes.txt"])
        with pytest.raises(ScanError, match="input not found"):
            push_files(settings, [tmp_path / "absent"])


def test_a_web_archive_that_fails_for_a_while_is_asked_again(tmp_path):
    study = {"0020000D": {"vr": "UI", "Value": ["1.2.3"]}, "00080020": {"vr": "DA", "Value": ["20240229"]}}
    body = json.dumps([study | {"00100020": {"vr": "LO", "Value": ["A"]}}]).encode()

    def answer(path, number):
        return (
            [(503, b"[]", False), (200, body, True), (200, body, False)][min(number, 2)]
            if number < 3
            else (200, b"[]", False)
        )

    with bad_web(answer) as settings:
        with pytest.raises(LivervolError, match="nothing to pull"):
            pull_visit(settings, VisitQuery("A"), tmp_path / "back")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(403, "archive refused the login"), (404, "archive refused the request"), (500, "archive failed")],
)
def test_web_refusals(tmp_path, status, sentence):
    with bad_web(lambda path, number: (status, b"PATIENT^NAME", False)) as settings:
        with pytest.raises(LivervolError, match=f"{sentence}: .*status {status}") as caught:
            pull_visit(settings, VisitQuery(PATIENT), tmp_path / "back")
    assert not any(word in str(caught.value) for word in HOSTILE)


def test_a_web_archive_that_refuses_an_instance(tmp_path):
    files = a_series(tmp_path / "in", count=3)
    item = {"00081155": {"vr": "UI", "Value": ["1.2"]}, "00081197": {"vr": "US", "Value": [0xC000]}}
    body = json.dumps({"00081198": {"vr": "SQ", "Value": [item]}}).encode()
    with bad_web(lambda path, number: (200, body, False)) as settings:
        with pytest.raises(LivervolError, match=r"did not store everything: .*1 refused with 0xc000"):
            push_files(settings, files)


def test_a_web_archive_that_confirms_too_little(tmp_path):
    files = a_series(tmp_path / "in", count=3)
    item = {"00081155": {"vr": "UI", "Value": [str(dcmread(files[0]).SOPInstanceUID)]}}
    body = json.dumps({"00081199": {"vr": "SQ", "Value": [item]}}).encode()
    with bad_web(lambda path, number: (200, body, False)) as settings:
        with pytest.raises(LivervolError, match=r"transfer is incomplete: expected 3 instances, got 1 confirmed"):
            push_files(settings, files)


def test_the_numbers_survive(orthanc, visit, tmp_path):
    """Not only equal bytes: HU of the pulled volumes, voxel for voxel."""
    folder, query = visit
    push_files(orthanc.web, [folder])
    pull_visit(orthanc.web, query, tmp_path / "back")
    for before, after in zip(read_dicom(folder), read_dicom(tmp_path / "back"), strict=True):
        assert np.array_equal(before.voxels, after.voxels)
        assert before.grid == after.grid


@pytest.mark.parametrize("way", ["web", "get", "move"])
def test_segmentations_and_reports_come_back_with_the_same_voxels_and_numbers(orthanc, tmp_path, way):
    """Push the series, SEG (both kinds), RTSTRUCT and SR of its study; pull all of it back."""
    study = generate_uid()

    def edit(ds, number):
        ds.StudyInstanceUID, ds.PatientID = study, f"{PATIENT}-{study[-6:]}"
        ds.SeriesInstanceUID, ds.SOPInstanceUID = generate_uid(entropy_srcs=[study]), generate_uid()
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.AccessionNumber, ds.StudyID, ds.StudyTime, ds.PatientSex, ds.ReferringPhysicianName = "", "", "", "", ""

    grid = oblique_grid((5, 12, 14))
    write_series(tmp_path / "in", voxels=pattern((5, 12, 14)), grid=grid, edit=edit)
    source = find_source(tmp_path / "in", grid)
    liver, lesions = np.zeros(grid.shape_zyx, np.uint8), np.zeros(grid.shape_zyx, np.uint8)
    liver[1:4, 2:9, 3:12], lesions[2, 4:7, 5:9], lesions[3, 3:5, 8:10] = 1, 1, 2
    masks = {"liver": Segmentation(liver, grid, {1: "liver"}, "test"),
             "lesions": Segmentation(lesions, grid, {1: "lesion 1", 2: "lesion 2"}, "test")}  # fmt: skip
    document = {"liver": {"volume_ml": 1.5}, "lesions": [
        {"number": 1, "site": "liver", "state": "measured", "volume_ml": 0.25, "longest_mm": 4.125, "plane_index": 2,
         "endpoints_lps_mm": [[-30.0, 48.0, -808.0], [-27.0, 50.0, -807.0]]}]}  # fmt: skip
    made = [
        write_dicom_seg(tmp_path / "seg.dcm", masks, source),
        write_dicom_seg(tmp_path / "map.dcm", {"lesions": masks["lesions"]}, source, kind="LABELMAP"),
        write_rtstruct(tmp_path / "rt.dcm", masks, source),
        write_dicom_sr(tmp_path / "sr.dcm", document, source, SrContext("P-1", 1, seg=tmp_path / "seg.dcm")),
    ]
    if way == "get":  # Orthanc 1.10 stores label maps, a newer kind, and cannot send them by C-GET
        made.pop(1)
    settings = modes(orthanc)[way]
    assert push_files(settings, [tmp_path / "in"]).instances == 5
    assert push_files(settings, made).instances == len(made)
    query = VisitQuery(f"{PATIENT}-{study[-6:]}", "2024-02-29")
    report = pull_visit(settings, query, tmp_path / "back")
    assert sorted(report.series) == ["CT", "RTSTRUCT", *["SEG"] * (len(made) - 2), "SR"]
    back = {str(dcmread(p).SOPInstanceUID): p for p in (tmp_path / "back").rglob("*.dcm")}
    for before in made:
        after = back[str(dcmread(before).SOPInstanceUID)]
        if before.name in ("seg.dcm", "map.dcm"):
            pairs = zip(read_dicom_seg_layers(before), read_dicom_seg_layers(after), strict=True)
            assert all(np.array_equal(a.labels, b.labels) and a.names == b.names and a.grid == b.grid for a, b in pairs)
        elif before.name == "sr.dcm":
            assert read_dicom_sr(before) == read_dicom_sr(after)
        else:
            pairs = zip(read_rtstruct_layers(before, [grid]), read_rtstruct_layers(after, [grid]), strict=True)
            assert all(np.array_equal(a.labels, b.labels) and a.names == b.names for a, b in pairs)
