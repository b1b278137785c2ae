"""Pipecat's transport messages as Asterisk's events and commands."""

import dataclasses
from typing import Any

from antiphon.protocols.asterisk import (
    DIRECTIONS,
    Answer,
    AsteriskEvent,
    ChannelError,
    Command,
    ContinueMedia,
    DtmfEnd,
    FlushMedia,
    GetStatus,
    Hangup,
    MarkMedia,
    MediaBufferingCompleted,
    MediaMarkProcessed,
    MediaStart,
    MediaXoff,
    MediaXon,
    PauseMedia,
    QueueDrained,
    ReportQueueDrained,
    SetMediaDirection,
    StartMediaBuffering,
    Status,
    StopMediaBuffering,
    UnknownEvent,
)

_PLAIN: dict[str, type[Command]] = {
    one.NAME: one
    for one in (
        Answer,
        Hangup,
        StartMediaBuffering,
        FlushMedia,
        PauseMedia,
        ContinueMedia,
        GetStatus,
        ReportQueueDrained,
    )
}
_CORRELATED: dict[str, type[MarkMedia] | type[StopMediaBuffering]] = {
    one.NAME: one for one in (MarkMedia, StopMediaBuffering)
}
_EVENTS: dict[type[AsteriskEvent], str] = {
    MediaStart: "MEDIA_START",
    MediaXoff: "MEDIA_XOFF",
    MediaXon: "MEDIA_XON",
    QueueDrained: "QUEUE_DRAINED",
    MediaBufferingCompleted: "MEDIA_BUFFERING_COMPLETED",
    MediaMarkProcessed: "MEDIA_MARK_PROCESSED",
    DtmfEnd: "DTMF_END",
    Status: "STATUS",
    ChannelError: "ERROR",
}


def command_of(message: Any) -> Command | None:
    """The command in a transport message `{"command": NAME, …}`; None: it is none.

    Raises:
        ValueError: there is no such command, or an argument is wrong.
    """
    if not isinstance(message, dict) or "command" not in message:
        return None
    name = message["command"]
    if name in _PLAIN:
        return _PLAIN[name]()
    if name in _CORRELATED:
        correlation_id = message.get("correlation_id")
        return _CORRELATED[name](None if correlation_id is None else str(correlation_id))
    if name == SetMediaDirection.NAME:
        direction = message.get("direction")
        for known in DIRECTIONS:
            if direction == known:
                return SetMediaDirection(known)
        raise ValueError(f"direction is {direction!r}; use {', '.join(DIRECTIONS)}")
    names = (*_PLAIN, *_CORRELATED, SetMediaDirection.NAME)
    raise ValueError(f"command is {name!r}; use one of {', '.join(names)}")


def message_of(event: AsteriskEvent) -> dict[str, Any] | None:
    """An event as a transport message, with the fields of Asterisk's JSON; None: nonsense."""
    name = event.name if isinstance(event, UnknownEvent) else _EVENTS.get(type(event))
    if name is None:
        return None
    fields = {one.name: getattr(event, one.name) for one in dataclasses.fields(event)}
    fields.pop("name", None)
    if isinstance(event, MediaStart):
        fields["channel_variables"] = dict(event.channel_variables)
    return {"event": name, **fields}
