"""The Forecasts pages and their API, on a made store; `test_browser.py` has the real ones."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import html
import importlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd
import pytest
from markupsafe import escape

from pipeline.scheduling.pages import PAGES_PREFIX
from pipeline.scheduling.run_moments import run_moment
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.storage import Artifacts, Store
from pipeline.tables import FINDINGS
from tests.made_publications import CUTOFFS, HOSTILE, KEY, LAST, SESSIONS, fill

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

STATIC_FILES = Path(__file__).parents[2] / "pipeline" / "scheduling" / "pages" / "static"


class Mlflow:
    """A tracker that knows two runs.

    One is of a stock whose networks were trained up to a month's first session, the other of a
    stock that has none of its own.
    """

    def address_of(self, key: str) -> str | None:
        known = {
            "2013-03-01 default close AAA": "#/experiments/1/runs/r",
            f"{LAST} default close BRK.B": "#/experiments/1/runs/b",
        }
        return known.get(key)


class AirflowDatabase:
    """What the pages ask Airflow's database.

    First for the DAG's runs, then for what `check` returned in one: the tickers by task.
    """

    def __init__(self) -> None:
        moment = run_moment(Calendar("XNYS"), LAST)
        run = SimpleNamespace(run_id="manual__1 +", logical_date=moment, conf={})
        conf = {"session": str(CUTOFFS[0])}
        other = SimpleNamespace(run_id="other", logical_date=None, conf=conf)
        many = [f"T{number}" for number in range(40)]
        shards = json.dumps([["ZZZ"], many, ["BRK.B"], ["YYY", "AAA"]])
        self._answers = [[other, run], [SimpleNamespace(value=shards)]]

    def scalars(self, query: object) -> Any:
        answer = self._answers.pop(0)
        return SimpleNamespace(first=lambda: answer[0]) if len(answer) == 1 else iter(answer)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    home = tmp_path_factory.mktemp("pages")
    store = Store.open(f"sqlite:///{home}/stockcast.db")
    fill(store)
    docs = home / "data_docs" / "made" / str(LAST) / "AAA.html"
    docs.parent.mkdir(parents=True)
    docs.write_text("<h1>expectations</h1>")
    (home / "secret.html").write_text("not for the web")
    calendar = Calendar("XNYS")
    yield SimpleNamespace(
        store=store,
        artifacts=Artifacts(f"{home}/artifacts"),
        settings=Settings().replaced(home=home),
        calendar=lambda universe: calendar,
        tracker=lambda universe: Mlflow(),
    )
    store.close()


@pytest.fixture(scope="module")
def site(parts: SimpleNamespace) -> FastAPI:
    """The application on the made store."""
    from pipeline.scheduling.pages.requested import parts_of_pages
    from pipeline.scheduling.pages.site import new_site

    app = new_site()
    app.dependency_overrides[parts_of_pages] = lambda: parts
    return app


def client_of(app: FastAPI) -> TestClient:
    from fastapi.testclient import TestClient

    address = f"http://airflow{PAGES_PREFIX}"
    return TestClient(app, address, root_path=PAGES_PREFIX, follow_redirects=False)


@pytest.fixture
def pages(site: FastAPI, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Somebody who has logged in, and may see every DAG."""
    from airflow.api_fastapi.common.db.common import _get_session
    from airflow.api_fastapi.core_api.security import get_user

    from pipeline.scheduling.pages.requested import readable_universes

    user = SimpleNamespace(name="somebody")
    allowed = readable_universes, lambda: lambda universe: True
    monkeypatch.setitem(site.dependency_overrides, *allowed)
    monkeypatch.setitem(site.dependency_overrides, get_user, lambda: user)
    monkeypatch.setitem(site.dependency_overrides, _get_session, AirflowDatabase)
    return client_of(site)


def shown(answer: Any) -> str:
    """Return the text of a page that has been found, without markup."""
    assert answer.status_code == 200, answer.text
    return shown_text(answer)


def shown_text(answer: Any) -> str:
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", answer.text)).split())


