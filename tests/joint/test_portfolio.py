"""Portfolios: what a file holds, and gains and risks that are worked out by hand."""

import numpy as np
import pytest

from pipeline.errors import SettingsError
from pipeline.joint import Portfolio, expected_shortfall, gains_of, read_portfolio, value_at_risk


def test_the_gain_of_a_known_portfolio():
    shares = Portfolio({"AAA": 10, "BBB": -5}, are_shares=True)
    last = np.array([20.0, 40.0])  # 200 long, 200 short
    assert shares.worth(last).tolist() == [200.0, -200.0]
    weights = shares.weights(last)
    assert weights.tolist() == [0.5, -0.5]
    # One path, two sessions ahead: AAA up by 10% and then down to -5%, BBB down by 5%, then level.
    values = np.array([[[22.0, 19.0], [38.0, 40.0]]])
    assert gains_of(values, last, weights)[0] == pytest.approx([0.075, -0.025])


def test_parts_need_no_sum():
    portfolio = Portfolio({"AAA": 60, "BBB": 40}, are_shares=False)
    assert portfolio.weights(np.array([1.0, 1000.0])).tolist() == [0.6, 0.4]
    assert Portfolio({"AAA": 3, "BBB": -1}, False).weights(np.ones(2)).tolist() == [0.75, -0.25]


def test_value_at_risk_and_expected_shortfall_of_a_hundred_and_one_paths():
    gains = np.random.default_rng(0).permutation(np.arange(-50, 51) / 1000)[:, None]
    assert value_at_risk(gains, 0.95) == pytest.approx([0.045])
    # Those that lose 45 thousandths and more: 45 to 50.
    assert expected_shortfall(gains, 0.95) == pytest.approx([0.0475])


@pytest.fixture
def file(tmp_path):
    def write(text: str):
        path = tmp_path / "portfolio.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_file_has_shares_or_parts_under_any_case_and_in_any_order(file):
    shares = read_portfolio(
        file("\ufeffName,Shares,Ticker\nIBM Corp,100,ibm\n\n,-2.5,BRK.B\n,1,IBM\n")
    )
    assert shares == Portfolio({"IBM": 101.0, "BRK.B": -2.5}, are_shares=True)
    parts = read_portfolio(file("ticker,weight\nIBM,0.6\nKO,0.4\nGE,0\n"))
    assert parts == Portfolio({"IBM": 0.6, "KO": 0.4}, are_shares=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns none; ticker and one of shares and weight"),
        ("ticker,shares,weight\nIBM,1,1\n", "columns ticker, shares, weight; ticker and one of"),
        ("ticker,amount\nIBM,1\n", "columns ticker, amount; ticker and one of"),
        ("ticker,shares\n", "holds nothing; at least one row is expected"),
        ("ticker,shares\nIBM,many\n", "line 2: shares is 'many'; a number is expected"),
        ("ticker,shares\nIBM\n", "line 2: shares is ''; a number"),
        ("ticker,weight\nIBM,inf\n", "line 2: weight is 'inf'; a number"),
        ("ticker,shares\n../x,1\n", "line 2: '../x' is no ticker"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(file, text, message):
    with pytest.raises(SettingsError, match=message):
        read_portfolio(file(text))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"the portfolio cannot be read .*--portfolio"):
        read_portfolio(tmp_path / "none.csv")
