"""A store with ten published sessions of four tickers, for tests of what is shown of it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline.quantiles import INTERVALS, PUBLISHED_LEVELS
from pipeline.run import Run
from pipeline.sessions import Calendar
from pipeline.storage import Store
from pipeline.tables import (
    ACTIONS,
    CALIBRATIONS,
    CHECKS,
    DRIFT,
    FINDINGS,
    FORECASTS,
    PRICES,
    PROMOTIONS,
    PUBLICATIONS,
    RUN_TICKERS,
    RUNS,
    SCORES,
    Table,
)
from pipeline.universes import Universe

#: It would be markup, a path and SQL if anything took it for that.
HOSTILE = "<b>'--..&amp;"
#: Two as on any exchange, the hostile one, and one that sits every session out.
TICKERS = ["AAA", "BRK.B", HOSTILE, "OUT"]
KEY = {"universe": "made", "recipe": "default", "target": "close"}
SESSIONS = Calendar("XNYS").sessions(dt.date(2013, 1, 2), dt.date(2013, 3, 15))
CUTOFFS = SESSIONS[-15:-5]
LAST = CUTOFFS[-1]
UNIVERSE = Universe("made", "sample", ("AAA", "BRK.B", "OUT"))
KNOWN_AT = dt.datetime(2013, 3, 20, tzinfo=dt.UTC)
#: The columns of CHECKS that no page shows.
JUDGED = {"evidence": "", "known_at": KNOWN_AT.replace(tzinfo=None)}
HORIZON = 5
#: When a session's forecasts were published: the evening of that day, in New York.
EVENING = dt.timedelta(hours=22)
PUBLISHED = (
    CHECKS,
    FORECASTS,
    PUBLICATIONS,
    PROMOTIONS,
    CALIBRATIONS,
    SCORES,
    DRIFT,
    RUN_TICKERS,
    RUNS,
    FINDINGS,
)

Row = dict[str, object]


def fill(store: Store) -> None:
    """Write the prices, and what ten sessions have left."""
    random = np.random.default_rng(0)
    closes = {
        ticker: 50 * np.exp(np.cumsum(random.normal(0, 0.01, len(SESSIONS)))) for ticker in TICKERS
    }
    prices = [
        {
            "ticker": ticker,
            "session": session,
            "volume": 1e6,
            **dict.fromkeys(("open", "high", "low", "close"), close),
        }
        for ticker in TICKERS
        for session, close in zip(SESSIONS, closes[ticker], strict=True)
    ]
    table = PRICES.conform(pd.DataFrame(prices))
    store.prices.clock = lambda: KNOWN_AT
    store.prices.save("sample", table, ACTIONS.empty(), SESSIONS[0], SESSIONS[-1])
    rows: dict[str, list[Row]] = {kind.name: [] for kind in PUBLISHED}
    for cutoff in CUTOFFS:
        for ticker in TICKERS:
            for kind, row in _rows_of(ticker, cutoff, closes[ticker]):
                rows[kind.name].append(row)
    for kind in PUBLISHED:
        store.save(kind, kind.conform(pd.DataFrame(rows[kind.name])))


def _rows_of(ticker: str, cutoff: dt.date, closes: np.ndarray) -> Iterator[tuple[Table, Row]]:
    key: Row = {**KEY, "ticker": ticker, "cutoff": cutoff}
    if ticker == "OUT":
        reasons = "jump: <i>99%</i> overnight"
        yield CHECKS, {**key, "verdict": "quarantined", "reasons": reasons, **JUDGED}
        jump = {"rule": "jump", "severity": "quarantine", "session": cutoff, "column": "close"}
        yield FINDINGS, {**key, **jump, "message": "99% overnight"}
        return
    yield CHECKS, {**key, "verdict": "passed", "reasons": "", **JUDGED}
    for horizon in range(1, HORIZON + 1):
        yield from _rows_at(key, horizon, closes)
        yield CALIBRATIONS, _calibration(key, horizon)
    yield PROMOTIONS, _promotion(key)
    warnings = "psi: 0.31 is above 0.25" if ticker == "AAA" else ""
    figures = {"coverage_80": 0.8, "coverage_95": 0.95, "pinball_skill": 0.0, "psi": 0.31}
    figures["backfilled"] = False
    yield DRIFT, {**key, **figures, "sessions": 60, "warnings": warnings}
    yield RUN_TICKERS, {**key, "run_id": str(cutoff)}
    if ticker == TICKERS[0]:
        yield RUNS, _run(cutoff)


def _rows_at(key: Row, horizon: int, closes: np.ndarray) -> Iterator[tuple[Table, Row]]:
    """Yield a forecast, and its score where its session has closed."""
    at = SESSIONS.index(key["cutoff"])
    last, session = closes[at], SESSIONS[at + horizon]
    median = last * (1 + 0.001 * horizon * (-1 if key["ticker"] == "AAA" else 1))
    width = last * 0.01 * horizon**0.5
    bounds = {
        f"{side}_{level}": median + sign * width * level / 50
        for level in PUBLISHED_LEVELS
        for side, sign in (("lower", -1), ("upper", 1))
    }
    row = {**key, "horizon": horizon, "session": session, "y_hat": median}
    row |= {"champion": "lstm", "model_id": "m"}
    published = {**row, "last_value": last, **bounds}
    moment = dt.datetime.combine(key["cutoff"], dt.time()) + EVENING
    yield FORECASTS, published
    stamp = {"published_at": moment, "known_at": moment, "published_by": "made", "withdrawn": ""}
    yield PUBLICATIONS, {**published, **stamp}
    if session <= LAST:
        actual = closes[at + horizon]
        inside = {
            f"inside_{level}": bounds[f"lower_{level}"] <= actual <= bounds[f"upper_{level}"]
            for level in (80, 95)
        }
        errors = {"error": actual - median, "naive_error": actual - last}
        losses = {"pinball": 0.010, "ewma_pinball": 0.011, "har_pinball": 0.0101}
        row |= {"published_at": moment, "backfilled": False}
        yield SCORES, {**row, "actual": actual, **errors, **losses, **inside}


def _calibration(key: Row, horizon: int) -> Row:
    shares = {
        f"{kind}_{level}": level / 100
        for kind in ("raw_coverage", "coverage")
        for level in INTERVALS
    }
    growths = {f"growth_{level}": 0.0 for level in INTERVALS}
    return {**key, "horizon": horizon, "sessions": 500, **shares, **growths}


def _promotion(key: Row) -> Row:
    return {
        **key,
        "champion": "lstm",
        "model_id": "m",
        "weight": 0.6,
        "baseline": "ewma",
        "training_cutoff": CUTOFFS[0],
        "test_sessions": 250,
        "test_rmse": 0.99,
        "naive_test_rmse": 1.0,
        "skill": 0.01,
        "test_pinball": 0.0101,
        "ewma_test_pinball": 0.01,
        "pinball_skill": -0.01,
        "har_test_pinball": 0.0102,
        "pinball_skill_over_har": 1 - 0.0101 / 0.0102,
        "reasons": "beats <naive>; a tie with ewma",
    }


def _run(cutoff: dt.date) -> Row:
    run = Run(UNIVERSE, cutoff, cutoff, cutoff, cutoff, cutoff, (), KNOWN_AT)
    return {
        "run_id": str(cutoff),
        **KEY,
        "cutoff": cutoff,
        "source_id": "sample",
        "known_at": KNOWN_AT.replace(tzinfo=None),
        "settings": "{}",
        "code_version": "1",
        "libraries": "{}",
        "request": json.dumps(run.to_json()["universe"]),
    }
