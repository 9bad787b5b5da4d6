"""Does anything look ahead? Everything after a cutoff is made another, and whatever the recipe or the day then says otherwise is reported.

    session   the whole day, with the future in the store: prices, volumes, splits, dividends after the session, and corrections that became known
              after the run, are changed in a second home; not one byte of what the run leaves may differ
    split     inside a dataset: the test sessions are changed before anything is trained; nothing that was learnt or chosen may differ
    window    inside the test sessions: what comes after a window's last session is changed; what is said at it, and before, may not differ

What no perturbation can show: that something was chosen by a person who had seen the test sessions.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import choices, combination, datasets, evaluation, networks, rehearsal, steps, windows
from pipeline.errors import NotEnoughHistory, StockcastError
from pipeline.masking import mask
from pipeline.models import lent
from pipeline.models.baselines import BASELINES, EWMA
from pipeline.models.recipe import Recipe
from pipeline.prices.adjustment import adjust
from pipeline.prices.source import fetch, newest_session, require_known
from pipeline.rehearsal import Rehearsal
from pipeline.run import Run
from pipeline.splits import Newest
from pipeline.tables import (
    ACTION_REVISIONS,
    ACTIONS,
    CALIBRATIONS,
    CHECKS,
    DATASETS,
    EVALUATIONS,
    FINDINGS,
    FORECASTS,
    MODELS,
    PREDICTIONS,
    PRICE_COLUMNS,
    PRICE_REVISIONS,
    PRICES,
    PROMOTIONS,
    RUNS,
)
from pipeline.training import SHARED, FitJob, PredictJob, Trained

if TYPE_CHECKING:
    from pipeline.assembly import Parts
    from pipeline.sessions import Calendar
    from pipeline.training import Workers
    from pipeline.universes import Universe

LEVELS = ("session", "split", "window")
STEP = "audit"
#: Epochs that are trained where nothing else is asked for: a leak into what is learnt shows after the first.
EPOCHS = 2
CUTOFFS = 2
#: Windows that a network learns from in an audit: enough for a distribution's shape.
TRAINED = 60
#: Held out before the test sessions where the recipe holds none out, as the day does (`datasets.VALIDATION`), but fewer.
VALIDATION = Newest(60)
#: Sessions beyond the fewest that a recipe needs: exchanges have holidays.
SPARE = 30
#: Sessions between the cutoffs of the session level, and after the newest of them.
APART = 15
#: Sessions up to a cutoff that are corrected, as it becomes known after the run.
CORRECTED = 10
#: Tickers that are looked at where stocks share a network, and where they do not; of so many that the longest histories are taken from.
SHARING, ALONE, CANDIDATES = 2, 1, 6
SEED = 11

#: What was compared: a table, numbers, or a file; by name, in groups that the report has a line for.
Values = dict[str, "pd.DataFrame | np.ndarray | bytes"]
Outputs = dict[str, Values]


@dataclass(frozen=True)
class Bars:
    """A ticker's prices as traded (`PRICES`) and its corporate actions (`ACTIONS`)."""

    prices: pd.DataFrame
    actions: pd.DataFrame


