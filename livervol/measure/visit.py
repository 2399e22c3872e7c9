"""One visit's numbers: liver, tumour, segments and lesions, with warnings where a number is implausible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from livervol.kernels.components import component_stats
from livervol.kernels.tally import label_counts
from livervol.measure.diameter import Rules
from livervol.measure.lesions import measure_lesions
from livervol.measure.volume import COUNTED, label_places, volume_ml
from livervol.records import Lesion, Measurement
from livervol.scan import Segmentation

__all__ = ["PLAUSIBLE_LIVER_ML", "VisitMeasurements", "measure_visit"]

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
    Numbers that cannot be had are absent with the reason. Raises ``GridError`` for masks on different grids,
    ``LivervolError`` for viable voxels outside their lesion.
    """
    for other in (lesions, viable, segments, uncertain):
        if other is not None:
            other.require_grid(liver.grid)
    total_ml = volume_ml(liver)
    measurements = [Measurement("liver.volume_ml", total_ml, "ml", COUNTED, "liver")]
    warnings = _liver_warnings(liver, total_ml)
    if lesions is None:
        reason = "no lesion mask was given"
        measurements.append(Measurement("liver.functional_volume_ml", None, "ml", of="liver", reason=reason))
        measurements += [Measurement(n, None, u, of="tumor", reason=reason) for n, u in _TUMOR.items()]
        found: tuple[Lesion, ...] = ()
    else:
        found = measure_lesions(lesions, viable, uncertain=uncertain, segments=segments, rules=rules)
        in_liver_ml, outside_ml = _tumor_in_liver(liver, lesions, warnings)
        method = "liver voxels that are not lesion" if outside_ml else "liver minus tumour"
        functional = Measurement("liver.functional_volume_ml", total_ml - in_liver_ml, "ml", method, "liver")
        measurements.append(functional)
        measurements += _tumor(found, viable is not None)
    if segments is not None:
        measurements += _segments(segments, total_ml, warnings)
    return VisitMeasurements(tuple(measurements), found, tuple(warnings))


_TUMOR = {"tumor.volume_ml": "ml", "tumor.viable_volume_ml": "ml", "tumor.necrosis_percent": "%"}


def _tumor(lesions: tuple[Lesion, ...], judged: bool) -> list[Measurement]:
    total = sum(lesion.value("volume_ml") or 0.0 for lesion in lesions)
    rows = [Measurement("tumor.volume_ml", total, "ml", f"{COUNTED}, all lesions", "tumor")]
    if not judged:
        reason = "no viable mask: viability was not judged"
        return rows + [Measurement(n, None, u, of="tumor", reason=reason) for n, u in list(_TUMOR.items())[1:]]
    alive = sum(lesion.value("viable_volume_ml") or 0.0 for lesion in lesions)
    rows.append(Measurement("tumor.viable_volume_ml", alive, "ml", f"{COUNTED}, all lesions", "tumor"))
    if total == 0:
        return [*rows, Measurement("tumor.necrosis_percent", None, "%", of="tumor", reason="no tumour")]
    percent = 100.0 * (1.0 - alive / total)
    return [*rows, Measurement("tumor.necrosis_percent", percent, "%", "not viable, of all lesions", "tumor")]


def _tumor_in_liver(liver: Segmentation, lesions: Segmentation, warnings: list[str]) -> tuple[float, float]:
    """Lesion volume inside and outside the liver in ml; what lies outside is warned about lesion by lesion."""
    voxel_ml = liver.grid.voxel_ml
    inside_all, outside_all = 0, 0
    for number, count, box in label_places(lesions):
        inside = int(np.count_nonzero((lesions.labels[box] == number) & (liver.labels[box] != 0)))
        outside = count - inside
        inside_all, outside_all = inside_all + inside, outside_all + outside
        if outside:
            share = 100.0 * outside / count
            warnings.append(
                f"lesion {number} lies partly outside the liver: {outside * voxel_ml:.2f} ml, {share:.1f} %"
            )
    return inside_all * voxel_ml, outside_all * voxel_ml


def _liver_warnings(liver: Segmentation, total_ml: float) -> list[str]:
    warnings = []
    low, high = PLAUSIBLE_LIVER_ML
    if not low <= total_ml <= high:
        warnings.append(f"liver volume is implausible: {total_ml:.0f} ml, usually {low:.0f} to {high:.0f} ml")
    if total_ml == 0:
        return warnings
    ends = [name for name, plane in (("first", 0), ("last", -1)) if liver.labels[plane].any()]
    if ends:
        warnings.append(f"liver touches the {' and '.join(ends)} slice: it may be cut off and its volume too small")
    sides = (liver.labels[:, 0], liver.labels[:, -1], liver.labels[:, :, 0], liver.labels[:, :, -1])
    if any(side.any() for side in sides):
        warnings.append("liver touches the side of the image: it may be cut off and its volume too small")
    voxels = component_stats(liver.labels, 26).voxels
    large = np.sort(voxels[voxels >= PIECE_SHARE * voxels.sum()])[::-1]
    if len(large) > 1:
        sizes = ", ".join(f"{int(n) * liver.grid.voxel_ml:.0f}" for n in large)
        warnings.append(f"liver is in {len(large)} separate pieces: {sizes} ml")
    return warnings


def _segments(segments: Segmentation, liver_ml: float, warnings: list[str]) -> list[Measurement]:
    counts = label_counts(segments.labels).tolist()
    numbers = sorted(v for v in segments.names if v > 0)
    volumes = {n: (counts[n] if n < len(counts) else 0) * segments.grid.voxel_ml for n in numbers}
    together = sum(volumes.values())
    if liver_ml > 0 and abs(together - liver_ml) > SEGMENTS_SHARE * liver_ml:
        warnings.append(f"segments add up to {together:.0f} ml, the liver is {liver_ml:.0f} ml")
    method = COUNTED + (f", {segments.made_by}" if segments.made_by else "")
    return [Measurement(f"segments.{n}.volume_ml", v, "ml", method, f"segment {n}") for n, v in volumes.items()]
