"""What is waited for stands in the log, once it has been silent for long, and not before."""

import logging
import threading

import fsspec
import pytest

from pipeline.storage import Artifacts, slow_answers


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(slow_answers, "SECONDS_IN_SILENCE", 0.01)


def _slow_to(name: str, until: threading.Event):
    """Return a method of the file system in memory that answers once something else has."""
    files = fsspec.filesystem("memory")
    answer = getattr(files, name)

    def slowly(*arguments, **options):
        assert until.wait(30)
        return answer(*arguments, **options)

    return files, slowly


def test_an_object_store_that_does_not_answer_is_named_again_and_again(
    impatient, monkeypatch, caplog
):
    artifacts = Artifacts("memory://bucket/slow")
    artifacts.write("a.json", b"{}")
    answers = threading.Event()

    class Answering(logging.Handler):
        """Lets the store answer once it has been talked about twice."""

        def emit(self, record: logging.LogRecord) -> None:
            if len(caplog.records) >= 2:
                answers.set()

    files, slowly = _slow_to("cat_file", answers)
    monkeypatch.setattr(type(files), "cat_file", lambda self, *args, **kw: slowly(*args, **kw))
    handler = Answering()
    slow_answers.log.addHandler(handler)
    try:
        assert artifacts.read("a.json") == b"{}"
    finally:
        slow_answers.log.removeHandler(handler)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) >= 2
    assert all("Still waiting for memory:///bucket/slow, for 0 s" in text for text in said)


def test_a_store_that_answers_in_time_is_not_talked_about(caplog):
    Artifacts("memory://bucket/quick").write("a.json", b"{}")
    assert caplog.text == ""


def test_a_folder_is_not_watched(monkeypatch, tmp_path):
    monkeypatch.setattr("pipeline.storage.artifacts.say_what_is_awaited", None)
    Artifacts(str(tmp_path)).write("a.json", b"{}")
    assert Artifacts(str(tmp_path)).read("a.json") == b"{}"
