"""Data Docs: one page per shard, in one file that needs nothing else."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.quality.rules import Rule
from pipeline.quality.validation import failing_rows, rule_of
from pipeline.storage import content_digest

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.render.components import RenderedSectionContent

#: The parts of a Data Docs page that fetch something from elsewhere or lead to pages that are not
#: written, the scripts that do nothing without it, its styles, and the vendor's newsletter.
EXTERNAL_PARTS = re.compile(
    r"<(script|style|footer)\b.*?</\1>"
    r"|<(link|img)\b[^>]*>"
    r"|<nav class=\"navbar.*?</nav>\s*</div>\s*</nav>"
    r"| (?:href=\"\.\./|onclick=\")[^\"]*\"",
    re.DOTALL,
)
REASONS_HEADING = "Why each rule is there"


def render_page(result: ExpectationSuiteValidationResult, style: str) -> str:
    """Return the Data Docs page of a validation, without the parts that it would fetch.

    Args:
        style: the page's CSS.
    """
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    document = ValidationResultsPageRenderer().render(result)
    document.sections.insert(1, _reasons_section(result))
    view: Any = DefaultJinjaPageView()
    page = EXTERNAL_PARTS.sub("", view.render(document))
    return page.replace("</head>", f"<style>{style}</style></head>")


def _reasons_section(result: ExpectationSuiteValidationResult) -> RenderedSectionContent:
    """Return a table of each rule's reason and the cells that broke it.

    The renderer leaves an expectation's reasons out of a result's page.
    """
    from great_expectations.render.components import (
        RenderedHeaderContent,
        RenderedSectionContent,
        RenderedTableContent,
    )

    broken: dict[str, int] = {}
    rules: dict[str, Rule] = {}
    for outcome in result.results:
        rule = rule_of(outcome)
        broken[rule.name] = broken.get(rule.name, 0) + len(failing_rows(outcome))
        rules[rule.name] = rule
    rows = [
        [name, str(broken[name]), rule.severity, escape(rule.reason, quote=False)]
        for name, rule in rules.items()
    ]
    heading = RenderedHeaderContent(header=REASONS_HEADING)
    table = RenderedTableContent(
        header_row=["Rule", "Cells", "At worst", "Why"],
        table=rows,
        styling={"body": {"classes": ["table", "table-sm"]}},
    )
    return RenderedSectionContent(section_name=REASONS_HEADING, content_blocks=[heading, table])


def write_page(folder: Path, tickers: Sequence[str], page: str) -> None:
    """Write a shard's page under another name, and then move it.

    Shards and repeated runs never see half of one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_shard_name(tickers)}.html"
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)


def _shard_name(tickers: Sequence[str]) -> str:
    """Return the ticker, or the first of several with a hash of them all: short and stable."""
    if len(tickers) == 1:
        return tickers[0]
    digest = content_digest(",".join(tickers).encode(), 8)
    return f"{tickers[0]}-and-{len(tickers) - 1}-more-{digest}"
