"""Tables of the worth of distributions, next to the leaderboard. Pure.

CRPS, QLIKE and the test of the PIT are of all seven quantiles together; losses and exceedances of
each by itself. As on the leaderboard, stocks of one session are averaged first, and intervals are
over cutoffs. What follows from fewer than `FEWEST_CUTOFFS` of them is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.arrays import Floats
from pipeline.joint import outer_quantiles
from pipeline.measures import (
    REJECTED_BELOW,
    Estimate,
    crps,
    difference,
    exceedance_test,
    exceeded,
    mean_estimate,
    pit_moments,
    pit_p_value,
    promised_share,
    qlike,
    ratio_estimate,
    share_estimate,
)
from pipeline.models import EWMA
from pipeline.quantiles import OUTER_PROBABILITIES, PROBABILITIES, QUANTILE_COLUMNS
from pipeline.research.foresight import with_foresight
from pipeline.research.leaderboard import (
    ALL_HORIZONS,
    FEWEST_CUTOFFS,
    ForecasterRecord,
    best_first,
    records_of,
)

#: The quantiles that are measured one by one: all that are published.
MEASURED = (OUTER_PROBABILITIES[0], *PROBABILITIES, OUTER_PROBABILITIES[1])
#: They as parts of names.
MEASURED_COLUMNS = ("q010", *QUANTILE_COLUMNS, "q990")
#: Tests of exceedances, by the name of their p-value.
TESTS = ("kupiec", "independence", "conditional")


@dataclass(frozen=True, eq=False)
class DistributionTables:
    """The worth of the distributions of a backtest, as tables.

    Attributes:
        distributions, quantiles, exceedances: of `distribution_table`, `quantile_table` and
            `exceedance_tests`.
        foresight_gain: how much less than the EWMA random walk perfect foresight of the volatility
            loses, as a fraction.
    """

    distributions: pd.DataFrame
    quantiles: pd.DataFrame
    exceedances: pd.DataFrame
    foresight_gain: float


def distribution_tables(
    forecasts: pd.DataFrame, histories: Mapping[str, pd.DataFrame]
) -> DistributionTables:
    """Return the tables of the forecasters of a backtest.

    Args:
        forecasts: BACKTESTS rows of `common_rows`.
        histories: masked HISTORY by ticker with a row per session, up to the last that is forecast.
    """
    records = records_of(forecasts)
    foresight = with_foresight(records[EWMA], histories)
    tests = exceedance_tests(records)
    least, ewma = (
        record.by_cutoff[ALL_HORIZONS].to_numpy() for record in (foresight, records[EWMA])
    )
    return DistributionTables(
        distribution_table(records, foresight),
        quantile_table(records, tests),
        tests,
        0.0 - difference(least, ewma, foresight.cutoffs_ahead(ALL_HORIZONS)).value,
    )


def distribution_table(
    records: Mapping[str, ForecasterRecord], foresight: ForecasterRecord
) -> pd.DataFrame:
    """Return one row per forecaster and horizon, in the order of the leaderboard.

    Args:
        foresight: the EWMA random walk's record with perfect foresight of the volatility.

    Returns:
        Columns recipe, horizon, crps and crps_skill_ewma; qlike and qlike_gain_ewma (the EWMA
        random walk's less this one's); foresight_share (of what perfect foresight loses less than
        the EWMA random walk); width_80; each but crps and qlike with its bounds _low and _high; and
        pit_p_value.
    """
    series = {name: _series(record) for name, record in records.items()}
    gain = records[EWMA].by_cutoff - foresight.by_cutoff
    rows: list[dict[str, str | float]] = []
    for name in best_first(records):
        record, own, ewma = records[name], series[name], series[EWMA]
        for horizon in _horizons(record):
            at = {figure: table[horizon].to_numpy() for figure, table in own.items()}
            than = {figure: table[horizon].to_numpy() for figure, table in ewma.items()}
            ahead = record.cutoffs_ahead(horizon)
            estimates = {
                "crps_skill_ewma": _skill(at["crps"], than["crps"], ahead),
                "qlike_gain_ewma": mean_estimate(than["qlike"] - at["qlike"], ahead),
                "foresight_share": ratio_estimate(
                    than["loss"] - at["loss"], gain[horizon].to_numpy(), ahead
                ),
                "width_80": mean_estimate(at["width_80"], ahead),
            }
            moments = np.stack([at["location"], at["spread"]], axis=1)
            judged = len(moments) >= FEWEST_CUTOFFS
            rows.append(
                {
                    "recipe": name,
                    "horizon": horizon,
                    "crps": float(at["crps"].mean()),
                    **_bounded(estimates, judged),
                    "qlike": float(at["qlike"].mean()),
                    "pit_p_value": pit_p_value(moments, ahead) if judged else np.nan,
                }
            )
    return pd.DataFrame(rows)


def quantile_table(records: Mapping[str, ForecasterRecord], tests: pd.DataFrame) -> pd.DataFrame:
    """Return a row per forecaster, horizon and quantile of `MEASURED`, best forecaster first.

    Args:
        tests: of `exceedance_tests`.

    Returns:
        Columns recipe, horizon, quantile, pinball, skill_ewma with its bounds; promised and
        exceeded, the share of outcomes beyond it as it should be and as it is, with its bounds; and
        rejected_kupiec, _independence, _conditional: the share of the tickers that a test rejects,
        NaN for `ALL_HORIZONS`.
    """
    rejected = _rejected_shares(tests)
    rows: list[dict[str, str | float]] = []
    ewma = [records[EWMA].averaged(each) for each in _losses_by_quantile(records[EWMA])]
    for name in best_first(records):
        record = records[name]
        losses, beyond = _losses_by_quantile(record), _exceedances(record)
        for place, probability in enumerate(MEASURED):
            loss, share = record.averaged(losses[place]), record.averaged(beyond[place])
            for horizon in _horizons(record):
                ahead, own = record.cutoffs_ahead(horizon), loss[horizon].to_numpy()
                estimates = {
                    "skill_ewma": _skill(own, ewma[place][horizon].to_numpy(), ahead),
                    "exceeded": share_estimate(share[horizon].to_numpy(), ahead),
                }
                rows.append(
                    {
                        "recipe": name,
                        "horizon": horizon,
                        "quantile": probability,
                        "pinball": float(own.mean()),
                        "promised": promised_share(probability),
                        **_bounded(estimates, len(own) >= FEWEST_CUTOFFS),
                        **rejected.get((name, horizon, probability), {}),
                    }
                )
    return pd.DataFrame(rows)


def exceedance_tests(records: Mapping[str, ForecasterRecord]) -> pd.DataFrame:
    """Return the exceedances of each quantile, tested ticker by ticker and horizon by horizon.

    Returns:
        Columns recipe, ticker, horizon, quantile, and the fields of `ExceedanceTest`.
    """
    rows: list[dict[str, str | float]] = []
    for name, record in records.items():
        for ticker in sorted(set(record.ticker)):
            of_ticker = record.of(ticker)
            beyond = _exceedances(of_ticker)
            for horizon in range(1, of_ticker.actual.shape[1] + 1):
                ahead = of_ticker.cutoffs_ahead(horizon)
                for marks, probability in zip(beyond, MEASURED, strict=True):
                    test = exceedance_test(
                        marks[:, horizon - 1], promised_share(probability), ahead
                    )
                    key = {"recipe": name, "ticker": ticker, "horizon": horizon}
                    rows.append({**key, "quantile": probability, **vars(test)})
    return pd.DataFrame(rows)


def _horizons(record: ForecasterRecord) -> range:
    """Return `ALL_HORIZONS` and 1 to H."""
    return range(ALL_HORIZONS, record.actual.shape[1] + 1)


def _series(record: ForecasterRecord) -> dict[str, pd.DataFrame]:
    """Return figures by cutoff, as `ForecasterRecord.by_cutoff` has the losses."""
    actual, quantiles, last = record.actual, record.quantiles, record.last
    moments = pit_moments(actual, quantiles)
    figures = {
        "crps": crps(actual, quantiles, last),
        "qlike": qlike(actual, quantiles, last),
        "width_80": record.widths(80),
        "location": moments[..., 0],
        "spread": moments[..., 1],
    }
    averaged = {name: record.averaged(values) for name, values in figures.items()}
    return {"loss": record.by_cutoff, **averaged}


def _measured(record: ForecasterRecord) -> Floats:
    """Return the quantiles at `MEASURED`, (n, H, 9)."""
    tails = outer_quantiles(record.quantiles)
    return np.concatenate([tails[..., :1], record.quantiles, tails[..., 1:]], axis=-1)


def _losses_by_quantile(record: ForecasterRecord) -> Floats:
    """Return the pinball losses as fractions of the price, (9, n, H)."""
    errors = np.moveaxis(record.actual[..., None] - _measured(record), -1, 0)
    probability = np.array(MEASURED)[:, None, None]
    losses: Floats = np.maximum(probability * errors, (probability - 1) * errors)
    return losses / record.last[:, None]


def _exceedances(record: ForecasterRecord) -> Floats:
    """Return 1 where an actual lies beyond a quantile and 0 where not, (9, n, H)."""
    quantiles = np.moveaxis(_measured(record), -1, 0)
    return np.stack(
        [exceeded(record.actual, *each) for each in zip(quantiles, MEASURED, strict=True)]
    )


def _skill(losses: Floats, others: Floats, ahead: int) -> Estimate:
    """Return 1 - loss over the other's, with its interval."""
    loss = difference(losses, others, ahead)
    return Estimate(0.0 - loss.value, 0.0 - loss.high, 0.0 - loss.low)


