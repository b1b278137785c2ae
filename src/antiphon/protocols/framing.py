"""What every WebSocket codec shares: typed messages, safe JSON, whole samples.

A codec is an object with the state of one connection and no I/O. Its methods:

- `receive_text(text)` and `receive_bytes(data)` give `Message`s and never raise, whatever the peer
  sends: what cannot be understood becomes `Invalid`, to be answered with `error`;
- `audio_out(pcm)` encodes one paced frame of agent audio;
- `event_out(event)` gives the texts that tell the peer of a fact; it never raises either;
- `error(error, now_ms)` gives an error message.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from antiphon.domain.audio import BYTES_PER_SAMPLE, MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from antiphon.errors import InvalidMessage

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_U64_MAX = 2**64 - 1
_PLAIN_DEPTH = 32
_SAFE_INT_BITS = 1024

DTMF_DIGITS = frozenset("0123456789*#ABCD")


class Message:
    """Base of everything a codec understands in what a peer sends."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AudioIn(Message):
    """Audio from the peer: PCM16 little-endian mono, a whole number of samples."""

    pcm: bytes
    sample_rate: int
    """Hz."""


@dataclass(frozen=True, slots=True)
class Configure(Message):
    """The peer configures the session; `None` means that it said nothing about it.

    `stt`, `llm` and `tts` are hints, not orders (RustPBX hard-codes most of them).
    """

    room: str | None = None
    system_prompt: str | None = None
    stt: Mapping[str, Any] | None = None
    llm: Mapping[str, Any] | None = None
    tts: Mapping[str, Any] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The whole message."""


@dataclass(frozen=True, slots=True)
class Ping(Message):
    """The peer asks for a pong. Pings do not count as activity."""

    timestamp: int | None = None
    """What the peer sent: milliseconds, an unsigned 64-bit integer; None when it sent no such."""


@dataclass(frozen=True, slots=True)
class Disconnect(Message):
    """The peer says goodbye: the session ends."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Dtmf(Message):
    """The caller pressed a key: one of `0-9*#ABCD`."""

    digit: str
    leg_id: str | None = None


@dataclass(frozen=True, slots=True)
class UserText(Message):
    """The user typed a turn instead of speaking it."""

    text: str


@dataclass(frozen=True, slots=True)
class Interrupt(Message):
    """The user pressed a button to stop the agent's speech."""


