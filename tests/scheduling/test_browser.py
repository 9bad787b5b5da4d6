"""The pages as people see them: Chromium on the real servers, after a run and a backfill.

What is shown is the store's. Every window is watched (`tests/browser.py`): a page that complains,
or asks for what is not there, fails the test that opened it.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from pipeline.models import HAR, STANDING
from pipeline.parts import mlflow_url
from pipeline.reporting import change_text
from pipeline.scheduling import AirflowClient, airflow_url, password_of
from tests import servers
from tests.browser import accessibility_faults, chromium, log_in, picture, watched
from tests.servers import Deployment, tasks_of

pytestmark = pytest.mark.slow

DAG = "daily_forecast_sample"
TICKERS = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
BEFORE, SESSION = ["2013-02-26", "2013-02-27"], "2013-02-28"
#: Our own pages, by the name of their picture.
PAGES = {"forecasts": "/", "ticker": "/stocks/AAPL", "scoreboard": "/scores", "quality": "/quality"}
PHONE = 375


@dataclass
class Site:
    """Servers that are up, with one run and a backfill that is under way.

    Attributes:
        login: what a browser keeps of having logged in.
    """

    deployed: Deployment
    browser: Browser
    backfill: subprocess.Popen
    login: dict[str, Any]

    @property
    def pages(self) -> str:
        return f"{airflow_url(self.deployed.settings)}/forecasts"

    def stored(self, *tables: str) -> dict[str, list[dict]]:
        """Return all rows of these tables.

        A process of its own reads them: one that uses the server of the databases keeps it up.
        """
        done = self.deployed.python("-c", STORED, *tables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


STORED = """
import json, sys
from pipeline import tables
from pipeline.parts import Parts
from pipeline.reporting import format_rows
from pipeline.settings import Settings

store = Parts(Settings()).store
stored = {name: store.load(getattr(tables, name)) for name in sys.argv[1:]}
print(json.dumps({name: json.loads(format_rows(rows, "json")) for name, rows in stored.items()}))
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """All tickers are in one task: starting processes is most of what a backfill takes."""
    with servers.deployment(shard_size=len(TICKERS)) as deployed:
        for command in (["run", "--airflow", "--session", SESSION], ["up"]):
            done = deployed.stockcast(*command)
            assert done.returncode == 0, done.stderr
        dates = ("--from", BEFORE[0], "--to", BEFORE[-1])
        backfill = deployed.start("backfill", "--airflow", *dates, "--wait")
        try:
            with chromium() as browser:
                with watched(browser, deployed.settings) as page:
                    log_in(page, deployed.settings)
                    login = page.context.storage_state()
                yield Site(deployed, browser, backfill, login)
        finally:
            backfill.kill()
            backfill.communicate()


@pytest.fixture(scope="module")
def backfilled(site: Site) -> Site:
    """The same once the backfill is through."""
    _, errors = site.backfill.communicate(timeout=servers.SECONDS_OF_A_COMMAND)
    assert site.backfill.returncode == 0, errors
    return site


@pytest.fixture
def page(site: Site) -> Iterator[Page]:
    """A window of somebody who has logged in."""
    with watched(site.browser, site.deployed.settings, storage_state=site.login) as page:
        yield page


def shown(page: Any, table: str) -> list[list[str]]:
    """Return a table's cells, row by row, without the rows that a search has hidden."""
    cells = r"[...row.cells].map(cell => cell.innerText.replace(/\s+/g, ' ').trim())"
    return page.locator(f"{table} tbody tr:visible").evaluate_all(
        f"rows => rows.map(row => {cells})"
    )


def published(stored: dict[str, list[dict]], cutoff: str, horizon: int = 1) -> dict[str, dict]:
    """Return each ticker's rows of FORECASTS and PROMOTIONS in one."""
    rows: dict[str, dict] = {ticker: {} for ticker in TICKERS}
    for name in ("FORECASTS", "PROMOTIONS"):
        for row in stored[name]:
            if row["cutoff"] == cutoff and row.get("horizon", horizon) == horizon:
                rows[row["ticker"]] |= row
    return rows


