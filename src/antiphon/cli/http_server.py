"""uvicorn with our own beginning and end: a banner once the port answers, and a drain.

The first SIGTERM or SIGINT refuses new sessions and lets live ones go on for `drain_timeout_secs`;
the second ends them at once, their records kept; the third leaves without waiting for anything.
"""

import asyncio
import gc
import logging
import socket
from collections.abc import Callable
from types import FrameType
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from antiphon.errors import ConfigurationError
from antiphon.settings import Settings

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 5
"""Seconds for HTTP replies and close handshakes after the last session has ended."""

END_TIMEOUT_S = 15.0
"""Seconds for `end_all`: goodbyes are cut, records are written."""

CUT_SHORT, LEAVE_AT_ONCE = 2, 3
"""Number of the signal that ends the drain, and of the one that ends everything."""


class Drainable(Protocol):
    """What the server needs of the application (`app.state.antiphon`) to end it well."""

    def stop_accepting(self) -> None:
        """Refuse new sessions from now on."""

    async def drain(self, timeout_secs: float) -> None:
        """Return when the last live session has ended; those left after the time-out are ended."""

    async def end_all(self) -> None:
        """End every live session and keep its record."""


class StartupGuard:
    """An ASGI application around another that keeps why it could not start.

    uvicorn would print a traceback for a setting that is wrong; with the error kept in `failure`
    the command can say it in one line.
    """

    def __init__(self, application: ASGIApp):
        self._application = application
        self.failure: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through; only the lifespan is watched."""
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return

        async def send_without_traceback(message: Message) -> None:
            await send({"type": message["type"]})

        try:
            await self._application(scope, receive, send_without_traceback)
        except BaseException as error:
            self.failure = error
            raise


def freeze_what_stays() -> None:
    """Take all that lives as long as the process out of the garbage collector's rounds.

    Otherwise a full collection walks it again and again: pauses of 140 to 230 ms for every call,
    seen in the load benchmark; 20 to 30 ms without it.
    """
    gc.collect()
    gc.freeze()


class HttpServer(uvicorn.Server):
    """One server process.

    Args:
        config: uvicorn's configuration.
        runtime: The application's sessions.
        drain_timeout_s: Seconds live sessions have after the first signal.
        on_started: Called with the port once it answers.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        runtime: Drainable,
        *,
        drain_timeout_s: float,
        on_started: Callable[[int], None],
    ):
        super().__init__(config)
        self._runtime = runtime
        self._drain_timeout_s = drain_timeout_s
        self._on_started = on_started
        self._signals = 0
        self._drain_task: asyncio.Task[None] | None = None
        self._cut_short = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, answer on the sockets, and say so."""
        messages = logging.getLogger("uvicorn.error")
        level = messages.level
        messages.setLevel(logging.CRITICAL)  # the command says itself why it could not start
        try:
            await super().startup(sockets)
        finally:
            messages.setLevel(level)
        if self.started and sockets:
            self._on_started(sockets[0].getsockname()[1])
            freeze_what_stays()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Count the signal; `on_tick` acts on it, in the event loop."""
        self._signals += 1
        if self._signals >= LEAVE_AT_ONCE:
            self.force_exit = self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Begin the drain after the first signal; uvicorn calls this ten times a second."""
        if self._signals and self._drain_task is None:
            self._drain_task = asyncio.get_running_loop().create_task(self._drain())
        if self._signals >= CUT_SHORT:
            self._cut_short.set()
        return await super().on_tick(counter)

    async def _drain(self) -> None:
        log.info("draining: no new sessions, %g s for the live ones", self._drain_timeout_s)
        try:
            self._runtime.stop_accepting()
            await self._drain_until_cut_short()
            async with asyncio.timeout(END_TIMEOUT_S):
                await self._runtime.end_all()
        except TimeoutError:
            log.warning("some sessions had not ended after %g s", END_TIMEOUT_S)
        except Exception:
            log.exception("the drain failed; leaving anyway")
        finally:
            self.should_exit = True

    async def _drain_until_cut_short(self) -> None:
        drain = asyncio.ensure_future(self._runtime.drain(self._drain_timeout_s))
        cut = asyncio.ensure_future(self._cut_short.wait())
        try:
            await asyncio.wait({drain, cut}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            cut.cancel()
            if not drain.done():
                drain.cancel()
        if drain.done() and not drain.cancelled():
            drain.result()


def bind(host: str, port: int) -> socket.socket:
    """A listening address of our own, so that a taken port is found before models are loaded.

    Raises:
        ConfigurationError: the address cannot be used.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # The protocol must be given: asyncio sets TCP_NODELAY only on sockets that name it.
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        problem = (
            f"cannot listen on {host} port {port}: {error.strerror or error}; "
            "stop what listens there, or choose another with --host or --port (0: a free one)"
        )
        raise ConfigurationError([problem]) from error
    return sock


def uvicorn_config(application: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How uvicorn is to run: its fastest parts, our limits, no logs of its own."""
    return uvicorn.Config(
        application,
        interface="asgi3",
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=settings.max_message_bytes,
        ws_ping_interval=settings.ws_ping_interval_secs,
        ws_ping_timeout=settings.ws_ping_timeout_secs,
        # Speech does not compress, and deflate costs memory and CPU for each call.
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file,
    )
