"""The environment variables that make Airflow and MLflow this deployment's own."""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path
from urllib.parse import quote, urlsplit

from pipeline.addresses import LOOPBACK, without_proxy
from pipeline.errors import SettingsError
from pipeline.parts import store_url, tracking_uri
from pipeline.private_home import private_home
from pipeline.scheduling.airflow_file import airflow_file, make_airflow_file, options_of_file
from pipeline.settings import PREFIX, Settings
from pipeline.shipped_files import python_path, shipped_folder

ADMIN_USER = "admin"
#: Mapped tasks that train or evaluate at the same time on one machine: while one starts its
#: processes, the other uses them.
COMPUTING_TASKS = 2

#: The Airflow pool that every `ingest` task takes a slot of, and its slots: the tasks that ask a
#: price source at the same time, in any universe, session or backfill. A task waits for ever for a
#: pool that does not exist, so `databases.migrate` and every scheduler that starts make it;
#: people change its slots in Airflow (Admin, Pools).
PRICE_POOL = "prices"
PRICE_POOL_SLOTS = 2
#: What makes an Airflow this deployment's own: its address, users, keys, databases and files. All
#: else that it sets is left as the environment has it.
OWN_OPTIONS = tuple(
    f"AIRFLOW__{name}"
    for name in (
        "CORE__DAGS_FOLDER",
        "CORE__EXECUTOR",
        "CORE__EXECUTION_API_SERVER_URL",
        "CORE__FERNET_KEY",
        "CORE__SIMPLE_AUTH_MANAGER_USERS",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
        "DATABASE__SQL_ALCHEMY_CONN",
        "API__HOST",
        "API__PORT",
        "API__BASE_URL",
        "API__SECRET_KEY",
        "API_AUTH__JWT_SECRET",
        "LOGGING__BASE_LOG_FOLDER",
    )
)

#: Airflow also takes what a command prints, or a backend of secrets keeps.
OWN_NAMES = tuple(f"{name}{suffix}" for name in OWN_OPTIONS for suffix in ("", "_CMD", "_SECRET"))


def require_no_other_airflow(home: Path) -> None:
    """Require that nothing else configures what makes an Airflow a deployment's own.

    Raises:
        SettingsError: the environment does, for another Airflow than that of this home; or this
            home's airflow.cfg.
    """
    _tuned_in_file(home)
    if os.environ.get("AIRFLOW_HOME") == str(airflow_home(home)):
        return
    if named := [name for name in OWN_NAMES if os.environ.get(name)]:
        raise SettingsError(
            f"{', '.join(named)}: set in the environment, while `stockcast up` starts an Airflow "
            "with an address, users, keys and databases of its own. Unset it (the port is "
            f"{PREFIX}AIRFLOW_PORT), or run the DAGs in the Airflow that it is for: see "
            "docs/how-to/use-your-own-airflow.md."
        )


def _tuned_in_file(home: Path) -> set[str]:
    """Return the variables of what people have set in the home's airflow.cfg.

    Raises:
        SettingsError: one of them makes an Airflow a deployment's own.
    """
    folder = airflow_home(home)
    options = options_of_file(folder)
    if own := [options[name] for name in OWN_NAMES if name in options]:
        raise SettingsError(
            f"{airflow_file(folder)} sets {', '.join(own)}, while `stockcast up` starts an Airflow "
            "with an address, users, keys and databases of its own. Remove it there (the port is "
            f"{PREFIX}AIRFLOW_PORT)."
        )
    return set(options)


def airflow_home(home: Path) -> Path:
    """Return AIRFLOW_HOME of a deployment."""
    return home / "airflow"


