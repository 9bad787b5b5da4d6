"""A day in sentences, one row per ticker, and the tickers that are shown in full."""

import numpy as np
import pandas as pd
import pytest

from pipeline.reporting import day_summary, shown_in_full, summary_of
from pipeline.reporting.day import SHOWN_IN_FULL
from tests.reporting.made_day import DRIFT_ROWS, large_day, made_day


def test_a_day_in_sentences_begins_with_its_warnings():
    summary = summary_of(made_day())
    assert summary.warnings == {
        "drift": "1 ticker drifted.",
        "quality": "1 ticker quarantined: MSFT (stale: 6 closes are <27.95>).",
    }
    assert str(summary) == (
        "1 ticker drifted. 1 ticker quarantined: MSFT (stale: 6 closes are <27.95>). "
        "2 tickers forecast: 1 with the help of a network, 1 by a baseline alone. On test "
        "sessions networks beat the EWMA random walk's distribution for 1 out of 1 ticker, and the "
        "naive forecast's RMSE for 0."
    )


def test_a_ticker_that_passed_and_has_no_forecast_is_named():
    day = made_day()
    passed = day.checks[day.checks["ticker"] == "FB"]
    more = [passed.assign(ticker=f"T{number:02d}") for number in range(14)]
    summary = summary_of(made_day(checks=pd.concat([day.checks, *more])))
    assert summary.warnings["tickers"] == (
        "14 tickers passed and without a forecast: "
        + ", ".join(f"T{number:02d}" for number in range(12))
        + " and 2 more."
    )
    assert list(summary.warnings) == ["tickers", "drift", "quality"]


def test_a_ticker_without_a_forecast_is_named_with_the_step_that_is_not_done():
    day = made_day()
    more = day.checks[day.checks["ticker"] == "FB"].assign(ticker="GONE")
    checks = pd.concat([day.checks, more])
    summary = summary_of(made_day(checks=checks, unfinished={"GONE": "train"}))
    assert summary.warnings["tickers"] == (
        "1 ticker passed and without a forecast: GONE (`train` is not done)."
    )


def test_who_is_left_out_for_want_of_bars_is_named_without_a_warning():
    findings = made_day().findings
    gone = findings.head(1).assign(rule="gone", severity="record")
    more = [gone.assign(ticker=ticker) for ticker in ("ZZZ", "ABC")]
    summary = summary_of(made_day(findings=pd.concat([findings, *more])))
    assert summary.sentences[-1] == "Left out, as without bars any more: ABC, ZZZ."
    assert summary.warnings == summary_of(made_day()).warnings


def test_every_ticker_has_one_row_with_its_forecast_or_the_reason_for_none():
    rows = day_summary(made_day()).set_index("ticker")
    columns = ["verdict", "direction", "drift", "reasons"]
    assert rows[columns].to_dict("index") == {
        "AAPL": dict(zip(columns, ("passed", "up", "coverage_80", ""), strict=True)),
        "FB": dict(zip(columns, ("passed", "level", "", ""), strict=True)),
        "MSFT": dict(
            zip(columns, ("quarantined", "", "", "stale: 6 closes are <27.95>"), strict=True)
        ),
    }
    assert rows["change"].tolist() == pytest.approx([431.0 / 430.47 - 1, 0.0, np.nan], nan_ok=True)


def test_a_small_universe_is_shown_in_full():
    assert shown_in_full(made_day()) == ["AAPL", "FB"]


def test_of_a_large_universe_those_that_drifted_or_move_most_are_shown():
    day = large_day(30)
    most = [f"T{number:02d}" for number in range(30 - SHOWN_IN_FULL, 30)]
    assert shown_in_full(day) == most
    drifted = DRIFT_ROWS.head(1).assign(ticker="T00")
    assert shown_in_full(large_day(30, drifted)) == ["T00", *most[1:]]
