"""Files that somebody still needs, however old they are.

They are those that explain a published forecast (the networks that were compared for it and the
datasets that these have learnt from), and all that the newest session of each series works with,
which the next one goes on from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.daily import (
    OWN_ROLES,
    POOL_ROLES,
    Lineup,
    dataset_file,
    lineup,
    page_file,
    paths_file,
    regression_file,
)
from pipeline.tables import DATASETS, PROMOTIONS, SERIES

if TYPE_CHECKING:
    from pipeline.parts import Parts

#: The roles of the datasets that networks learn from or are measured on.
LEARNT_ROLES = [role for role in (*OWN_ROLES, *POOL_ROLES) if role != "live"]
#: Folders of what is measured on a dataset, whose name their files begin with.
MEASURED_FOLDERS = ("predictions", "stability", "statistical")


@dataclass(frozen=True)
class NeededFiles:
    """The artifacts that stay, however old they are.

    Attributes:
        names: theirs.
        networks: the model_ids of the networks among them.
        measured: the datasets of which all measurements stay.
        sessions: the newest session of each universe's series, as "UNIVERSE/SESSION".
    """

    names: frozenset[str]
    networks: frozenset[str]
    measured: frozenset[str]
    sessions: frozenset[str]

    def has(self, name: str) -> bool:
        """Return whether a file is needed."""
        folder, _, rest = name.partition("/")
        if folder in MEASURED_FOLDERS:
            return rest.partition(".")[0].partition("-")[0] in self.measured
        return name in self.names


def needed_files(parts: Parts) -> NeededFiles:
    """Return the files that are needed, as the store says."""
    series = parts.store.series()
    newest = [
        {**{name: str(row[name]) for name in SERIES}, "cutoff": row["newest"]}
        for row in series.to_dict("records")
    ]
    going_on = [own for key in newest for own in lineup.every(parts, **key)]
    networks = frozenset(_networks(parts, going_on))
    datasets = {name for (name,) in _learnt_datasets(parts)}
    for key in newest:
        datasets |= {name for (name,) in parts.store.distinct(DATASETS, ["dataset"], **key)}
    names = {file for model_id in networks for file in parts.networks.files_of(model_id)}
    names |= {dataset_file(name) for name in datasets}
    names |= {file(key) for key in newest for file in (page_file, paths_file)}
    chosen = [own for own in going_on if own.datasets]
    for own in chosen:
        names |= {own.choice_file, own.tracked_file, own.replay_file}
    fitted = {
        name for own in going_on for name in (own.har, own.live_har, *dict(own.anchors).values())
    }
    names |= {regression_file(name) for name in fitted if name}
    return NeededFiles(
        names=frozenset(names),
        networks=networks,
        measured=frozenset(entry.dataset for own in chosen for entry in own.datasets),
        sessions=frozenset(f"{key['universe']}/{key['cutoff']}" for key in newest),
    )


def _learnt_datasets(parts: Parts) -> list[tuple[str]]:
    """Return the datasets behind what is published, but for those that were forecast from."""
    return parts.store.distinct(DATASETS, ["dataset"], PROMOTIONS, role=LEARNT_ROLES)


def _networks(parts: Parts, going_on: Iterable[Lineup]) -> Iterable[str]:
    """Yield the networks that were compared for what is published, and those they went on from.

    It reads one session after the other.

    Args:
        going_on: lineups whose networks count too.
    """
    yield from _networks_of(going_on)
    columns = [*SERIES, "cutoff"]
    for values in sorted(parts.store.distinct(PROMOTIONS, columns)):
        key = dict(zip(columns, values, strict=True))
        yield from _networks_of(lineup.every(parts, **key))
    yield from (str(name) for (name,) in parts.store.distinct(PROMOTIONS, ["model_id"]) if name)


def _networks_of(lineups: Iterable[Lineup]) -> Iterable[str]:
    for own in lineups:
        for network in own.networks:
            yield network.model_id
            if network.base:
                yield network.base
