"""What a recipe, a source or a program of one's own is made with, from its docstrings."""

import inspect
from importlib import import_module
from typing import Any

from tests.reference_pages.markdown import docstring

#: Names by the room that shows them, below the headings of the page.
SHOWN = {
    "What has been published": {"pipeline": ("forecasts",)},
    "A day from a program": {
        "pipeline.parts": ("Parts",),
        "pipeline.universes": ("Universe", "load_universes"),
        "pipeline.daily": ("plan", "run_day"),
        "pipeline.storage": ("Store",),
    },
    "A recipe": {
        "pipeline.models": ("PriceRecipe", "Stack", "FineTuning", "OnePass", "Optimiser"),
        "pipeline.models.recipe": ("Faithful",),
    },
    "How a recipe cuts and scales": {
        "pipeline.windows": (
            *("Windowing", "Split", "Fraction", "RowFraction", "Newest", "LastYear", "Since"),
            *("MinMax", "BlockMinMax", "FirstValue", "LastClose", "PreviousWindow"),
            *("ByVolatility", "ByHar", "Unscaled"),
        ),
    },
    "A source": {
        "pipeline.prices": ("Source", "RawPrices"),
    },
}


def python_part() -> str:
    blocks = []
    for title, rooms in SHOWN.items():
        blocks.append(f"## {title}")
        for room, names in rooms.items():
            module = import_module(room)
            blocks += [_described(room, name, getattr(module, name)) for name in names]
    return "\n\n".join(blocks)


def _described(room: str, name: str, shown: Any) -> str:
    blocks = [f"### {name}", f"`from {room} import {name}`", _call(name, shown)]
    blocks.append(docstring(_own_docstring(shown)))
    if inspect.isclass(shown):
        for method in _methods(shown):
            call = f"**`{name}.{method}{_signature(getattr(shown, method))}`**"
            blocks += [call, docstring(_own_docstring(getattr(shown, method)))]
    return "\n\n".join(block for block in blocks if block)


def _call(name: str, shown: Any) -> str:
    """Return how something is called, an argument a line where that is long."""
    signature = _signature(shown)
    line = f"{name}{signature}"
    if len(line) > 90:
        body = ",\n    ".join(map(str, signature.parameters.values()))
        line = f"{name}(\n    {body},\n)"
    return f"```text\n{line}\n```"


def _signature(shown: Any) -> inspect.Signature:
    signature = inspect.signature(shown)
    parameters = [
        each.replace(annotation=_plain(each.annotation), default=_short(each.default))
        for each in signature.parameters.values()
        if each.name != "self"
    ]
    returned = inspect.Signature.empty if inspect.isclass(shown) else signature.return_annotation
    return signature.replace(parameters=parameters, return_annotation=_plain(returned))


class _Named:
    """An annotation as its file writes it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _plain(annotation: Any) -> Any:
    return _Named(annotation) if isinstance(annotation, str) else annotation


def _short(default: Any) -> Any:
    """Return a default value, or `...` for one that only its code can say."""
    known = default is inspect.Parameter.empty or "<" not in repr(default)
    return default if known else _Named("...")


def _own_docstring(shown: Any) -> str:
    text = inspect.getdoc(shown) or ""
    # A dataclass without one of its own is given its signature.
    return "" if text.startswith(f"{getattr(shown, '__name__', '')}(") else text


def _methods(shown: type) -> list[str]:
    return [
        name
        for name, value in vars(shown).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, classmethod))
    ]
