"""Long tables in pages: the rows that a reader has asked for by search, order and number.

A table that is short is shown whole, and the page's script sorts and searches it. A longer one is
searched, sorted and cut here: its page stays as quick, and needs no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import pandas as pd
from fastapi import Depends, Query

from pipeline.errors import SettingsError
from pipeline.scheduling.pages.rendering import records

#: The longest table that is shown whole.
WHOLE_ROWS = 600
#: Rows of each page of a longer one.
ROWS_A_PAGE = 200
#: Pages before and after the one shown that are linked to.
NEAR_PAGES = 2
#: What a column's name begins with that the rows are sorted by downwards.
DOWNWARDS = "-"


@dataclass(frozen=True)
class Listing:
    """A reader's choice of a table's rows.

    Attributes:
        search: words of a row, which must have them all; "": every row.
        sort: a column, `DOWNWARDS` before it where the greatest comes first; "": as they are.
        page: its number, from 1.
    """

    search: str = ""
    sort: str = ""
    page: int = 1

    @property
    def column(self) -> str:
        """The column that the rows are sorted by."""
        return self.sort.removeprefix(DOWNWARDS)

    @property
    def is_downwards(self) -> bool:
        """True where the greatest value comes first."""
        return self.sort.startswith(DOWNWARDS)


def _listing(
    q: Annotated[str, Query(max_length=200)] = "",
    sort: Annotated[str, Query(max_length=40)] = "",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
) -> Listing:
    return Listing(q.strip(), sort, page)


RequestedListing = Annotated[Listing, Depends(_listing)]


@dataclass(frozen=True, eq=False)
class ListedRows:
    """The rows of a table that are shown.

    Attributes:
        rows: in their order, as a template takes them.
        asked: whose page is one that there is.
        found: how many rows the search has let through.
        total: how many there are.
    """

    rows: list[dict[str, Any]]
    asked: Listing
    found: int
    total: int

    @property
    def is_whole(self) -> bool:
        """True where all rows are here, for the script to sort and search."""
        return self.total <= WHOLE_ROWS and self.asked == Listing()

    @property
    def first(self) -> int:
        """The number of the first row shown, from 1."""
        return (self.asked.page - 1) * ROWS_A_PAGE + 1

    @property
    def pages(self) -> int:
        """The number of pages."""
        return _pages(self.found)

    @property
    def near_pages(self) -> list[int]:
        """The numbers of the pages that are linked to, the first and the last among them."""
        page = self.asked.page
        near = range(page - NEAR_PAGES, page + NEAR_PAGES + 1)
        return [number for number in range(1, self.pages + 1) if number in (1, self.pages, *near)]

    def order_of(self, column: str) -> str:
        """Return how a column sorts the rows, as `aria-sort` has it; "": another one does."""
        if column != self.asked.column:
            return ""
        return "descending" if self.asked.is_downwards else "ascending"

    def sort_by(self, column: str) -> str:
        """Return the `sort` that a column's header leads to: upwards first, then downwards."""
        return f"{DOWNWARDS if self.order_of(column) == 'ascending' else ''}{column}"


def listed(table: pd.DataFrame, asked: Listing, searched: Sequence[str]) -> ListedRows:
    """Return the rows that a reader has asked for.

    Args:
        searched: the columns that the search looks into.

    Raises:
        SettingsError: the table has no such column to sort by.
    """
    total = len(table)
    if asked.search:
        table = table[_matches(table, asked.search.lower().split(), searched)]
    if asked.sort:
        table = _in_order(table, asked)
    found = len(table)
    page = min(asked.page, max(1, _pages(found)))
    shown = Listing(asked.search, asked.sort, page)
    if total > WHOLE_ROWS or shown != Listing():
        table = table.iloc[(page - 1) * ROWS_A_PAGE : page * ROWS_A_PAGE]
    return ListedRows(records(table), shown, found, total)


def _pages(rows: int) -> int:
    return -(-rows // ROWS_A_PAGE)


def _matches(table: pd.DataFrame, words: Sequence[str], searched: Sequence[str]) -> list[bool]:
    columns = [table[name].astype("str").fillna("").str.lower() for name in searched]
    texts = map(" ".join, zip(*columns, strict=True))
    return [all(word in text for word in words) for text in texts]


def _in_order(table: pd.DataFrame, asked: Listing) -> pd.DataFrame:
    """Return the rows sorted, those without a value last; equal ones stay as they are."""
    if asked.column not in table:
        names = ", ".join(map(str, table.columns))
        raise SettingsError(f"sort={asked.sort}: the table has no such column. It has {names}.")
    return table.sort_values(asked.column, ascending=not asked.is_downwards, kind="stable")
