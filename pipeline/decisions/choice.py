"""The choice for each stock: the forecast that may be published, and all that decides its weight.

It is made where forecasters are measured, once between two trainings, and kept as a file. Each
session, the chosen one is replayed over the sessions before it; the replay is a file too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pipeline import __version__
from pipeline.decisions import blending, promotion
from pipeline.decisions.evaluation import EvaluationSet, SplitForecasts
from pipeline.measures import root_mean_squared_error
from pipeline.models import BASELINES, EWMA, HAR, NAIVE, STANDING, FittedBaseline, StockHar
from pipeline.quantiles import MEDIAN, losses
from pipeline.storage import digest_of, pack_arrays, unpack_arrays
from pipeline.windows import Windows

#: Hexadecimal digits of a choice's identity.
IDENTITY_DIGITS = 32
_OBSERVED = ("actual", "last", "unit", "position", "origins")
#: Kept where it is not what `actual` is.
_WITH_DIVIDENDS = "actual_with_dividends"


@dataclass(frozen=True, eq=False)
class Observed:
    """The facts about n windows that a network does not see; see `Windows`."""

    actual: np.ndarray
    last: np.ndarray
    unit: np.ndarray
    position: np.ndarray
    origins: np.ndarray
    actual_with_dividends: np.ndarray

    @classmethod
    def of(cls, windows: Windows) -> Observed:
        """Return the facts about these windows."""
        names = (*_OBSERVED, _WITH_DIVIDENDS)
        return cls(**{name: getattr(windows, name) for name in names})

    def arrays(self, prefix: str = "") -> dict[str, np.ndarray]:
        """Return what a file keeps."""
        kept = {prefix + name: getattr(self, name) for name in _OBSERVED}
        if not np.array_equal(self.actual, self.actual_with_dividends, equal_nan=True):
            kept[prefix + _WITH_DIVIDENDS] = self.actual_with_dividends
        return kept

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], prefix: str = "") -> Observed:
        """Return the facts that a file keeps."""
        values = {name: arrays[prefix + name] for name in _OBSERVED}
        added = arrays.get(prefix + _WITH_DIVIDENDS, values["actual"])
        return cls(**values, actual_with_dividends=added)


@dataclass(frozen=True)
class Contestant:
    """A network that may be published.

    Attributes:
        role: "lstm" (of the current training cutoff), "previous" or "pooled".
        training_cutoff: the last session that its dataset reaches.
    """

    role: str
    model_id: str
    training_cutoff: dt.date


@dataclass(frozen=True, eq=False)
class Choice:
    """The forecaster that may be published for a stock, and all that decides its weight.

    Attributes:
        decision: on the stock's own evidence.
        shown: the network whose figures are reported, also where a baseline is published; None:
            there is no network.
        validation, test: the windows that all were measured on.
        forecasts: of `shown`; None where there is none.
        fitted: the baselines by name.
        headline: the figures of the current network in a line.
        har: the regression of all stocks, from these windows; None: it was not fitted.
    """

    ticker: str
    decision: promotion.Decision
    shown: Contestant | None
    validation: Observed
    test: Observed
    forecasts: SplitForecasts | None
    fitted: Mapping[str, FittedBaseline]
    headline: str
    har: StockHar | None = None

    @property
    def has_network(self) -> bool:
        """True where a network may be published."""
        return self.decision.champion not in STANDING

    def baseline(self, name: str) -> SplitForecasts:
        """Return a baseline's forecasts of the same windows."""
        fitted = standing(name, self.fitted, self.har)
        return SplitForecasts(fitted(self.validation), fitted(self.test))

    def loss_curve(self) -> blending.LossCurve:
        """Return the loss of each weight of the network on validation."""
        if self.forecasts is None:
            raise ValueError(f"{self.ticker} has no network, so there is nothing to weigh.")
        baseline = self.baseline(self.decision.baseline).validation
        return blending.loss_curve(self.validation, self.forecasts.validation, baseline)


