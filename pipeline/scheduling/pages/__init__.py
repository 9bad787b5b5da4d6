"""The Forecasts pages inside Airflow. Every process of Airflow imports its plugins: what pages need is imported when one is asked for."""

from __future__ import annotations

from typing import Any

PREFIX = "/forecasts"
#: Where they are within Airflow's frame and navigation: its path for the external view `VIEW` (see `plugin.py`).
VIEW = "forecasts"
FORECASTS_VIEW = f"/plugin/{VIEW}"


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The pages as an ASGI application."""
    from pipeline.scheduling.pages.site import pages

    await pages()(scope, receive, send)
