"""Lesions measured one by one: volumes, diameters, viable part, necrosis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from livervol.errors import LivervolError, refusal
from livervol.grid import Grid
from livervol.measure.diameter import Body, Rules, diameter_3d, in_slice_diameters, viable_diameters
from livervol.measure.volume import COUNTED, Box, label_places
from livervol.records import Lesion, Measurement
from livervol.scan import Segmentation

__all__ = ["MEASURED", "lesion_body", "measure_lesion", "measure_lesions", "placed"]

#: Every lesion carries these measurements, in this order, absent ones with the reason.
MEASURED = (
    "volume_ml",
    "longest_mm",
    "short_axis_mm",
    "diameter_3d_mm",
    "viable_longest_mm",
    "viable_perpendicular_mm",
    "viable_volume_ml",
    "necrosis_percent",
)

_UNITS = {"ml": "ml", "mm": "mm", "percent": "%"}


def measure_lesions(
    lesions: Segmentation,
    viable: Segmentation | None = None,
    *,
    uncertain: Segmentation | None = None,
    segments: Segmentation | None = None,
    rules: Rules | None = None,
) -> tuple[Lesion, ...]:
    """One Lesion per label value, with the measurements ``MEASURED`` (mm, ml, %).

    ``viable`` and ``uncertain`` label the viable and the undecidable voxels of lesion n with n. A value that is named
    but has no voxel is a lesion in state "absent": 0 ml, 0 mm. necrosis_percent is the share of the lesion that is not
    viable. Attribute ``site_segment`` is the Couinaud segment that holds most of the lesion.
    Raises ``GridError`` for masks on different grids, ``LivervolError`` for viable voxels outside their lesion.
    """
    rules = rules or Rules()
    for other in (viable, uncertain, segments):
        if other is not None:
            other.require_grid(lesions.grid)
    for part, what in ((viable, "viable"), (uncertain, "uncertain")):
        if part is not None:
            _require_nested(part, lesions, what)
    places = {number: (count, box) for number, count, box in label_places(lesions)}
    measured = []
    for number in sorted(v for v in lesions.names if v > 0):
        if number not in places:
            measured.append(_vanished(number, viable is not None))
            continue
        _, box = places[number]
        body = lesion_body(lesions.labels[box] == number, lesions.grid, box)
        parts = (_cut(viable, box, number), _cut(uncertain, box, number))
        measured.append(measure_lesion(number, body, parts, None if segments is None else segments.labels[box], rules))
    return tuple(measured)


def lesion_body(mask: NDArray[np.bool_], grid: Grid, box: Box) -> Body:
    """A lesion's mask in its tight box of the whole ``grid``."""
    return Body(mask, grid.crop([s.start for s in box], [s.stop for s in box]), box[0].start)


def measure_lesion(
    number: int,
    body: Body,
    parts: tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None],
    segments: NDArray[np.integer] | None,
    rules: Rules,
) -> Lesion:
    """One lesion of at least one voxel with the measurements ``MEASURED``.

    ``body`` as ``lesion_body`` makes it; ``parts`` the viable and the uncertain voxels in the same box (None: not
    judged), ``segments`` the Couinaud values there.
    """
    viable, uncertain = parts
    count = int(np.count_nonzero(body.mask))
    found = [
        Measurement("volume_ml", count * body.grid.voxel_ml, "ml", COUNTED),
        *in_slice_diameters(body, rules),
        diameter_3d(body, rules),
        *_viable_part(body, viable, uncertain, rules),
    ]
    where = f"lesion {number}"
    attributes = {} if segments is None else _site_segment(segments[body.mask])
    return Lesion(number, measurements=tuple(_named(m, where) for m in found), attributes=attributes)


