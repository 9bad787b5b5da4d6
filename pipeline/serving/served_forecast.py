"""Served forecasts: all that a model folder keeps of a session's forecast besides the network.

It is as of one session: that session's weight, baseline and calibration, what `har` expected of
the sessions before it, and the dividends that were known. So whoever asks with the rows up to that
session gets what was published.
"""

from __future__ import annotations

import datetime as dt
import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.arrays import Array, Bools, Floats
from pipeline.decisions import ChampionForecast
from pipeline.errors import DamagedFile
from pipeline.models import BASELINES, EWMA, FittedBaseline, StockHar
from pipeline.storage import pack_arrays, unpack_arrays
from pipeline.tables import OHLCV
from pipeline.windows import NewestPart, Spec, StoredHistory

#: The files of a model folder that each session writes: this one, and the rows to try it with.
SERVED_FILE, EXAMPLE_FILE = "served.npz", "price_rows.json"
#: What the arrays of `StockHar` are in a file.
HAR_DTYPES = {"har sessions": "datetime64[D]"}
CLOSE = OHLCV.index("close")


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
        part: NewestPart,
        forecast: ChampionForecast,
    ) -> ServedForecast:
        """Return the served forecast of a champion at the end of a history.

        Where a baseline is published alone, nobody looks at what is expected of each session.
        """
        rows, cells = part.rows, part.rows.values[:, : len(OHLCV)]
        return cls(
            universe=universe,
            forecast_sessions=forecast_sessions,
            spec=rows.spec,
            fitted_through=part.fitted_through.astype(object),
            sessions=rows.sessions,
            unusable=np.isnan(cells),
            left=rows.values[:, -1] / cells[:, CLOSE],
            anchors=rows.anchors if forecast.is_of_network else {},
            forecast=forecast,
        )

    def window_part(self, cells: Floats) -> NewestPart:
        """Return the newest part that cells (n, 5) of its sessions make."""
        values = np.column_stack([cells, cells[:, CLOSE] * self.left])
        rows = StoredHistory(self.spec, self.sessions, values, self.anchors)
        return NewestPart(rows, np.datetime64(self.fitted_through, "D"))

    def encoded(self) -> bytes:
        """Encode it as a file; equal forecasts give equal bytes."""
        forecast = self.forecast
        about: dict[str, Any] = {
            "universe": self.universe,
            "forecast_sessions": [day.isoformat() for day in self.forecast_sessions],
            "spec": self.spec.to_json(),
            "fitted_through": self.fitted_through.isoformat(),
            "anchors": list(self.anchors),
            "champion": forecast.champion,
            "model_id": forecast.model_id,
            "weight": forecast.weight,
            "baseline": forecast.baseline,
            # As JSON they are read back to the same bits, and written faster than as arrays.
            "growth": forecast.growth.tolist(),
            "left_ahead": forecast.left.tolist(),
            "spread": None if forecast.spread is None else forecast.spread.tolist(),
            **_fitted_values(forecast.fitted),
        }
        arrays: dict[str, np.ndarray] = {"sessions": self.sessions.astype("int32")}
        if self.unusable.any():
            arrays["unusable"] = np.packbits(self.unusable, axis=0)
        if not (self.left == 1).all():
            arrays["left"] = self.left
        if self.anchors:
            arrays["anchors"] = np.stack(list(self.anchors.values())).astype("float32")
        return pack_arrays(about, arrays)

    @classmethod
    def decoded(cls, data: bytes) -> ServedForecast:
        """Decode what `encoded` wrote; nothing in it is a pickle.

        Raises:
            DamagedFile: it is no such file.
        """
        unreadable = (zipfile.BadZipFile, struct.error, ValueError, KeyError, TypeError)
        try:
            about, arrays = unpack_arrays(data)
            return cls._of_file(about, arrays)
        except (*unreadable, AttributeError) as error:
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
        spread = about["spread"]
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
                fitted=_fitted(about),
                growth=np.array(about["growth"]),
                left=np.array(about["left_ahead"]),
                spread=None if spread is None else np.array(spread),
            ),
        )


def _fitted_values(fitted: FittedBaseline | StockHar | None) -> dict[str, object]:
    """Return what a file keeps of a baseline."""
    if fitted is None:
        return {}
    if isinstance(fitted, StockHar):
        return {"har": {name: _plain(values) for name, values in fitted.arrays().items()}}
    is_normal = fitted.width is BASELINES[EWMA].width
    return {"shape": fitted.shape.tolist(), "normal": is_normal}


def _plain(values: np.ndarray) -> object:
    return values.astype(str).tolist() if values.dtype.kind == "M" else values.tolist()


def _fitted(about: Mapping[str, Any]) -> FittedBaseline | StockHar | None:
    if "shape" in about:
        return BASELINES[about["baseline"]].shaped(np.array(about["shape"]), about["normal"])
    if "har" not in about:
        return None
    arrays = {
        name: np.array(values, dtype=HAR_DTYPES.get(name, "float64"))
        for name, values in about["har"].items()
    }
    return StockHar.of_arrays(arrays)


def example_of(part: NewestPart) -> bytes:
    """Return price rows as MLflow's input example: JSON, by columns and rows; null: no cell."""
    cells = part.rows.values[:, : len(OHLCV)]
    plain = cells.tolist()
    if np.isnan(cells).any():
        plain = [[None if value != value else value for value in row] for row in plain]
    days = part.rows.sessions.astype(str).tolist()
    rows = [[day, *row] for day, row in zip(days, plain, strict=True)]
    return json.dumps({"columns": ["session", *OHLCV], "data": rows}).encode()
