"""Makes the liver prior: maps of how often each tissue class lies at each place, in a common frame of 26 abdomens.

    python fit.py --scans SCANS/train_ct --out prior.npz

Each labelled CT (BTCV abdomen, organs 1 to 13) is sampled at 3 mm and divided into the classes: its labelled
organs, and by intensity and place lung or gas, fat, bone, heart, wall muscle and bowel. Poses (shift, scales, angles)
that bring every scan onto the mean of the others are found by Powell's method in four rounds; the maps are the
class shares, lightly smoothed. Deterministic. The scans' HU are clipped to [-125, 275]: nothing is learnt of lung, air
or dense bone beyond that.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.optimize import minimize

from livervol.grid import Grid
from livervol.io.images import read_image, read_labels
from livervol.segment.liver_prior import CLASSES, LIVER, pose_matrix

SAMPLE_MM, MAP_MM, MAP_SHAPE, ROUNDS = 3.0, 5.0, (84, 64, 84), 4
ORGAN_CLASS = {1: "spleen", 2: "kidney", 3: "kidney", 4: "gallbladder", 5: "stomach and oesophagus", 6: "liver",
               7: "stomach and oesophagus", 8: "aorta", 9: "vena cava and portal vein", 10: "vena cava and portal vein",
               11: "pancreas and adrenals", 12: "pancreas and adrenals", 13: "pancreas and adrenals"}  # fmt: skip
CODE = {name: n for n, name in enumerate(CLASSES)}
CENTRE = (np.array(MAP_SHAPE) - 1) / 2


def body_of(voxels: np.ndarray) -> np.ndarray:
    """The trunk: largest soft piece, gaps closed, filled slice by slice."""
    pieces, _ = ndimage.label(ndimage.binary_opening(voxels > -100))
    mask = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    padded = np.pad(mask, ((2, 2), (9, 9), (9, 9)), mode="edge")
    mask |= ndimage.binary_closing(padded, iterations=8)[2:-2, 9:-9, 9:-9]
    return np.stack([ndimage.binary_fill_holes(plane) for plane in mask])


def depth_mm(mask: np.ndarray) -> np.ndarray:
    """In-plane distance to the mask's outside."""
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    return ndimage.distance_transform_edt(padded, sampling=(1e3, SAMPLE_MM, SAMPLE_MM))[:, 1:-1, 1:-1]


def classify(voxels: np.ndarray, organs: np.ndarray) -> np.ndarray:
    """The prior's class of every voxel of one scan."""
    body, planes = body_of(voxels), np.arange(len(voxels))
    classes = np.full(voxels.shape, CODE["wall muscle"], np.uint8)
    classes[voxels < -30] = CODE["fat"]
    classes[voxels < -110] = CODE["lung or gas"]
    classes[~body] = CODE["outside"]
    for value, name in ORGAN_CLASS.items():
        classes[organs == value] = CODE[name]
    seen = [k for k in planes if (organs[k] == 8).any()]
    behind = np.interp(planes, seen, [np.nonzero(organs[k] == 8)[0].mean() for k in seen])[:, None, None]
    rows, top = np.arange(voxels.shape[1])[None, :, None], np.flatnonzero((organs == 6).any(axis=(1, 2)))[-1]
    soft = classes == CODE["wall muscle"]
    bone = soft & (voxels > 150) & ((rows > behind + 2) | (depth_mm(body) < 40))
    classes[bone] = CODE["bone"]
    lungs, _ = ndimage.label(ndimage.binary_opening(classes == CODE["lung or gas"]))
    sizes = np.bincount(lungs.ravel())
    sizes[0] = 0
    kept = [n for n in np.flatnonzero(sizes > 2000) if np.nonzero(lungs == n)[0].max() >= min(top, len(voxels) - 2)]
    lung = np.isin(lungs, kept)
    between = np.maximum.accumulate(lung, 2) & np.maximum.accumulate(lung[:, :, ::-1], 2)[:, :, ::-1]
    in_front, height = rows < behind - 1, planes[:, None, None]
    classes[between & soft & ~bone & in_front & (height > top - 15)] = CODE["heart"]
    shell = np.zeros_like(body)
    for k in planes:
        closed = ndimage.binary_closing(np.pad((classes[k] >= LIVER) & body[k], 12), iterations=10)[12:-12, 12:-12]
        shell[k] = ndimage.binary_fill_holes(closed)
    spine = ndimage.binary_opening((classes == CODE["bone"]) & (rows > behind))
    near_spine = (ndimage.distance_transform_edt(~spine) * SAMPLE_MM < 30) & (rows > behind - 3)
    inner = (classes == CODE["wall muscle"]) & (depth_mm(shell) > 24) & ~near_spine
    classes[inner] = CODE["bowel"]
    classes[inner & (height > top - 8) & in_front] = CODE["heart"]
    return classes


