"""The liver: two lobes and the caudate under the diaphragm, carved by its neighbours and by fissures that hold fat."""

from __future__ import annotations

import numpy as np

from . import organs
from .shapes import Array, Ellipsoid, Tube, carve, join, tilt
from .trunk import cavity_depth, diaphragm_depth, spine_depth

__all__ = ["LIVER_BOX", "liver_depth"]

#: Lowest and highest LPS corner that hold the whole liver, in mm.
LIVER_BOX = (np.array([-145.0, -95.0, -115.0]), np.array([115.0, 92.0, 98.0]))

_RIGHT = Ellipsoid((-78.0, 4.0, 6.0), (64.0, 82.0, 86.0), (0.0, 6.0, 8.0))
_LEFT = Ellipsoid((12.0, -50.0, 38.0), (98.0, 36.0, 41.0), (12.0, -12.0, 12.0))
_CAUDATE = Ellipsoid((-12.0, 2.0, 34.0), (15.0, 14.0, 30.0), (8.0, 0.0, 0.0))

#: The hollow of the visceral surface: a large body pressed into the liver from below and from the left.
_HOLLOW = Ellipsoid((4.0, 2.0, -70.0), (86.0, 102.0, 86.0), (0.0, 34.0, 0.0))
_BEHIND_KIDNEY = Ellipsoid((-50.0, 72.0, -52.0), (40.0, 34.0, 54.0), (-8.0, -10.0, -25.0))
_HILUM = Ellipsoid((-22.0, -12.0, -2.0), (26.0, 11.0, 13.0), (0.0, 20.0, 0.0))

#: Round ligament, in the umbilical fissure from the lower border up to the left portal vein.
_TERES = Tube(((16.0, -92.0, -10.0), (14.0, -66.0, 8.0), (10.0, -40.0, 24.0)), (7.0, 5.0, 3.0))


def _slab(
    centre: tuple[float, float, float],
    half: tuple[float, float, float],
    turn: tuple[float, float, float],
    x: Array,
    y: Array,
    z: Array,
) -> Array:
    m = tilt(*turn)
    dx, dy, dz = x - centre[0], y - centre[1], z - centre[2]
    own = [m[0, k] * dx + m[1, k] * dy + m[2, k] * dz for k in range(3)]
    return np.minimum(np.minimum(half[0] - np.abs(own[0]), half[1] - np.abs(own[1])), half[2] - np.abs(own[2]))


def _fissures(x: Array, y: Array, z: Array) -> Array:
    teres = _slab((13.0, -64.0, 2.0), (1.8, 30.0, 24.0), (28.0, 0.0, -4.0), x, y, z)
    venosum = _slab((2.0, -17.0, 34.0), (24.0, 1.7, 24.0), (6.0, 0.0, 24.0), x, y, z)
    falciform = _slab((14.0, -84.0, 40.0), (1.6, 14.0, 40.0), (0.0, 0.0, -4.0), x, y, z)
    return np.maximum(np.maximum(teres, venosum), np.maximum(falciform, _TERES.depth(x, y, z)))


def liver_depth(x: Array, y: Array, z: Array) -> Array:
    """Depth in mm inside the liver (lesions and vessels inside it included, fissures, vena cava, gallbladder not)."""
    body = join(_RIGHT.depth(x, y, z), _LEFT.depth(x, y, z), 26.0)
    body = carve(body, _HOLLOW.depth(x, y, z), 0.0, 10.0)
    body = join(body, _CAUDATE.depth(x, y, z), 6.0)
    # carving only ever takes away, so the rest is asked of the inner points alone
    inner = body > 0
    points = (np.broadcast_to(c, body.shape)[inner] for c in (x, y, z))
    body[inner] = _carved(body[inner], *points)
    return body


def _carved(body: Array, x: Array, y: Array, z: Array) -> Array:
    body = np.minimum(body, cavity_depth(x, y, z) - 2.5)
    body = np.minimum(body, diaphragm_depth(x, y, z) - 2.5)
    body = carve(body, organs.KIDNEY_RIGHT.depth(x, y, z), 2.5, 5.0)
    body = carve(body, _BEHIND_KIDNEY.depth(x, y, z), 0.0, 5.0)
    body = carve(body, organs.GALLBLADDER.depth(x, y, z), 1.2, 3.0)
    body = carve(body, organs.stomach_depth(x, y, z), 1.2, 5.0)
    body = carve(body, organs.OESOPHAGUS.depth(x, y, z), 2.0, 3.0)
    body = carve(body, organs.CAVA.depth(x, y, z), 0.6, 2.0)
    body = carve(body, organs.AORTA.depth(x, y, z), 7.0, 4.0)
    body = carve(body, spine_depth(x, y, z)["body"], 7.0, 4.0)
    body = carve(body, _HILUM.depth(x, y, z), 0.0, 3.0)
    return carve(body, _fissures(x, y, z), 0.0, 1.5)
