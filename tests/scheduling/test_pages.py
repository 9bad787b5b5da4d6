"""The Forecasts pages and their API, on a made store; behind Airflow's own servers they are looked at in `test_services.py`."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import hashlib
import html
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from markupsafe import escape

from pipeline import board
from pipeline.run import Run
from pipeline.scheduling.pages import PREFIX
from pipeline.scheduling.timetable import run_moment
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.store import Store
from pipeline.tables import ACTIONS, CALIBRATIONS, CHECKS, DRIFT, FINDINGS, FORECASTS, PRICES, PROMOTIONS, RUNS, SCORES
from pipeline.universes import Universe

#: One as in any exchange, one with a dot and one that would be markup, a path and SQL if anything took it for that.
HOSTILE = "<b>'--..&amp;"
TICKERS = ["AAA", "BRK.B", HOSTILE, "OUT"]
KEY = {"universe": "made", "recipe": "default", "target": "close"}
SESSIONS = Calendar("XNYS").sessions(dt.date(2013, 1, 2), dt.date(2013, 3, 15))
CUTOFFS = SESSIONS[-15:-5]
LAST = CUTOFFS[-1]
UNIVERSE = Universe("made", "sample", ("AAA", "BRK.B", "OUT"))


def frame(table, rows):
    return table.conform(pd.DataFrame(rows))


def fill(store: Store) -> None:
    rng = np.random.default_rng(0)
    closes = {ticker: 50 * np.exp(np.cumsum(rng.normal(0, 0.01, len(SESSIONS)))) for ticker in TICKERS}
    prices = [
        {"ticker": ticker, "session": day, "volume": 1e6, **dict.fromkeys(("open", "high", "low", "close"), closes[ticker][at])}
        for ticker in TICKERS
        for at, day in enumerate(SESSIONS)
    ]
    known_at = dt.datetime(2013, 3, 20, tzinfo=dt.UTC)
    store.save_prices("sample", frame(PRICES, prices), ACTIONS.empty(), SESSIONS[0], SESSIONS[-1], known_at)
    tables = (CHECKS, FORECASTS, PROMOTIONS, CALIBRATIONS, SCORES, DRIFT, RUNS, FINDINGS)
    made = {table.name: [] for table in tables}
    for cutoff in CUTOFFS:
        at = SESSIONS.index(cutoff)
        for ticker in TICKERS:
            key = {**KEY, "ticker": ticker, "cutoff": cutoff}
            out = ticker == "OUT"
            verdict = (
                {"verdict": "quarantined", "reasons": "jump: <i>99 %</i> overnight"}
                if out
                else {"verdict": "passed", "reasons": ""}
            )
            made[CHECKS.name].append({**key, **verdict, "evidence": ""})
            if out:
                made[FINDINGS.name].append(
                    {
                        **key,
                        "rule": "jump",
                        "severity": "quarantine",
                        "session": cutoff,
                        "column": "close",
                        "message": "99 % overnight",
                    }
                )
                continue
            last = closes[ticker][at]
            for horizon in range(1, 6):
                said = last * (1 + 0.001 * horizon * (-1 if ticker == "AAA" else 1))
                width = last * 0.01 * horizon**0.5
                bounds = {
                    f"{side}_{level}": said + sign * width * level / 50
                    for level in (50, 80, 95)
                    for side, sign in (("lower", -1), ("upper", 1))
                }
                row = {
                    **key,
                    "horizon": horizon,
                    "session": SESSIONS[at + horizon],
                    "y_hat": said,
                    "champion": "lstm",
                    "model_id": "m",
                }
                made[FORECASTS.name].append({**row, "last_value": last, **bounds})
                if SESSIONS[at + horizon] <= LAST:
                    came = closes[ticker][at + horizon]
                    made[SCORES.name].append(
                        {
                            **row,
                            "actual": came,
                            "error": came - said,
                            "naive_error": came - last,
                            "pinball": 0.010,
                            "ewma_pinball": 0.011,
                            **{
                                f"inside_{level}": bounds[f"lower_{level}"] <= came <= bounds[f"upper_{level}"]
                                for level in (80, 95)
                            },
                        }
                    )
                shares = {f"{kind}_{level}": level / 100 for kind in ("raw_coverage", "coverage") for level in (50, 80, 95)}
                made[CALIBRATIONS.name].append(
                    {**key, "horizon": horizon, "sessions": 500, **shares, **{f"growth_{level}": 0.0 for level in (50, 80, 95)}}
                )
            made[PROMOTIONS.name].append(
                {
                    **key,
                    "champion": "lstm",
                    "model_id": "m",
                    "weight": 0.6,
                    "baseline": "ewma",
                    "training_cutoff": CUTOFFS[0],
                    "test_sessions": 250,
                    "test_rmse": 0.99,
                    "naive_test_rmse": 1.0,
                    "skill": 0.01,
                    "test_pinball": 0.0101,
                    "ewma_test_pinball": 0.01,
                    "pinball_skill": -0.01,
                    "reasons": "beats <naive>; a tie with ewma",
                }
            )
            drifted = "psi: .31 is above .25" if ticker == "AAA" else ""
            made[DRIFT.name].append(
                {
                    **key,
                    "sessions": 60,
                    "coverage_80": 0.8,
                    "coverage_95": 0.95,
                    "pinball_skill": 0.0,
                    "psi": 0.31,
                    "warnings": drifted,
                }
            )
            request = Run(UNIVERSE, cutoff, cutoff, cutoff, cutoff, cutoff, (), known_at).to_json()["universe"]
            libraries = {"settings": "{}", "code_version": "1", "libraries": "{}", "request": json.dumps(request)}
            made[RUNS.name].append({**key, "source_id": "sample", "known_at": known_at.replace(tzinfo=None), **libraries})
    for table in tables:
        store.save(table, frame(table, made[table.name]))


class Mlflow:
    """Knows two runs: of a stock whose networks were trained up to a month's first session, and of one that has none of its own."""

    def where(self, key: str) -> str | None:
        known = {"2013-03-01 default close AAA": "#/experiments/1/runs/r", f"{LAST} default close BRK.B": "#/experiments/1/runs/b"}
        return known.get(key)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    home = tmp_path_factory.mktemp("pages")
    store = Store.open(f"sqlite:///{home}/stockcast.db")
    fill(store)
    docs = home / "data_docs" / "made" / str(LAST) / "AAA.html"
    docs.parent.mkdir(parents=True)
    docs.write_text("<h1>expectations</h1>")
    (home / "secret.html").write_text("not for the web")
    settings = dataclasses.replace(Settings(), home=home)
    calendar = Calendar("XNYS")
    yield SimpleNamespace(store=store, settings=settings, calendar=lambda universe: calendar, tracker=lambda universe: Mlflow())
    store.close()


