"""Spine and aorta on a coarse scan: the landmarks from which the organs that tell the phase are found."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.kernels.blocks import block_means
from livervol.kernels.components import keep_largest
from livervol.scan import Scan, Segmentation

__all__ = ["Bools", "Coarse", "Floats", "body_mask", "coarse_of", "disc_path", "median_along", "spine_line"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

#: Voxels of the working volume, in mm along z and in plane: small against every organ sampled.
COARSE_Z_MM, COARSE_XY_MM = 4.0, 2.0
CLIP_HU = (-150.0, 400.0)
BODY_HU, BONE_HU = -110.0, 140.0


@dataclass(frozen=True, eq=False)
class Coarse:
    """A scan averaged to about 4x2x2 mm: ``values`` float32, ``spacing_mm`` and the block size per axis."""

    values: Floats
    spacing_mm: tuple[float, float, float]
    block: tuple[int, int, int]

    @property
    def voxel_ml(self) -> float:
        """Volume of one coarse voxel in ml."""
        return math.prod(self.spacing_mm) / 1000.0

    def mask_of(self, segmentation: Segmentation) -> Bools:
        """Coarse voxels at least three quarters inside the segmentation."""
        inside: Bools = block_means(segmentation.mask(), self.block) >= 0.75
        return inside


def coarse_of(scan: Scan) -> Coarse:
    """Block means of the scan at about 4 mm along z and 2 mm in plane; CT clipped to [-150, 400] HU first."""
    spacing = scan.grid.spacing_mm
    wanted = (COARSE_Z_MM, COARSE_XY_MM, COARSE_XY_MM)
    bz, by, bx = (
        int(min(max(1, round(w / s)), n)) for w, s, n in zip(wanted, spacing, scan.grid.shape_zyx, strict=True)
    )
    limits = CLIP_HU if scan.modality == "CT" else (-np.inf, np.inf)
    sz, sy, sx = spacing
    return Coarse(block_means(scan.voxels, (bz, by, bx), limits), (sz * bz, sy * by, sx * bx), (bz, by, bx))


def body_mask(coarse: Coarse) -> Bools:
    """The patient without table and surrounding air."""
    opened = ndimage.binary_opening(coarse.values > BODY_HU, structure=np.ones((1, 3, 3)), iterations=2)
    largest: Bools = keep_largest(opened) != 0
    return largest


def spine_line(coarse: Coarse, body: Bools) -> NDArray[np.float64] | None:
    """Centre (y, x) of the vertebral column in every coarse slice, shape (nz, 2); None when no bone stands out.

    The column is the densest box of bone near the body's midline in the rear 60 % of the body, followed through the
    slices by a median over 40 mm.
    """
    dz, dy, dx = coarse.spacing_mm
    outline = body.mean(axis=0) > 0.5
    if not outline.any():
        return None
    ys, xs = np.nonzero(outline)
    bone = (ndimage.gaussian_filter(coarse.values, (0, 1, 1)) > BONE_HU).astype(np.float32)
    bone[:, : int(ys.min() + 0.4 * float(np.ptp(ys)))] = 0
    middle, width = float(xs.mean()), 0.12 * max(1.0, float(np.ptp(xs)))
    column = bone.mean(axis=0) * np.exp(-0.5 * ((np.arange(bone.shape[2]) - middle) / width) ** 2)
    density = ndimage.uniform_filter(column, (max(1, int(36 / dy)), max(1, int(36 / dx))))
    if density.max() <= 0:
        return None
    y0, x0 = np.unravel_index(int(np.argmax(density)), density.shape)
    reach_y, reach_x = int(32 / dy), int(24 / dx)
    top, left = max(0, int(y0) - reach_y), max(0, int(x0) - reach_x)
    near = bone[:, top : int(y0) + reach_y + 1, left : int(x0) + reach_x + 1]
    local = ndimage.uniform_filter(near, (max(1, int(25 / dz)), max(1, int(34 / dy)), max(1, int(34 / dx))))
    local *= np.exp(-0.5 * ((np.arange(near.shape[2]) + left - int(x0)) * dx / 15.0) ** 2)
    best = np.array([np.unravel_index(int(np.argmax(plane)), plane.shape) for plane in local]) + np.array([top, left])
    line: NDArray[np.float64] = ndimage.median_filter(best.astype(float), size=(max(3, int(40 / dz) | 1), 1))
    return line


def _disc(spacing_mm: tuple[float, float, float], inner_mm: float, outer_mm: float) -> Floats:
    reach = math.ceil(outer_mm / min(spacing_mm[1:])) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    distance = np.hypot(y * spacing_mm[1], x * spacing_mm[2])
    kernel = ((distance <= outer_mm) & (distance >= inner_mm)).astype(np.float32)
    scaled: Floats = kernel / kernel.sum()
    return scaled


#: Aorta: window around the spine's centre (mm, front and right negative), usual place and scatter, radius.
WINDOW_Y_MM, WINDOW_X_MM = (-75.0, 15.0), (-20.0, 45.0)
USUAL_YX_MM, SCATTER_YX_MM = (-32.0, 12.0), (15.0, 16.0)
AORTA_RADIUS_MM, CONTRAST_CAP_HU, BLOOD_MIN_HU = 8.0, 60.0, 15.0


def _disc_scores(coarse: Coarse, line: NDArray[np.float64], contrast_cap: float) -> tuple[Floats, NDArray[np.int64]]:
    """How much a disc at each place of the window stands out and is even inside, and each window's first (y, x)."""
    _, dy, dx = coarse.spacing_mm
    inside = _disc(coarse.spacing_mm, 0, AORTA_RADIUS_MM)
    ring = _disc(coarse.spacing_mm, AORTA_RADIUS_MM + 2.5, AORTA_RADIUS_MM + 7)
    margin = len(ring)
    ny, nx = int((WINDOW_Y_MM[1] - WINDOW_Y_MM[0]) / dy) + 1, int((WINDOW_X_MM[1] - WINDOW_X_MM[0]) / dx) + 1
    wide = max(ny, nx) + margin
    padded = np.pad(coarse.values, ((0, 0), (wide, wide), (wide, wide)), mode="edge")
    scores = np.empty((len(coarse.values), ny, nx), np.float32)
    first = np.empty((len(coarse.values), 2), np.int64)
    for z, (cy, cx) in enumerate(line):
        y, x = int(cy + WINDOW_Y_MM[0] / dy), int(cx + WINDOW_X_MM[0] / dx)
        first[z] = y, x
        ys = slice(max(0, y + wide - margin), max(0, y + wide - margin) + ny + 2 * margin)
        xs = slice(max(0, x + wide - margin), max(0, x + wide - margin) + nx + 2 * margin)
        plane = padded[z, ys, xs]
        mean = ndimage.correlate(plane, inside, mode="nearest")
        spread = np.sqrt(np.maximum(0, ndimage.correlate(plane**2, inside, mode="nearest") - mean**2))
        around = ndimage.correlate(np.clip(plane, -50, None), ring, mode="nearest")
        stands_out = np.clip(mean - around, -contrast_cap / 3, contrast_cap) / contrast_cap
        uneven = 0.5 * np.clip(3 * spread / contrast_cap, 0, 3)
        dark = mean < BLOOD_MIN_HU * contrast_cap / CONTRAST_CAP_HU
        scores[z] = (stands_out - uneven - dark)[margin : margin + ny, margin : margin + nx]
    return scores, first


