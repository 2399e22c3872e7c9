"""Measures the model by cross-validation, through the public function, and writes ``scores.json``.

    python evaluate.py --scans SCANS --work WORK [--only NAME ...]

Each labelled scan is segmented by the networks and the atlas of its fold (WORK/fold_K.onnx, WORK/edge_K.onnx of
../liver_edge_v1, WORK/prior_K.npz), which never saw the patient; chaos_ct_03, which took no part in any fit or setting,
by the released ones. Dice, volume error in percent, average symmetric surface distance in mm, confidence, CPU seconds.
The scores of the atlas alone are kept in ``classical.json`` and repeated beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cases import LITS, NAMES, files_of, fold_of
from scipy.stats import spearmanr

from livervol.errors import ScanError
from livervol.files import sha256_of
from livervol.io.dicom import read_dicom
from livervol.io.images import read_image, read_labels
from livervol.kernels.distance import distance_to
from livervol.kernels.morphology import erode_mm
from livervol.scan import Scan
from livervol.segment.liver import segment_liver
from livervol.segment.liver_edge import EDGE_MODEL
from livervol.segment.liver_prior import read_prior
from livervol.segment.model import ModelCard, find_model, read_card

FOLDER = Path(__file__).resolve().parent
SETS = {"full-field CT": "sabs", "CT with lesions": "lits", "CT": ("sabs", "lits"), "MR T2": "chaos_mr"}


def assd_mm(a: np.ndarray, b: np.ndarray, spacing_mm: tuple[float, float, float]) -> float:
    """Average symmetric surface distance in mm, between the centres of the outermost voxels of two masks."""
    # voxels as unit cubes: one layer of face neighbours, whatever the spacing
    rims = [mask & ~erode_mm(mask, 1.0, (1.0, 1.0, 1.0)).astype(bool) for mask in (a, b)]
    there = distance_to(rims[1], spacing_mm)[rims[0]]
    back = distance_to(rims[0], spacing_mm)[rims[1]]
    return float((there.sum() + back.sum()) / (there.size + back.size))


def fold_card(work: Path, fold: int) -> ModelCard:
    """The released card with the first network of one fold."""
    return _with_weights(read_card(FOLDER), work / f"fold_{fold}.onnx")


def fold_models(work: Path, fold: int) -> dict[str, Any]:
    """Networks and atlas of one fold, as ``segment_liver`` takes them."""
    edge = _with_weights(find_model(EDGE_MODEL), work / f"edge_{fold}.onnx")
    return {"card": fold_card(work, fold), "edge": edge, "prior": read_prior(work / f"prior_{fold}.npz")}


def _with_weights(card: ModelCard, weights: Path) -> ModelCard:
    return replace(card, weights=weights, sha256=sha256_of(weights))


def measure(scan: Scan, truth: np.ndarray, models: dict[str, Any]) -> dict[str, object]:
    """Scores of one scan by the given networks and atlas; a refused one has the sentence instead."""
    start = time.process_time()
    try:
        found = segment_liver(scan, **models)
    except ScanError as error:
        return {"dice": 0.0, "refused": str(error)}
    seconds = time.process_time() - start
    mask = found.segmentation.mask()
    sizes = np.count_nonzero(mask), np.count_nonzero(truth)
    return {
        "dice": round(float(2 * np.count_nonzero(mask & truth) / sum(sizes)), 4),
        "volume_error_percent": round(float(100 * (sizes[0] / sizes[1] - 1)), 2),
        "assd_mm": round(assd_mm(mask, truth, scan.grid.spacing_mm), 2),
        "confidence": round(found.confidence, 3),
        "soft_dice": round(found.facts["soft_dice"], 4),
        "agreement": round(found.facts["agreement"], 4),
        "consent": round(found.facts["consent"], 4),
        "cpu_s": round(seconds, 1),
    }


def labelled_scan(scans: Path, name: str) -> tuple[Scan, np.ndarray]:
    """A labelled scan and its liver as drawn."""
    image, label, values, modality = files_of(scans, name)
    scan = read_image(image, modality=modality, sequence="CT" if modality == "CT" else "T2")
    return scan, truth_of(label, values)


def truth_of(label: Path, values: dict[int, int]) -> np.ndarray:
    """Liver with its tumours, as drawn."""
    return np.isin(read_labels(label).labels, [v for v, c in values.items() if c in (1, 11)])


def summary(rows: dict[str, dict[str, object]], names: list[str]) -> dict[str, float]:
    """Figures of a set."""
    dice = np.array([rows[n]["dice"] for n in names], float)
    volume = np.array([abs(float(str(rows[n].get("volume_error_percent", 100)))) for n in names])
    distance = np.array([rows[n].get("assd_mm", np.nan) for n in names], float)
    return {
        "scans": len(names),
        "dice_mean": round(float(dice.mean()), 4),
        "dice_median": round(float(np.median(dice)), 4),
        "dice_worst": round(float(dice.min()), 4),
        "volume_error_percent_mean": round(float(volume.mean()), 2),
        "volume_error_percent_median": round(float(np.median(volume)), 2),
        "assd_mm_mean": round(float(np.nanmean(distance)), 2),
    }


def report(rows: dict[str, dict[str, object]]) -> dict[str, object]:
    """Every figure: by set, by fold, rank correlation of confidence with Dice, and scan by scan."""
    done = [n for n in NAMES if n in rows]
    document: dict[str, object] = {"sets": {}, "folds": {}, "confidence_rank_correlation": {}, "scans": rows}
    for title, start in SETS.items():
        names = [n for n in done if n.startswith(start)]
        if names:
            document["sets"][title] = summary(rows, names)
            told = [n for n in names if "confidence" in rows[n]]
            if len(told) > 4:
                rank = spearmanr([rows[n]["confidence"] for n in told], [rows[n]["dice"] for n in told]).statistic
                document["confidence_rank_correlation"][title] = round(float(rank), 3)
    told = [n for n in done if "confidence" in rows[n]]
    if len(told) > 4:
        rank = spearmanr([rows[n]["confidence"] for n in told], [rows[n]["dice"] for n in told]).statistic
        document["confidence_rank_correlation"]["all"] = round(float(rank), 3)
    for fold in range(5):
        names = [n for n in done if fold_of(n) == fold]
        if names:
            document["folds"][str(fold)] = summary(rows, names)
    classical = FOLDER / "classical.json"
    if classical.is_file():
        document["classical"] = json.loads(classical.read_text(encoding="utf-8"))
    return document


def main() -> None:
    """Measure what is asked for; earlier rows of scores.json stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of scan names")
    parser.add_argument("--out", type=Path, default=FOLDER / "scores.json")
    chosen = parser.parse_args()
    path = chosen.out
    rows = json.loads(path.read_text(encoding="utf-8"))["scans"] if path.is_file() else {}
    for name in (*NAMES, "chaos_ct_03"):
        if chosen.only and not name.startswith(tuple(chosen.only)):
            continue
        if name == "chaos_ct_03":
            folder = chosen.scans / name
            scan = read_dicom(folder / "dicom")[0]
            rows[name] = measure(scan, truth_of(folder / "liver.nii.gz", LITS), {})
        else:
            fold = fold_of(name)
            rows[name] = {"fold": fold} | measure(*labelled_scan(chosen.scans, name), fold_models(chosen.work, fold))
        print(name, rows[name], flush=True)
        path.write_text(json.dumps(report(rows), indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in report(rows).items() if k != "scans"}, indent=1))


if __name__ == "__main__":
    main()
