"""The commands: names, help texts, and the function of each.

A command's module is imported when the command is invoked, so that `stockcast --help` is quick.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand

from pipeline.cli.flags import with_settings

DAY_PANEL, RESULTS_PANEL, STEPS_PANEL = "The day", "Results", "Steps of the day"
RESEARCH_PANEL, INSPECTION_PANEL = "Research", "Inspection"
SERVICES_PANEL = "Services on this machine"

SETTINGS_HINT = "A setting is also an environment variable: {} is {}."


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        function: "module:function" in this room. Its first argument is the settings.
        panel: heading in the list of commands.
        help: a sentence.
        hidden: not in the list.
        context: settings of click's context.
        reads: the only settings that it reads; empty: any.
    """

    function: str
    panel: str
    help: str
    hidden: bool = False
    context: dict[str, Any] = field(default_factory=dict)
    reads: tuple[str, ...] = ()

    def load(self, name: str) -> TyperCommand:
        """Import the command."""
        from pipeline.settings import PREFIX, flag

        module, _, function = self.function.partition(":")
        run = getattr(import_module(f"pipeline.cli.{module}"), function)
        example = self.reads[0] if self.reads else "store_url"
        hint = SETTINGS_HINT.format(flag(example), f"{PREFIX}{example.upper()}")
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        app.command(name, help=self.help, epilog=hint, context_settings=self.context)(
            with_settings(run, self.reads)
        )
        command = typer.main.get_command(app)
        assert isinstance(command, TyperCommand)  # one command makes no group
        return command


def _step(text: str) -> Command:
    return Command("day_commands:take_step", STEPS_PANEL, text)


