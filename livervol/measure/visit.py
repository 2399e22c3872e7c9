"""One visit's numbers: liver, tumour, segments and lesions, with warnings where a number is implausible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livervol.kernels.components import component_stats
from livervol.kernels.tally import label_counts
from livervol.measure.diameter import Rules
from livervol.measure.lesions import measure_lesions, placed
from livervol.measure.volume import COUNTED, Box, label_places, volume_ml
from livervol.records import Lesion, Measurement
from livervol.scan import Segmentation

__all__ = [
    "PLAUSIBLE_LIVER_ML",
    "VisitMeasurements",
    "VisitParts",
    "at_sites",
    "liver_warnings",
    "measure_visit",
    "summed",
    "visit_parts",
]

#: Liver volumes outside this range are reported with a warning. An engineering choice: adult livers in surgical series
#: lie between about 0.7 and 3 litres; polycystic or heavily metastatic ones above.
PLAUSIBLE_LIVER_ML = (500.0, 4000.0)

#: A second piece of liver this large, as a share of the whole, is not a stray voxel.
PIECE_SHARE = 0.02

#: Segments that add up to something else than the liver by more than this share.
SEGMENTS_SHARE = 0.02


@dataclass(frozen=True)
class VisitMeasurements:
    """``measurements`` of liver, tumour, segments (dotted names as in measurements.json), ``lesions``, ``warnings``."""

    measurements: tuple[Measurement, ...]
    lesions: tuple[Lesion, ...] = ()
    warnings: tuple[str, ...] = ()

    def value(self, name: str) -> float | None:
        """The value of that name, None when it is absent or was never taken."""
        return next((m.value for m in self.measurements if m.name == name), None)


def measure_visit(
    liver: Segmentation,
    lesions: Segmentation | None = None,
    viable: Segmentation | None = None,
    segments: Segmentation | None = None,
    *,
    uncertain: Segmentation | None = None,
    rules: Rules | None = None,
) -> VisitMeasurements:
    """Volumes (ml), necrosis (%) and lesions of one visit.

    ``liver`` includes lesions and intrahepatic vessels (TLV). Functional volume is the liver that is not lesion: TLV
    minus tumour when the lesions lie inside the liver, as they should. Tumour necrosis is over all lesions together.
    Every lesion is taken to lie in the liver; ``visit_parts``, ``at_sites`` and ``summed`` do it with other sites.
    Numbers that cannot be had are absent with the reason. Raises ``GridError`` for masks on different grids,
    ``LivervolError`` for viable voxels outside their lesion.
    """
    return summed(visit_parts(liver, lesions, viable, segments, uncertain=uncertain, rules=rules))


def visit_parts(
    liver: Segmentation,
    lesions: Segmentation | None = None,
    viable: Segmentation | None = None,
    segments: Segmentation | None = None,
    *,
    uncertain: Segmentation | None = None,
    rules: Rules | None = None,
) -> VisitParts:
    """What ``measure_visit`` puts together; same errors."""
    for other in (lesions, viable, segments, uncertain):
        if other is not None:
            other.require_grid(liver.grid)
    found: tuple[Lesion, ...] | None = None
    inside: list[tuple[int, int, int]] = []
    if lesions is not None:
        found = measure_lesions(lesions, viable, uncertain=uncertain, segments=segments, rules=rules)
        inside = [
            (number, count, int(np.count_nonzero((lesions.labels[box] == number) & (liver.labels[box] != 0))))
            for number, count, box in label_places(lesions)
        ]
    counted = None
    if segments is not None:
        counts = label_counts(segments.labels).tolist()
        counted = {n: counts[n] if n < len(counts) else 0 for n in sorted(v for v in segments.names if v > 0)}
    total_ml = volume_ml(liver)
    return VisitParts(
        total_ml=total_ml,
        voxel_ml=liver.grid.voxel_ml,
        liver_warnings=tuple(liver_warnings(liver.labels, liver.grid.voxel_ml, total_ml)),
        lesions=found,
        judged=viable is not None,
        in_liver=tuple(inside),
        segment_voxels=counted,
        segments_by="" if segments is None else segments.made_by,
    )


@dataclass(frozen=True)
class VisitParts:
    """What a visit's numbers are put together from.

    ``total_ml`` liver volume, ``voxel_ml`` of one voxel, ``lesions`` measured one by one (None: no lesion mask),
    ``judged`` whether viability was, ``in_liver`` (number, voxels, voxels inside the liver) of each lesion present,
    ``segment_voxels`` by Couinaud value (None: no segments), ``segments_by`` what drew them.
    """

    total_ml: float
    voxel_ml: float
    liver_warnings: tuple[str, ...] = ()
    lesions: tuple[Lesion, ...] | None = None
    judged: bool = False
    in_liver: tuple[tuple[int, int, int], ...] = ()
    segment_voxels: Mapping[int, int] | None = None
    segments_by: str = ""


def at_sites(parts: VisitParts, sites: Mapping[int, str]) -> VisitParts:
    """The same visit with lesions at their sites: only those of the liver enter tumour and functional volume.

    ``sites`` by lesion number, words of ``records.SITES``; errors as ``lesions.placed``.
    """
    if parts.lesions is None and not sites:
        return parts
    return replace(parts, lesions=placed(parts.lesions or (), sites))


def summed(parts: VisitParts) -> VisitMeasurements:
    """A visit's measurements from its parts, as ``measure_visit`` gives them."""
    total_ml = parts.total_ml
    measurements = [Measurement("liver.volume_ml", total_ml, "ml", COUNTED, "liver")]
    warnings = list(parts.liver_warnings)
    if parts.lesions is None:
        reason = "no lesion mask was given"
        measurements.append(Measurement("liver.functional_volume_ml", None, "ml", of="liver", reason=reason))
        measurements += [Measurement(n, None, u, of="tumor", reason=reason) for n, u in _TUMOR.items()]
    else:
        in_liver_ml, outside_ml = _tumor_in_liver(parts, warnings)
        method = "liver voxels that are not lesion" if outside_ml else "liver minus tumour"
        functional = Measurement("liver.functional_volume_ml", total_ml - in_liver_ml, "ml", method, "liver")
        measurements.append(functional)
        measurements += _tumor(parts.lesions, parts.judged)
    if parts.segment_voxels is not None:
        measurements += _segments(parts, warnings)
    return VisitMeasurements(tuple(measurements), parts.lesions or (), tuple(warnings))


