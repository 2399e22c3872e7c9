"""Families of damaged objects that other programs write: SEG, SR, RTSTRUCT, edit journals, visit lists, imports."""

from __future__ import annotations

import hashlib
import random
import re
import struct
import zlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from conftest import oblique_grid
from dicom_factory import pattern, uid, write_series
from fuzz_mutations import Family, mutate_bytes, mutate_dicom, mutate_text
from livervol.batch.visits import files_of, read_visits
from livervol.edit.change import Change, Setting, Step
from livervol.edit.journal import MARK, Begin, Journal, read_records, rebuild
from livervol.errors import LivervolError
from livervol.io.deidentify import deidentify
from livervol.io.dicom_seg import write_dicom_seg
from livervol.io.dicom_seg_read import read_dicom_seg_layers
from livervol.io.dicom_source import SourceSeries, find_source
from livervol.io.dicom_sr import SrContext, write_dicom_sr
from livervol.io.dicom_sr_read import read_dicom_sr
from livervol.io.images import read_labels
from livervol.io.pacs_archive import parcel_of
from livervol.io.rtstruct import write_rtstruct
from livervol.io.rtstruct_read import read_rtstruct_layers
from livervol.scan import Segmentation

__all__ = ["OBJECT_FAMILIES"]

SHAPE_ZYX = (5, 12, 14)

_DOCUMENT = {
    "liver": {"volume_ml": 1.5, "functional_volume_ml": 1.25},
    "tumor": {"volume_ml": 0.25},
    "lesions": [
        {"number": 1, "site": "liver", "state": "measured", "volume_ml": 0.25, "longest_mm": 4.0, "plane_index": 2,
         "endpoints_lps_mm": [[-30.0, 48.0, -808.0], [-27.0, 50.0, -807.0]]}
    ],
}  # fmt: skip


def _source(folder: Path) -> SourceSeries:
    def edit(ds: Dataset, number: int) -> None:
        ds.AccessionNumber, ds.StudyID, ds.StudyTime, ds.PatientSex, ds.ReferringPhysicianName = "", "", "", "", ""

    grid = oblique_grid(SHAPE_ZYX)
    write_series(folder / "series", voxels=pattern(SHAPE_ZYX), grid=grid, edit=edit)
    return find_source(folder / "series", grid)


def _masks() -> dict[str, Segmentation]:
    liver, lesions = np.zeros(SHAPE_ZYX, np.uint8), np.zeros(SHAPE_ZYX, np.uint8)
    liver[1:4, 2:9, 3:12] = 1
    lesions[2, 4:7, 5:9] = 1
    lesions[3, 3:5, 8:10] = 2
    grid = oblique_grid(SHAPE_ZYX)
    return {
        "liver": Segmentation(liver, grid, {1: "liver"}, "test"),
        "lesions": Segmentation(lesions, grid, {1: "lesion 1", 2: "lesion 2"}, "test"),
    }


def _settled(path: Path) -> bytes:
    """The file with UIDs by order of appearance and one moment: the same bytes on every machine and day."""
    known: dict[str, str] = {}

    def settle(ds: Dataset, element: Any) -> None:
        if element.VR == "UI" and not element.is_empty and element.VM == 1:
            text = str(element.value)
            if not text.startswith("1.2.840.10008."):
                element.value = known.setdefault(text, uid("settled", len(known)))
        elif element.VR in ("DA", "TM", "DT"):
            element.value = {"DA": "20240229", "TM": "101500", "DT": "20240229101500"}[element.VR]

    ds = dcmread(path)
    ds.walk(settle)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(path, enforce_file_format=True)
    return path.read_bytes()


@cache
def _objects() -> dict[str, bytes]:
    """One whole object of each kind."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        source, masks, paths = _source(folder), _masks(), {}
        for kind in ("BINARY", "LABELMAP"):
            chosen = masks if kind == "BINARY" else {"lesions": masks["lesions"]}
            paths[f"seg {kind}"] = write_dicom_seg(folder / f"{kind}.dcm", chosen, source, kind=kind)
        paths["rtstruct"] = write_rtstruct(folder / "rtstruct.dcm", masks, source)
        paths["sr"] = write_dicom_sr(folder / "sr.dcm", _DOCUMENT, source, SrContext("P-1", 1))
        return {name: _settled(path) for name, path in paths.items()}


def _object_case(*names: str) -> Any:
    def build(rng: random.Random, folder: Path) -> Path:
        content = _objects()[rng.choice(names)]
        damaged = mutate_dicom(rng, content) if rng.random() < 0.75 else mutate_bytes(rng, content, len(content))
        (folder / "object.dcm").write_bytes(damaged)
        return folder / "object.dcm"

    return build


def _every(*readers: Any) -> Any:
    """A reader that tries each; one refusal must not hide another's crash."""

    def read(path: Path) -> None:
        refused = []
        for reader in readers:
            try:
                reader(path)
            except LivervolError as error:
                refused.append(error)
        if len(refused) == len(readers):
            raise refused[-1]

    return read


_GRIDS = (oblique_grid(SHAPE_ZYX),)


# ------------------------------------------------------------------------------------------------------------ journals


