"""The Forecasts pages' API inside an Airflow, as the client asks it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.addresses import without_login
from pipeline.errors import NothingStored, RunError, SettingsError, TryAgain
from pipeline.tables import FORECASTS

if TYPE_CHECKING:
    import httpx
    import pandas as pd

#: Below Airflow's address.
PUBLISHED_PATH = "/forecasts/api/published"
#: Seconds for an answer.
MOST_SECONDS = 60


def published_rows(
    url: str, token: str, names: Mapping[str, str], cutoff: dt.date | None
) -> pd.DataFrame:
    """Return FORECASTS rows of a session, with their currency.

    Args:
        url: of Airflow, with the path below which it is, if there is one.
        token: "": none, where Airflow asks nobody to log in.
        names: of a series.
        cutoff: None: the newest.

    Raises:
        SettingsError: the address is none, or the token is refused.
        NothingStored: nothing like that has been published.
        RunError: the address gives no such answer.
    """
    import pandas as pd

    if urlsplit(url).scheme not in ("http", "https"):
        raise SettingsError(f"{url!r} is no address. Give url as http://host:8080 or https://...")
    query = {name: value for name, value in names.items() if value}
    if cutoff is not None:
        query["session"] = cutoff.isoformat()
    rows = _rows(_answer(url.rstrip("/") + PUBLISHED_PATH, token, query), url)
    table = pd.DataFrame(rows, columns=[*FORECASTS.columns, "currency"])
    return FORECASTS.typed(table).assign(currency=table["currency"])


def _answer(address: str, token: str, query: Mapping[str, str]) -> httpx.Response:
    import httpx

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        # A redirection is not followed: the token is for this address alone.
        return httpx.get(address, params=dict(query), headers=headers, timeout=MOST_SECONDS)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise TryAgain(
            f"{without_login(address)} does not answer ({error}). Look whether Airflow runs there "
            "(`stockcast up`), and whether url is right."
        ) from None


def _rows(response: httpx.Response, url: str) -> list[dict[str, Any]]:
    """Return the rows of an answer."""
    where, detail = without_login(url), _detail(response)
    if response.status_code in (401, 403):
        raise SettingsError(
            f"Airflow at {where} refuses the token ({detail}). Give token=..., or set "
            f"AIRFLOW_API_TOKEN; `POST {where.rstrip('/')}/auth/token` makes one."
        )
    if response.status_code == 404 and detail:
        raise NothingStored(detail)
    if response.status_code != 200:
        raise RunError(
            f"{where} answers with {response.status_code} ({detail or 'no reason'}). Give url as "
            "people open Airflow; the Forecasts pages have to be there."
        )
    try:
        rows: list[dict[str, Any]] = response.json()
    except ValueError:
        raise RunError(
            f"{where} answers with no rows. Give url as people open Airflow; the Forecasts pages "
            "have to be there."
        ) from None
    return rows


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return ""