@pytest.mark.slow
def test_nobody_sees_anything_without_a_login(site):
    from pipeline.scheduling.pages.api_routes import api
    from pipeline.scheduling.pages.html_routes import html as html_pages

    client = client_of(site)
    routes = [
        (prefix, route.path)
        for prefix, router in (("", html_pages), ("/api", api))
        for route in router.routes
    ]
    assert len(routes) == 17
    for prefix, path in routes:
        filled = path.replace("{ticker}", "AAA").replace("{path:path}", f"made/{LAST}/AAA.html")
        answer = client.get(prefix + filled)
        assert answer.status_code == (401 if prefix else 303), path
        assert "AAA" not in answer.text
    answer = client.get("/stocks/AAA", params={"universe": "made"})
    assert answer.headers["location"].endswith(
        "/auth/login?next=%2Fforecasts%2Fstocks%2FAAA%3Funiverse%3Dmade"
    )
    assert answer.headers["location"].startswith("/api/v2/")  # on the host that was asked


@pytest.mark.slow
def test_the_table_has_a_row_per_ticker_and_names_who_sits_out(pages):
    page = pages.get("/")
    text = shown(page)
    assert f"Forecasts after {LAST}" in text
    for sentence in ("3 of 4 tickers have a forecast", "1 quarantined.", "1 drifted."):
        assert sentence in text
    body = page.text.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = re.findall("<tr>(.*?)</tr>", body, re.DOTALL)
    assert len(rows) == 4
    row = next(row for row in rows if ">AAA<" in row)
    assert [word for word in ("▼ down", "-0.10%", "60%", "inputs") if word not in row] == []
    assert next(row for row in rows if ">OUT<" in row).count("quarantined") >= 1


@pytest.mark.slow
def test_a_long_table_comes_in_pages_with_links_for_all_that_the_script_does(pages, monkeypatch):
    from pipeline.scheduling.pages import listing

    def rows_of(text: str, table: str) -> list[str]:
        body = text.partition(f'id="{table}"')[2].partition("<tbody>")[2].partition("</tbody>")[0]
        return re.findall(r'<a href="[^"]*">([^<]*)</a></th>', body)

    def link_in(text: str, label: str) -> str:
        [address] = re.findall(f'<a href="([^"]*)"[^>]*>{label}</a>', text)
        return html.unescape(address).removeprefix(PAGES_PREFIX)

    assert 'id="forecasts" data-sortable' in pages.get("/").text
    monkeypatch.setattr(listing, "WHOLE_ROWS", 2)
    monkeypatch.setattr(listing, "ROWS_A_PAGE", 2)
    first = pages.get("/").text
    assert "data-sortable" not in first and "data-search" not in first
    assert "3 of 4 tickers have a forecast" in shown(pages.get("/"))
    assert "1 to 2 of 4 rows" in shown(pages.get("/"))
    second = pages.get(link_in(first, "Next")).text
    everyone = [*rows_of(first, "forecasts"), *rows_of(second, "forecasts")]
    assert sorted(map(html.unescape, everyone)) == sorted(["AAA", "BRK.B", HOSTILE, "OUT"])
    down = pages.get(link_in(pages.get(link_in(first, "Ticker")).text, "Ticker")).text
    assert 'aria-sort="descending"' in down
    assert rows_of(down, "forecasts") == ["OUT", "BRK.B"]
    found = pages.get("/", params={"q": "IN band", "sort": "-ticker"})
    assert rows_of(found.text, "forecasts") == ["BRK.B", str(escape(HOSTILE))]
    assert "1 to 2 of 2 rows with “IN band”, of 4" in shown(found)
    assert '<input type="hidden" name="sort" value="-ticker">' in found.text
    assert "No row with “nobody”, of 4" in shown(pages.get("/", params={"q": "nobody"}))
    scores = pages.get("/scores", params={"page": 2, "sort": "ticker"}).text
    assert rows_of(scores, "by-ticker") == ["BRK.B"]
    assert link_in(scores, "Previous").endswith("sort=ticker#by-ticker")
    wrong = pages.get("/quality", params={"sort": "size"})
    assert wrong.status_code == 422
    assert "sort=size: the table has no such column. It has " in shown_text(wrong)