@dataclass(frozen=True)
class Compared:
    """One line of the report. `cells`: numbers, rows' cells and files compared; `moved`: the first that moved, before and after, "" for none."""

    level: str
    cutoff: dt.date
    what: str
    cells: int
    moved: str


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        shortened: what of the recipe's training and of the histories was left out, in words.
        nothing: why there is nothing to audit; "" where there is.
    """

    recipe: str
    compared: tuple[Compared, ...]
    shortened: tuple[str, ...] = ()
    nothing: str = ""

    @property
    def moved(self) -> list[Compared]:
        return [line for line in self.compared if line.moved]

    def table(self) -> pd.DataFrame:
        rows = [{**dataclasses.asdict(line), "moved": line.moved or "nothing"} for line in self.compared]
        return pd.DataFrame(rows, columns=[field.name for field in dataclasses.fields(Compared)])

    def verdict(self) -> str:
        """The sentence that a person reads."""
        if self.nothing:
            return f"{self.recipe}: nothing to audit. {self.nothing}"
        if self.moved:
            levels = ", ".join(dict.fromkeys(line.level for line in self.moved))
            return f"{self.recipe} looks ahead: {len(self.moved)} of {len(self.compared)} outputs moved ({levels})."
        return (
            f"{self.recipe}: nothing moved in {len(self.compared)} outputs of {sum(line.cells for line in self.compared):,} cells."
        )


def bars_of(parts: Parts, universe: Universe, recipe: Recipe, asked: Sequence[str], now: dt.datetime) -> dict[str, Bars]:
    """All that the universe's source has of some tickers; nothing of it is kept in the store.

    Args:
        asked: which; where empty, of the first of the universe the one with the longest history, or the two where the recipe's stocks share
            a network.
    """
    source, calendar = parts.source(universe), parts.calendar(universe)
    tickers = list(asked) or list(universe.tickers[:CANDIDATES])
    require_known(source, tickers)
    newest = newest_session(source, tickers, calendar, now)
    fetched = {ticker: fetch(source, ticker, universe.start, newest, calendar, now) for ticker in tickers}
    longest = sorted(tickers, key=lambda ticker: -len(fetched[ticker].prices))  # of equals, the first of the universe
    chosen = tickers if asked else longest[: SHARING if recipe.knows_symbols else ALONE]
    return {ticker: Bars(fetched[ticker].prices, fetched[ticker].actions) for ticker in chosen}


def audit(
    parts: Parts,
    recipe: Recipe,
    universe: Universe,
    bars: Mapping[str, Bars],
    cutoffs: int = CUTOFFS,
    epochs: int = EPOCHS,
    levels: Sequence[str] = LEVELS,
) -> Report:
    """Looks for outputs of a recipe that owe something to what came after them.

    Args:
        parts: their settings and workers are used; their store and artifacts are not touched.
        universe: target, horizon, calendar and cadences; `bars` has its tickers.
        cutoffs: of the session and of the window level.
        epochs: at most so many are trained.

    Raises:
        NotEnoughHistory: a ticker has too few sessions for the recipe.
    """
    if recipe.exercises:
        return nothing(recipe)
    short = shortened(recipe, epochs)
    universe = dataclasses.replace(universe, recipe=recipe.name, tickers=tuple(bars))
    calendar = parts.calendar(universe)
    lengths, found = {}, []
    if "session" in levels:
        some, lengths["session"] = _newest(bars, _session_length(parts, short, universe, bars, cutoffs))
        found += _session_level(parts, short, universe, some, cutoffs)
    if "split" in levels or "window" in levels:
        files = {ticker: _file(short, universe, calendar, ticker, each) for ticker, each in bars.items()}
        lengths["split and window"] = max(len(windows.decode(file)[1]) for file in files.values())
        trained = _trained(parts.workers, short, files, parts.settings.seed)
        before = _asked(parts.workers, files, trained)
        if "split" in levels:
            found += _split_level(parts, short, files, before)
        if "window" in levels:
            found += _window_level(parts, files, before, cutoffs)
    return Report(recipe.name, tuple(found), tuple(_told(recipe, short, lengths, bars)))


def nothing(recipe: Recipe) -> Report:
    """The report on a recipe that needs no prices."""
    return Report(recipe.name, (), nothing="It makes its own examples; there are no sessions that it could look ahead to.")


def shortened(recipe: Recipe, epochs: int) -> Recipe:
    """The same recipe with a short training on few windows; what a window is, and how it is normalised, stays."""
    tuning = recipe.fine_tuning and dataclasses.replace(
        recipe.fine_tuning, epochs=min(recipe.fine_tuning.epochs, max(epochs - 1, 1))
    )
    split = dataclasses.replace(recipe.split, min_train_windows=min(recipe.split.min_train_windows, TRAINED))
    return dataclasses.replace(recipe, epochs=min(recipe.epochs, epochs), fine_tuning=tuning, split=split)


def _told(recipe: Recipe, short: Recipe, lengths: Mapping[str, int], bars: Mapping[str, Bars]) -> Iterator[str]:
    yield f"tickers: {', '.join(bars)}"
    if short.epochs < recipe.epochs:
        tuning = f", fine tuning {short.fine_tuning.epochs} of {recipe.fine_tuning.epochs}" if recipe.fine_tuning else ""
        yield f"training: {short.epochs} of {recipe.epochs} epochs{tuning}; what shows only later is not seen (--epochs trains longer)"
    longest = max(len(each.prices) for each in bars.values())
    for level, length in lengths.items():
        if length < longest:
            yield f"{level} level: the newest {length} of {longest} sessions, {short.split.min_train_windows} windows or more to learn from"


# --- another future ------------------------------------------------------------------------------------------------------------


def perturbed(prices: pd.DataFrame, after: dt.date, seed: int = SEED) -> pd.DataFrame:
    """One ticker's prices (`PRICES` or `HISTORY`), where every bar after a session is another.

    What rose falls: closes are mirrored at the last one known, three times as high, with noise; bars are wider, volumes others. What is
    missing stays missing, so that the same windows can be cut.
    """
    later = (prices["session"] > pd.Timestamp(after)).to_numpy()
    count, random = int(later.sum()), np.random.default_rng(seed)
    table = prices.copy()
    if not count:
        return table
    close = table["close"].ffill().bfill().to_numpy()
    anchor = close[~later][-1] if (~later).any() else close[0]
    factor = 3 * (anchor / close[later]) ** 2 * np.exp(random.normal(0, 0.02, count))
    for name in [*PRICE_COLUMNS, *({"adj_close"} & set(table.columns))]:
        table.loc[later, name] *= factor
    table.loc[later, "high"] *= 1 + random.uniform(0, 0.03, count)
    table.loc[later, "low"] *= 1 - random.uniform(0, 0.03, count)
    table.loc[later, "volume"] *= np.exp(random.normal(1.5, 0.7, count))
    return table


def _other_actions(actions: pd.DataFrame, ticker: str, sessions: pd.Series, after: dt.date) -> pd.DataFrame:
    """The same corporate actions up to a session; after it, a split and a dividend that never were, and no others."""
    later = sessions[sessions > pd.Timestamp(after)].sort_values()
    made = pd.DataFrame({"ticker": ticker, "session": later.iloc[[1, 3]], "kind": ["split", "dividend"], "value": [3.0, 1.5]})
    return ACTIONS.conform(pd.concat([actions[actions["session"] <= pd.Timestamp(after)], made]))


# --- the session level ---------------------------------------------------------------------------------------------------------


def _session_length(parts: Parts, recipe: Recipe, universe: Universe, bars: Mapping[str, Bars], cutoffs: int) -> int:
    """Sessions that let the networks of the oldest cutoff, its previous ones and their pools among them, be trained."""
    sessions = _sessions(bars)
    oldest = sessions[max(len(sessions) - 1 - APART * cutoffs, 0)]
    run = steps.run_of(parts, universe, oldest, dt.datetime.now(dt.UTC), replay=True)
    first = run.previous_pool_cutoff if recipe.fine_tuning else run.previous_cutoff
    needed = datasets.spec_of(run, recipe, "", first).needed_sessions + SPARE + sum(session > first for session in sessions)
    for ticker, each in bars.items():
        if len(each.prices) < needed:
            raise NotEnoughHistory(
                f"{ticker}: {len(each.prices)} sessions, {needed} needed to audit {recipe.name} at {cutoffs} sessions before its end. "
                "Name a ticker with a longer history, or fewer --cutoffs."
            )
    return needed


def _sessions(bars: Mapping[str, Bars]) -> list[dt.date]:
    """The sessions that all tickers have."""
    shared = set.intersection(*(set(each.prices["session"]) for each in bars.values()))
    return [session.date() for session in sorted(shared)]


def _newest(bars: Mapping[str, Bars], count: int) -> tuple[dict[str, Bars], int]:
    some = {}
    for ticker, each in bars.items():
        prices = each.prices.sort_values("session").tail(count)
        some[ticker] = Bars(prices, each.actions[each.actions["session"] >= prices["session"].min()])
    return some, count


def _session_level(parts: Parts, recipe: Recipe, universe: Universe, bars: Mapping[str, Bars], cutoffs: int) -> Iterator[Compared]:
    sessions = _sessions(bars)
    known_at = dt.datetime.combine(sessions[-1], dt.time(), dt.UTC) + dt.timedelta(days=2)
    universe = dataclasses.replace(universe, start=sessions[0])
    with tempfile.TemporaryDirectory() as folder, lent(recipe), Rehearsal(Path(folder, "before"), parts.settings) as before:
        _fill(before, universe, bars, known_at)
        for back in range(cutoffs, 0, -1):
            cutoff = sessions[-1 - APART * back]
            run = steps.run_of(before, universe, cutoff, known_at, replay=True)
            parts.progress(STEP, "", f"{recipe.name}: the day {cutoff}, twice")
            rehearsal.day(before, run)
            with Rehearsal(Path(folder, f"after {cutoff}"), parts.settings) as after:
                _fill(after, universe, bars, known_at, cutoff)
                rehearsal.day(after, run)
                yield from _compared("session", cutoff, _left(before, run, recipe), _left(after, run, recipe))


def _fill(parts: Parts, universe: Universe, bars: Mapping[str, Bars], known_at: dt.datetime, cutoff: dt.date | None = None) -> None:
    """Puts the whole history, the future of any cutoff included, into a store; with `cutoff`, another future, known at other moments."""
    before = dt.timedelta(days=1)
    for ticker, each in bars.items():
        prices, actions = each.prices.assign(known_at=known_at - before), each.actions.assign(known_at=known_at - before)
        if cutoff:
            prices = perturbed(prices, cutoff)
            later = prices["session"] > pd.Timestamp(cutoff)
            prices.loc[later, "known_at"] = known_at - before * np.arange(later.sum())
            corrections = prices[~later].tail(CORRECTED).assign(known_at=known_at + before)
            corrections[PRICE_COLUMNS] *= 1.5
            prices = pd.concat([prices, corrections])
            actions = _other_actions(each.actions, ticker, each.prices["session"], cutoff).assign(known_at=known_at - before)
        for table, rows in ((PRICE_REVISIONS, prices), (ACTION_REVISIONS, actions)):
            rows["known_at"] = pd.to_datetime(rows["known_at"], utc=True).dt.tz_localize(None)
            parts.store.save(table, rows.assign(source_id=universe.source_id))


def _left(parts: Parts, run: Run, recipe: Recipe) -> Outputs:
    """All that a run has left in the store and among the artifacts."""
    rows = parts.rows(DATASETS, run)
    roles = datasets.by_ticker(parts, run, sorted(set(rows[rows["role"] == "live"]["ticker"])))
    own = networks.wanted(parts, run, recipe, roles)
    found = {f"{network.stock} {network.role}": network for each in own.values() for network in each}
    found |= {f"{SHARED} {network.role}": network for network in networks.pools(parts, run, recipe)}
    ids = [network.model_id for network in found.values()]
    said: Values = {}
    for ticker, each in own.items():
        name = choices.identity(parts, recipe, roles[ticker]["training"], networks.compared(each))
        files = {"choice": choices.file_of(name), "replay": choices.replay_file(name, roles[ticker]["live"]["dataset"])}
        said |= {f"{ticker} {kind}": parts.artifacts.read(file) for kind, file in files.items()}
    tables = {
        table.name: {table.name: parts.rows(table, run)} for table in (CHECKS, FINDINGS, PROMOTIONS, CALIBRATIONS, FORECASTS, RUNS)
    }
    kept = parts.store.load(DATASETS, **run.key)
    measured = kept[kept["role"].isin(["training", "default"])]  # earlier runs have measured theirs on the others
    return {
        "datasets": {
            "datasets": kept,
            **{f"{row.ticker} {row.role}": datasets.read(parts, row.dataset) for row in kept.itertuples()},
        },
        "network files": {name: parts.artifacts.read(network.file) for name, network in found.items()},
        "models": {"models": parts.store.load(MODELS, model_id=ids)},
        "evaluations": {"evaluations": parts.store.load(EVALUATIONS, dataset=sorted(set(measured["dataset"])))},
        "predictions": {"predictions": parts.store.load(PREDICTIONS, dataset=sorted(set(kept["dataset"]))), **said},
        **tables,
    }


# --- the split and the window level --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Networks:
    """`shared`: the network that the stocks' own begin with, None where they begin anew."""

    own: dict[str, Trained]
    shared: Trained | None


