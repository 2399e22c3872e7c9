"""Masks as bits, 64 voxels of a row to a word.

``bits`` is uint64, shape (nz, ny, ceil(nx / 64)); voxel x is bit ``x % 64`` of word ``x // 64``; bits past nx are zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.slabs import frozen, over_slabs

__all__ = ["ALL", "ONE", "TOP", "as_bytes", "bits_box", "pack", "pack_row", "tail_bits", "unpack"]

ONE = np.uint64(1)
TOP = np.uint64(63)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


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
    over_slabs(_pack, nz, mask.size, frozen(mask), bits)
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
