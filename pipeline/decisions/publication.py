"""From choices to rows: the decisions of a session, and its calibrated forecasts. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arrays import Floats
from pipeline.decisions import blending
from pipeline.decisions.champion_forecast import ChampionForecast, published_columns
from pipeline.decisions.choice import Choice, ChoiceReplay, standing
from pipeline.decisions.choice_measures import (
    RivalLosses,
    calibrated_tests,
    mean_loss,
    rival_losses,
)
from pipeline.decisions.evaluation import SplitForecasts
from pipeline.decisions.promotion import Decision
from pipeline.measures import calibration, root_mean_squared_error
from pipeline.models import EWMA, HAR, NAIVE, STANDING, YARDSTICKS, StockHar
from pipeline.quantiles import INTERVALS, MEDIAN, coverage
from pipeline.run import Run
from pipeline.tables import CALIBRATIONS, FORECASTS, PROMOTIONS
from pipeline.windows import LARGE_DIVIDEND

#: No dividend is declared.
NO_DIVIDENDS: Mapping[str, Floats] = MappingProxyType({})


def promotion_rows(
    run: Run,
    choices: Mapping[str, Choice],
    weights: Mapping[str, float],
    trained_until: Mapping[str, dt.date],
    rivals: Mapping[str, RivalLosses] | None = None,
) -> pd.DataFrame:
    """Return PROMOTIONS rows.

    Args:
        choices: by ticker.
        weights: by ticker, the network's share of what is published; 0: the baseline alone is.
        trained_until: by ticker, the cutoff of its training dataset.
        rivals: `rival_losses` of the choices; None: they are measured now.
    """
    decided = {t: _decision(choice, weights.get(t, 0.0)) for t, choice in choices.items()}
    reported = {
        t: _reported_forecasts(choice, decided[t], weights.get(t, 0.0))
        for t, choice in choices.items()
    }
    calibrated = calibrated_tests(choices, reported)
    rivals = rival_losses(choices) if rivals is None else rivals
    rows = []
    for ticker, choice in choices.items():
        decision, shown = decided[ticker], choice.shown
        by_network = decision.champion not in STANDING
        rows.append(
            {
                **run.key,
                "ticker": ticker,
                "champion": decision.champion,
                "model_id": decision.model_id,
                "weight": weights.get(ticker, 0.0) if by_network else 0.0,
                "baseline": decision.baseline,
                "training_cutoff": shown.training_cutoff if shown else trained_until[ticker],
                "reasons": "; ".join(decision.reasons),
                **_test_figures(choice, decision, calibrated[ticker], rivals[ticker]),
            }
        )
    return PROMOTIONS.conform(pd.DataFrame(rows)) if rows else PROMOTIONS.empty()


def _test_figures(
    choice: Choice, decision: Decision, calibrated: Floats, rivals: RivalLosses
) -> dict[str, object]:
    """Return the columns of a PROMOTIONS row that are measured on test.

    Args:
        calibrated: of the reported forecasts, (n, H, Q).
    """
    test, missing = choice.test, float("nan")
    loss, ewma_loss, har_loss = mean_loss(choice, calibrated), rivals[EWMA], rivals[HAR]
    rmse, naive_rmse = (
        float(root_mean_squared_error(test.actual, quantiles[:, :, MEDIAN])[0])
        for quantiles in (calibrated, choice.fitted[NAIVE](test))
    )
    is_measured = choice.shown is not None or decision.champion not in YARDSTICKS
    return {
        "test_sessions": len(test.last),
        "test_rmse": rmse if is_measured else missing,
        "naive_test_rmse": naive_rmse,
        "skill": 1 - rmse / naive_rmse if is_measured else missing,
        "test_pinball": float(loss) if is_measured else missing,
        "ewma_test_pinball": float(ewma_loss),
        "pinball_skill": float(1 - loss / ewma_loss) if is_measured else missing,
        "har_test_pinball": float(har_loss),
        "pinball_skill_over_har": float(1 - loss / har_loss) if is_measured else missing,
    }


def _decision(choice: Choice, weight: float) -> Decision:
    """Return the decision once the network's weight is known."""
    if not choice.has_network:
        return choice.decision
    rest = choice.decision.baseline
    share = (
        f"{weight:.0%} of it and the rest of {rest}"
        if weight
        else f"no weight is left to it, so {rest} is published alone"
    )
    reason = f"{share}, by validation and the evidence of all stocks together"
    reasons = (*choice.decision.reasons, reason)
    if weight:
        return Decision(choice.decision.champion, choice.decision.model_id, rest, reasons)
    return Decision(rest, rest, rest, reasons)


def _reported_forecasts(choice: Choice, decision: Decision, weight: float) -> SplitForecasts:
    """Return the forecasts that a row reports on.

    They are what is published, or where ewma or naive is, those of the network that is not.
    """
    is_yardstick = decision.champion in YARDSTICKS
    if decision.champion in STANDING and (choice.forecasts is None or not is_yardstick):
        return choice.baseline(decision.champion)
    if choice.forecasts is None:
        raise ValueError(f"{choice.ticker}: no forecasts of {decision.champion} are kept.")
    if is_yardstick or weight == 1:
        return choice.forecasts
    return choice.forecasts.blended(choice.baseline(decision.baseline), weight)


