"""The liver network: what it is shown of a scan, and its answer as probabilities on a straight 2 mm lattice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livervol.segment.body import StraightScan
from livervol.segment.model import ModelCard, predict

__all__ = ["LATTICE_MM", "NEIGHBOURS", "Sight", "look", "network_channels", "network_grey"]

#: Side of the network's voxels in mm.
LATTICE_MM = 2.0

#: CT window shown to the network; the training sets were clipped to windows that hold this one.
WINDOW_HU = (-125.0, 240.0)

#: Structures beside the liver that the network names, in the order of its scores after "other" and "liver".
NEIGHBOURS = ("spleen", "right kidney", "left kidney", "gallbladder", "stomach or oesophagus", "aorta", "vena cava",
              "portal or splenic vein", "pancreas")  # fmt: skip

#: Scores per 4 mm voxel: liver in its eight 2 mm voxels, then one per class.
_FINE = 8

#: The network halves its lattice three times after folding: sides are multiples of this many 2 mm voxels.
_MULTIPLE = 16

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Sight:
    """What the network sees in a part of a scan: ``liver`` (probability per 2 mm voxel) and ``classes`` (probabilities
    of other, liver and ``NEIGHBOURS`` per 4 mm voxel, shape (11, nz / 2, ny / 2, nx / 2))."""

    liver: NDArray[np.float32]
    classes: NDArray[np.float32]


def network_grey(straight: StraightScan) -> NDArray[np.float32]:
    """Grey values 0 to 1: CT through a fixed window, MR from zero to the scan's 99.5th percentile."""
    low, high = WINDOW_HU if straight.modality == "CT" else (straight.low, straight.high)
    grey: NDArray[np.float32] = np.clip((straight.values - np.float32(low)) / np.float32(max(high - low, 1e-6)), 0, 1)
    return grey


def network_channels(grey: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Input (1, 16, z, y, x) from 2 mm grey values and field of view of even sides: a 4 mm voxel holds its eight."""
    value = np.where(inside, 4 * grey - 2, np.float32(0))
    return _folded(np.stack([value, inside.astype(np.float32)]))[None]


def look(grey: NDArray[np.float32], inside: NDArray[np.bool_], card: ModelCard) -> Sight:
    """The network's view of a block of 2 mm voxels, in one piece."""
    shape = grey.shape
    pad = [(0, -n % _MULTIPLE) for n in shape]
    scores = predict(card, network_channels(np.pad(grey, pad), np.pad(inside, pad)))[0]
    liver = _unfolded(scores[:_FINE])[tuple(slice(0, n) for n in shape)]
    half = tuple(slice(0, (n + 1) // 2) for n in shape)
    raw = scores[(slice(_FINE, None), *half)]
    share = np.exp(raw - raw.max(axis=0))
    probability = 1 / (1 + np.exp(-np.clip(liver, -30, 30)))
    return Sight(probability.astype(np.float32), (share / share.sum(axis=0)).astype(np.float32))


def _folded(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    # (c, 2z, 2y, 2x) -> (8 c, z, y, x), the eight voxels of a block in z, y, x order
    c, z, y, x = fine.shape
    blocks = fine.reshape(c, z // 2, 2, y // 2, 2, x // 2, 2).transpose(0, 2, 4, 6, 1, 3, 5)
    return np.ascontiguousarray(blocks.reshape(8 * c, z // 2, y // 2, x // 2))


def _unfolded(coarse: NDArray[np.float32]) -> NDArray[np.float32]:
    # (8, z, y, x) -> (2z, 2y, 2x)
    _, z, y, x = coarse.shape
    return coarse.reshape(2, 2, 2, z, y, x).transpose(3, 0, 4, 1, 5, 2).reshape(2 * z, 2 * y, 2 * x)
