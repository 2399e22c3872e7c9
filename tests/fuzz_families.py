"""Families of hostile input: small whole files, damaged by number, and the reader that must take or refuse them.

``FAMILIES[name].case(number, folder)`` writes the damaged input and returns its path; ``FAMILIES[name].read(path)``
must return or raise ``LivervolError``, nothing else.
"""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicom_factory import pattern, write_enhanced, write_object, write_series
from fuzz_mutations import Case, Family, mutate_bytes, mutate_dicom, mutate_nifti, mutate_text
from fuzz_objects import OBJECT_FAMILIES
from image_factory import write_mha, write_nifti, write_nrrd
from livervol.io.cohort_tables import read_events, read_responses, read_subjects
from livervol.io.dicom import read_dicom
from livervol.io.images import read_image, read_image_grid, read_labels
from livervol.io.response_tables import read_response_table
from livervol.io.sdtm import read_sdtm_courses

__all__ = ["FAMILIES", "Family"]

SHAPE_ZYX = (3, 4, 5)


# -------------------------------------------------------------------------------------------------------- whole files


@cache
def _whole(maker: Callable[[Path], Path]) -> bytes:
    """The bytes of a whole file, made once."""
    with TemporaryDirectory() as place:
        return maker(Path(place)).read_bytes()


def _labels() -> np.ndarray:
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[1:4, 1:4, 2:5] = 1
    labels[2, 2, 3] = 2
    return labels


def _nifti(folder: Path) -> Path:
    return write_nifti(folder / "scan.nii", np.arange(210, dtype=np.int16).reshape(5, 6, 7) - 100)


def _nifti_labels(folder: Path) -> Path:
    return write_nifti(folder / "scan.nii", _labels())


def _nrrd(folder: Path) -> Path:
    return write_nrrd(folder / "scan.nrrd")


def _mha(folder: Path) -> Path:
    return write_mha(folder / "scan.mha")


def _packed_mha(folder: Path) -> Path:
    return write_mha(folder / "scan.mha", zlib.compress(bytes(420)), CompressedData="True")


def _seg_nrrd(folder: Path) -> Path:
    from conftest import oblique_grid
    from livervol.io.seg_nrrd import write_seg_nrrd
    from livervol.scan import Segmentation

    layer = Segmentation(_labels(), oblique_grid((5, 6, 7)), {1: "liver", 2: "lesion 1"})
    return write_seg_nrrd(folder / "mask.seg.nrrd", [layer, layer])


def _enhanced(folder: Path, **options: Any) -> Path:
    return write_enhanced(folder / "scan.dcm", voxels=pattern(SHAPE_ZYX), **options)


def _slice(folder: Path, number: int, **options: Any) -> Path:
    return write_series(folder / "series", voxels=pattern(SHAPE_ZYX), **options)[number]


def _object(folder: Path, kind: str) -> Path:
    return write_object(folder / "object.dcm", kind)


_ENHANCED = tuple(
    partial(_enhanced, **options)
    for options in ({}, {"kind": "EMR"}, {"syntax": ImplicitVRLittleEndian}, {"syntax": RLELossless})
)
_SERIES = ({}, {"kind": "MR"}, {"syntax": RLELossless}, {"syntax": DeflatedExplicitVRLittleEndian})
_SLICES = tuple(tuple(partial(_slice, number=n, **options) for n in range(SHAPE_ZYX[0])) for options in _SERIES)
_OBJECTS = tuple(partial(_object, kind=kind) for kind in ("SEG", "SR", "PT", "SC", "CT"))