def span(row: dict, level: int) -> str:
    return f"{row[f'lower_{level}']:,.2f} – {row[f'upper_{level}']:,.2f}"


def test_a_page_that_complains_or_leaves_somebody_out_is_noticed(site):
    with (
        pytest.raises(AssertionError) as caught,
        watched(site.browser, site.deployed.settings, storage_state=site.login) as page,
    ):
        page.goto(f"{site.pages}/quality")
        page.evaluate("console.error('no'); setTimeout(() => { throw new Error('never') })")
        page.evaluate(
            "fetch('static/nothing').then(() => fetch('https://example.com/x')).catch(() => 0)"
        )
        page.evaluate("document.querySelector('main').innerHTML = '<img src=\"data:,\"><p>faint'")
        # Not as an attribute: the pages' own policy forbids that.
        page.evaluate(
            "document.querySelector('main p').style.cssText = 'color: #eee; background: #fff'"
        )
        faults = accessibility_faults(page)
    assert {fault.split()[0] for fault in faults} == {"color-contrast", "image-alt"}
    message = str(caught.value)
    for fault in (
        "console: no",
        "uncaught: never",
        "404 GET /forecasts/static/nothing",
        "https://example.com/x",
    ):
        assert fault in message


def test_in_airflow_the_table_is_the_stores_and_sorts_and_searches_and_leads_on(site, page):
    address = airflow_url(site.deployed.settings)
    page.goto(address)
    page.get_by_role("link", name="Forecasts", exact=True).click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name=f"Forecasts after {SESSION}")).to_be_visible()
    picture(page, "airflow-forecasts")
    rows = published(site.stored("FORECASTS", "PROMOTIONS"), SESSION)
    change = {ticker: row["y_hat"] / row["last_value"] - 1 for ticker, row in rows.items()}
    assert [row[:10] for row in shown(frame, "#forecasts")] == [
        [
            ticker,
            f"{row['last_value']:,.2f} USD",
            f"{row['y_hat']:,.2f}",
            f"{change[ticker]:+.2%}",
            "level"
            if abs(change[ticker]) < 0.00005
            else "▲ up"
            if change[ticker] > 0
            else "▼ down",
            span(row, 80),
            row["champion"] + ("" if row["champion"] in STANDING else f" {row['weight']:.0%}"),
            f"{row['skill']:+.2%}",
            f"{row['pinball_skill']:+.2%}",
            change_text(row["pinball_skill_over_har"]),
        ]
        for ticker, row in rows.items()
    ]

    search, count = frame.get_by_label("Search"), frame.get_by_role("status")
    search.fill("goog")
    assert [row[0] for row in shown(frame, "#forecasts")] == ["GOOG"]
    expect(count).to_have_text("1 of 5 rows")
    search.fill("")
    expect(count).to_have_text("5 rows")
    for backwards in (False, True):
        frame.get_by_role("button", name="Change").click()
        in_order = sorted(TICKERS, key=change.get, reverse=backwards)
        assert [row[0] for row in shown(frame, "#forecasts")] == in_order
        kind = "descending" if backwards else "ascending"
        expect(frame.get_by_role("columnheader", name="Change")).to_have_attribute(
            "aria-sort", kind
        )

    frame.get_by_role("link", name="AAPL").click()
    expect(frame.get_by_role("heading", name="AAPL")).to_be_visible()
    with page.context.expect_page() as opened:
        frame.get_by_role("link", name="Its run in MLflow").click()
    expect(opened.value).to_have_url(re.compile(r"#/experiments/\d+/runs/\w{32}"))
    assert opened.value.url.partition("/runs/")[2][:32] in {
        run["info"]["run_id"] for run in mlflow_runs(site, "tags.ticker = 'AAPL'")
    }
    # Out of the frame, which may not lead there itself.
    frame.get_by_role("link", name="Its task in Airflow").click()
    page.wait_for_url(f"{address}/dags/{DAG}/runs/manual__{SESSION}**/tasks/evaluate/mapped/0")
    expect(page.get_by_role("link", name="AAPL and 4 more")).to_be_visible()


