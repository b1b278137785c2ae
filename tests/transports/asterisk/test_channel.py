"""The order of what is written, with a socket that is held up; and the ends of a connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.clock import SystemClock
from antiphon.protocols.asterisk import AsteriskEvent, GetStatus, MarkMedia, PauseMedia
from antiphon.transports.asterisk import AsteriskWebsocketParams
from antiphon.transports.asterisk.channel import AsteriskChannel
from antiphon.transports.asterisk.connection import ConnectionEnded
from transports.asterisk.bots import noise

START = (
    "MEDIA_START connection_id:pipecat channel:WebSocket/pipecat/0x1 channel_id:17.1 "
    "format:slin16 optimal_frame_size:640 ptime:20"
)


class Held:
    """A connection whose writes wait until they are let through."""

    remote = "peer:1"
    client = None

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[str | bytes | ConnectionEnded] = asyncio.Queue()
        self.writing: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.closed: tuple[int, str] | None = None
        self.free = asyncio.Event()

    async def open(self) -> None:
        self.inbox.put_nowait(START)

    async def receive(self) -> str | bytes:
        message = await self.inbox.get()
        if isinstance(message, ConnectionEnded):
            raise message
        return message

    async def send(self, message: str | bytes) -> None:
        self.writing.put_nowait(message)
        await self.free.wait()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.closed = (code, reason)

    async def written(self) -> list[str]:
        """What was written until now, media as its length; waits until the writer rests."""
        for _ in range(50):
            await asyncio.sleep(0)
        out = []
        while not self.writing.empty():
            message = self.writing.get_nowait()
            out.append(message if isinstance(message, str) else f"{len(message)} bytes")
        return out


@contextlib.asynccontextmanager
async def running(**params: Any) -> AsyncIterator[tuple[AsteriskChannel, Held]]:
    connection = Held()
    events: list[AsteriskEvent] = []

    async def on_open() -> None:
        """Ready at once."""

    async def on_event(event: AsteriskEvent) -> None:
        events.append(event)

    async def on_media(data: bytes) -> None:
        """Nobody listens."""

    channel = AsteriskChannel(
        connection,
        params=AsteriskWebsocketParams(**params),
        clock=SystemClock(),
        started=None,
        on_open=on_open,
        on_event=on_event,
        on_media=on_media,
    )
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(channel.run())
        await channel.ready.wait()
        yield channel, connection
        run.cancel()


async def test_what_was_given_out_and_not_written_never_follows_the_flush() -> None:
    async with running() as (channel, connection):
        channel.push(noise(16_000, 1.0))
        channel.end_utterance()
        assert await connection.written() == ["START_MEDIA_BUFFERING"]  # held up in the socket
        heard = channel.interrupt()
        assert heard == 0
        new = noise(16_000, 0.1)
        channel.push(new)
        channel.end_utterance()
        connection.free.set()
        assert await connection.written() == [
            "FLUSH_MEDIA",
            "START_MEDIA_BUFFERING",
            f"{len(new)} bytes",
            "STOP_MEDIA_BUFFERING fc-6",
        ]


async def test_commands_overtake_audio_and_the_flush_overtakes_commands() -> None:
    async with running() as (channel, connection):
        channel.push(noise(16_000, 1.0))
        await connection.written()
        channel.send(MarkMedia("mine"))
        channel.interrupt()
        connection.free.set()
        assert await connection.written() == ["FLUSH_MEDIA", "MARK_MEDIA mine"]


async def test_a_status_that_was_asked_for_is_asked_before_the_next() -> None:
    """Its answer carries no id: dropping the question would shift all answers by one."""
    async with running() as (channel, connection):
        channel.send(GetStatus())
        channel.push(noise(16_000, 0.1))
        assert await connection.written() == ["START_MEDIA_BUFFERING"]
        channel.interrupt()
        connection.free.set()
        assert await connection.written() == ["FLUSH_MEDIA", "GET_STATUS"]


async def test_a_pause_is_followed_by_a_question_for_the_state() -> None:
    async with running() as (channel, connection):
        connection.free.set()
        channel.send(PauseMedia())
        assert await connection.written() == ["PAUSE_MEDIA", "GET_STATUS"]


@pytest.mark.parametrize("correlation_id", ["fc-", "fc-17"])
async def test_marks_of_the_flow_controller_are_its_own(correlation_id: str) -> None:
    async with running() as (channel, _):
        with pytest.raises(ValueError, match="flow controller"):
            channel.send(MarkMedia(correlation_id))


async def test_hanging_up_drops_what_waits_and_says_it_once() -> None:
    async with running() as (channel, connection):
        channel.push(noise(16_000, 1.0))
        await connection.written()
        channel.start_hang_up()
        channel.start_hang_up()
        channel.push(noise(16_000, 1.0))
        connection.free.set()
        assert await connection.written() == ["HANGUP"]
        connection.inbox.put_nowait(ConnectionEnded(1000))
        await channel.ended.wait()
        assert channel.departure is not None
        assert (channel.departure.reason, channel.departure.close_code) == ("hangup", 1000)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, "disconnect"), (1001, "closed"), (1006, "lost"), (1005, "lost"), (1011, "closed")],
)
async def test_how_a_call_ended(code: int, reason: str) -> None:
    async with running() as (channel, connection):
        connection.inbox.put_nowait(ConnectionEnded(code))
        await channel.ended.wait()
        assert channel.departure is not None
        assert (channel.departure.reason, channel.departure.close_code) == (reason, code)
        assert channel.interrupt() == 0  # nobody is there any more


async def test_a_peer_that_does_not_read_is_left() -> None:
    async with running(audio_out_write_timeout_secs=0.05) as (channel, _):
        channel.push(noise(16_000, 0.1))
        await channel.ended.wait()
        assert channel.departure is not None
        assert channel.departure.reason == "slow_reader"


async def test_asterisk_that_does_not_close_after_a_hang_up_is_closed_upon() -> None:
    async with running() as (channel, connection):
        connection.free.set()
        await channel.hang_up(wait_secs=0.05)
        assert connection.closed is not None
        assert connection.closed[0] == 1000
        assert channel.departure is not None
        assert channel.departure.reason == "hangup"


async def test_audio_before_media_start_goes_nowhere() -> None:
    connection = Held()
    channel = AsteriskChannel(
        connection,
        params=AsteriskWebsocketParams(),
        clock=SystemClock(),
        started=None,
        on_open=connection.open,
        on_event=lambda event: connection.open(),
        on_media=lambda data: connection.open(),
    )
    channel.push(bytes(640))
    channel.end_utterance()
    assert channel.interrupt() == 0
    assert (channel.pushed_bytes, channel.played_bytes, channel.queued_bytes) == (0, 0.0, 0.0)
    with pytest.raises(ValueError, match="MEDIA_START"):
        channel.send(MarkMedia("m"))
    await channel.hang_up(wait_secs=0)
    assert connection.closed == (1000, "")
