"""Portal or hepatic vein: every edge of the vessel graph goes to the root that reaches it most naturally."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livervol.segment.vessel_graph import GAP_MM, Edge, VesselGraph
from livervol.segment.vessel_guide import Guide

__all__ = ["HEPATIC", "PORTAL", "Claim", "prices_of_kinds", "rooted", "split_graph"]

PORTAL, HEPATIC = 1, 2

#: How far a root may lie from where the shape of the liver puts it: standard deviation and most (mm).
ROOT_SD_MM, ROOT_MOST_MM = 13.0, 40.0
#: Price of a path: per mm at 2 mm radius (less in wider vessels), per mm of a bridged gap, of turning back, and of
#: growing wider away from the root.
PER_MM, PER_GAP_MM, PER_TURN, PER_GROWTH = 0.3, 1.5, 30.0, 10.0
#: Price per mm of running where the other kind of vessel usually runs.
PER_MISPLACED_MM = 0.15
#: What was reached over a gap longer than ``GAP_MM`` is no surer than this.
FAR_SURE = 0.3
#: Several hepatic veins join the vena cava apart from each other: price per mm from the root beyond the first 10 mm.
PER_APART_MM, APART_MM = 0.5, 28.0
#: Edges at least so wide (radius, mm) show their brightness; the roots differ clearly from so many scatters on.
WIDE_MM, CLEARLY_APART, LIGHT_WEIGHT = 2.0, 2.0, 2.0


@dataclass(frozen=True)
class Claim:
    """``kind`` of an edge, the vertex it is entered at, the edge before it (-1 at a root), cost, and sureness 0..1."""

    kind: int
    entered_at: int
    parent: int
    cost: float
    confidence: float


def rooted(graph: VesselGraph, guide: Guide) -> tuple[VesselGraph, dict[int, int]]:
    """The graph with a vertex at each root, and the roots by kind; a kind without vessels near its root is left out.

    A root is the widest vessel near where the shape puts it, the portal root low and the hepatic one high.
    """
    level = 0.5 * (guide.portal_root[2] + guide.hepatic_root[2])
    roots: dict[int, int] = {}
    for kind, expected in ((PORTAL, guide.portal_root), (HEPATIC, guide.hepatic_root)):
        best, at = 0.0, (-1, 0)
        for number, edge in enumerate(graph.edges):
            if edge.gap:
                continue
            apart = np.linalg.norm(edge.points - expected, axis=1)
            score = np.minimum(edge.radius_mm, 8.0) * np.exp(-0.5 * (apart / ROOT_SD_MM) ** 2)
            score[(apart > ROOT_MOST_MM) | ((edge.points[:, 2] > level) == (kind == PORTAL))] = 0
            if score.max() > best:
                best, at = float(score.max()), (number, int(np.argmax(score)))
        if best > 0:
            graph, roots[kind] = _with_vertex(graph, *at)
    return graph, roots


def _with_vertex(graph: VesselGraph, number: int, point: int) -> tuple[VesselGraph, int]:
    edge = graph.edges[number]
    if point in (0, len(edge.points) - 1):
        return graph, edge.ends[0 if point == 0 else 1]
    vertex = len(graph.places)
    parts = (
        Edge((edge.ends[0], vertex), edge.points[: point + 1], edge.radius_mm[: point + 1]),
        Edge((vertex, edge.ends[1]), edge.points[point:], edge.radius_mm[point:]),
    )
    edges = (*graph.edges[:number], parts[0], *graph.edges[number + 1 :], parts[1])
    return VesselGraph(np.vstack([graph.places, edge.points[point]]), edges), vertex


def prices_of_kinds(
    graph: VesselGraph, guide: Guide, roots: dict[int, int], brightness: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How unlike a portal and a hepatic vein each edge is, shape (edges, 2), 0 to 1 for the place, more for the light.

    ``brightness`` per edge in scatters of the parenchyma. Where the wide vessels at the two roots differ clearly in
    brightness (an early portal phase), edges wide enough to show it are judged by it.
    """
    prices = np.array([guide.misplaced(edge.points) for edge in graph.edges]).reshape(-1, 2)
    wide = np.array([float(np.median(edge.radius_mm)) >= WIDE_MM and not edge.gap for edge in graph.edges], bool)
    levels = []
    for kind in (PORTAL, HEPATIC):
        if kind not in roots:
            return prices
        apart = np.array([np.linalg.norm(e.points - graph.places[roots[kind]], axis=1).min() for e in graph.edges])
        near = wide & (apart < 25.0)
        levels.append(float(np.median(brightness[near])) if near.any() else np.nan)
    apart_by = abs(levels[0] - levels[1])
    if apart_by > CLEARLY_APART:
        off = np.clip(np.abs(brightness[:, None] - np.array(levels)) / apart_by, 0, 1.5)
        prices = prices + np.where(wide[:, None], LIGHT_WEIGHT * off, 0)
    return prices