def test_the_quality_page_shows_what_the_gate_has_found_and_leads_to_data_docs(site, page):
    page.goto(f"{site.pages}/quality?session={SESSION}")
    stored = site.stored("CHECKS", "FINDINGS")
    checks = [row for row in stored["CHECKS"] if row["cutoff"] == SESSION]
    passed = sum(row["verdict"] == "passed" for row in checks)
    expect(page.locator(".lead")).to_contain_text(
        f"{passed} of {len(checks)} tickers passed the gate."
    )
    findings = [row for row in stored["FINDINGS"] if row["cutoff"] == SESSION]
    keys = ("ticker", "session", "severity", "rule", "message")
    assert sorted(shown(page, "#findings")) == sorted(
        [row[key] for key in keys] for row in findings
    )
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Data Docs").click()
    expectations = json.loads((servers.ROOT / "expectations" / "prices.json").read_text())[
        "expectations"
    ]
    expect(opened.value.get_by_role("row", name="Evaluated Expectations")).to_contain_text(
        str(len(expectations))
    )
    for rule in expectations:
        expect(opened.value.get_by_role("row", name=rule["meta"]["rule"]).first).to_contain_text(
            rule["meta"]["reason"]
        )
    picture(opened.value, "data-docs")


def mlflow_runs(site: Site, wanted: str) -> list[dict[str, Any]]:
    """Return runs as MLflow itself has them, the newest first."""
    address = f"{mlflow_url(site.deployed.settings)}/api/2.0/mlflow/runs/search"
    query = {"experiment_ids": ["1"], "filter": wanted}
    login = ("admin", password_of(site.deployed.settings, "mlflow"))
    answer = httpx.post(address, json=query, auth=login, timeout=60, trust_env=False)
    return answer.json()["runs"]


#: MLflow's table of metrics draws the rows around what one has scrolled to: names in one grid,
#: figures in the one next to it, at the same height.
GRID = """grid => [...grid.querySelectorAll('[role=rowgroup] > div')].map(
    cell => [parseInt(cell.style.top), parseInt(cell.style.left), cell.innerText.trim()])"""


def compared(page: Page, metrics: set[str]) -> dict[str, list[str]]:
    """Return the figures of each metric of MLflow's comparison, run by run."""
    names, figures = (page.locator(".ReactVirtualized__Grid").nth(index) for index in (-2, -1))
    figures.scroll_into_view_if_needed()
    picture(page, "mlflow-comparison-figures")
    seen: dict[str, list[str]] = {}

    def all_seen() -> bool:
        for position in range(0, figures.evaluate("grid => grid.scrollHeight"), 200):
            figures.evaluate("(grid, top) => grid.scrollTo(0, top)", position)
            page.wait_for_timeout(50)  # the names follow, a step behind
            at = {top: name for top, _, name in names.evaluate(GRID)}
            rows: dict[int, list[str]] = {}
            for top, _, figure in sorted(figures.evaluate(GRID), key=lambda cell: cell[:2]):
                rows.setdefault(top, []).append(figure)
            seen.update({at[top]: row for top, row in rows.items() if top in at})
        return set(seen) == metrics

    servers.wait_for("all metrics in MLflow's comparison", all_seen)
    return seen


