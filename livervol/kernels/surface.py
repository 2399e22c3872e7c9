"""Mesh volume and surface of a mask from one count of its 2x2x2 neighbourhoods; moments of its voxels.

The surface is the marching-cubes surface at 0.5: its vertices are the middles of the edges between a voxel centre
inside and one outside. What a cube of eight neighbouring centres adds depends only on which of them are inside, so the
mask is read once to count the 256 cases, and a small table gives the volume and area of each.

The table is built here, not copied. On each face of a cube the surface leaves segments between edge middles (two
opposite corners inside are kept apart, on both sides alike, so the surface is closed); the segments form loops. Of the
ways to fill a loop with triangles the one of largest area in the unit cube is taken, then of largest volume: that is
how the usual tables fill them (Lorensen and Cline, SIGGRAPH 1987), which published values were computed with.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["case_areas", "case_volumes", "neighbourhood_counts", "voxel_moments"]

#: Corner k of the cube has coordinates (z, y, x) = bits 2, 1, 0 of k; a case has bit k set when corner k is inside.
_CORNERS = np.array([(k >> 2 & 1, k >> 1 & 1, k & 1) for k in range(8)], dtype=np.float64)

Edge = frozenset[int]
Triple = tuple[int, int, int]

#: Eight voxels of a mask of 0 and 1 read as one number, all of them inside.
_WHOLE = np.uint64(0x0101010101010101)


def neighbourhood_counts(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How often each of the 256 neighbourhoods occurs, shape (256,); outside the array counts as not in the mask.

    Neighbourhoods without a voxel add nothing to a mesh: ``counts[0]`` is left at 0.
    """
    nz, ny, nx = mask.shape
    padded = np.zeros((nz + 2, ny + 2, 8 * (nx // 8 + 1)), np.uint8)
    padded[1:-1, 1:-1, :nx] = mask
    counts: NDArray[np.int64] = _count_cases(padded, padded.view(np.uint64))
    return counts


@njit(cache=True, nogil=True)
def _count_cases(voxels, words):
    nz, ny, nw = words.shape
    counts = np.zeros(256, np.int64)
    none = np.uint64(0)
    for z in range(nz - 1):
        for y in range(ny - 1):
            # bits 0, 2, 4, 6 of the case are the plane x, bits 1, 3, 5, 7 the plane x + 1
            before = 0
            for w in range(nw):
                a, b, c, d = words[z, y, w], words[z, y + 1, w], words[z + 1, y, w], words[z + 1, y + 1, w]
                if before == 0 and (a | b | c | d) == none:
                    continue
                if before == 85 and (a & b & c & d) == _WHOLE:
                    counts[255] += 8
                    continue
                for x in range(8 * w, 8 * w + 8):
                    here = (
                        np.int64(voxels[z, y, x])
                        | np.int64(voxels[z, y + 1, x]) << 2
                        | np.int64(voxels[z + 1, y, x]) << 4
                        | np.int64(voxels[z + 1, y + 1, x]) << 6
                    )
                    counts[before | here << 1] += 1
                    before = here
    counts[0] = 0
    return counts


@njit(cache=True, nogil=True)
def voxel_moments(mask):
    """Voxel count, sums of the indices (3,) and sums of their products (3, 3), z y x, as exact integers."""
    nz, ny, nx = mask.shape
    total = 0
    first = np.zeros(3, np.int64)
    second = np.zeros((3, 3), np.int64)
    for z in range(nz):
        for y in range(ny):
            count, sum_x, sum_xx = 0, 0, 0
            for x in range(nx):
                if mask[z, y, x]:
                    count += 1
                    sum_x += x
                    sum_xx += x * x
            total += count
            first[0] += count * z
            first[1] += count * y
            first[2] += sum_x
            second[0, 0] += count * z * z
            second[0, 1] += count * z * y
            second[0, 2] += z * sum_x
            second[1, 1] += count * y * y
            second[1, 2] += y * sum_x
            second[2, 2] += sum_xx
    second[1, 0], second[2, 0], second[2, 1] = second[0, 1], second[0, 2], second[1, 2]
    return total, first, second


def case_volumes() -> NDArray[np.float64]:
    """Share of the cube inside the surface for each case, shape (256,): times the voxel volume, a volume."""
    # divergence theorem about the cube's centre, from which every face stands half a cube away
    volumes = np.array([sum(_face_share(case, corners) for corners in _FACES) * 0.5 for case in range(256)])
    cases, triangles = _table()
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    np.add.at(volumes, cases, np.einsum("ij,ij->i", a, np.cross(b, c)) / 2.0)
    shares: NDArray[np.float64] = volumes / 3.0
    return shares


def case_areas(spacing_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of the surface in the cube for each case, in the square of the spacing's unit, shape (256,)."""
    cases, triangles = _table()
    scaled = triangles * np.asarray(spacing_zyx, dtype=np.float64)
    a, b, c = scaled[:, 0], scaled[:, 1], scaled[:, 2]
    areas = np.zeros(256)
    np.add.at(areas, cases, 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1))
    return areas


def _ring(axis: int, side: int) -> tuple[int, int, int, int]:
    # the four corners of a face in order round it, the same way round for all faces as seen from outside
    u, v = [(2, 1), (0, 2), (1, 0)][axis]
    ring = [(0, 0), (1, 0), (1, 1), (0, 1)]
    if side == 0:
        ring.reverse()
    weights = (4, 2, 1)
    a, b, c, d = (side * weights[axis] + i * weights[u] + j * weights[v] for i, j in ring)
    return (a, b, c, d)


_FACES = tuple(_ring(axis, side) for axis, side in itertools.product(range(3), range(2)))


def _inside(case: int, corner: int) -> bool:
    return bool(case >> corner & 1)


def _face_share(case: int, corners: tuple[int, int, int, int]) -> float:
    """Share of a face that lies inside: corners cut off at the edge middles, opposite ones kept apart."""
    flags = [_inside(case, c) for c in corners]
    count = sum(flags)
    if count == 2 and flags[0] == flags[2]:
        return 0.25
    return (0.0, 0.125, 0.5, 0.875, 1.0)[count]


def _face_segments(case: int, corners: tuple[int, int, int, int]) -> Iterator[tuple[Edge, Edge]]:
    """Segments between cut edges of a face, one round each run of inside corners, from where the run ends."""
    for i in range(4):
        if _inside(case, corners[i]) and not _inside(case, corners[(i + 1) % 4]):
            start = i
            while _inside(case, corners[start - 1]):
                start = (start - 1) % 4
            yield frozenset((corners[i], corners[(i + 1) % 4])), frozenset((corners[start - 1], corners[start]))


def _loops(case: int) -> Iterator[list[NDArray[np.float64]]]:
    """Closed loops of edge middles in the unit cube, about its centre."""
    # a cut edge belongs to two faces: one segment starts there and one ends
    following = dict(segment for corners in _FACES for segment in _face_segments(case, corners))
    while following:
        edge = next(iter(following))
        loop = []
        while edge in following:
            loop.append(_CORNERS[sorted(edge)].mean(axis=0) - 0.5)
            edge = following.pop(edge)
        yield loop


def _fillings(vertices: tuple[int, ...]) -> Iterator[list[Triple]]:
    """Every way to cut a polygon into triangles."""
    if len(vertices) < 3:
        yield []
        return
    first, last = vertices[0], vertices[-1]
    for k in range(1, len(vertices) - 1):
        for left in _fillings(vertices[: k + 1]):
            for right in _fillings(vertices[k:]):
                yield [(first, vertices[k], last), *left, *right]


def _fill(loop: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    def merit(triangles: NDArray[np.float64]) -> tuple[float, float]:
        a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
        area = float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum())
        return (round(area, 9), round(float(np.einsum("ij,ij->", a, np.cross(b, c))), 9))

    points = np.array(loop)
    return max((points[np.array(f)] for f in _fillings(tuple(range(len(loop))))), key=merit)


@cache
def _table() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Triangles of all cases in the unit cube, shape (n, 3, 3), and the case of each, shape (n,)."""
    filled = [(case, _fill(loop)) for case in range(256) for loop in _loops(case)]
    cases = np.repeat([case for case, _ in filled], [len(triangles) for _, triangles in filled])
    return cases, np.concatenate([triangles for _, triangles in filled])
