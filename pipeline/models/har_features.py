"""Inputs of the HAR regressions: the market's and each stock's past, and the calendar ahead.

The variance of a session is estimated by its range, which knows five to seven times as much as the
squared change of the close (Parkinson 1980, Garman & Klass 1980). `true_variances` take the range
together with the close before (the true range, Wilder 1978): the overnight change is part of it,
and prices that have closes alone have one, too. All inputs are ratios, so that a price in cents
gives the same as one in dollars. None of them looks at a session after its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array, Floats, Ints
from pipeline.windows import LOWEST_VOLATILITY

#: A range of nearly nothing, as of a session that hardly traded, says less than its log would: no
#: session counts for less than this share of the mean variance of the last `USUAL_SESSIONS`.
LEAST_SHARE = 0.01
USUAL_SESSIONS = 66
#: Sessions of the means of log variances; the last is the stock's own level, four years.
MEAN_SESSIONS = (1, 2, 5, 10, 22, 66, 1000)
#: Sessions of the means of the market's log variances, above each stock's own level.
MARKET_SESSIONS = (1, 5, 22, 66)
#: Sessions of the sums of signed changes: a fall raises volatility, a rise does not.
SIGNED_SESSIONS = (1, 5, 22)
#: A change counts for no more than this multiple of the usual range.
MOST_CHANGE = 4.0
#: Sessions of a usual volume.
VOLUME_SESSIONS = 22
#: Sessions of the mean volumes, and of the usual ones that they are compared with.
COMPARED_VOLUMES = ((1, VOLUME_SESSIONS), (5, USUAL_SESSIONS))
#: How many inputs the past of a stock gives, and that of the market.
PAST_INPUTS = len(MEAN_SESSIONS) + len(SIGNED_SESSIONS) + len(COMPARED_VOLUMES)
MARKET_INPUTS = len(MARKET_SESSIONS) + len(SIGNED_SESSIONS)
#: Calendar days from a quarterly report to the next four: reports come on the same weekday, so that
#: lags in sessions find nothing.
REPORT_LAGS = (91, 182, 273, 364)
#: Stocks that are worked on together.
BLOCK_STOCKS = 64
#: Days around the day a quarter before a known report in which the one of that quarter was.
REPORT_SLACK = 7
#: Days around a known report on which the stock has no other.
REPORT_DAYS = 45
#: The score of a report is no larger than this.
MOST_SCORE = 10.0
#: A session that is shorter than this share of the usual one is half a day.
HALF_DAY = 0.8


@dataclass(frozen=True, eq=False)
class Panel:
    """The prices of several stocks on the sessions of one calendar.

    Attributes:
        sessions: datetime64[D] (T,).
        later: datetime64[D] (A,), the sessions after them, as the calendar has them.
        hours: (T + A,), the length of each; NaN where it is not known.
        bars: (T, S, 5), open, high, low, close and volume, without the falls of dividends; NaN
            where a cell is missing or masked, and where a stock is not listed.
        target: (T, S), the values that are forecast, as traded; NaN likewise.
        steps: (T, S), the share of the target before that each session's dividend has left; None:
            there is no dividend.
        reports: int64 (R, 4), reports whose day is known: the stock, the day as datetime64[D], the
            first row at which it is known and the first at which it no longer is; None: there is
            none.
    """

    sessions: Array
    later: Array
    hours: Floats
    bars: Floats
    target: Floats
    steps: Floats | None = None
    reports: Ints | None = None

    @property
    def target_logs(self) -> Floats:
        """Logs of the target, (T, S), with all dividends added back."""
        logs: Floats = np.log(self.target)
        return logs if self.steps is None else logs - np.log(self.steps).cumsum(axis=0)

    def stocks(self, part: slice) -> Panel:
        """Return the panel of some of its stocks."""
        reports = self.reports
        if reports is not None:
            own = reports[(part.start <= reports[:, 0]) & (reports[:, 0] < part.stop)]
            reports = own - [part.start, 0, 0, 0]
        return dataclasses.replace(
            self,
            bars=self.bars[:, part],
            target=self.target[:, part],
            steps=None if self.steps is None else self.steps[:, part],
            reports=reports,
        )


def stock_blocks(panel: Panel) -> Iterator[slice]:
    """Yield the stocks of a panel, as many at a time as are worked on together.

    What is worked out of thousands of stocks at once takes many times the memory of their prices.
    """
    count = panel.target.shape[1]
    for first in range(0, count, BLOCK_STOCKS):
        yield slice(first, min(first + BLOCK_STOCKS, count))


# Variances


def true_variances(panel: Panel) -> Floats:
    """Return the variance that each session's true range stands for, (T, S); NaN: unknown."""
    return _variances(*_true_bounds(panel))


