"""Masks as closed contours along voxel edges, and closed contours as masks: exact both ways, slice by slice."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["crossings", "fill_polygons", "outlines"]

Polygon = NDArray[np.float64]
Vertex = tuple[int, int]


def outlines(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Closed outlines of a 2-D mask along pixel edges, in (row, column) pixel units; pixel centres are whole numbers.

    One array (n, 2) per 4-connected part, not repeating its first point; a hole is joined to its part by a keyhole,
    a channel of no width (DICOM PS3.3 C.8.8.6.3). Filling by the even-odd rule at pixel centres gives the mask back
    exactly, and the enclosed area is the mask's, in pixels.
    """
    padded = np.pad(np.asarray(mask, dtype=bool), 1)
    loops = _loops(padded)
    starts = _join_holes(loops, padded)
    # lattice vertex (r, c) of the padded mask is the upper left corner of pixel (r - 1, c - 1)
    return [np.asarray(_walked(loops, n), dtype=np.float64) - 1.5 for n in starts]


def crossings(polygon: Polygon, rows: int) -> int:
    """How many row crossings filling a polygon costs, at most."""
    clipped = np.clip(polygon[:, 0], -1, rows)
    return int(np.abs(np.diff(clipped, append=clipped[:1])).sum()) + len(polygon)


