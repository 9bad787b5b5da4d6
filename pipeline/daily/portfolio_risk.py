"""Portfolio risk: the gain of a portfolio over the next sessions, and the record of its risk.

The record holds the portfolio with today's parts at every past session. Past margins are the
forecasts that counted (see `measures.scores.counted`); prices are as known to the newest run, and
each past session's dependence is of those up to it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.arrays import Floats
from pipeline.daily.currencies import with_currency
from pipeline.daily.joint_forecasts import (
    JointPaths,
    generator,
    joint_paths,
    prices_before,
    run_behind,
    seed_of,
)
from pipeline.errors import NothingStored, SettingsError
from pipeline.joint import (
    PastForecast,
    Portfolio,
    RiskRecord,
    dependence_of,
    expected_shortfall,
    gains_of,
    past_changes,
    record_of,
    value_at_risk,
)
from pipeline.measures import drift, scores
from pipeline.money import currency_words
from pipeline.quantiles import PROBABILITIES
from pipeline.storage import Span
from pipeline.tables import FORECASTS, PUBLICATIONS, SCORES

if TYPE_CHECKING:
    from pipeline.daily.page_tables import Series
    from pipeline.parts import Parts


@dataclass(frozen=True, eq=False)
class PortfolioRisk:
    """A portfolio at a session, with joint paths of its holdings.

    Attributes:
        holdings: those that the session is published for.
        without: the tickers that it is not published for.
        currency: of all prices; "": not known.
        worth: of all holdings, short ones without their sign; NaN where parts are given.
    """

    holdings: Portfolio
    without: tuple[str, ...]
    currency: str
    worth: float
    weights: Floats
    drawn: JointPaths

    @property
    def gains(self) -> Floats:
        """The gain by path and session ahead, (M, H), as a fraction of `worth`."""
        return gains_of(self.drawn.values, self.drawn.margins.last, self.weights)

    def table(self, levels: Sequence[float]) -> pd.DataFrame:
        """Return a row per session ahead: losses that are exceeded rarely, fractions of `worth`.

        Columns: horizon, session, mean and median (of the gain), then by level, such as 0.95,
        value_at_risk_95 and expected_shortfall_95: losses, above 0.
        """
        return risk_table(self.gains, self.drawn.margins.sessions, levels)


def risk_table(gains: Floats, sessions: np.ndarray, levels: Sequence[float]) -> pd.DataFrame:
    """Return the table of `PortfolioRisk.table` of gains by path and session ahead, (M, H)."""
    columns = {
        "horizon": np.arange(1, gains.shape[1] + 1),
        "session": sessions,
        "mean": gains.mean(axis=0),
        "median": np.median(gains, axis=0),
    }
    for level in levels:
        columns[f"value_at_risk_{level_text(level)}"] = value_at_risk(gains, level)
        columns[f"expected_shortfall_{level_text(level)}"] = expected_shortfall(gains, level)
    return pd.DataFrame(columns)


def level_text(level: float) -> str:
    """Return a level in percent, such as 95 or 97.5."""
    return f"{100 * level:.6g}"


def portfolio_risk(
    parts: Parts, series: Series, session: dt.date, portfolio: Portfolio, paths: int
) -> PortfolioRisk:
    """Draw joint paths of what a portfolio holds.

    Raises:
        NothingStored: nothing of it is published for the session.
        SettingsError: its prices are in more than one currency.
    """
    key: dict[str, object] = {**series.key, "cutoff": session}
    rows = parts.store.load(FORECASTS, **key, ticker=list(portfolio.amounts), horizon=1)
    if rows.empty:
        raise NothingStored(
            f"{series.universe} {session}: nothing is published of the portfolio's "
            f"{', '.join(sorted(portfolio.amounts))}. Name another session or universe (--session, "
            "--universe), or a portfolio of its tickers."
        )
    published = {str(ticker) for ticker in rows["ticker"]}
    # In the order of the forecasts' rows, which is that of all arrays here.
    amounts = {ticker: portfolio.amounts[ticker] for ticker in sorted(published)}
    holdings = Portfolio(amounts, portfolio.are_shares)
    drawn = joint_paths(parts, key, paths, sorted(published))
    last = drawn.margins.last
    return PortfolioRisk(
        holdings=holdings,
        without=tuple(sorted(set(portfolio.amounts) - published)),
        currency=_one_currency(parts, key, rows),
        worth=float(np.abs(holdings.worth(last)).sum()) if holdings.are_shares else float("nan"),
        weights=holdings.weights(last),
        drawn=drawn,
    )


def _one_currency(parts: Parts, key: Mapping[str, object], rows: pd.DataFrame) -> str:
    """Return the currency of all rows.

    Raises:
        SettingsError: they have several.
    """
    named = with_currency(parts.store, rows, **key)
    if "currency" not in named:
        return ""
    by_currency = named.groupby("currency")["ticker"].apply(list)
    if len(by_currency) > 1:
        parts_of = "; ".join(
            f"{currency_words(str(currency)) or 'unknown'}: {', '.join(tickers)}"
            for currency, tickers in by_currency.items()
        )
        raise SettingsError(
            f"The portfolio's prices are in {len(by_currency)} currencies ({parts_of}), and how "
            "these move against each other is not forecast. Give a portfolio for each "
            "(--portfolio)."
        )
    return str(by_currency.index[0])


# The record


@dataclass(frozen=True)
class PastRisk:
    """The record of a portfolio.

    Attributes:
        first, last: the cutoffs of its first and last session.
        backfilled: True where the forecasts were made when their outcomes could be known, as too
            few were published in time.
    """

    record: RiskRecord
    first: dt.date
    last: dt.date
    backfilled: bool


def past_risk(
    parts: Parts, risk: PortfolioRisk, levels: Sequence[float], sessions: int
) -> PastRisk | None:
    """Return the record over the newest sessions that all holdings were forecast and scored at.

    Returns:
        None where there is none.
    """
    scored, backfilled = _scored(parts, risk, sessions)
    if scored.empty:
        return None
    margins, horizon = risk.drawn.margins, risk.drawn.margins.horizon
    behind = run_behind(parts, margins.key)
    cutoffs = list(scored["cutoff"].unique())
    prices = prices_before(parts, margins, behind, cutoffs[0].date())
    changes = past_changes(prices.to_numpy("float64"), horizon)
    rows = (prices.index.searchsorted(cutoffs, side="right") - 1).tolist()
    values = scored[list(scores.FORECAST_COLUMNS)].to_numpy("float64")
    known = np.isfinite(values).all(axis=0)
    shape = (len(cutoffs), len(margins.tickers), horizon)
    quantiles = values[:, known].reshape(*shape, -1)
    last = scored["last_value"].to_numpy("float64").reshape(shape)[:, :, 0]
    actual = scored["actual"].to_numpy("float64").reshape(shape)

    def forecasts() -> Iterator[PastForecast]:
        for place, cutoff in enumerate(cutoffs):
            key = {**margins.key, "cutoff": cutoff.date()}
            dependence = dependence_of(changes, rows[place], generator(behind, key, 0))
            seed = seed_of(behind, key, 1)
            yield PastForecast(quantiles[place], last[place], actual[place], dependence, seed)

    probabilities = np.array(PROBABILITIES)[known].tolist()
    paths = len(risk.drawn.values)
    record = record_of(forecasts(), probabilities, risk.weights, levels, paths)
    return PastRisk(record, cutoffs[0].date(), cutoffs[-1].date(), backfilled)


def _scored(parts: Parts, risk: PortfolioRisk, sessions: int) -> tuple[pd.DataFrame, bool]:
    """Return what counted, with its outcomes, by cutoff, ticker and horizon; is it backfilled?

    Each cutoff has a row for every holding and session ahead; an outcome that is not known yet is
    NaN.
    """
    margins, horizon = risk.drawn.margins, risk.drawn.margins.horizon
    cutoff = pd.Timestamp(str(margins.key["cutoff"])).date()
    series = {name: margins.key[name] for name in ("universe", "recipe", "target")}
    until: dict[str, object] = {**series, "ticker": list(margins.tickers)}
    newest = parts.store.ends(
        SCORES, "cutoff", sessions, newest=True, **until, session=Span(last=cutoff)
    )
    until |= {"cutoff": newest, "horizon": list(range(1, horizon + 1))}
    outcomes = parts.store.load(SCORES, **until, session=Span(last=cutoff))
    first = outcomes[outcomes["horizon"] == 1]
    in_time = int(first.loc[~first["backfilled"], "cutoff"].nunique())
    backfilled = in_time < drift.FEWEST_SCORED_SESSIONS and bool(first["backfilled"].any())
    first = first[first["backfilled"] == backfilled]
    counts = first.groupby("cutoff").size()
    whole = counts.index[counts == len(margins.tickers)]
    published = parts.store.load(PUBLICATIONS, **until)
    moments = first[["ticker", "cutoff", "published_at"]]
    rows = published.merge(moments, on=["ticker", "cutoff", "published_at"])
    rows = rows[rows["cutoff"].isin(whole)]
    actual = outcomes[["ticker", "cutoff", "horizon", "actual"]]
    rows = rows.merge(actual, on=["ticker", "cutoff", "horizon"], how="left")
    rows = rows.sort_values(["cutoff", "ticker", "horizon"], ignore_index=True)
    sizes = rows.groupby("cutoff")["horizon"].transform("size")
    return rows[sizes == len(margins.tickers) * horizon], backfilled
