"""The Python client: a tidy table of what has been published, from the store or over the API."""

import contextlib
import datetime as dt
import http.server
import threading
from types import SimpleNamespace
from typing import ClassVar

import pandas as pd
import pytest

from pipeline import forecasts
from pipeline.daily import page_tables
from pipeline.errors import NothingStored, RunError, SettingsError, TryAgain
from pipeline.quantiles import PUBLISHED_QUANTILES
from pipeline.storage import Artifacts, Store
from pipeline.tables import FORECASTS
from tests.made_publications import CUTOFFS, HORIZON, HOSTILE, KEY, LAST, fill
from tests.made_stores import store_in
from tests.servers import LOOPBACK, free_port, wait_for

COLUMNS = ["ticker", "cutoff", "session", "horizon", "level", "price", "last_value", "currency"]
COLUMNS += ["champion"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a store in which three tickers have been published."""
    folder = tmp_path_factory.mktemp("client")
    with contextlib.closing(Store.open(store_in(folder))) as store:
        fill(store)
    return folder


@pytest.fixture
def stored(home, monkeypatch):
    """The settings of a shell in which that store is used."""
    monkeypatch.setenv("STOCKCAST_STORE_URL", store_in(home))
    return home


def test_the_newest_session_has_a_row_per_ticker_session_ahead_and_level(stored):
    table = forecasts("made")
    assert list(table.columns) == COLUMNS
    assert table["ticker"].unique().tolist() == sorted(["AAA", "BRK.B", HOSTILE])
    assert set(table["cutoff"]) == {pd.Timestamp(LAST)}
    of_apple = table[(table["ticker"] == "AAA") & (table["horizon"] == 2)]
    assert of_apple["level"].tolist() == [0.01, 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975, 0.99]
    with contextlib.closing(Store.open(store_in(stored))) as store:
        row = store.load(FORECASTS, **KEY, ticker="AAA", cutoff=LAST).iloc[1]
    assert of_apple["price"].tolist() == [row[name] for name in PUBLISHED_QUANTILES]
    assert (of_apple["session"] == row["session"]).all()
    assert (of_apple["last_value"] == row["last_value"]).all()


def test_one_ticker_or_several_and_any_session(stored):
    for session in (CUTOFFS[2], CUTOFFS[2].isoformat(), dt.datetime.combine(CUTOFFS[2], dt.time())):
        table = forecasts("made", "AAA", session)
        assert len(table) == HORIZON * len(PUBLISHED_QUANTILES)
        assert set(table["cutoff"]) == {pd.Timestamp(CUTOFFS[2])}
    two = forecasts(ticker=["BRK.B", "AAA"])
    assert two["ticker"].unique().tolist() == ["AAA", "BRK.B"]


def test_another_home_may_be_asked(stored, tmp_path):
    assert len(forecasts(home=str(stored))) == len(forecasts())
    with pytest.raises(NothingStored, match="There is no folder /nowhere"):
        forecasts(home="/nowhere")


#: Arguments, and what is said of them.
REFUSED = [
    ({"universe": "nobody"}, NothingStored, "Nothing has been published for universe nobody yet"),
    ({"ticker": "NOPE"}, NothingStored, f"NOPE: nothing has been published of it after {LAST}"),
    ({"session": "2001-01-01"}, NothingStored, "made, close, recipe default after 2001-01-01"),
    ({"session": "yesterday"}, SettingsError, "session is 'yesterday'; give \"latest\", or a date"),
    ({"home": "/tmp", "url": "http://x"}, SettingsError, "home and url exclude one another"),
    ({"token": "secret"}, SettingsError, "A token is for the Airflow at a url"),
    ({"url": "localhost:8080"}, SettingsError, "'localhost:8080' is no address"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), REFUSED)
def test_what_cannot_be_answered_is_said_in_a_line(arguments, error, message, stored):
    with pytest.raises(error) as refused:
        forecasts(**arguments)
    assert message in str(refused.value) and "secret" not in str(refused.value)


class Answering(http.server.BaseHTTPRequestHandler):
    """A server that gives one answer, and notes what it was asked."""

    answer = (200, "[]")
    asked: ClassVar[list] = []

    def do_GET(self):
        self.asked.append((self.path, self.headers.get("Authorization")))
        status, body = self.answer
        self.send_response(status)
        self.send_header("Location", "http://elsewhere.example/")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    """The address of an `Answering` server."""
    monkeypatch.setattr(Answering, "asked", [])
    with http.server.ThreadingHTTPServer((LOOPBACK, 0), Answering) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://{LOOPBACK}:{running.server_port}/prefix/"
        running.shutdown()


def as_json(home):
    """Return the rows of the newest session as the API answers."""
    from pipeline.reporting import format_rows

    with contextlib.closing(Store.open(store_in(home))) as store:
        [series] = page_tables.all_series(store)
        return format_rows(page_tables.published(store, series, LAST), "json")


def test_the_api_gives_the_table_of_the_store_to_the_last_bit(stored, server, monkeypatch):
    monkeypatch.setattr(Answering, "answer", (200, as_json(stored)))
    monkeypatch.setenv("AIRFLOW_API_TOKEN", "from the environment")
    table = forecasts("made", session=LAST, url=server)
    pd.testing.assert_frame_equal(table, forecasts("made"), check_exact=True)
    forecasts(url=server, token="given")
    path = "/prefix/forecasts/api/published"
    assert Answering.asked == [
        (f"{path}?universe=made&session={LAST}", "Bearer from the environment"),
        (path, "Bearer given"),
    ]


#: What a server answers, and what is said of it.
ANSWERS = [
    ((401, '{"detail": "Invalid JWT"}'), SettingsError, "refuses the token (Invalid JWT). Give"),
    ((404, '{"detail": "Nothing has been published yet."}'), NothingStored, "Nothing has been pub"),
    ((404, "<h1>not found</h1>"), RunError, "answers with 404 (no reason)"),
    ((302, ""), RunError, "answers with 302 (no reason)"),
    ((200, "<h1>a login</h1>"), RunError, "answers with no rows"),
    ((503, '{"detail": "The database is away."}'), RunError, "503 (The database is away.)"),
]


@pytest.mark.parametrize(("answer", "error", "message"), ANSWERS)
def test_other_answers_are_explained(answer, error, message, server, monkeypatch):
    monkeypatch.setattr(Answering, "answer", answer)
    with pytest.raises(error) as refused:
        forecasts(url=server, token="a-secret")
    assert message in str(refused.value) and "a-secret" not in str(refused.value)


def test_an_address_where_nobody_answers_is_named():
    with pytest.raises(TryAgain, match=r"127\.0\.0\.1:1.* does not answer \("):
        forecasts(url="http://127.0.0.1:1")


@pytest.mark.slow
def test_the_forecasts_pages_answer_the_client(stored, monkeypatch):
    import uvicorn
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import FastAPI, HTTPException, Request

    from pipeline.scheduling.pages import PAGES_PREFIX
    from pipeline.scheduling.pages.requested import parts_of_pages, readable_universes
    from pipeline.scheduling.pages.site import new_site

    def user_of(request: Request):
        if request.headers.get("authorization") != "Bearer right":
            raise HTTPException(401, "Invalid JWT token")
        return SimpleNamespace(name="somebody")

    pages, airflow = new_site(), FastAPI()
    with contextlib.closing(Store.open(store_in(stored))) as store:
        parts = SimpleNamespace(store=store, artifacts=Artifacts(f"{stored}/artifacts"))
        pages.dependency_overrides |= {
            parts_of_pages: lambda: parts,
            readable_universes: lambda: lambda universe: True,
            get_user: user_of,
        }
        airflow.mount(PAGES_PREFIX, pages)
        port = free_port()
        server = uvicorn.Server(uvicorn.Config(airflow, LOOPBACK, port, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            wait_for("the pages", lambda: server.started)
            url = f"http://{LOOPBACK}:{port}"
            ours = forecasts("made", ["AAA", HOSTILE], url=url, token="right")
            theirs = forecasts("made", ["AAA", HOSTILE])
            pd.testing.assert_frame_equal(ours, theirs, check_exact=True)
            with pytest.raises(SettingsError, match="refuses the token"):
                forecasts(url=url, token="wrong")
            with pytest.raises(NothingStored, match="after 2001-01-02"):
                forecasts(url=url, token="right", session="2001-01-02")
        finally:
            server.should_exit = True
            thread.join()
