"""Classical forecasters of the library statsforecast as distributions: opponents for backtests that nobody here has tuned.

All of them see the logs of the newest `LONGEST` prices, relative to the last one, so that a price in cents forecasts the same as in dollars.
The library's central intervals of 95, 80 and 50 % give six quantiles, its mean gives the median. Three need more than that:

- a window average has no intervals, and exponential smoothing none of its own: theirs are symmetric and hold the share that they should
  of the errors that the method has made over the same history, horizon by horizon (split conformal, Lei et al. 2018).
- the library's GARCH forecast is one simulated path. Its coefficients are taken instead, and the expected variances of the sessions ahead
  are summed (Bollerslev 1986, with the mean change put back and normal quantiles).

Where a method cannot be fitted, the random walk with EWMA volatility stands in for it, and the reason is told.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from pipeline.errors import LookAtTheData, NotEnoughHistory, SettingsError
from pipeline.models.baselines import NORMAL
from pipeline.quantiles import INTERVALS, MEDIAN
from pipeline.volatility import LOWEST, exponentially_weighted

#: Sessions that are fitted, the newest: about four years; what a market was like before says little about its next week.
LONGEST = 1000
#: Sessions, besides the horizon, without which nothing is fitted.
FEWEST = 60
#: Sessions of the moving average, and those that no smoothing is measured on.
WINDOW = 20
#: By so much a fitted variance may explain a change worse than a constant one, in log likelihood a session.
TOLERANCE = 1e-3


class CannotFit(Exception):
    """Why a method says nothing about a history, in words; it never leaves this module."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a method says about one history.

    Attributes:
        quantiles: (H, Q) dollars, ascending in each row.
        reason: why the random walk with EWMA volatility stands in; "" where it does not.
    """

    quantiles: np.ndarray
    reason: str


def forecast(name: str, prices: np.ndarray, horizon: int, told: str = "the history") -> Forecast:
    """What `name` says about the `horizon` sessions after `prices` (n,), dollars, the newest last.

    Args:
        told: what an error calls the prices.

    Raises:
        SettingsError: an unknown name.
        LookAtTheData: a price that is missing or not above zero.
        NotEnoughHistory: fewer than `FEWEST` + `horizon` prices.
    """
    require_known([name])
    prices = np.asarray(prices, "float64")
    _check(name, prices, horizon, told)
    prices = prices[-LONGEST:]
    logs = np.log(prices / prices[-1])
    try:
        if not np.diff(logs).any():
            raise CannotFit("the price has not moved")
        said = _checked(_quietly(METHODS[name], logs, horizon))
    except CannotFit as error:
        return Forecast(_stand_in(prices, horizon), f"the random walk with EWMA volatility stands in: {error}")
    return Forecast(prices[-1] * np.exp(said), "")


def require_known(names: Iterable[str]) -> None:
    """`SettingsError` for a name that is none of `NAMES`."""
    for name in names:
        if name not in METHODS:
            raise SettingsError(f"There is no statistical baseline {name!r}. There are: {', '.join(NAMES)}.")


def _check(name: str, prices: np.ndarray, horizon: int, told: str) -> None:
    if prices.ndim != 1 or horizon < 1:
        raise ValueError(f"prices must be (n,) and the horizon at least 1. Received: {prices.shape} and {horizon}.")
    if len(prices) < FEWEST + horizon:
        raise NotEnoughHistory(f"{told}: {len(prices)} prices, {name} needs {FEWEST + horizon}. Begin earlier.")
    bad = np.flatnonzero(~(np.isfinite(prices) & (prices > 0)))
    if len(bad):
        raise LookAtTheData(
            f"{told}: price {bad[0] + 1} of {len(prices)} is {prices[bad[0]]:g}, and {name} takes logs. Mask it and carry the price before "
            "it forward, or begin later."
        )


def _quietly(method: Callable[[np.ndarray, int], np.ndarray], logs: np.ndarray, horizon: int) -> np.ndarray:
    """`method` without its warnings, and without the seed that the library's GARCH sets for everyone."""
    state = np.random.get_state()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return method(logs, horizon)
    except CannotFit:
        raise
    except Exception as error:  # the library raises whatever its optimisers do, bare Exception included
        raise CannotFit(f"{type(error).__name__}: {error}") from error
    finally:
        np.random.set_state(state)


def _checked(said: np.ndarray) -> np.ndarray:
    """`said` (H, Q), logs; `CannotFit` where it is no distribution of a price."""
    if not np.isfinite(said).all() or not np.isfinite(np.exp(said)).all():
        raise CannotFit("it forecasts no numbers")
    if (np.diff(said, axis=1) < 0).any():
        raise CannotFit("its quantiles cross")
    if (said[:, -1] - said[:, 0] < LOWEST * (NORMAL[-1] - NORMAL[0])).any():
        raise CannotFit("it forecasts a price that hardly moves")
    return said


