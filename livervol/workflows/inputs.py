"""INPUT words to the scans of one visit: a DICOM folder, ``phase=PATH`` pairs or one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from livervol.errors import ScanError, refusal
from livervol.io.dicom import read_dicom
from livervol.io.images import read_image
from livervol.scan import Phase, Scan

__all__ = ["STATED_ARTERIAL", "VisitScans", "choose_reference", "one_per_phase", "read_visit"]

#: ``arterial=PATH`` says arterial and leaves early or late to be judged.
STATED_ARTERIAL = "arterial"

#: Volumes are measured where the liver stands out best: portal venous first (clinical volumetry convention).
_CT_ORDER = (
    Phase.PORTAL_VENOUS,
    Phase.DELAYED,
    Phase.LATE_ARTERIAL,
    Phase.EARLY_ARTERIAL,
    Phase.UNKNOWN,
    Phase.NATIVE,
)
_MR_ORDER = (
    Phase.HEPATOBILIARY,
    Phase.PORTAL_VENOUS,
    Phase.TRANSITIONAL,
    Phase.DELAYED,
    Phase.LATE_ARTERIAL,
    Phase.EARLY_ARTERIAL,
    Phase.UNKNOWN,
    Phase.NATIVE,
)


@dataclass(frozen=True, eq=False)
class VisitScans:
    """The volumes of one visit; ``stated`` maps positions in ``scans`` to ``arterial`` where the timing is open."""

    scans: tuple[Scan, ...]
    stated: dict[int, str] = field(default_factory=dict)


def _split(word: str) -> tuple[str | None, Path]:
    key, equals, rest = word.partition("=")
    if not equals or Path(word).exists():
        return None, Path(word)
    known = [STATED_ARTERIAL, *(p.value for p in Phase)]
    if key not in known:
        raise ScanError(refusal("phase is not known", expected=f"one of {', '.join(known)}", got=repr(key), where=word))
    return key, Path(rest)


def _read(path: Path) -> list[Scan]:
    if path.is_dir() or path.suffix.lower() in (".dcm", ".ima", ""):
        return read_dicom(path)
    return [read_image(path)]


def read_visit(inputs: Sequence[str | Path]) -> VisitScans:
    """All volumes named by the INPUT words; phases stay unknown unless a word states them.

    Raises ``ScanError`` for an unknown phase name, a phase stated twice, a pair whose path holds several volumes,
    two study dates or two modalities.
    """
    scans: list[Scan] = []
    stated: dict[int, str] = {}
    seen: set[str] = set()
    for word in inputs:
        key, path = _split(str(word))
        found = _read(path)
        if key is None:
            scans += found
            continue
        if key in seen:
            raise ScanError(refusal("phase given twice", expected="each phase once", got=key, where=str(word)))
        seen.add(key)
        if len(found) != 1:
            raise ScanError(
                refusal(
                    "several volumes for one phase",
                    expected="one volume",
                    got=f"{len(found)}",
                    where=str(path),
                    do="Give the folder without a phase name, or one volume's folder.",
                )
            )
        if key == STATED_ARTERIAL:
            stated[len(scans)] = STATED_ARTERIAL
            scans += found
        else:
            scans.append(found[0].with_phase(Phase(key)))
    _check_one_visit(scans)
    return VisitScans(tuple(scans), stated)


def _check_one_visit(scans: Sequence[Scan]) -> None:
    dates = sorted({scan.date for scan in scans if scan.date})
    if len(dates) > 1:
        raise ScanError(
            refusal(
                "two study dates in one visit",
                expected="one date",
                got=", ".join(dates),
                do="Run each visit by itself.",
            )
        )
    modalities = sorted({scan.modality for scan in scans})
    if len(modalities) > 1:
        raise ScanError(
            refusal(
                "two modalities in one visit",
                expected="CT alone or MR alone",
                got=" and ".join(modalities),
                do="Run each modality by itself.",
            )
        )


def _field_ml(scan: Scan) -> float:
    z, y, x = scan.grid.shape_zyx
    return scan.grid.voxel_ml * z * y * x


def one_per_phase(scans: Sequence[Scan]) -> tuple[dict[Phase, Scan], list[str]]:
    """The scan to use for each phase (thinnest slices, then the larger field) and a warning for each left aside."""
    chosen: dict[Phase, Scan] = {}
    warnings = []
    for scan in sorted(scans, key=lambda s: (s.grid.spacing_mm[0], -_field_ml(s))):
        if scan.phase not in chosen:
            chosen[scan.phase] = scan
            continue
        kept = chosen[scan.phase].grid.describe()
        phase = scan.phase.value.replace("_", " ")
        warnings.append(f"two {phase} volumes: {kept} is used, {scan.grid.describe()} is not.")
    return chosen, warnings


def choose_reference(phases: dict[Phase, Scan]) -> Phase:
    """The phase whose grid the masks are drawn on."""
    modality = next(iter(phases.values())).modality
    order = _CT_ORDER if modality == "CT" else _MR_ORDER
    return next(phase for phase in order if phase in phases)
