"""Every fact about a session, typed.

One `EventType` per kind of fact, one frozen dataclass per body. An `Event` is a body with its place
in the session: number, UTC time, milliseconds since the session's start. Events never change; all
readers (record store, transports' JSON, API, metrics) work from them alone.
"""

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, ClassVar, Literal

Role = Literal["user", "agent"]


class EventType(StrEnum):
    """Names of all events, as the API and the record store spell them."""

    SESSION_STARTED = "session_started"
    PARTICIPANT_JOINED = "participant_joined"
    PARTICIPANT_LEFT = "participant_left"
    SESSION_PARKED = "session_parked"
    SESSION_RESUMED = "session_resumed"
    SESSION_ENDED = "session_ended"
    CONFIGURED = "configured"
    PROMPT_UPDATED = "prompt_updated"
    SPEECH_STARTED = "speech_started"
    SPEECH_STOPPED = "speech_stopped"
    TURN_STARTED = "turn_started"
    TURN_ENDED = "turn_ended"
    TRANSCRIPT_INTERIM = "transcript_interim"
    TRANSCRIPT_FINAL = "transcript_final"
    LLM_STARTED = "llm_started"
    LLM_TEXT = "llm_text"
    LLM_ENDED = "llm_ended"
    TTS_STARTED = "tts_started"
    TTS_ENDED = "tts_ended"
    AGENT_SPEECH_STARTED = "agent_speech_started"
    AGENT_SPOKE = "agent_spoke"
    AGENT_SPEECH_STOPPED = "agent_speech_stopped"
    INTERRUPTED = "interrupted"
    TOOL_CALL_STARTED = "tool_call_started"
    TOOL_CALL_ENDED = "tool_call_ended"
    TURN_LATENCY = "turn_latency"
    SERVICE_METRIC = "service_metric"
    USAGE = "usage"
    DTMF = "dtmf"
    OPERATOR_ACTION = "operator_action"
    ERROR = "error"


class EventBody:
    """Base of all bodies; `type` names the event."""

    __slots__ = ()

    type: ClassVar[EventType]
    transient: ClassVar[bool] = False
    """Transient events are for live readers only; the record store leaves them out."""


@dataclass(frozen=True, slots=True)
class SessionStarted(EventBody):
    """A session exists: which agent, by which transport, with which services."""

    type: ClassVar[EventType] = EventType.SESSION_STARTED
    agent: str
    transport: str
    room: str
    language: str
    services: dict[str, str] = field(default_factory=dict)
    """Kind (`stt`, `llm`, `tts`) to service name."""
    input_sample_rate: int = 16000
    """Hz, inside the pipeline."""
    output_sample_rate: int = 16000
    """Hz, inside the pipeline."""
    antiphon_version: str = ""


@dataclass(frozen=True, slots=True)
class ParticipantJoined(EventBody):
    """A connection joined."""

    type: ClassVar[EventType] = EventType.PARTICIPANT_JOINED
    participant: str
    transport: str
    remote: str = ""
    """Address of the peer, `host:port`."""
    sample_rate: int = 16000
    """Hz, on the wire towards the participant."""


@dataclass(frozen=True, slots=True)
class ParticipantLeft(EventBody):
    """A connection left; `reason` is `disconnect`, `closed`, `lost` or `slow_reader`."""

    type: ClassVar[EventType] = EventType.PARTICIPANT_LEFT
    participant: str
    reason: str
    close_code: int | None = None


@dataclass(frozen=True, slots=True)
class SessionParked(EventBody):
    """The last participant was lost; the session waits for a rejoin."""

    type: ClassVar[EventType] = EventType.SESSION_PARKED
    wait_ms: int


@dataclass(frozen=True, slots=True)
class SessionResumed(EventBody):
    """A participant rejoined a parked session."""

    type: ClassVar[EventType] = EventType.SESSION_RESUMED
    participant: str
    parked_ms: int


@dataclass(frozen=True, slots=True)
class SessionEnded(EventBody):
    """The last event of every session."""

    type: ClassVar[EventType] = EventType.SESSION_ENDED
    reason: str
    """An `EndReason` value."""
    duration_ms: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Configured(EventBody):
    """The peer configured the session; `ignored` says what was not applied and why."""

    type: ClassVar[EventType] = EventType.CONFIGURED
    room: str
    applied: dict[str, Any] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PromptUpdated(EventBody):
    """The system prompt changed during the session."""

    type: ClassVar[EventType] = EventType.PROMPT_UPDATED
    prompt: str
    by: str = "peer"


@dataclass(frozen=True, slots=True)
class SpeechStarted(EventBody):
    """The VAD heard the caller begin to speak."""

    type: ClassVar[EventType] = EventType.SPEECH_STARTED


@dataclass(frozen=True, slots=True)
class SpeechStopped(EventBody):
    """The VAD heard the caller stop; `silence_ms` had passed since the last speech by then."""

    type: ClassVar[EventType] = EventType.SPEECH_STOPPED
    silence_ms: int = 0


@dataclass(frozen=True, slots=True)
class TurnStarted(EventBody):
    """A turn began: user and agent turns are numbered together."""

    type: ClassVar[EventType] = EventType.TURN_STARTED
    turn: int
    role: Role


@dataclass(frozen=True, slots=True)
class TurnEnded(EventBody):
    """A turn ended; `text` is what was said, for the agent what was *heard* of it."""

    type: ClassVar[EventType] = EventType.TURN_ENDED
    turn: int
    role: Role
    text: str = ""
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class TranscriptInterim(EventBody):
    """What the caller seems to be saying."""

    type: ClassVar[EventType] = EventType.TRANSCRIPT_INTERIM
    transient: ClassVar[bool] = True
    turn: int
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class TranscriptFinal(EventBody):
    """What the caller said, as the speech-to-text service settled it."""

    type: ClassVar[EventType] = EventType.TRANSCRIPT_FINAL
    turn: int
    text: str
    language: str