def _file(recipe: Recipe, universe: Universe, calendar: Calendar, ticker: str, bars: Bars) -> bytes:
    """The dataset file of the shortest history that the recipe can be trained on, cut as the day cuts it."""
    cutoff = bars.prices["session"].max().date()
    spec = recipe.spec(ticker, cutoff, universe.target, universe.horizon)
    if spec.split.validation is None:  # the day holds some sessions out before the test ones; fewer do here
        spec = dataclasses.replace(spec, split=dataclasses.replace(spec.split, validation=VALIDATION))
    history = mask(adjust(PRICES.conform(bars.prices), bars.actions, cutoff))
    history = windows.on_calendar(history, calendar.sessions(universe.start, cutoff))
    if len(history) < spec.needed_sessions:
        raise NotEnoughHistory(
            f"{ticker}: {len(history)} sessions up to {cutoff}, {spec.needed_sessions} needed to audit {recipe.name}. "
            "Name a ticker with a longer history."
        )
    return windows.encode(history.tail(spec.needed_sessions + SPARE), spec)


def _trained(workers: Workers, recipe: Recipe, files: Mapping[str, bytes], seed: int) -> _Networks:
    shared = None
    if recipe.pooled:
        [trained] = _fitted(workers, [FitJob(SHARED, recipe, dict(files), seed)])
        return _Networks(dict.fromkeys(files, trained), None)
    if recipe.fine_tuning:
        [shared] = _fitted(workers, [FitJob(SHARED, recipe.pool, dict(files), seed)])
    base = shared.model if shared else None
    jobs = [FitJob(ticker, recipe, {ticker: file}, seed, base=base) for ticker, file in files.items()]
    return _Networks(dict(zip(files, _fitted(workers, jobs), strict=True)), shared)


