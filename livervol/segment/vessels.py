"""Intrahepatic vessels in the portal-venous phase: portal and hepatic veins as masks and as trees with radii."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from livervol.errors import ScanError, refusal
from livervol.grid import Grid
from livervol.kernels.lattice import argmax_trilinear
from livervol.kernels.smooth import gaussian
from livervol.scan import Phase, Scan, Segmentation
from livervol.segment.couinaud import MODEL, ShapeReading, read_shape
from livervol.segment.model import find_model
from livervol.segment.vessel_graph import GAP_MM, Edge, VesselGraph, vessel_graph
from livervol.segment.vessel_guide import shape_guide, shape_segments
from livervol.segment.vessel_names import MAIN_NAMES, VesselBranch, named, nearest_branch
from livervol.segment.vessel_split import HEPATIC, PORTAL, Claim, prices_of_kinds, rooted, split_graph
from livervol.segment.vessel_tissue import VesselField, liver_field, sampled, vessel_field, vessel_voxels

__all__ = ["VESSEL_NAMES", "VesselBranch", "VesselsResult", "segment_vessels", "vessels_of_mask"]

VESSEL_NAMES = {PORTAL: "portal vein", HEPATIC: "hepatic vein"}
_METHOD = "tubeness, centreline graph, competing fronts"

#: Phases in which liver veins are bright, best first.
_PHASES = (Phase.PORTAL_VENOUS, Phase.DELAYED, Phase.UNKNOWN)
#: Vessels take up about 2 to 8 % of a liver in the portal phase at this resolution; outside, the phase or mask is off.
SHARE_PERCENT = (0.6, 9.0)
#: A kind shorter than this was not found (mm of centreline).
LEAST_TREE_MM = 150.0
#: Fewer main branches than this per kind make the tree unclear.
_PORTAL_MAIN, _HEPATIC_MAIN = MAIN_NAMES[1:6], MAIN_NAMES[6:9]
CLEAR = 0.5


@dataclass(frozen=True, eq=False)
class VesselsResult:
    """``segmentation`` 1 portal, 2 hepatic vein, in the liver, on its grid; and the trees behind it.

    ``branch_labels``  number of each vessel voxel's branch, on the same grid.
    ``branches``       numbered from 1; ``main`` their numbers by main branch's name.
    ``confidence``     0..1 of "portal" and "hepatic": 0 not found, below ``CLEAR`` unclear.
    ``warnings``       sentences for a reader; ``phase`` the phase read.
    """

    segmentation: Segmentation
    branch_labels: Segmentation
    branches: tuple[VesselBranch, ...]
    main: Mapping[str, tuple[int, ...]]
    confidence: Mapping[str, float]
    warnings: tuple[str, ...]
    phase: Phase = Phase.UNKNOWN

    def branch(self, number: int) -> VesselBranch:
        """The branch of that number."""
        return self.branches[number - 1]

    def of_kind(self, kind: int) -> tuple[VesselBranch, ...]:
        """Branches of a kind: 1 portal, 2 hepatic vein."""
        return tuple(b for b in self.branches if b.kind == kind)


def segment_vessels(
    scan: Scan | Mapping[Phase, Scan], liver: Segmentation, *, reading: ShapeReading | None = None
) -> VesselsResult:
    """Portal and hepatic veins inside the liver, and their trees, from the portal-venous phase.

    Bright tubes (``kernels.tubeness``) over the parenchyma are thinned to centrelines; from the portal vein's entry and
    from the hepatic veins' confluence two fronts compete along them. ``scan`` is one scan or the phases of a visit, on
    the liver's grid; ``reading`` the shape network's answer where it is known. Where nothing can be told the result is
    empty with a warning; MR is read alike but was not validated. Raises ``ScanError`` for an empty liver.
    """
    if not liver.labels.any():
        raise ScanError(refusal("liver mask is empty", expected="liver voxels", got="none", do="Check the mask."))
    chosen = _choose(scan)
    if chosen is None:
        return _nothing(liver, "Vessels: no portal-venous or delayed phase was given.", Phase.UNKNOWN)
    liver.require_grid(chosen.grid)
    warnings = [] if chosen.modality == "CT" else ["Vessels: reading them from MR has not been validated."]
    if chosen.phase is Phase.DELAYED:
        warnings.append("Vessels were read from the delayed phase; check them.")
    reading = reading or read_shape(liver, find_model(MODEL))
    guide = shape_guide(reading)
    found = vessel_field(chosen, liver)
    if guide is None or found is None:
        return _nothing(liver, "Vessels: the liver's shape or tissue gives no place to start from.", chosen.phase)
    mask, _ = vessel_voxels(found, np.array([guide.portal_root, guide.hepatic_root]))
    share = 100.0 * float((mask & found.liver).sum()) / max(1.0, float(found.liver.sum()))
    if not SHARE_PERCENT[0] <= share <= SHARE_PERCENT[1]:
        usual = f"usually {SHARE_PERCENT[0]:g} to {SHARE_PERCENT[1]:g} %; the phase does not show them clearly."
        return _nothing(liver, f"Vessels: bright tubes hold {share:.1f} % of the liver, {usual}", chosen.phase)
    graph = vessel_graph(mask, found.grid)
    graph, roots = rooted(graph, guide)
    prices = prices_of_kinds(graph, guide, roots, _brightness(graph, found))
    claims = split_graph(graph, roots, prices)
    segments = shape_segments(reading, reading.box, reading.occupancy >= 0.5)
    branches, main = named(_branches(graph, claims), segments, reading.box)
    confidence, doubts = _judged(branches, main)
    labels = _labels(liver, mask, found.grid, branches)
    return _result(liver, labels, (branches, main), (confidence, (*warnings, *doubts)), (chosen.phase, _METHOD))


def vessels_of_mask(
    vessels: Segmentation, liver: Segmentation, *, reading: ShapeReading | None = None
) -> VesselsResult:
    """Trees of a vessel mask that exists: 1 portal, 2 hepatic vein, on the liver's grid, kept voxel by voxel.

    Centrelines, radii, parents and names as ``segment_vessels``; the kinds are the mask's, so confidence is 1 where a
    tree hangs together. Raises ``GridError`` for another grid and ``ScanError`` for other label values.
    """
    vessels.require_grid(liver.grid)
    values = set(np.unique(vessels.labels[vessels.labels > 0]).tolist())
    if not values <= {PORTAL, HEPATIC}:
        raise ScanError(
            refusal("vessel mask", expected="1 portal vein, 2 hepatic vein", got=f"values {sorted(values)}")
        )
    if not liver.labels.any():
        raise ScanError(refusal("liver mask is empty", expected="liver voxels", got="none", do="Check the mask."))
    reading = reading or read_shape(liver, find_model(MODEL))
    guide = shape_guide(reading)
    if guide is None or not values:
        return _nothing(liver, "Vessels: the mask is empty or the liver's shape shows no caudate lobe.", Phase.UNKNOWN)
    grid, _, _ = liver_field(liver)
    branches: list[VesselBranch] = []
    for kind in sorted(values):
        part = sampled((vessels.labels == kind).view(np.uint8), vessels.grid, grid) >= 0.5
        graph, roots = rooted(vessel_graph(part, grid), guide)
        claims = split_graph(graph, {k: v for k, v in roots.items() if k == kind}, np.zeros((len(graph.edges), 2)))
        sure = {n: Claim(c.kind, c.entered_at, c.parent, c.cost, 1.0) for n, c in claims.items()}
        branches += _branches(graph, sure, first=len(branches) + 1)
    segments = shape_segments(reading, reading.box, reading.occupancy >= 0.5)
    tree, main = named(branches, segments, reading.box)
    confidence, doubts = _judged(tree, main)
    labels = np.where(liver.labels != 0, vessels.labels, 0).astype(np.uint8)
    return _result(liver, labels, (tree, main), (confidence, doubts), (Phase.UNKNOWN, vessels.made_by or "given"))


def _choose(scan: Scan | Mapping[Phase, Scan]) -> Scan | None:
    if isinstance(scan, Scan):
        return scan if scan.phase in _PHASES else None
    return next((scan[phase] for phase in _PHASES if phase in scan), None)


def _brightness(graph: VesselGraph, found: VesselField) -> NDArray[np.float64]:
    values = [
        np.median(ndimage.map_coordinates(found.residual, found.grid.lps_to_index(e.points).T, order=1, mode="nearest"))
        for e in graph.edges
    ]
    return np.array(values, dtype=np.float64)


def _branches(graph: VesselGraph, claims: Mapping[int, Claim], first: int = 1) -> list[VesselBranch]:
    """Claimed edges as branches, parents before children; a bridged gap becomes the start of what follows it."""
    order = sorted((n for n in claims if not graph.edges[n].gap), key=lambda n: (claims[n].kind, claims[n].cost, n))
    numbers = {edge: first + k for k, edge in enumerate(order)}
    branches = []
    for edge_number in order:
        claim, edge = claims[edge_number], graph.edges[edge_number]
        points, radius = _outwards(edge, claim.entered_at)
        parent = claim.parent
        while parent >= 0 and graph.edges[parent].gap:
            if graph.edges[parent].length_mm > GAP_MM:
                # too far to say where it comes from: the piece starts a tree of its own
                parent = -1
                break
            points = np.vstack([graph.places[claims[parent].entered_at], points])
            radius = np.append(radius[0], radius)
            parent = claims[parent].parent
        up = numbers[parent] if parent >= 0 else 0
        branches.append(VesselBranch(numbers[edge_number], claim.kind, "", up, points, radius, claim.confidence))
    return branches


def _outwards(edge: Edge, entered: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    forward = edge.ends[0] == entered
    return (edge.points, edge.radius_mm) if forward else (edge.points[::-1], edge.radius_mm[::-1])


def _judged(
    branches: tuple[VesselBranch, ...], main: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Confidence by kind and what is doubtful: mean sureness of the branches times the share of main branches found."""
    confidence, doubts, alone = {}, [], False
    for kind, word, expected in ((PORTAL, "portal", _PORTAL_MAIN), (HEPATIC, "hepatic", _HEPATIC_MAIN)):
        own = [b for b in branches if b.kind == kind]
        length = sum(b.length_mm for b in own)
        vein = "portal vein" if kind == PORTAL else "hepatic veins"
        if length < LEAST_TREE_MM:
            confidence[word] = 0.0
            alone = True
            doubts.append(f"Vessels: {vein}: not found.")
            continue
        wide = np.array([b.length_mm * float(np.median(b.radius_mm)) for b in own])
        sure = float((wide * [b.confidence for b in own]).sum() / wide.sum())
        missing = [name for name in expected if name not in main]
        confidence[word] = sure * (1.0 - len(missing) / len(expected))
        if missing:
            doubts.append(f"Vessels: {vein}: not told apart: {', '.join(missing)}.")
        if confidence[word] < CLEAR:
            doubts.append(f"Vessels: {vein}: unclear (confidence {confidence[word]:.2f}); check the tree.")
    if alone and max(confidence.values()) >= CLEAR:
        # both kinds run through every liver: where one is missing, the other has taken its branches
        confidence = {word: min(value, 0.5 * CLEAR) for word, value in confidence.items()}
        doubts.append("Vessels: only one kind of vein was found; portal and hepatic veins may be mixed up.")
    return confidence, tuple(doubts)


