"""A day's tables, small enough to check by eye.

Two tickers have forecasts, one of them has drifted; a third one is quarantined.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from pipeline.measures import drift, realised
from pipeline.reporting import Day
from pipeline.run import Run
from pipeline.tables import (
    CALIBRATIONS,
    CHECKS,
    DRIFT,
    FINDINGS,
    FORECASTS,
    HISTORY,
    PROMOTIONS,
    SCORES,
    Table,
)
from pipeline.universes import Universe
from tests.measures.made_sums import sums_by_loop

FRIDAY, MONDAY, TUESDAY = (pd.Timestamp(day) for day in ("2013-03-01", "2013-03-04", "2013-03-05"))
KEY = {"universe": "sample", "recipe": "default", "target": "close", "cutoff": FRIDAY}
RUN = Run(
    universe=Universe(name="sample", source="sample", tickers=("AAPL", "FB", "MSFT"), horizon=2),
    session=FRIDAY.date(),
    training_cutoff=FRIDAY.date(),
    previous_cutoff=dt.date(2013, 2, 1),
    pool_cutoff=dt.date(2013, 1, 2),
    previous_pool_cutoff=dt.date(2013, 1, 2),
    forecast_sessions=(MONDAY.date(), TUESDAY.date()),
    known_at=dt.datetime(2013, 3, 2, 1, tzinfo=dt.UTC),
)
LEVELS = (50, 80, 95)
NAN = float("nan")

Row = dict[str, object]


def table_of(table: Table, *rows: Row) -> pd.DataFrame:
    """Return rows of a table with the run's key where they have none of their own."""
    return table.conform(pd.DataFrame([{**KEY, **row} for row in rows]))


def forecast(
    ticker: str, session: pd.Timestamp, last: float, y_hat: float, half: float, champion: str
) -> Row:
    """Return a FORECASTS row; `half`: half the width of its 80% interval."""
    half_widths = {50: half / 2, 80: half, 95: 2 * half, 98: 3 * half}
    bounds = {
        f"{side}_{level}": y_hat + sign * width
        for level, width in half_widths.items()
        for side, sign in (("lower", -1), ("upper", 1))
    }
    return {
        "ticker": ticker,
        "horizon": 1 if session == MONDAY else 2,
        "session": session,
        "last_value": last,
        "y_hat": y_hat,
        "champion": champion,
        "model_id": champion,
        **bounds,
    }


def promotion(ticker: str, champion: str, test_rmse: float, naive: float, reasons: str) -> Row:
    """Return a PROMOTIONS row; `test_rmse` NaN: there is no network."""
    loss = 0.0098 if test_rmse == test_rmse else NAN
    return {
        "ticker": ticker,
        "champion": champion,
        "model_id": champion,
        "weight": 0.75 if champion == "lstm" else 0.0,
        "baseline": "ewma",
        "training_cutoff": FRIDAY,
        "test_sessions": 252,
        "test_rmse": test_rmse,
        "naive_test_rmse": naive,
        "skill": 1 - test_rmse / naive,
        "test_pinball": loss,
        "ewma_test_pinball": 0.01,
        "pinball_skill": 1 - loss / 0.01,
        "har_test_pinball": 0.0096 if champion == "lstm" else NAN,
        "pinball_skill_over_har": 1 - loss / 0.0096,
        "reasons": reasons,
    }


def score(session: pd.Timestamp, **values: object) -> Row:
    """Return a SCORES row of AAPL, one session ahead."""
    cutoff = session - pd.Timedelta(days=1)
    row = {"ticker": "AAPL", "horizon": 1, "session": session, "cutoff": cutoff}
    row |= {"published_at": cutoff, "backfilled": False}
    return {**row, "champion": "lstm", "y_hat": 1.0, "actual": 1.0, **values}


def warnings_of_misses() -> str:
    """Return the warnings of 60 scored sessions, half of them outside the 80% interval."""
    losses = {"pinball": 0.01, "ewma_pinball": 0.01, "har_pinball": 0.01}
    losses |= {"error": 0.0, "naive_error": 0.0}
    rows = [
        score(session, inside_80=number % 2 == 0, inside_95=True, **losses)
        for number, session in enumerate(pd.bdate_range(end=FRIDAY, periods=60))
    ]
    question = pd.DataFrame([{"ticker": "AAPL", "cutoff": FRIDAY, "psi": 0.1}])
    [judgement] = drift.judge_each(table_of(SCORES, *rows), question)
    return str(judgement.row()["warnings"])


