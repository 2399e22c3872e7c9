"""The same lesion across visits: numbers stay; new, vanished, reappeared, split and merged lesions are told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from livervol.scan import Segmentation

__all__ = [
    "MATCH_DISTANCE_MM",
    "PART_SHARE",
    "TRACKS",
    "EarlierVisit",
    "Pairing",
    "Track",
    "pair_lesions",
    "renumbered",
]

#: Two outlines are candidates for one lesion when their centres lie within this distance or within the sum of their
#: equivalent radii, whichever is larger: breathing and positioning move a liver by 10 to 15 mm between visits after
#: its centre has been lined up.
MATCH_DISTANCE_MM = 15.0

#: A match is doubtful when another candidate is less than this factor farther away than the chosen one.
AMBIGUITY_RATIO = 1.5

#: An unmatched outline that lies by at least this share inside another visit's lesion is a part of that lesion (split),
#: or has been swallowed by it (merged).
PART_SHARE = 0.5

#: What can have become of a lesion at a visit.
TRACKS = ("same", "ambiguous", "reappeared", "split", "new", "merged", "vanished")

#: Enough points of an outline to know its overlap to about 1 %.
_POINTS = 4000

Points = NDArray[np.float64]
PointMap = Callable[[Points], Points]


class EarlierVisit(NamedTuple):
    """A visit before: its lesions under lasting numbers, its liver, and where a later point lies in it.

    ``from_later`` maps LPS points (n, 3) in mm of the visit that is being paired to this visit; None lines up the
    centres of the two livers.
    """

    lesions: Segmentation
    liver: Segmentation
    from_later: PointMap | None = None


@dataclass(frozen=True)
class Track:
    """What became of lesion ``number``: one of ``TRACKS``; ``others`` are the lesions it split from, merged into, or,
    when the match is ambiguous, could be mistaken for."""

    number: int
    state: str
    others: tuple[int, ...] = ()


@dataclass(frozen=True)
class Pairing:
    """``numbers`` maps each later lesion to its lasting number; ``tracks`` say what became of every lesion known so
    far; ``warnings`` name what a reader should confirm."""

    numbers: Mapping[int, int]
    tracks: tuple[Track, ...] = field(default=())
    warnings: tuple[str, ...] = field(default=())

    def _in_state(self, *states: str) -> tuple[int, ...]:
        return tuple(track.number for track in self.tracks if track.state in states)

    @property
    def new(self) -> tuple[int, ...]:
        """Numbers given for the first time, parts of split lesions included."""
        return self._in_state("new", "split")

    @property
    def vanished(self) -> tuple[int, ...]:
        """Lesions that are not there and have not merged into another."""
        return self._in_state("vanished")

    def part_of(self, number: int) -> int | None:
        """The lesion that ``number`` split from, or None."""
        return next((t.others[0] for t in self.tracks if t.number == number and t.state == "split"), None)

    def merged_into(self, number: int) -> int | None:
        """The lesion that has swallowed ``number``, or None."""
        return next((t.others[0] for t in self.tracks if t.number == number and t.state == "merged"), None)


@dataclass(frozen=True, eq=False)
class _Body:
    """One outline: its value, LPS points (n, 3) in mm, centre, volume."""

    value: int
    points: Points
    volume_mm3: float

    @property
    def centre(self) -> Points:
        middle: Points = self.points.mean(axis=0)
        return middle

    @property
    def radius_mm(self) -> float:
        """Of the sphere of equal volume."""
        return float(np.cbrt(self.volume_mm3 * 3 / (4 * np.pi)))


def _bodies(segmentation: Segmentation) -> list[_Body]:
    index = np.argwhere(segmentation.labels != 0)
    values = segmentation.labels[tuple(index.T)]
    voxel_mm3 = segmentation.grid.voxel_ml * 1000
    points = segmentation.grid.index_to_lps(index)
    return [_Body(int(v), points[values == v], float((values == v).sum() * voxel_mm3)) for v in np.unique(values)]


def _liver_centre(mask: Segmentation) -> Points:
    centre: Points = mask.grid.index_to_lps(np.argwhere(mask.labels != 0).mean(axis=0))
    return centre


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Old lesions (rows) against later ones (columns): distance of centres in mm, whether it is small enough, and the
    shares of the later outline inside the old one and of the old one covered by the later."""

    distance_mm: Points
    allowed: NDArray[np.bool_]
    inside: Points
    covered: Points


