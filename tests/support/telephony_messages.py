"""Ten message sequences of each telephony provider, after the examples in their public documents.

- Twilio: https://www.twilio.com/docs/voice/media-streams/websocket-messages
- Telnyx: https://developers.telnyx.com/docs/voice/programmable-voice/media-streaming and
  https://developers.telnyx.com/api-reference/websockets/stream-call-media-over-websocket
- Plivo: https://www.plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference
  and https://plivo.com/docs/voice/xml/the-stream-element/checkpoint-event
- Exotel: https://developer.exotel.com/docs/agentstream/websocket-protocol and
  https://developer.exotel.com/docs/agentstream/stream-voicebot-applet

Ids and payloads are of the documented form; the documents abbreviate payloads.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from antiphon.protocols.telephony import Provider

ULAW = bytes(range(160))
"""20 ms of G.711 at 8 kHz: every code up to 0x9F."""

SLIN = bytes(range(256)) * 12 + bytes(128)
"""3,200 bytes of PCM16."""


def payload(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


@dataclass(frozen=True)
class Conversation:
    """What a provider sends, and what is to come of it."""

    provider: Provider
    name: str
    messages: tuple[str, ...]
    heard: bytes = b""
    """As on the wire: μ-law, A-law or PCM16."""
    keys: str = ""
    stopped: bool = False
    """The provider said that the call is over."""
    agent: str | None = None
    refused: str = ""
    """Error code of a stream that is not served."""

    def __str__(self) -> str:
        return f"{self.provider}: {self.name}"


def _text(message: dict[str, Any]) -> str:
    return json.dumps(message)


# Twilio

TWILIO_STREAM = "MZ18ad3ab5a668481ce02b83e7395059f0"
TWILIO_CALL = "CA18ad3ab5a668481ce02b83e7395059f0"
_ACCOUNT = "AC18ad3ab5a668481ce02b83e7395059f0"


def twilio_connected() -> str:
    return _text({"event": "connected", "protocol": "Call", "version": "1.0.0"})


def twilio_start(
    parameters: dict[str, str] | None = None, *, encoding: str = "audio/x-mulaw"
) -> str:
    return _text(
        {
            "event": "start",
            "sequenceNumber": "1",
            "start": {
                "accountSid": _ACCOUNT,
                "streamSid": TWILIO_STREAM,
                "callSid": TWILIO_CALL,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": encoding, "sampleRate": 8000, "channels": 1},
                "customParameters": parameters or {},
            },
            "streamSid": TWILIO_STREAM,
        }
    )


def twilio_media(audio: bytes = ULAW, *, track: str = "inbound", chunk: int = 1) -> str:
    return _text(
        {
            "event": "media",
            "sequenceNumber": str(chunk + 1),
            "media": {
                "track": track,
                "chunk": str(chunk),
                "timestamp": str(chunk * 20),
                "payload": payload(audio),
            },
            "streamSid": TWILIO_STREAM,
        }
    )


def twilio_dtmf(digit: str) -> str:
    return _text(
        {
            "event": "dtmf",
            "streamSid": TWILIO_STREAM,
            "sequenceNumber": "5",
            "dtmf": {"track": "inbound_track", "digit": digit},
        }
    )


def twilio_mark() -> str:
    return _text(
        {
            "event": "mark",
            "sequenceNumber": "4",
            "streamSid": TWILIO_STREAM,
            "mark": {"name": "my label"},
        }
    )


def twilio_stop() -> str:
    return _text(
        {
            "event": "stop",
            "sequenceNumber": "5",
            "stop": {"accountSid": _ACCOUNT, "callSid": TWILIO_CALL},
            "streamSid": TWILIO_STREAM,
        }
    )


def _twilio(name: str, *messages: str, **expected: Any) -> Conversation:
    return Conversation(Provider.TWILIO, name, messages, **expected)


_OPEN = (twilio_connected(), twilio_start())

TWILIO = [
    _twilio("a caller who hangs up at once", *_OPEN, twilio_stop(), stopped=True),
    _twilio(
        "custom parameters",
        twilio_connected(),
        twilio_start({"FirstName": "Jane", "LastName": "Doe", "agent": "shop"}),
        twilio_stop(),
        stopped=True,
        agent="shop",
    ),
    _twilio(
        "speech",
        *_OPEN,
        *(twilio_media(chunk=n) for n in (1, 2, 3)),
        twilio_stop(),
        heard=ULAW * 3,
        stopped=True,
    ),
    _twilio(
        "both tracks",
        *_OPEN,
        twilio_media(track="inbound"),
        twilio_media(b"\x10" * 160, track="outbound"),
        twilio_media(track="inbound", chunk=2),
        heard=ULAW * 2,
    ),
    _twilio("keys", *_OPEN, *(twilio_dtmf(key) for key in "10*#"), keys="10*#"),
    _twilio(
        "a key between words",
        *_OPEN,
        twilio_media(),
        twilio_dtmf("1"),
        twilio_media(),
        heard=ULAW * 2,
        keys="1",
    ),
    _twilio(
        "a mark comes back", *_OPEN, twilio_media(), twilio_mark(), twilio_media(), heard=ULAW * 2
    ),
    _twilio("the socket closes without a stop", *_OPEN, twilio_media(), heard=ULAW),
    _twilio(
        "every message there is",
        *_OPEN,
        twilio_media(),
        twilio_dtmf("9"),
        twilio_mark(),
        twilio_media(),
        twilio_stop(),
        heard=ULAW * 2,
        keys="9",
        stopped=True,
    ),
    _twilio("no start", twilio_connected(), twilio_media(), refused="unknown_provider"),
]

# Telnyx

TELNYX_STREAM = "32DE0DEA-53CB-4B21-89A4-9E1819C043BC"
TELNYX_CALL = "v2:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ"


def telnyx_connected() -> str:
    return _text({"event": "connected", "version": "1.0.0"})


def telnyx_start(
    parameters: dict[str, str] | None = None, *, encoding: str = "PCMU", rate: int = 8000
) -> str:
    return _text(
        {
            "event": "start",
            "sequence_number": "1",
            "start": {
                "user_id": "3E6F995F-85F7-4705-9741-53B116D28237",
                "call_control_id": TELNYX_CALL,
                "call_session_id": "ff55a038-6f5d-11ef-9692-02420aeffb1f",
                "from": "+13122010094",
                "to": "+13122123456",
                "tags": ["TAG1", "TAG2"],
                "client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d",
                "custom_parameters": parameters or {},
                "media_format": {"encoding": encoding, "sample_rate": rate, "channels": 1},
            },
            "stream_id": TELNYX_STREAM,
        }
    )


def telnyx_media(audio: bytes = ULAW, *, track: str = "inbound", chunk: int = 2) -> str:
    return _text(
        {
            "event": "media",
            "sequence_number": "4",
            "media": {
                "track": track,
                "chunk": str(chunk),
                "timestamp": "5",
                "payload": payload(audio),
            },
            "stream_id": TELNYX_STREAM,
        }
    )


def telnyx_dtmf(digit: str) -> str:
    return _text(
        {
            "event": "dtmf",
            "stream_id": TELNYX_STREAM,
            "occurred_at": "2025-06-05T08:54:19.698408Z",
            "sequence_number": "5",
            "dtmf": {"digit": digit},
        }
    )


def telnyx_mark() -> str:
    return _text(
        {
            "event": "mark",
            "stream_id": TELNYX_STREAM,
            "sequence_number": "5",
            "mark": {"name": "some_mark_name"},
        }
    )


def telnyx_error() -> str:
    return _text(
        {
            "event": "error",
            "payload": {
                "code": 100003,
                "title": "malformed_frame",
                "detail": "Received frame was not formed correctly",
            },
            "stream_id": TELNYX_STREAM,
        }
    )


def telnyx_stop() -> str:
    return _text(
        {
            "event": "stop",
            "sequence_number": "5",
            "stop": {
                "user_id": "3E6F995F-85F7-4705-9741-53B116D28237",
                "call_control_id": TELNYX_CALL,
            },
            "stream_id": TELNYX_STREAM,
        }
    )


def _telnyx(name: str, *messages: str, **expected: Any) -> Conversation:
    return Conversation(Provider.TELNYX, name, messages, **expected)


_OPEN = (telnyx_connected(), telnyx_start())

TELNYX = [
    _telnyx("a caller who hangs up at once", *_OPEN, telnyx_stop(), stopped=True),
    _telnyx(
        "custom parameters",
        telnyx_connected(),
        telnyx_start({"customer_id": "customer_123", "agent": "shop"}),
        agent="shop",
    ),
    _telnyx("speech", *_OPEN, telnyx_media(), telnyx_media(chunk=3), heard=ULAW * 2),
    _telnyx("A-law", telnyx_connected(), telnyx_start(encoding="PCMA"), telnyx_media(), heard=ULAW),
    _telnyx("both tracks", *_OPEN, telnyx_media(), telnyx_media(track="outbound"), heard=ULAW),
    _telnyx("keys", *_OPEN, *(telnyx_dtmf(key) for key in "1#"), keys="1#"),
    _telnyx("a mark comes back", *_OPEN, telnyx_mark(), telnyx_media(), heard=ULAW),
    _telnyx("an error report", *_OPEN, telnyx_error(), telnyx_media(), heard=ULAW),
    _telnyx(
        "every message there is",
        *_OPEN,
        telnyx_media(),
        telnyx_dtmf("1"),
        telnyx_mark(),
        telnyx_error(),
        telnyx_media(),
        telnyx_stop(),
        heard=ULAW * 2,
        keys="1",
        stopped=True,
    ),
    _telnyx(
        "a codec that no serializer takes",
        telnyx_connected(),
        telnyx_start(encoding="L16", rate=16_000),
        refused="media_format",
    ),
]

# Plivo

PLIVO_STREAM = "87654321-4321-4321-4321-cba987654321"
PLIVO_CALL = "12345678-1234-1234-1234-123456789abc"


def plivo_start(
    extra_headers: str = "userId=12345;sessionId=abc-xyz",
    *,
    encoding: str = "audio/x-mulaw",
    rate: int = 8000,
) -> str:
    return _text(
        {
            "event": "start",
            "sequenceNumber": 1,
            "start": {
                "callId": PLIVO_CALL,
                "streamId": PLIVO_STREAM,
                "accountId": "MAXXXXXXXXXXXXXXXXXX",
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": encoding, "sampleRate": rate},
            },
            "extra_headers": extra_headers,
        }
    )


def plivo_media(audio: bytes = ULAW, *, track: str = "inbound", chunk: int = 41) -> str:
    return _text(
        {
            "event": "media",
            "sequenceNumber": chunk + 1,
            "streamId": PLIVO_STREAM,
            "media": {
                "track": track,
                "timestamp": "1705312200000",
                "chunk": chunk,
                "payload": payload(audio),
            },
            "extra_headers": "userId=12345;sessionId=abc-xyz",
        }
    )


def plivo_dtmf(digit: str) -> str:
    return _text(
        {
            "event": "dtmf",
            "sequenceNumber": 50,
            "streamId": PLIVO_STREAM,
            "dtmf": {"track": "inbound", "digit": digit, "timestamp": "1705312200000"},
            "extra_headers": "",
        }
    )


def plivo_played() -> str:
    name = "customer greeting audio"
    return _text({"event": "playedStream", "streamId": PLIVO_STREAM, "name": name})


def plivo_cleared() -> str:
    return _text({"sequenceNumber": 0, "event": "clearedAudio", "streamId": PLIVO_STREAM})


def plivo_stop() -> str:
    return _text({"event": "stop", "streamId": PLIVO_STREAM})


def _plivo(name: str, *messages: str, **expected: Any) -> Conversation:
    return Conversation(Provider.PLIVO, name, messages, **expected)


PLIVO = [
    _plivo("a caller who hangs up at once", plivo_start()),
    _plivo("extra headers", plivo_start("userId=12345;agent=shop"), agent="shop"),
    _plivo("extra headers, in the older form", plivo_start("test1=12,agent=shop"), agent="shop"),
    _plivo("no extra headers", plivo_start("{}"), plivo_media(), heard=ULAW),
    _plivo("speech", plivo_start(), plivo_media(), plivo_media(chunk=42), heard=ULAW * 2),
    _plivo("both tracks", plivo_start(), plivo_media(), plivo_media(track="outbound"), heard=ULAW),
    _plivo("keys", plivo_start(), *(plivo_dtmf(key) for key in "5*"), keys="5*"),
    _plivo(
        "a checkpoint and an interruption are confirmed",
        plivo_start(),
        plivo_media(),
        plivo_played(),
        plivo_cleared(),
        plivo_media(),
        heard=ULAW * 2,
    ),
    _plivo(
        "a stop that only its guide names",
        plivo_start(),
        plivo_media(),
        plivo_stop(),
        heard=ULAW,
        stopped=True,
    ),
    _plivo("linear audio", plivo_start(encoding="audio/x-l16"), refused="media_format"),
]

# Exotel

EXOTEL_STREAM = "MZ18ad3ab5a668481ce02b83e739505900"
EXOTEL_CALL = "CA18ad3ab5a668481ce02b83e739505900"


def exotel_connected() -> str:
    return _text({"event": "connected"})


def exotel_start(
    parameters: dict[str, str] | str | None = None,
    *,
    rate: str = "8000",
    encoding: str = "audio/x-raw",
) -> str:
    return _text(
        {
            "event": "start",
            "sequence_number": "1",
            "stream_sid": EXOTEL_STREAM,
            "start": {
                "stream_sid": EXOTEL_STREAM,
                "call_sid": EXOTEL_CALL,
                "account_sid": "ACxxxxxxxxxxxxxxxxxxxxxxxx",
                "from": "+919876543210",
                "to": "+918047491899",
                "custom_parameters": parameters if parameters is not None else {"key1": "value1"},
                "media_format": {"encoding": encoding, "sample_rate": rate, "bit_rate": "16"},
            },
        }
    )


def exotel_media(audio: bytes = SLIN, *, chunk: int = 2) -> str:
    return _text(
        {
            "event": "media",
            "sequence_number": "3",
            "stream_sid": EXOTEL_STREAM,
            "media": {"chunk": str(chunk), "timestamp": "200", "payload": payload(audio)},
        }
    )


def exotel_dtmf(digit: str) -> str:
    return _text(
        {
            "event": "dtmf",
            "sequence_number": "7",
            "stream_sid": EXOTEL_STREAM,
            "dtmf": {"digit": digit, "duration": "100"},
        }
    )


def exotel_mark() -> str:
    return _text(
        {
            "event": "mark",
            "sequence_number": "15",
            "stream_sid": EXOTEL_STREAM,
            "mark": {"name": "my-label"},
        }
    )


def exotel_stop(reason: str = "callended") -> str:
    return _text(
        {
            "event": "stop",
            "sequence_number": "20",
            "stream_sid": EXOTEL_STREAM,
            "stop": {
                "call_sid": EXOTEL_CALL,
                "account_sid": "ACxxxxxxxxxxxxxxxxxxxxxxxx",
                "reason": reason,
            },
        }
    )


def _exotel(name: str, *messages: str, **expected: Any) -> Conversation:
    return Conversation(Provider.EXOTEL, name, messages, **expected)


_OPEN = (exotel_connected(), exotel_start())

EXOTEL = [
    _exotel("a caller who hangs up at once", *_OPEN, exotel_stop(), stopped=True),
    _exotel("custom parameters", exotel_connected(), exotel_start({"agent": "shop"}), agent="shop"),
    _exotel(
        "custom parameters as a query",
        exotel_connected(),
        exotel_start("agent=shop&x=1"),
        agent="shop",
    ),
    _exotel("speech", *_OPEN, exotel_media(), exotel_media(chunk=3), heard=SLIN * 2),
    _exotel(
        "speech at 16 kHz",
        exotel_connected(),
        exotel_start(rate="16000"),
        exotel_media(),
        heard=SLIN,
    ),
    _exotel(
        "pieces that part a sample",
        *_OPEN,
        exotel_media(SLIN[:3]),
        exotel_media(SLIN[3:]),
        heard=SLIN,
    ),
    _exotel("keys", *_OPEN, *(exotel_dtmf(key) for key in "5#"), keys="5#"),
    _exotel(
        "a mark comes back", *_OPEN, exotel_media(), exotel_mark(), exotel_media(), heard=SLIN * 2
    ),
    _exotel(
        "the applet is stopped",
        *_OPEN,
        exotel_media(),
        exotel_dtmf("5"),
        exotel_stop("stopped"),
        heard=SLIN,
        keys="5",
        stopped=True,
    ),
    _exotel(
        "a codec that the serializer does not take",
        exotel_connected(),
        exotel_start(encoding="audio/x-mulaw"),
        refused="media_format",
    ),
]

CONVERSATIONS = [*TWILIO, *TELNYX, *PLIVO, *EXOTEL]


STARTS = {
    Provider.TWILIO: (twilio_connected(), twilio_start()),
    Provider.TELNYX: (telnyx_connected(), telnyx_start()),
    Provider.PLIVO: (plivo_start(),),
    Provider.EXOTEL: (exotel_connected(), exotel_start()),
}
STOPS = {
    Provider.TWILIO: twilio_stop(),
    Provider.TELNYX: telnyx_stop(),
    Provider.PLIVO: plivo_stop(),
    Provider.EXOTEL: exotel_stop(),
}
