"""Column names, types and keys of every table that one module hands to another.

All tables are long pandas frames: one row per fact, plain columns, no index that means anything. `session` and `cutoff`
columns are `datetime64[s]` at midnight without a zone: a session is a date, not a moment. `known_at` is a moment in UTC, stored without its zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SESSION_DTYPE = "datetime64[s]"
MOMENT_DTYPE = "datetime64[us]"
OHLCV = ["open", "high", "low", "close", "volume"]
PRICE_COLUMNS = ["open", "high", "low", "close"]


@dataclass(frozen=True)
class Table:
    """A table's columns with their dtypes, in order, and the columns that identify a row."""

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]

    def empty(self) -> pd.DataFrame:
        import pandas as pd  # here, so that a DAG file that names a recipe does not wait for it

        return pd.DataFrame({column: pd.Series(dtype=dtype) for column, dtype in self.columns.items()})

    def conform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A copy with exactly these columns and dtypes, sorted by key; raises `ValueError` on a missing column."""
        missing = [column for column in self.columns if column not in frame.columns]
        if missing:
            raise ValueError(f"The {self.name} table lacks {missing}; it has {list(frame.columns)}.")
        return frame[list(self.columns)].astype(self.columns).sort_values(list(self.key)).reset_index(drop=True)


#: Prices as they were traded that day (splits undone). NaN marks a cell that the source did not have.
PRICES = Table(
    "prices",
    {
        "ticker": "str",
        "session": SESSION_DTYPE,
        "open": "float64",
        "high": "float64",
        "low": "float64",
        "close": "float64",
        "volume": "float64",
    },
    ("ticker", "session"),
)

#: Corporate actions, dated by their ex-date. `kind` is "split" (value 2.0 = two new shares for one old) or "dividend"
#: (dollars a share, as paid at the time).
ACTIONS = Table(
    "actions",
    {"ticker": "str", "session": SESSION_DTYPE, "kind": "str", "value": "float64"},
    ("ticker", "session", "kind"),
)

#: What a model may see: one ticker's prices adjusted as of a cutoff. OHLC and volume are adjusted for splits;
#: `adj_close` for splits and dividends. At the cutoff itself, every price is the price on the tape.
HISTORY = Table(
    "history",
    {**PRICES.columns, "adj_close": "float64"},
    ("ticker", "session"),
)


def column(history: pd.DataFrame, name: str) -> pd.Series:
    """A column of HISTORY, or one made from others: "mid" is halfway between high and low."""
    return (history["high"] + history["low"]) / 2 if name == "mid" else history[name]


#: A bar as known at a moment. Append only: a corrected bar is a new row with a later `known_at` (UTC). `source_id` keeps
#: Yahoo, the sample and each folder of files apart.
PRICE_REVISIONS = Table(
    "price_revisions",
    {"source_id": "str", **PRICES.columns, "known_at": MOMENT_DTYPE},
    ("source_id", "ticker", "session", "known_at"),
)

#: A corporate action as known at a moment. Append only; value 0 says that an action announced before was taken back.
ACTION_REVISIONS = Table(
    "action_revisions",
    {"source_id": "str", **ACTIONS.columns, "known_at": MOMENT_DTYPE},
    ("source_id", "ticker", "session", "kind", "known_at"),
)

#: What identifies one run's result for one ticker; most tables below begin with it. `cutoff` is the run's session.
RUN_KEY = {"universe": "str", "recipe": "str", "target": "str", "ticker": "str", "cutoff": SESSION_DTYPE}

#: One finding of a quality rule about one cell. `severity`: "record" (noted), "mask" (noted, and no model uses the cell) or
#: "quarantine" (the ticker sits this session out). `session` is the session concerned, or the cutoff where none is.
FINDINGS = Table(
    "findings",
    {**RUN_KEY, "rule": "str", "severity": "str", "session": SESSION_DTYPE, "column": "str", "message": "str"},
    (*RUN_KEY, "rule", "session", "column"),
)

#: The gate's verdict on a ticker: "passed" or "quarantined", with the reasons in one line. `evidence` is a hash of the prices and
#: rules judged: while it stays the same, the verdict does.
CHECKS = Table("checks", {**RUN_KEY, "verdict": "str", "reasons": "str", "evidence": "str"}, tuple(RUN_KEY))

#: Which dataset file serves a run in which role: "live" (cut at the run's session), "training" (at its training cutoff) or
#: "previous" (at the training cutoff before). `dataset` is the file's content hash; empty when there is too little history,
#: and then `reason` says so.
DATASETS = Table(
    "datasets",
    {**RUN_KEY, "role": "str", "dataset_cutoff": SESSION_DTYPE, "dataset": "str", "sessions": "int64", "reason": "str"},
    (*RUN_KEY, "role"),
)

#: A trained network. `model_id` is a hash of (recipe, configuration, ticker, training cutoff, dataset, seed).
MODELS = Table(
    "models",
    {
        "model_id": "str",
        "recipe": "str",
        "target": "str",
        "ticker": "str",
        "training_cutoff": SESSION_DTYPE,
        "dataset": "str",
        "config_hash": "str",
        "epochs": "int64",
        "best_epoch": "int64",
        "code_version": "str",
    },
    ("model_id",),
)

#: Errors of one forecaster on one dataset. `model` is a model_id or a baseline's name; `split` is validation or test.
#: rmse, mae in dollars; mase, directional_accuracy, coverages are fractions; half_widths are multiples of `Windows.unit`,
#: calibrated on validation for both splits.
EVALUATIONS = Table(
    "evaluations",
    {
        "dataset": "str",
        "model": "str",
        "split": "str",
        "horizon": "int64",
        "sessions": "int64",
        "rmse": "float64",
        "mae": "float64",
        "mase": "float64",
        "directional_accuracy": "float64",
        "coverage_80": "float64",
        "coverage_95": "float64",
        "half_width_80": "float64",
        "half_width_95": "float64",
    },
    ("dataset", "model", "split", "horizon"),
)

#: What a forecaster says at a dataset's cutoff, whether or not it is published. y_hat in dollars as traded at the cutoff.
PREDICTIONS = Table(
    "predictions",
    {"dataset": "str", "model": "str", "horizon": "int64", "y_hat": "float64"},
    ("dataset", "model", "horizon"),
)

#: Whose forecast is published and why. `champion` is lstm, previous or naive; rmse of the first horizon, in dollars.
#: The figures are the published network's, or the current one's beside a naive forecast that is published; so is
#: `training_cutoff`. `skill` is 1 - test_rmse / naive_test_rmse: positive means the network beat the naive forecast.
PROMOTIONS = Table(
    "promotions",
    {
        **RUN_KEY,
        "champion": "str",
        "model_id": "str",
        "training_cutoff": SESSION_DTYPE,
        "test_sessions": "int64",
        "test_rmse": "float64",
        "naive_test_rmse": "float64",
        "skill": "float64",
        "reasons": "str",
    },
    tuple(RUN_KEY),
)

#: One published forecast. `session` is the day forecast, `cutoff` the last day seen; prices in dollars as traded at the cutoff.
FORECASTS = Table(
    "forecasts",
    {
        **RUN_KEY,
        "horizon": "int64",
        "session": SESSION_DTYPE,
        "last_value": "float64",
        "y_hat": "float64",
        "lower_80": "float64",
        "upper_80": "float64",
        "lower_95": "float64",
        "upper_95": "float64",
        "champion": "str",
        "model_id": "str",
    },
    (*RUN_KEY, "horizon"),
)

#: What became of a forecast. `error` is actual minus forecast, in dollars as traded at the forecast's cutoff (a split since
#: then is undone in `actual`).
SCORES = Table(
    "scores",
    {
        **RUN_KEY,
        "horizon": "int64",
        "session": SESSION_DTYPE,
        "champion": "str",
        "y_hat": "float64",
        "actual": "float64",
        "error": "float64",
        "naive_error": "float64",
        "inside_80": "bool",
        "inside_95": "bool",
    },
    (*RUN_KEY, "horizon"),
)

#: All that the store keeps.
STORED = (
    PRICE_REVISIONS,
    ACTION_REVISIONS,
    FINDINGS,
    CHECKS,
    DATASETS,
    MODELS,
    EVALUATIONS,
    PREDICTIONS,
    PROMOTIONS,
    FORECASTS,
    SCORES,
)
