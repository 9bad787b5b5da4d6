"""The small networks of the Galvanize meetup at which J. Aungiers's LSTM was coded live: logic gates, a sine wave, the next character."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline import characters
from pipeline.errors import LookAtTheData
from pipeline.models.aungiers_sine import cut_wave
from pipeline.models.optimisation import Constant, CrossEntropy, MeanSquaredError, Optimiser
from pipeline.models.recipe import Examples, Exercise, Recipe, Shape
from pipeline.models.recurrent import Stack
from pipeline.normalisation import Unscaled
from pipeline.spec import Windowing
from pipeline.splits import Fraction, Split

if TYPE_CHECKING:
    import keras

SOURCE = "The Galvanize meetup at which J. Aungiers's LSTM was coded live"

#: The four rows of a gate's table, and what each gate makes of them.
ROWS = ((0, 0), (0, 1), (1, 0), (1, 1))
GATES = {"AND": (0, 0, 0, 1), "OR": (0, 1, 1, 1), "XOR": (0, 1, 1, 0)}
#: A gate's table is shown so many times an epoch: Keras's own loop, which runs once an epoch, then costs nothing.
REPEATS = 100

#: Of a text: as many characters are read, so many are seen before the next one is forecast.
READ, STEPS = 50_000, 20
#: Of the characters, the last so many are held out.
HELD_OUT = 0.1
#: W. Shakespeare, sonnets 18, 116 and 130 (1609): what is learnt where no text is given.
SONNETS = """\
Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date:
Sometime too hot the eye of heaven shines,
And often is his gold complexion dimm'd;
And every fair from fair sometime declines,
By chance, or nature's changing course, untrimm'd;
But thy eternal summer shall not fade
Nor lose possession of that fair thou ow'st;
Nor shall Death brag thou wander'st in his shade,
When in eternal lines to time thou grow'st;
So long as men can breathe or eyes can see,
So long lives this, and this gives life to thee.

Let me not to the marriage of true minds
Admit impediments. Love is not love
Which alters when it alteration finds,
Or bends with the remover to remove:
O no; it is an ever-fixed mark,
That looks on tempests, and is never shaken;
It is the star to every wandering bark,
Whose worth's unknown, although his height be taken.
Love's not Time's fool, though rosy lips and cheeks
Within his bending sickle's compass come;
Love alters not with his brief hours and weeks,
But bears it out even to the edge of doom.
If this be error and upon me proved,
I never writ, nor no man ever loved.

My mistress' eyes are nothing like the sun;
Coral is far more red than her lips' red;
If snow be white, why then her breasts are dun;
If hairs be wires, black wires grow on her head.
I have seen roses damask'd, red and white,
But no such roses see I in her cheeks;
And in some perfumes is there more delight
Than in the breath that from my mistress reeks.
I love to hear her speak, yet well I know
That music hath a far more pleasing sound;
I grant I never saw a goddess go;
My mistress, when she walks, treads on the ground:
And yet, by heaven, I think my love as rare
As any she belied with false compare.
"""


@dataclass(frozen=True)
class Perceptron:
    """A layer of softplus units on the inputs and a sigmoid output on them, without biases.

    Where all inputs are 0, every unit says log 2: that stands in for a bias of the output. Sigmoid units say .5 there and can learn the
    gates too, but from half of the first weights AND ends with all of them at 0 for the row 1 1, and 0.5 as its answer. Tried on a
    thousand first weights a gate, without and with a decay of the weights that draws them back from there: sigmoid units
    learn 49 % and 99 % of AND, 81 % and 97 % of XOR; softplus units with it all of AND and OR, and 99.9 % of XOR.

    Attributes:
        decay: how much of the squared weights is added to the loss.
    """

    units: int
    decay: float

    def build(self, shape: Shape, lstm: type) -> keras.Model:
        from keras import Input, Model, layers, regularizers

        past = Input((shape.steps,), name="past")
        given = {"use_bias": False, "kernel_regularizer": regularizers.L2(self.decay)}
        hidden = layers.Dense(self.units, "softplus", name="hidden", **given)(past)
        return Model(past, layers.Dense(shape.outputs, "sigmoid", name="answer", **given)(hidden))

    def __str__(self) -> str:
        return f"Dense({self.units}, softplus) -> Dense(1, sigmoid), no biases, weight decay {self.decay:g}"


@dataclass(frozen=True)
class NextCharacter:
    """An LSTM over one-hot characters, then a probability for each character of the alphabet."""

    units: int
    dropout: float

    def build(self, shape: Shape, lstm: type) -> keras.Model:
        from keras import Input, Model, layers

        past = Input((shape.steps, shape.features), dtype="uint8", name="past")
        state = lstm(self.units, name="lstm")(layers.Rescaling(1.0, name="characters")(past))
        dropped = layers.Dropout(self.dropout, name="dropout")(state)
        return Model(past, layers.Dense(shape.features, "softmax", name="next_character")(dropped))

    def __str__(self) -> str:
        return f"LSTM({self.units}) -> dropout {self.dropout:g} -> Dense(alphabet, softmax)"


def logic_gates(seed: int, text: str | None) -> dict[str, Exercise]:
    """One network per gate; it is trained and measured on the gate's whole table, for there is nothing else."""
    return {gate: _gate(np.array(answers, "float32")[:, None]) for gate, answers in GATES.items()}


