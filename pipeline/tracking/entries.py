"""Tracked entries as plain values: runs, models, datasets, and the origin of runs."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Origin:
    """The origin of runs: an Airflow DAG run that asked for them.

    Attributes:
        dag_run: its id.
        url: its page.
        owner: what identifies it among the owners of runs.
        is_over: whether the DAG run of such an owner has ended, so that nobody will end its runs.
    """

    dag_run: str
    url: str
    owner: str
    is_over: Callable[[str], bool] = lambda owner: False


@dataclass(frozen=True)
class TrackedModel:
    """A model that may be published: a trained network, or a baseline by its name.

    Attributes:
        training_cutoff: None: of a baseline.
        content: a plain `.keras` file; b"": a baseline, of which the rest says nothing.
        inputs: by name the shape without its batch; "symbol" has strings, all others float32.
        outputs: sessions ahead that it forecasts at once: float32 (batch, outputs).
        columns: what it sees of a session.
        output_is: its output in words.
    """

    model_id: str
    training_cutoff: dt.date | None = None
    content: bytes = b""
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: int = 0
    columns: tuple[str, ...] = ()
    output_is: str = ""


def _no_files() -> Mapping[str, bytes]:
    return {}


@dataclass(frozen=True)
class PublishedModel:
    """The model that is published of a stock.

    Attributes:
        is_baseline: it is registered where it is not yet; networks are by the run that measures
            them.
        served: makes the files of its folder that a session's publication writes, by name.
    """

    model_id: str
    is_baseline: bool = False
    served: Callable[[], Mapping[str, bytes]] = _no_files


@dataclass(frozen=True)
class TrackedDataset:
    """A dataset that a run has learnt from, as MLflow lists it: a reference, not the data.

    Attributes:
        digest: names the content, at most 36 characters.
        url: where it is.
        rows: of each column, sessions.
        context: what it was for, such as "training".
    """

    name: str
    digest: str
    url: str
    columns: tuple[str, ...]
    rows: int
    context: str


@dataclass(frozen=True)
class TrackedRun:
    """A run below a parent: one stock of a session, a forecaster, a trial or an exercise.

    Attributes:
        ticker: the stock; `SHARED` for all.
        metrics: NaN means not known, and is left out.
        history: values per epoch by name: loss, val_loss, learning_rate.
        model: its network; None: there is none.
        rivals: other networks that may be published (of the previous training cutoff); they are
            registered if they are not yet.
        files: artifacts by name: "predictions.csv".
        pictures: more artifacts, drawn from `files` only when they are written.
        title: names and identifies a run that is not the one of its stock and session.
        description: Markdown; the verdict comes first.
    """

    ticker: str
    params: Mapping[str, object]
    metrics: Mapping[str, float]
    history: Mapping[str, list[float]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    model: TrackedModel | None = None
    rivals: tuple[TrackedModel, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    pictures: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)
    title: str = ""
    description: str = ""
    datasets: tuple[TrackedDataset, ...] = ()

    @property
    def models(self) -> tuple[TrackedModel, ...]:
        """Its network, where it has one, and the rivals."""
        return (*((self.model,) if self.model else ()), *self.rivals)

    def content_hash(self) -> str:
        """Return a hash that changes when anything tracked does; a model counts by its id."""
        models = [model.model_id for model in self.models]
        files = {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}
        pictures = sorted(self.pictures)
        changed = {"model": None, "rivals": models, "files": files, "pictures": pictures}
        return hash_of({**vars(self), **changed})


@dataclass(frozen=True)
class NewChild:
    """A child run as it is to be written.

    Attributes:
        key: identifies it, whichever parent it is below.
        parent: the run id of its parent.
        labels: tags of the parent that it has too.
        tags: all but what `ExperimentRuns.tags_of` adds.
        content: the hash of what it tracks.
    """

    key: str
    parent: str
    name: str
    labels: Mapping[str, str]
    tags: Mapping[str, str]
    run: TrackedRun
    content: str


def hash_of(values: Mapping[str, object]) -> str:
    """Return a short hash of values; what JSON does not know counts by its str."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
