from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from conftest import oblique_grid
from livervol.report.solids import SEGMENT_COLORS, segments_figure
from livervol.scan import Segmentation

GRID = oblique_grid((30, 50, 60), (3.0, 2.0, 2.0))


def two_halves():
    """Segment 6 on the patient's right (low x), segment 3 on the left; a lesion inside 6."""
    index = np.stack(np.meshgrid(*map(np.arange, GRID.shape_zyx), indexing="ij"), axis=-1)
    x = GRID.index_to_lps(index)[..., 0]
    inside = np.zeros(GRID.shape_zyx, bool)
    inside[6:24, 10:40, 8:52] = True
    middle = GRID.index_to_lps((15, 25, 30))[0]
    labels = np.where(inside, np.where(x < middle, 6, 3), 0).astype(np.uint8)
    spot = np.zeros(GRID.shape_zyx, np.uint8)
    spot[12:18, 20:30, 14:22] = labels[12:18, 20:30, 14:22] == 6
    return (
        Segmentation(labels, GRID, {3: "segment III", 6: "segment VI"}),
        Segmentation(spot, GRID, {1: "lesion 1"}),
    )


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255.0


def columns_of(picture, color):
    """Mean column, as a share of the width, of pixels in the colour's hue, over the left picture above the legend."""
    left = picture[40:350, : picture.shape[1] // 2]
    hue = np.array(to_rgb(color))
    norm = np.linalg.norm(left, axis=2)
    same = (left @ hue / np.maximum(norm * np.linalg.norm(hue), 1e-9) > 0.999) & (norm > 0.2)
    same &= left.max(axis=2) - left.min(axis=2) > 0.1
    return np.nonzero(same)[1].mean() / left.shape[1] if same.sum() > 50 else None


def test_the_right_liver_is_drawn_on_the_left():
    segments, lesions = two_halves()
    picture = pixels(segments_figure(segments, lesions))
    assert columns_of(picture, SEGMENT_COLORS[6]) < columns_of(picture, SEGMENT_COLORS[3])


def test_what_is_removed_loses_its_colour_and_shows_the_lesion():
    segments, lesions = two_halves()
    picture = pixels(segments_figure(segments, lesions, removed=(6,)))
    assert columns_of(picture, SEGMENT_COLORS[6]) is None
    assert columns_of(picture, SEGMENT_COLORS[3]) is not None
    hidden = pixels(segments_figure(segments, lesions))
    dark = [
        np.count_nonzero((p[40:350, :, 0] > p[40:350, :, 1] + 0.15) & (p[40:350, :, 1] < 0.2))
        for p in (hidden, picture)
    ]
    assert dark[0] < 50 < dark[1]


def test_an_empty_map_gives_an_empty_picture():
    empty = Segmentation(np.zeros(GRID.shape_zyx, np.uint8), GRID, {})
    assert pixels(segments_figure(empty)).min() < 1.0
