"""The liver in a whole scan: the network looks everywhere once, then more than once where the liver is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livervol.grid import Grid
from livervol.kernels.components import keep_largest
from livervol.segment.body import StraightScan, block_means, soft_tissue
from livervol.segment.liver_net import Sight, look, network_grey
from livervol.segment.liver_order import Place, organ_places
from livervol.segment.model import ModelCard

__all__ = ["LiverView", "Survey", "dice_of", "fading", "find_liver", "survey_of", "tiles"]

#: Largest blocks the network is shown, in 2 mm voxels: of the size of its training patches, as normalisation depends on
#: the surroundings; those round the liver may be larger, so that most livers fit into one.
TILE, LIVER_TILE = (112, 128, 176), (144, 128, 176)

#: Neighbouring blocks share this many voxels and fade into each other.
OVERLAP = 24

#: Voxels kept round the liver found first.
MARGIN = 20

#: Views of the liver: start of the blocks relative to the box (voxels), contrast about mid grey, and shift of grey.
VIEWS = (((0, 0, 0), 1.0, 0.0), ((-7, -5, -9), 1.06, 0.02), ((-3, -9, -5), 0.94, -0.02))

#: Share of liver in the atlas below which a place is not allowed, and the voxels (100 ml) that an allowed piece needs.
LEAST_PLACE, LEAST_PIECE = 0.02, 12500

#: Side of the blocks in which the body is looked for, in voxels.
_BODY_BLOCK = 4

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class LiverView:
    """Round the liver, on a straight 2 mm grid.

    ``values`` (scan unit), the same as ``grey`` values, ``inside`` the field of view; ``probability`` of liver, the
    mean of several views; ``spread``, the standard deviation of the views; ``classes`` as in ``Sight``, every 4 mm.
    ``soft_dice`` of the probability with its half level; ``agreement``, the least Dice of a view, the first look among
    them, with it.
    ``places`` of the organs in the whole scan, as ``organ_places`` gives them.
    """

    grid: Grid
    values: NDArray[np.float32]
    grey: NDArray[np.float32]
    inside: NDArray[np.bool_]
    probability: NDArray[np.float32]
    spread: NDArray[np.float32]
    classes: NDArray[np.float32]
    soft_dice: float
    agreement: float
    places: Mapping[str, Place]


@dataclass(frozen=True, eq=False)
class Survey:
    """What the network sees in the whole body: its ``box`` in the scan, the scan as ``grey`` values, and the sight."""

    box: Box
    grey: NDArray[np.float32]
    sight: Sight


def survey_of(straight: StraightScan, card: ModelCard) -> Survey:
    """The network's first look, everywhere in the body."""
    grey, body = network_grey(straight), _body_box(straight)
    return Survey(body, grey, _tiled(grey[body], straight.inside[body], card, TILE))


def find_liver(
    straight: StraightScan, card: ModelCard, survey: Survey, place: NDArray[np.float32] | None = None
) -> LiverView | None:
    """Liver probability in the box round the liver, or None where the network sees none.

    ``survey`` is the network's first look; ``place`` is an atlas' share of liver on the scan's lattice: of several
    pieces that look like liver (a giant spleen may), the largest where the atlas allows one is taken, if there is any.
    """
    grey, body, first = survey.grey, survey.box, survey.sight.liver
    seen = keep_largest(first > 0.5)
    if place is not None:
        allowed = keep_largest((first > 0.5) & (place[body] > LEAST_PLACE))
        seen = allowed if np.count_nonzero(allowed) > LEAST_PIECE else seen
    if not seen.any():
        return None
    box = _grown(seen, body)
    views = []
    classes = None
    for start, contrast, shift in VIEWS:
        larger = tuple(slice(max(0, s.start + d), s.stop) for s, d in zip(box, start, strict=True))
        shown = np.clip(0.5 + np.float32(contrast) * (grey[larger] - 0.5) + np.float32(shift), 0, 1)
        sight = _tiled(shown, straight.inside[larger], card, LIVER_TILE)
        views.append(sight.liver[tuple(slice(s.start - t.start, None) for s, t in zip(box, larger, strict=True))])
        classes = sight.classes if classes is None else classes
    assert classes is not None
    part = straight.crop(box)
    probability, spread = np.mean(views, axis=0), np.std(views, axis=0)
    probability[~part.inside] = 0
    inside = probability > 0.5
    if not inside.any():
        return None
    views.append(first[tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(box, body, strict=True))])
    agreement = min(dice_of(view > 0.5, inside) for view in views)
    soft_dice = float(2 * probability[inside].sum() / (probability.sum() + np.count_nonzero(inside)))
    corner = np.array([s.start + 0.5 for s in body]) * straight.spacing_mm + straight.grid.origin_lps_mm[::-1]
    places = organ_places(survey.sight.classes, corner, 2 * straight.spacing_mm)
    return LiverView(part.grid, part.values, grey[box], part.inside, probability, spread, classes, soft_dice, agreement,
                     places)  # fmt: skip