def test_two_stocks_are_compared_in_mlflow_by_the_figures_that_the_store_has(site, page):
    runs = [mlflow_runs(site, f"tags.ticker = '{ticker}'")[0] for ticker in ("AAPL", "IBM")]
    ids = [run["info"]["run_id"] for run in runs]
    query = urllib.parse.urlencode(
        {"runs": json.dumps(ids), "experiments": '["1"]'}, quote_via=urllib.parse.quote
    )
    page.set_viewport_size({"width": 1600, "height": 1000})
    page.goto(f"{mlflow_url(site.deployed.settings)}/#/compare-runs?{query}")
    expect(page.get_by_role("heading", name="Comparing 2 Runs")).to_be_visible()
    assert [page.get_by_role("link", name=run_id).count() for run_id in ids] == [1, 1]
    expect(page.get_by_role("row", name="ticker AAPL IBM").first).to_be_visible()
    # An assistant that nobody has asked for.
    page.get_by_role("button", name="Close", exact=True).click()
    picture(page, "mlflow-comparison")
    logged = [{metric["key"]: metric["value"] for metric in run["data"]["metrics"]} for run in runs]
    figures = compared(page, {name for metrics in logged for name in metrics})
    for index, metrics in enumerate(logged):
        assert {name: float(figures[name][index]) for name in metrics} == pytest.approx(
            metrics, rel=0.005, abs=0.0006
        )
    # On the way from the store to MLflow figures keep all their digits.
    stored = site.stored("MODELS", "EVALUATIONS")
    for ticker, metrics in zip(("AAPL", "IBM"), logged, strict=True):
        trained = [
            (row["dataset"], row["model_id"]) for row in stored["MODELS"] if row["ticker"] == ticker
        ]
        errors = {
            (row["dataset"], row["model"]): row["rmse"]
            for row in stored["EVALUATIONS"]
            if (row["split"], row["horizon"]) == ("test", 1)
        }
        pairs = [
            {errors[dataset, name] for name in (model, "naive") if (dataset, name) in errors}
            for dataset, model in trained
        ]
        assert any(len(pair) == 2 and pair <= set(metrics.values()) for pair in pairs)


def test_airflow_asks_who_one_is_and_its_grid_shows_the_run_and_the_backfill(backfilled):
    settings = backfilled.deployed.settings
    with watched(backfilled.browser, settings, width=1600) as page:
        page.goto(f"{airflow_url(settings)}/dags/{DAG}")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        picture(page, "airflow-login")
        log_in(page, settings)
        airflow = AirflowClient(settings)
        runs = json.loads(airflow.get(f"/api/v2/dags/{DAG}/dagRuns"))["dag_runs"]
        assert sorted(run["logical_date"][:10] for run in runs) == [*BEFORE, SESSION]
        page.get_by_test_id("expand-all-button").click()  # the tasks of single stocks, too
        looks = set()
        for run in runs:
            for task in tasks_of(airflow, DAG, run["dag_run_id"]):
                cell = page.get_by_test_id(f"grid-{run['dag_run_id']}-{task['task_id']}")
                looks.add(
                    (task["state"], cell.get_by_test_id("task-state-badge").get_attribute("class"))
                )
        assert {state for state, _ in looks} == {"success", "skipped"}
        # Cells look the same where their state is.
        assert len(looks) == len({look for _, look in looks}) == 2
        picture(page, "airflow-grid")
        cell = page.get_by_test_id(f"grid-backfill__{BEFORE[0]}T21:30:00+00:00-publish")
        tooltip = page.get_by_role("tooltip").filter(has_text="publish")

        def shown() -> str:
            # Airflow draws the grid anew now and then, and forgets who is pointing at it.
            page.mouse.move(0, 0)
            cell.hover()
            page.wait_for_timeout(1000)
            return "".join(tooltip.all_inner_texts())

        assert "State: Success" in servers.wait_for("the tooltip", shown)


