"""Networks as `.keras` files, and networks ready for use from their files.

The files are plain: anyone can load them, and equal networks give equal bytes. To build a network
takes a hundred times as long as to give it its weights. Networks that differ in their weights
alone, as those that stocks tune from the same one do, are built once a process.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import LookAtTheData
from pipeline.extras import require
from pipeline.storage import first_line

if TYPE_CHECKING:
    import h5py
    import keras

#: The members of a `.keras` file that keep the weights, and how the network is built.
WEIGHTS_MEMBER, CONFIG_MEMBER = "model.weights.h5", "config.json"
#: Built networks that a process keeps.
NETWORKS_KEPT = 8


@dataclass(frozen=True, eq=False)
class _Built:
    """A network with the fused kernel.

    Attributes:
        places: where a file keeps each of its weights, in their order.
    """

    network: keras.Model
    places: list[str]


#: By a hash of all that a file holds besides weights.
_built: dict[str, _Built] = {}


def load_model(data: bytes) -> keras.Model:
    """Load a `.keras` file; no code inside a file is ever run.

    Raises:
        LookAtTheData: plain Keras cannot load the file.
        SettingsError: it is not installed.
    """
    require("tensorflow", "This network")
    import keras

    with tempfile.TemporaryDirectory() as folder, _readable():
        path = Path(folder, "model.keras")
        path.write_bytes(data)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def load_fused(data: bytes) -> keras.Model:
    """Load a `.keras` file with the fused kernel.

    The next call may give the same network the weights of another file.
    """
    with members(data) as file:
        architecture = hashlib.sha256()
        for name in sorted(set(file.namelist()) - {WEIGHTS_MEMBER}):
            architecture.update(f"{name} ".encode() + file.read(name))
    key = architecture.hexdigest()
    built = _built.get(key) or _build(key, data)
    with weight_arrays(data) as arrays:
        built.network.set_weights([arrays[place][()] for place in built.places])
    return built.network


def _build(architecture: str, data: bytes) -> _Built:
    from pipeline.training.fused import fused_twin

    plain = load_model(data)
    while len(_built) >= NETWORKS_KEPT:
        del _built[next(iter(_built))]
    return _built.setdefault(architecture, _Built(fused_twin(plain), weight_places(plain)))


# Reading a file


@contextlib.contextmanager
def members(data: bytes) -> Iterator[zipfile.ZipFile]:
    """Open the members of a `.keras` file.

    Raises:
        LookAtTheData: it is no such file, or a member that is read is damaged.
    """
    with _readable(), zipfile.ZipFile(io.BytesIO(data)) as file:
        yield file


@contextlib.contextmanager
def weight_arrays(data: bytes) -> Iterator[h5py.File]:
    """Open the weights of a `.keras` file.

    Raises:
        LookAtTheData: it is no such file, or an array that is read is damaged.
        SettingsError: h5py is not installed.
    """
    require("h5py", "This network")
    import h5py

    with members(data) as file, h5py.File(io.BytesIO(file.read(WEIGHTS_MEMBER)), "r") as arrays:
        yield arrays


def read_weights(data: bytes, places: Sequence[str]) -> dict[str, Array]:
    """Return weights of a `.keras` file by their place, float32.

    Raises:
        LookAtTheData: it is no such file, or an array is missing or damaged.
        SettingsError: h5py is not installed.
    """
    require("h5py", "This network")
    from h5py import h5d, h5f, h5s

    weights: dict[str, Array] = {}
    with members(data) as file:
        # A third of the time that h5py's own objects take.
        arrays = h5f.open_file_image(file.read(WEIGHTS_MEMBER))
        for place in places:
            stored = h5d.open(arrays, place.encode())
            weights[place] = np.empty(stored.shape, "float32")
            stored.read(h5s.ALL, h5s.ALL, weights[place])
    return weights


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except LookAtTheData:
        raise
    except Exception as error:
        # Keras has no error of its own: errors of zip, JSON, HDF5 and configurations come as they
        # are.
        raise LookAtTheData(
            f"This is no model file that Keras can load ({first_line(error)}). "
            "Delete it and repeat train."
        ) from error


def weight_places(model: keras.Model) -> list[str]:
    """Return where a file of a network keeps each of its weights, in their order.

    The network is given numbers that tell its weights apart, and saved.
    """
    weights = model.get_weights()
    # No state of a random generator is such a number.
    marks = [number + 0.5 for number in range(len(weights))]
    model.set_weights(
        [np.full_like(weight, mark) for weight, mark in zip(weights, marks, strict=True)]
    )
    places: dict[float, str] = {}

    def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if hasattr(item, "shape") and item.size:
            places[float(np.ravel(item[()])[0])] = name

    with weight_arrays(_saved(model)) as arrays:
        arrays.visititems(note)
    return [places[mark] for mark in marks]


# Writing a file


def plain_file(model: keras.Model) -> bytes:
    """Return the network as a `.keras` file that needs nothing but Keras.

    It is without the optimiser; equal networks give equal bytes.
    """
    from pipeline.training.fused import plain_twin

    return _changed(_saved(plain_twin(model)), _reproducible)


def with_weights(data: bytes, weights: Mapping[str, Array]) -> bytes:
    """Return the file of a network that differs in its weights alone.

    It is what `plain_file` makes of that network, in a tenth of the time.

    Args:
        weights: all of them, by their `weight_places`.
    """
    import h5py

    def changed(name: str, content: bytes) -> bytes:
        if name != WEIGHTS_MEMBER:
            return content
        file = io.BytesIO(content)
        with h5py.File(file, "r+") as arrays:
            for place, values in weights.items():
                arrays[place][...] = values
        return file.getvalue()

    with _readable():
        return _changed(data, changed)


def _saved(model: keras.Model) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return path.read_bytes()


def _changed(keras_file: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """Return the file with each member's content changed.

    Times are 1980, where zip's calendar begins.
    """
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(keras_file)) as old, zipfile.ZipFile(result, "w") as new:
        for name in sorted(old.namelist()):
            new.writestr(zipfile.ZipInfo(name), change(name, old.read(name)))
    return result.getvalue()


def _reproducible(name: str, content: bytes) -> bytes:
    """Return a member without the time of day and without addresses in memory."""
    if name == "metadata.json":
        return json.dumps({**json.loads(content), "date_saved": "1980-01-01@00:00:00"}).encode()
    return _number_addresses(content) if name == CONFIG_MEMBER else content


def _number_addresses(config: bytes) -> bytes:
    """Return a configuration with its shared objects numbered from 1.

    Keras marks an object that is used more than once by its address in memory; any number that
    tells it from others will do.
    """
    numbers: dict[bytes, int] = {}
    return re.sub(
        rb'"shared_object_id": (\d+)',
        lambda match: b'"shared_object_id": %d' % numbers.setdefault(match[1], len(numbers) + 1),
        config,
    )
