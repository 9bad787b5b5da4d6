"""Step `promote`: decide which forecast is published for each ticker, with the reasons.

What it decides is published by the next step, in one transaction with the forecasts.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import lineup
from pipeline.daily.admission import admit, hold_back
from pipeline.daily.lineup import Lineup
from pipeline.daily.table_rows import row_dicts
from pipeline.daily.tracked_stock_metrics import promotion_line
from pipeline.decisions import Choice, blending, decode_choice, promotion_rows
from pipeline.errors import NothingStored
from pipeline.outcomes import outcome_of_each, outcome_together, raise_together
from pipeline.run import Run
from pipeline.tables import PROMOTIONS

if TYPE_CHECKING:
    from pipeline.parts import Parts

STEP = "promote"
#: Takes what is too long for a line of progress: the reasons of a decision.
log = logging.getLogger(__name__)


def promote(parts: Parts, run: Run) -> None:
    """Decide for all tickers; one that was not evaluated does not stop the others.

    Raises:
        NothingStored: no ticker was evaluated.
    """
    tickers = admit(parts, run, run.universe.tickers, STEP)
    lineups = lineup.stored(parts, run, tickers)
    evaluated = outcome_of_each(tickers, lambda t: choice_of(parts, run, t, lineups.get(t)))
    for ticker, error in evaluated.failures.items():
        if isinstance(error, NothingStored):
            parts.progress(STEP, ticker, str(error))
    choices, measures = evaluated.results, parts.choice_measures
    identities = {ticker: lineups[ticker].choice for ticker in choices}
    measures.forget_but(identities.values())
    # A year of one stock says little: how much networks are worth is judged on all together.
    curves = outcome_of_each(
        [ticker for ticker, choice in choices.items() if choice.has_network],
        lambda ticker: measures.curve(identities[ticker], choices[ticker]),
    )
    weights = blending.network_weights(curves.results)

    def decide(some: list[str]) -> dict[str, pd.DataFrame]:
        chosen = {ticker: choices[ticker] for ticker in some}
        trained_until = {ticker: lineups[ticker].training.cutoff for ticker in some}
        rivals = measures.rivals_of(identities, chosen)
        rows = promotion_rows(run, chosen, weights, trained_until, rivals)
        return {str(ticker): own for ticker, own in rows.groupby("ticker")}

    decided = outcome_together([t for t in choices if t not in curves.failures], decide)
    rows = pd.concat([PROMOTIONS.empty(), *decided.results.values()])
    lineup.save_decisions(parts, run, tickers, PROMOTIONS.conform(rows))
    for row in row_dicts(rows):
        parts.progress(STEP, row["ticker"], promotion_line(row))
        for reason in str(row["reasons"]).split("; "):
            log.info("promote %s: %s", row["ticker"], reason)
    if len(evaluated.failures) == len(tickers):
        raise_together(evaluated.failures)
    unreadable = {
        ticker: error
        for ticker, error in evaluated.failures.items()
        if not isinstance(error, NothingStored)  # no fault of its own: a step has not run for it
    }
    hold_back(parts, run, STEP, {**unreadable, **curves.failures, **decided.failures}, tickers)


def choice_of(parts: Parts, run: Run, ticker: str, own: Lineup | None) -> Choice:
    """Return the choice of a ticker.

    Raises:
        NothingStored: it has not been evaluated.
        DamagedFile: its file is not what was written.
    """
    if own is not None:
        with contextlib.suppress(NothingStored):
            return decode_choice(parts.artifacts.read_derived(own.choice_file))
    raise NothingStored(
        f"{ticker} {run.session}: it has not been evaluated. "
        "Run `train` and `evaluate` for this session first."
    )
