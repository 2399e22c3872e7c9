"""Shortest gaps by runs against every pair of voxels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from livervol.kernels.changes import change_runs, write_change
from livervol.kernels.gaps import LabelRuns, label_runs, least_gaps

SHAPE, SPACING = (9, 11, 13), (2.5, 0.8, 0.7)
LABELS = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 0, 0, 0, 1, 2, 5]))


def slow_gaps(labels, body, size):
    found = np.full(size, np.inf)
    inner = np.argwhere(body)
    for at in np.argwhere(labels):
        value = labels[tuple(at)]
        dz, dy, dx = (np.abs(inner - at) * SPACING).T
        if len(inner):
            found[value] = min(found[value], float((dz * dz + dy * dy + dx * dx).min()))
    return np.sqrt(found)


@given(LABELS, hnp.arrays(np.bool_, SHAPE, elements=st.sampled_from([False] * 30 + [True])))
def test_gaps_are_those_of_all_pairs_bit_for_bit(labels, body):
    runs = label_runs(labels)
    got = least_gaps(runs, label_runs(body.view(np.uint8)), SPACING, 6)
    assert np.array_equal(got, slow_gaps(labels, body, 6))
    order = np.random.default_rng(0).permutation(len(runs.value))
    mixed = LabelRuns(runs.place[order] + 7, runs.value[order])
    moved = label_runs(body.view(np.uint8))
    assert np.array_equal(got, least_gaps(mixed, LabelRuns(moved.place + 7, moved.value), SPACING, 6))


@given(LABELS, hnp.arrays(np.uint16, SHAPE, elements=st.sampled_from([0, 1, 1])))
def test_runs_cover_the_labels_once(labels, within):
    runs = label_runs(labels, within)
    again = np.zeros(SHAPE, np.uint8)
    for (z, y, first, last), value in zip(runs.place, runs.value, strict=True):
        assert not again[z, y, first : last + 1].any()
        again[z, y, first : last + 1] = value
    assert np.array_equal(again, np.where(within, labels, 0))


@given(LABELS, LABELS)
def test_change_runs_turn_one_array_into_the_other(before, after):
    starts, lengths, old, new = change_runs(before, after)
    line = before.ravel().copy()
    assert write_change(line, starts, lengths, old, new) == 0
    assert np.array_equal(line, after.ravel())
    assert write_change(line, starts, lengths, old, new) == int(lengths.sum())
    assert np.array_equal(line, after.ravel())
    assert np.all((starts % SHAPE[2]) + lengths <= SHAPE[2])
