"""Reading RT Structure Sets: closed planar contours filled on a scan's grid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info

from livervol.errors import GridError, ScanError, refusal
from livervol.grid import AxisOrder, Grid
from livervol.io.contours import crossings, fill_polygons
from livervol.io.dicom_guard import code_in, guarded, opened, short
from livervol.io.dicom_kind import text
from livervol.io.dicom_seg_codes import MASK_KINDS, Code, kind_of_code, name_of, value_of
from livervol.io.dicom_seg_parts import Part, Parts, layers, one_mask, wanted_parts
from livervol.scan import Segmentation

__all__ = ["RTSTRUCT_CLASS", "is_rtstruct", "read_rtstruct", "read_rtstruct_layers"]

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
_WHAT = "RT structure set"

#: A contour this part of the slice spacing off a slice lies on it: positions are written with one decimal at worst.
_OFF_SLICE = 0.2

#: How far a contour's points may leave its plane, in mm.
_FLAT_MM = 0.1

#: Row crossings of all contours together; a liver at 512x512x200 has under a million.
_MAX_CROSSINGS = 40_000_000

#: One contour's points as text, and what filling it may cost at once.
_MAX_CONTOUR_BYTES = 16 << 20
_MAX_CONTOUR_CROSSINGS = 4_000_000
_MAX_BYTES = 256 << 20

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def is_rtstruct(path: str | Path) -> bool:
    """True when a DICOM file's header says it is an RT structure set."""
    with guarded(path, "DICOM file"):
        return text(read_file_meta_info(path), "MediaStorageSOPClassUID") == RTSTRUCT_CLASS


def read_rtstruct(path: str | Path, grids: Sequence[Grid], structure: str = "") -> Segmentation:
    """The regions of an RTSTRUCT filled on the first of ``grids`` (canonical axes) whose slices its contours lie on.

    A voxel belongs to a region when its centre lies in an odd number of the region's contours in that slice: contours
    inside others are holes, and so are keyholes. ``structure`` (liver, segments, lesions, ...) takes the regions whose
    code or name says so, with that mask's label values; where no region is known as any structure of a visit, or
    ``structure`` is empty, all are taken with their region numbers.
    Raises ``ScanError`` for damaged files and open contours, ``GridError`` when the contours lie on no grid's slices.
    Source: DICOM PS3.3 C.8.8.6 (contours), C.8.8.5 (regions).
    """
    with guarded(path, _WHAT):
        held = _held(path, grids, structure)
        return one_mask(held, held.parts, ())


def read_rtstruct_layers(path: str | Path, grids: Sequence[Grid]) -> list[Segmentation]:
    """Every region of an RTSTRUCT in few label maps without overlap, on the first of ``grids`` that fits."""
    with guarded(path, _WHAT):
        return layers(_held(path, grids), ())


@dataclass(frozen=True, eq=False)
class _Filled:
    """Regions as packed planes of ``grid``, whose axis 0 is the contours' plane axis."""

    grid: Grid
    packed: dict[tuple[int, int], NDArray[np.uint8]] = field(repr=False)
    is_labelmap: bool = False

    def planes_of(self, parts: Sequence[int]) -> list[int]:
        return sorted({plane for part, plane in self.packed if part in set(parts)})

    def stored(self, plane: int) -> NDArray[Any]:
        raise NotImplementedError("regions may overlap")

    def slab(self, part: int, plane: int) -> NDArray[np.bool_]:
        rows, columns = self.grid.shape_zyx[1:]
        found = self.packed.get((part, plane))
        if found is None:
            return np.zeros((rows, columns), bool)
        return np.asarray(np.unpackbits(found, count=rows * columns).reshape(rows, columns).view(bool))


