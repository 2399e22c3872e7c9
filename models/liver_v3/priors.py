"""Makes the priors of the folds for evaluate.py: WORK/prior_K.npz from the BTCV scans that are not in fold K.

    python priors.py --scans SCANS --work WORK

The functions are those of ../liver_prior_v1/fit.py. Each scan is posed once on the released maps instead of in four
rounds; the maps of a fold are then the counts of the other folds' scans. So a fold's own scans are not in its maps;
they only took part in the released maps on which the others were posed.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np
from cases import BTCV_CASES, FOLDS, fold_of

from livervol.assets import models_folder
from livervol.segment.liver_prior import load_prior


def main() -> None:
    """Pose every scan, then count without each fold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    chosen = parser.parse_args()
    spec = importlib.util.spec_from_file_location("prior_fit", models_folder() / "liver_prior_v1" / "fit.py")
    assert spec is not None
    assert spec.loader is not None
    fit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fit)
    maps = np.moveaxis(load_prior().maps, -1, 0)
    counts = {}
    for number in BTCV_CASES:
        name = f"sabs_{number}"
        classes, grid = fit.sampled(chosen.scans / "train_ct" / name)
        pose = fit.refined(maps, classes, grid, fit.first_pose(classes, grid))
        counts[name] = fit.counts(classes, grid, pose)
        print(name, np.round(pose, 2), flush=True)
    for fold in range(FOLDS):
        shares = fit.shares(sum(count for name, count in counts.items() if fold_of(name) != fold))
        path = chosen.work / f"prior_{fold}.npz"
        np.savez_compressed(path, maps=np.rint(shares * 255).astype(np.uint8), spacing_mm=fit.MAP_MM)


if __name__ == "__main__":
    main()
