"""A cohort's results as rows: rates, medians, landmarks, log-rank tests; and one flat row per patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from livervol.endpoints.cohort import Cohort, Patient
from livervol.endpoints.events import ENDPOINTS
from livervol.endpoints.proportion import Proportion, proportion
from livervol.endpoints.protocol import Settings
from livervol.endpoints.survival import Curve, LogRank, follow_up, kaplan_meier, log_rank

__all__ = ["EndpointRow", "best_response_counts", "curves", "endpoint_rows", "patient_rows"]

_TITLES = {
    "PFS": "progression-free survival",
    "OS": "overall survival",
    "DoR": "duration of response",
    "TTR": "time to response",
    "TTP": "time to progression",
    "EFS": "event-free survival after R0 conversion",
}
_CATEGORIES = ("CR", "PR", "SD", "NON-CR/NON-PD", "PD", "NE")


@dataclass(frozen=True)
class EndpointRow:
    """One number of the cohort with its interval, of ``n`` patients with ``events`` events or successes."""

    endpoint: str
    variant: str
    group: str
    measure: str
    n: int
    events: int
    estimate: float | None
    low: float | None
    high: float | None
    unit: str
    method: str


def curves(patients: Sequence[Patient], name: str, settings: Settings) -> Curve | None:
    """The Kaplan-Meier curve of an endpoint in months, of the patients it applies to; None without any."""
    outcomes = [p.outcomes[name] for p in patients if p.outcomes[name].days is not None]
    if not outcomes:
        return None
    return kaplan_meier(
        [(one.days or 0) / settings.days_per_month for one in outcomes], [bool(one.event) for one in outcomes]
    )


def _rates(patients: Sequence[Patient], settings: Settings) -> list[tuple[str, str, list[bool]]]:
    """Every yes-or-no endpoint: name, definition, one answer per patient."""
    horizon = timedelta(days=settings.response_horizon_months * settings.days_per_month)
    months = f"{settings.response_horizon_months:g} months"

    def within(patient: Patient, day: Any) -> bool:
        start = patient.line.start(settings.pfs_start)
        return day is not None and start is not None and day - start <= horizon

    kept = f"CR or PR maintained {settings.min_response_days} days" if settings.min_response_days else "CR or PR"
    control = f"during treatment or within {settings.control_after_treatment_days} days after"
    criteria = f"all criteria of {settings.conversion_protocol} met"
    rows = [
        ("ORR", f"{kept}, {settings.response_criterion}", [p.best.objective_response for p in patients]),
        (f"ORR by {months}", kept, [within(p, p.best.response_day) for p in patients]),
        ("ORR unconfirmed", "best response CR or PR", [p.best.unconfirmed in ("CR", "PR") for p in patients]),
        (
            "DCR",
            f"best response at least stable {control}, {settings.disease_control_criterion}",
            [p.best.disease_control for p in patients],
        ),
        ("R0 resection", "resection with r0", [p.resected for p in patients]),
        ("conversion criteria", criteria, [p.conversion.met is True for p in patients]),
        ("conversion", f"{criteria} and R0 resection", [p.converted for p in patients]),
        (f"conversion by {months}", "the same", [p.converted and within(p, p.line.surgery) for p in patients]),
    ]
    return rows + [
        (f"BOR {word}", "confirmed best overall response", [p.best.confirmed == word for p in patients])
        for word in _CATEGORIES
    ]


def _rate_row(name: str, how: str, group: str, found: Proportion) -> EndpointRow:
    rate, low, high = (_percent(x) for x in (found.rate, found.low, found.high))
    method = f"{how}; Clopper-Pearson"
    return EndpointRow(name, "primary", group, "rate", found.total, found.count, rate, low, high, "%", method)


def _curve_rows(name: str, variant: str, group: str, curve: Curve, settings: Settings) -> list[EndpointRow]:
    median = curve.quantile(0.5, tie=settings.median_tie, kind=settings.interval_kind, level=settings.level)
    how = f"Kaplan-Meier, {settings.interval_kind} interval"
    n, events = curve.n, curve.n_events
    rows = [
        EndpointRow(
            name, variant, group, "median", n, events, median.value, median.low, median.high, "months",
            f"{_TITLES.get(name, name)}; {how}, median tie {settings.median_tie}",
        )
    ]  # fmt: skip
    if name == "TTR":
        return rows
    low, high = curve.interval(settings.interval_kind, settings.level)
    for month in settings.landmark_months:
        value = curve.at(month)
        place = int((curve.times <= month).sum()) - 1
        bounds = (None, None) if place < 0 or value != value else (_finite(low[place]), _finite(high[place]))
        rate, lower, upper = (_percent(x) for x in (_finite(value), *bounds))
        measure = f"at {month:g} months"
        rows.append(EndpointRow(name, variant, group, measure, n, events, rate, lower, upper, "%", how))
    return rows


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _finite(value: float) -> float | None:
    return None if value != value else float(value)


def endpoint_rows(cohort: Cohort) -> list[EndpointRow]:
    """Every rate, median and landmark of the cohort; per group and with log-rank tests where there are groups.

    PFS and DoR are also given under the other censoring rule and with conversion surgery handled the other way.
    """
    settings, patients = cohort.protocol.settings, cohort.population
    groups = sorted({p.group for p in patients if p.group})
    rows: list[EndpointRow] = []
    for group in ("", *groups):
        members = [p for p in patients if not group or p.group == group]
        for name, how, answers in _rates(members, settings):
            rows.append(_rate_row(name, how, group, proportion(answers, settings.level)))
        for name in ENDPOINTS:
            curve = curves(members, name, settings)
            rows += _curve_rows(name, "primary", group, curve, settings) if curve is not None else []
    return rows + _follow_up_rows(patients, settings) + _sensitivity_rows(patients, settings) + _tests(cohort, groups)


def _follow_up_rows(patients: Sequence[Patient], settings: Settings) -> list[EndpointRow]:
    outcomes = [p.outcomes["OS"] for p in patients if p.outcomes["OS"].days is not None]
    if not outcomes:
        return []
    curve = follow_up([(o.days or 0) / settings.days_per_month for o in outcomes], [bool(o.event) for o in outcomes])
    row = _curve_rows("follow-up", "primary", "", curve, settings)[0]
    return [row]


def _sensitivity_rows(patients: Sequence[Patient], settings: Settings) -> list[EndpointRow]:
    rows: list[EndpointRow] = []
    for censoring in ("fda", "ema"):
        for surgery in ("neutral", "censor"):
            if (censoring, surgery) == (settings.censoring, settings.conversion_surgery):
                continue
            other = settings.with_values(censoring=censoring, conversion_surgery=surgery)
            for name in ("PFS", "DoR"):
                outcomes = [ENDPOINTS[name](p.line, other, p.best) for p in patients]
                known = [o for o in outcomes if o.days is not None]
                if known:
                    days = [(o.days or 0) / settings.days_per_month for o in known]
                    curve = kaplan_meier(days, [bool(o.event) for o in known])
                    rows += _curve_rows(name, f"{censoring}, surgery {surgery}", "", curve, settings)
    return rows


def _tests(cohort: Cohort, groups: Sequence[str]) -> list[EndpointRow]:
    rows = []
    for name in ENDPOINTS if len(groups) > 1 else ():
        known = [p for p in cohort.population if p.group and p.outcomes[name].days is not None]
        if len({p.group for p in known}) < 2:
            continue
        test = log_rank(
            [p.outcomes[name].days or 0 for p in known],
            [bool(p.outcomes[name].event) for p in known],
            [p.group for p in known],
        )
        rows.append(_test_row(name, test, len(known)))
    return rows


def _test_row(name: str, test: LogRank, n: int) -> EndpointRow:
    chi = f"chi-square {test.chi_square:.6g} on {test.degrees} degrees of freedom"
    method = f"log-rank over {', '.join(map(str, test.groups))}: {chi}"
    value = _finite(test.p)
    return EndpointRow(name, "primary", "", "log-rank p", n, int(sum(test.observed)), value, None, None, "1", method)


def patient_rows(cohort: Cohort) -> list[dict[str, Any]]:
    """One flat row per patient: best responses, and for each endpoint days, event, dates and the reason."""
    rows = []
    for patient in cohort.patients:
        best, line = patient.best, patient.line
        row: dict[str, Any] = {
            "patient": line.patient,
            "group": patient.group,
            "in_population": int(patient.in_population),
            "bor_unconfirmed": best.unconfirmed,
            "bor_confirmed": best.confirmed,
            "objective_response": int(best.objective_response),
            "response_date": best.response_day.isoformat() if best.response_day else "",
            "disease_control": int(best.disease_control),
            "r0_resection": int(patient.resected),
            "conversion_criteria": {True: "yes", False: "no", None: "unknown"}[patient.conversion.met],
            "conversion_reason": "; ".join(item.reason for item in patient.conversion.items),
            "conversion_would_change": "; ".join(patient.conversion.would_change),
            "converted": int(patient.converted),
            "best_change_percent": best.best_change_percent,
            "bor_reason": best.reason,
            "missed_assessments": patient.missed,
        }
        for name, outcome in patient.outcomes.items():
            key = name.lower()
            row[f"{key}_days"] = outcome.days
            row[f"{key}_event"] = None if outcome.event is None else int(outcome.event)
            row[f"{key}_start"] = outcome.start.isoformat() if outcome.start else ""
            row[f"{key}_end"] = outcome.end.isoformat() if outcome.end else ""
            row[f"{key}_reason"] = outcome.reason
        row["notes"] = "; ".join(line.notes)
        rows.append(row)
    return rows


def best_response_counts(cohort: Cohort) -> dict[str, int]:
    """How many patients of the population have each confirmed best overall response."""
    found = Counter(p.best.confirmed for p in cohort.population)
    return {word: found[word] for word in _CATEGORIES}
