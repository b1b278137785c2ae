"""The transport: a channel, and the two processors on it."""

import logging
from collections.abc import Mapping
from ssl import SSLContext
from typing import Any

from pipecat.transports.base_transport import BaseTransport
from starlette.websockets import WebSocket

from antiphon.clock import Clock, SystemClock
from antiphon.protocols.asterisk import (
    Answer,
    AsteriskEvent,
    ChannelError,
    Command,
    DtmfEnd,
    Malformed,
    MediaBufferingCompleted,
    MediaMarkProcessed,
    MediaStart,
    MediaXoff,
    MediaXon,
    QueueDrained,
    Status,
    UnknownEvent,
)
from antiphon.protocols.asterisk_flow import MARK_PREFIX
from antiphon.transports.asterisk.channel import CLOSE_NORMAL, AsteriskChannel
from antiphon.transports.asterisk.connection import (
    AcceptedConnection,
    Connection,
    DialledConnection,
)
from antiphon.transports.asterisk.input import AsteriskInput
from antiphon.transports.asterisk.output import AsteriskOutput
from antiphon.transports.asterisk.params import AsteriskWebsocketParams
from antiphon.transports.asterisk.started import StartedChannel
from antiphon.transports.participant import Departure

log = logging.getLogger(__name__)

_HANDLERS: dict[type[AsteriskEvent], str] = {
    MediaStart: "on_media_start",
    MediaXoff: "on_media_xoff",
    MediaXon: "on_media_xon",
    MediaMarkProcessed: "on_mark",
    MediaBufferingCompleted: "on_mark",
    QueueDrained: "on_queue_drained",
    DtmfEnd: "on_dtmf",
    Status: "on_status",
    ChannelError: "on_asterisk_error",
    UnknownEvent: "on_unknown_event",
}

DEFAULT_INPUT_RATE = 16_000
DEFAULT_OUTPUT_RATE = 24_000
_MAX_REFUSALS = 20
_VAD_RATES = (8_000, 16_000)


