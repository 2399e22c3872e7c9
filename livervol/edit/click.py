"""One gesture on a lesion gives its outline: a click, a drawn diameter, a box, or a scribble.

A local model of two tissues (what lies under the gesture, what surrounds it) prices every voxel of a box around the
gesture; a geodesic front from the gesture and the edge strength say how far the lesion goes; a smooth cut draws the
outline. Works in the liver, where the liver mask tells the parenchyma, and outside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livervol.edit.brush import Canvas
from livervol.edit.change import Box, Change
from livervol.errors import LivervolError, refusal
from livervol.kernels.components import keep_largest, label_components
from livervol.kernels.cut import smooth_cut
from livervol.kernels.distance import distance_to
from livervol.kernels.fill import fill_holes
from livervol.kernels.front import geodesic_front
from livervol.kernels.morphology import dilate_mm
from livervol.kernels.smooth import gaussian

__all__ = ["GESTURES", "ClickSettings", "Gesture", "Outline", "lesion_change", "outline_lesion"]

GESTURES = ("click", "diameter", "box", "scribble")

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Gesture:
    """What the reader did: ``kind`` and the (z, y, x) indices, fractions allowed, shape (n, 3).

    click: one point; diameter: its two ends; box: two opposite corners (in one slice or in space); scribble: any
    number of points inside the lesion.
    """

    kind: str
    points_zyx: NDArray[np.float64]

    @classmethod
    def of(cls, kind: str, points_zyx: ArrayLike) -> Gesture:
        """A gesture from any list of points; refuses a wrong kind or number of points."""
        points = np.atleast_2d(np.asarray(points_zyx, dtype=np.float64))
        if kind not in GESTURES:
            raise LivervolError(refusal("gesture is not known", expected=", ".join(GESTURES), got=repr(kind)))
        wanted = {"click": 1, "diameter": 2, "box": 2}.get(kind)
        fits = points.ndim == 2 and points.shape[1] == 3 and len(points) > 0 and bool(np.isfinite(points).all())
        if not fits or (wanted is not None and len(points) != wanted):
            raise LivervolError(
                refusal(f"points of a {kind}", expected=f"{wanted or 'some'} (z, y, x) points", got=str(points.shape))
            )
        return cls(kind, points)


@dataclass(frozen=True)
class ClickSettings:
    """Every choice behind an outline; lengths in mm, contrasts in the scan's unit (HU)."""

    reach_mm: float = 50.0
    grid_mm: float = 1.5
    seed_mm: float = 3.0
    light_mm: float = 1.0
    least_sigma: float = 5.0
    smoothness: float = 0.3
    rounds: int = 60
    level: float = 0.5
    slack_mm: float = 1.0
    neck: float = 0.5
    span: float = 2.2
    fronts: int = 8
    growth_cost: float = 0.1


@dataclass(frozen=True, eq=False)
class Outline:
    """A lesion's voxels in a box of the scan; ``contrast`` to the surroundings (scan's unit), ``warnings``."""

    box: Box
    mask: Mask
    contrast: float
    warnings: tuple[str, ...] = ()


def lesion_change(
    canvas: Canvas,
    gesture: Gesture,
    value: int,
    liver: NDArray[Any] | None = None,
    settings: ClickSettings | None = None,
) -> tuple[Change, Outline]:
    """The change that adds the outlined lesion as ``value``, as far as the canvas allows, and the outline itself.

    Errors as ``outline_lesion``.
    """
    if canvas.voxels is None:
        raise LivervolError(refusal("a click needs a scan", expected="a scan under the mask", got="none"))
    outline = outline_lesion(canvas.voxels, canvas.spacing_mm, gesture, liver, settings)
    change = canvas.change(outline.box, outline.mask, value, f"{gesture.kind} on a lesion")
    return change, outline


@dataclass(eq=False)
class _Patch:
    """The box of the scan that is looked at, on a working grid at most as fine as the scan."""

    box: Box
    steps: tuple[int, int, int]
    spacing: tuple[float, float, float]
    values: NDArray[np.float32]
    seed: Mask
    liver: Mask | None


def outline_lesion(
    voxels: NDArray[Any],
    spacing_mm: Sequence[float],
    gesture: Gesture,
    liver: NDArray[Any] | None = None,
    settings: ClickSettings | None = None,
) -> Outline:
    """The outline of the lesion under a gesture, at half contrast, smooth, in one piece, holes filled.

    ``voxels`` [z, y, x] in HU or any unit; ``liver`` a mask on the same grid (lesions included): where it holds the
    gesture, the parenchyma is learnt in it and the outline stays in it. Raises ``LivervolError`` for a gesture outside
    the scan.
    """
    settings = settings or ClickSettings()
    patch = _patch(voxels, spacing_mm, gesture, liver, settings)
    outside, sigma = _surroundings(patch, settings)
    inside = float(np.median(patch.values[patch.seed]))
    mask, contrast = _cut_out(patch, (inside, outside, sigma), settings)
    fine = _refined(mask, patch)
    warnings = [] if abs(contrast) > sigma else ["the lesion hardly differs from what surrounds it: check the outline"]
    return Outline(patch.box, fine, contrast, tuple(warnings))


