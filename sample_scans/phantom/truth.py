"""What is true of the phantom: volumes, diameters and categories, in closed form or to a stated tolerance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .lesions import COURSE_LESIONS, LesionShape
from .liver import LIVER_BOX, liver_depth
from .shapes import Ellipsoid

__all__ = [
    "GAP_LIMIT",
    "category",
    "gap_limit_mm",
    "lesion_truth",
    "liver_volume_ml",
    "visit_truth",
    "volume_ml",
]

Array = NDArray[np.float64]

#: Gap limit of the viable diameter: 2 mm or a tenth of the segment, whichever is larger, at most 5 mm.
GAP_LIMIT = {"least": 2.0, "share": 0.1, "most": 5.0}


def gap_limit_mm(length_mm: float) -> float:
    """Longest run of necrosis that a viable diameter of this length may cross, in mm."""
    return min(max(GAP_LIMIT["least"], GAP_LIMIT["share"] * length_mm), GAP_LIMIT["most"])


def volume_ml(shape: Ellipsoid) -> float:
    """Volume of an ellipsoid in ml: 4/3 pi a b c."""
    a, b, c = shape.radii
    return 4.0 / 3.0 * math.pi * a * b * c / 1000.0


@cache
def liver_volume_ml(step_mm: float = 1.2) -> float:
    """Volume of the liver in ml by counting the points of a grid of ``step_mm`` inside it.

    Steps of 1.5, 1.2, 1.0, 0.8 and 0.6 mm give 1583.7, 1583.8, 1583.5, 1583.8 and 1583.8 ml.
    """
    low, high = LIVER_BOX
    x, y, z = (np.arange(a + 0.37 * step_mm, b, step_mm) for a, b in zip(low, high, strict=True))
    inside = 0
    for first in range(0, len(z), 24):
        slab = z[first : first + 24][:, None, None]
        inside += int(np.count_nonzero(liver_depth(x[None, None, :], y[None, :, None], slab) > 0))
    return inside * step_mm**3 / 1000.0


@dataclass(frozen=True)
class Chord:
    """A straight in-plane segment: length, its plane's z and its angle from x, all in mm and degrees."""

    length_mm: float
    z_mm: float
    angle_degrees: float


def _crossing(shape: Ellipsoid, z: Array, cos: Array, sin: Array, away: Array) -> tuple[Array, Array]:
    """Where lines in axial planes enter and leave an ellipsoid turned about z only (NaN where they miss).

    A line has direction (cos, sin), passes ``away`` mm from the origin to its left; distances are along it.
    """
    a, b, c = shape.radii
    turn = math.radians(shape.turn[2])
    left = 1.0 - ((z - shape.centre[2]) / c) ** 2
    px, py = -sin * away - shape.centre[0], cos * away - shape.centre[1]
    u0, v0 = math.cos(turn) * px + math.sin(turn) * py, -math.sin(turn) * px + math.cos(turn) * py
    du, dv = math.cos(turn) * cos + math.sin(turn) * sin, -math.sin(turn) * cos + math.cos(turn) * sin
    qa = (du / a) ** 2 + (dv / b) ** 2
    qb = u0 * du / a**2 + v0 * dv / b**2
    qc = (u0 / a) ** 2 + (v0 / b) ** 2 - left
    inside = qb * qb - qa * qc
    root = np.sqrt(np.where(inside > 0, inside, np.nan))
    return (-qb - root) / qa, (-qb + root) / qa


def _longest_on_lines(lesion: LesionShape, z: Array, angle: Array, away: Array) -> Array:
    """Longest viable segment on each line of an array of lines, mm: at most one necrotic core is crossed."""
    cos, sin = np.cos(angle), np.sin(angle)
    if lesion.nodules:
        start, stop = _crossing(lesion.nodules[0], z, cos, sin, away)
        return np.nan_to_num(stop - start, nan=0.0)
    start, stop = _crossing(lesion.outer, z, cos, sin, away)
    whole = np.nan_to_num(stop - start, nan=0.0)
    if not lesion.cores:
        return whole
    enter, leave = _crossing(lesion.cores[0], z, cos, sin, away)
    gap = np.nan_to_num(leave - enter, nan=0.0)
    limit = np.clip(GAP_LIMIT["share"] * whole, GAP_LIMIT["least"], GAP_LIMIT["most"])
    parts = np.maximum(np.nan_to_num(enter - start, nan=0.0), np.nan_to_num(stop - leave, nan=0.0))
    return np.where(gap <= limit, whole, parts)


