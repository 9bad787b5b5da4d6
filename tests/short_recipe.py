"""Airflow and this project's command line with the short recipe of `made_days` as the default one:

    python -m tests.short_recipe airflow celery worker ...
    python -m tests.short_recipe stockcast backfill ...

An Airflow task is a fork of its worker, and a process that trains is given the recipe, so it is the
same one everywhere.
"""

from __future__ import annotations

import os
import sys
from functools import partialmethod

#: The variable with this machine's name.
MACHINE = "CLUSTER_MACHINE"


def machine_name() -> str:
    """Return what Airflow notes as the host of a task.

    One computer stands for several machines here.
    """
    return os.environ[MACHINE]


def main() -> int:
    from pipeline.parts import Parts
    from tests.made_days import SMALL_RECIPES

    # Nobody here names recipes, so all parts of this process find the short one.
    Parts.__init__ = partialmethod(Parts.__init__, recipes=SMALL_RECIPES)
    program = sys.argv.pop(1)
    return _airflow() if program == "airflow" else _stockcast()


def _airflow() -> int:
    from pipeline.scheduling.preloaded_airflow import main as airflow

    airflow()
    return 0


def _stockcast() -> int:
    from pipeline.cli import main as stockcast

    return stockcast(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
