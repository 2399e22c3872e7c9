"""The deformable step: a bend sought on a coarse lattice around the liver, measured, and refused where it misleads."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.align.bending import BendSettings, bend_onto, jacobian_determinants, local_correlation
from livervol.align.rigid import MARGIN_MM, Region, coarse_image, rigid_transform
from livervol.align.transform import Bend, Transform
from livervol.grid import Grid
from livervol.scan import Scan, Segmentation

__all__ = ["Figures", "deform"]

#: Spacing of the lattice a bend is sought on, and the most nodes; larger regions get a coarser one.
LATTICE_MM, MAX_NODES = 4.0, 250_000
#: Tissue around the liver that the lattice holds, and that counts as evidence.
LATTICE_MARGIN_MM, EVIDENCE_MARGIN_MM = 20.0, 6.0
#: MR values between these percentiles of the region are stretched to a range like the CT window's.
MR_PERCENTILES, MR_RANGE = (1.0, 99.0), 300.0
#: Least gain in local correlation for which a bend is worth an interpolation.
MIN_CORRELATION_GAIN = 0.005
#: Local change of volume inside the liver beyond these is no tissue's.
JACOBIAN_LIMITS = (0.25, 4.0)
#: A bend further than this, beyond the rigid motion, is a wrong match.
MAX_BEND_MM = 45.0
#: A bend that pulls known livers apart by more than this Dice is a wrong match.
MAX_DICE_LOSS = 0.01
#: Stiffness of the bend (voxels of the lattice), tried in turn until the bend does not fold.
STIFFNESS = (5.0, 9.0)

Livers = tuple[Segmentation | None, Segmentation | None]


class Figures(NamedTuple):
    """What an Alignment tells of its bend; see there."""

    correlation_before: float = float("nan")
    correlation_after: float = float("nan")
    bend_mm: float = 0.0
    jacobian_range: tuple[float, float] = (1.0, 1.0)
    liver_dice_before: float = float("nan")
    liver_dice_after: float = float("nan")


class _Lattice(NamedTuple):
    """Both images at the nodes of ``grid``, where they may be compared (0 to 1), and the region itself."""

    grid: Grid
    fixed: NDArray[np.float32]
    moving: NDArray[np.float32]
    weight: NDArray[np.float32]
    core: NDArray[np.bool_]


def deform(
    moving: Scan, fixed: Scan, region: Region, rigid: Transform, livers: Livers
) -> tuple[Transform, Figures, tuple[str, ...]]:
    """The transform with the bend added, or the rigid one with the reason; and the figures either way.

    ``livers``: moving and fixed, or None.
    """
    lattice = _lattice(moving, fixed, region, rigid, livers[1])
    dice = _dice(rigid, livers, region)
    if not (lattice.weight > 0.5).any():
        return rigid, Figures(liver_dice_before=dice, liver_dice_after=dice), (_refused("no tissue lies in both"),)
    settings = BendSettings()
    before = local_correlation(lattice.fixed, lattice.moving, lattice.weight, settings)
    field, least, greatest = _unfolded(lattice, settings)
    places = np.indices(field.shape[1:], dtype=np.float32) + field
    seen = ndimage.map_coordinates(lattice.moving, places, order=1, mode="nearest")
    after = local_correlation(lattice.fixed, seen, lattice.weight, settings)
    shifts = np.tensordot(lattice.grid.matrix[:3, :3], field, 1).astype(np.float32)
    bent = Transform(rigid.matrix, Bend(lattice.grid, shifts))
    furthest = float(np.linalg.norm(shifts[:, lattice.core], axis=0).max())
    kept = Figures(before, before, 0.0, (1.0, 1.0), dice, dice)
    if after < before + MIN_CORRELATION_GAIN:
        return rigid, kept, ()
    low, high = JACOBIAN_LIMITS
    if not low <= least <= greatest <= high:
        return rigid, kept, (_refused(f"it changed volumes {least:.2f} to {greatest:.2f} fold"),)
    if furthest > MAX_BEND_MM:
        return rigid, kept, (_refused(f"it reached {furthest:.0f} mm"),)
    dice_after = _dice(bent, livers, region)
    if dice_after < dice - MAX_DICE_LOSS:
        return rigid, kept, (_refused(f"it took the livers' Dice from {dice:.3f} to {dice_after:.3f}"),)
    return bent, Figures(before, after, furthest, (least, greatest), dice, dice_after), ()


def _refused(why: str) -> str:
    return f"a deformable refinement was refused: {why}"


def _unfolded(lattice: _Lattice, settings: BendSettings) -> tuple[NDArray[np.float32], float, float]:
    """The field of the least stiffness whose Jacobian in the region is a tissue's, else the last; and that range."""
    for smooth in STIFFNESS:
        field = bend_onto(lattice.fixed, lattice.moving, lattice.weight, replace(settings, smooth=smooth))
        inside = jacobian_determinants(field)[lattice.core]
        least, greatest = float(inside.min()), float(inside.max())
        if least >= JACOBIAN_LIMITS[0] and greatest <= JACOBIAN_LIMITS[1]:
            break
    return field, least, greatest


