"""Calls through `/ws/asterisk`: the real application, the embedded agent, a simulated channel."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from antiphon.domain import events as facts
from antiphon.sessions.session import Session
from antiphon.testing.asterisk import SimulatedAsteriskServer, SimulatedChannel
from antiphon.testing.asterisk.channel import Channel
from support.live_server import Running, running
from support.live_sessions import fact

CALLER_AUDIO = Path(facts.__file__).parents[1] / "cli" / "caller" / "audio"
CART = CALLER_AUDIO / "what-is-in-my-cart.wav"
GOODBYE = CALLER_AUDIO / "goodbye.wav"

CART_IS_EMPTY = "Your cart is empty. You can say: add two blue mugs."

FORMATS = [
    ("slin", "json"),
    ("slin12", "plain-text"),
    ("slin16", "json"),
    ("slin16", "plain-text"),
    ("slin24", "json"),
    ("slin32", "json"),
    ("slin44", "json"),
    ("slin48", "plain-text"),
    ("slin96", "json"),
    ("slin192", "json"),
    ("ulaw", "json"),
    ("ulaw", "plain-text"),
    ("alaw", "json"),
]

pytestmark = pytest.mark.timeout(120)


def dial(app: Running, query: str = "", **options: Any) -> SimulatedChannel:
    return SimulatedChannel(f"ws://127.0.0.1:{app.port}/ws/asterisk{query}", **options)


async def session_of(app: Running, channel: Channel) -> Session:
    """The channel's session, which begins a moment after its connection."""
    async with asyncio.timeout(10):
        while (session := app.server.manager.find_room(channel.channel_id)) is None:
            await asyncio.sleep(0.01)
    return session


async def greeted(app: Running, channel: Channel) -> Session:
    await channel.wait_until_speaking(within_s=15)
    await channel.wait_until_quiet()
    return await session_of(app, channel)


async def test_a_question_is_answered_at_every_rate_and_format(tmp_path: Path) -> None:
    async with running(tmp_path) as app:
        # All at once: ten calls and more on one process are part of the promise.
        answers = await asyncio.gather(*(_ask(app, codec, control) for codec, control in FORMATS))
    assert answers == [("view_cart", CART_IS_EMPTY, 0, 0)] * len(FORMATS)


async def _ask(app: Running, codec: str, control: Any) -> tuple[str, str, int, int]:
    async with dial(app, codec=codec, control=control) as channel:
        session = await greeted(app, channel)
        channel.say(CART)
        called = await fact(session, facts.ToolCallStarted)
        answer = await fact(session, facts.TurnEnded, 2, role="agent")
        channel.hang_up()
        await channel.wait_closed()
        counters = channel.model.counters
        return (
            called.name,
            answer.text,
            counters.messages_dropped,
            counters.remainder_bytes_dropped,
        )


