"""What the edge network is shown and what is made of its answer, against slow and obvious twins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from livervol.grid import Grid
from livervol.scan import Scan
from livervol.segment import liver, liver_edge
from livervol.segment.liver_edge import CHANNELS, edge_channels, outline_of
from livervol.segment.liver_search import LiverView
from livervol.segment.model import find_model

SHAPE = (40, 46, 52)
INDEX = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
AWAY = np.linalg.norm((INDEX - np.array((20, 22, 24))) / (0.8, 1.0, 1.2), axis=-1)
CARD = find_model("liver_edge_v1")


def soft(radius, width=1.5):
    return (1 / (1 + np.exp((AWAY - radius) / width))).astype(np.float32)


def view(soft_dice=0.95):
    random = np.random.default_rng(4)
    values = (np.where(AWAY < 12, 110, 20) + random.normal(0, 9, SHAPE)).astype(np.float32)
    inside = np.ones(SHAPE, bool)
    inside[:, :14] = False
    classes = random.random((11, 20, 23, 26), np.float32)
    grey = np.clip((values + 125) / 365, 0, 1)
    grid = Grid.from_parts(SHAPE, (2.0, 2.0, 2.0))
    return LiverView(grid, values, grey, inside, soft(12) * inside, 0.1 * soft(5), classes, soft_dice, 0.9, {})


def odds(probability):
    p = min(max(float(probability), 1e-6), 1 - 1e-6)
    return np.log(p / (1 - p))


def test_channels_voxel_by_voxel():
    seen, cut, place = view(), soft(11), soft(13, 4.0)
    box, channels = edge_channels(seen, cut, place)
    near = np.argwhere((cut > 0.5) | (seen.probability > 0.5))
    for side, low, high, n in zip(box, near.min(axis=0), near.max(axis=0), SHAPE, strict=True):
        assert side.start in (max(0, low - 9), max(0, low - 10))
        assert side.stop in (min(n, high + 10), min(n, high + 11))
        assert side.start % 2 == side.stop % 2 == 0
    assert channels.shape == (16, *(s.stop - s.start for s in box))
    sure = seen.values[(seen.probability > 0.9) & (cut > 0.5)]
    level = np.median(sure)
    spread = 1.4826 * np.median(np.abs(sure - level))
    for place_in_box in np.random.default_rng(5).integers(0, channels.shape[1:], (300, 3)):
        at = tuple(place_in_box + [s.start for s in box])
        want = {
            "grey": 4 * seen.grey[at] - 2,
            "deviation": np.clip((seen.values[at] - level) / (4 * spread), -3, 3),
            "network": np.clip(odds(seen.probability[at]) / 3, -2, 2),
            "cut": 4 * cut[at] - 2,
            "atlas": np.clip(odds(place[at]) / 3, -3, 3),
            "spread": 8 * seen.spread[at],
            "inside": float(seen.inside[at]),
        }
        assert list(want) == list(CHANNELS)
        coarse = [seen.classes[(2 + k, *(i // 2 for i in at))] for k in range(9)]
        assert channels[(slice(None), *place_in_box)] == pytest.approx([*want.values(), *coarse], abs=1e-4)


@pytest.mark.parametrize("tile", [(112, 112, 128), (28, 30, 34)])
def test_the_answer_returns_to_its_own_voxels(monkeypatch, tile):
    # a network that answers with the cut it was shown: any slip in blocks or padding moves it
    shown = []

    def echo(card, channels):
        shown.append(channels.shape)
        assert all(n % 4 == 0 for n in channels.shape[2:])
        return channels[:, 3:4]

    monkeypatch.setattr(liver_edge, "predict", echo)
    monkeypatch.setattr(liver_edge, "TILE", tile)
    seen, cut = view(), soft(11)
    box, _ = edge_channels(seen, cut, soft(13))
    found = outline_of(seen, cut, soft(13), CARD)
    want = np.zeros(SHAPE, np.float32)
    want[box] = (1 / (1 + np.exp(2 - 4 * cut)))[box]
    want[~seen.inside] = 0
    deep = distance_transform_edt(cut > 0.5, (2.0, 2.0, 2.0)) > 3
    want[deep] = np.maximum(want, cut)[deep]
    assert found == pytest.approx(want, abs=1e-5)
    assert (len(shown) > 1) == (tile[0] < 100)


def test_blocks_are_filled_up_with_nothing(monkeypatch):
    seen, cut = view(), soft(11)
    box, _ = edge_channels(seen, cut, soft(13))
    shape = [s.stop - s.start for s in box]
    assert any(n % 4 for n in shape)

    def look(card, channels):
        for axis, n in enumerate(shape):
            beyond = np.moveaxis(channels[0], axis + 1, 1)[:, n:]
            for channel, empty in enumerate(CHANNELS.values()):
                assert (beyond[channel] == empty).all()
            assert not beyond[len(CHANNELS) :].any()
        return np.zeros((1, 1, *channels.shape[2:]), np.float32)

    monkeypatch.setattr(liver_edge, "predict", look)
    shallow = distance_transform_edt(cut > 0.5, (2.0, 2.0, 2.0)) <= 3
    assert np.unique(outline_of(seen, cut, soft(13), CARD)[shallow]) == pytest.approx([0, 0.5])


def test_the_outline_moves_inwards_by_three_millimetres_at_most(monkeypatch):
    # a lesion at the surface: the network denies all of it
    monkeypatch.setattr(liver_edge, "predict", lambda card, x: np.full((1, 1, *x.shape[2:]), -9.0, np.float32))
    seen = replace(view(), inside=np.ones(SHAPE, bool))
    cut = soft(11)
    kept = outline_of(seen, cut, soft(13), CARD) > 0.5
    assert np.array_equal(kept, distance_transform_edt(cut > 0.5, (2.0, 2.0, 2.0)) > 3)
    assert 0.4 < np.count_nonzero(kept) / np.count_nonzero(cut > 0.5) < 0.7


@pytest.mark.parametrize(("soft_dice", "radius"), [(0.95, 9), (0.75, 12)])
def test_it_is_asked_only_where_the_first_network_is_trusted(monkeypatch, soft_dice, radius):
    seen = replace(view(soft_dice), inside=np.ones(SHAPE, bool), probability=soft(12))
    monkeypatch.setattr(liver, "first_view", lambda *_: (seen, soft(12), 0.5))
    monkeypatch.setattr(liver, "cut_liver", lambda *_: soft(12))
    monkeypatch.setattr(liver, "outline_of", lambda *_: soft(9))
    monkeypatch.setattr(liver, "better_turned", lambda *_: None)
    monkeypatch.setattr(liver, "LEAST_ML", 1.0)
    found = liver.segment_liver(Scan(seen.values.astype(np.int16), seen.grid))
    assert np.array_equal(found.segmentation.mask(), soft(radius) > 0.5)


def test_the_released_network_keeps_a_clear_liver_and_mends_a_cut_that_is_too_small():
    seen = replace(view(), inside=np.ones(SHAPE, bool), probability=soft(12))
    truth = AWAY < 12

    def dice(mask):
        return 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))

    kept = dice(outline_of(seen, soft(12), soft(12, 4.0), CARD) > 0.5)
    assert kept > 0.97
    small = soft(10.5)
    mended = dice(outline_of(seen, small, soft(12, 4.0), CARD) > 0.5)
    assert mended > dice(small > 0.5) + 0.02