def _stand_in(prices: np.ndarray, horizon: int) -> np.ndarray:
    return prices[-1] * np.exp(_normal(np.zeros(horizon), exponentially_weighted(prices)[-1] * _root(horizon)))


def _root(horizon: int) -> np.ndarray:
    return np.sqrt(np.arange(1, horizon + 1))


def _normal(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Quantiles (H, Q) of normal distributions; `mean`, `deviation` (H,)."""
    return mean[:, None] + deviation[:, None] * np.array(NORMAL)


def _native(make: Callable[[object], object]) -> Callable[[np.ndarray, int], np.ndarray]:
    """A method by the library's own intervals. `make`: its module of models -> the model."""

    def method(logs: np.ndarray, horizon: int) -> np.ndarray:
        from statsforecast import models

        said = make(models).forecast(y=logs, h=horizon, level=sorted(INTERVALS))
        made = np.empty((horizon, len(NORMAL)))
        made[:, MEDIAN] = said["mean"]
        for level, (low, high) in INTERVALS.items():
            made[:, low], made[:, high] = said[f"lo-{level}"], said[f"hi-{level}"]
        return made

    return method


def _moving_average(logs: np.ndarray, horizon: int) -> np.ndarray:
    from statsforecast.models import WindowAverage

    said = WindowAverage(WINDOW).forecast(y=logs, h=horizon)["mean"]
    levels = np.lib.stride_tricks.sliding_window_view(logs, WINDOW).mean(axis=1)
    return _by_its_errors(said, logs[WINDOW - 1 :], levels)


def _exponential_smoothing(logs: np.ndarray, horizon: int) -> np.ndarray:
    from statsforecast.models import SimpleExponentialSmoothingOptimized

    said = SimpleExponentialSmoothingOptimized().forecast(y=logs, h=horizon, fitted=True)
    levels = np.append(said["fitted"][1:], said["mean"][0])  # what was forecast at each session for all that come
    return _by_its_errors(said["mean"], logs[WINDOW - 1 :], levels[WINDOW - 1 :])


def _by_its_errors(mean: np.ndarray, came: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles (H, Q) about `mean` (H,), as wide as the errors of `levels` (n,), each the forecast for all sessions after that of `came` (n,)."""
    made = np.repeat(mean[:, None], len(NORMAL), axis=1)
    for ahead in range(len(mean)):
        errors = np.abs(came[ahead + 1 :] - levels[: -ahead - 1])
        for level, (low, high) in INTERVALS.items():
            width = np.quantile(errors, level / 100)
            made[ahead, low] -= width
            made[ahead, high] += width
    return made


def _garch(lagged_variances: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """GARCH(1, 1), or ARCH(1) with no `lagged_variances`, of the changes less their mean, in multiples of their deviation."""

    def method(logs: np.ndarray, horizon: int) -> np.ndarray:
        from statsforecast.models import GARCH

        changes = np.diff(logs)
        mean, scale = changes.mean(), changes.std()
        if not scale > LOWEST:
            raise CannotFit("the price hardly moves")
        shocks = (changes - mean) / scale
        fit = GARCH(1, lagged_variances).fit(shocks).model_
        if "success" not in fit["message"]:
            raise CannotFit(fit["message"])
        base, own, *lagged = (float(value) for value in fit["coeff"])
        variances = variances_of(shocks, base, own, sum(lagged))
        # Log likelihoods without what they share; an optimiser may end where a constant does better.
        known, squares = variances[1:-1], shocks[1:] ** 2
        if np.mean(np.log(known) + squares / known) > np.log(squares.mean()) + 1 + TOLERANCE:
            raise CannotFit("its optimiser ended at variances that fit worse than a constant one")
        ahead = [variances[-1]]
        while len(ahead) < horizon:
            ahead.append(base + (own + sum(lagged)) * ahead[-1])
        return _normal(mean * np.arange(1, horizon + 1), scale * np.sqrt(np.cumsum(ahead)))

    return method


def variances_of(shocks: np.ndarray, base: float, own: float, lagged: float) -> np.ndarray:
    """The conditional variances of `shocks` (n,) and of the session after them, (n + 1,); the first is that of all."""
    variances = np.empty(len(shocks) + 1)
    variances[0] = shocks.var()
    for at, shock in enumerate(shocks):
        variances[at + 1] = base + own * shock**2 + lagged * variances[at]
    return variances


#: By name: logs (n,), horizon -> quantiles (H, Q) of the logs ahead. Logs call for additive errors, so AutoETS chooses among trends alone.
METHODS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "random_walk": _native(lambda models: models.Naive()),
    "drift": _native(lambda models: models.RandomWalkWithDrift()),
    "moving_average": _moving_average,
    "ses": _exponential_smoothing,
    "auto_ets": _native(lambda models: models.AutoETS(model="AZN")),
    "auto_arima": _native(lambda models: models.AutoARIMA()),
    "garch": _garch(1),
    "arch": _garch(0),
}
NAMES = tuple(METHODS)
