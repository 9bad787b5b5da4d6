"""Universes: which tickers are forecast, from which source, on which calendar; read from `universes.toml`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import SettingsError

SHIPPED = Path(__file__).with_name("universes.toml")
SOURCES = ("sample", "yahoo", "csv")
TARGETS = ("close", "open", "high", "low", "adj_close", "mid")
RETRAIN = ("daily", "weekly", "monthly")
#: What Yahoo and the exchanges use: BRK-B, BRK.B, BTC-USD, ^GSPC, EURUSD=X. It keeps paths and SQL out of file names and URLs.
TICKER = re.compile(r"\^?[A-Z0-9](?:[A-Z0-9]|[.=_-](?=[A-Z0-9])){0,19}")
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Universe:
    """The tickers of a deployment, with all that decides how they are forecast. Checked when made.

    Attributes:
        sectors: what the companies do, by ticker; it colours pictures and decides nothing. It may lack tickers.
    """

    name: str
    source: str
    tickers: tuple[str, ...]
    calendar: str = "XNYS"
    target: str = "close"
    recipe: str = "default"
    horizon: int = 5
    retrain: str = "monthly"
    scheduled: bool = False
    data: str = ""
    start: dt.date = dt.date(2010, 1, 1)
    sectors: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where = f"Universe {self.name!r}"
        _of_type(where, "tickers", self.tickers, (list, tuple), 'a list such as ["IBM", "AAPL"]')
        _of_type(where, "scheduled", self.scheduled, (bool,), "true or false")
        _of_type(where, "start", self.start, (dt.date,), "a date such as 2010-01-04, without quotes")
        _of_type(where, "sectors", self.sectors, (Mapping,), 'a table such as {IBM = "Information Technology"}')
        for ticker, sector in self.sectors.items():
            _of_type(where, f"the sector of {ticker}", sector, (str,), 'a text such as "Information Technology"')
        object.__setattr__(self, "tickers", tuple(self.tickers))
        if not NAME.fullmatch(self.name):
            raise SettingsError(f"{where}: a name is small letters, digits and _, such as us_megacaps.")
        _one_of(where, "source", self.source, SOURCES)
        _one_of(where, "target", self.target, TARGETS)
        _one_of(where, "retrain", self.retrain, RETRAIN)
        if type(self.horizon) is not int or not 1 <= self.horizon <= 60:
            raise SettingsError(f"{where}: horizon is {self.horizon!r}; 1 to 60 sessions ahead are expected.")
        if self.source == "csv" and not self.data:
            raise SettingsError(
                f"{where}: the csv source needs a folder of price files (flag --data, STOCKCAST_DATA or `data` in the file)."
            )
        if not self.tickers:
            raise SettingsError(f"{where} has no tickers; name at least one (flag --tickers IBM,AAPL or `tickers` in the file).")
        for ticker in self.tickers:
            check_ticker(ticker)
        if len(set(self.tickers)) < len(self.tickers):
            raise SettingsError(f"{where}: a ticker is named twice in {', '.join(self.tickers)}.")

    @classmethod
    def from_json(cls, values: Mapping) -> Universe:
        """Back from what `Run.to_json` makes of it."""
        return cls(**{**values, "start": dt.date.fromisoformat(values["start"])})

    @property
    def source_id(self) -> str:
        """Names whose prices these are in the store: two folders of files never mix with each other or with Yahoo."""
        return f"csv:{Path(self.data).expanduser().absolute()}" if self.source == "csv" else self.source


def check_ticker(ticker: str) -> str:
    """`ticker` itself, or a `SettingsError`: tickers become file names, URLs and keys."""
    if not isinstance(ticker, str) or not TICKER.fullmatch(ticker):
        raise SettingsError(
            f"{ticker!r} is no ticker: capital letters, digits and single . - = _ between them are expected, such as BRK-B."
        )
    return ticker


def load_universes(path: str | Path = "") -> dict[str, Universe]:
    """All universes of a file (the shipped one by default), by name; `SettingsError` names the entry that is wrong."""
    path = Path(path) if path else SHIPPED
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"The universes file {path} cannot be read ({error.strerror}). Set STOCKCAST_UNIVERSES to one that can."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"The universes file {path} is no TOML: {error}. Compare it with {SHIPPED}.") from None
    if not entries:
        raise SettingsError(f"The universes file {path} declares no universe. Compare it with {SHIPPED}.")
    return {name: _universe(name, entry, path) for name, entry in entries.items()}


def _universe(name: str, entry: object, path: Path) -> Universe:
    known = {field.name for field in dataclasses.fields(Universe)} - {"name"}
    if not isinstance(entry, dict):
        raise SettingsError(f"{path}: {name} stands outside any [universe] section.")
    unknown = sorted(set(entry) - known)
    if unknown:
        raise SettingsError(f"{path}: universe {name!r} has {', '.join(unknown)}; the keys are {', '.join(sorted(known))}.")
    missing = sorted({"source", "tickers"} - set(entry))
    if missing:
        raise SettingsError(f"{path}: universe {name!r} lacks {', '.join(missing)}.")
    universe = Universe(name=name, **entry)
    # Not in the universe itself: fewer tickers may be asked for than the file names.
    strangers = sorted(set(universe.sectors) - set(universe.tickers))
    if strangers:
        raise SettingsError(f"{path}: universe {name!r} names sectors of {', '.join(strangers)}, which are not among its tickers.")
    return universe


def _of_type(where: str, what: str, value: object, kinds: tuple[type, ...], expected: str) -> None:
    if not isinstance(value, kinds):
        raise SettingsError(f"{where}: {what} is {value!r}; {expected} is expected.")


def _one_of(where: str, what: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingsError(f"{where}: {what} is {value!r}; one of {', '.join(choices)} is expected.")
