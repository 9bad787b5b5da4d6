"""Broken price files and broken answers: an error in one line, or bars that the input has."""

from __future__ import annotations

import datetime as dt
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StockcastError
from pipeline.inspection import inspect_files
from pipeline.prices import BEFORE_ANY_PRICE, CsvSource, YahooSource, fetch
from pipeline.sessions import Calendar
from pipeline.tables import OHLCV, PRICES
from tests.fuzz.broken import CELLS, EVERY_EXAMPLE, broken_text, require_one_line
from tests.made_prices import LAST, random_walk
from tests.prices.made_formats import FORMATS
from tests.yahoo_market import Market
from tests.yahoo_server import JSON, YahooServer

XNYS = Calendar("XNYS")
FIRST = dt.date(2012, 1, 3)
NOW = dt.datetime(2013, 3, 9, tzinfo=dt.UTC)
EVENING = dt.datetime(2024, 7, 1, 22, tzinfo=dt.UTC)
GOOD_FILE = random_walk(1, 12).to_csv(index=False, float_format="%.4f")
GOOD_FILES = (
    GOOD_FILE,
    random_walk(2, 8).assign(Name="IBM").to_csv(index=False, float_format="%.4f", sep=";"),
    random_walk(3, 8).to_csv(index=False, float_format="%.4f", date_format="%d.%m.%Y", sep="\t"),
    random_walk(4, 8).to_csv(index=False, float_format="%.4f", sep=";", decimal=","),
)
#: Broken files in a folder that is inspected.
INSPECTED_TOGETHER = 20


def broken_files() -> st.SearchStrategy[str]:
    """Return broken files, those of producers with other columns, numbers and dates among them.

    None of these has splits to undo.
    """
    producers = [
        content.decode()
        for form in FORMATS
        if form.producer and form.ticker == "IBM" and not form.actions
        for content in form.write().values()
        if b"4:1" not in content
    ]
    return st.one_of(*map(broken_text, (*GOOD_FILES, *producers)))


#: Written once they are needed: writing them, Excel's most of all, takes longer than to collect.
BROKEN_FILES = st.deferred(broken_files)


def require_sound(prices: pd.DataFrame, first: dt.date, last: dt.date) -> None:
    """Require what every later step relies on."""
    pd.testing.assert_frame_equal(prices, PRICES.conform(prices))
    assert prices["session"].is_unique
    assert prices["session"].between(pd.Timestamp(first), pd.Timestamp(last)).all()


