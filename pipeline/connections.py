"""Connections to services and databases of others: addresses with logins, which are no settings.

A connection has a name. The environment has it as Airflow's variables do: `AIRFLOW_CONN_` and the
name in capitals, with a URL or JSON. Inside Airflow, those of its own count as well. A service's
key may also stand alone in `STOCKCAST_<SERVICE>_KEY`.

No message, page or log has any of it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from pipeline.errors import SettingsError

CONNECTION_PREFIX = "AIRFLOW_CONN_"
#: Services whose key may be a variable of its own.
KEYED_SERVICES = ("alphavantage", "stooq", "tiingo")
#: What every key is made of; anything else would be another header or parameter.
KEY_PATTERN = re.compile(r"[\w.~+/=-]+", re.ASCII)


@dataclass(frozen=True)
class Connection:
    """An address with its login, as Airflow keeps it.

    Attributes:
        kind: Airflow's type of connection, or a database driver's name.
        schema: of a database, its name.
        options: further parameters of the address.
    """

    kind: str = ""
    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    schema: str = ""
    options: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)


#: Returns the connection of a name; None: there is none.
Connections = Callable[[str], Connection | None]


def connections_of_environment(name: str) -> Connection | None:
    """Return the connection of a name that a variable of the environment has.

    Raises:
        SettingsError: its value is neither a URL nor JSON.
    """
    variable = connection_variable(name)
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    try:
        return connection_of(json.loads(text)) if text.startswith("{") else _from_url(text)
    except (ValueError, TypeError, AttributeError):
        raise SettingsError(
            f"{variable} cannot be read; a URL such as postgres://user:password@host/database is "
            "expected, or JSON as Airflow writes it."
        ) from None


def connection_variable(name: str) -> str:
    """Return the variable that holds the connection of a name."""
    return CONNECTION_PREFIX + name.upper()


def key_variable(service: str) -> str:
    """Return the variable that holds a service's key."""
    return f"STOCKCAST_{service.upper()}_KEY"


def key_variables() -> list[str]:
    """Return the variables that hold keys, which are secrets and no settings."""
    return [key_variable(service) for service in KEYED_SERVICES]


def key_of(service: str, connections: Connections) -> str:
    """Return a service's key, or the password of its connection; "": there is none.

    Raises:
        SettingsError: it cannot be one.
    """
    key = os.environ.get(key_variable(service), "").strip()
    if not key and (connection := connections(key_connection(service))):
        key = connection.password.strip()
    if key and not KEY_PATTERN.fullmatch(key):
        raise SettingsError(
            f"The key of {service} has characters that no key has, such as blanks. "
            f"{where_to_set_key(service)}"
        )
    return key


def key_connection(service: str) -> str:
    """Return the name of the connection with a service's key as its password."""
    return f"stockcast_{service}"


def where_to_set_key(service: str) -> str:
    """Return where a service's key is set, as the end of a message."""
    return (
        f"Set {key_variable(service)} to a valid one, or the password of the Airflow connection "
        f"{key_connection(service)}."
    )


def connection_of(values: Mapping[str, object]) -> Connection:
    """Return a connection of the values that Airflow has, by its names of them."""
    extra = values.get("extra") or {}
    port = values.get("port")
    return Connection(
        kind=str(values.get("conn_type") or ""),
        host=str(values.get("host") or ""),
        port=int(str(port)) if port else None,
        login=str(values.get("login") or ""),
        password=str(values.get("password") or ""),
        schema=str(values.get("schema") or ""),
        options=_texts(json.loads(extra) if isinstance(extra, str) else extra),
    )


def _from_url(text: str) -> Connection:
    parts = urlsplit(text)
    if not parts.scheme:
        raise ValueError("no kind")
    path = parts.path[1:]
    return Connection(
        kind=parts.scheme,
        host=unquote(parts.hostname or ""),
        port=parts.port,
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        schema=unquote(path),
        options=_texts(dict(parse_qsl(parts.query))),
    )


def _texts(options: object) -> dict[str, str]:
    """Return those options that are texts: an address has no others."""
    if not isinstance(options, Mapping):
        return {}
    return {str(name): value for name, value in options.items() if isinstance(value, str)}
