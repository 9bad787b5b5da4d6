"""The settings of a deployment, and the one place that reads environment variables.

A setting is a field of `Settings`. Its variable is `STOCKCAST_` plus the field's name in capitals,
its flag on the command line `--` plus the name with dashes. A flag wins over a variable. Where
both are empty, most settings of `What to run` are the universe's own.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.addresses import with_driver
from pipeline.connections import key_variables
from pipeline.errors import SettingsError
from pipeline.universes import SOURCES, spelt_ticker

PREFIX = "STOCKCAST_"
#: How often something is trained.
Cadence = Literal["daily", "weekly", "monthly", "quarterly"]

#: What a value should have been, by pydantic's type of the fault.
EXPECTED_VALUES = {
    "int_parsing": "a whole number",
    "float_parsing": "a number",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "bool_parsing": "true or false",
    "string_pattern_mismatch": "https://..., http://... or mailto:...",
}

#: The settings below their headings, as help texts and the documentation show them.
SETTING_GROUPS = {
    "What to run": (
        "universe",
        "source",
        "data",
        "calendar",
        "tickers",
        "target",
        "recipe",
        "horizon",
        "publish",
    ),
    "Where things are": (
        "home",
        "store_url",
        "tracking_uri",
        "artifacts",
        "export_to",
        "universes",
        "keep_days",
    ),
    "Training and decisions": (
        "workers",
        "device",
        "shard_size",
        "training_limit",
        "seed",
        "pool",
        "test_floor",
        "max_quarantined",
        "data_docs",
        "baselines",
        "paths",
        "tensorboard",
    ),
    "Prices": ("refetch_sessions", "fetch_attempts", "fetch_timeout", "fetch_rate"),
    "Airflow and MLflow": (
        "owner",
        "owner_link",
        "notify_email",
        "notify_webhook",
        "notify_on",
        "airflow_port",
        "mlflow_port",
        "mlflow_public_url",
    ),
}


class Settings(BaseSettings):
    """The choices of a deployment, read once when a process begins.

    Values come from the arguments, then from the environment, then from the defaults.

    Raises:
        SettingsError: a value that does not fit, or a `STOCKCAST_` variable of no setting.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid"
    )

    universe: str = Field(
        "",
        description="Universe to run. Empty: `sample`, else the file's first, or one named like "
        "--source.",
    )
    source: str = Field(
        "",
        description="Source of prices: " + ", ".join(SOURCES) + ". Empty: the universe's.",
    )
    data: str = Field(
        "",
        description="Folder, file or URL of price files, for the csv source; of other sources, see "
        "`Where prices come from`.",
    )
    calendar: str = Field(
        "", description="Calendar of exchange_calendars, such as XBOM. Empty: the universe's."
    )
    tickers: str = Field("", description="Tickers, comma-separated. Empty: the universe's.")
    target: str = Field("", description="Column to forecast. Empty: the universe's.")
    recipe: str = Field(
        "", description="Recipe of the networks (`stockcast recipes`). Empty: the universe's."
    )
    horizon: int | None = Field(
        None, ge=1, description="Sessions to forecast ahead. Empty: the universe's."
    )

    publish: bool = Field(
        False,
        description="Publish also what differs from the universe's declaration (other tickers, "
        "horizon, source, data, calendar or --known-at), which is a rehearsal otherwise.",
    )

    home: Path = Field(
        Path("var"),
        description="Folder of everything that is written: databases, artifacts, logs, passwords.",
    )
    store_url: str = Field(
        "",
        description="Database of prices and forecasts. Empty: the embedded PostgreSQL in the home.",
    )
    tracking_uri: str = Field(
        "", description="MLflow tracking URI. Empty: the embedded PostgreSQL in the home."
    )
    artifacts: str = Field(
        "",
        description="Folder of datasets, models and reports, an fsspec URL. Empty: HOME/artifacts.",
    )
    export_to: str = Field(
        "",
        description="Folder that each day writes its results to as Parquet files, for others to "
        "read, an fsspec URL. Empty: none.",
    )
    universes: str = Field(
        "", description="File of universes. Empty: the shipped `pipeline/universes.toml`."
    )
    keep_days: int = Field(
        30,
        ge=1,
        description="Days for which everything is kept. `stockcast prune` removes what nobody has "
        "used for longer, what can be made again and explains no publication.",
    )

    workers: int = Field(
        2, ge=1, description="Processes that train at the same time, one thread each."
    )
    device: Literal["cpu", "gpu"] = Field(
        "cpu",
        description="What networks are trained on: cpu, or gpu (with one process a task). A "
        "network of the one is never taken for one of the other. Forecasts are always made on "
        "the CPU.",
    )
    shard_size: int = Field(
        0,
        ge=0,
        description="Tickers per Airflow task. 0: 1 up to 12 tickers, above that as many as give "
        "2 tasks per worker.",
    )
    training_limit: float = Field(
        3600.0,
        gt=0,
        description="Seconds that the training of one network may take. Beyond, its process is "
        "ended, and its ticker held back.",
    )
    seed: int = Field(7, description="Seed of every random number.")
    pool: Cadence = Field(
        "quarterly",
        description="How often the network that all stocks share is trained again: daily, weekly, "
        "monthly or quarterly.",
    )
    test_floor: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="Limit above which a network is not published: its pinball loss on the test "
        "sessions may be at most (1 + this) times that of the EWMA random walk, its RMSE at most "
        "(1 + this) times that of the naive forecast.",
    )
    max_quarantined: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of quarantined tickers above which a run fails.",
    )
    data_docs: Literal["training", "always"] = Field(
        "training",
        description="Sessions that Great Expectations itself judges, and writes its Data Docs "
        "about: those that train (and a universe's first here), or always. On others the same "
        "rules are judged without it, with the same result in a fraction of the time.",
    )
    baselines: str = Field(
        "",
        description="Statistical baselines, comma-separated, such as drift,garch. Empty: none in a "
        "day, all in a backtest. A day measures them on every 21st test session.",
    )
    paths: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Joint paths of all stocks that the day's step `scenarios` draws after "
        "publishing. 0: the day draws none; the commands `scenarios` and `risk` draw 1000.",
    )
    tensorboard: str = Field(
        "", description="Folder of TensorBoard event files, one set per network. Empty: none."
    )

    refetch_sessions: int = Field(
        5, ge=0, description="Newest sessions fetched again in every run, for corrected prices."
    )
    fetch_attempts: int = Field(
        4, ge=1, description="Attempts per request before a price source counts as unavailable."
    )
    fetch_timeout: float = Field(
        20.0, gt=0, description="Seconds to wait for an answer of a price source."
    )
    fetch_rate: float = Field(
        10.0,
        gt=0,
        description="Most tickers per second that one task asks a service for. The Airflow pool "
        "`prices` limits how many tasks ask at once.",
    )

    owner: str = Field("stockcast", description="Owner of the DAGs, as Airflow shows it.")
    owner_link: str = Field(
        "",
        pattern=r"^(https?://|mailto:|$)",
        description="Link of the owner's name in Airflow: https://... or mailto:... Empty: the "
        "Forecasts page.",
    )
    notify_email: str = Field(
        "",
        description="Addresses that get an e-mail, comma-separated, over the Airflow connection "
        "`smtp_default`. Empty: none.",
    )
    notify_webhook: str = Field(
        "",
        description="Airflow connection of type HTTP that gets the messages as JSON. Empty: none.",
    )
    notify_on: Literal["always", "failure"] = Field(
        "always",
        description="When a message is sent: always (each day's result, each failure) or failure.",
    )
    airflow_port: int = Field(8080, ge=1, le=65535, description="Airflow's port on loopback.")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="MLflow's port on loopback.")
    mlflow_public_url: str = Field(
        "",
        pattern=r"^(https?://|$)",
        description="Address of MLflow in links, where people reach it by another one than this "
        "program: https://... Empty: the MLflow server's own.",
    )

    def __init__(self, **values: Any) -> None:
        own = {name for name in os.environ if name.startswith(PREFIX)}
        unknown = own - {*variables(), *key_variables(), *_service_links(own)}
        if unknown:
            raise SettingsError(
                f"{min(unknown)} is no setting. The settings are: {', '.join(sorted(variables()))}."
            )
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_message(error)) from None

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("store_url", "tracking_uri")
    @classmethod
    def _driven(cls, url: str) -> str:
        return with_driver(url)

    @property
    def ticker_list(self) -> list[str]:
        """Tickers of `tickers`."""
        return [spelt_ticker(text) for text in _parts(self.tickers)]

    @property
    def baseline_list(self) -> list[str]:
        """Baselines of `baselines`, each once."""
        return list(dict.fromkeys(_parts(self.baselines)))

    def replaced(self, **changes: Any) -> Settings:
        """Return these settings with changes, checked like new ones."""
        return Settings(**{**self.model_dump(), **changes})

    def to_environ(self) -> dict[str, str]:
        """Return the variables that make a child process build the same settings."""
        return {
            PREFIX + name.upper(): "" if value is None else str(value)
            for name, value in self.model_dump().items()
        }