def standing(
    name: str, fitted: Mapping[str, FittedBaseline], har: StockHar | None
) -> FittedBaseline | StockHar:
    """Return a baseline by its name.

    Raises:
        ValueError: `har` is asked for, and is not there.
    """
    if name != HAR:
        return fitted[name]
    if har is None:
        raise ValueError(f"{HAR} was not fitted, so it forecasts nothing.")
    return har


def choice_identity(
    dataset_id: str,
    reason: str,
    contestants: Sequence[Contestant],
    leak: str,
    floor: float,
    har: str = "",
) -> str:
    """Return the identity of a choice: all that decides it, and the program's version.

    Args:
        dataset_id, reason: the training dataset, and why no network can learn from it.
        leak: how the recipe's networks have peeked.
        floor: see `promotion.decide`.
        har: the name of the regression's file; "": there is none.
    """
    networks = [(each.role, each.model_id) for each in contestants]
    values = [dataset_id, reason, networks, leak, floor, __version__, *([har] if har else [])]
    return digest_of(values, IDENTITY_DIGITS)


def choose(
    stock: EvaluationSet,
    networks: Sequence[tuple[Contestant, SplitForecasts]],
    floor: float,
    no_network: str,
    leak: str,
    headline: str,
) -> Choice:
    """Compare all candidates on the same validation sessions.

    Args:
        networks: with their forecasts, the current one first.
        floor, no_network, leak: see `promotion.decide`.
    """
    first, last = stock.dataset.validation.origins[[0, -1]].astype(object)
    decision = promotion.decide(
        [_candidate(stock, each.role, each.model_id, made) for each, made in networks],
        naive=_candidate(stock, NAIVE, NAIVE, stock.baselines[NAIVE]),
        ewma=_candidate(stock, EWMA, EWMA, stock.baselines[EWMA]),
        floor=floor,
        sessions=(first, last),
        horizon=stock.dataset.validation.actual.shape[1],
        no_network=no_network,
        leak=leak,
        har=_candidate(stock, HAR, HAR, stock.baselines[HAR]) if stock.har else None,
    )
    chosen = [pair for pair in networks if pair[0].model_id == decision.model_id]
    shown, forecasts = next(iter([*chosen, *networks]), (None, None))
    return Choice(
        ticker=stock.ticker,
        decision=decision,
        shown=shown,
        validation=Observed.of(stock.dataset.validation),
        test=Observed.of(stock.dataset.test),
        forecasts=forecasts,
        fitted=stock.fitted,
        headline=headline,
        har=stock.har and stock.har.among(_origins(stock)),
    )


def _origins(stock: EvaluationSet) -> np.ndarray:
    """Return the last sessions of the windows that all are measured on."""
    return np.concatenate([stock.dataset.validation.origins, stock.dataset.test.origins])


def _candidate(
    stock: EvaluationSet, name: str, model_id: str, forecasts: SplitForecasts
) -> promotion.Candidate:
    validation, test = stock.dataset.validation, stock.dataset.test
    naive, ewma = stock.baselines[NAIVE], stock.baselines[EWMA]
    own_loss, ewma_loss = (
        losses(test.actual_with_dividends, each.test, test.last).mean()
        for each in (forecasts, ewma)
    )
    own_rmse, naive_rmse = (
        root_mean_squared_error(test.actual_with_dividends, each.test[:, :, MEDIAN])
        for each in (forecasts, naive)
    )
    own_errors, naive_errors = (
        (validation.actual_with_dividends - each.validation[:, :, MEDIAN]) ** 2
        for each in (forecasts, naive)
    )
    mean_naive_error = np.maximum(naive_errors.mean(axis=0), np.finfo(float).tiny)
    loss = losses(validation.actual_with_dividends, forecasts.validation, validation.last).mean(
        axis=1
    )
    return promotion.Candidate(
        name,
        model_id,
        losses=loss,
        errors=(own_errors / mean_naive_error).mean(axis=1),
        test_loss=float(own_loss / ewma_loss),
        test_rmse=float((own_rmse / naive_rmse).mean()),
    )


