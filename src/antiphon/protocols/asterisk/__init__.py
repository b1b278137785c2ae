"""Asterisk's `chan_websocket` protocol: control messages in both formats, and media limits.

Sources: asterisk/asterisk, `channels/chan_websocket.c` and `res/res_http_websocket.c` (branches 20,
22, 23, 2026-08); docs.asterisk.org, Configuration/Channel-Drivers/WebSocket; and traffic recorded
from a real Asterisk (`tests/captures/asterisk`), with which every form here agrees byte for byte.

Text messages are control messages, in one of two formats for the whole connection:

- plain text: `EVENT key:value key:value`, `EVENT correlation-id` or the bare word; commands are
  `COMMAND [argument]`;
- JSON: one object, tagged `event` or `command`.

The first message of a connection is `MEDIA_START`, from Asterisk; it tells the format. Binary
messages are media in the channel's format.
"""

from antiphon.protocols.asterisk.codec import MAX_COMMAND_BYTES, MAX_MEDIA_BYTES, AsteriskCodec
from antiphon.protocols.asterisk.messages import (
    DIRECTIONS,
    Answer,
    AsteriskEvent,
    ChannelError,
    Command,
    ContinueMedia,
    ControlFormat,
    Direction,
    DtmfEnd,
    FlushMedia,
    GetStatus,
    Hangup,
    Malformed,
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

__all__ = [
    "DIRECTIONS",
    "MAX_COMMAND_BYTES",
    "MAX_MEDIA_BYTES",
    "Answer",
    "AsteriskCodec",
    "AsteriskEvent",
    "ChannelError",
    "Command",
    "ContinueMedia",
    "ControlFormat",
    "Direction",
    "DtmfEnd",
    "FlushMedia",
    "GetStatus",
    "Hangup",
    "Malformed",
    "MarkMedia",
    "MediaBufferingCompleted",
    "MediaMarkProcessed",
    "MediaStart",
    "MediaXoff",
    "MediaXon",
    "PauseMedia",
    "QueueDrained",
    "ReportQueueDrained",
    "SetMediaDirection",
    "StartMediaBuffering",
    "Status",
    "StopMediaBuffering",
    "UnknownEvent",
]
