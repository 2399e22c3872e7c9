"""Portal and hepatic venous trees: named main branches, twigs grown from them by a fixed rule, and their landmarks."""

from __future__ import annotations

import math

import numpy as np

from .shapes import Array, Point, Tube, bezier

__all__ = ["HEPATIC_MAIN", "HEPATIC_TWIGS", "LANDMARKS", "PORTAL_FEEDERS", "PORTAL_MAIN", "PORTAL_TWIGS", "landmarks"]

_BIFURCATION: Point = (-19.0, -12.0, 0.0)
_RIGHT_FORK: Point = (-40.0, -8.0, 6.0)
_UMBILICAL: Point = (9.0, -36.0, 26.0)
_CONFLUENCE: Point = (-20.0, 8.0, 70.0)

#: Veins that join into the portal trunk: superior mesenteric and splenic, then the trunk itself.
PORTAL_FEEDERS = (
    Tube(((-4.0, -14.0, -130.0), (-2.0, -14.0, -70.0), (0.0, -12.0, -24.0)), (5.0, 5.5, 6.0)),
    bezier(((0.0, -12.0, -24.0), (24.0, -10.0, -12.0), (50.0, 14.0, -4.0), (76.0, 34.0, 8.0)), (5.0, 3.5), 6),
    bezier(((0.0, -12.0, -24.0), (-8.0, -12.0, -12.0), _BIFURCATION), (6.8, 6.5), 4),
)

PORTAL_MAIN = {
    "right": bezier((_BIFURCATION, (-30.0, -12.0, 2.0), _RIGHT_FORK), (5.6, 5.0), 4),
    "right_anterior": bezier((_RIGHT_FORK, (-58.0, -18.0, 10.0), (-66.0, -28.0, 22.0)), (4.2, 3.6), 4),
    "segment_8": bezier(((-66.0, -28.0, 22.0), (-74.0, -34.0, 38.0), (-70.0, -26.0, 62.0)), (3.4, 2.0), 5),
    "segment_5": bezier(((-62.0, -24.0, 15.0), (-76.0, -42.0, -4.0), (-84.0, -44.0, -34.0)), (3.2, 1.8), 5),
    "right_posterior": bezier((_RIGHT_FORK, (-56.0, 8.0, 4.0), (-66.0, 26.0, 8.0)), (4.2, 3.5), 4),
    "segment_7": bezier(((-66.0, 26.0, 8.0), (-84.0, 42.0, 20.0), (-82.0, 40.0, 48.0)), (3.2, 1.8), 5),
    "segment_6": bezier(((-64.0, 22.0, 7.0), (-88.0, 30.0, -8.0), (-100.0, 22.0, -46.0)), (3.2, 1.8), 5),
    "left": bezier((_BIFURCATION, (-10.0, -22.0, 16.0), (2.0, -30.0, 24.0), _UMBILICAL), (5.0, 4.4), 5),
    "segment_2": bezier((_UMBILICAL, (26.0, -36.0, 42.0), (56.0, -44.0, 50.0)), (3.0, 1.6), 5),
    "segment_3": bezier((_UMBILICAL, (22.0, -54.0, 24.0), (46.0, -62.0, 26.0)), (3.0, 1.6), 5),
    "segment_4": bezier((_UMBILICAL, (2.0, -56.0, 26.0), (-18.0, -66.0, 28.0)), (3.0, 1.6), 5),
    "caudate": bezier((_BIFURCATION, (-16.0, -4.0, 10.0), (-12.0, 2.0, 32.0)), (2.0, 1.4), 4),
}

HEPATIC_MAIN = {
    "right": bezier((_CONFLUENCE, (-62.0, 30.0, 62.0), (-84.0, 14.0, 16.0), (-104.0, 4.0, -34.0)), (5.4, 2.0), 8),
    "middle": bezier((_CONFLUENCE, (-34.0, -18.0, 64.0), (-40.0, -36.0, 30.0), (-56.0, -48.0, 2.0)), (4.8, 1.9), 7),
    "left": bezier((_CONFLUENCE, (-4.0, -18.0, 70.0), (26.0, -46.0, 52.0), (58.0, -54.0, 34.0)), (4.6, 1.7), 7),
    "inferior_right": bezier(((-26.0, 22.0, 14.0), (-48.0, 38.0, 12.0), (-74.0, 52.0, -2.0)), (2.6, 1.5), 4),
}

#: Points a Couinaud division starts from, in LPS mm of the phantom.
LANDMARKS: dict[str, Point | tuple[Point, ...]] = {
    "caval_confluence": _CONFLUENCE,
    "portal_bifurcation": _BIFURCATION,
    "right_portal_fork": _RIGHT_FORK,
    "umbilical_portion": _UMBILICAL,
    "gallbladder": (-50.0, -50.0, -38.0),
    "ligamentum_teres": (13.0, -64.0, 2.0),
    "right_hepatic_vein": HEPATIC_MAIN["right"].points,
    "middle_hepatic_vein": HEPATIC_MAIN["middle"].points,
    "left_hepatic_vein": HEPATIC_MAIN["left"].points,
}

_GOLDEN_ANGLE = math.radians(137.507764)


def _twigs(tube: Tube, first: int, length_mm: float, reach: float = 1.0) -> list[Tube]:
    """Two side branches at every inner point, turned by the golden angle from one to the next."""
    points, radii = np.asarray(tube.points), tube.radii
    grown = []
    for k in range(1, len(points)):
        along = points[k] - points[k - 1]
        along = along / math.sqrt(float(along @ along))
        helper = np.array([0.0, 0.0, 1.0]) if abs(along[2]) < 0.8 else np.array([0.0, 1.0, 0.0])
        side = np.cross(along, helper)
        side = side / math.sqrt(float(side @ side))
        up = np.cross(along, side)
        for half in (0, 1):
            angle = _GOLDEN_ANGLE * (first + k) + math.pi * half
            away = math.cos(angle) * side + math.sin(angle) * up
            length = length_mm * (1.0 - 0.05 * k) * (1.0 if half else 0.8)
            bend = points[k] + length * (0.55 * away + 0.25 * along)
            tip = points[k] + length * (0.8 * away + 0.75 * along)
            width = min(0.62 * radii[k], 2.2)
            control = [tuple(p.tolist()) for p in (points[k], bend, tip)]
            grown.append(bezier(control, (width, 0.8 * reach), 3))
    return grown


def _all_twigs(mains: dict[str, Tube], skip: tuple[str, ...], length_mm: float) -> tuple[Tube, ...]:
    grown: list[Tube] = []
    for number, (name, tube) in enumerate(mains.items()):
        if name not in skip:
            grown += _twigs(tube, 5 * number, length_mm)
    return tuple(grown)


PORTAL_TWIGS = _all_twigs(PORTAL_MAIN, ("right", "left", "caudate"), 30.0)
HEPATIC_TWIGS = _all_twigs(HEPATIC_MAIN, ("inferior_right",), 34.0)


def landmarks(shift_lps_mm: Array) -> dict[str, list[float] | list[list[float]]]:
    """The landmarks moved with the patient, as plain lists of LPS mm."""
    return {name: (np.asarray(points) + shift_lps_mm).round(4).tolist() for name, points in LANDMARKS.items()}
