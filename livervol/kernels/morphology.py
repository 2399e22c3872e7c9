"""Erosion, dilation, opening and closing with a ball given in millimetres."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.bits import ALL, as_bytes, bits_box, pack, tail_bits, unpack
from livervol.kernels.slabs import over_slabs

__all__ = ["ball_half_widths", "close_mm", "dilate_mm", "erode_mm", "open_mm"]

Spacing = tuple[float, float, float]

#: A voxel centre on the sphere belongs to the ball although its distance carries rounding (1e-9 of the radius).
ON_SPHERE = 1.0 + 1e-9


def ball_half_widths(radius_mm: float, spacing_mm: Spacing) -> NDArray[np.int64]:
    """Half width in voxels along x of the ball at each offset (dz, dy) >= 0; -1 where the ball has no voxel.

    An offset belongs to the ball when ``(dz sz)^2 + (dy sy)^2 + (dx sx)^2 <= radius^2``.
    """
    sz, sy, sx = (float(s) for s in spacing_mm)
    square = (float(radius_mm) * ON_SPHERE) ** 2
    planes, rows = int(radius_mm * ON_SPHERE / sz) + 1, int(radius_mm * ON_SPHERE / sy) + 1
    widths = np.full((planes, rows), -1, np.int64)
    for dz in range(planes):
        for dy in range(rows):
            rest = square - (dz * sz) ** 2 - (dy * sy) ** 2
            if rest >= 0:
                widths[dz, dy] = int(np.sqrt(rest) / sx)
    return widths


def dilate_mm(mask: NDArray[Any], radius_mm: float, spacing_mm: Spacing) -> NDArray[np.uint8]:
    """Mask (0 and 1) of the voxels whose ball of ``radius_mm`` meets the foreground.

    The ball holds the voxel centres at a distance of at most the radius. Outside the array is background.
    """
    return _morph(mask, radius_mm, spacing_mm, "dilate")


def erode_mm(mask: NDArray[Any], radius_mm: float, spacing_mm: Spacing) -> NDArray[np.uint8]:
    """Mask (0 and 1) of the voxels whose ball of ``radius_mm`` lies in the foreground.

    Outside the array is foreground, so a structure cut by the field of view is not eaten from the cut.
    """
    return _morph(mask, radius_mm, spacing_mm, "erode")


def open_mm(mask: NDArray[Any], radius_mm: float, spacing_mm: Spacing) -> NDArray[np.uint8]:
    """Mask (0 and 1) without what a ball of ``radius_mm`` cannot enter: erosion, then dilation, borders as theirs."""
    return _morph(mask, radius_mm, spacing_mm, "open")


def close_mm(mask: NDArray[Any], radius_mm: float, spacing_mm: Spacing) -> NDArray[np.uint8]:
    """Mask (0 and 1) with every gap a ball of ``radius_mm`` cannot enter filled: dilation, then erosion.

    The array's border is foreground to the erosion, so closing never removes a voxel.
    """
    return _morph(mask, radius_mm, spacing_mm, "close")


def _morph(mask: NDArray[Any], radius_mm: float, spacing_mm: Spacing, what: str) -> NDArray[np.uint8]:
    source = as_bytes(mask)
    bits = pack(source)
    z0, z1, y0, y1, x0, x1 = bits_box(bits)
    result = np.zeros(source.shape, np.uint8)
    if z1 == 0:
        return result
    widths = ball_half_widths(radius_mm, spacing_mm)
    nz, ny, nx = source.shape
    # a dilation reaches one radius past the mask's box; the erosion of a closing looks one radius further
    reach = 2 if what == "close" else 1
    rz, ry, rx = reach * (widths.shape[0] - 1), reach * (widths.shape[1] - 1), reach * int(widths[0, 0])
    za, zb, ya, yb = max(0, z0 - rz), min(nz, z1 + rz), max(0, y0 - ry), min(ny, y1 + ry)
    wa, wb = max(0, x0 - rx) // 64, (min(nx, x1 + rx) + 63) // 64
    box = np.ascontiguousarray(bits[za:zb, ya:yb, wa:wb])
    ends = np.full(wb - wa, ALL)  # the bits of a row that are voxels of the array
    if wb == bits.shape[2]:
        ends[-1] = tail_bits(nx)
    if what in ("dilate", "close"):
        box = _dilated(box, ends, widths)
    if what != "dilate":
        box = _flipped(_dilated(_flipped(box, ends), ends, widths), ends)
    if what == "open":
        box = _dilated(box, ends, widths)
    unpack(box, result[za:zb, ya:yb], wa * 64)
    return result


def _flipped(bits: NDArray[np.uint64], ends: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return ~bits & ends


def _dilated(bits: NDArray[np.uint64], ends: NDArray[np.uint64], widths: NDArray[np.int64]) -> NDArray[np.uint64]:
    spread = np.zeros_like(bits)
    over_slabs(_dilate, bits.shape[0], bits.size * 64, bits, ends, widths, spread)
    return spread


@njit(cache=True, nogil=True)
def _widen(plane, wider):
    # every row one voxel wider on both sides
    ny, nw = plane.shape
    for y in range(ny):
        for w in range(nw):
            word = plane[y, w]
            near = word | (word << np.uint64(1)) | (word >> np.uint64(1))
            if w > 0:
                near |= plane[y, w - 1] >> np.uint64(63)
            if w < nw - 1:
                near |= plane[y, w + 1] << np.uint64(63)
            wider[y, w] = near


@njit(cache=True, nogil=True)
def _add_shifted(source, rows, target):
    # target row y gains source row y + rows; planes are flat, so the loop is one long run of words
    ny, nw = source.shape
    flat, onto = source.reshape(ny * nw), target.reshape(ny * nw)
    jump = rows * nw
    if rows >= 0:
        for i in range(ny * nw - jump):
            onto[i] |= flat[i + jump]
    else:
        for i in range(-jump, ny * nw):
            onto[i] |= flat[i + jump]


@njit(cache=True, nogil=True)
def _dilate(bits, ends, widths, spread, z_start, z_stop):
    nz, ny, nw = bits.shape
    deep, tall = widths.shape
    now = np.empty((ny, nw), np.uint64)
    wider = np.empty((ny, nw), np.uint64)
    for source in range(max(0, z_start - deep + 1), min(nz, z_stop + deep - 1)):
        empty = True
        for y in range(ny):
            for w in range(nw):
                now[y, w] = bits[source, y, w]
                if now[y, w] != 0:
                    empty = False
        if empty:
            continue
        for width in range(widths[0, 0] + 1):
            if width > 0:
                _widen(now, wider)
                now, wider = wider, now
            for dz in range(-deep + 1, deep):
                z = source + dz
                if z < z_start or z >= z_stop:
                    continue
                for dy in range(-tall + 1, tall):
                    if widths[abs(dz), abs(dy)] == width and abs(dy) < ny:
                        _add_shifted(now, dy, spread[z])
    for z in range(z_start, z_stop):
        for y in range(ny):
            for w in range(nw):
                spread[z, y, w] &= ends[w]
