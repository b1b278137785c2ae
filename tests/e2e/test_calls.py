"""Whole calls with real audio against a real server process."""

import asyncio
import json
import os
import sqlite3

import httpx
import pytest
from websockets.asyncio.client import connect

from antiphon.cli.caller.call import Call
from antiphon.cli.caller.codecs import codec_for
from antiphon.cli.caller.server_process import ServerProcess
from e2e.placing import ORDER, converse, events_of, session_in, until_state, utterance

pytestmark = pytest.mark.timeout(180)


def _url(server: ServerProcess, transport: str, room: str) -> str:
    if transport == "browser":
        return f"{server.ws_url}/api/realtime/pipecat/ws/{room}"
    if transport == "pcm":
        return f"{server.ws_url}/ws/pcm?rate=16000&room={room}"
    return f"{server.ws_url}/ws/rustpbx"


async def _place(server: ServerProcess, transport: str, room: str) -> tuple[Call, str]:
    codec = codec_for(_url(server, transport, room))
    if transport == "rustpbx":
        room = codec.room
    call = Call(_url(server, transport, room), codec)
    async with call:
        await call.answer()
        for name in ORDER:
            await call.say(utterance(name, codec.sample_rate), name)
            await call.answer()
    return call, room


async def test_a_call_orders_two_mugs_over_each_transport(
    server: ServerProcess, api: httpx.AsyncClient
) -> None:
    # At once: conversations take their real time.
    await asyncio.gather(
        *(_order(server, api, transport) for transport in ("rustpbx", "browser", "pcm"))
    )


async def _order(server: ServerProcess, api: httpx.AsyncClient, transport: str) -> None:
    call, room = await _place(server, transport, f"order-{transport}")
    session = await session_in(api, room)
    assert session["transport"] == transport
    facts = await events_of(api, session["id"])
    heard = [e["data"]["text"] for e in facts if e["type"] == "transcript_final"]
    assert heard == [
        "what is in my cart",
        "add two blue mugs to my cart",
        "place the order",
        "yes",
    ]
    tools = [(e["data"]["name"], e["data"]["ok"]) for e in facts if e["type"] == "tool_call_ended"]
    assert tools == [
        ("view_cart", True),
        ("add_to_cart", True),
        ("view_cart", True),
        ("place_order", True),
    ]
    order = next(
        e["data"]["result"]
        for e in facts
        if e["data"].get("name") == "place_order" and e["data"].get("result")
    )
    with sqlite3.connect(server.data_dir / "shop.sqlite3") as shop:
        rows = shop.execute(
            "SELECT count(*) FROM orders WHERE number = ?", (order["order_number"],)
        ).fetchone()
    assert rows == (1,)
    transcript = (await api.get(f"/api/v1/sessions/{session['id']}/transcript?format=text")).text
    assert "add two blue mugs to my cart" in transcript
    assert "I added two blue mugs" in transcript
    assert [e["seq"] for e in facts] == sorted(e["seq"] for e in facts)
    assert sum(1 for e in facts if e["type"] == "turn_latency") == len(ORDER)
    assert call.report().dropped == []


async def test_the_agent_falls_silent_when_spoken_over(
    server: ServerProcess, api: httpx.AsyncClient
) -> None:
    await asyncio.gather(*(_barge_in(server, api, name) for name in ("rustpbx", "browser")))


async def _barge_in(server: ServerProcess, api: httpx.AsyncClient, transport: str) -> None:
    url = _url(server, transport, f"barge-{transport}")
    codec = codec_for(url)
    room = codec.room if transport == "rustpbx" else f"barge-{transport}"
    async with Call(url, codec) as call:
        turn = await call.barge_in(utterance("what-is-in-my-cart", codec.sample_rate), "over")
        await call.answer()
    assert turn.stop_sent_ms is not None
    facts = await events_of(api, (await session_in(api, room))["id"])
    kinds = [e["type"] for e in facts]
    assert "interrupted" in kinds
    cut = next(e["data"] for e in facts if e["type"] == "turn_ended" and e["data"]["interrupted"])
    assert cut["role"] == "agent"
    assert "Hello, this is the shop. How can I help you?".startswith(cut["text"])
    assert len(cut["text"]) < len("Hello, this is the shop. How can I help you?")


async def test_out_of_domain_speech_changes_nothing(
    server: ServerProcess, api: httpx.AsyncClient
) -> None:
    url = _url(server, "browser", "ood")
    call = await converse(url, ["out-of-domain"])
    facts = await events_of(api, (await session_in(api, "ood"))["id"])
    assert not [e for e in facts if e["type"] == "tool_call_started"]
    assert "did not understand" in " ".join(
        e["data"]["text"] for e in facts if e["type"] == "llm_ended"
    )
    assert call.turns[1].transcripts


