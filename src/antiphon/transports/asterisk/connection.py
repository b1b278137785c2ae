"""One face for a WebSocket, whoever dialled: Asterisk (Starlette) or we (websockets)."""

from collections.abc import Mapping
from ssl import SSLContext
from typing import Any, Protocol, cast

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

SUBPROTOCOL = "media"
"""Asked for by Asterisk both ways."""
CLOSE_LOST = 1006
"""What stands for a close code when the socket was lost."""


class ConnectionEnded(Exception):
    """The WebSocket is closed; nothing more can be sent or received."""

    def __init__(self, code: int = CLOSE_LOST, reason: str = ""):
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class Connection(Protocol):
    """A WebSocket to Asterisk."""

    @property
    def remote(self) -> str:
        """Address of the peer, `host:port`; empty while not known."""

    @property
    def client(self) -> Any:
        """The library's own object, given to event handlers."""

    async def open(self) -> None:
        """Have the handshake done; does nothing when it is.

        Raises:
            ConnectionError: it failed.
        """

    async def receive(self) -> str | bytes:
        """The next message.

        Raises:
            ConnectionEnded: there is none.
        """

    async def send(self, message: str | bytes) -> None:
        """Send one message; waits while the peer does not read.

        Raises:
            ConnectionEnded: it cannot be sent.
        """

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order; does nothing when it is closed."""


class AcceptedConnection:
    """Asterisk has dialled: a WebSocket of Starlette or FastAPI.

    One that is not accepted yet is accepted with the subprotocol that Asterisk asks for; one
    accepted without it is taken as well (captured: `nosub`).
    """

    def __init__(self, websocket: WebSocket):
        self._websocket = websocket

    @property
    def remote(self) -> str:
        """Address of the peer, `host:port`."""
        client = self._websocket.client
        return f"{client.host}:{client.port}" if client else ""

    @property
    def client(self) -> WebSocket:
        """The WebSocket."""
        return self._websocket

    async def open(self) -> None:
        """Accept, where that has not been done."""
        if self._websocket.application_state is WebSocketState.CONNECTING:
            offered = self._websocket.scope.get("subprotocols", ())
            await self._websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)

    async def receive(self) -> str | bytes:
        """The next message."""
        if self._websocket.client_state is WebSocketState.DISCONNECTED:
            raise ConnectionEnded
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise ConnectionEnded(message.get("code", CLOSE_LOST), message.get("reason") or "")
        data = message.get("bytes")
        return cast("str", message.get("text") or "") if data is None else cast("bytes", data)

    async def send(self, message: str | bytes) -> None:
        """Send one message."""
        try:
            if isinstance(message, str):
                await self._websocket.send_text(message)
            else:
                await self._websocket.send_bytes(message)
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise ConnectionEnded from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order."""
        if self._websocket.application_state is WebSocketState.CONNECTED:
            try:
                await self._websocket.close(code, reason[:120])
            except (WebSocketDisconnect, RuntimeError, OSError):
                return  # it went away under us


class DialledConnection:
    """We dial: `Dial(WebSocket/INCOMING/…)`, then `ws://asterisk:8088/media/<connection id>`.

    Args:
        uri: Where to connect to.
        headers: More headers of the request.
        ssl: For `wss`, where the default context does not do.
        open_timeout_secs: Longest wait for the handshake.
    """

    def __init__(
        self,
        uri: str,
        *,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | None = None,
        open_timeout_secs: float = 10.0,
    ):
        self.uri = uri
        self._headers = headers
        self._ssl = ssl
        self._open_timeout_secs = open_timeout_secs
        self._connection: ClientConnection | None = None

    @property
    def remote(self) -> str:
        """Address of the peer, `host:port`; empty before `open`."""
        address = self._connection.remote_address if self._connection else None
        return f"{address[0]}:{address[1]}" if address else ""

    @property
    def client(self) -> ClientConnection | None:
        """The connection; None before `open`."""
        return self._connection

    async def open(self) -> None:
        """Connect."""
        if self._connection is not None:
            return
        options: dict[str, Any] = {"ssl": self._ssl} if self._ssl else {}
        try:
            self._connection = await connect(
                self.uri,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                additional_headers=self._headers,
                compression=None,  # Asterisk has none
                open_timeout=self._open_timeout_secs,
                **options,
            )
        except (OSError, InvalidHandshake, InvalidURI) as error:
            raise ConnectionError(f"{self.uri} cannot be reached: {error}") from error

    async def receive(self) -> str | bytes:
        """The next message."""
        try:
            return await self._opened().recv()
        except ConnectionClosed as closed:
            raise _ended(closed) from closed

    async def send(self, message: str | bytes) -> None:
        """Send one message."""
        try:
            await self._opened().send(message)
        except ConnectionClosed as closed:
            raise _ended(closed) from closed

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order."""
        if self._connection is not None:
            await self._connection.close(code, reason[:120])

    def _opened(self) -> ClientConnection:
        if self._connection is None:
            raise ConnectionEnded
        return self._connection


def _ended(closed: ConnectionClosed) -> ConnectionEnded:
    frame = closed.rcvd
    return ConnectionEnded(frame.code, frame.reason) if frame else ConnectionEnded()
