"""Print the accuracy of the default recipe's forecasts on a test year, by stage.

    python -m benchmarks.accuracy [--data DIR] [--tickers A,B] [--target close] [--year 2017]
                                  [--seed N] [--home DIR] [--no-network | --days N]

The forecasts are compared with the EWMA random walk, the naive forecast and the HAR regressions.
Everything is done as in the daily run: one network is pooled over the tickers and tuned per stock;
the year before the test year chooses epochs, baselines and weights; the blend with the baseline
(`har`, fitted on what networks learn from, or the random walk) is published, calibrated day by day.
A fold is one year: trained on everything before the validation year, tested once. As opponents, the
regressions need no year to choose by: they are fitted on all before the test year, once. The tables
show every stage, so that a stage that does not help can be seen. Intervals (90%) are of the median
over tickers: sessions are drawn in blocks, the same for all tickers, because their errors are
correlated. With `--no-network`, only what needs no network is measured, in seconds.

With `--days N`, `published` is what whole days publish, done at every N-th session of the year: the
networks are trained as a universe trains them, month by month, and the day's own steps choose among
them. All else is measured at the same sessions; what is published without the flag is `trained
once`.

Without --data, the shipped sample is used, year by year. `--year` may be several, such as
2014,2015; the sessions of the last year in the data have been kept for the figures in README.md and
benchmarks/README.md. No STOCKCAST_ variable has an effect.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import windows
from pipeline.errors import StockcastError
from pipeline.measures import (
    CONFIDENCE,
    REJECTED_BELOW,
    ExceedanceTest,
    exceedance_test,
    exceeded,
    promised_share,
    root_mean_squared_error,
)
from pipeline.models import BASELINES, DEFAULT, EWMA, NAIVE, PUBLISHED, PooledHar, har
from pipeline.parts import Parts
from pipeline.prices import mask
from pipeline.quantiles import INTERVALS, MEDIAN, PROBABILITIES, coverage, losses, pinball
from pipeline.research import (
    BacktestRequest,
    HarForecasts,
    Period,
    anchored_files,
    har_forecasts,
    history_of,
    leaderboard,
    make_shard,
    network_blends,
    network_choice,
    network_forecasts,
    plan_backtest,
    pooled_har,
    read_shards,
    studied_universe,
)
from pipeline.sessions import Calendar
from pipeline.settings import Settings, variables
from pipeline.windows import Dataset, Newest, Since, Split

HORIZON = 5
#: Sessions of the validation year.
VALIDATION = Newest(252)
#: Sessions that the bootstrap over all tickers draws together.
BLOCK_SESSIONS = 20
DRAWS = 1000
#: What a network is measured beside.
OPPONENTS = (EWMA, NAIVE, har.HAR_RANGE, har.HAR)
NETWORK_STAGES = ("pooled and tuned", "mixed", PUBLISHED)
#: What the networks that are trained once a year would publish, where whole days are published.
TRAINED_ONCE = "trained once"


@dataclass(frozen=True, eq=False)
class Fold:
    """A ticker's test year.

    Attributes:
        forecasts: by stage the quantiles of the test windows, dollars (n, H, Q).
        weight: the network's, in the blend; None: no network was trained.
        step: sessions from one window to the next.
    """

    ticker: str
    year: int
    dataset: Dataset
    forecasts: dict[str, np.ndarray]
    weight: float | None
    step: int = 1

    def losses(self, stage: str) -> np.ndarray:
        """Return pinball losses, (n, H), fractions of the price."""
        test = self.dataset.test
        return losses(test.actual, self.forecasts[stage], test.last)

    def ratio(self, stage: str, opponent: str = EWMA) -> float:
        """Return the mean pinball loss over that of an opponent."""
        return float(self.losses(stage).mean() / self.losses(opponent).mean())

    def rmse(self, stage: str) -> np.ndarray:
        """Return the RMSE of the median over that of the last price, (H,)."""
        test = self.dataset.test
        naive = np.repeat(test.last[:, None], HORIZON, axis=1)
        of_median = root_mean_squared_error(test.actual, self.forecasts[stage][:, :, MEDIAN])
        return of_median / root_mean_squared_error(test.actual, naive)

    def coverage(self, stage: str, level: int) -> float:
        """Return the coverage of an interval, the mean over horizons."""
        return float(coverage(self.dataset.test.actual, self.forecasts[stage], level).mean())

    def outer_loss(self, stage: str) -> float:
        """Return the mean loss of the outermost two quantiles, as a fraction of the price."""
        test = self.dataset.test
        loss = pinball(test.actual, self.forecasts[stage])[..., [0, -1]].mean(axis=(1, 2))
        return float((loss / test.last).mean())

    def tested(self, stage: str, place: int) -> ExceedanceTest:
        """Return the tests of the exceedances of one quantile, one session ahead."""
        bound, probability = self.forecasts[stage][:, 0, place], PROBABILITIES[place]
        marks = exceeded(self.dataset.test.actual[:, 0], bound, probability)
        return exceedance_test(marks, promised_share(probability))


def main() -> None:
    for name in variables():
        os.environ.pop(name, None)
    arguments = parsed_arguments()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            home=Path(arguments.home or folder),
            data=arguments.data,
            source="" if arguments.data else "sample",
            tickers=arguments.tickers,
            seed=arguments.seed,
        )
        with Parts(settings, progress=lambda *_: None) as parts:
            histories = histories_of(parts, arguments.target)
            years = [int(year) for year in arguments.year.split(",") if year]
            years = years or [last_year(histories)]
            folds = [fold for year in years for fold in folds_of(parts, histories, year, arguments)]
    print_report(folds, arguments.target, years)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--data",
        default="",
        metavar="DIR",
        help="folder of price files (default: the shipped sample)",
    )
    parser.add_argument("--tickers", default="", help="comma-separated (default: all)")
    parser.add_argument("--target", default="close")
    parser.add_argument(
        "--year",
        default="",
        help="test year or years, comma-separated (default: the last whole one)",
    )
    parser.add_argument("--seed", type=int, default=Settings().seed)
    parser.add_argument(
        "--home",
        metavar="DIR",
        help="keep networks here, so that a repetition trains nothing (default: nowhere)",
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument(
        "--no-network", action="store_true", help="measure only what needs no network"
    )
    only.add_argument(
        "--days", type=int, default=0, metavar="N", help="do whole days at every N-th session"
    )
    return parser.parse_args()


def histories_of(parts: Parts, target: str) -> dict[str, pd.DataFrame]:
    """Return each ticker's history, and print the tickers that have none."""
    universe, now = studied_universe(parts.settings), dt.datetime.now(dt.UTC)
    histories = {}
    for ticker in universe.tickers:
        try:
            histories[ticker] = history_of(parts, universe, ticker, target, Period(), now)
        except StockcastError as error:
            print(f"left out: {error}")
    return histories


