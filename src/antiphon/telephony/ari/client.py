"""A client of the Asterisk REST Interface: its requests as methods, its events to listeners.

`AriClient.request` is the one place where a request is made and an error becomes one of ours. Every
parameter goes into the query, as the API description says; only variables go into a JSON body.
Asterisk answers an error with `{"message": …}` and a status that means the same everywhere: 404 no
such channel or bridge, 409 not in a Stasis application, 412 not in a state for this, 422 not in
this bridge or application.
"""

import asyncio
import base64
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import httpx

from antiphon.clock import Clock
from antiphon.errors import ConfigurationError, Unavailable
from antiphon.settings import Settings
from antiphon.telephony.ari.errors import AriRequestError, unreachable
from antiphon.telephony.ari.events import Backoff, EventSocket, Listener
from antiphon.telephony.ari.models import AriEvent, Bridge, Channel

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AriHealth:
    """How the exchange is."""

    url: str
    app: str
    reachable: bool
    """It answers requests, with these credentials."""
    events: bool
    """The event socket is connected: `Stasis(app)` reaches us."""
    version: str = ""
    """Asterisk's version."""
    round_trip_ms: int = 0
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether calls can be controlled."""
        return self.reachable and self.events

    def as_dict(self) -> dict[str, Any]:
        """For health replies."""
        return {"ok": self.ok, **asdict(self)}


def _base(url: str) -> str:
    """The URL of the `/ari` tree, without a slash at its end."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            [f"ari_url: {url!r} is no http(s) URL; e.g. http://127.0.0.1:8088/ari"]
        )
    path = parts.path.rstrip("/") or "/ari"
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def ari_client(settings: Settings, clock: Clock) -> "AriClient":
    """A client of the exchange that the settings name, not yet opened."""
    password = settings.ari_password.get_secret_value() if settings.ari_password else ""
    return AriClient(
        settings.ari_url, settings.ari_username, password, settings.ari_app, clock=clock
    )


