"""An LSTM layer on TensorFlow's fused CPU kernel.

It has the weights and numbers of `keras.layers.LSTM` and is several times faster: on a CPU,
`keras.layers.LSTM` runs a graph loop of a dozen small operations per time step;
`tf.raw_ops.BlockLSTM` does all steps in one operation. TensorFlow is imported at the top: import
this module only where a network is built or used.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

#: Beyond this many units matrix products dominate, and those of the plain loop (oneDNN's) are
#: faster than the kernel's (Eigen's): measured level at 96 units, a quarter behind at 128
#: (`python -m benchmarks.engine`).
MOST_FUSED_UNITS = 96


class FusedLSTM(keras.layers.LSTM):  # type: ignore[misc]  # Keras has no types
    """`keras.layers.LSTM` with one fused operation in place of its loop over time.

    Arguments, weights and results are the base class's. The base class's loop runs where the
    operation would compute another thing: masked input, a GPU (which has its own fused kernel),
    recurrent dropout, other activations, no bias, `unroll`, types other than float32, and more
    than `MOST_FUSED_UNITS` units. Save a `plain_twin`, not this layer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # XLA does not know the kernel.
        self.supports_jit: bool = self.supports_jit and not self._kernel_serves()

    def inner_loop(
        self, sequences: Any, initial_state: Any, mask: Any, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Return the last output, the outputs of all steps, and the state after the last step."""
        if mask is not None or not self._kernel_serves():
            plain: tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]] = super().inner_loop(
                sequences, initial_state, mask, training=training
            )
            return plain
        if training and self.dropout:
            # One mask for all time steps, as the base class applies it.
            dropout_mask = self.cell.get_dropout_mask(sequences[:, 0, :])
            sequences = sequences * tf.expand_dims(dropout_mask, 1)
        by_time = tf.transpose(sequences, (1, 0, 2))
        if self.go_backwards:
            by_time = tf.reverse(by_time, (0,))
        output, carry = initial_state
        carries, outputs = fused_lstm(
            by_time,
            output,
            carry,
            self.cell.kernel,
            self.cell.recurrent_kernel,
            self.cell.bias,
        )
        last_output = outputs[-1]
        sequence = (
            tf.transpose(outputs, (1, 0, 2))
            if self.return_sequences
            else tf.expand_dims(last_output, 1)
        )
        return last_output, sequence, [last_output, carries[-1]]

    def _kernel_serves(self) -> bool:
        return (
            self.activation is keras.activations.tanh
            and self.recurrent_activation is keras.activations.sigmoid
            and self.use_bias
            and not self.recurrent_dropout
            and not self.unroll
            and self.units <= MOST_FUSED_UNITS
            and self.compute_dtype == "float32"
            and not tf.config.list_logical_devices("GPU")
        )


def fused_lstm(
    by_time: tf.Tensor,
    output: tf.Tensor,
    carry: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute all steps of an LSTM at once.

    Args:
        by_time: (steps, batch, features).
        output, carry: the state before the first step, each (batch, units).
        kernel, recurrent_kernel, bias: as Keras keeps them: (features, 4 units),
            (units, 4 units), (4 units,).

    Returns:
        The carries and the outputs, each (steps, batch, units).
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
        # Keras adds its forget bias of 1 to the weights when they are made; a negative clip is no
        # clip.
        forget_bias=0.0,
        cell_clip=-1.0,
        use_peephole=False,
    )
    return result.cs, result.h


def _kernel_gates(weights: tf.Tensor) -> tf.Tensor:
    """Return weights with their gates in the kernel's order.

    Keras keeps input, forget, candidate, output; the kernel wants input, candidate, forget, output.
    """
    input_gate, forget, candidate, output = tf.split(weights, 4, axis=-1)
    return tf.concat((input_gate, candidate, forget, output), -1)


def plain_twin(model: keras.Model) -> keras.Model:
    """Return the same network with `keras.layers.LSTM` and the same weights, uncompiled.

    Anyone can load it without this project.
    """
    return _twin(model, keras.layers.LSTM, FusedLSTM)


def fused_twin(model: keras.Model) -> keras.Model:
    """Return the same network with the fused kernel and the same weights, uncompiled."""
    return _twin(model, FusedLSTM, keras.layers.LSTM)


def _twin(
    model: keras.Model, new: type[keras.layers.Layer], old: type[keras.layers.Layer]
) -> keras.Model:
    """Return the network with layers of class `new` in place of those of class `old`."""

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = new if type(layer) is old else type(layer)
        return kind.from_config(layer.get_config())

    uncompiled = keras.Model(model.input, model.output, name=model.name)
    twin = keras.models.clone_model(uncompiled, clone_function=clone)
    twin.set_weights(model.get_weights())
    return twin
