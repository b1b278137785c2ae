"""A caller behind Asterisk's WebSocket channel, light enough for many in one process.

The queue, its marks and its timer are those of the simulated Asterisk (`ChannelModel`), so flow
control is exercised in real time; what the simulator writes down for tests is left out.
"""

import asyncio
import time
from bisect import bisect_right

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from antiphon.testing.asterisk import ChannelModel
from benchmarks.load.callers import FRAME_BYTES, FRAME_SECS, Caller

POSITIONS_PATH = "/benchmark/positions"
"""Where the measured server tells what it believes was heard."""

FRAME_MS = 20
_HAIR = 1e-9
"""The model's own tolerance: a tick so little ahead is due."""


class PlayLog:
    """Which of the agent's frames were played when: the truth that the server estimates."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._before: list[int] = []
        self._frames = 0
        self._was_playing = False

    def tick(self, at: float, *, played: bool) -> None:
        """The player's timer struck at `at`, seconds of the monotonic clock."""
        if played != self._was_playing:
            self._starts.append(at)
            self._before.append(self._frames)
            self._was_playing = played
        self._frames += played

    def heard_ms(self, at: float) -> float:
        """How much of the audio had been heard at `at`, ms; between ticks the frame is in play."""
        run = bisect_right(self._starts, at) - 1
        if run < 0:
            return 0.0
        last = run + 1 == len(self._starts)
        end = self._frames if last else self._before[run + 1]
        frames = self._before[run] + (at - self._starts[run]) / FRAME_SECS
        return min(frames, end) * FRAME_MS


class AsteriskCall:
    """One channel on an open socket.

    Args:
        socket: The WebSocket.
        caller: What is said, and what was heard.
    """

    def __init__(self, socket: ClientConnection, caller: Caller):
        self.log = PlayLog()
        self._socket = socket
        self._caller = caller
        self._model = ChannelModel(
            frame_bytes=FRAME_BYTES,
            ptime_ms=FRAME_MS,
            json=True,
            channel_id=caller.name,
            started_at=time.monotonic(),
        )
        self._model.answered = True
        self._in_utterance = False
        self._waited_ms = 0.0

    @property
    def has_lost_audio(self) -> bool:
        """Whether audio was flushed: what was heard is then no longer the number of frames."""
        return self._model.counters.frames_flushed > 0

    async def start(self) -> None:
        """Send MEDIA_START."""
        text = self._model.events.media_start(
            connection_id="bench",
            channel=f"WebSocket/bench/{self._caller.name}",
            media_format="slin16",
            optimal_frame_size=FRAME_BYTES,
            ptime_ms=FRAME_MS,
            channel_variables={},
        )
        await self._socket.send(text)

    async def play(self, stop: asyncio.Event) -> None:
        """The player's timer, until `stop` or the end of the call."""
        while not stop.is_set() and (due := self._model.next_tick_at) is not None:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._send(self._advance())

    async def listen(self) -> None:
        """Take what the application sends."""
        async for message in self._socket:
            texts = self._advance()
            now = time.monotonic()
            if isinstance(message, bytes):
                texts += self._model.receive_bytes(message, now)
            else:
                texts += self._model.receive_text(message, now)
                if "FLUSH_MEDIA" in message:
                    self._in_utterance = False
            await self._send(texts)

    async def _send(self, messages: list[str | bytes]) -> None:
        for message in messages:
            await self._socket.send(message)

    def _advance(self) -> list[str | bytes]:
        """Run the ticks that are due, each at its own time; returns what is to be sent."""
        messages: list[str | bytes] = []
        now = time.monotonic() + _HAIR
        while (due := self._model.next_tick_at) is not None and due <= now:
            tick = self._model.tick(due)
            self._note(due, played=bool(tick.played), texts=tick.texts)
            messages += tick.texts
            messages.append(self._caller.speech.next_frame())
        return messages

    def _note(self, at: float, *, played: bool, texts: list[str]) -> None:
        """Note how late a frame is: for so long the queue has been empty since its utterance began.

        The application ends an utterance with STOP_MEDIA_BUFFERING; silence before that is a gap.
        """
        heard = self._caller.heard
        self.log.tick(at, played=played)
        if any("MEDIA_BUFFERING_COMPLETED" in text for text in texts):
            self._in_utterance = False
        if played:
            if not self._in_utterance:
                self._in_utterance, self._waited_ms = True, 0.0
                heard.answers += 1
            heard.lateness_ms.append(self._waited_ms)
        elif self._in_utterance:
            self._waited_ms += FRAME_MS


class AsteriskCallers:
    """The calls of one measurement."""

    def __init__(self) -> None:
        self._calls: dict[str, AsteriskCall] = {}

    async def call(self, caller: Caller, stop: asyncio.Event) -> None:
        """Dial as Asterisk does and hold the call until `stop`."""
        began = time.monotonic()
        async with connect(
            caller.url,
            subprotocols=[Subprotocol("media")],
            compression=None,
            proxy=None,
            max_queue=None,
            max_size=None,
            ping_interval=None,
        ) as socket:
            caller.heard.connect_s = time.monotonic() - began
            channel = self._calls[caller.name] = AsteriskCall(socket, caller)
            await channel.start()
            listener = asyncio.ensure_future(channel.listen())
            try:
                await channel.play(stop)
            except ConnectionClosed as closed:
                raise RuntimeError(f"{caller.name}: the server ended the call: {closed}") from None
            finally:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)

    def compare(self, caller: Caller, at: float, believed_ms: float) -> None:
        """Note how wrong the server's position was, while there was something to hear.

        Args:
            caller: Whose call it is.
            at: When the server was asked, seconds of the monotonic clock that both share.
            believed_ms: Its answer.
        """
        channel = self._calls[caller.name]
        truth = channel.log.heard_ms(at)
        is_moving = truth != channel.log.heard_ms(at - FRAME_SECS)
        if is_moving and not channel.has_lost_audio:
            caller.heard.position_error_ms.append(abs(believed_ms - truth))
