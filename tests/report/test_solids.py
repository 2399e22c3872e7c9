from __future__ import annotations

import numpy as np

from conftest import oblique_grid
from livervol.report.solids import SEGMENT_COLORS, Solid, removed_words, roman
from livervol.scan import Segmentation

GRID = oblique_grid((30, 50, 60), (3.0, 2.0, 2.0))


def two_halves():
    """Segment 6 on the patient's right (low x), segment 3 on the left; a lesion inside 6, high up and in front."""
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    labels[6:24, 10:40, 8:30] = 6
    labels[6:24, 10:40, 30:52] = 3
    spot = np.zeros(GRID.shape_zyx, np.uint8)
    spot[17:22, 14:22, 14:22] = 1
    return Segmentation(labels, GRID, {3: "segment III", 6: "segment VI"}), Segmentation(spot, GRID, {1: "lesion 1"})


def hue(value):
    text = SEGMENT_COLORS[value]
    rgb = np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)], float)
    return rgb / np.linalg.norm(rgb)


def places(pixels, value):
    """Mean column and row, as shares of the picture, of pixels in a segment's hue; None where there are few."""
    flat = pixels.astype(float)
    norm = np.linalg.norm(flat, axis=2)
    same = (flat @ hue(value) / np.maximum(norm, 1) > 0.99) & (norm < 420)
    if same.sum() < 100:
        return None
    y, x = np.nonzero(same)
    return x.mean() / pixels.shape[1], y.mean() / pixels.shape[0]


def test_the_right_liver_is_drawn_on_the_left():
    for side in ("front", "below"):
        pixels = Solid(two_halves()[0]).view(side).pixels
        assert places(pixels, 6)[0] < 0.5 < places(pixels, 3)[0]


def test_head_is_up_from_the_front_and_the_front_is_up_from_below():
    segments, lesions = two_halves()
    for side in ("front", "below"):
        view = Solid(segments, lesions).view(side)
        (mark,) = (m for m in view.marks if m.kind == "lesion")
        assert mark.text == "1"
        assert mark.y < 0.45 * view.pixels.shape[0]
        assert mark.x < 0.5 * view.pixels.shape[1]


def test_what_is_removed_loses_its_colour():
    segments, lesions = two_halves()
    whole, after = Solid(segments, lesions).view("front"), Solid(segments, lesions).view("front", (6,))
    assert places(whole.pixels, 6) is not None
    assert places(after.pixels, 6) is None
    assert places(after.pixels, 3) is not None
    assert {m.text for m in whole.marks if m.kind == "segment"} == {"III", "VI"}
    assert {m.text for m in after.marks if m.kind == "segment"} == {"III"}


def test_glass_hides_nothing_that_stays_behind_it():
    # segment 3 lies behind segment 6: with 6 removed its colour is seen through the glass
    labels = np.zeros(GRID.shape_zyx, np.uint8)
    labels[6:24, 10:25, 10:50] = 6
    labels[6:24, 25:40, 10:50] = 3
    solid = Solid(Segmentation(labels, GRID, {3: "III", 6: "VI"}))
    centre = [solid.view("front", removed).pixels[60, 220].astype(float) for removed in ((), (6,))]
    mixed = centre[1] / np.linalg.norm(centre[1])
    assert centre[0] @ hue(6) / np.linalg.norm(centre[0]) > 0.99
    assert mixed @ hue(3) > mixed @ hue(6)


def test_same_picture_twice():
    segments, lesions = two_halves()
    one, two = (Solid(segments, lesions).view("below", (3,)).pixels for _ in range(2))
    assert np.array_equal(one, two)


def test_numerals():
    assert removed_words((5, 42)) == "V, IVb"
    assert [roman(v) for v in (8, "41", "x", "²", "9")] == ["VIII", "IVa", "x", "²", "9"]
