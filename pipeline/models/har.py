"""Heterogeneous autoregressions (HAR, Corsi 2009): pooled regressions of the volatility ahead.

Two opponents that are fitted in seconds, for all stocks of a universe together, and need no
network:

    har_range   least squares of the log variance of the next h sessions on the logs of the mean
                variances of the last 1, 5 and 22 sessions (Corsi 2009), each around the stock's own
                level; variances are Parkinson's (1980) of the range
    har         ridge (Hoerl & Kennard 1970) of each session ahead on more such means, the market's,
                signed changes (leverage: Black 1976), volumes, the calendar ahead and the season of
                reports; see `har_features`. The variances of the sessions up to a horizon are
                summed. Its median follows a line through the session's prices where the past
                speaks for one; see `har_medians`

The distribution is filtered historical simulation (Barone-Adesi, Giannopoulos & Vosper 1999): the
quantiles of the past changes of the target in multiples of what was forecast for them, half the
stock's own and half all stocks', around the last value (of `har`: around its line).

Everything is fitted on sessions up to one row, the training cutoff; the forecast of a later row
sees the prices up to that row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from pipeline.arrays import Bools, Floats
from pipeline.models.baselines import FEWEST_SHAPED_WINDOWS
from pipeline.models.har_features import (
    Panel,
    calendar_inputs,
    carried,
    later,
    market_inputs,
    past_inputs,
    range_variances,
    report_inputs,
    report_scores,
    stock_blocks,
    trailing_mean,
    true_variances,
)
from pipeline.models.har_medians import LINE_INPUTS, centres_of, fitted_lines
from pipeline.models.har_ridge import RidgeSums, StockInputs, require_enough_observations
from pipeline.quantiles import PROBABILITIES
from pipeline.windows import LOWEST_VOLATILITY

HAR = "har"
HAR_RANGE = "har_range"
#: Sessions of the three means.
THREE_MEANS = (1, 5, 22)
#: Sessions from a stock's first that nothing is learnt from and nothing is forecast at. So many
#: observations of all stocks' level also stand beside a stock's own ones.
LISTED_SESSIONS = 22
#: Share of a stock's own quantiles beside those of all stocks.
OWN_SHARE = 0.5
#: Known reports of all stocks without which nothing is learnt of their days but what the season
#: says.
FEWEST_REPORTS = 50

#: (panel, horizon, row of the training cutoff) -> deviations (H, T, S) of the log changes ahead.
Regression: TypeAlias = Callable[[Panel, int, int], Floats]


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
        lines = np.zeros((horizon, LINE_INPUTS))
        if name == HAR:
            lines = fitted_lines(panel, deviations, fitted)
        centres = centres_of(panel, deviations, lines)
        shapes, _ = shapes_of(panel, centres, deviations, fitted)
        moved, wide = (each[:, fitted:].transpose(1, 2, 0) for each in (centres, deviations))
        ahead = moved[..., None] + wide[..., None] * shapes
        quantiles: Floats = panel.target[fitted:, :, None, None] * np.exp(ahead)
    return quantiles


def shapes_of(
    panel: Panel, centres: Floats, deviations: Floats, fitted: int
) -> tuple[Floats, Floats]:
    """Return the quantiles of past changes around their centres, in multiples of their deviations.

    Returns:
        Those of each stock (S, H, Q), and those of all (H, Q).
    """
    stocks = panel.target.shape[1]
    shapes = np.empty((stocks, len(deviations), len(PROBABILITIES)))
    of_all = np.empty(shapes.shape[1:])
    for at, (centre, deviation) in enumerate(zip(centres, deviations, strict=True)):
        ahead = at + 1
        shocks = np.empty((len(panel.sessions[: fitted + 1 - ahead]), stocks))
        for part in stock_blocks(panel):
            logs = panel.stocks(part).target_logs
            own = (later(logs, ahead) - logs - centre[:, part]) / deviation[:, part]
            shocks[:, part] = own[: len(shocks)]
        of_all[at] = pooled = np.quantile(shocks[np.isfinite(shocks)], PROBABILITIES)
        for stock, column in enumerate(shocks.T):
            known = column[np.isfinite(column)]
            enough = len(known) >= FEWEST_SHAPED_WINDOWS
            own_shape = np.quantile(known, PROBABILITIES) if enough else pooled
            shapes[stock, at] = OWN_SHARE * own_shape + (1 - OWN_SHARE) * pooled
    return shapes, of_all


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
        require_enough_observations(int(learnt.sum()))
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


# The ridge


def ridge(panel: Panel, horizon: int, fitted: int) -> Floats:
    """Return deviations (H, T, S) by one ridge regression per session ahead."""
    return fitted_ridge(panel, horizon, fitted)[1]


def fitted_ridge(panel: Panel, horizon: int, fitted: int) -> tuple[Floats, Floats]:
    """Return the coefficients of `ridge` (H, 1 + inputs), and its deviations (H, T, S)."""
    inputs = RidgeInputs(panel, has_market(panel))
    coefficients = inputs.fit(horizon, fitted)
    return coefficients, inputs.deviations(coefficients)


def has_market(panel: Panel) -> bool:
    """Return whether the mean of a panel's stocks says more than its only stock."""
    return len(panel.target[0]) > 1


