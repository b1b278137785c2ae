"""What to send to an Asterisk channel when: its frame queue never short, never full; sans-I/O.

Sources: asterisk/asterisk, `channels/chan_websocket.c` (queue of 1000 frames, XOFF at 900, XON
below 800, whole messages dropped silently at 1000); docs.asterisk.org, Configuration/
Channel-Drivers/WebSocket; the flow chart of pipecat-asterisk's README, whose constants are the
defaults here; and traffic recorded from a real Asterisk (`tests/captures/asterisk`).

The chart, asked by `due`: below low water send at once; between the waters send when there is a
batch to send and room for it; above high water wait. What differs from the chart is that the level
is known, not guessed: a mark follows every 200 ms of audio, and Asterisk tells when its player
reaches it (see `asterisk_queue`). Where a mark is overdue, GET_STATUS tells the level exactly,
because messages keep their order. High water is therefore a limit, and no batch exceeds it.
"""

import math
from collections import deque

from antiphon.protocols.asterisk import (
    AsteriskEvent,
    Command,
    FlushMedia,
    GetStatus,
    MarkMedia,
    MediaBufferingCompleted,
    MediaMarkProcessed,
    MediaXoff,
    MediaXon,
    QueueDrained,
    StartMediaBuffering,
    Status,
    StopMediaBuffering,
)
from antiphon.protocols.asterisk_queue import RemoteQueue

Outgoing = bytes | Command
"""Media (a binary message) or a command (a text message), in the order to be sent."""

MARK_PREFIX = "fc-"
"""Correlation ids of the controller begin so: use others for marks of your own."""

_OVERDUE_SECS = 0.3
"""How late a mark may be before the estimate is thought wrong: a slow network's round trip."""
_ASK_SECS = 1.0
_ASK_AGAIN_SECS = 5.0  # while a STATUS is outstanding
_WAKE_SECS = 0.001  # so that rounding never wakes the caller just before the time


