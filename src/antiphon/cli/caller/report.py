"""What a call was like: its turns, their latencies, and what was dropped."""

from dataclasses import asdict, dataclass, field
from typing import Any

from antiphon.cli.caller.ear import PlayoutStats
from antiphon.cli.caller.messages import AgentText


@dataclass
class Turn:
    """What the caller said and what came of it. Number 0 is the agent's greeting.

    Times are seconds since the call was connected.
    """

    number: int
    said: str = ""
    """Label of the caller's utterance."""
    speech_start_s: float | None = None
    """First sound of the caller."""
    speech_end_s: float | None = None
    """Last sound of the caller."""
    answer_start_s: float | None = None
    """Arrival of the first sound of the answer."""
    answer_end_s: float | None = None
    """The last sound of the answer is played out."""
    transcripts: list[str] = field(default_factory=list)
    """Final transcripts."""
    agent_texts: list[str] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    stop_sent_ms: float | None = None
    """Barge-in: first sound of the caller to the last agent sound received before its stop."""
    stop_heard_ms: float | None = None
    """Barge-in: first sound of the caller to the end of play-out of that sound."""
    _pieces: list[str] = field(default_factory=list, repr=False)

    @property
    def latency_ms(self) -> float | None:
        """End of the caller's speech to the first sound of the answer."""
        if self.answer_start_s is None or self.speech_end_s is None:
            return None
        return (self.answer_start_s - self.speech_end_s) * 1000

    @property
    def transcript(self) -> str:
        """What the server understood."""
        return " ".join(self.transcripts)

    @property
    def agent_text(self) -> str:
        """What the agent said, in text."""
        return " ".join([*self.agent_texts, "".join(self._pieces).strip()]).strip()

    def add_agent_text(self, text: AgentText) -> None:
        """Add a piece of the agent's text.

        A complete text may repeat the pieces before it, or be the last of them, or be empty.
        """
        if not text.complete:
            self._pieces.append(text.text)
            return
        streamed = "".join(self._pieces)
        self._pieces.clear()
        whole = text.text if text.text.startswith(streamed.strip()) else streamed + text.text
        if whole.strip():
            self.agent_texts.append(whole.strip())

    def as_dict(self) -> dict[str, Any]:
        """The turn as JSON shows it."""
        return {
            "turn": self.number,
            "said": self.said,
            "speech_start_s": _rounded(self.speech_start_s),
            "speech_end_s": _rounded(self.speech_end_s),
            "answer_start_s": _rounded(self.answer_start_s),
            "answer_end_s": _rounded(self.answer_end_s),
            "latency_ms": _rounded(self.latency_ms, 1),
            "stop_sent_ms": _rounded(self.stop_sent_ms, 1),
            "stop_heard_ms": _rounded(self.stop_heard_ms, 1),
            "transcript": self.transcript,
            "agent_text": self.agent_text,
            "tool_calls": self.tool_calls,
        }


@dataclass
class CallReport:
    """The whole call."""

    url: str
    transport: str
    room: str | None
    connect_ms: float
    """Dialling to the WebSocket being open."""
    session_id: str = ""
    """As the server named it; RustPBX and raw PCM peers are not told."""
    duration_s: float = 0.0
    turns: list[Turn] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    """Why messages were dropped, as the real peer would silently drop them."""
    errors: list[str] = field(default_factory=list)
    """Errors that the server reported."""
    notices: dict[str, int] = field(default_factory=dict)
    """Other messages, counted by type."""
    playout: PlayoutStats | None = None
    max_late_send_ms: float = 0.0
    """How late this client sent its own audio: above a few ms, distrust the other figures."""
    close_code: int | None = None
    close_reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON shows it."""
        playout = (
            {name: _rounded(value, 1) for name, value in asdict(self.playout).items()}
            if (self.playout)
            else None
        )
        return {
            "url": self.url,
            "transport": self.transport,
            "room": self.room,
            "connect_ms": _rounded(self.connect_ms, 1),
            "session_id": self.session_id,
            "duration_s": _rounded(self.duration_s),
            "turns": [turn.as_dict() for turn in self.turns],
            "dropped": self.dropped,
            "errors": self.errors,
            "notices": self.notices,
            "playout": playout,
            "max_late_send_ms": _rounded(self.max_late_send_ms, 1),
            "close_code": self.close_code,
            "close_reason": self.close_reason,
        }


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)
