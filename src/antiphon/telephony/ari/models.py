"""ARI's objects as typed values: what comes in JSON, read once, at the edge.

Only what this package uses is kept; an event's whole text stays in `AriEvent.data`. An event of an
unknown type is as good as any other: Asterisk adds some in every release.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from antiphon.errors import InvalidMessage

UP = "Up"
"""State of a channel that was answered."""
RINGING = "Ringing"
"""State of a dialled channel whose far end rings."""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel: one leg of a call."""

    id: str
    """The `Uniqueid` of AMI and of `${UNIQUEID}`."""
    name: str = ""
    """Technology and device, e.g. `PJSIP/201-0000001a`."""
    state: str = ""
    """`Down`, `Rsrved`, `OffHook`, `Dialing`, `Ring`, `Ringing`, `Up`, `Busy`, …"""
    caller_number: str = ""
    caller_name: str = ""
    connected_number: str = ""
    context: str = ""
    extension: str = ""
    """Where the caller is in the dialplan: the number dialled."""
    application: str = ""
    """The dialplan application it is in: `Stasis` for one that ARI may control."""
    language: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Those that `channelvars` of ari.conf names."""

    @property
    def is_up(self) -> bool:
        """Whether it was answered."""
        return self.state == UP

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Channel":
        """A channel from its JSON object.

        Raises:
            InvalidMessage: it has no id.
        """
        if not _text(data.get("id")):
            raise InvalidMessage("an ARI channel has no id", field="id")
        caller, plan = _object(data.get("caller")), _object(data.get("dialplan"))
        return cls(
            id=data["id"],
            name=_text(data.get("name")),
            state=_text(data.get("state")),
            caller_number=_text(caller.get("number")),
            caller_name=_text(caller.get("name")),
            connected_number=_text(_object(data.get("connected")).get("number")),
            context=_text(plan.get("context")),
            extension=_text(plan.get("exten")),
            application=_text(plan.get("app_name")),
            language=_text(data.get("language")),
            variables={k: str(v) for k, v in _object(data.get("channelvars")).items()},
        )


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge: everybody in it hears everybody else."""

    id: str
    kind: str = "mixing"
    """`mixing` or `holding`."""
    channels: tuple[str, ...] = ()

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Bridge":
        """A bridge from its JSON object.

        Raises:
            InvalidMessage: it has no id.
        """
        if not _text(data.get("id")):
            raise InvalidMessage("an ARI bridge has no id", field="id")
        members = data.get("channels")
        return cls(
            id=data["id"],
            kind=_text(data.get("bridge_type")) or "mixing",
            channels=tuple(map(str, members)) if isinstance(members, list) else (),
        )


@dataclass(frozen=True, slots=True)
class AriEvent:
    """One message of the event socket."""

    type: str
    """`StasisStart`, `ChannelDestroyed`, …"""
    channel: Channel | None
    """The channel it is about: for `Dial`, the dialled one."""
    data: Mapping[str, Any]

    @property
    def args(self) -> dict[str, str]:
        """Arguments of `StasisStart`, `name=value` each; one without `=` has an empty value."""
        given = self.data.get("args")
        pairs = (str(one).partition("=") for one in given) if isinstance(given, list) else ()
        return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}

    @property
    def cause(self) -> int:
        """Q.850 cause of a `ChannelDestroyed`; 0 where there is none."""
        cause = self.data.get("cause")
        return cause if isinstance(cause, int) else 0

    @property
    def dial_status(self) -> str:
        """State of dialling in a `Dial`: `RINGING`, `ANSWER`, `BUSY`, …; empty at its beginning."""
        return _text(self.data.get("dialstatus"))

    @property
    def digit(self) -> str:
        """The key of a `ChannelDtmfReceived`."""
        return _text(self.data.get("digit"))


def read_event(text: str | bytes) -> AriEvent:
    """One message of the event socket.

    Raises:
        InvalidMessage: it is not a JSON object with a `type`.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise InvalidMessage(f"an ARI event is not JSON: {error}") from error
    if not isinstance(data, dict) or not _text(data.get("type")):
        raise InvalidMessage("an ARI event has no type", field="type")
    about = data.get("channel") or data.get("peer")
    channel = Channel.read(about) if isinstance(about, dict) else None
    return AriEvent(data["type"], channel, data)
