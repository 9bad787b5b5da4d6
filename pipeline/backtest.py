"""`stockcast backtest`: forecasts as they are published, at past cutoffs, session by session, beside baselines; walk-forward.

Every so many sessions is a cutoff. Networks are fitted anew at every so many-th cutoff and forecast in between as they are: a block. A block's
networks learn, choose and weigh on sessions up to its first cutoff, less an embargo; what they say is mixed with the EWMA random walk and
calibrated as what is published is. Baselines learn their shape from the same training sessions, statistical models are fitted at every
cutoff on the prices up to it; neither is calibrated. Only cutoffs that all of them have are compared.

Not repeated is the choice between networks of two training cutoffs, the floor on test, and the stand-ins for a stock that a network cannot be
fitted to: such a stock is left out of the block.

All files lie below `backtests/<digest>`, named by everything that decides them. A shard (a forecaster in a block) that is there is read, not
made again, so that a backtest goes on where it was stopped.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import (
    charts,
    combination,
    datasets,
    evaluation,
    fitting,
    leaderboard,
    masking,
    reporting,
    statistical,
    study,
    windows,
)
from pipeline.assembly import code_version
from pipeline.errors import LookAtTheData, NotEnoughHistory, SettingsError, StockcastError
from pipeline.leaderboard import ALL
from pipeline.models import DEFAULT, RECIPES, find_recipe
from pipeline.models.baselines import BASELINES, EWMA
from pipeline.models.recipe import Recipe
from pipeline.prices.adjustment import adjust
from pipeline.prices.source import fetch_all, require_known
from pipeline.quantiles import COUNT, PROBABILITIES
from pipeline.spec import Spec
from pipeline.splits import Since, Split
from pipeline.tables import ACTIONS, BACKTESTS, HISTORY, PRICES, column
from pipeline.tracking import StockRun
from pipeline.training import SHARED
from pipeline.universes import Universe
from pipeline.windows import Dataset

if TYPE_CHECKING:
    from pipeline.assembly import Parts
    from pipeline.sessions import Calendar

#: Folder of the files, and name of the experiment in MLflow; name of the step.
FOLDER, STEP = "backtests", "backtest"
#: Where the prices that a backtest has seen are kept, named by their content.
PRICES_FOLDER, SUFFIX = f"{FOLDER}/prices", ".parquet"


@dataclass(frozen=True)
class Asked:
    """What a backtest is asked to do.

    Attributes:
        recipes: names of recipes, baselines and statistical models, or recipes themselves; naive and ewma always take part.
        baselines: names of statistical models that take part beside them.
        first, last: the days that cutoffs lie between, both included.
        step: every so many-th session is a cutoff.
        refit: networks are fitted at every so many-th cutoff; 0: at the first one only.
        embargo: sessions between what one part of the data knows and the next part's first forecast; None: the horizon.
        warm_start: networks of later blocks go on from those of the first.
        seeds: networks of each recipe, each a forecaster of its own, with seeds from the settings' on.
    """

    recipes: Sequence[str | Recipe]
    first: dt.date
    last: dt.date
    baselines: Sequence[str] = ()
    step: int = 5
    refit: int = 25
    embargo: int | None = None
    warm_start: bool = False
    seeds: int = 1

    def __post_init__(self) -> None:
        least = {"step": 1, "refit": 0, "embargo": 0, "seeds": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise SettingsError(f"--{name} is {value}; at least {bound} is expected.")
        if self.first > self.last:
            raise SettingsError(f"--from {self.first} is after --to {self.last}. Exchange them.")


@dataclass(frozen=True)
class Forecaster:
    """One line of the leaderboard; `recipe` is None for a baseline and a statistical model."""

    name: str
    recipe: Recipe | None = None
    seed: int = 0

    @property
    def told(self) -> list[object]:
        """What decides what it says, besides its data."""
        return [self.name, *([self.recipe.name, self.recipe.config_hash(), self.seed] if self.recipe else [])]


@dataclass(frozen=True)
class Block:
    """Cutoffs that share their networks.

    Attributes:
        cutoffs: the first is the last session that the networks may see.
        after: the session after that.
        end: the last session that is forecast.
    """

    number: int
    cutoffs: tuple[dt.date, ...]
    after: dt.date
    end: dt.date


@dataclass(frozen=True)
class Plan:
    """A backtest, decided to the last detail. `prices`, `actions`: the contents of what it sees, as `PRICES_FOLDER` names them."""

    universe: Universe
    forecasters: tuple[Forecaster, ...]
    blocks: tuple[Block, ...]
    step: int
    refit: int
    embargo: int
    warm_start: bool
    prices: str
    actions: str

    @cached_property
    def digest(self) -> str:
        universe = self.universe
        about = [
            [list(universe.tickers), universe.calendar, universe.target, universe.horizon, str(universe.start)],
            [forecaster.told for forecaster in self.forecasters],
            [[str(day) for day in (*block.cutoffs, block.end)] for block in self.blocks],
            [self.embargo, self.warm_start, self.prices, self.actions, code_version()],
        ]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.digest}"

    @property
    def cutoffs(self) -> list[dt.date]:
        return [cutoff for block in self.blocks for cutoff in block.cutoffs]

    def shard(self, forecaster: Forecaster, block: Block) -> str:
        """The artifact with a forecaster's BACKTESTS rows of a block."""
        return f"{self.folder}/shards/{forecaster.name.replace(' ', '-')}-{block.number:03d}.parquet"

    def about(self, forecaster: Forecaster, block: Block) -> str:
        """The artifact that says who was left out of a shard, and how much of ewma is in what the others are given."""
        return self.shard(forecaster, block).removesuffix(".parquet") + ".json"

    def split(self, recipe: Recipe, block: Block) -> Split:
        """Nothing after the block's first cutoff trains or chooses; the test begins with the session after it."""
        return dataclasses.replace(recipe.split, test=Since(block.after), validation=datasets.VALIDATION, embargo=self.embargo)

    def spec(self, recipe: Recipe, block: Block, ticker: str) -> Spec:
        return recipe.spec(ticker, block.end, self.universe.target, self.universe.horizon, self.split(recipe, block))

    def params(self) -> dict[str, object]:
        """As MLflow shows them."""
        return {
            "source": self.universe.source,
            "tickers": ",".join(self.universe.tickers),
            "target": self.universe.target,
            "horizon": self.universe.horizon,
            "forecasters": ", ".join(forecaster.name for forecaster in self.forecasters),
            "first_cutoff": str(self.cutoffs[0]),
            "last_cutoff": str(self.cutoffs[-1]),
            "cutoffs": len(self.cutoffs),
            "step": self.step,
            "refit": self.refit,
            "embargo": self.embargo,
            "warm_start": self.warm_start,
            "digest": self.digest,
        }

    def to_json(self) -> bytes:
        universe = {**dataclasses.asdict(self.universe), "start": str(self.universe.start)}
        values = {
            "universe": universe,
            "forecasters": [forecaster.told for forecaster in self.forecasters],
            "blocks": [
                {"cutoffs": [str(cutoff) for cutoff in block.cutoffs], "after": str(block.after), "end": str(block.end)}
                for block in self.blocks
            ],
            **{name: getattr(self, name) for name in ("step", "refit", "embargo", "warm_start", "prices", "actions")},
        }
        return json.dumps(values, indent=1).encode()


