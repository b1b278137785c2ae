"""Whole calls under call control: the real application, the embedded agent, a simulated exchange.

Calls that do not depend on each other run at once, so that the file is heard in tens of seconds.
"""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from antiphon.domain import events as facts
from antiphon.services.embedded.espeak import espeak_engine
from antiphon.services.embedded.tts_engine import SpeechChunk, SpeechOptions
from antiphon.sessions.session import Session
from antiphon.testing.asterisk import SimulatedChannel
from antiphon.testing.asterisk.ari import (
    ExchangeChannel,
    answers,
    busy,
    no_answer,
    rejects,
    unreachable,
)
from support.live_server import running
from support.live_sessions import fact
from support.telephone_exchange import HUMAN, Exchange, telephone_exchange

CART = Path(facts.__file__).parents[1] / "cli" / "caller" / "audio" / "what-is-in-my-cart.wav"
CART_IS_EMPTY = "Your cart is empty. You can say: add two blue mugs."
CALLBACK_PROMISED = "Nobody can take the call right now, so a person will call you back."
GREETING = "Hello, this is the shop. How can I help you?"

OUTCOMES = {
    "300": answers(after_ms=50),
    "301": busy(),
    "302": no_answer(after_ms=50_000),
    "303": rejects(),
    "304": unreachable(),
}
REASONS = {"301": "busy", "302": "no_answer", "303": "rejected", "304": "unreachable"}

pytestmark = pytest.mark.timeout(120)


def endpoint(number: str) -> str:
    return f"PJSIP/{number}@trunk"


async def asks_about_the_cart(at: Exchange, person: ExchangeChannel, session: Session) -> None:
    """Somebody asks a question and hears the answer."""
    person.say(CART)
    await fact(session, facts.ToolCallStarted, name="view_cart")
    await at.hears_speech(person)
    await fact(session, facts.TurnEnded, role="agent", text=CART_IS_EMPTY)


async def test_calls_come_in_go_out_and_are_transferred(tmp_path: Path) -> None:
    async with telephone_exchange(tmp_path, ring_timeout_secs=1) as at:
        for number, outcome in OUTCOMES.items():
            at.asterisk.script(endpoint(number), outcome)
        await asyncio.gather(
            _greeted_and_hung_up(at),
            _called_and_spoken_to(at),
            _called_in_vain(at),
            _connected(at, "401", "blind"),
            _connected(at, "402", "attended"),
            _led_back(at, "301", "blind", "busy"),
            _led_back(at, "302", "attended", "no_answer"),
        )


async def _greeted_and_hung_up(at: Exchange) -> None:
    caller, session = await at.incoming("0307777777")
    await at.hears_speech(caller)
    await fact(session, facts.TurnEnded, text=GREETING)
    await asks_about_the_cart(at, caller, session)
    [call] = [one for one in at.control.book.live if one.number == "0307777777"]
    at.asterisk.hang_up(caller.id)
    record = await at.app.ended(session.id)
    assert record["end_reason"] == "caller_hangup"
    shown = await at.call(call.id, "ended")
    assert (shown["reason"], shown["session_id"]) == ("caller_hung_up", session.id)


async def _called_and_spoken_to(at: Exchange) -> None:
    call = await at.place("300")
    callee = at.asterisk.find(endpoint("300"))
    session = await at.session_of(callee)
    await at.hears_speech(callee)
    await fact(session, facts.TurnEnded, text=GREETING)
    await asks_about_the_cart(at, callee, session)
    await at.ask(session, "end")
    shown = await at.call(call["id"], "ended")
    assert (shown["reason"], shown["session_id"]) == ("agent_left", session.id)
    assert at.asterisk.hears(callee.id) == "gone", "there is no dialplan to go on in"


async def _called_in_vain(at: Exchange) -> None:
    calls = await asyncio.gather(*(at.place(number) for number in REASONS))
    assert [one["reason"] for one in calls] == list(REASONS.values())
    assert {one["session_id"] for one in calls} == {""}, "no agent talks to nobody"


async def _connected(at: Exchange, to: str, mode: str) -> None:
    caller, session = await at.incoming()
    asking = at.ask(session, "transfer", target=to, mode=mode, announcement="Anna is on the line.")
    going = asyncio.ensure_future(asking)
    if mode == "attended":
        await at.answered(endpoint(to))
        await at.hears_speech(at.asterisk.find(endpoint(to)))
        assert at.asterisk.hears(caller.id) == "music", "the announcement is not for the caller"
    assert (await going)["connected"] is True
    target = at.asterisk.find(endpoint(to))
    assert at.asterisk.hears(caller.id) == endpoint(to)
    heard = caller.heard_in_turn
    assert heard[:3] == ["ringing", "agent", "music"]
    # Attended: the agent leaves the bridge a moment after the caller has entered it.
    assert heard[3:] in ([endpoint(to)], [f"{endpoint(to)}+agent", endpoint(to)])
    ended = await fact(session, facts.SessionEnded)
    assert (ended.reason, ended.detail) == ("transferred", to)
    at.asterisk.hang_up(caller.id)
    await at.asterisk.until(lambda: at.asterisk.hears(target.id) == "gone")


