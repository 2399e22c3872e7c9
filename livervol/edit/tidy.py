"""One label made neat: smoothed, filled, its largest piece, nothing outside the liver; other labels stay."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.edit.brush import Canvas
from livervol.edit.change import Box, Change
from livervol.errors import LivervolError, refusal
from livervol.kernels.components import keep_largest
from livervol.kernels.fill import fill_holes, fill_holes_slices
from livervol.kernels.smooth import majority_smooth
from livervol.kernels.tally import label_boxes

__all__ = ["fill", "largest_piece", "smooth", "subtract_outside"]


def smooth(canvas: Canvas, value: int, sigma_mm: float = 2.0, box: Box | None = None) -> Change:
    """The label where its Gaussian of ``sigma_mm`` reaches one half; with ``box`` only there.

    Grows over background only (as the canvas allows), never over another label.
    """
    if not (np.isfinite(sigma_mm) and 0 < sigma_mm <= 50):
        raise LivervolError(refusal("smoothing", expected="above 0 and at most 50 mm", got=f"{sigma_mm}"))
    place, own = _label(canvas, value, pad=1)
    result = majority_smooth(own, sigma_mm, canvas.spacing_mm) != 0
    return _becomes(canvas, place, _only(result, own, place, box), value, f"smooth {sigma_mm:g} mm")


def fill(canvas: Canvas, value: int, *, flat: bool = False) -> Change:
    """Holes of the label filled: background it encloses, in space or (``flat``) slice by slice."""
    place, own = _label(canvas, value, pad=1)
    filled = (fill_holes_slices if flat else fill_holes)(own) != 0
    return _becomes(canvas, place, filled, value, "fill slice by slice" if flat else "fill")


def largest_piece(canvas: Canvas, value: int) -> Change:
    """Only the largest piece (joined by faces) of the label stays."""
    place, own = _label(canvas, value, pad=0)
    return _becomes(canvas, place, keep_largest(own, 6) != 0, value, "largest piece")


def subtract_outside(canvas: Canvas, value: int, inside: NDArray[Any], what: str = "liver") -> Change:
    """The label without what lies outside another mask (non-zero ``inside``), as a rule the liver."""
    if inside.shape != canvas.labels.shape:
        raise LivervolError(refusal("mask to stay inside", expected=str(canvas.shape), got=str(inside.shape)))
    place, own = _label(canvas, value, pad=0)
    return _becomes(canvas, place, (own != 0) & (inside[place] != 0), value, f"subtract outside {what}")


def _label(canvas: Canvas, value: int, pad: int) -> tuple[Box, NDArray[np.uint8]]:
    boxes = label_boxes((canvas.labels == value).view(np.uint8))
    if value < 1 or len(boxes) < 2:
        raise LivervolError(
            refusal("label is not there", expected="a label with voxels", got=f"value {value}", where=canvas.mask)
        )
    z, y, x = (
        slice(max(0, int(a) - pad), min(n, int(b) + pad))
        for (a, b), n in zip(boxes[1].tolist(), canvas.shape, strict=True)
    )
    place = (z, y, x)
    return place, (canvas.labels[place] == value).view(np.uint8)


def _only(result: NDArray[np.bool_], own: NDArray[np.uint8], place: Box, box: Box | None) -> NDArray[np.bool_]:
    if box is None:
        return result
    kept: NDArray[np.bool_] = own != 0
    inner = tuple(
        slice(min(max(b.start - p.start, 0), n), min(max(b.stop - p.start, 0), n))
        for b, p, n in zip(box, place, result.shape, strict=True)
    )
    kept[inner] = result[inner]
    return kept


def _becomes(canvas: Canvas, box: Box, target: NDArray[np.bool_], value: int, tool: str) -> Change:
    before = canvas.labels[box]
    allowed = target & (before == 0 if canvas.over is None else np.isin(before, (0, *canvas.over)))
    if canvas.within is not None:
        allowed &= canvas.within[box] != 0
    after = np.where((before == value) & ~target, 0, np.where(allowed, np.uint16(value), before)).astype(before.dtype)
    start = (box[0].start, box[1].start, box[2].start)
    return Change.between(before, after, canvas.mask, tool, (canvas.shape, start))
