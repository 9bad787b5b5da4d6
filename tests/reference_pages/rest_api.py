"""The API of the Forecasts pages, from its own description (OpenAPI)."""

from typing import Any

from tests.reference_pages.markdown import cell, table


def rest_part() -> str:
    from pipeline.scheduling.pages import PAGES_PREFIX
    from pipeline.scheduling.pages.site import new_site

    paths = new_site().openapi()["paths"]
    asked = {path: each["get"] for path, each in paths.items() if path.startswith("/api/")}
    rows = [
        f"| `{PAGES_PREFIX}{path}` | {cell(each['summary'])} | {_names(each)} |"
        for path, each in asked.items()
    ]
    meanings = {one["name"]: one for each in asked.values() for one in _questions(each)}
    return "\n\n".join(
        [
            table("| address | what it answers | parameters |", rows),
            table(
                "| parameter | what it is |",
                [f"| `{name}` | {_meaning(one)} |" for name, one in meanings.items()],
            ),
        ]
    )


def _questions(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of an address that stand behind its `?`."""
    return [each for each in operation.get("parameters", []) if each["in"] == "query"]


def _names(operation: dict[str, Any]) -> str:
    return ", ".join(f"`{each['name']}`" for each in _questions(operation))


def _meaning(parameter: dict[str, Any]) -> str:
    text, values = parameter.get("description", ""), parameter["schema"].get("enum", [])
    if values and values[0] not in text:
        text += f" One of {', '.join(f'`{value}`' for value in values)}."
    return cell(text)
