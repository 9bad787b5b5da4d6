"""`stockcast tune`: a search for better hyper-parameters of a recipe, on validation folds that all end before its test sessions.

The newest sessions, as many as the recipe tests on and never fewer than `HELD_BACK`, are not even fetched. Of those before, the last K years are
the folds: for each, networks learn from what comes before it, stop early on the newest validation part of that, and are measured on
the year. A trial's loss is its mean pinball loss relative to that of the EWMA random walk, mean over stocks, then over folds.

Trial 0 is the recipe as it is, so on the folds the winner is never worse. Every trial that is done is kept in the store (table TRIALS); a
search that was stopped goes on there, and comes to what it would have come to in one go.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import datasets, fitting, reporting, search, windows
from pipeline.errors import NotEnoughHistory, RunError, SettingsError, StockcastError, TryAgain
from pipeline.masking import mask
from pipeline.models import RECIPES
from pipeline.models.baselines import BASELINES, EWMA
from pipeline.models.default import AnchoredQuantiles
from pipeline.models.recipe import Recipe
from pipeline.models.recurrent import Stack
from pipeline.prices.adjustment import adjust
from pipeline.prices.source import fetch_all, newest_session, require_known
from pipeline.quantiles import losses
from pipeline.search import COMPLETE, FAILED, PRUNED, Choice, Dimension, Real, Trial, Whole
from pipeline.spec import Spec
from pipeline.splits import Since
from pipeline.tables import TRIALS
from pipeline.tracking import StockRun
from pipeline.training import SHARED
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.assembly import Parts

#: Folder of the files, and name of the experiment in MLflow; name of the step.
FOLDER, STEP = "tuning", "tune"
#: Sessions at the end of the history that no search looks at, whatever the recipe's own test part.
HELD_BACK = 252
#: Sessions that a fold is measured on.
YEAR = 252
#: What is searched, by the kind of network. A recipe's own value is always part of its space, where that is narrower.
SPACES: dict[type, tuple[Dimension, ...]] = {
    AnchoredQuantiles: (
        Whole("units", 4, 64, log=True),
        Real("dropout", 0.0, 0.6),
        Whole("embedding", 1, 16, log=True),
        Choice("means", ((1, 5, 20, 60), (1, 5, 20), (1, 20), (1, 5), (1, 2, 5, 10, 20, 40, 60))),
        Real("learning_rate", 3e-5, 3e-3, log=True),
        Choice("batch_size", (64, 128, 256, 512)),
        Whole("patience", 2, 10),
    ),
    Stack: (
        Choice("width", (0.25, 0.5, 1.0, 2.0)),  # units of every layer, in multiples of the recipe's own
        Real("dropout", 0.0, 0.6),
        Real("learning_rate", 1e-5, 1e-2, log=True),
    ),
}
#: The widest line of what is written.
WIDTH = 132


@dataclass(frozen=True)
class Asked:
    """What a search is asked to do.

    Attributes:
        trials: that there are to be in the end, those that are done already among them.
        folds: years that each is measured on.
        first, last: the days whose sessions are looked at; of these, the newest `HELD_BACK` are kept back. None: the universe's own.
    """

    trials: int
    folds: int
    first: dt.date | None = None
    last: dt.date | None = None

    def __post_init__(self) -> None:
        for name in ("trials", "folds"):
            if getattr(self, name) < 1:
                raise SettingsError(f"--{name} is {getattr(self, name)}; at least 1 is expected.")
        if self.first and self.last and self.first > self.last:
            raise SettingsError(f"--from {self.first} is after --to {self.last}. Exchange them.")


@dataclass(frozen=True, eq=False)
class Fold:
    """A year that trials are measured on.

    Attributes:
        first, last: its sessions.
        files: dataset files by ticker, whose test part the year is.
    """

    first: dt.date
    last: dt.date
    files: Mapping[str, bytes]

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"

    @cached_property
    def ewma(self) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
        """By ticker: what came, dollars (n, H), the last prices (n,), and the EWMA random walk's mean loss."""
        found = {}
        for ticker, file in self.files.items():
            dataset = windows.load_dataset(file)
            actual, last = dataset.test.actual.copy(), dataset.test.last.copy()
            said = BASELINES[EWMA].fit(dataset.train, dataset.spec.horizon)(dataset.test)
            found[ticker] = actual, last, float(losses(actual, said, last).mean())
        return found


