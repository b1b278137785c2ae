"""Writes the generated pages of the documentation from the code: settings, events, errors.

.venv/bin/python scripts/reference_pages.py          # write them
.venv/bin/python scripts/reference_pages.py --check  # exit 1 when one is out of date
"""

import dataclasses
import inspect
import sys
from pathlib import Path

from antiphon import errors
from antiphon.domain.events import body_classes
from antiphon.domain.session import TRANSITIONS, EndReason
from antiphon.settings import setting_infos

DOCS = Path(__file__).parents[1] / "docs"


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def settings_page() -> str:
    """Every setting."""
    lines = [
        "# Settings",
        "",
        "In order of precedence: command line, environment, `.env`, `antiphon.toml`, defaults. The",
        "name in the table is that of `antiphon.toml`; in the environment it is `ANTIPHON_` and",
        "the name in capitals, or one of the further names listed, those of the projects that",
        "Antiphon replaces. `antiphon config` shows every effective value and where it came from.",
        "Unknown names and contradictions are refused at start, all at once.",
        "",
        "| setting | what | default | limits | also |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{info.name}` | {_cell(info.help)} | {_cell(info.default)} | {_cell(info.limits)} | "
        + ", ".join(f"`{name}`" for name in info.environment[1:])
        + " |"
        for info in setting_infos()
    ]
    return "\n".join(lines) + "\n"


def internals_page() -> str:
    """Session states, end reasons, events and errors."""
    lines = [
        "# Internals",
        "",
        "Two rivers: audio through the pipeline, facts through the event log. They meet in the",
        "session; see `ARCHITECTURE.md` in the repository for the layout of the code.",
        "",
        "## Session states",
        "",
        "| state | signal | next |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {state.value} | {signal.value} | {after.value} |"
        for (state, signal), after in TRANSITIONS.items()
    ]
    lines += ["", "## End reasons", ""]
    lines += [f"- `{reason.value}`" for reason in EndReason]
    lines += [
        "",
        "## Events",
        "",
        "Numbered within the session; transient ones go to live readers only and are not stored.",
        "",
        "| event | what | fields | stored |",
        "| --- | --- | --- | --- |",
    ]
    for kind, cls in body_classes().items():
        fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(cls))  # type: ignore[arg-type]
        stored = "no" if cls.transient else "yes"
        lines.append(f"| `{kind.value}` | {_cell(inspect.getdoc(cls))} | {fields} | {stored} |")
    lines += [
        "",
        "## Errors",
        "",
        "| code | HTTP | WebSocket close | what |",
        "| --- | --- | --- | --- |",
    ]
    for _, cls in inspect.getmembers(errors, inspect.isclass):
        if issubclass(cls, errors.AntiphonError):
            what = (inspect.getdoc(cls) or "").splitlines()[0]
            lines.append(f"| `{cls.code}` | {cls.http_status} | {cls.close_code} | {_cell(what)} |")
    return "\n".join(lines) + "\n"


PAGES = {"settings.md": settings_page, "internals.md": internals_page}


def main() -> int:
    """Write or check the pages."""
    stale = [
        name
        for name, page in PAGES.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text(encoding="utf-8") != page()
    ]
    if "--check" in sys.argv:
        sys.stdout.writelines(f"docs/{name} is out of date\n" for name in stale)
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
