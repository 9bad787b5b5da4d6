"""The day in order: one function per step. A step that is repeated changes nothing.

    ingest -> check -> pretrain -> build_windows -> train -> evaluate -> promote -> publish
           -> scenarios -> score -> watch -> report -> export

The DAG and the command line call these same functions. What one step leaves for the next is in the
store and among the artifacts, found by the run's key; only tickers and names travel between tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.daily.build_windows import build_windows
from pipeline.daily.check import check
from pipeline.daily.evaluate import evaluate
from pipeline.daily.export import export
from pipeline.daily.ingest import ingest, ingest_each
from pipeline.daily.plan import to_ingest
from pipeline.daily.prepare_run import prepare_run
from pipeline.daily.pretrain import pretrain
from pipeline.daily.promote import promote
from pipeline.daily.publish import publish
from pipeline.daily.report import report
from pipeline.daily.scenarios import scenarios
from pipeline.daily.score import score
from pipeline.daily.train import train
from pipeline.daily.watch import watch
from pipeline.run import Run

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Every step by name, in the order of the day.
STEPS: dict[str, Callable[..., Any]] = {
    "ingest": ingest,
    "check": check,
    "pretrain": pretrain,
    "build_windows": build_windows,
    "train": train,
    "evaluate": evaluate,
    "promote": promote,
    "publish": publish,
    "scenarios": scenarios,
    "score": score,
    "watch": watch,
    "report": report,
    "export": export,
}
#: The steps that take a list of tickers; the others look at the whole session.
TICKER_STEPS = ("ingest", "build_windows", "train", "evaluate")


def run_day(parts: Parts, run: Run) -> str:
    """Do all steps of a session; return where the day's page is.

    A ticker that cannot be ingested does not stop the others. What is open in MLflow when the day
    is stopped ends with it: FAILED by an error, KILLED by an interrupt.

    Raises:
        StockcastError: what stopped the day.
    """
    try:
        return _run_steps(parts, run)
    except BaseException as error:
        # Not left to the end of the process, which may go on with another session.
        parts.tracker(run.universe.name).end_open(error)
        raise


def _run_steps(parts: Parts, run: Run) -> str:
    prepare_run(parts, run)
    failures = ingest_each(parts, run, to_ingest(parts, run))
    if len(failures) == len(run.universe.tickers):
        raise next(iter(failures.values()))
    make_forecasts(parts, run)
    scenarios(parts, run)
    score(parts, run)
    watch(parts, run)
    address = report(parts, run)
    export(parts, run)
    return address


def make_forecasts(parts: Parts, run: Run) -> None:
    """Do the steps of a session that lead from stored prices to published forecasts."""
    tickers = check(parts, run)
    pretrain(parts, run)
    build_windows(parts, run, tickers)
    train(parts, run, tickers)
    evaluate(parts, run, tickers)
    promote(parts, run)
    publish(parts, run)
