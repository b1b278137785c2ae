"""A network between the simulated Asterisk and the application that is late; sans-I/O."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Stall:
    """For a while nothing gets through, either way; then all that waited comes at once."""

    at_s: float
    """Seconds since MEDIA_START."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Network:
    """How late messages are; the default is no delay at all."""

    latency_ms: float = 0.0
    """Of each message, one way."""
    jitter_ms: float = 0.0
    """Each message is late by a random time of up to this more; order is kept, as in TCP."""
    stalls: Sequence[Stall] = ()
    seed: int = 0
    """Of the jitter: the same seed, the same delays."""


@dataclass(slots=True)
class Link:
    """One way through the network. Times are seconds on the caller's clock."""

    network: Network
    began: float
    """When the call began; stalls count from here."""
    _random: random.Random = field(init=False)
    _last_due: float = 0.0
    _stalls: list[tuple[float, float]] = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.network.seed)
        self._stalls = [
            (self.began + stall.at_s, self.began + stall.at_s + stall.seconds)
            for stall in self.network.stalls
        ]

    def stall(self, start: float, seconds: float) -> None:
        """Nothing gets through from `start` on, for so long."""
        self._stalls.append((start, start + seconds))

    def due(self, now: float) -> float:
        """When a message that is sent at `now` arrives, unless a stall holds it."""
        late_ms = self.network.latency_ms + self._random.uniform(0, self.network.jitter_ms)
        self._last_due = max(self._last_due, now + late_ms / 1000)
        return self._last_due

    def wait(self, due: float, now: float) -> float:
        """Seconds that a message due at `due` still waits; 0: it arrives now."""
        at = max(due, now)
        ends = [end for start, end in self._stalls if start <= at < end]
        return max(0.0, *ends, due, now) - now if ends else max(0.0, due - now)
