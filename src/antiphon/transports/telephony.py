"""A telephony provider's media stream as a participant, by Pipecat's serializers.

The serializers are asynchronous and hold state, so encoding happens in the task that writes and
decoding in the task that reads. Both rates of a serializer are the wire's: at equal rates its soxr
resampler gives audio back as it is, where 8 to 16 kHz would come in bursts 60 to 120 ms apart
(`antiphon.transports.resampling`, which does that step here instead).
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import cast

from pipecat.clocks.system_clock import SystemClock as PipecatClock
from pipecat.frames.frames import (
    EndFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
)
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.serializers.exotel import ExotelFrameSerializer
from pipecat.serializers.plivo import PlivoFrameSerializer
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.utils.asyncio.task_manager import TaskManager
from starlette.websockets import WebSocket

from antiphon.clock import Clock
from antiphon.domain.audio import AudioFormat
from antiphon.errors import AntiphonError
from antiphon.protocols.framing import (
    AudioIn,
    Disconnect,
    Dtmf,
    Message,
    SampleAligner,
    invalid,
)
from antiphon.protocols.telephony import (
    Encoded,
    Provider,
    ProviderError,
    StreamStart,
    TelephonyCodec,
)
from antiphon.transports.participant import Departure
from antiphon.transports.websocket import (
    MessageHandler,
    WebsocketPeer,
)

log = logging.getLogger(__name__)

HANG_UP_SECS = 5.0
"""Longest wait for a provider's REST to hang up."""


REPLACED = "replaced"
"""How a session lets go of a connection when the same call opens another: it is to go on."""


@dataclass(frozen=True, slots=True, repr=False)
class TelephonyCredentials:
    """What hang-up through a provider's REST needs; without it only the stream is closed.

    Exotel has none: its applet ends the call's leg when the stream ends.
    """

    twilio_account_sid: str = ""
    twilio_auth_token: str = ""
    twilio_api_url: str = ""
    """Root of the REST API, for a server that speaks Twilio's; empty: Twilio's own."""
    telnyx_api_key: str = ""
    plivo_auth_id: str = ""
    plivo_auth_token: str = ""


def make_serializer(start: StreamStart, credentials: TelephonyCredentials) -> FrameSerializer:
    """Pipecat's serializer of the stream's provider, set to resample nothing."""
    rate = start.sample_rate
    match start.provider:
        case Provider.TWILIO:
            hang_up = bool(credentials.twilio_account_sid and credentials.twilio_auth_token)
            return TwilioFrameSerializer(
                start.stream_id,
                call_sid=start.call_id,
                account_sid=credentials.twilio_account_sid or None,
                auth_token=credentials.twilio_auth_token or None,
                base_url=credentials.twilio_api_url or None,
                params=TwilioFrameSerializer.InputParams(
                    twilio_sample_rate=rate, sample_rate=rate, auto_hang_up=hang_up
                ),
            )
        case Provider.TELNYX:
            encoding = "PCMA" if start.encoding == "alaw" else "PCMU"
            return TelnyxFrameSerializer(
                start.stream_id,
                outbound_encoding=encoding,
                # What our TeXML asks for, and Telnyx's default.
                inbound_encoding="PCMU",
                call_control_id=start.call_id,
                api_key=credentials.telnyx_api_key or None,
                params=TelnyxFrameSerializer.InputParams(
                    telnyx_sample_rate=rate,
                    sample_rate=rate,
                    auto_hang_up=bool(credentials.telnyx_api_key),
                ),
            )
        case Provider.PLIVO:
            hang_up = bool(credentials.plivo_auth_id and credentials.plivo_auth_token)
            return PlivoFrameSerializer(
                start.stream_id,
                call_id=start.call_id,
                auth_id=credentials.plivo_auth_id or None,
                auth_token=credentials.plivo_auth_token or None,
                params=PlivoFrameSerializer.InputParams(
                    plivo_sample_rate=rate, sample_rate=rate, auto_hang_up=hang_up
                ),
            )
        case Provider.EXOTEL:
            return ExotelFrameSerializer(
                start.stream_id,
                call_sid=start.call_id,
                params=ExotelFrameSerializer.InputParams(exotel_sample_rate=rate, sample_rate=rate),
            )