def _patch(
    voxels: NDArray[Any],
    spacing_mm: Sequence[float],
    gesture: Gesture,
    liver: NDArray[Any] | None,
    settings: ClickSettings,
) -> _Patch:
    shape, spacing = np.array(voxels.shape), np.asarray(spacing_mm, dtype=np.float64)
    points = gesture.points_zyx
    if (np.rint(points) < 0).any() or (np.rint(points) >= shape).any():
        raise LivervolError(
            refusal(f"{gesture.kind} is outside the scan", expected=f"indices below {tuple(shape)}", got=f"{points}")
        )
    reach = np.full(3, settings.reach_mm)
    extent = (np.ptp(points, axis=0) * spacing).max()
    if gesture.kind != "click":
        reach[:] = max(15.0, 0.75 * extent)
    start = np.maximum(0, np.floor(points.min(axis=0) - reach / spacing)).astype(int)
    stop = np.minimum(shape, np.ceil(points.max(axis=0) + reach / spacing) + 1).astype(int)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    box = (z, y, x)
    sz, sy, sx = (max(1, int(settings.grid_mm / s + 0.25)) for s in spacing)
    steps = (sz, sy, sx)
    raw = voxels[box]
    smooth = gaussian(raw, settings.light_mm, tuple(spacing))[:: steps[0], :: steps[1], :: steps[2]]
    coarse = (float(spacing[0] * sz), float(spacing[1] * sy), float(spacing[2] * sx))
    part = None
    if liver is not None:
        part = liver[box][:: steps[0], :: steps[1], :: steps[2]] != 0
    patch = _Patch(box, steps, coarse, np.ascontiguousarray(smooth), np.zeros(smooth.shape, bool), part)
    patch.seed = _seed(patch, gesture, settings)
    if part is not None and np.count_nonzero(part & patch.seed) < 0.5 * np.count_nonzero(patch.seed):
        patch.liver = None
    return patch


