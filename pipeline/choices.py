"""From what forecasters said to what is published: the choice for each stock, its figures, its calibrated forecast.

Who is best for a stock is decided where it is measured, once between two trainings, and kept as an artifact. Each session, the one chosen is
replayed over the sessions before it. How much of it is published is decided for all stocks together, by what those files hold.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline import __version__, calibration, combination, promotion
from pipeline.forecasters import Said, Stock
from pipeline.metrics import root_mean_squared_error
from pipeline.models.baselines import BASELINES, EWMA, NAIVE, Fitted
from pipeline.models.recipe import Recipe
from pipeline.quantiles import INTERVALS, MEDIAN, coverage, losses
from pipeline.run import Run
from pipeline.tables import CALIBRATIONS, FORECASTS, PROMOTIONS
from pipeline.windows import Windows

if TYPE_CHECKING:
    from pipeline.assembly import Parts
    from pipeline.networks import Network


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What is known of n windows besides what a network sees of them; see `Windows`."""

    actual: np.ndarray
    last: np.ndarray
    unit: np.ndarray
    position: np.ndarray
    origins: np.ndarray

    @classmethod
    def of(cls, windows: Windows) -> Outcomes:
        return cls(windows.actual, windows.last, windows.unit, windows.position, windows.origins)


@dataclass(frozen=True, eq=False)
class Choice:
    """Who is to be published for a stock, and all that its share is decided by.

    Attributes:
        decision: on the stock's own evidence.
        shown: model_id and training cutoff of the network whose figures are told, also where a baseline is published; None: there is none.
        validation, test: the windows that all have been measured on.
        said: what `shown` says about them; None where there is none.
        fitted: the baselines.
        headline: the figures of the current network, in a line.
    """

    ticker: str
    decision: promotion.Decision
    shown: tuple[str, dt.date] | None
    validation: Outcomes
    test: Outcomes
    said: Said | None
    fitted: Mapping[str, Fitted]
    headline: str

    @property
    def network(self) -> bool:
        """Whether a network may be published."""
        return self.decision.champion not in BASELINES

    def baseline(self, name: str) -> Said:
        """What a baseline says about the same windows."""
        return Said(self.fitted[name](self.validation), self.fitted[name](self.test))

    def curve(self) -> combination.Curve:
        """What each weight of the network loses on validation."""
        return combination.curve(self.validation, self.said.validation, self.baseline(self.decision.baseline).validation)


def identity(parts: Parts, recipe: Recipe, training: Mapping[str, object], compared: Sequence[Network]) -> str:
    """What decides a choice: the training dataset, the networks, the floor and the program's version."""
    networks = [(network.role, network.model_id) for network in compared]
    values = [training["dataset"], training["reason"], networks, recipe.leak, parts.settings.test_floor, __version__]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


def file_of(name: str) -> str:
    """The artifact that keeps a choice; `name`: its identity."""
    return f"choices/{name}.npz"


def choose(parts: Parts, recipe: Recipe, the: Stock, said: Sequence[tuple[Network, Said]], reason: str, headline: str) -> Choice:
    """Compares all candidates on the same validation sessions.

    Args:
        said: what each network says, the current one first.
        reason: why the stock has no network of its own, where it has none.
    """
    sessions = the.dataset.validation.origins[[0, -1]].astype(object)
    decision = promotion.decide(
        [_candidate(the, network.role, network.model_id, each) for network, each in said],
        *(_candidate(the, name, name, the.baselines[name]) for name in (NAIVE, EWMA)),
        parts.settings.test_floor,
        tuple(sessions),
        reason,
        recipe.leak,
    )
    shown, said_by_it = next((each for each in said if each[0].model_id == decision.model_id), said[0] if said else (None, None))
    return Choice(
        ticker=the.ticker,
        decision=decision,
        shown=(shown.model_id, shown.training_cutoff) if shown else None,
        validation=Outcomes.of(the.dataset.validation),
        test=Outcomes.of(the.dataset.test),
        said=said_by_it,
        fitted=the.fitted,
        headline=headline,
    )


