"""Small networks, and the made prices that they learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.models import DEFAULT, PriceRecipe
from pipeline.quantiles import PROBABILITIES
from pipeline.tables import HISTORY
from pipeline.training.predict import predict
from pipeline.windows import Dataset, Newest, Spec, Split, Windows, encode, training_part

SPLIT = Split(test=Newest(60), validation=Newest(60))


def small(**changes: object) -> PriceRecipe:
    """Return the default recipe, cut down to two epochs over ten sessions."""
    window = replace(DEFAULT.window, context_length=10)
    on_windows = replace(DEFAULT, one_pass=None, fine_tuning=DEFAULT.tuned.fine_tuning)
    batches = {"epochs": 2, "batch_size": 256, "optimiser": DEFAULT.fine_tuning.optimiser}
    return replace(on_windows, **{"window": window, **batches, **changes})


def made_history(
    ticker: str = "UP", pull: float = 0.5, sessions: int = 500, wildness: float = 1.0
) -> pd.DataFrame:
    """Return the prices of a stock that are pulled back to 100.

    Args:
        pull: share by which they are pulled back a session; at 0 nothing is.
        wildness: how many times larger than others the changes of half of the sessions are; the
            session before has a range as many times larger, from which that can be learnt.
    """
    random = np.random.default_rng(0)
    is_wild = np.random.default_rng(1).random(sessions + 1) < 0.5
    factor = np.where(is_wild, wildness, 1.0)
    close, level = np.empty(sessions), 0.0
    for session in range(sessions):
        level = (1 - pull) * level + random.normal(scale=0.02 * factor[session])
        close[session] = 100 * np.exp(level)
    reach = 0.01 * factor[1:]
    prices = {
        "open": close,
        "high": close * (1 + reach),
        "low": close * (1 - reach),
        "close": close,
    }
    days = pd.bdate_range("2010-01-04", periods=sessions)
    return HISTORY.conform(
        pd.DataFrame(
            {"ticker": ticker, "session": days, **prices, "volume": 1000.0, "adj_close": close}
        )
    )


def spec_of(history: pd.DataFrame, split: Split = SPLIT) -> Spec:
    """Return how `small` cuts a history, two sessions ahead."""
    ticker, last = history["ticker"].iloc[0], history["session"].iloc[-1].date()
    recipe = small()
    return Spec(ticker, last, "close", 2, recipe.window, recipe.normalisation, split)


def dataset_file(ticker: str = "UP", pull: float = 0.5, split: Split = SPLIT) -> bytes:
    """Return the dataset file of `made_history`."""
    history = made_history(ticker, pull)
    return encode(history, spec_of(history, split))


def training_files(ticker: str = "UP", pull: float = 0.5) -> dict[str, bytes]:
    """Return the training file of `dataset_file` by its ticker."""
    return {ticker: training_part(dataset_file(ticker, pull))}


def relative(model: bytes, windows: Windows) -> np.ndarray:
    """Return a network's forecast (n, 2, 7) as shocks: in multiples of what was expected."""
    [prices] = predict(model, (windows,), 2, "UP")
    changes = np.log(prices / windows.last[:, None, None])
    return (changes - windows.offset[:, :, None]) / windows.scale[:, :, None]


def anchor(dataset: Dataset) -> np.ndarray:
    """Return what an untrained network forecasts (2, 7): the quantiles of what training saw."""
    columns = dataset.train.future.T.astype("float64")
    return np.array([np.quantile(column, PROBABILITIES) for column in columns])


def validation_loss(dataset: Dataset, forecast: np.ndarray) -> float:
    """Return the default recipe's loss, the dull way.

    What lies above a quantile costs p of its distance, what lies below 1 - p.
    """
    scale, costs = dataset.train.future.std(axis=0, dtype="float64"), []
    forecasts = np.broadcast_to(forecast, (len(dataset.validation), 2, 7))
    for actual, quantiles in zip(dataset.validation.future, forecasts, strict=True):
        for horizon in range(2):
            for probability, quantile in zip(PROBABILITIES, quantiles[horizon], strict=True):
                error = (actual[horizon] - quantile) / scale[horizon]
                costs.append(probability * error if error > 0 else (probability - 1) * error)
    return float(np.mean(costs))
