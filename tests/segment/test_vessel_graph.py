"""The centreline graph and the two fronts on tubes drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from livervol.grid import Grid
from livervol.segment.vessel_graph import VesselGraph, vessel_graph
from livervol.segment.vessel_guide import Guide
from livervol.segment.vessel_split import HEPATIC, PORTAL, prices_of_kinds, rooted, split_graph

GRID = Grid.from_parts((60, 70, 80), (1.5, 1.5, 1.5), (-60.0, -52.0, 300.0))
POINTS = GRID.index_to_lps(np.moveaxis(np.indices(GRID.shape_zyx), 0, -1))


def tube(
    a: tuple[float, ...], b: tuple[float, ...], radius: float, end_radius: float | None = None
) -> NDArray[np.bool_]:
    """Voxels within the radius of the line from a to b (LPS mm), tapering to ``end_radius``."""
    start, stop = np.array(a), np.array(b)
    along = stop - start
    share = np.clip(((POINTS - start) @ along) / (along @ along), 0, 1)
    away = np.linalg.norm(POINTS - (start + share[..., None] * along), axis=-1)
    result: NDArray[np.bool_] = away <= radius + share * ((radius if end_radius is None else end_radius) - radius)
    return result


def guide(portal: tuple[float, ...], hepatic: tuple[float, ...]) -> Guide:
    empty = np.zeros(GRID.shape_zyx, np.float32)
    return Guide(np.array(portal), np.array(hepatic), GRID, empty, empty)


def ends(graph: VesselGraph) -> NDArray[np.int64]:
    degree: NDArray[np.int64] = np.bincount([v for e in graph.edges for v in e.ends], minlength=len(graph.places))
    return degree


def test_a_fork_has_three_edges_with_its_radii_and_lengths() -> None:
    mask = (
        tube((-40, 0, 345), (0, 0, 345), 5.0)
        | tube((0, 0, 345), (35, 20, 345), 3.2)
        | tube((0, 0, 345), (35, -20, 345), 3.2)
    )
    graph = vessel_graph(mask, GRID)
    assert sorted(ends(graph).tolist()) == [1, 1, 1, 3]
    assert len(graph.edges) == 3
    trunk = max(graph.edges, key=lambda e: float(np.median(e.radius_mm)))
    # the mask's surface and the curve each lie within half a voxel of the true ones
    assert float(np.median(trunk.radius_mm)) == pytest.approx(5.0, abs=1.1)
    twig = min(graph.edges, key=lambda e: float(np.median(e.radius_mm)))
    assert float(np.median(twig.radius_mm)) == pytest.approx(3.2, abs=1.1)
    # ends wear off by up to the radius; 40 mm and 40.3 mm long, rounded caps add up to the radius
    assert 33 <= trunk.length_mm <= 46
    assert twig.leaving(int(np.argmax(ends(graph)))) @ np.array([1, 0, 0]) > 0.7


def test_rough_surfaces_make_no_twigs_and_gaps_are_bridged() -> None:
    rng = np.random.default_rng(5)
    rough = tube((-40, 0, 345), (40, 0, 345), 5.0)
    rough |= tube((-40, 0, 345), (40, 0, 345), 6.0) & (rng.random(GRID.shape_zyx) < 0.3)
    graph = vessel_graph(rough, GRID)
    assert len([e for e in graph.edges if not e.gap]) == 1
    broken = tube((-40, 0, 345), (40, 0, 345), 3.0) & (np.abs(POINTS[..., 0]) > 4.0)
    graph = vessel_graph(broken, GRID)
    gaps = [e for e in graph.edges if e.gap]
    assert len(gaps) == 1
    assert len(graph.edges) == 3
    assert vessel_graph(np.zeros(GRID.shape_zyx, bool), GRID).edges == ()


def test_pieces_bridged_only_to_each_other_are_joined_to_the_rest() -> None:
    trunk = tube((-45, 0, 345), (-20, 0, 345), 3.0)
    # 30 mm away, in two pieces 9 mm apart
    far = tube((10, 0, 345), (25, 0, 345), 3.0) | tube((34, 0, 345), (50, 0, 345), 3.0)
    graph, roots = rooted(vessel_graph(trunk | far, GRID), guide((-45, 0, 345), (0, 0, 395)))
    claims = split_graph(graph, roots, np.zeros((len(graph.edges), 2)))
    assert len([e for e in graph.edges if not e.gap]) == 3
    assert set(claims) == set(range(len(graph.edges)))
    beyond = [n for n, e in enumerate(graph.edges) if not e.gap and e.points[:, 0].min() > 0]
    assert all(claims[n].confidence <= 0.3 for n in beyond)
    # what lies out of reach stays apart
    alone = vessel_graph(tube((-55, 0, 345), (-30, 0, 345), 3.0) | tube((35, 0, 345), (55, 0, 345), 3.0), GRID)
    assert not [e for e in alone.edges if e.gap]


def crossing() -> NDArray[np.bool_]:
    """A portal tree from the left below, a hepatic vein from above; they touch where they cross."""
    portal = tube((-45, 0, 318), (-10, 0, 325), 5.0, 4.0) | tube((-10, 0, 325), (40, -15, 330), 3.6, 2.2)
    portal |= tube((-10, 0, 325), (35, 30, 335), 3.6, 2.2)
    hepatic = tube((0, 0, 385), (8, -6, 350), 5.0, 4.0) | tube((8, -6, 350), (20, -9, 305), 4.0, 2.2)
    return portal | hepatic


def test_two_fronts_part_trees_that_touch() -> None:
    where = guide((-45, 0, 318), (0, 0, 385))
    graph, roots = rooted(vessel_graph(crossing(), GRID), where)
    assert set(roots) == {PORTAL, HEPATIC}
    prices = prices_of_kinds(graph, where, roots, np.full(len(graph.edges), 5.0))
    claims = split_graph(graph, roots, prices)
    assert set(claims) == {n for n, e in enumerate(graph.edges)}
    # the vein below the crossing stays hepatic, the portal branches beyond it portal
    for point, kind in (
        ((20, -9, 307), HEPATIC),
        ((6, -5, 355), HEPATIC),
        ((36, -14, 330), PORTAL),
        ((30, 26, 334), PORTAL),
    ):
        near = min(claims, key=lambda n: float(np.linalg.norm(graph.edges[n].points - np.array(point), axis=1).min()))
        assert claims[near].kind == kind, point
    for number, claim in claims.items():
        if claim.parent >= 0:
            assert claims[claim.parent].kind == claim.kind
            assert claims[claim.parent].cost <= claim.cost
            assert claim.entered_at in graph.edges[claim.parent].ends
            assert claim.entered_at in graph.edges[number].ends


def test_brightness_tells_kinds_apart_when_the_roots_differ() -> None:
    where = guide((-45, 0, 318), (0, 0, 385))
    graph, roots = rooted(vessel_graph(crossing(), GRID), where)
    low = np.array([e.points[:, 2].mean() < 335 for e in graph.edges])
    prices = prices_of_kinds(graph, where, roots, np.where(low, 9.0, 4.0))
    wide = np.array([np.median(e.radius_mm) >= 2.0 and not e.gap for e in graph.edges])
    assert (prices[wide & low, 0] < prices[wide & low, 1]).all()
    assert (prices[wide & ~low, 1] < prices[wide & ~low, 0]).all()


def test_a_kind_without_vessels_near_its_root_is_left_out() -> None:
    only = tube((-45, 0, 318), (20, 0, 322), 4.0)
    graph, roots = rooted(vessel_graph(only, GRID), guide((-45, 0, 318), (0, 0, 385)))
    assert set(roots) == {PORTAL}
    claims = split_graph(graph, roots, np.zeros((len(graph.edges), 2)))
    assert {c.kind for c in claims.values()} == {PORTAL}
