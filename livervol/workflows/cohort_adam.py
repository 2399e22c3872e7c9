"""A cohort's endpoints as CDISC ADaM datasets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from livervol.endpoints.cohort import Cohort
from livervol.endpoints.protocol import Settings
from livervol.io.adam import SubjectResponse, SubjectTime, adam_datasets
from livervol.io.cdisc import write_datasets
from livervol.records import ResponseRow
from livervol.workflows.cohort_page import visits_of

__all__ = ["write_adam"]


def write_adam(
    cohort: Cohort,
    responses: Sequence[ResponseRow],
    out: Path,
    form: str,
    *,
    study: str = "",
    overwrite: bool = False,
) -> Path:
    """ADTR, ADRS and ADTTE in a new folder ``out``, which is returned.

    ``form`` is csv, xpt or dataset-json; ``study`` the STUDYID, the protocol's name where empty. Raises
    ``LivervolError`` for another format, and where ``out`` exists and ``overwrite`` is not set.
    """
    study = study or cohort.protocol.name
    datasets = adam_datasets(_protocol_rows(responses, cohort.protocol.settings), *_subject_rows(cohort), study=study)
    created = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    return write_datasets(datasets, out, form, overwrite=overwrite, study=study, created=created)


def _protocol_rows(responses: Sequence[ResponseRow], settings: Settings) -> list[ResponseRow]:
    """The response rows of the protocol's reader."""
    return [row for row in responses if not settings.reader or row.reader == settings.reader]


def _subject_rows(cohort: Cohort) -> tuple[list[SubjectResponse], list[SubjectTime]]:
    """Best responses and times to event of the population, for ADRS and ADTTE."""
    responses, times = [], []
    for patient in cohort.population:
        name, best = patient.line.patient, patient.best
        answers = {
            "RSP": best.unconfirmed in ("CR", "PR"),
            "CRSP": best.objective_response,
            "CB": best.disease_control,
            "PD": any(row.category == "PD" for row in visits_of(patient, cohort.protocol.settings)),
        }
        responses += [SubjectResponse(name, "BOR", best.unconfirmed), SubjectResponse(name, "CBOR", best.confirmed)]
        responses += [SubjectResponse(name, code, "Y" if answer else "N") for code, answer in answers.items()]
        times += [
            SubjectTime(name, endpoint, o.start, o.end, bool(o.event), o.reason)
            for endpoint, o in patient.outcomes.items()
            if o.start is not None and o.end is not None
        ]
    return responses, times
