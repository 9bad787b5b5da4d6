"""Every manner of writing prices is read rightly or refused in one line, and the page says so."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import StockcastError
from pipeline.prices.csv_files import CsvSource
from pipeline.prices.formats import files_at, read_table
from pipeline.tables import OHLCV
from tests.prices.made_csv import fetch_all
from tests.prices.made_formats import DAYS, FORMATS, SPLIT_DAY, Format

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "price-files.md"


def write_files(folder: Path, form: Format) -> None:
    for name, content in form.write().items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_manner_of_writing_prices_is_read_rightly_or_refused(tmp_path, form):
    write_files(tmp_path, form)
    if form.bars is None:
        reason = re.escape(form.outcome.removeprefix("refused: "))
        with pytest.raises(StockcastError, match=reason):
            fetch_all(form.place.format(folder=tmp_path), form.ticker)
        return
    fetched = fetch_all(form.place.format(folder=tmp_path), form.ticker)
    expected = form.bars.rename(columns={"date": "session"}).assign(ticker=form.ticker)
    pd.testing.assert_frame_equal(
        fetched.prices[["session", *OHLCV]],
        expected[["session", *OHLCV]],
        check_dtype=False,
        check_exact=True,
    )
    assert [
        (action["session"], action["kind"], action["value"])
        for action in fetched.actions.to_dict("records")
    ] == [(DAYS[SPLIT_DAY], *action) for action in form.actions]


@pytest.mark.parametrize(
    "form", [form for form in FORMATS if form.bars is not None], ids=lambda form: form.name
)
def test_the_producer_is_recognised_where_no_other_writes_like_that(tmp_path, form):
    write_files(tmp_path, form)
    files = [
        each for each in files_at(str(tmp_path)) if "IBM" in each.name or len(form.write()) == 1
    ]
    assert {read_table(file).layout.producer for file in files} == {form.producer}


def test_tickers_are_those_of_the_prices(tmp_path):
    for form in FORMATS:
        folder = tmp_path / re.sub(r"\W", "_", form.name)
        folder.mkdir()
        write_files(folder, form)
        if form.bars is not None:
            assert form.ticker in CsvSource(folder).tickers(), form.name


def formats_table() -> str:
    rows = [f"| {form.name} | {form.producer} | {form.outcome} |" for form in FORMATS]
    return "\n".join(["| the file | recognised as | what happens |", "|---|---|---|", *rows])


def test_the_page_of_price_files_lists_each_of_them():
    table = formats_table()
    assert table in PAGE.read_text(encoding="utf-8"), f"{PAGE} should have:\n{table}"