_TUMOR = {"tumor.volume_ml": "ml", "tumor.viable_volume_ml": "ml", "tumor.necrosis_percent": "%"}


def _tumor(lesions: tuple[Lesion, ...], judged: bool) -> list[Measurement]:
    which = "all lesions" if all(lesion.site == "liver" for lesion in lesions) else "all lesions of the liver"
    lesions = tuple(lesion for lesion in lesions if lesion.site == "liver")
    total = sum(lesion.value("volume_ml") or 0.0 for lesion in lesions)
    rows = [Measurement("tumor.volume_ml", total, "ml", f"{COUNTED}, {which}", "tumor")]
    if not judged:
        reason = "no viable mask: viability was not judged"
        return rows + [Measurement(n, None, u, of="tumor", reason=reason) for n, u in list(_TUMOR.items())[1:]]
    alive = sum(lesion.value("viable_volume_ml") or 0.0 for lesion in lesions)
    rows.append(Measurement("tumor.viable_volume_ml", alive, "ml", f"{COUNTED}, {which}", "tumor"))
    if total == 0:
        return [*rows, Measurement("tumor.necrosis_percent", None, "%", of="tumor", reason="no tumour")]
    percent = 100.0 * (1.0 - alive / total)
    return [*rows, Measurement("tumor.necrosis_percent", percent, "%", f"not viable, of {which}", "tumor")]


def _tumor_in_liver(parts: VisitParts, warnings: list[str]) -> tuple[float, float]:
    """Lesion volume inside and outside the liver in ml; what lies outside is warned about lesion by lesion."""
    voxel_ml = parts.voxel_ml
    elsewhere = {lesion.number for lesion in parts.lesions or () if lesion.site != "liver"}
    inside_all, outside_all = 0, 0
    for number, count, inside in parts.in_liver:
        if number in elsewhere:
            continue
        outside = count - inside
        inside_all, outside_all = inside_all + inside, outside_all + outside
        if outside:
            share = 100.0 * outside / count
            warnings.append(
                f"lesion {number} lies partly outside the liver: {outside * voxel_ml:.2f} ml, {share:.1f} %"
            )
    return inside_all * voxel_ml, outside_all * voxel_ml


def liver_warnings(liver: NDArray[Any], voxel_ml: float, total_ml: float, box: Box | None = None) -> list[str]:
    """Sentences about an implausible liver mask: volume, cut-off ends and sides, separate pieces.

    ``box``, where it is known, holds every liver voxel.
    """
    warnings = []
    low, high = PLAUSIBLE_LIVER_ML
    if not low <= total_ml <= high:
        warnings.append(f"liver volume is implausible: {total_ml:.0f} ml, usually {low:.0f} to {high:.0f} ml")
    if total_ml == 0:
        return warnings
    ends = [name for name, end in (("first", 0), ("last", -1)) if _reaches(liver, 0, end, box)]
    if ends:
        warnings.append(f"liver touches the {' and '.join(ends)} slice: it may be cut off and its volume too small")
    if any(_reaches(liver, axis, end, box) for axis in (1, 2) for end in (0, -1)):
        warnings.append("liver touches the side of the image: it may be cut off and its volume too small")
    voxels = component_stats(liver if box is None else liver[box] != 0, 26).voxels
    large = np.sort(voxels[voxels >= PIECE_SHARE * voxels.sum()])[::-1]
    if len(large) > 1:
        sizes = ", ".join(f"{int(n) * voxel_ml:.0f}" for n in large)
        warnings.append(f"liver is in {len(large)} separate pieces: {sizes} ml")
    return warnings


def _reaches(liver: NDArray[Any], axis: int, end: int, box: Box | None) -> bool:
    if box is not None and (box[axis].start > 0 if end == 0 else box[axis].stop < liver.shape[axis]):
        return False
    return bool(liver[tuple(end if k == axis else slice(None) for k in range(3))].any())


def _segments(parts: VisitParts, warnings: list[str]) -> list[Measurement]:
    liver_ml = parts.total_ml
    volumes = {n: count * parts.voxel_ml for n, count in (parts.segment_voxels or {}).items()}
    together = sum(volumes.values())
    if liver_ml > 0 and abs(together - liver_ml) > SEGMENTS_SHARE * liver_ml:
        warnings.append(f"segments add up to {together:.0f} ml, the liver is {liver_ml:.0f} ml")
    method = COUNTED + (f", {parts.segments_by}" if parts.segments_by else "")
    return [Measurement(f"segments.{n}.volume_ml", v, "ml", method, f"segment {n}") for n, v in volumes.items()]
