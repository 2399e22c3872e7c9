"""Bits and slabs: packing against numpy, and a thread helper that stays alive after a fork and in nested calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livervol.kernels import slabs
from livervol.kernels.bits import as_bytes, bits_box, pack, tail_bits, unpack
from livervol.kernels.runs import runs_of_rows


@given(st.sampled_from([1, 7, 63, 64, 65, 128, 131]), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_bits_runs_and_box_equal_numpy(nx: int, filled: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = (rng.random((2, 3, nx)) < filled) * rng.integers(1, 256, (2, 3, nx)).astype(np.uint8)
    bits = pack(mask)
    padded = np.pad(mask != 0, ((0, 0), (0, 0), (0, bits.shape[2] * 64 - nx)))
    np.testing.assert_array_equal(bits, np.packbits(padded, axis=2, bitorder="little").view("<u8"))
    back = np.zeros_like(mask)
    unpack(bits, back)
    np.testing.assert_array_equal(back, mask != 0)
    index = np.argwhere(mask)
    expected = np.stack([index.min(axis=0), index.max(axis=0) + 1], axis=1).ravel() if len(index) else [0] * 6
    assert list(bits_box(bits)) == list(expected)
    for background in (False, True):
        runs = runs_of_rows(bits, nx, background)
        for row, voxels in enumerate((mask != 0).reshape(6, nx) ^ background):
            edges = np.flatnonzero(np.diff(np.pad(voxels.astype(int), 1)))
            here = slice(runs.offsets[row], runs.offsets[row + 1])
            np.testing.assert_array_equal(runs.starts[here], edges[::2])
            np.testing.assert_array_equal(runs.stops[here], edges[1::2])


def test_the_tail_of_a_row() -> None:
    assert tail_bits(64) == np.uint64(0xFFFFFFFFFFFFFFFF)
    assert tail_bits(67) == np.uint64(7)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.uint16, np.float32])
def test_any_value_but_zero_is_foreground(dtype: type) -> None:
    # 256 must not become 0 on the way to a byte
    mask = np.array([[[0, 1, 255]]]).astype(dtype) * (np.asarray(256, dtype) if dtype is np.uint16 else dtype(1))
    assert (as_bytes(mask) != 0).tolist() == [[[False, True, True]]]


def add_one(target: Any, start: int, stop: int) -> None:
    target[start:stop] += 1


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_every_plane_is_visited_once(threads: int, count: int) -> None:
    slabs.set_threads(threads)
    try:
        target = np.zeros(count)
        slabs.over_slabs(add_one, count, 1 << 20, target)
        np.testing.assert_array_equal(target, 1)
    finally:
        slabs.set_threads(2)


def test_a_failure_in_the_other_slab_is_heard() -> None:
    def fail(start: int, stop: int) -> None:
        if start > 0:
            raise RuntimeError("in the second slab")

    with pytest.raises(RuntimeError, match="second slab"):
        slabs.over_slabs(fail, 10, 1 << 20)


def test_small_work_stays_on_one_thread() -> None:
    assert slabs.slab_edges(10, 1000) == [0, 10]
    assert slabs.slab_edges(10, 1 << 20) == [0, 2, 5, 7, 10]
