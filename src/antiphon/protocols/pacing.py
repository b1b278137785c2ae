"""Pacing of outgoing audio against absolute deadlines; sans-I/O, time is an argument.

Frame n is due at `start + n * frame - lead`, so a late wake-up is made good by the next one and a
stream never drifts. `lead` is how far before its play time a frame may leave: it is the cushion the
peer has against a stall of ours. When the peer must have run dry (we are later than the lead, or
nothing was pushed for a while), the clock is anchored anew, so that no burst is ever longer than
the lead and the frame in hand.
"""

from antiphon.domain.audio import BYTES_PER_SAMPLE, AudioFormat


class Pacer:
    """Releases pushed audio in whole frames, in real time.

    Times are seconds on any clock that does not go back. Not thread-safe.

    Args:
        sample_rate: Hz.
        frame_ms: Length of a frame, ms; it must hold a whole number of samples.
        lead_ms: How far ahead of its play time a frame may be sent, ms; 0 for none.

    Raises:
        ValueError: an argument is out of range, or a frame is no whole number of samples.
    """

    def __init__(self, sample_rate: int, frame_ms: int, *, lead_ms: int = 0):
        if frame_ms <= 0 or sample_rate * frame_ms % 1000:
            raise ValueError(
                f"frame_ms is {frame_ms}, which is no whole number of samples at {sample_rate} Hz; "
                "use a multiple of 10 ms"
            )
        if lead_ms < 0:
            raise ValueError(f"lead_ms is {lead_ms}; it must be 0 or more")
        self.format = AudioFormat(sample_rate)
        samples = sample_rate * frame_ms // 1000
        self.frame_bytes = samples * BYTES_PER_SAMPLE
        self.frame_ms = frame_ms
        self.lead_ms = lead_ms
        self._frame_secs = samples / sample_rate
        self._lead_secs = lead_ms / 1000
        # Less than a frame late is mere jitter, even where no lead hides it: keep the anchor.
        self._slack_secs = max(self._lead_secs, self._frame_secs)
        self._held = bytearray()
        self._start: float | None = None
        self._frames = 0  # since `_start`
        self._sent_bytes = 0
        self._was_waiting = False
        self._lateness = 0.0

    @property
    def buffered_ms(self) -> float:
        """Audio pushed and not yet sent, ms."""
        return self.format.ms_in(len(self._held))

    @property
    def sent_ms(self) -> float:
        """Audio sent since the beginning, ms."""
        return self.format.ms_in(self._sent_bytes)

    @property
    def lateness(self) -> float:
        """Seconds between the deadline of the last frame sent on time's account and its sending.

        Only delays of the caller count: a frame that was pushed after its deadline is not late.
        """
        return self._lateness

    def push(self, pcm: bytes) -> None:
        """Add PCM16 audio of any length; a part of a frame waits for the rest."""
        self._held += pcm

    def due(self, now: float) -> list[bytes]:
        """The frames that are to be sent now, oldest first."""
        waiting = len(self._held) // self.frame_bytes
        if not waiting:
            self._was_waiting = False
            return []
        late = 0.0 if self._start is None else now - self._deadline()
        if self._start is None or late > self._slack_secs:
            # The peer has played all we sent, or this is the beginning: frame 0 plays now.
            self._start, self._frames = now, 0
        frames: list[bytes] = []
        size = self.frame_bytes
        while len(frames) < waiting and self._deadline() <= now:
            at = len(frames) * size
            frames.append(bytes(self._held[at : at + size]))
            self._frames += 1
        if frames:
            del self._held[: len(frames) * size]
            self._sent_bytes += len(frames) * size
            self._lateness = max(late, 0.0) if self._was_waiting else 0.0
        self._was_waiting = len(frames) < waiting
        return frames

    def next_due(self) -> float | None:
        """When `due` will next have something, or None when no whole frame is buffered.

        A time in the past means at once.
        """
        if len(self._held) < self.frame_bytes:
            return None
        return float("-inf") if self._start is None else self._deadline()

    def flush_tail(self) -> int:
        """Fill the part of a frame that is left up with silence, so that it becomes due.

        For the end of speech. Returns the bytes of silence added.
        """
        padding = -len(self._held) % self.frame_bytes
        self._held += bytes(padding)
        return padding

    def clear(self) -> int:
        """Drop what has not been sent, on an interruption; returns the bytes dropped.

        The anchor stays: what the peer already has still counts towards the lead.
        """
        dropped = len(self._held)
        self._held.clear()
        self._was_waiting = False
        return dropped

    def _deadline(self) -> float:
        """When the next frame may leave."""
        assert self._start is not None
        return self._start + self._frames * self._frame_secs - self._lead_secs