def client_of(app) -> TestClient:
    return TestClient(app, f"http://airflow{PREFIX}", root_path=PREFIX, follow_redirects=False)


class Airflow:
    """What the pages ask Airflow's database: first for the DAG's runs, then for what `check` returned in one: the tickers by task."""

    def __init__(self) -> None:
        run = SimpleNamespace(run_id="manual__1 +", logical_date=run_moment(Calendar("XNYS"), LAST), conf={})
        other = SimpleNamespace(run_id="other", logical_date=None, conf={"session": str(CUTOFFS[0])})
        returned = SimpleNamespace(value=json.dumps([["ZZZ"], [f"T{number}" for number in range(40)], ["BRK.B"], ["YYY", "AAA"]]))
        self._answers = [[other, run], [returned]]

    def scalars(self, query):
        answer = self._answers.pop(0)
        return SimpleNamespace(first=lambda: answer[0]) if len(answer) == 1 else iter(answer)


@pytest.fixture
def pages(parts, monkeypatch):
    from airflow.api_fastapi.common.db.common import _get_session
    from airflow.api_fastapi.core_api.security import get_user

    from pipeline.scheduling.pages import site

    monkeypatch.setattr(site, "_parts", lambda: parts)
    site._summed.cache_clear()
    made = site.pages.__wrapped__()
    made.dependency_overrides = {get_user: lambda: SimpleNamespace(name="somebody"), _get_session: Airflow}
    return client_of(made)


def shown(answer) -> str:
    """A page's text, without markup."""
    assert answer.status_code == 200, answer.text
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", answer.text)).split())


def test_nobody_sees_anything_without_a_login(parts, monkeypatch):
    from pipeline.scheduling.pages import site

    monkeypatch.setattr(site, "_parts", lambda: parts)
    client = client_of(site.pages.__wrapped__())
    asked = [(prefix, route.path) for prefix, router in (("", site.html), ("/api", site.api)) for route in router.routes]
    assert len(asked) == 15
    for prefix, path in asked:
        answer = client.get(prefix + path.replace("{ticker}", "AAA").replace("{path:path}", f"made/{LAST}/AAA.html"))
        assert answer.status_code == (401 if prefix else 303), path
        assert "AAA" not in answer.text
    answer = client.get("/stocks/AAA", params={"universe": "made"})
    assert answer.headers["location"].endswith("/auth/login?next=%2Fforecasts%2Fstocks%2FAAA%3Funiverse%3Dmade")


