"""URLs as people may see them, and hosts that are asked without a proxy."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
PLAIN_POSTGRES, POSTGRES_DRIVER = "postgresql://", "postgresql+psycopg2"


def is_url(place: str) -> bool:
    """Return whether a place is a URL, and no path."""
    return "://" in place


def with_driver(url: str) -> str:
    """Name PostgreSQL's driver in a database URL that leaves it out.

    SQLAlchemy's default differs by version, and may be one that is not installed.
    """
    rest = url.removeprefix(PLAIN_POSTGRES)
    return url if rest == url else f"{POSTGRES_DRIVER}://{rest}"


def without_login(url: str) -> str:
    """Return a URL without the name and password that it may have."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in url else url


def without_proxy() -> dict[str, str]:
    """Return the variables with the hosts that are asked without a proxy.

    They are this machine, and those that are set already.
    """
    named = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    hosts = [host.strip() for host in (*named.split(","), LOOPBACK, "localhost")]
    value = ",".join(dict.fromkeys(filter(None, hosts)))
    return {"NO_PROXY": value, "no_proxy": value}
