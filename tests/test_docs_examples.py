"""Every example in the documentation is run, or read by what would run it.

A block that no rule covers fails.

sh       each line is a command; `CHECKS` has what holds it, by its first word. What takes long or
         needs more than this machine is read by the real parser; what is quick is run below, and
         the API's example with a running server in `scheduling/test_services.py`
python   `PYTHON` names the test that runs it
toml     read as a file of universes
text     what a command prints, or a drawing
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import yaml
from typer import TyperException

from pipeline.cli.commands import COMMANDS, find_command
from pipeline.connections import key_variables
from pipeline.errors import StockcastError
from pipeline.models import BASELINES, PUBLISHED, RECIPES, har
from pipeline.settings import Settings, variables
from pipeline.universes import declared_name, load_universes
from tests.documents import PAGES, ROOT, page

#: The program of a Python block's test, by what the block holds.
PYTHON = {
    "mlflow.keras.load_model": "tests/test_docs_examples.py",
    "CASTILLA = PriceRecipe(": "tests/models/test_adding_a_recipe.py",
    '"literature.castilla",': "tests/models/test_adding_a_recipe.py",
    "pd.read_parquet(": "tests/daily/test_export.py",
    "FORECASTS = Asset(": "tests/dags/test_published_event.py",
    'forecasts("sample"': "tests/client/test_published_forecasts.py",
    "mlflow.pyfunc.load_model": "tests/serving/test_mlflow_serving.py",
}

#: Variables of Airflow and OpenTelemetry; `tests/scheduling/test_day_metrics.py` sends with them.
AIRFLOW_METRICS = (
    "AIRFLOW__METRICS__STATSD_ON",
    "AIRFLOW__METRICS__STATSD_HOST",
    "AIRFLOW__METRICS__STATSD_PORT",
    "AIRFLOW__METRICS__OTEL_ON",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """All blocks of all pages, or those in these languages."""
    found = []
    for name in PAGES:
        text = page(name)
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            found.append(Block(name, text[: match.start()].count("\n") + 1, match[1], match[2]))
    return [block for block in found if not languages or block.language in languages]


def block_with(words: str) -> str:
    [found] = [block.text for block in blocks() if words in block.text and block.language != "text"]
    return found


def commands(block: Block) -> Iterator[str]:
    """A block's commands, without comments."""
    for line in block.text.splitlines():
        if command := re.sub(r"(^|\s{2,})#.*", "", line).strip():
            yield command


# What holds a command, by its first word. Each raises, or says what is wrong.


def _make(words: list[str]) -> str | None:
    targets = [word for word in words if "=" not in word]
    given = {word.partition("=")[0] for word in words if "=" in word}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets:
        rule = re.search(rf"^{target}:.*\n((?:\t.*\n)*)", makefile, re.MULTILINE)
        if rule is None:
            return f"the Makefile has no target {target}"
        everywhere = set(re.findall(r"^(\w+) \?=", makefile, re.MULTILINE))
        if unused := [name for name in given - everywhere if f"$({name})" not in rule[1]]:
            return f"make {target} does not look at {', '.join(unused)}"
    return None


def _stockcast(words: list[str]) -> str | None:
    command = find_command(words[0])
    if command is None:
        return f"there is no command {words[0]}"
    values = command.make_context(words[0], words[1:]).params
    recipes = f"{values.get('recipe') or ''},{values.get('recipes') or ''}".split(",")
    known = {"", PUBLISHED, *BASELINES, *har.HAR_NAMES}
    for name in {*recipes, values.get("audited") or ""} - known:
        RECIPES.find(name)
    name = values.get("universe") or ""
    if words[0] in ("forecasts", "scores"):  # they print rehearsals too
        name = declared_name(name)
    if name and name not in load_universes():
        return f"there is no universe {values['universe']}"
    if "study" in values:
        from pipeline.research import study_names

        if values["study"] not in study_names(RECIPES):
            return f"there is no study {values['study']}"
    return None


def _export(words: list[str]) -> str | None:
    name = words[0].partition("=")[0]
    others = (
        "PATH",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
    )
    if name in (*others, *AIRFLOW_METRICS, *variables(), *key_variables()):
        return None
    return f"{name} is no setting"


