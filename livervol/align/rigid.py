"""Where two scans lie by their headers or livers, and the rigid motion between them by mutual information."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from livervol.align.transform import affine_moved
from livervol.grid import Grid
from livervol.kernels.blocks import block_means
from livervol.scan import Scan, Segmentation

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = [
    "MIN_OVERLAP_PERCENT",
    "Region",
    "RigidFit",
    "coarse_image",
    "overlap_percent",
    "refine",
    "region_of",
    "rigid_transform",
    "starts",
]

#: A rigid shift beyond this is no breathing but a wrong match.
MAX_SHIFT_MM = 40.0
#: The same between two stays on the table, where header positions are no guide.
MAX_SHIFT_VISITS_MM = 120.0
#: Least share of the region (the mask, or the fixed field) that the moving field must cover.
MIN_OVERLAP_PERCENT = 25.0
#: Above this share of the region covered, positions of two frames of reference are taken as comparable.
FULL_OVERLAP_PERCENT = 95.0
#: Least gain in mutual information, relative, for which header geometry is given up.
MIN_GAIN = 0.01
#: Tissue around the mask that steers the refinement, and the voxels it works on.
MARGIN_MM, FINE_MM = 12.0, 3.0
CT_WINDOW_HU = (-100.0, 300.0)
HISTOGRAM_BINS = 32
#: Most voxels on which the information is estimated; larger regions are looked at more coarsely.
MAX_VOXELS = 120_000

Matrix = NDArray[np.float64]


class Region(NamedTuple):
    """Where the match counts, on the fixed grid: half-open index box (3, 2), its corners and points inside, LPS mm."""

    box: NDArray[np.int64]
    corners_mm: NDArray[np.float64]
    points_mm: NDArray[np.float64]


class Start(NamedTuple):
    """A first guess: 4x4 matrix from the fixed to the moving world, how far it may be corrected, what to say of it."""

    matrix: Matrix
    limit_mm: float
    notes: tuple[str, ...]


class RigidFit(NamedTuple):
    """Accepted 4x4 matrix, information before and after (nats), largest shift of the region in mm, and notes."""

    matrix: Matrix
    before: float
    after: float
    shift_mm: float
    notes: tuple[str, ...]


def region_of(grid: Grid, mask: Segmentation | None) -> Region:
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
    return Region(box, grid.index_to_lps(corners), grid.index_to_lps(points))


def overlap_percent(moving: Grid, region: Region, matrix: Matrix) -> float:
    """Share of the region's points inside the moving field, in percent."""
    index = moving.lps_to_index(affine_moved(region.points_mm, matrix))
    inside = ((index >= -0.5) & (index <= np.array(moving.shape_zyx) - 0.5)).all(axis=1)
    return 100.0 * float(inside.mean())


def starts(moving: Grid, fixed: Grid, region: Region, livers: Sequence[Segmentation | None]) -> list[Start]:
    """First guesses that bring enough of the region into the moving field: by header, and liver on liver where known.

    ``livers``: of the moving and of the fixed scan, or None.
    """
    found = [_start(moving, fixed, region)]
    here, there = (None if liver is None or not liver.labels.any() else _centre_mm(liver) for liver in livers)
    if here is not None and there is not None:
        matrix = np.eye(4)
        matrix[:3, 3] = here - there
        found.append(Start(matrix, MAX_SHIFT_VISITS_MM, ("the scans were first laid liver on liver",)))
    return [s for s in found if overlap_percent(moving, region, s.matrix) >= MIN_OVERLAP_PERCENT]


def _centre_mm(liver: Segmentation) -> NDArray[np.float64]:
    return liver.grid.index_to_lps(np.argwhere(liver.mask()).mean(axis=0))


def _start(moving: Grid, fixed: Grid, region: Region) -> Start:
    matrix = np.eye(4)
    if moving.frame is None or fixed.frame is None or moving.frame == fixed.frame:
        return Start(matrix, MAX_SHIFT_MM, ())
    if overlap_percent(moving, region, matrix) >= FULL_OVERLAP_PERCENT:
        note = "the scans have different frames of reference; their positions were taken as comparable"
        return Start(matrix, MAX_SHIFT_VISITS_MM, (note,))
    matrix[:3, 3] = moving.corners_lps_mm().mean(axis=0) - fixed.corners_lps_mm().mean(axis=0)
    note = "the scans have different frames of reference and were centred on each other first"
    return Start(matrix, MAX_SHIFT_VISITS_MM, (note,))


