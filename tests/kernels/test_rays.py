"""Smooth distances along rays: equal to the same propagation by whole arrays, and right where the answer is known.

Voxels within planes: those of an octahedron.
"""

from __future__ import annotations

import numpy as np
import pytest

from livervol.kernels.rays import smooth_steps, within_planes


def ring(rays):
    one = np.arange(rays)
    pairs = np.concatenate([np.stack([one, (one + 1) % rays], 1), np.stack([(one + 1) % rays, one], 1)])
    return pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]


def by_arrays(cost, links, price, rounds):
    """The slow twin: all messages at once."""
    place = {tuple(pair): k for k, pair in enumerate(links.tolist())}
    back = np.array([place[b, a] for a, b in links.tolist()])
    steps = np.arange(cost.shape[1])
    jump = (price * np.abs(steps[:, None] - steps)).astype(np.float32)
    told = np.zeros((len(links), len(steps)), np.float32)
    for _ in range(rounds):
        belief = cost.copy()
        np.add.at(belief, links[:, 1], told)
        row = belief[links[:, 0]] - told[back]
        row = (row[:, None, :] + jump).min(axis=2)
        told = 0.5 * told + 0.5 * (row - row.min(axis=1, keepdims=True))
    belief = cost.copy()
    np.add.at(belief, links[:, 1], told)
    return belief


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_propagation_by_whole_arrays(seed):
    rng = np.random.default_rng(seed)
    cost = rng.normal(size=(9, 13)).astype(np.float32)
    price = float(rng.uniform(0.05, 1))
    belief = by_arrays(cost, ring(9), price, 12)
    chosen = smooth_steps(cost, ring(9), price, 12)
    # single precision adds in another order
    assert (belief[np.arange(9), chosen] <= belief.min(axis=1) + 1e-4).all()


def test_without_a_price_every_ray_takes_its_own_best_step():
    cost = np.random.default_rng(5).normal(size=(7, 11)).astype(np.float32)
    assert np.array_equal(smooth_steps(cost, ring(7), 0.0, 8), cost.argmin(axis=1))


def test_one_ray_that_strays_follows_its_neighbours():
    cost = np.ones((12, 20), np.float32)
    cost[:, 6] = 0
    cost[4, 6], cost[4, 17] = 0.2, 0
    assert (smooth_steps(cost, ring(12), 0.3, 30) == 6).all()
    # and goes its own way where it pays more than two jumps of eleven steps
    cost[4, 17] = -7
    assert smooth_steps(cost, ring(12), 0.3, 30)[4] == 17


def test_planes_bound_an_octahedron():
    rng = np.random.default_rng(8)
    mask, spacing = rng.random((9, 14, 11)) < 0.7, (2.5, 0.9, 1.3)
    corners = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], float)
    centre = np.array([9.1, 6.2, 7.3])
    inside = within_planes(mask, spacing, corners, corners @ centre + 7.0)
    place = np.stack(np.indices(mask.shape), -1) * np.array(spacing)
    slow = mask & (np.abs(place - centre).sum(axis=-1) <= 7.0)
    assert np.array_equal(inside, slow)
    assert inside.any()
    assert (mask & ~inside).any()