def _lattice(moving: Scan, fixed: Scan, region: Region, rigid: Transform, liver: Segmentation | None) -> _Lattice:
    grid = _lattice_grid(fixed.grid, region, liver is not None)
    box = region.box if liver is None else _wider(region.box, fixed.grid)
    spacing = min(grid.spacing_mm)
    centre = region.corners_mm.mean(axis=0)
    here = _on_lattice(fixed, spacing, grid, np.eye(4), centre, box)
    there = _on_lattice(moving, spacing, grid, rigid.matrix, centre, None)
    if liver is None or not liver.labels.any():
        core = np.ones(grid.shape_zyx, bool)
        near = core.astype(np.float32)
    else:
        core = Transform(np.eye(4)).labels(liver, grid).mask()
        rounds = max(1, round(EVIDENCE_MARGIN_MM / spacing))
        near = ndimage.gaussian_filter(ndimage.binary_dilation(core, iterations=rounds).astype(np.float32), 1.0)
    nodes = grid.index_to_lps(np.moveaxis(np.indices(grid.shape_zyx), 0, -1))
    index = moving.grid.lps_to_index(rigid.to_moving(nodes))
    inside = ((index >= -0.5) & (index <= np.array(moving.grid.shape_zyx) - 0.5)).all(axis=-1)
    if fixed.modality != "CT":
        here, there = (_stretched(image, core & inside) for image in (here, there))
    return _Lattice(grid, here, there, near * inside, core)


def _wider(box: NDArray[np.int64], grid: Grid) -> NDArray[np.int64]:
    more = np.rint((LATTICE_MARGIN_MM - MARGIN_MM) / np.array(grid.spacing_mm)).astype(np.int64)
    wide: NDArray[np.int64] = np.stack([box[:, 0] - more, box[:, 1] + more], axis=1)
    return wide.clip(0, np.array(grid.shape_zyx)[:, None])


def _lattice_grid(grid: Grid, region: Region, around_liver: bool) -> Grid:
    box = _wider(region.box, grid) if around_liver else region.box
    field = grid.crop(box[:, 0].tolist(), box[:, 1].tolist())
    extent = np.array(field.shape_zyx) * field.spacing_mm
    # a slab of a few slices keeps at least four nodes along each axis
    side = max(LATTICE_MM, float(np.prod(extent) / MAX_NODES) ** (1 / 3))
    return field.with_spacing(np.minimum(side, extent / 4).tolist())


def _on_lattice(
    scan: Scan,
    spacing_mm: float,
    grid: Grid,
    matrix: NDArray[np.float64],
    centre: NDArray[np.float64],
    box: NDArray[np.int64] | None,
) -> NDArray[np.float32]:
    import SimpleITK as sitk

    sampler = sitk.ResampleImageFilter()
    sampler.SetSize([int(n) for n in grid.shape_zyx[::-1]])
    sampler.SetOutputOrigin(list(grid.origin_lps_mm))
    sampler.SetOutputSpacing(list(grid.spacing_mm[::-1]))
    sampler.SetOutputDirection(grid.directions[:, ::-1].ravel().tolist())
    sampler.SetTransform(rigid_transform(matrix, centre))
    # beyond the field its border, not a made-up value: a window there must not see an edge
    sampler.UseNearestNeighborExtrapolatorOn()
    values: NDArray[np.float32] = sitk.GetArrayFromImage(sampler.Execute(coarse_image(scan, spacing_mm, box)))
    return values.astype(np.float32, copy=False)


def _stretched(image: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    seen = image[where] if where.any() else image
    low, high = (float(np.percentile(seen, percent)) for percent in MR_PERCENTILES)
    scale = MR_RANGE / (high - low) if high > low else 1.0
    return ((image - np.float32(low)) * np.float32(scale)).astype(np.float32)


def _dice(transform: Transform, livers: Livers, region: Region) -> float:
    moving, fixed = livers
    if moving is None or fixed is None:
        return float("nan")
    box = region.box
    there = transform.labels(moving, fixed.grid.crop(box[:, 0].tolist(), box[:, 1].tolist())).mask()
    here = fixed.mask()[tuple(slice(a, b) for a, b in box)]
    both, size = int(np.count_nonzero(here & there)), int(np.count_nonzero(here)) + int(np.count_nonzero(there))
    return 2 * both / max(1, size)
