"""ADaM datasets from plain rows: ADTR (sums per visit), ADRS (responses), ADTTE (times to event).

Dates are SAS day numbers (days since 1960-01-01) shown as DATE9; ADTF says which part of a partial date was completed.
CNSR is 0 for an event, 1 for a censoring. Sources: ADaM Basic Data Structure; ADaM for time-to-event analyses 1.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from livervol.io.cdisc import Cell, Dataset, Variable
from livervol.io.cohort_tables import date_bounds
from livervol.io.sdtm_terms import CRITERIA
from livervol.records import ResponseRow

__all__ = ["SubjectResponse", "SubjectTime", "adam_datasets"]

_EPOCH = date(1960, 1, 1)
_SUMS = {"recist11": ("SDIAM", "Sum of Diameters (mm)"), "mrecist": ("SVDIAM", "Sum of Viable Diameters (mm)")}
#: AVAL of a response, best first.
_RANK = {"CR": 1, "PR": 2, "SD": 3, "NON-CR/NON-PD": 4, "PD": 5, "NE": 6, "MISSING": 7}
_RESPONSES = {
    "BOR": "Best Overall Response",
    "CBOR": "Best Confirmed Overall Response",
    "RSP": "Response",
    "CRSP": "Confirmed Response",
    "CB": "Disease Control",
    "PD": "Disease Progression",
}
_TIMES = {
    "PFS": ("PFS", "Progression-Free Survival (days)"),
    "OS": ("OS", "Overall Survival (days)"),
    "DoR": ("RSD", "Duration of Response (days)"),
    "TTR": ("TTR", "Time to Response (days)"),
    "TTP": ("TTP", "Time to Progression (days)"),
    "EFS": ("EFS", "Event-Free Survival (days)"),
}


@dataclass(frozen=True)
class SubjectResponse:
    """One subject's value of an ADRS parameter: BOR, CBOR (a category), RSP, CRSP, CB, PD (Y or N)."""

    patient: str
    parameter: str
    value: str
    day: date | None = None


@dataclass(frozen=True)
class SubjectTime:
    """One subject's time to event: endpoint, start, end, whether it is an event, and why."""

    patient: str
    endpoint: str
    start: date
    end: date
    event: bool
    reason: str


def _variables(*named: tuple[str, str]) -> tuple[Variable, ...]:
    numbers = ("AVISITN", "AVAL", "BASE", "CHG", "PCHG", "NADIR", "PCHGNAD", "CNSR", "ADT", "STARTDT")
    every = (("STUDYID", "Study Identifier"), ("USUBJID", "Unique Subject Identifier"), *named)
    return tuple(
        Variable(name, label, "number" if name in numbers else "text", "DATE9." if name in ("ADT", "STARTDT") else "")
        for name, label in every
    )


_PARAMETER = (("PARAMCD", "Parameter Code"), ("PARAM", "Parameter"), ("PARCAT1", "Parameter Category 1"))
_READER = (("EVALID", "Evaluator Identifier"),)
_VISIT = (("AVISITN", "Analysis Visit (N)"), ("AVISIT", "Analysis Visit"))
_DAY = (("ADT", "Analysis Date"), ("ADTF", "Analysis Date Imputation Flag"))
_ADTR = _variables(
    *_PARAMETER,
    *_READER,
    *_VISIT,
    *_DAY,
    ("AVAL", "Analysis Value"),
    ("BASE", "Baseline Value"),
    ("CHG", "Change from Baseline"),
    ("PCHG", "Percent Change from Baseline"),
    ("NADIR", "Smallest Value before This Visit"),
    ("PCHGNAD", "Percent Change from NADIR"),
    ("ABLFL", "Baseline Record Flag"),
)
_ADRS = _variables(*_PARAMETER, *_READER, *_VISIT, *_DAY, ("AVALC", "Analysis Value (C)"), ("AVAL", "Analysis Value"))
_ADTTE = _variables(
    *_PARAMETER,
    ("STARTDT", "Time to Event Origin Date for Subject"),
    *_DAY,
    ("AVAL", "Analysis Value"),
    ("CNSR", "Censor"),
    ("EVNTDESC", "Event or Censoring Description"),
    ("CNSDTDSC", "Censor Date Description"),
)


