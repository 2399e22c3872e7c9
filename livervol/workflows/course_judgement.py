"""What a course's document says beyond the categories: how certain they are, and whether conversion is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from livervol.endpoints.conversion import conversion_of
from livervol.endpoints.probability import response_probabilities
from livervol.io.cohort_tables import CohortEvent, Subject
from livervol.records import Course, Interval
from livervol.response.conversion import ConversionFindings, assess_conversion, extrahepatic_state
from livervol.response.protocol import Protocol, load_protocol

__all__ = ["conversion_entry", "probability_entries", "with_tables"]

_FLR = "flr_of_functional_percent"
_PROTOCOL = "trial"


def probability_entries(course: Course, criterion: str) -> list[dict[str, Any]]:
    """How certain each visit's target response is, as course.json keeps it under ``response_probability``."""
    return [
        {
            "visit": one.visit,
            "criterion": criterion,
            "category": one.category,
            "probabilities": {name: round(p, 4) for name, p in one.probabilities.items()},
            "flips": one.flips,
            "change_interval_percent": None
            if one.change_interval_percent is None
            else [round(end, 2) for end in one.change_interval_percent],
        }
        for one in response_probabilities(course, criterion)
    ]


def conversion_entry(course: Course, last: Mapping[str, Any]) -> dict[str, Any]:
    """The conversion checklist from images alone: extrahepatic disease, and the first measured operation's remnant.

    ``last`` is the last visit's document. What images do not show stays not assessed.
    """
    protocol = load_protocol(_PROTOCOL)
    state, why = extrahepatic_state(course.visits, int(protocol.section("conversion")["extrahepatic"]["confirm_days"]))
    values: Mapping[str, Any] = next(iter(last.get("remnant", {}).values()), {})
    ends = values.get(f"{_FLR}_interval")
    findings = ConversionFindings(
        extrahepatic=state,
        extrahepatic_reason=why,
        flr_percent=values.get(_FLR),
        flr_interval=Interval(*ends) if ends else None,
    )
    return _entry(assess_conversion(findings, protocol).items, protocol)


def with_tables(entry: Mapping[str, Any], subject: Subject, events: Sequence[CohortEvent]) -> dict[str, Any]:
    """The checklist with what SUBJECTS and EVENTS say; images answer for the remnant where they measured it.

    An item of the tables replaces the images' where it is settled, or where the images left it open.
    """
    protocol = load_protocol(_PROTOCOL)
    told = {item.name: asdict(item) for item in conversion_of(subject, events, protocol, None).items}
    items = []
    for item in entry["items"]:
        other = told[item["name"]]
        from_images = item["name"] == "flr" and item["met"] is not None
        items.append(item if from_images or (other["met"] is None and item["met"] is not None) else other)
    return {**entry, "met": _together(items), "items": items}


def _together(items: Sequence[Mapping[str, Any]]) -> bool | None:
    answers = [item["met"] for item in items]
    return False if False in answers else None if None in answers else True


def _entry(items: Sequence[Any], protocol: Protocol) -> dict[str, Any]:
    listed = [asdict(item) for item in items]
    return {"met": _together(listed), "protocol": f"{protocol.name} {protocol.version}", "items": listed}
