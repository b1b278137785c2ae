"""Telephone keys and silence, on the real application with the embedded agent."""

import asyncio
import json
from pathlib import Path

import yaml

from antiphon.domain import events as facts
from antiphon.sessions.session import Session
from support.live_server import Running, running
from support.live_sessions import fact


async def _session(app: Running) -> Session:
    """The only session, which begins a moment after its connection."""
    async with asyncio.timeout(10):
        while not app.server.manager.live:
            await asyncio.sleep(0.01)
    [session] = app.server.manager.live
    return session


async def test_an_order_number_is_taken_by_keys(tmp_path: Path) -> None:
    async with running(tmp_path) as app, app.dial("/ws/pcm?rate=8000") as socket:
        for digit in "10423#":
            await socket.send(json.dumps({"type": "dtmf", "digit": digit}))
        called = await fact(await _session(app), facts.ToolCallStarted)
        answered = await fact(await _session(app), facts.ToolCallEnded)
    assert (called.name, called.arguments) == ("order_status", {"order_number": "10423"})
    assert answered.result["error"] == "unknown_order"


async def test_keys_without_a_hash_are_read_after_a_pause(tmp_path: Path) -> None:
    async with running(tmp_path) as app, app.dial("/ws/pcm?rate=8000") as socket:
        await socket.send('{"type":"dtmf","digit":"0"}')
        called = await fact(await _session(app), facts.ToolCallStarted)
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
        session = await _session(app)
        asked = asyncio.ensure_future(fact(session, facts.TurnEnded, 2, role="agent"))
        while not asked.done():
            await socket.send(bytes(320))
            await asyncio.sleep(0.02)
        assert (await asked).text == "Is anybody there?"
