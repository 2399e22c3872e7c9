"""Bring one phase onto another's grid: header geometry first, then a rigid refinement that must earn its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from livervol.errors import GridError, ScanError, refusal
from livervol.grid import Grid
from livervol.scan import Scan, Segmentation

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["Alignment", "align"]

#: A rigid shift beyond this is no breathing but a wrong match.
MAX_SHIFT_MM = 40.0
#: Least share of the region (the mask, or the fixed field) that the moving field must cover.
MIN_OVERLAP_PERCENT = 25.0
#: Least gain in mutual information, relative, for which header geometry is given up.
MIN_GAIN = 0.01
#: A moving scan coarser than this many times the fixed slice spacing is not subtracted.
MAX_SPACING_RATIO = 2.0
#: Below this share of the region covered, a subtraction would be missing too much.
FULL_OVERLAP_PERCENT = 95.0
#: Tissue around the mask that steers the refinement, and the voxels it works on.
MARGIN_MM, FINE_MM = 12.0, 3.0
CT_WINDOW_HU = (-100.0, 300.0)
HISTOGRAM_BINS = 32
#: Most voxels on which the information is estimated; larger regions are looked at more coarsely.
MAX_VOXELS = 120_000


@dataclass(frozen=True, eq=False)
class Alignment:
    """``scan``: the moving scan on the fixed grid, outside its field the minimum value.

    ``shift_mm``             largest displacement of the region's corners by the refinement (0: header geometry kept).
    ``method``               "header geometry" or "rigid".
    ``information_before``   Mattes mutual information over the region by header geometry (nats, higher is better).
    ``information_after``    the same after what was accepted.
    ``overlap_percent``      share of the region inside the moving scan's field.
    ``usable_for_subtraction``  False where a difference of voxels would mislead; ``warnings`` say why.
    """

    scan: Scan
    shift_mm: float
    method: str
    information_before: float
    information_after: float
    overlap_percent: float
    usable_for_subtraction: bool
    warnings: tuple[str, ...] = ()


def align(moving: Scan, fixed: Scan, *, mask: Segmentation | None = None) -> Alignment:
    """The moving scan on the fixed scan's grid, with the quality of the match.

    Headers place both scans in one world (scans of different frames of reference are first centred on each other).
    A rigid transform is then fitted by Mattes mutual information (Mattes et al. 2003, IEEE Trans Med Imaging 22:120)
    over the mask's box and 12 mm around it, coarse to fine; the same scans give the same result. It replaces the
    header geometry only if it raises the information by 1 % and moves no corner of the region by 40 mm or more.
    ``mask`` lies on the fixed grid (usually the liver). Raises ``GridError`` when the mask is on another grid or the
    fields of view do not overlap, ``ScanError`` when the modalities differ.
    """
    if moving.modality != fixed.modality:
        raise ScanError(
            refusal(
                "modalities differ", expected=fixed.modality, got=moving.modality, do="Align scans of one modality."
            )
        )
    if mask is not None:
        mask.require_grid(fixed.grid)
    region = _region(fixed.grid, mask)
    start, notes = _start(moving.grid, fixed.grid, region)
    overlap = _overlap_percent(moving.grid, region, start)
    if overlap < MIN_OVERLAP_PERCENT:
        raise GridError(
            refusal(
                "fields of view do not overlap",
                expected=f"at least {MIN_OVERLAP_PERCENT:.0f} % of the region inside both scans",
                got=f"{overlap:.0f} %",
                do="Check that both scans show the liver and belong to one visit.",
            )
        )
    matrix, before, after, shift, refined = _refine(moving, fixed, region, start)
    notes += refined
    overlap = _overlap_percent(moving.grid, region, matrix)
    usable, why = _usable(moving, fixed, overlap)
    method = "rigid" if shift > 0 else "header geometry"
    scan = _resampled(moving, fixed.grid, matrix)
    return Alignment(scan, shift, method, before, after, overlap, usable, tuple(notes + why))


class _Region(NamedTuple):
    """Where the match counts, on the fixed grid: half-open index box (3, 2), its corners and points inside, LPS mm."""

    box: NDArray[np.int64]
    corners_mm: NDArray[np.float64]
    points_mm: NDArray[np.float64]


def _region(grid: Grid, mask: Segmentation | None) -> _Region:
    """The mask with its margin and its own voxels as points, or the whole grid with a lattice of points."""
    shape = np.array(grid.shape_zyx)
    if mask is None or not mask.labels.any():
        box = np.stack([np.zeros(3, np.int64), shape], axis=1)
        axes = [(np.arange(12) + 0.5) / 12 * n - 0.5 for n in shape]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    else:
        points = np.argwhere(mask.mask())
        margin = np.rint(MARGIN_MM / np.array(grid.spacing_mm)).astype(np.int64)
        low, high = points.min(axis=0) - margin, points.max(axis=0) + 1 + margin
        box = np.stack([np.maximum(0, low), np.minimum(shape, high)], axis=1)
        points = points[:: max(1, len(points) // 20000)]
    corners = [[box[a, b] - b for a, b in enumerate(bits)] for bits in np.ndindex(2, 2, 2)]
    return _Region(box, grid.index_to_lps(corners), grid.index_to_lps(points))


def _moved(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = points @ matrix[:3, :3].T + matrix[:3, 3]
    return moved


def _overlap_percent(moving: Grid, region: _Region, matrix: NDArray[np.float64]) -> float:
    index = moving.lps_to_index(_moved(region.points_mm, matrix))
    inside = ((index >= -0.5) & (index <= np.array(moving.shape_zyx) - 0.5)).all(axis=1)
    return 100.0 * float(inside.mean())


def _start(moving: Grid, fixed: Grid, region: _Region) -> tuple[NDArray[np.float64], list[str]]:
    """4x4 matrix from the fixed world to the moving world before refinement, and what to say about it."""
    matrix = np.eye(4)
    if moving.frame is None or fixed.frame is None or moving.frame == fixed.frame:
        return matrix, []
    if _overlap_percent(moving, region, matrix) >= FULL_OVERLAP_PERCENT:
        return matrix, ["the scans have different frames of reference; their positions were taken as comparable"]
    matrix[:3, 3] = moving.corners_lps_mm().mean(axis=0) - fixed.corners_lps_mm().mean(axis=0)
    return matrix, ["the scans have different frames of reference and were centred on each other first"]


def _image(scan: Scan, spacing_mm: float, box: NDArray[np.int64] | None = None) -> sitk.Image:
    """The scan as float32 at no less than ``spacing_mm``, block by block, CT clipped to soft tissue."""
    import SimpleITK as sitk

    grid, voxels = scan.grid, scan.voxels
    if box is not None:
        voxels = voxels[tuple(slice(a, b) for a, b in box)]
        grid = grid.crop(box[:, 0].tolist(), box[:, 1].tolist())
    values = np.clip(voxels, *CT_WINDOW_HU) if scan.modality == "CT" else voxels
    image = sitk.GetImageFromArray(np.ascontiguousarray(values, dtype=np.float32))
    image.SetOrigin(list(grid.origin_lps_mm))
    image.SetSpacing(list(grid.spacing_mm[::-1]))
    image.SetDirection(grid.directions[:, ::-1].ravel().tolist())
    factors = [
        min(n, max(1, round(spacing_mm / s))) for n, s in zip(grid.shape_zyx[::-1], grid.spacing_mm[::-1], strict=True)
    ]
    return sitk.BinShrink(image, factors) if max(factors) > 1 else image


def _rigid(matrix: NDArray[np.float64], centre: NDArray[np.float64]) -> sitk.Euler3DTransform:
    import SimpleITK as sitk

    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(matrix[:3, :3].ravel().tolist(), 1e-5)
    transform.SetTranslation((matrix[:3, 3] - centre + matrix[:3, :3] @ centre).tolist())
    return transform


def _matrix_of(transform: sitk.Euler3DTransform) -> NDArray[np.float64]:
    matrix = np.eye(4)
    rotation, centre = np.array(transform.GetMatrix()).reshape(3, 3), np.array(transform.GetCenter())
    matrix[:3, :3] = rotation
    matrix[:3, 3] = np.array(transform.GetTranslation()) + centre - rotation @ centre
    return matrix


def _method(transform: sitk.Euler3DTransform) -> sitk.ImageRegistrationMethod:
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
    # every voxel, for sampled metrics are jittered
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=0.01, numberOfIterations=60, relaxationFactor=0.6, gradientMagnitudeTolerance=1e-5
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    return method


def _refine(
    moving: Scan, fixed: Scan, region: _Region, start: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, float, float, list[str]]:
    """Accepted 4x4 matrix, information before and after, largest shift of the region in mm, and notes."""
    corners = region.corners_mm
    centre = corners.mean(axis=0)
    extent_mm3 = float(np.prod((region.box[:, 1] - region.box[:, 0]) * fixed.grid.spacing_mm))
    fine_mm = max(FINE_MM, (extent_mm3 / MAX_VOXELS) ** (1 / 3))
    fine_fixed, fine_moving = _image(fixed, fine_mm, region.box), _image(moving, fine_mm)
    transform = _rigid(start, centre)
    try:
        before = -_method(_rigid(start, centre)).MetricEvaluate(fine_fixed, fine_moving)
        _method(transform).Execute(_image(fixed, 2 * fine_mm, region.box), _image(moving, 2 * fine_mm))
        _method(transform).Execute(fine_fixed, fine_moving)
        # threads add up in any order: rounding hides it, so that the same scans give the same voxels
        transform.SetParameters([round(p, 6) for p in transform.GetParameters()])
        after = -_method(_rigid(_matrix_of(transform), centre)).MetricEvaluate(fine_fixed, fine_moving)
    except RuntimeError:
        # too few voxels overlap or one side is constant: the metric is undefined, the header stands
        return start, 0.0, 0.0, 0.0, ["the scans share too little contrast to check their alignment"]
    before, after = round(before, 6), round(after, 6)
    matrix = _matrix_of(transform)
    shift = float(np.linalg.norm(_moved(corners, matrix) - _moved(corners, start), axis=1).max())
    if shift >= MAX_SHIFT_MM:
        return start, before, before, 0.0, [f"a refinement by {shift:.0f} mm was refused; header geometry kept"]
    if after < before + MIN_GAIN * abs(before):
        return start, before, before, 0.0, []
    return matrix, before, after, shift, []


def _usable(moving: Scan, fixed: Scan, overlap: float) -> tuple[bool, list[str]]:
    why = []
    thick, thin = moving.grid.spacing_mm[0], fixed.grid.spacing_mm[0]
    if thick > MAX_SPACING_RATIO * thin:
        why.append(
            f"{moving.phase.value} slices every {thick:.1f} mm are more than twice as coarse as {thin:.1f} mm: "
            "not subtracted"
        )
    if moving.sequence != fixed.sequence:
        why.append(f"{moving.sequence} and {fixed.sequence} are different sequences: not subtracted")
    kvp = (moving.source.hints.get("kvp", ""), fixed.source.hints.get("kvp", ""))
    if all(kvp) and kvp[0] != kvp[1]:
        why.append(f"tube voltages differ ({kvp[0]} and {kvp[1]} kVp): not subtracted")
    if overlap < FULL_OVERLAP_PERCENT:
        why.append(f"only {overlap:.0f} % of the region lies inside the {moving.phase.value} scan: not subtracted")
    return not why, why


def _resampled(moving: Scan, grid: Grid, matrix: NDArray[np.float64]) -> Scan:
    # moving the grid instead of the voxels: one interpolation, and none at all when the grids agree
    seen: Any = np.linalg.inv(matrix) @ moving.grid.matrix
    moved = replace(moving, grid=Grid.from_matrix(moving.grid.shape_zyx, seen, grid.frame))
    if moved.grid.matches(grid, tol_mm=1e-6):
        return replace(moving, grid=grid)
    return moved.resampled(grid)
