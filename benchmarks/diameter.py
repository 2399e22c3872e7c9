"""Diameters, chords and mesh surface against scipy hulls, scikit-image, SimpleITK and pyradiomics."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from bench import Race, abdomen, is_tiny, itk, optional
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage import measure

from livervol.grid import Grid
from livervol.kernels.chord import longest_chord, perpendicular_chord
from livervol.kernels.diameter import CENTRE, CORNER, slice_diameters, volume_diameter
from livervol.kernels.surface import case_areas, case_volumes, neighbourhood_counts
from livervol.kernels.width import perpendicular_width
from livervol.measure.diameter import Body, Rules, diameter_3d, in_slice_diameters, viable_diameters

SPACING_MM = (2.5, 0.8, 0.8)
LIMITS = Rules().limits

Mask = NDArray[np.bool_]


def lobed(diameter_mm: float) -> tuple[Mask, NDArray[np.float64], NDArray[np.float64]]:
    """A lesion of three lobes, its radius-like distance (1 on the edge of a lobe) and smooth noise; always the same."""
    shape = [int(np.ceil(diameter_mm / s)) + 4 for s in SPACING_MM]
    z, y, x = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, SPACING_MM, strict=True))
    z, y, x = z[:, None, None], y[None, :, None], x[None, None, :]
    r = diameter_mm / 2
    lobes = [(0.0, 0.0, -0.12, 0.86), (0.25, 0.3, 0.35, 0.55), (-0.2, -0.35, 0.3, 0.5)]
    inside = [np.sqrt((z - a * r) ** 2 + (y - b * r) ** 2 + (x - c * r) ** 2) / (d * r) for a, b, c, d in lobes]
    depth = np.minimum.reduce(inside)
    noise = np.random.default_rng(3).standard_normal(shape)
    for axis in range(3):
        noise = noise + np.roll(noise, 1, axis)
    return depth <= 1, depth, noise / np.sqrt(8)


def hull_vertices(places: NDArray[np.int64]) -> NDArray[np.int64]:
    # too few or too flat for a hull: every place
    if len(places) <= places.shape[1] or (np.ptp(places, axis=0) == 0).any():
        return places
    return places[ConvexHull(places).vertices]


def farthest_corners(places: NDArray[np.int64], spacing: tuple[float, ...]) -> float:
    dimensions = places.shape[1]
    steps = np.stack(np.meshgrid(*[(-0.5, 0.5)] * dimensions, indexing="ij"), axis=-1).reshape(-1, dimensions)
    points = np.unique((places[:, None] + steps).reshape(-1, dimensions), axis=0) * spacing
    return float(pdist(points[ConvexHull(points).vertices]).max())


def by_hull(mask: Mask) -> tuple[float, float]:
    """Longest in-slice and 3-D diameter between voxel corners; only hull vertices go into the next hull."""
    longest = 0.0
    kept = []
    for z, plane in enumerate(mask):
        places = np.argwhere(plane)
        if len(places):
            vertices = hull_vertices(places)
            longest = max(longest, farthest_corners(vertices, SPACING_MM[1:]))
            kept.append(np.insert(vertices, 0, z, axis=1))
    return longest, farthest_corners(hull_vertices(np.concatenate(kept)), SPACING_MM)


def ours(mask: Mask) -> tuple[float, float]:
    """The same, with the perpendicular of every slice besides."""
    hz, hy, hx = (s / 2 for s in SPACING_MM)
    lengths, ends = slice_diameters(mask, hy, hx, CORNER)
    for z in np.flatnonzero(lengths > 0):
        dy, dx = (ends[z, 2] - ends[z, 0]) * hy, (ends[z, 3] - ends[z, 1]) * hx
        perpendicular_width(mask[z], hy, hx, dy / lengths[z], dx / lengths[z])
    return float(lengths.max()), float(volume_diameter(mask, hz, hy, hx, CORNER)[0])


def feret(image: Any) -> float:
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.ComputeFeretDiameterOn()
    statistics.Execute(image)
    return float(statistics.GetFeretDiameter(1))


def slices_by_skimage(mask: Mask) -> list[float]:
    found = [measure.regionprops(plane.astype(np.uint8)) for plane in mask if plane.any()]
    return [float(props[0].feret_diameter_max) for props in found]


def equal(a: Any, b: Any) -> bool:
    return bool(np.allclose(a, b, rtol=1e-9, atol=0))


def race_diameters(race: Race, diameter_mm: float) -> None:
    mask, _, _ = lobed(diameter_mm)
    name = f"lesion of {diameter_mm:g} mm"
    runners: dict[str, Any] = {"scipy hull + pdist": lambda: by_hull(mask)}
    race.run(f"diameters and perpendicular of every slice + 3-D, {name}", lambda: ours(mask), runners, equal)
    image = itk(mask.astype(np.uint8), SPACING_MM)
    half = [s / 2 for s in SPACING_MM]
    runners = {"SimpleITK": lambda: feret(image)}
    race.run(f"3-D, voxel centres, {name}", lambda: volume_diameter(mask, *half, CENTRE)[0], runners, equal)
    runners = {"scikit-image": lambda: slices_by_skimage(mask)}
    # its Feret diameter runs between the middles of voxel faces of the hull's image: another number, timed only
    race.run(f"every slice, {name}", lambda: slice_diameters(mask, half[1], half[2], CORNER), runners)
    radiomics = optional("radiomics.shape")
    if radiomics is not None:
        shape = radiomics.RadiomicsShape(image, image)
        race.run(f"3-D, {name}", lambda: ours(mask), {"pyradiomics": shape.getMaximum3DDiameterFeatureValue})


def viable_parts(diameter_mm: float) -> tuple[Mask, dict[str, Mask]]:
    mask, depth, noise = lobed(diameter_mm)
    return mask, {
        "all viable": mask,
        "dead core, ragged edge": mask & (depth + 0.1 * noise > 0.5),
        "thick shell": mask & (depth > 0.6),
        "thin rim": mask & (depth > 0.92),
        "half of it in clumps": mask & (noise > 0.0),
        "a fifth of it in clumps": mask & (noise > 0.85),
        "a tenth of it in specks": mask & (np.random.default_rng(4).random(mask.shape) < 0.1),
    }


def ideal_shells(diameter_mm: float) -> tuple[Mask, dict[str, Mask]]:
    """Balls that are viable in concentric shells alone: near the longest chord lie many that just fail."""
    shape = [int(np.ceil(diameter_mm / s)) + 4 for s in SPACING_MM]
    z, y, x = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, SPACING_MM, strict=True))
    r = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    ball = r <= diameter_mm / 2
    return ball, {
        "ideal shell of a quarter radius": ball & (r > 0.75 * diameter_mm / 2),
        "ideal shell of 6 mm": ball & (r > diameter_mm / 2 - 6.0),
        "ideal shells of 10 mm": ball & (np.floor(r / 10.0) % 2 == 0),
    }


def race_chords(race: Race, diameter_mm: float) -> None:
    mask, parts = viable_parts(diameter_mm)
    _, hy, hx = (s / 2 for s in SPACING_MM)
    no_limit, anywhere = np.array([1e9, 1.0, 1e9]), np.ones_like(mask)
    race.run(
        f"chord without a gap limit, lesion of {diameter_mm:g} mm",
        lambda: longest_chord(mask, anywhere, hy, hx, no_limit, CORNER)[0],
        {"scipy hull + pdist": lambda: by_hull(mask)[0]},
        equal,
    )
    ball, shells = ideal_shells(diameter_mm)
    for name, lesion, viable in [(n, mask, v) for n, v in parts.items()] + [(n, ball, v) for n, v in shells.items()]:

        def both(viable: Mask = viable, mask: Mask = lesion) -> Any:
            length, z, (y0, x0, y1, x1) = longest_chord(viable, mask, hy, hx, LIMITS, CORNER)
            direction = np.array([(y1 - y0) * hy, (x1 - x0) * hx])
            direction = direction / np.hypot(*direction)
            return length, perpendicular_chord(viable[z], mask[z], hy, hx, LIMITS, *direction)

        race.run(f"chord and its perpendicular, {name}, lesion of {diameter_mm:g} mm", both, {})


def race_whole_lesion(race: Race, diameter_mm: float) -> None:
    mask, parts = viable_parts(diameter_mm)
    grid = Grid.from_parts(mask.shape, SPACING_MM)
    lesion, viable = Body(mask, grid), Body(parts["dead core, ragged edge"], grid)

    def everything() -> Any:
        return in_slice_diameters(lesion), diameter_3d(lesion), viable_diameters(viable, lesion)

    race.run(f"all five measured lengths with their lines, lesion of {diameter_mm:g} mm", everything, {})


def race_surface(race: Race, tiny: bool) -> None:
    scene = abdomen(tiny)
    liver = scene.cropped(scene.liver)
    spacing = scene.spacing_mm

    def by_counts() -> tuple[float, float]:
        counts = neighbourhood_counts(liver)
        return float(counts @ case_volumes()) * float(np.prod(spacing)), float(counts @ case_areas(np.array(spacing)))

    def by_skimage() -> tuple[float, float]:
        points, faces, _, _ = measure.marching_cubes(np.pad(liver, 1), 0.5, spacing=spacing)
        a, b, c = (points[faces[:, k]].astype(np.float64) for k in range(3))
        return abs(float(np.einsum("ij,ij->", a, np.cross(b, c)))) / 6, float(measure.mesh_surface_area(points, faces))

    # ambiguous neighbourhoods are joined there and kept apart here
    runners = {"scikit-image": by_skimage}
    race.run("mesh volume and area, liver", by_counts, runners, lambda a, b: bool(np.allclose(a, b, rtol=0.01)))


def main() -> None:
    tiny = is_tiny(__doc__)
    race = Race(tiny)
    for diameter_mm in (30.0,) if tiny else (30.0, 80.0, 150.0):
        race_diameters(race, diameter_mm)
        race_chords(race, diameter_mm)
        race_whole_lesion(race, diameter_mm)
    race_surface(race, tiny)
    race.finish()


if __name__ == "__main__":
    main()