@dataclass(frozen=True, slots=True)
class Mute(Message):
    """The user muted or unmuted the microphone; for display, muted clients send no audio."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Invalid(Message):
    """The peer sent what cannot be understood; the call goes on."""

    error: InvalidMessage


def invalid(message: str, *, field: str | None = None, code: str | None = None) -> Invalid:
    """An `Invalid` with its error."""
    return Invalid(InvalidMessage(message, field=field, code=code))


class SampleAligner:
    """Joins byte pieces to whole samples: an odd byte waits for the next piece.

    Without it one odd message would shift every later sample by a byte, which is loud noise.
    """

    __slots__ = ("_carry",)

    def __init__(self) -> None:
        self._carry = b""

    def align(self, data: bytes) -> bytes:
        """`data` after the byte held back, as whole samples."""
        if self._carry:
            data = self._carry + data
            self._carry = b""
        if len(data) % BYTES_PER_SAMPLE:
            self._carry = data[-1:]
            return data[:-1]
        return data

    def reset(self) -> None:
        """Forget the byte held back."""
        self._carry = b""


class Rechunker:
    """Cuts a stream of bytes into pieces of one size; the remainder waits.

    Args:
        size: Bytes per piece, at least 1.
    """

    __slots__ = ("_held", "size")

    def __init__(self, size: int):
        if size < 1:
            raise ValueError(f"size is {size}; it must be at least 1 byte")
        self.size = size
        self._held = bytearray()

    def __len__(self) -> int:
        return len(self._held)

    def push(self, data: bytes) -> list[bytes]:
        """The whole pieces that `data` completes."""
        size = self.size
        if not self._held and len(data) == size:
            return [bytes(data)]
        self._held += data
        whole = len(self._held) // size * size
        if not whole:
            return []
        ready = bytes(memoryview(self._held)[:whole])
        del self._held[:whole]
        return [ready[at : at + size] for at in range(0, whole, size)]

    def flush(self, *, pad: bool = True) -> bytes:
        """The remainder, filled up with zero bytes unless `pad` is false; empty when none."""
        held = bytes(self._held)
        self._held.clear()
        return held.ljust(self.size, b"\0") if pad and held else held

    def clear(self) -> int:
        """Drop the remainder; returns how many bytes that was."""
        dropped = len(self._held)
        self._held.clear()
        return dropped


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def parse_object(text: str) -> dict[str, Any] | Invalid:
    """The JSON object in a text message, or what is wrong with it; never raises."""
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        return invalid("the message is nested too deeply; send a flat JSON object")
    except ValueError as error:
        return invalid(
            f"the message is not JSON ({printable(str(error), 80)}); send one JSON object a message"
        )
    if not isinstance(value, dict):
        return invalid("the message is JSON but not an object; send {…}")
    return value


def encode(message: Mapping[str, Any]) -> str:
    """A message as compact JSON that any strict parser takes; never raises.

    Numbers that JSON has no form for become null, other objects their `str`, and lone surrogates
    the replacement character.
    """
    try:
        text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError):
        text = json.dumps(plain(message), ensure_ascii=False, separators=(",", ":"))
    return scrub(text)


def plain(value: object, depth: int = _PLAIN_DEPTH) -> Any:
    """A copy of `value` that JSON can hold: see `encode`."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _SAFE_INT_BITS else None
    if isinstance(value, float):
        return value if value - value == 0 else None  # neither NaN nor infinite
    if depth > 0 and isinstance(value, Mapping):
        return {printable(str(key), 1000): plain(item, depth - 1) for key, item in value.items()}
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth - 1) for item in value]
    return f"<{type(value).__name__}>" if isinstance(value, Mapping | list | tuple) else str(value)


def scrub(text: str) -> str:
    """`text` with lone surrogates replaced, so that it can be sent as UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def printable(text: str, limit: int) -> str:
    """At most `limit` characters of what a peer sent, fit for a log line or an error message."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:limit])
    return shown + "…" if len(text) > limit else shown


def epoch_ms(at: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC, as an unsigned integer."""
    return unsigned((at - _EPOCH) // _MILLISECOND)


def iso_timestamp(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: `2025-12-03T13:00:00.000Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def unsigned(value: float) -> int:
    """`value` as an unsigned 64-bit integer, which is what RustPBX's `u64` fields take."""
    return min(max(int(value), 0), _U64_MAX)


def is_unsigned(value: object) -> bool:
    """Whether `value` is an integer that fits 64 bits unsigned (a bool is none)."""
    return type(value) is int and 0 <= value <= _U64_MAX


def read_sample_rate(value: object, default: int) -> int | Invalid:
    """A `sample_rate` field: Hz; absent or null means `default`."""
    if value is None:
        return default
    if type(value) is int and MIN_SAMPLE_RATE_HZ <= value <= MAX_SAMPLE_RATE_HZ:
        return value
    return invalid(
        f"sample_rate must be a whole number of Hz from {MIN_SAMPLE_RATE_HZ} to "
        f"{MAX_SAMPLE_RATE_HZ}, e.g. 16000",
        field="sample_rate",
    )


def read_dtmf(data: Mapping[str, Any]) -> Dtmf | Invalid:
    """A `dtmf` message: `digit` is one of `0-9*#ABCD` (or a whole number), `leg_id` is optional."""
    digit = data.get("digit")
    if type(digit) is int and 0 <= digit <= 9:
        digit = str(digit)
    if not isinstance(digit, str) or digit.upper() not in DTMF_DIGITS:
        return invalid("digit must be one of 0-9, *, #, A, B, C or D", field="digit")
    leg_id = data.get("leg_id")
    return Dtmf(digit.upper(), scrub(leg_id) if isinstance(leg_id, str) else None)
