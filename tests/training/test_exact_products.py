"""Exact products: near the true ones, and the same bits in whichever company and order."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.training.exact_products import Columns, product, rounded_rows

RANDOM = np.random.default_rng(7)


def factors(stack: int, count: int, inner: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random rows and matrices, float32, whose sizes differ widely."""
    sizes = 10.0 ** RANDOM.uniform(-3, 3, (stack, count, 1))
    rows = RANDOM.normal(size=(stack, count, inner)) * sizes
    matrices = RANDOM.normal(size=(stack, inner, columns)) * RANDOM.uniform(0, 2, (1, 1, columns))
    return rows.astype("float32"), matrices.astype("float32")


@pytest.mark.parametrize("inner", [1, 21, 64, 65, 200])
def test_a_product_is_as_near_to_the_true_one_as_float32_can_say(inner):
    rows, matrices = factors(2, 30, inner, 8)
    true = rows.astype("float64") @ matrices.astype("float64")
    size = np.abs(rows).max(axis=2, keepdims=True) * np.abs(matrices).max(axis=1, keepdims=True)
    error = np.abs(product(rounded_rows(rows), Columns.of(matrices)) - true)
    assert (error <= 2.0**-22 * inner * size).all()


@pytest.mark.parametrize("inner", [5, 64, 150])
def test_no_bit_depends_on_the_other_rows_the_order_or_the_way_of_adding(inner):
    rows, matrices = factors(3, 70, inner, 9)
    rounded, columns = rounded_rows(rows), Columns.of(matrices)
    together = product(rounded, columns)
    for number in (0, 1, 33, 69):
        alone = product(rounded_rows(rows[:, number : number + 1]), columns)
        np.testing.assert_array_equal(alone[:, 0], together[:, number])
    shuffled = RANDOM.permutation(70)
    np.testing.assert_array_equal(product(rounded[:, shuffled], columns), together[:, shuffled])
    one = Columns.of(matrices[1:2])
    np.testing.assert_array_equal(product(rounded[1:2], one)[0], together[1])
    # From the last product to the first, one by one.
    backwards = np.zeros_like(together)
    for part, begin in zip(columns.parts, range(0, inner, 64), strict=True):
        of_part = np.zeros_like(together)
        for place in reversed(range(part.shape[1])):
            of_part += rounded[:, :, begin + place, None] * part[:, None, place]
        backwards += of_part
    np.testing.assert_array_equal(backwards, together)


def test_sums_of_the_largest_numbers_are_exact_too():
    rows = np.full((1, 3, 64), 1 - 2.0**-24, "float32")
    matrices = np.full((1, 64, 2), 1 - 2.0**-23, "float32")
    matrices[0, ::2] *= -1
    exact = product(rounded_rows(rows, bound=1.0), Columns.of(matrices))
    np.testing.assert_array_equal(exact, 0.0)
    matrices = np.abs(matrices)
    exact = product(rounded_rows(rows, bound=1.0), Columns.of(matrices))
    np.testing.assert_array_equal(exact, 64 * (1 - 2.0**-24) * (1 - 2.0**-23))


def test_zeros_stay_zeros_and_what_is_no_number_stays_in_its_row():
    rows = np.zeros((1, 3, 2), "float32")
    rows[0, 1] = np.nan
    made = product(rounded_rows(rows), Columns.of(np.ones((1, 2, 2), "float32")))
    np.testing.assert_array_equal(made[0], [[0, 0], [np.nan, np.nan], [0, 0]])


def test_rows_that_do_not_fit_are_refused():
    columns = Columns.of(np.ones((1, 64, 2), "float32"))
    for inner in (63, 65):
        with pytest.raises(ValueError, match=f"Rows of {inner} numbers"):
            product(np.ones((1, 3, inner)), columns)
