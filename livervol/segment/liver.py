"""The liver by a network that does not depend on contrast phase or modality and an atlas that learns the scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from livervol.errors import ScanError, refusal
from livervol.grid import Grid
from livervol.kernels.beside import Beside
from livervol.kernels.components import keep_largest
from livervol.kernels.fill import fill_holes
from livervol.scan import Scan, Segmentation
from livervol.segment.body import StraightScan, straight_scan
from livervol.segment.liver_cut import cut_liver
from livervol.segment.liver_edge import EDGE_MODEL, outline_of
from livervol.segment.liver_net import LATTICE_MM
from livervol.segment.liver_order import DRAWN_IN_MR, misplaced
from livervol.segment.liver_pose import find_pose
from livervol.segment.liver_prior import LIVER, LiverPrior, load_prior
from livervol.segment.liver_search import LiverView, dice_of, find_liver, survey_of
from livervol.segment.liver_turned import better_turned
from livervol.segment.liver_warp import liver_map
from livervol.segment.model import ModelCard, find_model

__all__ = ["MODEL", "TRUSTED_SOFT_DICE", "LiverResult", "first_view", "segment_liver"]

MODEL = "liver_v3"

#: A liver smaller than this is not credible in any scan of an adult, however cropped.
LEAST_ML = 100.0
#: Below this evidence (nats per ml) the scan is no likelier with a posed liver than without anatomy. Noise and a body
#: of water gave at most 0.02, real abdomens 0.36 to 0.65, a small incomplete MR 0.11.
LEAST_EVIDENCE = 0.05
#: Dice of the network's probabilities with their own mask below which nothing is answered; real livers: 0.87 or more.
LEAST_SOFT_DICE = 0.50
#: The same, below which the atlas' probabilities, which learn the scan's grey values, take the place of the network's.
TRUSTED_SOFT_DICE = 0.80
#: Dice of the outline with the network's own mask below which the atlas, not the network, is taken to be misplaced.
LEAST_CONSENT = 0.6
#: Where the two parts of confidence are 0 and 1, and the confidence below which a reader is warned.
SOFT_DICE, CONSENT, CONFIDENT = (0.85, 0.95), (0.75, 0.97), 0.65
#: Median liver attenuation outside this range is implausible in any phase (HU).
PLAUSIBLE_HU = (0.0, 220.0)
#: Doubt of a voxel (0 to 1) from which it is marked as uncertain.
UNCERTAIN = 0.5


@dataclass(frozen=True, eq=False)
class LiverResult:
    """A liver mask with what is known about its worth.

    ``segmentation``  names {1: "liver"} on the scan's grid.
    ``confidence``    0 to 1, see ``confidence_of``. A rank of doubt, not a probability.
    ``warnings``      sentences a reader of the results must see.
    ``facts``         numbers by name: volume_ml, parenchyma_median (scan unit), soft_dice and agreement (of the
                      network), consent (of atlas and grey values with it), evidence (nats per ml), uncertain_ml.
    ``uncertain``     names {1: "uncertain"} on the scan's grid: where the network's probability is near one half or its
                      views of the scan differ; None from a method that does not tell.
    """

    segmentation: Segmentation
    confidence: float
    warnings: tuple[str, ...]
    facts: Mapping[str, float]
    uncertain: Segmentation | None = None


def segment_liver(
    scan: Scan, *, prior: LiverPrior | None = None, card: ModelCard | None = None, edge: ModelCard | None = None
) -> LiverResult:
    """Liver mask of one scan.

    Includes intrahepatic vessels and tumours; leaves out gallbladder, inferior vena cava and the portal vein outside
    the liver. ``prior``, ``card`` and ``edge`` are another atlas and other weights of the two networks.
    Raises ``ScanError`` when no credible liver is found.
    """
    prior, straight = prior or load_prior(), straight_scan(scan, LATTICE_MM)
    view, place, evidence = first_view(straight, prior, card or find_model(MODEL))
    membership = cut_liver(view, place)
    consent = dice_of(membership > 0.5, view.probability > 0.5)
    if consent < LEAST_CONSENT:
        if view.soft_dice < SOFT_DICE[0]:
            raise _refusal("network and atlas at one place", f"outlines that agree by {consent:.2f}")
        membership = cut_liver(view, None)
    elif view.soft_dice >= TRUSTED_SOFT_DICE:
        membership = outline_of(view, membership, place, edge or find_model(EDGE_MODEL))
    box, part = _part(scan.grid, view.grid)
    mask = np.zeros(scan.grid.shape_zyx, np.uint8)
    mask[box] = fill_holes(keep_largest(_on(part, view.grid, membership) > 0.5))
    volume_ml = float(np.count_nonzero(mask)) * scan.grid.voxel_ml
    if volume_ml < LEAST_ML:
        raise _refusal(f"a liver of at least {LEAST_ML:g} ml", f"{volume_ml:.0f} ml")
    doubt = np.minimum(1.0, 1.0 - np.abs(2.0 * view.probability - 1.0) + 2.0 * view.spread)
    uncertain = np.zeros_like(mask)
    uncertain[box] = _on(part, view.grid, doubt) > UNCERTAIN
    facts = {
        "volume_ml": volume_ml,
        "parenchyma_median": float(np.median(scan.voxels[box][mask[box].view(bool)])),
        "soft_dice": view.soft_dice,
        "agreement": view.agreement,
        "consent": consent,
        "evidence": evidence,
        "uncertain_ml": float(np.count_nonzero(uncertain)) * scan.grid.voxel_ml,
    }
    confidence = confidence_of(view.soft_dice, consent)
    if confidence < CONFIDENT:
        way = better_turned(straight, prior)
        if way is not None:
            raise _refusal("a patient the way the header says", f"a scan that fits much better {way}")
    return LiverResult(
        Segmentation(mask, scan.grid, {1: "liver"}, MODEL),
        confidence,
        _doubts(scan, confidence, facts),
        MappingProxyType(facts),
        Segmentation(uncertain, scan.grid, {1: "uncertain"}, MODEL),
    )


def first_view(
    straight: StraightScan, prior: LiverPrior, card: ModelCard
) -> tuple[LiverView, NDArray[np.float32], float]:
    """The first network's view of the liver, the atlas' share of liver on its grid, the evidence for the atlas' pose.

    Raises ``ScanError`` when either finds no credible liver or the organs lie otherwise than in a patient.
    """
    with Beside() as beside:
        # neither the network's first look nor the atlas needs the other
        survey = beside.begin(partial(survey_of, straight, card))
        pose = find_pose(straight, prior)
        if pose.evidence < LEAST_EVIDENCE:
            raise _refusal(f"evidence of at least {LEAST_EVIDENCE:g} nats per ml for a liver", f"{pose.evidence:.3f}")
        bent = liver_map(straight, prior, pose)
        place = bent.priors[..., LIVER]
        view = find_liver(straight, card, survey(), _on(straight.grid, bent.grid, place))
    if view is None:
        raise _refusal("a liver", "nothing that looks like one")
    if view.soft_dice < LEAST_SOFT_DICE:
        raise _refusal(f"probabilities that agree with their mask by {LEAST_SOFT_DICE:g}", f"{view.soft_dice:.2f}")
    wrong = misplaced({n: p for n, p in view.places.items() if straight.modality == "CT" or n in DRAWN_IN_MR})
    if wrong is not None:
        raise _refusal(*wrong)
    if view.soft_dice < TRUSTED_SOFT_DICE:
        view = replace(view, grid=bent.grid, values=bent.values, inside=bent.inside, probability=bent.probability,
                       spread=np.zeros_like(bent.probability))  # fmt: skip
    return view, _on(view.grid, bent.grid, place), float(pose.evidence)


def _part(grid: Grid, found: Grid) -> tuple[tuple[slice, slice, slice], Grid]:
    # the scan's voxels within the box of the map
    index = grid.lps_to_index(found.corners_lps_mm())
    first = np.clip(np.floor(index.min(axis=0)).astype(int) - 1, 0, None)
    last = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 2, grid.shape_zyx)
    box = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return (box[0], box[1], box[2]), grid.crop(first.tolist(), last.tolist())


def _on(grid: Grid, source: Grid, values: NDArray[np.float32]) -> NDArray[np.float32]:
    scan = Scan(values.astype(np.float32, copy=False), source, "MR", "other")
    there: NDArray[np.float32] = scan.resampled(grid, outside=0.0).voxels
    return there


def confidence_of(soft_dice: float, consent: float) -> float:
    """Confidence 0 to 1 of an outline.

    Mean of two parts: how far the network's probabilities agree with their own mask (soft Dice), and how far the
    outline agrees with that mask after atlas and grey values have had their say (Dice).
    """
    parts = [
        min(1.0, max(0.0, (value - low) / (high - low)))
        for value, (low, high) in ((soft_dice, SOFT_DICE), (consent, CONSENT))
    ]
    return sum(parts) / 2


def _refusal(expected: str, got: str) -> ScanError:
    return ScanError(
        refusal("no credible liver in the scan", expected=expected, got=got, do="Check the scan, or give --liver.")
    )


def _doubts(scan: Scan, confidence: float, facts: Mapping[str, float]) -> tuple[str, ...]:
    doubts = []
    if confidence < CONFIDENT:
        doubts.append(f"the liver outline is uncertain: confidence {confidence:.2f}, usually above {CONFIDENT:.2f}.")
    low, high = PLAUSIBLE_HU
    if scan.modality == "CT" and not low <= facts["parenchyma_median"] <= high:
        doubts.append(
            f"liver attenuation is implausible: median {facts['parenchyma_median']:.0f} HU, usually {low:.0f} to "
            f"{high:.0f} HU."
        )
    return tuple(doubts)
