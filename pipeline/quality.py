"""The quality gate: runs `expectations/*.json` over a table and says which findings matter. The only great_expectations import.

The files say what a valid table is; this module derives the columns that they judge (the distance to the calendar, the size of
a jump), lets Great Expectations judge a whole shard in one call, and weighs each failing cell by its age: the same missing price is masked
when it is years old and holds the ticker back when it is from this week.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline import masking
from pipeline.errors import QualityGateFailed, SettingsError
from pipeline.prices.adjustment import adjust
from pipeline.tables import FINDINGS, PRICE_COLUMNS, PRICES, RUN_KEY

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.render import RenderedSectionContent

#: What the gate returns: `tables.FINDINGS` before the run's key is added.
COLUMNS = {name: dtype for name, dtype in FINDINGS.columns.items() if name == "ticker" or name not in RUN_KEY}
#: Findings kept per ticker and rule; the rest becomes one summary row.
MOST_FINDINGS = 200
#: Tickers from which the same fault on the same session is worth a line of its own, and those that it names.
MANY = 10
NAMED_OF_MANY = 3
#: Reasons spelled out per quarantined ticker.
MOST_REASONS = 3
#: `column` of a finding about a ticker as a whole.
WHOLE = "(all)"


@dataclass(frozen=True)
class Verdict:
    """What the gate found.

    Attributes:
        findings: `COLUMNS`; one row per failing cell.
        quarantined: ticker -> reasons in one line. Of forecasts: the tickers that must not be published.
    """

    findings: pd.DataFrame
    quarantined: dict[str, str]

    def require(self) -> None:
        """Raises `QualityGateFailed` when any ticker is quarantined, naming rule, ticker and rows."""
        broken = self.findings[self.findings["severity"] == "quarantine"].groupby("ticker")["rule"].unique()
        told = [f"{ticker} breaks {', '.join(broken[ticker])}: {reasons}" for ticker, reasons in sorted(self.quarantined.items())]
        if told:
            raise QualityGateFailed(" | ".join(told))


class Gate:
    """Checks prices on their way in and forecasts on their way out.

    Args:
        suites: the folder of prices.json and forecasts.json.
        docs: where Data Docs pages are written, one per shard; None: nowhere.
    """

    def __init__(self, suites: Path, docs: Path | None = None) -> None:
        self._suites = suites
        self._docs = docs

    @property
    def rules_hash(self) -> str:
        """Changes when the rules for prices do, or the code that they rely on."""
        parts = [self._suites / "prices.json", Path(masking.__file__), Path(__file__)]
        return hashlib.sha256(b"".join(path.read_bytes() for path in parts)).hexdigest()[:16]

    def check_prices(
        self,
        prices: pd.DataFrame,
        actions: pd.DataFrame,
        tickers: Sequence[str],
        sessions: Sequence[dt.date],
        cutoff: dt.date,
        needed_sessions: int,
        universe: str,
        write_docs: bool = True,
        others: pd.DataFrame | None = None,
    ) -> Verdict:
        """Judges a shard's prices up to the cutoff.

        Args:
            prices: PRICES as traded; rows after the cutoff or of other tickers are not looked at.
            actions: ACTIONS; likewise.
            sessions: the calendar's, up to the cutoff. What lies before the first of them is not held against the calendar.
            needed_sessions: history without which no network can be trained.
            others: PRICES of the universe's other tickers, the last few sessions: compared with for equal prices only.
        """
        suite = _load(self._suites / "prices.json")
        prices, actions = _up_to(prices, tickers, cutoff), _up_to(actions, tickers, cutoff)
        table, unusable = _price_table(prices, actions, tickers, sessions, cutoff, needed_sessions, others)
        result = _validate(table, suite)
        if write_docs and self._docs is not None:
            page = _docs_page(result, (self._suites / "data_docs.css").read_text(encoding="utf-8"))
            _write(page, self._docs / universe / cutoff.isoformat() / f"{_shard_name(tickers)}.html")
        failures = _failures(result, table)
        return _verdict(_weigh(failures, unusable, [*sessions], cutoff), cutoff)

    def check_forecasts(self, forecasts: pd.DataFrame, forecast_sessions: Sequence[dt.date]) -> Verdict:
        """Judges FORECASTS before they are published; every finding keeps its ticker back.

        Args:
            forecast_sessions: the calendar's, horizon 1 first.
        """
        table = _forecast_table(forecasts, forecast_sessions)
        failures = _failures(_validate(table, _load(self._suites / "forecasts.json")), table)
        findings = failures.assign(severity="quarantine")
        return _verdict(findings, max(forecast_sessions))


def on_one_day(findings: pd.DataFrame) -> list[str]:
    """What whole groups of tickers have on the same session, a line each, the newest first: a fault of the source, not of a stock."""
    cells = findings[findings["column"] != WHOLE]
    groups = cells.groupby(["session", "rule"])["ticker"].unique()
    return [
        f"{session:%Y-%m-%d}: {len(tickers)} tickers at once have {rule} ({', '.join(sorted(tickers)[:NAMED_OF_MANY])} ...)"
        for (session, rule), tickers in groups[groups.map(len) >= MANY].iloc[::-1].items()
    ]


# --- Great Expectations -------------------------------------------------------------------------------------------------------


def _load(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The expectations {path} cannot be read ({error.strerror}). Restore the file.") from None
    except json.JSONDecodeError as error:
        raise SettingsError(f"The expectations {path} are no JSON: {error}. Restore the file.") from None


def _validate(table: pd.DataFrame, suite: dict[str, Any]) -> ExpectationSuiteValidationResult:
    # Importing it logs hundreds of lines at INFO, so the level comes first.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as gx

    # Every rule takes the rows it is about out of the table, with all of its columns.
    used = [name for name in table.columns if name in _named_in(suite["expectations"]) or name in ("ticker", "session", "row")]
    table = table[used].astype({"ticker": "category"})
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("shard").add_dataframe_asset(suite["name"])
    batch = asset.add_batch_definition_whole_dataframe("whole").get_batch({"dataframe": table})
    expectations = gx.ExpectationSuite(name=suite["name"], expectations=suite["expectations"])
    return batch.validate(
        expectations,
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ["ticker", "session", "row"],
            "return_unexpected_index_query": False,
        },
    )


def _named_in(value: object) -> set[str]:
    """All texts within the expectations: the names of columns are among them."""
    if isinstance(value, dict):
        return set().union(*map(_named_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(_named_in, value))
    return {value} if isinstance(value, str) else set()


def _failures(result: ExpectationSuiteValidationResult, table: pd.DataFrame) -> pd.DataFrame:
    """One row per failing cell: ticker, session, column, rule, message and the rule's `meta`."""
    found = []
    for outcome in result.results:
        meta, kwargs = outcome.expectation_config.meta, outcome.expectation_config.kwargs
        _require_ran(meta["rule"], outcome.exception_info)
        rows = sorted({cell["row"] for cell in outcome.result.get("unexpected_index_list") or ()})
        for values in table.loc[rows].to_dict("records"):
            column = meta.get("column", kwargs.get("column", "session"))
            message = f"{values['session']:%Y-%m-%d}: {meta['message'].format_map(values)}"
            found.append({**values, "column": column, "rule": meta["rule"], "message": message, "meta": meta})
    return pd.DataFrame(found, columns=["ticker", "session", "column", "rule", "message", "meta"])


