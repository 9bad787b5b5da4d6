"""A dataset, a network that was trained on it, and a worker, for the tests of this room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.training import Workers
from pipeline.training.jobs import Trained
from pipeline.windows import Dataset, load_dataset
from tests.training.made_networks import dataset_file, small, training_files


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """The dataset of `UP`: its prices are pulled back to 100."""
    return load_dataset(dataset_file())


@pytest.fixture(scope="session")
def trained() -> Trained:
    """A network that has learnt from `UP` for up to 12 epochs."""
    from pipeline.training.fit import fit

    return fit(small(epochs=12), training_files(), seed=7)


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    """One worker."""
    with Workers(1) as pool:
        yield pool