COMMANDS = {
    "run": Command(
        "day_commands:run",
        DAY_PANEL,
        "Forecast one session: all steps, from prices to the day's page.",
    ),
    "backfill": Command(
        "day_commands:backfill", DAY_PANEL, "Forecast every session of a range, with all steps."
    ),
    "forecasts": Command(
        "result_commands:forecasts",
        RESULTS_PANEL,
        "Print the published forecasts, one row per ticker and session ahead.",
    ),
    "scores": Command(
        "result_commands:scores",
        RESULTS_PANEL,
        "Print how past forecasts did, next to the naive and the EWMA forecast.",
    ),
    "scenarios": Command(
        "joint_commands:draw_scenarios",
        RESULTS_PANEL,
        "Draw joint paths of all stocks that a session is published for; the day's step likewise.",
    ),
    "risk": Command(
        "joint_commands:print_risk",
        RESULTS_PANEL,
        "Print what a portfolio may lose over the next sessions, and how that did before.",
    ),
    "export": Command(
        "result_commands:export_results",
        RESULTS_PANEL,
        "Write forecasts, scores and quarantines as Parquet files, by session (--export-to DIR).",
    ),
    "universe": Command(
        "result_commands:print_universes",
        RESULTS_PANEL,
        "List the universes, or show --universe NAME.",
        reads=("universe", "universes"),
    ),
    "recipes": Command(
        "result_commands:print_recipes",
        RESULTS_PANEL,
        "List the recipes with all parameters, or show --recipe NAME.",
        reads=("recipe",),
    ),
    "up": Command(
        "service_commands:start",
        SERVICES_PANEL,
        "Start Airflow, MLflow and PostgreSQL in the background, on loopback.",
    ),
    "down": Command("service_commands:stop", SERVICES_PANEL, "Stop what `stockcast up` started."),
    "status": Command(
        "service_commands:show_status",
        SERVICES_PANEL,
        "Show which services are up and healthy; exit code 1 when they are down.",
    ),
    "password": Command(
        "service_commands:print_password",
        SERVICES_PANEL,
        "Print the password of the user `admin` of Airflow or MLflow.",
    ),
    "backup": Command(
        "service_commands:back_up",
        SERVICES_PANEL,
        "Write databases and files into one file; everything may run meanwhile.",
    ),
    "restore": Command(
        "service_commands:restore_backup",
        SERVICES_PANEL,
        "Make an empty home what `stockcast backup` has written.",
    ),
    "prune": Command(
        "service_commands:prune_deployment",
        SERVICES_PANEL,
        "Show what nobody needs any more, kind by kind; with --yes, remove it.",
    ),
    "airflow": Command(
        "service_commands:call_airflow",
        SERVICES_PANEL,
        "Run Airflow's own command line on this deployment, such as `airflow dags list`.",
        context={"ignore_unknown_options": True, "allow_interspersed_args": False},
    ),
    "supervise": Command(
        "service_commands:supervise_services",
        SERVICES_PANEL,
        "Run the services in the foreground until SIGTERM, as `stockcast up` does.",
        hidden=True,
    ),
    "ingest": _step("Fetch prices and store what is new."),
    "check": _step("Validate the ingested prices; quarantine tickers that break the rules."),
    "pretrain": _step("Train and fit what all stocks share."),
    "build-windows": _step("Cut prices into the datasets that networks learn and forecast from."),
    "train": _step("Train each stock's own networks, where they are missing."),
    "evaluate": _step("Measure networks and baselines on the same sessions, and record both."),
    "promote": _step("Decide whose forecast is published, and why."),
    "publish": _step("Write the forecasts with their intervals."),
    "score": _step("Compare past forecasts with the prices that followed."),
    "watch": _step("Warn where coverage, skill or the networks' inputs have drifted."),
    "report": _step("Write the day's page, and print the same figures."),
    "backtest": Command(
        "research_commands:backtest_forecasters",
        RESEARCH_PANEL,
        "Compare recipes, baselines and statistical models on many past sessions.",
    ),
    "tune": Command(
        "research_commands:tune_recipe",
        RESEARCH_PANEL,
        "Search for better hyper-parameters of a recipe (--recipe NAME).",
    ),
    "look-ahead": Command(
        "research_commands:print_look_aheads",
        RESEARCH_PANEL,
        "Let trained networks forecast their test sessions in three ways.",
    ),
    "reproduce": Command(
        "research_commands:reproduce_study",
        RESEARCH_PANEL,
        "Train a source's recipes as published, next to naive, linear and default.",
    ),
    "ablate": Command(
        "research_commands:ablate_network",
        RESEARCH_PANEL,
        "Train the FAST-NU network with more and fewer layers, and compare the errors.",
    ),
    "exercise": Command(
        "research_commands:train_on_examples",
        RESEARCH_PANEL,
        "Train the recipes that need no prices (--recipe NAME,NAME; default: all).",
    ),
    "audit": Command(
        "inspection_commands:audit_recipe",
        INSPECTION_PANEL,
        "Look for leaks: change all prices after a session, report what moves in a recipe.",
    ),
    "explain": Command(
        "inspection_commands:explain_forecast",
        INSPECTION_PANEL,
        "Show what made a published forecast; --rerun makes it again and compares every bit.",
    ),
    "inspect": Command(
        "inspection_commands:inspect_price_files",
        INSPECTION_PANEL,
        "Show what would be read of price files, and what quarantined; nothing is stored.",
        reads=("calendar",),
    ),
    "doctor": Command(
        "inspection_commands:examine_deployment",
        INSPECTION_PANEL,
        "Check configuration, databases and price source, and name what to do.",
    ),
}


class LazyCommand(TyperCommand):
    """A command of which only the help text is known until it is invoked."""

    def __init__(self, name: str, command: Command) -> None:
        super().__init__(
            name, help=command.help, hidden=command.hidden, rich_help_panel=command.panel
        )
        self._command = command

    def make_context(self, info_name: str | None, *args: Any, **extra: Any) -> Any:
        """Parse the arguments with the command itself."""
        return self._command.load(str(self.name)).make_context(info_name, *args, **extra)


def find_command(name: str) -> LazyCommand | None:
    """Return a command; underscores count as dashes."""
    name = name.replace("_", "-")
    return LazyCommand(name, COMMANDS[name]) if name in COMMANDS else None
