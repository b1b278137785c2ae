"""Asterisk as the server: the application dials `/media/<connection id>`."""

import asyncio
import uuid
from http import HTTPStatus
from types import TracebackType
from typing import Self, Unpack

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from antiphon.testing.asterisk.channel import Channel, ChannelOptions

_PATH = "/media/"


class InboundChannel(Channel):
    """A channel that waits to be connected; made by `SimulatedAsteriskServer.channel`.

    Entering the block makes it known to the server, leaving it hangs up.
    """

    # The application is the client: what it sends is masked, so its headers are longer.
    _message_header_bytes = 8

    def __init__(self, server: "SimulatedAsteriskServer", **options: Unpack[ChannelOptions]):
        options.setdefault("connection_id", str(uuid.uuid4()))
        super().__init__(**options)
        self._server = server

    @property
    def url(self) -> str:
        """Where the application has to connect to."""
        return f"{self._server.url}{_PATH}{self.connection_id}"

    async def wait_connected(self, *, within_s: float = 5.0) -> None:
        """Wait until the application has connected and was sent MEDIA_START."""
        await self.wait_for(
            lambda: self.model is not None, within_s=within_s, what="the application to connect"
        )

    async def __aenter__(self) -> Self:
        self._server.expected[self.connection_id] = self
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.expected.pop(self.connection_id, None)
        await self.leave()


class SimulatedAsteriskServer:
    """Asterisk's HTTP server, as far as `Dial(WebSocket/INCOMING/…)` needs it.

    ```python
    async with SimulatedAsteriskServer() as asterisk, asterisk.channel(codec="slin") as channel:
        ...  # have the application connect to channel.url
        await channel.wait_connected()
    ```

    An id that is not expected, or already connected, gets 404. Captures: `inbound_json`,
    `inbound_plain`.

    Args:
        host: address to listen on.
        port: port to listen on; 0: a free one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0):
        self.expected: dict[str, InboundChannel] = {}
        self._host = host
        self._port = port
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """The server's base address, `ws://host:port`; only while it runs."""
        assert self._server is not None
        return f"ws://{self._host}:{self._server.sockets[0].getsockname()[1]}"

    def channel(self, **options: Unpack[ChannelOptions]) -> InboundChannel:
        """A channel for the application to connect to."""
        return InboundChannel(self, **options)

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._handle,
            self._host,
            self._port,
            process_request=self._refuse_unknown,
            subprotocols=[Subprotocol("media")],
            compression=None,
            ping_interval=None,
            max_size=None,
            server_header=None,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def _refuse_unknown(self, connection: ServerConnection, request: Request) -> Response | None:
        if _connection_id(request.path) in self.expected:
            return None
        return connection.respond(HTTPStatus.NOT_FOUND, "Not Found\n")

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        channel = self.expected.pop(_connection_id(connection.request.path), None)
        if channel is None:
            return
        call = channel.attach(connection)
        # Whoever holds the channel is told of what went wrong in it, by leaving its block.
        await asyncio.wait([call])


def _connection_id(path: str) -> str:
    bare = path.partition("?")[0]
    return bare.removeprefix(_PATH) if bare.startswith(_PATH) else ""
