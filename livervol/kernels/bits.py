"""Masks as bits, 64 voxels of a row to a word, and the runs of set bits in each row.

``bits`` is uint64, shape (nz, ny, ceil(nx / 64)); voxel x is bit ``x % 64`` of word ``x // 64``; bits past nx are zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.core.cgutils import true_bit
from numba.extending import intrinsic
from numpy.typing import NDArray

from livervol.kernels.slabs import over_slabs

__all__ = ["as_bytes", "bits_box", "find_root", "join_rows", "pack", "row_runs", "runs_of_rows", "trailing_zeros"]

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


def unpack(bits: NDArray[np.uint64], nx: int) -> NDArray[np.uint8]:
    """Byte mask (0 and 1) of ``bits`` with rows of ``nx`` voxels."""
    mask = np.zeros((bits.shape[0], bits.shape[1], nx), np.uint8)
    over_slabs(_unpack, bits.shape[0], mask.size, bits, mask)
    return mask


@njit(cache=True, nogil=True)
def _eight(row, x):
    # eight bytes of a row as one word, lowest address in the lowest byte (one unaligned load on little-endian machines)
    word = np.uint64(row[x])
    word |= np.uint64(row[x + 1]) << np.uint64(8)
    word |= np.uint64(row[x + 2]) << np.uint64(16)
    word |= np.uint64(row[x + 3]) << np.uint64(24)
    word |= np.uint64(row[x + 4]) << np.uint64(32)
    word |= np.uint64(row[x + 5]) << np.uint64(40)
    word |= np.uint64(row[x + 6]) << np.uint64(48)
    word |= np.uint64(row[x + 7]) << np.uint64(56)
    return word


@njit(cache=True, nogil=True)
def _gather(word):
    # one bit per byte that is not zero: the high bit of each byte, then a multiplication that collects them
    low = np.uint64(0x7F7F7F7F7F7F7F7F)
    high = (((word & low) + low) | word) & ~low
    return ((high >> np.uint64(7)) * np.uint64(0x0102040810204080)) >> np.uint64(56)


@njit(cache=True, nogil=True)
def pack_row(row, words):
    """Bits of one row of bytes."""
    nx = row.size
    whole = nx // 64
    for w in range(whole):
        word = np.uint64(0)
        for part in range(8):
            word |= _gather(_eight(row, w * 64 + part * 8)) << np.uint64(part * 8)
        words[w] = word
    if whole < words.size:
        word = np.uint64(0)
        for x in range(whole * 64, nx):
            word |= np.uint64(row[x] != 0) << np.uint64(x - whole * 64)
        words[whole] = word


@njit(cache=True, nogil=True)
def _pack(mask, bits, z_start, z_stop):
    for z in range(z_start, z_stop):
        for y in range(mask.shape[1]):
            pack_row(mask[z, y], bits[z, y])


@njit(cache=True, nogil=True)
def _unpack(bits, mask, z_start, z_stop):
    nx = mask.shape[2]
    for z in range(z_start, z_stop):
        for y in range(mask.shape[1]):
            row = mask[z, y]
            for w in range(bits.shape[2]):
                word = bits[z, y, w]
                if word != 0:
                    first = w * 64
                    for x in range(first, min(nx, first + 64)):
                        row[x] = np.uint8((word >> np.uint64(x - first)) & ONE)


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


@njit(cache=True, nogil=True)
def row_run_count(words, nx, flip):
    """Runs in one row; ``flip`` is all ones to look at the clear bits instead."""
    count = 0
    before = np.uint64(0)
    last = words.size - 1
    for w in range(words.size):
        word = words[w] ^ flip
        if w == last and nx % 64:
            word &= (ONE << np.uint64(nx % 64)) - ONE
        count += set_bits(word & ~((word << ONE) | before))
        before = word >> TOP
    return count


@njit(cache=True, nogil=True)
def row_runs(words, nx, flip, starts, stops, first):
    """Write the runs of one row as half-open x ranges from place ``first`` on; returns the next free place."""
    at_start = first
    at_stop = first
    before = np.uint64(0)
    last = words.size - 1
    for w in range(words.size):
        word = words[w] ^ flip
        if w == last and nx % 64:
            word &= (ONE << np.uint64(nx % 64)) - ONE
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
        stops[at_stop] = nx
    return at_start


@njit(cache=True, nogil=True)
def _count_rows(bits, nx, flip, counts, z_start, z_stop):
    ny = bits.shape[1]
    for z in range(z_start, z_stop):
        for y in range(ny):
            counts[z * ny + y + 1] = row_run_count(bits[z, y], nx, flip)


@njit(cache=True, nogil=True)
def _write_rows(bits, nx, flip, offsets, starts, stops, z_start, z_stop):
    ny = bits.shape[1]
    for z in range(z_start, z_stop):
        for y in range(ny):
            row = z * ny + y
            if offsets[row] < offsets[row + 1]:
                row_runs(bits[z, y], nx, flip, starts, stops, offsets[row])


def runs_of_rows(
    bits: NDArray[np.uint64], nx: int, background: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Runs of set bits (or of clear bits): offsets of each row ``z * ny + y`` into starts and stops, in scan order."""
    nz, ny, _ = bits.shape
    flip = ALL if background else np.uint64(0)
    offsets = np.zeros(nz * ny + 1, np.int64)
    over_slabs(_count_rows, nz, nz * ny * nx, bits, nx, flip, offsets)
    np.cumsum(offsets, out=offsets)
    starts = np.empty(offsets[-1], np.int32)
    stops = np.empty(offsets[-1], np.int32)
    over_slabs(_write_rows, nz, nz * ny * nx, bits, nx, flip, offsets, starts, stops)
    return offsets, starts, stops


@njit(cache=True, nogil=True)
def find_root(parent, run):
    """Root of a run, halving the path on the way."""
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@njit(cache=True, nogil=True)
def join_rows(parent, starts, stops, here, here_end, there, there_end, reach):
    """Join the touching runs of two rows; ``reach`` 1 also joins runs that meet only at a corner.

    The smaller index becomes the root, so that roots come in scan order.
    """
    while here < here_end and there < there_end:
        if stops[there] + reach <= starts[here]:
            there += 1
        elif stops[here] + reach <= starts[there]:
            here += 1
        else:
            a = find_root(parent, here)
            b = find_root(parent, there)
            if a < b:
                parent[b] = a
            elif b < a:
                parent[a] = b
            if stops[here] < stops[there]:
                here += 1
            else:
                there += 1
