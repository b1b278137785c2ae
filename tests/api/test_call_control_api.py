"""`/api/v1/calls` and the telephone side of a session, on the real server and a simulated ARI."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.api import call_control
from antiphon.domain.calls import CallState
from antiphon.testing.asterisk.ari import busy
from support.live_server import Running
from telephony.exchange import SALES, Exchange, exchange

SESSIONS = "/api/v1/sessions"


@pytest.fixture
def routed(live: Running) -> Running:
    """The server with these routes, whether or not it has them by itself."""
    paths = {getattr(route, "path", "") for route in live.app.routes}
    if "/api/v1/calls/{call_id}" not in paths:
        live.app.include_router(call_control.router)
    return live


@pytest.fixture
async def at(routed: Running) -> AsyncIterator[Exchange]:
    """An exchange that the server controls."""
    async with exchange() as made:
        before = getattr(routed.server, "call_control", None)
        routed.server.call_control = made.control  # type: ignore[attr-defined]
        try:
            yield made
        finally:
            routed.server.call_control = before  # type: ignore[attr-defined]


async def ended(live: Running, call_id: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while True:
            call = (await live.http.get(f"/api/v1/calls/{call_id}")).json()
            if call["state"] == "ended":
                return dict(call)
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/calls", {"to": "201"}),
        (f"{SESSIONS}/s1/transfer", {"target": "sales"}),
        (f"{SESSIONS}/s1/hold", None),
        (f"{SESSIONS}/s1/unhold", None),
        (f"{SESSIONS}/s1/dtmf", {"digits": "1"}),
    ],
)
async def test_without_ari_each_refuses_and_names_the_settings(
    routed: Running, path: str, body: dict[str, Any] | None
):
    reply = await routed.http.post(path, json=body)
    assert reply.status_code == 409
    error = reply.json()["error"]
    assert (error["code"], error["field"]) == ("ari_not_configured", "ari_url")
    assert all(name in error["message"] for name in ("ari_url", "ari_username", "ari_password"))


async def test_a_call_is_placed_and_its_end_is_told(routed: Running, at: Exchange):
    at.asterisk.script(SALES, busy())
    reply = await routed.http.post("/api/v1/calls", json={"to": "201", "variables": {"a": "1"}})
    assert reply.status_code == 202
    call = reply.json()
    assert (call["state"], call["agent"], call["direction"]) == ("dialling", "shop", "outbound")
    assert reply.headers["location"] == f"/api/v1/calls/{call['id']}"
    assert (await ended(routed, call["id"]))["reason"] == "busy"


async def test_an_answered_call_meets_the_agent(routed: Running, at: Exchange):
    made = (await routed.http.post("/api/v1/calls", json={"to": "201", "agent": "shop"})).json()
    await at.reached(at.control.book.get(made["id"]), CallState.TALKING)
    call = (await routed.http.get(f"/api/v1/calls/{made['id']}")).json()
    assert call["state"] == "talking"
    assert call["answered_at"] >= call["started_at"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"to": "1&2"}, 422, "bad_number"),
        ({"to": "1", "variables": {"a b": "1"}}, 422, "bad_variable"),
        ({"to": "1", "agent": "nobody"}, 404, "no_agent"),
    ],
)
async def test_a_call_that_cannot_be_placed_is_refused_with_its_reason(
    routed: Running, at: Exchange, body: dict[str, Any], status: int, code: str
):
    reply = await routed.http.post("/api/v1/calls", json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert at.asterisk.channels == {}


async def test_unknown_calls_and_sessions_are_not_found(routed: Running, at: Exchange):
    assert (await routed.http.get("/api/v1/calls/none")).status_code == 404
    assert (await routed.http.post(f"{SESSIONS}/none/hold")).status_code == 404


async def test_a_session_on_no_telephone_cannot_be_held(routed: Running, at: Exchange):
    async with routed.browser_call("no-telephone") as (_, session_id):
        reply = await routed.http.post(f"{SESSIONS}/{session_id}/hold")
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "not_an_ari_call")


async def test_a_caller_is_held_sent_tones_and_transferred(routed: Running, at: Exchange):
    async with routed.browser_call("telephone") as (_, session_id):
        caller, _ = await at.talking(session_id)
        url = f"{SESSIONS}/{session_id}"
        assert (await routed.http.post(f"{url}/hold")).json() == {"ok": True}
        assert at.asterisk.hears(caller.id) == "music"
        assert (await routed.http.post(f"{url}/unhold")).json() == {"ok": True}
        assert at.asterisk.hears(caller.id) == "agent"
        await routed.http.post(f"{url}/dtmf", json={"digits": "1w#"})
        assert caller.tones == "1w#"
        at.asterisk.script("PJSIP/777@trunk", busy())
        reply = await routed.http.post(f"{url}/transfer", json={"target": "777"})
        assert reply.status_code == 200
        assert reply.json() == {
            "connected": False,
            "target": "777",
            "mode": "blind",
            "reason": "busy",
            "caller_is_with_agent": True,
        }
        reply = await routed.http.post(
            f"{url}/transfer",
            json={"target": "sales", "mode": "attended", "announcement": "Anna."},
        )
        assert reply.json()["connected"]
        assert at.asterisk.hears(caller.id) == SALES
        assert at.voice.said[-1] == "Anna."
