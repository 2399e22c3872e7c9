"""Region growing against labelled thresholds, arrival costs against a heap."""

from __future__ import annotations

import heapq
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.graph import MCP_Geometric

from livervol.kernels import slabs
from livervol.kernels.front import geodesic_front, grow_region

SPACING_MM = (2.5, 0.8, 0.7)
SHAPES = [(5, 7, 9), (3, 6, 67), (1, 4, 64), (9, 1, 11), (6, 5, 1), (1, 1, 1)]
AXES_AT_MOST = {6: 1, 18: 2, 26: 3}


def grown_twin(
    values: NDArray[Any], seeds: NDArray[Any], low: float, high: float, barrier: NDArray[Any] | None
) -> NDArray[np.bool_]:
    """The slow obvious twin: threshold, label, keep the labels under the seeds."""
    within = (values >= low) & (values <= high)
    if barrier is not None:
        within &= barrier == 0
    labels, _ = ndimage.label(within)
    under = np.unique(labels[within & (seeds != 0)])
    return np.isin(labels, under[under > 0])


def arrival_twin(
    cost: NDArray[np.float32], seeds: NDArray[Any], max_cost: float, connectivity: int
) -> NDArray[np.float32]:
    """The slow obvious twin: Dijkstra's algorithm with a heap, in single precision."""
    steps = [s for s in product((-1, 0, 1), repeat=3) if 0 < sum(k != 0 for k in s) <= AXES_AT_MOST[connectivity]]
    lengths = [np.float32(np.sqrt(sum((k * s) ** 2 for k, s in zip(q, SPACING_MM, strict=True)))) for q in steps]
    open_to = (cost >= 0) & np.isfinite(cost)
    best = np.full(cost.shape, np.inf, np.float32)
    heap = []
    for seed in zip(*np.nonzero((seeds != 0) & open_to), strict=True):
        place = tuple(int(k) for k in seed)
        best[place] = 0
        heap.append((np.float32(0), place))
    while heap:
        so_far, here = heapq.heappop(heap)
        if so_far > best[here]:
            continue
        for step, length in zip(steps, lengths, strict=True):
            there = tuple(a + b for a, b in zip(here, step, strict=True))
            if all(0 <= k < n for k, n in zip(there, cost.shape, strict=True)) and open_to[there]:
                offer = so_far + length * ((cost[here] + cost[there]) * np.float32(0.5))
                if offer < best[there] and offer <= max_cost:
                    best[there] = offer
                    heapq.heappush(heap, (offer, there))
    return best


@st.composite
def scenes(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.integers(0, 100, shape), rng.random(shape) < 0.05, rng.random(shape) < 0.15


@given(scenes(), st.sampled_from([np.int16, np.uint8, np.float32]), st.sampled_from([(20, 70), (19.5, 70.5), (60, 50)]))
def test_regions_equal_the_twin(scene: Any, dtype: type, limits: tuple[float, float]) -> None:
    values, seeds, barrier = scene
    values = values.astype(dtype)
    for wall in (None, barrier):
        region = grow_region(values, seeds, *limits, wall)
        assert region.dtype == np.uint8
        np.testing.assert_array_equal(region, grown_twin(values, seeds, *limits, wall))


@pytest.mark.parametrize(
    ("low", "high", "count"), [(-np.inf, np.inf, 60), (-1e9, 1e9, 60), (300, 400, 0), (-9, -1, 0), (0, 1e9, 60)]
)
def test_limits_beyond_the_type_are_limits_all_the_same(low: float, high: float, count: int) -> None:
    values = np.zeros((3, 4, 5), np.uint8)
    seeds = np.zeros((3, 4, 5), np.uint8)
    seeds[1, 2, 3] = 1
    assert grow_region(values, seeds, low, high).sum() == count


def test_a_seed_outside_the_limits_counts_for_nothing() -> None:
    values = np.zeros((3, 4, 70), np.int16)
    values[:, :, 35] = 50
    seeds = np.zeros_like(values, dtype=np.uint8)
    seeds[1, 1, 35] = 1
    assert not grow_region(values, seeds, -1, 1).any()
    seeds[1, 1, 64] = 1
    region = grow_region(values, seeds, -1, 1)
    assert region[:, :, 36:].all()
    assert not region[:, :, :36].any()


@pytest.mark.parametrize("threads", [1, 2])
def test_large_regions_threads_and_concurrent_calls_agree(threads: int) -> None:
    values = np.random.default_rng(1).integers(0, 100, (41, 61, 139)).astype(np.int16)[::-1, :, ::-1]
    seeds = np.zeros(values.shape, np.uint8)
    seeds[20, 30, 70:75] = 1
    expected = grown_twin(values, seeds, 20, 70, None)
    assert expected.sum() > 1000
    slabs.set_threads(threads)
    try:
        with ThreadPoolExecutor(2) as pool:
            for region in pool.map(lambda _: grow_region(values, seeds, 20, 70), range(3)):
                np.testing.assert_array_equal(region, expected)
    finally:
        slabs.set_threads(2)


@given(
    scenes(), st.sampled_from([6, 18, 26]), st.sampled_from([np.inf, 300.0]), st.sampled_from(["even", "wide", "free"])
)
def test_arrival_costs_equal_the_twin(scene: Any, connectivity: int, max_cost: float, kind: str) -> None:
    values, seeds, walls = scene
    cost = {
        "even": values / np.float32(7) + 1,
        "wide": np.float32(10.0) ** (values / np.float32(12) - 4),  # over eight orders of magnitude
        "free": np.maximum(values - 50, 0),  # steps that cost nothing
    }[kind].astype(np.float32)
    cost[walls] = np.array([np.inf, -1.0, np.nan], np.float32)[values[walls] % 3]
    found = geodesic_front(cost, seeds, SPACING_MM, max_cost, connectivity)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, arrival_twin(cost, seeds, max_cost, connectivity))


