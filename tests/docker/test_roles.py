"""The SQL of the containers on a real PostgreSQL: three roles, each in its own database only."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from pipeline.storage import embedded_postgres
from pipeline.storage.embedded_postgres.server_user import process_options, server_user
from tests.docker.container_files import DOCKER

pytestmark = pytest.mark.slow

ROLES = ("airflow", "mlflow", "stockcast")
PASSWORDS = {
    f"POSTGRES_{role}PASSWORD": secrets.token_hex(8)
    for role in ("", *(f"{name.upper()}_" for name in ROLES))
}


class Server:
    """A PostgreSQL as its image makes one: a password by TCP, none on its own socket.

    Args:
        superuser: POSTGRES_USER.
    """

    def __init__(self, folder: Path, superuser: str) -> None:
        self.folder, self.superuser = folder, superuser
        self._options = process_options(server_user())
        made = [f"--username={superuser}", "--auth=trust", "--encoding=UTF8", "--no-locale"]
        self._run("initdb", "-D", folder / "data", *made)
        trusted = "renaming,postgres,stockcast" if superuser == "stockcast" else superuser
        rules = f"local all {trusted} trust\nlocal all all scram-sha-256\n"
        (folder / "data" / "pg_hba.conf").write_text(rules)
        options = f"-c listen_addresses='' -k {folder}"
        self._run(
            "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start"
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "fast", "-w", "stop")

    def run_file(self, name: str) -> None:
        """Run a file of SQL as the superuser, as the image does it."""
        arguments = ["--username", self.superuser, "--dbname", "postgres", "--file", DOCKER / name]
        self._run("psql", "-v", "ON_ERROR_STOP=1", *arguments, env=PASSWORDS)

    def ask(self, role: str, database: str, statement: str) -> str:
        """Return what a role is answered with its own password, or why not."""
        variable = f"POSTGRES_{role.upper()}_PASSWORD"
        password = PASSWORDS.get(variable, PASSWORDS["POSTGRES_PASSWORD"])
        arguments = ["-v", "ON_ERROR_STOP=1", "-tA", "--username", role, "--dbname", database]
        done = self._psql(*arguments, "--command", statement, env={"PGPASSWORD": password})
        return (done.stdout or done.stderr).strip().rpartition("\n")[2]

    def _psql(self, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [embedded_postgres.tools() / "psql", "--no-psqlrc", "--quiet", *arguments],
            env={**os.environ, "PGHOST": str(self.folder), **env},
            capture_output=True,
            text=True,
        )

    def _run(self, program: str, *arguments: object, env: dict[str, str] | None = None) -> None:
        if program == "psql":
            done = self._psql(*map(str, arguments), env=env or {})
        else:
            command = [embedded_postgres.tools() / program, *map(str, arguments)]
            done = subprocess.run(command, capture_output=True, text=True, **self._options)
        assert done.returncode == 0, done.stderr or done.stdout


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for the server's user, near enough for a socket."""
    made = Path(tempfile.mkdtemp(prefix="stockcast-test-", dir="/tmp"))
    if user := server_user():
        os.chown(made, *_numbers(user))
    yield made
    rmtree(made)


def _numbers(user: str) -> tuple[int, int]:
    import pwd

    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


def everyone_is_alone(server: Server) -> None:
    """Assert that each role rules its own database, and enters no other."""
    for role in ROLES:
        statements = "CREATE TABLE made_by_it (id int); SELECT count(*) FROM made_by_it"
        assert server.ask(role, role, statements) == "0"
        rights = "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = user"
        assert server.ask(role, role, rights) == "f|f|f"
        for other in {*ROLES} - {role}:
            refused = "DETAIL:  User does not have CONNECT privilege."
            assert server.ask(role, other, "SELECT 1") == refused


def test_a_new_volume_has_three_roles_that_cannot_read_each_others_tables(folder):
    server = Server(folder, "postgres")
    try:
        server.run_file("databases.sql")
        everyone_is_alone(server)
    finally:
        server.stop()


def test_a_volume_of_one_role_becomes_one_of_three_and_keeps_what_is_in_it(folder):
    server = Server(folder, "stockcast")
    try:
        for name in ROLES:
            server.ask("stockcast", "postgres", f"CREATE DATABASE {name}")
            made = "CREATE TYPE mood AS ENUM ('ok'); CREATE SEQUENCE free;"
            made += (
                "CREATE TABLE old (id serial PRIMARY KEY, mood mood); CREATE VIEW seen AS SELECT 1;"
            )
            server.ask("stockcast", name, f"{made} INSERT INTO old (mood) VALUES ('ok')")
        server.run_file("three_roles.sql")
        server.superuser = "postgres"
        server.run_file("three_roles.sql")  # once more changes nothing
        for role in ROLES:
            moved = "ALTER TABLE old ADD more int; INSERT INTO old (mood) VALUES ('ok');"
            moved += "ALTER TYPE mood ADD VALUE 'better'; DROP SEQUENCE free; DROP VIEW seen;"
            assert server.ask(role, role, f"{moved} SELECT count(*) FROM old") == "2"
        everyone_is_alone(server)
        names = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolcanlogin"
        assert server.ask("postgres", "postgres", names) == "airflow mlflow postgres stockcast"
        assert (
            server.ask("postgres", "postgres", "SELECT rolsuper FROM pg_roles WHERE rolname = user")
            == "t"
        )
    finally:
        server.stop()
