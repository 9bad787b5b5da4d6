"""Served forecasts: all that a model folder keeps of a session's forecast besides the network.

It is as of one session: that session's weight, baseline and calibration, what `har` expected of
the sessions before it, and the dividends that were known. So whoever asks with the rows up to that
session gets what was published.
"""

from __future__ import annotations

import datetime as dt
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.arrays import Array, Bools, Floats
from pipeline.decisions import ChampionForecast
from pipeline.errors import DamagedFile
from pipeline.models import BASELINES, EWMA, FittedBaseline, StockHar
from pipeline.storage import pack_arrays, unpack_arrays
from pipeline.tables import HISTORY, OHLCV
from pipeline.windows import Spec

if TYPE_CHECKING:
    import pandas as pd

#: The files of a model folder that each session writes: this one, and the rows to try it with.
SERVED_FILE, EXAMPLE_FILE = "served.npz", "input_example.json"


@dataclass(frozen=True, eq=False)
class ServedForecast:
    """A forecast of one session, to be made again from the price rows of its stock.

    Attributes:
        universe: its name, for messages.
        forecast_sessions: those that are forecast, (H,).
        spec: how the newest window is cut.
        fitted_through: the last session that its normalisation is fitted on.
        sessions: datetime64[D] (n,), those whose rows are needed, up to the session itself.
        unusable: bool (n, 5), the cells that the pipeline had no use for: missing, or masked.
        left: (n,), `adj_close` over close; NaN where there is no close.
        anchors: by column of the history (n,), what a baseline expected of each session.
        forecast: the champion.
    """

    universe: str
    forecast_sessions: tuple[dt.date, ...]
    spec: Spec
    fitted_through: dt.date
    sessions: Array
    unusable: Bools
    left: Floats
    anchors: Mapping[str, Floats]
    forecast: ChampionForecast

    @classmethod
    def of(
        cls,
        universe: str,
        forecast_sessions: tuple[dt.date, ...],
        part: tuple[Spec, pd.DataFrame, np.datetime64],
        forecast: ChampionForecast,
    ) -> ServedForecast:
        """Return the served forecast of a champion at the end of what `newest_part` returned."""
        spec, history, through = part
        anchors = [name for name in history.columns if name not in HISTORY.columns]
        return cls(
            universe=universe,
            forecast_sessions=forecast_sessions,
            spec=spec,
            fitted_through=through.astype(object),
            sessions=history["session"].to_numpy().astype("datetime64[D]"),
            unusable=history[OHLCV].isna().to_numpy(),
            left=(history["adj_close"] / history["close"]).to_numpy("float64"),
            anchors={name: history[name].to_numpy("float64") for name in anchors},
            forecast=forecast,
        )

    def encoded(self) -> bytes:
        """Encode it as a file; equal forecasts give equal bytes."""
        forecast = self.forecast
        about = {
            "universe": self.universe,
            "forecast_sessions": [day.isoformat() for day in self.forecast_sessions],
            "spec": self.spec.to_json(),
            "fitted_through": self.fitted_through.isoformat(),
            "anchors": list(self.anchors),
            "champion": forecast.champion,
            "model_id": forecast.model_id,
            "weight": forecast.weight,
            "baseline": forecast.baseline,
        }
        arrays: dict[str, Any] = {
            "sessions": self.sessions.astype("int32"),
            "growth": forecast.growth,
            "left ahead": forecast.left,
        }
        if self.unusable.any():
            arrays["unusable"] = np.packbits(self.unusable, axis=0)
        if not (self.left == 1).all():
            arrays["left"] = self.left
        if self.anchors:
            arrays["anchors"] = np.stack(list(self.anchors.values())).astype("float32")
        if isinstance(forecast.fitted, StockHar):
            arrays |= forecast.fitted.arrays()
        elif forecast.fitted is not None:
            about["normal"] = forecast.fitted.width is BASELINES[EWMA].width
            arrays["shape"] = forecast.fitted.shape
        if forecast.spread is not None:
            arrays["spread"] = forecast.spread
        return pack_arrays(about, arrays)

    @classmethod
    def decoded(cls, data: bytes) -> ServedForecast:
        """Decode what `encoded` wrote; nothing in it is a pickle.

        Raises:
            DamagedFile: it is no such file.
        """
        try:
            about, arrays = unpack_arrays(data)
            return cls._of_file(about, arrays)
        except (zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedFile(
                f"The model's {SERVED_FILE} cannot be read ({error}). Publish its session again: "
                "`stockcast run --session DATE`."
            ) from None

    @classmethod
    def _of_file(cls, about: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> ServedForecast:
        count = len(arrays["sessions"])
        unusable = np.zeros((count, len(OHLCV)), bool)
        if "unusable" in arrays:
            unusable = np.unpackbits(arrays["unusable"], axis=0, count=count).astype(bool)
        columns = arrays["anchors"].astype("float64") if "anchors" in arrays else ()
        return cls(
            universe=about["universe"],
            forecast_sessions=tuple(map(dt.date.fromisoformat, about["forecast_sessions"])),
            spec=Spec.from_json(about["spec"]),
            fitted_through=dt.date.fromisoformat(about["fitted_through"]),
            sessions=arrays["sessions"].astype("datetime64[D]"),
            unusable=unusable,
            left=arrays.get("left", np.ones(count)),
            anchors=dict(zip(about["anchors"], columns, strict=True)),
            forecast=ChampionForecast(
                champion=about["champion"],
                model_id=about["model_id"],
                weight=about["weight"],
                baseline=about["baseline"],
                fitted=_fitted(about, arrays),
                growth=arrays["growth"],
                left=arrays["left ahead"],
                spread=arrays.get("spread"),
            ),
        )


def _fitted(
    about: Mapping[str, Any], arrays: dict[str, np.ndarray]
) -> FittedBaseline | StockHar | None:
    if "shape" in arrays:
        return BASELINES[about["baseline"]].shaped(arrays["shape"], about["normal"])
    return StockHar.of_arrays(arrays)


def example_of(history: pd.DataFrame) -> bytes:
    """Return the rows of a history as MLflow's input example: JSON, split by columns and rows.

    Args:
        history: HISTORY; cells that are missing stay null.
    """
    days = history["session"].to_numpy().astype("datetime64[D]").astype(str)
    cells = history[OHLCV].astype(object).where(history[OHLCV].notna(), None).to_numpy()
    rows = [[day, *own] for day, own in zip(days.tolist(), cells.tolist(), strict=True)]
    return json.dumps({"columns": ["session", *OHLCV], "data": rows}).encode()
