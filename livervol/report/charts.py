"""Line charts and timelines as SVG inside the page: their words are text in the page's own font, sharp on paper too.

Colours are Okabe and Ito's, darkened where a line stands on white; what colour says is also said by marker and dash.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

__all__ = ["CHART_COLORS", "Lane", "Limit", "Mark", "Series", "line_chart", "timeline_chart"]

CHART_COLORS = ("#0072B2", "#B34700", "#00734F", "#A14F80", "#8A6100", "#4A5663")
_DASHES = ("", "7 4", "2 3", "9 3 2 3", "4 2", "1 2")
_WIDTH, _HEIGHT = 760, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 24, 16, 50
_INK, _GRID, _SOFT = "#17212b", "#dfe5ea", "#4a5663"
_LANE_PX = 26


@dataclass(frozen=True)
class Series:
    """A line: its name, places, heights, each height's interval (None: none); ``texts`` stand at its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    intervals: Sequence[tuple[float, float] | None] = ()
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Limit:
    """A dashed level with its name."""

    y: float
    text: str


@dataclass(frozen=True)
class Mark:
    """Something on a timeline: where, a few letters beside it, and the whole story for a pointer or a reader aloud."""

    x: float
    text: str
    title: str


@dataclass(frozen=True)
class Lane:
    """A line of a timeline with its marks."""

    name: str
    marks: Sequence[Mark]


