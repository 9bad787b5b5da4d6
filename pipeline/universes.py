"""Universes: the tickers to forecast, with source and calendar; read from `universes.toml`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.addresses import is_url, without_login
from pipeline.errors import SettingsError
from pipeline.members import Member, members_on, read_members
from pipeline.money import currency_code

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SHIPPED_UNIVERSES = Path(__file__).with_name("universes.toml")
SERVICE_SOURCES = ("tiingo", "stooq", "alphavantage")
SOURCES = ("sample", "yahoo", "csv", *SERVICE_SOURCES, "sql", "function", "lake")
#: Sources of which `data` names something, a connection for example.
NAMED_SOURCES = ("sql", "function")
#: Sources of which it is a path or a URL.
PLACED_SOURCES = ("csv", "lake")
#: What sources need as `data`.
NEEDED_DATA = {
    "csv": "a folder of price files",
    "sql": "the name of a connection to a database",
    "function": "the name of an entry point of the group stockcast.sources",
    "lake": "a folder or URL of Parquet files or of a Delta table",
}
CONNECTION_PATTERN = re.compile(r"[\w.-]+", re.ASCII)
TARGETS = ("close", "open", "high", "low", "adj_close", "mid")
RETRAIN_CADENCES = ("daily", "weekly", "monthly")
MOST_HORIZONS = 60
#: Tickers as Yahoo and the exchanges write them: BRK-B, BRK.B, BTC-USD, ^GSPC, EURUSD=X, M&M.NS.
#: The pattern keeps paths, SQL, HTML and formulas out of file names, URLs and tables.
TICKER_PATTERN = re.compile(r"\^?[A-Z0-9](?:[A-Z0-9]|[.=_&-](?=[A-Z0-9])){0,19}")
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,39}")
#: What the name of a rehearsal ends with; no declared universe has it.
REHEARSAL = ".rehearsal"
#: The keys that every universe of a file has, as they are written.
EXAMPLES = {"source": 'source = "yahoo"', "tickers": 'tickers = ["IBM"] or members = "members.csv"'}
#: What decides which forecasts a universe publishes: a run in which it differs is a rehearsal.
#: (Recipe and target make series of their own.)
PUBLISHED_FIELDS = ("tickers", "horizon", "source", "data", "calendar", "events")

#: The days that a universe's calendar has besides its exchange's, or lacks.
AMENDING = ("closures", "extra_sessions")
#: Keys that a universe's JSON has only where they say something, as it had none of them before.
OMITTED_WHEN_EMPTY = (
    *AMENDING,
    "history_sessions",
    "query",
    "members",
    "aliases",
    "currency",
    "events",
)
#: The value of `events` by which a universe goes without.
NO_EVENTS = "off"
#: Likewise, the key that says something only where it is false.
OMITTED_WHEN_TRUE = "repair"


@dataclass(frozen=True)
class Universe:
    """The tickers of a deployment, with all that decides how they are forecast.

    Attributes:
        name: small letters, digits and _; a rehearsal's ends with `REHEARSAL`.
        source: one of `SOURCES`.
        calendar: a name of exchange_calendars.
        target: one of `TARGETS`.
        recipe: the recipe's name.
        horizon: sessions ahead, 1 to `MOST_HORIZONS`.
        retrain: one of `RETRAIN_CADENCES`.
        scheduled: whether Airflow runs it every session.
        data: folder, file or URL of the csv and lake sources; of one of `SERVICE_SOURCES` the
            address of a server that answers in its place; of the sql source the name of a
            connection, of the function source that of an entry point; "" for other sources.
        query: the sql source's SQL; "" for other sources.
        start: the day from which prices are asked for.
        history_sessions: the newest sessions up to each cutoff that networks learn from and the
            gate judges; 0: all from `start` on.
        closures: sessions of the calendar on which the exchange was closed all the same.
        extra_sessions: days on which it traded although the calendar has no session.
        repair: whether bars in a subunit, or on the wrong side of a split, are read on the basis of
            the newest (see `prices.repair`); the ticker is held back otherwise.
        members: which of the tickers are in it when (see `on`); (): all of them always. In the
            file, it is the path of a CSV file (see `members`), and `tickers` is left out.
        aliases: by ticker, the name that it had before, under which its source has older prices.
        currency: a code of `money`, of all its prices, such as GBp for pence; "": the source's.
        events: the CSV file of events that are known beforehand (see `prices.event_files`); "":
            those that the source knows; `NO_EVENTS`: none.
        sectors: the companies' sectors by ticker, for pictures only; tickers may be missing.

    Raises:
        SettingsError: a value that cannot be; the message names those that can.
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
    history_sessions: int = 0
    query: str = ""
    closures: tuple[dt.date, ...] = ()
    extra_sessions: tuple[dt.date, ...] = ()
    repair: bool = True
    members: tuple[Member, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)
    currency: str = ""
    events: str = ""
    sectors: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        where = f"Universe {self.name!r}"
        self._check_types(where)
        object.__setattr__(self, "tickers", tuple(map(spelt_ticker, self.tickers)))
        sectors = {spelt_ticker(ticker): sector for ticker, sector in self.sectors.items()}
        object.__setattr__(self, "sectors", sectors)
        aliases = {spelt_ticker(t): spelt_ticker(former) for t, former in self.aliases.items()}
        object.__setattr__(self, "aliases", aliases)
        for name in AMENDING:
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not NAME_PATTERN.fullmatch(declared_name(self.name)):
            raise SettingsError(
                f"{where}: a name is small letters, digits and _, such as us_megacaps."
            )
        _require_one_of(where, "source", self.source, SOURCES)
        _require_one_of(where, "target", self.target, TARGETS)
        _require_one_of(where, "retrain", self.retrain, RETRAIN_CADENCES)
        if type(self.horizon) is not int or not 1 <= self.horizon <= MOST_HORIZONS:
            raise SettingsError(
                f"{where}: horizon is {self.horizon!r}; 1 to {MOST_HORIZONS} sessions ahead are "
                "expected."
            )
        if type(self.history_sessions) is not int or self.history_sessions < 0:
            raise SettingsError(
                f"{where}: history_sessions is {self.history_sessions!r}; a number of sessions "
                "such as 2520, or 0 for all from `start` on, is expected."
            )
        self._check_source(where)
        object.__setattr__(self, "currency", _known_currency(where, self.currency))
        self._check_tickers(where)

    def _check_types(self, where: str) -> None:
        """Check the values that a universes file may give in another type than declared."""
        names = 'a list such as ["IBM", "AAPL"]'
        _require_type(where, "tickers", self.tickers, (list, tuple), names)
        _require_type(where, "query", self.query, (str,), "SQL as a text")
        _require_type(where, "scheduled", self.scheduled, (bool,), "true or false")
        _require_type(where, "repair", self.repair, (bool,), "true or false")
        start = "a date such as 2010-01-04, without quotes"
        _require_type(where, "start", self.start, (dt.date,), start)
        if isinstance(self.start, dt.datetime):  # a moment is a date's kind, too
            raise SettingsError(f"{where}: start is {str(self.start)!r}; {start} is expected.")
        for name in ("data", "calendar", "recipe", "events"):
            _require_type(where, name, getattr(self, name), (str,), "one text in quotes")
        days = "a list of dates without quotes such as [2012-10-29, 2012-10-30]"
        for name in AMENDING:
            value = getattr(self, name)
            _require_type(where, name, value, (list, tuple), days)
            for day in value:
                if type(day) is not dt.date:  # a moment is one of its kind, too
                    raise SettingsError(f"{where}: {name} has {day!r}; {days} is expected.")
        example = "Information Technology"
        table = f'a table such as {{IBM = "{example}"}}'
        _require_type(where, "sectors", self.sectors, (Mapping,), table)
        _require_type(where, "aliases", self.aliases, (Mapping,), 'a table such as {META = "FB"}')
        for ticker, sector in self.sectors.items():
            text = f'a text such as "{example}"'
            _require_type(where, f"the sector of {ticker}", sector, (str,), text)

    def _check_source(self, where: str) -> None:
        """Check that `data` and `query` are what the source needs."""
        if not self.data and self.source in NEEDED_DATA:
            raise SettingsError(
                f"{where}: the {self.source} source needs {NEEDED_DATA[self.source]} (flag --data, "
                "STOCKCAST_DATA or `data` in the file)."
            )
        is_server = self.data.startswith(("https://", "http://"))
        if self.source in SERVICE_SOURCES and self.data and not is_server:
            raise SettingsError(
                f"{where}: data is {self.data!r}; for {self.source}, nothing is expected, or the "
                "address of a server that answers in its place, such as https://prices.example."
            )
        if self.source in NAMED_SOURCES and not CONNECTION_PATTERN.fullmatch(self.data):
            # It is not quoted: somebody may have put a URL with a password there.
            raise SettingsError(
                f"{where}: data of the {self.source} source is a name, of letters, digits, _ . and "
                f"-; {NEEDED_DATA[self.source]} is expected."
            )
        if bool(self.query) != (self.source == "sql"):
            raise SettingsError(
                f"{where}: the sql source, and no other, has a `query`, in a file of universes: "
                "SELECT ticker, session, open, high, low, close, volume FROM ..."
            )

    def _check_tickers(self, where: str) -> None:
        if not self.tickers:
            raise SettingsError(
                f"{where} has no tickers; name at least one (flag --tickers IBM,AAPL or `tickers` "
                "in the file)."
            )
        for ticker in (*self.tickers, *self.aliases.values()):
            check_ticker(ticker, f"{where}: ")
        if len(set(self.tickers)) < len(self.tickers):
            raise SettingsError(f"{where}: a ticker is named twice in {', '.join(self.tickers)}.")

    def to_json(self) -> dict[str, object]:
        """Return the universe as JSON values; see `OMITTED_WHEN_EMPTY`."""
        values: dict[str, object] = _json_adapter().dump_python(self, mode="json")
        if self.repair:
            del values[OMITTED_WHEN_TRUE]
        return {
            name: value for name, value in values.items() if value or name not in OMITTED_WHEN_EMPTY
        }

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Universe:
        """Return the universe that `to_json` wrote."""
        return _json_adapter().validate_python(values)

    @property
    def is_rehearsal(self) -> bool:
        """True where results are kept apart from those that the universe publishes."""
        return self.name.endswith(REHEARSAL)

    def as_rehearsal(self) -> Universe:
        """Return the universe under the name that rehearsals of it have."""
        return dataclasses.replace(self, name=declared_name(self.name) + REHEARSAL)

    def as_declared(self) -> Universe:
        """Return the universe under the name that it is declared by."""
        return dataclasses.replace(self, name=declared_name(self.name))

    @property
    def names(self) -> list[str]:
        """The tickers, and the names that some of them had before."""
        return [*self.tickers, *(self.aliases[t] for t in self.tickers if t in self.aliases)]

    @property
    def amendments(self) -> list[str]:
        """The days of `AMENDING` in words, for what depends on its calendar."""
        return [f"{name} {day}" for name in AMENDING for day in getattr(self, name)]

    def on(self, session: dt.date) -> Universe:
        """Return the universe of a session: its tickers are the members of that day.

        Raises:
            SettingsError: it has none.
        """
        if not self.members:
            return self
        tickers = members_on(self.members, session)
        if not tickers:
            first = min(member.first for member in self.members)
            raise SettingsError(
                f"Universe {self.name!r} has no member on {session}; the first is of {first}. Use "
                "another session, or add rows to its file of members."
            )
        return dataclasses.replace(self, tickers=tickers, members=())

    def left(self, first: dt.date, last: dt.date) -> tuple[str, ...]:
        """Return the tickers that were members on `first` or later, and are none on `last`."""
        ended = {each.ticker for each in self.members if each.last and first <= each.last < last}
        return tuple(sorted(ended - set(members_on(self.members, last))))

    def differences(self, declared: Universe) -> list[str]:
        """Return those of `PUBLISHED_FIELDS` in which it differs from what is declared."""
        own, other = (
            {name: getattr(each, name) for name in PUBLISHED_FIELDS} | {"tickers": {*each.tickers}}
            for each in (self, declared)
        )
        return [name for name in PUBLISHED_FIELDS if own[name] != other[name]]

    @property
    def source_id(self) -> str:
        """The name of these prices in the store.

        A folder of files never mixes with another folder or with Yahoo.
        """
        if self.source in PLACED_SOURCES and is_url(self.data):
            return f"{self.source}:{without_login(self.data)}"
        if self.source in PLACED_SOURCES:
            return f"{self.source}:{Path(self.data).expanduser().absolute()}"
        if self.source in SERVICE_SOURCES and self.data:
            return f"{self.source}:{without_login(self.data)}"
        if self.source == "sql":
            query = hashlib.sha256(" ".join(self.query.split()).encode()).hexdigest()
            return f"sql:{self.data}:{query[:8]}"
        if self.source == "function":
            return f"function:{self.data}"
        return self.source

    @property
    def events_id(self) -> str:
        """The name of its events in the store; "": it goes without."""
        if self.events == NO_EVENTS:
            return ""
        if self.events:
            return f"csv:{Path(self.events).expanduser().absolute()}"
        return self.source if self.source == "yahoo" else ""


