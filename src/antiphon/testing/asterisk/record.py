"""What a simulated channel writes down about its call."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from antiphon.testing.asterisk.wire import read_command

By = Literal["asterisk", "application"]


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """One frame, in the wire format."""

    at: float
    """Seconds since MEDIA_START: when it was played to the caller, or sent to the application."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One text message, either way."""

    at: float
    """Seconds since MEDIA_START."""
    by: By
    text: str
    name: str
    """Of the event or command; empty if the text could not be read."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """JSON: as sent. Plain text: strings, and `correlation_id` for what follows a bare name."""


@dataclass(frozen=True, slots=True)
class Closed:
    """How a call ended."""

    at: float
    """Seconds since MEDIA_START."""
    by: Literal["asterisk", "application", "lost"]
    """Who closed the WebSocket first; lost: the socket broke without a closing handshake."""
    code: int
    """Close code; 1006 for a lost socket."""
    reason: str


class DialFailed(ConnectionError):
    """The application did not take the call; Asterisk's dial status is CHANUNAVAIL, cause 3.

    `reason` is Asterisk's own word for it, as in its log.
    """

    def __init__(self, url: str, reason: str, attempts: int):
        super().__init__(f"{url} did not take the call in {attempts} attempts: {reason}")
        self.reason = reason
        self.attempts = attempts


class CallOver(RuntimeError):
    """The call ended before what was waited for came."""


def read_message(at: float, by: By, text: str, *, as_json: bool) -> Message:
    """A text as a `Message`."""
    if by == "application":
        command = read_command(text, as_json=as_json)
        if command is None:
            return Message(at, by, text, "")
        return Message(at, by, text, command.name or "", command.arguments)
    if as_json:
        fields = json.loads(text)
        return Message(at, by, text, fields.pop("event"), fields)
    name, _, rest = text.partition(" ")
    if name in {"MEDIA_MARK_PROCESSED", "MEDIA_BUFFERING_COMPLETED"}:
        return Message(at, by, text, name, {"correlation_id": rest} if rest else {})
    before, error, error_text = rest.partition("error_text:")
    pairs = dict(word.split(":", 1) for word in before.split())
    return Message(at, by, text, name, pairs | ({"error_text": error_text} if error else {}))
