"""Couinaud segments from the liver's shape alone, for CT and MR alike, corrected by landmarks a reader placed."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.errors import ModelError, ScanError, refusal
from livervol.grid import Grid
from livervol.kernels.lattice import argmax_allowed, argmax_trilinear, sum_probabilities
from livervol.scan import Segmentation
from livervol.segment.couinaud_landmarks import Landmarks, allowed_segments
from livervol.segment.couinaud_shape import box_grid, box_occupancy, shape_channels
from livervol.segment.model import CARD, ModelCard, find_model, predict

__all__ = ["MODEL", "SEGMENT_NAMES", "SPREAD_BOUNDARIES", "CouinaudResult", "segment_couinaud"]

MODEL = "couinaud_shape_v1"

SEGMENT_NAMES = {n: f"segment {roman}" for n, roman in enumerate(("I", "II", "III", "IV", "V", "VI", "VII", "VIII"), 1)}

#: Below this mean probability of the chosen segment the shape is unlike the livers the network was fitted on.
CONFIDENT = 0.70

#: Segments V to VIII hold 49 to 82 % of the liver (Abdalla 2004); outside, sides may be swapped or a lobe absent.
RIGHT_SHARE = (0.45, 0.85)

_Sides = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

#: The surfaces whose displacement makes a remnant's volume uncertain, each with the pairs of sides it separates.
SPREAD_BOUNDARIES: dict[str, _Sides] = {
    "caudate": (((1,), (2, 3, 4, 5, 6, 7, 8)),),
    "main": (((2, 3, 4), (5, 6, 7, 8)),),
    "left": (((4,), (2, 3)),),
    "right": (((5, 8), (6, 7)),),
    "left_vein": (((2,), (3,)),),
    "right_portal": (((5,), (8,)), ((6,), (7,))),
}


@dataclass(frozen=True, eq=False)
class CouinaudResult:
    """``segmentation`` on the liver's grid, values 1..8; ``warnings``; and how sure the answer is.

    ``expected_ml``      volumes of I..VIII from the probabilities, without landmarks, ml.
    ``confidence``       mean probability of the segment each liver voxel was given.
    ``half_widths_ml``   shape (boundaries, 8, 8): how far the volume between segments s and t may move across each
                         boundary, half width of a 95 % interval, ml; boundaries err independently of each other.
    ``interval_floor``   least half width, as a share of the liver.
    ``interval_method``  how they were fitted.
    """

    segmentation: Segmentation
    expected_ml: tuple[float, ...]
    confidence: float
    warnings: tuple[str, ...]
    half_widths_ml: NDArray[np.float64]
    interval_floor: float
    interval_method: str


def segment_couinaud(
    liver: Segmentation, landmarks: Landmarks | None = None, *, card: ModelCard | None = None
) -> CouinaudResult:
    """Couinaud segments I to VIII of a liver mask, on the mask's own grid.

    A small network reads the mask's shape on a 4 mm box (``models/couinaud_shape_v1``); its scores are interpolated
    to the mask's voxels. ``landmarks`` move the boundaries they lie on; the half widths stay those of
    the shape alone (too wide rather than too narrow). Raises ``ScanError`` for an empty mask, ``ModelError`` when the
    model is damaged or its runtime is missing. Boundaries from shape alone are schematic; displaced scissurae (atrophy,
    hypertrophy) need vessels or landmarks.
    """
    mask: NDArray[Any] = (liver.labels != 0).view(np.uint8)
    if not mask.any():
        raise ScanError(refusal("liver mask is empty", expected="liver voxels", got="none", do="Check the mask."))
    card = card or find_model(MODEL)
    box = box_grid(liver)
    occupancy = box_occupancy(liver, box)
    scores = predict(card, shape_channels(occupancy, box.spacing_mm[0])[None])[0]
    logits = np.ascontiguousarray(scores.transpose(1, 2, 3, 0))
    start, stop, place = _window(liver)
    window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    inner = np.ascontiguousarray(mask[window])
    matrix = (np.linalg.inv(box.matrix) @ place.matrix)[:3]
    labels = argmax_trilinear(logits, matrix, inner)
    probabilities = _softmax(logits)
    liver_ml = float(np.count_nonzero(inner)) * liver.grid.voxel_ml
    expected = sum_probabilities(probabilities, matrix, inner) * liver.grid.voxel_ml
    best = np.ascontiguousarray(probabilities.max(axis=-1, keepdims=True))
    confidence = float(sum_probabilities(best, matrix, inner)[0] / np.count_nonzero(inner))
    made_by, warnings = f"{card.name} (shape)", _doubts(labels, place, confidence)
    if landmarks is not None and landmarks.points:
        allowed, doubts = allowed_segments(labels, place, landmarks)
        labels = argmax_allowed(logits, matrix, allowed)
        made_by = f"{card.name} (shape and landmarks: {', '.join(landmarks.points)})"
        warnings += doubts
    whole = np.zeros(mask.shape, np.uint8)
    whole[window] = labels
    scales, floor, method = _interval(card)
    return CouinaudResult(
        segmentation=Segmentation(whole, liver.grid, SEGMENT_NAMES, made_by=made_by),
        expected_ml=tuple(float(v) for v in expected),
        confidence=confidence,
        warnings=warnings,
        half_widths_ml=_boundary_shares(_mixing(probabilities, occupancy)) * scales[:, None, None] * liver_ml,
        interval_floor=floor,
        interval_method=method,
    )


def _window(liver: Segmentation) -> tuple[list[int], list[int], Grid]:
    start, stop = [], []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(liver.labels.any(axis=others))
        start.append(int(used[0]))
        stop.append(int(used[-1]) + 1)
    return start, stop, liver.grid.crop(start, stop)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
    return result


def _mixing(probabilities: NDArray[np.float32], occupancy: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum of P(s) P(t) as a share of the liver, 0 on the diagonal."""
    inside = occupancy > 0
    chances, weight = probabilities[inside].astype(np.float64), occupancy[inside].astype(np.float64)
    mixing: NDArray[np.float64] = (chances * (weight / weight.sum())[:, None]).T @ chances
    np.fill_diagonal(mixing, 0.0)
    return mixing


def _boundary_shares(mixing: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mixing dealt out to the boundaries, shape (boundaries, 8, 8); every pair of segments lies on one."""
    shares = np.zeros((len(SPREAD_BOUNDARIES), 8, 8))
    for row, sides in zip(shares, SPREAD_BOUNDARIES.values(), strict=True):
        for first, second in sides:
            for s in first:
                for t in second:
                    row[s - 1, t - 1], row[t - 1, s - 1] = mixing[s - 1, t - 1], mixing[t - 1, s - 1]
    return shares


def _interval(card: ModelCard) -> tuple[NDArray[np.float64], float, str]:
    spread = tomllib.loads((card.folder / CARD).read_text(encoding="utf-8")).get("spread", {})
    try:
        scales = np.array([float(spread[name]) for name in SPREAD_BOUNDARIES])
        return scales, float(spread["floor"]), str(spread["method"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            refusal(
                "model card has no boundary spread",
                expected=f"[spread] with {', '.join(SPREAD_BOUNDARIES)}, floor and method",
                got=", ".join(spread) or "nothing",
                where=str(card.folder / CARD),
                do="Install livervol again.",
            )
        ) from error


def _doubts(labels: NDArray[np.uint8], place: Grid, confidence: float) -> tuple[str, ...]:
    counts = np.bincount(labels.ravel(), minlength=9)[1:9]
    shares = counts / counts.sum()
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
