"""Two looks at the place of a gesture in the liver, a fine one and a wide one for giants, and which of them holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from livervol.edit.gesture import (
    ClickSettings,
    Gesture,
    Mask,
    Patch,
    wide_patch_of,
    wide_values,
    working_values,
)
from livervol.edit.mend import mended_liver
from livervol.edit.star import LEAST_SCORE, Star, Tissue, peak_of, star_outline, tissue_of

__all__ = ["LEAST_DIAMETER_MM", "Look", "best_look"]

#: Steps of the rays (mm), and how often the middle moves.
FINE_STEP_MM, FINE_MOVES, WIDE_STEP_MM, WIDE_MOVES = 1.0, 1, 2.0, 3
#: The wide look holds from this volume on (ml), where it sees so much more and its outline is at least so sharp,
#: compared with the fine one's.
WIDE_ML, MORE, SHARP = 10.0, 1.4, 0.5
#: From this volume on a lesion may have cost the liver mask a part of itself.
MEND_ML = 20.0
#: A drawn diameter from this length on goes by rays, which may end so far from its middle, in its lengths.
LEAST_DIAMETER_MM, SPAN = 45.0, (0.25, 0.62)


class Look(NamedTuple):
    """A patch with the outline seen in it, the parenchyma's level, and the outline's part of the seed."""

    patch: Patch
    star: Star
    level: float
    held: Mask

    @property
    def ml(self) -> float:
        """Volume of the outline, ml."""
        return float(np.count_nonzero(self.star.mask) * np.prod(self.patch.spacing) / 1000)


def best_look(
    phases: Sequence[NDArray[Any]],
    spacing_mm: Sequence[float],
    gesture: Gesture,
    liver: NDArray[Any],
    settings: ClickSettings,
    patch: Patch,
) -> Look | None:
    """The look that shows the lesion under a click or a long drawn diameter; None where neither does.

    ``patch`` is the fine one; its liver is None where the gesture lies outside the liver mask. Then the wide look
    holds only where the liver mask has plainly lost a part of a lesion.
    """
    fine = None
    if gesture.kind == "click" and patch.liver is not None:
        fine = _fine(phases, gesture, liver, settings, patch)
    wide = _wide(phases, spacing_mm, gesture, liver, settings, fine)
    if wide is None or gesture.kind != "click":
        return wide
    larger = wide.ml > WIDE_ML and (
        fine is None or (wide.ml > MORE * fine.ml and wide.star.score > SHARP * fine.star.score)
    )
    return wide if larger else fine


def _fine(
    phases: Sequence[NDArray[Any]], gesture: Gesture, liver: NDArray[Any], settings: ClickSettings, patch: Patch
) -> Look | None:
    assert patch.liver is not None
    tissues = []
    for voxels in phases:
        values = patch.values if voxels is phases[0] else working_values(voxels, patch, settings)
        tissue = tissue_of(values, patch.liver, voxels, liver)
        if tissue is None:
            return None
        tissues.append(tissue)
    at_mm = patch.place_mm(gesture.points_zyx[0])
    return _held(patch, star_outline(patch, tissues, at_mm, FINE_STEP_MM, FINE_MOVES), tissues)


def _wide(
    phases: Sequence[NDArray[Any]],
    spacing_mm: Sequence[float],
    gesture: Gesture,
    liver: NDArray[Any],
    settings: ClickSettings,
    fine: Look | None,
) -> Look | None:
    patch = wide_patch_of(phases[0], spacing_mm, gesture, liver, settings)
    at_mm = patch.place_mm(gesture.points_zyx.mean(axis=0))
    tissues = []
    for voxels in phases:
        values = patch.values if voxels is phases[0] else wide_values(voxels, patch, settings)
        tissue = peak_of(values, patch, at_mm)
        if tissue is None:
            return None
        tissues.append(tissue)
    span = None
    if gesture.kind == "diameter":
        length = float(np.linalg.norm(np.diff(gesture.points_zyx, axis=0)[0] * spacing_mm))
        span = (SPAN[0] * length, SPAN[1] * length)
    assert patch.liver is not None
    kept, look = patch.liver, None
    if np.count_nonzero(kept & patch.seed) >= 0.5 * np.count_nonzero(patch.seed):
        look = _held(patch, star_outline(patch, tissues, at_mm, WIDE_STEP_MM, WIDE_MOVES, span), tissues)
        if (look is None and fine is not None) or (look is not None and look.ml < MEND_ML):
            return look
    patch.liver = mended_liver(tissues, kept, patch.spacing)
    if np.array_equal(patch.liver, kept) or not patch.liver[patch.seed].any():
        return look
    return _held(patch, star_outline(patch, tissues, at_mm, WIDE_STEP_MM, WIDE_MOVES, span), tissues) or look


def _held(patch: Patch, star: Star, tissues: Sequence[Tissue]) -> Look | None:
    """The look, where its outline is sharp enough and holds some of the seed."""
    held = star.mask & patch.seed
    return Look(patch, star, tissues[0].level, held) if star.score >= LEAST_SCORE and held.any() else None
