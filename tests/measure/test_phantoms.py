"""Volumes and diameters of analytic bodies on isotropic, anisotropic and oblique grids, at several sizes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from conftest import oblique_grid, rotation
from livervol.grid import Grid
from livervol.measure.diameter import Body, Convention, Rules, diameter_3d, in_slice_diameters, viable_diameters
from livervol.measure.volume import volume_ml
from livervol.scan import Segmentation

SPACINGS = {
    "isotropic": (1.0, 1.0, 1.0),
    "anisotropic": (2.0, 0.8, 0.7),
    "oblique": (2.0, 0.8, 0.7),
    "thick": (5.0, 0.8, 0.7),
}
PLAIN = ("isotropic", "anisotropic", "oblique")

#: The middle of a body, in voxels off a voxel centre: no symmetry helps.
OFF_ZYX = (0.31, -0.22, 0.43)


def grid_round(radius_mm: float, spacing: tuple[float, float, float], oblique: bool = False) -> Grid:
    """A grid that holds a body of that radius about its middle."""
    shape = tuple(2 * math.ceil(radius_mm / s) + 5 for s in spacing)
    return oblique_grid(shape, spacing) if oblique else Grid.from_parts(shape, spacing, (11.0, -23.0, 400.0))


def from_middle(grid: Grid, off_zyx: tuple[float, float, float] = OFF_ZYX) -> np.ndarray:
    """LPS mm of every voxel centre from the body's middle, shape (3, nz, ny, nx)."""
    middle = grid.index_to_lps([(n - 1) / 2 + o for n, o in zip(grid.shape_zyx, off_zyx, strict=True)])
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape_zyx), indexing="ij"), axis=-1)
    return np.moveaxis(grid.index_to_lps(index) - middle, -1, 0)


def named_grid(name: str, radius_mm: float) -> Grid:
    return grid_round(radius_mm, SPACINGS[name], name == "oblique")


def in_plane_diagonal(grid: Grid) -> float:
    return math.hypot(*grid.spacing_mm[1:])


def ball(points: np.ndarray, radius: float) -> np.ndarray:
    return (points**2).sum(axis=0) <= radius**2


def ellipsoid_matrix(semi_axes_lps: tuple[float, float, float], degrees: tuple[float, float, float]) -> np.ndarray:
    turn = rotation(degrees)
    return turn @ np.diag([1 / a**2 for a in semi_axes_lps]) @ turn.T