def _held(path: str | Path, grids: Sequence[Grid], structure: str = "") -> Parts:
    where = f"file {Path(path).name}"
    if not grids:
        raise GridError(
            refusal(
                "contours have no voxels of their own",
                expected="the scan they were drawn on",
                got="none",
                where=where,
                do="Give the scan's images too.",
            )
        )
    header = opened(path, (RTSTRUCT_CLASS,), _WHAT, _MAX_BYTES)
    parts = _describe(header)
    known = any(part.kind for part in parts)
    parts = wanted_parts(parts, structure if known else "", where)
    # other regions (the body's outline) may well reach outside the scan
    contours = _contours(header, {part.number for part in parts}, where)
    frame = _frame_uid(header)
    fitting = [(grid, axis) for grid in grids if (axis := _plane_axis(grid, frame, contours)) is not None]
    if not fitting:
        raise GridError(
            refusal(
                "contours do not lie on the scan's slices",
                expected=" or ".join(grid.describe() for grid in grids[:3]),
                got="contours between its slices or in another frame of reference",
                where=where,
                do="Give the scan that the contours were drawn on.",
            )
        )
    grid, axis = fitting[0]
    maker = " ".join(v for v in (text(header, "Manufacturer"), text(header, "SoftwareVersions")) if v)
    return Parts(parts, _filled(grid, axis, contours, where), where, short(maker))


def _describe(header: Dataset) -> tuple[Part, ...]:
    codes = {
        int(item.ReferencedROINumber): code_in(item, "RTROIIdentificationCodeSequence")
        for item in header.get("RTROIObservationsSequence") or []
        if item.get("ReferencedROINumber") is not None
    }
    parts = []
    for item in header.get("StructureSetROISequence") or []:
        number, name = int(item.ROINumber), short(text(item, "ROIName"))
        code = codes.get(number, Code("", "", ""))
        kind, value = kind_of_code(code), None
        if kind:
            value = value_of(kind, code, name)
        else:
            kind, value = _named(name)
        parts.append(Part(number, name or f"region {number}", kind, number if value is None else value,
                          Code("", "", ""), code))  # fmt: skip
    if len({part.number for part in parts}) < len(parts) or not all(0 <= part.value <= 65535 for part in parts):
        raise ScanError(
            refusal("region number is not valid", expected="each number once, 0 to 65535", got="other numbers")
        )
    return tuple(part if part.value else _shifted(part) for part in parts)


def _shifted(part: Part) -> Part:
    """Region 0 is allowed, label 0 is background."""
    return Part(part.number, part.label, part.kind, 65535, part.category, part.type)


def _named(name: str) -> tuple[str, int | None]:
    """(structure, label) of a region that carries no code, by the names this program gives."""
    plain = re.sub(r"[_\s]+", " ", name).strip()
    for kind, values in (("liver", (1,)), ("segments", (*range(1, 9), 41, 42)), ("vessels", (1, 2))):
        for value in values:
            if plain.lower() == name_of(kind, value).lower():
                return kind, value
    for kind in MASK_KINDS:
        found = re.fullmatch(rf"{name_of(kind, 0)[:-2]} (\d{{1,4}})", plain.lower()) if kind not in _FIXED else None
        if found and int(found[1]):
            return kind, int(found[1])
    return "", None


_FIXED = ("liver", "segments", "vessels")


def _frame_uid(header: Dataset) -> str:
    for item in (*(header.get("ReferencedFrameOfReferenceSequence") or []), header):
        if text(item, "FrameOfReferenceUID"):
            return text(item, "FrameOfReferenceUID")
    return ""


