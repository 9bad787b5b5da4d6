"""Airflow for the tests of the chart: imported in an empty home."""

from tests.airflow_homes import use_empty_home

use_empty_home()
