"""Column names, types and keys of every table that one module hands to another.

All tables are long pandas frames: one row per fact, plain columns, no index that means anything.
`session` and `cutoff` columns are `datetime64[s]` at midnight without a zone: a session is a date,
not a moment. `known_at` is a moment in UTC, stored without its zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pipeline.quantiles import QUANTILE_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

SESSION_DTYPE: Final = "datetime64[s]"
MOMENT_DTYPE: Final = "datetime64[us]"
OHLCV = ["open", "high", "low", "close", "volume"]
PRICE_COLUMNS = ["open", "high", "low", "close"]


@dataclass(frozen=True)
class Table:
    """A table's layout.

    Attributes:
        columns: dtypes by name, in order.
        key: the columns that identify a row.
    """

    name: str
    columns: dict[str, str]
    key: tuple[str, ...]

    def empty(self) -> pd.DataFrame:
        """Return the table without rows."""
        return self._empty.copy()

    @cached_property
    def _empty(self) -> pd.DataFrame:
        import pandas as pd  # here, so that a DAG file that names a recipe does not wait for it

        return pd.DataFrame(
            {column: pd.Series(dtype=dtype) for column, dtype in self.columns.items()}
        )

    @cached_property
    def _dtypes(self) -> dict[str, Any]:
        """The dtypes themselves: comparing with their names would parse these each time."""
        return dict(zip(self.columns, self._empty.dtypes, strict=True))

    def conform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a copy with exactly these columns and dtypes, sorted by key.

        Raises:
            ValueError: a column is missing.
        """
        frame = self._sorted(self.typed(frame))
        return frame.reset_index(drop=True)

    def typed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with exactly these columns and dtypes, in their order.

        Raises:
            ValueError: a column is missing.
        """
        names, present = list(self.columns), frame.columns.tolist()
        if names != present:
            if missing := [name for name in names if name not in present]:
                raise ValueError(f"The {self.name} table lacks {missing}; it has {present}.")
            # A fifth of the time that `frame[names]` takes.
            frame = frame.take([present.index(name) for name in names], axis=1)
        wrong = {
            name: dtype
            for (name, dtype), found in zip(self._dtypes.items(), frame.dtypes, strict=True)
            if found != dtype
        }
        if not wrong:
            return frame
        # The arrays by themselves: `frame.astype` takes five times as long.
        return frame.assign(**{name: frame[name].array.astype(wrong[name]) for name in wrong})

    def _sorted(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows by their key; those of the same key stay in their order.

        Most frames are of a few rows, for which pandas' own sort takes four times as long.
        """
        if len(frame) < 2:
            return frame
        import pyarrow as pa
        from pyarrow import compute

        columns = {name: frame[name].array for name in self.key}
        keys = pa.table(
            {
                name: pa.array(values if self.columns[name] == "str" else values.to_numpy())
                for name, values in columns.items()
            }
        )
        by = [(name, "ascending") for name in self.key]
        order = compute.sort_indices(keys, sort_keys=by).to_numpy()  # a stable sort
        return frame if (order[1:] > order[:-1]).all() else frame.take(order)


#: Prices as they were traded that day (splits undone). NaN marks a cell that the source did not
#: have.
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

#: Corporate actions, dated by their ex-date. `kind` is "split" (value 2.0 = two new shares for one
#: old) or "dividend" (in the prices' currency a share, as paid at the time).
ACTIONS = Table(
    "actions",
    {"ticker": "str", "session": SESSION_DTYPE, "kind": "str", "value": "float64"},
    ("ticker", "session", "kind"),
)

#: Events that are known before their day. `session` is the first that trades on one: a report's, or
#: a dividend's ex-date. `kind` is "report" (value 1) or "dividend" (in the prices' currency a
#: share). `announced_at` is the moment (UTC) since when it was known; NaT: nobody says.
EVENTS = Table(
    "events",
    {
        "ticker": "str",
        "session": SESSION_DTYPE,
        "kind": "str",
        "value": "float64",
        "announced_at": MOMENT_DTYPE,
    },
    ("ticker", "session", "kind"),
)