def ellipsoid(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return np.einsum("i...,ij,j...->...", points, matrix, points) <= 1


def volume_of(mask: np.ndarray, grid: Grid) -> float:
    return volume_ml(Segmentation(mask, grid, {1: "body"}))


# --- volumes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("diameter", [30.0, 44.0, 60.0])
def test_volume_of_a_ball_within_one_percent(name, diameter):
    grid = named_grid(name, diameter / 2)
    assert diameter / max(grid.spacing_mm) >= 15
    wanted = math.pi / 6 * diameter**3 / 1000
    assert volume_of(ball(from_middle(grid), diameter / 2), grid) == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("name", PLAIN)
def test_volume_of_an_ellipsoid_within_one_percent(name):
    grid = named_grid(name, 25.0)
    mask = ellipsoid(from_middle(grid), ellipsoid_matrix((25.0, 15.0, 18.0), (20.0, 35.0, 50.0)))
    assert volume_of(mask, grid) == pytest.approx(4 / 3 * math.pi * 25 * 15 * 18 / 1000, rel=0.01)


@pytest.mark.parametrize("name", SPACINGS)
@pytest.mark.parametrize("diameter", [4.0, 8.0, 14.0, 22.0])
@pytest.mark.parametrize("off", [OFF_ZYX, (0.0, 0.0, 0.0), (0.5, 0.5, 0.5)])
def test_volume_of_a_small_ball_within_its_counting_error(name, diameter, off):
    # The body is a bundle of columns across its thickest slices. The number of voxels in a column differs from its
    # length by less than one: two ends, each a uniform error of +-1/2 voxel, variance 1/6 voxel^2 together. With
    # n = area / column cross-section columns the count has standard deviation sqrt(n / 6); four of them are allowed,
    # and one voxel for the discreteness of small counts. On a symmetric placement the eight octants repeat the same
    # errors: sqrt(8) times that. A body thinner than two slices has all its columns rounded
    # the same way: n voxels.
    grid = named_grid(name, diameter / 2)
    spacing = sorted(grid.spacing_mm)
    columns = math.pi / 4 * diameter**2 / (spacing[0] * spacing[1])
    voxels = (
        columns if diameter < 2 * spacing[2] else 4 * math.sqrt(columns / 6) * (1 if off == OFF_ZYX else math.sqrt(8))
    )
    bound = (voxels + 1) * grid.voxel_ml
    wanted = math.pi / 6 * diameter**3 / 1000
    assert abs(volume_of(ball(from_middle(grid, off), diameter / 2), grid) - wanted) <= bound


# --- diameters -----------------------------------------------------------------------------------------------------


def longest_in_planes(matrix: np.ndarray, grid: Grid) -> tuple[float, float]:
    """Axes of the ellipse in which a plane of the grid cuts an ellipsoid through its middle."""
    in_plane = grid.directions[:, 1:]
    least, most = np.linalg.eigvalsh(in_plane.T @ matrix @ in_plane)
    return 2 / math.sqrt(least), 2 / math.sqrt(most)


@pytest.mark.parametrize("convention", Convention)
@pytest.mark.parametrize("name", SPACINGS)
@pytest.mark.parametrize("diameter", [12.0, 30.0, 60.0])
def test_diameters_of_a_ball_within_a_voxel_diagonal(name, diameter, convention):
    grid = named_grid(name, diameter / 2)
    body = Body(ball(from_middle(grid), diameter / 2), grid)
    longest, short = in_slice_diameters(body, Rules(convention=convention))
    # the slice nearest to the middle may be half a spacing away from it
    cut = 2 * math.sqrt((diameter / 2) ** 2 - (grid.spacing_mm[0] / 2) ** 2)
    for found in (longest.value, short.value):
        assert cut - in_plane_diagonal(grid) <= found <= diameter + in_plane_diagonal(grid)
    if name != "thick":
        assert longest.value == pytest.approx(diameter, abs=in_plane_diagonal(grid))
        assert short.value == pytest.approx(diameter, abs=in_plane_diagonal(grid))
    whole = diameter_3d(body, Rules(convention=convention)).value
    assert whole == pytest.approx(diameter, abs=math.hypot(*grid.spacing_mm))


@pytest.mark.parametrize("convention", Convention)
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("semi_axes", [(25.0, 15.0, 18.0), (12.0, 22.0, 9.0), (16.0, 15.0, 30.0)])
@pytest.mark.parametrize("degrees", [(0.0, 0.0, 0.0), (15.0, 25.0, 60.0)])
def test_diameters_of_an_ellipsoid_within_a_voxel_diagonal(name, semi_axes, degrees, convention):
    grid = named_grid(name, max(semi_axes))
    matrix = ellipsoid_matrix(semi_axes, degrees)
    body = Body(ellipsoid(from_middle(grid), matrix), grid)
    long_axis, short_axis = longest_in_planes(matrix, grid)
    longest, short = in_slice_diameters(body, Rules(convention=convention))
    # voxel centres lie inside the body: each end falls short by up to a voxel, never over
    bias = in_plane_diagonal(grid) if convention is Convention.CENTRE else 0.0
    assert longest.value == pytest.approx(long_axis - bias, abs=in_plane_diagonal(grid))
    assert short.value == pytest.approx(short_axis - bias, abs=in_plane_diagonal(grid))
    whole = diameter_3d(body, Rules(convention=convention)).value
    assert whole == pytest.approx(2 * max(semi_axes), abs=math.hypot(*grid.spacing_mm))


@pytest.mark.parametrize("degrees", [40.0, -52.0])
def test_steep_planes_are_cut_anew_as_axial_ones(degrees):
    directions = rotation((0.0, 0.0, degrees)) @ np.eye(3)[:, ::-1]
    grid = Grid.from_parts((56, 70, 68), (1.1, 0.9, 1.0), (5.0, -6.0, 70.0), directions)
    matrix = ellipsoid_matrix((14.0, 22.0, 9.0), (0.0, 0.0, 0.0))
    body = Body(ellipsoid(from_middle(grid), matrix), grid)
    longest, short = in_slice_diameters(body)
    assert f"axial reformat of planes tilted {abs(degrees):.0f} degrees" in longest.method
    # nearest-neighbour cutting moves the edge by up to half a voxel diagonal on either side
    tolerance = math.hypot(*grid.spacing_mm) + math.sqrt(2) * min(grid.spacing_mm)
    assert longest.value == pytest.approx(44.0, abs=tolerance)
    assert short.value == pytest.approx(28.0, abs=tolerance)
    assert longest.line.plane_index is None
    start, end = np.array(longest.line.start_lps_mm), np.array(longest.line.end_lps_mm)
    assert start[2] == pytest.approx(end[2])
    assert np.linalg.norm(end - start) == pytest.approx(longest.value)
    # without the reformat the same numbers are those of the steep planes
    steep, _ = in_slice_diameters(body, Rules(max_tilt_degrees=90.0))
    assert steep.value == pytest.approx(longest_in_planes(matrix, grid)[0], abs=in_plane_diagonal(grid))
    assert "acquired plane" in steep.method


# --- viable diameters ----------------------------------------------------------------------------------------------


def allowed_gap(length: float, rules: Rules) -> float:
    return min(max(rules.gap_floor_mm, rules.gap_fraction * length), rules.gap_cap_mm)


def shell_chord(outer: float, inner: float, rules: Rules) -> float:
    """Longest in-slice chord of a ball with a dead ball inside, in any slice that cuts both.

    A line at distance d from the axis of the slice crosses ``2 sqrt(r^2 - d^2)`` of the core; at the largest gap g it
    is ``2 sqrt(R^2 - r^2 + g^2 / 4)`` long, whatever the slice. The gap depends on the length: iterate.
    """
    length = 2 * math.sqrt(outer**2 - inner**2)
    for _ in range(50):
        length = 2 * math.sqrt(outer**2 - inner**2 + allowed_gap(length, rules) ** 2 / 4)
    return length


def chord_tolerance(outer: float, inner: float, grid: Grid) -> float:
    # both ends are placed to a voxel diagonal together, and the line's distance d from the core's middle to half a
    # diagonal on the core's edge; d(2 sqrt(R^2 - d^2)) / dd = 2 d / sqrt(R^2 - d^2) with d < r
    return in_plane_diagonal(grid) * (1 + inner / math.sqrt(outer**2 - inner**2))


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(("outer", "inner"), [(15.0, 8.0), (30.0, 18.0), (30.0, 24.0), (40.0, 35.0)])
def test_a_dead_core_shortens_the_viable_diameter(name, outer, inner):
    grid = named_grid(name, outer)
    points = from_middle(grid)
    lesion, core = ball(points, outer), ball(points, inner)
    longest, across = viable_diameters(Body(lesion & ~core, grid), Body(lesion, grid))
    assert longest.value == pytest.approx(shell_chord(outer, inner, Rules()), abs=chord_tolerance(outer, inner, grid))
    assert across.value <= longest.value + in_plane_diagonal(grid)
    # the lesion's own diameter does not care
    assert in_slice_diameters(Body(lesion, grid))[0].value == pytest.approx(2 * outer, abs=in_plane_diagonal(grid))


@pytest.mark.parametrize("name", PLAIN)
def test_without_necrosis_the_viable_diameter_is_the_diameter(name):
    grid = named_grid(name, 25.0)
    body = Body(ellipsoid(from_middle(grid), ellipsoid_matrix((25.0, 15.0, 18.0), (20.0, 35.0, 50.0))), grid)
    for convention in Convention:
        rules = Rules(convention=convention)
        for plain, viable in zip(in_slice_diameters(body, rules), viable_diameters(body, body, rules), strict=True):
            assert viable.value == pytest.approx(plain.value, abs=1e-9)
            assert viable.line == plain.line


@pytest.mark.parametrize("shape", ["ring", "C"])
@pytest.mark.parametrize("name", ["isotropic", "anisotropic"])
def test_a_hollow_lesion_may_not_be_crossed(name, shape):
    # a ring, and three quarters of one: what is not lesion is no gap, every chord keeps out of the hole altogether
    outer, inner = 30.0, 20.0
    grid = named_grid(name, outer)
    x, y, z = from_middle(grid)
    r = np.hypot(x, y)
    mask = (r <= outer) & (r >= inner) & (abs(z) < 12)
    if shape == "C":
        mask &= ~((x > 0) & (abs(y) < x))
    longest, _ = viable_diameters(Body(mask, grid), Body(mask, grid))
    wanted = 2 * math.sqrt(outer**2 - inner**2)
    assert longest.value == pytest.approx(wanted, abs=chord_tolerance(outer, inner, grid))
    # outer edge to outer edge, across the hole
    assert in_slice_diameters(Body(mask, grid))[0].value == pytest.approx(2 * outer, abs=in_plane_diagonal(grid))


@pytest.mark.parametrize(("gap_mm", "crossed"), [(1.6, True), (2.4, True), (4.0, True), (5.6, False), (8.0, False)])
def test_two_live_parts_bridge_a_short_gap_only(gap_mm, crossed):
    # blocks of 20 mm along x with a dead stretch between: whole length 40 mm + gap, a tenth of which is over 4 mm
    spacing = (2.0, 1.0, 0.8)
    half_x, gap = 25, round(gap_mm / 0.8)
    lesion = np.ones((4, 3, 2 * half_x + gap), bool)
    viable = lesion.copy()
    viable[:, :, half_x : half_x + gap] = False
    grid = Grid.from_parts(lesion.shape, spacing)
    longest, _ = viable_diameters(Body(viable, grid), Body(lesion, grid))
    length = lesion.shape[2] * 0.8 if crossed else half_x * 0.8
    # voxel corners: the diagonal of the row, over one to three rows of 1 mm
    assert length <= longest.value <= math.hypot(length, 3.0) + 1e-9
    both, _ = viable_diameters(Body(viable, grid), Body(lesion, grid), Rules(sum_parts=True))
    assert both.value == pytest.approx(2 * math.hypot(half_x * 0.8, 3.0))
    assert both.method.startswith("sum over 2 parts")


def test_a_bridge_of_live_tissue_joins_two_nodules():
    spacing = (1.0, 1.0, 1.0)
    lesion = np.ones((5, 21, 61), bool)
    y, x = np.mgrid[-10:11, -30:31]
    nodules = (np.hypot(y, x + 20) <= 9.2) | (np.hypot(y, x - 20) <= 9.2)
    grid = Grid.from_parts(lesion.shape, spacing)
    apart = np.repeat(nodules[None], 5, axis=0)
    joined = np.repeat((nodules | ((y == 0) & (abs(x) < 20)))[None], 5, axis=0)
    rules = Rules(convention=Convention.CENTRE)
    longest = [viable_diameters(Body(v, grid), Body(lesion, grid), rules)[0].value for v in (apart, joined)]
    assert longest[0] == pytest.approx(18.0, abs=math.sqrt(2))
    assert longest[1] == pytest.approx(58.0, abs=math.sqrt(2))


def test_a_thin_rim_gives_the_chord_that_grazes_the_core():
    outer, inner = 30.0, 27.0
    grid = named_grid("isotropic", outer)
    points = from_middle(grid)
    lesion = ball(points, outer)
    rim = lesion & ~ball(points, inner)
    strict = Rules(gap_floor_mm=0.0, gap_fraction=0.0, gap_cap_mm=0.0)
    longest, _ = viable_diameters(Body(rim, grid), Body(lesion, grid), strict)
    wanted = 2 * math.sqrt(outer**2 - inner**2)
    assert longest.value == pytest.approx(wanted, abs=chord_tolerance(outer, inner, grid))


# --- refinement ----------------------------------------------------------------------------------------------------

OFFSETS = [(0.31, -0.22, 0.43), (0.05, 0.37, -0.18), (-0.41, 0.12, 0.27), (0.22, -0.48, -0.09), (0.13, 0.29, 0.47)]

Measure = Callable[[np.ndarray, Grid], float]


def viable_of(mask: np.ndarray, grid: Grid) -> float:
    lesion, core = mask, _core(grid, mask)
    return float(viable_diameters(Body(lesion & ~core, grid), Body(lesion, grid))[0].value or 0.0)


def _core(grid: Grid, lesion: np.ndarray) -> np.ndarray:
    # the concentric dead ball of the refinement phantom, rebuilt from the lesion's own middle
    middle = np.argwhere(lesion).mean(axis=0)
    steps = (np.moveaxis(np.indices(lesion.shape), 0, -1) - middle) * grid.spacing_mm
    return (steps**2).sum(axis=-1) <= 7.0**2


REFINED: dict[str, tuple[Measure, float]] = {
    "volume": (volume_of, math.pi / 6 * 24**3 / 1000),
    "longest": (lambda m, g: in_slice_diameters(Body(m, g))[0].value or 0.0, 24.0),
    "short axis": (lambda m, g: in_slice_diameters(Body(m, g))[1].value or 0.0, 24.0),
    "3-D": (lambda m, g: diameter_3d(Body(m, g)).value or 0.0, 24.0),
    "viable": (viable_of, shell_chord(12.0, 7.0, Rules())),
}


@pytest.mark.parametrize("what", REFINED)
@pytest.mark.parametrize("oblique", [False, True])
def test_errors_shrink_as_the_grid_is_refined(what, oblique):
    measure, truth = REFINED[what]
    errors = []
    for finer in (1, 2, 4, 8):
        spacing = (4.0 / finer, 2.0 / finer, 1.6 / finer)
        grid = grid_round(12.0, spacing, oblique)
        found = [measure(ball(from_middle(grid, off), 12.0), grid) for off in OFFSETS]
        errors.append(math.sqrt(np.mean([(f - truth) ** 2 for f in found])))
    assert errors == sorted(errors, reverse=True), errors
    assert errors[-1] < errors[0] / 3
