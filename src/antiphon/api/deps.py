"""What routes are given: the running server's parts."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Annotated, Any, Protocol, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from antiphon.api.auth import Authenticator
from antiphon.clock import Clock
from antiphon.records.store import RecordStore
from antiphon.records.writer import EventWriter
from antiphon.sessions.manager import SessionManager
from antiphon.settings import Settings
from antiphon.telephony.ari import AriCallControl

log = logging.getLogger(__name__)


class Lines:
    """Telephone lines that we dialled and that no request carries."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def carry(self, line: Coroutine[Any, Any, None]) -> None:
        """Serve a line until its call ends."""
        task = asyncio.get_running_loop().create_task(line, name="asterisk-line")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a telephone line failed", exc_info=error)

    async def close(self) -> None:
        """Let go of the lines that are left."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Server(Protocol):
    """The parts of the running server that routes use; `antiphon.app` composes them."""

    settings: Settings
    manager: SessionManager
    store: RecordStore
    writer: EventWriter
    clock: Clock
    authenticator: Authenticator
    call_control: AriCallControl | None
    lines: Lines
    version: str


def server(connection: HTTPConnection) -> Server:
    """The running server."""
    return cast("Server", connection.app.state.antiphon)


ServerDep = Annotated[Server, Depends(server)]
