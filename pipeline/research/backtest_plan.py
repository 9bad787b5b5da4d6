"""A backtest that is decided: its forecasters, its blocks of cutoffs, and the names of its files.

All files lie below `backtests/<digest>`, named by everything that decides them:

    plan.json               the plan
    shards/<name>-<n>       a forecaster in block n: its forecasts (.parquet), remarks (.json)
    forecasts.parquet       the forecasts of all at the cutoffs that they share
    leaderboard.csv, ...    tables, text and pictures

The prices that it sees are kept below `backtests/prices`, named by their content.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipeline.daily import VALIDATION
from pipeline.errors import LookAtTheData
from pipeline.models import PriceRecipe, Recipes
from pipeline.research.backtest_request import Forecaster
from pipeline.storage import digest_of
from pipeline.universes import Universe
from pipeline.version import code_version
from pipeline.windows import Since, Spec, Split

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Folder of the files, and name of the experiment in MLflow.
BACKTEST_FOLDER = "backtests"


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

    def to_json(self) -> dict[str, object]:
        """Return the block as JSON values; its number is its place in the plan."""
        return {
            "cutoffs": [str(cutoff) for cutoff in self.cutoffs],
            "after": str(self.after),
            "end": str(self.end),
        }

    @classmethod
    def from_json(cls, number: int, values: dict[str, Any]) -> Block:
        """Return the block that `to_json` wrote."""
        cutoffs = tuple(dt.date.fromisoformat(cutoff) for cutoff in values["cutoffs"])
        after, end = (dt.date.fromisoformat(values[name]) for name in ("after", "end"))
        return cls(number, cutoffs, after, end)


@dataclass(frozen=True)
class BacktestPlan:
    """A backtest, decided to the last detail.

    Attributes:
        universe: with members by date where whole days take part, with those of the first cutoff
            otherwise.
        step, refit, embargo, warm_start: see `BacktestRequest`.
        prices, actions: the digests of the tables that it sees.
        events: the digest of the universe's file of events, which whole days see; "": none.
    """

    universe: Universe
    forecasters: tuple[Forecaster, ...]
    blocks: tuple[Block, ...]
    step: int
    refit: int
    embargo: int
    warm_start: bool
    prices: str
    actions: str
    events: str = ""

    @cached_property
    def digest(self) -> str:
        """The hash of everything that decides the forecasts."""
        universe = self.universe
        return digest_of(
            [
                [
                    list(universe.tickers),
                    universe.calendar,
                    universe.target,
                    universe.horizon,
                    str(universe.start),
                    *universe.amendments,
                    *([universe.history_sessions] if universe.history_sessions else []),
                    *([] if universe.repair else ["unrepaired"]),
                    *([universe.retrain] if self.has_days else []),
                    *([self.events] if self.events else []),
                    *([list(self.members(block)) for block in self.blocks if universe.members]),
                ],
                [forecaster.identity for forecaster in self.forecasters],
                [[str(day) for day in (*block.cutoffs, block.end)] for block in self.blocks],
                [self.embargo, self.warm_start, self.prices, self.actions, code_version()],
            ]
        )

    @property
    def has_days(self) -> bool:
        """True where whole days take part, which forecast stocks that have no network, too."""
        return any(forecaster.is_published for forecaster in self.forecasters)

    def members(self, block: Block) -> tuple[str, ...]:
        """Return the tickers of a block, the same at all of its cutoffs."""
        return self.universe.on(block.cutoffs[0]).tickers

    @property
    def folder(self) -> str:
        """The folder of the files, among the artifacts."""
        return f"{BACKTEST_FOLDER}/{self.digest}"

    @property
    def cutoffs(self) -> list[dt.date]:
        """The cutoffs of all blocks, in order."""
        return [cutoff for block in self.blocks for cutoff in block.cutoffs]

    @property
    def shards(self) -> list[tuple[Forecaster, Block]]:
        """Each forecaster in each block."""
        return [(forecaster, block) for forecaster in self.forecasters for block in self.blocks]

    def shard_file(self, forecaster: Forecaster, block: Block) -> str:
        """Return the artifact with a forecaster's BACKTESTS rows of a block."""
        return f"{self._shard(forecaster, block)}.parquet"

    def notes_file(self, forecaster: Forecaster, block: Block) -> str:
        """Return the artifact with the remarks on a shard."""
        return f"{self._shard(forecaster, block)}.json"

    def _shard(self, forecaster: Forecaster, block: Block) -> str:
        name = forecaster.name.replace(" ", "-")
        return f"{self.folder}/shards/{name}-{block.number:03d}"

    def split(self, recipe: PriceRecipe, block: Block) -> Split:
        """Return how a recipe's windows are split for a block.

        No session after the block's first cutoff trains or chooses; the test begins after it.
        """
        return dataclasses.replace(
            recipe.split, test=Since(block.after), validation=VALIDATION, embargo=self.embargo
        )

    def spec(self, recipe: PriceRecipe, block: Block, ticker: str) -> Spec:
        """Return how a ticker's history up to a block's end is cut for a recipe."""
        universe, split = self.universe, self.split(recipe, block)
        return recipe.spec(ticker, block.end, universe.target, universe.horizon, split)

    def params(self) -> dict[str, object]:
        """Return the plan as MLflow shows it."""
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

    def encode(self) -> bytes:
        """Encode the plan as JSON."""
        values = {
            "universe": self.universe.to_json(),
            "forecasters": [forecaster.identity for forecaster in self.forecasters],
            "blocks": [block.to_json() for block in self.blocks],
            "step": self.step,
            "refit": self.refit,
            "embargo": self.embargo,
            "warm_start": self.warm_start,
            "prices": self.prices,
            "actions": self.actions,
            "events": self.events,
        }
        return json.dumps(values, indent=1).encode()

    @classmethod
    def decode(cls, data: bytes, recipes: Recipes) -> BacktestPlan:
        """Decode what `encode` wrote; the recipes are those that have the names now."""
        values = json.loads(data)
        return cls(
            **{
                **values,
                "universe": Universe.from_json(values["universe"]),
                "forecasters": tuple(_forecaster(each, recipes) for each in values["forecasters"]),
                "blocks": tuple(
                    Block.from_json(number, block) for number, block in enumerate(values["blocks"])
                ),
            }
        )


def _forecaster(identity: list[Any], recipes: Recipes) -> Forecaster:
    if len(identity) == 1:
        return Forecaster(identity[0])
    name, recipe, _, seed, *settings = identity
    return Forecaster(name, recipes.for_price(recipe), seed, tuple(map(tuple, settings)))


def read_backtest_plan(parts: Parts, digest: str) -> BacktestPlan:
    """Return the plan that `plan_backtest` wrote.

    Raises:
        LookAtTheData: a recipe or this program has changed since.
    """
    data = parts.artifacts.read(f"{BACKTEST_FOLDER}/{digest}/plan.json")
    plan = BacktestPlan.decode(data, parts.recipes)
    if plan.digest != digest:
        raise LookAtTheData(
            f"A recipe or the program has changed since the backtest {digest} was planned: its "
            f"digest is {plan.digest} now. Plan it again."
        )
    return plan
