"""Numbers as price files write them: 1,234.5 and 1.234,5, 5 208 900, 5.21M, $135.60."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.prices.formats.columns import CURRENCY_SIGNS

#: Spellings of a cell without a value; the first is the empty cell.
MISSING_CELLS = [
    *("", "NaN", "nan", "NAN", "NA", "N/A", "n/a", "#N/A", "null", "NULL", "Null", "None", "none"),
    *("-", "--", "—", "–", "."),
]
#: Spaces around a cell.
CELL_SPACES = " \t\r\u00a0\u202f\u2009"
#: Spaces between digits: plain, without a break, narrow, thin.
GROUPING_SPACES = re.compile(r"(?<=\d)[ \u00a0\u202f\u2009'\u2019](?=\d{3}(?!\d))")
SIGNS = "".join(CURRENCY_SIGNS)
MONEY = re.compile(rf"^([-+]?)[{SIGNS}] ?|(?<=\d) ?[{SIGNS}]$|(?<=\d) (?:USD|EUR|GBP|INR|JPY)$")
SCALED = re.compile(r"^(?P<number>.*\d) ?(?P<unit>[KkMBT])$")
SCALES = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
PLAIN = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
#: 1,234,567.8, and 12,34,567.8 as in India.
COMMAS_GROUPED = r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d*)?|[-+]?\d{1,2}(?:,\d{2})*,\d{3}(?:\.\d*)?"
DOTS_GROUPED = r"[-+]?\d{1,3}(?:\.\d{3})+(?:,\d*)?"
DECIMAL_COMMA = r"[-+]?\d*,\d+|[-+]?\d+"
#: A group of three, which is a thousand or three decimals.
UNDECIDED = r"[-+]?[1-9]\d{0,2}[.,]\d{3}"


@dataclass(frozen=True)
class NumberStyle:
    """A manner of writing numbers.

    Attributes:
        decimal: "." or ",".
        commas_group: whether 1,234 is a thousand; None: in volumes, where nothing else can be.
        dots_group: whether 1.234 is a thousand although 1234,5 is nowhere.
    """

    decimal: str = "."
    commas_group: bool | None = True
    dots_group: bool = False


def number_style(
    cells: Iterable[pd.Series], has_decimal_points: bool, separator: str
) -> NumberStyle:
    """Return how a file writes its numbers, decided from all its cells that are no plain numbers.

    Args:
        cells: the columns that have such cells.
        has_decimal_points: whether there are columns of numbers such as 135.6 besides.
        separator: between the file's cells.
    """
    texts = [_bare(column.dropna()).drop_duplicates() for column in cells]
    text = pd.concat(texts) if texts else pd.Series([], dtype="str")
    undecided = text.str.fullmatch(UNDECIDED)
    sure = text[~undecided]
    points = (
        has_decimal_points
        or (
            sure.str.fullmatch(r"[-+]?\d*\.\d+") | sure.str.fullmatch(r"[-+]?[\d,]+,\d{3}\.\d*")
        ).any()
    )
    commas = (
        sure.str.fullmatch(r"[-+]?\d*,\d+")
        | sure.str.fullmatch(r"[-+]?\d{1,3}(?:\.\d{3})+,\d*")
        | sure.str.fullmatch(r"[-+]?\d{1,3}(?:\.\d{3}){2,}")
    ).any()
    if commas and not points:
        return NumberStyle(",")
    return NumberStyle(commas_group=True if points or separator == "," else None)


def to_floats(cells: pd.Series, style: NumberStyle, is_volume: bool) -> pd.Series:
    """Return cells as float64, NaN where one is missing or no number in this style."""
    if cells.dtype == "float64":
        return cells
    if cells.dtype == "bool":
        return pd.Series(np.nan, index=cells.index)
    if cells.dtype != "str" and cells.dtype != "object":
        return cells.astype("float64")
    text = _bare(cells.astype("str"))
    if not is_volume:
        return _to_numbers(_plain(text, style, is_volume))
    scaled = text.str.extract(SCALED)
    is_scaled = scaled["unit"].notna()
    text = text.where(~is_scaled, scaled["number"])
    numbers = _to_numbers(_plain(text, style, is_volume))
    if is_scaled.any():
        factors = scaled["unit"].str.upper().map(SCALES).fillna(1.0).astype("float64")
        numbers = numbers.where(~is_scaled, (numbers * factors).round(6))
    return numbers


def _to_numbers(cells: pd.Series) -> pd.Series:
    return pd.to_numeric(cells, errors="coerce").astype("float64")


def _bare(cells: pd.Series) -> pd.Series:
    """Return cells without spaces, signs of currencies and grouping spaces."""
    text = cells.str.strip(CELL_SPACES)
    if not text.str.contains(r"[^\d.,eE+-]", regex=True).any():
        return text
    return text.str.replace(MONEY, r"\1", regex=True).str.replace(GROUPING_SPACES, "", regex=True)


def _plain(text: pd.Series, style: NumberStyle, is_volume: bool) -> pd.Series:
    """Return cells in Python's spelling, missing where they are no numbers in this style."""
    nothing = pd.Series(None, index=text.index, dtype="str")
    if style.decimal == ",":
        grouped = text.str.fullmatch(DOTS_GROUPED)
        decimal = text.str.fullmatch(DECIMAL_COMMA)
        changed = text.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
        return nothing.where(~(grouped | decimal), changed)
    result = nothing.where(~text.str.fullmatch(PLAIN), text)
    if style.commas_group or is_volume:
        result = result.where(
            ~text.str.fullmatch(COMMAS_GROUPED), text.str.replace(",", "", regex=False)
        )
    if style.dots_group:
        result = result.where(
            ~text.str.fullmatch(DOTS_GROUPED), text.str.replace(".", "", regex=False)
        )
    return result
