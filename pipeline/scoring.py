"""What became of forecasts: their realised errors. Pure: tables in, table out."""

from __future__ import annotations

import pandas as pd

from pipeline.tables import SCORES, column


def score(forecasts: pd.DataFrame, history: pd.DataFrame, tape: pd.DataFrame, target: str) -> pd.DataFrame:
    """SCORES rows of one ticker's FORECASTS; a forecast whose bar is missing waits.

    Actuals are brought back into dollars as of each forecast's cutoff: with adjusted prices p and the price on the tape q,
    actual = p[session] * q[cutoff] / p[cutoff]. A split in between is so undone; for adj_close a dividend too.

    Args:
        history: HISTORY adjusted as of any session that all of these have come to.
        tape: PRICES as traded, up to the same session.
    """
    adjusted = column(history.set_index("session"), target)
    traded = column(tape.set_index("session"), "close" if target == "adj_close" else target)
    actual = forecasts["session"].map(adjusted) * forecasts["cutoff"].map(traded) / forecasts["cutoff"].map(adjusted)
    scored = forecasts.assign(
        actual=actual,
        error=actual - forecasts["y_hat"],
        naive_error=actual - forecasts["last_value"],
        inside_80=actual.between(forecasts["lower_80"], forecasts["upper_80"]),
        inside_95=actual.between(forecasts["lower_95"], forecasts["upper_95"]),
    )
    return SCORES.conform(scored[actual.notna()])
