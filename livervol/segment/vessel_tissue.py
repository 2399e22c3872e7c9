"""Where liver vessels are bright: the residual over the parenchyma, its tubeness, and the voxels that are vessel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.errors import ScanError, refusal
from livervol.grid import Grid
from livervol.kernels.components import label_components, remove_small
from livervol.kernels.distance import distance_mm
from livervol.kernels.morphology import close_mm
from livervol.kernels.smooth import gaussian
from livervol.kernels.tubeness import tubeness
from livervol.scan import Scan, Segmentation

__all__ = ["SCALES_MM", "VesselField", "liver_field", "vessel_field", "vessel_voxels"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

#: Cubic working voxel in mm: two across the thinnest vessel that is followed.
WORK_MM = 1.5
MARGIN_MM = 14.0
#: The hilum and the fissures between the lobes belong to the search although masks leave them out.
CLOSE_MM = 10.0
#: Standard deviations of tubes sought: vessels of about 4 to 16 mm across.
SCALES_MM = (1.5, 2.2, 3.2, 4.6)
#: The parenchyma's own brightness is followed over this distance.
BACKGROUND_MM = 18.0
#: Residuals below this many scatters are clipped: fat and tumour must not make ridges of what lies between.
CLIP_BELOW = -0.5
#: The brightness of vessels is this percentile of the liver's residual, at least so many scatters.
BRIGHT_PERCENTILE, LEAST_BRIGHT = 99.0, 3.0
#: Vessels are followed where they are still this share of the vessels' brightness, if also so many scatters bright, and
#: need this much somewhere. A tube answers with a quarter of its brightness at most.
LIKELY, LIKELY_SIGMAS, SURE = 0.38, 1.6, 0.75
#: Wide vessels are bright throughout; their middle is no tube at the scales sought.
WIDE = 0.62
#: The outermost liver is partial volume (mm), except near the two roots, where vessels enter.
RIM_MM, ROOT_REACH_MM = 3.0, 45.0
MIN_VOXELS = 60


@dataclass(frozen=True, eq=False)
class VesselField:
    """The liver's box on cubic voxels.

    ``liver`` the mask; ``search`` the mask with hilum and fissures; ``residual`` brightness over the parenchyma in
    units of the parenchyma's scatter ``sigma`` (after 1 mm smoothing), 0 where nothing was measured.
    """

    grid: Grid
    liver: Bools
    search: Bools
    residual: Floats
    sigma: float


def liver_field(liver: Segmentation) -> tuple[Grid, Bools, Bools]:
    """The liver's box with a margin as cubic voxels of ``WORK_MM``: grid, liver, and the search region."""
    index = (
        np.argwhere(liver.labels.any(axis=(1, 2))),
        np.argwhere(liver.labels.any(axis=(0, 2))),
        np.argwhere(liver.labels.any(axis=(0, 1))),
    )
    if not len(index[0]):
        raise ScanError(refusal("liver mask is empty", expected="liver voxels", got="none", do="Check the mask."))
    room = [int(np.ceil(MARGIN_MM / s)) for s in liver.grid.spacing_mm]
    start = [max(0, int(i[0, 0]) - r) for i, r in zip(index, room, strict=True)]
    stop = [min(n, int(i[-1, 0]) + 1 + r) for i, r, n in zip(index, room, liver.grid.shape_zyx, strict=True)]
    grid = liver.grid.crop(start, stop).with_spacing((WORK_MM,) * 3)
    inside = sampled((liver.labels != 0).view(np.uint8), liver.grid, grid) >= 0.5
    search = close_mm(inside.view(np.uint8), CLOSE_MM, grid.spacing_mm) != 0
    return grid, inside, search


def sampled(values: NDArray[np.generic], source: Grid, target: Grid) -> Floats:
    """Values of ``source`` at the voxels of ``target`` by linear interpolation, averaged first where it is finer."""
    matrix = np.linalg.inv(source.matrix) @ target.matrix
    low = np.floor((matrix @ _corners(target)).min(axis=1)[:3]).astype(int) - 3
    high = np.ceil((matrix @ _corners(target)).max(axis=1)[:3]).astype(int) + 4
    start, stop = np.maximum(low, 0), np.minimum(high, source.shape_zyx)
    part = np.ascontiguousarray(values[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))])
    if max(t / s for s, t in zip(source.spacing_mm, target.spacing_mm, strict=True)) > 1.2:
        part = gaussian(part, 0.4 * max(target.spacing_mm), source.spacing_mm)
    offset = matrix[:3, 3] - start
    result: Floats = ndimage.affine_transform(
        part.astype(np.float32), matrix[:3, :3], offset, target.shape_zyx, order=1, mode="nearest"
    )
    return result


