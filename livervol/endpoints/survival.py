"""Survival curves: Kaplan-Meier with its intervals and quantiles, log-rank tests, follow-up by reverse Kaplan-Meier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import chdtrc, ndtri

from livervol.errors import CriteriaError, refusal

__all__ = ["Curve", "IntervalKind", "LogRank", "Quantile", "TieRule", "follow_up", "kaplan_meier", "log_rank"]

IntervalKind = Literal["log", "log-log", "plain"]
TieRule = Literal["midpoint", "first"]
Floats = NDArray[np.float64]

#: Two survival probabilities closer than this are one: products of fractions differ from the fraction in the last bits.
TIE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Quantile:
    """A quantile of a survival time in the time's unit; None where the curve, or its bound, never falls that far."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Curve:
    """A Kaplan-Meier curve at its distinct observed times, shape ``(n_times,)`` each.

    ``survival`` is S(t) just after each time, ``std_error`` Greenwood's standard error of S(t) (not a number once
    S = 0), ``at_risk`` the number still followed just before it. Patients censored at a time of events are still at
    risk then.
    """

    times: Floats
    at_risk: Floats
    events: Floats
    censored: Floats
    survival: Floats
    std_error: Floats
    _log_error: Floats

    @property
    def n(self) -> int:
        """Number of patients."""
        return int(self.at_risk[0]) if self.times.size else 0

    @property
    def n_events(self) -> int:
        """Number of events."""
        return int(self.events.sum())

    def at(self, time: float) -> float:
        """S(t) at any time, 1 before the first event; not a number beyond the last observed time unless S is 0."""
        place = int(np.searchsorted(self.times, time, side="right"))
        if not self.times.size or (time > self.times[-1] and self.survival[-1] > 0):
            return float("nan")
        return 1.0 if place == 0 else float(self.survival[place - 1])

    def interval(self, kind: IntervalKind = "log-log", level: float = 0.95) -> tuple[Floats, Floats]:
        """Pointwise lower and upper bound of S(t) at every time, shape ``(n_times,)``; not a number once S = 0.

        ``log`` and ``log-log`` are symmetric on those scales, ``plain`` on S itself; all are cut at 0 and 1. With
        log-log, where S is still 1 there is no interval. Source: Kalbfleisch and Prentice, The Statistical Analysis of
        Failure Time Data, 2nd ed., section 1.4.
        """
        z = float(ndtri((1 + level) / 2))
        s, error = self.survival, self._log_error
        with np.errstate(divide="ignore", invalid="ignore"):
            if kind == "log":
                low, high = np.exp(np.log(s) - z * error), np.minimum(np.exp(np.log(s) + z * error), 1.0)
            elif kind == "log-log":
                inner = np.where((s > 0) & (s < 1), s, np.nan)
                width = z * error / np.log(inner)
                low = np.exp(-np.exp(np.log(-np.log(inner)) - width))
                high = np.exp(-np.exp(np.log(-np.log(inner)) + width))
            elif kind == "plain":
                low, high = np.maximum(s - z * s * error, 0.0), np.minimum(s + z * s * error, 1.0)
            else:
                raise CriteriaError(refusal("interval kind", expected="log, log-log or plain", got=repr(kind)))
        return low, high

    def quantile(
        self, share: float = 0.5, *, tie: TieRule = "midpoint", kind: IntervalKind = "log-log", level: float = 0.95
    ) -> Quantile:
        """The time by which a ``share`` of patients has had the event (0.5: the median), in the times' unit.

        Where S equals ``1 - share`` exactly over a stretch, ``midpoint`` takes its middle, ``first`` its beginning. The
        interval holds the times at which the bounds of S cross (Brookmeyer and Crowley 1982, Biometrics 38:29-41).
        """
        if not 0 < share < 1:
            raise CriteriaError(refusal("quantile", expected="between 0 and 1", got=str(share)))
        if tie not in ("midpoint", "first"):
            raise CriteriaError(refusal("tie rule", expected="midpoint or first", got=repr(tie)))
        low, high = self.interval(kind, level)
        crossings = [_crossing(self.times, s, 1 - share, tie) for s in (self.survival, low, high)]
        return Quantile(*crossings)


def _crossing(times: Floats, levels: Floats, height: float, tie: TieRule) -> float | None:
    """First time a falling step function reaches ``height``; steps without a number are left out.

    A bound may rise again where few are left: its steps are then read by falling level, as R's ``survival`` does, so
    that an upper limit is never too early.
    """
    known = np.isfinite(levels)
    end = float(times[-1]) if times.size else 0.0
    order = np.argsort(-levels[known], kind="stable")
    times, levels = times[known][order], levels[known][order]
    reached = np.flatnonzero(levels <= height + TIE_TOLERANCE)
    if not reached.size:
        return None
    first = float(times[reached[0]])
    if tie == "first" or levels[reached[0]] < height - TIE_TOLERANCE:
        return first
    below = np.flatnonzero(levels < height - TIE_TOLERANCE)
    last = float(times[below[0]]) if below.size else end
    return (first + last) / 2