def longest_viable(lesion: LesionShape, plane_z: float | None = None, angle: float | None = None) -> Chord:
    """Longest in-plane viable segment in mm over all axial planes, by a search over lines refined to under 0.01 mm.

    ``plane_z`` and ``angle`` (radians) hold the plane or direction fixed, as the perpendicular needs. The lesion has at
    most one core or one nodule.
    """
    assert len(lesion.cores) <= 1
    assert len(lesion.nodules) <= 1
    cx, cy, cz = lesion.outer.centre
    reach = max(lesion.outer.radii)
    centre_away = 0.0
    middle = [cz if plane_z is None else plane_z, math.pi / 2 if angle is None else angle, centre_away]
    half = [0.0 if plane_z is not None else reach, 0.0 if angle is not None else math.pi / 2, reach]
    best = Chord(0.0, middle[0], math.degrees(middle[1]))
    for _ in range(9):
        z, turn, away = np.meshgrid(
            *(np.linspace(m - h, m + h, 41 if h else 1) for m, h in zip(middle, half, strict=True)), indexing="ij"
        )
        # lines are placed by their distance from the lesion's own centre
        offset = away - np.sin(turn) * cx + np.cos(turn) * cy
        lengths = _longest_on_lines(lesion, z, turn, offset)
        k = int(np.argmax(lengths))
        if lengths.flat[k] >= best.length_mm:
            best = Chord(float(lengths.flat[k]), float(z.flat[k]), math.degrees(float(turn.flat[k])))
            middle = [float(z.flat[k]), float(turn.flat[k]), float(away.flat[k])]
        half = [0.3 * h for h in half]
    return best


def lesion_truth(lesion: LesionShape, shift_lps_mm: tuple[float, float, float]) -> dict[str, object]:
    """Every number of one lesion, keyed as in measurements.json."""
    a, b, c = lesion.outer.radii
    whole = volume_ml(lesion.outer)
    if lesion.nodules:
        viable = sum(volume_ml(nodule) for nodule in lesion.nodules)
    else:
        viable = whole - sum(volume_ml(core) for core in lesion.cores)
    chord = longest_viable(lesion)
    across = longest_viable(lesion, chord.z_mm, math.radians(chord.angle_degrees) + math.pi / 2)
    centre = [round(p + s, 4) for p, s in zip(lesion.outer.centre, shift_lps_mm, strict=True)]
    return {
        "number": lesion.number,
        "role": lesion.role,
        "site": "liver",
        "state": "measured",
        "centre_lps_mm": centre,
        "volume_ml": round(whole, 4),
        "longest_mm": round(2.0 * max(a, b), 3),
        "short_axis_mm": round(2.0 * min(a, b), 3),
        "diameter_3d_mm": round(2.0 * max(a, b, c), 3),
        "viable_volume_ml": round(viable, 4),
        "viable_longest_mm": round(chord.length_mm, 2),
        "viable_perpendicular_mm": round(across.length_mm, 2),
        "viable_plane_z_mm": round(chord.z_mm + shift_lps_mm[2], 2),
        "necrosis_percent": round(100.0 * (1.0 - viable / whole), 3),
    }


def category(total: float, baseline: float, nadir: float, floor_mm: float) -> str:
    """CR, PR, SD or PD of the targets from sums in mm; progression is judged first, thresholds count as reached."""
    if total == 0.0:
        return "CR"
    if total >= 1.2 * nadir - 1e-6 and total - nadir >= floor_mm - 1e-6:
        return "PD"
    return "PR" if total <= 0.7 * baseline + 1e-6 else "SD"


def response_truth(sums: list[float], new: list[bool], floor_mm: float) -> list[dict[str, object]]:
    """Per follow-up visit the target and overall category with its arithmetic; a new lesion is progression."""
    rows: list[dict[str, object]] = []
    for n in range(1, len(sums)):
        nadir = min(sums[:n])
        target = category(sums[n], sums[0], nadir, floor_mm)
        rows.append(
            {
                "visit": n + 1,
                "sum_mm": round(sums[n], 2),
                "baseline_sum_mm": round(sums[0], 2),
                "nadir_sum_mm": round(nadir, 2),
                "change_from_baseline_percent": round(100.0 * (sums[n] / sums[0] - 1.0), 2),
                "change_from_nadir_percent": round(100.0 * (sums[n] / nadir - 1.0), 2),
                "target": target,
                "new_lesion": new[n],
                "overall": "PD" if new[n] else target,
            }
        )
    return rows


def visit_truth(number: int, shift_lps_mm: tuple[float, float, float]) -> dict[str, object]:
    """Every number of one visit, keyed as in measurements.json."""
    lesions = [lesion_truth(lesion, shift_lps_mm) for lesion in COURSE_LESIONS[number]]
    liver = liver_volume_ml()

    def total(key: str, role: str = "") -> float:
        return sum(float(str(row[key])) for row in lesions if not role or row["role"] == role)

    tumour, viable = total("volume_ml"), total("viable_volume_ml")
    return {
        "liver": {"volume_ml": round(liver, 1), "functional_volume_ml": round(liver - tumour, 1)},
        "tumor": {
            "volume_ml": round(tumour, 3),
            "viable_volume_ml": round(viable, 3),
            "necrosis_percent": round(100.0 * (1.0 - viable / tumour), 2),
        },
        "lesions": lesions,
        "sum_longest_mm": round(total("longest_mm", "target"), 2),
        "sum_viable_longest_mm": round(total("viable_longest_mm", "target"), 2),
    }
