"""Couinaud segments from the liver's shape alone, for CT and MR alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.errors import ScanError, refusal
from livervol.kernels.lattice import argmax_trilinear, sum_probabilities
from livervol.scan import Segmentation
from livervol.segment.couinaud_shape import box_grid, box_occupancy, shape_channels
from livervol.segment.model import find_model, predict

__all__ = ["MODEL", "SEGMENT_NAMES", "CouinaudResult", "segment_couinaud"]

MODEL = "couinaud_shape_v1"

SEGMENT_NAMES = {n: f"segment {roman}" for n, roman in enumerate(("I", "II", "III", "IV", "V", "VI", "VII", "VIII"), 1)}

#: Below this mean probability of the chosen segment the shape is unlike the livers the network was fitted on.
CONFIDENT = 0.70

#: Segments V to VIII hold 49 to 82 % of the liver (Abdalla 2004); outside, sides may be swapped or a lobe absent.
RIGHT_SHARE = (0.45, 0.85)


@dataclass(frozen=True, eq=False)
class CouinaudResult:
    """``segmentation`` on the liver's grid, values 1..8; expected volumes (ml) from the probabilities; warnings.

    ``confidence`` is the mean probability of the segment each liver voxel was given.
    """

    segmentation: Segmentation
    expected_ml: tuple[float, ...]
    confidence: float
    warnings: tuple[str, ...]


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
    return result


def segment_couinaud(liver: Segmentation) -> CouinaudResult:
    """Couinaud segments I to VIII of a liver mask, on the mask's own grid.

    A small network reads the mask's shape on a 4 mm box (``models/couinaud_shape_v1``); its scores are interpolated
    to the mask's voxels. Raises ``ScanError`` for an empty mask, ``ModelError`` when the model is damaged or its runtime is
    missing. Boundaries from shape alone are schematic; displaced scissurae (atrophy, hypertrophy) need vessels.
    """
    mask: NDArray[Any] = (liver.labels != 0).view(np.uint8)
    if not mask.any():
        raise ScanError(refusal("liver mask is empty", expected="liver voxels", got="none", do="Check the mask."))
    card = find_model(MODEL)
    box = box_grid(liver)
    channels = shape_channels(box_occupancy(liver, box), box.spacing_mm[0])
    logits = np.ascontiguousarray(predict(card, channels[None])[0].transpose(1, 2, 3, 0))
    matrix = (np.linalg.inv(box.matrix) @ liver.grid.matrix)[:3]
    labels = argmax_trilinear(logits, matrix, mask)
    probabilities = _softmax(logits)
    expected = sum_probabilities(probabilities, matrix, mask) * liver.grid.voxel_ml
    best = np.ascontiguousarray(probabilities.max(axis=-1, keepdims=True))
    confidence = float(sum_probabilities(best, matrix, mask)[0] / mask.sum())
    segmentation = Segmentation(labels, liver.grid, SEGMENT_NAMES, made_by=f"{card.name} (shape)")
    counts = np.bincount(labels.ravel(), minlength=9)[1:9]
    return CouinaudResult(
        segmentation, tuple(float(v) for v in expected), confidence, _doubts(counts / counts.sum(), confidence)
    )


def _doubts(shares: NDArray[np.float64], confidence: float) -> tuple[str, ...]:
    doubts = []
    if confidence < CONFIDENT:
        doubts.append(
            f"Couinaud segments: the liver's shape is unusual (mean probability {confidence:.2f}, expected at least "
            f"{CONFIDENT:.2f}); check the segments before using a remnant volume."
        )
    right = float(shares[4:8].sum())
    low, high = RIGHT_SHARE
    if not low <= right <= high:
        doubts.append(
            f"Couinaud segments: V to VIII hold {100 * right:.0f} % of the liver, usually {100 * low:.0f} to "
            f"{100 * high:.0f} %; resection, atrophy or a mirrored image would explain it."
        )
    return tuple(doubts)
