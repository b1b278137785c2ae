"""What a caller's transport is: a sans-I/O codec, and the choice of one from a URL."""

from typing import Protocol
from urllib.parse import parse_qs, urlsplit

from antiphon.cli.caller.browser import SAMPLE_RATE as BROWSER_SAMPLE_RATE
from antiphon.cli.caller.browser import BrowserCaller
from antiphon.cli.caller.messages import Heard
from antiphon.cli.caller.pcm import SAMPLE_RATE as PCM_SAMPLE_RATE
from antiphon.cli.caller.pcm import PcmCaller
from antiphon.cli.caller.rustpbx import BINARY_SAMPLE_RATE, Generation, RustpbxCaller
from antiphon.errors import InvalidRequest

Message = str | bytes

TRANSPORTS = ("auto", "rustpbx", "browser", "pcm")


class CallerCodec(Protocol):
    """One caller's side of a protocol: what it sends, and how it reads what it gets."""

    name: str
    sample_rate: int
    """Hz of the audio it sends."""
    waits_for_server: bool
    """Whether it says nothing before the server's first message."""
    keepalive_secs: float
    """How often `keepalive` is due; 0: never."""

    def opening(self, now_ms: int) -> list[Message]:
        """What is sent first; `now_ms` is the time since the epoch."""

    def keepalive(self, now_ms: int) -> Message:
        """What is sent every `keepalive_secs`."""

    def audio(self, pcm: bytes, now_ms: int) -> Message:
        """One frame of the caller's audio."""

    def read(self, message: Message) -> list[Heard]:
        """What a message means to this peer; a `Dropped` says that it means nothing."""


def codec_for(
    url: str,
    transport: str = "auto",
    *,
    room: str | None = None,
    generation: Generation = "C",
    sample_rate: int | None = None,
) -> CallerCodec:
    """The codec for a URL.

    Args:
        url: Where the call goes; its path chooses the transport when that is `auto`.
        transport: `auto`, `rustpbx`, `browser` or `pcm`.
        room: `room_id` that a RustPBX caller sends; None makes one up.
        generation: Which RustPBX client to be: `A`, `B` or `C`.
        sample_rate: Hz of the agent's audio, and of the caller's where they are the same (`pcm`
            and `browser`); None takes it from the URL (`sample_rate` or `rate`), else the
            transport's own: 16000, 24000, and 8000 for `pcm`.

    Raises:
        InvalidRequest: an unknown transport, or a URL that does not tell.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss"):
        raise InvalidRequest(f"url is {url!r}; it must begin with ws:// or wss://", field="url")
    chosen = _transport_of(parts.path) if transport == "auto" else transport
    rate = sample_rate or _rate_of(parse_qs(parts.query))
    if chosen == "rustpbx":
        return RustpbxCaller(
            room=room, generation=generation, output_rate=rate or BINARY_SAMPLE_RATE
        )
    if chosen == "browser":
        return BrowserCaller(rate or BROWSER_SAMPLE_RATE)
    if chosen == "pcm":
        return PcmCaller(rate or PCM_SAMPLE_RATE)
    raise InvalidRequest(
        f"transport is {transport!r} and the path is {parts.path!r}; "
        "use --transport rustpbx, browser or pcm",
        field="transport",
    )


def _transport_of(path: str) -> str:
    if path in ("", "/", "/ws/rustpbx"):
        return "rustpbx"
    if path.startswith("/api/realtime/pipecat/ws/"):
        return "browser"
    if path.startswith("/ws/pcm"):
        return "pcm"
    return "auto"


def _rate_of(query: dict[str, list[str]]) -> int | None:
    for name in ("sample_rate", "rate", "samplerate"):
        value = query.get(name, [""])[0]
        if value.isascii() and value.isdigit():
            return int(value)
    return None
