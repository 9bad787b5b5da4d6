"""Take the documentation's pictures of real servers after real runs of the sample.

    python -m benchmarks.pictures

The runs are two months of the sample, and a second recipe. The pictures are written to
`docs/pictures/`, and the figures of the comparisons are printed. It takes some ten minutes;
`make browser` installs the browser that it needs.
"""

from __future__ import annotations

import json
import urllib.parse
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from pipeline.parts import mlflow_url
from pipeline.scheduling import ADMIN_USER, airflow_url, password_of
from pipeline.settings import Settings
from tests import servers
from tests.browser import chromium, log_in, watched

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
SESSION, DAG = "2013-03-01", "daily_forecast_sample"
#: Both months' networks are trained and measured on the first sessions of the months.
MONTHS = ("2013-02-01", "2013-03-01")
BEFORE = (("2013-01-02", "2013-01-18"), ("2013-01-22", "2013-02-08"), ("2013-02-11", "2013-02-28"))
RIVAL = "castilla"
#: The two runs in a picture, by its name: ticker, session, recipe.
COMPARISONS = {
    "mlflow-recipes": (("AAPL", MONTHS[1], "default"), ("AAPL", MONTHS[1], RIVAL)),
    "mlflow-months": (("IBM", MONTHS[0], "default"), ("IBM", MONTHS[1], "default")),
    "mlflow-tickers": (("GOOG", MONTHS[1], "default"), ("MSFT", MONTHS[1], "default")),
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with servers.deployment(shard_size=5) as deployed:
        commands = [["backfill", "--from", first, "--to", last] for first, last in BEFORE]
        commands += [["run", "--airflow"], ["run", "--recipe", RIVAL], ["up"]]
        dates = ["--from", BEFORE[-1][0], "--to", "2013-02-14"]
        commands += [["backfill", "--airflow", *dates, "--wait"]]
        for command in commands:
            done = deployed.stockcast(*command)
            print(" ".join(command), "exit code", done.returncode, done.stderr, flush=True)
        settings = deployed.settings
        with chromium() as browser, watched(browser, settings, height=860) as page:
            log_in(page, settings)
            _take_airflow(page, airflow_url(settings))
            for name, keys in COMPARISONS.items():
                _take_comparison(page, settings, name, keys)


def _take_airflow(page: Page, address: str) -> None:
    """Take the pictures of Airflow's pages."""
    page.goto(address)
    page.get_by_role("link", name="Forecasts", exact=True).click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name=f"Forecasts after {SESSION}")).to_be_visible()
    _take(page, "forecasts")
    page.goto(f"{address}/forecasts/stocks/AAPL?universe=sample&recipe=default&session={SESSION}")
    area = page.locator("#chart .u-over").bounding_box()
    page.mouse.move(area["x"] + area["width"] * 0.97, area["y"] + area["height"] / 2)
    _take(page, "ticker")
    page.set_viewport_size({"width": 1600, "height": 760})
    page.goto(f"{address}/dags/{DAG}")
    page.get_by_test_id("expand-all-button").click()
    page.wait_for_timeout(2000)
    _take(page, "grid")
    page.set_viewport_size({"width": 1280, "height": 860})


def _take_comparison(
    page: Page, settings: Settings, name: str, keys: tuple[tuple[str, str, str], ...]
) -> None:
    """Take MLflow's comparison of two runs, with the sections before their figures folded up."""
    runs = [_run(settings, *key) for key in keys]
    ids = json.dumps([run["info"]["run_id"] for run in runs])
    query = urllib.parse.urlencode(
        {"runs": ids, "experiments": '["1"]'}, quote_via=urllib.parse.quote
    )
    page.goto("about:blank")  # else only the part after the # changes, and the page stays
    page.goto(f"{mlflow_url(settings)}/#/compare-runs?{query}")
    expect(page.get_by_role("heading", name="Comparing 2 Runs")).to_be_visible()
    for heading in ("Visualizations", "Parameters"):
        page.get_by_role("button", name=heading).click()
    page.wait_for_timeout(1000)
    page.screenshot(
        path=FOLDER / f"{name}.png", clip={"x": 200, "y": 48, "width": 745, "height": 800}
    )
    for run in runs:
        skills = {
            metric["key"]: metric["value"]
            for metric in run["data"]["metrics"]
            if metric["key"] in ("skill/pinball", "skill/rmse")
        }
        figures = [f"{key} {value:+.2%}" for key, value in sorted(skills.items())]
        print(name, run["info"]["run_name"], *figures, flush=True)


def _run(settings: Settings, ticker: str, session: str, recipe: str) -> dict[str, Any]:
    """Return a run of MLflow, which wants a login."""
    wanted = f"tags.ticker = '{ticker}' and tags.session = '{session}' and tags.recipe = '{recipe}'"
    answer = httpx.post(
        f"{mlflow_url(settings)}/api/2.0/mlflow/runs/search",
        json={"experiment_ids": ["1"], "filter": wanted},
        auth=(ADMIN_USER, password_of(settings, "mlflow")),
        timeout=60,
        trust_env=False,
    )
    runs: list[dict[str, Any]] = answer.raise_for_status().json()["runs"]
    [run] = runs
    return run


def _take(page: Page, name: str) -> None:
    page.wait_for_timeout(500)
    page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
