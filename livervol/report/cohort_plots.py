"""Plots of a cohort: waterfall, spider, swimmer, Kaplan-Meier; each with the numbers it draws, for a CSV beside it.

Colours are Okabe and Ito's, safe for colour-blind readers; what colour says is also said by order, marker or dash.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from livervol.report.plots import Plot, in_fonts
from livervol.report.words import Words

__all__ = [
    "CATEGORY_COLORS",
    "Bar",
    "Lane",
    "Step",
    "Thread",
    "spider",
    "survival_plot",
    "swimmer",
    "waterfall",
]

#: Best overall response to colour.
CATEGORY_COLORS = {
    "CR": "#009E73",
    "PR": "#56B4E9",
    "SD": "#E69F00",
    "NON-CR/NON-PD": "#F0E442",
    "PD": "#D55E00",
    "NE": "#999999",
}
_CURVE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = {
    "CR": ("o", "#009E73"),
    "PR": ("^", "#0072B2"),
    "PD": ("X", "#D55E00"),
    "surgery": ("D", "#CC79A7"),
    "death": ("s", "#000000"),
    "dose": ("|", "#555555"),
    "dose_change": ("d", "#8A6100"),
    "tace": ("P", "#0072B2"),
    "haic": ("h", "#0072B2"),
    "other_therapy": ("p", "#8A6100"),
    "adverse_event_mild": ("v", "#FFFFFF"),
    "adverse_event_severe": ("v", "#8B0000"),
}
#: How far from the middle of its lane a mark stands: treatment below, adverse events above.
_SHIFTS = {"dose": -0.26, "dose_change": -0.26, "tace": -0.26, "haic": -0.26, "other_therapy": -0.26,
           "adverse_event_mild": 0.28, "adverse_event_severe": 0.28}  # fmt: skip
_ENGLISH = Words()
_CAP_PERCENT = 100.0
_PR_PERCENT, _PD_PERCENT = -30.0, 20.0
#: More lanes than this are not readable on a page: the longest are drawn, the CSV holds all.
_MOST_LANES = 60
#: More shapes than this make a vector file unwieldy: they are drawn as pixels in it.
_MOST_VECTORS = 1500
_MOST_LABELS = 40
_MOST_LETTERS = 24
#: Gaps between more bars than this are narrower than a pixel and would draw a pattern.
_MOST_GAPS = 150
_GREY = "#666666"


@dataclass(frozen=True)
class Bar:
    """A patient of a waterfall: best change of the sum in percent, best response, progression elsewhere."""

    patient: str
    change_percent: float
    category: str
    starred: bool = False


@dataclass(frozen=True)
class Thread:
    """A patient of a spider plot: months since the first dose and change of the sum in percent, visit by visit."""

    patient: str
    category: str
    months: tuple[float, ...]
    changes_percent: tuple[float, ...]


@dataclass(frozen=True)
class Lane:
    """A patient of a swimmer plot: months followed, whether still followed, and (kind, month) of what happened.

    Kinds are CR and PR (start of the response), PD, surgery, death, dose, dose_change, tace, haic, other_therapy,
    adverse_event_mild (grade 1 or 2) and adverse_event_severe (grade 3 or more).
    """

    patient: str
    category: str
    months: float
    ongoing: bool
    marks: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Step:
    """A survival curve: S(t) with its bounds just after each time in months, and the months of censorings.

    ``at_risk`` are the numbers at risk at ``risk_months``.
    """

    label: str
    times: Sequence[float]
    survival: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    censored: Sequence[float]
    risk_months: Sequence[float] = field(default_factory=tuple)
    at_risk: Sequence[int] = field(default_factory=tuple)


def _axes(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    _plain(axes)
    axes.set_title(title, loc="left", fontsize=11)
    return figure, axes


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _category_legend(axes: Axes, categories: Sequence[str], extra: Sequence[Any] = (), **place: Any) -> None:
    shown = [Patch(facecolor=CATEGORY_COLORS[c], label=c) for c in CATEGORY_COLORS if c in categories]
    axes.legend(handles=[*shown, *extra], fontsize=8, frameon=False, **place)


def _color(category: str) -> str:
    return CATEGORY_COLORS.get(category, CATEGORY_COLORS["NE"])


def _short(text: str) -> str:
    """A name on one line, cut where it would take the plot's place; the CSV holds it whole."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_LETTERS else line[: _MOST_LETTERS - 1] + "…"