@dataclass(frozen=True, eq=False)
class Publication:
    """The rows that a session publishes: FORECASTS, and CALIBRATIONS next to them.

    Attributes:
        champions: by ticker, what has made its forecasts.
    """

    forecasts: pd.DataFrame
    calibrations: pd.DataFrame
    champions: Mapping[str, ChampionForecast]

    def by_ticker(self) -> dict[str, Publication]:
        """Return what is of each ticker, by the tickers that have forecasts."""
        calibrations = dict(list(self.calibrations.groupby("ticker")))
        return {
            str(ticker): Publication(
                own,
                calibrations.get(ticker, self.calibrations[:0]),
                {str(ticker): self.champions[str(ticker)]},
            )
            for ticker, own in self.forecasts.groupby("ticker")
        }


def publication(
    run: Run,
    promotions: Sequence[Mapping[str, Any]],
    choices: Mapping[str, Choice],
    replays: Mapping[str, ChoiceReplay],
    dividends: Mapping[str, Floats] = NO_DIVIDENDS,
) -> Publication:
    """Blend and calibrate the forecasts of some PROMOTIONS rows at the cutoff.

    The traded price falls by a dividend on its ex-date, so what is published from there on does
    too; naive stays the last price.

    Args:
        choices, replays: by ticker.
        dividends: by ticker those that are declared, money by session ahead (H,).
    """
    blended = [_blended(row, choices[row["ticker"]], replays[row["ticker"]]) for row in promotions]
    observed = [replays[row["ticker"]].observed for row in promotions]
    calibrated = calibration.replay_all(
        [
            (each.actual_with_dividends, quantiles, each.position)
            for each, quantiles in zip(observed, blended, strict=True)
        ]
    )
    forecasts: list[dict[str, object]] = []
    calibrations: list[dict[str, object]] = []
    champions: dict[str, ChampionForecast] = {}
    for row, each, raw, replay in zip(promotions, observed, blended, calibrated, strict=True):
        key = {**run.key, "ticker": row["ticker"]}
        ticker, last = row["ticker"], float(each.last[-1])
        left = np.ones(len(replay.quantiles[-1]))
        if ticker in dividends and row["champion"] != NAIVE:
            left = _left_by(dividends[ticker], last)
        newest = replay.quantiles[-1] * left[:, None]
        forecasts += _forecast_rows(run, key, row, last, newest)
        champions[ticker] = _champion(row, choices[ticker], replays[ticker], replay.growth, left)
        calibrations += _calibration_rows(key, each.actual_with_dividends[:-1], raw[:-1], replay)
    return Publication(
        FORECASTS.conform(pd.DataFrame(forecasts)),
        CALIBRATIONS.conform(pd.DataFrame(calibrations)),
        champions,
    )


def _champion(
    row: Mapping[str, Any], choice: Choice, replay: ChoiceReplay, growth: Floats, left: Floats
) -> ChampionForecast:
    """Return what makes a row's forecasts at the cutoff."""
    by_network = row["champion"] not in STANDING
    name = row["baseline"] if by_network else row["champion"]
    fitted = None
    if not by_network or row["weight"] != 1:
        fitted = standing(name, choice.fitted, replay.har)
    if isinstance(fitted, StockHar):
        fitted = fitted.among(replay.observed.origins[-1:])
    spread = replay.spread if by_network else None
    return ChampionForecast(
        row["champion"], row["model_id"], row["weight"], name, fitted, growth, left, spread
    )


def _left_by(dividends: Floats, last: float) -> Floats:
    """Return the share of the last price that dividends leave at each session ahead, (H,).

    A large one counts as none: it may be in another unit of money, and no price has shown it yet.
    """
    shares = dividends / last
    steps: Floats = np.where(shares < LARGE_DIVIDEND, 1 - shares, 1.0)
    return steps.cumprod()


def _blended(row: Mapping[str, Any], choice: Choice, replay: ChoiceReplay) -> Floats:
    """Return the replayed windows' quantiles (n, H, Q) of what a row says is published."""
    if row["champion"] in STANDING:
        return standing(row["champion"], choice.fitted, replay.har)(replay.observed)
    if replay.forecasts is None:
        raise ValueError(f"{row['ticker']}: its replay has no forecasts of {row['champion']}.")
    if row["weight"] == 1:
        return replay.forecasts
    baseline = standing(row["baseline"], choice.fitted, replay.har)(replay.observed)
    return blending.blend(replay.forecasts, baseline, row["weight"])


def _forecast_rows(
    run: Run,
    key: Mapping[str, object],
    row: Mapping[str, Any],
    last_value: float,
    quantiles: Floats,
) -> list[dict[str, object]]:
    columns = published_columns(quantiles)
    return [
        {
            **key,
            "horizon": horizon + 1,
            "session": session,
            "last_value": last_value,
            **{name: values[horizon] for name, values in columns.items()},
            "champion": row["champion"],
            "model_id": row["model_id"],
        }
        for horizon, session in enumerate(run.forecast_sessions)
    ]


def _calibration_rows(
    key: Mapping[str, object],
    actual: Floats,
    raw: Floats,
    replay: calibration.Replay,
) -> list[dict[str, object]]:
    """Return the coverage of the replayed sessions, one row per horizon."""
    after = replay.quantiles[:-1]
    shares = {f"raw_coverage_{level}": coverage(actual, raw, level) for level in INTERVALS}
    shares |= {f"coverage_{level}": coverage(actual, after, level) for level in INTERVALS}
    logs = zip(INTERVALS, replay.growth, strict=True)
    growth = {f"growth_{level}": log for level, log in logs}
    sessions = np.isfinite(actual).sum(axis=0)
    return [
        {
            **key,
            "horizon": at + 1,
            "sessions": sessions[at],
            **{name: values[at] for name, values in shares.items()},
            **growth,
        }
        for at in range(actual.shape[1])
    ]