def sampled(folder: Path) -> tuple[np.ndarray, Grid]:
    """Classes of one scan on a straight 3 mm grid."""
    scan, organs = read_image(folder / "ct.nii.gz", modality="CT"), read_labels(folder / "organs.nii.gz")
    corners = scan.grid.corners_lps_mm()
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = np.floor((high - low) / SAMPLE_MM + 1e-6).astype(int) + 1
    first = low + ((high - low) - (shape - 1) * SAMPLE_MM) / 2
    grid = Grid.from_parts(shape[::-1].tolist(), (SAMPLE_MM,) * 3, first.tolist())
    return classify(scan.resampled(grid).voxels.astype(np.float32), organs.resampled(grid).labels), grid


def counts(classes: np.ndarray, grid: Grid, pose: np.ndarray) -> np.ndarray:
    """One scan's classes counted on the maps' lattice, shape (n_classes, *MAP_SHAPE)."""
    matrix, offset = pose_matrix(pose)
    index = np.indices(MAP_SHAPE).reshape(3, -1).T
    places = ((index - CENTRE) * MAP_MM - offset) @ np.linalg.inv(matrix).T
    there = np.rint(grid.lps_to_index(places[:, ::-1])).astype(int)
    inside = np.all((there >= 0) & (there < grid.shape_zyx), axis=1)
    result = np.zeros((len(CLASSES), len(index)), np.float32)
    result[classes[tuple(there[inside].T)], np.flatnonzero(inside)] = 1
    return result.reshape(len(CLASSES), *MAP_SHAPE)


def shares(total: np.ndarray) -> np.ndarray:
    """Counts to class shares; places seen by too few scans take the nearest seen one."""
    soft = np.stack([ndimage.gaussian_filter(layer, 0.8, mode="nearest") for layer in total])
    weight = soft.sum(axis=0)
    nearest = ndimage.distance_transform_edt(weight < 1.5, return_distances=False, return_indices=True)
    return (soft / np.maximum(weight, 1e-3))[(slice(None), *nearest)]


def first_pose(classes: np.ndarray, grid: Grid) -> np.ndarray:
    """Centre of the trunk at the liver's height; scales that make it 330 by 220 mm."""
    height = np.percentile(np.argwhere(classes == LIVER)[:, 0], [1, 99])
    trunk = np.argwhere(classes[int(height[0]) : int(height[1]) + 1] >= 1)
    (y0, y1), (x0, x1) = (np.percentile(trunk[:, axis], [1, 99]) for axis in (1, 2))
    centre = grid.index_to_lps((height.mean(), (y0 + y1) / 2, (x0 + x1) / 2))[::-1]
    return np.array([*centre, 0, np.log(220 / ((y1 - y0) * SAMPLE_MM)), np.log(330 / ((x1 - x0) * SAMPLE_MM)), 0, 0, 0])


def refined(maps: np.ndarray, classes: np.ndarray, grid: Grid, start: np.ndarray) -> np.ndarray:
    """The pose under which the maps explain the scan's classes round its liver best."""
    used = np.flatnonzero((classes == LIVER).any(axis=(1, 2)))
    low, high = max(0, used[0] - 15), min(len(classes), used[-1] + 16)
    away = ndimage.distance_transform_edt(classes[low:high] != LIVER) * SAMPLE_MM
    index = np.argwhere(away < 60)
    index = index[(index % 2 == 0).all(axis=1)]
    label, weight = classes[low:high][tuple(index.T)], np.exp(-away[tuple(index.T)] / 40)
    places, logs = grid.index_to_lps(index + np.array([low, 0, 0]))[:, ::-1], np.log(maps + 0.004)
    scale = np.array([10, 10, 10, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])

    def cost(unit: np.ndarray) -> float:
        pose = unit * scale
        matrix, offset = pose_matrix(pose)
        at = np.clip(np.rint((places @ matrix.T + offset) / MAP_MM + CENTRE).astype(int), 0, np.array(MAP_SHAPE) - 1)
        prior = 0.002 * ((pose[3:6] / 0.15) ** 2).sum() + 0.002 * ((pose[6:9] / 0.1) ** 2).sum()
        return float(prior - (weight * logs[label, at[:, 0], at[:, 1], at[:, 2]]).sum() / weight.sum())

    found = minimize(cost, start / scale, method="Powell", options={"maxfev": 700, "xtol": 0.02, "ftol": 1e-4})
    return found.x * scale


def main() -> None:
    """Fit and write the maps as uint8, 255 = certain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    scans = [sampled(folder) for folder in sorted(chosen.scans.iterdir()) if (folder / "organs.nii.gz").is_file()]
    poses = [first_pose(*scan) for scan in scans]
    for turn in range(ROUNDS):
        total = sum(counts(*scan, pose) for scan, pose in zip(scans, poses, strict=True))
        for n, scan in enumerate(scans):
            # a scan is posed on the mean of the others, so that none locks onto itself
            poses[n] = refined(shares(total - counts(*scan, poses[n])), *scan, poses[n])
        drift = np.mean([pose[3:] for pose in poses], axis=0)
        for pose in poses:
            pose[3:] -= drift
        print(f"round {turn + 1} of {ROUNDS}, drift {np.round(drift, 3)}", flush=True)
    maps = shares(sum(counts(*scan, pose) for scan, pose in zip(scans, poses, strict=True)))
    np.savez_compressed(chosen.out, maps=np.rint(maps * 255).astype(np.uint8), spacing_mm=MAP_MM)


if __name__ == "__main__":
    main()
