"""Reading DICOM Segmentation objects (BINARY, FRACTIONAL, LABELMAP) as Segmentations in canonical axes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from livervol.errors import ScanError, refusal
from livervol.grid import Grid
from livervol.io.dicom_guard import code_in, guarded, opened, short
from livervol.io.dicom_kind import text
from livervol.io.dicom_seg_codes import kind_of_code, value_of
from livervol.io.dicom_seg_frames import open_frames
from livervol.io.dicom_seg_parts import Part, Parts, layers, one_mask, wanted_parts
from livervol.scan import Segmentation

__all__ = [
    "SEG_CLASSES",
    "read_dicom_seg",
    "read_dicom_seg_header",
    "read_dicom_seg_layers",
    "read_dicom_seg_parts",
]

#: Segmentation Storage and Label Map Segmentation Storage.
SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")

_WHAT = "DICOM segmentation"


def read_dicom_seg(path: str | Path, structure: str = "", grids: Sequence[Grid] = ()) -> Segmentation:
    """The segments of a DICOM SEG as one label map in canonical axes; a fraction of at least one half counts.

    ``structure`` (liver, segments, lesions, viable, necrosis, uncertain, vessels) takes only the segments whose codes
    say so, with that mask's label values (Couinaud 1..8, lesion numbers). Empty takes all: label values where they
    are unique, else segment numbers. A file may leave out empty slices: on the first of ``grids`` (scans) whose voxels
    coincide with the file's they come back; without one the result spans the slices the file has.
    Raises ``ScanError`` for a file that is no segmentation or is damaged, lacks the structure, has no place in a
    patient (microscopy, projections), or whose segments overlap. No message names the patient.
    Source: DICOM PS3.3 C.8.20, C.7.6.16 (functional groups).
    """
    with guarded(path, _WHAT):
        held = _held(_open(path), path)
        return one_mask(held, wanted_parts(held.parts, structure, held.where), grids)


def read_dicom_seg_layers(path: str | Path, grids: Sequence[Grid] = ()) -> list[Segmentation]:
    """Every segment of a DICOM SEG, as few label maps as hold them without overlap.

    A visit's masks come first, one each, with their own label values; other structures follow with segment numbers.
    """
    with guarded(path, _WHAT):
        return layers(_held(_open(path), path), grids)


def read_dicom_seg_parts(path: str | Path) -> tuple[Part, ...]:
    """What the segments of a DICOM SEG are, without their voxels."""
    with guarded(path, _WHAT):
        return _describe(_open(path))


def read_dicom_seg_header(path: str | Path) -> Dataset:
    """The header of a DICOM SEG, for objects that refer to it; it carries the patient, so it is not for showing."""
    with guarded(path, _WHAT):
        return _open(path)


def _open(path: str | Path) -> Dataset:
    return opened(path, SEG_CLASSES, _WHAT)


def _held(header: Dataset, path: str | Path) -> Parts:
    where = f"file {Path(path).name}"
    parts = _describe(header)
    frames = open_frames(header, [part.number for part in parts], where)
    maker = " ".join(v for v in (text(header, "Manufacturer"), text(header, "SoftwareVersions")) if v)
    return Parts(parts, frames, where, short(maker))


def _describe(header: Dataset) -> tuple[Part, ...]:
    parts = []
    for item in header.get("SegmentSequence") or []:
        number = int(item.SegmentNumber)
        code, label = code_in(item, "SegmentedPropertyTypeCodeSequence"), short(text(item, "SegmentLabel"))
        kind = kind_of_code(code)
        value = value_of(kind, code, label) if kind else None
        if number == 0 and text(header, "SegmentationType") == "LABELMAP":
            continue  # a label map may describe its background
        if not 1 <= number <= 65535:
            raise ScanError(refusal("segment number is not valid", expected="1 to 65535", got=str(number)))
        parts.append(
            Part(
                number=number,
                label=label or f"segment number {number}",
                kind=kind,
                value=number if value is None else value,
                category=code_in(item, "SegmentedPropertyCategoryCodeSequence"),
                type=code,
                tracking_id=short(text(item, "TrackingID")),
                tracking_uid=short(text(item, "TrackingUID")),
                algorithm=short(text(item, "SegmentAlgorithmName")),
            )
        )
    if len({part.number for part in parts}) < len(parts):
        raise ScanError(refusal("segment number is not unique", expected="each number once", got="a repeated number"))
    return tuple(parts)
