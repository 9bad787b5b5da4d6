"""The day, told in order: one function per step. Each reads, thinks and writes; each may be repeated and then changes nothing.

    ingest -> check -> pretrain -> build_windows -> train -> evaluate -> promote -> publish -> score -> watch -> report

The DAG and the command line call these same functions. What one step leaves for the next is in the store and among the artifacts,
found by the run's key; only tickers and names travel between tasks.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from typing import TYPE_CHECKING

import pandas as pd

from pipeline import (
    charts,
    choices,
    combination,
    datasets,
    drift,
    embedding,
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
from pipeline.prices.source import fetch, newest_session, require_known
from pipeline.run import Run
from pipeline.tables import CALIBRATIONS, CHECKS, DATASETS, DRIFT, FINDINGS, FORECASTS, PREDICTIONS, PROMOTIONS, RUNS, SCORES
from pipeline.universes import Universe, load_universes

if TYPE_CHECKING:
    from pipeline.assembly import Parts
    from pipeline.sessions import Calendar

#: What is too long for a line of progress: the reasons of a decision.
log = logging.getLogger(__name__)

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
    """Looks at store, artifacts and tracking, so that one that cannot be reached fails the run before it has changed anything."""
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
    parts.tracker(run.universe).prepare()


def shards(tickers: list[str], shard_size: int, workers: int, recipe: Recipe | None = None) -> list[list[str]]:
    """Which tickers share a task: one each up to 12, so that each has its name in the grid; then two tasks a worker.

    All of them, where `recipe` trains one network on all.
    """
    if recipe is not None and recipe.pooled:
        return [tickers] if tickers else []
    size = shard_size or (1 if len(tickers) <= 12 else -(-len(tickers) // (2 * workers)))
    size = max(size, -(-len(tickers) // MOST_SHARDS))
    return [tickers[start : start + size] for start in range(0, len(tickers), size)]


def ingest(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Fetches what is new up to the session and stores it as revisions; a ticker that fails does not keep the others."""
    if run.replay:
        for ticker in tickers:
            known = parts.store.last_session(run.universe.source_id, ticker, run.session, run.known_at)
            if known != run.session:
                raise NothingStored(
                    f"{ticker} {run.session}: at {run.known_at.isoformat()} the newest session known was {known}. Give a later --known-at."
                )
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
    checks = parts.rows(CHECKS, run).set_index("ticker")
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


def pretrain(parts: Parts, run: Run) -> None:
    """Fits the networks that all stocks train together, from which their own go on; nothing, for a recipe whose stocks begin alone."""
    recipe = find_recipe(run.universe.recipe)
    if not recipe.fine_tuning:
        parts.progress("pretrain", "", f"nothing: {recipe.name} trains no network that others go on from")
        return
    for ticker in run.universe.tickers:
        built = datasets.build_pools(parts, run, recipe, ticker)
        parts.store.replace(DATASETS, built, **run.key, ticker=ticker, role=list(datasets.POOLS))
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
    for ticker in tickers:
        try:
            built = datasets.build(parts, run, recipe, ticker)
        except NotEnoughHistory as error:
            failures[ticker] = error
            parts.progress("build_windows", ticker, str(error))
            _save_checks(parts, run, {ticker: f"build_windows: {error}"}, evidence="")
            continue
        parts.store.replace(DATASETS, built, **run.key, ticker=ticker, role=list(datasets.OWN))
        training = built.set_index("role").loc["training"]
        told = training["reason"] or f"{training['sessions']} sessions up to {training['dataset_cutoff'].date()}"
        parts.progress("build_windows", ticker, f"dataset {training['dataset'][:12]}: {told}")
    if len(failures) == len(tickers):
        _raise_together(failures)


