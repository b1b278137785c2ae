"""The browser's WebSocket: PCM16 mono both ways, facts as JSON.

Source: rodrigowf/agentic, `backend/api/realtime_voice_pipecat_ws.py` and its document: binary
frames both ways at 24 kHz; from the server `transcription` (for user and assistant) and
`function_call`. All other message types are this server's extensions (`PROTOCOL_VERSION`); each has
its own `type`, so a client of the original ignores them.

| type | fields |
| --- | --- |
| `session` | session_id, resume_token, protocol_version, sample_rate (Hz), agent, room |
| `transcription` | text, role, user_id, timestamp; turn, interrupted |
| `transcription_interim` | text, role, user_id, timestamp, turn |
| `agent_text` | text, spoken (false as the model writes it, true as it is played), turn |
| `state` | state: listening, thinking or speaking |
| `interrupted` | turn, by: the client drops all audio it has not played |
| `function_call` | name, arguments; call_id, turn |
| `function_result` | name, call_id, ok, result, duration_ms, turn |
| `latency` | turn, voice_to_voice_ms and its parts |
| `error` | code, message, field?, fatal |
| `ended` | reason, duration_ms, detail |
| `pong` | timestamp |

From the client, all optional: `ping`, `text` {text}, `interrupt`, `mute` {muted}, `dtmf` {digit},
`end` {reason?}.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from antiphon.domain import events as facts
from antiphon.domain.events import Event
from antiphon.errors import AntiphonError
from antiphon.protocols.framing import (
    AudioIn,
    Disconnect,
    Interrupt,
    Invalid,
    Message,
    Mute,
    Ping,
    SampleAligner,
    UserText,
    encode,
    invalid,
    is_unsigned,
    iso_timestamp,
    parse_object,
    printable,
    read_dtmf,
    scrub,
    unsigned,
)
from antiphon.protocols.query import MAX_WIRE_RATE_HZ, MIN_WIRE_RATE_HZ, QueryReader

PROTOCOL_VERSION = 1
"""Raised when an extension changes in a way that an older client of ours would trip over."""

DEFAULT_SAMPLE_RATE_HZ = 24_000
DEFAULT_FRAME_MS = 20
DOCUMENTED_VOICES = ("alloy", "echo", "fable", "onyx", "nova", "shimmer")
"""The voices the original's document lists; any other name is passed on as it is."""
MAX_PROMPT_CHARS = 100_000
MAX_TEXT_CHARS = 4_000
"""Longest typed message."""

State = Literal["listening", "thinking", "speaking"]

_VOICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:+-]*")


@dataclass(frozen=True, slots=True)
class BrowserOptions:
    """What the query of a browser's connection asks for; None: not said."""

    voice: str | None = None
    agent_name: str | None = None
    system_prompt: str | None = None
    sample_rate: int = DEFAULT_SAMPLE_RATE_HZ
    """Hz, both ways."""
    frame_ms: int = DEFAULT_FRAME_MS
    """Length of one audio message from us, ms."""
    resume: str | None = field(default=None, repr=False)
    """Resume token of an earlier connection."""
    token: str | None = field(default=None, repr=False)
    ignored: Mapping[str, str] = field(default_factory=dict)
    """Parameters that mean nothing here, for the log."""

    @classmethod
    def from_query(
        cls,
        query: Mapping[str, str] | Iterable[tuple[str, str]],
        *,
        sample_rate: int = DEFAULT_SAMPLE_RATE_HZ,
        frame_ms: int = DEFAULT_FRAME_MS,
    ) -> Self:
        """Read the query parameters; the keyword arguments are the defaults.

        Raises:
            InvalidRequest: a parameter is wrong; `details["problems"]` lists all of them.
        """
        reader = QueryReader(query)
        voice = reader.text(
            "voice",
            limit=64,
            pattern=_VOICE,
            hint="use letters, digits, spaces and . _ : + -, e.g. alloy",
        )
        agent_name = reader.text("agent_name", "agent", limit=64)
        prompt = reader.text("system_prompt", limit=MAX_PROMPT_CHARS)
        rate, frame = reader.audio(sample_rate=sample_rate, frame_ms=frame_ms)
        resume = reader.text("resume", "resume_token", limit=1024)
        token = reader.text("token", "ticket", limit=4096)
        return cls(
            voice=voice,
            agent_name=agent_name,
            system_prompt=prompt,
            sample_rate=rate,
            frame_ms=frame,
            resume=resume,
            token=token,
            ignored=reader.finish(),
        )


