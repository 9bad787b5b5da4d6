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
from collections.abc import Iterator
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
    return _built.setdefault(architecture, _Built(fused_twin(plain), _places(plain)))


def _places(model: keras.Model) -> list[str]:
    """Where Keras keeps each weight of a network: it is given numbers that tell its weights apart, and saved."""
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


def plain_file(model: keras.Model, plain: keras.Model | None = None) -> bytes:
    """`model` as a `.keras` file that needs nothing but Keras, without the optimiser; equal networks give equal bytes.

    Args:
        plain: its plain twin, with whatever weights, where there is one already.
    """
    from pipeline.models.fused import plain_twin

    if plain is None:
        plain = plain_twin(model)
    else:
        plain.set_weights(model.get_weights())
    return _reproducible(_saved(plain))


def _reproducible(keras_file: bytes) -> bytes:
    """The same file without clock readings (all become 1980, where zip's calendar begins) and memory addresses (numbered instead)."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(keras_file)) as old, zipfile.ZipFile(result, "w") as new:
        for name in sorted(old.namelist()):
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps({**json.loads(content), "date_saved": "1980-01-01@00:00:00"}).encode()
            if name == "config.json":
                content = _number_addresses(content)
            new.writestr(zipfile.ZipInfo(name), content)
    return result.getvalue()


def _number_addresses(config: bytes) -> bytes:
    """Keras marks an object that is used more than once by its address in memory; any number that tells it from others will do."""
    numbers: dict[bytes, int] = {}
    return re.sub(
        rb'"shared_object_id": (\d+)',
        lambda found: b'"shared_object_id": %d' % numbers.setdefault(found[1], len(numbers) + 1),
        config,
    )