def dice_of(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice of two masks, 0 to 1; 0 where both are empty."""
    both, sizes = int(np.count_nonzero(a & b)), int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * both / max(1, sizes)


def _body_box(straight: StraightScan) -> Box:
    n = _BODY_BLOCK
    if min(straight.values.shape) < 4 * n:
        nz, ny, nx = straight.values.shape
        return slice(0, nz), slice(0, ny), slice(0, nx)
    tissue = soft_tissue(block_means(straight.values, (n, n, n)), straight, n * straight.spacing_mm)
    return _bounds(tissue, n, 8, straight.values.shape)


def _grown(seen: NDArray[np.uint8], inside: Box) -> Box:
    low = _bounds(seen, 1, 0, seen.shape)
    box = [
        slice(max(b.start, b.start + s.start - MARGIN), min(b.stop, b.start + s.stop + MARGIN))
        for s, b in zip(low, inside, strict=True)
    ]
    # even sides, so that 4 mm voxels stay whole
    box = [slice(s.start, s.stop - (s.stop - s.start) % 2) for s in box]
    return box[0], box[1], box[2]


def _bounds(mask: NDArray[np.generic], scale: int, margin: int, shape: tuple[int, ...]) -> Box:
    box = []
    for axis in range(3):
        there = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        low, high = (int(there[0]), int(there[-1]) + 1) if there.size else (0, mask.shape[axis])
        # blocks at the end may be cut off: the last one reaches to the edge
        stop = shape[axis] if high == mask.shape[axis] else min(shape[axis], high * scale + margin)
        box.append(slice(max(0, low * scale - margin), stop))
    return box[0], box[1], box[2]


def _tiled(grey: NDArray[np.float32], inside: NDArray[np.bool_], card: ModelCard, tile: tuple[int, int, int]) -> Sight:
    # overlapping blocks, faded into each other; class probabilities likewise
    shape = grey.shape
    pieces = list(tiles(shape, tile))
    if len(pieces) == 1:
        return look(grey, inside, card)
    liver, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    half = tuple((n + 1) // 2 for n in shape)
    classes, share = np.zeros((11, *half), np.float32), np.zeros(half, np.float32)
    for piece in pieces:
        if not inside[piece].any():
            weight[piece] += 1
            continue
        sight = look(grey[piece], inside[piece], card)
        ramp = fading(sight.liver.shape)
        liver[piece] += ramp * sight.liver
        weight[piece] += ramp
        starts = [side.start // 2 for side in piece]
        small = tuple(slice(a, a + n) for a, n in zip(starts, sight.classes.shape[1:], strict=True))
        thin = ramp[::2, ::2, ::2]
        classes[(slice(None), *small)] += thin * sight.classes
        share[small] += thin
    weight, share = np.maximum(weight, np.float32(1e-6)), np.maximum(share, np.float32(1e-6))
    return Sight((liver / weight).astype(np.float32), (classes / share).astype(np.float32))


def tiles(shape: tuple[int, ...], tile: tuple[int, int, int]) -> Iterator[Box]:
    """Overlapping blocks that cover a volume: as few as the largest size allows, then no larger than they must be."""
    sides = []
    for n, t in zip(shape, tile, strict=True):
        count = 1 if n <= t else -(-(n - OVERLAP) // (t - OVERLAP))
        size = n if count == 1 else 2 * -(-(n + (count - 1) * OVERLAP) // (2 * count))
        # even starts, so that 4 mm voxels of neighbouring blocks coincide
        starts = [2 * ((n - size) * i // (2 * max(1, count - 1))) for i in range(count)]
        sides.append([slice(start, n if i == count - 1 else start + size) for i, start in enumerate(starts)])
    for z in sides[0]:
        for y in sides[1]:
            for x in sides[2]:
                yield z, y, x


def fading(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Weights of a block's voxels, falling towards its sides, where it overlaps its neighbours."""
    sides = [np.minimum(np.minimum(np.arange(n), np.arange(n)[::-1]) + 1, OVERLAP) / OVERLAP for n in shape]
    ramp: NDArray[np.float32] = (sides[0][:, None, None] * sides[1][None, :, None] * sides[2][None, None, :]).astype(
        np.float32
    )
    return ramp