def _candidate(the: Stock, name: str, model_id: str, said: Said) -> promotion.Candidate:
    dataset, baselines = the.dataset, the.baselines
    return promotion.Candidate(
        name,
        model_id,
        losses(dataset.validation.actual, said.validation, dataset.validation.last).mean(axis=1),
        _relative_errors(dataset.validation.actual, said.validation, baselines[NAIVE].validation),
        _relative_loss(the, said, baselines[EWMA]),
        _relative_rmse(dataset.test.actual, said.test, baselines[NAIVE].test),
    )


def _relative_errors(actual: np.ndarray, quantiles: np.ndarray, naive: np.ndarray) -> np.ndarray:
    """Squared errors of the medians over the last price's mean, (n,): means of all horizons."""
    ours, theirs = ((actual - said[:, :, MEDIAN]) ** 2 for said in (quantiles, naive))
    return (ours / np.maximum(theirs.mean(axis=0), np.finfo(float).tiny)).mean(axis=1)


def _relative_rmse(actual: np.ndarray, quantiles: np.ndarray, naive: np.ndarray) -> float:
    """RMSE of the medians over that of the last price, mean of all horizons."""
    ours, theirs = (root_mean_squared_error(actual, said[:, :, MEDIAN]) for said in (quantiles, naive))
    return float((ours / theirs).mean())


def _relative_loss(the: Stock, said: Said, ewma: Said) -> float:
    test = the.dataset.test
    ours, theirs = (losses(test.actual, each.test, test.last).mean() for each in (said, ewma))
    return float(ours / theirs)


def is_complete(parts: Parts, name: str, parent: str) -> bool:
    """Whether a choice has been made, and what it was made from tracked below this parent run; a lost or new MLflow has another."""
    marked = f"choices/{name}.tracked"
    return (
        parts.artifacts.exists(marked) and parts.artifacts.read(marked) == parent.encode() and parts.artifacts.exists(file_of(name))
    )


def write(parts: Parts, name: str, choice: Choice, parent: str) -> None:
    """Keeps a choice. `parent`: the run in MLflow below which it is tracked."""
    about = {
        "ticker": choice.ticker,
        "decision": asdict(choice.decision),
        "shown": choice.shown and [choice.shown[0], choice.shown[1].isoformat()],
        "normal": choice.fitted[NAIVE].width is choice.fitted[EWMA].width,
        "headline": choice.headline,
    }
    arrays = {f"{part} {key}": values for part in ("validation", "test") for key, values in vars(getattr(choice, part)).items()}
    arrays |= {f"shape {key}": fitted.shape for key, fitted in choice.fitted.items()}
    if choice.said:
        arrays |= {f"said {part}": values.astype("float32") for part, values in vars(choice.said).items()}
    parts.artifacts.write(file_of(name), _packed(about, arrays))
    parts.artifacts.write(f"choices/{name}.tracked", parent.encode())


def read(parts: Parts, name: str) -> Choice:
    """`NothingStored` where nobody has chosen."""
    about, arrays = _unpacked(parts.artifacts.read(file_of(name)))
    shown = about["shown"] and (about["shown"][0], dt.date.fromisoformat(about["shown"][1]))
    said = [arrays[f"said {part}"].astype("float64") for part in ("validation", "test") if shown]
    return Choice(
        ticker=about["ticker"],
        decision=promotion.Decision(**{**about["decision"], "reasons": tuple(about["decision"]["reasons"])}),
        shown=shown or None,
        validation=_outcomes(arrays, "validation "),
        test=_outcomes(arrays, "test "),
        said=Said(*said) if shown else None,
        fitted={key: baseline.shaped(arrays[f"shape {key}"], about["normal"]) for key, baseline in BASELINES.items()},
        headline=about["headline"],
    )


