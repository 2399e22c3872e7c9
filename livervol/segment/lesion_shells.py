"""Lesions that no single contrast shows: tissue unlike the parenchyma, whichever way, that ends all round one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage

from livervol.scan import Phase
from livervol.segment.lesion_blobs import halved
from livervol.segment.lesion_regions import equivalent_diameter_mm
from livervol.segment.lesion_star import Star, deviations, star_at
from livervol.segment.lesion_tissue import Bools, Floats, Tissue, WorkGrid

__all__ = ["Surrounded", "layered_outline", "surrounded_lesions"]

#: Radii of the spheres looked for (mm), the most places looked at, their least depth (mm).
RADII_MM, PLACES, LEAST_DEPTH_MM = (7.0, 10.0, 14.0, 19.0, 26.0, 35.0), 30, 3.0
#: Voxels nearer to the tissue's edge do not count (mm); differences count up to so many deviations.
EDGE_MM, MOST = 2.5, 4.0
#: Widths of the layer under the sphere and of the one beyond it, and how far that lies (mm); least difference.
LAYER_MM, LAYER_SHARE, BEYOND_MM, BEYOND_WIDTH_MM, LEAST = 2.0, 0.1, 5.0, 2.5, 0.3
#: Rays reach so far beyond a sphere (factor, mm), at most.
REACH, ROOM_MM, LONGEST_MM = 2.2, 10.0, 58.0
#: What all are: seen along most rays, steep, off the surface, even; and the least size of a dark and of a rimmed one.
#: Chosen on lesions painted into four livers (two of them without any of their own: nothing found there in 30 visits).
MIN_COVERAGE, MIN_SCORE, MAX_OPEN, MAX_UNEVEN, MIN_ALIKE = 0.7, 0.8, 0.15, 0.22, 0.9
DARK_MM, DARK_OFF, BRIGHT_OFF, DARK_SPREAD = 15.0, -1.2, 0.5, 2.4
RIM_MM, RIM_OFF, RIM_COVERAGE, RIM_SCORE = 22.0, 2.5, 0.6, 0.9
#: A core with a layer round it: the whole is at least so much larger and holds the core by this share.
LARGER, HELD_SHARE, CORE_OFF = 1.3, 0.8, -1.0

ARTERIAL = (Phase.LATE_ARTERIAL, Phase.EARLY_ARTERIAL)


class Surrounded(NamedTuple):
    """``mask`` on the working grid, the ``phases`` that show it, the mean step at its outline (deviations)."""

    mask: Bools
    phases: tuple[Phase, ...]
    score: float


def surrounded_lesions(tissues: Mapping[Phase, Tissue], taken: Bools, work: WorkGrid) -> list[Surrounded]:
    """Lesions that rays from their middle see end on all sides, outside what is ``taken``.

    Dark ones in at least one phase and bright in none, from 15 mm; those with a bright arterial rim, from 22 mm:
    smaller ones look like forks of vessels.
    """
    off, depth = deviations(tissues, work), np.minimum.reduce([t.depth_mm for t in tissues.values()])
    spacing, names = work.grid.spacing_mm, tuple(tissues)
    taken, found = taken.copy(), []
    for radius, at in _places(off, depth, spacing):
        if taken[at]:
            continue
        star = star_at(off, depth, spacing, np.array(at) * spacing, min(LONGEST_MM, REACH * radius + ROOM_MM))
        phases = _shown(star, off, names, work)
        if phases and not (star.mask & taken).any():
            taken |= star.mask
            found.append(Surrounded(star.mask, phases, star.score))
    return found


def layered_outline(
    core: Bools, tissues: Mapping[Phase, Tissue], off: Sequence[Floats], work: WorkGrid
) -> Bools | None:
    """The whole lesion round a dark core where some phase shows a bright layer all round it; None where none does."""
    depth = np.minimum.reduce([t.depth_mm for t in tissues.values()])
    spacing = work.grid.spacing_mm
    size = equivalent_diameter_mm(float(core.sum()) * work.grid.voxel_ml)
    middle = np.argwhere(core).mean(axis=0) * spacing
    star = star_at(off, depth, spacing, middle, min(LONGEST_MM, REACH * 0.5 * size + ROOM_MM))
    if star.coverage < RIM_COVERAGE or star.score < MIN_SCORE:
        return None
    if star.mask.sum() < LARGER * core.sum() or (star.mask & core).sum() < HELD_SHARE * core.sum():
        return None
    bright = (
        layer >= RIM_OFF and alike >= MIN_ALIKE and float(phase[core].mean()) <= CORE_OFF
        for layer, alike, phase in zip(star.layer, star.alike, off, strict=True)
    )
    return star.mask | core if any(bright) else None


def _shown(star: Star, off: Sequence[Floats], names: Sequence[Phase], work: WorkGrid) -> tuple[Phase, ...]:
    """The phases that show a lesion there; none where it is no lesion."""
    if not star.mask.any() or star.open_share > MAX_OPEN or star.uneven > MAX_UNEVEN:
        return ()
    size = equivalent_diameter_mm(float(star.mask.sum()) * work.grid.voxel_ml)
    means = [float(phase[star.mask].mean()) for phase in off]
    spreads = [float(phase[star.mask].std()) for phase in off]
    alike = [share >= MIN_ALIKE for share in star.alike]
    if size >= DARK_MM and star.coverage >= MIN_COVERAGE and star.score >= MIN_SCORE and max(means) < BRIGHT_OFF:
        dark = tuple(
            name
            for name, mean, spread, same in zip(names, means, spreads, alike, strict=True)
            if mean <= DARK_OFF and spread <= DARK_SPREAD and same
        )
        if dark:
            return dark
    if size >= RIM_MM and star.coverage >= RIM_COVERAGE and star.score >= RIM_SCORE:
        return tuple(
            name
            for name, layer, same in zip(names, star.layer, alike, strict=True)
            if name in ARTERIAL and layer >= RIM_OFF and same
        )
    return ()


def _places(
    off: Sequence[Floats], depth_mm: Floats, spacing_mm: tuple[float, float, float]
) -> list[tuple[float, tuple[int, int, int]]]:
    """Radii and middles of spheres under which tissue is less like the parenchyma than beyond them, best first."""
    known = halved((depth_mm > EDGE_MM).astype(np.float32))
    unlike = np.minimum(np.maximum.reduce([np.abs(one) for one in off]), MOST) * (depth_mm > EDGE_MM)
    unlike = halved(unlike.astype(np.float32))
    depth = depth_mm[::2, ::2, ::2][tuple(slice(n) for n in unlike.shape)]
    spacing = np.asarray(spacing_mm) * 2
    room = np.ceil((RADII_MM[-1] + BEYOND_MM + 3 * BEYOND_WIDTH_MM) / spacing).astype(int)
    shape = [fft.next_fast_len(n + int(r), real=True) for n, r in zip(unlike.shape, room, strict=True)]
    z, y, x = (np.minimum(np.arange(n), n - np.arange(n)) * s for n, s in zip(shape, spacing, strict=True))
    away = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2).astype(np.float32)
    spectra = fft.rfftn(unlike, shape), fft.rfftn(known, shape)
    part = tuple(slice(n) for n in unlike.shape)
    found: list[tuple[float, float, tuple[int, int, int]]] = []
    for radius in RADII_MM:
        layers = (
            (radius - 1.0, max(LAYER_MM, LAYER_SHARE * radius)),
            (radius + BEYOND_MM, BEYOND_WIDTH_MM),
        )
        means = []
        for middle, width in layers:
            weight = np.exp(-0.5 * ((away - middle) / width) ** 2)
            total, seen = (fft.irfftn(one * fft.rfftn(weight), shape)[part] for one in spectra)
            share = seen / weight.sum()
            means.append((total / np.maximum(seen, 1e-3 * weight.sum()), share))
        # a sphere mostly outside tells little
        response = (means[0][0] - means[1][0]) * np.minimum(1.0, 1.5 * means[0][1])
        response[depth < LEAST_DEPTH_MM] = 0
        deep = response[depth > 2 * LEAST_DEPTH_MM]
        if not len(deep):
            continue
        noise = 1.4826 * float(np.median(np.abs(deep - np.median(deep)))) + 1e-6
        top = np.argwhere((response > LEAST) & (response == ndimage.maximum_filter(response, 3)))
        found += [
            (float(response[tuple(t)]) / noise, radius, (2 * int(t[0]), 2 * int(t[1]), 2 * int(t[2]))) for t in top
        ]
    found.sort(reverse=True)
    kept: list[tuple[float, tuple[int, int, int]]] = []
    for _, radius, at in found:
        if len(kept) == PLACES:
            break
        steps = [np.linalg.norm((np.array(at) - other) * spacing_mm) / max(radius, size) for size, other in kept]
        if all(step > 0.5 for step in steps):
            kept.append((radius, at))
    return kept
