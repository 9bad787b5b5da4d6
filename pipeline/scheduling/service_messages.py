"""Messages about services, sent by a process of its own: the supervisor imports no Airflow."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict

from pipeline.scheduling.processes import marks_of
from pipeline.scheduling.supervised import Notice
from pipeline.settings import Settings


class Messenger:
    """The notices that wait to be sent, where the settings name a receiver.

    Args:
        env: what processes of this deployment get on top of this one's environment.
    """

    def __init__(self, settings: Settings, env: Mapping[str, str]) -> None:
        self._wanted = bool(settings.notify_email or settings.notify_webhook)
        # As in Airflow's own services: its connections are read from its database.
        own = {"_AIRFLOW_PROCESS_CONTEXT": "server"}
        self._env = {**os.environ, **env, **own, **marks_of(settings.home, "messages")}
        self._waiting: list[Notice] = []
        self._sender: subprocess.Popen[bytes] | None = None

    def take(self, notice: Notice) -> None:
        """Keep a notice until it is sent."""
        if self._wanted:
            self._waiting.append(notice)

    def send(self) -> None:
        """Begin to send what waits, unless something is being sent."""
        is_sending = self._sender is not None and self._sender.poll() is None
        if is_sending or not self._waiting:
            return
        with tempfile.TemporaryFile() as notices:
            notices.write(json.dumps([asdict(notice) for notice in self._waiting]).encode())
            notices.seek(0)
            self._sender = subprocess.Popen(
                [sys.executable, "-m", "pipeline.scheduling.service_messages"],
                env=self._env,
                stdin=notices,
                start_new_session=True,
            )
        self._waiting.clear()


def main() -> None:
    """Send the notices on standard input."""
    from pipeline.scheduling.notifications import notify_service

    logging.basicConfig(level=logging.ERROR)
    for notice in json.load(sys.stdin):
        notify_service(Notice(**notice))


if __name__ == "__main__":
    main()
