"""The media streams of Twilio, Telnyx, Plivo and Exotel: who calls, and what each message is.

All four send JSON text over a WebSocket that *they* open. The provider is recognised from its first
one or two messages, as Pipecat does; after that media and key presses are decoded by Pipecat's own
serializers (`antiphon.transports.telephony`), and only what ends or disturbs a stream is read here.

Sources (read November 2026):

- Twilio: twilio.com/docs/voice/media-streams/websocket-messages
- Telnyx: developers.telnyx.com/docs/voice/programmable-voice/media-streaming
- Plivo: plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference
- Exotel: developer.exotel.com/docs/agentstream/websocket-protocol and …/stream-voicebot-applet
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import unquote

from antiphon.domain.events import Event
from antiphon.errors import AntiphonError
from antiphon.protocols.framing import (
    Disconnect,
    Invalid,
    Message,
    Ping,
    encode,
    invalid,
    parse_object,
    printable,
    unsigned,
)

Encoding = Literal["ulaw", "alaw", "pcm16"]

MAX_OPENING_MESSAGES = 2
"""`connected` and `start`; Plivo sends `start` alone."""

MAX_PARAMETERS = 64
MAX_NAME_CHARS = 64
MAX_VALUE_CHARS = 500

_RATES = (8_000, 16_000, 24_000)

_FRAME_MS = 20
_EXOTEL_MIN_CHUNK_BYTES = 3_200
"""Smaller chunks are said to risk distortion; a chunk must be a multiple of 320 bytes."""

# Ids become part of REST paths that are requested with the account's credentials: nothing that
# could leave the path's segment may come through (Telnyx's look like `v3:2EC-70CTEj…wo7_-PfH`).
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_=-]{0,255}")

_ENCODINGS: Mapping[str, Encoding] = {
    "audio/x-mulaw": "ulaw",
    "audio/x-l16": "pcm16",
    "audio/l16": "pcm16",
    "audio/x-raw": "pcm16",
    "audio/x-raw-int": "pcm16",
    "base64": "pcm16",  # older Exotel accounts name the transfer encoding
    "raw/slin": "pcm16",
    "slin": "pcm16",
    "pcm16": "pcm16",
    "pcmu": "ulaw",
    "pcma": "alaw",
}


class Provider(StrEnum):
    """A telephony provider whose media streams are served."""

    TWILIO = "twilio"
    TELNYX = "telnyx"
    PLIVO = "plivo"
    EXOTEL = "exotel"


@dataclass(frozen=True, slots=True)
class StreamStart(Message):
    """A provider's media stream begins."""

    provider: Provider
    stream_id: str
    call_id: str
    """Twilio's and Exotel's call SID, Telnyx's call control id, Plivo's call UUID."""
    encoding: Encoding
    sample_rate: int
    """Hz, both ways."""
    from_number: str = ""
    """The caller, where the provider or a parameter tells it."""
    to_number: str = ""
    agent: str | None = None
    room: str | None = None
    language: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    """Custom parameters with no meaning of their own here."""
    token: str | None = field(default=None, repr=False)
    """API key or ticket from the custom parameters: Twilio strips a URL's query."""

    @property
    def frame_bytes(self) -> int:
        """Bytes of PCM16 in one message to the provider."""
        size = self.sample_rate * 2 * _FRAME_MS // 1000
        if self.provider is not Provider.EXOTEL:
            return size
        return size * -(-_EXOTEL_MIN_CHUNK_BYTES // size)

    @property
    def frame_ms(self) -> int:
        """Length of one message to the provider, ms."""
        return self.frame_bytes * 1000 // (self.sample_rate * 2)


@dataclass(frozen=True, slots=True)
class Encoded(Message):
    """Media or a key press, for the provider's serializer to decode."""

    text: str


@dataclass(frozen=True, slots=True)
class ProviderError(Message):
    """The provider reports trouble with the stream (Telnyx's `error`)."""

    detail: str


class StreamOpening:
    """Recognises a provider from the first messages of a connection.

    Args:
        query: Query parameters of the connection, which count as custom parameters; those in the
            `start` message win.
    """

    def __init__(self, query: Mapping[str, str] | None = None):
        self._query = dict(query or {})
        self._seen = 0

    def receive(self, text: str) -> StreamStart | Invalid | None:
        """The start of a stream; None while more is to come; never raises.

        `Invalid` is final: the connection is to be refused with its error.
        """
        self._seen += 1
        message = parse_object(text)
        if isinstance(message, Invalid):
            return message
        start = message.get("start")
        if isinstance(start, Mapping):
            return self._start(message, start)
        if self._seen < MAX_OPENING_MESSAGES:
            return None
        return invalid(
            "this is no media stream of Twilio, Telnyx, Plivo or Exotel: their start message did "
            "not come",
            code="unknown_provider",
        )

    def _start(self, message: Mapping[str, Any], start: Mapping[str, Any]) -> StreamStart | Invalid:
        provider = _provider(message, start)
        if provider is None:
            return invalid(
                "the start message is none of Twilio's, Telnyx's, Plivo's or Exotel's; send their "
                "stream and call ids",
                field="start",
                code="unknown_provider",
            )
        for name, value in _ids(provider, message, start).items():
            if not _ID.fullmatch(value):
                return invalid(
                    f"{name} is {printable(value, 60)!r}, which is no id; use letters, digits and "
                    ": _ = -",
                    field=name,
                )
        stream_id, call_id = _ids(provider, message, start).values()
        audio = _media_format(provider, start)
        if isinstance(audio, Invalid):
            return audio
        encoding, sample_rate = audio
        opened = StreamStart(
            provider=provider,
            stream_id=stream_id,
            call_id=call_id,
            encoding=encoding,
            sample_rate=sample_rate,
            from_number=_short(start.get("from")),
            to_number=_short(start.get("to")),
        )
        return _with_parameters(opened, self._query | _parameters(provider, message, start))


def _provider(message: Mapping[str, Any], start: Mapping[str, Any]) -> Provider | None:
    """By the names of the ids, which no two providers share."""
    if _text(start, "streamSid") and _text(start, "callSid"):
        return Provider.TWILIO
    if _text(message, "stream_id") and _text(start, "call_control_id"):
        return Provider.TELNYX
    if _text(start, "streamId") and _text(start, "callId"):
        return Provider.PLIVO
    if _text(start, "stream_sid") and _text(start, "call_sid"):
        return Provider.EXOTEL
    return None


def _ids(
    provider: Provider, message: Mapping[str, Any], start: Mapping[str, Any]
) -> dict[str, str]:
    """Stream id and call id, by the provider's names for them."""
    match provider:
        case Provider.TWILIO:
            return {name: start[name] for name in ("streamSid", "callSid")}
        case Provider.TELNYX:
            return {
                "stream_id": message["stream_id"],
                "call_control_id": start["call_control_id"],
            }
        case Provider.PLIVO:
            return {name: start[name] for name in ("streamId", "callId")}
        case Provider.EXOTEL:
            return {name: start[name] for name in ("stream_sid", "call_sid")}


_FIX = {
    Provider.TWILIO: "Twilio streams audio/x-mulaw at 8000 Hz only",
    Provider.TELNYX: 'set codec="PCMU" (or PCMA) in <Stream>, or stream_codec in the command',
    Provider.PLIVO: 'set contentType="audio/x-mulaw;rate=8000" in <Stream>',
    Provider.EXOTEL: "choose raw/slin (audio/L16) at 8000, 16000 or 24000 Hz in the applet",
}
_SPOKEN: Mapping[Provider, tuple[Encoding, ...]] = {
    Provider.TWILIO: ("ulaw",),
    Provider.TELNYX: ("ulaw", "alaw"),
    Provider.PLIVO: ("ulaw",),
    Provider.EXOTEL: ("pcm16",),
}
"""What Pipecat's serializer of the provider decodes."""


def _media_format(provider: Provider, start: Mapping[str, Any]) -> tuple[Encoding, int] | Invalid:
    """Encoding and rate in Hz; what a provider leaves out is its default."""
    given = start.get("mediaFormat", start.get("media_format"))
    given = given if isinstance(given, Mapping) else {}
    name = _text(given, "encoding")
    rate_text = str(given.get("sampleRate", given.get("sample_rate")) or 8000)
    spoken = _SPOKEN[provider]
    encoding = _ENCODINGS.get(name.lower()) if name else spoken[0]
    rates = _RATES if provider is Provider.EXOTEL else _RATES[:1]
    rate = next((hz for hz in rates if rate_text == str(hz)), None)
    if encoding is not None and encoding in spoken and rate is not None:
        return encoding, rate
    return invalid(
        f"the stream's format is {printable(name or '?', 40)!r} at {printable(rate_text, 12)} Hz, "
        f"which is not served; {_FIX[provider]}",
        field="mediaFormat",
        code="media_format",
    )


def _parameters(
    provider: Provider, message: Mapping[str, Any], start: Mapping[str, Any]
) -> dict[str, str]:
    if provider is Provider.PLIVO:
        return _extra_headers(message.get("extra_headers", start.get("extra_headers")))
    name = "customParameters" if provider is Provider.TWILIO else "custom_parameters"
    given = start.get(name)
    if isinstance(given, str):  # Exotel, of a URL's query
        given = dict(_pairs(given, "&"))
    if not isinstance(given, Mapping):
        return {}
    return {str(key): str(value) for key, value in given.items() if isinstance(value, str | int)}


def _extra_headers(value: object) -> dict[str, str]:
    """Plivo's `extraHeaders`: `a=1;b=2`, in older documents `a=1,b=2`, or a JSON object."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = parse_object(value)
    if isinstance(value, Mapping):
        pairs = [(str(key), str(item)) for key, item in value.items()]
    elif isinstance(value, str):
        pairs = _pairs(value.replace(",", ";"), ";")
    else:
        return {}
    # As SIP headers they get this prefix.
    return {name.removeprefix("X-PH-"): item for name, item in pairs}


def _pairs(text: str, separator: str) -> list[tuple[str, str]]:
    found = (item.partition("=") for item in text.split(separator))
    return [(name.strip(), unquote(value.strip())) for name, sign, value in found if sign and name]


def _with_parameters(start: StreamStart, given: Mapping[str, str]) -> StreamStart:
    """`start` with its custom parameters sorted into those that mean something and the rest."""
    known = {
        printable(name, MAX_NAME_CHARS): printable(value, MAX_VALUE_CHARS)
        for name, value in list(given.items())[:MAX_PARAMETERS]
        if name and value and name != "token"
    }
    token = given.get("token")
    # The names that Pipecat's runner uses for the numbers.
    from_number = start.from_number or known.pop("from_number", "")
    to_number = start.to_number or known.pop("to_number", "")
    return replace(
        start,
        agent=known.pop("agent", None),
        room=known.pop("room", None),
        language=known.pop("language", None),
        from_number=from_number[:MAX_NAME_CHARS],
        to_number=to_number[:MAX_NAME_CHARS],
        token=token[:4096] if token else None,
        variables={n: v for n, v in known.items() if n not in ("from_number", "to_number")},
    )


class TelephonyCodec:
    """What is read of a stream without decoding it; made for one connection.

    Nothing is sent through it: the provider's serializer encodes, and providers read no facts.
    """

    def receive_text(self, text: str) -> list[Message]:
        """Media and keys as `Encoded`, the stream's end as `Disconnect`; the rest is ignored."""
        message = parse_object(text)
        if isinstance(message, Invalid):
            return [message]
        match message.get("event"):
            case "media":
                return _media(text, message.get("media"))
            case "dtmf":
                return [Encoded(text)] if isinstance(message.get("dtmf"), Mapping) else []
            case "stop":
                return [Disconnect(_stop_reason(message.get("stop")))]
            case "error":
                return [ProviderError(_error_detail(message.get("payload")))]
            case _:  # marks and their like, and whatever is new
                return []

    def receive_bytes(self, data: bytes) -> list[Message]:
        """Providers send text only."""
        return [invalid(f"a binary message of {len(data)} bytes; media streams are JSON text")]

    def audio_out(self, pcm: bytes) -> bytes:
        """As it is: the writer encodes."""
        return pcm

    def event_out(self, event: Event) -> Sequence[str]:
        """Nothing."""
        return []

    def pong(self, ping: Ping, now_ms: int) -> str:
        """Never asked for by a provider."""
        return encode({"event": "pong", "timestamp": unsigned(now_ms)})

    def error(self, error: AntiphonError, now_ms: int) -> str:
        """An error; no provider reads it, so it is for the log."""
        return encode({"event": "error", **error.as_dict(), "timestamp": unsigned(now_ms)})


def _media(text: str, media: object) -> list[Message]:
    if not isinstance(media, Mapping) or not isinstance(media.get("payload"), str):
        return [invalid("media has no payload; send base64 audio", field="media.payload")]
    # With both tracks streamed, the outbound one is the agent's own voice.
    return [] if media.get("track") in ("outbound", "outbound_track") else [Encoded(text)]


def _stop_reason(stop: object) -> str:
    reason = stop.get("reason") if isinstance(stop, Mapping) else None
    return printable(reason, 100) if isinstance(reason, str) else ""


def _error_detail(payload: object) -> str:
    if not isinstance(payload, Mapping):
        return "an error without detail"
    parts = (str(payload.get(name) or "") for name in ("code", "title", "detail"))
    return printable(" ".join(part for part in parts if part), 200)


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _short(value: object) -> str:
    return printable(value, MAX_NAME_CHARS) if isinstance(value, str) else ""
