"""The loader that MLflow calls for a model's flavour `python_function`: price rows to quantiles.

A model folder names this module. No code and no pickle of the folder is run, and TensorFlow is
imported only for networks that numpy does not know (see `numpy_networks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.decisions import Observed, published_columns
from pipeline.errors import NothingStored, StockcastError
from pipeline.quantiles import tidy_quantiles
from pipeline.serving.price_rows import cells_of
from pipeline.serving.served_forecast import SERVED_FILE, ServedForecast
from pipeline.training import PredictJob

if TYPE_CHECKING:
    import pandas as pd

#: Where a model folder keeps its network.
NETWORK_FILE = Path("data", "model.keras")


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A champion, as MLflow asks it.

    Attributes:
        network: a `.keras` file; None: a baseline is published alone.
    """

    served: ServedForecast
    network: bytes | None

    def predict(self, rows: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return what is published of the session that the rows end at.

        Args:
            rows: session, open, high, low, close and volume; a row per session.
            params: MLflow's; there are none.

        Returns:
            Columns ticker, cutoff, session, horizon, level, price: nine levels a session ahead.

        Raises:
            MlflowException: the rows cannot be used; the message says which one, and why.
        """
        from mlflow.exceptions import MlflowException

        try:
            return forecast_of(self.served, rows, self.network)
        except StockcastError as error:
            # Of any other exception, MLflow's server answers that it is unexpected.
            raise MlflowException.invalid_parameter_value(str(error)) from None


def forecast_of(
    served: ServedForecast, rows: pd.DataFrame, network: bytes | None = None
) -> pd.DataFrame:
    """Return the forecast that price rows make; see `ServedModel.predict`.

    Raises:
        StockcastError: the rows cannot be used.
    """
    import pandas as pd

    spec, forecast = served.spec, served.forecast
    window = served.window_part(cells_of(served, rows)).window()
    predictions = None
    if forecast.is_of_network:
        if network is None:
            raise NothingStored(f"{spec.ticker}: the model folder has no {NETWORK_FILE}.")
        [predictions] = PredictJob(spec.ticker, network, (window,), spec.horizon).run()
    quantiles = forecast(Observed.of(window), predictions)
    table = pd.DataFrame(
        {
            "ticker": spec.ticker,
            "cutoff": pd.Timestamp(served.sessions[-1]),
            "session": pd.DatetimeIndex(list(served.forecast_sessions)),
            "horizon": range(1, spec.horizon + 1),
            **published_columns(quantiles),
        }
    )
    return tidy_quantiles(table, ["ticker", "cutoff", "session", "horizon"])


def _load_pyfunc(path: str) -> ServedModel:
    """Load a model folder, as MLflow calls it."""
    folder = Path(path)
    file, network = folder / SERVED_FILE, folder / NETWORK_FILE
    if not file.exists():
        raise NothingStored(
            f"The model in {folder} has no {SERVED_FILE}: it has not been published, or by a "
            "version without serving. Load the alias `champion`, or publish its session again "
            "(`stockcast run --session DATE`)."
        )
    content = network.read_bytes() if network.exists() else None
    return ServedModel(ServedForecast.decoded(file.read_bytes()), content)
