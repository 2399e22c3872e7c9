from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread

from dicom_factory import HOSTILE, damaged_copies
from interop_factory import made
from livervol.errors import LivervolError, ScanError
from livervol.io.dicom_seg import write_dicom_seg
from livervol.io.dicom_seg_read import read_dicom_seg, read_dicom_seg_parts
from livervol.io.dicom_sr import SrContext, read_dicom_sr, write_dicom_sr
from livervol.io.dicom_sr_content import visit_groups
from livervol.io.dicom_tracking import tracking_uid
from tools import run_tool

DOCUMENT = {
    "liver": {"volume_ml": 1403.5706388, "functional_volume_ml": 1334.2564176},
    "tumor": {"volume_ml": 69.3142212, "viable_volume_ml": 10.1165568, "necrosis_percent": 85.40478905359178},
    "segments": {"1": {"volume_ml": 45.8858112}, "41": {"volume_ml": 20.25}},
    "remnant": {
        "right_hepatectomy": {
            "volume_ml": 455.470872,
            "volume_ml_interval": [354.2, 556.7],
            "flr_of_functional_percent": 34.136682124361094,
            "flr_of_total_percent": 32.45086919098068,
            "sflr_percent": None,
            "sflr_percent_reason": "height and weight were not given",
            "margin_mm": 17.35188865661621,
        }
    },
    "lesions": [
        {
            "number": 2,
            "site": "liver",
            "state": "measured",
            "volume_ml": 69.3142212,
            "longest_mm": 55.58700927375028,
            "endpoints_lps_mm": [[-106.7, -10.76, 35.5], [-58.2, 16.4, 35.5]],
            "short_axis_mm": 49.561133725195134,
            "short_axis_endpoints_lps_mm": [[-74.25, -20.75, 35.5], [-98.5, 22.5, 35.5]],
            "viable_longest_mm": 30.674093303633278,
            "viable_endpoints_lps_mm": [[-64.02, -14.64, 38.5], [-81.48, 10.58, 38.5]],
            "viable_volume_ml": 10.1165568,
            "necrosis_percent": 85.40478905359178,
        },
        {"number": 5, "site": "other_node", "state": "too_small", "longest_mm": None, "longest_mm_reason": "too small"},
    ],
}
RESPONSES = [
    {
        "criterion": "mrecist", "target": "PR", "non_target": "NON-CR/NON-PD", "new_lesion": "no", "overall": "PR",
        "sum_mm": 30.674093303633278, "change_from_baseline_percent": -64.60002511979677,
        "change_from_nadir_percent": None,
    },
    {"criterion": "volumetric", "target": "SD", "new_lesion": "no", "overall": "SD", "sum_mm": 69.3},
]  # fmt: skip


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    return made(tmp_path_factory.mktemp("visit") / "scan")


@pytest.fixture(scope="module")
def seg(visit, tmp_path_factory):
    path = tmp_path_factory.mktemp("seg") / "seg.dcm"
    return write_dicom_seg(path, visit.masks, visit.source, subject="study/007")


@pytest.fixture(scope="module")
def report(visit, seg, tmp_path_factory):
    path = tmp_path_factory.mktemp("sr") / "sr.dcm"
    return write_dicom_sr(path, DOCUMENT, visit.source, SrContext("study/007", 2, RESPONSES, seg))


def rounded(group):
    """Lines as the format holds them: single precision."""

    def single(number):
        if number.line_lps_mm is None:
            return number
        ends = tuple(tuple(float(np.float32(v)) for v in end) for end in number.line_lps_mm)
        return replace(number, line_lps_mm=ends)

    return replace(group, numbers=tuple(single(number) for number in group.numbers))