def last_year(histories: Mapping[str, pd.DataFrame]) -> int:
    """Return the last year that the histories have to its end."""
    last = max(history["session"].iloc[-1] for history in histories.values())
    return last.year if last.month == 12 and last.day > 20 else last.year - 1


def folds_of(
    parts: Parts,
    histories: Mapping[str, pd.DataFrame],
    year: int,
    arguments: argparse.Namespace,
) -> list[Fold]:
    """Train on everything before a test year; return the folds of the tickers that have it."""
    masked = masked_until(histories, year)
    files = files_of(masked, arguments.target, year)
    if not files:
        return []
    calendar = parts.calendar(studied_universe(parts.settings))
    files = anchored_files(files, masked, calendar)
    datasets = {ticker: windows.load_dataset(file) for ticker, file in files.items()}
    forecasts = opponents_of(datasets, masked, arguments.target, year, calendar)
    weights: dict[str, float] = {}
    if not arguments.no_network:
        spec = next(iter(datasets.values())).spec
        regression = pooled_har(masked, spec, calendar)
        stages, weights = network_stages(parts, files, datasets, regression, arguments.seed)
        forecasts = {ticker: forecasts[ticker] | stages[ticker] for ticker in stages}
    folds = [
        Fold(ticker, year, datasets[ticker], of_ticker, weights.get(ticker))
        for ticker, of_ticker in forecasts.items()
    ]
    return with_days(parts, folds, arguments) if arguments.days else folds


