"""Stretches: a history as a network sees it that reads it in one pass, session after session."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.arrays import Array
from pipeline.windows.cutting import cut_windows, known_sessions, last_fitted_session, part_rows
from pipeline.windows.dataset_file import decode
from pipeline.windows.spec import Spec


@dataclass(frozen=True, eq=False)
class Stretch:
    """The sessions of one stock, and the windows of its dataset that end in them.

    Attributes:
        past: float32 (sessions, features), what is seen of each session, in whichever window; 0
            where it is not finite, which no usable window sees.
        future: float32 (sessions, outputs), the targets of the window that ends there.
        train, validation: bool (sessions,), whether a usable window of that part ends there.
    """

    spec: Spec
    past: Array
    future: Array
    train: Array
    validation: Array


def load_stretch(data: bytes) -> Stretch:
    """Return the history of a dataset file as one stretch.

    Its windows are those of `load_dataset`, but for rounding in the last digits, where what a
    normalisation shows of a session is the same in all of them.
    """
    spec, history = decode(data)
    context = spec.window.context_length
    each = replace(spec, window=replace(spec.window, context_length=1))
    sessions = cut_windows(history, each, last_fitted_session(history, spec))
    seen = sliding_window_view(np.isfinite(sessions.past).all(axis=(1, 2)), context).all(axis=1)
    usable = np.concatenate([np.zeros(context - 1, bool), seen])
    usable &= known_sessions(history, spec) & sessions.finite
    usable &= np.isfinite(sessions.ahead).all(axis=1)
    rows = part_rows(history, spec)
    parts = {name: np.zeros(len(usable), bool) for name in ("train", "validation")}
    for name, ends in parts.items():
        ends[rows[name] + context - 1] = True
    past = np.nan_to_num(sessions.past[:, 0], posinf=0.0, neginf=0.0)
    train, validation = (ends & usable for ends in parts.values())
    return Stretch(spec, past, sessions.future, train, validation)
