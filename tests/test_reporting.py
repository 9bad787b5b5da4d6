"""Tables in, text and bytes out; compared whole where a reader can check them by eye."""

import datetime as dt
import itertools
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import charts, drift, reporting
from pipeline.errors import SettingsError
from pipeline.run import Run
from pipeline.tables import CALIBRATIONS, CHECKS, DRIFT, FINDINGS, FORECASTS, HISTORY, PROMOTIONS, SCORES
from pipeline.universes import Universe

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


def forecast(ticker, horizon, session, last, y_hat, half, champion):
    widths = {50: half / 2, 80: half, 95: 2 * half}
    levels = {
        f"{side}_{level}": y_hat + sign * wide for level, wide in widths.items() for side, sign in (("lower", -1), ("upper", 1))
    }
    row = {"ticker": ticker, "horizon": horizon, "session": session, "last_value": last, "y_hat": y_hat, "champion": champion}
    return {**KEY, **row, **levels, "model_id": champion}


def promotion(ticker, champion, test_rmse, naive, reasons):
    figures = {"test_sessions": 252, "test_rmse": test_rmse, "naive_test_rmse": naive, "skill": 1 - test_rmse / naive}
    loss = 0.0098 if test_rmse == test_rmse else float("nan")
    figures |= {"test_pinball": loss, "ewma_test_pinball": 0.01, "pinball_skill": 1 - loss / 0.01}
    return {
        **KEY,
        "ticker": ticker,
        "champion": champion,
        "model_id": champion,
        "weight": 0.75 if champion == "lstm" else 0.0,
        "baseline": "ewma",
        "training_cutoff": FRIDAY,
        **figures,
        "reasons": reasons,
    }


FORECAST_ROWS = FORECASTS.conform(
    pd.DataFrame(
        [
            forecast("AAPL", 1, MONDAY, 430.47, 431.0, 10.5, "lstm"),
            forecast("AAPL", 2, TUESDAY, 430.47, 431.5, 11.25, "lstm"),
            forecast("FB", 1, MONDAY, 27.78, 27.78, 0.5, "ewma"),
            forecast("FB", 2, TUESDAY, 27.78, 27.78, 0.75, "ewma"),
        ]
    )
)
PROMOTION_ROWS = PROMOTIONS.conform(
    pd.DataFrame(
        [
            promotion("AAPL", "lstm", 9.09, 9.0, "lstm: fine; lstm is published"),
            promotion("FB", "ewma", float("nan"), 0.4223, "FB: 196 sessions, 890 needed"),
        ]
    )
)
CHECK_ROWS = CHECKS.conform(
    pd.DataFrame(
        [
            {**KEY, "ticker": "AAPL", "verdict": "passed", "reasons": ""},
            {**KEY, "ticker": "FB", "verdict": "passed", "reasons": ""},
            {**KEY, "ticker": "MSFT", "verdict": "quarantined", "reasons": "stale: 6 closes are <27.95>"},
        ]
    ).assign(evidence="")
)
FINDING_ROWS = FINDINGS.conform(
    pd.DataFrame(
        [
            {
                **KEY,
                "ticker": "AAPL",
                "rule": "jump",
                "severity": "record",
                "session": day,
                "column": "close",
                "message": f"jump {n}",
            }
            for n, day in enumerate(pd.date_range("2013-01-07", periods=5))
        ]
    )
)
SCORE_ROWS = SCORES.conform(
    pd.DataFrame(
        {**KEY, "ticker": "AAPL", "horizon": 1, "session": day, "champion": "lstm", "y_hat": 1.0, "actual": 1.0, **values}
        | {"cutoff": day - pd.Timedelta(days=1)}
        for day, values in (
            (
                FRIDAY,
                {"error": 3.0, "naive_error": -4.0, "pinball": 0.01, "ewma_pinball": 0.02, "inside_80": True, "inside_95": True},
            ),
            (
                MONDAY,
                {"error": -1.0, "naive_error": 2.0, "pinball": 0.02, "ewma_pinball": 0.02, "inside_80": False, "inside_95": True},
            ),
        )
    )
)


