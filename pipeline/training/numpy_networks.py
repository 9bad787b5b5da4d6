"""Networks that numpy can ask, from their `.keras` files: neither TensorFlow nor Keras is imported.

Numpy serves a network whose every layer `numpy_layers` knows, with every option that the file
names. Keras serves all others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import LookAtTheData
from pipeline.training.keras_files import CONFIG_MEMBER, members, read_weights, weight_arrays
from pipeline.training.numpy_layers import NUMPY_LAYERS, Config, NumpyLayer
from pipeline.windows import Windows

#: Windows that are computed at once, of all networks together: they stay in the processor's cache.
COMPUTED_TOGETHER = 256
#: Raise it with a change of any bit: forecasts that are kept are not continued across it.
ARITHMETIC = 1
#: Architectures that a process keeps.
ARCHITECTURES_KEPT = 64
#: The members of a file without vocabularies of its own.
_MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}
#: Inputs of a network by Keras's name of their type.
_INPUT_TYPES = {"float32", "string", "uint8"}


@dataclass(frozen=True, eq=False)
class Step:
    """A layer of a network, after those that it reads.

    Attributes:
        places: where a file keeps its weights, in their order.
    """

    name: str
    layer: NumpyLayer
    config: Config
    reads: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Architecture:
    """A network without its weights.

    Attributes:
        inputs: the shape of a window of each, by name.
        steps: in an order in which they can be done.
        width: of its output, (n, width).
    """

    inputs: Mapping[str, tuple[int, ...]]
    steps: tuple[Step, ...]
    output: str
    width: int

    @property
    def places(self) -> list[str]:
        """The places of its weights in a file."""
        return [place for step in self.steps for place in step.places]

    def require_shapes(self, inputs: Sequence[Mapping[str, Array]]) -> None:
        """Require that inputs fit; numpy might compute something of others.

        Raises:
            ValueError: they do not.
        """
        for each in inputs:
            for name, shape in self.inputs.items():
                if each[name].shape[1:] != shape:
                    raise ValueError(
                        f"The windows of input {name} are {each[name].shape[1:]}, {shape} expected."
                    )

    def answers(self, weights: Mapping[str, Array], inputs: Mapping[str, Array]) -> Array:
        """Return the outputs (stack, n, width), float32.

        Args:
            weights: by place, each (stack, ...).
            inputs: by name, each (stack, n, ...).
        """
        values = {name: inputs[name] for name in self.inputs}
        with np.errstate(all="ignore"):  # as with Keras, what is no number shows in the output
            for step in self.steps:
                own = [weights[place] for place in step.places]
                read = [values[name] for name in step.reads]
                values[step.name] = step.layer.compute(step.config, own, read)
        return values[self.output]


@dataclass(frozen=True, eq=False)
class NumpyNetwork:
    """A network with its weights, by their place in a file."""

    architecture: Architecture
    weights: Mapping[str, Array]


def is_served_by_numpy(data: bytes) -> bool:
    """Return whether numpy can ask the network in a `.keras` file, or nothing can."""
    try:
        return _architecture_of(data) is not None
    except LookAtTheData:
        return True


def numpy_network(data: bytes) -> NumpyNetwork | None:
    """Load a `.keras` file; None: Keras must serve it.

    Raises:
        LookAtTheData: it is no such file.
    """
    architecture = _architecture_of(data)
    if architecture is None:
        return None
    return NumpyNetwork(architecture, read_weights(data, architecture.places))


def answers_together(
    networks: Sequence[NumpyNetwork], inputs: Sequence[Mapping[str, Array]]
) -> list[Array]:
    """Return the outputs of networks of one architecture, each (n, width), float32.

    A network's outputs are the same with any others, to the bit.

    Args:
        inputs: of each network, by name, each (n, ...); n is the same for all.
    """
    architecture = networks[0].architecture
    architecture.require_shapes(inputs)
    count = len(next(iter(inputs[0].values())))
    rows = min(max(count, 1), COMPUTED_TOGETHER)
    stack = COMPUTED_TOGETHER // rows
    outputs: list[Array] = []
    for begin in range(0, len(networks), stack):
        some = slice(begin, begin + stack)
        weights, stacked = _stacked(networks[some]), _stacked_inputs(architecture, inputs[some])
        pieces = [
            architecture.answers(
                weights, {name: each[:, row : row + rows] for name, each in stacked.items()}
            )
            for row in range(0, max(count, 1), rows)
        ]
        outputs += list(np.concatenate(pieces, axis=1))
    return outputs


def window_digests(windows: Windows) -> Array:
    """Return digests of all that decides what a network forecasts at once, uint8 (n, bytes).

    Windows with equal digests are forecast with equal bits by a network that numpy serves: by this
    version of numpy, on a processor of this kind.
    """
    key = _arithmetic_digest()
    decisive = zip(windows.past, windows.offset, windows.scale, strict=True)
    digests = [
        hashlib.blake2b(
            past.tobytes() + offset.tobytes() + scale.tobytes(), digest_size=16, key=key
        ).digest()
        for past, offset, scale in decisive
    ]
    return np.frombuffer(b"".join(digests), "uint8").reshape(len(windows), 16)


@cache
def _arithmetic_digest() -> bytes:
    """Return a digest of what decides the last bits of numpy's results."""
    where = np.show_config(mode="dicts")["SIMD Extensions"]
    about = json.dumps([ARITHMETIC, np.__version__, where], sort_keys=True)
    return hashlib.sha256(about.encode()).digest()


