"""Reads the captured traffic of a real Asterisk (`tests/captures/asterisk/*.txt`)."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path(__file__).parent.parent / "captures" / "asterisk"
LINE = re.compile(r"\[ *(\d+\.\d+)\] (.*)")


@dataclass(frozen=True, slots=True)
class Line:
    at: float
    """Seconds since the scenario began."""
    kind: Literal["command", "bytes", "event", "note"]
    """From the application: command, bytes; from Asterisk: event; anything else: note."""
    text: str


@dataclass(frozen=True, slots=True)
class Capture:
    name: str
    lines: tuple[Line, ...]

    @property
    def events(self) -> list[Line]:
        return [line for line in self.lines if line.kind == "event"]

    @property
    def closed_with(self) -> int | None:
        """The close code that Asterisk sent, if it sent one."""
        found = self.search(r"CLOSED rcvd=(\d+)")
        return int(found[1]) if found else None

    def search(self, pattern: str) -> re.Match[str] | None:
        found = (re.search(pattern, line.text) for line in self.lines if line.kind == "note")
        return next((match for match in found if match), None)


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def read(name: str) -> Capture:
    lines: list[Line] = []
    for raw in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if match := LINE.match(raw):
            lines.append(_line(float(match[1]), match[2]))
        elif lines and lines[-1].kind == "event" and not raw:
            # An error text that ends in a line feed was logged as it is.
            lines[-1] = Line(lines[-1].at, "event", lines[-1].text + "\n")
    return Capture(name, tuple(lines))


def _line(at: float, text: str) -> Line:
    if text.startswith("AST -> APP TEXT  "):
        return Line(at, "event", text.removeprefix("AST -> APP TEXT  "))
    if text.startswith("APP -> AST TEXT  "):
        return Line(at, "command", ast.literal_eval(text.removeprefix("APP -> AST TEXT  ")))
    if text.startswith("APP -> AST BIN "):
        return Line(at, "bytes", text.removeprefix("APP -> AST BIN "))
    return Line(at, "note", text)
