"""Changes: what they hold, how they undo, how they travel as bytes."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from livervol.edit.change import Change, Setting, Step, applied_settings
from livervol.errors import LivervolError

SHAPE = (3, 4, 5)
LABELS = hnp.arrays(np.uint16, SHAPE, elements=st.sampled_from([0, 0, 0, 1, 2, 700]))


@given(LABELS, LABELS)
def test_a_change_does_undoes_and_travels(before, after):
    change = Change.decode(Change.between(before, after, "lesions", "brush").because("missed rim").encode())
    assert (change.mask, change.tool, change.reason) == ("lesions", "brush", "missed rim")
    assert change.voxels == np.count_nonzero(before != after)
    live = before.copy()
    change.apply(live)
    assert np.array_equal(live, after)
    change.inverted().apply(live)
    assert np.array_equal(live, before)
    where = np.argwhere(before != after)
    if len(where):
        box = change.box
        assert [(s.start, s.stop) for s in box] == [(a, b + 1) for a, b in zip(where.min(0), where.max(0), strict=True)]
    else:
        assert change.box is None


@given(LABELS, LABELS)
def test_single_voxels_and_arrays_give_the_same_change(before, after):
    flat = np.flatnonzero(before != after)
    change = Change.of_voxels("liver", "x", SHAPE, flat, (before.ravel()[flat], after.ravel()[flat]))
    assert np.array_equal(change.flat, flat)
    live = before.copy()
    change.apply(live)
    assert np.array_equal(live, after)


def test_a_box_of_a_mask_gives_the_change_of_the_mask():
    whole = np.zeros((5, 6, 7), np.uint16)
    after = whole.copy()
    after[2:4, 1:3, 4:7] = 3
    place = (slice(1, 4), slice(1, 4), slice(2, 7))
    change = Change.between(whole[place], after[place], "lesions", "brush", (whole.shape, (1, 1, 2)))
    change.apply(whole)
    assert np.array_equal(whole, after)


def test_a_change_that_does_not_fit_changes_nothing():
    before, after = np.zeros(SHAPE, np.uint16), np.ones(SHAPE, np.uint16)
    change = Change.between(before, after, "liver", "brush")
    live = before.copy()
    live[1, 2, 3] = 4
    kept = live.copy()
    with pytest.raises(LivervolError, match="does not fit the mask.*1 of 60 voxels.*Undo"):
        change.apply(live)
    assert np.array_equal(live, kept)
    with pytest.raises(LivervolError, match="not of this mask"):
        change.apply(np.zeros((3, 4, 6), np.uint16))
    with pytest.raises(LivervolError, match="contiguous"):
        change.apply(np.zeros((3, 4, 10), np.uint16)[:, :, ::2])
    with pytest.raises(LivervolError, match="label overflow"):
        Change.between(before, after * 300, "liver", "brush").apply(np.zeros(SHAPE, np.uint8))


@given(st.data())
def test_damaged_bytes_are_refused_or_still_a_change(data):
    before, after = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint16)
    after[1, 1:3] = 5
    encoded = Change.between(before, after, "liver", "brush").encode()
    at = data.draw(st.integers(0, len(encoded) - 1))
    flipped = bytearray(encoded)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    # a flip inside the words of the head makes other words; nothing but a refusal may be raised
    with contextlib.suppress(LivervolError):
        Change.decode(bytes(flipped))
    with pytest.raises(LivervolError, match="change cannot be read"):
        Change.decode(encoded[:at])


def test_settings_are_set_taken_back_and_checked():
    role = Setting("lesion.1.role", None, "target")
    done = applied_settings({}, [role])
    assert done == {"lesion.1.role": "target"}
    assert applied_settings(done, [role.inverted()]) == {}
    with pytest.raises(LivervolError, match="setting does not fit"):
        applied_settings(done, [role])


def test_a_step_is_undone_backwards():
    zero, one = np.zeros(SHAPE, np.uint16), np.ones(SHAPE, np.uint16)
    step = Step("x", (Change.between(zero, one, "liver", "x"), Change.between(one, one * 2, "liver", "x")))
    live = zero.copy()
    for change in (*step.changes, *step.inverted().changes):
        change.apply(live)
    assert not live.any()
    assert not step.is_empty
    assert Step("x", (Change.between(one, one, "liver", "x"),), (Setting("a", 1, 1),)).is_empty
