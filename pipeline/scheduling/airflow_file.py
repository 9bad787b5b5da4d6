"""airflow.cfg of a deployment, where people may set what only tunes its Airflow.

At its first start Airflow would write one with every option and its default, in which nobody can
tell what people have changed. So a file without options is made before.
"""

from __future__ import annotations

import configparser
from pathlib import Path

from pipeline.errors import SettingsError

#: What Airflow writes above an option in a file of its own, where all is defaults.
WRITTEN_BY_AIRFLOW = "# Variable: AIRFLOW__CORE__EXECUTOR"
HEAD = """\
# Options of this deployment's Airflow, such as `parallelism = 8` below a line `[core]`.
# Its address, users, keys, databases and folders are set by stockcast, and refused here.
"""


def airflow_file(folder: Path) -> Path:
    """Return the path of the file below AIRFLOW_HOME."""
    return folder / "airflow.cfg"


def make_airflow_file(folder: Path) -> None:
    """Make the file where there is none; AIRFLOW_HOME is there."""
    path = airflow_file(folder)
    if not path.exists():
        path.write_text(HEAD)


def options_of_file(folder: Path) -> dict[str, str]:
    """Return what people have set in the file: the name in it, by that of the variable.

    Raises:
        SettingsError: it cannot be read.
    """
    path = airflow_file(folder)
    if not path.is_file():
        return {}
    text = path.read_text(errors="replace")
    if WRITTEN_BY_AIRFLOW in text:
        return {}
    file = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        file.read_string(text)
    except configparser.Error as error:
        raise SettingsError(f"{path} cannot be read ({error}). Correct that line.") from None
    return {
        f"AIRFLOW__{section}__{option}".replace(".", "_").upper(): f"[{section}] {option}"
        for section in file.sections()
        for option in file[section]
    }
