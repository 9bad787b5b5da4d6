"""The day's page: what a reader sees of it, and that it needs nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from pipeline.reporting import day_page
from pipeline.tables import CALIBRATIONS, DRIFT, FINDINGS, FORECASTS, PROMOTIONS
from tests.reporting.made_day import RECORD, RUN, made_day, priced_rows

CLAIMS = (
    "2 tickers forecast: 1 with the help of a network, 1 by a baseline alone. On test sessions "
    "networks beat the EWMA random walk's distribution for 1 out of 1 ticker, and the naive "
    "forecast's RMSE for 0.",
    "1 ticker drifted. 1 ticker quarantined: MSFT (stale: 6 closes are <27.95>).",
    "Published are 75% of",
    "the EWMA random walk on 252 test sessions: pinball loss 0.980% of the price against 1.000%, "
    "skill +2.00%; over the regression of all stocks (har) -2.08%. One session "
    "ahead, its median loses to the naive forecast: RMSE 9.0900 against 9.0000, skill -1.00%.",
    "there is no network for this ticker. Test RMSE of the naive forecast: 0.4223.",
    "2013-03-04 431.00 425.75 – 436.25 420.50 – 441.50 410.00 – 452.00 399.50 – 462.50",
    "lstm: fine lstm is published",
    "AAPL 250 45.0% → 50.0% × 1.10 75.0% → 80.0% × 1.10 90.0% → 95.0% × 1.10",
    "AAPL 60 50% 90% +1.00% 0.10 80% interval",
    "Over the last 60 scored sessions at most",
    "1 ticker with fewer than 20 scored sessions cannot be judged",
    "MSFT stale: 6 closes are <27.95>",
    "AAPL record jump 5 jump 4 jump 3 jump 2 and 2 more",
    "+29.29%",
)


class Text(HTMLParser):
    """The text that a reader sees, and the links; refuses tags that close nothing."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str | None] = []
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


def made_page(charts: dict[str, bytes], **changed: pd.DataFrame) -> str:
    return day_page(RUN, made_day(**changed), charts, {})


def test_the_page_says_what_matters_and_needs_nothing_else():
    html = made_page({"AAPL": b"\x89PNG"})
    text = " ".join(Text(html).seen)
    assert [claim for claim in CLAIMS if claim not in text] == []
    assert Text(html).links == [
        "#drift",
        "#quality",
        "#AAPL",
        "#FB",
        "data:image/png;base64,iVBORw==",
    ]
    assert not re.search(r"https?:|@import|url\(", html)


def test_a_day_without_forecasts_still_has_its_page():
    empty = {
        "forecasts": FORECASTS.empty(),
        "promotions": PROMOTIONS.empty(),
        "findings": FINDINGS.empty(),
        "record": RECORD.iloc[:0],
        "calibrations": CALIBRATIONS.empty(),
        "drift": DRIFT.empty(),
    }
    text = " ".join(Text(made_page({}, **empty)).seen)
    assert "0 tickers forecast" in text
    assert "No earlier forecast has reached its session yet." in text


@pytest.mark.parametrize(
    ("currency", "scale", "last"),
    [("GBp", 1, "430.47 GBp"), ("JPY", 10, "4,305 JPY"), ("", 1, "430.47")],
)
def test_the_page_has_prices_in_their_currency(currency, scale, last):
    page = made_page({}, forecasts=priced_rows(currency, scale))
    assert f'<a href="#AAPL">AAPL</a></td><td>{last}</td>' in page
    assert "dollar" not in page.lower() and "$" not in page
