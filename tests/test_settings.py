"""Settings: one reader of the environment, checked when made."""

from pathlib import Path
from typing import get_args

import pytest

from pipeline.errors import SettingsError
from pipeline.models import DEVICES
from pipeline.settings import SETTING_GROUPS, Settings, variables
from tests.made_settings import settings_of


def test_a_flag_wins_over_a_variable_and_an_empty_variable_counts_for_nothing():
    variables = {
        "STOCKCAST_SEED": "3",
        "STOCKCAST_RECIPE": "",
        "STOCKCAST_HORIZON": "",
        "STOCKCAST_HOME": "/srv/a",
        "PATH": "/bin",
    }
    settings = settings_of(variables, home="/srv/b")
    assert (settings.seed, settings.recipe, settings.horizon) == (3, "", None)
    assert (settings.home, settings.workers) == (Path("/srv/b"), 2)


def test_settings_survive_the_way_through_a_child_process():
    settings = settings_of(
        {}, home="/srv/x", seed=9, pool="monthly", test_floor=0.02, tickers="IBM,AAPL", horizon=3
    )
    assert settings_of(settings.to_environ()) == settings
    assert sorted(settings.to_environ()) == sorted(variables())


def test_changed_settings_are_checked_and_keep_the_others():
    settings = settings_of({}, home="/srv/x", seed=9)
    changed = settings.replaced(workers=1, home="/srv/y")
    assert (changed.workers, changed.seed, changed.home) == (1, 9, Path("/srv/y"))
    with pytest.raises(SettingsError, match="workers is 0"):
        settings.replaced(workers=0)


def test_every_setting_stands_in_one_group_and_has_a_help_text():
    grouped = [name for names in SETTING_GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        assert (field.description or "").endswith("."), name


def test_the_devices_are_those_that_recipes_are_trained_on():
    assert get_args(Settings.model_fields["device"].annotation) == DEVICES


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("STOCKCAST_WORKERS", "two", "workers is two; expected: a whole number"),
        ("STOCKCAST_WORKERS", "0", "workers is 0; expected: at least 1"),
        ("STOCKCAST_HORIZON", "0", "horizon is 0; expected: at least 1"),
        ("STOCKCAST_MAX_QUARANTINED", "5", "max_quarantined is 5; expected: at most 1"),
        ("STOCKCAST_POOL", "yearly", "pool is yearly; expected: .*'monthly' or 'quarterly'"),
        ("STOCKCAST_DEVICE", "tpu", "device is tpu; expected: 'cpu' or 'gpu'"),
        ("STOCKCAST_TEST_FLOOR", "1", "test_floor is 1; expected: less than 1"),
        ("STOCKCAST_FETCH_RATE", "0", "fetch_rate is 0; expected: more than 0"),
        ("STOCKCAST_PROMOTION_MARGIN", "0.01", "STOCKCAST_PROMOTION_MARGIN is no setting"),
        ("STOCKCAST_OWNER_LINK", "javascript:alert(1)", "owner_link is javascript:.*mailto:"),
        ("STOCKCAST_NOTIFY_ON", "never", "notify_on is never; expected: 'always' or 'failure'"),
        ("STOCKCAST_AIRFLOW_PORT", "70000", "airflow_port is 70000; expected: at most 65535"),
        ("STOCKCAST_TICKER", "IBM", "STOCKCAST_TICKER is no setting.*STOCKCAST_TICKERS"),
    ],
)
def test_a_value_that_does_not_fit_names_what_would_and_the_flag(variable, value, message):
    with pytest.raises(SettingsError, match=message):
        settings_of({variable: value})


LINK = "STOCKCAST_API_SERVER_"
#: What Kubernetes gives to each pod beside a service `stockcast-api-server`.
SERVICE_LINKS = {
    f"{LINK}SERVICE_HOST": "10.0.0.1",
    f"{LINK}SERVICE_PORT": "8080",
    f"{LINK}SERVICE_PORT_API_SERVER": "8080",
    f"{LINK}PORT": "tcp://10.0.0.1:8080",
    f"{LINK}PORT_8080_TCP": "tcp://10.0.0.1:8080",
    f"{LINK}PORT_8080_TCP_PROTO": "tcp",
    f"{LINK}PORT_8080_TCP_PORT": "8080",
    f"{LINK}PORT_8080_TCP_ADDR": "10.0.0.1",
}


def test_what_kubernetes_tells_about_a_service_is_no_misspelt_setting():
    home = {"STOCKCAST_HOME": "/srv/a"}
    assert settings_of({**home, **SERVICE_LINKS}) == settings_of(home)
    for name in ("STOCKCAST_API_SERVER_PORTS", "STOCKCAST_TICKER"):
        with pytest.raises(SettingsError, match=f"^{name} is no setting"):
            settings_of({**SERVICE_LINKS, name: "x"})
    with pytest.raises(SettingsError, match=f"^{LINK}PORT is no setting"):
        settings_of({f"{LINK}PORT": "tcp://10.0.0.1:8080"})


@pytest.mark.parametrize("name", ["store_url", "tracking_uri"])
def test_a_database_is_reached_by_the_driver_that_is_installed(name):
    plain, own = "postgresql://me:secret@host/db?sslmode=require", "postgresql+asyncpg://host/db"
    assert getattr(Settings().replaced(**{name: plain}), name) == plain.replace(
        "postgresql://", "postgresql+psycopg2://"
    )
    assert getattr(Settings().replaced(**{name: own}), name) == own
