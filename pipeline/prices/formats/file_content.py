"""Contents of price files: where they are, unpacked, and decoded into text.

A place is a file or a folder, or a URL of one that fsspec reads (https, s3, gs ...). Tables of
other kinds (Parquet, Excel) become the text that pandas writes of them: there is one reader.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.addresses import is_url, without_login
from pipeline.errors import MalformedPrices, SettingsError, SourceUnavailable
from pipeline.prices.formats.file_names import READ_KINDS, is_price_file, names_instead

UNREADABLE = (
    *(OSError, EOFError, UnicodeError, ValueError, RuntimeError, KeyError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)
#: Marks at the beginning of a file that say how it is encoded; the longer first.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: The beginnings of workbooks: of an archive of XML, and of the format before.
WORKBOOK_MARK, OLD_WORKBOOK_MARK = b"PK", bytes.fromhex("d0cf11e0a1b11ae1")
#: The beginnings of files that are no text, and what a message says of them.
NO_TEXT = (
    (WORKBOOK_MARK, "an archive or a workbook, not text: call it .zip or .xlsx"),
    (b"PAR1", "Parquet, not text: call it .parquet"),
    (b"\x1f\x8b", "packed, not text: call it .gz"),
    (b"%PDF", "a PDF, not text: save the table as .csv"),
    (b"SQLite format 3", "a database, not text: read it with the sql source"),
)
#: Packed files are read up to this size: more is no price file but an accident.
MOST_BYTES = 4 * 2**30


@dataclass(frozen=True)
class PriceFile:
    """A file of prices.

    Attributes:
        place: its path, or its URL with the login that it may have.
        member: its name inside the archive that `place` is; "": it is the file itself.
    """

    place: str
    member: str = ""

    @property
    def name(self) -> str:
        """Its own name, without folders."""
        return (self.member or self.place).rpartition("/")[2]

    def __str__(self) -> str:
        shown = without_login(self.place)
        return f"{shown}/{self.member}" if self.member else shown

    def version(self) -> object:
        """Return what differs once the file has changed."""
        if not is_url(self.place):
            stat = Path(self.place).stat()
            return stat.st_mtime_ns, stat.st_size
        files, path = remote_files(self.place)
        try:
            details = files.info(path)
        except Exception as error:  # each file system has errors of its own
            raise unreachable(self.place, error) from None
        return tuple(str(details.get(name)) for name in ("ETag", "mtime", "LastModified", "size"))

    def text(self) -> str:
        """Return the text of a file of any kind and encoding, packed or not.

        Raises:
            MalformedPrices: it cannot be read.
            SettingsError: a package that reads its address is not installed.
            SourceUnavailable: it is elsewhere, and there is no answer.
        """
        try:
            return _as_text(self._content(), self.name)
        except UNREADABLE as error:
            raise MalformedPrices(
                f"{self}: cannot be read ({reason_of(error)}). Mend or remove it."
            ) from None

    def _content(self) -> bytes:
        content = _bytes_of(self.place)
        if self.member:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if archive.getinfo(self.member).file_size > MOST_BYTES:
                    raise ValueError(f"more than {MOST_BYTES} bytes unpacked")
                content = archive.read(self.member)
        return gzip.decompress(content) if self.name.lower().endswith(".gz") else content


def files_at(place: str) -> list[PriceFile]:
    """Return the price files of a folder, or the one that a place is, by their names.

    Raises:
        SettingsError: there is no such folder, or no price file in it.
    """
    names = _remote_names(place) if is_url(place) else _local_names(place)
    files = [file for name in names for file in _members(name)]
    if not files:
        instead = "" if is_url(place) else names_instead(Path(place))
        raise SettingsError(
            f"{without_login(place)} has no {READ_KINDS} files of prices{instead}; put "
            "one per ticker there (Date, Open, High, Low, Close, Volume), or one long file with a "
            "ticker column."
        )
    return files


def reason_of(error: BaseException) -> str:
    """Return an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _local_names(place: str) -> list[str]:
    path = Path(place)
    if path.is_file():
        return [place]
    if not path.is_dir():
        raise SettingsError(
            f"{place} is no folder; the csv source needs one with price files (flag --data or "
            "STOCKCAST_DATA)."
        )
    inside = (each for each in path.iterdir() if is_price_file(each.name))
    return sorted(str(each) for each in inside if each.is_file())


