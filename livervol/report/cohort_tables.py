"""The tables of a cohort's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from livervol.report.cells import Cell, Column, Table
from livervol.report.pages import said
from livervol.report.words import Words

if TYPE_CHECKING:
    from livervol.report.cohort import CohortPage

__all__ = [
    "adverse_table",
    "agreement_table",
    "best_table",
    "conversion_table",
    "endpoints_table",
    "failed_table",
    "interval_text",
    "pathology_table",
    "pathology_text",
    "treatment_table",
]

_ITEMS = ("child_pugh", "ecog", "extrahepatic", "vessels", "flr")


def interval_text(w: Words, row: Mapping[str, Any], decimals: int = 1) -> str:
    """An estimate's interval; an end that was not reached is said so."""
    if row["low"] is None and row["high"] is None:
        return ""
    low, high = (w("plot.not_reached") if row[k] is None else w.number(row[k], decimals) for k in ("low", "high"))
    return w("range", low=low, high=high)


def endpoints_table(page: CohortPage, group: str, w: Words) -> Table:
    """Every primary endpoint of a group; categories and landmarks beyond follow-up are left out."""
    columns = (
        Column(w("cohort.endpoint"), True), Column(w("cohort.measure"), True), Column(w("cohort.events_n")),
        Column(w("cohort.estimate")), Column(w("cohort.interval")),
    )  # fmt: skip
    rows = []
    for row in page.rows:
        if row["variant"] != "primary" or row["group"] != group or str(row["endpoint"]).startswith("BOR "):
            continue
        if row["estimate"] is None and str(row["measure"]).startswith("at "):
            continue  # a landmark beyond follow-up says nothing
        decimals = 4 if row["unit"] == "1" else 1
        unit = {"%": "%", "months": w("plot.months")}.get(str(row["unit"]), "")
        value = (
            w("plot.not_reached")
            if row["estimate"] is None and row["unit"] == "months"
            else w.number(row["estimate"], decimals, unit)
        )
        rows.append(
            [
                Cell(
                    said(w, row["endpoint"]),
                    note=said(w, row["method"]) if row["unit"] == "%" and row["measure"] == "rate" else "",
                ),
                Cell(said(w, row["measure"])),
                Cell(w("cohort.of", events=row["events"], n=row["n"])),
                Cell(value),
                Cell(interval_text(w, row)),
            ]
        )
    return Table(columns, rows)


def best_table(page: CohortPage, w: Words) -> Table:
    """How many patients have each best response."""
    columns = (Column(w("cohort.category"), True), Column(w("cohort.count")), Column(w("cohort.share")))
    total = sum(page.best.values())
    rows = [
        [
            Cell(w.term("category", word)),
            Cell(w.number(n, 0)),
            Cell(w.number(100 * n / total if total else None, 1, "%")),
        ]
        for word, n in page.best.items()
    ]
    return Table(columns, rows)


def conversion_table(page: CohortPage, w: Words) -> Table:
    """How many patients meet each conversion criterion."""
    columns = (
        Column(w("conversion.item"), True),
        *(Column(w(f"conversion.item_{k}")) for k in ("met", "unmet", "open")),
    )
    rows = [
        [
            Cell(w.term("item", name)),
            *(Cell(w.number(page.conversion[name].get(k, 0), 0)) for k in ("met", "unmet", "open")),
        ]
        for name in _ITEMS
        if name in page.conversion
    ]
    return Table(columns, rows)


def pathology_table(page: CohortPage, w: Words) -> Table:
    """Imaging beside pathology, per patient."""
    columns = (
        Column(w("cohort.patient"), True), Column(w("pathology.viable_imaging")),
        Column(w("pathology.viable_pathology")),
        Column(w("pathology.difference")), Column(w("pathology.viable_ml")),
    )  # fmt: skip
    rows = [
        [
            Cell(row["patient"]),
            Cell(w.number(None if row["imaging"] is None else 100 - row["imaging"], 0)),
            Cell(w.number(100 - row["pathology"], 0)),
            Cell(w.signed(None if row["imaging"] is None else row["imaging"] - row["pathology"], 0, "")),
            Cell(w.number(row["viable_ml"], 1)),
        ]
        for row in page.pathology
    ]
    return Table(columns, rows)


def pathology_text(page: CohortPage, w: Words) -> str:
    """The concordance in a sentence, empty when there is none."""
    found = page.pathology_summary
    if not found:
        return ""
    return w(
        "pathology.summary", n=found["n"], bias=w.signed(found["bias"], 1, ""),
        range=w("range", low=w.number(found["low"]), high=w.number(found["high"])),
        icc=w.number(found["icc"], 2),
        icc_range=w("range", low=w.number(found["icc_low"], 2), high=w.number(found["icc_high"], 2)),
    )  # fmt: skip


def agreement_table(page: CohortPage, w: Words) -> Table:
    """Agreement of the readers per criterion."""
    columns = (
        Column(w("agreement.criterion"), True), Column(w("agreement.readers")), Column(w("agreement.visits")),
        Column(w("agreement.observed")), Column(w("agreement.kappa")), Column(w("agreement.ac1")),
        Column(w("agreement.icc")),
    )  # fmt: skip

    def cell(row: Mapping[str, Any], name: str) -> Cell:
        value, low, high = (row.get(f"{name}{end}") for end in ("", "_low", "_high"))
        return Cell(w.number(value, 2), w.span((low, high), 2) if None not in (low, high) else "")

    rows = [
        [
            Cell(w.term("criterion", row["criterion"]), w("list_separator").join(row["names"])),
            Cell(w.number(row["readers"], 0)),
            Cell(w.number(row["visits"], 0)),
            Cell(w.number(100 * row["observed"], 0, "%")),
            cell(row, "kappa"),
            cell(row, "ac1"),
            cell(row, "icc"),
        ]
        for row in page.agreement
    ]
    return Table(columns, rows)


def treatment_table(page: CohortPage, w: Words) -> Table:
    """Patients with each kind of treatment."""
    columns = (Column(w("event.kind"), True), Column(w("cohort.patients_with")))
    return Table(columns, [[Cell(w.term("event_kind", k)), Cell(w.number(n, 0))] for k, n in page.treatment.items()])


def adverse_table(page: CohortPage, w: Words) -> Table:
    """Patients with each adverse event."""
    columns = (Column(w("event_kind.adverse_event"), True), Column(w("cohort.any_grade")), Column(w("cohort.severe")))
    rows = [[Cell(r["name"]), Cell(w.number(r["any"], 0)), Cell(w.number(r["severe"], 0))] for r in page.adverse_events]
    return Table(columns, rows)


def failed_table(page: CohortPage, w: Words) -> Table:
    """Visits without a result."""
    columns = (Column(w("cohort.patient"), True), Column(w("course.visit"), True), Column(w("cohort.kind"), True),
               Column(w("cohort.sentence"), True))  # fmt: skip
    rows = [
        [Cell(r["patient"]), Cell(r["visit"]), Cell(w.term("failure", r["kind"])), Cell(said(w, r["sentence"]))]
        for r in page.failed
    ]
    return Table(columns, rows)
