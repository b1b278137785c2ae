"""Sessions from first contact to their end, on the real application."""

import asyncio
import json
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from antiphon.testing.asterisk import SimulatedChannel
from support.live_server import Running, running

pytestmark = pytest.mark.timeout(120)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _call_and_hang_up(app: Running, number: int) -> None:
    async with app.dial(f"/api/realtime/pipecat/ws/leak-{number}") as socket:
        first = json.loads(await socket.recv())
        await socket.send(bytes(960))
        await socket.send('{"type":"end"}')
        with pytest.raises(ConnectionClosed):
            while True:
                await socket.recv()
    assert first["type"] == "session"


async def test_nothing_outlives_its_session_after_200_calls(tmp_path: Path) -> None:
    async with running(tmp_path, session_starts_per_minute_per_address=1000) as app:
        await _ten_at_once(app, batches=5)  # what is made once and kept: database connections
        tasks, files = len(asyncio.all_tasks()), _open_files()
        await _ten_at_once(app, batches=20)
        assert len(asyncio.all_tasks()) <= tasks + 1
        assert _open_files() <= files + 3
        reasons = app.server.manager.totals.by_reason
        assert reasons == {"caller_hangup": 250}


async def _ten_at_once(app: Running, *, batches: int) -> None:
    for batch in range(batches):
        await asyncio.gather(*(_call_and_hang_up(app, 10 * batch + n) for n in range(10)))
    await _settled(app)


async def test_nothing_outlives_a_telephone_line(tmp_path: Path) -> None:
    async with running(tmp_path, session_starts_per_minute_per_address=1000) as app:
        await _lines(app, batches=2)
        tasks, files = len(asyncio.all_tasks()), _open_files()
        await _lines(app, batches=5)
        assert len(asyncio.all_tasks()) <= tasks + 1
        assert _open_files() <= files + 3
        assert app.server.manager.totals.by_reason == {"caller_hangup": 35, "connection_lost": 35}


async def _lines(app: Running, *, batches: int) -> None:
    for _ in range(batches):
        await asyncio.gather(*(_line(app, lost=number % 2 == 1) for number in range(10)))
    await _settled(app)


async def _line(app: Running, *, lost: bool) -> None:
    async with SimulatedChannel(f"ws://127.0.0.1:{app.port}/ws/asterisk", codec="slin") as channel:
        await channel.wait_for_command("START_MEDIA_BUFFERING", within_s=20)
        if lost:
            channel.abort()
        else:
            channel.hang_up()
            await channel.wait_closed()


async def _settled(app: Running) -> None:
    async with asyncio.timeout(20):
        while app.server.manager.live:
            await asyncio.sleep(0.02)
    await app.server.writer.flush()
    await asyncio.sleep(0.1)  # connections' own closing handshakes


async def test_an_abandoned_session_ends_when_nobody_comes_back(tmp_path: Path) -> None:
    async with running(tmp_path, park_timeout_secs=0.3) as app:
        async with app.browser_call("left") as (_, session_id):
            pass
        record = await app.ended(session_id)
    assert (record["state"], record["end_reason"]) == ("ended", "abandoned")


async def test_a_silent_session_is_ended_for_idleness_pings_or_not(tmp_path: Path) -> None:
    async with running(tmp_path, idle_timeout_secs=4) as app:
        async with app.dial("/ws/rustpbx") as socket:
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await socket.send('{"command":"ping","timestamp":1}')
                    await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.reason == "idle"


async def test_a_session_cannot_be_longer_than_allowed(tmp_path: Path) -> None:
    async with running(tmp_path, max_session_secs=4, idle_timeout_secs=3.5) as app:
        async with app.browser_call("long") as (socket, session_id):
            with pytest.raises(ConnectionClosed):
                while True:
                    await socket.recv()
        record = await app.ended(session_id)
    assert record["end_reason"] in ("max_duration", "idle")


async def test_a_newer_connection_replaces_the_older_in_its_room(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as app,
        app.browser_call("twice") as (old, first_id),
        app.browser_call("twice") as (_, second_id),
    ):
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await old.recv()
    assert first_id == second_id
    assert closed.value.rcvd is not None
    assert "newer connection" in closed.value.rcvd.reason


async def test_a_resume_token_finds_its_session_and_a_forged_one_does_not(tmp_path: Path) -> None:
    async with running(tmp_path) as app:
        async with app.dial("/api/realtime/pipecat/ws/tok") as socket:
            hello = json.loads(await socket.recv())
        async with app.dial(
            f"/api/realtime/pipecat/ws/other?resume={hello['resume_token']}"
        ) as socket:
            assert json.loads(await socket.recv())["session_id"] == hello["session_id"]
        forged = hello["session_id"] + "." + "0" * 64
        async with app.dial(f"/api/realtime/pipecat/ws/x?resume={forged}") as socket:
            refusal = json.loads(await socket.recv())
            assert (refusal["type"], refusal["code"]) == ("error", "unauthorized")


async def test_configure_may_come_late_and_twice(tmp_path: Path) -> None:
    async with running(tmp_path, rustpbx_configure_wait_ms=0) as app:
        async with app.dial("/ws/rustpbx") as socket:
            assert json.loads(await socket.recv())["type"] == "connected"
            for prompt in ("Be kind.", "Be brief."):
                await socket.send(
                    json.dumps(
                        {
                            "command": "configure",
                            "room_id": "late-room",
                            "system_prompt": prompt,
                            "llm_config": {"model": "gpt-4o-mini", "temperature": 0.5},
                            "stt_config": None,
                        }
                    )
                )
            configured = []
            async with asyncio.timeout(10):
                while len(configured) < 2:
                    message = await socket.recv()
                    if isinstance(message, str) and '"configured"' in message:
                        configured.append(json.loads(message))
            session = app.server.manager.find_room("late-room")
            assert session is not None
            assert session.prompt == "Be brief."
            messages = session.pipeline.context.get_messages()
            assert messages[0] == {"role": "system", "content": "Be brief."}
            bad = {"command": "configure", "llm_config": {"temperature": "hot"}}
            await socket.send(json.dumps(bad))
            async with asyncio.timeout(10):
                while True:
                    message = await socket.recv()
                    if isinstance(message, str) and '"error"' in message[:20]:
                        break
            assert "llm_config.temperature" in message
        assert [c["call_id"] for c in configured] == ["late-room", "late-room"]
