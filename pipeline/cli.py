"""The command line: parses, calls `steps.py`, prints. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from pipeline import __version__
from pipeline.errors import NothingStored, QualityGateFailed, RunError, SettingsError, StockcastError
from pipeline.settings import CHOICES, Settings

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.assembly import Parts
    from pipeline.run import Run
    from pipeline.universes import Universe

FORMATS = ("table", "json", "csv")
SEQUENCE_LENGTH = 50
#: The steps that take a list of tickers, and those that look at the whole session.
TICKER_STEPS = ("ingest", "build_windows", "train", "evaluate")
SESSION_STEPS = ("check", "pretrain", "promote", "publish", "score", "watch", "report")
STEP_HELP = {
    "ingest": "fetch prices and store what is new",
    "check": "validate what was ingested; leave out tickers that break the rules",
    "pretrain": "train the network that all stocks share",
    "build_windows": "cut prices into the datasets that networks learn and forecast from",
    "train": "train each stock's own networks, where they are not there yet",
    "evaluate": "measure networks and baselines on the same sessions; record both in MLflow",
    "promote": "decide whose forecast is published, and why",
    "publish": "write the forecasts with their intervals",
    "score": "compare earlier forecasts with the prices that came",
    "watch": "warn where coverage, skill or the networks' inputs have drifted",
    "report": "write the day's page, and print the same figures",
}


class Parser(argparse.ArgumentParser):
    """One line on a mistake, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message} (`{self.prog} --help` lists what there is)")


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 (the run failed) or 2 (the configuration is wrong)."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments = parser().parse_args(argv)
        return arguments.run(arguments) or 0
    except StockcastError as error:
        if "--debug" in argv:
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; nothing is half-written, and the same command goes on where this one stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        sys.stderr.close()
        return 0


