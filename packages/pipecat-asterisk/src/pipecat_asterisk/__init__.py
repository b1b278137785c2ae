"""Antiphon's Asterisk transport under the import name of the package `pipecat-asterisk`."""

from antiphon.transports.asterisk import (
    AsteriskFrameSerializer,
    AsteriskWebsocketClientTransport,
    AsteriskWebsocketParams,
    AsteriskWebsocketTransport,
)
from antiphon.transports.asterisk.params import (
    HIGH_WATER,
    LOW_WATER,
    MAX_WS_SEND,
    MIN_BATCH,
    REMOTE_BUFFER_SIZE,
)

__all__ = [
    "HIGH_WATER",
    "LOW_WATER",
    "MAX_WS_SEND",
    "MIN_BATCH",
    "REMOTE_BUFFER_SIZE",
    "AsteriskFrameSerializer",
    "AsteriskWebsocketClientTransport",
    "AsteriskWebsocketParams",
    "AsteriskWebsocketTransport",
]
