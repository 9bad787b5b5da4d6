"""Scores of forecasts: their realised errors. Pure: tables in, table out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.quantiles import QUANTILE_COLUMNS, losses
from pipeline.tables import FORECASTS, SCORES, column

#: The quantiles as columns of FORECASTS, in the order of `QUANTILE_COLUMNS`.
FORECAST_COLUMNS = (
    *("lower_95", "lower_80", "lower_50"),
    "y_hat",
    *("upper_50", "upper_80", "upper_95"),
)


def counted(publications: pd.DataFrame, opens: pd.Series) -> pd.DataFrame:
    """Return the publication that counts of each forecast: the first one before its session opened.

    One that was withdrawn before then does not count. Where none is left, the one that stands now
    counts, as `backfilled`.

    Args:
        publications: PUBLICATIONS, all revisions of each of the forecasts.
        opens: when each row's session opens (UTC, without a zone).

    Returns:
        FORECASTS with published_at, known_at and backfilled, at most one row per forecast.
    """
    key = list(FORECASTS.key)
    rows = publications.assign(backfilled=publications["published_at"] >= opens)
    rows = rows.sort_values([*key, "published_at"], ignore_index=True)
    # How often a forecast has been withdrawn up to each revision, as far as that was in time.
    withdrawn = rows["withdrawn"] != ""
    spells = (withdrawn & ~rows["backfilled"]).groupby([rows[name] for name in key]).cumsum()
    last_spell = spells.groupby([rows[name] for name in key]).transform("max")
    first = rows[~rows["backfilled"] & ~withdrawn & (spells == last_spell)].drop_duplicates(key)
    newest = rows.drop_duplicates(key, keep="last")
    standing = newest[newest["withdrawn"] == ""].assign(backfilled=True)
    chosen = pd.concat([first, standing]).drop_duplicates(key)
    return chosen[[*FORECASTS.columns, "published_at", "known_at", "backfilled"]].sort_values(
        key, ignore_index=True
    )


def score(
    forecasts: pd.DataFrame,
    baselines: Mapping[str, pd.DataFrame],
    history: pd.DataFrame,
    usable: pd.DataFrame,
    tape: pd.DataFrame,
    target: str,
    bases: pd.Series | float = 1.0,
) -> pd.DataFrame:
    """Return SCORES rows of forecasts; one without a usable bar has none yet.

    Actuals are brought back into prices as of each forecast's cutoff: with adjusted prices p and
    the price on the tape q, actual = p[session] * q[cutoff] / p[cutoff]. This undoes a split in
    between; for adj_close, a dividend too.

    Args:
        forecasts: FORECASTS of any number of tickers, with published_at and backfilled.
        baselines: of ewma and har, by name, their forecasts (ticker, cutoff, horizon and the
            quantiles as PREDICTIONS has them).
        history: HISTORY from the first of the cutoffs on, or longer, adjusted as of any session at
            or after the last that is forecast.
        usable: the same, NaN where a price must not be compared with.
        tape: PRICES as traded, up to the same session.
        target: the column that is forecast.
        bases: by row, the level of the prices that a forecast was made from over that of the same
            prices today (see `prices.basis_factor`); where it is NaN there is no score.
    """
    traded_target = traded_column(target)
    adjusted = column(history.set_index(["ticker", "session"]), target)
    traded = column(tape.set_index(["ticker", "session"]), traded_target)
    session = pd.MultiIndex.from_frame(forecasts[["ticker", "session"]])
    cutoff = pd.MultiIndex.from_frame(forecasts[["ticker", "cutoff"]])
    actuals = column(usable.set_index(["ticker", "session"]), target)
    prices = (
        actuals.reindex(session).to_numpy()
        * traded.reindex(cutoff).to_numpy()
        / adjusted.reindex(cutoff).to_numpy()
    )
    actual = pd.Series(prices, index=forecasts.index) * bases
    key = ["ticker", "cutoff", "horizon"]
    last = forecasts["last_value"].to_numpy()
    rivals = {
        f"{name}_pinball": forecasts[key].merge(made, on=key, how="left")[list(QUANTILE_COLUMNS)]
        for name, made in baselines.items()
    }
    scored = forecasts.assign(
        actual=actual,
        pinball=_loss(actual, forecasts[list(FORECAST_COLUMNS)], last),
        **{name: _loss(actual, quantiles, last) for name, quantiles in rivals.items()},
        error=actual - forecasts["y_hat"],
        naive_error=actual - forecasts["last_value"],
        inside_80=actual.between(forecasts["lower_80"], forecasts["upper_80"]),
        inside_95=actual.between(forecasts["lower_95"], forecasts["upper_95"]),
    )
    return SCORES.conform(scored[actual.notna()])


def traded_column(target: str) -> str:
    """Return the column of prices as traded that a target is at its cutoff."""
    return "close" if target == "adj_close" else target


def count_withheld(
    forecasts: pd.DataFrame, history: pd.DataFrame, usable: pd.DataFrame, target: str
) -> int:
    """Return how many forecasts have a price that must not be compared with; see `score`."""
    session = pd.MultiIndex.from_frame(forecasts[["ticker", "session"]])
    known, allowed = (
        column(table.set_index(["ticker", "session"]), target).reindex(session).notna().to_numpy()
        for table in (history, usable)
    )
    return int((known & ~allowed).sum())


def _loss(actual: pd.Series, quantiles: pd.DataFrame, last: np.ndarray) -> np.ndarray:
    """Return the mean pinball loss of each row's quantiles, (n,), as a fraction of `last`.

    Returns:
        NaN for a row that lacks a quantile.
    """
    values = quantiles.to_numpy("float64")[:, None, :]
    return losses(actual.to_numpy()[:, None], values, last)[:, 0]