def range_variances(panel: Panel) -> Floats:
    """Return the variance that each session's range stands for (Parkinson 1980), (T, S).

    A session without a range has that of its true range.
    """
    _, high, low, close, _ = np.moveaxis(panel.bars, 2, 0)
    true_high, true_low = _true_bounds(panel)
    with np.errstate(invalid="ignore"):
        ranged = (high > low) & np.isfinite(close)
    return _variances(np.where(ranged, high, true_high), np.where(ranged, low, true_low))


def _true_bounds(panel: Panel) -> tuple[Floats, Floats]:
    """Return the highest and lowest price from the close before to the close, (T, S) each."""
    _, high, low, close, _ = np.moveaxis(panel.bars, 2, 0)
    before = _before(carried(close))
    known = np.isfinite(close)
    highest = np.where(known, np.fmax(np.fmax(high, close), before), np.nan)
    lowest = np.where(known, np.fmin(np.fmin(low, close), before), np.nan)
    return highest, lowest


def _variances(high: Floats, low: Floats) -> Floats:
    squares = np.log(high / low) ** 2 / (4 * np.log(2))
    usual = trailing_mean(squares, USUAL_SESSIONS)
    variances: Floats = np.maximum(np.maximum(squares, LEAST_SHARE * usual), LOWEST_VOLATILITY**2)
    return variances


# Series


def carried(values: Floats) -> Floats:
    """Return values (T, S) with the last known one where one is missing; NaN before the first."""
    rows = np.where(np.isfinite(values), np.arange(len(values))[:, None], 0)
    last: Floats = np.take_along_axis(values, np.maximum.accumulate(rows, axis=0), axis=0)
    return last


def later(values: Floats, ahead: int) -> Floats:
    """Return the value `ahead` sessions later, (T, S); NaN beyond the end."""
    count = min(ahead, len(values))
    return np.concatenate([values[count:], np.full((count, *values.shape[1:]), np.nan)])


def trailing_mean(values: Floats, count: int) -> Floats:
    """Return means over the last `count` sessions (T, S), or over fewer at the beginning.

    Missing values are left out; NaN where there is none to take the mean of.
    """
    known = np.isfinite(values)
    total = _trailing_sum(np.where(known, values, 0.0), count)
    number = _trailing_sum(known.astype("float64"), count)
    unknown = np.full(values.shape, np.nan)
    mean: Floats = np.divide(total, number, out=unknown, where=number > 0)
    return mean


def _trailing_sum(values: Floats, count: int) -> Floats:
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    first = np.maximum(np.arange(1, len(sums)) - count, 0)
    trailing: Floats = sums[1:] - sums[first]
    return trailing


def _before(values: Floats) -> Floats:
    """Return the value one session before, (T, S); NaN at the first."""
    return np.concatenate([np.full((1, values.shape[1]), np.nan), values[:-1]])


# Inputs that the past decides


def past_inputs(panel: Panel, variances: Floats, market: Floats | None) -> Floats:
    """Return what each session and those before it say, (T, S, inputs).

    NaN before a stock's first session.

    Args:
        market: the `market_inputs`; None: they are not among the inputs.
    """
    count = PAST_INPUTS + (0 if market is None else MARKET_INPUTS)
    inputs = np.empty((*variances.shape, count))
    # One after the other: next to each other they would take twice the memory.
    for place, each in enumerate(_each_past_input(panel, variances)):
        inputs[:, :, place] = each
    if market is not None:
        inputs[:, :, PAST_INPUTS:] = market[:, None]
    return inputs


