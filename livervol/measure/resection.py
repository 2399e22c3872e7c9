"""Liver resections as data: which Couinaud segments each removes, and the stages that come before."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from livervol.errors import CriteriaError, refusal

__all__ = [
    "OPERATIONS",
    "PROTOCOLS",
    "STAGED",
    "STANDARD",
    "Operation",
    "RemnantProtocol",
    "Stage",
    "StagedOperation",
    "operation",
    "protocol",
]

#: Label values a segment map may carry: I to VIII, and IVa, IVb when segment IV is split.
SEGMENT_VALUES = (1, 2, 3, 4, 5, 6, 7, 8, 41, 42)
_SPLIT = {4: (41, 42)}
_CAUDATE = "+caudate"


@dataclass(frozen=True)
class Operation:
    """One resection: ``removed`` are Couinaud segments (41, 42 = IVa, IVb); everything else stays, I too."""

    slug: str
    name: str
    removed: tuple[int, ...]
    also: tuple[str, ...] = ()

    def removed_values(self, present: Iterable[int]) -> tuple[int, ...]:
        """Label values of a segment map that this operation removes.

        ``present`` are the values the map uses. Segment 4 takes 41 and 42 along; a map that does not split segment IV
        cannot serve an operation that does, which raises ``CriteriaError``.
        """
        used = set(present)
        split = used & {41, 42}
        values: list[int] = []
        for segment in self.removed:
            if segment in (41, 42) and not split and 4 in used:
                raise CriteriaError(
                    refusal(
                        "segment IV is not split",
                        expected="a segment map with IVa (41) and IVb (42)",
                        got="segment 4 in one piece",
                        where=self.slug,
                        do="Remove segment 4 whole, or split it first.",
                    )
                )
            values += [segment, *_SPLIT.get(segment, ())]
        return tuple(sorted(set(values)))

    def with_caudate(self) -> Operation:
        """The same operation taking segment I as well (Brisbane 2000: "including segment 1")."""
        if 1 in self.removed:
            return self
        return Operation(f"{self.slug}{_CAUDATE}", f"{self.name} with caudate lobe", (1, *self.removed))


# Brisbane 2000 terminology (Strasberg 2005, J Hepatobiliary Pancreat Surg 12:351-355); segment I stays unless stated.
_NAMED = (
    Operation("right_hepatectomy", "right hepatectomy", (5, 6, 7, 8), ("right_hemihepatectomy",)),
    Operation(
        "extended_right_hepatectomy",
        "extended right hepatectomy",
        (4, 5, 6, 7, 8),
        ("right_trisectionectomy", "extended_right"),
    ),
    Operation("left_hepatectomy", "left hepatectomy", (2, 3, 4), ("left_hemihepatectomy",)),
    Operation(
        "extended_left_hepatectomy",
        "extended left hepatectomy",
        (2, 3, 4, 5, 8),
        ("left_trisectionectomy", "extended_left"),
    ),
    Operation("left_lateral_sectionectomy", "left lateral sectionectomy", (2, 3), ("bisegmentectomy_2_3",)),
    Operation("left_medial_sectionectomy", "left medial sectionectomy", (4,), ("segmentectomy_4",)),
    Operation("right_anterior_sectionectomy", "right anterior sectionectomy", (5, 8), ("bisegmentectomy_5_8",)),
    Operation("right_posterior_sectionectomy", "right posterior sectionectomy", (6, 7), ("bisegmentectomy_6_7",)),
    Operation("central_hepatectomy", "central hepatectomy", (4, 5, 8), ("mesohepatectomy",)),
    Operation("caudate_lobectomy", "caudate lobectomy", (1,), ("segmentectomy_1",)),
)
_LIMITED = (
    *(Operation(f"segments:{n}", f"segmentectomy {n}", (n,), (f"segmentectomy_{n}",)) for n in (2, 3, 5, 6, 7, 8)),
    Operation("segments:5,6", "bisegmentectomy 5-6", (5, 6), ("bisegmentectomy_5_6",)),
    Operation("segments:7,8", "bisegmentectomy 7-8", (7, 8), ("bisegmentectomy_7_8",)),
    Operation("segments:5,42", "bisegmentectomy 4b-5", (5, 42), ("bisegmentectomy_4b_5",)),
)

#: The operations known by name, by slug.
OPERATIONS: dict[str, Operation] = {op.slug: op for op in _NAMED}

#: Every operation a plan considers: the named ones, segmentectomies and the usual bisegmentectomies.
STANDARD: tuple[Operation, ...] = (*_NAMED, *_LIMITED)

_BY_NAME = {alias: op for op in STANDARD for alias in (op.slug, *op.also)}


def operation(slug: str) -> Operation:
    """The operation of a slug: a named one or its synonym, ``segments:5,6``, each with ``+caudate`` if wanted.

    Raises ``CriteriaError`` for an unknown name, a segment that does not exist, or one listed twice.
    """
    word = slug.strip().lower().replace(" ", "_").replace("-", "_")
    if word.endswith(_CAUDATE):
        return operation(word.removesuffix(_CAUDATE)).with_caudate()
    if word in _BY_NAME:
        return _BY_NAME[word]
    listed = re.fullmatch(r"segments:(\d+(?:,\d+)*)", word)
    if listed is None:
        known = ", ".join(OPERATIONS)
        raise CriteriaError(refusal("resection is not known", expected=f"{known} or segments:5,6", got=repr(slug)))
    numbers = [int(n) for n in listed[1].split(",")]
    if len(set(numbers)) < len(numbers) or not set(numbers) <= set(SEGMENT_VALUES):
        raise CriteriaError(
            refusal("segments of a resection", expected="each of 1 to 8, 41, 42 at most once", got=listed[1])
        )
    removed = tuple(sorted(numbers))
    canonical = "segments:" + ",".join(map(str, removed))
    if set(removed) >= {1, 2, 3, 5, 6, 7, 8} and (4 in removed or {41, 42} <= set(removed)):
        raise CriteriaError(refusal("resection leaves nothing", expected="a segment that stays", got=listed[1]))
    if canonical in _BY_NAME:
        return _BY_NAME[canonical]
    return Operation(canonical, "resection of segments " + ", ".join(map(str, removed)), removed)


@dataclass(frozen=True)
class Stage:
    """One step of a staged resection: what is cut, what is embolised or ligated, what is removed."""

    name: str
    divided_along: str = ""
    deportalised: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()


@dataclass(frozen=True)
class StagedOperation:
    """Stages in order and the final operation, whose remnant must grow between them."""

    slug: str
    stages: tuple[Stage, ...]
    final: Operation


def _staged(slug: str, final: str, first: str, divided_along: str, deportalised: tuple[int, ...]) -> StagedOperation:
    last = OPERATIONS[final]
    return StagedOperation(
        slug, (Stage(first, divided_along, deportalised), Stage(last.name, removed=last.removed)), last
    )


# ALPPS: Schnitzbauer 2012, Ann Surg 255:405-414. Embolisation: Makuuchi 1990, Surgery 107:521-527.
_ALPPS = "partition and right portal vein ligation"
#: Staged resections by slug: the volume to follow over time is the final operation's remnant.
STAGED: dict[str, StagedOperation] = {
    s.slug: s
    for s in (
        _staged("alpps", "extended_right_hepatectomy", _ALPPS, "umbilical fissure", (5, 6, 7, 8)),
        _staged("alpps_right", "right_hepatectomy", _ALPPS, "main scissura", (5, 6, 7, 8)),
        _staged("right_pve", "right_hepatectomy", "right portal vein embolisation", "", (5, 6, 7, 8)),
        _staged(
            "right_pve_4",
            "extended_right_hepatectomy",
            "right portal vein and segment IV embolisation",
            "",
            (4, 5, 6, 7, 8),
        ),
    )
}


@dataclass(frozen=True)
class RemnantProtocol:
    """What a remnant is judged by: least FLR (%) of ``denominator`` (functional, total or standard), and its source."""

    name: str
    threshold_percent: float
    denominator: str = "functional"
    source: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.threshold_percent < 100:
            raise CriteriaError(
                refusal("FLR threshold", expected="a percentage between 0 and 100", got=f"{self.threshold_percent:g}")
            )
        if self.denominator not in ("functional", "total", "standard"):
            raise CriteriaError(
                refusal("FLR denominator", expected="functional, total or standard", got=repr(self.denominator))
            )


#: Least remnants by liver condition. The denominator is the source's: standardised volumes where it used them.
PROTOCOLS: dict[str, RemnantProtocol] = {
    p.name: p
    for p in (
        RemnantProtocol("trial", 35.0, "functional", "the trial's protocol"),
        RemnantProtocol("normal", 20.0, "standard", "Kishi 2009, Ann Surg 250:540-548"),
        RemnantProtocol("chemotherapy", 30.0, "standard", "Shindoh 2013, Ann Surg Oncol 20:2493-2500"),
        RemnantProtocol("steatosis", 30.0, "standard", "Shindoh 2013, Ann Surg Oncol 20:2493-2500"),
        RemnantProtocol("cirrhosis", 40.0, "functional", "Azoulay 2000, Ann Surg 232:665-672"),
        RemnantProtocol("cnlc_normal", 30.0, "standard", "CNLC guideline 2022"),
        RemnantProtocol("cnlc_cirrhosis", 40.0, "standard", "CNLC guideline 2022"),
    )
}


def protocol(condition: str) -> RemnantProtocol:
    """The named protocol setting of a liver condition; an unknown word raises ``CriteriaError``."""
    if condition not in PROTOCOLS:
        raise CriteriaError(refusal("liver condition", expected=", ".join(PROTOCOLS), got=repr(condition)))
    return PROTOCOLS[condition]
