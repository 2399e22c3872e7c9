"""Skeletons: a mask worn down to curves one voxel wide that keep its pieces, tunnels and ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.bits import as_bytes

__all__ = ["thin_to_curves"]

Spacing = tuple[float, float, float]

#: An end is worn back where the depth falls towards it by more than so much per mm, within so many steps.
FALL, REACH = np.float32(0.4), 4


def _neighbourhoods() -> tuple[NDArray[np.int64], NDArray[np.int64], int, int]:
    # bit k of a neighbourhood is the voxel at (k // 9 - 1, k // 3 % 3 - 1, k % 3 - 1) from its centre, bit 13 itself
    places = np.array(list(np.ndindex(3, 3, 3))) - 1
    apart = np.abs(places[:, None] - places[None])
    corner = apart.max(axis=2) == 1
    face = apart.sum(axis=2) == 1
    steps = np.abs(places).sum(axis=1)
    near = (steps == 1) | (steps == 2)  # the 18 neighbours that share a face or an edge

    def words(table: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.array([sum(1 << int(j) for j in np.flatnonzero(row)) for row in table], np.int64)

    around = steps > 0
    faces = sum(1 << int(k) for k in np.flatnonzero(steps == 1))
    eighteen = sum(1 << int(k) for k in np.flatnonzero(near))
    return words(corner & around[None]), words(face & near[None]), faces, eighteen


_CORNER, _FACE, _FACES, _EIGHTEEN = _neighbourhoods()


def thin_to_curves(mask: NDArray[Any], depth_mm: NDArray[np.float32], spacing_mm: Spacing) -> NDArray[np.uint8]:
    """Curves (0 and 1) along the middle of a mask, same pieces (26) and tunnels; ``depth_mm`` is worn off lowest first.

    A voxel goes when its removal changes no piece and no tunnel (a simple point: Bertrand & Malandain 1994, Pattern
    Recognit Lett 15:169) and it does not end a curve. ``depth_mm`` is the distance to the outside, which keeps the
    curves centred (Pudney 1998, Comput Vis Image Underst 72:404); ties go in scan order. Then free ends are worn back
    as long as the depth falls towards them by more than 0.4 mm per mm over a few steps: a branch runs level and keeps
    its end, a bump of the surface makes none. ``mask`` [z, y, x], zero for no.
    """
    framed = np.pad((as_bytes(mask) != 0).view(np.uint8), 1)
    depth = np.pad(np.asarray(depth_mm, np.float32), 1).ravel()
    voxels = np.flatnonzero(framed)
    order = voxels[np.argsort(depth[voxels], kind="stable")]
    places = np.array(list(np.ndindex(3, 3, 3))) - 1
    jumps = places @ np.array([framed.shape[1] * framed.shape[2], framed.shape[2], 1])
    field = framed.ravel()
    _thin(field, order, jumps, _CORNER, _FACE, _FACES, _EIGHTEEN)
    lengths = np.sqrt(((places * np.asarray(spacing_mm)) ** 2).sum(axis=1)).astype(np.float32)
    _wear_ends(field, depth, np.flatnonzero(field), jumps, lengths)
    return np.ascontiguousarray(framed[1:-1, 1:-1, 1:-1])


@njit(cache=True, nogil=True)
def _reach(start, within, beside):
    # all bits of within that steps of beside join to start
    reached, fresh = start, start
    while fresh:
        grown = np.int64(0)
        for k in range(27):
            if (fresh >> k) & 1:
                grown |= beside[k]
        fresh = grown & within & ~reached
        reached |= fresh
    return reached


@njit(cache=True, nogil=True)
def _is_simple(here, corner, face, faces, eighteen):
    # one piece of foreground among the 26, one piece of background that touches the centre's faces among the 18
    if here == 0 or _reach(here & -here, here, corner) != here:
        return False
    away = eighteen & ~here
    touching = away & faces
    return touching != 0 and (_reach(touching & -touching, away, face) & touching) == touching


@njit(cache=True, nogil=True)
def _thin(field, order, jumps, corner, face, faces, eighteen):
    left = order.copy()
    count, before = left.size, left.size + 1
    while count < before:
        before, count = count, 0
        for n in range(before):
            voxel = left[n]
            here, neighbours = np.int64(0), 0
            for k in range(27):
                if k != 13 and field[voxel + jumps[k]]:
                    here |= np.int64(1) << k
                    neighbours += 1
            if neighbours > 1 and _is_simple(here, corner, face, faces, eighteen):
                field[voxel] = 0
            else:
                left[count] = voxel
                count += 1


@njit(cache=True, nogil=True)
def _onward(field, voxel, back, jumps):
    # neighbours of a voxel other than back, and the last of them
    count, last = 0, -1
    for k in range(27):
        other = voxel + jumps[k]
        if k != 13 and other != back and field[other]:
            count += 1
            last = k
    return count, last


@njit(cache=True, nogil=True)
def _wear_ends(field, depth, voxels, jumps, lengths):
    for start in voxels:
        voxel = start
        while field[voxel]:
            count, step = _onward(field, voxel, -1, jumps)
            if count != 1:
                break
            at, back, length, falls = voxel, np.int64(-1), np.float32(0), False
            for _ in range(REACH):
                count, onward = _onward(field, at, back, jumps)
                if count != 1:
                    break
                back, at, length = at, at + jumps[onward], length + lengths[onward]
                falls = falls or depth[voxel] < depth[at] - FALL * length
            if not falls:
                break
            field[voxel] = 0
            voxel += jumps[step]
