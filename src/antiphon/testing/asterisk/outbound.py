"""Asterisk as the client: it dials the application, as `Dial(WebSocket/<connection>/…)` does."""

import asyncio
import base64
from collections.abc import Mapping
from types import TracebackType
from typing import Self, Unpack
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, NegotiationError
from websockets.typing import Subprotocol

from antiphon.testing.asterisk.channel import Channel, ChannelOptions
from antiphon.testing.asterisk.record import DialFailed


class SimulatedChannel(Channel):
    """A call that Asterisk brings to an application's WebSocket.

    ```python
    async with SimulatedChannel(url, codec="slin16", speak=Path("question.wav")) as channel:
        await channel.wait_until_said()
        await channel.wait_until_speaking()
        channel.press("5")
        await channel.wait_until_quiet()
    assert channel.heard_samples.size
    ```

    The request is as captured: subprotocol `media`, no extension, HTTP Basic where asked for
    (`auth_json`). Leaving the block hangs up, if the call is still up.

    Args:
        url: the application's address, `ws://host:port/path`.
        parameters: dial option `v(...)`: they become the query of the request.
        username: of HTTP Basic; None: no authorization.
        password: of HTTP Basic.
        attempts: how often to try (`http503`: two times, half a second apart).
        retry_delay_s: between two attempts.
        connect_timeout_s: of each attempt, until the handshake is done (`slow08`: 0.8 s is in time,
            `slow15`: 1.5 s is not).
        options: see `ChannelOptions`.

    Raises:
        DialFailed: on entering the block: nobody listens, or the application refuses.
        ValueError: an option is wrong.
    """

    def __init__(
        self,
        url: str,
        *,
        parameters: Mapping[str, str] | None = None,
        username: str | None = None,
        password: str = "",
        attempts: int = 2,
        retry_delay_s: float = 0.5,
        connect_timeout_s: float = 1.0,
        **options: Unpack[ChannelOptions],
    ):
        super().__init__(**options)
        query = urlencode(parameters or {}, quote_via=quote)
        self.url = f"{url}{'&' if '?' in url else '?'}{query}" if query else url
        self._credentials = None if username is None else f"{username}:{password}"
        self._attempts = max(1, attempts)
        self._retry_delay_s = retry_delay_s
        self._connect_timeout_s = connect_timeout_s

    async def __aenter__(self) -> Self:
        self.attach(await self._dial())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.leave()

    async def _dial(self) -> ClientConnection:
        reason = ""
        for attempt in range(self._attempts):
            if attempt:
                await asyncio.sleep(self._retry_delay_s)
            try:
                return await self._connect()
            except (OSError, InvalidHandshake) as error:
                reason = _asterisks_word(error)
        raise DialFailed(self.url, reason, self._attempts)

    async def _connect(self) -> ClientConnection:
        headers = {}
        if self._credentials is not None:
            token = base64.b64encode(self._credentials.encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        return await connect(
            self.url,
            subprotocols=[Subprotocol("media")],
            additional_headers=headers,
            user_agent_header=None,
            compression=None,
            proxy=None,
            open_timeout=self._connect_timeout_s,
            ping_interval=None,
            # The model closes on what is too long, with the captured code.
            max_size=None,
        )


def _asterisks_word(error: Exception) -> str:
    """The reason in Asterisk's log (`http401`, `http404`, `http503`, `badsub`, `nobody`)."""
    match error:
        case InvalidStatus() if error.response.status_code == 401:
            return "Unauthorized"
        case InvalidStatus() if error.response.status_code == 404:
            return "URL not found"
        case InvalidStatus():
            return "Invalid response code"
        case NegotiationError():
            return "Header mismatch"
    return "Client start error"
