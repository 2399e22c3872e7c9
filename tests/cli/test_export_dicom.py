from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from pydicom import dcmread

from dicom_factory import HOSTILE, write_series
from interop_factory import made
from livervol import cli
from livervol.io.dicom_seg import read_dicom_seg, read_dicom_seg_layers
from livervol.io.dicom_sr import read_dicom_sr
from livervol.io.nifti import write_nifti_labels
from livervol.io.rtstruct import read_rtstruct


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    """A course of one visit as ``run`` writes it: masks, measurements.json, course.json beside."""
    course = tmp_path_factory.mktemp("course")
    found = made(course / "scan")
    folder = course / "visit_2"
    folder.mkdir()
    for name, mask in found.masks.items():
        write_nifti_labels(folder / f"{name}.nii.gz", mask, found.scan.source.stored)
    document = {
        "liver": {"volume_ml": 1.25},
        "lesions": [{"number": 2, "state": "measured", "volume_ml": 0.5}],
        "phases": [{"reference": False}, {"reference": True}],
        "provenance": {
            "methods": {"liver": "classical liver v1"},
            "inputs": [
                {"uids": ["1.2", "1.2.3"], "voxels_sha256": "0"},
                {"uids": list(found.scan.source.uids), "voxels_sha256": found.scan.source.sha256},
            ],
        },
    }
    (folder / "measurements.json").write_text(json.dumps(document))
    history = {
        "subject": "007",
        "visits": [{"number": 1, "folder": "visit_1"}, {"number": 2, "folder": "visit_2"}],
        "responses": [
            {"visit": 1, "criterion": "mrecist", "overall": ""},
            {"visit": 2, "criterion": "mrecist", "overall": "PR", "sum_mm": 12.5},
        ],
    }
    (course / "course.json").write_text(json.dumps(history))
    return folder, found


@pytest.fixture
def export(monkeypatch, capfd):
    """Run the verb as the command line does: exit code, standard output, standard error."""

    def run(*words):
        code = cli.main(["export", *map(str, words)])
        return code, *capfd.readouterr()

    return run


def test_seg_then_sr_that_refers_to_it(visit, export, tmp_path):
    folder, found = visit
    seg, sr = tmp_path / "seg.dcm", tmp_path / "sr.dcm"
    code, out, err = export("dicom-seg", folder, "--source", found.folder, "--out", seg)
    assert (code, out, err) == (0, f"{seg}\n", "")
    layers = read_dicom_seg_layers(seg, [found.scan.grid])
    for layer, mask in zip(layers, found.masks.values(), strict=True):
        assert np.array_equal(layer.labels, mask.labels)
    header = dcmread(seg)
    assert header.SegmentSequence[0].SegmentAlgorithmName == "classical liver v1"
    assert "lesion 2" in [item.get("TrackingID") for item in header.SegmentSequence]
    code, _, err = export("dicom-sr", folder, "--source", found.folder, "--out", sr, "--seg", seg)
    assert (code, err) == (0, "")
    report = read_dicom_sr(sr)
    assert report.time_point == "visit 2"
    assert [(g.tracking_id, g.segment and g.segment[0]) for g in report.groups] == [
        ("liver", header.SOPInstanceUID),
        ("lesion 2", header.SOPInstanceUID),
        ("response mrecist", None),
    ]


def test_a_readers_folder_belongs_to_its_visit(visit, export, tmp_path):
    folder, found = visit
    course = tmp_path / "course"
    reading = course / "visit_2" / "readers" / "R1"
    shutil.copytree(folder, reading)
    shutil.copy(folder.parent / "course.json", course)
    code, _, err = export("dicom-sr", reading, "--source", found.folder, "--out", tmp_path / "sr.dcm")
    assert (code, err) == (0, "")
    report = read_dicom_sr(tmp_path / "sr.dcm")
    assert report.time_point == "visit 2"
    assert "response mrecist" in [group.tracking_id for group in report.groups]


