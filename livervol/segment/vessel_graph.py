"""The vessels' centrelines as a graph: vertices where curves end or meet, edges as chains of points with radii."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from livervol.grid import Grid
from livervol.kernels.distance import distance_mm
from livervol.kernels.skeleton import thin_to_curves

__all__ = ["Edge", "VesselGraph", "vessel_graph"]

#: A side twig shorter than its parent's radius by less than this is the surface's roughness, not a branch (mm).
SPUR_MM = 4.0
#: Gaps up to this length may be bridged, at a price; pieces that have no such way may be reached from farther (mm).
GAP_MM, FAR_GAP_MM = 12.0, 45.0
#: Directions of an edge are taken over so much of its end (mm).
END_MM = 7.0


@dataclass(frozen=True, eq=False)
class Edge:
    """A curve between vertices ``ends``; ``points`` (n, 3) LPS mm in order, ``radius_mm`` (n,); ``gap``: a bridge.

    The points include the two vertices.
    """

    ends: tuple[int, int]
    points: NDArray[np.float64]
    radius_mm: NDArray[np.float64]
    gap: bool = False

    @property
    def length_mm(self) -> float:
        """Length of the curve."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    def leaving(self, vertex: int) -> NDArray[np.float64]:
        """Unit direction in which the edge leaves one of its ends."""
        points = self.points if vertex == self.ends[0] else self.points[::-1]
        away = np.linalg.norm(points - points[0], axis=1)
        far = points[int(np.argmax(away >= min(END_MM, away.max())))]
        direction: NDArray[np.float64] = (far - points[0]) / max(1e-9, float(np.linalg.norm(far - points[0])))
        return direction

    def width_at(self, vertex: int) -> float:
        """Median radius near one end, past the joint itself."""
        radius = self.radius_mm if vertex == self.ends[0] else self.radius_mm[::-1]
        return float(np.median(radius[1:8])) if len(radius) > 2 else float(np.median(radius))


@dataclass(frozen=True, eq=False)
class VesselGraph:
    """Vertices' ``places`` (n, 3) LPS mm and the ``edges``."""

    places: NDArray[np.float64]
    edges: tuple[Edge, ...]

    def at(self) -> list[list[int]]:
        """Edges at each vertex."""
        found: list[list[int]] = [[] for _ in self.places]
        for number, edge in enumerate(self.edges):
            found[edge.ends[0]].append(number)
            if edge.ends[1] != edge.ends[0]:
                found[edge.ends[1]].append(number)
        return found


def vessel_graph(mask: NDArray[np.bool_], grid: Grid) -> VesselGraph:
    """Graph of a vessel mask's centrelines, twigs no longer than the vessel is wide taken off, gaps bridged.

    Radii are distances in mm from the centreline to the mask's surface (half a voxel before the next centre outside).
    """
    depth = distance_mm(mask.view(np.uint8), grid.spacing_mm, border_is_background=True)
    curves = thin_to_curves(mask, depth, grid.spacing_mm) != 0
    half = 0.5 * float(np.mean(grid.spacing_mm))
    for _ in range(3):
        voxels, chains, vertices = _traced(curves)
        if not len(voxels):
            return VesselGraph(np.zeros((0, 3)), ())
        radius = np.maximum(depth[tuple(voxels.T)].astype(np.float64) - half, half)
        points = grid.index_to_lps(voxels)
        spurs = _spurs(chains, vertices, points, radius)
        if not spurs:
            break
        for voxel in spurs:
            curves[tuple(voxels[voxel])] = False
    return _bridged(_graph(chains, vertices, points, radius))


def _traced(curves: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[list[int]], dict[int, int]]:
    """Voxels; chains of voxel numbers from vertex voxel to vertex voxel; the vertex of each vertex voxel."""
    voxels = np.argwhere(curves)
    number = {tuple(v): k for k, v in enumerate(voxels.tolist())}
    steps = [tuple(s) for s in (np.array(list(np.ndindex(3, 3, 3))) - 1).tolist() if any(s)]
    beside = [
        [number[q] for s in steps if (q := (v[0] + s[0], v[1] + s[1], v[2] + s[2])) in number] for v in voxels.tolist()
    ]
    vertices: dict[int, int] = {}
    count = 0
    for start, around in enumerate(beside):
        if len(around) == 2 or start in vertices:
            continue
        # touching crossings are one place
        stack = [start]
        vertices[start] = count
        while stack:
            for other in beside[stack.pop()]:
                if len(beside[other]) > 2 and len(around) > 2 and other not in vertices:
                    vertices[other] = count
                    stack.append(other)
        count += 1
    chains: list[list[int]] = []
    for start in vertices:
        for step in beside[start]:
            if step in vertices:
                if vertices[step] != vertices[start] and start < step:
                    chains.append([start, step])
                continue
            chain = [start, step]
            while chain[-1] not in vertices:
                ahead = [o for o in beside[chain[-1]] if o != chain[-2]]
                # a neighbour of the last vertex that is also one's own neighbour is no way on
                chain.append(next((o for o in ahead if o in vertices and o != start), ahead[0]))
            if chain[0] < chain[-1] or (chain[0] == chain[-1] and chain[1] < chain[-2]):
                chains.append(chain)
    return voxels, chains, vertices


