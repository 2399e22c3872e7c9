"""The trunk around the organs: skin, fat, muscle wall, diaphragm, lungs, bones. LPS mm, origin near the liver hilum."""

from __future__ import annotations

import numpy as np

from .shapes import Array, Ellipsoid

__all__ = [
    "SPINE",
    "cavity_depth",
    "diaphragm_depth",
    "lung_depth",
    "muscle_depth",
    "rib_depth",
    "skin_depth",
    "spine_depth",
    "table_depth",
]

#: Half widths (left-right, front-back) of each layer's outline at the waist's widest level, and its centre's y.
_SKIN = (162.0, 112.0, 0.0)
_MUSCLE = (149.0, 95.5, 1.5)
_CAVITY = (137.0, 85.0, 1.0)

#: Domes of the diaphragm: centre x, y, half widths x, y, top z and fall to the wall, in mm; exponent of the fall.
_DOMES = (
    (-66.0, 3.0, 74.0, 84.0, 92.0, 96.0, 3.0),
    (70.0, 8.0, 70.0, 78.0, 80.0, 86.0, 3.0),
    (0.0, -22.0, 68.0, 66.0, 82.0, 86.0, 4.0),
)

#: Vertebral bodies: centre of the column, half widths, height of one level, height of its disc.
SPINE = {"x": 0.0, "y": 40.0, "half_x": 23.0, "half_y": 17.0, "level": 37.0, "disc": 9.0}


def _taper(z: Array) -> Array:
    return 1.0 - 5e-6 * (z - 5.0) ** 2


def _outline_depth(x: Array, y: Array, z: Array, outline: tuple[float, float, float]) -> Array:
    # depth along the ray from the centre to a superellipse of power 2.5, where u**2.5 = u * u * sqrt(u)
    half_x, half_y, centre_y = outline
    scale = _taper(z)
    u, v = np.abs(x / (half_x * scale)), np.abs((y - centre_y) / (half_y * scale))
    power = np.maximum(u * u * np.sqrt(u) + v * v * np.sqrt(v), 1e-9)
    shrink = power ** (-0.4)
    ray = np.sqrt(x * x + (y - centre_y) ** 2)
    result: Array = ray * (shrink - 1.0)
    return result


def skin_depth(x: Array, y: Array, z: Array) -> Array:
    """Depth in mm below the skin; the back is flattened by the table and grooved along the spine."""
    depth = _outline_depth(x, y, z, _SKIN)
    groove = 5.0 * np.exp(-((x / 14.0) ** 2)) * (y > 0)
    return np.minimum(depth, 108.0 - y) - groove


def muscle_depth(x: Array, y: Array, z: Array) -> Array:
    """Depth in mm below the outer face of the muscle wall, thinner along the linea alba."""
    return _outline_depth(x, y, z, _MUSCLE)


def cavity_depth(x: Array, y: Array, z: Array) -> Array:
    """Depth in mm below the inner face of the wall."""
    return _outline_depth(x, y, z, _CAVITY)


def diaphragm_depth(x: Array, y: Array, z: Array) -> Array:
    """Depth in mm below the upper face of the diaphragm: the highest of two domes and the central tendon."""
    best: Array | None = None
    for cx, cy, half_x, half_y, top, fall, power in _DOMES:
        u, v = (x - cx) / half_x, (y - cy) / half_y
        rho2 = u * u + v * v
        rho = np.sqrt(rho2)
        rise = rho2 * rho if power == 3.0 else rho2 * rho2
        slope = fall * power * rise / np.maximum(rho, 1e-3) / (0.5 * (half_x + half_y))
        depth = (top - fall * rise - z) / np.sqrt(1.0 + slope * slope)
        best = depth if best is None else np.maximum(best, depth)
    assert best is not None
    return best


def lung_depth(x: Array, y: Array, z: Array, cavity: Array, diaphragm: Array) -> Array:
    """Depth in mm inside the lungs: in the chest wall, above the diaphragm, beside the mediastinum."""
    middle = Ellipsoid((4.0, 20.0, 100.0), (34.0, 30.0, 90.0)).depth(x, y, z)
    heart_fat = Ellipsoid((24.0, -34.0, 116.0), (61.0, 50.0, 44.0), (0.0, 0.0, 18.0)).depth(x, y, z)
    lung = np.minimum(cavity - 1.0, -diaphragm)
    return np.minimum(lung, -np.maximum(middle, heart_fat))


def rib_depth(x: Array, y: Array, z: Array, muscle: Array) -> Array:
    """Depth in mm inside the ribs: bands in the wall that fall from back to front; the lower, the sooner they end."""
    slant = z + 0.55 * (y - 60.0)
    level = np.floor(slant / 33.0 + 0.5)
    along = slant - 33.0 * level
    front_end = np.where(level >= 0, -62.0 - 6.0 * level, -30.0 - 45.0 * (level + 1.0))
    section = 4.2 - np.sqrt((muscle - 6.0) ** 2 + (along * (4.2 / 6.5)) ** 2)
    allowed = np.minimum(y - front_end, np.abs(x) - 24.0)
    return np.minimum(np.minimum(section, allowed), slant + 70.0)


def spine_depth(x: Array, y: Array, z: Array) -> dict[str, Array]:
    """Depths in mm of the parts of the spine: body, disc, canal, arch and psoas-side transverse processes."""
    u = (x - SPINE["x"]) / SPINE["half_x"]
    v = (y - SPINE["y"]) / SPINE["half_y"]
    level = z / SPINE["level"]
    from_disc = np.abs(z - SPINE["level"] * np.floor(level + 0.5))
    waist = 1.0 + 0.06 * np.cos(2.0 * np.pi * level)
    body = (waist - np.sqrt(u * u + v * v)) * SPINE["half_y"]
    disc = np.minimum(body, SPINE["disc"] / 2.0 - from_disc)
    canal = 8.5 - np.sqrt((x / 1.2) ** 2 + (y - 65.0) ** 2)
    ring = 13.5 - np.sqrt((x / 1.25) ** 2 + (y - 65.5) ** 2)
    spinous = np.minimum(np.minimum(3.5 - np.abs(x), 92.0 - y), np.minimum(y - 70.0, from_disc - 5.0))
    transverse = np.minimum(
        np.minimum(38.0 - np.abs(x), 4.0 - np.abs(y - 64.0 - 0.15 * np.abs(x))), 5.0 - np.abs(from_disc - 13.0)
    )
    arch = np.maximum(np.maximum(ring, spinous), transverse)
    return {"body": body, "disc": disc, "canal": canal, "arch": arch}


def table_depth(x: Array, y: Array, z: Array) -> Array:
    """Depth in mm inside the curved table top under the back; ``z`` does not matter."""
    top = 112.0 - 0.0012 * x * x
    return np.minimum(np.minimum(y - top, top + 12.0 - y), 175.0 - np.abs(x)) + 0.0 * z