def with_days(parts: Parts, folds: list[Fold], arguments: argparse.Namespace) -> list[Fold]:
    """Return the folds of one year at the sessions of whole days, which are published."""
    year, step = folds[0].year, arguments.days
    universe = dataclasses.replace(
        studied_universe(parts.settings),
        target=arguments.target,
        horizon=HORIZON,
        recipe=DEFAULT.name,
    )
    days = dt.date(year, 1, 1), dt.date(year, 12, 31)
    request = BacktestRequest([PUBLISHED], *days, step=step, refit=0)
    plan = plan_backtest(parts, universe, request, dt.datetime.now(dt.UTC))
    for forecaster, block in plan.shards:
        make_shard(parts, plan, forecaster, block)
    rows = read_shards(parts, plan)
    records = leaderboard.records_of(rows[rows["recipe"] == PUBLISHED])
    return [
        at_days(fold, records[PUBLISHED].of(fold.ticker), step)
        for fold in folds
        if fold.ticker in records[PUBLISHED].ticker
    ]


def at_days(fold: Fold, record: leaderboard.ForecasterRecord, step: int) -> Fold:
    """Return a fold at the sessions of whole days, with what these have published."""
    test = fold.dataset.test
    cutoffs = record.cutoff.astype("datetime64[D]")
    chosen = np.isin(test.origins, cutoffs)
    rows = np.searchsorted(cutoffs, test.origins[chosen])
    unit = test.last[chosen] / record.last[rows]  # 1, unless a split lies between
    once = {stage: quantiles[chosen] for stage, quantiles in fold.forecasts.items()}
    once[TRAINED_ONCE] = once.pop(PUBLISHED)
    published = record.quantiles[rows] * unit[:, None, None]
    return dataclasses.replace(
        fold,
        dataset=dataclasses.replace(fold.dataset, test=test.take(chosen)),
        forecasts={**once, PUBLISHED: published},
        step=step,
    )


def opponents_of(
    datasets: Mapping[str, Dataset],
    histories: Mapping[str, pd.DataFrame],
    target: str,
    year: int,
    calendar: Calendar,
) -> dict[str, dict[str, np.ndarray]]:
    """Return the forecasts of each ticker's test windows by opponent."""
    last = calendar.last_session_until(dt.date(year - 1, 12, 31))
    regressions: dict[str, HarForecasts] = {
        name: har_forecasts(name, histories, target, HORIZON, last, calendar)
        for name in har.HAR_NAMES
    }
    return {
        ticker: {
            **{
                name: BASELINES[name].fit(dataset.train, HORIZON)(dataset.test)
                for name in (EWMA, NAIVE)
            },
            **{
                name: regression.at(ticker, dataset.test.origins)
                for name, regression in regressions.items()
            },
        }
        for ticker, dataset in datasets.items()
    }


