"""A participant on a real WebSocket, in a session that only listens."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from antiphon.clock import SystemClock
from antiphon.domain.audio import AudioFormat
from antiphon.protocols.framing import Disconnect, Message, Ping
from antiphon.protocols.pcm import PcmCodec
from antiphon.transports.participant import Departure
from antiphon.transports.read_ahead import MAX_AHEAD_SECS
from antiphon.transports.session_transport import SessionTransport
from antiphon.transports.websocket import (
    ERROR_REPLIES_PER_SEC,
    WebsocketPeer,
)
from support.live_server import serving

RATE = 16_000


class Listening(SessionTransport):
    """Stands where a session's transport is: keeps what it hears."""

    def __init__(self) -> None:
        super().__init__(
            input_sample_rate=RATE,
            output_sample_rate=RATE,
            frame_ms=20,
            lead_ms=60,
            clock=SystemClock(),
        )
        self.heard = bytearray()
        self.more = asyncio.Event()

    def input(self) -> Any:
        return self

    async def receive(self, pcm: bytes) -> None:
        self.heard += pcm
        self.more.set()

    async def heard_all(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            while len(self.heard) < size:
                self.more.clear()
                await self.more.wait()
        return bytes(self.heard)


@dataclass
class Ends:
    """Both ends of a connection."""

    client: ClientConnection
    peer: WebsocketPeer
    session: Listening
    departure: asyncio.Future[Departure]
    messages: list[Message] = field(default_factory=list)


@contextlib.asynccontextmanager
async def _connected(
    *, rate: int = RATE, outbox_bytes: int = 2_000_000, read_limit: int = 65_536
) -> AsyncIterator[Ends]:
    loop = asyncio.get_running_loop()
    met: asyncio.Future[WebsocketPeer] = loop.create_future()
    left: asyncio.Future[Departure] = loop.create_future()
    session, messages = Listening(), []

    async def on_message(peer: WebsocketPeer, message: Message) -> None:
        messages.append(message)
        if isinstance(message, Ping):
            peer.send_text(peer.codec.pong(message, 0))

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        peer = WebsocketPeer(
            participant="p",
            transport_name="pcm",
            socket=websocket,
            codec=PcmCodec(sample_rate=rate),
            wire=AudioFormat(rate),
            frame_ms=20,
            clock=SystemClock(),
            outbox_bytes=outbox_bytes,
        )
        peer.join(session)
        met.set_result(peer)
        left.set_result(await peer.run(on_message))

    app = Starlette(routes=[WebSocketRoute("/", endpoint)])
    config = uvicorn.Config(app, log_config=None, ws="websockets-sansio", lifespan="off")
    async with (
        serving(config) as port,
        connect(
            f"ws://127.0.0.1:{port}/", proxy=None, max_queue=read_limit, close_timeout=1
        ) as client,
    ):
        yield Ends(client, await met, session, left, messages)


async def _ended(ends: Ends) -> Departure:
    async with asyncio.timeout(10):
        return await ends.departure


async def test_audio_comes_in_as_sent_in_pieces_of_any_size() -> None:
    said = bytes(range(256)) * 40
    async with _connected() as ends:
        for start in range(0, len(said), 333):
            await ends.client.send(said[start : start + 333])
        assert await ends.session.heard_all(len(said)) == said


async def test_audio_goes_out_in_whole_frames_and_the_tail_is_filled_up() -> None:
    async with _connected() as ends:
        ends.peer.play(b"\1\0" * 500)
        ends.peer.finish_speech()
        frames = [await ends.client.recv() for _ in range(2)]
    assert [len(frame) for frame in frames] == [640, 640]
    assert b"".join(map(bytes, frames)) == b"\1\0" * 500 + bytes(280)


async def test_an_interruption_drops_the_part_of_a_frame_that_waited() -> None:
    async with _connected() as ends:
        ends.peer.play(b"\1\0" * 100)
        ends.peer.discard()
        ends.peer.play(b"\2\0" * 320)
        assert await ends.client.recv() == b"\2\0" * 320


async def test_another_wire_rate_is_resampled_both_ways() -> None:
    async with _connected(rate=8_000) as ends:
        await ends.client.send(bytes(8_000))
        heard = await ends.session.heard_all(15_000)
        for _ in range(10):
            ends.peer.play(bytes(640))
        frames = [await ends.client.recv() for _ in range(9)]
    assert len(heard) <= 16_000
    assert {len(frame) for frame in frames} == {320}


async def test_nonsense_is_answered_but_a_flood_of_it_is_not() -> None:
    async with _connected() as ends:
        for _ in range(50):
            await ends.client.send("{nonsense")
        await ends.client.send('{"type":"ping","timestamp":7}')
        answers = []
        while not answers or answers[-1]["type"] != "pong":
            answers.append(json.loads(await ends.client.recv()))
    errors = [answer for answer in answers if answer["type"] == "error"]
    assert 1 <= len(errors) <= 2 * ERROR_REPLIES_PER_SEC
    assert ends.messages == [Ping(7)]


async def test_a_flood_of_audio_is_read_no_faster_than_it_would_be_spoken() -> None:
    second = RATE * 2
    async with _connected() as ends:
        for _ in range(int(MAX_AHEAD_SECS) + 2):
            await ends.client.send(bytes(second))
        await ends.session.heard_all(int(MAX_AHEAD_SECS) * second)
        ahead = asyncio.get_running_loop().time()
        await ends.session.heard_all(int(MAX_AHEAD_SECS + 2) * second)
        assert asyncio.get_running_loop().time() - ahead > 1.5


async def test_a_peer_that_does_not_read_is_left_behind() -> None:
    async with _connected(outbox_bytes=64_000) as ends:
        ends.client.transport.pause_reading()
        while not ends.departure.done():
            ends.peer.play(bytes(32_000))
            await asyncio.sleep(0)
        assert (await _ended(ends)).reason == "slow_reader"
        ends.client.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            while True:
                await ends.client.recv()


@pytest.mark.parametrize(("code", "reason"), [(1000, "closed"), (1001, "closed"), (4000, "lost")])
async def test_how_the_socket_was_closed_is_how_the_participant_left(
    code: int, reason: str
) -> None:
    async with _connected() as ends:
        await ends.client.close(code)
        assert await _ended(ends) == Departure(reason, code)


@pytest.mark.parametrize(("code", "reason"), [(1000, "closed"), (4000, "lost")])
async def test_a_socket_closed_while_the_agent_speaks_is_left_as_any_other(
    code: int, reason: str
) -> None:
    async with _connected() as ends:
        closing = asyncio.ensure_future(ends.client.close(code))
        while not ends.departure.done():
            ends.peer.play(bytes(640))
            await asyncio.sleep(0)
        assert (await _ended(ends)).reason == reason
        await closing


async def test_a_lost_socket_is_no_goodbye() -> None:
    async with _connected() as ends:
        ends.client.transport.abort()
        assert (await _ended(ends)).reason == "lost"


async def test_a_goodbye_is_told_apart_from_a_close() -> None:
    async with _connected() as ends:
        await ends.client.send('{"type":"hangup","reason":"done"}')
        await ends.client.close()
        assert (await _ended(ends)).reason == "disconnect"
    assert ends.messages == [Disconnect("done")]


async def test_closing_sends_first_what_was_queued() -> None:
    async with _connected() as ends:
        for _ in range(20):
            ends.peer.play(bytes(640))
        ends.peer.close(1000, "bye")
        received = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                received.append(await ends.client.recv())
    assert len(received) == 20
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.reason == "bye"
