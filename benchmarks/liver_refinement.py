"""Ways to make an outline of the same votes: Dice and CPU seconds of our cut, the edge network, and their peers.

    python benchmarks/liver_refinement.py --work WORK [--scans NAME ...]

Labelled scans of LIVERVOL_SHARED; WORK is the folder of the fits (networks and atlases that never saw a scan's
patient). Every way starts from the votes of network, atlas and grey values (``cut_liver``'s), and from the same price
of an outline where it has one: the votes' sign alone; our smooth cut; the edge network after it; the exact graph cut of
the same energy (PyMaxflow; price of a face is the price along the axis); random walk (scikit-image) from the voxels
whose votes are at their bound; morphological geodesic active contour (scikit-image) from the votes' sign.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import maxflow
import numpy as np
from skimage.segmentation import morphological_geodesic_active_contour, random_walker

from livervol.assets import models_folder
from livervol.kernels.components import keep_largest
from livervol.kernels.cut import smooth_cut
from livervol.scan import Segmentation
from livervol.segment.body import straight_scan
from livervol.segment.liver import MODEL, first_view
from livervol.segment.liver_cut import MOST_NATS, ROUNDS, votes_and_price
from livervol.segment.liver_edge import outline_of
from livervol.segment.liver_net import LATTICE_MM
from livervol.segment.liver_search import dice_of

sys.path.insert(0, str(models_folder() / MODEL))
from cases import fold_of
from evaluate import fold_models, labelled_scan

SCANS = ("sabs_02", "sabs_05", "sabs_10", "sabs_18", "sabs_24", "sabs_29", "lits_003", "lits_005", "lits_012",
         "chaos_mr_02", "chaos_mr_08", "chaos_mr_20")  # fmt: skip

#: Continuous area to faces of voxels: the mean of |n1| + |n2| + |n3| over directions is 1.5.
FACES = 1 / 1.5


def graph_cut(cost: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Least sum of costs inside and prices of cut faces."""
    graph = maxflow.Graph[float]()
    nodes = graph.add_grid_nodes(cost.shape)
    for axis in range(3):
        step = np.zeros((3, 3, 3))
        step[tuple(2 if a == axis else 1 for a in range(3))] = 1
        graph.add_grid_edges(nodes, weights=FACES * price.astype(float), structure=step, symmetric=True)
    graph.add_grid_tedges(nodes, np.maximum(-cost, 0).astype(float), np.maximum(cost, 0).astype(float))
    graph.maxflow()
    # False: the source's side, whose ties to the sink (the costs of being inside) are cut
    found: np.ndarray = ~graph.get_grid_segments(nodes)
    return found


def random_walk(values: np.ndarray, cost: np.ndarray, spread: float) -> np.ndarray:
    """Liver where a walker reaches sure liver before sure surroundings."""
    seeds = np.where(cost <= 0.9 - MOST_NATS, 1, np.where(cost >= MOST_NATS - 0.9, 2, 0)).astype(np.int32)
    found: np.ndarray = random_walker(values / (4 * spread), seeds, beta=30, mode="cg_j", tol=1e-3) == 1
    return found


def level_set(values: np.ndarray, cost: np.ndarray, spread: float) -> np.ndarray:
    """Twenty rounds of the active contour towards edges."""
    steep = np.sqrt(sum(np.square(np.gradient(values, axis=axis)) for axis in range(3)))
    edge = 1 / (1 + np.square(steep / (2 * spread)))
    found: np.ndarray = morphological_geodesic_active_contour(
        edge, 20, (cost < 0).astype(np.int8), smoothing=1, threshold=0.3, balloon=0
    )
    return found > 0


def main() -> None:
    """Print a row for each scan and way, then the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--scans", nargs="*", default=SCANS)
    chosen = parser.parse_args()
    shared = os.environ.get("LIVERVOL_SHARED")
    if not shared:
        sys.exit("set LIVERVOL_SHARED to the folder that holds scans/")
    rows: dict[str, list[tuple[float, float]]] = {}
    for name in chosen.scans:
        scan, drawn = labelled_scan(Path(shared) / "scans", name)
        models = fold_models(chosen.work, fold_of(name))
        view, place, _ = first_view(straight_scan(scan, LATTICE_MM), models["prior"], models["card"])
        truth = Segmentation(drawn.astype(np.uint8), scan.grid, {1: "liver"}).resampled(view.grid).mask()
        cost, price, smooth, spread = votes_and_price(view, place)
        cut = smooth_cut(cost, price, view.grid.spacing_mm, ROUNDS)
        ways: dict[str, Callable[[], np.ndarray]] = {
            "votes alone": lambda cost=cost: cost < 0,
            "smooth cut": lambda c=cost, p=price, v=view: smooth_cut(c, p, v.grid.spacing_mm, ROUNDS) > 0.5,
            "edge network": lambda v=view, m=cut, p=place, e=models["edge"]: outline_of(v, m, p, e) > 0.5,
            "graph cut": lambda c=cost, p=price: graph_cut(c, p),
            "random walk": lambda v=view, c=cost, s=spread: random_walk(v.values, c, s),
            "level set": lambda v=smooth, c=cost, s=spread: level_set(v, c, s),
        }
        for way, outline in ways.items():
            start = time.process_time()
            mask = keep_largest(outline().astype(np.uint8)) != 0
            rows.setdefault(way, []).append((dice_of(mask, truth), time.process_time() - start))
        print(name, {way: round(row[-1][0], 4) for way, row in rows.items()}, flush=True)
    for way, row in rows.items():
        print(f"{way:14} mean Dice {np.mean(row, axis=0)[0]:.4f}, {np.mean(row, axis=0)[1]:.1f} s CPU")


if __name__ == "__main__":
    main()
