"""Chord kernels against a slow twin that clips the segment against every voxel, in whole numbers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livervol.kernels import chord
from livervol.kernels.chord import longest_chord, perpendicular_chord
from livervol.kernels.chord_path import outer_ends, path_allowed
from livervol.kernels.diameter import CENTRE, CORNER, MESH, slice_diameters

CONVENTIONS = (CENTRE, MESH, CORNER)
HY, HX = 0.4, 0.35
#: tight enough that gaps matter on small masks
LIMITS = np.array([1.0, 0.2, 2.0])
NO_LIMIT = np.array([1e9, 1.0, 1e9])

Voxel = tuple[int, int]


def twin_parts(p: Voxel, q: Voxel) -> tuple[list[tuple[int, int, Voxel]], int]:
    """Every voxel that the segment from centre to centre passes through, with its share of the way, in order.

    Straight clipping of the segment against each voxel's square. Shares are whole numbers of ``1 / whole``; voxels only
    touched in a point have no share and are left out.
    """
    ways = [abs(q[0] - p[0]), abs(q[1] - p[1])]
    signs = [1 if q[0] >= p[0] else -1, 1 if q[1] >= p[1] else -1]
    units = [max(ways[1], 1), max(ways[0], 1)]
    whole = 2 * units[0] * units[1]
    # voxel i of an axis is entered at (2 i - 1) / (2 way) and left at (2 i + 1) / (2 way) of the way
    spans = [
        [(max(0, (2 * i - 1) * unit), min(whole, (2 * i + 1) * unit)) if way else (0, whole) for i in range(way + 1)]
        for way, unit in zip(ways, units, strict=True)
    ]
    parts = []
    for i, (y_in, y_out) in enumerate(spans[0]):
        for j, (x_in, x_out) in enumerate(spans[1]):
            low, high = max(y_in, x_in), min(y_out, x_out)
            if low < high:
                parts.append((low, high, (p[0] + signs[0] * i, p[1] + signs[1] * j)))
    return sorted(parts), whole


def twin_allowed(viable: np.ndarray, lesion: np.ndarray, p: Voxel, q: Voxel, limits: np.ndarray) -> bool:
    length = 2 * math.hypot((q[0] - p[0]) * HY, (q[1] - p[1]) * HX)
    limit = min(max(limits[0], limits[1] * length), limits[2])
    parts, whole = twin_parts(p, q)
    if not all(lesion[voxel] for _, _, voxel in parts):
        return False
    gap = longest = 0
    for low, high, voxel in parts:
        gap = 0 if viable[voxel] else gap + high - low
        longest = max(longest, gap)
    return longest / whole * length <= limit + 1e-9


def twin_length(p: Voxel, q: Voxel, convention: int) -> float:
    dy, dx = 2 * abs(q[0] - p[0]), 2 * abs(q[1] - p[1])
    grown = {CENTRE: [(0, 0)], MESH: [(2, 0), (0, 2), (1, 1)], CORNER: [(2, 2)]}[convention]
    return max(math.sqrt(((dy + a) * HY) ** 2 + ((dx + b) * HX) ** 2) for a, b in grown)


def voxels_of(mask: np.ndarray) -> list[Voxel]:
    return [(int(y), int(x)) for y, x in np.argwhere(mask)]


def twin_chord(viable: np.ndarray, lesion: np.ndarray, limits: np.ndarray, convention: int) -> tuple:
    pairs = [
        (-twin_length(p, q, convention), z, p + q)
        for z in range(len(viable))
        for p, q in itertools.combinations_with_replacement(voxels_of(viable[z]), 2)
    ]
    for length, z, ends in sorted(pairs):
        if twin_allowed(viable[z], lesion[z], ends[:2], ends[2:], limits):
            return -length, z, ends
    return -1.0, -1, (0, 0, 0, 0)


@st.composite
def bodies(draw, planes: int = 2, height: int = 7, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    shape = (draw(st.integers(1, planes)), draw(st.integers(1, height)), draw(st.integers(1, width)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lesion = random.random(shape) < draw(st.sampled_from([0.7, 0.9, 1.0]))
    viable = lesion & (random.random(shape) < draw(st.sampled_from([0.15, 0.4, 0.8])))
    return viable, lesion


pairs = st.tuples(st.integers(0, 8), st.integers(0, 9), st.integers(0, 8), st.integers(0, 9))


@given(pair=pairs, seed=st.integers(0, 2**32 - 1), limits=st.sampled_from([LIMITS, NO_LIMIT, np.zeros(3)]))
def test_paths_are_judged_exactly(pair, seed, limits):
    random = np.random.default_rng(seed)
    lesion = random.random((9, 10)) < 0.97
    viable = lesion & (random.random((9, 10)) < 0.6)
    p, q = pair[:2], pair[2:]
    for voxel in (p, q):
        lesion[voxel] = viable[voxel] = True
    assert path_allowed(viable, lesion, *pair, HY, HX, limits) == twin_allowed(viable, lesion, p, q, limits)


def test_a_path_through_a_corner_does_not_touch_the_side_voxels():
    diagonal = np.eye(5, dtype=bool)
    assert path_allowed(diagonal, diagonal, 0, 0, 4, 4, HY, HX, LIMITS)
    assert [voxel for _, _, voxel in twin_parts((0, 0), (4, 4))[0]] == [(i, i) for i in range(5)]


@pytest.mark.parametrize(("limit", "allowed"), [(1.6, True), (1.59, False)])
def test_a_gap_of_exactly_the_limit_is_allowed(limit, allowed):
    # two voxels of 0.8 mm between viable ends
    viable = np.array([[True], [False], [False], [True]])
    lesion = np.ones_like(viable)
    assert path_allowed(viable, lesion, 0, 0, 3, 0, HY, HX, np.array([limit, 0.0, 5.0])) is allowed


def test_the_limit_grows_with_the_segment_up_to_its_cap():
    # 60 voxels of 0.8 mm: 47.2 mm between the end centres, a tenth of it is 4.72 mm = 5.9 voxels
    for gap, fraction, cap, allowed in [
        (5, 0.1, 5.0, True),
        (6, 0.1, 5.0, False),
        (6, 0.2, 5.0, True),
        (7, 0.2, 5.0, False),
    ]:
        viable = np.ones((60, 1), bool)
        viable[20 : 20 + gap] = False
        limits = np.array([2.0, fraction, cap])
        assert gap * 0.8 <= min(max(2.0, fraction * 47.2), cap) or not allowed
        assert path_allowed(viable, np.ones_like(viable), 0, 0, 59, 0, HY, HX, limits) is allowed


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(body=bodies())
def test_chord_is_exact(convention, body):
    viable, lesion = body
    length, z, ends = longest_chord(viable, lesion, HY, HX, LIMITS, convention)
    assert (length, z, tuple(ends)) == twin_chord(viable, lesion, LIMITS, convention)


@pytest.mark.parametrize("seed", range(6))
def test_chord_is_exact_on_larger_slices(seed):
    # deep enough for tiles of tiles: a ring, a crescent and speckle
    y, x = np.mgrid[-9:10, -10:11]
    r = np.hypot(y, x * 0.9)
    lesion = r <= 9.2
    random = np.random.default_rng(seed)
    viable = [
        lesion & (r > 7),
        lesion & (np.hypot(y - 3, x) > 6),
        lesion & (random.random(r.shape) < 0.12),
        lesion & (random.random(r.shape) < 0.3),
        lesion & (abs(x) > 2),
        lesion & (r > 4),
    ][seed]
    if seed == 1:
        lesion = viable
    limits = np.array([1.5, 0.1, 4.0])
    found = longest_chord(viable[None], lesion[None], HY, HX, limits, CORNER)
    assert (found[0], found[1], tuple(found[2])) == twin_chord(viable[None], lesion[None], limits, CORNER)


@pytest.mark.parametrize("seed", range(3))
def test_chord_is_exact_over_slices_that_repeat_and_rounds_that_stop_early(monkeypatch, seed):
    # every slice needs several rounds; equal slices and slices that tie are told apart by their place
    monkeypatch.setattr(chord, "_FIRST_BUDGET", 1)
    monkeypatch.setattr(chord, "_MORE", 4)
    y, x = np.mgrid[-6:7, -7:8]
    r = np.hypot(y, x * 0.9)
    random = np.random.default_rng(seed)
    lesion = np.stack([r <= 7] * 5)
    speckle = lesion[0] & (random.random(r.shape) < 0.3)
    planes = [lesion[0] & (r > 5), lesion[0] & (r > 5) & (x < 4), speckle]
    viable = np.stack([planes[k] for k in random.permutation([0, 0, 1, 1, 2])])
    lesion[random.integers(5)] = True
    limits = np.array([1.5, 0.1, 4.0])
    for convention in CONVENTIONS:
        found = longest_chord(viable, lesion, HY, HX, limits, convention)
        assert (found[0], found[1], tuple(found[2])) == twin_chord(viable, lesion, limits, convention)


@given(body=bodies(planes=1), angle=st.floats(0, math.pi))
def test_perpendicular_chord_is_exact(body, angle):
    viable, lesion = body[0][0], body[1][0]
    u = (round(math.sin(angle), 12), round(math.cos(angle), 12))
    pairs = []
    for p, q in itertools.combinations_with_replacement(voxels_of(viable), 2):
        dy, dx = 2 * HY * (q[0] - p[0]), 2 * HX * (q[1] - p[1])
        if abs(u[0] * dy + u[1] * dx) <= (HY * abs(u[0]) + HX * abs(u[1])) * (1 + 1e-9):
            pairs.append((-abs(u[1] * dy - u[0] * dx), p + q))
    allowed = ((-a, e) for a, e in sorted(pairs) if twin_allowed(viable, lesion, e[:2], e[2:], LIMITS))
    best, ends = next(allowed, (-1.0, None))
    width, pair = perpendicular_chord(viable, lesion, HY, HX, LIMITS, *u)
    assert width == pytest.approx(best, abs=1e-12)
    if width == best and ends is not None:
        assert tuple(pair) == ends


@given(body=bodies())
def test_no_sample_of_the_chord_leaves_the_lesion_or_stays_long_in_a_gap(body):
    # an independent look: walk along the segment in small steps and ask which voxel each sample lies in
    viable, lesion = body
    length, z, (y0, x0, y1, x1) = longest_chord(viable, lesion, HY, HX, LIMITS, CENTRE)
    if length <= 0:
        return
    limit = min(max(LIMITS[0], LIMITS[1] * length), LIMITS[2])
    steps = 2000
    # off the middle of the way by an irrational part of a step: no sample falls on a corner
    parts = (np.arange(steps) + 1 / math.sqrt(3)) / steps
    ys = np.floor(y0 + parts * (y1 - y0) + 0.5 + 1e-12).astype(int)
    xs = np.floor(x0 + parts * (x1 - x0) + 0.5 + 1e-12).astype(int)
    assert viable[z, y0, x0]
    assert viable[z, y1, x1]
    inside = lesion[z, ys, xs]
    # a diagonal step through a corner may put one sample into a voxel that is only touched
    assert np.count_nonzero(~inside) <= 2 * np.count_nonzero(np.diff(ys) * np.diff(xs))
    run = longest = 0
    for alive in viable[z, ys, xs]:
        run = 0 if alive else run + 1
        longest = max(longest, run)
    assert longest * length / steps <= limit + 2 * length / steps


@given(body=bodies(), seed=st.integers(0, 2**32 - 1))
def test_less_viable_tissue_never_gives_a_longer_chord(body, seed):
    viable, lesion = body
    fewer = viable & (np.random.default_rng(seed).random(viable.shape) < 0.7)
    smaller = viable | (lesion & (np.random.default_rng(seed + 1).random(viable.shape) < 0.7))
    for convention in CONVENTIONS:
        whole = longest_chord(viable, lesion, HY, HX, LIMITS, convention)[0]
        assert longest_chord(fewer, lesion, HY, HX, LIMITS, convention)[0] <= whole
        assert longest_chord(viable, smaller, HY, HX, LIMITS, convention)[0] <= whole


@given(body=bodies())
def test_a_chord_is_at_most_the_diameter_and_equal_without_limits(body):
    viable, lesion = body
    for convention in CONVENTIONS:
        diameters = slice_diameters(viable, HY, HX, convention)[0]
        assert longest_chord(viable, lesion, HY, HX, LIMITS, convention)[0] <= diameters.max()
        everywhere = np.ones_like(lesion)
        assert longest_chord(viable, everywhere, HY, HX, NO_LIMIT, convention)[0] == diameters.max()


@given(body=bodies())
def test_turning_the_slice_changes_no_chord(body):
    viable, lesion = body
    for convention in CONVENTIONS:
        length = longest_chord(viable, lesion, HY, HX, LIMITS, convention)[0]
        for turn in (lambda a: a[:, ::-1], lambda a: a[:, :, ::-1], lambda a: a[::-1]):
            found = longest_chord(*(np.ascontiguousarray(turn(a)) for a in body), HY, HX, LIMITS, convention)
            assert found[0] == pytest.approx(length)
        turned = [np.ascontiguousarray(np.rot90(a, axes=(1, 2))) for a in body]
        assert longest_chord(*turned, HX, HY, LIMITS, convention)[0] == pytest.approx(length)


def test_nothing_viable_is_minus_one():
    nothing, lesion = np.zeros((2, 4, 5), bool), np.ones((2, 4, 5), bool)
    assert longest_chord(nothing, lesion, HY, HX, LIMITS, CORNER)[:2] == (-1.0, -1)
    assert perpendicular_chord(nothing[0], lesion[0], HY, HX, LIMITS, 0.0, 1.0)[0] == -1.0


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_outer_ends_are_as_far_apart_as_the_chord_is_long(convention):
    for dy, dx in itertools.product(range(-4, 5), repeat=2):
        (y0, y1), (x0, x1) = outer_ends(dy, dx, HY, HX, convention)
        length = 2 * math.hypot((dy + y1 + y0) * HY, (dx + x1 + x0) * HX)
        assert length == pytest.approx(twin_length((0, 0), (dy, dx), convention))
