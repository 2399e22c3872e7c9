"""Conversion success: five items, each yes, no or unknown, with reasons and with what would change the answer.

The thresholds are a protocol's (``protocols/*.toml``); this file only compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from livervol.errors import CriteriaError, refusal
from livervol.records import Interval, Visit
from livervol.response.course import THROMBUS_SITES, is_node
from livervol.response.dates import fewest_days
from livervol.response.protocol import Protocol
from livervol.response.scores import ChildPugh
from livervol.response.staging import CHENG, cheng_stage

__all__ = [
    "EXTRAHEPATIC_STATES",
    "ConversionFindings",
    "ConversionItem",
    "ConversionResult",
    "assess_conversion",
    "extrahepatic_state",
]

EXTRAHEPATIC_STATES = ("none", "necrotic", "viable")
#: Slack of a percentage's comparison with its threshold.
_PERCENT_TOLERANCE = 1e-9
_NODE_NORMAL_MM = 10.0


@dataclass(frozen=True)
class ConversionFindings:
    """What is known about one patient at one time; None or an absent key means not assessed.

    ``vessels`` maps portal_inflow, arterial_inflow, hepatic_outflow, biliary_drainage of the remnant to intact or not;
    ``portal_thrombus`` and ``hepatic_thrombus`` are recorded stages (Cheng or Vp; HVTT or Vv). ``flr_percent`` is the
    remnant's share by the protocol's definition, ``flr_interval`` its uncertainty. ``liver_condition`` is normal,
    damaged or cirrhosis where the threshold depends on it.
    """

    child_pugh: ChildPugh | None = None
    ecog: int | None = None
    extrahepatic: str | None = None
    extrahepatic_reason: str = ""
    vessels: Mapping[str, bool | None] = field(default_factory=dict)
    portal_thrombus: str = ""
    hepatic_thrombus: str = ""
    flr_percent: float | None = None
    flr_interval: Interval | None = None
    liver_condition: str = ""


@dataclass(frozen=True)
class ConversionItem:
    """One item: ``met`` True, False or None (unknown), why, and what would change it."""

    name: str
    met: bool | None
    reason: str
    would_change: str
    borderline: bool = False


@dataclass(frozen=True)
class ConversionResult:
    """``met``: False if any item fails, else None if any is unknown, else True; with the protocol it was judged by."""

    met: bool | None
    items: tuple[ConversionItem, ...]
    protocol: str

    @property
    def would_change(self) -> tuple[str, ...]:
        """What would have to change for the answer to become another one."""
        against = [item for item in self.items if item.met is not True]
        return tuple(item.would_change for item in (against or self.items))


def assess_conversion(findings: ConversionFindings, protocol: Protocol) -> ConversionResult:
    """Conversion success of one patient by a protocol's section ``conversion``; items it leaves out are not judged.

    Three-valued: an unknown item leaves the answer open only if no other item fails.
    """
    rules = protocol.section("conversion")
    judges = {
        "child_pugh": _child_pugh,
        "ecog": _ecog,
        "extrahepatic": _extrahepatic,
        "vessels": _vessels,
        "flr": _flr,
    }
    unknown = set(rules) - set(judges)
    if unknown:
        raise CriteriaError(
            refusal("conversion item is not known", expected=", ".join(judges), got=", ".join(sorted(unknown)))
        )
    items = tuple(judge(findings, rules[name]) for name, judge in judges.items() if name in rules)
    values = [item.met for item in items]
    met = False if False in values else None if None in values else True
    return ConversionResult(met, items, f"{protocol.name} {protocol.version}")


def _child_pugh(findings: ConversionFindings, rule: Mapping[str, Any]) -> ConversionItem:
    limit, score = rule["below"], findings.child_pugh
    name, wanted = "child_pugh", f"Child-Pugh below {rule['below']}"
    if score is None:
        return ConversionItem(name, None, "Child-Pugh was not assessed", f"a {wanted}")
    details = "; ".join(item.reason for item in score.items)
    if score.total is not None:
        met = score.total < limit
        lost = limit - score.total if met else score.total - limit + 1
        change = f"{lost} point{'s' if lost != 1 else ''} {'more' if met else 'less'} in Child-Pugh (now {score.total})"
        return ConversionItem(name, met, f"Child-Pugh {score.total} {score.grade}, {wanted} asked ({details})", change)
    open_items = ", ".join(item.name for item in score.items if item.points is None)
    bounds = f"Child-Pugh {score.lowest} to {score.highest} without {open_items}"
    if score.highest < limit or score.lowest >= limit:
        met = score.highest < limit
        return ConversionItem(
            name, met, f"{bounds}: {wanted} asked either way ({details})", f"other values than {details}"
        )
    return ConversionItem(name, None, f"{bounds}: {wanted} asked ({details})", f"assessing {open_items}")


def _ecog(findings: ConversionFindings, rule: Mapping[str, Any]) -> ConversionItem:
    limit, ecog = rule["at_most"], findings.ecog
    if ecog is None:
        return ConversionItem("ecog", None, "ECOG was not assessed", f"an ECOG of at most {limit}")
    if ecog not in range(6):
        raise CriteriaError(refusal("ECOG", expected="0 to 5", got=str(ecog)))
    met = ecog <= limit
    return ConversionItem(
        "ecog", met, f"ECOG {ecog}, at most {limit} asked", f"an ECOG {'above' if met else 'of at most'} {limit}"
    )


def _extrahepatic(findings: ConversionFindings, rule: Mapping[str, Any]) -> ConversionItem:
    accepted, state = rule["accepted"], findings.extrahepatic
    wanted = " or ".join(accepted)
    why = f" ({findings.extrahepatic_reason})" if findings.extrahepatic_reason else ""
    if state is None:
        change = "assessing extrahepatic disease, or confirming its necrosis"
        return ConversionItem("extrahepatic", None, f"extrahepatic disease is not settled{why}", change)
    if state not in EXTRAHEPATIC_STATES:
        raise CriteriaError(refusal("extrahepatic disease", expected=", ".join(EXTRAHEPATIC_STATES), got=repr(state)))
    met = state in accepted
    change = "viable extrahepatic disease" if met else "complete necrosis or removal of every extrahepatic lesion"
    return ConversionItem("extrahepatic", met, f"extrahepatic disease {state}, {wanted} asked{why}", change)


def _vessels(findings: ConversionFindings, rule: Mapping[str, Any]) -> ConversionItem:
    required: Sequence[str] = rule["required"]
    lost = [name for name in required if findings.vessels.get(name) is False]
    unknown = [name for name in required if findings.vessels.get(name) is None]
    stages = [f"portal thrombus {findings.portal_thrombus}"] if findings.portal_thrombus else []
    stages += [f"hepatic vein thrombus {findings.hepatic_thrombus}"] if findings.hepatic_thrombus else []
    highest = rule.get("highest_portal_thrombus")
    if highest is not None:
        if not findings.portal_thrombus:
            unknown.append("portal_thrombus")
        elif list(CHENG).index(cheng_stage(findings.portal_thrombus)) > list(CHENG).index(highest):
            lost.append(f"portal_thrombus above {highest}")
    recorded = f" ({', '.join(stages)})" if stages else ""
    if lost:
        return ConversionItem(
            "vessels", False, f"not intact: {', '.join(lost)}{recorded}", f"restoring {', '.join(lost)}"
        )
    if unknown:
        return ConversionItem(
            "vessels", None, f"not assessed: {', '.join(unknown)}{recorded}", f"assessing {', '.join(unknown)}"
        )
    return ConversionItem("vessels", True, f"intact: {', '.join(required)}{recorded}", "losing any of them")


def _flr(findings: ConversionFindings, rule: Mapping[str, Any]) -> ConversionItem:
    value, limit = findings.flr_percent, rule["at_least_percent"]
    if isinstance(limit, Mapping):
        if not findings.liver_condition:
            return _flr_any_condition(value, limit)
        if findings.liver_condition not in limit:
            raise CriteriaError(
                refusal("liver condition", expected=", ".join(limit), got=repr(findings.liver_condition))
            )
        limit = limit[findings.liver_condition]
    if value is None:
        return ConversionItem("flr", None, "the remnant was not measured", f"an FLR of at least {limit:g} %")
    met = value >= limit - _PERCENT_TOLERANCE
    interval = findings.flr_interval
    text = f"FLR {value:.1f} %, at least {limit:g} % asked"
    borderline = abs(value - limit) < rule.get("borderline_points", 0.0)
    if interval is not None:
        text += f", interval {interval.low:.1f} to {interval.high:.1f} %"
        borderline = borderline or interval.low < limit <= interval.high
    if borderline:
        text += "; borderline: a second reading is advised"
    change = f"{abs(limit - value):.1f} points {'less' if met else 'more'} FLR"
    return ConversionItem("flr", met, text, change, borderline)


def _flr_any_condition(value: float | None, limits: Mapping[str, float]) -> ConversionItem:
    """The answer when the liver's condition is unknown: settled only where every condition agrees."""
    low, high = min(limits.values()), max(limits.values())
    if value is None:
        return ConversionItem("flr", None, "the remnant was not measured", f"an FLR of at least {low:g} to {high:g} %")
    answers = {value >= limit - _PERCENT_TOLERANCE for limit in limits.values()}
    met = answers.pop() if len(answers) == 1 else None
    text = f"FLR {value:.1f} %, at least {low:g} to {high:g} % asked by liver condition, which is unknown"
    change = "stating the liver condition" if met is None else f"an FLR {'below' if met else 'of at least'} {low:g} %"
    return ConversionItem("flr", met, text, change)


