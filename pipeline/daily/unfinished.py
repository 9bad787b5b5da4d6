"""The step of a session that is not done for a ticker, as what the others have left tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.daily import lineup
from pipeline.daily.dataset_files import stored_datasets
from pipeline.daily.lineup import Lineup
from pipeline.run import Run

if TYPE_CHECKING:
    from pipeline.parts import Parts


def unfinished_steps(parts: Parts, run: Run, tickers: Sequence[str]) -> dict[str, str]:
    """Return by ticker the first step that is not done for it, up to `publish`.

    Its task was killed, or has failed without an end of its own: nothing else has its reason. A
    recipe that forecasts a smoothed price publishes nothing when all is done.
    """
    if not tickers or parts.recipes.for_price(run.universe.recipe).smoothing:
        return {}
    built = stored_datasets(parts, run, tickers)
    lineups = lineup.stored(parts, run, tickers)
    decided = set(lineup.decisions(parts, run, tickers)["ticker"])

    def step_of(ticker: str) -> str:
        if ticker in decided:
            return "publish"
        if ticker in lineups:
            return _step_within(parts, lineups[ticker])
        return "train" if ticker in built else "build_windows"

    return {ticker: step_of(ticker) for ticker in tickers}


def _step_within(parts: Parts, own: Lineup) -> str:
    """Return the step that is not done for a ticker whose lineup is drawn up and not decided."""
    if not all(parts.networks.has(network.model_id) for network in own.networks):
        return "train"
    files = (own.choice_file, own.replay_file)
    return "promote" if all(map(parts.artifacts.exists, files)) else "evaluate"