_LESIONS = (
    "patient,reader,visit,date,lesion,role,site,node,longest_mm,short_axis_mm,viable_longest_mm,"
    "viable_perpendicular_mm,volume_ml,viable_volume_ml,state,mean_hu,enhancement,new_role,baseline,markers\n"
    "p1,r1,1,2024-01-01,1,target,liver,0,40,30,20,10,30,5,measured,80,typical,,1,normal\n"
    "p1,r1,1,2024-01-01,2,non_target,portal_vein_thrombus,0,,,,,,,present,,,,1,normal\n"
    "p1,r1,2,2024-03,1,target,liver,0,20,15,0,0,10,0,measured,40,typical,,,normal\n"
    "p1,r1,2,2024-03,3,new,lung,0,12,9,,,,,measured,,,target,,normal\n"
    "p2,,1,,1,target,other_node,1,,16,,,,,measured,,,,,\n"
)
_SUMS = "patient,reader,visit,date,sum_mm\np1,r1,1,2024-01-01,80\np1,r1,2,2024-03-01,40.5\np2,r2,1,2024,0\n"
_SUBJECTS = (
    "patient,first_dose,enrolled,last_dose,death,last_alive,surgery,r0,pathology_necrosis_percent,liver_condition,"
    "height_cm,weight_kg,sex,arm\np1,2024-01-02,2023-12-30,2024-06-01,,2025-01,2024-07-01,1,95,normal,170,70,f,A\n"
    "p2,2024-02,,,2024-09-09,,,,,cirrhosis,181.5,90,male,B\n"
)
_EVENTS = (
    "patient,date,kind,lesion,name,value,unit\np1,2024-01-02,dose,,drug,10,mg\np1,2024-02,ablation,1,,,\n"
    "p2,2024,adverse_event,,nausea,2,grade\n"
)
_RESPONSES = (
    "patient,reader,visit,date,criterion,target,non_target,new_lesion,overall,sum_mm,baseline_sum_mm,nadir_sum_mm,"
    "change_from_baseline_percent,change_from_nadir_percent,reasons\n"
    "p1,r1,1,2024-01-01,mrecist,,,,,80,80,80,0,0,\np1,r1,2,2024-03-01,mrecist,PR,SD,no,PR,40,80,40,-50,-50,-50 %\n"
    "p2,r1,3,2024-05-01,mrecist,SD,NE,yes,PD,70,80,40,-12.5,75,new lesion\n"
)
_TU = (
    "STUDYID,DOMAIN,USUBJID,TUSEQ,TULNKID,TUTESTCD,TUTEST,TUORRES,TUSTRESC,TULOC,TUEVAL,TUEVALID,VISITNUM,VISIT,TUDTC\n"
    "S,TU,S-1,1,T01,TUMIDENT,Tumor Identification,TARGET,TARGET,LIVER,INVESTIGATOR,R1,1,BASELINE,2024-01-01\n"
    "S,TU,S-1,2,NT01,TUMIDENT,Tumor Identification,NON-TARGET,NON-TARGET,LYMPH NODE,INVESTIGATOR,R1,1,BASELINE,"
    "2024-01-01\n"
)
_TR = (
    "STUDYID,DOMAIN,USUBJID,TRSEQ,TRLNKID,TRTESTCD,TRORRES,TRORRESU,TRSTRESC,TRSTRESN,TRSTRESU,TRSTAT,TREVAL,TREVALID,"
    "VISITNUM,VISIT,TRDTC\n"
    "S,TR,S-1,1,T01,LDIAM,40,mm,40,40,mm,,INVESTIGATOR,R1,1,BASELINE,2024-01-01\n"
    "S,TR,S-1,2,NT01,TUMSTATE,PRESENT,,PRESENT,,,,INVESTIGATOR,R1,1,BASELINE,2024-01-01\n"
    "S,TR,S-1,3,T01,LDIAM,2,cm,20,20,mm,,INVESTIGATOR,R1,2.1,WEEK 8,2024-03-01\n"
)
_JSON = {
    "datasetJSONCreationDateTime": "2024-01-01T00:00:00",
    "datasetJSONVersion": "1.1.0",
    "itemGroupOID": "IG.TU",
    "records": 2,
    "name": "TU",
    "label": "Tumor",
    "columns": [
        {"itemOID": f"IT.TU.{name}", "name": name, "label": name, "dataType": "string"}
        for name in _TU.split("\n")[0].split(",")
    ],
    "rows": [line.split(",") for line in _TU.strip().split("\n")[1:]],
}


# ------------------------------------------------------------------------------------------------------- damaged ones


def _blind(rng: random.Random, folder: Path, name: str, *makers: Callable[[Path], Path]) -> Path:
    path = folder / name
    path.write_bytes(mutate_bytes(rng, _whole(rng.choice(makers)), 400))
    return path


def _nifti_case(rng: random.Random, folder: Path) -> Path:
    content = _whole(rng.choice((_nifti, _nifti_labels)))
    content = mutate_nifti(rng, content) if rng.random() < 0.7 else mutate_bytes(rng, content, 360)
    kind = rng.randrange(4)
    if kind < 2:
        (folder / "scan.nii").write_bytes(content)
        return folder / "scan.nii"
    packed = gzip.compress(content, 1, mtime=0)
    (folder / "scan.nii.gz").write_bytes(packed if kind == 2 else mutate_bytes(rng, packed))
    return folder / "scan.nii.gz"


