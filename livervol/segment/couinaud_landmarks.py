"""Landmarks a reader places, and the boundaries between Couinaud segments that follow from them.

Every landmark lies on one or two boundaries. A boundary without landmarks stays where the shape put it, so any subset
will do. Points are LPS mm (x to the left, y to the back, z to the head).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.errors import ScanError, refusal
from livervol.files import check_readable
from livervol.grid import Grid
from livervol.kernels.distance import distance_to
from livervol.kernels.planes import least_squares_plane, plane_in_index, positive_side
from livervol.scan import Segmentation

__all__ = ["BOUNDARIES", "LANDMARKS", "Landmarks", "allowed_segments", "read_landmarks", "split_fourth_segment"]

#: Boundary: the segments on its first and its second side (Couinaud 1957; Strasberg 2005).
BOUNDARIES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "main": ((2, 3, 4), (5, 6, 7, 8)),
    "right": ((5, 8), (6, 7)),
    "left": ((4,), (2, 3)),
    "left_vein": ((2,), (3,)),
    "right_portal": ((7, 8), (5, 6)),
}

#: Landmark: the boundaries it lies on. ``ivc`` points also give the axis that level planes are at right angles to.
LANDMARKS: dict[str, tuple[str, ...]] = {
    "ivc": ("main", "right"),
    "mhv": ("main",),
    "gallbladder": ("main",),
    "rhv": ("right",),
    "umbilical_fissure": ("left",),
    "umbilical_portion": ("left",),
    "lhv_root": ("left",),
    "lhv": ("left_vein",),
    "right_portal_bifurcation": ("right_portal",),
}

#: How the shape's boundary errs, as a Gaussian field: standard deviation and correlation length in mm, and how well a
#: reader places a point. Chosen on the livers that watched the shape network's training, never on its test livers.
PRIOR_MM, LENGTH_MM, PLACED_MM = 12.0, 120.0, 5.0

#: A landmark farther than this from the shape's boundary is doubted, not refused.
FAR_MM = 40.0

#: Voxels at least this far from the shape's boundary keep their side: no correction reaches them.
_REACH_MM = 60.0
_PAD_MM = 20.0
_KNOT_MM = 8.0

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Landmarks:
    """Points by landmark name, LPS mm. ``plane`` makes a boundary the flat least-squares plane of its points.

    Otherwise the shape's boundary is bent to pass by the points, as far as their placing (5 mm) is to be trusted.
    Unknown names and points that are not three finite numbers raise ``ScanError``.
    """

    points: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    plane: bool = False

    def __post_init__(self) -> None:
        kept: dict[str, tuple[Point, ...]] = {}
        for name, points in self.points.items():
            if name not in LANDMARKS:
                raise ScanError(refusal("landmark is not known", expected=", ".join(LANDMARKS), got=repr(name)))
            try:
                array = np.asarray(points, dtype=np.float64)
            except (TypeError, ValueError):
                array = np.empty(0)
            if array.ndim != 2 or array.shape[1:] != (3,) or not np.isfinite(array).all():
                raise ScanError(
                    refusal("landmark", expected="a list of finite [x, y, z] in mm", got=str(points), where=name)
                )
            kept[name] = tuple((float(x), float(y), float(z)) for x, y, z in array)
        object.__setattr__(self, "points", MappingProxyType(kept))

    def on(self, boundary: str) -> NDArray[np.float64]:
        """Points on a boundary, shape (n, 3)."""
        found = [p for name, points in self.points.items() if boundary in LANDMARKS[name] for p in points]
        return np.array(found, dtype=np.float64).reshape(-1, 3)

    @property
    def axis(self) -> NDArray[np.float64]:
        """Direction of the inferior vena cava towards the head, the patient's long axis when fewer than two points."""
        points = np.array(self.points.get("ivc", ()), dtype=np.float64).reshape(-1, 3)
        if len(points) < 2 or not np.ptp(points, axis=0).any():
            return np.array([0.0, 0.0, 1.0])
        direction: NDArray[np.float64] = np.linalg.svd(points - points.mean(axis=0))[2][0]
        return direction if direction[2] >= 0 else -direction