class BrowserCodec:
    """One browser connection.

    Args:
        sample_rate: Hz, both ways.

    Raises:
        ValueError: `sample_rate` is out of range.
    """

    def __init__(self, *, sample_rate: int = DEFAULT_SAMPLE_RATE_HZ):
        if not MIN_WIRE_RATE_HZ <= sample_rate <= MAX_WIRE_RATE_HZ:
            raise ValueError(
                f"sample_rate is {sample_rate} Hz; it must be from {MIN_WIRE_RATE_HZ} to "
                f"{MAX_WIRE_RATE_HZ} Hz"
            )
        self.sample_rate = sample_rate
        self._aligner = SampleAligner()
        self._state: State | None = None
        self._commands: dict[str, Callable[[dict[str, Any]], list[Message]]] = {
            "ping": _ping,
            "pong": lambda _: [],
            "text": _text,
            "interrupt": lambda _: [Interrupt()],
            "mute": _mute,
            "unmute": lambda _: [Mute(False)],
            "dtmf": lambda data: [read_dtmf(data)],
            "end": _end,
            "disconnect": _end,
        }

    @property
    def state(self) -> State | None:
        """What the client was last told: listening, thinking or speaking; None: nothing yet."""
        return self._state

    # Client to server.

    def receive_bytes(self, data: bytes) -> list[Message]:
        """Audio: PCM16 little-endian mono at `sample_rate`, in pieces of any size."""
        pcm = self._aligner.align(data)
        return [AudioIn(pcm, self.sample_rate)] if pcm else []

    def receive_text(self, text: str) -> list[Message]:
        """A JSON message tagged `type` (or `event`, `command`)."""
        data = parse_object(text)
        if isinstance(data, Invalid):
            return [data]
        tags = (data.get(key) for key in ("type", "event", "command"))
        tag = next((tag for tag in tags if isinstance(tag, str)), None)
        if tag is None:
            return [invalid('the message has no type; send {"type":…}', field="type")]
        handler = self._commands.get(tag.strip().lower())
        if handler is None:
            return [
                invalid(
                    f"type is {printable(tag, 40)!r}; use ping, text, interrupt, mute, dtmf or end",
                    field="type",
                    code="unknown_type",
                )
            ]
        return handler(data)

    # Server to client.

    def session(self, *, session_id: str, resume_token: str, agent: str, room: str) -> str:
        """The first message: what the client needs to know, and to come back."""
        return encode(
            {
                "type": "session",
                "session_id": session_id,
                "resume_token": resume_token,
                "protocol_version": PROTOCOL_VERSION,
                "sample_rate": self.sample_rate,
                "agent": agent,
                "room": room,
            }
        )

    def pong(self, ping: Ping, now_ms: int) -> str:
        """The answer to a ping, with the client's own timestamp where it sent one."""
        stamp = ping.timestamp if ping.timestamp is not None else now_ms
        return encode({"type": "pong", "timestamp": unsigned(stamp)})

    def error(self, error: AntiphonError, now_ms: int) -> str:
        """An error; the session goes on."""
        return encode(
            {"type": "error", **error.as_dict(), "fatal": False, "timestamp": unsigned(now_ms)}
        )

    def audio_out(self, pcm: bytes) -> bytes:
        """One paced frame, as it is."""
        return pcm

    def event_out(self, event: Event) -> list[str]:
        """The messages that tell the browser of a fact, the change of state last."""
        kind = type(event.body)
        messages: list[dict[str, Any]] = []
        render = _RENDERERS.get(kind)
        if render is not None:
            message = render(event, event.body)
            if message is not None:
                messages.append(message)
        follow = _STATES.get(kind)
        state = follow(self._state, event.body) if follow else None
        if state is not None and state != self._state:
            self._state = state
            messages.append({"type": "state", "state": state})
        return [encode(message) for message in messages]


def _ping(data: dict[str, Any]) -> list[Message]:
    stamp = data.get("timestamp")
    return [Ping(stamp if is_unsigned(stamp) else None)]


def _text(data: dict[str, Any]) -> list[Message]:
    text = data.get("text")
    if not isinstance(text, str) or not text.strip():
        return [invalid("text must be a string that is not blank", field="text")]
    if len(text) > MAX_TEXT_CHARS:
        return [
            invalid(f"text has {len(text)} characters; send at most {MAX_TEXT_CHARS}", field="text")
        ]
    return [UserText(scrub(text).strip())]


def _mute(data: dict[str, Any]) -> list[Message]:
    muted = data.get("muted", True)
    if not isinstance(muted, bool):
        return [invalid("muted must be true or false", field="muted")]
    return [Mute(muted)]


def _end(data: dict[str, Any]) -> list[Message]:
    reason = data.get("reason")
    return [Disconnect(printable(reason, 200) if isinstance(reason, str) else "")]


# What each fact says. The first four fields of `transcription` and the first two of
# `function_call` are the original's.