def _require_ran(rule: str, exceptions: dict[str, Any]) -> None:
    """Great Expectations reports an expectation that could not be run as failed without rows: here it is an error."""
    for about in [exceptions, *exceptions.values()]:
        if isinstance(about, dict) and about.get("raised_exception"):
            raise SettingsError(f"The rule {rule} cannot be run: {about['exception_message']}. Correct it in the expectations.")


#: Of a Data Docs page: what it fetches from elsewhere or leads to pages that are not written, the scripts that do nothing without it, its
#: styles, and the vendor's newsletter.
ELSEWHERE = re.compile(
    r"<(script|style|footer)\b.*?</\1>|<(link|img)\b[^>]*>|<nav class=\"navbar.*?</nav>\s*</div>\s*</nav>| (?:href=\"\.\./|onclick=\")[^\"]*\"",
    re.DOTALL,
)


def _docs_page(result: ExpectationSuiteValidationResult, style: str) -> str:
    """A Data Docs page, one file that needs nothing else: without what it would fetch, in a style of its own."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    document = ValidationResultsPageRenderer().render(result)
    document.sections.insert(1, _why(result))
    page = ELSEWHERE.sub("", DefaultJinjaPageView().render(document))
    return page.replace("</head>", f"<style>{style}</style></head>")


def _write(page: str, path: Path) -> None:
    """Aside, and then moved: shards and repeated runs never see half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)