def _each_past_input(panel: Panel, variances: Floats) -> Iterator[Floats]:
    """Yield what a stock's own past says, (T, S) each."""
    logs = np.log(carried(variances))
    yield from (trailing_mean(logs, count) for count in MEAN_SESSIONS)
    yield from _signed_sums(_signed_changes(panel, variances))
    yield from _volumes(panel)


def market_inputs(panel: Panel) -> Floats:
    """Return what the mean of all stocks says at each session, (T, inputs)."""
    excess, signed = np.empty(panel.target.shape), np.empty(panel.target.shape)
    for part in stock_blocks(panel):
        own = panel.stocks(part)
        variances = true_variances(own)
        logs = np.log(carried(variances))
        excess[:, part] = logs - trailing_mean(logs, MEAN_SESSIONS[-1])
        signed[:, part] = _signed_changes(own, variances)
    of_all = _market_mean(excess)
    means = [trailing_mean(of_all, count) for count in MARKET_SESSIONS]
    return np.concatenate([*means, *_signed_sums(_market_mean(signed))], axis=1)


def _signed_changes(panel: Panel, variances: Floats) -> Floats:
    """Return changes of the close in multiples of the usual range, 0 where one is missing."""
    close = panel.bars[:, :, 3]
    usual = np.sqrt(trailing_mean(variances, USUAL_SESSIONS))
    changes = np.log(close / _before(carried(close))) / usual
    limited: Floats = np.clip(np.nan_to_num(changes), -MOST_CHANGE, MOST_CHANGE)
    return limited


def _signed_sums(signed: Floats) -> Iterator[Floats]:
    for count in SIGNED_SESSIONS:
        yield trailing_mean(signed, count) * np.sqrt(count)


def _volumes(panel: Panel) -> Iterator[Floats]:
    """Yield log volumes of one session and of five, above usual; 0 where there is no volume."""
    logs = carried(_log_volumes(panel))
    for short, long in COMPARED_VOLUMES:
        yield np.nan_to_num(trailing_mean(logs, short) - trailing_mean(logs, long))


def _log_volumes(panel: Panel) -> Floats:
    volume = panel.bars[:, :, 4]
    traded = np.isfinite(volume) & (volume > 0)
    return np.log(volume, out=np.full(volume.shape, np.nan), where=traded)


def _market_mean(values: Floats) -> Floats:
    """Return the mean over the stocks that are listed, (T, 1); 0 where none is."""
    known = np.isfinite(values)
    number = np.maximum(known.sum(axis=1, keepdims=True), 1)
    mean: Floats = np.where(known, values, 0.0).sum(axis=1, keepdims=True) / number
    return mean


# Inputs that the calendar decides


def calendar_inputs(panel: Panel, ahead: int) -> Floats:
    """Return what is known of the session `ahead` of each, (T, inputs).

    They are the days since the session before and until the one after, as logs, half a day, and the
    weekday.
    """
    days = np.concatenate([panel.sessions, panel.later])
    gaps = np.log(np.diff(days).astype("float64"))
    target = np.arange(len(panel.sessions)) + ahead
    usual = np.nanmedian(panel.hours) if np.isfinite(panel.hours).any() else np.nan
    half_day = panel.hours[target] < HALF_DAY * usual
    weekday = (days[target].astype("int64") + 3) % 7  # 1970-01-01 was a Thursday
    weekdays = [weekday == each for each in range(6)]
    return np.column_stack([gaps[target - 1], gaps[target], half_day, *weekdays]).astype("float64")


def report_scores(panel: Panel) -> Floats:
    """Return how much each session looks like that of a quarterly report, (T, S), from 0.

    It is how far the volume exceeds the usual one (as a log) times the overnight change over the
    usual one, as a log above 1. Before anything is usual it is 0.
    """
    opened, close = panel.bars[:, :, 0], panel.bars[:, :, 3]
    volumes, gaps = _log_volumes(panel), np.log(opened / _before(carried(close)))
    excess = volumes - _before(trailing_mean(volumes, VOLUME_SESSIONS))
    usual = np.sqrt(_before(trailing_mean(gaps**2, USUAL_SESSIONS)))
    size = np.divide(np.abs(gaps), usual, out=np.zeros(gaps.shape), where=usual > 0)
    scores: Floats = np.log1p(np.clip(np.nan_to_num(excess * size), 0.0, MOST_SCORE))
    return scores


