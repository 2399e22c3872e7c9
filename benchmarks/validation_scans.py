"""Accuracy on the shared evaluation data: real scans, some with labels."""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from click import clicks, dice_of, drawn_tumours
from phases import rows as phase_rows
from phases import visits as phase_visits
from validation_generated import counted_ml, dice

from livervol.io.dicom import read_dicom
from livervol.io.images import read_image, read_labels
from livervol.kernels.components import label_components
from livervol.kernels.distance import distance_mm
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.lesions import segment_lesions
from livervol.segment.liver import segment_liver
from livervol.segment.phase import recognise_phases
from livervol.segment.vessels import segment_vessels
from livervol.workflows.course import run_course
from livervol.workflows.visit import VisitSettings


def held_out(shared: Path) -> dict[str, Any]:
    """The liver of a CT that no setting has seen."""
    folder = shared / "scans" / "chaos_ct_03"
    scan, truth = read_dicom(folder / "dicom")[0], read_labels(folder / "liver.nii.gz")
    started = time.process_time()
    found = segment_liver(scan)
    seconds = time.process_time() - started
    drawn = truth if truth.grid == found.segmentation.grid else truth.resampled(scan.grid)
    error = 100 * (counted_ml(found.segmentation) / counted_ml(drawn) - 1)
    return {"dice": dice(found.segmentation.mask(), drawn.mask()), "volume_error_percent": error,
            "confidence": found.confidence, "cpu_s": seconds, "voxels": scan.grid.describe()}  # fmt: skip


def phases(shared: Path) -> dict[str, Any]:
    """Contrast phases of the real series whose phase is known."""
    table = [r for v in phase_visits(shared) for r in phase_rows(v, recognise_phases(v.read(shared / "scans")))]
    kinds = {"CT": [r for r in table if not r["series"].startswith("chaos_mr")]}
    kinds["T2 MR (must stay unknown)"] = [r for r in table if r["series"].startswith("chaos_mr")]
    return {
        kind: {"series": len(rows), **{w: sum(r["verdict"] == w for r in rows) for w in ("right", "wrong", "open")}}
        for kind, rows in kinds.items()
    }


def lesions(shared: Path) -> dict[str, Any]:
    """Drawn tumours found within the drawn liver, and outlined by one click at their deepest voxel."""
    table, draw = [], np.random.default_rng(3)
    for name, scan, drawn in drawn_tumours(shared):
        liver = Segmentation((drawn.labels > 0).astype(np.uint8), drawn.grid, {1: "liver"}, "drawn")
        found = segment_lesions({Phase.PORTAL_VENOUS: scan}, liver).segmentation.labels
        pieces, stats = label_components((drawn.labels == 2).view(np.uint8), 26)
        least = np.pi / 6 * 10.0**3 / 1000 / drawn.grid.voxel_ml
        large = [n for n, voxels in enumerate(stats.voxels, 1) if voxels >= least]
        hit = sum(bool((found[pieces == n] > 0).any()) for n in large)
        false = sum(not (drawn.labels[found == n] == 2).any() for n in range(1, int(found.max()) + 1))
        scores = [
            dice_of(scan.voxels, scan.grid.spacing_mm, drawn.labels > 0, pieces == n, at)
            for n in large
            for at in clicks(pieces == n, scan.grid.spacing_mm, draw)
        ]
        table.append({"scan": name, "drawn": len(large), "found": hit, "false": false, "click_dice": scores})
    return {"rows": table}


def vessels(shared: Path) -> dict[str, Any]:
    """Vessels against a CT with drawn ones: share within 2 mm of each other."""
    folder = shared / "scans" / "train_ct" / "lits_010"
    scan, drawn = read_image(folder / "ct.nii.gz", modality="CT"), read_labels(folder / "vessel.nii.gz")
    labels = read_labels(folder / "couinaud.nii.gz")
    liver = Segmentation((labels.labels > 0).astype(np.uint8), labels.grid, {1: "liver"}, "drawn")
    portal = Scan(scan.voxels, scan.grid, "CT", phase=Phase.PORTAL_VENOUS)
    found = segment_vessels(portal, liver).segmentation.mask()
    truth = (drawn.labels > 0) & liver.mask()
    near = [
        distance_mm(np.ascontiguousarray(~mask).view(np.uint8), scan.grid.spacing_mm) <= 2.0 for mask in (truth, found)
    ]
    return {"precision": float(near[0][found].mean()), "recall": float(near[1][truth].mean())}


def readers(shared: Path) -> dict[str, Any]:
    """A patient before and after TACE, run untouched, beside three readers' published sums."""
    table = shared / "oracles" / "hcc_tace_seg" / "readers_of_shared_scans.csv"
    with table.open(encoding="utf-8", newline="") as handle:
        rows: list[dict[str, Any]] = [
            {"criterion": r["criteria"], "reader": f"reader {r['reader']}", "baseline_mm": float(r["baseline_sum_mm"]),
             "followup_mm": float(r["followup_sum_mm"]), "response": r["released_response"]}
            for r in csv.DictReader(handle)
        ]  # fmt: skip
    visits = [[shared / "scans" / "hcc_007" / day] for day in ("19971227", "19980314")]
    with tempfile.TemporaryDirectory() as scratch:
        done = run_course("readers", visits, Path(scratch) / "out", settings=VisitSettings(accept_early_arterial=True))
        for row in done.document["responses"]:
            if row["visit"] == 2:
                name = {"mrecist": "mRECIST", "recist11": "RECIST"}[row["criterion"]]
                rows.append({"criterion": name, "reader": "livervol", "baseline_mm": row["baseline_sum_mm"],
                             "followup_mm": row["sum_mm"], "response": row["overall"]})  # fmt: skip
    return {"rows": rows}
