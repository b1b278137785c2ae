"""A simulated Asterisk REST Interface on loopback, for tests of call control.

It speaks the documented REST (`rest-api/api-docs/channels.json`, `bridges.json`, `asterisk.json`
of Asterisk 23) and the event socket, and keeps the state that decides the answers: which channels
are in the Stasis application, which bridge each is in, who hears what. It is strict where Asterisk
is lenient: a request or a parameter that is not documented is refused and so found by the test.

Dialled endpoints do what the test scripts for them (`answers`, `busy`, `no_answer`, `rejects`,
`unreachable`). A `WebSocket/…` endpoint answers at once; with a `media_url` the application is
really dialled, by a simulated `chan_websocket` that is joined to those in its bridge: whole calls.

    async with SimulatedAri() as asterisk:
        asterisk.script("PJSIP/201@trunk", busy(after_ms=10))
        client = AriClient(asterisk.url, asterisk.username, asterisk.password, "antiphon", …)
        caller = asterisk.incoming_call(number="0301234")
        await asterisk.until(lambda: asterisk.hears(caller.id) == "agent")
"""

import asyncio
import base64
import contextlib
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.server import ServerState

from antiphon.testing.asterisk.ari_channel import TIMESTAMP, ExchangeChannel
from antiphon.testing.asterisk.ari_endpoints import (
    CONGESTION,
    DIAL_STATUS,
    NO_ANSWER,
    NORMAL,
    REJECTED,
    USER_BUSY,
    DialOutcome,
    answers,
    busy,
    congested,
    no_answer,
    no_route,
    rejects,
    unreachable,
)
from antiphon.testing.asterisk.ari_media import AgentLeg, DialString
from antiphon.testing.asterisk.record import DialFailed

__all__ = [
    "DialOutcome",
    "ExchangeChannel",
    "SimulatedAri",
    "answers",
    "busy",
    "congested",
    "no_answer",
    "no_route",
    "rejects",
    "unreachable",
]


_ORIGINATE = (
    "endpoint extension context priority label app appArgs callerId timeout originator formats"
)
DOCUMENTED = {
    "GET /asterisk/info": "only",
    "GET /asterisk/ping": "",
    "GET /channels": "",
    "POST /channels": _ORIGINATE + " channelId otherChannelId",
    "POST /channels/create": "endpoint app appArgs channelId otherChannelId originator formats",
    "GET /channels/{channel}": "",
    "POST /channels/{channel}": _ORIGINATE + " otherChannelId",
    "DELETE /channels/{channel}": "reason reason_code",
    "POST /channels/{channel}/continue": "context extension priority label",
    "POST /channels/{channel}/answer": "",
    "POST /channels/{channel}/ring": "",
    "DELETE /channels/{channel}/ring": "",
    "POST /channels/{channel}/dtmf": "dtmf before between duration after",
    "POST /channels/{channel}/moh": "mohClass",
    "DELETE /channels/{channel}/moh": "",
    "GET /channels/{channel}/variable": "variable",
    "POST /channels/{channel}/variable": "variable value report_events",
    "POST /channels/{channel}/dial": "caller timeout",
    "GET /bridges": "",
    "POST /bridges/{bridge}": "type name",
    "GET /bridges/{bridge}": "",
    "DELETE /bridges/{bridge}": "",
    "POST /bridges/{bridge}/addChannel": (
        "channel role absorbDTMF mute inhibitConnectedLineUpdates"
    ),
    "POST /bridges/{bridge}/removeChannel": "channel",
}
"""Requests that are answered, with their query parameters."""

_REASONS = {
    "normal": NORMAL,
    "busy": USER_BUSY,
    "congestion": CONGESTION,
    "no_answer": NO_ANSWER,
    "rejected": REJECTED,
    "failure": 38,
}


