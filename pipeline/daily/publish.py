"""Step `publish`: calibrate what was decided, and write the forecasts with their intervals.

All that it needs has been decided and replayed: it looks at no windows and no prices, but at
declared dividends. Forecasts, decisions, calibrations and the run's request are written in one
transaction; then the alias `champion` moves in MLflow, onto models that answer with them.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import lineup
from pipeline.daily.admission import admit, hold_back, judged_as_of
from pipeline.daily.known_events import dividends_ahead, note_events
from pipeline.daily.plan import decisive_settings
from pipeline.daily.promote import choice_of
from pipeline.daily.served_champions import published_models
from pipeline.daily.table_rows import row_dicts
from pipeline.decisions import Choice, ChoiceReplay, Publication, decode_replay, publication
from pipeline.errors import NothingStored, QualityGateFailed, StockcastError
from pipeline.outcomes import Outcomes, outcome_of_each, outcome_together
from pipeline.reporting import first_names
from pipeline.run import Run
from pipeline.storage import digest_of
from pipeline.tables import CALIBRATIONS, FORECASTS, PROMOTIONS, RUN_TICKERS, RUNS
from pipeline.universes import load_universes
from pipeline.version import code_version, library_versions

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "publish"
#: What a run must have in common with its declared universe to move the alias `champion`.
IDENTIFYING = ("recipe", "target", "horizon")


def publish(parts: Parts, run: Run) -> None:
    """Write the champions' forecasts, once they meet their expectations.

    A ticker whose forecasts break them, or cannot be made, is held back. What was published before
    for an admitted ticker that has none this time is withdrawn.

    Raises:
        NothingStored: nothing has been promoted.
        QualityGateFailed: the forecasts of all tickers break their expectations.
    """
    tickers = admit(parts, run, run.universe.tickers, STEP)
    promotions = lineup.decisions(parts, run, tickers)
    if promotions.empty:
        raise NothingStored(
            f"{run.universe.name} {run.session}: nothing has been promoted. "
            "Run `promote` for this session first."
        )
    if parts.recipes.for_price(run.universe.recipe).smoothing:
        parts.store.replace(PROMOTIONS, promotions, **run.key, ticker=tickers)
        smoothed = "this recipe forecasts a smoothed price, which nobody pays"
        parts.progress(STEP, "", f"nothing is published: {smoothed}")
        return
    every = _publications(parts, run, promotions)
    made = every.results
    broken = _broken(parts, run, made, tickers)
    hold_back(parts, run, STEP, {**every.failures, **broken}, list(promotions["ticker"]))
    sound = [ticker for ticker in made if ticker not in broken]
    _write(parts, run, promotions[promotions["ticker"].isin(sound)], made, tickers)
    if run.universe.events_id:
        published = _forecasts(made[ticker] for ticker in sound)
        note_events(
            parts, run, dict(zip(published["ticker"], published["last_value"], strict=True))
        )


def _move_aliases(
    parts: Parts, run: Run, promotions: pd.DataFrame, made: Mapping[str, Publication]
) -> None:
    """Point the alias `champion` at what has been published, unless a later session has been."""
    if not speaks_for_universe(parts, run):
        return
    champions = published_models(parts, run, promotions, made)
    parts.tracker(run.universe.name).set_champions(champions, lambda: is_newest_session(parts, run))


def speaks_for_universe(parts: Parts, run: Run) -> bool:
    """Return whether a run is as its universe is declared, and no rehearsal."""
    universe = run.universe
    declared = load_universes(parts.settings.universes).get(universe.name, universe)
    differs = any(getattr(universe, name) != getattr(declared, name) for name in IDENTIFYING)
    return not (differs or universe.is_rehearsal)


def is_newest_session(parts: Parts, run: Run) -> bool:
    """Return whether no session after a run's has been published of its series."""
    newest = parts.store.greatest(PROMOTIONS, "cutoff", **run.series)
    return newest is None or bool(newest <= run.session)


