"""Dumps of whole databases: each is of one moment, whoever writes meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from pipeline.errors import SettingsError, StoreUnavailable
from pipeline.leftovers import TemporaryFolder
from pipeline.storage import embedded_postgres

#: A line of every script; it ends no transaction for being long, which no server does by itself.
NEW_SETTING = b"SET transaction_timeout = 0;\n"


def dump(url: str, file: Path) -> None:
    """Write a database to a file: an SQLite file, or an archive of pg_dump.

    Args:
        url: of a PostgreSQL or SQLite database, as SQLAlchemy has it.

    Raises:
        StoreUnavailable: it cannot be read.
    """
    database = sa.make_url(url)
    if database.get_backend_name() == "sqlite":
        with (
            contextlib.closing(
                sqlite3.connect(f"file:{database.database}?mode=ro", uri=True)
            ) as one,
            contextlib.closing(sqlite3.connect(file)) as copy,
        ):
            one.backup(copy)
        return
    _run(database, "pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={file}")


def load_dump(url: str, file: Path) -> None:
    """Bring what `dump` wrote into an empty database of the same kind, wholly or not at all.

    Raises:
        StoreUnavailable: it cannot be written.
    """
    database = sa.make_url(url)
    if database.get_backend_name() == "sqlite":
        Path(str(database.database)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, str(database.database))
        return
    with TemporaryFolder("load", file.parent) as folder:
        script = folder / "all.sql"
        _run(database, "pg_restore", "--no-owner", "--no-privileges", f"--file={script}", str(file))
        portable = folder / "portable.sql"
        write_portable(script, portable)
        script.unlink()
        options = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1")
        _run(database, "psql", *options, "--output=/dev/null", f"--file={portable}")


def write_portable(script: Path, portable: Path) -> None:
    """Copy a script of pg_restore without the setting that servers before PostgreSQL 17 lack."""
    with script.open("rb") as source, portable.open("wb") as copy:
        for line in iter(source.readline, b""):
            if line == NEW_SETTING:
                break
            copy.write(line)
        shutil.copyfileobj(source, copy)


def kind_of(url: str) -> str:
    """Return sqlite or postgresql."""
    return sa.make_url(url).get_backend_name()


def has_tables(url: str) -> bool:
    """Return whether there is anything in a database."""
    database = sa.make_url(url)
    if database.get_backend_name() == "sqlite" and not Path(str(database.database)).exists():
        return False
    engine = sa.create_engine(database, poolclass=sa.NullPool)
    try:
        return bool(sa.inspect(engine).get_table_names())
    except sa.exc.OperationalError as error:
        reason = str(error.orig).strip().partition("\n")[0].rstrip(".")
        raise StoreUnavailable(
            f"The database {database.render_as_string()} does not answer: {reason}. Is it running?"
        ) from None


def _run(database: sa.URL, tool: str, *arguments: str) -> None:
    """Run a tool of PostgreSQL on a database; its login is in no command line."""
    query = {name: str(value) for name, value in database.query.items()}
    login = {
        "PGHOST": database.host or query.get("host"),
        "PGPORT": database.port or query.get("port"),
        "PGUSER": database.username,
        "PGPASSWORD": database.password,
        "PGDATABASE": database.database,
        "PGSSLMODE": query.get("sslmode"),
    }
    done = subprocess.run(
        [_newest(tool), *arguments],
        env={**os.environ, **{name: str(value) for name, value in login.items() if value}},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        hint = (
            f" Put the {tool} of your server's version into PATH." if "version" in lines[0] else ""
        )
        raise StoreUnavailable(f"{tool} of {database.render_as_string()}: {lines[0]}.{hint}")


def _newest(tool: str) -> str:
    """Return the newer program of those that PATH and the embedded server's package have.

    An older one reads neither a newer server nor an archive of a newer one.

    Raises:
        SettingsError: neither has it.
    """
    installed = shutil.which(tool)
    try:
        bundled = str(embedded_postgres.tools() / tool)
    except SettingsError:  # an installation without that package
        if installed is None:
            raise
        return installed
    return max([bundled, installed] if installed else [bundled], key=_major_version)


@cache
def _major_version(program: str) -> int:
    text = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"\d+", text)
    return int(found[0]) if found else 0


def require_same_kind(url: str, kind: str, name: str) -> None:
    """Raise `SettingsError` where a database is not of a dump's kind."""
    if kind_of(url) != kind:
        raise SettingsError(
            f"The backup has {name} as {kind}, and the settings name a {kind_of(url)} database. "
            "Name one of its kind, or none (STOCKCAST_STORE_URL, STOCKCAST_TRACKING_URI)."
        )
