"""One call, from dialling to hanging up."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from antiphon.cli.caller.codecs import CallerCodec
from antiphon.cli.caller.ear import Ear
from antiphon.cli.caller.messages import (
    AgentAudio,
    AgentText,
    Dropped,
    Flush,
    Heard,
    Notice,
    PeerError,
    ToolCall,
    Transcript,
)
from antiphon.cli.caller.mouth import Mouth, Utterance
from antiphon.cli.caller.report import CallReport, Turn
from antiphon.clock import Clock, SystemClock
from antiphon.errors import AntiphonError
from antiphon.protocols.framing import epoch_ms

FRAME_MS = 20
CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 15.0
"""Longest wait for an answer to begin."""
MAX_ANSWER_S = 90.0
"""Longest answer."""
SILENCE_MS = 900
"""Silence of the agent that means it has finished."""
MAX_MESSAGE_BYTES = 4 * 1024 * 1024

Listener = Callable[[float, Heard], None]
"""Called with seconds since the call was connected and what was heard; must return at once."""


class CallFailed(AntiphonError):
    """The call could not be placed, or the server ended it."""

    code = "call_failed"


class NoAnswer(CallFailed):
    """The agent said nothing in the time it had."""

    code = "no_answer"


class Call:
    """A call in progress: an async context manager that dials on entering and hangs up on leaving.

    One event loop; `say`, `answer` and `barge_in` are called one after the other.

    Args:
        url: WebSocket URL.
        codec: What kind of peer to be (`codec_for`).
        clock: Where the time comes from.
        headers: HTTP headers of the handshake; real peers send none.
        listener: Told everything that is heard except audio, and every beginning of speech.
        burst: Frames sent at once, each time that many are due: RustPBX sends bursts of 5.
        keep_audio: Keep both sides for `recording`; costs about 10 MB a minute of browser call.
    """

    def __init__(
        self,
        url: str,
        codec: CallerCodec,
        *,
        clock: Clock | None = None,
        headers: dict[str, str] | None = None,
        listener: Listener | None = None,
        burst: int = 1,
        keep_audio: bool = True,
    ):
        self.url = url
        self.codec = codec
        self.ear = Ear(keep_audio=keep_audio)
        self.turns = [Turn(0)]
        self._clock = clock or SystemClock()
        self._headers = headers
        self._listener = listener
        self._burst = burst
        self._mouth = Mouth(codec.sample_rate, FRAME_MS)
        self._spoken = bytearray() if keep_audio else None
        self._socket: ClientConnection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._started = 0.0
        self._first_message = asyncio.Event()
        self._sound = asyncio.Event()
        self._said = asyncio.Event()
        self._closed = asyncio.Event()
        self._report = CallReport(url, codec.name, getattr(codec, "room", None), 0.0)

    @property
    def now(self) -> float:
        """Seconds since the call was connected."""
        return self._clock.monotonic() - self._started

    @property
    def turn(self) -> Turn:
        """The turn under way."""
        return self.turns[-1]

    @property
    def speaking(self) -> bool:
        """Whether the caller is saying something."""
        return self._mouth.current is not None

    @property
    def agent_speaking(self) -> bool:
        """Whether the agent can be heard."""
        return self.ear.speaking(self._clock.monotonic())

    @property
    def closed(self) -> bool:
        """Whether the server has ended the call."""
        return self._closed.is_set()

    async def __aenter__(self) -> Self:
        """Dial.

        Raises:
            CallFailed: nobody answers there, or the server refuses.
        """
        dialled = self._clock.monotonic()
        self._socket = await self._dial()
        self._started = self._clock.monotonic()
        self._report.connect_ms = (self._started - dialled) * 1000
        self.ear.mark(self._started)
        self._start(self._read())
        try:
            await self._open()
        except BaseException:
            await self.hang_up()
            raise
        self._start(self._talk())
        if self.codec.keepalive_secs:
            self._start(self._keep_alive())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        await self.hang_up()

    async def say(self, pcm: bytes, label: str = "") -> Turn:
        """Say something, in real time; returns the new turn once all of it has been sent.

        Args:
            pcm: PCM16 mono at `codec.sample_rate`.
            label: What it is, for reports.

        Raises:
            CallFailed: the server ended the call meanwhile.
            InvalidRequest: the audio is silent.
        """
        utterance = self._mouth.say(pcm, label)
        self._said.clear()
        turn = Turn(len(self.turns), said=label)
        self.turns.append(turn)
        await self._first(self._said, None)
        if not self._said.is_set():
            raise self._failure("the server ended the call while the caller was speaking")
        turn.speech_start_s = self._since_start(utterance.started_at)
        turn.speech_end_s = self._since_start(utterance.ended_at)
        return turn

    async def answer(
        self, *, timeout_s: float = ANSWER_TIMEOUT_S, silence_ms: float = SILENCE_MS
    ) -> Turn:
        """Wait until the agent has spoken and then been silent for `silence_ms`.

        Before anything was said this is the greeting. Returns early when the server ends the call
        after having spoken.

        Raises:
            NoAnswer: the agent said nothing for `timeout_s`.
            CallFailed: the server ended the call without an answer.
        """
        begun = await self.answer_begins(timeout_s=timeout_s)
        turn = self.turn
        turn.answer_start_s = begun - self._started
        limit = begun + MAX_ANSWER_S
        while not self.closed:
            now = self._clock.monotonic()
            quiet_at = (self.ear.loud_until or now) + silence_ms / 1000
            if now >= min(quiet_at, limit):
                break
            await self._first(self._closed, quiet_at - now)
        turn.answer_end_s = (self.ear.loud_until or begun) - self._started
        return turn

    async def answer_begins(self, *, timeout_s: float = ANSWER_TIMEOUT_S) -> float:
        """Wait for the agent's next words; returns when they arrived (monotonic seconds).

        Raises:
            NoAnswer: the agent said nothing for `timeout_s`.
            CallFailed: the server ended the call.
        """
        deadline = self._clock.monotonic() + timeout_s
        while (first := self.ear.first_loud) is None:
            left = deadline - self._clock.monotonic()
            if self.closed:
                raise self._failure("the server ended the call without an answer")
            if left <= 0:
                raise NoAnswer(f"no answer within {timeout_s:g} s")
            self._sound.clear()
            await self._first(self._sound, left)
        return first

    async def barge_in(
        self,
        pcm: bytes,
        label: str = "",
        *,
        after_s: float = 1.0,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> Turn:
        """Speak over what the agent is saying or about to say, `after_s` into it.

        Returns once the new answer has begun (`answer` then waits for its end), with
        `stop_sent_ms` and `stop_heard_ms` set on the turn.

        Raises:
            NoAnswer: the agent says nothing to interrupt, or nothing after it.
            CallFailed: the server ended the call.
        """
        begun = await self.answer_begins(timeout_s=timeout_s)
        interrupted = self.turn
        interrupted.answer_start_s = begun - self._started
        await self._first(self._closed, begun + after_s - self._clock.monotonic())
        turn = await self.say(pcm, label)
        spoke_at = self._started + (turn.speech_start_s or 0.0)
        try:
            turn.answer_start_s = await self.answer_begins(timeout_s=timeout_s) - self._started
        finally:
            stop = self.ear.stop_after(spoke_at, self.ear.first_loud)
            if stop is not None:
                turn.stop_sent_ms = (stop[0] - spoke_at) * 1000
                turn.stop_heard_ms = (stop[1] - spoke_at) * 1000
                interrupted.answer_end_s = stop[1] - self._started
        return turn

    async def hang_up(self) -> CallReport:
        """Close the socket and stop; safe to call twice. Returns the report."""
        if self._socket is not None:
            await self._socket.close()
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._socket is not None:
            self._report.duration_s = self.now
            self._report.close_code = self._socket.close_code
            self._report.close_reason = self._socket.close_reason or ""
            self._socket = None
        for failure in ended:
            if isinstance(failure, Exception):
                raise failure  # a fault of this client, not of the call
        return self.report()

    def report(self) -> CallReport:
        """The call so far."""
        self._report.turns = self.turns
        self._report.playout = self.ear.stats()
        if self._socket is not None:
            self._report.duration_s = self.now
        return self._report

    def recording(self, sample_rate: int | None = None) -> tuple[bytes, bytes, int]:
        """Caller and agent as PCM16 tracks on one time line, and their rate in Hz."""
        rate = sample_rate or self.codec.sample_rate
        return bytes(self._spoken or b""), self.ear.recording(self._started, rate), rate

    # Tasks

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _dial(self) -> ClientConnection:
        try:
            return await connect(
                self.url,
                additional_headers=self._headers,
                open_timeout=CONNECT_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                compression=None,
                proxy=None,
            )
        except InvalidStatus as exc:
            body = (exc.response.body or b"").decode(errors="replace")[:200]
            raise CallFailed(
                f"the server refused the call with status {exc.response.status_code}: {body}"
            ) from exc
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as exc:
            raise CallFailed(f"cannot connect to {self.url}: {exc}; is the server up?") from exc

    async def _open(self) -> None:
        if self.codec.waits_for_server:
            await self._first(self._first_message, CONNECT_TIMEOUT_S)
            if not self._first_message.is_set():
                raise CallFailed("the server sent nothing, and this peer waits for it to begin")
        assert self._socket is not None
        try:
            for message in self.codec.opening(self._epoch_ms()):
                await self._socket.send(message)
        except ConnectionClosed as exc:
            raise self._failure("the server closed the connection at once") from exc

    async def _read(self) -> None:
        assert self._socket is not None
        try:
            async for message in self._socket:
                self._first_message.set()
                for heard in self.codec.read(message):
                    self._take(heard)
        except ConnectionClosed:
            pass
        finally:
            self._closed.set()

    async def _talk(self) -> None:
        """Send a frame every 20 ms against absolute deadlines, for as long as the call lasts."""
        assert self._socket is not None
        period = FRAME_MS / 1000 * self._burst
        due = self._clock.monotonic()
        with contextlib.suppress(ConnectionClosed):
            while True:
                due += period
                await asyncio.sleep(max(due - self._clock.monotonic(), 0))
                late_ms = (self._clock.monotonic() - due) * 1000
                self._report.max_late_send_ms = max(self._report.max_late_send_ms, late_ms)
                for _ in range(self._burst):
                    await self._send_frame()

    async def _send_frame(self) -> None:
        assert self._socket is not None
        now = self._clock.monotonic()
        before = self._mouth.current
        pcm, finished = self._mouth.frame(now)
        if before is not None:
            self._note_end_of_speech(before)
        if self._spoken is not None:
            self._spoken += pcm
        await self._socket.send(self.codec.audio(pcm, self._epoch_ms()))
        if finished is not None:
            self._said.set()

    def _note_end_of_speech(self, utterance: Utterance) -> None:
        """Listen for the answer from the caller's last sound on, not from the end of the file."""
        turn = self.turn
        if utterance.ended_at is not None and turn.speech_end_s is None:
            turn.speech_start_s = self._since_start(utterance.started_at)
            turn.speech_end_s = self._since_start(utterance.ended_at)
            self.ear.mark(utterance.ended_at)

    async def _keep_alive(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(self.codec.keepalive_secs)
                await self._socket.send(self.codec.keepalive(self._epoch_ms()))

    # What was heard

    def _take(self, heard: Heard) -> None:
        now = self._clock.monotonic()
        if isinstance(heard, AgentAudio):
            if self.ear.hear(now, heard.pcm, heard.sample_rate):
                self._sound.set()
            return
        self._file(heard, now)
        if self._listener is not None:
            self._listener(now - self._started, heard)

    def _file(self, heard: Heard, now: float) -> None:
        turn = self.turn
        if isinstance(heard, Transcript):
            if heard.final:
                turn.transcripts.append(heard.text)
        elif isinstance(heard, AgentText):
            turn.add_agent_text(heard)
        elif isinstance(heard, ToolCall):
            turn.tool_calls.append({"name": heard.name, "arguments": heard.arguments})
        elif isinstance(heard, Flush):
            self.ear.flush(now)
        elif isinstance(heard, Dropped):
            self._report.dropped.append(heard.reason)
        elif isinstance(heard, PeerError):
            self._report.errors.append(heard.message)
        elif isinstance(heard, Notice):
            self._report.notices[heard.kind] = self._report.notices.get(heard.kind, 0) + 1
            self._report.session_id = str(heard.data.get("session_id", self._report.session_id))

    # Time

    def _epoch_ms(self) -> int:
        return epoch_ms(self._clock.utc_now())

    def _since_start(self, at: float | None) -> float | None:
        return None if at is None else at - self._started

    async def _first(self, event: asyncio.Event, timeout_s: float | None) -> None:
        """Wait for the event, the end of the call or the time-out, whichever is first."""
        loop = asyncio.get_running_loop()
        waits = [loop.create_task(e.wait()) for e in {event, self._closed}]
        try:
            await asyncio.wait(
                waits,
                timeout=None if timeout_s is None else max(timeout_s, 0),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _failure(self, what: str) -> CallFailed:
        code = self._socket.close_code if self._socket else None
        reason = self._socket.close_reason if self._socket else ""
        detail = f" (close code {code}{': ' + reason if reason else ''})" if code else ""
        return CallFailed(what + detail)
