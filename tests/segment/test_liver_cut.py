"""Votes of grey values and the outline, on balls whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from livervol.grid import Grid
from livervol.segment.liver_cut import cut_liver
from livervol.segment.liver_search import LiverView, dice_of
from livervol.segment.liver_tissue import MOST_NATS, tissue_votes

SHAPE, SPACING = (48, 52, 56), (2.0, 2.0, 2.0)
INDEX = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)


def ball(centre, radius):
    return np.linalg.norm(INDEX - np.array(centre), axis=-1) < radius


LIVER = ball((24, 26, 22), 14)
HEART = ball((24, 26, 44), 8)


def view(values, probability):
    grid = Grid.from_parts(SHAPE, SPACING)
    inside = np.ones(SHAPE, bool)
    classes = np.zeros((11, 24, 26, 28), np.float32)
    soft = probability.astype(np.float32)
    grey = np.clip((values + 125) / 365, 0, 1).astype(np.float32)
    return LiverView(grid, values.astype(np.float32), grey, inside, soft, np.zeros_like(soft), classes, 1.0, 1.0, {})


def grey(liver=110.0, other=30.0, noise=8.0):
    return np.where(LIVER, liver, other) + np.random.default_rng(1).normal(0, noise, SHAPE)


def test_grey_values_vote_for_what_looks_like_the_likely_liver():
    votes = tissue_votes(grey(), np.where(LIVER, 0.9, 0.1).astype(np.float32), SPACING)
    assert np.median(votes[ball((24, 26, 22), 11)]) > 1
    assert np.median(votes[~ball((24, 26, 22), 17)]) < -1
    assert np.abs(votes).max() <= MOST_NATS


def test_equal_grey_values_say_nothing():
    flat = np.random.default_rng(2).normal(60, 8, SHAPE)
    votes = tissue_votes(flat.astype(np.float32), np.where(LIVER, 0.9, 0.1).astype(np.float32), SPACING)
    # two histograms of the same values differ by counting noise alone
    assert abs(float(votes.mean())) < 0.1


def test_a_leak_into_unlike_tissue_is_taken_back():
    probability = np.where(LIVER, 0.95, np.where(ball((24, 26, 38), 8), 0.6, 0.03))
    found = cut_liver(view(grey(), probability), np.full(SHAPE, 0.5, np.float32)) > 0.5
    assert dice_of(probability > 0.5, LIVER) < 0.96
    assert dice_of(found, LIVER) > 0.98


def test_a_dark_lesion_at_the_edge_stays_inside():
    lesion = ball((24, 26, 12), 5) & LIVER
    values = np.where(lesion, 55.0, grey())
    found = cut_liver(view(values, np.where(LIVER, 0.9, 0.05)), np.full(SHAPE, 0.5, np.float32)) > 0.5
    # a rim of one voxel may go where the edge is sharp
    assert found[lesion].mean() > 0.9


def test_the_atlas_forbids_a_second_liver():
    both = LIVER | HEART
    values = np.where(both, 60.0, 20.0) + np.random.default_rng(3).normal(0, 5, SHAPE)
    probability = np.where(both, 0.9, 0.05)
    everywhere = cut_liver(view(values, probability), np.full(SHAPE, 0.5, np.float32)) > 0.5
    place = np.where(HEART, 0.002, 0.5).astype(np.float32)
    placed = cut_liver(view(values, probability), place) > 0.5
    assert everywhere[HEART].mean() > 0.9
    assert placed[HEART].mean() < 0.05
    assert placed[LIVER].mean() == pytest.approx(everywhere[LIVER].mean(), abs=0.01)
