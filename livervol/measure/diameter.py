"""Diameters in mm, with the line they were measured along: longest in a slice, short axis, 3-D, and the viable ones.

"In a slice" is the grid's own plane when its normal is within 30 degrees of the patient's long axis; otherwise an axial
reformat is cut and the method says so. Ends default to the outer edges of the voxels, which is nearest to a caliper set
from outer edge to outer edge (RECIST 1.1, Eisenhauer et al., Eur J Cancer 2009;45:228, section 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.errors import CriteriaError, refusal
from livervol.grid import Grid
from livervol.kernels import chord, chord_path, diameter, width
from livervol.kernels.components import label_components
from livervol.records import Line, Measurement
from livervol.scan import Segmentation

__all__ = ["Body", "Convention", "Rules", "diameter_3d", "in_slice_diameters", "viable_diameters", "without_specks"]

Mask = NDArray[np.bool_]


class Convention(StrEnum):
    """Which points of a voxel are the ends of a length.

    Voxel centres give the shortest lengths (one voxel: 0 mm). Mesh vertices, the middles of the outer voxel faces, are
    IBSI's (L0JK). Voxel corners are the outer edges.
    """

    CENTRE = "voxel centres"
    MESH = "mesh vertices"
    CORNER = "outer edges (voxel corners)"


_CODES = {Convention.CENTRE: diameter.CENTRE, Convention.MESH: diameter.MESH, Convention.CORNER: diameter.CORNER}


_NUMBERS = ("gap_floor_mm", "gap_fraction", "gap_cap_mm", "min_part_mm", "min_part_ml", "max_tilt_degrees")


@dataclass(frozen=True)
class Rules:
    """Every choice behind a diameter.

    A viable diameter may cross a gap of ``min(max(gap_floor_mm, gap_fraction * length), gap_cap_mm)``: the criteria
    speak of "major intervening necrosis" (Lencioni and Llovet, Semin Liver Dis 2010;30:52) and give no number.
    Viable parts smaller than ``min_part_mm`` in every slice or ``min_part_ml`` do not make a diameter.
    ``sum_parts`` adds the diameters of separate viable parts instead of taking the longest (not mRECIST).
    ``uncertain_is_viable`` counts lipiodol-masked tissue as viable, the conservative reading.
    """

    convention: Convention = Convention.CORNER
    gap_floor_mm: float = 2.0
    gap_fraction: float = 0.1
    gap_cap_mm: float = 5.0
    min_part_mm: float = 3.0
    min_part_ml: float = 0.05
    sum_parts: bool = False
    uncertain_is_viable: bool = False
    max_tilt_degrees: float = 30.0

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            number = getattr(self, name)
            if not (math.isfinite(number) and number >= 0):
                raise CriteriaError(refusal(f"rule {name}", expected="a number of at least 0", got=str(number)))

    @property
    def code(self) -> int:
        """The kernels' number of the convention."""
        return _CODES[self.convention]

    @property
    def limits(self) -> NDArray[np.float64]:
        """(floor mm, fraction, cap mm) of the gap rule."""
        return np.array([self.gap_floor_mm, self.gap_fraction, self.gap_cap_mm])


@dataclass(frozen=True, eq=False)
class Body:
    """A mask on its own small grid, cut from a larger one of which its first plane is number ``first_plane``.

    ``first_plane`` is None on a reformat: its planes are not those of the scan.
    """

    mask: Mask
    grid: Grid
    first_plane: int | None = 0

    @property
    def half_mm(self) -> tuple[float, float, float]:
        """Half the voxel spacing along z, y, x."""
        z, y, x = self.grid.spacing_mm
        return (z / 2, y / 2, x / 2)

    def lps(self, z: float, y: float, x: float) -> tuple[float, float, float]:
        """LPS mm of an index, fractions allowed."""
        a, b, c = (float(v) for v in self.grid.index_to_lps([z, y, x]))
        return (a, b, c)

    def line(self, plane: int, start_yx: Any, end_yx: Any) -> Line:
        """The in-slice line between two (y, x) indices, fractions allowed."""
        number = None if self.first_plane is None else self.first_plane + int(plane)
        return Line(self.lps(plane, *start_yx), self.lps(plane, *end_yx), number)