def airflow_environment(settings: Settings, airflow_database: str = "") -> dict[str, str]:
    """Return what every process of this deployment gets on top of its own environment.

    Starts the embedded PostgreSQL where the settings name no database; it stays while this process
    lives. Children get the databases by URL, so they neither start nor stop it.

    What only tunes Airflow is as the environment has it, or else the home's airflow.cfg.

    Args:
        airflow_database: URL of the database with Airflow's own tables; empty: the embedded
            PostgreSQL has it.
    """
    from pipeline.storage import embedded_postgres

    home, secret = settings.home, load_secrets(settings.home)
    make_airflow_file(airflow_home(home))
    in_file = _tuned_in_file(home)
    store, tracking = store_url(settings), tracking_uri(settings)
    database = airflow_database or embedded_postgres.url(home, "airflow")
    logs = home / "logs"
    # Most tasks wait for a database; `train` has a limit of its own.
    tasks_at_once = str(max(4, 2 * settings.workers))
    execution_api = f"{airflow_url(settings)}/execution/"
    environment = {
        **settings.to_environ(),
        "STOCKCAST_STORE_URL": store,
        "STOCKCAST_TRACKING_URI": tracking,
        "PYTHONPATH": python_path(),
        **without_proxy(),
        "AIRFLOW_HOME": str(airflow_home(home)),
        "AIRFLOW__CORE__DAGS_FOLDER": str(shipped_folder("dags")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": tasks_at_once,
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": tasks_at_once,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": execution_api,
        "AIRFLOW__CORE__FERNET_KEY": secret["fernet_key"],
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN_USER}:admin",  # user:role
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_file(home)),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(settings.airflow_port),
        "AIRFLOW__API__BASE_URL": airflow_url(settings),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secret["api_secret_key"],
        "AIRFLOW__API_AUTH__JWT_SECRET": secret["jwt_secret"],
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(logs / "tasks"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(logs / "dag_processor"),
        # The defaults hold a task's slot for up to 5 s after its end: chains of short tasks took 3
        # to 5 times as long.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # At 0.2 the scheduler took a tenth of a core while others trained.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        # What ran when a scheduler ended, by itself or by `stockcast down`, is taken up again
        # within a minute, not within ten.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
        # About a minute and a half, by 5 s each: an API server that is started again costs no task
        # a try. The defaults gave up after some 8 s.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "20",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "10",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false",
        "MLFLOW_TRACKING_URI": tracking,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves 2 GB; nothing here submits jobs
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    tuned = {name for name in environment if name.startswith("AIRFLOW__")}.difference(OWN_OPTIONS)
    environment |= {name: os.environ[name] for name in tuned if os.environ.get(name)}
    left = {name for name in tuned & in_file if not os.environ.get(name)}
    return {name: value for name, value in environment.items() if name not in left}


def settings_of_airflow() -> Settings:
    """Return the settings of a process of Airflow, any Airflow.

    Raises:
        SettingsError: the home is relative. Airflow's processes start in folders of their own, and
            each would have a store of its own.
    """
    settings, name = Settings(), f"{PREFIX}HOME"
    home = os.environ.get(name) or str(Settings.model_fields["home"].default)
    if not Path(home).expanduser().is_absolute():
        raise SettingsError(
            f"The home is {home!r}, which is {settings.home} for this process of Airflow and may "
            f"be another folder for the next. Set {name} to one absolute folder for all of them; "
            "where forecasts are stored already, to theirs."
        )
    return settings


def mlflow_server_environment(settings: Settings, tracking: str) -> dict[str, str]:
    """Return what MLflow's server alone gets: its database, and the key that it signs forms with.

    Args:
        tracking: URL of the database.
    """
    return {
        # Not on the command line, which everyone can read.
        "MLFLOW_BACKEND_STORE_URI": tracking,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": load_secrets(settings.home)["mlflow_secret_key"],
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN_USER,
    }


def serves_mlflow(settings: Settings) -> bool:
    """Return whether this deployment has an MLflow server of its own."""
    return not settings.tracking_uri.startswith("http")


def computing_tasks() -> int | None:
    """Return how many tasks may train or evaluate at the same time.

    None with workers on several machines, each of which has a limit of its own.
    """
    from airflow.configuration import conf

    return COMPUTING_TASKS if conf.get("core", "executor") == "LocalExecutor" else None


def run_page(dag_id: str, run_id: str) -> str:
    """Return the address at which Airflow shows a DAG run."""
    return airflow_page(f"/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}")


def airflow_page(path: str) -> str:
    """Return a page of Airflow, at the address that its configuration names."""
    from airflow.configuration import conf

    base: str = conf.get("api", "base_url", fallback="/")
    return base.rstrip("/") + path


def airflow_path(path: str) -> str:
    """Return the path of a page of Airflow, for links that its own pages show.

    Through a tunnel or a proxy people reach it at another address than its configuration names;
    the prefix of that address is part of the path.
    """
    return urlsplit(airflow_page(path)).path


def airflow_url(settings: Settings) -> str:
    """Return the address of this deployment's Airflow."""
    return f"http://{LOOPBACK}:{settings.airflow_port}"


def admin_password(home: Path) -> str:
    """Return the password of Airflow's user `ADMIN_USER`."""
    passwords: dict[str, str] = json.loads(passwords_file(home).read_text())
    return passwords[ADMIN_USER]


def mlflow_password(home: Path) -> str:
    """Return the password of MLflow's user `ADMIN_USER`."""
    passwords: dict[str, str] = json.loads(mlflow_passwords_file(home).read_text())
    return passwords[ADMIN_USER]


def passwords_file(home: Path) -> Path:
    """Return the file with the passwords of Airflow's users."""
    return airflow_home(home) / "passwords.json"


def mlflow_passwords_file(home: Path) -> Path:
    """Return the file with the password of MLflow's user."""
    return airflow_home(home) / "mlflow_passwords.json"


def load_secrets(home: Path) -> dict[str, str]:
    """Return this deployment's keys.

    The keys and the admin's passwords are made at the first call, in files that only their owner
    can read.
    """
    path, mlflow_path = (
        airflow_home(private_home(home)) / f"{name}.json" for name in ("secrets", "mlflow_secrets")
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_once(
        path,
        {
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "jwt_secret": secrets.token_urlsafe(48),
            "api_secret_key": secrets.token_urlsafe(48),
        },
    )
    _write_once(passwords_file(home), {ADMIN_USER: secrets.token_urlsafe(12)})
    _write_once(mlflow_path, {"mlflow_secret_key": secrets.token_urlsafe(48)})
    _write_once(mlflow_passwords_file(home), {ADMIN_USER: secrets.token_urlsafe(12)})
    keys: dict[str, str] = {**json.loads(path.read_text()), **json.loads(mlflow_path.read_text())}
    return keys


def _write_once(path: Path, values: dict[str, str]) -> None:
    """Write a file unless it exists.

    Two processes may start at once: whichever links first wins, and no one ever reads half a file.
    """
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(values, file)
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
