"""Views of the results store that others may build on: columns, types and keys by view.

They are made by migrations, in SQL. What a view promises is documented in docs/reference/views.md.
A `session` is here, as on the command line, the one after whose close a forecast was made; the
tables of `tables` call it `cutoff`. Rehearsals are in none of them.
"""

from __future__ import annotations

from typing import Final

from pipeline.tables import MOMENT_DTYPE, SERIES, SESSION_DTYPE, Table

#: The beginning of each view but LEADERBOARD.
_OF_TICKER: Final = {**dict.fromkeys((*SERIES, "ticker"), "str"), "session": SESSION_DTYPE}
_OF_FORECAST: Final = {**_OF_TICKER, "horizon": "int64", "forecast_session": SESSION_DTYPE}
_VALUES: Final = dict.fromkeys(
    [
        *("last_value", "median"),
        *(f"{side}_{level}" for level in (50, 80, 95, 98) for side in ("lower", "upper")),
    ],
    "float64",
)

#: The forecasts as they stand, of all sessions. Prices as traded at the session.
PUBLISHED_FORECASTS = Table(
    "published_forecasts",
    {
        **_OF_FORECAST,
        **_VALUES,
        "champion": "str",
        "model_id": "str",
        "published_at": MOMENT_DTYPE,
    },
    (*_OF_TICKER, "horizon"),
)

#: Those of the newest session of each universe, recipe and target.
LATEST_FORECASTS = Table("latest_forecasts", PUBLISHED_FORECASTS.columns, PUBLISHED_FORECASTS.key)

#: The forecasts whose session has closed, as they were published, with their errors.
SCORED_FORECASTS = Table(
    "scored_forecasts",
    {
        **_OF_FORECAST,
        **_VALUES,
        "champion": "str",
        "model_id": "str",
        "published_at": MOMENT_DTYPE,
        "backfilled": "bool",
        **dict.fromkeys(("actual", "error", "naive_error"), "float64"),
        **dict.fromkeys(("pinball", "ewma_pinball", "har_pinball"), "float64"),
        **dict.fromkeys(("inside_80", "inside_95"), "bool"),
    },
    (*_OF_TICKER, "horizon"),
)

#: All scored forecasts added up by recipe, those published in time and backfilled ones apart.
LEADERBOARD = Table(
    "leaderboard",
    {
        **dict.fromkeys(("universe", "target", "recipe"), "str"),
        "backfilled": "bool",
        "forecasts": "int64",
        **dict.fromkeys(("first_session", "last_session"), SESSION_DTYPE),
        **dict.fromkeys(("skill", "pinball_skill", "pinball_skill_over_har"), "float64"),
        **dict.fromkeys(("inside_80", "inside_95"), "float64"),
    },
    ("universe", "target", "recipe", "backfilled"),
)

#: The tickers that sit a session out, and why.
QUARANTINES = Table(
    "quarantines",
    {**_OF_TICKER, "reasons": "str", "known_at": MOMENT_DTYPE},
    tuple(_OF_TICKER),
)

VIEWS = (
    PUBLISHED_FORECASTS,
    LATEST_FORECASTS,
    SCORED_FORECASTS,
    LEADERBOARD,
    QUARANTINES,
)

#: The version of what each view promises, by its name; the view `view_versions` has the same.
VERSIONS_OF_VIEWS = {view.name: 1 for view in VIEWS}
