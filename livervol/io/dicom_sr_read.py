"""Reading TID 1500 measurement reports: groups, numbers, lines and qualitative evaluations as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from livervol.errors import ScanError, refusal
from livervol.io.dicom_guard import code_in, guarded, parsed
from livervol.io.dicom_kind import text
from livervol.io.dicom_seg_codes import Code
from livervol.io.dicom_sr_content import Point, SrGroup, SrNumber, SrReport

__all__ = ["read_dicom_sr"]

#: Reports nest a handful deep; deeper trees are not measurement reports.
_MAX_DEPTH = 24
_MAX_BYTES = 64 << 20

_IMAGING_MEASUREMENTS = "126010"
_MEASUREMENT_GROUP = "125007"
_TRACKING_IDENTIFIER = "112039"
_TRACKING_UID = "112040"
_FINDING = "121071"
_SITES = ("363698007", "G-C0E3")
_METHODS = ("370129005", "G-C036")
_REFERENCED_SEGMENT = "121191"
_DERIVATION = "121401"
_TIME_POINT = "C2348792"
#: Numbers that place the group in the course: time point order, offset from an event.
_CONTEXT_NUMBERS = ("126073", "128740")
#: Codes of a group that describe it and are no evaluation of the finding.
_CONTEXT = ("276214006", "126072", "121071", "246100006", "111001", _TIME_POINT)


def read_dicom_sr(path: str | Path) -> SrReport:
    """The measurement groups of a TID 1500 report: tracking, finding, numbers with unit and line, evaluations.

    Values are read at full precision where the file holds it (floating point value), units are UCUM codes as in the
    file, lines are the first and last point of a 3-D polyline in LPS mm. Numbers without a value are left out.
    Raises ``ScanError`` for what is no such report or is damaged. No message names the patient.
    Source: DICOM PS3.16 TID 1500, 1501, 1410, 1411, 1419, 300.
    """
    where = f"file {Path(path).name}"
    with guarded(path, "structured report"):
        header = parsed(path, _MAX_BYTES)
        if "ContentSequence" not in header or text(header, "Modality") != "SR":
            raise _refuse("file is not a structured report", "an SR with content", "another object", where)
        _check_depth(header, where)
        return _report(header, where)


def _refuse(rule: str, expected: str, got: str, where: str) -> ScanError:
    return ScanError(refusal(rule, expected=expected, got=got, where=where, do="Export the report again."))


def _children(item: Dataset) -> Sequence[Dataset]:
    return item.get("ContentSequence") or []


def _check_depth(root: Dataset, where: str) -> None:
    level = [root]
    for _ in range(_MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise _refuse("report nests too deeply", f"at most {_MAX_DEPTH} levels", "more", where)


def _name(item: Dataset) -> Code:
    return code_in(item, "ConceptNameCodeSequence")


def _report(header: Dataset, where: str) -> SrReport:
    groups = []
    for section in _children(header):
        if _name(section).value == _IMAGING_MEASUREMENTS:
            groups += [_group(item) for item in _children(section) if _name(item).value == _MEASUREMENT_GROUP]
    title = _name(header)
    if not groups and title.value != "126000":
        raise _refuse("report is not a measurement report", "TID 1500", title.meaning or "an untitled report", where)
    points = [text(item, "TextValue") for item in _walk(header) if _name(item).value == _TIME_POINT]
    return SrReport(tuple(groups), points[0] if points else "", text(header, "StudyInstanceUID"), title)


def _walk(item: Dataset) -> Iterator[Dataset]:
    for child in _children(item):
        yield child
        yield from _walk(child)


def _group(item: Dataset) -> SrGroup:
    tracking_id = tracking_uid = ""
    finding = site = method = None
    segment = None
    numbers: list[SrNumber] = []
    words: list[tuple[Code, Code]] = []
    for child in _children(item):
        name, kind = _name(child), text(child, "ValueType")
        if name.value == _TRACKING_IDENTIFIER:
            tracking_id = text(child, "TextValue")
        elif name.value == _TRACKING_UID:
            tracking_uid = text(child, "UID")
        elif kind == "NUM":
            number = _number(child, name) if name.value not in _CONTEXT_NUMBERS else None
            numbers += [number] if number else []
        elif name.value == _REFERENCED_SEGMENT and kind == "IMAGE":
            segment = _segment(child)
        elif kind == "CODE":
            value = code_in(child, "ConceptCodeSequence")
            if name.value == _FINDING:
                finding = value
            elif name.value in _SITES:
                site = value
            elif name.value in _METHODS:
                method = value
            elif name.value not in _CONTEXT:
                words.append((name, value))
    return SrGroup(tracking_id, tracking_uid, finding, site, tuple(numbers), tuple(words), segment, method)


def _segment(item: Dataset) -> tuple[str, int] | None:
    references = item.get("ReferencedSOPSequence")
    if not references:
        return None
    numbers = references[0].get("ReferencedSegmentNumber")
    first = numbers if numbers is None or isinstance(numbers, int) else numbers[0]
    return (text(references[0], "ReferencedSOPInstanceUID"), int(first)) if first is not None else None


def _number(item: Dataset, name: Code) -> SrNumber | None:
    values = item.get("MeasuredValueSequence")
    if not values:
        return None
    measured = values[0]
    exact = measured.get("FloatingPointValue")
    value = float(exact if exact is not None else measured.NumericValue)
    if not math.isfinite(value):
        return None
    unit = code_in(measured, "MeasurementUnitsCodeSequence").value
    line = method = derivation = None
    for child in _children(item):
        if text(child, "ValueType") == "SCOORD3D" and text(child, "GraphicType") == "POLYLINE":
            line = _ends([float(v) for v in child.GraphicData])
        elif _name(child).value in _METHODS:
            method = code_in(child, "ConceptCodeSequence")
        elif _name(child).value == _DERIVATION:
            derivation = code_in(child, "ConceptCodeSequence")
    return SrNumber(name, value, unit, line, method, derivation)


def _ends(values: Sequence[float]) -> tuple[Point, Point] | None:
    if len(values) < 6 or len(values) % 3 or not all(math.isfinite(v) for v in values):
        return None
    return (values[0], values[1], values[2]), (values[-3], values[-2], values[-1])
