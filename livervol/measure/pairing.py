"""The same lesion across visits: numbers stay, new lesions get new ones, doubtful matches are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from livervol.scan import Segmentation

__all__ = ["MATCH_DISTANCE_MM", "Pairing", "pair_lesions", "renumbered"]

#: Two outlines are candidates for one lesion when their centres lie within this distance or within the sum of their
#: equivalent radii, whichever is larger: breathing and positioning move a liver by 10 to 15 mm between visits after
#: its centre has been lined up.
MATCH_DISTANCE_MM = 15.0

#: A match is doubtful when another candidate is less than this factor farther away than the chosen one.
AMBIGUITY_RATIO = 1.5


@dataclass(frozen=True)
class Pairing:
    """``numbers`` maps each later lesion to its lasting number; ``warnings`` name matches a reader should confirm."""

    numbers: Mapping[int, int]
    new: tuple[int, ...]
    vanished: tuple[int, ...]
    warnings: tuple[str, ...]


def _bodies(segmentation: Segmentation) -> tuple[list[int], NDArray[np.float64], NDArray[np.float64]]:
    """Numbers, LPS centres (n, 3) in mm and equivalent sphere radii (n,) in mm."""
    index = np.argwhere(segmentation.labels != 0)
    values = segmentation.labels[tuple(index.T)]
    numbers = [int(v) for v in np.unique(values)]
    centres = np.array([segmentation.grid.index_to_lps(index[values == n].mean(axis=0)) for n in numbers])
    volumes_mm3 = np.array([(values == n).sum() * segmentation.grid.voxel_ml * 1000 for n in numbers])
    return numbers, centres.reshape(-1, 3), np.cbrt(volumes_mm3 * 3 / (4 * np.pi))


def _centre(mask: Segmentation) -> NDArray[np.float64]:
    return mask.grid.index_to_lps(np.argwhere(mask.labels != 0).mean(axis=0))


def _last_seen(
    earlier: Sequence[tuple[Segmentation, Segmentation]],
) -> tuple[list[int], NDArray[np.float64], NDArray[np.float64]]:
    """Every lesion of the earlier visits where it was last seen, its centre relative to that visit's liver."""
    places: dict[int, tuple[NDArray[np.float64], float]] = {}
    for lesions, liver in earlier:
        numbers, centres, radii = _bodies(lesions)
        middle = _centre(liver) if numbers else np.zeros(3)
        for number, centre, radius in zip(numbers, centres, radii, strict=True):
            places[number] = (centre - middle, float(radius))
    known = sorted(places)
    return known, np.array([places[n][0] for n in known]).reshape(-1, 3), np.array([places[n][1] for n in known])


def pair_lesions(
    earlier: Sequence[tuple[Segmentation, Segmentation]], after: Segmentation, liver_after: Segmentation
) -> Pairing:
    """Match a visit's lesions with those of earlier visits by the distance of centres relative to the liver's centre.

    ``earlier`` are (lesions, liver) of each earlier visit in order; their values are lasting numbers, and a lesion is
    looked for where it was last seen. Every lesion of ``after`` gets the number of its match, or, when new, the next
    number never used. One-to-one, smallest total distance (Hungarian method) among pairs within
    ``max(MATCH_DISTANCE_MM, sum of equivalent radii)``.
    """
    old, old_centres, old_radii = _last_seen(earlier)
    late, late_centres, late_radii = _bodies(after)
    numbers: dict[int, int] = {}
    warnings: list[str] = []
    if old and late:
        late_centres = late_centres - _centre(liver_after)
        distance = np.linalg.norm(old_centres[:, None] - late_centres[None], axis=2)
        allowed = distance <= np.maximum(MATCH_DISTANCE_MM, old_radii[:, None] + late_radii[None])
        rows, columns = linear_sum_assignment(np.where(allowed, distance, 1e6))
        for i, j in zip(rows, columns, strict=True):
            if not allowed[i, j]:
                continue
            numbers[late[j]] = old[i]
            rivals = np.concatenate([distance[i, allowed[i]], distance[allowed[:, j], j]])
            close = int((rivals < max(AMBIGUITY_RATIO * distance[i, j], 1e-9)).sum()) - 2
            if close > 0:
                warnings.append(
                    f"lesion {old[i]}: its match at the later visit is doubtful, {close} other candidate(s) lie as "
                    f"near ({distance[i, j]:.0f} mm). Confirm the pair."
                )
    following = max(old, default=0)
    new = []
    for number in late:
        if number not in numbers:
            following += 1
            numbers[number] = following
            new.append(following)
    vanished = tuple(n for n in old if n not in numbers.values())
    return Pairing(MappingProxyType(numbers), tuple(new), vanished, tuple(warnings))


def renumbered(segmentation: Segmentation, numbers: Mapping[int, int]) -> Segmentation:
    """The segmentation with each value replaced by its lasting number; names become ``lesion <number>``."""
    table = np.zeros(int(segmentation.labels.max()) + 1, dtype=np.uint16)
    for value, number in numbers.items():
        if value < len(table):
            table[value] = number
    labels = table[segmentation.labels]
    if labels.max() <= 255:
        labels = labels.astype(np.uint8)
    return replace(segmentation, labels=labels, names={n: f"lesion {n}" for n in sorted(numbers.values())})
