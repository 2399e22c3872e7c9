"""Viability of lesions that a reader adds: judged by what judges the machine's, marked as computed, one step.

    with reading.still:
        task = viability_task(reading, [3])      # copies what is judged
    judged = task.run()                          # seconds, in any thread
    apply_viability(reading, judged)             # in the thread that edits; None where a lesion has changed since

``lesion.N.viability`` says how a lesion's viable part came about: ``waiting`` (added, not judged yet), ``computed``, or
``corrected`` (computed, then drawn on). Lesions without the key have the machine's part, or the reader's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.edit.change import Box, Change, Setting, Step
from livervol.errors import LivervolError, refusal
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.viability import ViabilityResult, segment_viability
from livervol.workflows.reading import Reading

__all__ = [
    "JUDGED",
    "JudgedLesion",
    "JudgedViability",
    "ViabilityTask",
    "apply_viability",
    "judge_viability",
    "viability_task",
    "waiting_lesions",
]

#: The tool that the journal names for computed viability.
JUDGED = "viability, computed"

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class JudgedLesion:
    """One lesion in its tight ``box``: its ``mask`` as it was judged, its ``viable`` and its ``uncertain`` part, and
    whether it was judged as one outside the liver.
    """

    number: int
    box: Box
    mask: Bools
    viable: Bools
    uncertain: Bools
    extrahepatic: bool = False


@dataclass(frozen=True, eq=False)
class JudgedViability:
    """What a task found; ``evaluable``, ``reason`` and ``method`` as ``segment_viability`` says them."""

    lesions: tuple[JudgedLesion, ...]
    evaluable: bool
    reason: str
    method: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ViabilityTask:
    """Lesions to judge on masks of their own; ``scan`` gives a phase's scan by name, as the visit's ``document`` states
    it. The parenchyma compared with is the visit's: what the main job would take for these masks. ``extrahepatic`` are
    the numbers of lesions whose site is not the liver.
    """

    boxes: Mapping[int, Box]
    liver: Segmentation
    lesions: Segmentation
    phases: Sequence[str]
    scan: Callable[[str], Scan]
    document: Mapping[str, Any] = field(default_factory=dict)
    extrahepatic: frozenset[int] = frozenset()

    def run(self) -> JudgedViability:
        """Judge; errors as ``segment_viability``."""
        quality = [str(words) for words in self.document.get("quality", ())]
        settings = self.document.get("provenance", {}).get("settings", {})
        found = segment_viability(
            {Phase(name): self._stated(name) for name in self.phases},
            self.liver,
            self.lesions,
            accept_early_arterial=bool(settings.get("accept_early_arterial", False)),
            subtract_native=not any(q.startswith("native: ") and q.endswith("not subtracted") for q in quality),
            extrahepatic=sorted(self.extrahepatic),
        )
        lesions = tuple(self._one(number, found) for number in self.boxes)
        return JudgedViability(lesions, found.mrecist_evaluable, found.reason, found.method, found.warnings)

    def _stated(self, name: str) -> Scan:
        """The scan as the visit knows it: a file of voxels tells neither modality nor sequence."""
        scan = self.scan(name)
        rows = self.document.get("phases", ())
        row: Mapping[str, Any] = next((r for r in rows if r.get("phase") == name and r.get("used", True)), {})
        return replace(
            scan,
            modality=str(row.get("modality", scan.modality)),
            sequence=str(row.get("sequence", scan.sequence)),
            phase=Phase(name),
        )

    def _one(self, number: int, found: ViabilityResult) -> JudgedLesion:
        box = self.boxes[number]
        mask, viable, uncertain = (part.labels[box] == number for part in (self.lesions, found.viable, found.uncertain))
        return JudgedLesion(number, box, mask, viable, uncertain, number in self.extrahepatic)


def waiting_lesions(reading: Reading) -> tuple[int, ...]:
    """Lesions whose viability is still to be judged."""
    return tuple(n for n in reading.lesion_numbers if reading.settings.get(f"lesion.{n}.viability") == "waiting")


def viability_task(reading: Reading, numbers: Sequence[int]) -> ViabilityTask:
    """What judging these lesions takes, copied; every lesion where the visit's viability has never been judged.

    In another thread than the one that edits: while holding ``reading.still``.

    Without that, judging one lesion would make the others look dead. Raises ``LivervolError`` for a lesion that is not
    there and for a visit without scans.
    """
    if not reading.phases:
        raise LivervolError(
            refusal("viability cannot be judged", expected="the visit's scans", got="masks alone",
                    do="Open the visit with its scans, or draw the viable part.")
        )  # fmt: skip
    chosen = numbers if "viable" in reading.masks else reading.lesion_numbers
    boxes = {}
    for number in dict.fromkeys([*numbers, *chosen]):
        box = reading.box_of(number)
        if box is None:
            known = ", ".join(map(str, reading.lesion_numbers)) or "none"
            raise LivervolError(refusal("lesion is not there", expected=known, got=str(number)))
        boxes[number] = box
    small = max(reading.lesion_numbers, default=0) <= 255
    lesions = reading.masks["lesions"].astype(np.uint8 if small else np.uint16)
    liver = (reading.masks["liver"] != 0).astype(np.uint8)
    return ViabilityTask(
        boxes,
        Segmentation(liver, reading.grid, {1: "liver"}),
        Segmentation(lesions, reading.grid, {n: f"lesion {n}" for n in reading.lesion_numbers}),
        reading.phases,
        reading.scan,
        reading.files.document,
        reading.extrahepatic,
    )


def apply_viability(reading: Reading, judged: JudgedViability) -> Step | None:
    """Write what was judged as one step; None, and nothing is done, when one of the lesions, or its site, has changed
    since.
    """
    lesions, outside = reading.masks["lesions"], reading.extrahepatic
    for one in judged.lesions:
        if reading.box_of(one.number) != one.box or not np.array_equal(lesions[one.box] == one.number, one.mask):
            return None
        if one.extrahepatic != (one.number in outside):
            return None
    if not judged.lesions:
        return None
    changes = [_change(reading, "viable", [(one, one.viable) for one in judged.lesions])]
    if "uncertain" in reading.masks or any(one.uncertain.any() for one in judged.lesions):
        changes.append(_change(reading, "uncertain", [(one, one.uncertain) for one in judged.lesions]))
    values: dict[str, Any] = {f"lesion.{one.number}.viability": "computed" for one in judged.lesions}
    values["viability"] = {
        "evaluable": judged.evaluable,
        "reason": judged.reason,
        "method": judged.method,
        "warnings": list(judged.warnings),
    }
    if "viable" not in reading.masks:
        # judged, even where nothing in it lives
        values["mask.viable"] = True
    settings = (Setting(key, reading.settings.get(key), value) for key, value in values.items())
    return reading.apply(Step(JUDGED, tuple(changes), tuple(s for s in settings if s.before != s.after)))


def judge_viability(reading: Reading, numbers: Sequence[int] | None = None) -> Step | None:
    """Judge lesions (None: those that wait) here and now, as one step; None when there is nothing to judge."""
    chosen = waiting_lesions(reading) if numbers is None else tuple(numbers)
    return apply_viability(reading, viability_task(reading, chosen).run()) if chosen else None


def _change(reading: Reading, mask: str, parts: Sequence[tuple[JudgedLesion, Bools]]) -> Change:
    """Lesions' voxels of one mask set where the part is and cleared elsewhere, as one change of the box around all."""
    starts = np.min([[s.start for s in one.box] for one, _ in parts], axis=0)
    stops = np.max([[s.stop for s in one.box] for one, _ in parts], axis=0)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))
    before = reading.canvas(mask).labels[z, y, x]
    after = before.copy()
    for one, part in parts:
        inner = tuple(slice(s.start - int(a), s.stop - int(a)) for s, a in zip(one.box, starts, strict=True))
        after[inner][one.mask] = np.where(part[one.mask], np.uint16(one.number), np.uint16(0))
    depth, height, width = reading.grid.shape_zyx
    return Change.between(before, after, mask, JUDGED, ((depth, height, width), (z.start, y.start, x.start)))