def _stacked(networks: Sequence[NumpyNetwork]) -> dict[str, Array]:
    places = networks[0].architecture.places
    return {place: np.stack([each.weights[place] for each in networks]) for place in places}


def _stacked_inputs(
    architecture: Architecture, inputs: Sequence[Mapping[str, Array]]
) -> dict[str, Array]:
    return {name: np.stack([each[name] for each in inputs]) for name in architecture.inputs}


# From a file to an architecture

#: By a hash of their configuration; None: Keras must serve it.
_architectures: dict[str, Architecture | None] = {}


def _architecture_of(data: bytes) -> Architecture | None:
    with members(data) as file:
        if set(file.namelist()) != _MEMBERS:
            return None
        configuration = file.read(CONFIG_MEMBER)
    key = hashlib.sha256(configuration).hexdigest()
    if key not in _architectures:
        while len(_architectures) >= ARCHITECTURES_KEPT:
            del _architectures[next(iter(_architectures))]
        _architectures[key] = _parsed(json.loads(configuration), data)
    return _architectures[key]


def _parsed(configuration: Config, data: bytes) -> Architecture | None:
    """Return the architecture; None: numpy does not know all of it."""
    try:
        if configuration["class_name"] != "Functional":
            return None
        network = configuration["config"]
        inputs = [each for each in network["layers"] if each["class_name"] == "InputLayer"]
        others = [each for each in network["layers"] if each["class_name"] != "InputLayer"]
        is_known = all(each["config"]["dtype"] in _INPUT_TYPES for each in inputs) and all(
            each["module"] == "keras.layers"
            and each["class_name"] in NUMPY_LAYERS
            and NUMPY_LAYERS[each["class_name"]].knows(each["config"])
            for each in others
        )
        if not is_known:
            return None
        places = _places_by_layer(data)
        steps = [_step(each, places) for each in others]
        output, *place = network["output_layers"]
        if place != [0, 0]:
            return None
        last = next(each for each in others if each["name"] == output)
        width = last["config"].get("units") or _shape_read(last)[-1]
        shapes = {each["name"]: tuple(each["config"]["batch_shape"][1:]) for each in inputs}
        return Architecture(shapes, _in_order(steps, shapes), output, width)
    except (KeyError, ValueError, TypeError, IndexError, StopIteration):
        return None  # another version of Keras wrote it


def _step(layer: Config, places: Mapping[str, tuple[str, ...]]) -> Step:
    """Return a layer that is used once, and reads the only outputs of others."""
    [node] = layer["inbound_nodes"]
    [read] = node["args"]
    known = NUMPY_LAYERS[layer["class_name"]]
    if any(node["kwargs"].values()):
        raise ValueError("An argument that numpy does not know.")
    histories = [each["config"]["keras_history"] for each in _tensors(read)]
    if any(rest != [0, 0] for _, *rest in histories):
        raise ValueError("An output that is not the only one.")
    reads = tuple(name for name, *_ in histories)
    name = layer["name"]
    return Step(name, known, layer["config"], reads, places[name])


def _tensors(read: Any) -> list[Config]:
    return read if isinstance(read, list) else [read]


def _shape_read(layer: Config) -> list[int]:
    shape: list[int] = layer["inbound_nodes"][0]["args"][0]["config"]["shape"]
    return shape


def _in_order(steps: Sequence[Step], known: Iterable[str]) -> tuple[Step, ...]:
    """Return each step after those that it reads."""
    ordered: list[Step] = []
    names = set(known)
    while len(ordered) < len(steps):
        ready = [each for each in steps if each.name not in names and names.issuperset(each.reads)]
        if not ready:
            raise ValueError("A layer reads what no other writes.")
        ordered += ready
        names.update(each.name for each in ready)
    return tuple(ordered)


def _places_by_layer(data: bytes) -> dict[str, tuple[str, ...]]:
    """Return where a file keeps the weights of each layer, in their order, by the layer's name."""
    with weight_arrays(data) as arrays:
        return {
            group["vars"].attrs["name"]: tuple(
                f"{folder.name}/{number}" for number in range(len(folder))
            )
            for group in arrays["layers"].values()
            for folder in [group["cell/vars"] if "cell" in group else group["vars"]]
        }