def in_slice_diameters(body: Body, rules: Rules | None = None) -> tuple[Measurement, Measurement]:
    """Longest in-slice diameter and its perpendicular short axis, mm.

    Longest: the two points of one slice farthest apart, over all slices (lowest slice on a tie); the line between them
    may cross what is not lesion. Short axis: in the same slice, the longest extent across that line between two voxels
    that stand opposite each other within half a voxel, widened to the outer edge by the convention's voxel shape.
    """
    rules = rules or Rules()
    (body,), plane_words = _planes((body,), rules)
    _, hy, hx = body.half_mm
    lengths, ends = diameter.slice_diameters(body.mask, hy, hx, rules.code)
    z = int(np.argmax(lengths))
    method = f"{rules.convention}, {plane_words}"
    if lengths[z] < 0:
        return _nothing("longest_mm", method), _nothing("short_axis_mm", f"across longest_mm, {method}")
    start, end = ends[z, :2] / 2, ends[z, 2:] / 2
    longest = Measurement("longest_mm", float(lengths[z]), "mm", method, line=body.line(z, start, end))
    uy, ux = _direction(body, start, end)
    across = width.perpendicular_width(body.mask[z], hy, hx, uy, ux)
    what = ("short_axis_mm", f"across longest_mm, {method}")
    return longest, _across(what, body, z, (uy, ux), across, rules.code)


def diameter_3d(body: Body, rules: Rules | None = None) -> Measurement:
    """Longest distance between any two points of the mask, mm, over all directions."""
    rules = rules or Rules()
    length, ends = diameter.volume_diameter(body.mask, *body.half_mm, rules.code)
    method = f"{rules.convention}, any direction"
    if length < 0:
        return _nothing("diameter_3d_mm", method)
    start, end = (body.lps(*point) for point in ends / 2)
    return Measurement("diameter_3d_mm", float(length), "mm", method, line=Line(start, end))


def viable_diameters(viable: Body, lesion: Body, rules: Rules | None = None) -> tuple[Measurement, Measurement]:
    """Longest viable diameter and its perpendicular, mm; 0 when nothing viable is left.

    The longest in-slice segment with both ends on viable tissue, that crosses no non-viable run longer than the gap
    rule allows and never leaves the lesion; any slice, any direction (mRECIST, Lencioni and Llovet 2010). The gap is
    tested on the segment between voxel centres. The perpendicular obeys the same rules in the same slice.
    """
    rules = rules or Rules()
    parts = without_specks(viable, rules)
    kept = Body(parts > 0, viable.grid, viable.first_plane)
    (on_plane, inside), plane_words = _planes((kept, lesion), rules)
    method = _viable_method(rules, plane_words)
    best, across = _chord(on_plane, inside, rules, method)
    if rules.sum_parts and int(parts.max(initial=0)) > 1:
        lengths = []
        for number in range(1, int(parts.max()) + 1):
            (part, _), _ = _planes((Body(parts == number, viable.grid, viable.first_plane), lesion), rules)
            lengths.append(_chord(part, inside, rules, method)[0].value or 0.0)
        best = Measurement(
            best.name, float(sum(lengths)), "mm", f"sum over {len(lengths)} parts, {method}", line=best.line
        )
    return best, across


def without_specks(viable: Body, rules: Rules) -> NDArray[np.int32]:
    """Numbered viable parts (26-connected) of at least ``min_part_ml`` and, in some slice, ``min_part_mm``."""
    parts, stats = label_components(viable.mask, 26)
    _, hy, hx = viable.half_mm
    numbers = np.zeros(len(stats.voxels) + 1, np.int32)
    kept = 0
    for i in np.flatnonzero(stats.voxels * viable.grid.voxel_ml >= rules.min_part_ml - 1e-9):
        box = tuple(slice(int(a), int(b)) for a, b in zip(stats.start_zyx[i], stats.stop_zyx[i], strict=True))
        lengths, _ = diameter.slice_diameters(parts[box] == i + 1, hy, hx, rules.code)
        if lengths.max() >= rules.min_part_mm - 1e-9:
            kept += 1
            numbers[i + 1] = kept
    kept_parts: NDArray[np.int32] = numbers[parts]
    return kept_parts


