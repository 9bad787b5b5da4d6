"""Matrix products whose bits depend on nothing but the two factors.

BLAS adds in an order that depends on the number of rows, on a row's place among them, on threads
and on the processor. Here both factors are rounded first, to what float32 keeps of the largest
number of a row and of a column. A product is then a whole number of units, and a sum of `TOGETHER`
products is at most 2**53 of them: float64 holds every such sum exactly, in whichever order they are
added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Array, Floats

#: Binary digits that are kept of rows and of columns, and products that are summed at once:
#: 24 + 23 + log2(64) = 53.
ROW_BITS, COLUMN_BITS, TOGETHER = 24, 23, 64
#: Numbers of this size have no fraction in float64.
_WHOLE = 1.5 * 2.0**52


@dataclass(frozen=True, eq=False)
class Columns:
    """The rounded right factors of products.

    Attributes:
        parts: float64 (stack, at most `TOGETHER`, columns), one below the other.
    """

    parts: tuple[Floats, ...]

    @classmethod
    def of(cls, matrices: Array) -> Columns:
        """Round a stack of matrices (stack, rows, columns)."""
        matrices = matrices.astype("float64")
        rounded = _rounded(matrices, _power_above(matrices, axis=-2), COLUMN_BITS)
        begins = range(0, matrices.shape[1], TOGETHER)
        return cls(tuple(rounded[:, begin : begin + TOGETHER] for begin in begins))


def rounded_rows(values: Array, bound: float | None = None) -> Floats:
    """Round the left factors of products.

    Args:
        values: (..., columns).
        bound: a power of two that none of them exceeds; None: each row has its own.
    """
    values = values.astype("float64")
    return _rounded(values, _power_above(values, axis=-1) if bound is None else bound, ROW_BITS)


def product(rows: Floats, columns: Columns) -> Floats:
    """Return the products of stacked rows and columns, float64 (stack, n, columns).

    Args:
        rows: rounded (stack, n, k).

    Raises:
        ValueError: the columns are not of k numbers.
    """
    if rows.shape[-1] != sum(part.shape[-2] for part in columns.parts):
        raise ValueError(f"Rows of {rows.shape[-1]} numbers do not fit the columns.")
    first, *others = columns.parts
    total: Floats = rows[..., :TOGETHER] @ first
    for number, part in enumerate(others, start=1):
        total += rows[..., number * TOGETHER : (number + 1) * TOGETHER] @ part
    return total


def _power_above(values: Floats, axis: int) -> Floats:
    """Return the powers of two that the numbers along an axis do not exceed."""
    _, exponents = np.frexp(np.abs(values).max(axis=axis, keepdims=True, initial=0.0))
    power: Floats = np.ldexp(1.0, exponents)
    return power


def _rounded(values: Floats, power: Floats | float, bits: int) -> Floats:
    """Round to multiples of `power` over 2**bits."""
    # Next to so large a number, float64 keeps whole units alone.
    shift = power * (_WHOLE * 2.0**-bits)
    rounded: Floats = (values + shift) - shift
    return rounded
