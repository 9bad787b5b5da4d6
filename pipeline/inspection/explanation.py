"""The explanation of a published forecast, from the store alone."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.daily import (
    DATASET_ROLES,
    Lineup,
    NetworkEntry,
    lineup,
    page_tables,
    run_of,
    with_currency,
    with_events,
)
from pipeline.errors import LookAtTheData, NothingStored, SettingsError
from pipeline.models import CPU
from pipeline.parts import Parts
from pipeline.reporting import first_names
from pipeline.tables import (
    CALIBRATIONS,
    DATASETS,
    DRIFT,
    FORECASTS,
    MODELS,
    PROMOTIONS,
    SERIES,
    Table,
)
from pipeline.universes import Universe

if TYPE_CHECKING:
    from pipeline.run import Run
    from pipeline.settings import Settings

#: A row of a table, by column.
Row = Mapping[str, Any]


@dataclass(frozen=True)
class NetworkRecord:
    """A network of a run.

    Attributes:
        label: a ticker, or `SHARED`.
        row: its MODELS row; empty: it is not in the store.
        members: the tickers that it learnt from, where they are known.
        base: the model_id of the pooled network that it went on from; "": random weights.
    """

    role: str
    label: str
    model_id: str
    row: Row
    members: tuple[str, ...] = ()
    base: str = ""


@dataclass(frozen=True, eq=False)
class Explanation:
    """All that the store knows of a published forecast.

    Attributes:
        key: its RUN_KEY columns.
        forecasts, datasets, calibrations, drift: its rows of FORECASTS (with their currency),
            DATASETS, CALIBRATIONS and DRIFT.
        promotion: its row of PROMOTIONS.
        request: its row of RUNS; None: the version that published it did not keep it.
        networks: those that were compared and the pooled ones that they went on from, the published
            one first.
        has_lineup: False: the version that published it did not keep what it compared, so only the
            published network is known.
    """

    key: dict[str, Any]
    forecasts: pd.DataFrame
    datasets: pd.DataFrame
    calibrations: pd.DataFrame
    drift: pd.DataFrame
    promotion: Row
    request: Row | None
    networks: tuple[NetworkRecord, ...]
    has_lineup: bool


def find_explanation(parts: Parts, session: dt.date, ticker: str, **series: str) -> Explanation:
    """Return all that is known of the forecast of a ticker made after a session.

    Args:
        series: universe, recipe, target, where the ticker has forecasts in several; "": any.

    Raises:
        NothingStored: nothing was published; the message names the sessions that something was
            published for.
        SettingsError: more than one forecast was; the message names them.
        LookAtTheData: the forecast has no decision.
    """
    asked = {name: value for name, value in series.items() if value}
    key, forecasts = _find_forecasts(parts, session, ticker, asked)
    promotion = _first_row(parts, PROMOTIONS, key)
    if promotion is None:
        raise LookAtTheData(
            f"{ticker} {session}: its forecast has no decision in the store. Repeat `stockcast "
            "promote` and `stockcast publish`."
        )
    request = _only_row(parts.store.publications.run_of(**key))
    own, records = None, []
    if request is not None:
        run = run_then(parts, request)
        own = lineup.stored(parts, run, [ticker]).get(ticker)
        records = _records_of(parts, run, own) if own is not None else []
    return Explanation(
        key=key,
        forecasts=with_events(parts.store, with_currency(parts.store, forecasts, **key), **key),
        datasets=parts.store.load(DATASETS, **key),
        calibrations=parts.store.load(CALIBRATIONS, **key),
        drift=parts.store.load(DRIFT, **key),
        promotion=promotion,
        request=request,
        networks=_published_first(parts, promotion, records),
        has_lineup=own is not None,
    )


def settings_then(parts: Parts, request: Row) -> Settings:
    """Return the settings with those that decided a RUNS row's outcome."""
    then = {"device": CPU, **json.loads(str(request["settings"]))}  # kept where it is another
    return parts.settings.replaced(**then)


def run_then(parts: Parts, request: Row) -> Run:
    """Return the run that a RUNS row was published by."""
    universe = Universe.from_json(json.loads(str(request["request"])))
    known_at = pd.Timestamp(request["known_at"]).to_pydatetime().replace(tzinfo=dt.UTC)
    cutoff = pd.Timestamp(request["cutoff"]).date()
    then = Parts(settings_then(parts, request), parts.progress)
    return run_of(then, universe, cutoff, known_at, replay=True)


# Forecasts


