"""The server as a process: crash, drain, limits, keys."""

import asyncio
import json
import os
import signal
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from antiphon.cli.caller.call import Call
from antiphon.cli.caller.codecs import codec_for
from antiphon.cli.caller.server_process import ServerProcess
from e2e.placing import converse, events_of, session_in

pytestmark = pytest.mark.timeout(120)


def _client(server: ServerProcess, **options: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.http_url, trust_env=False, **options)


async def test_a_killed_server_keeps_what_was_committed_and_closes_the_session(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    async with ServerProcess(data) as first, _client(first) as api:
        url = f"{first.ws_url}/api/realtime/pipecat/ws/crash"
        async with Call(url, codec_for(url)) as call:
            await call.answer()
            session = await session_in(api, "crash")
            committed = await events_of(api, session["id"])
            assert first.pid is not None
            os.kill(first.pid, signal.SIGKILL)
    async with ServerProcess(data) as second, _client(second) as api:
        found = await session_in(api, "crash")
        facts = await events_of(api, session["id"])
    assert (found["id"], found["state"], found["end_reason"]) == (session["id"], "ended", "crashed")
    assert [e["seq"] for e in facts][: len(committed)] == [e["seq"] for e in committed]
    assert facts[-1]["type"] == "session_ended"


async def test_sigterm_refuses_new_calls_says_goodbye_and_exits(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with ServerProcess(data) as server, _client(server) as api:
        url = f"{server.ws_url}/api/realtime/pipecat/ws/drain"
        async with Call(url, codec_for(url)) as call:
            await call.answer()
            assert server.pid is not None
            os.kill(server.pid, signal.SIGTERM)
            async with asyncio.timeout(10):
                while (await api.get("/api/v1/health/ready")).status_code != 503:
                    await asyncio.sleep(0.05)
            with pytest.raises(ConnectionClosed) as refused:
                async with connect(f"{server.ws_url}/ws/pcm") as late:
                    while True:
                        await late.recv()
            assert refused.value.rcvd is not None
            assert refused.value.rcvd.code == 1013
            os.kill(server.pid, signal.SIGTERM)  # do not wait for the drain time
            async with asyncio.timeout(20):
                assert await server.wait() == 0
            assert call.closed
    async with ServerProcess(data) as again, _client(again) as api:
        session = await session_in(api, "drain")
    assert session["end_reason"] == "shutdown"


async def test_limits_are_refused_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTIPHON_MAX_SESSIONS", "1")
    async with (
        ServerProcess(tmp_path / "data") as server,
        connect(f"{server.ws_url}/ws/pcm?room=one") as first,
    ):
        await first.recv()
        async with connect(f"{server.ws_url}/ws/rustpbx") as second:
            kinds = []
            with pytest.raises(ConnectionClosed) as refused:
                while True:
                    kinds.append(json.loads(await second.recv()))
        assert refused.value.rcvd is not None
        assert refused.value.rcvd.code == 1013
        assert kinds[-1]["type"] == "error"
        assert "1 sessions are taken" in kinds[-1]["message"]


async def test_with_a_key_nobody_else_gets_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("ANTIPHON_API_KEYS", key)
    async with ServerProcess(tmp_path / "data") as server, _client(server) as api:
        assert (await api.get("/api/v1/sessions")).status_code == 401
        assert (await api.get("/api/v1/sessions", headers={"X-API-Key": key})).is_success
        assert (await api.get("/health")).is_success
        reply = await api.post("/api/v1/tickets", headers={"Authorization": f"Bearer {key}"})
        ticket = reply.json()["ticket"]
        with pytest.raises(ConnectionClosed) as refused:
            async with connect(f"{server.ws_url}/api/realtime/pipecat/ws/x") as stranger:
                while True:
                    await stranger.recv()
        assert refused.value.rcvd is not None
        assert refused.value.rcvd.code == 1008
        await converse(f"{server.ws_url}/api/realtime/pipecat/ws/x?token={ticket}", [])
        with pytest.raises(ConnectionClosed) as foreign:
            async with connect(
                f"{server.ws_url}/api/realtime/pipecat/ws/x?token={key}",
                additional_headers={"Origin": "https://evil.example"},
            ) as page:
                while True:
                    await page.recv()
        assert foreign.value.rcvd is not None
        assert "Origin" in foreign.value.rcvd.reason