def train(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Fits the networks that are not there yet: of the current training cutoff, of the previous one, and the default recipe's beside another."""
    recipe = find_recipe(run.universe.recipe)
    wanted, shared = [], networks.pools(parts, run, recipe)
    for ticker in _still_in(parts, run, tickers):
        found = [network for network in networks.wanted(parts, run, recipe, ticker, shared) if network.role != "pooled"]
        if not found:
            parts.progress("train", ticker, "no network of its own to train")
        wanted += found
    _fit(parts, run, "train", wanted)


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
    """Measures networks and baselines on the same windows, forecasts with each of them, and tracks it all in MLflow."""
    recipe = find_recipe(run.universe.recipe)
    tickers = _still_in(parts, run, tickers)
    stocks = [forecasters.stock(parts, run, ticker) for ticker in tickers]
    for the in stocks:
        networks.evaluate_baselines(parts, the)
        forecasters.evaluate_statistical(parts, the)
    shared = networks.pools(parts, run, recipe)
    _raise_together(networks.evaluate(parts, run, recipe, stocks, shared))
    tracker = parts.tracker(run.universe)
    parent = records.open_session(parts, tracker, run, recipe)
    for ticker in tickers:
        record = records.stock_run(parts, run, recipe, ticker, shared)
        tracker.record(parent, record)
        parts.progress("evaluate", ticker, records.headline(record.metrics))


def promote(parts: Parts, run: Run) -> None:
    """Decides whose forecast is published for each ticker, and says why; a ticker that was not evaluated does not keep the others."""
    recipe = find_recipe(run.universe.recipe)
    live, tickers, failures, chosen = _is_live(parts, run), passed(parts, run), {}, {}
    shared = networks.pools(parts, run, recipe)
    for ticker in tickers:
        try:
            chosen[ticker] = choices.choose(parts, run, recipe, ticker, shared)
        except NothingStored as error:
            failures[ticker] = error
            parts.store.replace(PROMOTIONS, PROMOTIONS.empty(), **run.key, ticker=ticker)
            parts.progress("promote", ticker, str(error))
    # A year of one stock says little; how much networks are worth is judged on all stocks together.
    weights = combination.weights({ticker: choice.curve for ticker, choice in chosen.items() if choice.curve is not None})
    for ticker, choice in chosen.items():
        row = choices.row(parts, run, choice, weights.get(ticker, 0.0))
        parts.store.save(PROMOTIONS, pd.DataFrame([row]))
        if live:
            parts.tracker(run.universe).set_champion(ticker, None if row["champion"] in BASELINES else row["model_id"])
        parts.progress("promote", ticker, records.promoted(row))
        for reason in str(row["reasons"]).split("; "):
            log.info("promote %s: %s", ticker, reason)
    if len(failures) == len(tickers):
        _raise_together(failures)


def publish(parts: Parts, run: Run) -> None:
    """Writes the champions' forecasts with their intervals, all in one transaction, once they meet their expectations."""
    if find_recipe(run.universe.recipe).smoothing:
        parts.progress("publish", "", "nothing is published: what this recipe forecasts is a smoothed price, which nobody pays")
        return
    promotions = parts.rows(PROMOTIONS, run, passed(parts, run))
    if promotions.empty:
        raise NothingStored(f"{run.universe.name} {run.session}: nothing has been promoted. Run `promote` for this session first.")
    made = [choices.forecast(parts, run, row) for row in promotions.to_dict("records")]
    forecasts = FORECASTS.conform(pd.concat([rows for rows, _ in made]))
    calibrations = CALIBRATIONS.conform(pd.concat([rows for _, rows in made]))
    if not forecasts.equals(parts.rows(FORECASTS, run, list(promotions["ticker"]))):  # what is published has passed already
        parts.gate.check_forecasts(forecasts, list(run.forecast_sessions)).require()
    parts.store.replace(CALIBRATIONS, calibrations, **run.key, ticker=list(promotions["ticker"]))
    parts.store.replace(RUNS, records.runs(parts, run, list(promotions["ticker"])), **run.key, ticker=list(promotions["ticker"]))
    changed = parts.store.replace(FORECASTS, forecasts, **run.key, ticker=list(promotions["ticker"]))
    parts.progress("publish", "", f"{len(forecasts)} forecasts, {changed} of them new or changed")


def score(parts: Parts, run: Run) -> None:
    """Gives every earlier forecast of this universe whose session has come its realised error.

    It looks at all sessions that have been run, not at this one alone, so a backfill leaves the same scores in any order.
    """
    forecasts = parts.store.load(FORECASTS, **run.series, ticker=list(run.universe.tickers))
    until = max(run.session, forecasts["cutoff"].max().date()) if len(forecasts) else run.session
    due = forecasts[forecasts["session"] <= pd.Timestamp(until)]
    known = parts.store.load(SCORES, **run.series, ticker=list(run.universe.tickers))
    old = known[known["session"] < pd.Timestamp(run.session - dt.timedelta(days=RESCORED_DAYS))]
    names = list(SCORES.key)
    due = due[~due.set_index(names).index.isin(old.set_index(names).index)]
    scores = []
    for ticker, rows in due.groupby("ticker"):
        history, tape = (
            read(run.universe.source_id, str(ticker), until, None) for read in (parts.store.prices, parts.store.raw_prices)
        )
        scores.append(scoring.score(rows, _random_walk(parts, run, str(ticker)), history, tape, run.universe.target))
    changed = parts.store.save(SCORES, pd.concat(scores)) if scores else 0
    parts.progress("score", "", f"{len(due)} forecasts whose session has come, {changed} scores new or changed")


def _random_walk(parts: Parts, run: Run, ticker: str) -> pd.DataFrame:
    """What the EWMA random walk said at every session of this series: PREDICTIONS columns with their cutoff."""
    rows = parts.store.load(DATASETS, **run.series, ticker=ticker, role=["live", "training"])
    by_cutoff = rows.pivot(index="cutoff", columns="role", values="dataset").reindex(columns=["live", "training"]).dropna()
    asked = pd.DataFrame(
        {
            "cutoff": by_cutoff.index,
            "dataset": by_cutoff["live"].to_numpy(),
            "model": [networks.predicted_by(EWMA, training) for training in by_cutoff["training"]],
        }
    )
    said = parts.store.load(PREDICTIONS, dataset=sorted(set(asked["dataset"])), model=sorted(set(asked["model"])))
    return said.merge(asked, on=["dataset", "model"]).drop(columns=["dataset", "model"])


def watch(parts: Parts, run: Run) -> list[dict[str, str]]:
    """Says of each ticker whether its published forecasts and its network's inputs are within their bands.

    Returns what has left them: ticker, kind and the warning in words. Sessions after this one that have been run already are judged again, with
    the scores that this one has added, so a backfill leaves the same rows in any order.
    """
    promoted = list(parts.rows(PROMOTIONS, run, passed(parts, run))["ticker"])
    seen = {ticker: _stability(parts, run, ticker) for ticker in promoted}
    rows = [{**_plain(run.key), "ticker": ticker, "psi": psi} for ticker, psi in seen.items()]
    own = _judged(parts, run, pd.DataFrame(rows, columns=["ticker", "cutoff", "psi"]))
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


def _stability(parts: Parts, run: Run, ticker: str) -> float:
    """Population stability index of the newest sessions that a ticker's network sees, against those that it learnt from."""
    rows = datasets.by_role(parts, run, ticker)
    training = rows["training"]["dataset"]
    learnt, seen = datasets.load(parts, training).train, datasets.load_replay(parts, rows["live"]["dataset"], training)
    return drift.population_stability(learnt.past[:, -1], seen.past[-drift.WINDOWS :, -1]) if len(learnt) else float("nan")


def _judged_from_here_on(parts: Parts, run: Run) -> pd.DataFrame:
    rows = parts.store.load(DRIFT, **run.series, ticker=list(run.universe.tickers))
    return rows[rows["cutoff"] >= pd.Timestamp(run.session)]


def _judged(parts: Parts, run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """DRIFT rows for (ticker, cutoff, psi), by the scores of sessions that have come by the cutoff."""
    scores = parts.store.load(SCORES, **run.series, ticker=list(run.universe.tickers))
    by_ticker = dict(list(scores.groupby("ticker")))
    judged = []
    for row in rows.itertuples():
        known = by_ticker.get(row.ticker, SCORES.empty())
        judgement = drift.judge(known[known["session"] <= row.cutoff], row.psi)
        judged.append({**run.series, "ticker": row.ticker, "cutoff": row.cutoff, **judgement.row()})
    return DRIFT.conform(pd.DataFrame(judged)) if judged else DRIFT.empty()


def report(parts: Parts, run: Run) -> str:
    """Writes the day's page and closes the session in MLflow; returns where the page is."""
    passed(parts, run)
    name = report_file(run)
    parts.artifacts.write(name, _page(parts, run).encode())
    tracker = parts.tracker(run.universe)
    recipe = find_recipe(run.universe.recipe)
    parent = records.open_session(parts, tracker, run, recipe)
    metrics = records.session_metrics(parts.rows(PROMOTIONS, run), parts.rows(CHECKS, run), parts.rows(DRIFT, run))
    tracker.close_session(parent, metrics, records.session_files(parts, run, recipe))
    parts.progress("report", "", parts.artifacts.url(name))
    return parts.artifacts.url(name)


def probe(parts: Parts, run: Run) -> int:
    """Asks the source for a few sessions of one ticker and stores nothing; the number of bars it gave."""
    calendar, ticker = parts.calendar(run.universe), run.universe.tickers[0]
    first = _some_sessions_before(calendar, run.session, parts.settings.refetch_sessions, run.universe.start)
    return len(fetch(parts.source(run.universe), ticker, first, run.session, calendar, run.known_at).prices)


def summary(parts: Parts, run: Run) -> str:
    """The table that a person reads when the day is done."""
    return reporting.forecast_table(parts.rows(FORECASTS, run), parts.rows(PROMOTIONS, run), parts.rows(CHECKS, run))


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
    pretrain(parts, run)
    build_windows(parts, run, tickers)
    train(parts, run, tickers)
    evaluate(parts, run, tickers)
    promote(parts, run)
    publish(parts, run)
    score(parts, run)
    watch(parts, run)
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


def _some_sessions_before(calendar: Calendar, session: dt.date, count: int, start: dt.date) -> dt.date:
    earlier = calendar.sessions(max(start, session - dt.timedelta(days=3 * count + 10)), session)
    return earlier[max(len(earlier) - 1 - count, 0)] if earlier else start


def _check_some(parts: Parts, run: Run, tickers: list[str]) -> None:
    """Validates these tickers together, unless the same evidence was judged before."""
    source_id, recipe = run.universe.source_id, find_recipe(run.universe.recipe)
    prices = parts.store.raw_prices(source_id, tickers, run.session, run.known_at)
    actions = parts.store.actions(source_id, tickers, run.session, run.known_at)
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


def _still_in(parts: Parts, run: Run, tickers: list[str]) -> list[str]:
    """Those of a shard that no step before this one has quarantined."""
    admitted = set(passed(parts, run))
    return [ticker for ticker in tickers if ticker in admitted]


def _reasons(parts: Parts, run: Run, ticker: str) -> str:
    found = parts.rows(CHECKS, run, [ticker])
    return "" if found.empty else str(found["reasons"].iloc[0])


def _page(parts: Parts, run: Run) -> str:
    """The day's page, as HTML; its scores are those of forecasts made before this session."""
    forecasts, promotions = parts.rows(FORECASTS, run), parts.rows(PROMOTIONS, run)
    scores = parts.store.load(SCORES, **run.series, ticker=list(run.universe.tickers))
    pictures = {}
    for ticker in forecasts["ticker"].unique():
        history = parts.store.prices(run.universe.source_id, ticker, run.session, run.known_at)
        pictures[ticker] = charts.forecast_chart(history, forecasts[forecasts["ticker"] == ticker])
    calibrations, watched = parts.rows(CALIBRATIONS, run), parts.store.load(DRIFT, **run.series, ticker=list(run.universe.tickers))
    watched = watched[watched["cutoff"] <= pd.Timestamp(run.session)]
    return reporting.day_page(
        run,
        reporting.Day(
            forecasts=forecasts,
            promotions=promotions,
            calibrations=calibrations,
            findings=parts.rows(FINDINGS, run),
            checks=parts.rows(CHECKS, run),
            scores=scores[scores["session"] <= pd.Timestamp(run.session)],
            drift=watched[watched["cutoff"] == pd.Timestamp(run.session)],
        ),
        pictures,
        {
            "calibration": charts.calibration_chart(calibrations) if len(calibrations) else b"",
            "drift": charts.drift_chart(watched) if watched["coverage_80"].notna().any() else b"",
        },
    )


def _is_live(parts: Parts, run: Run) -> bool:
    """Whether this run may move the live `champion` alias: its universe's own recipe and target, and no later session promoted."""
    declared = load_universes(parts.settings.universes).get(run.universe.name, run.universe)
    if any(getattr(run.universe, name) != getattr(declared, name) for name in ("recipe", "target", "horizon")):
        return False
    return bool((parts.store.load(PROMOTIONS, **run.series)["cutoff"] <= pd.Timestamp(run.session)).all())


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
