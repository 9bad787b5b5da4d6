"""E-mail and webhook: how the day went, what failed, and services that ended by themselves.

Off until the settings name a receiver.

Airflow's own notifiers send: `SmtpNotifier` over the connection `smtp_default`, `HttpNotifier` over
the connection that the settings name. Servers, users and passwords are kept there (Admin,
Connections, or AIRFLOW_CONN_... variables), never in the settings. A message that cannot be sent is
an error in the log, and changes nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from pipeline.scheduling.daily_names import VERDICT_KEY
from pipeline.scheduling.environment import airflow_page, run_page
from pipeline.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

    from pipeline.scheduling.supervised import Notice

log = logging.getLogger(__name__)

MAIL_CONNECTION = "smtp_default"
#: The message, and below it where to look.
MAIL_BODY = '<p>{{ message }}</p><p><a href="{{ page }}">{{ page }}</a></p>'
MAIL_SUBJECT = "{{ headline }}"
#: A webhook's keys; "text" is what the chat programs' webhooks show.
WEBHOOK_BODY = {
    "text": "{{ message }}",
    "state": "{{ state }}",
    "dag_id": "{{ dag_id }}",
    "run_id": "{{ run_id }}",
    "url": "{{ page }}",
}


def notify_failed(context: Mapping[str, Any], line: str) -> None:
    """Send that a task has failed for good.

    Args:
        line: which task failed, and why.
    """
    _send_of_run(context, "failed", line)


def notify_done(context: Mapping[str, Any]) -> None:
    """Send how the day went: the success callback of `report`."""
    if Settings().notify_on == "always":
        _send_of_run(context, "done", context["ti"].xcom_pull(task_ids="report", key=VERDICT_KEY))


def notify_service(notice: Notice) -> None:
    """Send that a service has ended by itself, or does not stay up."""
    values = {
        "headline": f"stockcast {notice.state}: {notice.service}",
        "message": notice.text,
        "state": notice.state,
        "dag_id": "",
        "run_id": "",
        "page": airflow_page("/"),
    }
    _send(values)


def _send_of_run(context: Mapping[str, Any], state: str, message: str) -> None:
    run = context["dag_run"]
    values = {
        "headline": f"{run.dag_id} {state}: {run.run_id}",
        "message": message,
        "state": state,
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "page": run_page(run.dag_id, run.run_id),
    }
    _send(values)


def _send(values: Mapping[str, str]) -> None:
    settings = Settings()
    if not (settings.notify_email or settings.notify_webhook):
        return
    for notifier, encode in _notifiers(settings):
        # The words are values of templates, never templates: an error may quote what somebody else
        # wrote.
        try:
            notifier({name: encode(str(value)) for name, value in values.items()})
        except Exception as error:  # no fault of a mail server changes the day
            log.error(
                "The message of %s could not be sent: %s. Correct the Airflow connection.",
                type(notifier).__name__,
                error,
            )


def _notifiers(settings: Settings) -> Iterator[tuple[BaseNotifier, Callable[[str], str]]]:
    """Yield each notifier with the function that escapes its words."""
    if settings.notify_email:
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        mail = SmtpNotifier(
            to=[address.strip() for address in settings.notify_email.split(",")],
            subject=MAIL_SUBJECT,
            html_content=MAIL_BODY,
            smtp_conn_id=MAIL_CONNECTION,
        )
        yield mail, escape
    if settings.notify_webhook:
        from airflow.providers.http.notifications.http import HttpNotifier

        yield HttpNotifier(http_conn_id=settings.notify_webhook, json=dict(WEBHOOK_BODY)), str