def _corners(grid: Grid) -> NDArray[np.float64]:
    n = [s - 1 for s in grid.shape_zyx]
    return np.array([[z, y, x, 1] for z in (0, n[0]) for y in (0, n[1]) for x in (0, n[2])], np.float64).T


def vessel_field(scan: Scan, liver: Segmentation) -> VesselField | None:
    """The residual of a scan over its parenchyma; None when too little even parenchyma is left to measure against.

    ``scan`` and ``liver`` share a grid. The parenchyma's level is the mode of the liver's values, its scatter that of
    the narrower side of the mode (vessels lie above, dark tumour below); a blur of 18 mm over what is near the level
    follows perfusion.
    """
    grid, inside, search = liver_field(liver)
    values = gaussian(sampled(scan.voxels, scan.grid, grid), 1.0, grid.spacing_mm)
    deep = distance_mm(inside.view(np.uint8), grid.spacing_mm) > 4.0
    own = values[deep]
    if own.size < 5000:
        return None
    level, sigma = _mode(own)
    near = deep & (np.abs(values - level) < 2.0 * sigma)
    weight = gaussian(near.view(np.uint8), BACKGROUND_MM, grid.spacing_mm)
    total = gaussian(np.where(near, values - level, 0).astype(np.float32), BACKGROUND_MM, grid.spacing_mm)
    background = level + total / np.maximum(weight, 0.02)
    residual = np.where(search, (values - background) / sigma, 0)
    return VesselField(grid, inside, search, np.maximum(residual, CLIP_BELOW).astype(np.float32), float(sigma))


def _mode(values: Floats) -> tuple[float, float]:
    # half-sample mode (Robertson & Cryer 1974) of the sorted values, then the scatter of the narrower side: vessels and
    # bright tumour widen the upper one, a large dark tumour the lower one
    ordered = np.sort(values[:: max(1, len(values) // 200000)]).astype(np.float64)
    part = ordered
    while len(part) > 50:
        half = len(part) // 2
        widths = part[half:] - part[: len(part) - half]
        at = int(np.argmin(widths))
        part = part[at : at + half]
    mode = float(part.mean())
    sides = mode - ordered[ordered < mode], ordered[ordered > mode] - mode
    return mode, max(1.0, 1.4826 * min((float(np.median(side)) for side in sides if side.size), default=1.0))


def vessel_voxels(field: VesselField, roots_lps_mm: NDArray[np.float64]) -> tuple[Bools, Floats]:
    """Voxels of bright tubes, and their tubeness in scatters; ``roots_lps_mm`` (n, 3) are where vessels enter."""
    depth = distance_mm(field.liver.view(np.uint8), field.grid.spacing_mm)
    search = depth > RIM_MM
    places = field.grid.lps_to_index(roots_lps_mm) * field.grid.spacing_mm
    z, y, x = (np.arange(n) * s for n, s in zip(field.grid.shape_zyx, field.grid.spacing_mm, strict=True))
    for at in places:
        apart = (z[:, None, None] - at[0]) ** 2 + (y[:, None] - at[1]) ** 2 + (x - at[2]) ** 2
        search |= field.search & (apart < ROOT_REACH_MM**2)
    inner = field.residual[depth > 2 * RIM_MM]
    bright = max(LEAST_BRIGHT, float(np.percentile(inner, BRIGHT_PERCENTILE)))
    clipped = np.minimum(field.residual, np.float32(bright))
    tube, _ = tubeness(clipped, field.grid.spacing_mm, SCALES_MM, search)
    likely = max(LIKELY * bright, LIKELY_SIGMAS)
    narrow = (tube > 0.25 * likely) & (field.residual > likely)
    weak = search & (narrow | (field.residual > WIDE * bright))
    sure = weak & (tube > 0.2 * SURE * bright) & (field.residual > SURE * bright)
    labels, stats = label_components(weak.view(np.uint8), 26)
    keep = np.zeros(len(stats.voxels) + 1, bool)
    keep[np.unique(labels[sure])] = True
    keep[0] = False
    found = remove_small(keep[labels].view(np.uint8), MIN_VOXELS, 26) != 0
    return found, tube
