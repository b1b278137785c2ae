"""One simulated channel on a real WebSocket, whoever dialled."""

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from typing import Literal, TypedDict

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

from antiphon.testing.asterisk.audio import MediaCodec, Speech, load_speech, media_codec
from antiphon.testing.asterisk.model import ChannelModel, Direction
from antiphon.testing.asterisk.network import Link, Network
from antiphon.testing.asterisk.observed import Observed
from antiphon.testing.asterisk.record import AudioFrame, Closed

LEAVE_S = 5.0
"""How long a hang-up may take; an application that does not read its socket is cut off then."""
_numbers = itertools.count(1)


class ChannelOptions(TypedDict, total=False):
    """Keyword arguments of every simulated channel."""

    codec: str | MediaCodec
    """Dial option `c(...)`; default `slin16`."""
    control: Literal["json", "plain-text"]
    """Dial option `f(...)`; default `json`."""
    connection_id: str
    """Name of the WebSocket client in Asterisk's configuration; default `antiphon`."""
    variables: Mapping[str, str]
    """Channel variables, told in MEDIA_START (JSON only) beside those Asterisk adds itself."""
    speak: Speech
    """What the caller says from the start."""
    speak_rate: int
    """Hz of `speak`, unless it is a WAV file; default: the codec's."""
    send_silence: bool
    """Whether the caller's silence is sent, as from a phone; default. False: no frames then, as
    from a Local channel that waits (`echo_slin16_json`)."""
    auto_answer: bool
    """False: dial option `n`: no caller audio, and nothing is heard, until ANSWER."""
    passthrough: bool
    """Dial option `p`."""
    direction: Direction
    """Dial option `d(...)`."""
    ptime_ms: int
    network: Network
    """Delays, jitter and stalls."""


