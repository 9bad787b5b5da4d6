"""Recurrent layers on top of each other: the network of most sources, by its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from pipeline.models.network import Shape

if TYPE_CHECKING:
    import keras

#: The name of the layer that keeps the stocks' vectors, and of the one that numbers the stocks.
EMBEDDING, NUMBERING = "symbol_embedding", "symbol_number"


@dataclass(frozen=True)
class Stack:
    """Recurrent layers, dropout after each, then a dense layer to the outputs.

    Attributes:
        units: of each layer, the first first.
        dropout: after each layer, as a share; one number for all, or one each.
        cell: "LSTM", "GRU" or "SimpleRNN".
        bias: whether the layers have one.
        embedding: length of a vector that is learnt for every stock and joined to each step of its
            input; 0: none. Stocks that training never saw have the vector of an unknown one, which
            is learnt too.
        unknown_share: share of the training examples that go without their symbol, so that the
            unknown one's vector is learnt.
    """

    units: tuple[int, ...]
    dropout: float | tuple[float, ...] = 0.0
    cell: str = "LSTM"
    bias: bool = True
    embedding: int = 0
    unknown_share: float = 0.1

    def build(self, shape: Shape, lstm: type[keras.layers.Layer]) -> keras.Model:
        """Return the network; see `Network.build`."""
        from keras import Input, Model, layers

        inputs = [Input((shape.steps, shape.features), name="past")]
        state = inputs[0]
        if self.embedding:
            inputs.append(Input((1,), dtype="string", name="symbol"))
            vector = symbol_vector(inputs[1], shape.symbols, self.embedding)
            state = layers.Concatenate(name="past_and_symbol")(
                [state, layers.RepeatVector(shape.steps, name="repeated")(vector)]
            )
        layer = lstm if self.cell == "LSTM" else getattr(layers, self.cell)
        numbered = enumerate(zip(self.units, self.dropouts, strict=True), start=1)
        for number, (units, dropout) in numbered:
            state = layer(
                units,
                return_sequences=number < len(self.units),
                use_bias=self.bias,
                name=f"{self.cell.lower()}_{number}",
            )(state)
            if dropout:
                state = layers.Dropout(dropout, name=f"dropout_{number}")(state)
        return Model(
            inputs if self.embedding else inputs[0],
            layers.Dense(shape.outputs, use_bias=self.bias, name="forecast")(state),
        )

    @property
    def dropouts(self) -> tuple[float, ...]:
        """The dropout after each layer."""
        dropout = self.dropout
        return dropout if isinstance(dropout, tuple) else (dropout,) * len(self.units)

    def __str__(self) -> str:
        layers = [
            f"{self.cell}({units})" + (f" -> dropout {dropout:g}" if dropout else "")
            for units, dropout in zip(self.units, self.dropouts, strict=True)
        ]
        alike = [(layer, len(list(group))) for layer, group in groupby(layers)]
        parts = [layer if count == 1 else f"{count} x ({layer})" for layer, count in alike]
        if self.embedding:
            parts.insert(0, f"prices with a symbol embedding of {self.embedding}")
        return " -> ".join([*parts, "Dense(outputs)"]) + ("" if self.bias else ", no biases")


def symbol_vector(
    symbol: keras.KerasTensor, symbols: tuple[str, ...], length: int
) -> keras.KerasTensor:
    """Return the vector of each symbol, (batch, length).

    Number 0 is any symbol that is not among `symbols`.
    """
    from keras import initializers, layers

    lookup = layers.StringLookup(vocabulary=list(symbols), num_oov_indices=1, name=NUMBERING)
    number = lookup(symbol)
    uniform = initializers.RandomUniform(-1.0, 1.0)
    return layers.Flatten(name="vector")(
        layers.Embedding(len(symbols) + 1, length, embeddings_initializer=uniform, name=EMBEDDING)(
            number
        )
    )