#: Events with the time for which they are known to be coming: from `known_from` until before
#: `known_until` (UTC), when one was moved or taken back; NaT: it stands.
KNOWN_EVENTS = Table(
    "known_events",
    {
        "ticker": "str",
        "session": SESSION_DTYPE,
        "kind": "str",
        "value": "float64",
        "known_from": MOMENT_DTYPE,
        "known_until": MOMENT_DTYPE,
    },
    ("ticker", "session", "kind", "known_from"),
)

#: All that a model may see of prices: those of a ticker, adjusted as of a cutoff. OHLC and volume
#: are adjusted for splits, `adj_close` for splits and dividends. At the cutoff itself, every price
#: is the traded one.
HISTORY = Table(
    "history",
    {**PRICES.columns, "adj_close": "float64"},
    ("ticker", "session"),
)


def column(history: pd.DataFrame, name: str) -> pd.Series:
    """Return a column of HISTORY, or "mid", halfway between high and low."""
    return (history["high"] + history["low"]) / 2 if name == "mid" else history[name]


#: A bar as known at a moment. Append only: a corrected bar is a new row with a later `known_at`
#: (UTC); one without a price and with volume -1 says that the source no longer has the bar.
#: `source_id` keeps Yahoo, the sample and each folder of files apart.
PRICE_REVISIONS = Table(
    "price_revisions",
    {"source_id": "str", **PRICES.columns, "known_at": MOMENT_DTYPE},
    ("source_id", "ticker", "session", "known_at"),
)

#: A corporate action as known at a moment. Append only; value 0 says that an action announced
#: before was taken back.
ACTION_REVISIONS = Table(
    "action_revisions",
    {"source_id": "str", **ACTIONS.columns, "known_at": MOMENT_DTYPE},
    ("source_id", "ticker", "session", "kind", "known_at"),
)

#: An event as stored at a moment. Append only; value 0 says that one announced before was taken
#: back. `source_id` keeps each file, and Yahoo, apart.
EVENT_REVISIONS = Table(
    "event_revisions",
    {"source_id": "str", **EVENTS.columns, "known_at": MOMENT_DTYPE},
    ("source_id", "ticker", "session", "kind", "known_at"),
)

#: The newest session whose run has asked for a ticker's events.
EVENT_READINGS = Table(
    "event_readings",
    {"source_id": "str", "ticker": "str", "session": SESSION_DTYPE},
    ("source_id", "ticker"),
)

#: A source that prices were stored of. `known_at` is the newest moment of its revisions of bars and
#: actions: the next ones are dated after it, whatever the clock says.
PRICE_SOURCES = Table(
    "price_sources", {"source_id": "str", "known_at": MOMENT_DTYPE}, ("source_id",)
)

#: When all of a ticker was last asked for: from `first` to `last`. The stored bars and actions of
#: one that is read from a file are those of the file while they have this digest.
PRICE_READINGS = Table(
    "price_readings",
    {
        "source_id": "str",
        "ticker": "str",
        "first": SESSION_DTYPE,
        "last": SESSION_DTYPE,
        "digest": "str",
    },
    ("source_id", "ticker"),
)

#: The currency of a ticker's prices as its source names it: a code of `money`, GBp for pence.
#: Append only: one that changes is a new row with a later `known_at`.
PRICE_CURRENCIES = Table(
    "price_currencies",
    {"source_id": "str", "ticker": "str", "known_at": MOMENT_DTYPE, "currency": "str"},
    ("source_id", "ticker", "known_at"),
)

#: The names of a series: all that is published for one universe, recipe and target.
SERIES = ("universe", "recipe", "target")

#: The identity of one run's result for one ticker; most tables below begin with it. `cutoff` is the
#: run's session.
RUN_KEY = {
    **dict.fromkeys(SERIES, "str"),
    "ticker": "str",
    "cutoff": SESSION_DTYPE,
}

