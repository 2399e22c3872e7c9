"""Reading DICOM Segmentation objects (BINARY, FRACTIONAL, LABELMAP) as Segmentations in canonical axes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from livervol.errors import LivervolError, ScanError, refusal
from livervol.files import check_readable
from livervol.grid import Grid
from livervol.io.dicom_header import DAMAGE
from livervol.io.dicom_kind import text
from livervol.io.dicom_seg_codes import MASK_KINDS, Code, kind_of_code, value_of
from livervol.io.dicom_seg_frames import Frames, open_frames
from livervol.io.lattice import placed_on_any
from livervol.scan import Segmentation

__all__ = [
    "SEG_CLASSES",
    "SegPart",
    "read_dicom_seg",
    "read_dicom_seg_header",
    "read_dicom_seg_layers",
    "read_dicom_seg_parts",
]

#: Segmentation Storage and Label Map Segmentation Storage.
SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


@dataclass(frozen=True)
class SegPart:
    """One segment as its file describes it.

    ``kind`` is the visit mask it belongs to (liver, segments, lesions, ...; empty for any other structure) and
    ``value`` its label there, which is the segment ``number`` where neither code nor label tells.
    """

    number: int
    label: str
    kind: str
    value: int
    category: Code
    type: Code
    tracking_id: str = ""
    tracking_uid: str = ""
    algorithm: str = ""


@dataclass(frozen=True, eq=False)
class _Seg:
    parts: tuple[SegPart, ...]
    frames: Frames
    where: str
    made_by: str


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
    seg = _open(path)
    parts = [part for part in seg.parts if not structure or part.kind == structure]
    if not parts:
        raise ScanError(
            refusal(
                "structure is not in the segmentation",
                expected=f"a segment of {structure}" if structure else "at least one segment",
                got=", ".join(sorted({part.label for part in seg.parts})[:8]) or "none",
                where=seg.where,
                do="Check the segments' codes, or convert the wanted ones to .nii.gz.",
            )
        )
    return _one(seg, parts, grids)


def read_dicom_seg_layers(path: str | Path, grids: Sequence[Grid] = ()) -> list[Segmentation]:
    """Every segment of a DICOM SEG, as few label maps as hold them without overlap.

    A visit's masks come first, one each, with their own label values; other structures follow with segment numbers.
    """
    seg = _open(path)
    layers: list[list[SegPart]] = []
    for kind in MASK_KINDS:
        parts = [part for part in seg.parts if part.kind == kind]
        if parts and not _overlap(seg, parts) and len({part.value for part in parts}) == len(parts):
            layers.append(parts)
    done = {part.number for layer in layers for part in layer}
    others: list[list[SegPart]] = []
    for part in (p for p in seg.parts if p.number not in done):
        home = next((layer for layer in others if not _overlap(seg, [*layer, part])), None)
        if home is None:
            others.append([part])
        else:
            home.append(part)
    return [_one(seg, parts, grids) for parts in (*layers, *others)]


def read_dicom_seg_parts(path: str | Path) -> tuple[SegPart, ...]:
    """What the segments of a DICOM SEG are, without their voxels."""
    return _open(path).parts


def read_dicom_seg_header(path: str | Path) -> Dataset:
    """The header of a DICOM SEG, for objects that refer to it; it carries the patient, so it is not for showing."""
    return _open(path).frames.header


def _open(path: str | Path) -> _Seg:
    path = check_readable(path)
    try:
        with warnings.catch_warnings():
            # the parser's own warnings may quote values of the header
            warnings.simplefilter("ignore")
            from pydicom import dcmread

            header = dcmread(path)
            if text(header, "SOPClassUID") not in SEG_CLASSES:
                raise ScanError(
                    refusal(
                        "file is not a DICOM segmentation",
                        expected="modality SEG",
                        got=_short(text(header, "Modality")) or "none",
                        where=f"file {path.name}",
                        do="Give the SEG object itself.",
                    )
                )
            parts = _describe(header)
            frames = open_frames(header, [part.number for part in parts], f"file {path.name}")
            maker = " ".join(v for v in (text(header, "Manufacturer"), text(header, "SoftwareVersions")) if v)
            return _Seg(parts, frames, f"file {path.name}", _short(maker))
    except LivervolError:
        raise
    except (OSError, MemoryError, *DAMAGE) as error:
        # the parser's own words may quote the header, so only their kind is told
        raise ScanError(
            refusal(
                "DICOM file is damaged",
                expected="a complete DICOM segmentation",
                got=f"one that cannot be read ({type(error).__name__})",
                where=f"file {path.name}",
                do="Export or copy it again.",
            )
        ) from None


def _short(words: str) -> str:
    """At most 64 printable characters of a header's text."""
    return "".join(c for c in words if c.isprintable())[:64]


