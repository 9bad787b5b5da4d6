"""The report: the day's page among the artifacts, and what is shown of a session in MLflow."""

import pytest

from pipeline.daily import forecasts_text, report_file, report_text, verdict_of
from pipeline.daily.report import day_of
from pipeline.daily.tracked_session import session_metrics
from tests.made_days import TRAINED

pytestmark = pytest.mark.slow


def test_the_page_is_among_the_artifacts_and_in_mlflow(made_day):
    from mlflow import MlflowClient

    parts, run = made_day
    client = MlflowClient(parts.settings.tracking_uri)
    experiment = client.get_experiment_by_name(TRAINED.name).experiment_id
    [session] = client.search_runs([experiment], "attributes.run_name = '2013-03-01 default'")
    files = {file.path for file in client.list_artifacts(session.info.run_id)}
    assert files >= {"report.html", "summary.csv", "skill.png", "calibration.png"}
    assert "symbol_embedding.png" in files, "two stocks have trained a network together"
    assert session.info.status == "FINISHED"
    assert session.data.metrics["day/tickers"] == 4.0
    page = parts.artifacts.read(report_file(run)).decode()
    assert all(ticker in page for ticker in TRAINED.tickers)


def test_a_session_s_figures_are_means_over_its_stocks(made_day):
    parts, run = made_day
    day = day_of(parts, run)
    metrics = session_metrics(day)
    assert metrics["day/tickers_quarantined"] == 0
    assert metrics["day/networks_published"] + metrics["day/baselines_published"] == 4
    assert metrics["skill/rmse_mean"] == pytest.approx(day.promotions["skill"].mean())
    assert metrics["day/weight_mean"] == pytest.approx(day.promotions["weight"].mean())


def test_a_session_is_described_in_sentences_in_a_table_and_in_full(made_day):
    parts, run = made_day
    assert "4 tickers" in verdict_of(parts, run)
    assert all(ticker in forecasts_text(parts, run) for ticker in TRAINED.tickers)
    assert all(ticker in report_text(parts, run) for ticker in TRAINED.tickers)