async def test_ten_calls_at_once_are_all_served(
    server: ServerProcess, api: httpx.AsyncClient
) -> None:
    rooms = [f"ten-{number}" for number in range(10)]
    await asyncio.gather(
        *(converse(_url(server, "browser", room), ORDER[:2], keep_audio=False) for room in rooms)
    )
    for room in rooms:
        facts = await events_of(api, (await session_in(api, room))["id"])
        added = [
            e["data"]["result"]
            for e in facts
            if e["type"] == "tool_call_ended" and e["data"]["name"] == "add_to_cart"
        ]
        assert [result["in_cart"] for result in added] == [2], room


async def test_garbage_gets_errors_and_the_call_goes_on(server: ServerProcess) -> None:
    async with connect(_url(server, "rustpbx", ""), compression=None) as socket:
        assert json.loads(await socket.recv())["type"] == "connected"
        for rubbish in ("not json", "[1]", '{"command":"explode"}', '{"command":"audio"}'):
            await socket.send(rubbish)
        for noise in (b"", b"\1", b"\0" * 7, os.urandom(3001)):
            await socket.send(noise)
        await socket.send('{"command":"ping","timestamp":123}')
        seen = []
        async with asyncio.timeout(20):
            while not seen or seen[-1]["type"] != "pong":
                message = await socket.recv()
                if isinstance(message, str) and '"audio"' not in message[:20]:
                    seen.append(json.loads(message))
    assert len([m for m in seen if m["type"] == "error"]) == 4
    assert all(isinstance(m["timestamp"], int) for m in seen)
    assert seen[-1]["timestamp"] == 123


async def test_a_dropped_caller_comes_back_to_the_same_conversation(
    server: ServerProcess, api: httpx.AsyncClient
) -> None:
    url = _url(server, "browser", "resume")
    await converse(url, ["add-two-blue-mugs"])  # hangs up without saying goodbye
    first = await session_in(api, "resume")
    assert (await until_state(api, first["id"], "parked"))["participants"] == 0

    await converse(url, ["what-is-in-my-cart"])

    again = await session_in(api, "resume")
    assert again["id"] == first["id"]
    facts = await events_of(api, first["id"])
    kinds = [e["type"] for e in facts]
    assert kinds.count("session_started") == 1
    assert kinds.index("session_parked") < kinds.index("session_resumed")
    answers = [e["data"]["text"] for e in facts if e["type"] == "llm_ended"]
    assert "two blue mugs" in answers[-1]
    spoken = [e["data"]["text"] for e in facts if e["type"] == "turn_ended"]
    assert any("cut off" in text for text in spoken)


async def test_goodbye_ends_the_call_after_the_farewell(
    server: ServerProcess, api: httpx.AsyncClient
) -> None:
    url = _url(server, "browser", "goodbye")
    codec = codec_for(url)
    async with Call(url, codec) as call:
        await call.answer()
        await call.say(utterance("goodbye", codec.sample_rate), "goodbye")
        await call.answer()
        async with asyncio.timeout(10):
            while not call.closed:
                await asyncio.sleep(0.05)
    session = await until_state(api, (await session_in(api, "goodbye"))["id"], "ended")
    assert session["end_reason"] == "agent_hangup"
    facts = await events_of(api, session["id"])
    assert "Goodbye" in [e["data"]["text"] for e in facts if e["type"] == "turn_ended"][-1]


async def test_an_operator_speaks_interrupts_and_ends(
    server: ServerProcess, api: httpx.AsyncClient
) -> None:
    url = _url(server, "browser", "operator")
    async with Call(url, codec_for(url)) as call:
        await call.answer()
        session = await session_in(api, "operator")
        base = f"/api/v1/sessions/{session['id']}"
        assert (await api.delete(base)).status_code == 409
        assert (await api.post(f"{base}/prompt", json={"system_prompt": "Be brief."})).is_success
        assert (await api.post(f"{base}/say", json={"text": "One moment please."})).is_success
        assert (await api.post(f"{base}/interrupt")).is_success
        assert (await api.post(f"{base}/end", json={"reason": "test"})).is_success
        ended = await until_state(api, session["id"], "ended")
    assert ended["end_reason"] == "operator"
    assert (await api.post(f"{base}/say", json={"text": "too late"})).status_code == 409
    assert (await api.delete(base)).is_success
    assert (await api.get(base)).status_code == 404
