"""Measures the released model on the test livers, through the public functions, and writes ``scores.json``.

    python evaluate.py --labels LABELS/couinaud [--draws 20] [--jobs 2]

Per liver at its native spacing: Dice per segment, FLR % errors of the named operations with their interval, the same
with imperfect masks, and with twelve landmarks, on perfect and on imperfect masks. With an imperfect mask the true
segments themselves give another FLR: that error, which no segmentation can avoid, is written as ``floor``. Landmarks
are the centres of k-means clusters (nearest boundary point) of the faces between two sets of segments: five between IV
and V, VIII (middle hepatic vein), three between V, VIII and VI, VII (right hepatic vein), four between IV and II, III
(umbilical fissure), each moved by 5 mm Gaussian noise per axis.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from livervol.io.images import read_labels
from livervol.kernels.morphology import dilate_mm, erode_mm
from livervol.kernels.tally import overlap_counts
from livervol.measure.remnant import SegmentSpread, find_remnants
from livervol.measure.resection import OPERATIONS
from livervol.scan import Segmentation
from livervol.segment.couinaud import ShapeReading, read_shape, segment_couinaud
from livervol.segment.couinaud_landmarks import Landmarks
from livervol.segment.model import ModelCard, read_card

FOLDER = Path(__file__).resolve().parent
SLUGS = tuple(OPERATIONS)
RULE = (("mhv", (4,), (5, 8), 5), ("rhv", (5, 8), (6, 7), 3), ("umbilical_fissure", (4,), (2, 3), 4))
JITTER_MM = 5.0
#: Fewer with imperfect masks, of which each liver has four.
IMPERFECT_DRAWS = 3
WAYS = {
    "shape": "flr_error_points_imperfect_masks",
    "landmarks": "flr_error_points_landmarks_imperfect_masks",
    "floor": "flr_error_points_imperfect_masks_floor",
}


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


@dataclass
class Liver:
    """One liver's errors: FLR of the whole liver is the reference everywhere."""

    truth: Segmentation
    reference: np.ndarray
    points: list[tuple[str, np.ndarray]]
    random: np.random.Generator
    card: ModelCard

    def landmark_errors(self, liver: Segmentation, reading: ShapeReading, draws: int) -> np.ndarray:
        """FLR errors with twelve landmarks, shape (draws, operations)."""
        errors = []
        for _ in range(draws):
            placed = {name: (p + self.random.normal(0, JITTER_MM, p.shape)).tolist() for name, p in self.points}
            found = segment_couinaud(liver, Landmarks(placed), card=self.card, reading=reading).segmentation
            errors.append(flr(liver, found)[:, 0] - self.reference)
        return np.array(errors)

    def imperfect_errors(self, draws: int) -> dict[str, dict[str, np.ndarray]]:
        """By kind of imperfect mask: FLR errors of the shape, with landmarks, and of the true segments (floor)."""
        mask = (self.truth.labels != 0).astype(np.uint8)
        # liver that dilation adds belongs to the nearest true segment
        nearest = ndimage.distance_transform_edt(mask == 0, return_distances=False, return_indices=True)
        carried = Segmentation(self.truth.labels[tuple(nearest)], self.truth.grid, self.truth.names)
        errors = {}
        for name, spoilt in imperfect(mask, self.truth.grid.spacing_mm).items():
            liver = Segmentation(np.ascontiguousarray(spoilt), self.truth.grid, {1: "liver"})
            reading = read_shape(liver, self.card)
            found = segment_couinaud(liver, card=self.card, reading=reading).segmentation
            errors[name] = {
                "shape": (flr(liver, found)[:, 0] - self.reference)[None],
                "landmarks": self.landmark_errors(liver, reading, draws),
                "floor": (flr(liver, carried)[:, 0] - self.reference)[None],
            }
        return errors


def one_liver(path: Path, draws: int) -> dict[str, Any]:
    """Everything measured on one liver."""
    card, truth = read_card(FOLDER), read_labels(path)
    liver = Segmentation((truth.labels != 0).view(np.uint8), truth.grid, {1: "liver"})
    reading = read_shape(liver, card)
    found = segment_couinaud(liver, card=card, reading=reading)
    spread = SegmentSpread(tuple(range(1, 9)), found.half_widths_ml, found.interval_floor, found.interval_method)
    reference, got = flr(liver, truth)[:, 0], flr(liver, found.segmentation, spread)
    points = [(name, spread_points(faces_lps_mm(truth, a, b), count)) for name, a, b, count in RULE]
    case = Liver(truth, reference, points, np.random.default_rng(int(path.name[5:8])), card)
    result = {
        "dice": dice(found.segmentation.labels, truth.labels),
        "off": got[:, 0] - reference,
        "half": got[:, 1],
        "warned": bool(found.warnings),
    }
    if draws:
        result["placed"] = case.landmark_errors(liver, reading, draws)
        result["spoilt"] = case.imperfect_errors(min(draws, IMPERFECT_DRAWS))
    print(path.name, result["dice"].mean().round(3), flush=True)
    return result


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


def scores(livers: list[dict[str, Any]]) -> dict[str, Any]:
    """What ``scores.json`` holds."""
    found, off, half = (np.array([one[key] for one in livers]) for key in ("dice", "off", "half"))
    result = {
        "livers": len(livers),
        "dice": {"mean": round(float(found.mean()), 4), "segments": found.mean(axis=0).round(4).tolist()},
        "flr_error_points": summary(off),
        "interval": {
            slug: {
                "coverage_percent": round(100 * float((np.abs(off[:, i]) <= half[:, i]).mean()), 1),
                "median_width_points": round(float(np.median(2 * half[:, i])), 1),
            }
            for i, slug in enumerate(SLUGS)
        },
        "interval_coverage_percent": round(100 * float((np.abs(off) <= half).mean()), 1),
        "warned": sum(one["warned"] for one in livers),
    }
    if "placed" in livers[0]:
        result["flr_error_points_landmarks"] = summary(np.concatenate([one["placed"] for one in livers]))
        for way, key in WAYS.items():
            result[key] = {
                kind: summary(np.concatenate([one["spoilt"][kind][way] for one in livers]))
                for kind in livers[0]["spoilt"]
            }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=20, help="of landmarks; 0: neither these nor imperfect masks")
    parser.add_argument("--split", default="test")
    parser.add_argument("--only", nargs="*", help="case numbers")
    parser.add_argument("--out", type=Path, default=FOLDER / "scores.json")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    chosen = parser.parse_args()
    with (chosen.labels / "split.csv").open() as table:
        names = [row["file"] for row in csv.DictReader(table) if row["split"] == chosen.split]
    paths = [chosen.labels / name for name in names if not chosen.only or name[5:8] in chosen.only]
    with ProcessPoolExecutor(chosen.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        livers = list(pool.map(one_liver, paths, [chosen.draws] * len(paths)))
    result = scores(livers)
    chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
