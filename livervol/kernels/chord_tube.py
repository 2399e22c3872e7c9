"""Tubes of lines in a slice, and whether any line of one can still hold a long enough chord.

A tube (a0, a1, b0, b1) holds the lines that run between rows a0 and a1 in the slice's first column and between rows b0
and b1 in its last one. Columns in which no viable voxel meets the tube are a gap for all its lines.
"""

from __future__ import annotations

import math

from numba import njit

from livervol.kernels.chord_path import chord_length
from livervol.kernels.diameter import CENTRE

__all__ = ["NEVER", "ROW", "columns_of", "judged", "may_leave", "next_rows"]

#: Beyond any row, column, gap or number of tubes.
NEVER = 2**30

#: Rounding of rows, in voxels, and of lengths.
ROW, _PART = 1e-9, 1.0 + 1e-12

#: What a column is to a tube: viable voxels meet it, none do, or it is outside the lesion.
_MET, _EMPTY, _OUTSIDE = 0, 1, 2


@njit(cache=True, nogil=True)
def next_rows(mask, table):
    """Fills ``table``, of the slice's shape, with the next row at or after each row where a column has a voxel."""
    rows, columns = mask.shape
    for y in range(rows - 1, -1, -1):
        own, here, below = mask[y], table[y], table[min(y + 1, rows - 1)]
        if y == rows - 1:
            for x in range(columns):
                here[x] = y if own[x] else NEVER
        else:
            for x in range(columns):
                here[x] = y if own[x] else below[x]


@njit(cache=True, nogil=True)
def _column_state(next_viable, next_lesion, low, low_slope, high, high_slope, column):
    lo = max(int(low + low_slope * column), 0)
    hi = int(high + high_slope * column)
    if lo >= next_viable.shape[0]:
        return _OUTSIDE
    if next_viable[lo, column] <= hi:
        return _MET
    return _OUTSIDE if next_lesion[lo, column] > hi else _EMPTY


@njit(cache=True, nogil=True)
def _longest_run(next_viable, next_lesion, tube, first, last, least, gap, stride):
    """Most columns, from end to end, that a line may run without ``gap`` empty ones in a row; -1: under least.

    And the first and last column that such runs of the least length or more can have.

    Ends lie where a viable centre is in the tube. Runs are looked at from their far end, as in string search, and only
    every ``stride``-th column while columns are met: an empty stretch of ``gap`` cannot hide between them.
    """
    a0, a1, b0, b1 = tube
    rows, columns = next_viable.shape
    span = max(columns - 1, 1)
    ls, hs = (b0 - a0) / span, (b1 - a1) / span
    # rows met anywhere in a column, half a column either way; a centre must lie in the tube itself
    low, high = a0 - 0.5 * abs(ls) + 0.5 - ROW, a1 + 0.5 * abs(hs) + 0.5 + ROW
    centre_low, centre_high = a0 + 1.0 - ROW, a1 + ROW
    longest = known = reached = -1
    while last >= first:
        lo = max(int(centre_low + ls * last), 0)
        if lo < rows and next_viable[lo, last] <= centre_high + hs * last:
            break
        last -= 1
    i = first
    while True:
        while i <= last:
            lo = max(int(centre_low + ls * i), 0)
            if lo < rows and next_viable[lo, i] <= centre_high + hs * i:
                break
            i += 1
        if i + least > last:
            return longest, first, reached if longest >= 0 else last
        # backwards over the shortest run that counts, down to what is known to have no gap
        end = j = i + least
        after = -1
        while j >= i:
            state = _column_state(next_viable, next_lesion, low, ls, high, hs, j)
            if state == _MET:
                if j <= known:
                    break
                j -= stride
                continue
            g0 = g1 = j
            while state != _OUTSIDE and g0 > i and g1 - g0 + 1 < gap:
                state = _column_state(next_viable, next_lesion, low, ls, high, hs, g0 - 1)
                if state == _MET:
                    break
                g0 -= 1
            while state != _OUTSIDE and g1 < end and g1 - g0 + 1 < gap:
                state = _column_state(next_viable, next_lesion, low, ls, high, hs, g1 + 1)
                if state == _MET:
                    break
                g1 += 1
            if state == _OUTSIDE or g1 - g0 + 1 >= gap:
                after = g1 + 1
                break
            if g0 - 1 <= known:
                break
            j = g0 - 1 - stride
        if after >= 0:
            known, i = end, after
            continue
        if longest < 0:
            first = i
        # onwards to the gap that ends it
        stop = end
        while _column_state(next_viable, next_lesion, low, ls, high, hs, stop) != _MET:
            stop -= 1
        after = last
        j = min(stop + stride, last)
        while j > stop:
            state = _column_state(next_viable, next_lesion, low, ls, high, hs, j)
            if state == _MET:
                stop = j
                j = min(j + stride, last)
                continue
            g0 = j
            while _column_state(next_viable, next_lesion, low, ls, high, hs, g0 - 1) != _MET:
                g0 -= 1
            stop = g0 - 1
            while state != _OUTSIDE and j < last and j - g0 + 1 < gap:
                state = _column_state(next_viable, next_lesion, low, ls, high, hs, j + 1)
                if state == _MET:
                    break
                j += 1
            after = j
            if state != _MET:
                break
            stop = j + 1
            j = min(stop + stride, last)
        while stop - i >= least:
            lo = max(int(centre_low + ls * stop), 0)
            if lo < rows and next_viable[lo, stop] <= centre_high + hs * stop:
                longest, reached = max(longest, stop - i), stop
                break
            stop -= 1
        i, known = after + 1, -1


