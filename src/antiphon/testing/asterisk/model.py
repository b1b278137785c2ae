"""Asterisk's chan_websocket as its traffic shows it; sans-I/O, time is an argument.

Each behaviour names the capture (`tests/captures/asterisk/<name>.txt`) it was seen in; "source"
means Asterisk's `channels/chan_websocket.c`, where no capture shows it. Nothing of
`antiphon.protocols` is used here, so that an error in the codec cannot hide.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from antiphon.testing.asterisk.wire import EventWriter, read_command

QUEUE_FRAMES = 1000
"""A message that comes when so many frames are queued is dropped whole (`overflow_slin16_json`)."""
XOFF_FRAMES = 900
XON_FRAMES = 800
MAX_TEXT_BYTES = 128
"""A longer text is ignored, without an answer (`wrong_json`: 128 bytes work, 129 do not)."""
MAX_FRAME_BYTES = 65_535
"""A WebSocket frame, header included, beyond this closes the call with 1009 (`maxsize_json`)."""

Direction = Literal["both", "in", "out"]
"""As the application sees it: `in`, it only hears; `out`, it only speaks (`direction_json`)."""

_DIRECTIONS: tuple[Direction, ...] = ("both", "in", "out")
# Refused in passthrough, and but for the direction itself while the direction is `in`.
_MEDIA_COMMANDS = frozenset(
    {
        "START_MEDIA_BUFFERING",
        "STOP_MEDIA_BUFFERING",
        "MARK_MEDIA",
        "FLUSH_MEDIA",
        "PAUSE_MEDIA",
        "CONTINUE_MEDIA",
        "REPORT_QUEUE_DRAINED",
    }
)


class Tick(NamedTuple):
    """What happened since the last tick."""

    played: list[bytes]
    """Frames in the wire format, each of a whole frame's bytes; silence in between is left out."""
    texts: list[str]
    """To be sent to the application, in this order."""


@dataclass(slots=True)
class Counters:
    """What has happened to the application's audio so far."""

    frames_queued: int = 0
    frames_played: int = 0
    frames_flushed: int = 0
    frames_padded: int = 0
    """Short frames that STOP_MEDIA_BUFFERING made out of a remainder."""
    silent_ticks: int = 0
    """Times the player had no frame (empty queue or pause)."""
    marks_flushed: int = 0
    """Marks, and ends of buffering, discarded by FLUSH_MEDIA: their events never come."""
    messages_dropped: int = 0
    """Messages dropped whole and silently because the queue was full."""
    bytes_dropped: int = 0
    """Bytes of those messages."""
    remainder_bytes_dropped: int = 0
    """Bytes short of a frame that came outside buffering, or were flushed in it."""
    refused_bytes: int = 0
    """Audio sent while the direction was `in`."""
    fragment_bytes_dropped: int = 0
    """Lost because the message was fragmented."""
    texts_ignored: int = 0
    """Empty or overlong texts and unknown commands: Asterisk only logs them."""


class _Mark(NamedTuple):
    text: str


