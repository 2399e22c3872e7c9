"""Numbers that follow the reader's strokes: only what a stroke touched is measured again.

``LiveMeasurements`` holds counts, boxes and lesions already measured; ``leave`` and ``enter`` take in a step before and
after it is applied, ``measured`` gives what ``measure_visit`` and ``measure_remnants`` would give on the whole masks,
bit for bit, because the same functions put the same parts together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.edit.change import Change, Step
from livervol.grid import Grid
from livervol.kernels.tally import label_boxes, label_counts
from livervol.measure.diameter import Rules
from livervol.measure.lesions import lesion_body, measure_lesion
from livervol.measure.standard_volume import PatientSize
from livervol.measure.visit import VisitMeasurements, VisitParts, at_sites, liver_warnings, summed
from livervol.measure.volume import Box
from livervol.records import Lesion, Measurement
from livervol.workflows.reading_remnants import LiveRemnants

__all__ = ["GIVEN", "LiveMeasurements"]

#: What drew the masks, as ``livervol measure`` records it for masks it was given.
GIVEN = "given"

Labels = NDArray[Any]

#: Masks that the remnant's numbers are counted from.
_COUNTED = ("liver", "segments", "lesions")


class LiveMeasurements:
    """Measurements of live masks (uint16, [z, y, x]) on ``grid``. The masks are the caller's and change in place."""

    def __init__(self, masks: Mapping[str, Labels], grid: Grid, patient: PatientSize | None = None) -> None:
        self.masks, self.grid, self.patient = masks, grid, patient
        self.rules = Rules()
        self._liver_voxels = int(np.count_nonzero(masks["liver"]))
        self._segment_voxels: dict[int, int] = {}
        self._boxes: dict[int, Box] = {}
        self._lesions: dict[int, Lesion] = {}
        self._inside: dict[int, tuple[int, int]] = {}
        self._stray: dict[int, int] = {}
        self._dirty: set[int] = set()
        self._uncounted: set[int] = set()
        self._liver_warnings: tuple[str, ...] | None = None
        self._liver_box = _box_around(masks["liver"])
        self._remnants: LiveRemnants | None = None
        self._count_all()

    def _count_all(self) -> None:
        if "segments" in self.masks:
            counts = label_counts(self.masks["segments"])
            self._segment_voxels = {int(v): int(counts[v]) for v in np.flatnonzero(counts) if v}
        boxes = label_boxes(self.masks["lesions"])
        for value in np.flatnonzero(boxes[:, 0, 1]):
            if value:
                (z0, z1), (y0, y1), (x0, x1) = boxes[value].tolist()
                self._boxes[int(value)] = (slice(z0, z1), slice(y0, y1), slice(x0, x1))
        self._dirty = set(self._boxes)
        self._uncounted = set(self._boxes)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Lesion numbers present, increasing."""
        return tuple(sorted(self._boxes))

    def box_of(self, number: int) -> Box | None:
        """The tight box of a lesion; None when it has no voxel."""
        return self._boxes.get(number)

    def leave(self, step: Step) -> None:
        """Get ready for a step that is about to be applied."""
        if self._remnants is not None:
            for box in _apart([c.box for c in step.changes if c.mask in _COUNTED]):
                self._remnants.leave(box)

    def enter(self, step: Step) -> None:
        """Take in a step that has just been applied."""
        for change in step.changes:
            if change.mask in self.masks:
                self._touch(change)
        if self._remnants is None:
            return
        changes = [c for c in step.changes if c.mask in _COUNTED]
        parts = any(c.mask != "lesions" for c in changes)
        lesions = {n for c in changes if c.mask == "lesions" for n in c.values}
        for box in _apart([c.box for c in changes]):
            self._remnants.enter(box, parts=parts, lesions=sorted(lesions))

    def stay(self, step: Step) -> None:
        """Take back ``leave`` for a step that was refused."""
        if self._remnants is not None:
            for box in _apart([c.box for c in step.changes if c.mask in _COUNTED]):
                self._remnants.enter(box, parts=False)

    def _touch(self, change: Change) -> None:
        box = change.box
        if box is None:
            return
        if change.mask == "liver":
            was, now = change.before != 0, change.after != 0
            self._liver_voxels += int(change.lengths[now & ~was].sum()) - int(change.lengths[was & ~now].sum())
            self._liver_warnings = None
            self._liver_box = _joined(self._liver_box, box)
            self._uncounted |= {n for n, own in self._boxes.items() if _meet(own, box)}
        elif change.mask == "segments":
            for values, sign in ((change.before, -1), (change.after, 1)):
                for value in np.unique(values[values != 0]).tolist():
                    count = self._segment_voxels.get(value, 0) + sign * int(change.lengths[values == value].sum())
                    self._segment_voxels[value] = count
            self._dirty |= {n for n, own in self._boxes.items() if _meet(own, box)}
        elif change.mask == "lesions":
            for number in change.values:
                self._rebox(number, box)
                self._dirty.add(number)
                self._uncounted.add(number)
        elif change.mask in ("viable", "uncertain"):
            self._dirty |= set(change.values)

    def touch_all(self) -> None:
        """Take in that a mask has come or gone."""
        self._dirty |= set(self._boxes)

    def _rebox(self, number: int, box: Box) -> None:
        old = self._boxes.get(number)
        wide = box if old is None else _joined(old, box)
        mask = self.masks["lesions"][wide] == number
        found = label_boxes(mask.view(np.uint8))
        if len(found) < 2 or found[1, 0, 1] == 0:
            self._boxes.pop(number, None)
            return
        z, y, x = (slice(w.start + int(a), w.start + int(b)) for w, (a, b) in zip(wide, found[1].tolist(), strict=True))
        self._boxes[number] = (z, y, x)

    def measured(
        self, resections: Sequence[str], sites: Mapping[int, str] | None = None
    ) -> tuple[VisitMeasurements, tuple[str, ...]]:
        """All numbers of the visit as they are now, and sentences about broken nesting.

        ``sites`` of lesions that do not lie in the liver; those of lesions without a voxel do not matter.
        """
        self._measure_touched()
        lesions = tuple(self._lesions[n] for n in sorted(self._boxes))
        total_ml = self._liver_voxels * self.grid.voxel_ml
        if self._liver_warnings is None:
            found = liver_warnings(self.masks["liver"], self.grid.voxel_ml, total_ml, self._liver_box)
            self._liver_warnings = tuple(found)
        segments = None
        if "segments" in self.masks:
            segments = {v: n for v, n in sorted(self._segment_voxels.items()) if n}
        parts = VisitParts(
            total_ml=total_ml,
            voxel_ml=self.grid.voxel_ml,
            liver_warnings=self._liver_warnings,
            lesions=lesions,
            judged="viable" in self.masks,
            in_liver=tuple((n, *self._inside[n]) for n in sorted(self._boxes)),
            segment_voxels=segments,
            segments_by=GIVEN,
        )
        present = {n: site for n, site in (sites or {}).items() if n in self._boxes}
        measured = summed(at_sites(parts, present))
        if resections and "segments" in self.masks and self._liver_voxels:
            measured = replace(
                measured, measurements=(*measured.measurements, *self._remnant_rows(resections, present))
            )
        problems = tuple(
            f"lesion {n}: {count} viable voxels lie outside it" for n, count in sorted(self._stray.items()) if count
        )
        return measured, problems

    def _measure_touched(self) -> None:
        for number in self._dirty | self._uncounted:
            if number not in self._boxes:
                self._lesions.pop(number, None)
                self._inside.pop(number, None)
                self._stray.pop(number, None)
        for number in sorted(self._uncounted & set(self._boxes)):
            box = self._boxes[number]
            own = self.masks["lesions"][box] == number
            inside = int(np.count_nonzero(own & (self.masks["liver"][box] != 0)))
            self._inside[number] = (int(np.count_nonzero(own)), inside)
        for number in sorted(self._dirty & set(self._boxes)):
            self._measure_one(number, self._boxes[number])
        self._dirty.clear()
        self._uncounted.clear()

    def _measure_one(self, number: int, box: Box) -> None:
        own = self.masks["lesions"][box] == number
        viable = self.masks["viable"][box] == number if "viable" in self.masks else None
        if viable is not None:
            self._stray[number] = int(np.count_nonzero(viable & ~own))
            viable &= own
        segments = self.masks["segments"][box] if "segments" in self.masks else None
        body = lesion_body(own, self.grid, box)
        self._lesions[number] = measure_lesion(number, body, (viable, None), segments, self.rules)

    def _remnant_rows(self, resections: Sequence[str], sites: Mapping[int, str]) -> Sequence[Measurement]:
        if self._remnants is None:
            self._remnants = LiveRemnants(self.masks, self.grid)
        elsewhere = sorted(n for n, site in sites.items() if site != "liver")
        self._remnants.follow(self._boxes, self._liver_box)
        return self._remnants.measurements(resections, self.patient, elsewhere)


def _meet(a: Box, b: Box) -> bool:
    return all(p.start < q.stop and q.start < p.stop for p, q in zip(a, b, strict=True))


def _apart(boxes: Sequence[Box | None]) -> list[Box]:
    """One box around all of them, so that no voxel is counted twice."""
    known = [b for b in boxes if b is not None]
    return [reduce(_joined, known)] if known else []


def _box_around(mask: Labels) -> Box:
    boxes = label_boxes((mask != 0).view(np.uint8))
    z, y, x = (slice(int(a), int(b)) for a, b in (boxes[1].tolist() if len(boxes) > 1 else [(0, 0)] * 3))
    return (z, y, x)


def _joined(a: Box, b: Box) -> Box:
    z, y, x = (slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return (z, y, x)