def _copy(words: list[str]) -> str | None:
    source = next(word for word in words if not word.startswith("-"))
    return (
        None
        if source == str(Settings.model_fields["home"].default) or (ROOT / source).exists()
        else f"there is no {source}"
    )


def _git(words: list[str]) -> str | None:
    # A command that git knows prints its usage, and exits with 129.
    return (
        None
        if subprocess.run(["git", words[0], "-h"], capture_output=True).returncode == 129
        else f"git has no {words[0]}"
    )


def _docker(words: list[str]) -> str | None:
    if words[0] == "build":
        return _docker_build(words)
    assert words[:2] == ["compose", "--file"], words
    assert words[3] in ("up", "exec", "run", "stop", "down"), words
    found = yaml.safe_load((ROOT / words[2]).read_text(encoding="utf-8"))["services"]
    named = [word.partition("=")[0] for word in words[4:] if "=" in word]
    if words[3] in ("exec", "run"):
        named = [next(word for word in words[4:] if not word.startswith("-"))]
    return None if set(named) <= set(found) else f"{words[2]} has no {named}"


def _docker_build(words: list[str]) -> str | None:
    file = (ROOT / words[words.index("--file") + 1]).read_text(encoding="utf-8")
    given = [re.split("[=,]", word) for word in words if "=" in word]
    wanted = [
        rf"type=secret,id={each[1]}," if each[0] == "id" else rf"^ARG {each[0]}\b" for each in given
    ]
    missing = [pattern for pattern in wanted if not re.search(pattern, file, re.MULTILINE)]
    return f"the Dockerfile has no {missing}" if missing else None


def _script(words: list[str]) -> str | None:
    return None if (ROOT / words[0]).exists() else f"there is no {words[0]}"


def _mlflow(words: list[str]) -> str | None:
    test = "tests/serving/test_mlflow_serving.py"
    text = (ROOT / test).read_text(encoding="utf-8")
    own = [words[0], words[1], *(word for word in words if word.startswith("-"))]
    missing = [word for word in own if f'"{word}"' not in text]
    return f"{test} does not run mlflow with {missing}" if missing else None


def _elsewhere(test: str) -> Callable[[list[str]], str | None]:
    """Run whole by a test that looks the block up by these words."""

    def look(_: list[str]) -> str | None:
        return (
            None
            if (ROOT / test).exists() and "block_with(" in (ROOT / test).read_text(encoding="utf-8")
            else f"{test} runs no block"
        )

    return look


CHECKS = {
    "make": _make,
    "stockcast": _stockcast,
    "export": _export,
    "cp": _copy,
    "git": _git,
    "docker": _docker,
    "sh": _script,
    "mlflow": _mlflow,
    "curl": _elsewhere("tests/scheduling/test_services.py"),
    "TOKEN": _elsewhere("tests/scheduling/test_services.py"),
    "pg_dump": _elsewhere("tests/test_docs_examples.py"),
}
LINES = [(str(block), command) for block in blocks("sh") for command in commands(block)]


def test_every_block_says_what_it_is():
    assert [
        f"{block}: ```{block.language}"
        for block in blocks()
        if block.language not in ("sh", "python", "toml", "text")
    ] == [], (
        "say sh, python, toml or text after the ```, so that a test can tell what holds the block"
    )
    assert {"sh", "python", "toml", "text"} == {block.language for block in blocks()}, (
        "blocks are no longer found"
    )


@pytest.mark.parametrize(
    ("where", "command"), LINES, ids=[f"{where} {command[:40]}" for where, command in LINES]
)
def test_every_command_is_one_that_its_program_takes(where, command):
    first, _, rest = command.partition(" ")
    if first.startswith("TOKEN="):
        first = "TOKEN"
    assert first in CHECKS, f"{where}: no rule covers `{command}`. Give `{first}` one in CHECKS."
    assert CHECKS[first](shlex.split(rest)) is None, f"{where}: {command}"