def placed(lesions: Iterable[Lesion], sites: Mapping[int, str]) -> tuple[Lesion, ...]:
    """The lesions at their sites (words of ``records.SITES``); those not named lie in the liver.

    A lymph node is one by its site; only a lesion of the liver lies in a segment. Raises ``LivervolError`` for a number
    that is no lesion, ``CriteriaError`` for an unknown site.
    """
    lesions = tuple(lesions)
    unknown = sorted(set(sites) - {lesion.number for lesion in lesions})
    if unknown:
        raise LivervolError(
            refusal(
                "site of a lesion that is not there",
                expected=f"lesions {', '.join(str(lesion.number) for lesion in lesions) or '(none)'}",
                got=", ".join(map(str, unknown)),
                do="Sites are given by the values of the lesion mask.",
            )
        )
    return tuple(_at(lesion, sites[lesion.number]) if lesion.number in sites else lesion for lesion in lesions)


def _at(lesion: Lesion, site: str) -> Lesion:
    kept = {k: v for k, v in lesion.attributes.items() if k != "site_segment" or site == "liver"}
    return replace(lesion, site=site, node=site.endswith("_node"), attributes=kept)


def _named(measurement: Measurement, where: str) -> Measurement:
    m = measurement
    return Measurement(m.name, m.value, m.unit, m.method, where, m.interval, m.reason, m.line)


def _cut(part: Segmentation | None, box: Box, number: int) -> NDArray[np.bool_] | None:
    return None if part is None else part.labels[box] == number


def _viable_part(
    body: Body, viable: NDArray[np.bool_] | None, uncertain: NDArray[np.bool_] | None, rules: Rules
) -> list[Measurement]:
    if viable is None:
        reason = "no viable mask: viability was not judged"
        return [Measurement(name, None, _unit(name), reason=reason) for name in MEASURED[4:]]
    note = ""
    if uncertain is not None and uncertain.any():
        share = 100.0 * np.count_nonzero(uncertain & ~viable) / np.count_nonzero(body.mask)
        counted = "viable" if rules.uncertain_is_viable else "not viable"
        note = f", uncertain {share:.1f} % of the lesion counted as {counted}"
        if rules.uncertain_is_viable:
            viable = viable | uncertain
    count, total = int(np.count_nonzero(viable)), int(np.count_nonzero(body.mask))
    return [
        *viable_diameters(Body(viable, body.grid, body.first_plane), body, rules),
        Measurement("viable_volume_ml", count * body.grid.voxel_ml, "ml", COUNTED + note),
        Measurement("necrosis_percent", 100.0 * (total - count) / total, "%", "not viable, of the lesion" + note),
    ]


def _vanished(number: int, judged: bool) -> Lesion:
    where = f"lesion {number}"
    found = []
    for name in MEASURED:
        if name == "necrosis_percent" or (name in MEASURED[4:] and not judged):
            reason = "no voxel of this lesion" if judged else "no viable mask: viability was not judged"
            found.append(Measurement(name, None, _unit(name), of=where, reason=reason))
        else:
            found.append(Measurement(name, 0.0, _unit(name), "no voxel of this lesion", where))
    return Lesion(number, state="absent", measurements=tuple(found))


def _unit(name: str) -> str:
    return _UNITS[name.rsplit("_", 1)[1]]


def _site_segment(values: NDArray[np.integer]) -> dict[str, str]:
    inside = values[values > 0]
    return {} if inside.size == 0 else {"site_segment": str(int(np.bincount(inside).argmax()))}


def _require_nested(part: Segmentation, lesions: Segmentation, what: str) -> None:
    """Every voxel of ``part`` lies in the lesion of the same number."""
    for number, count, box in label_places(part):
        inside = np.count_nonzero((part.labels[box] == number) & (lesions.labels[box] == number))
        outside = count - int(inside)
        if outside:
            raise LivervolError(
                refusal(
                    f"{what} voxels lie outside their lesion",
                    expected=f"every {what} voxel of value {number} inside lesion {number}",
                    got=f"{outside} of {count} outside",
                    where=f"lesion {number}",
                    do=f"Cut the {what} mask with the lesion mask; its values are lesion numbers.",
                )
            )
