"""Couinaud segments from the liver's shape alone, for CT and MR alike, corrected by landmarks a reader placed."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.errors import ModelError, ScanError, refusal
from livervol.files import sha256_of
from livervol.grid import Grid
from livervol.kernels.lattice import argmax_allowed, argmax_trilinear, sum_probabilities
from livervol.kernels.tally import label_counts
from livervol.scan import Segmentation
from livervol.segment.couinaud_landmarks import Landmarks, allowed_segments
from livervol.segment.couinaud_shape import box_grid, box_occupancy, shape_channels
from livervol.segment.couinaud_spread import SPREAD_BOUNDARIES, boundary_shares, half_widths
from livervol.segment.couinaud_typical import shape_descriptors, shape_distance
from livervol.segment.model import CARD, ModelCard, find_model, predict

__all__ = [
    "MODEL",
    "SEGMENT_NAMES",
    "SPREAD_BOUNDARIES",
    "CouinaudResult",
    "ShapeReading",
    "boundary_shares",
    "read_shape",
    "segment_couinaud",
]

MODEL = "couinaud_shape_v2"

SEGMENT_NAMES = {n: f"segment {roman}" for n, roman in enumerate(("I", "II", "III", "IV", "V", "VI", "VII", "VIII"), 1)}

#: Segments V to VIII hold 49 to 82 % of the liver (Abdalla 2004); outside, sides may be swapped or a lobe absent.
RIGHT_SHARE = (0.45, 0.85)

#: Room round the liver that its blurred occupancy needs: four sigma of 0.35 box voxels, at most 6 mm, plus two voxels.
_ROOM_MM = 20.0


@dataclass(frozen=True, eq=False)
class CouinaudResult:
    """``segmentation`` on the liver's grid, values 1..8; ``warnings``; and how sure the answer is.

    ``expected_ml``      volumes of I..VIII from the probabilities, without landmarks, ml.
    ``confidence``       mean probability of the most probable segment over the liver.
    ``half_widths_ml``   shape (causes, 8, 8): how far the volume between segments s and t may move by each cause, half
                         width of a 95 % interval, ml; causes err independently (``couinaud_spread.half_widths``).
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


@dataclass(frozen=True, eq=False)
class ShapeReading:
    """What the network says on its box: ``logits`` and ``probabilities`` (z, y, x, 8), ``occupancy`` (z, y, x)."""

    box: Grid
    occupancy: NDArray[np.float32]
    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    @property
    def weights(self) -> NDArray[np.float32]:
        """Share of the liver in each voxel of the box, sum 1."""
        share: NDArray[np.float32] = self.occupancy / self.occupancy.sum()
        return share

    @property
    def confidence(self) -> float:
        """Mean probability of the most probable segment over the liver."""
        return float((self.probabilities.max(axis=-1) * self.weights).sum())

    @property
    def mixing(self) -> NDArray[np.float64]:
        """Mean of P(s) P(t) over the liver, shape (8, 8), 0 on the diagonal."""
        inside = self.occupancy > 0
        chances = self.probabilities[inside].astype(np.float64)
        mixing: NDArray[np.float64] = (chances * self.weights[inside].astype(np.float64)[:, None]).T @ chances
        np.fill_diagonal(mixing, 0.0)
        return mixing

    @property
    def descriptors(self) -> NDArray[np.float64]:
        """The shape in numbers (``couinaud_typical.DESCRIPTORS``)."""
        shares = (self.probabilities * self.weights[..., None]).sum(axis=(0, 1, 2), dtype=np.float64)
        return shape_descriptors(self.occupancy, self.box.spacing_mm[0], shares, self.confidence)


def read_shape(liver: Segmentation, card: ModelCard) -> ShapeReading:
    """The network's answer for a liver mask (not empty) on its own box."""
    # a window with room for the blur gives the same numbers as the whole field
    start, stop, _ = _window(liver)
    room = [math.ceil(_ROOM_MM / step) for step in liver.grid.spacing_mm]
    start = [max(0, a - r) for a, r in zip(start, room, strict=True)]
    stop = [min(n, b + r) for b, r, n in zip(stop, room, liver.grid.shape_zyx, strict=True)]
    window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    liver = Segmentation(liver.labels[window], liver.grid.crop(start, stop), liver.names)
    box = box_grid(liver)
    occupancy = box_occupancy(liver, box)
    scores = predict(card, shape_channels(occupancy, box.spacing_mm[0])[None])[0]
    logits = np.ascontiguousarray(scores.transpose(1, 2, 3, 0))
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return ShapeReading(box, occupancy, logits, powers / powers.sum(axis=-1, keepdims=True))


