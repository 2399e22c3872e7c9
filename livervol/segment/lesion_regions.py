"""From a blob to the lesion around it, and the figures by which it is believed or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from livervol.kernels.components import label_components
from livervol.kernels.distance import distance_mm
from livervol.kernels.fill import fill_holes
from livervol.kernels.morphology import dilate_mm, open_mm
from livervol.segment.lesion_blobs import Blob
from livervol.segment.lesion_tissue import Bools, Floats

__all__ = ["Region", "equivalent_diameter_mm", "grow", "region_figures"]

#: The outline runs where the contrast has fallen to this share of the centre's.
OUTLINE_SHARE = 0.5
#: How far from the blob's centre the outline may run, in scales: twice the radius of the ball it answers to.
REACH_SCALES = 3.5
#: Links thinner than twice this are cut: vessels that touch the lesion.
NECK_MM = 2.0


@dataclass(frozen=True, eq=False)
class Region:
    """A candidate on the working grid: ``box`` its place there, ``mask`` within the box, ``blob`` what it grew from.

    ``diameter_mm``   of the ball of equal volume.         ``compactness``  inscribed over that ball's radius, 0 to 1.
    ``contrast``      mean residual (HU or scaled signal).  ``contact``      share of its shell outside the tissue.
    ``leak``          share of its voxels at the limit of growth: a tube runs on.
    """

    box: tuple[slice, slice, slice]
    mask: Bools
    blob: Blob
    diameter_mm: float = 0.0
    compactness: float = 0.0
    contrast: float = 0.0
    contact: float = 0.0
    leak: float = 0.0


def equivalent_diameter_mm(volume_ml: float) -> float:
    """Diameter in mm of the ball of ``volume_ml``."""
    return float((6000.0 * volume_ml / np.pi) ** (1 / 3))


def _box_around(at: tuple[int, int, int], reach_mm: float, shape: Any, spacing: Any) -> tuple[slice, slice, slice]:
    reach = [int(np.ceil(reach_mm / s)) + 2 for s in spacing]
    z, y, x = (slice(max(0, a - r), min(n, a + r + 1)) for a, r, n in zip(at, reach, shape, strict=True))
    return z, y, x


def grow(blob: Blob, smooth: Floats, inside: Bools, spacing_mm: tuple[float, float, float], sign: int) -> Region | None:
    """The connected tissue around a blob where the contrast exceeds half the blob's own, or None when there is none.

    ``smooth`` is the lightly smoothed residual. Growth stops 3.5 scales from the centre; thin links are cut and holes
    filled.
    """
    reach = REACH_SCALES * blob.scale_mm
    box = _box_around(blob.at, reach, inside.shape, spacing_mm)
    local, tissue = sign * smooth[box], inside[box]
    centre = np.array([a - s.start for a, s in zip(blob.at, box, strict=True)])
    index = np.indices(local.shape, dtype=np.float32)
    away = np.sqrt(sum(((index[i] - centre[i]) * spacing_mm[i]) ** 2 for i in range(3)))
    near = (away <= max(0.8 * blob.scale_mm, 2 * max(spacing_mm))) & tissue
    if not near.any():
        return None
    contrast = float(local[near].mean())
    if contrast <= 0:
        return None
    over = tissue & (local > OUTLINE_SHARE * contrast) & (away <= reach)
    over = open_mm(over, NECK_MM, spacing_mm) != 0
    labels, stats = label_components(over, connectivity=6)
    if not len(stats.voxels):
        return None
    votes = np.bincount(labels[near], minlength=len(stats.voxels) + 1)[1:]
    if votes.max() == 0:
        return None
    mask = fill_holes(labels == int(np.argmax(votes)) + 1) != 0
    leak = float((away[mask] > reach - 1.5 * max(spacing_mm)).mean())
    return region_figures(Region(box, mask, blob, leak=leak), smooth, inside, spacing_mm)


def region_figures(region: Region, smooth: Floats, inside: Bools, spacing_mm: tuple[float, float, float]) -> Region:
    """The same region with its size, compactness, contrast and contact measured."""
    mask = region.mask
    volume_ml = float(mask.sum()) * float(np.prod(spacing_mm)) / 1000.0
    diameter = equivalent_diameter_mm(volume_ml)
    padded = np.pad(mask, 2)
    inscribed = float(distance_mm(padded, spacing_mm).max()) - 0.5 * min(spacing_mm)
    outer = _padded(inside, region.box)
    shell = (dilate_mm(padded, 1.01 * max(spacing_mm), spacing_mm) != 0) & ~padded
    contact = float((~outer[shell]).mean()) if shell.any() else 0.0
    return Region(
        region.box,
        mask,
        region.blob,
        diameter,
        min(1.0, inscribed / max(0.5 * diameter, 1e-6)),
        float(smooth[region.box][mask].mean()),
        contact,
        region.leak,
    )


def _padded(inside: Bools, box: tuple[slice, slice, slice]) -> Bools:
    """``inside`` in the box and 2 voxels around it; beyond the array is outside."""
    wide = np.zeros(tuple(s.stop - s.start + 4 for s in box), bool)
    take = [slice(max(0, s.start - 2), min(n, s.stop + 2)) for s, n in zip(box, inside.shape, strict=True)]
    put = tuple(slice(t.start - s.start + 2, t.stop - s.start + 2) for t, s in zip(take, box, strict=True))
    wide[put] = inside[tuple(take)]
    return wide
