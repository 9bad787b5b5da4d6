"""Tracked runs: their hash is that of their content."""

import dataclasses

import pytest

from tests.tracking.made_runs import AAPL, EARLIER_NETWORK, NETWORK


@pytest.mark.parametrize(
    "change",
    [
        {"ticker": "MSFT"},
        {"params": {"seed": 8}},
        {"metrics": {"test_rmse": 9.25}},
        {"history": {"loss": [0.5, 0.125]}},
        {"tags": {}},
        {"model": None},
        {"rivals": ()},
        {"files": {"prediction.png": b"another"}},
        {"pictures": {"skill.png": bytes}},
        {"title": "another"},
        {"description": "better"},
    ],
)
def test_the_hash_changes_with_whatever_is_tracked(change):
    assert dataclasses.replace(AAPL, **change).content_hash() != AAPL.content_hash()


def test_a_model_counts_by_its_id_and_a_picture_by_its_name():
    other = dataclasses.replace(NETWORK, content=b"other bytes")
    drawn, redrawn = (
        dataclasses.replace(AAPL, pictures={"skill.png": draw}) for draw in (bytes, bytearray)
    )
    assert dataclasses.replace(AAPL, model=other).content_hash() == AAPL.content_hash()
    assert drawn.content_hash() == redrawn.content_hash()


def test_the_models_of_a_run_are_its_network_and_then_the_rivals():
    assert AAPL.models == (NETWORK, EARLIER_NETWORK)
    assert dataclasses.replace(AAPL, model=None).models == (EARLIER_NETWORK,)
