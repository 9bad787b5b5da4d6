"""The day in a terminal and in Markdown: the parts and the figures of its page."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.reporting import day_markdown, day_text, forecast_table
from pipeline.reporting.day import SHOWN_IN_FULL
from tests.reporting.made_day import (
    CHECK_ROWS,
    FORECAST_ROWS,
    PROMOTION_ROWS,
    RUN,
    large_day,
    made_day,
    priced_rows,
)

ROOT = Path(__file__).parents[2]
OVERVIEW_OF_AAPL = (
    "AAPL    430.47        431.00  +0.12%  420.50 .. 441.50  "
    "lstm 75% + ewma 25%         +2.00%    -2.08%      -1.00%  80% interval"
)
FORECASTS_OF_AAPL = [
    "AAPL   last close 430.47   lstm 75% + ewma 25%   "
    "test: pinball +2.00% against ewma, -2.08% against har, RMSE -1.00% against naive",
    "       (loses to har, loses to naive one session ahead)",
    "       2013-03-04   431.00    50%  425.75 .. 436.25"
    "    80%  420.50 .. 441.50    95%  410.00 .. 452.00",
    "       2013-03-05   431.50    50%  425.88 .. 437.12"
    "    80%  420.25 .. 442.75    95%  409.00 .. 454.00",
]
FORECASTS_OF_FB = [
    "FB     last close 27.78   ewma   no network",
    "       2013-03-04   27.78    50%  27.53 .. 28.03"
    "    80%  27.28 .. 28.28    95%  26.78 .. 28.78",
    "       2013-03-05   27.78    50%  27.41 .. 28.16"
    "    80%  27.03 .. 28.53    95%  26.28 .. 29.28",
]


def test_the_days_page_in_the_terminal_has_the_same_parts_and_figures():
    text = day_text(RUN, made_day())
    titles = [
        above
        for above, below in itertools.pairwise(text.splitlines())
        if below and set(below) == {"-"}
    ]
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
        "1 ticker drifted.\n1 ticker quarantined: MSFT (stale: 6 closes are <27.95>).\n2 tickers",
        OVERVIEW_OF_AAPL,
        "(loses to har, loses to naive one session ahead)",
        "AAPL         250  45.0% -> 50.0%",
        "WARNING AAPL, 80% interval: 50% of the actual prices",
        "MSFT quarantined: stale: 6 closes are <27.95>",
        "No advice to buy or sell anything.",
    ):
        assert claim in text


def test_markdown_begins_with_the_verdict_and_has_a_line_for_every_ticker():
    verdict, *table = day_markdown(made_day()).split("\n")
    assert verdict.startswith(
        "**1 ticker drifted. 1 ticker quarantined: MSFT (stale: 6 closes are <27.95>). 2 tickers "
    )
    assert [line.split(" | ")[0] for line in table if line][2:] == ["| AAPL", "| FB", "| MSFT"]


def test_markdown_of_a_large_universe_has_the_tickers_shown_in_full_and_counts_the_rest():
    text = day_markdown(large_day(30))
    assert text.count("\n| T") == SHOWN_IN_FULL
    assert text.endswith(f"{30 - SHOWN_IN_FULL} more are in `summary.csv`.")


def test_the_terminal_table_shows_every_ticker_beside_naive():
    assert forecast_table(FORECAST_ROWS, PROMOTION_ROWS, CHECK_ROWS).splitlines() == [
        "sample: forecasts of close after 2013-03-01 (recipe default)",
        "",
        *FORECASTS_OF_AAPL,
        "",
        *FORECASTS_OF_FB,
        "",
        "MSFT   quarantined, no forecast: stale: 6 closes are <27.95>",
    ]


@pytest.mark.slow
def test_text_needs_no_matplotlib():
    code = (
        "import sys; from pipeline.reporting import *; from pipeline.tables import *;"
        "format_rows(SCORES.empty(), 'table');"
        "forecast_table(FORECASTS.empty(), PROMOTIONS.empty(), CHECKS.empty());"
        "print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("False\n", "")


#: Currency, factor of the made day's prices, and what is printed of AAPL.
PRICED = [
    ("USD", 1, "430.47 USD", "420.50 .. 441.50"),
    ("GBp", 1, "430.47 GBp", "420.50 .. 441.50"),
    ("JPY", 10, "4,305 JPY", "4,205 .. 4,415"),
    ("USD", 0.004, "1.7219 USD", "1.6820 .. 1.7660"),
    ("BTC", 1e-9, "0.00000043047 BTC", "0.00000042050 .. 0.00000044150"),
    ("", 1, "430.47", "420.50 .. 441.50"),
]


@pytest.mark.parametrize(("currency", "scale", "last", "interval"), PRICED)
def test_prices_stand_in_their_currency_with_its_digits(currency, scale, last, interval):
    day = made_day(forecasts=priced_rows(currency, scale))
    text, markdown = day_text(RUN, day), day_markdown(day)
    assert f"AAPL   last close {last}   " in text
    assert f"| AAPL | {last} | " in markdown
    for each in (text, markdown):
        assert interval in each
        assert "dollar" not in each.lower()
