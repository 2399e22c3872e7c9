"""Accuracy and repeatability on generated scans, whose truth is known."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from livervol.assets import sample_scans_folder
from livervol.grid import Grid
from livervol.io.dicom import read_dicom
from livervol.io.images import read_labels
from livervol.measure.visit import measure_visit
from livervol.scan import Scan, Segmentation
from livervol.segment.liver import segment_liver
from livervol.workflows.course import run_demo

sys.path.insert(0, str(sample_scans_folder()))
from phantom import phantom_masks


def shapes(*, tiny: bool) -> dict[str, Any]:
    """Balls of known size on oblique, anisotropic grids: errors of volume and diameters."""
    draw = np.random.default_rng(1)
    rows = []
    grids = {"0.7 x 0.7 x 2.5 mm": (2.5, 0.7, 0.7), "0.8 x 0.8 x 5 mm": (5.0, 0.8, 0.8), "1.5 mm": (1.5, 1.5, 1.5)}
    for name, spacing in list(grids.items())[: 1 if tiny else None]:
        for diameter in (20.0,) if tiny else (10.0, 15.0, 20.0, 30.0, 45.0, 60.0):
            shape = tuple(int(diameter / s) + 8 for s in spacing)
            grid = _tilted((shape[0], shape[1], shape[2]), spacing)
            index = np.stack(np.indices(shape), -1)
            centre = (np.array(shape) - 1) / 2 + draw.uniform(-0.5, 0.5, 3)
            inside = (((index - centre) * np.array(spacing)) ** 2).sum(-1) < (diameter / 2) ** 2
            body = Segmentation(inside.astype(np.uint8), grid, {1: "lesion 1"}, "truth")
            liver = Segmentation(np.ones(shape, np.uint8), grid, {1: "liver"}, "truth")
            lesion = measure_visit(liver, body).lesions[0]
            true_ml = np.pi / 6 * diameter**3 / 1000
            rows.append(
                {
                    "grid": name, "diameter_mm": diameter, "slice_mm": spacing[0],
                    "in_plane_diagonal_mm": float(np.hypot(*spacing[1:])),
                    "volume_error_percent": 100 * ((lesion.value("volume_ml") or 0) / true_ml - 1),
                    "longest_error_mm": (lesion.value("longest_mm") or 0) - diameter,
                }
            )  # fmt: skip
    return {"rows": rows}


def _tilted(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    a = np.radians(9.0)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    return Grid.from_parts(shape, spacing, (-31.5, 47.25, -812.0), turn @ tilt @ np.eye(3)[:, ::-1])


def course(demo: Path | None) -> dict[str, Any]:
    """The whole job on the generated course against its truth."""
    truth = json.loads((sample_scans_folder() / "truth.json").read_text(encoding="utf-8"))["course"]
    started = time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        folder = demo or run_demo(Path(scratch) / "out").folder
        seconds = time.process_time() - started
        visits, lesions = [], []
        for true in truth["visits"]:
            place = folder / f"visit_{true['number']}"
            found = json.loads((place / "measurements.json").read_text(encoding="utf-8"))
            liver = read_labels(place / "liver.nii.gz")
            error = 100 * (found["liver"]["volume_ml"] / true["liver"]["volume_ml"] - 1)
            visits.append(
                {"visit": true["number"], "volume_error_percent": error,
                 "dice": dice(liver.mask(), phantom_masks(true["number"], liver.grid).liver > 0)}
            )  # fmt: skip
            by_number = {lesion["number"]: lesion for lesion in found["lesions"]}
            for one in true["lesions"]:
                got = by_number.get(one["number"], {})
                lesions.append({"visit": true["number"], "lesion": one["number"], **_lesion_errors(one, got)})
            extra = sorted(set(by_number) - {one["number"] for one in true["lesions"]})
            visits[-1]["false_lesions"] = len(extra)
        responses = json.loads((folder / "course.json").read_text(encoding="utf-8"))["responses"]
    right = sum(
        row["overall"] == next(t["overall"] for t in truth[row["criterion"]] if t["visit"] == row["visit"])
        for row in responses
        if row["overall"]
    )
    answers = {"right": right, "asked": sum(bool(row["overall"]) for row in responses)}
    return {"visits": visits, "lesions": lesions, "responses": answers, "cpu_s": None if demo else seconds}


def _lesion_errors(true: dict[str, Any], got: dict[str, Any]) -> dict[str, Any]:
    names = ("longest_mm", "viable_longest_mm", "volume_ml", "necrosis_percent")
    row: dict[str, Any] = {f"true_{name}": true[name] for name in names} | {name: got.get(name) for name in names}
    for name in ("longest_mm", "viable_longest_mm"):
        low, high = got.get(f"{name}_interval") or (np.nan, np.nan)
        row[f"{name}_held"] = bool(low <= true[name] <= high)
    return row


def dice(one: np.ndarray, two: np.ndarray) -> float:
    """Overlap of two masks, 0 to 1."""
    return float(2 * np.count_nonzero(one & two) / (np.count_nonzero(one) + np.count_nonzero(two)))


def repeatability(*, tiny: bool) -> dict[str, Any]:
    """The same scan again, and changed a little: the liver's volume each time."""
    folder = sample_scans_folder() / "course" / "visit_1" / "portal_venous"
    scan = read_dicom(folder)[0]
    started = time.process_time()
    first = segment_liver(scan).segmentation
    seconds = time.process_time() - started
    rows = [{"change": "none", "volume_ml": counted_ml(first), "dice": 1.0, "same": True}]
    changes: dict[str, Callable[[Scan], Scan]] = {
        "none, again": lambda s: s,
        "noise of 8 HU": _noisy,
        "slices of 4 mm": lambda s: s.resampled(s.grid.with_spacing((4.0, *s.grid.spacing_mm[1:]))),
        "voxels of 2.1 x 2.1 x 2.9 mm": lambda s: s.resampled(s.grid.with_spacing((2.9, 2.1, 2.1))),
    }
    for name, change in list(changes.items())[: 1 if tiny else None]:
        changed = change(scan)
        liver = segment_liver(changed).segmentation
        back = liver if changed.grid == scan.grid else liver.resampled(scan.grid)
        same = bool(np.array_equal(back.labels, first.labels))
        rows.append(
            {"change": name, "volume_ml": counted_ml(liver), "dice": dice(back.mask(), first.mask()), "same": same}
        )
    return {"rows": rows, "cpu_s": seconds}


def counted_ml(mask: Segmentation) -> float:
    """Volume of what is marked, ml."""
    return float(np.count_nonzero(mask.labels)) * mask.grid.voxel_ml


def _noisy(scan: Scan) -> Scan:
    noise = np.random.default_rng(2).normal(0, 8, scan.grid.shape_zyx)
    return Scan(np.rint(scan.voxels + noise).astype(np.int16), scan.grid, "CT", phase=scan.phase)
