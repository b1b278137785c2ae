"""What waits to be sent on one connection, bounded."""

import asyncio
from collections import deque


class OutboxFull(Exception):
    """The peer reads too slowly; its connection is to be closed, the call goes on."""


class Outbox:
    """A bounded queue of WebSocket messages with one writer.

    Args:
        limit_bytes: Most bytes that may wait; text counts its characters.
    """

    def __init__(self, limit_bytes: int):
        self._limit = limit_bytes
        self._size = 0
        self._messages: deque[str | bytes] = deque()
        self._wake = asyncio.Event()
        self._closing = False

    def put(self, message: str | bytes) -> None:
        """Queue a message; dropped silently once the outbox is closing.

        Raises:
            OutboxFull: the limit would be passed.
        """
        if self._closing:
            return
        if self._size + len(message) > self._limit:
            raise OutboxFull
        self._messages.append(message)
        self._size += len(message)
        self._wake.set()

    def close(self) -> None:
        """Take no more; the writer stops when what is queued has gone."""
        self._closing = True
        self._wake.set()

    def abandon(self) -> None:
        """Drop what is queued, and close."""
        self._messages.clear()
        self._size = 0
        self.close()

    async def next(self) -> str | bytes | None:
        """The next message to write, or None when closed and empty."""
        while not self._messages:
            if self._closing:
                return None
            self._wake.clear()
            await self._wake.wait()
        message = self._messages.popleft()
        self._size -= len(message)
        return message
