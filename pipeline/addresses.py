"""URLs as people may see them."""

from __future__ import annotations

from urllib.parse import urlsplit


def without_login(url: str) -> str:
    """Return a URL without the name and password that it may have."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in url else url
