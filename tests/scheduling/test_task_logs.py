"""Airflow's log files: written where its page looks, read as they grow."""

from __future__ import annotations

from types import SimpleNamespace

from pipeline.scheduling.task_logs import LogFollower, attempt_file, run_folder, write_line


def test_a_log_lies_where_airflow_looks_for_it(tmp_path):
    task = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=2)
    mapped = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=3, try_number=1)
    folder = tmp_path / "logs" / "tasks" / "dag_id=d" / "run_id=r" / "task_id=t"
    assert attempt_file(tmp_path, task) == folder / "attempt=2.log"
    assert attempt_file(tmp_path, mapped) == folder / "map_index=3" / "attempt=1.log"


def test_each_line_is_read_once_and_only_when_it_is_whole(tmp_path):
    folder = run_folder(tmp_path, "d", "r")
    log = folder / "task_id=t" / "attempt=1.log"
    follower = LogFollower(folder)
    assert list(follower.new_lines()) == []
    write_line(log, "one")
    assert [line["event"] for line in follower.new_lines()] == ["one"]
    with log.open("a") as file:
        file.write('{"event": "tw')
    assert list(follower.new_lines()) == []
    with log.open("a") as file:
        file.write('o"}\nnot json\n')
    assert [line["event"] for line in follower.new_lines()] == ["two", "not json"]


def test_earlier_lines_can_be_left_out(tmp_path):
    write_line(tmp_path / "attempt=1.log", "old")
    follower = LogFollower(tmp_path)
    follower.skip()
    write_line(tmp_path / "attempt=2.log", "new")
    assert [line["event"] for line in follower.new_lines()] == ["new"]
