"""Publications: what the Forecasts pages and their API show, read from the store as tables.

A series is what has been published for one universe, recipe and target. Every function asks by key:
it reads as much as it shows, however long the store has been kept.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from pipeline.daily.admission import EVENT_AHEAD
from pipeline.daily.currencies import currencies_of, with_currency
from pipeline.daily.kept_sums import KeptSums, added_up
from pipeline.daily.known_events import event_texts
from pipeline.daily.table_rows import row_dicts
from pipeline.errors import NothingStored
from pipeline.measures import interval_record, realised
from pipeline.models import DEFAULT
from pipeline.prices import histories_as_of
from pipeline.quantiles import OUTER_LEVEL
from pipeline.reporting import overview as overview_of
from pipeline.storage import Artifacts, Span, Store
from pipeline.tables import (
    CALIBRATIONS,
    CHECKS,
    DRIFT,
    FINDINGS,
    FORECASTS,
    PROMOTIONS,
    PUBLICATIONS,
    SCORES,
    SERIES,
    column,
)
from pipeline.universes import REHEARSAL, Universe

#: Sessions of a stock's page: about a year.
PAGE_SESSIONS = 250
#: Decisions of its promotion log.
PAGE_DECISIONS = 60
#: What the record of a stock's errors is summed up by.
RECORD_GROUPS = (*SERIES, "ticker", "horizon")
#: Columns that the scoreboard may be summed up by.
GROUPINGS = ("recipe", "ticker", "horizon", "month")
#: Days of the record of all tickers' intervals: they calm and storm as the market does, and what
#: they were worth years ago says little of today's.
INTERVAL_DAYS = 365
#: Intervals whose coverage is shown, and those of earlier forecasts.
COVERAGE_LEVELS = (80, 95)
EARLIER_LEVELS = (*COVERAGE_LEVELS, OUTER_LEVEL)


@dataclass(frozen=True)
class Series:
    """All forecasts that have been published for one universe, recipe and target.

    Attributes:
        newest: the last session that it has been published for.
    """

    universe: str
    recipe: str
    target: str
    newest: dt.date

    @property
    def key(self) -> dict[str, str]:
        """The columns that identify the series in tables."""
        return {"universe": self.universe, "recipe": self.recipe, "target": self.target}

    def __str__(self) -> str:
        return f"{self.universe}, {self.target}, recipe {self.recipe}"


def all_series(store: Store) -> list[Series]:
    """Return all series, the newest first, rehearsals last.

    Of one universe's, that of the default recipe comes first.
    """
    return sorted(
        [Series(**row) for row in row_dicts(store.series())],
        key=lambda series: (
            series.universe.endswith(REHEARSAL),
            -series.newest.toordinal(),
            series.universe,
            series.recipe != DEFAULT.name,
            series.recipe,
            series.target,
        ),
    )


def matching(store: Store, asked: Mapping[str, str]) -> list[Series]:
    """Return all series that have the names asked for, such as a universe; {}: all there are."""
    return [series for series in all_series(store) if asked.items() <= series.key.items()]


def find(every: list[Series], universe: str = "", recipe: str = "", target: str = "") -> Series:
    """Return the first of these series that has the names asked for; "": any name will do.

    Raises:
        NothingStored: there is none.
    """
    names = {"universe": universe, "recipe": recipe, "target": target}
    asked = {name: value for name, value in names.items() if value}
    for series in every:
        if asked.items() <= series.key.items():
            return series
    wanted = ", ".join(f"{name} {value}" for name, value in asked.items())
    raise NothingStored(
        f"Nothing has been published{f' for {wanted}' if wanted else ''} yet. "
        "Trigger the universe's DAG, or run `stockcast run`."
    )


def sessions(store: Store, series: Series) -> list[dt.date]:
    """Return the sessions that a series has been published for, the newest first.

    There are at most `PAGE_SESSIONS`.
    """
    newest = {
        session
        for table in (PROMOTIONS, PUBLICATIONS)  # withdrawn or smoothed: only in one of them
        for session in store.ends(table, "cutoff", PAGE_SESSIONS, newest=True, **series.key)
    }
    return sorted(newest, reverse=True)[:PAGE_SESSIONS]


def overview(store: Store, series: Series, session: dt.date) -> pd.DataFrame:
    """Return one row per ticker of a session; its columns are `reporting.overview`'s."""
    at = {**series.key, "cutoff": session}
    checked, promoted, watched = (store.load(table, **at) for table in (CHECKS, PROMOTIONS, DRIFT))
    forecasts = with_currency(store, store.load(FORECASTS, **at, horizon=1), **at)
    return overview_of(checked, forecasts, promoted, watched)


def published(store: Store, series: Series, session: dt.date) -> pd.DataFrame:
    """Return FORECASTS rows of all tickers of a session, with their currency.

    Raises:
        NothingStored: there is none.
    """
    at = {**series.key, "cutoff": session}
    rows = with_currency(store, store.load(FORECASTS, **at), **at)
    if rows.empty:
        raise NothingStored(
            f"Nothing has been published for {series} after {session}. The newest session is "
            f"{series.newest}."
        )
    return rows


