"""Per-label tallies: counts, boxes, moments, extremes, histograms and overlaps, each in one pass.

``labels`` is an integer array [z, y, x] with values >= 0 (uint8, uint16, int32 or bool); row ``k`` of a result is label
``k``, row 0 the background.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.slabs import frozen, over_slabs, slab_edges

__all__ = [
    "LabelMoments",
    "label_boxes",
    "label_counts",
    "label_histogram",
    "label_moments",
    "label_percentiles",
    "overlap_counts",
    "present_values",
]


class LabelMoments(NamedTuple):
    """Voxel count, sum, mean, sum of squared deviations from the mean, least and greatest value of each label.

    A label without voxels has mean NaN, least +inf and greatest -inf.
    """

    count: NDArray[np.int64]
    total: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    least: NDArray[np.float64]
    greatest: NDArray[np.float64]

    def standard_deviation(self, ddof: int = 0) -> NDArray[np.float64]:
        """Standard deviation of each label's values; NaN where ``count <= ddof``."""
        freedom = np.where(self.count > ddof, self.count - ddof, np.nan)
        deviation: NDArray[np.float64] = np.sqrt(self.squares / freedom)
        return deviation


def present_values(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Values that occur, in increasing order."""
    return np.flatnonzero(label_counts(labels))


def label_counts(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Voxels of each label, shape (greatest label + 1,)."""
    labels = _plain(labels)
    parts = _parts(labels, (_most(labels),), np.int64)
    over_slabs(_counts, labels.shape[0], labels.size, *_flat(labels), parts, _edges(labels))
    counts: NDArray[np.int64] = parts.sum(axis=0)
    return counts[: _used(counts)]


def label_boxes(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Half-open index box of each label, shape (n + 1, 3, 2): start and stop along z, y, x; zero for absent labels."""
    labels = _plain(labels)
    parts = _parts(labels, (_most(labels), 3, 2), np.int64)
    parts[..., 0] = max(labels.shape)
    over_slabs(_boxes, labels.shape[0], labels.size, *_flat(labels), parts, _edges(labels))
    boxes = np.stack([parts[..., 0].min(axis=0), parts[..., 1].max(axis=0)], axis=-1)
    boxes[boxes[..., 1] == 0] = 0
    return boxes[: _used(boxes[:, 0, 1])]


def label_moments(labels: NDArray[Any], values: NDArray[Any]) -> LabelMoments:
    """Count, sum, mean, spread and extremes of ``values`` (its unit) under each label.

    ``values`` has the labels' shape. Sums run relative to the label's first value, exactly for integers of up to 16
    bits and in double precision otherwise; slabs are combined as in Chan, Golub & LeVeque 1983 (Am Stat 37:242).
    """
    labels = _plain(labels)
    exact = values.dtype.kind in "iu" and values.dtype.itemsize <= 2
    parts = _parts(labels, (_most(labels), 6), np.int64 if exact else np.float64)
    parts[..., 4], parts[..., 5] = (1 << 62, -(1 << 62)) if exact else (np.inf, -np.inf)
    narrow = np.empty(0, np.int32 if exact else np.float64)
    over_slabs(_moments, labels.shape[0], labels.size, *_flat(labels), frozen(values), narrow, parts, _edges(labels))
    return _combined(parts[:, : _used(parts[..., 0].sum(axis=0))])


def label_histogram(labels: NDArray[Any], values: NDArray[np.int16], lo: int, hi: int) -> NDArray[np.int64]:
    """Voxels of each label at each integer value from ``lo`` to ``hi`` inclusive, shape (n + 1, hi - lo + 1).

    Values below ``lo`` count in the first place, values above ``hi`` in the last.
    """
    labels = _plain(labels)
    parts = _parts(labels, (_size(labels), hi - lo + 1), np.int64)
    over_slabs(_histogram, labels.shape[0], labels.size, labels, frozen(values), lo, hi, parts, _edges(labels))
    return parts.sum(axis=0)


def label_percentiles(
    labels: NDArray[Any], values: NDArray[np.int16], percents: tuple[float, ...]
) -> NDArray[np.float64]:
    """Percentiles of integer ``values`` (their unit) under each label, shape (n + 1, len(percents)); NaN where absent.

    Linear between the two nearest ranks (definition 7 of Hyndman & Fan 1996, Am Stat 50:361).
    """
    lo, hi = (int(values.min()), int(values.max())) if values.size else (0, 0)
    heights = label_histogram(labels, values, lo, hi)
    result = np.full((heights.shape[0], len(percents)), np.nan)
    for label, row in enumerate(heights):
        up_to = np.cumsum(row)
        if up_to[-1]:
            place = np.asarray(percents, dtype=np.float64) / 100.0 * (up_to[-1] - 1)
            below = np.floor(place)
            first = np.searchsorted(up_to, below, side="right") + lo
            second = np.searchsorted(up_to, np.ceil(place), side="right") + lo
            result[label] = first + (place - below) * (second - first)
    return result


def overlap_counts(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.int64]:
    """Voxels with label i in ``a`` and j in ``b`` at place [i, j], shape (greatest a + 1, greatest b + 1)."""
    a, b = _plain(a), _plain(b)
    parts = _parts(a, (_most(a), _most(b)), np.int64)
    over_slabs(_overlaps, a.shape[0], a.size, *_flat(a), *_flat(b)[:2], parts, _edges(a))
    pairs: NDArray[np.int64] = parts.sum(axis=0)
    return np.ascontiguousarray(pairs[: _used(pairs.sum(axis=1)), : _used(pairs.sum(axis=0))])


def _plain(labels: NDArray[Any]) -> NDArray[Any]:
    return frozen(labels.view(np.uint8) if labels.dtype == np.bool_ else labels)


def _flat(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.uint64], tuple[int, ...]]:
    """The voxels in a row, the same as whole words of eight bytes, and the shape."""
    flat = labels.reshape(-1)
    if flat.ctypes.data % 8:
        # words must lie where words may
        flat = frozen(flat.copy())
    per = 8 // flat.itemsize
    return flat, flat[: flat.size // per * per].view(np.uint64), labels.shape


def _most(labels: NDArray[Any]) -> int:
    """Rows enough for every label: of bytes as many as there can be, for finding their greatest costs a whole pass."""
    return 256 if labels.dtype == np.uint8 else _size(labels)


def _used(counts: NDArray[np.int64]) -> int:
    """Rows up to the last label that occurs."""
    return int(np.flatnonzero(counts).max(initial=0)) + 1


def _size(labels: NDArray[Any]) -> int:
    return int(labels.max()) + 1 if labels.size else 1


def _edges(labels: NDArray[Any]) -> NDArray[np.int64]:
    return np.asarray(slab_edges(labels.shape[0], labels.size))


def _parts(labels: NDArray[Any], shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    return np.zeros((len(slab_edges(labels.shape[0], labels.size)) - 1, *shape), dtype)


@njit(cache=True, nogil=True)
def _part_of(edges, start):
    part = 0
    while edges[part + 1] <= start and part < edges.size - 2:
        part += 1
    return part


@njit(cache=True, nogil=True)
def _run_end(flat, words, start, stop):
    """Where the run of equal labels that begins at ``start`` ends, at most ``stop``; word by word in between."""
    label = flat[start]
    per = 8 // flat.itemsize
    at = start + 1
    while at < stop and at % per:
        if flat[at] != label:
            return at
        at += 1
    # the label in every place of a word
    pattern = np.uint64(label) * (
        np.uint64(0xFFFFFFFFFFFFFFFF) // ((np.uint64(1) << np.uint64(8 * flat.itemsize)) - np.uint64(1))
    )
    word, last = at // per, stop // per
    while word + 4 <= last and (
        (words[word] ^ pattern)
        | (words[word + 1] ^ pattern)
        | (words[word + 2] ^ pattern)
        | (words[word + 3] ^ pattern)
    ) == np.uint64(0):
        word += 4
    while word < last and words[word] == pattern:
        word += 1
    at = max(at, word * per)
    while at < stop and flat[at] == label:
        at += 1
    return at


@njit(cache=True, nogil=True)
def _counts(flat, words, shape, parts, edges, z_start, z_stop):
    counts = parts[_part_of(edges, z_start)]
    at, stop = z_start * shape[1] * shape[2], z_stop * shape[1] * shape[2]
    while at < stop:
        end = _run_end(flat, words, at, stop)
        counts[flat[at]] += end - at
        at = end


@njit(cache=True, nogil=True)
def _boxes(flat, words, shape, parts, edges, z_start, z_stop):
    boxes = parts[_part_of(edges, z_start)]
    for z in range(z_start, z_stop):
        for y in range(shape[1]):
            row = (z * shape[1] + y) * shape[2]
            at, stop = row, row + shape[2]
            while at < stop:
                end = _run_end(flat, words, at, stop)
                box = boxes[flat[at]]
                box[0, 0] = min(box[0, 0], z)
                box[0, 1] = z + 1
                box[1, 0] = min(box[1, 0], y)
                box[1, 1] = max(box[1, 1], y + 1)
                box[2, 0] = min(box[2, 0], at - row)
                box[2, 1] = max(box[2, 1], end - row)
                at = end


@njit(cache=True, nogil=True)
def _moments(flat, words, shape, values, narrow, parts, edges, z_start, z_stop):
    # columns: count, first value, sum and sum of squares relative to it, least, greatest
    part = parts[_part_of(edges, z_start)]
    for z in range(z_start, z_stop):
        for y in range(shape[1]):
            row = (z * shape[1] + y) * shape[2]
            at, stop = row, row + shape[2]
            while at < stop:
                end = _run_end(flat, words, at, stop)
                run = values[z, y, at - row : end - row]
                into = part[flat[at]]
                if into[0] == 0:
                    into[1] = run[0]
                base = narrow.dtype.type(into[1])
                total, squares, least, greatest = into[2], into[3], run[0], run[0]
                for i in range(run.size):
                    value = run[i]
                    # differences fit 32 bits: their products are told to the compiler as such
                    off = narrow.dtype.type(narrow.dtype.type(value) - base)
                    total += parts.dtype.type(off)
                    squares += parts.dtype.type(off) * parts.dtype.type(off)
                    least = min(least, value)
                    greatest = max(greatest, value)
                into[0] += run.size
                into[2], into[3] = total, squares
                into[4], into[5] = min(into[4], least), max(into[5], greatest)
                at = end


def _combined(parts: NDArray[Any]) -> LabelMoments:
    total = (parts[..., 0] * parts[..., 1] + parts[..., 2]).sum(axis=0).astype(np.float64)
    count = np.zeros(parts.shape[1])
    mean = np.zeros(parts.shape[1])
    squares = np.zeros(parts.shape[1])
    for part in parts.astype(np.float64):
        n = np.maximum(part[:, 0], 1.0)
        step = part[:, 1] + part[:, 2] / n - mean
        both = np.maximum(count + part[:, 0], 1.0)
        squares += np.maximum(part[:, 3] - part[:, 2] ** 2 / n, 0.0) + step**2 * count * part[:, 0] / both
        mean += step * part[:, 0] / both
        count += part[:, 0]
    absent = count == 0
    least, greatest = parts[..., 4].min(axis=0).astype(np.float64), parts[..., 5].max(axis=0).astype(np.float64)
    mean[absent], least[absent], greatest[absent] = np.nan, np.inf, -np.inf
    return LabelMoments(count.astype(np.int64), total, mean, squares, least, greatest)


@njit(cache=True, nogil=True)
def _histogram(labels, values, lo, hi, parts, edges, z_start, z_stop):
    heights = parts[_part_of(edges, z_start)]
    for z in range(z_start, z_stop):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                value = min(max(np.int64(values[z, y, x]), lo), hi)
                heights[labels[z, y, x], value - lo] += 1


@njit(cache=True, nogil=True)
def _overlaps(a, words_a, shape, b, words_b, parts, edges, z_start, z_stop):
    pairs = parts[_part_of(edges, z_start)]
    at, stop = z_start * shape[1] * shape[2], z_stop * shape[1] * shape[2]
    end_a = end_b = at
    while at < stop:
        if end_a <= at:
            end_a = _run_end(a, words_a, at, stop)
        if end_b <= at:
            end_b = _run_end(b, words_b, at, stop)
        end = min(end_a, end_b)
        pairs[a[at], b[at]] += end - at
        at = end
