"""Cells, columns, cards and verdicts: what the templates show, already in the page's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from livervol.errors import CriteriaError
from livervol.measure.resection import PROTOCOLS, operation
from livervol.report.solids import removed_words
from livervol.report.words import Words

__all__ = [
    "FLR", "Card", "Cell", "Column", "Table", "Verdict", "flr_card", "flr_verdict", "gauge", "key_line", "measured",
    "operation_name",
]  # fmt: skip

#: The key of the remnant's share that is called FLR %.
FLR = "flr_of_functional_percent"
#: The trial's threshold of the remnant, percent of the functional liver.
FLR_THRESHOLD_PERCENT = PROTOCOLS["trial"].threshold_percent


@dataclass(frozen=True)
class Verdict:
    """A judgement: ``kind`` met, unsure, unmet or open, said in ``text``."""

    kind: str
    text: str


@dataclass(frozen=True)
class Cell:
    """A table's cell: text, an interval or note below it, or a verdict; ``swatch`` is a colour before the text."""

    text: object = ""
    range: object = ""
    note: object = ""
    verdict: Verdict | None = None
    swatch: str = ""


@dataclass(frozen=True)
class Column:
    """A table's column: its head, and whether it holds words (left) or numbers (right)."""

    text: str
    word: bool = False


@dataclass(frozen=True)
class Table:
    """Columns and rows of cells; false without a row."""

    columns: tuple[Column, ...] = ()
    rows: list[list[Cell]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows)


@dataclass(frozen=True)
class Card:
    """A key number on the first page."""

    what: str
    value: str
    range: str = ""
    verdict: Verdict | None = None
    note: str = ""
    gauge: Markup = field(default_factory=Markup)
    main: bool = False


def measured(w: Words, entry: Mapping[str, Any], key: str, decimals: int = 1, say: Any = None) -> Cell:
    """A number of a document with its interval, or a dash with the reason it is absent."""
    value, reason = entry.get(key), entry.get(f"{key}_reason", "")
    if value is None:
        return Cell(w.number(None), note=say(reason) if say is not None and reason else "")
    return Cell(w.number(value, decimals), w.span(entry.get(f"{key}_interval"), decimals))


def operation_name(w: Words, slug: str) -> str:
    """An operation in words: by its own name, or by the segments it removes."""
    stem, plus, _ = slug.partition("+caudate")
    name = w.term("operation", stem)
    if stem.startswith("segments:"):
        name = w("operation_segments", segments=_removed(stem) or stem.removeprefix("segments:"))
    return w("operation_with_caudate", name=name) if plus else name


def _removed(slug: str) -> str:
    try:
        return removed_words(operation(slug).removed)
    except CriteriaError:
        return ""


def flr_verdict(w: Words, value: Any, interval: Any, limit: float = FLR_THRESHOLD_PERCENT) -> Verdict:
    """The remnant against the threshold: unsure where the interval holds the threshold."""
    if not isinstance(value, (int, float)):
        return Verdict("open", w("verdict.open"))
    met, shown = value >= limit, w.number(limit, 0)
    crosses = isinstance(interval, Sequence) and len(interval) == 2 and interval[0] < limit <= interval[1]
    if crosses:
        return Verdict("unsure", w("verdict.unsure_met" if met else "verdict.unsure_unmet", limit=shown))
    return Verdict("met" if met else "unmet", w("verdict.met" if met else "verdict.unmet", limit=shown))


def gauge(w: Words, value: float, interval: Any, limit: float = FLR_THRESHOLD_PERCENT) -> Markup:
    """A share of the liver on a line from 0 to 100 %, with its interval and the threshold."""
    low, high = interval if isinstance(interval, Sequence) and len(interval) == 2 else (value, value)
    x = [10 + 2.4 * min(max(v, 0.0), 100.0) for v in (low, high, value, limit)]
    alt = w("gauge.alt", value=w.number(value), range=w.span(interval) or w.number(None), limit=w.number(limit, 0))
    return Markup(
        f'<svg class="gauge" role="img" aria-label="{escape(alt)}" viewBox="0 0 260 30">'
        '<rect x="10" y="8" width="240" height="6" rx="3" fill="#e3e9ee"/>'
        f'<rect x="{x[0]:.1f}" y="8" width="{max(x[1] - x[0], 1):.1f}" height="6" fill="#7fb2d1"/>'
        f'<circle cx="{x[2]:.1f}" cy="11" r="5" fill="#0b4a6f"/>'
        f'<path d="M{x[3]:.1f} 3v16" stroke="#96280a" stroke-width="2"/>'
        f'<text x="{x[3]:.1f}" y="29" font-size="10" fill="#96280a" text-anchor="middle">'
        f"{escape(w('gauge.limit', limit=w.number(limit, 0)))}</text></svg>"
    )


def key_line(color: str, dash: str = "") -> Markup:
    """The sample of a line for a picture's key; pale colours stand on black as they do in the picture."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return Markup(
        '<svg viewBox="0 0 26 10" aria-hidden="true"><rect width="26" height="10" fill="#111"/>'
        f'<path d="M2 5h22" stroke="{color}" stroke-width="2"{dashed}/></svg>'
    )


def flr_card(w: Words, slug: str, values: Mapping[str, Any], note: str = "") -> Card:
    """An operation's remnant as a key number: FLR of the functional liver, interval, gauge and verdict."""
    value, interval = values.get(FLR), values.get(f"{FLR}_interval")
    return Card(
        w("card.flr", operation=operation_name(w, slug)),
        w.number(value, 1, "%"),
        w("card.interval", range=w.span(interval)) if interval else "",
        flr_verdict(w, value, interval),
        note,
        gauge(w, value, interval) if isinstance(value, (int, float)) else Markup(),
        main=True,
    )
