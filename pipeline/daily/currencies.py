"""Currencies of published forecasts: the universe's own, or that of the prices behind them."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily.admission import judged_as_of
from pipeline.daily.table_rows import row_dicts
from pipeline.run import Run
from pipeline.storage import Store
from pipeline.tables import RUN_TICKERS, RUNS

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: The columns of prices, one of which comes first in a table of forecasts.
FIRST_PRICES = ("last_value", "y_hat")


def with_currency(store: Store, rows: pd.DataFrame, **key: object) -> pd.DataFrame:
    """Return rows of published forecasts with a column `currency`, before the first price.

    Args:
        rows: FORECASTS, PUBLICATIONS or SCORES of one series, or rows with their columns ticker,
            cutoff and y_hat.
        key: by column of RUN_KEY the values that all rows have: the series at least.

    Returns:
        Codes of `money`; "" where none is known.
    """
    currencies = currencies_of(store, **key)
    known = [currencies.get(owner, "") for owner in _owners(rows)]
    rows, columns = rows.copy(), list(rows.columns)
    first_price = next(name for name in FIRST_PRICES if name in columns)
    named = pd.Series(known, rows.index, dtype="str")
    rows.insert(columns.index(first_price), "currency", named)
    return rows


def currencies_of(store: Store, **key: object) -> dict[tuple[str, dt.datetime], str]:
    """Return by ticker and cutoff the currency of what was published, where it is known.

    Args:
        key: by column of RUN_KEY a value or several.
    """
    members = store.load(RUN_TICKERS, **key)
    by_run = {str(run_id): rows for run_id, rows in members.groupby("run_id")}
    runs = store.load(RUNS, run_id=sorted(by_run))
    found: dict[tuple[str, dt.datetime], str] = {}
    for source_id, own in runs.groupby("source_id"):
        tickers = sorted(
            {ticker for run_id in own["run_id"] for ticker in by_run[run_id]["ticker"]}
        )
        at = store.prices.currencies_at(str(source_id), tickers, list(own["known_at"]))
        for run, sources in zip(row_dicts(own), at, strict=True):
            universes = json.loads(run["request"]).get("currency")
            rows = by_run[run["run_id"]]
            for owner in _owners(rows):
                if currency := universes or sources.get(owner[0]):
                    found[owner] = currency
    return found


def _owners(rows: pd.DataFrame) -> list[tuple[str, dt.datetime]]:
    """Return the ticker and the cutoff of each row; pandas' own moments would take long to make."""
    cutoffs = rows["cutoff"].to_numpy("datetime64[s]").tolist()
    return list(zip(rows["ticker"].tolist(), cutoffs, strict=True))


def price_currency(parts: Parts, run: Run, ticker: str) -> str:
    """Return the currency of a ticker's prices in a run; "": it is not known."""
    universe = run.universe
    stored = parts.store.prices.currencies(universe.source_id, [ticker], judged_as_of(parts, run))
    return universe.currency or stored.get(ticker, "")
