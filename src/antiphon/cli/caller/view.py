"""The live picture of a call in the terminal."""

import json
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from antiphon.cli.caller.call import Call
from antiphon.cli.caller.messages import (
    AgentText,
    Dropped,
    Heard,
    PeerError,
    ToolCall,
    Transcript,
)
from antiphon.cli.caller.report import Turn

REFRESH_PER_SECOND = 8
PROBLEMS_SHOWN = 4


class CallView:
    """Shows a call while it lasts: a context manager around it.

    On a terminal the picture is redrawn in place; elsewhere it prints one line per fact.

    Args:
        console: Where to show it; None shows nothing.
    """

    def __init__(self, console: Console | None):
        self._console = console
        self._call: Call | None = None
        self._interim = ""
        self._problems: list[str] = []
        self._live: Live | None = None
        if console is not None and console.is_terminal:
            self._live = Live(
                console=console, get_renderable=self._picture, refresh_per_second=REFRESH_PER_SECOND
            )

    def watch(self, call: Call) -> None:
        """Begin to show a call."""
        self._call = call
        if self._live is not None:
            self._live.start()

    def stop(self) -> None:
        """Leave the last picture standing."""
        if self._live is not None:
            self._live.stop()

    def on_heard(self, at_s: float, heard: Heard) -> None:
        """A fact of the call (a `Listener`)."""
        if isinstance(heard, Transcript):
            self._interim = "" if heard.final else heard.text
        elif isinstance(heard, Dropped):
            self._problems.append(f"dropped: {heard.reason}")
        elif isinstance(heard, PeerError):
            self._problems.append(f"error: {heard.message}")
        if self._live is None and self._console is not None:
            line = _line(heard)
            if line is not None:
                self._print(at_s, line)

    def note(self, text: str, style: str = "") -> None:
        """Say something about the call, where lines are printed."""
        if self._live is None and self._console is not None:
            self._print(self._call.now if self._call else 0.0, Text(text, style=style))

    def _print(self, at_s: float, line: Text) -> None:
        assert self._console is not None
        # A Text, not a string: what was said is no markup, whatever brackets it has.
        self._console.print(Text.assemble((f"{at_s:7.2f} s  ", "dim"), line))

    def _picture(self) -> RenderableType:
        call = self._call
        if call is None:
            return Text("dialling…")
        report = call.report()
        state = Text.assemble(
            ("● caller", "bold cyan" if call.speaking else "dim"),
            "   ",
            ("● agent", "bold green" if call.agent_speaking else "dim"),
            f"   {report.transport}   {call.now:5.1f} s   {self._interim}",
        )
        parts: list[RenderableType] = [state, turns_table(call.turns)]
        if self._problems:
            parts.append(Text("\n".join(self._problems[-PROBLEMS_SHOWN:]), style="red"))
        return Panel(Group(*parts), title=Text(f"call to {call.url}"), border_style="dim")


def turns_table(turns: list[Turn]) -> Table:
    """All turns: what was said, understood and answered, and how fast."""
    table = Table(box=None, expand=True, show_edge=False)
    table.add_column("#", justify="right", style="dim")
    table.add_column("caller", ratio=3)
    table.add_column("understood", ratio=3)
    table.add_column("tools", ratio=2)
    table.add_column("agent", ratio=5)
    table.add_column("answer after", justify="right")
    for turn in turns:
        table.add_row(
            Text(str(turn.number)),
            Text(turn.said),
            Text(turn.transcript),
            Text("\n".join(_tool(call) for call in turn.tool_calls)),
            Text(turn.agent_text),
            Text(latency_text(turn)),
        )
    return table


def latency_text(turn: Turn) -> str:
    """The figures of a turn, e.g. `380 ms` or `stopped after 310 ms, 420 ms`."""
    figures = []
    if turn.stop_sent_ms is not None:
        figures.append(f"stopped after {turn.stop_sent_ms:.0f} ms")
    if turn.latency_ms is not None:
        figures.append(f"{turn.latency_ms:.0f} ms")
    return ", ".join(figures)


def _tool(call: dict[str, Any]) -> str:
    arguments = call.get("arguments")
    shown = json.dumps(arguments, ensure_ascii=False) if arguments else ""
    return f"{call.get('name')} {shown}".strip()


def _line(heard: Heard) -> Text | None:
    """A fact in one line; None for those not worth one."""
    if isinstance(heard, Transcript) and heard.final:
        return Text(f"understood  {heard.text}")
    if isinstance(heard, AgentText) and heard.complete and heard.text:
        return Text(f"agent       {heard.text}")
    if isinstance(heard, ToolCall):
        shown = _tool({"name": heard.name, "arguments": heard.arguments})
        return Text(f"tool        {shown}")
    if isinstance(heard, PeerError):
        return Text(f"error       {heard.message}", style="red")
    if isinstance(heard, Dropped):
        return Text(f"dropped     {heard.reason}", style="red")
    return None
