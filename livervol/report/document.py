"""What a visit's document (measurements.json) holds, as the reports need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from livervol.measure.uncertainty import Effect, sum_interval

__all__ = ["lesion_spread", "sum_of_lesions", "visit_date"]


def lesion_spread(document: Mapping[str, Any]) -> dict[int, dict[str, dict[str, Effect]]]:
    """The spread that a visit's document holds under ``lesion_spread``; empty where it holds none."""
    return {
        int(number): {
            name: {cause: Effect(*steps) for cause, steps in causes.items()} for name, causes in names.items()
        }
        for number, names in document.get("lesion_spread", {}).items()
    }


def sum_of_lesions(document: Mapping[str, Any], name: str) -> tuple[float | None, Sequence[float] | None]:
    """The sum of a diameter over all lesions in mm and its interval; None where one was not measured or none is there.

    The interval is None where the document does not say how unsure each lesion is.
    """
    lesions = document.get("lesions", [])
    values = [lesion.get(name) for lesion in lesions]
    if not values or not all(isinstance(value, (int, float)) for value in values):
        return None, None
    total, spread = float(sum(values)), lesion_spread(document)
    known = {lesion["number"]: float(lesion[name]) for lesion in lesions if name in spread.get(lesion["number"], {})}
    if not known or abs(sum(known.values()) - total) > 1e-6:
        return total, None
    found = sum_interval(known, spread, name)
    return total, (found.low, found.high)


def visit_date(document: Mapping[str, Any]) -> str:
    """The visit's ISO date, empty when unknown."""
    return next((str(row["date"]) for row in document.get("phases", ()) if row.get("date")), "")
