"""The labelled scans as cached 2 mm lattices: grey values, and one class per voxel.

    python cases.py --scans SCANS --work WORK

Writes WORK/cases/NAME.npz: ``grey`` (uint8, ``livervol.segment.liver_net.network_grey``; 255 outside the field of view)
and ``classes`` (uint8). Labels are interpolated class by class, so that thick slices make no stairs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

#: Classes of the training labels. A tumour counts as liver; it is kept apart to be painted apart.
CLASSES = ("other", "liver", "spleen", "right kidney", "left kidney", "gallbladder", "stomach or oesophagus", "aorta",
           "vena cava", "portal or splenic vein", "pancreas", "liver tumour")  # fmt: skip
LIVER, TUMOUR = 1, 11

#: Label values of each source to classes; what is not named is "other".
BTCV = {1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 6: 1, 7: 6, 8: 7, 9: 8, 10: 9, 11: 10}
CHAOS = {1: 1, 2: 3, 3: 4, 4: 2}
LITS = {1: 1, 2: 11}

#: Classes that each source draws; elsewhere "other" may hold the rest.
DRAWN = {"sabs": tuple(range(1, 11)), "chaos": (1, 2, 3, 4), "lits": (1,)}

#: One patient or near-copies: together they count as one scan and a half.
NEAR_COPIES = ("lits_006", "lits_007", "lits_008", "lits_009", "lits_010")

FOLDS = 5


def fold_of(name: str) -> int:
    """Cross-validation fold of a scan, by patient: near-copies together, MR in the first four folds."""
    kind, number = name.rsplit("_", 1)
    if kind == "sabs":
        return BTCV_CASES.index(number) % FOLDS
    if kind == "chaos_mr":
        return CHAOS_CASES.index(number) % 4
    return {"000": 0, "001": 1, "003": 2, "005": 3, "011": 0, "012": 1, "013": 2, "127": 3, "128": 3}.get(number, 4)


BTCV_CASES = ("00", "01", "02", "04", "05", "06", "07", "08", "09", "10", "11", "13", "14", "15", "16", "18", "19",
              "21", "22", "23", "24", "25", "26", "27", "28", "29")  # fmt: skip
CHAOS_CASES = ("01", "02", "03", "05", "08", "10", "13", "15", "19", "20", "21", "22")
LITS_CASES = ("000", "001", "003", "005", "006", "007", "008", "009", "010", "011", "012", "013", "127", "128")
NAMES = tuple(
    [f"sabs_{n}" for n in BTCV_CASES] + [f"lits_{n}" for n in LITS_CASES] + [f"chaos_mr_{n}" for n in CHAOS_CASES]
)


def files_of(scans: Path, name: str) -> tuple[Path, Path, dict[int, int], str]:
    """Image, label file, label values to classes, modality of a scan."""
    if name.startswith("chaos_mr"):
        return scans / name / "t2spir.nii.gz", scans / name / "organs.nii.gz", CHAOS, "MR"
    folder = scans / "train_ct" / name
    if name.startswith("sabs"):
        return folder / "ct.nii.gz", folder / "organs.nii.gz", BTCV, "CT"
    drawn = folder / "liver_tumour.nii.gz"
    return folder / "ct.nii.gz", drawn if drawn.is_file() else folder / "liver.nii.gz", LITS, "CT"


def make_case(scans: Path, name: str, out: Path) -> None:
    """Sample one scan and its labels on the straight 2 mm lattice."""
    from livervol.io.images import read_image, read_labels
    from livervol.scan import Scan
    from livervol.segment.body import straight_scan
    from livervol.segment.liver_net import LATTICE_MM, network_grey

    image, label, values, modality = files_of(scans, name)
    straight = straight_scan(read_image(image, modality=modality), LATTICE_MM)
    drawn = read_labels(label)
    best = np.full(straight.values.shape, 0.5, np.float32)
    classes = np.zeros(straight.values.shape, np.uint8)
    for cls in sorted(set(values.values())):
        mask = np.isin(drawn.labels, [v for v, c in values.items() if c == cls])
        if mask.any():
            share = Scan(mask.astype(np.float32), drawn.grid, "MR", "other").resampled(straight.grid, outside=0.0)
            # thin organs may share a voxel with several others: the largest share that is not less than "other"
            won = share.voxels > np.maximum(best, 0.5 - 1e-6) - (1e-6 if cls == LIVER else 0)
            classes[won], best[won] = cls, share.voxels[won]
    grey = np.rint(254 * network_grey(straight)).astype(np.uint8)
    grey[~straight.inside] = 255
    np.savez_compressed(out, grey=grey, classes=classes)


def main() -> None:
    """Make every case that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    chosen = parser.parse_args()
    (chosen.work / "cases").mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        path = chosen.work / "cases" / f"{name}.npz"
        if not path.exists():
            make_case(chosen.scans, name, path)
            print(name, fold_of(name), flush=True)


if __name__ == "__main__":
    main()
