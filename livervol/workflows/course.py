"""A course of visits: each run and reported, lesions numbered through, then the response at every visit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from livervol import __version__
from livervol.assets import sample_scans_folder
from livervol.files import atomic_folder, write_text
from livervol.io.tables import SCHEMA_VERSION
from livervol.measure.uncertainty import sum_interval
from livervol.records import Course, Lesion, ResponseRow, Visit
from livervol.report.course import CoursePage, course_html
from livervol.report.document import lesion_spread
from livervol.report.pages import ReportSettings, write_report
from livervol.response import assess, rules
from livervol.response.targets import Proposal, propose_targets, roles_applied
from livervol.workflows.course_judgement import conversion_entry, probability_entries
from livervol.workflows.course_new import doubts, found_by_program, with_doubt
from livervol.workflows.visit import Progress, VisitOutput, VisitSettings, run_visit, silent

__all__ = ["CRITERIA", "CourseOutput", "course_of", "run_course", "run_demo"]

#: The criteria a course is assessed by, each with the targets it proposes itself.
CRITERIA = ("mrecist", "recist11")

#: What each criterion adds up over its targets.
SUMMED = {"mrecist": "viable_longest_mm", "recist11": "longest_mm"}


@dataclass(frozen=True, eq=False)
class CourseOutput:
    """What a course run wrote: the folder, course.json's document and each visit's output."""

    folder: Path
    document: Mapping[str, Any]
    visits: tuple[VisitOutput, ...]


def run_course(
    subject: str,
    visits: Sequence[Sequence[str | Path]],
    out: str | Path,
    *,
    settings: VisitSettings | None = None,
    progress: Progress = silent,
) -> CourseOutput:
    """Run the visits in order into ``out/visit_1`` ..., keep lesion numbers, and write ``out/course.json``.

    ``visits`` are INPUT words per visit, the first being the baseline; ``subject`` is a pseudonym.
    """
    settings = settings or VisitSettings()
    outputs: list[VisitOutput] = []
    with atomic_folder(out, overwrite=settings.overwrite) as folder:
        for number, words in enumerate(visits, 1):

            def step(text: str, number: int = number) -> None:
                progress(f"visit {number} of {len(visits)}: {text}")

            outputs.append(
                run_visit(
                    words,
                    folder / f"visit_{number}",
                    settings=replace(settings, overwrite=False),
                    earlier=tuple(outputs),
                    progress=step,
                )
            )
        progress("assessing the response")
        document = _document(course_of(subject, outputs), outputs)
        write_text(folder / "course.json", json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
        page = CoursePage(document, [output.document for output in outputs])
        write_report(folder / "report.html", course_html(page, settings.report.language), settings.report)
    return CourseOutput(Path(out), document, tuple(outputs))


def course_of(subject: str, outputs: Sequence[VisitOutput]) -> Course:
    """The visits' numbers as a Course; a lesion seen before and not found now is listed as absent."""
    visits: list[Visit] = []
    known: dict[int, Lesion] = {}
    for number, output in enumerate(outputs, 1):
        origin = _origins(output)
        lesions = {
            lesion.number: replace(lesion, attributes={**lesion.attributes, **origin.get(lesion.number, {})})
            for lesion in output.measured.lesions
        }
        for earlier in known.values():
            if earlier.number not in lesions:
                lesions[earlier.number] = Lesion(
                    earlier.number,
                    site=earlier.site,
                    node=earlier.node,
                    state="absent",
                    attributes=origin.get(earlier.number, {}),
                )
        if visits:
            lesions = with_doubt(lesions, visits[0], visits[1:], found_by_program(output.document))
        known.update(lesions)
        attributes = {
            "slice_thickness_mm": f"{output.masks['liver'].grid.spacing_mm[0]:.2f}",
            "mrecist_evaluable": "yes" if output.document["mrecist_evaluable"] else "no",
        }
        visits.append(
            Visit(
                number,
                output.date,
                reader="livervol",
                is_baseline=number == 1,
                lesions=tuple(lesions[n] for n in sorted(lesions)),
                measurements=output.measured.measurements,
                attributes=attributes,
            )
        )
    return Course(subject, tuple(visits))


def _origins(output: VisitOutput) -> dict[int, dict[str, str]]:
    """What the response rules must know of split and merged lesions, by number."""
    words = {"split": "split_from", "merged": "merged_into"}
    return {
        track["number"]: {words[track["state"]]: str(track["others"][0])}
        for track in output.document.get("tracking", ())
        if track["state"] in words
    }


def _row(row: ResponseRow) -> dict[str, Any]:
    entry = dataclasses.asdict(row)
    entry["reasons"] = list(row.reasons)
    return entry


def _sum_interval(row: ResponseRow, output: VisitOutput, targets: Sequence[int]) -> list[float] | None:
    """95 % interval of a row's sum, None where the sum is no plain sum of measured targets."""
    name = SUMMED[row.criterion]
    lesions = [lesion for lesion in output.measured.lesions if lesion.number in targets]
    values = {lesion.number: lesion.value(name) or 0.0 for lesion in lesions}
    spread = lesion_spread(output.document)
    measured = {number: value for number, value in values.items() if name in spread.get(number, {})}
    if row.sum_mm is None or abs(sum(measured.values()) - row.sum_mm) > 1e-6:
        return None
    found = sum_interval(measured, spread, name)
    return [found.low, found.high]


def _document(course: Course, outputs: Sequence[VisitOutput]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    chances: list[dict[str, Any]] = []
    targets: dict[str, list[dict[str, Any]]] = {}
    for criterion in CRITERIA:
        proposals: tuple[Proposal, ...] = propose_targets(course.visits[0], rules(criterion))
        targets[criterion] = [dataclasses.asdict(proposal) for proposal in proposals]
        aims = [proposal.number for proposal in proposals if proposal.role == "target"]
        with_roles = roles_applied(course, proposals)
        chances += probability_entries(with_roles, criterion)
        for row in assess(with_roles, criterion):
            rows.append({**_row(row), "sum_mm_interval": _sum_interval(row, outputs[row.visit - 1], aims)})
    return {
        "schema_version": SCHEMA_VERSION,
        "subject": course.subject,
        "visits": [
            {"number": visit.number, "date": visit.date, "folder": f"visit_{visit.number}"} for visit in course.visits
        ],
        "proposed_roles": targets,
        "responses": rows,
        "response_probability": chances,
        "conversion": conversion_entry(course, outputs[-1].document),
        "quality": [
            *(f"visit {n}: {w}" for n, output in enumerate(outputs, 1) for w in output.document["quality"]),
            *doubts(course),
        ],
        "provenance": {"program": "livervol", "version": __version__},
    }


def run_demo(
    out: str | Path, *, overwrite: bool = False, report: ReportSettings | None = None, progress: Progress = silent
) -> CourseOutput:
    """The whole job on the sample course: three visits segmented, measured and reported, then the response."""
    course = sample_scans_folder() / "course"
    folders = sorted(course.glob("visit_*"))
    settings = VisitSettings(overwrite=overwrite, report=report or ReportSettings())
    return run_course("demo", [[folder] for folder in folders], out, settings=settings, progress=progress)