def _contours(header: Dataset, wanted: set[int], where: str) -> dict[int, list[NDArray[np.float64]]]:
    """Region number to its contours, points (n, 3) in LPS mm."""
    found: dict[int, list[NDArray[np.float64]]] = {}
    for region in header.get("ROIContourSequence") or []:
        if int(region.ReferencedROINumber) not in wanted:
            continue
        own = found.setdefault(int(region.ReferencedROINumber), [])
        for item in region.get("ContourSequence") or []:
            kind = text(item, "ContourGeometricType")
            if kind == "POINT":
                continue  # a marker has no inside
            values = _points(item)
            if kind not in _CLOSED or len(values) < 9 or len(values) % 3 or not np.isfinite(values).all():
                raise ScanError(
                    refusal(
                        "contour cannot be filled",
                        expected="closed planar contours of three or more points",
                        got=f"{short(kind) or 'no type'} with {len(values)} numbers",
                        where=f"{where}, region {int(region.ReferencedROINumber)}",
                        do="Export closed contours.",
                    )
                )
            own.append(values.reshape(-1, 3))
    return found


def _points(item: Dataset) -> NDArray[np.float64]:
    """A contour's numbers straight from its text: one object a number would take thirty times the memory."""
    if "ContourData" not in item:
        return np.zeros(0)
    element = item.get_item("ContourData")
    value = element.value if element is not None else None
    if not isinstance(value, bytes):
        return np.asarray(item.ContourData, dtype=np.float64).ravel()
    if len(value) > _MAX_CONTOUR_BYTES:
        raise OverflowError("contour of more points than a slice has voxels")
    return np.array(value.rstrip(b" \0").split(b"\\")).astype(np.float64)


def _plane_axis(grid: Grid, frame: str, contours: dict[int, list[NDArray[np.float64]]]) -> int | None:
    """The grid axis along which every contour stays on one slice; None when there is none."""
    if grid.frame and frame and grid.frame != frame:
        return None
    candidates = {0, 1, 2}
    spacing = np.asarray(grid.spacing_mm)
    for points in (points for own in contours.values() for points in own):
        index = grid.lps_to_index(points)
        flat = np.ptp(index, axis=0) * spacing <= _FLAT_MM
        middle = index.mean(axis=0)
        near = np.abs(middle - np.rint(middle)) <= _OFF_SLICE
        candidates &= {int(axis) for axis in np.flatnonzero(flat & near)}
        if not candidates:
            return None
    return min(candidates)


def _filled(grid: Grid, axis: int, contours: dict[int, list[NDArray[np.float64]]], where: str) -> _Filled:
    order = AxisOrder((axis, *(a for a in range(3) if a != axis)), (False, False, False))  # type: ignore[arg-type]
    turned = grid.reordered(order)
    planes, rows, columns = turned.shape_zyx
    packed: dict[tuple[int, int], NDArray[np.uint8]] = {}
    budget = _MAX_CROSSINGS
    for region, own in contours.items():
        by_plane: dict[int, list[NDArray[np.float64]]] = {}
        for points in own:
            index = turned.lps_to_index(points)
            by_plane.setdefault(round(float(index[:, 0].mean())), []).append(index[:, 1:])
            cost = crossings(index[:, 1:], rows)
            budget = budget - cost if cost <= _MAX_CONTOUR_CROSSINGS else -1
        if budget < 0:
            raise ScanError(
                refusal(
                    "contours are too intricate",
                    expected=f"at most {_MAX_CROSSINGS} row crossings",
                    got="more",
                    where=where,
                    do="Convert the masks to .nii.gz.",
                )
            )
        for plane, polygons in by_plane.items():
            outside = not 0 <= plane < planes or any(_leaves(polygon, rows, columns) for polygon in polygons)
            if outside:
                raise GridError(
                    refusal(
                        "contour reaches outside the scan",
                        expected=f"contours within {grid.describe()}",
                        got=f"one on slice {plane + 1}",
                        where=f"{where}, region {region}",
                        do="Give the scan that the contours were drawn on.",
                    )
                )
            packed[region, plane] = np.packbits(fill_polygons(polygons, (rows, columns)))
    return _Filled(turned, packed)


def _leaves(polygon: NDArray[np.float64], rows: int, columns: int) -> bool:
    """True when points lie more than a voxel beyond the field."""
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    return bool(low.min() < -1.5 or high[0] > rows + 0.5 or high[1] > columns + 0.5)