def network_stages(
    parts: Parts,
    files: Mapping[str, bytes],
    datasets: Mapping[str, Dataset],
    regression: PooledHar | None,
    seed: int,
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, float]]:
    """Return each ticker's forecasts by stage, and the networks' weights."""
    networks = network_forecasts(parts, "accuracy", DEFAULT, files, seed)
    for error in networks.failures.values():
        print(f"left out: {error}")
    blends = network_blends(
        {
            ticker: network_choice(datasets[ticker], forecasts, regression)
            for ticker, forecasts in networks.results.items()
        }
    )
    stages: dict[str, dict[str, np.ndarray]] = {}
    for ticker, forecasts in networks.results.items():
        of_ticker = (forecasts.test, blends[ticker].blend.test, blends[ticker].calibrated)
        stages[ticker] = dict(zip(NETWORK_STAGES, of_ticker, strict=True))
    return stages, {ticker: blend.weight for ticker, blend in blends.items()}


def masked_until(histories: Mapping[str, pd.DataFrame], year: int) -> dict[str, pd.DataFrame]:
    """Return the histories up to the end of a year, masked as of then."""
    until = {
        ticker: mask(whole[whole["session"] < f"{year + 1}-01-01"].reset_index(drop=True))
        for ticker, whole in histories.items()
    }
    return {ticker: history for ticker, history in until.items() if len(history)}


def files_of(histories: Mapping[str, pd.DataFrame], target: str, year: int) -> dict[str, bytes]:
    """Return the dataset files of the tickers that have the year and enough before it."""
    split = Split(test=Since(dt.date(year, 1, 1)), validation=VALIDATION)
    files = {}
    for ticker, history in histories.items():
        if history["session"].iloc[-1] < np.datetime64(f"{year}-12-20"):
            continue
        cutoff = history["session"].iloc[-1].date()
        spec = DEFAULT.spec(ticker, cutoff, target, HORIZON, split)
        if len(history) >= spec.needed_sessions:
            files[ticker] = windows.encode(history, spec)
    return files