@dataclass(frozen=True)
class Outcome:
    """A finished backtest: the leaderboard, text for people, and the folder of its files."""

    board: pd.DataFrame
    text: str
    folder: str


def names() -> list[str]:
    """All that can be named: recipes that learn from prices, baselines, statistical models."""
    return [recipe.name for recipe in RECIPES if recipe.targets] + [*BASELINES, *statistical.NAMES]


def backtest(parts: Parts, universe: Universe, asked: Asked, now: dt.datetime) -> Outcome:
    """Plans, makes the shards that are missing, and compares."""
    the = plan(parts, universe, asked, now)
    for forecaster in the.forecasters:
        for block in the.blocks:
            make(parts, the, forecaster, block)
    return compare(parts, the)


def forecasters_of(recipes: Sequence[str | Recipe], target: str, seed: int, seeds: int) -> tuple[Forecaster, ...]:
    """Those asked for, each once, then naive and ewma; `SettingsError` where one is unknown, peeks or does not forecast `target`."""
    found: dict[str, Forecaster] = {}
    for asked in (*recipes, *leaderboard.OPPONENTS):
        name = asked if isinstance(asked, str) else asked.name
        if name in BASELINES or name in statistical.NAMES:
            found.setdefault(name, Forecaster(name))
            continue
        recipe = _honest(asked, target)
        for number in range(seed, seed + seeds):
            own = f"{name} seed {number}" if seeds > 1 else name
            found.setdefault(own, Forecaster(own, recipe, number))
    return tuple(found.values())


