"""Reports made again from what a run left: a visit's, a course's or a cohort's folder, in any language, as PDF too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from livervol.errors import CriteriaError, ScanError, refusal
from livervol.io.cohort_tables import CohortEvent, Subject, read_events, read_subjects
from livervol.io.tables import read_document
from livervol.report.cohort import cohort_html, page_from, plots_of
from livervol.report.course import CoursePage, course_html
from livervol.report.pages import ReportSettings, write_report
from livervol.report.visit import VisitPage, write_visit_report
from livervol.scan import Segmentation
from livervol.workflows.course_judgement import with_tables
from livervol.workflows.reading_folder import require_unsigned, visit_files

__all__ = ["ReportInputs", "write_reports"]

_MASKS = ("liver", "lesions", "viable", "segments")


@dataclass(frozen=True)
class ReportInputs:
    """A result's folder and what the report may use beside it.

    ``images`` are the INPUT words of a visit of one phase, whose scan is not in its folder; ``subjects`` and ``events``
    the tables of a course's treatment, adverse events and pathology; ``patient`` the pseudonym in them.
    """

    folder: Path
    images: Sequence[str] = ()
    subjects: Path | None = None
    events: Path | None = None
    patient: str = ""
    settings: ReportSettings = field(default_factory=ReportSettings)


def write_reports(
    inputs: ReportInputs, out: Path | None = None, *, overwrite: bool = False, progress: Callable[[str], None]
) -> tuple[Path, ...]:
    """Write the report of a visit's, a course's or a cohort's folder; returns the files.

    ``out`` is the HTML file, by default ``report.html`` in the folder, ``report.zh.html`` in another language. A page
    that a reader has signed is not replaced, whatever ``overwrite`` says.
    """
    inputs.settings.check()
    language = inputs.settings.language
    target = out or inputs.folder / ("report.html" if language == "en" else f"report.{language}.html")
    for path in (target, target.with_suffix(".pdf")):
        require_unsigned(path)
    if (inputs.folder / "course.json").is_file():
        progress("the course's report")
        page = _course_page(inputs)
        html = course_html(page, language)
        return write_report(target, html, inputs.settings, overwrite=overwrite, progress=progress)
    if (inputs.folder / "measurements.json").is_file():
        progress("the visit's report")
        return write_visit_report(target, _visit_page(inputs), inputs.settings, overwrite=overwrite)
    if (inputs.folder / "cohort.json").is_file():
        progress("the cohort's report")
        cohort = page_from(read_document(inputs.folder / "cohort.json"))
        html = cohort_html(cohort, plots_of(cohort, language), language)
        return write_report(target, html, inputs.settings, overwrite=overwrite, progress=progress)
    raise ScanError(
        refusal(
            "not a result's folder",
            expected="measurements.json of a visit, course.json of a course or cohort.json of a cohort",
            got="none of them",
            where=str(inputs.folder),
            do="Give the folder that livervol run, demo or endpoints wrote.",
        )
    )


def _visit_page(inputs: ReportInputs) -> VisitPage:
    files = visit_files(inputs.folder, inputs.images)
    masks = {}
    for name in _MASKS:
        if (inputs.folder / f"{name}.nii.gz").is_file():
            masks[name] = _mask(files.masks[name], files.grid)
    scans = {name: files.shelf.get(name) for name in files.shelf.names}
    reference = str(files.document.get("provenance", {}).get("reference_phase", ""))
    return VisitPage("", files.document, masks, scans, reference)


def _mask(labels: Any, grid: Any) -> Segmentation:
    return Segmentation(labels, grid, {v: str(v) for v in range(1, int(labels.max(initial=0)) + 1)})


def _course_page(inputs: ReportInputs) -> CoursePage:
    document = read_document(inputs.folder / "course.json")
    visits = [
        read_document(inputs.folder / str(visit.get("folder", "")) / "measurements.json")
        for visit in document.get("visits", [])
    ]
    patient = inputs.patient or str(document.get("subject", ""))
    subject = _subject(inputs.subjects, patient)
    events = [e for e in read_events(inputs.events) if e.patient == patient] if inputs.events else []
    if subject is not None and document.get("conversion"):
        document["conversion"] = with_tables(document["conversion"], subject, events)
    return CoursePage(
        document,
        visits,
        [asdict(event) for event in _in_order(events)],
        subject.surgery if subject else "",
        subject.pathology_necrosis_percent if subject else None,
    )


def _in_order(events: Sequence[CohortEvent]) -> list[CohortEvent]:
    return sorted(events, key=lambda event: (event.date, event.row))


def _subject(path: Path | None, patient: str) -> Subject | None:
    if path is None:
        return None
    for subject in read_subjects(path):
        if subject.patient == patient:
            return subject
    raise CriteriaError(
        refusal(
            "patient is not in the subjects table",
            expected="the course's pseudonym",
            got="others",
            where=path.name,
            do="Name the pseudonym of the table with --patient.",
        )
    )