@dataclass(frozen=True, eq=False)
class Study:
    """A search, decided to the last detail.

    Attributes:
        untouched: the first session that is kept back.
        own: the recipe's values; they are trial 0.
    """

    universe: Universe
    recipe: Recipe
    seed: int
    folds: tuple[Fold, ...]
    untouched: dt.date
    space: tuple[Dimension, ...]
    own: Mapping[str, object]

    @property
    def name(self) -> str:
        return f"{self.universe.name}-{self.recipe.name}-{self.universe.target}"

    @cached_property
    def fingerprint(self) -> str:
        """Of all that decides what a trial comes to: data, folds, space, recipe and seed."""
        files = [
            [str(fold), [[ticker, hashlib.sha256(file).hexdigest()] for ticker, file in sorted(fold.files.items())]]
            for fold in self.folds
        ]
        about = [files, [repr(dimension) for dimension in self.space], self.recipe.name, self.recipe.config_hash(), self.seed]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.name}-{self.fingerprint[:8]}"

    def params(self) -> dict[str, object]:
        """As MLflow shows them."""
        return {
            "recipe": self.recipe.name,
            "universe": self.universe.name,
            "source": self.universe.source,
            "tickers": ",".join(self.universe.tickers),
            "target": self.universe.target,
            "horizon": self.universe.horizon,
            "seed": self.seed,
            "folds": len(self.folds),
            "first_fold": str(self.folds[0]),
            "last_fold": str(self.folds[-1]),
            "untouched_from": self.untouched,
            "fingerprint": self.fingerprint,
            **{f"space.{dimension.name}": repr(dimension) for dimension in self.space},
        }


@dataclass(frozen=True)
class Outcome:
    """A finished search.

    Attributes:
        winner: the best recipe, under the name it is written with.
        text: for people.
        folder: of its files: `definition` among them, the winner as a Python module.
    """

    trials: tuple[Trial, ...]
    winner: Recipe
    text: str
    folder: str
    definition: str

    @property
    def best(self) -> Trial:
        """The winner's trial."""
        return search.best(self.trials)


def tunable() -> list[str]:
    """The recipes that there is a space for."""
    return [recipe.name for recipe in RECIPES if recipe.targets and type(recipe.network) in SPACES]


def tune(parts: Parts, universe: Universe, recipe: Recipe, asked: Asked, now: dt.datetime) -> Outcome:
    """Carries out the trials that are missing and writes the winner; repeating it changes nothing."""
    the = plan(parts, universe, recipe, asked, now)
    parent = _open(parts, the)
    done = kept(parts, the)[: asked.trials]
    if done:
        parts.progress(STEP, "", f"{reporting.counted(len(done), 'trial')} of {asked.trials} are done already")
    for trial in done:
        _record(parts, the, parent, trial)
    while len(done) < asked.trials:
        trial = search.carry_out(the.space, the.own, done, the.seed, lambda params, report: _measure(parts, the, params, report))
        parts.store.save(TRIALS, pd.DataFrame([_row(the, trial)]))
        done.append(trial)
        _record(parts, the, parent, trial)
        parts.progress(STEP, "", _told(trial, done))
    return _finish(parts, the, parent, done, _command(universe, recipe, asked, the.seed))


def plan(parts: Parts, universe: Universe, recipe: Recipe, asked: Asked, now: dt.datetime) -> Study:
    """Decides folds and space, and cuts the folds' datasets from prices before the sessions that are kept back.

    Raises:
        SettingsError: a recipe that cannot be tuned, or no session in the range.
        NotEnoughHistory: a fold without a single ticker to learn from.
    """
    _require_tunable(universe, recipe)
    allowed, untouched = _sessions(parts, universe, recipe, asked, now)
    if len(allowed) <= asked.folds * YEAR:
        raise NotEnoughHistory(
            f"{universe.name}: {len(allowed)} sessions from {universe.start} on come before {untouched}, from where on nothing is looked at; "
            f"{asked.folds} folds of {YEAR} need more. Ask for fewer folds (flag --folds), or begin earlier."
        )
    prices, actions = _fetched(parts, universe, allowed, now)
    folds = tuple(
        _fold(parts, universe, recipe, allowed[: len(allowed) - back * YEAR], prices, actions)
        for back in reversed(range(asked.folds))
    )
    own = own_values(recipe)
    space = tuple(dimension.holding(own[dimension.name]) for dimension in SPACES[type(recipe.network)])
    return Study(universe, recipe, parts.settings.seed, folds, untouched, space, own)