def test_every_number_comes_back_exactly(visit, tmp_path):
    path = write_dicom_sr(tmp_path / "sr.dcm", DOCUMENT, visit.source, SrContext("study/007", 1, RESPONSES))
    found = read_dicom_sr(path)
    expected = visit_groups(DOCUMENT, "study/007", responses=RESPONSES)
    assert found.groups == tuple(rounded(group) for group in expected)
    assert (found.time_point, found.title.value) == ("visit 1", "126000")
    assert found.study_uid == visit.source.headers[0].StudyInstanceUID
    by_id = {group.tracking_id: group for group in found.groups}
    assert list(by_id) == [
        "liver", "all lesions", "segment I", "segment IVa", "remnant right_hepatectomy", "lesion 2",
        "lesion 2 viable", "lesion 5", "response mrecist", "response volumetric",
    ]  # fmt: skip
    assert by_id["liver"].value("118565006") == 1403.5706388
    assert by_id["remnant right_hepatectomy"].value("FLRFUNCTIONAL") == 34.136682124361094
    assert by_id["remnant right_hepatectomy"].value("FLRSTANDARD") is None
    long_axis = next(n for n in by_id["lesion 2"].numbers if n.name.value == "103339001")
    assert (long_axis.value, long_axis.unit) == (55.58700927375028, "mm")
    assert np.allclose(long_axis.line_lps_mm, DOCUMENT["lesions"][0]["endpoints_lps_mm"], atol=1e-5)
    assert by_id["lesion 2 viable"].finding.value == "C113842"
    assert by_id["lesion 2 viable"].value("118565006") == 10.1165568
    # a node is no finding of the liver
    assert (by_id["lesion 2"].site.value, by_id["lesion 5"].site) == ("10200004", None)


def test_response_is_coded(report):
    by_id = {group.tracking_id: group for group in read_dicom_sr(report).groups}
    words = {name.value: value.value for name, value in by_id["response mrecist"].words}
    assert words == {"112048": "C18058", "TARGETRESPONSE": "112042", "NONTARGETRESP": "112046", "NEWLESION": "NO"}
    assert by_id["response mrecist"].method.value == "MRECIST"
    assert by_id["response mrecist"].value("SUM") == 30.674093303633278
    # a sum of volumes is no length
    assert by_id["response volumetric"].value("SUM") is None


def test_volumes_belong_to_their_segments_and_lines_stand_apart(report, seg):
    found = [g for g in read_dicom_sr(report).groups if g.tracking_id == "lesion 2"]
    parts = {part.label: part for part in read_dicom_seg_parts(seg)}
    assert [g.segment for g in found] == [(dcmread(seg).SOPInstanceUID, parts["lesion 2"].number), None]
    assert [[n.line_lps_mm is None for n in g.numbers] for g in found] == [[True, True], [False, False]]
    assert {g.tracking_uid for g in found} == {parts["lesion 2"].tracking_uid}


def test_tracking_depends_on_subject_and_finding_alone():
    first = {g.tracking_id: g.tracking_uid for g in visit_groups(DOCUMENT, "study/007")}
    later = {
        g.tracking_id: g.tracking_uid for g in visit_groups({**DOCUMENT, "liver": {"volume_ml": 1.0}}, "study/007")
    }
    other = {g.tracking_id: g.tracking_uid for g in visit_groups(DOCUMENT, "study/008")}
    assert first == later
    assert not set(first.values()) & set(other.values())
    assert len(set(first.values())) == len(first)
    # fixed for ever: files of earlier versions must go on matching
    assert tracking_uid("study/007", "lesion 2") == "2.25.340258595775894346791755461111825544346"
    assert tracking_uid("a", "bc") != tracking_uid("ab", "c")
    with pytest.raises(ScanError, match=r"tracking UID without a subject"):
        tracking_uid("", "lesion 2")


def test_patient_and_study_are_the_sources(visit, report):
    header, source = dcmread(report), visit.source.headers[0]
    for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID"):
        assert header[name].value == source[name].value


# --- other programs --------------------------------------------------------------------------------------------------


def test_dciodvfy_finds_no_error(report):
    said = run_tool("dciodvfy", report)
    assert "Comprehensive3DSR" in said.stderr
    assert "Error" not in said.stderr + said.stdout


def test_dcmqi_reads_the_same_numbers(report, tmp_path):
    said = run_tool("tid1500reader", "--inputDICOM", report, "--outputMetadata", tmp_path / "sr.json")
    assert said.returncode == 0, said.stderr
    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    mine = read_dicom_sr(report).groups
    assert [g["TrackingIdentifier"] for g in groups] == [g.tracking_id for g in mine]
    assert [g["TrackingUniqueIdentifier"] for g in groups] == [g.tracking_uid for g in mine]
    assert [g.get("ReferencedSegment") for g in groups] == [g.segment[1] if g.segment else None for g in mine]
    count = 0
    for theirs, group in zip(groups, mine, strict=True):
        items = [i for i in theirs.get("measurementItems", []) if i["quantity"]["CodeValue"] != "126073"]
        assert [i["quantity"]["CodeValue"] for i in items] == [n.name.value for n in group.numbers]
        assert [i["units"]["CodeValue"] for i in items] == [n.unit for n in group.numbers]
        for item, number in zip(items, group.numbers, strict=True):
            # decimal strings of 16 characters
            assert float(item["value"]) == pytest.approx(number.value, rel=1e-12)
            count += 1
    assert count == 19


