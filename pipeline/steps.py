"""The day, told in order: one function per step. Each reads, thinks and writes; each may be repeated and then changes nothing.

    ingest -> check -> build_windows -> train -> evaluate -> promote -> publish -> score -> report

The DAG and the command line call these same functions. What one step leaves for the next is in the store and among the artifacts,
found by the run's key; only tickers and names travel between tasks.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import evaluation, metrics, promotion, records, reporting, windows
from pipeline.assembly import code_version
from pipeline.errors import NothingStored, QualityGateFailed, SettingsError, StockcastError, TryAgain
from pipeline.masking import mask
from pipeline.models import find_recipe
from pipeline.models.baselines import BASELINES, NAIVE
from pipeline.models.recipe import Recipe
from pipeline.prices.source import fetch, newest_session, require_known
from pipeline.run import Run
from pipeline.tables import CHECKS, DATASETS, EVALUATIONS, FINDINGS, FORECASTS, MODELS, PREDICTIONS, PROMOTIONS, SCORES, Table
from pipeline.training import FitJob, PredictJob, Trained
from pipeline.universes import Universe, load_universes

if TYPE_CHECKING:
    from pipeline.assembly import Parts

#: Below this, not even the naive forecast's error can be told from chance.
FEWEST_SESSIONS = 30
#: Tickers that are validated together.
CHECKED_TOGETHER = 200
#: Sessions over which tickers of different calls are compared.
COMPARED_SESSIONS = 20
#: Airflow refuses more than 1,024 mapped tasks.
MOST_SHARDS = 1000
#: How far back scores are computed again, to follow corrected bars.
RESCORED_DAYS = 21


def plan(parts: Parts, universe: Universe, session: dt.date | None, now: dt.datetime, known_at: dt.datetime | None = None) -> Run:
    """What to do for a session (None: the newest there is), once all that can be wrong with the request has been checked.

    Args:
        now: the moment of asking; nothing that ends after it is a session yet.
        known_at: repeat a past run with what was known then; nothing is fetched.
    """
    recipe = find_recipe(universe.recipe)
    if universe.target not in recipe.targets:
        raise SettingsError(f"Recipe {recipe.name} does not forecast {universe.target}; it forecasts {', '.join(recipe.targets)}.")
    calendar, source = parts.calendar(universe), parts.source(universe)
    require_known(source, list(universe.tickers))
    newest = newest_session(source, list(universe.tickers), calendar, now)
    session = newest if session is None else calendar.require_session(session, now)
    if session > newest:
        raise SettingsError(
            f"{session} is after {newest}, the last session that the {source.name} source has. Use that one or an earlier one."
        )
    current, previous = calendar.training_cutoffs(session, universe.retrain)
    return Run(
        universe=universe,
        session=session,
        training_cutoff=current,
        previous_cutoff=previous,
        forecast_sessions=tuple(calendar.next_sessions(session, universe.horizon)),
        known_at=known_at or now,
        replay=known_at is not None,
    )


def reach(parts: Parts, run: Run) -> None:
    """Opens the store and the tracking, so that one that cannot be reached fails the run before it has changed anything."""
    parts.store  # noqa: B018 - opened when first looked at
    parts.tracker(run.universe).prepare()


def shards(tickers: list[str], shard_size: int, workers: int) -> list[list[str]]:
    """Which tickers share a task: one each up to 12, so that each has its name in the grid; then two tasks a worker."""
    size = shard_size or (1 if len(tickers) <= 12 else -(-len(tickers) // (2 * workers)))
    size = max(size, -(-len(tickers) // MOST_SHARDS))
    return [tickers[start : start + size] for start in range(0, len(tickers), size)]


def ingest(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Fetches what is new up to the session and stores it as revisions; a ticker that fails does not keep the others."""
    if run.replay:
        parts.progress("ingest", "", f"nothing fetched: replaying what was known at {run.known_at.isoformat()}")
        return
    failures = {}
    for ticker in tickers:
        try:
            _ingest_one(parts, run, ticker)
        except StockcastError as error:
            failures[ticker] = error
            parts.progress("ingest", ticker, str(error))
            _save_checks(parts, run, {ticker: f"ingest: {error}"}, evidence="")
    _raise_together(failures)


