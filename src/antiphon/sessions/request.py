"""What a connection asks for when it wants a session."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """What is asked for, by whatever transport."""

    input_rate: int
    """Rate of the caller's audio on the wire, Hz."""
    output_rate: int
    """Rate of the agent's audio on the wire, Hz."""
    agent: str | None = None
    """Name of the agent; None: by the language, else the default one."""
    language: str | None = None
    """Chooses the agent where none is named."""
    room: str = ""
    """Name of the room; empty: one of its own."""
    prompt: str | None = None
    """System prompt in place of the room's or the agent's, taken as it is."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Fill the `{{placeholders}}` of the prompt and the greeting."""
    resumable: bool = True
    """Whether a lost connection may come back."""
