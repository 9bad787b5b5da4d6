"""Failures of tasks: the line of each, and those of many that a person needs to read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: The beginning of every line that `failure_line` makes.
FAILED = "FAILED "
#: A task's tickers in such a line.
OF_TICKERS = re.compile(r"FAILED \w+ of ([^:]+): ")
#: The line of a step that finds nothing to work on, because one before it has failed.
CONSEQUENCE = re.compile(r"FAILED [^:]+: NothingStored: ")
#: Failed tasks that a reason names.
NAMED_FAILURES = 3


def failure_line(context: Mapping[str, Any]) -> str:
    """Return in one line a task that failed, its tickers and the reason."""
    task_instance = context["task_instance"]
    arguments = getattr(task_instance.task, "op_kwargs", None) or {}
    tickers = arguments.get("tickers")
    of_tickers = f" of {', '.join(tickers)}" if isinstance(tickers, list | tuple) else ""
    reason = " ".join(str(context.get("exception") or "the process was killed").split())
    return f"{FAILED}{task_instance.task_id}{of_tickers}: {reason}"


def distinct_failures(failures: Sequence[str]) -> list[str]:
    """Return the failures that a person needs to read, in their order.

    A failure of many tickers is given for the first, with the number of the others. A failure that
    only follows from another one is left out.
    """
    kinds: dict[str, list[str]] = {}
    for line in failures:
        kinds.setdefault(_without_tickers(line), []).append(line)
    first = [
        f"{lines[0]} (The same for {len(lines) - 1} more.)" if len(lines) > 1 else lines[0]
        for lines in kinds.values()
    ]
    causes = [line for line in first if not CONSEQUENCE.match(line)]
    return causes or first


def named_failures(tasks: Iterable[str]) -> str:
    """Return failed tasks in a few words, the first ones by name."""
    counts: dict[str, int] = {}
    for task in tasks:
        counts[task] = counts.get(task, 0) + 1
    named = [f"{task} ({count} tasks)" if count > 1 else task for task, count in counts.items()]
    more = f" and {len(named) - NAMED_FAILURES} more" if len(named) > NAMED_FAILURES else ""
    return ", ".join(named[:NAMED_FAILURES]) + more


def _without_tickers(line: str) -> str:
    """Return a line without its tickers: two failures are the same where only those differ."""
    match = OF_TICKERS.match(line)
    if match is None:
        return line
    names = [rf"(?<!\w){re.escape(ticker)}(?!\w)" for ticker in match[1].split(", ")]
    return re.sub("|".join(names), "", line)