def _honest(asked: str | Recipe, target: str) -> Recipe:
    try:
        recipe = find_recipe(asked) if isinstance(asked, str) else asked
    except SettingsError:
        raise SettingsError(f"There is no forecaster {asked!r}. There are: {', '.join(names())}.") from None
    if recipe.leak:
        raise SettingsError(
            f"{recipe.name} peeks ({recipe.leak}): what it gains in a backtest nobody would have had. Name {recipe.name.split('.')[0]}."
        )
    if not recipe.targets:
        raise SettingsError(f"{recipe.name} needs no prices: `stockcast exercise` trains it. Name one of {', '.join(names())}.")
    if target not in recipe.targets:
        raise SettingsError(
            f"{recipe.name} does not forecast {target}; its targets are {', '.join(recipe.targets)} (flag --target)."
        )
    return recipe


def plan(parts: Parts, universe: Universe, asked: Asked, now: dt.datetime) -> Plan:
    """Decides cutoffs and blocks, keeps the prices that they will see, and refuses what cannot be done.

    Raises:
        SettingsError: no such forecaster, or no session in the range.
        NotEnoughHistory: a block without a single ticker that a forecaster can learn from, or no cutoff whose outcomes have come.
    """
    statistical.require_known(asked.baselines)
    forecasters = forecasters_of([*asked.recipes, *asked.baselines], universe.target, parts.settings.seed, asked.seeds)
    calendar = parts.calendar(universe)
    inside = calendar.sessions(asked.first, asked.last)
    if not inside:
        raise SettingsError(
            f"There is no session of {calendar.name} from {asked.first} to {asked.last}. Give an earlier --from or a later --to."
        )
    prices, actions = _fetched(parts, universe, calendar.next_sessions(inside[-1], universe.horizon)[-1], now)
    every = calendar.sessions(inside[0], prices["session"].max().date())
    blocks = _blocks(every, inside[:: asked.step], asked.refit, universe.horizon)
    if not blocks:
        raise NotEnoughHistory(
            f"{', '.join(universe.tickers)}: prices end on {prices['session'].max().date()}, so nothing that would have been forecast from "
            f"{inside[0]} on has come, {universe.horizon} sessions ahead. Give an earlier --from."
        )
    the = Plan(
        universe=universe,
        forecasters=forecasters,
        blocks=blocks,
        step=asked.step,
        refit=asked.refit,
        embargo=universe.horizon if asked.embargo is None else asked.embargo,
        warm_start=asked.warm_start,
        prices=parts.artifacts.put_content(PRICES_FOLDER, SUFFIX, _parquet(prices)),
        actions=parts.artifacts.put_content(PRICES_FOLDER, SUFFIX, _parquet(actions)),
    )
    histories = _histories(the, calendar, blocks[0], prices, actions)
    for recipe in {id(recipe): recipe for recipe in (_cutter(forecaster) for forecaster in forecasters)}.values():
        files, left_out = _files(the, recipe, blocks[0], histories)
        if not files:
            raise NotEnoughHistory(f"{' '.join(left_out.values())} Give a later --from, or files that begin earlier.")
    parts.artifacts.write(f"{the.folder}/plan.json", the.to_json())
    return the


