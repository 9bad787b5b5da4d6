"""`python -m pipeline.scheduling`: the local services, one run through Airflow, backfills by session dates."""

from __future__ import annotations

import argparse
import datetime as dt
import sys

from pipeline.errors import StockcastError
from pipeline.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, 1 for a run that failed, 2 for a configuration that cannot be."""
    options = _parser().parse_args(arguments)
    try:
        return options.call(options) or 0
    except StockcastError as error:
        if options.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.scheduling",
        description="Airflow, MLflow and PostgreSQL on this machine: start, end, run, backfill.",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, call, about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        added.set_defaults(call=call)
        return added

    command("up", _up, "start Airflow, MLflow and PostgreSQL in the background, on loopback")
    command("down", _down, "end what `up` started")
    command("status", _status, "say what is up and healthy; exit code 1 when it is down")
    command("supervise", _supervise, "what `up` starts: the services, in the foreground until SIGTERM")
    run = command("run", _run, "forecast one session through Airflow; needs no `up`")
    run.add_argument("--universe", metavar="NAME", help="which one (default: STOCKCAST_UNIVERSE, else sample)")
    run.add_argument(
        "--session", type=_date, metavar="DATE", help="trading day, such as 2013-03-01 (default: the last complete one)"
    )
    backfill = command("backfill", _backfill, "let Airflow forecast every session of a range; needs `up`")
    backfill.add_argument("--universe", metavar="NAME", help="which one (default: STOCKCAST_UNIVERSE, else sample)")
    backfill.add_argument("--from", dest="first", type=_date, required=True, metavar="DATE", help="first session date, included")
    backfill.add_argument("--to", dest="last", type=_date, required=True, metavar="DATE", help="last session date, included")
    backfill.add_argument(
        "--max-active-runs", type=int, default=4, metavar="N", help="sessions at work at once (default: %(default)s)"
    )
    backfill.add_argument(
        "--reprocess",
        choices=["none", "failed", "completed"],
        default="failed",
        help="which sessions to run again (default: %(default)s)",
    )
    backfill.add_argument("--wait", action="store_true", help="return when all sessions have run; exit code 1 when one failed")
    airflow = command("airflow", _airflow, "Airflow's own command line on this deployment, such as: airflow dags list")
    airflow.add_argument("arguments", nargs=argparse.REMAINDER, help="as `airflow` takes them")
    return parser


def _airflow(options: argparse.Namespace) -> int:
    import os
    import subprocess

    from pipeline.scheduling.environment import environment

    env = {**os.environ, **environment(Settings.from_env())}
    return subprocess.run([sys.executable, "-m", "airflow", *options.arguments], env=env, check=False).returncode


def _up(_: argparse.Namespace) -> None:
    from pipeline.scheduling import services

    print(services.up(Settings.from_env()))


def _down(_: argparse.Namespace) -> None:
    from pipeline.scheduling import services

    print(services.down(Settings.from_env()))


def _status(_: argparse.Namespace) -> int:
    from pipeline.scheduling import services

    settings = Settings.from_env()
    print(services.status(settings))
    return 0 if services.is_up(settings.home) else 1


def _supervise(_: argparse.Namespace) -> None:
    from pipeline.scheduling import services

    services.supervise(Settings.from_env())


def _run(options: argparse.Namespace) -> int:
    from pipeline.scheduling import single_run

    return single_run.run(Settings.from_env(universe=options.universe), options.session)


def _backfill(options: argparse.Namespace) -> int:
    from pipeline.scheduling import backfills

    return backfills.backfill(
        Settings.from_env(universe=options.universe),
        options.first,
        options.last,
        options.max_active_runs,
        options.reprocess,
        options.wait,
    )


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; year-month-day is expected, such as 2013-03-01") from None


if __name__ == "__main__":
    sys.exit(main())
