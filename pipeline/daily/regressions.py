"""The regression of all stocks together (`har`): fitted once between two trainings, asked each day.

It is fitted on what the networks of the training cutoff learn from as well: on sessions before
those that measure them. `pretrain` keeps two files: what it forecasts from the sessions up to the
training cutoff, which it is measured on, and from those up to the session. They hold all stocks,
as each one's forecasts depend on the others' prices; later steps take their tickers' from there.
Where networks correct what it forecasts, it is fitted at each cutoff that one of them ends at.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline import __version__
from pipeline.daily.admission import admitted_by_gate
from pipeline.daily.dataset_files import POOL_ROLES
from pipeline.daily.known_events import reports_known
from pipeline.daily.seen_histories import SeenHistories
from pipeline.daily.window_cuts import HistoryCut, spec_of
from pipeline.errors import NotEnoughHistory, NothingStored
from pipeline.models import LINE_INPUTS, Panel, PooledHar, PriceRecipe, StockHar
from pipeline.reporting import counted
from pipeline.run import Run
from pipeline.storage import digest_of, pack_arrays, unpack_arrays
from pipeline.version import code_version
from pipeline.windows import last_learnt_row

if TYPE_CHECKING:
    from pipeline.daily.lineup import Lineup
    from pipeline.parts import Parts

STEP = "pretrain"
#: Raise it with a change of what `har` forecasts, so that files of versions before are not taken
#: for its own.
REGRESSION_FORMAT = 3
#: Hexadecimal digits of a file's name.
NAME_DIGITS = 32


def regression_file(name: str) -> str:
    """Return where a regression is among the artifacts."""
    return f"regressions/{name}.npz"


@dataclass(frozen=True)
class FittedHar:
    """A regression that has been fitted.

    Attributes:
        name: of its file.
        tickers: their number.
        through: the last session that it was fitted on.
        digest: of all that has decided on it.
    """

    name: str
    tickers: int
    through: str
    digest: str


class HarFits:
    """The regressions that sessions before have fitted, found again without a history.

    Attributes:
        cutoffs: where they were fitted.
    """

    def __init__(self, parts: Parts, run: Run) -> None:
        self._parts = parts
        self._file = f"cuts/{digest_of([run.series, STEP])}.json"
        known = json.loads(parts.artifacts.find_derived(self._file) or "{}")
        self._known = {cutoff: FittedHar(**each) for cutoff, each in known.items()}
        self._used: dict[str, FittedHar] = {}
        self.cutoffs = {dt.date.fromisoformat(cutoff) for cutoff in known}

    def find(self, digest: str, cutoff: dt.date) -> FittedHar | None:
        """Return what the same facts have given; None: they have changed, or it is gone."""
        found = self._known.get(cutoff.isoformat())
        if found is None or found.digest != digest or not _is_kept(self._parts, found.name):
            return None
        self.note(found, cutoff)
        return found

    def note(self, fitted: FittedHar, cutoff: dt.date) -> None:
        """Note what the next session finds."""
        self._used[cutoff.isoformat()] = fitted

    def keep(self) -> None:
        """Write what was noted."""
        noted = {cutoff: dataclasses.asdict(each) for cutoff, each in self._used.items()}
        self._parts.artifacts.write_derived(self._file, json.dumps(noted).encode())


def fitted_cutoffs(run: Run, recipe: PriceRecipe) -> dict[str, dt.date]:
    """Return where `har` is fitted, by the role of the datasets that it is for."""
    cutoffs = {"training": run.training_cutoff}
    if recipe.normalisation.of_shocks:
        cutoffs["previous"] = run.previous_cutoff
        cutoffs |= {role: getattr(run, name) for role, name in POOL_ROLES.items()}
    return cutoffs


def fit_regressions(
    parts: Parts, run: Run, recipe: PriceRecipe, seen: SeenHistories
) -> dict[str, str]:
    """Fit `har` at all cutoffs, and ask it at the session, where that is not done yet.

    Returns:
        The names of the files by the role of the datasets that they are for, "live" among them;
        a role is left out where there is too little to learn from, or the recipe smooths what it
        forecasts.
    """
    if recipe.smoothing:  # its forecasts are of another price than the regression's
        return {}
    cutoffs = fitted_cutoffs(run, recipe)
    before = HarFits(parts, run)
    fitted = {
        cutoff: _fitted_at(parts, run, recipe, seen, before, cutoff)
        for cutoff in dict.fromkeys(cutoffs.values())
    }
    before.keep()
    names = {role: fitted[cutoff] for role, cutoff in cutoffs.items() if fitted[cutoff]}
    if name := names.get("training"):
        names["default"] = name
        live = _asked_at_session(parts, run, name, seen)
        names |= {"live": live} if live else {}
    return names


def _fitted_at(
    parts: Parts,
    run: Run,
    recipe: PriceRecipe,
    seen: SeenHistories,
    before: HarFits,
    cutoff: dt.date,
) -> str:
    """Return the name of `har`'s file fitted at a cutoff; "": it cannot be."""
    digest = _facts_digest(parts, run, seen, cutoff)
    if found := before.find(digest, cutoff):
        _tell(parts, found, "is there already")
        return found.name
    panel, tickers = seen.panel(cutoff, run.universe.tickers)
    row = _last_row(run, recipe, panel, cutoff)
    if panel is None or row is None:
        return _not_fitted(parts, run, cutoff)
    fitted_through, horizon = str(panel.sessions[row]), run.universe.horizon
    name = _name_of(panel, tickers, [fitted_through, horizon, __version__, REGRESSION_FORMAT])
    try:
        is_new = _keep(parts, name, lambda: PooledHar.fitted(panel, tickers, horizon, row))
    except NotEnoughHistory:
        return _not_fitted(parts, run, cutoff)
    fitted = FittedHar(name, len(tickers), fitted_through, digest)
    before.note(fitted, cutoff)
    _tell(parts, fitted, "fitted" if is_new else "is there already")
    return name


