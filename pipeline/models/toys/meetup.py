"""The small networks of the Galvanize meetup at which J. Aungiers's LSTM was coded live.

They learn logic gates, a sine wave, and the next character of a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.arrays import Array
from pipeline.errors import LookAtTheData
from pipeline.models.layers.recurrent import Stack
from pipeline.models.network import Examples, Shape
from pipeline.models.optimisation import Constant, CrossEntropy, MeanSquaredError, Optimiser
from pipeline.models.recipe import Exercise, ExerciseRecipe
from pipeline.models.toys import characters
from pipeline.models.toys.aungiers_sine import cut_wave, described_cut
from pipeline.windows import Fraction, Split, Windowing

if TYPE_CHECKING:
    import keras

MEETUP = "The Galvanize meetup at which J. Aungiers's LSTM was coded live"

#: The inputs of a gate's four rows, and the answers of each gate.
GATE_INPUTS = ((0, 0), (0, 1), (1, 0), (1, 1))
GATE_ANSWERS = {"AND": (0, 0, 0, 1), "OR": (0, 1, 1, 1), "XOR": (0, 1, 1, 0)}
#: Times that a gate's table is shown in an epoch: Keras's own loop, which runs once an epoch, then
#: costs nothing.
TABLES_AN_EPOCH = 100

#: Blocks of 2: a step of the network's input is a value of the wave and the one before it.
WAVE_WINDOW, WAVE_SPLIT = Windowing(10, block=2), Split(test=Fraction(0.1))
#: Characters of a text that are read, and that are seen before the next one is forecast.
CHARACTERS_READ, CHARACTERS_SEEN = 50_000, 20
#: Share of the characters, the last ones, that is held out.
HELD_OUT_SHARE = 0.1
#: W. Shakespeare, sonnets 18, 116 and 130 (1609): the text where none is given.
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

    Where all inputs are 0, every unit answers log 2, which stands in for a bias of the output.
    Sigmoid units answer 0.5 there and can learn the gates too, but from half of the first weights
    AND ends with all of them at 0 for the row 1 1, and 0.5 as its answer. Both were tried on a
    thousand first weights a gate, without and with a decay of the weights that draws them back from
    there. Sigmoid units learn 49% and 99% of AND, 81% and 97% of XOR; softplus units with the decay
    learn all of AND and OR, and 99.9% of XOR.

    Attributes:
        decay: share of the squared weights that is added to the loss.
    """

    units: int
    decay: float

    def build(self, shape: Shape, lstm: type[keras.layers.Layer]) -> keras.Model:
        """Return the network; see `Network.build`."""
        from keras import Input, Model, layers, regularizers

        past = Input((shape.steps,), name="past")
        options = {"use_bias": False, "kernel_regularizer": regularizers.L2(self.decay)}
        hidden = layers.Dense(self.units, "softplus", name="hidden", **options)(past)
        return Model(past, layers.Dense(shape.outputs, "sigmoid", name="answer", **options)(hidden))

    def __str__(self) -> str:
        return (
            f"Dense({self.units}, softplus) -> Dense(1, sigmoid), no biases, "
            f"weight decay {self.decay:g}"
        )


@dataclass(frozen=True)
class NextCharacter:
    """An LSTM over one-hot characters, then a probability for each character of the alphabet."""

    units: int
    dropout: float

    def build(self, shape: Shape, lstm: type[keras.layers.Layer]) -> keras.Model:
        """Return the network; see `Network.build`."""
        from keras import Input, Model, layers

        past = Input((shape.steps, shape.features), dtype="uint8", name="past")
        state = lstm(self.units, name="lstm")(layers.Rescaling(1.0, name="characters")(past))
        dropped = layers.Dropout(self.dropout, name="dropout")(state)
        return Model(past, layers.Dense(shape.features, "softmax", name="next_character")(dropped))

    def __str__(self) -> str:
        return f"LSTM({self.units}) -> dropout {self.dropout:g} -> Dense(alphabet, softmax)"


def logic_gates(seed: int, text: str | None) -> dict[str, Exercise]:
    """Make one exercise per gate.

    A network is trained and measured on the gate's whole table, for there is nothing else.
    """
    return {
        gate: _gate(np.array(answers, "float32")[:, None]) for gate, answers in GATE_ANSWERS.items()
    }


