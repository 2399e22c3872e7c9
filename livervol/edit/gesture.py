"""What one gesture on a lesion says: the gesture, the box of the scan around it, the seed, and the tissue around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livervol.edit.change import Box
from livervol.errors import LivervolError, refusal
from livervol.kernels.blocks import block_means
from livervol.kernels.distance import distance_to
from livervol.kernels.smooth import gaussian

__all__ = [
    "GESTURES",
    "ClickSettings",
    "Gesture",
    "Mask",
    "Patch",
    "patch_of",
    "surroundings",
    "wide_patch_of",
    "wide_values",
    "working_values",
]

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
    wide_reach_mm: float = 120.0
    wide_grid_mm: float = 3.0
    wide_light_mm: float = 1.2
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


@dataclass(eq=False)
class Patch:
    """The box of the scan that is looked at, on a working grid at most as fine as the scan.

    ``lead`` is where its first value lies, in the scan's voxels from the box's first one.
    """

    box: Box
    steps: tuple[int, int, int]
    spacing: tuple[float, float, float]
    values: NDArray[np.float32]
    seed: Mask
    liver: Mask | None
    lead: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def place_mm(self, point_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """A place given by (z, y, x) indices of the scan, in mm from the patch's first value."""
        fine = np.asarray(self.spacing) / np.asarray(self.steps)
        place: NDArray[np.float64] = (point_zyx - [s.start for s in self.box] - np.asarray(self.lead)) * fine
        return place


def patch_of(
    voxels: NDArray[Any],
    spacing_mm: Sequence[float],
    gesture: Gesture,
    liver: NDArray[Any] | None,
    settings: ClickSettings,
) -> Patch:
    """The box of the scan around a gesture, smoothed, with its seed; refuses a gesture outside the scan."""
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
    coarse = (float(spacing[0] * sz), float(spacing[1] * sy), float(spacing[2] * sx))
    part = None
    if liver is not None:
        part = liver[box][:: steps[0], :: steps[1], :: steps[2]] != 0
    unseen = np.zeros(tuple(-(-(s.stop - s.start) // step) for s, step in zip(box, steps, strict=True)), np.float32)
    patch = Patch(box, steps, coarse, unseen, unseen != 0, part)
    patch.values = working_values(voxels, patch, settings)
    patch.seed = _seed(patch, gesture, settings)
    if part is not None and np.count_nonzero(part & patch.seed) < 0.5 * np.count_nonzero(patch.seed):
        patch.liver = None
    return patch


def working_values(voxels: NDArray[Any], patch: Patch, settings: ClickSettings) -> NDArray[np.float32]:
    """A scan (or another phase on its grid) on the patch's working grid, lightly smoothed."""
    z, y, x = patch.steps
    fine = (patch.spacing[0] / z, patch.spacing[1] / y, patch.spacing[2] / x)
    return np.ascontiguousarray(gaussian(voxels[patch.box], settings.light_mm, fine)[::z, ::y, ::x])


def wide_patch_of(
    voxels: NDArray[Any],
    spacing_mm: Sequence[float],
    gesture: Gesture,
    liver: NDArray[Any],
    settings: ClickSettings,
) -> Patch:
    """A coarse box of whole blocks far around a gesture in or beside the liver, its values the blocks' means."""
    spacing, middle = np.asarray(spacing_mm, dtype=np.float64), gesture.points_zyx.mean(axis=0)
    sz, sy, sx = (max(1, int(settings.wide_grid_mm / s + 0.25)) for s in spacing)
    steps = (sz, sy, sx)
    start = np.maximum(0, np.floor(middle - settings.wide_reach_mm / spacing)).astype(int)
    stop = np.minimum(voxels.shape, np.ceil(middle + settings.wide_reach_mm / spacing).astype(int) + 1)
    blocks = np.maximum((stop - start) // steps, 1)
    z, y, x = (slice(int(a), int(a + n * step)) for a, n, step in zip(start, blocks, steps, strict=True))
    coarse = (float(spacing[0] * sz), float(spacing[1] * sy), float(spacing[2] * sx))
    part = liver[z, y, x][sz // 2 :: sz, sy // 2 :: sy, sx // 2 :: sx] != 0
    unseen = np.zeros(part.shape, np.float32)
    lead = (0.5 * (sz - 1), 0.5 * (sy - 1), 0.5 * (sx - 1))
    patch = Patch((z, y, x), steps, coarse, unseen, part, part, lead)
    patch.values = wide_values(voxels, patch, settings)
    patch.seed = _seed(patch, gesture, settings)
    return patch


def wide_values(voxels: NDArray[Any], patch: Patch, settings: ClickSettings) -> NDArray[np.float32]:
    """A scan on a wide patch's grid, lightly smoothed."""
    z, y, x = patch.box
    means = block_means(voxels, patch.steps, box=((z.start, y.start, x.start), (z.stop, y.stop, x.stop)))
    return gaussian(means, settings.wide_light_mm, patch.spacing)


def _distances_mm(patch: Patch, at_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of every voxel centre of the patch to a place given in mm from the scan's first voxel."""
    total = np.zeros(patch.values.shape)
    for axis, (part, n) in enumerate(zip(patch.box, patch.values.shape, strict=True)):
        fine = patch.spacing[axis] / patch.steps[axis]
        along = (part.start + patch.lead[axis] + np.arange(n) * patch.steps[axis]) * fine - at_mm[axis]
        total = total + (along**2).reshape([-1 if k == axis else 1 for k in range(3)])
    return np.sqrt(total)


def _seed(patch: Patch, gesture: Gesture, settings: ClickSettings) -> Mask:
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


def _near(patch: Patch, points_mm: NDArray[np.float64], radius_mm: float) -> Mask:
    """Voxels within a radius of some point; at least the nearest voxel of each."""
    chosen = np.zeros(patch.values.shape, bool)
    for point in points_mm:
        away = _distances_mm(patch, point)
        chosen |= away <= max(radius_mm, float(away.min()) + 1e-6)
    return chosen


def surroundings(patch: Patch, settings: ClickSettings) -> tuple[float, float]:
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
