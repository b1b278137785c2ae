"""`/ws/asterisk`: channels of Asterisk's `chan_websocket`, and those that we dial."""

import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.websockets import WebSocket

from antiphon.api.auth import websocket_caller
from antiphon.api.calls.call import close_refused
from antiphon.api.deps import Server, server
from antiphon.errors import AntiphonError, ClientError
from antiphon.protocols.asterisk_options import AsteriskOptions
from antiphon.sessions.manager import Caller
from antiphon.sessions.request import CallRequest
from antiphon.sessions.session import INPUT_SAMPLE_RATE, Session
from antiphon.transports.asterisk import (
    AcceptedConnection,
    AsteriskWebsocketParams,
    AsteriskWebsocketTransport,
    Connection,
    ConnectionEnded,
    StartedChannel,
    read_media_start,
)
from antiphon.transports.asterisk.participant import AsteriskParticipant
from antiphon.transports.session_transport import INPUT_FRAME_MS

log = logging.getLogger(__name__)

router = APIRouter()

START_SECS = 10.0
"""Longest wait for MEDIA_START."""

MAX_OUTPUT_RATE = 48_000
"""No voice has more, whatever the channel's rate."""


@dataclass(frozen=True, slots=True)
class Line:
    """A channel in its session."""

    app: Server
    session: Session
    participant: AsteriskParticipant

    async def carry(self) -> None:
        """Serve the channel until the call ends."""
        control = self.app.call_control
        try:
            departure = await self.participant.transport.run()
        finally:
            if control is not None:
                control.unbind(self.session.id)
        await self.session.leave(self.participant, departure)


async def open_line(
    app: Server, caller: Caller, connection: Connection, query: Iterable[tuple[str, str]]
) -> Line:
    """Read what the channel is and start a session on it.

    Args:
        app: The server.
        caller: Who calls, for the limits.
        connection: The channel's WebSocket.
        query: Parameters of the dial string, or of the request to connect.

    Raises:
        AntiphonError: the call is refused.
        ConnectionEnded: the channel was hung up before it began.
        ConnectionError: it cannot be dialled.
    """
    started = await _started(connection)
    options = AsteriskOptions.of(query, started.start)
    transport = _transport(app, connection, started)
    session = app.manager.enter(
        caller,
        CallRequest(
            agent=options.agent,
            language=options.language,
            room=options.room or started.start.channel_id,
            variables=options.variables,
            input_rate=started.sample_rate,
            output_rate=transport.output_sample_rate,
            resumable=False,  # a channel lives no longer than its socket
        ),
        transport="asterisk",
        own_transport=transport,
    )
    participant = AsteriskParticipant(secrets.token_hex(4), transport)
    await session.join(participant)
    if app.call_control is not None:
        app.call_control.bind(
            session.id, started.start.channel_id, caller_channel=options.caller_channel
        )
    return Line(app, session, participant)


async def _started(connection: Connection) -> StartedChannel:
    try:
        return await read_media_start(connection, timeout_secs=START_SECS)
    except TimeoutError:
        raise ClientError(
            f"no MEDIA_START came within {START_SECS:g} s; is the peer Asterisk's WebSocket "
            "channel?",
            code="start_timeout",
        ) from None
    except ValueError as error:
        raise ClientError(str(error), code="unsupported_media") from error


def _transport(
    app: Server, connection: Connection, started: StartedChannel
) -> AsteriskWebsocketTransport:
    params = AsteriskWebsocketParams(
        audio_in_sample_rate=INPUT_SAMPLE_RATE,
        audio_out_sample_rate=min(started.sample_rate, MAX_OUTPUT_RATE),
        audio_in_frame_ms=INPUT_FRAME_MS,
    )
    return AsteriskWebsocketTransport(
        connection, params, media_start=started, reads_by_itself=False, clock=app.clock
    )


@router.websocket("/ws/asterisk")
async def asterisk(websocket: WebSocket) -> None:
    """Asterisk's `chan_websocket`, both control formats, every rate."""
    connection = AcceptedConnection(websocket)
    await connection.open()
    try:
        caller = await websocket_caller(websocket)
        query = websocket.query_params.multi_items()
        line = await open_line(server(websocket), caller, connection, query)
        await line.carry()
    except AntiphonError as error:
        # A text would be a command to Asterisk: only the close can say why.
        await close_refused(websocket, error)
    except ConnectionEnded as ended:
        log.debug("Asterisk left before the call began: %s", ended)