@dataclass(frozen=True, slots=True)
class LlmStarted(EventBody):
    """The language model began to answer."""

    type: ClassVar[EventType] = EventType.LLM_STARTED
    transient: ClassVar[bool] = True
    turn: int


@dataclass(frozen=True, slots=True)
class LlmText(EventBody):
    """A piece of the language model's answer, as it streams."""

    type: ClassVar[EventType] = EventType.LLM_TEXT
    transient: ClassVar[bool] = True
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class LlmEnded(EventBody):
    """The language model's whole answer."""

    type: ClassVar[EventType] = EventType.LLM_ENDED
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class TtsStarted(EventBody):
    """Speech synthesis of `text` began."""

    type: ClassVar[EventType] = EventType.TTS_STARTED
    transient: ClassVar[bool] = True
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class TtsEnded(EventBody):
    """Speech synthesis of `text` ended."""

    type: ClassVar[EventType] = EventType.TTS_ENDED
    transient: ClassVar[bool] = True
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class AgentSpeechStarted(EventBody):
    """The first audio of an agent turn went to the caller."""

    type: ClassVar[EventType] = EventType.AGENT_SPEECH_STARTED
    turn: int


@dataclass(frozen=True, slots=True)
class AgentSpoke(EventBody):
    """A word or phrase of the agent has been played to the caller."""

    type: ClassVar[EventType] = EventType.AGENT_SPOKE
    transient: ClassVar[bool] = True
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class AgentSpeechStopped(EventBody):
    """The agent's audio ended."""

    type: ClassVar[EventType] = EventType.AGENT_SPEECH_STOPPED
    turn: int


@dataclass(frozen=True, slots=True)
class Interrupted(EventBody):
    """The caller spoke over the agent, or an operator interrupted it."""

    type: ClassVar[EventType] = EventType.INTERRUPTED
    turn: int
    by: str = "user"


@dataclass(frozen=True, slots=True)
class ToolCallStarted(EventBody):
    """The model called a tool."""

    type: ClassVar[EventType] = EventType.TOOL_CALL_STARTED
    turn: int
    call_id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCallEnded(EventBody):
    """A tool answered, failed or was cancelled."""

    type: ClassVar[EventType] = EventType.TOOL_CALL_ENDED
    turn: int
    call_id: str
    name: str
    result: Any = None
    ok: bool = True
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class TurnLatency(EventBody):
    """Latency of one answer, counted from the end of the caller's speech."""

    type: ClassVar[EventType] = EventType.TURN_LATENCY
    turn: int
    voice_to_voice_ms: int
    """End of the caller's speech to the agent's first audio."""
    end_of_speech_to_transcript_ms: int | None = None
    end_of_turn_ms: int | None = None
    """End of speech to the decision that the turn is over."""
    llm_first_token_ms: int | None = None
    """End of turn to the first token."""
    tts_first_audio_ms: int | None = None
    """Text handed over to first audio."""
    tools: dict[str, int] = field(default_factory=dict)
    """Tool name to duration, ms."""


@dataclass(frozen=True, slots=True)
class ServiceMetric(EventBody):
    """One measurement of one service."""

    type: ClassVar[EventType] = EventType.SERVICE_METRIC
    service: str
    metric: str
    """`ttfb` or `processing`."""
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Usage(EventBody):
    """What one request to a service used."""

    type: ClassVar[EventType] = EventType.USAGE
    service: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    characters: int = 0
    audio_ms: int = 0


@dataclass(frozen=True, slots=True)
class Dtmf(EventBody):
    """A key was pressed."""

    type: ClassVar[EventType] = EventType.DTMF
    digit: str
    participant: str = ""


@dataclass(frozen=True, slots=True)
class OperatorAction(EventBody):
    """An operator acted by the API."""

    type: ClassVar[EventType] = EventType.OPERATOR_ACTION
    action: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ErrorOccurred(EventBody):
    """Something went wrong; the session goes on unless `fatal`."""

    type: ClassVar[EventType] = EventType.ERROR
    code: str
    message: str
    source: str = ""
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One fact with its place in its session."""

    session_id: str
    seq: int
    """1, 2, 3… within the session, without gaps; transient events count too."""
    at: datetime
    """UTC."""
    offset_ms: int
    """Milliseconds since the session's start, on the monotonic clock."""
    body: EventBody

    @property
    def type(self) -> EventType:
        """The kind of fact."""
        return self.body.type

    def data(self) -> dict[str, Any]:
        """The body's fields as plain data."""
        return dataclasses.asdict(self.body)  # type: ignore[call-overload, no-any-return]

    def as_dict(self) -> dict[str, Any]:
        """The event as the API shows it."""
        return {
            "session_id": self.session_id,
            "seq": self.seq,
            "type": self.type.value,
            "at": self.at.isoformat(),
            "offset_ms": self.offset_ms,
            "data": self.data(),
        }


@cache
def body_classes() -> dict[EventType, type[EventBody]]:
    """The body class of each event type."""
    return {cls.type: cls for cls in EventBody.__subclasses__()}


def body_from(kind: str, data: dict[str, Any]) -> EventBody:
    """Rebuild a body from stored data, ignoring fields that this version does not know.

    Raises:
        ValueError: `kind` is not an event type, or a required field is missing.
    """
    cls = body_classes()[EventType(kind)]
    known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    try:
        return cls(**{k: v for k, v in data.items() if k in known})
    except TypeError as exc:
        raise ValueError(f"{kind}: {exc}") from exc
