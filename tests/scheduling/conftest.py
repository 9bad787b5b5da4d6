"""Airflow reads its configuration when it is imported: an empty home of its own, before any test imports it."""

import os
import tempfile

_home = tempfile.TemporaryDirectory(prefix="stockcast-test-airflow-")  # removed when this process ends
os.environ["AIRFLOW_HOME"] = _home.name
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "false"
