"""At scale: the reads that each day makes look where they need to, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pandas as pd
import pytest
import sqlalchemy as sa

from benchmarks.store import SERIES, SOURCE, forecast_rows, plan_of
from benchmarks.store import save as save_prices
from pipeline.storage import Span, Store, embedded_postgres
from pipeline.tables import FORECASTS, SCORES
from tests.storage.conftest import DATABASES
from tests.storage.made_rows import EVENING

SESSIONS = [day.date() for day in pd.bdate_range("2018-01-02", periods=400)]
LAST = SESSIONS[-30]
TICKERS = [f"T{number:03d}" for number in range(40)]
#: Days of forecasts: enough of everything that a database would rather use an index than read all.
DAYS = 60
FEW_SESSIONS = Span(SESSIONS[-40], SESSIONS[-38])
TABLES = "price_revisions|action_revisions|forecasts|publications|scores"
INDEX_SCAN = r"(Index Scan|Index Only Scan|Bitmap Index Scan)[a-zA-Z ]* (using|on) (pk|ix)_"

READS: dict[str, Callable[[Store], object]] = {
    "history": lambda store: store.prices.bars(SOURCE, "T007", LAST, None),
    "history as known then": lambda store: store.prices.bars(SOURCE, "T007", LAST, EVENING),
    "newest session": lambda store: store.prices.last_sessions(SOURCE, ["T007"], LAST, None),
    "corrected": lambda store: store.prices.corrected(
        SOURCE, ["T007"], SESSIONS[-10], SESSIONS[-1]
    ),
    "day's forecasts": lambda store: store.load(FORECASTS, **SERIES, cutoff=SESSIONS[-70]),
    "ticker's forecasts": lambda store: store.load(FORECASTS, **SERIES, ticker="T007"),
    "newest cutoff": lambda store: store.greatest(FORECASTS, "cutoff", **SERIES),
    "what is not scored yet": lambda store: store.publications.unscored(
        SESSIONS[-40], SESSIONS[-38], **SERIES, ticker=["T007"]
    ),
    "newest scores": lambda store: store.load(SCORES, **SERIES, session=FEW_SESSIONS),
}


def scored(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Return SCORES of forecasts, all alike."""
    numbers = {
        name: 1.0
        for name, dtype in SCORES.columns.items()
        if dtype == "float64" and name not in forecasts
    }
    flags = dict.fromkeys(("inside_80", "inside_95", "backfilled"), True)
    return forecasts.assign(published_at=EVENING.replace(tzinfo=None), **flags, **numbers)


@pytest.fixture(scope="module", params=DATABASES)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A store with much of everything, on each kind of database; nobody changes it.

    SQLite plans by the tables alone, so there is little in its store.
    """
    tickers, count = TICKERS[:10], 2
    url = f"sqlite:///{tmp_path_factory.mktemp('filled')}/stockcast.db"
    if request.param == "postgresql":
        tickers, count = TICKERS, DAYS
        home = request.getfixturevalue("postgres_home")
        url = embedded_postgres.url(home, "stockcast_filled")
    store = Store.open(url)
    save_prices(store, tickers, SESSIONS, EVENING)
    days = [forecast_rows(tickers, SESSIONS[-80:], day) for day in range(count)]
    store.publications.publish(pd.concat(days), [], EVENING, "made", **SERIES)
    store.save(SCORES, scored(store.load(FORECASTS)))
    if request.param == "postgresql":
        with store.database.writer() as connection:
            connection.execute(sa.text("ANALYZE price_revisions, forecasts, publications, scores"))
    yield store
    store.close()


@pytest.mark.parametrize("read", READS)
def test_the_reads_of_a_day_use_an_index(filled, read):
    plan = "\n".join(plan_of(filled, lambda: READS[read](filled)))
    if filled.database.engine.dialect.name == "postgresql":
        assert re.search(f"{INDEX_SCAN}({TABLES})", plan), plan
        assert not re.search(r"Seq Scan on (price_revisions|forecasts|scores)", plan), plan
    else:
        assert re.search(rf"SEARCH ({TABLES}) USING (COVERING )?INDEX", plan), plan
        assert not re.search(rf"SCAN ({TABLES})", plan), plan