@pytest.mark.slow
def test_what_is_stored_reaches_a_page_as_text_and_a_link_as_an_address(pages):
    stock = f"/stocks/{quote(HOSTILE, safe='')}"
    for path in ("/", "/scores", stock, "/quality"):
        page = pages.get(path)
        assert page.status_code == (404 if path == stock else 200)  # it cannot be a ticker
        for markup in (HOSTILE, "<i>99", "<naive>"):
            assert markup not in page.text
        # On the page of quality it has no finding.
        assert str(escape(HOSTILE)) in page.text or path in (stock, "/quality")
    assert quote(HOSTILE, safe="") in pages.get("/").text


@pytest.mark.slow
def test_a_stocks_page_shows_its_fan_its_record_its_promotions_and_its_links(pages):
    page = pages.get("/stocks/AAA")
    text = shown(page)
    assert "beats <naive>" in text
    assert "lstm 60% + ewma 40%" in text
    assert "Inside 80%" in text
    assert "Do its intervals hold what they promise?" in text and "Christoffersen p" in text
    assert "/dags/daily_forecast_made/runs/manual__1%20%2B/tasks/evaluate/mapped/3" in page.text
    script = '<script type="application/json" id="chart-data">(.*?)</script>'
    data = json.loads(re.search(script, page.text, re.DOTALL)[1])
    assert (data.pop("currency"), data.pop("decimals")) == ("", 3)
    counts = {name: len(columns) for name, columns in data.items()}
    assert counts == {"history": 2, "fan": 10, "earlier": 7}
    assert (len(data["fan"][0]), len(data["earlier"][0])) == (5, len(CUTOFFS) - 1)
    last = dt.datetime.combine(LAST, dt.time(), dt.UTC).timestamp()
    assert data["history"][0][-1] == data["earlier"][0][-1] == last
    assert None not in data["earlier"][-1]


@pytest.mark.slow
def test_a_stocks_page_leads_on_to_the_run_that_mlflow_has(pages):
    onward = pages.get("/stocks/AAA/mlflow")
    assert (onward.status_code, onward.headers["location"]) == (
        303,
        "http://127.0.0.1:5000/#/experiments/1/runs/r",
    )
    assert pages.get("/stocks/BRK.B/mlflow").headers["location"].endswith("/runs/b")


@pytest.mark.slow
def test_a_stock_that_sits_out_has_a_page_with_the_reason(pages):
    text = shown(pages.get("/stocks/OUT"))
    assert "Quarantined, no forecast: jump: <i>99%</i> overnight" in text


@pytest.mark.slow
def test_a_stocks_page_says_what_was_withdrawn_and_when_it_was_published(parts, pages):
    assert "Every publication" not in pages.get("/stocks/AAA").text
    cutoff = CUTOFFS[2]
    parts.store.publications.clock = lambda: dt.datetime(2013, 3, 1, 12, 30, tzinfo=dt.UTC)
    parts.store.publications.withdraw(
        {"BRK.B": "jump: <i>12%</i>"}, [], "scheduled__1", **KEY, cutoff=cutoff
    )
    text = shown(pages.get("/stocks/BRK.B", params={"session": str(cutoff)}))
    assert "Its forecast was withdrawn on 2013-03-01 12:30 UTC: jump: <i>12%</i>" in text
    assert "Every publication of these forecasts (2)" in text
    assert "withdrawn: jump: <i>12%</i>" in text and "5 new or changed" in text
    assert "scheduled__1" in text and f"{cutoff} 22:00 UTC" in text


@pytest.mark.slow
def test_a_stocks_page_says_what_is_known_to_come_and_finds_no_fault_in_it(parts, pages):
    about = {"rule": "event_ahead", "severity": "record", "column": "(ticker)", "ticker": "AAA"}
    coming = {"session": LAST, "message": "AAA: reports on <i>2013-03-04</i>."}
    rows = pd.DataFrame([{**KEY, "cutoff": LAST, **about, **coming}])
    parts.store.save(FINDINGS, FINDINGS.conform(rows))
    text = shown(pages.get("/stocks/AAA"))
    assert "Known to come: reports on <i>2013-03-04</i>." in text
    assert "event_ahead" not in text and "No rule has found anything." in text


