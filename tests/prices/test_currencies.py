"""The currency that a file or an answer names reaches what is fetched, in one spelling."""

import pytest

from pipeline.prices.yahoo_answers import currency_of_answer
from tests.prices.made_csv import HEADER, TWO_LINES, fetch_all, folder_of


def with_column(*currencies):
    lines = zip(TWO_LINES.splitlines(), currencies, strict=True)
    return "".join(f"{line},{currency}\n" for line, currency in lines)


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        (HEADER + TWO_LINES, ""),
        (HEADER.replace("\n", ",Currency\n") + with_column("GBX", "GBX"), "GBp"),
        (HEADER.replace("\n", ",Currency\n") + with_column("GBP", "shells"), ""),
        (HEADER.replace("Close", "Close (EUR)") + TWO_LINES, "EUR"),
        (HEADER.replace("Close", "Close (GBX)") + TWO_LINES, "GBp"),
        (HEADER.replace("Close", "Close ($)") + TWO_LINES, "USD"),
        ("Prices of AAPL. Currency in GBp\n" + HEADER + TWO_LINES, "GBp"),
        (HEADER + TWO_LINES + '\n"Source: Exchange 2013. In JPY."\n', "JPY"),
        (HEADER + TWO_LINES + '\n"Source: Exchange 2013. As traded in all."\n', ""),
    ],
)
def test_a_file_names_its_currency(tmp_path, text, currency):
    assert fetch_all(folder_of(tmp_path, AAPL__csv=text)).currency == currency


def test_tickers_of_one_file_may_have_different_currencies(tmp_path):
    lines = "2012-01-05,{},10,12,9,11,500,{}\n"
    text = HEADER.replace("Date,", "Date,Ticker,").replace("\n", ",Currency\n")
    folder_of(tmp_path, all__csv=text + lines.format("AAA", "USD") + lines.format("BBB", "GBp"))
    assert fetch_all(tmp_path, "AAA").currency == "USD"
    assert fetch_all(tmp_path, "BBB").currency == "GBp"


def test_an_answer_of_yahoo_names_it():
    assert currency_of_answer((200, '{"chart":{"result":[{"meta":{"currency":"GBp"}}]}}')) == "GBp"
    assert currency_of_answer((200, '{"meta":{"currency":null}}')) == ""
    assert currency_of_answer(None) == ""
