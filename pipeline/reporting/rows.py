"""Rows, numbers and sentences as text: what every table and page is written with."""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from pipeline.errors import SettingsError
from pipeline.money import price_text, with_code

FORMATS = ("table", "json", "csv")
#: Columns of a page of sentences.
SENTENCE_WIDTH = 100
#: Names that a sentence lists.
MOST_NAMED = 12
#: Numbers below it have four significant digits in a table, others four decimals.
SMALL = 0.001
#: What is between two columns of a table.
COLUMN_GAP = "  "
#: Columns of a table that no line is folded in.
UNFOLDED_WIDTH = 100_000


def format_rows(frame: pd.DataFrame, form: str, width: int | None = None) -> str:
    """Return a table as text.

    Columns and rows keep their order, dates are ISO, numbers in csv and json read back to the same
    bits. What is missing is empty in csv and table, null in json.

    Args:
        form: "table" (aligned columns), "json" (a list of objects) or "csv" (ends its last line).
        width: of a table, columns that long texts are folded into; None: nothing is folded.

    Raises:
        SettingsError: another form.
    """
    if form not in FORMATS:
        raise SettingsError(f"--format is {form!r}; {', '.join(FORMATS)} are possible.")
    columns = list(frame.columns)
    by_column = [_plain_cells(frame[name]) for name in columns]
    if form == "json":
        return _json_text(columns, by_column)
    cells = [list(row) for row in zip(*by_column, strict=True)]
    if form == "csv":
        texts = [["" if value is None else str(value) for value in row] for row in cells]
        table = pd.DataFrame(texts, columns=columns, dtype=object)
        return str(table.to_csv(index=False, lineterminator="\n"))
    texts = [_texts(dict(zip(columns, row, strict=True))) for row in cells]
    return align(columns, texts, [_is_number(frame[name]) for name in columns], width)


def _texts(row: Mapping[str, Any]) -> list[str]:
    """Return a row's cells; those of a forecast with a currency are written by it."""
    is_priced = "currency" in row and row.get("last_value") is not None
    return [
        forecast_price(row, name)
        if is_priced and value is not None and _is_price(name)
        else _short(value)
        for name, value in row.items()
    ]


def align(
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    right: Sequence[bool],
    width: int | None = None,
) -> str:
    """Return texts as aligned columns below their names.

    Args:
        right: by column, True: on the right.
        width: columns of the terminal, into which long texts are folded; None: nothing is folded.
    """
    from rich.cells import cell_len

    rows = [columns, *cells]
    sizes = [[cell_len(text) for text in row] for row in rows]
    widest = [max(of_column) for of_column in zip(*sizes, strict=True)]
    is_narrow = sum(widest) + len(COLUMN_GAP) * (len(widest) - 1) <= (width or UNFOLDED_WIDTH)
    if not (is_narrow and all(text.isprintable() for row in rows for text in row)):
        return _folded(columns, cells, right, width)
    return "\n".join(
        COLUMN_GAP.join(
            " " * (most - size) + text if to_right else text + " " * (most - size)
            for text, size, most, to_right in zip(row, row_sizes, widest, right, strict=True)
        ).rstrip()
        for row, row_sizes in zip(rows, sizes, strict=True)
    )


def _folded(
    columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], width: int | None
) -> str:
    """Return what `align` does where texts are folded; rich takes ten times as long."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, len(COLUMN_GAP), 0, 0), pad_edge=False, header_style="")
    for name, to_right in zip(columns, right, strict=True):
        fixed = to_right or width is None
        side: Literal["left", "right"] = "right" if to_right else "left"
        table.add_column(Text(name), justify=side, no_wrap=fixed, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    output = io.StringIO()
    Console(file=output, width=width or UNFOLDED_WIDTH, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def sentences(lines: Sequence[str]) -> str:
    """Return one sentence a line, long ones folded."""
    return "\n".join(
        textwrap.fill(line, SENTENCE_WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        for line in lines
    )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which takes an s where there is not one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def first_names(names: Sequence[str]) -> str:
    """Return `MOST_NAMED` of the names, and how many more there are."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def or_dash(value: float, text: Callable[[float], str]) -> str:
    """Return the value as text; a dash for NaN."""
    return "–" if math.isnan(value) else text(value)


def forecast_price(row: Mapping[Any, Any], column: str) -> str:
    """Return a price of a FORECASTS row as text, with as many digits as the last one has.

    Args:
        row: with its `currency`, where one is known.
    """
    return price_text(row[column], row.get("currency", ""), row["last_value"])


def last_price(row: Mapping[Any, Any]) -> str:
    """Return the last price of a FORECASTS row as text, with its currency where one is known."""
    return with_code(forecast_price(row, "last_value"), row.get("currency", ""))


def change_text(value: float) -> str:
    """Return a fraction as a signed percentage, without a sign where it rounds to nothing.

    It is a dash for NaN.
    """
    text = or_dash(value, "{:+.2%}".format)
    return text[1:] if text[1:] == "0.00%" else text


def tone(value: float) -> str:
    """Return "good" for a fraction above 0 and "bad" below; "" where it rounds to nothing."""
    return {"+": "good", "-": "bad"}.get(change_text(value)[0], "")


def share_text(value: float) -> str:
    """Return a fraction as a percentage; a dash for NaN."""
    return or_dash(value, "{:.1%}".format)


def ratio_text(value: float) -> str:
    """Return a ratio with three decimals; a dash for NaN."""
    return or_dash(value, "{:.3f}".format)


def _json_text(columns: Sequence[str], cells: Sequence[Sequence[Any]]) -> str:
    """Return what `json.dumps(objects, indent=1)` would, in a quarter of the time.

    Args:
        cells: by column.
    """
    encode = json.JSONEncoder(ensure_ascii=False).encode
    pairs = [
        [f"  {encode(name)}: {encode(value)}" for value in values]
        for name, values in zip(columns, cells, strict=True)
    ]
    objects = (" {\n" + ",\n".join(row) + "\n }" for row in zip(*pairs, strict=True))
    text = ",\n".join(objects)
    return f"[\n{text}\n]" if text else "[]"


def _plain_cells(column: pd.Series[Any]) -> list[Any]:
    """Return a column's cells as JSON has them; dates are few, and each is looked at once."""
    values = column.tolist()
    if pd.api.types.is_float_dtype(column):
        return [None if math.isnan(value) else value for value in values]
    if pd.api.types.is_datetime64_dtype(column):
        plain = {value: _plain(value) for value in set(values)}
        return [plain[value] for value in values]
    return [_plain(value) for value in values]


def _plain(value: Any) -> Any:
    """Return a cell as JSON has it.

    NaN and NaT are None, a midnight is its date, numpy's numbers are Python's.
    """
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, pd.Timestamp):
        is_date = value == value.normalize()
        return value.date().isoformat() if is_date else value.isoformat()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def _short(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    # Four decimals would make 0.0000 of a coin's price.
    return f"{value:.4g}" if 0 < abs(value) < SMALL else f"{value:.4f}"


def _is_price(name: str) -> bool:
    """Return whether a column of FORECASTS is a price."""
    return name in ("last_value", "y_hat") or name.startswith(("lower_", "upper_"))


def _is_number(column: pd.Series[Any]) -> bool:
    types = pd.api.types
    return types.is_numeric_dtype(column) and not types.is_bool_dtype(column)
