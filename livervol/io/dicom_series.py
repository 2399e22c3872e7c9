"""From files to stacks: telling scouts from volumes and parting a series into its phases."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from livervol.errors import ScanError, refusal
from livervol.grid import SHEAR_TOLERANCE
from livervol.io.dicom_geometry import MIN_SLICES, SAME_POSITION_MM, Vector, heights_mm, named, normal_of, where
from livervol.io.dicom_header import Slice

__all__ = ["distinct_positions", "is_three_plane", "main_orientation", "split_phases"]

#: Largest difference between two direction cosines of one orientation; writers round to 1e-4 and coarser, and 1e-3
#: moves the far corner of a 350 mm field by a third of a millimetre, under half a pixel.
ORIENTATION_TOLERANCE = 1e-3


def _same_orientation(a: Sequence[float], b: Sequence[float]) -> bool:
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) <= ORIENTATION_TOLERANCE


def _finite(values: Sequence[float] | None) -> bool:
    return values is not None and all(math.isfinite(v) for v in values)


def _clusters(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices by orientation, largest cluster first; those without one are left out."""
    clusters: list[list[Slice]] = []
    for piece in slices:
        if piece.orientation is None:
            continue
        for cluster in clusters:
            if _same_orientation(cluster[0].orientation or (), piece.orientation):
                cluster.append(piece)
                break
        else:
            clusters.append([piece])
    return sorted(clusters, key=len, reverse=True)


def distinct_positions(slices: Sequence[Slice]) -> int:
    """How many different slice positions the most common orientation of a series holds."""
    clusters = _clusters(slices)
    if not clusters:
        return 0
    normal = normal_of(clusters[0][0].orientation)
    heights = sorted(heights_mm(clusters[0], normal))
    return len(heights) and 1 + sum(b - a > SAME_POSITION_MM for a, b in pairwise(heights))


def is_three_plane(slices: Sequence[Slice]) -> bool:
    """Whether a series is a three-plane scout: three orientations at right angles, none much larger than another."""
    clusters = _clusters(slices)
    if len(clusters) != 3 or len(clusters[0]) > 2 * len(clusters[2]):
        return False
    normals = [normal_of(cluster[0].orientation) for cluster in clusters]
    return all(abs(float(np.dot(normals[i], normals[j]))) < 0.2 for i, j in ((0, 1), (0, 2), (1, 2)))


def main_orientation(slices: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """The slices of the main orientation, and a warning for scouts left out: few slices at a steep angle to the rest.

    Raises ``ScanError`` when slices lack position or orientation, when axes are not at right angles, or when
    orientations are mixed otherwise.
    """
    bare = [s for s in slices if not _finite(s.position_mm) or not _finite(s.orientation)]
    if bare:
        raise ScanError(
            refusal(
                "slice has no place in the patient",
                expected="ImagePositionPatient and ImageOrientationPatient in every slice",
                got=f"{len(bare)} of {len(slices)} without, or with numbers that are not finite",
                where=where(slices, extra=named(bare[0])),
                do="Export the original series, not pictures of it.",
            )
        )
    clusters = _clusters(slices)
    for piece in (cluster[0] for cluster in clusters):
        _check_axes(piece)
    main, strays = clusters[0], [s for cluster in clusters[1:] for s in cluster]
    if not strays:
        return main, []
    normal = normal_of(main[0].orientation)
    steep = all(abs(float(np.dot(normal_of(s.orientation), normal))) < math.cos(math.radians(45)) for s in strays)
    if len(main) >= MIN_SLICES and len(strays) <= max(1, len(main) // 10) and steep:
        noun = "slice" if len(strays) == 1 else "slices"
        return main, [f"{len(strays)} {noun} at an angle to the others left out ({where(slices)})"]
    counts = ", ".join(str(len(cluster)) for cluster in clusters[:5])
    raise ScanError(
        refusal(
            "slice orientations are mixed",
            expected="one orientation",
            got=f"{len(clusters)} orientations with {counts} slices",
            where=where(slices, extra=f"first other orientation at {named(strays[0])}"),
            do="Export each stack as a series of its own.",
        )
    )


def _check_axes(piece: Slice) -> None:
    axes = np.asarray(piece.orientation, float).reshape(2, 3)
    lengths, cosine = np.linalg.norm(axes, axis=1), abs(float(axes[0] @ axes[1]))
    if np.abs(lengths - 1).max() > ORIENTATION_TOLERANCE or cosine > SHEAR_TOLERANCE:
        shown = "\\".join(f"{v:.4g}" for v in piece.orientation or ())
        raise ScanError(
            refusal(
                "slice orientation is not a pair of axes",
                expected="two unit vectors at right angles",
                got=shown,
                where=where([piece], extra=named(piece)),
                do="Export the series again.",
            )
        )


def _repeats(slices: Sequence[Slice], normal: Vector) -> int:
    """How many slices lie at a position that another slice already holds."""
    heights = sorted(heights_mm(slices, normal))
    return sum(b - a <= SAME_POSITION_MM for a, b in pairwise(heights))


def split_phases(slices: Sequence[Slice]) -> list[list[Slice]]:
    """A series parted into its phases, echoes or stacks; one part when no position repeats.

    Different ``StackID`` always part. Otherwise, while positions repeat, the series is parted by the first header value
    (order of ``Slice.keys``: acquisition number, temporal position, echo, b-value, image type, …) that lessens the
    repeats and leaves at least two slices per part on average. Repeats that nothing explains stay for the refusal.
    """
    by_stack: dict[str, list[Slice]] = defaultdict(list)
    for piece in slices:
        by_stack[piece.keys.get("StackID", "")].append(piece)
    parts = [part for stack in by_stack.values() for part in _split(stack)]
    return sorted(parts, key=lambda part: min((s.instance, s.file.path.name) for s in part))


def _split(slices: list[Slice]) -> list[list[Slice]]:
    normal = normal_of(slices[0].orientation)
    repeats = _repeats(slices, normal)
    if not repeats:
        return [slices]
    for key in slices[0].keys:
        parts: dict[str, list[Slice]] = defaultdict(list)
        for piece in slices:
            parts[piece.keys.get(key, "")].append(piece)
        if len(parts) < 2 or 2 * len(parts) > len(slices):
            continue
        if sum(_repeats(part, normal) for part in parts.values()) < repeats:
            return [smaller for part in parts.values() for smaller in _split(part)]
    return [slices]
