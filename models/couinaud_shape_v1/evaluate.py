"""Measures the released model on the test livers, through the public functions, and writes ``scores.json``.

    python evaluate.py --labels LABELS/couinaud [--draws 20]

Per liver at its native spacing: Dice per segment, FLR % errors of the named operations with their interval, the same
with imperfect masks, and with twelve landmarks. Landmarks are the centres of k-means clusters (nearest boundary point)
of the faces between two sets of segments: five between IV and V, VIII (middle hepatic vein), three between V, VIII and
VI, VII (right hepatic vein), four between IV and II, III (umbilical fissure), each moved by 5 mm Gaussian noise per
axis.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from livervol.io.images import read_labels
from livervol.kernels.morphology import dilate_mm, erode_mm
from livervol.kernels.tally import overlap_counts
from livervol.measure.remnant import SegmentSpread, find_remnants
from livervol.measure.resection import OPERATIONS
from livervol.scan import Segmentation
from livervol.segment.couinaud import read_shape, segment_couinaud
from livervol.segment.couinaud_landmarks import Landmarks
from livervol.segment.model import ModelCard, read_card

FOLDER = Path(__file__).resolve().parent
SLUGS = tuple(OPERATIONS)
RULE = (("mhv", (4,), (5, 8), 5), ("rhv", (5, 8), (6, 7), 3), ("umbilical_fissure", (4,), (2, 3), 4))
JITTER_MM = 5.0


def faces_lps_mm(truth: Segmentation, first: tuple[int, ...], second: tuple[int, ...]) -> np.ndarray:
    """Centres of the voxel faces between two sets of segments, shape (n, 3)."""
    sides = np.isin(truth.labels, first), np.isin(truth.labels, second)
    found = []
    for axis in range(3):
        low, high = [np.s_[:]] * 3, [np.s_[:]] * 3
        low[axis], high[axis] = np.s_[:-1], np.s_[1:]
        a, b = tuple(low), tuple(high)
        index = np.argwhere((sides[0][a] & sides[1][b]) | (sides[1][a] & sides[0][b])).astype(float)
        index[:, axis] += 0.5
        found.append(index)
    return truth.grid.index_to_lps(np.concatenate(found))


def spread_points(points: np.ndarray, count: int) -> np.ndarray:
    """``count`` of the points, spread out: nearest to k-means centres started from farthest points."""
    points = points[:: max(1, len(points) // 5000)]
    chosen = [points[((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin()]]
    while len(chosen) < count:
        away = np.min([((points - c) ** 2).sum(axis=1) for c in chosen], axis=0)
        chosen.append(points[away.argmax()])
    centres = np.array(chosen)
    for _ in range(25):
        own = ((points[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.array([points[own == i].mean(axis=0) if (own == i).any() else centres[i] for i in range(count)])
    return np.array([points[((points - c) ** 2).sum(axis=1).argmin()] for c in centres])


def dice(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    joint = np.zeros((9, 9))
    counts = overlap_counts(found, truth)
    joint[: counts.shape[0], : counts.shape[1]] = counts
    return np.array([2 * joint[v, v] / max(1.0, joint[v].sum() + joint[:, v].sum()) for v in range(1, 9)])


def flr(liver: Segmentation, segments: Segmentation, spread: SegmentSpread | None = None) -> np.ndarray:
    """FLR % and 95 % half width per named operation, shape (operations, 2)."""
    rows = find_remnants(liver, segments, None, SLUGS, spread)
    return np.array([(r.flr_of_functional_percent, 100 * (r.half_width_ml or 0.0) / r.total_ml) for r in rows])


def imperfect(mask: np.ndarray, spacing: tuple[float, float, float]) -> dict[str, np.ndarray]:
    """The mask eroded and dilated by 3 mm, without its lowest tenth, and with two holes of 20 mm radius."""
    inside = np.argwhere(mask)
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    short = mask.copy()
    short[: planes[len(planes) // 10]] = 0
    holes = mask.copy()
    for part in (0.25, 0.7):
        centre = inside[int(part * len(inside))]
        away = (((np.indices(mask.shape).transpose(1, 2, 3, 0) - centre) * spacing) ** 2).sum(axis=-1)
        holes[away < 20.0**2] = 0
    return {
        "eroded 3 mm": erode_mm(mask, 3.0, spacing),
        "dilated 3 mm": dilate_mm(mask, 3.0, spacing),
        "tip missing": short,
        "two holes": holes,
    }


def imperfect_errors(truth: Segmentation, reference: np.ndarray, card: ModelCard) -> dict[str, np.ndarray]:
    """FLR errors with imperfect masks against the reference FLR of the whole liver."""
    mask = (truth.labels != 0).astype(np.uint8)
    errors = {}
    for name, spoilt in imperfect(mask, truth.grid.spacing_mm).items():
        liver = Segmentation(np.ascontiguousarray(spoilt), truth.grid, {1: "liver"})
        errors[name] = flr(liver, segment_couinaud(liver, card=card).segmentation)[:, 0] - reference
    return errors


def landmark_errors(truth: Segmentation, liver: Segmentation, case: int, draws: int, card: ModelCard) -> np.ndarray:
    """FLR errors with twelve landmarks, shape (draws, operations)."""
    points = [(name, spread_points(faces_lps_mm(truth, a, b), count)) for name, a, b, count in RULE]
    reference, random, errors = flr(liver, truth)[:, 0], np.random.default_rng(case), []
    reading = read_shape(liver, card)
    for _ in range(draws):
        placed = {name: (p + random.normal(0, JITTER_MM, p.shape)).tolist() for name, p in points}
        found = segment_couinaud(liver, Landmarks(placed), card=card, reading=reading).segmentation
        errors.append(flr(liver, found)[:, 0] - reference)
    return np.array(errors)


def summary(errors: np.ndarray) -> dict[str, dict[str, float]]:
    """Median, 90th percentile and mean of the FLR errors in points, per operation."""
    return {
        slug: {
            "median": round(float(np.median(np.abs(e))), 2),
            "p90": round(float(np.quantile(np.abs(e), 0.9)), 2),
            "bias": round(float(e.mean()), 2),
        }
        for slug, e in zip(SLUGS, errors.T, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--split", default="test")
    chosen = parser.parse_args()
    card = read_card(FOLDER)
    with (chosen.labels / "split.csv").open() as table:
        names = [row["file"] for row in csv.DictReader(table) if row["split"] == chosen.split]
    scores, errors, halves, placed, warned = [], [], [], [], []
    spoilt: dict[str, list[np.ndarray]] = {}
    for name in names:
        truth = read_labels(chosen.labels / name)
        liver = Segmentation((truth.labels != 0).view(np.uint8), truth.grid, {1: "liver"})
        found = segment_couinaud(liver, card=card)
        spread = SegmentSpread(tuple(range(1, 9)), found.half_widths_ml, found.interval_floor, found.interval_method)
        reference, got = flr(liver, truth)[:, 0], flr(liver, found.segmentation, spread)
        scores.append(dice(found.segmentation.labels, truth.labels))
        errors.append(got[:, 0] - reference)
        halves.append(got[:, 1])
        warned.append(bool(found.warnings))
        for kind, value in imperfect_errors(truth, reference, card).items():
            spoilt.setdefault(kind, []).append(value)
        if chosen.draws:
            placed.append(landmark_errors(truth, liver, int(name[5:8]), chosen.draws, card))
        print(name, scores[-1].mean().round(3), flush=True)
    off, half = np.array(errors), np.array(halves)
    result = {
        "livers": len(names),
        "dice": {"mean": round(float(np.mean(scores)), 4), "segments": np.mean(scores, axis=0).round(4).tolist()},
        "flr_error_points": summary(off),
        "flr_error_points_imperfect_masks": {kind: summary(np.array(rows)) for kind, rows in spoilt.items()},
        "interval": {
            slug: {
                "coverage_percent": round(100 * float((np.abs(off[:, i]) <= half[:, i]).mean()), 1),
                "median_width_points": round(float(np.median(2 * half[:, i])), 1),
            }
            for i, slug in enumerate(SLUGS)
        },
        "interval_coverage_percent": round(100 * float((np.abs(off) <= half).mean()), 1),
        "warned": int(np.sum(warned)),
    }
    if placed:
        result["flr_error_points_landmarks"] = summary(np.concatenate(placed))
    (FOLDER / "scores.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