def wide_of_the_mark():
    """Sixty scored sessions of which half came outside the 80 % interval."""
    sessions = pd.bdate_range(end=FRIDAY, periods=60)
    rows = {**KEY, "ticker": "AAPL", "horizon": 1, "session": sessions, "champion": "lstm", "y_hat": 1.0, "actual": 1.0}
    hits = {
        "inside_80": np.arange(60) % 2 == 0,
        "inside_95": True,
        "pinball": 0.01,
        "ewma_pinball": 0.01,
        "error": 0.0,
        "naive_error": 0.0,
    }
    return SCORES.conform(pd.DataFrame({**rows, **hits, "cutoff": sessions - pd.Timedelta(days=1)}))


CALIBRATION_ROWS = CALIBRATIONS.conform(
    pd.DataFrame(
        {**KEY, "ticker": "AAPL", "horizon": horizon, "sessions": 250}
        | {f"raw_coverage_{level}": level / 100 - 0.05 for level in (50, 80, 95)}
        | {f"coverage_{level}": level / 100 for level in (50, 80, 95)}
        | {f"growth_{level}": np.log(1.1) for level in (50, 80, 95)}
        for horizon in (1, 2)
    )
)
DRIFT_ROWS = DRIFT.conform(
    pd.DataFrame(
        [
            {**KEY, "ticker": "AAPL", "sessions": 60, "coverage_80": 0.5, "coverage_95": 0.9, "pinball_skill": 0.01, "psi": 0.1}
            | {"warnings": drift.judge(wide_of_the_mark(), 0.1).row()["warnings"]},
            {
                **KEY,
                "ticker": "FB",
                "sessions": 0,
                "coverage_80": np.nan,
                "coverage_95": np.nan,
                "pinball_skill": np.nan,
                "psi": np.nan,
            }
            | {"warnings": ""},
        ]
    )
)


def page(charts=None, pictures=None, **changed):
    return reporting.day_page(RUN, day(**changed), {"AAPL": b"\x89PNG"} if charts is None else charts, pictures or {})


def day(**changed):
    tables = (FORECAST_ROWS, PROMOTION_ROWS, CALIBRATION_ROWS, FINDING_ROWS, CHECK_ROWS, SCORE_ROWS, DRIFT_ROWS)
    names = ("forecasts", "promotions", "calibrations", "findings", "checks", "scores", "drift")
    return reporting.Day(**{**dict(zip(names, tables, strict=True)), **changed})


def history(sessions=80):
    closes = {"close": np.linspace(400, 430.47, sessions), "session": pd.bdate_range(end=FRIDAY, periods=sessions)}
    return HISTORY.conform(pd.DataFrame({**dict.fromkeys(HISTORY.columns, 1.0), "ticker": "AAPL", **closes}))


def test_the_days_page_in_the_terminal_has_the_same_parts_and_figures():
    told = reporting.day_text(RUN, day())
    titles = [above for above, below in itertools.pairwise(told.splitlines()) if below and set(below) == {"-"}]
    assert [title.split(":")[0] for title in titles] == [
        "sample",
        "Next session",
        "Forecasts",
        "Calibration",
        "Drift",
        "How earlier forecasts did",
        "Quality of the prices",
    ]
    for claim in (
        "1 ticker drifted.\n1 ticker quarantined.\n2 tickers forecast",
        "AAPL    430.47        431.00  +0.12%  420.50 .. 441.50  lstm 75% + ewma 25%         +2.00%      -1.00%  80 % interval",
        "(loses to naive one session ahead)",
        "AAPL         250  45.0% -> 50.0%",
        "WARNING AAPL, 80 % interval: 50% of what came",
        "MSFT quarantined: stale: 6 closes are <27.95>",
        "No advice to buy or sell anything.",
    ):
        assert claim in told


