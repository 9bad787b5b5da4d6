"""Parsing of price files' rows: numbers and dates in place of text, and faults beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipeline.prices.formats.columns import TEXT_COLUMNS
from pipeline.prices.formats.date_cells import DateStyle, parse_date
from pipeline.prices.formats.file_layout import Layout
from pipeline.prices.formats.number_cells import UNDECIDED, NumberStyle, number_style, to_floats
from pipeline.tables import OHLCV, PRICE_COLUMNS

#: A column of this program for cells beyond a file's last column.
SURPLUS = "surplus"
NUMBER_COLUMNS = (*OHLCV, "adj_close", "split", "dividend")
#: A price that moves by this factor within a file may be one with and without thousands.
MIXED_THOUSANDS = 100
#: Years before are slips of the pen: no price is as old.
FIRST_YEAR = 1600


def style_of(rows: pd.DataFrame, layout: Layout) -> NumberStyle:
    """Return how numbers are written, from the columns that pandas took for text or numbers."""
    text = [rows[name] for name in _numeric_names(rows) if _is_text(rows[name])]
    plain = [rows[name] for name in _numeric_names(rows) if rows[name].dtype == "float64"]
    prices = [column for column in plain if column.name in PRICE_COLUMNS]
    if not text:
        return NumberStyle(dots_group=_may_mix_thousands(prices))
    has_points = any(map(_has_decimals, plain))
    style = number_style(text, has_points, layout.separator)
    if style.decimal == ",":
        return style
    return NumberStyle(".", style.commas_group, _may_mix_thousands(prices))


def _has_decimals(column: pd.Series) -> bool:
    """Return whether points are sure to be decimal: not each has a group of three behind it."""
    values = column[column % 1 > 0].to_numpy()
    thousandths = np.round(values * 1000, 6)
    may_be_groups = (values < 1000).all() and (thousandths % 1 == 0).all()
    return len(values) > 0 and not (may_be_groups and (thousandths % 10 > 0).any())


def _may_mix_thousands(columns: list[pd.Series]) -> bool:
    """Return whether 999 and 1.002 may follow each other in a file: a thousand, not one."""
    for column in columns:
        values = column.dropna().to_numpy()
        values = values[np.isfinite(values) & (values > 0)]
        if len(values) == 0 or values.max() < MIXED_THOUSANDS * values.min():
            continue
        is_small = values < values.max() / MIXED_THOUSANDS
        thousandths = np.round(values[is_small] * 1000, 6)
        if (values[~is_small] % 1 == 0).all() and (thousandths % 1 == 0).all():
            return True
    return False


def _numeric_names(rows: pd.DataFrame) -> list[str]:
    text = (*TEXT_COLUMNS, SURPLUS, "line")
    return [str(name) for name in rows.columns if name not in text]


def numbers_in(rows: pd.DataFrame) -> list[str]:
    """Return the columns of numbers that the rows have."""
    return present(rows, NUMBER_COLUMNS)


def present(rows: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    """Return those of some columns that the rows have."""
    return [name for name in names if name in rows]


def _is_text(cells: pd.Series) -> bool:
    return cells.dtype in ("str", "object")


def parsed_rows(
    rows: pd.DataFrame,
    style: NumberStyle,
    days: pd.Series | None,
    dates: DateStyle,
    events: pd.DataFrame | None,
) -> pd.DataFrame:
    """Return the rows with numbers and dates, and the reasons where a cell is neither."""
    rows = rows.copy()
    stated = None if events is None else events["kind"].notna()
    if stated is not None and stated.any():
        assert events is not None
        for kind in ("split", "dividend"):
            own = events["value"].where(events["kind"] == kind)
            rows[kind] = own if kind not in rows else own.fillna(rows[kind])
        rows.loc[stated, "open"] = None
        rows["is_event"] = stated
    if _is_mixed(rows, style):
        style = NumberStyle(style.decimal, style.commas_group, dots_group=True)
    elif style.dots_group:
        style = NumberStyle(style.decimal, style.commas_group)
    reasons: dict[str, list[pd.Series]] = {"fault": [], "adj_fault": []}
    for column in numbers_in(rows):
        cells = rows[column]
        if column == "split" and _is_text(cells):
            cells = _ratios(cells)
        numbers = to_floats(cells, style, column == "volume")
        if numbers is cells and not np.isinf(cells.to_numpy()).any():
            continue
        wrong = (numbers.isna() & cells.notna()) | np.isinf(numbers)
        if wrong.any():
            example = "split such as 2 or 2:1" if column == "split" else "number such as 1234.5"
            reason = f"where a {example} or nothing is expected."
            fault = column + " is '" + cells[wrong].astype("str") + f"', {reason}"
            reasons["adj_fault" if column == "adj_close" else "fault"].append(fault)
        rows[column] = numbers.mask(np.isinf(numbers))
    if days is None:
        days, faults = _days(rows["date"], dates)
        reasons["fault"].insert(0, faults)
    else:
        days, faults = _without_impossible(rows["date"], days)
        reasons["fault"].insert(0, faults)
    rows["date"] = days
    for name, found in reasons.items():
        every = pd.concat(found) if found else pd.Series(dtype="str")
        if len(every):
            rows[name] = every[~every.index.duplicated()].reindex(rows.index)
    return rows


def _days(cells: pd.Series, style: DateStyle) -> tuple[pd.Series, pd.Series]:
    """Return dates without a zone, or moments in UTC where one has a time in a zone; and faults."""
    texts = cells.fillna("").str.strip()
    days = {text: parse_date(text, style) for text in texts.unique()}
    has_zone = any(day is not None and day.tzinfo is not None for day in days.values())
    moments = texts.map(
        {text: day for text, day in days.items() if day is not None and day.year >= FIRST_YEAR}
    )
    return pd.to_datetime(moments, utc=has_zone), _date_faults(cells[moments.isna()])


def _without_impossible(cells: pd.Series, days: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return days, missing where their year is a slip of the pen (0017), and faults."""
    is_early = days.dt.year < FIRST_YEAR
    return days.mask(is_early) if is_early.any() else days, _date_faults(cells[is_early])


def _date_faults(cells: pd.Series) -> pd.Series:
    faults = "date is " + cells.fillna("").map(repr).astype("str")
    return faults + ", where one such as 2006-01-03 is expected."


def _is_mixed(rows: pd.DataFrame, style: NumberStyle) -> bool:
    """Return whether thousands have a dot where smaller numbers have nothing: 999, 1.002."""
    if not style.dots_group:
        return False
    names = [name for name in present(rows, tuple(PRICE_COLUMNS)) if _is_text(rows[name])]
    cells = pd.concat([rows[name].dropna().str.strip() for name in names]) if names else None
    if cells is None:
        return False
    plain, grouped = cells.str.fullmatch(r"[1-9]\d{0,2}"), cells.str.fullmatch(UNDECIDED)
    return bool(plain.any() and grouped.any() and (plain | grouped).all())


def _ratios(cells: pd.Series) -> pd.Series:
    """Return splits as numbers where they are written 7:1 or 7/1."""
    parts = cells.str.strip().str.extract(r"^(?P<new>\d+\.?\d*) ?[:/] ?(?P<old>\d+\.?\d*)$")
    ratio = parts["new"].astype("float64") / parts["old"].astype("float64")
    return cells.where(ratio.isna() | np.isinf(ratio), ratio.astype("str"))