class AsteriskWebsocketTransport(BaseTransport):
    """A Pipecat transport on a WebSocket channel of Asterisk's (`chan_websocket`).

    ```python
    @app.websocket("/ws")
    async def call(websocket: WebSocket) -> None:
        await websocket.accept()
        transport = AsteriskWebsocketTransport(websocket=websocket)
        pipeline = Pipeline([transport.input(), ..., transport.output()])
    ```

    Audio is resampled at the edge between the channel's rate and the pipeline's. Frames after the
    output pass when the caller has heard the audio before them.

    Event handlers; the first argument is the transport:

    - `on_client_connected(transport, websocket)`;
    - `on_client_disconnected(transport, websocket)`: the call ended, not by the pipeline's end;
      `transport.departure` tells how;
    - `on_media_start(transport, start)`: with `start.channel_variables`;
    - `on_dtmf(transport, digit)`: also A to D, for which Pipecat has no frame;
    - `on_media_xoff(transport, event)`, `on_media_xon(transport, event)`;
    - `on_mark(transport, correlation_id)`: one of your own marks was reached;
    - `on_queue_drained(transport, event)`;
    - `on_status(transport, status)`;
    - `on_asterisk_error(transport, error_text)`;
    - `on_unknown_event(transport, event)`: of a newer Asterisk.

    Args:
        websocket: Accepted, or not yet; or any `Connection`.
        params: Settings.
        media_start: What `read_media_start` gave, where it has been read.
        reads_by_itself: Whether the input reads the socket once the pipeline has started; False:
            somebody else awaits `run`.
        clock: Source of time.
        input_name: Name of the input processor.
        output_name: Name of the output processor.
    """

    def __init__(
        self,
        websocket: WebSocket | Connection,
        params: AsteriskWebsocketParams | None = None,
        *,
        media_start: StartedChannel | None = None,
        reads_by_itself: bool = True,
        clock: Clock | None = None,
        input_name: str | None = None,
        output_name: str | None = None,
    ):
        super().__init__(input_name=input_name, output_name=output_name)
        self.reads_by_itself = reads_by_itself
        self._refusals: set[str] = set()
        self._params = params or AsteriskWebsocketParams()
        clock = clock or SystemClock()
        connection: Connection = (
            AcceptedConnection(websocket) if isinstance(websocket, WebSocket) else websocket
        )
        self._channel = AsteriskChannel(
            connection,
            params=self._params,
            clock=clock,
            started=media_start,
            on_open=self._on_open,
            on_event=self._on_event,
            on_media=self._on_media,
        )
        self._input = AsteriskInput(self, self._params, clock=clock, name=input_name)
        self._output = AsteriskOutput(self._channel, self._params, clock=clock, name=output_name)
        for event in {"on_client_connected", "on_client_disconnected", *_HANDLERS.values()}:
            self._register_event_handler(event)

    def input(self) -> AsteriskInput:
        """The pipeline's first processor."""
        return self._input

    def output(self) -> AsteriskOutput:
        """The processor that plays audio."""
        return self._output

    # What the call is.

    @property
    def started(self) -> StartedChannel | None:
        """The channel's format and variables; None before MEDIA_START."""
        return self._channel.started

    @property
    def departure(self) -> Departure | None:
        """How the call ended; None while it is up.

        `disconnect`: hung up at Asterisk's; `hangup`: by us; `lost`: the socket broke; `closed`:
        Asterisk closed it with another code; also `slow_reader`, `no_media_start`,
        `unsupported_media`, `unreachable`, or the reason given to `close`.
        """
        return self._channel.departure

    @property
    def remote(self) -> str:
        """Address of Asterisk, `host:port`."""
        return self._channel.connection.remote

    @property
    def input_sample_rate(self) -> int:
        """Hz to run the pipeline's input at: the settings', or the channel's where VADs take it."""
        started = self._channel.started
        channel = started.sample_rate if started else DEFAULT_INPUT_RATE
        default = channel if channel in _VAD_RATES else DEFAULT_INPUT_RATE
        return self._params.audio_in_sample_rate or default

    @property
    def output_sample_rate(self) -> int:
        """Hz to run the pipeline's output at: the settings', or the channel's."""
        started = self._channel.started
        default = started.sample_rate if started else DEFAULT_OUTPUT_RATE
        return self._params.audio_out_sample_rate or default

    def played_ms(self) -> float:
        """How much of the agent's audio Asterisk has played, or was interrupted, ms."""
        return self._output.played_ms()

    def queued_ms(self) -> float:
        """How much of it waits, here and in Asterisk's queue, ms."""
        return self._output.queued_ms()

    # What can be done to it.

    def send_command(self, command: Command) -> None:
        """Send a command, before any media that waits.

        Raises:
            ValueError: MEDIA_START has not come, the command does not fit the control format, or it
                belongs to the flow controller.
        """
        self._channel.send(command)

    def close(self, code: int = CLOSE_NORMAL, reason: str = "", *, departure: str = "") -> None:
        """Close the socket once the commands that wait have been sent; the audio is dropped."""
        self._channel.close(code, reason, departure=departure)

    async def run(self) -> Departure:
        """Serve the socket until it ends; returns how it ended. Cancelling is safe.

        The input does this by itself, unless it was told not to. Nothing is read before the
        pipeline has started.

        Raises:
            RuntimeError: it was run before.
        """
        departure = await self._channel.run()
        if not self._input.is_ending:
            await self._call_event_handler(
                "on_client_disconnected", self._channel.connection.client
            )
        return departure

    async def leave(self) -> None:
        """Close the socket, if it is open; for the end of a pipeline."""
        await self._channel.leave(wait_secs=self._params.hang_up_timeout_secs)

    # From the channel.

    async def _on_open(self) -> None:
        await self._input.on_open()
        await self._call_event_handler("on_client_connected", self._channel.connection.client)
        if self._channel.started is not None:
            await self._on_media_start(self._channel.started.start)

    async def _on_media(self, data: bytes) -> None:
        if (started := self._channel.started) is not None:
            await self._input.on_media(started, data)

    async def _on_media_start(self, start: MediaStart) -> None:
        if self._params.auto_answer and self._channel.departure is None:
            self._channel.send(Answer())
        await self._call_event_handler("on_media_start", start)

    async def _on_event(self, event: AsteriskEvent) -> None:
        handler = _HANDLERS.get(type(event))
        if isinstance(event, MediaStart):
            await self._on_media_start(event)
        elif isinstance(event, MediaMarkProcessed | MediaBufferingCompleted):
            if not (event.correlation_id or "").startswith(MARK_PREFIX):
                await self._call_event_handler("on_mark", event.correlation_id)
        elif isinstance(event, DtmfEnd):
            await self._input.on_key(event.digit)
            await self._call_event_handler("on_dtmf", event.digit)
        elif isinstance(event, ChannelError):
            self._log_refusal(event.error_text)
            await self._call_event_handler("on_asterisk_error", event.error_text)
        elif isinstance(event, Malformed):
            log.warning("Asterisk sent a message that cannot be read: %s", event.reason)
        elif handler is not None:
            await self._call_event_handler(handler, event)

    def _log_refusal(self, text: str) -> None:
        """Each text once: where marks are refused, all of them are."""
        if text not in self._refusals and len(self._refusals) < _MAX_REFUSALS:
            self._refusals.add(text)
            hint = "; remove p from the dial string" if "passthrough" in text else ""
            log.warning("Asterisk refused a command: %s%s", text, hint)


class AsteriskWebsocketClientTransport(AsteriskWebsocketTransport):
    """The same for a channel that we connect to: `Dial(WebSocket/INCOMING/…)`.

    Args:
        uri: `ws://asterisk:8088/media/<connection id>`, the id being the channel variable
            MEDIA_WEBSOCKET_CONNECTION_ID.
        params: Settings.
        headers: More headers of the request, e.g. Authorization.
        ssl: For `wss`, where the default context does not do.
        open_timeout_secs: Longest wait for the handshake.
        options: As for `AsteriskWebsocketTransport`.
    """

    def __init__(
        self,
        uri: str,
        params: AsteriskWebsocketParams | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        ssl: SSLContext | None = None,
        open_timeout_secs: float = 10.0,
        **options: Any,
    ):
        connection = DialledConnection(
            uri, headers=headers, ssl=ssl, open_timeout_secs=open_timeout_secs
        )
        super().__init__(connection, params, **options)
