"""Heterogeneous autoregressions (HAR, Corsi 2009): pooled regressions of the volatility ahead.

Two opponents that are fitted in seconds, for all stocks of a universe together, and need no
network:

    har_range   least squares of the log variance of the next h sessions on the logs of the mean
                variances of the last 1, 5 and 22 sessions (Corsi 2009), each around the stock's own
                level; variances are Parkinson's (1980) of the range
    har         ridge (Hoerl & Kennard 1970) of each session ahead on more such means, the market's,
                signed changes (leverage: Black 1976), volumes, the calendar ahead and the season of
                reports; see `har_features`. The variances of the sessions up to a horizon are
                summed

The distribution is filtered historical simulation (Barone-Adesi, Giannopoulos & Vosper 1999): the
quantiles of the past changes of the target in multiples of what was forecast for them, half the
stock's own and half all stocks', around the last value.

Everything is fitted on sessions up to one row, the training cutoff; the forecast of a later row
sees the prices up to that row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from pipeline.arrays import Bools, Floats
from pipeline.errors import NotEnoughHistory
from pipeline.models.baselines import FEWEST_SHAPED_WINDOWS
from pipeline.models.har_features import (
    Panel,
    calendar_inputs,
    carried,
    past_inputs,
    range_variances,
    report_inputs,
    report_scores,
    trailing_mean,
    true_variances,
)
from pipeline.quantiles import PROBABILITIES
from pipeline.windows import LOWEST_VOLATILITY

HAR = "har"
HAR_RANGE = "har_range"
#: Sessions of the three means.
THREE_MEANS = (1, 5, 22)
#: Sessions from a stock's first that nothing is learnt from and nothing is forecast at. So many
#: observations of all stocks' level also stand beside a stock's own ones.
LISTED_SESSIONS = 22
#: Penalties of the ridge, in observations; the newest `CHOOSING_SESSIONS` of those that it may
#: learn from choose one.
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
CHOOSING_SESSIONS = 252
#: Share of a stock's own quantiles beside those of all stocks.
OWN_SHARE = 0.5
#: Observations of all stocks, a session of one each, without which nothing is fitted.
FEWEST_OBSERVATIONS = 250
#: Rows of one product of matrices: OpenBLAS uses threads from about 200 of them on.
BLOCK_ROWS = 128

#: (panel, horizon, row of the training cutoff) -> deviations (H, T, S) of the log changes ahead.
Regression: TypeAlias = Callable[[Panel, int, int], Floats]
#: What the past, the calendar and the season of reports say of a stock, (T, inputs) each; put
#: together only where they are used, as those of all stocks are too many at once.
StockInputs: TypeAlias = tuple[Floats, ...]


def forecast(name: str, panel: Panel, horizon: int, fitted: int) -> Floats:
    """Forecast from every session of a panel from its row `fitted` on.

    Args:
        name: `HAR` or `HAR_RANGE`.
        panel: with more sessions after its own than the horizon.
        fitted: the row of the last session that anything is fitted on.

    Returns:
        Quantiles (T - fitted, S, H, Q) in the target's unit; NaN where there is nothing to forecast
        from.

    Raises:
        NotEnoughHistory: fewer than `FEWEST_OBSERVATIONS` before.
    """
    if horizon < 1 or len(panel.later) <= horizon:
        raise ValueError(
            "the horizon must be at least 1, and the panel know more sessions after its own. "
            f"Received: {horizon} and {len(panel.later)}."
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        deviations = REGRESSIONS[name](panel, horizon, fitted)
        shapes, _ = shapes_of(panel, deviations, fitted)
        ahead = deviations[:, fitted:].transpose(1, 2, 0)[..., None] * shapes
        quantiles: Floats = panel.target[fitted:, :, None, None] * np.exp(ahead)
    return quantiles


def shapes_of(panel: Panel, deviations: Floats, fitted: int) -> tuple[Floats, Floats]:
    """Return the quantiles of past changes in multiples of their deviations.

    Returns:
        Those of each stock (S, H, Q), and those of all (H, Q).
    """
    logs = panel.target_logs
    shapes = np.empty((logs.shape[1], len(deviations), len(PROBABILITIES)))
    of_all = np.empty(shapes.shape[1:])
    for at, deviation in enumerate(deviations):
        ahead = at + 1
        changes = (later(logs, ahead) - logs)[: fitted + 1 - ahead]
        shocks = changes / deviation[: len(changes)]
        of_all[at] = pooled = np.quantile(shocks[np.isfinite(shocks)], PROBABILITIES)
        for stock, column in enumerate(shocks.T):
            known = column[np.isfinite(column)]
            enough = len(known) >= FEWEST_SHAPED_WINDOWS
            own = np.quantile(known, PROBABILITIES) if enough else pooled
            shapes[stock, at] = OWN_SHARE * own + (1 - OWN_SHARE) * pooled
    return shapes, of_all


def later(values: Floats, ahead: int) -> Floats:
    """Return the value `ahead` sessions later, (T, S); NaN beyond the end."""
    count = min(ahead, len(values))
    return np.concatenate([values[count:], np.full((count, *values.shape[1:]), np.nan)])


def _deviation(variances: Floats, ahead: int) -> Floats:
    deviation: Floats = np.maximum(np.sqrt(variances), LOWEST_VOLATILITY * np.sqrt(ahead))
    return deviation


def _listed(panel: Panel) -> Bools:
    """Return the sessions at which a stock has been listed for long enough, (T, S)."""
    begun = np.maximum.accumulate(np.isfinite(panel.bars[:, :, 3]), axis=0)
    listed: Bools = begun.cumsum(axis=0) > LISTED_SESSIONS
    return listed


# The three means


def three_means(panel: Panel, horizon: int, fitted: int) -> Floats:
    """Return deviations (H, T, S) by least squares on the three means."""
    variances, listed = range_variances(panel), _listed(panel)
    known = carried(variances)
    means = np.log(np.stack([trailing_mean(known, count) for count in THREE_MEANS], axis=2))
    means[~listed] = np.nan
    deviations = np.empty((horizon, *variances.shape))
    total = np.zeros(variances.shape)
    for ahead in range(1, horizon + 1):
        total = total + later(variances, ahead)
        values = np.concatenate([means, np.log(total)[..., None]], axis=2)
        learnt = np.isfinite(values).all(axis=2)
        learnt[max(fitted + 1 - ahead, 0) :] = False
        _require_enough_observations(int(learnt.sum()))
        levels = _levels(values, learnt)
        centred = values - levels
        coefficients = np.linalg.lstsq(centred[learnt][:, :-1], centred[learnt][:, -1], rcond=None)
        logs = centred[:, :, :-1] @ coefficients[0] + levels[:, -1]
        deviations[ahead - 1] = _deviation(np.exp(logs), ahead)
    return deviations


def _levels(values: Floats, learnt: Bools) -> Floats:
    """Return the mean of each stock's values (S, columns), drawn to that of all stocks."""
    number = learnt.sum(axis=0)[:, None]
    total = np.where(learnt[..., None], values, 0.0).sum(axis=0)
    overall = total.sum(axis=0) / number.sum()
    levels: Floats = (total + LISTED_SESSIONS * overall) / (number + LISTED_SESSIONS)
    return levels