async def _led_back(at: Exchange, to: str, mode: str, reason: str) -> None:
    caller, session = await at.incoming()
    result = await at.ask(session, "transfer", target=to, mode=mode, announcement="Anna.")
    assert (result["connected"], result["reason"]) == (False, reason)
    assert result["caller_is_with_agent"] is True
    assert at.asterisk.hears(caller.id) == "agent"
    await asks_about_the_cart(at, caller, session)
    at.asterisk.hang_up(caller.id)
    assert (await at.app.ended(session.id))["end_reason"] == "caller_hangup"


def says(person: ExchangeChannel, text: str) -> None:
    """Somebody says a text, with line noise before and after it."""
    engine = espeak_engine()
    speech = bytearray()

    def take(chunk: SpeechChunk) -> bool:
        speech.extend(chunk.audio)
        return True

    engine.synthesize(text, SpeechOptions("en-us", rate_wpm=160), take)
    noise = np.random.default_rng(1).normal(0, 4, engine.sample_rate // 5).astype(np.int16)
    person.say(noise.tobytes() + bytes(speech) + noise.tobytes(), rate=engine.sample_rate)


async def test_people_take_over_call_back_or_let_wait(tmp_path: Path) -> None:
    async with telephone_exchange(tmp_path, idle_timeout_secs=2) as at:
        at.asterisk.script(HUMAN, busy())
        promised, connected = await asyncio.gather(at.incoming(), at.incoming())
        holding = asyncio.ensure_future(_held_is_not_idle(at))
        # `0` on the telephone stands for "operator please".
        at.asterisk.press(promised[0].id, "0")
        await fact(promised[1], facts.ToolCallEnded, name="transfer_to_human")
        at.asterisk.script(HUMAN, answers())
        await asyncio.gather(_promised(at, *promised), _connected_to_human(at, *connected), holding)


async def _promised(at: Exchange, caller: ExchangeChannel, session: Session) -> None:
    answer = await fact(session, facts.TurnEnded, role="agent", text=CALLBACK_PROMISED)
    assert not answer.interrupted
    assert caller.heard_in_turn == [
        "ringing",
        "agent",
        "music",
        "agent",
    ]
    await asks_about_the_cart(at, caller, session)


async def _connected_to_human(at: Exchange, caller: ExchangeChannel, session: Session) -> None:
    await fact(session, facts.TurnEnded, text=GREETING)
    says(caller, "talk to a person")
    called = await fact(session, facts.ToolCallStarted)
    assert called.name == "transfer_to_human"
    await at.answered(HUMAN)
    await at.hears_speech(at.asterisk.find(HUMAN))
    assert at.asterisk.hears(caller.id) == "music"
    await at.asterisk.until(lambda: at.asterisk.hears(caller.id) == HUMAN, 20)
    ended = await fact(session, facts.SessionEnded)
    said = [event.body for event in session.log.history if isinstance(event.body, facts.TurnEnded)]
    assert said[-1].text == "the caller asked for a person"
    assert (ended.reason, ended.detail) == ("transferred", "human")


async def _held_is_not_idle(at: Exchange) -> None:
    (held, session), (quiet, other) = await asyncio.gather(at.incoming(), at.incoming())
    await fact(session, facts.TurnEnded, text=GREETING)
    await at.ask(session, "hold")
    assert at.asterisk.hears(held.id) == "music"
    record = await at.app.ended(other.id)
    assert record["end_reason"] == "idle"
    await at.asterisk.until(lambda: at.asterisk.hears(quiet.id) == "dialplan")
    # The same limit, and the goodbye, have passed for both.
    await at.ask(session, "unhold")
    await asks_about_the_cart(at, held, session)


async def test_without_ari_a_telephone_line_is_no_call_that_can_be_controlled(
    tmp_path: Path,
) -> None:
    async with (
        running(tmp_path) as app,
        SimulatedChannel(f"ws://127.0.0.1:{app.port}/ws/asterisk") as channel,
    ):
        await channel.wait_until_speaking(within_s=15)
        session = app.server.manager.find_room(channel.channel_id)
        assert session is not None
        bodies: dict[str, Any] = {
            "transfer": {"target": "human"},
            "hold": None,
            "unhold": None,
            "dtmf": {"digits": "1"},
        }
        paths = {f"/api/v1/sessions/{session.id}/{verb}": body for verb, body in bodies.items()}
        for path, body in (paths | {"/api/v1/calls": {"to": "201"}}).items():
            reply = await app.http.post(path, json=body)
            assert (reply.status_code, reply.json()["error"]["code"]) == (409, "ari_not_configured")
        channel.press("0")
        tool = await fact(session, facts.ToolCallEnded, name="transfer_to_human")
    assert not tool.ok