def _remote_names(place: str) -> list[str]:
    files, path = remote_files(place)
    if is_price_file(path.rpartition("/")[2]):
        return [place]
    try:
        names = [str(name) for name in files.ls(path, detail=False)]
    except FileNotFoundError:
        raise SettingsError(
            f"{without_login(place)} does not exist; the csv source needs a folder with price "
            "files (flag --data or STOCKCAST_DATA)."
        ) from None
    except Exception as error:  # each file system has errors of its own
        raise unreachable(place, error) from None
    wanted = [name for name in names if is_price_file(name.rstrip("/").rpartition("/")[2])]
    return sorted(name if is_url(name) else files.unstrip_protocol(name) for name in wanted)


def _members(place: str) -> Iterator[PriceFile]:
    """Yield a file, or the price files in the archive that it is."""
    if not place.lower().endswith(".zip"):
        yield PriceFile(place)
        return
    try:
        with zipfile.ZipFile(io.BytesIO(_bytes_of(place))) as archive:
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
    except UNREADABLE:  # the reader says why
        yield PriceFile(place)
        return
    for name in sorted(names):
        if is_price_file(name.rpartition("/")[2]) and not name.lower().endswith(".zip"):
            yield PriceFile(place, name)


def _bytes_of(place: str) -> bytes:
    if not is_url(place):
        return Path(place).read_bytes()
    files, path = remote_files(place)
    try:
        content: bytes = files.cat_file(path)
    except Exception as error:  # each file system has errors of its own
        raise unreachable(place, error) from None
    return content


def remote_files(place: str) -> tuple[Any, str]:
    """Return fsspec's file system of a URL, and the path there.

    Raises:
        SettingsError: a package that reads it is not installed.
    """
    import fsspec

    try:
        files, path = fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"{without_login(place)} cannot be read ({reason_of(error)}). Install what it names, "
            "or copy the files into a folder."
        ) from None
    return files, path


def unreachable(place: str, error: Exception) -> SourceUnavailable:
    """Return the error for a place elsewhere that gives no answer."""
    cause = error.__cause__ or error  # of HTTP, fsspec only says that there is no such file
    reason = reason_of(cause).replace(place, without_login(place))
    return SourceUnavailable(f"{without_login(place)}: no answer ({reason}). Try again later.")


def _as_text(content: bytes, name: str) -> str:
    kind = name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind == "zip":
        raise ValueError("no archive, or a damaged one")
    if kind == "parquet":
        return _written(pd.read_parquet(io.BytesIO(content)))
    # What is called .xls is often text.
    if kind in ("xlsx", "xls") and content.startswith(WORKBOOK_MARK):
        return _sheet(content)
    if content.startswith(OLD_WORKBOOK_MARK):
        raise ValueError("a workbook of Excel 97 to 2003: save it as .xlsx or .csv")
    return decoded(content)


def decoded(content: bytes) -> str:
    """Return bytes as text: by their mark, as UTF-16 by its zeros, as UTF-8, or as Windows'."""
    for mark, what in NO_TEXT:
        if content.startswith(mark):
            raise ValueError(what)
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return content.decode(encoding)
    start = content[:200]
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(start) > 8 and not any(start[offset::2]) and all(start[1 - offset :: 2]):
            return content.decode(encoding)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:
        raise ValueError("text in neither UTF-8 nor Windows-1252: save it as UTF-8") from None


def _written(table: pd.DataFrame) -> str:
    """Return a table as the text of a file; an index of dates becomes a column."""
    text: str = table.to_csv(index=not isinstance(table.index, pd.RangeIndex))
    return text


def _sheet(content: bytes) -> str:
    """Return the one sheet of a workbook that has cells, as the text of a file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(part.file_size for part in archive.infolist()) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes unpacked")
    try:
        sheets = pd.read_excel(io.BytesIO(content), sheet_name=None, header=None, dtype=object)
    except Exception as error:  # openpyxl raises anything, from KeyError to errors of XML
        raise ValueError(reason_of(error)) from None
    filled = {str(name): sheet for name, sheet in sheets.items() if sheet.size}
    if len(filled) > 1:
        raise ValueError(
            f"{len(filled)} sheets have cells, {', '.join(filled)}: expected one, of one ticker or "
            "with a column of tickers"
        )
    return "".join(sheet.to_csv(index=False, header=False) for sheet in filled.values())
