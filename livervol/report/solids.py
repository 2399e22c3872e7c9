"""The liver in 3-D: shaded segments seen from the front and from below, and what an operation would leave of it.

The picture is drawn from the voxels themselves: the first one met along the line of sight, shaded by the smoothed
surface's normal. Lines of sight run along the scan's own axes, so an oblique scan is seen from where it was acquired.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates

from livervol.report.figures import Box, box_of
from livervol.scan import Segmentation

__all__ = ["ROMAN", "SEGMENT_COLORS", "Mark", "Solid", "SolidView", "removed_words", "roman"]

#: Eight hues that colour-blind readers tell apart (Okabe and Ito), neighbours in the liver far apart.
SEGMENT_COLORS = {
    1: "#999999",
    2: "#0072B2",
    3: "#56B4E9",
    4: "#F0E442",
    41: "#F0E442",
    42: "#C9B800",
    5: "#D55E00",
    6: "#009E73",
    7: "#CC79A7",
    8: "#E69F00",
}
ROMAN = {1: "I", 2: "II", 3: "III", 4: "IV", 41: "IVa", 42: "IVb", 5: "V", 6: "VI", 7: "VII", 8: "VIII"}
_LESION = np.array([0.48, 0.0, 0.10])
_GLASS = np.array([0.62, 0.65, 0.69])
_EDGE = 0.55
_WIDTH_PX = 440
#: The picture is worked out on this share of its pixels and enlarged, which smooths its edges.
_WORK = 0.6
_SMOOTH_MM = 3.0
_FINE_MM = 1.6
_COARSE_MM = 2.2
_MARGIN_MM = 6.0
#: Light from the viewer's upper left: right, up, towards the viewer.
_LIGHT = np.array([-0.42, 0.55, 0.72]) / np.linalg.norm([-0.42, 0.55, 0.72])
#: Fewer pixels than this carry no name.
_NAMED_PX = 260

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """A name to write on a picture, at pixels from its left and top; ``kind`` is segment or lesion."""

    text: str
    x: float
    y: float
    kind: str


@dataclass(frozen=True, eq=False)
class SolidView:
    """A picture (RGB, shape (height, width, 3)) with the names that belong on it."""

    pixels: NDArray[np.uint8]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class _Side:
    """Where one looks from: the axis of the line of sight, and whether each axis of the picture runs backwards."""

    axis: int
    #: the first voxel met is the one with the lowest index
    near_first: bool
    #: rows of the picture run against the grid's axis
    rows_flipped: bool


#: From the front (rows from head to feet) and from below (rows from front to back: the anterior side up).
_SIDES: Mapping[str, _Side] = {"front": _Side(1, True, True), "below": _Side(0, True, False)}


@dataclass(frozen=True, eq=False)
class Solid:
    """A segment map with its lesions, ready to be drawn from several sides and for several operations."""

    segments: Segmentation
    lesions: Segmentation | None = None

    @cached_property
    def _box(self) -> Box:
        return box_of(self.segments, _MARGIN_MM)

    @cached_property
    def _cut(self) -> tuple[slice, slice, slice]:
        a, b, c = (slice(low, high + 1, step) for (low, high), step in zip(self._box, self._steps, strict=True))
        return a, b, c

    @cached_property
    def _steps(self) -> tuple[int, int, int]:
        """Only every n-th voxel along an axis is looked at where they are finer than the picture needs."""
        a, b, c = (max(1, int(_FINE_MM / s)) for s in self.segments.grid.spacing_mm)
        return a, b, c

    @cached_property
    def _spacing_mm(self) -> tuple[float, float, float]:
        a, b, c = (s * n for s, n in zip(self.segments.grid.spacing_mm, self._steps, strict=True))
        return a, b, c

    @cached_property
    def _labels(self) -> NDArray[np.uint8]:
        return np.ascontiguousarray(self.segments.labels[self._cut], dtype=np.uint8)

    @cached_property
    def _tumor(self) -> NDArray[np.uint16] | None:
        if self.lesions is None:
            return None
        cut = np.ascontiguousarray(self.lesions.labels[self._cut], dtype=np.uint16)
        return cut if cut.any() else None

    @cached_property
    def _smooth(self) -> tuple[NDArray[np.float32], Floats]:
        """The liver's smoothed presence on a coarse lattice, and how many of its steps one voxel is."""
        spacing = np.asarray(self._spacing_mm)
        places = [
            np.minimum(np.arange(0, n * s, _COARSE_MM) / s, n - 1).astype(np.intp)
            for n, s in zip(self._labels.shape, spacing, strict=True)
        ]
        coarse = (self._labels[np.ix_(*places)] > 0).astype(np.float32)
        return gaussian_filter(coarse, _SMOOTH_MM / _COARSE_MM, mode="constant"), spacing / _COARSE_MM

    def view(self, side: str, removed: Collection[int] = ()) -> SolidView:
        """The liver from a ``side`` (front, below); ``removed`` segments are drawn as pale glass.

        Lesions shine through in dark red, each with its number; a segment's name stands where most of it is seen.
        """
        eye = _Eye(self._spacing_mm, self._labels.shape, _SIDES[side])
        kept = np.ones(256, np.bool_)
        kept[[0, *(v for v in removed if 0 <= v < 256)]] = False
        gone = np.zeros(256, np.bool_)
        gone[list(removed)] = True
        planes = eye.planes(self._labels)
        front = self._layer(eye, planes, kept)
        color = np.ones((*front.label.shape, 3))
        color = _painted(color, front, _palette(), 1.0)
        if gone.any():
            glass = self._layer(eye, planes, gone)
            ahead = (glass.label > 0) & ((front.label == 0) | (glass.depth < front.depth))
            glass = _Layer(np.where(ahead, glass.label, 0), glass.depth, glass.bright)
            color = _painted(color, glass, np.tile(_GLASS, (256, 1)), 0.42)
        marks = _segment_marks(front.label)
        if self._tumor is not None:
            color, spots = _with_lesions(color, eye, eye.planes(self._tumor))
            marks += spots
        size = (_WIDTH_PX, round(_WIDTH_PX * color.shape[0] / color.shape[1]))
        small = Image.fromarray((np.clip(color, 0, 1) * 255 + 0.5).astype(np.uint8))
        fine = np.asarray(small.resize(size, Image.Resampling.BICUBIC))
        scale = size[0] / color.shape[1]
        return SolidView(fine, tuple(Mark(m.text, m.x * scale, m.y * scale, m.kind) for m in marks))

    def _layer(self, eye: _Eye, planes: NDArray[np.uint8], chosen: NDArray[np.bool_]) -> _Layer:
        """The first chosen voxel along each line of sight, its borders smoothed, and how brightly it is lit."""
        hit = chosen[planes]
        first = hit.argmax(axis=0)
        seen = np.take_along_axis(planes, first[None], axis=0)[0]
        known = eye.on_pixels(np.take_along_axis(hit, first[None], axis=0)[0])
        depth, label = eye.on_pixels(first), np.where(known, eye.on_pixels(seen), 0).astype(np.uint8)
        if not known.any():
            return _Layer(label, depth, np.zeros(label.shape))
        label = _rounded(label, eye.sigma_px)
        # where rounding added a pixel the nearest seen one lends its depth
        near = distance_transform_edt(~known, return_distances=False, return_indices=True)
        depth = depth[near[0], near[1]]
        bright = np.zeros(label.shape)
        spots = np.nonzero(label)
        smooth, scale = self._smooth
        bright[spots] = _lit(smooth, eye.voxels(spots, depth[spots]) * scale[:, None], eye)
        return _Layer(label, depth, bright)


