"""The remnant's numbers kept up to date: voxels by segment and lesion, and gaps, recounted only where a stroke was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.grid import Grid
from livervol.kernels.gaps import LabelRuns, label_runs
from livervol.kernels.tally import overlap_counts
from livervol.measure.remnant import Counted, lesion_gaps, remnants_of
from livervol.measure.remnant_rows import RemnantSettings, remnant_measurements
from livervol.measure.standard_volume import PatientSize
from livervol.measure.volume import Box
from livervol.records import Measurement

__all__ = ["LiveRemnants"]

Labels = NDArray[Any]


class LiveRemnants:
    """What ``measure_remnants`` counts, for masks that change in place; equal to it bit for bit.

    Before a change ``leave`` its box, after it ``enter``; ``follow`` with the lesions' boxes before ``measurements``.
    """

    def __init__(self, masks: Mapping[str, Labels], grid: Grid) -> None:
        self._masks, self._grid = masks, grid
        self._joint = np.zeros((1, 1), np.int64)
        self._gaps: dict[int, NDArray[np.float64]] = {}
        self._runs: LabelRuns | None = None
        self._changed: list[Box] = []
        self._stale: set[int] | None = None  # None: every lesion
        self.enter(tuple(slice(0, n) for n in grid.shape_zyx), parts=True)  # type: ignore[arg-type]

    def leave(self, box: Box) -> None:
        """Take the voxels of a box out of the count."""
        self._add(box, -1)

    def enter(self, box: Box, *, parts: bool, lesions: Sequence[int] = ()) -> None:
        """Count the voxels of a box; ``parts`` when liver or segments changed in it, ``lesions`` those that did."""
        self._add(box, 1)
        if parts:
            self._changed.append(box)
            self._stale = None
        elif self._stale is not None:
            self._stale |= set(lesions)

    def _add(self, box: Box, sign: int) -> None:
        inside = self._masks["liver"][box] != 0
        if not inside.any():
            return
        parts = np.where(inside, self._masks["segments"][box], 0)
        tumor = np.where(inside, self._masks["lesions"][box], 0)
        joint = overlap_counts(parts, tumor)
        joint[0, 0] -= inside.size - int(np.count_nonzero(inside))
        rows, columns = (max(a, b) for a, b in zip(joint.shape, self._joint.shape, strict=True))
        grown = np.zeros((rows, columns), np.int64)
        grown[: self._joint.shape[0], : self._joint.shape[1]] = self._joint
        grown[: joint.shape[0], : joint.shape[1]] += sign * joint
        self._joint = grown

    def measurements(
        self, resections: Sequence[str], patient: PatientSize | None, elsewhere: Sequence[int] = ()
    ) -> tuple[Measurement, ...]:
        """The remnant of each resection; no operation on the liver removes the lesions that lie ``elsewhere``."""
        present = tuple(int(v) for v in np.flatnonzero(self._joint.sum(axis=1)) if v)
        joint = self._joint.copy()
        for number in elsewhere:
            if number < joint.shape[1]:
                joint[:, 0] += joint[:, number]
                joint[:, number] = 0
        gaps = {n: self._gaps[n] for n in sorted(self._gaps) if n not in elsewhere}
        found = remnants_of(Counted(present, joint, gaps), resections, self._grid.voxel_ml)
        return remnant_measurements(found, patient, RemnantSettings(), lesions_known=True)

    def follow(self, boxes: Mapping[int, Box], liver_box: Box) -> None:
        """Measure the gaps that changes touched; ``boxes`` of the lesions present, ``liver_box`` around the liver."""
        runs = self._runs = self._current_runs(liver_box)
        in_liver = {int(n) for n in np.flatnonzero(self._joint.sum(axis=0)) if n}
        stale = in_liver if self._stale is None else self._stale
        for number in sorted(stale | (set(self._gaps) - in_liver)):
            if number not in in_liver:
                self._gaps.pop(number, None)
                continue
            box = boxes[number]
            own = (self._masks["lesions"][box] == number) & (self._masks["liver"][box] != 0)
            self._gaps[number] = lesion_gaps(runs, own, [s.start for s in box], self._grid.spacing_mm)
        self._stale = set()

    def _current_runs(self, liver_box: Box) -> LabelRuns:
        """Runs of the segments in the liver; after a stroke only its rows are walked again. Their order is free."""
        if self._runs is None:
            self._changed.clear()
            return self._runs_in(liver_box)
        runs = self._runs
        for box in self._changed:
            z, y, _ = box
            rows = (z, y, liver_box[2])
            at = runs.place
            stays = (at[:, 0] < z.start) | (at[:, 0] >= z.stop) | (at[:, 1] < y.start) | (at[:, 1] >= y.stop)
            new = self._runs_in(rows)
            runs = LabelRuns(np.concatenate([at[stays], new.place]), np.concatenate([runs.value[stays], new.value]))
        self._changed.clear()
        return runs

    def _runs_in(self, box: Box) -> LabelRuns:
        start = np.array([s.start for s in box], np.int32)
        found = label_runs(self._masks["segments"][box], self._masks["liver"][box])
        return LabelRuns(found.place + start[[0, 1, 2, 2]], found.value)