class FlowController:
    """What to send when, so that the peer's queue is never short and never full.

    The caller sends what `due` and `interrupt` return, in order, and gives every event it receives
    to `receive`; after `push`, `end_utterance` and `receive` it asks `next_due` again. Times are
    seconds on any clock that does not go back. GET_STATUS must be sent through `ask_status`, since
    its answers carry no id. Not for passthrough channels, whose queue takes no commands; not
    thread-safe.

    Args:
        frame_bytes: Bytes of one frame: MEDIA_START's `optimal_frame_size`.
        frame_ms: Length of one frame, ms: its `ptime`.
        queue_frames: Frames the peer's queue holds.
        low_water: Share of the queue below which audio is sent at once.
        high_water: Share of the queue that is not exceeded.
        min_batch_frames: Between the waters, frames to wait for before sending.
        max_send_bytes: Most bytes of one message, and of one batch above low water.
        mark_interval_ms: Audio from one mark to the next, ms.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        frame_bytes: int,
        frame_ms: float,
        queue_frames: int = 1000,
        low_water: float = 0.1,
        high_water: float = 0.8,
        min_batch_frames: int = 50,
        max_send_bytes: int = 65_500,
        mark_interval_ms: float = 200,
    ):
        if frame_bytes < 1 or frame_ms <= 0:
            raise ValueError(
                f"a frame is {frame_bytes} bytes and {frame_ms} ms; both must be more than 0 "
                "(passthrough channels have no frame size and no use for flow control)"
            )
        if not 0 <= low_water < high_water <= 1:
            raise ValueError(
                f"low_water is {low_water} and high_water {high_water}; use 0 <= low < high <= 1"
            )
        if max_send_bytes < frame_bytes:
            raise ValueError(
                f"max_send_bytes is {max_send_bytes}; it must hold a frame of {frame_bytes} bytes"
            )
        self.frame_bytes = frame_bytes
        self.frame_ms = frame_ms
        self.generation = 0
        """Interruptions so far."""
        self._frame_secs = frame_ms / 1000
        self._high = max(math.floor(queue_frames * high_water), 1)
        # An empty queue is always below low water, or the last frames would wait for ever.
        self._low = max(min(queue_frames * low_water, self._high - 1), 0.5)
        self._min_batch = max(min_batch_frames, 1)
        self._batch = max_send_bytes // frame_bytes
        self._mark_frames = max(round(mark_interval_ms / frame_ms), 1)

        self._remote = RemoteQueue(frame_bytes=frame_bytes, frame_secs=self._frame_secs)
        self._pushed = 0
        self._held = bytearray()
        self._ends: deque[int] = deque()  # where utterances that are not yet stopped end
        self._last_end = 0
        self._next_batch_at = -math.inf
        self._buffering = False
        self._since_mark = 0  # frames
        self._mark_count = 0
        self._xoff = False
        self._asked: deque[tuple[int, int]] = deque()  # generation, frames sent before
        self._asked_at = -math.inf
        self._ask_now = False

    # Audio in.

    @property
    def pushed_bytes(self) -> int:
        """All audio pushed since the beginning, bytes; the interrupted remainder included."""
        return self._pushed

    @property
    def waiting_bytes(self) -> int:
        """Audio pushed and not yet given out by `due`, bytes."""
        return len(self._held)

    def push(self, data: bytes) -> None:
        """Add audio in the wire format, of any length; a part of a frame waits for the rest."""
        self._held += data
        self._pushed += len(data)

    def end_utterance(self) -> None:
        """What was pushed so far is an utterance: it is stopped, and its tail padded by the peer.

        Does nothing when nothing was pushed since the last end.
        """
        if self._pushed > self._last_end:
            self._ends.append(self._pushed)
            self._last_end = self._pushed

    # Sending.

    def due(self, now: float) -> list[Outgoing]:
        """What is to be sent now, in order."""
        out: list[Outgoing] = []
        if self._held or self._ends:
            self._send(self._allowance(now), out, now)
        if self._status_at() <= now:
            out.append(self._get_status(now))
        return out

    def next_due(self, now: float) -> float | None:
        """When `due` should be asked again; None: not before something is pushed or received."""
        at = min(self._status_at(), self._media_at(now))
        return None if at == math.inf else max(at, now)

    def interrupt(self, now: float) -> list[Outgoing]:
        """Drop what was not sent and flush the peer's queue: to be sent at once.

        `heard_until` then tells what was heard. A new generation begins: its audio is buffered
        anew, and what the peer says of the old one does not move it.
        """
        out: list[Outgoing] = [FlushMedia()]
        self._remote.flushed(self._pushed, now)
        self.generation += 1
        self._held.clear()
        self._ends.clear()
        self._last_end = self._pushed
        self._next_batch_at = -math.inf
        self._buffering = False
        self._since_mark = 0
        self._ask_now = False
        if self._xoff:
            # The queue is empty whatever XOFF said, and an XON may never come: STATUS tells.
            self._xoff = False
            out.append(self._get_status(now))
        return out

    def ask_status(self) -> None:
        """Have the next `due` send GET_STATUS; after PAUSE_MEDIA and CONTINUE_MEDIA, say."""
        self._ask_now = True

    # What the peer says.

    def receive(self, event: AsteriskEvent, now: float) -> None:
        """Take note of an event; those that say nothing about the queue are ignored."""
        if isinstance(event, MediaMarkProcessed | MediaBufferingCompleted):
            if event.correlation_id:
                self._remote.reached(event.correlation_id, now)
        elif isinstance(event, Status):
            self._receive_status(event, now)
        elif isinstance(event, MediaXoff):
            self._xoff = True
            self._ask_now = True  # high water is below XOFF's level: the estimate must be wrong
        elif isinstance(event, MediaXon):
            self._xoff = False
        elif isinstance(event, QueueDrained) and self._remote.level(now) > 0:
            # All that has arrived is played; how much is still on its way only STATUS can tell.
            self._ask_now = True

    # Where the peer's player is.

    @property
    def confirmed_bytes(self) -> int:
        """Position in the pushed stream that the player has reached for certain.

        It equals `pushed_bytes` once all audio was heard to its end, or was interrupted.
        """
        return self._remote.confirmed_position

    def played_bytes(self, now: float) -> float:
        """Position in the pushed stream that the player has reached: marks, and the clock since.

        After an interruption it is `heard_until` until new audio is sent.
        """
        return self._remote.played_position(now)

    def remote_bytes(self, now: float) -> float:
        """Audio that waits in the peer's queue or is on its way there, bytes."""
        return self._remote.level_bytes(now)

    def heard_until(self) -> int:
        """Position in the pushed stream that was heard before the last interruption; 0 before one.

        The end of a whole frame, or of an utterance. It rises when the event of a mark that was
        reached before the flush comes in after it.
        """
        return self._remote.heard_position

    # The chart.

    def _waiting_frames(self) -> int:
        whole = len(self._held) // self.frame_bytes
        return whole or (1 if self._ends and self._held else 0)

    def _batch_level(self, waiting: int) -> float:
        """The level of the peer's queue up to which there is room for a batch; below 0: no batch.

        The end of an utterance is a batch of any size: nothing more will come to make it one.
        """
        if waiting < self._min_batch and not self._ends:
            return -1
        return self._high - min(self._min_batch, waiting)

    def _allowance(self, now: float) -> int:
        """Frames that may be sent now."""
        waiting = self._waiting_frames()
        if not waiting or self._xoff:
            return 0
        level = self._remote.level(now)
        batch = self._batch
        if level < self._low:
            batch = max(batch, math.ceil(self._low - level))
        elif level > self._batch_level(waiting) or now < self._next_batch_at:
            return 0
        # One batch a frame: a long reply fills the queue in steps, so that neither the event loop
        # nor the flush of an interruption ever has megabytes in front of it.
        self._next_batch_at = now + self._frame_secs
        return min(batch, math.floor(self._high - level))

    def _media_at(self, now: float) -> float:
        """When `_send` will next have something to do."""
        if self._ends and self._ends[0] == self._remote.sent_position:
            return now
        waiting = self._waiting_frames()
        if not waiting or self._xoff:
            return math.inf
        level = self._remote.level(now)
        batch_level = self._batch_level(waiting)
        if level < self._low:
            return now
        if level <= batch_level:
            return self._next_batch_at
        return max(self._remote.level_at(max(self._low, batch_level)), now) + _WAKE_SECS

    def _send(self, frames: int, out: list[Outgoing], now: float) -> None:
        """Give out up to `frames` frames, and the commands that belong to them."""
        while True:
            end = self._ends[0] if self._ends else self._pushed
            left = end - self._remote.sent_position
            if not left and self._ends:
                self._ends.popleft()
                self._stop(out)
            elif left >= self.frame_bytes and frames > 0:
                room = min(frames, self._mark_frames - self._since_mark, self._batch)
                count = min(left // self.frame_bytes, room)
                self._send_media(count, count * self.frame_bytes, out, now)
                frames -= count
                stops_here = self._ends and left == count * self.frame_bytes
                if self._since_mark >= self._mark_frames and not stops_here:
                    self._mark(out)
            elif left and self._ends and frames > 0:
                self._send_media(1, left, out, now)
                frames -= 1
            else:
                return

    def _send_media(self, frames: int, size: int, out: list[Outgoing], now: float) -> None:
        if not self._buffering:
            self._buffering = True
            out.append(StartMediaBuffering())
        out.append(bytes(memoryview(self._held)[:size]))
        del self._held[:size]  # moves no bytes: the buffer's start is advanced
        self._remote.sent(frames, size, now)
        self._since_mark += frames

    def _mark(self, out: list[Outgoing]) -> None:
        out.append(MarkMedia(self._next_id()))
        self._since_mark = 0

    def _stop(self, out: list[Outgoing]) -> None:
        out.append(StopMediaBuffering(self._next_id()))  # its event is the utterance's last mark
        self._since_mark = 0
        self._buffering = False

    def _next_id(self) -> str:
        self._mark_count += 1
        correlation_id = f"{MARK_PREFIX}{self._mark_count}"
        self._remote.marked(correlation_id)
        return correlation_id

    # STATUS.

    def _status_at(self) -> float:
        """When GET_STATUS is to be sent."""
        if self._ask_now:
            return -math.inf
        at = self._remote.mark_at() + _OVERDUE_SECS
        if self._xoff:
            at = -math.inf
        return max(at, self._asked_at + (_ASK_AGAIN_SECS if self._asked else _ASK_SECS))

    def _get_status(self, now: float) -> GetStatus:
        self._ask_now = False
        self._asked_at = now
        self._asked.append((self.generation, self._remote.sent_frames))
        return GetStatus()

    def _receive_status(self, event: Status, now: float) -> None:
        self._remote.paused(event.media_paused, now)
        if self._asked:
            generation, sent_before = self._asked.popleft()
            if generation == self.generation:
                self._remote.status(event.queue_length, sent_before, now)
        if event.queue_length < event.xon_level:
            self._xoff = False
