"""The store: price revisions, corporate actions and everything a run concludes, in PostgreSQL or SQLite.

Its SQL tables are those of `tables.STORED`, and the same statements serve both databases. Every public method is one
transaction: what a killed process was writing is not there afterwards.
"""

from __future__ import annotations

import datetime as dt
import io
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pipeline import migrations
from pipeline.errors import SettingsError, StoreTooNew, StoreUnavailable
from pipeline.prices.adjustment import adjust
from pipeline.tables import (
    ACTION_REVISIONS,
    ACTIONS,
    FORECASTS,
    MOMENT_DTYPE,
    PRICE_REVISIONS,
    PRICES,
    PROMOTIONS,
    RUN_KEY,
    SCORES,
    SESSION_DTYPE,
    STORED,
    Table,
)

log = logging.getLogger(__name__)

SQL_TYPES = {
    "str": sa.Text,
    "float64": sa.Double,
    "int64": sa.BigInteger,
    "bool": sa.Boolean,
    SESSION_DTYPE: sa.Date,
    MOMENT_DTYPE: sa.DateTime,
}
#: Reads that the primary keys, which begin with a ticker or a dataset, do not serve: a day's page, the scoring of a session.
INDEXES = {
    **{table.name: [("universe", "cutoff")] for table in STORED if set(RUN_KEY) <= set(table.columns)},
    "forecasts": [("universe", "cutoff"), ("universe", "session")],
    "scores": [("universe", "cutoff"), ("universe", "session")],
    "models": [("ticker", "training_cutoff")],
}
#: Keys per DELETE; SQLite takes 32,766 bound values at most.
KEYS_PER_DELETE = 1000
#: Tickers from which a read is worth PostgreSQL's COPY, which hands rows over as text: a fifth of the time, for a statement that is compiled anew.
COPIED_FROM = 20
SECONDS_TO_CONNECT = 10
SECONDS_TO_WAIT_FOR_A_WRITER = 60


def sql_metadata() -> sa.MetaData:
    """The SQL tables that `tables.STORED` asks for."""
    metadata = sa.MetaData()
    for table in STORED:
        columns = [_sql_column(table, name, dtype) for name, dtype in table.columns.items()]
        indexes = [sa.Index(f"ix_{table.name}_{'_'.join(names)}", *names) for names in INDEXES.get(table.name, [])]
        sa.Table(table.name, metadata, *columns, sa.PrimaryKeyConstraint(*table.key, name=f"pk_{table.name}"), *indexes)
    return metadata


def _sql_column(table: Table, name: str, dtype: str) -> sa.Column:
    # A frame's int64 and bool columns cannot hold a missing value; all others but the key may.
    return sa.Column(name, SQL_TYPES[dtype](), nullable=name not in table.key and dtype not in ("int64", "bool"))


_SQL = sql_metadata().tables


@dataclass(frozen=True)
class Span:
    """A filter of a column that is ordered: from `first` to `last`, both included; None: without that end."""

    first: object | None = None
    last: object | None = None