def test_the_days_verdict_is_a_note_in_airflow_and_a_run_of_mlflow_leads_back_to_it(
    backfilled, page
):
    stored = backfilled.stored("PROMOTIONS")["PROMOTIONS"]
    for session, run_id in (
        (SESSION, f"manual__{SESSION}T21:30:00+00:00"),
        (BEFORE[0], f"backfill__{BEFORE[0]}T21:30:00+00:00"),
    ):
        rows = [row for row in stored if row["cutoff"] == session]
        alone = sum(row["champion"] in STANDING for row in rows)
        by_har = sum(row["champion"] == HAR for row in rows)
        pinball, rmse = (sum(row[name] > 0 for row in rows) for name in ("pinball_skill", "skill"))
        verdict = (
            f"5 tickers forecast: {5 - alone} with the help of a network, {alone} by a baseline "
            f"alone{f', {by_har} of them by har' if by_har else ''}. On test sessions "
            f"{'they' if by_har else 'networks'} beat the EWMA random walk's distribution for "
            f"{pinball} out of 5 tickers, and the naive forecast's RMSE for {rmse}."
        )
        quoted = urllib.parse.quote(run_id, safe="")
        run = f"{airflow_url(backfilled.deployed.settings)}/dags/{DAG}/runs/{quoted}"
        own = f"/api/v2/dags/{DAG}/dagRuns/{quoted}"
        airflow = AirflowClient(backfilled.deployed.settings)
        assert json.loads(airflow.get(own))["note"] == verdict
        assert json.loads(airflow.get(f"{own}/taskInstances/report"))["note"] == verdict
        tracked = mlflow_runs(
            backfilled, f"tags.session = '{session}' and tags.dag_run = '{run_id}'"
        )
        names = [{tag["key"] for tag in each["data"]["tags"]} for each in tracked]
        parent = next(
            each for each, tags in zip(tracked, names, strict=True) if "ticker" not in tags
        )
        assert parent["info"]["status"] == "FINISHED"
        mlflow = mlflow_url(backfilled.deployed.settings)
        page.goto(f"{mlflow}/#/experiments/1/runs/{parent['info']['run_id']}")
        expect(page.get_by_text(verdict)).to_be_visible()
        page.get_by_text("Show more").click()
        expect(page.get_by_role("link", name=f"Airflow: run {run_id}")).to_have_attribute(
            "href", run
        )
        assert parent["info"]["run_name"] == f"{session} default"
    picture(page, "mlflow-session")


def test_the_dags_page_shows_the_day_and_its_form_offers_what_there_is(backfilled, page):
    page.goto(f"{airflow_url(backfilled.deployed.settings)}/dags/{DAG}")
    page.get_by_role("button", name="Dag Docs").click()
    day = page.get_by_role("img", name="The day")
    expect(day).to_be_visible()
    assert day.evaluate("image => image.decode().then(() => image.naturalWidth)") > 1000
    picture(page, "airflow-dag-page")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    expect(form.get_by_text("Stocks to forecast. Empty: all of sample.")).to_be_visible()
    expect(form.locator("input[type=date]")).to_be_visible()
    expect(form.locator("input[type=number], [role=spinbutton]").first).to_have_value("5")
    picture(page, "airflow-form")


def test_the_chart_describes_the_session_that_one_points_at_or_goes_to(backfilled, page):
    page.goto(f"{backfilled.pages}/stocks/AAPL?session={SESSION}")
    stored = backfilled.stored("FORECASTS", "PROMOTIONS")
    actual = published(stored, SESSION)["AAPL"]["last_value"]
    before = published(stored, BEFORE[-1])["AAPL"]
    ahead = published(stored, SESSION, horizon=3)["AAPL"]
    spans = {level: f"{level}% {span(before, level)}" for level in (80, 95)}
    today = (
        f"{SESSION} actual {actual:,.2f} forecast one session before {before['y_hat']:,.2f} "
        f"{spans[80]} {spans[95]}"
    )
    spans = {level: f"{level}% {span(ahead, level)}" for level in (50, 80, 95, 98)}
    third = f"{ahead['session']} median {ahead['y_hat']:,.2f} {' '.join(spans.values())}"

    text, area = page.locator("#chart-text"), page.locator("#chart .u-over").bounding_box()
    for wanted in (third, today):
        for x in range(int(area["x"] + area["width"]) - 1, int(area["x"]), -3):
            page.mouse.move(x, area["y"] + area["height"] / 2)
            if text.inner_text().startswith(wanted.split()[0]):
                break
        expect(text).to_have_text(wanted)
    picture(page, "ticker-pointed-at")

    page.mouse.move(0, 0)
    page.locator("#chart").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    expect(text).to_have_text(third)
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(text).to_have_text(today)
    assert [row[1:] for row in shown(page, "[aria-label='Forecasts by session'] table")] == [
        [f"{row['y_hat']:,.2f}", *(span(row, level) for level in (50, 80, 95, 98))]
        for row in stored["FORECASTS"]
        if row["ticker"] == "AAPL" and row["cutoff"] == SESSION
    ]