def _require_tunable(universe: Universe, recipe: Recipe) -> None:
    if recipe.leak:
        raise SettingsError(f"{recipe.name} peeks ({recipe.leak}): a search would tune the leak. Name {recipe.name.split('.')[0]}.")
    if not recipe.targets or type(recipe.network) not in SPACES:
        raise SettingsError(f"There is no search space for {recipe.name}. There is one for: {', '.join(tunable())}.")
    if universe.target not in recipe.targets:
        raise SettingsError(
            f"{recipe.name} does not forecast {universe.target}; its targets are {', '.join(recipe.targets)} (flag --target)."
        )


def _sessions(parts: Parts, universe: Universe, recipe: Recipe, asked: Asked, now: dt.datetime) -> tuple[list[dt.date], dt.date]:
    """The sessions that may be looked at, and the first that may not; decided by dates alone, before any price is asked for."""
    calendar, source = parts.calendar(universe), parts.source(universe)
    require_known(source, universe.tickers)
    newest = newest_session(source, list(universe.tickers), calendar, now)
    first, last = max(asked.first or universe.start, universe.start), min(asked.last or newest, newest)
    sessions = calendar.sessions(first, last)
    if not sessions:
        raise SettingsError(
            f"There is no session of {calendar.name} from {first} to {last}. Give an earlier --from or a later --to."
        )
    spec = recipe.spec("", last, universe.target, universe.horizon)
    context = spec.window.context_length
    days = np.array(sessions[: len(sessions) - spec.horizon + 1], "datetime64[D]")[context:]
    tested = context + (spec.split.starts(days, spec.reach, context)[3] if len(days) else 0)
    kept_back = min(tested, max(len(sessions) - HELD_BACK, 0))
    return sessions[:kept_back], sessions[kept_back]


