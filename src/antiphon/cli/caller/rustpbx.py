"""RustPBX as a caller: the three client generations in the wild.

Source: parvbhullar/media-gateway, branch `voiceAgentBinding`, `src/pipecat/{mod,client}.rs` and
`src/media/track/pipecat.rs`. The client deserializes with serde into strict types: a message with
an unknown `type`, a missing field or a number of another form is silently dropped, extra keys are
ignored.

| | A | B | C |
| --- | --- | --- | --- |
| audio up | JSON | binary | binary |
| binary audio down | ignored | ignored | played |
| `transcription.language` | required | optional | optional |
| speaks before the server does | no | no | yes |
"""

import json
import uuid
from collections.abc import Callable
from typing import Any, Literal, get_args

from antiphon.cli.caller.messages import (
    AgentAudio,
    AgentText,
    Dropped,
    Heard,
    Notice,
    PeerError,
    Transcript,
)
from antiphon.domain.audio import MAX_SAMPLE_RATE_HZ, MIN_SAMPLE_RATE_HZ
from antiphon.errors import InvalidRequest

Generation = Literal["A", "B", "C"]

PING_SECS = 30.0
BINARY_SAMPLE_RATE = 16_000
"""Hz of binary audio, which has no header: always of ours, of the server's unless the URL says."""

_U32 = 2**32
_U64 = 2**64


def _unsigned(limit: int) -> Callable[[Any], bool]:
    # bool is an int to Python, not to serde; 1.0 is no integer to either.
    return lambda value: type(value) is int and 0 <= value < limit


def _string(value: Any) -> bool:
    return isinstance(value, str)


def _boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _optional(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _signed_32(value: Any) -> bool:
    return type(value) is int and -(2**31) <= value < 2**31


def _bytes(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and 0 <= v <= 255 for v in value)


_u32, _u64 = _unsigned(_U32), _unsigned(_U64)

FIELDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "audio": {"audio_data": _bytes, "sample_rate": _u32, "channels": _u32, "frame_id": _string},
    "transcription": {"text": _string, "is_final": _boolean, "timestamp": _u64},
    "llm_response": {"text": _string, "is_complete": _boolean, "timestamp": _u64},
    "tts_started": {"text": _string, "timestamp": _u64},
    "tts_completed": {"text": _string, "timestamp": _u64},
    "error": {"message": _string, "timestamp": _u64},
    "metrics": {"key": _string, "duration": _u64, "timestamp": _u64},
    "ping": {"timestamp": _u64},
    "pong": {"timestamp": _u64},
    "connected": {"server": _string, "version": _string, "timestamp": _u64},
    "configured": {"call_id": _string, "status": _string, "timestamp": _u64},
}
"""Required fields of each message and their types."""

OPTIONAL_FIELDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "transcription": {"language": _optional(_string)},
    "error": {"code": _optional(_signed_32)},
}


def fault_in(message: object, generation: Generation) -> str | None:
    """Why the real client would drop a decoded JSON message; None when it would take it."""
    if not isinstance(message, dict):
        return "not a JSON object"
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in FIELDS:
        return f"unknown type {kind!r}"
    for name, check in FIELDS[kind].items():
        if name not in message:
            return f"{kind}.{name} is missing"
        if not check(message[name]):
            return f"{kind}.{name} has the wrong form: {message[name]!r:.60}"
    for name, check in OPTIONAL_FIELDS.get(kind, {}).items():
        if name in message and not check(message[name]):
            return f"{kind}.{name} has the wrong form: {message[name]!r:.60}"
    if generation == "A" and kind == "transcription" and message.get("language") is None:
        return "transcription.language is missing (generation A requires it)"
    return None


def generation_named(name: str) -> Generation:
    """A generation from its letter, in either case.

    Raises:
        InvalidRequest: there is none of this name.
    """
    for known in get_args(Generation):
        if name.upper() == known:
            return known  # type: ignore[no-any-return]
    raise InvalidRequest(f"generation is {name!r}; use A, B or C", field="generation")


class RustpbxCaller:
    """A RustPBX client. Implements `CallerCodec`.

    Args:
        room: `room_id`; None makes up `rustpbx_<uuid>`, as the client does.
        generation: Which of the three clients to be.
        system_prompt: Sent in `configure`.
        output_rate: Hz of binary audio from the server; must be what the URL's `sample_rate` says.
    """

    name = "rustpbx"
    sample_rate = BINARY_SAMPLE_RATE
    keepalive_secs = PING_SECS

    def __init__(
        self,
        *,
        room: str | None = None,
        generation: Generation = "C",
        system_prompt: str | None = None,
        output_rate: int = BINARY_SAMPLE_RATE,
    ):
        self.room = room or f"rustpbx_{uuid.uuid4()}"
        self.generation = generation
        self.system_prompt = system_prompt
        self.output_rate = output_rate
        self.waits_for_server = generation != "C"
        self._frames = 0

    def opening(self, now_ms: int) -> list[str | bytes]:
        """`configure`, and at once the first `ping`."""
        configure = {
            "command": "configure",
            "room_id": self.room,
            "system_prompt": self.system_prompt,
            # Hard-coded in the client, except for the rates.
            "stt_config": {"sample_rate": 16000, "language": "en", "model": "nova"},
            "llm_config": {"model": "gpt-4o-mini", "max_tokens": 150, "temperature": 0.7},
            "tts_config": {"model": "aura", "sample_rate": 16000, "encoding": "linear16"},
        }
        return [json.dumps(configure), self.keepalive(now_ms)]

    def keepalive(self, now_ms: int) -> str:
        """A `ping` command."""
        return json.dumps({"command": "ping", "timestamp": now_ms})

    def audio(self, pcm: bytes, now_ms: int) -> str | bytes:
        """A JSON `audio` command in generation A, the bare bytes since."""
        if self.generation != "A":
            return pcm
        self._frames += 1
        return json.dumps(
            {
                "command": "audio",
                "audio_data": list(pcm),
                "sample_rate": self.sample_rate,
                "channels": 1,
                "timestamp": now_ms,
                "frame_id": f"frame_{self._frames}",
            }
        )

    def read(self, message: str | bytes) -> list[Heard]:
        """Read a message as strictly as the client does."""
        if isinstance(message, bytes):
            if self.generation != "C":
                return [Dropped(f"generation {self.generation} ignores binary audio")]
            return [AgentAudio(message, self.output_rate)]
        try:
            data = json.loads(message)
        except ValueError as exc:
            return [Dropped(f"not JSON: {exc}")]
        fault = fault_in(data, self.generation)
        return [Dropped(fault) if fault else _meaning(data)]


def _meaning(data: dict[str, Any]) -> Heard:
    """A checked message in the caller's own terms."""
    kind = data["type"]
    if kind == "audio":
        if data["channels"] != 1:
            return Dropped(f"audio.channels is {data['channels']}; the track plays mono")
        if not MIN_SAMPLE_RATE_HZ <= data["sample_rate"] <= MAX_SAMPLE_RATE_HZ:
            return Dropped(f"audio.sample_rate is {data['sample_rate']} Hz, which nothing plays")
        return AgentAudio(bytes(data["audio_data"]), data["sample_rate"])
    if kind == "transcription":
        return Transcript(data["text"], data["is_final"])
    if kind == "llm_response":
        return AgentText(data["text"], data["is_complete"])
    if kind == "error":
        return PeerError(data["message"])
    return Notice(kind, {name: value for name, value in data.items() if name != "type"})