def _labels(
    liver: Segmentation, mask: NDArray[np.bool_], grid: Grid, branches: tuple[VesselBranch, ...]
) -> NDArray[np.uint8]:
    """The vessel voxels of the liver: the working mask's surface interpolated, each voxel of its branch's kind."""
    if not branches:
        return np.zeros(liver.labels.shape, np.uint8)
    index = np.argwhere(mask)
    owner, away = nearest_branch(branches, grid.index_to_lps(index))
    kind_of = np.array([0] + [b.kind for b in branches], np.uint8)
    kinds = np.zeros(mask.shape, np.uint8)
    # voxels of pieces that no front reached stay unlabelled
    kinds[tuple(index.T)] = np.where(away < 2.0 * max(grid.spacing_mm), kind_of[owner], 0)
    scores = np.zeros((*mask.shape, 3), np.float32)
    for kind in (PORTAL, HEPATIC):
        scores[..., kind] = gaussian((kinds == kind).view(np.uint8), 0.4 * grid.spacing_mm[0], grid.spacing_mm)
    scores[..., 0] = 1.0 - scores[..., 1] - scores[..., 2]
    matrix = (np.linalg.inv(grid.matrix) @ liver.grid.matrix)[:3]
    inside = (liver.labels != 0).view(np.uint8)
    labels: NDArray[np.uint8] = argmax_trilinear(scores, matrix, inside) - inside
    return labels