FORECAST_ROWS = table_of(
    FORECASTS,
    forecast("AAPL", MONDAY, 430.47, 431.0, 10.5, "lstm"),
    forecast("AAPL", TUESDAY, 430.47, 431.5, 11.25, "lstm"),
    forecast("FB", MONDAY, 27.78, 27.78, 0.5, "ewma"),
    forecast("FB", TUESDAY, 27.78, 27.78, 0.75, "ewma"),
)
PROMOTION_ROWS = table_of(
    PROMOTIONS,
    promotion("AAPL", "lstm", 9.09, 9.0, "lstm: fine; lstm is published"),
    promotion("FB", "ewma", NAN, 0.4223, "FB: 196 sessions, 890 needed"),
)
#: The columns of CHECKS that no page shows.
JUDGED = {"evidence": "", "known_at": None}
CHECK_ROWS = table_of(
    CHECKS,
    {"ticker": "AAPL", "verdict": "passed", "reasons": "", **JUDGED},
    {"ticker": "FB", "verdict": "passed", "reasons": "", **JUDGED},
    {
        "ticker": "MSFT",
        "verdict": "quarantined",
        "reasons": "stale: 6 closes are <27.95>",
        **JUDGED,
    },
)
FINDING_ROWS = table_of(
    FINDINGS,
    *(
        {
            "ticker": "AAPL",
            "rule": "jump",
            "severity": "record",
            "session": session,
            "column": "close",
            "message": f"jump {number}",
        }
        for number, session in enumerate(pd.date_range("2013-01-07", periods=5))
    ),
)
SCORE_ROWS = table_of(
    SCORES,
    score(
        FRIDAY,
        actual=96.0,
        error=3.0,
        naive_error=-4.0,
        pinball=0.01,
        ewma_pinball=0.02,
        har_pinball=NAN,
        inside_80=True,
        inside_95=True,
    ),
    score(
        MONDAY,
        actual=102.0,
        error=-1.0,
        naive_error=2.0,
        pinball=0.02,
        ewma_pinball=0.02,
        har_pinball=0.016,
        inside_80=False,
        inside_95=True,
    ),
)
RECORD = realised(sums_by_loop(SCORE_ROWS, ["universe", "recipe", "target", "ticker", "horizon"]))
CALIBRATION_ROWS = table_of(
    CALIBRATIONS,
    *(
        {"ticker": "AAPL", "horizon": horizon, "sessions": 250}
        | {f"raw_coverage_{level}": level / 100 - 0.05 for level in LEVELS}
        | {f"coverage_{level}": level / 100 for level in LEVELS}
        | {f"growth_{level}": np.log(1.1) for level in LEVELS}
        for horizon in (1, 2)
    ),
)
DRIFT_ROWS = table_of(
    DRIFT,
    {
        "ticker": "AAPL",
        "backfilled": False,
        "sessions": 60,
        "coverage_80": 0.5,
        "coverage_95": 0.9,
        "pinball_skill": 0.01,
        "psi": 0.1,
        "warnings": warnings_of_misses(),
    },
    {
        "ticker": "FB",
        "backfilled": False,
        "sessions": 0,
        **dict.fromkeys(("coverage_80", "coverage_95", "pinball_skill", "psi"), NAN),
        "warnings": "",
    },
)


def made_day(**changed: pd.DataFrame) -> Day:
    """Return the made day with other tables in the place of some."""
    tables = {
        "forecasts": FORECAST_ROWS,
        "promotions": PROMOTION_ROWS,
        "calibrations": CALIBRATION_ROWS,
        "findings": FINDING_ROWS,
        "checks": CHECK_ROWS,
        "record": RECORD,
        "drift": DRIFT_ROWS,
    }
    return Day(**{**tables, **changed})


def priced_rows(currency: str, scale: float) -> pd.DataFrame:
    """Return `FORECAST_ROWS` in another currency, with all prices times a number."""
    names = [name for name in FORECAST_ROWS if name.startswith(("lower_", "upper_"))]
    names += ["last_value", "y_hat"]
    return FORECAST_ROWS.assign(
        **{name: FORECAST_ROWS[name] * scale for name in names}, currency=currency
    )


def large_day(count: int, drift_rows: pd.DataFrame | None = None) -> Day:
    """Return a day of so many tickers, T00 and so on; a higher number moves more."""
    tickers = [f"T{number:02d}" for number in range(count)]

    def of_all(rows: pd.DataFrame) -> pd.DataFrame:
        copies = [rows.head(1).assign(ticker=ticker) for ticker in tickers]
        return pd.concat(copies, ignore_index=True)

    forecasts = of_all(FORECAST_ROWS)
    return made_day(
        forecasts=forecasts.assign(y_hat=forecasts["last_value"] + np.arange(count)),
        promotions=of_all(PROMOTION_ROWS),
        checks=of_all(CHECK_ROWS),
        drift=DRIFT.empty() if drift_rows is None else drift_rows,
    )


def made_history(sessions: int = 80) -> pd.DataFrame:
    """Return the HISTORY of AAPL up to Friday."""
    closes = {
        "close": np.linspace(400, 430.47, sessions),
        "session": pd.bdate_range(end=FRIDAY, periods=sessions),
    }
    constant = dict.fromkeys(HISTORY.columns, 1.0)
    return HISTORY.conform(pd.DataFrame({**constant, "ticker": "AAPL", **closes}))
