"""Touching lesions apart, and parts of one lesion together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.segmentation import watershed

from livervol.edit.brush import Canvas
from livervol.edit.change import Box, Change
from livervol.errors import LivervolError, refusal
from livervol.kernels.components import label_components
from livervol.kernels.distance import distance_mm
from livervol.kernels.smooth import gaussian
from livervol.kernels.tally import label_boxes

__all__ = ["merge", "split_along_line", "split_at_points", "split_pieces"]


def split_at_points(canvas: Canvas, number: int, points_zyx: ArrayLike, new: Sequence[int]) -> Change:
    """A lesion split at its necks into one part per point: the first keeps ``number``, the others get ``new``.

    Parts are the basins of the smoothed depth (distance to the outline), so the cut runs where the lesion is narrowest
    (Beucher & Meyer 1993). Points are (z, y, x), each in the lesion; ``new`` holds one unused number fewer than points.
    """
    box, own = _lesion(canvas, number)
    points = np.atleast_2d(np.asarray(points_zyx, dtype=np.float64))
    if len(points) < 2 or len(new) != len(points) - 1:
        raise LivervolError(
            refusal("points to split at", expected="two or more, and a number for each after the first",
                    got=f"{len(points)} points, {len(new)} numbers")
        )  # fmt: skip
    start = np.array([s.start for s in box])
    markers = np.zeros(own.shape, np.int32)
    for k, point in enumerate(points, 1):
        at = tuple(int(v) for v in np.rint(point) - start)
        if any(not 0 <= v < n for v, n in zip(at, own.shape, strict=True)) or not own[at] or markers[at]:
            raise LivervolError(
                refusal("point to split at", expected=f"each in its own voxel of lesion {number}", got=str(point))
            )
        markers[at] = k
    depth = gaussian(distance_mm(own, canvas.spacing_mm, True), 0.7 * min(canvas.spacing_mm), canvas.spacing_mm)
    basins = watershed(-depth, markers, mask=own)
    return _relabelled(canvas, box, {k + 1: basins == k + 1 for k in range(1, len(points))}, (number, new))


def split_along_line(canvas: Canvas, number: int, line_zyx: ArrayLike, new: int, axis: int = 0) -> Change:
    """A lesion cut along a straight line drawn in a plane of ``axis``, through all slices.

    What lies on the smaller side becomes ``new``. The line is its two end points, taken on without end.
    """
    box, own = _lesion(canvas, number)
    line = np.asarray(line_zyx, dtype=np.float64)
    if line.shape != (2, 3) or axis not in (0, 1, 2):
        raise LivervolError(refusal("line to split along", expected="two (z, y, x) points", got=str(line.shape)))
    rows, columns = (k for k in range(3) if k != axis)
    spacing = canvas.spacing_mm
    along = (line[1] - line[0]) * spacing
    index = np.indices(own.shape)
    dr = (index[rows] + box[rows].start - line[0, rows]) * spacing[rows]
    dc = (index[columns] + box[columns].start - line[0, columns]) * spacing[columns]
    side = own & (dr * along[columns] - dc * along[rows] > 0)
    if not side.any() or (side == own).all():
        raise LivervolError(
            refusal("line misses the lesion", expected=f"a line through lesion {number}", got="all on one side")
        )
    if 2 * np.count_nonzero(side) > np.count_nonzero(own):
        side = own & ~side
    return _relabelled(canvas, box, {2: side}, (number, [new]))


def split_pieces(canvas: Canvas, number: int, new: Sequence[int]) -> Change:
    """Separate pieces (26-connected) of a lesion become lesions: the largest keeps ``number``, the next get ``new``.

    With fewer numbers than pieces the smallest pieces stay with the largest.
    """
    box, own = _lesion(canvas, number)
    pieces, stats = label_components(own.view(np.uint8), 26)
    order = np.argsort(-stats.voxels, kind="stable")
    chosen = {k + 2: pieces == order[k + 1] + 1 for k in range(min(len(new), len(order) - 1))}
    return _relabelled(canvas, box, chosen, (number, list(new)))


def merge(canvas: Canvas, numbers: Sequence[int], into: int) -> Change:
    """Lesions that are one: every voxel of ``numbers`` becomes ``into``. Touching or not."""
    boxes = [_lesion(canvas, n)[0] for n in numbers]
    z, y, x = (slice(min(b[k].start for b in boxes), max(b[k].stop for b in boxes)) for k in range(3))
    box = (z, y, x)
    before = canvas.labels[box]
    after = np.where(np.isin(before, list(numbers)), np.uint16(into), before)
    tool = f"merge {', '.join(map(str, numbers))} into {into}"
    return Change.between(before, after, canvas.mask, tool, (canvas.shape, (z.start, y.start, x.start)))


def _lesion(canvas: Canvas, number: int) -> tuple[Box, NDArray[np.bool_]]:
    boxes = label_boxes((canvas.labels == number).view(np.uint8))
    if number < 1 or len(boxes) < 2:
        raise LivervolError(refusal("lesion is not there", expected="a lesion with voxels", got=f"number {number}"))
    z, y, x = (slice(int(a), int(b)) for a, b in boxes[1].tolist())
    box = (z, y, x)
    return box, canvas.labels[box] == number


def _relabelled(
    canvas: Canvas, box: Box, parts: Mapping[int, NDArray[np.bool_]], numbers: tuple[int, Sequence[int]]
) -> Change:
    number, new = numbers
    if any(not 1 <= n <= 65535 or n == number or (canvas.labels == n).any() for n in new[: len(parts)]):
        raise LivervolError(refusal("number of a new lesion", expected="unused numbers", got=str(list(new))))
    before = canvas.labels[box]
    after = before.copy()
    for part, own in parts.items():
        after[own] = new[part - 2]
    start = (box[0].start, box[1].start, box[2].start)
    return Change.between(before, after, canvas.mask, f"split lesion {number}", (canvas.shape, start))
