"""Settings: one reader of the environment, checked when made."""

from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.settings import Settings, variables


def test_a_flag_wins_over_a_variable_and_an_empty_variable_counts_for_nothing():
    environ = {"STOCKCAST_SEED": "3", "STOCKCAST_RECIPE": "", "STOCKCAST_HOME": "/srv/a", "PATH": "/bin"}
    settings = Settings.from_env(environ, home="/srv/b", workers=None)
    assert (settings.seed, settings.recipe, settings.home, settings.workers) == (3, "", Path("/srv/b"), 2)


def test_settings_survive_the_way_through_a_child_process():
    settings = Settings(home=Path("/srv/x"), seed=9, pool="monthly", test_floor=0.02, tickers="IBM,AAPL")
    assert Settings.from_env(settings.to_environ()) == settings
    assert sorted(settings.to_environ()) == sorted(variables())


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("STOCKCAST_WORKERS", "two", "STOCKCAST_WORKERS is 'two'; a whole number"),
        ("STOCKCAST_WORKERS", "0", "workers is 0; at least 1"),
        ("STOCKCAST_HORIZON", "0", "horizon is 0; at least 1"),
        ("STOCKCAST_MAX_QUARANTINED", "5", "max_quarantined is 5.0; a fraction"),
        ("STOCKCAST_POOL", "yearly", "pool is yearly; daily or weekly or monthly or quarterly"),
        ("STOCKCAST_TEST_FLOOR", "1", "test_floor is 1.0; a fraction"),
        ("STOCKCAST_PROMOTION_MARGIN", "0.01", "STOCKCAST_PROMOTION_MARGIN is no setting"),
        ("STOCKCAST_OWNER_LINK", "javascript:alert(1)", r"owner_link is javascript:.*; https://\.\.\. or mailto:"),
        ("STOCKCAST_NOTIFY_ON", "never", "notify_on is never; always or failure"),
        ("STOCKCAST_AIRFLOW_PORT", "70000", "airflow_port is 70000; a port"),
        ("STOCKCAST_TICKER", "IBM", "STOCKCAST_TICKER is no setting.*STOCKCAST_TICKERS"),
    ],
)
def test_a_value_that_does_not_fit_says_what_would(variable, value, told):
    with pytest.raises(SettingsError, match=told):
        Settings.from_env({variable: value})