@dataclass(frozen=True, eq=False)
class _Layer:
    """What is seen: segment per pixel (0 none), its depth in voxels along the line of sight, its brightness 0..1."""

    label: NDArray[np.uint8]
    depth: NDArray[np.intp]
    bright: Floats


@dataclass(frozen=True)
class _Eye:
    """The pixels of a view and the voxels behind them."""

    spacing_mm: tuple[float, float, float]
    shape: tuple[int, ...]
    side: _Side

    @property
    def _axes(self) -> tuple[int, int]:
        rows, columns = (i for i in range(3) if i != self.side.axis)
        return rows, columns

    @property
    def _pixel_mm(self) -> float:
        columns = self._axes[1]
        return self.shape[columns] * self.spacing_mm[columns] / (_WIDTH_PX * _WORK)

    @property
    def sigma_px(self) -> float:
        """How far borders are rounded: half the coarsest voxel, at least a pixel."""
        return float(np.clip(0.5 * max(self.spacing_mm[i] for i in self._axes) / self._pixel_mm, 1.0, 3.5))

    def _places(self, axis: int) -> NDArray[np.intp]:
        count = max(1, round(self.shape[axis] * self.spacing_mm[axis] / self._pixel_mm))
        places = ((np.arange(count) + 0.5) * self.shape[axis] / count).astype(np.intp)
        return places[::-1] if axis == self._axes[0] and self.side.rows_flipped else places

    def planes(self, volume: NDArray[Any]) -> NDArray[Any]:
        """The volume as planes behind each other, nearest first."""
        planes = np.moveaxis(volume, self.side.axis, 0)
        return planes if self.side.near_first else planes[::-1]

    def on_pixels(self, plane: NDArray[Any]) -> NDArray[Any]:
        """A plane of voxels on the view's pixels."""
        rows, columns = self._axes
        return plane[self._places(rows)[:, None], self._places(columns)[None, :]]

    def voxels(self, pixels: tuple[NDArray[np.intp], ...], depth: NDArray[np.intp]) -> Floats:
        """The voxel (z, y, x) behind each pixel, shape ``(3, n)``."""
        rows, columns = self._axes
        found = np.empty((3, depth.size))
        last = self.shape[self.side.axis] - 1
        found[self.side.axis] = depth if self.side.near_first else last - depth
        found[rows] = self._places(rows)[pixels[0]]
        found[columns] = self._places(columns)[pixels[1]]
        return found

    def towards(self, gradient: Floats) -> Floats:
        """A gradient along (z, y, x) as a normal along (right, up, towards the viewer)."""
        rows, columns = self._axes
        right = -gradient[columns]
        up = -gradient[rows] if self.side.rows_flipped else gradient[rows]
        near = gradient[self.side.axis] if self.side.near_first else -gradient[self.side.axis]
        normal = np.stack([right, up, near])
        return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=0), 1e-6))


