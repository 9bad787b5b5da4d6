"""Every setting with its default."""

from pipeline.settings import PREFIX, SETTING_GROUPS, Settings
from tests.reference_pages.markdown import table


def settings_part() -> str:
    blocks = []
    for group, names in SETTING_GROUPS.items():
        rows = []
        for name in names:
            field = Settings.model_fields[name]
            default = "" if field.default in ("", None) else f"`{field.default}`"
            rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
        blocks += [f"## {group}", table("| variable | default | what it is |", rows)]
    return "\n\n".join(blocks)
