"""Front propagation: the region of a threshold that seeds reach, and arrival costs from seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.bits import as_bytes, pack, pack_row
from livervol.kernels.runs import find_root, join_runs, runs_of_rows, trailing_zeros, write_runs
from livervol.kernels.slabs import over_slabs

__all__ = ["geodesic_front", "grow_region"]

Spacing = tuple[float, float, float]

#: Entries of one link in a bucket's chain.
LINK = 256


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
    runs = runs_of_rows(words, nx)
    region = np.zeros(source.shape, np.uint8)
    parent = join_runs(runs, nz, ny, 6)
    reached = _reached(parent, runs.offsets, runs.starts, pack(as_bytes(seeds)) & words)
    write_runs(region, runs, reached)
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
    price = np.ascontiguousarray(cost, dtype=np.float32)
    steps, lengths = _steps(spacing_mm, connectivity)
    arrival = np.full(price.shape, np.inf, np.float32)
    limit = np.float32(max_cost)
    width, buckets = _bucket_plan(price, lengths)
    if width > 0:
        _front(price, as_bytes(seeds), steps, lengths, limit, width, buckets, arrival)
    return arrival


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


def _bucket_plan(price: NDArray[np.float32], lengths: NDArray[np.float32]) -> tuple[float, int]:
    # The ring must span the dearest single step; a width near the cheapest step keeps voxels from being settled twice.
    cheapest, dearest = _price_range(price)
    if not dearest >= 0:
        return 0.0, 0
    longest = float(lengths.max()) * dearest
    width = max(float(lengths.min()) * cheapest, longest / 4096.0)
    if width <= 0:
        width = 1.0
    return width, int(longest / width) + 3


@njit(cache=True, nogil=True)
def _price_range(price):
    cheapest, dearest = np.inf, -1.0
    for value in price.ravel():
        if value >= 0 and value < np.inf:
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
def _reached(parent, offsets, starts, seeds):
    # 1 for every run whose tree holds a seed
    nz, ny, _ = seeds.shape
    reached = np.zeros(starts.size, np.uint8)
    for row in range(nz * ny):
        run = offsets[row]
        for w in range(seeds.shape[2]):
            word = seeds[row // ny, row % ny, w]
            while word != 0:
                x = w * 64 + trailing_zeros(word)
                while run + 1 < offsets[row + 1] and starts[run + 1] <= x:
                    run += 1
                reached[find_root(parent, run)] = 1
                word &= word - np.uint64(1)
    for run in range(starts.size):
        reached[run] |= reached[find_root(parent, run)]
    return reached


@njit(cache=True, nogil=True)
def _push(voxel, key, slot, heads, fills, chain, places, keys, free):
    # chains of links: heads[slot] is the open link, fills[slot] its entries, chain[link] the next link
    if heads[slot] < 0 or fills[slot] == LINK:
        if free < 0:
            old = chain.size
            chain = np.concatenate((chain, np.arange(old + 1, 2 * old + 1)))
            chain[-1] = -1
            places = np.concatenate((places, np.empty_like(places)))
            keys = np.concatenate((keys, np.empty_like(keys)))
            free = old
        link = free
        free = chain[link]
        chain[link] = heads[slot]
        heads[slot] = link
        fills[slot] = 0
    at = heads[slot] * LINK + fills[slot]
    places[at] = voxel
    keys[at] = key
    fills[slot] += 1
    return chain, places, keys, free


@njit(cache=True, nogil=True)
def _front(price, seeds, steps, lengths, limit, width, buckets, arrival):
    nz, ny, nx = price.shape
    cost, best = price.ravel(), arrival.ravel()
    heads = np.full(buckets, -1, np.int64)
    fills = np.zeros(buckets, np.int64)
    chain = np.arange(1, 4097)
    chain[-1] = -1
    places = np.empty(4096 * LINK, np.int64)
    keys = np.empty(4096 * LINK, np.float32)
    free = np.int64(0)
    waiting = 0
    seed = seeds.ravel()
    for voxel in range(cost.size):
        if seed[voxel] and cost[voxel] >= 0 and cost[voxel] < np.inf:
            best[voxel] = 0
            chain, places, keys, free = _push(voxel, np.float32(0), 0, heads, fills, chain, places, keys, free)
            waiting += 1
    jumps = (steps[:, 0] * ny + steps[:, 1]) * nx + steps[:, 2]
    slot = 0
    while waiting > 0:
        while heads[slot] >= 0:
            link = heads[slot]
            fills[slot] -= 1
            at = link * LINK + fills[slot]
            voxel, key = places[at], keys[at]
            if fills[slot] == 0:
                heads[slot] = chain[link]
                fills[slot] = LINK
                chain[link] = free
                free = link
            waiting -= 1
            if best[voxel] < key:
                continue
            x = voxel % nx
            y = (voxel // nx) % ny
            z = voxel // (nx * ny)
            own = cost[voxel]
            for k in range(jumps.size):
                if not (0 <= z + steps[k, 0] < nz and 0 <= y + steps[k, 1] < ny and 0 <= x + steps[k, 2] < nx):
                    continue
                other = voxel + jumps[k]
                price_there = cost[other]
                if not (price_there >= 0 and price_there < np.inf):
                    continue
                offer = np.float32(key + lengths[k] * ((own + price_there) * np.float32(0.5)))
                if offer < best[other] and offer <= limit:
                    best[other] = offer
                    into = np.int64(offer / width) % buckets
                    chain, places, keys, free = _push(other, offer, into, heads, fills, chain, places, keys, free)
                    waiting += 1
        slot = (slot + 1) % buckets
