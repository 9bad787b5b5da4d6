"""What must hold after every round, computed from first principles: from rows, files and processes.

Nothing here uses the product's own arithmetic. Prices are those of the made market.
"""

from __future__ import annotations

import datetime as dt
import fcntl
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import sqlalchemy as sa

from tests.chaos.faults import processes_text, unfinished_files
from tests.chaos.world import CALENDAR, TICKERS, World

FORECAST = ["universe", "recipe", "target", "ticker", "cutoff", "horizon"]
NUMBERS = ["last_value", "y_hat", "lower_50", "upper_50", "lower_80", "upper_80", "lower_95"]
NUMBERS += ["upper_95", "lower_98", "upper_98", "champion", "model_id"]
#: By probability, the column of its quantile.
QUANTILES = {0.025: "lower_95", 0.1: "lower_80", 0.25: "lower_50", 0.5: "y_hat"}
QUANTILES |= {0.75: "upper_50", 0.9: "upper_80", 0.975: "upper_95"}
HORIZON = 5
#: Yahoo answers with 32-bit numbers.
TOLERANCE = 1e-6


@dataclass
class Rows:
    """The tables that a round has left.

    Attributes:
        running: the MLflow runs that are still open.
        closes: the market's by ticker and session, as they were traded.
    """

    publications: pd.DataFrame
    forecasts: pd.DataFrame
    scores: pd.DataFrame
    prices: pd.DataFrame
    running: list[str]
    closes: dict[tuple[str, pd.Timestamp], float]

    @classmethod
    def of(cls, world: World) -> Rows:
        """Read them."""
        names = ("publications", "forecasts", "scores", "price_revisions")
        with world.databases() as (store, mlflow):
            tables = [pd.read_sql(f"SELECT * FROM {name}", store) for name in names]
            query = sa.text("SELECT name FROM runs WHERE status = 'RUNNING'")
            running = list(mlflow.scalars(query))
        for table in tables:
            for name in {"cutoff", "session", "published_at", "known_at"} & set(table):
                table[name] = pd.to_datetime(table[name])
        market, closes = world.yahoo.market, {}
        for ticker in market.tickers:
            days = map(pd.Timestamp, market.opened(ticker))
            bars = zip(days, market.traded(ticker)[:, 3], strict=True)
            closes |= {(ticker, day): float(close) for day, close in bars}
        return cls(*tables, running, closes)

    @cached_property
    def revisions(self) -> pd.DataFrame:
        """PUBLICATIONS in the order of their forecasts and moments."""
        return self.publications.sort_values([*FORECAST, "published_at"], ignore_index=True)


def nothing_published_is_lost_or_changed(before: Rows | None, after: Rows, _: World) -> str:
    if before is None:
        return ""
    gone = _records(before.publications) - _records(after.publications)
    return f"{len(gone)} publications are gone or changed: {sorted(gone)[:1]}" if gone else ""


def nothing_is_published_twice(_: Rows | None, after: Rows, __: World) -> str:
    rows = after.revisions
    if rows.duplicated([*FORECAST, "published_at"]).any():
        return "a revision is there twice"
    same = rows[[*FORECAST, *NUMBERS, "withdrawn"]].astype(str)
    again = (same == same.shift()).all(axis=1)
    return f"{again.sum()} publications repeat the one before" if again.any() else ""


def forecasts_are_the_newest_publications(_: Rows | None, after: Rows, __: World) -> str:
    newest = after.revisions.drop_duplicates(FORECAST, keep="last")
    standing = newest[newest["withdrawn"] == ""]
    columns = list(after.forecasts.columns)
    differing = _records(standing[columns]) ^ _records(after.forecasts)
    return f"{len(differing)} forecasts are not what was published last" if differing else ""


def prices_are_the_markets(_: Rows | None, after: Rows, __: World) -> str:
    key = ["ticker", "session"]
    newest = after.prices.sort_values("known_at").drop_duplicates(key, keep="last")
    truth = [after.closes[at] for at in newest[key].itertuples(index=False, name=None)]
    wrong = ~np.isclose(newest["close"], truth, rtol=TOLERANCE)
    if not wrong.any():
        return ""
    first = newest[wrong].iloc[0]
    return f"{wrong.sum()} prices are not the market's, {first['ticker']} {first['session']} first"


