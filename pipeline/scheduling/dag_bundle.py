"""The shipped DAG files as a bundle of Airflow, wherever this package is installed."""

from __future__ import annotations

from typing import Any

from airflow.dag_processing.bundles.local import LocalDagBundle

from pipeline.shipped_files import shipped_folder


class ShippedDags(LocalDagBundle):
    """The folder of shipped DAG files, for `[dag_processor] dag_bundle_config_list`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path=str(shipped_folder("dags")), **options)
