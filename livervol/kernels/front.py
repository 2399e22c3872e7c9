"""Front propagation: the region of a threshold that seeds reach, and arrival costs from seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.bits import as_bytes, pack, pack_row, unpack
from livervol.kernels.slabs import over_slabs

__all__ = ["geodesic_front", "grow_region"]

Spacing = tuple[float, float, float]

#: Entries of one link in a bucket's chain.
LINK = 128


def grow_region(
    values: NDArray[Any], seeds: NDArray[Any], low: float, high: float, barrier: NDArray[Any] | None = None
) -> NDArray[np.uint8]:
    """Mask (0 and 1) of the voxels with ``low <= value <= high`` that a path through voxel faces joins to a seed.

    ``low`` and ``high`` in the unit of ``values`` (int16, uint8 or float32, [z, y, x]); the path stays within the
    thresholds and off ``barrier``. ``seeds`` and ``barrier`` are masks, zero for no; a seed outside the thresholds or
    on the barrier counts for nothing.
    """
    source = np.ascontiguousarray(values)
    nz, ny, nx = source.shape
    words = np.zeros((nz, ny, (nx + 63) // 64), np.uint64)
    limits = _limits(source.dtype, low, high)
    if limits is not None:
        over_slabs(_threshold, nz, source.size, source, *limits, words)
    if barrier is not None:
        words &= ~pack(as_bytes(barrier))
    reached = pack(as_bytes(seeds)) & words
    _flood(words.reshape(nz * ny, -1), reached.reshape(nz * ny, -1), ny)
    region = np.zeros(source.shape, np.uint8)
    unpack(reached, region)
    return region


def geodesic_front(
    cost: NDArray[Any], seeds: NDArray[Any], spacing_mm: Spacing, max_cost: float = np.inf, connectivity: int = 26
) -> NDArray[np.float32]:
    """Least cost of a path of voxels from any seed to each voxel, in mm times the unit of ``cost``; infinite if none.

    A step between neighbours (``connectivity`` 6, 18 or 26) costs its length in mm times the mean of the two voxels'
    ``cost``. Voxels whose cost is negative, NaN or infinite are walls, also for seeds; voxels beyond ``max_cost`` are
    infinite. Exact on this graph in single precision: buckets of equal cost range are emptied in turn, a voxel whose
    cost falls again returns to its bucket (Meyer & Sanders 2003, J Algorithms 49:114). Shapes [z, y, x], float32.
    """
    if connectivity not in (6, 18, 26):
        raise ValueError(f"connectivity is not a neighbourhood: expected 6, 18 or 26, got {connectivity}.")
    steps, lengths = _steps(spacing_mm, connectivity)
    # a frame of walls spares the test for the array's border; half prices, because a step pays half at either end
    half = np.full([n + 2 for n in cost.shape], np.inf, np.float32)
    cheapest, dearest = _half_prices(np.ascontiguousarray(cost), half)
    framed = np.full(half.shape, np.inf, np.float32)
    if dearest >= 0:
        starts = np.flatnonzero(np.pad(as_bytes(seeds), 1))
        jumps = steps @ np.array([half.shape[1] * half.shape[2], half.shape[2], 1])
        width, buckets = _bucket_plan(2.0 * cheapest, 2.0 * dearest, lengths)
        _front(half.ravel(), starts, jumps, lengths, np.float32(max_cost), width, buckets, framed.ravel())
    return np.ascontiguousarray(framed[1:-1, 1:-1, 1:-1])


def _limits(dtype: np.dtype[Any], low: float, high: float) -> tuple[Any, Any] | None:
    # whole numbers compare fastest in their own type: the limits rounded inwards mean the same
    if dtype.kind not in "iu":
        return float(low), float(high)
    least, greatest = np.iinfo(dtype).min, np.iinfo(dtype).max
    if not (low <= greatest and high >= least):
        return None
    return dtype.type(np.ceil(max(low, least))), dtype.type(np.floor(min(high, greatest)))


def _steps(spacing_mm: Spacing, connectivity: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    axes_at_most = {6: 1, 18: 2, 26: 3}[connectivity]
    steps = np.array([s for s in np.ndindex(3, 3, 3) if 0 < sum(k != 1 for k in s) <= axes_at_most], dtype=np.int64) - 1
    lengths = np.sqrt(((steps * np.asarray(spacing_mm, dtype=np.float64)) ** 2).sum(axis=1))
    return steps, lengths.astype(np.float32)


def _bucket_plan(cheapest: float, dearest: float, lengths: NDArray[np.float32]) -> tuple[float, int]:
    # The ring must span the dearest single step; a width near the cheapest step keeps voxels from being settled twice.
    longest = float(lengths.max()) * dearest
    width = max(float(lengths.min()) * cheapest, longest / 4096.0)
    if width <= 0:
        width = 1.0
    return width, int(longest / width) + 3


@njit(cache=True, nogil=True)
def _half_prices(cost, half):
    # walls become infinite; the range of the others
    cheapest, dearest = np.inf, -1.0
    for z in range(cost.shape[0]):
        for y in range(cost.shape[1]):
            for x in range(cost.shape[2]):
                value = np.float32(cost[z, y, x])
                if value >= 0 and value < np.inf:
                    value *= np.float32(0.5)
                    half[z + 1, y + 1, x + 1] = value
                    cheapest = min(cheapest, value)
                    dearest = max(dearest, value)
    return cheapest, dearest


@njit(cache=True, nogil=True)
def _threshold(values, low, high, bits, z_start, z_stop):
    within = np.empty(values.shape[2], np.uint8)
    eights = np.empty(8, np.uint64)
    for z in range(z_start, z_stop):
        for y in range(values.shape[1]):
            row = values[z, y]
            for x in range(row.size):
                within[x] = (row[x] >= low) & (row[x] <= high)
            pack_row(within, bits[z, y], eights)


@njit(cache=True, nogil=True)
def _spread(open_to, reached, row):
    # along one row: adding a bit to the run above it carries to the run's end; downwards by doubling steps
    words = open_to.shape[1]
    carry = np.uint64(0)
    for w in range(words):
        way, here = open_to[row, w], reached[row, w]
        once = way + here
        total = once + carry
        carry = np.uint64((once < way) | (total < once))
        reached[row, w] = here | ((total ^ way) & way)
    above = np.uint64(0)
    for w in range(words - 1, -1, -1):
        way = open_to[row, w]
        here = reached[row, w] | ((above << np.uint64(63)) & way)
        for step in (1, 2, 4, 8, 16, 32):
            here |= way & (here >> np.uint64(step))
            way &= way >> np.uint64(step)
        reached[row, w] = here
        above = here & np.uint64(1)


@njit(cache=True, nogil=True)
def _flood(open_to, reached, ny):
    # rows wait in a ring until they have been spread along and handed on to the four rows beside them
    rows, words = open_to.shape
    ring = np.empty(rows, np.int64)
    waits = np.zeros(rows, np.bool_)
    head, waiting = 0, 0
    for row in range(rows):
        for w in range(words):
            if reached[row, w] != 0 and not waits[row]:
                waits[row] = True
                ring[waiting] = row
                waiting += 1
    while waiting > 0:
        row = ring[head]
        head = head + 1 if head + 1 < rows else 0
        waiting -= 1
        waits[row] = False
        _spread(open_to, reached, row)
        y = row % ny
        for side in range(4):
            other = row + (-1, 1, -ny, ny)[side]
            if other < 0 or other >= rows or (side == 0 and y == 0) or (side == 1 and y == ny - 1):
                continue
            fresh = np.uint64(0)
            for w in range(words):
                step = reached[row, w] & open_to[other, w] & ~reached[other, w]
                reached[other, w] |= step
                fresh |= step
            if fresh != 0 and not waits[other]:
                waits[other] = True
                ring[(head + waiting) % rows] = other
                waiting += 1


@njit(cache=True, nogil=True)
def _grown(values, fill_from):
    # twice as long; a chain of free links goes on into the new half
    longer = np.empty(2 * values.size, values.dtype)
    longer[: values.size] = values
    if fill_from:
        for link in range(values.size, longer.size):
            longer[link] = link + 1
    return longer


@njit(cache=True, nogil=True)
def _front(half, starts, jumps, lengths, limit, width, buckets, best):
    # Each bucket is a chain of links of LINK entries: heads[slot] the link being filled, fills[slot] its entries,
    # chain[link] the next one; unused links form a chain of their own, whose last link is never used.
    heads = np.full(buckets, -1, np.int64)
    fills = np.full(buckets, LINK, np.int64)
    chain = np.arange(1, max(64, 2 * (starts.size // LINK + jumps.size)) + 1)
    places = np.empty(chain.size * LINK, np.int64)
    keys = np.empty(chain.size * LINK, np.float32)
    free, used = 0, 0
    waiting = 0
    for voxel in starts:
        if half[voxel] < np.inf:
            best[voxel] = 0
            if fills[0] == LINK:
                link, free = free, chain[free]
                chain[link], heads[0], fills[0] = heads[0], link, 0
                used += 1
            at = heads[0] * LINK + fills[0]
            places[at], keys[at] = voxel, 0
            fills[0] += 1
            waiting += 1
    slot = 0
    while waiting > 0:
        while heads[slot] >= 0:
            if used + jumps.size + 1 >= chain.size:
                chain = _grown(chain, True)
                places = _grown(places, False)
                keys = _grown(keys, False)
            link = heads[slot]
            fills[slot] -= 1
            at = link * LINK + fills[slot]
            voxel, key = places[at], keys[at]
            if fills[slot] == 0:
                heads[slot], fills[slot] = chain[link], LINK
                chain[link], free = free, link
                used -= 1
            waiting -= 1
            if best[voxel] < key:
                continue
            own = half[voxel]
            for k in range(jumps.size):
                other = voxel + jumps[k]
                offer = np.float32(key + lengths[k] * (own + half[other]))
                if offer < best[other] and offer <= limit:
                    best[other] = offer
                    into = np.int64(offer / width) % buckets
                    if fills[into] == LINK:
                        fresh, free = free, chain[free]
                        chain[fresh], heads[into], fills[into] = heads[into], fresh, 0
                        used += 1
                    at = heads[into] * LINK + fills[into]
                    places[at], keys[at] = other, offer
                    fills[into] += 1
                    waiting += 1
        slot = slot + 1 if slot + 1 < buckets else 0
