"""Compile what the processes of an image import, and nothing else of what is installed.

    python compile_imports.py slim (or full)

Containers cannot write to their image, so what is not compiled here is compiled in memory at every
start. To import is to compile: Python keeps what it has compiled beside the module.
"""

import os
import subprocess
import sys

#: What Airflow's components and the MLflow server import, as they start and as they work.
SLIM = (
    "airflow.api_fastapi.main, httptools, uvloop, uvicorn.protocols.http.httptools_impl",
    "airflow.__main__, argcomplete, rich_argparse, uvicorn.protocols.websockets.websockets_impl",
    "airflow.cli.commands.api_server_command, airflow.cli.commands.db_command",
    "airflow.cli.commands.dag_processor_command, airflow.cli.commands.pool_command",
    "airflow.cli.commands.scheduler_command, airflow.executors.local_executor",
    "airflow.cli.commands.triggerer_command",
    "airflow.providers.celery.cli.celery_command, celery.app.log, celery.worker.strategy",
    "airflow.providers.celery.executors.celery_executor, celery.bin.control, redis",
    "airflow.providers.cncf.kubernetes.executors.kubernetes_executor",
    "airflow.providers.cncf.kubernetes.kube_client, kubernetes.client",
    "airflow.providers.amazon.aws.log.s3_task_handler, boto3.s3.inject, s3fs",
    "airflow.providers.smtp.hooks.smtp, airflow.providers.http.hooks.http",
    "airflow.sdk.execution_time.task_runner",
    "mlflow.cli, mlflow.server.auth, mlflow.server.fastapi_app, uvicorn.workers",
    "mlflow.store.tracking.sqlalchemy_store, mlflow.store.model_registry.sqlalchemy_store",
    "pandas, pyarrow.csv, pyarrow.dataset, pyarrow.parquet, scipy.stats, sklearn.linear_model",
    "matplotlib.figure, matplotlib.backends.backend_agg, exchange_calendars, rich.table, httpx",
    "asyncpg, psycopg2, alembic.command, sqlalchemy.dialects.sqlite, typer",
)
#: What tasks import as well.
FULL = (
    "tensorflow, keras.layers, h5py, PIL.PngImagePlugin",
    "great_expectations, great_expectations.expectations.core",
    "statsforecast.models, optuna, yfinance, tensorboard.compat.proto",
)


if __name__ == "__main__":
    for modules in SLIM if sys.argv[1:] == ["slim"] else FULL:
        environment = {**os.environ, "AIRFLOW_HOME": "/tmp/airflow", "KERAS_BACKEND": "tensorflow"}
        subprocess.run([sys.executable, "-c", f"import {modules}"], env=environment, check=True)