def interval(
    folds: list[Fold], stage: str, opponent: str = EWMA, draws: int = DRAWS
) -> tuple[float, float]:
    """Return the confidence interval of the median ratio to an opponent over tickers.

    The sessions that are drawn are the same for all tickers of a year.
    """
    random = np.random.default_rng(0)
    block = max(BLOCK_SESSIONS // folds[0].step, 1)
    medians = []
    series = [
        (fold.year, fold.losses(stage).mean(axis=1), fold.losses(opponent).mean(axis=1))
        for fold in folds
    ]
    for _ in range(draws):
        starts = {year: random.random(-(-300 // block)) for year in {fold.year for fold in folds}}
        ratios = []
        for year, of_stage, of_opponent in series:
            count = len(of_stage)
            begins = (starts[year][:, None] * count).astype(int)
            rows = (begins + np.arange(block)).ravel()[:count] % count
            ratios.append(of_stage[rows].mean() / of_opponent[rows].mean())
        medians.append(np.median(ratios))
    low, high = np.quantile(medians, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def print_report(folds: list[Fold], target: str, years: list[int]) -> None:
    if not folds:
        raise SystemExit(
            "Nothing to measure: no ticker has enough history before that year. "
            "Name another one (--year)."
        )
    first = min(fold.dataset.test.origins[0] for fold in folds)
    last = max(fold.dataset.test.origins[-1] for fold in folds)
    print(
        f"{target}, {', '.join(map(str, years))}: {len(folds)} stock-years, "
        f"cutoffs {first} to {last}, horizons 1-{HORIZON}\n"
    )
    print_losses(folds)
    print_errors(folds)
    print_tails(folds)
    weights = [fold.weight for fold in folds if fold.weight is not None]
    if not weights:
        print_by_stock(folds, har.HAR)
        return
    print(
        f"\nWeights of the networks: {min(weights):.2f} to {max(weights):.2f}, "
        f"median {np.median(weights):.2f}."
    )
    print_by_stock(folds, PUBLISHED)
    for name in har.HAR_NAMES:
        ratios = np.array([fold.ratio(PUBLISHED, name) for fold in folds])
        low, high = interval(folds, PUBLISHED, name)
        print(
            f"Published over {name}, paired: median {np.median(ratios):.4f} [{low:.4f}-{high:.4f}],"
            f" better in {(ratios < 1).mean():.0%} of the stock-years."
        )
    print_coverage(folds)


def print_coverage(folds: list[Fold]) -> None:
    """Print what is published inside of each interval by year, mean over stocks."""
    print("\nPublished inside of " + ", ".join(f"{level}%" for level in INTERVALS) + ":")
    for year in sorted({fold.year for fold in folds}):
        of_year = [fold for fold in folds if fold.year == year]
        shares = [
            np.mean([fold.coverage(PUBLISHED, level) for fold in of_year]) for level in INTERVALS
        ]
        print(f"{year}: " + ", ".join(f"{share:.1%}" for share in shares))


def print_by_stock(folds: list[Fold], stage: str) -> None:
    """Print a stage's ratio of each stock-year, the best first."""
    by_stock = sorted((fold.ratio(stage), f"{fold.ticker} {fold.year}") for fold in folds)
    print(f"\n{stage}, by stock: " + ", ".join(f"{name} {ratio:.4f}" for ratio, name in by_stock))


def print_losses(folds: list[Fold]) -> None:
    """Print the table of pinball losses and coverage."""
    print(
        "Pinball loss (7 quantiles, all horizons) relative to the EWMA random walk's; "
        "coverage of the central intervals, mean over stocks."
    )
    columns = ["stage", "median", f"{CONFIDENCE:.0%} interval", "mean", "best", "worst"]
    columns += [f"inside {level}%" for level in INTERVALS]
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for stage in folds[0].forecasts:
        ratios = [fold.ratio(stage) for fold in folds]
        low, high = interval(folds, stage)
        cells = [stage, f"{np.median(ratios):.4f}", f"{low:.4f}-{high:.4f}"]
        cells += [f"{value:.4f}" for value in (np.mean(ratios), min(ratios), max(ratios))]
        cells += [
            f"{np.mean([fold.coverage(stage, level) for fold in folds]):.1%}" for level in INTERVALS
        ]
        print(f"| {' | '.join(cells)} |")


def print_errors(folds: list[Fold]) -> None:
    """Print the table of the medians' RMSE."""
    print(
        "\nRMSE of the median forecast relative to the naive forecast's (the last price), "
        "median over stocks and, in brackets, the worst:"
    )
    print("| stage | " + " | ".join(f"{step} ahead" for step in range(1, HORIZON + 1)) + " |")
    print("|---|" + "---|" * HORIZON)
    for stage in folds[0].forecasts:
        if stage in (EWMA, NAIVE):
            continue
        table = np.array([fold.rmse(stage) for fold in folds])
        cells = [
            f"{median:.4f} ({worst:.4f})"
            for median, worst in zip(np.median(table, axis=0), table.max(axis=0), strict=True)
        ]
        print(f"| {stage} | {' | '.join(cells)} |")


def print_tails(folds: list[Fold]) -> None:
    """Print the loss of the outer quantiles, and the exceedances that tests reject."""
    outer = (0, len(PROBABILITIES) - 1)
    print(
        "\nLoss of the 2.5% and 97.5% quantiles relative to the EWMA random walk's, median over "
        f"stock-years, and the stock-years that Kupiec's / Christoffersen's test rejects at "
        f"{REJECTED_BELOW:.0%}, one session ahead:"
    )
    print("| stage | loss | below 2.5% | above 97.5% |")
    print("|---|---|---|---|")
    for stage in folds[0].forecasts:
        ratios = [fold.outer_loss(stage) / fold.outer_loss(EWMA) for fold in folds]
        cells = [stage, f"{np.median(ratios):.4f}"]
        for place in outer:
            tests = [fold.tested(stage, place) for fold in folds]
            rejected = [
                np.mean([getattr(test, name) < REJECTED_BELOW for test in tests])
                for name in ("kupiec", "independence")
            ]
            cells.append(" / ".join(f"{share:.0%}" for share in rejected))
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
