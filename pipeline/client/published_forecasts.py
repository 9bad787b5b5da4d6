"""Published forecasts as a tidy table: a row per ticker, session ahead and level."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import NothingStored, SettingsError
from pipeline.quantiles import tidy_quantiles

if TYPE_CHECKING:
    import pandas as pd

#: What asks for the newest session that has been published.
LATEST = "latest"
#: The environment variable with a token of Airflow, where none is given.
TOKEN_VARIABLE = "AIRFLOW_API_TOKEN"
#: What identifies a forecast, and what else stands beside its quantiles.
FORECAST_KEY = ["ticker", "cutoff", "session", "horizon"]
BESIDE = ["last_value", "currency", "champion"]


def forecasts(
    universe: str = "",
    ticker: str | Sequence[str] | None = None,
    session: str | dt.date = LATEST,
    *,
    recipe: str = "",
    target: str = "",
    home: str | Path | None = None,
    url: str = "",
    token: str = "",
) -> pd.DataFrame:
    """Return the published forecasts of a session.

    Args:
        universe, recipe, target: "": those of the newest forecasts.
        ticker: one, or several; None: all that have been published.
        session: the last one that the forecasts have seen, such as "2026-01-30".
        home: the folder of the local store; None: that of the settings (STOCKCAST_HOME).
        url: the address of an Airflow with the Forecasts pages; it is asked instead of a store.
        token: of that Airflow; "": the variable AIRFLOW_API_TOKEN.

    Returns:
        Columns ticker, cutoff, session, horizon, level, price, last_value, currency, champion, in
        the order of the first five. `level` is the probability that the price is not above
        `price`: 0.5 is the median, 0.1 and 0.9 are the bounds of the 80% interval.

    Raises:
        NothingStored: nothing like that has been published.
        SettingsError: the arguments exclude each other, or the token is refused.
        RunError: the store or the address does not answer.
    """
    cutoff, tickers = _session_of(session), _tickers_of(ticker)
    names = {"universe": universe, "recipe": recipe, "target": target}
    if url and home is not None:
        raise SettingsError("home and url exclude one another. Give the one that is to be asked.")
    if token and not url:
        raise SettingsError("A token is for the Airflow at a url. Give url, too, or no token.")
    if url:
        from pipeline.client.pages_api import published_rows

        rows = published_rows(url, token or os.environ.get(TOKEN_VARIABLE, ""), names, cutoff)
    else:
        rows = _stored_rows(home, names, cutoff)
    return _tidy(rows, tickers)


def _stored_rows(
    home: str | Path | None, names: dict[str, str], cutoff: dt.date | None
) -> pd.DataFrame:
    """Return FORECASTS rows of a store, with their currency."""
    from pipeline.daily import page_tables
    from pipeline.parts import Parts
    from pipeline.settings import Settings

    settings = Settings()
    if home is not None:
        if not Path(home).expanduser().is_dir():
            raise NothingStored(f"There is no folder {home}. Name the home of a store (home=...).")
        settings = settings.replaced(home=Path(home))
    with Parts(settings) as parts:
        series = page_tables.find(page_tables.all_series(parts.store), **names)
        return page_tables.published(parts.store, series, cutoff or series.newest)


def _session_of(session: str | dt.date) -> dt.date | None:
    """Return the session that is asked for; None: the newest."""
    if isinstance(session, dt.datetime):
        return session.date()
    if isinstance(session, dt.date) or session == LATEST:
        return session if isinstance(session, dt.date) else None
    try:
        return dt.date.fromisoformat(session)
    except (ValueError, TypeError):
        raise SettingsError(
            f'session is {session!r}; give "{LATEST}", or a date such as "2026-01-30".'
        ) from None


def _tickers_of(ticker: str | Sequence[str] | None) -> list[str]:
    if ticker is None:
        return []
    return [ticker] if isinstance(ticker, str) else list(ticker)


def _tidy(rows: pd.DataFrame, tickers: list[str]) -> pd.DataFrame:
    """Return the table of some tickers; [] are all."""
    if missing := [ticker for ticker in tickers if ticker not in set(rows["ticker"])]:
        cutoff = f"{rows['cutoff'].iloc[0]:%Y-%m-%d}"
        raise NothingStored(
            f"{missing[0]}: nothing has been published of it after {cutoff}. Ask for another "
            f"session, or for one of {rows['ticker'].nunique()} tickers such as "
            f"{rows['ticker'].iloc[0]}."
        )
    chosen = rows[rows["ticker"].isin(tickers)] if tickers else rows
    tidy = tidy_quantiles(chosen, [*FORECAST_KEY, *BESIDE])
    return tidy[[*FORECAST_KEY, "level", "price", *BESIDE]]
