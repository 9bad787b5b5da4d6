"""A session in MLflow: its parent run, and what is shown there when the day is done."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.daily import lineup
from pipeline.daily.admission import QUARANTINED, passed
from pipeline.daily.lineup import NetworkEntry
from pipeline.daily.plan import decisive_settings, run_of
from pipeline.daily.prediction_files import picture_file
from pipeline.models import STANDING
from pipeline.reporting import Day, charts, day_summary, format_rows
from pipeline.run import Run
from pipeline.training import embedding

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: Columns of DRIFT whose means a session's run shows.
WATCHED = ("coverage_80", "coverage_95", "pinball_skill", "psi")


def open_session(parts: Parts, run: Run) -> str:
    """Return the run id of a session's parent run in MLflow; whoever opens it ends it."""
    universe = run.universe
    return parts.tracker(universe.name).open_session(
        run.session, universe.recipe, universe.target, _tags(run), _params(parts, run)
    )


def open_sessions(parts: Parts, run: Run) -> dict[dt.date, str]:
    """Return the parents in MLflow of what is measured up to this run's two cutoffs, by cutoff.

    That of the training cutoff is there whether or not its session is ever run.
    """
    parents = {run.session: open_session(parts, run)}
    if run.training_cutoff not in parents:
        universe = run.universe
        then = run_of(parts, universe, run.training_cutoff, run.known_at, run.replay)
        parents[then.session] = parts.tracker(universe.name).ensure_session(
            then.session, universe.recipe, universe.target, _tags(then), _params(parts, then)
        )
    return parents


def _tags(run: Run) -> dict[str, str]:
    return {"universe": run.universe.name}


def _params(parts: Parts, run: Run) -> dict[str, object]:
    universe = run.universe
    return {
        "session": run.session,
        "training_cutoff": run.training_cutoff,
        "previous_cutoff": run.previous_cutoff,
        "tickers": ",".join(universe.tickers),
        "source": universe.source,
        "calendar": universe.calendar,
        "retrain": universe.retrain,
        "horizon": universe.horizon,
        **decisive_settings(parts.settings),
    }


def session_files(
    parts: Parts, run: Run, day: Day, page: bytes, pictures: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Return the files of a session's run: the day's page, a table and pictures of its stocks."""
    return {
        "report.html": page,
        "summary.csv": format_rows(day_summary(day), "csv").encode(),
        "skill.png": charts.skill_chart(day.promotions),
        **{f"{name}.png": picture for name, picture in pictures.items()},
        **_embedding_picture(parts, run),
    }


def session_metrics(day: Day) -> dict[str, float]:
    """Return a session's figures for its parent run.

    `skill/..._mean` are over the stocks that have a network; of `drift/`, what can be judged, and
    over `har`, where it was fitted.
    """
    promotions, checks, drift = day.promotions, day.checks, day.drift
    by_baseline = promotions["champion"].isin(STANDING)
    means = {f"drift/{name}_mean": drift[name].mean() for name in WATCHED}
    means["skill/pinball_over_har_mean"] = promotions["pinball_skill_over_har"].mean()
    return {
        "day/tickers": float(len(checks)),
        "day/tickers_quarantined": float((checks["verdict"] == QUARANTINED).sum()),
        "day/networks_published": float((~by_baseline).sum()),
        "day/baselines_published": float(by_baseline.sum()),
        "skill/rmse_mean": float(promotions["skill"].mean()),
        "skill/pinball_mean": float(promotions["pinball_skill"].mean()),
        "day/weight_mean": float(promotions["weight"].mean()),
        "day/tickers_drifted": float((drift["warnings"] != "").sum()),
        **{name: float(mean) for name, mean in means.items() if pd.notna(mean)},
    }


def _embedding_picture(parts: Parts, run: Run) -> dict[str, bytes]:
    """Return how a network that several stocks share has placed them, where there is one."""
    network = _network_with_vectors(parts, run)
    if network is None:
        return {}
    name = picture_file("symbols", network.model_id)
    picture = parts.artifacts.find_derived(name)
    if picture is None:
        symbols, vectors = embedding.vectors(parts.networks.model(network.model_id))
        points = embedding.placed(vectors[1:])  # without the unknown stock
        picture = charts.embedding_picture(points, symbols, run.universe.sectors)
        parts.artifacts.write_derived(name, picture)
    return {"symbol_embedding.png": picture}


def _network_with_vectors(parts: Parts, run: Run) -> NetworkEntry | None:
    pools = lineup.shared(parts, run)
    networks = list(pools.networks[:1]) if pools else []
    if parts.recipes.for_price(run.universe.recipe).pooled:
        lineups = lineup.stored(parts, run, passed(parts, run))
        networks = [network for own in lineups.values() for network in own.compared[:1]]
    for network in networks[:1]:
        if network.members > 1 and parts.networks.has(network.model_id):
            return network
    return None
