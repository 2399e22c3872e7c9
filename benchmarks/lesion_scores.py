"""What the lesion benchmarks share: which lesions were found, what was found in vain, one click, diameter error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from click import clicks
from numpy.typing import NDArray

from livervol.edit.click import outline_lesion
from livervol.edit.gesture import Gesture
from livervol.grid import Grid
from livervol.measure.diameter import Body, in_slice_diameters
from livervol.scan import Scan, Segmentation
from livervol.segment.lesion_regions import equivalent_diameter_mm

__all__ = ["LEAST_MM", "Score", "box_of", "longest_mm", "match", "one_click", "report"]

Mask = NDArray[np.bool_]

#: Lesions and detections below this equivalent diameter do not count either way.
LEAST_MM = 10.0
#: A lesion is found when a detection reaches this Dice with it; one with less lesion than this share is false.
FOUND_DICE, FALSE_SHARE = 0.2, 0.1


@dataclass
class Score:
    """One scan: ``lesions`` of at least 10 mm as (group, mm, Dice of the detection or 0, error of its longest, mm)."""

    name: str
    lesions: list[tuple[str, float, float, float]] = field(default_factory=list)
    false_mm: list[float] = field(default_factory=list)
    clicks: list[tuple[str, float, float, float]] = field(default_factory=list)


def box_of(mask: Mask) -> tuple[slice, slice, slice]:
    """The mask's tight box."""
    index = np.argwhere(mask)
    z, y, x = (slice(int(a), int(b) + 1) for a, b in zip(index.min(0), index.max(0), strict=True))
    return z, y, x


def size_mm(mask: Mask, grid: Grid) -> float:
    """Equivalent diameter of a mask."""
    return equivalent_diameter_mm(np.count_nonzero(mask) * grid.voxel_ml)


def longest_mm(mask: Mask, grid: Grid) -> float:
    """Longest in-slice diameter of a mask."""
    box = box_of(mask)
    part = grid.crop([s.start for s in box], [s.stop for s in box])
    return float(in_slice_diameters(Body(np.ascontiguousarray(mask[box]), part))[0].value or 0.0)


def match(score: Score, truth: Sequence[tuple[str, Mask]], found: Segmentation, ignored: Mask | None = None) -> None:
    """Adds every true lesion with the detection that fits it best, and every detection that is none.

    Detections mostly inside ``ignored`` (structures found before anything was painted) count for nothing.
    """
    grid = found.grid
    numbers = range(1, int(found.labels.max(initial=0)) + 1)
    detections = {n: found.labels == n for n in numbers}
    anywhere = np.logical_or.reduce([mask for _, mask in truth]) if truth else np.zeros(grid.shape_zyx, bool)
    for group, mask in truth:
        mm = size_mm(mask, grid)
        if mm < LEAST_MM:
            continue
        best, error = 0.0, float("nan")
        for n in (int(v) for v in np.unique(found.labels[mask]) if v):
            shared = np.count_nonzero(mask & detections[n])
            dice = 2 * shared / (np.count_nonzero(mask) + np.count_nonzero(detections[n]))
            if dice > best:
                best, error = dice, longest_mm(detections[n], grid) - longest_mm(mask, grid)
        hit = best >= FOUND_DICE
        score.lesions.append((group, mm, best if hit else 0.0, error if hit else float("nan")))
    for detection in detections.values():
        count = np.count_nonzero(detection)
        if size_mm(detection, grid) < LEAST_MM or np.count_nonzero(detection & anywhere) >= FALSE_SHARE * count:
            continue
        if ignored is not None and np.count_nonzero(detection & ignored) >= 0.5 * count:
            continue
        score.false_mm.append(size_mm(detection, grid))


def one_click(
    score: Score, lesion: tuple[str, Mask], scans: Sequence[Scan], liver: NDArray, rng: np.random.Generator
) -> None:
    """Three clicks on a lesion in the first scan: the deepest voxel and two a third of its depth away, each outlined.

    Further scans are the other phases that the click may look at.
    """
    (group, mask), grid = lesion, scans[0].grid
    voxels, *others = (scan.voxels for scan in scans)
    mm = size_mm(mask, grid)
    if mm < LEAST_MM:
        return
    for at in clicks(mask, grid.spacing_mm, rng):
        outline = outline_lesion(voxels, grid.spacing_mm, Gesture.of("click", at), liver, others=others)
        drawn = np.zeros(mask.shape, bool)
        drawn[outline.box] = outline.mask
        dice = 2 * np.count_nonzero(drawn & mask) / (np.count_nonzero(drawn) + np.count_nonzero(mask))
        error = longest_mm(drawn, grid) - longest_mm(mask, grid) if drawn.any() else float("nan")
        score.clicks.append((group, mm, dice, error))


def report(title: str, scores: Sequence[Score]) -> None:
    """Recall, false positives per scan, Dice and diameter errors; by group where there are several."""
    lesions = [row for s in scores for row in s.lesions]
    clicked = [row for s in scores for row in s.clicks]
    false = sum(len(s.false_mm) for s in scores)
    hits = [row for row in lesions if row[2] > 0]
    print(f"{title}: {len(hits)} of {len(lesions)} lesions of {LEAST_MM:g} mm and more found "
          f"({100 * len(hits) / max(1, len(lesions)):.0f} %), {false / max(1, len(scores)):.2f} false per scan "
          f"({len(scores)} scans)")  # fmt: skip
    if lesions:
        dice = np.array([row[2] for row in lesions])
        print(f"  automatic Dice, missed lesions 0: median {np.median(dice):.3f}, mean {dice.mean():.3f}; {_of(hits)}")
    if clicked:
        print(f"  one click, {len(clicked)} clicks: {_of(clicked)}")
    for group in sorted({row[0] for row in lesions + clicked}):
        own, mine = [r for r in lesions if r[0] == group], [r for r in clicked if r[0] == group]
        text = f"  {group}: found {sum(r[2] > 0 for r in own)} of {len(own)}"
        print(text + (f", one click Dice {np.median([r[2] for r in mine]):.3f}" if mine else ""))


def _of(rows: list[tuple[str, float, float, float]]) -> str:
    if not rows:
        return "none found"
    dice, error = np.array([r[2] for r in rows]), np.array([r[3] for r in rows])
    return (
        f"Dice of these median {np.median(dice):.3f}, longest diameter off by median {np.nanmedian(error):+.1f} mm, "
        f"absolute {np.nanmedian(np.abs(error)):.1f} mm"
    )
