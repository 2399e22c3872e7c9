"""A small visit with a liver, segments, lesions and viable parts, for the tests of readings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livervol.grid import Grid
from livervol.io.nifti import write_nifti_labels, write_nifti_scan
from livervol.scan import Phase, Scan, Segmentation
from livervol.workflows.visit import GivenMasks, VisitSettings, measure_masks

SHAPE, SPACING = (24, 40, 44), (4.0, 3.1, 2.9)
RESECTION = "right_hepatectomy"


def ball(centre, radius_mm):
    index = np.indices(SHAPE)
    return sum(((index[k] - centre[k]) * SPACING[k]) ** 2 for k in range(3)) < radius_mm**2


def arrays(shrink: float = 0.0) -> dict[str, np.ndarray]:
    """Liver of two halves, two lesions with a dead core; ``shrink`` takes mm off the lesions."""
    liver = ball((12, 20, 22), 46.0)
    lesions = np.zeros(SHAPE, np.uint8)
    lesions[ball((12, 18, 14), 15.0 - shrink) & liver] = 1
    lesions[ball((14, 24, 32), 11.0 - shrink) & liver] = 2
    viable = np.where(ball((12, 18, 14), 6.0), 0, lesions)
    segments = np.where(liver, 1 + (np.arange(SHAPE[2]) // 6)[None, None, :], 0)
    return {"liver": liver.astype(np.uint8), "lesions": lesions, "viable": viable, "segments": segments}


def make_visit(folder: Path, shrink: float = 0.0, slope: float = 0.03) -> Path:
    """``livervol measure`` on the phantom with two phases; the stored grid is oblique and in another axis order."""
    source = folder.with_name(folder.name + "_source")
    source.mkdir(parents=True)
    cos, sin = np.cos(slope), np.sin(slope)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    grid = Grid.from_parts(SHAPE, SPACING, (-41.3, 17.9, -833.1), turn @ np.eye(3)[:, ::-1])
    masks = arrays(shrink)
    for name, labels in masks.items():
        values = range(1, int(labels.max()) + 1)
        segmentation = Segmentation(labels.astype(np.uint8), grid, {v: str(v) for v in values})
        write_nifti_labels(source / f"{name}.nii.gz", segmentation)
    rng = np.random.default_rng(4)
    for phase, contrast in ((Phase.LATE_ARTERIAL, 60.0), (Phase.PORTAL_VENOUS, -45.0)):
        voxels = 30.0 + 75.0 * masks["liver"] + contrast * (masks["lesions"] > 0) + rng.normal(0, 6, SHAPE)
        voxels[:, 0] = -1000
        write_nifti_scan(source / f"{phase.value}.nii.gz", Scan(np.rint(voxels).astype(np.int16), grid, phase=phase))
    given = GivenMasks(**{name: source / f"{name}.nii.gz" for name in masks})
    words = [f"{p.value}={source / p.value}.nii.gz" for p in (Phase.LATE_ARTERIAL, Phase.PORTAL_VENOUS)]
    measure_masks(given, words, folder, settings=VisitSettings(resections=(RESECTION,)))
    return folder
