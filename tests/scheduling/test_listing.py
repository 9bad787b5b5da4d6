"""Long tables in pages: what a reader has asked for is shown, and links lead to the rest."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import SettingsError
from pipeline.scheduling.pages.listing import ROWS_A_PAGE, WHOLE_ROWS, Listing, listed

TICKERS = [f"T{number:04d}" for number in range(5 * ROWS_A_PAGE + 1)]
SEARCHED = ["ticker", "direction"]


def made_table(count: int) -> pd.DataFrame:
    """Return rows whose change falls from ticker to ticker; every tenth has none."""
    change = -np.arange(count, dtype="float64")
    change[9::10] = np.nan
    direction = ["up", "down"] * count
    return pd.DataFrame(
        {"ticker": TICKERS[:count], "change": change, "direction": direction[:count]}
    )


def tickers(asked: Listing, count: int = len(TICKERS)) -> list[str]:
    return [row["ticker"] for row in listed(made_table(count), asked, SEARCHED).rows]


def test_a_short_table_is_shown_whole_and_left_to_the_script():
    shown = listed(made_table(WHOLE_ROWS), Listing(), SEARCHED)
    assert shown.is_whole and len(shown.rows) == shown.found == shown.total == WHOLE_ROWS
    assert shown.rows[9] == {"ticker": "T0009", "change": None, "direction": "down"}


def test_a_longer_one_comes_in_pages():
    last = listed(made_table(len(TICKERS)), Listing(page=6), SEARCHED)
    assert (last.is_whole, last.pages, last.first) == (False, 6, 1001)
    assert [row["ticker"] for row in last.rows] == ["T1000"]
    pages = [tickers(Listing(page=number)) for number in range(1, 7)]
    assert [ticker for page in pages for ticker in page] == TICKERS
    beyond = listed(made_table(len(TICKERS)), Listing(page=999), SEARCHED)
    assert (beyond.asked.page, beyond.rows) == (6, last.rows)


def test_links_lead_to_the_ends_and_to_the_pages_nearby():
    table = pd.DataFrame({"ticker": range(20 * ROWS_A_PAGE)})
    near = [listed(table, Listing(page=page), []).near_pages for page in (1, 4, 10)]
    assert near == [[1, 2, 3, 20], [1, 2, 3, 4, 5, 6, 20], [1, 8, 9, 10, 11, 12, 20]]


@pytest.mark.parametrize(("sort", "reverse"), [("change", False), ("-change", True)])
def test_all_rows_are_sorted_and_those_without_a_value_come_last(sort, reverse):
    known = made_table(len(TICKERS)).dropna()
    expected = [
        ticker
        for _, ticker in sorted(zip(known["change"], known["ticker"], strict=True), reverse=reverse)
    ]
    assert tickers(Listing(sort=sort)) == expected[:ROWS_A_PAGE]
    assert tickers(Listing(sort=sort, page=6)) == ["T0999"]


def test_a_header_sorts_upwards_first_and_then_downwards():
    table = made_table(len(TICKERS))
    plain, up, down = (
        listed(table, Listing(sort=sort), SEARCHED) for sort in ("", "change", "-change")
    )
    assert [each.sort_by("change") for each in (plain, up, down)] == ["change", "-change", "change"]
    orders = [each.order_of("change") for each in (plain, up, down)]
    assert orders == ["", "ascending", "descending"]
    assert up.order_of("ticker") == ""


def test_a_search_finds_rows_of_every_page_that_have_all_words():
    found = listed(made_table(len(TICKERS)), Listing("t09 UP"), SEARCHED)
    assert [row["ticker"] for row in found.rows] == [
        f"T09{number:02d}" for number in range(0, 100, 2)
    ]
    assert (found.found, found.total, found.pages) == (50, len(TICKERS), 1)
    none = listed(made_table(len(TICKERS)), Listing("t09 sideways"), SEARCHED)
    assert (none.rows, none.found, none.pages, none.asked.page) == ([], 0, 0, 1)


def test_a_short_table_can_be_asked_for_by_link_as_well():
    assert tickers(Listing(search="t0003"), count=5) == ["T0003"]
    assert tickers(Listing(sort="-ticker"), count=3) == ["T0002", "T0001", "T0000"]


def test_an_unknown_column_is_one_line_that_names_those_there_are():
    with pytest.raises(SettingsError, match="sort=-size: the table has no such column"):
        listed(made_table(3), Listing(sort="-size"), SEARCHED)