def _result(
    liver: Segmentation,
    labels: NDArray[np.uint8],
    tree: tuple[tuple[VesselBranch, ...], Mapping[str, tuple[int, ...]]],
    judged: tuple[Mapping[str, float], tuple[str, ...]],
    how: tuple[Phase, str],
) -> VesselsResult:
    branches, main = tree
    numbers = np.zeros(labels.shape, np.uint16)
    for kind in (PORTAL, HEPATIC):
        own = [b for b in branches if b.kind == kind]
        index = np.argwhere(labels == kind)
        if own and len(index):
            numbers[tuple(index.T)] = nearest_branch(own, liver.grid.index_to_lps(index))[0]
    phase, method = how
    made_by = f"{method} ({phase.value})" if phase is not Phase.UNKNOWN else method
    return VesselsResult(
        Segmentation(labels, liver.grid, VESSEL_NAMES, made_by=made_by),
        Segmentation(numbers, liver.grid, {b.number: b.name for b in branches}, made_by=made_by),
        branches,
        MappingProxyType(dict(main)),
        MappingProxyType(dict(judged[0])),
        judged[1],
        phase,
    )


def _nothing(liver: Segmentation, warning: str, phase: Phase) -> VesselsResult:
    empty = np.zeros(liver.labels.shape, np.uint8)
    return _result(liver, empty, ((), {}), ({"portal": 0.0, "hepatic": 0.0}, (warning,)), (phase, _METHOD))
