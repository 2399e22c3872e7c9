"""A visit to the archive and back, run, and its results to the archive and back: the same voxels and numbers."""

from __future__ import annotations

import numpy as np
from pydicom import dcmread

from archives import running_orthanc
from demo_course import demo_course
from livervol import cli
from livervol.assets import sample_scans_folder
from livervol.io.dicom import read_dicom
from livervol.io.dicom_seg_read import read_dicom_seg_layers
from livervol.io.dicom_sr_read import read_dicom_sr
from livervol.io.images import read_labels
from livervol.io.pacs import VisitQuery, pull_visit, push_files
from livervol.workflows.visit import run_visit


def numbers(document):
    """What was measured, without where the files lay."""
    return {key: value for key, value in document.items() if key != "provenance"}


def test_push_pull_run_push_pull(tmp_path, capfd):
    visit = sample_scans_folder() / "course" / "visit_1"
    first = dcmread(next(p for p in sorted(visit.rglob("*")) if p.is_file()), stop_before_pixels=True)
    day = str(first.StudyDate)
    query = VisitQuery(str(first.PatientID), f"{day[:4]}-{day[4:6]}-{day[6:]}")
    with running_orthanc(tmp_path / "orthanc") as archive:
        sent = push_files(archive.web, [visit])
        assert pull_visit(archive.move, query, tmp_path / "pulled").instances == sent.instances
        there = run_visit([tmp_path / "pulled"], tmp_path / "there")
        assert numbers(there.document) == numbers(demo_course().visits[0])
        for name, mask in there.masks.items():
            here = read_labels(demo_course().folder / "visit_1" / f"{name}.nii.gz")
            assert np.array_equal(here.labels, mask.labels), name
        results = []
        for verb, name, more in (("dicom-seg", "seg.dcm", []), ("dicom-sr", "sr.dcm", ["--subject", "P-1"])):
            words = [
                "export",
                verb,
                tmp_path / "there",
                "--source",
                tmp_path / "pulled",
                "--out",
                tmp_path / name,
                *more,
            ]
            assert cli.main([str(word) for word in words]) == 0, capfd.readouterr().err
            results.append(tmp_path / name)
        assert push_files(archive.web, results).instances == 2
        pull_visit(archive.web, query, tmp_path / "back")
        back = {str(dcmread(p).SOPInstanceUID): p for p in (tmp_path / "back").rglob("*.dcm")}
    seg, report = (back[str(dcmread(path).SOPInstanceUID)] for path in results)
    layers = read_dicom_seg_layers(seg, [scan.grid for scan in read_dicom(tmp_path / "pulled")])
    # planes without a structure are left out of the file; the scan has them
    liver = read_labels(tmp_path / "there" / "liver.nii.gz")
    returned = [layer for layer in layers if list(layer.names.values()) == ["liver"]]
    assert len(returned) == 1
    assert returned[0].grid.matches(liver.grid)
    assert np.array_equal(returned[0].labels != 0, liver.labels != 0)
    assert read_dicom_sr(report) == read_dicom_sr(results[1])
