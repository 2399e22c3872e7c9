"""How certain a response is: from the intervals of the diameters to the probability of CR, PR, SD and PD at each visit.

Measurement errors are normal, with the standard deviation the interval implies, and drawn by a fixed seed. Whatever one
draw measures goes through the whole course: baseline, nadir and the visit share the same drawn diameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from livervol.errors import CriteriaError, refusal
from livervol.records import Course, Lesion, Measurement, Visit
from livervol.response.assess import assess, rules
from livervol.response.course import Roles, is_node, sum_of_targets
from livervol.response.mrecist import is_atypical, mrecist_sizer
from livervol.response.recist import recist_sizer
from livervol.response.rulebook import TOLERANCE, Rulebook, Value
from livervol.response.timepoint import Criterion, open_course

__all__ = ["CATEGORIES", "ErrorModel", "ResponseProbability", "response_probabilities"]

#: The categories a probability is given for.
CATEGORIES = ("CR", "PR", "SD", "PD", "NE")
_SIZERS = {"recist11": recist_sizer, "mrecist": mrecist_sizer}
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class ErrorModel:
    """How measurement errors behave (choices of this program).

    ``lesion_correlation``: share of the error variance that stays with a lesion over its visits (an outline read too
    wide every time) and cancels in part; ``visit_correlation``: share common to all lesions of a visit (a thick slice,
    one reader's day). ``default_half_width_mm`` is the half 95 % interval of a diameter that brings none; 0 takes it as
    exact. A diameter of 0 without an interval is exact.
    """

    lesion_correlation: float = 0.0
    visit_correlation: float = 0.0
    default_half_width_mm: float = 0.0
    draws: int = 20_000
    seed: int = 20_240_101
    level: float = 0.95

    def __post_init__(self) -> None:
        a, b = self.lesion_correlation, self.visit_correlation
        if not (a >= 0 and b >= 0 and a + b <= 1):
            raise CriteriaError(
                refusal("error correlations", expected="from 0, together at most 1", got=f"{a:g}, {b:g}")
            )
        if self.default_half_width_mm < 0 or self.draws < 1 or not 0 < self.level < 1:
            expected = "a half width from 0, one draw or more, a level between 0 and 1"
            raise CriteriaError(refusal("error model", expected=expected, got=str(self)))


@dataclass(frozen=True)
class ResponseProbability:
    """The target response of a visit with its probabilities, in the order of ``CATEGORIES``.

    ``flips`` is true when the reported category holds in less than ``level`` of the draws: within measurement error it
    would be another one. ``change_interval_percent`` bounds the change of the sum from baseline, None without a sum.
    """

    visit: int
    category: str
    probabilities: Mapping[str, float]
    flips: bool
    change_interval_percent: tuple[float, float] | None

    @property
    def reason(self) -> str:
        """The sentence for a report."""
        shown = ", ".join(f"{name} {100 * p:.0f} %" for name, p in self.probabilities.items() if p > 0)
        word = "would flip" if self.flips else "holds"
        return f"visit {self.visit}: target response {self.category} {word} within measurement error ({shown})"


def response_probabilities(
    course: Course,
    criterion: str = "recist11",
    model: ErrorModel | None = None,
    parameters: Mapping[str, Value] | None = None,
) -> tuple[ResponseProbability, ...]:
    """Probability of each target response (dimensionless) at every visit after baseline, by Monte Carlo.

    ``criterion`` is recist11 or mrecist with its rulebook's ``parameters``. The intervals of the diameters are taken as
    symmetric about the measured value; negative draws are 0. Non-target and new lesions are not uncertain here. A
    course without targets gives nothing. Raises ``CriteriaError`` for another criterion.
    """
    model = model or ErrorModel()
    if criterion not in _SIZERS:
        raise CriteriaError(refusal("criterion", expected=", ".join(_SIZERS), got=repr(criterion)))
    rows = assess(course, criterion, parameters)
    book = rules(criterion, parameters)
    course, state, _ = open_course(course, Criterion(criterion, _SIZERS[criterion], accepts_sums=True), book)
    visits = [visit for visit in course.visits if visit.number >= state.roles.baseline.number]
    if not state.has_targets or len(visits) < 2:
        return ()
    read = [_sum_cells(v) if state.sums else _cells(v, state.roles, criterion, state.size_of, model) for v in visits]
    drawn = _draw([cells for cells, _ in read], model)
    reported = {row.visit: row for row in rows}
    others = [(reported[v.number].non_target in ("", "CR") and reported[v.number].new_lesion != "yes") for v in visits]
    judged = _judge(drawn, [missing for _, missing in read], [cells for cells, _ in read], others, book)
    found = []
    for n, visit in enumerate(visits[1:], start=1):
        categories = judged[n]
        shares = {name: float(np.mean(categories == k)) for k, name in enumerate(CATEGORIES)}
        word = reported[visit.number].target
        change = _change(drawn[0].sum(axis=1), drawn[n].sum(axis=1), read[0][1] or read[n][1], model.level)
        found.append(ResponseProbability(visit.number, word, shares, shares.get(word, 0.0) < model.level, change))
    return tuple(found)


@dataclass(frozen=True)
class _Cell:
    """One measured diameter: whose, how large, its standard deviation, and below what it counts as normal."""

    lesion: int
    value: float
    deviation: float
    normal_mm: str


def _deviation(measurement: Measurement | None, value: float, model_half_width: float) -> float:
    if measurement is not None and measurement.interval is not None and measurement.value == value:
        interval = measurement.interval
        return (interval.high - interval.low) / 2 / float(ndtri((1 + interval.level) / 2))
    return model_half_width / float(ndtri(0.975)) if value > 0 else 0.0


def _sum_cells(visit: Visit) -> tuple[list[_Cell], bool]:
    measurement = next((m for m in visit.measurements if m.name == "sum_mm"), None)
    if measurement is None or measurement.value is None:
        return [], True
    return [_Cell(0, measurement.value, _deviation(measurement, measurement.value, 0.0), "")], False


def _cells(visit: Visit, roles: Roles, criterion: str, size_of: object, model: ErrorModel) -> tuple[list[_Cell], bool]:
    """What the targets, and the parts they split into, measured at a visit; and whether any is missing."""
    cells = []
    for lesion in visit.lesions:
        origin = roles.targets.get(roles.fragments.get(lesion.number, lesion.number))
        if origin is None or lesion.attributes.get("merged_into"):
            continue
        size = size_of(lesion, origin, visit)  # type: ignore[operator]
        if size.value is None:
            continue
        deviation = _deviation(_measured(lesion, origin, criterion), size.value, model.default_half_width_mm)
        normal = ""
        if is_node(origin):
            normal = "porta_normal_mm" if origin.site == "porta_hepatis_node" else "node_normal_mm"
        cells.append(_Cell(lesion.number, size.value, deviation, normal))
    missing = bool(sum_of_targets(visit, roles, size_of).missing)  # type: ignore[arg-type]
    return cells, missing


def _measured(lesion: Lesion, origin: Lesion, criterion: str) -> Measurement | None:
    if is_node(origin):
        return lesion.get("short_axis_mm")
    viable = criterion == "mrecist" and origin.site == "liver" and not is_atypical(origin)
    return lesion.get("viable_longest_mm" if viable else "longest_mm")


def _draw(read: Sequence[Sequence[_Cell]], model: ErrorModel) -> list[Floats]:
    """Drawn diameters per visit, shape ``(draws, cells)``."""
    random = np.random.default_rng(model.seed)
    lesions = sorted({cell.lesion for cells in read for cell in cells})
    kept = {lesion: random.standard_normal(model.draws) for lesion in lesions}
    a, b = model.lesion_correlation, model.visit_correlation
    drawn = []
    for cells in read:
        common = random.standard_normal(model.draws)
        values = np.zeros((model.draws, len(cells)))
        for n, cell in enumerate(cells):
            own = random.standard_normal(model.draws)
            error = np.sqrt(a) * kept[cell.lesion] + np.sqrt(b) * common + np.sqrt(max(1 - a - b, 0.0)) * own
            values[:, n] = np.maximum(cell.value + cell.deviation * error, 0.0)
        drawn.append(values)
    return drawn


def _judge(
    drawn: Sequence[Floats],
    missing: Sequence[bool],
    read: Sequence[Sequence[_Cell]],
    others: Sequence[bool],
    book: Rulebook,
) -> list[NDArray[np.int64]]:
    """The category's index per draw and visit, by the rulebook's order: CR, PD after CR, PD, NE, PR, SD."""
    pr, pd = 1 + book.real("pr_percent") / 100, 1 + book.real("pd_percent") / 100
    floor = book.real("min_abs_increase_mm")
    base = drawn[0].sum(axis=1)
    nadir = np.full(base.shape, np.inf) if missing[0] else base.copy()
    had_cr = np.zeros(base.shape, dtype=np.bool_)
    result = [np.zeros(base.shape, dtype=np.int64)]
    for n in range(1, len(drawn)):
        total = drawn[n].sum(axis=1)
        gone = _gone(drawn[n], read[n], book)
        grown = (total >= nadir * pd - TOLERANCE) & (total >= nadir + floor - TOLERANCE) & (total > nadir + TOLERANCE)
        back = had_cr & ~gone
        unknown = np.full(base.shape, missing[n] or missing[0])
        shrunk = total <= base * pr + TOLERANCE
        conditions = [gone & (not missing[n]), back | grown, unknown, shrunk]
        codes = [CATEGORIES.index(word) for word in ("CR", "PD", "NE", "PR")]
        category = np.select(conditions, codes, default=CATEGORIES.index("SD"))
        result.append(category.astype(np.int64))
        if not missing[n]:
            nadir = np.minimum(nadir, total)
        if others[n]:
            had_cr = had_cr | (category == CATEGORIES.index("CR"))
    return result


def _gone(values: Floats, cells: Sequence[_Cell], book: Rulebook) -> Flags:
    """Per draw, whether every non-nodal target measures 0 and every target node is normal."""
    gone = np.ones(values.shape[0], dtype=np.bool_)
    for n, cell in enumerate(cells):
        if cell.normal_mm:
            gone &= values[:, n] < book.real(cell.normal_mm) - TOLERANCE
        else:
            gone &= values[:, n] <= TOLERANCE
    return gone


def _change(base: Floats, total: Floats, missing: bool, level: float) -> tuple[float, float] | None:
    if missing or not (base > TOLERANCE).all():
        return None
    low, high = np.quantile(100 * (total - base) / base, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
