"""Cohort plots: what is drawn is what the CSV says; files are the same every time; nobody is a case too."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from livervol.report.cohort_plots import (
    CATEGORY_COLORS,
    Bar,
    Lane,
    Step,
    Thread,
    spider,
    survival_plot,
    swimmer,
    waterfall,
)
from livervol.report.plots import write_plot

BARS = [Bar("a", -45.0, "PR"), Bar("b", 160.0, "PD", starred=True), Bar("c", 3.0, "SD"), Bar("d", -100.0, "CR")]
THREADS = [Thread("a", "PR", (2.0, 4.0), (-20.0, -45.0)), Thread("b", "PD", (2.0,), (30.0,)), Thread("e", "NE", (), ())]
LANES = [
    Lane("a", "PR", 9.5, True, (("PR", 4.0), ("surgery", 6.0))),
    Lane("b", "PD", 12.0, False, (("PD", 2.0), ("death", 12.0))),
    Lane("c", "SD", 3.0, True),
]
STEP = Step("A", [2, 5], [0.5, 0.0], [0.1, float("nan")], [0.8, float("nan")], [2], [0, 5], [4, 1])


def test_waterfall_is_sorted_capped_and_marked():
    plot = waterfall(BARS)
    assert [row[0] for row in plot.rows] == ["b", "c", "a", "d"]
    assert [row[1] for row in plot.rows] == [160.0, 3.0, -45.0, -100.0]  # the table is not capped
    axes = plot.figure.axes[0]
    tops = [path.vertices[1, 1] for path in axes.collections[0].get_paths()]
    assert tops == [100.0, 3.0, -45.0, -100.0]
    assert {-30.0, 20.0} <= {line.get_ydata()[0] for line in axes.lines}
    assert len(axes.collections[1].get_offsets()) == 1  # one star, over the first bar
    assert axes.collections[1].get_offsets()[0][0] == 0


def test_spider_starts_every_thread_at_baseline():
    plot = spider(THREADS)
    paths = [segment.tolist() for segment in plot.figure.axes[0].collections[0].get_segments()]
    assert paths == [[[0, 0], [2, -20], [4, -45]], [[0, 0], [2, 30]]]
    assert plot.rows == (("a", 2.0, -20.0, "PR"), ("a", 4.0, -45.0, "PR"), ("b", 2.0, 30.0, "PD"))


def test_swimmer_longest_on_top():
    plot = swimmer(LANES)
    axes = plot.figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [12.0, 9.5, 3.0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["b", "a", "c"]
    assert ("c", "SD", 3.0, 1, "", None) in plot.rows
    assert len(plot.rows) == 5


def test_swimmer_of_many_draws_the_longest_and_lists_all():
    lanes = [Lane(f"p{n}", "SD", float(n), True) for n in range(200)]
    plot = swimmer(lanes)
    assert len(plot.rows) == 200
    assert len(plot.figure.axes[0].patches) == 60
    assert "60 longest of 200" in plot.figure.axes[0].get_title(loc="left")


def test_survival_plot_draws_the_curve_from_one():
    plot = survival_plot([STEP], "Survival", ["median 2.0 months"])
    line = plot.figure.axes[0].lines[0]
    assert np.array_equal(line.get_xdata(), [0, 2, 5])
    assert np.array_equal(line.get_ydata(), [1, 0.5, 0])
    assert plot.rows == (("A", 2, 0.5, 0.1, 0.8, 1), ("A", 5, 0.0, None, None, 0))
    assert {text.get_text() for text in plot.figure.axes[1].texts} == {"4", "1"}
    assert plot.figure.axes[0].get_legend().get_texts()[0].get_text() == "A: median 2.0 months"


@pytest.mark.parametrize(
    "draw",
    [
        lambda: waterfall(BARS),
        lambda: spider(THREADS),
        lambda: swimmer(LANES),
        lambda: survival_plot([STEP, STEP], "S"),
    ],
    ids=["waterfall", "spider", "swimmer", "survival"],
)
def test_files_hold_the_numbers_and_repeat(tmp_path, draw):
    (tmp_path / "again").mkdir()
    plot = draw()
    first, second = write_plot(plot, tmp_path, "plot"), write_plot(draw(), tmp_path / "again", "plot")
    assert [p.suffix for p in first] == [".png", ".svg", ".csv"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    with first[2].open() as handle:
        header, *rows = csv.reader(handle)
    assert tuple(header) == plot.columns
    assert rows == [["" if cell is None else str(cell) for cell in row] for row in plot.rows]
    assert first[0].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("draw", [waterfall, spider, swimmer])
def test_nobody(draw, tmp_path):
    plot = draw([])
    assert plot.rows == ()
    assert write_plot(plot, tmp_path, "empty")[0].is_file()
    assert survival_plot([], "S").rows == ()


def test_colours_are_okabe_and_ito():
    # Okabe and Ito 2008, Color Universal Design
    palette = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999"}
    assert set(CATEGORY_COLORS.values()) <= palette
    assert len(set(CATEGORY_COLORS.values())) == len(CATEGORY_COLORS)
