"""Telephone keys and silence, on the real application with the embedded agent."""

import asyncio
import json
from pathlib import Path
from typing import Any

import yaml

from antiphon.domain import events as facts
from antiphon.domain.events import EventBody
from antiphon.sessions.session import Session
from support.live_server import Running, running


async def _session(app: Running) -> Session:
    """The only session, which begins a moment after its connection."""
    async with asyncio.timeout(10):
        while not app.server.manager.live:
            await asyncio.sleep(0.01)
    [session] = app.server.manager.live
    return session


async def _fact(app: Running, kind: type[EventBody]) -> Any:
    """The first fact of a kind in the only session."""
    session = await _session(app)
    with session.log.read(from_start=True) as reader:
        async with asyncio.timeout(20):
            async for event in reader:
                if isinstance(event.body, kind):
                    return event.body
    raise AssertionError(f"the session ended without {kind.__name__}")


async def test_an_order_number_is_taken_by_keys(tmp_path: Path) -> None:
    async with running(tmp_path) as app, app.dial("/ws/pcm?rate=8000") as socket:
        for digit in "10423#":
            await socket.send(json.dumps({"type": "dtmf", "digit": digit}))
        called = await _fact(app, facts.ToolCallStarted)
        answered = await _fact(app, facts.ToolCallEnded)
    assert (called.name, called.arguments) == ("order_status", {"order_number": "10423"})
    assert answered.result["error"] == "unknown_order"


async def test_keys_without_a_hash_are_read_after_a_pause(tmp_path: Path) -> None:
    async with running(tmp_path) as app, app.dial("/ws/pcm?rate=8000") as socket:
        await socket.send('{"type":"dtmf","digit":"0"}')
        called = await _fact(app, facts.ToolCallStarted)
    assert called.name == "transfer_to_human"


async def test_a_silent_caller_is_asked_whether_they_are_there(tmp_path: Path) -> None:
    agent = {
        "name": "patient",
        "greeting": "Hello.",
        "idle_phrase": "Is anybody there?",
        "tools": ["shop", "call"],
        "turns": {"user_idle_secs": 0.5},
        "dialogue": {"sentences": "shop.sentences.yaml", "responses": "shop.responses.yaml"},
    }
    agents = tmp_path / "agents"
    agents.mkdir()
    (agents / "patient.yaml").write_text(yaml.safe_dump(agent))
    shipped = Path(facts.__file__).parents[1] / "agents"
    for name in ("shop.sentences.yaml", "shop.responses.yaml", "shop.catalogue.yaml"):
        (agents / name).write_bytes((shipped / name).read_bytes())
    async with (
        running(tmp_path / "data", agents_dir=agents, agent="patient") as app,
        app.dial("/ws/pcm?rate=8000") as socket,
    ):
        asked = asyncio.ensure_future(_asked(app))
        while not asked.done():
            await socket.send(bytes(320))
            await asyncio.sleep(0.02)
        assert await asked == "Is anybody there?"


async def _asked(app: Running) -> str:
    session = await _session(app)
    said: list[str] = []
    with session.log.read(from_start=True) as reader:
        async with asyncio.timeout(20):
            async for event in reader:
                if isinstance(event.body, facts.TurnEnded) and event.body.role == "agent":
                    said.append(event.body.text)
                    if len(said) == 2:
                        return said[1]
    raise AssertionError(f"the session ended after {said}")
