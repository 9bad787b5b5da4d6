"""Files for TensorBoard: a training's epochs, and a pooled network's vectors for the projector.

A network has a folder of its own, in which TensorBoard sees the runs "train" and "validation" (and
"test", where a recipe looks at that while it trains). Two event files in one folder would be drawn
as one zigzag, so a network that is trained again replaces its files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.arrays import Array
from pipeline.errors import SettingsError
from pipeline.training.keras_files import load_fused

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from pipeline.training.jobs import Trained

#: TensorBoard's runs -> the prefix that Keras gives to what is measured there.
BOARD_RUNS = {"train": "", "validation": "val_", "test": "test_"}
EVENT_FILES = "events.out.tfevents.*"
#: TensorBoard looks for it among event files.
PROJECTOR_FILE = "projector_config.pbtxt"
TENSORS_FILE, METADATA_FILE = "symbol_tensors.tsv", "symbol_metadata.tsv"
#: Patterns of all files that are written.
BOARD_FILES = (EVENT_FILES, PROJECTOR_FILE, TENSORS_FILE, METADATA_FILE)
UNKNOWN_LABEL = "unknown"


def callbacks(folder: str) -> list[keras.callbacks.Callback]:
    """Return the callbacks that write event files while a network is trained.

    The network learns the same to the bit. Step n is the network after n epochs, 0 the untrained
    one, as in a training's history. From step 1 there are the loss of each run and the learning
    rate, from step 0 a histogram of every weight, and the graph, as layers and as operations.
    """
    import keras

    # Not `keras.callbacks.TensorBoard`: 3.15 writes no graph of operations, and warns of every loss
    # that a recipe makes itself.
    events = _Events(Path(folder))
    callback: keras.callbacks.Callback = keras.callbacks.LambdaCallback(
        on_train_begin=lambda _: events.begin(callback.model),
        on_epoch_end=lambda epoch, logs: events.after_epoch(
            callback.model, epoch + 1, logs, float(callback.model.optimizer.learning_rate)
        ),
        on_train_end=lambda _: events.close(),
    )
    return [callback]


def save_tuning(folder: str, base: bytes, trained: Trained) -> None:
    """Write the event files of a network whose last layer was tuned in numpy.

    They are those of `callbacks`, with histograms of the network before its first epoch and after
    its best.

    Args:
        folder: as in `callbacks`.
        base: the `.keras` file of the network that it goes on from.
    """
    events, history = _Events(Path(folder)), trained.history
    events.begin(load_fused(base))
    try:
        for epoch in range(1, trained.epochs + 1):
            logs = {name: history[name][epoch] for name in ("loss", "val_loss")}
            is_best = epoch == trained.best_epoch
            model = load_fused(trained.model) if is_best else None
            events.after_epoch(model, epoch, logs, history["learning_rate"][epoch])
    finally:
        events.close()


def save_projector(
    folder: str, symbols: tuple[str, ...], vectors: Array, sectors: Mapping[str, str]
) -> None:
    """Write the vectors of `embedding.vectors` where TensorBoard's projector finds them.

    They are labelled with symbol and sector.

    Args:
        folder: as in `callbacks`.
        sectors: by symbol; one that is missing is left empty.

    Raises:
        SettingsError: the folder cannot be written.
    """
    labels = [(UNKNOWN_LABEL, ""), *((symbol, sectors.get(symbol, "")) for symbol in symbols)]
    contents = {
        TENSORS_FILE: _tab_separated([str(value) for value in vector] for vector in vectors),
        METADATA_FILE: _tab_separated([("symbol", "sector"), *labels]),
        PROJECTOR_FILE: (
            "embeddings {\n"
            '  tensor_name: "symbols"\n'
            f'  tensor_path: "{TENSORS_FILE}"\n'
            f'  metadata_path: "{METADATA_FILE}"\n'
            "}\n"
        ),
    }
    train = Path(folder, "train")
    try:
        train.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (train / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error


class _Events:
    """The event files of one training."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def begin(self, model: keras.Model) -> None:
        """Write the untrained network, in place of an earlier training's files."""
        import tensorflow as tf

        try:
            self._clear()
        except OSError as error:
            raise _unwritable(str(self._folder), error) from error
        with self._writer("train").as_default(step=0):
            tf.summary.graph(_operations(model))
            tf.summary.write("keras", _layers(model), metadata=_layers_metadata())
            _histograms(model)
        self._flush()

    def after_epoch(
        self, model: keras.Model | None, step: int, logs: Mapping[str, float], rate: float
    ) -> None:
        """Write an epoch; `step` numbers it from 1.

        Args:
            model: its weights are shown; None: those of this epoch are not known.
            rate: the learning rate.
        """
        import tensorflow as tf

        for run, prefix in BOARD_RUNS.items():
            if f"{prefix}loss" in logs:
                with self._writer(run).as_default(step=step):
                    tf.summary.scalar("loss", logs[f"{prefix}loss"])
        with self._writer("train").as_default(step=step):
            tf.summary.scalar("learning_rate", rate)
            if model is not None:
                _histograms(model)
        self._flush()

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()

    def _writer(self, run: str) -> tf.summary.SummaryWriter:
        import tensorflow as tf

        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(str(self._folder / run))
        return self._writers[run]

    def _flush(self) -> None:
        """Write what is buffered: an open TensorBoard shows an epoch when it is over."""
        for writer in self._writers.values():
            writer.flush()

    def _clear(self) -> None:
        """Remove the files of an earlier training, and nothing else."""
        (self._folder / "train").mkdir(parents=True, exist_ok=True)
        for name in BOARD_FILES:
            for run in BOARD_RUNS:
                for old in (self._folder / run).glob(name):
                    old.unlink()


def _histograms(model: keras.Model) -> None:
    import tensorflow as tf

    for weight in model.trainable_weights:
        tf.summary.histogram(weight.path, weight)


def _operations(model: keras.Model) -> tf.Graph:
    """Return a forecast as TensorFlow computes it."""
    import tensorflow as tf

    inputs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name) for tensor in model.inputs
    ]
    forecast = tf.function(
        lambda *tensors: model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)
    )
    return forecast.get_concrete_function(*inputs).graph


def _layers(model: keras.Model) -> str:
    """Return the network as TensorBoard's "conceptual graph", JSON.

    It is without its loss, which may be a function that has no description.
    """
    import keras

    description: str = keras.Model(model.inputs, model.outputs, name=model.name).to_json()
    return description


def _layers_metadata() -> tf.compat.v1.SummaryMetadata:
    import tensorflow as tf

    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "graph_keras_model"
    metadata.plugin_data.content = b"1"  # the version of this format
    return metadata


def _tab_separated(rows: Iterable[Iterable[str]]) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def _unwritable(folder: str, error: OSError) -> SettingsError:
    return SettingsError(
        f"The TensorBoard folder {folder} cannot be written ({error.strerror}). "
        "Name another one (--tensorboard)."
    )
