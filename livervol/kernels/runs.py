"""Runs of set bits in the rows of a mask, and which of them touch: what connected components are made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.core.cgutils import true_bit
from numba.extending import intrinsic
from numpy.typing import NDArray

from livervol.kernels.bits import ALL, ONE, TOP, tail_bits
from livervol.kernels.slabs import over_slabs, slab_edges

__all__ = ["Runs", "find_root", "join_runs", "row_runs", "runs_of_rows", "trailing_zeros", "write_runs"]


class Runs(NamedTuple):
    """Runs of set bits (or, with ``flip`` all ones, of clear bits) of each row, in scan order.

    Row ``r`` has the runs ``offsets[r]`` to ``offsets[r + 1]``, each from x ``starts`` up to ``stops`` exclusive.
    """

    rows: NDArray[np.uint64]  # (rows, words)
    flip: np.uint64
    tail: np.uint64
    offsets: NDArray[np.int64]
    starts: NDArray[np.int32]
    stops: NDArray[np.int32]


def runs_of_rows(bits: NDArray[np.uint64], nx: int, background: bool = False) -> Runs:
    """Runs of every row ``z * ny + y`` of ``bits``."""
    rows = bits.reshape(-1, bits.shape[2])
    flip, tail = ALL if background else np.uint64(0), tail_bits(nx)
    offsets = np.zeros(rows.shape[0] + 1, np.int64)
    over_slabs(_count_rows, rows.shape[0], rows.size * 64, rows, flip, tail, offsets)
    np.cumsum(offsets, out=offsets)
    starts = np.empty(offsets[-1], np.int32)
    stops = np.empty(offsets[-1], np.int32)
    over_slabs(_write_rows, rows.shape[0], rows.size * 64, rows, flip, tail, offsets, starts, stops)
    return Runs(rows, flip, tail, offsets, starts, stops)


def join_runs(runs: Runs, nz: int, ny: int, connectivity: int) -> NDArray[np.int32]:
    """Parent of each run in a forest whose trees are the connected components; a root is its component's first run.

    ``connectivity`` 6, 18 or 26 as usual; 4 joins within each plane only. No run's parent comes after it.
    """
    parent = np.arange(runs.starts.size, dtype=np.int32)
    shared = (parent, runs.rows, runs.flip, runs.tail, runs.offsets, ny, connectivity)
    voxels = runs.rows.size * 64
    over_slabs(_join_slab, nz, voxels, *shared)
    if connectivity != 4:
        for z in slab_edges(nz, voxels)[1:-1]:
            _join_planes(*shared, z)
    return parent


def write_runs(target: NDArray[Any], runs: Runs, numbers: NDArray[Any]) -> None:
    """Write each run's number into its voxels of ``target`` [z, y, x]; runs of number 0 are left alone."""
    over_slabs(_write_runs, target.shape[0], target.size, target, runs.offsets, runs.starts, runs.stops, numbers)


@intrinsic
def trailing_zeros(typing_context, word):
    """Position of the lowest set bit of a word that is not zero."""

    def lower(context, builder, signature, arguments):
        return builder.cttz(arguments[0], true_bit)

    return types.int64(types.uint64), lower


@intrinsic
def set_bits(typing_context, word):
    """Number of set bits of a word."""

    def lower(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), lower


@njit(cache=True, nogil=True)
def row_runs(rows, row, flip, tail, starts, stops, first):
    """Write the runs of one row as half-open x ranges from place ``first`` on; returns the next free place.

    ``flip`` is all ones to look at the clear bits instead; ``tail`` holds the bits of the last word that are voxels.
    """
    at_start = first
    at_stop = first
    before = np.uint64(0)
    last = rows.shape[1] - 1
    for w in range(last + 1):
        word = rows[row, w] ^ flip
        if w == last:
            word &= tail
        shifted = (word << ONE) | before
        begins = word & ~shifted
        ends = shifted & ~word
        while begins != 0:
            starts[at_start] = w * 64 + trailing_zeros(begins)
            at_start += 1
            begins &= begins - ONE
        while ends != 0:
            stops[at_stop] = w * 64 + trailing_zeros(ends)
            at_stop += 1
            ends &= ends - ONE
        before = word >> TOP
    if at_stop < at_start:
        stops[at_stop] = (last + 1) * 64  # only a row of whole words has no clear bit after its last run
    return at_start