def _chord(viable: Body, lesion: Body, rules: Rules, method: str) -> tuple[Measurement, Measurement]:
    _, hy, hx = viable.half_mm
    length, z, (y0, x0, y1, x1) = chord.longest_chord(viable.mask, lesion.mask, hy, hx, rules.limits, rules.code)
    across_method = f"across viable_longest_mm, {method}"
    if length < 0:
        return _nothing("viable_longest_mm", method), _nothing("viable_perpendicular_mm", across_method)
    out_y, out_x = chord_path.outer_ends(y1 - y0, x1 - x0, hy, hx, rules.code)
    start = np.array([y0 - out_y[0], x0 - out_x[0]])
    end = np.array([y1 + out_y[1], x1 + out_x[1]])
    longest = Measurement("viable_longest_mm", float(length), "mm", method, line=viable.line(z, start, end))
    uy, ux = _direction(viable, start, end)
    if uy == 0 and ux == 0:
        found: tuple[float, Any] = (0.0, (y0, x0, y1, x1))
    else:
        found = chord.perpendicular_chord(viable.mask[z], lesion.mask[z], hy, hx, rules.limits, uy, ux)
    what = ("viable_perpendicular_mm", across_method)
    return longest, _across(what, viable, z, (uy, ux), found, rules.code)


def _across(
    what: tuple[str, str], body: Body, z: int, direction: tuple[float, float], found: tuple[float, Any], code: int
) -> Measurement:
    # the line drawn is exactly perpendicular: centred on the pair, as long as the number
    name, method = what
    _, hy, hx = body.half_mm
    uy, ux = direction
    between, (y0, x0, y1, x1) = found
    if uy == 0 and ux == 0:
        return Measurement(name, 0.0, "mm", method, line=body.line(z, (y0, x0), (y1, x1)))
    ny, nx = -ux, uy
    if ny * (y1 - y0) * hy + nx * (x1 - x0) * hx < 0:
        ny, nx = -ny, -nx
    length = float(between) + width.voxel_width(hy, hx, ny, nx, code)
    middle = np.array([(y0 + y1) / 2, (x0 + x1) / 2])
    reach = np.array([ny / hy, nx / hx]) * length / 4
    return Measurement(name, length, "mm", method, line=body.line(z, middle - reach, middle + reach))


def _direction(body: Body, start_yx: Any, end_yx: Any) -> tuple[float, float]:
    _, hy, hx = body.half_mm
    dy, dx = (end_yx[0] - start_yx[0]) * hy, (end_yx[1] - start_yx[1]) * hx
    length = float(np.hypot(dy, dx))
    return (0.0, 0.0) if length == 0 else (float(dy / length), float(dx / length))


def _nothing(name: str, method: str) -> Measurement:
    return Measurement(name, 0.0, "mm", method)


def _viable_method(rules: Rules, plane_words: str) -> str:
    return (
        f"{rules.convention}, {plane_words}, ends viable, inside the lesion, "
        f"gap at most {rules.gap_floor_mm:g} mm or {100 * rules.gap_fraction:g} % up to {rules.gap_cap_mm:g} mm, "
        f"parts under {rules.min_part_mm:g} mm or {rules.min_part_ml:g} ml left out"
    )


def _planes(bodies: tuple[Body, ...], rules: Rules) -> tuple[tuple[Body, ...], str]:
    """The bodies on the planes that diameters are measured in, and what to call those planes."""
    grid = bodies[0].grid
    if grid.axial_tilt_degrees > rules.max_tilt_degrees:
        target = _axial_grid(grid)
        tilted = tuple(Body(_on(target, body), target, None) for body in bodies)
        return tilted, f"axial reformat of planes tilted {grid.axial_tilt_degrees:.0f} degrees"
    # slices lie across the widest spacing: when that is in-plane, the stored planes were not the acquired ones
    z, y, x = grid.spacing_mm
    if max(y, x) > 1.5 * z and max(y, x) > 1.5 * min(y, x):
        return bodies, "axial reformat of another acquired plane"
    return bodies, "acquired plane"


def _axial_grid(grid: Grid) -> Grid:
    spacing = min(grid.spacing_mm)
    edges = Grid.from_matrix([n + 1 for n in grid.shape_zyx], _half_voxel_back(grid)).corners_lps_mm()
    low, high = edges.min(axis=0), edges.max(axis=0)
    shape = [int(n) + 1 for n in np.ceil((high - low) / spacing)[::-1]]
    return Grid.from_parts(shape, (spacing, spacing, spacing), low, frame=grid.frame)


def _half_voxel_back(grid: Grid) -> NDArray[np.float64]:
    matrix = grid.matrix
    matrix[:3, 3] = grid.index_to_lps([-0.5, -0.5, -0.5])
    return matrix


def _on(target: Grid, body: Body) -> Mask:
    names = {1: "body"}
    return Segmentation(body.mask, body.grid, names).resampled(target).mask()
