"""A reading at one moment: what a tool may draw on, and its measurements put together with the reader's decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.edit.brush import Canvas
from livervol.edit.change import Box
from livervol.errors import LivervolError, refusal
from livervol.grid import Grid
from livervol.measure.visit import VisitMeasurements
from livervol.records import Interval, Visit
from livervol.workflows.reading_folder import MASKS
from livervol.workflows.reading_table import Numbers, assessed, decided_lesion, lesion_rows

__all__ = ["CRITERIA", "Measured", "Whose", "canvas_of", "is_evaluable", "numbers_of"]

#: Responses shown while reading.
CRITERIA = ("mrecist", "recist11")


def canvas_of(
    masks: Mapping[str, NDArray[np.uint16]],
    spacing_mm: tuple[float, float, float],
    mask: str,
    voxels: NDArray[Any] | None,
    number: int | None,
) -> Canvas:
    """What a tool draws on, by the rules of ``Reading.canvas``; ``voxels`` of the phase under it."""
    if mask not in MASKS:
        raise LivervolError(refusal("mask is not known", expected=", ".join(MASKS), got=repr(mask)))
    labels = masks.get(mask)
    if labels is None:
        labels = np.zeros(masks["liver"].shape, np.uint16)
    within: NDArray[Any] | None = None
    over: tuple[int, ...] | None = None
    if mask in ("viable", "uncertain"):
        lesions = masks["lesions"]
        within = lesions if number is None else lesions == number
    elif mask in ("segments", "vessels"):
        over = tuple(range(1, 43))
        within = masks["liver"] if mask == "segments" else None
    return Canvas(mask, labels, spacing_mm, voxels, within, over)


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured after journal record ``version``, with the decisions and the lesions' boxes as they were then.

    ``problems`` are sentences about broken nesting.
    """

    version: int
    settings: Mapping[str, Any]
    measured: VisitMeasurements
    problems: Sequence[str]
    boxes: Mapping[int, Box]
    evaluable: bool


@dataclass(frozen=True, eq=False)
class Whose:
    """Whose reading of what: the reader, the visit's date, the course's visits before it, the masks' grid."""

    reader: str
    date: str
    earlier: Sequence[Visit]
    grid: Grid


def is_evaluable(document: Mapping[str, Any], judged: bool, settings: Mapping[str, Any]) -> bool:
    """Whether viable diameters can be judged: as the machine's ``document`` says (without a word: where a viable mask
    is there, ``judged``), as computing them found, or because the reader drew viable tissue.
    """
    if bool(document.get("mrecist_evaluable", judged)):
        return True
    computed = settings.get("viability")
    if computed is None:
        return "mask.viable" in settings
    by_hand = any(k.endswith(".viability") and v == "corrected" for k, v in settings.items())
    return bool(computed["evaluable"]) or by_hand


def numbers_of(taken: Measured, whose: Whose, intervals: Mapping[str, Interval]) -> Numbers:
    """Measurements, decisions and the course so far as everything a reader sees beside the image."""
    measured, settings = taken.measured, taken.settings
    decided = tuple(decided_lesion(lesion, settings) for lesion in measured.lesions)
    attributes = {
        "slice_thickness_mm": f"{whose.grid.spacing_mm[0]:.2f}",
        "mrecist_evaluable": "yes" if taken.evaluable else "no",
    }
    number = len(whose.earlier) + 1
    current = Visit(number, whose.date, whose.reader, number == 1, decided, measured.measurements, attributes)
    responses, roles, open_questions = assessed(whose.earlier, current, CRITERIA)
    centres = {n: _middle(box) for n, box in taken.boxes.items()}
    waiting = [n for n in taken.boxes if settings.get(f"lesion.{n}.viability") == "waiting"]
    unjudged = (f"lesion {n}: its viability has not been judged" for n in waiting)
    return Numbers(
        version=taken.version,
        measured=measured,
        lesions=decided,
        table=lesion_rows(measured.lesions, decided, settings, roles, (centres, whose.grid)),
        resection=next(iter(settings.get("resections", ())), ""),
        responses=MappingProxyType(responses),
        problems=(*taken.problems, *unjudged, *open_questions),
        intervals=MappingProxyType(dict(intervals)),
    )


def _middle(box: Box) -> tuple[float, float, float]:
    z, y, x = ((s.start + s.stop - 1) / 2 for s in box)
    return (z, y, x)