def test_the_table_has_a_row_per_ticker_and_says_who_sits_out(pages):
    page = pages.get("/")
    text = shown(page)
    assert f"Forecasts after {LAST}" in text
    assert "3 of 4 tickers have a forecast" in text and "1 quarantined." in text and "1 drifted." in text
    rows = re.findall("<tr>(.*?)</tr>", page.text.partition("<tbody>")[2].partition("</tbody>")[0], re.DOTALL)
    assert len(rows) == 4
    row = next(row for row in rows if ">AAA<" in row)
    assert "▼ down" in row and "-0.10%" in row and "60%" in row and "inputs" in row
    assert next(row for row in rows if ">OUT<" in row).count("quarantined") >= 1


def test_what_is_stored_reaches_a_page_as_text_and_a_link_as_an_address(pages):
    for page in (pages.get("/"), pages.get("/scores"), pages.get(f"/stocks/{quote(HOSTILE, safe='')}"), pages.get("/quality")):
        assert page.status_code == 200
        assert HOSTILE not in page.text and "<i>99" not in page.text and "<naive>" not in page.text
        assert str(escape(HOSTILE)) in page.text or page.url.path.endswith("quality")  # where it has no finding
    assert quote(HOSTILE, safe="") in pages.get("/").text


def test_a_stocks_page_shows_its_fan_its_record_its_promotions_and_the_ways_on(pages):
    page = pages.get("/stocks/AAA")
    text = shown(page)
    assert "beats <naive>" in text and "lstm 60% + ewma 40%" in text
    assert "/dags/daily_forecast_made/runs/manual__1%20%2B/tasks/evaluate/mapped/3" in page.text
    data = json.loads(re.search('<script type="application/json" id="chart-data">(.*?)</script>', page.text, re.DOTALL)[1])
    assert {name: len(columns) for name, columns in data.items()} == {"history": 2, "fan": 8, "earlier": 7}
    assert len(data["fan"][0]) == 5 and len(data["earlier"][0]) == len(CUTOFFS) - 1
    assert data["history"][0][-1] == dt.datetime.combine(LAST, dt.time(), dt.UTC).timestamp()
    assert data["earlier"][0][-1] == data["history"][0][-1] and None not in data["earlier"][-1]
    onward = pages.get("/stocks/AAA/mlflow")
    assert (onward.status_code, onward.headers["location"]) == (303, "http://127.0.0.1:5000/#/experiments/1/runs/r")
    assert pages.get("/stocks/BRK.B/mlflow").headers["location"].endswith("/runs/b")
    assert "MLflow has no run of it" in pages.get(f"/stocks/{quote(HOSTILE, safe='')}/mlflow").text


def test_a_stock_that_sits_out_has_a_page_that_says_why(pages):
    assert "Quarantined, no forecast: jump: <i>99 %</i> overnight" in shown(pages.get("/stocks/OUT"))


def test_a_ticker_or_series_that_is_not_there_is_answered_with_what_to_do(pages):
    missing = pages.get("/stocks/NOPE")
    assert missing.status_code == 404 and "NOPE: nothing has been published for it" in missing.text
    told = pages.get("/api/forecasts", params={"universe": "nobody"})
    assert (told.status_code, told.json()) == (
        404,
        {"detail": "Nothing has been published for universe nobody yet. Trigger the universe's DAG, or run `stockcast run`."},
    )
    assert pages.get("/", params={"session": "yesterday"}).status_code == 422


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("series", 1),
        ("forecasts", 4),
        ("stocks/AAA/forecasts", 5),
        ("stocks/AAA/history", SESSIONS.index(LAST) + 1),
        ("stocks/AAA/earlier", len(CUTOFFS)),
        ("stocks/AAA/promotions", len(CUTOFFS)),
        ("scores?by=recipe", 1),
        ("scores?by=ticker", 3),
        ("scores?by=horizon", 5),
        ("scores?by=month", 1 + (CUTOFFS[1].month != LAST.month)),
        ("quality", 4),
    ],
)
def test_programs_get_the_same_rows_as_json_and_as_csv(pages, path, count):
    as_json = pages.get(f"/api/{path}")
    as_csv = pages.get(f"/api/{path}{'&' if '?' in path else '?'}format=csv")
    assert as_json.headers["content-type"] == "application/json"
    assert as_csv.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(as_csv.text)))
    assert len(as_json.json()) == len(rows) == count
    assert [list(row) for row in as_json.json()] == [list(row) for row in rows]