class AriClient:
    """Asterisk, by its REST interface.

    Args:
        base_url: `http(s)://host:8088/ari`; `/ari` is added to a URL without a path.
        username: A section of ari.conf with `type=user`.
        password: Its password.
        app: Name of the Stasis application: `Stasis(app)` in the dialplan.
        clock: Source of time, for `health`.
        timeout_secs: Longest wait for an answer, s.
        backoff: Waits between attempts at the event socket.

    Raises:
        ConfigurationError: `base_url` is not an http(s) URL.
    """

    def __init__(
        self,
        base_url: str,
        username: str,
        password: str,
        app: str,
        *,
        clock: Clock,
        timeout_secs: float = 5.0,
        backoff: Backoff | None = None,
    ):
        self.url = _base(base_url)
        self.app = app
        self._clock = clock
        self._listeners: list[Listener] = []
        self._on_connected: list[Callable[[], object]] = []
        self._http = httpx.AsyncClient(
            auth=(username, password), timeout=timeout_secs, trust_env=False
        )
        credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
        query = urlencode({"app": app, "subscribeAll": "false"})
        self._socket = EventSocket(
            f"ws{self.url.removeprefix('http')}/events?{query}",
            {"Authorization": f"Basic {credentials}"},
            on_event=self._emit,
            on_connected=self._greet,
            backoff=backoff,
            open_timeout_secs=timeout_secs,
        )

    # Its life.

    def open(self) -> None:
        """Begin to keep the event socket connected."""
        self._socket.open()

    async def close(self) -> None:
        """Disconnect. Calls in progress stay as they are at the exchange."""
        await self._socket.close()
        await self._http.aclose()

    @property
    def connected(self) -> asyncio.Event:
        """Set while the event socket is connected."""
        return self._socket.connected

    def listen(self, listener: Listener) -> None:
        """Have every event handed to `listener`, in order."""
        self._listeners.append(listener)

    def on_connected(self, callback: Callable[[], object]) -> None:
        """Have `callback()` called after each connection of the event socket."""
        self._on_connected.append(callback)

    def _emit(self, event: AriEvent) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed on ARI event %s", event.type)

    def _greet(self) -> None:
        for callback in self._on_connected:
            callback()

    async def health(self) -> AriHealth:
        """Ask how the exchange is; never raises for what is wrong there."""
        events, error = self._socket.connected.is_set(), self._socket.last_error
        began = self._clock.monotonic()
        try:
            info = await self.request("GET", "/asterisk/info", only="system")
        except (AriRequestError, Unavailable) as failure:
            return AriHealth(self.url, self.app, False, events, error=failure.message)
        return AriHealth(
            url=self.url,
            app=self.app,
            reachable=True,
            events=events,
            version=str(info.get("system", {}).get("version", "")),
            round_trip_ms=round((self._clock.monotonic() - began) * 1000),
            error="" if events else error,
        )

    # One request.

    async def request(
        self, method: str, path: str, *, variables: Mapping[str, str] | None = None, **query: Any
    ) -> Any:
        """Make a request.

        Args:
            method: `GET`, `POST` or `DELETE`.
            path: Below `/ari`, its parts already quoted (`_path`).
            variables: Channel variables, sent as the JSON body.
            query: Parameters; those that are None or empty are left out.

        Returns:
            The JSON of the answer, or None where there is none.

        Raises:
            Unavailable: Asterisk does not answer (`ari_unreachable`).
            AriRequestError: it refused.
        """
        params = {name: str(value) for name, value in query.items() if value not in (None, "")}
        body = {"variables": dict(variables)} if variables else None
        asked = f"{method} {path}"
        try:
            answer = await self._http.request(method, self.url + path, params=params, json=body)
        except httpx.TimeoutException as error:
            raise unreachable(asked, "no answer in time") from error
        except httpx.HTTPError as error:
            raise unreachable(asked, str(error) or type(error).__name__) from error
        if answer.is_success:
            return answer.json() if answer.content else None
        raise AriRequestError(asked, answer.status_code, _message(answer))

    # Channels.

    async def channels(self) -> list[Channel]:
        """All channels of the exchange, ours or not."""
        return [Channel.read(one) for one in await self.request("GET", "/channels")]

    async def channel(self, channel_id: str) -> Channel:
        """One channel."""
        return Channel.read(await self.request("GET", _path("channels", channel_id)))

    async def originate(
        self,
        channel_id: str,
        endpoint: str,
        *,
        caller_id: str = "",
        timeout_secs: int = 30,
        originator: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> Channel:
        """Dial an endpoint; it enters the application (`StasisStart`) once it has answered.

        Until then its events come too: `ChannelStateChange`, `Dial`, and, when it does not answer,
        `ChannelDestroyed` with the cause.

        Args:
            channel_id: The id it shall have, so that no event is missed.
            endpoint: `Technology/resource`, e.g. `PJSIP/201@trunk`.
            caller_id: What the far end is shown: `"Name" <number>` or a number.
            timeout_secs: How long it may ring, s.
            originator: Channel whose formats are asked for.
            variables: Channel variables.
        """
        made = await self.request(
            "POST",
            _path("channels", channel_id),
            variables=variables,
            endpoint=endpoint,
            app=self.app,
            callerId=caller_id,
            timeout=timeout_secs,
            originator=originator,
        )
        return Channel.read(made)

    async def create(self, channel_id: str, endpoint: str, *, formats: str = "") -> Channel:
        """Make a channel without dialling it: it enters the application at once.

        It may then be put into a bridge, so that nothing it says once dialled is lost.
        """
        made = await self.request(
            "POST",
            "/channels/create",
            endpoint=endpoint,
            app=self.app,
            channelId=channel_id,
            formats=formats,
        )
        return Channel.read(made)

    async def dial(self, channel_id: str, *, timeout_secs: int = 0) -> None:
        """Dial a channel made by `create`; 0: for ever."""
        await self.request("POST", _path("channels", channel_id, "dial"), timeout=timeout_secs)

    async def answer(self, channel_id: str) -> None:
        """Answer a channel; one that is answered already stays so."""
        await self.request("POST", _path("channels", channel_id, "answer"))

    async def ring(self, channel_id: str) -> None:
        """Let an unanswered caller hear ringing."""
        await self.request("POST", _path("channels", channel_id, "ring"))

    async def hang_up(self, channel_id: str, reason: str = "normal") -> None:
        """Hang up any channel; one that is gone already is well.

        Args:
            channel_id: The channel.
            reason: `normal`, `busy`, `congestion`, `no_answer`, `rejected`, `failure`, …
        """
        with gone_is_well():
            await self.request("DELETE", _path("channels", channel_id), reason=reason)

    async def continue_in_dialplan(
        self, channel_id: str, *, context: str = "", extension: str = "", priority: str = ""
    ) -> None:
        """Let a channel go back to the dialplan: after `Stasis()`, or to another place."""
        await self.request(
            "POST",
            _path("channels", channel_id, "continue"),
            context=context,
            extension=extension,
            priority=priority,
        )

    async def start_music(self, channel_id: str, music_class: str = "") -> None:
        """Play music on hold to a channel that is in no bridge."""
        await self.request("POST", _path("channels", channel_id, "moh"), mohClass=music_class)

    async def stop_music(self, channel_id: str) -> None:
        """Stop the music."""
        await self.request("DELETE", _path("channels", channel_id, "moh"))

    async def send_dtmf(
        self, channel_id: str, digits: str, *, between_ms: int = 100, duration_ms: int = 100
    ) -> None:
        """Send tones to the channel's far end.

        Args:
            channel_id: The channel.
            digits: `0-9`, `A-D`, `*`, `#`; `w` is a pause of 500 ms.
            between_ms: Silence between two tones, ms.
            duration_ms: Length of a tone, ms.
        """
        await self.request(
            "POST",
            _path("channels", channel_id, "dtmf"),
            dtmf=digits,
            between=between_ms,
            duration=duration_ms,
        )

    async def set_variable(self, channel_id: str, name: str, value: str) -> None:
        """Set a channel variable, for the dialplan to read."""
        await self.request(
            "POST", _path("channels", channel_id, "variable"), variable=name, value=value
        )

    async def variable(self, channel_id: str, name: str) -> str:
        """A channel variable; empty where there is none."""
        try:
            got = await self.request(
                "GET", _path("channels", channel_id, "variable"), variable=name
            )
        except AriRequestError as error:
            if error.status == 404:
                return ""
            raise
        return str(got.get("value", ""))

    # Bridges.

    async def bridges(self) -> list[Bridge]:
        """All bridges of the exchange, ours or not."""
        return [Bridge.read(one) for one in await self.request("GET", "/bridges")]

    async def create_bridge(self, bridge_id: str, name: str = "") -> Bridge:
        """Make a mixing bridge; it stays until it is destroyed."""
        made = await self.request("POST", _path("bridges", bridge_id), type="mixing", name=name)
        return Bridge.read(made)

    async def destroy_bridge(self, bridge_id: str) -> None:
        """Destroy a bridge; one that is gone already is well."""
        with gone_is_well():
            await self.request("DELETE", _path("bridges", bridge_id))

    async def join(self, bridge_id: str, *channel_ids: str) -> None:
        """Put channels into a bridge; each leaves the one it was in."""
        await self.request(
            "POST", _path("bridges", bridge_id, "addChannel"), channel=",".join(channel_ids)
        )

    async def leave(self, bridge_id: str, channel_id: str) -> None:
        """Take a channel out of a bridge; one that is not in it is well."""
        try:
            await self.request(
                "POST", _path("bridges", bridge_id, "removeChannel"), channel=channel_id
            )
        except AriRequestError as error:
            if error.status != 422:
                raise


@contextlib.contextmanager
def gone_is_well() -> Iterator[None]:
    """What was to go away is not there any more."""
    try:
        yield
    except AriRequestError as error:
        if error.status != 404:
            raise


def _path(*parts: str) -> str:
    return "".join("/" + quote(part, safe="") for part in parts)


def _message(answer: httpx.Response) -> str:
    try:
        data = answer.json()
    except ValueError:
        data = None
    if isinstance(data, dict) and isinstance(data.get("message"), str):
        return str(data["message"])
    return answer.reason_phrase or "no message"