def test_the_scoreboard_is_the_stored_scores_summed_up(backfilled, page):
    page.goto(f"{backfilled.pages}/scores")
    scores = backfilled.stored("SCORES")["SCORES"]
    assert {row["cutoff"] for row in scores} == set(BEFORE)

    def summed(rows: list[dict]) -> list[str]:
        ours, naive = (
            sum((row[name] / (row["actual"] - row["naive_error"])) ** 2 for row in rows)
            for name in ("error", "naive_error")
        )
        loss, ewma, har = (
            sum(row[name] for row in rows) for name in ("pinball", "ewma_pinball", "har_pinball")
        )
        inside = [
            f"{sum(row[f'inside_{level}'] for row in rows) / len(rows):.1%}" for level in (80, 95)
        ]
        return [
            "backfilled",
            str(len(rows)),
            f"{1 - math.sqrt(ours / naive):+.2%}",
            f"{1 - loss / ewma:+.2%}",
            change_text(1 - loss / har),
            *inside,
        ]

    assert shown(page, "#by-recipe") == [["default", *summed(scores)]]
    assert shown(page, "#by-month") == [["2013-02", *summed(scores)]]
    for table, key, groups in (
        ("#by-ticker", "ticker", TICKERS),
        ("#by-horizon", "horizon", [1, 2]),
    ):
        assert shown(page, table) == [
            [str(group), *summed([row for row in scores if row[key] == group])] for group in groups
        ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_our_pages(backfilled, scheme):
    settings = backfilled.deployed.settings
    with watched(
        backfilled.browser, settings, storage_state=backfilled.login, color_scheme=scheme
    ) as page:
        for name, path in PAGES.items():
            page.goto(f"{backfilled.pages}{path}")
            picture(page, f"{name}-{scheme}", whole=True)
            assert accessibility_faults(page) == [], name
            shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (max(map(int, re.findall(r"\d+", shade))) < 64) == (scheme == "dark")


def test_on_a_phone_nothing_runs_out_of_the_page(backfilled):
    settings = backfilled.deployed.settings
    with watched(
        backfilled.browser, settings, width=PHONE, height=740, storage_state=backfilled.login
    ) as page:
        for name, path in PAGES.items():
            page.goto(f"{backfilled.pages}{path}")
            picture(page, f"{name}-phone", whole=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= PHONE, name


#: What a keyboard must reach, and what it has reached: by the place among all elements.
REACHABLE = """() => {
    const wanted = 'a[href], button, input, select, summary, [tabindex="0"]';
    return [...document.querySelectorAll(wanted)]
        .filter(element => element.type !== 'hidden' && element.checkVisibility())
        .map(element => [...document.all].indexOf(element));
}"""
REACHED = """() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    const width = outlineStyle === 'none' ? 0 : parseFloat(outlineWidth);
    return [[...document.all].indexOf(document.activeElement), width];
}"""


def test_everything_that_can_be_used_is_reached_by_tab_and_shows_that_it_is(backfilled, page):
    for name, path in PAGES.items():
        page.goto(f"{backfilled.pages}{path}")
        wanted, reached = page.evaluate(REACHABLE), []
        for _ in wanted:
            page.keyboard.press("Tab")
            place, outline = page.evaluate(REACHED)
            assert outline >= 1, (name, page.evaluate("document.activeElement.outerHTML"))
            reached.append(place)
        assert reached == wanted, name
    page.goto(f"{backfilled.pages}/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"  # past the navigation
