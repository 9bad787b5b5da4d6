"""Margins: the whole distribution that published quantiles stand for. Pure.

Between two published quantiles, and beyond the outermost, a value is linear in the quantile of
Student's t distribution with `TAIL_FREEDOM` degrees of freedom at the same probability. The tails
are thus as heavy as that distribution's, on the scale of the outermost two quantiles of each side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.arrays import Floats
from pipeline.quantiles import OUTER_PROBABILITIES, PROBABILITIES

#: Daily changes of stocks have tails of four to six degrees of freedom (Cont 2001).
TAIL_FREEDOM = 5.0


def strata(count: int) -> Floats:
    """Return the middles of so many equal parts of all probability, ascending (count,)."""
    middles: Floats = (np.arange(count) + 0.5) / count
    return middles


def quantiles_at(
    probabilities: Floats, levels: Sequence[float], quantiles: Floats, lowest: float = 0.0
) -> Floats:
    """Return quantiles at other probabilities than those published.

    At a published level it is the published quantile itself, to the last bit.

    Args:
        probabilities: (P,), between 0 and 1, both excluded.
        levels: the Q published probabilities, ascending, at least two.
        quantiles: (..., Q), ascending along the last axis.
        lowest: no value is below it: prices are not negative.

    Returns:
        (..., P), ascending where `probabilities` are.
    """
    from scipy.special import stdtrit

    known = stdtrit(TAIL_FREEDOM, np.asarray(levels, dtype="float64"))
    wanted = stdtrit(TAIL_FREEDOM, probabilities)
    low = np.clip(np.searchsorted(known, wanted) - 1, 0, len(known) - 2)
    share = (wanted - known[low]) / (known[low + 1] - known[low])
    # Both ends are weighted, so that a share of 0 or 1 gives a quantile without rounding.
    values = quantiles[..., low] * (1 - share) + quantiles[..., low + 1] * share
    floored: Floats = np.maximum(values, lowest)
    return floored


def outer_quantiles(quantiles: Floats) -> Floats:
    """Return the 1% and the 99% quantile that the seven stand for.

    They are never inside the 95% interval.

    Args:
        quantiles: (..., 7) in the order of `PROBABILITIES`, ascending.

    Returns:
        (..., 2).
    """
    outer = quantiles_at(np.array(OUTER_PROBABILITIES), PROBABILITIES, quantiles)
    # Of quantiles that are all the same, rounding could take one to their other side.
    low, high = np.minimum(outer[..., 0], quantiles[..., 0]), outer[..., 1]
    return np.stack([low, np.maximum(high, quantiles[..., -1])], axis=-1)
