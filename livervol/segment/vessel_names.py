"""The vessel tree in the field's words: which branch is which, what each portal branch feeds, where the veins run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from livervol.grid import Grid
from livervol.kernels.distance import distance_to

__all__ = ["MAIN_NAMES", "VesselBranch", "downstream", "feeding_segments", "named", "nearest_branch"]

PORTAL, HEPATIC = 1, 2

#: Names of main branches; the others carry "portal branch of segment 6", "portal branch" or "hepatic vein branch".
MAIN_NAMES = (
    "portal vein",
    "right portal vein",
    "left portal vein",
    "right anterior portal branch",
    "right posterior portal branch",
    "umbilical portion",
    "right hepatic vein",
    "middle hepatic vein",
    "left hepatic vein",
    "common trunk of hepatic veins",
)
#: Boundary each main hepatic vein runs on (Couinaud 1957).
_VEINS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "right hepatic vein": ((5, 8), (6, 7)),
    "middle hepatic vein": ((2, 3, 4), (5, 6, 7, 8)),
    "left hepatic vein": ((2,), (3,)),
}
#: A vein follows its boundary within this standard deviation (mm); it must follow one for so long.
FOLLOWS_MM, LEAST_VEIN_MM = 12.0, 22.0
#: Shares of what lies downstream from which a branch belongs to one side, and to one segment.
ONE_SIDE, ONE_SEGMENT, BOTH = 0.85, 0.7, 0.12
UMBILICAL_MM = 12.0
_EVERY_MM = 4.0


@dataclass(frozen=True, eq=False)
class VesselBranch:
    """One branch between two joints, points from the root outwards.

    ``number``   from 1; ``parent`` the branch it comes from, 0 at a root.
    ``kind``     1 portal, 2 hepatic vein; ``name`` in words.
    ``points_lps_mm`` shape (n, 3), ``radius_mm`` shape (n,).
    ``confidence`` 0..1: how clearly it belongs to its kind.
    ``territory_percent`` share of the liver by Couinaud segment (of the liver's shape) nearest to this branch or to one
                 that comes from it; empty for hepatic veins.
    """

    number: int
    kind: int
    name: str
    parent: int
    points_lps_mm: NDArray[np.float64]
    radius_mm: NDArray[np.float64]
    confidence: float
    territory_percent: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def length_mm(self) -> float:
        """Length of the centreline."""
        return float(np.linalg.norm(np.diff(self.points_lps_mm, axis=0), axis=1).sum())


def downstream(branches: Sequence[VesselBranch], number: int) -> list[int]:
    """A branch and all that come from it, by number."""
    children: dict[int, list[int]] = {}
    for branch in branches:
        children.setdefault(branch.parent, []).append(branch.number)
    found, stack = [], [number]
    while stack:
        found.append(stack.pop())
        stack += children.get(found[-1], [])
    return found


def nearest_branch(
    branches: Sequence[VesselBranch], points_lps_mm: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Number of the branch whose surface is nearest to each point, shape (n, 3) in mm, and the way to it in mm."""
    nodes = np.vstack([b.points_lps_mm for b in branches])
    radius = np.concatenate([b.radius_mm for b in branches])
    owner = np.concatenate([np.full(len(b.radius_mm), b.number) for b in branches])
    apart, which = cKDTree(nodes).query(points_lps_mm, k=min(8, len(nodes)))
    if apart.ndim == 1:
        apart, which = apart[:, None], which[:, None]
    away = apart - radius[which]
    best = np.argmin(away, axis=1)
    rows = np.arange(len(best))
    return owner[which[rows, best]], away[rows, best]


def named(
    branches: Sequence[VesselBranch], segments: NDArray[np.uint8], grid: Grid
) -> tuple[tuple[VesselBranch, ...], dict[str, tuple[int, ...]]]:
    """The branches with names and territories, and the main branches by name; ``segments`` 1..8 guide the naming.

    A portal branch is named by what lies nearest to it and its descendants: both sides the portal vein, the right side
    the right portal vein until anterior and posterior part, and so on; the umbilical portion is the left branch where
    it runs in the left fissure. A hepatic vein is the course from the confluence that follows its boundary longest.
    """
    fed = _fed(branches, segments, grid)
    ways = _ways(segments, grid)
    names: dict[int, str] = {}
    whole = max(1.0, float(sum(v.sum() for v in fed.values())))
    total = {b.number: _together(fed, branches, b.number) for b in branches if b.kind == PORTAL}
    result = []
    for branch in branches:
        if branch.kind == PORTAL:
            names[branch.number] = _portal_name(branch, total[branch.number], whole, ways["left"])
    names.update(_vein_names(branches, ways))
    for branch in branches:
        percent = {}
        if branch.kind == PORTAL:
            counts = total[branch.number]
            percent = {s: 100.0 * float(counts[s]) / whole for s in range(1, 9) if counts[s] > 0}
        result.append(
            replace(
                branch,
                name=names.get(branch.number, "hepatic vein branch"),
                territory_percent=MappingProxyType(percent),
            )
        )
    main = {name: tuple(b.number for b in result if b.name == name) for name in MAIN_NAMES}
    return tuple(result), {name: numbers for name, numbers in main.items() if numbers}


def _sample(segments: NDArray[np.uint8], grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    steps = [max(1, round(_EVERY_MM / s)) for s in grid.spacing_mm]
    index = np.argwhere(segments[:: steps[0], :: steps[1], :: steps[2]]) * steps
    return grid.index_to_lps(index), segments[tuple(index.T)]


def _fed(branches: Sequence[VesselBranch], segments: NDArray[np.uint8], grid: Grid) -> dict[int, NDArray[np.float64]]:
    """Points of the liver nearest to each portal branch, by segment (index 0 unused)."""
    portal = [b for b in branches if b.kind == PORTAL]
    fed = {b.number: np.zeros(9) for b in portal}
    points, values = _sample(segments, grid)
    if portal and len(points):
        owner, _ = nearest_branch(portal, points)
        for number in fed:
            fed[number] = np.bincount(values[owner == number], minlength=9)[:9].astype(np.float64)
    return fed


def _together(
    fed: Mapping[int, NDArray[np.float64]], branches: Sequence[VesselBranch], number: int
) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.sum([fed[n] for n in downstream(branches, number)], axis=0)
    return total


def _ways(segments: NDArray[np.uint8], grid: Grid) -> dict[str, tuple[Grid, NDArray[np.float32]]]:
    """Distance in mm to each vein's boundary and to the left fissure, as fields; 100 where a side is missing."""

    def way(sides: tuple[tuple[int, ...], tuple[int, ...]]) -> NDArray[np.float32]:
        both = [np.minimum(distance_to(np.isin(segments, side), grid.spacing_mm), 100.0) for side in sides]
        result: NDArray[np.float32] = np.maximum(*both)
        return result

    sides = {**_VEINS, "left": ((4,), (2, 3))}
    return {name: (grid, way(pair)) for name, pair in sides.items()}


def _read(way: tuple[Grid, NDArray[np.float32]], points: NDArray[np.float64]) -> NDArray[np.float64]:
    grid, values = way
    found: NDArray[np.float64] = ndimage.map_coordinates(values, grid.lps_to_index(points).T, order=1, mode="nearest")
    return found.astype(np.float64)


def _portal_name(
    branch: VesselBranch, counts: NDArray[np.float64], whole: float, left: tuple[Grid, NDArray[np.float32]]
) -> str:
    total = max(1.0, counts[1:].sum())
    share = counts / total
    to_left, to_right = share[[2, 3, 4]].sum(), share[5:].sum()
    if to_left > BOTH and to_right > BOTH and total > 0.3 * whole:
        return "portal vein"
    if share.argmax() > 0 and share.max() >= ONE_SEGMENT:
        return f"portal branch of segment {int(share.argmax())}"
    if to_right >= ONE_SIDE:
        front = share[[5, 8]].sum() / to_right
        if front >= ONE_SIDE:
            return "right anterior portal branch"
        if front <= 1.0 - ONE_SIDE:
            return "right posterior portal branch"
        return "right portal vein" if total > 0.15 * whole else "portal branch"
    if to_left >= ONE_SIDE and min(share[4], share[[2, 3]].sum()) > BOTH:
        near = np.median(_read(left, branch.points_lps_mm)) < UMBILICAL_MM
        return "umbilical portion" if near else "left portal vein"
    return "portal branch"


def _vein_names(
    branches: Sequence[VesselBranch], ways: Mapping[str, tuple[Grid, NDArray[np.float32]]]
) -> dict[int, str]:
    veins = {b.number: b for b in branches if b.kind == HEPATIC}
    courses: dict[str, list[int]] = {}
    for name in _VEINS:
        gain = {n: _following(b, ways[name]) for n, b in veins.items()}
        best, end = LEAST_VEIN_MM, 0
        for number in veins:
            course = _course(veins, number)
            score = sum(gain[n] for n in course)
            if score > best:
                best, end = score, number
        if end:
            courses[name] = _course(veins, end)
    names: dict[int, str] = {}
    for number in veins:
        on = [name for name, course in courses.items() if number in course]
        if len(on) == 1:
            names[number] = on[0]
        elif on:
            names[number] = "common trunk of hepatic veins"
    return names


def _following(branch: VesselBranch, way: tuple[Grid, NDArray[np.float32]]) -> float:
    """Length in mm along which the branch follows a boundary, less what it strays from it; wide vessels count more."""
    apart = _read(way, branch.points_lps_mm)
    # on the way from the confluence a vein may be anywhere: straying costs little
    close = np.maximum(np.exp(-0.5 * (apart / FOLLOWS_MM) ** 2) - 0.35, -0.08)
    steps = np.linalg.norm(np.diff(branch.points_lps_mm, axis=0), axis=1)
    width = np.clip(branch.radius_mm / 3.0, 0.3, 1.5)
    return float((steps * 0.5 * (close[1:] * width[1:] + close[:-1] * width[:-1])).sum() / 0.65)


def _course(branches: Mapping[int, VesselBranch], number: int) -> list[int]:
    course = []
    while number in branches:
        course.append(number)
        number = branches[number].parent
    return course[::-1]


def feeding_segments(branches: Sequence[VesselBranch], segments: NDArray[np.uint8], grid: Grid) -> dict[int, int]:
    """Couinaud segment each portal branch feeds (II to VIII), from the root outwards; trunks that feed several: none.

    A branch whose territory, descendants included, lies by ``ONE_SEGMENT`` in one segment of the liver's shape feeds
    that segment with all its descendants; a branch without descendants feeds the segment most of its own lies in.
    """
    fed = _fed(branches, segments, grid)
    children: dict[int, list[int]] = {}
    for branch in branches:
        if branch.kind == PORTAL:
            children.setdefault(branch.parent, []).append(branch.number)
    result: dict[int, int] = {}
    stack = [(n, 0) for n in children.get(0, [])]
    while stack:
        number, given = stack.pop()
        chosen = given
        if not given:
            counts = _together(fed, branches, number)[2:]
            if counts.sum() > 0 and (counts.max() >= ONE_SEGMENT * counts.sum() or not children.get(number)):
                chosen = int(counts.argmax()) + 2
        if chosen:
            result[number] = chosen
        stack += [(n, chosen) for n in children.get(number, [])]
    return result