def _nothing(title: str, columns: tuple[str, ...], w: Words) -> Plot:
    figure, axes = _axes(6, 2, title)
    axes.set_axis_off()
    axes.text(0.5, 0.5, w("plot.nobody"), ha="center", va="center", color=_GREY)
    return Plot(figure, columns, ())


@in_fonts
def waterfall(bars: Sequence[Bar], w: Words = _ENGLISH) -> Plot:
    """Waterfall: every patient's best change in percent, largest first, drawn up to +100 %; a star: PD elsewhere."""
    columns = ("patient", "change_percent", "category", "progression_elsewhere")
    title = w("plot.waterfall")
    if not bars:
        return _nothing(title, columns, w)
    bars = sorted(bars, key=lambda b: (-b.change_percent, b.patient))
    figure, axes = _axes(min(12.0, 5.0 + 0.08 * len(bars)), 4.2, title)
    drawn = [min(b.change_percent, _CAP_PERCENT) for b in bars]
    # a bar of no height would look like a missing patient
    half = 0.42 if len(bars) <= _MOST_GAPS else 0.5
    shapes = [
        [(n - half, 0.0), (n - half, y), (n + half, y), (n + half, 0.0)]
        for n, y in enumerate(y if abs(y) > 0.6 else 0.6 for y in drawn)
    ]
    axes.add_collection(
        PolyCollection(shapes, facecolors=[_color(b.category) for b in bars], rasterized=len(bars) > _MOST_VECTORS)
    )
    for level in (_PR_PERCENT, _PD_PERCENT):
        axes.axhline(level, color=_GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.axhline(0, color="black", linewidth=0.8)
    stars = [(n, y) for n, (b, y) in enumerate(zip(bars, drawn, strict=True)) if b.starred]
    axes.scatter([n for n, _ in stars], [y + (4 if y >= 0 else -4) for _, y in stars], marker="*", s=28, color="black")
    axes.set_xlim(-0.8, len(bars) - 0.2)
    axes.set_ylim(-112, max(30.0, *drawn) + 12)
    axes.set_yticks([t for t in (-100, -75, -50, -30, 0, 20, 50, 75, 100) if t <= max(30.0, *drawn)])
    axes.set_ylabel(w("plot.best_change"), fontsize=9)
    few = len(bars) <= _MOST_LABELS
    axes.set_xticks(
        range(len(bars)) if few else [], [_short(b.patient) for b in bars] if few else [], rotation=90, fontsize=7
    )
    axes.set_xlabel("" if few else w("plot.patients", count=len(bars)), fontsize=9)
    star = Line2D([], [], marker="*", color="black", linestyle="", label=w("plot.pd_elsewhere"))
    _category_legend(axes, [b.category for b in bars], [star] if stars else (), loc="upper right", ncols=2)
    rows = tuple((b.patient, b.change_percent, b.category, int(b.starred)) for b in bars)
    return Plot(figure, columns, rows)


@in_fonts
def spider(threads: Sequence[Thread], w: Words = _ENGLISH) -> Plot:
    """Spider plot: every patient's change from baseline in percent against months since the first dose."""
    columns = ("patient", "month", "change_percent", "category")
    threads = [t for t in threads if t.months]
    title = w("plot.spider")
    if not threads:
        return _nothing(title, columns, w)
    figure, axes = _axes(7.5, 4.2, title)
    paths = [[(0.0, 0.0), *zip(t.months, t.changes_percent, strict=True)] for t in threads]
    dense = len(threads) > _MOST_VECTORS
    thin = 0.4 if dense else 1.0
    colors = [_color(t.category) for t in threads]
    axes.add_collection(
        LineCollection(paths, colors=colors, linewidths=thin, alpha=0.3 if dense else 0.9, rasterized=dense)
    )
    if not dense:
        ends = [path[-1] for path in paths]
        axes.scatter([x for x, _ in ends], [y for _, y in ends], s=14, c=colors, zorder=3)
    for level in (_PR_PERCENT, _PD_PERCENT):
        axes.axhline(level, color=_GREY, linewidth=0.8, linestyle="--", zorder=0)
    axes.axhline(0, color="black", linewidth=0.8)
    highest = max(y for path in paths for _, y in path)
    axes.set_xlim(0, max(x for path in paths for x, _ in path) * 1.04 + 0.1)
    axes.set_ylim(-108, min(max(30.0, highest) + 8, 210))
    axes.set_xlabel(w("plot.months_since_dose"), fontsize=9)
    axes.set_ylabel(w("plot.change"), fontsize=9)
    _category_legend(axes, [t.category for t in threads], loc="upper left", bbox_to_anchor=(1.0, 1.0))
    rows = tuple(
        (t.patient, x, y, t.category) for t in threads for x, y in zip(t.months, t.changes_percent, strict=True)
    )
    return Plot(figure, columns, rows)


@in_fonts
def swimmer(lanes: Sequence[Lane], w: Words = _ENGLISH) -> Plot:
    """Swimmer plot: a lane per patient, longest on top, with what happened when; an arrow: alive and followed."""
    columns = ("patient", "category", "months", "ongoing", "event", "event_month")
    title = w("plot.swimmer")
    if not lanes:
        return _nothing(title, columns, w)
    lanes = sorted(lanes, key=lambda lane: (-lane.months, lane.patient))
    rows = tuple(
        (lane.patient, lane.category, lane.months, int(lane.ongoing), kind, month)
        for lane in lanes
        for kind, month in (lane.marks or (("", None),))
    )
    shown = lanes[:_MOST_LANES]
    busy = any(kind in _SHIFTS for lane in shown for kind, _ in lane.marks)
    if len(lanes) > len(shown):
        title += w("plot.longest", shown=len(shown), all=len(lanes))
    figure, axes = _axes(8.5, 1.6 + (0.26 if busy else 0.17) * len(shown), title)
    longest = max(lane.months for lane in shown)
    heights = range(len(shown) - 1, -1, -1)
    axes.barh(
        heights,
        [lane.months for lane in shown],
        height=0.62,
        color=[_color(lane.category) for lane in shown],
        alpha=0.55,
    )
    for y, lane in zip(heights, shown, strict=True):
        if lane.ongoing:
            axes.annotate(
                "", (lane.months + 0.025 * longest, y), (lane.months, y),
                arrowprops={"arrowstyle": "->", "linewidth": 0.9, "color": "black", "shrinkA": 0, "shrinkB": 0},
            )  # fmt: skip
    present = [kind for kind in _MARKERS if any(kind == k for lane in shown for k, _ in lane.marks)]
    for kind in present:
        shift = _SHIFTS.get(kind, 0.0)
        spots = [(m, y + shift) for y, lane in zip(heights, shown, strict=True) for k, m in lane.marks if k == kind]
        axes.scatter([m for m, _ in spots], [y for _, y in spots], zorder=3, **_mark_style(kind))
    axes.set_yticks(heights, [_short(lane.patient) for lane in shown], fontsize=7)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlim(0, longest * 1.05)
    axes.set_xlabel(w("plot.months_since_dose"), fontsize=9)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    extra: list[Any] = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=_MARKERS[k][0],
            color=_MARKERS[k][1],
            markersize=5,
            label=w(f"mark.{k}"),
            markeredgecolor=_mark_style(k).get("edgecolors", _MARKERS[k][1]),
        )
        for k in present
    ]
    if any(lane.ongoing for lane in shown):
        extra.append(Line2D([], [], marker=">", color="black", linestyle="", label=w("plot.followed")))
    _category_legend(
        axes, [lane.category for lane in shown], extra, loc="upper left", bbox_to_anchor=(1.0, 1.0),
        title=w("plot.best_response"), title_fontsize=8,
    )  # fmt: skip
    return Plot(figure, columns, rows)


