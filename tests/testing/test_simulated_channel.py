"""The simulated channel against small applications on real sockets."""

import asyncio
import base64
import json
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from antiphon.testing.asterisk import (
    CallOver,
    DialFailed,
    Network,
    SimulatedAsteriskServer,
    SimulatedChannel,
)

App = Callable[[ServerConnection], Awaitable[None]]
MEDIA = [Subprotocol("media")]


@asynccontextmanager
async def running(app: App, **options: object) -> AsyncIterator[str]:
    """The address of an application that takes Asterisk's calls."""
    settings = {"subprotocols": MEDIA, "compression": None, "ping_interval": None, **options}
    async with serve(app, "127.0.0.1", 0, **settings) as server:  # type: ignore[arg-type]
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/asterisk"


async def echo(connection: Connection) -> None:
    """Plays back whole what it hears."""
    try:
        async for message in connection:
            if isinstance(message, bytes):
                await connection.send(message)
    except ConnectionClosed:
        pass


async def listen(connection: Connection) -> None:
    """Hears and says nothing."""
    try:
        async for _ in connection:
            pass
    except ConnectionClosed:
        pass


def tone(seconds: float, rate: int, hz: float = 440.0) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return (8_000 * np.sin(2 * np.pi * hz * time)).astype(np.int16)


def command(name: str, *, as_json: bool, correlation_id: str = "") -> str:
    if not as_json:
        return f"{name} {correlation_id}".strip()
    argument = {"correlation_id": correlation_id} if correlation_id else {}
    return json.dumps({"command": name, **argument})


@pytest.mark.parametrize("control", ["json", "plain-text"])
@pytest.mark.parametrize("codec", ["slin", "slin16", "slin48", "ulaw", "alaw"])
async def test_an_echo_comes_back_bit_exact_in_real_time(codec: str, control: str) -> None:
    async with (
        running(echo) as url,
        SimulatedChannel(url, codec=codec, control=control, send_silence=False) as channel,  # type: ignore[arg-type]
    ):
        assert channel.model is not None
        speech = tone(0.3, 8_000)
        channel.say(speech, rate=8_000)
        said = bytes(channel._speech)
        whole = len(said) - len(said) % channel.model.frame_bytes
        await channel.wait_for(lambda: len(channel.heard_bytes) >= whole, what="the echo")
        assert channel.heard_bytes == said[:whole]
        assert b"".join(frame.data for frame in channel.sent)[:whole] == said[:whole]
        steps = np.diff([frame.at for frame in channel.heard])
        assert steps.min() > 0.0199  # Never faster than real time, all at ticks of the player.
        assert steps / 0.02 == pytest.approx(np.round(steps / 0.02), abs=1e-3)
        assert all(one.at <= two.at for one, two in zip(channel.sent, channel.heard, strict=False))
        start = channel.events("MEDIA_START")[0]
        assert start.fields["format"] == codec
        assert int(start.fields["optimal_frame_size"]) == channel.model.frame_bytes
    assert channel.closed is not None
    assert (channel.closed.code, channel.closed.by) == (1000, "asterisk")