def _ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Round numbers that cover ``low`` to ``high``."""
    span = max(high - low, 1e-9)
    step = 10.0 ** math.floor(math.log10(span / most))
    step *= next(m for m in (1, 2, 5, 10, 20) if span / (step * m) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def _tick_text(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _text(x: float, y: float, text: str, anchor: str, color: str = _INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" fill="{color}" text-anchor="{anchor}">{escape(text)}</text>'


def _place(value: float, low: float, high: float, start: float, end: float) -> float:
    return start + (end - start) * (value - low) / (high - low if high > low else 1.0)


def line_chart(
    series: Sequence[Series], *, label: str, x_name: str, y_name: str, limits: Sequence[Limit] = ()
) -> Markup:
    """Lines with their intervals as whiskers, levels dashed, a key below; empty without a point."""
    series = [one for one in series if len(one.x)]
    if not series:
        return Markup("")
    heights = [y for one in series for y in one.y] + [limit.y for limit in limits]
    heights += [end for one in series for pair in one.intervals if pair is not None for end in pair]
    x_ticks = _ticks(0.0, max(max(one.x) for one in series) or 1.0)
    y_ticks = _ticks(min(0.0, *heights), max(0.0, *heights))
    parts = [_frame(x_ticks, y_ticks, x_name, y_name)]

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            _place(x, x_ticks[0], x_ticks[-1], _LEFT, _WIDTH - _RIGHT),
            _place(y, y_ticks[0], y_ticks[-1], _HEIGHT - _BOTTOM, _TOP),
        )

    for limit in limits:
        y = at(0, limit.y)[1]
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{_SOFT}" stroke-dasharray="5 4"/>'
            f'<text x="{_LEFT + 6}" y="{y - 4:.1f}" font-size="11" fill="{_SOFT}">'
            f"{escape(limit.text)}</text>"
        )
    for n, one in enumerate(series):
        parts.append(_line(n, one, [at(x, y) for x, y in zip(one.x, one.y, strict=True)], at))
    legend = _legend([one.name for one in series])
    rows = -(-len(series) // 3)
    return _svg(_HEIGHT + 20 * rows, label, "".join(parts) + legend)


def _svg(height: float, label: str, inside: str) -> Markup:
    return Markup(
        f'<svg class="chart" role="img" viewBox="0 0 {_WIDTH} {height:.0f}" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg">{inside}</svg>'
    )


def _frame(x_ticks: Sequence[float], y_ticks: Sequence[float], x_name: str, y_name: str) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = []
    for tick in y_ticks:
        y = _place(tick, y_ticks[0], y_ticks[-1], bottom, _TOP)
        line = _INK if tick == 0 else _GRID
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="{line}"/>' + _text(_LEFT - 7, y + 4, _tick_text(tick), "end")
        )
    parts.append(_x_axis(x_ticks, x_name, bottom))
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<text x="15" y="{middle}" font-size="12" fill="{_SOFT}" text-anchor="middle" '
        f'transform="rotate(-90 15 {middle})">{escape(y_name)}</text>'
    )
    return "".join(parts)


def _x_axis(ticks: Sequence[float], name: str, bottom: float) -> str:
    parts = [f'<path d="M{_LEFT} {bottom}H{_WIDTH - _RIGHT}" stroke="{_SOFT}"/>']
    for tick in ticks:
        x = _place(tick, ticks[0], ticks[-1], _LEFT, _WIDTH - _RIGHT)
        parts.append(
            f'<path d="M{x:.1f} {bottom}v4" stroke="{_SOFT}"/>' + _text(x, bottom + 17, _tick_text(tick), "middle")
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{bottom + 36}" font-size="12" fill="{_SOFT}" text-anchor="middle">{escape(name)}</text>'
    )
    return "".join(parts)


def _symbol(n: int, x: float, y: float) -> str:
    color = CHART_COLORS[n % len(CHART_COLORS)]
    shape = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.6" fill="{color}"/>',
        f'<path d="M{x - 4.4:.1f} {y - 4.4:.1f}h8.8v8.8h-8.8z" fill="{color}"/>',
        f'<path d="M{x:.1f} {y - 5.6:.1f}l5.6 9.6h-11.2z" fill="{color}"/>',
        f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" fill="{color}"/>',
    )
    return shape[n % len(shape)]


def _line(n: int, one: Series, points: Sequence[tuple[float, float]], at: object) -> str:
    color, dash = CHART_COLORS[n % len(CHART_COLORS)], _DASHES[n % len(_DASHES)]
    parts = []
    # whiskers of several lines stand side by side
    shift = 3.0 * n
    for (x, _), height, pair in zip(points, one.x, one.intervals or [None] * len(points), strict=True):
        if pair is None:
            continue
        low, high = (at(height, end)[1] for end in pair)  # type: ignore[operator]
        x += shift
        parts.append(
            f'<path d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8" '
            f'stroke="{color}" stroke-width="1.2" fill="none" opacity="0.75"/>'
        )
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    parts.append(f'<path d="{path}" fill="none" stroke="{color}" stroke-width="2.2"{dashed}/>')
    for m, (x, y) in enumerate(points):
        parts.append(_symbol(n, x, y))
        if m < len(one.texts) and one.texts[m]:
            up = -10 if n % 2 == 0 else 18
            parts.append(
                f'<text x="{x + 7:.1f}" y="{y + up:.1f}" font-size="12" font-weight="600" fill="{color}">'
                f"{escape(one.texts[m])}</text>"
            )
    return "".join(parts)


def _legend(names: Sequence[str]) -> str:
    parts = []
    for n, name in enumerate(names):
        x, y = _LEFT + (n % 3) * 228, _HEIGHT + 10 + 20 * (n // 3)
        dash = _DASHES[n % len(_DASHES)]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(
            f'<path d="M{x} {y - 4}h30" stroke="{CHART_COLORS[n % len(CHART_COLORS)]}" stroke-width="2.2"{dashed}/>'
            f'{_symbol(n, x + 15, y - 4)}<text x="{x + 38}" y="{y}" font-size="12" fill="{_INK}">{escape(name)}</text>'
        )
    return "".join(parts)


def timeline_chart(lanes: Sequence[Lane], *, label: str, x_name: str) -> Markup:
    """What happened when, kind by kind; empty without a mark."""
    lanes = [lane for lane in lanes if lane.marks]
    if not lanes:
        return Markup("")
    places = [mark.x for lane in lanes for mark in lane.marks]
    ticks = _ticks(min(0.0, *places), max(max(places), 1.0))
    left, bottom = 150, _TOP + _LANE_PX * len(lanes)
    parts = []
    for n, lane in enumerate(lanes):
        y = _TOP + _LANE_PX * (n + 0.5)
        parts.append(
            f'<path d="M{left} {y}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>' + _text(left - 8, y + 4, lane.name, "end")
        )
        for mark in lane.marks:
            x = _place(mark.x, ticks[0], ticks[-1], left, _WIDTH - _RIGHT)
            text = f'<text x="{x + 7:.1f}" y="{y - 2:.1f}" font-size="10" fill="{_SOFT}">{escape(mark.text)}</text>'
            parts.append(f"<g><title>{escape(mark.title)}</title>{_symbol(n, x, y)}{text if mark.text else ''}</g>")
    for tick in ticks:
        x = _place(tick, ticks[0], ticks[-1], left, _WIDTH - _RIGHT)
        parts.append(
            f'<path d="M{x:.1f} {bottom}v4" stroke="{_SOFT}"/>' + _text(x, bottom + 17, _tick_text(tick), "middle")
        )
    parts.append(
        f'<text x="{(left + _WIDTH - _RIGHT) / 2}" y="{bottom + 34}" font-size="12" fill="{_SOFT}" '
        f'text-anchor="middle">{escape(x_name)}</text>'
    )
    return _svg(bottom + 42, label, "".join(parts))
