"""New lesions over a course: unequivocal, equivocal or none at each visit, and back-dating once one is proven."""

from __future__ import annotations

from dataclasses import dataclass, field

from livervol.records import Course, Lesion, Visit
from livervol.response.course import FLUID_KINDS, Roles, is_node
from livervol.response.rulebook import TOLERANCE, Rulebook

__all__ = ["NewFinding", "new_lesion_findings"]

_ORDER = {"no": 0, "equivocal": 1, "yes": 2}


@dataclass
class NewFinding:
    """New lesions at one visit: ``status`` yes, equivocal or no, and the sentences behind it."""

    status: str = "no"
    reasons: list[str] = field(default_factory=list)

    def add(self, status: str, reason: str) -> None:
        """Take a lesion's status in; the worst counts."""
        if _ORDER[status] > _ORDER[self.status]:
            self.status = status
        self.reasons.append(reason)


def new_size(lesion: Lesion) -> float | None:
    """The size a new lesion is judged by, mm: short axis of a node, else the longest diameter (viable if only that)."""
    if is_node(lesion):
        return lesion.value("short_axis_mm")
    size = lesion.value("longest_mm")
    return lesion.value("viable_longest_mm") if size is None else size


def _typical(lesion: Lesion) -> float | None:
    """1 typical, 0 atypical, None when nothing was recorded: then the reader's word ``new`` stands."""
    words = lesion.attributes
    viable = lesion.value("viable_longest_mm")
    if words.get("enhancement") == "atypical" or words.get("washout") == "no" or viable == 0:
        return 0.0
    if words.get("enhancement") == "typical" or words.get("washout") == "yes":
        return 1.0
    return None


def _facts(lesion: Lesion, first_size: float | None) -> dict[str, float | None]:
    size, node = new_size(lesion), is_node(lesion)
    growth = None if size is None or first_size is None else size - first_size
    return {
        "present": float(lesion.state != "absent"),
        "fluid": float(lesion.attributes.get("kind") in FLUID_KINDS),
        "cytology_positive": float(lesion.attributes.get("cytology") == "positive"),
        "equivocal": float(lesion.state == "equivocal"),
        "node": float(node),
        "porta_node": float(node and lesion.site == "porta_hepatis_node"),
        "intrahepatic": float(lesion.site == "liver" and not node),
        "typical": _typical(lesion),
        "size": size,
        "growth": growth,
    }


@dataclass
class _Track:
    """One new lesion followed through the visits."""

    first_visit: int
    first_size: float | None
    statuses: dict[int, str] = field(default_factory=dict)
    proven: int | None = None
    last_size: float | None = None


def new_lesion_findings(course: Course, roles: Roles, book: Rulebook) -> dict[int, NewFinding]:
    """For every visit after baseline with anything to say about new lesions, the finding (RECIST 1.1, 4.3.5).

    A lesion proven at a later visit makes every earlier visit that called it equivocal progression too, back to its
    first detection (parameter ``backdate_new``). A proven lesion stays new until a visit records it absent.
    """
    tracks: dict[int, _Track] = {}
    findings: dict[int, NewFinding] = {}
    for visit in course.visits:
        if visit.number <= roles.baseline.number:
            continue
        seen: set[int] = set()
        for lesion in visit.lesions:
            if not _is_new(lesion, roles):
                continue
            seen.add(lesion.number)
            _follow(lesion, visit, tracks, findings, book)
        for number, track in tracks.items():
            if number not in seen and track.proven is not None and track.statuses[max(track.statuses)] == "yes":
                reason = f"lesion {number}, new since visit {track.first_visit}, was not assessed and still counts"
                findings.setdefault(visit.number, NewFinding()).add("yes", reason)
    if book.flag("backdate_new"):
        _backdate(tracks, findings, book)
    return findings


def _is_new(lesion: Lesion, roles: Roles) -> bool:
    number = lesion.number
    return not (number in roles.targets or number in roles.non_targets or number in roles.fragments)


def _follow(
    lesion: Lesion, visit: Visit, tracks: dict[int, _Track], findings: dict[int, NewFinding], book: Rulebook
) -> None:
    track = tracks.setdefault(lesion.number, _Track(visit.number, new_size(lesion)))
    finding = findings.setdefault(visit.number, NewFinding())
    where = f"lesion {lesion.number} at visit {visit.number}"
    if lesion.state == "not_evaluable":
        if track.proven is not None:
            finding.add("yes", f"{where}: new since visit {track.first_visit}, not evaluable, still counts")
        return
    facts = _facts(lesion, track.first_size)
    if track.first_size is None:
        track.first_size = facts["size"]
    decision = book.decide("new", facts)
    track.statuses[visit.number] = decision.category
    finding.add(decision.category, f"{where}: {decision.reason}")
    _note_small_growth(lesion, facts["size"], track, finding, book)
    track.last_size = facts["size"]
    if decision.category == "yes" and track.proven is None:
        track.proven = visit.number
        if facts["intrahepatic"] and facts["typical"] is None and "viable_min_mm" in book.values:
            finding.reasons.append(f"note: {where}: no pattern recorded, the reader's 'new' is taken as typical")


def _note_small_growth(lesion: Lesion, size: float | None, track: _Track, finding: NewFinding, book: Rulebook) -> None:
    if not is_node(lesion) or size is None or track.last_size is None:
        return
    limit, margin = book.real("new_node_min_mm"), book.real("new_node_caution_mm")
    if track.last_size < limit <= size and size - track.last_size < margin - TOLERANCE:
        finding.reasons.append(
            f"note: node {lesion.number} grew only from {track.last_size:g} to {size:g} mm: look again"
        )


def _backdate(tracks: dict[int, _Track], findings: dict[int, NewFinding], book: Rulebook) -> None:
    for number, track in tracks.items():
        if track.proven is None:
            continue
        for visit, status in track.statuses.items():
            if visit < track.proven and status == "equivocal":
                findings[visit].add(
                    "yes",
                    f"{book.name} new.back_dated: lesion {number} was proven at visit {track.proven} (backdate_new)",
                )
