"""Published values: the IBSI digital phantom and five real masks measured by pyradiomics."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from conftest import oblique_grid
from livervol.errors import GridError
from livervol.grid import Grid
from livervol.measure.diameter import Body, Convention, Rules, diameter_3d, in_slice_diameters
from livervol.measure.shape import axis_lengths_mm, mesh_volume_ml, surface_mm2
from livervol.measure.volume import volume_ml
from livervol.scan import Segmentation

CASES = ("brain1", "brain2", "breast1", "lung1", "lung2")
MESH = Rules(convention=Convention.MESH)


def read_body(path: Path) -> Body:
    image = sitk.ReadImage(str(path))
    directions = np.array(image.GetDirection()).reshape(3, 3)[:, ::-1]
    voxels = sitk.GetArrayFromImage(image)
    grid = Grid.from_parts(voxels.shape, image.GetSpacing()[::-1], image.GetOrigin(), directions)
    return Body(voxels == 1, grid)


def counted_ml(body: Body) -> float:
    return volume_ml(Segmentation(body.mask, body.grid, {1: "body"}))


@pytest.fixture(scope="module")
def phantom(shared) -> tuple[Body, dict[str, tuple[float, float]]]:
    folder = shared / "oracles" / "ibsi"
    with (folder / "reference_values_digital_phantom.csv").open() as handle:
        rows = [row for row in csv.DictReader(handle) if row["tolerance"]]
    values = {row["ibsi_code"]: (float(row["value"]), float(row["tolerance"])) for row in rows}
    return read_body(folder / "digital_phantom" / "mask.nii.gz"), values


def test_ibsi_digital_phantom(phantom):
    body, values = phantom
    major, minor, least = axis_lengths_mm(body)
    volume, surface = 1000 * mesh_volume_ml(body), surface_mm2(body)
    found = {
        "RNU0": volume,
        "YEKZ": 1000 * counted_ml(body),
        "C0JK": surface,
        "2PR5": surface / volume,
        "QCFX": (36 * math.pi * volume**2) ** (1 / 3) / surface,
        "L0JK": diameter_3d(body, MESH).value,
        "TDIC": major,
        "P9VJ": minor,
        "7J51": least,
        "Q3CK": math.sqrt(minor**2 / major**2),
        "N17B": math.sqrt(least**2 / major**2),
    }
    for code, number in found.items():
        value, tolerance = values[code]
        assert number == pytest.approx(value, abs=tolerance), code


def test_ibsi_tells_the_conventions_and_covariances_apart(phantom):
    # the published numbers are not met by the other choices: 13.1 +- 0.1 mm, 9.31 +- 0.06 mm
    body, values = phantom
    for convention in (Convention.CENTRE, Convention.CORNER):
        value, tolerance = values["L0JK"]
        assert abs(diameter_3d(body, Rules(convention=convention)).value - value) > tolerance
    assert axis_lengths_mm(body, ddof=0) == pytest.approx(np.array(axis_lengths_mm(body)) * math.sqrt(73 / 74))


@pytest.fixture(scope="module")
def baseline(shared) -> dict[str, dict[str, str]]:
    with (shared / "oracles" / "pyradiomics" / "baseline_shape.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    return {case: {row["featureName"]: row[case] for row in rows} for case in CASES}


@pytest.mark.parametrize("case", CASES)
def test_pyradiomics_baseline(shared, baseline, case):
    body = read_body(shared / "oracles" / "pyradiomics" / f"{case}_label.nrrd")
    wanted = {name.removeprefix("original_shape_"): value for name, value in baseline[case].items()}

    def number(name: str) -> float:
        return float(wanted[name])

    assert 1000 * counted_ml(body) == pytest.approx(number("VoxelVolume"), rel=1e-9)
    assert diameter_3d(body, MESH).value == pytest.approx(number("Maximum3DDiameter"), rel=1e-9)
    axes = axis_lengths_mm(body, ddof=0)
    for found, name in zip(axes, ("MajorAxisLength", "MinorAxisLength", "LeastAxisLength"), strict=True):
        assert found == pytest.approx(number(name), rel=1e-9)
    assert 1000 * mesh_volume_ml(body) == pytest.approx(number("MeshVolume"), rel=0.004)
    assert surface_mm2(body) == pytest.approx(number("SurfaceArea"), rel=0.004)


@pytest.mark.parametrize("case", CASES)
def test_in_slice_diameters_by_convention(shared, baseline, case):
    folder = shared / "oracles" / "pyradiomics"
    body = read_body(folder / f"{case}_label.nrrd")
    with (folder / "axial_diameter_variants.csv").open() as handle:
        wanted = next(row for row in csv.DictReader(handle) if row["case"] == case)
    columns = {
        Convention.CENTRE: "voxel_centre_in_slice",
        Convention.MESH: "recomputed_mesh_slice_planes_only",
        Convention.CORNER: "voxel_corner_in_slice",
    }
    for convention, column in columns.items():
        found = in_slice_diameters(body, Rules(convention=convention))[0].value
        assert found == pytest.approx(float(wanted[column]), rel=1e-9)
        # and no convention is mistaken for another
        for other in set(columns.values()) - {column}:
            assert found != pytest.approx(float(wanted[other]), rel=1e-6)


def test_mixing_neighbouring_slices_is_not_what_is_measured(shared, baseline):
    body = read_body(shared / "oracles" / "pyradiomics" / "brain1_label.nrrd")
    mixed = float(baseline["brain1"]["original_shape_Maximum2DDiameterSlice"])
    assert in_slice_diameters(body, MESH)[0].value < mixed - 5


@pytest.mark.parametrize("ddof", [0, 1])
def test_axis_lengths_of_an_oblique_ellipsoid(ddof):
    # a solid ellipsoid of semi-axes a has variance a^2 / 5 along each: length 4 a / sqrt 5
    grid = oblique_grid((50, 90, 100), (1.0, 0.6, 0.5))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape_zyx), indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(grid.index_to_lps(index) - grid.index_to_lps([24.7, 44.6, 49.2]), -1, 0)
    body = Body((x / 18) ** 2 + (y / 11) ** 2 + (z / 14) ** 2 <= 1, grid)
    wanted = [4 * a / math.sqrt(5) for a in (18, 14, 11)]
    assert axis_lengths_mm(body, ddof=ddof) == pytest.approx(wanted, rel=0.005)


def test_axes_need_more_than_one_voxel():
    body = Body(np.ones((1, 1, 1), bool), oblique_grid((1, 1, 1)))
    assert axis_lengths_mm(body, ddof=0) == (0.0, 0.0, 0.0)
    with pytest.raises(GridError, match="body too small for axes: expected more than 1 voxels, got 1"):
        axis_lengths_mm(body)


def test_mesh_of_a_ball_approaches_its_volume():
    errors = []
    for spacing in (2.0, 1.0, 0.5):
        n = int(2 * 14 / spacing) + 4
        grid = Grid.from_parts((n, n, n), (spacing, spacing, spacing))
        steps = (np.indices((n, n, n)) - (n - 1) / 2 - 0.2) * spacing
        body = Body((steps**2).sum(axis=0) <= 13.0**2, grid)
        errors.append(abs(mesh_volume_ml(body) / (4 / 3 * math.pi * 2.197) - 1))
    assert errors[2] < errors[0]
    assert errors[2] < 0.002