class TelephonyPeer(WebsocketPeer):
    """One caller by a provider's media stream.

    Args:
        participant: Its id in the session.
        socket: The accepted socket, its `start` message already read.
        start: What that message said.
        serializer: Of `make_serializer`.
        clock: Source of time.
        outbox_bytes: Most bytes of PCM16 that may wait to be sent.
    """

    def __init__(
        self,
        *,
        participant: str,
        socket: WebSocket,
        start: StreamStart,
        serializer: FrameSerializer,
        clock: Clock,
        outbox_bytes: int = 2_000_000,
    ):
        super().__init__(
            participant=participant,
            transport_name=start.provider.value,
            socket=socket,
            codec=TelephonyCodec(),
            wire=AudioFormat(start.sample_rate),
            frame_ms=start.frame_ms,
            clock=clock,
            outbox_bytes=outbox_bytes,
        )
        # Plivo's streams have no other end, and the others' may close without a `stop`.
        self.close_is_goodbye = True
        self.start = start
        self._serializer = serializer
        self._aligner = SampleAligner()
        self._clear = ""
        self._has_hung_up = False

    def discard(self) -> None:
        """Drop the remainder, and have the provider drop what it has not played."""
        super().discard()
        if self._clear:
            self.send_text(self._clear)

    def send_error(self, error: AntiphonError) -> None:
        """Providers read no errors, and some count them against the stream: for the log only."""
        log.debug("participant %s: %s", self.participant, error.message)

    async def run(self, on_message: MessageHandler) -> Departure:
        """Read and write until the stream ends; hangs up when it is this side that ends it."""
        # An API of Pipecat's that takes a whole pipeline to say two sample rates.
        await self._serializer.setup(
            FrameProcessorSetup(
                clock=PipecatClock(),  # type: ignore[no-untyped-call]
                task_manager=TaskManager(),
                pipeline_worker=cast(PipelineWorker, None),
                audio_in_sample_rate=self.start.sample_rate,
                audio_out_sample_rate=self.start.sample_rate,
            )
        )
        self._clear = str(await self._serializer.serialize(InterruptionFrame()) or "")
        return await super().run(on_message)

    async def handle(self, item: Message, on_message: MessageHandler) -> None:
        """Decode media and keys; the rest is as in every protocol."""
        if isinstance(item, Encoded):
            decoded = await self._decoded(item)
            if decoded is not None:
                await super().handle(decoded, on_message)
        elif isinstance(item, ProviderError):
            log.warning("%s reports: %s", self.transport_name, item.detail)
        else:
            if isinstance(item, Disconnect):
                self._has_hung_up = True
            await super().handle(item, on_message)

    async def _decoded(self, item: Encoded) -> Message | None:
        try:
            frame = await self._serializer.deserialize(item.text)
        except (ValueError, TypeError, AttributeError) as error:  # the serializers check little
            return invalid(f"the message cannot be decoded: {error}", field="media.payload")
        if isinstance(frame, InputAudioRawFrame):
            return AudioIn(self._aligner.align(frame.audio), frame.sample_rate)
        if isinstance(frame, InputDTMFFrame):
            return Dtmf(frame.button.value)
        return None

    async def _transmit(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            frame = OutputAudioRawFrame(message, self.wire.sample_rate, num_channels=1)
            message = await self._serializer.serialize(frame) or ""
        if message:
            await self._socket.send_text(str(message))

    async def _before_close(self) -> None:
        if self._departure is None or self._departure.reason != REPLACED:
            await self.hang_up()

    async def hang_up(self) -> None:
        """End the call by the provider's REST, once, where there are credentials for it.

        Nothing is done when the caller has hung up. The writer calls this before it closes the
        stream; after a lost connection it is for the owner to call, for the call may still be up.
        """
        if self._has_hung_up:
            return
        self._has_hung_up = True
        try:
            async with asyncio.timeout(HANG_UP_SECS):
                await self._serializer.serialize(EndFrame())
        except TimeoutError:
            log.warning(
                "%s did not answer in %g s; call %s may not be hung up",
                self.transport_name,
                HANG_UP_SECS,
                self.start.call_id,
            )
