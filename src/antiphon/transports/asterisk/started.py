"""What a channel's first message tells."""

import asyncio
from dataclasses import dataclass

from starlette.websockets import WebSocket

from antiphon.errors import InvalidMessage
from antiphon.protocols.asterisk import AsteriskCodec, ControlFormat, MediaStart
from antiphon.protocols.asterisk_formats import MediaFormat, media_format
from antiphon.transports.asterisk.connection import AcceptedConnection, Connection
from antiphon.transports.asterisk.media import MediaCodec, media_codec

MAX_OTHER_MESSAGES = 10
"""Messages that may come before MEDIA_START; it is the first one of a real Asterisk."""


@dataclass(frozen=True, slots=True)
class StartedChannel:
    """A channel whose MEDIA_START has been read."""

    start: MediaStart
    """The message, with the channel variables."""
    format: MediaFormat
    """What it says of the media."""
    codec: AsteriskCodec
    """Of the control messages; it knows their format."""
    media: MediaCodec
    """Of the media."""

    @property
    def sample_rate(self) -> int:
        """Hz, of the channel."""
        return self.format.sample_rate

    @property
    def control_format(self) -> ControlFormat | None:
        """Plain text or JSON."""
        return self.codec.control_format

    @classmethod
    def of(cls, codec: AsteriskCodec, start: MediaStart) -> "StartedChannel":
        """The channel that `start` describes.

        Raises:
            ValueError: a format that is not known.
            Unavailable: a format that no library here can decode.
        """
        media = media_format(start.format)
        return cls(start, media, codec, media_codec(media))


async def read_media_start(
    websocket: WebSocket | Connection, *, timeout_secs: float = 10.0
) -> StartedChannel:
    """Read MEDIA_START before the transport is built, so that rates can follow the channel.

    Hand the result to the transport as `media_start`: the message is read once. Audio that comes
    before it is dropped.

    Args:
        websocket: Accepted, or not yet; or a `Connection`.
        timeout_secs: Longest wait.

    Raises:
        ConnectionEnded: it was closed before.
        ConnectionError: a dialled connection cannot be opened.
        InvalidMessage: something else came.
        TimeoutError: nothing came.
        ValueError: the channel's format is not known.
        Unavailable: no library here can decode it.
    """
    connection = AcceptedConnection(websocket) if isinstance(websocket, WebSocket) else websocket
    codec = AsteriskCodec()
    async with asyncio.timeout(timeout_secs):
        await connection.open()
        for _ in range(MAX_OTHER_MESSAGES):
            message = await connection.receive()
            if isinstance(message, bytes):
                continue
            event = codec.receive_text(message)
            if isinstance(event, MediaStart):
                return StartedChannel.of(codec, event)
    raise InvalidMessage(
        "the first message is no MEDIA_START; is the peer Asterisk's WebSocket channel?"
    )