def _why(result: ExpectationSuiteValidationResult) -> RenderedSectionContent:
    """Why each rule is there and how many cells broke it: the renderer leaves an expectation's reasons out of a result's page."""
    from great_expectations.render import RenderedHeaderContent, RenderedSectionContent, RenderedTableContent

    rules: dict[str, tuple[str, str, int]] = {}
    for outcome in result.results:
        meta = outcome.expectation_config.meta
        broken = len(outcome.result.get("unexpected_index_list") or ()) + rules.get(meta["rule"], ("", "", 0))[2]
        rules[meta["rule"]] = meta.get("severity", "quarantine"), meta["reason"], broken
    heading = RenderedHeaderContent(header="Why each rule is there")
    table = RenderedTableContent(
        header_row=["Rule", "Cells", "At worst", "Why"],
        table=[[rule, str(broken), severity, escape(reason, quote=False)] for rule, (severity, reason, broken) in rules.items()],
        styling={"body": {"classes": ["table", "table-sm"]}},
    )
    return RenderedSectionContent(section_name="Why each rule is there", content_blocks=[heading, table])


def _shard_name(tickers: Sequence[str]) -> str:
    """The ticker, or the first of several with a hash of them all: short, and the same every time."""
    if len(tickers) == 1:
        return tickers[0]
    return f"{tickers[0]}-and-{len(tickers) - 1}-more-{hashlib.sha256(','.join(tickers).encode()).hexdigest()[:8]}"


# --- weighing -----------------------------------------------------------------------------------------------------------------


def _weigh(failures: pd.DataFrame, unusable: pd.DataFrame, sessions: list[dt.date], cutoff: dt.date) -> pd.DataFrame:
    """`failures` with a `severity` each."""
    untrusted = set(zip(unusable["ticker"], unusable["session"], unusable["column"], strict=True))
    recent = [_is_recent(session, meta, sessions) for session, meta in zip(failures["session"], failures["meta"], strict=True)]
    failures = failures.assign(recent=np.array(recent, bool))
    # Several columns of one rule may fail on one session; a count of sessions is what recent_failures is about.
    counts = failures[failures["recent"]].groupby(["ticker", "rule"])["session"].nunique().to_dict()
    return failures.assign(
        severity=[
            _severity(
                failure.meta, failure.recent, counts, failure.ticker, (failure.ticker, failure.session, failure.column) in untrusted
            )
            for failure in failures.itertuples()
        ]
    )


def _is_recent(session: pd.Timestamp, meta: dict[str, Any], sessions: list[dt.date]) -> bool:
    window = meta.get("recent_sessions", 0)
    if window is None:
        return True
    return bool(window) and (len(sessions) < window or session >= pd.Timestamp(sessions[-window]))


def _severity(meta: dict[str, Any], recent: bool, counts: dict[tuple[str, str], int], ticker: str, untrusted: bool) -> str:
    if meta["severity"] == "record" or (meta["rule"] in masking.RULES and not untrusted):
        return "record"
    if recent and counts[ticker, meta["rule"]] >= meta.get("recent_failures", 1):
        return "quarantine"
    return meta.get("otherwise", "record")


CONSEQUENCES = {
    "record": "recorded",
    "mask": "masked, not used as a feature or target",
    "quarantine": "the forecast would stand on it, so the ticker is quarantined",
}


def _verdict(weighed: pd.DataFrame, cutoff: dt.date) -> Verdict:
    weighed = weighed.sort_values(["ticker", "rule", "session", "column"], kind="stable")
    weighed = weighed.drop_duplicates(["ticker", "rule", "session", "column"])
    worst = weighed[weighed["severity"] == "quarantine"].sort_values(["ticker", "session"], ascending=[True, False], kind="stable")
    quarantined = {ticker: _reasons(list(group["message"])) for ticker, group in worst.groupby("ticker")}
    findings = weighed.assign(
        message=[f"{row.ticker} {row.message}; {CONSEQUENCES[row.severity]}." for row in weighed.itertuples()]
    )
    return Verdict(_bounded(findings, cutoff), quarantined)


