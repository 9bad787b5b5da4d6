"""The tables of the store with their columns, and what stands above them in the code."""

import re

from pipeline import tables
from pipeline.tables import BACKTESTS, JOINT_PATHS, STORED, Table
from tests.documents import page
from tests.reference_pages.markdown import table

TYPES = {
    "str": "text",
    "float64": "number",
    "int64": "whole number",
    "bool": "true or false",
    tables.SESSION_DTYPE: "date",
    tables.MOMENT_DTYPE: "moment, UTC",
}


def stored_part() -> str:
    return "\n\n".join(_described(each, "##") for each in STORED)


def files_part() -> str:
    return "\n\n".join(_described(each, "###") for each in (BACKTESTS, JOINT_PATHS))


def _described(each: Table, heading: str) -> str:
    rows = [
        f"| `{name}` | {TYPES[dtype]} | {'yes' if name in each.key else ''} |"
        for name, dtype in each.columns.items()
    ]
    columns = table("| column | type | key |", rows)
    return f"{heading} {each.name}\n\n{_comment(each)}\n\n{columns}"


def _comment(each: Table) -> str:
    """Return the comment above a table in `pipeline/tables.py`."""
    name = next(name for name, value in vars(tables).items() if value is each)
    found = re.search(rf"((?:^#: .*\n)+){name} = ", page("pipeline/tables.py"), re.MULTILINE)
    assert found, f"{name} needs a comment"
    return " ".join(line.removeprefix("#: ") for line in found[1].splitlines())
