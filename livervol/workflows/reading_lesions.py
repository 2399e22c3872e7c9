"""What a reader decides about lesions and the operation: add, renumber, role, site, hand measurement, landmarks.

Every function makes one journalled, undoable step of a ``Reading``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livervol.edit.change import Change, Setting, Step
from livervol.edit.click import Outline, lesion_change
from livervol.edit.gesture import ClickSettings, Gesture
from livervol.errors import LivervolError, refusal
from livervol.measure.resection import operation
from livervol.records import ROLES, SITES, STATES
from livervol.scan import Segmentation
from livervol.segment.couinaud import segment_couinaud
from livervol.segment.couinaud_landmarks import Landmarks
from livervol.workflows.reading import Reading
from livervol.workflows.reading_start import site_decisions
from livervol.workflows.reading_table import LENGTHS

__all__ = [
    "add_lesion",
    "choose_length",
    "choose_resections",
    "measure_by_hand",
    "next_number",
    "place_landmarks",
    "redraw_segments",
    "remove_lesion",
    "renumber_lesion",
    "set_role",
    "set_site",
    "set_state",
]


#: A gesture so near to the liver mask (mm) may lie on what the mask has lost; a lesion whose outline holds so large a
#: share of it is the liver's.
BESIDE_MM, LIVER_SHARE = 60.0, 0.25


def next_number(reading: Reading) -> int:
    """A lesion number nobody has used: not at this visit, not at an earlier one, not before an erasure."""
    used = set(reading.lesion_numbers)
    used |= {lesion.number for visit in reading.earlier for lesion in visit.lesions}
    for record in reading.records:
        for change in record.step.changes:
            if change.mask == "lesions":
                used |= set(change.values)
    return max(used, default=0) + 1


def add_lesion(
    reading: Reading,
    gesture: Gesture,
    phase: str,
    *,
    number: int | None = None,
    site: str | None = None,
    settings: ClickSettings | None = None,
) -> tuple[int, Outline]:
    """Outline the lesion under a gesture and add it; returns its number and the outline.

    In the liver the reading's other enhanced phases are looked at as well.

    ``number`` None takes the next free one; an earlier visit's number confirms the match; an existing one is added to.
    ``site`` None means liver where the gesture lies in the liver, or beside it on a lesion that cost the liver mask a
    part of itself, else ``other``. The viability of a new lesion waits
    to be judged (``livervol.workflows.reading_viability``). Nothing found raises ``LivervolError``.
    """
    number = next_number(reading) if number is None else number
    middle = tuple(int(v) for v in np.rint(gesture.points_zyx.mean(axis=0)))
    canvas = reading.canvas("lesions", phase=phase)
    if any(not 0 <= v < n for v, n in zip(middle, canvas.shape, strict=True)):
        raise LivervolError(refusal("gesture is outside the scan", expected=str(canvas.shape), got=str(middle)))
    mask = reading.masks["liver"]
    inside = bool(mask[middle])
    liver = mask if site == "liver" or (site is None and (inside or _beside(mask, canvas.spacing_mm, middle))) else None
    others = [] if liver is None else [reading.scan(p).voxels for p in reading.phases if p not in (phase, "native")]
    change, outline = lesion_change(canvas, gesture, number, liver, settings, others)
    if not change.voxels:
        raise LivervolError(
            refusal("nothing to add", expected="a lesion that is not marked yet", got="only voxels of other lesions")
        )
    if site is None:
        share = float(np.count_nonzero(mask[outline.box][outline.mask])) / max(1, int(np.count_nonzero(outline.mask)))
        site = "liver" if inside or share >= LIVER_SHARE else "other"
    decisions = _site_settings(reading, number, site)
    if number not in reading.lesion_numbers:
        key = f"lesion.{number}.viability"
        decisions = (*decisions, Setting(key, reading.settings.get(key), "waiting"))
    reading.apply(Step(change.tool, (change,), decisions))
    return number, outline


def _beside(mask: NDArray[Any], spacing_mm: Sequence[float], at: Sequence[int]) -> bool:
    """Whether the mask has a voxel within ``BESIDE_MM`` of a place, along each axis."""
    reach = [int(BESIDE_MM / step) for step in spacing_mm]
    return bool(mask[tuple(slice(max(0, a - r), a + r + 1) for a, r in zip(at, reach, strict=True))].any())


def remove_lesion(reading: Reading, number: int, reason: str = "") -> Step:
    """Erase a lesion and what is labelled as its part."""
    lesions = reading.masks["lesions"]
    canvas = reading.canvas("lesions")
    box = _box_of(reading, number)
    return reading.apply(canvas.change(box, lesions[box] == number, 0, f"remove lesion {number}"), reason)


def renumber_lesion(reading: Reading, number: int, new: int, reason: str = "") -> Step:
    """Give a lesion another number: the match with an earlier visit as the reader sees it.

    Its parts and decisions go along. A number in use at this visit is refused: merge them instead.
    """
    lesions = reading.masks["lesions"]
    box = _box_of(reading, number)
    if not 1 <= new <= 65535 or (lesions == new).any():
        raise LivervolError(
            refusal("lesion number", expected="a free number", got=str(new), do="Merge the lesions instead.")
        )
    before = lesions[box]
    after = np.where(before == number, np.uint16(new), before)
    start = (box[0].start, box[1].start, box[2].start)
    tool = f"lesion {number} is lesion {new}"
    change = Change.between(before, after, "lesions", tool, (_shape(lesions), start))
    moved = []
    for key, value in reading.settings.items():
        if key.startswith(f"lesion.{number}."):
            target = f"lesion.{new}." + key.removeprefix(f"lesion.{number}.")
            moved += [Setting(key, value, None), Setting(target, reading.settings.get(target), value)]
    return reading.apply(Step(tool, (change,), tuple(moved)), reason)


def set_role(reading: Reading, number: int, role: str, reason: str = "") -> Step:
    """Target, non_target or new; "" leaves it to the proposal."""
    _require(role, ROLES, "role")
    return reading.set({f"lesion.{number}.role": role or None}, f"role of lesion {number}", reason)


def set_site(reading: Reading, number: int, site: str, reason: str = "") -> Step:
    """Where a lesion lies; nodes are measured by their short axis, only lesions of the liver enter its totals.

    A computed viable part waits to be judged anew when the lesion leaves the liver or comes back: elsewhere liver is no
    yardstick.
    """
    _require(site, SITES, "site")
    settings = _site_settings(reading, number, site)
    key = f"lesion.{number}.viability"
    if reading.settings.get(key) == "computed" and (site == "liver") == (number in reading.extrahepatic):
        settings = (*settings, Setting(key, "computed", "waiting"))
    return reading.apply(Step(f"site of lesion {number}", (), settings), reason)


def set_state(reading: Reading, number: int, state: str, reason: str = "") -> Step:
    """Measured, not_evaluable (needs the reason), too_small, unequivocal_progression, equivocal."""
    _require(state, STATES, "state")
    if state == "not_evaluable" and not reason.strip():
        raise LivervolError(refusal("lesion is not evaluable", expected="the reason", got="none"))
    values = {f"lesion.{number}.state": None if state == "measured" else state}
    values[f"lesion.{number}.reason"] = reason.strip() or None
    return reading.set(values, f"state of lesion {number}", reason)


def measure_by_hand(reading: Reading, number: int, name: str, points_zyx: ArrayLike, *, choose: bool = True) -> Step:
    """Two clicks beside the computed length: both are kept, ``choose`` makes this one count.

    ``name`` is the length (``longest_mm``, ``viable_longest_mm``, ...); ``points_zyx`` two (z, y, x) indices,
    fractions allowed. The length is the straight distance in mm.
    """
    _require(name, LENGTHS, "length")
    points = np.asarray(points_zyx, dtype=np.float64)
    if points.shape != (2, 3) or not np.isfinite(points).all():
        raise LivervolError(refusal("hand measurement", expected="two (z, y, x) points", got=str(points.shape)))
    lps = reading.grid.index_to_lps(points)
    flat = abs(points[0, 0] - points[1, 0]) < 0.5
    manual = {
        "value_mm": float(np.linalg.norm(lps[1] - lps[0])),
        "points_lps_mm": lps.tolist(),
        "plane_index": int(np.rint(points[:, 0].mean())) if flat else None,
    }
    values: dict[str, Any] = {f"lesion.{number}.manual.{name}": manual}
    if choose:
        values[f"lesion.{number}.chosen.{name}"] = "manual"
    return reading.set(values, f"{name} of lesion {number} by hand")


def choose_length(reading: Reading, number: int, name: str, by: str, reason: str = "") -> Step:
    """Which of the two counts: ``manual`` or ``computed``."""
    _require(by, ("manual", "computed"), "way of measuring")
    if by == "manual" and f"lesion.{number}.manual.{name}" not in reading.settings:
        raise LivervolError(refusal("no hand measurement", expected=f"{name} of lesion {number}", got="none"))
    key = f"lesion.{number}.chosen.{name}"
    return reading.set({key: by if by == "manual" else None}, f"{name} of lesion {number}: {by}", reason)


def choose_resections(reading: Reading, slugs: Sequence[str], reason: str = "") -> Step:
    """The operations whose remnant is shown, the first being the chosen one."""
    known = [operation(slug).slug for slug in slugs]
    return reading.set({"resections": known or None}, "resection: " + (", ".join(known) or "none"), reason)


def place_landmarks(
    reading: Reading, points: Mapping[str, Sequence[Sequence[float]]], *, plane: bool = False, reason: str = ""
) -> Step:
    """The landmarks of the Couinaud boundaries, LPS mm, as landmarks.json keeps them; segments stay until redrawn."""
    marks = Landmarks({k: [(p[0], p[1], p[2]) for p in v] for k, v in points.items()}, plane)
    value: dict[str, Any] = {k: [list(p) for p in v] for k, v in marks.points.items()}
    if plane:
        value["plane"] = True
    return reading.set({"landmarks": value or None}, "landmarks", reason)


def redraw_segments(reading: Reading, reason: str = "") -> tuple[Step, tuple[str, ...]]:
    """Couinaud segments drawn anew from the liver as it is now and the landmarks: one step; seconds, for a worker.

    Returns the step and the segmenter's warnings.
    """
    value = dict(reading.settings.get("landmarks", {}))
    plane = bool(value.pop("plane", False))
    liver = Segmentation((reading.masks["liver"] != 0).astype(np.uint8), reading.grid, {1: "liver"})
    found = segment_couinaud(liver, Landmarks(value, plane)) if value else segment_couinaud(liver)
    before = reading.canvas("segments").labels
    change = Change.between(before, found.segmentation.labels.astype(np.uint16), "segments", "segments redrawn")
    return reading.apply(change, reason), tuple(found.warnings)


def _site_settings(reading: Reading, number: int, site: str) -> tuple[Setting, ...]:
    values = site_decisions(number, site)
    settings = (Setting(k, reading.settings.get(k), v) for k, v in values.items())
    return tuple(s for s in settings if s.before != s.after)


def _box_of(reading: Reading, number: int) -> tuple[slice, slice, slice]:
    box = reading.box_of(number)
    if box is None:
        known = ", ".join(map(str, reading.lesion_numbers)) or "none"
        raise LivervolError(refusal("lesion is not there", expected=known, got=str(number)))
    return box


def _require(word: str, allowed: Sequence[str], what: str) -> None:
    if word not in allowed:
        shown = ", ".join(a or "(empty)" for a in allowed)
        raise LivervolError(refusal(f"{what} is not known", expected=shown, got=repr(word)))


def _shape(labels: Any) -> tuple[int, int, int]:
    z, y, x = labels.shape
    return (z, y, x)