@njit(cache=True, nogil=True)
def _count_rows(rows, flip, tail, counts, row_start, row_stop):
    last = rows.shape[1] - 1
    for row in range(row_start, row_stop):
        count = 0
        before = np.uint64(0)
        for w in range(last + 1):
            word = rows[row, w] ^ flip
            if w == last:
                word &= tail
            count += set_bits(word & ~((word << ONE) | before))
            before = word >> TOP
        counts[row + 1] = count


@njit(cache=True, nogil=True)
def _write_rows(rows, flip, tail, offsets, starts, stops, row_start, row_stop):
    for row in range(row_start, row_stop):
        if offsets[row] < offsets[row + 1]:
            row_runs(rows, row, flip, tail, starts, stops, offsets[row])


@njit(cache=True, nogil=True)
def find_root(parent, run):
    """Root of a run, halving the path on the way."""
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@njit(cache=True, nogil=True)
def _union(parent, a, b):
    # the smaller run becomes the root, so that roots come in scan order
    while parent[a] != a:
        parent[a] = parent[parent[a]]
        a = parent[a]
    while parent[b] != b:
        parent[b] = parent[parent[b]]
        b = parent[b]
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


@njit(cache=True, nogil=True)
def _join_rows(parent, rows, flip, tail, here, here_first, there, there_first, reach):
    """Join the touching runs of two rows; ``reach`` 1 also joins runs that meet only at a corner.

    ``rows`` is (rows, words); ``here_first`` and ``there_first`` are the numbers of their first runs. Of two touching
    runs one starts inside (or, at a corner, just past) the other: those starts are the set bits of a few word
    operations, and the number of starts up to a bit is the number of its run.
    """
    a_before, b_before = np.uint64(0), np.uint64(0)
    a_run, b_run = here_first - 1, there_first - 1
    last = rows.shape[1] - 1
    for w in range(last + 1):
        a, b = rows[here, w] ^ flip, rows[there, w] ^ flip
        if w == last:
            a &= tail
            b &= tail
        a_late, b_late = (a << ONE) | a_before, (b << ONE) | b_before
        a_starts, b_starts = a & ~a_late, b & ~b_late
        if reach:
            meet = (a_starts & (b | b_late)) | (b_starts & (a | a_late))
        else:
            meet = (a_starts & b) | (b_starts & a)
        while meet != 0:
            upto = meet ^ (meet - ONE)  # this bit and all below
            _union(parent, a_run + set_bits(a_starts & upto), b_run + set_bits(b_starts & upto))
            meet &= meet - ONE
        a_run += set_bits(a_starts)
        b_run += set_bits(b_starts)
        a_before, b_before = a >> TOP, b >> TOP


@njit(cache=True, nogil=True)
def _join_planes(parent, rows, flip, tail, offsets, ny, connectivity, z):
    # rows of plane z with the rows of plane z - 1
    side = 0 if connectivity <= 6 else 1
    corner = 1 if connectivity == 26 else 0
    for row in range(z * ny, (z + 1) * ny):
        first = offsets[row]
        if first == offsets[row + 1]:
            continue
        for other in range(row - ny - 1, row - ny + 2):
            straight = other == row - ny
            if not straight and (connectivity == 6 or other < (z - 1) * ny or other >= z * ny):
                continue
            if offsets[other] < offsets[other + 1]:
                reach = side if straight else corner
                _join_rows(parent, rows, flip, tail, row, first, other, offsets[other], reach)


@njit(cache=True, nogil=True)
def _join_slab(parent, rows, flip, tail, offsets, ny, connectivity, z_start, z_stop):
    side = 0 if connectivity <= 6 else 1
    for z in range(z_start, z_stop):
        for row in range(z * ny + 1, (z + 1) * ny):
            if offsets[row - 1] < offsets[row] < offsets[row + 1]:
                _join_rows(parent, rows, flip, tail, row, offsets[row], row - 1, offsets[row - 1], side)
        if z > z_start and connectivity != 4:
            _join_planes(parent, rows, flip, tail, offsets, ny, connectivity, z)


@njit(cache=True, nogil=True)
def _write_runs(target, offsets, starts, stops, numbers, z_start, z_stop):
    ny = target.shape[1]
    for z in range(z_start, z_stop):
        for y in range(ny):
            row = z * ny + y
            for run in range(offsets[row], offsets[row + 1]):
                number = numbers[run]
                if number != 0:
                    for x in range(starts[run], stops[run]):
                        target[z, y, x] = number
