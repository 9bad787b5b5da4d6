"""Broken universes files, command lines and addresses: an error in one line, or an answer."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SettingsError
from pipeline.sessions import Calendar
from pipeline.settings import Settings
from pipeline.storage import Artifacts, Store
from pipeline.universes import SHIPPED_UNIVERSES, Universe, load_universes
from tests.fuzz.broken import CELLS, EVERY_EXAMPLE, broken_text, require_one_line
from tests.made_publications import LAST, TICKERS, fill

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

GOOD_UNIVERSES = SHIPPED_UNIVERSES.read_text(encoding="utf-8").partition("[us_megacaps]")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("universes")


@pytest.mark.slow
@EVERY_EXAMPLE
@given(text=broken_text(GOOD_UNIVERSES))
def test_a_broken_universes_file_is_refused_in_one_line_or_declares_universes(folder, text):
    file = folder / "universes.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        universes = load_universes(file)
    except SettingsError as error:
        require_one_line(error)
        return
    assert universes
    assert all(isinstance(each, Universe) and each.tickers for each in universes.values())


# The command line

#: What reads and writes nothing but what it prints.
READING = ("forecasts", "scores", "explain", "universe", "recipes", "report")
FLAGS = (
    *("--session", "--tickers", "--universe", "--recipe", "--target", "--horizon", "--format"),
    *("--source", "--data", "--each", "--revisions", "--rerun", "--universes", "--no-such-flag"),
)
WORDS = (
    *(*TICKERS, str(LAST), "made", "default", "close", "csv", "json", "table", "sample", "1", "5"),
    *CELLS,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a made store, in the environment of this process."""
    home = tmp_path_factory.mktemp("home")
    store = Store.open(f"sqlite:///{home}/store.db")
    fill(store)
    store.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOCKCAST_HOME", str(home))
        patch.setenv("STOCKCAST_STORE_URL", f"sqlite:///{home}/store.db")
        patch.setenv("STOCKCAST_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
        yield home


@pytest.mark.slow
@EVERY_EXAMPLE
@given(
    command=st.sampled_from(READING),
    words=st.lists(st.one_of(st.sampled_from(FLAGS), st.sampled_from(WORDS)), max_size=6),
)
def test_a_broken_command_line_is_refused_in_one_line_or_answered(home, command, words):
    from pipeline.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([command, *words])
    assert code in (0, 1, 2)
    assert "Traceback" not in out.getvalue() + err.getvalue()
    if code:
        lines = err.getvalue().splitlines()
        assert len(lines) == 1 and len(lines[0]) > 20, err.getvalue()


# The pages and their API

PATHS = (
    *("/", "/scores", "/quality", "/stocks/{}", "/stocks/{}/mlflow", "/stocks/{}/airflow"),
    *("/data-docs/{}", "/api/series", "/api/forecasts", "/api/scores", "/api/quality"),
    *("/api/stocks/{}", "/api/stocks/{}/publications", "/api/{}", "/{}", "/static/{}"),
)
PARAMETERS = (
    *("universe", "recipe", "target", "session", "format", "by", "ticker", "horizon", "x"),
)


@pytest.fixture(scope="module")
def pages(home: Path) -> Iterator[TestClient]:
    """Somebody who has logged in, and may see every DAG."""
    from airflow.api_fastapi.common.db.common import _get_session
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi.testclient import TestClient

    from pipeline.scheduling.pages.requested import parts_of_pages, readable_universes
    from pipeline.scheduling.pages.site import new_site

    store, app = Store.open(f"sqlite:///{home}/store.db"), new_site()
    calendar = Calendar("XNYS")
    app.dependency_overrides |= {
        parts_of_pages: lambda: SimpleNamespace(
            store=store,
            artifacts=Artifacts(f"{home}/artifacts"),
            settings=Settings().replaced(home=home),
            calendar=lambda universe: calendar,
            tracker=lambda universe: SimpleNamespace(address_of=lambda key: None),
        ),
        readable_universes: lambda: lambda universe: True,
        get_user: lambda: SimpleNamespace(name="somebody"),
        _get_session: lambda: SimpleNamespace(scalars=lambda query: iter(())),
    }
    yield TestClient(app, "http://airflow", follow_redirects=False)
    store.close()


@pytest.mark.slow
@EVERY_EXAMPLE
@given(
    path=st.sampled_from(PATHS),
    word=st.one_of(st.sampled_from(WORDS), st.text(max_size=30)),
    query=st.dictionaries(
        st.sampled_from(PARAMETERS), st.one_of(st.sampled_from(WORDS), st.text(max_size=20))
    ),
)
def test_a_broken_address_is_not_found_or_answered(pages, path, word, query):
    address = path.format(quote(word.encode("utf-8", "surrogatepass"), safe=""))
    texts = {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}
    answer = pages.get(address, params=texts)  # an error of the program is raised here
    assert answer.status_code in (200, 302, 303, 307, 400, 404, 422), answer.text
