"""Time to event per patient: PFS, OS, DoR, TTR, TTP and EFS, each with the reason for its event or its censoring.

Days count the first and the last day (end - start + 1, the CDISC convention). Progression-free time under FDA rules is
censored at new anticancer therapy and where an event follows missed assessments; under EMA rules neither censors.
Sources: FDA, Clinical Trial Endpoints, 2015 (lung), appendices B and C, and 2018; EMA/CHMP/27994/2008, appendix 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from livervol.endpoints.protocol import Settings
from livervol.endpoints.timeline import Assessment, Timeline
from livervol.response.bor import DatedResponse, best_overall_response, confirmed_response

__all__ = [
    "ENDPOINTS",
    "Best",
    "TimeToEvent",
    "best_of",
    "duration_of_response",
    "event_free_after_surgery",
    "missed_assessments",
    "overall_survival",
    "progression_free",
    "time_to_progression",
    "time_to_response",
]

_CONTROLLED = ("CR", "PR", "SD", "NON-CR/NON-PD")


@dataclass(frozen=True, slots=True)
class TimeToEvent:
    """Days from ``start`` to ``end``, both counted; ``event`` False is censored, None: the endpoint does not apply."""

    endpoint: str
    start: date | None
    end: date | None
    days: int | None
    event: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class Best:
    """A patient's best responses and whether they count as response and disease control.

    ``response_day`` is the first day of the response that counts, None without one; ``best_change_percent`` the
    smallest change of the sum from baseline up to progression or new therapy.
    """

    unconfirmed: str
    confirmed: str
    response_day: date | None
    disease_control: bool
    best_change_percent: float | None
    reason: str

    @property
    def objective_response(self) -> bool:
        """True for a CR or PR that was maintained as long as the protocol asks."""
        return self.response_day is not None


def _absent(name: str, reason: str) -> TimeToEvent:
    return TimeToEvent(name, None, None, None, None, reason)


def _ended(name: str, start: date, end: date, event: bool, reason: str) -> TimeToEvent:
    end = max(start, end)
    return TimeToEvent(name, start, end, (end - start).days + 1, event, reason)


def _dated(assessments: tuple[Assessment, ...]) -> list[DatedResponse]:
    # no disease to respond: nothing that could be a best response
    return [DatedResponse(a.day.isoformat(), "NE" if a.category == "NED" else a.category) for a in assessments]


def _of(line: Timeline, criterion: str) -> tuple[Assessment, ...]:
    """The assessments of a criterion; of the only one there is where the table holds no other."""
    if criterion in line.assessments:
        return line.assessments[criterion]
    return next(iter(line.assessments.values()), ()) if len(line.assessments) == 1 else ()


def best_of(line: Timeline, settings: Settings) -> Best:
    """Best overall response, unconfirmed and confirmed, objective response and disease control of one patient.

    Objective response: CR or PR maintained ``min_response_days``, before progression and new therapy. Disease control:
    CR, PR, SD or NON-CR/NON-PD as best response during treatment or within ``control_after_treatment_days`` of its end;
    treatment ends at the last dose, at the latest ``max_treatment_days`` after the first.
    """
    start = line.start(settings.pfs_start)
    if start is None:
        return Best("NE", "NE", None, False, None, f"no {settings.pfs_start}")
    until = line.new_therapy.isoformat() if line.new_therapy else ""
    rows = _of(line, settings.response_criterion)
    dated, rules = _dated(rows), settings.best_response
    day = start.isoformat()
    unconfirmed = best_overall_response(dated, day, rules, until=until)
    confirmed = best_overall_response(dated, day, rules, confirmed=True, until=until)
    counted = [one for one in dated if not until or one.date <= until]
    response_day = None
    if settings.min_response_days:
        response = confirmed_response(counted, rules)
        if response is not None:
            response_day = date.fromisoformat(response.date)
    elif unconfirmed.category in ("CR", "PR"):
        response_day = date.fromisoformat(next(one.date for one in counted if one.category in ("CR", "PR")))
    control = best_overall_response(
        [
            one
            for one in _dated(_of(line, settings.disease_control_criterion))
            if one.date <= _control_end(line, settings)
        ],
        day,
        rules,
        until=until,
    )
    return Best(
        unconfirmed.category,
        confirmed.category,
        response_day,
        control.category in _CONTROLLED,
        _best_change(rows, line.new_therapy),
        "; ".join(confirmed.reasons),
    )


def _control_end(line: Timeline, settings: Settings) -> str:
    first = line.first_dose or line.start(settings.pfs_start) or date.min
    longest = first + timedelta(days=settings.max_treatment_days)
    last = min(line.last_dose, longest) if line.last_dose else longest
    return (last + timedelta(days=settings.control_after_treatment_days)).isoformat()


def _best_change(rows: tuple[Assessment, ...], new_therapy: date | None) -> float | None:
    best = None
    for row in rows:
        if new_therapy is not None and row.day > new_therapy:
            break
        if row.change_percent is not None and (best is None or row.change_percent < best):
            best = row.change_percent
        if row.category == "PD":
            break
    return best


def _course(line: Timeline, settings: Settings, start: date, *, deaths: bool, name: str) -> TimeToEvent:
    """The end of progression-free time under the protocol's censoring rules."""
    rows = [a for a in _of(line, settings.progression_criterion) if a.day >= start]
    progression = next((a for a in rows if a.category == "PD"), None)
    event, why = (progression.day, f"progression at visit {progression.visit}") if progression else (None, "")
    if deaths and line.death is not None and (event is None or line.death < event):
        event, why = line.death, "death"
    seen = [a.day for a in rows if a.adequate and (event is None or a.day < event)]
    if not deaths and line.death is not None:
        seen = [day for day in seen if day <= line.death]
    censorings = _censorings(line, settings, start, event, seen)
    if censorings:
        end, why = min(censorings, key=lambda one: one[0])
        return _ended(name, start, end, False, why)
    if event is not None:
        return _ended(name, start, event, True, why)
    if not deaths and line.death is not None and settings.ttp_death == "death":
        return _ended(name, start, line.death, False, "died without progression")
    if not seen:
        return _ended(name, start, start, False, "no adequate assessment after baseline: censored on day 1")
    return _ended(name, start, seen[-1], False, "no event: last adequate assessment")


