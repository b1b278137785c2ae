"""The event socket of ARI: connected for as long as it is open, whatever happens to Asterisk.

`GET /ari/events?app=…` upgraded to a WebSocket; Asterisk takes the application's name from it and
sends every event about the application's channels and bridges, each as one JSON text. Without it
`Stasis(app)` in the dialplan fails at once, which is what lets a dialplan fall back.

One name has one socket: a newer one takes it over, and the older is told `ApplicationReplaced`. Two
processes with one name would take it from each other for ever, so whoever is replaced stays out.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from antiphon.errors import InvalidMessage
from antiphon.telephony.ari.models import AriEvent, read_event

log = logging.getLogger(__name__)

Listener = Callable[[AriEvent], None]
"""Called in order, in the event loop; it must not block."""

MAX_EVENT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before another attempt: doubling, with jitter."""

    first_secs: float = 0.5
    longest_secs: float = 30.0

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds before attempt number `attempt` + 1.

        Args:
            attempt: Failures so far, from 1.
            chance: 0 to 1; the delay is between a half and the whole of the step.
        """
        step = min(self.longest_secs, self.first_secs * 2.0 ** min(attempt - 1, 30))
        return step * (0.5 + chance / 2)


class EventSocket:
    """Keeps the event socket connected and hands its events on.

    Args:
        url: `ws://…/ari/events?app=…`.
        headers: Of the handshake: the authorization.
        on_event: Takes every event.
        on_connected: Called after every connection, the first and each later one.
        backoff: Waits between attempts.
        open_timeout_secs: Longest handshake, s.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        on_event: Listener,
        on_connected: Callable[[], None],
        backoff: Backoff | None = None,
        open_timeout_secs: float = 5.0,
    ):
        self._url = url
        self._headers = dict(headers)
        self._on_event = on_event
        self._on_connected = on_connected
        self._backoff = backoff or Backoff()
        self._open_timeout_secs = open_timeout_secs
        self._task: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()
        self.replaced = False
        self.last_error = ""

    def open(self) -> None:
        """Begin to connect; `connected` tells when it is."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="ari-events")

    async def close(self) -> None:
        """Disconnect for good. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self.connected.clear()

    async def _run(self) -> None:
        failures = 0
        while not self.replaced:
            had_connected = False
            try:
                async with connect(
                    self._url,
                    additional_headers=self._headers,
                    proxy=None,
                    max_size=MAX_EVENT_BYTES,
                    open_timeout=self._open_timeout_secs,
                ) as socket:
                    had_connected = True
                    self._begin()
                    async for message in socket:
                        self._take(message)
                        if self.replaced:
                            break
                self.last_error = "Asterisk closed the event socket"
            except InvalidStatus as error:
                self.last_error = _refusal(error.response.status_code)
            except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
                self.last_error = str(error) or type(error).__name__
            finally:
                self.connected.clear()
            if self.replaced:
                break
            failures = 1 if had_connected else failures + 1
            wait = self._backoff.delay(failures, random.random())  # no secret, only jitter
            level = logging.WARNING if failures in (1, 10) else logging.DEBUG
            log.log(level, "ARI event socket: %s; next try in %.1f s", self.last_error, wait)
            await asyncio.sleep(wait)
        self.last_error = (
            "another client has taken over the Stasis application; give each process its own "
            "ari_app and restart this one"
        )
        log.error("ARI event socket: %s", self.last_error)

    def _begin(self) -> None:
        self.last_error = ""
        self.connected.set()
        log.info("ARI event socket connected")
        self._on_connected()

    def _take(self, message: str | bytes) -> None:
        try:
            event = read_event(message)
        except InvalidMessage as error:
            log.warning("ARI event ignored: %s", error.message)
            return
        if event.type == "ApplicationReplaced":
            self.replaced = True
        self._on_event(event)


def _refusal(status: int) -> str:
    if status in (401, 403):
        return f"Asterisk answered {status}: ari_username or ari_password is wrong"
    if status == 404:
        return "Asterisk answered 404: ARI is off (ari.conf) or ari_url has the wrong path"
    return f"Asterisk answered {status}"