def test_the_api_is_described(pages):
    told = pages.get("/api/openapi.json").json()
    assert {path for path in told["paths"] if "{ticker}" in path} == {
        f"/api/stocks/{{ticker}}/{kind}" for kind in ("forecasts", "history", "earlier", "promotions")
    }
    assert all(operation["get"]["summary"] for operation in told["paths"].values())


def test_what_is_shown_unasked_is_the_newest_and_of_its_recipes_the_default_one():
    day, before = dt.date(2013, 3, 1), dt.date(2013, 2, 28)
    stored = [("b", "castilla", day), ("b", "default", day), ("b", "default.faithful", day), ("a", "default", before)]
    rows = pd.DataFrame([{"universe": u, "recipe": r, "target": "close", "newest": newest} for u, r, newest in stored])
    shown = board.all_series(SimpleNamespace(series=lambda: rows))
    assert [(series.universe, series.recipe) for series in shown] == [
        ("b", "default"),
        ("b", "castilla"),
        ("b", "default.faithful"),
        ("a", "default"),
    ]


def test_the_scoreboard_is_what_the_scores_come_to(parts):
    [series] = board.all_series(parts.store)
    scores = parts.store.load(SCORES, **KEY)
    for by in ("ticker", "horizon"):
        table = board.scoreboard(parts.store, series, by).set_index(by)
        for name, own in scores.groupby(by):
            relative, naive = own["error"] / own["y_hat"], own["naive_error"] / own["y_hat"]
            assert table.loc[name, "forecasts"] == len(own)
            assert table.loc[name, "skill"] == pytest.approx(1 - ((relative**2).mean() / (naive**2).mean()) ** 0.5)
            assert table.loc[name, "pinball_skill"] == pytest.approx(1 - 0.010 / 0.011)
            assert table.loc[name, "inside_80"] == own["inside_80"].mean()
    months = board.scoreboard(parts.store, series, "month")
    assert months["month"].tolist() == sorted({f"{day:%Y-%m}" for day in scores["session"]})
    assert months["forecasts"].sum() == len(scores)


def test_earlier_forecasts_stand_beside_what_came_and_end_at_the_session(parts):
    [series] = board.all_series(parts.store)
    table = board.earlier(parts.store, series, "AAA", CUTOFFS[4], horizon=2)
    assert table["cutoff"].dt.date.tolist() == CUTOFFS[:5]
    assert table["session"].dt.date.tolist() == [SESSIONS[SESSIONS.index(cutoff) + 2] for cutoff in CUTOFFS[:5]]
    kept = parts.store.load(SCORES, **KEY, ticker="AAA", horizon=2, cutoff=CUTOFFS[:5])
    assert table["actual"].tolist() == kept["actual"].tolist()


def test_data_docs_are_served_and_nothing_beside_them(pages):
    assert f"data-docs/made/{LAST}/AAA.html" in pages.get("/quality").text
    served = pages.get(f"/data-docs/made/{LAST}/AAA.html")
    assert (served.text, served.headers["content-security-policy"]) == (
        "<h1>expectations</h1>",
        "sandbox allow-scripts; script-src 'none'",
    )
    for path in ("../secret.html", "..%2fsecret.html", "made/../../secret.html", "%2e%2e/secret.html", "made"):
        answer = pages.get(f"/data-docs/{path}")
        assert answer.status_code == 404 and "not for the web" not in answer.text


def test_pages_need_nothing_from_elsewhere(pages):
    for path in ("/", "/stocks/AAA", "/scores", "/quality"):
        text = pages.get(path).text
        for address in re.findall(r'(?:src|href)="([^"]*)"', text):
            assert not address.startswith(("http:", "https:", "//")) or "/dags/" in address
        for file in re.findall(r'"/forecasts(/static/[^"]*)"', text):
            assert pages.get(file).status_code == 200


def test_the_chart_library_is_the_release_that_its_readme_names():
    static = Path(__file__).parents[2] / "pipeline" / "scheduling" / "pages" / "static"
    told = dict(re.findall(r"\| `(uPlot[^`]*)` \| `(\w{64})` \|", (static / "README.md").read_text()))
    assert told == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in static.glob("uPlot*")}