def _tell(parts: Parts, fitted: FittedHar, what: str) -> None:
    learnt = f"har, {counted(fitted.tickers, 'ticker')} up to {fitted.through}"
    parts.progress(STEP, "", f"{learnt}: {what}")


def _facts_digest(parts: Parts, run: Run, seen: SeenHistories, cutoff: dt.date) -> str:
    """Return a digest of all that decides on what is fitted at a cutoff."""
    tickers = run.universe.tickers
    facts = seen.facts(cutoff)
    reports = reports_known(parts, run, tickers, cutoff).to_csv(index=False)
    about = [[facts[ticker].digest for ticker in tickers], reports, REGRESSION_FORMAT]
    return digest_of([*about, code_version()])


def _asked_at_session(parts: Parts, run: Run, name: str, seen: SeenHistories) -> str:
    """Return the name of the file with what a fitted regression forecasts up to the session."""
    live, tickers = seen.panel(run.session, admitted_by_gate(parts, run))
    if live is None:
        return ""
    live_name = _name_of(live, tickers, [name])
    _keep(parts, live_name, lambda: read_regression(parts, run, name).on(live, tickers))
    return live_name


def read_regression(parts: Parts, run: Run, name: str) -> PooledHar:
    """Return a regression by the name of its file.

    Raises:
        NothingStored: it is not there.
        DamagedFile: its file is not what was written.
    """
    try:
        return _decoded(parts.artifacts.read_derived(regression_file(name)))
    except NothingStored:
        raise NothingStored(
            f"{run.universe.name} {run.session}: the regression {name} of all stocks is not there "
            "(any more). Run `pretrain` for this session first."
        ) from None


