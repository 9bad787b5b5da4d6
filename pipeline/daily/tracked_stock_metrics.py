"""The figures of a stock's network in MLflow, and the sentences that people read about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.daily.lineup import Lineup, NetworkEntry
from pipeline.daily.prediction_files import decode_predictions, predictions_file
from pipeline.daily.table_rows import row_dicts
from pipeline.joint import outer_quantiles
from pipeline.measures import (
    FORECAST_COLUMNS,
    crps,
    exceedance_test,
    exceeded,
    qlike,
    root_mean_squared_error,
)
from pipeline.models import BASELINES, EWMA, HAR, NAIVE, STANDING, YARDSTICKS, PriceRecipe
from pipeline.quantiles import INTERVALS, OUTER_LEVEL, OUTER_PROBABILITIES, PROBABILITIES

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: The quantiles as columns of test predictions, in their order.
PREDICTED_COLUMNS = tuple("prediction" if name == "y_hat" else name for name in FORECAST_COLUMNS)


def stock_figures(evaluations: pd.DataFrame, model: str) -> dict[str, float]:
    """Return the metrics of one stock, each with the naive forecast's next to it.

    They are a bounded set of names, the same for every recipe.

    Args:
        evaluations: EVALUATIONS rows of one dataset.
        model: a model_id, or a baseline's name.
    """
    first = evaluations[evaluations["horizon"] == 1]
    tested, validated = (
        {row["model"]: row for row in row_dicts(first[first["split"] == split])}
        for split in ("test", "validation")
    )
    ours, naive = tested[model], tested[NAIVE]
    pinball, ewma = (_mean_pinball(evaluations, name) for name in (model, EWMA))
    figures = {
        "test/rmse": ours["rmse"],
        **{f"test/rmse_{name}": tested[name]["rmse"] for name in BASELINES},
        "skill/rmse": 1 - ours["rmse"] / naive["rmse"],
        "test/mae": ours["mae"],
        "test/mae_naive": naive["mae"],
        "test/mase": ours["mase"],
        "test/mase_naive": naive["mase"],
        "test/directional_accuracy": ours["directional_accuracy"],
        "test/pinball": pinball,
        "test/pinball_ewma": ewma,
        "skill/pinball": 1 - pinball / ewma if ewma > 0 else float("nan"),
        **_figures_beside_har(evaluations, tested, pinball),
        **{f"test/coverage_{level}": ours[f"coverage_{level}"] for level in INTERVALS},
        "validation/rmse": validated[model]["rmse"],
        "validation/rmse_naive": validated[NAIVE]["rmse"],
        **_figures_by_horizon(evaluations, model),
    }
    return {name: float(value) for name, value in figures.items()}


def _figures_beside_har(
    evaluations: pd.DataFrame, tested: Mapping[str, Mapping[Any, Any]], pinball: float
) -> dict[str, float]:
    """Return the figures of the regression of all stocks, and how a loss compares with its own.

    None where it was not fitted.
    """
    if HAR not in tested:
        return {}
    loss = _mean_pinball(evaluations, HAR)
    return {
        "test/rmse_har": tested[HAR]["rmse"],
        "test/pinball_har": loss,
        "skill/pinball_over_har": 1 - pinball / loss if loss > 0 else float("nan"),
    }


def _mean_pinball(evaluations: pd.DataFrame, model: str) -> float:
    """Return a model's mean loss on test over all horizons, summed in their order."""
    rows = evaluations[(evaluations["model"] == model) & (evaluations["split"] == "test")]
    return float(rows.sort_values("horizon")["pinball"].mean())


def _figures_by_horizon(evaluations: pd.DataFrame, model: str) -> dict[str, float]:
    test = evaluations[evaluations["split"] == "test"]
    rmse = test.pivot(index="horizon", columns="model", values="rmse").sort_index()
    prefix = "test_by_horizon/rmse"
    figures: dict[str, float] = {}
    for horizon, ours, naive in zip(rmse.index, rmse[model], rmse[NAIVE], strict=True):
        figures[f"{prefix}_h{horizon:02d}"] = ours
        figures[f"{prefix}_naive_h{horizon:02d}"] = naive
    return figures


