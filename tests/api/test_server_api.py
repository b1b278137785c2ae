"""Agents, services, health, statistics, the dashboard, the browser's routes, and access."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from support.live_server import Running, running

KEY = "a-key-that-is-long-enough"

OPEN = ["/health", "/api/v1/health/live", "/api/v1/health/ready", "/"]
KEYED = [
    "/api/v1/sessions",
    "/api/v1/sessions/x",
    "/api/v1/sessions/x/events",
    "/api/v1/sessions/x/transcript",
    "/api/v1/agents",
    "/api/v1/agents/shop",
    "/api/v1/services",
    "/api/v1/statistics",
    "/rooms",
    "/rooms/x",
    "/api/tools",
    "/api/realtime/pipecat/sessions",
]


async def test_health_has_the_exact_shape_of_the_media_server(live: Running) -> None:
    data = (await live.http.get("/health")).json()
    assert set(data) == {"status", "timestamp", "version", "active_rooms", "active_connections"}
    assert data["status"] == "healthy"
    assert datetime.fromisoformat(data["timestamp"]).tzinfo is not None


async def test_agents_are_listed_and_shown_in_full(live: Running) -> None:
    agents = (await live.http.get("/api/v1/agents")).json()
    assert [agent["name"] for agent in agents if agent["default"]] == ["shop"]
    shop = (await live.http.get("/api/v1/agents/shop")).json()
    assert shop["name"] == "shop"
    assert shop["services"]["stt"] == [{"name": "embedded", "settings": {}}]
    missing = await live.http.get("/api/v1/agents/nobody")
    assert missing.status_code == 404
    assert "shop" in missing.json()["detail"], "the message names the agents there are"


async def test_the_catalogue_says_what_each_service_still_needs(live: Running) -> None:
    services = (await live.http.get("/api/v1/services")).json()
    by_name = {(service["kind"], service["name"]): service for service in services}
    embedded = by_name["stt", "embedded"]
    assert (embedded["installed"], embedded["configured"]) == (True, True)
    openai = by_name["llm", "openai"]
    assert openai["needs"] == ["openai_api_key"]
    assert openai["configured"] is False


async def test_tools_have_a_name_a_description_and_a_schema(live: Running) -> None:
    tools = (await live.http.get("/api/tools", params={"agent": "shop"})).json()
    names = {tool["name"] for tool in tools}
    assert {"place_order", "end_call"} <= names
    assert all(tool["description"] for tool in tools)
    assert all(tool["parameters"]["type"] == "object" for tool in tools)
    assert (await live.http.get("/api/tools", params={"agent": "none"})).status_code == 404


async def test_the_browsers_sessions_are_the_live_ones_of_its_transport(live: Running) -> None:
    path = "/api/realtime/pipecat/sessions"
    async with live.dial("/ws/pcm?rate=8000&room=phone"), live.browser_call("talk") as (_, call):
        async with asyncio.timeout(10):
            while len(live.server.manager.live) < 2:
                await asyncio.sleep(0)
        listed = (await live.http.get(path)).json()
        assert [(item["conversation_id"], item["session_id"]) for item in listed] == [
            ("talk", call)
        ]
        for session in live.server.manager.live:
            await live.http.post(f"/api/v1/sessions/{session.id}/end")
    await live.ended(call)
    assert (await live.http.get(path)).json() == []


async def test_statistics_count_what_ended(live: Running) -> None:
    before = (await live.http.get("/api/v1/statistics")).json()
    async with live.browser_call("counted") as (_, call):
        await live.http.post(f"/api/v1/sessions/{call}/end")
    await live.ended(call)
    after = (await live.http.get("/api/v1/statistics", params={"minutes": 5})).json()
    assert after["sessions"] == before["sessions"] + 1
    assert after["by_end_reason"]["operator"] == before["by_end_reason"].get("operator", 0) + 1
    assert (await live.http.get("/api/v1/statistics", params={"minutes": 0})).status_code == 422


async def test_the_dashboard_sends_statistics_every_second_and_shows_calls(live: Running) -> None:
    async with live.browser_call("shown") as (_, call), live.dial("/ws/dashboard") as board:
        async with asyncio.timeout(10):
            first, second = [json.loads(await board.recv()) for _ in range(2)]
        assert first["type"] == "statistics"
        assert call in {session["id"] for session in first["sessions"]}
        assert first["active_sessions"] == len(first["sessions"])
        assert second["timestamp"] > first["timestamp"]
        await live.http.post(f"/api/v1/sessions/{call}/end")
    await live.ended(call)


async def test_the_page_at_the_root_needs_nothing_from_elsewhere(live: Running) -> None:
    answer = await live.http.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert 'href="/docs"' in answer.text
    assert 'href="/api/v1/sessions"' in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text


async def test_readiness_says_503_without_telling_why_the_database_fails(
    live: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await live.http.get("/api/v1/health/ready")).status_code == 200

    async def fail() -> None:
        raise OSError("password=hunter2")

    monkeypatch.setattr(live.server.store, "heartbeat", fail)
    answer = await live.http.get("/api/v1/health/ready")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "database"
    assert "hunter2" not in answer.text


async def test_readiness_does_not_wait_for_a_database_that_hangs(
    live: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live.server.store, "heartbeat", asyncio.Event().wait)
    monkeypatch.setattr("antiphon.api.health.DATABASE_SECS", 0.05)
    async with asyncio.timeout(5):
        answer = await live.http.get("/api/v1/health/ready")
    assert answer.status_code == 503


async def test_without_a_key_only_health_and_the_page_answer(tmp_path: Path) -> None:
    async with running(tmp_path, api_keys=[KEY]) as live:
        for path in OPEN:
            assert (path, (await live.http.get(path)).status_code) == (path, 200)
        for path in KEYED:
            answer = await live.http.get(path)
            assert (path, answer.status_code) == (path, 401)
            assert answer.json()["error"]["code"] == "unauthorized"
        for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}):
            assert (await live.http.get("/api/v1/agents", headers=headers)).status_code == 200
        await _dashboard_wants_the_key(live)
        live.server.stop_accepting()
        drained = await live.http.get("/api/v1/health/ready")
        assert (drained.status_code, drained.json()["error"]["code"]) == (503, "draining")
        assert int(drained.headers["Retry-After"]) > 0
        assert (await live.http.get("/health")).json()["status"] == "draining"


async def _dashboard_wants_the_key(live: Running) -> None:
    async with live.dial("/ws/dashboard") as board:
        with pytest.raises(ConnectionClosed) as refused:
            await board.recv()
        assert refused.value.rcvd is not None
        assert refused.value.rcvd.code == 1008
    async with live.dial(f"/ws/dashboard?token={KEY}") as board:
        assert json.loads(await board.recv())["type"] == "statistics"


async def test_every_route_documents_its_errors_and_has_a_summary(live: Running) -> None:
    paths: dict[str, dict[str, Any]] = (await live.http.get("/openapi.json")).json()["paths"]
    for path, methods in paths.items():
        for method, route in methods.items():
            assert route.get("summary"), f"{method} {path}"
            if path not in OPEN:
                assert "401" in route["responses"], f"{method} {path}"
            if "{" in path:
                assert "404" in route["responses"], f"{method} {path}"
