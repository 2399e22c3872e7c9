"""From slices to a straight stack: sorting by position along the normal and refusing every broken geometry."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livervol.errors import ScanError, refusal
from livervol.grid import SHEAR_TOLERANCE, Grid
from livervol.io.dicom_header import Slice, series_label, uid_end

__all__ = ["MIN_SLICES", "SAME_POSITION_MM", "Stack", "Vector", "heights_mm", "named", "normal_of", "stack_of", "where"]

#: Two gaps are the least that can agree on a spacing.
MIN_SLICES = 3

#: Two slices closer than this lie at one position: spacings are above 0.3 mm, rounding below 0.01 mm.
SAME_POSITION_MM = 0.02

#: Positions written with one decimal make a gap wrong by up to 0.05 mm; wider slices get one percent.
GAP_TOLERANCE_MM = 0.06
GAP_TOLERANCE_FRACTION = 0.01

#: In-plane drift below this is rounding of the positions, whatever the angle it makes over a short stack.
DRIFT_TOLERANCE_MM = 0.05

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Stack:
    """A volume to be: ``slices`` sorted along the normal, ``grid`` of the array as stored, ``warnings``."""

    slices: tuple[Slice, ...]
    grid: Grid
    warnings: tuple[str, ...] = ()


def where(slices: Sequence[Slice], *, extra: str = "") -> str:
    """The series, and what ``extra`` adds, for a refusal."""
    label = series_label(slices[0].file.series_uid)
    return f"{label}, {extra}" if extra else label


def named(piece: Slice) -> str:
    """How a user finds a slice: its frame, its instance number or its file."""
    if piece.file.frames > 1:
        return f"frame {piece.frame + 1}"
    return f"instance {piece.instance}" if piece.instance else f"file {piece.file.path.name}"


def normal_of(orientation: Sequence[float] | None) -> Vector:
    """Slice normal: row cosines times column cosines, toward growing slice positions."""
    axes = np.asarray(orientation, dtype=np.float64)
    normal: Vector = np.cross(axes[:3], axes[3:])
    return normal


def heights_mm(slices: Sequence[Slice], normal: Vector) -> list[float]:
    """Slice positions along the normal, in mm; slices without a position are left out."""
    return [float(np.dot(np.asarray(s.position_mm), normal)) for s in slices if s.position_mm is not None]


def _same(slices: Sequence[Slice], rule: str, value: Callable[[Slice], Hashable], show: Callable[[Slice], str]) -> None:
    """Refuse unless ``value`` is the same in every slice."""
    counts = Counter(value(s) for s in slices)
    if len(counts) == 1:
        return
    usual = counts.most_common(1)[0][0]
    expected = next(s for s in slices if value(s) == usual)
    other = next(s for s in slices if value(s) != usual)
    raise ScanError(
        refusal(
            rule,
            expected=f"{show(expected)} in every slice",
            got=show(other),
            where=where(slices, extra=named(other)),
            do="Export each stack as a series of its own.",
        )
    )


def _check_alike(slices: Sequence[Slice]) -> None:
    def shown_spacing(piece: Slice) -> str:
        if piece.spacing_mm is None:
            return "none"
        return "x".join(f"{v:.6g}" for v in piece.spacing_mm) + " mm"

    for piece in slices:
        if piece.spacing_mm is None or not all(math.isfinite(v) and v > 0 for v in piece.spacing_mm):
            raise ScanError(
                refusal(
                    "pixel spacing is missing or zero",
                    expected="two spacings above 0 mm",
                    got=shown_spacing(piece),
                    where=where(slices, extra=named(piece)),
                    do="Export the series again.",
                )
            )
    matrix = [(s.file.rows, s.file.columns) for s in slices]
    _same(slices, "matrix sizes are mixed", lambda s: (s.file.rows, s.file.columns), lambda s: _size(s))
    if min(matrix[0]) < 1:
        raise ScanError(
            refusal("matrix is empty", expected="rows and columns", got=_size(slices[0]), where=where(slices))
        )
    # rounded to 1e-5: over 512 pixels the field agrees within 0.005 mm
    _same(
        slices,
        "pixel spacings are mixed",
        lambda s: tuple(round(v, 5) for v in s.spacing_mm or ()),
        shown_spacing,
    )
    _same(slices, "frames of reference are mixed", lambda s: s.file.frame_uid, lambda s: _uid_end(s.file.frame_uid))


def _size(piece: Slice) -> str:
    return f"{piece.file.rows}x{piece.file.columns}"


def _uid_end(uid: str | None) -> str:
    return f"UID {uid_end(uid)}" if uid else "none"


def stack_of(slices: Sequence[Slice], warnings: Sequence[str] = ()) -> Stack:
    """The sorted stack and its grid (slices by position along the normal, rows, columns).

    Raises ``ScanError`` for fewer than three positions, repeated positions, uneven gaps, drift in the plane (gantry
    tilt), and mixed or missing matrix or pixel spacing.
    """
    _check_alike(slices)
    orientation = slices[0].orientation or ()
    normal = normal_of(orientation)
    normal /= np.linalg.norm(normal)
    heights = heights_mm(slices, normal)
    order = sorted(range(len(slices)), key=lambda i: (heights[i], slices[i].instance))
    ordered = [slices[i] for i in order]
    along = np.array([heights[i] for i in order])
    _check_repeats(ordered, along)
    if len(ordered) < MIN_SLICES:
        raise ScanError(
            refusal(
                "series is not a volume",
                expected=f"at least {MIN_SLICES} slices at different positions",
                got=str(len(ordered)),
                where=where(ordered),
                do="Give the folder that holds the whole series.",
            )
        )
    _check_drift(ordered, along, normal)
    _check_gaps(ordered, along)
    rows, columns = ordered[0].spacing_mm or (0.0, 0.0)
    matrix = np.eye(4)
    matrix[:3, 0] = normal * (along[-1] - along[0]) / (len(along) - 1)
    matrix[:3, 1] = np.asarray(orientation[3:]) * rows
    matrix[:3, 2] = np.asarray(orientation[:3]) * columns
    matrix[:3, 3] = ordered[0].position_mm
    file = ordered[0].file
    grid = Grid.from_matrix((len(ordered), file.rows, file.columns), matrix, file.frame_uid)
    return Stack(tuple(ordered), grid, tuple(warnings))


def _check_repeats(ordered: Sequence[Slice], along: Vector) -> None:
    twice = np.flatnonzero(np.diff(along) <= SAME_POSITION_MM)
    if not len(twice):
        return
    first = int(twice[0])
    positions = len(along) - len(twice)
    raise ScanError(
        refusal(
            "slice position is not unique",
            expected="one slice at each position",
            got=f"{len(along)} slices at {positions} position{'' if positions == 1 else 's'}",
            where=where(
                ordered,
                extra=f"slices {first + 1} and {first + 2}: {named(ordered[first])} and {named(ordered[first + 1])}",
            ),
            do="Remove the copies, or export each phase as a series of its own.",
        )
    )


def _check_drift(ordered: Sequence[Slice], along: Vector, normal: Vector) -> None:
    positions = np.array([s.position_mm for s in ordered], float)
    from_first = positions - positions[0]
    in_plane = from_first - np.outer(along - along[0], normal)
    drift = np.linalg.norm(in_plane, axis=1)
    extent = float(along[-1] - along[0])
    if drift.max() <= max(DRIFT_TOLERANCE_MM, SHEAR_TOLERANCE * extent):
        return
    line = np.outer((along - along[0]) / extent, in_plane[-1])
    beside = np.linalg.norm(in_plane - line, axis=1)
    if beside.max() > 0.5 * drift.max():
        worst = int(np.argmax(drift))
        raise ScanError(
            refusal(
                "slices are shifted in their plane",
                expected="slices straight above each other",
                got=f"{drift[worst]:.2f} mm sideways",
                where=where(ordered, extra=f"slice {worst + 1}: {named(ordered[worst])}"),
                do="Export the original series, not a reformat with a moving field.",
            )
        )
    degrees = math.degrees(math.atan2(float(drift[-1]), extent))
    raise ScanError(
        refusal(
            "stack is sheared (gantry tilt)",
            expected="slices straight above each other",
            got=f"{degrees:.1f} degrees",
            where=where(ordered),
            do="Correct the gantry tilt first, or export a reformat.",
        )
    )


def _check_gaps(ordered: Sequence[Slice], along: Vector) -> None:
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    tolerance = max(min(GAP_TOLERANCE_MM, 0.1 * usual), GAP_TOLERANCE_FRACTION * usual)
    uneven = np.flatnonzero(np.abs(gaps - usual) > tolerance)
    if not len(uneven):
        return
    first = int(uneven[0])
    listed = ", ".join(f"{gaps[i]:.2f} mm between slices {i + 1} and {i + 2}" for i in uneven[:3])
    more = f" and {len(uneven) - 3} more" if len(uneven) > 3 else ""
    missing = int(sum(max(0, round(float(gaps[i]) / usual) - 1) for i in uneven))
    remedy = f"{missing} slice{'s are' if missing > 1 else ' is'} probably missing; e" if missing else "E"
    raise ScanError(
        refusal(
            "slice spacing is not uniform",
            expected=f"{usual:.2f} mm",
            got=listed + more,
            where=where(ordered, extra=f"{named(ordered[first])} and {named(ordered[first + 1])}"),
            do=f"{remedy}xport the series again.",
        )
    )