def distribution_figures(predictions: pd.DataFrame) -> dict[str, float]:
    """Return the figures of a network's calibrated quantiles on the test sessions.

    CRPS and QLIKE are over all horizons. The width, the shares beyond the outer quantiles and the
    p-values of the tests of the 95% and the 98% interval are one session ahead.

    Args:
        predictions: of `prediction_files.predictions_table`.
    """
    ordered = predictions.sort_values(["cutoff", "horizon"])
    horizons = predictions["horizon"].nunique()
    rows = ordered[["actual", *PREDICTED_COLUMNS]].to_numpy("float64")
    values = rows.reshape(-1, horizons, rows.shape[1])
    actual, quantiles = values[..., 0], values[..., 1:]
    last = ordered["naive"].to_numpy()[::horizons]
    low, high = INTERVALS[80]
    first, next_actual = quantiles[:, 0], actual[:, 0]
    figures: dict[str, float] = {}
    for level, bounds, probabilities in (
        (95, first[:, [0, -1]], (PROBABILITIES[0], PROBABILITIES[-1])),
        (OUTER_LEVEL, outer_quantiles(first), OUTER_PROBABILITIES),
    ):
        marks = [
            exceeded(next_actual, bound, each)
            for bound, each in zip(bounds.T, probabilities, strict=True)
        ]
        test = exceedance_test(marks[0] + marks[1], (100 - level) / 100)
        figures |= {
            f"test/below_q{round(1000 * probabilities[0]):03d}": float(marks[0].mean()),
            f"test/above_q{round(1000 * probabilities[1]):03d}": float(marks[1].mean()),
            f"test/kupiec_{level}": test.kupiec,
            f"test/christoffersen_{level}": test.conditional,
        }
    return {
        "test/crps": float(crps(actual, quantiles, last).mean()),
        "test/qlike": float(qlike(actual, quantiles, last).mean()),
        "test/width_80": float(((first[:, high] - first[:, low]) / last).mean()),
        **figures,
    }


def default_rival_figures(
    parts: Parts, predictions: pd.DataFrame, rival: NetworkEntry | None
) -> dict[str, float]:
    """Return RMSE one session ahead of both recipes, on the test sessions that both have.

    Args:
        rival: the default recipe's network; None: there is none, and so are figures.
    """
    if rival is None:
        return {}
    file = predictions_file(rival.dataset, rival.model_id)
    others = decode_predictions(parts.artifacts.read_derived(file))
    both = predictions.merge(others, on=["session", "horizon"], suffixes=("", "_default"))
    both = both[both["horizon"] == 1]
    actual = both[["actual"]].to_numpy()
    ours, theirs, naive = (
        float(root_mean_squared_error(actual, both[[name]].to_numpy())[0])
        for name in ("prediction", "prediction_default", "naive")
    )
    unknown = float("nan")
    return {
        "test/rmse_default_recipe": theirs,
        "skill/rmse_of_default_recipe": 1 - theirs / naive if naive > 0 else unknown,
        "skill/rmse_over_default_recipe": 1 - ours / theirs if theirs > 0 else unknown,
        "test/sessions_shared": float(len(both)),
    }


def headline(metrics: Mapping[str, float]) -> str:
    """Return the line that a person sees per stock: a network and the naive forecast."""
    naive = metrics["test/rmse_naive"]
    if "training/epochs" not in metrics:
        return f"test RMSE of naive {naive:.4f}; no network"
    default = ""
    if "test/rmse_default_recipe" in metrics:
        default = f", default recipe {metrics['test/rmse_default_recipe']:.4f}"
    own, skill = metrics["test/rmse"], metrics["skill/rmse"]
    return f"test RMSE {own:.4f}, naive {naive:.4f}{default}, skill {skill:+.2%}"


