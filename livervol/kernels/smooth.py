"""Smoothing of voxel values and of masks: 3x3x3 median, Gaussian, majority."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from livervol.kernels.bits import as_bytes, bits_box, pack
from livervol.kernels.slabs import frozen, over_slabs

__all__ = ["TRUNCATE_SIGMAS", "gaussian", "majority_smooth", "median3"]

Spacing = tuple[float, float, float]

#: A Gaussian is cut this many standard deviations from its centre (6e-5 of its weight lies beyond) and rescaled.
TRUNCATE_SIGMAS = 4.0


def median3(values: NDArray[Any]) -> NDArray[Any]:
    """Median of the 3x3x3 neighbourhood of each voxel, in the unit and type of ``values`` (int16 or float32, finite).

    Beyond the array the nearest voxel is repeated. Exact: sorted columns are shared between neighbours and the median
    selected by comparisons alone.
    """
    source = np.ascontiguousarray(values)
    result = np.empty_like(source)
    over_slabs(_median3, source.shape[0], source.size, source, result)
    return result


def gaussian(values: NDArray[Any], sigma_mm: float, spacing_mm: Spacing) -> NDArray[np.float32]:
    """Values smoothed by a Gaussian of standard deviation ``sigma_mm`` mm, in their unit, float32.

    Sampled at the voxel centres, cut at ``TRUNCATE_SIGMAS`` standard deviations (rounded to whole voxels) and scaled
    to a sum of 1, one axis after the other; beyond the array the nearest voxel is repeated. Within 1e-4 of the same sum
    in double precision relative to the greatest magnitude nearby. ``sigma_mm`` 0 only converts to float32.
    """
    # truth values as the bytes they are: one kernel fewer to compile
    source = frozen(values.view(np.uint8) if values.dtype == np.bool_ else values)
    weights = [gaussian_weights(sigma_mm / spacing) for spacing in spacing_mm]
    smooth = np.empty(source.shape, np.float32)
    over_slabs(_blur, source.shape[0], source.size, source, smooth, *weights)
    return smooth


def majority_smooth(mask: NDArray[Any], sigma_mm: float, spacing_mm: Spacing) -> NDArray[np.uint8]:
    """Mask (0 and 1) of the voxels where the Gaussian of the mask reaches one half.

    Takes off what is thinner than about ``sigma_mm`` mm and keeps flat faces in place.
    """
    source = as_bytes(mask)
    z0, z1, y0, y1, x0, x1 = bits_box(pack(source))
    smooth = np.zeros(source.shape, np.uint8)
    # less than half of the weight lies on one side of a voxel, so nothing appears outside the mask's box; one more
    # voxel of background keeps the repeated border honest
    nz, ny, nx = source.shape
    box = (slice(max(0, z0 - 1), min(nz, z1 + 1)), slice(max(0, y0 - 1), min(ny, y1 + 1)))
    columns = slice(max(0, x0 - 1), min(nx, x1 + 1))
    inside = (source[box[0], box[1], columns] != 0).view(np.uint8)
    if z1 > 0:
        smooth[box[0], box[1], columns] = gaussian(inside, sigma_mm, spacing_mm) >= np.float32(0.5)
    return smooth


def gaussian_weights(sigma_voxels: float) -> NDArray[np.float32]:
    """Half of the symmetric weights, centre first, whose full sum is 1."""
    reach = int(TRUNCATE_SIGMAS * sigma_voxels + 0.5)
    if reach == 0:
        return np.ones(1, np.float32)
    half = np.exp(-0.5 * (np.arange(reach + 1) / sigma_voxels) ** 2)
    half /= half[0] + 2 * half[1:].sum()
    return half.astype(np.float32)


@njit(cache=True, nogil=True)
def _add_pair(row, weights, k, a, b):
    for x in range(row.size):
        row[x] += weights[k] * (a[x] + b[x])


@njit(cache=True, nogil=True)
def _add_four_pairs(row, weights, k, a, b, c, d, e, f, g, h):
    # four pairs of neighbours a pass: the sum travels to memory a quarter as often
    w1, w2, w3, w4 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
    for x in range(row.size):
        row[x] += (w1 * (a[x] + b[x]) + w2 * (c[x] + d[x])) + (w3 * (e[x] + f[x]) + w4 * (g[x] + h[x]))


@njit(cache=True, nogil=True)
def _blur_planes(values, z, y, weights, row):
    # row = the weighted sum of row y of the planes around z, in single precision from the start
    last = values.shape[0] - 1
    centre = values[z, y]
    for x in range(row.size):
        row[x] = weights[0] * np.float32(centre[x])
    for k in range(1, weights.size, 2):
        far = min(k + 1, weights.size - 1)
        weight, weight_2 = weights[k], weights[far] if far > k else np.float32(0)
        a, b = values[max(z - k, 0), y], values[min(z + k, last), y]
        c, d = values[max(z - far, 0), y], values[min(z + far, last), y]
        for x in range(row.size):
            near = np.float32(a[x]) + np.float32(b[x])
            row[x] += weight * near + weight_2 * (np.float32(c[x]) + np.float32(d[x]))


@njit(cache=True, nogil=True)
def _blur_lines(padded, m, weights, row):
    # row = the weighted sum of the rows of padded around row m
    p, reach = padded, weights.size - 1
    centre = p[m]
    for x in range(row.size):
        row[x] = weights[0] * centre[x]
    k = 1
    while k + 3 <= reach:
        near, far = (p[m - k], p[m + k], p[m - k - 1], p[m + k + 1]), (p[m - k - 2], p[m + k + 2])
        _add_four_pairs(row, weights, k, *near, *far, p[m - k - 3], p[m + k + 3])
        k += 4
    while k <= reach:
        _add_pair(row, weights, k, p[m - k], p[m + k])
        k += 1


@njit(cache=True, nogil=True)
def _blur_row(line, weights, row):
    # the same along a row: line is the row with reach more voxels at either end
    reach, n = weights.size - 1, row.size
    centre = line[reach : reach + n]
    for x in range(n):
        row[x] = weights[0] * centre[x]
    k = 1
    while k + 3 <= reach:
        a, b = line[reach - k : reach - k + n], line[reach + k : reach + k + n]
        c, d = line[reach - k - 1 : reach - k - 1 + n], line[reach + k + 1 : reach + k + 1 + n]
        e, f = line[reach - k - 2 : reach - k - 2 + n], line[reach + k + 2 : reach + k + 2 + n]
        g, h = line[reach - k - 3 : reach - k - 3 + n], line[reach + k + 3 : reach + k + 3 + n]
        _add_four_pairs(row, weights, k, a, b, c, d, e, f, g, h)
        k += 4
    while k <= reach:
        _add_pair(row, weights, k, line[reach - k : reach - k + n], line[reach + k : reach + k + n])
        k += 1


@njit(cache=True, nogil=True)
def _copy_row(source, target):
    # an assignment of slices would compile the text of its error message as well
    for x in range(target.size):
        target[x] = source[x]


@njit(cache=True, nogil=True)
def _blur(values, smooth, along_z, along_y, along_x, z_start, z_stop):
    # plane by plane, so that everything between the axes stays in the core's own cache
    _, ny, nx = values.shape
    reach_y, reach = along_y.size - 1, along_x.size - 1
    padded = np.empty((ny + 2 * reach_y, nx), np.float32)
    line = np.empty(nx + 2 * reach, np.float32)
    middle = line[reach : reach + nx]
    for z in range(z_start, z_stop):
        for y in range(ny):
            _blur_planes(values, z, y, along_z, padded[reach_y + y])
        for k in range(reach_y):
            _copy_row(padded[reach_y], padded[k])
            _copy_row(padded[reach_y + ny - 1], padded[reach_y + ny + k])
        for y in range(ny):
            _blur_lines(padded, reach_y + y, along_y, middle)
            line[:reach] = middle[0]
            line[reach + nx :] = middle[nx - 1]
            _blur_row(line, along_x, smooth[z, y])


@njit(cache=True, nogil=True)
def _order(a, b):
    return min(a, b), max(a, b)


@njit(cache=True, nogil=True)
def _middle(a, b, c):
    return max(min(a, b), min(max(a, b), c))


@njit(cache=True, nogil=True)
def _sort_columns(below, here, above, triples):
    # the three voxels along z at each x, in increasing order
    for x in range(here.size):
        a, b = _order(below[x], here[x])
        b, c = _order(b, above[x])
        a, b = _order(a, b)
        triples[0, x + 1], triples[1, x + 1], triples[2, x + 1] = a, b, c


@njit(cache=True, nogil=True)
def _sort_nines(p, q, r, nines):
    # nine voxels over z and y at each x, in increasing order: Floyd's network of 25 comparators (Knuth, The Art of
    # Computer Programming vol. 3, section 5.3.4), of which the sorted triples p, q, r are the first nine
    for x in range(1, nines.shape[1] - 1):
        v0, v3 = _order(p[0, x], q[0, x])
        v3, v6 = _order(v3, r[0, x])
        v0, v3 = _order(v0, v3)
        v1, v4 = _order(p[1, x], q[1, x])
        v4, v7 = _order(v4, r[1, x])
        v1, v4 = _order(v1, v4)
        v2, v5 = _order(p[2, x], q[2, x])
        v5, v8 = _order(v5, r[2, x])
        v2, v5 = _order(v2, v5)
        v1, v3 = _order(v1, v3)
        v5, v7 = _order(v5, v7)
        v2, v6 = _order(v2, v6)
        v4, v6 = _order(v4, v6)
        v2, v4 = _order(v2, v4)
        v2, v3 = _order(v2, v3)
        v5, v6 = _order(v5, v6)
        nines[0, x], nines[1, x], nines[2, x] = v0, v1, v2
        nines[3, x], nines[4, x], nines[5, x] = v3, v4, v5
        nines[6, x], nines[7, x], nines[8, x] = v6, v7, v8
    last = nines.shape[1] - 1
    for k in range(9):
        nines[k, 0] = nines[k, 1]
        nines[k, last] = nines[k, last - 1]


@njit(cache=True, nogil=True)
def _median_of_three_nines(n, out):
    # The least (lo), middle and greatest (hi) of the three columns at each rank form a table sorted both ways; an entry
    # with 14 others surely below or above it cannot be the 14th of 27, which leaves lo 5-8, middle 2-6 and hi 0-3.
    for i in range(out.size):
        a, b, c = i, i + 1, i + 2
        h0 = max(max(n[0, a], n[0, b]), n[0, c])
        h1 = max(max(n[1, a], n[1, b]), n[1, c])
        h2 = max(max(n[2, a], n[2, b]), n[2, c])
        h3 = max(max(n[3, a], n[3, b]), n[3, c])
        m1 = _middle(n[2, a], n[2, b], n[2, c])
        m2 = _middle(n[3, a], n[3, b], n[3, c])
        m3 = _middle(n[4, a], n[4, b], n[4, c])
        m4 = _middle(n[5, a], n[5, b], n[5, c])
        m5 = _middle(n[6, a], n[6, b], n[6, c])
        l0 = min(min(n[5, a], n[5, b]), n[5, c])
        l1 = min(min(n[6, a], n[6, b]), n[6, c])
        l2 = min(min(n[7, a], n[7, b]), n[7, c])
        l3 = min(min(n[8, a], n[8, b]), n[8, c])
        # merge lo and hi into eight sorted values s1..s8 (Batcher's odd-even merge); s1 and s8 are not needed
        e1, e2 = max(l0, h0), min(l2, h2)
        e3 = max(l2, h2)
        e1, e2 = _order(e1, e2)
        o0, o1 = _order(l1, h1)
        o1, o2 = _order(o1, min(l3, h3))
        s2, s3 = _order(o0, e1)
        s4, s5 = _order(o1, e2)
        s6, s7 = _order(o2, e3)
        # the seventh of s1..s8 and m1..m5 together: the least, over all splits, of the greater of the two ends
        best = min(s7, max(s6, m1))
        best = min(best, max(s5, m2))
        best = min(best, max(s4, m3))
        best = min(best, max(s3, m4))
        out[i] = min(best, max(s2, m5))


@njit(cache=True, nogil=True)
def _median3(values, result, z_start, z_stop):
    nz, ny, nx = values.shape
    triples = np.empty((3, 3, nx + 2), values.dtype)
    nines = np.empty((9, nx + 2), values.dtype)
    for z in range(z_start, z_stop):
        below, above = max(z - 1, 0), min(z + 1, nz - 1)
        for y in range(-1, ny + 1):
            row = min(max(y, 0), ny - 1)
            _sort_columns(values[below, row], values[z, row], values[above, row], triples[(y + 1) % 3])
            if y > 0:
                _sort_nines(triples[0], triples[1], triples[2], nines)
                _median_of_three_nines(nines, result[z, y - 1])
