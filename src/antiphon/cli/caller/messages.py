"""What a caller can hear from a server, whatever the transport spells it like."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AgentAudio:
    """A piece of the agent's voice."""

    pcm: bytes
    """PCM16 little-endian mono."""
    sample_rate: int
    """Hz."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the server understood the caller to say."""

    text: str
    final: bool = True


@dataclass(frozen=True, slots=True)
class AgentText:
    """What the agent says, in text."""

    text: str
    complete: bool = True


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The agent used a tool."""

    name: str
    arguments: Any = None


@dataclass(frozen=True, slots=True)
class Flush:
    """The agent was interrupted: whatever has not been played is to be forgotten."""


@dataclass(frozen=True, slots=True)
class PeerError:
    """The server reported an error; the call goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Any other message of the protocol: `connected`, `configured`, `metrics` and so on."""

    kind: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A message that the real peer would silently drop, and why it would."""

    reason: str


Heard = AgentAudio | Transcript | AgentText | ToolCall | Flush | PeerError | Notice | Dropped
