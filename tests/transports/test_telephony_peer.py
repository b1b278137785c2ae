"""A provider's caller on a real WebSocket, by Pipecat's serializers, in a session that listens."""

import asyncio
import audioop
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
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
from antiphon.protocols.framing import Disconnect, Dtmf, Message
from antiphon.protocols.telephony import Provider, StreamOpening, StreamStart
from antiphon.transports import telephony
from antiphon.transports.participant import Departure
from antiphon.transports.session_transport import SessionTransport
from antiphon.transports.telephony import TelephonyCredentials, TelephonyPeer, make_serializer
from support import telephony_messages as say
from support.live_server import serving
from support.rest_stand_in import SECRETS, RestStandIn, rest_stand_in
from support.telephony_messages import CONVERSATIONS, Conversation

# How Pipecat's Twilio and Plivo serializers hang up.
pytestmark = [
    pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'auth' parameter is deprecated:DeprecationWarning"),
]


class ListeningInput:
    def __init__(self) -> None:
        self.heard = bytearray()
        self.more = asyncio.Event()

    async def receive(self, pcm: bytes) -> None:
        self.heard += pcm
        self.more.set()


class Listening(SessionTransport):
    """A session's transport that keeps what it hears instead of running a pipeline."""

    def __init__(self, rate: int) -> None:
        super().__init__(
            input_sample_rate=rate,
            output_sample_rate=rate,
            frame_ms=20,
            lead_ms=0,
            clock=SystemClock(),
        )
        self.ear = ListeningInput()

    def input(self) -> Any:
        return self.ear

    async def heard_all(self, size: int) -> bytes:
        async with asyncio.timeout(10):
            while len(self.ear.heard) < size:
                self.ear.more.clear()
                await self.ear.more.wait()
        return bytes(self.ear.heard)


