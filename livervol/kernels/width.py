"""Width of a slice across a direction, between voxel centres, and what a voxel's own shape adds to it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from livervol.kernels.diameter import CENTRE, MESH

__all__ = ["perpendicular_width", "voxel_width"]

#: Room for rounding of offsets in mm, where a bound decides what need not be looked at.
_ROUNDING_MM = 1e-6


@njit(cache=True, nogil=True)
def voxel_width(hy_mm, hx_mm, ny, nx, convention):
    """Width in mm, along the unit direction (ny, nx), of the shape a convention gives one voxel in its slice.

    Centre: 0. Mesh: the diamond between the face middles. Corner: the rectangle.
    """
    if convention == CENTRE:
        return 0.0
    if convention == MESH:
        return 2.0 * max(hy_mm * abs(ny), hx_mm * abs(nx))
    return 2.0 * (hy_mm * abs(ny) + hx_mm * abs(nx))


@njit(cache=True, nogil=True)
def perpendicular_width(mask, hy_mm, hx_mm, uy, ux):
    """Longest extent across the unit direction (uy, ux) between two voxel centres of one slice, mm; -1 when empty.

    Two voxels are opposite each other when their offset along the direction is at most half a voxel's extent along
    it, ``hy |uy| + hx |ux|``; the result is the largest offset across it among such pairs, and the pair (y0, x0, y1,
    x1), smaller voxel first. With exactly that tolerance a voxel whose four neighbours all belong to the mask always
    has a neighbour that is still opposite and farther out, so edge voxels suffice.
    """
    tolerance = (hy_mm * abs(uy) + hx_mm * abs(ux)) * (1.0 + 1e-9)
    voxels, starts = _in_strips(_edge_voxels(mask), 2.0 * hy_mm, 2.0 * hx_mm, uy, ux, tolerance * (1.0 + 1e-6))
    return _widest_pair(voxels, starts, hy_mm, hx_mm, uy, ux, tolerance)


@njit(cache=True, nogil=True)
def _edges_of_row(octets, y, edge):
    # one where a voxel of the row has a face neighbour outside the mask; plain enough to be done many at a time
    ny, nx = octets.shape
    row = octets[y]
    for x in range(nx):
        edge[x] = row[x]
    if 0 < y < ny - 1:
        up, down = octets[y - 1], octets[y + 1]
        for x in range(1, nx - 1):
            edge[x] = row[x] & ~(up[x] & down[x] & row[x - 1] & row[x + 1])


@njit(cache=True, nogil=True)
def _edge_voxels(mask):
    # (y, x) of the voxels with a face neighbour outside the mask
    ny, nx = mask.shape
    octets = mask.view(np.uint8)
    edge = np.zeros((nx + 7) // 8 * 8, np.uint8)
    eights = edge.view(np.uint64)
    voxels = np.empty((mask.size, 2), np.int64)
    count = 0
    for y in range(ny):
        _edges_of_row(octets, y, edge)
        for eight in range(len(eights)):
            if eights[eight] == 0:
                continue
            for x in range(8 * eight, 8 * eight + 8):
                if edge[x]:
                    voxels[count, 0], voxels[count, 1] = y, x
                    count += 1
    return voxels[:count]


@njit(cache=True, nogil=True)
def _in_strips(voxels, sy, sx, uy, ux, strip_mm):
    """The voxels in strips across the direction, and where each strip starts.

    Strips are as wide as two voxels that stand opposite each other can be apart: they lie in one strip or in two
    neighbouring ones.
    """
    count = len(voxels)
    along = np.empty(count)
    low, high = math.inf, -math.inf
    for i in range(count):
        along[i] = uy * (sy * voxels[i, 0]) + ux * (sx * voxels[i, 1])
        low, high = min(low, along[i]), max(high, along[i])
    # without a direction every voxel is opposite every other
    per_mm = 1.0 / strip_mm if strip_mm > 0.0 else 0.0
    strips = int((high - low) * per_mm) + 1 if count else 0
    starts = np.zeros(strips + 1, np.int64)
    for i in range(count):
        starts[int((along[i] - low) * per_mm) + 1] += 1
    for strip in range(strips):
        starts[strip + 1] += starts[strip]
    free = starts.copy()
    ordered = np.empty_like(voxels)
    for i in range(count):
        strip = int((along[i] - low) * per_mm)
        ordered[free[strip]] = voxels[i]
        free[strip] += 1
    return ordered, starts


@njit(cache=True, nogil=True)
def _strip_extents(voxels, starts, sy, sx, uy, ux):
    # least and greatest offset across the direction in every strip
    extents = np.empty((len(starts) - 1, 2))
    for strip in range(len(starts) - 1):
        low, high = math.inf, -math.inf
        for i in range(starts[strip], starts[strip + 1]):
            across = ux * (sy * voxels[i, 0]) - uy * (sx * voxels[i, 1])
            low, high = min(low, across), max(high, across)
        extents[strip, 0], extents[strip, 1] = low, high
    return extents


@njit(cache=True, nogil=True)
def _widest_pair(voxels, starts, hy_mm, hx_mm, uy, ux, tolerance):
    """Largest offset across the direction between voxels opposite each other, and the pair."""
    ends = np.zeros(4, np.int64)
    sy, sx = 2.0 * hy_mm, 2.0 * hx_mm
    extents = _strip_extents(voxels, starts, sy, sx, uy, ux)
    strips = len(extents)
    best = -1.0
    for strip in range(strips):
        for other in range(strip, min(strip + 2, strips)):
            reach = max(extents[strip, 1] - extents[other, 0], extents[other, 1] - extents[strip, 0])
            if reach + _ROUNDING_MM < best:
                continue
            for i in range(starts[strip], starts[strip + 1]):
                across = ux * (sy * voxels[i, 0]) - uy * (sx * voxels[i, 1])
                if max(extents[other, 1] - across, across - extents[other, 0]) + _ROUNDING_MM < best:
                    continue
                for j in range(max(i, starts[other]), starts[other + 1]):
                    y0, x0, y1, x1 = voxels[i, 0], voxels[i, 1], voxels[j, 0], voxels[j, 1]
                    if y1 < y0 or (y1 == y0 and x1 < x0):
                        y0, x0, y1, x1 = y1, x1, y0, x0
                    dy, dx = sy * (y1 - y0), sx * (x1 - x0)
                    if abs(uy * dy + ux * dx) > tolerance:
                        continue
                    across_mm = abs(ux * dy - uy * dx)
                    if across_mm > best or (
                        across_mm == best and (y0, x0, y1, x1) < (ends[0], ends[1], ends[2], ends[3])
                    ):
                        best = across_mm
                        ends[0], ends[1], ends[2], ends[3] = y0, x0, y1, x1
    return best, ends
