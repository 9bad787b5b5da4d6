"""The plan of a day: its session and cutoffs, once the whole request has been checked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.daily.window_cuts import spec_of
from pipeline.errors import SettingsError, SourceUnavailable
from pipeline.models import CPU, PriceRecipe, statistical
from pipeline.prices import may_be_late, newest_session, require_known
from pipeline.reporting import counted
from pipeline.run import Run
from pipeline.tables import FORECASTS
from pipeline.universes import Universe, declared_name, load_universes

if TYPE_CHECKING:
    from pipeline.parts import Parts
    from pipeline.settings import Settings

#: The settings that decide a run's outcome, besides the recipe and the universe.
DECISIVE_SETTINGS = ("seed", "pool", "test_floor", "max_quarantined")


def plan(
    parts: Parts,
    universe: Universe,
    session: dt.date | None,
    now: dt.datetime,
    known_at: dt.datetime | None = None,
    publish: bool = False,
) -> Run:
    """Return the run of a session, once the whole request has been checked.

    One that differs from what its universe declares is a rehearsal: everything is done, and kept
    under a name of its own.

    Args:
        session: None: the newest there is.
        now: the moment of asking; a session that closes after it is not finished.
        known_at: repeat a past run with what was known then; nothing is fetched.
        publish: it is no rehearsal, whatever differs; so is it where the settings say so.

    Raises:
        SettingsError: the request cannot be run; the message says what to ask for.
        SourceUnavailable: the source has no bar of the session yet.
    """
    newest = _newest_asked_for(parts, universe, now)
    return _planned(parts, universe, session or newest, newest, now, known_at, publish)


def plan_each(
    parts: Parts, universe: Universe, sessions: Sequence[dt.date], now: dt.datetime
) -> list[Run]:
    """Return the runs of some sessions, once all requests have been checked; see `plan`."""
    newest = _newest_asked_for(parts, universe, now)
    return [_planned(parts, universe, session, newest, now) for session in sessions]


def _newest_asked_for(parts: Parts, universe: Universe, now: dt.datetime) -> dt.date:
    """Return the newest session of a universe, once all has been checked that is about no other."""
    recipe = parts.recipes.for_price(universe.recipe)
    if universe.target not in recipe.targets:
        raise SettingsError(
            f"Recipe {recipe.name} does not forecast {universe.target}; it forecasts "
            f"{', '.join(recipe.targets)} (flag --target)."
        )
    statistical.require_known(parts.settings.baseline_list)
    calendar, source = parts.calendar(universe), parts.source(universe)
    _require_known(parts, universe, universe)
    newest = newest_session(source, universe.names, calendar, now)
    if newest < universe.start:
        raise SettingsError(
            f"The newest bar of the {source.name} source is of {newest}, before {universe.start}, "
            f"where universe {universe.name} begins. Give it an earlier `start`."
        )
    return newest


def _require_known(parts: Parts, universe: Universe, asked_for: Universe) -> None:
    """Require that the source has the tickers of a universe.

    One that is asked for is refused; one that its universe declares, and whose file has gone, stops
    no other.

    Args:
        asked_for: the universe whose members of one day it has, or the universe itself.
    """
    declared = _declaration(parts, asked_for)
    is_declared = declared is not None and declared.tickers == asked_for.tickers
    require_known(
        parts.source(universe), universe.tickers, universe.aliases, all_of_them=not is_declared
    )


def _planned(
    parts: Parts,
    universe: Universe,
    session: dt.date,
    newest: dt.date,
    now: dt.datetime,
    known_at: dt.datetime | None = None,
    publish: bool = False,
) -> Run:
    """Return the run of a session, once what is asked for it has been checked.

    Args:
        newest: the newest session that the source has.
    """
    calendar, source = parts.calendar(universe), parts.source(universe)
    if session != newest:
        session = calendar.require_session(session, now)
    if session < universe.start:
        raise SettingsError(
            f"{session} is before {universe.start}, where universe {universe.name} begins. "
            "Use that day or a later one (flag --session)."
        )
    if session > newest and may_be_late(calendar, session, now):
        raise SourceUnavailable(
            f"{session}: the {source.name} source has no bar of this session yet, which closed at "
            f"{calendar.close_of(session):%H:%M} UTC; its last one is {newest}. Try again later."
        )
    if session > newest:
        raise SettingsError(
            f"{session} is after {newest}, the last session that the {source.name} source has. "
            "Use that one or an earlier one (flag --session)."
        )
    members = universe.on(session)
    _require_known(parts, members, universe)
    is_replay = known_at is not None
    departs = is_replay or departures(parts, members, session)
    if departs and not (publish or parts.settings.publish):
        members = members.as_rehearsal()
    run = run_of(parts, members, session, known_at or now, is_replay)
    _require_enough_to_learn_from(run, parts.recipes.for_price(universe.recipe))
    _require_no_shorter(parts, run)
    return run


def _declaration(parts: Parts, universe: Universe) -> Universe | None:
    """Return a universe as it is declared; None: nothing of its name is."""
    return load_universes(parts.settings.universes).get(declared_name(universe.name))


def departures(parts: Parts, universe: Universe, session: dt.date) -> list[str]:
    """Return in what a session's universe differs from its declaration, where there is one."""
    declared = _declaration(parts, universe)
    return [] if declared is None else universe.differences(declared.on(session))


