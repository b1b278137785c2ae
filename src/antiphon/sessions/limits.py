"""How many sessions may start: per key and per address, in a sliding minute."""

from collections import deque

from antiphon.errors import LimitExceeded

WINDOW_SECS = 60.0


class StartRate:
    """Counts starts by name within the last minute; `now` is an argument.

    Args:
        per_minute: Starts allowed to each name in any 60 s.
        what: What a name is, for the message: `key` or `address`.
    """

    def __init__(self, per_minute: int, *, what: str):
        self._limit = per_minute
        self._what = what
        self._starts: dict[str, deque[float]] = {}

    def admit(self, name: str, now: float) -> None:
        """Count a start.

        Raises:
            LimitExceeded: the name has used up its minute; the start is not counted.
        """
        starts = self._starts.setdefault(name, deque())
        while starts and now - starts[0] >= WINDOW_SECS:
            starts.popleft()
        if len(starts) >= self._limit:
            wait = int(WINDOW_SECS - (now - starts[0])) + 1
            raise LimitExceeded(
                f"more than {self._limit} session starts a minute from this {self._what}; "
                f"try again in {wait} s",
                retry_after_s=wait,
                code="too_many_starts",
            )
        starts.append(now)
        if len(self._starts) > 10_000:
            self._forget(now)

    def _forget(self, now: float) -> None:
        for name in [n for n, s in self._starts.items() if not s or now - s[-1] >= WINDOW_SECS]:
            del self._starts[name]