@cache
def _payloads() -> tuple[bytes, ...]:
    """The records of a small journal, each at one fixed moment."""
    with TemporaryDirectory() as place:
        path = Path(place) / "edits.journal"
        liver = np.zeros((3, 4, 5), np.uint16)
        liver[1, 1:3, 1:4] = 1
        journal = Journal.start(path, "R1", Begin({"liver": liver}, {"resections": ["right_hepatectomy"]}, {"a": 1}))
        changed = liver.copy()
        changed[2, 2, 2] = 2
        setting = Setting("lesion.1.role", None, "target")
        journal.append(Step("brush", (Change.between(liver, changed, "liver", "brush"),), (setting,), "because"))
        journal.undo()
        journal.redo()
        journal.close()
        data, at, found = path.read_bytes(), len(MARK), []
        while at < len(data):
            (length,) = struct.unpack_from(">I", data, at + 8)
            found.append(data[at + 16 : at + 16 + length])
            at += 16 + length + 32
        return tuple(_at_one_moment(payload) for payload in found)


def _at_one_moment(payload: bytes) -> bytes:
    (size,) = struct.unpack_from(">I", payload)
    text = re.sub(rb'"when": "[^"]*"', b'"when": "2024-02-29T10:15:00+00:00"', payload[4 : 4 + size])
    return struct.pack(">I", len(text)) + text + payload[4 + size :]


def _journal_case(rng: random.Random, folder: Path) -> Path:
    """A journal whose damaged record is signed correctly, as a hostile writer would, or one with damage anywhere."""
    payloads = list(_payloads())
    if rng.random() < 0.75:
        at = rng.randrange(len(payloads))
        if rng.random() < 0.6:
            (size,) = struct.unpack_from(">I", payloads[at])
            text = mutate_text(rng, payloads[at][4 : 4 + size].decode(), ',:"').encode("utf-8", "surrogatepass")
            payloads[at] = struct.pack(">I", len(text)) + text + payloads[at][4 + size :]
        else:
            payloads[at] = mutate_bytes(rng, payloads[at])
        if rng.random() < 0.2:
            payloads.insert(rng.randrange(len(payloads) + 1), rng.choice(payloads))
    data, link = bytearray(MARK), hashlib.sha256(MARK).digest()
    for number, payload in enumerate(payloads):
        head = struct.pack(">4sII", b"LVE1", number, len(payload))
        head += struct.pack(">I", zlib.crc32(head))
        link = hashlib.sha256(link + head + payload).digest()
        data += head + payload + link
    path = folder / "edits.journal"
    path.write_bytes(bytes(data) if rng.random() < 0.8 else mutate_bytes(rng, bytes(data), len(data)))
    return path


def _read_journal(path: Path) -> None:
    rebuild(read_records(path))
    Journal.open(path, "R1", repair=True).close()


# --------------------------------------------------------------------------------------------------- lists and imports

_VISITS = (
    "patient,visit,date,path,arterial,liver,height_cm,sex\n"
    "p1,1,2024-01-01,a,,,170,f\np1,2,2024-03,b/c,,,,\np2,1,2024-02-29,,d.nii.gz,m.nii.gz,,m\n"
)


def _visits_case(rng: random.Random, folder: Path) -> Path:
    for name in ("a/1", "b/c/1", "d.nii.gz", "m.nii.gz"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    if rng.random() < 0.3:
        (folder / "a" / "out").symlink_to(rng.choice(("/etc", "..", "../b", "out", "/dev/zero")))
    data = mutate_text(rng, _VISITS).encode("utf-8", "surrogatepass")
    (folder / "VISITS.csv").write_bytes(mutate_bytes(rng, data) if rng.random() < 0.2 else data)
    return folder / "VISITS.csv"


def _read_visits(path: Path) -> None:
    table = read_visits(path)
    for row in table.rows:
        for _, paths in row.words:
            for _, file in files_of(table.root, paths):
                assert file.resolve().is_relative_to(table.root), "a path left the tree"


def _import_case(rng: random.Random, folder: Path) -> Path:
    (folder / "in").mkdir()
    for name, content in _objects().items():
        if rng.random() < 0.5 or name == "sr":
            (folder / "in" / name).write_bytes(mutate_dicom(rng, content) if rng.random() < 0.6 else content)
    return folder / "in"


def _deidentify(path: Path) -> None:
    for file in path.iterdir():
        try:
            parcel_of(file)
        except LivervolError:
            continue
    deidentify(path, path.parent / "out", "P-1", key=bytes(32))


OBJECT_FAMILIES: dict[str, Family] = {
    "dicom_seg": Family(_object_case("seg BINARY", "seg LABELMAP"), _every(read_dicom_seg_layers, read_labels)),
    "dicom_sr": Family(_object_case("sr"), read_dicom_sr),
    "rtstruct": Family(
        _object_case("rtstruct"),
        _every(lambda p: read_rtstruct_layers(p, _GRIDS), lambda p: read_labels(p, grids=_GRIDS)),
    ),
    "journal": Family(_journal_case, _read_journal),
    "visits": Family(_visits_case, _read_visits),
    "deidentify": Family(_import_case, _deidentify),
}