def disc_path(
    coarse: Coarse, line: NDArray[np.float64], contrast_cap: float = CONTRAST_CAP_HU
) -> tuple[NDArray[np.int64], Floats]:
    """Centre (y, x) of the aorta in every slice and how well the disc there fits (1 best), by dynamic programming.

    The path may move by a few millimetres between slices and is drawn to the usual place in front and left of the
    spine.
    """
    dz, dy, dx = coarse.spacing_mm
    raw, first = _disc_scores(coarse, line, contrast_cap)
    count, ny, nx = raw.shape
    y = (WINDOW_Y_MM[0] + np.arange(ny) * dy)[:, None]
    x = (WINDOW_X_MM[0] + np.arange(nx) * dx)[None]
    away = ((y - USUAL_YX_MM[0]) / SCATTER_YX_MM[0]) ** 2 + ((x - USUAL_YX_MM[1]) / SCATTER_YX_MM[1]) ** 2
    scores = raw - (0.175 * away).astype(np.float32)
    step = max(1, round(1 + 0.8 * dz / dy))
    moves = [(my, mx) for my in range(-step, step + 1) for mx in range(-step, step + 1)]
    total, back = scores[0], []
    for z in range(1, count):
        shift = first[z] - first[z - 1]
        reach = step + int(np.abs(shift).max())
        padded = np.pad(total, reach, constant_values=-1e9)
        stack = np.stack(
            [
                padded[reach + my + shift[0] :, reach + mx + shift[1] :][:ny, :nx] - 0.03 * math.hypot(my, mx)
                for my, mx in moves
            ]
        )
        choice = stack.argmax(axis=0)
        back.append((choice, shift))
        total = scores[z] + np.take_along_axis(stack, choice[None], axis=0)[0]
    at = np.array(np.unravel_index(int(np.argmax(total)), total.shape))
    places = [at]
    for choice, shift in back[::-1]:
        at = at + np.array(moves[int(choice[tuple(at)])]) + shift
        places.append(at)
    path = np.array(places[::-1])
    fit = np.array([raw[z][tuple(place)] for z, place in enumerate(path)], np.float32)
    limits = np.array(coarse.values.shape[1:]) - 1
    return np.clip(path + first, 0, limits), fit


def median_along(values: Floats, path: NDArray[np.int64], fit: Floats) -> float:
    """Median over the better half of the path of the 3x3 median at its centre."""
    at = [
        float(np.median(plane[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]))
        for plane, (y, x) in zip(values, path, strict=True)
    ]
    return float(np.median(np.array(at)[fit >= np.median(fit)]))