@dataclass
class Ends:
    """Both ends of a stream."""

    client: ClientConnection
    peer: TelephonyPeer
    session: Listening
    departure: asyncio.Future[Departure]
    messages: list[Message] = field(default_factory=list)

    async def sent(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(10):
            return [json.loads(await self.client.recv()) for _ in range(count)]

    async def left(self) -> Departure:
        async with asyncio.timeout(10):
            return await self.departure


CREDENTIALS = TelephonyCredentials()


Endpoint = Callable[[WebSocket], Awaitable[None]]


class Switchboard:
    """One server for the module: starting one takes longer than most tests here."""

    def __init__(self, port: int, endpoints: dict[str, Endpoint]):
        self._port = port
        self._endpoints = endpoints
        self._names = itertools.count()

    @contextlib.asynccontextmanager
    async def dial(
        self,
        *opening: str,
        session_rate: int | None = None,
        credentials: TelephonyCredentials = CREDENTIALS,
    ) -> AsyncIterator[Ends]:
        """A stream that has begun with the messages of `opening`."""
        loop = asyncio.get_running_loop()
        met: asyncio.Future[tuple[TelephonyPeer, Listening]] = loop.create_future()
        left: asyncio.Future[Departure] = loop.create_future()
        messages: list[Message] = []

        async def on_message(peer: Any, message: Message) -> None:
            messages.append(message)

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()
            found, recognised = StreamOpening(), None
            while recognised is None:
                recognised = found.receive(await websocket.receive_text())
            assert isinstance(recognised, StreamStart)
            peer = TelephonyPeer(
                participant="p",
                socket=websocket,
                start=recognised,
                serializer=make_serializer(recognised, credentials),
                clock=SystemClock(),
            )
            session = Listening(session_rate or recognised.sample_rate)
            peer.join(session)
            met.set_result((peer, session))
            left.set_result(await peer.run(on_message))

        name = str(next(self._names))
        self._endpoints[name] = endpoint
        async with connect(f"ws://127.0.0.1:{self._port}/{name}", proxy=None) as client:
            for text in opening:
                await client.send(text)
            peer, session = await met
            yield Ends(client, peer, session, left, messages)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def board(anyio_backend: str) -> AsyncIterator[Switchboard]:
    endpoints: dict[str, Endpoint] = {}

    async def route(websocket: WebSocket) -> None:
        await endpoints[websocket.path_params["name"]](websocket)

    app = Starlette(routes=[WebSocketRoute("/{name}", route)])
    config = uvicorn.Config(app, log_config=None, ws="websockets-sansio", lifespan="off")
    async with serving(config) as port:
        yield Switchboard(port, endpoints)


def _linear(start: StreamStart, wire: bytes) -> bytes:
    match start.encoding:
        case "ulaw":
            return audioop.ulaw2lin(wire, 2)
        case "alaw":
            return audioop.alaw2lin(wire, 2)
        case _:
            return wire


@pytest.mark.parametrize("talk", [t for t in CONVERSATIONS if not t.refused], ids=str)
async def test_a_documented_sequence_is_heard_pressed_and_ended(
    board: Switchboard, talk: Conversation
) -> None:
    begins = 1 + next(i for i, text in enumerate(talk.messages) if "start" in json.loads(text))
    async with board.dial(*talk.messages[:begins]) as ends:
        for text in talk.messages[begins:]:
            await ends.client.send(text)
        expected = _linear(ends.peer.start, talk.heard)
        assert await ends.session.heard_all(len(expected)) == expected
        await ends.client.close()
        departure = await ends.left()
    assert departure.reason == ("disconnect" if talk.stopped else "closed")
    assert "".join(m.digit for m in ends.messages if isinstance(m, Dtmf)) == talk.keys
    assert [isinstance(m, Disconnect) for m in ends.messages].count(True) == talk.stopped


@pytest.mark.parametrize("provider", Provider)
async def test_speech_goes_out_in_the_providers_form(
    board: Switchboard, provider: Provider
) -> None:
    async with board.dial(*say.STARTS[provider]) as ends:
        size = ends.peer.start.frame_bytes
        speech = bytes(range(256)) * (size // 100)
        ends.peer.play(speech[: size + 100])
        ends.peer.play(speech[size + 100 : 2 * size])
        first, second = await ends.sent(2)
    assert first.keys() == second.keys()
    heard = b"".join(base64.b64decode(one["media"].pop("payload")) for one in (first, second))
    expected = {
        Provider.TWILIO: {"event": "media", "streamSid": say.TWILIO_STREAM, "media": {}},
        Provider.TELNYX: {"event": "media", "media": {}},
        Provider.PLIVO: {
            "event": "playAudio",
            "streamId": say.PLIVO_STREAM,
            "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000},
        },
        Provider.EXOTEL: {"event": "media", "stream_sid": say.EXOTEL_STREAM, "media": {}},
    }
    assert first == expected[provider]
    whole = speech[: 2 * size]
    assert heard == (whole if provider is Provider.EXOTEL else audioop.lin2ulaw(whole, 2))


@pytest.mark.parametrize("provider", Provider)
async def test_the_tail_of_speech_is_filled_up_and_sent(
    board: Switchboard, provider: Provider
) -> None:
    async with board.dial(*say.STARTS[provider]) as ends:
        ends.peer.play(b"\1\0" * 10)
        ends.peer.finish_speech()
        (tail,) = await ends.sent(1)
    per_sample = 2 if provider is Provider.EXOTEL else 1
    payload = base64.b64decode(tail["media"]["payload"])
    assert len(payload) == ends.peer.start.frame_bytes // 2 * per_sample


@pytest.mark.parametrize(
    ("provider", "clear"),
    [
        (Provider.TWILIO, {"event": "clear", "streamSid": say.TWILIO_STREAM}),
        (Provider.TELNYX, {"event": "clear"}),
        (Provider.PLIVO, {"event": "clearAudio", "streamId": say.PLIVO_STREAM}),
        (Provider.EXOTEL, {"event": "clear", "stream_sid": say.EXOTEL_STREAM}),
    ],
)
async def test_an_interruption_has_the_provider_drop_what_it_holds(
    board: Switchboard, provider: Provider, clear: dict[str, str]
) -> None:
    async with board.dial(*say.STARTS[provider]) as ends:
        size = ends.peer.start.frame_bytes
        ends.peer.play(b"\0\x10" * (size // 2 + 10))
        ends.peer.discard()
        ends.peer.play(b"\0\x20" * (size // 2))
        before, dropped, after = await ends.sent(3)
    assert dropped == clear
    assert before["media"] != after["media"], "nothing of the interrupted speech comes after it"


@pytest.mark.parametrize("provider", Provider)
async def test_one_message_is_heard_at_once_at_the_pipelines_rate(
    board: Switchboard, provider: Provider
) -> None:
    media = {
        Provider.TWILIO: say.twilio_media(),
        Provider.TELNYX: say.telnyx_media(),
        Provider.PLIVO: say.plivo_media(),
        Provider.EXOTEL: say.exotel_media(bytes(320)),
    }[provider]
    async with board.dial(*say.STARTS[provider], session_rate=16_000) as ends:
        await ends.client.send(media)
        # 20 ms less the filter's 1.5 ms; soxr's stream would hold all of it back.
        heard = await ends.session.heard_all(int(18.4 * 32))
    assert len(heard) <= 640


async def test_speech_at_another_rate_goes_out_at_the_wires(board: Switchboard) -> None:
    async with board.dial(*say.STARTS[Provider.TWILIO], session_rate=24_000) as ends:
        for _ in range(5):
            ends.peer.play(bytes(960))
        sent = await ends.sent(4)
    assert {len(base64.b64decode(one["media"]["payload"])) for one in sent} == {160}


@pytest.mark.parametrize("bad", ["!", "AAA", "\N{SNOWMAN}", "A" * 3 + "="])
async def test_a_payload_that_is_no_base64_is_left_out(board: Switchboard, bad: str) -> None:
    nonsense = json.loads(say.exotel_media())
    nonsense["media"]["payload"] = bad
    async with board.dial(*say.STARTS[Provider.EXOTEL]) as ends:
        await ends.client.send(json.dumps(nonsense))
        await ends.client.send("{nonsense")
        await ends.client.send(b"binary")
        await ends.client.send(say.exotel_dtmf("7"))
        await ends.client.send(say.exotel_stop())
        await ends.client.close()
        await ends.left()
    assert ends.messages == [Dtmf("7"), Disconnect("callended")]


async def test_a_key_no_telephone_has_is_ignored(board: Switchboard) -> None:
    async with board.dial(*say.STARTS[Provider.TWILIO]) as ends:
        for key in ("A", "", "10", "5"):
            await ends.client.send(say.twilio_dtmf(key))
        await ends.client.close()
        await ends.left()
    assert ends.messages == [Dtmf("5")]


async def test_what_a_provider_reports_is_logged(
    board: Switchboard, caplog: pytest.LogCaptureFixture
) -> None:
    async with board.dial(*say.STARTS[Provider.TELNYX]) as ends:
        await ends.client.send(say.telnyx_error())
        await ends.client.close()
        await ends.left()
    assert "telnyx reports: 100003 malformed_frame" in caplog.text


async def test_who_hangs_up_while_the_agent_speaks_has_hung_up(board: Switchboard) -> None:
    async with board.dial(*say.STARTS[Provider.PLIVO]) as ends:
        closing = asyncio.ensure_future(ends.client.close())
        # The writer finds the socket gone before the reader has read why.
        while not ends.departure.done():
            ends.peer.play(bytes(ends.peer.start.frame_bytes))
            await asyncio.sleep(0)
        await closing
        assert (await ends.left()).reason == "closed"


async def test_a_lost_socket_is_no_goodbye(board: Switchboard) -> None:
    async with board.dial(*say.STARTS[Provider.TWILIO]) as ends:
        ends.client.transport.abort()
        assert (await ends.left()).reason == "lost"


# Hanging up by the providers' REST.


@pytest.fixture
async def rest(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RestStandIn]:
    async with rest_stand_in(monkeypatch) as stand_in:
        yield stand_in


def _credentials(rest: RestStandIn, **changed: str) -> TelephonyCredentials:
    return TelephonyCredentials(
        **{
            "twilio_account_sid": "AC1",
            "twilio_auth_token": SECRETS["twilio"],
            "twilio_api_url": rest.url,
            "telnyx_api_key": SECRETS["telnyx"],
            "plivo_auth_id": "MA1",
            "plivo_auth_token": SECRETS["plivo"],
            **changed,
        }
    )


CALLS = {
    Provider.TWILIO: say.TWILIO_CALL,
    Provider.TELNYX: say.TELNYX_CALL,
    Provider.PLIVO: say.PLIVO_CALL,
}


async def _closed(ends: Ends) -> list[dict[str, Any]]:
    """What was sent until the socket closed."""
    received = []
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionClosed):
            while True:
                received.append(json.loads(await ends.client.recv()))
    return received


@pytest.mark.parametrize("provider", CALLS)
async def test_the_end_of_a_session_hangs_up_when_all_is_said(
    board: Switchboard, provider: Provider, rest: RestStandIn
) -> None:
    async with board.dial(*say.STARTS[provider], credentials=_credentials(rest)) as ends:
        for _ in range(5):
            ends.peer.play(bytes(ends.peer.start.frame_bytes))
        ends.peer.close(1000, "agent_hangup")
        assert len(await _closed(ends)) == 5
        assert (await ends.left()).reason == "agent_hangup"
    assert rest.hung_up == [f"{provider} {CALLS[provider]}"]
    assert rest.refused == []


@pytest.mark.parametrize("provider", CALLS)
async def test_who_hung_up_is_not_hung_up_on(
    board: Switchboard, provider: Provider, rest: RestStandIn
) -> None:
    async with board.dial(*say.STARTS[provider], credentials=_credentials(rest)) as ends:
        await ends.client.send(say.STOPS[provider])
        await ends.client.close()
        assert (await ends.left()).reason == "disconnect"
        await ends.peer.hang_up()
    assert rest.hung_up == rest.refused == []


@pytest.mark.parametrize("provider", CALLS)
async def test_a_call_whose_socket_was_lost_can_be_hung_up_once(
    board: Switchboard, provider: Provider, rest: RestStandIn
) -> None:
    async with board.dial(*say.STARTS[provider], credentials=_credentials(rest)) as ends:
        ends.client.transport.abort()
        await ends.left()
        await ends.peer.hang_up()
        await ends.peer.hang_up()
    assert rest.hung_up == [f"{provider} {CALLS[provider]}"]


@pytest.mark.parametrize("provider", Provider)
async def test_without_credentials_only_the_stream_is_closed(
    board: Switchboard, provider: Provider, rest: RestStandIn
) -> None:
    async with board.dial(*say.STARTS[provider]) as ends:
        ends.peer.close(1000, "agent_hangup")
        await _closed(ends)
        await ends.left()
    assert rest.hung_up == rest.refused == []


async def test_a_call_that_comes_by_another_stream_is_not_hung_up(
    board: Switchboard, rest: RestStandIn
) -> None:
    async with board.dial(*say.STARTS[Provider.TWILIO], credentials=_credentials(rest)) as ends:
        ends.peer.close(1000, "replaced by a newer connection", departure="replaced")
        await _closed(ends)
        assert (await ends.left()).reason == "replaced"
    assert rest.hung_up == rest.refused == []


@pytest.mark.parametrize(
    "wrong", [{"twilio_auth_token": "x"}, {"telnyx_api_key": "x"}, {"plivo_auth_token": "x"}]
)
async def test_a_hang_up_that_is_refused_still_closes_the_stream(
    board: Switchboard, wrong: dict[str, str], rest: RestStandIn
) -> None:
    provider = Provider(next(iter(wrong)).partition("_")[0])
    async with board.dial(*say.STARTS[provider], credentials=_credentials(rest, **wrong)) as ends:
        ends.peer.close(1000, "agent_hangup")
        await _closed(ends)
        assert (await ends.left()).reason == "agent_hangup"
    assert rest.refused == [f"{provider} {CALLS[provider]}"]


async def test_a_rest_that_does_not_answer_holds_nobody_up(
    board: Switchboard,
    rest: RestStandIn,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(telephony, "HANG_UP_SECS", 0.1)
    rest.stalls = True
    async with board.dial(*say.STARTS[Provider.TWILIO], credentials=_credentials(rest)) as ends:
        ends.peer.close(1000, "agent_hangup")
        await _closed(ends)
        await ends.left()
    assert "may not be hung up" in caplog.text


def test_credentials_are_not_shown() -> None:
    assert "secret" not in repr(TelephonyCredentials(twilio_auth_token="secret"))
