"""The currency of prices on its way from the source, or the universe, to what is published."""

import dataclasses
import datetime as dt

import pytest

from pipeline.daily import page_tables, with_currency
from pipeline.tables import FINDINGS, FORECASTS, SCORES
from tests.daily.quick_days import QuickParts, quick_day
from tests.made_days import NOW, UNIVERSE, made_source
from tests.made_prices import LAST, MadeSource

pytestmark = pytest.mark.integration

BEFORE, LATER = dt.date(2013, 2, 28), NOW + dt.timedelta(days=1)


class PricedSource(MadeSource):
    """A source that names currencies."""

    def __init__(self, currencies):
        super().__init__(made_source().bars)
        self.currencies = currencies

    def fetch_raw(self, ticker, *asked):
        raw = super().fetch_raw(ticker, *asked)
        return dataclasses.replace(raw, currency=self.currencies.get(ticker, ""))


@pytest.fixture
def source():
    return PricedSource({"AAA": "GBX", "BBB": "jpy"})


@pytest.fixture
def parts(tmp_path, source):
    with QuickParts(tmp_path, source) as made:
        yield made


def published(parts, run):
    rows = with_currency(parts.store, parts.rows(FORECASTS, run), **run.key)
    return dict(zip(rows["ticker"], rows["currency"], strict=True))


def test_each_ticker_has_the_currency_that_its_source_names(parts):
    run = quick_day(parts, universe=UNIVERSE, last="publish")
    assert published(parts, run) == {"AAA": "GBp", "BBB": "JPY", "CCC": ""}


def test_that_of_the_universe_comes_first(parts):
    universe = dataclasses.replace(UNIVERSE, currency="EUR")
    run = quick_day(parts, universe=universe, last="publish")
    assert published(parts, run) == dict.fromkeys(("AAA", "BBB", "CCC"), "EUR")


def test_one_that_changes_is_a_line_and_a_finding_and_what_was_published_keeps_its_own(
    parts, source
):
    before = quick_day(parts, BEFORE, UNIVERSE, "publish", NOW)
    source.currencies["AAA"] = "GBP"
    parts.messages.clear()
    parts.store.prices.clock = lambda: LATER
    run = quick_day(parts, LAST, UNIVERSE, "publish", LATER)
    line = "prices are in GBP now, in GBp (pence) before"
    assert ("ingest", "AAA", line) in parts.messages
    findings = parts.rows(FINDINGS, run)
    [changed] = findings[findings["rule"] == "currency_changed"].to_dict("records")
    assert (changed["ticker"], changed["severity"]) == ("AAA", "record")
    assert line in changed["message"]
    assert published(parts, run)["AAA"] == "GBP"
    assert published(parts, before)["AAA"] == "GBp"


def test_tables_of_several_sessions_have_the_currency_of_each(parts, source):
    quick_day(parts, BEFORE, UNIVERSE, "publish", NOW)
    source.currencies["AAA"] = "GBP"
    parts.store.prices.clock = lambda: LATER
    run = quick_day(parts, LAST, UNIVERSE, "score", LATER)
    series = {name: run.key[name] for name in ("universe", "recipe", "target")}
    scores = parts.store.load(SCORES, **series)
    scored = with_currency(parts.store, scores, **series)
    of_ticker = dict(zip(scored["ticker"], scored["currency"], strict=True))
    assert of_ticker == {"AAA": "GBp", "BBB": "JPY", "CCC": ""}
    assert list(scored.columns)[list(scored.columns).index("currency") + 1] == "y_hat"
    [own] = page_tables.matching(parts.store, series)
    earlier = page_tables.earlier(parts.store, own, "AAA", LAST, 1)
    assert earlier["currency"].tolist() == ["GBp", "GBP"]
    history = page_tables.history(parts.store, own, "AAA", BEFORE)
    assert set(history["currency"]) == {"GBp"}