def _publications(parts: Parts, run: Run, promotions: pd.DataFrame) -> Outcomes[Publication]:
    """Blend and calibrate what was decided, by ticker.

    Raises:
        NothingStored: a replay was removed (`stockcast prune`): what stands is left alone.
    """
    rows = {row["ticker"]: row for row in row_dicts(promotions)}
    lineups = lineup.load_each(parts, run, list(rows))

    unreplayed: list[str] = []

    def read(ticker: str) -> tuple[Choice, ChoiceReplay]:
        own = lineups.results[ticker]
        try:
            replay = decode_replay(parts.artifacts.read_derived(own.replay_file))
        except NothingStored:
            unreplayed.append(ticker)
            raise
        return choice_of(parts, run, ticker, own), replay

    files = outcome_of_each(lineups.results, read)
    dividends = dividends_ahead(parts, run, list(files.results))
    if unreplayed:  # no fault of theirs, for which they would be held back
        raise NothingStored(
            f"{run.universe.name} {run.session}: the replays of {first_names(unreplayed)} are not "
            "there (any more). Run `evaluate` for this session first."
        )

    def made(tickers: list[str]) -> dict[str, Publication]:
        choices = {ticker: files.results[ticker][0] for ticker in tickers}
        replays = {ticker: files.results[ticker][1] for ticker in tickers}
        decided = [rows[ticker] for ticker in tickers]
        together = publication(run, decided, choices, replays, dividends)
        return together.by_ticker()

    done = outcome_together(list(files.results), made)
    return Outcomes(done.results, {**lineups.failures, **files.failures, **done.failures})


def _broken(
    parts: Parts, run: Run, made: Mapping[str, Publication], tickers: Sequence[str]
) -> dict[str, StockcastError]:
    """Return by ticker the expectations that its forecasts break.

    Those that are published already have passed.
    """
    forecasts = _forecasts(made.values())
    if forecasts.equals(parts.rows(FORECASTS, run, tickers)):
        return {}

    def judge(some: list[str]) -> dict[str, str]:
        own = forecasts[forecasts["ticker"].isin(some)]
        verdict = parts.gate.check_forecasts(own, list(run.forecast_sessions))
        return {ticker: verdict.broken.get(ticker, "") for ticker in some}

    judged = outcome_together(list(made), judge)
    broken: dict[str, StockcastError] = {
        ticker: QualityGateFailed(reason) for ticker, reason in judged.results.items() if reason
    }
    return {**judged.failures, **broken}


def _forecasts(made: Iterable[Publication]) -> pd.DataFrame:
    tables = [FORECASTS.empty(), *(each.forecasts for each in made)]
    return FORECASTS.conform(pd.concat(tables))


def _write(
    parts: Parts,
    run: Run,
    promotions: pd.DataFrame,
    made: Mapping[str, Publication],
    tickers: Sequence[str],
) -> None:
    """Write what has passed, and withdraw what else stands of these tickers.

    Args:
        promotions: the decisions that have passed.
        made: by ticker.
    """
    passed = {ticker: made[ticker] for ticker in promotions["ticker"]}
    forecasts = _forecasts(passed.values())
    calibrations = [CALIBRATIONS.empty(), *(each.calibrations for each in passed.values())]
    known_at = judged_as_of(parts, run)
    asked = _run_row(parts, run, known_at)
    members = [{**run.key, "ticker": t, "run_id": asked["run_id"]} for t in passed]
    beside = [
        (PROMOTIONS, promotions),
        (CALIBRATIONS, CALIBRATIONS.conform(pd.concat(calibrations))),
        *([(RUNS, pd.DataFrame([asked]))] if members else []),
        (RUN_TICKERS, pd.DataFrame(members) if members else RUN_TICKERS.empty()),
    ]
    changed = parts.store.publications.publish(
        forecasts, beside, known_at, parts.asked_by, **run.key, ticker=list(tickers)
    )
    message = f"{len(forecasts)} forecasts, {changed} of them new or changed"
    rehearsed = ": a rehearsal's, kept apart" if run.universe.is_rehearsal else ""
    parts.progress(STEP, "", message + rehearsed)
    _move_aliases(parts, run, promotions, passed)


def _run_row(parts: Parts, run: Run, known_at: dt.datetime | None) -> dict[str, object]:
    """Return the RUNS row.

    It is the same whenever the same run is repeated on the same prices with the same program.
    """
    row = {
        **run.key,
        "source_id": run.universe.source_id,
        "known_at": known_at,
        "request": json.dumps(run.to_json()["universe"], sort_keys=True),
        "settings": json.dumps(decisive_settings(parts.settings), sort_keys=True),
        "code_version": code_version(),
        "libraries": json.dumps(library_versions(), sort_keys=True),
    }
    moment = known_at and pd.to_datetime(known_at, utc=True).tz_localize(None)
    texts = {
        "cutoff": run.session.isoformat(),
        "known_at": moment and moment.isoformat(timespec="microseconds"),
    }
    return {"run_id": digest_of({**row, **texts}), **row, "known_at": moment}