@cache
def _json_adapter() -> TypeAdapter[Universe]:
    from pydantic import TypeAdapter

    return TypeAdapter(Universe)


def declared_name(name: str) -> str:
    """Return the name that a universe is declared by; that of a rehearsal has an ending."""
    return name.removesuffix(REHEARSAL)


def as_ticker(text: str) -> str | None:
    """Return a ticker in this program's spelling, BTC-USD of btc/usd; None: the text is none."""
    spelling = text.strip().upper().replace("/", "-")
    return spelling if TICKER_PATTERN.fullmatch(spelling) else None


def spelt_ticker(text: str) -> str:
    """Return a named ticker in this program's spelling; what is none stays, to be refused."""
    return (as_ticker(text) if isinstance(text, str) else None) or text


def check_ticker(ticker: str, where: str = "") -> str:
    """Return a ticker; tickers become file names, URLs and keys.

    Args:
        where: what the message begins with.

    Raises:
        SettingsError: it is not written like one.
    """
    if not isinstance(ticker, str) or not TICKER_PATTERN.fullmatch(ticker):
        raise SettingsError(
            f"{where}{ticker!r} is no ticker: letters, digits and single . - = _ & between them "
            "are expected, such as BRK-B."
        )
    return ticker


class Universes(dict[str, Universe]):
    """The universes of a file by name, in its order.

    Attributes:
        wrong: by name, what is wrong with an entry; the others work.
    """

    def __init__(
        self, universes: Mapping[str, Universe], wrong: Mapping[str, SettingsError]
    ) -> None:
        super().__init__(universes)
        self.wrong = wrong

    def of(self, name: str) -> Universe:
        """Return the universe of a name.

        Raises:
            SettingsError: there is none, or its entry is wrong.
        """
        if name in self.wrong:
            raise self.wrong[name]
        if name not in self:
            raise SettingsError(
                f"There is no universe {name!r}. The universes are: {', '.join(self)}."
            )
        return self[name]


