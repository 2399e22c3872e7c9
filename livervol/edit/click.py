"""One gesture on a lesion gives its outline: a click, a drawn diameter, a box, or a scribble.

A click in the liver, whose mask tells the parenchyma, looks along rays for where tissue unlike it ends (``star``).
Other gestures, places outside the liver and what that does not find: a local model of two tissues (what lies under the
gesture, what surrounds it) prices every voxel of a box around the gesture; a geodesic front from the gesture and the
edge strength say how far the lesion goes; a smooth cut draws the outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.edit.brush import Canvas
from livervol.edit.change import Box, Change
from livervol.edit.gesture import ClickSettings, Gesture, Mask, Patch, patch_of, surroundings
from livervol.edit.looks import LEAST_DIAMETER_MM, Look, best_look
from livervol.errors import LivervolError, refusal
from livervol.kernels.components import keep_largest, label_components
from livervol.kernels.cut import smooth_cut
from livervol.kernels.distance import distance_to
from livervol.kernels.fill import fill_holes
from livervol.kernels.front import geodesic_front
from livervol.kernels.morphology import dilate_mm

__all__ = ["Outline", "lesion_change", "outline_lesion"]


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
    others: Sequence[NDArray[Any]] = (),
) -> tuple[Change, Outline]:
    """The change that adds the outlined lesion as ``value``, as far as the canvas allows, and the outline itself.

    ``others`` and errors as ``outline_lesion``.
    """
    if canvas.voxels is None:
        raise LivervolError(refusal("a click needs a scan", expected="a scan under the mask", got="none"))
    outline = outline_lesion(canvas.voxels, canvas.spacing_mm, gesture, liver, settings, others)
    change = canvas.change(outline.box, outline.mask, value, f"{gesture.kind} on a lesion")
    return change, outline


def outline_lesion(
    voxels: NDArray[Any],
    spacing_mm: Sequence[float],
    gesture: Gesture,
    liver: NDArray[Any] | None = None,
    settings: ClickSettings | None = None,
    others: Sequence[NDArray[Any]] = (),
) -> Outline:
    """The outline of the lesion under a gesture, at half contrast, smooth, in one piece, holes filled.

    ``voxels`` [z, y, x] in HU or any unit; ``liver`` a mask on the same grid (lesions included): where it holds the
    gesture, the parenchyma is learnt in it and the outline stays in it. ``others`` are further phases on the same
    grid: a click in the liver goes by all of them. Raises ``LivervolError`` for a gesture outside the scan.
    """
    settings = settings or ClickSettings()
    patch = patch_of(voxels, spacing_mm, gesture, liver, settings)
    if liver is not None and _by_rays(gesture, spacing_mm):
        look = best_look((voxels, *others), spacing_mm, gesture, liver, settings, patch)
        if look is not None:
            return _along_rays(look)
    outside, sigma = surroundings(patch, settings)
    inside = float(np.median(patch.values[patch.seed]))
    mask, contrast = _cut_out(patch, (inside, outside, sigma), settings)
    fine = _refined(mask, patch)
    warnings = [] if abs(contrast) > sigma else ["the lesion hardly differs from what surrounds it: check the outline"]
    return Outline(patch.box, fine, contrast, tuple(warnings))


def _by_rays(gesture: Gesture, spacing_mm: Sequence[float]) -> bool:
    """A click, or a diameter as long as only giants have."""
    if gesture.kind != "diameter":
        return gesture.kind == "click"
    length_mm = float(np.linalg.norm(np.diff(gesture.points_zyx, axis=0)[0] * spacing_mm))
    return length_mm >= LEAST_DIAMETER_MM


def _along_rays(look: Look) -> Outline:
    """The outline of a look on the scan's own voxels, in as small a box as holds it."""
    mask = _with_seed(look.star.mask, look.held)
    contrast = float(np.median(look.patch.values[mask])) - look.level
    box = _around(mask)
    whole, steps = look.patch.box, look.patch.steps
    near = [
        slice(w.start + s.start * k, min(w.stop, w.start + s.stop * k))
        for w, s, k in zip(whole, box, steps, strict=True)
    ]
    part = replace(look.patch, box=(near[0], near[1], near[2]))
    return Outline(part.box, _refined(mask[box], part), contrast)


def _cut_out(patch: Patch, levels: tuple[float, float, float], settings: ClickSettings) -> tuple[Mask, float]:
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


def _compact(patch: Patch, member: NDArray[np.float32], settings: ClickSettings) -> Mask:
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


def _near_seed(patch: Patch, depth: NDArray[np.float32]) -> Mask:
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


def _refined(mask: Mask, patch: Patch) -> Mask:
    """The working grid's mask on the scan's own voxels of the box, linear between centres."""
    shape = [s.stop - s.start for s in patch.box]
    if patch.steps == (1, 1, 1):
        return mask
    soft = mask.astype(np.float32)
    for axis, (n, step) in enumerate(zip(shape, patch.steps, strict=True)):
        place = np.clip((np.arange(n) - patch.lead[axis]) / step, 0, soft.shape[axis] - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, soft.shape[axis] - 1)
        share = (place - low).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(3)])
        soft = np.take(soft, low, axis) * (1 - share) + np.take(soft, high, axis) * share
    fine: Mask = keep_largest((soft >= 0.5).view(np.uint8)) != 0
    return fine
