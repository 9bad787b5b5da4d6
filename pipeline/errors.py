"""Every error that the product raises on purpose, sorted by what the reader should do next.

    StockcastError
    ├── SettingsError            fix the configuration (exit code 2; never retried)
    │   ├── UnknownTicker            the source does not know the ticker
    │   └── StoreTooNew              upgrade this program, or name another store
    └── RunError                 the configuration is fine, the run is not (exit code 1)
        ├── TryAgain                 wait and repeat (the only branch that Airflow retries)
        │   ├── SourceUnavailable        the price source is down, or its answer makes no sense
        │   │   └── RateLimited              it asks for fewer requests
        │   ├── MachineExhausted         the disk is full, or memory or open files have run out
        │   ├── StoreUnavailable         the database cannot be reached
        │   └── TrackingUnavailable      the tracking server cannot be reached
        └── LookAtTheData            repeating gives the same; a person has to look
            ├── MalformedPrices          a file or an answer that cannot be read as prices
            ├── NotEnoughHistory         too few sessions for this recipe
            ├── NothingStored            the step that this one builds on has not run
            ├── DamagedFile              a file is not what was written; its step makes it again
            └── QualityGateFailed        the table breaks its expectations

A message is one line: the ticker and session, what happened, what was expected, and what to do.
"""

#: Characters of what a message quotes without a space.
MOST_CHARACTERS = 200


class StockcastError(Exception):
    """The root of the tree; any other error that escapes is a defect of the program.

    What a message quotes from a file or an answer is escaped where a terminal would obey it, and
    cut short in the middle where it is long.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        line = " ".join(map(_shortened, str(message).split()))
        if not line.isprintable():
            escaped = (repr(each)[1:-1] for each in line)
            line = "".join(
                own if own.isprintable() else code for own, code in zip(line, escaped, strict=True)
            )
        super().__init__(line)


def _shortened(word: str) -> str:
    half = MOST_CHARACTERS // 2
    return word if len(word) <= MOST_CHARACTERS else f"{word[:half]}...{word[-half:]}"


def unreadable_reason(error: OSError | UnicodeDecodeError) -> str:
    """Return in a few words why a text file cannot be read."""
    return f"{error.strerror}" if isinstance(error, OSError) else "it is no UTF-8"


class SettingsError(StockcastError):
    """A configuration that cannot be used."""

    exit_code = 2


class UnknownTicker(SettingsError):
    """A ticker that the source does not know, by its own answer."""


class StoreTooNew(SettingsError):
    """A store with a schema from a newer version of this program."""


class RunError(StockcastError):
    """A run that cannot go on, although its configuration is fine."""


class TryAgain(RunError):
    """An obstacle outside the program; the same call may succeed later."""


class SourceUnavailable(TryAgain):
    """A price source that does not answer, or gives an answer that looks like an outage."""


class RateLimited(SourceUnavailable):
    """A price source that asks for fewer requests."""


class MachineExhausted(TryAgain):
    """A machine without room: on its disk, in its memory, or for open files."""


class StoreUnavailable(TryAgain):
    """A database of prices and forecasts that cannot be reached."""


class TrackingUnavailable(TryAgain):
    """An MLflow that cannot be reached."""


class LookAtTheData(RunError):
    """Data that a person has to look at; repeating changes nothing."""


class MalformedPrices(LookAtTheData):
    """A file or an answer that cannot be read as a price table."""


class NotEnoughHistory(LookAtTheData):
    """Fewer sessions up to the cutoff than a recipe needs."""


class NothingStored(LookAtTheData):
    """A step without input: the step before it has not run for this session."""


class DamagedFile(LookAtTheData):
    """A file whose content is not what was written."""


class QualityGateFailed(LookAtTheData):
    """A table that breaks its expectations by more than they tolerate."""