def parser() -> Parser:
    """The whole grammar."""
    top = Parser(
        prog="stockcast",
        description="A daily stock forecast, one session at a time.",
        epilog="To begin: `stockcast run` forecasts the bundled stocks; `stockcast doctor` says what is missing.",
    )
    top.add_argument("--version", action="version", version=f"stockcast {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = _command(commands, "run", "forecast one session: all steps, from prices to the day's page", _run)
    _session_arguments(run)
    _format_argument(run)
    backfill = _command(commands, "backfill", "forecast every session of a range, with all steps", _backfill)
    backfill.add_argument("--from", dest="first", required=True, type=_date, metavar="DATE", help="first session, included")
    backfill.add_argument("--to", dest="last", required=True, type=_date, metavar="DATE", help="last session, included")
    for step in STEP_HELP:
        _session_arguments(_command(commands, step, f"step: {STEP_HELP[step]}", _step, step=step))

    forecasts = _command(commands, "forecasts", "print what was published, one row per ticker and session ahead", _forecasts)
    forecasts.add_argument("--session", type=_date, metavar="DATE", help="the session they were made after (default: the newest)")
    scores = _command(commands, "scores", "print how earlier forecasts did, beside the naive and the EWMA forecast", _scores)
    scores.add_argument("--session", type=_date, metavar="DATE", help="only forecasts made after this session")
    scores.add_argument("--each", action="store_true", help="one row per forecast, not the sums")
    for command in (forecasts, scores):
        _format_argument(command)
    _format_argument(_command(commands, "universe", "list the universes, or show one (--universe NAME)", _universe))
    _format_argument(_command(commands, "recipes", "list the recipes with all parameters, or show one (--recipe NAME)", _recipes))
    ahead = _command(commands, "look-ahead", "let trained networks forecast their test sessions in three ways", _look_ahead)
    _session_arguments(ahead)
    ahead.add_argument(
        "--length",
        type=int,
        default=SEQUENCE_LENGTH,
        metavar="N",
        help="sessions in each sequence of the third way, multiple sequences (default: %(default)s)",
    )
    _study_commands(commands)
    _backtest_command(commands)
    _tune_command(commands)
    exercise = _command(commands, "exercise", "train the recipes that need no prices (--recipe NAME,NAME; default: all)", _exercise)
    exercise.add_argument(
        "--text", metavar="FILE", help="a text of your own, for the recipe that learns to write (meetup-characters)"
    )
    _format_argument(exercise)
    _question_commands(commands)
    _command(commands, "doctor", "check configuration, databases and price source, and say what to do", _doctor)
    return top


def _command(commands: argparse._SubParsersAction, name: str, told: str, run: Callable, **defaults: object) -> Parser:
    command = commands.add_parser(
        name.replace("_", "-"), aliases=[name] if "_" in name else [], help=told, description=_sentence(told)
    )
    command.set_defaults(run=run, **defaults)
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    groups = {True: command.add_argument_group("what to run"), False: command.add_argument_group("how to run it")}
    for field in dataclasses.fields(Settings):
        kind = field.metadata["kind"] if field.metadata["kind"] in (int, float) else str
        groups[field.name in CHOICES].add_argument(
            f"--{field.name.replace('_', '-')}", type=kind, metavar=field.name.upper(), help=field.metadata["help"]
        )
    return command


def _sentence(told: str) -> str:
    """What a list of commands says in a few words, as a line of its own."""
    return told[0].upper() + told[1:] + ("" if told.endswith("?") else ".")


def _backtest_command(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "backtest", "compare recipes, baselines and statistical models on many past sessions", _backtest)
    command.add_argument(
        "--recipes",
        default="default",
        metavar="NAME,NAME",
        help="recipes that take part, beside naive, ewma and the statistical models of --baselines (default: %(default)s)",
    )
    command.add_argument("--from", dest="first", required=True, type=_date, metavar="DATE", help="first session to forecast from")
    command.add_argument(
        "--to", dest="last", required=True, type=_date, metavar="DATE", help="last session to forecast from, at most"
    )
    command.add_argument("--step", type=int, default=5, metavar="N", help="forecast from every N-th session (default: %(default)s)")
    command.add_argument(
        "--refit",
        type=int,
        default=25,
        metavar="N",
        help="train networks anew at every N-th of these; 0: once, at the first (default: %(default)s)",
    )
    command.add_argument(
        "--embargo",
        type=int,
        metavar="N",
        help="sessions left out between what networks learn from and what they forecast (default: the horizon)",
    )
    command.add_argument("--warm-start", action="store_true", help="a later training goes on from the first one's networks")
    command.add_argument(
        "--seeds",
        type=_count,
        default=1,
        metavar="N",
        help="number of seeds, from --seed on, each a line of the leaderboard (default: %(default)s)",
    )
    _format_argument(command)


def _study_commands(commands: argparse._SubParsersAction) -> None:
    reproduce = _command(
        commands, "reproduce", "train a source's recipes exactly as published, beside naive, linear and default", _reproduce
    )
    reproduce.add_argument("study", metavar="STUDY", help="fastnu, sezer, aungiers or weng; its --data is a folder of price files")
    reproduce.add_argument("--from", dest="first", type=_date, metavar="DATE", help="first session used (default: the files' own)")
    reproduce.add_argument("--to", dest="last", type=_date, metavar="DATE", help="last session used (default: the files' own)")
    ablate = _command(
        commands, "ablate", "train the FAST-NU network with more and fewer layers: do they reduce the error?", _ablate
    )
    ablate.add_argument("--layers", type=_counts, default="1,2,3,4", metavar="N,N", help="numbers of layers (default: %(default)s)")
    ablate.add_argument(
        "--units", type=_counts, default="25,50,128", metavar="N,N", help="numbers of units in each layer (default: %(default)s)"
    )
    ablate.add_argument("--epochs", type=_count, metavar="N", help="train fewer epochs (default: as published)")
    for command, seeds in ((reproduce, 3), (ablate, 1)):
        command.add_argument(
            "--seeds", type=_count, default=seeds, metavar="N", help="number of seeds, from --seed on (default: %(default)s)"
        )


def _question_commands(commands: argparse._SubParsersAction) -> None:
    audit = _command(
        commands, "audit", "look for leaks: change all prices after a session and report what moves in a recipe", _audit
    )
    audit.add_argument("audited", metavar="RECIPE", help="its name, such as default or castilla.faithful")
    audit.add_argument(
        "--cutoffs", type=_count, default=2, metavar="N", help="sessions after which prices are changed (default: %(default)s)"
    )
    audit.add_argument("--epochs", type=_count, default=2, metavar="N", help="train at most so many (default: %(default)s)")
    _format_argument(audit)
    explain = _command(commands, "explain", "show what made a published forecast (--horizon N: that one alone)", _explain)
    explain.add_argument("session", type=_date, metavar="SESSION", help="the session it was made after, such as 2013-03-01")
    explain.add_argument("ticker", metavar="TICKER", help="whose forecast")
    explain.add_argument("--rerun", action="store_true", help="make it again from the prices known then, and compare every bit")


def _tune_command(commands: argparse._SubParsersAction) -> None:
    command = _command(commands, "tune", "search for better hyper-parameters of a recipe (--recipe NAME)", _tune)
    command.add_argument(
        "--trials",
        type=_count,
        default=20,
        metavar="N",
        help="how many there are to be in the end, those of earlier searches included (default: %(default)s)",
    )
    command.add_argument(
        "--folds",
        type=_count,
        default=3,
        metavar="K",
        help="years that each trial is measured on, all before the test sessions (default: %(default)s)",
    )
    command.add_argument(
        "--from", dest="first", type=_date, metavar="DATE", help="first session used (default: the universe's own)"
    )
    command.add_argument(
        "--to",
        dest="last",
        type=_date,
        metavar="DATE",
        help="last session used, the recipe's test sessions included, which stay unseen (default: the newest)",
    )


def _session_arguments(command: Parser) -> None:
    command.add_argument("--session", type=_date, metavar="DATE", help="the last session that may be seen (default: the newest)")
    command.add_argument(
        "--known-at", type=_moment, metavar="MOMENT", help="repeat with what was known then, such as 2026-01-31T22:00:00Z"
    )


def _format_argument(command: Parser) -> None:
    command.add_argument("--format", choices=FORMATS, default="table", help="how rows are printed (default: table)")


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; one such as 2013-03-01 is expected") from None


def _count(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _counts(text: str) -> list[int]:
    return list(dict.fromkeys(_count(part) for part in text.split(",")))


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no moment; one such as 2026-01-31T22:00:00Z is expected") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings.from_env(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Settings)})


def _planned(parts: Parts, session: dt.date | None, known_at: dt.datetime | None = None) -> Run:
    from pipeline import assembly, steps

    # The one place where the command line reads the clock; from here on the moment travels with the run.
    return steps.plan(parts, assembly.universe_of(parts.settings), session, dt.datetime.now(dt.UTC), known_at)


def _followed(parts: Parts, run: Run, quiet: bool = False) -> Run:
    """The run; from here on progress counts its tickers. `quiet`: standard output is for a program."""
    from pipeline.progress import for_people

    parts.progress = for_people(len(run.universe.tickers), sys.stderr if quiet else sys.stdout)
    return run


def _run(arguments: argparse.Namespace) -> None:
    from pipeline import assembly, steps
    from pipeline.tables import FORECASTS

    quiet = arguments.format != "table"
    with assembly.parts(_settings(arguments), progress=_to_stderr if quiet else None) as parts:
        run = _followed(parts, _planned(parts, arguments.session, arguments.known_at), quiet)
        steps.day(parts, run)
        parts.progress.close()
        if quiet:
            _print_rows(parts.rows(FORECASTS, run), arguments.format)
            return
        places = assembly.whereabouts(parts, run, "   (`make up` shows it)")
        print("\n".join(["", steps.summary(parts, run), "", *places]))


def _backfill(arguments: argparse.Namespace) -> int:
    from pipeline import assembly, steps

    failures = 0
    with assembly.parts(_settings(arguments)) as parts:
        calendar = parts.calendar(assembly.universe_of(parts.settings))
        sessions = calendar.sessions(arguments.first, arguments.last)
        if not sessions:
            raise SettingsError(
                f"There is no session of {calendar.name} from {arguments.first} to {arguments.last}. Give an earlier --from or a later --to."
            )
        # All are planned before the first is run: a range that reaches too far fails at once, and changes nothing.
        for run in [_planned(parts, session) for session in sessions]:
            print(f"\n{run.universe.name} {run.session}", flush=True)
            _followed(parts, run)
            try:
                steps.day(parts, run)
                parts.progress.close()
            except RunError as error:
                parts.progress.close()
                failures += 1
                print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
    print(
        f"\n{len(sessions) - failures} of {len(sessions)} sessions are done."
        + (" Repeat the command for the others." if failures else "")
    )
    return 1 if failures else 0


def _step(arguments: argparse.Namespace) -> None:
    from pipeline import assembly, steps

    with assembly.parts(_settings(arguments)) as parts:
        run = _followed(parts, _planned(parts, arguments.session, arguments.known_at))
        step = getattr(steps, arguments.step)
        if arguments.step == "ingest":
            step(parts, run, list(run.universe.tickers))
        elif arguments.step in TICKER_STEPS:
            step(parts, run, _passed(parts, run))
        else:
            step(parts, run)
        if arguments.step == "report":
            print(f"\n{steps.told(parts, run)}")


def _passed(parts: Parts, run: Run) -> list[str]:
    from pipeline import steps

    tickers = steps.passed(parts, run)
    if not tickers:
        raise QualityGateFailed(f"{run.session}: every ticker is quarantined; `stockcast check` says why.")
    return tickers


def _filters(settings: Settings, session: dt.date | None) -> dict[str, object]:
    """Only what was asked for narrows what is printed."""
    filters = {"universe": settings.universe, "recipe": settings.recipe, "target": settings.target}
    filters |= {"ticker": settings.ticker_list, "cutoff": session}
    return {name: value for name, value in filters.items() if value}


def _look_ahead(arguments: argparse.Namespace) -> int:
    import pandas as pd

    from pipeline import assembly, networks, records
    from pipeline.models import find_recipe

    if arguments.length < 1:
        raise SettingsError(f"--length is {arguments.length}; at least 1 session is expected.")
    with assembly.parts(_settings(arguments)) as parts:
        run = _planned(parts, arguments.session, arguments.known_at)
        tickers = _passed(parts, run)
        outcomes = networks.look_ahead(parts, run, find_recipe(run.universe.recipe), tickers, arguments.length)
        seen = {ticker: outcome for ticker, outcome in outcomes.items() if not isinstance(outcome, StockcastError)}
        for ticker in sorted(set(outcomes) - set(seen)):
            print(f"error: {outcomes[ticker]}", file=sys.stderr)
        if not seen:
            return 1
        files = records.save_look_ahead(parts, run, seen)
        rows = [{"ticker": ticker, "sessions": len(ahead.sessions), **ahead.rmse()} for ticker, ahead in sorted(seen.items())]
        print(
            f"RMSE in dollars on the test sessions; multiple sequences of {arguments.length} sessions, each beside its naive forecast."
        )
        _print_rows(pd.DataFrame(rows), "table")
        print("", *files, sep="\n")
    return 1 if len(seen) < len(outcomes) else 0


def _reproduce(arguments: argparse.Namespace) -> int:
    from pipeline import assembly, reproduction, study

    settings = _settings(arguments)
    if arguments.study not in reproduction.names():
        raise SettingsError(f"There is no study {arguments.study!r}. The studies are: {', '.join(reproduction.names())}.")
    if not settings.data:
        raise SettingsError(f"{arguments.study} needs a folder of price files (flag --data or STOCKCAST_DATA).")
    with assembly.parts(settings) as parts:
        universe = study.universe_of(settings)
        the = reproduction.find_study(arguments.study, universe, settings.recipe, settings.target)
        period = study.Period(arguments.first, arguments.last)
        outcome = reproduction.reproduce(parts, universe, the, arguments.seeds, period, dt.datetime.now(dt.UTC))
        _print_study(parts, outcome.folder, outcome.text)
        return 1 if outcome.failures else 0


def _ablate(arguments: argparse.Namespace) -> int:
    from pipeline import ablation, assembly, study

    settings = _settings(arguments)
    with assembly.parts(settings) as parts:
        outcome = ablation.ablate(
            parts,
            study.universe_of(settings),
            ablation.base_recipe(),
            arguments.layers,
            arguments.units,
            arguments.seeds,
            dt.datetime.now(dt.UTC),
            arguments.epochs,
        )
        _print_study(parts, outcome.folder, outcome.text)
        return 1 if outcome.failures else 0


def _backtest(arguments: argparse.Namespace) -> None:
    from pipeline import assembly, backtest, statistical

    settings, quiet = _settings(arguments), arguments.format != "table"
    asked = backtest.Asked(
        recipes=[name.strip() for name in arguments.recipes.split(",") if name.strip()],
        baselines=settings.baseline_list or statistical.NAMES,
        **{name: getattr(arguments, name) for name in ("first", "last", "step", "refit", "embargo", "warm_start", "seeds")},
    )
    with assembly.parts(settings, progress=_to_stderr if quiet else None) as parts:
        # The universe's own recipe is that of the daily run, and would bring its column along.
        universe = assembly.universe_of(dataclasses.replace(settings, recipe=""))
        outcome = backtest.backtest(parts, universe, asked, dt.datetime.now(dt.UTC))
        if quiet:
            _print_rows(outcome.board, arguments.format)
            return
        print("", outcome.text, "", *assembly.backtest_whereabouts(parts, outcome.folder), sep="\n")


def _tune(arguments: argparse.Namespace) -> None:
    from pipeline import assembly, tuning
    from pipeline.models import find_recipe

    asked = tuning.Asked(arguments.trials, arguments.folds, arguments.first, arguments.last)
    with assembly.parts(_settings(arguments)) as parts:
        universe = assembly.universe_of(parts.settings)
        outcome = tuning.tune(parts, universe, find_recipe(universe.recipe), asked, dt.datetime.now(dt.UTC))
        print("", outcome.text, "", *assembly.tuning_whereabouts(parts, outcome.definition), sep="\n")


def _exercise(arguments: argparse.Namespace) -> None:
    """Prints what was trained also where something else failed, which is raised then."""
    from pipeline import assembly, exercises

    settings, quiet = _settings(arguments), arguments.format != "table"
    # A recipe in the environment is that of the daily run.
    chosen = exercises.chosen([name.strip() for name in (arguments.recipe or "").split(",") if name.strip()])
    text = exercises.read_text(arguments.text) if arguments.text else None
    with assembly.parts(settings, progress=_to_stderr if quiet else None) as parts:
        rows, failures = exercises.trained(parts, chosen, settings.seed, text)
        if quiet and len(rows):
            _print_rows(rows, arguments.format)
        elif len(rows):
            print()
            _print_rows(exercises.for_people(rows), arguments.format)
            print("", *assembly.exercises_whereabouts(parts), sep="\n")
    exercises.require_none(failures)


def _print_study(parts: Parts, folder: str, text: str) -> None:
    from pipeline import assembly

    print("", text, "", *assembly.study_whereabouts(parts, folder), sep="\n")


def _forecasts(arguments: argparse.Namespace) -> None:
    from pipeline import assembly
    from pipeline.tables import FORECASTS

    with assembly.parts(_settings(arguments)) as parts:
        filters = _filters(parts.settings, arguments.session)
        rows = parts.store.load(FORECASTS, **filters)
        if rows.empty:
            raise NothingStored(
                f"No forecasts are stored for {_told(filters)} in {assembly.store_name(parts)}. `stockcast run` makes them; "
                "--home names another folder."
            )
        newest = rows if arguments.session else rows[rows["cutoff"] == rows["cutoff"].max()]
        _print_rows(newest, arguments.format)


def _scores(arguments: argparse.Namespace) -> None:
    from pipeline import assembly, metrics
    from pipeline.tables import SCORES

    with assembly.parts(_settings(arguments)) as parts:
        filters = _filters(parts.settings, arguments.session)
        rows = parts.store.load(SCORES, **filters)
        if rows.empty:
            raise NothingStored(f"No forecast for {_told(filters)} has been scored: run a session after it first.")
        _print_rows(rows if arguments.each else metrics.realised(rows), arguments.format)


def _audit(arguments: argparse.Namespace) -> int:
    from pipeline import assembly, audit
    from pipeline.models import find_recipe

    recipe, quiet = find_recipe(arguments.audited), arguments.format != "table"
    settings = _settings(arguments)
    with assembly.parts(settings, progress=_to_stderr if quiet else None) as parts:
        if recipe.exercises:
            print(audit.nothing(recipe).verdict(), file=sys.stderr if quiet else sys.stdout)
            return 0
        universe = assembly.universe_of(dataclasses.replace(settings, recipe=recipe.name))
        bars = audit.bars_of(parts, universe, recipe, settings.ticker_list, dt.datetime.now(dt.UTC))
        report = audit.audit(parts, recipe, universe, bars, arguments.cutoffs, arguments.epochs)
    if quiet:
        _print_rows(report.table(), arguments.format)
    else:
        print()
        _print_rows(report.table(), "table")
        print("", *report.shortened, "", report.verdict(), sep="\n")
    return 1 if report.moved else 0


def _explain(arguments: argparse.Namespace) -> int:
    from pipeline import assembly, explanation

    settings = _settings(arguments)
    series = {"universe": settings.universe, "recipe": settings.recipe, "target": settings.target}
    with assembly.parts(settings) as parts:
        the = explanation.find(parts, arguments.session, arguments.ticker, **series)
        print(explanation.text(parts, the, arguments.horizon))
        if not arguments.rerun:
            return 0
        print("\nAgain", flush=True)
        outcome = explanation.again(parts, the)
    for check in outcome.checks:
        print(f"  {'DIFFERS' if check.differs else 'same':<8} {check.what}" + (f": {check.differs}" if check.differs else ""))
    print("\nIt comes out the same, bit by bit." if outcome.same else "\nIt comes out otherwise. Likely reasons:")
    for reason in outcome.reasons:
        print(f"  - {reason}")
    return 0 if outcome.same else 1


def _by_sector(universe: Universe) -> str:
    """Each sector of a universe with its tickers."""
    sectors = dict.fromkeys(universe.sectors.values())
    return "; ".join(
        f"{sector}: {' '.join(ticker for ticker, own in universe.sectors.items() if own == sector)}" for sector in sectors
    )


def _universe(arguments: argparse.Namespace) -> None:
    import pandas as pd

    from pipeline.universes import load_universes

    settings = _settings(arguments)
    universes = load_universes(settings.universes)
    if settings.universe and settings.universe not in universes:
        raise SettingsError(f"There is no universe {settings.universe!r}. The universes are: {', '.join(universes)}.")
    chosen = [universe for name, universe in universes.items() if settings.universe in ("", name)]
    rows = [
        {
            **dataclasses.asdict(universe),
            "tickers": " ".join(universe.tickers),
            "dag": f"daily_forecast_{universe.name}",
            "sectors": _by_sector(universe),
        }
        for universe in chosen
    ]
    _print_rows(pd.DataFrame(rows).drop(columns="data" if not any(universe.data for universe in chosen) else []), arguments.format)


def _recipes(arguments: argparse.Namespace) -> None:
    import pandas as pd

    from pipeline.models import RECIPES, find_recipe

    name = _settings(arguments).recipe
    rows = [recipe.described() for recipe in ([find_recipe(name)] if name else RECIPES)]
    if arguments.format != "table":
        _print_rows(pd.DataFrame(rows), arguments.format)
        return
    for row in rows:  # sentences do not fit into columns
        print(row.pop("name"), *(f"  {name:<15} {value}" for name, value in row.items() if value != ""), sep="\n")


def _doctor(arguments: argparse.Namespace) -> int:
    from pipeline import doctor

    findings = doctor.examine(lambda: _settings(arguments), dt.datetime.now(dt.UTC))
    for finding in findings:
        print(f"{'ok' if finding.well else 'FAILED':<7} {finding.what:<14} {finding.told}")
    return 0 if all(finding.well for finding in findings) else 1


def _print_rows(rows: pd.DataFrame, form: str) -> None:
    from pipeline import reporting

    print(reporting.rows(rows, form), end="" if form == "csv" else "\n")


def _told(filters: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in filters.items()) or "any session"


def _to_stderr(step: str, ticker: str, message: str) -> None:
    from pipeline.progress import line

    print(line(step, ticker, message), file=sys.stderr, flush=True)
