from __future__ import annotations

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.measure.pairing import EarlierVisit, Track, pair_lesions, renumbered
from livervol.scan import Segmentation

GRID = oblique_grid((30, 60, 70), (3.0, 2.0, 1.9))
INDEX = np.stack(np.meshgrid(*map(np.arange, GRID.shape_zyx), indexing="ij"), axis=-1)


def balls(*bodies, grid=GRID, shift=(0, 0, 0)):
    """Labels from (number, centre index, radius mm)."""
    labels = np.zeros(grid.shape_zyx, np.uint8)
    for number, centre, radius in bodies:
        away = (INDEX - np.array(centre) - np.array(shift)) * grid.spacing_mm
        labels[(away**2).sum(axis=-1) <= radius**2] = number
    return Segmentation(labels, grid, {n: f"lesion {n}" for n, _, _ in bodies})


def liver(shift=(0, 0, 0)):
    return balls((1, (15, 30, 35), 40), shift=shift)


def test_numbers_follow_the_lesion_not_the_order():
    before = balls((1, (10, 20, 20), 12), (2, (20, 40, 45), 8))
    after = balls((1, (20, 40, 45), 10), (2, (10, 20, 20), 5))
    pairing = pair_lesions([(before, liver())], after, liver())
    assert dict(pairing.numbers) == {1: 2, 2: 1}
    assert pairing.new == ()
    assert pairing.vanished == ()
    assert pairing.warnings == ()


def test_a_moved_patient_does_not_matter():
    before = balls((1, (10, 22, 25), 10), (2, (20, 40, 45), 8))
    after = balls((1, (20, 40, 45), 8), (2, (10, 22, 25), 10), shift=(0, 8, 10))
    pairing = pair_lesions([(before, liver())], after, liver(shift=(0, 8, 10)))
    assert dict(pairing.numbers) == {1: 2, 2: 1}


def test_new_and_vanished_lesions():
    before = balls((3, (10, 20, 20), 8), (5, (20, 40, 50), 8))
    after = balls((1, (10, 20, 20), 8), (2, (22, 15, 50), 6))
    pairing = pair_lesions([(before, liver())], after, liver())
    assert dict(pairing.numbers) == {1: 3, 2: 6}
    assert pairing.new == (6,)
    assert pairing.vanished == (5,)


def test_a_doubtful_match_is_named():
    before = balls((1, (15, 30, 30), 6))
    after = balls((1, (15, 30, 34), 5), (2, (15, 30, 25), 5))
    pairing = pair_lesions([(before, liver())], after, liver())
    assert len(pairing.new) == 1
    assert len(pairing.warnings) == 1
    assert "lesion 1" in pairing.warnings[0]


@pytest.mark.parametrize("empty", ["before", "after"])
def test_empty_visits(empty):
    full = balls((1, (10, 20, 20), 8))
    none = Segmentation(np.zeros(GRID.shape_zyx, np.uint8), GRID, {})
    before, after = (none, full) if empty == "before" else (full, none)
    pairing = pair_lesions([(before, liver())], after, liver())
    assert pairing.new == ((1,) if empty == "before" else ())
    assert pairing.vanished == (() if empty == "before" else (1,))


def test_a_lesion_that_comes_back_gets_its_own_number():
    first = balls((1, (10, 20, 20), 8), (2, (20, 40, 50), 8))
    second = balls((1, (10, 20, 20), 8))
    third = balls((1, (20, 40, 50), 8), (2, (22, 15, 50), 6), (3, (10, 20, 20), 8))
    pairing = pair_lesions([(first, liver()), (second, liver())], third, liver())
    assert dict(pairing.numbers) == {1: 2, 2: 3, 3: 1}
    assert pairing.new == (3,)


def states(pairing):
    return {track.number: track.state for track in pairing.tracks}


def test_every_lesion_has_a_state():
    first = balls((1, (10, 20, 20), 8), (2, (20, 40, 50), 8))
    second = balls((1, (10, 20, 20), 8))
    third = balls((1, (20, 40, 50), 8), (2, (22, 15, 50), 6))
    pairing = pair_lesions([(first, liver()), (second, liver())], third, liver())
    assert states(pairing) == {1: "vanished", 2: "reappeared", 3: "new"}
    again = pair_lesions([(first, liver())], balls((7, (10, 20, 20), 7), (9, (20, 40, 50), 8)), liver())
    assert states(again) == {1: "same", 2: "same"}


def test_a_split_lesion_keeps_its_number_and_names_its_parts():
    before = balls((4, (15, 30, 35), 24))
    after = balls((1, (15, 30, 29), 9), (2, (15, 30, 42), 6))
    pairing = pair_lesions([(before, liver())], after, liver())
    assert dict(pairing.numbers) == {1: 4, 2: 5}
    assert Track(5, "split", (4,)) in pairing.tracks
    assert (pairing.part_of(5), pairing.part_of(4)) == (4, None)
    assert pairing.new == (5,)
    assert "part of lesion 4" in pairing.warnings[0]


def test_a_neighbour_outside_the_old_outline_is_new_not_a_part():
    before = balls((4, (15, 30, 30), 12))
    after = balls((1, (15, 30, 30), 9), (2, (15, 30, 52), 6))
    assert states(pair_lesions([(before, liver())], after, liver())) == {4: "same", 5: "new"}


def test_merged_lesions_are_named_with_their_host():
    before = balls((1, (15, 30, 28), 9), (2, (15, 30, 42), 7))
    after = balls((1, (15, 30, 33), 26))
    pairing = pair_lesions([(before, liver())], after, liver())
    assert dict(pairing.numbers) == {1: 1}
    assert Track(2, "merged", (1,)) in pairing.tracks
    assert (pairing.merged_into(2), pairing.merged_into(1)) == (1, None)
    assert pairing.vanished == ()


def test_a_given_map_beats_lining_up_the_livers():
    before = balls((1, (10, 22, 25), 8), (2, (20, 40, 45), 8))
    # turned upside down within the slice: no shift of the liver explains it
    after = balls((1, (10, 37, 44), 8), (2, (20, 19, 24), 8))
    middle = GRID.index_to_lps((0, 29.5, 34.5))

    def back(points):
        index = (points - middle) @ np.linalg.inv(GRID.matrix[:3, :3]).T
        return (index * [1, -1, -1]) @ GRID.matrix[:3, :3].T + middle

    pairing = pair_lesions([EarlierVisit(before, liver(), back)], after, liver())
    assert dict(pairing.numbers) == {1: 1, 2: 2}
    assert states(pairing) == {1: "same", 2: "same"}
    assert states(pair_lesions([(before, liver())], after, liver())) != {1: "same", 2: "same"}


def test_an_ambiguous_match_names_its_rivals():
    before = balls((1, (15, 30, 30), 6))
    after = balls((1, (15, 30, 34), 5), (2, (15, 30, 25), 5))
    pairing = pair_lesions([(before, liver())], after, liver())
    assert Track(1, "ambiguous", (2,)) in pairing.tracks


def test_renumbering_keeps_places():
    segmentation = balls((1, (10, 20, 20), 8), (2, (20, 40, 50), 8))
    got = renumbered(segmentation, {1: 7, 2: 300})
    assert np.array_equal(got.labels == 7, segmentation.labels == 1)
    assert np.array_equal(got.labels == 300, segmentation.labels == 2)
    assert dict(got.names) == {7: "lesion 7", 300: "lesion 300"}