def _censorings(
    line: Timeline, settings: Settings, start: date, event: date | None, seen: list[date]
) -> list[tuple[date, str]]:
    """Every rule that censors, with its day; the earliest counts."""
    found = []
    if settings.censoring == "fda":
        therapy = line.new_therapy
        if therapy is not None and therapy > start and (event is None or therapy < event):
            before = [day for day in seen if day <= therapy]
            text = f"new therapy on {therapy.isoformat()}: last adequate assessment before it"
            found.append((before[-1] if before else start, text))
        if event is not None:
            gap = (event - (seen[-1] if seen else start)).days
            longest = settings.longest_gap_days if seen else settings.longest_first_gap_days
            if gap > longest:
                text = f"event {gap} days after the last adequate assessment, longer than {longest}: assessments missed"
                found.append((seen[-1] if seen else start, text))
    surgery = line.surgery
    if (
        settings.conversion_surgery == "censor"
        and surgery is not None
        and surgery > start
        and (event is None or surgery < event)
    ):
        found.append((surgery, "conversion surgery"))
    return found


def progression_free(line: Timeline, settings: Settings) -> TimeToEvent:
    """Progression-free survival in days: from ``pfs_start`` to the first progression or death of any cause."""
    start = line.start(settings.pfs_start)
    if start is None:
        return _absent("PFS", f"no {settings.pfs_start}")
    return _course(line, settings, start, deaths=True, name="PFS")


def time_to_progression(line: Timeline, settings: Settings) -> TimeToEvent:
    """Time to progression in days: as PFS, but a death without progression is censored, not counted."""
    start = line.start(settings.pfs_start)
    if start is None:
        return _absent("TTP", f"no {settings.pfs_start}")
    return _course(line, settings, start, deaths=False, name="TTP")


def overall_survival(line: Timeline, settings: Settings) -> TimeToEvent:
    """Overall survival in days: from ``os_start`` to death of any cause, else censored when last known alive."""
    start = line.start(settings.os_start)
    if start is None:
        return _absent("OS", f"no {settings.os_start}")
    if line.death is not None:
        return _ended("OS", start, line.death, True, "death")
    known = [
        (line.last_alive, "last known alive"),
        (line.last_dose, "alive at the last dose"),
        (line.surgery, "alive at surgery"),
        (line.new_therapy, "alive at new therapy"),
        *((a.day, f"alive at visit {a.visit}") for rows in line.assessments.values() for a in rows),
    ]
    dated = [(day, why) for day, why in known if day is not None]
    if not dated:
        return _ended("OS", start, start, False, "nothing known after the start")
    end, why = max(dated, key=lambda one: one[0])
    return _ended("OS", start, end, False, why)


def duration_of_response(line: Timeline, settings: Settings, best: Best) -> TimeToEvent:
    """Duration of response in days: from the first day of a response that counts to progression or death, as PFS."""
    if best.response_day is None:
        return _absent("DoR", "no objective response")
    free = progression_free(line, settings)
    if free.end is None or (free.event and free.end <= best.response_day):
        return _absent("DoR", f"{free.reason} before the response")
    return _ended("DoR", best.response_day, free.end, bool(free.event), free.reason)


def time_to_response(line: Timeline, settings: Settings, best: Best) -> TimeToEvent:
    """Time to response in days, of responders: from ``pfs_start`` to the first day of the response that counts."""
    start = line.start(settings.pfs_start)
    if best.response_day is None or start is None:
        return _absent("TTR", "no objective response")
    return _ended("TTR", start, best.response_day, True, "response")


def event_free_after_surgery(line: Timeline, settings: Settings) -> TimeToEvent:
    """Event-free survival after an R0 conversion resection, in days: to recurrence (progression) or death."""
    if line.surgery is None or not line.subject.r0:
        return _absent("EFS", "no R0 surgery")
    neutral = settings.with_values(conversion_surgery="neutral")
    return _course(line, neutral, line.surgery, deaths=True, name="EFS")


Rule = Callable[[Timeline, Settings, Best], TimeToEvent]

#: Every time-to-event endpoint by name.
ENDPOINTS: dict[str, Rule] = {
    "PFS": lambda line, settings, best: progression_free(line, settings),
    "OS": lambda line, settings, best: overall_survival(line, settings),
    "DoR": duration_of_response,
    "TTR": time_to_response,
    "TTP": lambda line, settings, best: time_to_progression(line, settings),
    "EFS": lambda line, settings, best: event_free_after_surgery(line, settings),
}


def missed_assessments(line: Timeline, settings: Settings, end: date | None) -> int | None:
    """How many scheduled assessments up to ``end`` had no adequate one within ``window_days``; None without a start."""
    start = line.start(settings.pfs_start)
    if start is None or end is None:
        return None
    days = [(a.day - start).days for a in _of(line, settings.progression_criterion) if a.adequate]
    last = (end - start).days - settings.window_days
    due = range(settings.first_assessment_days, last + 1, settings.interval_days)
    return sum(not any(abs(day - when) <= settings.window_days for day in days) for when in due)