@njit(cache=True, nogil=True)
def columns_of(tube, columns, rows):
    """First and last column whose centre some line of the tube passes within the rows; first > last: none."""
    a0, a1, b0, b1 = tube
    span = max(columns - 1, 1)
    low_slope, high_slope = (b0 - a0) / span, (b1 - a1) / span
    first, last, top = 0, columns - 1, rows - 1
    if high_slope > 0.0 and a1 < 0.0:
        first = max(first, math.ceil(-a1 / high_slope - ROW))
    elif high_slope < 0.0 and a1 >= 0.0:
        last = min(last, math.floor(-a1 / high_slope + ROW))
    elif a1 < -ROW:
        last = -1
    if low_slope < 0.0 and a0 > top:
        first = max(first, math.ceil((top - a0) / low_slope - ROW))
    elif low_slope > 0.0 and a0 <= top:
        last = min(last, math.floor((top - a0) / low_slope + ROW))
    elif a0 > top + ROW:
        last = -1
    return first, last


@njit(cache=True, nogil=True)
def _reach(slopes, across, columns, hr_mm, hc_mm):
    """Largest number of columns of a chord that stands across the direction, and its most across it for each column."""
    ur, uc = across
    low, high = slopes
    along0, along1 = 2.0 * (ur * hr_mm * low + uc * hc_mm), 2.0 * (ur * hr_mm * high + uc * hc_mm)
    most = max(abs(2.0 * (uc * hr_mm * low - ur * hc_mm)), abs(2.0 * (uc * hr_mm * high - ur * hc_mm)))
    if along0 * along1 > 0.0:
        least = min(abs(along0), abs(along1))
        tolerance = (hr_mm * abs(ur) + hc_mm * abs(uc)) * (1.0 + 1e-6) + 1e-9
        if least * columns > tolerance:
            columns = int(tolerance / least)
    return columns, most


@njit(cache=True, nogil=True)
def judged(next_viable, next_lesion, tube, within, hr_mm, hc_mm, limits, convention, across, best, stride):
    """Largest value a chord of the tube may have (-1: under best), most and least columns it may run, and where.

    ``within``: first and last column that such a chord may have, known of a tube that holds this one.
    """
    rows, columns = next_viable.shape
    span = max(columns - 1, 1)
    low, high = max((tube[2] - tube[1]) / span, -1.0), min((tube[3] - tube[0]) / span, 1.0)
    first, last = columns_of(tube, columns, rows)
    first, last = max(first, within[0]), min(last, within[1])
    if low > high or last < first:
        return -1.0, 0, 0, 0, 0
    steepest = max(abs(low), abs(high))
    flattest = 0.0 if low * high <= 0.0 else min(abs(low), abs(high))
    longest_step = 2.0 * math.sqrt((hr_mm * steepest) ** 2 + hc_mm**2)
    shortest_step = 2.0 * math.sqrt((hr_mm * flattest) ** 2 + hc_mm**2)
    is_across = across[0] != 0.0 or across[1] != 0.0
    run, step, ends = last - first, longest_step, 0.0
    if is_across:
        run, step = _reach((low, high), across, run, hr_mm, hc_mm)
    elif convention != CENTRE:
        ends = 2.0 * math.sqrt(hr_mm**2 + hc_mm**2)
    least = 0
    if best > ends:
        if step * run * (1.0 + 1e-9) < best - ends:
            return -1.0, 0, 0, 0, 0
        least = math.ceil((best - ends) / step * (1.0 - 1e-9) - 1e-9)
    if not is_across:
        # a chord is no steeper than the tube and its rows are whole: exact
        while least <= run and chord_length(int(steepest * least + ROW), least, hr_mm, hc_mm, convention) < best:
            least += 1
    before = NEVER + 1
    while True:
        # the limit shrinks with the longest chord still possible
        limit = min(max(limits[0], limits[1] * longest_step * run), limits[2]) + 1e-6
        gap = min(NEVER, int(min(limit / shortest_step, 1e9)) + 1)
        if gap >= before:
            break
        before = gap
        found, first, last = _longest_run(next_viable, next_lesion, tube, first, last, least, gap, min(gap, stride))
        if found < least:
            return -1.0, 0, 0, 0, 0
        if found >= run:
            break
        run = found
    if is_across:
        bound = step * run * _PART + 1e-12
    else:
        bound = chord_length(int(steepest * run + ROW), run, hr_mm, hc_mm, convention)
    return (bound, run, least, first, last) if bound >= best else (-1.0, 0, 0, 0, 0)


@njit(cache=True, nogil=True)
def may_leave(table):
    """True when some column has a hole or is empty: a path between two voxels may then leave the mask."""
    rows, columns = table.shape
    first = table[0]
    for x in range(columns):
        if first[x] >= NEVER:
            return True
    for y in range(1, rows):
        row = table[y]
        for x in range(columns):
            if row[x] > y and row[x] < NEVER and first[x] < y:
                return True
    return False