def _gate(answers: np.ndarray) -> Exercise:
    rows = np.array(ROWS, "float32")
    learnt = Examples({"past": np.tile(rows, (REPEATS, 1))}, np.tile(answers, (REPEATS, 1)))
    return Exercise(
        learnt,
        Examples({"past": rows}, answers),
        naive=np.full_like(answers, answers.mean()),
        naive_is="the share of rows that are 1",
    )


def sine(seed: int, text: str | None) -> dict[str, Exercise]:
    """J. Aungiers's wave, a value and the one before it at each step."""
    return {"sine": cut_wave(SINE_RNN)}


def next_characters(seed: int, text: str | None) -> dict[str, Exercise]:
    """The first 90 % of a text to learn from, the rest to measure on.

    Raises `LookAtTheData` for a text too short to hold out anything.
    """
    read = SONNETS if text is None else text[:READ]
    name = "sonnets" if text is None else "text" if len(text) <= READ else f"text-first-{READ}"
    alphabet = characters.alphabet_of(read)
    held_out = int(len(read) * HELD_OUT)
    if held_out <= STEPS:
        raise LookAtTheData(
            f"The text has {len(read)} characters; at least {round((STEPS + 1) / HELD_OUT)} are needed "
            f"(the last {HELD_OUT:.0%} are held out, and {STEPS} stand before each that is forecast). Give a longer one."
        )
    numbers = characters.numbered(read, alphabet)
    train, test = numbers[:-held_out], numbers[-held_out - STEPS :]  # the first one held out is forecast from those before it
    past, following = characters.windows(test, STEPS, len(alphabet))
    exercise = Exercise(
        Examples(*_named(characters.windows(train, STEPS, len(alphabet)))),
        Examples({"past": past}, following),
        naive=characters.followers(train, test[STEPS - 1 : -1], len(alphabet)),
        naive_is="what most often followed this character",
        alphabet=alphabet,
    )
    return {name: exercise}


def _named(windows: tuple[np.ndarray, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    past, following = windows
    return {"past": past}, following


LOGIC_GATES = Recipe(
    name="meetup-logic-gates",
    summary="A perceptron with one hidden layer, 8 + 4 weights, that learns AND, OR and XOR.",
    source=SOURCE,
    targets=(),
    window=None,
    normalisation=None,
    split=None,
    network=Perceptron(4, decay=3e-4),
    optimiser=Optimiser("SGD", Constant(0.1), momentum=0.9),
    loss=CrossEntropy(),
    epochs=40,
    batch_size=4,
    shuffle=False,
    exercises=logic_gates,
)

SINE_RNN = Recipe(
    name="meetup-sine-rnn",
    summary="A plain recurrent network, 8 + 16 + 4 weights, that learns the sine wave from each value and the one before it.",
    source=SOURCE,
    targets=(),
    # Blocks of 2: a step of the network's input is a value and the one before it.
    window=Windowing(10, block=2),
    normalisation=Unscaled(),
    split=Split(test=Fraction(0.1)),
    network=Stack((4,), cell="SimpleRNN", bias=False),
    optimiser=Optimiser("Adam", Constant(0.01)),
    loss=MeanSquaredError(),
    epochs=10,
    batch_size=32,
    exercises=sine,
)

CHARACTERS = Recipe(
    name="meetup-characters",
    summary="A recurrent network that learns from a text which character comes next, and writes on.",
    source=SOURCE,
    targets=(),
    window=None,
    normalisation=None,
    split=Split(test=Fraction(HELD_OUT)),
    network=NextCharacter(units=64, dropout=0.2),
    optimiser=Optimiser("Adam", Constant(3e-3)),
    loss=CrossEntropy(many=True),
    epochs=20,
    batch_size=64,
    exercises=next_characters,
)

RECIPES = (LOGIC_GATES, SINE_RNN, CHARACTERS)
