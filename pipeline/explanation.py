"""What made a published forecast, from the store and the artifacts alone; and making it again from the prices known then, to the last bit."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline import datasets, networks, records, rehearsal, reporting, steps
from pipeline.assembly import Parts, code_version
from pipeline.errors import LookAtTheData, NothingStored, SettingsError
from pipeline.models import find_recipe
from pipeline.records import libraries
from pipeline.rehearsal import Rehearsal
from pipeline.tables import (
    ACTION_REVISIONS,
    CALIBRATIONS,
    CHECKS,
    DATASETS,
    DRIFT,
    FORECASTS,
    MODELS,
    PRICE_REVISIONS,
    PROMOTIONS,
    RUN_KEY,
    RUNS,
    Table,
)
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.run import Run

STEP = "explain"
#: Sessions or tickers that an error names.
NAMED = 12


@dataclass(frozen=True)
class Made:
    """A network of a run: its role and stock, and its MODELS row where it is known."""

    role: str
    stock: str
    model_id: str
    row: Mapping[str, object]
    members: tuple[str, ...]
    base: str


@dataclass(frozen=True, eq=False)
class Explanation:
    """All that the store knows of a published forecast.

    Attributes:
        key: its RUN_KEY columns.
        forecasts, data, calibrations, drift: its rows of FORECASTS, DATASETS, CALIBRATIONS and DRIFT.
        promotion, asked: its rows of PROMOTIONS and RUNS; `asked` is None for a forecast of a version that did not keep it.
        made: the networks that were compared, the pooled ones that they began with among them; published first.
    """

    key: dict[str, object]
    forecasts: pd.DataFrame
    data: pd.DataFrame
    calibrations: pd.DataFrame
    drift: pd.DataFrame
    promotion: Mapping[str, object]
    asked: Mapping[str, object] | None
    made: tuple[Made, ...]


@dataclass(frozen=True)
class Check:
    """One thing that was made again. `differs`: how, with the value then and now; "" where it is the same."""

    what: str
    differs: str


@dataclass(frozen=True)
class Comparison:
    """A forecast made again: what was compared, and where something differs, the likely reasons."""

    checks: tuple[Check, ...]
    reasons: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not any(check.differs for check in self.checks)


def find(parts: Parts, session: dt.date, ticker: str, **series: str) -> Explanation:
    """The forecast of a ticker made after a session.

    Args:
        series: universe, recipe, target, where the ticker has forecasts in several.

    Raises:
        NothingStored: nothing was published; the message says for which sessions there is something.
        SettingsError: more than one forecast was; the message says which.
    """
    asked = {name: value for name, value in series.items() if value}
    forecasts = parts.store.load(FORECASTS, ticker=ticker, cutoff=session, **asked)
    if forecasts.empty:
        raise NothingStored(_nothing(parts, session, ticker, asked))
    names = [name for name in RUN_KEY if name not in ("ticker", "cutoff")]
    found = forecasts[names].drop_duplicates()
    if len(found) > 1:
        told = "; ".join(", ".join(f"--{name} {row[name]}" for name in names) for row in found.to_dict("records"))
        raise SettingsError(f"{ticker} {session}: {len(found)} forecasts were published. Choose one: {told}.")
    key = {**found.iloc[0].to_dict(), "ticker": ticker, "cutoff": session}
    promotion = _first(parts, PROMOTIONS, key)
    if promotion is None:
        raise LookAtTheData(f"{ticker} {session}: its forecast has no decision in the store. Repeat `promote` and `publish`.")
    rows = _first(parts, RUNS, key)
    return Explanation(
        key,
        forecasts,
        parts.store.load(DATASETS, **key),
        parts.store.load(CALIBRATIONS, **key),
        parts.store.load(DRIFT, **key),
        promotion,
        rows,
        _made(parts, key, promotion, rows),
    )


def _nothing(parts: Parts, session: dt.date, ticker: str, asked: Mapping[str, str]) -> str:
    every = parts.store.load(FORECASTS, **asked)
    within = f" ({', '.join(f'{name} {value}' for name, value in asked.items())})" if asked else ""
    sessions = sorted({str(cutoff.date()) for cutoff in every[every["ticker"] == ticker]["cutoff"]}, reverse=True)
    if sessions:
        return f"{ticker}: no forecast made after {session} is stored{within}. There are some made after {_some(sessions)}."
    tickers = sorted(set(every["ticker"]))
    there = f"there are some of {_some(tickers)}" if tickers else "nor any other; `stockcast run` makes them"
    if asked and not tickers:
        others = parts.store.load(FORECASTS)[list(asked)].drop_duplicates().to_dict("records")
        if others:
            there = "there are some of " + _some([", ".join(f"{name} {value}" for name, value in row.items()) for row in others])
    return f"{ticker} {session}: no forecast of {ticker} is stored{within}; {there}."


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def _first(parts: Parts, table: Table, key: Mapping[str, object]) -> dict | None:
    rows = parts.store.load(table, **key)
    return None if rows.empty else rows.iloc[0].to_dict()


def run_then(parts: Parts, asked: Mapping[str, object]) -> tuple[Parts, Run]:
    """Parts with the settings of a RUNS row (their store and artifacts are those of `parts`), and the run that it was."""
    settings = dataclasses.replace(parts.settings, **json.loads(str(asked["settings"])))
    then = Parts(settings, parts.progress)
    then.store, then.artifacts = parts.store, parts.artifacts
    universe = Universe.from_json(json.loads(str(asked["request"])))
    known_at = pd.Timestamp(asked["known_at"]).to_pydatetime().replace(tzinfo=dt.UTC)
    return then, steps.run_of(then, universe, pd.Timestamp(asked["cutoff"]).date(), known_at, replay=True)


def _made(parts: Parts, key: Mapping[str, object], promotion: Mapping[str, object], asked: Mapping | None) -> tuple[Made, ...]:
    """The networks as the recipe of today finds them; the published one by its stored name, whatever has become of the recipe."""
    found: dict[str, Made] = {}
    if asked is not None:
        then, run = run_then(parts, asked)
        recipe = find_recipe(run.universe.recipe)
        ticker = str(key["ticker"])
        own = networks.wanted(then, run, recipe, {ticker: datasets.by_role(then, run, ticker)})[ticker]
        bases = [pool for pool in networks.pools(then, run, recipe) if pool.model_id in {network.base for network in own}]
        for network in (*own, *bases):
            row = _model(parts, network.model_id)
            found.setdefault(
                network.model_id,
                Made(network.role, network.stock, network.model_id, row, tuple(sorted(network.pool)), network.base),
            )
    row = _model(parts, str(promotion["model_id"]))
    if row:
        published = Made(str(promotion["champion"]), str(row["ticker"]), str(promotion["model_id"]), row, (), "")
        found.setdefault(published.model_id, published)
    return tuple(sorted(found.values(), key=lambda made: made.model_id != promotion["model_id"]))


def _model(parts: Parts, model_id: str) -> Mapping[str, object]:
    rows = parts.store.load(MODELS, model_id=model_id)
    return {} if rows.empty else rows.iloc[0].to_dict()


# --- for people ----------------------------------------------------------------------------------------------------------------


def text(parts: Parts, the: Explanation, horizon: int | None = None) -> str:
    """The explanation for a terminal; `horizon`: of this one's forecast and calibration alone."""
    sections = {
        "Forecasts, in dollars as traded at the cutoff": _table(_of_horizon(the.forecasts, horizon), FORECASTS),
        "Decision": list(_decision(the)),
        "Networks": [line for made in the.made for line in _network(parts, the, made)] or ["none: too little history"],
        "Calibration: the published forecast, replayed over the sessions before": _table(
            _of_horizon(the.calibrations, horizon), CALIBRATIONS
        ),
        "Data": [*_data(parts, the)],
        "Run": list(_asked(the)),
        "Drift": _table(the.drift, DRIFT) if len(the.drift) else ["not judged yet: `stockcast watch` judges"],
    }
    key = the.key
    title = f"{key['ticker']} {key['target']}, universe {key['universe']}, recipe {key['recipe']}: forecast after {key['cutoff']}"
    return "\n".join([title, *(f"\n{name}\n" + "\n".join(f"  {line}" for line in lines) for name, lines in sections.items())])