#: One finding of a quality rule about one cell. `severity`: "record" (noted), "mask" (noted, and no
#: model uses the cell) or "quarantine" (the ticker sits this session out). `session` is the session
#: concerned, or the cutoff where none is.
FINDINGS = Table(
    "findings",
    {
        **RUN_KEY,
        "rule": "str",
        "severity": "str",
        "session": SESSION_DTYPE,
        "column": "str",
        "message": "str",
    },
    (*RUN_KEY, "rule", "session", "column"),
)

#: The gate's verdict on a ticker: "passed" or "quarantined", with the reasons in one line.
#: `evidence` is a hash of the prices and rules judged: while it stays the same, the verdict does.
#: `known_at` is when the newest of all the prices and actions judged became known: later steps read
#: as of then, so that they see what was judged and nothing that arrived since.
CHECKS = Table(
    "checks",
    {
        **RUN_KEY,
        "verdict": "str",
        "reasons": "str",
        "evidence": "str",
        "known_at": MOMENT_DTYPE,
    },
    tuple(RUN_KEY),
)

#: The dataset file that serves a run in a role: "live" (cut at the run's session), "training" (at
#: its training cutoff), "previous" (at the training cutoff before), "default" (the default recipe's
#: next to another recipe's), "pool" and "previous_pool" (a ticker's share in the networks that all
#: train together). `dataset` is the file's content hash; `reason` says why no network can learn
#: from it, "" when one can; `known_at` is when the newest of its prices and actions became known;
#: `learnt` is the digest of the part that a network learns from, "" where none does.
DATASETS = Table(
    "datasets",
    {
        **RUN_KEY,
        "role": "str",
        "dataset_cutoff": SESSION_DTYPE,
        "dataset": "str",
        "sessions": "int64",
        "reason": "str",
        "known_at": MOMENT_DTYPE,
        "learnt": "str",
    },
    (*RUN_KEY, "role"),
)

#: All that a run compares for a ticker: its datasets and networks as JSON (`daily.lineup.Lineup`),
#: and the identity of the choice among them. `decision` is what `promote` has decided, a PROMOTIONS
#: row as JSON, on its way to publication; "" before. Ticker "all" has the networks that all stocks
#: train together.
LINEUPS = Table(
    "lineups",
    {**RUN_KEY, "choice": "str", "lineup": "str", "decision": "str"},
    tuple(RUN_KEY),
)

#: A trained network. `model_id` is a hash of the recipe's configuration, the data learnt from, the
#: seed and the network that training went on from.
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

#: Errors of one forecaster on one dataset. `model` is a model_id or a baseline's name; `split` is
#: validation or test. rmse, mae of the median in money; pinball: mean loss of the seven quantiles
#: as a fraction of the price; mase, directional_accuracy, coverages are fractions. On validation
#: the forecasts are the forecaster's own, on test they are calibrated session by session (see
#: `calibration`).
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
        "pinball": "float64",
        "coverage_50": "float64",
        "coverage_80": "float64",
        "coverage_95": "float64",
    },
    ("dataset", "model", "split", "horizon"),
)

#: A forecaster's forecast at a dataset's cutoff, published or not: seven quantiles in prices as
#: traded at the cutoff, not calibrated.
PREDICTIONS = Table(
    "predictions",
    {
        "dataset": "str",
        "model": "str",
        "horizon": "int64",
        **dict.fromkeys(QUANTILE_COLUMNS, "float64"),
    },
    ("dataset", "model", "horizon"),
)