def _fitted(workers: Workers, jobs: list[FitJob]) -> list[Trained]:
    outcomes = {id(job): outcome for job, outcome in workers.fit_all(jobs)}
    return [_require(outcomes[id(job)]) for job in jobs]


def _require(outcome: object) -> object:
    if isinstance(outcome, StockcastError):
        raise outcome
    return outcome


@dataclass(frozen=True)
class _Answers:
    """Dataset files cut into windows, the networks that were asked about validation and test, and what they said, not calibrated."""

    cuts: dict[str, windows.Dataset]
    trained: _Networks
    said: dict[str, tuple[np.ndarray, ...]]


def _asked(workers: Workers, files: Mapping[str, bytes], trained: _Networks) -> _Answers:
    cuts = {ticker: windows.load_dataset(file) for ticker, file in files.items()}
    jobs = [
        PredictJob(ticker, trained.own[ticker].model, (cut.validation, cut.test), cut.spec.horizon) for ticker, cut in cuts.items()
    ]
    return _Answers(cuts, trained, {job.ticker: _require(outcome) for job, outcome in workers.predict_all(jobs)})


def _split_level(parts: Parts, recipe: Recipe, files: Mapping[str, bytes], before: _Answers) -> Iterator[Compared]:
    last = {ticker: _last_validated(file) for ticker, file in files.items()}
    cutoff = min(last.values())
    parts.progress(STEP, "", f"{recipe.name}: another test part, after {cutoff}")
    other = {ticker: _with_another_future(file, last[ticker]) for ticker, file in files.items()}
    after = _asked(parts.workers, other, _trained(parts.workers, recipe, other, parts.settings.seed))
    ours, theirs = ({**_learnt(each.trained), **_told_until(each, None)} for each in (before, after))
    yield from _compared("split", cutoff, ours, theirs)


