"""The day, told in order: one function per step. Each reads, thinks and writes; each may be repeated and then changes nothing.

    ingest -> check -> pretrain -> build_windows -> train -> evaluate -> promote -> publish -> score -> watch -> report

The DAG and the command line call these same functions. What one step leaves for the next is in the store and among the artifacts,
found by the run's key; only tickers and names travel between tasks.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import (
    charts,
    choices,
    combination,
    datasets,
    drift,
    embedding,
    evaluation,
    forecasters,
    networks,
    records,
    reporting,
    scoring,
    statistical,
    tensorboard,
)
from pipeline.assembly import report_file
from pipeline.datasets import passed
from pipeline.errors import NotEnoughHistory, NothingStored, QualityGateFailed, SettingsError, StockcastError, TryAgain
from pipeline.models import find_recipe
from pipeline.models.baselines import BASELINES, EWMA
from pipeline.models.recipe import Recipe
from pipeline.prices.source import Fetched, fetch, newest_session, require_known
from pipeline.quality import on_one_day
from pipeline.run import Run
from pipeline.store import Span
from pipeline.tables import (
    ACTIONS,
    CALIBRATIONS,
    CHECKS,
    DATASETS,
    DRIFT,
    EVALUATIONS,
    FINDINGS,
    FORECASTS,
    PREDICTIONS,
    PRICES,
    PROMOTIONS,
    RUNS,
    SCORES,
    Table,
)
from pipeline.universes import Universe, load_universes

if TYPE_CHECKING:
    from pipeline.assembly import Parts
    from pipeline.sessions import Calendar
    from pipeline.windows import Dataset

#: What is too long for a line of progress: the reasons of a decision.
log = logging.getLogger(__name__)

#: Tickers that are fetched before what came is stored: so many at most begin anew when a task is killed.
INGESTED_TOGETHER = 50
#: Tickers that are read in one piece, and the bars from which no more of them are validated together: a million take a gigabyte.
READ_TOGETHER = 100
ROWS_CHECKED_TOGETHER = 1_000_000
#: Tickers whose prices and windows are in memory together: reading and writing them one by one took three times as long.
TOGETHER = 32
#: Sessions over which tickers of different calls are compared.
COMPARED_SESSIONS = 20
#: What a ticker takes however short its history is, in sessions of one.
FIXED_COST = 500
#: Airflow refuses more than 1,024 mapped tasks.
MOST_SHARDS = 1000
#: How far back scores are computed again, to follow corrected bars; and how far back forecasts without any are looked for.
RESCORED_DAYS = 21
UNSCORED_DAYS = 400


def plan(parts: Parts, universe: Universe, session: dt.date | None, now: dt.datetime, known_at: dt.datetime | None = None) -> Run:
    """What to do for a session (None: the newest there is), once all that can be wrong with the request has been checked.

    Args:
        now: the moment of asking; nothing that ends after it is a session yet.
        known_at: repeat a past run with what was known then; nothing is fetched.
    """
    recipe = find_recipe(universe.recipe)
    if recipe.exercises:
        raise SettingsError(
            f"Recipe {recipe.name} makes its own examples and forecasts no prices. `stockcast exercise --recipe {recipe.name}` trains it."
        )
    if universe.target not in recipe.targets:
        raise SettingsError(f"Recipe {recipe.name} does not forecast {universe.target}; it forecasts {', '.join(recipe.targets)}.")
    statistical.require_known(parts.settings.baseline_list)
    calendar, source = parts.calendar(universe), parts.source(universe)
    require_known(source, list(universe.tickers))
    newest = newest_session(source, list(universe.tickers), calendar, now)
    session = newest if session is None else calendar.require_session(session, now)
    if session < universe.start:
        raise SettingsError(
            f"{session} is before {universe.start}, where universe {universe.name} begins. Use that day or a later one."
        )
    if session > newest:
        raise SettingsError(
            f"{session} is after {newest}, the last session that the {source.name} source has. Use that one or an earlier one."
        )
    return run_of(parts, universe, session, known_at or now, replay=known_at is not None)


def run_of(parts: Parts, universe: Universe, session: dt.date, known_at: dt.datetime, replay: bool) -> Run:
    """The run of a session, whose cutoffs follow from the calendar and the settings; nothing is checked."""
    calendar = parts.calendar(universe)
    current, previous = calendar.training_cutoffs(session, universe.retrain)
    return Run(
        universe=universe,
        session=session,
        training_cutoff=current,
        previous_cutoff=previous,
        pool_cutoff=calendar.pool_cutoff(current, parts.settings.pool),
        previous_pool_cutoff=calendar.pool_cutoff(previous, parts.settings.pool),
        forecast_sessions=tuple(calendar.next_sessions(session, universe.horizon)),
        known_at=known_at,
        replay=replay,
    )


def reach(parts: Parts, run: Run) -> None:
    """Looks at store, artifacts and tracking, so that one that cannot be reached fails the run before it has changed anything there.

    In tracking, what is measured in parallel finds its parents already there.
    """
    others = [name for name in parts.store.sources() if name.startswith("csv:") and name != run.universe.source_id]
    if run.universe.name == "csv" and others:
        told = f"this home also has prices from {others[0].removeprefix('csv:')}: forecasts made from them for the same tickers and sessions"
        parts.progress("note", "", f"{told} are replaced. Declare a universe for each folder, or give each a home, to keep both.")
    declared = load_universes(parts.settings.universes).get(run.universe.name)
    if declared is not None and set(run.universe.tickers) < set(declared.tickers):
        told = f"only {', '.join(run.universe.tickers)} of the {len(declared.tickers)} tickers of {declared.name}"
        parts.progress(
            "note", "", f"{told}: networks learn from no others, and the day's page and forecasts of these are replaced by theirs."
        )
    parts.artifacts.require()
    _open_sessions(parts, run)


def shards(
    tickers: list[str], shard_size: int, workers: int, recipe: Recipe | None = None, costs: Mapping[str, float] | None = None
) -> list[list[str]]:
    """Which tickers share a task: one each up to 12, so that each has its name in the grid; then two tasks a worker.

    All of them, where `recipe` trains one network on all.

    Args:
        costs: what each ticker takes, in any unit; the tasks then take about as long as each other. None: all take the same.
    """
    if not tickers or (recipe is not None and recipe.pooled):
        return [tickers] if tickers else []
    size = shard_size or (1 if len(tickers) <= 12 else -(-len(tickers) // (2 * workers)))
    count = min(-(-len(tickers) // size), MOST_SHARDS)
    if costs is None or count == len(tickers):
        return list(_some(tickers, -(-len(tickers) // count)))
    # The dearest first, each to the task that has the least to do (Graham 1969): at most a third slower than the best there is.
    loads, place = [0.0] * count, {ticker: number for number, ticker in enumerate(tickers)}
    shared: list[list[str]] = [[] for _ in loads]
    for ticker in sorted(tickers, key=lambda ticker: (-costs[ticker], place[ticker])):
        lightest = loads.index(min(loads))
        loads[lightest] += costs[ticker]
        shared[lightest].append(ticker)
    return sorted((sorted(shard, key=place.get) for shard in shared if shard), key=lambda shard: place[shard[0]])


def costs(parts: Parts, run: Run, tickers: list[str]) -> dict[str, float]:
    """What training and measuring each ticker takes, in sessions of history: what it has, and as many as the rest of the work is worth."""
    bars = parts.store.bars(run.universe.source_id, run.session)
    return {ticker: float(bars.get(ticker, 0) + FIXED_COST) for ticker in tickers}


def ingest(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Fetches what is new up to the session and stores it as revisions; a ticker that fails does not keep the others."""
    _raise_together(_ingest(parts, run, tickers))