def test_markdown_begins_with_the_verdict_and_has_a_line_for_every_ticker():
    told, *table = reporting.day_markdown(day()).split("\n")
    assert told.startswith("**1 ticker drifted. 1 ticker quarantined. 2 tickers forecast: ")
    assert [line.split(" | ")[0] for line in table if line][2:] == ["| AAPL", "| FB", "| MSFT"]
    many = pd.concat([FORECAST_ROWS.assign(ticker=f"T{number:02d}") for number in range(30)])
    decided = pd.concat([PROMOTION_ROWS.head(1).assign(ticker=f"T{number:02d}") for number in range(30)])
    passed = pd.concat([CHECK_ROWS.head(1).assign(ticker=f"T{number:02d}", verdict="passed") for number in range(30)])
    large = reporting.day_markdown(day(forecasts=many.drop_duplicates(["ticker", "horizon"]), promotions=decided, checks=passed))
    assert large.count("\n| T") == reporting.SHOWN and large.endswith(f"{30 - reporting.SHOWN} more are in `summary.csv`.")


def test_the_terminal_table_shows_every_ticker_beside_naive():
    assert reporting.forecast_table(FORECAST_ROWS, PROMOTION_ROWS, CHECK_ROWS).splitlines() == [
        "sample: forecasts of close after 2013-03-01 (recipe default)",
        "",
        "AAPL   last close 430.47   lstm 75% + ewma 25%   test: pinball +2.00% against ewma, RMSE -1.00% against naive",
        "       (loses to naive one session ahead)",
        "       2013-03-04   431.00    50 %  425.75 .. 436.25    80 %  420.50 .. 441.50    95 %  410.00 .. 452.00",
        "       2013-03-05   431.50    50 %  425.88 .. 437.12    80 %  420.25 .. 442.75    95 %  409.00 .. 454.00",
        "",
        "FB     last close 27.78   ewma   no network",
        "       2013-03-04   27.78    50 %  27.53 .. 28.03    80 %  27.28 .. 28.28    95 %  26.78 .. 28.78",
        "       2013-03-05   27.78    50 %  27.41 .. 28.16    80 %  27.03 .. 28.53    95 %  26.28 .. 29.28",
        "",
        "MSFT   quarantined, no forecast: stale: 6 closes are <27.95>",
    ]


def test_rows_in_each_format():
    frame = pd.DataFrame(
        {
            "ticker": ["AAPL", "FB, Inc"],
            "session": [FRIDAY, pd.NaT],
            "known_at": [pd.Timestamp("2013-03-02 01:00"), pd.NaT],
            "y_hat": [0.1 + 0.2, np.nan],
            "horizon": [1, 10],
            "inside": [True, False],
        }
    )
    assert reporting.rows(frame, "csv") == (
        "ticker,session,known_at,y_hat,horizon,inside\n"
        "AAPL,2013-03-01,2013-03-02T01:00:00,0.30000000000000004,1,True\n"
        '"FB, Inc",,,,10,False\n'
    )
    assert json.loads(reporting.rows(frame, "json")) == [
        {
            "ticker": "AAPL",
            "session": "2013-03-01",
            "known_at": "2013-03-02T01:00:00",
            "y_hat": 0.1 + 0.2,
            "horizon": 1,
            "inside": True,
        },
        {"ticker": "FB, Inc", "session": None, "known_at": None, "y_hat": None, "horizon": 10, "inside": False},
    ]
    assert reporting.rows(frame, "table").splitlines() == [
        "ticker   session     known_at              y_hat  horizon  inside",
        "AAPL     2013-03-01  2013-03-02T01:00:00  0.3000        1  True",
        "FB, Inc                                                10  False",
    ]


def test_csv_numbers_read_back_to_the_same_bits():
    values = np.random.default_rng(0).normal(size=200) * 10.0 ** np.arange(-100, 100)
    text = reporting.rows(pd.DataFrame({"value": values}), "csv")
    assert [float(line) for line in text.split()[1:]] == values.tolist()


@pytest.mark.parametrize("form", reporting.FORMATS)
def test_an_empty_table_has_its_columns(form):
    text = reporting.rows(SCORES.empty(), form)
    assert json.loads(text) == [] if form == "json" else text.replace("  ", ",").strip() == ",".join(SCORES.columns)