def _lit(smooth: NDArray[np.float32], places: Floats, eye: _Eye) -> Floats:
    """How bright the surface is at places of the coarse lattice, 0 to 1."""
    steps = []
    for axis in range(3):
        shift = np.zeros((3, 1))
        shift[axis] = 1.0
        ahead = map_coordinates(smooth, places + shift, order=1, mode="nearest")
        behind = map_coordinates(smooth, places - shift, order=1, mode="nearest")
        steps.append(ahead.astype(np.float64) - behind)
    normal = eye.towards(np.stack(steps))
    glow = np.clip(_LIGHT @ normal, 0, 1)
    return np.asarray(0.50 + 0.50 * glow + 0.10 * glow**12)


def _rounded(label: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """The label map with its borders smoothed: every pixel takes the label that prevails around it."""
    values = np.unique(label)
    share = np.stack([gaussian_filter((label == v).astype(np.float32), sigma, mode="constant") for v in values])
    if values[0] == 0:
        # outside the picture counts as outside the liver
        share[0] += 1 - share.sum(axis=0)
    return np.asarray(values[share.argmax(axis=0)], dtype=np.uint8)


def _palette() -> Floats:
    colors = np.full((256, 3), 0.6)
    for value, text in SEGMENT_COLORS.items():
        colors[value] = [0.9 * int(text[i : i + 2], 16) / 255 + 0.08 for i in (1, 3, 5)]
    return colors


def _painted(color: Floats, layer: _Layer, palette: Floats, opacity: float) -> Floats:
    """The layer painted over the picture, with thin dark lines between its segments."""
    inside = layer.label > 0
    edge = np.zeros_like(inside)
    edge[1:] |= layer.label[1:] != layer.label[:-1]
    edge[:, 1:] |= layer.label[:, 1:] != layer.label[:, :-1]
    paint = palette[layer.label] * layer.bright[..., None]
    paint[edge & inside] *= _EDGE
    mixed = opacity * paint + (1 - opacity) * color
    return np.asarray(np.where(inside[..., None], mixed, color))


def _with_lesions(color: Floats, eye: _Eye, planes: NDArray[np.uint16]) -> tuple[Floats, list[Mark]]:
    """Lesions' silhouettes shining through, and a number on each."""
    marks = []
    for number in np.unique(planes)[1:]:
        shadow = eye.on_pixels((planes == number).any(axis=0))
        shade = gaussian_filter(shadow.astype(np.float32), 1.2) > 0.5
        if not shade.any():
            continue
        rim = shade & (gaussian_filter(shade.astype(np.float32), 1.5) < 0.82)
        color[shade] = 0.45 * color[shade] + 0.55 * _LESION
        color[rim] = _LESION
        y, x = np.nonzero(shade)
        marks.append(Mark(str(int(number)), float(x.mean()), float(y.mean()), "lesion"))
    return color, marks


def _segment_marks(label: NDArray[np.uint8]) -> list[Mark]:
    marks = []
    for value in np.unique(label):
        if value not in ROMAN or (label == value).sum() < _NAMED_PX:
            continue
        # the pixel deepest inside what is seen of the segment
        deep = distance_transform_edt(np.pad(label == value, 1))[1:-1, 1:-1]
        y, x = np.unravel_index(int(deep.argmax()), deep.shape)
        marks.append(Mark(ROMAN[int(value)], float(x), float(y), "segment"))
    return marks


def roman(segment: object) -> str:
    """A segment's Roman numeral; anything else as it is."""
    text = str(segment)
    return ROMAN.get(int(text), text) if text.isascii() and text.isdigit() and len(text) < 3 else text


def removed_words(removed: Sequence[int]) -> str:
    """Segments in Roman numerals."""
    return ", ".join(map(roman, removed))