def adam_datasets(
    rows: Iterable[ResponseRow],
    responses: Sequence[SubjectResponse] = (),
    times: Sequence[SubjectTime] = (),
    *,
    study: str,
) -> tuple[Dataset, ...]:
    """ADTR and ADRS from response rows, ADRS also from the subjects' best responses, ADTTE from their times."""
    rows = list(rows)
    adtr = [_sum(row, study) for row in rows if row.criterion in _SUMS and row.sum_mm is not None]
    adrs = [_overall(row, study) for row in rows if row.criterion in CRITERIA and row.overall]
    adrs += [_subject(one, study) for one in responses]
    adtte = [_time(one, study) for one in times]
    return (
        Dataset.of("ADTR", "Tumor Results Analysis Dataset", _ADTR, adtr),
        Dataset.of("ADRS", "Response Analysis Dataset", _ADRS, adrs),
        Dataset.of("ADTTE", "Time to Event Analysis Dataset", _ADTTE, adtte),
    )


def _sas_day(day: date) -> float:
    return float((day - _EPOCH).days)


def _day(text: str) -> dict[str, Cell]:
    span = date_bounds(text)
    if span is None:
        return {}
    flag = {4: "M", 7: "D"}.get(len(text))
    return {"ADT": _sas_day(span[0]), "ADTF": flag}


def _common(row: ResponseRow, study: str) -> dict[str, Cell]:
    return {
        "STUDYID": study,
        "USUBJID": row.patient,
        "PARCAT1": CRITERIA[row.criterion][0],
        "EVALID": row.reader,
        "AVISITN": float(row.visit),
        "AVISIT": f"VISIT {row.visit}",
        **_day(row.date),
    }


def _sum(row: ResponseRow, study: str) -> dict[str, Cell]:
    code, title = _SUMS[row.criterion]
    change = None
    if row.overall and row.sum_mm is not None and row.baseline_sum_mm is not None:
        change = row.sum_mm - row.baseline_sum_mm
    return {
        **_common(row, study),
        "PARAMCD": code,
        "PARAM": title,
        "AVAL": row.sum_mm,
        "BASE": row.baseline_sum_mm,
        "CHG": change,
        "PCHG": row.change_from_baseline_percent,
        "NADIR": row.nadir_sum_mm,
        "PCHGNAD": row.change_from_nadir_percent,
        "ABLFL": None if row.overall else "Y",
    }


def _rank(category: str) -> float | None:
    return float(_RANK[category]) if category in _RANK else None


def _overall(row: ResponseRow, study: str) -> dict[str, Cell]:
    words: dict[str, Cell] = {"PARAMCD": "OVR", "PARAM": "Overall Response by Visit", "AVALC": row.overall}
    return {**_common(row, study), **words, "AVAL": _rank(row.overall)}


def _subject(one: SubjectResponse, study: str) -> dict[str, Cell]:
    value = {"Y": 1.0, "N": 0.0}.get(one.value, _rank(one.value))
    return {
        "STUDYID": study,
        "USUBJID": one.patient,
        "PARAMCD": one.parameter,
        "PARAM": _RESPONSES[one.parameter],
        "AVALC": one.value,
        "AVAL": value,
        "ADT": None if one.day is None else _sas_day(one.day),
    }


def _time(one: SubjectTime, study: str) -> dict[str, Cell]:
    code, title = _TIMES[one.endpoint]
    return {
        "STUDYID": study,
        "USUBJID": one.patient,
        "PARAMCD": code,
        "PARAM": title,
        "STARTDT": _sas_day(one.start),
        "ADT": _sas_day(one.end),
        "AVAL": float((one.end - one.start).days + 1),
        "CNSR": 0.0 if one.event else 1.0,
        "EVNTDESC": one.reason,
        "CNSDTDSC": None if one.event else one.reason,
    }
