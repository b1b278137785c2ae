"""A WebSocket connection in a session: one socket, one codec, two directions.

The same shell serves every WebSocket protocol; what differs is the codec. It never blocks the
session: audio and facts go to a bounded outbox with one writer, and a peer too slow to empty it is
disconnected. Reading is held back when a peer sends audio much faster than real time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from antiphon.clock import Clock
from antiphon.domain.audio import AudioFormat
from antiphon.domain.events import Event
from antiphon.errors import AntiphonError, Conflict
from antiphon.protocols.framing import (
    AudioIn,
    Disconnect,
    Invalid,
    Message,
    Ping,
    Rechunker,
    epoch_ms,
)
from antiphon.transports.outbox import Outbox, OutboxFull
from antiphon.transports.participant import CallTransport, Departure
from antiphon.transports.read_ahead import ReadAhead
from antiphon.transports.resampling import Resampler
from antiphon.transports.session_transport import SessionTransport

log = logging.getLogger(__name__)

ERROR_REPLIES_PER_SEC = 10
"""Error messages sent for a flood of bad messages; the rest are counted, not answered."""

SLOW_READER_SECS = 2.0
"""Longest wait for a peer that reads too slowly to take its close frame."""

READ_END_SECS = 1.0
"""Longest wait, after a write has failed, for the reader to learn how the connection ended."""

CLOSE_NORMAL = 1000
CLOSE_SLOW_READER = 1013


class Codec(Protocol):
    """What a protocol module offers; see `antiphon.protocols`."""

    def receive_text(self, text: str) -> Sequence[Message]:
        """Messages in a text frame; never raises."""

    def receive_bytes(self, data: bytes) -> Sequence[Message]:
        """Messages in a binary frame; never raises."""

    def audio_out(self, pcm: bytes) -> str | bytes:
        """One frame of agent audio on the wire."""

    def event_out(self, event: Event) -> Sequence[str]:
        """What the peer is told of a fact."""

    def pong(self, ping: Ping, now_ms: int) -> str:
        """The answer to a ping."""

    def error(self, error: AntiphonError, now_ms: int) -> str:
        """An error message."""


MessageHandler = Callable[["WebsocketPeer", Message], Awaitable[None]]


class WebsocketPeer:
    """One participant connected by WebSocket.

    Args:
        participant: Its id in the session.
        socket: The accepted socket.
        codec: The protocol's codec, with this connection's state.
        wire: Format of the agent's audio on the wire.
        frame_ms: Length of an audio message on the wire, ms.
        clock: Source of time.
        outbox_bytes: Most bytes that may wait to be sent.
    """

    def __init__(
        self,
        *,
        participant: str,
        transport_name: str,
        socket: WebSocket,
        codec: Codec,
        wire: AudioFormat,
        frame_ms: int,
        clock: Clock,
        outbox_bytes: int = 2_000_000,
    ):
        self.participant = participant
        self.transport_name = transport_name
        self.codec = codec
        self.wire = wire
        self.close_is_goodbye = False
        """Whether an orderly close means that the caller hung up (raw PCM has no other way)."""
        self._socket = socket
        self._clock = clock
        self._frames = Rechunker(wire.bytes_in(frame_ms))
        self._outbox = Outbox(outbox_bytes)
        self._session: SessionTransport | None = None
        self._to_wire: Resampler | None = None
        self._from_wire: Resampler | None = None
        self._departure: Departure | None = None
        self._overflowed = asyncio.Event()
        self._close: tuple[int, str] | None = None
        self._errors = (0.0, 0)
        self._read_ahead = ReadAhead(clock)

    @property
    def remote(self) -> str:
        """Address of the peer, `host:port`."""
        client = self._socket.client
        return f"{client.host}:{client.port}" if client else ""

    # The session's side: none of these blocks.

    def join(self, transport: CallTransport) -> None:
        """Attach to a session's transport: hear it and be heard.

        Raises:
            Conflict: the session's transport belongs to another connection alone.
        """
        if not isinstance(transport, SessionTransport):
            raise Conflict(
                "this session belongs to a telephone line, which nobody else can join",
                code="cannot_share",
            )
        self._session = session = transport
        self._to_wire = Resampler.between(session.output_sample_rate, self.wire.sample_rate)
        self._from_wire = None
        session.attach(self)

    def leave(self) -> None:
        """Detach from the session."""
        if self._session is not None:
            self._session.detach(self)
            self._session = None

    def play(self, pcm: bytes) -> None:
        """Send agent audio in whole wire frames; a remainder waits for more."""
        if self._to_wire is not None:
            pcm = self._to_wire.process(pcm)
        for frame in self._frames.push(pcm):
            self._send(self.codec.audio_out(frame))

    def finish_speech(self) -> None:
        """Pad the remainder to a whole frame with silence and send it."""
        held = self._frames.push(self._to_wire.flush()) if self._to_wire is not None else []
        for frame in (*held, self._frames.flush()):
            if frame:
                self._send(self.codec.audio_out(frame))

    def discard(self) -> None:
        """Drop the remainder: the agent was interrupted."""
        self._frames.clear()
        if self._to_wire is not None:
            self._to_wire.flush()

    def tell(self, event: Event) -> None:
        """Send what the protocol says of a fact; a sink of the event log."""
        for text in self.codec.event_out(event):
            self._send(text)

    def send_text(self, text: str) -> None:
        """Queue a text message."""
        self._send(text)

    def send_error(self, error: AntiphonError) -> None:
        """Tell the peer of an error, at most `ERROR_REPLIES_PER_SEC` a second."""
        now = self._clock.monotonic()
        since, count = self._errors
        if now - since >= 1.0:
            since, count = now, 0
        self._errors = (since, count + 1)
        if count < ERROR_REPLIES_PER_SEC:
            self._send(self.codec.error(error, epoch_ms(self._clock.utc_now())))

    def close(self, code: int = CLOSE_NORMAL, reason: str = "", *, departure: str = "") -> None:
        """Close once what is queued has been sent."""
        if self._close is None:
            self._close = (code, reason)
            self._departure = self._departure or Departure(departure or reason or "closed", code)
            self._outbox.close()

    def _send(self, message: str | bytes) -> None:
        try:
            self._outbox.put(message)
        except OutboxFull:
            log.warning("participant %s reads too slowly; closing its connection", self.participant)
            self.close(CLOSE_SLOW_READER, "reads too slowly", departure="slow_reader")
            self._outbox.abandon()
            self._overflowed.set()

    # The socket's side.

    async def run(self, on_message: MessageHandler) -> Departure:
        """Read and write until the connection ends; returns how it ended. Cancelling is safe."""
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write())
            reader = tasks.create_task(self._read(on_message))
            overflow = tasks.create_task(self._overflowed.wait())
            await asyncio.wait({writer, reader, overflow}, return_when=asyncio.FIRST_COMPLETED)
            self._outbox.close()
            if self._overflowed.is_set():
                # A peer that does not read at all would keep the writer for ever.
                await asyncio.wait({writer, reader}, timeout=SLOW_READER_SECS)
            for task in (writer, reader, overflow):
                task.cancel()
        return self._departure or Departure("lost")

    async def _write(self) -> None:
        try:
            while (message := await self._outbox.next()) is not None:
                await self._transmit(message)
            await self._before_close()
            code, reason = self._close or (CLOSE_NORMAL, "")
            if self._socket.application_state is WebSocketState.CONNECTED:
                await self._socket.close(code, reason[:120])
        except (RuntimeError, OSError, WebSocketDisconnect) as error:
            log.debug("participant %s: write failed: %r", self.participant, error)
            # The socket went away under us; whether that was a goodbye is read, right behind.
            await asyncio.sleep(READ_END_SECS)
            self._departure = self._departure or Departure("lost")

    async def _transmit(self, message: str | bytes) -> None:
        """Write one message of the outbox."""
        if isinstance(message, str):
            await self._socket.send_text(message)
        else:
            await self._socket.send_bytes(message)

    async def _before_close(self) -> None:
        """All has been sent, and this side closes."""

    async def _read(self, on_message: MessageHandler) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code")
                self._departure = self._departure or Departure(
                    "closed" if code in (1000, 1001) else "lost", code
                )
                return
            for item in self._decode(message):
                await self.handle(item, on_message)

    async def handle(self, item: Message, on_message: MessageHandler) -> None:
        """Act on one decoded message: audio is heard, nonsense is answered, the rest passed on."""
        if isinstance(item, AudioIn):
            await self._hear(item)
        elif isinstance(item, Invalid):
            self.send_error(item.error)
        else:
            if isinstance(item, Disconnect):
                self._departure = Departure("disconnect")
            await on_message(self, item)

    def _decode(self, message: Mapping[str, Any]) -> Sequence[Message]:
        data = message.get("bytes")
        if data is not None:
            return self.codec.receive_bytes(data)
        return self.codec.receive_text(message.get("text") or "")

    async def _hear(self, audio: AudioIn) -> None:
        session = self._session
        if session is None or not audio.pcm:
            return
        if (wait := self._read_ahead.take(len(audio.pcm) / 2 / audio.sample_rate)) > 0:
            await asyncio.sleep(wait)
        pcm = audio.pcm
        if audio.sample_rate != session.input_sample_rate:
            if self._from_wire is None or self._from_wire.source_rate != audio.sample_rate:
                self._from_wire = Resampler(audio.sample_rate, session.input_sample_rate)
            pcm = self._from_wire.process(pcm)
        await session.input().receive(pcm)