def check(parts: Parts, run: Run) -> list[str]:
    """Validates all that was ingested; returns the tickers that go on, and fails when too many do not.

    One task for all tickers: Great Expectations is imported once, tickers can be compared with each other, and the share of
    those that fail is known.
    """
    judged = [ticker for ticker in run.universe.tickers if not _reasons(parts, run, ticker).startswith("ingest: ")]
    for start in range(0, len(judged), CHECKED_TOGETHER):
        _check_some(parts, run, judged[start : start + CHECKED_TOGETHER])
    checks = stored(parts, CHECKS, run).set_index("ticker")
    quarantined = checks[checks["verdict"] == "quarantined"]["reasons"].to_dict()
    for ticker in run.universe.tickers:
        parts.progress("check", ticker, f"quarantined: {quarantined[ticker]}" if ticker in quarantined else "passed")
    if len(quarantined) > parts.settings.max_quarantined * len(run.universe.tickers):
        told = "; ".join(f"{ticker}: {reasons}" for ticker, reasons in quarantined.items())
        raise QualityGateFailed(
            f"{run.session}: {len(quarantined)} of {len(run.universe.tickers)} tickers are quarantined, at most a share of "
            f"{parts.settings.max_quarantined:g} may be. {told}"
        )
    return passed(parts, run)


def passed(parts: Parts, run: Run) -> list[str]:
    """The tickers of this run that the gate let through, in the universe's order."""
    checks = stored(parts, CHECKS, run)
    if checks.empty:
        raise NothingStored(
            f"{run.universe.name} {run.session}: no ticker has been checked. Run `ingest` and `check` for this session first."
        )
    good = set(checks[checks["verdict"] == "passed"]["ticker"])
    return [ticker for ticker in run.universe.tickers if ticker in good]


