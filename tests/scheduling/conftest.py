"""Airflow reads its configuration when it is imported: an empty home of its own, before any test imports it."""

import os
import tempfile

os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="stockcast-test-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "false"
