"""Lesions of labelled livers: recall and false positives per scan, automatic and one-click Dice.

    python benchmarks/lesion_recall.py [--folds WORK] [--livers FOLDER] [--only NAME ...]

Scans: train_ct/lits_000 to lits_010 of LIVERVOL_SHARED. With ``--folds`` (fold_K.onnx and prior_K.npz, as the liver
model's fit.py makes them) each liver is outlined by what never saw the patient; else by the released networks. The
detector learns nothing from labels. 006 to 010 are near-copies of one patient: they are counted apart and together as
one patient. 000 and 001 are at full resolution. ``--livers`` keeps the outlines as NAME.npz.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
from lesion_scores import Score, match, one_click, report
from numpy.typing import NDArray

from livervol.io.images import read_image, read_labels
from livervol.kernels.components import label_components
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.lesions import segment_lesions
from livervol.segment.liver import MODEL, segment_liver
from livervol.segment.phase import recognise_phases

SCANS = ("000", "001", "003", "005", "006", "007", "008", "009", "010")
NEAR_COPIES = ("lits_006", "lits_007", "lits_008", "lits_009", "lits_010")


def outline(scan: Scan, name: str, folds: Path | None, kept: Path | None) -> Segmentation:
    """The program's liver, by networks that never saw the patient where ``folds`` is given."""
    path = kept / f"{name}.npz" if kept else None
    if path is not None and path.is_file():
        return Segmentation(np.load(path)["labels"], scan.grid, {1: "liver"}, "kept")
    if folds is None:
        found = segment_liver(scan).segmentation
    else:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models" / MODEL))
        from cases import fold_of
        from evaluate import fold_models

        found = segment_liver(scan, **fold_models(folds, fold_of(name))).segmentation
    if path is not None:
        np.savez_compressed(path, labels=found.labels)
    return found


def pieces(drawn: NDArray[np.bool_]) -> list[tuple[str, NDArray[np.bool_]]]:
    """The drawn tumours one by one."""
    labels, stats = label_components(drawn, 26)
    return [("drawn", labels == n) for n in range(1, len(stats.voxels) + 1)]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=Path, help="folder with the networks and atlases of the folds")
    parser.add_argument("--livers", type=Path, help="folder that keeps the liver outlines")
    parser.add_argument("--only", nargs="*", default=[])
    chosen = parser.parse_args()
    shared = Path(os.environ.get("LIVERVOL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    scores, rng, begun = [], np.random.default_rng(3), time.process_time()
    for number in SCANS:
        name = f"lits_{number}"
        if chosen.only and name not in chosen.only:
            continue
        folder = shared / "scans" / "train_ct" / name
        scan = read_image(folder / "ct.nii.gz", modality="CT")
        drawn = read_labels(folder / "liver_tumour.nii.gz")
        liver = outline(scan, name, chosen.folds, chosen.livers)
        told = recognise_phases([scan], {0: liver}).scans[0]
        phase = told.phase if told.phase is not Phase.UNKNOWN else Phase.PORTAL_VENOUS
        truth = pieces(drawn.labels == 2)
        score = Score(name)
        result = segment_lesions({phase: told}, liver)
        match(score, truth, result.segmentation)
        for lesion in truth:
            one_click(score, lesion, [scan], liver.labels, rng)
        scores.append(score)
        print(f"{name} {phase.value}: {[(round(mm), round(float(d), 2)) for _, mm, d, _ in score.lesions]}, "
              f"false {[round(mm) for mm in score.false_mm]}, clicks {[round(float(r[2]), 2) for r in score.clicks]}; "
              f"{'; '.join(result.warnings)}", flush=True)  # fmt: skip
    report("all scans", scores)
    report("at full resolution", [s for s in scores if s.name in ("lits_000", "lits_001")])
    report("the five near-copies", [s for s in scores if s.name in NEAR_COPIES])
    report("all others", [s for s in scores if s.name not in NEAR_COPIES])
    print(f"{time.process_time() - begun:.0f} s of CPU time")


if __name__ == "__main__":
    main()