@pytest.mark.parametrize("as_json", [True, False])
async def test_marks_buffering_status_and_hang_up(as_json: bool) -> None:
    """The scenario of `tonebulk_*`, shorter: 5.2 frames in messages of an odd size."""
    got: list[str] = []

    async def app(connection: ServerConnection) -> None:
        for name in ("REPORT_QUEUE_DRAINED", "START_MEDIA_BUFFERING"):
            await connection.send(command(name, as_json=as_json))
        audio = bytes(range(1, 256)) * 13
        for start in range(0, 3328 - 16, 1000):
            await connection.send(audio[start : min(start + 1000, 3312)])
        await connection.send(command("MARK_MEDIA", as_json=as_json, correlation_id="m1"))
        await connection.send(command("STOP_MEDIA_BUFFERING", as_json=as_json, correlation_id="r"))
        await connection.send(command("GET_STATUS", as_json=as_json))
        async for message in connection:
            if isinstance(message, str):
                got.append(message)
                if "QUEUE_DRAINED" in message:
                    await connection.send(command("HANGUP", as_json=as_json))

    control = "json" if as_json else "plain-text"
    async with running(app) as url, SimulatedChannel(url, control=control) as channel:  # type: ignore[arg-type]
        closed = await channel.wait_closed()
    assert [message.name for message in channel.messages if message.by == "asterisk"] == [
        "MEDIA_START",
        "STATUS",
        "MEDIA_MARK_PROCESSED",
        "MEDIA_BUFFERING_COMPLETED",
        "QUEUE_DRAINED",
    ]
    assert got == [message.text for message in channel.messages if message.by == "asterisk"]
    assert int(channel.events("STATUS")[0].fields["queue_length"]) == 6
    assert channel.events("MEDIA_MARK_PROCESSED")[0].fields["correlation_id"] == "m1"
    assert len(channel.heard) == 6
    assert channel.heard_bytes == (bytes(range(1, 256)) * 13)[:3312].ljust(6 * 640, b"\0")
    assert (closed.code, closed.by) == (1000, "asterisk")


async def test_the_request_is_asterisks(tmp_path: Path) -> None:
    seen: list[Request] = []

    async def app(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request)
        await listen(connection)

    parameters = {"agent": "shop", "language": "en us"}
    async with (
        running(app) as url,
        SimulatedChannel(url, parameters=parameters, username="asterisk", password="s3cret"),
    ):
        pass
    headers = seen[0].headers
    assert seen[0].path == "/ws/asterisk?agent=shop&language=en%20us"
    assert headers["Sec-WebSocket-Protocol"] == "media"
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"asterisk:s3cret"
    assert "Sec-WebSocket-Extensions" not in headers
    assert "User-Agent" not in headers


@pytest.mark.parametrize(("status", "reason"), [(401, "Unauthorized"), (404, "URL not found")])
async def test_a_refused_call_fails_after_two_attempts(status: int, reason: str) -> None:
    attempts: list[str] = []

    def refuse(connection: ServerConnection, request: Request) -> Response:
        attempts.append(request.path)
        return connection.respond(HTTPStatus(status), "no\n")

    async with running(listen, process_request=refuse) as url:
        with pytest.raises(DialFailed) as failed:
            async with SimulatedChannel(url, retry_delay_s=0.01):
                pytest.fail("the call was taken")
    assert len(attempts) == failed.value.attempts == 2
    assert failed.value.reason == reason


async def test_another_subprotocol_is_refused_and_none_at_all_is_taken() -> None:
    def other(connection: ServerConnection, offered: object) -> Subprotocol:
        return Subprotocol("other")

    async with running(listen, select_subprotocol=other) as url:
        with pytest.raises(DialFailed, match="Header mismatch"):
            async with SimulatedChannel(url, attempts=1):
                pytest.fail("the call was taken")
    async with running(listen, subprotocols=None) as url, SimulatedChannel(url) as channel:
        assert channel.closed is None


async def test_an_application_too_slow_to_take_the_call_and_one_that_is_not_there() -> None:
    released = asyncio.Event()

    async def wait(connection: ServerConnection, request: Request) -> None:
        await released.wait()

    async with running(listen, process_request=wait) as url:
        with pytest.raises(DialFailed, match="Client start error"):
            async with SimulatedChannel(url, attempts=1, connect_timeout_s=0.05):
                pytest.fail("the call was taken")
        released.set()
    with pytest.raises(DialFailed, match="Client start error"):
        async with SimulatedChannel(url, attempts=2, retry_delay_s=0.01):
            pytest.fail("the call was taken")


