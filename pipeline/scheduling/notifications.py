"""E-mail and webhook: how the day came out, and what failed. Off until the settings name a receiver.

What sends is Airflow's own: `SmtpNotifier` over the connection `smtp_default`, `HttpNotifier` over the connection that the settings name.
Servers, users and passwords are kept there (Admin, Connections, or AIRFLOW_CONN_... variables), never in the settings. A message that cannot
be sent is an error in the task's log, and changes nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from pipeline.scheduling.environment import run_page
from pipeline.scheduling.notes import VERDICT
from pipeline.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

log = logging.getLogger(__name__)

MAIL_CONNECTION = "smtp_default"
#: Below the words, where to look.
MAIL = '<p>{{ told }}</p><p><a href="{{ page }}">{{ page }}</a></p>'


def failed(context: Mapping[str, Any], line: str) -> None:
    """Tells that a task has failed for good; `line` says which and why."""
    _send(context, "failed", line)


def done(context: Mapping[str, Any]) -> None:
    """Success callback of `report`: tells how the day came out."""
    if Settings.from_env().notify_on == "always":
        _send(context, "done", context["ti"].xcom_pull(task_ids="report", key=VERDICT))


def _send(context: Mapping[str, Any], state: str, told: str) -> None:
    settings = Settings.from_env()
    if not (settings.notify_email or settings.notify_webhook):
        return
    run = context["dag_run"]
    values = {"told": told, "state": state, "dag_id": run.dag_id, "run_id": run.run_id, "page": run_page(run.dag_id, run.run_id)}
    for notifier, encode in _notifiers(settings):
        # The words are values of templates, never templates: an error may quote what somebody else wrote.
        try:
            notifier({name: encode(str(value)) for name, value in values.items()})
        except Exception as error:  # whatever a server may do to a message, the day itself is done
            log.error("The message of %s could not be sent: %s. Correct the Airflow connection.", type(notifier).__name__, error)


def _notifiers(settings: Settings) -> Iterator[tuple[BaseNotifier, Any]]:
    """Each with how its words must be escaped."""
    if settings.notify_email:
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        yield (
            SmtpNotifier(
                to=[address.strip() for address in settings.notify_email.split(",")],
                subject="{{ dag_id }} {{ state }}: {{ run_id }}",
                html_content=MAIL,
                smtp_conn_id=MAIL_CONNECTION,
            ),
            escape,
        )
    if settings.notify_webhook:
        from airflow.providers.http.notifications.http import HttpNotifier

        # "text" is what the chat programs' webhooks show.
        names = {"text": "told", "state": "state", "dag_id": "dag_id", "run_id": "run_id", "url": "page"}
        body = {name: f"{{{{ {value} }}}}" for name, value in names.items()}
        yield HttpNotifier(http_conn_id=settings.notify_webhook, json=body), str
