"""Connected components against a flood fill and against scipy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from livervol.kernels import slabs
from livervol.kernels.components import component_stats, keep_largest, label_components, remove_small

SHAPES = [(5, 7, 9), (3, 11, 131), (1, 4, 64), (9, 1, 65), (6, 5, 1), (1, 1, 1)]
AXES_AT_MOST = {6: 1, 18: 2, 26: 3}


def flood_labels(mask: NDArray[np.bool_], connectivity: int) -> NDArray[np.int32]:
    """The slow obvious twin: flood from each unlabelled voxel in scan order."""
    steps = [s for s in product((-1, 0, 1), repeat=3) if 0 < sum(k != 0 for k in s) <= AXES_AT_MOST[connectivity]]
    labels = np.zeros(mask.shape, np.int32)
    count = 0
    for seed in zip(*np.nonzero(mask), strict=True):
        if labels[seed]:
            continue
        count += 1
        labels[seed] = count
        todo = [seed]
        while todo:
            here = todo.pop()
            for step in steps:
                there = tuple(int(a) + b for a, b in zip(here, step, strict=True))
                inside = all(0 <= a < n for a, n in zip(there, mask.shape, strict=True))
                if inside and mask[there] and not labels[there]:
                    labels[there] = count
                    todo.append(there)
    return labels


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.bool_]:
    shape = draw(st.sampled_from(SHAPES))
    filled = draw(st.sampled_from([0.0, 0.05, 0.2, 0.45, 0.7, 0.95, 1.0]))
    return np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(shape) < filled


@given(masks(), st.sampled_from([6, 18, 26]))
def test_labels_and_statistics_equal_the_twin(mask: NDArray[np.bool_], connectivity: int) -> None:
    labels, stats = label_components(mask, connectivity)
    expected = flood_labels(mask, connectivity)
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == np.int32
    assert stats.voxels.size == expected.max()
    for number in range(1, int(expected.max()) + 1):
        index = np.argwhere(expected == number)
        assert stats.voxels[number - 1] == len(index)
        np.testing.assert_array_equal(stats.start_zyx[number - 1], index.min(axis=0))
        np.testing.assert_array_equal(stats.stop_zyx[number - 1], index.max(axis=0) + 1)
        np.testing.assert_array_equal(stats.sum_zyx[number - 1], index.sum(axis=0))
        np.testing.assert_allclose(stats.centroid_zyx[number - 1], index.mean(axis=0), rtol=1e-12)
    for ours, alone in zip(stats, component_stats(mask, connectivity), strict=True):
        np.testing.assert_array_equal(ours, alone)


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("filled", [0.08, 0.3, 0.6])
def test_both_slabs_are_joined(connectivity: int, filled: float) -> None:
    # large enough for two threads, rows of several words and a ragged end
    mask = np.random.default_rng(3).random((41, 61, 139)) < filled
    assert mask.size > slabs.LEAST_VOXELS
    structure = ndimage.generate_binary_structure(3, AXES_AT_MOST[connectivity])
    np.testing.assert_array_equal(label_components(mask, connectivity)[0], ndimage.label(mask, structure)[0])


def test_a_corner_joins_only_under_26_and_an_edge_not_under_6() -> None:
    corner = np.zeros((2, 3, 70), np.uint8)
    corner[0, 0, 63] = corner[1, 1, 64] = 1
    assert [label_components(corner, c)[0].max() for c in (6, 18, 26)] == [2, 2, 1]
    edge = np.zeros((2, 3, 70), np.uint8)
    edge[0, 1, 63] = edge[1, 1, 64] = 1
    assert [label_components(edge, c)[0].max() for c in (6, 18, 26)] == [2, 1, 1]


@given(masks(), st.integers(0, 12))
def test_small_components_go_and_the_largest_stays(mask: NDArray[np.bool_], min_voxels: int) -> None:
    expected = flood_labels(mask, 6)
    sizes = np.bincount(expected.ravel())
    sizes[0] = 0
    np.testing.assert_array_equal(remove_small(mask, min_voxels), (sizes >= min_voxels)[expected] & mask)
    largest = expected == np.argmax(sizes) if mask.any() else mask
    np.testing.assert_array_equal(keep_largest(mask), largest)
    assert keep_largest(mask).dtype == np.uint8


def test_the_first_of_two_equals_is_the_largest() -> None:
    mask = np.zeros((2, 3, 9), np.uint8)
    mask[0, 1, 1:3] = mask[1, 0, 6:8] = 1
    kept = keep_largest(mask)
    assert kept[0, 1, 1:3].all()
    assert kept.sum() == 2


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.float32])
def test_views_and_other_types_are_read_as_they_are(dtype: type) -> None:
    stored = (np.random.default_rng(5).random((9, 8, 14)) < 0.4).astype(dtype) * dtype(1)
    stored[stored != 0] = dtype(True) if dtype is np.bool_ else dtype(3)
    view = stored[::-1, 1:, ::2]
    before = stored.copy()
    np.testing.assert_array_equal(label_components(view, 26)[0], flood_labels(np.ascontiguousarray(view) != 0, 26))
    np.testing.assert_array_equal(stored, before)


def test_a_read_only_mask_will_do() -> None:
    mask = np.ones((2, 3, 4), np.uint8)
    mask.setflags(write=False)
    assert label_components(mask)[1].voxels.tolist() == [24]


def test_an_unknown_neighbourhood_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 6, 18 or 26, got 8"):
        label_components(np.ones((2, 3, 4), np.uint8), 8)


def test_concurrent_calls_agree() -> None:
    mask = np.random.default_rng(11).random((41, 61, 139)) < 0.2
    alone = label_components(mask, 26)[0]
    with ThreadPoolExecutor(2) as pool:
        for labels, _ in pool.map(lambda _: label_components(mask, 26), range(4)):
            np.testing.assert_array_equal(labels, alone)


def test_one_thread_gives_the_same_as_two() -> None:
    mask = np.random.default_rng(12).random((41, 61, 139)) < 0.2
    two = label_components(mask, 26)[0]
    slabs.set_threads(1)
    try:
        np.testing.assert_array_equal(label_components(mask, 26)[0], two)
    finally:
        slabs.set_threads(2)