def _of_horizon(rows: pd.DataFrame, horizon: int | None) -> pd.DataFrame:
    if horizon is None:
        return rows
    chosen = rows[rows["horizon"] == horizon]
    if chosen.empty:
        raise SettingsError(f"horizon is {horizon}; this forecast reaches {', '.join(map(str, rows['horizon']))} sessions ahead.")
    return chosen


def _table(rows: pd.DataFrame, table: Table) -> list[str]:
    told = [name for name in table.columns if name not in (*RUN_KEY, "champion", "model_id")]
    return reporting.rows(rows[told], "table").splitlines()


def _decision(the: Explanation) -> Iterator[str]:
    row = the.promotion
    yield f"published: {records.promoted(row)}, on {row['test_sessions']} test sessions"
    yield from (f"- {reason}" for reason in str(row["reasons"]).split("; "))


def _network(parts: Parts, the: Explanation, made: Made) -> Iterator[str]:
    published = " (published)" if made.model_id == the.promotion["model_id"] else ""
    yield f"{made.role} of {made.stock}: model {made.model_id}{published}"
    if not made.row:
        yield "    not in the store: trained by nobody yet, or its recipe has changed since"
        return
    row, file = made.row, networks.model_file(made.model_id)
    yield f"    training cutoff {row['training_cutoff']:%Y-%m-%d}, epoch {row['best_epoch']} of {row['epochs']}, code {row['code_version']}"
    yield f"    dataset {row['dataset']}, configuration {row['config_hash']} of {row['recipe']}"
    if made.base:
        yield f"    went on from the pooled network {made.base}"
    if len(made.members) > 1:
        yield f"    trained together by {_some(list(made.members))}"
    yield f"    {parts.artifacts.url(file)}" + ("" if parts.artifacts.exists(file) else ": NOT THERE")


