"""Classical forecasters of the library statsforecast as distributions.

They are opponents for backtests that nobody here has tuned. All of them see the logs of the newest
`LONGEST_FITTED` prices, relative to the last one, so that a price in cents forecasts the same as in
dollars. The library's central intervals of 95%, 80% and 50% give six quantiles, its mean gives the
median. Three need more than that:

- a window average has no intervals, and exponential smoothing none of its own: theirs are symmetric
  and hold the share that they should of the errors that the method has made over the same history,
  horizon by horizon (split conformal, Lei et al. 2018).
- the library's GARCH forecast is one simulated path. Its coefficients are taken instead, and the
  expected variances of the sessions ahead are summed (Bollerslev 1986, with the mean change put
  back and normal quantiles).

Where a method cannot be fitted, the random walk with EWMA volatility stands in for it, with the
reason.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pipeline.arrays import Floats
from pipeline.errors import LookAtTheData, NotEnoughHistory, SettingsError
from pipeline.models.baselines import NORMAL_QUANTILES
from pipeline.quantiles import INTERVALS, MEDIAN
from pipeline.windows import LOWEST_VOLATILITY, exponentially_weighted

#: (logs (n,), horizon) -> quantiles (H, Q) of the logs ahead.
StatisticalMethod: TypeAlias = Callable[[Floats, int], Floats]

#: Sessions that are fitted, the newest: about four years. An older market says little about the
#: next week.
LONGEST_FITTED = 1000
#: Sessions, besides the horizon, without which nothing is fitted.
FEWEST_PRICES = 60
#: Sessions of the moving average; the errors of exponential smoothing count from there on, too.
AVERAGED_SESSIONS = 20
#: By so much a fitted variance may explain a change worse than a constant one, in log likelihood a
#: session.
LIKELIHOOD_TOLERANCE = 1e-3


class CannotFit(Exception):
    """The reason, in words, why a method cannot forecast a history; it stays in this module."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """A method's forecast of one history.

    Attributes:
        quantiles: (H, Q) prices, ascending in each row.
        reason: why the random walk with EWMA volatility stands in; "" where it does not.
    """

    quantiles: Floats
    reason: str


def forecast(name: str, prices: Floats, horizon: int, label: str = "the history") -> Forecast:
    """Forecast the `horizon` sessions after `prices` (n,), the newest last.

    Args:
        name: one of `STATISTICAL_NAMES`.
        label: how an error calls the prices.

    Raises:
        SettingsError: an unknown name.
        LookAtTheData: a price that is missing or not above zero.
        NotEnoughHistory: fewer than `FEWEST_PRICES` + `horizon` prices.
    """
    require_known([name])
    prices = np.asarray(prices, "float64")
    _require_usable(name, prices, horizon, label)
    prices = prices[-LONGEST_FITTED:]
    logs = np.log(prices / prices[-1])
    try:
        if not np.diff(logs).any():
            raise CannotFit("the price has not moved")
        quantiles = _checked(_quietly(STATISTICAL_METHODS[name], logs, horizon))
    except CannotFit as error:
        reason = f"the random walk with EWMA volatility stands in: {error}"
        return Forecast(_stand_in(prices, horizon), reason)
    return Forecast(prices[-1] * np.exp(quantiles), "")


def require_known(names: Iterable[str]) -> None:
    """Raise `SettingsError` for a name that is none of `STATISTICAL_NAMES`."""
    for name in names:
        if name not in STATISTICAL_METHODS:
            raise SettingsError(
                f"There is no statistical baseline {name!r}. "
                f"There are: {', '.join(STATISTICAL_NAMES)}."
            )


def _require_usable(name: str, prices: Floats, horizon: int, label: str) -> None:
    if prices.ndim != 1 or horizon < 1:
        raise ValueError(
            "prices must be (n,) and the horizon at least 1. "
            f"Received: {prices.shape} and {horizon}."
        )
    if len(prices) < FEWEST_PRICES + horizon:
        raise NotEnoughHistory(
            f"{label}: {len(prices)} prices, {name} needs {FEWEST_PRICES + horizon}. Begin earlier."
        )
    unusable = np.flatnonzero(~(np.isfinite(prices) & (prices > 0)))
    if len(unusable):
        first = unusable[0]
        raise LookAtTheData(
            f"{label}: price {first + 1} of {len(prices)} is {prices[first]:g}, and {name} takes "
            "logs. Mask it and carry the price before it forward, or begin later."
        )


def _quietly(method: StatisticalMethod, logs: Floats, horizon: int) -> Floats:
    """Run a method without its warnings, and without the seed that the library's GARCH sets."""
    state = np.random.get_state()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return method(logs, horizon)
    except CannotFit:
        raise
    except Exception as error:
        # The library raises all that its optimisers do, bare Exception included.
        raise CannotFit(f"{type(error).__name__}: {error}") from error
    finally:
        np.random.set_state(state)


def _checked(quantiles: Floats) -> Floats:
    """Return quantiles (H, Q) of logs; `CannotFit` where they are no distribution of a price."""
    if not np.isfinite(quantiles).all() or not np.isfinite(np.exp(quantiles)).all():
        raise CannotFit("it forecasts no numbers")
    if (np.diff(quantiles, axis=1) < 0).any():
        raise CannotFit("its quantiles cross")
    narrowest = LOWEST_VOLATILITY * (NORMAL_QUANTILES[-1] - NORMAL_QUANTILES[0])
    if (quantiles[:, -1] - quantiles[:, 0] < narrowest).any():
        raise CannotFit("it forecasts a price that hardly moves")
    return quantiles


