"""The two-region cut against brute force and against shapes whose best region is known."""

from __future__ import annotations

from itertools import product

import numpy as np

from livervol.kernels.cut import smooth_cut


def energy(member: np.ndarray, cost: np.ndarray, price: np.ndarray, spacing_mm: tuple[float, float, float]) -> float:
    """The slow twin of what is minimised: region cost plus price times the length of the forward difference."""
    finest = min(spacing_mm)
    squared = np.zeros(cost.shape)
    for axis, spacing in enumerate(spacing_mm):
        ahead = np.diff(member, axis=axis, append=np.take(member, [-1], axis))
        squared += (finest / spacing * ahead) ** 2
    return float((cost * member).sum() + (price * np.sqrt(squared)).sum())


def test_no_binary_region_is_cheaper() -> None:
    rng = np.random.default_rng(11)
    spacing = (2.5, 0.8, 0.7)
    for _ in range(3):
        cost = rng.normal(0, 1, (2, 2, 3)).astype(np.float32)
        price = rng.uniform(0.2, 0.8, cost.shape).astype(np.float32)
        found = smooth_cut(cost, price, spacing, 3000)
        best = min(
            energy(np.array(bits, float).reshape(cost.shape), cost, price, spacing)
            for bits in product((0, 1), repeat=cost.size)
        )
        # the relaxation may be cheaper than any binary region, never dearer; 1e-3 is what 3000 rounds leave
        assert energy(found.astype(float), cost, price, spacing) <= best + 1e-3


def test_without_a_boundary_price_each_voxel_decides_alone() -> None:
    cost = np.random.default_rng(5).normal(0, 1, (5, 6, 7)).astype(np.float32)
    found = smooth_cut(cost, np.zeros_like(cost), (2.5, 0.8, 0.7), 300)
    assert np.array_equal(found > 0.5, cost < 0)


def test_a_price_removes_a_speck_and_keeps_a_ball() -> None:
    z, y, x = np.meshgrid(np.arange(24) - 8, np.arange(26) - 12, np.arange(28) - 12, indexing="ij")
    ball = z**2 + y**2 + x**2 <= 36
    cost = np.where(ball, -1.0, 1.0).astype(np.float32)
    cost[20, 22, 24] = -1.0
    found = smooth_cut(cost, np.ones_like(cost), (1.0, 1.0, 1.0), 300) > 0.5
    assert not found[20, 22, 24]
    # flattening a ball of radius 6 moves its surface by well under half a voxel
    assert np.count_nonzero(found != ball) < 0.1 * np.count_nonzero(ball)


def test_an_unpriced_plane_attracts_the_boundary() -> None:
    cost = np.zeros((6, 8, 20), np.float32)
    cost[:, :, :3], cost[:, :, 17:] = -5.0, 5.0
    price = np.ones_like(cost)
    price[:, :, 11] = 0.05
    found = smooth_cut(cost, price, (2.0, 1.0, 1.0), 2000) > 0.5
    assert found[:, :, :12].all()
    assert not found[:, :, 12:].any()


def test_the_same_input_gives_the_same_bytes() -> None:
    cost = np.random.default_rng(7).normal(0, 1, (9, 10, 11)).astype(np.float32)
    price = np.full_like(cost, 0.5)
    first, second = (smooth_cut(cost, price, (2.5, 0.8, 0.7), 50).tobytes() for _ in range(2))
    assert first == second