def report_inputs(panel: Panel, scores: Floats, ahead: int) -> Floats:
    """Return what the season, or a known day, says of a report on the session ahead, (T, S, 5).

    These are the scores of the days one to four quarters before, and the second highest of the
    four: two quarters agree. A day without a session has 0. Where the day of a report is known at a
    session, the season counts no longer: that day has the scores of the reports of the quarters
    before, wherever these were near, and a sixth input of 1; the days around it have 0.
    """
    days = np.concatenate([panel.sessions, panel.later])
    target = days[np.arange(len(panel.sessions)) + ahead]
    padded = np.concatenate([scores, np.zeros((1, scores.shape[1]))])
    lags = len(REPORT_LAGS)
    inputs = np.empty((*scores.shape, lags + 1))
    for place, lag in enumerate(REPORT_LAGS):
        inputs[:, :, place] = padded[_rows_of(panel.sessions, target - lag)]
    inputs[:, :, lags:] = _second_highest(inputs[:, :, :lags])
    if panel.reports is None:
        return inputs
    return _with_known_reports(panel, panel.reports, scores, inputs, days, ahead)


def _second_highest(lagged: Floats) -> Floats:
    second: Floats = np.sort(lagged, axis=-1)[..., -2:-1]
    return second


def _with_known_reports(
    panel: Panel, reports: Ints, scores: Floats, season: Floats, days: Array, ahead: int
) -> Floats:
    """Return the inputs of the season where no day is known, and those of the known days."""
    inputs = np.concatenate([season, np.zeros((*season.shape[:2], 1))], axis=2)
    stocks, numbers, firsts, ends = reports.T
    known = numbers.astype("datetime64[D]")
    begins = np.searchsorted(days, known - REPORT_DAYS) - ahead
    stops = np.searchsorted(days, known + REPORT_DAYS, side="right") - ahead
    begins, stops = np.maximum(begins, firsts), np.minimum(stops, ends)
    for stock, begin, stop in zip(stocks, begins, stops, strict=True):
        inputs[begin : max(begin, stop), stock] = 0.0
    rows = np.searchsorted(days, known) - ahead
    ahead_of = (firsts <= rows) & (rows < ends)
    stocks, rows, known = stocks[ahead_of], rows[ahead_of], known[ahead_of]
    lagged = _scores_before(panel.sessions, scores, stocks, rows, known)
    second = _second_highest(lagged)
    inputs[rows, stocks] = np.concatenate([lagged, second, np.ones(second.shape)], axis=1)
    return inputs


def _scores_before(
    sessions: Array, scores: Floats, stocks: Ints, rows: Ints, days: Array
) -> Floats:
    """Return the highest scores near the days one to four quarters before these days, (R, 4).

    Args:
        rows: (R,), the last row that may be looked at.
    """
    quarters = days[:, None] - np.array(REPORT_LAGS)
    begins = np.searchsorted(sessions, quarters - REPORT_SLACK)
    stops = np.searchsorted(sessions, quarters + REPORT_SLACK, side="right")
    stops = np.minimum(stops, rows[:, None] + 1)
    near = begins[..., None] + np.arange(2 * REPORT_SLACK + 1)
    values = scores[np.minimum(near, len(scores) - 1), stocks[:, None, None]]
    highest: Floats = np.where(near < stops[..., None], values, 0.0).max(axis=2)
    return highest


def _rows_of(sessions: Array, days: Array) -> Ints:
    """Return the rows of days among the sessions; their number where a day is none of them."""
    rows = np.searchsorted(sessions, days)
    found = sessions[np.minimum(rows, len(sessions) - 1)] == days
    places: Ints = np.where(found, rows, len(sessions))
    return places
