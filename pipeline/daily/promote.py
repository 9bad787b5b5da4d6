"""Step `promote`: decide which forecast is published for each ticker, with the reasons.

What it decides is published by the next step, in one transaction with the forecasts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.daily import lineup
from pipeline.daily.admission import passed
from pipeline.daily.lineup import Lineup
from pipeline.daily.table_rows import row_dicts
from pipeline.daily.tracked_stock_metrics import promotion_line
from pipeline.decisions import Choice, blending, decode_choice, promotion_rows
from pipeline.errors import NothingStored, StockcastError
from pipeline.outcomes import Outcomes, raise_together
from pipeline.run import Run

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
    tickers = passed(parts, run)
    lineups = lineup.stored(parts, run, tickers)
    evaluated = _choices(parts, run, tickers, lineups)
    choices = evaluated.results
    # A year of one stock says little: how much networks are worth is judged on all together.
    curves = {t: choice.loss_curve() for t, choice in choices.items() if choice.has_network}
    weights = blending.network_weights(curves)
    trained_until = {ticker: lineups[ticker].training.cutoff for ticker in choices}
    rows = promotion_rows(run, choices, weights, trained_until)
    lineup.save_decisions(parts, run, tickers, rows)
    for row in row_dicts(rows):
        parts.progress(STEP, row["ticker"], promotion_line(row))
        for reason in str(row["reasons"]).split("; "):
            log.info("promote %s: %s", row["ticker"], reason)
    if len(evaluated.failures) == len(tickers):
        raise_together(evaluated.failures)


def _choices(
    parts: Parts, run: Run, tickers: Sequence[str], lineups: Mapping[str, Lineup]
) -> Outcomes[Choice]:
    choices: dict[str, Choice] = {}
    failures: dict[str, StockcastError] = {}
    for ticker in tickers:
        try:
            choices[ticker] = choice_of(parts, run, ticker, lineups.get(ticker))
        except NothingStored as error:
            failures[ticker] = error
            parts.progress(STEP, ticker, str(error))
    return Outcomes(choices, failures)


def choice_of(parts: Parts, run: Run, ticker: str, own: Lineup | None) -> Choice:
    """Return the choice of a ticker; `NothingStored` where it has not been evaluated."""
    if own is not None and parts.artifacts.exists(own.choice_file):
        return decode_choice(parts.artifacts.read(own.choice_file))
    raise NothingStored(
        f"{ticker} {run.session}: it has not been evaluated. "
        "Run `train` and `evaluate` for this session first."
    )