@pytest.mark.parametrize("code", [1000, 1011])
async def test_the_application_closes(code: int) -> None:
    async def app(connection: ServerConnection) -> None:
        await connection.close(code, "bye")

    async with running(app) as url, SimulatedChannel(url) as channel:
        closed = await channel.wait_closed()
    assert (closed.code, closed.by, closed.reason) == (code, "application", "bye")


async def test_a_lost_socket_either_side() -> None:
    ended: asyncio.Queue[int | None] = asyncio.Queue()

    async def app(connection: ServerConnection) -> None:
        await listen(connection)
        ended.put_nowait(connection.close_code)

    async with running(app) as url, SimulatedChannel(url) as channel:
        channel.abort()
        assert await ended.get() == 1006
        assert (await channel.wait_closed()).by == "lost"

    async def dies(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with running(dies) as url, SimulatedChannel(url) as channel:
        closed = await channel.wait_closed()
        assert (closed.by, closed.code) == ("lost", 1006)
        with pytest.raises(CallOver, match="the call ended before"):
            await channel.wait_for_event("QUEUE_DRAINED")


async def test_a_message_too_long_closes_with_1009() -> None:
    """`maxsize_json`: 65,531 bytes are taken, 65,532 close the call."""
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def app(connection: ServerConnection) -> None:
        await connection.send(bytes(65_531))
        await connection.send(bytes(65_532))
        await listen(connection)
        codes.put_nowait(connection.close_code)

    async with running(app) as url, SimulatedChannel(url) as channel:
        assert (await channel.wait_closed()).code == 1009
        assert await codes.get() == 1009
    assert channel.model is not None
    assert channel.model.counters.frames_queued == 102


async def test_keys_and_hang_up_reach_the_application() -> None:
    got: asyncio.Queue[str | None] = asyncio.Queue()

    async def app(connection: ServerConnection) -> None:
        async for message in connection:
            if isinstance(message, str):
                got.put_nowait(message)
        got.put_nowait(None)

    async with running(app) as url:
        async with SimulatedChannel(url, control="plain-text") as channel:
            channel.press("5#")
            channel.hang_up()
        texts = [await got.get() for _ in range(4)]
    assert [(text or "").partition(" channel_id")[0] for text in texts[1:]] == [
        "DTMF_END digit:5",
        "DTMF_END digit:#",
        "",
    ]


async def test_without_auto_answer_nothing_is_said_or_heard_until_answer() -> None:
    async def app(connection: ServerConnection) -> None:
        await connection.send(bytes([1]) * 640)
        await connection.send('{"command":"MARK_MEDIA","correlation_id":"early"}')
        async for message in connection:
            if isinstance(message, str) and "early" in message:
                await connection.send('{"command":"ANSWER"}')
            elif isinstance(message, bytes):
                await connection.send(message)

    async with (
        running(app) as url,
        SimulatedChannel(url, auto_answer=False, speak=tone(0.1, 16_000)) as channel,
    ):
        early = await channel.wait_for_event("MEDIA_MARK_PROCESSED")
        assert (channel.heard, channel.sent) == ([], [])
        await channel.wait_until_speaking()
    assert channel.sent[0].at > early.at
    assert bytes([1]) * 640 not in channel.heard_bytes


async def test_direction_in_lets_the_application_only_hear() -> None:
    """`direction_json`."""

    async def app(connection: ServerConnection) -> None:
        await connection.send(bytes([1]) * 1280)
        await connection.send('{"command":"START_MEDIA_BUFFERING"}')
        await listen(connection)

    async with running(app) as url, SimulatedChannel(url, direction="in") as channel:
        error = await channel.wait_for_event("ERROR")
        assert "not supported while media direction is 'in'" in error.fields["error_text"]
        await channel.wait_for(lambda: len(channel.sent) > 2)
    assert channel.model is not None
    assert channel.model.counters.refused_bytes == 1280
    assert channel.heard == []


async def test_fragments_of_one_message_are_lost_but_for_the_first() -> None:
    async def app(connection: ServerConnection) -> None:
        await connection.send([bytes([1]) * 640, bytes([2]) * 640, bytes([3]) * 640])
        await connection.send('{"command":"REPORT_QUEUE_DRAINED"}')
        await listen(connection)

    async with running(app) as url, SimulatedChannel(url) as channel:
        await channel.wait_for_event("QUEUE_DRAINED")
    assert channel.heard_bytes == bytes([1]) * 640
    assert channel.model is not None
    assert channel.model.counters.fragment_bytes_dropped == 1280


async def test_a_stall_holds_all_messages_while_the_player_goes_on() -> None:
    async def app(connection: ServerConnection) -> None:
        await connection.send(bytes([1]) * 640 * 50)
        async for message in connection:
            if isinstance(message, str) and "DTMF_END" in message:
                await connection.send('{"command":"GET_STATUS"}')

    async with running(app) as url, SimulatedChannel(url) as channel:
        await channel.wait_for(lambda: len(channel.heard) >= 3)
        channel.stall(0.2)
        channel.press("1")
        status = await channel.wait_for_event("STATUS")
    pressed = channel.events("DTMF_END")[0]
    assert status.at - pressed.at >= 0.2
    assert len([one for one in channel.heard if pressed.at <= one.at <= status.at]) >= 9


async def test_jitter_keeps_order_and_loses_nothing() -> None:
    network = Network(latency_ms=10, jitter_ms=30)
    async with (
        running(echo) as url,
        SimulatedChannel(
            url, speak=tone(0.4, 16_000), send_silence=False, network=network
        ) as channel,
    ):
        await channel.wait_for(lambda: len(channel.heard) >= 20)
        await channel.wait_until_quiet(quiet_s=0.1)
    assert np.array_equal(channel.heard_samples, tone(0.4, 16_000))


async def test_what_a_test_waits_for_in_vain_says_so() -> None:
    async with running(listen) as url, SimulatedChannel(url) as channel:
        with pytest.raises(TimeoutError, match=r"command HANGUP number 1: not within 0\.05 s"):
            await channel.wait_for_command("HANGUP", within_s=0.05)


async def test_speech_from_a_wav_file_is_resampled(tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(tone(0.2, 44_100).tobytes())
    async with running(listen) as url, SimulatedChannel(url, codec="slin24", speak=path) as channel:
        await channel.wait_until_said()
    said = np.concatenate([channel.codec.decode(frame.data) for frame in channel.sent])[:4_800]
    spectrum = np.abs(np.fft.rfft(said))
    assert np.argmax(spectrum) * 24_000 / said.size == pytest.approx(440, abs=10)


async def test_the_application_dials_in() -> None:
    """`inbound_json`: subprotocol media, MEDIA_START with the id of the path."""
    async with SimulatedAsteriskServer() as asterisk, asterisk.channel(codec="slin") as channel:
        async with connect(channel.url, subprotocols=MEDIA, proxy=None) as connection:
            await channel.wait_connected()
            start = json.loads(await connection.recv())
            assert start["event"] == "MEDIA_START"
            assert channel.url.endswith(f"/media/{start['connection_id']}")
            await connection.send(bytes([1]) * 320)
            await connection.send('{"command":"REPORT_QUEUE_DRAINED"}')
            await channel.wait_for_event("QUEUE_DRAINED")
            with pytest.raises(InvalidStatus, match="404"):
                await connect(channel.url, subprotocols=MEDIA, proxy=None)
            await connection.send('{"command":"HANGUP"}')
            assert (await channel.wait_closed()).by == "asterisk"
        assert channel.heard_bytes == bytes([1]) * 320


async def test_an_unknown_connection_id_is_not_found() -> None:
    async with SimulatedAsteriskServer() as asterisk:
        with pytest.raises(InvalidStatus, match="404"):
            await connect(f"{asterisk.url}/media/nobody", subprotocols=MEDIA, proxy=None)
