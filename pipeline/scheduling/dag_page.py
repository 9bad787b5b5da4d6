"""The page that Airflow shows for a daily DAG: its steps, its results, how to ask for something."""

from __future__ import annotations

from pipeline.addresses import without_login
from pipeline.parts import mlflow_url
from pipeline.scheduling.dag_options import artifacts_below
from pipeline.scheduling.environment import COMPUTING_TASKS, airflow_path
from pipeline.scheduling.pages import PAGES_PREFIX
from pipeline.settings import Settings
from pipeline.universes import Universe

DAILY_PAGE = """\
# Daily forecast: {name}

What do we expect next, given prices up to this session's close, and was yesterday's answer any \
good?

[![{picture_text}]({picture})]({picture})

- **prices**: ingest → check
- **networks**: pretrain → build_windows → train → evaluate
- **forecasts**: promote → publish, and scenarios where paths are asked for
- **review**: score → watch → report, drift_warning where there is one, and export where a folder \
is named

| | |
|---|---|
| **Tickers** | {tickers} |
| **Prices** | {source}, calendar {calendar} |
| **Forecast** | {target}, {horizon} sessions ahead, as a distribution: median, 50%, 80% and 95% \
intervals |
| **Recipe** | {recipe}, retrained {retrain} |
| **Runs** | {runs} |

## The steps

| step | what it does | stops when |
|---|---|---|
| `plan` | decides the session and its training cutoffs | the session is a holiday or not over, a \
ticker or recipe does not exist |
| `ingest` | fetches new prices, splits and dividends | the source is down (tried again for an \
hour) or does not know the ticker |
| `check` | runs the quality rules; a bad ticker is quarantined with its reasons, the others go on \
| more than {max_quarantined:.0%} are quarantined |
| `pretrain` | fits the regression of all tickers (`har`) and, where the recipe has one, the \
network that all train together, from which their own go on | |
| `build_windows` | cuts the datasets, with nothing after the cutoff | |
| `train` | fits the networks that do not exist yet | |
| `evaluate` | measures networks and baselines on the same sessions | |
| `promote` | chooses each ticker's champion among this and the previous cutoff's network, \
`har`, the EWMA random walk and the naive forecast, by pinball loss on the same validation \
sessions; its log has sessions, figures and reasons | |
| `publish` | blends the champion with the baseline, calibrates, writes the forecasts in \
one transaction | a forecast breaks its own quality rules |
| `announce` | tells DAGs that wait for the asset `forecasts_{name}`: its event has the session \
and how many tickers were published, quarantined and left out; skipped in a rehearsal | |
| `scenarios` | draws joint paths of all tickers; there where STOCKCAST_PATHS asks for some | |
| `score` | compares earlier forecasts with the closes since then | |
| `export` | writes results as Parquet; there where STOCKCAST_EXPORT_TO names a folder | |
| `watch` | judges coverage, pinball skill and inputs over the last sessions by their bands | |
| `drift_warning` | one task per ticker and figure that has left its band: its log says what to \
do; skipped when there is none | |
| `report` | writes the day's page | |

`ingest`, `build_windows`, `train` and `evaluate` are mapped: one task per shard of tickers, named \
after them. A shard that fails does not stop the others. `pretrain` and `train` are the expensive \
ones: at most {computing} tasks of each run at the same time on one machine, and a network that \
exists already is not trained again. The tickers train together {pool} (STOCKCAST_POOL), each \
ticker's own network goes on from there {retrain} (`retrain` of the universe).
Every step can be repeated: the same session gives the same rows.

## Where the results are

- **Forecasts** in the navigation: tables, a chart per ticker, the record so far, the quality of \
the prices
- **The verdict**: the note on each run and on its task `report`
- **The day's page**: the return value (XCom) of `report`; all pages are under `{reports}`
- **Forecasts and scores**: `stockcast forecasts` and `stockcast scores`, or the tables \
`forecasts` and `scores` of the store
- **Training runs**: MLflow at <{mlflow}>, experiment `{name}`
- **When a task is red**: the last line of its log names the ticker and the reason

## Asking for something

- **One session**: *Trigger*, and fill in *Session*. Other tickers, another recipe, target or \
horizon count for that run only. With other tickers or another horizon it is a rehearsal: \
nothing of what is published changes, and its results are kept apart, unless *Publish* is on.
- **A range of sessions**: *Trigger*, *Backfill*. Its dates are session dates, both included; \
holidays make no runs. On the command line:
  `stockcast backfill --airflow --universe {name} --from {example_from} --to {example_to}`
- **After each forecast**: schedule your DAG on the asset `forecasts_{name}`.
"""
PICTURE_TEXT = (
    "The day: prices are fetched and checked, networks trained and measured, forecasts published, "
    "earlier ones reviewed"
)


def daily_page(universe: Universe, settings: Settings) -> str:
    """Return the page of a universe's daily DAG, as Markdown."""
    year = 2013 if universe.source == "sample" else 2024
    place = without_login(universe.data)
    names = {"csv": place, "sample": "bundled sample", "yahoo": "Yahoo"}
    own_name = f"{universe.source}: {place}" if place else universe.source
    scheduled = "after every session's close"
    return DAILY_PAGE.format(
        name=universe.name,
        picture=airflow_path(f"{PAGES_PREFIX}/static/day.svg"),
        picture_text=PICTURE_TEXT,
        tickers=("by date, of: " if universe.members else "") + ", ".join(universe.tickers),
        source=names.get(universe.source, own_name),
        calendar=universe.calendar,
        target=universe.target,
        horizon=universe.horizon,
        recipe=universe.recipe,
        retrain=universe.retrain,
        pool=settings.pool,
        computing=COMPUTING_TASKS,
        runs=scheduled if universe.scheduled else "only when asked: nothing is scheduled",
        max_quarantined=settings.max_quarantined,
        reports=artifacts_below(settings, "reports"),
        mlflow=mlflow_url(settings),
        example_from=f"{year}-02-01",
        example_to=f"{year}-02-28",
    )