def read_landmarks(path: str | Path) -> Landmarks:
    """Landmarks from ``landmarks.json``: ``{"mhv": [[x, y, z], ...], ...}`` in LPS mm, optionally ``"plane": true``."""
    try:
        values = json.loads(check_readable(path, max_bytes=1 << 20).read_text(encoding="utf-8"))
        plane = bool(values.pop("plane", False))
        return Landmarks(values, plane)
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise ScanError(
            refusal("landmark file", expected="a JSON object of point lists", got=type(error).__name__, where=str(path))
        ) from error


def allowed_segments(
    segments: NDArray[np.uint8], grid: Grid, landmarks: Landmarks
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Which segments the landmarks leave possible at each liver voxel, as bits (bit k = segment k + 1); warnings.

    ``segments`` is the shape's answer, 1..8 on ``grid``, 0 outside the liver. Segment I stays as the shape drew it.
    """
    # sides are decided in a box with room for landmarks just outside the liver
    index = np.argwhere(segments)
    pad = [int(np.ceil(_PAD_MM / s)) for s in grid.spacing_mm]
    start = [max(0, int(a) - p) for a, p in zip(index.min(axis=0), pad, strict=True)]
    stop = [min(n, int(b) + 1 + p) for b, p, n in zip(index.max(axis=0), pad, grid.shape_zyx, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    place, inner = grid.crop(start, stop), np.ascontiguousarray(segments[box])
    bits = np.where(inner == 1, 1, np.where(inner > 0, 0xFE, 0)).astype(np.uint8)
    warnings: list[str] = []
    for name, (first, second) in BOUNDARIES.items():
        points = landmarks.on(name)
        sides = np.isin(inner, first), np.isin(inner, second)
        if not len(points):
            continue
        if not (sides[0].any() and sides[1].any()):
            warnings.append(f"landmarks of the {name} boundary were ignored: the shape shows only one of its sides")
            continue
        plane = _plane(name, points, landmarks, sides, place) if landmarks.plane else None
        if plane is not None:
            on_first = positive_side((inner > 0).view(np.uint8), plane_in_index(plane, place.matrix)) != 0
        else:
            on_first = _bent(name, points, sides, place, warnings)
        drop_second, drop_first = (np.uint8(0xFF & ~sum(1 << (s - 1) for s in side)) for side in (second, first))
        bits &= np.where(inner == 1, np.uint8(0xFF), np.where(on_first, drop_second, drop_first))
    result = np.zeros(segments.shape, np.uint8)
    result[box] = bits
    return result, tuple(warnings)


def _plane(
    name: str,
    points: NDArray[np.float64],
    landmarks: Landmarks,
    sides: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    place: Grid,
) -> NDArray[np.float64] | None:
    """The boundary's plane, positive on its first side; None when the points fix none."""
    if name == "right_portal":
        # level with the bifurcation, at right angles to the vena cava
        normal = landmarks.axis
        return np.append(normal, -float(normal @ points.mean(axis=0)))
    along = landmarks.axis if len(points) == 2 and name in ("main", "right") else None
    if len(points) < 3 and along is None:
        return None
    plane, sureness = least_squares_plane(points, along)
    if sureness < 0.02:
        return None
    first, second = (place.index_to_lps(np.argwhere(side).mean(axis=0)) for side in sides)
    towards = float(plane[:3] @ (first - second))
    return plane if towards >= 0 else -plane


def _bent(
    name: str,
    points: NDArray[np.float64],
    sides: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    place: Grid,
    warnings: list[str],
) -> NDArray[np.bool_]:
    """The shape's boundary moved by the most likely smooth displacement given the points (Gaussian process mean)."""
    spacing = place.spacing_mm
    to_first, to_second = (distance_to(side, spacing, limit_mm=_REACH_MM) for side in sides)
    np.minimum(to_first, _REACH_MM, out=to_first)
    np.minimum(to_second, _REACH_MM, out=to_second)
    depth = to_second - to_first
    # distances run between voxel centres: the boundary lies half a step before the other side's first centre
    step = 0.5 * float(np.mean(spacing))
    depth = np.where(depth > 0, np.maximum(depth - step, 0.1 * step), np.minimum(depth + step, -0.1 * step))
    where = place.lps_to_index(points).T
    off = ndimage.map_coordinates(depth, where, order=1, mode="nearest").astype(np.float64)
    aside = ndimage.map_coordinates(np.minimum(to_first, to_second), where, order=1, mode="nearest")
    for value in np.maximum(np.abs(off), aside):
        if value > FAR_MM:
            warnings.append(
                f"a landmark of the {name} boundary lies {value:.0f} mm from where the liver's shape puts it, "
                f"usually within {FAR_MM:.0f} mm; check the point"
            )
    covariance = _field(points, points) + PLACED_MM**2 * np.eye(len(points))
    weights = np.linalg.solve(covariance, off)
    on_first: NDArray[np.bool_] = depth > _displacement(place, points, weights)
    return on_first


def _displacement(place: Grid, points: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """The field's most likely value at every voxel, in mm.

    Computed every 8 mm and interpolated linearly: over a correlation length of 120 mm that is off by under 0.01 mm.
    """
    lines, spread = [], []
    for count, step in zip(place.shape_zyx, place.spacing_mm, strict=True):
        knots = np.unique(np.append(np.arange(0, count - 1, max(1, int(_KNOT_MM / step))), count - 1))
        cell = np.clip(np.searchsorted(knots, np.arange(count), side="right") - 1, 0, max(0, len(knots) - 2))
        after = np.minimum(cell + 1, len(knots) - 1)
        share = (np.arange(count) - knots[cell]) / np.maximum(1, knots[after] - knots[cell])
        matrix = np.zeros((count, len(knots)), np.float32)
        np.add.at(matrix, (np.arange(count), cell), 1.0 - share)
        np.add.at(matrix, (np.arange(count), after), share)
        lines.append(knots)
        spread.append(matrix)
    index = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
    coarse = _field(place.index_to_lps(index.reshape(-1, 3)), points) @ weights
    values = coarse.reshape(index.shape[:3]).astype(np.float32)
    along_z = np.tensordot(spread[0], values, axes=(1, 0))
    along_y = np.einsum("yb,zbc->zyc", spread[1], along_z, optimize=True)
    field: NDArray[np.float32] = along_y @ spread[2].T
    return field


def _field(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    squared = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    covariance: NDArray[np.float64] = PRIOR_MM**2 * np.exp(-squared / (2.0 * LENGTH_MM**2))
    return covariance


def split_fourth_segment(
    segments: Segmentation, level_lps_mm: Point, axis: Sequence[float] = (0, 0, 1)
) -> Segmentation:
    """Segment IV split into IVa (41, above) and IVb (42, below) at the level of the umbilical portion.

    The plane goes through ``level_lps_mm`` at right angles to ``axis`` (the vena cava's direction, towards the head).
    """
    normal = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    plane = np.append(normal, -float(normal @ np.asarray(level_lps_mm, dtype=np.float64)))
    fourth = (segments.labels == 4).view(np.uint8)
    above = positive_side(fourth, plane_in_index(plane, segments.grid.matrix))
    labels = np.where(fourth == 1, np.where(above == 1, 41, 42), segments.labels)
    names = {k: v for k, v in segments.names.items() if k != 4} | {41: "segment IVa", 42: "segment IVb"}
    return Segmentation(labels.astype(np.uint8), segments.grid, names, segments.made_by)