def _last_validated(file: bytes) -> dt.date:
    """The last session that a validation window knows: what comes after is the test's alone."""
    spec, history = windows.decode(file)
    return history["session"].iloc[windows.load_dataset(file).validation.position[-1] + spec.reach].date()


def _with_another_future(file: bytes, after: dt.date) -> bytes:
    spec, history = windows.decode(file)
    return windows.encode(perturbed(history, after), spec)


def _learnt(trained: _Networks) -> Outputs:
    """The networks, and the losses that chose their epoch."""
    every = {**trained.own, **({SHARED: trained.shared} if trained.shared else {})}
    return {
        "network files": {name: each.model for name, each in every.items()},
        "losses by epoch": {
            f"{name} {loss}": np.array(each.history[loss]) for name, each in every.items() for loss in each.history
        },
    }


def _window_level(parts: Parts, files: Mapping[str, bytes], before: _Answers, cutoffs: int) -> Iterator[Compared]:
    origins = next(iter(before.cuts.values())).test.origins
    for number in range(1, cutoffs + 1):
        cutoff = origins[len(origins) * number // (cutoffs + 1)].astype(object)
        parts.progress(STEP, "", f"another future for windows that end after {cutoff}")
        other = {ticker: _with_another_future(file, cutoff) for ticker, file in files.items()}
        after = _asked(parts.workers, other, before.trained)
        yield from _compared("window", cutoff, _told_until(before, cutoff), _told_until(after, cutoff))


def _told_until(answers: _Answers, cutoff: dt.date | None) -> Outputs:
    """What is seen and said of the windows up to a cutoff (None: of those that are learnt from and validated on)."""
    inputs, raw, curves, mixes = {}, {}, {}, {}
    for ticker, cut in answers.cuts.items():
        ours = evaluation.quantiles_of(cut.validation, answers.said[ticker], (cut.test,))
        ewma = BASELINES[EWMA].fit(cut.train, cut.spec.horizon)
        theirs = tuple(ewma(part) for part in (cut.validation, cut.test))
        curves[ticker] = combination.curve(cut.validation, ours[0], theirs[0])
        mixes[ticker] = ours, theirs
        for name, part, network, baseline in zip(("validation", "test"), (cut.validation, cut.test), ours, theirs, strict=True):
            rows = _rows(name, part, cutoff)
            inputs |= _seen(f"{ticker} {name}", part, rows)
            raw |= {f"{ticker} {name}": network[rows], f"{ticker} {name} ewma": baseline[rows]}
        if cutoff is None:
            inputs |= _seen(f"{ticker} training", cut.train, slice(None)) | {
                f"{ticker} {name} targets": part.future for name, part in (("training", cut.train), ("validation", cut.validation))
            }
    weights = combination.weights(curves)
    calibrated = {
        f"{ticker} {name}": said
        for ticker, cut in answers.cuts.items()
        for name, said in _calibrated(cut, *mixes[ticker], weights[ticker], cutoff).items()
    }
    return {
        "inputs": inputs,
        "forecasts": raw,
        "weights": {ticker: np.array(weight) for ticker, weight in weights.items()},
        "calibrated forecasts": calibrated,
    }


def _rows(name: str, part: windows.Windows, cutoff: dt.date | None) -> np.ndarray:
    """Which windows of a part are not after the cutoff."""
    if cutoff is None:
        return np.full(len(part), name == "validation")
    return part.origins <= np.datetime64(cutoff, "D")


def _seen(name: str, part: windows.Windows, rows: np.ndarray | slice) -> Values:
    return {f"{name} {array}": getattr(part, array)[rows] for array in ("past", "offset", "scale", "unit")}


def _calibrated(
    dataset: windows.Dataset,
    ours: tuple[np.ndarray, ...],
    theirs: tuple[np.ndarray, ...],
    weight: float,
    cutoff: dt.date | None,
) -> Values:
    """What would have been published, day by day: the mix with the baseline, calibrated by what had come."""
    mixed = [combination.mixed(network, baseline, weight) for network, baseline in zip(ours, theirs, strict=True)]
    rows = np.concatenate([_rows("validation", dataset.validation, cutoff), _rows("test", dataset.test, cutoff)])
    return {"mixed": np.concatenate(mixed)[rows], "calibrated": evaluation.calibrated(dataset, *mixed)[rows]}


# --- comparing -----------------------------------------------------------------------------------------------------------------


def _compared(level: str, cutoff: dt.date, before: Outputs, after: Outputs) -> Iterator[Compared]:
    for what in before:
        ours, theirs = before[what], after[what]
        moves = [f"{name}{told}" for name in ours if name in theirs and (told := difference(ours[name], theirs[name]))]
        strangers = sorted(set(ours) ^ set(theirs))
        moves += [f"{name} is there {'before' if name in ours else 'after'} only" for name in strangers]
        more = f" (and {len(moves) - 1} more of {len(ours)})" if len(moves) > 1 else ""
        yield Compared(level, cutoff, what, sum(map(_cells, ours.values())), moves[0] + more if moves else "")


def _cells(value: pd.DataFrame | np.ndarray | bytes) -> int:
    return 1 if isinstance(value, bytes) else int(np.size(value))


def difference(before: pd.DataFrame | np.ndarray | bytes, after: pd.DataFrame | np.ndarray | bytes) -> str:
    """The first cell that is not the same, with both values; "" where all are. What is missing on both sides is the same."""
    if isinstance(before, bytes):
        names = [hashlib.sha256(content).hexdigest()[:12] for content in (before, after)]
        return "" if before == after else f": file {names[0]} -> {names[1]}"
    if before.shape != after.shape:
        return f": {len(before)} rows -> {len(after)}" if before.ndim else ": another shape"
    tables = isinstance(before, pd.DataFrame)
    unequal = rehearsal.unequal(before, after) if tables else (before != after) & ~(np.isnan(before) & np.isnan(after))
    if not unequal.any():
        return ""
    place = tuple(int(at) for at in np.argwhere(unequal)[0])
    if isinstance(before, pd.DataFrame):
        row, column = place
        return f"[{_named(before, row)}].{before.columns[column]}: {before.iat[place]} -> {after.iat[place]}"
    return f"{list(place) if place else ''}: {before[place]} -> {after[place]}"


def _named(frame: pd.DataFrame, row: int) -> str:
    """A row by the columns that tell it from the others of its table."""
    names = [name for name in ("ticker", "role", "model", "model_id", "split", "horizon", "rule") if name in frame.columns]
    return ", ".join(str(frame[name].iloc[row]) for name in names) or str(row)
