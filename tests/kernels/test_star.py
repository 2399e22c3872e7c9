"""Rays spread evenly, and the voxels nearer than their ends: against a tree of directions, and where truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from livervol.kernels.star import means_beside, rays_of, sums_along, voxels_within

SHAPE, SPACING, MIDDLE = (24, 31, 37), (2.5, 1.1, 0.8), np.array([29.0, 17.3, 14.1])


def offsets():
    axes = [np.arange(n) * s - m for n, s, m in zip(SHAPE, SPACING, MIDDLE, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def by_tree(mask, directions, radii):
    """The slow twin: the nearest four directions of every voxel."""
    away = np.linalg.norm(offsets(), axis=-1)
    apart, which = cKDTree(directions).query(offsets() / np.maximum(away, 1e-9)[..., None], 4)
    weight = np.exp(-((apart / 0.12) ** 2))
    surface = (radii[which] * weight).sum(axis=-1) / weight.sum(axis=-1)
    return mask & ((away < radii.min()) | (away <= surface))


@pytest.mark.parametrize(("count", "seed"), [(256, 0), (192, 1), (64, 2)])
def test_voxels_are_those_that_a_tree_of_directions_finds(count, seed):
    random = np.random.default_rng(seed)
    rays = rays_of(count, 6)
    radii = 11 + 4 * np.sin(3 * rays.directions[:, 0]) + random.uniform(-2, 2, count)
    mask = random.random(SHAPE) > 0.2
    found = voxels_within(mask, SPACING, MIDDLE, rays.directions, radii)
    assert np.array_equal(found, by_tree(mask, rays.directions, radii))
    assert 0 < np.count_nonzero(found) < np.count_nonzero(mask)
    # another surface holds other voxels
    radii[7] += 3
    assert not np.array_equal(voxels_within(mask, SPACING, MIDDLE, rays.directions, radii), found)


def test_even_rays_of_one_length_bound_a_ball():
    away = np.linalg.norm(offsets(), axis=-1)
    found = voxels_within(np.ones(SHAPE, bool), SPACING, MIDDLE, rays_of(200, 6).directions, np.full(200, 12.3))
    assert np.array_equal(found, away <= 12.3)


@pytest.mark.parametrize("count", [192, 256])
def test_rays_are_even_and_linked_to_their_nearest_both_ways(count):
    directions, links = rays_of(count, 6)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(1)
    assert np.abs(directions.mean(axis=0)).max() < 0.01
    assert (np.diff(directions[:, 0]) < 0).all()
    pairs = {(int(a), int(b)) for a, b in links}
    assert len(pairs) == len(links)
    assert pairs == {(b, a) for a, b in pairs}
    assert (np.diff(links[:, 1]) >= 0).all()
    apart = np.linalg.norm(directions[:, None] - directions, axis=-1)
    for ray in range(count):
        mine = {b for a, b in pairs if a == ray}
        assert set(np.argsort(apart[ray])[1:7].tolist()) <= mine
        assert ray not in mine
        assert max(apart[ray, b] for b in mine) < 4 / np.sqrt(count) * 1.5


def test_means_beside_each_step():
    random = np.random.default_rng(5)
    values, known = random.normal(size=(3, 9)), random.random((3, 9)) > 0.3
    before, after = means_beside(sums_along(values * known), sums_along(known), 2, 3)
    for ray in range(3):
        for step in range(9):
            for got, part in ((before, slice(max(0, step - 1), step + 1)), (after, slice(step + 1, step + 4))):
                kept = values[ray, part][known[ray, part]]
                assert got[ray, step] == pytest.approx(kept.mean() if kept.size else 0, abs=1e-5)