#: The forecaster that is published, and why; written with the forecasts, in one transaction.
#: `champion` is lstm, previous, pooled, har, ewma or naive; `weight` is its share of what is
#: published, the rest is that of `baseline`. rmse of the first horizon, in money; pinball over
#: all horizons, as a fraction of the price: those of what is published, or of the current network
#: where ewma or naive is; so is `training_cutoff`. `skill` is 1 - test_rmse / naive_test_rmse,
#: `pinball_skill` 1 - test_pinball / ewma_test_pinball, `pinball_skill_over_har` likewise: positive
#: means better than the baseline. NaN where `har` was not fitted, or not known to the version.
PROMOTIONS = Table(
    "promotions",
    {
        **RUN_KEY,
        "champion": "str",
        "model_id": "str",
        "weight": "float64",
        "baseline": "str",
        "training_cutoff": SESSION_DTYPE,
        "test_sessions": "int64",
        "test_rmse": "float64",
        "naive_test_rmse": "float64",
        "skill": "float64",
        "test_pinball": "float64",
        "ewma_test_pinball": "float64",
        "pinball_skill": "float64",
        "har_test_pinball": "float64",
        "pinball_skill_over_har": "float64",
        "reasons": "str",
    },
    tuple(RUN_KEY),
)

#: The calibration of what is published, by replaying it over the sessions before the cutoff.
#: Coverages are shares of the replayed sessions with a known outcome, before (`raw_`) and after;
#: `growth` is the log of the factor that each interval is widened by.
CALIBRATIONS = Table(
    "calibrations",
    {
        **RUN_KEY,
        "horizon": "int64",
        "sessions": "int64",
        **{
            f"{kind}_{level}": "float64"
            for kind in ("raw_coverage", "coverage", "growth")
            for level in (50, 80, 95)
        },
    },
    (*RUN_KEY, "horizon"),
)

#: The drift of a published series, over the newest scored `sessions` at a cutoff: the share inside
#: the intervals, 1 - pinball loss over the EWMA random walk's, and the population stability index
#: of the network's inputs. `warnings` names those that have left their bands; "" when none has.
#: Where too few forecasts were published in time, they are of the `backfilled` ones, never of both.
DRIFT = Table(
    "drift",
    {
        **RUN_KEY,
        "sessions": "int64",
        "coverage_80": "float64",
        "coverage_95": "float64",
        "pinball_skill": "float64",
        "psi": "float64",
        "warnings": "str",
        "backfilled": "bool",
    },
    tuple(RUN_KEY),
)

#: One published forecast as it stands now: the median and the bounds of its central intervals.
#: `session` is the day forecast, `cutoff` the last day seen; prices as traded at the
#: cutoff. The 1% and the 99% quantile, which bound the 98% interval, follow from the other seven;
#: NaN where an earlier version published none.
FORECASTS = Table(
    "forecasts",
    {
        **RUN_KEY,
        "horizon": "int64",
        "session": SESSION_DTYPE,
        "last_value": "float64",
        "y_hat": "float64",
        "lower_50": "float64",
        "upper_50": "float64",
        "lower_80": "float64",
        "upper_80": "float64",
        "lower_95": "float64",
        "upper_95": "float64",
        "lower_98": "float64",
        "upper_98": "float64",
        "champion": "str",
        "model_id": "str",
    },
    (*RUN_KEY, "horizon"),
)

#: Every publication of a forecast as a revision. Append only: what is published again with other
#: numbers, or withdrawn, is a new row with a later `published_at` (UTC). `published_by` is the
#: Airflow run, or the command; `known_at` is when the newest of the prices behind it became known.
#: `withdrawn` says why nothing stands any more (the numbers are then those taken back), "" where
#: the forecast stands.
PUBLICATIONS = Table(
    "publications",
    {
        **FORECASTS.columns,
        "published_at": MOMENT_DTYPE,
        "known_at": MOMENT_DTYPE,
        "published_by": "str",
        "withdrawn": "str",
    },
    (*FORECASTS.key, "published_at"),
)

#: A run that has published, so that its forecasts can be made again. `run_id` is a hash of all the
#: other columns. `known_at` is when the newest of all its tickers' prices and actions up to the
#: cutoff became known. `request` (a universe, all tickers of the run among them), `settings` (those
#: that decide) and `libraries` (those that compute, by version) are JSON.
RUNS = Table(
    "runs",
    {
        "run_id": "str",
        **dict.fromkeys(SERIES, "str"),
        "cutoff": SESSION_DTYPE,
        "source_id": "str",
        "known_at": MOMENT_DTYPE,
        "request": "str",
        "settings": "str",
        "code_version": "str",
        "libraries": "str",
    },
    ("run_id",),
)