def scores_are_right(_: Rows | None, after: Rows, world: World) -> str:
    expected = {}
    for key, revisions in after.revisions.groupby(FORECAST):
        counted = _counted(revisions)
        if counted is not None and counted["session"].date() <= world.session:
            expected[key] = _score(counted, after.closes, world.yahoo.market.splits)
    stored = after.scores.set_index(FORECAST)
    names = ["actual", "error", "naive_error", "pinball", "inside_80", "inside_95"]
    own = {
        key: (*map(float, row[names]), row["published_at"], bool(row["backfilled"]))
        for key, row in stored.iterrows()
        if key[0] in TICKERS
    }
    # A universe that was not run this evening is scored at its next run.
    done = after.publications.groupby("universe")["cutoff"].max()
    expected = {key: row for key, row in expected.items() if row[0] <= done[key[0]]}
    if own.keys() != expected.keys():
        missing, more = expected.keys() - own.keys(), own.keys() - expected.keys()
        return f"{len(missing)} scores are missing, {len(more)} too many: {[*missing, *more][:1]}"
    for key, (_, *numbers) in expected.items():
        if not np.allclose(own[key][:6], numbers[:6], rtol=1e-5, atol=1e-4):
            return f"the score of {key} is {own[key]}, and {numbers} by the market's prices"
        if own[key][6:] != tuple(numbers[6:]):
            return f"the score of {key} counts {own[key][6:]}, and {numbers[6:]} does"
    return ""


def every_ticker_has_its_forecasts(_: Rows | None, after: Rows, world: World) -> str:
    today = after.forecasts[after.forecasts["cutoff"] == pd.Timestamp(world.session)]
    for universe, rows in today.groupby("universe"):
        counts = rows.groupby("ticker").size().to_dict()
        if counts != dict.fromkeys(TICKERS[str(universe)], HORIZON):
            return f"{universe} has {counts} forecasts of {world.session}"
    return "" if len(today) else f"nothing is published for {world.session}"


def no_run_is_running(_: Rows | None, after: Rows, __: World) -> str:
    return f"still RUNNING in MLflow: {', '.join(after.running)}" if after.running else ""


def no_process_is_left(_: Rows | None, __: Rows, world: World) -> str:
    left = world.processes()
    return f"processes are left: {processes_text(left)}" if left else ""


def no_lock_is_left(_: Rows | None, __: Rows, world: World) -> str:
    for path in world.home.rglob("*.lock"):
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return f"{path} is locked"
    return ""


def no_temporary_file_is_left(_: Rows | None, __: Rows, world: World) -> str:
    left = [*unfinished_files(world.home), *world.temporary.iterdir()]
    return f"left behind: {', '.join(map(str, left))}" if left else ""


#: All of them; each returns what is wrong, "" where nothing is.
INVARIANTS: tuple[Callable[[Rows | None, Rows, World], str], ...] = (
    nothing_published_is_lost_or_changed,
    nothing_is_published_twice,
    forecasts_are_the_newest_publications,
    prices_are_the_markets,
    scores_are_right,
    every_ticker_has_its_forecasts,
    no_run_is_running,
    no_process_is_left,
    no_lock_is_left,
    no_temporary_file_is_left,
)


def _records(table: pd.DataFrame) -> set[tuple[str, ...]]:
    """Return the rows as texts, which are equal where numbers are NaN, too."""
    return set(map(tuple, table[sorted(table)].astype(str).to_numpy().tolist()))


def _counted(revisions: pd.DataFrame) -> pd.Series | None:
    """Return the publication that counts: the first that stood before its session opened.

    Without one, it is the newest, unless that is withdrawn; None: there is none.
    """
    opens = pd.Timestamp(_open(revisions["session"].iloc[0].date()))
    chosen = None
    for _, row in revisions.iterrows():
        if row["published_at"] >= opens:
            break
        if row["withdrawn"]:
            chosen = None
        elif chosen is None:
            chosen = row
    if chosen is not None:
        return chosen.copy()
    newest = revisions.iloc[-1]
    return None if newest["withdrawn"] else newest.copy()


def _open(session: dt.date) -> dt.datetime:
    """Return when New York opens (UTC, without a zone)."""
    opens = dt.datetime.combine(session, dt.time(9, 30), tzinfo=CALENDAR.timezone)
    return opens.astimezone(dt.UTC).replace(tzinfo=None)


def _score(
    row: pd.Series,
    closes: dict[tuple[str, pd.Timestamp], float],
    splits: dict[str, list[tuple[dt.date, float]]],
) -> tuple:
    """Return the session of a publication, its score by the market's prices, and what counts."""
    first, last = row["cutoff"].date(), row["session"].date()
    ratios = [ratio for day, ratio in splits.get(row["ticker"], []) if first < day <= last]
    actual = closes[row["ticker"], row["session"]] * float(np.prod(ratios))
    losses = [
        max(probability * (actual - row[name]), (probability - 1) * (actual - row[name]))
        for probability, name in QUANTILES.items()
    ]
    return (
        row["session"],
        actual,
        actual - row["y_hat"],
        actual - row["last_value"],
        float(np.mean(losses)) / row["last_value"],
        float(row["lower_80"] <= actual <= row["upper_80"]),
        float(row["lower_95"] <= actual <= row["upper_95"]),
        row["published_at"],
        bool(row["published_at"] >= pd.Timestamp(_open(last))),
    )