def test_report_written_by_dcmqi_is_read(shared, tmp_path):
    data = shared / "scans/dicom_cases/dcmqi_SEG_SR_liver"
    words = (
        "--inputMetadata", data / "doc/examples/sr-tid1500-ct-liver-example.json",
        "--inputImageLibraryDirectory", data / "data/segmentations/ct-3slice",
        "--inputCompositeContextDirectory", data / "data/segmentations",
        "--outputDICOM", tmp_path / "sr.dcm",
    )  # fmt: skip
    said = run_tool("tid1500writer", *words)
    assert said.returncode == 0, said.stderr
    (group,) = read_dicom_sr(tmp_path / "sr.dcm").groups
    assert group.site.value == "10200004"
    derived = {n.derivation.meaning: n.value for n in group.numbers if n.derivation}
    assert (derived["Mean"], derived["Standard Deviation"]) == (37.3289, 59.1691)
    assert (group.value("118565006"), group.segment[1]) == (70361.9, 1)


def test_real_reports(shared):
    folder = shared / "scans/dicom_cases"
    found = read_dicom_sr(folder / "dcmqi_SEG_SR_liver/data/sr-example/sr.dcm")
    (group,) = found.groups
    assert (found.time_point, group.tracking_id, len(group.numbers)) == ("1", "primary tumor", 22)
    assert (group.value("G-D705"), group.numbers[4].unit) == (33.5824, "ml")
    # the volume of the segment it belongs to, counted by us
    seg = read_dicom_seg(folder / "dcmqi_SEG_SR_liver/data/sr-example/seg.dcm")
    assert seg.grid.voxel_ml * np.count_nonzero(seg.labels) == pytest.approx(33.5824, rel=1e-5)
    several = read_dicom_sr(folder / "highdicom_test_files/data/test_files/sr_document_with_multiple_groups.dcm").groups
    assert [(g.tracking_id, [(n.value, n.unit) for n in g.numbers]) for g in several[1:]] == [
        ("LungNodule0001", [(10.0, "mm")]),
        ("Aorta0001", [(20.0, "mm")]),
        ("Vertebra0001", [(200.0, "mm3")]),
    ]
    (planar,) = read_dicom_sr(folder / "highdicom_test_files/data/test_files/sr_document.dcm").groups
    assert [(n.value, n.unit) for n in planar.numbers] == [(1.7, "cm2")]


# --- refusals --------------------------------------------------------------------------------------------------------


def test_refusals(visit, seg, report, tmp_path):
    with pytest.raises(ScanError, match=r"nothing to report"):
        write_dicom_sr(tmp_path / "a.dcm", {}, visit.source, SrContext("s"))
    header = dcmread(seg)
    header.StudyInstanceUID = "1.2.3.4"
    header.save_as(tmp_path / "other.dcm")
    with pytest.raises(ScanError, match=r"segmentation is of another study"):
        write_dicom_sr(tmp_path / "a.dcm", DOCUMENT, visit.source, SrContext("s", seg=tmp_path / "other.dcm"))
    with pytest.raises(ScanError, match=r"file is not a structured report"):
        read_dicom_sr(seg)
    deep = dcmread(report)
    item = deep.ContentSequence[0]
    for _ in range(40):
        item.ContentSequence = [dcmread(report).ContentSequence[0]]
        item = item.ContentSequence[0]
    deep.save_as(tmp_path / "deep.dcm")
    with pytest.raises(ScanError, match=r"report nests too deeply"):
        read_dicom_sr(tmp_path / "deep.dcm")
    other = dcmread(report)
    other.ConceptNameCodeSequence[0].CodeValue = "113701"
    other.ContentSequence = []
    other.save_as(tmp_path / "dose.dcm")
    with pytest.raises(ScanError, match=r"report is not a measurement report"):
        read_dicom_sr(tmp_path / "dose.dcm")


def test_damaged_bytes_never_raise_anything_else(report, tmp_path):
    sentences = []
    for damaged in damaged_copies(report, tmp_path, count=60, most_bytes=29):
        try:
            read_dicom_sr(damaged)
        except LivervolError as error:
            sentences.append(str(error))
    assert len(sentences) > 10
    assert not any(word in sentence for word in HOSTILE for sentence in sentences)
