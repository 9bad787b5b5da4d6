"""Make the training plain in every process with this folder on its PYTHONPATH.

It is for `benchmarks.universe --plain`: Keras's own LSTM layer instead of the fused kernel, Keras's
own loop over the arrays' batches, and every network built and traced again, before it is trained
and before it forecasts, by Keras. A project that calls `keras.layers.LSTM` and `fit` does the same.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any


def _plain_layer(fused: ModuleType) -> None:
    fused.FusedLSTM._kernel_serves = lambda self: False


def _plain_fit(fit: ModuleType) -> None:
    fit._prepared = fit._prepared.__wrapped__
    fit._batches = lambda model, examples, recipe, _: (model, examples, recipe)


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
    "pipeline.training.numpy_networks": _no_numpy,
    "pipeline.training.predict": _plain_predict,
    "pipeline.training.workers": _plain_loop,
}


class _Changing(importlib.abc.MetaPathFinder):
    """A finder of the modules that are changed once they have been imported."""

    def find_spec(
        self, name: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in CHANGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            CHANGES[name](module)

        spec.loader.exec_module = execute_and_change
        return spec


sys.meta_path.insert(0, _Changing())