def fan(store: Store, series: Series, ticker: str, session: dt.date) -> pd.DataFrame:
    """Return FORECASTS rows of one ticker and cutoff, by horizon, with their currency."""
    at = {**series.key, "ticker": ticker, "cutoff": session}
    return with_currency(store, store.load(FORECASTS, **at), **at)


def publications(store: Store, series: Series, ticker: str, session: dt.date) -> pd.DataFrame:
    """Return PUBLICATIONS rows of one ticker and cutoff, with the currency of what stands."""
    at = {**series.key, "ticker": ticker, "cutoff": session}
    return with_currency(store, store.load(PUBLICATIONS, **at), **at)


def publication_log(store: Store, series: Series, ticker: str, session: dt.date) -> pd.DataFrame:
    """Return when the forecasts of one ticker and cutoff were published or withdrawn, newest first.

    Returns:
        published_at, known_at, published_by, withdrawn, forecasts (how many), currency, last_value,
        y_hat (the median of the first session among them).
    """
    rows = publications(store, series, ticker, session).sort_values(["published_at", "horizon"])
    by_moment = rows.groupby("published_at", sort=False).agg(
        known_at=("known_at", "first"),
        published_by=("published_by", "first"),
        withdrawn=("withdrawn", "first"),
        forecasts=("horizon", "size"),
        currency=("currency", "first"),
        last_value=("last_value", "first"),
        y_hat=("y_hat", "first"),
    )
    return by_moment.reset_index().iloc[::-1]


