"""The Forecasts pages inside Airflow, and their API.

Every process of Airflow imports its plugins, so the pages' own modules are imported when a page is
asked for.
"""

from __future__ import annotations

from typing import Any

PAGES_PREFIX = "/forecasts"
#: The pages' external view in Airflow's frame and navigation (see `plugin.py`), and its path.
PAGES_VIEW = "forecasts"
PAGES_VIEW_PATH = f"/plugin/{PAGES_VIEW}"


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer a request, as an ASGI application."""
    from pipeline.scheduling.pages.site import site

    await site()(scope, receive, send)
