"""Test predictions as people and spreadsheets read them: CSV files and pictures."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd

from pipeline.joint import outer_quantiles
from pipeline.quantiles import INTERVALS, MEDIAN, OUTER_LEVEL
from pipeline.windows import Windows


def predictions_file(dataset: str, model: str) -> str:
    """Return the artifact with a model's test predictions on a dataset."""
    return f"predictions/{dataset}-{model}.csv"


def picture_file(dataset: str, model: str, currency: str = "") -> str:
    """Return the artifact that is a picture of them, with the currency that it names."""
    return f"predictions/{dataset}-{model}{currency and f'-{currency}'}.png"


def predictions_table(test: Windows, quantiles: np.ndarray) -> pd.DataFrame:
    """Return a row per test window and horizon, in prices.

    Columns: cutoff, session, horizon, actual, prediction, naive, lower_ and upper_50, _80, _95 and
    _98, which follows from the others as that of a forecast.

    Args:
        quantiles: calibrated, prices (n, horizon, Q).
    """
    count, horizons = quantiles.shape[:2]
    pairs = {level: quantiles[:, :, places] for level, places in INTERVALS.items()}
    pairs[OUTER_LEVEL] = outer_quantiles(quantiles)
    bounds = {
        f"{side}_{level}": pair[:, :, place].T.ravel()
        for level, pair in pairs.items()
        for place, side in enumerate(("lower", "upper"))
    }
    return pd.DataFrame(
        {
            "cutoff": np.tile(test.origins, horizons),
            "session": test.sessions.T.ravel(),
            "horizon": np.repeat(np.arange(1, horizons + 1), count),
            "actual": test.actual.T.ravel(),
            "prediction": quantiles[:, :, MEDIAN].T.ravel(),
            "naive": np.tile(test.last, horizons),
            **bounds,
        }
    )


def encode_predictions(table: pd.DataFrame) -> bytes:
    """Encode `predictions_table` as CSV."""
    return _csv(table)


def decode_predictions(data: bytes) -> pd.DataFrame:
    """Decode what `encode_predictions` wrote."""
    return pd.read_csv(io.BytesIO(data), parse_dates=["cutoff", "session"])


def results_csv(predictions: pd.DataFrame) -> bytes:
    """Return date, actual and prediction one session ahead, as the sources write their results."""
    first = predictions[predictions["horizon"] == 1].rename(columns={"session": "date"})
    columns = first[["date", "actual", "prediction"]]
    return _csv(columns)


def spread_of_changes(predictions: pd.DataFrame) -> float:
    """Return how widely forecast changes are spread, over the spread of the actual ones.

    Both are standard deviations one session ahead. Far below 1, the forecasts have shrunk towards
    the last price (L. Weng). NaN where nothing moves.
    """
    first = predictions[predictions["horizon"] == 1]
    actual = float((first["actual"] - first["naive"]).std(ddof=0))
    forecast = float((first["prediction"] - first["naive"]).std(ddof=0))
    return forecast / actual if actual > 0 else float("nan")


def _csv(table: pd.DataFrame) -> bytes:
    """Return a table of numbers and days as CSV that reads back to the same bits.

    What is missing is empty. pandas takes six times as long.
    """
    import pyarrow as pa
    from pyarrow import csv

    arrays = {
        str(name): pa.array(
            values.to_numpy("datetime64[D]")
            if pd.api.types.is_datetime64_dtype(values)
            else values.to_numpy(),
            from_pandas=True,
        )
        for name, values in table.items()
    }
    file = io.BytesIO()
    options = csv.WriteOptions(quoting_style="none", quoting_header="none")
    csv.write_csv(pa.table(arrays), file, options)
    return file.getvalue()
