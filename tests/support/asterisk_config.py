"""Asterisk's configuration files as data: sections with templates, options in order, dial strings.

Source: asterisk/asterisk, `main/config.c` (`process_text_line`), `configs/samples`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

_HEADER = re.compile(r"\[([^\]]+)\]\s*(?:\(([^)]*)\))?\s*$")
_COMMENT = re.compile(r"(?<!\\);.*")


@dataclass
class Section:
    """One `[name]`; a name may come more than once in a file."""

    name: str
    is_template: bool = False
    options: list[tuple[str, str]] = field(default_factory=list)

    def get(self, key: str) -> str:
        """The last value of an option: what Asterisk uses where it takes one."""
        values = [value for name, value in self.options if name == key]
        if not values:
            raise KeyError(f"[{self.name}] has no {key}")
        return values[-1]

    @property
    def names(self) -> set[str]:
        """Names of the options."""
        return {name for name, _ in self.options}


def parse(text: str) -> list[Section]:
    """The sections of a file, templates' options copied into those that name them.

    Raises:
        ValueError: a line is neither header, option nor comment, an option stands before the first
            header, or a template does not exist (yet).
    """
    sections: list[Section] = []
    for number, raw in enumerate(re.sub(r";--.*?--;", "", text, flags=re.DOTALL).splitlines(), 1):
        line = _COMMENT.sub("", raw).replace("\\;", ";").strip()
        if not line:
            continue
        header = _HEADER.fullmatch(line)
        if header is not None:
            sections.append(_begin(sections, header[1], header[2] or "", number))
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip() or not sections:
            raise ValueError(f"line {number}: {raw!r} is no option")
        sections[-1].options.append((name.strip(), value.removeprefix(">").strip()))
    return sections


def _begin(sections: list[Section], name: str, marks: str, number: int) -> Section:
    section = Section(name)
    for mark in filter(None, (mark.strip() for mark in marks.split(","))):
        if mark == "!":
            section.is_template = True
            continue
        found = next((one for one in sections if one.name == mark), None)
        if found is None:
            raise ValueError(f"line {number}: there is no [{mark}] above")
        section.options += found.options
    return section


def load(path: Path) -> list[Section]:
    """`parse` of a file."""
    return parse(path.read_text(encoding="utf-8"))


def one(sections: list[Section], name: str) -> Section:
    """The only section of that name that is no template."""
    (found,) = [section for section in sections if section.name == name and not section.is_template]
    return found


@dataclass(frozen=True)
class Step:
    """One priority of an extension."""

    context: str
    extension: str
    label: str
    application: str
    arguments: str


_STEP = re.compile(r"([^,]+),\s*(n|\d+)(?:\(([^)]+)\))?,\s*(\w+)\((.*)\)$")


def steps(dialplan: list[Section]) -> list[Step]:
    """Every step of extensions.conf, `same` resolved.

    Raises:
        ValueError: a line is no step, an extension does not begin with 1, or `same` comes first.
    """
    found: list[Step] = []
    for section in dialplan:
        extension = ""
        for name, value in section.options:
            if section.name in ("general", "globals") or name == "include":
                continue
            match = _STEP.fullmatch(f"{extension},{value}" if name == "same" else value)
            if match is None or name not in ("exten", "same") or not match[1]:
                raise ValueError(f"[{section.name}] {name} = {value} is no step")
            if (name == "exten") != (match[2] == "1"):
                raise ValueError(f"[{section.name}] {name} = {value}: priority {match[2]}")
            extension = match[1]
            found.append(Step(section.name, extension, match[3] or "", match[4], match[5]))
    return found


def arguments(text: str) -> list[str]:
    """An application's arguments: commas inside brackets do not separate."""
    parts, depth = [""], 0
    for char in text:
        depth += (char in "({[") - (char in ")}]")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts


WITH_ARGUMENT, WITHOUT_ARGUMENT = "cdfv", "np"


def websocket_options(text: str) -> dict[str, str]:
    """Options of a WebSocket dial string by letter; empty where the letter takes no argument.

    Source: `channels/chan_websocket.c`, `AST_APP_OPTIONS(websocket_options, …)`.

    Raises:
        ValueError: an unknown letter, one that comes twice, or brackets where none or some belong.
    """
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        letter = text[at]
        end = at + 1
        if end < len(text) and text[end] == "(":
            end = _closing(text, end) + 1
        argument = text[at + 2 : end - 1]
        takes_one = letter in WITH_ARGUMENT
        if letter in found or letter not in WITH_ARGUMENT + WITHOUT_ARGUMENT:
            raise ValueError(f"{letter!r} in {text!r} is no option, or comes twice")
        if takes_one != bool(argument):
            raise ValueError(f"{letter!r} in {text!r}: brackets {'missing' if takes_one else ''}")
        found[letter] = argument
        at = end
    return found


def _closing(text: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at
    raise ValueError(f"{text!r} has an open bracket")
