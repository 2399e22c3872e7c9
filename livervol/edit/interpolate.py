"""A label between slices that the reader has corrected, by the shapes' distance maps; other labels stay."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.edit.brush import Canvas
from livervol.edit.change import Box, Change
from livervol.errors import LivervolError, refusal
from livervol.kernels.distance import distance_to

__all__ = ["between_shapes", "interpolate_slices"]

Mask = NDArray[np.bool_]


def interpolate_slices(canvas: Canvas, value: int, indices: Sequence[int], axis: int = 0) -> Change:
    """Label ``value`` in the slices between corrected ones, shape-based; the corrected slices stay.

    ``indices`` are the corrected slices along ``axis``, two or more, each holding the label. Between two of them the
    label is where the mean of their signed distance maps, weighted by nearness, is inside, after the middles of the
    shapes have been moved onto each other (Raya & Udupa 1990, IEEE Trans Med Imaging 9:32; Herman et al. 1992, IEEE
    Comput Graph Appl 12:69). What was labelled ``value`` there before and is not now is cleared; other labels stay.
    """
    chosen = sorted({int(i) for i in indices})
    labels = canvas.labels
    if axis not in (0, 1, 2) or len(chosen) < 2 or chosen[0] < 0 or chosen[-1] >= labels.shape[axis]:
        raise LivervolError(
            refusal("slices to interpolate between", expected="two or more slices of the mask", got=str(list(indices)))
        )
    across = np.moveaxis(labels, axis, 0)
    empty = [i for i in chosen if not (across[i] == value).any()]
    if empty:
        raise LivervolError(
            refusal("corrected slice is empty", expected=f"label {value} in each", got=f"none in {empty}",
                    do="Draw it there first.")
        )  # fmt: skip
    spacing = [s for k, s in enumerate(canvas.spacing_mm) if k != axis]
    first, last = chosen[0] + 1, chosen[-1]
    inside = np.zeros((last - first, *across.shape[1:]), bool)
    for a, b in pairwise(chosen):
        for k in range(a + 1, b):
            share = (k - a) / (b - a)
            inside[k - first] = between_shapes(across[a] == value, across[b] == value, share, (spacing[0], spacing[1]))
    kept = np.isin(np.arange(first, last), chosen)
    box = _slab(canvas, axis, first, last)
    target = np.moveaxis(inside, 0, axis)
    fixed = np.moveaxis(np.broadcast_to(kept[:, None, None], inside.shape), 0, axis)
    return _replaced(canvas, box, np.where(fixed, labels[box] == value, target), value)


def between_shapes(first: Mask, second: Mask, share: float, spacing_mm: tuple[float, float]) -> Mask:
    """The shape a ``share`` (0 to 1) of the way from one 2-D mask to another, both with at least one pixel."""
    middles = [np.array(ndimage.center_of_mass(m)) for m in (first, second)]
    middle = (1 - share) * middles[0] + share * middles[1]
    depth = np.zeros(first.shape)
    for mask, own, weight in ((first, middles[0], 1 - share), (second, middles[1], share)):
        signed = _signed_mm(mask, spacing_mm)
        moved = ndimage.shift(signed, middle - own, order=1, mode="nearest") if np.any(middle != own) else signed
        depth += weight * moved
    inside: Mask = depth > 0
    return inside


def _signed_mm(mask: Mask, spacing_mm: tuple[float, float]) -> NDArray[np.float64]:
    """Distance to the outline in mm, positive inside; the outline runs half way between pixel centres."""
    spacing = (1.0, *spacing_mm)
    far = float(np.hypot(mask.shape[0] * spacing_mm[0], mask.shape[1] * spacing_mm[1]))
    to_mask = np.minimum(distance_to(mask[None].view(np.uint8), spacing)[0], far)
    to_rest = np.minimum(distance_to((~mask)[None].view(np.uint8), spacing)[0], far)
    half = 0.5 * min(spacing_mm)
    signed: NDArray[np.float64] = np.where(mask, to_rest - half, half - to_mask).astype(np.float64)
    return signed


def _slab(canvas: Canvas, axis: int, first: int, last: int) -> Box:
    z, y, x = (slice(first, last) if k == axis else slice(0, n) for k, n in enumerate(canvas.shape))
    return (z, y, x)


def _replaced(canvas: Canvas, box: Box, target: Mask, value: int) -> Change:
    """The label becomes ``target`` in the box as far as the canvas allows."""
    before = canvas.labels[box]
    allowed = target & (before == 0 if canvas.over is None else np.isin(before, (0, *canvas.over)))
    if canvas.within is not None:
        allowed &= canvas.within[box] != 0
    after = np.where((before == value) & ~target, 0, np.where(allowed, np.uint16(value), before))
    start = (box[0].start, box[1].start, box[2].start)
    return Change.between(before, after.astype(before.dtype), canvas.mask, "interpolate", (canvas.shape, start))
