"""Masks as bits, 64 voxels of a row to a word, and the runs of set bits in each row.

``bits`` is uint64, shape (nz, ny, ceil(nx / 64)); voxel x is bit ``x % 64`` of word ``x // 64``; bits past nx are zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, types
from numba.core.cgutils import true_bit
from numba.extending import intrinsic
from numpy.typing import NDArray

from livervol.kernels.slabs import over_slabs

__all__ = [
    "Runs",
    "as_bytes",
    "bits_box",
    "find_root",
    "join_rows",
    "pack",
    "pack_row",
    "row_runs",
    "runs_of_rows",
    "tail_bits",
    "unpack",
]

ONE = np.uint64(1)
TOP = np.uint64(63)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


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


def as_bytes(mask: NDArray[Any]) -> NDArray[np.uint8]:
    """Mask as C-contiguous bytes, zero for background; a copy only where the input is neither bool nor uint8."""
    if mask.dtype == np.bool_:
        return np.ascontiguousarray(mask).view(np.uint8)
    if mask.dtype == np.uint8:
        return np.ascontiguousarray(mask)
    return np.ascontiguousarray(mask != 0).view(np.uint8)


def pack(mask: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Bits of a C-contiguous byte mask; any byte that is not zero counts as set."""
    nz, ny, nx = mask.shape
    bits = np.empty((nz, ny, (nx + 63) // 64), np.uint64)
    over_slabs(_pack, nz, mask.size, mask, bits)
    return bits


def unpack(bits: NDArray[np.uint64], mask: NDArray[np.uint8], x_of_first: int = 0) -> None:
    """Set the bytes of ``mask`` (zero before) whose bit is set; the first bit of a row is voxel ``x_of_first``."""
    over_slabs(_unpack, bits.shape[0], mask.size, bits, mask, x_of_first)


@njit(cache=True, nogil=True)
def _eight(row, x):
    # eight bytes of a row as one word, lowest address in the lowest byte: compiles to one unaligned load; unsigned
    # places spare the test for places counted from the end
    word = np.uint64(row[x])
    word |= np.uint64(row[x + np.uint64(1)]) << np.uint64(8)
    word |= np.uint64(row[x + np.uint64(2)]) << np.uint64(16)
    word |= np.uint64(row[x + np.uint64(3)]) << np.uint64(24)
    word |= np.uint64(row[x + np.uint64(4)]) << np.uint64(32)
    word |= np.uint64(row[x + np.uint64(5)]) << np.uint64(40)
    word |= np.uint64(row[x + np.uint64(6)]) << np.uint64(48)
    word |= np.uint64(row[x + np.uint64(7)]) << np.uint64(56)
    return word


@njit(cache=True, nogil=True)
def _gather(word):
    # one bit per byte that is not zero: the high bit of each byte, then a multiplication that collects them
    low = np.uint64(0x7F7F7F7F7F7F7F7F)
    high = (((word & low) + low) | word) & ~low
    return ((high >> np.uint64(7)) * np.uint64(0x0102040810204080)) >> np.uint64(56)


@njit(cache=True, nogil=True)
def pack_row(row, words, eights):
    """Bits of one row of bytes; ``eights`` is scratch for 8 words."""
    nx = row.size
    whole = nx // 64
    for w in range(whole):
        any_bit = np.uint64(0)
        for part in range(8):
            eights[part] = _eight(row, np.uint64(w * 64 + part * 8))
            any_bit |= eights[part]
        word = np.uint64(0)
        if any_bit != 0:
            for part in range(8):
                word |= _gather(eights[part]) << np.uint64(part * 8)
        words[w] = word
    if whole < words.size:
        word = np.uint64(0)
        for x in range(whole * 64, nx):
            word |= np.uint64(row[x] != 0) << np.uint64(x - whole * 64)
        words[whole] = word


@njit(cache=True, nogil=True)
def _pack(mask, bits, z_start, z_stop):
    eights = np.empty(8, np.uint64)
    for z in range(z_start, z_stop):
        for y in range(mask.shape[1]):
            pack_row(mask[z, y], bits[z, y], eights)


@njit(cache=True, nogil=True)
def _unpack(bits, mask, x_of_first, z_start, z_stop):
    for z in range(z_start, z_stop):
        for y in range(bits.shape[1]):
            row = mask[z, y]
            for w in range(bits.shape[2]):
                word = bits[z, y, w]
                if word != 0:
                    first = x_of_first + w * 64
                    part = row[first : min(row.size, first + 64)]
                    for i in range(part.size):
                        part[i] = np.uint8((word >> np.uint64(i)) & ONE)


def bits_box(bits: NDArray[np.uint64]) -> tuple[int, int, int, int, int, int]:
    """Half-open box of the set bits: z start, z stop, y start, y stop, x start, x stop; all zero when none is set."""
    box: tuple[int, int, int, int, int, int] = _bits_box(bits)
    return box


@njit(cache=True, nogil=True)
def _bits_box(bits):
    nz, ny, nw = bits.shape
    across = np.zeros(nw, np.uint64)
    z_first, z_last, y_first, y_last = -1, -1, ny, -1
    for z in range(nz):
        for y in range(ny):
            any_bit = np.uint64(0)
            for w in range(nw):
                any_bit |= bits[z, y, w]
            if any_bit != 0:
                for w in range(nw):
                    across[w] |= bits[z, y, w]
                if z_first < 0:
                    z_first = z
                z_last = z
                y_first = min(y_first, y)
                y_last = max(y_last, y)
    if z_first < 0:
        return 0, 0, 0, 0, 0, 0
    x_first, x_last = -1, -1
    for x in range(nw * 64):
        if (across[x // 64] >> np.uint64(x % 64)) & ONE:
            if x_first < 0:
                x_first = x
            x_last = x
    return z_first, z_last + 1, y_first, y_last + 1, x_first, x_last + 1


def tail_bits(nx: int) -> np.uint64:
    """The bits of a row's last word that are voxels."""
    return ALL if nx % 64 == 0 else np.uint64((1 << (nx % 64)) - 1)


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
def join_rows(parent, rows, flip, tail, here, here_first, there, there_first, reach):
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
