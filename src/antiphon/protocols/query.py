"""Reading a connection's query parameters: every problem at once, each with its fix.

A telephony peer uses its URL verbatim and sends no header of its own, so whatever an operator wants
to say about a connection travels in the query. Unknown parameters are kept, for the log, and
ignored.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from antiphon.domain.audio import AudioFormat
from antiphon.errors import InvalidRequest
from antiphon.protocols.framing import printable, scrub

MAX_WIRE_RATE_HZ = 48_000
MIN_WIRE_RATE_HZ = 8_000
MIN_FRAME_MS = 10
MAX_FRAME_MS = 100
MAX_NAME_CHARS = 255

_SECRETS = frozenset({"token", "api_key", "apikey", "key", "password", "secret", "authorization"})


class QueryReader:
    """Takes parameters one by one and collects what is wrong with them.

    Args:
        query: Parameter names to values, as a mapping or as pairs; of a repeated name the last
            counts. Blank values count as absent.
    """

    def __init__(self, query: Mapping[str, str] | Iterable[tuple[str, str]]):
        pairs = query.items() if isinstance(query, Mapping) else query
        self._left = {scrub(name): scrub(value) for name, value in pairs}
        self._problems: list[dict[str, str]] = []

    def problem(self, field: str, message: str) -> None:
        """Note that `field` is wrong; `message` says what and how to fix it."""
        self._problems.append({"field": field, "message": message})

    def take(self, *names: str) -> tuple[str, str | None]:
        """The first of `names` that is present, with its value; all of them count as known."""
        found: tuple[str, str | None] = (names[0], None)
        for name in names:
            value = self._left.pop(name, "").strip()
            if value and found[1] is None:
                found = (name, value)
        return found

    def text(
        self,
        *names: str,
        limit: int = MAX_NAME_CHARS,
        pattern: re.Pattern[str] | None = None,
        hint: str = "",
    ) -> str | None:
        """A text of at most `limit` characters that matches `pattern` in full."""
        name, value = self.take(*names)
        if value is None:
            return None
        if len(value) > limit:
            self.problem(name, f"{name} has {len(value)} characters; send at most {limit}")
            return None
        if pattern is not None and not pattern.fullmatch(value):
            self.problem(name, f"{name} is {printable(value, 40)!r}; {hint}")
            return None
        return value

    def choice(self, *names: str, options: Sequence[str]) -> str | None:
        """One of `options`, in any case."""
        name, value = self.take(*names)
        if value is None:
            return None
        if value.lower() not in options:
            listed = ", ".join(options)
            self.problem(name, f"{name} is {printable(value, 40)!r}; use one of {listed}")
            return None
        return value.lower()

    def integer(self, *names: str, low: int, high: int, unit: str) -> int | None:
        """A whole number of `unit` from `low` to `high`."""
        name, value = self.take(*names)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 9):
            shown = printable(value, 40)
            self.problem(name, f"{name} is {shown!r}; send a whole number of {unit}")
            return None
        number = int(value)
        if not low <= number <= high:
            self.problem(name, f"{name} is {number} {unit}; it must be from {low} to {high}")
            return None
        return number

    def audio(
        self,
        *,
        sample_rate: int,
        frame_ms: int,
        frame_from: Callable[[int], int] | None = None,
    ) -> tuple[int, int]:
        """The wire's sample rate in Hz and frame length in ms; a frame must hold whole samples.

        Args:
            sample_rate: Default, Hz.
            frame_ms: Default, ms.
            frame_from: Gives the default frame length in ms from the sample rate instead.
        """
        rate = self.integer(
            "sample_rate",
            "rate",
            "samplerate",
            low=MIN_WIRE_RATE_HZ,
            high=MAX_WIRE_RATE_HZ,
            unit="Hz",
        )
        frame = self.integer("frame_ms", "ptime", low=MIN_FRAME_MS, high=MAX_FRAME_MS, unit="ms")
        rate = rate or sample_rate
        frame = frame or (frame_from(rate) if frame_from else frame_ms)
        if rate * frame % 1000:
            self.problem(
                "frame_ms",
                f"frame_ms is {frame} ms, which is no whole number of samples at {rate} Hz; "
                "use a multiple of 10 ms and one of 8000, 16000, 24000 or 48000 Hz",
            )
        return rate, frame

    def finish(self) -> dict[str, str]:
        """The parameters nobody took, secrets left out.

        Raises:
            InvalidRequest: a parameter is wrong; `details["problems"]` lists all of them.
        """
        if self._problems:
            first = self._problems[0]
            raise InvalidRequest(
                "; ".join(problem["message"] for problem in self._problems),
                field=first["field"],
                details={"problems": self._problems},
            )
        return {
            printable(name, 64): printable(value, 200)
            for name, value in self._left.items()
            if name.lower() not in _SECRETS
        }


def frame_ms_of_packet(packet_bytes: int, sample_rate: int) -> int:
    """Our frame length for a peer that sends packets of `packet_bytes`, a multiple of 10 ms."""
    ms = int(AudioFormat(sample_rate).ms_in(packet_bytes)) // 10 * 10
    return min(max(ms, MIN_FRAME_MS), MAX_FRAME_MS)