def _fetched(parts: Parts, universe: Universe, sessions: Sequence[dt.date], now: dt.datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    source, calendar = parts.source(universe), parts.calendar(universe)
    return fetch_all(source, universe.tickers, sessions[0], sessions[-1], calendar, now)


def _fold(
    parts: Parts, universe: Universe, recipe: Recipe, sessions: Sequence[dt.date], prices: pd.DataFrame, actions: pd.DataFrame
) -> Fold:
    """The fold whose year ends with `sessions`, as its last evening would have seen the prices."""
    first, last = sessions[-YEAR], sessions[-1]
    split = replace(recipe.split, test=Since(first), validation=recipe.split.validation or datasets.VALIDATION)
    files, reasons = {}, []
    for ticker, own in adjust(prices, actions, last).groupby("ticker", sort=True):
        history = windows.on_calendar(mask(own), sessions)
        spec = recipe.spec(str(ticker), last, universe.target, universe.horizon, split)
        reason = _too_little(history, spec)
        if reason:
            reasons.append(f"{ticker}: {reason}")
            continue
        files[str(ticker)] = windows.encode(history, spec)
    if not files:
        told = "; ".join(reasons) or f"no prices of {', '.join(universe.tickers)} up to {last}"
        raise NotEnoughHistory(
            f"Nothing can be learnt before the fold {first} to {last}: {told}. Ask for fewer folds (flag --folds), or begin earlier."
        )
    for reason in reasons:
        parts.progress(STEP, "", f"the fold {first} to {last} goes without {reason}")
    return Fold(first, last, files)


def _too_little(history: pd.DataFrame, spec: Spec) -> str:
    """Why a history cannot be learnt from and measured on the fold; "" where it can."""
    if len(history) < spec.window.context_length + spec.horizon:
        return f"{len(history)} sessions"
    dataset = windows.load_dataset(windows.encode(history, spec))
    found, needed = (len(dataset.train) + dataset.left_out["train"]) * spec.window.stride, max(spec.split.min_train_windows, 1)
    if found < needed:
        return f"{len(history)} sessions leave {found} windows to train on, {needed} are needed"
    return "" if dataset.trainable else f"too few sessions have their {spec.target}"


def own_values(recipe: Recipe) -> dict[str, object]:
    """A recipe's own value in each dimension of its network's space."""
    network, rate = recipe.network, recipe.optimiser.schedule.rate
    if isinstance(network, Stack):
        return {"width": 1.0, "dropout": float(max(network.dropouts)), "learning_rate": rate}
    values = {name: getattr(network, name) for name in ("units", "dropout", "embedding", "means")}
    return {**values, "learning_rate": rate, "batch_size": recipe.batch_size, "patience": recipe.patience}


def applied(recipe: Recipe, params: Mapping[str, object]) -> Recipe:
    """The recipe with these values in place of its own; those that are its own change nothing."""
    own = own_values(recipe)
    changed = {name: value for name, value in params.items() if value != own[name]}
    network = {name: changed[name] for name in ("units", "dropout", "embedding", "means") if name in changed}
    if isinstance(recipe.network, Stack):
        if "width" in changed:
            network["units"] = tuple(max(1, round(units * changed["width"])) for units in recipe.network.units)
        if "dropout" in changed and isinstance(recipe.network.dropout, tuple):
            network["dropout"] = tuple(changed["dropout"] if share else 0.0 for share in recipe.network.dropout)
    training = {name: changed[name] for name in ("batch_size", "patience") if name in changed}
    if "learning_rate" in changed:
        schedule = replace(recipe.optimiser.schedule, rate=changed["learning_rate"])
        training["optimiser"] = replace(recipe.optimiser, schedule=schedule)
    return replace(recipe, network=replace(recipe.network, **network), **training)


def _measure(parts: Parts, the: Study, params: Mapping[str, object], report: Callable[[float], bool]) -> tuple[str, float]:
    """(state, seconds) of a trial; the mean of its folds so far is reported after each."""
    began, lost = time.monotonic(), []
    recipe = applied(the.recipe, params)
    for number, fold in enumerate(the.folds, start=1):
        try:
            lost.append(_loss(parts, the, recipe, fold))
        except TryAgain:
            raise
        except RunError as error:
            if params == the.own:  # without it there is nothing to compare with
                raise
            parts.progress(STEP, "", f"fold {number} of {len(the.folds)} failed: {error}")
            return FAILED, round(time.monotonic() - began, 1)
        mean = float(np.mean(lost))
        parts.progress(STEP, "", f"fold {number} of {len(the.folds)} ({fold}): {lost[-1]:.4f} of ewma's loss, mean {mean:.4f}")
        if report(mean) and number < len(the.folds):
            return PRUNED, round(time.monotonic() - began, 1)
    return COMPLETE, round(time.monotonic() - began, 1)


def _loss(parts: Parts, the: Study, recipe: Recipe, fold: Fold) -> float:
    """Mean over the fold's tickers of the recipe's pinball loss relative to the EWMA random walk's."""
    ratios = []
    for ticker, said in fitting.forecasts(parts, STEP, recipe, fold.files, the.seed).items():
        if isinstance(said, StockcastError):
            raise said
        actual, last, ewma = fold.ewma[ticker]
        ratios.append(losses(actual, said[1], last).mean() / ewma)
    return float(np.mean(ratios))


def kept(parts: Parts, the: Study) -> list[Trial]:
    """The trials of this study that the store has, in order."""
    rows = parts.store.load(TRIALS, study=the.name, fingerprint=the.fingerprint).sort_values("number")
    return [
        Trial(row["number"], row["state"], _from_json(row["params"]), tuple(json.loads(row["intermediate"])), row["seconds"])
        for row in rows.to_dict("records")
    ]


def _row(the: Study, trial: Trial) -> dict[str, object]:
    return {
        "study": the.name,
        "fingerprint": the.fingerprint,
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "params": json.dumps(dict(trial.params)),
        "intermediate": json.dumps(list(trial.steps)),
        "seconds": trial.seconds,
    }


def _from_json(text: str) -> dict[str, object]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text).items()}


