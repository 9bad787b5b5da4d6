"""The default recipe: one small LSTM per stock, which begins as the naive forecast and learns what to add to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.models.recipe import Recipe, Split

if TYPE_CHECKING:
    import keras
    import numpy as np

UNITS = 32
#: Sessions that the last layer also sees directly: what a straight line can say about tomorrow, the LSTM need not learn first.
RECENT = 5
LEARNING_RATE = 1e-3
GRADIENT_NORM = 1.0
#: Errors beyond this many standard deviations count by their size, not its square: single wild days do not steer the network.
HUBER_DELTA = 1.0


def build(recipe: Recipe, past_scale: np.ndarray, future_scale: np.ndarray, lstm: type) -> keras.Model:
    """Rescale -> LSTM, beside the newest sessions -> Dense -> rescale. The last kernel starts at zero: untrained, it forecasts no change.

    Each session of the window has its own scale: prices relative to the last close move ten times as far at the window's far end
    as at its near end, and on one common scale the newest sessions would hardly be seen. (Tried on the highs of CAT, DIS, JPM and
    KO in 2013 and 2015: the RMSE one session ahead fell from .97 of naive's to .90.)
    """
    from keras import Input, Model, layers

    past = Input(past_scale.shape, name="past")
    scaled = layers.Rescaling((1 / past_scale).tolist(), name="standardised_past")(past)
    recent = layers.Cropping1D((max(len(past_scale) - RECENT, 0), 0), name="recent")(scaled)
    seen = layers.Concatenate(name="seen")([lstm(UNITS, name="lstm")(scaled), layers.Flatten(name="recent_values")(recent)])
    standardised = layers.Dense(len(future_scale), kernel_initializer="zeros", name="standardised_future")(seen)
    return Model(past, layers.Rescaling(future_scale.tolist(), name="future")(standardised), name=recipe.name)


def compile_model(model: keras.Model, future_scale: np.ndarray) -> None:
    import keras

    weights = (1 / future_scale).astype("float32")
    huber = keras.losses.Huber(delta=HUBER_DELTA)

    def standardised_huber(actual, forecast):
        """In standard deviations of each horizon's change, so that near horizons do not drown in far ones."""
        return huber(actual * weights, forecast * weights)

    model.compile(keras.optimizers.Adam(LEARNING_RATE, clipnorm=GRADIENT_NORM), standardised_huber)


DEFAULT = Recipe(
    name="default",
    summary="One LSTM per stock on the last 60 sessions' prices and volume, relative to the last close.",
    origin="This project",
    context_length=60,
    targets=("close", "open", "high", "low", "adj_close"),
    split=Split(validation_sessions=252, test_sessions=252),
    network=f"LSTM({UNITS}), beside the last {RECENT} sessions -> Dense(horizon) from zeros",
    optimiser=f"Adam({LEARNING_RATE}, clipnorm={GRADIENT_NORM})",
    loss=f"Huber(delta={HUBER_DELTA}) of the error in standard deviations per horizon",
    epochs=30,
    batch_size=64,
    patience=5,
    build=build,
    compile=compile_model,
)
