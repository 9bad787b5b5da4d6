"""Makes the training plain in every process whose PYTHONPATH has this folder, for `benchmarks.universe --plain`.

Keras's own LSTM layer instead of the fused kernel, Keras's own loop over the arrays' batches, and every network built and traced anew, before it is
trained and before it forecasts: what a project that calls `keras.layers.LSTM` and `fit` does.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType


def _plain_layer(fused: ModuleType) -> None:
    fused.FusedLSTM._kernel_serves = lambda self: False


def _plain_loop(training: ModuleType) -> None:
    training._ready = training._ready.__wrapped__
    training.load_fused = training.load_model
    training._batches = lambda model, examples, recipe, _: (model, examples, recipe)
    real = training._import_tensorflow

    def import_tensorflow() -> None:
        real()
        import keras

        compile_, fit = keras.Model.compile, keras.Model.fit

        def fit_arrays(self, given: tuple, *, epochs: int, callbacks: list, verbose: int, **_) -> object:
            model, examples, recipe = given
            return fit(
                self,
                training._given(model, examples.inputs),
                examples.targets,
                batch_size=recipe.batch_size,
                epochs=epochs,
                shuffle=recipe.shuffle,
                callbacks=callbacks,
                verbose=verbose,
            )

        keras.Model.compile = lambda self, *args, steps_per_execution=1, **kwargs: compile_(self, *args, **kwargs)
        keras.Model.fit = fit_arrays

    training._import_tensorflow = import_tensorflow


CHANGES = {"pipeline.models.fused": _plain_layer, "pipeline.training": _plain_loop}


class _Changing(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
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
