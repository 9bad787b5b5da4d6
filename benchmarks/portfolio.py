"""Print the record of a portfolio's risk over past years, by how the stocks are joined.

    python -m benchmarks.portfolio [--data DIR] [--tickers A,B] [--target close]
                                   [--years 2012,2013] [--level 95,99] [--paths 1000]

The margins are those of `har`, fitted before each year on all sessions before it and calibrated day
by day as forecasts are published; the year before the first one is forecast for the calibration
alone. The portfolio holds every stock with the same part. Its scenarios take their dependence from
the sessions before each cutoff (`pipeline.joint`); beside them are independent draws and a Gaussian
copula of the same margins.

Without --data, the shipped sample is used. No STOCKCAST_ variable has an effect.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.accuracy import HORIZON, histories_of, last_year, masked_until
from pipeline.arrays import Array, Floats
from pipeline.joint import PastForecast, dependence_of, past_changes, record_of
from pipeline.measures import REJECTED_BELOW, calibration
from pipeline.models import har
from pipeline.parts import Parts
from pipeline.quantiles import PROBABILITIES
from pipeline.reporting import format_rows
from pipeline.research import har_forecasts, studied_universe
from pipeline.sessions import Calendar
from pipeline.settings import Settings, variables


@dataclass(frozen=True, eq=False)
class Market:
    """Prices and forecasts of all stocks side by side.

    Attributes:
        sessions: datetime64[D] (T,).
        prices: (T, S).
        actual: (T, S, H), the prices 1 to H sessions later; NaN where there are none.
        quantiles: (T, S, H, Q), calibrated; NaN at sessions that are not forecast from.
    """

    tickers: tuple[str, ...]
    sessions: Array
    prices: Floats
    actual: Floats
    quantiles: Floats


def main() -> None:
    for name in variables():
        os.environ.pop(name, None)
    arguments = parsed_arguments()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            home=Path(folder),
            data=arguments.data,
            source="" if arguments.data else "sample",
            tickers=arguments.tickers,
        )
        with Parts(settings, progress=lambda *_: None) as parts:
            histories = histories_of(parts, arguments.target)
            calendar = parts.calendar(studied_universe(settings))
    years = [int(year) for year in arguments.years.split(",") if year] or [last_year(histories)]
    market = market_of(histories, arguments.target, years, calendar)
    levels = [float(level) / 100 for level in arguments.level.split(",")]
    print_record(market, years, levels, arguments.paths)
    print_cost(arguments.paths)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.portfolio", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", default="", metavar="DIR", help="folder of price files")
    parser.add_argument("--tickers", default="", help="comma-separated (default: all)")
    parser.add_argument("--target", default="close")
    parser.add_argument("--years", default="", help="comma-separated (default: the last whole one)")
    parser.add_argument("--level", default="95,99", help="percent, comma-separated")
    parser.add_argument("--paths", type=int, default=1000)
    return parser.parse_args()


def market_of(
    histories: Mapping[str, pd.DataFrame], target: str, years: Sequence[int], calendar: Calendar
) -> Market:
    """Forecast each year, and the one before the first, from all that is before it."""
    masked = masked_until(histories, max(years))
    tickers = tuple(masked)
    prices = pd.DataFrame({t: masked[t].set_index("session")[target] for t in tickers}).sort_index()
    sessions = prices.index.to_numpy().astype("datetime64[D]")
    quantiles = np.full((*prices.shape, HORIZON, len(PROBABILITIES)), np.nan)
    for year in [min(years) - 1, *years]:
        known = masked_until(histories, year)
        fitted = calendar.last_session_until(dt.date(year - 1, 12, 31))
        made = har_forecasts(har.HAR, known, target, HORIZON, fitted, calendar)
        in_year = made.cutoffs.astype("datetime64[Y]") == np.datetime64(str(year))
        rows = np.searchsorted(sessions, made.cutoffs[in_year])
        for stock, ticker in enumerate(tickers):
            if ticker in made.by_ticker:
                quantiles[rows, stock] = made.by_ticker[ticker][in_year]
    values = prices.to_numpy("float64")
    actual = np.stack([shifted(values, ahead) for ahead in range(1, HORIZON + 1)], axis=2)
    return Market(tickers, sessions, values, actual, calibrated(actual, quantiles))


def shifted(values: Floats, ahead: int) -> Floats:
    return np.concatenate([values[ahead:], np.full((ahead, values.shape[1]), np.nan)])


def calibrated(actual: Floats, quantiles: Floats) -> Floats:
    """Return the quantiles as calibrated day by day."""
    done = np.full(quantiles.shape, np.nan)
    for stock in range(quantiles.shape[1]):
        rows = np.flatnonzero(np.isfinite(quantiles[:, stock]).all(axis=(1, 2)))
        replayed = calibration.replay(actual[rows, stock], quantiles[rows, stock], rows)
        done[rows, stock] = replayed.quantiles
    return done


def forecasts_of(market: Market, years: Sequence[int]) -> Iterator[PastForecast]:
    """Yield the sessions of the years at which all stocks are forecast, with their outcomes."""
    changes = past_changes(market.prices, HORIZON)
    wanted = np.isin(market.sessions.astype("datetime64[Y]").astype(int) + 1970, years)
    whole = np.isfinite(market.quantiles).all(axis=(1, 2, 3)) & np.isfinite(
        market.actual[:, :, 0]
    ).all(axis=1)
    for row in np.flatnonzero(wanted & whole):
        day = int(market.sessions[row].astype(int))
        yield PastForecast(
            market.quantiles[row],
            market.prices[row],
            market.actual[row],
            dependence_of(changes, int(row), np.random.default_rng([day, 0])),
            [day, 1],
        )


def print_record(market: Market, years: Sequence[int], levels: Sequence[float], paths: int) -> None:
    kept = stocks_throughout(market, years)
    weights = np.full(len(kept.tickers), 1 / len(kept.tickers))
    print(
        f"{len(kept.tickers)} stocks with the same part, {min(years)}-{max(years)}, "
        f"{paths} paths at each session\n"
    )
    record = record_of(forecasts_of(kept, years), PROBABILITIES, weights, levels, paths)
    table = record.exceedances()
    tests = table[["kupiec", "independence", "conditional"]]
    table["rejected"] = (tests < REJECTED_BELOW).any(axis=1).map({True: "yes", False: ""})
    print(format_rows(table, "table"))
    print()
    print(format_rows(record.scores(), "table"))


def stocks_throughout(market: Market, years: Sequence[int]) -> Market:
    """Return the market of the stocks that are forecast at (nearly) all sessions of the years."""
    wanted = np.isin(market.sessions.astype("datetime64[Y]").astype(int) + 1970, years)
    share = np.isfinite(market.quantiles[wanted]).all(axis=(2, 3)).mean(axis=0)
    kept = np.flatnonzero(share > 0.99)
    return Market(
        tuple(market.tickers[stock] for stock in kept),
        market.sessions,
        market.prices[:, kept],
        market.actual[:, kept],
        market.quantiles[:, kept],
    )


def print_cost(paths: int, stocks: int = 505, sessions: int = 1200) -> None:
    """Print the seconds that the scenarios of a made market of 505 stocks take."""
    from pipeline.joint import quantiles_at, schaake_shuffle, strata

    random = np.random.default_rng(0)
    prices = 50 * np.exp(random.normal(0, 0.01, (sessions, stocks)).cumsum(axis=0))
    spread = np.sort(random.normal(0, 1, (stocks, HORIZON, len(PROBABILITIES))), axis=2)
    begun, used = time.perf_counter(), time.process_time()
    dependence = dependence_of(past_changes(prices, HORIZON), sessions - 1, random)
    draws = quantiles_at(strata(paths), PROBABILITIES, 50 + spread).reshape(-1, paths)
    schaake_shuffle(draws, dependence.flat, random)
    print(
        f"\n{stocks} stocks, {HORIZON} sessions ahead, {paths} paths: "
        f"{time.perf_counter() - begun:.1f} s ({time.process_time() - used:.1f} s of processors)"
    )


if __name__ == "__main__":
    main()
