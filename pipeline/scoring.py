"""What became of forecasts: their realised errors. Pure: tables in, table out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.quantiles import COLUMNS as QUANTILES
from pipeline.quantiles import losses
from pipeline.tables import SCORES, column


def score(forecasts: pd.DataFrame, baseline: pd.DataFrame, history: pd.DataFrame, tape: pd.DataFrame, target: str) -> pd.DataFrame:
    """SCORES rows of FORECASTS of any number of tickers; a forecast whose bar is missing waits.

    Actuals are brought back into dollars as of each forecast's cutoff: with adjusted prices p and the price on the tape q,
    actual = p[session] * q[cutoff] / p[cutoff]. A split in between is so undone; for adj_close a dividend too.

    Args:
        baseline: what the EWMA random walk said beside each of them (ticker, cutoff, horizon and the quantiles as PREDICTIONS has them).
        history: HISTORY from the first of their cutoffs on, adjusted as of any session that all of these have come to.
        tape: PRICES as traded, up to the same session.
    """
    adjusted = column(history.set_index(["ticker", "session"]), target)
    traded = column(tape.set_index(["ticker", "session"]), "close" if target == "adj_close" else target)
    came, seen = (pd.MultiIndex.from_frame(forecasts[["ticker", day]]) for day in ("session", "cutoff"))
    prices = adjusted.reindex(came).to_numpy() * traded.reindex(seen).to_numpy() / adjusted.reindex(seen).to_numpy()
    actual = pd.Series(prices, index=forecasts.index)
    beside = forecasts[["ticker", "cutoff", "horizon"]].merge(baseline, on=["ticker", "cutoff", "horizon"], how="left")
    scored = forecasts.assign(
        actual=actual,
        pinball=_loss(
            actual,
            forecasts,
            [f"lower_{level}" for level in (95, 80, 50)] + ["y_hat"] + [f"upper_{level}" for level in (50, 80, 95)],
        ),
        ewma_pinball=_loss(actual, forecasts, list(QUANTILES), beside),
        error=actual - forecasts["y_hat"],
        naive_error=actual - forecasts["last_value"],
        inside_80=actual.between(forecasts["lower_80"], forecasts["upper_80"]),
        inside_95=actual.between(forecasts["lower_95"], forecasts["upper_95"]),
    )
    return SCORES.conform(scored[actual.notna()])


def _loss(actual: pd.Series, forecasts: pd.DataFrame, columns: list[str], told: pd.DataFrame | None = None) -> np.ndarray:
    """Mean pinball loss of each row's quantiles, as a fraction of its last value; NaN for a row that has not all of them."""
    quantiles = (forecasts if told is None else told)[columns].to_numpy("float64")
    return losses(actual.to_numpy()[:, None], quantiles[:, None, :], forecasts["last_value"].to_numpy())[:, 0]
