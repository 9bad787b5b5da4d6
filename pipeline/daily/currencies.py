"""Currencies of published forecasts: the universe's own, or that of the prices behind them."""

from __future__ import annotations

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


def with_currency(store: Store, rows: pd.DataFrame, **key: object) -> pd.DataFrame:
    """Return rows of published forecasts with a column `currency`, before the first price.

    Args:
        rows: FORECASTS or PUBLICATIONS of one series and cutoff.
        key: universe, recipe, target and cutoff, by column of RUN_KEY.

    Returns:
        Codes of `money`; "" where none is known.
    """
    currencies = currencies_of(store, **key)
    known = pd.Series(
        [currencies.get(ticker, "") for ticker in rows["ticker"]], rows.index, dtype="str"
    )
    rows = rows.copy()
    rows.insert(list(rows.columns).index("last_value"), "currency", known)
    return rows


def currencies_of(store: Store, **key: object) -> dict[str, str]:
    """Return by ticker the currency of what was published for a cutoff, where it is known.

    Args:
        key: by column of RUN_KEY a value.
    """
    members = store.load(RUN_TICKERS, **key)
    found: dict[str, str] = {}
    for run in row_dicts(store.load(RUNS, run_id=sorted(set(members["run_id"])))):
        tickers = list(members["ticker"][members["run_id"] == run["run_id"]])
        if own := json.loads(run["request"]).get("currency"):
            found |= dict.fromkeys(tickers, own)
        else:
            found |= store.prices.currencies(run["source_id"], tickers, run["known_at"])
    return found


def price_currency(parts: Parts, run: Run, ticker: str) -> str:
    """Return the currency of a ticker's prices in a run; "": it is not known."""
    universe = run.universe
    stored = parts.store.prices.currencies(universe.source_id, [ticker], judged_as_of(parts, run))
    return universe.currency or stored.get(ticker, "")