class RidgeInputs:
    """The inputs of the ridge, put together for some stocks at a time, to fit and to forecast."""

    def __init__(self, panel: Panel, with_market: bool) -> None:
        self._panel = panel
        self._market = market_inputs(panel) if with_market else None

    def fit(self, horizon: int, fitted: int) -> Floats:
        """Return intercept and coefficients of each session ahead, (H, 1 + inputs)."""
        ends = {ahead: max(fitted + 1 - ahead, 0) for ahead in range(1, horizon + 1)}
        sums = {ahead: RidgeSums(end, ahead) for ahead, end in ends.items()}
        few = [ahead for ahead, end in ends.items() if self._has_few_reports(ahead, end)]
        for part in stock_blocks(self._panel):
            own = _BlockInputs(self._panel.stocks(part), self._market)
            for ahead, each in sums.items():
                inputs = own.ahead(ahead)
                each.add(
                    map(_without_known_reports, inputs) if ahead in few else inputs,
                    later(own.logs, ahead),
                )
        return np.stack([each.coefficients() for each in sums.values()])

    def _has_few_reports(self, ahead: int, end: int) -> bool:
        """Return whether too few known reports are before row `end` to learn anything of them."""
        if self._panel.reports is None:
            return False
        blocks = map(self._panel.stocks, stock_blocks(self._panel))
        known = sum(
            report_inputs(own, report_scores(own), ahead)[:end, :, -1].sum() for own in blocks
        )
        return bool(known < FEWEST_REPORTS)

    def deviations(self, coefficients: Floats) -> Floats:
        """Return what coefficients forecast from each session, (H, T, S)."""
        deviations = np.empty((len(coefficients), *self._panel.target.shape))
        for part in stock_blocks(self._panel):
            own = _BlockInputs(self._panel.stocks(part), self._market)
            total = np.zeros(own.logs.shape)
            for ahead, (intercept, *slopes) in enumerate(coefficients, start=1):
                forecasts = [
                    intercept + _weighted(np.concatenate(each, axis=1), np.array(slopes))
                    for each in own.ahead(ahead)
                ]
                total = total + np.exp(np.column_stack(forecasts))
                deviations[ahead - 1][:, part] = _deviation(total, ahead)
        return deviations


class _BlockInputs:
    """The inputs of some stocks.

    Attributes:
        logs: (T, S), of the true variances.
    """

    def __init__(self, panel: Panel, market: Floats | None) -> None:
        variances = true_variances(panel)
        self._panel, self._scores = panel, report_scores(panel)
        self.logs = np.log(variances)
        self._past = past_inputs(panel, variances, market)
        self._past[~_listed(panel)] = np.nan

    def ahead(self, ahead: int) -> list[StockInputs]:
        """Return the inputs of each stock for the session `ahead`."""
        calendar = calendar_inputs(self._panel, ahead)
        reports = report_inputs(self._panel, self._scores, ahead)
        stocks = range(self.logs.shape[1])
        return [(self._past[:, stock], calendar, reports[:, stock]) for stock in stocks]


def _without_known_reports(inputs: StockInputs) -> StockInputs:
    """Return a stock's inputs with 0 in place of the last one."""
    past, calendar, reports = inputs
    return past, calendar, reports * ([1.0] * (reports.shape[1] - 1) + [0.0])


def _weighted(inputs: Floats, slopes: Floats) -> Floats:
    """Return the weighted sums of inputs, (T,).

    The last one, of known reports, is there where a panel has any: where those that were fitted on
    have none, or these have none, it counts for nothing.
    """
    count = min(inputs.shape[1], len(slopes))
    sums: Floats = inputs[:, :count] @ slopes[:count]
    return sums


#: By name.
REGRESSIONS: dict[str, Regression] = {HAR: ridge, HAR_RANGE: three_means}
HAR_NAMES = tuple(REGRESSIONS)
