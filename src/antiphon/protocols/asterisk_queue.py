"""What waits in an Asterisk channel's frame queue, and what its player has reached; sans-I/O.

Sources: asterisk/asterisk, `channels/chan_websocket.c`: a mark is reached in the tick after the
frame before it was played and takes no time of its own; STATUS counts frames, not marks; a flush
drops the marks as well, whose events then never come.

All marks before the last one reached are played, and nothing past the next one is believed to be
until that is reached; between the two the clock runs. So a stall of anyone's (ours, the network's,
the player's) makes the estimate wrong by at most one interval of marks.

Counts are in frames since the beginning of the connection, positions in bytes of the pushed stream;
the two are tied together at each mark, since the last frame of an utterance may be a part of one.
"""

import math
from collections import deque
from typing import NamedTuple

_ROUNDING = 1e-6  # frames


class _Mark(NamedTuple):
    correlation_id: str
    frames: int
    position: int


class RemoteQueue:
    """The peer's queue, as far as it can be known. Times are seconds, not going back.

    Args:
        frame_bytes: Bytes of one frame.
        frame_secs: Length of one frame, seconds.
    """

    def __init__(self, *, frame_bytes: int, frame_secs: float):
        self.frame_bytes = frame_bytes
        self.frame_secs = frame_secs
        self.sent_frames = 0
        """Frames sent since the beginning."""
        self.sent_position = 0
        """Where in the pushed stream the audio sent so far ends, bytes."""
        self.heard_position = 0
        """Where the audio that was heard before the last flush ends, bytes."""
        self._marks: deque[_Mark] = deque()  # sent, not yet reached
        self._flushed_marks: deque[_Mark] = deque()
        self._done = _Mark("", 0, 0)  # the last mark that was reached, or the last flush
        self._flushed_frames = 0
        # The clock runs from here.
        self._played = 0.0
        self._played_at = -math.inf
        self._paused = False

    # What we did.

    def sent(self, frames: int, size: int, now: float) -> None:
        """`frames` frames, together `size` bytes, were sent; only the last may be a part of one."""
        if self.played_frames(now) >= self.sent_frames:
            self._anchor(self.sent_frames, now)  # the queue was empty: they are played from now on
        self.sent_frames += frames
        self.sent_position += size

    def marked(self, correlation_id: str) -> None:
        """A mark was put behind all that was sent."""
        self._marks.append(_Mark(correlation_id, self.sent_frames, self.sent_position))

    def flushed(self, position: int, now: float) -> None:
        """The queue was flushed; the next audio sent begins at `position` of the pushed stream."""
        frames = math.floor(self.played_frames(now) + _ROUNDING)
        if self.sent_frames > self._flushed_frames:
            self.heard_position = int(self._position(frames))
            self._flushed_marks, self._marks = self._marks, deque()
        self._flushed_frames = self.sent_frames
        self.sent_position = position
        self._done = _Mark("", self.sent_frames, position)
        self._anchor(self.sent_frames, now)

    # What the peer said.

    def reached(self, correlation_id: str, now: float) -> None:
        """The player has reached a mark. One that was flushed moves only `heard_position`."""
        if any(mark.correlation_id == correlation_id for mark in self._marks):
            while self._done.correlation_id != correlation_id:
                self._done = self._marks.popleft()
            self._paused = False  # it was told after any STATUS that said so
            self._anchor(self._done.frames, now)
            return
        for mark in self._flushed_marks:
            if mark.correlation_id == correlation_id:
                self.heard_position = max(self.heard_position, mark.position)

    def status(self, queue_length: int, sent_before: int, now: float) -> None:
        """The queue held `queue_length` frames when `sent_before` frames had been sent."""
        played = sent_before - queue_length
        if played < self._done.frames:
            return  # there is more in the queue than we put there: not ours to reckon with
        while self._marks and self._marks[0].frames < played:
            self._done = self._marks.popleft()
        self._anchor(played, now)

    def paused(self, paused: bool, now: float) -> None:
        """Whether the player stands still."""
        if paused != self._paused:
            self._anchor(self.played_frames(now), now)
            self._paused = paused

    # Where the player is.

    @property
    def confirmed_position(self) -> int:
        """Position in the pushed stream that the player has reached for certain, bytes."""
        return self._done.position

    def played_frames(self, now: float) -> float:
        """Frames played since the beginning; the flushed ones count as played."""
        limit = self._marks[0].frames if self._marks else self.sent_frames
        if self._paused:
            return min(self._played, limit)
        elapsed = now - self._played_at
        return min(self._played + elapsed / self.frame_secs, limit) if elapsed > 0 else self._played

    def level(self, now: float) -> float:
        """Frames in the queue or on their way there."""
        return self.sent_frames - self.played_frames(now)

    def level_at(self, level: float) -> float:
        """When the clock will have brought the queue down to `level` frames; inf: a mark must."""
        limit = self._marks[0].frames if self._marks else self.sent_frames
        frames = self.sent_frames - level
        if self._paused or frames > limit:
            return math.inf
        return self._played_at + (frames - self._played) * self.frame_secs

    def mark_at(self) -> float:
        """When the next mark should be reached; inf when there is none or the player is paused."""
        if self._paused or not self._marks:
            return math.inf
        return self._played_at + (self._marks[0].frames - self._played) * self.frame_secs

    def played_position(self, now: float) -> float:
        """Position in the pushed stream that the player has reached, bytes.

        After a flush it is `heard_position` until new audio is sent.
        """
        if self.sent_frames == self._flushed_frames:
            return self.heard_position
        return self._position(self.played_frames(now))

    def level_bytes(self, now: float) -> float:
        """Audio in the queue or on its way there, bytes; what the peer pads is not counted."""
        return self.sent_position - self._position(self.played_frames(now))

    def _position(self, frames: float) -> float:
        end = self._marks[0].position if self._marks else self.sent_position
        at = self._done.position + (frames - self._done.frames) * self.frame_bytes
        return min(at, end)

    def _anchor(self, frames: float, now: float) -> None:
        self._played = frames
        self._played_at = now
