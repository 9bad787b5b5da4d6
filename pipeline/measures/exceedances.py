"""Exceedances of quantiles, and whether they are as many and as scattered as promised. Pure.

An outcome exceeds a quantile where it lies beyond it, seen from the median: below the 2.5% quantile
or above the 97.5% one. Each is promised for 2.5% of the sessions, one session as likely as another.
Kupiec's test asks whether they are too many or too few, Christoffersen's whether one makes another
at the next session likelier, as where a range follows a storm too slowly.

P. Kupiec, Techniques for Verifying the Accuracy of Risk Measurement Models, Journal of Derivatives
3(2), 1995. P. F. Christoffersen, Evaluating Interval Forecasts, International Economic Review
39(4), 1998.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array, Floats

#: A test rejects below this probability.
REJECTED_BELOW = 0.05


@dataclass(frozen=True)
class ExceedanceTest:
    """Exceedances of a bound, counted, and the p-values of three tests of them.

    Attributes:
        sessions: outcomes that are known.
        exceedances: those that lie beyond the bound.
        promised: the share of the sessions that should.
        kupiec: whether they are as many as promised (unconditional coverage).
        independence: whether one is as likely after another as after none.
        conditional: both at once (conditional coverage).
    """

    sessions: int
    exceedances: int
    promised: float
    kupiec: float
    independence: float
    conditional: float

    @property
    def share(self) -> float:
        """The share of the sessions with an exceedance; NaN where there is no session."""
        return self.exceedances / self.sessions if self.sessions else float("nan")


def promised_share(probability: float) -> float:
    """Return the share of outcomes beyond a quantile: below 0.025, and above 0.975, 2.5%."""
    return min(probability, 1 - probability)


def exceeded(actual: Array, bound: Array, probability: float) -> Floats:
    """Return 1 where an outcome lies beyond a quantile and 0 where not, in the shape of `actual`.

    Args:
        bound: the quantile of this probability, in the unit of `actual`.

    Returns:
        NaN where there is no outcome.
    """
    beyond = actual < bound if probability < 0.5 else actual > bound
    marks: Floats = np.where(np.isfinite(actual), beyond.astype("float64"), np.nan)
    return marks


def exceedance_test(marks: Array, promised: float, horizon: int = 1) -> ExceedanceTest:
    """Count exceedances, and test whether they are as many and as scattered as promised.

    Both tests are of outcomes that do not overlap. Forecasts of `horizon` sessions ahead do, so
    every `horizon`-th one is tested, from each of the first ones on; of these p-values the least
    counts, multiplied by their number (Bonferroni; Diebold, Gunther & Tay 1998).

    Args:
        marks: (n,), by session, in order: 1 for an exceedance, 0 for none, NaN for unknown.
        promised: the share of exceedances if the quantile is right.
        horizon: sessions ahead that the forecasts are for.

    Returns:
        p-values of NaN where no outcome is known.
    """
    marks = np.asarray(marks, dtype="float64")
    known = marks[np.isfinite(marks)]
    p_values = [_p_values(marks[first::horizon], promised) for first in range(horizon)]
    kupiec, independence, conditional = (_least(each) for each in zip(*p_values, strict=True))
    return ExceedanceTest(len(known), int(known.sum()), promised, kupiec, independence, conditional)


def _p_values(marks: Array, promised: float) -> tuple[float, float, float]:
    """Return the p-values of `exceedance_test` for outcomes that do not overlap.

    The likelihood ratio of both is the sum of the two, with two degrees of freedom.
    """
    known = marks[np.isfinite(marks)]
    if not len(known):
        return (math.nan, math.nan, math.nan)
    share, scatter = kupiec_ratio(len(known), int(known.sum()), promised), scatter_ratio(marks)
    return _tail(share, 1), _tail(scatter, 1), _tail(share + scatter, 2)


def kupiec_ratio(sessions: int, exceedances: int, promised: float) -> float:
    """Return the likelihood ratio of the proportion of failures (Kupiec 1995).

    With x exceedances of n, promised p: 2 log[(1 - x/n)^(n-x) (x/n)^x / ((1 - p)^(n-x) p^x)].
    """
    within = sessions - exceedances
    return _ratio(
        _best_likelihood(within, exceedances),
        _log_likelihood(within, exceedances, promised),
    )


def scatter_ratio(marks: Array) -> float:
    """Return the likelihood ratio of independence from session to session (Christoffersen 1998).

    With n_ij the sessions of state j (1: exceeded) after one of state i, and the shares
    p_i = n_i1 / (n_i0 + n_i1) and p = (n_01 + n_11) / n, it is 2 log of
    (1 - p_0)^n_00 p_0^n_01 (1 - p_1)^n_10 p_1^n_11 / ((1 - p)^(n_00 + n_10) p^(n_01 + n_11)).

    Args:
        marks: as of `exceedance_test`; a pair of sessions with an unknown one is left out.
    """
    pairs = 2 * marks[:-1] + marks[1:]
    counts = np.bincount(pairs[np.isfinite(pairs)].astype("int64"), minlength=4)
    none_none, none_one, one_none, one_one = map(int, counts)
    apart = _best_likelihood(none_none, none_one) + _best_likelihood(one_none, one_one)
    return _ratio(apart, _best_likelihood(none_none + one_none, none_one + one_one))


def _best_likelihood(without: int, having: int) -> float:
    """Return the log likelihood of counts under their own share."""
    return _log_likelihood(without, having, having / max(without + having, 1))


def _log_likelihood(without: int, having: int, share: float) -> float:
    """Return the log likelihood of counts; 0 log 0 is 0."""
    total = 0.0
    for count, probability in ((without, 1 - share), (having, share)):
        if count:
            total += count * math.log(probability) if probability > 0 else -math.inf
    return total


def _ratio(free: float, promised: float) -> float:
    return max(0.0, 2 * (free - promised))


def _tail(ratio: float, freedom: int) -> float:
    """Return the probability that chi-square exceeds a ratio, with one or two degrees."""
    return math.erfc(math.sqrt(ratio / 2)) if freedom == 1 else math.exp(-ratio / 2)


def _least(p_values: tuple[float, ...]) -> float:
    """Return the least known p-value times their number, at most 1."""
    known = [each for each in p_values if not math.isnan(each)]
    return min(1.0, len(known) * min(known)) if known else math.nan
