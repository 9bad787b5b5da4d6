"""Locks by name against other processes, taken at the database that they share."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import sqlalchemy

from pipeline.tracking.mlflow_database import engine_of


class Locks:
    """The locks of one experiment.

    Args:
        database: where they are taken; None: nobody takes turns.
    """

    def __init__(self, database: sqlalchemy.URL | None, experiment: str) -> None:
        self._database = database
        self._experiment = experiment

    @contextlib.contextmanager
    def hold(self, kind: str, *names: str) -> Iterator[None]:
        """Hold names of a kind (on SQLite: all of them) until the block ends.

        Args:
            names: none: the kind itself.
        """
        database = self._database
        backend = "" if database is None else database.get_backend_name()
        if backend == "postgresql":
            take = sqlalchemy.text("select pg_advisory_xact_lock(n) from unnest(:numbers) n")
            # In one order everywhere, so that two who want the same do not wait for each other.
            numbers = sorted({self._number_of(kind, name) for name in names or ("",)})
            with self._engine.begin() as connection:  # its end gives the locks back
                connection.execute(take, {"numbers": numbers})
                yield
        elif backend == "sqlite" and database is not None and database.database:
            with Path(f"{database.database}.{kind}.lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        else:
            yield

    def close(self) -> None:
        """Give back the connections that locks were taken with."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    def _number_of(self, kind: str, name: str) -> int:
        named = f"{self._experiment} {kind} {name}".encode()
        return int.from_bytes(hashlib.sha256(named).digest()[:8], signed=True)

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        """Connections of their own, kept: a large universe takes thousands of locks."""
        if self._database is None:
            raise ValueError("Nobody takes turns here.")
        return engine_of(self._database, sqlalchemy.QueuePool)