def coarse_image(scan: Scan, spacing_mm: float, box: NDArray[np.int64] | None = None) -> sitk.Image:
    """The scan as float32 at no less than ``spacing_mm``, block by block, CT clipped to soft tissue."""
    import SimpleITK as sitk

    first, stop = ((0, 0, 0), scan.grid.shape_zyx) if box is None else (box[:, 0].tolist(), box[:, 1].tolist())
    grid = scan.grid.crop(first, stop)
    fz, fy, fx = (min(n, max(1, round(spacing_mm / s))) for n, s in zip(grid.shape_zyx, grid.spacing_mm, strict=True))
    limits = CT_WINDOW_HU if scan.modality == "CT" else (-np.inf, np.inf)
    image = sitk.GetImageFromArray(block_means(scan.voxels, (fz, fy, fx), limits, (tuple(first), tuple(stop))))
    image.SetOrigin(grid.index_to_lps([(fz - 1) / 2, (fy - 1) / 2, (fx - 1) / 2]).tolist())
    image.SetSpacing([s * f for s, f in zip(grid.spacing_mm[::-1], (fx, fy, fz), strict=True)])
    image.SetDirection(grid.directions[:, ::-1].ravel().tolist())
    return image


def rigid_transform(matrix: NDArray[np.float64], centre: NDArray[np.float64]) -> sitk.Euler3DTransform:
    """The rigid 4x4 matrix as an Euler transform about ``centre`` (LPS mm)."""
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


_THREADS = Lock()
_on_one_thread: list[int] = []


@contextmanager
def _one_thread() -> Iterator[None]:
    # the metric's threads add up in any order, and the same scans must give the same voxels; only the default of the
    # process reaches them, which the first of several fits at once sets and the last gives back
    import SimpleITK as sitk

    with _THREADS:
        _on_one_thread.append(sitk.ProcessObject.GetGlobalDefaultNumberOfThreads())
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        with _THREADS:
            threads = _on_one_thread.pop()
            if not _on_one_thread:
                sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)


def refine(moving: Scan, fixed: Scan, region: Region, guesses: Sequence[Start]) -> RigidFit:
    """The rigid motion from the guess that fits best after a coarse refinement; it must raise the information."""
    centre = region.corners_mm.mean(axis=0)
    extent_mm3 = float(np.prod((region.box[:, 1] - region.box[:, 0]) * fixed.grid.spacing_mm))
    fine_mm = max(FINE_MM, (extent_mm3 / MAX_VOXELS) ** (1 / 3))
    fine = coarse_image(fixed, fine_mm, region.box), coarse_image(moving, fine_mm)
    coarse = coarse_image(fixed, 2 * fine_mm, region.box), coarse_image(moving, 2 * fine_mm)
    tried: list[RigidFit] = []
    for guess in guesses:
        try:
            with _one_thread():
                fit = _refined(guess, region, centre, (coarse, fine))
        except RuntimeError:
            # too few voxels overlap or one side is constant: the metric is undefined, the guess stands
            note = "the scans share too little contrast to check their alignment"
            fit = RigidFit(guess.matrix, 0.0, 0.0, 0.0, (*guess.notes, note))
        tried.append(fit)
    # the first guess is the header's: another must beat it
    return max(tried, key=lambda fit: fit.after)


def _refined(
    guess: Start, region: Region, centre: NDArray[np.float64], scales: tuple[tuple[sitk.Image, sitk.Image], ...]
) -> RigidFit:
    start = guess.matrix
    transform = rigid_transform(start, centre)
    fine = scales[-1]
    before = -_method(rigid_transform(start, centre)).MetricEvaluate(*fine)
    for images in scales:
        _method(transform).Execute(*images)
    after = -_method(rigid_transform(_matrix_of(transform), centre)).MetricEvaluate(*fine)
    matrix = _matrix_of(transform)
    apart = affine_moved(region.corners_mm, matrix) - affine_moved(region.corners_mm, start)
    shift = float(np.linalg.norm(apart, axis=1).max())
    if shift >= guess.limit_mm:
        note = f"a refinement by {shift:.0f} mm was refused; header geometry kept"
        return RigidFit(start, before, before, 0.0, (*guess.notes, note))
    if after < before + MIN_GAIN * abs(before):
        return RigidFit(start, before, before, 0.0, guess.notes)
    return RigidFit(matrix, before, after, shift, guess.notes)