def test_arrival_costs_agree_with_scikit_image() -> None:
    cost = np.random.default_rng(2).random((9, 14, 23)) + 0.2
    seeds = np.zeros(cost.shape, np.uint8)
    seeds[4, 7, 11] = 1
    expected, _ = MCP_Geometric(cost, sampling=SPACING_MM, fully_connected=True).find_costs([(4, 7, 11)])
    np.testing.assert_allclose(geodesic_front(cost, seeds, SPACING_MM), expected, rtol=1e-5)


def test_uniform_cost_along_an_axis_is_the_distance() -> None:
    seeds = np.zeros((5, 6, 80), np.uint8)
    seeds[0, 0, 0] = 1
    found = geodesic_front(np.ones(seeds.shape, np.uint8), seeds, SPACING_MM)
    for axis, spacing in enumerate(SPACING_MM):
        line = np.moveaxis(found, axis, 0)[:, 0, 0]
        np.testing.assert_allclose(line, np.arange(line.size) * spacing, rtol=1e-5)


def test_nothing_is_reached_without_seeds_or_through_walls() -> None:
    cost = np.ones((3, 4, 9), np.float32)
    assert np.isinf(geodesic_front(cost, np.zeros(cost.shape, np.uint8), SPACING_MM)).all()
    seeds = np.zeros(cost.shape, np.uint8)
    seeds[:, :, 0] = 1
    cost[:, :, 4] = np.inf
    found = geodesic_front(cost, seeds, SPACING_MM)
    assert np.isfinite(found[:, :, :4]).all()
    assert np.isinf(found[:, :, 4:]).all()
    assert np.isinf(geodesic_front(np.full(cost.shape, np.inf), seeds, SPACING_MM)).all()


def test_many_waiting_voxels_outgrow_the_first_store() -> None:
    # a front of some ten thousand voxels; over faces at cost 1 the arrival is the sum of the distances along the axes
    seeds = np.zeros((60, 140, 160), np.uint8)
    seeds[30, 70, 80] = 1
    found = geodesic_front(np.ones(seeds.shape, np.uint8), seeds, SPACING_MM, connectivity=6)
    z, y, x = (np.abs(np.arange(n) - n // 2) * s for n, s in zip(seeds.shape, SPACING_MM, strict=True))
    expected = z[:, None, None] + y[:, None] + x
    np.testing.assert_allclose(found, expected, rtol=2e-5)  # some two hundred single-precision sums


def test_many_seeds_are_all_taken() -> None:
    seeds = np.ones((60, 140, 160), np.uint8)
    seeds[30, 70, 80] = 0
    found = geodesic_front(np.ones(seeds.shape, np.float32), seeds, SPACING_MM, connectivity=6)
    assert found[30, 70, 80] == np.float32(0.7)
    assert np.count_nonzero(found) == 1


def test_an_unknown_neighbourhood_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 6, 18 or 26, got 4"):
        geodesic_front(np.ones((2, 3, 4)), np.ones((2, 3, 4), np.uint8), SPACING_MM, connectivity=4)
