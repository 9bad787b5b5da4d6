"""Who is published, as a backtest of whole days counts it."""

from pipeline.research.published_kinds import (
    held_back_sentences,
    kinds_in_spells,
    kinds_shares,
    kinds_table,
)
from pipeline.research.shard_notes import ShardNotes


def kinds(blend, har):
    return {"network": 0, "blend": blend, "har": har, "ewma": 0, "naive": 0}


NOTES = [
    ShardNotes(published={"2013-01-02": kinds(2, 1), "2013-01-03": kinds(2, 1)}),
    ShardNotes(
        published={"2013-01-04": kinds(1, 1), "2013-01-07": kinds(2, 1)},
        held_back={"TWO": {"2013-01-04": "2013-01-04: close 9 is above high 8."}},
    ),
]


def test_cutoffs_in_a_row_with_equal_counts_are_one_row_for_people():
    spells = kinds_in_spells(kinds_table(NOTES))
    columns = ["from", "to", "cutoffs", "blend", "har", "held back"]
    assert spells[columns].to_numpy().tolist() == [
        ["2013-01-02", "2013-01-03", 2, 2, 1, 0],
        ["2013-01-04", "2013-01-04", 1, 1, 1, 1],
        ["2013-01-07", "2013-01-07", 1, 2, 1, 0],
    ]


def test_shares_are_of_all_that_is_published():
    shares = kinds_shares(kinds_table(NOTES))
    assert shares["published.blend"] == 7 / 11
    assert shares["published.har"] == 4 / 11
    assert sum(shares.values()) == 1
    assert set(kinds_shares(kinds_table([])).values()) == {0.0}


def test_a_ticker_that_is_held_back_is_named_with_the_first_reason():
    assert list(held_back_sentences(NOTES)) == [
        "TWO is not published at 1 cutoff, first at 2013-01-04: close 9 is above high 8."
    ]
