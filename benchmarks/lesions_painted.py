"""Lesions painted into two livers: detection, false positives, one-click Dice, automatic Dice, diameter error.

    python benchmarks/lesions_painted.py [--livers FOLDER] [--phases portal|three] [--clicks one|all]

The livers are chaos_ct_03 and crlm_1004 of LIVERVOL_SHARED. Generator and settings were written down before any run
and before any setting of the detector or the click was looked at with them. A lesion is a lobed ellipsoid; its tissue
replaces nothing but is added to the scan as contrast, blurred by the scan's own resolution (1 mm), so that the scan's
noise stays. Detections that the unpainted scan gives as well (real metastases of crlm_1004) are left out and printed.
The liver is outlined on the unpainted scan by the program. A click is made in the phase that shows the lesion best and
sees that phase alone (``--clicks one``) or the other enhanced ones too. ``--livers`` keeps these outlines as NAME.npz.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from lesion_scores import Score, match, one_click, report
from numpy.typing import NDArray

from livervol.io.dicom import read_dicom
from livervol.kernels.distance import distance_mm
from livervol.kernels.smooth import gaussian
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.lesions import segment_lesions
from livervol.segment.liver import segment_liver

SCANS = ("chaos_ct_03", "crlm_1004")
SIZES_MM = (10.0, 15.0, 20.0, 30.0, 50.0, 80.0)
#: Contrast to parenchyma in HU: native, late arterial, portal venous; of tissue, core, rim.
KINDS: Mapping[str, tuple[tuple[float, float, float], ...]] = {
    "dark": ((-15, -25, -40), (-15, -25, -40), (-15, -25, -40)),
    "faint dark": ((-8, -15, -25), (-8, -15, -25), (-8, -15, -25)),
    "bright in the arterial phase, washout": ((-8, 40, -15), (-8, 40, -15), (-8, 30, 0)),
    "like liver with a rim": ((0, 0, -5), (0, 0, -5), (0, 35, 25)),
    "necrotic core": ((-8, 35, -10), (-30, -55, -75), (-8, 35, -10)),
}
PLACES = ("central", "under the capsule", "dome")
#: Core and rim as shares of the radius.
CORE, RIM = 0.55, 0.85
BLUR_MM, AXES, APART_MM, SEED = 1.0, (0.8, 1.0, 0.9), 15.0, 20261
#: Native and arterial scans are made from the portal one: parenchyma's level there, and the share of contrast kept.
LEVELS = {Phase.NATIVE: (55.0, 0.25), Phase.LATE_ARTERIAL: (75.0, 0.5)}
NOISE_HU = 8.0
#: Room kept around the liver.
ROOM_MM = 30.0


def phase_of(portal: Scan, liver: NDArray[np.bool_], phase: Phase, rng: np.random.Generator) -> Scan:
    """An earlier phase made from the portal one: enhancement inside the body scaled down, noise of its own."""
    level, share = LEVELS[phase]
    usual = float(np.median(portal.voxels[liver]))
    smooth = gaussian(portal.voxels.astype(np.float32), BLUR_MM, portal.grid.spacing_mm)
    soft = np.clip(smooth, -20.0, 350.0)
    values = portal.voxels - soft + np.where(soft > level, level + share * (soft - usual), soft)
    noise = gaussian(rng.normal(0, 1, values.shape).astype(np.float32), 0.6, portal.grid.spacing_mm)
    values = values + np.float32(NOISE_HU / noise.std()) * noise
    return replace(portal, voxels=values.astype(np.float32), phase=phase)


def _distance(shape: tuple[int, ...], spacing: tuple[float, ...], at: NDArray, size_mm: float, turn: float) -> NDArray:
    # 0 in the middle, 1 on the surface of a lobed ellipsoid
    z, y, x = ((np.arange(n) - a) * s for n, a, s in zip(shape, at, spacing, strict=True))
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]
    half = 0.5 * size_mm
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    r = np.sqrt((z / (AXES[0] * half)) ** 2 + (u / (AXES[1] * half)) ** 2 + (v / (AXES[2] * half)) ** 2)
    return r / (1.0 + 0.08 * np.cos(3 * np.arctan2(v, u)) * np.minimum(r, 1.0))


def places(liver: NDArray[np.bool_], spacing: tuple[float, ...], size_mm: float, place: str) -> NDArray[np.int64]:
    """Voxels a lesion of this size may be centred on."""
    depth = distance_mm(liver, spacing, border_is_background=True)
    top = np.flatnonzero(liver.any(axis=(1, 2)))[-1]
    below_top = (top - np.arange(len(liver)))[:, None, None] * spacing[0]
    if place == "central":
        fits = depth > min(0.6 * size_mm, 0.9 * depth.max())
    elif place == "under the capsule":
        fits = (depth > 0.25 * size_mm) & (depth < 0.45 * size_mm)
    else:
        fits = (depth > 0.3 * size_mm) & (below_top < max(0.75 * size_mm, 30.0))
    return np.argwhere(fits)


def unpainted(portal: Scan, liver: Segmentation, three: bool, rng: np.random.Generator) -> dict[Phase, Scan]:
    """The phases before anything is painted."""
    phases = LEVELS if three else ()
    return {Phase.PORTAL_VENOUS: portal} | {phase: phase_of(portal, liver.mask(), phase, rng) for phase in phases}


def visits(
    portal: Scan, liver: Segmentation, three: bool
) -> Iterator[tuple[dict[Phase, Scan], list[tuple[str, NDArray[np.bool_]]], list[Phase]]]:
    """Painted visits: phases, (group, mask) of every lesion, and the phase in which each contrasts most."""
    rng = np.random.default_rng(SEED)
    inside, spacing = liver.mask(), portal.grid.spacing_mm
    base = unpainted(portal, liver, three, rng)
    order = (Phase.NATIVE, Phase.LATE_ARTERIAL, Phase.PORTAL_VENOUS)
    for kind, contrasts in KINDS.items():
        # small ones share a visit, a very large one has its own
        for sizes in (SIZES_MM[:4], SIZES_MM[4:5], SIZES_MM[5:]):
            taken = np.zeros(inside.shape, bool)
            painted = {phase: scan.voxels.astype(np.float32).copy() for phase, scan in base.items()}
            truth, best = [], []
            for k, size in enumerate(sizes):
                place = PLACES[(k + len(kind)) % 3]
                free = distance_mm(~taken, spacing) if taken.any() else np.full(inside.shape, 1e3, np.float32)
                where = places(inside, spacing, size, place)
                where = where[free[tuple(where.T)] > 0.5 * size + APART_MM]
                if not len(where):
                    continue
                r = _distance(inside.shape, spacing, where[rng.integers(len(where))], size, rng.uniform(0, np.pi))
                mask = (r <= 1.0) & inside
                taken |= mask
                for index, phase in enumerate(order):
                    if phase in painted:
                        tissue, core, rim = (c[index] for c in contrasts)
                        step = np.where(r <= CORE, core, np.where(r > RIM, rim, tissue)) * mask
                        painted[phase] += gaussian(step.astype(np.float32), BLUR_MM, spacing)
                truth.append((kind, mask))
                present = [index for index, phase in enumerate(order) if phase in painted]
                best.append(order[max(present, key=lambda i: max(abs(c[i]) for c in contrasts))])
            scans = {phase: replace(base[phase], voxels=values) for phase, values in painted.items()}
            yield scans, truth, best


def outline(scan: Scan, name: str, kept: Path | None) -> Segmentation:
    """The program's liver of the unpainted scan."""
    path = kept / f"{name}.npz" if kept else None
    if path is not None and path.is_file():
        return Segmentation(np.load(path)["labels"], scan.grid, {1: "liver"}, "kept")
    found = segment_liver(scan).segmentation
    if path is not None:
        np.savez_compressed(path, labels=found.labels)
    return found