class AriRefusal(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
        self.message = message


class SimulatedAri:
    """A simulated exchange; an asynchronous context manager.

    Args:
        username: Of the ARI user.
        password: Its password.
        app: The Stasis application that the dialplan sends callers to.
        media_url: Where websocket_client.conf leads to, `ws://host:port/ws/asterisk`; empty: no
            media. It may be set later, before the first call: the application is often started
            after the exchange.
    """

    def __init__(
        self,
        *,
        username: str = "antiphon",
        password: str = "ari-secret",
        app: str = "antiphon",
        media_url: str = "",
    ):
        self.username = username
        self.password = password
        self.app = app
        self.media_url = media_url
        self.url = ""
        self.channels: dict[str, ExchangeChannel] = {}
        """Channels that are there."""
        self.bridges: dict[str, list[str]] = {}
        """Bridge id to the ids of the channels in it."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        """Requests made: method and path, and the query."""
        self.media: dict[str, AgentLeg] = {}
        """With media: agents' legs by the id of their channel, those that are over, too."""
        self.loses_events = False
        """Events do not reach the client."""
        self._carrying: set[asyncio.Task[None]] = set()
        self._outcomes: dict[str, DialOutcome] = {}
        self._faults: list[tuple[re.Pattern[str], AriRefusal]] = []
        self._sockets: list[WebSocket] = []
        self._outbox: asyncio.Queue[tuple[WebSocket, str]] = asyncio.Queue()
        self._timers: set[asyncio.TimerHandle] = set()
        self._changed = asyncio.Event()
        self._state_of_server = ServerState()
        self._number = 0
        self._routes = [
            (method, _pattern(path), path, frozenset(parameters.split()))
            for key, parameters in DOCUMENTED.items()
            for method, path in [key.split(" ")]
        ]

    # Its life.

    async def __aenter__(self) -> "SimulatedAri":
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/ari"
        app = Starlette(
            routes=[
                WebSocketRoute("/ari/events", self._events),
                Route("/ari/{path:path}", self._rest, methods=["GET", "POST", "DELETE"]),
            ]
        )
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="websockets-sansio")
        config.load()
        loop = asyncio.get_running_loop()
        # uvicorn's protocols without its server, whose end takes some tenths of a second.
        self._server = await loop.create_server(
            lambda: config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self._state_of_server, app_state={}
            ),
            sock=listener,
        )
        self._sending = loop.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()
        for task in self._carrying:
            task.cancel()
        carried = await asyncio.gather(*self._carrying, return_exceptions=True)
        self._sending.cancel()
        self._server.close()
        for connection in tuple(self._state_of_server.connections):
            connection.shutdown()
        await asyncio.gather(self._sending, *self._state_of_server.tasks, return_exceptions=True)
        for failure in carried:
            if isinstance(failure, Exception):
                raise failure

    # What a test can do.

    def script(self, endpoint: str, outcome: DialOutcome) -> None:
        """Say what an endpoint does when it is dialled; the default is to answer."""
        self._outcomes[endpoint] = outcome

    def refuse(self, request: str, status: int = 500, message: str = "Allocation failed") -> None:
        """Refuse the next request that matches, once.

        Args:
            request: Regular expression of method and path, e.g. `POST /bridges/.*/addChannel`.
            status: Status of the answer.
            message: Its message.
        """
        self._faults.append((re.compile(request), AriRefusal(status, message)))

    def incoming_call(
        self, number: str = "0301234", exten: str = "100", args: tuple[str, ...] = ()
    ) -> ExchangeChannel:
        """Somebody calls, and the dialplan says `Stasis(app,args…)`."""
        self._number += 1
        channel = ExchangeChannel(
            f"1700000000.{self._number}", "PJSIP/trunk", "Ring", number=number, exten=exten
        )
        self.channels[channel.id] = channel
        if self._sockets:
            self._enter(channel, args)
        else:  # as `Stasis()` of an application that nobody serves
            channel.continued = True
        return channel

    def dialplan_call(self) -> tuple[ExchangeChannel, ExchangeChannel]:
        """A caller and a WebSocket channel that `Dial()` has bridged, outside of Stasis."""
        self._number += 1
        pair = (
            ExchangeChannel(f"1700000000.{self._number}", "PJSIP/trunk", "Up", number="0301234"),
            ExchangeChannel(f"1700000001.{self._number}", "WebSocket/antiphon", "Up"),
        )
        self.bridges[f"dial-{self._number}"] = [one.id for one in pair]
        for one in pair:
            one.bridge = f"dial-{self._number}"
            self.channels[one.id] = one
        return pair

    def hang_up(self, channel_id: str, cause: int = NORMAL) -> None:
        """The far end of a channel hangs up."""
        self._destroy(self.channels[channel_id], cause)

    def press(self, channel_id: str, digit: str) -> None:
        """The far end of a channel presses a key; an agent in its bridge is told, with media."""
        channel = self.channels[channel_id]
        for one in self._others(channel):
            if one.id in self.media:
                self.media[one.id].press(digit)
        self._emit("ChannelDtmfReceived", channel=channel, digit=digit, duration_ms=100)

    async def lose_events(self) -> None:
        """The event socket breaks."""
        sockets, self._sockets = self._sockets, []
        for one in sockets:
            with contextlib.suppress(RuntimeError):
                await one.close(1011)

    def find(self, endpoint: str) -> ExchangeChannel:
        """The channel to an endpoint that begins with `endpoint`; the newest one."""
        return [one for one in self.channels.values() if one.endpoint.startswith(endpoint)][-1]

    def hears(self, channel_id: str) -> str:
        """What the far end of a channel hears.

        Returns:
            `gone`, `dialplan`, `ringing` (not answered), `music`, `silence`, or the endpoints of
            those in its bridge, the agent's leg as `agent`, sorted and joined by `+`.
        """
        channel = self.channels.get(channel_id)
        if channel is None:
            return "gone"
        if channel.continued:
            return "dialplan"
        if channel.state != "Up":
            return "ringing"
        if not channel.bridge:
            return "music" if channel.music else "silence"
        others = self._others(channel)
        names = sorted("agent" if one.is_agent else one.endpoint for one in others)
        return "+".join(names) or "silence"

    async def until(self, condition: Callable[[], bool], timeout_secs: float = 5) -> None:
        """Wait until something holds that the exchange's state decides.

        Raises:
            TimeoutError: it did not come to hold in time.
        """
        async with asyncio.timeout(timeout_secs):
            while not condition():
                await self._changed.wait()

    # Events.

    def _note(self) -> None:
        for channel in self.channels.values():
            now = self.hears(channel.id)
            if not channel.heard or channel.heard[-1] != now:
                channel.heard.append(now)
        self._wake()

    def _wake(self) -> None:
        waiting, self._changed = self._changed, asyncio.Event()
        waiting.set()

    def _emit(self, kind: str, channel: ExchangeChannel | None = None, **fields: Any) -> None:
        event = {"type": kind, "application": self.app, "timestamp": TIMESTAMP} | fields
        if channel is not None:
            event["peer" if kind == "Dial" else "channel"] = channel.as_json()
        if self._sockets and not self.loses_events:
            text = json.dumps(event | {"asterisk_id": "00:00:5e:00:53:01"})
            self._outbox.put_nowait((self._sockets[-1], text))
        self._note()

    async def _send(self) -> None:
        while True:
            websocket, text = await self._outbox.get()
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await websocket.send_text(text)

    async def _events(self, websocket: WebSocket) -> None:
        if not self._authorized(websocket.headers):
            await websocket.send_denial_response(Response(status_code=401))
            return
        await websocket.accept()
        if self._sockets:
            self._emit("ApplicationReplaced")
        self._sockets.append(websocket)
        self._note()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await websocket.receive_text()
        if websocket in self._sockets:
            self._sockets.remove(websocket)
            self._note()

    # Requests.

    def _authorized(self, headers: Mapping[str, str]) -> bool:
        wanted = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return headers.get("authorization") == f"Basic {wanted}"

    def _authenticate(self, request: Request) -> None:
        if not self._authorized(request.headers):
            raise AriRefusal(401, "Authentication required")

    async def _rest(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/ari")
        query = dict(request.query_params)
        try:
            self._authenticate(request)
            self.requests.append((f"{request.method} {path}", query))
            body = await request.body()
            variables = json.loads(body).get("variables", {}) if body else {}
            content = self._answer(request.method, path, query, variables)
        except AriRefusal as refusal:
            return JSONResponse({"message": refusal.message}, refusal.status)
        finally:
            self._note()
        return Response(status_code=204) if content is None else JSONResponse(content)

    def _answer(
        self, method: str, path: str, query: dict[str, str], variables: dict[str, str]
    ) -> Any:
        for index, (pattern, fault) in enumerate(self._faults):
            if pattern.fullmatch(f"{method} {path}"):
                del self._faults[index]
                raise fault
        for route_method, pattern, template, parameters in self._routes:
            found = pattern.fullmatch(path)
            if route_method != method or found is None:
                continue
            if unknown := query.keys() - parameters:
                raise AriRefusal(400, f"not documented for {template}: {', '.join(unknown)}")
            name = f"{method}_{template}".lower()
            handler = getattr(self, "_" + re.sub(r"[^a-z]+", "_", name).strip("_"))
            return handler(*found.groups(), query=query, variables=variables)
        raise AriRefusal(404, "Invalid resource path")

    def _get_asterisk_info(self, query: Mapping[str, str], **_: Any) -> Any:
        return {"system": {"version": "23.2.0", "entity_id": "00:00:5e:00:53:01"}}

    def _get_asterisk_ping(self, **_: Any) -> Any:
        return {"asterisk_id": "00:00:5e:00:53:01", "ping": "pong", "timestamp": TIMESTAMP}

    # Channels.

    def _channel(self, channel_id: str) -> ExchangeChannel:
        channel = self.channels.get(channel_id)
        if channel is None:
            raise AriRefusal(404, "Channel not found")
        return channel

    def _controlled(self, channel_id: str, *, answered: bool = False) -> ExchangeChannel:
        """A channel in the application; `answered`: and in a state for this."""
        channel = self._channel(channel_id)
        if not channel.in_stasis:
            raise AriRefusal(409, "Channel not in Stasis application")
        if answered and channel.state in ("Down", "Rsrved", "Ringing"):
            raise AriRefusal(412, "Channel in invalid state")
        if channel.hang_up_noted:  # this request wakes it, and succeeds
            self._after(0, channel, lambda: self._destroy(channel, NORMAL))
        return channel

    def _get_channels(self, **_: Any) -> Any:
        return [one.as_json() for one in self.channels.values()]

    def _get_channels_channel(self, channel_id: str, **_: Any) -> Any:
        return self._channel(channel_id).as_json()

    def _make(self, channel_id: str, query: Mapping[str, str]) -> ExchangeChannel:
        endpoint = query.get("endpoint", "")
        if not re.fullmatch(r"[^/]+/.+", endpoint):
            raise AriRefusal(400, "Invalid endpoint specified")
        if query.get("app") != self.app:
            raise AriRefusal(400, "Application or extension must be specified")
        if channel_id in self.channels:
            raise AriRefusal(409, "Channel with given unique ID already exists")
        if not self._outcome(endpoint).exists:
            raise AriRefusal(500, "Allocation failed")
        self._number += 1
        channel = ExchangeChannel(channel_id or f"1700000002.{self._number}", endpoint)
        channel.caller_id = query.get("callerId", "")
        self.channels[channel.id] = channel
        return channel

    def _outcome(self, endpoint: str) -> DialOutcome:
        if endpoint.startswith("WebSocket/"):
            connection = endpoint.split("/")[1]
            return self._outcomes.get(f"WebSocket/{connection}", DialOutcome(rings=False))
        return self._outcomes.get(endpoint, answers())

    def _post_channels(self, query: dict[str, str], variables: dict[str, str]) -> Any:
        return self._post_channels_channel(query.get("channelId", ""), query, variables)

    def _post_channels_channel(
        self, channel_id: str, query: dict[str, str], variables: dict[str, str]
    ) -> Any:
        if query.get("originator") and query["originator"] not in self.channels:
            raise AriRefusal(400, "Provided originator channel was not found")
        channel = self._make(channel_id, query)
        channel.variables.update(variables)
        self._dial(channel, float(query.get("timeout", 30)))
        return channel.as_json()

    def _post_channels_create(self, query: dict[str, str], variables: dict[str, str]) -> Any:
        channel = self._make(query.get("channelId", ""), query)
        channel.variables.update(variables)
        self._enter(channel)
        return channel.as_json()

    def _post_channels_channel_dial(
        self, channel_id: str, query: Mapping[str, str], **_: Any
    ) -> None:
        channel = self._controlled(channel_id)
        if channel.state != "Down":
            raise AriRefusal(409, "Channel is not in the 'Down' state")
        self._dial(channel, float(query.get("timeout", 0)))

    def _dial(self, channel: ExchangeChannel, timeout_secs: float) -> None:
        outcome = self._outcome(channel.endpoint)
        self._emit("Dial", channel, dialstatus="", dialstring=channel.endpoint)
        if outcome.rings:
            self._after(0, channel, lambda: self._state(channel, "Ringing", "RINGING"))
        if self.media_url and channel.is_agent and not outcome.cause:
            self._connect(channel)
        else:
            self._after(outcome.after_ms, channel, lambda: self._dialled(channel, outcome))
        if timeout_secs > 0:
            failure = DialOutcome(NO_ANSWER)
            self._after(timeout_secs * 1000, channel, lambda: self._unanswered(channel, failure))

    # Media.

    def _others(self, channel: ExchangeChannel) -> list[ExchangeChannel]:
        members = self.bridges.get(channel.bridge, [])
        return [self.channels[one] for one in members if one != channel.id]

    def _connect(self, channel: ExchangeChannel) -> None:
        try:
            dial_string = DialString.read(channel.endpoint)
        except ValueError as error:
            raise AriRefusal(400, str(error)) from error

        def take(count: int) -> bytes:
            for one in self._others(channel):
                if one.speech:
                    said = bytes(one.speech[:count])
                    del one.speech[:count]
                    return said
            return b""

        def give(audio: bytes) -> None:
            for one in self._others(channel):
                one.heard_audio += audio
            self._wake()

        leg = AgentLeg(self.media_url, channel.id, dial_string, take=take, give=give)
        self.media[channel.id] = leg
        task = asyncio.get_running_loop().create_task(self._carry(channel, leg))
        self._carrying.add(task)

    async def _carry(self, channel: ExchangeChannel, leg: AgentLeg) -> None:
        """An agent's leg from its dialling to its end, whoever ends it."""
        try:
            async with leg:
                if not channel.gone:
                    self._dialled(channel, DialOutcome())
                    await leg.until_closed()
        except DialFailed:
            if not channel.gone:
                self._dialled(channel, no_route())
        if not channel.gone:
            self._destroy(channel, NORMAL)

    def _unanswered(self, channel: ExchangeChannel, failure: DialOutcome) -> None:
        if channel.state != "Up":
            self._dialled(channel, failure)

    def _dialled(self, channel: ExchangeChannel, outcome: DialOutcome) -> None:
        if outcome.cause:
            status = DIAL_STATUS.get(outcome.cause, "CHANUNAVAIL")
            self._emit("Dial", channel, dialstatus=status)
            self._destroy(channel, outcome.cause if outcome.tells_cause else NORMAL)
            return
        self._state(channel, "Up", "ANSWER")
        if not channel.in_stasis:
            self._enter(channel)

    def _state(self, channel: ExchangeChannel, state: str, status: str = "") -> None:
        channel.state = state
        self._emit("ChannelStateChange", channel)
        if status:
            self._emit("Dial", channel, dialstatus=status)

    def _enter(self, channel: ExchangeChannel, args: tuple[str, ...] = ()) -> None:
        channel.in_stasis = True
        self._emit("StasisStart", channel, args=list(args))

    def _after(self, ms: float, channel: ExchangeChannel, then: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(handle)
            if not channel.gone:
                then()

        handle = asyncio.get_running_loop().call_later(ms / 1000, run)
        self._timers.add(handle)

    def _leave_stasis(self, channel: ExchangeChannel) -> None:
        self._leave_bridge(channel)
        channel.music = False
        if channel.in_stasis:
            channel.in_stasis = False
            self._emit("StasisEnd", channel)

    def _destroy(self, channel: ExchangeChannel, cause: int) -> None:
        channel.gone, channel.cause = True, cause
        leg = self.media.get(channel.id)
        if leg is not None and leg.model is not None and not leg.model.closed:
            leg.hang_up()
        self._leave_stasis(channel)
        self.channels.pop(channel.id, None)
        self._emit("ChannelDestroyed", channel, cause=cause, cause_txt=f"cause {cause}")

    def _delete_channels_channel(self, channel_id: str, query: Mapping[str, str], **_: Any) -> None:
        reason = query.get("reason", "normal")
        if reason not in _REASONS:
            raise AriRefusal(400, "Invalid reason for hangup reason provided")
        channel = self._channel(channel_id)
        self._emit("ChannelHangupRequest", channel, soft=True, cause=_REASONS[reason])
        if channel.misses_hang_ups:
            channel.misses_hang_ups -= 1
            channel.hang_up_noted = True
        else:
            self._destroy(channel, _REASONS[reason])

    def _post_channels_channel_continue(self, channel_id: str, **_: Any) -> None:
        channel = self._controlled(channel_id)
        channel.continued = True
        self._leave_stasis(channel)

    def _post_channels_channel_answer(self, channel_id: str, **_: Any) -> None:
        channel = self._controlled(channel_id, answered=True)
        if channel.state != "Up":
            self._state(channel, "Up")

    def _post_channels_channel_ring(self, channel_id: str, **_: Any) -> None:
        self._controlled(channel_id, answered=True)

    _delete_channels_channel_ring = _post_channels_channel_ring

    def _post_channels_channel_dtmf(
        self, channel_id: str, query: Mapping[str, str], **_: Any
    ) -> None:
        channel = self._controlled(channel_id, answered=True)
        if not query.get("dtmf"):
            raise AriRefusal(400, "DTMF is required")
        channel.tones += query["dtmf"]

    def _post_channels_channel_moh(self, channel_id: str, **_: Any) -> None:
        self._controlled(channel_id, answered=True).music = True

    def _delete_channels_channel_moh(self, channel_id: str, **_: Any) -> None:
        self._controlled(channel_id, answered=True).music = False

    def _get_channels_channel_variable(
        self, channel_id: str, query: Mapping[str, str], **_: Any
    ) -> Any:
        channel = self._channel(channel_id)
        if query.get("variable") not in channel.variables:
            raise AriRefusal(404, "Provided variable was not found")
        return {"value": channel.variables[query["variable"]]}

    def _post_channels_channel_variable(
        self, channel_id: str, query: Mapping[str, str], **_: Any
    ) -> None:
        channel = self._controlled(channel_id)
        channel.variables[query["variable"]] = query.get("value", "")

    # Bridges.

    def _bridge(self, bridge_id: str) -> list[str]:
        if bridge_id not in self.bridges:
            raise AriRefusal(404, "Bridge not found")
        return self.bridges[bridge_id]

    def _show_bridge(self, bridge_id: str) -> dict[str, Any]:
        return {
            "id": bridge_id,
            "technology": "simple_bridge",
            "bridge_type": "mixing",
            "bridge_class": "stasis",
            "creator": "Stasis",
            "name": "",
            "channels": list(self._bridge(bridge_id)),
            "creationtime": TIMESTAMP,
        }

    def _get_bridges(self, **_: Any) -> Any:
        return [self._show_bridge(one) for one in self.bridges]

    def _get_bridges_bridge(self, bridge_id: str, **_: Any) -> Any:
        return self._show_bridge(bridge_id)

    def _post_bridges_bridge(self, bridge_id: str, **_: Any) -> Any:
        self.bridges.setdefault(bridge_id, [])
        return self._show_bridge(bridge_id)

    def _delete_bridges_bridge(self, bridge_id: str, **_: Any) -> None:
        for one in tuple(self._bridge(bridge_id)):
            self._leave_bridge(self.channels[one])
        del self.bridges[bridge_id]

    def _members(self, query: Mapping[str, str]) -> Iterator[ExchangeChannel]:
        for one in query.get("channel", "").split(","):
            channel = self.channels.get(one)
            if channel is None:
                raise AriRefusal(400, "Channel not found")
            if not channel.in_stasis:
                raise AriRefusal(422, "Channel not in Stasis application")
            yield channel

    def _post_bridges_bridge_addchannel(
        self, bridge_id: str, query: Mapping[str, str], **_: Any
    ) -> None:
        bridge = self._bridge(bridge_id)
        for channel in list(self._members(query)):
            self._leave_bridge(channel)
            channel.bridge = bridge_id
            bridge.append(channel.id)
            self._emit("ChannelEnteredBridge", channel, bridge=self._show_bridge(bridge_id))

    def _post_bridges_bridge_removechannel(
        self, bridge_id: str, query: Mapping[str, str], **_: Any
    ) -> None:
        bridge = self._bridge(bridge_id)
        for channel in list(self._members(query)):
            if channel.id not in bridge:
                raise AriRefusal(422, "Channel not in this bridge")
            self._leave_bridge(channel)

    def _leave_bridge(self, channel: ExchangeChannel) -> None:
        if channel.bridge:
            bridge_id, channel.bridge = channel.bridge, ""
            self.bridges[bridge_id].remove(channel.id)
            self._emit("ChannelLeftBridge", channel, bridge=self._show_bridge(bridge_id))


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{\w+\}", "([^/]+)", template))
