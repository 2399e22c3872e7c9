"""A cohort: read its tables, assess it under a protocol, write tables and plots; returns what was written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from livervol import __version__
from livervol.endpoints.cohort import Cohort, assess_cohort
from livervol.endpoints.protocol import Value, load_protocol
from livervol.endpoints.summary import (
    EndpointRow,
    best_response_counts,
    endpoint_rows,
    patient_rows,
)
from livervol.files import atomic_folder, sha256_of
from livervol.io.cohort_tables import CohortEvent, read_events, read_responses, read_subjects
from livervol.records import ResponseRow
from livervol.report.cohort import cohort_html, page_document, plots_of
from livervol.report.pages import ReportSettings, write_report
from livervol.report.plots import write_plot
from livervol.workflows.cohort_adam import write_adam
from livervol.workflows.cohort_page import CohortSources, cohort_page

__all__ = ["CohortInputs", "CohortOutput", "export_adam", "run_cohort"]

#: Rises when a key of summary.json changes its meaning or goes away.
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CohortInputs:
    """The tables of a cohort and the protocol they are judged by; ``changes`` override its parameters by name.

    ``ledger`` is the study's: its failed visits are listed, and its necrosis stands beside the pathologist's.
    """

    responses: Path
    subjects: Path
    events: Path | None = None
    protocol: str | Path = "trial"
    changes: Mapping[str, Value] | None = None
    group_by: str = ""
    ledger: Path | None = None
    report: ReportSettings = field(default_factory=ReportSettings)


@dataclass(frozen=True)
class CohortOutput:
    """What was written, and the numbers in it."""

    folder: Path
    cohort: Cohort
    rows: tuple[EndpointRow, ...]
    summary: dict[str, Any]


def run_cohort(
    inputs: CohortInputs,
    out: Path,
    *,
    overwrite: bool = False,
    plots: bool = True,
    adam: str = "",
    progress: Callable[[str], None] = lambda step: None,
) -> CohortOutput:
    """Endpoints of a cohort: summary.json, endpoints.csv, per_patient.csv, plots and report, whole or not at all.

    Without ``plots`` there is no report either. ``adam`` names a format (csv, xpt, dataset-json) in which ADTR, ADRS
    and ADTTE are written beside them.
    """
    inputs.report.check()
    cohort, responses, events = _assessed(inputs, progress)
    rows = tuple(endpoint_rows(cohort))
    summary = _summary(cohort, rows, inputs)
    with atomic_folder(out, overwrite=overwrite) as folder:
        text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
        _write_rows(folder / "endpoints.csv", [asdict(row) for row in rows], [f.name for f in fields(EndpointRow)])
        _write_rows(folder / "per_patient.csv", patient_rows(cohort))
        if plots:
            sources = CohortSources(responses, events, inputs.ledger, summary["provenance"])
            _write_report(folder, cohort, rows, sources, inputs.report, progress)
        if adam:
            progress("ADaM")
            write_adam(cohort, responses, folder / "adam", adam)
    return CohortOutput(out, cohort, rows, summary)


def export_adam(
    inputs: CohortInputs,
    out: Path,
    form: str,
    *,
    study: str = "",
    overwrite: bool = False,
) -> Path:
    """ADTR, ADRS and ADTTE of a cohort alone, in the format ``form`` (csv, xpt, dataset-json); returns the folder."""
    cohort, responses, _ = _assessed(inputs, lambda step: None)
    return write_adam(cohort, responses, out, form, study=study, overwrite=overwrite)


def _assessed(
    inputs: CohortInputs, progress: Callable[[str], None]
) -> tuple[Cohort, Sequence[ResponseRow], Sequence[CohortEvent]]:
    progress("reading the tables")
    protocol = load_protocol(inputs.protocol).with_parameters(inputs.changes or {})
    subjects = read_subjects(inputs.subjects)
    events = read_events(inputs.events) if inputs.events else ()
    responses = read_responses(inputs.responses)
    progress("endpoints")
    return assess_cohort(subjects, responses, events, protocol, inputs.group_by), responses, events


def _write_report(
    folder: Path,
    cohort: Cohort,
    rows: Sequence[EndpointRow],
    sources: CohortSources,
    settings: ReportSettings,
    progress: Callable[[str], None],
) -> None:
    """The figures with their numbers, cohort.json (all the page shows) and the page."""
    page = cohort_page(cohort, rows, sources)
    figures = plots_of(page, settings.language)
    for stem, plot in figures.items():
        progress(f"plot {stem}")
        write_plot(plot, folder, stem)
    text = json.dumps(page_document(page), ensure_ascii=False, allow_nan=False)
    (folder / "cohort.json").write_text(text + "\n", encoding="utf-8")
    progress("report")
    write_report(folder / "report.html", cohort_html(page, figures, settings.language), settings, progress=progress)


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    names = list(columns) or list(rows[0])
    with path.open("w", encoding="utf-8", newline="") as handle:
        out = csv.DictWriter(handle, names, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def _summary(cohort: Cohort, rows: Sequence[EndpointRow], inputs: CohortInputs) -> dict[str, Any]:
    """The cohort's numbers as nested data: endpoint, then variant and measure; groups apart."""
    endpoints: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    sensitivity: dict[str, Any] = {}
    for row in rows:
        into = groups.setdefault(row.group, {}) if row.group else endpoints
        if row.variant != "primary":
            into = sensitivity.setdefault(row.variant, {})
        value = {"estimate": row.estimate, "interval": [row.low, row.high], "unit": row.unit}
        entry = {"n": row.n, "events": row.events, **value, "method": row.method}
        into.setdefault(row.endpoint, {})[row.measure] = entry
    tables = {"responses": inputs.responses, "subjects": inputs.subjects, "events": inputs.events}
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": cohort.protocol.described(),
        "patients": {"subjects": len(cohort.patients), "population": len(cohort.population)},
        "best_overall_response": best_response_counts(cohort),
        "endpoints": endpoints,
        "sensitivity": sensitivity,
        "groups": groups,
        "notes": list(cohort.notes),
        "provenance": {
            "program": f"livervol {__version__}",
            "inputs": {name: {"file": p.name, "sha256": sha256_of(p)} for name, p in tables.items() if p is not None},
        },
    }
