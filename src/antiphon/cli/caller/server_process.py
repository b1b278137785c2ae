"""A real server as a child process: for the demo, the benchmarks and the end-to-end tests."""

import asyncio
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from antiphon.clock import Clock, SystemClock
from antiphon.errors import Unavailable

READY_TIMEOUT_S = 60.0
POLL_S = 0.1
STOP_TIMEOUT_S = 20.0
LOG_TAIL_CHARS = 2_000


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """`antiphon serve` on a free loopback port: an async context manager.

    Entering starts it and waits until `/health` answers; leaving ends it with SIGTERM, then kills
    it if it has not gone within 20 s.

    Args:
        data_dir: The server's data directory; its output goes to `server.log` in it.
        arguments: More arguments for `serve`.
        clock: For the start-up time-out.
    """

    def __init__(
        self, data_dir: Path, *, arguments: Sequence[str] = (), clock: Clock | None = None
    ):
        self.data_dir = data_dir
        self.log_path = data_dir / "server.log"
        self.port = free_port()
        self._arguments = arguments
        self._clock = clock or SystemClock()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def http_url(self) -> str:
        """Base URL of the REST API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Base URL of the WebSockets."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        """Start and wait until it is ready.

        Raises:
            Unavailable: it ended or was not ready within 60 s; the message has the end of its log.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "antiphon",
                "serve",
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
                "--data-dir",
                str(self.data_dir),
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            await self._wait_ready(self._process)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        await self.stop()

    async def wait(self) -> int:
        """Wait until the process ends by itself; returns its exit status."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> int | None:
        """End the process; returns its exit status, None when it was never started."""
        process = self._process
        if process is None:
            return None
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        return process.returncode

    async def _wait_ready(self, process: asyncio.subprocess.Process) -> None:
        deadline = self._clock.monotonic() + READY_TIMEOUT_S
        async with httpx.AsyncClient(base_url=self.http_url, trust_env=False) as client:
            while self._clock.monotonic() < deadline:
                if process.returncode is not None:
                    raise Unavailable(
                        f"the server ended with status {process.returncode} before it was "
                        f"ready: {self._log_tail()}"
                    )
                try:
                    if (await client.get("/health")).status_code == httpx.codes.OK:
                        return
                except httpx.TransportError:
                    pass  # not listening yet
                await asyncio.sleep(POLL_S)
        raise Unavailable(
            f"the server was not ready within {READY_TIMEOUT_S:g} s: {self._log_tail()}"
        )

    def _log_tail(self) -> str:
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return text[-LOG_TAIL_CHARS:].strip() or f"nothing in {self.log_path}"
