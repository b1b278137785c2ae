"""A connection on its way into a session, whatever its protocol."""

import logging
import secrets
from abc import ABC, abstractmethod

from starlette.websockets import WebSocket, WebSocketDisconnect

from antiphon.api.auth import websocket_caller
from antiphon.api.deps import Server, server
from antiphon.domain.audio import AudioFormat
from antiphon.domain.session import EndReason
from antiphon.errors import AntiphonError
from antiphon.protocols.framing import Disconnect, Dtmf, Message, Ping, epoch_ms
from antiphon.sessions.manager import Caller
from antiphon.sessions.request import CallRequest
from antiphon.sessions.session import Session
from antiphon.transports.participant import Departure
from antiphon.transports.websocket import Codec, WebsocketPeer

log = logging.getLogger(__name__)

CLOSE_REASON_BYTES = 120
"""A WebSocket close frame has room for 123 bytes of reason."""


async def close_refused(websocket: WebSocket, error: AntiphonError) -> None:
    """Log a refusal, and close with its reason."""
    log.log(error.log_level, "call refused: %s", error.message)
    reason = error.message.encode()[:CLOSE_REASON_BYTES].decode(errors="ignore")
    try:
        await websocket.close(error.close_code, reason)
    except (RuntimeError, WebSocketDisconnect):
        log.debug("the refused peer had gone already")


class Call(ABC):
    """One connection; a subclass says how its protocol enters a session and what else it can do.

    Args:
        websocket: The socket, not yet accepted.
        codec: Codec to refuse with; `answer` replaces it once the options are known.
    """

    transport: str
    """Name of the transport in events and records."""

    def __init__(self, websocket: WebSocket, codec: Codec):
        self.websocket = websocket
        self.server: Server = server(websocket)
        self.codec = codec
        self.session: Session | None = None

    @property
    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return epoch_ms(self.server.clock.utc_now())

    async def run(self, *, subprotocol: str | None = None) -> None:
        """Accept the connection and carry it to its end; a refusal is said, then closed with."""
        await self.websocket.accept(subprotocol)
        try:
            await self.answer(await websocket_caller(self.websocket))
        except AntiphonError as error:
            await self.refuse(error)
        except WebSocketDisconnect:
            log.debug("the peer left before its call began")

    @abstractmethod
    async def answer(self, caller: Caller) -> None:
        """Read the options, enter a session and talk.

        Raises:
            AntiphonError: the call is refused.
        """

    async def refuse(self, error: AntiphonError) -> None:
        """Say why, then close; browsers cannot read an HTTP status of a refused WebSocket."""
        try:
            await self.websocket.send_text(self.codec.error(error, self.now_ms))
        except (RuntimeError, WebSocketDisconnect):
            log.debug("the refused peer had gone already")
        await close_refused(self.websocket, error)

    def enter(self, caller: Caller, request: CallRequest) -> Session:
        """The session of the room, or a new one.

        Raises:
            AntiphonError: a limit, or an agent that does not exist.
        """
        self.session = self.server.manager.enter(caller, request, transport=self.transport)
        return self.session

    def peer(self, *, sample_rate: int, frame_ms: int) -> WebsocketPeer:
        """This connection as a participant; rate in Hz and frame length in ms on the wire."""
        return WebsocketPeer(
            participant=secrets.token_hex(4),
            transport_name=self.transport,
            socket=self.websocket,
            codec=self.codec,
            wire=AudioFormat(sample_rate),
            frame_ms=frame_ms,
            clock=self.server.clock,
        )

    async def talk(self, peer: WebsocketPeer) -> Departure:
        """Be in the session until the connection ends; returns how it ended."""
        departure = await peer.run(self.on_message)
        await self.joined.leave(peer, departure)
        return departure

    @property
    def joined(self) -> Session:
        """The session that was entered."""
        assert self.session is not None
        return self.session

    async def on_message(self, peer: WebsocketPeer, message: Message) -> None:
        """Act on what every protocol can say; a subclass adds its own."""
        if isinstance(message, Ping):
            peer.send_text(peer.codec.pong(message, self.now_ms))
        elif isinstance(message, Disconnect):
            # Ending the session tells the peer and closes the socket.
            await self.joined.end(EndReason.CALLER_HANGUP, detail=message.reason)
        elif isinstance(message, Dtmf):
            await self.joined.press(message.digit)
