"""The future liver remnant of a resection: its volume, what becomes of the lesions, its margin and its certainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from livervol.errors import CriteriaError, refusal
from livervol.kernels.gaps import LabelRuns, label_runs, least_gaps
from livervol.kernels.tally import label_boxes, label_counts, overlap_counts
from livervol.measure.planes import surround
from livervol.measure.resection import Operation, operation
from livervol.measure.volume import Box
from livervol.scan import Segmentation

__all__ = [
    "Counted",
    "Remnant",
    "SegmentSpread",
    "find_remnants",
    "lesion_gaps",
    "remnants_of",
]

#: Slack when a margin is compared with the wanted one: distances are float32.
_MARGIN_SLACK_MM = 1e-4


@dataclass(frozen=True, eq=False)
class SegmentSpread:
    """How unsure the boundaries between segments are.

    ``values``          label values, in the order of the arrays' axes.
    ``half_widths_ml``  shape (causes, n, n): half width of the 95 % interval of the volume that each cause may put on
                        the other side between segments s and t, in ml; causes err independently, the pairs of one
                        together.
    ``floor``           least half width, as a share of the liver.
    ``method``          where they come from.
    """

    values: tuple[int, ...]
    half_widths_ml: NDArray[np.float64]
    floor: float
    method: str

    def half_width_ml(self, kept: Sequence[int], liver_ml: float) -> float:
        """Half width of the 95 % interval of the volume of the ``kept`` segments, in ml."""
        stays = np.isin(self.values, list(kept))
        crossing = self.half_widths_ml[:, stays][:, :, ~stays].sum(axis=(1, 2))
        return math.hypot(float(np.linalg.norm(crossing)), self.floor * liver_ml)


@dataclass(frozen=True)
class Remnant:
    """One operation's remnant. Volumes in ml; ``volume_ml`` is tissue: tumour in the remnant is not counted.

    ``total_ml`` TLV, ``tumor_ml`` tumour in the liver. ``cut`` lesions lie on both sides, ``remaining`` wholly in the
    remnant, ``cleared`` wholly in what is removed. ``margin_mm`` is the shortest way from a cut or cleared lesion's
    outer face to the remnant, None when no lesion is touched. ``half_width_ml`` belongs to the 95 % interval of the
    volume, None when the boundaries' spread is unknown. ``removes`` is false when the removed segments hold no voxel.
    """

    operation: Operation
    volume_ml: float
    total_ml: float
    tumor_ml: float
    margin_mm: float | None = None
    cleared: tuple[int, ...] = ()
    cut: tuple[int, ...] = ()
    remaining: tuple[int, ...] = ()
    half_width_ml: float | None = None
    removes: bool = True

    @property
    def functional_ml(self) -> float:
        """TLV minus tumour."""
        return self.total_ml - self.tumor_ml

    @property
    def flr_of_functional_percent(self) -> float:
        """100 FLRV / (TLV - TV), NaN without functional liver."""
        return 100.0 * self.volume_ml / self.functional_ml if self.functional_ml > 0 else math.nan

    def clears(self, margin_mm: float) -> bool:
        """True when every lesion is removed whole, with at least ``margin_mm`` of tissue to the remnant."""
        if self.cut or self.remaining:
            return False
        return self.margin_mm is None or self.margin_mm >= margin_mm - _MARGIN_SLACK_MM


@dataclass(eq=False)
class Counted:
    """What remnants are made of.

    ``values``  segment values that have liver voxels.
    ``joint``   voxels of the liver by segment value (row, 0 for none) and lesion number (column, 0 for none).
    ``gap_mm``  by lesion in the liver, the gap from its outer face to each segment's tissue (``lesion_gaps``).
    """

    values: tuple[int, ...]
    joint: NDArray[np.int64]
    gap_mm: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def liver_voxels(self) -> int:
        """All liver voxels."""
        return int(self.joint.sum())

    @property
    def tumor_voxels(self) -> int:
        """Liver voxels that are lesion."""
        return int(self.joint[:, 1:].sum())


def lesion_gaps(
    runs: LabelRuns, tumor: NDArray[np.bool_], start_zyx: Sequence[int], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Gap in mm from a lesion's outer face to the nearest voxel of each segment, by segment value; infinite if none.

    ``runs`` of the segments in the liver; ``tumor`` the lesion's voxels in the liver, in a box that starts at
    ``start_zyx`` of the runs' grid. Between voxel faces: 0 where they touch.
    """
    framed = surround(np.pad(tumor, 1))
    body = label_runs(framed)
    shift = np.array([start_zyx[0] - 1, start_zyx[1] - 1, start_zyx[2] - 1, start_zyx[2] - 1], np.int32)
    size = int(runs.value.max(initial=0)) + 1
    return least_gaps(runs, LabelRuns(body.place + shift, body.value), spacing_mm, size)


