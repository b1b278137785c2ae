"""`/api/v1/calls` and the telephone side of a session, on the real server and a simulated ARI."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.domain.calls import CallState
from antiphon.testing.asterisk.ari import busy
from support.live_server import Running
from telephony.exchange import SALES, Exchange, exchange

SESSIONS = "/api/v1/sessions"


@pytest.fixture
async def at(live: Running) -> AsyncIterator[Exchange]:
    """An exchange that the server controls."""
    async with exchange() as made:
        before = live.server.call_control
        live.server.call_control = made.control
        try:
            yield made
        finally:
            live.server.call_control = before


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
    live: Running, path: str, body: dict[str, Any] | None
):
    reply = await live.http.post(path, json=body)
    assert reply.status_code == 409
    error = reply.json()["error"]
    assert (error["code"], error["field"]) == ("ari_not_configured", "ari_url")
    assert all(name in error["message"] for name in ("ari_url", "ari_username", "ari_password"))


async def test_a_call_is_placed_and_its_end_is_told(live: Running, at: Exchange):
    at.asterisk.script(SALES, busy())
    reply = await live.http.post("/api/v1/calls", json={"to": "201", "variables": {"a": "1"}})
    assert reply.status_code == 202
    call = reply.json()
    assert (call["state"], call["agent"], call["direction"]) == ("dialling", "shop", "outbound")
    assert reply.headers["location"] == f"/api/v1/calls/{call['id']}"
    assert (await ended(live, call["id"]))["reason"] == "busy"


async def test_an_answered_call_meets_the_agent(live: Running, at: Exchange):
    made = (await live.http.post("/api/v1/calls", json={"to": "201", "agent": "shop"})).json()
    await at.reached(at.control.book.get(made["id"]), CallState.TALKING)
    call = (await live.http.get(f"/api/v1/calls/{made['id']}")).json()
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
    live: Running, at: Exchange, body: dict[str, Any], status: int, code: str
):
    reply = await live.http.post("/api/v1/calls", json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert at.asterisk.channels == {}


async def test_unknown_calls_and_sessions_are_not_found(live: Running, at: Exchange):
    assert (await live.http.get("/api/v1/calls/none")).status_code == 404
    assert (await live.http.post(f"{SESSIONS}/none/hold")).status_code == 404


async def test_a_session_on_no_telephone_cannot_be_held(live: Running, at: Exchange):
    async with live.browser_call("no-telephone") as (_, session_id):
        reply = await live.http.post(f"{SESSIONS}/{session_id}/hold")
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "not_an_ari_call")


async def test_a_caller_is_held_sent_tones_and_transferred(live: Running, at: Exchange):
    async with live.browser_call("telephone") as (_, session_id):
        caller, _ = await at.talking(session_id)
        url = f"{SESSIONS}/{session_id}"
        assert (await live.http.post(f"{url}/hold")).json() == {"ok": True}
        assert at.asterisk.hears(caller.id) == "music"
        assert (await live.http.post(f"{url}/unhold")).json() == {"ok": True}
        assert at.asterisk.hears(caller.id) == "agent"
        await live.http.post(f"{url}/dtmf", json={"digits": "1w#"})
        assert caller.tones == "1w#"
        at.asterisk.script("PJSIP/777@trunk", busy())
        reply = await live.http.post(f"{url}/transfer", json={"target": "777"})
        assert reply.status_code == 200
        assert reply.json() == {
            "connected": False,
            "target": "777",
            "mode": "blind",
            "reason": "busy",
            "caller_is_with_agent": True,
        }
        reply = await live.http.post(
            f"{url}/transfer",
            json={"target": "sales", "mode": "attended", "announcement": "Anna."},
        )
        assert reply.json()["connected"]
        assert at.asterisk.hears(caller.id) == SALES
        assert at.voice.said[-1] == "Anna."


async def test_calls_under_way_are_listed(live: Running, at: Exchange):
    _, call = await at.talking()
    listed = (await live.http.get("/api/v1/calls")).json()
    assert [one["id"] for one in listed] == [call.id]
    assert listed[0]["state"] == "talking"