def segment_couinaud(
    liver: Segmentation,
    landmarks: Landmarks | None = None,
    *,
    card: ModelCard | None = None,
    reading: ShapeReading | None = None,
) -> CouinaudResult:
    """Couinaud segments I to VIII of a liver mask, on the mask's own grid.

    A small network reads the mask's shape on a 4 mm box (``models/couinaud_shape_v2``); its scores are interpolated
    to the mask's voxels. ``reading`` is the network's answer where it is known already, so that moving a landmark
    costs no new one. ``landmarks`` move the boundaries they lie on; the half widths stay those of
    the shape alone (too wide rather than too narrow). Raises ``ScanError`` for an empty mask, ``ModelError`` when the
    model is damaged or its runtime is missing. Boundaries from shape alone are schematic; displaced scissurae (atrophy,
    hypertrophy) need vessels or landmarks.
    """
    mask: NDArray[Any] = (liver.labels != 0).view(np.uint8)
    if not mask.any():
        raise ScanError(refusal("liver mask is empty", expected="liver voxels", got="none", do="Check the mask."))
    card = card or find_model(MODEL)
    extras = _extras(card)
    reading = reading or read_shape(liver, card)
    start, stop, place = _window(liver)
    window = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    inner = np.ascontiguousarray(mask[window])
    matrix = (np.linalg.inv(reading.box.matrix) @ place.matrix)[:3]
    labels = argmax_trilinear(reading.logits, matrix, inner)
    liver_ml = float(np.count_nonzero(inner)) * liver.grid.voxel_ml
    expected = sum_probabilities(reading.probabilities, matrix, inner) * liver.grid.voxel_ml
    made_by, warnings = f"{card.name} (shape)", _doubts(labels, reading, extras)
    if landmarks is not None and landmarks.points:
        allowed, doubts = allowed_segments(labels, place, landmarks)
        labels = argmax_allowed(reading.logits, matrix, allowed)
        made_by = f"{card.name} (shape and landmarks: {', '.join(landmarks.points)})"
        warnings += doubts
    whole = np.zeros(mask.shape, np.uint8)
    whole[window] = labels
    return CouinaudResult(
        segmentation=Segmentation(whole, liver.grid, SEGMENT_NAMES, made_by=made_by),
        expected_ml=tuple(float(v) for v in expected),
        confidence=reading.confidence,
        warnings=warnings,
        half_widths_ml=half_widths(reading.mixing, extras.scales, extras.together) * liver_ml,
        interval_floor=extras.floor,
        interval_method=extras.method,
    )


def _window(liver: Segmentation) -> tuple[list[int], list[int], Grid]:
    start, stop = [], []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        used = np.flatnonzero(liver.labels.any(axis=others))
        start.append(int(used[0]))
        stop.append(int(used[-1]) + 1)
    return start, stop, liver.grid.crop(start, stop)


@dataclass(frozen=True, eq=False)
class _Extras:
    """What a card holds beside the weights: the boundaries' spread, what shapes are typical, and the least mean
    probability of the chosen segment."""

    scales: NDArray[np.float64]
    together: float
    floor: float
    method: str
    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    limit: float
    least_sure: float


@lru_cache(maxsize=4)
def _extras(card: ModelCard) -> _Extras:
    values = tomllib.loads((card.folder / CARD).read_text(encoding="utf-8"))
    try:
        spread, typical = values["spread"], values["typical"]
        path = card.folder / typical["file"]
        found = sha256_of(path) if path.is_file() else "no file"
        if found != typical["sha256"]:
            raise ModelError(
                refusal(
                    "typical shapes are not the released ones",
                    expected=f"sha256 {typical['sha256'][:12]}",
                    got=found[:12],
                    where=str(path),
                    do="Install livervol again.",
                )
            )
        with np.load(path) as arrays:
            mean, precision = arrays["mean"], arrays["precision"]
        scales = np.array([float(spread[name]) for name in SPREAD_BOUNDARIES])
        return _Extras(
            scales,
            float(spread["together"]),
            float(spread["floor"]),
            str(spread["method"]),
            mean,
            precision,
            float(typical["limit"]),
            float(typical["least_sure"]),
        )
    except (KeyError, TypeError) as error:
        raise ModelError(
            refusal(
                "model card is incomplete",
                expected=f"[spread] with {', '.join(SPREAD_BOUNDARIES)}, together, floor, method; [typical] file, "
                "sha256, limit, least_sure",
                got=f"no {error}",
                where=str(card.folder / CARD),
                do="Install livervol again.",
            )
        ) from error


def _doubts(labels: NDArray[np.uint8], reading: ShapeReading, extras: _Extras) -> tuple[str, ...]:
    """Sentences for a reader when the shape is unlike those the network was fitted on."""
    counts = np.zeros(9, np.int64)
    found = label_counts(labels)
    counts[: len(found)] = found
    counts = counts[1:]
    doubts = []
    distance, most = shape_distance(reading.descriptors, extras.mean, extras.precision)
    if distance > extras.limit:
        doubts.append(
            f"Couinaud segments: the liver's shape is unusual (distance {distance:.1f} from typical livers, at most "
            f"{extras.limit:.1f} expected; most of all {most.replace('_', ' ')}). A mirrored image, situs inversus, an "
            "earlier resection, a very large tumour or a faulty mask would explain it: check the segments before using "
            "a remnant volume."
        )
    elif reading.confidence < extras.least_sure:
        doubts.append(
            f"Couinaud segments: the liver's shape is unusual (mean probability of the chosen segment "
            f"{reading.confidence:.3f}, at least {extras.least_sure:.3f} expected). An earlier resection or a faulty "
            "mask would explain it: check the segments before using a remnant volume."
        )
    right = float(counts[4:8].sum() / counts.sum())
    low, high = RIGHT_SHARE
    if not low <= right <= high:
        doubts.append(
            f"Couinaud segments: V to VIII hold {100 * right:.0f} % of the liver, usually {100 * low:.0f} to "
            f"{100 * high:.0f} %; resection, atrophy or a mirrored image would explain it."
        )
    return tuple(doubts)
