from __future__ import annotations

import numpy as np
import pytest

from conftest import oblique_grid
from livervol.errors import GridError
from livervol.grid import Grid
from livervol.io.lattice import offset_on, placed, placed_on_any
from livervol.scan import Segmentation

SCAN = oblique_grid((9, 10, 11))


def mask_on(grid, fill=1):
    return Segmentation(np.full(grid.shape_zyx, fill, np.uint8), grid, {1: "liver"})


def test_part_of_the_lattice_is_put_in_its_place():
    part = SCAN.crop((2, 3, 1), (7, 9, 10))
    labels = (np.arange(np.prod(part.shape_zyx)) % 3).reshape(part.shape_zyx).astype(np.uint8)
    found = placed(Segmentation(labels, part, {1: "a", 2: "b"}), SCAN)
    assert found.grid == SCAN
    assert np.array_equal(found.labels[2:7, 3:9, 1:10], labels)
    assert np.count_nonzero(found.labels) == np.count_nonzero(labels)
    assert offset_on(part, SCAN) == (2, 3, 1)


def test_background_may_reach_outside_labels_may_not():
    wide = SCAN.pad((2, 0, 1), (0, 3, 0))
    labels = np.zeros(wide.shape_zyx, np.uint8)
    labels[2, 0, 1] = 1
    found = placed(Segmentation(labels, wide, {1: "liver"}), SCAN)
    assert np.argwhere(found.labels).tolist() == [[0, 0, 0]]
    with pytest.raises(GridError, match=r"mask reaches outside the scan: .*got \d+ voxels outside"):
        placed(mask_on(wide), SCAN)


def test_single_plane_takes_the_scans_step():
    plane = SCAN.crop((4, 0, 0), (5, 10, 11))
    matrix = plane.matrix
    matrix[:3, 0] *= 7.3
    thick = Grid.from_matrix(plane.shape_zyx, matrix)
    assert placed(mask_on(thick), SCAN).labels.sum(axis=(1, 2)).tolist() == [0, 0, 0, 0, 110, 0, 0, 0, 0]


@pytest.mark.parametrize("what", ["shift", "spacing", "turn", "frame", "flip"])
def test_another_lattice_is_none_of_the_scans(what):
    part = SCAN.crop((2, 3, 1), (7, 9, 10))
    matrix, frame = part.matrix, None
    scan = SCAN
    if what == "shift":
        matrix[0, 3] += 0.2
    elif what == "spacing":
        matrix[:3, 0] *= 2
    elif what == "turn":
        angle = np.radians(2)
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        matrix[:3, :3] = turn @ matrix[:3, :3]
    elif what == "frame":
        frame, scan = "1.2.3", Grid.from_matrix(SCAN.shape_zyx, SCAN.matrix, "1.2.4")
    else:
        matrix[:3, 2] *= -1
    other = mask_on(Grid.from_matrix(part.shape_zyx, matrix, frame))
    assert placed(other, scan) is None
    assert placed_on_any(other, [scan]) is other


def test_first_scan_that_fits_is_taken():
    part = SCAN.crop((2, 3, 1), (7, 9, 10))
    assert placed_on_any(mask_on(part), [oblique_grid((5, 5, 5), (1, 1, 1)), SCAN, part]).grid == SCAN
    assert placed_on_any(mask_on(part), []).grid == part