@pytest.mark.slow
def test_a_ticker_or_series_that_is_not_there_is_answered_with_what_to_do(pages):
    missing = pages.get("/stocks/NOPE")
    assert missing.status_code == 404
    assert "NOPE: nothing has been published for it" in missing.text
    nobody = pages.get("/api/forecasts", params={"universe": "nobody"})
    assert nobody.status_code == 404
    assert nobody.json()["detail"].startswith("Nothing has been published for universe nobody yet.")
    assert "run `stockcast run`" in nobody.json()["detail"]
    assert pages.get("/", params={"session": "yesterday"}).status_code == 422


#: Rows of the API's answers, by path.
ROWS = {
    "series": 1,
    "forecasts": 4,
    "published": 15,
    "stocks/AAA/forecasts": 5,
    "stocks/AAA/publications": 5,
    "stocks/AAA/history": SESSIONS.index(LAST) + 1,
    "stocks/AAA/earlier": len(CUTOFFS),
    "stocks/AAA/promotions": len(CUTOFFS),
    "scores?by=recipe": 1,
    "scores?by=ticker": 3,
    "scores?by=horizon": 5,
    "scores?by=month": 1 + (CUTOFFS[1].month != LAST.month),
    "quality": 4,
}


@pytest.mark.slow
def test_programs_get_the_same_rows_as_json_and_as_csv(pages):
    for path, count in ROWS.items():
        as_json = pages.get(f"/api/{path}")
        as_csv = pages.get(f"/api/{path}{'&' if '?' in path else '?'}format=csv")
        assert as_json.headers["content-type"] == "application/json"
        assert as_csv.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(as_csv.text)))
        assert len(as_json.json()) == len(rows) == count, path
        assert [list(row) for row in as_json.json()] == [list(row) for row in rows], path


@pytest.mark.slow
@pytest.mark.parametrize("path", ["forecasts", "published", "scores", "quality"])
def test_programs_may_ask_for_some_rows_and_learn_how_many_there_are(pages, path):
    every = pages.get(f"/api/{path}")
    some = pages.get(f"/api/{path}", params={"limit": 2, "offset": 1})
    assert some.json() == every.json()[1:3]
    assert every.headers["x-total-count"] == some.headers["x-total-count"] == str(len(every.json()))
    assert pages.get(f"/api/{path}", params={"offset": 1}).json() == every.json()[1:]
    assert pages.get(f"/api/{path}", params={"offset": 999}).json() == []
    for wrong in ({"limit": 0}, {"offset": -1}, {"limit": "1e9"}, {"offset": 10**30}):
        assert pages.get(f"/api/{path}", params=wrong).status_code == 422


