"""Make the training plain in every process with this folder on its PYTHONPATH.

It is for `benchmarks.universe --plain`: Keras's own LSTM layer instead of the fused kernel, Keras's
own loop over the arrays' batches, which tunes all layers of a stock's network, and every network
built and traced again, before it is trained and before it forecasts, by Keras. A project that calls
`keras.layers.LSTM` and `fit` does the same.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from changed_modules import change


def _plain_layer(fused: ModuleType) -> None:
    fused.FusedLSTM._kernel_serves = lambda self: False


def _plain_fit(fit: ModuleType) -> None:
    fit._prepared = fit._prepared.__wrapped__
    fit._batches = lambda model, examples, recipe, _: (model, examples, recipe)


def _plain_tuning(network_cache: ModuleType) -> None:
    network_cache.TuneJob = network_cache.FitJob


def _plain_predict(predict: ModuleType) -> None:
    predict.load_fused = importlib.import_module("pipeline.training.keras_files").load_model


def _no_numpy(networks: ModuleType) -> None:
    networks._architecture_of = lambda data: None


def _plain_loop(workers: ModuleType) -> None:
    import_alone = workers._import_tensorflow

    def import_tensorflow() -> None:
        import_alone()
        _use_keras_loop()

    workers._import_tensorflow = import_tensorflow


def _use_keras_loop() -> None:
    """Let models fit arrays, one call of Keras's loop per batch."""
    import keras

    from pipeline.training.predict import as_inputs

    compile_, fit = keras.Model.compile, keras.Model.fit

    def compile_plain(self: Any, *args: Any, steps_per_execution: int = 1, **kwargs: Any) -> None:
        compile_(self, *args, **kwargs)

    def fit_arrays(
        self: Any, batches: tuple[Any, ...], *, epochs: int, callbacks: list[Any], verbose: int, **_
    ) -> object:
        model, examples, recipe = batches
        return fit(
            self,
            as_inputs(model, examples.inputs),
            examples.targets,
            batch_size=recipe.batch_size,
            epochs=epochs,
            shuffle=recipe.shuffle,
            callbacks=callbacks,
            verbose=verbose,
        )

    keras.Model.compile = compile_plain
    keras.Model.fit = fit_arrays


CHANGES = {
    "pipeline.training.fused": _plain_layer,
    "pipeline.training.fit": _plain_fit,
    "pipeline.training.network_cache": _plain_tuning,
    "pipeline.training.numpy_networks": _no_numpy,
    "pipeline.training.predict": _plain_predict,
    "pipeline.training.workers": _plain_loop,
}


change(CHANGES)