def _find_forecasts(
    parts: Parts, session: dt.date, ticker: str, asked: Mapping[str, str]
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the key of the one forecast that was asked for, and its FORECASTS rows."""
    found: list[tuple[dict[str, Any], pd.DataFrame]] = []
    for series in page_tables.matching(parts.store, asked):
        key = {**series.key, "ticker": ticker, "cutoff": session}
        forecasts = parts.store.load(FORECASTS, **key)
        if len(forecasts):
            found.append((key, forecasts))
    if not found:
        raise NothingStored(_nothing_text(parts, session, ticker, asked))
    if len(found) > 1:
        choices = "; ".join(
            ", ".join(f"--{name} {key[name]}" for name in SERIES) for key, _ in found
        )
        raise SettingsError(
            f"{ticker} {session}: {len(found)} forecasts were published, and one can be "
            f"explained. Choose one: {choices}."
        )
    return found[0]


def _nothing_text(parts: Parts, session: dt.date, ticker: str, asked: Mapping[str, str]) -> str:
    """Return what is stored instead, for an error."""
    series = page_tables.matching(parts.store, asked)
    within = f" ({_name_text(asked)})" if asked else ""
    cutoffs = {
        cutoff
        for each in series
        for cutoff in parts.store.ends(
            FORECASTS, "cutoff", page_tables.PAGE_SESSIONS, newest=True, **each.key, ticker=ticker
        )
    }
    sessions = [str(cutoff) for cutoff in sorted(cutoffs, reverse=True)]
    if sessions:
        return (
            f"{ticker}: no forecast made after {session} is stored{within}. "
            f"There are some made after {first_names(sessions)}."
        )
    others = sorted(set().union(*(_newest_tickers(parts, each) for each in series)))
    others = others or _other_names(parts, asked)
    instead = "nor any other; `stockcast run` makes them"
    if others:
        instead = f"there are some of {first_names(others)}"
    return f"{ticker} {session}: no forecast of {ticker} is stored{within}; {instead}."


def _newest_tickers(parts: Parts, series: page_tables.Series) -> set[str]:
    """Return the tickers that have forecasts made after a series' newest session."""
    rows = parts.store.load(FORECASTS, **series.key, cutoff=series.newest)
    return set(rows["ticker"])


def _other_names(parts: Parts, asked: Mapping[str, str]) -> list[str]:
    """Return the names that something was published for, of the kinds that were asked for."""
    texts = [
        _name_text({name: series.key[name] for name in asked})
        for series in page_tables.all_series(parts.store)
        if asked
    ]
    return list(dict.fromkeys(texts))


def _name_text(names: Mapping[Any, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in names.items())


def _first_row(parts: Parts, table: Table, key: Mapping[str, object]) -> Row | None:
    return _only_row(parts.store.load(table, **key))


def _only_row(rows: pd.DataFrame) -> Row | None:
    return None if rows.empty else {str(name): rows[name].iloc[0] for name in rows.columns}


# Networks


def _records_of(parts: Parts, run: Run, own: Lineup) -> list[NetworkRecord]:
    """Return the networks of a lineup, and the pooled ones that they went on from."""
    pools = lineup.shared(parts, run)
    pooled = pools.networks if pools else ()
    bases = {network.base for network in own.networks}
    networks = [*own.networks, *(network for network in pooled if network.model_id in bases)]
    return [
        NetworkRecord(
            role=network.role,
            label=network.label,
            model_id=network.model_id,
            row=_model_row(parts, network.model_id),
            members=_members(parts, run, network, pooled),
            base=network.base,
        )
        for network in networks
    ]


def _members(
    parts: Parts, run: Run, network: NetworkEntry, pooled: Sequence[NetworkEntry]
) -> tuple[str, ...]:
    """Return the tickers that a network learnt from."""
    if network.members == 1:
        return (network.label,)
    # The pooled network of a young stock has a role of its own there.
    roles = {each.model_id: each.role for each in pooled}
    role = roles.get(network.model_id) or DATASET_ROLES[network.role]
    rows = parts.rows(DATASETS, run)
    return tuple(rows[(rows["role"] == role) & (rows["reason"] == "")]["ticker"])


def _published_first(
    parts: Parts, promotion: Row, records: Sequence[NetworkRecord]
) -> tuple[NetworkRecord, ...]:
    """Return each network once, the published one first.

    It is found by its stored name, so it is there also where it is not among the `records`.
    """
    model_id = str(promotion["model_id"])
    networks: dict[str, NetworkRecord] = {}
    for record in records:
        networks.setdefault(record.model_id, record)
    row = _model_row(parts, model_id)
    if row:
        published = NetworkRecord(str(promotion["champion"]), str(row["ticker"]), model_id, row)
        networks.setdefault(model_id, published)
    return tuple(sorted(networks.values(), key=lambda network: network.model_id != model_id))


def _model_row(parts: Parts, model_id: str) -> Row:
    return _first_row(parts, MODELS, {"model_id": model_id}) or {}
