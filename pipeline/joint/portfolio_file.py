"""Portfolio files: CSV with a ticker and its shares, or its part of the whole, per row."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from pipeline.errors import SettingsError, unreadable_reason
from pipeline.joint.portfolio import Portfolio
from pipeline.universes import check_ticker, spelt_ticker

#: The columns that say how much is held; a file has one of them.
SHARES, WEIGHT = "shares", "weight"


def read_portfolio(path: Path) -> Portfolio:
    """Return the holdings of a file, in its order.

    Columns `ticker` and either `shares` or `weight`, in any order and case; others are not looked
    at. A ticker in two rows is held with both amounts.

    Raises:
        SettingsError: the file cannot be read, or a row is wrong; the message names its line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path}: the portfolio cannot be read ({unreadable_reason(error)}). Name a CSV "
            f"file with the columns ticker and {SHARES}, or ticker and {WEIGHT} (--portfolio)."
        ) from None
    reader = csv.reader(text.splitlines())
    names = [cell.strip().lower() for cell in next(reader, [])]
    held = [name for name in (SHARES, WEIGHT) if name in names]
    if "ticker" not in names or len(held) != 1:
        raise SettingsError(
            f"{path}: the portfolio has the columns {', '.join(names) or 'none'}; ticker and one "
            f"of {SHARES} and {WEIGHT} are expected in its first line."
        )
    amounts: dict[str, float] = {}
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path}, line {reader.line_num}"
        row = dict(zip(names, cells, strict=False))
        ticker = spelt_ticker(row["ticker"])
        check_ticker(ticker, f"{where}: ")
        amounts[ticker] = amounts.get(ticker, 0.0) + _amount(row.get(held[0], ""), held[0], where)
    amounts = {ticker: amount for ticker, amount in amounts.items() if amount}
    if not amounts:
        raise SettingsError(f"{path}: the portfolio holds nothing; at least one row is expected.")
    return Portfolio(amounts, held[0] == SHARES)


def _amount(text: str, column: str, where: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount):
        raise SettingsError(
            f"{where}: {column} is {text.strip()!r}; a number is expected, such as 100 or 0.25, "
            "below 0 where it is sold short."
        )
    return amount
