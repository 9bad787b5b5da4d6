"""The answers of an audit's networks, as the outputs that may not move."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array, Bools
from pipeline.decisions import SplitForecasts, blending, calibrated, quantiles_of
from pipeline.inspection.comparing import Outputs, OutputValues
from pipeline.models import BASELINES, EWMA
from pipeline.training import PredictJob
from pipeline.windows import Dataset, Windows, load_dataset

if TYPE_CHECKING:
    from pipeline.inspection.audited_networks import AuditedNetworks
    from pipeline.training import Workers


@dataclass(frozen=True, eq=False)
class Answers:
    """Dataset files cut into windows, and the networks' forecasts of validation and test.

    Attributes:
        cuts: by ticker.
        predictions: by ticker: of validation and of test, not calibrated.
    """

    cuts: Mapping[str, Dataset]
    networks: AuditedNetworks
    predictions: Mapping[str, tuple[np.ndarray, ...]]


def ask(workers: Workers, files: Mapping[str, bytes], networks: AuditedNetworks) -> Answers:
    """Let networks forecast the windows of dataset files, by ticker."""
    cuts = {ticker: load_dataset(file) for ticker, file in files.items()}
    return Answers(cuts, networks, _predict(workers, cuts, networks))


def _predict(
    workers: Workers, cuts: Mapping[str, Dataset], networks: AuditedNetworks
) -> dict[str, tuple[np.ndarray, ...]]:
    jobs = [
        PredictJob(ticker, networks.own[ticker].model, (cut.validation, cut.test), cut.spec.horizon)
        for ticker, cut in cuts.items()
    ]
    return {job.label: future.result() for job, future in workers.run(jobs)}


def outputs_until(answers: Answers, cutoff: dt.date | None) -> Outputs:
    """Return what is seen and forecast in the windows up to a cutoff.

    Args:
        cutoff: None: in the windows that are learnt from and validated on.
    """
    inputs: OutputValues = {}
    raw: OutputValues = {}
    blended: OutputValues = {}
    networks, baselines = _forecasts_of(answers)
    weights = _weights(answers, networks, baselines)
    for ticker, cut in answers.cuts.items():
        network, baseline = networks[ticker], baselines[ticker]
        inputs |= _inputs_until(ticker, cut, cutoff)
        raw |= _raw_until(ticker, cut, network, baseline, cutoff)
        mix = network.blended(baseline, weights[ticker])
        blended |= _blended_until(ticker, cut, mix, cutoff)
    return {
        "inputs": inputs,
        "forecasts": raw,
        "weights": {ticker: np.array(weight) for ticker, weight in weights.items()},
        "calibrated forecasts": blended,
    }


def _forecasts_of(
    answers: Answers,
) -> tuple[dict[str, SplitForecasts], dict[str, SplitForecasts]]:
    """Return the forecasts of the networks and of the EWMA random walk, by ticker."""
    networks, baselines = {}, {}
    for ticker, cut in answers.cuts.items():
        validation, test = quantiles_of(cut.validation, answers.predictions[ticker], (cut.test,))
        networks[ticker] = SplitForecasts(validation, test)
        ewma = BASELINES[EWMA].fit(cut.train, cut.spec.horizon)
        baselines[ticker] = SplitForecasts(ewma(cut.validation), ewma(cut.test))
    return networks, baselines


def _weights(
    answers: Answers,
    networks: Mapping[str, SplitForecasts],
    baselines: Mapping[str, SplitForecasts],
) -> dict[str, float]:
    return blending.network_weights(
        {
            ticker: blending.loss_curve(
                cut.validation, networks[ticker].validation, baselines[ticker].validation
            )
            for ticker, cut in answers.cuts.items()
        }
    )


def _inputs_until(ticker: str, cut: Dataset, cutoff: dt.date | None) -> OutputValues:
    inputs: OutputValues = {}
    for name, part in _measured_parts(cut).items():
        inputs |= _seen(f"{ticker} {name}", part, _rows(name, part, cutoff))
    if cutoff is None:
        inputs |= _seen(f"{ticker} training", cut.train, np.full(len(cut.train), True))
        inputs[f"{ticker} training targets"] = cut.train.future
        inputs[f"{ticker} validation targets"] = cut.validation.future
    return inputs


def _seen(name: str, part: Windows, rows: Bools) -> OutputValues:
    arrays = {"past": part.past, "offset": part.offset, "scale": part.scale, "unit": part.unit}
    return {f"{name} {array}": values[rows] for array, values in arrays.items()}


def _raw_until(
    ticker: str,
    cut: Dataset,
    network: SplitForecasts,
    baseline: SplitForecasts,
    cutoff: dt.date | None,
) -> OutputValues:
    raw: OutputValues = {}
    for name, part in _measured_parts(cut).items():
        rows = _rows(name, part, cutoff)
        raw[f"{ticker} {name}"] = _part_of(network, name)[rows]
        raw[f"{ticker} {name} ewma"] = _part_of(baseline, name)[rows]
    return raw


def _blended_until(
    ticker: str, cut: Dataset, blended: SplitForecasts, cutoff: dt.date | None
) -> OutputValues:
    """Return what would have been published, day by day.

    It is the blend with the baseline, calibrated by the actual values that were known.
    """
    rows = np.concatenate(
        [_rows(name, part, cutoff) for name, part in _measured_parts(cut).items()]
    )
    quantiles = np.concatenate([blended.validation, blended.test])
    return {
        f"{ticker} blended": quantiles[rows],
        f"{ticker} calibrated": calibrated(cut, blended)[rows],
    }


def _measured_parts(cut: Dataset) -> dict[str, Windows]:
    return {"validation": cut.validation, "test": cut.test}


def _part_of(forecasts: SplitForecasts, name: str) -> Array:
    return forecasts.validation if name == "validation" else forecasts.test


def _rows(name: str, part: Windows, cutoff: dt.date | None) -> Bools:
    """Return which windows of a part are not after the cutoff."""
    if cutoff is None:
        return np.full(len(part), name == "validation")
    rows: Bools = part.origins <= np.datetime64(cutoff, "D")
    return rows
