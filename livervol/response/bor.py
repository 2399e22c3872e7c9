"""Best overall response from dated responses, unconfirmed and confirmed (RECIST 1.1, 4.4.3 and table 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from livervol.errors import CriteriaError, refusal
from livervol.response.dates import date_range

__all__ = ["BestResponse", "BorSettings", "DatedResponse", "best_overall_response", "confirmed_response"]

#: Best first; MISSING means that nothing was assessed.
ORDER = ("CR", "PR", "SD", "NON-CR/NON-PD", "PD", "NE", "ND", "MISSING")
_STABLE = ("SD", "NON-CR/NON-PD")

#: Best first: the category, the visits' responses that give it, and whether it needs ``min_sd_days``.
_Ladder = tuple[tuple[str, tuple[str, ...], bool], ...]
_UNCONFIRMED: _Ladder = (
    ("CR", ("CR",), False),
    ("PR", ("PR",), False),
    ("SD", ("SD",), True),
    ("NON-CR/NON-PD", ("NON-CR/NON-PD",), True),
    ("PD", ("PD",), False),
    ("NE", (*_STABLE, "NE"), False),
    ("ND", ("ND",), False),
)
#: Confirmed CR and PR are looked for first; unconfirmed ones count as SD, or as NE when too early.
_CONFIRMED: _Ladder = (
    ("SD", ("CR", "PR", "SD"), True),
    ("NON-CR/NON-PD", ("NON-CR/NON-PD",), True),
    ("PD", ("PD",), False),
    ("NE", ("CR", "PR", *_STABLE, "NE"), False),
    ("ND", ("ND",), False),
)


@dataclass(frozen=True)
class DatedResponse:
    """An overall response and its day; a partial date counts as its first day."""

    date: str
    category: str


@dataclass(frozen=True)
class BorSettings:
    """What the protocol fixes.

    - ``min_sd_days``: days from start from which SD (or NON-CR/NON-PD) counts; protocols use 28, 42 or 56
    - ``confirm_days``: days between a response and its confirmation; ``max_ne``: NE allowed in between
    - ``accept_sd``: one SD allowed between PR and its confirmation (RECIST 1.1, table 3, footnote)
    - ``missing_as_ne``: no assessment at all is NE; ``stop_at_pd``: nothing after the first PD counts
    - ``require_confirmation``: which of the two a protocol reports
    - ``short_stable_is_pd``: a CR or PR followed by a lesser response before ``min_sd_days`` is PD, as table 3 words
      it; usual practice calls it NE
    """

    min_sd_days: int = 42
    confirm_days: int = 28
    max_ne: int = 1
    accept_sd: bool = False
    missing_as_ne: bool = False
    stop_at_pd: bool = True
    require_confirmation: bool = True
    short_stable_is_pd: bool = False


@dataclass(frozen=True)
class BestResponse:
    """The best overall response, the day of the visit that gives it (empty when none does) and why."""

    category: str
    date: str
    reasons: tuple[str, ...] = ()


def best_overall_response(
    responses: Sequence[DatedResponse],
    start: str,
    settings: BorSettings | None = None,
    *,
    confirmed: bool = False,
    until: str = "",
) -> BestResponse:
    """Best overall response since ``start`` (ISO date of treatment start or randomisation).

    CR, PR, SD, NON-CR/NON-PD, PD, NE in that order; ``confirmed`` asks for CR and PR again ``confirm_days`` later.
    Ignored: anything after the first PD or after ``until`` (new anticancer therapy). Raises ``CriteriaError`` for other
    categories or for responses without a date.
    """
    settings = settings or BorSettings()
    ordered = _in_order(responses)
    counted = _counted(ordered, settings, until)
    if not counted:
        empty = "NE" if settings.missing_as_ne else "MISSING"
        return BestResponse(empty, "", ("bor.missing: no response was assessed",))
    stable_from = _day(start) + timedelta(days=settings.min_sd_days)
    if confirmed:
        found = _confirmed_by(counted, settings)
        if found is not None:
            return found
    if confirmed and settings.short_stable_is_pd and _short_stable(counted, stable_from):
        return BestResponse("PD", counted[-1].date, ("bor.short_stable: response lost too early for SD (table 3)",))
    for category, accepted, needs_time in _CONFIRMED if confirmed else _UNCONFIRMED:
        for response in counted:
            if response.category in accepted and (not needs_time or _day(response.date) >= stable_from):
                return BestResponse(category, response.date, (_why(category, response, settings, needs_time),))
    return BestResponse("MISSING", "", ("bor.missing: no response was assessed",))


def confirmed_response(responses: Sequence[DatedResponse], settings: BorSettings | None = None) -> BestResponse | None:
    """The first confirmed CR or PR, whichever came first, or None: the response that objective response rates count."""
    settings = settings or BorSettings()
    counted = _counted(_in_order(responses), settings, "")
    found = [_confirmation(counted, n, kind, settings) for n in range(len(counted)) for kind in ("CR", "PR")]
    return next((one for one in found if one is not None), None)


def _day(text: str) -> date:
    span = date_range(text)
    if span is None:
        raise CriteriaError(refusal("response without a date", expected="an ISO date", got="nothing"))
    return span[0]


def _in_order(responses: Sequence[DatedResponse]) -> list[DatedResponse]:
    for response in responses:
        if response.category not in ORDER[:-1]:
            raise CriteriaError(
                refusal("response cannot enter a BOR", expected=", ".join(ORDER[:-1]), got=repr(response.category))
            )
    return sorted(responses, key=lambda one: _day(one.date))


def _counted(ordered: list[DatedResponse], settings: BorSettings, until: str) -> list[DatedResponse]:
    """The responses that count: up to the first PD, it included, and not after ``until``."""
    kept = []
    for response in ordered:
        if until and _day(response.date) > _day(until):
            break
        kept.append(response)
        if response.category == "PD" and settings.stop_at_pd:
            break
    return kept


def _short_stable(counted: list[DatedResponse], stable_from: date) -> bool:
    """True when an unconfirmed CR or PR is followed by PR or SD and all of it lies before SD may count."""
    words = [one.category for one in counted]
    if "PD" in words or any(_day(one.date) >= stable_from for one in counted if one.category in ("CR", "PR", *_STABLE)):
        return False
    first = next((n for n, word in enumerate(words) if word in ("CR", "PR")), None)
    return first is not None and any(word in ("PR", "SD") for word in words[first + 1 :])


def _confirmed_by(counted: list[DatedResponse], settings: BorSettings) -> BestResponse | None:
    for kind in ("CR", "PR"):
        for n in range(len(counted)):
            found = _confirmation(counted, n, kind, settings)
            if found is not None:
                return found
    return None


def _confirmation(counted: list[DatedResponse], n: int, kind: str, settings: BorSettings) -> BestResponse | None:
    """The confirmed response that starts at visit n, if any.

    CR needs CR again with only CR and NE between; PR needs CR or PR with only CR, PR, NE (and one SD where accepted)
    between and no PR after a CR.
    """
    first = counted[n]
    if first.category != kind:
        return None
    between = ("CR", "NE") if kind == "CR" else ("CR", "PR", "NE", *(("SD",) if settings.accept_sd else ()))
    missed = stable = 0
    seen_cr = False
    for later in counted[n + 1 :]:
        category = later.category
        if category not in between or (kind == "PR" and category == "PR" and seen_cr):
            return None
        seen_cr = seen_cr or category == "CR"
        days = (_day(later.date) - _day(first.date)).days
        if category in (("CR",) if kind == "CR" else ("CR", "PR")) and days >= settings.confirm_days:
            reason = f"bor.confirmed: {kind} of {first.date} confirmed by {category} of {later.date}, {days} days later"
            return BestResponse(kind, first.date, (f"{reason} (confirm_days = {settings.confirm_days})",))
        missed += category == "NE"
        stable += category == "SD"
        if missed > settings.max_ne or stable > 1:
            return None
    return None


def _why(category: str, response: DatedResponse, settings: BorSettings, needs_time: bool) -> str:
    text = f"bor.{category.lower()}: {response.category} of {response.date}"
    if needs_time:
        return f"{text}, at least {settings.min_sd_days} days after start (min_sd_days)"
    if category == "NE" and response.category != "NE":
        return f"{text}, unconfirmed or earlier than {settings.min_sd_days} days after start (min_sd_days)"
    return text
