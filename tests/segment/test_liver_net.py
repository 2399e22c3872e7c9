"""What the liver network is shown and how its scores are read, against slow and obvious twins."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from livervol.assets import models_folder
from livervol.grid import Grid
from livervol.segment import liver_net, liver_search
from livervol.segment.body import StraightScan
from livervol.segment.liver_net import NEIGHBOURS, Sight, look, network_channels, network_grey
from livervol.segment.model import find_model, predict

sys.path.insert(0, str(models_folder() / "liver_v3"))
from cases import CHAOS_CASES, CLASSES, NAMES, NEAR_COPIES, fold_of

CARD = find_model("liver_v3")


def straight(values, modality="CT", high=275.0):
    grid = Grid.from_parts(values.shape, (2.0, 2.0, 2.0))
    return StraightScan(values.astype(np.float32), np.ones(values.shape, bool), grid, modality, 0.0, high)


def test_grey_is_a_fixed_window_in_ct_and_a_share_of_the_bright_end_in_mr():
    values = np.array([-1000.0, -125.0, 57.5, 240.0, 3000.0]).reshape(1, 1, 5)
    assert network_grey(straight(values)).ravel() == pytest.approx([0, 0, 0.5, 1, 1])
    values = np.array([-3.0, 0.0, 100.0, 400.0, 900.0]).reshape(1, 1, 5)
    assert network_grey(straight(values, "MR", 400.0)).ravel() == pytest.approx([0, 0, 0.25, 1, 1])


def test_channels_hold_the_eight_voxels_of_each_block():
    random = np.random.default_rng(1)
    grey, inside = random.random((4, 6, 8), np.float32), random.random((4, 6, 8)) > 0.3
    got = network_channels(grey, inside)
    assert got.shape == (1, 16, 2, 3, 4)
    for z in range(4):
        for y in range(6):
            for x in range(8):
                channel, block = 4 * (z % 2) + 2 * (y % 2) + x % 2, (z // 2, y // 2, x // 2)
                assert got[(0, 8 + channel, *block)] == inside[z, y, x]
                # grey 0 to 1 becomes -2 to 2, and 0 outside the field of view
                assert got[(0, channel, *block)] == pytest.approx((4 * grey[z, y, x] - 2) if inside[z, y, x] else 0)


def test_scores_return_to_their_own_voxels(monkeypatch):
    # a network that answers with the grey value it was shown: any slip in folding or padding moves it
    def echo(card, channels, **_):
        scores = np.zeros((1, 19, *channels.shape[2:]), np.float32)
        scores[:, :8] = channels[:, :8]
        scores[:, 10] = 5.0
        return scores

    monkeypatch.setattr(liver_net, "predict", echo)
    grey = np.random.default_rng(2).random((18, 22, 33), np.float32)
    sight = look(grey, np.ones(grey.shape, bool), CARD)
    assert sight.liver == pytest.approx(1 / (1 + np.exp(-(4 * grey - 2))), abs=1e-6)
    assert sight.classes.shape == (11, 9, 11, 17)
    assert sight.classes.sum(axis=0) == pytest.approx(1, abs=1e-5)
    assert (sight.classes.argmax(axis=0) == 2).all()
    assert NEIGHBOURS[0] == CLASSES[2] == "spleen"
    assert ("other", "liver", *NEIGHBOURS) == CLASSES[: 2 + len(NEIGHBOURS)]


@pytest.mark.parametrize("shape", [(20, 30, 40), (130, 140, 150), (300, 100, 200), (113, 129, 177)])
def test_blocks_cover_everything_and_overlap(shape):
    seen = np.zeros(shape, int)
    ends = [set(), set(), set()]
    for piece in liver_search.tiles(shape, liver_search.TILE):
        seen[piece] += 1
        for axis, side in enumerate(piece):
            assert side.start % 2 == 0
            assert side.stop - side.start <= liver_search.TILE[axis]
            ends[axis].add((side.start, side.stop))
    assert seen.min() >= 1
    for sides in ends:
        ordered = sorted(sides)
        for (_, stop), (start, _) in pairwise(ordered):
            assert stop - start >= liver_search.OVERLAP - 2


def test_faded_blocks_equal_one_piece_where_the_network_is_local(monkeypatch):
    def local(grey, inside, card):
        half = tuple((n + 1) // 2 for n in grey.shape)
        classes = np.zeros((11, *half), np.float32)
        classes[3] = grey[::2, ::2, ::2]
        return Sight(grey * inside, classes)

    monkeypatch.setattr(liver_search, "look", local)
    grey = np.random.default_rng(3).random((150, 90, 210), np.float32)
    inside = np.ones(grey.shape, bool)
    tiled = liver_search._tiled(grey, inside, CARD, (64, 64, 80))
    assert tiled.liver == pytest.approx(grey, abs=1e-5)
    assert tiled.classes[3] == pytest.approx(grey[::2, ::2, ::2], abs=1e-5)


def test_folds_are_by_patient():
    assert {fold_of(name) for name in NEAR_COPIES} == {4}
    assert {fold_of(f"chaos_mr_{n}") for n in CHAOS_CASES} == {0, 1, 2, 3}
    assert sorted({fold_of(name) for name in NAMES}) == [0, 1, 2, 3, 4]
    assert len(NAMES) == len(set(NAMES)) == 52
    assert not any("ct_03" in name for name in NAMES)


def test_other_weights_give_other_scores(tmp_path):
    weights = bytearray(CARD.weights.read_bytes())
    (tmp_path / "weights.onnx").write_bytes(weights[:-7])
    spoilt = replace(CARD, weights=tmp_path / "weights.onnx")
    with pytest.raises(ValueError, match="not the released ones"):
        predict(spoilt, np.zeros((1, 16, 8, 8, 8), np.float32))