def _require_enough_observations(observations: int) -> None:
    if observations < FEWEST_OBSERVATIONS:
        raise NotEnoughHistory(
            f"{observations} sessions of all stocks to fit a HAR regression on, "
            f"{FEWEST_OBSERVATIONS} needed. Give a later --from, or files that begin earlier."
        )


# The ridge


def ridge(panel: Panel, horizon: int, fitted: int) -> Floats:
    """Return deviations (H, T, S) by one ridge regression per session ahead."""
    inputs = RidgeInputs(panel, has_market(panel))
    return inputs.deviations(inputs.fit(horizon, fitted))


def has_market(panel: Panel) -> bool:
    """Return whether the mean of a panel's stocks says more than its only stock."""
    return len(panel.target[0]) > 1


class RidgeInputs:
    """The inputs of the ridge, put together once, to fit and to forecast from."""

    def __init__(self, panel: Panel, with_market: bool) -> None:
        variances = true_variances(panel)
        self._panel, self._logs, self._scores = panel, np.log(variances), report_scores(panel)
        self._past = past_inputs(panel, variances, with_market)
        self._past[~_listed(panel)] = np.nan

    def fit(self, horizon: int, fitted: int) -> Floats:
        """Return intercept and coefficients of each session ahead, (H, 1 + inputs)."""
        return np.stack(
            [
                _chosen_coefficients(
                    self._parts(ahead), later(self._logs, ahead), fitted + 1 - ahead, ahead
                )
                for ahead in range(1, horizon + 1)
            ]
        )

    def deviations(self, coefficients: Floats) -> Floats:
        """Return what coefficients forecast from each session, (H, T, S)."""
        deviations = np.empty((len(coefficients), *self._logs.shape))
        total = np.zeros(self._logs.shape)
        for ahead, (intercept, *slopes) in enumerate(coefficients, start=1):
            forecasts = [
                intercept + np.concatenate(each, axis=1) @ np.array(slopes)
                for each in self._parts(ahead)
            ]
            total = total + np.exp(np.column_stack(forecasts))
            deviations[ahead - 1] = _deviation(total, ahead)
        return deviations

    def _parts(self, ahead: int) -> list[StockInputs]:
        """Return the inputs of each stock for the session `ahead`."""
        calendar = calendar_inputs(self._panel, ahead)
        reports = report_inputs(self._panel, self._scores, ahead)
        stocks = range(self._logs.shape[1])
        return [(self._past[:, stock], calendar, reports[:, stock]) for stock in stocks]


