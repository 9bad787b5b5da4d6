"""From what forecasters said to what is published: the choice for each stock, its figures, its calibrated forecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import combination, datasets, evaluation, forecasters, networks, promotion
from pipeline.forecasters import Said, Stock
from pipeline.metrics import root_mean_squared_error
from pipeline.models.baselines import BASELINES, EWMA, NAIVE
from pipeline.models.recipe import Recipe
from pipeline.quantiles import INTERVALS, MEDIAN, losses
from pipeline.run import Run
from pipeline.tables import CALIBRATIONS, FORECASTS

if TYPE_CHECKING:
    from pipeline.assembly import Parts


@dataclass(frozen=True, eq=False)
class Choice:
    """Who is to be published for a stock.

    Attributes:
        shown: the network whose figures are told where a baseline is published; None where there is no network.
        curve: what each weight of the champion loses on validation (see `combination.curve`); None where it is a baseline.
    """

    ticker: str
    decision: promotion.Decision
    shown: networks.Network | None
    curve: combination.Curve | None


def choose(parts: Parts, run: Run, recipe: Recipe, ticker: str, shared: list[networks.Network]) -> Choice:
    """Compares all candidates on the same validation sessions; `NothingStored` where one has not been evaluated.

    Args:
        shared: what `networks.pools` gives.
    """
    the = forecasters.stock(parts, run, ticker)
    compared = networks.compared(parts, run, recipe, ticker, shared)
    said = {network.model_id: forecasters.read(parts, run, the, network.model_id) for network in compared}
    sessions = the.dataset.validation.origins[[0, -1]].astype(object)
    decision = promotion.decide(
        [_candidate(the, network.role, network.model_id, said[network.model_id]) for network in compared],
        *(_candidate(the, name, name, the.baselines[name]) for name in (NAIVE, EWMA)),
        parts.settings.test_floor,
        tuple(sessions),
        datasets.by_role(parts, run, ticker)["training"]["reason"],
        recipe.leak,
    )
    shown = next((network for network in compared if network.model_id == decision.model_id), compared[0] if compared else None)
    curve = None
    if decision.model_id in said:
        part = the.dataset.validation
        curve = combination.curve(part, said[decision.model_id].validation, the.baselines[decision.baseline].validation)
    return Choice(ticker, decision, shown, curve)


def _candidate(the: Stock, name: str, model_id: str, said: Said) -> promotion.Candidate:
    dataset, baselines = the.dataset, the.baselines
    return promotion.Candidate(
        name,
        model_id,
        losses(dataset.validation.actual, said.validation, dataset.validation.last).mean(axis=1),
        _relative_errors(dataset.validation.actual, said.validation, baselines[NAIVE].validation),
        _relative_loss(the, said, baselines[EWMA]),
        _relative_rmse(dataset.test.actual, said.test, baselines[NAIVE].test),
    )


def _relative_errors(actual: np.ndarray, quantiles: np.ndarray, naive: np.ndarray) -> np.ndarray:
    """Squared errors of the medians over the last price's mean, (n,): means of all horizons."""
    ours, theirs = ((actual - said[:, :, MEDIAN]) ** 2 for said in (quantiles, naive))
    return (ours / np.maximum(theirs.mean(axis=0), np.finfo(float).tiny)).mean(axis=1)


def _relative_rmse(actual: np.ndarray, quantiles: np.ndarray, naive: np.ndarray) -> float:
    """RMSE of the medians over that of the last price, mean of all horizons."""
    ours, theirs = (root_mean_squared_error(actual, said[:, :, MEDIAN]) for said in (quantiles, naive))
    return float((ours / theirs).mean())


def _relative_loss(the: Stock, said: Said, ewma: Said) -> float:
    test = the.dataset.test
    ours, theirs = (losses(test.actual, each.test, test.last).mean() for each in (said, ewma))
    return float(ours / theirs)


def row(parts: Parts, run: Run, choice: Choice, weight: float) -> dict[str, object]:
    """One PROMOTIONS row. `weight`: the network's share of what is published; none of it: the baseline is."""
    decision, the = choice.decision, forecasters.stock(parts, run, choice.ticker)
    reasons = decision.reasons
    if choice.curve is not None:
        rest = decision.baseline
        told = f"{weight:.0%} of it and the rest of {rest}" if weight else f"no weight is left to it, so {rest} is published alone"
        reasons = (*reasons, f"{told}, by validation and the evidence of all stocks together")
        if not weight:
            decision = promotion.Decision(rest, rest, rest, reasons)
    network = decision.champion not in BASELINES
    if network:
        said = forecasters.published(parts, run, the, decision.model_id, weight, decision.baseline)
    else:  # the figures are those of the network that is not published
        said = forecasters.read(parts, run, the, choice.shown.model_id if choice.shown else decision.model_id)
    figures = evaluation.evaluate(the.dataset, the.training, "", said.validation, said.test).query("split == 'test'")
    ewma, naive = (
        evaluation.evaluate(the.dataset, the.training, "", the.baselines[name].validation, the.baselines[name].test).query(
            "split == 'test'"
        )
        for name in (EWMA, NAIVE)
    )
    rmse, naive_rmse = (float(table["rmse"].iloc[0]) for table in (figures, naive))
    loss, ewma_loss = (float(table["pinball"].mean()) for table in (figures, ewma))
    training = datasets.by_role(parts, run, choice.ticker)["training"]
    return {
        **run.key,
        "ticker": choice.ticker,
        "champion": decision.champion,
        "model_id": decision.model_id,
        "weight": weight if network else 0.0,
        "baseline": decision.baseline,
        "training_cutoff": choice.shown.training_cutoff if choice.shown else training["dataset_cutoff"],
        "test_sessions": len(the.dataset.test),
        "test_rmse": rmse if choice.shown else float("nan"),
        "naive_test_rmse": naive_rmse,
        "skill": 1 - rmse / naive_rmse if choice.shown else float("nan"),
        "test_pinball": loss if choice.shown else float("nan"),
        "ewma_test_pinball": ewma_loss,
        "pinball_skill": 1 - loss / ewma_loss if choice.shown else float("nan"),
        "reasons": "; ".join(reasons),
    }


def forecast(parts: Parts, run: Run, promoted: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    """FORECASTS and CALIBRATIONS rows of one PROMOTIONS row."""
    the = forecasters.stock(parts, run, promoted["ticker"])
    weight = promoted["weight"] if promoted["champion"] not in BASELINES else 1.0
    quantiles, calibrated = forecasters.calibrated(
        the, forecasters.published(parts, run, the, promoted["model_id"], weight, promoted["baseline"])
    )
    key = {**run.key, "cutoff": pd.Timestamp(run.session), "ticker": promoted["ticker"]}
    rows = pd.DataFrame(
        {
            "horizon": np.arange(1, len(quantiles) + 1),
            "session": pd.to_datetime(list(run.forecast_sessions)),
            "last_value": float(the.replay.last[-1]),
            "y_hat": quantiles[:, MEDIAN],
            **{
                f"{side}_{level}": quantiles[:, bound]
                for level, bounds in INTERVALS.items()
                for side, bound in zip(("lower", "upper"), bounds, strict=True)
            },
        }
    )
    rows = rows.assign(**key, champion=promoted["champion"], model_id=promoted["model_id"])
    return FORECASTS.conform(rows), CALIBRATIONS.conform(calibrated.assign(**key))
