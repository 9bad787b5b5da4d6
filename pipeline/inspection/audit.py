"""The leakage audit: everything after a cutoff is changed, and every output that moves is reported.

    session   the whole day, with the future in the store (see `audit_session`)
    split     another test part in a dataset file, before anything is trained (see `audit_datasets`)
    window    another future after a test window (see `audit_datasets`)

No perturbation can show that something was chosen by a person who had seen the test sessions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.inspection.audit_datasets import audit_datasets, audited_dataset
from pipeline.inspection.audit_session import audit_sessions, needed_sessions
from pipeline.inspection.comparing import ComparedOutput
from pipeline.windows import decode

if TYPE_CHECKING:
    from pipeline.inspection.audited_prices import TradedPrices
    from pipeline.models import PriceRecipe, Recipe
    from pipeline.parts import Parts
    from pipeline.universes import Universe

STEP = "audit"
AUDIT_LEVELS = ("session", "split", "window")
#: Epochs that are trained where nothing else is asked for: a leak into what is learnt shows after
#: the first.
AUDITED_EPOCHS = 2
#: Cutoffs of the session and of the window level where nothing else is asked for.
AUDITED_CUTOFFS = 2
#: Windows that a network learns from in an audit: enough for a distribution's shape.
AUDITED_TRAINING_WINDOWS = 60


@dataclass(frozen=True)
class AuditReport:
    """The result of an audit.

    Attributes:
        recipe: its name.
        remarks: the tickers, and what of the training and the histories was left out, in words.
        not_audited: why there is nothing to audit; "": there is something.
    """

    recipe: str
    compared: tuple[ComparedOutput, ...]
    remarks: tuple[str, ...] = ()
    not_audited: str = ""

    @property
    def moved(self) -> list[ComparedOutput]:
        """The outputs that moved."""
        return [line for line in self.compared if line.moved]

    def table(self) -> pd.DataFrame:
        """Return one row per output: level, cutoff, what, cells, moved."""
        rows = [
            {**dataclasses.asdict(line), "moved": line.moved or "nothing"} for line in self.compared
        ]
        columns = [field.name for field in dataclasses.fields(ComparedOutput)]
        return pd.DataFrame(rows, columns=columns)

    def verdict(self) -> str:
        """Return the sentence that a person reads."""
        if self.not_audited:
            return f"{self.recipe}: nothing to audit. {self.not_audited}"
        count = len(self.compared)
        if self.moved:
            levels = ", ".join(dict.fromkeys(line.level for line in self.moved))
            moved = f"{len(self.moved)} of {count} outputs moved ({levels})"
            return f"{self.recipe} looks ahead: {moved}."
        cells = sum(line.cells for line in self.compared)
        return f"{self.recipe}: nothing moved in {count} outputs of {cells:,} cells."


def audit(
    parts: Parts,
    recipe: PriceRecipe,
    universe: Universe,
    bars: Mapping[str, TradedPrices],
    cutoffs: int = AUDITED_CUTOFFS,
    epochs: int = AUDITED_EPOCHS,
    levels: Sequence[str] = AUDIT_LEVELS,
) -> AuditReport:
    """Look for outputs of a recipe that depend on later prices.

    Args:
        parts: their settings, recipes and workers are used; their store and artifacts are not
            touched.
        universe: target, horizon, calendar and cadences; its tickers are those of `bars`.
        cutoffs: of the session and of the window level.
        epochs: trained at most.

    Raises:
        NotEnoughHistory: a ticker has too few sessions for the recipe.
    """
    short = shortened(recipe, epochs)
    universe = dataclasses.replace(universe, recipe=recipe.name, tickers=tuple(bars))
    lengths: dict[str, int] = {}
    lines: list[ComparedOutput] = []
    if "session" in levels:
        count = needed_sessions(parts, short, universe, bars, cutoffs)
        newest = {ticker: each.newest(count) for ticker, each in bars.items()}
        lengths["session"] = count
        lines += audit_sessions(parts, STEP, short, universe, newest, cutoffs)
    if "split" in levels or "window" in levels:
        files = {t: audited_dataset(parts, short, universe, t, each) for t, each in bars.items()}
        lengths["split and window"] = max(len(decode(file)[1]) for file in files.values())
        lines += audit_datasets(parts, STEP, short, files, levels, cutoffs)
    remarks = tuple(_remarks(recipe, short, lengths, bars))
    return AuditReport(recipe.name, tuple(lines), remarks)


def nothing_to_audit(recipe: Recipe) -> AuditReport:
    """Return the report on a recipe that needs no prices."""
    reason = "It makes its own examples; there are no sessions that it could look ahead to."
    return AuditReport(recipe.name, (), not_audited=reason)


def shortened(recipe: PriceRecipe, epochs: int) -> PriceRecipe:
    """Return the recipe with a short training on few windows.

    What a window is, and how it is normalised, stays.
    """
    tuning = recipe.fine_tuning and dataclasses.replace(
        recipe.fine_tuning, epochs=min(recipe.fine_tuning.epochs, max(epochs - 1, 1))
    )
    fewest = min(recipe.split.min_train_windows, AUDITED_TRAINING_WINDOWS)
    split = dataclasses.replace(recipe.split, min_train_windows=fewest)
    return dataclasses.replace(
        recipe, epochs=min(recipe.epochs, epochs), fine_tuning=tuning, split=split
    )


def _remarks(
    recipe: PriceRecipe,
    short: PriceRecipe,
    lengths: Mapping[str, int],
    bars: Mapping[str, TradedPrices],
) -> Iterator[str]:
    """Yield what was audited, and what was left out.

    Args:
        lengths: sessions by level.
    """
    yield f"tickers: {', '.join(bars)}"
    if short.epochs < recipe.epochs:
        tuning = ""
        if recipe.fine_tuning and short.fine_tuning:
            tuning = f", fine tuning {short.fine_tuning.epochs} of {recipe.fine_tuning.epochs}"
        yield (
            f"training: {short.epochs} of {recipe.epochs} epochs{tuning}; what shows only later is "
            "not seen (--epochs trains longer)"
        )
    longest = max(len(each.prices) for each in bars.values())
    fewest = short.split.min_train_windows
    for level, length in lengths.items():
        if length < longest:
            yield (
                f"{level} level: the newest {length} of {longest} sessions, {fewest} windows or "
                "more to learn from"
            )
