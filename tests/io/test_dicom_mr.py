"""Which MR contrast a header tells, on both sides of every threshold."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_factory import write_series
from livervol.io.dicom import read_dicom
from livervol.io.dicom_mr import mr_sequence

CASES = [
    # spin echoes: T2 from 60 ms, T1 below 30 ms with a short repetition
    ({"ScanningSequence": "SE", "EchoTime": 60, "RepetitionTime": 1600}, "T2"),
    ({"ScanningSequence": "SE", "EchoTime": 59, "RepetitionTime": 1600}, "other"),
    ({"ScanningSequence": ["SE", "IR"], "EchoTime": 394, "RepetitionTime": 6000}, "T2"),
    ({"ScanningSequence": "SE", "EchoTime": 12, "RepetitionTime": 500}, "T1"),
    ({"ScanningSequence": "SE", "EchoTime": 12, "RepetitionTime": 2500}, "other"),
    ({"ScanningSequence": "SE", "EchoTime": 30, "RepetitionTime": 500}, "other"),
    # gradient echoes: T1 up to 10 ms
    ({"ScanningSequence": "GR", "EchoTime": 2.4, "RepetitionTime": 4.1}, "T1"),
    ({"ScanningSequence": "GR", "EchoTime": 12, "RepetitionTime": 40}, "other"),
    ({"ScanningSequence": "GR", "EchoTime": 2.4, "RepetitionTime": 900}, "other"),
    ({"ScanningSequence": "GR", "EchoTime": 1.7, "RepetitionTime": 3.4, "SequenceName": "*tfi2d1"}, "other"),
    ({"ScanningSequence": "GR", "EchoTime": 1.7, "RepetitionTime": 3.4, "SeriesDescription": "TRUFI cor"}, "other"),
    # diffusion
    ({"ScanningSequence": "EP", "EchoTime": 60, "RepetitionTime": 6000, "DiffusionBValue": 800.0}, "DWI"),
    ({"ScanningSequence": "EP", "EchoTime": 60, "RepetitionTime": 6000, "DiffusionBValue": 0.0}, "other"),
    ({"ScanningSequence": "EP", "EchoTime": 60, "SeriesDescription": "DWI b50 b400 b800"}, "DWI"),
    ({"ScanningSequence": "EP", "EchoTime": 60, "SequenceName": "ep_b800t"}, "DWI"),
    ({"ScanningSequence": "EP", "EchoTime": 60, "SeriesDescription": "dwi_ADC"}, "other"),
    # words, where the timing is silent
    ({"SeriesDescription": "t1_vibe_fs_tra_ART"}, "T1"),
    ({"SeriesDescription": "Ax LAVA portal"}, "T1"),
    ({"SeriesDescription": "T2 HASTE cor"}, "T2"),
    ({"SeriesDescription": "t2* map"}, "other"),
    ({"ScanningSequence": "GR", "EchoTime": 2, "RepetitionTime": 4, "SeriesDescription": "T1 ART SUB"}, "other"),
    ({}, "other"),
    # enhanced objects
    ({"AcquisitionContrast": "T2"}, "T2"),
    ({"AcquisitionContrast": "DIFFUSION"}, "DWI"),
    ({"EchoPulseSequence": "GRADIENT", "EchoTime": 2.4, "RepetitionTime": 4.1}, "T1"),
]


@pytest.mark.parametrize(("header", "expected"), CASES, ids=[f"{n}" for n in range(len(CASES))])
def test_sequence(header, expected):
    ds = Dataset()
    ds.update(header)
    assert mr_sequence(ds) == expected


def nested(outer, sequence, **values):
    item, groups, ds = Dataset(), Dataset(), Dataset()
    item.update(values)
    setattr(groups, sequence, Sequence([item]))
    setattr(ds, outer, Sequence([groups]))
    return ds


@pytest.mark.parametrize("outer", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
def test_functional_groups(outer):
    assert mr_sequence(nested(outer, "MRImageFrameTypeSequence", AcquisitionContrast="T1")) == "T1"
    assert mr_sequence(nested(outer, "MRImageFrameTypeSequence", AcquisitionContrast="UNKNOWN")) == "other"
    assert mr_sequence(nested(outer, "MRDiffusionSequence", DiffusionBValue=800.0)) == "DWI"
    assert mr_sequence(nested(outer, "MREchoSequence", EffectiveEchoTime=90.0)) == "T2"


def test_scan_carries_the_sequence_and_its_timing(tmp_path):
    header = {"ScanningSequence": "GR", "EchoTime": 2.4, "RepetitionTime": 4.1}
    write_series(tmp_path, kind="MR", edit=lambda ds, number: ds.update(header))
    (scan,) = read_dicom(tmp_path)
    assert (scan.modality, scan.sequence) == ("MR", "T1")
    assert float(scan.source.hints["echo_time_ms"]) == 2.4
    assert float(scan.source.hints["repetition_time_ms"]) == 4.1
