"""Looks whether this deployment can work: configuration, store, tracking, source; and says what to do where it cannot."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline import assembly
from pipeline.errors import StockcastError
from pipeline.settings import Settings


@dataclass(frozen=True)
class Finding:
    what: str
    well: bool
    told: str


def examine(settings: Callable[[], Settings], now: dt.datetime) -> list[Finding]:
    """One finding per thing looked at; nothing is changed but that an empty store gets its tables.

    Args:
        settings: makes the settings, so that a wrong one is a finding too.
    """
    first, made = _try("configuration", settings, lambda made: f"home {made.home}")
    if made is None:
        return [first]
    return [first, *_examine_parts(made, now)]


def _examine_parts(settings: Settings, now: dt.datetime) -> Iterator[Finding]:
    from pipeline import steps

    with assembly.parts(settings) as parts:
        finding, universe = _try(
            "universe",
            lambda: assembly.universe_of(settings),
            lambda found: f"{found.name}: {len(found.tickers)} tickers from {found.source}, recipe {found.recipe}",
        )
        yield finding
        yield _try("store", lambda: parts.store, lambda _: assembly.store_name(parts))[0]
        yield _try("artifacts", lambda: _write_and_read(parts), str)[0]
        if universe is None:
            return
        yield _try("tracking", lambda: parts.tracker(universe.name).prepare(), lambda _: "MLflow answers")[0]
        finding, run = _try("session", lambda: steps.plan(parts, universe, None, now), lambda run: f"the newest is {run.session}")
        yield finding
        if run is not None:
            yield _try(
                "source", lambda: steps.probe(parts, run), lambda bars: f"{universe.tickers[0]}: {bars} bars up to {run.session}"
            )[0]


def _try(what: str, action: Callable, told: Callable) -> tuple[Finding, object]:
    try:
        result = action()
    except StockcastError as error:
        return Finding(what, False, str(error)), None
    return Finding(what, True, told(result)), result


def _write_and_read(parts: assembly.Parts) -> str:
    parts.artifacts.require()
    parts.artifacts.put_content("doctor", ".txt", b"written by stockcast doctor")
    return parts.artifacts.url("")
