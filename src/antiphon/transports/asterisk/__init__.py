"""A Pipecat transport for Asterisk's WebSocket channel; works in any pipeline, without the server.

Asterisk 20.18, 22.8, 23.2 or newer for JSON control messages, older ones for plain text; the first
message of a connection tells.
"""

from antiphon.transports.asterisk.connection import (
    AcceptedConnection,
    Connection,
    ConnectionEnded,
    DialledConnection,
)
from antiphon.transports.asterisk.params import AsteriskWebsocketParams
from antiphon.transports.asterisk.serializer import AsteriskFrameSerializer
from antiphon.transports.asterisk.started import StartedChannel, read_media_start
from antiphon.transports.asterisk.transport import (
    AsteriskWebsocketClientTransport,
    AsteriskWebsocketTransport,
)

__all__ = [
    "AcceptedConnection",
    "AsteriskFrameSerializer",
    "AsteriskWebsocketClientTransport",
    "AsteriskWebsocketParams",
    "AsteriskWebsocketTransport",
    "Connection",
    "ConnectionEnded",
    "DialledConnection",
    "StartedChannel",
    "read_media_start",
]
