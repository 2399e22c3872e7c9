"""A plot and its numbers, written as PNG, SVG and CSV; fonts that have the page's glyphs."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import findSystemFonts, fontManager

from livervol.report.words import Words

__all__ = ["Plot", "figure_words", "in_fonts", "svg_of", "write_plot"]

_DPI = 150
#: Fonts with Chinese glyphs, best first.
_CJK_FONTS = (
    "Noto Sans CJK SC", "Source Han Sans SC", "Noto Sans SC", "Noto Sans CJK JP", "Noto Sans CJK TC",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "PingFang SC", "Heiti SC",
)  # fmt: skip

_CJK_FILES = ("NotoSansCJK-Regular", "NotoSansCJKsc-Regular", "NotoSansSC", "SourceHanSans", "wqy-", "simhei", "msyh")


@dataclass(frozen=True)
class Plot:
    """A figure and the numbers it draws, as rows under ``columns``."""

    figure: Figure
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@lru_cache(maxsize=1)
def _cjk_font() -> str:
    """A font with Chinese glyphs that this machine has, empty when none."""
    found = _known_font()
    if not found:
        # the list of fonts is kept from an earlier day: fonts installed since are looked for once
        for path in findSystemFonts():
            if Path(path).name.startswith(_CJK_FILES):
                fontManager.addfont(path)
        found = _known_font()
    return found


def _known_font() -> str:
    present = {font.name for font in fontManager.ttflist}
    return next((name for name in _CJK_FONTS if name in present), "")


def figure_words(w: Words) -> Words:
    """The words for figures: the page's, or English where no font on this machine has the page's glyphs."""
    return w if w.language == "en" or _cjk_font() else Words("en")


@contextmanager
def _fonts() -> Iterator[None]:
    family = ["DejaVu Sans", _cjk_font()] if _cjk_font() else ["DejaVu Sans"]
    # a dollar sign in a pseudonym is a dollar sign
    with matplotlib.rc_context({"font.family": family, "text.parse_math": False}), warnings.catch_warnings():
        # a pseudonym in a script that no font here has is drawn as boxes
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def in_fonts(draw: Callable[..., Plot]) -> Callable[..., Plot]:
    """The drawing function with fonts that have the page's glyphs."""

    @wraps(draw)
    def drawn(*values: Any, **more: Any) -> Plot:
        with _fonts():
            return draw(*values, **more)

    return drawn


def write_plot(plot: Plot, folder: Path, stem: str) -> tuple[Path, ...]:
    """Write ``stem``.png, ``stem``.svg and ``stem``.csv into ``folder``; the same numbers give the same bytes."""
    paths = tuple(folder / f"{stem}.{kind}" for kind in ("png", "svg", "csv"))
    FigureCanvasAgg(plot.figure)
    with _fonts():
        plot.figure.savefig(paths[0], dpi=_DPI, metadata={"Software": None})
    paths[1].write_text(svg_of(plot), encoding="utf-8")
    with paths[2].open("w", encoding="utf-8", newline="") as handle:
        out = csv.writer(handle, lineterminator="\n")
        out.writerow(plot.columns)
        out.writerows([["" if cell is None else cell for cell in row] for row in plot.rows])
    return paths


def svg_of(plot: Plot) -> str:
    """The figure as SVG with text as text; the same numbers give the same text."""
    out = io.BytesIO()
    with _fonts(), matplotlib.rc_context({"svg.hashsalt": "livervol", "svg.fonttype": "none"}):
        FigureCanvasSVG(plot.figure).print_svg(out, metadata={"Date": None, "Creator": None})
    return out.getvalue().decode("utf-8")
