"""What the edge network sees of each labelled scan, through networks and atlases that never saw the scan.

    python maps.py --scans SCANS --liver WORK_OF_LIVER --work WORK [--folds K ...]

WORK_OF_LIVER is the folder of ../liver_v3's fit: fold_K.onnx, prior_K.npz. Writes WORK/maps/NAME.npz: ``channels`` as
``livervol.segment.liver_edge.edge_channels`` gives them (the neighbours' every 4 mm, apart, as ``classes``), ``truth``
(share of liver in each voxel) and ``beyond``, the liver's voxels outside that box. A scan on which the first network is
not trusted is left out: there the edge network is not asked either.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from livervol.assets import models_folder
from livervol.scan import Scan
from livervol.segment.body import straight_scan
from livervol.segment.liver import MODEL, TRUSTED_SOFT_DICE, first_view
from livervol.segment.liver_cut import cut_liver
from livervol.segment.liver_edge import CHANNELS, edge_channels
from livervol.segment.liver_net import LATTICE_MM
from livervol.segment.liver_prior import read_prior

sys.path.insert(0, str(models_folder() / MODEL))
from cases import NAMES, fold_of
from evaluate import fold_card, labelled_scan


def write_maps(scans: Path, liver: Path, work: Path, name: str) -> str:
    """Write one scan's maps; returns what was done."""
    scan, liver_drawn = labelled_scan(scans, name)
    fold = fold_of(name)
    prior = read_prior(liver / f"prior_{fold}.npz")
    view, place, _ = first_view(straight_scan(scan, LATTICE_MM), prior, fold_card(liver, fold))
    if view.soft_dice < TRUSTED_SOFT_DICE:
        return f"left out, soft Dice {view.soft_dice:.2f}"
    box, channels = edge_channels(view, cut_liver(view, place), place)
    drawn = Scan(liver_drawn.astype(np.float32), scan.grid, "MR", "other")
    truth = drawn.resampled(view.grid, outside=0.0).voxels
    beyond = int(np.count_nonzero(truth > 0.5)) - int(np.count_nonzero(truth[box] > 0.5))
    fine, classes = channels[: len(CHANNELS)], channels[len(CHANNELS) :, ::2, ::2, ::2]
    (work / "maps").mkdir(parents=True, exist_ok=True)
    np.savez(work / "maps" / f"{name}.npz", channels=fine.astype(np.float16), classes=classes.astype(np.float16),
             truth=truth[box].astype(np.float16), beyond=beyond)  # fmt: skip
    return f"{fine.shape[1:]}"


def main() -> None:
    """Write the maps that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path, required=True)
    parser.add_argument("--liver", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(5)))
    chosen = parser.parse_args()
    for name in NAMES:
        if fold_of(name) in chosen.folds and not (chosen.work / "maps" / f"{name}.npz").exists():
            print(name, write_maps(chosen.scans, chosen.liver, chosen.work, name), flush=True)


if __name__ == "__main__":
    main()