def _fetched(parts: Parts, universe: Universe, last: dt.date, now: dt.datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    """PRICES and ACTIONS of all tickers from the universe's start to `last`, as traded."""
    source, calendar = parts.source(universe), parts.calendar(universe)
    require_known(source, universe.tickers)
    prices, actions = fetch_all(source, universe.tickers, universe.start, last, calendar, now)
    if prices.empty:
        raise NotEnoughHistory(
            f"{', '.join(universe.tickers)}: no prices from {universe.start} to {last}. Give another range, or a source that has them."
        )
    return prices, actions


def _blocks(every: Sequence[dt.date], wanted: Sequence[dt.date], refit: int, horizon: int) -> tuple[Block, ...]:
    """`wanted` cutoffs whose outcomes are among the sessions `every`, `refit` to a block (0: all)."""
    place = {session: number for number, session in enumerate(every)}
    cutoffs = [cutoff for cutoff in wanted if place.get(cutoff, len(every)) + horizon < len(every)]
    size = refit or max(len(cutoffs), 1)
    shares = [tuple(cutoffs[start : start + size]) for start in range(0, len(cutoffs), size)]
    return tuple(
        Block(number, share, every[place[share[0]] + 1], every[place[share[-1]] + horizon]) for number, share in enumerate(shares)
    )


def read_plan(parts: Parts, digest: str) -> Plan:
    """The plan that `plan` wrote; `LookAtTheData` where a recipe has changed since."""
    values = json.loads(parts.artifacts.read(f"{FOLDER}/{digest}/plan.json"))
    universe = values.pop("universe")
    the = Plan(
        **{
            **values,
            "universe": Universe(**{**universe, "start": dt.date.fromisoformat(universe["start"])}),
            "forecasters": tuple(
                Forecaster(told[0], find_recipe(told[1]), told[3]) if len(told) > 1 else Forecaster(told[0])
                for told in values["forecasters"]
            ),
            "blocks": tuple(
                Block(
                    number,
                    tuple(dt.date.fromisoformat(cutoff) for cutoff in block["cutoffs"]),
                    dt.date.fromisoformat(block["after"]),
                    dt.date.fromisoformat(block["end"]),
                )
                for number, block in enumerate(values["blocks"])
            ),
        }
    )
    if the.digest != digest:
        raise LookAtTheData(f"A recipe has changed since the backtest {digest} was planned. Plan it anew.")
    return the


def make(parts: Parts, the: Plan, forecaster: Forecaster, block: Block) -> str:
    """Makes one shard, unless it is there; its artifact's name.

    Raises the first error that is not a matter of one ticker's data; such a ticker is left out, and the reason is kept beside the shard.
    """
    name = the.shard(forecaster, block)
    if parts.artifacts.exists(name):
        return name
    calendar = parts.calendar(the.universe)
    histories = _histories(the, calendar, block, *_kept(parts, the))
    files, left_out = _files(the, _cutter(forecaster), block, histories)
    weights: dict[str, float] = {}
    stood_in: dict[str, list[str]] = {}
    if forecaster.recipe:
        begin = None
        if the.warm_start and block.number:
            begin, _ = _files(the, forecaster.recipe, the.blocks[0], _histories(the, calendar, the.blocks[0], *_kept(parts, the)))
        said = _networks(parts, forecaster, files, begin, left_out, weights)
    else:
        said = _without_network(the, forecaster.name, files, histories, block, stood_in)
    rows = [_rows(forecaster.name, ticker, histories[ticker], block, dataset, quantiles) for ticker, dataset, quantiles in said]
    table = BACKTESTS.conform(pd.concat(rows)) if rows else BACKTESTS.empty()
    about = {"left_out": left_out, "weights": weights, "stood_in": stood_in}
    parts.artifacts.write(the.about(forecaster, block), json.dumps(about, indent=1).encode())
    # Last: where the shard is, what is told about it is.
    parts.artifacts.write(name, _parquet(table))
    pairs = len(table) // (the.universe.horizon * COUNT)
    parts.progress(
        STEP,
        "",
        f"{forecaster.name}, block {block.number + 1} of {len(the.blocks)} ({block.cutoffs[0]} to {block.cutoffs[-1]}): "
        f"{reporting.counted(pairs, 'forecast')} of {reporting.counted(len({*table['ticker']}), 'ticker')}",
    )
    return name


def _kept(parts: Parts, the: Plan) -> tuple[pd.DataFrame, pd.DataFrame]:
    return tuple(
        table.conform(_read_parquet(parts.artifacts.read_content(PRICES_FOLDER, SUFFIX, digest)))
        for table, digest in ((PRICES, the.prices), (ACTIONS, the.actions))
    )


def _cutter(forecaster: Forecaster) -> Recipe:
    """Whose windows a forecaster sees: a baseline those of the default recipe."""
    return forecaster.recipe or DEFAULT


def _histories(the: Plan, calendar: Calendar, block: Block, prices: pd.DataFrame, actions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """HISTORY of each ticker that has prices by the block's end: adjusted and masked as of it, one row per session up to it."""
    adjusted = adjust(prices, actions, block.end)
    sessions = calendar.sessions(the.universe.start, block.end)
    return {
        str(ticker): windows.on_calendar(masking.mask(HISTORY.conform(own)), sessions)
        for ticker, own in adjusted.groupby("ticker", sort=True)
    }


def _files(
    the: Plan, recipe: Recipe, block: Block, histories: Mapping[str, pd.DataFrame]
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Dataset files by ticker, of those that a recipe can learn from in a block; and why it cannot from the others."""
    files, left_out = {}, {}
    for ticker in the.universe.tickers:
        spec = the.spec(recipe, block, ticker)
        history = histories.get(ticker)
        reason = _too_little(spec, block, history)
        if reason:
            left_out[ticker] = f"{ticker}: {reason}"
        else:
            files[ticker] = windows.encode(history, spec)
    return files, left_out


def _too_little(spec: Spec, block: Block, history: pd.DataFrame | None) -> str:
    """Why a recipe cannot be fitted to a history at a block's first cutoff and tested after it; "" where it can."""
    cutoff = block.cutoffs[0]
    if history is None:
        return f"no prices up to {block.end}."
    sessions = history["session"].to_numpy().astype("datetime64[D]")
    context = spec.window.context_length
    count = max(len(sessions) - context - spec.horizon + 1, 0)
    firsts = sessions[context:][:count]
    train = spec.split.starts(firsts, spec.reach, context)[0]
    before = int((sessions <= np.datetime64(cutoff)).sum())
    wanted = max(spec.split.min_train_windows, 1)
    if train < wanted:
        gap = spec.reach - 1 + spec.split.embargo
        more = wanted + gap + spec.split.validation.sessions + gap - spec.split.test.start(firsts)
        return (
            f"{before} sessions up to {cutoff} leave {train} windows to train on, {wanted} are needed ({context} sessions of context, "
            f"{spec.split.validation.sessions} of validation, an embargo of {spec.split.embargo}): {more} sessions more."
        )
    known = column(history, spec.target).notna().to_numpy()
    if not known[np.isin(sessions, np.array(block.cutoffs, "datetime64[D]"))].any():
        return f"no {spec.target} at any cutoff from {cutoff} to {block.cutoffs[-1]}."
    return ""


#: A ticker, its dataset, and quantiles (n, H, Q) of its test windows.
Said = tuple[str, Dataset, np.ndarray]


def _networks(
    parts: Parts,
    forecaster: Forecaster,
    files: Mapping[str, bytes],
    begin: Mapping[str, bytes] | None,
    left_out: dict[str, str],
    weights: dict[str, float],
) -> list[Said]:
    """What would have been published: networks mixed with the EWMA random walk by their validation, then calibrated session by session.

    Fills in who is `left_out`, and the networks' `weights`.
    """
    if not files:
        return []
    said = {}
    outcomes = fitting.forecasts(parts, STEP, forecaster.recipe, files, forecaster.seed, begin)
    for ticker, outcome in outcomes.items():
        if isinstance(outcome, LookAtTheData):
            left_out[ticker] = str(outcome)
        elif isinstance(outcome, StockcastError):
            raise outcome
        else:
            said[ticker] = outcome
    measured, curves = {}, {}
    for ticker, (validation, _) in said.items():
        dataset = windows.load_dataset(files[ticker])
        ewma = BASELINES[EWMA].fit(dataset.train, dataset.spec.horizon)
        baseline = ewma(dataset.validation), ewma(dataset.test)
        curves[ticker] = combination.curve(dataset.validation, validation, baseline[0])
        measured[ticker] = dataclasses.replace(dataset, train=dataset.train.take(slice(0))), baseline
    weights.update(combination.weights(curves))
    published = []
    for ticker, (dataset, baseline) in measured.items():
        mixed = [combination.mixed(own, other, weights[ticker]) for own, other in zip(said[ticker], baseline, strict=True)]
        published.append((ticker, dataset, evaluation.calibrated_test(dataset, *mixed)))
    return published


def _without_network(
    the: Plan,
    name: str,
    files: Mapping[str, bytes],
    histories: Mapping[str, pd.DataFrame],
    block: Block,
    stood_in: dict[str, list[str]],
) -> Iterator[Said]:
    """What a baseline says, its shape learnt from the training windows; or a statistical model, fitted at every cutoff.

    Fills in `stood_in`: by ticker, the cutoffs at which the model could not be fitted, so that the EWMA random walk stands in for it.
    """
    for ticker, file in files.items():
        dataset = windows.load_dataset(file)
        horizon = dataset.spec.horizon
        if name in BASELINES:
            yield ticker, dataset, BASELINES[name].fit(dataset.train, horizon)(dataset.test)
            continue
        target = column(histories[ticker], the.universe.target).ffill().to_numpy("float64")
        test = dataset.test.take(_at_cutoffs(histories[ticker], block, dataset))
        quantiles = np.empty((len(test), horizon, COUNT))
        for row, (position, cutoff) in enumerate(zip(test.position, test.origins, strict=True)):
            prices = target[: position + 1]
            said = statistical.forecast(name, prices[np.isfinite(prices)], horizon, f"{ticker} {cutoff}")
            quantiles[row] = said.quantiles
            if said.reason:
                stood_in.setdefault(ticker, []).append(str(cutoff))
        yield ticker, dataclasses.replace(dataset, test=test), quantiles


def _at_cutoffs(history: pd.DataFrame, block: Block, dataset: Dataset) -> np.ndarray:
    """Which test windows end at a cutoff, (n,) bool.

    Not those whose close is masked: that it is a wrong print only the next session has shown, and that evening's forecast would have seen it.
    """
    cutoffs = np.array(block.cutoffs, "datetime64[D]")
    unknown = history.loc[history["close"].isna(), "session"].to_numpy().astype("datetime64[D]")
    return np.isin(dataset.test.origins, cutoffs) & ~np.isin(dataset.test.origins, unknown)


def _rows(name: str, ticker: str, history: pd.DataFrame, block: Block, dataset: Dataset, quantiles: np.ndarray) -> pd.DataFrame:
    """BACKTESTS rows of a ticker's test windows that end at one of the block's cutoffs."""
    chosen = _at_cutoffs(history, block, dataset)
    test, quantiles = dataset.test.take(chosen), quantiles[chosen]
    count, horizon, _ = quantiles.shape
    per_window, per_session = horizon * COUNT, COUNT
    return pd.DataFrame(
        {
            "recipe": name,
            "ticker": ticker,
            "cutoff": test.origins.repeat(per_window),
            "horizon": np.tile(np.arange(1, horizon + 1).repeat(per_session), count),
            "session": test.sessions.reshape(-1).repeat(per_session),
            "quantile": np.tile(PROBABILITIES, count * horizon),
            "forecast": quantiles.reshape(-1),
            "actual": test.actual.reshape(-1).repeat(per_session),
            "last": test.last.repeat(per_window),
        }
    )


def compare(parts: Parts, the: Plan) -> Outcome:
    """Joins the shards and writes table, leaderboard, pictures and runs; repeating it changes nothing.

    Raises `NothingStored` where a shard has not been made.
    """
    shards = [
        _read_parquet(parts.artifacts.read(the.shard(forecaster, block))) for forecaster in the.forecasters for block in the.blocks
    ]
    made = BACKTESTS.conform(pd.concat(shards))
    lacking = {forecaster.name for forecaster in the.forecasters} - set(made["recipe"])
    table = leaderboard.common(made)
    if lacking or table.empty:
        raise NotEnoughHistory(
            f"{', '.join(the.universe.tickers)}: there is no cutoff that all of {', '.join(f.name for f in the.forecasters)} can forecast "
            f"from. {' '.join(_left_out(parts, the))} Give a later --from, or files that begin earlier."
        )
    board = leaderboard.leaderboard(table)
    text = _text(parts, the, made, table, board)
    files = {"leaderboard.md": f"```\n{text}\n```\n".encode(), **_tables(parts, the, table, board), **_pictures(the, table, board)}
    for name, content in {"forecasts.parquet": _parquet(table), **files}.items():
        parts.artifacts.write(f"{the.folder}/{name}", content)
    _track(parts, the, table, board, files)
    return Outcome(board, text, the.folder)


def _about(parts: Parts, the: Plan) -> Iterator[tuple[Forecaster, Block, dict]]:
    for forecaster in the.forecasters:
        for block in the.blocks:
            yield forecaster, block, json.loads(parts.artifacts.read(the.about(forecaster, block)))


def _left_out(parts: Parts, the: Plan) -> list[str]:
    """Sentences: who sat which blocks out, and why at first."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for forecaster, _, about in _about(parts, the):
        for ticker, reason in about["left_out"].items():
            reasons.setdefault((ticker, forecaster.name), []).append(reason)
    told: dict[str, str] = {}
    for (ticker, name), found in reasons.items():
        told.setdefault(ticker, f"left out of {reporting.counted(len(found), 'block')} by {name}: {found[0]}")
    return list(told.values())


def _stand_ins(parts: Parts, the: Plan) -> list[str]:
    """Sentences: for which models the EWMA random walk stands in, and how often."""
    found: dict[str, list[str]] = {}
    for forecaster, _, about in _about(parts, the):
        found.setdefault(forecaster.name, []).extend(
            f"{ticker} {cutoff}" for ticker, cutoffs in about["stood_in"].items() for cutoff in cutoffs
        )
    return [
        f"{name} could not be fitted {reporting.counted(len(where), 'time')}, first at {where[0]}: the EWMA random walk stands in for it there."
        for name, where in found.items()
        if where
    ]


def _text(parts: Parts, the: Plan, made: pd.DataFrame, table: pd.DataFrame, board: pd.DataFrame) -> str:
    cutoffs = table["cutoff"].drop_duplicates().sort_values()
    every = "every session" if the.step == 1 else f"every {the.step} sessions"
    fitted = "once" if len(the.blocks) == 1 else f"at every {the.refit} cutoffs, {len(the.blocks)} times"
    warm = ", each time from the first on" if the.warm_start and len(the.blocks) > 1 else ""
    pairs = made.drop_duplicates(["ticker", "cutoff"])[["ticker", "cutoff"]]
    kept = len(table) // (the.universe.horizon * COUNT * len(the.forecasters))
    told = [
        f"{the.universe.target} of {', '.join(sorted(set(table['ticker'])))}, 1 to {the.universe.horizon} sessions ahead, from "
        f"{reporting.counted(len(cutoffs), 'cutoff')} between {cutoffs.iloc[0].date()} and {cutoffs.iloc[-1].date()}, {every}. Networks are "
        f"fitted {fitted}{warm}; an embargo of {reporting.counted(the.embargo, 'session')} lies between what they know and what they forecast. "
        "Networks are mixed with ewma and calibrated as published forecasts are, the others are as they are. Pinball loss as a share of the price; "
        "skill is 1 - loss over the other's, positive is better."
    ]
    if len(pairs) > kept:
        told.append(
            f"{len(pairs) - kept} of {len(pairs)} pairs of ticker and cutoff are left out because not every forecaster has them."
        )
    sections = [
        reporting.sentences(told),
        reporting.rows(leaderboard.for_people(board), "table"),
        "skill against ewma by horizon, %\n" + reporting.rows(leaderboard.horizons_for_people(board), "table"),
        reporting.sentences(leaderboard.verdicts(board)),
    ]
    if remarks := [*_stand_ins(parts, the), *_left_out(parts, the)]:
        sections.append(reporting.sentences(remarks))
    return "\n\n".join(sections)


def _tables(parts: Parts, the: Plan, table: pd.DataFrame, board: pd.DataFrame) -> dict[str, bytes]:
    weights = [
        {"recipe": forecaster.name, "refitted": block.cutoffs[0], "ticker": ticker, "weight": weight}
        for forecaster, block, about in _about(parts, the)
        for ticker, weight in about["weights"].items()
    ]
    tables = {
        "leaderboard": board,
        "by_ticker": leaderboard.by_ticker(table),
        "reliability": leaderboard.reliability(table),
        "pit": leaderboard.pit(table),
        "through_time": leaderboard.through_time(table),
        "weights": pd.DataFrame(weights, columns=["recipe", "refitted", "ticker", "weight"]),
    }
    return {f"{name}.csv": reporting.rows(rows, "csv").encode() for name, rows in tables.items()}


def _pictures(the: Plan, table: pd.DataFrame, board: pd.DataFrame) -> dict[str, bytes]:
    title = f"{the.universe.target}, {table['cutoff'].min().date()} to {table['cutoff'].max().date()}"
    best_first = list(board.loc[board["horizon"] == ALL, "recipe"])  # one order, and so one colour each, in all pictures

    def ordered(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.set_index("recipe").loc[best_first].reset_index()

    return {
        "reliability.png": charts.reliability_plot(title, ordered(leaderboard.reliability(table))),
        "sharpness.png": charts.sharpness_plot(title, ordered(board)),
        "pit.png": charts.pit_plot(title, ordered(leaderboard.pit(table))),
        "horizons.png": charts.horizons_plot(title, ordered(board)),
        "through_time.png": charts.through_time_plot(title, ordered(leaderboard.through_time(table)), leaderboard.MOVING),
    }


def _track(parts: Parts, the: Plan, table: pd.DataFrame, board: pd.DataFrame, files: dict[str, bytes]) -> None:
    """A parent run, and below it a child per forecaster, so that MLflow shows them side by side."""
    runs = (_run(the, forecaster, table, board, files) for forecaster in the.forecasters)
    overall = board[board["horizon"] == ALL].set_index("recipe")["skill_ewma"]
    metrics = {f"skill_ewma.{name}": float(skill) for name, skill in overall.items()}
    study.record(parts, the.universe, f"{STEP} {the.digest}", the.params(), runs, metrics, files, experiment=FOLDER)


def _run(the: Plan, forecaster: Forecaster, table: pd.DataFrame, board: pd.DataFrame, files: dict[str, bytes]) -> StockRun:
    metrics = {}
    for row in board[board["recipe"] == forecaster.name].to_dict("records"):
        suffix = "" if row["horizon"] == ALL else f".h{row['horizon']}"
        metrics |= {f"{name}{suffix}": float(value) for name, value in row.items() if name not in ("recipe", "horizon")}
    own = {
        f"{name}.csv": reporting.rows(rows[rows["recipe"] == forecaster.name], "csv").encode()
        for name, rows in (("leaderboard", board), ("by_ticker", leaderboard.by_ticker(table)))
    }
    recipe = forecaster.recipe
    return StockRun(
        ticker=SHARED,
        title=forecaster.name,
        params={
            **(recipe.parameters() if recipe else {}),
            **the.params(),
            "recipe": recipe.name if recipe else forecaster.name,
            **({"seed": forecaster.seed} if recipe else {}),
        },
        metrics=metrics,
        tags={"recipe": forecaster.name, "mode": recipe.mode if recipe else "baseline"},
        files=own,
    )


def _parquet(table: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    table.to_parquet(file, engine="pyarrow", index=False)
    return file.getvalue()


def _read_parquet(content: bytes) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(content), engine="pyarrow")
