"""An LSTM layer on TensorFlow's fused CPU kernel: the same weights and numbers as `keras.layers.LSTM`, several times faster.

On a CPU, `keras.layers.LSTM` runs a graph loop of a dozen small operations per time step; `tf.raw_ops.BlockLSTM` does all
steps in one operation. Imports TensorFlow at the top: import this module only where a network is built or used.
"""

from __future__ import annotations

import keras
import tensorflow as tf

#: Beyond this many units matrix products dominate, and those of the plain loop (oneDNN's) are faster than the kernel's (Eigen's):
#: measured level at 96 units, a quarter behind at 128 (`python -m benchmarks.engine`).
WIDEST = 96


class FusedLSTM(keras.layers.LSTM):
    """`keras.layers.LSTM` whose loop over time is one fused operation, wherever that operation computes the same thing.

    Arguments, weights and results are the base class's. Masked input, a GPU (which has its own fused kernel), recurrent
    dropout, other activations, no bias, `unroll`, types other than float32 and more than `WIDEST` units go the base class's
    way. What is saved should be plain: see `plain_twin`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.supports_jit = self.supports_jit and not self._kernel_serves()  # XLA does not know the kernel

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if mask is not None or not self._kernel_serves():
            return super().inner_loop(sequences, initial_state, mask, training=training)
        if training and self.dropout:
            # One mask for all time steps, as the base class applies it.
            sequences = sequences * tf.expand_dims(self.cell.get_dropout_mask(sequences[:, 0, :]), 1)
        by_time = tf.transpose(sequences, (1, 0, 2))
        if self.go_backwards:
            by_time = tf.reverse(by_time, (0,))
        carries, outputs = fused_lstm(by_time, *initial_state, self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias)
        last_output = outputs[-1]
        sequence = tf.transpose(outputs, (1, 0, 2)) if self.return_sequences else tf.expand_dims(last_output, 1)
        return last_output, sequence, [last_output, carries[-1]]

    def _kernel_serves(self) -> bool:
        return (
            self.activation is keras.activations.tanh
            and self.recurrent_activation is keras.activations.sigmoid
            and self.use_bias
            and not self.recurrent_dropout
            and not self.unroll
            and self.units <= WIDEST
            and self.compute_dtype == "float32"
            and not tf.config.list_logical_devices("GPU")
        )


def fused_lstm(by_time, output, carry, kernel, recurrent_kernel, bias):
    """All steps of an LSTM at once: (carries, outputs), each (steps, batch, units).

    Args:
        by_time: (steps, batch, features).
        output, carry: the state before the first step, each (batch, units).
        kernel, recurrent_kernel, bias: as Keras keeps them: (features, 4 units), (units, 4 units), (4 units,).
    """
    no_peephole = tf.zeros((recurrent_kernel.shape[0],))
    # Not BlockLSTMV2: its gradient on a CPU mixes up two gates (TensorFlow 2.21).
    result = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.cast(tf.shape(by_time)[0], tf.int64),
        x=by_time,
        cs_prev=carry,
        h_prev=output,
        w=_kernel_gates(tf.concat((kernel, recurrent_kernel), 0)),
        wci=no_peephole,
        wcf=no_peephole,
        wco=no_peephole,
        b=_kernel_gates(tf.convert_to_tensor(bias)),
        # Keras adds its forget bias of 1 to the weights when they are made; a negative clip is no clip.
        forget_bias=0.0,
        cell_clip=-1.0,
        use_peephole=False,
    )
    return result.cs, result.h


def _kernel_gates(weights):
    """Keras keeps the gates as input, forget, candidate, output; the kernel wants input, candidate, forget, output."""
    input_gate, forget, candidate, output = tf.split(weights, 4, axis=-1)
    return tf.concat((input_gate, candidate, forget, output), -1)


def plain_twin(model: keras.Model) -> keras.Model:
    """The same network with `keras.layers.LSTM` and the same weights, uncompiled: anyone can load it without this project."""
    return _twin(model, FusedLSTM, keras.layers.LSTM)


def fused_twin(model: keras.Model) -> keras.Model:
    """The same network with the fused kernel and the same weights, uncompiled."""
    return _twin(model, keras.layers.LSTM, FusedLSTM)


def _twin(model: keras.Model, old: type, new: type) -> keras.Model:
    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = new if type(layer) is old else type(layer)
        return kind.from_config(layer.get_config())

    uncompiled = keras.Model(model.input, model.output, name=model.name)
    twin = keras.models.clone_model(uncompiled, clone_function=clone)
    twin.set_weights(model.get_weights())
    return twin
