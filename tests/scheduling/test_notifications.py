"""Messages over Airflow's own notifiers, to servers that take them; nobody gets one unasked."""

from __future__ import annotations

import email
import email.policy
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.servers import smtp_server, webhook

pytestmark = pytest.mark.slow

VERDICT = "1 ticker drifted. 5 tickers forecast."
#: What an error may quote, and what no message may run or show as a page of its own.
HOSTILE_LINE = "FAILED ingest of {{ 7 * 6 }}: <script>alert(1)</script>"


def context() -> dict[str, object]:
    run = SimpleNamespace(dag_id="daily_forecast_sample", run_id="manual__2013-03-01")
    return {"dag_run": run, "ti": SimpleNamespace(xcom_pull=lambda task_ids, key: VERDICT)}


@pytest.fixture
def received(monkeypatch) -> Iterator[SimpleNamespace]:
    """Mails and posts, with a connection to each server."""
    with smtp_server() as (mail_port, mails), webhook() as (port, posts):
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "stockcast@localhost"}
        mail = {"conn_type": "smtp", "host": "127.0.0.1", "port": mail_port, "extra": extra}
        chat = {"conn_type": "http", "host": f"http://127.0.0.1:{port}/services/secret"}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(mail))
        monkeypatch.setenv("AIRFLOW_CONN_CHAT", json.dumps(chat))
        yield SimpleNamespace(mails=mails, posts=posts)


def configure(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"STOCKCAST_{name.upper()}", value)


def text_of(mail: str) -> str:
    return email.message_from_string(mail, policy=email.policy.default).get_body().get_content()


def test_nobody_gets_a_message_unasked(received):
    from pipeline.scheduling.notifications import notify_done, notify_failed

    notify_done(context())
    notify_failed(context(), HOSTILE_LINE)
    assert (received.mails, received.posts) == ([], [])


def test_a_day_that_is_done_is_sent_by_mail_and_webhook_with_its_verdict_and_its_page(
    received, monkeypatch
):
    from pipeline.scheduling.notifications import notify_done

    receivers = "ann@example.org, bob@example.org"
    configure(monkeypatch, notify_email=receivers, notify_webhook="chat")
    notify_done(context())
    [sent] = received.mails
    mail = email.message_from_string(sent, policy=email.policy.default)
    assert (mail["Subject"], mail["To"]) == (
        "daily_forecast_sample done: manual__2013-03-01",
        receivers,
    )
    assert VERDICT in text_of(sent)
    assert "/dags/daily_forecast_sample/runs/manual__2013-03-01" in text_of(sent)
    [(_, body)] = received.posts
    wanted = {"text": VERDICT, "state": "done", "dag_id": "daily_forecast_sample"}
    assert json.loads(body).items() >= wanted.items()


def test_a_failure_is_sent_as_it_is_and_nothing_in_it_is_run(received, monkeypatch):
    from pipeline.scheduling.notifications import notify_done, notify_failed

    configure(
        monkeypatch, notify_email="ann@example.org", notify_webhook="chat", notify_on="failure"
    )
    notify_done(context())
    assert (received.mails, received.posts) == ([], [])
    notify_failed(context(), HOSTILE_LINE)
    assert "{{ 7 * 6 }}: &lt;script&gt;" in text_of(received.mails[0])
    assert json.loads(received.posts[0][1])["text"] == HOSTILE_LINE


def test_a_service_that_ended_is_sent_with_its_name_and_no_run(received, monkeypatch):
    from pipeline.scheduling.notifications import notify_service
    from pipeline.scheduling.supervised import Notice

    configure(monkeypatch, notify_email="ann@example.org", notify_webhook="chat")
    notify_service(Notice("mlflow", "ended", "mlflow has ended.", "its log: hush"))
    [sent], [(_, body)] = received.mails, received.posts
    mail = email.message_from_string(sent, policy=email.policy.default)
    assert mail["Subject"] == "stockcast ended: mlflow"
    assert "mlflow has ended." in text_of(sent)
    assert json.loads(body).items() >= {"text": "mlflow has ended.", "state": "ended"}.items()
    assert "hush" not in f"{sent} {body!r}"


def test_a_message_that_cannot_be_sent_is_logged_and_fails_nothing(monkeypatch, caplog):
    from pipeline.scheduling.notifications import notify_failed

    monkeypatch.setenv("AIRFLOW_CONN_CHAT", "http://127.0.0.1:9")
    configure(monkeypatch, notify_webhook="chat")
    with caplog.at_level(logging.ERROR):
        notify_failed(context(), HOSTILE_LINE)
    assert "The message of HttpNotifier could not be sent" in caplog.text
    assert "Correct the Airflow connection" in caplog.text
