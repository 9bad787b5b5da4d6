"""What the Forecasts pages and their API say: questions of a person who looks, as tables. The store in, frames out; nothing is changed.

A series is what has been published for one universe, recipe and target. Every function asks by key: as much as it shows is read, however long
the store has been kept.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline import reporting
from pipeline.errors import NothingStored
from pipeline.metrics import realised, skill
from pipeline.models import DEFAULT
from pipeline.store import Span, Store
from pipeline.tables import CALIBRATIONS, CHECKS, DRIFT, FINDINGS, FORECASTS, PROMOTIONS, RUNS, SCORES, column

#: Sessions of a stock's page: about a year.
SESSIONS = 250
#: Decisions of its promotion log.
DECISIONS = 60


@dataclass(frozen=True)
class Series:
    """`newest`: the last session that it has been published for."""

    universe: str
    recipe: str
    target: str
    newest: dt.date

    @property
    def key(self) -> dict[str, str]:
        return {"universe": self.universe, "recipe": self.recipe, "target": self.target}

    def __str__(self) -> str:
        return f"{self.universe}, {self.target}, recipe {self.recipe}"


def all_series(store: Store) -> list[Series]:
    """The one with the newest session first; of one universe's, that of the default recipe."""
    found = [Series(**row) for row in store.series().to_dict("records")]
    return sorted(found, key=lambda it: (-it.newest.toordinal(), it.universe, it.recipe != DEFAULT.name, it.recipe, it.target))


def find(every: list[Series], universe: str = "", recipe: str = "", target: str = "") -> Series:
    """The first series of these (of `all_series`: the newest); `NothingStored` where there is none."""
    asked = {"universe": universe, "recipe": recipe, "target": target}
    asked = {name: value for name, value in asked.items() if value}
    for series in every:
        if asked.items() <= series.key.items():
            return series
    told = ", ".join(f"{name} {value}" for name, value in asked.items())
    raise NothingStored(
        f"Nothing has been published{f' for {told}' if told else ''} yet. Trigger the universe's DAG, or run `stockcast run`."
    )


def sessions(store: Store, series: Series) -> list[dt.date]:
    """Those that the series has been published for, the newest first; at most `SESSIONS`."""
    return store.ends(PROMOTIONS, "cutoff", SESSIONS, newest=True, **series.key)[::-1]


def overview(store: Store, series: Series, session: dt.date) -> pd.DataFrame:
    """One row per ticker of a session; see `reporting.overview`."""
    at = {**series.key, "cutoff": session}
    checked, promoted, watched = (store.load(table, **at) for table in (CHECKS, PROMOTIONS, DRIFT))
    return reporting.overview(checked, store.load(FORECASTS, **at, horizon=1), promoted, watched)


def fan(store: Store, series: Series, ticker: str, session: dt.date) -> pd.DataFrame:
    """FORECASTS rows of one ticker and cutoff, by horizon."""
    return store.load(FORECASTS, **series.key, ticker=ticker, cutoff=session)


def history(store: Store, series: Series, ticker: str, session: dt.date) -> pd.DataFrame:
    """(session, value): the target up to a cutoff, in the dollars of that day; at most `SESSIONS`."""
    source = store.load(RUNS, **series.key, ticker=ticker, cutoff=session)["source_id"]
    if source.empty:
        return pd.DataFrame({"session": pd.Series(dtype="datetime64[s]"), "value": pd.Series(dtype="float64")})
    begin = session - dt.timedelta(days=SESSIONS * 3 // 2)  # more than enough calendar days
    bars = store.prices(source.iloc[0], ticker, session, None, begin).tail(SESSIONS)
    return pd.DataFrame({"session": bars["session"], "value": column(bars, series.target)})


def earlier(store: Store, series: Series, ticker: str, session: dt.date, horizon: int = 1) -> pd.DataFrame:
    """What was forecast for the sessions up to one, so many sessions ahead, beside what came; newest `SESSIONS`, in the order of time.

    Columns: session, cutoff, y_hat, lower_80, upper_80, lower_95, upper_95, champion, actual (NaN: has not come), inside_80; in the dollars
    of each forecast's cutoff.
    """
    kept = store.ends(FORECASTS, "cutoff", SESSIONS, newest=True, **series.key, ticker=ticker, cutoff=Span(last=session))
    at = {**series.key, "ticker": ticker, "horizon": horizon, "cutoff": kept}
    said, came = store.load(FORECASTS, **at), store.load(SCORES, **at)
    table = said.merge(came[["cutoff", "actual", "inside_80"]], on="cutoff", how="left").sort_values("session")
    bounds = [f"{side}_{level}" for level in (80, 95) for side in ("lower", "upper")]
    return table[["session", "cutoff", "y_hat", *bounds, "champion", "actual", "inside_80"]].reset_index(drop=True)


def record(store: Store, series: Series, ticker: str) -> pd.DataFrame:
    """How all scored forecasts of one ticker did, by horizon; see `metrics.realised`."""
    return realised(store.load(SCORES, **series.key, ticker=ticker))


def decisions(store: Store, series: Series, ticker: str) -> pd.DataFrame:
    """PROMOTIONS rows of one ticker, the newest first; at most `DECISIONS`."""
    kept = store.ends(PROMOTIONS, "cutoff", DECISIONS, newest=True, **series.key, ticker=ticker)
    return store.load(PROMOTIONS, **series.key, ticker=ticker, cutoff=kept).iloc[::-1].reset_index(drop=True)


def calibration(store: Store, series: Series, ticker: str, session: dt.date) -> pd.DataFrame:
    """CALIBRATIONS rows of one ticker and cutoff: the coverage of the replayed sessions, before and after."""
    return store.load(CALIBRATIONS, **series.key, ticker=ticker, cutoff=session)


def checks(store: Store, series: Series, session: dt.date, ticker: str | None = None) -> pd.DataFrame:
    """CHECKS rows of a session; None: of all tickers."""
    return store.load(CHECKS, **_of(series, session, ticker))


def findings(store: Store, series: Series, session: dt.date, ticker: str | None = None) -> pd.DataFrame:
    """FINDINGS rows of a session; None: of all tickers."""
    return store.load(FINDINGS, **_of(series, session, ticker))


def _of(series: Series, session: dt.date, ticker: str | None) -> dict[str, object]:
    return {**series.key, "cutoff": session, **({} if ticker is None else {"ticker": ticker})}


#: What the scoreboard may be summed up by.
GROUPS = ("recipe", "ticker", "horizon", "month")


def scoreboard(store: Store, series: Series, by: str) -> pd.DataFrame:
    """All scored forecasts of a series by ticker, horizon or month of the session: (that, forecasts, skill, pinball_skill, inside_80, inside_95).

    By recipe: of all recipes that have published the series' universe and target, the best pinball skill first. skill is 1 - RMSE / naive RMSE with
    errors as fractions of the forecast, so that dear stocks do not count for more.
    """
    key = {name: value for name, value in series.key.items() if by != "recipe" or name != "recipe"}
    sums = store.score_sums(by, **key)
    table = sums[[by, "forecasts"]].copy()
    table["skill"] = skill(np.sqrt(sums["squared"]), np.sqrt(sums["naive_squared"]))
    table["pinball_skill"] = skill(sums["pinball"], sums["ewma_pinball"])
    for level in (80, 95):
        table[f"inside_{level}"] = sums[f"inside_{level}"] / sums["forecasts"]
    return table.sort_values("pinball_skill", ascending=False, ignore_index=True) if by == "recipe" else table
