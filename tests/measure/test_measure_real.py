"""Real tumours and livers, measured beside SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from livervol.io.images import read_labels
from livervol.kernels.components import label_components
from livervol.measure.diameter import Convention, Rules
from livervol.measure.visit import VisitMeasurements, measure_visit
from livervol.scan import Segmentation

PLAIN = Rules(convention=Convention.CENTRE)


@pytest.fixture(scope="module", params=["lits_000", "lits_001", "lits_006"])
def measured(request, shared) -> tuple[Path, VisitMeasurements, Segmentation, Segmentation]:
    folder = shared / "scans" / "train_ct" / request.param
    drawn = read_labels(folder / "liver_tumour.nii.gz")
    parts, _ = label_components(drawn.labels == 2, 26)
    lesions = Segmentation(parts, drawn.grid, {int(v): "lesion" for v in np.unique(parts)[1:]})
    liver = Segmentation(drawn.labels > 0, drawn.grid, {1: "liver"})
    segments = read_labels(folder / "couinaud.nii.gz")
    return folder, measure_visit(liver, lesions, lesions, segments, rules=PLAIN), liver, lesions


def test_volumes_agree_with_simpleitk(measured):
    folder, visit, _, _ = measured
    image = sitk.ReadImage(str(folder / "liver_tumour.nii.gz"))
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(sitk.Cast(image, sitk.sitkUInt8))
    sizes = {v: statistics.GetPhysicalSize(v) / 1000 for v in statistics.GetLabels()}
    assert visit.value("liver.volume_ml") == pytest.approx(sum(sizes.values()), rel=1e-6)
    assert visit.value("tumor.volume_ml") == pytest.approx(sizes[2], rel=1e-6)
    assert visit.value("liver.functional_volume_ml") == pytest.approx(sizes[1], rel=1e-6)
    assert visit.value("tumor.necrosis_percent") == pytest.approx(0.0)


def test_largest_diameters_agree_with_simpleitk(measured):
    _, visit, _, lesions = measured
    image = sitk.GetImageFromArray(lesions.labels)
    image.SetSpacing(lesions.grid.spacing_mm[::-1])
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.ComputeFeretDiameterOn()
    statistics.Execute(image)
    small = [n for n in statistics.GetLabels() if 1 < statistics.GetNumberOfPixels(n) < 30000]
    assert small
    for number in small:
        lesion = visit.lesions[number - 1]
        assert lesion.value("diameter_3d_mm") == pytest.approx(statistics.GetFeretDiameter(number), rel=1e-6)
        assert lesion.value("longest_mm") <= lesion.value("diameter_3d_mm") + 1e-9
        assert lesion.value("short_axis_mm") <= lesion.value("longest_mm") + 1e-9
        assert lesion.value("viable_longest_mm") <= lesion.value("longest_mm") + 1e-9


def test_segments_of_a_real_liver_fill_it(measured):
    _, visit, _, _ = measured
    volumes = [visit.value(f"segments.{n}.volume_ml") for n in range(1, 9)]
    assert sum(volumes) == pytest.approx(visit.value("liver.volume_ml"), rel=0.02)
    assert all(lesion.attributes["site_segment"] in "12345678" for lesion in visit.lesions)
