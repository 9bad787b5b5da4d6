"""Templates of universes: indices with their members by date, to copy and to keep up to date."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import SettingsError
from pipeline.members import REMARK

TEMPLATES_FOLDER = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class UniverseTemplate:
    """An index that a universe can be made of.

    Attributes:
        start: from when on prices are asked for: years before the first members, to learn from.
    """

    name: str
    calendar: str
    start: dt.date

    @property
    def file(self) -> Path:
        """The file of its members that comes with the program."""
        return TEMPLATES_FOLDER / f"{self.name}.csv"

    def write(self, folder: Path) -> None:
        """Copy the file of members into a folder.

        Raises:
            SettingsError: another file has its name there, or it cannot be written.
        """
        target, content = folder / self.file.name, self.file.read_bytes()
        if target.exists() and target.read_bytes() != content:
            raise SettingsError(
                f"{target} is there already, with other rows. Remove it, or go to another folder."
            )
        try:
            target.write_bytes(content)
        except OSError as error:
            raise SettingsError(
                f"{target} cannot be written ({error.strerror}). Go to another folder."
            ) from None

    def entry(self) -> str:
        """Return its entry of a universes file as TOML: dates and source first, as remarks."""
        lines = [
            *self._remarks(),
            f"[{self.name}]",
            f'calendar = "{self.calendar}"',
            'source = "yahoo"',
            f'members = "{self.file.name}"',
            "scheduled = true",
            f"start = {self.start}",
        ]
        return "\n".join(lines)

    def _remarks(self) -> list[str]:
        """Return what the head of the file says, without the licence of its rows."""
        lines = self.file.read_text(encoding="utf-8").splitlines()
        head = lines[: next(i for i, line in enumerate(lines) if not line.startswith(REMARK))]
        return head[: head.index(REMARK)] if REMARK in head else head


TEMPLATES = {
    each.name: each
    for each in (
        UniverseTemplate("dow30", "XNYS", dt.date(2011, 1, 3)),
        UniverseTemplate("nifty50", "XBOM", dt.date(2015, 1, 1)),
        UniverseTemplate("sp500", "XNYS", dt.date(2006, 1, 3)),
    )
}


def template_of(name: str) -> UniverseTemplate:
    """Return a template by name.

    Raises:
        SettingsError: there is none.
    """
    if name not in TEMPLATES:
        raise SettingsError(
            f"There is no template {name!r}. The templates are: {', '.join(TEMPLATES)} "
            "(--template)."
        )
    return TEMPLATES[name]
