"""Every sample: its voxels from the plan, its file or series, and what truth.json says about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.grid import Grid

from . import truth, vessels
from .imaging import CT_PHASES, MR_CONTRASTS, SUBSAMPLES_ZYX, Exposure, SubsampledScene, ct_voxels, mr_voxels
from .lesions import COURSE_LESIONS
from .plan import COARSE_GRID, COURSE_PHASES, MR_GRID, OBLIQUE_GRID, PHASE_STEPS, VISIT_PLANS, VisitPlan
from .writers import SeriesHeader, voxel_sha256, write_nifti, write_series

__all__ = ["SCHEMA_VERSION", "Sample", "build_truth", "samples"]

SCHEMA_VERSION = 1

_CT_NOISE_HU = {"native": 11.0, "late_arterial": 12.5, "portal_venous": 11.5, "delayed": 11.5}
_MR_NOISE = {"t1_native": 9.0, "t1_late_arterial": 11.0, "t1_portal_venous": 11.0, "t2": 10.0}

#: Times of the phases as hhmmss: injection at 10:05:00, then about 35 s, 70 s and 3 min.
_INJECTION = "100500"
_TIMES = {"native": "100210", "late_arterial": "100535", "portal_venous": "100610", "delayed": "100800"}
_DESCRIPTIONS = {
    "native": "Liver native 3.0",
    "late_arterial": "Liver arterial 3.0",
    "portal_venous": "Liver portal venous 3.0",
}


@dataclass(frozen=True, eq=False)
class Sample:
    """One volume: ``path`` inside the samples folder (a folder for DICOM, a file for NIfTI) and its voxels."""

    path: str
    kind: str
    phase: str
    visit: int
    voxels: NDArray[np.int16]
    grid: Grid
    header: SeriesHeader | None = None
    leave_out: tuple[int, ...] = ()
    moved_mm: tuple[tuple[int, float], ...] = ()
    offset_lps_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def write(self, out: Path) -> None:
        """Write the series or file under ``out``."""
        if self.header is None:
            write_nifti(out / self.path, self.voxels, self.grid)
        else:
            write_series(out / self.path, self.voxels, self.grid, self.header, self.leave_out, dict(self.moved_mm))

    def entry(self) -> dict[str, Any]:
        """The sample's row in truth.json."""
        entry: dict[str, Any] = {
            "path": self.path,
            "kind": self.kind,
            "phase": self.phase,
            "visit": self.visit,
            "shape_zyx": list(self.grid.shape_zyx),
            "spacing_mm": [round(v, 6) for v in self.grid.spacing_mm],
            "affine_zyx_to_lps": [[round(v, 9) for v in row] for row in self.grid.affine],
            "patient_offset_lps_mm": [round(v, 4) for v in self.offset_lps_mm],
            "sha256_voxels": voxel_sha256(self.voxels),
        }
        if self.leave_out or self.moved_mm:
            entry["must_be_refused"] = True
            entry["slices_left_out"] = list(self.leave_out)
            entry["slices_moved_mm"] = {str(k): v for k, v in self.moved_mm}
        return entry


def _seed(visit: int, phase: str, what: int) -> int:
    return 1_000_000 * what + 1_000 * visit + (*CT_PHASES, *MR_CONTRASTS).index(phase) + 17


def _visit_samples(plan: VisitPlan) -> Iterator[Sample]:
    scene = SubsampledScene(plan.grid, COURSE_LESIONS[plan.number], plan.shift_lps_mm)
    for number, phase in enumerate(COURSE_PHASES, start=2):
        steps = PHASE_STEPS[phase]
        exposure = Exposure(CT_PHASES.index(phase), _CT_NOISE_HU[phase], _seed(plan.number, phase, 1))
        voxels = ct_voxels(scene.moved(steps), plan.grid.shape_zyx, exposure)
        header = SeriesHeader(
            study=f"course visit {plan.number}",
            name=phase,
            number=number,
            description=_DESCRIPTIONS[phase],
            date=plan.date.replace("-", ""),
            study_time="100000",
            acquisition_time=_TIMES[phase],
            contrast_time="" if phase == "native" else _INJECTION,
        )
        z, y, x = (s * h / k for s, h, k in zip(steps, plan.grid.spacing_mm, SUBSAMPLES_ZYX, strict=True))
        path = f"course/visit_{plan.number}/{phase}"
        yield Sample(path, "dicom", phase, plan.number, voxels, plan.grid, header, offset_lps_mm=(x, y, z))