def load_universes(path: str | Path = "") -> Universes:
    """Return all universes of a file; one that is declared wrongly stops no other.

    Args:
        path: "": the file that comes with the program.

    Raises:
        SettingsError: the file cannot be read, or no entry is right; the message names the first.
    """
    path = Path(path) if path else SHIPPED_UNIVERSES
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"The universes file {path} cannot be read ({error.strerror}). Set "
            "STOCKCAST_UNIVERSES to one that can."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f"The universes file {path} is no TOML: {error}. Compare it with {SHIPPED_UNIVERSES}."
        ) from None
    if not entries:
        raise SettingsError(
            f"The universes file {path} declares no universe. Compare it with {SHIPPED_UNIVERSES}."
        )
    universes, wrong = dict[str, Universe](), dict[str, SettingsError]()
    for name, entry in entries.items():
        try:
            universes[name] = _universe_of(name, entry, path)
        except SettingsError as error:
            wrong[name] = error
    if not universes:
        raise next(iter(wrong.values()))
    return Universes(universes, wrong)


def _universe_of(name: str, entry: object, path: Path) -> Universe:
    known = {field.name for field in dataclasses.fields(Universe)} - {"name"}
    if not isinstance(entry, dict):
        raise SettingsError(f"{path}: {name} stands outside any [universe] section.")
    if name.endswith(REHEARSAL):
        raise SettingsError(
            f"{path}: {name} ends with {REHEARSAL}, which the program's own rehearsals have. "
            "Choose another name."
        )
    unknown = sorted(set(entry) - known)
    if unknown:
        raise SettingsError(
            f"{path}: universe {name!r} has {', '.join(unknown)}; the keys are "
            f"{', '.join(sorted(known))}."
        )
    if {"tickers", "members"} <= set(entry):
        raise SettingsError(
            f"{path}: universe {name!r} has both tickers and members; one of them is expected."
        )
    entry = {**entry, **_members_of(name, entry, path), **_events_of(entry, path)}
    missing = sorted(set(EXAMPLES) - set(entry))
    if missing:
        raise SettingsError(
            f"{path}: universe {name!r} lacks {' and '.join(missing)}. Add "
            f"{' and '.join(EXAMPLES[each] for each in missing)}."
        )
    universe = Universe(name=name, **entry)
    # Universe itself does not check this: a run may be of fewer tickers than the file names.
    for key in ("sectors", "aliases"):
        strangers = sorted(set(getattr(universe, key)) - set(universe.tickers))
        if strangers:
            raise SettingsError(
                f"{path}: universe {name!r} names {key} of {', '.join(strangers)}, which are not "
                "among its tickers. Write tickers of the universe there, or add them to it."
            )
    return universe