def _told(trial: Trial, done: Sequence[Trial]) -> str:
    values = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
    outcome = f"{trial.value:.4f} of ewma's loss" if trial.state == COMPLETE else trial.state
    best = search.best(done)
    return f"trial {trial.number}: {outcome}, {trial.seconds:.1f} s; best so far trial {best.number}, {best.value:.4f} ({values})"


def _short(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"


def _open(parts: Parts, the: Study) -> str:
    """The parent run in MLflow; its run id."""
    title = f"{STEP} {the.name}"
    return parts.tracker(FOLDER).open_parent(
        f"{title} {the.fingerprint}", title, {"study": the.name, "recipe": the.recipe.name}, the.params()
    )


def _record(parts: Parts, the: Study, parent: str, trial: Trial) -> None:
    """A run below the study's; recorded again, it stays as it is."""
    recipe = applied(the.recipe, trial.params)
    run = StockRun(
        ticker=SHARED,
        title=f"trial {trial.number}",
        params={**{name: _short(value) for name, value in trial.params.items()}, **_of_recipe(recipe)},
        metrics={"pinball_ratio_to_ewma": trial.value, "seconds": trial.seconds},
        history={"mean_ratio_by_fold": list(trial.steps)},
        tags={"study": the.name, "recipe": the.recipe.name, "state": trial.state, "as_it_is": str(trial.number == 0).lower()},
    )
    parts.tracker(FOLDER).record(parent, run)


def _of_recipe(recipe: Recipe) -> dict[str, object]:
    return {f"recipe.{name}": value for name, value in recipe.parameters().items()}


def _finish(parts: Parts, the: Study, parent: str, done: Sequence[Trial], command: str) -> Outcome:
    best = search.best(done)
    winner = _winner(the.recipe, best)
    told = [*_figures(the, done, best), f"Command: {command}"]
    definition = f"{the.folder}/{_identifier(winner.name)}.py"
    table = pd.DataFrame([_line(trial) for trial in done])
    files = {
        definition.rsplit("/", 1)[1]: module(winner, told).encode(),
        "trials.csv": reporting.rows(table, "csv").encode(),
    }
    for name, content in files.items():
        parts.artifacts.write(f"{the.folder}/{name}", content)
    metrics = {"pinball_ratio_as_it_is": done[0].value, "pinball_ratio_winner": best.value, "trials": float(len(done))}
    parts.tracker(FOLDER).close_session(parent, metrics, files)
    text = "\n\n".join([reporting.rows(table, "table"), reporting.sentences(told[:-1])])
    return Outcome(tuple(done), winner, text, the.folder, definition)


def _line(trial: Trial) -> dict[str, object]:
    values = {name: _short(value) for name, value in trial.params.items()}
    return {
        "trial": trial.number,
        "state": trial.state,
        "ratio": trial.value,
        "folds": len(trial.steps),
        **values,
        "seconds": round(trial.seconds),
    }


def _winner(recipe: Recipe, best: Trial) -> Recipe:
    """The recipe with the best trial's values, under a name of its own and without what its source claims for other values."""
    return replace(
        applied(recipe, best.params),
        name=f"{recipe.name}-tuned",
        summary=f"The recipe {recipe.name} with hyper-parameters that `stockcast tune` found.",
        faithful=None,
        study="",
        tested=None,
        published={},
        published_loss={},
    )


def _figures(the: Study, done: Sequence[Trial], best: Trial) -> list[str]:
    """Sentences, honest ones."""
    universe, own = the.universe, done[0]
    counts = {state: sum(trial.state == state for trial in done) for state in (COMPLETE, PRUNED, FAILED)}
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    gain = (
        f"trial {best.number} is the best at {best.value:.4f}, {best.value / own.value - 1:+.2%}"
        if best.number
        else "no trial was better"
    )
    return [
        f"{reporting.counted(len(done), 'trial')} of {the.recipe.name} ({states}) for the {universe.target} of {', '.join(universe.tickers)}, "
        f"1 to {universe.horizon} sessions ahead, seed {the.seed}.",
        "Folds: " + "; ".join(f"{fold} ({reporting.counted(len(fold.files), 'ticker')})" for fold in the.folds) + ".",
        f"Mean pinball loss relative to the EWMA random walk's, not calibrated and not mixed with it: the recipe as it is {own.value:.4f}; {gain}.",
        "The winner was chosen on these folds, so its figure flatters it: the best of many trials is partly the luckiest.",
        f"The test sessions, from {the.untouched} on, have not been looked at. Look at them once, when you have decided.",
    ]


def _command(universe: Universe, recipe: Recipe, asked: Asked, seed: int) -> str:
    flags = {
        "recipe": recipe.name,
        "universe": universe.name,
        "tickers": ",".join(universe.tickers),
        "target": universe.target,
        "horizon": universe.horizon,
        "trials": asked.trials,
        "folds": asked.folds,
        "from": asked.first,
        "to": asked.last,
        "seed": seed,
    }
    if universe.source == "csv":
        flags |= {"data": universe.data}
    if universe.name == universe.source != "sample":  # no universe of the file: made from its source
        flags = {"source" if name == "universe" else name: value for name, value in flags.items()}
    return " ".join(["stockcast tune", *(f"--{name} {value}" for name, value in flags.items() if value is not None)])


# The winner as a module


def module(recipe: Recipe, told: Sequence[str]) -> str:
    """A Python module that defines `recipe`, as the files of `models/` do. `told`: what its docstring says of where it comes from."""
    imports: dict[str, set[str]] = {}
    constant = _identifier(recipe.name).upper()
    body = f"{constant} = {_code(recipe, 0, len(constant) + 3, imports)}"
    text = "\n".join(textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False) for line in told)
    head = f'"""{_escaped(recipe.summary)}\n\n{_escaped(text)}\n"""'
    dates = ["import datetime as dt", ""] if imports.pop("datetime", None) else []
    lines = [f"from {name} import {', '.join(sorted(classes))}" for name, classes in sorted(imports.items())]
    parts = [head, "", "from __future__ import annotations", "", *dates, *lines, "", body, "", f"RECIPES = ({constant},)", ""]
    return "\n".join(parts)


