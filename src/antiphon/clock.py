"""The only module allowed to ask the time.

Everything below `sessions` takes `now` as an argument; whoever must know the time is given a
`Clock`, so that whole conversations can run on virtual time.
"""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a component reads the time from."""

    def utc_now(self) -> datetime:
        """Current wall-clock time, timezone-aware (UTC)."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back; only differences mean anything."""


class SystemClock:
    """The machine's own clocks."""

    def utc_now(self) -> datetime:
        """Current wall-clock time, timezone-aware (UTC)."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()