def _members_of(name: str, entry: Mapping[str, object], path: Path) -> dict[str, object]:
    """Return members and tickers where an entry names a file of members; nothing elsewhere."""
    if "members" not in entry:
        return {}
    file, where = entry["members"], f"{path}: universe {name!r}"
    _require_type(where, "members", file, (str,), 'a path such as "members.csv"')
    members = read_members(path.parent / Path(str(file)).expanduser(), name, as_ticker)
    return {"members": members, "tickers": tuple(dict.fromkeys(each.ticker for each in members))}


def _events_of(entry: Mapping[str, object], path: Path) -> dict[str, object]:
    """Return where an entry's file of events is: beside the file of universes, unless it says."""
    events = entry.get("events")
    if not isinstance(events, str) or events in ("", NO_EVENTS):
        return {}
    return {"events": str(path.parent / Path(events).expanduser())}


def _require_type(
    where: str, field_name: str, value: object, types: tuple[type, ...], expected: str
) -> None:
    if not isinstance(value, types):
        raise SettingsError(f"{where}: {field_name} is {value!r}; {expected} is expected.")


def _known_currency(where: str, spelling: object) -> str:
    """Return the code of a currency; "": none is set."""
    code = currency_code(spelling) if isinstance(spelling, str) else ""
    if spelling != "" and not code:
        raise SettingsError(
            f"{where}: currency is {spelling!r}; a code such as USD, or GBp for pence, is expected."
        )
    return code


def _require_one_of(where: str, field_name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingsError(
            f"{where}: {field_name} is {value!r}; one of {', '.join(choices)} is expected."
        )