def history(store: Store, series: Series, ticker: str, session: dt.date) -> pd.DataFrame:
    """Return the target up to a cutoff, as traded on that day: session, value, currency.

    There are at most `PAGE_SESSIONS` rows.
    """
    run = store.publications.run_of(**series.key, ticker=ticker, cutoff=session)
    source = run["source_id"]
    if source.empty:
        dtypes = {"session": "datetime64[s]", "value": "float64", "currency": "str"}
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})
    begin = session - dt.timedelta(days=PAGE_SESSIONS * 3 // 2)  # more than enough calendar days
    prices = store.prices
    repair = Universe.from_json(json.loads(run["request"].iloc[0])).repair
    histories = histories_as_of(prices, source.iloc[0], [ticker], session, None, begin, repair)
    bars = histories.of(ticker, session, masked=False).tail(PAGE_SESSIONS)
    values = {"session": bars["session"], "value": column(bars, series.target)}
    named = currencies_of(store, **series.key, ticker=ticker, cutoff=session)
    return pd.DataFrame(values).assign(currency=next(iter(named.values()), ""))


def earlier(
    store: Store, series: Series, ticker: str, session: dt.date, horizon: int
) -> pd.DataFrame:
    """Return `past_forecasts` with the currency that the prices of each cutoff had."""
    table = past_forecasts(store, series, ticker, session, horizon).assign(ticker=ticker)
    at = {**series.key, "ticker": ticker, "cutoff": list(table["cutoff"])}
    return with_currency(store, table, **at).drop(columns="ticker")


def past_forecasts(
    store: Store, series: Series, ticker: str, session: dt.date, horizon: int = 1
) -> pd.DataFrame:
    """Return the forecasts made up to a session, `horizon` sessions ahead, with actual values.

    Returns:
        At most `PAGE_SESSIONS` rows, the newest, in the order of time: session, cutoff, y_hat,
        lower_80, upper_80, and so of 95 and 98, champion, actual, inside_80, backfilled. Values are
        as traded at each forecast's cutoff; NaN: the session has not been scored. What has
        been scored is shown as it was when it was published first; see `measures.scores.counted`.
    """
    cutoffs = store.ends(
        FORECASTS,
        "cutoff",
        PAGE_SESSIONS,
        newest=True,
        **series.key,
        ticker=ticker,
        cutoff=Span(last=session),
    )
    at = {**series.key, "ticker": ticker, "horizon": horizon, "cutoff": cutoffs}
    forecasts, published, scores = (
        store.load(table, **at) for table in (FORECASTS, PUBLICATIONS, SCORES)
    )
    outcomes = ["actual", "inside_80", "backfilled"]
    scored = published.merge(
        scores[["cutoff", "published_at", *outcomes]], on=["cutoff", "published_at"]
    )
    waiting = forecasts[~forecasts["cutoff"].isin(scored["cutoff"])]
    table = pd.concat([scored, waiting]).sort_values("session")
    bounds = [f"{side}_{level}" for level in EARLIER_LEVELS for side in ("lower", "upper")]
    columns = ["session", "cutoff", "y_hat", *bounds, "champion", *outcomes]
    return table[columns].reset_index(drop=True)


def record(store: Store, series: Series, ticker: str) -> pd.DataFrame:
    """Return the errors of all scored forecasts of one ticker, by horizon; see `realised`."""
    return realised(store.score_sums(RECORD_GROUPS, **series.key, ticker=ticker))


def decisions(store: Store, series: Series, ticker: str) -> pd.DataFrame:
    """Return PROMOTIONS rows of one ticker, the newest first; at most `PAGE_DECISIONS`."""
    cutoffs = store.ends(
        PROMOTIONS, "cutoff", PAGE_DECISIONS, newest=True, **series.key, ticker=ticker
    )
    rows = store.load(PROMOTIONS, **series.key, ticker=ticker, cutoff=cutoffs)
    return rows.iloc[::-1].reset_index(drop=True)


def calibration(store: Store, series: Series, ticker: str, session: dt.date) -> pd.DataFrame:
    """Return CALIBRATIONS rows of one ticker and cutoff: coverage before and after."""
    return store.load(CALIBRATIONS, **series.key, ticker=ticker, cutoff=session)


def checks(
    store: Store, series: Series, session: dt.date, ticker: str | None = None
) -> pd.DataFrame:
    """Return CHECKS rows of a session; ticker None: of all."""
    return store.load(CHECKS, **_of(series, session, ticker))


def findings(
    store: Store, series: Series, session: dt.date, ticker: str | None = None
) -> pd.DataFrame:
    """Return FINDINGS rows of a session about prices; ticker None: of all."""
    rows = store.load(FINDINGS, **_of(series, session, ticker))
    return rows[rows["rule"] != EVENT_AHEAD].reset_index(drop=True)


def events(store: Store, series: Series, session: dt.date, ticker: str) -> list[str]:
    """Return what was known to come of a ticker on the sessions forecast, in words."""
    rows = store.load(FINDINGS, **_of(series, session, ticker), rule=EVENT_AHEAD)
    return list(event_texts(rows.sort_values("session")))


def _of(series: Series, session: dt.date, ticker: str | None) -> dict[str, object]:
    return {**series.key, "cutoff": session, **({} if ticker is None else {"ticker": ticker})}


def intervals(store: Store, series: Series, ticker: str) -> pd.DataFrame:
    """Return the record of a ticker's intervals by horizon; see `interval_record`."""
    return _interval_record(store.interval_sums(["horizon"], **series.key, ticker=ticker))


def intervals_of_all(store: Store, artifacts: Artifacts, series: Series) -> pd.DataFrame:
    """Return the record of all tickers' intervals, `INTERVAL_DAYS` up to the newest scored session.

    Returns:
        See `interval_record`.
    """
    newest = store.greatest(SCORES, "session", **series.key)
    first = newest - dt.timedelta(days=INTERVAL_DAYS) if newest else dt.date.min
    kept = KeptSums(store, artifacts, series.key).read("interval", first)
    return _interval_record(pd.concat(kept))


def _interval_record(sums: pd.DataFrame) -> pd.DataFrame:
    table = interval_record(sums, ["horizon"])
    return table.sort_values(["backfilled", "horizon"], ignore_index=True)


def scoreboard(store: Store, artifacts: Artifacts, series: Series, by: str) -> pd.DataFrame:
    """Return all scored forecasts of a series, summed up by one of `GROUPINGS`.

    By recipe, they are of all recipes that have published the series' universe and target, the best
    pinball skill first. Errors are fractions of the last price, so that dear stocks, and sessions
    before a split, do not count for more.

    Returns:
        The group, backfilled (apart from those published in time), forecasts, skill (1 - RMSE /
        naive RMSE), pinball_skill, pinball_skill_over_har, inside_80, inside_95.
    """
    shared = {name: value for name, value in series.key.items() if name != "recipe"}
    every = matching(store, shared) if by == "recipe" else [series]
    sums = pd.concat([_score_totals(store, artifacts, one, by) for one in every])
    figures = [by, "backfilled", "forecasts", "skill", "pinball_skill", "pinball_skill_over_har"]
    figures += [f"inside_{level}" for level in COVERAGE_LEVELS]
    table = realised(sums)[figures].sort_values(["backfilled", by], ignore_index=True)
    if by == "recipe":
        order = ["backfilled", "pinball_skill"]
        return table.sort_values(order, ascending=[True, False], ignore_index=True)
    return table


def _score_totals(store: Store, artifacts: Artifacts, series: Series, by: str) -> pd.DataFrame:
    """Return all scores of a series as `Store.score_sums` would sum them up, from what is kept."""
    kept = KeptSums(store, artifacts, series.key)
    if by == "ticker":
        months = list(kept.totals_by_ticker())
    else:
        months = [added_up(_with_group(sums, series, by), by) for sums in kept.read("horizon")]
    return added_up(pd.concat(months), by)


def _with_group(sums: pd.DataFrame, series: Series, by: str) -> pd.DataFrame:
    if by == "recipe":
        return sums.assign(recipe=series.recipe)
    return sums.assign(month=sums["session"].dt.strftime("%Y-%m")) if by == "month" else sums
