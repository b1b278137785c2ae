"""The codec of one `chan_websocket` connection; sources and formats: see the package."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from antiphon.protocols.asterisk.messages import (
    DIRECTIONS,
    AsteriskEvent,
    ChannelError,
    Command,
    ControlFormat,
    DtmfEnd,
    Malformed,
    MarkMedia,
    MediaBufferingCompleted,
    MediaMarkProcessed,
    MediaStart,
    MediaXoff,
    MediaXon,
    QueueDrained,
    SetMediaDirection,
    Status,
    StopMediaBuffering,
    UnknownEvent,
)
from antiphon.protocols.framing import (
    DTMF_DIGITS,
    Invalid,
    encode,
    parse_object,
    printable,
    scrub,
)

MAX_COMMAND_BYTES = 128
"""Longest command Asterisk reads; a longer one is ignored, with a warning in its log only."""

MAX_MEDIA_BYTES = 65_527
"""Longest media message Asterisk reads, bytes of payload.

Its limit of 65,535 bytes is for the WebSocket frame with its header, which is 4 bytes from a server
and 8 from a client (the mask). One byte more closes the call with 1009: 65,531 bytes from a server
passed, 65,532 did not (`maxsize_json.txt`). This is the smaller of the two.
"""

_MAX_INT = 2**31 - 1
_RAW_CHARS = 2000
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}", re.ASCII)
_KEY = re.compile(r"(?:^| )([a-z][a-z0-9_]*):", re.ASCII)


class AsteriskCodec:
    """The control messages of one connection; no I/O."""

    def __init__(self) -> None:
        self.control_format: ControlFormat | None = None
        """The connection's format; None until the first text message."""
        self.media: MediaStart | None = None
        """The channel's media, once `MEDIA_START` has come."""

    # Asterisk to application.

    def receive_text(self, text: str) -> AsteriskEvent:
        """The event in a text message; never raises.

        The first message that is not blank settles `control_format` for the connection.
        """
        if not text.strip():
            return _malformed("the message is empty", text)
        if self.control_format is None:
            is_json = text.lstrip().startswith("{")
            self.control_format = ControlFormat.JSON if is_json else ControlFormat.PLAIN
        read = _read_json if self.control_format is ControlFormat.JSON else _read_plain
        event = read(text)
        if isinstance(event, MediaStart):
            self.media = event
        return event

    # Application to Asterisk.

    def command(self, command: Command) -> str:
        """`command` in the connection's format.

        Raises:
            ValueError: the format is not known yet, the message would exceed 128 bytes, the
                format has no such command, or an argument cannot be sent in it.
        """
        if self.control_format is None:
            raise ValueError(
                f"{command.NAME} cannot be encoded before MEDIA_START has told the control format"
            )
        plain = self.control_format is ControlFormat.PLAIN
        text = _plain_command(command) if plain else encode(_json_command(command))
        size = len(text) if text.isascii() else len(text.encode())
        if size > MAX_COMMAND_BYTES:
            raise ValueError(
                f"{command.NAME} is {size} bytes long; Asterisk ignores commands of more than "
                f"{MAX_COMMAND_BYTES}: use a shorter correlation_id"
            )
        return text

    def media_out(self, data: bytes) -> list[bytes]:
        """`data` as messages of at most `MAX_MEDIA_BYTES`, cut only between frames.

        A part of a frame at the end of `data` is the end of the last message: Asterisk keeps it
        only between `StartMediaBuffering` and `StopMediaBuffering`. Before `MEDIA_START` the cuts
        are between samples of two bytes.

        Raises:
            ValueError: the format has no fixed frame size (opus) and `data`, which is one frame of
                it, is too long.
        """
        if len(data) <= MAX_MEDIA_BYTES:
            return [bytes(data)] if data else []
        frame = self.media.optimal_frame_size if self.media else 2
        if frame == 0:
            raise ValueError(
                f"the frame is {len(data)} bytes long; Asterisk reads at most {MAX_MEDIA_BYTES}"
            )
        size = MAX_MEDIA_BYTES // frame * frame or MAX_MEDIA_BYTES // 2 * 2
        return [bytes(data[at : at + size]) for at in range(0, len(data), size)]


def _json_command(command: Command) -> dict[str, Any]:
    message = {"command": command.NAME}
    if isinstance(command, MarkMedia | StopMediaBuffering):
        if command.correlation_id:
            message["correlation_id"] = command.correlation_id
    elif isinstance(command, SetMediaDirection):
        message["direction"] = _checked_direction(command.direction)
    return message


def _plain_command(command: Command) -> str:
    if command.NAME == SetMediaDirection.NAME:
        raise ValueError(
            "SET_MEDIA_DIRECTION exists only in JSON; put f(json) into the dial string"
        )
    if not isinstance(command, MarkMedia | StopMediaBuffering) or not command.correlation_id:
        return command.NAME
    correlation_id = scrub(command.correlation_id)
    if not correlation_id.isprintable() or correlation_id != correlation_id.strip():
        raise ValueError(
            f"correlation_id is {printable(correlation_id, 40)!r}; plain text carries no control "
            "characters and no blanks at either end"
        )
    return f"{command.NAME} {correlation_id}"


def _checked_direction(direction: str) -> str:
    if direction not in DIRECTIONS:
        raise ValueError(f"direction is {printable(direction, 20)!r}; use {', '.join(DIRECTIONS)}")
    return direction


# Reading. A reader takes the message's fields and raises `_Unreadable`, never anything else.