async def test_a_caller_who_breaks_in_hears_nothing_more_and_the_record_ends_there(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as app, dial(app, codec="slin16") as channel:
        session = await greeted(app, channel)
        await session.say("one two three four five six seven eight nine ten eleven twelve. " * 5)
        await channel.wait_until_speaking()
        await asyncio.sleep(2)  # into the speech
        channel.say(CART)
        await channel.wait_for_command("FLUSH_MEDIA", within_s=10)
        flushed_at = channel.commands("FLUSH_MEDIA")[0].at
        cut = await fact(session, facts.Interrupted)
        spoken = await fact(session, facts.TurnEnded, 2)
        await fact(session, facts.ToolCallStarted)
        channel.hang_up()
        await channel.wait_closed()
        heard_secs = flushed_at - _began(channel, after=channel.heard[0].at + 3)
    assert cut.turn == spoken.turn
    assert spoken.interrupted
    words = spoken.text.split()
    # espeak-ng says these numbers at an even pace, about 2.7 words a second.
    assert 0 < len(words) < 40
    assert abs(len(words) - 2.7 * heard_secs) < 6


def _began(channel: SimulatedChannel, *, after: float) -> float:
    """When the agent began its last speech before FLUSH_MEDIA."""
    starts = channel.commands("START_MEDIA_BUFFERING")
    flushed = channel.commands("FLUSH_MEDIA")[0].at
    return max(one.at for one in starts if one.at < flushed)


async def test_an_order_number_comes_by_keys(tmp_path: Path) -> None:
    async with running(tmp_path) as app, dial(app, codec="ulaw") as channel:
        session = await session_of(app, channel)
        channel.press("10423#")
        called = await fact(session, facts.ToolCallStarted)
        keys = [e.body.digit for e in session.log.history if isinstance(e.body, facts.Dtmf)]
    assert (called.name, called.arguments) == ("order_status", {"order_number": "10423"})
    assert "".join(keys) == "10423#"


async def test_the_line_goes_after_the_goodbye_has_been_heard(tmp_path: Path) -> None:
    async with running(tmp_path) as app, dial(app, codec="slin16") as channel:
        session = await greeted(app, channel)
        channel.say(GOODBYE)
        closed = await channel.wait_closed(within_s=30)
        record = await app.ended(session.id)
        hung_up_at = channel.commands("HANGUP")[0].at
    assert (record["end_reason"], closed.code) == ("agent_hangup", 1000)
    last_words = [e.body for e in session.log.history if isinstance(e.body, facts.TurnEnded)][-1]
    assert last_words.text == "Thank you for calling. Goodbye."
    assert not last_words.interrupted
    assert channel.model.queue_length == 0
    assert channel.heard[-1].at < hung_up_at


async def test_dial_option_n_is_answered_when_the_agent_is_there(tmp_path: Path) -> None:
    async with running(tmp_path) as app, dial(app, auto_answer=False) as channel:
        await channel.wait_for_command("ANSWER", within_s=10)
        await channel.wait_until_speaking()


async def test_a_lost_line_ends_the_call(tmp_path: Path) -> None:
    async with running(tmp_path) as app:
        async with dial(app) as channel:
            session = await greeted(app, channel)
            channel.abort()
        record = await app.ended(session.id)
    assert (record["state"], record["end_reason"]) == ("ended", "connection_lost")


async def test_a_hang_up_ends_the_call(tmp_path: Path) -> None:
    async with running(tmp_path) as app:
        async with dial(app) as channel:
            session = await greeted(app, channel)
            channel.hang_up()
            await channel.wait_closed()
        record = await app.ended(session.id)
    assert record["end_reason"] == "caller_hangup"


async def test_an_operator_ends_the_call_and_the_line_with_it(tmp_path: Path) -> None:
    async with running(tmp_path) as app, dial(app) as channel:
        session = await greeted(app, channel)
        reply = await app.http.post(f"/api/v1/sessions/{session.id}/end", json={})
        assert reply.status_code in (200, 202)
        closed = await channel.wait_closed(within_s=15)
    assert (closed.code, closed.by) == (1000, "asterisk")


@pytest.mark.parametrize(
    ("query", "reason"),
    [("?agent=nobody", "no agent 'nobody'"), ("?language=xx", "no agent speaks 'xx'")],
)
async def test_a_call_for_nobody_is_closed_with_the_reason(
    tmp_path: Path, query: str, reason: str
) -> None:
    async with running(tmp_path) as app, dial(app, query) as channel:
        closed = await channel.wait_closed()
    assert (closed.code, closed.by) == (1008, "application")
    assert reason in closed.reason


async def test_parameters_fill_the_prompt_and_the_greeting(tmp_path: Path) -> None:
    agents = tmp_path / "agents"
    agents.mkdir()
    shipped = Path(facts.__file__).parents[1] / "agents"
    for source in shipped.glob("shop.*"):
        (agents / source.name.replace("shop.yaml", "named.yaml")).write_bytes(source.read_bytes())
    text = (agents / "named.yaml").read_text()
    text = text.replace("name: shop", "name: named").replace(
        "Hello, this is the shop.", "Hello {{customer}}, this is the shop."
    )
    (agents / "named.yaml").write_text(text)
    async with (
        running(tmp_path / "data", agents_dir=agents) as app,
        dial(app, "?agent=named&customer=Anna") as channel,
    ):
        session = await session_of(app, channel)
        greeting = await fact(session, facts.TurnEnded)
    assert greeting.text == "Hello Anna, this is the shop. How can I help you?"


async def test_nobody_else_can_join_a_telephone_line(tmp_path: Path) -> None:
    async with running(tmp_path) as app, dial(app) as channel:
        session = await greeted(app, channel)
        async with app.dial(f"/api/realtime/pipecat/ws/{channel.channel_id}") as other:
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await other.recv()
        assert closed.value.rcvd is not None
        assert "telephone line" in closed.value.rcvd.reason
        assert session.participants == 1


async def test_a_channel_that_waits_is_connected_to(tmp_path: Path) -> None:
    async with (
        SimulatedAsteriskServer() as asterisk,
        running(tmp_path, asterisk_media_url=f"{asterisk.url}/media") as app,
        asterisk.channel(codec="slin16", connection_id="waiting-1") as channel,
    ):
        reply = await app.http.post(
            "/api/v1/asterisk/connections",
            json={"connection_id": channel.connection_id, "agent": "shop"},
        )
        assert (reply.status_code, reply.json()["format"]) == (201, "slin16")
        session = await greeted(app, channel)
        assert session.id == reply.json()["session_id"]
        channel.say(CART)
        await fact(session, facts.ToolCallStarted)
        channel.hang_up()
        record = await app.ended(session.id)
    assert record["end_reason"] == "caller_hangup"


async def test_a_channel_that_does_not_wait_is_an_error_that_says_so(tmp_path: Path) -> None:
    async with (
        SimulatedAsteriskServer() as asterisk,
        running(tmp_path, asterisk_media_url=f"{asterisk.url}/media") as app,
    ):
        path = "/api/v1/asterisk/connections"
        reply = await app.http.post(path, json={"connection_id": "nobody"})
        bad = await app.http.post(path, json={"connection_id": "../ari"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "asterisk_unreachable")
    assert bad.status_code == 422
