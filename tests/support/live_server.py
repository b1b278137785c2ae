"""The real application on a real port, in the loop of the test that uses it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect

from antiphon.app import Server, create_app
from antiphon.cli.http_server import bind, uvicorn_config
from antiphon.settings import Settings


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config):
        super().__init__(config)
        self.answers = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class Running:
    """A running server and a client of its REST API."""

    app: FastAPI
    port: int
    http: httpx.AsyncClient

    @property
    def server(self) -> Server:
        server: Server = self.app.state.antiphon
        return server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def dial(self, path: str, **options: Any) -> connect:
        # Unread audio must not keep the close frame from being read.
        return connect(f"ws://127.0.0.1:{self.port}{path}", proxy=None, max_queue=None, **options)

    @contextlib.asynccontextmanager
    async def browser_call(self, room: str) -> AsyncIterator[tuple[ClientConnection, str]]:
        """A live session by the browser's WebSocket, and its id."""
        async with self.dial(f"/api/realtime/pipecat/ws/{room}") as socket:
            while True:
                message = await socket.recv()
                if isinstance(message, str):
                    data = json.loads(message)
                    if data["type"] == "session":
                        yield socket, data["session_id"]
                        return

    async def ended(self, session_id: str) -> dict[str, Any]:
        """The session once it has ended and all of it is on record."""
        with contextlib.suppress(Exception):
            await self.server.manager.get(session_id).ended.wait()
        await self.server.writer.flush()
        found: dict[str, Any] = (await self.http.get(f"/api/v1/sessions/{session_id}")).json()
        return found


@contextlib.asynccontextmanager
async def running(data_dir: Path, **settings: Any) -> AsyncIterator[Running]:
    made = Settings(data_dir=data_dir, port=0, **settings)
    app = create_app(made)
    async with (
        serving(uvicorn_config(app, made)) as port,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20
        ) as client,
    ):
        yield Running(app, port, client)


@contextlib.asynccontextmanager
async def serving(config: uvicorn.Config) -> AsyncIterator[int]:
    """The port of an application that is served meanwhile."""
    web = _Uvicorn(config)
    with bind("127.0.0.1", 0) as socket:
        async with asyncio.TaskGroup() as group:
            group.create_task(web.serve([socket]))
            await web.answers.wait()
            assert web.started, "the application did not start"
            try:
                yield socket.getsockname()[1]
            finally:
                web.should_exit = True