def _distances_mm(patch: _Patch, at_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of every voxel centre of the patch to a place given in mm from the scan's first voxel."""
    total = np.zeros(patch.values.shape)
    for axis, (part, n) in enumerate(zip(patch.box, patch.values.shape, strict=True)):
        fine = patch.spacing[axis] / patch.steps[axis]
        along = (part.start + np.arange(n) * patch.steps[axis]) * fine - at_mm[axis]
        total = total + (along**2).reshape([-1 if k == axis else 1 for k in range(3)])
    return np.sqrt(total)


def _seed(patch: _Patch, gesture: Gesture, settings: ClickSettings) -> Mask:
    """Voxels that are lesion because the reader said so."""
    fine = np.asarray(patch.spacing) / np.asarray(patch.steps)
    points = gesture.points_zyx * fine
    if gesture.kind == "click":
        return _near(patch, points[:1], settings.seed_mm)
    if gesture.kind == "scribble":
        return _near(patch, points, 1.0)
    middle, half = points.mean(axis=0), 0.5 * float(np.linalg.norm(points[1] - points[0]))
    if gesture.kind == "diameter":
        inner = middle + (points - middle) * 0.5
        return _near(patch, np.linspace(inner[0], inner[1], 9), max(1.0, 0.25 * half))
    return _near(patch, middle[None], max(1.0, 0.35 * half))


def _near(patch: _Patch, points_mm: NDArray[np.float64], radius_mm: float) -> Mask:
    """Voxels within a radius of some point; at least the nearest voxel of each."""
    chosen = np.zeros(patch.values.shape, bool)
    for point in points_mm:
        away = _distances_mm(patch, point)
        chosen |= away <= max(radius_mm, float(away.min()) + 1e-6)
    return chosen


def _surroundings(patch: _Patch, settings: ClickSettings) -> tuple[float, float]:
    """Level of the tissue around the lesion and its scatter, in the scan's unit."""
    where = ~patch.seed if patch.liver is None else patch.liver & ~patch.seed
    values = patch.values[where] if where.any() else patch.values.ravel()
    if patch.liver is None:
        # what lies near: a shell around the seed, where a lesion of unknown size may reach into
        away = distance_to(patch.seed.view(np.uint8), patch.spacing)
        values = patch.values[(away > 4.0) & (away < 20.0)]
    level = float(np.median(values))
    sigma = 1.4826 * float(np.median(np.abs(values - level)))
    return level, max(sigma, settings.least_sigma)


def _cut_out(patch: _Patch, levels: tuple[float, float, float], settings: ClickSettings) -> tuple[Mask, float]:
    """The lesion on the working grid and its contrast."""
    inside, outside, sigma = levels
    mask = patch.seed
    for _ in range(2):
        contrast = inside - outside
        if abs(contrast) < 0.5 * sigma:
            contrast = float(np.copysign(0.5 * sigma, contrast))
        member = (patch.values - np.float32(outside)) / np.float32(contrast)
        mask = _compact(patch, member, settings)
        core = mask if np.count_nonzero(mask) > 8 else patch.seed
        inside = float(np.median(patch.values[core]))
    cost = np.clip(2.0 * (settings.level - member), -1.0, 1.0).astype(np.float32)
    allowed = distance_to(mask.view(np.uint8), patch.spacing, limit_mm=settings.slack_mm + 4.0) <= settings.slack_mm
    cost[~allowed] = 1.0
    if patch.liver is not None:
        cost[~patch.liver] = 1.0
    cost[patch.seed] = -1.0
    box = _around(allowed)
    price = np.full(cost[box].shape, settings.smoothness, np.float32)
    soft = smooth_cut(cost[box], price, patch.spacing, settings.rounds)
    kept = np.zeros(mask.shape, bool)
    kept[box] = soft > 0.5
    return _with_seed(kept | patch.seed, patch.seed), contrast


def _compact(patch: _Patch, member: NDArray[np.float32], settings: ClickSettings) -> Mask:
    """Alike voxels joined to the seed without a neck: no farther than ``span`` inscribed radii from the middle."""
    alike = (member > settings.level) | patch.seed
    if patch.liver is not None:
        alike &= patch.liver | patch.seed
    labels, _ = label_components(alike.view(np.uint8), 6)
    joined = np.isin(labels, np.unique(labels[patch.seed])) & alike
    depth = distance_to((~joined).view(np.uint8), patch.spacing)
    depth = np.minimum(depth, 1e3)
    at = np.unravel_index(int(np.argmax(np.where(_near_seed(patch, depth), depth, -1.0))), depth.shape)
    radius = max(float(depth[at]), settings.seed_mm)
    price = np.where(joined, np.maximum(1.0, settings.neck * radius / np.maximum(depth, 0.1)), np.inf)
    start = np.zeros(depth.shape, np.uint8)
    start[at] = 1
    arrived = geodesic_front(price.astype(np.float32), start, patch.spacing, settings.span * radius)
    limits = [radius * float(s) for s in np.linspace(1.0, settings.span, settings.fronts)]
    return _closed_front(arrived, joined, limits, settings) | patch.seed


def _closed_front(arrived: NDArray[np.float32], joined: Mask, limits: list[float], settings: ClickSettings) -> Mask:
    """The front among ``limits`` (mm) that has least alike tissue just ahead of it: it has come to the edge.

    Larger fronts pay a little, because a front that leaks has a small opening for its size.
    """
    best = np.inf
    chosen: Mask = arrived <= limits[-1]
    for limit in limits:
        mask: Mask = arrived <= limit
        box = _around(mask)
        shell = (dilate_mm(mask[box].view(np.uint8), 1.5, (1.0, 1.0, 1.0)) != 0) & ~mask[box]
        open_share = float(np.count_nonzero(shell & joined[box])) / max(1, int(np.count_nonzero(shell)))
        score = open_share + settings.growth_cost * limit / limits[0]
        if score < best:
            best, chosen = score, mask
    return chosen


def _near_seed(patch: _Patch, depth: NDArray[np.float32]) -> Mask:
    """Where the lesion's middle may be: not farther from the seed than the seed is deep, by a little."""
    away = distance_to(patch.seed.view(np.uint8), patch.spacing)
    deepest = float(depth[patch.seed].max())
    return away <= 1.5 * deepest


def _around(mask: Mask) -> Box:
    box = []
    for axis in range(3):
        inside = np.flatnonzero(mask.any(axis=tuple(k for k in range(3) if k != axis)))
        box.append(slice(max(0, int(inside[0]) - 1), min(mask.shape[axis], int(inside[-1]) + 2)))
    z, y, x = box
    return (z, y, x)


def _with_seed(mask: Mask, seed: Mask) -> Mask:
    """The piece that holds the seed, holes filled."""
    labels, _ = label_components(mask.view(np.uint8), 6)
    joined = np.isin(labels, np.unique(labels[seed])) & mask
    whole: Mask = fill_holes(joined.view(np.uint8)) != 0
    return whole


def _refined(mask: Mask, patch: _Patch) -> Mask:
    """The working grid's mask on the scan's own voxels of the box, linear between centres."""
    shape = [s.stop - s.start for s in patch.box]
    if patch.steps == (1, 1, 1):
        return mask
    soft = mask.astype(np.float32)
    for axis, (n, step) in enumerate(zip(shape, patch.steps, strict=True)):
        place = np.minimum(np.arange(n) / step, soft.shape[axis] - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, soft.shape[axis] - 1)
        share = (place - low).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(3)])
        soft = np.take(soft, low, axis) * (1 - share) + np.take(soft, high, axis) * share
    fine: Mask = keep_largest((soft >= 0.5).view(np.uint8)) != 0
    return fine
