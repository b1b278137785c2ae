"""Events and commands of Asterisk's `chan_websocket`, every field typed.

Source: asterisk/asterisk, `channels/chan_websocket.c` and `channels/chan_websocket_doc.xml`
(branches 20, 22, 23, 2026-08).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Literal

Direction = Literal["both", "in", "out"]
DIRECTIONS: tuple[Direction, ...] = ("both", "in", "out")


class ControlFormat(StrEnum):
    """Form of the text messages of a connection: the dial string's `f(…)`."""

    PLAIN = "plain-text"
    JSON = "json"


# Events, Asterisk to application.


@dataclass(frozen=True, slots=True)
class AsteriskEvent:
    """Base of everything Asterisk can tell us."""

    channel_id: str = field(default="", kw_only=True)
    """The channel's unique id; empty where the message does not say (many plain-text ones)."""


@dataclass(frozen=True, slots=True)
class MediaStart(AsteriskEvent):
    """The first message: what the channel is and how its media looks."""

    connection_id: str
    """Name in `websocket_client.conf`, or a UUID when we connect to Asterisk."""
    channel: str
    """The channel's name, e.g. `WebSocket/pipecat/0x7f6f2400b840`."""
    format: str
    """Asterisk's name of the codec: see `antiphon.protocols.asterisk_formats`."""
    optimal_frame_size: int
    """Bytes of one frame of media; 0 for codecs whose frames have no fixed size (opus)."""
    ptime: int
    """Length of a frame, ms."""
    channel_variables: Mapping[str, str] = field(default_factory=dict)
    """JSON only."""


@dataclass(frozen=True, slots=True)
class MediaXoff(AsteriskEvent):
    """The channel's frame queue has reached 900 frames: stop sending."""


@dataclass(frozen=True, slots=True)
class MediaXon(AsteriskEvent):
    """The frame queue has fallen below 800 frames again: media may be sent."""


@dataclass(frozen=True, slots=True)
class QueueDrained(AsteriskEvent):
    """The frame queue is empty; sent once for each `ReportQueueDrained`."""


@dataclass(frozen=True, slots=True)
class MediaBufferingCompleted(AsteriskEvent):
    """The player has reached the end of a `StopMediaBuffering`."""

    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class MediaMarkProcessed(AsteriskEvent):
    """The player has reached a `MarkMedia`: all audio before it has been played."""

    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class DtmfEnd(AsteriskEvent):
    """The caller released a key: one of `0-9*#ABCD`."""

    digit: str


@dataclass(frozen=True, slots=True)
class Status(AsteriskEvent):
    """The answer to `GetStatus`."""

    queue_length: int
    """Frames in the queue; marks are not counted."""
    xon_level: int
    """Frames."""
    xoff_level: int
    """Frames."""
    queue_full: bool
    """XOFF was sent and not yet XON; may be out of date just after `FlushMedia`."""
    bulk_media: bool
    """Between `StartMediaBuffering` and `StopMediaBuffering`."""
    media_paused: bool
    """Between `PauseMedia` and `ContinueMedia`."""


@dataclass(frozen=True, slots=True)
class ChannelError(AsteriskEvent):
    """A command was refused; the call goes on."""

    error_text: str


@dataclass(frozen=True, slots=True)
class UnknownEvent(AsteriskEvent):
    """An event of a newer Asterisk; kept, never fatal."""

    name: str
    raw: str


@dataclass(frozen=True, slots=True)
class Malformed(AsteriskEvent):
    """A text message that cannot be read; the call goes on."""

    reason: str
    """One sentence for the log; fit to be printed."""
    raw: str


# Commands, application to Asterisk.


@dataclass(frozen=True, slots=True)
class Command:
    """Base of everything we can tell Asterisk."""

    NAME: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class Answer(Command):
    """Answer the channel, when the dial string has `n` (no auto-answer)."""

    NAME: ClassVar[str] = "ANSWER"


@dataclass(frozen=True, slots=True)
class Hangup(Command):
    """Hang up at once; what is still queued is not played."""

    NAME: ClassVar[str] = "HANGUP"


@dataclass(frozen=True, slots=True)
class StartMediaBuffering(Command):
    """From here on a part of a frame is kept and joined with the next message."""

    NAME: ClassVar[str] = "START_MEDIA_BUFFERING"


@dataclass(frozen=True, slots=True)
class StopMediaBuffering(Command):
    """The end of buffered media: Asterisk pads the last part of a frame with silence."""

    NAME: ClassVar[str] = "STOP_MEDIA_BUFFERING"
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class MarkMedia(Command):
    """Put a mark behind the media sent so far."""

    NAME: ClassVar[str] = "MARK_MEDIA"
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class FlushMedia(Command):
    """Empty the frame queue, marks included, and end buffering."""

    NAME: ClassVar[str] = "FLUSH_MEDIA"


@dataclass(frozen=True, slots=True)
class PauseMedia(Command):
    """Play silence instead of the queue until `ContinueMedia`."""

    NAME: ClassVar[str] = "PAUSE_MEDIA"


@dataclass(frozen=True, slots=True)
class ContinueMedia(Command):
    """Play the queue again."""

    NAME: ClassVar[str] = "CONTINUE_MEDIA"


@dataclass(frozen=True, slots=True)
class GetStatus(Command):
    """Ask for a `Status`."""

    NAME: ClassVar[str] = "GET_STATUS"


@dataclass(frozen=True, slots=True)
class ReportQueueDrained(Command):
    """Ask for one `QueueDrained`, when the queue is next empty."""

    NAME: ClassVar[str] = "REPORT_QUEUE_DRAINED"


@dataclass(frozen=True, slots=True)
class SetMediaDirection(Command):
    """Which way media flows, as the application sees it; JSON connections only."""

    NAME: ClassVar[str] = "SET_MEDIA_DIRECTION"
    direction: Direction
