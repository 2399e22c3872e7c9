"""Longest diameters of a mask: per slice and in the volume.

Coordinates inside are whole numbers of half voxels: voxel ``i`` has its centre at ``2 i`` and its faces at ``2 i - 1``
and ``2 i + 1``, so that hulls are exact. ``h*_mm`` is half the spacing. A convention says which points of a voxel
count: its centre, the middles of its faces (the vertices of a marching-cubes mesh at 0.5) or its corners.

Lengths are ``sqrt((dz hz)^2 + (dy hy)^2 + (dx hx)^2)`` in float64. Of equal lengths the pair whose start, then end,
comes first in (z, y, x) order is returned; the start is the smaller point. Only vertices of the convex hull can be
ends of a longest segment, hence each slice is reduced to its hull first.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "CENTRE",
    "CORNER",
    "MESH",
    "slice_diameters",
    "volume_diameter",
]

CENTRE, MESH, CORNER = 0, 1, 2

#: Room for rounding where a bound decides what need not be looked at.
_ROUNDING = 1.0 + 1e-12


@njit(cache=True, nogil=True)
def _row_extents(mask):
    # first and last voxel of every row; a row without voxels has first > last
    nz, ny, nx = mask.shape
    first = np.full((nz, ny), 2**30, np.int64)
    last = np.full((nz, ny), -(2**30), np.int64)
    # a row is copied so that eight voxels at a time can be told to be empty
    row = np.zeros((nx + 7) // 8 * 8, np.uint8)
    eights = row.view(np.uint64)
    for z in range(nz):
        for y in range(ny):
            line = mask[z, y]
            for x in range(nx):
                row[x] = line[x]
            eight = 0
            while eight < len(eights) and eights[eight] == 0:
                eight += 1
            if eight == len(eights):
                continue
            x = 8 * eight
            while row[x] == 0:
                x += 1
            first[z, y] = x
            eight = len(eights) - 1
            while eights[eight] == 0:
                eight -= 1
            x = 8 * eight + 7
            while row[x] == 0:
                x -= 1
            last[z, y] = x
    return first, last


@njit(cache=True, nogil=True)
def _add_slice(first, last, convention, own_plane, low, high):
    """Widen the rows of a plane by one slice; index ``Y + 1`` holds row ``Y`` in half voxels.

    ``own_plane``: the plane goes through the slice's voxel centres; otherwise it is half a voxel above or below it.
    """
    ny = len(first)
    for y in range(ny):
        if first[y] > last[y]:
            continue
        a, b = 2 * first[y], 2 * last[y]
        row = 2 * y + 1
        if convention == CORNER:
            low[row - 1] = min(low[row - 1], a - 1)
            high[row - 1] = max(high[row - 1], b + 1)
            low[row + 1] = min(low[row + 1], a - 1)
            high[row + 1] = max(high[row + 1], b + 1)
        elif convention == MESH and own_plane:
            low[row - 1] = min(low[row - 1], a)
            high[row - 1] = max(high[row - 1], b)
            low[row] = min(low[row], a - 1)
            high[row] = max(high[row], b + 1)
            low[row + 1] = min(low[row + 1], a)
            high[row + 1] = max(high[row + 1], b)
        else:
            low[row] = min(low[row], a)
            high[row] = max(high[row], b)


@njit(cache=True, nogil=True)
def _hull(low, high, out_y, out_x):
    """Vertices of the convex hull of the row ends into ``out_*``; returns how many (some come twice)."""
    count = 0
    for side in range(2):
        begin = count
        for row in range(len(low)):
            if low[row] > high[row]:
                continue
            y = row - 1
            x = low[row] if side == 0 else -high[row]
            # drop what lies on or inside the line from the vertex before to this point
            while count - begin >= 2:
                y1, x1 = out_y[count - 1], out_x[count - 1]
                y0, x0 = out_y[count - 2], out_x[count - 2]
                if (x1 - x0) * (y - y0) >= (x - x0) * (y1 - y0):
                    count -= 1
                else:
                    break
            out_y[count] = y
            out_x[count] = x
            count += 1
        if side == 1:
            for i in range(begin, count):
                out_x[i] = -out_x[i]
    return count


@njit(cache=True, nogil=True)
def slice_diameters(mask, hy_mm, hx_mm, convention):
    """Longest in-slice diameter of each slice, mm, shape (nz,), -1 where the slice is empty.

    Second result: its ends in half voxels, rows (Y0, X0, Y1, X1), shape (nz, 4).
    """
    nz, ny, _ = mask.shape
    lengths = np.full(nz, -1.0)
    ends = np.zeros((nz, 4), np.int64)
    first, last = _row_extents(mask)
    low = np.empty(2 * ny + 1, np.int64)
    high = np.empty(2 * ny + 1, np.int64)
    points_y = np.empty(4 * ny + 2, np.int64)
    points_x = np.empty(4 * ny + 2, np.int64)
    for z in range(nz):
        low[:] = 2**30
        high[:] = -(2**30)
        _add_slice(first[z], last[z], convention, True, low, high)
        count = _hull(low, high, points_y, points_x)
        best = -1.0
        for i in range(count):
            for j in range(i, count):
                dy = (points_y[j] - points_y[i]) * hy_mm
                dx = (points_x[j] - points_x[i]) * hx_mm
                squared = dy * dy + dx * dx
                if squared < best:
                    continue
                y0, x0, y1, x1 = points_y[i], points_x[i], points_y[j], points_x[j]
                if (y1, x1) < (y0, x0):
                    y0, x0, y1, x1 = y1, x1, y0, x0
                old = (ends[z, 0], ends[z, 1], ends[z, 2], ends[z, 3])
                if squared > best or (y0, x0, y1, x1) < old:
                    best = squared
                    ends[z, 0], ends[z, 1], ends[z, 2], ends[z, 3] = y0, x0, y1, x1
        if count:
            lengths[z] = math.sqrt(best)
    return lengths, ends


@njit(cache=True, nogil=True)
def _hull_stack(mask, convention):
    """Hull vertices of every plane of points: (count, 3) half-voxel coordinates and the planes' starts."""
    nz, ny, _ = mask.shape
    first, last = _row_extents(mask)
    low = np.empty(2 * ny + 1, np.int64)
    high = np.empty(2 * ny + 1, np.int64)
    points_y = np.empty(4 * ny + 2, np.int64)
    points_x = np.empty(4 * ny + 2, np.int64)
    # a hull has at most two vertices in a row; memory that is not written to is not taken
    points = np.empty(((2 * nz + 1) * (4 * ny + 2), 3), np.int64)
    starts = np.zeros(2 * nz + 2, np.int64)
    total = 0
    for plane in range(2 * nz + 1):
        level = plane - 1
        low[:] = 2**30
        high[:] = -(2**30)
        if level % 2 == 0:
            if convention != CORNER:
                _add_slice(first[level // 2], last[level // 2], convention, True, low, high)
        elif convention != CENTRE:
            below, above = (level - 1) // 2, (level + 1) // 2
            if below >= 0:
                _add_slice(first[below], last[below], convention, False, low, high)
            if above < nz:
                _add_slice(first[above], last[above], convention, False, low, high)
        count = _hull(low, high, points_y, points_x)
        for i in range(count):
            points[total + i, 0] = level
            points[total + i, 1] = points_y[i]
            points[total + i, 2] = points_x[i]
        total += count
        starts[plane + 1] = total
    return points[:total], starts


@njit(cache=True, nogil=True)
def _squared(points, a, b, hz_mm, hy_mm, hx_mm):
    dz = (points[b, 0] - points[a, 0]) * hz_mm
    dy = (points[b, 1] - points[a, 1]) * hy_mm
    dx = (points[b, 2] - points[a, 2]) * hx_mm
    return dz * dz + dy * dy + dx * dx


@njit(cache=True, nogil=True)
def _plane_circles(points, starts, hy_mm, hx_mm):
    # a circle round each plane's points: (y, x, radius) in mm
    circles = np.zeros((len(starts) - 1, 3))
    for plane in range(len(starts) - 1):
        first, stop = starts[plane], starts[plane + 1]
        if first == stop:
            continue
        low_x, high_x = points[first, 2], points[first, 2]
        low_y, high_y = points[first, 1], points[first, 1]
        for i in range(first, stop):
            low_y, high_y = min(low_y, points[i, 1]), max(high_y, points[i, 1])
            low_x, high_x = min(low_x, points[i, 2]), max(high_x, points[i, 2])
        y, x = 0.5 * (low_y + high_y) * hy_mm, 0.5 * (low_x + high_x) * hx_mm
        radius = 0.0
        for i in range(first, stop):
            radius = max(radius, math.hypot(points[i, 1] * hy_mm - y, points[i, 2] * hx_mm - x))
        circles[plane, 0], circles[plane, 1], circles[plane, 2] = y, x, radius
    return circles


def volume_diameter(
    mask: NDArray[np.bool_], hz_mm: float, hy_mm: float, hx_mm: float, convention: int
) -> tuple[float, NDArray[np.int64]]:
    """Longest diameter in the volume, mm, -1 when empty, and its ends (2, 3) in half voxels, z y x."""
    points, starts = _hull_stack(mask, convention)
    if len(points) == 0:
        return -1.0, np.zeros((2, 3), np.int64)
    circles = _plane_circles(points, starts, hy_mm, hx_mm)
    length, start, end = _farthest_pair(points, starts, circles, hz_mm, hy_mm, hx_mm)
    return length, points[[start, end]]


@njit(cache=True, nogil=True)
def _comes_first(points, a, b):
    # (z, y, x) order
    for axis in range(3):
        if points[a, axis] != points[b, axis]:
            return points[a, axis] < points[b, axis]
    return False


@njit(cache=True, nogil=True)
def _farthest_pair(points, starts, circles, hz_mm, hy_mm, hx_mm):
    """Length of the longest segment between points, and which two they are.

    Planes are circled; two planes, then a point and a plane, are looked at only while the sum of the radii could
    still give a longer segment than one already found.
    """
    # a long segment to begin with: walk to the farthest point until it gets no farther
    best = 0.0
    here = 0
    for _ in range(8):
        farthest, reach = here, -1.0
        for j in range(len(points)):
            squared = _squared(points, here, j, hz_mm, hy_mm, hx_mm)
            if squared > reach:
                farthest, reach = j, squared
        if reach <= best:
            break
        best, here = reach, farthest
    start, end = -1, -1
    planes = len(starts) - 1
    for i in range(planes):
        if starts[i] == starts[i + 1]:
            continue
        for j in range(i, planes):
            if starts[j] == starts[j + 1]:
                continue
            rise = (j - i) * hz_mm
            dy, dx = circles[j, 0] - circles[i, 0], circles[j, 1] - circles[i, 1]
            reach = math.sqrt(dy * dy + dx * dx) + circles[i, 2] + circles[j, 2]
            if (rise * rise + reach * reach) * _ROUNDING < best:
                continue
            for a in range(starts[i], starts[i + 1]):
                dy, dx = points[a, 1] * hy_mm - circles[j, 0], points[a, 2] * hx_mm - circles[j, 1]
                reach = math.sqrt(dy * dy + dx * dx) + circles[j, 2]
                if (rise * rise + reach * reach) * _ROUNDING < best:
                    continue
                for b in range(starts[j], starts[j + 1]):
                    squared = _squared(points, a, b, hz_mm, hy_mm, hx_mm)
                    if squared < best:
                        continue
                    s, e = a, b
                    if _comes_first(points, b, a):
                        s, e = b, a
                    first = start < 0 or _comes_first(points, s, start)
                    if not first and not _comes_first(points, start, s):
                        first = _comes_first(points, e, end)
                    if squared > best or first:
                        best, start, end = squared, s, e
    return math.sqrt(best), start, end
