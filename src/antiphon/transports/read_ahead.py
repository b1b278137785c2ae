"""Holding a peer back that sends audio faster than it can be spoken."""

from antiphon.clock import Clock

MAX_AHEAD_SECS = 5.0
"""Audio a peer may send faster than real time before reading is held back."""

_LONGEST_SECS = 1.0


class ReadAhead:
    """How far the audio of one peer is ahead of real time.

    Args:
        clock: Source of monotonic time.
    """

    def __init__(self, clock: Clock):
        self._clock = clock
        self._started = 0.0
        self._secs = 0.0

    def take(self, secs: float) -> float:
        """Count audio of `secs` seconds; returns for how long not to read on, at most 1 s."""
        now = self._clock.monotonic()
        if self._started + self._secs < now:
            self._started, self._secs = now, 0.0
        self._secs += secs
        ahead = self._started + self._secs - now
        return max(0.0, min(_LONGEST_SECS, ahead - MAX_AHEAD_SECS))