@pytest.mark.slow
def test_below_a_prefix_of_airflows_address_every_link_leads_below_it(pages, site, monkeypatch):
    """Airflow's own application has the prefix as its root path, and mounts the pages below it."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from pipeline.scheduling import plugin

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://data.example.com/air/flow")
    [view] = importlib.reload(plugin).StockcastPlugin.external_views
    airflow = FastAPI(root_path="/air/flow")
    airflow.mount(PAGES_PREFIX, site)
    # People come through a tunnel: what leads to another host than theirs is of no use to them.
    http = TestClient(airflow, "http://127.0.0.1:9000", follow_redirects=False)
    root = view["href"]
    assert root == "/air/flow/forecasts/"
    shown_pages = [http.get(f"{root}{name}") for name in ("", "scores", "quality", "stocks/AAA")]
    assert [each.status_code for each in shown_pages] == [200] * 4
    attributes = re.compile(r'(?:href|src|action)="(/[^"#?]*|https?:[^"]*)')
    links = {link for each in shown_pages for link in attributes.findall(each.text)}
    assert {link for link in links if not link.startswith(root)} == {
        "/air/flow/dags/daily_forecast_made/runs/manual__1%20%2B/tasks/evaluate/mapped/3"
    }
    files = {link for link in links if link.startswith(f"{root}static/")}
    assert len(files) == 5
    answers = {link: http.get(link).status_code for link in files | {f"{root}api/forecasts"}}
    assert set(answers.values()) == {200}
    described = http.get(f"{root}api/openapi.json").json()
    assert described["servers"] == [{"url": "/air/flow/forecasts"}]


@pytest.mark.slow
def test_the_api_is_described(pages):
    description = pages.get("/api/openapi.json").json()
    paths = description["paths"]
    assert {path for path in paths if "{ticker}" in path} == {
        f"/api/stocks/{{ticker}}/{kind}"
        for kind in ("forecasts", "publications", "history", "earlier", "promotions")
    }
    assert all(operation["get"]["summary"] for operation in paths.values())
    asked = [parameter["name"] for parameter in paths["/api/forecasts"]["get"]["parameters"]]
    assert sorted(asked) == [
        *("format", "limit", "offset", "recipe", "session", "target", "universe")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("ticker", ["%00", "AAA%00", "aaa", "..%5C", "A" * 40, "%F0%9F%98%80"])
def test_what_cannot_be_a_ticker_is_not_found(pages, ticker):
    for path in (f"/stocks/{ticker}", f"/stocks/{ticker}/mlflow", f"/api/stocks/{ticker}/history"):
        answer = pages.get(path)
        assert answer.status_code == 404 and "is no ticker" in answer.text


@pytest.mark.slow
def test_a_reader_sees_the_universes_whose_dags_they_may_see(pages, site, monkeypatch):
    from pipeline.scheduling.pages import requested

    class Manager:
        def __init__(self, *readable: str) -> None:
            self.readable = readable

        def is_authorized_dag(self, *, method: str, user: Any, details: Any) -> bool:
            assert (method, user.name) == ("GET", "somebody")
            return details.id in self.readable

    monkeypatch.delitem(site.dependency_overrides, requested.readable_universes)
    monkeypatch.setattr(requested, "get_auth_manager", lambda: Manager("daily_forecast_other"))
    docs = f"/data-docs/made/{LAST}/AAA.html"
    for path in ("/", "/scores", "/quality", "/stocks/AAA", "/stocks/AAA/mlflow", docs):
        answer = pages.get(path)
        assert answer.status_code == 404 and "AAA<" not in answer.text, path
    for path in ROWS:
        answer = pages.get(f"/api/{path}")
        assert answer.json() == [] if path == "series" else answer.status_code == 404, path
    monkeypatch.setattr(requested, "get_auth_manager", lambda: Manager("daily_forecast_made"))
    assert pages.get("/stocks/AAA").status_code == pages.get(docs).status_code == 200


@pytest.mark.slow
def test_answers_tell_the_browser_what_it_may_do_with_them(pages):
    for path in ("/", "/stocks/AAA", "/stocks/NOPE", "/api/series", "/static/pages.js", "/none"):
        headers = pages.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["cache-control"] == "no-store", path
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'self'" in policy, path


@pytest.mark.slow
def test_data_docs_are_served_and_nothing_next_to_them(pages):
    assert f"data-docs/made/{LAST}/AAA.html" in pages.get("/quality").text
    assert "Great Expectations judges the sessions that train" not in pages.get("/quality").text
    served = pages.get(f"/data-docs/made/{LAST}/AAA.html")
    assert (served.text, served.headers["content-security-policy"]) == (
        "<h1>expectations</h1>",
        "sandbox allow-scripts; script-src 'none'; frame-ancestors 'self'",
    )
    for path in (
        "../secret.html",
        "..%2fsecret.html",
        "made/../../secret.html",
        "%2e%2e/secret.html",
        "made",
        "made/%00",
    ):
        answer = pages.get(f"/data-docs/{path}")
        assert answer.status_code == 404
        assert "not for the web" not in answer.text


@pytest.mark.slow
def test_pages_need_nothing_from_elsewhere(pages):
    for path in ("/", "/stocks/AAA", "/scores", "/quality"):
        text = pages.get(path).text
        for address in re.findall(r'(?:src|href)="([^"]*)"', text):
            assert not address.startswith(("http:", "https:", "//")) or "/dags/" in address
        for file in re.findall(r'"/forecasts(/static/[^"]*)"', text):
            assert pages.get(file).status_code == 200


def test_the_chart_library_is_the_release_that_its_readme_names():
    text = (STATIC_FILES / "README.md").read_text()
    named = dict(re.findall(r"\| `(uPlot[^`]*)` \| `(\w{64})` \|", text))
    assert named == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in STATIC_FILES.glob("uPlot*")
    }