def stock_regressions(
    parts: Parts, run: Run, lineups: Sequence[Lineup], live: bool = False
) -> Mapping[str, StockHar]:
    """Return by ticker what `har` forecasts of it, where it was fitted.

    Args:
        live: up to the session; otherwise up to the cutoff of what the ticker is measured on.
    """
    names = {own.ticker: own.live_har if live else own.har for own in lineups}
    files = {name: read_regression(parts, run, name) for name in sorted({*names.values()} - {""})}
    return {
        ticker: files[name].of(ticker)
        for ticker, name in names.items()
        if name and ticker in files[name].tickers
    }


class Anchoring:
    """The forecasts of `har` that networks correct, for datasets by their role."""

    def __init__(self, parts: Parts, run: Run, names: Mapping[str, str]) -> None:
        self._parts, self._run, self._names = parts, run, names
        self._files: dict[str, PooledHar] = {}

    def name_of(self, role: str) -> str:
        """Return the name of the regression for datasets of a role; "": it was not fitted."""
        return self._names.get(role, "")

    def anchored(self, cut: HistoryCut, role: str) -> HistoryCut:
        """Return a cut with what networks correct, where they do and it was fitted."""
        name, ticker = self.name_of(role), cut.spec.ticker
        if not name or not cut.spec.normalisation.of_shocks:
            return cut
        if name not in self._files:
            self._files[name] = read_regression(self._parts, self._run, name)
        regression = self._files[name]
        if ticker not in regression.tickers:
            return cut
        history, spec = regression.of(ticker).anchoring(cut.history, cut.spec)
        return dataclasses.replace(cut, history=history, spec=spec)


def _last_row(run: Run, recipe: PriceRecipe, panel: Panel | None, cutoff: dt.date) -> int | None:
    """Return the last row that is learnt from; None where nothing is.

    It is before the first session that a network of the longest history is measured on.
    """
    if panel is None:
        return None
    spec = spec_of(run, recipe, "", cutoff)
    few = len(panel.sessions) < spec.needed_sessions
    return None if few else last_learnt_row(panel.sessions, spec)


def _not_fitted(parts: Parts, run: Run, cutoff: dt.date) -> str:
    if cutoff == run.training_cutoff:
        reason = "too little history before the sessions that it would be measured on"
        parts.progress(STEP, "", f"har is not fitted: {reason} at {run.session}")
    return ""


def _name_of(panel: Panel, tickers: Sequence[str], about: list[object]) -> str:
    """Return a name that changes with anything that decides what a file holds."""
    content = hashlib.sha256()
    for field in dataclasses.fields(panel):
        values = getattr(panel, field.name)
        if values is not None:
            content.update(np.ascontiguousarray(values).tobytes())
    return digest_of([content.hexdigest(), list(tickers), *about], NAME_DIGITS)


def _keep(parts: Parts, name: str, make: Callable[[], PooledHar]) -> bool:
    """Keep what is made under a name, unless it is there; return whether it was made."""
    if _is_kept(parts, name):
        return False
    parts.artifacts.write_derived(regression_file(name), _encoded(make()))
    return True


def _is_kept(parts: Parts, name: str) -> bool:
    """Return whether a regression is there; it counts as used."""
    file = regression_file(name)
    is_there = parts.artifacts.has_derived(file)
    if is_there:
        parts.artifacts.renew(file)
    return is_there


def _encoded(regression: PooledHar) -> bytes:
    """Encode a regression as a file."""
    values = dict(vars(regression))
    about = {"tickers": values.pop("tickers"), "with_market": values.pop("with_market")}
    if not regression.centres.any():  # of closes: half of the file
        del values["centres"]
    return pack_arrays(about, values)


def _decoded(data: bytes) -> PooledHar:
    """Decode what `_encoded` wrote."""
    about, arrays = unpack_arrays(data)
    tickers, with_market = tuple(about["tickers"]), bool(about["with_market"])
    if "lines" not in arrays:  # versions before the line moved nothing
        arrays["lines"] = np.zeros((len(arrays["coefficients"]), LINE_INPUTS))
    if "centres" not in arrays:
        arrays["centres"] = np.zeros_like(arrays["deviations"])
    return PooledHar(tickers=tickers, with_market=with_market, **arrays)
