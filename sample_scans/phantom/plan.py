"""What is acquired: the dates, grids and patient positions of every sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from livervol.grid import Grid

from .shapes import tilt

__all__ = ["COARSE_GRID", "COURSE_PHASES", "MR_GRID", "OBLIQUE_GRID", "PHASE_STEPS", "VISIT_PLANS", "VisitPlan"]

#: Phases of every CT visit of the course, in the order they are acquired.
COURSE_PHASES = ("native", "late_arterial", "portal_venous")

#: How far the patient lay from the portal venous position in each phase, in subsamples of a voxel along z, y, x
#: (a breath held a little differently): at 3.0 x 2.0 mm one step is 1.5 mm in z and 1.0 mm in-plane.
PHASE_STEPS: Mapping[str, tuple[int, int, int]] = {
    "native": (1, 0, 0),
    "late_arterial": (-1, 1, 0),
    "portal_venous": (0, 0, 0),
    "delayed": (0, 0, 0),
}


def _axial(shape: tuple[int, int, int], spacing: tuple[float, float, float], bottom: float, y_middle: float) -> Grid:
    half_x, half_y = spacing[2] * (shape[2] - 1) / 2.0, spacing[1] * (shape[1] - 1) / 2.0
    return Grid.from_parts(shape, spacing, (round(-half_x, 3), round(y_middle - half_y, 3), bottom))


@dataclass(frozen=True)
class VisitPlan:
    """One visit of the course: ISO date, portal venous grid, where the patient lies (LPS mm) and slice thickness."""

    number: int
    date: str
    grid: Grid
    shift_lps_mm: tuple[float, float, float]


VISIT_PLANS: dict[int, VisitPlan] = {
    1: VisitPlan(1, "2024-03-04", _axial((68, 176, 176), (3.0, 2.0, 2.0), -106.0, 2.0), (0.0, 0.0, 0.0)),
    2: VisitPlan(2, "2024-05-27", _axial((68, 180, 180), (3.0, 1.94, 1.94), -99.5, -3.0), (5.2, -4.4, 6.3)),
    3: VisitPlan(3, "2024-08-19", _axial((69, 172, 172), (3.0, 2.05, 2.05), -114.0, 6.0), (-3.7, 3.1, -5.6)),
}

MR_GRID = _axial((32, 104, 136), (6.6, 2.6, 2.6), -106.0, 2.0)

COARSE_GRID = _axial((34, 96, 96), (6.0, 3.65, 3.65), -102.0, 2.0)


def _oblique() -> Grid:
    shape, spacing = (44, 114, 124), (5.2, 2.7, 3.0)
    directions = tilt(9.0, -6.0, 12.0) @ np.eye(3)[:, ::-1]
    half = (np.asarray(shape) - 1.0) / 2.0 * np.asarray(spacing)
    origin = np.array([0.0, 2.0, -4.0]) - directions @ half
    return Grid.from_parts(shape, spacing, tuple(np.round(origin, 3).tolist()), directions)


OBLIQUE_GRID = _oblique()