def _values_at(segmentation: Segmentation, points: Points) -> NDArray[np.int64]:
    """Label at each LPS point; 0 outside the grid."""
    index = np.rint(segmentation.grid.lps_to_index(points)).astype(np.int64)
    held = ((index >= 0) & (index < segmentation.labels.shape)).all(axis=1)
    values = np.zeros(len(points), dtype=np.int64)
    values[held] = segmentation.labels[tuple(index[held].T)]
    return values


def _compare(
    visits: Sequence[EarlierVisit], maps: Sequence[PointMap], old: Mapping[int, tuple[int, _Body]], late: list[_Body]
) -> _Evidence:
    known = list(old)
    distance, inside, covered = (np.zeros((len(known), len(late))) for _ in range(3))
    reach = np.zeros_like(distance)
    for j, body in enumerate(late):
        sample = body.points[:: max(1, len(body.points) // _POINTS)]
        for v in sorted({visit for visit, _ in old.values()}):
            there = maps[v](sample)
            middle = maps[v](body.centre[None])[0]
            values = _values_at(visits[v].lesions, there)
            for i, number in enumerate(known):
                seen, before = old[number]
                if seen != v:
                    continue
                distance[i, j] = np.linalg.norm(middle - before.centre)
                reach[i, j] = max(MATCH_DISTANCE_MM, before.radius_mm + body.radius_mm)
                inside[i, j] = float((values == number).mean())
                covered[i, j] = inside[i, j] * body.volume_mm3 / before.volume_mm3
    return _Evidence(distance, distance <= reach, inside, covered)


def _line_up(earlier: Sequence[EarlierVisit], liver_after: Segmentation) -> list[PointMap]:
    """A map for every earlier visit; livers' centres are taken only where a visit brings no map of its own."""
    maps: list[PointMap] = []
    for visit in earlier:
        if visit.from_later is not None:
            maps.append(visit.from_later)
            continue
        shift = _liver_centre(visit.liver) - _liver_centre(liver_after) if visit.lesions.labels.any() else np.zeros(3)
        maps.append(lambda points, shift=shift: points + shift)  # type: ignore[misc]
    return maps


def pair_lesions(
    earlier: Sequence[EarlierVisit | tuple[Segmentation, Segmentation]],
    after: Segmentation,
    liver_after: Segmentation,
) -> Pairing:
    """Match a visit's lesions with those of earlier visits, each looked for where it was last seen.

    ``earlier`` are the earlier visits in order. Every lesion of ``after`` gets the number of its match or, when it has
    none, the next number never used. One-to-one, smallest total distance of centres (Hungarian method) among pairs
    within ``max(MATCH_DISTANCE_MM, sum of equivalent radii)``. What is left over by at least ``PART_SHARE`` inside a
    matched lesion is a part of it (RECIST 1.1, 4.3.1: parts add up); an old lesion covered as much by a matched one has
    merged into it (counted once). A match is ambiguous when a rival lies less than ``AMBIGUITY_RATIO`` times as far.
    """
    visits = [EarlierVisit(*visit) for visit in earlier]
    old: dict[int, tuple[int, _Body]] = {}
    for v, visit in enumerate(visits):
        old.update({body.value: (v, body) for body in _bodies(visit.lesions)})
    old = {number: old[number] for number in sorted(old)}
    late = _bodies(after)
    if not late or not old:
        numbers = {body.value: n for n, body in enumerate(late, max(old, default=0) + 1)}
        tracks = [Track(n, "new") for n in numbers.values()] + [Track(n, "vanished") for n in old]
        return Pairing(MappingProxyType(numbers), tuple(tracks))
    found = _compare(visits, _line_up(visits, liver_after), old, late)
    return _Judge(list(old), [body.value for body in late], found, len(visits) - 1, old).pairing()


@dataclass(eq=False)
class _Judge:
    """From distances and overlaps to numbers and states."""

    old: list[int]
    late: list[int]
    found: _Evidence
    last_visit: int
    seen: Mapping[int, tuple[int, _Body]]
    warnings: list[str] = field(default_factory=list)

    def pairing(self) -> Pairing:
        """Numbers and states of all."""
        cost = np.where(self.found.allowed, self.found.distance_mm, 1e6)
        rows, columns = linear_sum_assignment(cost)
        match = {int(j): int(i) for i, j in zip(rows, columns, strict=True) if self.found.allowed[i, j]}
        numbers = {self.late[j]: self.old[i] for j, i in match.items()}
        fresh = [j for j in range(len(self.late)) if j not in match]
        for n, j in enumerate(fresh, max(self.old) + 1):
            numbers[self.late[j]] = n
        splits = self._parts(fresh, set(match.values()))
        tracks = [self._matched(i, j, splits, numbers) for j, i in match.items()]
        for j in fresh:
            number = numbers[self.late[j]]
            if j in splits:
                parent = self.old[splits[j]]
                tracks.append(Track(number, "split", (parent,)))
                self.warnings.append(f"lesion {number} looks like a part of lesion {parent}, which split: confirm.")
            else:
                tracks.append(Track(number, "new"))
        tracks += [self._gone(i, match) for i in range(len(self.old)) if i not in match.values()]
        ordered = {value: numbers[value] for value in self.late}
        return Pairing(MappingProxyType(ordered), tuple(sorted(tracks, key=lambda t: t.number)), tuple(self.warnings))

    def _parts(self, fresh: list[int], matched: set[int]) -> dict[int, int]:
        """Later lesions without a match that lie inside an old one which has a match."""
        parts = {}
        for j in fresh:
            i = int(self.found.inside[:, j].argmax())
            if i in matched and self.found.inside[i, j] >= PART_SHARE:
                parts[j] = i
        return parts

    def _matched(self, i: int, j: int, splits: Mapping[int, int], numbers: Mapping[int, int]) -> Track:
        number, distance = self.old[i], self.found.distance_mm
        limit = max(AMBIGUITY_RATIO * distance[i, j], 1e-9)
        near_late = [k for k in range(len(self.late)) if k != j and self.found.allowed[i, k] and distance[i, k] < limit]
        near_old = [k for k in range(len(self.old)) if k != i and self.found.allowed[k, j] and distance[k, j] < limit]
        # a part of the same lesion, or a lesion swallowed by this one, is no rival
        rivals = [numbers[self.late[k]] for k in near_late if splits.get(k) != i]
        rivals += [self.old[k] for k in near_old if self.found.covered[k, j] < PART_SHARE]
        if rivals:
            self.warnings.append(
                f"lesion {number}: its match at the later visit is doubtful, {len(rivals)} other candidate(s) lie as "
                f"near ({distance[i, j]:.0f} mm). Confirm the pair."
            )
            return Track(number, "ambiguous", tuple(sorted(set(rivals))))
        return Track(number, "same" if self.seen[number][0] == self.last_visit else "reappeared")

    def _gone(self, i: int, match: Mapping[int, int]) -> Track:
        number = self.old[i]
        j = int(self.found.covered[i].argmax())
        if j in match and self.found.covered[i, j] >= PART_SHARE:
            host = self.old[match[j]]
            self.warnings.append(f"lesion {number} looks merged into lesion {host}: confirm.")
            return Track(number, "merged", (host,))
        return Track(number, "vanished")


def renumbered(segmentation: Segmentation, numbers: Mapping[int, int]) -> Segmentation:
    """The segmentation with each value replaced by its lasting number; names become ``lesion <number>``."""
    table = np.zeros(int(segmentation.labels.max()) + 1, dtype=np.uint16)
    for value, number in numbers.items():
        if value < len(table):
            table[value] = number
    labels = table[segmentation.labels]
    if labels.max() <= 255:
        labels = labels.astype(np.uint8)
    return replace(segmentation, labels=labels, names={n: f"lesion {n}" for n in sorted(numbers.values())})
