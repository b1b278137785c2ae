"""The transcript of a session, folded from its events: who said what, as it was heard.

A user entry holds what speech-to-text settled; an agent entry what the caller *heard*, which for an
interrupted turn is less than the model wrote. Times are of the speech itself where the events tell
them, so that captions fit the recording. Nothing depends on transient events, so a transcript made
from stored events equals the live one, save for a turn that never ended.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from antiphon.domain import events as facts
from antiphon.domain.events import Event, EventBody, Role

_NAMES: Mapping[Role, str] = {"user": "User", "agent": "Agent"}
_MIN_CUE_MS = 1


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call within a turn."""

    call_id: str
    name: str
    arguments: Mapping[str, Any]
    offset_ms: int
    """When it was called, ms since the session's start."""
    result: Any = None
    ok: bool | None = None
    """None while it has not ended."""
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TranscriptEntry:
    """One turn."""

    turn: int
    role: Role
    text: str
    start_ms: int
    """When its speech began, ms since the session's start."""
    end_ms: int
    """When its speech ended; for a turn that is still open, the time of the last event."""
    interrupted: bool = False
    ended: bool = True
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(slots=True)
class _Turn:
    """A turn while its events come in."""

    number: int
    role: Role
    started_ms: int
    ended_ms: int | None = None
    speech_start_ms: int | None = None
    speech_end_ms: int | None = None
    interrupted: bool = False
    text: str = ""
    """What `TurnEnded` said, or empty."""
    pieces: list[str] = field(default_factory=list)
    """What was heard before the end, for a turn whose end has not come or says nothing."""
    late: list[str] = field(default_factory=list)
    """Transcripts that came after the end."""
    calls: dict[str, ToolCall] = field(default_factory=dict)

    def entry(self, last_ms: int) -> TranscriptEntry:
        heard = self.text
        if not heard and (self.role == "user" or self.ended_ms is None):
            heard = _join(self.pieces)
        start = self.started_ms if self.speech_start_ms is None else self.speech_start_ms
        ended = last_ms if self.ended_ms is None else self.ended_ms
        end = ended if self.speech_end_ms is None else self.speech_end_ms
        return TranscriptEntry(
            turn=self.number,
            role=self.role,
            text=_join([heard, *self.late]),
            start_ms=start,
            end_ms=max(start, end),
            interrupted=self.interrupted,
            ended=self.ended_ms is not None,
            tool_calls=tuple(self.calls.values()),
        )


class TranscriptBuilder:
    """Folds events, in order, into entries; usable on a live session at any moment."""

    def __init__(self) -> None:
        self._turns: dict[int, _Turn] = {}
        self._speaking: _Turn | None = None
        self._unclaimed: list[str] = []
        self._voice_start_ms: int | None = None
        self._last_ms = 0

    def add(self, event: Event) -> None:
        """Take the next event."""
        self._last_ms = max(self._last_ms, event.offset_ms)
        handler = self._HANDLERS.get(type(event.body))
        if handler is not None:
            handler(self, event.offset_ms, event.body)

    def entries(self) -> list[TranscriptEntry]:
        """The turns in which something was said or done, in order."""
        turns = (self._turns[number] for number in sorted(self._turns))
        entries = (turn.entry(self._last_ms) for turn in turns)
        return [entry for entry in entries if entry.text or entry.tool_calls]

    def _latest(self, role: Role) -> _Turn | None:
        return next((turn for turn in reversed(self._turns.values()) if turn.role == role), None)

    def _of(self, number: int, role: Role) -> _Turn | None:
        """The turn of that number, or the latest of the role where the number is another's."""
        turn = self._turns.get(number)
        return turn if turn is not None and turn.role == role else self._latest(role)

    def _turn_started(self, at_ms: int, body: facts.TurnStarted) -> None:
        turn = _Turn(number=body.turn, role=body.role, started_ms=at_ms)
        if body.role == "user":
            turn.speech_start_ms, self._voice_start_ms = self._voice_start_ms, None
            turn.pieces, self._unclaimed = self._unclaimed, []
        self._turns[body.turn] = turn

    def _turn_ended(self, at_ms: int, body: facts.TurnEnded) -> None:
        turn = self._turns.get(body.turn)
        if turn is None or turn.role != body.role:
            return
        turn.ended_ms = at_ms
        turn.text = body.text
        turn.interrupted = body.interrupted

    def _voice_started(self, at_ms: int, _: facts.SpeechStarted) -> None:
        # The VAD hears speech before the turn is declared open.
        turn = self._latest("user")
        self._voice_start_ms = None if turn is not None and turn.ended_ms is None else at_ms

    def _voice_stopped(self, at_ms: int, body: facts.SpeechStopped) -> None:
        turn = self._latest("user")
        if turn is not None and turn.ended_ms is None:
            turn.speech_end_ms = max(0, at_ms - body.silence_ms)
        self._voice_start_ms = None

    def _transcribed(self, _: int, body: facts.TranscriptFinal) -> None:
        turn = self._of(body.turn, "user")
        if turn is None:
            self._unclaimed.append(body.text)
        elif turn.ended_ms is None:
            turn.pieces.append(body.text)
        else:
            turn.late.append(body.text)

    def _agent_spoke(self, _: int, body: facts.AgentSpoke) -> None:
        turn = self._turns.get(body.turn)
        if turn is not None and turn.role == "agent" and turn.ended_ms is None:
            turn.pieces.append(body.text)

    def _agent_speech_started(self, at_ms: int, body: facts.AgentSpeechStarted) -> None:
        turn = self._of(body.turn, "agent")
        self._speaking = turn
        if turn is not None and turn.speech_start_ms is None:
            turn.speech_start_ms = at_ms

    def _agent_speech_stopped(self, at_ms: int, _: facts.AgentSpeechStopped) -> None:
        # The turn may have been declared over a moment before its audio ended.
        if self._speaking is not None:
            self._speaking.speech_end_ms = at_ms
        self._speaking = None

    def _tool_called(self, at_ms: int, body: facts.ToolCallStarted) -> None:
        turn = self._of(body.turn, "agent")
        if turn is not None:
            turn.calls[body.call_id] = ToolCall(
                call_id=body.call_id,
                name=body.name,
                arguments=body.arguments,
                offset_ms=at_ms,
            )

    def _tool_answered(self, _: int, body: facts.ToolCallEnded) -> None:
        for turn in reversed(self._turns.values()):
            call = turn.calls.get(body.call_id)
            if call is not None:
                turn.calls[body.call_id] = replace(
                    call, result=body.result, ok=body.ok, duration_ms=body.duration_ms
                )
                return

    _HANDLERS: ClassVar[
        Mapping[type[EventBody], "Callable[[TranscriptBuilder, int, Any], None]"]
    ] = {
        facts.TurnStarted: _turn_started,
        facts.TurnEnded: _turn_ended,
        facts.SpeechStarted: _voice_started,
        facts.SpeechStopped: _voice_stopped,
        facts.TranscriptFinal: _transcribed,
        facts.AgentSpoke: _agent_spoke,
        facts.AgentSpeechStarted: _agent_speech_started,
        facts.AgentSpeechStopped: _agent_speech_stopped,
        facts.ToolCallStarted: _tool_called,
        facts.ToolCallEnded: _tool_answered,
    }


