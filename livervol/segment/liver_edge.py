"""The outline's last word: a small network that sees scan, first network, atlas and cut side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from livervol.kernels.bits import as_bytes, bits_box, pack
from livervol.kernels.distance import distance_to
from livervol.segment.liver_cut import log_odds
from livervol.segment.liver_net import NEIGHBOURS
from livervol.segment.liver_search import LiverView, fading, tiles
from livervol.segment.model import ModelCard, predict

__all__ = ["CHANNELS", "EDGE_MODEL", "edge_channels", "outline_of"]

EDGE_MODEL = "liver_edge_v1"

#: What the network sees of each 2 mm voxel, before the neighbours' probabilities, and its value outside the field.
CHANNELS = {"grey": 0.0, "deviation": 0.0, "network": -2.0, "cut": -2.0, "atlas": -3.0, "spread": 0.0, "inside": 0.0}

#: Voxels kept round the liver: farther away nothing is changed.
MARGIN = 9

#: Largest blocks the network is shown, in 2 mm voxels, and the multiple that their sides must be of.
TILE, MULTIPLE = (112, 112, 128), 4

#: Grey values are told in so many spreads of the parenchyma; log odds in these units, within these bounds.
SPREADS, ODDS, NETWORK_MOST, ATLAS_MOST, DEVIATION_MOST, VIEWS_TIMES = 4.0, 3.0, 2.0, 3.0, 3.0, 8.0

#: The outline moves inwards by no more than this (mm): lesions at the surface look like nothing the network has learnt.
INWARDS_MM = 3.0

#: Probability of liver above which the parenchyma's level and spread are taken.
SURE = 0.9

Box = tuple[slice, slice, slice]


def outline_of(
    view: LiverView, membership: NDArray[np.float32], place: NDArray[np.float32], card: ModelCard
) -> NDArray[np.float32]:
    """Probability 0 to 1 of liver on the grid of ``view``, whose half level is the outline.

    ``membership`` as ``cut_liver`` gives it and ``place``, the atlas' share of liver, on the same grid. Where neither
    the cut nor the first network is near, the answer is 0; deeper than ``INWARDS_MM`` in the cut it is the cut's.
    """
    box, channels = edge_channels(view, membership, place)
    score, weight = np.zeros(channels.shape[1:], np.float32), np.zeros(channels.shape[1:], np.float32)
    for piece in tiles(score.shape, TILE):
        part = channels[(slice(None), *piece)]
        shape = part.shape[1:]
        whole = np.zeros((len(part), *(n + -n % MULTIPLE for n in shape)), np.float32)
        whole[: len(CHANNELS)] = np.reshape(list(CHANNELS.values()), (-1, 1, 1, 1))
        whole[:, : shape[0], : shape[1], : shape[2]] = part
        ramp = fading(shape)
        score[piece] += ramp * predict(card, whole[None])[0, 0, : shape[0], : shape[1], : shape[2]]
        weight[piece] += ramp
    found = np.zeros_like(membership)
    found[box] = (1 / (1 + np.exp(-np.clip(score / weight, -30, 30)))) * view.inside[box]
    outside = np.ascontiguousarray(membership <= 0.5).view(np.uint8)
    deep = distance_to(outside, view.grid.spacing_mm, INWARDS_MM + 1.0) > INWARDS_MM
    found[deep] = np.maximum(found, membership)[deep]
    return found


def edge_channels(
    view: LiverView, membership: NDArray[np.float32], place: NDArray[np.float32]
) -> tuple[Box, NDArray[np.float32]]:
    """The box round the liver and the network's input there, shape (16, z, y, x), all sides even.

    ``CHANNELS``, then the probabilities of ``NEIGHBOURS``. The deviation from the parenchyma makes contrasts alike.
    """
    sure = view.values[(view.probability > SURE) & (membership > 0.5)]
    level = float(np.median(sure)) if sure.size else 0.0
    spread = 1.4826 * float(np.median(np.abs(sure - level))) if sure.size else 0.0
    box = _box((membership > 0.5) | (view.probability > 0.5))
    half = tuple(slice(s.start // 2, s.stop // 2) for s in box)
    classes = view.classes[(slice(2, None), *half)]
    channels = np.empty((len(CHANNELS) + len(NEIGHBOURS), *(s.stop - s.start for s in box)), np.float32)
    channels[0] = 4 * view.grey[box] - 2
    channels[1] = np.clip((view.values[box] - level) / (SPREADS * spread + 1e-6), -DEVIATION_MOST, DEVIATION_MOST)
    channels[2] = np.clip(log_odds(view.probability[box]) / ODDS, -NETWORK_MOST, NETWORK_MOST)
    channels[3] = 4 * membership[box] - 2
    channels[4] = np.clip(log_odds(place[box]) / ODDS, -ATLAS_MOST, ATLAS_MOST)
    channels[5] = VIEWS_TIMES * view.spread[box]
    channels[6] = view.inside[box]
    channels[len(CHANNELS) :] = classes.repeat(2, axis=1).repeat(2, axis=2).repeat(2, axis=3)
    return box, channels


def _box(near: NDArray[np.bool_]) -> Box:
    ends = bits_box(pack(as_bytes(near)))
    box = []
    for n, first, stop in zip(near.shape, ends[::2], ends[1::2], strict=True):
        # even sides, so that 4 mm voxels stay whole
        start, stop = max(0, first - MARGIN) // 2 * 2, min(n, stop + MARGIN)
        box.append(slice(start, min(stop + stop % 2, n - n % 2)))
    return box[0], box[1], box[2]
