"""The split and the window level of an audit: another future inside a dataset file.

split     the test sessions are changed before anything is trained; nothing that is learnt from,
          learnt or chosen may differ
window    what comes after a test window's last session is changed; the forecasts from it and
          from the windows before may not differ
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import NotEnoughHistory
from pipeline.inspection.audit_answers import Answers, ask, outputs_until
from pipeline.inspection.audited_networks import AuditedNetworks, train_on
from pipeline.inspection.audited_prices import SPARE_SESSIONS
from pipeline.inspection.comparing import ComparedOutput, compare
from pipeline.inspection.perturbation import perturb_prices
from pipeline.leftovers import TemporaryFolder
from pipeline.prices import Histories, on_calendar
from pipeline.storage import Artifacts
from pipeline.tables import PRICES
from pipeline.training import Networks
from pipeline.windows import Newest, decode, encode, load_dataset

if TYPE_CHECKING:
    from pipeline.inspection.audited_prices import TradedPrices
    from pipeline.models import PriceRecipe
    from pipeline.parts import Parts
    from pipeline.universes import Universe

#: Held out before the test sessions where the recipe holds none out, as the day does
#: (`daily.VALIDATION`), but fewer.
AUDIT_VALIDATION = Newest(60)


def audited_dataset(
    parts: Parts, recipe: PriceRecipe, universe: Universe, ticker: str, bars: TradedPrices
) -> bytes:
    """Return the dataset file of the shortest history that a recipe can be trained on.

    It is cut as the day cuts it.

    Raises:
        NotEnoughHistory: the ticker has fewer sessions.
    """
    cutoff = bars.prices["session"].max().date()
    split = recipe.split
    split = split if split.validates else dataclasses.replace(split, validation=AUDIT_VALIDATION)
    spec = recipe.spec(ticker, cutoff, universe.target, universe.horizon, split)
    history = Histories(PRICES.conform(bars.prices), bars.actions).of(ticker, cutoff)
    sessions = parts.calendar(universe).sessions(universe.start, cutoff)
    history = on_calendar(history, sessions)
    if len(history) < spec.needed_sessions:
        raise NotEnoughHistory(
            f"{ticker}: {len(history)} sessions up to {cutoff}, {spec.needed_sessions} needed to "
            f"audit {recipe.name}. Name a ticker with a longer history (--tickers)."
        )
    return encode(history.tail(spec.needed_sessions + SPARE_SESSIONS), spec)


def audit_datasets(
    parts: Parts,
    step: str,
    recipe: PriceRecipe,
    files: Mapping[str, bytes],
    levels: Collection[str],
    cutoffs: int,
) -> list[ComparedOutput]:
    """Audit dataset files at the levels "split" and "window".

    Args:
        step: the name that progress is reported under.
        files: dataset files by ticker; see `audited_dataset`.
        levels: those that are asked for.
        cutoffs: of the window level.
    """
    lines: list[ComparedOutput] = []
    with TemporaryFolder("audit") as folder:
        networks = Networks(Artifacts(str(folder)), parts.workers)
        audited = _Audited(parts, step, recipe, files, networks)
        before = audited.ask(files, audited.train(files))
        if "split" in levels:
            lines += _split_level(audited, before)
        if "window" in levels:
            lines += _window_level(audited, before, cutoffs)
    return lines


@dataclass(frozen=True, eq=False)
class _Audited:
    """The common ground of both levels.

    Attributes:
        files: dataset files by ticker.
        networks: a cache of networks of this audit alone.
    """

    parts: Parts
    step: str
    recipe: PriceRecipe
    files: Mapping[str, bytes]
    networks: Networks

    def train(self, files: Mapping[str, bytes]) -> AuditedNetworks:
        """Train the recipe's networks on dataset files."""
        return train_on(self.networks, self.recipe, files, self.parts.settings.seed)

    def ask(self, files: Mapping[str, bytes], networks: AuditedNetworks) -> Answers:
        """Let networks forecast the windows of dataset files."""
        return ask(self.parts.workers, files, networks)

    def report(self, message: str) -> None:
        """Report progress."""
        self.parts.progress(self.step, "", message)


def _split_level(audited: _Audited, before: Answers) -> Iterator[ComparedOutput]:
    """Change the test part before training.

    Training is given training files alone. Where these stay the same, so do the networks: the
    cache has them. Where they differ, networks are trained on both and compared.
    """
    last = {ticker: _last_validated(file) for ticker, file in audited.files.items()}
    cutoff = min(last.values())
    audited.report(f"{audited.recipe.name}: another test part, after {cutoff}")
    other = {t: _with_another_future(file, last[t]) for t, file in audited.files.items()}
    after = audited.ask(other, audited.train(other))
    outputs = [{**each.networks.outputs, **outputs_until(each, None)} for each in (before, after)]
    yield from compare("split", cutoff, *outputs)


def _window_level(audited: _Audited, before: Answers, cutoffs: int) -> Iterator[ComparedOutput]:
    """Change what comes after a test window, and ask the same networks again."""
    origins = next(iter(before.cuts.values())).test.origins
    for number in range(1, cutoffs + 1):
        cutoff: dt.date = origins[len(origins) * number // (cutoffs + 1)].astype(object)
        audited.report(f"another future for windows that end after {cutoff}")
        other = {t: _with_another_future(file, cutoff) for t, file in audited.files.items()}
        after = audited.ask(other, before.networks)
        outputs = [outputs_until(each, cutoff) for each in (before, after)]
        yield from compare("window", cutoff, *outputs)


def _last_validated(file: bytes) -> dt.date:
    """Return the last session that a validation window knows: later ones are the test's alone."""
    spec, history = decode(file)
    last = load_dataset(file).validation.position[-1] + spec.reach
    session: dt.date = history["session"].iloc[last].date()
    return session


def _with_another_future(file: bytes, after: dt.date) -> bytes:
    spec, history = decode(file)
    return encode(perturb_prices(history, after), spec)
