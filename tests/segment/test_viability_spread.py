from __future__ import annotations

import numpy as np
import pytest

from liver_phantom import GRID, Abdomen
from livervol.scan import Phase, Segmentation
from livervol.segment.viability import segment_viability
from livervol.segment.viability_spread import boundary_variants, viability_variants

A = Abdomen()
LESION = A.ball((10.0, -20.0, 15.0), 44)
CORE = A.ball((10.0, -20.0, 15.0), 24)
LESIONS = Segmentation(LESION.astype(np.uint8), GRID, {1: "lesion 1"})
NATIVE = A.scan(55, [(LESION, 45), (CORE, 30)], Phase.NATIVE, seed=2)
LATE = A.scan(75, [(LESION, 140), (CORE, 30)], Phase.LATE_ARTERIAL, seed=1)


@pytest.fixture(scope="module")
def variants():
    result = segment_viability({s.phase: s for s in (NATIVE, LATE)}, A.mask, LESIONS)
    return result, viability_variants(result.judgement, A.mask, LESIONS)


def test_every_cause_comes_both_ways(variants):
    _, found = variants
    causes = [v.factor for v in found]
    assert sorted(set(causes)) == ["alignment x", "alignment y", "alignment z", "outline", "threshold"]
    assert all(causes.count(c) == 2 for c in causes)


def test_a_lower_threshold_never_shows_less(variants):
    _, found = variants
    lower, higher = (v.viable.mask().sum() for v in found if v.factor == "threshold")
    assert lower >= higher > 0


def test_outlines_move_one_voxel_and_the_viable_part_stays_inside(variants):
    _, found = variants
    smaller, larger = (v for v in found if v.factor == "outline")
    assert smaller.lesions.mask().sum() < LESION.sum() < larger.lesions.mask().sum()
    for variant in found:
        assert variant.lesions.grid == variant.viable.grid
        assert not (variant.viable.mask() & ~variant.lesions.mask()).any()


def test_nothing_changed_gives_the_judged_part(variants):
    result, found = variants
    # the box of the variants, found again by its lesion
    unshifted = next(v for v in found if v.factor == "threshold")
    index = np.argwhere(LESION)[0]
    place = GRID.index_to_lps(index)
    offset = index - np.rint(unshifted.lesions.grid.lps_to_index(place)).astype(int)
    box = tuple(slice(o, o + n) for o, n in zip(offset, unshifted.lesions.grid.shape_zyx, strict=True))
    assert np.array_equal(unshifted.lesions.labels, LESIONS.labels[box])
    judgement = result.judgement
    again = judgement.classes_of(
        judgement.evidence, judgement.threshold, LESIONS.labels[judgement.box], GRID.spacing_mm
    )
    assert np.array_equal(again, result.viable.labels[judgement.box] == 1)


def test_a_shifted_phase_moves_the_viable_part(variants):
    _, found = variants
    for word in "zyx":
        one, other = (v.viable.labels for v in found if v.factor == f"alignment {word}")
        assert not np.array_equal(one, other)


def test_given_masks_move_together():
    viable = Segmentation((LESION & ~CORE).astype(np.uint8), GRID, {1: "viable 1"})
    smaller, larger = boundary_variants(LESIONS, A.mask, viable)
    assert smaller.viable.mask().sum() < viable.mask().sum() < larger.viable.mask().sum()
    assert not (larger.viable.mask() & ~larger.lesions.mask()).any()


def test_a_lesion_in_the_liver_does_not_grow_out_of_it():
    labels = np.zeros((6, 20, 20), np.uint8)
    labels[2:4, 5:10, 5:10] = 1
    grid = GRID.crop((0, 0, 0), (6, 20, 20))
    inside = labels.copy()
    inside[2:4, 5:12, 5:10] = 1
    liver = Segmentation(inside, grid, {1: "liver"})
    _, larger = boundary_variants(Segmentation(labels, grid, {1: "lesion 1"}), liver)
    assert larger.lesions.mask().sum() == 2 * 5 * 6


def test_no_lesion_no_variant():
    none = Segmentation(np.zeros(GRID.shape_zyx, np.uint8), GRID, {})
    result = segment_viability({s.phase: s for s in (NATIVE, LATE)}, A.mask, none)
    assert viability_variants(result.judgement, A.mask, none) == []
    assert boundary_variants(none, A.mask) == []