def transcript_of(events: Iterable[Event]) -> list[TranscriptEntry]:
    """The transcript of a session's events, which come in order."""
    builder = TranscriptBuilder()
    for event in events:
        builder.add(event)
    return builder.entries()


def to_text(entries: Sequence[TranscriptEntry]) -> str:
    """Plain text: a line a turn with its time, tool calls indented before what followed them."""
    lines: list[str] = []
    for entry in entries:
        head = f"[{_timestamp(entry.start_ms)}] {_NAMES[entry.role]}:"
        mark = " (interrupted)" if entry.interrupted else ""
        calls = [
            f"    {_one_line(call.name)}({_arguments(call)}){_outcome(call)}"
            for call in entry.tool_calls
        ]
        lines += [*calls, f"{head} {_one_line(entry.text)}{mark}"] if entry.text else calls
    return "".join(f"{line}\n" for line in lines)


def to_json_data(entries: Sequence[TranscriptEntry]) -> list[dict[str, Any]]:
    """Plain data, one object a turn."""
    return [
        {
            "turn": entry.turn,
            "role": entry.role,
            "text": entry.text,
            "start_ms": entry.start_ms,
            "end_ms": entry.end_ms,
            "interrupted": entry.interrupted,
            "ended": entry.ended,
            "tool_calls": [
                {
                    "call_id": call.call_id,
                    "name": call.name,
                    "arguments": dict(call.arguments),
                    "offset_ms": call.offset_ms,
                    "result": call.result,
                    "ok": call.ok,
                    "duration_ms": call.duration_ms,
                }
                for call in entry.tool_calls
            ],
        }
        for entry in entries
    ]


def to_webvtt(entries: Sequence[TranscriptEntry]) -> str:
    """WebVTT (https://www.w3.org/TR/webvtt1/): a cue a turn that was spoken.

    Cues do not overlap: where one side spoke over the other, the earlier cue ends as the later
    begins.
    """
    spoken = sorted((entry for entry in entries if entry.text), key=lambda entry: entry.start_ms)
    cues = ["WEBVTT\n"]
    free_from_ms = 0
    for at, entry in enumerate(spoken):
        start = max(entry.start_ms, free_from_ms)
        end = max(entry.end_ms, start + _MIN_CUE_MS)
        if at + 1 < len(spoken) and spoken[at + 1].start_ms > start:
            end = min(end, spoken[at + 1].start_ms)
        free_from_ms = end
        cues.append(
            f"{entry.turn}\n{_timestamp(start)} --> {_timestamp(end)}\n"
            f"<v {_NAMES[entry.role]}>{_cue_text(entry.text)}\n"
        )
    return "\n".join(cues)


def _join(pieces: Iterable[str]) -> str:
    return " ".join(piece.strip() for piece in pieces if piece.strip())


def _timestamp(ms: int) -> str:
    """`HH:MM:SS.mmm`; hours have two digits or more, as WebVTT wants."""
    secs, millis = divmod(ms, 1000)
    return f"{secs // 3600:02}:{secs // 60 % 60:02}:{secs % 60:02}.{millis:03}"


def _one_line(text: str) -> str:
    """One line of sendable text: white space folded, control characters and surrogates replaced."""
    folded = " ".join(text.split())
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if char < " " or "\ud800" <= char <= "\udfff" else char
        for char in folded
    )


def _cue_text(text: str) -> str:
    """Cue text; escaping `>` also keeps `-->`, which would end the cue, out of it."""
    return _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _arguments(call: ToolCall) -> str:
    return _one_line(", ".join(f"{name}={value!r}" for name, value in call.arguments.items()))


def _outcome(call: ToolCall) -> str:
    if call.ok is None:
        return " …"
    return f" -> {'ok' if call.ok else 'failed'} in {call.duration_ms} ms"