def test_rtstruct_and_labelmap_of_chosen_masks(visit, export, tmp_path):
    folder, found = visit
    words = (folder, "--source", found.folder, "--of", "lesions")
    assert export("rtstruct", *words, "--out", tmp_path / "rt.dcm")[0] == 0
    expected = found.masks["lesions"].labels
    assert np.array_equal(read_rtstruct(tmp_path / "rt.dcm", [found.scan.grid]).labels, expected)
    assert export("dicom-seg", *words, "--type", "labelmap", "--out", tmp_path / "lm.dcm")[0] == 0
    assert np.array_equal(read_dicom_seg(tmp_path / "lm.dcm", grids=[found.scan.grid]).labels, expected)
    # nothing is overwritten unasked
    assert export("rtstruct", *words, "--out", tmp_path / "rt.dcm")[0] == 2
    assert export("rtstruct", *words, "--out", tmp_path / "rt.dcm", "--overwrite")[0] == 0


def test_phases_on_one_grid_are_told_apart_by_the_record(visit, export, tmp_path):
    folder, found = visit
    both = tmp_path / "both"
    write_series(both / "a")
    write_series(both / "b", series="b")
    words = ("dicom-seg", folder, "--source", both, "--of", "liver")
    assert export(*words, "--out", tmp_path / "seg.dcm")[0] == 0
    series = dcmread(tmp_path / "seg.dcm").ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == found.source.series_uid
    other = dcmread(next((both / "b").iterdir())).SeriesInstanceUID
    assert export(*words, "--out", tmp_path / "b.dcm", "--series", other)[0] == 0
    assert dcmread(tmp_path / "b.dcm").ReferencedSeriesSequence[0].SeriesInstanceUID == other
    code, _, err = export(*words, "--out", tmp_path / "c.dcm", "--series", "1.2.3")
    assert code == 2
    assert err.startswith("source series is not clear: expected one series on the masks' grid")


def test_refusals_are_one_sentence_without_the_patient(visit, export, tmp_path):
    folder, found = visit
    out = tmp_path / "out.dcm"
    bare = tmp_path / "bare"
    bare.mkdir()
    write_nifti_labels(bare / "liver.nii.gz", found.masks["liver"], found.scan.source.stored)
    write_nifti_labels(bare / "lesions.nii.gz", found.masks["lesions"], found.scan.source.stored)
    elsewhere = tmp_path / "elsewhere"
    write_series(elsewhere, voxels=np.zeros((7, 8, 8), np.int16))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "measurements.json").write_text("[1, 2")
    cases = [
        (("dicom-seg", folder, "--source", elsewhere), "no series of the source lies on the masks' grid"),
        (("dicom-seg", folder, "--source", tmp_path / "no"), "DICOM input not found"),
        (("dicom-seg", folder, "--source", found.folder, "--type", "labelmap"), "masks overlap"),
        (("dicom-seg", folder, "--source", found.folder, "--type", "drawn"), "segmentation type is not known"),
        (("rtstruct", folder, "--source", found.folder, "--of", "necrosis"), "mask is not in the folder"),
        (("dicom-sr", bare, "--source", found.folder), "measurements.json is unreadable"),
        (("dicom-sr", broken, "--source", found.folder), "measurements.json is unreadable"),
        (("dicom-seg", broken, "--source", found.folder), "measurements.json is unreadable"),
    ]
    for words, start in cases:
        code, said, err = export(*words, "--out", out)
        assert (code, said) == (2, ""), words
        assert err.startswith(start)
        assert err.count("\n") == 1
        assert not any(word in err for word in HOSTILE)
        assert not out.exists()
    # without a course a pseudonym must be given for tracking
    (bare / "measurements.json").write_text(json.dumps({"liver": {"volume_ml": 1.0}}))
    code, _, err = export("dicom-sr", bare, "--source", found.folder, "--out", out)
    assert (code, err.split(":")[0]) == (2, "tracking identifiers need a subject")
    assert export("dicom-sr", bare, "--source", found.folder, "--out", out, "--subject", "s")[0] == 0