def extrahepatic_state(visits: Sequence[Visit], confirm_days: int = 0) -> tuple[str | None, str]:
    """Extrahepatic disease at the last of ``visits``: none, necrotic, viable, or None and why it is open.

    Necrotic means no viable diameter in any extrahepatic lesion and every node below 10 mm in short axis; with
    ``confirm_days`` it must have been so at an earlier visit at least that long before. Thrombus in the portal or
    hepatic veins counts with the vessels, not here.
    """
    if not visits:
        return None, "no visit"
    state, reason = _state_at(visits[-1])
    if state != "necrotic" or confirm_days <= 0:
        return state, reason
    for earlier in visits[:-1]:
        days = fewest_days(earlier.date, visits[-1].date)
        if days is not None and days >= confirm_days and _state_at(earlier)[0] in ("necrotic", "none"):
            return state, f"{reason}, as at visit {earlier.number} {days} days before"
    return None, f"{reason}, not yet confirmed {confirm_days} days later"


def _state_at(visit: Visit) -> tuple[str | None, str]:
    lesions = [one for one in visit.lesions if (one.site != "liver" or is_node(one)) and one.site not in THROMBUS_SITES]
    if not lesions:
        return "none", f"no extrahepatic lesion at visit {visit.number}"
    open_lesions = []
    for one in lesions:
        if one.state == "absent":
            continue
        size = one.value("short_axis_mm") if is_node(one) else one.value("viable_longest_mm")
        if one.state == "not_evaluable" or size is None:
            open_lesions.append(one.number)
        elif size >= _NODE_NORMAL_MM if is_node(one) else size > 0:
            return "viable", f"lesion {one.number} at visit {visit.number} is viable: {size:g} mm"
    if open_lesions:
        return None, f"viability unknown at visit {visit.number} in lesions {', '.join(map(str, open_lesions))}"
    return "necrotic", f"no viable extrahepatic tissue at visit {visit.number}"
