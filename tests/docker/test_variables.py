"""The variables of the container files: settings, options of Airflow, secrets, defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.connections import key_variables
from pipeline.settings import PREFIX, Settings, variables
from tests.docker.container_files import (
    CLUSTER,
    COMPOSE,
    IMAGES,
    SHARED,
    SINGLE,
    Files,
    all_services,
    chart_environment,
    environment,
    example,
    files,
    has_celery,
    holds,
    image_environment,
    interpolations,
    services,
    strings,
    unfilled_services,
    values,
)
from tests.made_settings import settings_of

#: Keys of price services, which are no settings, and may be left out.
KEYS = {*key_variables()}


def setting_faults(texts: Files) -> list[str]:
    """Look outside variables too: a name in a comment misleads as well."""
    known = {*variables(), *KEYS}
    return [
        f"{name}: {variable}"
        for name, text in texts.items()
        for variable in set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", text)) - known
    ]


def test_every_stockcast_variable_is_a_setting():
    holds(
        setting_faults,
        (SINGLE, "STOCKCAST_ARTIFACTS:", "STOCKCAST_ARTEFACTS:"),
        ("values.yaml", "name: STOCKCAST_WORKERS", "name: STOCKCAST_WORKER"),
        (".env.example", "#STOCKCAST_SEED=7", "#STOCKCAST_SEEDS=7"),
    )


def example_faults(texts: Files) -> list[str]:
    listed = [
        (name, value)
        for name, value, mark in example(texts[".env.example"])
        if name.startswith(PREFIX) and mark and name not in KEYS
    ]
    defaults = {
        PREFIX + name.upper(): "" if value is None else str(value)
        for name, value in vars(Settings()).items()
    }
    defaults["STOCKCAST_HOME"] = "var"  # relative to where it is run
    names = [name for name, _ in listed]
    counts = {name: names.count(name) for name in variables()}
    return [
        *(f"{name} is listed {count} times" for name, count in counts.items() if count != 1),
        *(f"{name} has {value!r}" for name, value in listed if defaults.get(name) != value),
    ]


def test_the_example_lists_every_setting_once_with_its_default():
    seed = "#STOCKCAST_SEED=7\n"
    holds(
        example_faults,
        (".env.example", seed, "#STOCKCAST_SEED=8\n"),
        (".env.example", seed, ""),
        (".env.example", seed, seed + seed),
    )


def explanation_faults(texts: Files) -> list[str]:
    text = texts[".env.example"]
    used = {name for file in (*COMPOSE, SHARED) for name, _ in interpolations(texts[file])}
    names = [name for name, _, _ in example(text)]
    explained = re.findall(r"^# [^-\n].*\n#?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)
    known = {*used, *variables()}
    return [
        *(f"{name} is listed twice" for name in set(names) if names.count(name) > 1),
        *(f"{name} is not explained" for name in names if name not in explained),
        *(f"{name} is used by nothing" for name in names if name not in known),
        *(f"{name} is not listed" for name in used if name not in names),
    ]


def test_every_variable_of_the_example_is_explained_and_used():
    holds(
        explanation_faults,
        (".env.example", "# The password of Airflow's user `admin`.\n", ""),
        (".env.example", "S3_SECRET_KEY=", "S3_SECRET="),
        (SHARED, "${AIRFLOW_ADMIN_PASSWORD:?", "${AIRFLOW_PASSWORD:?"),
    )


def passing_faults(texts: Files) -> list[str]:
    """Look for settings that somebody may set in .env, and no container hears of."""
    fixed = {"STOCKCAST_HOME", "STOCKCAST_TRACKING_URI"}
    faults = []
    for file in COMPOSE:
        used = {name for text in (file, SHARED) for name, _ in interpolations(texts[text])}
        faults += [f"{file}: {name}" for name in sorted({*variables(), *KEYS} - fixed - used)]
    return faults


def test_every_setting_of_the_example_reaches_the_containers():
    seed = "  STOCKCAST_SEED: ${STOCKCAST_SEED:-}\n"
    holds(
        passing_faults,
        (SHARED, seed, ""),
        (CLUSTER, "${STOCKCAST_ARTIFACTS:-s3://stockcast/artifacts}", "s3://stockcast/artifacts"),
    )


def secret_faults(texts: Files) -> list[str]:
    listed = {name: (value, mark) for name, value, mark in example(texts[".env.example"])}
    uses = [use for file in (*COMPOSE, SHARED) for use in interpolations(texts[file])]
    required = {name for name, rest in uses if rest.startswith(":?")}
    secret = {name for name, _ in uses if re.search("PASSWORD|KEY|SECRET", name)}
    optional = {name for name in KEYS if (name, ":-") in uses}
    defaults = [name for name, rest in uses if name in secret - optional and rest.startswith(":-")]
    filled = [name for name in required if listed.get(name) != ("", "")]
    given = [name for name, (_, mark) in listed.items() if not mark and name not in required]
    return [
        *(f"{name} has a default" for name in defaults),
        *(f"{name} may be left out" for name in secret - required - optional),
        *(f"{name} is required but not empty in the example" for name in filled),
        *(f"{name} is set in the example" for name in given),
    ]


def test_secrets_are_required_and_have_no_default():
    redis = "redis://:${REDIS_PASSWORD:?set it in docker/.env}@"
    token = "${AIRFLOW_JWT_SECRET:?set it in docker/.env}"
    holds(
        secret_faults,
        (CLUSTER, redis, "redis://:${REDIS_PASSWORD:-redis}@"),
        (SHARED, token, "${AIRFLOW_JWT_SECRET}"),
        (SHARED, "${STOCKCAST_TIINGO_KEY:-}", "${STOCKCAST_TIINGO_KEY:-demo}"),
        (".env.example", "POSTGRES_PASSWORD=", "POSTGRES_PASSWORD=postgres"),
        (".env.example", "#AIRFLOW_PARALLELISM=4", "AIRFLOW_PARALLELISM=4"),
    )


def default_faults(texts: Files) -> list[str]:
    defaults: dict[str, set[str]] = {}
    for file in (*COMPOSE, SHARED):
        for name, rest in interpolations(texts[file]):
            if rest.startswith(":-") and rest != ":-":  # empty: not set, so Stockcast's own
                defaults.setdefault(name, set()).add(rest[2:])
    return [
        f"{name} has {value!r}, not one of {sorted(defaults[name])}"
        for name, value, _ in example(texts[".env.example"])
        if name in defaults and value and value not in defaults[name]
    ]


def test_defaults_in_the_example_are_those_of_the_compose_files():
    holds(
        default_faults,
        (".env.example", "#AIRFLOW_PARALLELISM=4", "#AIRFLOW_PARALLELISM=5"),
        (SHARED, "${STOCKCAST_MLFLOW_PORT:-5000}", "${STOCKCAST_MLFLOW_PORT:-5001}"),
    )


def option_faults(texts: Files) -> list[str]:
    from airflow.configuration import retrieve_configuration_description

    described = retrieve_configuration_description(include_airflow=True, include_providers=True)
    known = {f"{name}.{option}" for name, each in described.items() for option in each["options"]}
    environments = [image_environment(texts), chart_environment(texts)]
    environments += [environment(service) for _, _, service in all_services(texts)]
    names = {name for each in environments for name in each if name.startswith("AIRFLOW__")}
    named = {".".join(name.lower().split("__")[1:3]) for name in names}
    for section, options in values(texts)["config"].items():
        named |= {f"{section}.{option}" for option in options}
    celery = ("celery", "celery_broker_transport_options", "kubernetes_executor")
    unknown = () if has_celery() else celery
    return [
        f"Airflow has no option {name}"
        for name in named - known
        if name.split(".")[0] not in unknown
    ]


@pytest.mark.slow
def test_every_airflow_variable_is_an_option_of_airflow():
    holds(
        option_faults,
        (SHARED, "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__CORE__FERNET"),
        (CLUSTER, "AIRFLOW__LOGGING__REMOTE_LOGGING", "AIRFLOW__LOGGING__REMOTE"),
        ("Dockerfile", "AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__CORE__DAG_FOLDER"),
        ("values.yaml", "remote_base_log_folder:", "remote_log_folder:"),
    )


def sharing_faults(texts: Files) -> list[str]:
    """A component that signs with another key, or logs elsewhere, is not understood by the rest."""
    faults = []
    for file in COMPOSE:
        ours = {
            name: environment(service)
            for name, service in services(texts, file).items()
            if service["image"] in IMAGES
        }
        scheduler = ours["scheduler"]
        everywhere = "AIRFLOW__CORE__EXECUTOR|AIRFLOW__LOGGING__|STOCKCAST_|AWS_(ENDPOINT|DEFAULT)"
        needed = [key for key in scheduler if re.match(everywhere, key) and key not in GIVEN]
        faults += [
            f"{file}: {name} has {key}={own.get(key)!r}"
            for name, own in ours.items()
            for key in {*needed, *(own.keys() & scheduler.keys())}
            if own.get(key) != scheduler[key]
        ]
    return faults


#: Variables that some components are not given.
GIVEN = {"STOCKCAST_STORE_URL", *KEYS}


def test_every_component_has_the_settings_that_it_must_share():
    password = "      AIRFLOW_ADMIN_PASSWORD:"
    holds(
        sharing_faults,
        (SHARED, password, f"      AIRFLOW__API_AUTH__JWT_SECRET: other\n{password}"),
        (CLUSTER, "<<: [*environment, *objects, *queue, *logs]", "<<: [*objects, *queue, *logs]"),
    )


#: The secrets of .env that a service is given, itself or as part of a URL.
AIRFLOW_DATABASE, RESULTS = (
    {"POSTGRES_AIRFLOW_PASSWORD"},
    {"POSTGRES_STOCKCAST_PASSWORD", "MLFLOW_ADMIN_PASSWORD"},
)
CONNECTIONS, TOKENS = {"AIRFLOW_FERNET_KEY"}, {"AIRFLOW_JWT_SECRET"}
LOGS, OBJECTS, QUEUE = (
    {"AIRFLOW_API_SECRET_KEY"},
    {"S3_ACCESS_KEY", "S3_SECRET_KEY"},
    {"REDIS_PASSWORD"},
)
MLFLOW_DATABASE = {"POSTGRES_MLFLOW_PASSWORD"}
SECRETS: dict[str, set[str]] = {
    "postgres": {"POSTGRES_PASSWORD", "POSTGRES_STOCKCAST_PASSWORD"}
    | AIRFLOW_DATABASE
    | MLFLOW_DATABASE,
    "migrate": AIRFLOW_DATABASE | MLFLOW_DATABASE | {"MLFLOW_ADMIN_PASSWORD"},
    "mlflow": MLFLOW_DATABASE | {"MLFLOW_SECRET_KEY"},
    "api-server": AIRFLOW_DATABASE
    | CONNECTIONS
    | TOKENS
    | RESULTS
    | LOGS
    | {"AIRFLOW_ADMIN_PASSWORD"},
    "scheduler": AIRFLOW_DATABASE | TOKENS | RESULTS | KEYS,
    "dag-processor": AIRFLOW_DATABASE | CONNECTIONS | RESULTS,
    "triggerer": AIRFLOW_DATABASE | CONNECTIONS,
}
CLUSTER_SECRETS: dict[str, set[str]] = {
    "postgres": SECRETS["postgres"],
    "redis": QUEUE,
    "s3": OBJECTS,
    "bucket": OBJECTS,
    "migrate": SECRETS["migrate"],
    "mlflow": SECRETS["mlflow"] | OBJECTS,
    "api-server": SECRETS["api-server"] | OBJECTS,
    "scheduler": SECRETS["scheduler"] | OBJECTS | QUEUE,
    "dag-processor": SECRETS["dag-processor"] | OBJECTS,
    "triggerer": SECRETS["triggerer"] | OBJECTS | LOGS,
    "worker": AIRFLOW_DATABASE | RESULTS | KEYS | OBJECTS | QUEUE | LOGS,
}


def given_faults(texts: Files) -> list[str]:
    """Look for every secret by its value: how it gets into a container does not matter."""
    uses = [use for file in (*COMPOSE, SHARED) for use in interpolations(texts[file])]
    secret = {name for name, rest in uses if rest.startswith(":?")} | KEYS
    faults = []
    for file, expected in ((SINGLE, SECRETS), (CLUSTER, CLUSTER_SECRETS)):
        for name, service in unfilled_services(texts, file).items():
            if "env_file" in service:
                faults.append(f"{file}: {name} is given all of .env")
            given = {each for each, _ in interpolations("\n".join(strings(service)))} & secret
            if given != expected[name]:
                faults.append(f"{file}: {name} is given {sorted(given)}")
            spoken = [service.get("command", []), service.get("healthcheck", {})]
            told = {each for each, _ in interpolations("\n".join(strings(spoken)))} & secret
            faults += [f"{file}: {name} has {each} on a command line" for each in told]
    return faults


def test_each_container_is_given_its_own_secrets_and_no_others():
    start = "    stop_grace_period: 1m"
    everything = "<<: [*environment, *objects, *queue, *logs]"
    holds(
        given_faults,
        (SHARED, start, f"    env_file: .env\n{start}"),
        (SHARED, "<<: [*airflow-database, *connections]\n", "<<: [*airflow-database, *tokens]\n"),
        (SHARED, "[*airflow-database, *tokens, *results,", "[*airflow-database, *results,"),
        (SHARED, "<<: [*airflow-database, *connections, *results]", "<<: [*results, *price-keys]"),
        (CLUSTER, everything, "<<: [*environment, *queue, *logs]"),
        (SINGLE, "--workers=1", "--workers=${MLFLOW_SECRET_KEY:?}"),
    )


def test_the_settings_of_every_container_are_read_without_complaint():
    for _, _, service in all_services(files()):
        variables_of = {key: str(value) for key, value in environment(service).items()}
        if variables_of.get("STOCKCAST_HOME"):
            assert settings_of(variables_of).home == Path("/var/lib/stockcast")
    chart = chart_environment(files())
    settings = {name: value for name, value in chart.items() if name.startswith(PREFIX)}
    assert settings_of(settings).artifacts == "s3://stockcast/artifacts"


def test_the_cluster_is_one_of_celery_and_keeps_nothing_on_a_workers_disk():
    worker = services(files(), CLUSTER)["worker"]
    own = environment(worker)
    # Or it could not be scaled.
    assert not {"container_name", "ports"} & set(worker)
    # Without a name: each worker's own.
    assert worker["volumes"] == ["./own:/opt/own:ro", "/var/lib/stockcast"]
    single = environment(services(files(), SINGLE)["scheduler"])
    executors = [each["AIRFLOW__CORE__EXECUTOR"] for each in (own, single)]
    assert executors == ["CeleryExecutor", "LocalExecutor"]
    places = ("STOCKCAST_ARTIFACTS", "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER")
    assert all(own[place].startswith("s3://") for place in places)
