"""The risk of a portfolio in words and numbers."""

import pandas as pd

from pipeline.reporting import day_page, day_text, exceedances_text, risk_text, score_lines
from tests.reporting.made_day import MONDAY, RUN, TUESDAY, made_day

RISKS = pd.DataFrame(
    {
        "horizon": [1, 2],
        "session": [MONDAY, TUESDAY],
        "mean": [0.0001, 0.0002],
        "median": [0.0012, -0.0004],
        "value_at_risk_95": [0.0123, 0.0201],
        "expected_shortfall_95": [0.0188, 0.03],
        "value_at_risk_97.5": [0.02, 0.031],
    }
)


def test_losses_stand_with_their_amounts_where_a_worth_is_known():
    assert risk_text(RISKS).splitlines() == [
        "ahead  session     median gain  value at risk 95%  expected shortfall 95%  "
        "value at risk 97.5%",
        "    1  2013-03-04       +0.12%              1.23%                   1.88%"
        "                2.00%",
        "    2  2013-03-05       -0.04%              2.01%                   3.00%"
        "                3.10%",
    ]
    assert "1.23% (1,230.00)" in risk_text(RISKS, 100_000.0, "USD")


def test_a_test_that_rejects_is_named():
    rows = pd.DataFrame(
        {
            "joined": ["scenarios", "independent draws"],
            "level": [0.95, 0.99],
            "horizon": [1, 1],
            "sessions": [500, 500],
            "promised": [25.0, 5.0],
            "exceedances": [24, 31],
            "kupiec": [0.83, 0.0],
            "independence": [0.5, float("nan")],
            "conditional": [0.7, 0.0],
        }
    )
    lines = exceedances_text(rows).splitlines()
    assert " ".join(lines[1].split()) == "scenarios 95% 1 500 25.0 24 0.830 0.500 0.700"
    assert " ".join(lines[2].split()[2:]) == "99% 1 500 5.0 31 0.000 – 0.000 rejected"


def test_of_many_sessions_ahead_the_first_and_the_last_with_outcomes_are_shown():
    rows = pd.DataFrame(
        [
            {
                "joined": joined,
                "level": 0.95,
                "horizon": ahead,
                "sessions": 30 - 10 * ahead,
                "promised": 1.0,
                "exceedances": 1,
                **dict.fromkeys(("kupiec", "independence", "conditional"), 0.5),
            }
            for joined in ("scenarios", "copula")
            for ahead in (1, 2, 3)
        ]
    )
    shown = [line.split()[:3] for line in exceedances_text(rows).splitlines()[1:]]
    assert shown == [[joined, "95%", ahead] for ahead in "12" for joined in ("scenarios", "copula")]


def test_scores_are_compared_one_session_ahead():
    gain = "-0.80% [-1.10%, -0.50%]"
    rows = pd.DataFrame(
        {
            "joined": ["scenarios", "independent draws", "Gaussian copula", "independent draws"],
            "horizon": [1, 1, 1, 2],
            "sessions": 500,
            "energy_gain": ["", gain, "+0.10% [+0.00%, +0.20%]", gain],
            "variogram": [0.1, 0.2, float("nan"), 0.1],
            "variogram_gain": ["", "-9.00% [-12.00%, -6.00%]", "", gain],
        }
    )
    assert score_lines(rows) == [
        "Scenarios against independent draws, one session ahead, with intervals of 90%: energy "
        "score -0.80% [-1.10%, -0.50%], variogram score -9.00% [-12.00%, -6.00%]. Below 0 they are "
        "better.",
        "Scenarios against Gaussian copula, one session ahead, with intervals of 90%: energy score "
        "+0.10% [+0.00%, +0.20%]. Below 0 they are better.",
    ]
    assert score_lines(rows.assign(sessions=19)) == []


def test_the_day_shows_all_stocks_together_where_paths_were_drawn():
    together = made_day(together=RISKS)
    page = day_page(RUN, together, {}, {})
    assert "<h2>All stocks together</h2>" in page
    assert "<td>1.23%</td>" in page and "<th>Value at risk 97.5%</th>" in page
    assert "All stocks together" not in day_page(RUN, made_day(), {}, {})
    assert risk_text(RISKS) in day_text(RUN, together)
    assert "All stocks together" not in day_text(RUN, made_day())