def numbers_in(text: str) -> set[float]:
    """Return every number that a text can be read as having, however it is written."""
    numbers = {0.0}  # the volume of a series without
    bare = text.replace('"', "")  # what stands behind a quote belongs to its cell
    patterns = (r"[;\t\n|\"' ]|,(?!\d)", r"[;,\t\n|\"' ]", r"[;\t\n|]", r"[;,\t\n|]")
    for token in [token for each in (text, bare) for p in patterns for token in re.split(p, each)]:
        for spelling in (
            token,
            token.replace(",", ""),
            token.replace(",", "."),
            token.replace(".", "").replace(",", "."),
            re.sub(r"[ '\u2019]", "", token),
            token.strip("$€£¥₹₩"),
        ):
            try:
                numbers.add(float(spelling))
            except ValueError:
                continue
    scaled = re.findall(r"(\d+(?:[.,]\d+)?) ?([KkMBT])", text)
    scales = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    return numbers | {
        round(float(number.replace(",", mark)) * scales[unit.upper()], 6)
        for number, unit in scaled
        for mark in (".", "")
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.mark.slow
@EVERY_EXAMPLE
@given(text=BROKEN_FILES)
def test_a_broken_price_file_is_refused_in_one_line_or_read_as_it_is(folder, text):
    file = folder / "IBM.csv"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        prices = fetch(CsvSource(folder), "IBM", FIRST, LAST, XNYS, NOW).prices
    except StockcastError as error:
        require_one_line(error)
        return
    require_sound(prices, FIRST, LAST)
    values = prices[OHLCV].to_numpy().ravel()
    known = numbers_in(text)
    strangers = [value for value in values[np.isfinite(values)] if value not in known]
    assert not strangers, f"{strangers} are nowhere in {text!r}"


@pytest.mark.slow
@settings(EVERY_EXAMPLE, max_examples=max(EVERY_EXAMPLE.max_examples // INSPECTED_TOGETHER, 1))
@given(
    texts=st.lists(
        BROKEN_FILES,
        min_size=INSPECTED_TOGETHER,
        max_size=INSPECTED_TOGETHER,
    )
)
def test_the_inspection_of_broken_price_files_says_what_ingestion_would_do(folder, texts):
    """A folder at a time: the gate takes as long for one file as for twenty."""
    for number, text in enumerate(texts):
        text = text.replace("IBM", f"T{number}")
        (folder / f"T{number}.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    report = inspect_files(str(folder), "XNYS", NOW)
    for line in report.remarks():
        assert line.isprintable(), repr(line)
    pasted = tomllib.loads(report.universe_toml())
    good = [name for section in pasted.values() for name in section["tickers"]]
    assert good == [each.ticker for each in report.tickers if each.is_good]
    source = CsvSource(folder)
    for each in report.tickers:
        try:
            prices = fetch(source, each.ticker, BEFORE_ANY_PRICE, LAST, XNYS, NOW).prices
        except StockcastError as error:
            require_one_line(error)
            assert each.problem == str(error)
            continue
        assert each.problem.isprintable(), repr(each.problem)
        assert (each.bars, each.problem == "no bars") == (len(prices), prices.empty)


@pytest.fixture(scope="module")
def yahoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[YahooServer, YahooSource]]:
    """The real client, and the server that it asks; it gives each answer once."""
    from tests.prices.conftest import loopback_session

    market = Market(EVENING, first_day=dt.date(2024, 5, 1))
    with YahooServer(market, tmp_path_factory.mktemp("certificates")) as server:
        source = YahooSource(
            tmp_path_factory.mktemp("yfinance"),
            attempts=1,
            timeout=5.0,
            rate=1e9,
            sleep=lambda seconds: None,
            clock=lambda: EVENING,
            transport=loopback_session(server.port),
        )
        yield server, source


@st.composite
def broken_answer(draw: st.DrawFn, good: str) -> str:
    """Draw an answer in JSON with other values, or with broken JSON."""
    if draw(st.booleans()):
        return draw(broken_text(good))
    answer = json.loads(good)
    for _ in range(draw(st.integers(1, 3))):
        holder, key = answer, "chart"
        while isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 9)):
            holder = holder[key]
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            key = draw(st.sampled_from(keys))
        holder[key] = draw(
            st.one_of(
                st.none(),
                st.booleans(),
                st.integers(-(2**70), 2**70),
                st.floats(allow_nan=False, allow_infinity=False),
                st.sampled_from(CELLS),
                st.just([]),
                st.just({}),
                st.just([None]),
            )
        )
        if not isinstance(answer["chart"], dict):
            break
    return json.dumps(answer)


def good_answer() -> str:
    market = Market(EVENING, first_day=dt.date(2024, 5, 1))
    result = market.chart("NVDA", dt.datetime(2024, 6, 3, tzinfo=dt.UTC), EVENING)
    return json.dumps({"chart": {"result": [result], "error": None}})


@pytest.mark.slow
@EVERY_EXAMPLE
@given(
    body=st.deferred(lambda: broken_answer(good_answer())),
    status=st.sampled_from([200, 200, 200, 404, 400, 500]),
)
def test_a_broken_answer_is_refused_in_one_line_or_read_as_sound_bars(yahoo, body, status):
    server, source = yahoo
    server.reply = status, JSON, body
    first, last = dt.date(2024, 6, 3), dt.date(2024, 7, 1)
    try:
        prices = fetch(source, "NVDA", first, last, XNYS, EVENING).prices
    except StockcastError as error:
        require_one_line(error)
        return
    require_sound(prices, first, last)