def build_windows(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Writes the datasets of the current and the previous training cutoff, and the window to forecast from."""
    recipe = find_recipe(run.universe.recipe)
    for ticker in tickers:
        built = _build(parts, run, recipe, ticker)
        parts.store.replace(DATASETS, built, **run.key, ticker=ticker)
        training = built.set_index("role").loc["training"]
        told = training["reason"] or f"{training['sessions']} sessions up to {training['dataset_cutoff'].date()}"
        parts.progress("build_windows", ticker, f"dataset {training['dataset'][:12]}: {told}")


def train(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Fits the networks that are not there yet: of the current training cutoff and of the previous one."""
    recipe = find_recipe(run.universe.recipe)
    wanted = {}
    for ticker in tickers:
        networks = _networks(parts, run, recipe, ticker)
        if not networks:
            parts.progress("train", ticker, "no network to train")
        for network in networks:
            if parts.artifacts.exists(network.file):
                parts.progress("train", ticker, f"{network.role}: model {network.model_id} is there already")
            else:
                data = parts.artifacts.read_content("datasets", ".npz", network.dataset)
                wanted[FitJob(ticker=ticker, recipe=recipe.name, dataset=data, seed=parts.settings.seed)] = network
    failures = {}
    for job, outcome in parts.workers.fit_all(list(wanted)) if wanted else ():
        if isinstance(outcome, StockcastError):
            failures[job.ticker] = outcome
            continue
        _save_model(parts, run, recipe, wanted[job], outcome)
        told = f"{len(outcome.history['loss']) - 1} epochs, best {outcome.best_epoch}, {outcome.seconds:.1f} s"
        parts.progress("train", job.ticker, f"{wanted[job].role}: model {wanted[job].model_id}, {told}")
    _raise_together(failures)


def evaluate(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Measures networks and baselines on the same windows, forecasts with each of them, and tracks it all in MLflow."""
    recipe = find_recipe(run.universe.recipe)
    for ticker in tickers:
        _evaluate_baselines(parts, run, ticker)
    _evaluate_networks(parts, run, recipe, tickers)
    tracker = parts.tracker(run.universe)
    parent = records.open_session(parts, tracker, run, recipe)
    for ticker in tickers:
        record = records.stock_run(parts, run, recipe, ticker, _datasets(parts, run, ticker), _networks(parts, run, recipe, ticker))
        tracker.record(parent, record)
        parts.progress("evaluate", ticker, records.headline(record.metrics))


def promote(parts: Parts, run: Run) -> None:
    """Decides whose forecast is published for each ticker, and says why; a ticker that was not evaluated does not keep the others."""
    recipe = find_recipe(run.universe.recipe)
    live, tickers, failures = _is_live(parts, run), passed(parts, run), {}
    for ticker in tickers:
        try:
            row = _decide(parts, run, recipe, ticker)
        except NothingStored as error:
            failures[ticker] = error
            parts.store.replace(PROMOTIONS, PROMOTIONS.empty(), **run.key, ticker=ticker)
            parts.progress("promote", ticker, str(error))
            continue
        parts.store.save(PROMOTIONS, pd.DataFrame([row]))
        if live:
            parts.tracker(run.universe).set_champion(ticker, None if row["champion"] == NAIVE else row["model_id"])
        parts.progress("promote", ticker, f"{row['champion']} ({row['reasons']})")
    if len(failures) == len(tickers):
        _raise_together(failures)


def publish(parts: Parts, run: Run) -> None:
    """Writes the champions' forecasts with their intervals, all in one transaction, once they meet their expectations."""
    promotions = stored(parts, PROMOTIONS, run, passed(parts, run))
    if promotions.empty:
        raise NothingStored(f"{run.universe.name} {run.session}: nothing has been promoted. Run `promote` for this session first.")
    forecasts = FORECASTS.conform(pd.concat([_forecast(parts, run, row) for row in promotions.to_dict("records")]))
    if not forecasts.equals(stored(parts, FORECASTS, run, list(promotions["ticker"]))):  # what is published has passed already
        parts.gate.check_forecasts(forecasts, list(run.forecast_sessions)).require()
    changed = parts.store.replace(FORECASTS, forecasts, **run.key, ticker=list(promotions["ticker"]))
    parts.progress("publish", "", f"{len(forecasts)} forecasts, {changed} of them new or changed")


def score(parts: Parts, run: Run) -> None:
    """Gives every earlier forecast of this universe whose session has come its realised error.

    It looks at all sessions that have been run, not at this one alone, so a backfill leaves the same scores in any order.
    """
    key = {name: run.key[name] for name in ("universe", "recipe", "target")}
    forecasts = parts.store.load(FORECASTS, **key, ticker=list(run.universe.tickers))
    until = max(run.session, forecasts["cutoff"].max().date()) if len(forecasts) else run.session
    due = forecasts[forecasts["session"] <= pd.Timestamp(until)]
    known = parts.store.load(SCORES, **key, ticker=list(run.universe.tickers))
    old = known[known["session"] < pd.Timestamp(run.session - dt.timedelta(days=RESCORED_DAYS))]
    names = list(SCORES.key)
    due = due[~due.set_index(names).index.isin(old.set_index(names).index)]
    scores = [_score_ticker(parts, run, str(ticker), rows, until) for ticker, rows in due.groupby("ticker")]
    changed = parts.store.save(SCORES, pd.concat(scores)) if scores else 0
    parts.progress("score", "", f"{len(due)} forecasts whose session has come, {changed} scores new or changed")


def report(parts: Parts, run: Run) -> str:
    """Writes the day's page and closes the session in MLflow; returns where the page is."""
    name = f"reports/{run.universe.name}/{run.session}-{run.universe.recipe}-{run.universe.target}.html"
    parts.artifacts.write(name, _page(parts, run).encode())
    tracker = parts.tracker(run.universe)
    parent = records.open_session(parts, tracker, run, find_recipe(run.universe.recipe))
    tracker.close_session(parent, records.session_metrics(stored(parts, PROMOTIONS, run), stored(parts, CHECKS, run)))
    parts.progress("report", "", parts.artifacts.url(name))
    return parts.artifacts.url(name)


def probe(parts: Parts, run: Run) -> int:
    """Asks the source for a few sessions of one ticker and stores nothing; the number of bars it gave."""
    calendar, ticker = parts.calendar(run.universe), run.universe.tickers[0]
    first = _some_sessions_before(calendar, run.session, parts.settings.refetch_sessions, run.universe.start)
    return len(fetch(parts.source(run.universe), ticker, first, run.session, calendar, run.known_at).prices)


def summary(parts: Parts, run: Run) -> str:
    """The table that a person reads when the day is done."""
    tickers = list(run.universe.tickers)
    return reporting.forecast_table(
        stored(parts, FORECASTS, run, tickers), stored(parts, PROMOTIONS, run, tickers), stored(parts, CHECKS, run, tickers)
    )


def day(parts: Parts, run: Run) -> str:
    """All steps of a session in order; returns where the day's page is. A ticker that cannot be ingested does not keep the others."""
    reach(parts, run)
    failures = {}
    for ticker in run.universe.tickers:
        try:
            ingest(parts, run, [ticker])
        except StockcastError as error:
            failures[ticker] = error
    if len(failures) == len(run.universe.tickers):
        raise next(iter(failures.values()))
    tickers = check(parts, run)
    build_windows(parts, run, tickers)
    train(parts, run, tickers)
    evaluate(parts, run, tickers)
    promote(parts, run)
    publish(parts, run)
    score(parts, run)
    return report(parts, run)


def _ingest_one(parts: Parts, run: Run, ticker: str) -> None:
    calendar, universe = parts.calendar(run.universe), run.universe
    newest = parts.store.last_session(universe.source_id, ticker, run.session, run.known_at)
    first = (
        universe.start
        if newest is None
        else _some_sessions_before(calendar, newest, parts.settings.refetch_sessions, universe.start)
    )
    fetched = fetch(parts.source(universe), ticker, first, run.session, calendar, run.known_at)
    added = parts.store.save_prices(universe.source_id, fetched.prices, fetched.actions, first, run.session, run.known_at)
    if _reasons(parts, run, ticker).startswith("ingest: "):
        parts.store.replace(CHECKS, CHECKS.empty(), **run.key, ticker=ticker)
    parts.progress("ingest", ticker, f"{len(fetched.prices)} bars from {first}, {added} new or corrected")


def _some_sessions_before(calendar: object, session: dt.date, count: int, start: dt.date) -> dt.date:
    earlier = calendar.sessions(max(start, session - dt.timedelta(days=3 * count + 10)), session)
    return earlier[max(len(earlier) - 1 - count, 0)] if earlier else start


def _check_some(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Validates these tickers together, unless the same evidence was judged before."""
    source_id, recipe = run.universe.source_id, find_recipe(run.universe.recipe)
    prices = parts.store.raw_prices(source_id, tickers, run.session, run.known_at)
    actions = parts.store.actions(source_id, tickers, run.session, run.known_at)
    needed = _spec(run, recipe, "", run.training_cutoff).needed_sessions
    evidence = _evidence(prices, actions, parts.gate.rules_hash, str(needed))
    before = stored(parts, CHECKS, run, tickers)
    if len(before) == len(tickers) and set(before["evidence"]) == {evidence}:
        return
    sessions = parts.calendar(run.universe).sessions(run.universe.start, run.session)
    others = _recent_prices_of_others(parts, run, tickers, sessions)
    verdict = parts.gate.check_prices(prices, actions, tickers, sessions, run.session, needed, run.universe.name, others=others)
    parts.store.replace(FINDINGS, verdict.findings.assign(**_plain(run.key)), **run.key, ticker=tickers)
    _save_checks(parts, run, {ticker: verdict.quarantined.get(ticker, "") for ticker in tickers}, evidence)


def _recent_prices_of_others(parts: Parts, run: Run, tickers: list[str], sessions: list[dt.date]) -> pd.DataFrame | None:
    """The last sessions of the tickers that are validated in another call, to find two that have the same prices."""
    others = [ticker for ticker in run.universe.tickers if ticker not in set(tickers)]
    if not others or not sessions:
        return None
    prices = parts.store.raw_prices(run.universe.source_id, others, run.session, run.known_at)
    return prices[prices["session"] >= pd.Timestamp(sessions[-COMPARED_SESSIONS:][0])]


def _save_checks(parts: Parts, run: Run, reasons: dict[str, str], evidence: str) -> None:
    rows = [
        {**run.key, "ticker": ticker, "verdict": "quarantined" if reason else "passed", "reasons": reason, "evidence": evidence}
        for ticker, reason in reasons.items()
    ]
    parts.store.save(CHECKS, pd.DataFrame(rows))


def _reasons(parts: Parts, run: Run, ticker: str) -> str:
    found = stored(parts, CHECKS, run, [ticker])
    return "" if found.empty else str(found["reasons"].iloc[0])


@dataclass(frozen=True)
class _Cut:
    """A ticker's masked history at a cutoff, how to cut it, and why no network can learn from it ("" when one can)."""

    spec: windows.Spec
    history: pd.DataFrame
    reason: str


def _build(parts: Parts, run: Run, recipe: Recipe, ticker: str) -> pd.DataFrame:
    """DATASETS rows of one ticker, their files written."""
    live = _cut_at(parts, run, recipe, ticker, run.session)
    current = live if run.training_cutoff == run.session else _cut_at(parts, run, recipe, ticker, run.training_cutoff)
    previous = _cut_at(parts, run, recipe, ticker, run.previous_cutoff)
    # Where no network will learn, the baselines are best measured up to the session itself.
    training = live if current.reason else current
    spec = replace(training.spec, cutoff=run.session)
    cuts = {"training": replace(training, reason=current.reason), "live": _Cut(spec, live.history.tail(spec.context_length), "")}
    if not (current.reason or previous.reason):
        cuts["previous"] = previous
    rows = [
        {
            **run.key,
            "ticker": ticker,
            "role": role,
            "dataset_cutoff": cut.spec.cutoff,
            "dataset": parts.artifacts.put_content("datasets", ".npz", windows.encode(cut.history, cut.spec)),
            "sessions": len(cut.history),
            "reason": cut.reason,
        }
        for role, cut in cuts.items()
    ]
    return DATASETS.conform(pd.DataFrame(rows))


def _cut_at(parts: Parts, run: Run, recipe: Recipe, ticker: str, cutoff: dt.date) -> _Cut:
    spec = _spec(run, recipe, ticker, cutoff)
    history = mask(parts.store.prices(run.universe.source_id, ticker, cutoff, run.known_at))
    if len(history):
        history = windows.on_calendar(history, parts.calendar(run.universe).sessions(run.universe.start, cutoff))
    if len(history) >= spec.needed_sessions:
        return _Cut(spec, history, "")
    reason = f"no network: {len(history)} sessions up to {cutoff}, {spec.needed_sessions} needed"
    return _Cut(spec.without_training(len(history)), history, reason)


def _spec(run: Run, recipe: Recipe, ticker: str, cutoff: dt.date) -> windows.Spec:
    return windows.Spec(
        ticker=ticker,
        cutoff=cutoff,
        target=run.universe.target,
        horizon=run.universe.horizon,
        context_length=recipe.context_length,
        **dataclasses.asdict(recipe.split),
    )


def _datasets(parts: Parts, run: Run, ticker: str) -> dict[str, dict]:
    """role -> DATASETS row."""
    rows = stored(parts, DATASETS, run, [ticker])
    if rows.empty:
        raise NothingStored(f"{ticker} {run.session}: no windows have been built. Run `build_windows` for this session first.")
    return {row["role"]: row for row in rows.to_dict("records")}


@dataclass(frozen=True)
class _Network:
    """A network that a run compares; `role` is lstm (of the current training cutoff) or previous."""

    role: str
    ticker: str
    model_id: str
    dataset: str
    training_cutoff: dt.date

    @property
    def file(self) -> str:
        return records.model_file(self.model_id)


def _networks(parts: Parts, run: Run, recipe: Recipe, ticker: str) -> list[_Network]:
    """The networks that this run compares for a ticker, the current one first; none where there is too little history."""
    rows = _datasets(parts, run, ticker)
    return [
        _Network(
            role=role,
            ticker=ticker,
            model_id=_model_id(recipe, ticker, rows[name]["dataset"], parts.settings.seed),
            dataset=rows[name]["dataset"],
            training_cutoff=rows[name]["dataset_cutoff"].date(),
        )
        for role, name in (("lstm", "training"), ("previous", "previous"))
        if name in rows and not rows[name]["reason"]
    ]


def _model_id(recipe: Recipe, ticker: str, dataset: str, seed: int) -> str:
    """What identifies a network: recipe and configuration, ticker, dataset (and with it cutoff, target and horizon), seed."""
    return hashlib.sha256(json.dumps([recipe.name, recipe.config_hash(), ticker, dataset, seed]).encode()).hexdigest()[:16]


def _save_model(parts: Parts, run: Run, recipe: Recipe, network: _Network, trained: Trained) -> None:
    about = {"history": trained.history, "best_epoch": trained.best_epoch, "seconds": trained.seconds}
    parts.artifacts.write(records.history_file(network.model_id), json.dumps(about, sort_keys=True).encode())
    row = {
        "model_id": network.model_id,
        "recipe": recipe.name,
        "target": run.universe.target,
        "ticker": network.ticker,
        "training_cutoff": network.training_cutoff,
        "dataset": network.dataset,
        "config_hash": recipe.config_hash(),
        "epochs": len(trained.history["loss"]) - 1,
        "best_epoch": trained.best_epoch,
        "code_version": code_version(),
    }
    parts.store.save(MODELS, pd.DataFrame([row]))
    # Last: where the model file is, all the rest is.
    parts.artifacts.write(network.file, trained.model)


def _evaluate_baselines(parts: Parts, run: Run, ticker: str) -> None:
    """Evaluates and forecasts with every baseline, once per dataset."""
    rows = _datasets(parts, run, ticker)
    training, live = rows["training"]["dataset"], rows["live"]["dataset"]
    if _has(parts, training, live, NAIVE):
        return
    dataset, window = _load(parts, training, live)
    horizon = run.universe.horizon
    for name, baseline in BASELINES.items():
        _save_evaluation(
            parts,
            evaluation.evaluate(dataset, training, name, lambda part, baseline=baseline: baseline(part, horizon)),
            evaluation.predict(window, live, name, baseline(window, horizon)),
        )


def _evaluate_networks(parts: Parts, run: Run, recipe: Recipe, tickers: list[str]) -> None:
    """Evaluates and forecasts with the current and the previous network, both on the current dataset."""
    jobs, context = [], []
    for ticker in tickers:
        rows = _datasets(parts, run, ticker)
        training, live = rows["training"]["dataset"], rows["live"]["dataset"]
        for network in _networks(parts, run, recipe, ticker):
            if _has(parts, training, live, network.model_id):
                continue
            if not parts.artifacts.exists(network.file):
                raise NothingStored(
                    f"{ticker} {run.session}: its network {network.model_id} is not there. Run `train` for this session first."
                )
            dataset, window = _load(parts, training, live)
            past = np.concatenate([dataset.validation.past, dataset.test.past, window.past])
            jobs.append(PredictJob(ticker=ticker, model=parts.artifacts.read(network.file), past=past))
            context.append((network, training, live, dataset, window))
    failures = {}
    found = {id(job): place for job, place in zip(jobs, context, strict=True)}
    for job, outcome in parts.workers.predict_all(jobs) if jobs else ():
        if isinstance(outcome, StockcastError):
            failures[job.ticker] = outcome
            continue
        network, training, live, dataset, window = found[id(job)]
        validation, test, ahead = np.split(outcome, [len(dataset.validation), len(dataset.validation) + len(dataset.test)])
        said = {id(dataset.validation): validation, id(dataset.test): test}
        evaluations = evaluation.evaluate(dataset, training, network.model_id, lambda part, said=said: said[id(part)])
        table = records.predictions_csv(dataset.test, test, evaluations)
        parts.artifacts.write(records.predictions_file(training, network.model_id), table)
        _save_evaluation(parts, evaluations, evaluation.predict(window, live, network.model_id, ahead))
    _raise_together(failures)


def _save_evaluation(parts: Parts, evaluations: pd.DataFrame, predictions: pd.DataFrame) -> None:
    parts.store.save(EVALUATIONS, evaluations)
    # Last: where the predictions are, the evaluations are.
    parts.store.save(PREDICTIONS, predictions)


def _has(parts: Parts, training: str, live: str, model: str) -> bool:
    evaluated = parts.store.load(EVALUATIONS, dataset=training, model=model)
    return len(evaluated) > 0 and len(parts.store.load(PREDICTIONS, dataset=live, model=model)) > 0


def _load(parts: Parts, training: str, live: str) -> tuple[windows.Dataset, windows.Windows]:
    read = parts.artifacts.read_content
    return windows.load_dataset(read("datasets", ".npz", training)), windows.load_live(read("datasets", ".npz", live))


def _decide(parts: Parts, run: Run, recipe: Recipe, ticker: str) -> dict[str, object]:
    """One PROMOTIONS row."""
    rows = _datasets(parts, run, ticker)
    training = rows["training"]["dataset"]
    evaluations = parts.store.load(EVALUATIONS, dataset=training)
    networks = _networks(parts, run, recipe, ticker)
    missing = [name for name in (NAIVE, *(network.model_id for network in networks)) if name not in set(evaluations["model"])]
    if missing:
        raise NothingStored(
            f"{ticker} {run.session}: {', '.join(missing)} is not evaluated. Run `evaluate` for this session first."
        )
    candidates = [
        promotion.Candidate(
            network.role,
            network.model_id,
            *(evaluation.relative_rmse(evaluations, network.model_id, split, NAIVE) for split in ("validation", "test")),
        )
        for network in networks
    ]
    decision = promotion.decide(candidates, parts.settings.promotion_margin, parts.settings.test_floor, rows["training"]["reason"])
    first = evaluations[(evaluations["split"] == "test") & (evaluations["horizon"] == 1)].set_index("model")
    rmse = float(first.loc[networks[0].model_id, "rmse"]) if networks else float("nan")
    naive = float(first.loc[NAIVE, "rmse"])
    return {
        **run.key,
        "ticker": ticker,
        "champion": decision.champion,
        "model_id": decision.model_id,
        "training_cutoff": rows["training"]["dataset_cutoff"],
        "test_sessions": int(first.loc[NAIVE, "sessions"]),
        "test_rmse": rmse,
        "naive_test_rmse": naive,
        "skill": 1 - rmse / naive,
        "reasons": "; ".join(decision.reasons),
    }


def _page(parts: Parts, run: Run) -> str:
    """The day's page, as HTML; its scores are those of forecasts made before this session."""
    key = {name: run.key[name] for name in ("universe", "recipe", "target")}
    forecasts, promotions = stored(parts, FORECASTS, run), stored(parts, PROMOTIONS, run)
    scores = parts.store.load(SCORES, **key, ticker=list(run.universe.tickers))
    charts = {}
    for ticker in forecasts["ticker"].unique():
        history = parts.store.prices(run.universe.source_id, ticker, run.session, run.known_at)
        charts[ticker] = reporting.forecast_chart(history, forecasts[forecasts["ticker"] == ticker])
    return reporting.day_page(
        run,
        forecasts,
        promotions,
        stored(parts, FINDINGS, run),
        stored(parts, CHECKS, run),
        scores[scores["session"] <= pd.Timestamp(run.session)],
        charts,
    )


def _is_live(parts: Parts, run: Run) -> bool:
    """Whether this run may move the live `champion` alias: its universe's own recipe and target, and no later session promoted."""
    declared = load_universes(parts.settings.universes).get(run.universe.name, run.universe)
    if any(getattr(run.universe, name) != getattr(declared, name) for name in ("recipe", "target", "horizon")):
        return False
    key = {name: run.key[name] for name in ("universe", "recipe", "target")}
    return bool((parts.store.load(PROMOTIONS, **key)["cutoff"] <= pd.Timestamp(run.session)).all())


def _forecast(parts: Parts, run: Run, promoted: dict) -> pd.DataFrame:
    """FORECASTS rows of one ticker."""
    ticker, model = promoted["ticker"], promoted["model_id"]
    rows = _datasets(parts, run, ticker)
    predictions = parts.store.load(PREDICTIONS, dataset=rows["live"]["dataset"], model=model)
    widths = parts.store.load(EVALUATIONS, dataset=rows["training"]["dataset"], model=model, split="test").set_index("horizon")
    window = windows.load_live(parts.artifacts.read_content("datasets", ".npz", rows["live"]["dataset"]))
    bands = {}
    for level in metrics.LEVELS:
        half = predictions["horizon"].map(widths[f"half_width_{level}"]).to_numpy()
        lower, upper = evaluation.interval(predictions["y_hat"].to_numpy()[None, :], window.unit, half)
        bands |= {f"lower_{level}": lower[0], f"upper_{level}": upper[0]}
    return FORECASTS.conform(
        predictions.assign(
            **_plain(run.key),
            ticker=ticker,
            session=pd.to_datetime([run.forecast_sessions[horizon - 1] for horizon in predictions["horizon"]]),
            last_value=float(window.base[0]),
            champion=promoted["champion"],
            model_id=model,
            **bands,
        )
    )


def _score_ticker(parts: Parts, run: Run, ticker: str, forecasts: pd.DataFrame, until: dt.date) -> pd.DataFrame:
    """SCORES rows of one ticker's forecasts whose session has come; those whose bar is missing wait.

    Actuals are brought back into dollars as of each forecast's cutoff: with adjusted prices p and the price on the tape q,
    actual = p[session] * q[cutoff] / p[cutoff].
    """
    source_id = run.universe.source_id
    adjusted = parts.store.prices(source_id, ticker, until, None).set_index("session")[run.universe.target]
    tape = parts.store.raw_prices(source_id, ticker, until, None).set_index("session")
    tape = tape["close" if run.universe.target == "adj_close" else run.universe.target]
    actual = forecasts["session"].map(adjusted) * forecasts["cutoff"].map(tape) / forecasts["cutoff"].map(adjusted)
    scored = forecasts.assign(
        actual=actual,
        error=actual - forecasts["y_hat"],
        naive_error=actual - forecasts["last_value"],
        inside_80=actual.between(forecasts["lower_80"], forecasts["upper_80"]),
        inside_95=actual.between(forecasts["lower_95"], forecasts["upper_95"]),
    )
    return SCORES.conform(scored[actual.notna()])


def stored(parts: Parts, table: Table, run: Run, tickers: list[str] | None = None) -> pd.DataFrame:
    """This run's rows of a table, for some tickers (by default all of the universe)."""
    return parts.store.load(table, **run.key, ticker=tickers or list(run.universe.tickers))


def _plain(key: dict[str, object]) -> dict[str, object]:
    """A run's key as columns: dates as the tables have them."""
    return {**key, "cutoff": pd.Timestamp(key["cutoff"])}


def _evidence(prices: pd.DataFrame, actions: pd.DataFrame, *rules: str) -> str:
    digest = hashlib.sha256("|".join(rules).encode())
    for frame in (prices, actions):
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def _raise_together(failures: dict[str, StockcastError]) -> None:
    """Nothing, the one error, or one that names them all; it may be tried again when one of them may."""
    if not failures:
        return
    first = next((error for error in failures.values() if isinstance(error, TryAgain)), next(iter(failures.values())))
    if len(failures) == 1:
        raise first
    raise type(first)(f"{len(failures)} tickers failed. " + " ".join(f"{ticker}: {error}" for ticker, error in failures.items()))