def _bounded(estimates: Mapping[str, Estimate], has_interval: bool) -> dict[str, float]:
    """Return estimates as columns, each with its bounds."""
    columns: dict[str, float] = {}
    for name, each in estimates.items():
        low, high = (each.low, each.high) if has_interval else (np.nan, np.nan)
        columns |= {name: each.value, f"{name}_low": low, f"{name}_high": high}
    return columns


def _rejected_shares(tests: pd.DataFrame) -> dict[tuple[str, int, float], dict[str, float]]:
    """Return the share of tickers that each test rejects, by forecaster, horizon and quantile."""
    key = ["recipe", "horizon", "quantile"]
    rejects = (tests[list(TESTS)] < REJECTED_BELOW).add_prefix("rejected_")
    shares = rejects.groupby([tests[name] for name in key]).mean().reset_index()
    return {
        (row["recipe"], row["horizon"], row["quantile"]): {
            f"rejected_{test}": row[f"rejected_{test}"] for test in TESTS
        }
        for row in shares.to_dict("records")
    }


def tracked_figures(distributions: pd.DataFrame, quantiles: pd.DataFrame) -> dict[str, float]:
    """Return a forecaster's figures for MLflow; those of one horizon h end with `.h<h>`.

    Of single quantiles they are the loss over all horizons, and one session ahead the share beyond
    and the shares of tickers that a test rejects. What is unknown is left out.

    Args:
        distributions, quantiles: the forecaster's rows of both tables.
    """
    figures: dict[str, float] = {}
    for horizon, row in distributions.drop(columns="recipe").set_index("horizon").iterrows():
        end = "" if horizon == ALL_HORIZONS else f".h{horizon}"
        figures |= {f"{name}{end}": float(value) for name, value in row.items()}
    for column, probability in zip(MEASURED_COLUMNS, MEASURED, strict=True):
        rows = quantiles[quantiles["quantile"] == probability].set_index("horizon")
        figures[f"pinball_{column}"] = float(rows["pinball"][ALL_HORIZONS])
        for name in ("exceeded", *(f"rejected_{test}" for test in TESTS)):
            figures[f"{name}_{column}.h1"] = float(rows[name][1])
    return {name: value for name, value in figures.items() if np.isfinite(value)}