def check(parts: Parts, run: Run) -> list[str]:
    """Validates all that was ingested; returns the tickers that go on, and fails when too many do not.

    One task for all tickers: Great Expectations is imported once, tickers can be compared with each other, and the share of
    those that fail is known.
    """
    reasons = _reasons(parts, run, list(run.universe.tickers))
    judged = [ticker for ticker in run.universe.tickers if not reasons.get(ticker, "").startswith("ingest: ")]
    recent = _recent_prices(parts, run)
    for tickers, prices in _histories(parts, run, judged):
        _check_some(parts, run, tickers, prices, recent)
    checks = parts.rows(CHECKS, run).set_index("ticker")
    quarantined = checks[checks["verdict"] == "quarantined"]["reasons"].to_dict()
    for ticker in run.universe.tickers:
        parts.progress("check", ticker, f"quarantined: {quarantined[ticker]}" if ticker in quarantined else "passed")
    for told in on_one_day(parts.rows(FINDINGS, run)):
        parts.progress("check", "", told)
    if len(quarantined) > parts.settings.max_quarantined * len(run.universe.tickers):
        told = "; ".join(f"{ticker}: {reasons}" for ticker, reasons in quarantined.items())
        raise QualityGateFailed(
            f"{run.session}: {len(quarantined)} of {len(run.universe.tickers)} tickers are quarantined, at most a share of "
            f"{parts.settings.max_quarantined:g} may be. {told}"
        )
    return passed(parts, run)


def pretrain(parts: Parts, run: Run) -> None:
    """Fits the networks that all stocks train together, from which their own go on; nothing, for a recipe whose stocks begin alone."""
    recipe = find_recipe(run.universe.recipe)
    if not recipe.fine_tuning:
        parts.progress("pretrain", "", f"nothing: {recipe.name} trains no network that others go on from")
        return
    for tickers in _some(run.universe.tickers, TOGETHER):
        known = datasets.known(parts, run, tickers)
        rows = [row for ticker in tickers for row in datasets.build_pools(parts, run, recipe, known, ticker)]
        parts.store.replace(DATASETS, _frame(DATASETS, rows), **run.key, ticker=tickers, role=list(datasets.POOLS))
    found = networks.pools(parts, run, recipe)
    if not found:
        parts.progress("pretrain", "", f"no ticker has enough history up to {run.pool_cutoff}")
    _fit(parts, run, "pretrain", found)