def _reasons(messages: list[str]) -> str:
    more = len(messages) - MOST_REASONS
    return "; ".join(messages[:MOST_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _bounded(findings: pd.DataFrame, cutoff: dt.date) -> pd.DataFrame:
    """The newest `MOST_FINDINGS` per ticker and rule, and one row that counts the rest."""
    age = findings.groupby(["ticker", "rule"]).cumcount(ascending=False)
    rest = findings[age >= MOST_FINDINGS]
    summaries = [
        {
            "ticker": ticker,
            "rule": rule,
            "severity": "mask" if (group["severity"] == "mask").any() else "record",
            "session": cutoff,
            "column": WHOLE,
            "message": f"{ticker}: {len(group)} more findings like these, the oldest of {group['session'].min():%Y-%m-%d}.",
        }
        for (ticker, rule), group in rest.groupby(["ticker", "rule"])
    ]
    kept = findings.loc[age < MOST_FINDINGS, list(COLUMNS)].astype(COLUMNS)
    return pd.concat([kept, pd.DataFrame(summaries, columns=list(COLUMNS)).astype(COLUMNS)], ignore_index=True)


# --- derived columns of prices ------------------------------------------------------------------------------------------------


def _up_to(table: pd.DataFrame, tickers: Sequence[str], cutoff: dt.date) -> pd.DataFrame:
    return table[table["ticker"].isin(tickers) & (table["session"] <= pd.Timestamp(cutoff))]


def _price_table(
    prices: pd.DataFrame,
    actions: pd.DataFrame,
    tickers: Sequence[str],
    sessions: Sequence[dt.date],
    cutoff: dt.date,
    needed_sessions: int,
    others: pd.DataFrame | None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table that prices.json judges, one row per bar and one per session without, and `masking.unusable` of it."""
    calendar = pd.DatetimeIndex(pd.to_datetime([*sessions, cutoff])).as_unit("s").unique()
    bars = prices[list(PRICES.columns)].assign(has_bar=True, in_order=_in_order(prices))
    bars["is_session"] = bars["session"].isin(calendar) | (bars["session"] < calendar[0])
    absent = _absent(bars, tickers, calendar).assign(has_bar=False, in_order=True, is_session=True)
    table = pd.concat([bars, absent]).sort_values(["ticker", "session"], kind="stable").reset_index(drop=True)

    single = bars.drop_duplicates(["ticker", "session"], keep="last")
    history = adjust(single, actions[actions["kind"] == "split"], cutoff)
    unusable = masking.unusable(history)
    dividends = _dividend_shares(prices, actions)
    copied, wrong = _cells(unusable, "copied_bar", "copied_cells"), _cells(unusable, "wrong_print", "wrong_cells")
    for derived in (copied, wrong, dividends, _jumps(masking.mask(history), dividends), _same_prices(single, others)):
        table = table.merge(derived, on=["ticker", "session"], how="left", validate="many_to_one")
    adjusted = table.merge(
        history[["ticker", "session", "close"]], on=["ticker", "session"], how="left", suffixes=("", "_adjusted")
    )
    table["close_before"] *= adjusted["close"] / adjusted["close_adjusted"]  # people read both as traded on the later day
    table = _with_history(table, needed_sessions).assign(repeats=_repeats(table), copied_beside=_copied_beside(table))
    return table.assign(row=table.index), unusable


def _in_order(prices: pd.DataFrame) -> pd.Series:
    """False where a row's session is before the ticker's row above it."""
    return ~(prices.groupby("ticker")["session"].diff() < pd.Timedelta(0))


def _absent(bars: pd.DataFrame, tickers: Sequence[str], calendar: pd.DatetimeIndex) -> pd.DataFrame:
    """The calendar's sessions without a bar, from each ticker's first bar on; of a ticker without any, the last one."""
    held = {ticker: pd.DatetimeIndex(group) for ticker, group in bars.groupby("ticker")["session"]}
    found = [PRICES.empty()[["ticker", "session"]]]
    for ticker in tickers:
        expected = calendar[calendar >= held[ticker].min()] if ticker in held else calendar[-1:]
        missing = expected.difference(held[ticker]) if ticker in held else expected
        found.append(pd.DataFrame({"ticker": ticker, "session": missing}))
    return pd.concat(found)


def _dividend_shares(prices: pd.DataFrame, actions: pd.DataFrame) -> pd.DataFrame:
    """Per (ticker, session): the dividend over the last close before it, as traded."""
    paid = actions[(actions["kind"] == "dividend") & (actions["value"] != 0)].sort_values("session")
    closes = prices.loc[prices["close"] > 0, ["ticker", "session", "close"]].sort_values("session")
    before = pd.merge_asof(paid, closes, on="session", by="ticker", allow_exact_matches=False)
    return pd.DataFrame(
        {"ticker": before["ticker"], "session": before["session"], "dividend_share": before["value"] / before["close"]}
    )


def _cells(unusable: pd.DataFrame, rule: str, name: str) -> pd.DataFrame:
    """Per (ticker, session): the columns that a rule of masking condemns."""
    chosen = unusable[unusable["rule"] == rule]
    return chosen.groupby(["ticker", "session"])["column"].agg(", ".join).rename(name).reset_index()


def _copied_beside(table: pd.DataFrame) -> pd.Series:
    """Per row, in words: how many other tickers' bars are copies on the same session."""
    others = table["copied_cells"].notna().groupby(table["session"]).sum() - 1
    told = {
        session: f", as {count} other{'s do' if count > 1 else ' does'} that day" for session, count in others[others > 0].items()
    }
    return table["session"].map(told).astype("str").fillna("")


def _jumps(trusted: pd.DataFrame, dividends: pd.DataFrame) -> pd.DataFrame:
    """Per (ticker, session): `close_before`, the last trusted one, and `jump` from it, dividends added (0.5: half as much again, or 1/1.5).

    Args:
        trusted: a masked history, adjusted for splits.
    """
    before = trusted.groupby("ticker")["close"].transform(lambda close: close.shift().ffill())
    jumps = trusted[["ticker", "session"]].assign(close_before=before, ratio=trusted["close"] / before)
    jumps = jumps.merge(dividends, on=["ticker", "session"], how="left")
    ratio = jumps["ratio"] + jumps["dividend_share"].fillna(0)
    return jumps[["ticker", "session", "close_before"]].assign(jump=np.maximum(ratio, 1 / ratio) - 1)


def _same_prices(single: pd.DataFrame, others: pd.DataFrame | None) -> pd.DataFrame:
    """Per (ticker, session): the other tickers with the same open, high, low and close."""
    bars = single if others is None else pd.concat([single, others[~others["ticker"].isin(single["ticker"].unique())]])
    bars = bars[bars[PRICE_COLUMNS].notna().all(axis=1)]
    alike = bars[bars.duplicated(["session", *PRICE_COLUMNS], keep=False)]
    names = alike.groupby(["session", *PRICE_COLUMNS])["ticker"].transform(lambda group: ", ".join(sorted(group)))
    same = [
        ", ".join(other for other in group.split(", ") if other != ticker)
        for group, ticker in zip(names, alike["ticker"], strict=True)
    ]
    return pd.DataFrame(
        {"ticker": alike["ticker"], "session": alike["session"], "same_as": pd.Series(same, index=alike.index, dtype="str")}
    )


def _repeats(table: pd.DataFrame) -> pd.Series:
    """Per row: how many sessions in a row have had the same open, high, low and close as their predecessor, this one included."""
    by_ticker = table.groupby("ticker")
    same = (table[PRICE_COLUMNS] == by_ticker[PRICE_COLUMNS].shift()).all(axis=1)
    runs = (~same).cumsum()
    return same.astype("float64").groupby(runs).cumsum()


def _with_history(table: pd.DataFrame, needed_sessions: int) -> pd.DataFrame:
    """`sessions_held` and `sessions_lacking`, on each ticker's last row only: they are about the ticker."""
    countable = table["session"].where(table["has_bar"] & table["is_session"])
    held = countable.groupby(table["ticker"]).transform("nunique").astype("float64")
    last = ~table.duplicated("ticker", keep="last")
    return table.assign(sessions_held=held.where(last), sessions_lacking=(needed_sessions - held).clip(lower=0).where(last))


# --- derived columns of forecasts ---------------------------------------------------------------------------------------------


def _forecast_table(forecasts: pd.DataFrame, forecast_sessions: Sequence[dt.date]) -> pd.DataFrame:
    expected = pd.Series({h: pd.Timestamp(session) for h, session in enumerate(forecast_sessions, start=1)})
    table = forecasts.reset_index(drop=True)
    distinct = table.groupby("ticker")["horizon"].transform("nunique")
    return table.assign(
        row=table.index,
        is_forecast_session=table["session"] == table["horizon"].map(expected),
        horizons_lacking=len(expected) - distinct,
        relative=table["y_hat"] / table["last_value"],
    )