def _gate(answers: Array) -> Exercise:
    inputs = np.array(GATE_INPUTS, "float32")
    repeated = Examples(
        {"past": np.tile(inputs, (TABLES_AN_EPOCH, 1))}, np.tile(answers, (TABLES_AN_EPOCH, 1))
    )
    return Exercise(
        repeated,
        Examples({"past": inputs}, answers),
        naive=np.full_like(answers, answers.mean()),
        naive_is="the share of rows that are 1",
    )


def wave_exercise(seed: int, text: str | None) -> dict[str, Exercise]:
    """Return J. Aungiers's wave, a value and the one before it at each step."""
    return {"sine": cut_wave(WAVE_WINDOW, WAVE_SPLIT)}


def next_characters(seed: int, text: str | None) -> dict[str, Exercise]:
    """Cut a text: the first 90% to learn from, the rest to measure on.

    Args:
        text: None: three sonnets.

    Raises:
        LookAtTheData: the text is too short to hold out anything.
    """
    read = SONNETS if text is None else text[:CHARACTERS_READ]
    alphabet = characters.alphabet_of(read)
    held_out = int(len(read) * HELD_OUT_SHARE)
    if held_out <= CHARACTERS_SEEN:
        fewest = round((CHARACTERS_SEEN + 1) / HELD_OUT_SHARE)
        raise LookAtTheData(
            f"The text has {len(read)} characters; at least {fewest} are needed (the last "
            f"{HELD_OUT_SHARE:.0%} are held out, and each is forecast from the {CHARACTERS_SEEN} "
            "before it). Give a longer one."
        )
    numbers = characters.numbered(read, alphabet)
    # The first one held out is forecast from those before it.
    train, test = numbers[:-held_out], numbers[-held_out - CHARACTERS_SEEN :]
    exercise = Exercise(
        _examples(train, alphabet),
        _examples(test, alphabet),
        naive=characters.followers(train, test[CHARACTERS_SEEN - 1 : -1], len(alphabet)),
        naive_is="what most often followed this character",
        alphabet=alphabet,
    )
    return {_text_name(text): exercise}


def _text_name(text: str | None) -> str:
    if text is None:
        return "sonnets"
    return "text" if len(text) <= CHARACTERS_READ else f"text-first-{CHARACTERS_READ}"


def _examples(numbers: Array, alphabet: str) -> Examples:
    past, following = characters.character_windows(numbers, CHARACTERS_SEEN, len(alphabet))
    return Examples({"past": past}, following)


LOGIC_GATES = ExerciseRecipe(
    name="meetup-logic-gates",
    summary="A perceptron with one hidden layer, 8 + 4 weights, that learns AND, OR and XOR.",
    source=MEETUP,
    network=Perceptron(4, decay=3e-4),
    optimiser=Optimiser("SGD", Constant(0.1), momentum=0.9),
    loss=CrossEntropy(),
    epochs=40,
    batch_size=4,
    shuffle=False,
    exercises=logic_gates,
)

SINE_RNN = ExerciseRecipe(
    name="meetup-sine-rnn",
    summary=(
        "A plain recurrent network, 8 + 16 + 4 weights, that learns the sine wave from each value "
        "and the one before it."
    ),
    source=MEETUP,
    network=Stack((4,), cell="SimpleRNN", bias=False),
    optimiser=Optimiser("Adam", Constant(0.01)),
    loss=MeanSquaredError(),
    epochs=10,
    batch_size=32,
    exercises=wave_exercise,
    cut=described_cut(WAVE_WINDOW, WAVE_SPLIT),
)

CHARACTERS = ExerciseRecipe(
    name="meetup-characters",
    summary=(
        "A recurrent network that learns from a text which character comes next, and writes on."
    ),
    source=MEETUP,
    network=NextCharacter(units=64, dropout=0.2),
    optimiser=Optimiser("Adam", Constant(3e-3)),
    loss=CrossEntropy(many=True),
    epochs=20,
    batch_size=64,
    exercises=next_characters,
    cut={"split": str(Split(test=Fraction(HELD_OUT_SHARE)))},
)

RECIPES = (LOGIC_GATES, SINE_RNN, CHARACTERS)
