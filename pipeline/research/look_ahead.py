"""`stockcast look-ahead`: a session's networks forecast their test sessions in three ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.daily import Lineup, lineup, read_dataset
from pipeline.errors import NothingStored, SettingsError
from pipeline.outcomes import Outcomes, outcome_of_each
from pipeline.reporting import charts
from pipeline.run import Run
from pipeline.training import LookAheadJob, answers_by_label
from pipeline.windows import LookAhead, load_dataset

if TYPE_CHECKING:
    from pipeline.parts import Parts


def look_ahead(parts: Parts, run: Run, tickers: Sequence[str], length: int) -> Outcomes[LookAhead]:
    """Look ahead over each ticker's test sessions with its current network.

    Args:
        length: sessions of one of the multiple sequences.

    Returns:
        By ticker; a ticker without a network fails with `NothingStored`.
    """
    lineups = lineup.stored(parts, run, tickers)
    prepared = outcome_of_each(
        tickers, lambda ticker: _job(parts, run, ticker, lineups.get(ticker), length)
    )
    looks = answers_by_label(parts.workers, list(prepared.results.values()))
    failures = {**prepared.failures, **looks.failures}
    return Outcomes(
        {ticker: looks.results[ticker] for ticker in tickers if ticker in looks.results},
        {ticker: failures[ticker] for ticker in tickers if ticker in failures},
    )


def _job(parts: Parts, run: Run, ticker: str, own: Lineup | None, length: int) -> LookAheadJob:
    """Return the job that looks ahead with the current network of a ticker.

    Raises:
        NothingStored: there is no network.
        SettingsError: the network does not see the column that it forecasts.
    """
    recipe, target = run.universe.recipe, run.universe.target
    current = next(iter(own.compared), None) if own else None
    if own is None or current is None or not parts.networks.has(current.model_id):
        raise NothingStored(
            f"{ticker} {run.session}: there is no network of {recipe}. "
            f"`stockcast run --session {run.session}` trains it."
        )
    test = load_dataset(read_dataset(parts, own.training.dataset)).test
    if test.cut.target is None:
        raise SettingsError(
            f"{ticker}: {recipe} does not see the {target} that it forecasts, so it cannot go on "
            "from its own forecasts. Choose a target among the columns that it sees (--target)."
        )
    return LookAheadJob(ticker, parts.networks.model(current.model_id), test, length)


def save_look_ahead(parts: Parts, run: Run, looks: Mapping[str, LookAhead]) -> list[str]:
    """Write a CSV and a picture for each ticker; return their addresses."""
    universe, addresses = run.universe, []
    folder = f"look_ahead/{universe.name}/{run.session}-{universe.recipe}-{universe.target}"
    for ticker, look in sorted(looks.items()):
        table = look.table().to_csv(index=False, date_format="%Y-%m-%d")
        files = {
            f"{folder}/{ticker}.csv": table.encode(),
            f"{folder}/{ticker}.png": charts.look_ahead_plot(f"{ticker}, {universe.recipe}", look),
        }
        for name, content in files.items():
            parts.artifacts.write(name, content)
            addresses.append(parts.artifacts.url(name))
    return addresses
