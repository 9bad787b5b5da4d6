"""What the default recipe's forecasts are worth on a test year, beside the EWMA random walk and the naive forecast: `python -m benchmarks.accuracy`.

    python -m benchmarks.accuracy [--data DIR] [--tickers A,B] [--target close] [--year 2017] [--seed N] [--home DIR]

All is done as in the daily run: one network pooled over the tickers, tuned per stock; the year before the test year chooses epochs and
weights; what is published is the mixture with the random walk, calibrated day by day. A fold is one year: trained on all before the
validation year, tested once. Tables tell every stage, so that what does not help can be seen. Intervals (90 %) are of the median over
tickers: sessions are drawn in blocks, the same for all tickers, whose errors hang together.

Without --data, the sample that comes along is used, year by year. `--year` may be several, such as 2014,2015; the sessions of the last
year in the data have been kept for the figures that README and benchmarks/README.md tell.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import assembly, combination, evaluation, fitting, study, windows
from pipeline.assembly import Parts
from pipeline.errors import StockcastError
from pipeline.evidence import BLOCK, CONFIDENCE
from pipeline.masking import mask
from pipeline.metrics import root_mean_squared_error
from pipeline.models import DEFAULT
from pipeline.models.baselines import BASELINES, EWMA
from pipeline.quantiles import INTERVALS, MEDIAN, coverage, losses
from pipeline.settings import Settings
from pipeline.splits import Newest, Since, Split
from pipeline.windows import Dataset

HORIZON = 5
#: Sessions of the validation year.
VALIDATION = Newest(252)
DRAWS = 1000
STAGES = ("ewma", "pooled and tuned", "mixed", "published")


@dataclass(frozen=True, eq=False)
class Fold:
    """A ticker's test year: what came, and what every stage said, (n, H, Q)."""

    ticker: str
    year: int
    dataset: Dataset
    said: dict[str, np.ndarray]
    weight: float

    def losses(self, stage: str) -> np.ndarray:
        """(n, H), fractions of the price."""
        test = self.dataset.test
        return losses(test.actual, self.said[stage], test.last)

    def ratio(self, stage: str) -> float:
        """Mean pinball loss over the EWMA random walk's."""
        return float(self.losses(stage).mean() / self.losses(EWMA).mean())

    def rmse(self, stage: str) -> np.ndarray:
        """(H,): RMSE of the median over that of the last price."""
        test = self.dataset.test
        naive = np.repeat(test.last[:, None], HORIZON, axis=1)
        ours = root_mean_squared_error(test.actual, self.said[stage][:, :, MEDIAN])
        return ours / root_mean_squared_error(test.actual, naive)

    def coverage(self, stage: str, level: int) -> float:
        """Mean over horizons."""
        return float(coverage(self.dataset.test.actual, self.said[stage], level).mean())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="DIR", help="folder of price files (default: the sample that comes along)")
    parser.add_argument("--tickers", default="", help="comma-separated (default: all)")
    parser.add_argument("--target", default="close")
    parser.add_argument("--year", default="", help="test year or years, comma-separated (default: the last that is whole)")
    parser.add_argument("--seed", type=int, default=Settings().seed)
    parser.add_argument("--home", metavar="DIR", help="keep networks here, so that a repetition trains nothing (default: nowhere)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flags = {"data": arguments.data, "source": None if arguments.data else "sample", "tickers": arguments.tickers or None}
        settings = Settings.from_env({}, home=Path(arguments.home or folder), **{k: v for k, v in flags.items() if v})
        with assembly.parts(settings, progress=lambda *_: None) as parts:
            histories = histories_of(parts, arguments.target)
            years = [int(year) for year in arguments.year.split(",") if year] or [last_year(histories)]
            folds = [fold for year in years for fold in folds_of(parts, histories, arguments.target, year, arguments.seed)]
    tell(folds, arguments.target, years)


def histories_of(parts: Parts, target: str) -> dict[str, object]:
    universe, now = study.universe_of(parts.settings), dt.datetime.now(dt.UTC)
    histories = {}
    for ticker in universe.tickers:
        try:
            histories[ticker] = study.history_of(parts, universe, ticker, target, study.Period(), now)
        except StockcastError as error:
            print(f"left out: {error}")
    return histories


def last_year(histories: Mapping) -> int:
    """The last of which December has come."""
    last = max(history["session"].iloc[-1] for history in histories.values())
    return last.year if last.month == 12 and last.day > 20 else last.year - 1


def folds_of(parts: Parts, histories: Mapping, target: str, year: int, seed: int) -> list[Fold]:
    split = Split(test=Since(dt.date(year, 1, 1)), validation=VALIDATION)
    files, datasets = {}, {}
    for ticker, whole in histories.items():
        history = mask(whole[whole["session"] < f"{year + 1}-01-01"].reset_index(drop=True))
        if not len(history) or history["session"].iloc[-1] < np.datetime64(f"{year}-12-20"):
            continue
        cutoff = history["session"].iloc[-1].date()
        spec = DEFAULT.spec(ticker, cutoff, target, HORIZON, split)
        if len(history) < spec.needed_sessions:
            continue
        files[ticker] = windows.encode(history, spec)
        datasets[ticker] = windows.load_dataset(files[ticker])
    outcomes = fitting.forecasts(parts, "accuracy", DEFAULT, files, seed)
    networks = {ticker: said for ticker, said in outcomes.items() if not isinstance(said, StockcastError)}
    for ticker in set(files) - set(networks):
        print(f"left out: {outcomes[ticker]}")
    walks = {
        ticker: tuple(BASELINES[EWMA].fit(the.train, HORIZON)(part) for part in (the.validation, the.test))
        for ticker, the in datasets.items()
    }
    curves = {
        ticker: combination.curve(datasets[ticker].validation, said[0], walks[ticker][0]) for ticker, said in networks.items()
    }
    weights = combination.weights(curves)
    folds = []
    for ticker, said in networks.items():
        the, walk, weight = datasets[ticker], walks[ticker], weights[ticker]
        mixed = [combination.mixed(ours, theirs, weight) for ours, theirs in zip(said, walk, strict=True)]
        stages = (walk[1], said[1], mixed[1], evaluation.calibrated_test(the, *mixed))
        folds.append(Fold(ticker, year, the, dict(zip(STAGES, stages, strict=True)), weight))
    return folds


def interval(folds: list[Fold], stage: str, draws: int = DRAWS) -> tuple[float, float]:
    """Of the median ratio over tickers; the sessions that are drawn are the same for all tickers of a year."""
    random = np.random.default_rng(0)
    medians = []
    series = [(fold.year, fold.losses(stage).mean(axis=1), fold.losses(EWMA).mean(axis=1)) for fold in folds]
    for _ in range(draws):
        starts = {year: random.random(-(-300 // BLOCK)) for year in {fold.year for fold in folds}}
        ratios = []
        for year, ours, theirs in series:
            rows = ((starts[year][:, None] * len(ours)).astype(int) + np.arange(BLOCK)).ravel()[: len(ours)] % len(ours)
            ratios.append(ours[rows].mean() / theirs[rows].mean())
        medians.append(np.median(ratios))
    low, high = np.quantile(medians, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def tell(folds: list[Fold], target: str, years: list[int]) -> None:
    if not folds:
        raise SystemExit("Nothing to measure: no ticker has enough history before that year. Name another --year.")
    sessions = f"{min(f.dataset.test.origins[0] for f in folds)} to {max(f.dataset.test.origins[-1] for f in folds)}"
    print(f"{target}, {', '.join(map(str, years))}: {len(folds)} stock-years, cutoffs {sessions}, horizons 1-{HORIZON}\n")
    print(
        "Pinball loss (7 quantiles, all horizons) relative to the EWMA random walk's; coverage of the central intervals, mean over stocks."
    )
    print(
        "| stage | median | 90 % interval | mean | best | worst | " + " | ".join(f"inside {level} %" for level in INTERVALS) + " |"
    )
    print("|---|" + "---|" * (5 + len(INTERVALS)))
    for stage in STAGES:
        ratios = [fold.ratio(stage) for fold in folds]
        low, high = interval(folds, stage)
        inside = " | ".join(f"{np.mean([fold.coverage(stage, level) for fold in folds]):.1%}" for level in INTERVALS)
        print(
            f"| {stage} | {np.median(ratios):.4f} | {low:.4f}-{high:.4f} | {np.mean(ratios):.4f} | {min(ratios):.4f} | {max(ratios):.4f} | "
            f"{inside} |"
        )
    print(
        "\nRMSE of the median forecast relative to the naive forecast's (the last price), median over stocks and, in brackets, the worst:"
    )
    print("| stage | " + " | ".join(f"{step} ahead" for step in range(1, HORIZON + 1)) + " |")
    print("|---|" + "---|" * HORIZON)
    for stage in STAGES[1:]:
        table = np.array([fold.rmse(stage) for fold in folds])
        cells = [f"{median:.4f} ({worst:.4f})" for median, worst in zip(np.median(table, axis=0), table.max(axis=0), strict=True)]
        print(f"| {stage} | {' | '.join(cells)} |")
    weights = [fold.weight for fold in folds]
    print(f"\nWeights of the networks: {min(weights):.2f} to {max(weights):.2f}, median {np.median(weights):.2f}.")
    by_stock = sorted((fold.ratio("published"), f"{fold.ticker} {fold.year}") for fold in folds)
    print("Published, by stock: " + ", ".join(f"{name} {ratio:.4f}" for ratio, name in by_stock))


if __name__ == "__main__":
    main()
