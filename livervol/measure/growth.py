"""Growth of a future liver remnant between two visits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from livervol.errors import CriteriaError, refusal
from livervol.measure.resection import operation
from livervol.records import Measurement

__all__ = ["GROWTH_CRITERIA", "GrowthCriterion", "growth"]


@dataclass(frozen=True)
class GrowthCriterion:
    """A published least growth: ``least`` of the measurement ``of``; ``strict`` when it must be exceeded."""

    of: str
    least: float
    strict: bool
    liver: str
    source: str


#: When growth is called adequate.
GROWTH_CRITERIA: dict[str, GrowthCriterion] = {
    "ribero_2007": GrowthCriterion("hypertrophy_points", 5.0, True, "normal", "Ribero 2007, Br J Surg 94:1386-1394"),
    "leung_2014": GrowthCriterion("hypertrophy_points", 7.5, True, "normal", "Leung 2014, J Am Coll Surg 219:620-630"),
    "cirrhosis": GrowthCriterion("hypertrophy_points", 10.0, True, "cirrhosis", "clinical convention"),
    "shindoh_2013": GrowthCriterion(
        "kinetic_growth_rate", 2.0, False, "any", "Shindoh 2013, J Am Coll Surg 216:201-209"
    ),
}


def growth(slug: str, before_ml: float, after_ml: float, days: float, standard_ml: float) -> tuple[Measurement, ...]:
    """Growth of a remnant between two visits: % volume increase, degree of hypertrophy (points), kinetic growth rate.

    Hypertrophy is sFLR after minus sFLR before, with one eTLV (``standard_ml``) for both (Ribero 2007, Br J Surg
    94:1386); the rate is hypertrophy per week since portal vein occlusion (Shindoh 2013, J Am Coll Surg 216:201).
    ``days`` counts from the occlusion. Volumes in ml; all must be above 0, otherwise ``CriteriaError``.
    """
    given = {"volume before": before_ml, "volume after": after_ml, "days": days, "standard volume": standard_ml}
    for what, value in given.items():
        if not (math.isfinite(value) and value > 0):
            raise CriteriaError(refusal(f"growth: {what}", expected="a number above 0", got=f"{value:g}"))
    hypertrophy = 100.0 * (after_ml - before_ml) / standard_ml
    stem = f"remnant.{operation(slug).slug}"
    of = operation(slug).name
    method = f"sFLR after minus before, eTLV {standard_ml:.0f} ml"
    return (
        Measurement(f"{stem}.increase_percent", 100.0 * (after_ml - before_ml) / before_ml, "%", "of FLRV before", of),
        Measurement(f"{stem}.hypertrophy_points", hypertrophy, "points", method, of),
        Measurement(
            f"{stem}.kinetic_growth_rate", 7.0 * hypertrophy / days, "points/week", f"{method}, {days:g} days", of
        ),
    )
