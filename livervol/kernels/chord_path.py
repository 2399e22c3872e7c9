"""One chord of a slice: its length, its outer ends, and whether its path is allowed.

The path of a pair of voxels is the straight segment between their centres, cut into pieces at the voxel faces it
crosses (Amanatides and Woo, A fast voxel traversal algorithm for ray tracing, Eurographics 1987), in whole numbers.
Tie: a segment that crosses exactly at a voxel corner steps diagonally; the two voxels it only touches do not count.
A gap is a run of consecutive non-viable voxels on the path; its length is the length of the segment inside them.
A pair is allowed when no gap is longer than ``min(max(floor_mm, fraction * segment), cap_mm)`` and every voxel on
the path belongs to the lesion.
"""

from __future__ import annotations

import math

from numba import njit

from livervol.kernels.diameter import CENTRE, MESH

__all__ = ["chord_length", "outer_ends", "path_allowed"]

#: Gaps this much over the limit, in mm, still pass: rounding of equal numbers.
_SLACK_MM = 1e-9

#: Later than any crossing.
_NEVER = 2**62


@njit(cache=True, nogil=True)
def path_allowed(viable, lesion, y0, x0, y1, x1, hy_mm, hx_mm, limits):
    """True when the path between two viable voxels of a slice has no gap over the limit and stays in the lesion."""
    dy, dx = abs(y1 - y0), abs(x1 - x0)
    step_y = 1 if y1 >= y0 else -1
    step_x = 1 if x1 >= x0 else -1
    length = 2.0 * math.hypot(dy * hy_mm, dx * hx_mm)
    limit = min(max(limits[0], limits[1] * length), limits[2]) + _SLACK_MM
    # face k of an axis is crossed at (2 k + 1) / (2 d) of the way; both axes are counted in parts of 2 dy dx
    unit_y, unit_x = max(dx, 1), max(dy, 1)
    next_y = unit_y if dy else _NEVER
    next_x = unit_x if dx else _NEVER
    longest = limit * (2 * unit_y * unit_x) / length if length > 0.0 else 0.0
    y, x = y0, x0
    gap_start = -1
    left = dy + dx
    while left > 0:
        here = min(next_y, next_x)
        if next_y == here:
            y += step_y
            next_y += 2 * unit_y
            left -= 1
        if next_x == here:
            x += step_x
            next_x += 2 * unit_x
            left -= 1
        if viable[y, x]:
            if gap_start >= 0 and here - gap_start > longest:
                return False
            gap_start = -1
        else:
            if not lesion[y, x]:
                return False
            if gap_start < 0:
                gap_start = here
            elif here - gap_start > longest:
                return False
    return True


@njit(cache=True, nogil=True)
def chord_length(dy, dx, hy_mm, hx_mm, convention):
    """Length in mm of a chord of ``dy``, ``dx`` voxels (not negative), counted as ``slice_diameters`` does."""
    if convention == CENTRE:
        a, b = 2 * dy * hy_mm, 2 * dx * hx_mm
        return math.sqrt(a * a + b * b)
    if convention == MESH:
        a, b = (2 * dy + 2) * hy_mm, 2 * dx * hx_mm
        squared = a * a + b * b
        a, b = 2 * dy * hy_mm, (2 * dx + 2) * hx_mm
        squared = max(squared, a * a + b * b)
        a, b = (2 * dy + 1) * hy_mm, (2 * dx + 1) * hx_mm
        return math.sqrt(max(squared, a * a + b * b))
    a, b = (2 * dy + 2) * hy_mm, (2 * dx + 2) * hx_mm
    return math.sqrt(a * a + b * b)


@njit(cache=True, nogil=True)
def outer_ends(dy, dx, hy_mm, hx_mm, convention):
    """How far, in voxels, a convention moves the ends of a chord outward: (start, end) along y and along x.

    Subtract the first of each from the start voxel, add the second to the end voxel; (dy, dx) is end minus start.
    """
    sign_y = 0.5 if dy >= 0 else -0.5
    sign_x = 0.5 if dx >= 0 else -0.5
    if convention == CENTRE:
        return (0.0, 0.0), (0.0, 0.0)
    if convention == MESH:
        dy, dx = abs(dy), abs(dx)
        along_y = ((2 * dy + 2) * hy_mm) ** 2 + (2 * dx * hx_mm) ** 2
        along_x = (2 * dy * hy_mm) ** 2 + ((2 * dx + 2) * hx_mm) ** 2
        mixed = ((2 * dy + 1) * hy_mm) ** 2 + ((2 * dx + 1) * hx_mm) ** 2
        if along_y >= along_x and along_y >= mixed:
            return (sign_y, sign_y), (0.0, 0.0)
        if along_x >= mixed:
            return (0.0, 0.0), (sign_x, sign_x)
        return (sign_y, 0.0), (0.0, sign_x)
    return (sign_y, sign_y), (sign_x, sign_x)
