"""The frames of a DICOM Segmentation: where each lies, which segment it shows, and its voxels, decoded when asked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from livervol.errors import ScanError, refusal
from livervol.grid import SHEAR_TOLERANCE, Grid
from livervol.io.dicom_geometry import DRIFT_TOLERANCE_MM, GAP_TOLERANCE_MM, SAME_POSITION_MM, Vector, normal_of
from livervol.io.dicom_kind import integer, number, numbers, text

__all__ = ["Frames", "open_frames"]

MAX_SIDE = 8192
MAX_PLANES = 8192
MAX_VOXELS = 1 << 28
#: Packed bits are held by the file itself, compressed frames cost time that the file's size does not show.
MAX_PACKED = 1 << 33


@dataclass(frozen=True)
class _Places:
    """The stack of planes the frames lie on, and each frame's plane."""

    grid: Grid
    plane_of: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Frames:
    """Voxels by segment number and plane of ``grid`` (slices along the normal, rows, columns).

    ``lookup`` maps (segment number, plane) to the frame that shows it; a label map's frames stand under number 0.
    """

    grid: Grid
    is_labelmap: bool
    lookup: dict[tuple[int, int], int]
    header: Dataset = field(repr=False)
    half: int = 1

    def planes_of(self, segments: Sequence[int]) -> list[int]:
        """Planes that have a frame of any of the segments, ascending."""
        wanted = {0} if self.is_labelmap else set(segments)
        return sorted({plane for segment, plane in self.lookup if segment in wanted})

    def slab(self, segment: int, plane: int) -> NDArray[np.bool_]:
        """One segment's mask in one plane, shape (rows, columns)."""
        frame = self.lookup.get((0 if self.is_labelmap else segment, plane))
        if frame is None:
            return np.zeros(self.grid.shape_zyx[1:], bool)
        if self.is_labelmap:
            return np.asarray(self._pixels(frame) == segment)
        if text(self.header, "SegmentationType") == "FRACTIONAL":
            return np.asarray(self._pixels(frame) >= self.half)
        return self._bits(frame)

    def stored(self, plane: int) -> NDArray[Any]:
        """A label map's numbers in one plane that has a frame."""
        return self._pixels(self.lookup[0, plane])

    def values(self) -> set[int]:
        """Every stored value of a label map."""
        found: set[int] = set()
        for frame in self.lookup.values():
            found.update(int(v) for v in np.unique(self._pixels(frame)))
        return found

    def _pixels(self, frame: int) -> NDArray[Any]:
        pixels = np.asarray(pixel_array(self.header, index=frame, raw=True))
        if pixels.shape != self.grid.shape_zyx[1:]:
            raise _bad("frame is not of the stated size", "x".join(map(str, self.grid.shape_zyx[1:])), "another size")
        return pixels

    def _bits(self, frame: int) -> NDArray[np.bool_]:
        rows, columns = self.grid.shape_zyx[1:]
        if self.header.file_meta.TransferSyntaxUID.is_encapsulated:
            return np.asarray(self._pixels(frame) != 0)
        # bits run on from frame to frame without padding, least significant first (PS3.5 8.1.1, D)
        first, size = frame * rows * columns, rows * columns
        packed = np.frombuffer(self.header.PixelData, np.uint8, (first + size + 7) // 8 - first // 8, first // 8)
        bits = np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + size]
        return np.asarray(bits.reshape(rows, columns).view(bool))


def _bad(rule: str, expected: str, got: str, where: str = "") -> ScanError:
    return ScanError(refusal(rule, expected=expected, got=got, where=where, do="Export the segmentation again."))


def open_frames(header: Dataset, segments: Sequence[int], where: str) -> Frames:
    """The frames of a parsed SEG; refuses missing places, uneven planes, unknown segments and short pixel data."""
    kind = text(header, "SegmentationType")
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise _bad("segmentation type is not known", "BINARY, FRACTIONAL or LABELMAP", repr(kind[:16]), where)
    count, rows, columns = (integer(header, name) for name in ("NumberOfFrames", "Rows", "Columns"))
    groups = list(header.get("PerFrameFunctionalGroupsSequence") or [])
    if count < 1 or count != len(groups):
        raise _bad("frame count is wrong", f"{count} frames with a place each", f"{len(groups)}", where)
    limit = MAX_VOXELS << 1 if header.file_meta.TransferSyntaxUID.is_encapsulated else MAX_PACKED
    if not (1 <= rows <= MAX_SIDE and 1 <= columns <= MAX_SIDE and count * rows * columns <= limit):
        raise _bad(
            "segmentation is too large", f"at most {MAX_SIDE} rows and columns", f"{count}x{rows}x{columns}", where
        )
    _check_pixels(header, kind, count * rows * columns, where)
    shared_items = header.get("SharedFunctionalGroupsSequence")
    shared = shared_items[0] if shared_items else Dataset()
    places = _places(groups, shared, (rows, columns), text(header, "FrameOfReferenceUID") or None, where)
    lookup: dict[tuple[int, int], int] = {}
    for frame, (group, plane) in enumerate(zip(groups, places.plane_of, strict=True)):
        segment = 0
        if kind != "LABELMAP":
            item = _group(group, shared, "SegmentIdentificationSequence")
            segment = integer(item, "ReferencedSegmentNumber")
            if segment not in segments:
                raise _bad("frame of a segment nobody described", f"one of {list(segments)[:20]}", str(segment), where)
        if (segment, plane) in lookup:
            raise _bad("frame is not unique", "one frame a segment and plane", f"two on plane {plane + 1}", where)
        lookup[segment, plane] = frame
    highest = integer(header, "MaximumFractionalValue", 255)
    frames = Frames(places.grid, kind == "LABELMAP", lookup, header, max(1, math.ceil(highest / 2)))
    if kind == "LABELMAP":
        background = {0, integer(header, "PixelPaddingValue")}
        unknown = sorted(frames.values() - set(segments) - background)
        if unknown:
            raise _bad("voxels of a segment nobody described", f"values {list(segments)[:20]}", str(unknown[:5]), where)
    return frames


