"""Painters: each puts one structure's tissues over what is already there, in the patient's LPS millimetres."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import organs, trunk, vessels
from .lesions import LesionShape
from .liver import LIVER_BOX, liver_depth
from .shapes import Array, Ellipsoid, Tube
from .tissues import Tissue

__all__ = ["Labels", "Part", "parts"]

Labels = NDArray[np.uint8]
T = Tissue

_EVERYWHERE = (np.array([-1e4] * 3), np.array([1e4] * 3))


@dataclass(frozen=True)
class Part:
    """One painter and the LPS box outside which it changes nothing."""

    box: tuple[Array, Array]
    paint: Callable[[Labels, Array, Array, Array], None]


def _put(here: Labels, where: NDArray[np.bool_], tissue: Tissue, onto: tuple[Tissue, ...] = ()) -> None:
    if onto:
        allowed = np.zeros(256, dtype=bool)
        allowed[list(onto)] = True
        where = where & allowed[here]
    here[np.broadcast_to(where, here.shape)] = tissue


_SOFT_BED = (T.FAT, T.MUSCLE, T.LUNG)


def _trunk(here: Labels, x: Array, y: Array, z: Array) -> None:
    _put(here, trunk.table_depth(x, y, z) > 0, T.TABLE)
    skin_block = trunk.skin_depth(x, y, z)
    body = skin_block > 0
    # from here on only the points of the body, as lists
    x, y, z = (np.broadcast_to(c, here.shape)[body] for c in (x, y, z))
    skin = skin_block[body]
    points = np.full(len(skin), T.FAT, dtype=np.uint8)
    points[skin <= 1.8] = T.SKIN
    muscle = trunk.muscle_depth(x, y, z)
    cavity = trunk.cavity_depth(x, y, z)
    points[(muscle > 0) & (skin > 1.8)] = T.MUSCLE
    wall = np.flatnonzero((muscle > 0) & (cavity < 4.0))
    rib = trunk.rib_depth(x[wall], y[wall], z[wall], muscle[wall])
    points[wall[rib > 0]] = T.CORTICAL_BONE
    points[wall[rib > 1.4]] = T.MARROW
    inner = np.flatnonzero((cavity > 0) & (skin > 4))
    x, y, z, cavity = x[inner], y[inner], z[inner], cavity[inner]
    below = trunk.diaphragm_depth(x, y, z)
    contents = np.full(len(inner), T.FAT, dtype=np.uint8)
    contents[(below > 0) & ((below < 2.5) | (cavity < 2.5))] = T.MUSCLE
    contents[trunk.lung_depth(x, y, z, cavity, below) > 0] = T.LUNG
    points[inner] = contents
    here[body] = points


def _spine(here: Labels, x: Array, y: Array, z: Array) -> None:
    for side in (-1.0, 1.0):
        bundle = Ellipsoid((side * 36.0, 77.0, 0.0), (31.0, 18.0, 1e5)).depth(x, y, z)
        _put(here, bundle > 0, T.MUSCLE, (T.FAT,))
        beside = Ellipsoid((side * 27.0, 79.0, 0.0), (26.0, 14.0, 1e5)).depth(x, y, z)
        _put(here, beside > 0, T.MUSCLE, (T.LUNG,))
        square = Ellipsoid((side * 62.0, 66.0, -90.0), (20.0, 9.0, 60.0), (0.0, 0.0, side * 20.0)).depth(x, y, z)
        _put(here, square > 0, T.MUSCLE, (T.FAT,))
        crus = Ellipsoid((side * 14.0 + 4.0, 24.0, 20.0), (7.0, 14.0, 70.0)).depth(x, y, z)
        _put(here, crus > 0, T.MUSCLE, (T.FAT,))
    for tube in organs.PSOAS:
        _put(here, tube.depth(x, y, z) > 0, T.MUSCLE, (T.FAT,))
    parts = trunk.spine_depth(x, y, z)
    _put(here, parts["arch"] > 0, T.CORTICAL_BONE)
    _put(here, parts["arch"] > 1.8, T.MARROW)
    _put(here, parts["body"] > 0, T.CORTICAL_BONE)
    _put(here, parts["body"] > 1.5, T.MARROW)
    _put(here, parts["disc"] > 0, T.DISC)
    _put(here, parts["canal"] > 0, T.CANAL)


def _heart(here: Labels, x: Array, y: Array, z: Array) -> None:
    above = trunk.diaphragm_depth(x, y, z) < -1.5
    bed = (T.FAT, T.LUNG, T.MYOCARDIUM)
    _put(here, (organs.HEART["muscle"].depth(x, y, z) > 0) & above, T.MYOCARDIUM, _SOFT_BED)
    _put(here, (organs.HEART["right"].depth(x, y, z) > 0) & above, T.RIGHT_HEART, bed)
    _put(here, (organs.HEART["atrium"].depth(x, y, z) > 0) & above, T.RIGHT_HEART, bed)
    _put(here, (organs.HEART["left"].depth(x, y, z) > 0) & above, T.LEFT_HEART, (*bed, T.RIGHT_HEART))


def _stomach(here: Labels, x: Array, y: Array, z: Array) -> None:
    depth = organs.stomach_depth(x, y, z)
    lumen = depth > 4.0
    _put(here, depth > 0, T.STOMACH_WALL)
    _put(here, lumen, T.STOMACH_FLUID)
    _put(here, lumen & (y < -34.0), T.GAS)


def _bowel(here: Labels, x: Array, y: Array, z: Array) -> None:
    bed = (T.FAT,)
    colon = organs.COLON.depth(x, y, z) + 2.0 * np.cos(2.0 * np.pi * (x + 0.7 * z) / 26.0)
    inner = np.minimum(colon, trunk.cavity_depth(x, y, z) - 3.0)
    _put(here, inner > 0, T.BOWEL_WALL, (*bed, T.BOWEL_CONTENT, T.BOWEL_WALL))
    gas_level = np.where(x < -60.0, -14.0, np.where(x > 80.0, 22.0, -62.0))
    _put(here, inner > 2.6, T.STOOL, (T.BOWEL_WALL,))
    _put(here, (inner > 2.6) & (y < gas_level), T.GAS, (T.STOOL,))
    duodenum = organs.DUODENUM.depth(x, y, z)
    _put(here, duodenum > 0, T.BOWEL_WALL, bed)
    _put(here, duodenum > 3.0, T.BOWEL_CONTENT, (T.BOWEL_WALL,))


def _loop(shape: Ellipsoid) -> Callable[[Labels, Array, Array, Array], None]:
    def paint(here: Labels, x: Array, y: Array, z: Array) -> None:
        # folds of the mucosa give small bowel its uneven wall
        depth = shape.depth(x, y, z)
        fold = 3.0 + 1.5 * np.sin(x / 2.1 + z / 2.6)
        _put(here, depth > 0, T.BOWEL_WALL, (T.FAT,))
        _put(here, depth > fold, T.BOWEL_CONTENT, (T.BOWEL_WALL,))

    return paint


def _spleen(here: Labels, x: Array, y: Array, z: Array) -> None:
    inside = organs.spleen_depth(x, y, z) > 0
    _put(here, inside, T.SPLEEN)
    # the arciform bands of the arterial phase
    wave = np.sin((x + 0.35 * z) / 3.6 + 1.6 * np.sin(z / 9.0)) + 0.7 * np.sin((y - 0.4 * z) / 4.4 + np.sin(x / 8.0))
    _put(here, inside & (wave > 0.25), T.SPLEEN_BAND, (T.SPLEEN,))


def _kidney(shape: Ellipsoid, medial: float) -> Callable[[Labels, Array, Array, Array], None]:
    cx, cy, cz = shape.centre
    a, b, c = shape.radii
    sinus = Ellipsoid((cx + medial * 11.0, cy - 7.0, cz), (0.52 * a, 0.42 * b, 0.52 * c), shape.turn)
    pelvis = Ellipsoid((cx + medial * 14.0, cy - 9.0, cz - 4.0), (9.0, 5.0, 13.0), shape.turn)

    def paint(here: Labels, x: Array, y: Array, z: Array) -> None:
        depth = shape.depth(x, y, z)
        _put(here, depth > 0, T.KIDNEY_CORTEX)
        columns = np.sin(z / 3.4) * np.sin(np.arctan2(y - cy, x - cx) * 4.0)
        _put(here, (depth > 6.5) & (columns > -0.45), T.KIDNEY_MEDULLA, (T.KIDNEY_CORTEX,))
        bed = (T.KIDNEY_CORTEX, T.KIDNEY_MEDULLA)
        _put(here, sinus.depth(x, y, z) > 0, T.FAT, bed)
        _put(here, pelvis.depth(x, y, z) > 0, T.KIDNEY_PELVIS, (T.FAT, *bed))

    return paint


def _liver(here: Labels, x: Array, y: Array, z: Array) -> None:
    _put(here, liver_depth(x, y, z) > 0, T.LIVER)


def _solid(
    depth: Callable[[Array, Array, Array], Array], tissue: Tissue, onto: tuple[Tissue, ...] = ()
) -> Callable[[Labels, Array, Array, Array], None]:
    def paint(here: Labels, x: Array, y: Array, z: Array) -> None:
        _put(here, depth(x, y, z) > 0, tissue, onto)

    return paint


def _cava(here: Labels, x: Array, y: Array, z: Array) -> None:
    inside = organs.CAVA.depth(x, y, z) > 0
    _put(here, inside & (z < -34.0), T.CAVA_LOW)
    _put(here, inside & (z >= -34.0), T.CAVA_HIGH)


def _pieces(tubes: tuple[Tube, ...], inside: Tissue, outside: Tissue | None) -> Iterator[Part]:
    """Each straight piece in its own box; in the liver it is a branch, outside it a trunk or nothing."""
    for tube in tubes:
        for k in range(len(tube.points) - 1):
            piece = Tube(tube.points[k : k + 2], tube.radii[k : k + 2])

            def paint(here: Labels, x: Array, y: Array, z: Array, piece: Tube = piece) -> None:
                where = piece.depth(x, y, z) > 0
                _put(here, where, inside, (T.LIVER,))
                if outside is not None:
                    _put(here, where, outside, (T.FAT, T.MUSCLE, T.PANCREAS, T.BOWEL_WALL, T.LUNG))

            yield Part(piece.box(1.0), paint)


def _lung_vessels() -> tuple[Tube, ...]:
    tubes = []
    for side, root in ((-1.0, (-34.0, 6.0, 112.0)), (1.0, (42.0, 14.0, 112.0))):
        for k in range(26):
            angle = 2.399963 * k
            reach = 26.0 + 9.0 * (k % 7)
            tip = (
                root[0] + side * (10.0 + 0.75 * reach * abs(np.cos(angle))),
                root[1] + reach * float(np.sin(angle)),
                root[2] - 14.0 - 0.9 * reach * (0.35 + 0.1 * (k % 6)),
            )
            tubes.append(Tube((root, tip), (3.2, 0.8)))
    return tuple(tubes)


def _lesion(shape: LesionShape) -> Callable[[Labels, Array, Array, Array], None]:
    def paint(here: Labels, x: Array, y: Array, z: Array) -> None:
        _put(here, shape.inside(x, y, z), T.NECROSIS)
        _put(here, shape.viable(x, y, z), T.VIABLE)

    return paint


def parts(lesions: tuple[LesionShape, ...]) -> Iterator[Part]:
    """The painters in the order they paint; the liver comes after its neighbours, vessels and lesions after it."""
    big = (np.array([-60.0, -60.0, -1e4]), np.array([60.0, 100.0, 1e4]))
    left = (np.array([-60.0, -90.0, -140.0]), np.array([135.0, 90.0, 100.0]))
    yield Part(_EVERYWHERE, _trunk)
    yield Part((np.array([-90.0, -10.0, -1e4]), np.array([90.0, 100.0, 1e4])), _spine)
    yield Part((np.array([-60.0, -100.0, 60.0]), np.array([100.0, 40.0, 1e4])), _heart)
    for tube in _lung_vessels():
        yield Part(tube.box(1.0), _solid(tube.depth, T.LUNG_VESSEL, (T.LUNG,)))
    for loop in organs.BOWEL:
        yield Part(loop.box(1.0), _loop(loop))
    yield Part((np.array([-130.0, -95.0, -1e4]), np.array([135.0, 60.0, -10.0])), _bowel)
    yield Part(organs.PANCREAS.box(1.0), _solid(organs.PANCREAS.depth, T.PANCREAS, (T.FAT,)))
    yield Part(left, _stomach)
    yield Part((np.array([40.0, -20.0, -60.0]), np.array([145.0, 95.0, 95.0])), _spleen)
    yield Part(organs.KIDNEY_RIGHT.box(2.0), _kidney(organs.KIDNEY_RIGHT, 1.0))
    yield Part(organs.KIDNEY_LEFT.box(2.0), _kidney(organs.KIDNEY_LEFT, -1.0))
    oesophagus = organs.OESOPHAGUS
    yield Part(oesophagus.box(1.0), _solid(oesophagus.depth, T.STOMACH_WALL, (*_SOFT_BED, T.MYOCARDIUM)))
    yield Part(organs.GALLBLADDER.box(2.0), _solid(organs.GALLBLADDER.depth, T.GALLBLADDER))
    for tube in organs.RENAL:
        yield Part(tube.box(1.0), _solid(tube.depth, T.CAVA_HIGH, (T.FAT, T.MUSCLE)))
    yield Part(big, _cava)
    yield Part(organs.AORTA.box(1.0), _solid(organs.AORTA.depth, T.AORTA))
    for tube in organs.ADRENALS:
        yield Part(tube.box(1.0), _solid(tube.depth, T.PANCREAS, (T.FAT,)))
    for tube in (*organs.SYSTEMIC, *organs.MESENTERIC):
        yield Part(tube.box(1.0), _solid(tube.depth, T.ARTERY, (T.FAT, T.MUSCLE, T.PANCREAS)))
    yield Part(LIVER_BOX, _liver)
    yield from _pieces(vessels.PORTAL_FEEDERS, T.PORTAL_BRANCH, T.PORTAL_TRUNK)
    yield from _pieces(tuple(vessels.PORTAL_MAIN.values()), T.PORTAL_BRANCH, T.PORTAL_TRUNK)
    yield from _pieces(tuple(vessels.HEPATIC_MAIN.values()), T.HEPATIC_BRANCH, T.HEPATIC_TRUNK)
    yield from _pieces(vessels.PORTAL_TWIGS, T.PORTAL_BRANCH, None)
    yield from _pieces(vessels.HEPATIC_TWIGS, T.HEPATIC_BRANCH, None)
    for lesion in lesions:
        yield Part(lesion.outer.box(1.0), _lesion(lesion))
