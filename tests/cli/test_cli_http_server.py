"""The server's beginning and end: the port it tells, the drain after signals."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
from fastapi import FastAPI

from antiphon.cli.http_server import HttpServer, StartupGuard, bind, uvicorn_config
from antiphon.errors import ConfigurationError, Unavailable
from antiphon.settings import Settings


class Runtime:
    """Sessions that last until `calls_over` is set; writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.draining = asyncio.Event()
        self.calls_over = asyncio.Event()
        self.ending = asyncio.Event()
        self.end_hangs = False
        self.drain_fails = False

    def stop_accepting(self) -> None:
        self.told.append("stop_accepting")

    async def drain(self, timeout_secs: float) -> None:
        self.told.append(f"drain {timeout_secs:g}")
        self.draining.set()
        if self.drain_fails:
            raise Unavailable("a session would not end")
        await self.calls_over.wait()

    async def end_all(self) -> None:
        self.told.append("end_all")
        self.ending.set()
        if self.end_hangs:
            await asyncio.Event().wait()


class Running:
    """A server on a free port, and what became of it."""

    def __init__(self, runtime: Runtime, *, startup_error: Exception | None = None):
        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            if startup_error is not None:
                raise startup_error
            yield
            runtime.told.append("closed")

        application = FastAPI(lifespan=lifespan)

        @application.get("/health")
        async def health() -> dict[str, str]:
            return {"status": "ok"}

        self.guard = StartupGuard(application)
        self.port = 0
        self.started = asyncio.Event()
        self.socket = bind("127.0.0.1", 0)
        self.server = HttpServer(
            uvicorn_config(self.guard, Settings()),
            runtime,
            drain_timeout_s=30,
            on_started=self._on_started,
        )

    def _on_started(self, port: int) -> None:
        self.port = port
        self.started.set()

    async def serve(self) -> None:
        try:
            await self.server.serve(sockets=[self.socket])
        finally:
            self.socket.close()

    def signal(self) -> None:
        self.server.handle_exit(signal.SIGTERM, None)


async def test_the_port_is_told_once_it_answers() -> None:
    runtime = Runtime()
    running = Running(runtime)
    async with asyncio.TaskGroup() as group:
        group.create_task(running.serve())
        with anyio.fail_after(10):
            await running.started.wait()
            async with httpx.AsyncClient(trust_env=False) as client:
                reply = await client.get(f"http://127.0.0.1:{running.port}/health")
        assert reply.json() == {"status": "ok"}
        assert "server" not in reply.headers
        runtime.calls_over.set()
        running.signal()


async def test_the_first_signal_drains_and_the_server_answers_meanwhile() -> None:
    runtime = Runtime()
    running = Running(runtime)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(running.serve())
        with anyio.fail_after(10):
            await running.started.wait()
            running.signal()
            await runtime.draining.wait()
            async with httpx.AsyncClient(trust_env=False) as client:
                reply = await client.get(f"http://127.0.0.1:{running.port}/health")
            assert reply.is_success
            assert not serving.done()
            runtime.calls_over.set()
            await serving
    assert runtime.told == ["stop_accepting", "drain 30", "end_all", "closed"]


async def test_the_second_signal_ends_calls_at_once_and_still_closes_properly() -> None:
    runtime = Runtime()
    running = Running(runtime)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(running.serve())
        with anyio.fail_after(10):
            await running.started.wait()
            running.signal()
            await runtime.draining.wait()
            running.signal()
            await serving
    assert runtime.told == ["stop_accepting", "drain 30", "end_all", "closed"]


async def test_the_third_signal_waits_for_nothing() -> None:
    runtime = Runtime()
    runtime.end_hangs = True
    running = Running(runtime)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(running.serve())
        with anyio.fail_after(10):
            await running.started.wait()
            running.signal()
            await runtime.draining.wait()
            running.signal()
            await runtime.ending.wait()
            running.signal()
            await serving
    assert "closed" not in runtime.told


async def test_a_drain_that_fails_does_not_keep_the_server_alive() -> None:
    runtime = Runtime()
    runtime.drain_fails = True
    running = Running(runtime)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(running.serve())
        with anyio.fail_after(10):
            await running.started.wait()
            running.signal()
            await serving
    assert runtime.told[-1] == "closed"


async def test_why_it_could_not_start_is_kept_for_the_command() -> None:
    running = Running(Runtime(), startup_error=ConfigurationError(["agent: is wrong"]))
    with pytest.raises(SystemExit), anyio.fail_after(10):
        await running.serve()
    assert isinstance(running.guard.failure, ConfigurationError)
    assert not running.started.is_set()


def test_a_taken_port_is_said_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port}.*--port"):
            bind("127.0.0.1", port)


def test_a_host_that_does_not_exist_is_said_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"no-such-host\.invalid"):
        bind("no-such-host.invalid", 0)


def test_small_messages_leave_at_once() -> None:
    # asyncio sets TCP_NODELAY only on sockets that name their protocol.
    with bind("127.0.0.1", 0) as sock:
        assert sock.proto == socket.IPPROTO_TCP
