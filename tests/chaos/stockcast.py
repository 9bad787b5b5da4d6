"""Commands of `stockcast`, each a fork of this process, which has imported what they need:

    python -m tests.chaos.stockcast

It reads requests from stdin, one JSON object a line: `arguments`, and the file `output`. It answers
with a command's process id when it starts and with its exit code when it has ended, negative for a
signal. Imports are two thirds of a quick day's processor time, and every day would repeat them.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from importlib import import_module

from pipeline.garbage import search_rarely

#: TensorFlow is not among them: it does not survive a fork, and only workers import it.
IMPORTED = (
    *("pipeline.cli.day_commands", "pipeline.daily", "pipeline.inspection", "pipeline.parts"),
    *("pipeline.quality", "pipeline.reporting", "pipeline.research", "pipeline.storage"),
    *("pipeline.tracking", "pipeline.training", "tests.made_days", "tests.short_recipe"),
    *("great_expectations", "matplotlib.pyplot", "mlflow", "psycopg2", "scipy.stats", "yfinance"),
)


def main() -> int:
    search_rarely()
    for name in IMPORTED:
        import_module(name)
    gc.freeze()  # a collection in a fork would copy all that it shares with this process
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            return _command(request["arguments"], request["output"])
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return 0


def _command(arguments: list[str], output: str) -> int:
    """Run one command as a process that was started for it would."""
    from tests import short_recipe

    os.setsid()
    nothing, file = os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY | os.O_CREAT)
    for old, new in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(old, new)
    sys.argv[1:] = ["stockcast", *arguments]
    return short_recipe.main()


if __name__ == "__main__":
    sys.exit(main())