class ChannelModel:
    """One channel: what the application sends goes in, what Asterisk answers and plays comes out.

    `now` is in seconds on any clock that never goes back. The player's timer runs from `started_at`
    (or from the first `now` seen) at one tick each `ptime_ms`, also while nothing is queued, while
    paused, and before the channel is answered (`inbound_json`: marks are reached without ANSWER).
    Ticks that are due run before what is received at `now`; the frames they play are handed over
    by the next `tick()`, their texts at once.

    Args:
        frame_bytes: bytes of one frame (`optimal_frame_size`).
        ptime_ms: length of one frame, ms.
        json: JSON control format; otherwise plain text.
        channel_id: the channel's unique id, as it is in events.
        passthrough: dial option `p`: messages are neither cut nor joined, most commands refused.
        direction: dial option `d(...)`.
        silence: the byte that pads a short frame (0 for slin, 0xFF for ulaw, 0xD5 for alaw).
        message_header_bytes: of a message of 65,535 bytes or less on the wire: 4 where Asterisk is
            the client, 8 where it is the server (the application masks what it sends).
        started_at: when the channel's timer started, seconds.

    Raises:
        ValueError: `frame_bytes` or `ptime_ms` is not positive.
    """

    def __init__(
        self,
        *,
        frame_bytes: int,
        ptime_ms: int = 20,
        json: bool,
        channel_id: str = "1795212000.1",
        passthrough: bool = False,
        direction: Direction = "both",
        silence: int = 0,
        message_header_bytes: int = 4,
        started_at: float | None = None,
    ):
        if frame_bytes <= 0 or ptime_ms <= 0:
            raise ValueError(
                f"frame_bytes and ptime_ms must be positive, not {frame_bytes} and {ptime_ms}"
            )
        self.frame_bytes = frame_bytes
        self.ptime_ms = ptime_ms
        self.passthrough = passthrough
        self.direction: Direction = direction
        self.answered = False
        """Whether ANSWER came; a channel without option `n` is answered by its owner."""
        self.buffering = False
        self.paused = False
        self.xoff = False
        """Whether the last of MEDIA_XOFF and MEDIA_XON was XOFF (`queue_full` of STATUS)."""
        self.close_code: int | None = None
        """With what code Asterisk closes the WebSocket; None while the call is up."""
        self.queue_length = 0
        """Frames; marks do not count (`tonebulk_slin16_json`: 151 frames, two marks)."""
        self.max_queue_length = 0
        self.counters = Counters()
        self.events = EventWriter(json, channel_id)
        self._json = json
        self._silence = bytes([silence])
        self._max_payload = MAX_FRAME_BYTES - message_header_bytes
        self._queue: deque[bytes | _Mark] = deque()
        self._remainder = b""
        self._report_drained = False
        self._started_at = started_at
        self._ticks = 0
        self._played: list[bytes] = []

    @property
    def closed(self) -> bool:
        """Whether the call is over; nothing is played or answered any more."""
        return self.close_code is not None

    @property
    def next_tick_at(self) -> float | None:
        """When the player takes its next frame, seconds; None: over, or not started."""
        if self._started_at is None or self.closed:
            return None
        return self._started_at + (self._ticks + 1) * self.ptime_ms / 1000

    def tick(self, now: float) -> Tick:
        """Play what is due until `now`."""
        texts = self._run_until(now)
        played, self._played = self._played, []
        return Tick(played, texts)

    def receive_text(self, text: str, now: float) -> list[str]:
        """Take a command; returns what is to be sent to the application."""
        texts = self._run_until(now)
        if self.closed:
            return texts
        size = len(text.encode())
        if size > self._max_payload:
            self.close(1009)
            return texts
        if not 0 < size <= MAX_TEXT_BYTES:
            self.counters.texts_ignored += 1
            return texts
        command = read_command(text, as_json=self._json)
        if command is None:
            return [*texts, self.events.error("Unable to parse JSON command")]
        return [*texts, *self._obey(command.name, command.arguments)]

    def receive_bytes(self, data: bytes, now: float) -> list[str]:
        """Take a binary message; returns what is to be sent to the application."""
        texts = self._run_until(now)
        if self.closed:
            return texts
        if len(data) > self._max_payload:
            self.close(1009)
            return texts
        return texts + self._take(data)

    def receive_fragments(self, fragments: Sequence[bytes], now: float) -> list[str]:
        """Take one binary message that came in several WebSocket frames.

        Asterisk keeps only its beginning: the first fragments that make up a frame of audio. The
        rule is fitted to the four messages of `fragment_json`; do not send fragmented messages.
        """
        kept = b""
        for fragment in fragments:
            kept += fragment
            if len(kept) >= self.frame_bytes:
                break
        self.counters.fragment_bytes_dropped += sum(map(len, fragments)) - len(kept)
        return self.receive_bytes(kept, now)

    def press(self, digit: str, now: float) -> list[str]:
        """The caller pressed a key and let it go (`dtmf_sip_json`)."""
        texts = self._run_until(now)
        return texts if self.closed else [*texts, self.events.dtmf_end(digit)]

    def close(self, code: int = 1000) -> None:
        """End the call: the caller's hang-up is 1000, a lost socket 1006 (`abort_json`).

        What is queued is lost and the marks in it are not reported (`hangup_pending_json`).
        """
        if self.close_code is None:
            self.close_code = code
            self._queue.clear()
            self._remainder = b""
            self.queue_length = 0

    def lose_ticks(self, count: int) -> None:
        """The player's timer misses its next ticks, as a loaded Asterisk's does.

        `overflow_slin_plain_65k`: five ticks lost in 20 s, so all that was queued was heard 100 ms
        later than the clock says.
        """
        if self._started_at is not None:
            self._started_at += count * self.ptime_ms / 1000

    def _obey(self, name: str | None, arguments: Mapping[str, str]) -> list[str]:
        match name:
            case "GET_STATUS":
                return [self._status()]
            case "ANSWER":
                self.answered = True
            case "HANGUP":
                self.close(1000)
            case "SET_MEDIA_DIRECTION":
                return self._set_direction(arguments.get("direction"))
            case str() if name in _MEDIA_COMMANDS:
                return self._control_media(name, arguments.get("correlation_id"))
            case _:
                self.counters.texts_ignored += 1
        return []

    def _set_direction(self, direction: str | None) -> list[str]:
        """Texts of `direction_plain`, `wrong_json` and `passthrough_json`."""
        if self.passthrough:
            return [self._refusal("SET_MEDIA_DIRECTION not supported in passthrough mode")]
        if not self._json:
            return [self._refusal("SET_MEDIA_DIRECTION only supports JSON format.\n")]
        if direction is None:
            return [self._refusal("SET_MEDIA_DIRECTION requires a 'direction' parameter.\n")]
        known = next((one for one in _DIRECTIONS if one == direction), None)
        if known is None:
            text = f"'{direction}' is not a valid direction for SET_MEDIA_DIRECTION.\n"
            return [self._refusal(text)]
        self.direction = known
        return []

    def _control_media(self, name: str, correlation_id: str | None) -> list[str]:
        if self.passthrough:
            return [self._refusal(f"{name} not supported in passthrough mode")]
        if self.direction == "in":
            return [self._refusal(f"{name} not supported while media direction is 'in'")]
        match name:
            case "START_MEDIA_BUFFERING":
                self.buffering = True
            case "STOP_MEDIA_BUFFERING":
                return self._stop_buffering(correlation_id)
            case "MARK_MEDIA":
                mark = self.events.correlated("MEDIA_MARK_PROCESSED", correlation_id)
                self._queue.append(_Mark(mark))
            case "FLUSH_MEDIA":
                self._flush()
            case "PAUSE_MEDIA":
                self.paused = True
            case "CONTINUE_MEDIA":
                self.paused = False
            case "REPORT_QUEUE_DRAINED":
                self._report_drained = True
        return []

    def _stop_buffering(self, correlation_id: str | None) -> list[str]:
        """The remainder becomes a frame (`tonebulk_slin16_json`: 150.2 frames make 151)."""
        self.buffering = False
        texts: list[str] = []
        if self._remainder:
            self.counters.frames_padded += 1
            texts = self._enqueue(self._remainder)
            self._remainder = b""
        done = self.events.correlated("MEDIA_BUFFERING_COMPLETED", correlation_id)
        self._queue.append(_Mark(done))
        return texts

    def _flush(self) -> None:
        """Empties the queue, marks included, and ends buffering (`flush_slin16_json`).

        XOFF stays until the next tick looks at the level (`xoff_slin16_json`); a pause stays
        (`pause_slin16_json`), and so does a wish for QUEUE_DRAINED.
        """
        self.counters.frames_flushed += self.queue_length
        self.counters.marks_flushed += len(self._queue) - self.queue_length
        self.counters.remainder_bytes_dropped += len(self._remainder)
        self._queue.clear()
        self.queue_length = 0
        self.buffering = False
        self._remainder = b""

    def _take(self, data: bytes) -> list[str]:
        if self.direction == "in":
            self.counters.refused_bytes += len(data)
            return []
        # Looked at once a message: one that begins below the limit is taken whole, over the limit
        # and all (`overflow_slin_plain_65k`: 1024 frames).
        if self.queue_length >= QUEUE_FRAMES:
            self.counters.messages_dropped += 1
            self.counters.bytes_dropped += len(data)
            return []
        if self.passthrough:
            return self._enqueue(data)
        data = self._remainder + data  # There is one in buffering only: STOP and FLUSH clear it.
        whole = len(data) - len(data) % self.frame_bytes
        texts: list[str] = []
        for start in range(0, whole, self.frame_bytes):
            texts += self._enqueue(data[start : start + self.frame_bytes])
        if self.buffering:
            self._remainder = data[whole:]
        else:
            self.counters.remainder_bytes_dropped += len(data) - whole
        return texts

    def _enqueue(self, frame: bytes) -> list[str]:
        self._queue.append(frame)
        self.queue_length += 1
        self.counters.frames_queued += 1
        self.max_queue_length = max(self.max_queue_length, self.queue_length)
        if not self.xoff and self.queue_length >= XOFF_FRAMES:
            self.xoff = True
            return [self.events.bare("MEDIA_XOFF")]
        return []

    def _run_until(self, now: float) -> list[str]:
        if self._started_at is None:
            self._started_at = now
        texts: list[str] = []
        # A hair of tolerance: `next_tick_at` given back as `now` must be due.
        while (due := self.next_tick_at) is not None and due <= now + 1e-9:
            self._ticks += 1
            texts += self._play_one()
        return texts

    def _play_one(self) -> list[str]:
        """One tick of the player's timer."""
        texts: list[str] = []
        if self.paused:
            # Neither marks nor XON nor QUEUE_DRAINED in a pause (`pause_slin16_json`).
            self.counters.silent_ticks += 1
            return texts
        # Before the frame is taken: XON comes at 799, and a status right after it says 798
        # (`xoff_slin16_json`).
        if self.xoff and self.queue_length < XON_FRAMES:
            self.xoff = False
            texts.append(self.events.bare("MEDIA_XON"))
        if not self._queue and self._report_drained:
            self._report_drained = False
            texts.append(self.events.bare("QUEUE_DRAINED"))
        # Marks take no time: all up to the next frame are reached now. A queue that held nothing
        # but marks is reported as drained only by the next tick (`tonebulk_slin16_json`).
        while self._queue and isinstance(mark := self._queue[0], _Mark):
            self._queue.popleft()
            texts.append(mark.text)
        if not self._queue:
            self.counters.silent_ticks += 1
            return texts
        frame = self._queue.popleft()
        assert isinstance(frame, bytes)
        self.queue_length -= 1
        self.counters.frames_played += 1
        if not self.passthrough:
            frame = frame.ljust(self.frame_bytes, self._silence)
        self._played.append(frame)
        return texts

    def _status(self) -> str:
        return self.events.status(
            {
                "queue_length": self.queue_length,
                "xon_level": XON_FRAMES,
                "xoff_level": XOFF_FRAMES,
                "queue_full": self.xoff,
                "bulk_media": self.buffering,
                "media_paused": self.paused,
            }
        )

    def _refusal(self, text: str) -> str:
        return self.events.error(text)