def _liver_box(liver: Segmentation) -> Box:
    boxes = label_boxes((liver.labels != 0).view(np.uint8))
    if len(boxes) < 2:
        raise CriteriaError(refusal("liver mask is empty", expected="liver voxels", got="none", do="Check the mask."))
    (z0, z1), (y0, y1), (x0, x1) = boxes[1].tolist()
    return (slice(z0, z1), slice(y0, y1), slice(x0, x1))


def _count(liver: Segmentation, segments: Segmentation, lesions: Segmentation | None) -> Counted:
    segments.require_grid(liver.grid)
    box = _liver_box(liver)
    inside = liver.labels[box] != 0
    parts = np.where(inside, segments.labels[box], 0)
    counts = label_counts(parts)
    present = tuple(int(v) for v in np.flatnonzero(counts) if v)
    if lesions is None:
        joint = counts[:, None].copy()
        joint[0, 0] = int(inside.sum()) - int(counts[1:].sum())
        return Counted(present, joint)
    lesions.require_grid(liver.grid)
    tumor = np.where(inside, lesions.labels[box], 0)
    joint = overlap_counts(parts, tumor)
    # liver without a segment and without a lesion, not the box around the liver
    joint[0, 0] = int(inside.sum()) - (int(joint.sum()) - int(joint[0, 0]))
    runs, boxes = label_runs(parts), label_boxes(tumor)
    gaps = {}
    for number in np.flatnonzero(joint.sum(axis=0)):
        if number:
            (z0, z1), (y0, y1), (x0, x1) = boxes[number].tolist()
            own = tumor[z0:z1, y0:y1, x0:x1] == number
            gaps[int(number)] = lesion_gaps(runs, own, (z0, y0, x0), liver.grid.spacing_mm)
    return Counted(present, joint, gaps)


def find_remnants(
    liver: Segmentation,
    segments: Segmentation,
    lesions: Segmentation | None,
    operations: Sequence[Operation | str],
    spread: SegmentSpread | None = None,
) -> tuple[Remnant, ...]:
    """The remnant of each operation: volume in ml, tumour-free margin in mm, lesions cleared, cut and remaining.

    Remnant = liver voxels of the segments that stay, minus tumour in them; liver voxels without a segment count as
    removed. The margin runs between voxel faces: 0 where tumour touches the remnant. A two-part map from
    ``livervol.measure.planes`` with ``Operation(slug, name, (2,))`` gives a plane's or a wedge's remnant. Raises
    ``GridError`` for masks on different grids, ``CriteriaError`` for unknown operations and an empty liver.
    """
    counted = _count(liver, segments, lesions)
    return remnants_of(counted, operations, liver.grid.voxel_ml, spread)


def remnants_of(
    counted: Counted, operations: Sequence[Operation | str], voxel_ml: float, spread: SegmentSpread | None = None
) -> tuple[Remnant, ...]:
    """The remnant of each operation from what was counted, as ``find_remnants`` gives it."""
    chosen = [operation(op) if isinstance(op, str) else op for op in operations]
    return tuple(_remnant(op, counted, voxel_ml, spread) for op in chosen)


def _remnant(op: Operation, counted: Counted, voxel_ml: float, spread: SegmentSpread | None) -> Remnant:
    removed = op.removed_values(counted.values)
    kept = [v for v in counted.values if v not in removed]
    gone = [v for v in counted.values if v in removed]
    total_ml = counted.liver_voxels * voxel_ml
    words: dict[str, list[int]] = {"cleared": [], "cut": [], "remaining": []}
    margins = []
    for number, gap in counted.gap_mm.items():
        staying, going = int(counted.joint[kept, number].sum()), int(counted.joint[gone, number].sum())
        fate = "remaining" if not going else "cut" if staying else "cleared"
        words[fate].append(number)
        if going:
            margins.append(min((float(gap[v]) for v in kept), default=math.inf))
    least = min(margins, default=math.inf)
    return Remnant(
        operation=op,
        volume_ml=int(counted.joint[kept, 0].sum()) * voxel_ml,
        total_ml=total_ml,
        tumor_ml=counted.tumor_voxels * voxel_ml,
        margin_mm=least if math.isfinite(least) else None,
        cleared=tuple(words["cleared"]),
        cut=tuple(words["cut"]),
        remaining=tuple(words["remaining"]),
        half_width_ml=None if spread is None else spread.half_width_ml(kept, total_ml),
        removes=bool(gone),
    )