def _checked(times: ArrayLike, events: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    t = np.asarray(times, dtype=np.float64)
    e = np.asarray(events)
    if t.ndim != 1 or t.shape != e.shape:
        raise CriteriaError(refusal("survival data", expected="times and events alike", got=f"{t.shape}, {e.shape}"))
    if not np.isfinite(t).all() or (t < 0).any():
        raise CriteriaError(refusal("survival time", expected="finite and not negative", got="another value"))
    if not np.isin(e, (0, 1)).all():
        raise CriteriaError(refusal("event", expected="0 (censored) or 1 (event)", got="another value"))
    return t, e.astype(np.bool_)


def kaplan_meier(times: ArrayLike, events: ArrayLike) -> Curve:
    """The product-limit estimate of survival (dimensionless) from times in any unit and events (1) or censorings (0).

    S(t) is the product of ``1 - d/n`` over event times up to t; its variance is Greenwood's. Shapes ``(n,)``. Raises
    ``CriteriaError`` for negative times. Source: Kaplan and Meier 1958, J Am Stat Assoc 53:457-481.
    """
    t, e = _checked(times, events)
    distinct, group = np.unique(t, return_inverse=True)
    n_events = np.bincount(group, weights=e, minlength=distinct.size).astype(np.float64)
    leaving = np.bincount(group, minlength=distinct.size).astype(np.float64)
    at_risk = t.size - np.concatenate(([0.0], np.cumsum(leaving)[:-1])) if distinct.size else np.empty(0)
    survival = np.cumprod(1 - n_events / at_risk).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_error = np.sqrt(np.cumsum(n_events / (at_risk * (at_risk - n_events)))).astype(np.float64)
    # 0/0 where the last event empties the risk set
    log_error[survival <= 0] = np.nan
    return Curve(distinct, at_risk, n_events, leaving - n_events, survival, survival * log_error, log_error)


def follow_up(times: ArrayLike, events: ArrayLike) -> Curve:
    """The distribution of follow-up: Kaplan-Meier with events and censorings exchanged.

    Its median is the follow-up patients would have had without events (Schemper and Smith 1996, Control Clin Trials
    17:343-346).
    """
    t, e = _checked(times, events)
    return kaplan_meier(t, ~e)


@dataclass(frozen=True)
class LogRank:
    """A log-rank test: statistic, degrees of freedom, p; and per group, in ``groups``' order, what was seen and due."""

    chi_square: float
    degrees: int
    p: float
    groups: tuple[Any, ...]
    observed: tuple[float, ...]
    expected: tuple[float, ...]


def log_rank(
    times: ArrayLike, events: ArrayLike, groups: Sequence[Any], strata: Sequence[Any] | None = None
) -> LogRank:
    """Log-rank test that k groups share one survival curve, within strata when given.

    Variance is hypergeometric, so tied events need no correction; observed, expected and variance add over strata.
    Shapes ``(n,)``. Raises ``CriteriaError`` with fewer than two groups. Source: Mantel 1966, Cancer Chemother Rep
    50:163-170; Peto and Peto 1972, J R Stat Soc A 135:185-207.
    """
    t, e = _checked(times, events)
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    if names.size < 2 or member.size != t.size:
        raise CriteriaError(
            refusal("log-rank", expected="two groups or more, one per patient", got=f"{names.size} groups")
        )
    _, stratum = np.unique(np.asarray(strata) if strata is not None else np.zeros(t.size), return_inverse=True)
    if stratum.size != t.size:
        raise CriteriaError(refusal("strata", expected=f"{t.size}, one per patient", got=str(stratum.size)))
    k = names.size
    expected, variance = np.zeros(k), np.zeros((k, k))
    for one in range(int(stratum.max()) + 1 if stratum.size else 0):
        chosen = stratum == one
        more_expected, more_variance = _hypergeometric(t[chosen], e[chosen], member[chosen], k)
        expected += more_expected
        variance += more_variance
    observed = np.bincount(member, weights=e, minlength=k)
    # a group without anybody at risk adds nothing and takes no degree of freedom
    kept = np.flatnonzero(np.diag(variance) > 0)[:-1]
    if not kept.size:
        return LogRank(float("nan"), 0, float("nan"), tuple(names.tolist()), tuple(observed), tuple(expected))
    difference = (observed - expected)[kept]
    chi_square = float(difference @ np.linalg.solve(variance[np.ix_(kept, kept)], difference))
    return LogRank(
        chi_square,
        int(kept.size),
        float(chdtrc(kept.size, chi_square)),
        tuple(names.tolist()),
        tuple(observed.tolist()),
        tuple(expected.tolist()),
    )


def _hypergeometric(t: Floats, e: NDArray[np.bool_], member: NDArray[Any], k: int) -> tuple[Floats, Floats]:
    """Expected events and their covariance over the event times of one stratum."""
    event_times, died = np.unique(t[e], return_counts=True)
    deaths = died.astype(np.float64)
    # per group, how many are still at risk just before each event time
    risk = np.stack(
        [np.sum(member == g) - np.searchsorted(np.sort(t[member == g]), event_times, side="left") for g in range(k)]
    ).astype(np.float64)
    total = risk.sum(axis=0)
    share = risk / total
    spread = np.where(total > 1, deaths * (total - deaths) / np.maximum(total - 1, 1), 0.0)
    variance = np.diag((share * spread).sum(axis=1)) - (share * spread) @ share.T
    return (share * deaths).sum(axis=1), variance