def _code(item: Dataset, keyword: str) -> Code:
    found = item.get(keyword)
    if not found:
        return Code("", "", "")
    first = found[0]
    value = text(first, "CodeValue") or text(first, "LongCodeValue")
    return Code(_short(value), _short(text(first, "CodingSchemeDesignator")), _short(text(first, "CodeMeaning")))


def _describe(header: Dataset) -> tuple[SegPart, ...]:
    parts = []
    for item in header.get("SegmentSequence") or []:
        number = int(item.SegmentNumber)
        code, label = _code(item, "SegmentedPropertyTypeCodeSequence"), _short(text(item, "SegmentLabel"))
        kind = kind_of_code(code)
        value = value_of(kind, code, label) if kind else None
        if number == 0 and text(header, "SegmentationType") == "LABELMAP":
            continue  # a label map may describe its background
        if not 1 <= number <= 65535:
            raise ScanError(refusal("segment number is not valid", expected="1 to 65535", got=str(number)))
        parts.append(
            SegPart(
                number, label or f"segment number {number}", kind, number if value is None else value,
                _code(item, "SegmentedPropertyCategoryCodeSequence"), code, _short(text(item, "TrackingID")),
                text(item, "TrackingUID")[:64], _short(text(item, "SegmentAlgorithmName")),
            )
        )  # fmt: skip
    if len({part.number for part in parts}) < len(parts):
        raise ScanError(refusal("segment number is not unique", expected="each number once", got="a repeated number"))
    return tuple(parts)


def _overlap(seg: _Seg, parts: Sequence[SegPart]) -> int:
    """Voxels that lie in more than one of the segments."""
    if seg.frames.is_labelmap or len(parts) < 2:
        return 0
    shared = 0
    for plane in seg.frames.planes_of([part.number for part in parts]):
        count = np.zeros(seg.frames.grid.shape_zyx[1:], np.uint16)
        for part in parts:
            count += seg.frames.slab(part.number, plane)
        shared += int(np.count_nonzero(count > 1))
    return shared


def _one(seg: _Seg, parts: Sequence[SegPart], grids: Sequence[Grid]) -> Segmentation:
    shared = _overlap(seg, parts)
    if shared:
        raise ScanError(
            refusal(
                "segments overlap",
                expected="at most one segment in a voxel",
                got=f"{shared} voxels in two or more of {', '.join(part.label for part in parts[:6])}",
                where=seg.where,
                do="Read one structure, or every layer.",
            )
        )
    unique = len({part.value for part in parts}) == len(parts)
    values = {part.number: part.value if unique else part.number for part in parts}
    labels = _filled(seg.frames, values)
    names = {values[part.number]: part.label for part in parts}
    grid = seg.frames.grid
    order = grid.canonical_order()
    found = Segmentation(order.apply(labels), grid.reordered(order), names, seg.made_by)
    return placed_on_any(found, grids)


def _filled(frames: Frames, values: dict[int, int]) -> NDArray[Any]:
    dtype = np.uint8 if max(values.values()) <= 255 else np.uint16
    labels = np.zeros(frames.grid.shape_zyx, dtype)
    for number, value in values.items():
        for plane in frames.planes_of([number]):
            labels[plane][frames.slab(number, plane)] = value
    return labels