def cut(scan: Scan, liver: Segmentation) -> tuple[Scan, Segmentation]:
    """Both with 30 mm of room around the liver: the rest of the body is not looked at."""
    box = []
    for axis, spacing in enumerate(scan.grid.spacing_mm):
        there = np.flatnonzero(liver.labels.any(axis=tuple(a for a in range(3) if a != axis)))
        room = int(np.ceil(ROOM_MM / spacing))
        box.append(slice(max(0, int(there[0]) - room), min(scan.grid.shape_zyx[axis], int(there[-1]) + 1 + room)))
    grid = scan.grid.crop([s.start for s in box], [s.stop for s in box])
    z, y, x = box
    part = np.ascontiguousarray(liver.labels[z, y, x])
    voxels = np.ascontiguousarray(scan.voxels[z, y, x])
    return replace(scan, voxels=voxels, grid=grid), Segmentation(part, grid, {1: "liver"}, liver.made_by)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--livers", type=Path, help="folder that keeps the liver outlines")
    parser.add_argument("--phases", choices=("portal", "three"), default="three")
    parser.add_argument("--clicks", choices=("one", "all"), default="all")
    chosen = parser.parse_args()
    shared = Path(os.environ.get("LIVERVOL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    everything, begun = [], time.process_time()
    for name in SCANS:
        portal = read_dicom(shared / "scans" / name / "dicom")[0].with_phase(Phase.PORTAL_VENOUS)
        portal, liver = cut(portal, outline(portal, name, chosen.livers))
        plain = unpainted(portal, liver, chosen.phases == "three", np.random.default_rng(SEED))
        before = segment_lesions(plain, liver).segmentation
        print(f"{name}: {len(before.names)} detections before anything is painted", flush=True)
        rng, scores = np.random.default_rng(SEED + 1), []
        for scans, truth, best in visits(portal, liver, chosen.phases == "three"):
            score = Score(name)
            match(score, truth, segment_lesions(scans, liver).segmentation, before.labels > 0)
            for lesion, phase in zip(truth, best, strict=True):
                others = [s for p, s in scans.items() if p not in (phase, Phase.NATIVE) and chosen.clicks == "all"]
                one_click(score, lesion, [scans[phase], *others], liver.labels, rng)
            scores.append(score)
            print("  ", [(g, round(mm), round(float(d), 2)) for g, mm, d, _ in score.lesions],
                  "false", [round(mm) for mm in score.false_mm], flush=True)  # fmt: skip
        report(name, scores)
        everything += scores
    report(f"all, {chosen.phases}", everything)
    print(f"{time.process_time() - begun:.0f} s of CPU time")


if __name__ == "__main__":
    main()
