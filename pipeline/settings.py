"""Every setting of a deployment, and the one place that reads environment variables.

A setting is a field of `Settings`; its variable is `STOCKCAST_` plus the field's name in capitals. A flag of the command line
of the same name wins over the variable, and a universe's own entry is the default of both where it has one.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SettingsError

PREFIX = "STOCKCAST_"
#: How often something is trained.
CADENCES = ("daily", "weekly", "monthly", "quarterly")
#: What a message may be sent for.
NOTIFIED = ("always", "failure")
#: The settings that say what to run; the others say how.
CHOICES = ("universe", "source", "data", "tickers", "target", "recipe", "horizon", "home")


def _setting(default: object, told: str, kind: type | None = None) -> object:
    return dataclasses.field(default=default, metadata={"help": told, "kind": kind or type(default)})


@dataclass(frozen=True)
class Settings:
    """What a deployment may choose. Nothing here is read again after the process has begun."""

    home: Path = _setting(Path("var"), "Folder of everything that is written: databases, artifacts, logs, passwords.")
    store_url: str = _setting("", "Database of prices and forecasts; empty: the embedded PostgreSQL under home.")
    tracking_uri: str = _setting("", "MLflow tracking URI; empty: the embedded PostgreSQL under home.")
    artifacts: str = _setting("", "Datasets, models and reports: an fsspec URL; empty: home/artifacts.")
    universes: str = _setting("", "Your own universes file; empty: the shipped `pipeline/universes.toml`.")

    universe: str = _setting(
        "",
        "Which universe to run; empty: sample, or where a source is named, that source with the tickers named (csv: all in the folder).",
    )
    source: str = _setting("", "sample, yahoo or csv; empty: the universe's own.")
    data: str = _setting("", "Folder of price files, for the csv source.")
    tickers: str = _setting("", "Comma-separated; empty: the universe's own.")
    target: str = _setting("", "Column to forecast; empty: the universe's own.")
    recipe: str = _setting("", "Named way to build and train a model; empty: the universe's own.")
    horizon: int | None = _setting(None, "Sessions ahead; empty: the universe's own.", int)

    workers: int = _setting(2, "Processes that train at the same time, one thread each.")
    shard_size: int = _setting(
        0, "Tickers that one Airflow task handles; 0: one each up to 12 tickers, then as many as 2 tasks a worker need."
    )
    seed: int = _setting(7, "Seed of every random number.")
    pool: str = _setting(
        "quarterly",
        "How often the stocks train a network together, from which their own go on: daily, weekly, monthly or quarterly.",
    )
    test_floor: float = _setting(
        0.05,
        "A network is published when its pinball loss on test is at most (1 + this) times the EWMA random walk's, its RMSE naive's.",
    )
    max_quarantined: float = _setting(0.5, "A run fails when more than this share of its tickers is quarantined.")
    baselines: str = _setting(
        "",
        "Statistical baselines, comma-separated (such as drift,garch): in a day on every 21st test session, empty: none; in a backtest, empty: all.",
    )
    refetch_sessions: int = _setting(5, "Sessions fetched again at every run, to catch corrected bars.")
    fetch_attempts: int = _setting(4, "Tries per request to a price source before it counts as unavailable.")
    fetch_timeout: float = _setting(20.0, "Seconds before a price source's answer is given up on.")
    fetch_rate: float = _setting(
        10.0, "Tickers that one task asks Yahoo for in a second at most; the Airflow pool `prices` says how many tasks do."
    )

    tensorboard: str = _setting(
        "", "Folder for TensorBoard's event files of every network that is trained; empty: none are written."
    )

    owner: str = _setting("stockcast", "Who owns the DAGs, as Airflow shows it.")
    owner_link: str = _setting("", "Where the owner's name leads in Airflow: https://... or mailto:...; empty: the Forecasts page.")
    notify_email: str = _setting(
        "", "Who gets an e-mail, comma-separated, over the Airflow connection `smtp_default`; empty: nobody."
    )
    notify_webhook: str = _setting("", "Airflow connection of type HTTP that gets the same as JSON; empty: none.")
    notify_on: str = _setting("always", "What is worth a message: always (how each day came out, and what failed) or failure.")

    airflow_port: int = _setting(8080, "Loopback port of Airflow under make up.")
    mlflow_port: int = _setting(5000, "Loopback port of MLflow under make up.")

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", Path(self.home).expanduser().absolute())
        _check(self.workers >= 1, "workers", self.workers, "at least 1")
        _check(self.shard_size >= 0, "shard_size", self.shard_size, "0 (automatic) or more")
        _check(self.horizon is None or self.horizon >= 1, "horizon", self.horizon, "at least 1 session ahead")
        _check(self.pool in CADENCES, "pool", self.pool, " or ".join(CADENCES))
        _check(0 <= self.test_floor < 1, "test_floor", self.test_floor, "a fraction such as 0.05")
        _check(0 <= self.max_quarantined <= 1, "max_quarantined", self.max_quarantined, "a fraction such as 0.5")
        _check(self.refetch_sessions >= 0, "refetch_sessions", self.refetch_sessions, "0 or more")
        _check(self.fetch_attempts >= 1, "fetch_attempts", self.fetch_attempts, "at least 1")
        _check(self.fetch_timeout > 0, "fetch_timeout", self.fetch_timeout, "a number of seconds")
        _check(self.fetch_rate > 0, "fetch_rate", self.fetch_rate, "a number of tickers a second")
        linked = self.owner_link.startswith(("https://", "http://", "mailto:"))
        _check(linked or not self.owner_link, "owner_link", self.owner_link, "https://... or mailto:...")
        _check(self.notify_on in NOTIFIED, "notify_on", self.notify_on, " or ".join(NOTIFIED))
        for name in ("airflow_port", "mlflow_port"):
            _check(1 <= getattr(self, name) <= 65535, name, getattr(self, name), "a port from 1 to 65535")

    @classmethod
    def from_env(cls, environ: dict[str, str] | None = None, **flags: object) -> Settings:
        """Settings from `environ` (the process's own by default); `flags` that are not None win.

        Raises `SettingsError` for a value that does not fit and for a `STOCKCAST_` variable that no setting has.
        """
        environ = dict(os.environ) if environ is None else environ
        fields = {field.name: field for field in dataclasses.fields(cls)}
        values: dict[str, object] = {}
        for variable, text in environ.items():
            if not variable.startswith(PREFIX):
                continue
            name = variable.removeprefix(PREFIX).lower()
            if name not in fields:
                raise SettingsError(f"{variable} is no setting. The settings are: {', '.join(sorted(variables()))}.")
            if text != "":
                values[name] = _convert(variable, text, fields[name].metadata["kind"])
        values.update({name: value for name, value in flags.items() if value is not None})
        return cls(**values)

    @property
    def ticker_list(self) -> list[str]:
        """`tickers`, apart."""
        return [ticker.strip() for ticker in self.tickers.split(",") if ticker.strip()]

    @property
    def baseline_list(self) -> list[str]:
        """`baselines`, apart, each once."""
        return list(dict.fromkeys(name.strip() for name in self.baselines.split(",") if name.strip()))

    def to_environ(self) -> dict[str, str]:
        """The variables that make `from_env` build these settings again, for child processes."""
        return {PREFIX + name.upper(): "" if value is None else str(value) for name, value in dataclasses.asdict(self).items()}


def variables() -> list[str]:
    """The names of all environment variables that are read."""
    return [PREFIX + field.name.upper() for field in dataclasses.fields(Settings)]


def _convert(variable: str, text: str, kind: type) -> object:
    if kind not in (int, float):
        return text
    try:
        return kind(text)
    except ValueError:
        word = "a whole number" if kind is int else "a number"
        raise SettingsError(f"{variable} is {text!r}; {word} is expected.") from None


def _check(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise SettingsError(
            f"{name} is {value}; {expected} is expected (flag --{name.replace('_', '-')} or {PREFIX}{name.upper()})."
        )