def _header_text_case(rng: random.Random, folder: Path, name: str, *makers: Callable[[Path], Path]) -> Path:
    """Text changes to the header of NRRD and MetaImage, which ends at the first empty line or at its data."""
    content = _whole(rng.choice(makers))
    end = content.find(b"\n\n")
    end = content.find(b"LOCAL") + 6 if end < 0 or name.endswith(".mha") else end
    head = mutate_text(rng, content[:end].decode("latin-1"), ": =,")
    data = head.encode("utf-8", "surrogatepass") + content[end:]
    (folder / name).write_bytes(data if rng.random() < 0.8 else mutate_bytes(rng, data, end))
    return folder / name


def _dicom_bytes(rng: random.Random, content: bytes) -> bytes:
    return mutate_dicom(rng, content) if rng.random() < 0.7 else mutate_bytes(rng, content, len(content))


def _enhanced_case(rng: random.Random, folder: Path) -> Path:
    path = folder / "scan.dcm"
    path.write_bytes(_dicom_bytes(rng, _whole(rng.choice(_ENHANCED))))
    return path


def _series_case(rng: random.Random, folder: Path) -> Path:
    makers = rng.choice(_SLICES)
    damaged = rng.randrange(len(makers))
    for number, maker in enumerate(makers):
        content = _whole(maker)
        content = _dicom_bytes(rng, content) if number == damaged or rng.random() < 0.1 else content
        (folder / f"slice{number}").write_bytes(content)
    if rng.random() < 0.2:
        (folder / "object").write_bytes(_dicom_bytes(rng, _whole(rng.choice(_OBJECTS))))
    return folder


def _table_case(rng: random.Random, folder: Path, *texts: str) -> Path:
    path = folder / "table.csv"
    text = mutate_text(rng, rng.choice(texts))
    data = text.encode("utf-8", "surrogatepass")
    path.write_bytes(mutate_bytes(rng, data) if rng.random() < 0.2 else data)
    return path


def _sdtm_case(rng: random.Random, folder: Path) -> Path:
    for name, text in (("tu", _TU), ("tr", _TR)):
        changed = mutate_text(rng, text) if rng.random() < 0.7 else text
        (folder / f"{name}.csv").write_bytes(changed.encode("utf-8", "surrogatepass"))
    if rng.random() < 0.3:
        (folder / "tu.csv").unlink()
        text = mutate_text(rng, json.dumps(_JSON, indent=1), ':,"')
        (folder / "tu.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    return folder


# ------------------------------------------------------------------------------------------------------------- readers


def _read_both(path: Path) -> None:
    """As an image, as labels and the grid alone: one refusal must not hide another's crash."""
    from livervol.errors import LivervolError

    refused = []
    for read in (read_image_grid, read_image, read_labels):
        try:
            read(path)
        except LivervolError as error:
            refused.append(error)
    if len(refused) == 3:
        raise refused[-1]


def _assess_all(path: Path) -> None:
    from livervol.response import assess

    table = read_response_table(path)
    for course in table:
        for criterion in ("mrecist", "recist11") if table.sums_only else ("mrecist", "recist11", "volumetric"):
            list(assess(course, criterion))


def _of(build: Callable[..., Path], *fixed: Any) -> Case:
    return lambda rng, folder: build(rng, folder, *fixed)


FAMILIES: dict[str, Family] = {
    "nifti": Family(_nifti_case, _read_both),
    "nrrd": Family(_of(_header_text_case, "scan.nrrd", _nrrd), _read_both),
    "seg_nrrd": Family(_of(_header_text_case, "mask.seg.nrrd", _seg_nrrd), _read_both),
    "nrrd_bytes": Family(_of(_blind, "scan.nrrd", _nrrd, _seg_nrrd), _read_both),
    "mha": Family(_of(_header_text_case, "scan.mha", _mha, _packed_mha), _read_both),
    "mha_bytes": Family(_of(_blind, "scan.mha", _mha, _packed_mha), _read_both),
    "dicom_enhanced": Family(_enhanced_case, read_dicom),
    "dicom_series": Family(_series_case, read_dicom),
    "response_table": Family(_of(_table_case, _LESIONS, _SUMS), _assess_all),
    "subjects": Family(_of(_table_case, _SUBJECTS), read_subjects),
    "events": Family(_of(_table_case, _EVENTS), read_events),
    "responses": Family(_of(_table_case, _RESPONSES), read_responses),
    "sdtm": Family(_sdtm_case, read_sdtm_courses),
    **OBJECT_FAMILIES,
}