#: The run that has made what stands of a ticker: a row of RUNS, which all its tickers share. A
#: later run of some tickers moves these alone.
RUN_TICKERS = Table("run_tickers", {**RUN_KEY, "run_id": "str"}, tuple(RUN_KEY))

#: The outcome of a forecast: of the first one published before its session opened, however often it
#: was published again. Where none was, `backfilled`: of the one that stands now, which was made
#: when its outcome could be known. `published_at` says which. `error` is actual minus forecast, in
#: money as traded at the forecast's cutoff, as they were known to it (a split or a restatement
#: since then is undone in `actual`); `pinball` is the mean loss of its quantiles, `ewma_pinball`
#: that of the EWMA random walk's and `har_pinball` that of `har`'s (NaN where it made none), as
#: fractions of the last price. A price that is masked or condemned gives no outcome, and neither
#: does a forecast whose prices were restated in part.
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
        "pinball": "float64",
        "ewma_pinball": "float64",
        "har_pinball": "float64",
        "inside_80": "bool",
        "inside_95": "bool",
        "published_at": MOMENT_DTYPE,
        "backfilled": "bool",
    },
    (*RUN_KEY, "horizon"),
)

#: A trial of a hyper-parameter search. `study` names what is searched; `fingerprint` is of its data
#: and search space: a search never goes on from trials with another. `state` is complete, pruned or
#: failed; `value` the mean loss relative to the EWMA random walk's; `params` and `intermediate`
#: (loss by fold) are JSON.
TRIALS = Table(
    "trials",
    {
        "study": "str",
        "fingerprint": "str",
        "number": "int64",
        "state": "str",
        "value": "float64",
        "params": "str",
        "intermediate": "str",
        "seconds": "float64",
    },
    ("study", "fingerprint", "number"),
)

#: Forecasts at a backtest's cutoffs, next to the actuals: the long table that leaderboards are made
#: of, one row per quantile. `recipe` also names baselines and statistical models; all forecasters
#: have the same tickers and cutoffs. `forecast`, `actual` and `last` (the target at the cutoff) in
#: prices as adjusted for the splits up to the end of the cutoff's block. It is an artifact, not in
#: the store.
BACKTESTS = Table(
    "backtests",
    {
        "recipe": "str",
        "ticker": "str",
        "cutoff": SESSION_DTYPE,
        "horizon": "int64",
        "session": SESSION_DTYPE,
        "quantile": "float64",
        "forecast": "float64",
        "actual": "float64",
        "last": "float64",
    },
    ("recipe", "ticker", "cutoff", "horizon", "quantile"),
)

#: Joint paths of all stocks that a session is published for: prices as traded at the cutoff. Path 7
#: of one ticker and one session ahead belongs to path 7 of all others. It is an artifact, not in
#: the store.
JOINT_PATHS = Table(
    "joint_paths",
    {
        "ticker": "str",
        "horizon": "int64",
        "session": SESSION_DTYPE,
        "path": "int64",
        "value": "float64",
    },
    ("ticker", "horizon", "path"),
)

#: All tables that the store keeps.
STORED = (
    PRICE_REVISIONS,
    ACTION_REVISIONS,
    EVENT_REVISIONS,
    EVENT_READINGS,
    PRICE_SOURCES,
    PRICE_READINGS,
    PRICE_CURRENCIES,
    FINDINGS,
    CHECKS,
    DATASETS,
    LINEUPS,
    MODELS,
    EVALUATIONS,
    PREDICTIONS,
    PROMOTIONS,
    CALIBRATIONS,
    FORECASTS,
    PUBLICATIONS,
    RUNS,
    RUN_TICKERS,
    SCORES,
    DRIFT,
    TRIALS,
)
