"""`antiphon demo`: start a real server, call it, order two blue mugs, and check the record."""

import asyncio
import re
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from antiphon.errors import AntiphonError, InvalidRequest

if TYPE_CHECKING:
    from antiphon.cli.caller.report import CallReport

CONVERSATION = {
    "what-is-in-my-cart": "what is in my cart",
    "add-two-blue-mugs": "add two blue mugs to my cart",
    "place-the-order": "place the order",
    "yes": "yes",
}
"""Shipped utterances in order, and what must be understood."""

TRANSPORTS = ("rustpbx", "browser")


@dataclass
class DemoResult:
    """What the demo found."""

    session_id: str = ""
    report: "CallReport | None" = None
    order: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def demo(
    transport: Annotated[str, typer.Option(help="rustpbx or browser.")] = "rustpbx",
    data_dir: Annotated[
        Path | None,
        typer.Option(help="The server's data directory; by default a new one in /tmp."),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Write both sides to this stereo WAV file.")
    ] = None,
) -> None:
    """Start a server, place a call that orders two blue mugs, and show it live.

    Needs no key and no network. Exits with 1 unless everything was understood and the order is on
    the server's record.
    """
    console = Console()
    folder = data_dir or Path(tempfile.mkdtemp(prefix="antiphon-demo-"))
    try:
        result = asyncio.run(run_demo(transport, folder, console, record=record))
    except AntiphonError as exc:
        Console(stderr=True).print(Text(exc.message, style="red"))
        raise typer.Exit(1) from exc
    _print_result(result, folder, console)
    if result.problems:
        raise typer.Exit(1)


async def run_demo(
    transport: str, data_dir: Path, console: Console | None, *, record: Path | None = None
) -> DemoResult:
    """Run the whole demo.

    Raises:
        InvalidRequest: an unknown transport.
        Unavailable: the server did not start.
        CallFailed: the server's API failed.
    """
    from antiphon.cli.caller.codecs import codec_for
    from antiphon.cli.caller.evidence import CallRecord
    from antiphon.cli.caller.script import Script, run_script
    from antiphon.cli.caller.server_process import ServerProcess
    from antiphon.cli.caller.sound import shipped_audio
    from antiphon.cli.caller.view import CallView

    if transport not in TRANSPORTS:
        raise InvalidRequest(
            f"transport is {transport!r}; the demo calls by rustpbx or browser", field="transport"
        )
    script = Script(tuple(shipped_audio(name) for name in CONVERSATION), record=record)
    room = f"demo_{uuid.uuid4()}"
    if console is not None:
        console.print(Text(f"Starting a server with its data in {data_dir} …"))
    async with ServerProcess(data_dir) as server:
        url = server.ws_url + (
            "/ws/rustpbx" if transport == "rustpbx" else f"/api/realtime/pipecat/ws/{room}"
        )
        outcome = await run_script(
            script, url, codec_for(url, transport, room=room), CallView(console)
        )
        result = DemoResult(report=outcome.report)
        if outcome.error is not None:
            result.problems.append(outcome.error.message)
        api = CallRecord(server.http_url)
        try:
            session = await api.find_session(room)
            result.session_id = str(session["id"])
            events = await api.events_until_end(result.session_id)
        finally:
            await api.close()
    result.problems += misunderstood(events)
    result.order = placed_order(events)
    if not result.order:
        result.problems.append("the record has no successful place_order")
    return result


def misunderstood(events: list[dict[str, Any]]) -> list[str]:
    """Which utterances of the conversation were not understood word for word, in order."""
    heard = [
        _plain(str(event["data"].get("text", "")))
        for event in events
        if event.get("type") == "transcript_final"
    ]
    expected = list(CONVERSATION.values())
    if heard == expected:
        return []
    return [f"understood {heard}, but the caller said {expected}"]


def placed_order(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Result of the first `place_order` that succeeded; empty when none did."""
    for event in events:
        data = event.get("data", {})
        if event.get("type") != "tool_call_ended" or data.get("name") != "place_order":
            continue
        result = data.get("result")
        if data.get("ok") and isinstance(result, dict) and result.get("ok", True):
            return dict(result)
    return {}


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def _print_result(result: DemoResult, data_dir: Path, console: Console) -> None:
    console.print()
    if result.order:
        console.print(Text(f"Order on record: {result.order}"))
    console.print(Text(f"Session {result.session_id}; its record is in {data_dir}"))
    if result.session_id:
        see = f"antiphon serve --data-dir {data_dir}, then GET /api/v1/sessions/{result.session_id}"
        console.print(Text(f"See it with: {see}"))
    for problem in result.problems:
        console.print(Text(problem, style="red"))
    console.print("[red]The demo failed.[/]" if result.problems else "[green]All is well.[/]")