def split_graph(graph: VesselGraph, roots: dict[int, int], prices: NDArray[np.float64]) -> dict[int, Claim]:
    """Which root claims each edge: two fronts compete along the edges, each edge goes to the first that arrives.

    A path costs its length (less in wide vessels), turning back at a joint, growing wider away from the root, bridging
    gaps and running where or as the other kind does (``prices``, per mm). Confidence compares the arrival with that of
    the other front running alone.
    """
    alone = {kind: _race(graph, prices, {kind: roots[kind]}) for kind in roots}
    both = _race(graph, prices, roots)
    claims: dict[int, Claim] = {}
    far: dict[int, bool] = {}
    for number, claim in both.items():  # parents first
        edge = graph.edges[number]
        far[number] = far.get(claim.parent, False) or (edge.gap and edge.length_mm > GAP_MM)
        other = alone.get(PORTAL + HEPATIC - claim.kind, {}).get(number)
        gained = 25.0 if other is None else max(0.0, other.cost - claim.cost)
        sure = gained / (gained + 8.0)
        if far[number]:
            sure = min(sure, FAR_SURE)
        claims[number] = Claim(claim.kind, claim.entered_at, claim.parent, claim.cost, sure)
    return claims


def _race(graph: VesselGraph, prices: NDArray[np.float64], roots: dict[int, int]) -> dict[int, Claim]:
    at = graph.at()
    heap: list[tuple[float, int, int, int, int]] = []
    for kind, root in roots.items():
        for vertex, price in _starts(graph, root, kind):
            for number in at[vertex]:
                edge = graph.edges[number]
                if not edge.gap:
                    cost = price + _along(edge, prices[number, kind - 1])
                    heapq.heappush(heap, (cost, number, vertex, kind, -1))
    claims: dict[int, Claim] = {}
    while heap:
        cost, number, entered, kind, parent = heapq.heappop(heap)
        if number in claims:
            continue
        claims[number] = Claim(kind, entered, parent, cost, 0.0)
        edge = graph.edges[number]
        left = edge.ends[1] if edge.ends[0] == entered else edge.ends[0]
        for onward in at[left]:
            if onward not in claims:
                following = graph.edges[onward]
                price = cost + _joint(edge, following, left) + _along(following, prices[onward, kind - 1])
                heapq.heappush(heap, (price, onward, left, kind, number))
    return claims


def _starts(graph: VesselGraph, root: int, kind: int) -> list[tuple[int, float]]:
    if kind == PORTAL:
        return [(root, 0.0)]
    # hepatic veins join the vena cava one by one, so none needs to hang on another
    apart = np.linalg.norm(graph.places - graph.places[root], axis=1)
    low = graph.places[root, 2] - 20.0
    near = np.flatnonzero((apart <= APART_MM) & (graph.places[:, 2] > low))
    return [(int(v), PER_APART_MM * max(0.0, float(apart[v]) - 10.0)) for v in near]


def _along(edge: Edge, misplaced: float) -> float:
    if edge.gap:
        return PER_GAP_MM * edge.length_mm
    steps = np.linalg.norm(np.diff(edge.points, axis=0), axis=1)
    radius = np.maximum(0.5 * (edge.radius_mm[1:] + edge.radius_mm[:-1]), 1.0)
    return PER_MM * float((steps * 2.0 / radius).sum()) + PER_MISPLACED_MM * float(misplaced) * edge.length_mm


def _joint(edge: Edge, following: Edge, vertex: int) -> float:
    # directions away from the joint: opposite means straight on
    straight = -float(edge.leaving(vertex) @ following.leaving(vertex))
    price = PER_TURN * (0.5 * (1.0 - straight)) ** 2
    if not (edge.gap or following.gap):
        price += PER_GROWTH * max(0.0, following.width_at(vertex) / edge.width_at(vertex) - 1.15)
    return price