def _data(parts: Parts, the: Explanation) -> Iterator[str]:
    if the.asked is not None:
        yield f"source {the.asked['source_id']}; the newest revision of its tickers' prices and actions became known at {the.asked['known_at']} UTC"
    for row in the.data.to_dict("records"):
        name = f"{datasets.FOLDER}/{row['dataset']}{datasets.SUFFIX}"
        told = "" if parts.artifacts.exists(name) else ": NOT THERE"
        yield (
            f"{row['role']}: {row['sessions']} sessions up to {row['dataset_cutoff']:%Y-%m-%d}, known at {row['known_at']} UTC"
            + (f" ({row['reason']})" if row["reason"] else "")
        )
        yield f"    {parts.artifacts.url(name)}{told}"


def _asked(the: Explanation) -> Iterator[str]:
    if the.asked is None:
        yield "not kept by the version that published it; repeating `stockcast run` for this session keeps it"
        return
    request = json.loads(str(the.asked["request"]))
    yield f"tickers {', '.join(request['tickers'])}; horizon {request['horizon']}, retrain {request['retrain']}, history from {request['start']}"
    for name in ("settings", "libraries"):
        values = json.loads(str(the.asked[name]))
        yield f"{name}: " + ", ".join(f"{key} {value}" for key, value in values.items())
    yield f"code {the.asked['code_version']}"


# --- again ---------------------------------------------------------------------------------------------------------------------


def again(parts: Parts, the: Explanation) -> Comparison:
    """Makes the forecast again, with all the tickers of its run, from the prices known then, in a home of its own; and compares.

    Raises:
        NothingStored: the version that published it did not keep what was asked for.
    """
    if the.asked is None:
        raise NothingStored(
            f"{the.key['ticker']} {the.key['cutoff']}: the version that published it did not keep its settings and tickers, so it cannot be made "
            "again. Repeat `stockcast run` for this session first."
        )
    then, run = run_then(parts, the.asked)
    with tempfile.TemporaryDirectory() as folder, Rehearsal(Path(folder), then.settings) as copy:
        parts.progress(STEP, "", f"making {', '.join(run.universe.tickers)} again, as known at {run.known_at.isoformat()}")
        _copy_revisions(parts, copy, run)
        _copy_failures(parts, copy, run)
        rehearsal.day(copy, run)
        checks = tuple(_compared(parts, copy, the, run))
    return Comparison(checks, tuple(_reasons(the)) if any(check.differs for check in checks) else ())


