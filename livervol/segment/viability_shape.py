"""Shape rules for the viable part of one lesion: gaps, specks, and the thin rim of perilesional hyperaemia."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from livervol.kernels.components import label_components
from livervol.kernels.diameter import CORNER, slice_diameters
from livervol.kernels.distance import distance_mm, distance_to
from livervol.kernels.morphology import close_mm, open_mm
from livervol.kernels.smooth import gaussian

__all__ = [
    "ENHANCING",
    "NECROSIS",
    "UNCERTAIN",
    "VIABLE",
    "drop_specks",
    "is_thin_rim",
    "join_viable",
    "settle_thin_layers",
]

#: Classes of a lesion's voxels; ENHANCING (clearly, but no more than liver) becomes viable or uncertain in the end.
NECROSIS, UNCERTAIN, VIABLE, ENHANCING = 1, 2, 3, 4
#: Gaps in viable tissue that are texture, not necrosis (mm); the second for tissue that clearly enhances.
TEXTURE_GAP_MM, ENHANCING_GAP_MM = 5.0, 20.0
#: Gaps are joined only where this share of the lesion nearby (Gaussian, mm) is viable: noise stays far below it.
FREQUENT_SHARE, FREQUENT_SCALE_MM = 0.15, 8.0
#: An uncertain layer into which a ball of this radius cannot enter is partial volume (mm).
THIN_RADIUS_MM = 2.0
#: Smallest viable part: longest in-slice diameter (mm) and volume (ml).
MIN_IN_PLANE_MM, MIN_ML = 3.0, 0.05
#: Perilesional hyperaemia: no deeper than this under the lesion's surface (mm), along at least this share of it.
RIM_MM, RIM_SHARE = 3.0, 0.5


def join_viable(
    classes: NDArray[np.uint8], kept_out: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.uint8]:
    """Classes with tissue between viable parts joined to them where viable tissue is frequent (15 % nearby).

    A voxel lies between viable parts where a ball of half the gap limit cannot enter. Necrosis and ``kept_out``
    (lipiodol and its blur) are never joined. Frequency keeps single noisy voxels from spreading.
    """
    viable = classes == VIABLE
    result = classes.copy()
    if not viable.any():
        return result
    around = np.maximum(gaussian(classes != 0, FREQUENT_SCALE_MM, spacing_mm), np.float32(1e-3))
    frequent = gaussian(viable, FREQUENT_SCALE_MM, spacing_mm) >= FREQUENT_SHARE * around
    for gap_mm, fillers in ((TEXTURE_GAP_MM, (UNCERTAIN, ENHANCING)), (ENHANCING_GAP_MM, (ENHANCING,))):
        pad = [math.ceil(gap_mm / s) + 1 for s in spacing_mm]
        closed = close_mm(np.pad(viable, [(p, p) for p in pad]), 0.5 * gap_mm, spacing_mm) != 0
        inner = closed[tuple(slice(p, n - p) for p, n in zip(pad, closed.shape, strict=True))]
        result[inner & frequent & np.isin(classes, fillers) & ~kept_out] = VIABLE
    return result


def settle_thin_layers(
    classes: NDArray[np.uint8], kept_out: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.uint8]:
    """NECROSIS, UNCERTAIN and VIABLE alone: uncertain layers and specks too thin to be tissue go to the nearest class.

    Between living and dead tissue partial volume passes through every value; a layer into which a ball of 2 mm cannot
    enter is that, not a third tissue. ``kept_out`` stays uncertain.
    """
    result = np.where(classes == ENHANCING, UNCERTAIN, classes).astype(np.uint8)
    uncertain = result == UNCERTAIN
    thick = (
        open_mm(np.pad(uncertain | (result == 0), 3), THIN_RADIUS_MM, spacing_mm)[3:-3, 3:-3, 3:-3] != 0
    ) & uncertain
    thin = uncertain & ~thick & ~kept_out
    if not thin.any():
        return result
    sources = ((NECROSIS, result == NECROSIS), (UNCERTAIN, thick | (kept_out & uncertain)), (VIABLE, result == VIABLE))
    nearest = np.full(result.shape, np.inf, np.float32)
    settled = result.copy()
    for value, mask in sources:
        if not mask.any():
            continue
        away = distance_to(mask, spacing_mm)
        closer = thin & (away < nearest)
        settled[closer] = value
        nearest = np.where(closer, away, nearest)
    return settled


def drop_specks(classes: NDArray[np.uint8], spacing_mm: tuple[float, float, float]) -> NDArray[np.uint8]:
    """Classes without viable parts under 3 mm in plane or 0.05 ml; a dropped part becomes what prevails around it."""
    labels, stats = label_components(classes == VIABLE, connectivity=26)
    if not len(stats.voxels):
        return classes
    voxel_ml = math.prod(spacing_mm) / 1000.0
    dropped = np.zeros(len(stats.voxels) + 1, bool)
    for number, (voxels, start, stop) in enumerate(
        zip(stats.voxels, stats.start_zyx, stats.stop_zyx, strict=True), start=1
    ):
        if voxels * voxel_ml < MIN_ML:
            dropped[number] = True
            continue
        part = labels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] == number
        lengths = slice_diameters(np.ascontiguousarray(part), 0.5 * spacing_mm[1], 0.5 * spacing_mm[2], CORNER)[0]
        dropped[number] = lengths.max() < MIN_IN_PLANE_MM
    gone = dropped[labels]
    if not gone.any():
        return classes
    necrosis = gaussian(classes == NECROSIS, 3.0, spacing_mm)
    uncertain = gaussian(classes == UNCERTAIN, 3.0, spacing_mm)
    result = classes.copy()
    result[gone] = np.where(necrosis >= uncertain, NECROSIS, UNCERTAIN)[gone]
    return result


def is_thin_rim(viable: NDArray[np.bool_], lesion: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> bool:
    """True when all viable tissue is a shell at most 3 mm deep along at least half of the lesion's surface.

    Thick, irregular or nodular enhancement reaches deeper somewhere and stays viable.
    """
    if not viable.any():
        return False
    padded = np.pad(lesion, 1)
    depth = distance_mm(padded, spacing_mm)[1:-1, 1:-1, 1:-1]
    # depth runs between voxel centres, so that half an in-plane voxel is rounding
    if float(depth[viable].max()) > RIM_MM + 0.5 * max(spacing_mm[1:]) + 1e-3:
        return False
    surface = lesion & (depth <= 1.01 * max(spacing_mm[1:]))
    near = distance_to(viable, spacing_mm, RIM_MM + 1) <= RIM_MM
    return bool(near[surface].mean() >= RIM_SHARE)