class _Unreadable(Exception):
    """A field is missing or has no such value."""


_Fields = Mapping[str, Any]


def _malformed(reason: str, text: str) -> Malformed:
    return Malformed(reason, scrub(text[:_RAW_CHARS]))


def _read_json(text: str) -> AsteriskEvent:
    data = parse_object(text)
    if isinstance(data, Invalid):
        return _malformed(data.error.message, text)
    name = data.get("event")
    if not isinstance(name, str) or not name:
        return _malformed("the message has no event", text)
    return _event(name, data, text)


def _read_plain(text: str) -> AsteriskEvent:
    name, _, rest = text.strip().partition(" ")
    if _NAME.fullmatch(name) is None:
        return _malformed(f"{printable(name, 40)!r} is no name of an event", text)
    if name in _CORRELATED:
        return _event(name, {"correlation_id": rest}, text)
    return _event(name, _plain_fields(rest), text)


def _plain_fields(rest: str) -> dict[str, str]:
    """The fields of `key:value key:value`.

    A value ends where a blank and the next key come, so that it may hold colons and blanks;
    `error_text`, always the last, holds all the rest.
    """
    fields: dict[str, str] = {}
    key, start = "", 0
    for match in _KEY.finditer(rest):
        if key:
            fields[key] = rest[start : match.start()]
        key, start = match[1], match.end()
        if key == "error_text":
            break
    if key:
        fields[key] = rest[start:]
    return fields


def _event(name: str, fields: _Fields, text: str) -> AsteriskEvent:
    reader = _READERS.get(name)
    if reader is None:
        raw = scrub(text[:_RAW_CHARS])
        return UnknownEvent(printable(name, 64), raw, channel_id=_text(fields, "channel_id"))
    try:
        return reader(fields)
    except _Unreadable as error:
        return _malformed(f"{name}: {error}", text)


def _text(fields: _Fields, key: str) -> str:
    value = fields.get(key)
    return scrub(value) if isinstance(value, str) else ""


def _required_text(fields: _Fields, key: str) -> str:
    value = _text(fields, key)
    if not value:
        raise _Unreadable(f"{key} is missing or no text")
    return value


def _number(fields: _Fields, key: str, *, least: int = 0) -> int:
    value = fields.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        value = int(value)
    if type(value) is not int or not least <= value <= _MAX_INT:
        raise _Unreadable(f"{key} must be a whole number from {least} to {_MAX_INT}")
    return value


def _flag(fields: _Fields, key: str) -> bool:
    value = fields.get(key)
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise _Unreadable(f"{key} must be true or false")
    return bool(value == "true")


def _media_start(fields: _Fields) -> MediaStart:
    variables = fields.get("channel_variables")
    if not isinstance(variables, dict):
        variables = {}
    return MediaStart(
        connection_id=_text(fields, "connection_id"),
        channel=_text(fields, "channel"),
        channel_id=_text(fields, "channel_id"),
        format=_required_text(fields, "format"),
        optimal_frame_size=_number(fields, "optimal_frame_size"),
        ptime=_number(fields, "ptime", least=1),
        channel_variables={
            scrub(key): scrub(value) for key, value in variables.items() if isinstance(value, str)
        },
    )


def _status(fields: _Fields) -> Status:
    return Status(
        channel_id=_text(fields, "channel_id"),
        queue_length=_number(fields, "queue_length"),
        xon_level=_number(fields, "xon_level"),
        xoff_level=_number(fields, "xoff_level"),
        queue_full=_flag(fields, "queue_full"),
        bulk_media=_flag(fields, "bulk_media"),
        media_paused=_flag(fields, "media_paused"),
    )


def _dtmf_end(fields: _Fields) -> DtmfEnd:
    digit = _text(fields, "digit").upper()
    if digit not in DTMF_DIGITS:
        raise _Unreadable("digit must be one of 0-9, *, #, A, B, C or D")
    return DtmfEnd(digit, channel_id=_text(fields, "channel_id"))


def _channel_error(fields: _Fields) -> ChannelError:
    # Some of Asterisk's texts end with a line feed.
    text = _text(fields, "error_text").strip()
    return ChannelError(text, channel_id=_text(fields, "channel_id"))


def _bare(event: type[MediaXoff | MediaXon | QueueDrained]) -> Callable[[_Fields], AsteriskEvent]:
    return lambda fields: event(channel_id=_text(fields, "channel_id"))


def _correlated(
    event: type[MediaBufferingCompleted | MediaMarkProcessed],
) -> Callable[[_Fields], AsteriskEvent]:
    # JSON says "" where no id was given, plain text says nothing.
    return lambda fields: event(
        _text(fields, "correlation_id") or None, channel_id=_text(fields, "channel_id")
    )


_CORRELATED = frozenset({"MEDIA_BUFFERING_COMPLETED", "MEDIA_MARK_PROCESSED"})
_READERS: Mapping[str, Callable[[_Fields], AsteriskEvent]] = {
    "MEDIA_START": _media_start,
    "MEDIA_XOFF": _bare(MediaXoff),
    "MEDIA_XON": _bare(MediaXon),
    "QUEUE_DRAINED": _bare(QueueDrained),
    "MEDIA_BUFFERING_COMPLETED": _correlated(MediaBufferingCompleted),
    "MEDIA_MARK_PROCESSED": _correlated(MediaMarkProcessed),
    "DTMF_END": _dtmf_end,
    "STATUS": _status,
    "ERROR": _channel_error,
}
