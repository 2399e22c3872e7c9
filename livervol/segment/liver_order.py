"""Whether the organs round the liver lie where they do in a patient: mirrored and turned volumes are told by it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from livervol.segment.liver_net import NEIGHBOURS

__all__ = ["DRAWN_IN_MR", "Place", "misplaced", "organ_places"]

#: Centroid of an organ as LPS mm in (z, y, x) order.
Place = tuple[float, float, float]

#: Smallest volume at which an organ's place is believed, in ml.
LEAST_ML = 20.0

#: What the network learned to name in MR; elsewhere its names for other organs are not believed there.
DRAWN_IN_MR = ("liver", "spleen", "right kidney", "left kidney")

#: Organ, other organ, axis, and how far (mm) the first must lie beyond the second along it (left, back, head are
#: positive). Over 19 labelled scans the least were 125, 90, 24 and 7 mm.
RULES = (
    ("spleen", "liver", 2, 50.0, "to the left of"),
    ("left kidney", "right kidney", 2, 20.0, "to the left of"),
    ("aorta", "liver", 1, -5.0, "behind"),
    ("liver", "right kidney", 0, -20.0, "above"),
)


def organ_places(classes: NDArray[np.float32], origin_zyx_mm: NDArray[np.float64], side_mm: float) -> dict[str, Place]:
    """Centroids of the liver and its neighbours from class probabilities (11, nz, ny, nx) on a straight lattice."""
    winner = classes.argmax(axis=0)
    places = {}
    for value, name in enumerate(("liver", *NEIGHBOURS), start=1):
        index = np.argwhere(winner == value)
        if len(index) * side_mm**3 / 1000 >= LEAST_ML:
            z, y, x = origin_zyx_mm + side_mm * index.mean(axis=0)
            places[name] = (float(z), float(y), float(x))
    return places


def misplaced(places: Mapping[str, Place]) -> tuple[str, str] | None:
    """What is expected and what was found of the first two organs that lie otherwise than in a patient, or None."""
    for one, other, axis, least_mm, word in RULES:
        if one in places and other in places:
            away = places[one][axis] - places[other][axis]
            if away < least_mm:
                return f"the {one} {word} the {other}", f"{abs(away):.0f} mm to the other side"
    return None
