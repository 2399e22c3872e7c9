from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from livervol.io.contours import crossings, fill_polygons, outlines


def inside_slowly(polygons, shape):
    """Every pixel centre against every edge: the crossing rule, one ray to the left at a time."""
    result = np.zeros(shape, bool)
    for r in range(shape[0]):
        for c in range(shape[1]):
            for polygon in polygons:
                for (r0, c0), (r1, c1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
                    if min(r0, r1) <= r < max(r0, r1) and c0 + (r - r0) * (c1 - c0) / (r1 - r0) <= c:
                        result[r, c] ^= True
    return result


def area(polygon):
    r, c = polygon.T
    return abs(float(np.sum(r * np.roll(c, -1) - c * np.roll(r, -1)))) / 2


masks = arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 11)), elements=st.booleans())


@given(masks)
def test_outlines_filled_are_the_mask(mask):
    found = outlines(mask)
    assert np.array_equal(fill_polygons(found, mask.shape), mask)
    # one contour a part, parts that touch at a corner apart
    assert len(found) == ndimage.label(mask)[1]
    # each contour alone, holes cut out by its keyholes
    assert sum(area(polygon) for polygon in found) == np.count_nonzero(mask)
    for polygon in found:
        steps = np.diff(polygon, axis=0, append=polygon[:1])
        assert (np.count_nonzero(steps, axis=1) <= 1).all()
        assert (polygon % 1 == 0.5).all()


@pytest.mark.parametrize("density", [0.3, 0.6, 0.9])
def test_outlines_of_a_large_noisy_mask(density):
    mask = np.random.default_rng(5).random((150, 170)) < density
    assert np.array_equal(fill_polygons(outlines(mask), mask.shape), mask)


def test_ring_is_one_contour_with_a_keyhole():
    mask = np.ones((5, 6), bool)
    mask[2, 2:4] = False
    (ring,) = outlines(mask)
    # 4 corners outside, 4 inside, and the channel there and back: two points on the edge, the hole's first again
    assert len(ring) == 11
    assert area(ring) == 28
    hole = np.array([[1.5, 1.5], [1.5, 3.5], [2.5, 3.5], [2.5, 1.5]])
    outer = np.array([[-0.5, -0.5], [-0.5, 5.5], [4.5, 5.5], [4.5, -0.5]])
    # the same ring as two nested contours
    assert np.array_equal(fill_polygons([outer, hole], (5, 6)), mask)


polygons = st.lists(
    arrays.arrays(
        np.float64, st.tuples(st.integers(3, 7), st.just(2)), elements=st.integers(-12, 40).map(lambda n: n / 4)
    ),
    min_size=1,
    max_size=3,
)


@given(polygons)
def test_filling_agrees_with_its_slow_twin(given_polygons):
    # quarters: vertices and edges on pixel centres and beyond the field are among them
    assert np.array_equal(fill_polygons(given_polygons, (7, 8)), inside_slowly(given_polygons, (7, 8)))


def test_nothing_and_everything():
    assert outlines(np.zeros((3, 4), bool)) == []
    assert not fill_polygons([], (3, 4)).any()
    (whole,) = outlines(np.ones((3, 4), bool))
    assert area(whole) == 12


def test_cost_is_bounded_by_the_field():
    tall = np.array([[-1e12, 0.0], [1e12, 5.0], [-1e12, 9.0]])
    assert crossings(tall, 10) <= 2 * 12 + 3
    assert fill_polygons([tall], (10, 10)).shape == (10, 10)