def _other_samples() -> Iterator[Sample]:
    scene = SubsampledScene(MR_GRID, COURSE_LESIONS[1])
    for contrast in MR_CONTRASTS:
        exposure = Exposure(MR_CONTRASTS.index(contrast), _MR_NOISE[contrast], _seed(1, contrast, 2))
        voxels = mr_voxels(scene.moved(), MR_GRID.shape_zyx, exposure)
        yield Sample(f"mr/{contrast}.nii.gz", "nifti", contrast, 1, voxels, MR_GRID)
    scene = SubsampledScene(OBLIQUE_GRID, COURSE_LESIONS[1])
    for phase in ("portal_venous", "delayed"):
        exposure = Exposure(CT_PHASES.index(phase), _CT_NOISE_HU[phase], _seed(1, phase, 3))
        voxels = ct_voxels(scene.moved(), OBLIQUE_GRID.shape_zyx, exposure)
        yield Sample(f"oblique/{phase}.nii.gz", "nifti", phase, 1, voxels, OBLIQUE_GRID)
    scene = SubsampledScene(COARSE_GRID, COURSE_LESIONS[1])
    exposure = Exposure(CT_PHASES.index("portal_venous"), 9.0, _seed(1, "portal_venous", 4))
    voxels = ct_voxels(scene.moved(), COARSE_GRID.shape_zyx, exposure)
    for name, gone, moved in (("missing_slice", (17,), ()), ("uneven_spacing", (), ((20, 2.2),))):
        header = SeriesHeader(
            study=f"uneven {name}",
            name="portal_venous",
            number=2,
            description="Liver portal venous 6.0",
            date="20240304",
            study_time="100000",
            acquisition_time=_TIMES["portal_venous"],
            contrast_time=_INJECTION,
            thickness_mm=6.0,
        )
        yield Sample(f"uneven/{name}", "dicom", "portal_venous", 1, voxels, COARSE_GRID, header, gone, moved)


def samples(only: str = "") -> Iterator[Sample]:
    """All samples in a fixed order, or those whose path starts with ``only`` (``course/visit_2``, ``mr``)."""
    for number, plan in VISIT_PLANS.items():
        folder = f"course/visit_{number}"
        if folder.startswith(only) or only.startswith(folder):
            yield from (sample for sample in _visit_samples(plan) if sample.path.startswith(only))
    if not only.startswith("course"):
        yield from (sample for sample in _other_samples() if sample.path.startswith(only))


_METHODS = {
    "liver.volume_ml": "points of a 1.2 mm grid inside the liver's implicit surface; within 0.05 %",
    "liver.functional_volume_ml": "liver volume less tumour volume",
    "volume_ml": "closed form, 4/3 pi a b c",
    "longest_mm": "closed form, longest axial axis of the ellipsoid, outer edge to outer edge",
    "short_axis_mm": "closed form, the axial axis at right angles to the longest",
    "diameter_3d_mm": "closed form, longest axis of the ellipsoid",
    "viable_volume_ml": "closed form, lesion less necrotic core, or the viable nodule",
    "viable_longest_mm": (
        "longest axial segment with both ends on viable tissue that crosses no more necrosis than max(2 mm, 10 % of "
        "its length), at most 5 mm; search over lines in closed form, within 0.02 mm"
    ),
    "viable_perpendicular_mm": "longest such segment at right angles to it in the same plane, within 0.05 mm",
    "necrosis_percent": "100 (1 - viable / whole) of the volumes",
    "categories": (
        "targets only: PD when sum >= 1.2 nadir (and, for RECIST 1.1, 5 mm more), PR when sum <= 0.7 baseline, "
        "nadir the smallest earlier sum; a new lesion makes the overall response PD"
    ),
}


def build_truth(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole of truth.json from the samples' entries."""
    visits = []
    for number, plan in VISIT_PLANS.items():
        row: dict[str, Any] = {"number": number, "date": plan.date, "phases": list(COURSE_PHASES)}
        row |= {"patient_shift_lps_mm": list(plan.shift_lps_mm)}
        row |= truth.visit_truth(number, plan.shift_lps_mm)
        row["landmarks_lps_mm"] = vessels.landmarks(np.asarray(plan.shift_lps_mm))
        visits.append(row)
    new = [any(lesion.role == "new" for lesion in COURSE_LESIONS[n]) for n in VISIT_PLANS]
    viable = [float(row["sum_viable_longest_mm"]) for row in visits]
    whole = [float(row["sum_longest_mm"]) for row in visits]
    return {
        "schema": "livervol.sample_truth",
        "schema_version": SCHEMA_VERSION,
        "units": {"lengths": "mm", "volumes": "ml", "ratios": "%", "positions": "LPS mm"},
        "methods": _METHODS,
        "course": {
            "subject": "SAMPLE-0001",
            "visits": visits,
            "mrecist": truth.response_truth(viable, new, 0.0),
            "recist11": truth.response_truth(whole, new, 5.0),
        },
        "files": entries,
    }
