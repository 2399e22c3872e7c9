"""The voxels: Phase, Scan and Segmentation, each an array on a Grid in canonical (z, y, x) order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.errors import GridError, ScanError, refusal
from livervol.grid import Grid

__all__ = ["MODALITIES", "SEQUENCES", "Phase", "Scan", "Segmentation", "Source"]

MODALITIES = ("CT", "MR")
SEQUENCES = ("CT", "T1", "T2", "DWI", "other")


class Phase(StrEnum):
    """Contrast phase. ``unknown`` is an honest value, never guessed silently."""

    NATIVE = "native"
    EARLY_ARTERIAL = "early_arterial"
    LATE_ARTERIAL = "late_arterial"
    PORTAL_VENOUS = "portal_venous"
    DELAYED = "delayed"
    TRANSITIONAL = "transitional"
    HEPATOBILIARY = "hepatobiliary"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Source:
    """Where a scan came from; nothing here identifies a patient.

    ``kind``      dicom, nifti, nrrd, mha or memory.
    ``stored``    the grid of the array as the file stores it, before the axes were put in canonical order; masks are
                  written back on it. None when the scan never was a file.
    ``uids``      DICOM study and series UIDs, or empty.
    ``sha256``    of the voxels as stored.
    ``warnings``  sentences a reader of the results must see.
    ``hints``     header facts for phase recognition (acquisition_number, acquisition_time, contrast_start_time,
                  series_description, slice_thickness_mm, kvp); absent when the header lacks them.
    """

    kind: str = "memory"
    stored: Grid | None = None
    uids: tuple[str, ...] = ()
    sha256: str = ""
    warnings: tuple[str, ...] = ()
    hints: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False)
class Scan:
    """One volume of one phase: ``voxels`` shape (nz, ny, nx), read-only, HU for CT, arbitrary units for MR.

    ``date`` is ISO ``YYYY-MM-DD`` or None. Raises ``GridError`` when the shape is not the grid's, ``ScanError`` for an
    unknown modality or sequence or for voxels that are not real numbers.
    """

    voxels: NDArray[Any]
    grid: Grid
    modality: str = "CT"
    sequence: str = "CT"
    phase: Phase = Phase.UNKNOWN
    date: str | None = None
    source: Source = field(default_factory=Source)

    def __post_init__(self) -> None:
        if self.voxels.shape != self.grid.shape_zyx:
            raise GridError(
                refusal("voxels do not fill the grid", expected=str(self.grid.shape_zyx), got=str(self.voxels.shape))
            )
        if self.voxels.dtype.kind not in "iuf":
            raise ScanError(
                refusal("voxels are not numbers", expected="integers or floats", got=str(self.voxels.dtype))
            )
        if self.modality not in MODALITIES:
            raise ScanError(refusal("modality is not supported", expected=" or ".join(MODALITIES), got=self.modality))
        if self.sequence not in SEQUENCES:
            raise ScanError(refusal("sequence is not known", expected=" or ".join(SEQUENCES), got=self.sequence))
        object.__setattr__(self, "phase", Phase(self.phase))
        object.__setattr__(self, "voxels", _frozen(self.voxels))

    def with_phase(self, phase: Phase) -> Scan:
        """The same scan with its phase named."""
        return replace(self, phase=phase)

    def resampled(self, grid: Grid, *, outside: float | None = None) -> Scan:
        """The scan on another grid by linear interpolation; outside the field: ``outside`` or the minimum."""
        if grid == self.grid:
            return self
        fill = float(self.voxels.min()) if outside is None else outside
        voxels = _resample(self.voxels, self.grid, grid, linear=True, outside=fill)
        return replace(self, voxels=voxels, grid=grid)


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One question's answer per voxel: ``labels`` (uint8 or uint16, read-only) with ``names`` {value: structure}.

    0 is background and needs no name; every other value present must be named. ``made_by`` names method and version.
    Structures nest, so liver, segments, lesions, viable and vessels are separate Segmentations.
    """

    labels: NDArray[Any]
    grid: Grid
    names: Mapping[int, str]
    made_by: str = ""

    def __post_init__(self) -> None:
        if self.labels.shape != self.grid.shape_zyx:
            raise GridError(
                refusal("labels do not fill the grid", expected=str(self.grid.shape_zyx), got=str(self.labels.shape))
            )
        labels = self.labels.view(np.uint8) if self.labels.dtype == np.bool_ else self.labels
        if labels.dtype not in (np.uint8, np.uint16):
            if labels.dtype.kind not in "iu":
                raise ScanError(refusal("labels are not whole numbers", expected="integers", got=str(labels.dtype)))
            low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
            if low < 0 or high > 65535:
                raise ScanError(refusal("label overflow", expected="values 0 to 65535", got=f"{low} to {high}"))
            labels = labels.astype(np.uint8 if high <= 255 else np.uint16)
        unnamed = sorted(_values_present(labels) - {0} - set(self.names))
        if unnamed:
            raise ScanError(
                refusal("label without a name", expected="a name for every value", got=f"unnamed {unnamed[:5]}")
            )
        object.__setattr__(self, "labels", _frozen(labels))
        object.__setattr__(self, "names", MappingProxyType({int(k): str(v) for k, v in self.names.items()}))

    def require_grid(self, grid: Grid) -> None:
        """Raise ``GridError`` unless this segmentation lies on ``grid``."""
        if not self.grid.matches(grid):
            raise GridError(
                refusal(
                    "segmentation is not on the scan's grid",
                    expected=grid.describe(),
                    got=self.grid.describe(),
                    do="Resample it first with Segmentation.resampled(grid).",
                )
            )

    def without(self, values: Sequence[int]) -> Segmentation:
        """The same segmentation with background where one of the values was."""
        return replace(self, labels=np.where(np.isin(self.labels, values), 0, self.labels)) if values else self

    def mask(self, value: int | None = None) -> NDArray[np.bool_]:
        """Boolean mask of one value, or of everything that is not background."""
        result: NDArray[np.bool_] = self.labels != 0 if value is None else self.labels == value
        return result

    def resampled(self, grid: Grid) -> Segmentation:
        """The labels on another grid, nearest neighbour; outside the field is background."""
        if grid == self.grid:
            return self
        labels = _resample(self.labels, self.grid, grid, linear=False, outside=0)
        return replace(self, labels=labels, grid=grid)


def _values_present(labels: NDArray[Any]) -> set[int]:
    # slab by slab and foreground only: bincount widens its input to eight bytes a voxel
    found: set[int] = set()
    for slab in labels:
        found.update(np.flatnonzero(np.bincount(slab[slab != 0])).tolist())
    return found


def _resample(voxels: NDArray[Any], source: Grid, target: Grid, *, linear: bool, outside: float) -> NDArray[Any]:
    import SimpleITK as sitk

    def geometry(grid: Grid) -> tuple[list[float], list[float], list[float]]:
        return list(grid.origin_lps_mm), list(grid.spacing_mm[::-1]), grid.directions[:, ::-1].ravel().tolist()

    image = sitk.GetImageFromArray(voxels)
    origin, spacing, direction = geometry(source)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    origin, spacing, direction = geometry(target)
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(n) for n in target.shape_zyx[::-1]])
    resampler.SetOutputOrigin(origin)
    resampler.SetOutputSpacing(spacing)
    resampler.SetOutputDirection(direction)
    resampler.SetInterpolator(sitk.sitkLinear if linear else sitk.sitkNearestNeighbor)
    resampler.SetDefaultPixelValue(outside)
    result: NDArray[Any] = sitk.GetArrayFromImage(resampler.Execute(image))
    return result
