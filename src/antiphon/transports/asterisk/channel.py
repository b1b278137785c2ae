"""One channel of Asterisk's: its socket, both ways, and what to send when.

Nothing here knows of Pipecat. There is one writer; what it sends comes from three places, in this
order: commands (FLUSH_MEDIA before all others), what the flow controller gave out and is not sent
yet, and what it gives out when asked. An interruption drops the second.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from antiphon.clock import Clock
from antiphon.errors import AntiphonError
from antiphon.protocols.asterisk import (
    AsteriskEvent,
    Command,
    ContinueMedia,
    FlushMedia,
    GetStatus,
    Hangup,
    MarkMedia,
    MediaStart,
    PauseMedia,
    StartMediaBuffering,
    StopMediaBuffering,
)
from antiphon.protocols.asterisk.codec import AsteriskCodec
from antiphon.protocols.asterisk_flow import MARK_PREFIX, FlowController, Outgoing
from antiphon.transports.asterisk.connection import Connection, ConnectionEnded
from antiphon.transports.asterisk.params import AsteriskWebsocketParams
from antiphon.transports.asterisk.started import StartedChannel
from antiphon.transports.participant import Departure

log = logging.getLogger(__name__)

CLOSE_NORMAL = 1000
CLOSE_UNSUPPORTED = 1003

_REASONS = {1000: "disconnect", 1001: "closed", 1005: "lost", 1006: "lost"}
"""What Asterisk's close codes mean: 1000 is a hang-up."""

_CONTROLLERS_OWN = frozenset({StartMediaBuffering.NAME, StopMediaBuffering.NAME, FlushMedia.NAME})

EventHandler = Callable[[AsteriskEvent], Awaitable[None]]
MediaHandler = Callable[[bytes], Awaitable[None]]
OpenHandler = Callable[[], Awaitable[None]]


