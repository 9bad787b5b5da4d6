"""Every error the product raises on purpose, sorted by what the reader should do next.

    StockcastError
    ├── SettingsError            fix the configuration (exit code 2; never retried)
    │   ├── UnknownTicker            the source has never heard of it
    │   └── StoreTooNew              upgrade this program, or name another store
    └── RunError                 the configuration is fine, the run is not (exit code 1)
        ├── TryAgain                 wait and repeat (the only branch Airflow retries)
        │   ├── SourceUnavailable        the price source is down or answers nonsense
        │   │   └── RateLimited              it asks us to slow down
        │   ├── StoreUnavailable         the database cannot be reached
        │   └── TrackingUnavailable      the tracking server cannot be reached
        └── LookAtTheData            repeating gives the same; a person has to look
            ├── MalformedPrices          a file or an answer that cannot be read as prices
            ├── NotEnoughHistory         too few sessions for this recipe
            ├── NothingStored            a step was asked for before the step it builds on
            └── QualityGateFailed        the table breaks its expectations

A message is one line: which ticker and session, what was expected, what came, what to do.
"""


class StockcastError(Exception):
    """Root of the tree; anything else that escapes is a defect of ours."""

    exit_code = 1


class SettingsError(StockcastError):
    """The configuration asks for something that cannot be."""

    exit_code = 2


class UnknownTicker(SettingsError):
    """The source answered, and says there is no such ticker."""


class StoreTooNew(SettingsError):
    """The store's schema was written by a newer version of this program."""


class RunError(StockcastError):
    """The configuration is fine, but this run cannot go on."""


class TryAgain(RunError):
    """Something outside is in the way; the same call may succeed later."""


class SourceUnavailable(TryAgain):
    """The price source did not answer, or its answer looks like an outage."""


class RateLimited(SourceUnavailable):
    """The price source asks for fewer requests."""


class StoreUnavailable(TryAgain):
    """The database of prices and forecasts cannot be reached."""


class TrackingUnavailable(TryAgain):
    """MLflow cannot be reached."""


class LookAtTheData(RunError):
    """Repeating changes nothing: the data have to be looked at."""


class MalformedPrices(LookAtTheData):
    """A file or an answer that cannot be read as a price table."""


class NotEnoughHistory(LookAtTheData):
    """Too few sessions up to the cutoff for what was asked."""


class NothingStored(LookAtTheData):
    """A step finds nothing to work on: the step before it has not run for this session."""


class QualityGateFailed(LookAtTheData):
    """A table breaks its expectations by more than they tolerate."""