def _chosen_coefficients(
    inputs: Sequence[StockInputs], actual: Floats, end: int, ahead: int
) -> Floats:
    """Return the intercept and the coefficients of the penalty that loses least at the end.

    Args:
        inputs: of each stock.
        actual: (T, S), the values `ahead`; those from row `end` on are not looked at.
    """
    choosing = max(end - CHOOSING_SESSIONS, 0)
    # What is known of the sessions that choose must not be learnt before.
    bounds = (0, max(choosing - ahead, 0), choosing, max(end, 0))
    before, between, chosen = _moments(inputs, actual, bounds)
    everything = before + between + chosen
    _require_enough_observations(int(everything[0, 0]))
    penalty = PENALTIES[-1]  # nothing speaks for a weaker one where nothing can be held out
    if before[0, 0] >= FEWEST_OBSERVATIONS and chosen[0, 0] > 0:
        penalty = min(PENALTIES, key=lambda each: _squares(chosen, _coefficients(before, each)))
    return _coefficients(everything, penalty)


def _moments(inputs: Sequence[StockInputs], actual: Floats, bounds: Sequence[int]) -> list[Floats]:
    """Return the sums of products of 1, the inputs and the actual value, between row bounds."""
    parts = [slice(first, last) for first, last in pairwise(bounds)]
    sums: list[Any] = [0.0] * len(parts)
    for each, values in zip(inputs, actual.T, strict=True):
        columns = np.column_stack([np.ones(len(values)), *each, values])
        known = np.isfinite(columns).all(axis=1)
        for at, part in enumerate(parts):
            sums[at] = sums[at] + _products(columns[part][known[part]])
    return sums


def _products(rows: Floats) -> Floats:
    """Return rows' @ rows in blocks that the linear algebra does not divide among threads.

    On a busy machine, its threads wait for each other 50 times as long as one of them works.
    """
    padded = np.pad(rows, ((0, -len(rows) % BLOCK_ROWS), (0, 0)))
    blocks = padded.reshape(-1, BLOCK_ROWS, rows.shape[1])
    products: Floats = (blocks.transpose(0, 2, 1) @ blocks).sum(axis=0)
    return products


def _coefficients(moments: Floats, penalty: float) -> Floats:
    """Return intercept and coefficients of the ridge on standardised inputs."""
    number = moments[0, 0]
    mean = moments[0, 1:] / number
    covariance = moments[1:, 1:] / number - np.outer(mean, mean)
    spread = np.sqrt(np.diag(covariance)[:-1])
    constant = ~(spread > 1e-6)  # such as weekdays without a session
    spread[constant] = 1.0
    correlation = covariance[:-1, :-1] / np.outer(spread, spread)
    correlation[constant] = correlation[:, constant] = 0.0
    towards = np.where(constant, 0.0, covariance[:-1, -1] / spread)
    penalised = correlation + penalty / number * np.eye(len(spread))
    slopes = np.linalg.solve(penalised, towards) / spread
    return np.concatenate([[mean[-1] - slopes @ mean[:-1]], slopes])


def _squares(moments: Floats, coefficients: Floats) -> float:
    """Return the mean squared error of coefficients on the observations of moments."""
    weights = np.append(-coefficients, 1.0)
    return float(weights @ moments @ weights / moments[0, 0])


#: By name.
REGRESSIONS: dict[str, Regression] = {HAR: ridge, HAR_RANGE: three_means}
HAR_NAMES = tuple(REGRESSIONS)