def _stand_in(prices: Floats, horizon: int) -> Floats:
    """Return the random walk with EWMA volatility, (H, Q) prices."""
    deviation = exponentially_weighted(prices)[-1] * np.sqrt(np.arange(1, horizon + 1))
    quantiles: Floats = prices[-1] * np.exp(_normal(np.zeros(horizon), deviation))
    return quantiles


def _normal(mean: Floats, deviation: Floats) -> Floats:
    """Return the quantiles (H, Q) of normal distributions; `mean`, `deviation` (H,)."""
    quantiles: Floats = mean[:, None] + deviation[:, None] * np.array(NORMAL_QUANTILES)
    return quantiles


# Methods


def _native(make: Callable[[Any], Any]) -> StatisticalMethod:
    """Return a method by the library's own intervals.

    Args:
        make: the library's module of models -> one of its models.
    """

    def method(logs: Floats, horizon: int) -> Floats:
        from statsforecast import models

        answer = make(models).forecast(y=logs, h=horizon, level=sorted(INTERVALS))
        quantiles = np.empty((horizon, len(NORMAL_QUANTILES)))
        quantiles[:, MEDIAN] = answer["mean"]
        for level, (low, high) in INTERVALS.items():
            quantiles[:, low], quantiles[:, high] = answer[f"lo-{level}"], answer[f"hi-{level}"]
        return quantiles

    return method


def _moving_average(logs: Floats, horizon: int) -> Floats:
    from statsforecast.models import WindowAverage

    mean = WindowAverage(AVERAGED_SESSIONS).forecast(y=logs, h=horizon)["mean"]
    levels = np.lib.stride_tricks.sliding_window_view(logs, AVERAGED_SESSIONS).mean(axis=1)
    return _by_its_errors(mean, logs[AVERAGED_SESSIONS - 1 :], levels)


def _exponential_smoothing(logs: Floats, horizon: int) -> Floats:
    from statsforecast.models import SimpleExponentialSmoothingOptimized

    answer = SimpleExponentialSmoothingOptimized().forecast(y=logs, h=horizon, fitted=True)
    # The level forecast at each session for all sessions after it.
    levels = np.append(answer["fitted"][1:], answer["mean"][0])
    first = AVERAGED_SESSIONS - 1
    return _by_its_errors(answer["mean"], logs[first:], levels[first:])


def _by_its_errors(mean: Floats, logs: Floats, levels: Floats) -> Floats:
    """Return quantiles (H, Q) about `mean` (H,), as wide as the errors of the levels.

    Args:
        levels: (n,), each the forecast at the session of `logs` (n,) for all sessions after it.
    """
    quantiles = np.repeat(mean[:, None], len(NORMAL_QUANTILES), axis=1)
    for ahead in range(len(mean)):
        errors = np.abs(logs[ahead + 1 :] - levels[: -ahead - 1])
        for level, (low, high) in INTERVALS.items():
            width = np.quantile(errors, level / 100)
            quantiles[ahead, low] -= width
            quantiles[ahead, high] += width
    return quantiles


def _garch(lagged_variances: int) -> StatisticalMethod:
    """Return GARCH(1, 1), or ARCH(1) with no `lagged_variances`.

    It is fitted on the changes less their mean, in multiples of their deviation.
    """

    def method(logs: Floats, horizon: int) -> Floats:
        from statsforecast.models import GARCH

        changes = np.diff(logs)
        mean, scale = changes.mean(), changes.std()
        if not scale > LOWEST_VOLATILITY:
            raise CannotFit("the price hardly moves")
        shocks = (changes - mean) / scale
        fit = GARCH(1, lagged_variances).fit(shocks).model_
        if "success" not in fit["message"]:
            raise CannotFit(fit["message"])
        constant, of_shock, *lagged = (float(value) for value in fit["coeff"])
        variances = conditional_variances(shocks, constant, of_shock, sum(lagged))
        # Log likelihoods without what they share. An optimiser may end where a constant is better.
        known, squares = variances[1:-1], shocks[1:] ** 2
        fitted, flat = np.mean(np.log(known) + squares / known), np.log(squares.mean()) + 1
        if fitted > flat + LIKELIHOOD_TOLERANCE:
            raise CannotFit("its optimiser ended at variances that fit worse than a constant one")
        ahead = [variances[-1]]
        while len(ahead) < horizon:
            ahead.append(constant + (of_shock + sum(lagged)) * ahead[-1])
        return _normal(mean * np.arange(1, horizon + 1), scale * np.sqrt(np.cumsum(ahead)))

    return method


def conditional_variances(
    shocks: Floats, constant: float, of_shock: float, of_variance: float
) -> Floats:
    """Return the variances of `shocks` (n,) and of the session after them, (n + 1,).

    Args:
        constant, of_shock, of_variance: coefficients of 1, of the squared shock before and of the
            variance before; the first variance is that of all shocks.
    """
    variances = np.empty(len(shocks) + 1)
    variances[0] = shocks.var()
    for at, shock in enumerate(shocks):
        variances[at + 1] = constant + of_shock * shock**2 + of_variance * variances[at]
    return variances


#: By name. Logs call for additive errors, so AutoETS chooses among trends alone.
STATISTICAL_METHODS: dict[str, StatisticalMethod] = {
    "random_walk": _native(lambda models: models.Naive()),
    "drift": _native(lambda models: models.RandomWalkWithDrift()),
    "moving_average": _moving_average,
    "ses": _exponential_smoothing,
    "auto_ets": _native(lambda models: models.AutoETS(model="AZN")),
    "auto_arima": _native(lambda models: models.AutoARIMA()),
    "garch": _garch(1),
    "arch": _garch(0),
}
STATISTICAL_NAMES = tuple(STATISTICAL_METHODS)