def _spurs(
    chains: list[list[int]], vertices: dict[int, int], points: NDArray[np.float64], radius: NDArray[np.float64]
) -> list[int]:
    """Voxels of twigs that end freely and do not reach past their parent's surface."""
    degree = np.zeros(max(vertices.values(), default=-1) + 1, np.int64)
    for chain in chains:
        degree[vertices[chain[0]]] += 1
        degree[vertices[chain[-1]]] += 1
    spurs: list[int] = []
    for chain in chains:
        ends = degree[vertices[chain[0]]], degree[vertices[chain[-1]]]
        if min(ends) != 1 or max(ends) < 3:
            continue
        inner = chain if ends[0] > 1 else chain[::-1]
        length = np.linalg.norm(np.diff(points[inner], axis=0), axis=1).sum()
        if length < radius[inner[0]] + SPUR_MM:
            spurs += [v for v in inner if v not in vertices or degree[vertices[v]] == 1]
    return spurs


def _graph(
    chains: list[list[int]], vertices: dict[int, int], points: NDArray[np.float64], radius: NDArray[np.float64]
) -> VesselGraph:
    members: dict[int, list[int]] = {}
    for voxel, vertex in vertices.items():
        members.setdefault(vertex, []).append(voxel)
    places = np.array([points[members[v]].mean(axis=0) for v in range(len(members))])
    wide = [float(radius[members[v]].max()) for v in range(len(members))]
    edges = []
    for chain in chains:
        a, b = vertices[chain[0]], vertices[chain[-1]]
        middle = chain[1:-1]
        line = np.vstack([places[a], _smooth(points[middle]), places[b]])
        if a == b and len(middle) < 6:
            continue
        edges.append(Edge((a, b), line, np.array([wide[a], *radius[middle], wide[b]])))
    return VesselGraph(places, tuple(edges))


def _smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    # voxel steps zigzag by half a voxel: mean of five along the curve, the ends kept
    if len(points) < 5:
        return points
    padded = np.vstack([points[:1], points[:1], points, points[-1:], points[-1:]])
    result: NDArray[np.float64] = np.mean([padded[k : k + len(points)] for k in range(5)], axis=0)
    return result


def _bridged(graph: VesselGraph) -> VesselGraph:
    """The graph with straight bridges from free ends of one piece to the nearest vertex of another.

    Each end may have two short bridges or, in a piece without any, a far one. Pieces bridged only to each other are
    then joined to the rest by their nearest ends, group by group (Boruvka 1926), as long as one lies within reach.
    """
    if not len(graph.places):
        return graph
    piece = _pieces(len(graph.places), [edge.ends for edge in graph.edges])
    degree = np.bincount([v for edge in graph.edges for v in edge.ends], minlength=len(graph.places))
    tree = cKDTree(graph.places)
    free = [int(v) for v in np.flatnonzero(degree == 1)]
    pairs: set[tuple[int, int]] = set()
    for end in free:
        pairs.update(_nearest_elsewhere(graph, tree, piece, end, GAP_MM, 2))
    reached = {int(piece[v]) for pair in pairs for v in pair}
    for end in free:
        if piece[end] not in reached:
            pairs.update(_nearest_elsewhere(graph, tree, piece, end, FAR_GAP_MM, 1))
    while True:
        piece = _pieces(len(graph.places), [*(edge.ends for edge in graph.edges), *sorted(pairs)])
        nearest: dict[int, tuple[float, tuple[int, int]]] = {}
        for end in free:
            for pair in _nearest_elsewhere(graph, tree, piece, end, FAR_GAP_MM, 1):
                way = float(np.linalg.norm(graph.places[pair[0]] - graph.places[pair[1]]))
                own = int(piece[end])
                nearest[own] = min(nearest.get(own, (way, pair)), (way, pair))
        if not nearest:
            break
        pairs.update(pair for _, pair in nearest.values())
    bridges = [Edge(pair, graph.places[list(pair)], np.array([1.0, 1.0]), gap=True) for pair in sorted(pairs)]
    return VesselGraph(graph.places, (*graph.edges, *bridges))


def _pieces(count: int, ties: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """The piece each of ``count`` vertices belongs to, by the vertices tied to each other."""
    first, second = np.array(ties, np.int64).reshape(-1, 2).T
    network = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    piece: NDArray[np.int64] = connected_components(network, directed=False)[1].astype(np.int64)
    return piece


def _nearest_elsewhere(
    graph: VesselGraph, tree: cKDTree, piece: NDArray[np.int64], end: int, reach_mm: float, most: int
) -> list[tuple[int, int]]:
    """The nearest vertices of other pieces within reach, each with ``end``, in increasing order of number."""
    there = [int(o) for o in tree.query_ball_point(graph.places[end], reach_mm) if piece[o] != piece[end]]
    there.sort(key=lambda o: float(np.linalg.norm(graph.places[o] - graph.places[end])))
    return [(min(end, o), max(end, o)) for o in there[:most]]