def _mark_style(kind: str) -> dict[str, Any]:
    """How a mark of the swimmer plot is drawn; an open triangle is an adverse event of grade 1 or 2."""
    shape, color = _MARKERS[kind]
    small = kind in _SHIFTS
    style: dict[str, Any] = {"marker": shape, "s": 15 if small else 26, "color": color, "linewidths": 0.5}
    if kind == "dose":
        return {**style, "linewidths": 0.9}
    edge = "#8B0000" if kind == "adverse_event_mild" else color if small else "white"
    return {**style, "edgecolors": edge, "linewidths": 0.7 if kind == "adverse_event_mild" else 0.5}


@in_fonts
def survival_plot(steps: Sequence[Step], title: str, medians: Sequence[str] = (), w: Words = _ENGLISH) -> Plot:
    """Kaplan-Meier plot of one curve or several, with pointwise intervals, ticks for censorings and numbers at risk.

    ``medians`` are texts to stand in the legend, one per curve.
    """
    columns = ("group", "month", "survival", "low", "high", "censored")
    steps = [step for step in steps if len(step.times)]
    if not steps:
        return _nothing(title, columns, w)
    figure = Figure(figsize=(6.8, 4.4 + 0.22 * len(steps)), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(4.4, 0.42 + 0.2 * len(steps)), sharex=True)
    _plain(upper)
    upper.set_title(title, loc="left", fontsize=11)
    last = max(step.times[-1] for step in steps)
    for n, step in enumerate(steps):
        color, dash = _CURVE_COLORS[n % len(_CURVE_COLORS)], _DASHES[n % len(_DASHES)]
        label = ": ".join(part for part in (_short(step.label), medians[n] if n < len(medians) else "") if part)
        x, y = [0.0, *step.times], [1.0, *step.survival]
        upper.step(x, y, where="post", color=color, linestyle=dash, linewidth=1.6, label=label or None)
        upper.fill_between(x, [1.0, *step.low], [1.0, *step.high], step="post", color=color, alpha=0.15, linewidth=0)
        ticks = [_value_at(step, month) for month in step.censored]
        many = len(ticks) > _MOST_VECTORS
        upper.plot(
            step.censored,
            ticks,
            linestyle="",
            marker="|",
            markersize=5,
            color=color,
            markeredgewidth=0.8,
            rasterized=many,
        )
    upper.set_ylim(0, 1.03)
    upper.set_xlim(0, last * 1.03)
    upper.set_ylabel(w("plot.probability"), fontsize=9)
    upper.tick_params(labelbottom=True)
    upper.set_xlabel(w("plot.months"), fontsize=9)
    if any(step.label for step in steps) or medians:
        upper.legend(fontsize=8, loc="lower left", edgecolor="none", framealpha=0.85)
    _risk_table(lower, steps, w)
    rows: list[tuple[Any, ...]] = []
    for step in steps:
        gone: dict[float, int] = {}
        for month in step.censored:
            gone[month] = gone.get(month, 0) + 1
        rows += [
            (step.label, t, s, _number(a), _number(b), gone.get(t, 0))
            for t, s, a, b in zip(step.times, step.survival, step.low, step.high, strict=True)
        ]
    return Plot(figure, columns, tuple(rows))


def _number(value: float) -> float | None:
    return None if value != value else value


def _value_at(step: Step, month: float) -> float:
    place = bisect_right(step.times, month)
    return step.survival[place - 1] if place else 1.0


def _risk_table(axes: Axes, steps: Sequence[Step], w: Words) -> None:
    axes.set_ylim(-0.6, len(steps) - 0.2)
    axes.spines[["top", "right", "bottom", "left"]].set_visible(False)
    axes.tick_params(axis="both", length=0, labelbottom=False, labelsize=8, pad=14)
    axes.set_yticks(range(len(steps) - 1, -1, -1), [_short(step.label) or w("plot.all") for step in steps])
    axes.set_title(w("plot.at_risk"), loc="left", fontsize=8, color=_GREY, pad=2)
    for n, step in enumerate(steps):
        color = _CURVE_COLORS[n % len(_CURVE_COLORS)]
        for month, count in zip(step.risk_months, step.at_risk, strict=True):
            axes.text(month, len(steps) - 1 - n, str(count), fontsize=8, ha="center", va="center", color=color)