def promotion_line(row: Mapping[Any, Any]) -> str:
    """Return a PROMOTIONS row in a line: the champion, its share, what it was worth on test."""
    champion, by_network = row["champion"], row["champion"] not in STANDING
    if pd.isna(row["test_rmse"]):
        return f"{champion}; no network"
    rmse = f"RMSE skill {row['skill']:+.2%} against {NAIVE}"
    measured = "the network's test" if champion in YARDSTICKS else "test"
    if pd.isna(row["pinball_skill"]):  # promoted before forecasts were distributions
        return f"{champion}: {measured} {rmse}"
    weight = ""
    if by_network:
        weight = f", {row['weight']:.0%} of it and the rest of {row['baseline']}"
    pinball = f"pinball skill {row['pinball_skill']:+.2%} against {EWMA}"
    if champion != HAR and pd.notna(row["pinball_skill_over_har"]):
        pinball += f" and {row['pinball_skill_over_har']:+.2%} against {HAR}"
    return f"{champion}{weight}: {measured} {pinball}, {rmse}"


def stock_description(
    own: Lineup, recipe: PriceRecipe, metrics: Mapping[str, float], sessions: int
) -> str:
    """Return a stock's run in Markdown: the verdict, figures with the baselines', the data."""
    training = own.training
    leak = f"\n\nThis protocol peeks: {recipe.leak}. It is never published." if recipe.leak else ""
    return (
        f"{_verdict(own, metrics)}\n\n{_figures_table(recipe, metrics, sessions)}\n\n"
        f"Recipe `{recipe.name}`, dataset `{training.dataset}`, {training.sessions} sessions up to "
        f"{training.cutoff}.{leak} What is published is decided by `promote`."
    )


def _verdict(own: Lineup, metrics: Mapping[str, float]) -> str:
    if "training/epochs" not in metrics:
        reason = own.training.reason
        return f"**{own.ticker} has no network: {reason}** The figures are the naive forecast's."
    distribution = _compared("the distribution", metrics["skill/pinball"], EWMA)
    median = _compared("the median, one session ahead,", metrics["skill/rmse"], NAIVE)
    return f"**{own.ticker}: {distribution}; {median}.**"


def _figures_table(recipe: PriceRecipe, metrics: Mapping[str, float], sessions: int) -> str:
    def errors(*names: str) -> str:
        return " | ".join(f"{metrics[name]:.4f}" if name in metrics else "" for name in names)

    rivals = [*([HAR] if "test/pinball_har" in metrics else []), EWMA]
    names = ["test/pinball", *(f"test/pinball_{name}" for name in rivals)]
    pinball = " | ".join(f"{metrics[name]:.3%}" for name in names)
    rmse = errors("test/rmse", *(f"test/rmse_{name}" for name in (*rivals, NAIVE)))
    no_rivals = "|  " * len(rivals)
    rows = [
        f"| on {sessions} test sessions | {' | '.join([recipe.name, *rivals, NAIVE])} |",
        f"|---|{'---|' * len(rivals)}---|---|",
        f"| mean pinball loss, of the price | {pinball} |  |",
        f"| RMSE one session ahead | {rmse} |",
        f"| MAE one session ahead | {errors('test/mae')} {no_rivals}| {errors('test/mae_naive')} |",
        f"| inside the 80% interval | {metrics['test/coverage_80']:.1%} {no_rivals}|  |",
    ]
    if "test/crps" in metrics:
        rows.append(f"| CRPS, of the price | {metrics['test/crps']:.3%} {no_rivals}|  |")
        rows += [
            f"| p of Kupiec's and Christoffersen's test of the {level}% interval | "
            f"{metrics[f'test/kupiec_{level}']:.2f}, "
            f"{metrics[f'test/christoffersen_{level}']:.2f} {no_rivals}|  |"
            for level in (95, OUTER_LEVEL)
        ]
    return "\n".join(rows)


def _compared(what: str, skill: float, rival: str) -> str:
    if math.isnan(skill):
        return f"{what} cannot be compared with {rival}'s"
    if not skill:
        return f"{what} equals {rival}'s"
    return f"{what} is {abs(skill):.2%} {'better' if skill > 0 else 'worse'} than {rival}'s"
