from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from livervol.kernels.lattice import argmax_allowed, argmax_trilinear, sum_probabilities

MATRIX = np.array([[0.31, 0.02, -0.01, -0.4], [0.03, 0.28, 0.02, 0.2], [-0.02, 0.01, 0.33, 0.1]])


def slow_scores(scores, matrix, shape):
    """Twin: scipy's linear interpolation, class by class, border carried on."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1)
    where = matrix[:, :3] @ index + matrix[:, 3:]
    layers = [ndimage.map_coordinates(scores[..., k].astype(np.float64), where, order=1, mode="nearest")
              for k in range(scores.shape[3])]  # fmt: skip
    return np.stack(layers, axis=-1).reshape(*shape, -1)


@pytest.fixture
def case():
    random = np.random.default_rng(5)
    scores = random.normal(size=(6, 7, 8, 5)).astype(np.float32)
    mask = (random.random((19, 23, 25)) < 0.6).astype(np.uint8)
    return scores, mask


def test_argmax_equals_the_twin(case):
    scores, mask = case
    expected = np.where(mask, slow_scores(scores, MATRIX, mask.shape).argmax(axis=-1) + 1, 0)
    assert np.array_equal(argmax_trilinear(scores, MATRIX, mask), expected)


def test_argmax_among_the_allowed_equals_the_twin(case):
    scores, _ = case
    allowed = np.random.default_rng(8).integers(0, 32, (19, 23, 25)).astype(np.uint8)
    bits = (allowed[..., None] >> np.arange(5)) & 1
    masked = np.where(bits == 1, slow_scores(scores, MATRIX, allowed.shape), -np.inf)
    expected = np.where(allowed > 0, masked.argmax(axis=-1) + 1, 0)
    assert np.array_equal(argmax_allowed(scores, MATRIX, allowed), expected)


def test_sums_equal_the_twin(case):
    scores, mask = case
    expected = slow_scores(scores, MATRIX, mask.shape)[mask > 0].sum(axis=0)
    assert np.allclose(sum_probabilities(scores, MATRIX, mask), expected, rtol=1e-6)


def test_probabilities_sum_to_the_voxels(case):
    scores, mask = case
    share = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    assert sum_probabilities(share, MATRIX, mask).sum() == pytest.approx(mask.sum(), rel=1e-6)


def test_two_threads_agree_with_one_plane_at_a_time(case):
    scores, _ = case
    mask = np.ones((70, 64, 64), np.uint8)
    matrix = MATRIX * 0.3
    whole = argmax_trilinear(scores, matrix, mask)
    for plane in (0, 34, 69):
        shifted = matrix.copy()
        shifted[:, 3] += matrix[:, 0] * plane
        assert np.array_equal(argmax_trilinear(scores, shifted, mask[plane : plane + 1])[0], whole[plane])


def test_first_class_wins_a_tie():
    scores = np.zeros((2, 2, 2, 3), np.float32)
    assert np.array_equal(argmax_trilinear(scores, np.eye(3, 4), np.ones((2, 2, 2), np.uint8)), np.ones((2, 2, 2)))