def mentioned() -> list[tuple[str, str]]:
    """Page and command of every command in the middle of a sentence or a table."""
    found = []
    for name in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page(name), flags=re.MULTILINE | re.DOTALL)
        found += [
            (name, " ".join(code.split()))
            for _, code in re.findall(r"(`+)(.+?)\1", prose, re.DOTALL)
        ]
    return [
        (name, code)
        for name, code in found
        if code.startswith(("stockcast ", "make ", "python -m pipeline"))
    ]


def test_commands_in_the_middle_of_a_sentence_are_ones_that_their_programs_take():
    problems = {f"{name}: {command}": _problem_of(command) for name, command in mentioned()}
    assert len(problems) > 30
    assert {command: problem for command, problem in problems.items() if problem} == {}


def _problem_of(command: str) -> str | None:
    # Brackets are around what may be left out, `...` and capitals are for the reader to fill in.
    first, *words = shlex.split(re.sub(r"[][]", "", command))
    if first == "python" or {"COMMAND", "RECIPE"} & set(words):
        return None
    if first == "stockcast" and len(words) == 1:  # a name alone, without what it cannot do without
        return None if words[0] in COMMANDS else f"there is no {words[0]}"
    try:
        return CHECKS[first](words)
    except (StockcastError, TyperException) as error:
        return str(error)


@pytest.mark.parametrize(
    "wrong",
    [
        "make runn",
        "make up UNIVERSE=sample",
        "stockcast run --recipe defualt",
        "stockcast backtest --recipes default,nope --from 2010-01-04 --to 2011-12-30",
        "stockcast run --universe nope",
        "stockcast reproduce nope",
        "stockcast forecasts --sesion 2013-03-01",
        "stockcast backfil --from 2013-02-01 --to 2013-02-28",
        "python -m pipeline.scheduling run",
        "export STOCKCAST_STOREURL=x",
        "cp docker/.env.exmple docker/.env",
        "git pul",
        "docker compose --file docker/compose.cluster.yaml up --scale wrker=4",
        "docker build --file docker/Dockerfile --build-arg PACKAGE=slim .",
        "docker build --file docker/Dockerfile --secret id=cert,src=ca.crt .",
        "sh docker/new_envs.sh",
    ],
)
def test_a_wrong_command_is_found(wrong, capsys):
    first, _, rest = wrong.partition(" ")
    try:
        problem = CHECKS[first](shlex.split(rest))
    except Exception as error:
        problem = str(error)
    assert problem is not None


def test_every_python_block_is_run_by_a_test():
    for block in blocks("python"):
        tests = [test for words, test in PYTHON.items() if words in block.text]
        assert tests, f"{block}: no test runs this block. Write one, and name it in PYTHON."
        assert all((ROOT / test).exists() for test in tests)


def test_universes_that_a_page_shows_can_be_used(tmp_path):
    for number, block in enumerate(blocks("toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(block.text, encoding="utf-8")
        made = load_universes(file)
        text = page(block.page)
        assert all(f"UNIVERSE={name}" in text and f"daily_forecast_{name}" in text for name in made)


def test_benchmarks_that_a_page_names_are_there_and_take_what_it_gives():
    found = 0
    for where in PAGES:
        for name, rest in re.findall(r"`python -m benchmarks\.(\w+)([^`]*)`", page(where)):
            module = ROOT / "benchmarks" / f"{name}.py"
            assert module.exists(), f"{where} names benchmarks.{name}"
            program = module.read_text(encoding="utf-8")
            assert [
                flag for flag in re.findall(r"--[\w-]+", rest) if f'"{flag}"' not in program
            ] == [], f"{where}: benchmarks.{name}{rest}"
            found += 1
    assert found > 5


# Examples that are run


@pytest.mark.slow
def test_the_python_of_a_page_loads_what_was_published(made_day):
    parts, _ = made_day
    program = block_with("mlflow.keras.load_model")
    program = program.replace("http://127.0.0.1:5000", parts.settings.tracking_uri).replace(
        "models:/sample.IBM@", "models:/trained.OLD@"
    )
    program += "\nours = [name for name in sys.modules if name.startswith('pipeline')]"
    program += "\nprint(type(model).__module__.partition('.')[0], ours)"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}"],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "keras []\n", done.stderr
