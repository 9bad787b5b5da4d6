"""The picture of a pooled network's stocks labels each of them and names its method."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.reporting import charts

ROOT = Path(__file__).parents[2]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch):
    """Draw the picture; return its axes."""
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig

    def keep(self, *args, **kwargs):
        figures.append(self)
        return save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", keep)

    def draw(points: np.ndarray, symbols: list[str], sectors: dict[str, str]):
        charts.embedding_picture(points, symbols, sectors)
        return figures[-1].axes[0]

    return draw


def test_the_picture_labels_every_stock_and_names_method_and_number(drawn):
    symbols = ["AAPL", "IBM", "JPM", "KO", "XOM"]
    technology = "Information Technology"
    sectors = {"AAPL": technology, "IBM": technology, "JPM": "Financials", "XOM": "Energy"}
    points = np.arange(10.0).reshape(5, 2)
    axes = drawn(points, symbols, sectors)
    labels = {text.get_text(): tuple(text.xy) for text in axes.texts}
    assert labels == dict(zip(symbols, map(tuple, points), strict=True))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "Energy",
        "Financials",
        technology,
        "sector unknown",
    ]
    colours = {group.get_label(): tuple(group.get_facecolor()[0]) for group in axes.collections}
    assert len(set(colours.values())) == 4
    places = {group.get_label(): group.get_offsets().tolist() for group in axes.collections}
    assert places[technology] == points[:2].tolist()
    assert axes.get_title(loc="left").startswith("What the network has learnt of 5 stocks: t-SNE")


def test_the_picture_of_few_stocks_names_pca_and_has_the_same_bytes_again(drawn):
    points = np.eye(2)
    assert "2 stocks: PCA" in drawn(points, ["A", "B"], {}).get_title(loc="left")
    pictures = {charts.embedding_picture(points, ["A", "B"], {}) for _ in range(2)}
    assert len(pictures) == 1
    assert pictures.pop().startswith(b"\x89PNG")


@pytest.mark.slow
def test_drawing_imports_no_tensorflow():
    code = (
        "import sys, numpy; from pipeline.reporting import charts\n"
        "charts.embedding_picture(numpy.eye(5)[:, :2], 'ABCDE', {})\n"
        "print(*sorted({'tensorflow', 'keras', 'tensorboard'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