class Store:
    """All reads and writes of one database. Frames in and out conform to a `Table`; missing values are NaN here, NULL there."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(writing=True)
        # Bars and actions that are read together are of one moment; SQLite's readers have that anyway.
        snapshot = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
        self._reading = engine.execution_options(**snapshot)

    @classmethod
    def open(cls, url: str) -> Store:
        """Connects, and brings an empty or older schema up to date; several processes may do so at once.

        Raises:
            SettingsError: the URL names no PostgreSQL or SQLite database, or one that belongs to another program.
            StoreUnavailable: the database does not answer.
            StoreTooNew: a newer version of this program made the schema; nothing is changed.
        """
        parsed = _parse(url)
        store = cls(_engine(parsed))
        try:
            store._bring_up_to_date()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        self._engine.dispose()

    @property
    def url(self) -> str:
        """Where the store is, for people: no password, and a socket as the folder that it is."""
        if folder := self._engine.url.query.get("host"):
            return f"{self._engine.url.database} (PostgreSQL at {folder})"
        return self._engine.url.render_as_string(hide_password=True)

    # Any table

    def load(self, table: Table, **filters: object) -> pd.DataFrame:
        """The rows whose columns have these values (or one of these values, for a list; or lie in a `Span`), sorted by key."""
        query = sa.select(_SQL[table.name]).where(*_conditions(table, filters))
        with self._reader() as connection:
            return _fetch(connection, query, table, many=_are_many(filters.get("ticker")))

    def greatest(self, table: Table, column: str, **filters: object) -> object | None:
        """The greatest value of a column among the rows that `load` would give, as the database has it; None: there are none."""
        query = sa.select(sa.func.max(_SQL[table.name].c[column])).where(*_conditions(table, filters))
        with self._reader() as connection:
            return connection.scalar(query)

    def save(self, table: Table, frame: pd.DataFrame) -> int:
        """Inserts new keys and updates those whose values differ; the number of rows that this touched."""
        records = _records(table, frame)
        with self._writer() as connection:
            return _upsert(connection, table, records)

    def replace(self, table: Table, frame: pd.DataFrame, **group: object) -> int:
        """Makes `frame` all that the group's rows (column=value, or a list of values) are; the number of rows changed or deleted."""
        records = _records(table, frame)
        inside = _conditions(table, group)
        _check_inside(table, frame, group)
        with self._writer(locks=[table.name]) as connection:
            stored = (tuple(row) for row in connection.execute(sa.select(*_key_columns(table)).where(*inside)))
            gone = sorted(set(stored) - {tuple(record[name] for name in table.key) for record in records})
            return _delete(connection, table, gone) + _upsert(connection, table, records)

    # Prices. Reads are as of `known_at`; None: all that is known by now.

    def save_prices(
        self, source_id: str, prices: pd.DataFrame, actions: pd.DataFrame, first: dt.date, last: dt.date, known_at: dt.datetime
    ) -> Counter[str]:
        """Appends what a source says about `first` to `last` where it differs from what was known; how many new price revisions of which ticker.

        An action in that range that the source no longer reports, of a ticker that it gave prices for, is taken back. What is
        stored for exactly `known_at` stands: a moment's knowledge does not change afterwards.
        """
        prices, actions = PRICES.conform(prices), ACTIONS.conform(actions)
        tickers = sorted({*prices["ticker"], *actions["ticker"]})
        if not tickers:
            return Counter()
        begin = min([pd.Timestamp(first), *prices["session"], *actions["session"]]).date()
        with self._writer(locks=[f"{source_id}/{ticker}" for ticker in tickers]) as connection:
            known = _fetch(
                connection, _newest(PRICE_REVISIONS, PRICES, source_id, tickers, known_at, begin=begin), PRICES, _are_many(tickers)
            )
            added = _append(connection, PRICE_REVISIONS, _differing(PRICES, prices, known), source_id, known_at)
            known = _fetch(connection, _newest(ACTION_REVISIONS, ACTIONS, source_id, tickers, known_at, begin=begin), ACTIONS)
            in_range = known[known["session"].between(pd.Timestamp(first), pd.Timestamp(last))]
            said = pd.concat([actions, _without(ACTIONS, in_range, actions).assign(value=0.0)])
            _append(connection, ACTION_REVISIONS, _differing(ACTIONS, said, known), source_id, known_at)
        return added

    def raw_prices(
        self,
        source_id: str,
        ticker: str | Sequence[str],
        cutoff: dt.date,
        known_at: dt.datetime | None,
        first: dt.date | None = None,
    ) -> pd.DataFrame:
        """Bars as traded, from `first` (None: the beginning) to the cutoff, as known at a moment (`PRICES`)."""
        with self._reader() as connection:
            return _bars(connection, source_id, ticker, cutoff, known_at, first)

    def actions(self, source_id: str, ticker: str | Sequence[str], cutoff: dt.date, known_at: dt.datetime | None) -> pd.DataFrame:
        """Corporate actions up to the cutoff, as known at a moment (`ACTIONS`); those taken back are left out."""
        with self._reader() as connection:
            return _actions(connection, source_id, ticker, cutoff, known_at)

    def prices(
        self,
        source_id: str,
        ticker: str | Sequence[str],
        cutoff: dt.date,
        known_at: dt.datetime | None,
        first: dt.date | None = None,
    ) -> pd.DataFrame:
        """What a model may see: prices from `first` on, adjusted as of the cutoff, as known at a moment (`HISTORY`)."""
        with self._reader() as connection:
            bars = _bars(connection, source_id, ticker, cutoff, known_at, first)
            actions = _actions(connection, source_id, ticker, cutoff, known_at)
        return adjust(bars, actions, cutoff)

    def revisions(
        self, source_id: str, tickers: Sequence[str], cutoff: dt.date, known_at: dt.datetime | None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Bars and actions up to the cutoff, as known at a moment, with when that became known; `PRICE_REVISIONS`, `ACTION_REVISIONS`."""
        with self._reader() as connection:
            return tuple(
                _fetch(
                    connection,
                    _newest(table, facts, source_id, tickers, known_at, cutoff, columns=table),
                    table,
                    many=_are_many(tickers),
                )
                for table, facts in ((PRICE_REVISIONS, PRICES), (ACTION_REVISIONS, ACTIONS))
            )

    def bars(self, source_id: str, cutoff: dt.date) -> dict[str, int]:
        """How many revisions of bars up to the cutoff each ticker has."""
        revisions = _SQL[PRICE_REVISIONS.name].c
        conditions = [*_conditions(PRICE_REVISIONS, {"source_id": source_id}), revisions.session <= cutoff]
        query = sa.select(revisions.ticker, sa.func.count()).where(*conditions).group_by(revisions.ticker)
        with self._reader() as connection:
            return {row.ticker: row[1] for row in connection.execute(query)}

    def sources(self) -> list[str]:
        """Every `source_id` that there are prices of."""
        with self._reader() as connection:
            return sorted(connection.scalars(sa.select(_SQL[PRICE_REVISIONS.name].c.source_id).distinct()))

    def last_sessions(
        self, source_id: str, tickers: Iterable[str], until: dt.date, known_at: dt.datetime | None
    ) -> dict[str, dt.date]:
        """The newest session not after `until` that each ticker has a bar of; a ticker without any is left out."""
        revisions = _SQL[PRICE_REVISIONS.name].c
        # One look at the end of the primary key each: grouping all tickers would read every bar there is.
        query = sa.select(sa.func.max(revisions.session)).where(
            revisions.source_id == source_id,
            revisions.ticker == sa.bindparam("ticker"),
            revisions.session <= until,
            _known_by(revisions.known_at, known_at),
        )
        with self._reader() as connection:
            found = {ticker: connection.scalar(query, {"ticker": ticker}) for ticker in tickers}
        return {ticker: session for ticker, session in found.items() if session is not None}

    def corrected(self, source_id: str, tickers: Iterable[str], first: dt.date, last: dt.date) -> set[str]:
        """The tickers of which a bar from `first` to `last` has come in more than one version, or a corporate action has come in."""
        bars, actions = _SQL[PRICE_REVISIONS.name].c, _SQL[ACTION_REVISIONS.name].c
        sides = [
            (
                sa.select(revisions.ticker).where(
                    *_conditions(table, {"source_id": source_id, "ticker": tickers, "session": Span(first, last)})
                )
            )
            for table, revisions in ((PRICE_REVISIONS, bars), (ACTION_REVISIONS, actions))
        ]
        twice = sides[0].group_by(bars.ticker, bars.session).having(sa.func.count() > 1)
        with self._reader() as connection:
            return {*connection.scalars(twice), *connection.scalars(sides[1].distinct())}

    def unscored(self, first: dt.date, last: dt.date, **group: object) -> pd.DataFrame:
        """FORECASTS of sessions from `first` to `last` that have no score yet."""
        forecasts, scores = _SQL[FORECASTS.name], _SQL[SCORES.name]
        same = [forecasts.c[name] == scores.c[name] for name in SCORES.key]
        conditions = _conditions(FORECASTS, {**group, "session": Span(first, last)})
        query = sa.select(forecasts).where(*conditions, ~sa.exists().where(*same))
        with self._reader() as connection:
            return _fetch(connection, query, FORECASTS)

    def ends(self, table: Table, column: str, count: int, newest: bool, **filters: object) -> list:
        """At most `count` different values of a column among the rows that `load` would give, in order: the greatest of them or the least."""
        values = _SQL[table.name].c[column]
        query = sa.select(values).where(*_conditions(table, filters)).distinct()
        query = query.order_by(values.desc() if newest else values).limit(count)
        with self._reader() as connection:
            return sorted(connection.scalars(query))

    def series(self) -> pd.DataFrame:
        """What has been published: (universe, recipe, target, newest), the last with the newest cutoff of each."""
        promotions = _SQL[PROMOTIONS.name].c
        key = [promotions.universe, promotions.recipe, promotions.target]
        query = sa.select(*key, sa.func.max(promotions.cutoff).label("newest")).group_by(*key)
        with self._reader() as connection:
            return pd.DataFrame(connection.execute(query).all(), columns=[*(column.name for column in key), "newest"])

    def score_sums(self, by: str, **filters: object) -> pd.DataFrame:
        """SCORES added up by "recipe", "ticker", "horizon" or "month" (of the session, as 2013-03), in that order.

        Columns: that, forecasts, squared and naive_squared (errors as fractions of the forecast), pinball, ewma_pinball, inside_80, inside_95.
        """
        scores = _SQL[SCORES.name].c
        months = [sa.extract(part, scores.session) for part in ("year", "month")]
        groups = months if by == "month" else [scores[by]]
        both = sa.and_(scores.pinball.is_not(None), scores.ewma_pinball.is_not(None))
        sums = {
            "forecasts": sa.func.count(),
            **{
                name: sa.func.sum((error / scores.y_hat) * (error / scores.y_hat))
                for name, error in (("squared", scores.error), ("naive_squared", scores.naive_error))
            },
            **{name: sa.func.sum(sa.case((both, scores[name]))) for name in ("pinball", "ewma_pinball")},
            **{name: sa.func.sum(sa.cast(scores[name], sa.Integer)) for name in ("inside_80", "inside_95")},
        }
        query = sa.select(*groups, *sums.values()).where(*_conditions(SCORES, filters)).group_by(*groups).order_by(*groups)
        with self._reader() as connection:
            found = [tuple(row) for row in connection.execute(query)]
        if by == "month":
            found = [(f"{int(year)}-{int(month):02d}", *rest) for year, month, *rest in found]
        types = {"forecasts": "int64", **dict.fromkeys(list(sums)[1:], "float64")}
        return pd.DataFrame(found, columns=[by, *sums]).astype(types)

    def newest_revision(
        self, source_id: str, ticker: str | Sequence[str], cutoff: dt.date, known_at: dt.datetime | None
    ) -> dt.datetime | None:
        """When the newest of their revisions up to the cutoff became known, in UTC without a zone: reading as of then gives the same."""
        newest = []
        with self._reader() as connection:
            for table in (PRICE_REVISIONS, ACTION_REVISIONS):
                revisions = _SQL[table.name].c
                query = sa.select(sa.func.max(revisions.known_at)).where(
                    *_conditions(table, {"source_id": source_id, "ticker": ticker}),
                    revisions.session <= cutoff,
                    _known_by(revisions.known_at, known_at),
                )
                newest.append(connection.scalar(query))
        return max((moment for moment in newest if moment is not None), default=None)

    # Transactions and schema

    @contextmanager
    def _reader(self) -> Iterator[sa.Connection]:
        with self._unavailable_when_lost(), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def _writer(self, locks: Iterable[str] = ()) -> Iterator[sa.Connection]:
        """A transaction that writes; on PostgreSQL it holds these names against other writers that ask for them.

        SQLite has one writer at a time anyway.
        """
        with self._unavailable_when_lost(), self._writing.begin() as connection:
            if connection.dialect.name == "postgresql":
                names = [f"stockcast/{name}" for name in sorted(locks)]  # always in the same order: no deadlock
                connection.execute(_LOCK, {"names": names})
            yield connection

    @contextmanager
    def _unavailable_when_lost(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
            raise StoreUnavailable(
                f"The store {self.url} does not answer: {self._reason(error)}. Is it running and writable?"
            ) from error
        except sa.exc.TimeoutError as error:
            raise StoreUnavailable(f"The store {self.url} has no connection left: {error}.") from error

    def _reason(self, error: sa.exc.DBAPIError) -> str:
        first_line = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0].rstrip(".")
        password = self._engine.url.password
        return first_line.replace(str(password), "***") if password else first_line

    def _bring_up_to_date(self) -> None:
        try:
            with self._reader() as connection:
                if self._is_up_to_date(connection):
                    return
            with self._writer(locks=["schema"]) as connection:
                if not self._is_up_to_date(connection):  # another process may have been faster
                    migrations.upgrade(connection)
        except sa.exc.DatabaseError as error:
            raise SettingsError(f"{self.url} cannot serve as the store: {self._reason(error)}. Name another database.") from error

    def _is_up_to_date(self, connection: sa.Connection) -> bool:
        """False for an empty or older schema."""
        inspector = sa.inspect(connection)
        if not inspector.has_table(migrations.VERSION_TABLE):
            self._refuse_a_foreign_database(inspector)
            return False
        version = connection.scalar(sa.text(f"SELECT version_num FROM {migrations.VERSION_TABLE}"))
        if version not in migrations.REVISIONS:
            raise StoreTooNew(
                f"The store {self.url} has schema {version}; this program knows up to {migrations.REVISIONS[-1]}. "
                "Upgrade stockcast, or name another store (STOCKCAST_STORE_URL)."
            )
        return version == migrations.REVISIONS[-1]

    def _refuse_a_foreign_database(self, inspector: sa.Inspector) -> None:
        foreign = sorted(set(inspector.get_table_names()) & set(_SQL))
        if foreign:
            raise SettingsError(
                f"{self.url} holds tables of another program ({', '.join(foreign)}). Name a database of stockcast's own."
            )


_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest(CAST(:names AS text[])) AS name")


# Connecting


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise SettingsError(
            "The store's URL cannot be read. Expected postgresql://user:password@host/database or sqlite:///file."
        ) from None
    if parsed.drivername == "postgresql":  # SQLAlchemy's default driver differs between its versions
        parsed = parsed.set(drivername="postgresql+psycopg2")
    if parsed.drivername not in ("postgresql+psycopg2", "sqlite", "sqlite+pysqlite"):
        raise SettingsError(f"A store cannot be a {parsed.drivername} database. Use postgresql://... or sqlite:///file.")
    folder = Path(parsed.database or "").parent
    if parsed.get_backend_name() == "sqlite" and not folder.is_dir():
        raise SettingsError(f"The store {parsed.database} cannot be made: there is no folder {folder}. Create it or name another.")
    return parsed


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "postgresql":
        timeout = {} if "connect_timeout" in url.query else {"connect_timeout": SECONDS_TO_CONNECT}
        return sa.create_engine(url, connect_args=timeout, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": SECONDS_TO_WAIT_FOR_A_WRITER})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection, _record) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions at moments of its own choice
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    # 64 MB instead of 2: a day's rows go to as many places of a table as there are tickers.
    connection.execute("PRAGMA cache_size=-65536")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that begins as a reader cannot wait for its turn to write; one that will write says so at once.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writing") else "BEGIN")


# Frames to rows and back


def _records(table: Table, frame: pd.DataFrame) -> list[dict]:
    """The frame's rows as database values, sorted by key: concurrent writers then lock rows in the same order."""
    frame = table.conform(frame)
    keys = frame[list(table.key)]
    if keys.isna().any(axis=None):
        raise ValueError(f"A row of {table.name} lacks part of its key: {keys[keys.isna().any(axis=1)].iloc[0].to_dict()}.")
    if keys.duplicated().any():
        raise ValueError(f"Two rows of {table.name} have the same key: {keys[keys.duplicated()].iloc[0].to_dict()}.")
    columns = [_values(frame[name], dtype) for name, dtype in table.columns.items()]
    return [dict(zip(table.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pd.Series, dtype: str) -> list:
    if dtype == SESSION_DTYPE:
        values = column.dt.date.tolist()
    elif dtype == MOMENT_DTYPE:
        values = column.dt.to_pydatetime().tolist()
    else:
        values = column.tolist()
    return [None if missing else value for value, missing in zip(values, column.isna(), strict=True)]


def _are_many(tickers: object) -> bool:
    return not isinstance(tickers, str) and isinstance(tickers, Sequence) and len(tickers) >= COPIED_FROM


def _fetch(connection: sa.Connection, query: sa.Select, table: Table, many: bool = False) -> pd.DataFrame:
    if many and connection.dialect.name == "postgresql":
        return _copy(connection, query, table)
    rows = connection.execute(query).all()
    columns = zip(*rows, strict=True) if rows else [()] * len(table.columns)
    return table.conform(
        pd.DataFrame({name: _column(values, dtype) for (name, dtype), values in zip(table.columns.items(), columns, strict=True)})
    )


def _copy(connection: sa.Connection, query: sa.Select, table: Table) -> pd.DataFrame:
    """As `_fetch`, for many rows: as text in one piece, which is read without an object for each value."""
    import pyarrow as pa
    from pyarrow import csv

    statement = query.compile(connection, compile_kwargs={"render_postcompile": True})
    text = io.BytesIO()
    with connection.connection.cursor() as cursor:
        cursor.copy_expert(b"COPY (" + cursor.mogrify(str(statement), statement.params) + b") TO STDOUT (FORMAT csv)", text)
    if not text.tell():
        return table.empty()
    text.seek(0)
    types = {"str": pa.string(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_(), SESSION_DTYPE: pa.date32()}
    # What is empty is missing; an empty text comes in quotation marks.
    converted = csv.ConvertOptions(
        column_types={name: types.get(dtype, pa.timestamp("us")) for name, dtype in table.columns.items()},
        null_values=[""],
        true_values=["t"],
        false_values=["f"],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    read = csv.ReadOptions(column_names=list(table.columns))
    rows = csv.read_csv(text, read_options=read, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=converted)
    return table.conform(rows.to_pandas(date_as_object=False))


def _column(values: tuple, dtype: str) -> pd.api.extensions.ExtensionArray:
    """An array, which a frame takes as it is; series would first be aligned with each other."""
    if dtype in (SESSION_DTYPE, MOMENT_DTYPE):
        return pd.Series(values, dtype=object).astype(dtype).array
    return pd.Series(values, dtype=dtype).array


def _moment(moment: dt.datetime) -> dt.datetime:
    """A moment as it is stored: in UTC, without its zone."""
    moment = pd.Timestamp(moment).to_pydatetime()
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _value(value: object, dtype: str) -> object:
    """A filter's value as the database knows it; callers have dates, Timestamps and numpy scalars."""
    if dtype == SESSION_DTYPE:
        return pd.Timestamp(value).date()
    if dtype == MOMENT_DTYPE:
        return _moment(value)
    return value.item() if hasattr(value, "item") else value


# Statements


def _key_columns(table: Table) -> list[sa.Column]:
    return [_SQL[table.name].c[name] for name in table.key]


def _known_columns(table: Table, filters: dict[str, object]) -> None:
    unknown = sorted(set(filters) - set(table.columns))
    if unknown:
        raise ValueError(f"The {table.name} table has no columns {unknown}; it has {list(table.columns)}.")


def _choices(table: Table, filters: dict[str, object]) -> dict[str, list]:
    _known_columns(table, filters)
    several = {
        name: [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
        for name, value in filters.items()
    }
    return {name: [_value(value, table.columns[name]) for value in values] for name, values in several.items()}


def _conditions(table: Table, filters: dict[str, object]) -> list[sa.ColumnElement[bool]]:
    columns = _SQL[table.name].c
    spans = {name: value for name, value in filters.items() if isinstance(value, Span)}
    _known_columns(table, spans)
    chosen = _choices(table, {name: value for name, value in filters.items() if name not in spans})
    conditions = [columns[name].in_(values) for name, values in chosen.items()]
    for name, span in spans.items():
        if span.first is not None:
            conditions.append(columns[name] >= _value(span.first, table.columns[name]))
        if span.last is not None:
            conditions.append(columns[name] <= _value(span.last, table.columns[name]))
    return conditions


def _check_inside(table: Table, frame: pd.DataFrame, group: dict[str, object]) -> None:
    for name, values in _choices(table, group).items():
        outside = set(_values(table.conform(frame)[name], table.columns[name])) - set(values)
        if outside:
            raise ValueError(
                f"Rows of {table.name} with {name}={sorted(map(str, outside))} are outside the group that they replace, {group}."
            )


def _upsert(connection: sa.Connection, table: Table, records: list[dict]) -> int:
    insert = _insert(connection, table)
    others = [name for name in table.columns if name not in table.key]
    changed = sa.or_(*(_SQL[table.name].c[name].is_distinct_from(insert.excluded[name]) for name in others))
    statement = insert.on_conflict_do_update(
        index_elements=table.key, set_={name: insert.excluded[name] for name in others}, where=changed
    )
    return len(_insert_all(connection, table, statement, records, table.key[0]))


def _insert(connection: sa.Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(_SQL[table.name])


def _insert_all(connection: sa.Connection, table: Table, statement: sa.Insert, records: list[dict], column: str) -> list:
    """`column` of the rows written, which is what RETURNING returns: rows that an ON CONFLICT leaves alone are not among them."""
    if not records:
        return []
    return list(connection.scalars(statement.returning(_SQL[table.name].c[column]), records))


def _delete(connection: sa.Connection, table: Table, keys: list[tuple]) -> int:
    for begin in range(0, len(keys), KEYS_PER_DELETE):
        connection.execute(
            sa.delete(_SQL[table.name]).where(sa.tuple_(*_key_columns(table)).in_(keys[begin : begin + KEYS_PER_DELETE]))
        )
    return len(keys)


def _known_by(column: sa.ColumnElement, known_at: dt.datetime | None) -> sa.ColumnElement[bool]:
    return sa.true() if known_at is None else column <= _moment(known_at)


def _newest(
    revisions: Table,
    facts: Table,
    source_id: str,
    tickers: str | Sequence[str],
    known_at: dt.datetime | None,
    cutoff: dt.date | None = None,
    begin: dt.date | None = None,
    columns: Table | None = None,
) -> sa.Select:
    """The facts (or all of `columns`) as their newest revision not after `known_at` has them, of the sessions from `begin` to `cutoff`."""
    wanted, columns = list((columns or facts).columns), _SQL[revisions.name].c
    conditions = [*_conditions(revisions, {"source_id": source_id, "ticker": tickers}), _known_by(columns.known_at, known_at)]
    if cutoff is not None:
        conditions.append(columns.session <= cutoff)
    if begin is not None:
        conditions.append(columns.session >= begin)
    identity = [columns[name] for name in facts.key]
    age = sa.func.row_number().over(partition_by=identity, order_by=columns.known_at.desc()).label("age")
    ranked = sa.select(*(columns[name] for name in wanted), age).where(*conditions).subquery()
    return sa.select(*(ranked.c[name] for name in wanted)).where(ranked.c.age == 1)


def _bars(
    connection: sa.Connection,
    source_id: str,
    tickers: str | Sequence[str],
    cutoff: dt.date,
    known_at: dt.datetime | None,
    first: dt.date | None,
) -> pd.DataFrame:
    query = _newest(PRICE_REVISIONS, PRICES, source_id, tickers, known_at, cutoff, first)
    return _fetch(connection, query, PRICES, many=_are_many(tickers))


def _actions(
    connection: sa.Connection, source_id: str, tickers: str | Sequence[str], cutoff: dt.date, known_at: dt.datetime | None
) -> pd.DataFrame:
    query = _newest(ACTION_REVISIONS, ACTIONS, source_id, tickers, known_at, cutoff)
    actions = _fetch(connection, query, ACTIONS, many=_are_many(tickers))
    return actions[actions["value"] != 0].reset_index(drop=True)


def _append(
    connection: sa.Connection, revisions: Table, facts: pd.DataFrame, source_id: str, known_at: dt.datetime
) -> Counter[str]:
    """How many rows of which ticker have been added."""
    records = _records(revisions, facts.assign(source_id=source_id, known_at=_moment(known_at)))
    added = Counter(_insert_all(connection, revisions, _insert(connection, revisions).on_conflict_do_nothing(), records, "ticker"))
    if kept := len(records) - added.total():
        log.warning("%s: %d rows of %s keep what was stored for %s.", source_id, kept, revisions.name, known_at)
    return added


# Comparing


def _differing(table: Table, said: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """The rows that are not among the known ones with the same values; NaN equals NaN."""
    return _without(table, said, known, on=list(table.columns))


def _without(table: Table, rows: pd.DataFrame, others: pd.DataFrame, on: list[str] | None = None) -> pd.DataFrame:
    """The rows whose key (or the columns `on`) the others do not have."""
    on = on or list(table.key)
    side = rows.merge(others[on], on=on, how="left", indicator=True)["_merge"]
    return rows[(side == "left_only").to_numpy()]