def build_windows(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Writes the datasets of the current and the previous training cutoff, and the window to forecast from.

    A ticker whose history does not even let the naive forecast be measured is quarantined; it does not keep the others.
    """
    recipe = find_recipe(run.universe.recipe)
    failures: dict[str, StockcastError] = {}
    for some in _some(tickers, TOGETHER):
        known, rows, refused = datasets.known(parts, run, some), [], {}
        for ticker in some:
            try:
                built = datasets.build(parts, run, recipe, known, ticker)
            except NotEnoughHistory as error:
                refused[ticker] = error
                parts.progress("build_windows", ticker, str(error))
                continue
            rows += built
            training = next(row for row in built if row["role"] == "training")
            told = training["reason"] or f"{training['sessions']} sessions up to {training['dataset_cutoff']}"
            parts.progress("build_windows", ticker, f"dataset {training['dataset'][:12]}: {told}")
        if refused:
            _save_checks(parts, run, {ticker: f"build_windows: {error}" for ticker, error in refused.items()}, evidence="")
        built_of = [ticker for ticker in some if ticker not in refused]
        parts.store.replace(DATASETS, _frame(DATASETS, rows), **run.key, ticker=built_of, role=list(datasets.OWN))
        failures |= refused
    if len(failures) == len(tickers):
        _raise_together(failures)


def train(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Fits the networks that are not there yet: of the current training cutoff, of the previous one, and the default recipe's beside another."""
    recipe = find_recipe(run.universe.recipe)
    found = []
    for ticker, wanted in networks.wanted(parts, run, recipe, _built(parts, run, _still_in(parts, run, tickers))).items():
        own = [network for network in wanted if network.role != "pooled"]
        if not own:
            parts.progress("train", ticker, "no network of its own to train")
        found += own
    _fit(parts, run, "train", found)


def _built(parts: Parts, run: Run, tickers: list[str]) -> dict[str, dict[str, dict]]:
    """`datasets.by_ticker`; `NothingStored` where a ticker's windows have not been built."""
    rows = datasets.by_ticker(parts, run, tickers)
    for ticker in tickers:
        if ticker not in rows:
            datasets.by_role(parts, run, ticker)  # says so
    return rows


def _fit(parts: Parts, run: Run, step: str, wanted: list[networks.Network]) -> None:
    missing: dict[str, networks.Network] = {}
    for network in wanted:
        # With TensorBoard asked for, a network that is there is trained again, to the same bytes.
        if parts.artifacts.exists(network.file) and not parts.settings.tensorboard:
            parts.progress(step, network.ticker, f"{network.role}: model {network.model_id} is there already")
        else:
            missing.setdefault(network.model_id, network)
    jobs = {networks.fit_job(parts, run, network): network for network in missing.values()}
    failures = {}
    for job, outcome in parts.workers.fit_all(list(jobs)) if jobs else ():
        network = jobs[job]
        if isinstance(outcome, StockcastError):
            failures[job.ticker] = outcome
            continue
        networks.save(parts, run, network, outcome)
        if job.tensorboard and job.recipe.pooled:
            tensorboard.save_projector(job.tensorboard, *embedding.vectors(outcome.model), run.universe.sectors)
        told = f"{len(outcome.history['loss']) - 1} epochs, best {outcome.best_epoch}, {outcome.seconds:.1f} s"
        parts.progress(step, network.stock, f"{network.role}: model {network.model_id}, {told}")
    _raise_together(failures)


def evaluate(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Measures networks and baselines on the same windows and tracks it in MLflow, once between two trainings; forecasts with the best of each."""
    recipe = find_recipe(run.universe.recipe)
    tickers = _still_in(parts, run, tickers)
    rows, parents, failures = _built(parts, run, tickers), _open_sessions(parts, run), {}
    wanted = networks.wanted(parts, run, recipe, rows)
    for some in _some(tickers, TOGETHER):
        chosen = _choose(parts, run, recipe, rows, {ticker: wanted[ticker] for ticker in some}, parents, failures)
        _replay(parts, run, rows, wanted, chosen, failures)
    _raise_together(failures)


def _choose(
    parts: Parts,
    run: Run,
    recipe: Recipe,
    rows: dict[str, dict[str, dict]],
    wanted: dict[str, list[networks.Network]],
    parents: dict[dt.date, str],
    failures: dict[str, StockcastError],
) -> dict[str, tuple[str, choices.Choice]]:
    """The choice for each ticker and its identity; where nobody has made it yet, or MLflow does not have it, the ticker is measured first."""
    names = {ticker: _identity(parts, recipe, rows[ticker], every) for ticker, every in wanted.items()}
    tracker, chosen = parts.tracker(run.universe.name), {}
    parent_of = {ticker: parents[rows[ticker]["training"]["dataset_cutoff"].date()] for ticker in names}
    fresh = [
        ticker
        for ticker, name in names.items()
        if not choices.is_complete(parts, name, parent_of[ticker])
        or forecasters.lacks_statistical(parts, rows[ticker]["training"]["dataset"])
    ]
    stocks = [
        forecasters.Stock(ticker, training, datasets.load(parts, training))
        for ticker, training in ((ticker, rows[ticker]["training"]["dataset"]) for ticker in fresh)
    ]
    for the in stocks:
        forecasters.evaluate_statistical(parts, the)
    measured = networks.measure(parts, run, [(the, wanted[the.ticker]) for the in stocks])
    failures |= {ticker: each for ticker, each in measured.items() if isinstance(each, StockcastError)}
    done = {ticker: each for ticker, each in measured.items() if ticker not in failures}
    if done:
        parts.store.save(EVALUATIONS, pd.concat([each.evaluations for each in done.values()]))
    for ticker, each in done.items():
        record = records.stock_run(parts, run, recipe, rows[ticker], wanted[ticker], each)
        tracker.record(parent_of[ticker], record)
        choice = choices.choose(
            parts, recipe, each.the, each.said, rows[ticker]["training"]["reason"], records.headline(record.metrics)
        )
        _reference(parts, each.the.training, each.the.dataset)  # while its windows are at hand
        choices.write(parts, names[ticker], choice, parent_of[ticker])  # last: where it is, all the rest is
        chosen[ticker] = choice
    chosen |= {ticker: choices.read(parts, name) for ticker, name in names.items() if ticker not in failures and ticker not in done}
    for ticker, choice in sorted(chosen.items()):
        parts.progress("evaluate", ticker, choice.headline)
    return {ticker: (names[ticker], choice) for ticker, choice in chosen.items()}


def _open_sessions(parts: Parts, run: Run) -> dict[dt.date, str]:
    """In MLflow, the parents of what is measured up to this run's session and up to the session that its networks are trained up to."""
    tracker, recipe = parts.tracker(run.universe.name), find_recipe(run.universe.recipe)
    parents = {run.session: records.open_session(parts, tracker, run, recipe)}
    if run.training_cutoff not in parents:
        then = run_of(parts, run.universe, run.training_cutoff, run.known_at, run.replay)
        parents[run.training_cutoff] = records.open_session(parts, tracker, then, recipe)
        tracker.close_session(parents[run.training_cutoff], {})  # whether or not that session is ever run itself
    return parents


def _identity(parts: Parts, recipe: Recipe, rows: dict[str, dict], wanted: list[networks.Network]) -> str:
    return choices.identity(parts, recipe, rows["training"], networks.compared(wanted))


def _replay(
    parts: Parts,
    run: Run,
    rows: dict[str, dict[str, dict]],
    wanted: dict[str, list[networks.Network]],
    chosen: dict[str, tuple[str, choices.Choice]],
    failures: dict[str, StockcastError],
) -> None:
    """Leaves what each choice says about the sessions up to the cutoff, and what it and the baselines say at the cutoff itself."""
    missing = {
        ticker: (rows[ticker], _champion(choice, wanted[ticker]))
        for ticker, (name, choice) in chosen.items()
        if not parts.artifacts.exists(choices.replay_file(name, rows[ticker]["live"]["dataset"]))
    }
    replayed = networks.replay(parts, run, missing)
    failures |= {ticker: each for ticker, each in replayed.items() if isinstance(each, StockcastError)}
    done = {ticker: each for ticker, each in replayed.items() if ticker not in failures}
    said: dict[tuple[str, str], np.ndarray] = {}
    for ticker, (windows, quantiles) in done.items():
        live, training, choice = rows[ticker]["live"]["dataset"], rows[ticker]["training"]["dataset"], chosen[ticker][1]
        now = windows.take(slice(-1, None))
        said |= {(live, networks.predicted_by(name, training)): fitted(now)[0] for name, fitted in choice.fitted.items()}
        if quantiles is not None:
            said[live, choice.decision.model_id] = quantiles[-1]
    if said:
        parts.store.save(PREDICTIONS, evaluation.predictions(said))
    fitted = find_recipe(run.universe.recipe).normalisation.is_fitted
    for ticker, (windows, quantiles) in done.items():  # last: where it is, all the rest is
        newest = None if fitted else windows.past[-drift.WINDOWS :, -1]
        choices.write_replay(parts, chosen[ticker][0], rows[ticker]["live"]["dataset"], windows, quantiles, newest)


def _champion(choice: choices.Choice, wanted: list[networks.Network]) -> networks.Network | None:
    return next((network for network in wanted if choice.network and network.model_id == choice.decision.model_id), None)


def promote(parts: Parts, run: Run) -> None:
    """Decides whose forecast is published for each ticker, and says why; a ticker that was not evaluated does not keep the others."""
    live, tickers, failures = _is_live(parts, run), passed(parts, run), {}
    rows, names = _identities(parts, run, tickers)
    chosen = {}
    for ticker in tickers:
        try:
            chosen[ticker] = _chosen(parts, run, ticker, names)
        except NothingStored as error:
            failures[ticker] = error
            parts.progress("promote", ticker, str(error))
    # A year of one stock says little; how much networks are worth is judged on all stocks together.
    weights = combination.weights({ticker: choice.curve() for ticker, choice in chosen.items() if choice.network})
    decided = choices.rows(run, chosen, weights, {ticker: rows[ticker]["training"] for ticker in chosen})
    parts.store.replace(PROMOTIONS, decided, **run.key, ticker=tickers)
    if live:
        champions = {row["ticker"]: None if row["champion"] in BASELINES else row["model_id"] for row in decided.to_dict("records")}
        parts.tracker(run.universe.name).set_champions(champions)
    for row in decided.to_dict("records"):
        parts.progress("promote", row["ticker"], records.promoted(row))
        for reason in str(row["reasons"]).split("; "):
            log.info("promote %s: %s", row["ticker"], reason)
    if len(failures) == len(tickers):
        _raise_together(failures)


def _identities(parts: Parts, run: Run, tickers: list[str]) -> tuple[dict[str, dict[str, dict]], dict[str, str]]:
    """The datasets by ticker and role, and the identity of each ticker's choice."""
    recipe, rows = find_recipe(run.universe.recipe), datasets.by_ticker(parts, run, tickers)
    wanted = networks.wanted(parts, run, recipe, rows)
    return rows, {ticker: _identity(parts, recipe, rows[ticker], every) for ticker, every in wanted.items()}


def _chosen(parts: Parts, run: Run, ticker: str, names: dict[str, str]) -> choices.Choice:
    if ticker in names and parts.artifacts.exists(choices.file_of(names[ticker])):
        return choices.read(parts, names[ticker])
    raise NothingStored(f"{ticker} {run.session}: it has not been evaluated. Run `train` and `evaluate` for this session first.")


def publish(parts: Parts, run: Run) -> None:
    """Writes the champions' forecasts with their intervals, all in one transaction, once they meet their expectations."""
    if find_recipe(run.universe.recipe).smoothing:
        parts.progress("publish", "", "nothing is published: what this recipe forecasts is a smoothed price, which nobody pays")
        return
    promotions = parts.rows(PROMOTIONS, run, passed(parts, run))
    if promotions.empty:
        raise NothingStored(f"{run.universe.name} {run.session}: nothing has been promoted. Run `promote` for this session first.")
    promoted = list(promotions["ticker"])
    rows, names = _identities(parts, run, promoted)
    chosen = {ticker: _chosen(parts, run, ticker, names) for ticker in promoted}
    replays = {ticker: choices.replay_file(names[ticker], rows[ticker]["live"]["dataset"]) for ticker in promoted}
    forecasts, calibrations = choices.forecasts(parts, run, promotions.to_dict("records"), chosen, replays)
    if not forecasts.equals(parts.rows(FORECASTS, run, promoted)):  # what is published has passed already
        parts.gate.check_forecasts(forecasts, list(run.forecast_sessions)).require()
    parts.store.replace(CALIBRATIONS, calibrations, **run.key, ticker=promoted)
    parts.store.replace(RUNS, records.runs(parts, run, promoted), **run.key, ticker=promoted)
    changed = parts.store.replace(FORECASTS, forecasts, **run.key, ticker=promoted)
    parts.progress("publish", "", f"{len(forecasts)} forecasts, {changed} of them new or changed")


def score(parts: Parts, run: Run) -> None:
    """Gives every earlier forecast of this universe whose session has come its realised error.

    It looks at all sessions that have been run, not at this one alone, so a backfill leaves the same scores in any order.
    """
    until = max(run.session, parts.store.greatest(FORECASTS, "cutoff", **run.series) or run.session)
    due, changed = _due(parts, run, until), 0
    for some in _some(list(due["ticker"].unique()), READ_TOGETHER):
        rows = due[due["ticker"].isin(some)]
        first = rows["cutoff"].min().date()
        history, tape = (
            read(run.universe.source_id, some, until, None, first) for read in (parts.store.prices, parts.store.raw_prices)
        )
        beside = _random_walk(parts, run, some, list(rows["cutoff"].unique()))
        changed += parts.store.save(SCORES, scoring.score(rows, beside, history, tape, run.universe.target))
    parts.progress("score", "", f"{len(due)} forecasts whose session has come, {changed} scores new or changed")


def _due(parts: Parts, run: Run, until: dt.date) -> pd.DataFrame:
    """FORECASTS of sessions up to `until` to be scored: this run's own, those that have no score, and those whose prices have changed since."""
    tickers = list(run.universe.tickers)
    own = parts.store.load(FORECASTS, **run.key, ticker=tickers, session=Span(last=until))
    waiting = parts.store.unscored(run.session - dt.timedelta(days=UNSCORED_DAYS), until, **run.series, ticker=tickers)
    first = run.session - dt.timedelta(days=RESCORED_DAYS)
    seen_first = first - dt.timedelta(days=3 * run.universe.horizon + 10)  # when those of `first` were made, at the earliest
    corrected = sorted(parts.store.corrected(run.universe.source_id, tickers, seen_first, until))
    again = parts.store.load(
        FORECASTS, **run.series, ticker=corrected, cutoff=Span(seen_first, run.session), session=Span(first, until)
    )
    return FORECASTS.conform(pd.concat([own, waiting, again]).drop_duplicates(list(FORECASTS.key)))


def _random_walk(parts: Parts, run: Run, tickers: list[str], cutoffs: list[pd.Timestamp]) -> pd.DataFrame:
    """What the EWMA random walk said of these tickers at these sessions of the series: PREDICTIONS columns with ticker and cutoff."""
    rows = parts.store.load(DATASETS, **run.series, ticker=tickers, role=["live", "training"], cutoff=cutoffs)
    roles = rows.pivot(index=["ticker", "cutoff"], columns="role", values="dataset").reindex(columns=["live", "training"]).dropna()
    asked = roles.reset_index().rename(columns={"live": "dataset"})
    asked["model"] = [networks.predicted_by(EWMA, training) for training in asked["training"]]
    said = parts.store.load(PREDICTIONS, dataset=sorted(set(asked["dataset"])), model=sorted(set(asked["model"])))
    return said.merge(asked.drop(columns="training"), on=["dataset", "model"]).drop(columns=["dataset", "model"])


def watch(parts: Parts, run: Run) -> list[dict[str, str]]:
    """Says of each ticker whether its published forecasts and its network's inputs are within their bands.

    Returns what has left them: ticker, kind and the warning in words. Sessions after this one that have been run already are judged again, with
    the scores that this one has added, so a backfill leaves the same rows in any order.
    """
    promoted = list(parts.rows(PROMOTIONS, run, passed(parts, run))["ticker"])
    seen = _stabilities(parts, run, promoted)
    rows = pd.DataFrame({"ticker": list(seen), "cutoff": pd.Timestamp(run.session), "psi": list(seen.values())})
    own = _judged(parts, run, rows)
    parts.store.replace(DRIFT, own, **run.key, ticker=list(run.universe.tickers))
    # Until nothing changes: another session may be scored at the same time.
    while parts.store.save(DRIFT, _judged(parts, run, _judged_from_here_on(parts, run))):
        pass
    warnings = [
        {"ticker": row.ticker, "kind": kind, "warning": told}
        for row in parts.rows(DRIFT, run, promoted).itertuples()
        for kind, told in drift.warnings_of(row.warnings).items()
    ]
    for warning in warnings:
        parts.progress("watch", warning["ticker"], f"WARNING {warning['kind']}: {warning['warning']}")
    if not warnings:
        parts.progress("watch", "", f"{reporting.counted(len(promoted), 'ticker')} watched, none has left its bands")
    return warnings


def _stabilities(parts: Parts, run: Run, tickers: list[str]) -> dict[str, float]:
    """Population stability index of the newest sessions that each ticker's network sees, against those that it learnt from."""
    rows, names = _identities(parts, run, tickers)
    return {
        ticker: _stability(parts, names[ticker], rows[ticker]["training"]["dataset"], rows[ticker]["live"]["dataset"])
        for ticker in tickers
    }


def _stability(parts: Parts, name: str, training: str, live: str) -> float:
    reference = _reference(parts, training)
    if reference.windows < drift.FEWEST_WINDOWS:
        return float("nan")
    newest = choices.newest_seen(parts, name, live)
    if newest is None:
        newest = datasets.load_replay(parts, live, training).past[-drift.WINDOWS :, -1]
    return drift.population_stability(reference, newest)


def _reference(parts: Parts, training: str, dataset: Dataset | None = None) -> drift.Reference:
    """What a dataset has to learn from, kept beside it: it is the same at every session up to the next training."""
    name = f"stability/{training}.json"
    if parts.artifacts.exists(name):
        return drift.Reference(**json.loads(parts.artifacts.read(name)))
    learnt = (dataset or datasets.load(parts, training)).train
    reference = drift.Reference.of(learnt.past[:, -1] if len(learnt) else np.empty((0, 0)))
    parts.artifacts.write(name, json.dumps(dataclasses.asdict(reference)).encode())
    return reference


def _judged_from_here_on(parts: Parts, run: Run) -> pd.DataFrame:
    """DRIFT rows of this session and of later ones, as far as what this one forecasts is among the newest scores at them."""
    reach = drift.SESSIONS + run.universe.horizon
    later = parts.store.ends(SCORES, "session", reach, newest=False, **run.series, session=Span(run.session + dt.timedelta(days=1)))
    last = later[-1] if len(later) == reach else None
    return parts.store.load(DRIFT, **run.series, ticker=list(run.universe.tickers), cutoff=Span(run.session, last))


def _judged(parts: Parts, run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """DRIFT rows for (ticker, cutoff, psi), by the scores of the universe's newest sessions that have come by the cutoff."""
    if rows.empty:
        return DRIFT.empty()
    oldest, newest = rows["cutoff"].min(), rows["cutoff"].max()
    first = parts.store.ends(SCORES, "session", drift.SESSIONS, newest=True, **run.series, session=Span(last=oldest))
    scores = parts.store.load(
        SCORES, **run.series, ticker=list(run.universe.tickers), session=Span(first[0] if first else oldest, newest)
    )
    judged = drift.judge_each(scores, rows)
    keys = zip(rows["ticker"], rows["cutoff"], judged, strict=True)
    return DRIFT.conform(pd.DataFrame([{**run.series, "ticker": t, "cutoff": c, **judgement.row()} for t, c, judgement in keys]))


def report(parts: Parts, run: Run) -> str:
    """Writes the day's page and closes the session in MLflow; returns where the page is."""
    passed(parts, run)
    name = report_file(run)
    told = _day(parts, run)
    pictures = _pictures(parts, run, told)
    page = _page(parts, run, told, pictures).encode()
    parts.artifacts.write(name, page)
    tracker = parts.tracker(run.universe.name)
    recipe = find_recipe(run.universe.recipe)
    parent = records.open_session(parts, tracker, run, recipe)
    files = records.session_files(parts, run, recipe, told, page, pictures)
    tracker.close_session(parent, records.session_metrics(told), files, reporting.day_markdown(told))
    parts.progress("report", "", parts.artifacts.url(name))
    return parts.artifacts.url(name)


def probe(parts: Parts, run: Run) -> int:
    """Asks the source for a few sessions of one ticker and stores nothing; the number of bars it gave."""
    calendar, ticker = parts.calendar(run.universe), run.universe.tickers[0]
    first = _some_sessions_before(calendar, run.session, parts.settings.refetch_sessions, run.universe.start)
    return len(fetch(parts.source(run.universe), ticker, first, run.session, calendar, run.known_at).prices)


def verdict(parts: Parts, run: Run) -> str:
    """A session that has been reported, in some sentences."""
    return str(reporting.verdict(_day(parts, run)))


def told(parts: Parts, run: Run) -> str:
    """What the day's page says, for a terminal."""
    return reporting.day_text(run, _day(parts, run))


def summary(parts: Parts, run: Run) -> str:
    """The table that a person reads when the day is done."""
    return reporting.forecast_table(parts.rows(FORECASTS, run), parts.rows(PROMOTIONS, run), parts.rows(CHECKS, run))


def day(parts: Parts, run: Run) -> str:
    """All steps of a session in order; returns where the day's page is. A ticker that cannot be ingested does not keep the others."""
    reach(parts, run)
    failures = _ingest(parts, run, list(run.universe.tickers))
    if len(failures) == len(run.universe.tickers):
        raise next(iter(failures.values()))
    tickers = check(parts, run)
    pretrain(parts, run)
    build_windows(parts, run, tickers)
    train(parts, run, tickers)
    evaluate(parts, run, tickers)
    promote(parts, run)
    publish(parts, run)
    score(parts, run)
    watch(parts, run)
    return report(parts, run)


def _ingest(parts: Parts, run: Run, tickers: list[str]) -> dict[str, StockcastError]:
    """Asks for what is missing of each ticker and stores it, some tickers at a time; those that failed, with their errors."""
    newest = parts.store.last_sessions(run.universe.source_id, tickers, run.session, run.known_at)
    if run.replay:
        parts.progress("ingest", "", f"nothing fetched: replaying what was known at {run.known_at.isoformat()}")
        return {ticker: _unknown_then(run, ticker, newest.get(ticker)) for ticker in tickers if newest.get(ticker) != run.session}
    failures: dict[str, StockcastError] = {}
    for some in _some(tickers, INGESTED_TOGETHER):
        failed = _ingest_some(parts, run, {ticker: _first_missing(parts, run, newest.get(ticker)) for ticker in some})
        for ticker, error in failed.items():
            parts.progress("ingest", ticker, str(error))
        _save_checks(parts, run, {ticker: f"ingest: {error}" for ticker, error in failed.items()}, evidence="")
        failures |= failed
    return failures


def _unknown_then(run: Run, ticker: str, known: dt.date | None) -> NothingStored:
    return NothingStored(
        f"{ticker} {run.session}: at {run.known_at.isoformat()} the newest session known was {known}. Give a later --known-at."
    )


def _first_missing(parts: Parts, run: Run, newest: dt.date | None) -> dt.date:
    """From when on a ticker is asked for: some sessions before its newest bar, as they may have been corrected."""
    start = run.universe.start
    if newest is None:
        return start
    return _some_sessions_before(parts.calendar(run.universe), newest, parts.settings.refetch_sessions, start)


def _ingest_some(parts: Parts, run: Run, firsts: dict[str, dt.date]) -> dict[str, StockcastError]:
    """Fetches each ticker from its first day on; what came of all that begin on the same day is one transaction."""
    calendar, universe = parts.calendar(run.universe), run.universe
    fetched: dict[str, Fetched] = {}
    failures: dict[str, StockcastError] = {}
    for ticker, first in firsts.items():
        try:
            fetched[ticker] = fetch(parts.source(universe), ticker, first, run.session, calendar, run.known_at)
        except StockcastError as error:
            failures[ticker] = error
    for first in sorted(set(firsts.values())):
        some = {ticker: found for ticker, found in fetched.items() if firsts[ticker] == first}
        prices, actions = (
            pd.concat([table.empty(), *(getattr(found, table.name) for found in some.values())]) for table in (PRICES, ACTIONS)
        )
        added = parts.store.save_prices(universe.source_id, prices, actions, first, run.session, run.known_at)
        for ticker, found in some.items():
            parts.progress("ingest", ticker, f"{len(found.prices)} bars from {first}, {added[ticker]} new or corrected")
    recovered = [ticker for ticker, reasons in _reasons(parts, run, list(fetched)).items() if reasons.startswith("ingest: ")]
    if recovered:
        parts.store.replace(CHECKS, CHECKS.empty(), **run.key, ticker=recovered)
    return failures


def _some_sessions_before(calendar: Calendar, session: dt.date, count: int, start: dt.date) -> dt.date:
    earlier = calendar.sessions(max(start, session - dt.timedelta(days=3 * count + 10)), session)
    return earlier[max(len(earlier) - 1 - count, 0)] if earlier else start


def _histories(parts: Parts, run: Run, tickers: list[str]) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """Tickers that are validated together, with their prices up to the session: all of them, where that is not too much for the memory."""
    together: list[str] = []
    tables: list[pd.DataFrame] = []
    for some in _some(tickers, READ_TOGETHER):
        together += some
        tables.append(parts.store.raw_prices(run.universe.source_id, some, run.session, run.known_at))
        if sum(map(len, tables)) >= ROWS_CHECKED_TOGETHER:
            yield together, pd.concat(tables, ignore_index=True)
            together, tables = [], []
    if together:
        yield together, pd.concat(tables, ignore_index=True)


def _recent_prices(parts: Parts, run: Run) -> pd.DataFrame | None:
    """The last sessions of all tickers, to find two that have the same prices among those that are not validated together."""
    sessions = parts.calendar(run.universe).sessions(run.universe.start, run.session)[-COMPARED_SESSIONS:]
    tickers = list(run.universe.tickers)
    return parts.store.raw_prices(run.universe.source_id, tickers, run.session, run.known_at, sessions[0]) if sessions else None


def _check_some(parts: Parts, run: Run, tickers: list[str], prices: pd.DataFrame, recent: pd.DataFrame | None) -> None:
    """Validates these tickers together, unless the same evidence was judged before."""
    recipe = find_recipe(run.universe.recipe)
    actions = parts.store.actions(run.universe.source_id, tickers, run.session, run.known_at)
    needed = datasets.spec_of(run, recipe, "", run.training_cutoff).needed_sessions
    if prices.empty:
        raise NothingStored(
            f"{run.universe.name} {run.session}: there are no prices to check. Run `ingest` for this session first."
        )
    evidence = _evidence(prices, actions, parts.gate.rules_hash, str(needed))
    before = parts.rows(CHECKS, run, tickers)
    if len(before) == len(tickers) and set(before["evidence"]) == {evidence}:
        return
    sessions = parts.calendar(run.universe).sessions(run.universe.start, run.session)
    verdict = parts.gate.check_prices(prices, actions, tickers, sessions, run.session, needed, run.universe.name, others=recent)
    parts.store.replace(FINDINGS, verdict.findings.assign(**_plain(run.key)), **run.key, ticker=tickers)
    _save_checks(parts, run, {ticker: verdict.quarantined.get(ticker, "") for ticker in tickers}, evidence)


def _save_checks(parts: Parts, run: Run, reasons: dict[str, str], evidence: str) -> None:
    if not reasons:
        return
    rows = [
        {**run.key, "ticker": ticker, "verdict": "quarantined" if reason else "passed", "reasons": reason, "evidence": evidence}
        for ticker, reason in reasons.items()
    ]
    parts.store.save(CHECKS, pd.DataFrame(rows))


def _still_in(parts: Parts, run: Run, tickers: list[str]) -> list[str]:
    """Those of a shard that no step before this one has quarantined."""
    admitted = set(passed(parts, run))
    return [ticker for ticker in tickers if ticker in admitted]


def _reasons(parts: Parts, run: Run, tickers: list[str]) -> dict[str, str]:
    """Why the tickers that have been judged in this session are held back; "" where they are not."""
    return parts.rows(CHECKS, run, tickers).set_index("ticker")["reasons"].to_dict()


def _day(parts: Parts, run: Run) -> reporting.Day:
    """What the day's page is made of; its scores are those of forecasts made before this session."""
    scores = parts.store.load(SCORES, **run.series, ticker=list(run.universe.tickers))
    return reporting.Day(
        forecasts=parts.rows(FORECASTS, run),
        promotions=parts.rows(PROMOTIONS, run),
        calibrations=parts.rows(CALIBRATIONS, run),
        findings=parts.rows(FINDINGS, run),
        checks=parts.rows(CHECKS, run),
        scores=scores[scores["session"] <= pd.Timestamp(run.session)],
        drift=parts.rows(DRIFT, run),
    )


def _pictures(parts: Parts, run: Run, day: reporting.Day) -> dict[str, bytes]:
    """ "calibration" and "drift" -> PNG, where there is something to draw."""
    watched = parts.store.load(DRIFT, **run.series, ticker=list(run.universe.tickers))
    watched = watched[watched["cutoff"] <= pd.Timestamp(run.session)]
    drawn = {
        "calibration": charts.calibration_chart(day.calibrations) if len(day.calibrations) else b"",
        "drift": charts.drift_chart(watched) if watched["coverage_80"].notna().any() else b"",
    }
    return {name: picture for name, picture in drawn.items() if picture}


def _page(parts: Parts, run: Run, day: reporting.Day, pictures: dict[str, bytes]) -> str:
    """The day's page, as HTML."""
    of_ticker = {}
    for ticker in reporting.shown(day):
        history = parts.store.prices(run.universe.source_id, ticker, run.session, run.known_at)
        of_ticker[ticker] = charts.forecast_chart(history, day.forecasts[day.forecasts["ticker"] == ticker])
    return reporting.day_page(run, day, of_ticker, pictures)


def _is_live(parts: Parts, run: Run) -> bool:
    """Whether this run may move the live `champion` alias: its universe's own recipe and target, and no later session promoted."""
    declared = load_universes(parts.settings.universes).get(run.universe.name, run.universe)
    if any(getattr(run.universe, name) != getattr(declared, name) for name in ("recipe", "target", "horizon")):
        return False
    newest = parts.store.greatest(PROMOTIONS, "cutoff", **run.series)
    return newest is None or newest <= run.session


def _plain(key: dict[str, object]) -> dict[str, object]:
    """A run's key as columns: dates as the tables have them."""
    return {**key, "cutoff": pd.Timestamp(key["cutoff"])}


def _evidence(prices: pd.DataFrame, actions: pd.DataFrame, *rules: str) -> str:
    digest = hashlib.sha256("|".join(rules).encode())
    for frame in (prices, actions):
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def _some(tickers: Sequence[str], count: int) -> Iterator[list[str]]:
    """The tickers, so many at a time."""
    for start in range(0, len(tickers), count):
        yield list(tickers[start : start + count])


def _frame(table: Table, rows: list[dict[str, object]]) -> pd.DataFrame:
    return table.conform(pd.DataFrame(rows)) if rows else table.empty()


def _raise_together(failures: dict[str, StockcastError]) -> None:
    """Nothing, the one error, or one that names them all; it may be tried again when one of them may."""
    if not failures:
        return
    first = next((error for error in failures.values() if isinstance(error, TryAgain)), next(iter(failures.values())))
    if len(failures) == 1:
        raise first
    raise type(first)(f"{len(failures)} tickers failed. " + " ".join(f"{ticker}: {error}" for ticker, error in failures.items()))
