"""Currencies with their units, and prices of every size as text."""

import pytest

from pipeline.money import currency_code, currency_words, difference_text, price_text, with_code

NAN = float("nan")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("USD", "USD"),
        (" usd ", "USD"),
        ("GBp", "GBp"),
        ("GBX", "GBp"),
        ("GBP", "GBP"),
        ("ZAc", "ZAc"),
        ("ILA", "ILA"),
        ("USDT", "USDT"),
        ("YEN", ""),
        ("dollars", ""),
        ("", ""),
    ],
)
def test_a_code_is_found_in_its_spellings_and_pence_are_no_pounds(text, code):
    assert currency_code(text) == code


@pytest.mark.parametrize(
    ("price", "currency", "text"),
    [
        (44.29, "USD", "44.29"),
        (44.2, "USD", "44.20"),
        (1234.5678, "USD", "1,234.57"),
        (715.4, "GBp", "715.40"),
        (1234.56, "JPY", "1,235"),
        (850.0, "JPY", "850"),
        (151.234, "JPY", "151.23"),
        (1.08765, "USD", "1.0877"),
        (1.08765, "", "1.0877"),
        (0.5, "USD", "0.5000"),
        (0.54321, "USD", "0.54321"),
        (1.4e-7, "USD", "0.0000001400"),
        (1.5, "KWD", "1.500"),
        (-44.29, "USD", "-44.29"),
        (0.0, "USD", "0.00"),
        (NAN, "USD", "–"),
    ],
)
def test_digits_follow_the_price_and_its_currency(price, currency, text):
    assert price_text(price, currency) == text


def test_a_forecast_has_the_digits_of_the_price_that_it_is_of():
    assert price_text(1234.56, "JPY", like=1230.0) == "1,235"
    assert price_text(44.28765, "USD", like=44.29) == "44.29"
    assert price_text(1.40123e-7, "USD", like=1.4e-7) == "0.0000001401"


def test_an_unknown_currency_claims_nothing():
    assert (with_code("44.29", "USD"), with_code("44.29", "")) == ("44.29 USD", "44.29")
    assert [*map(currency_words, ("GBp", "GBP", ""))] == ["GBp (pence)", "GBP", ""]


def test_a_small_difference_has_digits_as_well():
    values = (9.09, 123.456, 0.5, 0.0, 1.234e-9, NAN)
    texts = ["9.0900", "123.46", "0.5000", "0.0000", "0.000000001234", "–"]
    assert [*map(difference_text, values)] == texts
