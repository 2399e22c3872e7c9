"""Structures nest: viable tissue in its lesion, a liver's lesion in the liver, segments in the liver.

A gesture on one mask is completed so that this stays true: a lesion painted past the liver's outline takes the liver
along (liver volume includes tumour), liver under a lesion is not erased, viable tissue follows its lesion, new liver
gets the segment next to it. Lesions outside the liver (their site says so) stand alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.edit.change import Box, Change, Step

__all__ = ["completed"]

#: Segments of new liver are looked for this far around it (voxels), then twice as far.
_PAD = (4, 12, 36)

#: Parts of a lesion, labelled with its number; where they meet, the one just painted wins.
PARTS = ("viable", "uncertain")

Labels = NDArray[Any]


def completed(masks: Mapping[str, Labels], step: Step, extrahepatic: Collection[int] = ()) -> Step:
    """The step with what it must take along, and without what would break the nesting.

    ``masks`` are the live masks before the step (liver, lesions, viable, uncertain, segments: those there are);
    ``extrahepatic`` the numbers of lesions whose site is not the liver. Changes of other masks pass through.
    """
    changes = [c for c in step.changes if c.voxels]
    boxes = [c.box for c in changes]
    if not changes:
        return step
    box = _union([b for b in boxes if b is not None])
    names = [n for n in ("liver", "lesions", *PARTS, "segments") if n in masks or any(c.mask == n for c in changes)]
    shape = changes[0].shape_zyx
    before = {n: masks[n][box] if n in masks else np.zeros(_size(box), np.uint16) for n in names}
    after = {n: a.copy() for n, a in before.items()}
    for change in changes:
        if change.mask in after:
            _write(after[change.mask], change, box)
    _nest(before, after, [c.mask for c in changes], set(extrahepatic))
    if "segments" in after and "liver" in after:
        _fill_segments(masks, before, after, box)
    start = (box[0].start, box[1].start, box[2].start)
    found = [Change.between(before[n], after[n], n, step.tool, (shape, start)) for n in names]
    others = [c for c in changes if c.mask not in after]
    return replace(step, changes=tuple([c for c in found if c.voxels] + others))


def _nest(before: Mapping[str, Labels], after: dict[str, Labels], touched: list[str], extrahepatic: set[int]) -> None:
    lesions = after.get("lesions")
    if lesions is None:
        return
    if "liver" in after:
        own = lesions > 0
        if extrahepatic:
            own &= ~np.isin(lesions, list(extrahepatic))
        # only where this step made the misfit: what was broken before is reported, not repaired in passing
        made = (lesions != before["lesions"]) | (after["liver"] != before["liver"])
        after["liver"][own & made & (after["liver"] == 0)] = 1
    for part in PARTS:
        if part not in after:
            continue
        values = after[part]
        stray = (values != 0) & (values != lesions)
        follows = stray & (lesions > 0) & (values == before["lesions"])
        values[follows] = lesions[follows]
        values[stray & ~follows] = 0
    if "viable" in after and "uncertain" in after:
        loser = "viable" if "uncertain" in touched and "viable" not in touched else "uncertain"
        after[loser][(after["viable"] != 0) & (after["uncertain"] != 0)] = 0


def _fill_segments(
    masks: Mapping[str, Labels], before: Mapping[str, Labels], after: dict[str, Labels], box: Box
) -> None:
    segments, liver = after["segments"], after["liver"]
    segments[(liver == 0) & (before["liver"] != 0)] = 0
    bare = (liver != 0) & (before["liver"] == 0) & (segments == 0)
    if not bare.any():
        return
    whole = masks["segments"]
    for pad in _PAD:
        wide = tuple(slice(max(0, s.start - pad), min(n, s.stop + pad)) for s, n in zip(box, whole.shape, strict=True))
        inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(box, wide, strict=True))
        around = whole[wide].copy()
        around[inner] = segments
        if not around.any():
            continue
        nearest = ndimage.distance_transform_edt(around == 0, return_distances=False, return_indices=True)
        segments[bare] = around[tuple(nearest)][inner][bare]
        return


def _write(target: Labels, change: Change, box: Box) -> None:
    z, y, x = np.unravel_index(change.flat, change.shape_zyx)
    target[z - box[0].start, y - box[1].start, x - box[2].start] = np.repeat(change.after, change.lengths)


def _union(boxes: list[Box]) -> Box:
    z, y, x = (slice(min(b[k].start for b in boxes), max(b[k].stop for b in boxes)) for k in range(3))
    return (z, y, x)


def _size(box: Box) -> tuple[int, int, int]:
    z, y, x = (s.stop - s.start for s in box)
    return (z, y, x)
