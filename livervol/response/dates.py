"""ISO dates that may be partial: 2024-03-05, 2024-03, 2024 or empty."""

from __future__ import annotations

import calendar
from datetime import date
from functools import lru_cache

from livervol.errors import CriteriaError, refusal

__all__ = ["date_range", "fewest_days", "most_days"]


@lru_cache(maxsize=65536)
def date_range(text: str) -> tuple[date, date] | None:
    """The first and last day a partial ISO date can mean, or None when it is empty.

    Raises ``CriteriaError`` for anything that is not an ISO date.
    """
    if not text:
        return None
    try:
        parts = [int(p) for p in text.split("-")]
        if [len(p) for p in text.split("-")] != [4, 2, 2][: len(parts)]:
            raise ValueError
        year, month, day = (*parts, None, None)[:3]
        if year is None:
            raise ValueError
        if day is not None and month is not None:
            return date(year, month, day), date(year, month, day)
        if month is not None:
            return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])
        return date(year, 1, 1), date(year, 12, 31)
    except (ValueError, IndexError) as error:
        raise CriteriaError(
            refusal("date is not ISO", expected="YYYY-MM-DD, YYYY-MM or YYYY", got=repr(text), do="Rewrite the date.")
        ) from error


def fewest_days(earlier: str, later: str) -> int | None:
    """The fewest days that can lie between two partial dates, or None when one is empty."""
    first, second = date_range(earlier), date_range(later)
    return None if first is None or second is None else (second[0] - first[1]).days


def most_days(earlier: str, later: str) -> int | None:
    """The most days that can lie between two partial dates, or None when one is empty."""
    first, second = date_range(earlier), date_range(later)
    return None if first is None or second is None else (second[1] - first[0]).days
