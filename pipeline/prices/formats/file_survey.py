"""Surveys of price files: what each of them is taken for, without any of it being stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.addresses import is_url
from pipeline.errors import MalformedPrices, RunError, SettingsError
from pipeline.prices.formats.file_content import PriceFile, files_at
from pipeline.prices.formats.file_names import folders_of_prices, is_generic, no_ticker
from pipeline.prices.formats.file_rows import FileTable, read_table


@dataclass(frozen=True)
class FileSurvey:
    """The reading of a file.

    Attributes:
        name: its own, without folders.
        problem: why it cannot be read; "": it can.
        producer: who writes such files; "": many do.
        columns: the file's names of those that are taken, by this program's.
        dates: how dates are written, in words.
        numbers: how numbers are written, in words.
        currency: as the file names it; "": it does not.
        left_out: number of lines with neither a date nor a number.
        unowned: as `FileTable.unowned`.
        adjustments: by ticker, what happens to splits and dividends, in words.
    """

    name: str
    problem: str = ""
    producer: str = ""
    columns: dict[str, str] | None = None
    dates: str = ""
    numbers: str = ""
    currency: str = ""
    left_out: int = 0
    unowned: str = ""
    adjustments: dict[str, str] | None = None


@dataclass(frozen=True)
class FolderSurvey:
    """The reading of a folder.

    Attributes:
        files: by their names.
        others: names of files that are no price files, and of folders with price files in them.
    """

    files: tuple[FileSurvey, ...]
    others: tuple[str, ...]


def survey(place: str) -> FolderSurvey:
    """Read all price files of a folder, a file or a URL.

    Raises:
        SettingsError: there are none.
    """
    files = files_at(place)
    others: list[str] = []
    if not is_url(place) and Path(place).is_dir():
        taken = {Path(file.place).name for file in files}
        names = (each.name for each in Path(place).iterdir() if each.is_file())
        others = sorted(name for name in names if name not in taken)
        others += folders_of_prices(Path(place))
    return FolderSurvey(tuple(_of_file(file) for file in files), tuple(others))


def _of_file(file: PriceFile) -> FileSurvey:
    try:
        table = read_table(file)
    except (RunError, SettingsError) as error:
        return FileSurvey(file.name, problem=str(error))
    if is_generic(file.name) and not table.names_tickers:
        return FileSurvey(file.name, problem=str(no_ticker(file.name, str(file))))
    layout = table.layout
    columns = {
        column: name
        for column, name in zip(layout.columns, layout.names, strict=True)
        if column and column != "name"
    }
    return FileSurvey(
        name=file.name,
        producer=layout.producer,
        columns=columns,
        dates=_dates_text(table),
        numbers=_numbers_text(table),
        currency=table.currency,
        left_out=table.left_out,
        unowned=table.unowned,
        adjustments={ticker: _adjustments_text(table, ticker) for ticker in table.rows},
    )


def _dates_text(table: FileTable) -> str:
    if table.dates.count:
        zero = "since 1899-12-30" if table.dates.count == "days" else "since 1970"
        return f"{table.dates.count} {zero}"
    return table.dates.order or "unambiguous"


def _numbers_text(table: FileTable) -> str:
    if table.numbers.dots_group:
        return "points for thousands"
    return "decimal comma" if table.numbers.decimal == "," else "decimal point"


def _adjustments_text(table: FileTable, ticker: str) -> str:
    try:
        basis = table.of(ticker).basis
    except MalformedPrices:  # whoever fetches the ticker is told
        return ""
    if not basis.splits:
        words = ["no splits"]
    else:
        done = (
            "undone, prices were adjusted" if basis.split_adjusted else "used, prices are as traded"
        )
        words = [f"{basis.splits} split{'' if basis.splits == 1 else 's'} {done}"]
    if basis.dividends:
        words.append(f"{basis.dividends} dividend{'' if basis.dividends == 1 else 's'} used")
    return "; ".join([*words, *(f"not used: {what}" for what in basis.unused)])