def _copy_revisions(parts: Parts, copy: Parts, run: Run) -> None:
    """All that was known at the run's moment of its tickers up to its session."""
    known_at = pd.Timestamp(run.known_at).tz_localize(None)
    for ticker in run.universe.tickers:
        for table in (PRICE_REVISIONS, ACTION_REVISIONS):
            rows = parts.store.load(table, source_id=run.universe.source_id, ticker=ticker)
            rows = rows[(rows["known_at"] <= known_at) & (rows["session"] <= pd.Timestamp(run.session))]
            copy.store.save(table, rows)


def _copy_failures(parts: Parts, copy: Parts, run: Run) -> None:
    """Which tickers could not be fetched: they were not judged, and had no part in the run but for what they had given to the pool."""
    checks = parts.rows(CHECKS, run)
    copy.store.save(CHECKS, checks[checks["reasons"].str.startswith("ingest: ")])


def _compared(parts: Parts, copy: Parts, the: Explanation, run: Run) -> Iterator[Check]:
    now = copy.store.load(DATASETS, **the.key).set_index("role")
    for row in the.data.to_dict("records"):
        there = row["role"] in now.index
        told = f"{row['dataset']} then, {now.loc[row['role'], 'dataset'] if there else 'none'} now"
        yield Check(f"dataset {row['role']}", "" if there and now.loc[row["role"], "dataset"] == row["dataset"] else told)
    for made in the.made:
        yield Check(f"network file {made.role} {made.model_id}", _files(parts, copy, networks.model_file(made.model_id)))
    for table in (PROMOTIONS, CALIBRATIONS, FORECASTS):
        ours, theirs = (each.store.load(table, **the.key) for each in (parts, copy))
        yield Check(table.name, _cells(table, ours, theirs))


def _files(parts: Parts, copy: Parts, name: str) -> str:
    digests = [
        hashlib.sha256(each.artifacts.read(name)).hexdigest()[:12] if each.artifacts.exists(name) else "none"
        for each in (parts, copy)
    ]
    return f"{digests[0]} then, {digests[1]} now" if digests[0] != digests[1] or "none" in digests else ""


def _cells(table: Table, then: pd.DataFrame, now: pd.DataFrame) -> str:
    if len(then) != len(now):
        return f"{len(then)} rows then, {len(now)} now"
    unequal = rehearsal.unequal(then, now)
    if not unequal.any():
        return ""
    row, column = next(zip(*unequal.nonzero(), strict=True))
    where = f" of horizon {then['horizon'].iloc[row]}" if "horizon" in table.columns else ""
    return f"{then.columns[column]}{where}: {then.iat[row, column]} then, {now.iat[row, column]} now; {int(unequal.sum())} cells in all"


def _reasons(the: Explanation) -> Iterator[str]:
    """Why it may have come out otherwise, from the likeliest on."""
    if the.asked["code_version"] != code_version():
        yield f"it was published by another version of the program: {the.asked['code_version']} then, {code_version()} now"
    recipe = find_recipe(str(the.key["recipe"]))
    for made in the.made:
        if made.row and made.row["recipe"] == recipe.name and made.row["config_hash"] != recipe.config_hash():
            yield f"the recipe has been changed since: configuration {made.row['config_hash']} then, {recipe.config_hash()} now"
        if made.row and made.row["code_version"] not in (the.asked["code_version"], code_version()):
            yield f"its network {made.model_id} was trained by a third version: {made.row['code_version']}"
    before, today = json.loads(str(the.asked["libraries"])), libraries()
    changed = [f"{name} {before.get(name)} then, {today[name]} now" for name in today if before.get(name) != today[name]]
    if changed:
        yield f"other libraries: {'; '.join(changed)}"
    yield "a file or row was changed by hand, or the networks were trained on another kind of processor, whose last digits differ"