def _transcription(event: Event, kind: str, role: str, text: str, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "text": text,
        "role": role,
        "user_id": role,
        "timestamp": iso_timestamp(event.at),
        **more,
    }


def _interim(event: Event, body: facts.TranscriptInterim) -> dict[str, Any]:
    return _transcription(
        event, "transcription_interim", "user", body.text, turn=body.turn, language=body.language
    )


def _final(event: Event, body: facts.TranscriptFinal) -> dict[str, Any]:
    return _transcription(
        event, "transcription", "user", body.text, turn=body.turn, language=body.language
    )


def _agent_turn(event: Event, body: facts.TurnEnded) -> dict[str, Any] | None:
    if body.role != "agent" or not body.text.strip():
        return None
    return _transcription(
        event,
        "transcription",
        "assistant",
        body.text,
        turn=body.turn,
        interrupted=body.interrupted,
    )


def _tool_call(_: Event, body: facts.ToolCallStarted) -> dict[str, Any]:
    return {
        "type": "function_call",
        "name": body.name,
        "arguments": body.arguments,
        "call_id": body.call_id,
        "turn": body.turn,
    }


def _tool_result(_: Event, body: facts.ToolCallEnded) -> dict[str, Any]:
    return {
        "type": "function_result",
        "name": body.name,
        "call_id": body.call_id,
        "ok": body.ok,
        "result": body.result,
        "duration_ms": unsigned(body.duration_ms),
        "turn": body.turn,
    }


def _latency(_: Event, body: facts.TurnLatency) -> dict[str, Any]:
    return {
        "type": "latency",
        "turn": body.turn,
        "voice_to_voice_ms": body.voice_to_voice_ms,
        "end_of_speech_to_transcript_ms": body.end_of_speech_to_transcript_ms,
        "end_of_turn_ms": body.end_of_turn_ms,
        "llm_first_token_ms": body.llm_first_token_ms,
        "tts_first_audio_ms": body.tts_first_audio_ms,
        "tools": body.tools,
    }


def _written(_: Event, body: facts.LlmText) -> dict[str, Any]:
    return {"type": "agent_text", "text": body.text, "spoken": False, "turn": body.turn}


def _spoken(_: Event, body: facts.AgentSpoke) -> dict[str, Any]:
    return {"type": "agent_text", "text": body.text, "spoken": True, "turn": body.turn}


def _interrupted(_: Event, body: facts.Interrupted) -> dict[str, Any]:
    return {"type": "interrupted", "turn": body.turn, "by": body.by}


def _error(_: Event, body: facts.ErrorOccurred) -> dict[str, Any]:
    return {"type": "error", "code": body.code, "message": body.message, "fatal": body.fatal}


def _ended(_: Event, body: facts.SessionEnded) -> dict[str, Any]:
    return {
        "type": "ended",
        "reason": body.reason,
        "duration_ms": unsigned(body.duration_ms),
        "detail": body.detail,
    }


_RENDERERS: Mapping[type[facts.EventBody], Callable[[Event, Any], dict[str, Any] | None]] = {
    facts.TranscriptInterim: _interim,
    facts.TranscriptFinal: _final,
    facts.TurnEnded: _agent_turn,
    facts.LlmText: _written,
    facts.AgentSpoke: _spoken,
    facts.ToolCallStarted: _tool_call,
    facts.ToolCallEnded: _tool_result,
    facts.Interrupted: _interrupted,
    facts.TurnLatency: _latency,
    facts.ErrorOccurred: _error,
    facts.SessionEnded: _ended,
}


# What each fact makes of the state; None leaves it.


def _unless_speaking(state: State) -> Callable[[State | None, Any], State | None]:
    return lambda now, _: None if now == "speaking" else state


def _turn_started(_: State | None, body: facts.TurnStarted) -> State | None:
    return "listening" if body.role == "user" else None


def _turn_ended(now: State | None, body: facts.TurnEnded) -> State | None:
    if body.role == "user":
        # An answer follows only where something was said.
        return "thinking" if body.text.strip() else "listening"
    return "listening" if now == "thinking" else None


_STATES: Mapping[type[facts.EventBody], Callable[[State | None, Any], State | None]] = {
    facts.SessionStarted: lambda now, _: now or "listening",
    facts.SpeechStarted: _unless_speaking("listening"),
    facts.TurnStarted: _turn_started,
    facts.TurnEnded: _turn_ended,
    facts.LlmStarted: _unless_speaking("thinking"),
    facts.ToolCallStarted: _unless_speaking("thinking"),
    facts.AgentSpeechStarted: lambda _, __: "speaking",
    facts.AgentSpeechStopped: lambda _, __: "listening",
    facts.Interrupted: lambda _, __: "listening",
}
