"""Networks as `.keras` files: plain ones that anyone can load, the same bytes for the same network; and getting one ready for use from its file.

To build a network takes a hundred times as long as to give it its weights. Networks that differ in their weights alone, as those that stocks
tune from the same one do, are built once a process.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import LookAtTheData

if TYPE_CHECKING:
    import h5py
    import keras

#: Where a `.keras` file keeps its weights, and where it says how the network is built.
WEIGHTS, CONFIG = "model.weights.h5", "config.json"
#: Built networks that a process keeps.
KEPT = 8


@dataclass(frozen=True, eq=False)
class _Built:
    """A network with the fused kernel; `places`: where a file keeps each of its weights, in their order."""

    network: keras.Model
    places: list[str]


#: By a hash of all that a file holds besides weights.
_built: dict[str, _Built] = {}


def load_model(data: bytes) -> keras.Model:
    """The Keras model in a `.keras` file; no code inside a file is ever run.

    Raises `LookAtTheData` for a file that plain Keras cannot load.
    """
    import keras

    with tempfile.TemporaryDirectory() as folder, _readable():
        path = Path(folder, "model.keras")
        path.write_bytes(data)
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def load_fused(data: bytes) -> keras.Model:
    """The same network with the fused kernel, until the next call has given it the weights of another file."""
    with contents(data) as file:
        architecture = hashlib.sha256()
        for name in sorted(set(file.namelist()) - {WEIGHTS}):
            architecture.update(f"{name} ".encode() + file.read(name))
    built = _built.get(architecture.hexdigest()) or _build(architecture.hexdigest(), data)
    with weights(data) as kept:
        built.network.set_weights([kept[place][()] for place in built.places])
    return built.network


@contextlib.contextmanager
def contents(data: bytes) -> Iterator[zipfile.ZipFile]:
    """The members of a `.keras` file."""
    with _readable(), zipfile.ZipFile(io.BytesIO(data)) as file:
        yield file


@contextlib.contextmanager
def weights(data: bytes) -> Iterator[h5py.File]:
    """The arrays of a `.keras` file."""
    import h5py

    with contents(data) as file, h5py.File(io.BytesIO(file.read(WEIGHTS)), "r") as arrays:
        yield arrays


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except LookAtTheData:
        raise
    except Exception as error:  # Keras names no error of its own: zip, JSON, HDF5 and configuration errors all come as they are
        told = next(iter(str(error).splitlines()), "no message")
        raise LookAtTheData(f"This is no model file that Keras can load ({told}). Delete it and repeat train.") from error


def _build(architecture: str, data: bytes) -> _Built:
    from pipeline.models.fused import fused_twin

    plain = load_model(data)
    while len(_built) >= KEPT:
        del _built[next(iter(_built))]
    return _built.setdefault(architecture, _Built(fused_twin(plain), places(plain)))


def places(model: keras.Model) -> list[str]:
    """Where a file of a network keeps each of its weights, in their order: the network is given numbers that tell them apart, and saved."""
    given = model.get_weights()
    marks = [number + 0.5 for number in range(len(given))]  # no state of a random generator is such a number
    model.set_weights([np.full_like(weight, mark) for weight, mark in zip(given, marks, strict=True)])
    found: dict[float, str] = {}

    def look(name: str, item: object) -> None:
        if hasattr(item, "shape") and item.size:
            found[float(np.ravel(item[()])[0])] = name

    with weights(_saved(model)) as kept:
        kept.visititems(look)
    return [found[mark] for mark in marks]


def _saved(model: keras.Model) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        model.save(path)
        return path.read_bytes()


def plain_file(model: keras.Model) -> bytes:
    """`model` as a `.keras` file that needs nothing but Keras, without the optimiser; equal networks give equal bytes."""
    from pipeline.models.fused import plain_twin

    return _changed(_saved(plain_twin(model)), _reproducible)


def with_weights(data: bytes, weights: Mapping[str, np.ndarray]) -> bytes:
    """The file that `plain_file` makes of a network that differs from that in `data` in its weights alone, in a tenth of the time.

    Args:
        weights: all of them, by their `places`.
    """
    import h5py

    def changed(name: str, content: bytes) -> bytes:
        if name != WEIGHTS:
            return content
        file = io.BytesIO(content)
        with h5py.File(file, "r+") as arrays:
            for place, values in weights.items():
                arrays[place][...] = values
        return file.getvalue()

    with _readable():
        return _changed(data, changed)


def _changed(keras_file: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """The same file with each member's content as `change` makes it; times are 1980, where zip's calendar begins."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(keras_file)) as old, zipfile.ZipFile(result, "w") as new:
        for name in sorted(old.namelist()):
            new.writestr(zipfile.ZipInfo(name), change(name, old.read(name)))
    return result.getvalue()


def _reproducible(name: str, content: bytes) -> bytes:
    """No reading of a clock, and no addresses in memory (numbered instead)."""
    if name == "metadata.json":
        return json.dumps({**json.loads(content), "date_saved": "1980-01-01@00:00:00"}).encode()
    return _number_addresses(content) if name == CONFIG else content


def _number_addresses(config: bytes) -> bytes:
    """Keras marks an object that is used more than once by its address in memory; any number that tells it from others will do."""
    numbers: dict[bytes, int] = {}
    return re.sub(
        rb'"shared_object_id": (\d+)',
        lambda found: b'"shared_object_id": %d' % numbers.setdefault(found[1], len(numbers) + 1),
        config,
    )