def fill_polygons(polygons: Iterable[Polygon], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centres lie in an odd number of closed polygons, shape (rows, columns); (row, column) pixel units.

    Even-odd over all polygons: a contour inside another is a hole, and so is a keyhole's inside.
    """
    rows, columns = shape
    toggles = np.zeros((rows, columns + 1), np.uint8)
    for polygon in polygons:
        a, b = polygon, np.roll(polygon, -1, axis=0)
        low = np.where(a[:, 0] <= b[:, 0], a.T, b.T).T
        high = np.where(a[:, 0] <= b[:, 0], b.T, a.T).T
        # an edge owns its lower end and not its upper one, so that a vertex on a pixel row counts once
        first = np.clip(np.ceil(low[:, 0]), 0, rows).astype(np.int64)
        count = np.clip(np.ceil(high[:, 0]), 0, rows).astype(np.int64) - first
        edge = np.repeat(np.arange(len(polygon)), count)
        if not len(edge):
            continue
        row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        slope = (high[edge, 1] - low[edge, 1]) / (high[edge, 0] - low[edge, 0])
        column = np.ceil(low[edge, 1] + (row - low[edge, 0]) * slope)
        np.add.at(toggles, (row, np.clip(column, 0, columns).astype(np.int64)), 1)
    return np.asarray((np.cumsum(toggles[:, :-1], axis=1, dtype=np.uint32) & 1).astype(bool))


@dataclass
class _Loop:
    """One closed boundary: ``vertices`` on the lattice, edges in turn along a row and along a column.

    ``is_hole`` when it encloses background. ``start`` is the vertex where a hole's keyhole ends. ``joined`` maps a
    vertex number to the (lattice row, hole) pairs whose keyholes begin at that vertex or on the column edge after it.
    """

    vertices: list[Vertex]
    is_hole: bool
    start: int = 0
    joined: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))


def _corners(padded: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where a boundary turns: columns row, column, runs right, runs down; sides matter only where two parts touch."""
    cells = padded.astype(np.int64)
    around = cells[:-1, :-1] + 2 * cells[:-1, 1:] + 4 * cells[1:, :-1] + 8 * cells[1:, 1:]
    straight = (0, 3, 5, 10, 12, 15)
    touching = {9: ((0, 0), (1, 1)), 6: ((1, 0), (0, 1))}
    found = [np.argwhere(~np.isin(around, [*straight, *touching]))]
    found[0] = np.hstack([found[0], np.zeros((len(found[0]), 2), np.int64)])
    for pattern, sides in touching.items():
        places = np.argwhere(around == pattern)
        found += [np.hstack([places, np.tile(side, (len(places), 1))]) for side in sides]
    corners = np.vstack(found)
    corners[:, :2] += 1
    return corners


def _mates(*keys: NDArray[np.int64]) -> list[int]:
    """Corners in order along each lattice line belong together two by two."""
    order = np.lexsort(keys[::-1])
    mates = np.empty(len(order), np.int64)
    mates[order[0::2]], mates[order[1::2]] = order[1::2], order[0::2]
    return [int(n) for n in mates]


def _loops(padded: NDArray[np.bool_]) -> list[_Loop]:
    corners = _corners(padded)
    row, column, right, down = corners.T
    along_row, along_column = _mates(row, column, right), _mates(column, row, down)
    vertices: list[Vertex] = [(int(r), int(c)) for r, c in corners[:, :2]]
    seen = [False] * len(vertices)
    loops = []
    for first in range(len(vertices)):
        if seen[first]:
            continue
        members, here = [], first
        while not seen[here]:
            there = along_row[here]
            seen[here] = seen[there] = True
            members += [here, there]
            here = along_column[there]
        path = [vertices[n] for n in members]
        # the pixel inside the upper left corner tells what the loop encloses
        r, c = min(path)
        is_hole = not padded[r, c]
        # holes run against their surroundings, so that the signed area of the joined path is the part's
        turned = (_signed_area(path) > 0) == is_hole
        loops.append(_Loop(path[::-1] if turned else path, is_hole))
    return loops


def _signed_area(path: list[Vertex]) -> int:
    """Twice the enclosed area; its sign tells the direction."""
    return sum(r * path[n - 1][1] - c * path[n - 1][0] for n, (r, c) in enumerate(path))


def _join_holes(loops: list[_Loop], padded: NDArray[np.bool_]) -> list[int]:
    """Attach each hole to the boundary left of it; returns the loops that are no holes."""
    if not any(loop.is_hole for loop in loops):
        return list(range(len(loops)))
    edges = _column_edges(loops)
    for number, loop in enumerate(loops):
        if not loop.is_hole:
            continue
        column, row = min((c, r) for r, c in loop.vertices)
        loop.start = loop.vertices.index((row, column))
        column -= 1
        while padded[row - 1 : row + 1, column - 1 : column + 1].all():
            column -= 1
        # right of this point is foreground only: exactly one column edge ends at it or runs through it
        tops, owners = edges[column]
        at = bisect_right(tops, row) - 1
        candidates = [owners[n] for n in (at, at - 1) if n >= 0]
        owner, vertex = next(pair for pair in candidates if _spans(loops[pair[0]], pair[1], row))
        loops[owner].joined[vertex].append((row, number))
    return [n for n, loop in enumerate(loops) if not loop.is_hole]


def _column_edges(loops: list[_Loop]) -> dict[int, tuple[list[int], list[tuple[int, int]]]]:
    """Lattice column to its edges' upper ends, ascending, and for each (loop, vertex number before the edge)."""
    found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for number, loop in enumerate(loops):
        size = len(loop.vertices)
        for n in range(1, size, 2):
            (r0, c), (r1, _) = loop.vertices[n], loop.vertices[(n + 1) % size]
            found[c].append((min(r0, r1), number, n))
    return {
        c: ([top for top, _, _ in sorted(items)], [(number, n) for _, number, n in sorted(items)])
        for c, items in found.items()
    }


def _spans(loop: _Loop, vertex: int, row: int) -> bool:
    ends = loop.vertices[vertex][0], loop.vertices[(vertex + 1) % len(loop.vertices)][0]
    return min(ends) <= row <= max(ends)


def _walked(loops: list[_Loop], root: int) -> list[Vertex]:
    """A loop's vertices with every hole's round inserted where its keyhole begins."""
    path: list[Vertex] = []
    # holes may hang on holes; a stack of our own has no depth limit
    stack = [_steps(loops[root])]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, int):
            stack.append(_steps(loops[step]))
        else:
            path.append(step)
    return path


def _steps(loop: _Loop) -> Iterator[Vertex | int]:
    size = len(loop.vertices)
    for k in range(size):
        n = (loop.start + k) % size
        r, c = loop.vertices[n]
        yield r, c
        next_row = loop.vertices[(n + 1) % size][0]
        for row, hole in sorted(loop.joined.get(n, ()), reverse=next_row < r):
            yield row, c
            yield hole
            yield row, c
    if loop.is_hole:
        yield loop.vertices[loop.start]