def test_an_unknown_format_is_refused():
    with pytest.raises(SettingsError, match="--format is 'xml'; one of table, json, csv"):
        reporting.rows(SCORES.empty(), "xml")


class Text(HTMLParser):
    """Collects what a reader sees; refuses tags that close nothing."""

    def __init__(self, html):
        super().__init__()
        self.open, self.seen, self.links = [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style" and data.strip():
            self.seen.append(" ".join(data.split()))


def test_the_page_says_what_matters_and_needs_nothing_else():
    html = page()
    text = " ".join(Text(html).seen)
    for claim in (
        "2 tickers forecast: 1 with the help of a network, 1 by a baseline alone. On test sessions networks beat the EWMA random walk's distribution "
        "for 1 out of 1 ticker, and the naive forecast's RMSE for 0.",
        "1 ticker drifted. 1 ticker quarantined.",
        "Published are 75% of",
        "the EWMA random walk on 252 test sessions: pinball loss 0.980% of the price against 1.000%, skill +2.00%. "
        "One session ahead, its median loses to the naive forecast: RMSE 9.0900 against 9.0000, skill -1.00%.",
        "there is no network for this ticker. Test RMSE of the naive forecast: 0.4223.",
        "2013-03-04 431.00 425.75 – 436.25 420.50 – 441.50 410.00 – 452.00",
        "lstm: fine lstm is published",
        "AAPL 250 45.0% → 50.0% × 1.10 75.0% → 80.0% × 1.10 90.0% → 95.0% × 1.10",
        "AAPL 60 50% 90% +1.00% 0.10 80 % interval",
        "MSFT stale: 6 closes are <27.95>",
        "AAPL record jump 5 jump 4 jump 3 jump 2 and 2 more",
        "+29.29%",
    ):
        assert claim in text
    assert Text(html).links == ["#drift", "#quality", "#AAPL", "#FB", "data:image/png;base64,iVBORw=="]
    assert not re.search(r"https?:|@import|url\(", html)


def test_a_day_without_forecasts_still_has_its_page():
    empty = {
        "forecasts": FORECASTS,
        "promotions": PROMOTIONS,
        "findings": FINDINGS,
        "scores": SCORES,
        "calibrations": CALIBRATIONS,
        "drift": DRIFT,
    }
    text = " ".join(Text(page(**{name: table.empty() for name, table in empty.items()}, charts={})).seen)
    assert "0 tickers forecast" in text and "No earlier forecast has met its session yet." in text


def test_charts_are_pictures_and_the_same_each_time():
    predictions = pd.DataFrame(
        {"session": [FRIDAY, MONDAY], "horizon": 1, "actual": [1.0, 2.0], "prediction": [1.5, 2.0], "naive": [1.0, 1.0]}
        | {
            name: [1.0, 1.5] if name.startswith("lower") else [2.0, 2.5]
            for name in ("lower_50", "upper_50", "lower_80", "upper_80", "lower_95", "upper_95")
        }
    )
    aapl = FORECAST_ROWS[FORECAST_ROWS["ticker"] == "AAPL"]
    drawings = (
        lambda: charts.prediction_plot("AAPL", predictions),
        lambda: charts.forecast_chart(history(), aapl),
        lambda: charts.forecast_chart(history(2), aapl),
    )
    for draw in drawings:
        picture = draw()
        assert picture == draw()
        assert picture.startswith(b"\x89PNG") and b"matplotlib" not in picture


def test_a_forecast_chart_sees_nothing_after_the_cutoff():
    aapl = FORECAST_ROWS[FORECAST_ROWS["ticker"] == "AAPL"]
    later = pd.concat([history(), history().tail(1).assign(session=MONDAY, close=999.0)])
    assert charts.forecast_chart(later, aapl) == charts.forecast_chart(history(), aapl)


def test_text_needs_no_matplotlib():
    script = (
        "import sys, pandas as pd; from pipeline import reporting; from pipeline.tables import *;"
        "reporting.rows(SCORES.empty(), 'table'); reporting.forecast_table(FORECASTS.empty(), PROMOTIONS.empty(), CHECKS.empty());"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert (done.stdout, done.stderr) == ("False\n", "")
