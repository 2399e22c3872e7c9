"""Contrast phases of one visit's scans, judged from the organs first and the headers second."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from livervol.errors import ScanError, refusal
from livervol.kernels.beside import Beside
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.phase_mr import sample_ratios
from livervol.segment.phase_organs import sample_organs
from livervol.segment.phase_rules import (
    OrganSamples,
    arterial_timing,
    is_between,
    phase_from_delay,
    phase_from_description,
    phase_from_ratios,
    phase_from_samples,
)

__all__ = ["STATED", "PhaseReport", "recognise_phases"]

#: Words a caller may state of a scan whose phase is still to be judged.
STATED = ("arterial",)

#: Within one study: how far the aorta must fall between the arterial and the next series for its order to count.
ORDER_FALL = 1.15
#: A scan between two phases, alone and without a header that tells, is no arterial phase to judge viability in.
EARLY_PORTAL = "between late arterial and portal venous, taken as early portal venous"
_ARTERIAL = (Phase.EARLY_ARTERIAL, Phase.LATE_ARTERIAL)


@dataclass(frozen=True, eq=False)
class PhaseReport:
    """``scans`` in the order given, each with its phase; ``reasons`` one per scan; ``warnings`` a reader must see.

    ``samples`` holds the organ medians each CT scan was judged by (NaN where not found or not needed).
    """

    scans: tuple[Scan, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    samples: tuple[OrganSamples, ...] = ()

    def of(self, phase: Phase) -> Scan | None:
        """The first scan of that phase, or None."""
        return next((scan for scan in self.scans if scan.phase is phase), None)


@dataclass
class _Judged:
    phase: Phase
    reason: str
    from_header: bool = False
    doubt: str = ""


def recognise_phases(
    scans: Sequence[Scan],
    livers: Mapping[int, Segmentation] | None = None,
    *,
    stated: Mapping[int, str] | None = None,
) -> PhaseReport:
    """Contrast phase of each scan of one visit; unknown, with a reason, where the evidence does not tell.

    CT is judged by medians in HU of aorta, portal and hepatic veins, liver, spleen and kidneys; the liver of the
    study's own native series, where there is one, replaces the assumed native value. What one scan alone leaves open
    is settled by the study's order (the arterial series has the brightest aorta, the portal-venous one the brightest
    liver), then by header times, then by the series description; a header that disagrees, or that alone told, is in the
    warnings. A scan between late arterial and portal venous that nothing else settles is taken as portal venous, with a
    warning. T1 MR needs a native series of the same study.
    A scan whose phase is already set keeps it. ``livers`` maps a scan's place to its liver mask; ``stated`` maps a
    place to ``"arterial"``: arterial by the caller's word, early or late to be judged.
    Raises ``ScanError`` for an unknown word, ``GridError`` when a mask is not on its scan's grid.
    """
    livers, stated = livers or {}, stated or {}
    _check_stated(stated, len(scans))
    for place, liver in livers.items():
        liver.require_grid(scans[place].grid)
    with Beside() as beside:
        steps = [partial(_samples, scan, livers.get(i), scans, stated.get(i)) for i, scan in enumerate(scans)]
        samples = [sample() for sample in beside.share(steps)]
    native_hu = _native_liver(scans, samples)
    judged = [
        _judge(scan, samples[i], native_hu, stated.get(i)) if scan.modality == "CT" else _judge_mr(i, scans, livers)
        for i, scan in enumerate(scans)
    ]
    open_ct = [i for i, scan in enumerate(scans) if scan.modality == "CT" and scan.phase is Phase.UNKNOWN]
    _settle_by_order([i for i in open_ct if i not in stated], scans, samples, judged, native_hu)
    for i in open_ct:
        if judged[i].phase is Phase.UNKNOWN and i not in stated:
            judged[i] = _from_header(scans[i], judged[i])
        if judged[i].phase is Phase.UNKNOWN and i not in stated and is_between(samples[i], native_hu):
            judged[i] = _Judged(Phase.PORTAL_VENOUS, f"{EARLY_PORTAL}; {judged[i].reason}", doubt=EARLY_PORTAL)
    return PhaseReport(
        tuple(scan.with_phase(j.phase) for scan, j in zip(scans, judged, strict=True)),
        tuple(j.reason for j in judged),
        tuple(_warnings(scans, samples, judged, stated)),
        tuple(samples),
    )


def _check_stated(stated: Mapping[int, str], count: int) -> None:
    for place, word in stated.items():
        if word not in STATED or not 0 <= place < count:
            raise ScanError(
                refusal(
                    "stated phase is not known",
                    expected=f"{' or '.join(STATED)} for scans 0 to {count - 1}",
                    got=f"{word!r} for scan {place}",
                )
            )


def _samples(scan: Scan, liver: Segmentation | None, scans: Sequence[Scan], word: str | None) -> OrganSamples:
    # a named phase needs no measuring, except the native series that sets the others' baseline
    others_open = any(s.phase is Phase.UNKNOWN and s.modality == "CT" for s in scans)
    needed = scan.phase is Phase.UNKNOWN or word is not None or (scan.phase is Phase.NATIVE and others_open)
    return sample_organs(scan, liver) if scan.modality == "CT" and needed else OrganSamples()


def _native_liver(scans: Sequence[Scan], samples: Sequence[OrganSamples]) -> float | None:
    for scan, sample in zip(scans, samples, strict=True):
        is_native = scan.phase is Phase.NATIVE
        if scan.phase is Phase.UNKNOWN and scan.modality == "CT":
            is_native = phase_from_samples(sample)[0] is Phase.NATIVE
        if is_native and not math.isnan(sample.liver):
            return sample.liver
    return None


def _judge(scan: Scan, sample: OrganSamples, native_hu: float | None, word: str | None) -> _Judged:
    if scan.phase is not Phase.UNKNOWN:
        return _Judged(scan.phase, "given")
    if word == "arterial":
        phase, why = arterial_timing(sample, native_hu)
        if phase is Phase.UNKNOWN:
            return _Judged(Phase.LATE_ARTERIAL, f"given as arterial; taken as late arterial because {why}")
        return _Judged(phase, f"given as arterial; {why} ({sample.describe()})")
    phase, why = phase_from_samples(sample, native_hu)
    return _Judged(phase, f"{why} ({sample.describe()})")


def _judge_mr(place: int, scans: Sequence[Scan], livers: Mapping[int, Segmentation]) -> _Judged:
    scan = scans[place]
    if scan.phase is not Phase.UNKNOWN:
        return _Judged(scan.phase, "given")
    if scan.sequence != "T1":
        return _Judged(Phase.UNKNOWN, f"{scan.sequence} MR shows no contrast phase")
    native = next((i for i, s in enumerate(scans) if s.sequence == "T1" and s.phase is Phase.NATIVE), None)
    if native is None:
        return _Judged(Phase.UNKNOWN, "MR signal has no absolute unit and the visit has no native T1 series")
    if not scan.grid.matches(scans[native].grid):
        return _Judged(Phase.UNKNOWN, "the native T1 series lies on another grid, so ratios would mix tissues")
    ratios = sample_ratios(scan, scans[native], livers.get(place, livers.get(native)))
    phase, why = phase_from_ratios(ratios)
    return _Judged(phase, f"{why} (aorta {ratios.aorta:.1f} times native)")


def _settle_by_order(
    places: Sequence[int],
    scans: Sequence[Scan],
    samples: Sequence[OrganSamples],
    judged: list[_Judged],
    native_hu: float | None,
) -> None:
    """Within one study: brightest aorta is arterial, brightest liver portal venous, a later paler one delayed."""
    enhanced = [i for i in places if judged[i].phase is not Phase.NATIVE and not math.isnan(samples[i].aorta)]
    if len(enhanced) < 2:
        return
    first = max(enhanced, key=lambda i: samples[i].aorta)
    rest = [i for i in enhanced if i != first]
    if samples[first].aorta < ORDER_FALL * max(samples[i].aorta for i in rest):
        return
    if judged[first].phase is Phase.UNKNOWN:
        phase, why = arterial_timing(samples[first], native_hu)
        judged[first] = _Judged(phase, f"brightest aorta of the study; {why} ({samples[first].describe()})")
    with_liver = [i for i in rest if not math.isnan(samples[i].liver) and judged[i].phase not in _ARTERIAL]
    if not with_liver:
        return
    portal = max(with_liver, key=lambda i: samples[i].liver)
    if judged[portal].phase is Phase.UNKNOWN:
        judged[portal] = _Judged(
            Phase.PORTAL_VENOUS, f"brightest liver after the arterial series ({samples[portal].describe()})"
        )
    for i in with_liver:
        paler = samples[i].liver < samples[portal].liver and samples[i].aorta < samples[portal].aorta
        open_or_same = judged[i].phase in (Phase.UNKNOWN, Phase.PORTAL_VENOUS)
        if i != portal and paler and open_or_same and _is_later(scans[i], scans[portal]):
            judged[i] = _Judged(
                Phase.DELAYED, f"taken after the portal-venous series and paler ({samples[i].describe()})"
            )


def _order(scan: Scan) -> tuple[float, float]:
    def number(key: str) -> float:
        text = scan.source.hints.get(key, "")
        return float(text) if text.replace(".", "", 1).isdigit() else math.nan

    return number("acquisition_time"), number("acquisition_number")


def _is_later(a: Scan, b: Scan) -> bool:
    for mine, other in zip(_order(a), _order(b), strict=True):
        if not math.isnan(mine) and not math.isnan(other) and mine != other:
            return mine > other
    return True


def _from_header(scan: Scan, before: _Judged) -> _Judged:
    for find in (phase_from_delay, phase_from_description):
        phase, why = find(scan.source.hints)
        if phase is not Phase.UNKNOWN:
            return _Judged(phase, f"{why}; the image alone did not tell: {before.reason}", from_header=True)
    return before


def _warnings(
    scans: Sequence[Scan], samples: Sequence[OrganSamples], judged: Sequence[_Judged], stated: Mapping[int, str]
) -> list[str]:
    found = []
    for i, (scan, sample, j) in enumerate(zip(scans, samples, judged, strict=True)):
        where = f"scan {i + 1}"
        if j.phase is Phase.UNKNOWN:
            found.append(f"{where}: contrast phase unknown: {j.reason}")
        elif scan.phase is Phase.NATIVE and sample.aorta >= 130:
            found.append(f"{where}: given as native, but the aorta measures {sample.aorta:.0f} HU")
        elif i in stated and "taken as late arterial" in j.reason:
            found.append(f"{where}: {j.reason}")
        if j.doubt:
            found.append(f"{where}: {j.doubt}; give it as arterial=PATH if it was taken as the arterial series")
        found += [f"{where}: {doubt}" for doubt in _header_doubts(scan, j)]
    arterial = [i for i, j in enumerate(judged) if j.phase in _ARTERIAL]
    portal = [i for i, j in enumerate(judged) if j.phase is Phase.PORTAL_VENOUS]
    for a in arterial:
        for p in portal:
            if _known_order(scans[a], scans[p]) and _is_later(scans[a], scans[p]):
                found.append(f"scan {a + 1} looks arterial but was taken after scan {p + 1}, which looks portal venous")
    return found


def _header_doubts(scan: Scan, judged: _Judged) -> list[str]:
    """What the header says against the phase, and that nothing but the header told it."""
    if judged.phase is Phase.UNKNOWN or scan.modality != "CT":
        return []
    taken = judged.phase.value.replace("_", " ")
    if judged.from_header:
        return [f"taken as {taken} by the header alone: {judged.reason}"]
    doubts = []
    for find in (phase_from_delay, phase_from_description):
        phase, why = find(scan.source.hints)
        if phase not in (Phase.UNKNOWN, judged.phase):
            said = phase.value.replace("_", " ")
            doubts.append(f"taken as {taken} ({judged.reason}), but the header says {said}: {why}")
    return doubts


def _known_order(a: Scan, b: Scan) -> bool:
    return any(not math.isnan(m) and not math.isnan(o) for m, o in zip(_order(a), _order(b), strict=True))