def leavers(parts: Parts, run: Run, since: dt.date | None = None) -> list[str]:
    """Return the members that have left so lately that forecasts of them are to be scored still.

    The declaration alone says so, and not what is stored: sessions may be run in any order.

    Args:
        since: those only that were members on this day or later.
    """
    declared = _declaration(parts, run.universe)
    if declared is None or run.universe.is_rehearsal or run.replay:
        return []
    first = since or run.session - dt.timedelta(days=3 * run.universe.horizon + 10)
    own = set(run.universe.tickers)
    return [ticker for ticker in declared.left(first, run.session) if ticker not in own]


def to_ingest(parts: Parts, run: Run) -> list[str]:
    """Return the tickers that a run needs prices of: its own, and those of `leavers`."""
    return [*run.universe.tickers, *leavers(parts, run)]


def _require_enough_to_learn_from(run: Run, recipe: PriceRecipe) -> None:
    """Require that a network can learn from no more than the universe's `history_sessions`."""
    limit = run.universe.history_sessions
    needed = spec_of(run, recipe, "", run.training_cutoff).needed_sessions
    if 0 < limit < needed:
        raise SettingsError(
            f"{run.universe.name}: history_sessions is {limit}; recipe {recipe.name} needs "
            f"{needed} to train a network. Set {needed} or more in the universes file, or 0 for "
            "all."
        )


def _require_no_shorter(parts: Parts, run: Run) -> None:
    """Require that a published session keeps all of its sessions ahead."""
    universe = run.universe
    if universe.is_rehearsal:
        return
    tickers = list(universe.tickers)
    published = parts.store.greatest(FORECASTS, "horizon", **run.key, ticker=tickers)
    if published is not None and published > universe.horizon:
        raise SettingsError(
            f"{universe.name} {run.session} is published {published} sessions ahead, and a run "
            f"{counted(universe.horizon, 'session')} ahead would leave fewer. Ask for {published} "
            "or more (flag --horizon)."
        )


def run_of(
    parts: Parts, universe: Universe, session: dt.date, known_at: dt.datetime, replay: bool
) -> Run:
    """Return the run of a session with the cutoffs of its calendar; nothing is checked."""
    calendar = parts.calendar(universe)
    current, previous = calendar.training_cutoffs(session, universe.retrain)
    return Run(
        universe=universe,
        session=session,
        training_cutoff=current,
        previous_cutoff=previous,
        pool_cutoff=calendar.pool_cutoff(current, parts.settings.pool),
        previous_pool_cutoff=calendar.pool_cutoff(previous, parts.settings.pool),
        forecast_sessions=tuple(calendar.next_sessions(session, universe.horizon)),
        known_at=known_at,
        replay=replay,
    )


def decisive_settings(settings: Settings) -> dict[str, object]:
    """Return `DECISIVE_SETTINGS` by name, and the device where it is no CPU."""
    device = {} if settings.device == CPU else {"device": settings.device}
    return {**{name: getattr(settings, name) for name in DECISIVE_SETTINGS}, **device}
