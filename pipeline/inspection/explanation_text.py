"""The explanation of a forecast as text for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import dataset_file, promotion_line
from pipeline.errors import SettingsError
from pipeline.inspection.explanation import Explanation, NetworkRecord
from pipeline.models import DEVICES, PriceRecipe
from pipeline.money import currency_words
from pipeline.reporting import first_names, format_rows
from pipeline.tables import CALIBRATIONS, DRIFT, RUN_KEY, Table

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Columns that a section does not repeat.
NOT_REPEATED = (*RUN_KEY, "champion", "model_id")


def explanation_text(parts: Parts, explanation: Explanation, horizon: int | None = None) -> str:
    """Return the explanation of a forecast.

    Args:
        horizon: show the forecast and the calibration of this horizon alone; None: of all.

    Raises:
        SettingsError: the forecast has no such horizon.
    """
    key = explanation.key
    drift = explanation.drift
    named = currency_words(explanation.forecasts["currency"].iloc[0])
    currency = f"in {named} " if named else ""
    sections = {
        f"Forecasts, {currency}as traded at the cutoff": format_rows(
            _of_horizon(explanation.forecasts, horizon).drop(columns=[*NOT_REPEATED]), "table"
        ).splitlines(),
        "Decision": _decision_lines(explanation),
        "Networks": [*_network_section(parts, explanation)],
        "Calibration: the published forecast, replayed over the sessions before": _table_lines(
            _of_horizon(explanation.calibrations, horizon), CALIBRATIONS
        ),
        "Data": [*_data_lines(parts, explanation)],
        "Run": [*_run_lines(explanation)],
        "Drift": _table_lines(drift, DRIFT)
        if len(drift)
        else ["not judged yet: `stockcast watch` judges"],
    }
    title = (
        f"{key['ticker']} {key['target']}, universe {key['universe']}, recipe {key['recipe']}: "
        f"forecast after {key['cutoff']}"
    )
    blocks = [
        f"\n{name}\n" + "\n".join(f"  {line}" for line in lines) for name, lines in sections.items()
    ]
    return "\n".join([title, *blocks])


def _of_horizon(rows: pd.DataFrame, horizon: int | None) -> pd.DataFrame:
    if horizon is None:
        return rows
    chosen = rows[rows["horizon"] == horizon]
    if chosen.empty:
        horizons = ", ".join(map(str, rows["horizon"]))
        raise SettingsError(
            f"horizon is {horizon}; this forecast reaches {horizons} sessions ahead (--horizon)."
        )
    return chosen


def _table_lines(rows: pd.DataFrame, table: Table) -> list[str]:
    columns = [name for name in table.columns if name not in NOT_REPEATED]
    return format_rows(rows[columns], "table").splitlines()


def _decision_lines(explanation: Explanation) -> list[str]:
    row = explanation.promotion
    reasons = [f"- {reason}" for reason in str(row["reasons"]).split("; ")]
    return [f"published: {promotion_line(row)}, on {row['test_sessions']} test sessions", *reasons]


def _network_section(parts: Parts, explanation: Explanation) -> Iterator[str]:
    for network in explanation.networks:
        yield from _network_lines(parts, explanation, network)
    if not explanation.has_lineup:
        yield (
            "the version that published it did not keep which networks it compared; only the "
            "published one is known, if there is one"
        )
    elif not explanation.networks:
        yield "none: too little history"


def _network_lines(parts: Parts, explanation: Explanation, network: NetworkRecord) -> Iterator[str]:
    is_published = network.model_id == explanation.promotion["model_id"]
    published = " (published)" if is_published else ""
    yield f"{network.role} of {network.label}: model {network.model_id}{published}"
    row = network.row
    if not row:
        yield "    not in the store: its training has failed, or its row was deleted"
        return
    yield (
        f"    training cutoff {row['training_cutoff']:%Y-%m-%d}, epoch {row['best_epoch']} of "
        f"{row['epochs']}, code {row['code_version']}"
    )
    yield f"    dataset {row['dataset']}, configuration {row['config_hash']} of {row['recipe']}"
    if network.base:
        yield f"    went on from the pooled network {network.base}"
    if len(network.members) > 1:
        yield f"    trained together by {first_names(network.members)}"
    today = config_hash_today(parts, network)
    if today != row["config_hash"]:
        yield f"    its recipe has been changed since: configuration {today or 'none'} now"
    file = parts.networks.file_of(network.model_id)
    missing = "" if parts.networks.has(network.model_id) else ": NOT THERE"
    yield f"    {parts.artifacts.url(file)}{missing}"


def config_hash_today(parts: Parts, network: NetworkRecord) -> str:
    """Return the configuration of a network's recipe now; "": there is no such recipe.

    It is that on the device that the network was trained on.
    """
    name = str(network.row["recipe"])
    try:
        recipe = parts.recipes.find(name.removesuffix(".pool"))
    except SettingsError:
        return ""
    if isinstance(recipe, PriceRecipe) and name.endswith(".pool"):
        recipe = recipe.pool
    hashes = {replace(recipe, device=device).config_hash() for device in DEVICES}
    then = str(network.row["config_hash"])
    return then if then in hashes else recipe.config_hash()


def _data_lines(parts: Parts, explanation: Explanation) -> Iterator[str]:
    request = explanation.request
    if request is not None:
        yield (
            f"source {request['source_id']}; the newest revision of its tickers' prices and "
            f"actions became known at {request['known_at']} UTC"
        )
    for row in explanation.datasets.to_dict("records"):
        file = dataset_file(row["dataset"])
        reason = f" ({row['reason']})" if row["reason"] else ""
        yield (
            f"{row['role']}: {row['sessions']} sessions up to {row['dataset_cutoff']:%Y-%m-%d}, "
            f"known at {row['known_at']} UTC{reason}"
        )
        if row["role"] == "live":  # nobody learns from it, so `stockcast prune` may have removed it
            yield f"    dataset {row['dataset']}, cut from the prices whenever it is needed"
            continue
        missing = "" if parts.artifacts.exists(file) else ": NOT THERE"
        yield f"    {parts.artifacts.url(file)}{missing}"


def _run_lines(explanation: Explanation) -> Iterator[str]:
    row = explanation.request
    if row is None:
        yield (
            "not kept by the version that published it; repeating `stockcast run` for this session "
            "keeps it"
        )
        return
    request = json.loads(str(row["request"]))
    yield (
        f"tickers {', '.join(request['tickers'])}; horizon {request['horizon']}, retrain "
        f"{request['retrain']}, history from {request['start']}"
    )
    for name in ("settings", "libraries"):
        values = json.loads(str(row[name]))
        yield f"{name}: " + ", ".join(f"{key} {value}" for key, value in values.items())
    yield f"code {row['code_version']}"
