"""MLflow's server behind its own login (the app `basic-auth`):

    MLFLOW_BACKEND_STORE_URI=postgresql+psycopg2://... MLFLOW_FLASK_SERVER_SECRET_KEY=... \\
        python -m pipeline.tracking.server --host 127.0.0.1 --port 5000

Arguments go to `mlflow server`. Its accounts are in MLflow's database; `upgrade` makes the first
one. The app takes the database's URL from a file only, which is written here and is its owner's
alone.
"""

from __future__ import annotations

import configparser
import os
import runpy
import sys
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.addresses import LOOPBACK
from pipeline.garbage import search_rarely
from pipeline.settings import Settings
from pipeline.tracking.mlflow_database import BACKEND_VARIABLE

#: Names the file with the login's configuration; unset: one in the home.
CONFIG_VARIABLE = "MLFLOW_AUTH_CONFIG_PATH"
#: What accounts that an administrator adds may do with what is not theirs.
DEFAULT_PERMISSION = "READ"
#: Seconds for which a password that was right is not hashed again: the hash is slow on purpose.
SECONDS_OF_TRUST = 60


def main() -> None:
    """Run `mlflow server` with the arguments of this process."""
    search_rarely()
    settings = Settings()
    config = Path(os.environ.get(CONFIG_VARIABLE) or settings.home / "airflow" / "mlflow_auth.ini")
    write_config(config, os.environ[BACKEND_VARIABLE])
    os.environ[CONFIG_VARIABLE] = str(config)
    os.environ["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join(allowed_hosts(settings))
    if settings.mlflow_public_url:
        public = urlsplit(settings.mlflow_public_url)
        origin = f"{public.scheme}://{public.netloc}"
        os.environ["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = origin
    sys.argv = ["mlflow", "server", "--app-name", "basic-auth", *sys.argv[1:]]
    runpy.run_module("mlflow", run_name="__main__", alter_sys=True)


def allowed_hosts(settings: Settings) -> list[str]:
    """Return the names by which the server may be asked; a foreign page may not invent others."""
    addresses = (settings.tracking_uri, settings.mlflow_public_url)
    named = [urlsplit(url).netloc.rpartition("@")[2] for url in addresses if url.startswith("http")]
    return list(dict.fromkeys(["localhost:*", f"{LOOPBACK}:*", *named]))


def write_config(path: Path, database: str) -> None:
    """Write the login's configuration, readable by its owner only."""
    config = configparser.ConfigParser()
    config["mlflow"] = {
        "default_permission": DEFAULT_PERMISSION,
        "database_uri": database.replace("%", "%%"),
        "auth_cache_ttl_seconds": str(SECONDS_OF_TRUST),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        config.write(file)
    draft.rename(path)


if __name__ == "__main__":
    main()
