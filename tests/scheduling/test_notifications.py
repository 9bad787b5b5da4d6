"""Messages over Airflow's own notifiers, to servers that take them: what is in them, and that nobody gets one unasked."""

from __future__ import annotations

import email
import email.policy
import json
import logging
from types import SimpleNamespace

import pytest

from pipeline.scheduling import notifications
from tests.servers import smtp_server, webhook

VERDICT = "1 ticker drifted. 5 tickers forecast."
#: What an error may quote, and what no message may run or show as a page of its own.
SAID = "FAILED ingest of {{ 7 * 6 }}: <script>alert(1)</script>"


def context() -> dict:
    run = SimpleNamespace(dag_id="daily_forecast_sample", run_id="manual__2013-03-01")
    return {"dag_run": run, "ti": SimpleNamespace(xcom_pull=lambda task_ids, key: VERDICT)}


@pytest.fixture
def received(monkeypatch):
    """Mails and posts, with a connection to each server."""
    with smtp_server() as (mail_port, mails), webhook() as (port, posts):
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "stockcast@localhost"}
        connection = {"conn_type": "smtp", "host": "127.0.0.1", "port": mail_port, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        monkeypatch.setenv(
            "AIRFLOW_CONN_CHAT", json.dumps({"conn_type": "http", "host": f"http://127.0.0.1:{port}/services/secret"})
        )
        yield SimpleNamespace(mails=mails, posts=posts)


def told(monkeypatch, **settings: str) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"STOCKCAST_{name.upper()}", value)


def test_nobody_is_told_anything_unasked(received):
    notifications.done(context())
    notifications.failed(context(), SAID)
    assert (received.mails, received.posts) == ([], [])


def test_a_day_that_is_done_is_told_by_mail_and_webhook_with_its_verdict_and_its_page(received, monkeypatch):
    told(monkeypatch, notify_email="ann@example.org, bob@example.org", notify_webhook="chat")
    notifications.done(context())
    [mail] = [email.message_from_string(text, policy=email.policy.default) for text in received.mails]
    assert (mail["Subject"], mail["To"]) == ("daily_forecast_sample done: manual__2013-03-01", "ann@example.org, bob@example.org")
    text = mail.get_body().get_content()
    assert VERDICT in text and "/dags/daily_forecast_sample/runs/manual__2013-03-01" in text
    [(_, body)] = received.posts
    assert json.loads(body).items() >= {"text": VERDICT, "state": "done", "dag_id": "daily_forecast_sample"}.items()


def test_a_failure_is_told_as_it_is_and_nothing_in_it_is_run(received, monkeypatch):
    told(monkeypatch, notify_email="ann@example.org", notify_webhook="chat", notify_on="failure")
    notifications.done(context())
    assert (received.mails, received.posts) == ([], [])
    notifications.failed(context(), SAID)
    text = email.message_from_string(received.mails[0], policy=email.policy.default).get_body().get_content()
    assert "{{ 7 * 6 }}: &lt;script&gt;" in text
    assert json.loads(received.posts[0][1])["text"] == SAID


def test_a_message_that_cannot_be_sent_is_logged_and_fails_nothing(monkeypatch, caplog):
    monkeypatch.setenv("AIRFLOW_CONN_CHAT", "http://127.0.0.1:9")
    told(monkeypatch, notify_webhook="chat")
    with caplog.at_level(logging.ERROR):
        notifications.failed(context(), SAID)
    assert "The message of HttpNotifier could not be sent" in caplog.text and "Correct the Airflow connection" in caplog.text
