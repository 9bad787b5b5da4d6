"""A compose file of the project, started as a user starts it, with passwords of its own."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.scheduling import AirflowClient, run_moment
from pipeline.scheduling.airflow_client import ENDED
from pipeline.scheduling.environment import ADMIN_USER, passwords_file
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from tests.containers.engine import Engine
from tests.docker.container_files import example
from tests.servers import ROOT, free_port, has_read, wait_for

DAG = "daily_forecast_sample"
#: Generous: other work may want the processors too.
SECONDS_TO_START = 600
SECONDS_TO_RUN = 900
PROJECT = "stockcast-tested"
IMAGE = "stockcast-tested"


@dataclass
class Deployment:
    """The services of a compose file.

    Attributes:
        checkout: whose docker/ the file is in.
        file: its name.
        more: options behind `--file`, such as another file that changes the first.
    """

    engine: Engine
    checkout: Path
    file: str
    env_file: Path
    settings: Settings
    more: tuple[str, ...] = ()

    def compose(self, *words: str) -> str:
        """Return what `docker compose` prints."""
        files = ["--file", str(self.checkout / "docker" / self.file), *self.more]
        named = ["--env-file", str(self.env_file), "--project-name", PROJECT]
        return self.engine.docker("compose", *named, *files, *words)

    def up(self, *options: str) -> AirflowClient:
        """Start everything, as it has to be, and return a client when the sample's DAG is read."""
        seconds = str(SECONDS_TO_START)
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", seconds, *options)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('logs', '--tail', '20')}") from None
        airflow = AirflowClient(self.settings)
        wait_for(
            "the DAG", lambda: has_read(airflow, DAG) and not airflow.is_paused(DAG), SECONDS_TO_RUN
        )
        return airflow

    def run(self, airflow: AirflowClient, session: dt.date) -> str:
        """Run a session of the sample to its end and return the state of its DAG run."""
        return self.ended(airflow, self.begin(airflow, session))

    def begin(self, airflow: AirflowClient, session: dt.date) -> str:
        """Trigger a session of the sample and return the DAG run's id."""
        return airflow.run_again_or_first(DAG, run_moment(Calendar("XNYS"), session), {}, {})

    def ended(self, airflow: AirflowClient, run_id: str) -> str:
        """Return the state that a DAG run ends in."""
        return wait_for(
            f"the end of {run_id}",
            lambda: state if (state := airflow.state_of(DAG, run_id)) in ENDED else "",
            SECONDS_TO_RUN,
            pause=1,
        )

    def forecasts(self, session: dt.date) -> list[str]:
        """Return all that is published for a session, as lines of CSV."""
        query = f"SELECT * FROM forecasts WHERE cutoff = '{session}' ORDER BY ticker, horizon"
        return self.query("stockcast", query)

    def query(self, database: str, query: str) -> list[str]:
        """Return the rows that PostgreSQL answers with, as lines of CSV."""
        login = ["psql", "--username", "postgres", "--dbname", database, "--csv", "--tuples-only"]
        return self.compose("exec", "-T", "postgres", *login, "--command", query).splitlines()

    def states(self) -> dict[str, str]:
        """Return the state and health of each container that is there, by service."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        found = [json.loads(line) for line in lines]
        return {each["Service"]: f"{each['State']} {each['Health']}".strip() for each in found}

    def down(self) -> None:
        """End everything, and remove what it has written."""
        self.compose("down", "--volumes", "--timeout", "20")


@contextlib.contextmanager
def deployment(
    engine: Engine, file: str, checkout: Path = ROOT, *more: str, **variables: str
) -> Iterator[Deployment]:
    """A compose file's services, which are not started yet, and are removed with this."""
    folder = engine.work / "deployment"
    folder.mkdir(exist_ok=True)
    ports = {"airflow_port": free_port(), "mlflow_port": free_port()}
    text = (checkout / "docker" / ".env.example").read_text(encoding="utf-8")
    chosen = {
        **{name: _secret_for(name) for name, value, mark in example(text) if not mark},
        **{f"STOCKCAST_{name.upper()}": str(port) for name, port in ports.items()},
        "IMAGE": IMAGE,
        **variables,
    }
    env_file = folder / "env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in chosen.items()))
    settings = Settings(home=folder, **ports)
    file_of_passwords = passwords_file(folder)
    file_of_passwords.parent.mkdir(exist_ok=True)
    file_of_passwords.write_text(json.dumps({ADMIN_USER: chosen["AIRFLOW_ADMIN_PASSWORD"]}))
    made = Deployment(engine, checkout, file, env_file, settings, more)
    made.down()  # what a run before has left that was killed
    try:
        yield made
    finally:
        made.down()


def checkout_before(engine: Engine) -> Path:
    """Return the files of the version before this one, which its last commit has."""
    changed = _git("log", "-1", "--format=%H", "-G", '^    version="', "--", "setup.py").strip()
    files = engine.work / "before"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir()
    archive = files.with_suffix(".tar")
    _git("archive", "--output", str(archive), f"{changed}^")
    shutil.unpack_archive(archive, files, filter="data")
    archive.unlink()
    return files


def version_of(checkout: Path) -> str:
    """Return the version that a checkout's setup.py has."""
    [version] = re.findall(r'version="([^"]+)"', (checkout / "setup.py").read_text())
    return version


def _git(*words: str) -> str:
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _secret_for(name: str) -> str:
    if "FERNET" in name:
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_hex(24)