class AsteriskChannel:
    """A channel from its first message to its end.

    Args:
        connection: Its WebSocket.
        params: Limits and times.
        clock: Source of time.
        started: What MEDIA_START said, where it has been read.
        on_open: Awaited once the connection is open, before anything is read.
        on_event: Awaited for every event, after it was acted upon here.
        on_media: Awaited for every media message.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        params: AsteriskWebsocketParams,
        clock: Clock,
        started: StartedChannel | None,
        on_open: OpenHandler,
        on_event: EventHandler,
        on_media: MediaHandler,
    ):
        self.connection = connection
        self.started: StartedChannel | None = None
        self.ready = asyncio.Event()
        """Set when MEDIA_START is known, or the call is over."""
        self.ended = asyncio.Event()
        self.departure: Departure | None = None
        """How it ended; None while it is up."""
        self.running = False
        """Whether `run` has been called."""
        self._params = params
        self._clock = clock
        self._on_open, self._on_event, self._on_media = on_open, on_event, on_media
        self._codec = AsteriskCodec()
        self._flow: FlowController | None = None
        self._control: deque[str] = deque()
        self._outbox: deque[Outgoing] = deque()
        self._wake = asyncio.Event()
        self._waiters: set[asyncio.Future[None]] = set()
        self._hung_up = False
        self._close: tuple[int, str] | None = None
        if started is not None:
            self._start(started)

    # Audio out; positions and sizes are bytes of the wire format.

    @property
    def bytes_per_ms(self) -> float:
        """Of the wire format; 16 before MEDIA_START."""
        return self.started.format.bytes_per_second / 1000 if self.started else 16.0

    @property
    def pushed_bytes(self) -> int:
        """All audio pushed since the beginning."""
        return self._flow.pushed_bytes if self._flow else 0

    @property
    def played_bytes(self) -> float:
        """How much of it Asterisk's player has reached, or was interrupted."""
        return self._flow.played_bytes(self._clock.monotonic()) if self._flow else 0.0

    @property
    def queued_bytes(self) -> float:
        """Audio that waits here or at Asterisk's."""
        if self._flow is None:
            return 0.0
        return self._flow.waiting_bytes + self._flow.remote_bytes(self._clock.monotonic())

    def push(self, data: bytes) -> None:
        """Have audio sent as soon as Asterisk's queue has room."""
        if self._flow is not None and not self._is_leaving:
            self._flow.push(data)
            self._wake.set()

    def end_utterance(self) -> None:
        """What was pushed is complete: a part of a frame at its end is filled up and played."""
        if self._flow is not None:
            self._flow.end_utterance()
            self._wake.set()

    def interrupt(self) -> int:
        """Flush Asterisk's queue and drop what is not sent; returns how far was heard.

        FLUSH_MEDIA is the next message to go out. At most the one message that is being written
        now is before it.
        """
        flow = self._flow
        if flow is None or self._is_leaving:
            return 0
        # Answers to GET_STATUS carry no id, so one that the controller counts on must be asked.
        kept = [message for message in self._outbox if isinstance(message, GetStatus)]
        flush, *status = flow.interrupt(self._clock.monotonic())
        assert isinstance(flush, FlushMedia)
        self._outbox = deque([*kept, *status])
        self._control.appendleft(self._codec.command(flush))
        self._notify()
        return flow.heard_until()

    async def wait_change(self, secs: float) -> None:
        """Wait until the peer says something, an interruption, or the end; at most `secs`."""
        await _wait(self._waiters, secs)

    # Commands.

    def send(self, command: Command) -> None:
        """Send a command, before any media that waits.

        Raises:
            ValueError: the format is not known yet, the command does not fit it, or it belongs
                to the flow controller.
        """
        _check_not_the_controllers(command)
        if self._is_leaving:
            return
        if isinstance(command, GetStatus | PauseMedia | ContinueMedia) and self._flow is not None:
            self._flow.ask_status()
        if not isinstance(command, GetStatus):
            self._control.append(self._codec.command(command))
        self._wake.set()

    def start_hang_up(self) -> None:
        """Send HANGUP; what is queued is not played any more. Does nothing the second time."""
        if self._is_leaving:
            return
        if self.started is None:
            self.close()
            return
        self.send(Hangup())
        self._hung_up = True
        self._notify()

    async def hang_up(self, *, wait_secs: float) -> None:
        """Send HANGUP and wait for Asterisk to close; after `wait_secs` we close."""
        self.start_hang_up()
        await self._wait_ended(wait_secs)
        await self.leave(wait_secs=wait_secs, departure="hangup")

    async def leave(self, *, wait_secs: float, departure: str = "") -> None:
        """Close the socket and wait until that is done, at most `wait_secs`."""
        self.close(departure=departure)
        if self.running:
            await self._wait_ended(wait_secs)
        else:
            await self.connection.close()

    def close(self, code: int = CLOSE_NORMAL, reason: str = "", *, departure: str = "") -> None:
        """Close the socket once the commands that wait have been sent."""
        if self._close is None and not self.ended.is_set():
            self._close = (code, reason)
            self.departure = self.departure or Departure(departure or reason or "closed", code)
            self._notify()

    async def _wait_ended(self, secs: float) -> None:
        if self.running and not self.ended.is_set():
            try:
                async with asyncio.timeout(secs):
                    await self.ended.wait()
            except TimeoutError:
                return

    @property
    def _is_leaving(self) -> bool:
        return self._hung_up or self._close is not None or self.ended.is_set()

    def _notify(self) -> None:
        self._wake.set()
        for waiter in self._waiters:
            _release(waiter)

    # The socket's side.

    async def run(self) -> Departure:
        """Read and write until the connection ends; returns how it ended. Cancelling is safe.

        Raises:
            RuntimeError: it was run before.
        """
        if self.running:
            raise RuntimeError("the channel has been run already; make a new transport for a call")
        self.running = True
        try:
            await self.connection.open()
            async with asyncio.TaskGroup() as tasks:
                jobs = {
                    tasks.create_task(self._write()),
                    tasks.create_task(self._read()),
                    tasks.create_task(self._await_start()),
                }
                await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
                for job in jobs:
                    job.cancel()
        except ConnectionError as error:
            log.error("%s", error)  # noqa: TRY400 - the message says it all
            self.departure = self.departure or Departure("unreachable")
        finally:
            self.departure = self.departure or Departure("lost")
            self.ended.set()
            self.ready.set()
            self._notify()
        return self.departure

    async def _await_start(self) -> None:
        """Returns when no MEDIA_START comes in time."""
        try:
            async with asyncio.timeout(self._params.media_start_timeout_secs):
                await self.ready.wait()
            await asyncio.Event().wait()
        except TimeoutError:
            log.warning("no MEDIA_START; is the peer Asterisk's WebSocket channel?")
            self.departure = self.departure or Departure("no_media_start")
            await self.connection.close(CLOSE_UNSUPPORTED, "no MEDIA_START")

    async def _write(self) -> None:
        limit = self._params.audio_out_write_timeout_secs
        try:
            while (message := await self._next()) is not None:
                async with asyncio.timeout(limit):
                    await self.connection.send(message)
            code, reason = self._close or (CLOSE_NORMAL, "")
            await self.connection.close(code, reason)
        except ConnectionEnded as ended:
            # The close code is the reader's to tell, which ends in a moment.
            log.debug("write failed: %s", ended)
            await asyncio.sleep(1)
        except TimeoutError:
            log.warning("Asterisk has not read its socket for %s s; leaving the call", limit)
            self.departure = self.departure or Departure("slow_reader")

    async def _next(self) -> str | bytes | None:
        """The next message to write; None: close."""
        while True:
            if self._control:
                return self._control.popleft()
            if self._close is not None:
                return None
            at = None
            if self._flow is not None and not self._hung_up:
                now = self._clock.monotonic()
                if not self._outbox:
                    self._outbox.extend(self._flow.due(now))
                if self._outbox:
                    message = self._outbox.popleft()
                    return message if isinstance(message, bytes) else self._codec.command(message)
                at = self._flow.next_due(now)
            self._wake.clear()
            await self._sleep_until(at)

    async def _sleep_until(self, at: float | None) -> None:
        if at is None:
            await self._wake.wait()
            return
        try:
            async with asyncio.timeout(max(at - self._clock.monotonic(), 0)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _read(self) -> None:
        try:
            await self._on_open()
            while True:
                message = await self.connection.receive()
                if isinstance(message, bytes):
                    if self.started is not None:
                        await self._on_media(message)
                else:
                    await self._receive_text(message)
        except ConnectionEnded as ended:
            reason = "hangup" if self._hung_up else _REASONS.get(ended.code, "closed")
            self.departure = self.departure or Departure(reason, ended.code)

    async def _receive_text(self, text: str) -> None:
        event = self._codec.receive_text(text)
        if self._flow is not None:
            self._flow.receive(event, self._clock.monotonic())
            self._notify()
        elif isinstance(event, MediaStart):
            try:
                self._start(StartedChannel.of(self._codec, event))
            except (ValueError, AntiphonError) as error:
                log.error("the call cannot be served: %s", error)  # noqa: TRY400 - so does this
                self.close(CLOSE_UNSUPPORTED, str(error), departure="unsupported_media")
        await self._on_event(event)

    def _start(self, started: StartedChannel) -> None:
        params = self._params
        self.started = started
        self._codec = started.codec
        self._flow = FlowController(
            frame_bytes=started.start.optimal_frame_size,
            frame_ms=started.start.ptime,
            queue_frames=params.queue_frames,
            low_water=params.low_water,
            high_water=params.high_water,
            min_batch_frames=params.min_batch_frames,
            max_send_bytes=params.max_send_bytes,
            mark_interval_ms=params.mark_interval_ms,
        )
        self.ready.set()
        self._notify()


def _check_not_the_controllers(command: Command) -> None:
    if command.NAME in _CONTROLLERS_OWN:
        raise ValueError(
            f"{command.NAME} is sent by the flow controller; push audio, or an InterruptionFrame"
        )
    if isinstance(command, MarkMedia) and (command.correlation_id or "").startswith(MARK_PREFIX):
        raise ValueError(
            f"correlation_id is {command.correlation_id!r}; ids that begin with {MARK_PREFIX!r} "
            "are the flow controller's"
        )


async def _wait(waiters: set[asyncio.Future[None]], secs: float) -> None:
    """Wait until somebody releases `waiters`, at most `secs`; a third of a timeout's cost."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(secs, _release, waiter)
    waiters.add(waiter)
    try:
        await waiter
    finally:
        timer.cancel()
        waiters.discard(waiter)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