def _packed(about: object, arrays: Mapping[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, about=np.frombuffer(json.dumps(about, sort_keys=True).encode(), dtype="uint8"), **arrays)
    return file.getvalue()


def _unpacked(data: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as kept:
        arrays = {key: kept[key] for key in kept.files}
    return json.loads(arrays.pop("about").tobytes()), arrays


def _outcomes(arrays: Mapping[str, np.ndarray], prefix: str) -> Outcomes:
    return Outcomes(*(arrays[prefix + key] for key in ("actual", "last", "unit", "position", "origins")))


# --- the session ---------------------------------------------------------------------------------------------------------------


def replay_file(name: str, live: str) -> str:
    """The artifact that keeps what a choice says about the sessions before a cutoff; `live`: the dataset that ends there."""
    return f"replays/{name}-{live}.npz"


def write_replay(parts: Parts, name: str, live: str, windows: Windows, said: np.ndarray | None, newest: np.ndarray | None) -> None:
    """Keeps a replay.

    Args:
        windows: of the sessions before the cutoff, the last of them at the cutoff itself.
        said: what the chosen network says about them, dollars (n, H, Q); None where a baseline was chosen.
        newest: (sessions, features), what a network sees of the newest sessions; None where that depends on which network.
    """
    arrays = vars(Outcomes.of(windows)) | ({} if said is None else {"said": said.astype("float32")})
    parts.artifacts.write(replay_file(name, live), _packed({}, arrays | ({} if newest is None else {"newest": newest})))


def newest_seen(parts: Parts, name: str, live: str) -> np.ndarray | None:
    """`newest` of a replay."""
    return _unpacked(parts.artifacts.read(replay_file(name, live)))[1].get("newest")


def rows(run: Run, chosen: Mapping[str, Choice], weights: Mapping[str, float], training: Mapping[str, Mapping]) -> pd.DataFrame:
    """PROMOTIONS rows.

    Args:
        weights: by ticker, the network's share of what is published; none of it: the baseline is.
        training: by ticker, its training dataset's row.
    """
    decided = {ticker: _decided(choice, weights.get(ticker, 0.0)) for ticker, choice in chosen.items()}
    told = {ticker: _told(choice, decided[ticker], weights.get(ticker, 0.0)) for ticker, choice in chosen.items()}
    walks = {ticker: choice.baseline(EWMA) for ticker, choice in chosen.items()}
    calibrated = [
        dict(zip(chosen, _calibrated_tests(list(chosen.values()), list(said.values())), strict=True)) for said in (told, walks)
    ]
    made = []
    for ticker, choice in chosen.items():
        test, decision = choice.test, decided[ticker]
        ours, theirs = (losses(test.actual, each[ticker], test.last).mean(axis=0).mean() for each in calibrated)
        naive = choice.fitted[NAIVE](test)
        rmse, naive_rmse = (
            float(root_mean_squared_error(test.actual, said[:, :, MEDIAN])[0]) for said in (calibrated[0][ticker], naive)
        )
        known = choice.shown is not None
        made.append(
            {
                **run.key,
                "ticker": ticker,
                "champion": decision.champion,
                "model_id": decision.model_id,
                "weight": weights.get(ticker, 0.0) if decision.champion not in BASELINES else 0.0,
                "baseline": decision.baseline,
                "training_cutoff": choice.shown[1] if known else training[ticker]["dataset_cutoff"].date(),
                "test_sessions": len(test.last),
                "test_rmse": rmse if known else float("nan"),
                "naive_test_rmse": naive_rmse,
                "skill": 1 - rmse / naive_rmse if known else float("nan"),
                "test_pinball": float(ours) if known else float("nan"),
                "ewma_test_pinball": float(theirs),
                "pinball_skill": float(1 - ours / theirs) if known else float("nan"),
                "reasons": "; ".join(decision.reasons),
            }
        )
    return PROMOTIONS.conform(pd.DataFrame(made)) if made else PROMOTIONS.empty()


def _decided(choice: Choice, weight: float) -> promotion.Decision:
    """The decision once the share is known."""
    if not choice.network:
        return choice.decision
    rest = choice.decision.baseline
    told = f"{weight:.0%} of it and the rest of {rest}" if weight else f"no weight is left to it, so {rest} is published alone"
    reasons = (*choice.decision.reasons, f"{told}, by validation and the evidence of all stocks together")
    if weight:
        return promotion.Decision(choice.decision.champion, choice.decision.model_id, rest, reasons)
    return promotion.Decision(rest, rest, rest, reasons)


def _told(choice: Choice, decision: promotion.Decision, weight: float) -> Said:
    """Whose figures a row has: those of what is published, or where that is a baseline, of the network that is not."""
    if choice.said is None:
        return choice.baseline(decision.model_id)
    if decision.champion in BASELINES or weight == 1:
        return choice.said
    return choice.said.mixed(choice.baseline(decision.baseline), weight)


def _calibrated_tests(chosen: list[Choice], said: list[Said]) -> list[np.ndarray]:
    """The test windows' quantiles (n, H, Q), each calibrated by what was known at its last session, beginning with validation."""
    series = [
        (
            np.concatenate([choice.validation.actual, choice.test.actual]),
            np.concatenate([each.validation, each.test]),
            np.concatenate([choice.validation.position, choice.test.position]),
        )
        for choice, each in zip(chosen, said, strict=True)
    ]
    return [
        replayed.quantiles[len(choice.validation.last) :]
        for choice, replayed in zip(chosen, calibration.replay_all(series), strict=True)
    ]


def forecasts(
    parts: Parts, run: Run, promoted: Sequence[Mapping], chosen: Mapping[str, Choice], replays: Mapping[str, str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """FORECASTS and CALIBRATIONS rows of some PROMOTIONS rows, calibrated at the cutoff.

    Args:
        chosen: by ticker.
        replays: by ticker, the name of its replay's file.
    """
    outcomes, series = [], []
    for row in promoted:
        _, arrays = _unpacked(parts.artifacts.read(replays[row["ticker"]]))
        came, fitted = _outcomes(arrays, ""), chosen[row["ticker"]].fitted[row["baseline"]]
        if row["champion"] in BASELINES:
            said = chosen[row["ticker"]].fitted[row["champion"]](came)
        elif row["weight"] == 1:
            said = arrays["said"].astype("float64")
        else:
            said = combination.mixed(arrays["said"].astype("float64"), fitted(came), row["weight"])
        outcomes.append(came)
        series.append((came.actual, said, came.position))
    replayed = calibration.replay_all(series)
    made: list[dict] = []
    judged: list[dict] = []
    for row, came, (_, said, _), after in zip(promoted, outcomes, series, replayed, strict=True):
        key = {**run.key, "ticker": row["ticker"]}
        made += _forecast_rows(run, key, row, came, after.quantiles[-1])
        judged += _calibration_rows(key, came.actual[:-1], said[:-1], after)
    return FORECASTS.conform(pd.DataFrame(made)), CALIBRATIONS.conform(pd.DataFrame(judged))


def _forecast_rows(run: Run, key: dict, row: Mapping, came: Outcomes, quantiles: np.ndarray) -> list[dict]:
    return [
        {
            **key,
            "horizon": horizon + 1,
            "session": session,
            "last_value": float(came.last[-1]),
            "y_hat": quantiles[horizon, MEDIAN],
            **{
                f"{side}_{level}": quantiles[horizon, bound]
                for level, bounds in INTERVALS.items()
                for side, bound in zip(("lower", "upper"), bounds, strict=True)
            },
            "champion": row["champion"],
            "model_id": row["model_id"],
        }
        for horizon, session in enumerate(run.forecast_sessions)
    ]


def _calibration_rows(key: dict, actual: np.ndarray, raw: np.ndarray, after: calibration.Replay) -> list[dict]:
    """How the replay came out, per horizon."""
    measured = {
        **{f"raw_coverage_{level}": coverage(actual, raw, level) for level in INTERVALS},
        **{f"coverage_{level}": coverage(actual, after.quantiles[:-1], level) for level in INTERVALS},
    }
    growth = {f"growth_{level}": log for level, log in zip(INTERVALS, after.growth, strict=True)}
    sessions = np.isfinite(actual).sum(axis=0)
    return [
        {**key, "horizon": at + 1, "sessions": sessions[at], **{name: values[at] for name, values in measured.items()}, **growth}
        for at in range(actual.shape[1])
    ]