def _identifier(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', "'''")


def _code(value: object, indent: int, used: int, imports: dict[str, set[str]]) -> str:
    """`value` as source: on one line where `used` columns before it leave room, else an argument a line. Fills in `imports`."""
    if isinstance(value, dt.date):
        imports["datetime"] = {"dt"}
        return f"dt.date({value.year}, {value.month}, {value.day})"
    if dataclasses.is_dataclass(value):
        kind = type(value)
        imports.setdefault(kind.__module__, set()).add(kind.__name__)
        arguments = [(f"{name}=", each) for name, each in _given(value).items()]
        opening, closing = f"{kind.__name__}(", ")"
    elif isinstance(value, tuple | list):
        arguments = [("", each) for each in value]
        opening, closing = "()" if isinstance(value, tuple) else "[]"
    elif isinstance(value, Mapping):
        arguments = [(f"{_code(key, 0, 0, imports)}: ", each) for key, each in value.items()]
        opening, closing = "{}"
    elif isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    elif value is None or isinstance(value, bool | int | float):
        return repr(value)
    else:
        raise TypeError(f"A recipe that is written out must be made of plain values and dataclasses. Received: {value!r}.")
    single = [f"{name}{_code(each, 0, 0, imports)}" for name, each in arguments]
    trailing = "," if isinstance(value, tuple) and len(value) == 1 else ""
    line = f"{opening}{', '.join(single)}{trailing}{closing}"
    if not isinstance(value, Recipe) and "\n" not in line and used + len(line) < WIDTH:
        return line
    inner = " " * (indent + 4)
    rows = [f"{inner}{name}{_code(each, indent + 4, indent + 4 + len(name), imports)}," for name, each in arguments]
    return "\n".join([opening, *rows, " " * indent + closing])


def _given(value: object) -> dict[str, object]:
    """A dataclass's fields that are not at their defaults."""
    found = {}
    for field in dataclasses.fields(value):
        own, default = getattr(value, field.name), field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if default is dataclasses.MISSING or own != default:
            found[field.name] = own
    return found