def variables() -> list[str]:
    """Return the names of all environment variables that are read."""
    return [PREFIX + name.upper() for name in Settings.model_fields]


def _service_links(names: set[str]) -> list[str]:
    """Return the variables that Kubernetes gives to pods about its services.

    A service `stockcast-api-server` is in each pod of its namespace as
    STOCKCAST_API_SERVER_SERVICE_HOST, ..._SERVICE_PORT, ..._PORT and ..._PORT_8080_TCP_ADDR.
    """
    host = "_SERVICE_HOST"
    services = [re.escape(name.removesuffix(host)) for name in names if name.endswith(host)]
    links = rf"({'|'.join(services)})_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_\w+)?)"
    return [name for name in names if services and re.fullmatch(links, name)]


def flag(name: str) -> str:
    """Return a setting's flag on the command line."""
    return "--" + name.replace("_", "-")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _message(error: ValidationError) -> str:
    """Return the first fault of settings as one line."""
    fault = error.errors()[0]
    name = str(fault["loc"][0])
    if name not in Settings.model_fields:
        return f"{name} is no setting. The settings are: {', '.join(Settings.model_fields)}."
    return f"{name} is {fault_of(error)} ({flag(name)} or {PREFIX}{name.upper()})."


def fault_of(error: ValidationError) -> str:
    """Return the first faulty value and what was expected, such as `0; expected: at least 1`."""
    fault = error.errors()[0]
    expected = EXPECTED_VALUES.get(fault["type"], fault["msg"]).format(**fault.get("ctx", {}))
    return f"{fault['input']}; expected: {expected}"
