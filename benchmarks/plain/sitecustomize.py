"""Makes the training plain in every process whose PYTHONPATH has this folder, for `benchmarks.universe --plain`.

Keras's own LSTM layer instead of the fused kernel, Keras's own loop over the batches, and every network built and traced anew: what a project
that calls `keras.layers.LSTM` and `fit` does.
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
    real = training._import_tensorflow

    def import_tensorflow() -> None:
        real()
        import keras

        compile_ = keras.Model.compile
        keras.Model.compile = lambda self, *args, steps_per_execution=1, **kwargs: compile_(self, *args, **kwargs)

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