def _check_pixels(header: Dataset, kind: str, voxels: int, where: str) -> None:
    bits = integer(header, "BitsAllocated")
    if bits not in ((1,) if kind == "BINARY" else (8,) if kind == "FRACTIONAL" else (8, 16)):
        raise _bad("pixel format is not a segmentation's", "1 bit, or 8 or 16 of a label map", f"{bits} bits", where)
    if integer(header, "SamplesPerPixel", 1) != 1:
        raise _bad("pixel format is not a segmentation's", "one sample a voxel", "several", where)
    data = header.get("PixelData")
    if not data:
        raise _bad("segmentation has no pixel data", "pixel data", "none", where)
    needed = (voxels * bits + 7) // 8
    if not header.file_meta.TransferSyntaxUID.is_encapsulated and len(data) < needed:
        raise _bad("pixel data is truncated", f"{needed} bytes", f"{len(data)} bytes", where)


def _group(frame: Dataset, shared: Dataset, name: str) -> Dataset:
    items = frame.get(name) or shared.get(name)
    found: Dataset = items[0] if items else Dataset()
    return found


def _places(
    groups: Sequence[Dataset], shared: Dataset, size: tuple[int, int], frame_uid: str | None, where: str
) -> _Places:
    positions, orientations, spacings = [], set(), set()
    step = None
    for group in groups:
        measures = _group(group, shared, "PixelMeasuresSequence")
        positions.append(numbers(_group(group, shared, "PlanePositionSequence"), "ImagePositionPatient", 3))
        orientations.add(numbers(_group(group, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6))
        spacings.add(numbers(measures, "PixelSpacing", 2))
        step = number(measures, "SpacingBetweenSlices") or step
        thickness = number(measures, "SliceThickness")
    if None in positions or None in orientations or None in spacings:
        raise ScanError(
            refusal(
                "segmentation has no place in the patient",
                expected="position, orientation and spacing of every frame",
                got="frames without them",
                where=where,
                do="Only segmentations of CT and MR volumes can be read.",
            )
        )
    if len(orientations) > 1 or len(spacings) > 1:
        raise _bad("frames are not parallel", "one orientation and spacing", "several", where)
    orientation, spacing = orientations.pop(), spacings.pop()
    points = np.asarray(positions, dtype=np.float64)
    if orientation is None or spacing is None or not np.isfinite([*orientation, *spacing, *points.ravel()]).all():
        raise _bad("frame geometry is not finite", "finite numbers", "NaN or infinity", where)
    axes = np.asarray(orientation).reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > 1e-3:
        raise _bad("frame orientation is not a pair of axes", "two unit vectors at right angles", "others", where)
    normal = normal_of(orientation)
    normal /= np.linalg.norm(normal)
    heights = points @ normal
    order = int(np.argmin(heights))
    gap, planes = _planes(heights - heights[order], step, thickness, where)
    drift = points - points[order] - np.outer(heights - heights[order], normal)
    extent = float(heights.max() - heights.min())
    if np.linalg.norm(drift, axis=1).max() > max(DRIFT_TOLERANCE_MM, SHEAR_TOLERANCE * extent):
        raise _bad("frames are not straight above each other", "one stack", "frames shifted in their plane", where)
    count = int(planes.max()) + 1
    if count > MAX_PLANES or count * size[0] * size[1] > MAX_VOXELS:
        raise _bad("segmentation is too large", f"at most {MAX_PLANES} planes", f"{count}x{size[0]}x{size[1]}", where)
    matrix = np.eye(4)
    matrix[:3, 0] = normal * gap
    matrix[:3, 1] = axes[1] * spacing[0]
    matrix[:3, 2] = axes[0] * spacing[1]
    matrix[:3, 3] = points[order]
    return _Places(Grid.from_matrix((count, *size), matrix, frame_uid), tuple(int(p) for p in planes))


def _planes(heights: Vector, step: float | None, thickness: float | None, where: str) -> tuple[float, NDArray[Any]]:
    """Distance between planes in mm and each frame's plane, from heights above the lowest frame.

    The stated spacing is believed where the positions are multiples of it, else the smallest gap is taken; empty
    planes may be missing.
    """
    levels = np.unique(np.round(heights / SAME_POSITION_MM)) * SAME_POSITION_MM
    if len(levels) == 1:
        single = next((v for v in (step, thickness) if v is not None and math.isfinite(v) and v > 0), 1.0)
        return single, np.zeros(len(heights), int)
    for gap in _steps(levels, step):
        # the span over the number of steps is more exact than one rounded gap
        exact = float(heights.max()) / max(1, round(float(heights.max()) / gap))
        planes = np.rint(heights / exact)
        if np.abs(heights - planes * exact).max() <= min(GAP_TOLERANCE_MM, 0.1 * exact):
            return exact, planes.astype(np.int64)
    gaps = ", ".join(f"{g:.2f}" for g in np.unique(np.round(np.diff(levels), 2))[:4])
    raise _bad("plane spacing is not uniform", "multiples of one spacing", f"gaps of {gaps} mm", where)


def _steps(levels: Vector, step: float | None) -> Iterator[float]:
    if step is not None and math.isfinite(step) and abs(step) > SAME_POSITION_MM:
        yield abs(step)
    yield float(np.diff(levels).min())