# Files


def encode_choice(choice: Choice) -> bytes:
    """Encode a choice as a file."""
    shown = choice.shown
    about = {
        "ticker": choice.ticker,
        "decision": asdict(choice.decision),
        "shown": shown and [shown.model_id, shown.training_cutoff.isoformat(), shown.role],
        "normal": choice.fitted[NAIVE].width is choice.fitted[EWMA].width,
        "headline": choice.headline,
    }
    arrays = choice.validation.arrays("validation ") | choice.test.arrays("test ")
    arrays |= {f"shape {name}": fitted.shape for name, fitted in choice.fitted.items()}
    if choice.har is not None:
        arrays |= choice.har.arrays()
    if choice.forecasts is not None:
        arrays["said validation"] = choice.forecasts.validation.astype("float32")
        arrays["said test"] = choice.forecasts.test.astype("float32")
    return pack_arrays(about, arrays)


def decode_choice(data: bytes) -> Choice:
    """Decode what `encode_choice` wrote."""
    about, arrays = unpack_arrays(data)
    shown, forecasts = None, None
    if about["shown"]:
        model_id, cutoff, *role = about["shown"]  # the first version kept no role
        shown = Contestant(role[0] if role else "", model_id, dt.date.fromisoformat(cutoff))
        forecasts = SplitForecasts(
            arrays["said validation"].astype("float64"), arrays["said test"].astype("float64")
        )
    decision = {**about["decision"], "reasons": tuple(about["decision"]["reasons"])}
    return Choice(
        ticker=about["ticker"],
        decision=promotion.Decision(**decision),
        shown=shown,
        validation=Observed.of_arrays(arrays, "validation "),
        test=Observed.of_arrays(arrays, "test "),
        forecasts=forecasts,
        fitted={
            name: baseline.shaped(arrays[f"shape {name}"], about["normal"])
            for name, baseline in BASELINES.items()
        },
        headline=about["headline"],
        har=StockHar.of_arrays(arrays),
    )


@dataclass(frozen=True, eq=False)
class ChoiceReplay:
    """The sessions up to a cutoff, as the chosen forecaster saw them.

    Attributes:
        observed: of the windows; the last one ends at the cutoff itself.
        forecasts: the chosen network's quantiles, prices (n, H, Q); None: a baseline was chosen.
        inputs: (sessions, features), what a network sees of the newest sessions; None where that
            depends on which network sees them.
        har: the regression of all stocks, from these sessions; None: it was not fitted.
        window_digests: uint8 (n, bytes), of all that decides a forecast besides the network; None:
            another replay's forecasts of the same windows could have other bits.
        spread: see `ChampionForecast`; None of a network that forecasts quantiles, and in files of
            versions before.
    """

    observed: Observed
    forecasts: np.ndarray | None
    inputs: np.ndarray | None
    har: StockHar | None = None
    window_digests: np.ndarray | None = None
    spread: np.ndarray | None = None


def encode_replay(replay: ChoiceReplay) -> bytes:
    """Encode a replay as a file."""
    arrays = replay.observed.arrays()
    if replay.forecasts is not None:
        arrays["said"] = replay.forecasts.astype("float32")
    if replay.inputs is not None:
        arrays["newest"] = replay.inputs
    if replay.har is not None:
        arrays |= replay.har.arrays()
    if replay.window_digests is not None:
        arrays["digests"] = replay.window_digests
    if replay.spread is not None:
        arrays["spread"] = replay.spread
    return pack_arrays({}, arrays)


def decode_replay(data: bytes) -> ChoiceReplay:
    """Decode what `encode_replay` wrote."""
    _, arrays = unpack_arrays(data)
    forecasts = arrays["said"].astype("float64") if "said" in arrays else None
    return ChoiceReplay(
        Observed.of_arrays(arrays),
        forecasts,
        arrays.get("newest"),
        StockHar.of_arrays(arrays),
        arrays.get("digests"),
        arrays.get("spread"),
    )