class Channel(Observed):
    """What inbound and outbound simulated channels share; see `SimulatedChannel`.

    Actions (`say`, `press`, `hang_up`, `abort`, `stall`) take effect at once and do not wait; what
    comes of them can be waited for. `ChannelOptions` explains the arguments.
    """

    _message_header_bytes = 4

    def __init__(
        self,
        *,
        codec: str | MediaCodec = "slin16",
        control: Literal["json", "plain-text"] = "json",
        connection_id: str = "antiphon",
        variables: Mapping[str, str] | None = None,
        speak: Speech | None = None,
        speak_rate: int | None = None,
        send_silence: bool = True,
        auto_answer: bool = True,
        passthrough: bool = False,
        direction: Direction = "both",
        ptime_ms: int = 20,
        network: Network | None = None,
    ):
        known = media_codec(codec) if isinstance(codec, str) else codec
        super().__init__(known, as_json=control == "json")
        self.connection_id = connection_id
        self.channel_id = f"1795212000.{next(_numbers)}"
        self._variables = dict(variables or {})
        self._send_silence = send_silence
        self._auto_answer = auto_answer
        self._passthrough = passthrough
        self._direction: Direction = direction
        self._ptime_ms = ptime_ms
        self._network = network or Network()
        self._frame_bytes = self.codec.frame_bytes(ptime_ms)
        self._connection: Connection | None = None
        self._inbox: asyncio.Queue[tuple[float, list[str | bytes]] | None] = asyncio.Queue()
        self._outbox: asyncio.Queue[tuple[float, str | bytes | int]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        if speak is not None:
            self.say(speak, rate=speak_rate)

    # Actions

    def say(self, speech: Speech, *, rate: int | None = None) -> None:
        """The caller goes on to say this, after what is still being said.

        Args:
            speech: PCM16 mono, samples, or a WAV file.
            rate: Hz of bytes or samples; default: the codec's.
        """
        self._speech += self.codec.encode(load_speech(speech, rate, self.codec.sample_rate))

    def press(self, digits: str) -> None:
        """The caller presses these keys (0-9, *, #, A-D); each gives one DTMF_END."""
        for digit in digits:
            self._send_texts(self._player().press(digit, self._now()))

    def hang_up(self) -> None:
        """The caller hangs up: Asterisk closes with 1000 (`echo_slin16_json`)."""
        self._player().close(1000)
        self._put(1000)

    def abort(self) -> None:
        """The socket is lost: no closing handshake."""
        self._player().close(1006)
        assert self._connection is not None
        self._connection.transport.abort()

    def stall(self, seconds: float) -> None:
        """From now on nothing gets through for so long, either way; the player goes on."""
        self._player()
        for link in (self._to_application, self._from_application):
            link.stall(self._now(), seconds)

    # The call itself

    def attach(self, connection: Connection) -> asyncio.Task[None]:
        """Start the call on a connection that is open; the task ends with the call."""
        self._connection = connection
        self._began = self._now()
        self._to_application = Link(self._network, self._began)
        self._from_application = Link(self._network, self._began)
        self.model = ChannelModel(
            frame_bytes=self._frame_bytes,
            ptime_ms=self._ptime_ms,
            json=self._json,
            channel_id=self.channel_id,
            passthrough=self._passthrough,
            direction=self._direction,
            silence=self.codec.silence,
            message_header_bytes=self._message_header_bytes,
            started_at=self._began,
        )
        self.model.answered = self._auto_answer
        self._send_texts([self._media_start(self.model)])
        self._task = asyncio.get_running_loop().create_task(self._carry())
        self._notify()
        return self._task

    async def leave(self) -> None:
        """Hang up if the call is still up, and wait for its end; raises what went wrong in it."""
        if self._task is None:
            return
        if not self._player().closed:
            self.hang_up()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await asyncio.shield(self._task)
        if not self._task.done():
            assert self._connection is not None
            self._connection.transport.abort()
        await self._task

    async def _carry(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                others = [tasks.create_task(self._write()), tasks.create_task(self._play())]
                tasks.create_task(self._receive())
                await self._deliver()
                for task in others:
                    task.cancel()
        finally:
            self._finish()

    async def _receive(self) -> None:
        """Stamp what comes; fragments of one message stay apart, as Asterisk sees them."""
        assert self._connection is not None
        try:
            while True:
                parts = [part async for part in self._connection.recv_streaming()]
                await self._inbox.put((self._from_application.due(self._now()), parts))
        except ConnectionClosed:
            await self._inbox.put(None)

    async def _deliver(self) -> None:
        model = self._player()
        while (item := await self._inbox.get()) is not None:
            due, parts = item
            await self._hold(self._from_application, due)
            self._advance()
            was_over = model.closed
            self._hand_over(model, parts)
            if model.close_code is not None and not was_over:
                self._put(model.close_code)
            self._notify()

    def _hand_over(self, model: ChannelModel, parts: list[str | bytes]) -> None:
        now = self._now()
        if isinstance(parts[0], str):
            text = "".join(part for part in parts if isinstance(part, str))
            self._note("application", text)
            self._send_texts(model.receive_text(text, now))
            return
        fragments = [part for part in parts if isinstance(part, bytes)]
        if len(fragments) == 1:
            self._send_texts(model.receive_bytes(fragments[0], now))
        else:
            self._send_texts(model.receive_fragments(fragments, now))

    async def _play(self) -> None:
        while (due := self._player().next_tick_at) is not None:
            await asyncio.sleep(max(0.0, due - self._now()))
            self._advance()
            self._notify()

    def _advance(self) -> None:
        """Run the ticks that are due, each at its own time however late we are."""
        model = self._player()
        now = self._now()
        while (due := model.next_tick_at) is not None and due <= now:
            tick = model.tick(due)
            at = due - self._began
            for frame in tick.played if model.answered else ():
                self._hear(AudioFrame(at, frame))
            self._send_texts(tick.texts)
            if model.answered:
                self._speak(model, at)

    def _speak(self, model: ChannelModel, at: float) -> None:
        """One frame of the caller; the last of a speech is short (`echo_slin16_json`)."""
        frame = bytes(self._speech[: self._frame_bytes])
        del self._speech[: self._frame_bytes]
        if not frame and self._send_silence:
            frame = bytes([self.codec.silence]) * self._frame_bytes
        if frame and model.direction != "out":
            self.sent.append(AudioFrame(at, frame))
            self._put(frame)

    async def _hold(self, link: Link, due: float) -> None:
        while True:
            wait = link.wait(due, self._now())
            if wait <= 0:
                return
            await asyncio.sleep(wait)

    async def _write(self) -> None:
        assert self._connection is not None
        while True:
            due, item = await self._outbox.get()
            await self._hold(self._to_application, due)
            try:
                if isinstance(item, int):
                    await self._connection.close(item)
                    return
                await self._connection.send(item)
            except ConnectionClosed:
                return

    def _finish(self) -> None:
        connection = self._connection
        assert connection is not None
        protocol = connection.protocol
        by: Literal["asterisk", "application", "lost"]
        if protocol.close_rcvd is None:
            by = "lost"
        else:
            by = "application" if protocol.close_rcvd_then_sent else "asterisk"
        code = 1006 if by == "lost" else protocol.close_code or 1006
        self._player().close(code)
        self.closed = Closed(self._elapsed(), by, code, protocol.close_reason or "")
        self._notify()

    def _media_start(self, model: ChannelModel) -> str:
        own = {
            "MEDIA_WEBSOCKET_CONNECTION_ID": self.connection_id,
            "MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE": str(self._frame_bytes),
        }
        return model.events.media_start(
            connection_id=self.connection_id,
            channel=f"WebSocket/{self.connection_id}/{id(self):#x}",
            media_format=self.codec.name,
            optimal_frame_size=self._frame_bytes,
            ptime_ms=self._ptime_ms,
            channel_variables=own | self._variables,
        )

    def _send_texts(self, texts: list[str]) -> None:
        for text in texts:
            self._note("asterisk", text)
            self._put(text)

    def _put(self, item: str | bytes | int) -> None:
        """Queue a message for the application; a number closes the WebSocket with that code."""
        self._outbox.put_nowait((self._to_application.due(self._now()), item))
