"""Which vessels a resection cuts, which serve the remnant, how near tumour comes, and whether they seem intact.

The proposal is three-valued and meant for a reader to confirm: arteries and bile ducts are not seen here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from livervol.measure.resection import Operation, operation
from livervol.measure.vascular_facts import VascularFacts
from livervol.measure.vascular_thrombus import Suspicion
from livervol.measure.vascular_tree import Branch
from livervol.records import Measurement

__all__ = [
    "BranchFate",
    "VascularReading",
    "judge_resection",
    "vascular_measurements",
]

PORTAL, HEPATIC = 1, 2
_KINDS = {PORTAL: "portal", HEPATIC: "hepatic"}

#: A tree read with less confidence than this supports no proposal.
CLEAR = 0.5
#: A vessel that runs in the removed part no deeper than the first can be spared by leading the cut around it; between
#: the two a surgeon must say; deeper, it goes with what is removed (mm). An engineering choice.
SPARED_MM, LOST_MM = 5.0, 15.0
#: A remnant segment with fewer voxels than this share of the remnant needs no vessel of its own.
SLIVER_SHARE = 0.02


@dataclass(frozen=True)
class BranchFate:
    """One branch under one operation.

    ``fate``            kept, removed, cut (voxels on both sides), or outside (no voxel in a segment).
    ``kept_voxels``, ``removed_voxels`` its voxels on either side.
    ``serves``          it or a branch that comes from it has voxels in the remnant.
    ``deepest_mm``      how deep the way from the root to its last kept point runs in the removed part; 0 when never.
    ``tumor_mm``        shortest way to a lesion, None without lesions; ``lesion`` which.
    """

    number: int
    name: str
    kind: int
    fate: str
    kept_voxels: int
    removed_voxels: int
    serves: bool
    deepest_mm: float
    tumor_mm: float | None = None
    lesion: int = 0
    thrombus: tuple[Suspicion, ...] = ()


@dataclass(frozen=True)
class VascularReading:
    """An operation's vessels: every branch's fate, and the proposal.

    ``proposals`` maps portal_inflow, hepatic_outflow, arterial_inflow, biliary_drainage to True, False or None, with
    ``reasons`` alike; ``intact`` is False if the portal or hepatic answer is False, None if one is unknown.
    """

    operation: Operation
    fates: tuple[BranchFate, ...]
    proposals: Mapping[str, bool | None]
    reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def intact(self) -> bool | None:
        """The veins' answers together; artery and bile duct remain the reader's."""
        seen = (self.proposals["portal_inflow"], self.proposals["hepatic_outflow"])
        return False if False in seen else None if None in seen else True

    @property
    def cut(self) -> tuple[BranchFate, ...]:
        """Branches with voxels on both sides of the cut."""
        return tuple(f for f in self.fates if f.fate == "cut")


def judge_resection(facts: VascularFacts, resection: Operation | str) -> VascularReading:
    """The fate of every branch under one operation, and the proposals for the remnant's inflow and outflow.

    A branch is cut when it has voxels in segments that stay and in segments that go. A segment of the remnant is served
    when a branch with voxels in it is reached from the root without passing deeper than ``SPARED_MM`` through what is
    removed; deeper than ``LOST_MM`` it is lost, between the two unknown. Suspected thrombus in a main branch of the
    remnant makes the answer no; in a smaller one, tumour that touches, or an unclear tree: unknown.
    """
    op = operation(resection) if isinstance(resection, str) else resection
    removed = set(op.removed_values(facts.values))
    kept = [v for v in facts.values if v not in removed]
    gone = [v for v in facts.values if v in removed]
    fates = _fates(facts, kept, gone)
    proposals: dict[str, bool | None] = {}
    reasons: dict[str, str] = {}
    for kind, item in ((PORTAL, "portal_inflow"), (HEPATIC, "hepatic_outflow")):
        own = [f for f in fates if f.kind == kind]
        proposals[item], reasons[item] = _proposal(facts, own, kept, kind)
    for item in ("arterial_inflow", "biliary_drainage"):
        proposals[item], reasons[item] = None, "not visible in the vessel trees"
    return VascularReading(op, tuple(fates), MappingProxyType(proposals), MappingProxyType(reasons))


def _fates(facts: VascularFacts, kept: Sequence[int], gone: Sequence[int]) -> list[BranchFate]:
    here = facts.joint[list(kept)].sum(axis=0) if kept else np.zeros(facts.joint.shape[1], np.int64)
    there = facts.joint[list(gone)].sum(axis=0) if gone else np.zeros(facts.joint.shape[1], np.int64)
    columns = [facts.values.index(v) for v in kept]
    serves = {b.number: int(here[b.number]) > 0 for b in facts.tree.branches}
    deepest: dict[int, float] = {}
    order = sorted(facts.tree.branches, key=lambda b: _generation(facts.tree.branches, b))
    for branch in reversed(order):
        if branch.parent and serves[branch.number]:
            serves[branch.parent] = True
    for branch in order:
        ways = facts.depth_mm[branch.number]
        own = ways[:, columns].min(axis=1) if columns else np.full(len(ways), np.inf)
        # what lies past the last kept point of a branch that ends in the removed part does not matter to the remnant
        last = np.flatnonzero(own == 0)
        onward = any(b.parent == branch.number and serves[b.number] for b in facts.tree.branches)
        reach = len(own) if onward else (int(last[-1]) + 1 if len(last) else len(own))
        deepest[branch.number] = max(float(own[:reach].max(initial=0.0)), deepest.get(branch.parent, 0.0))
    result = []
    for branch in facts.tree.branches:
        k, g = int(here[branch.number]), int(there[branch.number])
        fate = "cut" if k and g else "kept" if k else "removed" if g else "outside"
        lesion, way = _nearest_lesion(facts, branch.number)
        result.append(
            BranchFate(
                branch.number,
                branch.name,
                branch.kind,
                fate,
                k,
                g,
                serves[branch.number],
                deepest[branch.number],
                way,
                lesion,
                facts.thrombus.get(branch.number, ()),
            )
        )
    return result


def _generation(branches: Sequence[Branch], branch: Branch) -> int:
    steps = 0
    while branch.parent:
        branch = branches[branch.parent - 1]
        steps += 1
    return steps


def _nearest_lesion(facts: VascularFacts, number: int) -> tuple[int, float | None]:
    ways = {lesion: float(row[number]) for lesion, row in facts.tumor_mm.items()}
    if not ways:
        return 0, None
    lesion = min(ways, key=lambda n: (ways[n], n))
    return (lesion, ways[lesion]) if math.isfinite(ways[lesion]) else (0, None)


def _proposal(
    facts: VascularFacts, fates: Sequence[BranchFate], kept: Sequence[int], kind: int
) -> tuple[bool | None, str]:
    word = _KINDS[kind]
    sure = facts.tree.confidence.get(word, 0.0)
    if not fates or sure <= 0:
        return None, f"the {word} veins were not found"
    if sure < CLEAR:
        return None, f"the {word} veins were not read surely (confidence {sure:.2f})"
    lost, open_questions = [], []
    total = max(1, sum(facts.liver_voxels[v] for v in kept))
    for value in kept:
        # the caudate's veins are too small to be followed
        if value == 1 or facts.liver_voxels[value] < SLIVER_SHARE * total:
            continue
        ways = [f.deepest_mm for f in fates if facts.joint[value, f.number] > 0]
        if not ways:
            open_questions.append(f"no {word} vein was found in segment {value}")
        elif min(ways) > LOST_MM:
            lost.append(f"the {word} veins of segment {value} go through what is removed ({min(ways):.0f} mm deep)")
        elif min(ways) > SPARED_MM:
            open_questions.append(f"the {word} veins of segment {value} run {min(ways):.0f} mm inside what is removed")
    for fate in fates:
        if not fate.serves:
            continue
        # a small branch inside a lesion is the lesion's; in a main branch it would be thrombus
        (lost if _is_main(fate.name) else open_questions).extend(f"{fate.name}: {one.reason}" for one in fate.thrombus)
        if fate.tumor_mm is not None and fate.tumor_mm <= 0 and not fate.thrombus:
            open_questions.append(f"lesion {fate.lesion} touches the {fate.name}")
    if lost:
        return False, "; ".join(dict.fromkeys(lost))
    if open_questions:
        return None, "; ".join(dict.fromkeys(open_questions))
    return True, f"every segment of the remnant keeps a {word} vein with a free way; to be confirmed by a reader"


def vascular_measurements(readings: Iterable[VascularReading]) -> tuple[Measurement, ...]:
    """Readings as measurements ``remnant.{slug}.vessels.{key}``.

    Keys: portal_inflow, hepatic_outflow, intact (1 yes, 0 no, absent unknown with the reason); branches_cut; by main
    branch ``{name}.kept_percent`` of its voxels and ``{name}.tumor_distance_mm``; tumor_distance_mm, the smallest to a
    branch that serves the remnant.
    """
    rows: list[Measurement] = []
    for reading in readings:
        rows += _rows(reading)
    return tuple(rows)


def _rows(reading: VascularReading) -> list[Measurement]:
    stem, of = f"remnant.{reading.operation.slug}.vessels", reading.operation.name
    rows = []
    for item in ("portal_inflow", "hepatic_outflow"):
        rows.append(_answer(f"{stem}.{item}", reading.proposals[item], reading.reasons[item], of))
    reasons = "; ".join(f"{k.replace('_', ' ')}: {v}" for k, v in reading.reasons.items())
    rows.append(_answer(f"{stem}.intact", reading.intact, reasons, of))
    names = ", ".join(dict.fromkeys(f.name for f in reading.cut)) or "none"
    rows.append(Measurement(f"{stem}.branches_cut", float(len(reading.cut)), "1", names, of))
    served = [f for f in reading.fates if f.serves and f.tumor_mm is not None]
    if served:
        least = min(served, key=lambda f: (f.tumor_mm or 0.0, f.number))
        method = f"lesion {least.lesion} to {least.name}, between voxel faces"
        rows.append(Measurement(f"{stem}.tumor_distance_mm", least.tumor_mm, "mm", method, of))
    else:
        reason = "no lesion, or no branch serves the remnant"
        rows.append(Measurement(f"{stem}.tumor_distance_mm", None, "mm", of=of, reason=reason))
    for name in dict.fromkeys(f.name for f in reading.fates if _is_main(f.name)):
        own = [f for f in reading.fates if f.name == name]
        kept, gone = sum(f.kept_voxels for f in own), sum(f.removed_voxels for f in own)
        key = f"{stem}.{name.replace(' ', '_')}"
        if kept + gone:
            share = 100.0 * kept / (kept + gone)
            rows.append(Measurement(f"{key}.kept_percent", share, "%", f"{kept} of {kept + gone} voxels", of))
        ways = [f.tumor_mm for f in own if f.tumor_mm is not None]
        if ways:
            rows.append(Measurement(f"{key}.tumor_distance_mm", min(ways), "mm", "between voxel faces", of))
    return rows


def _is_main(name: str) -> bool:
    return name != "portal branch" and "segment" not in name and name != "hepatic vein branch"


def _answer(name: str, value: bool | None, reason: str, of: str) -> Measurement:
    if value is None:
        return Measurement(name, None, "1", of=of, reason=f"unknown: {reason}")
    return Measurement(name, float(value), "1", f"proposal, {'yes' if value else 'no'}: {reason}", of)
