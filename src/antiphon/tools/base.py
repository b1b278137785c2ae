"""The tool contract, the same for every language model and free of Pipecat.

A `Tool` is a name, a JSON schema and an async handler from validated arguments to data (a dict the
model reads, never prose). A `ToolSet` groups the tools that share a resource, such as the shop's
database, and may supply the values of sentence-template lists (`{product}`) so that the embedded
agent can hear what the tools can act on.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a handler may know about the call it serves."""

    session_id: str
    agent: str
    caller: str
    """Stable name of the caller where the transport knows one, else the session id."""


ToolHandler = Callable[[ToolContext, dict[str, Any]], Awaitable[dict[str, Any]]]


class ToolFailed(Exception):
    """A tool could not do what was asked; the message is data for the model, not prose to speak.

    Args:
        reason: Stable snake_case reason, e.g. `unknown_product`.
        details: Facts the model needs to answer.
    """

    def __init__(self, reason: str, **details: Any):
        super().__init__(reason)
        self.reason = reason
        self.details = details

    def as_result(self) -> dict[str, Any]:
        """The result the model is given: `{"ok": false, "error": reason, …}`."""
        return {"ok": False, "error": self.reason, **self.details}


@dataclass(frozen=True, slots=True)
class Tool:
    """One function an agent may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments: an object schema with `properties` and `required`."""
    handler: ToolHandler
    timeout_s: float = 10.0
    destructive: bool = False
    """Places, cancels or clears something: the embedded agent asks for a yes first."""
    outlives_interruption: bool = False
    """It goes on when the caller speaks meanwhile, as what is destructive always does."""


@dataclass(frozen=True, slots=True)
class SlotValue:
    """One way to say a value of a template list, and the value it stands for."""

    text: str
    value: str


class ToolSet(Protocol):
    """A named group of tools with a life of its own (opened at start, closed at stop)."""

    name: str

    async def open(self) -> None:
        """Get ready: open files, create and seed a database."""

    async def close(self) -> None:
        """Release everything."""

    def tools(self) -> Sequence[Tool]:
        """The tools of the set."""

    def slot_lists(self) -> Mapping[str, Sequence[SlotValue]]:
        """Values for the lists named in the agent's sentence templates."""
