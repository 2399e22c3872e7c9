"""What a reading begins with: the choices at opening, the first journal record, the earlier visits' numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from livervol.edit.journal import Begin
from livervol.errors import LivervolError, refusal
from livervol.io.tables import read_document
from livervol.measure.standard_volume import PatientSize
from livervol.records import Visit
from livervol.workflows.reading_folder import ADJUDICATED, VisitFiles, reader_folder
from livervol.workflows.reading_table import visit_from_document

__all__ = ["ReadingSettings", "beginning", "earlier_visit", "site_decisions"]


@dataclass(frozen=True)
class ReadingSettings:
    """How a reading is opened.

    ``inputs`` INPUT words of the visit's scans (needed when the folder holds no phases); ``resections`` slugs at the
    start; ``patient`` body size for sFLR; ``lesions_from`` "machine" or "none" (the reader finds them alone);
    ``repair`` goes on from the last intact record of a damaged journal.
    """

    inputs: tuple[str | Path, ...] = ()
    resections: tuple[str, ...] = ()
    patient: PatientSize | None = None
    lesions_from: str = "machine"
    repair: bool = False


def beginning(files: VisitFiles, settings: ReadingSettings) -> Begin:
    """The first journal record: the machine's masks, or none of its lesions."""
    masks = dict(files.masks)
    if settings.lesions_from == "none":
        masks["lesions"] = np.zeros_like(masks["lesions"])
        for part in ("viable", "uncertain"):
            if part in masks:
                masks[part] = np.zeros_like(masks[part])
    elif settings.lesions_from != "machine":
        raise LivervolError(refusal("lesions to start from", expected="machine or none", got=settings.lesions_from))
    decisions: dict[str, Any] = {"resections": list(settings.resections)} if settings.resections else {}
    if settings.lesions_from == "machine":
        decisions |= _placed(files.document)
    words = {
        "grid": files.grid.describe(),
        "affine": [list(row) for row in files.grid.affine],
        "lesions_from": settings.lesions_from,
        "masks": sorted(masks),
    }
    return Begin(masks, decisions, words)


def _placed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Sites given to the visit when it was run: a reading goes on with them."""
    decisions: dict[str, Any] = {}
    for lesion in document.get("lesions", ()):
        site = str(lesion.get("site", "liver"))
        if site != "liver":
            decisions |= site_decisions(int(lesion["number"]), site)
    return {key: value for key, value in decisions.items() if value is not None}


def site_decisions(number: int, site: str) -> dict[str, Any]:
    """A lesion's site as decisions; None takes one back."""
    return {
        f"lesion.{number}.site": None if site == "liver" else site,
        f"lesion.{number}.node": True if site.endswith("_node") else None,
    }


def earlier_visit(visit: Path, reader: str, number: int) -> Visit:
    """An earlier visit's numbers: the same reader's where there are any, else the machine's."""
    own = read_document(reader_folder(visit, reader) / "measurements.json") if reader != ADJUDICATED else {}
    document = own or read_document(visit / "measurements.json")
    if not document:
        raise LivervolError(
            refusal("earlier visit has no numbers", expected="measurements.json", got="none", where=str(visit))
        )
    date = next((str(row["date"]) for row in document.get("phases", ()) if row.get("date")), "")
    return visit_from_document(document, number, reader, date)
